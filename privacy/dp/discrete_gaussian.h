/* privacy/dp/discrete_gaussian.h - the discrete Gaussian: P(x) proportional to exp(-x^2 / (2 v)) on
 * the integers, v = sigma^2. Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential
 * Privacy", NeurIPS 2020. Integers only; the compiler may use no floating-point register here.
 *
 * The parameter is v = mantissa * 2^exponent exactly, from 2^-7 (sigma .088) to below 2^81 (sigma
 * 2^40.5): every positive double in that range is of this form. (v is not the variance, which is
 * smaller, noticeably so for sigma < .6 alone.)
 *
 * csl_discrete_gaussian_draw_cks DEFINES the operation: algorithm 3 of the paper with rational
 * Bernoulli(exp(-x)) and 384-bit integers, exactly distributed, and slow.
 *
 * csl_discrete_gaussian_fill is what releases use: within 2^-180 of the distribution in total
 * variation per sample, and this is why. Let w = 2^c be the smallest power of two with 64 w >=
 * sigma (as far as the exponent of v tells; so w = 1 or 32 w <= sigma).
 *  1. Support. x = +-(k w + j), 0 <= k < 1024, 0 <= j < w: |x| < 1024 w. The rest of the
 *     distribution, conditioned away, has P(|X| >= 16 sigma) <= 2 exp(-128) < 2^-183 (subgaussian
 *     tail, proposition 25 of the paper): a total variation of as much.
 *  2. Proposal. k with probability weight_k / 2^64 exactly (table.h), weight_k >= scale *
 *     exp(-(k w)^2 / 2v); j and the sign from uniform bits. (-, 0) is rejected, so 0 is not
 * doubled.
 *  3. Acceptance with probability scale * exp(-x^2 / 2v) / weight_k <= 1, so that what is accepted
 *     has probability proportional to exp(-x^2 / 2v) exactly. "u < p" is decided for a uniform u
 *     whose bits are drawn as they are needed: by 28 to 63 bits against a bound of the block (97 %
 *     and more of all cases), else by 64 bits against an interval of width 2^-54 around p, else by
 *     320 bits against an interval of width below 2^-238 (wide.h). Every interval contains p: its
 *     derivation stands beside the code. What stays open is rejected: an error below 2^-237 per
 *     proposal.
 * Timing: the time of one sample depends on |x| (a block's acceptance) and on rejections. So noise
 * is drawn for a whole vector at once, and its total time is seen if at all. draw_cks leaks more.
 */
#ifndef CSL_DP_DISCRETE_GAUSSIAN_H
#define CSL_DP_DISCRETE_GAUSSIAN_H
#include "base/err.h"
#include "privacy/crypto/rng.h"
#include "privacy/dp/table.h"

#include <stddef.h>
#include <stdint.h>

struct csl_discrete_gaussian {
    struct csl_table table;
    uint64_t mantissa; /* v = mantissa * 2^exponent, mantissa >= 2^63 */
    int exponent;
    unsigned width_log2; /* c */
    uint64_t inverse;    /* floor((2^127 - 1) / mantissa) */
};

/* About 5 ms. CSL_E_INVAL: v out of range; CSL_E_NOMEM. `g` then belongs to
 * csl_discrete_gaussian_release, may be used by many threads at once, and must not be copied. */
enum csl_code csl_discrete_gaussian_init(struct csl_discrete_gaussian *g, uint64_t mantissa,
                                         int exponent, struct csl_err *err) CSL_MUST_CHECK;
void csl_discrete_gaussian_release(struct csl_discrete_gaussian *g);
/* `count` independent samples, each below 2^46 in absolute value. A replayable stream gives the
 * same samples for the same calls; a vector filled in two calls gets others than in one. */
void csl_discrete_gaussian_fill(struct csl_rng *rng, const struct csl_discrete_gaussian *g,
                                int64_t *out, size_t count);

/* One sample of the definition. v must be in range. */
int64_t csl_discrete_gaussian_draw_cks(struct csl_rng *rng, uint64_t mantissa, int exponent);

/* For the tests alone: whether the proposal k w + j is accepted for the uniform u (320 bits, u[4]
 * leads). quick answers from the leading 64 bits with 1, 0 or -1: open. exact never leaves it open.
 */
int csl_discrete_gaussian__quick(const struct csl_discrete_gaussian *g, uint32_t k, uint64_t j,
                                 uint64_t lead);
bool csl_discrete_gaussian__exact(const struct csl_discrete_gaussian *g, uint32_t k, uint64_t j,
                                  const uint64_t u[5]);

#endif
