/* site-agent/agent_internal.h - shared by the agent's own files only. */
#ifndef CSL_AGENT_INTERNAL_H
#define CSL_AGENT_INTERNAL_H
#include "aggregation/strategy/strategy.h"
#include "base/blob.h"
#include "base/file.h"
#include "base/thread.h"
#include "privacy/ledger/ledger.h"
#include "privacy/secagg/published.h"
#include "protocol/wire/parts.h"
#include "site-agent/agent.h"
#include "site-agent/store/site_store.h"
#include "site-agent/training/train.h"

#include <stdatomic.h>

#define CSL_AGENT_IO_BYTES ((size_t)256 * 1024)

struct csl_agent_event {
    struct csl_site_event ev;
    struct csl_msg bytes; /* MESSAGE: still encoded */
    struct csl_outbox outbox;
    struct csl_train_report report;       /* TRAINED */
    bool is_forfeit;                      /* TRAINED, failed: csl_agent_forfeit__ */
    uint64_t run;                         /* TRAINED: csl_agent.run */
    bool has_factors;                     /* TRAINED: the task told some */
    uint8_t factors[CSL_DIGEST_BYTES];    /* csl_task_factors; zeros: none */
    struct csl_msg_evaluation evaluation; /* blocks owned */
    struct csl_msg_study_answer answer;
    uint8_t digest[CSL_DIGEST_BYTES];
    char reason[192];
    uint64_t bulk_id; /* FETCHED, UPLOADED before they are told apart; 0: not bulk */
};

struct csl_agent {
    struct csl_agent_config config;
    char site_id[CSL_ID_MAX], record_path[CSL_PATH_MAX], state_dir[CSL_PATH_MAX];
    char initial_path[CSL_PATH_MAX]; /* "": none */
    uint64_t noise_seed;             /* what config points to */
    struct csl_site_policy policy;
    int state_lock; /* -1: none */
    struct csl_site core;
    struct csl_site_store *store; /* NULL: in memory */
    struct csl_site_memory memory;
    struct csl_blobs *blobs;
    struct csl_mailbox *mailbox;
    uint64_t now_ns, sequence_in, sequence_out;
    csl_conn conn;
    struct csl_study *study; /* accepted; NULL: none */
    struct csl_dataset *data;
    struct csl_trainer *trainer;
    float *initial; /* [P] the initial model, where the study has blocks that stay; NULL: none */
    const struct csl_strategy_ops *strategy;
    /* privacy; plan and what follows are of the accepted study */
    struct csl_ledger *ledger; /* NULL until a study with privacy was accepted */
    uint64_t found_size;       /* its entries when this process opened it */
    struct csl_privacy_plan plan;
    struct { /* of the accepted study's statistics (agent_statistics.c) */
        bool is_noised;
        struct csl_published_noise noise;
        uint8_t digest[CSL_DIGEST_BYTES]; /* their own in the ledger */
        bool is_due;                      /* in the work in hand; set before the worker has it */
    } statistics;
    uint8_t cohort_key[32], cohort_digest[CSL_DIGEST_BYTES];
    struct csl_canaries *canaries; /* NULL: no audit */
    bool has_reservation;          /* of the work in hand, or of the update that was made last */
    bool is_reservation_charged;
    uint64_t reservation;
    uint32_t reserved_attempt;
    struct csl_agent_secagg *secagg; /* NULL until a study with secure aggregation was accepted */
    struct csl_parts parts;          /* of this session */
    struct {                         /* the weights of domains shown last; count 0: none */
        uint64_t round;
        uint32_t count;
        double log_weight[CSL_DOMAINS_MAX];
    } seen_weights;
    const char *head_trouble; /* why no update can continue what the coordinator remembers; NULL */
    uint64_t announced_size;  /* entries of the head that was announced last */
    uint64_t held_size; /* of the head the coordinator holds once it has read what this session
                           said; 0: none, or not known */
    uint64_t next_bulk_id, fetch_id, upload_id;
    struct csl_msg_task fetch_task, upload_task;
    /* work: one unit at a time */
    bool has_work;
    uint64_t run; /* which of the site's trainings the work in hand is, from 1: what it leaves here
                     takes no name that a row or waiting words have */
    struct csl_msg_task work; /* guarded by the hand-over through work_box, if there is a worker */
    atomic_bool is_cancelled;
    struct csl_thread worker;
    struct csl_mailbox *work_box; /* NULL: no worker */
    bool is_finished;
    struct csl_err failure;
};

