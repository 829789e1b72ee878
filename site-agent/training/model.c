#include "site-agent/training/model.h"

#include "base/check.h"
#include "base/checked.h"

#define ALIGN_FLOATS    64u /* 256 bytes: rows of different activations share no cache line */
#define FLOATS_AT_ONCE  (UINT64_C(1) << 26) /* 256 MiB */
#define FLOATS_IN_CACHE (UINT64_C(1) << 19) /* 2 MiB */
#define ROWS_MIN        16u

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

static uint64_t input_width(const struct csl_net *n)
{
    return n->tokens > 0 ? n->tokens : n->layers[0].in;
}

/* What one record takes: its input, then of each layer output, gradient and what is saved. */
static uint64_t floats_of_row(const struct csl_net *n)
{
    uint64_t total = input_width(n) + (n->is_joined ? n->layers[0].in : 0);
    for (uint32_t i = 0; i < n->layer_count; i++)
        total += 2 * n->layers[i].out + n->layers[i].saved; /* widths are below 2^31 */
    return total;
}

uint64_t csl_net_rows_at_once(const struct csl_net *n, uint64_t wanted)
{
    uint64_t most = FLOATS_AT_ONCE / floats_of_row(n);
    most = most > 0 ? most : 1;
    return most < wanted ? most : wanted;
}

uint64_t csl_net_rows_in_cache(const struct csl_net *n, uint64_t wanted)
{
    uint64_t rows = FLOATS_IN_CACHE / floats_of_row(n);
    return csl_net_rows_at_once(n, rows < ROWS_MIN ? ROWS_MIN : rows < wanted ? rows : wanted);
}

/* Floats of a batch, false when they overflow. */
static bool count_floats(const struct csl_net *n, uint64_t rows, uint64_t *out)
{
    uint64_t total, gaps = (3 * (uint64_t)n->layer_count + 2) * ALIGN_FLOATS;
    if (!csl_mul_u64(rows, floats_of_row(n), &total) || !csl_add_u64(total, gaps, &total))
        return false;
    *out = total;
    return total <= UINT64_MAX / 16;
}

/* Labels, whether they are known, inputs. */
static uint64_t bytes_of_row(const struct csl_net *n)
{
    return 2 * n->answers + CSL_STUDY_INPUTS_MAX;
}

/* Rows of numbers beside the activations, and for text its ids and where each row's begin. */
static uint64_t count_words(const struct csl_net *n, uint64_t rows)
{
    return 3 * rows + (n->tokens > 0 ? rows * n->tokens + rows + 1 : 0);
}

static enum csl_code grow(struct csl_work *w, const struct csl_net *n, uint64_t floats_count,
                          uint64_t rows, struct csl_err *err)
{
    uint64_t words_count = count_words(n, rows), bytes_count = rows * bytes_of_row(n);
    if (floats_count <= w->floats_count && words_count <= w->words_count &&
        bytes_count <= w->bytes_count && rows <= w->rows_max)
        return CSL_OK;
    uint64_t bytes = bytes_count > w->bytes_count ? bytes_count : w->bytes_count;
    uint64_t floats = floats_count > w->floats_count ? floats_count : w->floats_count;
    uint64_t words = words_count > w->words_count ? words_count : w->words_count;
    uint64_t most = rows > w->rows_max ? rows : w->rows_max;
    release_buffers(w);
    enum csl_code code = w->ops->alloc(w->dev, floats * sizeof(float), &w->floats, err);
    if (code == CSL_OK)
        code = w->ops->alloc(w->dev, bytes, &w->bytes, err);
    if (code == CSL_OK)
        code = w->ops->alloc(w->dev, words * sizeof(uint32_t), &w->words, err);
    if (code == CSL_OK)
        code = w->ops->alloc(w->dev, most * sizeof(double), &w->doubles, err);
    if (code != CSL_OK) {
        release_buffers(w);
        return code;
    }
    w->floats_count = floats;
    w->words_count = words;
    w->bytes_count = bytes;
    w->rows_max = most;
    return CSL_OK;
}

