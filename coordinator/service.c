#include "coordinator/service_groups.h"
#include "coordinator/service_secagg.h"
#include "coordinator/service_vote.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

void csl_service_answer__(struct csl_service *s, const struct csl_coord_event *ev)
{
    uint32_t capacity = CSL_SERVICE_ANSWERS(s->site_count);
    CSL_ASSERT(s->answer_count < capacity);
    s->answers[(s->answer_first + s->answer_count++) % capacity] = *ev;
}

/* --- actions of the core --- */

void csl_service_fail__(struct csl_service *s, const struct csl_err *err)
{
    if (s->failure.code == CSL_OK)
        s->failure = *err;
    csl_log_err(CSL_LOG_ERROR, "coordinator.failed", err);
    s->is_finished = true;
}

void csl_service_send__(struct csl_service *s, uint32_t site, const struct csl_message *m)
{
    struct csl_site_io *io = &s->io[site];
    struct csl_message numbered = *m;
    numbered.sequence = ++io->sequence_out;
    csl_service_put_head__(s, site, &numbered);
    struct csl_msg bytes;
    struct csl_err err;
    if (csl_message_encode(&numbered, &bytes, &err) != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    enum csl_code code =
        s->config.transport->ops->send(s->config.transport, io->conn, &bytes, &err);
    if (code == CSL_E_AGAIN) { /* a site that does not read: it may come back when it does */
        csl_log(CSL_LOG_WARN, "site.outbox_full",
                CSL_STR("site", csl_coord_site(s->core, site)->id));
        s->config.transport->ops->drop(s->config.transport, io->conn, CSL_E_LIMIT);
    }
    csl_log(CSL_LOG_DEBUG, "message.sent", CSL_STR("site", csl_coord_site(s->core, site)->id),
            CSL_STR("kind", csl_message_kind_name(m->kind)));
}

static void emit(void *ctx, const struct csl_coord_action *a)
{
    struct csl_service *s = ctx;
    if (s->failure.code != CSL_OK)
        return; /* after a failed save nothing more may leave */
    s->is_status_stale = true;
    switch (a->kind) {
    case CSL_CA_SEND:
        if (s->secagg != NULL && a->message.kind == CSL_MSG_TASK)
            csl_service_secagg_brief__(s, a->site_index);
        csl_service_send__(s, a->site_index, &a->message);
        break;
    case CSL_CA_DROP:
        s->config.transport->ops->drop(s->config.transport, a->conn, a->code);
        break;
    case CSL_CA_SAVE_STUDY:
        csl_service_save_study__(s);
        break;
    case CSL_CA_SAVE_MEMBER:
        csl_service_save_member__(s, a->site_index);
        break;
    case CSL_CA_SAVE_UPDATE:
        csl_service_save_update__(s, a->site_index);
        if (s->secagg != NULL)
            csl_service_secagg_held__(s, a->site_index);
        break;
    case CSL_CA_SAVE_TASK:
        csl_service_save_task__(s, a->site_index);
        break;
    case CSL_CA_GRANT_MODEL:
        csl_service_grant_model__(s, a->site_index, a->round);
        break;
    case CSL_CA_GRANT_UPDATE:
        csl_service_grant_update__(s, a->site_index, a->round);
        break;
    case CSL_CA_FOLD:
        csl_service_fold__(s, a->site_index, a->round);
        break;
    case CSL_CA_OPEN_ROUND:
        csl_service_groups_close__(s);
        csl_accumulator_reset(s->accumulator);
        csl_service_log_weights__(s, a->round);
        if (s->secagg != NULL)
            csl_service_secagg_open_round__(s, a->round);
        break;
    case CSL_CA_AGGREGATE:
        if (s->secagg != NULL)
            csl_service_secagg_close__(s);
        else
            csl_service_aggregate__(s, a->round);
        break;
    case CSL_CA_SHORT:
        csl_service_secagg_short__(s);
        break;
    case CSL_CA_SAVE_EVALUATION:
        csl_service_save_evaluation__(s, a->site_index, a->evaluation);
        break;
    case CSL_CA_JUDGE:
        csl_service_judge__(s, a->round);
        break;
    case CSL_CA_FORGET_UPDATES:
        csl_service_forget_updates__(s, a->round);
        break;
    case CSL_CA_FINISHED:
        csl_service_groups_close__(s);
        if (s->secagg != NULL)
            csl_service_secagg_end__(s);
        csl_service_release_model__(s);
        csl_service_note_end__(s, a->reason);
        s->is_finished = true;
        break;
    }
}

static struct csl_coord_out out_of(struct csl_service *s)
{
    return (struct csl_coord_out){s, emit};
}

/* --- one event --- */

static uint32_t site_of_conn(const struct csl_service *s, csl_conn conn)
{
    for (uint32_t i = 0; i < s->site_count; i++)
        if (s->conns[i] == conn)
            return i;
    return UINT32_MAX;
}

static void step(struct csl_service *s, const struct csl_coord_event *ev)
{
    struct csl_coord_out out = out_of(s);
    csl_coord_step(s->core, ev, &out);
}

static void take_secagg(struct csl_service *s, uint32_t site, const struct csl_message *m)
{
    const struct csl_coord_site *c = csl_coord_site(s->core, site);
    enum csl_code code = CSL_E_PROTO;
    if (s->secagg != NULL && c->has_greeted && c->membership == CSL_MEMBER_ACCEPTED)
        code = csl_service_secagg_part__(s, site, &m->u.secagg);
    if (code != CSL_OK)
        s->config.transport->ops->drop(s->config.transport, s->io[site].conn, code);
}

/* Decodes, checks the sequence, and lets the core answer. */
static void handle_message(struct csl_service *s, struct csl_service_event *e)
{
    uint32_t site = site_of_conn(s, e->ev.conn);
    if (site == UINT32_MAX)
        return; /* a session that was replaced */
    struct csl_site_io *io = &s->io[site];
    const char *id = csl_coord_site(s->core, site)->id;
    struct csl_message m;
    struct csl_err err;
    enum csl_code code = csl_message_decode(&m, CSL_TO_COORDINATOR, csl_msg_span(&e->bytes), &err);
    if (code == CSL_OK && m.sequence != io->sequence_in + 1) {
        code = CSL_FAIL(&err, CSL_E_PROTO, "message %llu came where %llu was due: replayed or lost",
                        (unsigned long long)m.sequence, (unsigned long long)io->sequence_in + 1);
        csl_message_release(&m);
    }
    if (code != CSL_OK) {
        csl_service_log_site__(s, site, &io->bad_messages, CSL_LOG_WARN, "site.bad_message",
                               err.msg);
        s->config.transport->ops->drop(s->config.transport, e->ev.conn, code);
        return;
    }
    io->sequence_in++;
    csl_log(CSL_LOG_DEBUG, "message.received", CSL_STR("site", id),
            CSL_STR("kind", csl_message_kind_name(m.kind)));
    e->ev.code = csl_service_take_head__(s, site, &m);
    if (m.kind == CSL_MSG_SECAGG) {
        take_secagg(s, site, &m);
    } else {
        e->ev.message = &m;
        step(s, &e->ev);
        if (m.kind == CSL_MSG_HELLO && s->secagg != NULL)
            csl_service_secagg_greet__(s, site);
    }
    csl_message_release(&m);
}

static void handle_opened(struct csl_service *s, struct csl_service_event *e)
{
    uint32_t site = csl_coord_find_site(s->core, e->site_id);
    e->ev.site_id = e->site_id;
    step(s, &e->ev); /* drops strangers and the older session first */
    if (site == UINT32_MAX)
        return;
    s->conns[site] = s->io[site].conn = e->ev.conn;
    s->io[site].sequence_in = s->io[site].sequence_out = 0;
    csl_parts_clear(&s->io[site].parts);
    csl_log(CSL_LOG_INFO, "site.connected", CSL_STR("site", e->site_id));
}

static void handle_closed(struct csl_service *s, struct csl_service_event *e)
{
    uint32_t site = site_of_conn(s, e->ev.conn);
    step(s, &e->ev);
    if (site == UINT32_MAX)
        return;
    s->conns[site] = s->io[site].conn = 0;
    csl_parts_clear(&s->io[site].parts);
    csl_log(CSL_LOG_INFO, "site.disconnected", CSL_STR("site", csl_coord_site(s->core, site)->id),
            CSL_STR("why", csl_code_text(e->ev.code)));
}

static void handle(struct csl_service *s, struct csl_service_event *e)
{
    e->ev.now_ns = s->now_ns;
    if (e->ev.kind == CSL_CE_MESSAGE)
        csl_service_give_room__(s, e->ev.conn, e->bytes.n);
    if (!s->is_finished || e->ev.kind == CSL_CE_OPENED || e->ev.kind == CSL_CE_CLOSED ||
        e->ev.kind == CSL_CE_MESSAGE) {
        switch ((int)e->ev.kind) {
        case CSL_CE_MESSAGE:
            handle_message(s, e);
            break;
        case CSL_CE_OPENED:
            handle_opened(s, e);
            break;
        case CSL_CE_CLOSED:
            handle_closed(s, e);
            break;
        default:
            step(s, &e->ev);
        }
    }
    csl_service_admit__(s);
    csl_msg_release(&e->bytes);
    csl_free(e);
}

static void tick(struct csl_service *s)
{
    if (!s->is_finished && s->now_ns >= csl_coord_wakeup_ns(s->core))
        step(s, &(struct csl_coord_event){.kind = CSL_CE_TICK, .now_ns = s->now_ns});
}

static bool has_answers(const struct csl_service *s)
{
    return (s->answer_count > 0 || s->fold_count > 0) && !s->is_finished;
}

/* Those that are there: what they lead to is answered at another time. */
static void settle(struct csl_service *s)
{
    for (uint32_t left = s->answer_count; left > 0 && !s->is_finished; left--) {
        struct csl_coord_event ev = s->answers[s->answer_first];
        s->answer_first = (s->answer_first + 1) % CSL_SERVICE_ANSWERS(s->site_count);
        s->answer_count--;
        ev.now_ns = s->now_ns;
        step(s, &ev);
        csl_service_admit__(s);
    }
}

bool csl_service_pump(struct csl_service *s, uint64_t now_ns)
{
    bool did = has_answers(s);
    s->now_ns = now_ns;
    settle(s);
    struct csl_service_event *e;
    for (uint32_t i = 0; i < CSL_SERVICE_BATCH && (e = csl_mailbox_pop(s->mailbox, 0)) != NULL;
         i++, did = true)
        handle(s, e);
    tick(s);
    csl_service_fold_pending__(s);
    if (s->secagg != NULL)
        did = csl_service_secagg_pump__(s) || did;
    csl_service_admit__(s); /* a slot may have become free by time alone */
    csl_service_write_status__(s);
    return did || has_answers(s);
}

void csl_service_wait(struct csl_service *s, uint64_t deadline_ns)
{
    struct csl_service_event *e = csl_mailbox_pop(s->mailbox, has_answers(s) ? 0 : deadline_ns);
    s->now_ns = csl_clock_monotonic_ns();
    if (e != NULL)
        handle(s, e);
    csl_service_pump(s, csl_clock_monotonic_ns());
}

void csl_service_drain(struct csl_service *s)
{
    const struct csl_message m = {.kind = CSL_MSG_DRAIN};
    for (uint32_t i = 0; i < s->site_count; i++)
        if (s->io[i].conn != 0)
            csl_service_send__(s, i, &m);
}

uint64_t csl_service_wakeup_ns(const struct csl_service *s)
{
    if (s->is_finished)
        return UINT64_MAX;
    uint64_t core = csl_coord_wakeup_ns(s->core);
    uint64_t secagg = s->secagg != NULL ? csl_service_secagg_wakeup_ns__(s) : UINT64_MAX;
    return core < secagg ? core : secagg;
}

void csl_service_abort(struct csl_service *s, const char *reason)
{
    (void)csl_service_post__(s, &(struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = reason},
                             NULL, NULL);
}

/* --- life --- */

static enum csl_code allocate(struct csl_service *s, struct csl_err *err)
{
    uint64_t parameters = s->study->schema.parameters;
    s->global = csl_alloc_array(parameters, sizeof(float));
    bool has_all = s->global != NULL;
    CSL_ASSERT(s->strategy->state_vectors <= CSL_SERVICE_STATE_MAX);
    for (uint32_t i = 0; i < s->strategy->state_vectors; i++)
        has_all = (s->state[i] = csl_alloc_array(parameters, sizeof(float))) != NULL && has_all;
    if (s->study->aggregation.averaging.kind != CSL_AVERAGING_NONE)
        has_all = (s->average = csl_alloc_array(parameters, sizeof(float))) != NULL && has_all;
    s->io = csl_alloc_array(s->site_count, sizeof(*s->io));
    s->conns = csl_alloc_array(s->site_count, sizeof(*s->conns));
    s->answers = csl_alloc_array(CSL_SERVICE_ANSWERS(s->site_count), sizeof(*s->answers));
    s->folds = csl_alloc_array(s->site_count, sizeof(*s->folds));
    s->io_buffer = csl_alloc_aligned(64, CSL_SERVICE_IO_BYTES);
    if (!has_all || s->io == NULL || s->conns == NULL || s->answers == NULL || s->folds == NULL ||
        s->io_buffer == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a model of %llu parameters and %u sites",
                        (unsigned long long)parameters, s->site_count);
    for (uint32_t i = 0; i < s->site_count; i++)
        csl_mutex_init(&s->io[i].lock);
    enum csl_code code = csl_mailbox_new(&s->mailbox, CSL_MAILBOX_EVENTS, err);
    if (code == CSL_OK)
        code = csl_accumulator_new(&s->accumulator, &s->study->schema, s->strategy->update_vectors,
                                   err);
    return code;
}

static enum csl_code check_site_count(const struct csl_service *s, struct csl_err *err)
{
    if (s->strategy->choose != NULL && s->site_count > CSL_STRATEGY_UPDATES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "strategy %s compares the updates of all sites; the roster has %u, at most "
                        "%d would be right",
                        s->strategy->name, s->site_count, CSL_STRATEGY_UPDATES_MAX);
    return CSL_OK;
}

static struct csl_strategy_config strategy_config_of(const struct csl_study *study)
{
    const struct csl_aggregation *a = &study->aggregation;
    return (struct csl_strategy_config){.server_learning_rate = a->server_learning_rate,
                                        .momentum = a->momentum,
                                        .beta1 = a->beta1,
                                        .beta2 = a->beta2,
                                        .tau = a->tau,
                                        .participation = 1,
                                        .fairness_q = a->fairness_q,
                                        .lipschitz = 1 / study->local.learning_rate,
                                        .tilt = a->tilt,
                                        .trim = a->trim,
                                        .byzantine = a->byzantine,
                                        .keep = a->keep,
                                        .mixture_rate = a->mixture_rate};
}

enum csl_code csl_service_new(struct csl_service **out, const struct csl_service_config *config,
                              struct csl_err *err)
{
    struct csl_service *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the coordinator");
    s->state_lock = -1;
    s->config = *config;
    s->config.roster = NULL; /* the core has its copy */
    if (config->state_dir != NULL) {
        if (!csl_str_copy(s->state_dir, sizeof(s->state_dir), config->state_dir)) {
            csl_free(s);
            return CSL_FAIL(err, CSL_E_LIMIT, "the path of the state folder is too long");
        }
        s->config.state_dir = s->state_dir;
    }
    s->study = config->study;
    s->seed = config->seed;
    s->strategy_config = strategy_config_of(config->study);
    csl_mutex_init(&s->lock);
    csl_mutex_init(&s->model_lock);
    struct csl_coord_config core = {.study = config->study,
                                    .roster = config->roster,
                                    .roster_count = config->roster_count,
                                    .seed = config->seed,
                                    .open_wait_ns = config->open_wait_ms * CSL_NS_PER_MS,
                                    .is_rehearsal = config->is_rehearsal};
    enum csl_code code = csl_service_stored_seed__(s, &core.seed, err);
    if (code == CSL_OK)
        code = csl_coord_new(&s->core, &core, err);
    if (code == CSL_OK) {
        s->seed = core.seed;
        s->site_count = csl_coord_site_count(s->core);
        s->strategy = csl_strategy_find(config->study->aggregation.strategy);
        code = check_site_count(s, err);
    }
    if (code == CSL_OK)
        code = allocate(s, err);
    if (code == CSL_OK)
        code = csl_service_new_mixture__(s, err);
    if (code == CSL_OK)
        code = csl_service_new_gate__(s, err);
    if (code == CSL_OK)
        code = csl_service_groups_new__(s, err);
    if (code == CSL_OK)
        code = csl_service_load__(s, err);
    if (code == CSL_OK)
        code = csl_service_open_heads__(s, err);
    if (code == CSL_OK)
        code = csl_service_open_secagg__(s, err);
    if (code == CSL_OK)
        code = csl_service_statistics_restore__(s, err);
    s->config.is_refused = NULL;
    if (code != CSL_OK) {
        csl_service_free(s);
        return code;
    }
    csl_service_listen__(s);
    *out = s;
    return CSL_OK;
}

enum csl_code csl_service_start(struct csl_service *s, uint64_t now_ns, struct csl_err *err)
{
    enum csl_code code = s->config.transport->ops->start(s->config.transport, err);
    if (code != CSL_OK)
        return code;
    s->now_ns = now_ns;
    struct csl_coord_out out = out_of(s);
    csl_coord_start(s->core, now_ns, &out);
    csl_log(CSL_LOG_INFO, "study.started", CSL_STR("study", s->study->id),
            CSL_STR("state", csl_study_state_name(csl_coord_state(s->core))),
            CSL_U64("rounds_done", csl_coord_rounds_done(s->core)));
    csl_service_write_status__(s);
    return CSL_OK;
}

void csl_service_free(struct csl_service *s)
{
    if (s == NULL)
        return;
    if (s->mailbox != NULL) {
        for (struct csl_service_event *e; (e = csl_mailbox_pop(s->mailbox, 0)) != NULL;) {
            csl_msg_release(&e->bytes);
            csl_free(e);
        }
        csl_mailbox_free(s->mailbox);
    }
    for (uint32_t i = 0; s->io != NULL && i < s->site_count; i++) {
        csl_mutex_release(&s->io[i].lock);
        csl_parts_clear(&s->io[i].parts);
    }
    for (uint32_t i = 0; i < CSL_SERVICE_STATE_MAX; i++)
        csl_free(s->state[i]);
    csl_free(s->average);
    csl_free(s->mixture);
    csl_service_free_gate__(s);
    csl_service_groups_free__(s);
    csl_free(s->answers);
    csl_free(s->folds);
    csl_free(s->io);
    csl_free(s->conns);
    csl_free(s->io_buffer);
    csl_free(s->global);
    csl_accumulator_free(s->accumulator);
    csl_blobs_free(s->spool);
    csl_service_free_secagg__(s);
    csl_heads_close(s->heads);
    csl_store_close(s->store);
    csl_coord_free(s->core);
    csl_mutex_release(&s->lock);
    csl_mutex_release(&s->model_lock);
    if (s->state_lock >= 0)
        close(s->state_lock);
    csl_free(s);
}

bool csl_service_is_finished(const struct csl_service *s)
{
    return s->is_finished;
}

enum csl_code csl_service_outcome(const struct csl_service *s, struct csl_err *err)
{
    if (s->failure.code != CSL_OK) {
        if (err != NULL)
            *err = s->failure;
        return s->failure.code;
    }
    if (csl_coord_state(s->core) == CSL_STUDY_RELEASED)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_CANCELLED, "the study is %s after %llu of %u rounds%s%s",
                    csl_study_state_name(csl_coord_state(s->core)),
                    (unsigned long long)csl_coord_rounds_done(s->core), s->study->rounds,
                    s->end_reason[0] == '\0' ? "" : ": ", s->end_reason);
}

const struct csl_coord *csl_service_core(const struct csl_service *s)
{
    return s->core;
}

const float *csl_service_parameters(const struct csl_service *s)
{
    return csl_service_vector__(s, true, 0);
}

uint64_t csl_service_seed(const struct csl_service *s)
{
    return s->seed;
}
