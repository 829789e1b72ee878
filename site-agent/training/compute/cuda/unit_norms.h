/* site-agent/training/compute/cuda/unit_norms.h - squared gradient norms of units of a linear
 * layer: the cheaper of two ways, in batches of units with equally many positions. */
#ifndef CSL_CUDA_UNIT_NORMS_H
#define CSL_CUDA_UNIT_NORMS_H
#include "site-agent/training/compute/cuda/reduce.h"

/* Units of one position: |x|^2 |g|^2, with a bias (|x|^2 + 1) |g|^2; a block each. */
KERNEL void k_norms_of_one(const float *x, uint64_t in, const float *g, uint64_t out, bool has_bias,
                           double *norms)
{
    SHARED(double, part, CSL_THREADS);
    PHASE (t) {
        double sum = 0;
        for (uint64_t i = t; i < in; i += CSL_THREADS)
            sum += (double)x[BLOCK * in + i] * (double)x[BLOCK * in + i];
        part[t] = sum;
    }
    double inputs = csl_block_sum(part) + (has_bias ? 1 : 0);
    PHASE (t) {
        double sum = 0;
        for (uint64_t o = t; o < out; o += CSL_THREADS)
            sum += (double)g[BLOCK * out + o] * (double)g[BLOCK * out + o];
        part[t] = sum;
    }
    double outputs = csl_block_sum(part);
    PHASE (t) {
        if (t == 0)
            norms[BLOCK] += inputs * outputs;
    }
}

/* |sum of g over the unit's positions|^2; a block each */
KERNEL void k_norms_of_bias(const float *g, uint64_t positions, uint64_t out, double *norms)
{
    SHARED(double, part, CSL_THREADS);
    PHASE (t) {
        double sum = 0;
        for (uint64_t o = t; o < out; o += CSL_THREADS) {
            double column = 0;
            for (uint64_t p = 0; p < positions; p++)
                column += (double)g[(BLOCK * positions + p) * out + o];
            sum += column * column;
        }
        part[t] = sum;
    }
    double total = csl_block_sum(part);
    PHASE (t) {
        if (t == 0)
            norms[BLOCK] += total;
    }
}

/* One product for each of `batch` units: v v^T over its positions, or a^T b. */
static void unit_products(struct csl_dev *d, uint64_t batch, uint64_t positions, const float *a,
                          uint64_t a_wide, const float *b, uint64_t b_wide, float *out)
{
    bool is_gram = a == b;
    struct csl_product p;
    memset(&p, 0, sizeof(p));
    p.m = is_gram ? positions : a_wide;
    p.n = is_gram ? positions : b_wide;
    p.k = is_gram ? a_wide : positions;
    p.is_a_transposed = !is_gram;
    p.is_b_transposed = is_gram;
    p.alpha = 1;
    p.a = a;
    p.b = b;
    p.c = out;
    p.a_ld = a_wide;
    p.b_ld = b_wide;
    p.c_ld = p.n;
    p.a_step = positions * a_wide;
    p.b_step = positions * b_wide;
    p.c_step = p.m * p.n;
    p.batch = batch;
    csl_multiply(d, &p);
}

/* `units` units of `positions` positions each, one after another: x: [units, positions, in]. */
static void csl_norms_of_equal(struct csl_dev *d, const struct csl_linear *l, uint64_t units,
                               uint64_t positions, const float *x, const float *g, double *norms)
{
    if (positions == 1) {
        LAUNCH(d, units, k_norms_of_one, x, l->in, g, l->out, l->has_bias, norms);
        return;
    }
    if (l->has_bias)
        LAUNCH(d, units, k_norms_of_bias, g, positions, l->out, norms);
    uint64_t gram = positions * positions, whole = l->in * l->out;
    bool is_gram =
        positions * (l->in + l->out) <= whole && 2 * gram * sizeof(float) <= CSL_CHUNK_BYTES;
    uint64_t each = is_gram ? gram : whole;
    uint64_t batch_max = CSL_CHUNK_BYTES / (2 * (each > 0 ? each : 1) * sizeof(float)) + 1;
    for (uint64_t u = 0; each > 0 && u < units; u += batch_max) {
        uint64_t batch = units - u < batch_max ? units - u : batch_max;
        const float *ux = x + u * positions * l->in, *ug = g + u * positions * l->out;
        float *a = csl_room_f32(d, CSL_SLOT_A, batch * each);
        float *b = is_gram ? csl_room_f32(d, CSL_SLOT_B, batch * each) : a;
        if (a == NULL || b == NULL)
            return;
        if (is_gram) {
            unit_products(d, batch, positions, ux, l->in, ux, l->in, a);
            unit_products(d, batch, positions, ug, l->out, ug, l->out, b);
        } else {
            unit_products(d, batch, positions, ug, l->out, ux, l->in, a);
        }
        csl_add_dots(d, batch, each, a, b, norms + u);
    }
}

/* How many units from `from` on have as many rows as that one. */
static uint64_t csl_equal_units(const struct csl_units *u, uint64_t from)
{
    uint64_t n = from + 1;
    while (n < u->count && u->first[n + 1] - u->first[n] == u->first[from + 1] - u->first[from])
        n++;
    return n - from;
}

static void op_linear_norms(struct csl_dev *d, const struct csl_linear *l,
                            const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                            struct csl_view norms)
{
    uint64_t positions = u->first[u->count] * l->positions;
    const float *px = l->in > 0 ? csl_f32(x, positions * l->in) : NULL;
    const float *pg = csl_f32(grad_out, positions * l->out);
    double *to = csl_f64(norms, u->count);
    csl_dev_begin(d, "linear_norms");
    for (uint64_t n = 0; n < u->count;) {
        uint64_t equal = csl_equal_units(u, n), first = u->first[n] * l->positions;
        uint64_t each = (u->first[n + 1] - u->first[n]) * l->positions;
        if (each > 0)
            csl_norms_of_equal(d, l, equal, each, l->in > 0 ? px + first * l->in : NULL,
                               pg + first * l->out, to + n);
        n += equal;
    }
}

#endif
