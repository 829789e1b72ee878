/* coordinator/core/coord.h - one study, from opening to release, as a pure state machine.
 *
 *   CREATED -> OPEN -> TRAINING <-> (evaluation between rounds) -> EVALUATING -> RELEASED
 *     any state but RELEASED -> ABORTED (operator, or too few sites left to go on)
 *
 *   CREATED     nothing is told to anyone
 *   OPEN        sites say hello, are offered the study, answer it; nobody trains
 *   TRAINING    round r = rounds_done + 1 is collecting updates (phase COLLECT), being aggregated
 *               (AGGREGATE), or its model is being evaluated by the sites (EVALUATE)
 *   EVALUATING  the last model is being evaluated; where evaluations are summed under masks in a
 *               round (rounds + 1) that collects and trains nothing
 *   RELEASED    the model of round `rounds` is final
 *
 * No socket, file, thread, clock or random source is reachable from here: time arrives in events,
 * effects leave as actions, executed in order by coordinator/service.c before the next event. The
 * same object code runs under gRPC and under the simulator's virtual clock.
 *
 * Invariants (csl_coord_check):
 *   (I1) a site holds at most one connection, and a connection belongs to one site
 *   (I2) an update is HELD only for the current round, by an accepted member of its cohort; in a
 *        study that is buffered, of a round at most staleness_max before it
 *   (I3) every HELD update was persisted and folded exactly once since the round (re)opened
 *   (I4) rounds_done never decreases, and grows by one per AGGREGATED event
 *   (I5) nobody is tasked outside TRAINING and EVALUATING
 *   (I6) in phase AGGREGATE at least minimum_sites updates are HELD
 *   (I7) buffered: never more are HELD or FOLDING than the buffer takes, and each round that a site
 *        is tasked with is one after that of its last update that was used */
#ifndef CSL_COORD_H
#define CSL_COORD_H
#include "protocol/study/study.h"
#include "protocol/transport/transport.h"
#include "protocol/wire/messages.h"

enum csl_study_state {
    CSL_STUDY_CREATED,
    CSL_STUDY_OPEN,
    CSL_STUDY_TRAINING,
    CSL_STUDY_EVALUATING,
    CSL_STUDY_RELEASED,
    CSL_STUDY_ABORTED
};
const char *csl_study_state_name(enum csl_study_state s); /* "training" */

enum csl_phase { CSL_PHASE_COLLECT, CSL_PHASE_AGGREGATE, CSL_PHASE_EVALUATE };

enum csl_membership { CSL_MEMBER_UNKNOWN, CSL_MEMBER_ACCEPTED, CSL_MEMBER_DECLINED };

enum csl_site_progress {
    CSL_SITE_IDLE,     /* not in the cohort, or nothing sent yet */
    CSL_SITE_TASKED,   /* in the cohort, working */
    CSL_SITE_SENDING,  /* announced its update, has a ticket */
    CSL_SITE_RECEIVED, /* buffered: update verified, waits for a buffer that has room */
    CSL_SITE_FOLDING,  /* update verified, being added to the sum */
    CSL_SITE_HELD,     /* update verified, persisted and folded */
    CSL_SITE_DONE,     /* evaluation received */
    CSL_SITE_FAILED    /* said it cannot do this round's task */
};

struct csl_coord_update { /* what a site announced and, once HELD, what we have */
    uint64_t round, bytes_total;
    uint8_t digest[CSL_DIGEST_BYTES];
    double train_loss;
    uint32_t block_count;
    struct csl_block_count blocks[CSL_BLOCKS_MAX];
};
struct csl_coord_site {
    char id[CSL_ID_MAX];
    csl_conn conn; /* 0: not connected */
    bool has_greeted;
    enum csl_membership membership;
    uint32_t block_count;
    struct csl_block_count blocks[CSL_BLOCKS_MAX]; /* as answered at enrolment */
    bool in_cohort;
    enum csl_site_progress progress;
    struct csl_coord_update update;
    uint64_t task_round; /* buffered: of the task that it has or had last, 0: none; */
    uint8_t task_digest[CSL_DIGEST_BYTES]; /* and the model of that */
    uint64_t rounds_contributed;
    enum csl_msg_vote vote; /* DONE: on the model that is evaluated */
    char last_error[192];   /* public text */
};

struct csl_coord_config {
    const struct csl_study *study;    /* borrowed, immutable */
    const char (*roster)[CSL_ID_MAX]; /* [roster_count] sites that may take part; copied, sorted */
    uint32_t roster_count;
    uint64_t seed;
    uint64_t
        open_wait_ns;  /* OPEN ends when all of the roster answered, or after this with enough */
    bool is_rehearsal; /* a study that too many sites declined is aborted: nobody will approve it
                          later. Otherwise enrolment stays open for a site that changes its mind */
};

