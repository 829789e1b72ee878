/* FedProx: each site adds mu/2 ||w - x||^2 to its loss (its business); the server step is FedAvg's.
 * Li et al. 2020, arXiv 1812.06127, Algorithm 2. */
#include "aggregation/strategy/rows.h"

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)round;
    (void)state;
    csl_strategy__step(c->server_learning_rate, count, mean[0], global);
}

const struct csl_strategy_ops csl_strategy__fedprox = {
    .name = "fedprox",
    .needs = CSL_NEEDS_SUM,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .summary = "As fedavg, with a penalty at each site that keeps it near the global model.",
    .apply = apply,
};
