#include "site-agent/agent_secagg.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

/* The half that messages leave free is for what this process tells itself: nobody repeats that. */
#define EVENTS_MAX   256u
#define MESSAGES_MAX (EVENTS_MAX / 2)

/* --- from other threads to the core thread --- */

struct csl_agent_event *csl_agent_event_new__(enum csl_site_event_kind kind)
{
    struct csl_agent_event *e = csl_alloc(sizeof(*e));
    if (e != NULL)
        e->ev.kind = kind;
    return e;
}

void csl_agent_event_free__(struct csl_agent_event *e)
{
    if (e == NULL)
        return;
    csl_msg_release(&e->bytes);
    csl_free(e->evaluation.blocks);
    csl_free(e);
}

void csl_agent_post__(struct csl_agent *a, struct csl_agent_event *take_e)
{
    if (take_e != NULL && csl_mailbox_push(a->mailbox, take_e) == CSL_OK)
        return;
    csl_agent_event_free__(take_e);
    csl_log(CSL_LOG_ERROR, "site.event_lost", CSL_STR("site", a->site_id));
}

/* The coordinator says what is current on the next session. */
static void give_up_session(struct csl_agent *a, csl_conn c)
{
    csl_log(CSL_LOG_WARN, "site.overrun", CSL_STR("site", a->site_id));
    a->config.transport->ops->drop(a->config.transport, c, CSL_E_LIMIT);
}

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    (void)peer;
    struct csl_agent_event *e = csl_agent_event_new__(CSL_SE_OPENED);
    if (e == NULL) {
        give_up_session(ctx, c);
        return;
    }
    e->ev.conn = c;
    csl_agent_post__(ctx, e);
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct csl_agent *a = ctx;
    bool has_room = csl_mailbox_count(a->mailbox) < MESSAGES_MAX;
    struct csl_agent_event *e = has_room ? csl_agent_event_new__(CSL_SE_MESSAGE) : NULL;
    if (e == NULL) {
        csl_msg_release(take_m);
        give_up_session(a, c);
        return;
    }
    e->ev.conn = c;
    e->bytes = *take_m;
    *take_m = (struct csl_msg){NULL, 0};
    csl_agent_post__(a, e);
}

static void on_closed(void *ctx, csl_conn c, enum csl_code why)
{
    struct csl_agent_event *e = csl_agent_event_new__(CSL_SE_CLOSED);
    if (e != NULL) {
        e->ev.conn = c;
        e->ev.code = why;
    }
    csl_agent_post__(ctx, e);
}

/* --- actions of the core --- */

void csl_agent_fail__(struct csl_agent *a, const struct csl_err *err)
{
    if (a->failure.code == CSL_OK)
        a->failure = *err;
    csl_log_err(CSL_LOG_ERROR, "site.failed", err);
    a->is_finished = true;
}

enum csl_code csl_agent_save__(struct csl_agent *a, struct csl_err *err)
{
    return a->store == NULL ? CSL_OK : csl_site_store_save(a->store, &a->memory, err);
}

void csl_agent_send__(struct csl_agent *a, const struct csl_message *m)
{
    struct csl_message numbered = *m;
    numbered.sequence = ++a->sequence_out;
    csl_agent_put_head__(a, &numbered);
    struct csl_msg bytes;
    struct csl_err err;
    enum csl_code code = csl_message_encode(&numbered, &bytes, &err);
    if (code != CSL_OK) {
        csl_agent_fail__(a, &err);
        return;
    }
    csl_log(CSL_LOG_DEBUG, "message.sent", CSL_STR("site", a->site_id),
            CSL_STR("kind", csl_message_kind_name(m->kind)));
    code = a->config.transport->ops->send(a->config.transport, a->conn, &bytes, &err);
    if (code == CSL_E_AGAIN)
        a->config.transport->ops->drop(a->config.transport, a->conn, CSL_E_LIMIT);
}

/* The site's own no to a task, before any work: the reason is public. */
static void refuse_work(struct csl_agent *a, const struct csl_msg_task *task, enum csl_code code,
                        const char *reason)
{
    bool trains = task->type == CSL_TASK_TRAIN;
    struct csl_agent_event *e = csl_agent_event_new__(trains ? CSL_SE_TRAINED : CSL_SE_EVALUATED);
    if (e != NULL) {
        e->ev.round = task->round;
        e->ev.code = code;
        csl_str_copy(e->reason, sizeof(e->reason), reason);
    }
    csl_agent_post__(a, e);
}

