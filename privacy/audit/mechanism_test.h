/* privacy/audit/mechanism_test.h - does the mechanism that ran do what was charged? Each function
 * returns a p-value: the probability, were all as charged, of data at least this far off. They need
 * inside knowledge that only a test or the site itself has (what the sum was without noise, who was
 * drawn), see single faults far more sharply than canaries do, and prove nothing beyond them.
 *
 * Exact up to rounding for a continuous Gaussian; a discrete one with a standard deviation of many
 * grid steps is one for this purpose. Any thread; no allocation; the arguments are the caller's own
 * (asserted). Data that is not finite gives 0. */
#ifndef CSL_AUDIT_MECHANISM_TEST_H
#define CSL_AUDIT_MECHANISM_TEST_H
#include <stddef.h>
#include <stdint.h>

/* The size of the noise: noise [n >= 1], released minus true values, against N(0, std^2) with the
 * charged std > 0, by chi-square of n degrees of freedom, two-sided: too little is a broken promise
 * and too much a waste. Catches a wrong factor, noise that is missing on some releases, and all
 * that is added to the sum but noise: a clip that did not act, a wrong divisor. */
double csl_mechanism_test_noise(const double *noise, size_t n, double std);

/* The same noise in two releases: a, b [n >= 1] the noise of each; given b, the inner product is
 * N(0, std^2 |b|^2). Catches a seed used twice and noise with its sign turned. */
double csl_mechanism_test_repeat(const double *a, const double *b, size_t n, double std);

/* Poisson sampling. included: [steps, units] row-major, not 0 where the unit was in that step;
 * steps >= 2, units >= 1, rate in (0, 1]. Four exact binomial tests, corrected for being four: all
 * inclusions together (rate); how many batches have a size between the quartiles of Binomial(units,
 * rate), and how many units a count between those of Binomial(steps, rate) (fixed batches and
 * shuffled epochs spread too little); units in both steps 2k and 2k + 1 (without replacement: too
 * few). */
double csl_mechanism_test_sampler(const uint8_t *included, size_t steps, size_t units, double rate);

/* Division by the realised batch size. All patients of the probe have the same clipped gradient g
 * of length `contribution`; released: [n] the released sums, times the expected batch size where
 * they were divided by it, along g / |g|; batch_size: [n]. The slope of released minus contribution
 * * batch_size on batch_size is normal with mean 0 if the divisor is public, and -contribution
 * without it. Batch sizes that are all equal say nothing: 1. n >= 2; noise_std along g. */
double csl_mechanism_test_batch_mean(const double *released, const double *batch_size, size_t n,
                                     double contribution, double noise_std);

#endif
