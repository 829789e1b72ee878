/* site-agent/training/statistics.h - training patients of one domain as the words of a publication
 * (protocol/study/evaluation.h), before any noise. Any thread. */
#ifndef CSL_TRAINING_STATISTICS_H
#define CSL_TRAINING_STATISTICS_H
#include "protocol/study/study.h"
#include "site-agent/data/dataset.h"

/* words: [csl_study_statistics_words]. losses: [e->patients] under the model that is judged, with
 * the prior's loss > 0; NULL: no prior is known, and classes are counted in place of skills.
 * Adding or removing a patient with all records changes the words by a vector of L2 norm at most
 * CSL_PUBLICATION_ONE * sqrt(2 (A + 1)), whatever records and losses are. */
enum csl_code csl_statistics_count(const struct csl_study *study, uint32_t domain,
                                   const struct csl_examples *e, const double *losses,
                                   double prior_loss, uint64_t *words,
                                   struct csl_err *err) CSL_MUST_CHECK;

#endif
