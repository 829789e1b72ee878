/* From the study's description of a model to its layers. */
#include "site-agent/training/model.h"

#include "base/check.h"
#include "site-agent/training/layers/layers.h"

#include <stdio.h>
#include <string.h>

#define NORM_EPSILON 1e-5

/* A net being put together; after the first failure nothing is added. */
struct builder {
    struct csl_net *n;
    const struct csl_study *study;
    const struct csl_domain *d;
    const char *block;        /* its name */
    char adapter[CSL_ID_MAX]; /* likewise; "": it has none */
    enum csl_code code;
    struct csl_err *err;
};

static const struct csl_tensor_spec *find_tensor(const struct csl_schema *s, const char *name)
{
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return &s->tensors[i];
    return NULL;
}

/* Where the tensor "<where>.<prefix><part>" begins; it must have `rank` axes `shape` and lie in
 * that block. */
static uint64_t locate_in(struct builder *b, const char *where, uint32_t block, const char *prefix,
                          const char *part, uint32_t rank, const uint64_t *shape)
{
    char name[2 * CSL_ID_MAX];
    if (b->code != CSL_OK)
        return 0;
    snprintf(name, sizeof(name), "%s.%s%s", where, prefix, part);
    const struct csl_tensor_spec *t = find_tensor(&b->study->schema, name);
    if (t == NULL) {
        b->code = CSL_FAIL(b->err, CSL_E_INVAL, "the study's schema has no tensor %s", name);
        return 0;
    }
    bool fits = t->rank == rank && t->block == block;
    for (uint32_t i = 0; fits && i < rank; i++)
        fits = t->shape[i] == shape[i];
    if (!fits)
        b->code = CSL_FAIL(b->err, CSL_E_INVAL,
                           "tensor %s has rank %u and first axis %llu in block %u; expected rank "
                           "%u and %llu in block %u",
                           name, t->rank, (unsigned long long)t->shape[0], t->block, rank,
                           (unsigned long long)shape[0], block);
    return t->first;
}

static uint64_t locate(struct builder *b, const char *prefix, const char *part, uint32_t rank,
                       const uint64_t *shape)
{
    return locate_in(b, b->block, b->n->block, prefix, part, rank, shape);
}

/* Weight of the shape, and bias of its first axis. */
static struct csl_place locate_both(struct builder *b, const char *prefix, uint32_t rank,
                                    const uint64_t *shape, bool has_bias)
{
    struct csl_place at = {.weight = locate(b, prefix, "weight", rank, shape),
                           .has_bias = has_bias};
    if (has_bias)
        at.bias = locate(b, prefix, "bias", 1, shape);
    return at;
}

static void append_learning(struct builder *b, struct csl_layer l)
{
    if (b->code != CSL_OK)
        return;
    CSL_ASSERT(b->n->layer_count < CSL_NET_LAYERS_MAX);
    b->n->layers[b->n->layer_count++] = l;
}

/* Beside an adapter nothing else of the net learns. */
static void append(struct builder *b, struct csl_layer l)
{
    if (b->adapter[0] != '\0')
        csl_layer_freeze(&l);
    append_learning(b, l);
}

/* What the layer added last gives becomes x + f(x), x being activation `from`. */
static void close_residual(struct builder *b, uint32_t from)
{
    if (b->code == CSL_OK)
        b->n->skip[b->n->layer_count - 1] = (uint8_t)from;
}

static void add_linear(struct builder *b, const char *prefix, uint64_t positions, uint64_t in,
                       uint64_t out, bool has_bias)
{
    const uint64_t shape[2] = {out, in};
    struct csl_place at = locate_both(b, prefix, 2, shape, has_bias);
    if (b->adapter[0] == '\0') {
        append(b, csl_layer_make_linear(positions, in, out, at));
        return;
    }
    const struct csl_adapter *a = &b->d->adapter;
    const uint64_t down[2] = {a->rank, in}, up[2] = {out, a->rank};
    const struct csl_lora lora = {
        .rank = a->rank,
        .scale = a->alpha / a->rank,
        .down = locate_in(b, b->adapter, b->n->trained.block, prefix, "down", 2, down),
        .up = locate_in(b, b->adapter, b->n->trained.block, prefix, "up", 2, up)};
    append_learning(b, csl_layer_make_lora(positions, in, out, at, &lora));
}

