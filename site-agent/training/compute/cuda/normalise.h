/* site-agent/training/compute/cuda/normalise.h - layer and group norm. */
#ifndef CSL_CUDA_NORMALISE_H
#define CSL_CUDA_NORMALISE_H
#include "site-agent/training/compute/cuda/reduce.h"

/* Item i of group `at` (token * groups + group) in x; its channel in *channel. */
DEVICE uint64_t csl_group_item(const struct csl_norm *n, uint64_t at, uint64_t i, uint64_t *channel)
{
    uint64_t wide = n->channels / n->groups;
    *channel = at % n->groups * wide + i % wide;
    return (at / n->groups * n->positions + i / wide) * n->channels + *channel;
}

/* A block for each token and group. */
KERNEL void k_norm_forward(struct csl_norm n, const float *x, const float *gain, const float *shift,
                           float *y, float *stats)
{
    SHARED(double, part, CSL_THREADS);
    uint64_t size = n.positions * (n.channels / n.groups);
    PHASE (t) {
        uint64_t c;
        double sum = 0;
        for (uint64_t i = t; i < size; i += CSL_THREADS)
            sum += (double)x[csl_group_item(&n, BLOCK, i, &c)];
        part[t] = sum;
    }
    double mean = csl_block_sum(part) / (double)size;
    PHASE (t) {
        uint64_t c;
        double sum = 0;
        for (uint64_t i = t; i < size; i += CSL_THREADS) {
            double off = (double)x[csl_group_item(&n, BLOCK, i, &c)] - mean;
            sum += off * off;
        }
        part[t] = sum;
    }
    double squares = csl_block_sum(part);
    float centre = (float)mean, s = (float)(1 / sqrt(squares / (double)size + n.epsilon));
    PHASE (t) {
        uint64_t c;
        if (t == 0) {
            stats[2 * BLOCK] = centre;
            stats[2 * BLOCK + 1] = s;
        }
        for (uint64_t i = t; i < size; i += CSL_THREADS) {
            uint64_t k = csl_group_item(&n, BLOCK, i, &c);
            double hat = ((double)x[k] - (double)centre) * (double)s;
            y[k] = (float)(hat * (double)gain[c] + (double)shift[c]);
        }
    }
}
static void op_norm_forward(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                            struct csl_view gain, struct csl_view shift, struct csl_view y,
                            struct csl_view stats)
{
    uint64_t tokens = n->rows * n->tokens, values = tokens * n->positions * n->channels;
    csl_dev_begin(d, "norm_forward");
    LAUNCH(d, tokens * n->groups, k_norm_forward, *n, csl_f32(x, values),
           csl_f32(gain, n->channels), csl_f32(shift, n->channels), csl_f32(y, values),
           csl_f32(stats, tokens * n->groups * 2));
}

/* With h = (x - mean) s and e = grad_out gain: grad_in = s (e - mean(e) - h mean(e h)). */
KERNEL void k_norm_grad_input(struct csl_norm n, const float *x, const float *gain,
                              const float *stats, const float *g, float *grad_in)
{
    SHARED(double, part, CSL_THREADS);
    SHARED(double, along, CSL_THREADS);
    uint64_t size = n.positions * (n.channels / n.groups);
    double mean = (double)stats[2 * BLOCK], s = (double)stats[2 * BLOCK + 1];
    PHASE (t) {
        uint64_t c;
        double sum = 0, with_h = 0;
        for (uint64_t i = t; i < size; i += CSL_THREADS) {
            uint64_t k = csl_group_item(&n, BLOCK, i, &c);
            double e = (double)g[k] * (double)gain[c];
            sum += e;
            with_h += e * ((double)x[k] - mean) * s;
        }
        part[t] = sum;
        along[t] = with_h;
    }
    double all = csl_block_sum(part), all_along = csl_block_sum(along);
    PHASE (t) {
        uint64_t c;
        for (uint64_t i = t; i < size; i += CSL_THREADS) {
            uint64_t k = csl_group_item(&n, BLOCK, i, &c);
            double e = (double)g[k] * (double)gain[c], h = ((double)x[k] - mean) * s;
            grad_in[k] = (float)(s * (e - (all + h * all_along) / (double)size));
        }
    }
}
static void op_norm_grad_input(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                               struct csl_view gain, struct csl_view stats,
                               struct csl_view grad_out, struct csl_view grad_in)
{
    uint64_t tokens = n->rows * n->tokens, values = tokens * n->positions * n->channels;
    csl_dev_begin(d, "norm_grad_input");
    LAUNCH(d, tokens * n->groups, k_norm_grad_input, *n, csl_f32(x, values),
           csl_f32(gain, n->channels), csl_f32(stats, tokens * n->groups * 2),
           csl_f32(grad_out, values), csl_f32(grad_in, values));
}

