#include "site-agent/training/model.h"

#include "base/check.h"
#include "base/checked.h"

#include <stdio.h>
#include <string.h>

#define ALIGN_FLOATS 64u /* 256 bytes: rows of different activations share no cache line */

static const struct csl_tensor_spec *find_tensor(const struct csl_schema *s, const char *name)
{
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return &s->tensors[i];
    return NULL;
}

/* The tensor "<domain>.<part>" must have `rank` axes `shape` and lie in the net's block. */
static enum csl_code locate(const struct csl_net *n, const struct csl_study *study,
                            const char *domain, const char *part, uint32_t rank,
                            const uint64_t *shape, uint64_t *first, struct csl_err *err)
{
    char name[2 * CSL_ID_MAX];
    snprintf(name, sizeof(name), "%s.%s", domain, part);
    const struct csl_tensor_spec *t = find_tensor(&study->schema, name);
    if (t == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "the study's schema has no tensor %s", name);
    bool fits = t->rank == rank && t->block == n->block;
    for (uint32_t i = 0; fits && i < rank; i++)
        fits = t->shape[i] == shape[i];
    if (!fits)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "tensor %s has rank %u and first axis %llu in block %u; expected rank %u "
                        "and %llu in block %u",
                        name, t->rank, (unsigned long long)t->shape[0], t->block, rank,
                        (unsigned long long)shape[0], n->block);
    *first = t->first;
    return CSL_OK;
}

static enum csl_code add_linear(struct csl_net *n, const struct csl_study *study,
                                const char *domain, const char *prefix, uint64_t in, uint64_t out,
                                bool has_bias, struct csl_err *err)
{
    CSL_ASSERT(n->layer_count < CSL_NET_LAYERS_MAX);
    struct csl_layer *l = &n->layers[n->layer_count++];
    *l = (struct csl_layer){.ops = &csl_layer_linear, .in = in, .out = out, .has_bias = has_bias};
    char part[CSL_ID_MAX];
    uint64_t shape[2] = {out, in};
    snprintf(part, sizeof(part), "%sweight", prefix);
    enum csl_code code = locate(n, study, domain, part, 2, shape, &l->weight, err);
    if (code != CSL_OK || !has_bias)
        return code;
    snprintf(part, sizeof(part), "%sbias", prefix);
    return locate(n, study, domain, part, 1, shape, &l->bias, err);
}

static enum csl_code add_layers(struct csl_net *n, const struct csl_study *study,
                                const struct csl_domain *d, struct csl_err *err)
{
    if (d->model != CSL_MODEL_MLP)
        return add_linear(n, study, d->id, "", d->width, d->outputs, d->has_bias, err);
    if (d->hidden_count > CSL_HIDDEN_LAYERS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "domain %s: %u hidden layers, at most %d", d->id,
                        d->hidden_count, CSL_HIDDEN_LAYERS_MAX);
    uint64_t in = d->width;
    for (uint32_t i = 0; i <= d->hidden_count; i++) {
        uint64_t out = i < d->hidden_count ? d->hidden[i] : d->outputs;
        char prefix[24];
        snprintf(prefix, sizeof(prefix), "layer%u.", i);
        enum csl_code code = add_linear(n, study, d->id, prefix, in, out, true, err);
        if (code != CSL_OK)
            return code;
        if (i < d->hidden_count)
            n->layers[n->layer_count++] =
                (struct csl_layer){.ops = &csl_layer_relu, .in = out, .out = out};
        in = out;
    }
    return CSL_OK;
}

enum csl_code csl_net_init(struct csl_net *n, const struct csl_study *study, uint32_t domain,
                           struct csl_err *err)
{
    const struct csl_domain *d = &study->domains[domain];
    const struct csl_block_spec *b = csl_schema_find_block(&study->schema, d->id);
    if (b == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "the study's schema has no block for domain %s", d->id);
    if (d->width == 0 || d->outputs == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "domain %s: width %u, outputs %u; both must be positive",
                        d->id, d->width, d->outputs);
    struct csl_net net = {.block = (uint32_t)(b - study->schema.blocks),
                          .first = b->first,
                          .count = b->count,
                          .outputs = d->outputs};
    switch (d->task) {
    case CSL_TASK_BINARY:
        net.loss = CSL_LOSS_LOGISTIC;
        break;
    case CSL_TASK_CLASSES:
        net.loss = CSL_LOSS_SOFTMAX;
        break;
    case CSL_TASK_SURVIVAL:
        net.loss = CSL_LOSS_COX;
        break;
    }
    if (net.loss != CSL_LOSS_SOFTMAX && net.outputs != 1)
        return CSL_FAIL(err, CSL_E_INVAL, "domain %s: %u outputs, expected 1 for its task", d->id,
                        d->outputs);
    enum csl_code code = add_layers(&net, study, d, err);
    if (code == CSL_OK)
        *n = net;
    return code;
}

