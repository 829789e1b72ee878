/* The site's core before a coordinator that says random but well-typed things, and an agent that
 * answers every action once, later, in any order: no assertion, no broken invariant, and nothing
 * that may not leave the site leaves it. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "site-agent/core/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define RUNS   400
#define EVENTS 600
#define ROUNDS 4

static struct csl_rng rng;
static struct {
    struct csl_site s;
    struct csl_site_out out;
    uint64_t now_ns;
    csl_conn conn; /* 0: none */
    csl_conn last_conn;
    bool is_ended;
    /* what the agent owes an answer to */
    bool owes_decision, owes_fetch, owes_work, owes_upload, is_cancelled;
    uint8_t offered[CSL_DIGEST_BYTES];
    struct csl_msg_task fetch, work;
    uint64_t upload_round;
    /* what was made durable, and for which study */
    uint8_t accepted[CSL_DIGEST_BYTES];
    struct csl_outbox durable;
    uint32_t updates, evaluations, uploads;
} a;

static uint32_t below(uint32_t n)
{
    return (uint32_t)csl_rng_below(&rng, n);
}

static bool is_zero(const uint8_t digest[CSL_DIGEST_BYTES])
{
    static const uint8_t none[CSL_DIGEST_BYTES];
    return memcmp(digest, none, sizeof(none)) == 0;
}

static void on_send(const struct csl_message *m)
{
    switch ((int)m->kind) {
    case CSL_MSG_UPDATE_READY: /* (S2, S3) */
        assert_false(is_zero(a.accepted));
        assert_int_equal(m->u.update_ready.round, a.durable.round);
        assert_memory_equal(m->u.update_ready.digest, a.durable.digest, CSL_DIGEST_BYTES);
        assert_memory_equal(a.durable.model_digest, a.s.task.model_digest, CSL_DIGEST_BYTES);
        a.updates++;
        break;
    case CSL_MSG_EVALUATION:
        assert_int_equal(m->u.evaluation.round, a.s.task.round);
        a.evaluations++;
        break;
    case CSL_MSG_MODEL_REQUEST:
    case CSL_MSG_TASK_FAILED:
        assert_false(is_zero(a.accepted)); /* (S4) */
        break;
    default:
        break;
    }
}

static void emit(void *ctx, const struct csl_site_action *action)
{
    (void)ctx;
    switch (action->kind) {
    case CSL_SA_SEND:
        assert_true(a.conn != 0 && action->conn == a.conn);
        assert_false(a.is_ended);
        on_send(&action->message);
        break;
    case CSL_SA_CONSIDER: /* as the agent: not while something runs */
        if (a.owes_work)
            a.is_cancelled = true;
        else
            a.owes_decision = true;
        memcpy(a.offered, action->offer->study_digest, CSL_DIGEST_BYTES);
        break;
    case CSL_SA_FETCH:
        assert_false(a.owes_fetch || is_zero(a.accepted));
        a.owes_fetch = true;
        a.fetch = action->task;
        break;
    case CSL_SA_TRAIN:
    case CSL_SA_EVALUATE:
        assert_false(a.owes_work || is_zero(a.accepted)); /* (S1, S4) */
        assert_memory_equal(action->task.model_digest, a.s.model_digest, CSL_DIGEST_BYTES);
        a.owes_work = true;
        a.is_cancelled = false;
        a.work = action->task;
        break;
    case CSL_SA_CANCEL:
        assert_true(a.owes_work);
        a.is_cancelled = true;
        break;
    case CSL_SA_UPLOAD:
        assert_false(a.owes_upload);
        assert_true(action->offset <= a.durable.bytes_total);
        a.owes_upload = true;
        a.upload_round = a.durable.round;
        a.uploads++;
        break;
    case CSL_SA_FINISHED:
        a.is_ended = true;
        break;
    case CSL_SA_DROP:
        break;
    }
}

static void step(struct csl_site_event ev)
{
    ev.now_ns = a.now_ns;
    csl_site_step(&a.s, &ev, &a.out);
    csl_site_check(&a.s);
}

