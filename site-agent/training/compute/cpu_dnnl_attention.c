/* Attention as matrix products of one head after another. */
#include "site-agent/training/compute/cpu_dnnl.h"

#include <math.h>

#define LANES 8u

/* scores: [n] to probabilities over the present ones, in place. Two passes over lanes: a sum of n
 * floats in a fixed order. */
CSL_CLONES static void softmax(float *restrict scores, const uint8_t *present, uint64_t n)
{
    float most = -HUGE_VALF, lane[LANES] = {0}, sum = 0;
    for (uint64_t j = 0; j < n; j++) {
        if (present != NULL && present[j] == 0)
            scores[j] = -HUGE_VALF;
        most = scores[j] > most ? scores[j] : most;
    }
    for (uint64_t j = 0; j < n; j++)
        scores[j] = csl_dnnl__exp(scores[j] - most); /* absent: exp(-inf) is 0 */
    uint64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (unsigned l = 0; l < LANES; l++)
            lane[l] += scores[j + l];
    for (; j < n; j++)
        sum += scores[j];
    for (unsigned l = 0; l < LANES; l++)
        sum += lane[l];
    float scale = 1.0f / sum;
    for (j = 0; j < n; j++)
        scores[j] *= scale;
}

void csl_dnnl__attention(struct csl_dev *d, const struct csl_attention *a, struct csl_view qkv,
                         struct csl_view mask, struct csl_view probs, struct csl_view y)
{
    uint64_t n = a->positions, width = a->width, wide = width / a->heads, step = 3 * width;
    const float *pq = csl_cpu__f32(qkv, a->rows * n * step);
    const uint8_t *pm = mask.buf != NULL ? csl_cpu__u8(mask, a->rows * n) : NULL;
    float *pp = csl_cpu__f32(probs, a->rows * a->heads * n * n);
    float *py = csl_cpu__f32(y, a->rows * n * width);
    struct csl_gemm score = {.m = n, .n = n, .k = wide, .is_b_transposed = true};
    struct csl_gemm mix = {.m = n, .n = wide, .k = n, .alpha = 1};
    score.alpha = (float)(1 / sqrt((double)wide));
    bool is_done = true;
    for (uint64_t at = 0; is_done && at < a->rows * a->heads; at++) {
        uint64_t row = at / a->heads, head = at % a->heads;
        const float *q = pq + row * n * step + head * wide;
        const uint8_t *present = pm != NULL ? pm + row * n : NULL;
        float *p = pp + at * n * n;
        is_done = csl_dnnl__gemm(&score, q, step, q + width, step, p, n);
        for (uint64_t i = 0; i < n; i++) {
            if (present != NULL && present[i] == 0)
                memset(p + i * n, 0, (size_t)n * sizeof(float));
            else
                softmax(p + i * n, present, n);
        }
        is_done = is_done && csl_dnnl__gemm(&mix, p, n, q + 2 * width, step,
                                            py + row * n * width + head * wide, width);
    }
    if (!is_done)
        csl_cpu__attention(d, a, qkv, mask, probs, y);
}

/* ds = p * (dp - p . dp) * scale, over dp: [n] */
CSL_CLONES static void score_gradient(const float *restrict p, float *restrict dp, float scale,
                                      uint64_t n)
{
    float lane[LANES] = {0}, expected = 0;
    uint64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (unsigned l = 0; l < LANES; l++)
            lane[l] += p[j + l] * dp[j + l];
    for (; j < n; j++)
        expected += p[j] * dp[j];
    for (unsigned l = 0; l < LANES; l++)
        expected += lane[l];
    for (j = 0; j < n; j++)
        dp[j] = p[j] * (dp[j] - expected) * scale;
}

void csl_dnnl__attention_backward(struct csl_dev *d, const struct csl_attention *a,
                                  struct csl_view qkv, struct csl_view probs,
                                  struct csl_view grad_out, struct csl_view grad_qkv)
{
    uint64_t n = a->positions, width = a->width, wide = width / a->heads, step = 3 * width;
    const float *pq = csl_cpu__f32(qkv, a->rows * n * step);
    const float *pp = csl_cpu__f32(probs, a->rows * a->heads * n * n);
    const float *pg = csl_cpu__f32(grad_out, a->rows * n * width);
    float *to = csl_cpu__f32(grad_qkv, a->rows * n * step);
    float *ds = csl_cpu__scratch(d, n * n * sizeof(float));
    struct csl_gemm by_probs = {.m = n, .n = n, .k = wide, .is_b_transposed = true, .alpha = 1};
    struct csl_gemm mix = {.m = n, .n = wide, .k = n, .alpha = 1};
    struct csl_gemm mix_back = mix;
    mix_back.is_a_transposed = true;
    float scale = (float)(1 / sqrt((double)wide));
    bool is_done = ds != NULL;
    for (uint64_t at = 0; is_done && at < a->rows * a->heads; at++) {
        uint64_t row = at / a->heads, head = at % a->heads;
        const float *q = pq + row * n * step + head * wide, *p = pp + at * n * n;
        const float *g = pg + row * n * width + head * wide;
        float *out = to + row * n * step + head * wide;
        is_done = csl_dnnl__gemm(&by_probs, g, width, q + 2 * width, step, ds, n);
        for (uint64_t i = 0; i < n; i++)
            score_gradient(p + i * n, ds + i * n, scale, n);
        is_done = is_done && csl_dnnl__gemm(&mix, ds, n, q + width, step, out, step) &&
                  csl_dnnl__gemm(&mix_back, ds, n, q, step, out + width, step) &&
                  csl_dnnl__gemm(&mix_back, p, n, g, width, out + 2 * width, step);
    }
    if (!is_done)
        csl_cpu__attention_backward(d, a, qkv, probs, grad_out, grad_qkv);
}