/* Depends on policy and public numbers only. */
static const char *why_not_reserved(enum csl_code code)
{
    return code == CSL_E_BUDGET || code == CSL_E_DENIED
               ? "this site's privacy budget or plan does not allow the round"
               : csl_code_text(code);
}

static uint64_t next_run(const struct csl_agent *a)
{
    uint64_t words = csl_agent_secagg_words_run__(a), row = a->memory.control_run;
    return 1 + (words > row ? words : row);
}

void csl_agent_start_work__(struct csl_agent *a, const struct csl_msg_task *task)
{
    CSL_ASSERT(!a->has_work);
    struct csl_err err = {.code = CSL_OK};
    bool trains = task->type == CSL_TASK_TRAIN;
    if (trains && csl_agent_check_weights__(a, task, &err) != CSL_OK) {
        csl_log_err(CSL_LOG_WARN, "weights.refused", &err);
        refuse_work(a, task, CSL_E_DENIED, err.msg);
        return;
    }
    const char *reason = csl_agent_secagg_why_not__(a);
    if (trains && reason != NULL) {
        refuse_work(a, task, CSL_E_STATE, reason);
        return;
    }
    enum csl_code code = csl_agent_audit_gate__(a, task, &reason);
    if (code == CSL_E_STATE)
        refuse_work(a, task, code, reason);
    if (code != CSL_OK)
        return;
    if (trains && csl_agent_secagg_holds__(a, task))
        return; /* the core hears of them when they are masked */
    if (trains && csl_agent_reserve__(a, task, &err) != CSL_OK) {
        csl_log_err(CSL_LOG_WARN, "privacy.refused", &err);
        refuse_work(a, task, err.code, why_not_reserved(err.code));
        return;
    }
    if (trains)
        csl_agent_prepare_statistics__(a, task);
    if (a->failure.code != CSL_OK)
        return;
    a->has_work = true;
    a->run = next_run(a);
    a->work = *task;
    atomic_store(&a->is_cancelled, false);
    if (a->work_box != NULL) /* else: the pump runs it */
        CSL_ASSERT(csl_mailbox_push(a->work_box, &a->work) == CSL_OK);
}

/* The study ended. What is being trained is cancelled, and closed when it has answered. */
static void close_reservations(struct csl_agent *a)
{
    struct csl_err err = {.code = CSL_OK};
    if (!a->has_work && csl_agent_close_reservations__(a, UINT64_MAX, &err) != CSL_OK)
        csl_agent_fail__(a, &err);
}

static void emit(void *ctx, const struct csl_site_action *action)
{
    struct csl_agent *a = ctx;
    switch (action->kind) {
    case CSL_SA_SEND:
        csl_agent_send__(a, &action->message);
        break;
    case CSL_SA_DROP:
        a->config.transport->ops->drop(a->config.transport, action->conn, action->code);
        break;
    case CSL_SA_CONSIDER:
        csl_agent_consider__(a, action->offer);
        break;
    case CSL_SA_FETCH:
        csl_agent_fetch__(a, action);
        break;
    case CSL_SA_TRAIN:
    case CSL_SA_EVALUATE:
        csl_agent_start_work__(a, &action->task);
        break;
    case CSL_SA_CANCEL:
        atomic_store(&a->is_cancelled, true);
        csl_agent_secagg_cancel__(a);
        break;
    case CSL_SA_UPLOAD:
        csl_agent_upload__(a, action);
        break;
    case CSL_SA_FINISHED:
        csl_log(CSL_LOG_INFO, "study.ended", CSL_STR("site", a->site_id),
                CSL_STR("outcome", a->core.was_released ? "released" : "aborted"));
        csl_agent_secagg_end__(a);
        a->is_finished = true;
        close_reservations(a);
        break;
    }
}

/* --- one event --- */

void csl_agent_step__(struct csl_agent *a, const struct csl_site_event *ev)
{
    struct csl_site_out out = {a, emit};
    csl_site_step(&a->core, ev, &out);
}

