/* Coordinate-wise median. Yin et al. 2018, arXiv 1803.01498, Definition 1 and Algorithm 1, option
 * I. Every site counts the same. */
#include "aggregation/strategy/updates.h"

static void combine(const struct csl_strategy_config *c, uint32_t rows_count,
                    const float *const *rows, uint64_t count, float *scratch, float *mean)
{
    (void)c;
    for (uint64_t i = 0; i < count; i++) {
        for (uint32_t a = 0; a < rows_count; a++)
            scratch[a] = rows[a][i];
        csl_strategy__sort(scratch, rows_count);
        mean[i] = (float)csl_strategy__median_sorted(scratch, rows_count);
    }
}

const struct csl_strategy_ops csl_strategy__median = {
    .name = "median",
    .needs = CSL_NEEDS_UPDATES,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .summary = "The median of each parameter: fewer than half of the sites cannot drag it away.",
    .apply = csl_strategy__apply,
    .choose = csl_strategy__choose_all,
    .combine = combine,
};