static void random_digest(uint8_t out[CSL_DIGEST_BYTES], uint32_t kinds)
{
    memset(out, 0, CSL_DIGEST_BYTES);
    out[0] = (uint8_t)below(kinds);
}

/* --- the agent --- */

static void answer_decision(void)
{
    struct csl_msg_study_answer answer = {.accepted = below(8) != 0};
    a.owes_decision = false;
    memcpy(answer.study_digest, a.offered, CSL_DIGEST_BYTES);
    if (answer.accepted) {
        if (memcmp(a.accepted, a.offered, CSL_DIGEST_BYTES) != 0)
            a.durable = (struct csl_outbox){.round = 0};
        memcpy(a.accepted, a.offered, CSL_DIGEST_BYTES);
    }
    step((struct csl_site_event){.kind = CSL_SE_DECIDED, .answer = &answer});
}

static void answer_fetch(void)
{
    enum csl_code code = below(4) == 0 ? CSL_E_UNAVAIL : CSL_OK;
    a.owes_fetch = false;
    step((struct csl_site_event){
        .kind = CSL_SE_FETCHED, .digest = a.fetch.model_digest, .code = code});
}

static void answer_work(void)
{
    bool trains = a.work.type == CSL_TASK_TRAIN;
    enum csl_code code = below(8) == 0                     ? CSL_E_NOMEM
                         : a.is_cancelled && below(2) == 0 ? CSL_E_CANCELLED
                                                           : CSL_OK;
    struct csl_outbox o = {.round = a.work.round, .bytes_total = 12};
    struct csl_msg_evaluation e = {.round = a.work.round};
    o.digest[0] = (uint8_t)below(250);
    memcpy(o.model_digest, a.work.model_digest, CSL_DIGEST_BYTES);
    a.owes_work = false;
    if (trains && code == CSL_OK)
        a.durable = o;
    step((struct csl_site_event){.kind = trains ? CSL_SE_TRAINED : CSL_SE_EVALUATED,
                                 .round = a.work.round,
                                 .code = code,
                                 .outbox = &o,
                                 .evaluation = &e});
}

static void answer_upload(void)
{
    a.owes_upload = false;
    step((struct csl_site_event){.kind = CSL_SE_UPLOADED,
                                 .round = a.upload_round,
                                 .code = below(4) == 0 ? CSL_E_UNAVAIL : CSL_OK});
}

static void agent_event(void)
{
    switch (below(4)) {
    case 0:
        if (a.owes_decision)
            answer_decision();
        break;
    case 1:
        if (a.owes_fetch)
            answer_fetch();
        break;
    case 2:
        if (a.owes_work)
            answer_work();
        break;
    default:
        if (a.owes_upload)
            answer_upload();
    }
}

/* --- the coordinator --- */

