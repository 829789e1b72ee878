/* q-FedAvg, the solver of q-FFL: x = x - sum_k p_k Delta_k / sum_k p_k h_k with Delta_k = F_k^q L
 * (x
 * - x_k) and h_k = q F_k^(q-1) |L (x - x_k)|^2 + L F_k^q. Li et al. 2020, arXiv 1905.10497,
 * Algorithm 2. q = 0 is FedAvg; the larger q, the more the sites with large losses count.
 * Here F_k is the mean loss over the site's local steps, not that of the incoming model alone (the
 * same with one step), and the norm is that of the block. Losses are kept 1e-10 away from 0, as the
 * authors' program does. */
#include "aggregation/strategy/updates.h"

#include <math.h>

#define LOSS_MIN 1e-10

static enum csl_code choose(const struct csl_strategy_config *c, const struct csl_updates *u,
                            double *coefficients, struct csl_err *err)
{
    double below = 0;
    for (uint32_t a = 0; a < u->count; a++) {
        double loss = u->losses[a] > LOSS_MIN ? u->losses[a] : LOSS_MIN;
        double factor = pow(loss, c->fairness_q);
        double curvature = c->lipschitz * c->fairness_q * factor / loss * u->norms2[a];
        coefficients[a] = u->weights[a] * factor;
        below += u->weights[a] * (factor + curvature);
    }
    if (!(below > 0) || !isfinite(below))
        return CSL_FAIL(err, CSL_E_STATE, "the sites' losses to the power of %g leave no step",
                        c->fairness_q);
    for (uint32_t a = 0; a < u->count; a++)
        coefficients[a] /= below;
    return CSL_OK;
}

const struct csl_strategy_ops csl_strategy__qffl = {
    .name = "qffl",
    .needs = CSL_NEEDS_FACTORS,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .measures = true,
    .summary = "Sites with large losses count more, by their loss to the power of q.",
    .apply = csl_strategy__apply,
    .choose = choose,
};
