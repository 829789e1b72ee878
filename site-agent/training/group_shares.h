/* site-agent/training/group_shares.h - how much a patient counts in mode joint where the study
 * weighs patient groups by published statistics (docs/decisions/0014, point 17).
 *
 * A patient of known values counts by the geometric mean, over the published attributes, of its
 * values' weights; a value that is not known or not listed has weight 1. The share is that over the
 * largest that any patient could have, so it is in (0, 1] whatever the weights are: a clipped
 * gradient times the share is within the clip. Weights are public, and of other patients nothing
 * enters. Any thread. */
#ifndef CSL_TRAINING_GROUP_SHARES_H
#define CSL_TRAINING_GROUP_SHARES_H
#include "protocol/study/study.h"

/* log_weights: [csl_study_published_groups], finite. group: [A] of struct csl_examples; NULL: of no
 * known value. */
double csl_group_share(const struct csl_study *s, const double *log_weights, const uint8_t *group);
/* What a patient of weight 1, the mean, has: at most 1. */
double csl_group_share_of_mean(const struct csl_study *s, const double *log_weights);

#endif