/* agent.c */
void csl_agent_post__(struct csl_agent *a, struct csl_agent_event *take_e);
struct csl_agent_event *csl_agent_event_new__(enum csl_site_event_kind kind);
void csl_agent_event_free__(struct csl_agent_event *e);
void csl_agent_fail__(struct csl_agent *a, const struct csl_err *err);
void csl_agent_send__(struct csl_agent *a, const struct csl_message *m);
void csl_agent_step__(struct csl_agent *a, const struct csl_site_event *ev);
/* Work on the core's task, or the site's no to it. */
void csl_agent_start_work__(struct csl_agent *a, const struct csl_msg_task *task);
/* The update's bytes are durable; from here on the row says so, and after it the charge. */
void csl_agent_remember_update__(struct csl_agent *a, const struct csl_agent_event *e);
enum csl_code csl_agent_save__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;

/* agent_study.c */
void csl_agent_consider__(struct csl_agent *a, const struct csl_msg_study_offer *offer);
enum csl_code csl_agent_open_study__(struct csl_agent *a, struct csl_span manifest,
                                     struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_close_study__(struct csl_agent *a);

/* agent_work.c: on the worker thread, or inside the pump */
/* A view of the records of a domain that judge a model here, with what of the model is not here
 * taken as absent; no record: the site has none, or not that part of the model. */
struct csl_examples csl_agent_examples_to_judge__(const struct csl_agent *a, uint32_t domain);
/* What the scores of those records count by patient group, added to counts:
 * [csl_study_group_counts], which may be none. */
enum csl_code csl_agent_count_groups__(const struct csl_agent *a, uint32_t domain,
                                       const float *scores, uint64_t *counts,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* The training patients' records, likewise. */
struct csl_examples csl_agent_examples_to_count__(const struct csl_agent *a, uint32_t domain);
struct csl_examples csl_agent_examples__(const struct csl_agent *a, uint32_t domain,
                                         enum csl_split split); /* those of one split */
void csl_agent_work__(struct csl_agent *a, const struct csl_msg_task *task);
void csl_agent_blob_name__(char out[CSL_ID_MAX], const char *kind, uint64_t round);
/* Of a training that may be repeated: csl_agent.run too. */
void csl_agent_run_name__(char out[CSL_ID_MAX], const char *kind, uint64_t round, uint64_t run);
void csl_agent_model_name__(char out[CSL_ID_MAX], const uint8_t digest[CSL_DIGEST_BYTES]);

/* agent_privacy.c: without privacy in the accepted study each does nothing and succeeds */
enum csl_code csl_agent_open_privacy__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
/* The open study's plan into the ledger, where it stays: of an accepted study only. */
enum csl_code csl_agent_register__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_close_privacy__(struct csl_agent *a);
/* At a start, before anything is announced. What was reserved for an update whose row is durable is
 * charged. */
enum csl_code csl_agent_recover_privacy__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_agent_reserve__(struct csl_agent *a, const struct csl_msg_task *task,
                                  struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_agent_charge__(struct csl_agent *a, const struct csl_outbox *outbox,
                                 const struct csl_train_report *report,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* Closes uncharged reservations that no words wait for. One that this process made is given back;
 * one that it found stays spent, because the state folder may be a copy from before its update
 * left. Those that were found for `round` (0: for any) of this study stay open, and serve that
 * round when it is asked for again. Words that cannot be paid for are deleted. A ledger in
 * trouble appends nothing: all stay open. */
enum csl_code csl_agent_close_reservations__(struct csl_agent *a, uint64_t round,
                                             struct csl_err *err) CSL_MUST_CHECK;
/* Closes the reservation in hand, if there is one: released, or never charged and given back, where
 * this process made it. A site that is suspended gives nothing back. */
void csl_agent_settle__(struct csl_agent *a, bool was_released);
/* Training failed after noisy sums were drawn. That it failed is told, and says something about
 * them: the reservation stays spent, though no update leaves. */
void csl_agent_forfeit__(struct csl_agent *a);
/* An administrator confirmed a rollback. What the study has reserved may be about an update that
 * left in the time that was lost, so all of it stays spent. */
void csl_agent_forfeit_open__(struct csl_agent *a);
/* The ledger's heads in messages: announced with an update, checked against what the coordinator
 * remembers, its countersignature stored. */
void csl_agent_put_head__(struct csl_agent *a, struct csl_message *m);
void csl_agent_take_head__(struct csl_agent *a, const struct csl_message *m);
bool csl_agent_is_charged__(struct csl_agent *a, const struct csl_outbox *outbox);

/* agent_statistics.c: without statistics in the accepted study each does nothing and succeeds.
 * Without noise there is nothing to reserve or to charge. */
enum csl_code csl_agent_open_statistics__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_close_statistics__(struct csl_agent *a);
/* All publications of the study into the ledger, reserved; what is known there stays as it is.
 * CSL_E_BUDGET: this site's budgets do not allow them, and nothing of them is left reserved. */
enum csl_code csl_agent_register_statistics__(struct csl_agent *a,
                                              struct csl_err *err) CSL_MUST_CHECK;
/* Before work: whether its words hold statistics. What was charged is never counted anew. */
void csl_agent_prepare_statistics__(struct csl_agent *a, const struct csl_msg_task *task);
/* Once; before anything of the update leaves. */
enum csl_code csl_agent_charge_statistics__(struct csl_agent *a, const struct csl_outbox *outbox,
                                            struct csl_err *err) CSL_MUST_CHECK;
/* What the outbox holds of statistics is charged, or it holds none. */
bool csl_agent_are_statistics_charged__(struct csl_agent *a, const struct csl_outbox *outbox);
/* Words just made hold statistics, and others were charged meanwhile. */
bool csl_agent_repeats_statistics__(struct csl_agent *a, const struct csl_outbox *fresh);
/* The outbox holds statistics that are not charged, and that the ledger will not charge any more.
 */
bool csl_agent_has_unpaid_statistics__(struct csl_agent *a, const struct csl_outbox *outbox);
/* A reservation of the study's statistics; and one that may still be charged in this round (0: in
 * any) or later. */
bool csl_agent_is_of_statistics__(const struct csl_agent *a,
                                  const struct csl_ledger_open_reservation *r);
bool csl_agent_awaits_statistics__(const struct csl_agent *a, uint64_t publication, uint64_t round);
/* The site counts the domain; any thread. */
bool csl_agent_publishes__(const struct csl_agent *a, uint32_t domain);
/* On the worker: words [csl_study_statistics_words] of one domain under the model `global`, with
 * this site's share of the noise. */
enum csl_code csl_agent_count_statistics__(struct csl_agent *a, const struct csl_msg_task *task,
                                           uint32_t domain, const float *global, uint64_t *words,
                                           struct csl_err *err) CSL_MUST_CHECK;

/* agent_weights.c: CSL_E_INVAL, CSL_E_LIMIT: the task's weights of domains must not be used; the
 * text may be shown to the coordinator. Those of the round before are remembered. */
/* Under masks, where the site multiplies: `patients` of a block, as they count, times the weights
 * of the domains that read it (the mean over the site's patients of them; no more than the table's
 * cap times as many), to the nearest of 1 / 1024. In mode joint times the mean share of the site's
 * domains (csl_fused_share) and that of a patient of mean weight by groups, at most 1, whatever the
 * patients of each: numbers of patients of one
 * domain are not told there. Without a table, and on a domain's own block,
 * whose weight cancels: `patients`. Any thread. */
double csl_agent_mass__(const struct csl_agent *a, const struct csl_msg_task *t, uint32_t block,
                        double patients);
enum csl_code csl_agent_check_weights__(struct csl_agent *a, const struct csl_msg_task *t,
                                        struct csl_err *err) CSL_MUST_CHECK;

/* agent_vote.c: without a vote in the study each does nothing. judge_base: keeps the loss of this
 * site's validation patients under the model that the training of `round` begins with. */
enum csl_code csl_agent_judge_base__(struct csl_agent *a, uint64_t round, const float *parameters,
                                     struct csl_err *err) CSL_MUST_CHECK;
/* On the model that `round` made, whose base this site judged; NONE: it has not, or no patients. */
enum csl_msg_vote csl_agent_vote__(struct csl_agent *a, uint64_t round, const float *parameters);
/* On the model that `round` begins with, against that of the round before; both were judged. */
enum csl_msg_vote csl_agent_vote_on_base__(const struct csl_agent *a, uint64_t round);

/* agent_bulk.c */
void csl_agent_fetch__(struct csl_agent *a, const struct csl_site_action *action);
void csl_agent_upload__(struct csl_agent *a, const struct csl_site_action *action);
void csl_agent_bulk_done__(void *ctx, uint64_t bulk_id, enum csl_code code);

/* A study with inputs: the site downloads the blocks it has training patients for, but for frozen
 * and local ones (aggregation/tensor/part.h). */
bool csl_agent_has_part__(const struct csl_agent *a);

/* agent_own.c: blocks that stay at this site. Frozen ones come from its own initial model, local
 * ones lie in a blob of the training they come from, memory.control_round and control_run. */
/* The block goes to and fro: it is neither frozen nor local, and the site has patients for it. */
bool csl_agent_shares__(const struct csl_agent *a, uint32_t block);
/* Before the study is accepted. CSL_E_DENIED: it has frozen blocks, this site no initial model. */
enum csl_code csl_agent_own_open__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
/* Into out: [P]. `download` is the blob with the digests of all blocks; CSL_E_DENIED: a frozen one
 * is another at the coordinator. */
enum csl_code csl_agent_own_read__(struct csl_agent *a, const struct csl_msg_task *task,
                                   const char *download, float *out,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* The local blocks as this round leaves them: global + update, both [P]. In use once the update is
 * remembered, and with privacy charged. */
enum csl_code csl_agent_own_keep__(struct csl_agent *a, uint64_t round, const float *global,
                                   const float *update, struct csl_err *err) CSL_MUST_CHECK;

#endif