static struct csl_message random_message(void)
{
    static const enum csl_message_kind kinds[] = {
        CSL_MSG_STUDY_OFFER,  CSL_MSG_TASK,
        CSL_MSG_TASK,         CSL_MSG_MODEL_GRANT,
        CSL_MSG_MODEL_GRANT,  CSL_MSG_UPDATE_GRANT,
        CSL_MSG_UPDATE_GRANT, CSL_MSG_UPDATE_ACCEPTED,
        CSL_MSG_REFUSED,      CSL_MSG_EVALUATION_ACCEPTED,
        CSL_MSG_PONG,         CSL_MSG_DRAIN,
    };
    struct csl_message m = {.kind = kinds[below(sizeof(kinds) / sizeof(kinds[0]))]};
    if (below(2) == 0) /* what a coordinator would say, else nothing ever gets far */
        m.kind = a.s.state == CSL_SITE_FETCHING     ? CSL_MSG_MODEL_GRANT
                 : a.s.state == CSL_SITE_DELIVERING ? CSL_MSG_UPDATE_GRANT
                 : a.s.state == CSL_SITE_WAITING    ? CSL_MSG_TASK
                 : is_zero(a.accepted)              ? CSL_MSG_STUDY_OFFER
                                                    : CSL_MSG_PONG;
    uint64_t round = 1 + below(ROUNDS);
    switch ((int)m.kind) {
    case CSL_MSG_STUDY_OFFER:
        m.u.study_offer.study_digest[0] = (uint8_t)(1 + below(2)); /* no digest is all zero */
        break;
    case CSL_MSG_TASK:
        m.u.task.type = below(3) == 0 ? CSL_TASK_EVALUATE : CSL_TASK_TRAIN;
        m.u.task.round = m.u.task.type == CSL_TASK_EVALUATE ? round - 1 : round;
        random_digest(m.u.task.model_digest, 4);
        break;
    case CSL_MSG_MODEL_GRANT:
        m.u.model_grant.round =
            below(4) == 0 ? round : csl_task_model_version(&a.s.task); /* mostly what it asked */
        break;
    case CSL_MSG_UPDATE_GRANT:
        m.u.update_grant.round = below(4) == 0 ? round : a.s.outbox.round;
        m.u.update_grant.offset = below(5) * 4; /* 16 is beyond the end */
        break;
    case CSL_MSG_UPDATE_ACCEPTED:
        m.u.update_accepted.round = round;
        break;
    case CSL_MSG_EVALUATION_ACCEPTED:
        m.u.evaluation_accepted.round = round;
        break;
    case CSL_MSG_REFUSED:
        m.u.refused.code = CSL_E_INVAL;
        break;
    default:
        break;
    }
    if (below(600) == 0) {
        m = (struct csl_message){.kind = CSL_MSG_STUDY_ENDED};
        m.u.study_ended.released = true;
    }
    return m;
}

static void random_event(void)
{
    struct csl_message m;
    uint32_t what = below(20);
    if (what == 0) {
        a.now_ns += below(2) * UINT64_C(2000000000);
        step((struct csl_site_event){.kind = CSL_SE_TICK});
    } else if (what == 1 && a.conn != 0) {
        csl_conn conn = a.conn;
        a.conn = 0;
        step((struct csl_site_event){.kind = CSL_SE_CLOSED, .conn = conn});
    } else if (what < 4 && a.conn == 0) {
        a.conn = ++a.last_conn;
        step((struct csl_site_event){.kind = CSL_SE_OPENED, .conn = a.conn});
    } else if (what < 10 && a.conn != 0) {
        m = random_message();
        step((struct csl_site_event){.kind = CSL_SE_MESSAGE, .conn = a.conn, .message = &m});
    } else {
        agent_event();
    }
}

/* A process that was killed: only what is durable is left. */
static void restart(void)
{
    csl_site_init(&a.s, is_zero(a.accepted) ? NULL : a.accepted, &a.durable);
    a.conn = 0;
    a.owes_decision = a.owes_fetch = a.owes_work = a.owes_upload = a.is_ended = false;
    csl_site_check(&a.s);
}

static void test_site_random__any_coordinator__invariants_hold(void **state)
{
    uint64_t updates = 0, evaluations = 0, uploads = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        csl_rng_init_label(&rng, seed, "site", 0, 0, 0);
        memset(&a, 0, sizeof(a));
        a.out = (struct csl_site_out){NULL, emit};
        csl_site_init(&a.s, NULL, NULL);
        for (uint32_t i = 0; i < EVENTS; i++) {
            random_event();
            if (below(100) == 0)
                restart();
        }
        updates += a.updates;
        evaluations += a.evaluations;
        uploads += a.uploads;
    }
    print_message("%u updates announced, %u uploads, %u evaluations\n", (unsigned)updates,
                  (unsigned)uploads, (unsigned)evaluations);
    assert_true(updates > RUNS && evaluations > RUNS / 2 && uploads > RUNS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_site_random__any_coordinator__invariants_hold),
    };
    struct csl_err err;
    return csl_crypto_init(&err) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
