/* site-agent/training/compute/cuda/pool.h - pools and means. Backward each input collects from the
 * windows over it, in the order of the output positions. */
#ifndef CSL_CUDA_POOL_H
#define CSL_CUDA_POOL_H
#include "site-agent/training/compute/cuda/window.h"

KERNEL void k_pool_max(struct window32 w, uint64_t n, const float *x, float *y, uint32_t *argmax)
{
    ELEMENTS (i, n) {
        uint32_t c = (uint32_t)(i % w.channels), lo[3], hi[3], at[3];
        uint64_t place = i / w.channels;
        const float *row = x + place / w.positions_out * w.positions_in * w.channels;
        csl_inputs_at(&w, (uint32_t)(place % w.positions_out), lo, hi);
        uint32_t where = csl_index(lo, w.in);
        float best = row[(uint64_t)where * w.channels + c];
        for (at[0] = lo[0]; at[0] < hi[0]; at[0]++)
            for (at[1] = lo[1]; at[1] < hi[1]; at[1]++)
                for (at[2] = lo[2]; at[2] < hi[2]; at[2]++) {
                    uint32_t source = csl_index(at, w.in);
                    float v = row[(uint64_t)source * w.channels + c];
                    bool is_new = v > best || (v != v && source != csl_index(lo, w.in));
                    where = is_new ? source : where;
                    best = is_new ? v : best;
                }
        y[i] = best;
        argmax[i] = where;
    }
}
static void op_pool_max(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                        struct csl_view y, struct csl_view argmax)
{
    struct window32 w = csl_window32(c->window);
    uint64_t n = c->rows * w.positions_out * w.channels;
    csl_dev_begin(d, "pool_max");
    LAUNCH(d, csl_blocks(n), k_pool_max, w, n, csl_f32(x, c->rows * w.positions_in * w.channels),
           csl_f32(y, n), csl_u32(argmax, n));
}

KERNEL void k_pool_max_backward(struct window32 w, uint64_t n, const uint32_t *argmax,
                                const float *g, float *grad_in)
{
    ELEMENTS (i, n) {
        uint32_t c = (uint32_t)(i % w.channels), lo[3], hi[3], o[3];
        uint64_t place = i / w.channels, row = place / w.positions_in * w.positions_out;
        uint32_t source = (uint32_t)(place % w.positions_in);
        float sum = 0;
        csl_outputs_over(&w, source, lo, hi);
        for (o[0] = lo[0]; o[0] < hi[0]; o[0]++)
            for (o[1] = lo[1]; o[1] < hi[1]; o[1]++)
                for (o[2] = lo[2]; o[2] < hi[2]; o[2]++) {
                    uint64_t at = (row + csl_index(o, w.out)) * w.channels + c;
                    sum += argmax[at] == source ? g[at] : 0.0f;
                }
        grad_in[i] = sum;
    }
}
static void op_pool_max_backward(struct csl_dev *d, const struct csl_conv *c,
                                 struct csl_view argmax, struct csl_view grad_out,
                                 struct csl_view grad_in)
{
    struct window32 w = csl_window32(c->window);
    uint64_t out = c->rows * w.positions_out * w.channels,
             n = c->rows * w.positions_in * w.channels;
    csl_dev_begin(d, "pool_max_backward");
    LAUNCH(d, csl_blocks(n), k_pool_max_backward, w, n, csl_u32(argmax, out),
           csl_f32(grad_out, out), csl_f32(grad_in, n));
}

KERNEL void k_pool_average(struct window32 w, uint64_t n, const float *x, float *y)
{
    ELEMENTS (i, n) {
        uint32_t c = (uint32_t)(i % w.channels), lo[3], hi[3], at[3];
        uint64_t place = i / w.channels;
        const float *row = x + place / w.positions_out * w.positions_in * w.channels;
        double sum = 0;
        csl_inputs_at(&w, (uint32_t)(place % w.positions_out), lo, hi);
        for (at[0] = lo[0]; at[0] < hi[0]; at[0]++)
            for (at[1] = lo[1]; at[1] < hi[1]; at[1]++)
                for (at[2] = lo[2]; at[2] < hi[2]; at[2]++)
                    sum += (double)row[(uint64_t)csl_index(at, w.in) * w.channels + c];
        y[i] = (float)(sum / (double)((hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2])));
    }
}
static void op_pool_average(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                            struct csl_view y)
{
    struct window32 w = csl_window32(c->window);
    uint64_t n = c->rows * w.positions_out * w.channels;
    csl_dev_begin(d, "pool_average");
    LAUNCH(d, csl_blocks(n), k_pool_average, w, n,
           csl_f32(x, c->rows * w.positions_in * w.channels), csl_f32(y, n));
}

