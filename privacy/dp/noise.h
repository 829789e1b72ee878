/* privacy/dp/noise.h - clipping, rounding and noise for sums of per-patient vectors, so that what
 * is released is an integer mechanism and no property of floating-point numbers carries the proof
 * (Mironov, "On significance of the least significant bits for differential privacy", CCS 2012;
 * Casacuberta et al., "Widespread Underestimation of Sensitivity in Differentially Private
 * Libraries", CCS 2022).
 *
 * The grid: multiples of `unit`, a power of two with clip / unit >= 2^20. Every patient's vector is
 * clipped and rounded on its own (csl_noise_round) so that its L2 norm in grid units is at most
 * l2_units, checked in 128-bit integers: clip / unit rounded down. Integer sums have no order. Then
 * every coordinate gets a discrete Gaussian of std_units >= 2^18 (csl_noise_add), an empty sum too,
 * and only then the sum becomes floats (csl_noise_scale), which is post-processing.
 *
 * Adding or removing one patient moves the integer sum by at most l2_units: what `event` says. */
#ifndef CSL_DP_NOISE_H
#define CSL_DP_NOISE_H
#include "base/err.h"
#include "privacy/dp/discrete_gaussian.h"
#include "privacy/dp/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSL_NOISE_MULTIPLIER_MIN 0x1p-16
#define CSL_NOISE_MULTIPLIER_MAX 0x1p+18
#define CSL_NOISE_VECTORS_MAX    (UINT64_C(1) << 24) /* patients in one sum: no overflow below */

struct csl_noise {
    double clip; /* L2 norm that a patient's vector is clipped to */
    double unit; /* what one step of the grid is worth */
    uint64_t dimensions;
    uint64_t l2_units; /* floor(clip / unit): 2^20 to 2^35 */
    double std_units; /* sigma of the noise, a double, rounded up; sigma^2 in `gaussian` is at least
                         its square */
    struct csl_discrete_gaussian gaussian;
};

/* Chooses the grid: l2_units from 2^30, finer where std_units would be below 2^18 and coarser where
 * it would be above 2^40. CSL_E_INVAL, naming the field: clip outside
 * 2^-60 to 2^60, noise_multiplier outside the two bounds above, dimensions 0 or above 2^32;
 * CSL_E_NOMEM. Milliseconds. `n` then belongs to csl_noise_release, may be used by many
 * threads at once, and must not be copied. */
enum csl_code csl_noise_plan(struct csl_noise *n, double clip, double noise_multiplier,
                             uint64_t dimensions, struct csl_err *err) CSL_MUST_CHECK;
void csl_noise_release(struct csl_noise *n);

/* What one csl_noise_add over `dimensions` coordinates is, for the accountants: a discrete Gaussian
 * with std_units, l2_units, l1_units = l2_units * sqrt(dimensions), and the noise multiplier that
 * these two give, rounded down. The caller fills in the sampler: sampler, sampling_rate, steps. */
void csl_noise_event(const struct csl_noise *n, struct csl_dp_event *event);

/* Adds one patient's vector, clipped and rounded to the nearest grid point, to `sum`: [count], at
 * most `dimensions`; fewer are a vector whose other coordinates are exactly 0. Scales down only: a
 * vector below the clipping norm keeps its length but for the rounding (sqrt(dimensions) / 2 units
 * are set aside for it). False: the vector held NaN or Inf and `sum` is untouched: the patient
 * contributes exactly zero; the caller counts it, and that count is as private as any other. Aborts
 * when `sum` could overflow, which CSL_NOISE_VECTORS_MAX vectors cannot bring about. */
bool csl_noise_round(const struct csl_noise *n, const float *vector, size_t count,
                     int64_t *sum) CSL_MUST_CHECK;

/* The same in two steps, for whoever knows a bound on the length of a vector without holding all of
 * it: the factor from the vector's values to grid units, such that what is rounded afterwards is
 * within l2_units.
 *
 * norm: at least the vector's L2 norm, but for a relative error of 2^-18. moved: at most how far,
 * in grid units, rounding moves the scaled vector, e.g. sqrt(dimensions) / 2. By the triangle
 * inequality norm * factor + moved <= l2_units; of what rounding leaves, 2^-16 are set aside for
 * errors of `norm` and of the product. 0: norm is NaN or Inf, the patient contributes exactly zero;
 * also where moved leaves less than half of l2_units, and the caller forms the vector instead. */
double csl_noise_factor(const struct csl_noise *n, double norm, double moved);
/* sum += the grid points nearest to factor * vector, |factor * vector| < 2^50: moves each value by
 * at most 1/2 and 2^-50 of it. */
void csl_noise_add_rounded(double factor, const float *vector, size_t count, int64_t *sum);

/* Adds the noise of one release to `sum` (count == dimensions, or the coordinates of it that
 * leave), in slices of a vector if need be. CSL_E_INVAL, `sum` untouched: a coordinate beyond 2^61
 * in absolute value. */
enum csl_code csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                            size_t count, struct csl_err *err) CSL_MUST_CHECK;

/* out = sum * unit / divisor as float32; divisor > 0 is public: the expected batch, never the
 * realised one. With divisor 1 every value is a multiple of `unit`. */
void csl_noise_scale(const struct csl_noise *n, const int64_t *sum, size_t count, double divisor,
                     float *out);

#endif