static void handle_message(struct csl_agent *a, struct csl_agent_event *e)
{
    if (e->ev.conn != a->conn)
        return;
    struct csl_message m;
    struct csl_err err;
    enum csl_code code = csl_message_decode(&m, CSL_TO_SITE, csl_msg_span(&e->bytes), &err);
    if (code == CSL_OK && m.sequence != a->sequence_in + 1) {
        code = CSL_FAIL(&err, CSL_E_PROTO, "message %llu came where %llu was due: replayed or lost",
                        (unsigned long long)m.sequence, (unsigned long long)a->sequence_in + 1);
        csl_message_release(&m);
    }
    if (code != CSL_OK) {
        csl_log_err(CSL_LOG_WARN, "coordinator.bad_message", &err);
        a->config.transport->ops->drop(a->config.transport, e->ev.conn, code);
        return;
    }
    a->sequence_in++;
    csl_log(CSL_LOG_DEBUG, "message.received", CSL_STR("site", a->site_id),
            CSL_STR("kind", csl_message_kind_name(m.kind)));
    if (m.kind == CSL_MSG_REFUSED)
        csl_log(CSL_LOG_WARN, "coordinator.refused", CSL_STR("site", a->site_id),
                CSL_STR("why", m.u.refused.reason));
    if (m.kind == CSL_MSG_DRAIN)
        csl_log(CSL_LOG_INFO, "coordinator.draining", CSL_STR("site", a->site_id));
    csl_agent_take_head__(a, &m);
    e->ev.message = &m;
    if (m.kind == CSL_MSG_SECAGG_TO_SITE)
        csl_agent_secagg_part__(a, &m.u.secagg);
    else
        csl_agent_step__(a, &e->ev);
    csl_message_release(&m);
}

/* Which transfer of ours is over. One that was given up already is of no interest. */
static bool name_transfer(struct csl_agent *a, struct csl_agent_event *e)
{
    if (e->bulk_id == a->fetch_id) {
        a->fetch_id = 0;
        e->ev.kind = CSL_SE_FETCHED;
        memcpy(e->digest, a->fetch_task.model_digest, CSL_DIGEST_BYTES);
        e->ev.digest = e->digest;
    } else if (e->bulk_id == a->upload_id) {
        a->upload_id = 0;
        e->ev.kind = CSL_SE_UPLOADED;
        e->ev.round = a->upload_task.round;
    } else {
        return false;
    }
    if (e->ev.code != CSL_OK)
        csl_log(CSL_LOG_INFO, "transfer.broken", CSL_STR("site", a->site_id),
                CSL_STR("direction", e->ev.kind == CSL_SE_FETCHED ? "download" : "upload"),
                CSL_STR("why", csl_code_text(e->ev.code)));
    return true;
}

void csl_agent_remember_update__(struct csl_agent *a, const struct csl_agent_event *e)
{
    a->memory.outbox = e->outbox;
    if (a->strategy->broadcast_vectors > 1 || csl_study_has_kind(a->study, CSL_BLOCK_LOCAL)) {
        a->memory.control_round = e->outbox.round;
        a->memory.control_run = e->run;
    }
    struct csl_err err;
    enum csl_code code = csl_agent_save__(a, &err);
    if (code == CSL_OK)
        code = csl_agent_charge__(a, &e->outbox, &e->report, &err);
    if (code == CSL_OK)
        code = csl_agent_charge_statistics__(a, &e->outbox, &err);
    if (code != CSL_OK)
        csl_agent_fail__(a, &err); /* nothing is announced: a restart starts from what is durable */
}

static void handle(struct csl_agent *a, struct csl_agent_event *e)
{
    e->ev.now_ns = a->now_ns;
    bool is_of_interest = true;
    switch ((int)e->ev.kind) {
    case CSL_SE_OPENED:
        a->conn = e->ev.conn;
        a->sequence_in = a->sequence_out = 0;
        csl_parts_clear(&a->parts);
        csl_log(CSL_LOG_INFO, "coordinator.connected", CSL_STR("site", a->site_id));
        break;
    case CSL_SE_CLOSED:
        csl_log(CSL_LOG_INFO, "coordinator.disconnected", CSL_STR("site", a->site_id),
                CSL_STR("why", csl_code_text(e->ev.code)));
        break;
    case CSL_SE_MESSAGE:
        if (a->failure.code == CSL_OK) /* else the study may be closed */
            handle_message(a, e);
        is_of_interest = false; /* it was handled */
        break;
    case CSL_SE_TRAINED:
    case CSL_SE_EVALUATED:
        a->has_work = false;
        if (e->ev.kind == CSL_SE_TRAINED && e->ev.code == CSL_OK && csl_agent_masks__(a)) {
            csl_agent_secagg_trained__(a, e); /* the core hears of it when it is masked */
            is_of_interest = false;
        } else if (e->ev.kind == CSL_SE_TRAINED && e->ev.code == CSL_OK)
            csl_agent_remember_update__(a, e);
        else if (e->ev.kind == CSL_SE_TRAINED && e->is_forfeit)
            csl_agent_forfeit__(a);
        else if (e->ev.kind == CSL_SE_TRAINED)
            csl_agent_settle__(a, false); /* nothing was drawn, so nothing can leave */
        e->ev.outbox = &e->outbox;
        e->ev.evaluation = &e->evaluation;
        e->ev.reason = e->reason;
        break;
    case CSL_SE_DECIDED:
        e->ev.answer = &e->answer;
        break;
    case CSL_SE_FETCHED:
    case CSL_SE_UPLOADED:
        is_of_interest = name_transfer(a, e);
        if (is_of_interest && e->ev.kind == CSL_SE_UPLOADED && e->ev.code == CSL_OK)
            csl_agent_settle__(a, true);
        break;
    default:
        break;
    }
    if (is_of_interest && a->failure.code == CSL_OK)
        csl_agent_step__(a, &e->ev);
    csl_agent_secagg_follow__(a);
    csl_agent_event_free__(e);
}

