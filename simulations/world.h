/* simulations/world.h - the whole system in one process: one coordinator and its sites, the same
 * cores and the same protocol bytes as in production, over the in-process transport and virtual
 * time.
 *
 * processes.h runs the same study as real processes over gRPC; both fill the same result, and for
 * the same study, records and seed the model is the same to the last bit. */
#ifndef CSL_WORLD_H
#define CSL_WORLD_H
#include "coordinator/published.h"
#include "protocol/study/study.h"
#include "protocol/wire/messages.h"

#include <stdio.h>

struct csl_world_site {
    char id[CSL_ID_MAX];
    char record_path[1024]; /* HDF5 record file */
};

struct csl_world_config {
    const struct csl_study *study;      /* borrowed */
    const struct csl_world_site *sites; /* [site_count], borrowed */
    uint32_t site_count;
    uint64_t seed;
    const char *initial_model; /* weights to start from; NULL: drawn from the seed */
    const char *backend;       /* "auto", "cpu-ref", "cpu-dnnl" */
    const char *state_dir; /* spool, outboxes, checkpoints; NULL (in-process only): all in memory */
    const char *ledger_dir; /* where each site's ledger is exported, <site>.ledger; NULL: nowhere */
    bool is_unmasked;       /* in-process only: plain sums where the study has secure_aggregation */
    uint32_t audit_canaries;        /* per site, in-process only; 0: no audit (privacy/audit) */
    FILE *progress;                 /* NULL: silent */
    bool (*interrupted)(void *ctx); /* NULL: never; polled between rounds */
    void *interrupted_ctx;
};

/* One evaluation of a model as the protocol reported it: EVALUATION messages, or a sum under masks.
 */
#define CSL_WORLD_ALL_SITES UINT32_MAX
struct csl_world_evaluation {
    uint64_t round;
    uint32_t site; /* index into sites; CSL_WORLD_ALL_SITES: the sum that was opened */
    struct csl_eval_block block;
};
struct csl_world_round {
    uint64_t round;
    uint32_t contributions;
    double train_loss; /* mean over contributions weighted by patients */
    uint32_t fewest;   /* with secure aggregation, sites in the block of the model that has the
                          fewest; 0: not known, as of processes */
};
struct csl_world_blocks { /* what a site enrolled with; count 0: it takes no part */
    uint32_t count;
    struct csl_block_count blocks[CSL_BLOCKS_MAX];
};
struct csl_world_rejection { /* a round that was not applied, or whose model was taken back */
    uint64_t round;
    bool is_by_vote;        /* aggregation/vote.h; else aggregation/gate.h */
    uint32_t worse, voters; /* by vote */
    char block[CSL_ID_MAX]; /* not by vote: this and the next two */
    double norm, limit;     /* HUGE_VAL: no number; none */
};
/* What one site's ledger says it spent, after its export was verified with the public key alone. */
struct csl_world_privacy {
    bool is_present;   /* false: the study has no privacy, or the site never accepted it */
    bool is_verified;  /* only with ledger_dir */
    bool is_rehearsal; /* noise came from a seed and protects nobody */
    double epsilon, delta, budget_epsilon; /* of updates and statistics together */
    double statistics_epsilon;             /* of that; 0: no statistics with noise */
    double noise_multiplier;
    uint64_t entries;
    uint8_t root[32]; /* of the ledger's last head */
    struct {
        uint32_t canaries, guesses, correct; /* canaries 0: no audit */
        double epsilon_lower, confidence;
    } audit;
};
struct csl_world_result {
    float *parameters;                      /* [P] of the released model; owned */
    uint8_t model_digest[CSL_DIGEST_BYTES]; /* over the float32 bytes of parameters */
    /* With local blocks: [own_count] the model as each site has it, [P]; else NULL; owned */
    float **own;
    uint32_t own_count;
    uint64_t rounds;                          /* completed */
    struct csl_world_round *round_rows;       /* [rounds]; owned */
    uint32_t *site_rounds;                    /* [site_count] contributions of each site; owned */
    uint64_t *site_patients;                  /* [site_count]; owned */
    struct csl_world_blocks *site_blocks;     /* [site_count]; owned */
    struct csl_world_privacy *privacy;        /* [site_count]; owned */
    struct csl_world_evaluation *evaluations; /* owned */
    uint32_t evaluation_count;
    struct csl_published *published; /* in the order of rounds; owned */
    uint32_t published_count;
    struct csl_world_rejection *rejections; /* owned */
    uint32_t rejection_count;
    uint64_t bytes_up, bytes_down; /* protocol bytes, control and bulk; 0 when not measured */
    uint64_t messages;             /* control messages, both ways; 0 when not measured */
    bool was_interrupted;
};
/* Epsilon a simulated site may spend: what the study says, or, where it states the noise instead,
 * so much that every run is priced and none is refused. */
double csl_world_budget(const struct csl_study *study);
double csl_world_budget_delta(const struct csl_study *study);

enum csl_code csl_world_run(const struct csl_world_config *c, struct csl_world_result *out,
                            struct csl_err *err) CSL_MUST_CHECK;
/* Appends a publication of statistics. */
enum csl_code csl_world_take_published(struct csl_world_result *r, const struct csl_published *p,
                                       struct csl_err *err) CSL_MUST_CHECK;
void csl_world_result_release(struct csl_world_result *r);

#endif
