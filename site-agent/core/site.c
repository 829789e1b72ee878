#include "site-agent/core/site.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"

#include <string.h>

#define RETRY_NS                                                                                   \
    CSL_NS_PER_S /* between attempts of a transfer that broke under a living session               \
                  */

const char *csl_site_state_name(enum csl_site_state s)
{
    static const char *const names[] = {"away",     "greeting", "considering", "waiting",
                                        "fetching", "working",  "delivering",  "ended"};
    CSL_ASSERT((size_t)s < sizeof(names) / sizeof(names[0]));
    return names[s];
}

void csl_site_init(struct csl_site *s, const uint8_t *study_digest, const struct csl_outbox *outbox)
{
    *s = (struct csl_site){.state = CSL_SITE_AWAY, .retry_ns = UINT64_MAX};
    if (study_digest != NULL)
        memcpy(s->study_digest, study_digest, CSL_DIGEST_BYTES);
    if (outbox != NULL)
        s->outbox = *outbox;
}

uint64_t csl_task_model_version(const struct csl_msg_task *t)
{
    return t->type == CSL_TASK_TRAIN ? t->round - 1 : t->round;
}

static void emit(struct csl_site *s, const struct csl_site_action *a)
{
    CSL_ASSERT(s->out != NULL);
    s->out->emit(s->out->ctx, a);
}

static void send(struct csl_site *s, const struct csl_message *m)
{
    if (s->conn != 0)
        emit(s, &(struct csl_site_action){.kind = CSL_SA_SEND, .conn = s->conn, .message = *m});
}

static void say_hello(struct csl_site *s)
{
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    csl_str_copy(m.u.hello.software, sizeof(m.u.hello.software), "consilium-site 0.1.0");
    memcpy(m.u.hello.study_digest, s->study_digest, CSL_DIGEST_BYTES);
    send(s, &m);
}

static bool has_update(const struct csl_site *s)
{
    return s->task.type == CSL_TASK_TRAIN && s->outbox.round == s->task.round &&
           memcmp(s->outbox.model_digest, s->task.model_digest, CSL_DIGEST_BYTES) == 0;
}

static void announce_update(struct csl_site *s)
{
    CSL_ASSERT(has_update(s)); /* (S2, S3) */
    s->state = CSL_SITE_DELIVERING;
    struct csl_message m = {.kind = CSL_MSG_UPDATE_READY};
    struct csl_msg_update_ready *u = &m.u.update_ready;
    u->round = s->outbox.round;
    u->bytes_total = s->outbox.bytes_total;
    u->train_loss = s->outbox.train_loss;
    u->block_count = s->outbox.block_count;
    memcpy(u->digest, s->outbox.digest, CSL_DIGEST_BYTES);
    memcpy(u->blocks, s->outbox.blocks, u->block_count * sizeof(u->blocks[0]));
    send(s, &m);
}

static void ask_for_model(struct csl_site *s)
{
    s->state = CSL_SITE_FETCHING;
    struct csl_message m = {.kind = CSL_MSG_MODEL_REQUEST};
    m.u.model_request.round = csl_task_model_version(&s->task);
    send(s, &m);
}

/* The next thing to do for the current task, from what is here already. */
static void pursue(struct csl_site *s)
{
    s->retry_ns = UINT64_MAX;
    bool is_settling = s->state == CSL_SITE_GREETING || s->state == CSL_SITE_CONSIDERING;
    if (s->conn == 0 || !s->has_task || is_settling)
        return; /* the coordinator says the current task after every hello */
    bool trains = s->task.type == CSL_TASK_TRAIN;
    if (has_update(s)) {
        if (s->is_uploading)
            s->state = CSL_SITE_WAITING; /* announced again when that transfer is over */
        else
            announce_update(s);
        return;
    }
    if (s->is_working || s->is_fetching) { /* its answer comes back here */
        s->state = s->is_working ? CSL_SITE_WORKING : CSL_SITE_FETCHING;
        return;
    }
    if (memcmp(s->model_digest, s->task.model_digest, CSL_DIGEST_BYTES) != 0) {
        ask_for_model(s);
        return;
    }
    if (trains && s->is_uploading) { /* (S5); begun when that transfer is over */
        s->state = CSL_SITE_WAITING;
        return;
    }
    s->state = CSL_SITE_WORKING;
    s->is_working = true;
    emit(s, &(struct csl_site_action){.kind = trains ? CSL_SA_TRAIN : CSL_SA_EVALUATE,
                                      .task = s->task});
}

