/* Squared gradient norms of units, and layer and group norm: the definitions. */
#include "site-agent/training/compute/cpu.h"

#include <math.h>

void csl_cpu__linear_norms(struct csl_dev *d, const struct csl_linear *l, const struct csl_units *u,
                           struct csl_view x, struct csl_view grad_out, struct csl_view norms)
{
    (void)d;
    uint64_t positions = u->first[u->count] * l->positions;
    const float *px = l->in > 0 ? csl_cpu__f32(x, positions * l->in) : NULL;
    const float *pg = csl_cpu__f32(grad_out, positions * l->out);
    double *to = csl_cpu__f64(norms, u->count);
    for (uint64_t n = 0; n < u->count; n++) {
        uint64_t from = u->first[n] * l->positions, end = u->first[n + 1] * l->positions;
        for (uint64_t o = 0; o < l->out; o++) {
            double total = 0;
            for (uint64_t t = from; t < end; t++)
                total += (double)pg[t * l->out + o];
            to[n] += l->has_bias ? total * total : 0;
            for (uint64_t i = 0; i < l->in; i++) {
                double sum = 0;
                for (uint64_t t = from; t < end; t++)
                    sum += (double)pg[t * l->out + o] * (double)px[t * l->in + i];
                to[n] += sum * sum;
            }
        }
    }
}

/* Where group g of token t lies: `positions` runs of `width` values, `channels` apart. */
static uint64_t group_first(const struct csl_norm *n, uint64_t token, uint64_t group)
{
    return token * n->positions * n->channels + group * (n->channels / n->groups);
}

void csl_cpu__norm_forward(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                           struct csl_view gain, struct csl_view shift, struct csl_view y,
                           struct csl_view stats)
{
    (void)d;
    uint64_t tokens = n->rows * n->tokens, width = n->channels / n->groups;
    uint64_t size = n->positions * width;
    const float *px = csl_cpu__f32(x, tokens * n->positions * n->channels);
    const float *a = csl_cpu__f32(gain, n->channels), *b = csl_cpu__f32(shift, n->channels);
    float *py = csl_cpu__f32(y, tokens * n->positions * n->channels);
    float *ps = csl_cpu__f32(stats, tokens * n->groups * 2);
    for (uint64_t at = 0; at < tokens * n->groups; at++) {
        uint64_t group = at % n->groups, first = group_first(n, at / n->groups, group);
        double sum = 0, squares = 0;
        for (uint64_t i = 0; i < size; i++)
            sum += (double)px[first + i / width * n->channels + i % width];
        double mean = sum / (double)size;
        for (uint64_t i = 0; i < size; i++) {
            double off = (double)px[first + i / width * n->channels + i % width] - mean;
            squares += off * off;
        }
        ps[2 * at] = (float)mean;
        ps[2 * at + 1] = (float)(1 / sqrt(squares / (double)size + n->epsilon));
        for (uint64_t i = 0; i < size; i++) {
            uint64_t k = first + i / width * n->channels + i % width, c = group * width + i % width;
            double hat = ((double)px[k] - (double)ps[2 * at]) * (double)ps[2 * at + 1];
            py[k] = (float)(hat * (double)a[c] + (double)b[c]);
        }
    }
}

/* With h = (x - mean) s and e = grad_out * gain: grad_in = s (e - mean(e) - h mean(e h)). */
void csl_cpu__norm_grad_input(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                              struct csl_view gain, struct csl_view stats, struct csl_view grad_out,
                              struct csl_view grad_in)
{
    (void)d;
    uint64_t tokens = n->rows * n->tokens, width = n->channels / n->groups;
    uint64_t size = n->positions * width;
    const float *px = csl_cpu__f32(x, tokens * n->positions * n->channels);
    const float *pg = csl_cpu__f32(grad_out, tokens * n->positions * n->channels);
    const float *a = csl_cpu__f32(gain, n->channels);
    const float *ps = csl_cpu__f32(stats, tokens * n->groups * 2);
    float *to = csl_cpu__f32(grad_in, tokens * n->positions * n->channels);
    for (uint64_t at = 0; at < tokens * n->groups; at++) {
        uint64_t group = at % n->groups, first = group_first(n, at / n->groups, group);
        double mean = (double)ps[2 * at], s = (double)ps[2 * at + 1], sum = 0, along = 0;
        for (uint64_t i = 0; i < size; i++) {
            uint64_t k = first + i / width * n->channels + i % width;
            double e = (double)pg[k] * (double)a[group * width + i % width];
            sum += e;
            along += e * ((double)px[k] - mean) * s;
        }
        for (uint64_t i = 0; i < size; i++) {
            uint64_t k = first + i / width * n->channels + i % width;
            double e = (double)pg[k] * (double)a[group * width + i % width];
            double h = ((double)px[k] - mean) * s;
            to[k] = (float)(s * (e - (sum + h * along) / (double)size));
        }
    }
}

/* The gradients by gain and shift of channel c over the rows [from, to). */
static void channel_gradient(const struct csl_norm *n, const float *x, const float *stats,
                             const float *g, uint64_t c, uint64_t from, uint64_t to, double out[2])
{
    uint64_t group = c / (n->channels / n->groups);
    out[0] = out[1] = 0;
    for (uint64_t t = from * n->tokens; t < to * n->tokens; t++) {
        double mean = (double)stats[2 * (t * n->groups + group)];
        double s = (double)stats[2 * (t * n->groups + group) + 1];
        for (uint64_t p = t * n->positions; p < (t + 1) * n->positions; p++) {
            double grad = (double)g[p * n->channels + c];
            out[0] += grad * ((double)x[p * n->channels + c] - mean) * s;
            out[1] += grad;
        }
    }
}

void csl_cpu__norm_grad_params(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                               struct csl_view stats, struct csl_view grad_out, float beta,
                               struct csl_view grad_gain, struct csl_view grad_shift)
{
    (void)d;
    uint64_t values = n->rows * n->tokens * n->positions * n->channels;
    const float *px = csl_cpu__f32(x, values), *pg = csl_cpu__f32(grad_out, values);
    const float *ps = csl_cpu__f32(stats, n->rows * n->tokens * n->groups * 2);
    float *a = csl_cpu__f32(grad_gain, n->channels), *b = csl_cpu__f32(grad_shift, n->channels);
    for (uint64_t c = 0; c < n->channels; c++) {
        double sum[2];
        channel_gradient(n, px, ps, pg, c, 0, n->rows, sum);
        a[c] = (float)(sum[0] + (beta == 0.0f ? 0.0 : (double)beta * (double)a[c]));
        b[c] = (float)(sum[1] + (beta == 0.0f ? 0.0 : (double)beta * (double)b[c]));
    }
}

void csl_cpu__norm_norms(struct csl_dev *d, const struct csl_norm *n, const struct csl_units *u,
                         struct csl_view x, struct csl_view stats, struct csl_view grad_out,
                         struct csl_view norms)
{
    (void)d;
    uint64_t values = n->rows * n->tokens * n->positions * n->channels;
    const float *px = csl_cpu__f32(x, values), *pg = csl_cpu__f32(grad_out, values);
    const float *ps = csl_cpu__f32(stats, n->rows * n->tokens * n->groups * 2);
    double *to = csl_cpu__f64(norms, u->count);
    for (uint64_t i = 0; i < u->count; i++)
        for (uint64_t c = 0; c < n->channels; c++) {
            double sum[2];
            channel_gradient(n, px, ps, pg, c, u->first[i], u->first[i + 1], sum);
            to[i] += sum[0] * sum[0] + sum[1] * sum[1];
        }
}
