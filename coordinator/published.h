/* coordinator/published.h - one publication of the statistics of one domain (protocol/study/
 * evaluation.h): what the opened sum says, with what must not be used left out. */
#ifndef CSL_COORD_PUBLISHED_H
#define CSL_COORD_PUBLISHED_H
#include "aggregation/weights/domain.h"
#include "coordinator/store/store.h"
#include "protocol/study/study.h"

#define CSL_PUBLISHED_CELLS_MAX (1 + CSL_FAIRNESS_ATTRIBUTES_MAX * CSL_STATISTICS_VALUES_MAX)

struct csl_published {
    uint64_t round; /* whose incoming model the skills are of */
    uint32_t domain, sites;
    double sigma; /* of the noise of every sum, in patients; 0: exact */
    bool
        has_skill; /* else skill_sum is 0 everywhere, and `prior_loss` says what the classes give */
    double prior_loss; /* entropy of the classes; 0: not known */
    /* The domain, then the values of the published attributes in the study's order. is_absent:
     * suppressed, and the numbers are 0. */
    uint32_t cell_count;
    struct csl_domain_statistic cells[CSL_PUBLISHED_CELLS_MAX];
};

/* has_skill: the sites were told a prior. sigma_share: of one site's noise, in patients. A cell of
 * fewer than CSL_PUBLICATION_USABLE sigma patients, of a sum over fewer sites than the study's
 * minimum, or of a group below fairness.minimum_group is suppressed; where sums are
 * exact, further groups of its attribute too, until what is not shown is 0 or that many patients.
 * CSL_E_CORRUPT: the row is not of this study. */
enum csl_code csl_published_read(const struct csl_study *study,
                                 const struct csl_store_publication *row, bool has_skill,
                                 double sigma_share, struct csl_published *out,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* fairness.weights by published statistics: the logarithm of each published value's weight,
 * [csl_study_published_groups], by the rule of aggregation/weights/groups.h for each attribute on
 * its own, over all domains together. newest: [domain_count], round 0: none. A value that no domain
 * has a usable number and skill of counts 1; so do all while not two of the attribute are known. */
enum csl_code csl_published_weigh_groups(const struct csl_study *study,
                                         const struct csl_published *newest, double *log_weights,
                                         struct csl_err *err) CSL_MUST_CHECK;

#endif
