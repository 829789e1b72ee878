/* aggregation/strategy/moments.h - what FedAdagrad, FedAdam and FedYogi share (Reddi et al. 2021,
 * arXiv 2003.00295, Algorithm 2): m = beta1 m + (1 - beta1) D; v by each strategy's rule; x = x +
 * eta m / (sqrt(v) + tau). No bias correction; m = v = 0 before the first round. Arithmetic is
 * double; m and v are rounded to float32 before they are used, so that a step is a function of the
 * stored state alone. Inside this folder only. */
#ifndef CSL_STRATEGY_MOMENTS_H
#define CSL_STRATEGY_MOMENTS_H
#include "aggregation/strategy/rows.h"

/* state: {m, v}. second: the rule of v. */
void csl_strategy__moments(const struct csl_strategy_config *c, uint64_t count, const float *mean,
                           float *global, float *const *state,
                           double (*second)(const struct csl_strategy_config *c, double v,
                                            double squared));

#endif
