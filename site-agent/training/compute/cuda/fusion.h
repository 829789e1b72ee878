/* site-agent/training/compute/cuda/fusion.h - fusion of modality embeddings. */
#ifndef CSL_CUDA_FUSION_H
#define CSL_CUDA_FUSION_H
#include "site-agent/training/compute/cuda/device.h"

/* dots[r, m] = a . x_rm with a the gate of m, or row r of the gradient; a block each. What a
 * modality without a share holds is not looked at. */
KERNEL void k_fusion_dots(struct csl_fusion f, const float *a, bool is_by_row, const float *x,
                          const uint8_t *available, const float *shares, double *dots)
{
    SHARED(double, part, CSL_THREADS);
    const float *of = a + (is_by_row ? BLOCK / f.modalities : BLOCK % f.modalities) * f.width;
    bool is_seen = (available == NULL || available[BLOCK] != 0) &&
                   (shares == NULL || shares[2 * BLOCK] != 0.0f);
    PHASE (t) {
        double sum = 0;
        for (uint64_t c = t; is_seen && c < f.width; c += CSL_THREADS)
            sum += (double)of[c] * (double)x[BLOCK * f.width + c];
        part[t] = sum;
    }
    double total = csl_block_sum(part);
    PHASE (t) {
        if (t == 0)
            dots[BLOCK] = total;
    }
}

/* One row each. */
KERNEL void k_fusion_shares(struct csl_fusion f, const double *dots, const uint8_t *available,
                            const float *bias, float *shares)
{
    ELEMENTS (r, f.rows) {
        const uint8_t *has = available != NULL ? available + r * f.modalities : NULL;
        const double *score = dots + r * f.modalities;
        double most = -HUGE_VAL, sum = 0;
        for (uint64_t m = 0; m < f.modalities; m++)
            if ((has == NULL || has[m] != 0) && score[m] + (double)bias[m] > most)
                most = score[m] + (double)bias[m];
        for (uint64_t m = 0; m < f.modalities; m++)
            sum += has == NULL || has[m] != 0 ? exp(score[m] + (double)bias[m] - most) : 0;
        for (uint64_t m = 0; m < f.modalities; m++) {
            bool is_there = has == NULL || has[m] != 0;
            double e = is_there ? exp(score[m] + (double)bias[m] - most) / sum : 0;
            shares[2 * (r * f.modalities + m)] = (float)e;
        }
    }
}

DEVICE bool csl_is_empty(const struct csl_fusion *f, const float *share)
{
    for (uint64_t m = 0; m < f->modalities; m++)
        if (share[2 * m] != 0.0f)
            return false;
    return true;
}

KERNEL void k_fusion(struct csl_fusion f, const float *x, const uint8_t *available,
                     const float *empty, const float *shares, float *y)
{
    ELEMENTS (i, f.rows * f.width) {
        uint64_t r = i / f.width, c = i % f.width;
        bool has_any = available == NULL && f.modalities > 0;
        for (uint64_t m = 0; available != NULL && m < f.modalities; m++)
            has_any = has_any || available[r * f.modalities + m] != 0;
        double sum = has_any ? 0 : (double)empty[c];
        for (uint64_t m = 0; m < f.modalities; m++) {
            float share = shares[2 * (r * f.modalities + m)];
            if (share != 0.0f) /* what is absent may hold anything */
                sum += (double)share * (double)x[(r * f.modalities + m) * f.width + c];
        }
        y[i] = (float)sum;
    }
}

static void op_fusion(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                      struct csl_view available, struct csl_view params, struct csl_view y,
                      struct csl_view shares)
{
    uint64_t n = f->modalities, width = f->width;
    const float *px = csl_f32(x, f->rows * n * width);
    const uint8_t *pa = csl_u8_or_none(available, f->rows * n);
    const float *gate = csl_f32(params, n * width + n + width);
    float *py = csl_f32(y, f->rows * width), *ps = csl_f32(shares, f->rows * n * 2);
    csl_dev_begin(d, "fusion");
    double *dots = csl_room_f64(d, CSL_SLOT_A, f->rows * n);
    if (dots == NULL)
        return;
    LAUNCH(d, f->rows * n, k_fusion_dots, *f, gate, false, px, pa, NULL, dots);
    LAUNCH(d, csl_blocks(f->rows), k_fusion_shares, *f, dots, pa, gate + n * width, ps);
    LAUNCH(d, csl_blocks(f->rows * width), k_fusion, *f, px, pa, gate + n * width + n, ps, py);
}

/* d loss / d score_m = share_m (g . x_m - sum_k share_k g . x_k) into each second value. */
KERNEL void k_fusion_scores(struct csl_fusion f, const double *dots, float *shares)
{
    ELEMENTS (r, f.rows) {
        float *share = shares + r * f.modalities * 2;
        const double *dot = dots + r * f.modalities;
        double expected = 0;
        for (uint64_t m = 0; m < f.modalities; m++)
            expected += share[2 * m] != 0.0f ? (double)share[2 * m] * dot[m] : 0;
        for (uint64_t m = 0; m < f.modalities; m++) {
            double along = share[2 * m] != 0.0f ? dot[m] - expected : 0;
            share[2 * m + 1] = (float)((double)share[2 * m] * along);
        }
    }
}
static bool score_gradients(struct csl_dev *d, const struct csl_fusion *f, const float *x,
                            const float *g, float *shares)
{
    double *dots = csl_room_f64(d, CSL_SLOT_A, f->rows * f->modalities);
    if (dots == NULL)
        return false;
    LAUNCH(d, f->rows * f->modalities, k_fusion_dots, *f, g, true, x, NULL, shares, dots);
    LAUNCH(d, csl_blocks(f->rows), k_fusion_scores, *f, dots, shares);
    return true;
}

