/* site-agent/training/train.h - local training and prediction of the study's model on one dataset.
 *
 * Everything random is labelled by (seed, site, round): the same task gives the same bits on one
 * backend, however often it is repeated or interrupted. One trainer per site; one thread at a time. */
#ifndef CSL_TRAIN_H
#define CSL_TRAIN_H
#include "site-agent/data/dataset.h"

struct csl_trainer; /* model, optimiser, compute backend, work buffers */
/* backend: "auto", "cpu-ref", "cpu-dnnl". The study is borrowed and must outlive the trainer. */
enum csl_code csl_trainer_new(struct csl_trainer **out, const struct csl_study *study,
                              const char *backend, struct csl_err *err) CSL_MUST_CHECK;
void csl_trainer_free(struct csl_trainer *t);
const char *csl_trainer_backend(const struct csl_trainer *t);

struct csl_train_task {
    const struct csl_dataset *data;
    uint64_t seed;
    uint64_t round;       /* from 1; local step k of round r uses position (r - 1) * steps + k of the
                             site's batch sequence: epoch e is the permutation labelled (seed, site,
                             domain, e), cut into batches of batch_patients, the last one shorter */
    const float *global;  /* [P] the incoming model */
    const float *control; /* [P] SCAFFOLD server control c, or NULL */
    float *site_control;  /* [P] SCAFFOLD own control c_i, updated in place; NULL without control */
    float *update;        /* [P] out: local model minus global; zeros in blocks without data */
    float *control_change;/* [P] out: new c_i minus old c_i; NULL without control */
    bool (*cancelled)(void *ctx); /* polled every step; NULL: never */
    void *cancelled_ctx;
};
struct csl_train_report {
    uint64_t steps;
    double mean_loss;     /* over all local steps of all domains */
    uint32_t block_count;
    struct {
        uint32_t block;
        uint64_t patients; /* training patients, the weight of the block */
    } blocks[CSL_BLOCKS_MAX];
};
/* Trains every domain the site has (study->local). CSL_E_CANCELLED, CSL_E_INVAL (loss or weights not
 * finite: names round, domain, step). */
enum csl_code csl_trainer_run(struct csl_trainer *t, const struct csl_train_task *task,
                              struct csl_train_report *report, struct csl_err *err) CSL_MUST_CHECK;

/* Baselines: `epochs` passes of ordinary training with c's optimiser, in place on parameters [P]. */
enum csl_code csl_trainer_fit(struct csl_trainer *t, const struct csl_dataset *data,
                              const struct csl_baseline *c, uint64_t seed, float *parameters,
                              struct csl_err *err) CSL_MUST_CHECK;

/* Probabilities (binary: [R]; classes: [R, classes]) or risks (survival: [R] = linear predictor) of
 * one domain's examples; out has R * max(1, outputs) floats. *loss (may be NULL): mean loss. */
enum csl_code csl_trainer_predict(struct csl_trainer *t, uint32_t domain, const struct csl_examples *e,
                                  const float *parameters, float *out, double *loss,
                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
