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

/* Without noise what is hidden must not follow from what is shown. */
static bool is_guarded(const struct csl_statistics_sum *s)
{
    return !(s->sigma > 0) && !s->is_own;
}

/* All patients less the shown answers are the hidden ones, and who has no answer. With a hidden one
 * goes one that would be shown, and together they are twice `least`: whoever knows that it has
 * `least` patients still learns nothing of a count below. */
static void hide_differences(const struct csl_statistics_sum *s, double patients, uint32_t answers,
                             struct csl_statistic *cells)
{
    double least = csl_statistics_least(s, 1);
    for (bool has_another = false;; has_another = true) {
        uint32_t shown = 0, smallest = 0;
        double left = patients;
        for (uint32_t a = 0; a < answers; a++) {
            if (!cells[a].is_shown)
                continue;
            left -= cells[a].value;
            if (shown++ == 0 || cells[a].value < cells[smallest].value)
                smallest = a;
        }
        if (shown == 0 || (shown == answers && (left == 0 || left >= least)) ||
            (has_another && left >= 2 * least))
            return;
        cells[smallest] = nothing;
    }
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
        if (is_guarded(s))
            hide_differences(s, patients_of(sum[0]), shape->answers, of);
    }
}

/* To the largest power of ten up to `most`, the interval outwards. */
static void coarsen(struct csl_statistic *s, double most)
{
    double power = fmax(floor(log10(most)), -300), grain = pow(10, fabs(power));
    double up = power < 0 ? grain : 1, down = power < 0 ? 1 : grain;
    s->value = round(s->value * up / down) * down / up;
    s->low = floor(s->low * up / down) * down / up;
    s->high = ceil(s->high * up / down) * down / up;
}

/* count (of `entries` entries) over k->n (of two). */
static struct csl_statistic share_of(const struct csl_statistics_sum *s, double count,
                                     uint32_t entries, const struct csl_statistics_known *k)
{
    struct csl_statistic c = count_of(s, count, entries);
    double noise = s->sigma * s->sigma, n = k->n;
    if (!c.is_shown)
        return (struct csl_statistic){.high = fmin(c.high / k->sampled, 1)};
    if (k->is_guarded && n - count < csl_statistics_least(s, 1))
        return nothing; /* the others are too few */
    double p = fmin(count / n, 1);
    double variance = ((double)entries + 2 * p * p) * noise / (n * n) + p * (1 - p) / k->sampled;
    double half = CSL_STATISTICS_Z * sqrt(variance);
    struct csl_statistic out = {.is_shown = true, .value = p, .low = p - half, .high = p + half};
    if (k->is_guarded && k->sampled < n) /* a fraction would tell n: ten of them, or more */
        coarsen(&out, fmax(half / 10, 10 / k->sampled));
    out.low = fmax(out.low, 0);
    out.high = fmin(out.high, 1);
    return out;
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

/* Of 0 and 1 the mean is the share of ones: the rarer of two values may be too few. */
static bool has_few_of_two(const struct csl_statistics_shape *shape, double least, uint32_t feature,
                           const int64_t *sum)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    uint32_t occupied = 0;
    double fewest = HUGE_VAL;
    for (uint32_t j = 0; j < shape->bins + 2; j++) { /* below, the bins, above */
        double count = patients_of(sum[at.below + j]);
        occupied += count > 0;
        if (count > 0)
            fewest = fmin(fewest, count);
    }
    return occupied == 2 && fewest < least;
}

/* Without noise the digits that are not known anyway would tell how many patients there are. A
 * value is only known to 1 / 1024 of half its range, so dozens of sums fit what is written. */
static void coarsen_value(struct csl_statistic *s, const struct csl_statistics_range *r)
{
    coarsen(s, fmax((s->high - s->low) / 20, (r->high - r->low) / CSL_STATISTICS_ONE));
}

