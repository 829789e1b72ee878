/* SCAFFOLD, the server's part: x = x + eta D; c = c + (|S| / N) * mean of the sites' control
 * changes. Karimireddy et al. 2020, arXiv 1910.06378, Algorithm 1, lines 16-17. An upload is
 * (update, control change); the broadcast is (model, server control), and the server control is the
 * state. The algorithm's means are unweighted: exact with equal weights, otherwise both follow the
 * study's weights. */
#include "aggregation/strategy/rows.h"

static void apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state)
{
    (void)round;
    csl_strategy__step(c->server_learning_rate, count, mean[0], global);
    csl_strategy__step(c->participation, count, mean[1], state[0]);
}

const struct csl_strategy_ops csl_strategy__scaffold = {
    .name = "scaffold",
    .needs = CSL_NEEDS_SUM,
    .update_vectors = 2,
    .broadcast_vectors = 2,
    .state_vectors = 1,
    .summary =
        "Control variates correct each site's drift; uploads and broadcasts are twice as large.",
    .apply = apply,
};