/* The next `count` floats. */
static struct csl_view take(struct csl_work *w, uint64_t *at, uint64_t count)
{
    struct csl_view v = {w->floats, *at, count};
    *at += (count + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    return v;
}

enum csl_code csl_work_fit(struct csl_work *w, const struct csl_net *n, uint64_t rows,
                           struct csl_err *err)
{
    uint64_t floats_count;
    if (!count_floats(n, rows, &floats_count))
        return CSL_FAIL(err, CSL_E_LIMIT, "a batch of %llu rows of width %llu is too large",
                        (unsigned long long)rows, (unsigned long long)input_width(n));
    enum csl_code code = grow(w, n, floats_count, rows, err);
    if (code != CSL_OK)
        return code;
    uint64_t at = 0;
    w->offsets = (struct csl_view){0};
    if (n->tokens > 0) {
        w->activation[0] = (struct csl_view){w->words, 3 * rows, rows * n->tokens};
        w->offsets = (struct csl_view){w->words, (3 + n->tokens) * rows, rows + 1};
    } else {
        w->activation[0] = take(w, &at, rows * n->layers[0].in);
    }
    /* without layers (predict.c) the input is the logits: its gradient is not wanted */
    w->gradient[0] = (struct csl_view){0};
    if (n->is_joined)
        w->gradient[0] = take(w, &at, rows * n->layers[0].in);
    for (uint32_t i = 0; i < n->layer_count; i++) {
        w->activation[i + 1] = take(w, &at, rows * n->layers[i].out);
        w->gradient[i + 1] = take(w, &at, rows * n->layers[i].out);
        w->saved[i] = take(w, &at, rows * n->layers[i].saved);
    }
    w->rows = rows;
    uint64_t answers = rows * n->answers;
    w->labels = (struct csl_view){w->bytes, 0, answers};
    w->known = (struct csl_view){w->bytes, answers, answers};
    w->mask = (struct csl_view){w->bytes, 2 * answers, rows * CSL_STUDY_INPUTS_MAX};
    w->weights = (struct csl_view){w->words, 0, rows};
    w->order = (struct csl_view){w->words, rows, rows};
    w->tie_end = (struct csl_view){w->words, 2 * rows, rows};
    w->scratch = (struct csl_view){w->doubles, 0, rows};
    return CSL_OK;
}

struct csl_pass csl_net_pass(const struct csl_net *n, const struct csl_pass *p,
                             const struct csl_work *w, uint32_t i)
{
    struct csl_pass one = *p;
    one.saved = w->saved[i];
    if (i == 0 && n->tokens > 0)
        one.offsets = w->offsets;
    if (i == 0 && n->is_joined)
        one.mask = w->mask;
    return one;
}

static struct csl_view rows_of(struct csl_view v, uint64_t rows, uint64_t width)
{
    v.count = rows * width;
    return v;
}

void csl_net_forward(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w)
{
    CSL_ASSERT(p->rows <= w->rows);
    for (uint32_t i = 0; i < n->layer_count; i++) {
        const struct csl_layer *l = &n->layers[i];
        struct csl_pass one = csl_net_pass(n, p, w, i);
        l->ops->forward(l, &one, w->activation[i], w->activation[i + 1]);
        if (n->skip[i] > 0)
            p->ops->axpy_f32(p->dev, 1.0f, rows_of(w->activation[n->skip[i]], p->rows, l->out),
                             rows_of(w->activation[i + 1], p->rows, l->out));
    }
}

void csl_net_grad_inputs(const struct csl_net *n, const struct csl_pass *p,
                         const struct csl_work *w)
{
    CSL_ASSERT(p->rows <= w->rows);
    for (uint32_t i = n->layer_count; i-- > (n->is_joined ? 0 : 1);) {
        const struct csl_layer *l = &n->layers[i];
        struct csl_pass one = csl_net_pass(n, p, w, i);
        l->ops->grad_input(l, &one, w->activation[i], w->gradient[i + 1], w->gradient[i]);
        for (uint32_t j = i; j < n->layer_count; j++) /* what else took this activation */
            if (n->skip[j] > 0 && n->skip[j] == i)
                p->ops->axpy_f32(p->dev, 1.0f, rows_of(w->gradient[j + 1], p->rows, l->in),
                                 rows_of(w->gradient[i], p->rows, l->in));
    }
}

void csl_net_backward(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w)
{
    const struct csl_view all_one = {0};
    csl_net_grad_inputs(n, p, w);
    for (uint32_t i = 0; i < n->layer_count; i++) {
        const struct csl_layer *l = &n->layers[i];
        struct csl_pass one = csl_net_pass(n, p, w, i);
        if (l->ops->grad_params != NULL)
            l->ops->grad_params(l, &one, w->activation[i], w->gradient[i + 1], all_one, 0.0f);
    }
}

void csl_net_grad_layer(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w,
                        uint32_t i, uint64_t at, uint64_t rows)
{
    const struct csl_view all_one = {0};
    const struct csl_layer *l = &n->layers[i];
    if (l->ops->grad_params == NULL)
        return;
    struct csl_pass whole = csl_net_pass(n, p, w, i);
    struct csl_pass one = csl_pass_part(&whole, l, at, rows);
    struct csl_view x = w->activation[i];
    if (i > 0 || n->tokens == 0) /* offsets point into all ids */
        x = (struct csl_view){x.buf, x.first + at * l->in, rows * l->in};
    struct csl_view g = {w->gradient[i + 1].buf, w->gradient[i + 1].first + at * l->out,
                         rows * l->out};
    l->ops->grad_params(l, &one, x, g, all_one, 0.0f);
}

void csl_net_grad_part(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w,
                       uint64_t at, uint64_t rows)
{
    for (uint32_t i = 0; i < n->layer_count; i++)
        csl_net_grad_layer(n, p, w, i, at, rows);
}
