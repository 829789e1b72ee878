#include "aggregation/statistics/vector_internal.h"

#include "aggregation/weights/publication.h"

#include <math.h>

const double csl_statistics_quantiles[CSL_STATISTICS_QUANTILES] = {0.05, 0.25, 0.5, 0.75, 0.95};

static const struct csl_statistic nothing = {.high = HUGE_VAL};

static double patients_of(int64_t entry)
{
    return (double)entry / CSL_STATISTICS_ONE;
}

double csl_statistics_least(const struct csl_statistics_sum *s, uint32_t entries)
{
    double usable = CSL_PUBLICATION_USABLE * s->sigma * sqrt((double)entries);
    return fmax(usable, (double)s->minimum_cell);
}

/* A count that is the sum or difference of `entries` entries. */
static struct csl_statistic count_of(const struct csl_statistics_sum *s, double count,
                                     uint32_t entries)
{
    double half = CSL_STATISTICS_Z * s->sigma * sqrt((double)entries);
    double least = csl_statistics_least(s, entries);
    if (s->sites < s->sites_min)
        return nothing;
    /* Without noise the bound is the rule's and says nothing of the count; with noise it may. */
    if (!(count >= least))
        return (struct csl_statistic){.high = s->sigma > 0 ? fmax(count, 0) + half : least};
    return (struct csl_statistic){
        .is_shown = true, .value = count, .low = fmax(count - half, 0), .high = count + half};
}

/* The hidden answer of a question with one of them would be what the others leave. */
static void hide_difference(uint32_t answers, struct csl_statistic *cells)
{
    uint32_t hidden = 0, smallest = answers;
    for (uint32_t a = 0; a < answers; a++) {
        hidden += !cells[a].is_shown;
        if (cells[a].is_shown && (smallest == answers || cells[a].value < cells[smallest].value))
            smallest = a;
    }
    if (hidden == 1 && smallest < answers)
        cells[smallest] = nothing;
}

void csl_statistics_counts(const struct csl_statistics_shape *shape,
                           const struct csl_statistics_sum *s, const int64_t *sum,
                           struct csl_statistic *patients, struct csl_statistic *cells)
{
    *patients = count_of(s, patients_of(sum[0]), 1);
    for (uint32_t q = 0; q < shape->questions; q++) {
        struct csl_statistic *of = cells + (size_t)q * shape->answers;
        for (uint32_t a = 0; a < shape->answers; a++)
            of[a] = count_of(s, patients_of(sum[1 + (size_t)q * shape->answers + a]), 1);
        if (!(s->sigma > 0))
            hide_difference(shape->answers, of);
    }
}

/* count (of `entries` entries) over n (of two). */
static struct csl_statistic share_of(const struct csl_statistics_sum *s, double count,
                                     uint32_t entries, double n)
{
    struct csl_statistic c = count_of(s, count, entries);
    double noise = s->sigma * s->sigma;
    if (!c.is_shown)
        return (struct csl_statistic){.high = fmin(c.high / n, 1)};
    double p = fmin(count / n, 1);
    double variance = ((double)entries + 2 * p * p) * noise / (n * n) + p * (1 - p) / n;
    double half = CSL_STATISTICS_Z * sqrt(variance);
    return (struct csl_statistic){
        .is_shown = true, .value = p, .low = fmax(p - half, 0), .high = fmin(p + half, 1)};
}

/* What s in [-1, 1] is in the feature's unit. */
static double unscaled(const struct csl_statistics_range *r, double s)
{
    return r->low + (r->high - r->low) * fmin(fmax(s, -1), 1) / 2 + (r->high - r->low) / 2;
}

/* At least the mean of (s - m)^4, but for the share of cases that the intervals leave: each bin
 * with its farther edge, and what the noise may hide of them; never more than values in [-1, 1]
 * allow. */
static double fourth_moment(const struct csl_statistics_shape *shape, uint32_t feature,
                            const int64_t *sum, double sigma, double n, double m, double spread)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    double total = 0, squares = 0, largest = (1 + fabs(m)) * (1 + fabs(m)) * spread;
    for (uint32_t j = 0; j < shape->bins + 2; j++) { /* below, the bins, above */
        double left = j == 0 ? -1 : 2 * (double)(j - 1) / shape->bins - 1;
        double right = j == 0 ? -1 : j > shape->bins ? 1 : 2 * (double)j / shape->bins - 1;
        double far = fmax(fabs(left - m), fabs(right - m));
        double power = far * far * far * far;
        total += patients_of(sum[at.below + j]) * power;
        squares += power * power;
    }
    return fmin(fmax(total / n, 0) + CSL_STATISTICS_Z * sigma * sqrt(squares) / n, largest);
}

static void moments(const struct csl_statistics_shape *shape, double sigma,
                    const struct csl_statistics_range *r, uint32_t feature, double n,
                    const int64_t *vector, struct csl_feature_figures *out)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    double sum = patients_of(vector[at.sum]), squares = patients_of(vector[at.squares]);
    double noise = sigma * sigma;
    const double rounding = 0.5 / CSL_STATISTICS_ONE;
    double m = fmin(fmax(sum / n, -1), 1), q = squares / n, scale = (r->high - r->low) / 2;
    double variance = q - m * m;
    double spread = fmax(variance, 0); /* of one value; what noise leaves of it */
    double of_mean = (1 + 2 * m * m) * noise / (n * n) + spread / n;
    double half = CSL_STATISTICS_Z * sqrt(of_mean) + rounding;
    out->mean = (struct csl_statistic){.is_shown = true,
                                       .value = unscaled(r, m),
                                       .low = unscaled(r, m - half),
                                       .high = unscaled(r, m + half)};
    double by_n = q - 2 * m * m;
    double fourth = fourth_moment(shape, feature, vector, sigma, n, m, spread);
    double of_variance =
        (1 + 4 * m * m + 2 * by_n * by_n) * noise / (n * n) + fmax(fourth - spread * spread, 0) / n;
    half = CSL_STATISTICS_Z * sqrt(of_variance) + 4 * rounding;
    double low = variance - half, high = fmin(fmax(variance, 0) + half, 1);
    out->deviation = (struct csl_statistic){.high = scale * sqrt(high)};
    if (!(low > 0))
        return;
    out->deviation.is_shown = true;
    out->deviation.value = scale * sqrt(variance * n / (n - 1));
    out->deviation.low = scale * sqrt(low);
}

void csl_statistics_feature(const struct csl_statistics_shape *shape,
                            const struct csl_statistics_sum *s,
                            const struct csl_statistics_range *range, uint32_t feature,
                            const int64_t *sum, struct csl_feature_figures *out)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    double patients = patients_of(sum[0]), missing = patients_of(sum[at.missing]);
    double n = patients - missing;
    *out = (struct csl_feature_figures){
        .missing = nothing, .outside = nothing, .mean = nothing, .deviation = nothing};
    for (int i = 0; i < CSL_STATISTICS_QUANTILES; i++)
        out->quantiles[i] = nothing;
    if (count_of(s, patients, 1).is_shown)
        out->missing = share_of(s, missing, 1, patients);
    if (!count_of(s, n, 2).is_shown || !(n > 1))
        return;
    out->outside = share_of(s, patients_of(sum[at.below]) + patients_of(sum[at.above]), 2, n);
    moments(shape, s->sigma, range, feature, n, sum, out);
    csl_statistics__quantiles(shape, s->sigma, n, range, feature, sum, out->quantiles);
}
