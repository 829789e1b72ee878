/* site-agent/data/signal_kernels.h - random convolutional kernels: what a signal of any length and
 * any number of leads becomes for a linear model, without a trained encoder.
 *
 * Each kernel is a dilated convolution over some of the leads, and its one value is the part of its
 * outputs above 0 (the proportion of positive values), in [0, 1]. Kernel `index` of records of
 * [samples, leads] is the same everywhere and for ever: drawn from a public seed, it says nothing
 * of any patient, so that hospitals agree on them without a message and nothing of them is trained.
 *
 * SOURCE: Dempster, Petitjean, Webb 2020, "ROCKET: exceptionally fast and accurate time series
 * classification using random convolutional kernels", Data Mining and Knowledge Discovery 34,
 * section 3.1 (lengths, weights, biases, dilations, padding) and 3.2 (proportion of positive
 * values). Of several leads a kernel takes a random number, 2^u rounded down with u uniform, as
 * the authors' code for multivariate series. The maximum is left out, as in MiniRocket (Dempster,
 * Schmidt, Webb 2021). Pure functions; any thread. Needs csl_crypto_init. */
#ifndef CSL_SIGNAL_KERNELS_H
#define CSL_SIGNAL_KERNELS_H
#include <stdint.h>

enum { CSL_KERNEL_TAPS_MAX = 11 }; /* of a kernel on each lead; and leads of a kernel */

struct csl_signal_kernel {
    uint32_t taps; /* 7, 9 or 11 */
    uint32_t leads;
    uint32_t lead[CSL_KERNEL_TAPS_MAX]; /* [leads] distinct */
    uint32_t dilation;                  /* samples between two taps, 1 or more */
    uint32_t padding;                   /* zeros before the first sample and behind the last */
    float bias;
    float weight[CSL_KERNEL_TAPS_MAX * CSL_KERNEL_TAPS_MAX]; /* [leads, taps]; mean 0 per lead */
};

/* samples: CSL_KERNEL_TAPS_MAX or more; leads: 1 or more. */
void csl_signal_kernel_draw(struct csl_signal_kernel *out, uint32_t index, uint32_t samples,
                            uint32_t leads);
/* Each lead with mean 0 and deviation 1 over its known samples; a sample that is not known (NaN),
 * and every sample of a flat lead, becomes 0. from: [samples, leads]; to: [leads, samples], not
 * overlapping. */
void csl_signal_standardise(const float *from, uint32_t samples, uint32_t leads, float *to);
/* The part of the kernel's outputs above 0. x: [leads of the signal, samples] as from
 * csl_signal_standardise; work: [samples]. */
float csl_signal_kernel_apply(const struct csl_signal_kernel *k, const float *x, uint32_t samples,
                              float *work);

#endif
