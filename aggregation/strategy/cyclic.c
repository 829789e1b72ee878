/* Cyclic weight transfer: one site per round, whose model replaces the global one: x = x + D with D
 * that site's update. Chang et al. 2018, doi 10.1093/jamia/ocy017. The server's learning rate does
 * not enter. */
#include "aggregation/strategy/rows.h"

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)c;
    (void)round;
    (void)state;
    csl_strategy__step(1.0, count, mean[0], global);
}

/* A "sum" of one site is that site's update, so the secure sum would protect nobody. */
const struct csl_strategy_ops csl_strategy__cyclic = {
    .name = "cyclic",
    .needs = CSL_NEEDS_UPDATES,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .one_site_per_round = true,
    .summary = "One site trains per round and hands its model on; a baseline for comparison.",
    .apply = apply,
};
