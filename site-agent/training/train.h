/* site-agent/training/train.h - local training and prediction of the study's model on one dataset.
 *
 * Everything random is labelled by (seed, site, round): the same task gives the same bits on one
 * backend, however often it is repeated or interrupted. One trainer per site; one thread at a time.
 */
#ifndef CSL_TRAIN_H
#define CSL_TRAIN_H
#include "privacy/audit/canary.h"
#include "site-agent/data/dataset.h"
#include "site-agent/training/privacy_plan.h"

struct csl_trainer; /* model, optimiser, compute backend, work buffers */
/* backend: "auto", "cpu-ref", "cpu-dnnl". The study is borrowed and must outlive the trainer.
 * CSL_E_INVAL: no such backend, a schema without the model's tensors, a learning rate or number of
 * steps that is not positive; CSL_E_UNSUPPORTED: the backend is not in this build. */
enum csl_code csl_trainer_new(struct csl_trainer **out, const struct csl_study *study,
                              const char *backend, struct csl_err *err) CSL_MUST_CHECK;
void csl_trainer_free(struct csl_trainer *t);
const char *csl_trainer_backend(const struct csl_trainer *t);
/* 2 or more: private steps on a CPU backend run on two threads, one of which draws the noise and
 * then takes its share of the patients; the same bits. 1, as a new trainer has it: none is started.
 */
void csl_trainer_use_threads(struct csl_trainer *t, uint32_t threads);

/* Training with privacy. The generator draws patients and noise; what it gives must be secret
 * (csl_rng_init_os) for the promise to hold. */
struct csl_private_run {
    const struct csl_privacy_plan *plan; /* made for this study and this data */
    struct csl_rng *rng;
    /* Rehearsals: fictitious patients of the plan's first domain, drawn, clipped and noised like
     * all others, whose traces are scored (privacy/audit). NULL: none. */
    struct csl_canaries *canaries;
    uint64_t rejected; /* out: contributions that were not finite and counted as zero */
    uint64_t releases[CSL_DOMAINS_MAX]; /* out, also on failure: noisy sums drawn, by event */
};

struct csl_train_task {
    const struct csl_dataset *data;
    struct csl_private_run *privacy; /* NULL exactly when the study has none */
    uint64_t seed;
    uint64_t round;      /* from 1; local step k of round r uses position (r - 1) * steps + k of the
                            site's batch sequence: epoch e is the permutation labelled (seed, site,
                            domain, e), cut into batches of batch_patients, the last one shorter;
                            when one batch holds all patients they stay in the order of the data */
    const float *global; /* [P] the incoming model */
    const float *control; /* [P] SCAFFOLD server control c, or NULL */
    float *site_control;  /* [P] SCAFFOLD own control c_i, updated in place; NULL without control */
    /* Weights of the domains of a study with inputs, [domain_count], finite and above 0: in the
     * gradient of an input that several of the site's domains read each counts by its weight over
     * the mean of theirs by patients. What one domain has for itself is trained as without. In mode
     * joint each patient's clipped gradient in such an input counts by the weight over the largest
     * one (fused_dp.c). NULL: all alike. */
    const double *domain_weights;
    /* Mode joint of a study with inputs that weighs patient groups by published statistics:
     * logarithms, [csl_study_published_groups]; each patient's clipped gradient counts by its share
     * (group_shares.h). NULL: all alike. */
    const double *group_weights;
    /* Mode joint: [P] out, instead of update: this site's clipped sum of one step with its share of
     * the noise, in grid units of the plan; zeros in blocks without data. NULL in other modes. */
    int64_t *joint_sum;
    float *update;                /* [P] out: local model minus global, of all blocks that the site
                                     trains, also those that are local; zeros elsewhere */
    float *control_change;        /* [P] out: new c_i minus old c_i; NULL without control */
    bool (*cancelled)(void *ctx); /* polled every step; NULL: never */
    void *cancelled_ctx;
};
struct csl_train_report {
    uint64_t steps;
    double mean_loss; /* over all local steps of all domains; without ridge and proximal terms; 0
                         with privacy: a loss is not noised, so it is not computed for anyone */
    bool is_noise_secret; /* what csl_rng_is_secret says of the run's generator */
    uint32_t event_count; /* what ran, as the accountants see it; 0 without privacy */
    struct csl_dp_event events[CSL_DOMAINS_MAX];
    uint32_t block_count;
    struct { /* those that are sent */
        uint32_t block;
        uint64_t patients; /* training patients, the weight of the block; 1 in mode site */
    } blocks[CSL_BLOCKS_MAX];
};
/* Frozen blocks are used and stay as they are; local ones are trained as all others, with the same
 * clip and noise, so that nothing of the data that is not noised shapes a later step.
 *
 * With privacy, mode local: every step draws patients with Poisson sampling, clips each patient's
 * gradient over all the patient's records, adds noise (dp_sgd.c). Mode site: trains as without
 * privacy, then clips and noises the whole update.
 *
 * Trains every domain the site has, study->local.steps steps each, or as many as its epochs take
 * there; then, for FedNova, update is what effective_steps would have moved. A step's loss is the
 * mean over the batch's patients of the mean over the patient's records; all records of a drawn
 * patient are in. Where the study weighs patient groups, a patient's part is multiplied by its
 * weight, whose mean over the site's training patients is 1, and so in the mean loss reported
 * (group_weights.h).
 *
 * Several labels: a record's loss is the mean over its known labels. What is not known has a
 * gradient of exactly zero, so that the output of a label which a site does not know stays as it is
 * but for ridge, weight decay, momentum and noise.
 *
 * Cox: risk sets inside the batch, Breslow ties, the sum over events divided by the batch's
 * patients (as FLamby's loss): full batches of all sites, weighted by patients, make the pooled
 * site-stratified objective. A batch without an event has no gradient.
 *
 * The optimiser starts fresh each round. SCAFFOLD is option II of Algorithm 1 (Karimireddy et al.
 * 2020) and needs sgd: every step adds c - c_i to the gradient; at the end c_i becomes
 * c_i - c + (global - local) / (steps * learning_rate).
 *
 * A census (protocol/study/study_census.h) counts instead: count.h.
 *
 * CSL_E_CANCELLED; CSL_E_INVAL: data of another study, control with another optimiser, or loss or
 * weights not finite (names round, domain, step). Outputs are written on success only, but for
 * those of the private run: a failure after a release tells about what was released, and is paid
 * for like it. In mode site nothing that training finds in the data makes it fail. */