KERNEL void k_fusion_grad_input(struct csl_fusion f, const float *shares, const float *gate,
                                const float *g, float *grad_in)
{
    uint64_t each = f.modalities * f.width;
    ELEMENTS (i, f.rows * each) {
        const float *share = shares + i / f.width * 2;
        double up = (double)g[i / each * f.width + i % f.width];
        grad_in[i] = (float)((double)share[0] * up + (double)share[1] * (double)gate[i % each]);
    }
}
static void op_fusion_grad_input(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                                 struct csl_view shares, struct csl_view params,
                                 struct csl_view grad_out, struct csl_view grad_in)
{
    uint64_t n = f->modalities, width = f->width;
    float *ps = csl_f32(shares, f->rows * n * 2), *to = csl_f32(grad_in, f->rows * n * width);
    const float *gate = csl_f32(params, n * width), *pg = csl_f32(grad_out, f->rows * width);
    csl_dev_begin(d, "fusion_grad_input");
    if (score_gradients(d, f, csl_f32(x, f->rows * n * width), pg, ps))
        LAUNCH(d, csl_blocks(f->rows * n * width), k_fusion_grad_input, *f, ps, gate, pg, to);
}

/* d loss / d parameter `index` of gate, gate_bias, empty over the rows [from, to). */
DEVICE double csl_fusion_gradient(const struct csl_fusion *f, const float *x, const float *shares,
                                  const float *g, uint64_t index, uint64_t from, uint64_t to)
{
    uint64_t n = f->modalities, width = f->width;
    double sum = 0;
    for (uint64_t r = from; r < to; r++) {
        const float *share = shares + r * n * 2;
        if (index >= n * width + n)
            sum += csl_is_empty(f, share) ? (double)g[r * width + index - n * width - n] : 0;
        else if (index >= n * width)
            sum += (double)share[2 * (index - n * width) + 1];
        else if (share[2 * (index / width)] != 0.0f)
            sum += (double)share[2 * (index / width) + 1] * (double)x[r * n * width + index];
    }
    return sum;
}

KERNEL void k_fusion_grad_params(struct csl_fusion f, uint64_t count, const float *x,
                                 const float *shares, const float *g, float beta, float *grad)
{
    ELEMENTS (i, count) {
        double old = beta == 0.0f ? 0.0 : (double)beta * (double)grad[i];
        grad[i] = (float)(csl_fusion_gradient(&f, x, shares, g, i, 0, f.rows) + old);
    }
}
static void op_fusion_grad_params(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                                  struct csl_view shares, struct csl_view grad_out, float beta,
                                  struct csl_view grad_params)
{
    uint64_t n = f->modalities, width = f->width, count = n * width + n + width;
    const float *px = csl_f32(x, f->rows * n * width), *pg = csl_f32(grad_out, f->rows * width);
    float *ps = csl_f32(shares, f->rows * n * 2), *to = csl_f32(grad_params, count);
    csl_dev_begin(d, "fusion_grad_params");
    if (score_gradients(d, f, px, pg, ps))
        LAUNCH(d, csl_blocks(count), k_fusion_grad_params, *f, count, px, ps, pg, beta, to);
}

/* A block for each unit. */
KERNEL void k_fusion_norms(struct csl_fusion f, uint64_t count, const uint32_t *first,
                           const float *x, const float *shares, const float *g, double *norms)
{
    SHARED(double, part, CSL_THREADS);
    PHASE (t) {
        double sum = 0;
        for (uint64_t i = t; i < count; i += CSL_THREADS) {
            double v = csl_fusion_gradient(&f, x, shares, g, i, first[BLOCK], first[BLOCK + 1]);
            sum += v * v;
        }
        part[t] = sum;
    }
    double total = csl_block_sum(part);
    PHASE (t) {
        if (t == 0)
            norms[BLOCK] += total;
    }
}
static void op_fusion_norms(struct csl_dev *d, const struct csl_fusion *f,
                            const struct csl_units *u, struct csl_view x, struct csl_view shares,
                            struct csl_view grad_out, struct csl_view norms)
{
    uint64_t n = f->modalities, width = f->width, count = n * width + n + width;
    const float *px = csl_f32(x, f->rows * n * width), *pg = csl_f32(grad_out, f->rows * width);
    float *ps = csl_f32(shares, f->rows * n * 2);
    double *to = csl_f64(norms, u->count);
    csl_dev_begin(d, "fusion_norms");
    const uint32_t *first = csl_units_on_device(d, u);
    if (first != NULL && score_gradients(d, f, px, pg, ps))
        LAUNCH(d, u->count, k_fusion_norms, *f, count, first, px, ps, pg, to);
}

#endif
