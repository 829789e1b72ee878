#include "tests/unit/world/rogue.h"

#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/bulk_hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PATIENTS 18 /* as many as an honest site has for training */

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static void see(struct rogue_seen *seen, enum csl_code code)
{
    if (seen->count < ROGUE_SEEN)
        seen->codes[seen->count++] = code;
}

/* --- what it says --- */

void rogue_send_bytes(struct rogue *r, const void *p, size_t n)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg bytes;
    must(csl_msg_copy(&bytes, CSL_SPAN(p, n), &err), &err);
    (void)r->transport->ops->send(r->transport, r->conn, &bytes, &err);
}

void rogue_send(struct rogue *r, const struct csl_message *m)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_message numbered = *m;
    struct csl_msg bytes;
    numbered.sequence = ++r->sequence;
    must(csl_message_encode(&numbered, &bytes, &err), &err);
    (void)r->transport->ops->send(r->transport, r->conn, &bytes, &err);
}

static void hello(struct rogue *r)
{
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    if (r->is_enrolled)
        memcpy(m.u.hello.study_digest, r->study->digest, CSL_DIGEST_BYTES);
    rogue_send(r, &m);
}

void rogue_answer(struct rogue *r)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    struct csl_msg_study_answer *a = &m.u.study_answer;
    memcpy(a->study_digest, r->study->digest, CSL_DIGEST_BYTES);
    a->accepted = true;
    a->block_count = 1;
    a->blocks[0].patients = PATIENTS;
    r->is_enrolled = true;
    rogue_send(r, &m);
}

void rogue_make_values(struct rogue *r, uint64_t round)
{
    for (uint32_t i = 0; i < r->update_count; i++)
        r->values[i] = 0.01f * (float)round * (float)(1 + i % 7);
}

struct csl_message rogue_update(const struct rogue *r)
{
    struct csl_message m = {.kind = CSL_MSG_UPDATE_READY};
    struct csl_msg_update_ready *u = &m.u.update_ready;
    u->round = r->round;
    u->bytes_total = r->update_count * sizeof(float);
    u->block_count = 1;
    u->blocks[0].patients = PATIENTS;
    u->train_loss = 0.5;
    csl_bulk_digest(r->values, r->update_count * sizeof(float), u->digest);
    return m;
}

void rogue_announce(struct rogue *r)
{
    rogue_make_values(r, r->round);
    struct csl_message m = rogue_update(r);
    rogue_send(r, &m);
}

/* --- what it uploads --- */

struct payload {
    struct rogue_upload u;
    uint8_t *bytes; /* owned copy */
    uint64_t at;
};

static enum csl_code payload_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                  struct csl_err *err)
{
    struct payload *p = self;
    uint64_t left = p->u.n - p->at;
    (void)err;
    *n = left < capacity ? (size_t)left : capacity;
    memcpy(buffer, p->bytes + p->at, *n);
    p->at += *n;
    return CSL_OK;
}

static enum csl_code payload_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    const struct payload *p = self;
    if (p->u.breaks_at_end)
        return CSL_FAIL(err, CSL_E_UNAVAIL, "the link broke");
    memcpy(out, p->u.digest, CSL_DIGEST_BYTES);
    return CSL_OK;
}

static void payload_close(void *self)
{
    struct payload *p = self;
    csl_free(p->bytes);
    csl_free(p);
}

void rogue_upload(struct rogue *r, const struct rogue_upload *u)
{
    struct csl_err err = {.code = CSL_OK};
    struct payload *p = csl_alloc(sizeof(*p));
    assert_non_null(p);
    *p = (struct payload){.u = *u, .at = u->head_offset};
    p->bytes = csl_alloc((size_t)u->n);
    assert_non_null(p->bytes);
    memcpy(p->bytes, u->bytes, (size_t)u->n);
    struct csl_bulk_head head = {.bytes_total = u->head_total, .bytes_offset = u->head_offset};
    memcpy(head.ticket, u->ticket, sizeof(head.ticket));
    struct csl_bulk_source source = {p, payload_read, payload_digest, payload_close};
    must(r->transport->ops->upload(r->transport, ++r->bulk_id, &head, &source, &err), &err);
}