/* Weights of domains and the like, which work on a task goes by. */
static bool tells_same(const struct csl_msg_task *a, const struct csl_msg_task *b)
{
    uint8_t of_a[CSL_DIGEST_BYTES] = {0}, of_b[CSL_DIGEST_BYTES] = {0};
    (void)csl_task_factors(a, of_a);
    (void)csl_task_factors(b, of_b);
    return memcmp(of_a, of_b, sizeof(of_a)) == 0;
}

static void on_task(struct csl_site *s, const struct csl_msg_task *t)
{
    static const uint8_t none[CSL_DIGEST_BYTES];
    bool has_study = memcmp(s->study_digest, none, sizeof(none)) != 0;
    if (!has_study || s->state == CSL_SITE_CONSIDERING)
        return; /* (S4); the task is repeated after the answer */
    bool is_same = s->has_task && s->task.type == t->type && s->task.round == t->round &&
                   memcmp(s->task.model_digest, t->model_digest, CSL_DIGEST_BYTES) == 0 &&
                   tells_same(&s->task, t);
    if (!is_same && s->is_working)
        emit(s, &(struct csl_site_action){.kind = CSL_SA_CANCEL});
    s->task = *t;
    s->has_task = true;
    s->state = CSL_SITE_WAITING;
    pursue(s);
}

static void on_model_grant(struct csl_site *s, const struct csl_msg_model_grant *g)
{
    bool is_asked_for = s->has_task && s->state == CSL_SITE_FETCHING && !s->is_fetching;
    if (!is_asked_for || g->round != csl_task_model_version(&s->task))
        return;
    s->is_fetching = true;
    struct csl_site_action a = {.kind = CSL_SA_FETCH, .task = s->task};
    memcpy(a.ticket, g->ticket, CSL_TICKET_BYTES);
    emit(s, &a);
}

static void on_update_grant(struct csl_site *s, const struct csl_msg_update_grant *g)
{
    if (s->state != CSL_SITE_DELIVERING || g->round != s->outbox.round || s->is_uploading)
        return;
    if (g->offset > s->outbox.bytes_total) {
        emit(s,
             &(struct csl_site_action){.kind = CSL_SA_DROP, .conn = s->conn, .code = CSL_E_PROTO});
        return;
    }
    s->is_uploading = true;
    struct csl_site_action a = {.kind = CSL_SA_UPLOAD, .task = s->task, .offset = g->offset};
    memcpy(a.ticket, g->ticket, CSL_TICKET_BYTES);
    emit(s, &a);
}

static void on_ended(struct csl_site *s, const struct csl_msg_study_ended *e)
{
    if (s->is_working)
        emit(s, &(struct csl_site_action){.kind = CSL_SA_CANCEL});
    s->has_task = false;
    s->was_released = e->released;
    s->state = CSL_SITE_ENDED;
    csl_str_copy(s->last_error, sizeof(s->last_error), e->reason);
    emit(s, &(struct csl_site_action){.kind = CSL_SA_FINISHED});
}

