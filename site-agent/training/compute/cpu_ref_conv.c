/* Windows that slide: convolutions as their definition, pools as every CPU backend runs them. */
#include "base/checked.h"
#include "site-agent/training/compute/cpu.h"

#include <string.h>

enum csl_code csl_window_init(struct csl_window *w, struct csl_err *err)
{
    struct csl_window made = *w;
    uint64_t in = w->channels, taps = w->channels, out = w->channels;
    for (unsigned i = 0; i < 3; i++) {
        if (w->in[i] == 0 || w->kernel[i] == 0 || w->stride[i] == 0 || w->channels == 0 ||
            w->pad[i] >= w->kernel[i] || w->in[i] > UINT32_MAX || w->kernel[i] > UINT32_MAX ||
            w->in[i] + 2 * w->pad[i] < w->kernel[i])
            return CSL_FAIL(err, CSL_E_INVAL,
                            "a window of %llu over %llu with padding %llu and stride %llu; sizes "
                            "are positive, padding is smaller than the window and the window fits",
                            (unsigned long long)w->kernel[i], (unsigned long long)w->in[i],
                            (unsigned long long)w->pad[i], (unsigned long long)w->stride[i]);
        made.out[i] = (w->in[i] + 2 * w->pad[i] - w->kernel[i]) / w->stride[i] + 1;
        if (!csl_mul_u64(in, w->in[i], &in) || !csl_mul_u64(taps, w->kernel[i], &taps) ||
            !csl_mul_u64(out, made.out[i], &out) || in >> 31 != 0 || taps >> 31 != 0 ||
            out >> 31 != 0)
            return CSL_FAIL(err, CSL_E_LIMIT,
                            "a window over %llu x %llu x %llu positions of %llu channels is too "
                            "large; at most 2^31 values",
                            (unsigned long long)w->in[0], (unsigned long long)w->in[1],
                            (unsigned long long)w->in[2], (unsigned long long)w->channels);
    }
    *w = made;
    return CSL_OK;
}

/* The input positions lo <= p < hi under the window at one output position, padding cut off; shift
 * is where the window's first tap would be. At least one is left because pad < kernel. */
struct box {
    uint64_t lo[3], hi[3];
    int64_t shift[3];
};

static struct box box_at(const struct csl_window *w, uint64_t position)
{
    struct box b;
    uint64_t at[3] = {position / (w->out[1] * w->out[2]), position / w->out[2] % w->out[1],
                      position % w->out[2]};
    for (unsigned i = 0; i < 3; i++) {
        int64_t from = (int64_t)(at[i] * w->stride[i]) - (int64_t)w->pad[i];
        int64_t to = from + (int64_t)w->kernel[i];
        b.shift[i] = from;
        b.lo[i] = from < 0 ? 0 : (uint64_t)from;
        b.hi[i] = to > (int64_t)w->in[i] ? w->in[i] : (uint64_t)to;
    }
    return b;
}

static uint64_t box_size(const struct box *b)
{
    return (b->hi[0] - b->lo[0]) * (b->hi[1] - b->lo[1]) * (b->hi[2] - b->lo[2]);
}

/* The i-th input position of the box, and the tap of the kernel that lies on it. */
static uint64_t box_item(const struct csl_window *w, const struct box *b, uint64_t i, uint64_t *tap)
{
    uint64_t wide = b->hi[2] - b->lo[2], high = b->hi[1] - b->lo[1];
    uint64_t at[3] = {b->lo[0] + i / (wide * high), b->lo[1] + i / wide % high,
                      b->lo[2] + i % wide};
    uint64_t k[3];
    for (unsigned axis = 0; axis < 3; axis++)
        k[axis] = (uint64_t)((int64_t)at[axis] - b->shift[axis]);
    *tap = (k[0] * w->kernel[1] + k[1]) * w->kernel[2] + k[2];
    return (at[0] * w->in[1] + at[1]) * w->in[2] + at[2];
}

void csl_cpu__conv_forward(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                           struct csl_view w, struct csl_view bias, struct csl_view y)
{
    (void)d;
    const struct csl_window *s = c->window;
    uint64_t in = csl_window_positions_in(s), out = csl_window_positions_out(s);
    uint64_t channels = s->channels, taps = csl_window_taps(s);
    const float *px = csl_cpu__f32(x, c->rows * in * channels);
    const float *pw = csl_cpu__f32(w, c->outputs * taps * channels);
    const float *pb = bias.buf != NULL ? csl_cpu__f32(bias, c->outputs) : NULL;
    float *py = csl_cpu__f32(y, c->rows * out * c->outputs);
    for (uint64_t at = 0; at < c->rows * out; at++) {
        struct box b = box_at(s, at % out);
        const float *row = px + at / out * in * channels;
        for (uint64_t o = 0; o < c->outputs; o++) {
            double sum = pb != NULL ? (double)pb[o] : 0;
            for (uint64_t i = 0; i < box_size(&b); i++) {
                uint64_t tap, source = box_item(s, &b, i, &tap);
                for (uint64_t k = 0; k < channels; k++)
                    sum += (double)row[source * channels + k] *
                           (double)pw[(o * taps + tap) * channels + k];
            }
            py[at * c->outputs + o] = (float)sum;
        }
    }
}

