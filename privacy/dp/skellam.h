/* privacy/dp/skellam.h - the Skellam distribution: the difference of two Poisson variables with the
 * mean variance / 2 each. Closed under sums: shares of several sites add up to a Skellam variable
 * of the summed variance (Agarwal, Kairouz, Liu, "The Skellam Mechanism for Differentially Private
 * Federated Learning", NeurIPS 2021). Integers only; no floating-point register.
 *
 * Poisson(l) is drawn from an exact table (table.h) of l^k exp(-l) / k! relative to the mode, by
 * the recurrence p(k+1) = p(k) l / (k+1) in 384 bits, over mode - x .. mode + x + 1, x >= 13
 * sqrt(l) + 64; every pick is accepted with scale * p(k) / weight(k), decided by 64 bits where they
 * suffice and by 320 bits where not. Within 2^-110 in total variation per sample:
 *  1. Bernstein: P(X >= l + x) <= exp(-x^2 / (2 l + 2 x / 3)) and P(X <= l - x) <= exp(-x^2 / 2l);
 *     the first exponent is at least 80 for every l (64^2 / (128/3) = 96 at l = 0, towards 84.5 for
 *     l large, above 80 between), so both sides of both variables leave out less than 2^-113.
 *  2. The weights are exact integers and the acceptance is decided within 2^-210.
 * Timing: depends on the draw as table look-ups do; rejections are rarer than 2^-20. */
#ifndef CSL_DP_SKELLAM_H
#define CSL_DP_SKELLAM_H
#include "base/err.h"
#include "privacy/crypto/rng.h"
#include "privacy/dp/table.h"

#include <stddef.h>
#include <stdint.h>

struct csl_skellam {
    struct csl_table table;
    uint64_t mantissa; /* l = mantissa * 2^exponent, mantissa >= 2^63 */
    int exponent;
    uint64_t first; /* the count that row 0 of the table stands for */
};

/* variance = mantissa * 2^exponent exactly. Milliseconds; at most 2 MiB while it runs and 1 MiB
 * after. CSL_E_INVAL: variance below 2^-7; CSL_E_UNSUPPORTED: above 2^20 (take a discrete
 * Gaussian); CSL_E_NOMEM. `s` then belongs to csl_skellam_release, may be used by many threads at
 * once, and must not be copied. */
enum csl_code csl_skellam_init(struct csl_skellam *s, uint64_t mantissa, int exponent,
                               struct csl_err *err) CSL_MUST_CHECK;
void csl_skellam_release(struct csl_skellam *s);
void csl_skellam_fill(struct csl_rng *rng, const struct csl_skellam *s, int64_t *out, size_t count);

#endif
