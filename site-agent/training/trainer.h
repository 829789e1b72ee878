/* site-agent/training/trainer.h - the inside of a trainer, shared by train.c, fit.c and predict.c.
 */
#ifndef CSL_TRAINER_INSIDE_H
#define CSL_TRAINER_INSIDE_H
#include "site-agent/training/augmented.h"
#include "site-agent/training/batch.h"
#include "site-agent/training/model.h"
#include "site-agent/training/optimiser.h"
#include "site-agent/training/schedule.h"
#include "site-agent/training/train.h"

#define CSL_LOSS_SLOTS 1024 /* losses collected on the device before the host looks at them */

/* Vectors of P floats on the device. The first two always exist, the others when first needed. */
enum csl_vector {
    CSL_V_WEIGHTS,
    CSL_V_GRADIENT,
    CSL_V_ANCHOR,
    CSL_V_CORRECTION,
    CSL_V_MOMENT1,
    CSL_V_MOMENT2,
    CSL_V_COUNT
};

struct csl_trainer {
    const struct csl_study *study; /* borrowed */
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    struct csl_net *nets; /* [net_count] by block of the schema: of the domains, of the inputs */
    uint32_t net_count;
    struct csl_cbuf *vectors[CSL_V_COUNT];
    struct csl_cbuf *losses; /* f64 [CSL_LOSS_SLOTS] */
    struct csl_cbuf *maps;   /* u8, of all nets with merged classes; NULL: there are none */
    struct csl_work work;
    struct csl_work *works; /* [net_count] a study with inputs: of each net; else NULL */
    struct csl_cbuf *spare; /* f32 [spare_count] of it: gradients to be added */
    uint64_t spare_count;
    float *host;               /* [P] staging, and the result before it is known to be finite */
    struct csl_time_key *keys; /* [host_rows] survival batches: sorting */
    uint32_t *order;           /* [2 * host_rows] order, then tie_end */
    uint64_t host_rows;
    uint32_t *ids; /* [ids_count] text batches: offsets, then ids */
    uint64_t ids_count;
    uint32_t threads; /* csl_trainer_use_threads */
};

/* One domain's run of steps. */
struct csl_loop {
    uint32_t domain;
    struct csl_batches *batches;
    struct csl_optimiser optimiser;
    struct csl_schedule schedule; /* its steps count from the start of the run, as position */
    double learning_rate;
    uint64_t position, steps; /* first step's place in the batch sequence; how many */
    const char *what;         /* "round" or "baseline of seed", for errors */
    uint64_t number;
    bool (*cancelled)(void *ctx);
    void *cancelled_ctx;
    bool is_loss_secret; /* then none is looked at, not even whether it is finite */
    double loss_sum;     /* out: over the steps */
};

/* CSL_E_CANCELLED: whoever asked for "what number" wants no more of it, before its step k. */
enum csl_code csl_trainer__check_cancelled(bool (*cancelled)(void *ctx), void *ctx,
                                           const char *what, uint64_t number, uint64_t k,
                                           struct csl_err *err) CSL_MUST_CHECK;
/* What learns of the net. */
struct csl_view csl_trainer__block(const struct csl_trainer *t, enum csl_vector v,
                                   const struct csl_net *n);
enum csl_code csl_trainer__need(struct csl_trainer *t, enum csl_vector v, struct csl_err *err);
/* All that the net reads, of a model: [P]. */
void csl_trainer__put_weights(struct csl_trainer *t, const struct csl_net *n, const float *model);
/* The data is of this study and has the widths its domains say. */
enum csl_code csl_trainer__check_data(const struct csl_trainer *t, const struct csl_dataset *data,
                                      struct csl_err *err);
/* Training patients with something of the net's block. */
uint64_t csl_trainer__patients(const struct csl_trainer *t, const struct csl_dataset *data,
                               uint32_t net);
