/* FedBuff: x = x + eta / K sum_i s(tau_i) D_i over a buffer of K updates, s(tau) = 1 / sqrt(1 +
 * tau) for one whose model is tau steps old. Nguyen et al., AISTATS 2022, arXiv 2106.06639,
 * Algorithm 1 and section 5. With weights w_i in place of 1 / K, mean[0] is sum w s D / sum w s,
 * and freshness is sum w s / sum w: a buffer of nothing but old updates takes a short step. Fresh
 * ones alone are FedAvg to the bit. */
#include "aggregation/strategy/rows.h"

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)round;
    (void)state;
    csl_strategy__step(c->server_learning_rate * c->freshness, count, mean[0], global);
}

const struct csl_strategy_ops csl_strategy__fedbuff = {
    .name = "fedbuff",
    .needs = CSL_NEEDS_SUM,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .summary = "As fedavg, but as soon as a number of updates is there; old ones count less.",
    .apply = apply,
};
