/* privacy/dp/pld_compose.h - many steps of loss distributions on one grid, composed by a circular
 * Fourier transform under an exponential tilt: masses are multiplied by e^(tilt * loss) before and
 * divided after, so that the transform's rounding error is relative to what matters at epsilon and
 * not to the bulk. That error, what wraps around the window, infinite losses and the rounding of
 * the tilt are all added to delta (upper) or taken off it (lower). One thread. */
#ifndef CSL_DP_PLD_COMPOSE_H
#define CSL_DP_PLD_COMPOSE_H
#include "privacy/dp/pld.h"

struct csl_dp_composition {
    const struct csl_dp_pld *parts; /* one grid step for all */
    const uint64_t *steps;          /* [count], each >= 1 */
    size_t count;
    double tilt;    /* >= 0; any value is right, a good one is accurate */
    double epsilon; /* about where the answer will be: decides how wide the window is */
};

/* The smallest epsilon >= 0 on which delta(epsilon) <= delta is certain (is_upper), or the largest
 * with delta(epsilon) > delta for certain, 0 if there is none. +INFINITY where infinite losses
 * alone exceed delta. CSL_E_LIMIT: the window would take more than CSL_DP_FFT_MAX points, or
 * rounding errors are too large to say anything; CSL_E_NOMEM. */
enum csl_code csl_dp_compose(const struct csl_dp_composition *c, double delta, bool is_upper,
                             double *epsilon_out, struct csl_err *err) CSL_MUST_CHECK;

#endif
