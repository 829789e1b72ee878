/* Updates that are due at the same time are folded in one pass, on several threads when they are
 * large: the model is, to the bit, the one of updates folded one by one on one thread. Sites are
 * raw transports, in virtual time. */
#include "base/clock.h"
#include "base/file.h"
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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(x)        assert_int_equal((x), CSL_OK)
#define SITES        3
#define UPDATE_BYTES (PARAMETERS * sizeof(float))
#define PARAMETERS   (UINT64_C(1026) * 1500 + 1) /* 6 MB: three are worth threads */

struct site {
    struct csl_transport *t;
    csl_conn conn;
    uint64_t sequence, patients;
    float *update; /* [PARAMETERS] */
    bool has_grant;
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

static void answer_task(struct site *s, const struct csl_msg_task *t)
{
    struct csl_message m;
    memset(&m, 0, sizeof(m));
    if (t->type == CSL_TASK_TRAIN) {
        m.kind = CSL_MSG_UPDATE_READY;
        m.u.update_ready.round = t->round;
        m.u.update_ready.bytes_total = UPDATE_BYTES;
        csl_bulk_digest(s->update, UPDATE_BYTES, m.u.update_ready.digest);
        m.u.update_ready.block_count = 1;
        m.u.update_ready.blocks[0] = (struct csl_block_count){.block = 0, .patients = s->patients};
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
    *n = UPDATE_BYTES - s->sent < capacity ? UPDATE_BYTES - s->sent : capacity;
    memcpy(buffer, (const uint8_t *)s->update + s->sent, *n);
    s->sent += *n;
    return CSL_OK;
}

static enum csl_code source_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    const struct site *s = self;
    (void)err;
    csl_bulk_digest(s->update, UPDATE_BYTES, out);
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
    struct csl_bulk_head head = {.bytes_total = UPDATE_BYTES, .bytes_offset = s->grant.offset};
    memcpy(head.ticket, s->grant.ticket, CSL_TICKET_BYTES);
    struct csl_bulk_source source = {s, source_read, source_digest, source_close};
    s->sent = (size_t)s->grant.offset;
    s->has_grant = false;
    OK(s->t->ops->upload(s->t, 1, &head, &source, &err));
}

/* Values of every size and sign, other ones at every site. */
static void make_update(struct site *s, uint32_t seed)
{
    s->update = csl_alloc_array(PARAMETERS, sizeof(float));
    assert_non_null(s->update);
    for (uint32_t i = 0; i < PARAMETERS; i++)
        s->update[i] = (float)((i + seed) * UINT32_C(2654435761)) * 0x1p-31F - 1;
}

/* state_dir NULL: blobs are in memory, which is of one thread. */
static void open_world(struct world *w, const char *state_dir)
{
    static const char yaml[] =
        "study: folds\nquestion: What is the sum?\n"
        "domains:\n  - id: trace\n    modality: signal\n"
        "    task: {kind: binary, label: ill, positive: 1}\n    shape: [1024, 1]\n"
        "    model: {kind: mlp, hidden: [1500]}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
        "rounds: 1\naggregation: {strategy: fedavg}\n"
        "sites: {minimum: 3, round_deadline: 1h}\nevaluation: {every: 0}\n";
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
        s->patients = i + 1;
        make_update(s, i);
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
        csl_free(w->sites[i].update);
    }
    w->server->ops->stop(w->server, 0);
    csl_service_free(w->service);
    w->server->ops->free(w->server);
    csl_inproc_free(w->net);
    csl_study_free(w->study);
}

/* The service sees none of the updates before all of them are there. */
static void run_together(struct world *w)
{
    for (uint32_t i = 0; i < SITES; i++)
        upload(w, i);
    while (csl_inproc_step(w->net, csl_inproc_now_ns(w->net)))
        ;
    settle(w, 0);
    assert_true(csl_service_is_finished(w->service));
}

static void run_one_by_one(struct world *w)
{
    for (uint32_t i = SITES; i-- > 0;) {
        upload(w, i);
        settle(w, 0);
    }
    assert_true(csl_service_is_finished(w->service));
}

static void remove_state(const char *dir)
{
    char command[CSL_PATH_MAX + 16];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void test_service__updates_folded_together__model_of_one_by_one(void **state)
{
    (void)state;
    struct world calm, busy;
    char dir[] = "/tmp/csl-fold-XXXXXX";
    assert_non_null(mkdtemp(dir));
    open_world(&calm, NULL);
    float first = csl_service_parameters(calm.service)[PARAMETERS - 2];
    run_one_by_one(&calm);
    assert_true(csl_service_parameters(calm.service)[PARAMETERS - 2] != first);
    open_world(&busy, dir);
    run_together(&busy);
    assert_memory_equal(csl_service_parameters(calm.service), csl_service_parameters(busy.service),
                        UPDATE_BYTES);
    close_world(&calm);
    close_world(&busy);
    remove_state(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service__updates_folded_together__model_of_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
