/* RFA, the geometric median by the smoothed Weiszfeld algorithm: beta_k = p_k / max(nu, |v - D_k|),
 * v = sum beta_k D_k / sum beta_k. Pillutla, Kakade, Harchaoui 2022, arXiv 1912.13445, Algorithm 2.
 * The iterate is a weighted mean of the updates, so its distances follow from theirs alone: with
 * sum b_j = 1, |D_k - v|^2 = sum_j b_j |D_k - D_j|^2 - 1/2 sum_ij b_i b_j |D_i - D_j|^2.
 * Under masks it would take one sum per iteration, to which each site applies its own beta. */
#include "aggregation/strategy/updates.h"

#include <math.h>
#include <stddef.h>

#define SMOOTHING      1e-6 /* nu, as the authors take it */
#define ITERATIONS_MAX 200
#define CHANGE_MIN     1e-12

/* to[k]: sum_j b_j |D_k - D_j|^2; back: half the mean of to. */
static double spread(const struct csl_updates *u, const double *b, double *to)
{
    double mean = 0;
    for (uint32_t k = 0; k < u->count; k++) {
        to[k] = 0;
        for (uint32_t j = 0; j < u->count; j++)
            to[k] += b[j] * u->distances2[(size_t)k * u->count + j];
        mean += b[k] * to[k];
    }
    return mean / 2;
}

static enum csl_code choose(const struct csl_strategy_config *c, const struct csl_updates *u,
                            double *coefficients, struct csl_err *err)
{
    double to[CSL_STRATEGY_UPDATES_MAX], next[CSL_STRATEGY_UPDATES_MAX];
    (void)c;
    (void)err;
    for (uint32_t k = 0; k < u->count; k++)
        coefficients[k] = u->weights[k];
    for (int t = 0; t < ITERATIONS_MAX; t++) {
        double half = spread(u, coefficients, to), sum = 0, change = 0;
        for (uint32_t k = 0; k < u->count; k++) {
            double distance2 = to[k] - half; /* rounding may leave it a little below 0 */
            double distance = distance2 > 0 ? sqrt(distance2) : 0;
            next[k] = u->weights[k] / (distance > SMOOTHING ? distance : SMOOTHING);
            sum += next[k];
        }
        for (uint32_t k = 0; k < u->count; k++) {
            next[k] /= sum;
            change = fmax(change, fabs(next[k] - coefficients[k]));
            coefficients[k] = next[k];
        }
        if (change < CHANGE_MIN)
            break;
    }
    return CSL_OK;
}

const struct csl_strategy_ops csl_strategy__geometric_median = {
    .name = "geometric-median",
    .needs = CSL_NEEDS_FACTORS,
    .update_vectors = 1,
    .broadcast_vectors = 1,
    .measures = true,
    .summary = "The point with the least sum of distances to the updates, by the sites' weights.",
    .apply = csl_strategy__apply,
    .choose = choose,
};