struct rogue_upload rogue_upload_of(const struct rogue *r, const struct csl_message *grant)
{
    uint64_t bytes = r->update_count * sizeof(float);
    struct rogue_upload u = {.head_total = bytes,
                             .head_offset = grant->u.update_grant.offset,
                             .bytes = (const uint8_t *)r->values,
                             .n = bytes};
    memcpy(u.ticket, grant->u.update_grant.ticket, CSL_TICKET_BYTES);
    csl_bulk_digest(r->values, (size_t)bytes, u.digest);
    return u;
}

/* --- what it hears --- */

static bool strikes_now(struct rogue *r, enum rogue_when when)
{
    bool now = r->plan.strike != NULL && !r->has_struck && r->plan.when == when;
    if (now && (when == AT_TASK || when == AT_GRANT))
        now = r->round == ROGUE_ROUND;
    r->has_struck = r->has_struck || now;
    return now;
}

static bool is_silent(const struct rogue *r)
{
    return r->has_struck && r->plan.when >= AT_TASK && r->plan.after == AFTER_SILENT &&
           r->round == ROGUE_ROUND;
}

static bool is_stubborn(const struct rogue *r)
{
    return r->has_struck && r->plan.after == AFTER_STUBBORN && r->round == ROGUE_ROUND;
}

static void repeat(struct rogue *r)
{
    struct csl_message m = rogue_update(r);
    rogue_send(r, &m);
}

/* After a refusal: what it should have done, if that is the plan; once, because a second refusal
 * means that it cannot help. */
static void settle(struct rogue *r)
{
    if (!r->has_struck || r->has_settled || r->plan.after != AFTER_RETRY)
        return;
    r->has_settled = true;
    if (r->plan.when == AT_OFFER)
        rogue_answer(r);
    else if (r->plan.when != AT_OPENED) /* it says HELLO in its next session */
        rogue_announce(r);
}

static void on_task(struct rogue *r, const struct csl_message *m)
{
    r->round = m->u.task.round;
    if (m->u.task.type == CSL_TASK_EVALUATE) {
        struct csl_message failed = {.kind = CSL_MSG_TASK_FAILED};
        failed.u.task_failed.round = r->round;
        failed.u.task_failed.code = CSL_E_UNSUPPORTED;
        rogue_send(r, &failed);
    } else if (strikes_now(r, AT_TASK)) {
        r->plan.strike(r, m);
    } else if (is_stubborn(r)) {
        repeat(r);
    } else if (!is_silent(r)) {
        rogue_announce(r);
    }
}

static void on_grant(struct rogue *r, const struct csl_message *m)
{
    if (strikes_now(r, AT_GRANT)) {
        r->plan.strike(r, m);
        return;
    }
    struct rogue_upload u = rogue_upload_of(r, m);
    u.breaks_at_end = r->breaks_left > 0;
    r->breaks_left -= u.breaks_at_end;
    rogue_upload(r, &u);
}

/* It never needs the model, so it asked for this ticket to try it on an upload. */
static void on_model_grant(struct rogue *r, const struct csl_message *m)
{
    struct csl_message grant = {.kind = CSL_MSG_UPDATE_GRANT};
    memcpy(grant.u.update_grant.ticket, m->u.model_grant.ticket, CSL_TICKET_BYTES);
    struct rogue_upload u = rogue_upload_of(r, &grant);
    rogue_upload(r, &u);
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct rogue *r = ctx;
    struct csl_message m;
    struct csl_err err = {.code = CSL_OK};
    (void)c;
    must(csl_message_decode(&m, CSL_TO_SITE, csl_msg_span(take_m), &err), &err);
    switch ((int)m.kind) {
    case CSL_MSG_STUDY_OFFER:
        if (strikes_now(r, AT_OFFER))
            r->plan.strike(r, &m);
        else
            rogue_answer(r);
        break;
    case CSL_MSG_TASK:
        on_task(r, &m);
        break;
    case CSL_MSG_UPDATE_GRANT:
        on_grant(r, &m);
        break;
    case CSL_MSG_MODEL_GRANT:
        on_model_grant(r, &m);
        break;
    case CSL_MSG_REFUSED:
        see(&r->refused, m.u.refused.code);
        settle(r);
        break;
    default:
        break;
    }
    csl_message_release(&m);
    csl_msg_release(take_m);
}

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    struct rogue *r = ctx;
    (void)peer;
    r->conn = c;
    r->sequence = 0;
    if (strikes_now(r, AT_OPENED))
        r->plan.strike(r, NULL);
    else
        hello(r);
}