/* The gradients by gain and shift of channel c over the positions [from, end) of all tokens. */
DEVICE void csl_channel_gradient(const struct csl_norm *n, const float *x, const float *stats,
                                 const float *g, uint64_t c, uint64_t from, uint64_t end,
                                 double *gain, double *shift)
{
    uint64_t group = c / (n->channels / n->groups);
    *gain = *shift = 0;
    for (uint64_t p = from; p < end; p++) {
        const float *of = stats + 2 * (p / n->positions * n->groups + group);
        double grad = (double)g[p * n->channels + c];
        *gain += grad * ((double)x[p * n->channels + c] - (double)of[0]) * (double)of[1];
        *shift += grad;
    }
}

/* pieces: two of [count, channels], gain and shift */
KERNEL void k_norm_pieces(struct csl_norm n, const float *x, const float *stats, const float *g,
                          uint64_t piece_rows, uint64_t count, double *pieces)
{
    uint64_t rows = n.rows * n.tokens * n.positions, values = count * n.channels;
    ELEMENTS (i, values) {
        uint64_t from = i / n.channels * piece_rows;
        uint64_t end = from + piece_rows < rows ? from + piece_rows : rows;
        csl_channel_gradient(&n, x, stats, g, i % n.channels, from, end, &pieces[i],
                             &pieces[values + i]);
    }
}
static void op_norm_grad_params(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                                struct csl_view stats, struct csl_view grad_out, float beta,
                                struct csl_view grad_gain, struct csl_view grad_shift)
{
    uint64_t rows = n->rows * n->tokens * n->positions, c = n->channels;
    uint64_t piece_rows = csl_piece_rows(rows), count = (rows + piece_rows - 1) / piece_rows;
    const float *px = csl_f32(x, rows * c), *pg = csl_f32(grad_out, rows * c);
    const float *ps = csl_f32(stats, n->rows * n->tokens * n->groups * 2);
    float *gain = csl_f32(grad_gain, c), *shift = csl_f32(grad_shift, c);
    csl_dev_begin(d, "norm_grad_params");
    double *pieces = csl_room_f64(d, CSL_SLOT_C, 2 * count * c);
    if (pieces == NULL)
        return;
    LAUNCH(d, csl_blocks(count * c), k_norm_pieces, *n, px, ps, pg, piece_rows, count, pieces);
    LAUNCH(d, csl_blocks(c), k_column_sums, pieces, count, c, beta, gain);
    LAUNCH(d, csl_blocks(c), k_column_sums, pieces + count * c, count, c, beta, shift);
}

/* A block for each unit. */
KERNEL void k_norm_norms(struct csl_norm n, const uint32_t *first, const float *x,
                         const float *stats, const float *g, double *norms)
{
    SHARED(double, part, CSL_THREADS);
    uint64_t from = first[BLOCK] * n.tokens * n.positions;
    uint64_t end = first[BLOCK + 1] * n.tokens * n.positions;
    PHASE (t) {
        double sum = 0, gain, shift;
        for (uint64_t c = t; c < n.channels; c += CSL_THREADS) {
            csl_channel_gradient(&n, x, stats, g, c, from, end, &gain, &shift);
            sum += gain * gain + shift * shift;
        }
        part[t] = sum;
    }
    double total = csl_block_sum(part);
    PHASE (t) {
        if (t == 0)
            norms[BLOCK] += total;
    }
}
static void op_norm_norms(struct csl_dev *d, const struct csl_norm *n, const struct csl_units *u,
                          struct csl_view x, struct csl_view stats, struct csl_view grad_out,
                          struct csl_view norms)
{
    uint64_t values = n->rows * n->tokens * n->positions * n->channels;
    const float *px = csl_f32(x, values), *pg = csl_f32(grad_out, values);
    const float *ps = csl_f32(stats, n->rows * n->tokens * n->groups * 2);
    double *to = csl_f64(norms, u->count);
    csl_dev_begin(d, "norm_norms");
    const uint32_t *first = csl_units_on_device(d, u);
    if (first != NULL)
        LAUNCH(d, u->count, k_norm_norms, *n, first, px, ps, pg, to);
}

#endif
