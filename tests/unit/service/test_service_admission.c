/* The coordinator lets only so many uploads run at once: who gets a grant, who waits, and that a
 * site that goes away gives its place to the next. Sites are raw transports, in virtual time. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/service.h"
#include "privacy/crypto/bulk_hash.h"
#include "privacy/crypto/init.h"
#include "protocol/transport/inproc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK(x)   assert_int_equal((x), CSL_OK)
#define SITES   5
#define AT_ONCE 2

static const float update[3] = {0.25F, -0.5F, 1};

struct site {
    struct csl_transport *t;
    csl_conn conn;
    uint64_t sequence;
    uint8_t study_digest[CSL_DIGEST_BYTES]; /* once accepted */
    bool has_grant, is_accepted, is_released;
    struct csl_msg_update_grant grant;
    size_t sent;
};
struct world {
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_study *study;
    struct csl_service *service;
    struct site sites[SITES];
};

static void send(struct site *s, struct csl_message *m)
{
    struct csl_msg bytes;
    struct csl_err err;
    m->sequence = ++s->sequence;
    OK(csl_message_encode(m, &bytes, &err));
    (void)s->t->ops->send(s->t, s->conn, &bytes, &err);
}

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    struct site *s = ctx;
    (void)peer;
    s->conn = c;
    s->sequence = 0;
    s->has_grant = false;
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    memcpy(m.u.hello.study_digest, s->study_digest, CSL_DIGEST_BYTES);
    send(s, &m);
}

static void accept_study(struct site *s, const struct csl_msg_study_offer *o)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    memcpy(s->study_digest, o->study_digest, CSL_DIGEST_BYTES);
    memcpy(m.u.study_answer.study_digest, o->study_digest, CSL_DIGEST_BYTES);
    m.u.study_answer.accepted = true;
    m.u.study_answer.block_count = 1;
    m.u.study_answer.blocks[0] = (struct csl_block_count){.block = 0, .patients = 1};
    send(s, &m);
}

static void answer_task(struct site *s, const struct csl_msg_task *t)
{
    struct csl_message m;
    memset(&m, 0, sizeof(m));
    if (t->type == CSL_TASK_TRAIN) {
        m.kind = CSL_MSG_UPDATE_READY;
        m.u.update_ready.round = t->round;
        m.u.update_ready.bytes_total = sizeof(update);
        csl_bulk_digest(update, sizeof(update), m.u.update_ready.digest);
        m.u.update_ready.block_count = 1;
        m.u.update_ready.blocks[0] = (struct csl_block_count){.block = 0, .patients = 1};
    } else {
        m.kind = CSL_MSG_TASK_FAILED;
        m.u.task_failed.round = t->round;
        m.u.task_failed.code = CSL_E_UNSUPPORTED;
    }
    send(s, &m);
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct site *s = ctx;
    struct csl_message m;
    struct csl_err err;
    (void)c;
    OK(csl_message_decode(&m, CSL_TO_SITE, csl_msg_span(take_m), &err));
    csl_msg_release(take_m);
    if (m.kind == CSL_MSG_STUDY_OFFER)
        accept_study(s, &m.u.study_offer);
    else if (m.kind == CSL_MSG_TASK)
        answer_task(s, &m.u.task);
    else if (m.kind == CSL_MSG_UPDATE_ACCEPTED)
        s->is_accepted = true;
    else if (m.kind == CSL_MSG_STUDY_ENDED)
        s->is_released = m.u.study_ended.released;
    else if (m.kind == CSL_MSG_UPDATE_GRANT) {
        s->has_grant = true;
        s->grant = m.u.update_grant;
    }
    csl_message_release(&m);
}

static enum csl_code source_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                 struct csl_err *err)
{
    struct site *s = self;
    (void)err;
    *n = sizeof(update) - s->sent < capacity ? sizeof(update) - s->sent : capacity;
    memcpy(buffer, (const uint8_t *)update + s->sent, *n);
    s->sent += *n;
    return CSL_OK;
}

static enum csl_code source_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    (void)self, (void)err;
    csl_bulk_digest(update, sizeof(update), out);
    return CSL_OK;
}

static void source_close(void *self)
{
    (void)self;
}

/* Everything that happens without further doing of ours, up to `seconds` of virtual time on. */
static void settle(struct world *w, uint64_t seconds)
{
    uint64_t end = csl_inproc_now_ns(w->net) + seconds * CSL_NS_PER_S;
    bool did = true;
    while (did) {
        did = csl_service_pump(w->service, csl_inproc_now_ns(w->net));
        did = csl_inproc_step(w->net, end) || did;
    }
}

static void upload(struct world *w, uint32_t site)
{
    struct site *s = &w->sites[site];
    struct csl_err err;
    assert_true(s->has_grant);
    struct csl_bulk_head head = {.bytes_total = sizeof(update), .bytes_offset = s->grant.offset};
    memcpy(head.ticket, s->grant.ticket, CSL_TICKET_BYTES);
    struct csl_bulk_source source = {s, source_read, source_digest, source_close};
    s->sent = (size_t)s->grant.offset;
    s->has_grant = false;
    OK(s->t->ops->upload(s->t, 1, &head, &source, &err));
    settle(w, 0);
}

