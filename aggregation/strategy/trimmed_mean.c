/* Coordinate-wise trimmed mean: without the floor(beta n) smallest and largest values. Yin et al.
 * 2018, arXiv 1803.01498, Definition 2 and Algorithm 1, option II. Every site counts the same. */
#include "aggregation/strategy/updates.h"

#include <math.h>

/* A share such as .29 is a little less in binary, and 29 of 100 must not become 28. */
#define ROUNDING 1e-9

static void combine(const struct csl_strategy_config *c, uint32_t rows_count,
                    const float *const *rows, uint64_t count, float *scratch, float *mean)
{
    uint32_t cut = (uint32_t)floor(c->trim * rows_count + ROUNDING);
    cut = 2 * cut < rows_count ? cut : (rows_count - 1) / 2;
    for (uint64_t i = 0; i < count; i++) {
        double sum = 0;
        for (uint32_t a = 0; a < rows_count; a++)
            scratch[a] = rows[a][i];
        csl_strategy__sort(scratch, rows_count);
        for (uint32_t a = cut; a < rows_count - cut; a++)
            sum += (double)scratch[a];
        mean[i] = (float)(sum / (rows_count - 2 * cut));
    }
}

const struct csl_strategy_ops csl_strategy__trimmed_mean = {
    .name = "trimmed-mean",
    .needs = CSL_NEEDS_UPDATES,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .summary = "The mean of each parameter without a share of the smallest and largest values.",
    .apply = csl_strategy__apply,
    .choose = csl_strategy__choose_all,
    .combine = combine,
};
