/* site-agent/training/judged.h - what a site tells of a domain so that its weight can be found
 * (fairness.domain_weights): losses and classes of patients, added up, every patient alike. One
 * thread at a time, as of the trainer. */
#ifndef CSL_JUDGED_H
#define CSL_JUDGED_H
#include "site-agent/training/train.h"

/* A record's loss is at most this, so that one patient cannot stand for all. */
#define CSL_JUDGED_LOSS_MAX 20.0

struct csl_judged {
    uint64_t patients;
    double loss; /* negative log likelihood, mean over a patient's records, added up */
    double class_mass[CSL_CLASSES_MAX]; /* each patient's records share 1 */
};
/* Of a binary or classes domain under the model `parameters` ([P]). Zeros without records. */
enum csl_code csl_trainer_judge(struct csl_trainer *t, uint32_t domain,
                                const struct csl_examples *e, const float *parameters,
                                struct csl_judged *out, struct csl_err *err) CSL_MUST_CHECK;

/* Of each patient ([e->patients]) the mean loss over its records of a class of the task, none
 * above CSL_JUDGED_LOSS_MAX; NAN where it has no such record or a probability is no number.
 * Whatever the model makes of a record, all the others are judged. */
enum csl_code csl_trainer_patient_losses(struct csl_trainer *t, uint32_t domain,
                                         const struct csl_examples *e, const float *parameters,
                                         double *losses, struct csl_err *err) CSL_MUST_CHECK;

#endif
