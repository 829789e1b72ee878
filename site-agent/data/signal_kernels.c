#include "site-agent/data/signal_kernels.h"

#include "base/check.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

/* 2^u rounded down, u uniform on [0, log2 top): small numbers are as likely as large ones. */
static uint32_t draw_power(struct csl_rng *r, double top)
{
    double v = exp2(csl_rng_uniform(r) * log2(top));
    return v < 1.0 ? 1 : (uint32_t)v;
}

static void draw_leads(struct csl_rng *r, uint32_t of, struct csl_signal_kernel *k)
{
    for (uint32_t n = 0; n < k->leads;) {
        uint32_t lead = (uint32_t)csl_rng_below(r, of);
        bool is_new = true;
        for (uint32_t i = 0; i < n; i++)
            is_new = is_new && k->lead[i] != lead;
        k->lead[n] = lead;
        n += is_new;
    }
}

static void draw_weights(struct csl_rng *r, uint32_t taps, float *to)
{
    double drawn[CSL_KERNEL_TAPS_MAX], mean = 0;
    for (uint32_t j = 0; j < taps; j++) {
        drawn[j] = csl_rng_normal(r);
        mean += drawn[j] / (double)taps;
    }
    for (uint32_t j = 0; j < taps; j++)
        to[j] = (float)(drawn[j] - mean);
}

void csl_signal_kernel_draw(struct csl_signal_kernel *out, uint32_t index, uint32_t samples,
                            uint32_t leads)
{
    struct csl_rng r;
    struct csl_signal_kernel k = {0};
    CSL_ASSERT(samples >= CSL_KERNEL_TAPS_MAX && leads > 0);
    csl_rng_init_label(&r, 0, "signal kernel", index, samples, leads);
    k.taps = 7 + 2 * (uint32_t)csl_rng_below(&r, 3);
    uint32_t most = leads < k.taps ? leads : k.taps;
    k.leads = draw_power(&r, (double)most + 1.0);
    k.leads = k.leads < most ? k.leads : most; /* where exp2 rounds up */
    draw_leads(&r, leads, &k);
    for (uint32_t c = 0; c < k.leads; c++)
        draw_weights(&r, k.taps, k.weight + (size_t)c * k.taps);
    k.bias = (float)(2.0 * csl_rng_uniform(&r) - 1.0);
    uint32_t widest = (samples - 1) / (k.taps - 1);
    k.dilation = draw_power(&r, (double)(samples - 1) / (double)(k.taps - 1));
    k.dilation = k.dilation < widest ? k.dilation : widest;
    k.padding = csl_rng_below(&r, 2) == 1 ? (k.taps - 1) * k.dilation / 2 : 0;
    *out = k;
}

void csl_signal_standardise(const float *from, uint32_t samples, uint32_t leads, float *to)
{
    for (uint32_t c = 0; c < leads; c++) {
        double mean = 0, squares = 0;
        uint32_t known = 0;
        float *lead = to + (size_t)c * samples;
        for (uint32_t t = 0; t < samples; t++) {
            float v = from[(size_t)t * leads + c];
            known += isnan(v) ? 0 : 1;
            mean += isnan(v) ? 0.0 : (double)v;
        }
        mean = known > 0 ? mean / (double)known : 0.0;
        for (uint32_t t = 0; t < samples; t++) {
            double v = (double)from[(size_t)t * leads + c] - mean;
            squares += isnan(v) ? 0.0 : v * v;
        }
        /* What rounding leaves of a constant is no signal. */
        double deviation = known > 0 ? sqrt(squares / (double)known) : 0.0;
        bool is_flat = !(deviation > 1e-6 * fabs(mean));
        for (uint32_t t = 0; t < samples; t++) {
            double v = ((double)from[(size_t)t * leads + c] - mean) / deviation;
            lead[t] = is_flat || isnan(v) ? 0.0f : (float)v;
        }
    }
}

float csl_signal_kernel_apply(const struct csl_signal_kernel *k, const float *x, uint32_t samples,
                              float *work)
{
    uint32_t outputs = samples + 2 * k->padding - (k->taps - 1) * k->dilation, above = 0;
    for (uint32_t t = 0; t < outputs; t++)
        work[t] = k->bias;
    for (uint32_t i = 0; i < k->leads * k->taps; i++) {
        const float *lead = x + (size_t)k->lead[i / k->taps] * samples;
        uint32_t ahead = i % k->taps * k->dilation; /* output t reads sample t + ahead - padding */
        uint32_t first = k->padding > ahead ? k->padding - ahead : 0;
        uint32_t end = samples + k->padding - ahead;
        float w = k->weight[i];
        end = end < outputs ? end : outputs;
        const float *in = lead + first + ahead - k->padding;
        for (uint32_t t = first; t < end; t++)
            work[t] += w * in[t - first];
    }
    for (uint32_t t = 0; t < outputs; t++)
        above += work[t] > 0.0f;
    return (float)above / (float)outputs;
}
