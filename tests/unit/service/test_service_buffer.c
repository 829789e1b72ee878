/* What a service makes of updates of several models: the sum that the algorithm says, and models
 * before the newest for sites that are busy with them. Sites are raw transports, in virtual time.
 */
#include "base/clock.h"
#include "base/str.h"
#include "coordinator/service.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/sha256.h"
#include "protocol/transport/inproc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(x)      assert_int_equal((x), CSL_OK)
#define SITES      3
#define PARAMETERS 3
#define BYTES      (PARAMETERS * sizeof(float))
#define RATE       0.5

struct site {
    struct csl_transport *t;
    csl_conn conn;
    uint64_t sequence, patients;
    float update[PARAMETERS], model[PARAMETERS];
    struct csl_msg_task task;
    uint8_t ticket[CSL_TICKET_BYTES], model_digest[CSL_DIGEST_BYTES];
    bool has_grant;
    size_t sent, got;
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
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    send(s, &m);
}

static void accept_study(struct site *s, const struct csl_msg_study_offer *o)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    memcpy(m.u.study_answer.study_digest, o->study_digest, CSL_DIGEST_BYTES);
    m.u.study_answer.accepted = true;
    m.u.study_answer.block_count = 1;
    m.u.study_answer.blocks[0] = (struct csl_block_count){.block = 0, .patients = s->patients};
    send(s, &m);
}

static void take_task(struct site *s, const struct csl_msg_task *t)
{
    s->task = *t;
    if (t->type == CSL_TASK_TRAIN)
        return;
    struct csl_message m = {.kind = CSL_MSG_TASK_FAILED};
    m.u.task_failed.round = t->round;
    m.u.task_failed.code = CSL_E_UNSUPPORTED;
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
        take_task(s, &m.u.task);
    s->has_grant = m.kind == CSL_MSG_UPDATE_GRANT || m.kind == CSL_MSG_MODEL_GRANT;
    if (m.kind == CSL_MSG_UPDATE_GRANT)
        memcpy(s->ticket, m.u.update_grant.ticket, CSL_TICKET_BYTES);
    else if (m.kind == CSL_MSG_MODEL_GRANT)
        memcpy(s->ticket, m.u.model_grant.ticket, CSL_TICKET_BYTES);
    csl_message_release(&m);
}

static enum csl_code source_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                 struct csl_err *err)
{
    struct site *s = self;
    (void)err;
    *n = BYTES - s->sent < capacity ? BYTES - s->sent : capacity;
    memcpy(buffer, (const uint8_t *)s->update + s->sent, *n);
    s->sent += *n;
    return CSL_OK;
}

static enum csl_code source_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    const struct site *s = self;
    (void)err;
    csl_sha256_digest(s->update, BYTES, out);
    return CSL_OK;
}

static void source_close(void *self)
{
    (void)self;
}

static enum csl_code sink_write(void *self, struct csl_span span, struct csl_err *err)
{
    struct site *s = self;
    (void)err;
    assert_true(span.n <= BYTES - s->got);
    memcpy((uint8_t *)s->model + s->got, span.p, span.n);
    s->got += span.n;
    return CSL_OK;
}

static enum csl_code sink_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct site *s = self;
    (void)err;
    memcpy(s->model_digest, digest, CSL_DIGEST_BYTES);
    return CSL_OK;
}

static void sink_abandon(void *self, enum csl_code why)
{
    (void)self;
    fail_msg("a download broke: %s", csl_code_text(why));
}

static void settle(struct world *w)
{
    uint64_t end = csl_inproc_now_ns(w->net) + 2 * CSL_NS_PER_S;
    bool did = true;
    while (did) {
        did = csl_service_pump(w->service, csl_inproc_now_ns(w->net));
        did = csl_inproc_step(w->net, end) || did;
    }
}

/* The update of the task that the site has. */
static void deliver(struct world *w, uint32_t site)
{
    struct site *s = &w->sites[site];
    struct csl_err err;
    struct csl_message m = {.kind = CSL_MSG_UPDATE_READY};
    struct csl_msg_update_ready *u = &m.u.update_ready;
    u->round = s->task.round;
    u->bytes_total = BYTES;
    csl_sha256_digest(s->update, BYTES, u->digest);
    u->block_count = 1;
    u->blocks[0] = (struct csl_block_count){.block = 0, .patients = s->patients};
    send(s, &m);
    settle(w);
    assert_true(s->has_grant);
    struct csl_bulk_head head = {.bytes_total = BYTES};
    memcpy(head.ticket, s->ticket, CSL_TICKET_BYTES);
    struct csl_bulk_source source = {s, source_read, source_digest, source_close};
    s->sent = 0;
    OK(s->t->ops->upload(s->t, 1, &head, &source, &err));
    settle(w);
}

