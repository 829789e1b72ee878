/* site-agent/training/count.h - the round of a census: this site's training patients
 * as the vectors of aggregation/statistics/statistics.h. Internal to csl_trainer_run. */
#ifndef CSL_TRAINING_COUNT_H
#define CSL_TRAINING_COUNT_H
#include "site-agent/training/train.h"

/* Adds every training patient of a domain of a census to sum: [words]. One patient is
 * one vector, however many records there are: the value of a feature is the mean over the patient's
 * known values in all records and steps, the answer to a question that of the first record that has
 * it. CSL_E_NOMEM. Any thread. */
enum csl_code csl_count_domain(const struct csl_study *study, uint32_t domain,
                               const struct csl_examples *e, int64_t *sum,
                               struct csl_err *err) CSL_MUST_CHECK;

/* As csl_trainer_run. Without privacy the update is the vector in patients; with mode local noise
 * is added to the integers first, with mode joint joint_sum is the integers with this site's share.
 * The vector's own units are whole multiples of the noise's grid, and that a patient's norm is
 * within l2_units is checked in integers before anything is drawn. */
enum csl_code csl_trainer__count(const struct csl_study *study, const struct csl_train_task *task,
                                 struct csl_train_report *report,
                                 struct csl_err *err) CSL_MUST_CHECK;

#endif
