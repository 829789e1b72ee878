/* In a study with privacy the coordinator asks for no update whose charge is not in a head of the
 * site's ledger that it has countersigned. Sites are raw transports with real ledgers, in virtual
 * time. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/service.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/sha256.h"
#include "privacy/ledger/ledger.h"
#include "protocol/transport/inproc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK(x)  assert_int_equal((x), CSL_OK)
#define SITES  3 /* the last one misbehaves, in the last round */
#define LIAR   2
#define ROUNDS 2

static const float update[3] = {0.25F, -0.5F, 1};

enum lie { NONE, NO_HEAD, NO_PROOF, OTHER_HISTORY, OTHER_KEY };

struct site {
    struct csl_transport *t;
    csl_conn conn;
    uint64_t sequence, held_size;
    struct csl_ledger *ledger, *forged;
    enum lie lie;
    struct csl_msg_update_grant grant;
    size_t sent;
    uint32_t grants, countersigned;
    enum csl_code refused;
    bool is_released;
};
struct world {
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_study *study;
    struct csl_service *service;
    struct site sites[SITES];
};

static uint64_t wall_s(void *ctx)
{
    (void)ctx;
    return 1000000000;
}

static enum csl_code no_price(const struct csl_dp_event *events, size_t count, double delta,
                              double *epsilon, struct csl_err *err)
{
    (void)events, (void)count, (void)delta, (void)epsilon;
    return CSL_FAIL(err, CSL_E_BUG, "nothing is priced here");
}

/* Any entry will do: it makes the ledger longer. `salt` tells histories apart. */
static void grow(struct csl_ledger *l, uint8_t salt)
{
    struct csl_err err;
    uint8_t digest[CSL_DIGEST_BYTES] = {salt};
    OK(csl_ledger_withdraw(l, "ward", digest, 0, &err));
}

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
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    (void)peer;
    s->conn = c;
    s->sequence = 0;
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    send(s, &m);
}

static void accept_study(struct site *s, const struct csl_msg_study_offer *o)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    memcpy(m.u.study_answer.study_digest, o->study_digest, CSL_DIGEST_BYTES);
    m.u.study_answer.accepted = true;
    m.u.study_answer.block_count = 1;
    m.u.study_answer.blocks[0] = (struct csl_block_count){.block = 0, .patients = 1};
    send(s, &m);
}

static void put_head(struct site *s, struct csl_ledger *l, struct csl_msg_update_ready *u)
{
    struct csl_checkpoint head;
    struct csl_err err;
    size_t count = 0;
    csl_ledger_head(l, &head);
    csl_checkpoint_write(&head, csl_ledger_public_key(l), u->ledger_head);
    memcpy(u->ledger_key, csl_ledger_public_key(l), CSL_LEDGER_KEY_BYTES);
    OK(csl_ledger_prove_consistency(l, s->held_size, head.size, u->ledger_proof, &count, &err));
    u->ledger_proof_count = (uint32_t)count;
    s->held_size = head.size;
}

static void announce(struct site *s, uint64_t round)
{
    struct csl_message m;
    memset(&m, 0, sizeof(m));
    struct csl_msg_update_ready *u = &m.u.update_ready;
    enum lie lie = round == ROUNDS ? s->lie : NONE;
    m.kind = CSL_MSG_UPDATE_READY;
    u->round = round;
    u->bytes_total = sizeof(update);
    csl_sha256_digest(update, sizeof(update), u->digest);
    u->block_count = 1;
    u->blocks[0] = (struct csl_block_count){.block = 0, .patients = 1};
    grow(s->ledger, (uint8_t)round);
    if (lie != NO_HEAD)
        put_head(s, lie == OTHER_KEY ? s->forged : s->ledger, u);
    if (lie == NO_PROOF)
        u->ledger_proof_count = 0;
    if (lie == OTHER_HISTORY)
        u->ledger_proof[0][0] ^= 1;
    send(s, &m);
}

static void answer_task(struct site *s, const struct csl_msg_task *t)
{
    struct csl_message m = {.kind = CSL_MSG_TASK_FAILED};
    if (t->type == CSL_TASK_TRAIN) {
        announce(s, t->round);
        return;
    }
    m.u.task_failed.round = t->round;
    m.u.task_failed.code = CSL_E_UNSUPPORTED;
    send(s, &m);
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
    csl_sha256_digest(update, sizeof(update), out);
    return CSL_OK;
}

static void source_close(void *self)
{
    (void)self;
}

static void upload(struct site *s)
{
    struct csl_err err;
    struct csl_bulk_head head = {.bytes_total = sizeof(update), .bytes_offset = s->grant.offset};
    memcpy(head.ticket, s->grant.ticket, CSL_TICKET_BYTES);
    struct csl_bulk_source source = {s, source_read, source_digest, source_close};
    s->sent = (size_t)s->grant.offset;
    OK(s->t->ops->upload(s->t, 1, &head, &source, &err));
}

