/* site-agent/training/fused_train.h - a run of steps of a study with inputs, ordinary or private.
 */
#ifndef CSL_FUSED_TRAIN_H
#define CSL_FUSED_TRAIN_H
#include "site-agent/training/fused.h"

struct csl_fused_run {
    struct csl_fused *fused;
    struct csl_batches batches;                      /* of all patients */
    struct csl_optimiser optimisers[CSL_BLOCKS_MAX]; /* by net */
    struct csl_schedule schedule; /* of the steps from the first of all rounds, or epochs, on */
    double learning_rate;
    uint64_t position, steps, seed;
    const char *site;
    const char *what; /* "round" or "baseline of seed", for errors */
    uint64_t number;
    bool (*cancelled)(void *ctx);
    void *cancelled_ctx;
    bool is_loss_secret;            /* then none is looked at, not even whether it is finite */
    bool is_frozen[CSL_BLOCKS_MAX]; /* by net: its parameters stay */
    double loss_sum;                /* out */
};
/* seed and site are set; batches and optimisers are made. */
enum csl_code csl_fused_run_open__(struct csl_fused_run *run, struct csl_fused *f,
                                   const struct csl_optimiser_config *c, const char *purpose,
                                   uint32_t batch_patients, struct csl_err *err);
void csl_fused_run_close__(struct csl_fused_run *run); /* also after a failed open */
enum csl_code csl_fused_loop__(struct csl_fused_run *run, struct csl_err *err);
/* fused_dp.c: the same with privacy. */
enum csl_code csl_fused_private_loop__(struct csl_fused_run *run,
                                       const struct csl_private_domain *plan,
                                       struct csl_private_run *privacy, struct csl_err *err);
/* Mode joint: the noisy sum of the run's first step into `sum`, [P] grid units, in the places of
 * the blocks that learn; nothing is applied. The noise is this site's share. */
enum csl_code csl_fused_joint_sum__(struct csl_fused_run *run,
                                    const struct csl_private_domain *plan,
                                    struct csl_private_run *privacy, int64_t *sum,
                                    struct csl_err *err);
/* Step k of every optimiser, on the gradients that are there. */
void csl_fused_update__(struct csl_fused_run *run, uint64_t k);
/* Of the modality dropout of one step. */
uint64_t csl_fused_seed__(uint64_t seed, const char *site, uint64_t position);

#endif
