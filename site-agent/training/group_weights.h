/* site-agent/training/group_weights.h - how much each training patient counts in the loss of its
 * site, by patient group: FairGRPO's weights (aggregation/weights/groups.h) from this site alone.
 *
 * A group is one combination of the study's attributes. Its share is that of the site's training
 * patients, its skill that of the round's incoming model for validation patients of the group (for
 * training patients where the site has no validation records of the domain); a group without any
 * takes the mean of all. All of it stays at the site. Deterministic, doubles. Any thread.
 *
 * No part of it is differentially private: a weight depends on every patient of the site. Studies
 * with privacy are refused it (protocol/study/study_group_weights.c); those of mode joint have
 * group_shares.h instead. */
#ifndef CSL_GROUP_WEIGHTS_H
#define CSL_GROUP_WEIGHTS_H
#include "site-agent/data/dataset.h"

/* Skill of a model for each patient: 1 - loss / (loss of the constant predictor that says the
 * classes' shares among these patients), between 0 and 1; loss: mean over the patient's records of
 * -log of the probability of the label. 1 for all when there is but one class.
 * probabilities: [records] (classes 2, of class 1) or [records, classes] as csl_trainer_predict
 * gives them for the task; out: [e->patients]. CSL_E_NOMEM. */
enum csl_code csl_patient_skills(const struct csl_examples *e, enum csl_task_kind task,
                                 uint32_t classes, const float *probabilities, double *out,
                                 struct csl_err *err) CSL_MUST_CHECK;

/* skill: [judged->patients]; out: [train->patients], mean 1, in [cap^-2, cap^2]. Examples without
 * levels are refused with CSL_E_INVAL; CSL_E_LIMIT: more than CSL_STRATA_MAX groups; CSL_E_NOMEM.
 */
enum csl_code csl_patient_weights(const struct csl_study_fairness *f,
                                  const struct csl_examples *train,
                                  const struct csl_examples *judged, const double *skill,
                                  float *out, struct csl_err *err) CSL_MUST_CHECK;

#endif
