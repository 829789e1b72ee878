/* Bulyan of Krum: Krum, again and again without the one it took, until theta = n - 2 f are taken;
 * then of each parameter the mean of the theta - 2 f values nearest to their median. El Mhamdi,
 * Guerraoui, Rouault 2018, arXiv 1802.07927, section 4 (n >= 4 f + 3). Every site counts the same.
 */
#include "aggregation/strategy/updates.h"

#include "base/check.h"

#include <stddef.h>

static enum csl_code choose(const struct csl_strategy_config *c, const struct csl_updates *u,
                            double *coefficients, struct csl_err *err)
{
    bool is_left[CSL_STRATEGY_UPDATES_MAX];
    double scores[CSL_STRATEGY_UPDATES_MAX];
    if (u->count < 3 || c->byzantine > (u->count - 3) / 4)
        return CSL_FAIL(err, CSL_E_STATE,
                        "%u updates, of which up to %u may be arbitrary; at least %llu would be "
                        "right",
                        u->count, c->byzantine, 4ULL * c->byzantine + 3);
    uint32_t take = u->count - 2 * c->byzantine;
    for (uint32_t a = 0; a < u->count; a++) {
        is_left[a] = true;
        coefficients[a] = 0;
    }
    for (uint32_t k = 0; k < take; k++) {
        csl_strategy__krum_scores(u, is_left, c->byzantine, scores);
        uint32_t best = csl_strategy__least(scores, u->count);
        coefficients[best] = 1 / (double)take;
        is_left[best] = false;
    }
    return CSL_OK;
}

static void combine(const struct csl_strategy_config *c, uint32_t rows_count,
                    const float *const *rows, uint64_t count, float *scratch, float *mean)
{
    for (uint64_t i = 0; i < count; i++) {
        double closest = 0;
        for (uint32_t a = 0; a < rows_count; a++)
            scratch[a] = rows[a][i];
        csl_strategy__sort(scratch, rows_count);
        double median = csl_strategy__median_sorted(scratch, rows_count);
        CSL_ASSERT(csl_strategy__closest_mean(median, scratch, rows_count,
                                              rows_count - 2 * c->byzantine, &closest,
                                              NULL) == CSL_OK);
        mean[i] = (float)closest;
    }
}

const struct csl_strategy_ops csl_strategy__bulyan = {
    .name = "bulyan",
    .needs = CSL_NEEDS_UPDATES,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .measures = true,
    .summary = "Krum's choices, and of these the values nearest to the median.",
    .apply = csl_strategy__apply,
    .choose = choose,
    .combine = combine,
};