bool csl_agent_pump(struct csl_agent *a, uint64_t now_ns)
{
    bool did = false;
    a->now_ns = now_ns;
    for (struct csl_agent_event *e; (e = csl_mailbox_pop(a->mailbox, 0)) != NULL; did = true)
        handle(a, e);
    if (!a->is_finished && now_ns >= csl_site_wakeup_ns(&a->core))
        csl_agent_step__(a, &(struct csl_site_event){.kind = CSL_SE_TICK, .now_ns = now_ns});
    if (!a->is_finished && now_ns >= csl_agent_audit_wakeup_ns__(a))
        csl_agent_secagg_follow__(a);
    if (a->has_work && a->work_box == NULL) {
        csl_agent_work__(a, &a->work);
        did = true;
    }
    return did;
}

void csl_agent_wait(struct csl_agent *a, uint64_t deadline_ns)
{
    struct csl_agent_event *e = csl_mailbox_pop(a->mailbox, deadline_ns);
    a->now_ns = csl_clock_monotonic_ns();
    if (e != NULL)
        handle(a, e);
    csl_agent_pump(a, csl_clock_monotonic_ns());
}

uint64_t csl_agent_wakeup_ns(const struct csl_agent *a)
{
    uint64_t core = csl_site_wakeup_ns(&a->core), audit = csl_agent_audit_wakeup_ns__(a);
    return a->is_finished ? UINT64_MAX : core < audit ? core : audit;
}

/* --- life --- */

static void work_for_ever(void *arg)
{
    struct csl_agent *a = arg;
    for (const struct csl_msg_task *t; (t = csl_mailbox_pop(a->work_box, UINT64_MAX)) != NULL;) {
        struct csl_msg_task task = *t;
        csl_agent_work__(a, &task);
    }
}

static enum csl_code open_state(struct csl_agent *a, struct csl_err *err)
{
    if (a->config.state_dir == NULL)
        return csl_blobs_new_memory(&a->blobs, err);
    char path[CSL_PATH_MAX];
    enum csl_code code = csl_path_join(path, sizeof(path), a->config.state_dir, "blobs", err);
    if (code == CSL_OK)
        code = csl_dir_make(path, err);
    if (code == CSL_OK)
        code = csl_dir_lock(a->config.state_dir, &a->state_lock, err);
    if (code == CSL_OK)
        code = csl_blobs_open_dir(&a->blobs, path, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), a->config.state_dir, "site.db", err);
    if (code == CSL_OK)
        code = csl_site_store_open(&a->store, path, err);
    if (code == CSL_OK)
        code = csl_site_store_load(a->store, &a->memory, err);
    if (code == CSL_OK && a->memory.has_study)
        code = csl_agent_open_study__(a, csl_msg_span(&a->memory.manifest), err);
    if (code == CSL_OK)
        code = csl_agent_register__(a, err); /* the records may have changed since */
    if (code == CSL_OK)
        code = csl_agent_recover_privacy__(a, err);
    bool is_paid = code == CSL_OK && csl_agent_is_charged__(a, &a->memory.outbox) &&
                   (a->study == NULL || csl_agent_are_statistics_charged__(a, &a->memory.outbox));
    if (code == CSL_OK && !is_paid) {
        if (a->memory.control_round == a->memory.outbox.round)
            a->memory.control_round = 0; /* nor does what local blocks learned of it */
        a->memory.outbox = (struct csl_outbox){.round = 0}; /* what is not charged does not leave */
    }
    return code;
}