/* The output position whose window has `tap` on `source`, false when there is none. */
static bool output_of(const struct csl_window *w, uint64_t source, uint64_t tap, uint64_t *position)
{
    uint64_t at[3] = {source / (w->in[1] * w->in[2]), source / w->in[2] % w->in[1],
                      source % w->in[2]};
    uint64_t k[3] = {tap / (w->kernel[1] * w->kernel[2]), tap / w->kernel[2] % w->kernel[1],
                     tap % w->kernel[2]};
    uint64_t o[3];
    for (unsigned i = 0; i < 3; i++) {
        uint64_t start = at[i] + w->pad[i];
        if (start < k[i] || (start - k[i]) % w->stride[i] != 0)
            return false;
        o[i] = (start - k[i]) / w->stride[i];
        if (o[i] >= w->out[i])
            return false;
    }
    *position = (o[0] * w->out[1] + o[1]) * w->out[2] + o[2];
    return true;
}

void csl_cpu__conv_grad_input(struct csl_dev *d, const struct csl_conv *c, struct csl_view w,
                              struct csl_view grad_out, struct csl_view grad_in)
{
    (void)d;
    const struct csl_window *s = c->window;
    uint64_t in = csl_window_positions_in(s), out = csl_window_positions_out(s);
    uint64_t channels = s->channels, taps = csl_window_taps(s);
    const float *pw = csl_cpu__f32(w, c->outputs * taps * channels);
    const float *pg = csl_cpu__f32(grad_out, c->rows * out * c->outputs);
    float *to = csl_cpu__f32(grad_in, c->rows * in * channels);
    for (uint64_t at = 0; at < c->rows * in * channels; at++) {
        uint64_t k = at % channels, source = at / channels % in, row = at / channels / in;
        double sum = 0;
        for (uint64_t tap = 0; tap < taps; tap++) {
            uint64_t position;
            if (!output_of(s, source, tap, &position))
                continue;
            for (uint64_t o = 0; o < c->outputs; o++)
                sum += (double)pg[(row * out + position) * c->outputs + o] *
                       (double)pw[(o * taps + tap) * channels + k];
        }
        to[at] = (float)sum;
    }
}

/* d loss / d w[output, tap, channel] over the rows [from, to), in double. */
static double weight_gradient(const struct csl_conv *c, const float *x, const float *g,
                              uint64_t index, uint64_t from, uint64_t to)
{
    const struct csl_window *s = c->window;
    uint64_t in = csl_window_positions_in(s), out = csl_window_positions_out(s);
    uint64_t channel = index % s->channels, tap = index / s->channels % csl_window_taps(s);
    uint64_t output = index / s->channels / csl_window_taps(s);
    double sum = 0;
    for (uint64_t source = 0; source < in; source++) {
        uint64_t position;
        if (!output_of(s, source, tap, &position))
            continue;
        for (uint64_t r = from; r < to; r++)
            sum += (double)x[(r * in + source) * s->channels + channel] *
                   (double)g[(r * out + position) * c->outputs + output];
    }
    return sum;
}

void csl_cpu__conv_grad_weight(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                               struct csl_view grad_out, float beta, struct csl_view grad_w)
{
    (void)d;
    const struct csl_window *s = c->window;
    uint64_t weights = c->outputs * csl_window_taps(s) * s->channels;
    const float *px = csl_cpu__f32(x, c->rows * csl_window_positions_in(s) * s->channels);
    const float *pg = csl_cpu__f32(grad_out, c->rows * csl_window_positions_out(s) * c->outputs);
    float *to = csl_cpu__f32(grad_w, weights);
    for (uint64_t i = 0; i < weights; i++) {
        double old = beta == 0.0f ? 0.0 : (double)beta * (double)to[i];
        to[i] = (float)(weight_gradient(c, px, pg, i, 0, c->rows) + old);
    }
}

void csl_cpu__conv_norms(struct csl_dev *d, const struct csl_conv *c, bool has_bias,
                         const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                         struct csl_view norms)
{
    const struct csl_window *s = c->window;
    uint64_t weights = c->outputs * csl_window_taps(s) * s->channels;
    uint64_t out = csl_window_positions_out(s);
    const float *px = csl_cpu__f32(x, c->rows * csl_window_positions_in(s) * s->channels);
    const float *pg = csl_cpu__f32(grad_out, c->rows * out * c->outputs);
    double *to = csl_cpu__f64(norms, u->count);
    struct csl_linear bias = {.positions = out, .out = c->outputs, .has_bias = true};
    for (uint64_t n = 0; n < u->count; n++)
        for (uint64_t i = 0; i < weights; i++) {
            double g = weight_gradient(c, px, pg, i, u->first[n], u->first[n + 1]);
            to[n] += g * g;
        }
    if (has_bias)
        csl_cpu__linear_norms(d, &bias, u, x, grad_out, norms);
}