static void ask_for_model(struct world *w, uint32_t site, uint64_t version)
{
    struct csl_message m = {.kind = CSL_MSG_MODEL_REQUEST};
    m.u.model_request.round = version;
    w->sites[site].has_grant = false;
    send(&w->sites[site], &m);
    settle(w);
}

static void download(struct world *w, uint32_t site)
{
    struct site *s = &w->sites[site];
    struct csl_err err;
    assert_true(s->has_grant);
    struct csl_bulk_head head = {.bytes_total = BYTES};
    memcpy(head.ticket, s->ticket, CSL_TICKET_BYTES);
    struct csl_bulk_sink sink = {s, sink_write, sink_finish, sink_abandon};
    s->got = 0;
    OK(s->t->ops->download(s->t, 2, &head, &sink, &err));
    settle(w);
    assert_int_equal(s->got, BYTES);
    assert_memory_equal(s->model_digest, s->task.model_digest, CSL_DIGEST_BYTES);
}

/* state_dir NULL: the spool is in memory. */
static void open_world(struct world *w, const char *state_dir)
{
    static const char yaml[] =
        "study: buffers\nquestion: What is the sum?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
        "rounds: 3\naggregation: {strategy: fedbuff, server_learning_rate: 0.5,\n"
        "  buffer: {updates: 2, staleness_max: 5}}\n"
        "sites: {minimum: 2, round_deadline: 1h}\nevaluation: {every: 0}\n";
    struct csl_err err;
    char roster[SITES][CSL_ID_MAX] = {"a", "b", "c"};
    memset(w, 0, sizeof(*w));
    OK(csl_crypto_init(&err));
    OK(csl_study_parse(&w->study, "study.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), &err));
    assert_int_equal(w->study->schema.parameters, PARAMETERS);
    OK(csl_inproc_new(&w->net, &(struct csl_inproc_config){.reconnect_ns = CSL_NS_PER_S}, &err));
    OK(csl_inproc_server(w->net, &w->server, &err));
    struct csl_service_config c = {.study = w->study,
                                   .roster = (const char(*)[CSL_ID_MAX])roster,
                                   .roster_count = SITES,
                                   .state_dir = state_dir,
                                   .seed = 1,
                                   .open_wait_ms = 1000,
                                   .transport = w->server};
    OK(csl_service_new(&w->service, &c, &err));
    OK(csl_service_start(w->service, 0, &err));
    for (uint32_t i = 0; i < SITES; i++) {
        struct site *s = &w->sites[i];
        s->patients = UINT64_C(1) << i;
        for (uint32_t k = 0; k < PARAMETERS; k++)
            s->update[k] = 0.25F * (float)(i + 1) * (k == 1 ? -1.0F : 1.0F + (float)k);
        OK(csl_inproc_client(w->net, roster[i], &s->t, &err));
        s->t->up =
            (struct csl_transport_events){.ctx = s, .opened = on_opened, .message = on_message};
        OK(s->t->ops->start(s->t, &err));
    }
    settle(w);
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

static void check_run(const char *state_dir)
{
    struct world w;
    float first[PARAMETERS];
    open_world(&w, state_dir);
    const float *now = csl_service_parameters(w.service);
    memcpy(first, now, BYTES);
    ask_for_model(&w, 2, 0); /* granted, and not fetched yet when two rounds close */
    double expected[PARAMETERS];
    for (uint32_t k = 0; k < PARAMETERS; k++)
        expected[k] = (double)first[k];
    for (int round = 1; round <= 2; round++) {
        deliver(&w, 0);
        deliver(&w, 1);
        assert_int_equal(csl_coord_rounds_done(csl_service_core(w.service)), round);
        for (uint32_t k = 0; k < PARAMETERS; k++) /* 1 and 2 patients */
            expected[k] +=
                RATE * ((double)w.sites[0].update[k] + 2 * (double)w.sites[1].update[k]) / 3;
    }
    for (uint32_t k = 0; k < PARAMETERS; k++)
        assert_true(fabs((double)now[k] - expected[k]) < 1e-6);
    assert_int_equal(w.sites[2].task.round, 1);
    download(&w, 2);
    assert_memory_equal(w.sites[2].model, first, BYTES);
    deliver(&w, 2); /* 4 patients, of a model two rounds old */
    deliver(&w, 0);
    assert_true(csl_service_is_finished(w.service));
    for (uint32_t k = 0; k < PARAMETERS; k++) {
        expected[k] +=
            RATE * ((double)w.sites[0].update[k] + 4 / sqrt(3) * (double)w.sites[2].update[k]) / 5;
        assert_true(fabs((double)now[k] - expected[k]) < 1e-6);
    }
    close_world(&w);
}

static void test_service_buffer__updates_of_several_models__sum_of_the_algorithm(void **state)
{
    char dir[] = "/tmp/csl-buffer-XXXXXX", command[64];
    (void)state;
    check_run(NULL);
    assert_non_null(mkdtemp(dir));
    check_run(dir);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service_buffer__updates_of_several_models__sum_of_the_algorithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