enum csl_code csl_agent_new(struct csl_agent **out, const struct csl_agent_config *config,
                            struct csl_err *err)
{
    struct csl_agent *a = csl_alloc(sizeof(*a));
    if (a == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the site agent");
    a->state_lock = -1;
    a->config = *config;
    a->policy = *config->policy;
    enum csl_code code = CSL_OK;
    const char *state_dir = config->state_dir != NULL ? config->state_dir : "";
    const char *initial = config->initial_model != NULL ? config->initial_model : "";
    if (!csl_str_copy(a->site_id, sizeof(a->site_id), config->site_id) ||
        !csl_str_copy(a->record_path, sizeof(a->record_path), config->record_path) ||
        !csl_str_copy(a->state_dir, sizeof(a->state_dir), state_dir) ||
        !csl_str_copy(a->initial_path, sizeof(a->initial_path), initial))
        code = CSL_FAIL(err, CSL_E_LIMIT, "the site id or a path of the site is too long");
    if (config->state_dir != NULL) /* the ledger is opened with the first study that needs one */
        a->config.state_dir = a->state_dir;
    a->config.initial_model = a->initial_path;
    if (config->noise_seed != NULL) {
        a->noise_seed = *config->noise_seed;
        a->config.noise_seed = &a->noise_seed;
    }
    if (code == CSL_OK)
        code = csl_mailbox_new(&a->mailbox, EVENTS_MAX, err);
    if (code == CSL_OK && config->has_worker)
        code = csl_mailbox_new(&a->work_box, 2, err);
    if (code == CSL_OK)
        code = open_state(a, err);
    if (code != CSL_OK) {
        csl_agent_free(a);
        return code;
    }
    /* Under masks the protocol says whether the outbox may leave. */
    csl_site_init(&a->core, a->memory.has_study ? a->memory.study_digest : NULL,
                  csl_agent_masks__(a) ? NULL : &a->memory.outbox);
    a->config.transport->up = (struct csl_transport_events){.ctx = a,
                                                            .opened = on_opened,
                                                            .message = on_message,
                                                            .closed = on_closed,
                                                            .bulk_done = csl_agent_bulk_done__};
    *out = a;
    return CSL_OK;
}

enum csl_code csl_agent_start(struct csl_agent *a, uint64_t now_ns, struct csl_err *err)
{
    a->now_ns = now_ns;
    csl_agent_secagg_start__(a);
    if (a->work_box != NULL) {
        enum csl_code code = csl_thread_start(&a->worker, "csl-worker", work_for_ever, a, err);
        if (code != CSL_OK)
            return code;
    }
    return a->config.transport->ops->start(a->config.transport, err);
}

void csl_agent_free(struct csl_agent *a)
{
    if (a == NULL)
        return;
    atomic_store(&a->is_cancelled, true);
    if (a->work_box != NULL)
        csl_mailbox_close(a->work_box);
    csl_thread_join(&a->worker);
    csl_mailbox_free(a->work_box);
    if (a->mailbox != NULL) {
        for (struct csl_agent_event *e; (e = csl_mailbox_pop(a->mailbox, 0)) != NULL;)
            csl_agent_event_free__(e);
        csl_mailbox_free(a->mailbox);
    }
    csl_agent_close_study__(a);
    csl_agent_free_secagg__(a);
    csl_parts_clear(&a->parts);
    csl_agent_close_privacy__(a);
    csl_blobs_free(a->blobs);
    csl_site_store_close(a->store);
    csl_site_memory_release(&a->memory);
    if (a->state_lock >= 0)
        close(a->state_lock);
    csl_free(a);
}

bool csl_agent_is_finished(const struct csl_agent *a)
{
    return a->is_finished;
}

enum csl_code csl_agent_outcome(const struct csl_agent *a, struct csl_err *err)
{
    if (a->failure.code != CSL_OK) {
        if (err != NULL)
            *err = a->failure;
        return a->failure.code;
    }
    if (a->core.state == CSL_SITE_ENDED && a->core.was_released)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_CANCELLED, "the study did not end in a release%s%s",
                    a->core.last_error[0] != '\0' ? ": " : "", a->core.last_error);
}

struct csl_ledger *csl_agent_ledger(struct csl_agent *a)
{
    return a->ledger;
}

const struct csl_site *csl_agent_core(const struct csl_agent *a)
{
    return &a->core;
}