static void moments(const struct csl_statistics_shape *shape, const struct csl_statistics_sum *s,
                    const struct csl_statistics_range *r, uint32_t feature,
                    const struct csl_statistics_known *k, const int64_t *vector,
                    struct csl_feature_figures *out)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    double sum = patients_of(vector[at.sum]), squares = patients_of(vector[at.squares]);
    double noise = s->sigma * s->sigma, n = k->n, sampled = k->sampled;
    const double rounding = 0.5 / CSL_STATISTICS_ONE;
    double m = fmin(fmax(sum / n, -1), 1), q = squares / n, scale = (r->high - r->low) / 2;
    double variance = q - m * m;
    double spread = fmax(variance, 0); /* of one value; what noise leaves of it */
    double of_mean = (1 + 2 * m * m) * noise / (n * n) + spread / sampled;
    double half = CSL_STATISTICS_Z * sqrt(of_mean) + rounding;
    out->mean = (struct csl_statistic){.is_shown = true,
                                       .value = unscaled(r, m),
                                       .low = unscaled(r, m - half),
                                       .high = unscaled(r, m + half)};
    if (k->is_guarded) {
        coarsen_value(&out->mean, r);
        out->mean.value = fmin(fmax(out->mean.value, r->low), r->high);
        out->mean.low = fmax(out->mean.low, r->low);
        out->mean.high = fmin(out->mean.high, r->high);
    }
    double by_n = q - 2 * m * m;
    double fourth = fourth_moment(shape, feature, vector, s->sigma, n, m, spread);
    double of_variance = (1 + 4 * m * m + 2 * by_n * by_n) * noise / (n * n) +
                         fmax(fourth - spread * spread, 0) / sampled;
    half = CSL_STATISTICS_Z * sqrt(of_variance) + 4 * rounding;
    double low = variance - half, high = fmin(fmax(variance, 0) + half, 1);
    out->deviation = (struct csl_statistic){
        .is_shown = low > 0, .low = scale * sqrt(fmax(low, 0)), .high = scale * sqrt(high)};
    if (low > 0)
        out->deviation.value = scale * sqrt(variance * sampled / (sampled - 1));
    if (k->is_guarded)
        coarsen_value(&out->deviation, r);
}

void csl_statistics_feature(const struct csl_statistics_shape *shape,
                            const struct csl_statistics_sum *s,
                            const struct csl_statistics_range *range, uint32_t feature,
                            const int64_t *sum, struct csl_feature_figures *out)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    double patients = patients_of(sum[0]), missing = patients_of(sum[at.missing]);
    double least = csl_statistics_least(s, 1);
    const struct csl_statistics_known all = {patients, patients, is_guarded(s)};
    struct csl_statistics_known k = {patients - missing, patients - missing, is_guarded(s)};
    *out = (struct csl_feature_figures){
        .missing = nothing, .outside = nothing, .mean = nothing, .deviation = nothing};
    for (int i = 0; i < CSL_STATISTICS_QUANTILES; i++)
        out->quantiles[i] = nothing;
    if (count_of(s, patients, 1).is_shown)
        out->missing = share_of(s, missing, 1, &all);
    if (k.is_guarded && missing < least)
        k.sampled = patients - least;
    if (!count_of(s, k.sampled, 2).is_shown || !(k.sampled > 1))
        return;
    out->outside = share_of(s, patients_of(sum[at.below]) + patients_of(sum[at.above]), 2, &k);
    if (k.is_guarded && has_few_of_two(shape, least, feature, sum))
        return;
    moments(shape, s, range, feature, &k, sum, out);
    csl_statistics__quantiles(shape, s->sigma, &k, range, feature, sum, out->quantiles);
    for (int i = 0; k.is_guarded && i < CSL_STATISTICS_QUANTILES; i++) {
        double p = csl_statistics_quantiles[i];
        if (k.sampled * fmin(p, 1 - p) < least) /* too few are beyond it */
            out->quantiles[i] = nothing;
    }
}
