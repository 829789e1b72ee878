/* AFL, agnostic federated learning: the model step weights the sites by a mixture lambda, which
 * then takes a step towards the sites with large losses: lambda = projection onto the simplex of
 * lambda + rate * F. Mohri, Sivek, Suresh 2019, arXiv 1902.00146, Algorithm 1 (Stochastic-AFL);
 * projection as Duchi et al. 2008, Figure 1. It begins with the study's weights. Of a block that
 * some sites sent nothing for, the others' share of the mixture is moved among them. F_k as in
 * qffl.c. */
#include "aggregation/strategy/updates.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* What every component loses so that those above it sum to 1: of the j largest, (their sum - 1) / j
 * for the largest j whose last one is above that. */
static double threshold(const double *sorted, uint32_t count)
{
    double sum = 0, found = 0;
    for (uint32_t j = 0; j < count; j++) {
        sum += sorted[j];
        double t = (sum - 1) / (j + 1);
        if (sorted[j] > t)
            found = t;
    }
    return found;
}

enum csl_code csl_strategy__afl_step(uint32_t count, double *lambda, const double *losses,
                                     double rate, struct csl_err *err)
{
    double next[CSL_STRATEGY_UPDATES_MAX], sorted[CSL_STRATEGY_UPDATES_MAX];
    for (uint32_t k = 0; k < count; k++) {
        next[k] = sorted[k] = lambda[k] + rate * losses[k];
        if (!isfinite(next[k]))
            return CSL_FAIL(err, CSL_E_STATE, "component %u: %g with loss %g", k, lambda[k],
                            losses[k]);
    }
    qsort(sorted, count, sizeof(*sorted), descending);
    double t = threshold(sorted, count);
    for (uint32_t k = 0; k < count; k++)
        lambda[k] = next[k] > t ? next[k] - t : 0;
    return CSL_OK;
}

static enum csl_code choose(const struct csl_strategy_config *c, const struct csl_updates *u,
                            double *coefficients, struct csl_err *err)
{
    double lambda[CSL_STRATEGY_UPDATES_MAX], mass = 0;
    for (uint32_t a = 0; a < u->count; a++)
        mass += u->mixture[a];
    for (uint32_t a = 0; a < u->count; a++)
        lambda[a] = mass > 0 ? u->mixture[a] / mass : u->weights[a];
    memcpy(coefficients, lambda, u->count * sizeof(*coefficients));
    enum csl_code code = csl_strategy__afl_step(u->count, lambda, u->losses, c->mixture_rate, err);
    for (uint32_t a = 0; code == CSL_OK && a < u->count; a++)
        u->mixture[a] = lambda[a] * (mass > 0 && mass < 1 ? mass : 1);
    return code;
}

const struct csl_strategy_ops csl_strategy__afl = {
    .name = "afl",
    .needs = CSL_NEEDS_FACTORS,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .keeps_mixture = true,
    .summary = "Sites count by a mixture that moves, round by round, to those with large losses.",
    .apply = csl_strategy__apply,
    .choose = choose,
};