/* Room for the ids of `rows` texts. */
enum csl_code csl_trainer__need_ids(struct csl_trainer *t, uint64_t rows, uint64_t tokens,
                                    struct csl_err *err);
/* Ids of rows[0..count) of a table [.., n->tokens], 0 behind a text's end, into w. */
void csl_trainer__put_tokens(struct csl_trainer *t, const struct csl_net *n, struct csl_work *w,
                             const uint32_t *table, const uint32_t *rows, uint64_t count);
/* fused_predict.c: logits of a domain of several inputs. out: [e->records, outputs] */
enum csl_code csl_trainer__fused_logits(struct csl_trainer *t, uint32_t domain,
                                        const struct csl_examples *e, float *out,
                                        struct csl_err *err);
/* Work memory for `rows` rows of the net, and host memory to put their inputs and truth in place.
 */
enum csl_code csl_trainer__fit(struct csl_trainer *t, const struct csl_net *n, uint64_t rows,
                               struct csl_err *err);
/* x: [.., width] of the domain's examples; records rows[0..count), or NULL: the first `count`. */
void csl_trainer__put_inputs(struct csl_trainer *t, const struct csl_net *n, const float *x,
                             const uint32_t *rows, uint64_t count);
/* The same in training: changed as the domain says (a), by the batches' seed, site and step. */
void csl_trainer__put_training(struct csl_trainer *t, const struct csl_net *n,
                               const struct csl_augmented *a, const struct csl_batches *b,
                               const uint32_t *rows, uint64_t count);
/* Room for risk sets of `rows` records. */
enum csl_code csl_trainer__need_order(struct csl_trainer *t, uint64_t rows, struct csl_err *err);
/* Risk order and ties of rows rows[0..count) (NULL: the first ones) by `time`, into w. */
void csl_trainer__put_order(struct csl_trainer *t, const struct csl_work *w, const float *time,
                            const uint32_t *rows, uint64_t count);
/* Labels, weights and risk order of `count` records (rows NULL: the first ones) into w. */
void csl_trainer__put_truth(struct csl_trainer *t, const struct csl_net *n, struct csl_work *w,
                            const struct csl_batches *b, const uint32_t *rows, uint64_t count);
/* The loss of what put_truth left in w; logits and their gradient are activation and gradient `i`.
 */
struct csl_loss csl_trainer__loss(const struct csl_net *n, const struct csl_work *w,
                                  const struct csl_batches *b, uint32_t i, uint64_t rows,
                                  uint64_t patients);
/* Prepares the optimiser's vectors of the net's block (moments zero). */
enum csl_code csl_trainer__optimiser(struct csl_trainer *t, const struct csl_net *n,
                                     const struct csl_optimiser_config *c, struct csl_optimiser *o,
                                     struct csl_err *err);
/* One step of the optimiser at the rate that the schedule has for step k of the loop. */
void csl_trainer__update(struct csl_trainer *t, struct csl_loop *loop, uint64_t k);
/* The batches of a domain's training patients take the weights of their groups under the incoming
 * model (group_weights.c). */
enum csl_code csl_trainer__weigh_groups(struct csl_trainer *t, const struct csl_train_task *task,
                                        struct csl_batches *batches, uint32_t domain,
                                        struct csl_err *err);
enum csl_code csl_trainer__loop(struct csl_trainer *t, struct csl_loop *loop, struct csl_err *err);
/* The same with privacy (dp_sgd.c): the batches give records per patient only, not their order. */
enum csl_code csl_trainer__private_loop(struct csl_trainer *t, struct csl_loop *loop,
                                        const struct csl_private_domain *plan,
                                        struct csl_private_run *run, struct csl_err *err);

/* Mode joint: one step's noisy sum of the net's block into sum: [P] grid units; nothing is applied.
 */
enum csl_code csl_trainer__joint_sum(struct csl_trainer *t, struct csl_loop *loop,
                                     const struct csl_private_domain *plan,
                                     struct csl_private_run *run, int64_t *sum,
                                     struct csl_err *err);

#endif