static void on_message(struct csl_site *s, const struct csl_message *m)
{
    switch ((int)m->kind) {
    case CSL_MSG_STUDY_OFFER:
        s->has_task = false; /* it is repeated after the answer */
        s->state = CSL_SITE_CONSIDERING;
        emit(s, &(struct csl_site_action){.kind = CSL_SA_CONSIDER, .offer = &m->u.study_offer});
        break;
    case CSL_MSG_TASK:
        on_task(s, &m->u.task);
        break;
    case CSL_MSG_MODEL_GRANT:
        on_model_grant(s, &m->u.model_grant);
        break;
    case CSL_MSG_UPDATE_GRANT:
        on_update_grant(s, &m->u.update_grant);
        break;
    case CSL_MSG_UPDATE_ACCEPTED:
        if (s->state == CSL_SITE_DELIVERING && m->u.update_accepted.round == s->outbox.round) {
            s->state = CSL_SITE_WAITING;
            s->has_task = false;
        }
        break;
    case CSL_MSG_EVALUATION_ACCEPTED:
        if (s->has_task && s->task.type == CSL_TASK_EVALUATE &&
            m->u.evaluation_accepted.round == s->task.round) {
            s->state = CSL_SITE_WAITING;
            s->has_task = false;
        }
        break;
    case CSL_MSG_STUDY_ENDED:
        on_ended(s, &m->u.study_ended);
        break;
    case CSL_MSG_REFUSED:
        csl_str_copy(s->last_error, sizeof(s->last_error), m->u.refused.reason);
        s->has_task = false; /* this round goes on without us; the next task is a fresh start */
        if (s->state != CSL_SITE_CONSIDERING)
            s->state = CSL_SITE_WAITING;
        break;
    default: /* DRAIN, PONG: the transport reconnects by itself; liveness is its business */
        break;
    }
}

/* (S3): what was made for the study before this one stays here. */
static void forget_study(struct csl_site *s)
{
    bool is_busy = s->state == CSL_SITE_FETCHING || s->state == CSL_SITE_WORKING ||
                   s->state == CSL_SITE_DELIVERING;
    if (s->is_working)
        emit(s, &(struct csl_site_action){.kind = CSL_SA_CANCEL});
    if (is_busy) /* it greeted again, and was tasked, before the agent had decided */
        s->state = CSL_SITE_WAITING;
    s->has_task = false;
    s->outbox = (struct csl_outbox){.round = 0};
}

static void on_decided(struct csl_site *s, const struct csl_msg_study_answer *answer)
{
    if (answer->accepted) {
        if (memcmp(s->study_digest, answer->study_digest, CSL_DIGEST_BYTES) != 0)
            forget_study(s);
        memcpy(s->study_digest, answer->study_digest, CSL_DIGEST_BYTES);
    } else
        csl_str_copy(s->last_error, sizeof(s->last_error), answer->reason);
    if (s->state != CSL_SITE_CONSIDERING)
        return; /* the session broke meanwhile; the study is offered again */
    s->state = CSL_SITE_WAITING;
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    m.u.study_answer = *answer;
    send(s, &m);
}

static void fail_task(struct csl_site *s, uint64_t round, enum csl_code code, const char *reason)
{
    struct csl_message m = {.kind = CSL_MSG_TASK_FAILED};
    m.u.task_failed.round = round;
    m.u.task_failed.code = code;
    csl_str_copy(m.u.task_failed.reason, sizeof(m.u.task_failed.reason),
                 reason != NULL ? reason : csl_code_text(code));
    csl_str_copy(s->last_error, sizeof(s->last_error), m.u.task_failed.reason);
    send(s, &m);
    s->has_task = false;
    if (s->conn != 0 && s->state != CSL_SITE_GREETING && s->state != CSL_SITE_CONSIDERING)
        s->state = CSL_SITE_WAITING;
}

static void retry_later(struct csl_site *s)
{
    if (s->conn != 0)
        s->retry_ns = s->now_ns + RETRY_NS;
}

static void on_fetched(struct csl_site *s, const struct csl_site_event *ev)
{
    s->is_fetching = false;
    if (ev->code == CSL_OK) {
        memcpy(s->model_digest, ev->digest, CSL_DIGEST_BYTES);
        pursue(s);
    } else {
        retry_later(s);
    }
}

/* The work that just ended is for a task that is not current any more. */
static bool is_stale(const struct csl_site *s, const struct csl_site_event *ev,
                     enum csl_task_type type)
{
    return !s->has_task || s->task.type != type || s->task.round != ev->round ||
           ev->code == CSL_E_CANCELLED;
}

