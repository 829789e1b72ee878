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
/* quantiles.c. known: patients with a value, > 0. */
void csl_statistics__quantiles(const struct csl_statistics_shape *shape, double sigma, double known,
                               const struct csl_statistics_range *range, uint32_t feature,
                               const int64_t *sum, struct csl_statistic *out);

#endif
