/* site-agent/core/site.h - a hospital's side of one study as a pure state machine.
 *
 *   AWAY --opened--> GREETING --offer--> CONSIDERING --answer--> WAITING
 *   WAITING --task--> FETCHING --model--> WORKING --update stored--> DELIVERING --accepted-->
 * WAITING any --study ended--> ENDED        any --closed--> AWAY (work goes on; it is announced
 * when back)
 *
 * What is true where:
 *   FETCHING    the broadcast the task names is not complete here; a grant was asked for or is used
 *   WORKING     the broadcast is complete and verified; training or evaluation of `task` is
 * running, or of a task it replaced, until that has answered DELIVERING  the update of `task` is
 * durable in the outbox; the coordinator was told
 *
 * The coordinator repeats the current task after every reconnect, so no message has to survive a
 * broken session. What it says is authoritative: a task of an earlier round, or of the same round
 * with another model, means that the study was begun anew, and is worked on. No socket, file,
 * thread, clock or random source is reachable from here.
 *
 * Invariants (csl_site_check):
 *   (S1) at most one unit of work is running; what it was begun for, if `task` is another now, is
 *        cancelled
 *   (S2) an update leaves only after the agent reported it durable
 *   (S3) an update leaves only for the study, the round and the model it was made for
 *   (S4) nothing is worked on before a study was accepted
 *   (S5) no training begins while an update leaves: it could replace the bytes under way */
#ifndef CSL_SITE_H
#define CSL_SITE_H
#include "protocol/transport/transport.h"
#include "protocol/wire/messages.h"

enum csl_site_state {
    CSL_SITE_AWAY,
    CSL_SITE_GREETING,
    CSL_SITE_CONSIDERING,
    CSL_SITE_WAITING,
    CSL_SITE_FETCHING,
    CSL_SITE_WORKING,
    CSL_SITE_DELIVERING,
    CSL_SITE_ENDED
};
const char *csl_site_state_name(enum csl_site_state s);

struct csl_outbox { /* round 0: empty */
    uint64_t round, bytes_total;
    uint8_t digest[CSL_DIGEST_BYTES];
    uint8_t model_digest[CSL_DIGEST_BYTES]; /* of the broadcast it was made from */
    double train_loss;
    uint32_t block_count;
    struct csl_block_count blocks[CSL_BLOCKS_MAX];
};

enum csl_site_event_kind {
    CSL_SE_TICK,
    CSL_SE_OPENED,    /* conn */
    CSL_SE_CLOSED,    /* conn */
    CSL_SE_MESSAGE,   /* conn, message */
    CSL_SE_DECIDED,   /* answer: to CONSIDER */
    CSL_SE_FETCHED,   /* digest (of the broadcast asked for), code */
    CSL_SE_TRAINED,   /* round, code, outbox (durable when code is OK), reason */
    CSL_SE_EVALUATED, /* round, code, evaluation, reason */
    CSL_SE_UPLOADED,  /* round, code */
    CSL_SE_WITHDRAWN  /* round: the outbox of it must not leave any more */
};
struct csl_site_event {
    enum csl_site_event_kind kind;
    uint64_t now_ns;
    csl_conn conn;
    const struct csl_message *message; /* all pointers are borrowed for the call */
    const struct csl_msg_study_answer *answer;
    const uint8_t *digest;
    uint64_t round;
    enum csl_code code;
    const struct csl_outbox *outbox;
    const struct csl_msg_evaluation *evaluation;
    const char *reason; /* public text of a failure */
};

enum csl_site_action_kind {
    CSL_SA_SEND,     /* message */
    CSL_SA_DROP,     /* code */
    CSL_SA_CONSIDER, /* offer: parse, policy, records; answer with DECIDED, durable when accepted */
    CSL_SA_FETCH,    /* task, ticket: download the broadcast; answer with FETCHED */
    CSL_SA_TRAIN,    /* task: answer with TRAINED */
    CSL_SA_EVALUATE, /* task: answer with EVALUATED */
    CSL_SA_CANCEL,   /* the running work is for nothing; it still answers */
    CSL_SA_UPLOAD,   /* ticket, offset: send the outbox; answer with UPLOADED */
    CSL_SA_FINISHED  /* the study ended */
};
struct csl_site_action {
    enum csl_site_action_kind kind;
    csl_conn conn;
    enum csl_code code;
    struct csl_message message; /* contents borrowed until the step returns */
    const struct csl_msg_study_offer *offer;
    struct csl_msg_task task;
    uint8_t ticket[CSL_TICKET_BYTES];
    uint64_t offset;
};
struct csl_site_out {
    void *ctx;
    void (*emit)(void *ctx, const struct csl_site_action *a);
};

struct csl_site {
    enum csl_site_state state;
    csl_conn conn;                          /* 0: no session */
    uint8_t study_digest[CSL_DIGEST_BYTES]; /* accepted; zero: none */
    uint8_t model_digest[CSL_DIGEST_BYTES]; /* broadcast that is complete here; zero: none */
    bool has_task, is_working, is_fetching, is_uploading;
    struct csl_msg_task task;
    struct csl_outbox outbox;
    uint64_t now_ns, retry_ns; /* UINT64_MAX: nothing to retry */
    bool was_released;
    char last_error[192];
    const struct csl_site_out *out; /* during a step */
};
/* study_digest and outbox as read back from the store; NULL for a fresh site. */
void csl_site_init(struct csl_site *s, const uint8_t *study_digest,
                   const struct csl_outbox *outbox);
void csl_site_step(struct csl_site *s, const struct csl_site_event *ev,
                   const struct csl_site_out *out);
uint64_t csl_site_wakeup_ns(const struct csl_site *s); /* UINT64_MAX: none */
/* Model version a task works on: the rounds done before it. */
uint64_t csl_task_model_version(const struct csl_msg_task *t);
void csl_site_check(const struct csl_site *s);

#endif
