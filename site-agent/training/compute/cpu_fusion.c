/* Fusion of modality embeddings, for both CPU backends: a few values per row, in double. */
#include "site-agent/training/compute/cpu.h"

#include <math.h>

static double dot(const float *a, const float *b, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Shares of one row; false when it has nothing. */
static bool share_out(const struct csl_fusion *f, const float *x, const uint8_t *available,
                      const float *gate, float *share)
{
    const float *bias = gate + f->modalities * f->width;
    double most = -HUGE_VAL, sum = 0;
    bool has_any = false;
    for (uint64_t m = 0; m < f->modalities; m++) {
        if (available != NULL && available[m] == 0)
            continue;
        double score = dot(gate + m * f->width, x + m * f->width, f->width) + (double)bias[m];
        most = score > most ? score : most;
        has_any = true;
    }
    for (unsigned pass = 0; pass < 2; pass++)
        for (uint64_t m = 0; m < f->modalities; m++) {
            share[2 * m] = 0;
            if (available != NULL && available[m] == 0)
                continue;
            double score = dot(gate + m * f->width, x + m * f->width, f->width) + (double)bias[m];
            if (pass == 0)
                sum += exp(score - most);
            else
                share[2 * m] = (float)(exp(score - most) / sum);
        }
    return has_any;
}

void csl_cpu__fusion(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                     struct csl_view available, struct csl_view params, struct csl_view y,
                     struct csl_view shares)
{
    (void)d;
    uint64_t n = f->modalities, width = f->width;
    const float *px = csl_cpu__f32(x, f->rows * n * width);
    const uint8_t *pa = available.buf != NULL ? csl_cpu__u8(available, f->rows * n) : NULL;
    const float *gate = csl_cpu__f32(params, n * width + n + width);
    const float *empty = gate + n * width + n;
    float *py = csl_cpu__f32(y, f->rows * width), *ps = csl_cpu__f32(shares, f->rows * n * 2);
    for (uint64_t r = 0; r < f->rows; r++) {
        const float *row = px + r * n * width;
        float *share = ps + r * n * 2;
        bool has_any = share_out(f, row, pa != NULL ? pa + r * n : NULL, gate, share);
        for (uint64_t c = 0; c < width; c++) {
            double sum = has_any ? 0 : (double)empty[c];
            for (uint64_t m = 0; m < n; m++)
                if (share[2 * m] != 0.0f) /* what is absent may hold anything */
                    sum += (double)share[2 * m] * (double)row[m * width + c];
            py[r * width + c] = (float)sum;
        }
    }
}

/* d loss / d score_m = share_m (g . x_m - sum_k share_k g . x_k) into each second value of shares;
 * 0 where nothing is present. */
static void score_gradients(const struct csl_fusion *f, const float *x, float *shares,
                            const float *g, uint64_t rows)
{
    uint64_t n = f->modalities, width = f->width;
    for (uint64_t r = 0; r < rows; r++) {
        const float *row = x + r * n * width, *gr = g + r * width;
        float *share = shares + r * n * 2;
        double expected = 0;
        for (uint64_t m = 0; m < n; m++)
            if (share[2 * m] != 0.0f)
                expected += (double)share[2 * m] * dot(gr, row + m * width, width);
        for (uint64_t m = 0; m < n; m++) {
            double along = share[2 * m] != 0.0f ? dot(gr, row + m * width, width) - expected : 0;
            share[2 * m + 1] = (float)((double)share[2 * m] * along);
        }
    }
}

static bool is_empty(const struct csl_fusion *f, const float *share)
{
    for (uint64_t m = 0; m < f->modalities; m++)
        if (share[2 * m] != 0.0f)
            return false;
    return true;
}

void csl_cpu__fusion_grad_input(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                                struct csl_view shares, struct csl_view params,
                                struct csl_view grad_out, struct csl_view grad_in)
{
    (void)d;
    uint64_t n = f->modalities, width = f->width;
    float *ps = csl_cpu__f32(shares, f->rows * n * 2);
    const float *gate = csl_cpu__f32(params, n * width);
    const float *pg = csl_cpu__f32(grad_out, f->rows * width);
    float *to = csl_cpu__f32(grad_in, f->rows * n * width);
    score_gradients(f, csl_cpu__f32(x, f->rows * n * width), ps, pg, f->rows);
    for (uint64_t at = 0; at < f->rows * n; at++) {
        uint64_t r = at / n, m = at % n;
        double share = (double)ps[2 * at], ds = (double)ps[2 * at + 1];
        for (uint64_t c = 0; c < width; c++)
            to[at * width + c] =
                (float)(share * (double)pg[r * width + c] + ds * (double)gate[m * width + c]);
    }
}

/* d loss / d parameter `index` of gate, gate_bias, empty over the rows [from, to). */
static double parameter_gradient(const struct csl_fusion *f, const float *x, const float *shares,
                                 const float *g, uint64_t index, uint64_t from, uint64_t to)
{
    uint64_t n = f->modalities, width = f->width;
    double sum = 0;
    for (uint64_t r = from; r < to; r++) {
        const float *share = shares + r * n * 2;
        if (index >= n * width + n)
            sum += is_empty(f, share) ? (double)g[r * width + index - n * width - n] : 0;
        else if (index >= n * width)
            sum += (double)share[2 * (index - n * width) + 1];
        else if (share[2 * (index / width)] != 0.0f)
            sum += (double)share[2 * (index / width) + 1] * (double)x[r * n * width + index];
    }
    return sum;
}

void csl_cpu__fusion_grad_params(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                                 struct csl_view shares, struct csl_view grad_out, float beta,
                                 struct csl_view grad_params)
{
    (void)d;
    uint64_t n = f->modalities, width = f->width, count = n * width + n + width;
    const float *px = csl_cpu__f32(x, f->rows * n * width);
    const float *pg = csl_cpu__f32(grad_out, f->rows * width);
    float *ps = csl_cpu__f32(shares, f->rows * n * 2), *to = csl_cpu__f32(grad_params, count);
    score_gradients(f, px, ps, pg, f->rows);
    for (uint64_t i = 0; i < count; i++) {
        double old = beta == 0.0f ? 0.0 : (double)beta * (double)to[i];
        to[i] = (float)(parameter_gradient(f, px, ps, pg, i, 0, f->rows) + old);
    }
}

void csl_cpu__fusion_norms(struct csl_dev *d, const struct csl_fusion *f, const struct csl_units *u,
                           struct csl_view x, struct csl_view shares, struct csl_view grad_out,
                           struct csl_view norms)
{
    (void)d;
    uint64_t n = f->modalities, width = f->width, count = n * width + n + width;
    const float *px = csl_cpu__f32(x, f->rows * n * width);
    const float *pg = csl_cpu__f32(grad_out, f->rows * width);
    float *ps = csl_cpu__f32(shares, f->rows * n * 2);
    double *to = csl_cpu__f64(norms, u->count);
    score_gradients(f, px, ps, pg, f->rows);
    for (uint64_t k = 0; k < u->count; k++)
        for (uint64_t i = 0; i < count; i++) {
            double g = parameter_gradient(f, px, ps, pg, i, u->first[k], u->first[k + 1]);
            to[k] += g * g;
        }
}
