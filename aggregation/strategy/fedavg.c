/* FedAvg: x = x + eta D. McMahan et al. 2017, arXiv 1602.05629, Algorithm 1 (eta = 1: the weighted
 * mean of the sites' models). */
#include "aggregation/strategy/rows.h"

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)round;
    (void)state;
    csl_strategy__step(c->server_learning_rate, count, mean[0], global);
}

const struct csl_strategy_ops csl_strategy__fedavg = {
    .name = "fedavg",
    .needs = CSL_NEEDS_SUM,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .summary = "The new model is the weighted mean of the sites' models.",
    .apply = apply,
};
