/* TERM, tilted empirical risk minimisation over sites: p_k e^(t F_k) / sum_j p_j e^(t F_j) in place
 * of p_k. Li, Beirami, Sanjabi, Smith 2021, arXiv 2007.01162, section 3 (the gradient of the tilted
 * objective, Lemma 1, with sites as groups). t = 0 is FedAvg; t > 0 lifts the sites with large
 * losses, t < 0 plays them down. F_k as in qffl.c. */
#include "aggregation/strategy/updates.h"

#include <math.h>

static enum csl_code choose(const struct csl_strategy_config *c, const struct csl_updates *u,
                            double *coefficients, struct csl_err *err)
{
    double largest = -HUGE_VAL, sum = 0;
    for (uint32_t a = 0; a < u->count; a++)
        largest = fmax(largest, c->tilt * u->losses[a]);
    if (!isfinite(largest))
        return CSL_FAIL(err, CSL_E_STATE, "the sites' losses times %g leave no step", c->tilt);
    for (uint32_t a = 0; a < u->count; a++) {
        coefficients[a] = u->weights[a] * exp(c->tilt * u->losses[a] - largest);
        sum += coefficients[a];
    }
    for (uint32_t a = 0; a < u->count; a++)
        coefficients[a] /= sum;
    return CSL_OK;
}

const struct csl_strategy_ops csl_strategy__term = {
    .name = "term",
    .needs = CSL_NEEDS_FACTORS,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .summary = "Sites count by the exponential of their loss: more, or with a negative tilt less.",
    .apply = csl_strategy__apply,
    .choose = choose,
};