static void take_countersignature(struct site *s, const struct csl_msg_update_accepted *a)
{
    struct csl_checkpoint head;
    csl_ledger_head(s->ledger, &head);
    s->countersigned +=
        csl_checkpoint_verify_countersignature(&head, a->ledger_key, a->countersignature);
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
        take_countersignature(s, &m.u.update_accepted);
    else if (m.kind == CSL_MSG_REFUSED)
        s->refused = m.u.refused.code;
    else if (m.kind == CSL_MSG_STUDY_ENDED)
        s->is_released = m.u.study_ended.released;
    else if (m.kind == CSL_MSG_UPDATE_GRANT) {
        s->grants++;
        s->grant = m.u.update_grant;
        upload(s);
    }
    csl_message_release(&m);
}

static void open_site(struct world *w, uint32_t i, const char *id, enum lie lie)
{
    struct site *s = &w->sites[i];
    struct csl_err err;
    struct csl_ledger_config c = {.site = id, .price = no_price, .now_s = wall_s};
    OK(csl_ledger_open(&s->ledger, &c, &err));
    OK(csl_ledger_open(&s->forged, &c, &err));
    for (uint8_t k = 0; k < 40; k++) /* long enough for any head of the other to lie behind it */
        grow(s->forged, k);
    s->lie = i == LIAR ? lie : NONE;
    OK(csl_inproc_client(w->net, id, &s->t, &err));
    s->t->up = (struct csl_transport_events){.ctx = s, .opened = on_opened, .message = on_message};
    OK(s->t->ops->start(s->t, &err));
}

static void run(struct world *w, enum lie lie)
{
    static const char yaml[] =
        "study: heads\nquestion: Whose charge is it?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
        "rounds: 2\naggregation: {strategy: fedavg}\n"
        "sites: {minimum: 2, round_deadline: 1h}\nevaluation: {every: 0}\n"
        "privacy: {mode: local, epsilon: 2, delta: 0.01, clip: 1}\n";
    char roster[SITES][CSL_ID_MAX] = {"a", "b", "c"};
    struct csl_err err;
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
                                   .transport = w->server};
    OK(csl_service_new(&w->service, &c, &err));
    OK(csl_service_start(w->service, 0, &err));
    for (uint32_t i = 0; i < SITES; i++)
        open_site(w, i, roster[i], lie);
    bool did = true;
    while (did) {
        did = csl_service_pump(w->service, csl_inproc_now_ns(w->net));
        did = csl_inproc_step(w->net, CSL_NS_PER_S) || did;
    }
    assert_true(csl_service_is_finished(w->service));
}

static void close_world(struct world *w)
{
    for (uint32_t i = 0; i < SITES; i++) {
        w->sites[i].t->ops->stop(w->sites[i].t, 0);
        w->sites[i].t->ops->free(w->sites[i].t);
        csl_ledger_close(w->sites[i].ledger);
        csl_ledger_close(w->sites[i].forged);
    }
    w->server->ops->stop(w->server, 0);
    csl_service_free(w->service);
    w->server->ops->free(w->server);
    csl_inproc_free(w->net);
    csl_study_free(w->study);
}

static uint64_t contributed(const struct world *w, uint32_t site)
{
    return csl_coord_site(csl_service_core(w->service), site)->rounds_contributed;
}

static void test_service_heads__every_charge_vouched_for__every_round_counts(void **state)
{
    struct world w;
    (void)state;
    run(&w, NONE);
    for (uint32_t i = 0; i < SITES; i++) {
        assert_int_equal(contributed(&w, i), ROUNDS);
        assert_int_equal(w.sites[i].countersigned, ROUNDS);
        assert_int_equal(w.sites[i].refused, CSL_OK);
        assert_true(w.sites[i].is_released);
    }
    close_world(&w);
}

static void check_lie(enum lie lie, enum csl_code expected)
{
    struct world w;
    run(&w, lie);
    assert_int_equal(w.sites[LIAR].refused, expected);
    assert_int_equal(w.sites[LIAR].grants, ROUNDS - 1); /* not one byte was asked for */
    assert_int_equal(w.sites[LIAR].countersigned, ROUNDS - 1);
    assert_int_equal(contributed(&w, LIAR), ROUNDS - 1);
    for (uint32_t i = 0; i < LIAR; i++) { /* the others go on without it */
        assert_int_equal(contributed(&w, i), ROUNDS);
        assert_true(w.sites[i].is_released);
    }
    close_world(&w);
}

static void test_service_heads__update_without_a_head__refused(void **state)
{
    (void)state;
    check_lie(NO_HEAD, CSL_E_CRYPTO);
}

static void test_service_heads__head_that_is_not_proven_to_continue__refused(void **state)
{
    (void)state;
    check_lie(NO_PROOF, CSL_E_STATE);
    check_lie(OTHER_HISTORY, CSL_E_STATE);
}

static void test_service_heads__ledger_of_another_key__refused(void **state)
{
    (void)state;
    check_lie(OTHER_KEY, CSL_E_CRYPTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service_heads__every_charge_vouched_for__every_round_counts),
        cmocka_unit_test(test_service_heads__update_without_a_head__refused),
        cmocka_unit_test(test_service_heads__head_that_is_not_proven_to_continue__refused),
        cmocka_unit_test(test_service_heads__ledger_of_another_key__refused),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
