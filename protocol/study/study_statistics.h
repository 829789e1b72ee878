/* protocol/study/study_statistics.h - the section 'statistics' of a study: how many training
 * patients each domain and patient group has, and how well the model does by them, summed under
 * masks and published every so many rounds (evaluation.h has the words). */
#ifndef CSL_STUDY_STATISTICS_H
#define CSL_STUDY_STATISTICS_H
#include "base/limits.h"
#include "protocol/study/study_fairness.h"

#include <stdbool.h>
#include <stdint.h>

#define CSL_STATISTICS_PUBLICATIONS_MAX 64 /* all are reserved in the ledger at the start */
#define CSL_STATISTICS_VALUES_MAX       12 /* of one attribute */
#define CSL_STATISTICS_VALUE_BYTES      32 /* as in the record files, with NUL */

struct csl_study_statistics {
    bool is_on;     /* the rest is 0 without */
    uint32_t every; /* rounds between two publications; the first is in round 1 */
    double epsilon; /* that all publications together cost a patient at a site; 0: exact sums */
    double delta;
    /* By attribute of the section 'fairness'; 0 values: not published. */
    uint32_t value_count[CSL_FAIRNESS_ATTRIBUTES_MAX];
    char values[CSL_FAIRNESS_ATTRIBUTES_MAX][CSL_STATISTICS_VALUES_MAX][CSL_STATISTICS_VALUE_BYTES];
};

#endif