/* What is read back after a restart; the service fills it from its store. */
struct csl_coord_snapshot {
    enum csl_study_state state;
    uint64_t rounds_done;
    bool is_evaluating; /* the model of rounds_done was not yet evaluated */
};

enum csl_coord_event_kind {
    CSL_CE_TICK,
    CSL_CE_OPENED,     /* conn, site_id */
    CSL_CE_CLOSED,     /* conn */
    CSL_CE_MESSAGE,    /* conn, message; code: not CSL_OK when the site's privacy ledger does not
                          vouch for the update that is announced */
    CSL_CE_RECEIVED,   /* site_index, round: the spool holds a verified update */
    CSL_CE_REJECTED,   /* site_index, round, code: an upload was complete but wrong */
    CSL_CE_FOLDED,     /* site_index, round, code: answers FOLD; CORRUPT: the spool lost it */
    CSL_CE_AGGREGATED, /* round, digest, evaluated_digest, bytes: answers AGGREGATE; reason: the
                          study ends with it, NULL: it goes on */
    CSL_CE_EVALUATED,  /* round: answers OPEN_ROUND or AGGREGATE of the round after the last: its
                          sum is kept, or there is none; the study is over; reason: aborted */
    CSL_CE_JUDGED,     /* round, digest, evaluated_digest, bytes: answers JUDGE; reason: as above */
    CSL_CE_ABSENT, /* site_index, round: has no part in the sum of this round, nor in its quorum */
    CSL_CE_SILENT, /* site_index, round: counts in the quorum, and sends no update any more */
    CSL_CE_REOPEN, /* round: answers AGGREGATE or SHORT: no update counts, all are asked again */
    CSL_CE_ABORT   /* reason: operator */
};
struct csl_coord_event {
    enum csl_coord_event_kind kind;
    uint64_t now_ns; /* monotonic; never decreases */
    csl_conn conn;
    const char *site_id;               /* borrowed for the call */
    const struct csl_message *message; /* borrowed for the call */
    uint32_t site_index;
    uint64_t round, bytes;
    enum csl_code code;
    const uint8_t *digest;
    const uint8_t *evaluated_digest; /* NULL: the same */
    const char *reason;              /* borrowed until the study is over */
};

enum csl_coord_action_kind {
    CSL_CA_SEND,         /* message to site_index */
    CSL_CA_DROP,         /* conn, code */
    CSL_CA_SAVE_STUDY,   /* state, rounds_done, is_evaluating: durable before the next action */
    CSL_CA_SAVE_MEMBER,  /* site_index: membership and blocks */
    CSL_CA_SAVE_UPDATE,  /* site_index: its update of this round is HELD */
    CSL_CA_SAVE_TASK,    /* site_index, buffered: task_round and task_digest are its task's */
    CSL_CA_GRANT_MODEL,  /* site_index, round = model version: ticket, then MODEL_GRANT. Buffered:
                            also of a version before the newest, if a site has been busy with it
                            (csl_coord_is_busy) ever since */
    CSL_CA_GRANT_UPDATE, /* site_index: ticket and resume offset, then UPDATE_GRANT */
    CSL_CA_FOLD,         /* site_index: add its spooled update; answer with FOLDED */
    CSL_CA_OPEN_ROUND,   /* round: fresh accumulator; weights are fixed from here on */
    CSL_CA_AGGREGATE,    /* round: under masks vote and opening, which may end in REOPEN; strategy,
                            checkpoint, commit with csl_coord_after; answer with AGGREGATED. Of the
                            round after the last: keep the evaluation that is in its sum; answer
                            with EVALUATED */
    CSL_CA_SHORT,        /* round: under masks, too few updates, and the time is up or nobody else
                            sends one; REOPEN may answer, or updates that come after all */
    CSL_CA_SAVE_EVALUATION, /* site_index, evaluation (borrowed until the step returns) */
    CSL_CA_JUDGE, /* round: the sites' votes on its model are there; keep it or go back, answer with
                     JUDGED */
    CSL_CA_FORGET_UPDATES, /* round: spools may go, and rows of it; buffered and TRAINING: not those
                              of sites that are SENDING or RECEIVED */
    CSL_CA_FINISHED        /* RELEASED or ABORTED reached */
};
struct csl_coord_action {
    enum csl_coord_action_kind kind;
    uint32_t site_index;
    csl_conn conn;
    uint64_t round;
    enum csl_code code;
    struct csl_message message; /* SEND; contents borrowed from the core and the study */
    const struct csl_msg_evaluation *evaluation;
    const char *reason; /* FINISHED: why it was aborted; NULL: released, or over before the start */
};
/* Actions are handed over one at a time while the core steps; the executor must not call back in.
 */
struct csl_coord_out {
    void *ctx;
    void (*emit)(void *ctx, const struct csl_coord_action *a);
};

struct csl_coord;
enum csl_code csl_coord_new(struct csl_coord **out, const struct csl_coord_config *c,
                            struct csl_err *err) CSL_MUST_CHECK;
