/* FedAvgM: m = beta m + D; x = x + eta m, with m = 0 before the first round. Hsu, Qi, Brown 2019,
 * arXiv 1909.06335, section 4.3 (v = beta v + dw; w = w - v, dw = -D). beta = 0 is FedAvg. */
#include "aggregation/strategy/rows.h"

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)round;
    float *m = state[0];
    for (uint64_t i = 0; i < count; i++)
        m[i] = (float)(c->momentum * (double)m[i] + (double)mean[0][i]);
    csl_strategy__step(c->server_learning_rate, count, m, global);
}

const struct csl_strategy_ops csl_strategy__fedavgm = {
    .name = "fedavgm",
    .needs = CSL_NEEDS_SUM,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .state_vectors = 1,
    .summary = "As fedavg, with momentum on the server: past rounds keep pushing.",
    .apply = apply,
};