/* Layers with ReLU between them, the last of which gives the logits. */
static void add_layers(struct builder *b, uint64_t in)
{
    const struct csl_domain *d = b->d;
    if (d->hidden_count > CSL_HIDDEN_LAYERS_MAX) {
        b->code = CSL_FAIL(b->err, CSL_E_LIMIT, "domain %s: %u hidden layers, at most %d", d->id,
                           d->hidden_count, CSL_HIDDEN_LAYERS_MAX);
        return;
    }
    for (uint32_t i = 0; i <= d->hidden_count; i++) {
        uint64_t out = i < d->hidden_count ? d->hidden[i] : d->outputs;
        char prefix[24];
        snprintf(prefix, sizeof(prefix), "layer%u.", i);
        add_linear(b, prefix, 1, in, out, true);
        if (i < d->hidden_count)
            append(b, csl_layer_make_relu(out));
        in = out;
    }
}

/* A window over the domain's input: an image has two axes, a signal or a series one, the last of
 * csl_window's three. */
static struct csl_window input_of(const struct csl_domain *d)
{
    if (d->modality == CSL_IMAGE2D)
        return (struct csl_window){.channels = d->shape[2], .in = {1, d->shape[0], d->shape[1]}};
    return (struct csl_window){.channels = d->shape[1], .in = {1, 1, d->shape[0]}};
}

static void set_window(struct builder *b, struct csl_window *w, uint64_t kernel, uint64_t stride,
                       uint64_t pad)
{
    for (unsigned i = 0; i < 3; i++) {
        bool is_axis = i == 2 || (i == 1 && b->d->modality == CSL_IMAGE2D);
        w->kernel[i] = is_axis ? kernel : 1;
        w->stride[i] = is_axis ? stride : 1;
        w->pad[i] = is_axis ? pad : 0;
    }
    if (b->code == CSL_OK)
        b->code = csl_window_init(w, b->err);
}

/* Behind a layer with this window come so many channels. */
static void follow(struct csl_window *w, uint64_t channels)
{
    memcpy(w->in, w->out, sizeof(w->in));
    w->channels = channels;
}

static void add_conv(struct builder *b, const char *prefix, const struct csl_window *w,
                     uint64_t outputs)
{
    const uint64_t plane[4] = {outputs, w->kernel[1], w->kernel[2], w->channels};
    const uint64_t line[3] = {outputs, w->kernel[2], w->channels};
    bool is_plane = b->d->modality == CSL_IMAGE2D;
    struct csl_place at = locate_both(b, prefix, is_plane ? 4 : 3, is_plane ? plane : line, true);
    append(b, csl_layer_make_conv(w, outputs, at));
}

/* groups 0: a layer norm of each position by itself */
static void add_norm(struct builder *b, const char *prefix, uint64_t positions, uint64_t channels,
                     uint64_t groups)
{
    struct csl_place at = locate_both(b, prefix, 1, &channels, true);
    append(b, groups == 0
                  ? csl_layer_make_layer_norm(positions, channels, NORM_EPSILON, at.weight, at.bias)
                  : csl_layer_make_group_norm(positions, channels, groups, NORM_EPSILON, at.weight,
                                              at.bias));
}

static void add_head(struct builder *b, uint64_t positions, uint64_t channels)
{
    append(b, csl_layer_make_mean(positions, channels));
    add_linear(b, "head.", 1, channels, b->d->outputs, true);
}