void csl_coord_free(struct csl_coord *c);
/* Restart: state, then members, then held updates and, for the weights of domains, all stored
 * evaluations by ascending round, then csl_coord_start. HELD updates are folded
 * again because the accumulator died with the process. */
void csl_coord_restore(struct csl_coord *c, const struct csl_coord_snapshot *s);
/* Where a study stands once the model of `rounds_done` is committed: the service makes this durable
 * in the same transaction as the round, so that AGGREGATED needs no second one. */
struct csl_coord_snapshot csl_coord_after(const struct csl_study *study, uint64_t rounds_done);
enum csl_code csl_coord_restore_member(struct csl_coord *c, const char *site_id,
                                       enum csl_membership m, uint32_t block_count,
                                       const struct csl_block_count *blocks,
                                       uint64_t rounds_contributed,
                                       struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_coord_restore_update(struct csl_coord *c, const char *site_id,
                                       const struct csl_coord_update *u,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* After the updates; a study that is not buffered has none. */
enum csl_code csl_coord_restore_task(struct csl_coord *c, const char *site_id, uint64_t round,
                                     const uint8_t digest[CSL_DIGEST_BYTES],
                                     struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_coord_restore_evaluation(struct csl_coord *c, const char *site_id, uint64_t round,
                                           const struct csl_eval_block *block,
                                           struct csl_err *err) CSL_MUST_CHECK;
/* The current model version's broadcast, before start and after each AGGREGATED it reports itself.
 */
void csl_coord_set_model(struct csl_coord *c, const uint8_t digest[CSL_DIGEST_BYTES],
                         uint64_t bytes);
/* After set_model: the broadcast that is evaluated and released, of a study that averages its
 * models (aggregation/tensor/averaging.h). Of the same size. */
void csl_coord_set_evaluated(struct csl_coord *c, const uint8_t digest[CSL_DIGEST_BYTES]);
void csl_coord_start(struct csl_coord *c, uint64_t now_ns, const struct csl_coord_out *out);

void csl_coord_step(struct csl_coord *c, const struct csl_coord_event *ev,
                    const struct csl_coord_out *out);
uint64_t csl_coord_wakeup_ns(const struct csl_coord *c); /* UINT64_MAX: none */

enum csl_study_state csl_coord_state(const struct csl_coord *c);
enum csl_phase csl_coord_phase(const struct csl_coord *c);
uint64_t csl_coord_rounds_done(const struct csl_coord *c);
uint32_t csl_coord_site_count(const struct csl_coord *c);
const struct csl_coord_site *csl_coord_site(const struct csl_coord *c, uint32_t index);
/* Members that have test patients of the domain are enough for a sum of their evaluations. */
bool csl_coord_is_judged(const struct csl_coord *c, uint32_t domain);
/* Weight in (0, 1] of a site's block in the current cohort; the cohort's weights of a block sum
 * to 1, before those of old updates are divided by sqrt(1 + staleness). 0: the site is not in the
 * cohort or lacks the block, or its share is below 2^-39. */
double csl_coord_weight(const struct csl_coord *c, uint32_t site_index, uint32_t block);
/* Rounds by which the model of its update is behind the newest; 0 unless buffered. */
uint64_t csl_coord_staleness(const struct csl_coord *c, uint32_t site_index);
/* Buffered and TRAINING: it works on the model of task_round - 1, or sends what it made of it. */
bool csl_coord_is_busy(const struct csl_coord *c, uint32_t site_index);
/* Weights of the updates that are HELD, by what they would be if all were fresh; (0, 1]. */
double csl_coord_freshness(const struct csl_coord *c, uint32_t block);
/* With statistics: what tasks from here on say of each domain's prior, [domain_count]; 0: none. */
void csl_coord_set_priors(struct csl_coord *c, const double *prior_loss);
/* Likewise the logarithms of weights of all published values of patient groups; before, 0. */
void csl_coord_set_group_weights(struct csl_coord *c, const double *log_weights);
/* What a training task of t->round tells besides: weights of domains and groups, priors. */
void csl_coord_put_factors(const struct csl_coord *c, struct csl_msg_task *t);
/* Domain weights under masks: a publication opened in `round` (weigh.h), also at a start. */
struct csl_weigher_sum;
void csl_coord_publish(struct csl_coord *c, uint64_t round, const struct csl_weigher_sum *sums,
                       double sigma);
/* The newest weights of domains; NULL: the study has none, or training has not begun. */
struct csl_weights_table;
const struct csl_weights_table *csl_coord_weights(const struct csl_coord *c);
uint32_t csl_coord_find_site(const struct csl_coord *c,
                             const char *id);    /* UINT32_MAX: not in the roster */
void csl_coord_check(const struct csl_coord *c); /* asserts I1-I7; tests call it after each step */

#endif