static void on_trained(struct csl_site *s, const struct csl_site_event *ev)
{
    s->is_working = false;
    if (ev->code == CSL_OK)
        s->outbox = *ev->outbox;
    if (!is_stale(s, ev, CSL_TASK_TRAIN) && ev->code != CSL_OK)
        fail_task(s, ev->round, ev->code, ev->reason);
    else
        pursue(s);
}

static void on_evaluated(struct csl_site *s, const struct csl_site_event *ev)
{
    s->is_working = false;
    if (is_stale(s, ev, CSL_TASK_EVALUATE)) {
        pursue(s);
        return;
    }
    if (ev->code != CSL_OK) {
        fail_task(s, ev->round, ev->code, ev->reason);
        return;
    }
    if (s->state == CSL_SITE_WORKING)
        s->state = CSL_SITE_WAITING; /* a lost report is asked for again with the task */
    struct csl_message m = {.kind = CSL_MSG_EVALUATION};
    m.u.evaluation = *ev->evaluation;
    send(s, &m);
}

static void on_uploaded(struct csl_site *s, const struct csl_site_event *ev)
{
    s->is_uploading = false;
    if (s->has_task && ev->code != CSL_OK)
        retry_later(s);
    else if (s->has_task && s->state != CSL_SITE_DELIVERING)
        pursue(s); /* a task came, or came again, while the bytes were moving */
}

/* Bytes under way are the coordinator's to refuse. What comes next is for the next task to say. */
static void on_withdrawn(struct csl_site *s, uint64_t round)
{
    if (s->outbox.round != round)
        return;
    s->outbox = (struct csl_outbox){.round = 0};
    if (s->state == CSL_SITE_DELIVERING)
        s->state = CSL_SITE_WAITING;
}

static void on_closed(struct csl_site *s)
{
    s->conn = 0;
    s->retry_ns = UINT64_MAX;
    if (s->state != CSL_SITE_ENDED)
        s->state = CSL_SITE_AWAY; /* work, fetch and upload answer on their own */
}

void csl_site_step(struct csl_site *s, const struct csl_site_event *ev,
                   const struct csl_site_out *out)
{
    CSL_ASSERT(ev->now_ns >= s->now_ns);
    s->now_ns = ev->now_ns;
    s->out = out;
    bool is_ours = ev->conn != 0 && ev->conn == s->conn;
    switch (ev->kind) {
    case CSL_SE_TICK:
        if (s->now_ns >= s->retry_ns)
            pursue(s);
        break;
    case CSL_SE_OPENED:
        s->conn = ev->conn;
        if (s->state != CSL_SITE_ENDED) {
            s->state = CSL_SITE_GREETING;
            say_hello(s);
        }
        break;
    case CSL_SE_CLOSED:
        if (is_ours)
            on_closed(s);
        break;
    case CSL_SE_MESSAGE:
        if (is_ours && s->state != CSL_SITE_ENDED)
            on_message(s, ev->message);
        break;
    case CSL_SE_DECIDED:
        on_decided(s, ev->answer);
        break;
    case CSL_SE_FETCHED:
        on_fetched(s, ev);
        break;
    case CSL_SE_TRAINED:
        on_trained(s, ev);
        break;
    case CSL_SE_EVALUATED:
        on_evaluated(s, ev);
        break;
    case CSL_SE_UPLOADED:
        on_uploaded(s, ev);
        break;
    case CSL_SE_WITHDRAWN:
        on_withdrawn(s, ev->round);
        break;
    }
    s->out = NULL;
}

uint64_t csl_site_wakeup_ns(const struct csl_site *s)
{
    return s->retry_ns;
}

void csl_site_check(const struct csl_site *s)
{
    CSL_ASSERT((s->conn == 0) <= (s->state == CSL_SITE_AWAY || s->state == CSL_SITE_ENDED));
    if (s->state == CSL_SITE_DELIVERING)
        CSL_ASSERT(s->has_task && has_update(s)); /* (S3) */
    if (s->state == CSL_SITE_WORKING)
        CSL_ASSERT(s->has_task && s->is_working); /* (S1) */
    if (s->state == CSL_SITE_FETCHING)
        CSL_ASSERT(s->has_task);
}
