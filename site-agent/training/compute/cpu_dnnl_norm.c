/* GELU, layer and group norm and embedding norms, vectorised over channels. */
#include "site-agent/training/compute/cpu_dnnl.h"

#include <math.h>
#include <stdlib.h>

/* Phi(x) by the complementary error function within 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26);
 * tail: exp(-x^2 / 2). */
static inline float normal_cdf(float x, float *tail)
{
    float z = fabsf(x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    *tail = csl_dnnl__exp(-z * z);
    float half = 0.5f * p * t * *tail;
    return x > 0.0f ? 1.0f - half : half;
}

CSL_CLONES static void gelu(const float *x, float *y, uint64_t n)
{
    CSL_IVDEP
    for (uint64_t i = 0; i < n; i++) {
        float tail;
        y[i] = x[i] * normal_cdf(x[i], &tail);
    }
}

CSL_CLONES static void gelu_backward(const float *x, const float *g, float *out, uint64_t n)
{
    CSL_IVDEP
    for (uint64_t i = 0; i < n; i++) {
        float tail, cdf = normal_cdf(x[i], &tail);
        out[i] = g[i] * (cdf + x[i] * tail * 0.39894228f);
    }
}

void csl_dnnl__gelu(struct csl_dev *d, struct csl_view x, struct csl_view y)
{
    (void)d;
    gelu(csl_cpu__f32(x, x.count), csl_cpu__f32(y, x.count), x.count);
}

void csl_dnnl__gelu_backward(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                             struct csl_view grad_in)
{
    (void)d;
    gelu_backward(csl_cpu__f32(x, x.count), csl_cpu__f32(grad_out, x.count),
                  csl_cpu__f32(grad_in, x.count), x.count);
}

/* ---- norms: every loop runs over the channels of one position ---- */

CSL_CLONES static void add_values(uint64_t n, const float *restrict x, double *restrict sum)
{
    for (uint64_t c = 0; c < n; c++)
        sum[c] += (double)x[c];
}

CSL_CLONES static void add_squares(uint64_t n, const float *restrict x, const double *restrict mean,
                                   double *restrict sum)
{
    for (uint64_t c = 0; c < n; c++) {
        double off = (double)x[c] - mean[c];
        sum[c] += off * off;
    }
}

CSL_CLONES static void apply(uint64_t n, const float *restrict x, const float *restrict mean,
                             const float *restrict s, const float *restrict gain,
                             const float *restrict shift, float *restrict y)
{
    for (uint64_t c = 0; c < n; c++)
        y[c] = (x[c] - mean[c]) * s[c] * gain[c] + shift[c];
}

/* along += g h, sum += g, with h = (x - mean) s */
CSL_CLONES static void add_gradients(uint64_t n, const float *restrict g, const float *restrict x,
                                     const float *restrict mean, const float *restrict s,
                                     double *restrict along, double *restrict sum)
{
    for (uint64_t c = 0; c < n; c++) {
        along[c] += (double)(g[c] * ((x[c] - mean[c]) * s[c]));
        sum[c] += (double)g[c];
    }
}

CSL_CLONES static void input_gradient(uint64_t n, const float *restrict g, const float *restrict x,
                                      const float *restrict mean, const float *restrict s,
                                      const float *restrict gain, const float *restrict along,
                                      const float *restrict sum, float *restrict out)
{
    for (uint64_t c = 0; c < n; c++) {
        float h = (x[c] - mean[c]) * s[c];
        out[c] = s[c] * (g[c] * gain[c] - (sum[c] + h * along[c]));
    }
}

static double sum_of(const double *v, uint64_t n)
{
    double lane[4] = {0};
    uint64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (unsigned l = 0; l < 4; l++)
            lane[l] += v[i + l];
    for (; i < n; i++)
        lane[0] += v[i];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* Room per channel: two doubles and four floats. */
struct room {
    double *a, *b;
    float *mean, *s, *along, *sum;
};

static bool room_of(struct csl_dev *d, uint64_t channels, struct room *r)
{
    r->a = csl_cpu__scratch(d, channels * (2 * sizeof(double) + 4 * sizeof(float)));
    if (r->a == NULL)
        return false;
    r->b = r->a + channels;
    r->mean = (float *)(void *)(r->b + channels);
    r->s = r->mean + channels;
    r->along = r->s + channels;
    r->sum = r->along + channels;
    return true;
}

/* stats of one token, said for each channel */
static void spread(const struct csl_norm *n, const float *stats, struct room *r)
{
    uint64_t width = n->channels / n->groups;
    for (uint64_t g = 0; g < n->groups; g++)
        for (uint64_t c = g * width; c < (g + 1) * width; c++) {
            r->mean[c] = stats[2 * g];
            r->s[c] = stats[2 * g + 1];
        }
}

static void token_stats(const struct csl_norm *n, const float *x, float *stats, struct room *r)
{
    uint64_t width = n->channels / n->groups;
    double size = (double)(n->positions * width);
    memset(r->a, 0, (size_t)n->channels * sizeof(double));
    for (uint64_t p = 0; p < n->positions; p++)
        add_values(n->channels, x + p * n->channels, r->a);
    for (uint64_t g = 0; g < n->groups; g++) {
        double mean = sum_of(r->a + g * width, width) / size;
        stats[2 * g] = (float)mean;
        for (uint64_t c = g * width; c < (g + 1) * width; c++)
            r->b[c] = mean;
    }
    memset(r->a, 0, (size_t)n->channels * sizeof(double));
    for (uint64_t p = 0; p < n->positions; p++)
        add_squares(n->channels, x + p * n->channels, r->b, r->a);
    for (uint64_t g = 0; g < n->groups; g++)
        stats[2 * g + 1] = (float)(1 / sqrt(sum_of(r->a + g * width, width) / size + n->epsilon));
}

void csl_dnnl__norm_forward(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                            struct csl_view gain, struct csl_view shift, struct csl_view y,
                            struct csl_view stats)
{
    struct room r;
    if (!room_of(d, n->channels, &r)) {
        csl_cpu__norm_forward(d, n, x, gain, shift, y, stats);
        return;
    }
    uint64_t tokens = n->rows * n->tokens, values = n->positions * n->channels;
    const float *px = csl_cpu__f32(x, tokens * values);
    const float *a = csl_cpu__f32(gain, n->channels), *b = csl_cpu__f32(shift, n->channels);
    float *py = csl_cpu__f32(y, tokens * values);
    float *ps = csl_cpu__f32(stats, tokens * n->groups * 2);
    for (uint64_t t = 0; t < tokens; t++, px += values, py += values, ps += 2 * n->groups) {
        token_stats(n, px, ps, &r);
        spread(n, ps, &r);
        for (uint64_t p = 0; p < n->positions; p++)
            apply(n->channels, px + p * n->channels, r.mean, r.s, a, b, py + p * n->channels);
    }
}

void csl_dnnl__norm_grad_input(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                               struct csl_view gain, struct csl_view stats,
                               struct csl_view grad_out, struct csl_view grad_in)
{
    struct room r;
    if (!room_of(d, n->channels, &r)) {
        csl_cpu__norm_grad_input(d, n, x, gain, stats, grad_out, grad_in);
        return;
    }
    uint64_t tokens = n->rows * n->tokens, values = n->positions * n->channels;
    uint64_t width = n->channels / n->groups;
    double size = (double)(n->positions * width);
    const float *px = csl_cpu__f32(x, tokens * values),
                *pg = csl_cpu__f32(grad_out, tokens * values);
    const float *a = csl_cpu__f32(gain, n->channels);
    const float *ps = csl_cpu__f32(stats, tokens * n->groups * 2);
    float *to = csl_cpu__f32(grad_in, tokens * values);
    for (uint64_t t = 0; t < tokens; t++, px += values, pg += values, to += values) {
        spread(n, ps + t * 2 * n->groups, &r);
        memset(r.a, 0, (size_t)n->channels * 2 * sizeof(double));
        for (uint64_t p = 0; p < values; p += n->channels)
            add_gradients(n->channels, pg + p, px + p, r.mean, r.s, r.a, r.b);
        for (uint64_t c = 0; c < n->channels; c++) {
            r.a[c] *= (double)a[c];
            r.b[c] *= (double)a[c];
        }
        for (uint64_t g = 0; g < n->groups; g++) {
            float along = (float)(sum_of(r.a + g * width, width) / size);
            float sum = (float)(sum_of(r.b + g * width, width) / size);
            for (uint64_t c = g * width; c < (g + 1) * width; c++) {
                r.along[c] = along;
                r.sum[c] = sum;
            }
        }
        for (uint64_t p = 0; p < values; p += n->channels)
            input_gradient(n->channels, pg + p, px + p, r.mean, r.s, a, r.along, r.sum, to + p);
    }
}

/* Gradients of the rows [from, to) by gain into r->a and by shift into r->b. */
static void parameter_gradients(const struct csl_norm *n, const float *x, const float *stats,
                                const float *g, uint64_t from, uint64_t to, struct room *r)
{
    uint64_t values = n->positions * n->channels;
    memset(r->a, 0, (size_t)n->channels * 2 * sizeof(double));
    for (uint64_t t = from * n->tokens; t < to * n->tokens; t++) {
        spread(n, stats + t * 2 * n->groups, r);
        for (uint64_t p = t * values; p < (t + 1) * values; p += n->channels)
            add_gradients(n->channels, g + p, x + p, r->mean, r->s, r->a, r->b);
    }
}

void csl_dnnl__norm_grad_params(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                                struct csl_view stats, struct csl_view grad_out, float beta,
                                struct csl_view grad_gain, struct csl_view grad_shift)
{
    struct room r;
    if (!room_of(d, n->channels, &r)) {
        csl_cpu__norm_grad_params(d, n, x, stats, grad_out, beta, grad_gain, grad_shift);
        return;
    }
    uint64_t values = n->rows * n->tokens * n->positions * n->channels;
    float *a = csl_cpu__f32(grad_gain, n->channels), *b = csl_cpu__f32(grad_shift, n->channels);
    parameter_gradients(n, csl_cpu__f32(x, values),
                        csl_cpu__f32(stats, n->rows * n->tokens * n->groups * 2),
                        csl_cpu__f32(grad_out, values), 0, n->rows, &r);
    for (uint64_t c = 0; c < n->channels; c++) {
        a[c] = (float)(r.a[c] + (beta == 0.0f ? 0.0 : (double)beta * (double)a[c]));
        b[c] = (float)(r.b[c] + (beta == 0.0f ? 0.0 : (double)beta * (double)b[c]));
    }
}

void csl_dnnl__norm_norms(struct csl_dev *d, const struct csl_norm *n, const struct csl_units *u,
                          struct csl_view x, struct csl_view stats, struct csl_view grad_out,
                          struct csl_view norms)
{
    struct room r;
    if (!room_of(d, n->channels, &r)) {
        csl_cpu__norm_norms(d, n, u, x, stats, grad_out, norms);
        return;
    }
    uint64_t values = n->rows * n->tokens * n->positions * n->channels;
    const float *px = csl_cpu__f32(x, values), *pg = csl_cpu__f32(grad_out, values);
    const float *ps = csl_cpu__f32(stats, n->rows * n->tokens * n->groups * 2);
    double *to = csl_cpu__f64(norms, u->count);
    for (uint64_t i = 0; i < u->count; i++) {
        parameter_gradients(n, px, ps, pg, u->first[i], u->first[i + 1], &r);
        for (uint64_t c = 0; c < n->channels; c++)
            to[i] += r.a[c] * r.a[c] + r.b[c] * r.b[c];
    }
}

/* ---- embeddings: a unit's ids sorted by bucket ---- */

static int by_value(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

/* The pairs (bucket, row) of the rows [from, to), sorted; the rest of the ids stand for nothing.
 * shares: [to - from], what one id of the row counts. */
static uint64_t sorted_pairs(const struct csl_bag *b, const uint32_t *ids, const uint32_t *offsets,
                             uint64_t from, uint64_t to, uint64_t *pairs, double *shares)
{
    uint64_t count = 0;
    for (uint64_t r = from; r < to; r++) {
        uint64_t at = offsets != NULL ? offsets[r] : r,
                 end = offsets != NULL ? offsets[r + 1] : r + 1;
        uint64_t before = count;
        for (uint64_t i = at; i < end; i++) {
            uint64_t bucket = csl_cpu__bucket(b, ids[i]);
            if (bucket < b->buckets)
                pairs[count++] = bucket << 32 | (r - from);
        }
        shares[r - from] = b->is_mean && count > before ? 1 / (double)(count - before) : 1;
    }
    qsort(pairs, (size_t)count, sizeof(*pairs), by_value);
    return count;
}

void csl_dnnl__bag_norms(struct csl_dev *d, const struct csl_bag *b, const struct csl_units *u,
                         struct csl_view ids, struct csl_view offsets, struct csl_view grad_out,
                         struct csl_view norms)
{
    uint64_t rows = b->rows * b->positions;
    const uint32_t *po = offsets.buf != NULL ? csl_cpu__u32(offsets, rows + 1) : NULL;
    uint64_t all = po != NULL ? po[rows] : rows;
    const uint32_t *pi = csl_cpu__u32(ids, all);
    const float *pg = csl_cpu__f32(grad_out, rows * b->dim);
    double *to = csl_cpu__f64(norms, u->count);
    uint64_t *pairs = csl_cpu__scratch(d, (all + rows + b->dim) * sizeof(uint64_t));
    if (pairs == NULL) {
        csl_cpu__bag_norms(d, b, u, ids, offsets, grad_out, norms);
        return;
    }
    double *shares = (double *)(void *)(pairs + all), *sum = shares + rows;
    for (uint64_t n = 0; n < u->count; n++) {
        uint64_t first = u->first[n] * b->positions;
        uint64_t count =
            sorted_pairs(b, pi, po, first, u->first[n + 1] * b->positions, pairs, shares);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t row = pairs[i] & UINT32_MAX, bucket = pairs[i] >> 32;
            if (i == 0 || pairs[i - 1] >> 32 != bucket)
                memset(sum, 0, (size_t)b->dim * sizeof(double));
            for (uint64_t c = 0; c < b->dim; c++)
                sum[c] += shares[row] * (double)pg[(first + row) * b->dim + c];
            if (i + 1 == count || pairs[i + 1] >> 32 != bucket)
                for (uint64_t c = 0; c < b->dim; c++)
                    to[n] += sum[c] * sum[c];
        }
    }
}
