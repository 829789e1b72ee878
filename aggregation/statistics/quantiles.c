/* aggregation/statistics/quantiles.c - quantiles of a histogram with noise in every bin. */
#include "aggregation/statistics/vector_internal.h"

#include <math.h>

/* Share of the values below each edge of the bins, counted from the nearer end, and the variance
 * that noise gives it. */
struct edges {
    uint32_t bins;
    double below[CSL_STATISTICS_BINS_MAX + 1], noise[CSL_STATISTICS_BINS_MAX + 1];
};

static void make_edges(struct edges *e, const struct csl_statistics_shape *shape, double sigma,
                       double known, uint32_t feature, const int64_t *sum)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    double unit = 1 / (CSL_STATISTICS_ONE * known), noise = sigma * sigma / (known * known);
    int64_t left = sum[at.below], right = sum[at.above];
    e->bins = shape->bins;
    for (uint32_t j = 0; j <= e->bins; j++) {
        e->below[j] = (double)left * unit;
        e->noise[j] = ((double)(j + 1) + 2 * e->below[j] * e->below[j]) * noise;
        if (j < e->bins)
            left += sum[at.bins + j];
    }
    for (uint32_t k = 0; k <= e->bins / 2; k++) {
        uint32_t j = e->bins - k;
        double above = (double)right * unit;
        e->below[j] = 1 - above;
        e->noise[j] = ((double)(k + 1) + 2 * above * above) * noise;
        right += sum[at.bins + j - 1];
    }
}

static double edge_value(const struct csl_statistics_range *r, const struct edges *e, double j)
{
    return r->low + (r->high - r->low) * (j / (double)e->bins);
}

static struct csl_statistic quantile(const struct csl_statistics_range *r, const struct edges *e,
                                     double p, const struct csl_statistics_known *known)
{
    double sampling = p * (1 - p) / known->sampled, before = 0, at = (double)e->bins;
    uint32_t low = 0, high = e->bins;
    while (low < e->bins && e->below[low] + CSL_STATISTICS_Z * sqrt(e->noise[low] + sampling) < p)
        low++;
    while (high > 0 && e->below[high] - CSL_STATISTICS_Z * sqrt(e->noise[high] + sampling) >= p)
        high--;
    for (uint32_t j = 0; j <= e->bins; j++) { /* as if it never fell */
        double here = fmax(before, e->below[j]);
        if (here >= p) {
            at = j == 0 ? 0 : (double)(j - 1) + (p - before) / (here - before);
            break;
        }
        before = here;
    }
    if (known->is_guarded && at > 0 && at < (double)e->bins)
        at = floor(at) + 0.5;
    double from = low > 0 ? (double)(low - 1) : 0;
    double to = high < e->bins ? (double)(high + 1) : (double)e->bins;
    return (struct csl_statistic){.is_shown = true,
                                  .value = edge_value(r, e, fmin(fmax(at, from), fmax(from, to))),
                                  .low = edge_value(r, e, from),
                                  .high = edge_value(r, e, fmax(from, to))};
}

void csl_statistics__quantiles(const struct csl_statistics_shape *shape, double sigma,
                               const struct csl_statistics_known *known,
                               const struct csl_statistics_range *range, uint32_t feature,
                               const int64_t *sum, struct csl_statistic *out)
{
    struct edges e;
    make_edges(&e, shape, sigma, known->n, feature, sum);
    for (int i = 0; i < CSL_STATISTICS_QUANTILES; i++)
        out[i] = quantile(range, &e, csl_statistics_quantiles[i], known);
}
