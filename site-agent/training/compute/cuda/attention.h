/* site-agent/training/compute/cuda/attention.h - attention: products of small matrices, and kernels
 * over the scores between them. */
#ifndef CSL_CUDA_ATTENTION_H
#define CSL_CUDA_ATTENTION_H
#include "site-agent/training/compute/cuda/device.h"

/* Scores become shares, softmax over the present positions; a block for each row, head and
 * position. */
KERNEL void k_softmax(uint64_t heads, uint64_t n, const uint8_t *mask, float *scores)
{
    SHARED(double, part, CSL_THREADS);
    uint64_t row = BLOCK / n / heads, self = BLOCK % n;
    const uint8_t *present = mask != NULL ? mask + row * n : NULL;
    bool is_present = present == NULL || present[self] != 0;
    float *p = scores + BLOCK * n;
    PHASE (t) {
        double most = -HUGE_VAL;
        for (uint64_t j = t; j < n; j += CSL_THREADS)
            if ((present == NULL || present[j] != 0) && (double)p[j] > most)
                most = (double)p[j];
        part[t] = most;
    }
    double most = csl_block_max(part);
    PHASE (t) {
        double sum = 0;
        for (uint64_t j = t; j < n; j += CSL_THREADS)
            sum += present == NULL || present[j] != 0 ? exp((double)p[j] - most) : 0;
        part[t] = sum;
    }
    double sum = csl_block_sum(part);
    PHASE (t) {
        for (uint64_t j = t; j < n; j += CSL_THREADS) {
            bool is_seen = is_present && (present == NULL || present[j] != 0);
            p[j] = is_seen ? (float)(exp((double)p[j] - most) / sum) : 0.0f;
        }
    }
}

/* dp becomes scale p (dp - sum_k p_k dp_k); a block for each row, head and position. */
KERNEL void k_softmax_backward(uint64_t n, double scale, const float *probs, float *dp)
{
    SHARED(double, part, CSL_THREADS);
    const float *p = probs + BLOCK * n;
    float *of = dp + BLOCK * n;
    PHASE (t) {
        double sum = 0;
        for (uint64_t j = t; j < n; j += CSL_THREADS)
            sum += (double)p[j] * (double)of[j];
        part[t] = sum;
    }
    double expected = csl_block_sum(part);
    PHASE (t) {
        for (uint64_t j = t; j < n; j += CSL_THREADS)
            of[j] = (float)(scale * (double)p[j] * ((double)of[j] - expected));
    }
}

/* One head's matrix in all rows: elements apart by ld and step. */
struct head {
    float *first;
    uint64_t ld, step;
};

/* c = alpha a op(b) for each row; inner: columns of a */
static void head_product(struct csl_dev *d, const struct csl_attention *a, float alpha,
                         const struct head *x, bool is_x_transposed, const struct head *y,
                         bool is_y_transposed, const struct head *out, uint64_t cols,
                         uint64_t inner)
{
    struct csl_product p;
    memset(&p, 0, sizeof(p));
    p.m = a->positions;
    p.n = cols;
    p.k = inner;
    p.is_a_transposed = is_x_transposed;
    p.is_b_transposed = is_y_transposed;
    p.alpha = alpha;
    p.a = x->first;
    p.a_ld = x->ld;
    p.a_step = x->step;
    p.b = y->first;
    p.b_ld = y->ld;
    p.b_step = y->step;
    p.c = out->first;
    p.c_ld = out->ld;
    p.c_step = out->step;
    p.batch = a->rows;
    csl_multiply(d, &p);
}

/* q, k or v (part 0, 1, 2) of a head in [rows, positions, 3, width] */
static struct head part_of(const struct csl_attention *a, float *qkv, unsigned part, uint64_t head)
{
    struct head h = {qkv + part * a->width + head * (a->width / a->heads), 3 * a->width,
                     a->positions * 3 * a->width};
    return h;
}
static struct head scores_of(const struct csl_attention *a, float *scores, uint64_t head)
{
    uint64_t each = a->positions * a->positions;
    struct head h = {scores + head * each, a->positions, a->heads * each};
    return h;
}
static struct head output_of(const struct csl_attention *a, float *y, uint64_t head)
{
    struct head h = {y + head * (a->width / a->heads), a->width, a->positions * a->width};
    return h;
}

static void op_attention(struct csl_dev *d, const struct csl_attention *a, struct csl_view qkv,
                         struct csl_view mask, struct csl_view probs, struct csl_view y)
{
    uint64_t n = a->positions, wide = a->width / a->heads;
    float *pq = csl_f32(qkv, a->rows * n * 3 * a->width);
    float *pp = csl_f32(probs, a->rows * a->heads * n * n),
          *py = csl_f32(y, a->rows * n * a->width);
    const uint8_t *pm = csl_u8_or_none(mask, a->rows * n);
    float scale = (float)(1 / sqrt((double)wide));
    csl_dev_begin(d, "attention");
    for (uint64_t h = 0; h < a->heads; h++) {
        struct head q = part_of(a, pq, 0, h), k = part_of(a, pq, 1, h), s = scores_of(a, pp, h);
        head_product(d, a, scale, &q, false, &k, true, &s, n, wide);
    }
    LAUNCH(d, a->rows * a->heads * n, k_softmax, a->heads, n, pm, pp);
    for (uint64_t h = 0; h < a->heads; h++) {
        struct head v = part_of(a, pq, 2, h), s = scores_of(a, pp, h), o = output_of(a, py, h);
        head_product(d, a, 1, &s, false, &v, false, &o, wide, n);
    }
}

static void op_attention_backward(struct csl_dev *d, const struct csl_attention *a,
                                  struct csl_view qkv, struct csl_view probs,
                                  struct csl_view grad_out, struct csl_view grad_qkv)
{
    uint64_t n = a->positions, wide = a->width / a->heads, scores = a->rows * a->heads * n * n;
    float *pq = csl_f32(qkv, a->rows * n * 3 * a->width), *pp = csl_f32(probs, scores);
    float *pg = csl_f32(grad_out, a->rows * n * a->width);
    float *to = csl_f32(grad_qkv, a->rows * n * 3 * a->width);
    csl_dev_begin(d, "attention_backward");
    float *ds = csl_room_f32(d, CSL_SLOT_A, scores);
    if (ds == NULL)
        return;
    for (uint64_t h = 0; h < a->heads; h++) {
        struct head g = output_of(a, pg, h), v = part_of(a, pq, 2, h), s = scores_of(a, ds, h);
        head_product(d, a, 1, &g, false, &v, true, &s, n, wide);
    }
    LAUNCH(d, a->rows * a->heads * n, k_softmax_backward, n, 1 / sqrt((double)wide), pp, ds);
    for (uint64_t h = 0; h < a->heads; h++) {
        struct head q = part_of(a, pq, 0, h), k = part_of(a, pq, 1, h), g = output_of(a, pg, h);
        struct head s = scores_of(a, ds, h), p = scores_of(a, pp, h);
        struct head dq = part_of(a, to, 0, h), dk = part_of(a, to, 1, h), dv = part_of(a, to, 2, h);
        head_product(d, a, 1, &s, false, &k, false, &dq, wide, n);
        head_product(d, a, 1, &s, true, &q, false, &dk, wide, n);
        head_product(d, a, 1, &p, true, &g, false, &dv, wide, n);
    }
}

#endif
