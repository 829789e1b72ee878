/* FedNova: x = x + tau sum_i p_i (x_i - x) / tau_i, where tau_i is how much site i moved for each
 * unit of gradient, its steps for plain sgd. Wang et al. 2020, arXiv 2007.07481, equation 7. Sites
 * divide by their own tau_i and multiply by tau before their update is summed (its business,
 * site-agent/training); tau, which the paper leaves to the server, is a number of the study here
 * and not sum_i p_i tau_i: so nobody learns how many steps a site made, masks or not, and the
 * server's step is FedAvg's. */
#include "aggregation/strategy/rows.h"

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)round;
    (void)state;
    csl_strategy__step(c->server_learning_rate, count, mean[0], global);
}

const struct csl_strategy_ops csl_strategy__fednova = {
    .name = "fednova",
    .needs = CSL_NEEDS_SUM,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .summary = "As fedavg, with each site's update brought to the same number of steps.",
    .apply = apply,
};