static void add_cnn(struct builder *b)
{
    const struct csl_model_sizes *m = &b->d->sizes;
    struct csl_window w = input_of(b->d);
    for (uint32_t i = 0; i < m->stages && b->code == CSL_OK; i++) {
        char prefix[24];
        set_window(b, &w, m->kernel, m->stride, m->kernel / 2);
        snprintf(prefix, sizeof(prefix), "conv%u.", i);
        add_conv(b, prefix, &w, m->channels[i]);
        follow(&w, m->channels[i]);
        uint64_t positions = csl_window_positions_in(&w);
        snprintf(prefix, sizeof(prefix), "norm%u.", i);
        if (m->groups > 0)
            add_norm(b, prefix, positions, w.channels, m->groups);
        append(b, csl_layer_make_relu(positions * w.channels));
        if (m->pool == 1)
            continue;
        set_window(b, &w, m->pool, m->pool, 0);
        append(b, csl_layer_make_pool_max(&w));
        follow(&w, w.channels);
    }
    add_head(b, csl_window_positions_in(&w), w.channels);
}

static void add_bag(struct builder *b)
{
    const uint64_t table[2] = {b->d->shape[1], b->d->sizes.width};
    const struct csl_bag bag = {
        .positions = 1, .dim = table[1], .buckets = table[0], .is_mean = true};
    b->n->tokens = b->d->width;
    append(b, csl_layer_make_embedding(&bag, locate(b, "embed.", "weight", 2, table)));
    add_layers(b, table[1]);
}

/* Pre-norm (Xiong et al. 2020): x + attention(norm x), then x + feed-forward(norm x). */
static void add_attention_layer(struct builder *b, uint32_t i, uint64_t positions)
{
    uint64_t w = b->d->sizes.width;
    char prefix[24];
    uint32_t x = b->n->layer_count;
    snprintf(prefix, sizeof(prefix), "norm%ua.", i);
    add_norm(b, prefix, positions, w, 0);
    snprintf(prefix, sizeof(prefix), "qkv%u.", i);
    add_linear(b, prefix, positions, w, 3 * w, true);
    append(b, csl_layer_make_attention(positions, b->d->sizes.heads, w));
    snprintf(prefix, sizeof(prefix), "out%u.", i);
    add_linear(b, prefix, positions, w, w, true);
    close_residual(b, x);
    x = b->n->layer_count;
    snprintf(prefix, sizeof(prefix), "norm%ub.", i);
    add_norm(b, prefix, positions, w, 0);
    snprintf(prefix, sizeof(prefix), "up%u.", i);
    add_linear(b, prefix, positions, w, 4 * w, true);
    append(b, csl_layer_make_gelu(positions * 4 * w));
    snprintf(prefix, sizeof(prefix), "down%u.", i);
    add_linear(b, prefix, positions, 4 * w, w, true);
    close_residual(b, x);
}

static void add_transformer(struct builder *b)
{
    const struct csl_model_sizes *m = &b->d->sizes;
    struct csl_window w = input_of(b->d);
    set_window(b, &w, m->patch, m->patch, 0);
    uint64_t positions = csl_window_positions_out(&w);
    const uint64_t places[2] = {positions, m->width};
    add_conv(b, "patch.", &w, m->width);
    append(b, csl_layer_make_bias(positions * m->width, locate(b, "place.", "weight", 2, places)));
    for (uint32_t i = 0; i < m->layers && b->code == CSL_OK; i++)
        add_attention_layer(b, i, positions);
    add_norm(b, "norm.", positions, m->width, 0);
    add_head(b, positions, m->width);
}

/* Gate, its bias and the empty value stand one after another, as the layer takes them. */
static void add_multimodal(struct builder *b)
{
    const struct csl_domain *d = b->d;
    const uint64_t gate[2] = {d->fusion.input_count, d->sizes.width};
    b->n->is_joined = true;
    if (d->fusion.kind == CSL_FUSION_GATED) {
        uint64_t at = locate(b, "fusion.", "gate", 2, gate);
        uint64_t bias = locate(b, "fusion.", "bias", 1, &gate[0]);
        uint64_t empty = locate(b, "fusion.", "empty", 1, &gate[1]);
        if (b->code == CSL_OK && (bias != at + gate[0] * gate[1] || empty != bias + gate[0]))
            b->code =
                CSL_FAIL(b->err, CSL_E_INVAL,
                         "block %s: the tensors of its fusion are not one after another", b->block);
        append(b, csl_layer_make_fusion(gate[0], gate[1], at));
    } else {
        append(b, csl_layer_make_mean(gate[0], gate[1]));
    }
    add_layers(b, gate[1]);
}

