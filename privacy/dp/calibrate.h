/* privacy/dp/calibrate.h - the parameter that keeps a target, by bisection on csl_account's
 * epsilon. What is returned has itself been priced and keeps the target: rounding is towards
 * privacy. A price is an upper bound within half a percent, so the answer is that close to the best
 * one. Any thread.
 *
 * `run` holds everything but the parameter asked for, whose field is ignored. All:
 * CSL_E_INVAL: epsilon not above 0 or not finite, or what csl_account refuses; CSL_E_UNSUPPORTED,
 * CSL_E_NOMEM from it; CSL_E_LIMIT: no value of the parameter keeps the target. */
#ifndef CSL_DP_CALIBRATE_H
#define CSL_DP_CALIBRATE_H
#include "privacy/dp/event.h"

/* The smallest noise multiplier, to 1e-5 of itself. For the integer mechanisms std_units follows
 * from it and l2_units: set them so. */
enum csl_code csl_dp_calibrate_noise(const struct csl_dp_event *run, double epsilon, double delta,
                                     double *noise_multiplier_out,
                                     struct csl_err *err) CSL_MUST_CHECK;
/* The largest number of steps, at most 2^40. */
enum csl_code csl_dp_calibrate_steps(const struct csl_dp_event *run, double epsilon, double delta,
                                     uint64_t *steps_out, struct csl_err *err) CSL_MUST_CHECK;
/* The largest sampling rate, a multiple of 2^-64 from 1e-9 to 1, to 1e-5 of itself. */
enum csl_code csl_dp_calibrate_rate(const struct csl_dp_event *run, double epsilon, double delta,
                                    double *sampling_rate_out, struct csl_err *err) CSL_MUST_CHECK;

#endif