KERNEL void k_pool_average_backward(struct window32 w, uint64_t n, const float *g, float *grad_in)
{
    ELEMENTS (i, n) {
        uint32_t c = (uint32_t)(i % w.channels), lo[3], hi[3], o[3], from[3], to[3];
        uint64_t place = i / w.channels, row = place / w.positions_in * w.positions_out;
        float sum = 0;
        csl_outputs_over(&w, (uint32_t)(place % w.positions_in), lo, hi);
        for (o[0] = lo[0]; o[0] < hi[0]; o[0]++)
            for (o[1] = lo[1]; o[1] < hi[1]; o[1]++)
                for (o[2] = lo[2]; o[2] < hi[2]; o[2]++) {
                    uint32_t position = csl_index(o, w.out);
                    csl_inputs_at(&w, position, from, to);
                    uint32_t size = (to[0] - from[0]) * (to[1] - from[1]) * (to[2] - from[2]);
                    sum += 1.0f / (float)size * g[(row + position) * w.channels + c];
                }
        grad_in[i] = sum;
    }
}
static void op_pool_average_backward(struct csl_dev *d, const struct csl_conv *c,
                                     struct csl_view grad_out, struct csl_view grad_in)
{
    struct window32 w = csl_window32(c->window);
    uint64_t n = c->rows * w.positions_in * w.channels;
    csl_dev_begin(d, "pool_average_backward");
    LAUNCH(d, csl_blocks(n), k_pool_average_backward, w, n,
           csl_f32(grad_out, c->rows * w.positions_out * w.channels), csl_f32(grad_in, n));
}

/* ---- means over the positions that are present ---- */

DEVICE uint64_t csl_present(const uint8_t *mask, uint64_t n)
{
    uint64_t count = mask == NULL ? n : 0;
    for (uint64_t i = 0; mask != NULL && i < n; i++)
        count += mask[i] != 0 ? 1 : 0;
    return count;
}

KERNEL void k_mean(struct csl_mean m, const float *x, const uint8_t *mask, float *y)
{
    ELEMENTS (i, m.rows * m.channels) {
        uint64_t first = i / m.channels * m.positions;
        const uint8_t *present = mask != NULL ? mask + first : NULL;
        uint64_t count = csl_present(present, m.positions);
        double sum = 0;
        for (uint64_t p = 0; p < m.positions; p++)
            if (present == NULL || present[p] != 0)
                sum += (double)x[(first + p) * m.channels + i % m.channels];
        y[i] = count > 0 ? (float)(sum / (double)count) : 0.0f;
    }
}
static void op_mean(struct csl_dev *d, const struct csl_mean *m, struct csl_view x,
                    struct csl_view mask, struct csl_view y)
{
    csl_dev_begin(d, "mean");
    LAUNCH(d, csl_blocks(m->rows * m->channels), k_mean, *m,
           csl_f32(x, m->rows * m->positions * m->channels),
           csl_u8_or_none(mask, m->rows * m->positions), csl_f32(y, m->rows * m->channels));
}

KERNEL void k_mean_backward(struct csl_mean m, const uint8_t *mask, const float *g, float *grad_in)
{
    ELEMENTS (i, m.rows * m.positions * m.channels) {
        uint64_t place = i / m.channels, row = place / m.positions;
        bool is_present = mask == NULL || mask[place] != 0;
        double count =
            (double)csl_present(mask != NULL ? mask + row * m.positions : NULL, m.positions);
        double value = (double)g[row * m.channels + i % m.channels];
        grad_in[i] = is_present ? (float)(value / count) : 0.0f;
    }
}
static void op_mean_backward(struct csl_dev *d, const struct csl_mean *m, struct csl_view mask,
                             struct csl_view grad_out, struct csl_view grad_in)
{
    uint64_t n = m->rows * m->positions * m->channels;
    csl_dev_begin(d, "mean_backward");
    LAUNCH(d, csl_blocks(n), k_mean_backward, *m, csl_u8_or_none(mask, m->rows * m->positions),
           csl_f32(grad_out, m->rows * m->channels), csl_f32(grad_in, n));
}

#endif