static void add_model(struct builder *b)
{
    const struct csl_domain *d = b->d;
    switch (d->model) {
    case CSL_MODEL_LINEAR:
    case CSL_MODEL_COX:
        add_linear(b, "", 1, d->width, d->outputs, d->has_bias);
        return;
    case CSL_MODEL_MLP:
        add_layers(b, d->width);
        return;
    case CSL_MODEL_CNN1D:
    case CSL_MODEL_CNN2D:
        add_cnn(b);
        return;
    case CSL_MODEL_BAG:
        add_bag(b);
        return;
    case CSL_MODEL_TRANSFORMER:
        add_transformer(b);
        return;
    case CSL_MODEL_MULTIMODAL:
        add_multimodal(b);
        return;
    case CSL_MODEL_COUNT:
        break;
    }
    b->code = CSL_FAIL(b->err, CSL_E_INVAL, "domain %s: model kind %d", d->id, (int)d->model);
}

/* What learns in place of the block. */
static void find_adapter(struct builder *b)
{
    const struct csl_schema *s = &b->study->schema;
    csl_study_adapter_block(b->adapter, b->d);
    const struct csl_block_spec *block = csl_schema_find_block(s, b->adapter);
    if (block == NULL) {
        b->code = CSL_FAIL(b->err, CSL_E_INVAL, "the study's schema has no block %s", b->adapter);
        return;
    }
    b->n->trained.block = (uint32_t)(block - s->blocks);
    b->n->trained.first = block->first;
    b->n->trained.count = block->count;
}

static enum csl_code build(struct csl_net *n, const struct csl_study *study,
                           const struct csl_domain *d, const char *name, struct csl_err *err)
{
    const struct csl_block_spec *block = csl_schema_find_block(&study->schema, name);
    if (block == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "the study's schema has no block for domain %s", name);
    if (d->width == 0 || d->outputs == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "domain %s: width %u, outputs %u; both must be positive",
                        d->id, d->width, d->outputs);
    n->block = (uint32_t)(block - study->schema.blocks);
    n->first = block->first;
    n->count = block->count;
    n->outputs = d->outputs;
    n->trained.block = n->block;
    n->trained.first = n->first;
    n->trained.count = block->kind == CSL_BLOCK_FROZEN ? 0 : n->count;
    struct builder b = {.n = n, .study = study, .d = d, .block = name, .err = err};
    if (d->adapter.rank > 0)
        find_adapter(&b);
    add_model(&b);
    return b.code;
}

enum csl_code csl_net_init(struct csl_net *n, const struct csl_study *study, uint32_t domain,
                           struct csl_err *err)
{
    const struct csl_domain *d = &study->domains[domain];
    struct csl_net net = {.layer_count = 0};
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
    case CSL_TASK_LABELS:
        net.loss = CSL_LOSS_MULTILABEL;
        break;
    case CSL_TASK_KIND_COUNT:
        break;
    }
    enum csl_code code = build(&net, study, d, d->id, err);
    uint32_t expected = d->task == CSL_TASK_LABELS ? d->label_count : 1;
    if (code == CSL_OK && net.loss != CSL_LOSS_SOFTMAX && net.outputs != expected)
        code = CSL_FAIL(err, CSL_E_INVAL, "domain %s: %u outputs, expected %u for its task", d->id,
                        d->outputs, expected);
    net.answers = expected;
    if (code == CSL_OK)
        *n = net;
    return code;
}

enum csl_code csl_net_init_input(struct csl_net *n, const struct csl_study *study, uint32_t input,
                                 struct csl_err *err)
{
    struct csl_net net = {.layer_count = 0};
    char name[CSL_ID_MAX];
    csl_study_input_block(name, &study->inputs[input]);
    net.answers = 1;
    enum csl_code code = build(&net, study, &study->inputs[input], name, err);
    if (code == CSL_OK)
        *n = net;
    return code;
}
