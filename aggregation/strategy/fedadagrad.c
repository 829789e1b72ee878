/* FedAdagrad: v = v + D^2. Reddi et al. 2021, arXiv 2003.00295, Algorithm 2. */
#include "aggregation/strategy/moments.h"

static double second(const struct csl_strategy_config *c, double v, double squared)
{
    (void)c;
    return v + squared;
}

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)round;
    csl_strategy__moments(c, count, mean[0], global, state, second);
}

const struct csl_strategy_ops csl_strategy__fedadagrad = {
    .name = "fedadagrad",
    .needs = CSL_NEEDS_SUM,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .state_vectors = 2,
    .summary = "As fedadam, with step sizes that only ever shrink.",
    .apply = apply,
};