enum csl_code csl_trainer_run(struct csl_trainer *t, const struct csl_train_task *task,
                              struct csl_train_report *report, struct csl_err *err) CSL_MUST_CHECK;

/* Baselines: `epochs` passes of ordinary training with c's optimiser (momentum 0.9; Adam 0.9,
 * 0.999, 1e-8), in place on parameters [P]; blocks without data keep their values. */
enum csl_code csl_trainer_fit(struct csl_trainer *t, const struct csl_dataset *data,
                              const struct csl_baseline *c, uint64_t seed, float *parameters,
                              struct csl_err *err) CSL_MUST_CHECK;

/* What one site makes of a released model for itself: csl_trainer_fit from the parameters that are
 * there. */
struct csl_personal_fit {
    const struct csl_baseline *training;
    bool is_head_only;  /* of each domain only the last layer, which gives the logits, moves */
    double proximal_mu; /* mu / 2 * ||v - w||^2 is added to each step's loss, w as passed in; Ditto:
                           its lambda; 0: none */
};
/* The batches are others than those of csl_trainer_fit; errors as there. */
enum csl_code csl_trainer_personalise(struct csl_trainer *t, const struct csl_dataset *data,
                                      const struct csl_personal_fit *f, uint64_t seed,
                                      float *parameters, struct csl_err *err) CSL_MUST_CHECK;

/* Probabilities (binary: [R]; classes: [R, classes]; labels: [R, labels] of yes) or risks
 * (survival: [R] = linear predictor) of one domain's examples; out has R * outputs floats. *loss
 * (may be NULL): mean loss as in training, over all examples; 0 for none. CSL_E_INVAL: a prediction
 * is not finite; out is then undefined. */
enum csl_code csl_trainer_predict(struct csl_trainer *t, uint32_t domain,
                                  const struct csl_examples *e, const float *parameters, float *out,
                                  double *loss, struct csl_err *err) CSL_MUST_CHECK;
/* The same, but whether there are figures does not depend on the records: one whose prediction is
 * not finite gets even odds (a risk of 0), in the loss too. For what must be sent whatever the
 * model does to a record. */
enum csl_code csl_trainer_predict_always(struct csl_trainer *t, uint32_t domain,
                                         const struct csl_examples *e, const float *parameters,
                                         float *out, double *loss,
                                         struct csl_err *err) CSL_MUST_CHECK;

#endif