CSL_CLONES static void keep_larger(float *restrict best, uint32_t *restrict where,
                                   const float *restrict x, uint32_t source, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        bool is_new = x[i] > best[i] || x[i] != x[i];
        where[i] = is_new ? source : where[i];
        best[i] = is_new ? x[i] : best[i];
    }
}

void csl_cpu__pool_max(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                       struct csl_view y, struct csl_view argmax)
{
    (void)d;
    const struct csl_window *s = c->window;
    uint64_t in = csl_window_positions_in(s), out = csl_window_positions_out(s), n = s->channels;
    const float *px = csl_cpu__f32(x, c->rows * in * n);
    float *py = csl_cpu__f32(y, c->rows * out * n);
    uint32_t *where = csl_cpu__u32(argmax, c->rows * out * n);
    for (uint64_t at = 0; at < c->rows * out; at++) {
        struct box b = box_at(s, at % out);
        const float *row = px + at / out * in * n;
        for (uint64_t i = 0; i < box_size(&b); i++) {
            uint64_t tap, source = box_item(s, &b, i, &tap);
            if (i == 0) {
                memcpy(py + at * n, row + source * n, (size_t)n * sizeof(float));
                for (uint64_t k = 0; k < n; k++)
                    where[at * n + k] = (uint32_t)source;
            } else {
                keep_larger(py + at * n, where + at * n, row + source * n, (uint32_t)source, n);
            }
        }
    }
}

void csl_cpu__pool_max_backward(struct csl_dev *d, const struct csl_conv *c, struct csl_view argmax,
                                struct csl_view grad_out, struct csl_view grad_in)
{
    (void)d;
    const struct csl_window *s = c->window;
    uint64_t in = csl_window_positions_in(s), out = csl_window_positions_out(s), n = s->channels;
    const uint32_t *where = csl_cpu__u32(argmax, c->rows * out * n);
    const float *pg = csl_cpu__f32(grad_out, c->rows * out * n);
    float *to = csl_cpu__f32(grad_in, c->rows * in * n);
    memset(to, 0, (size_t)(c->rows * in * n) * sizeof(float));
    for (uint64_t at = 0; at < c->rows * out; at++) {
        float *row = to + at / out * in * n;
        for (uint64_t k = 0; k < n; k++) {
            CSL_ASSERT(where[at * n + k] < in);
            row[where[at * n + k] * n + k] += pg[at * n + k];
        }
    }
}

static double box_sum(const struct csl_window *w, const struct box *b, const float *row, uint64_t k)
{
    double sum = 0;
    for (uint64_t z = b->lo[0]; z < b->hi[0]; z++)
        for (uint64_t y = b->lo[1]; y < b->hi[1]; y++)
            for (uint64_t x = b->lo[2]; x < b->hi[2]; x++)
                sum += (double)row[((z * w->in[1] + y) * w->in[2] + x) * w->channels + k];
    return sum;
}

void csl_cpu__pool_average(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                           struct csl_view y)
{
    (void)d;
    const struct csl_window *s = c->window;
    uint64_t in = csl_window_positions_in(s), out = csl_window_positions_out(s), n = s->channels;
    const float *px = csl_cpu__f32(x, c->rows * in * n);
    float *py = csl_cpu__f32(y, c->rows * out * n);
    for (uint64_t at = 0; at < c->rows * out; at++) {
        struct box b = box_at(s, at % out);
        const float *row = px + at / out * in * n;
        uint64_t size = box_size(&b);
        for (uint64_t k = 0; k < n; k++)
            py[at * n + k] = (float)(box_sum(s, &b, row, k) / (double)size);
    }
}

void csl_cpu__pool_average_backward(struct csl_dev *d, const struct csl_conv *c,
                                    struct csl_view grad_out, struct csl_view grad_in)
{
    (void)d;
    const struct csl_window *s = c->window;
    uint64_t in = csl_window_positions_in(s), out = csl_window_positions_out(s), n = s->channels;
    const float *pg = csl_cpu__f32(grad_out, c->rows * out * n);
    float *to = csl_cpu__f32(grad_in, c->rows * in * n);
    memset(to, 0, (size_t)(c->rows * in * n) * sizeof(float));
    for (uint64_t at = 0; at < c->rows * out; at++) {
        struct box b = box_at(s, at % out);
        uint64_t size = box_size(&b);
        float share = 1.0f / (float)size;
        for (uint64_t i = 0; i < size; i++) {
            uint64_t tap, source = box_item(s, &b, i, &tap);
            float *cell = to + (at / out * in + source) * n;
            for (uint64_t k = 0; k < n; k++)
                cell[k] += share * pg[at * n + k];
        }
    }
}
