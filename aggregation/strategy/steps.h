/* aggregation/strategy/steps.h - arithmetic of strategies that no round runs yet, and that are in
 * no row of the table: what they lack is beside each. Any thread. */
#ifndef CSL_STRATEGY_STEPS_H
#define CSL_STRATEGY_STEPS_H
#include "base/err.h"

#include <stdint.h>

/* FedNova: x = x + tau_eff sum_k p_k D_k / tau_k, tau_eff = sum_k p_k tau_k. Wang et al. 2020,
 * arXiv 2007.07481, equation 4 and section 4 (plain SGD: tau_k is the number of local steps).
 * coefficients: [count] of the updates D_k. CSL_E_INVAL: a number that is not above 0. Lacks: sites
 * that take different numbers of steps; a study states one for all, with which this is FedAvg. */
enum csl_code csl_fednova_coefficients(uint32_t count, const double *weights, const double *steps,
                                       double *coefficients, struct csl_err *err) CSL_MUST_CHECK;

/* FedBuff: what an update counts in its buffer that is `staleness` model versions old: 1 / sqrt(1 +
 * staleness). Nguyen et al. 2022, arXiv 2106.06639, section 5 (after Xie et al. 2019). The buffer's
 * step is the mean of what it holds, so a buffer of all sites, none stale, is FedAvg with equal
 * weights. Lacks: rounds that do not wait. */
double csl_fedbuff_weight(uint64_t staleness);

#endif