void csl_work_init(struct csl_work *w, const struct csl_compute_ops *ops, struct csl_dev *dev)
{
    *w = (struct csl_work){.ops = ops, .dev = dev};
}

static void release_buffers(struct csl_work *w)
{
    w->ops->free(w->floats);
    w->ops->free(w->bytes);
    w->ops->free(w->words);
    w->ops->free(w->doubles);
    csl_work_init(w, w->ops, w->dev);
}

void csl_work_release(struct csl_work *w)
{
    if (w->ops != NULL)
        release_buffers(w);
}

/* Floats of one batch and its activations and gradients, false when it overflows. */
static bool count_floats(const struct csl_net *n, uint64_t rows, uint64_t *out)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i <= n->layer_count; i++) {
        uint64_t width = i == 0 ? n->layers[0].in : n->layers[i - 1].out;
        uint64_t size, copies = i == 0 ? 1 : 2;
        if (!csl_mul_u64(rows, width, &size) || !csl_add_u64(size, ALIGN_FLOATS, &size) ||
            !csl_mul_u64(size, copies, &size) || !csl_add_u64(total, size, &total))
            return false;
    }
    *out = total;
    return total <= UINT64_MAX / 16;
}

static enum csl_code grow(struct csl_work *w, uint64_t floats_count, uint64_t rows,
                          struct csl_err *err)
{
    if (floats_count <= w->floats_count && rows <= w->rows_max)
        return CSL_OK;
    uint64_t floats = floats_count > w->floats_count ? floats_count : w->floats_count;
    uint64_t most = rows > w->rows_max ? rows : w->rows_max;
    release_buffers(w);
    enum csl_code code = w->ops->alloc(w->dev, floats * sizeof(float), &w->floats, err);
    if (code == CSL_OK)
        code = w->ops->alloc(w->dev, most, &w->bytes, err);
    if (code == CSL_OK)
        code = w->ops->alloc(w->dev, most * 3 * sizeof(uint32_t), &w->words, err);
    if (code == CSL_OK)
        code = w->ops->alloc(w->dev, most * sizeof(double), &w->doubles, err);
    if (code != CSL_OK) {
        release_buffers(w);
        return code;
    }
    w->floats_count = floats;
    w->rows_max = most;
    return CSL_OK;
}

enum csl_code csl_work_fit(struct csl_work *w, const struct csl_net *n, uint64_t rows,
                           struct csl_err *err)
{
    uint64_t floats_count;
    if (!count_floats(n, rows, &floats_count))
        return CSL_FAIL(err, CSL_E_LIMIT, "a batch of %llu rows of width %llu is too large",
                        (unsigned long long)rows, (unsigned long long)n->layers[0].in);
    enum csl_code code = grow(w, floats_count, rows, err);
    if (code != CSL_OK)
        return code;
    uint64_t at = 0;
    for (uint32_t i = 0; i <= n->layer_count; i++) {
        uint64_t count = rows * (i == 0 ? n->layers[0].in : n->layers[i - 1].out);
        uint64_t padded = (count + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
        w->activation[i] = (struct csl_view){w->floats, at, count};
        at += padded;
        w->gradient[i] = (struct csl_view){i == 0 ? NULL : w->floats, at, count};
        at += i == 0 ? 0 : padded;
    }
    w->rows = rows;
    w->labels = (struct csl_view){w->bytes, 0, rows};
    w->weights = (struct csl_view){w->words, 0, rows};
    w->order = (struct csl_view){w->words, rows, rows};
    w->tie_end = (struct csl_view){w->words, 2 * rows, rows};
    w->scratch = (struct csl_view){w->doubles, 0, rows};
    return CSL_OK;
}

void csl_net_forward(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w)
{
    CSL_ASSERT(p->rows <= w->rows);
    for (uint32_t i = 0; i < n->layer_count; i++)
        n->layers[i].ops->forward(&n->layers[i], p, w->activation[i], w->activation[i + 1]);
}

void csl_net_grad_inputs(const struct csl_net *n, const struct csl_pass *p,
                         const struct csl_work *w)
{
    CSL_ASSERT(p->rows <= w->rows);
    for (uint32_t i = n->layer_count; i-- > 1;)
        n->layers[i].ops->grad_input(&n->layers[i], p, w->activation[i], w->gradient[i + 1],
                                     w->gradient[i]);
}

void csl_net_backward(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w)
{
    const struct csl_view all_one = {0};
    csl_net_grad_inputs(n, p, w);
    for (uint32_t i = 0; i < n->layer_count; i++)
        if (n->layers[i].ops->grad_params != NULL)
            n->layers[i].ops->grad_params(&n->layers[i], p, w->activation[i], w->gradient[i + 1],
                                          all_one, 0.0f);
}
