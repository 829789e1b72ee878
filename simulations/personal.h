/* simulations/personal.h - what each site makes of the released model for itself. */
#ifndef CSL_SIM_PERSONAL_H
#define CSL_SIM_PERSONAL_H
#include "simulations/evaluate.h"

struct csl_personal_config {
    const struct csl_sim_data *data;
    struct csl_trainer *trainer;
    uint64_t seed;
    const float *released; /* [P]; borrowed */
    FILE *progress;
    bool (*interrupted)(void *ctx);
    void *interrupted_ctx;
};
/* By the methods of study->personal, each from the released model on the site's own training
 * patients, evaluated on its own test patients: fills r->transfer.models. Where nothing can be
 * learned from the training patients (csl_sim_refuse_training) the site keeps the released model
 * for that domain, and r->transfer.keeps says so.
 * CSL_E_CANCELLED when interrupted; r->transfer.models is then as before. */
enum csl_code csl_personal_run(struct csl_result *r, const struct csl_personal_config *c,
                               struct csl_err *err) CSL_MUST_CHECK;
/* The section, into r->transfer (asks_personal, training, lambda). */
enum csl_code csl_personal_describe(struct csl_result *r, const struct csl_study *study,
                                    struct csl_err *err) CSL_MUST_CHECK;

#endif
