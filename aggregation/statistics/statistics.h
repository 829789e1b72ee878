/* aggregation/statistics/statistics.h - statistics of features before anything is trained: every
 * site counts its patients into one vector of whole numbers that adds up over the sites, in the
 * open, under masks or with noise in it; figures with intervals come from the sum alone.
 *
 * The vector of a domain, in units of 1 / CSL_STATISTICS_ONE patient:
 *   patients
 *   cells [questions, answers]  of each answer to each question, e.g. of each class
 *   and of each feature
 *     missing                   patients without a value
 *     below                     whose value is below the feature's declared range
 *     bins [bins]               of equal width over the range, the last one closed
 *     above
 *     sum                       of s = 2 (v - low) / (high - low) - 1, in [-1, 1]
 *     squares                   of s * s, in [0, 1]
 *
 * v is the patient's one value clipped to the range: whoever counts decides how several records
 * become one. A patient is in `patients` once, in at most one answer of each question, and in
 * exactly one of missing, below, bins and above of each feature, with sum and squares beside it. So
 * adding or removing one patient moves the vector by an L2 norm of at most the square root of
 *     1 + questions + 3 features                        (patients)
 * whatever the patient's values are (csl_statistics_sensitivity2; tests/property/aggregation).
 *
 * Source of the noise: aggregation/weights/publication.h, whose rule of use hides what is too
 * small. Any thread. */
#ifndef CSL_STATISTICS_H
#define CSL_STATISTICS_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSL_STATISTICS_ONE       1024
#define CSL_STATISTICS_BINS_MIN  4
#define CSL_STATISTICS_BINS_MAX  256
#define CSL_STATISTICS_QUANTILES 5

struct csl_statistics_shape {
    uint32_t questions, answers; /* 0 questions: no cells */
    uint32_t features;
    uint32_t bins; /* CSL_STATISTICS_BINS_MIN .. CSL_STATISTICS_BINS_MAX */
};
struct csl_statistics_range { /* low < high, and high - low is finite */
    double low, high;
};
size_t csl_statistics_words(const struct csl_statistics_shape *shape);
/* Square of the L2 sensitivity in patients; in units of the vector CSL_STATISTICS_ONE times that.
 */
uint64_t csl_statistics_sensitivity2(const struct csl_statistics_shape *shape);
bool csl_statistics_range_is_valid(const struct csl_statistics_range *r);

/* The entry counts patients: without noise a multiple of CSL_STATISTICS_ONE. Else: sum or squares.
 */
bool csl_statistics_is_count(const struct csl_statistics_shape *shape, size_t entry);

#define CSL_STATISTICS_NO_ANSWER UINT32_MAX
/* Adds one patient to `to` [words]. answer: [questions], below shape->answers or
 * CSL_STATISTICS_NO_ANSWER; value: [features], NaN: missing, anything else is clipped. Entries
 * cannot overflow for 2^52 patients. */
void csl_statistics_add(const struct csl_statistics_shape *shape,
                        const struct csl_statistics_range *ranges, const uint32_t *answer,
                        const double *value, int64_t *to);

/* --- figures --- */

/* What is known of a sum besides its numbers. */
struct csl_statistics_sum {
    double sigma; /* standard deviation of the noise in every entry, patients; 0: exact */
    uint32_t sites, sites_min; /* fewer sites than that: nothing is shown */
    uint32_t minimum_cell;     /* fewer patients than that are never shown */
    bool is_own;               /* a site's own patients, shown to that site alone */
};
/* A 95 % interval. is_shown false: the value is hidden because it is too small or not above the
 * noise, and never zero; then high is what it is at most (with noise the upper limit of the 95 %
 * interval, without it the smallest count that is shown), HUGE_VAL where nothing is said. */
struct csl_statistic {
    bool is_shown;
    double value, low, high;
};
struct csl_feature_figures {
    struct csl_statistic missing, outside; /* shares; outside: of the known values */
    struct csl_statistic mean, deviation;  /* of the clipped values, in the feature's unit */
    struct csl_statistic quantiles[CSL_STATISTICS_QUANTILES];
};
extern const double csl_statistics_quantiles[CSL_STATISTICS_QUANTILES]; /* .05 .25 .5 .75 .95 */

/* Smallest count of `entries` independent entries together that is shown: the rule of
 * csl_publication_suppress (CSL_PUBLICATION_USABLE standard deviations), and minimum_cell. */
double csl_statistics_least(const struct csl_statistics_sum *s, uint32_t entries);
/* Counts: the interval is that of the noise alone. cells: [questions, answers]. Without noise
 * and not is_own, a question with a hidden answer, or with fewer than minimum_cell patients who
 * have none, hides its smallest shown answers too: one, and until all patients less the shown ones
 * are twice minimum_cell. */
void csl_statistics_counts(const struct csl_statistics_shape *shape,
                           const struct csl_statistics_sum *s, const int64_t *sum,
                           struct csl_statistic *patients, struct csl_statistic *cells);
/* Of one feature: intervals of noise and sampling together, as if the patients were a sample.
 *   mean       delta method over sum and number of patients, widened by the rounding of values
 *   deviation  likewise; the sampling variance (m4 - var^2) / n with the largest fourth moment that
 *              the bins allow. Hidden where its interval reaches 0
 *   quantiles  of the histogram. Sought are the edges at which the counts could be the quantile at
 *              all (pointwise normal intervals, test inversion): between the last edge that is
 *              below it and the first that is above it
 * Shares, mean and the rest are hidden where fewer patients have a value than is shown.
 *
 * Without noise, and not is_own, no figure tells a hidden count by subtraction or division. As long
 * as `missing` is hidden, sampling terms have all patients less minimum_cell in place of those with
 * a value. Mean and deviation are rounded to about a tenth of their half-width, outwards, and to
 * 1/512 .. 1/5120 of half the range at the finest; `outside` to 1 / n at the finest; a quantile is
 * the middle of its bin. Hidden are a share that fewer than minimum_cell patients are not in, mean,
 * deviation and quantiles of a feature with two values of which fewer have one, and a quantile
 * beyond which fewer are. */
void csl_statistics_feature(const struct csl_statistics_shape *shape,
                            const struct csl_statistics_sum *s,
                            const struct csl_statistics_range *range, uint32_t feature,
                            const int64_t *sum, struct csl_feature_figures *out);

#endif