static void on_closed(void *ctx, csl_conn c, enum csl_code why)
{
    struct rogue *r = ctx;
    (void)c;
    see(&r->closed, why);
}

static void on_bulk_done(void *ctx, uint64_t bulk_id, enum csl_code code)
{
    struct rogue *r = ctx;
    (void)bulk_id;
    see(&r->bulk, code);
    if (is_stubborn(r) && code == CSL_E_UNAVAIL)
        repeat(r);
    /* An update with wrong contents is refused by a message, too: that one settles it. */
    if (code != CSL_OK && code != CSL_E_INVAL && code != CSL_E_CORRUPT)
        settle(r);
}

/* --- the world --- */

struct honest {
    struct csl_transport *transport;
    struct csl_agent *agent;
    struct csl_transport_events inner; /* the agent's */
    struct rogue *spy;                 /* shown this site's grants; NULL: nobody */
};
struct world {
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_service *service;
    struct honest honest[HONEST];
    struct rogue rogue;
};

static void spied_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    struct honest *h = ctx;
    h->inner.opened(h->inner.ctx, c, peer);
}

static void spied_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct honest *h = ctx;
    struct csl_message m;
    struct csl_err err = {.code = CSL_OK};
    must(csl_message_decode(&m, CSL_TO_SITE, csl_msg_span(take_m), &err), &err);
    if (m.kind == CSL_MSG_UPDATE_GRANT && m.u.update_grant.round == ROGUE_ROUND) {
        memcpy(h->spy->spied_ticket, m.u.update_grant.ticket, CSL_TICKET_BYTES);
        h->spy->has_spied = true;
        if (h->spy->is_waiting_for_spy)
            h->spy->plan.strike(h->spy, &h->spy->spied_grant);
    }
    csl_message_release(&m);
    h->inner.message(h->inner.ctx, c, take_m);
}

static void spied_closed(void *ctx, csl_conn c, enum csl_code why)
{
    struct honest *h = ctx;
    h->inner.closed(h->inner.ctx, c, why);
}

static void spied_bulk_done(void *ctx, uint64_t bulk_id, enum csl_code code)
{
    struct honest *h = ctx;
    h->inner.bulk_done(h->inner.ctx, bulk_id, code);
}

static void open_honest(struct world *w, struct fixture *f, uint32_t i)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    struct csl_err err = {.code = CSL_OK};
    struct honest *h = &w->honest[i];
    must(csl_inproc_client(w->net, f->ids[i], &h->transport, &err), &err);
    struct csl_agent_config c = {.site_id = f->ids[i],
                                 .record_path = f->records[i],
                                 .backend = "cpu-ref",
                                 .policy = &policy,
                                 .transport = h->transport};
    must(csl_agent_new(&h->agent, &c, &err), &err);
    if (i == 0) {
        h->inner = h->transport->up;
        h->spy = &w->rogue;
        h->transport->up = (struct csl_transport_events){.ctx = h,
                                                         .opened = spied_opened,
                                                         .message = spied_message,
                                                         .closed = spied_closed,
                                                         .bulk_done = spied_bulk_done};
    }
    must(csl_agent_start(h->agent, 0, &err), &err);
}

static void open_rogue(struct world *w, struct fixture *f, const struct rogue_plan *plan)
{
    struct csl_err err = {.code = CSL_OK};
    struct rogue *r = &w->rogue;
    *r = (struct rogue){.study = f->study, .plan = *plan};
    r->update_count = (uint32_t)f->study->schema.parameters;
    r->values = csl_alloc_array(r->update_count, sizeof(float));
    assert_non_null(r->values);
    must(csl_inproc_client(w->net, f->ids[HONEST], &r->transport, &err), &err);
    r->transport->up = (struct csl_transport_events){.ctx = r,
                                                     .opened = on_opened,
                                                     .message = on_message,
                                                     .closed = on_closed,
                                                     .bulk_done = on_bulk_done};
    must(r->transport->ops->start(r->transport, &err), &err);
}

