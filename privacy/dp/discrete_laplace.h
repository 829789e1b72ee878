/* privacy/dp/discrete_laplace.h - the discrete Laplace distribution (two-sided geometric):
 * P(x) proportional to exp(-|x| den / num), scale num / den. Algorithms 1 and 2 of Canonne, Kamath,
 * Steinke, "The Discrete Gaussian for Differential Privacy", NeurIPS 2020: exact, integers only.
 * With scale >= l1 sensitivity / epsilon it is epsilon-DP.
 *
 * Timing depends on the value drawn: for statistics, not for shares of a sum that others time. */
#ifndef CSL_DP_DISCRETE_LAPLACE_H
#define CSL_DP_DISCRETE_LAPLACE_H
#include "privacy/crypto/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One sample; 1 <= num <= 2^48, 1 <= den <= 2^48. Aborts with a probability below exp(-2^13). */
int64_t csl_discrete_laplace_draw(struct csl_rng *rng, uint64_t num, uint64_t den);
void csl_discrete_laplace_fill(struct csl_rng *rng, uint64_t num, uint64_t den, int64_t *out,
                               size_t count);

/* For this folder: true with the probability exp(-num / den), 0 <= num <= den, den > 0. */
bool csl_bernoulli__exp_minus(struct csl_rng *rng, uint64_t num, uint64_t den);

#endif
