/* Krum: the update with the smallest sum of squared distances to its n - f - 2 nearest ones.
 * Multi-Krum: the mean of the m updates with the smallest such sums. Blanchard et al. 2017, arXiv
 * 1703.02757, section 4 (2 f + 2 < n) and section 5. Every site counts the same. */
#include "aggregation/strategy/updates.h"

#include <math.h>

static enum csl_code keep_best(const struct csl_strategy_config *c, const struct csl_updates *u,
                               uint32_t keep, double *coefficients, struct csl_err *err)
{
    bool is_left[CSL_STRATEGY_UPDATES_MAX];
    double scores[CSL_STRATEGY_UPDATES_MAX];
    if (u->count < 3 || c->byzantine > (u->count - 3) / 2 || keep > u->count - c->byzantine)
        return CSL_FAIL(err, CSL_E_STATE,
                        "%u updates, of which up to %u may be arbitrary and %u are kept; at least "
                        "%llu and %llu would be right",
                        u->count, c->byzantine, keep, 2ULL * c->byzantine + 3,
                        (unsigned long long)keep + c->byzantine);
    for (uint32_t a = 0; a < u->count; a++) {
        is_left[a] = true;
        coefficients[a] = 0;
    }
    csl_strategy__krum_scores(u, is_left, c->byzantine, scores);
    for (uint32_t k = 0; k < keep; k++) {
        uint32_t best = csl_strategy__least(scores, u->count);
        coefficients[best] = 1 / (double)keep;
        scores[best] = HUGE_VAL;
    }
    return CSL_OK;
}

static enum csl_code choose_one(const struct csl_strategy_config *c, const struct csl_updates *u,
                                double *coefficients, struct csl_err *err)
{
    return keep_best(c, u, 1, coefficients, err);
}

static enum csl_code choose_many(const struct csl_strategy_config *c, const struct csl_updates *u,
                                 double *coefficients, struct csl_err *err)
{
    return keep_best(c, u, c->keep > 0 ? c->keep : 1, coefficients, err);
}

const struct csl_strategy_ops csl_strategy__krum = {
    .name = "krum",
    .needs = CSL_NEEDS_UPDATES,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .measures = true,
    .summary = "The one update that is nearest to its neighbours; the others are dropped.",
    .apply = csl_strategy__apply,
    .choose = choose_one,
};

const struct csl_strategy_ops csl_strategy__multi_krum = {
    .name = "multi-krum",
    .needs = CSL_NEEDS_UPDATES,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .measures = true,
    .summary = "The mean of the updates that are nearest to their neighbours.",
    .apply = csl_strategy__apply,
    .choose = choose_many,
};
