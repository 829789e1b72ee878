/* aggregation/statistics/vector_internal.h - where the entries of a vector stand. */
#ifndef CSL_STATISTICS_VECTOR_INTERNAL_H
#define CSL_STATISTICS_VECTOR_INTERNAL_H
#include "aggregation/statistics/statistics.h"

#define CSL_STATISTICS_Z 1.959963984540054 /* of 95 %, both sides */

/* The entries of one feature; bins: [shape->bins]. */
struct csl_statistics_feature_at {
    size_t missing, below, bins, above, sum, squares;
};
struct csl_statistics_feature_at csl_statistics__at(const struct csl_statistics_shape *shape,
                                                    uint32_t feature);
/* Patients with a value, > 0: as counted, and for what sampling does. The second is less where the
 * first could be told from it: all patients less the most that a hidden `missing` may be, which is
 * public. is_guarded: no figure may tell a count that is hidden. */
struct csl_statistics_known {
    double n, sampled;
    bool is_guarded;
};
/* quantiles.c. Guarded, a quantile is the middle of its bin: a place in it would tell how many
 * patients are in the bin. */
void csl_statistics__quantiles(const struct csl_statistics_shape *shape, double sigma,
                               const struct csl_statistics_known *known,
                               const struct csl_statistics_range *range, uint32_t feature,
                               const int64_t *sum, struct csl_statistic *out);

#endif