static uint32_t granted(const struct world *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < SITES; i++)
        n += w->sites[i].has_grant;
    return n;
}

static void open_world(struct world *w, uint32_t uploads_max)
{
    static const char yaml[] =
        "study: admission\nquestion: Who may send?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
        "rounds: 1\naggregation: {strategy: fedavg}\n"
        "sites: {minimum: 5, round_deadline: 1h}\nevaluation: {every: 0}\n";
    struct csl_err err;
    char roster[SITES][CSL_ID_MAX] = {"a", "b", "c", "d", "e"};
    memset(w, 0, sizeof(*w));
    OK(csl_crypto_init(&err));
    OK(csl_study_parse(&w->study, "study.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), &err));
    assert_int_equal(w->study->schema.parameters * sizeof(float), sizeof(update));
    OK(csl_inproc_new(&w->net, &(struct csl_inproc_config){.reconnect_ns = CSL_NS_PER_S}, &err));
    OK(csl_inproc_server(w->net, &w->server, &err));
    struct csl_service_config c = {.study = w->study,
                                   .roster = (const char(*)[CSL_ID_MAX])roster,
                                   .roster_count = SITES,
                                   .seed = 1,
                                   .open_wait_ms = 1000,
                                   .uploads_max = uploads_max,
                                   .transport = w->server};
    OK(csl_service_new(&w->service, &c, &err));
    OK(csl_service_start(w->service, 0, &err));
    for (uint32_t i = 0; i < SITES; i++) {
        struct site *s = &w->sites[i];
        OK(csl_inproc_client(w->net, roster[i], &s->t, &err));
        s->t->up =
            (struct csl_transport_events){.ctx = s, .opened = on_opened, .message = on_message};
        OK(s->t->ops->start(s->t, &err));
    }
    settle(w, 0);
}

static void close_world(struct world *w)
{
    for (uint32_t i = 0; i < SITES; i++) {
        w->sites[i].t->ops->stop(w->sites[i].t, 0);
        w->sites[i].t->ops->free(w->sites[i].t);
    }
    w->server->ops->stop(w->server, 0);
    csl_service_free(w->service);
    w->server->ops->free(w->server);
    csl_inproc_free(w->net);
    csl_study_free(w->study);
}

static void test_service__no_limit__every_site_is_granted(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 0);
    assert_int_equal(granted(&w), SITES);
    for (uint32_t i = 0; i < SITES; i++)
        upload(&w, i);
    assert_true(csl_service_is_finished(w.service));
    close_world(&w);
}

static void test_service__limit_of_two__a_place_for_each_that_is_over(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, AT_ONCE);
    assert_int_equal(granted(&w), AT_ONCE);
    for (uint32_t done = 1; done <= SITES; done++) {
        uint32_t next = 0;
        while (!w.sites[next].has_grant)
            next++;
        upload(&w, next);
        assert_true(w.sites[next].is_accepted);
        uint32_t left = SITES - done;
        assert_int_equal(granted(&w), left < AT_ONCE ? left : AT_ONCE);
    }
    for (uint32_t i = 0; i < SITES; i++)
        assert_true(w.sites[i].is_released);
    close_world(&w);
}

static void test_service__granted_site_vanishes__its_place_goes_to_the_next(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, AT_ONCE);
    assert_true(w.sites[0].has_grant && w.sites[1].has_grant && !w.sites[2].has_grant);
    csl_inproc_cut(w.net, "a");
    w.sites[0].has_grant = false;
    settle(&w, 0);
    assert_true(w.sites[2].has_grant);
    settle(&w, 2); /* it is back, announced its update again, and waits */
    assert_false(w.sites[0].has_grant);
    upload(&w, 1);
    assert_true(w.sites[0].has_grant);
    upload(&w, 0);
    upload(&w, 2);
    upload(&w, 3);
    upload(&w, 4);
    assert_true(csl_service_is_finished(w.service));
    for (uint32_t i = 0; i < SITES; i++)
        assert_true(w.sites[i].is_accepted);
    close_world(&w);
}

static void test_service__waiting_site_vanishes__it_is_passed_over(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, AT_ONCE);
    csl_inproc_cut(w.net, "c");
    settle(&w, 0);
    upload(&w, 0);
    assert_true(w.sites[3].has_grant);
    settle(&w, 2);
    upload(&w, 1);
    assert_true(w.sites[2].has_grant);
    upload(&w, 2);
    upload(&w, 3);
    upload(&w, 4);
    assert_true(csl_service_is_finished(w.service));
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service__no_limit__every_site_is_granted),
        cmocka_unit_test(test_service__limit_of_two__a_place_for_each_that_is_over),
        cmocka_unit_test(test_service__granted_site_vanishes__its_place_goes_to_the_next),
        cmocka_unit_test(test_service__waiting_site_vanishes__it_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
