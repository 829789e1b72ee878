/* Operations over the positions of a row and over its modalities: the definitions. */
#include "site-agent/training/compute/cpu.h"

#include <math.h>
#include <string.h>

static double dot(const float *a, const float *b, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* One row of probabilities: softmax of scale * q . k_j over the present j, 0 elsewhere. */
static void attend(const struct csl_attention *a, const float *q, const float *keys,
                   const uint8_t *present, float *probs)
{
    uint64_t n = a->positions, wide = a->width / a->heads;
    double scale = 1 / sqrt((double)wide), most = -HUGE_VAL, sum = 0;
    for (uint64_t j = 0; j < n; j++) {
        double score = scale * dot(q, keys + j * 3 * a->width, wide);
        probs[j] = (float)score;
        if ((present == NULL || present[j] != 0) && score > most)
            most = score;
    }
    for (uint64_t j = 0; j < n; j++) {
        bool is_present = present == NULL || present[j] != 0;
        double e = exp(scale * dot(q, keys + j * 3 * a->width, wide) - most);
        sum += is_present ? e : 0;
    }
    for (uint64_t j = 0; j < n; j++) {
        bool is_present = present == NULL || present[j] != 0;
        double e = exp(scale * dot(q, keys + j * 3 * a->width, wide) - most);
        probs[j] = is_present ? (float)(e / sum) : 0.0f;
    }
}

void csl_cpu__attention(struct csl_dev *d, const struct csl_attention *a, struct csl_view qkv,
                        struct csl_view mask, struct csl_view probs, struct csl_view y)
{
    (void)d;
    uint64_t n = a->positions, width = a->width, wide = width / a->heads;
    const float *pq = csl_cpu__f32(qkv, a->rows * n * 3 * width);
    const uint8_t *pm = mask.buf != NULL ? csl_cpu__u8(mask, a->rows * n) : NULL;
    float *pp = csl_cpu__f32(probs, a->rows * a->heads * n * n);
    float *py = csl_cpu__f32(y, a->rows * n * width);
    for (uint64_t at = 0; at < a->rows * a->heads * n; at++) {
        uint64_t i = at % n, head = at / n % a->heads, row = at / n / a->heads;
        const float *q = pq + row * n * 3 * width + head * wide;
        const uint8_t *present = pm != NULL ? pm + row * n : NULL;
        float *p = pp + at * n, *out = py + (row * n + i) * width + head * wide;
        if (present != NULL && present[i] == 0) {
            memset(p, 0, (size_t)n * sizeof(float));
            memset(out, 0, (size_t)wide * sizeof(float));
            continue;
        }
        attend(a, q + i * 3 * width, q + width, present, p);
        for (uint64_t c = 0; c < wide; c++) {
            double sum = 0;
            for (uint64_t j = 0; j < n; j++)
                sum += (double)p[j] * (double)q[2 * width + j * 3 * width + c];
            out[c] = (float)sum;
        }
    }
}

/* With dp_ij = g_i . v_j and ds_ij = p_ij (dp_ij - sum_k p_ik dp_ik) / sqrt(wide):
 * dq_i = sum_j ds_ij k_j, dk_j = sum_i ds_ij q_i, dv_j = sum_i p_ij g_i. */
static double score_gradient(const struct csl_attention *a, const float *q, const float *probs,
                             const float *g, uint64_t i, uint64_t j)
{
    uint64_t n = a->positions, width = a->width, wide = width / a->heads;
    const float *p = probs + i * n, *v = q + 2 * width;
    double expected = 0;
    for (uint64_t k = 0; k < n; k++)
        expected += (double)p[k] * dot(g + i * width, v + k * 3 * width, wide);
    double dp = dot(g + i * width, v + j * 3 * width, wide);
    return (double)p[j] * (dp - expected) / sqrt((double)wide);
}

void csl_cpu__attention_backward(struct csl_dev *d, const struct csl_attention *a,
                                 struct csl_view qkv, struct csl_view probs,
                                 struct csl_view grad_out, struct csl_view grad_qkv)
{
    (void)d;
    uint64_t n = a->positions, width = a->width, wide = width / a->heads;
    const float *pq = csl_cpu__f32(qkv, a->rows * n * 3 * width);
    const float *pp = csl_cpu__f32(probs, a->rows * a->heads * n * n);
    const float *pg = csl_cpu__f32(grad_out, a->rows * n * width);
    float *to = csl_cpu__f32(grad_qkv, a->rows * n * 3 * width);
    for (uint64_t at = 0; at < a->rows * a->heads * n; at++) {
        uint64_t i = at % n, head = at / n % a->heads, row = at / n / a->heads;
        const float *q = pq + row * n * 3 * width + head * wide;
        const float *p = pp + (row * a->heads + head) * n * n;
        const float *g = pg + row * n * width + head * wide;
        float *out = to + (row * n + i) * 3 * width + head * wide;
        for (uint64_t c = 0; c < wide; c++) {
            double dq = 0, dk = 0, dv = 0;
            for (uint64_t j = 0; j < n; j++) {
                dq += score_gradient(a, q, p, g, i, j) * (double)q[width + j * 3 * width + c];
                dk += score_gradient(a, q, p, g, j, i) * (double)q[j * 3 * width + c];
                dv += (double)p[j * n + i] * (double)g[j * width + c];
            }
            out[c] = (float)dq;
            out[width + c] = (float)dk;
            out[2 * width + c] = (float)dv;
        }
    }
}

static uint64_t count_present(const uint8_t *mask, uint64_t n)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < n; i++)
        count += mask == NULL || mask[i] != 0 ? 1 : 0;
    return count;
}

void csl_cpu__mean(struct csl_dev *d, const struct csl_mean *m, struct csl_view x,
                   struct csl_view mask, struct csl_view y)
{
    (void)d;
    uint64_t n = m->positions;
    const float *px = csl_cpu__f32(x, m->rows * n * m->channels);
    const uint8_t *pm = mask.buf != NULL ? csl_cpu__u8(mask, m->rows * n) : NULL;
    float *py = csl_cpu__f32(y, m->rows * m->channels);
    for (uint64_t r = 0; r < m->rows; r++) {
        const uint8_t *present = pm != NULL ? pm + r * n : NULL;
        uint64_t count = count_present(present, n);
        for (uint64_t c = 0; c < m->channels; c++) {
            double sum = 0;
            for (uint64_t i = 0; i < n; i++)
                if (present == NULL || present[i] != 0)
                    sum += (double)px[(r * n + i) * m->channels + c];
            py[r * m->channels + c] = count > 0 ? (float)(sum / (double)count) : 0.0f;
        }
    }
}

void csl_cpu__mean_backward(struct csl_dev *d, const struct csl_mean *m, struct csl_view mask,
                            struct csl_view grad_out, struct csl_view grad_in)
{
    (void)d;
    uint64_t n = m->positions;
    const uint8_t *pm = mask.buf != NULL ? csl_cpu__u8(mask, m->rows * n) : NULL;
    const float *pg = csl_cpu__f32(grad_out, m->rows * m->channels);
    float *to = csl_cpu__f32(grad_in, m->rows * n * m->channels);
    for (uint64_t r = 0; r < m->rows; r++) {
        const uint8_t *present = pm != NULL ? pm + r * n : NULL;
        double count = (double)count_present(present, n);
        for (uint64_t i = 0; i < n; i++) {
            bool is_present = present == NULL || present[i] != 0;
            for (uint64_t c = 0; c < m->channels; c++)
                to[(r * n + i) * m->channels + c] =
                    is_present ? (float)((double)pg[r * m->channels + c] / count) : 0.0f;
        }
    }
}