static void open_world(struct world *w, struct fixture *f, const struct rogue_plan *plan)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_inproc_config net = {.seed = 1,
                                    .delay_ns = 5 * CSL_NS_PER_MS,
                                    .reconnect_ns = 100 * CSL_NS_PER_MS,
                                    .chunk_bytes = f->study->schema.parameters < 100 ? 8 : 0};
    must(csl_inproc_new(&w->net, &net, &err), &err);
    must(csl_inproc_server(w->net, &w->server, &err), &err);
    struct csl_service_config c = {.study = f->study,
                                   .roster = (const char(*)[CSL_ID_MAX])f->ids,
                                   .roster_count = FIXTURE_SITES,
                                   .seed = 7,
                                   .open_wait_ms = 60000,
                                   .transport = w->server};
    must(csl_service_new(&w->service, &c, &err), &err);
    must(csl_service_start(w->service, 0, &err), &err);
    for (uint32_t i = 0; i < HONEST; i++)
        open_honest(w, f, i);
    open_rogue(w, f, plan);
}

static void close_transport(struct csl_transport *t)
{
    t->up = (struct csl_transport_events){.ctx = NULL};
    t->ops->stop(t, 0);
    t->ops->free(t);
}

static void close_world(struct world *w)
{
    for (uint32_t i = 0; i < HONEST; i++) {
        close_transport(w->honest[i].transport);
        csl_agent_free(w->honest[i].agent);
    }
    close_transport(w->rogue.transport);
    close_transport(w->server);
    csl_service_free(w->service);
    csl_inproc_free(w->net);
    csl_free(w->rogue.values);
}

static bool run_instant(struct world *w)
{
    uint64_t now = csl_inproc_now_ns(w->net);
    bool did = false;
    while (csl_inproc_step(w->net, now))
        did = true;
    did = csl_service_pump(w->service, now) || did;
    csl_coord_check(csl_service_core(w->service));
    for (uint32_t i = 0; i < HONEST; i++) {
        did = csl_agent_pump(w->honest[i].agent, now) || did;
        csl_site_check(csl_agent_core(w->honest[i].agent));
    }
    return did;
}

static void run_to_the_end(struct world *w)
{
    for (uint32_t instants = 0; !csl_service_is_finished(w->service); instants++) {
        if (instants > 20000)
            fail_msg("the study does not end");
        if (run_instant(w))
            continue;
        uint64_t next = csl_service_wakeup_ns(w->service), other;
        for (uint32_t i = 0; i < HONEST; i++) {
            other = csl_agent_wakeup_ns(w->honest[i].agent);
            next = other < next ? other : next;
        }
        bool is_net = csl_inproc_next_ns(w->net) <= next;
        if (!is_net && next == UINT64_MAX)
            fail_msg("the study stands still");
        (void)csl_inproc_step(w->net, is_net ? UINT64_MAX : next);
    }
}

void rogue_run(struct fixture *f, const struct rogue_plan *plan, struct rogue_result *out)
{
    struct world w = {.net = NULL};
    struct csl_err err = {.code = CSL_OK};
    open_world(&w, f, plan);
    run_to_the_end(&w);
    must(csl_service_outcome(w.service, &err), &err); /* released, not aborted, not failed */
    *out = (struct rogue_result){
        .bulk = w.rogue.bulk, .refused = w.rogue.refused, .closed = w.rogue.closed};
    csl_bulk_digest(csl_service_parameters(w.service), f->study->schema.parameters * sizeof(float),
                    out->model);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        out->rounds[i] = csl_coord_site(csl_service_core(w.service), i)->rounds_contributed;
    out->membership = csl_coord_site(csl_service_core(w.service), HONEST)->membership;
    close_world(&w);
}
