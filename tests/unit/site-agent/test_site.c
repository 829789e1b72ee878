/* The site's core: sessions, enrolment, training, evaluation, the end. */
#include "base/str.h"
#include "protocol/study/study.h"
#include "site-agent/core/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LOG_MAX 64

static struct {
    struct csl_site s;
    struct csl_site_out out;
    struct csl_site_action log[LOG_MAX];
    uint32_t count;
    uint64_t now_ns;
    csl_conn conn;
} h;
static const uint8_t study[CSL_DIGEST_BYTES] = {42};

static void record(void *ctx, const struct csl_site_action *a)
{
    (void)ctx;
    assert_true(h.count < LOG_MAX);
    h.log[h.count++] = *a;
}

static void open_site(const uint8_t *study_digest, const struct csl_outbox *outbox)
{
    memset(&h, 0, sizeof(h));
    h.out = (struct csl_site_out){NULL, record};
    csl_site_init(&h.s, study_digest, outbox);
}

/* The log holds what this event caused. */
static void step(struct csl_site_event ev)
{
    ev.now_ns = h.now_ns;
    h.count = 0;
    csl_site_step(&h.s, &ev, &h.out);
    csl_site_check(&h.s);
}

static void say(const struct csl_message *m)
{
    step((struct csl_site_event){.kind = CSL_SE_MESSAGE, .conn = h.conn, .message = m});
}

static void connect_site(void)
{
    step((struct csl_site_event){.kind = CSL_SE_OPENED, .conn = ++h.conn});
}

static void disconnect_site(void)
{
    step((struct csl_site_event){.kind = CSL_SE_CLOSED, .conn = h.conn});
}

static void decide(bool accepted, const uint8_t digest[CSL_DIGEST_BYTES])
{
    struct csl_msg_study_answer a = {.accepted = accepted};
    memcpy(a.study_digest, digest, CSL_DIGEST_BYTES);
    step((struct csl_site_event){.kind = CSL_SE_DECIDED, .answer = &a});
}

static void offer(void)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_OFFER};
    say(&m);
}

static struct csl_message task_of(enum csl_task_type type, uint64_t round, uint8_t model)
{
    struct csl_message m = {.kind = CSL_MSG_TASK};
    m.u.task.type = type;
    m.u.task.round = round;
    m.u.task.model_bytes = 12;
    m.u.task.model_digest[0] = model;
    return m;
}

static void task(enum csl_task_type type, uint64_t round, uint8_t model)
{
    struct csl_message m = task_of(type, round, model);
    say(&m);
}

static void grant_model(uint64_t round)
{
    struct csl_message m = {.kind = CSL_MSG_MODEL_GRANT};
    m.u.model_grant.round = round;
    say(&m);
}

static void fetched(enum csl_code code, uint8_t model)
{
    uint8_t digest[CSL_DIGEST_BYTES] = {model};
    step((struct csl_site_event){.kind = CSL_SE_FETCHED, .digest = digest, .code = code});
}

static struct csl_outbox outbox_of(uint64_t round, uint8_t model)
{
    struct csl_outbox o = {.round = round, .bytes_total = 12, .block_count = 1};
    o.digest[0] = (uint8_t)round;
    o.model_digest[0] = model;
    o.blocks[0].patients = 3;
    return o;
}

static void trained(enum csl_code code, uint64_t round, uint8_t model)
{
    struct csl_outbox o = outbox_of(round, model);
    step((struct csl_site_event){
        .kind = CSL_SE_TRAINED, .round = round, .code = code, .outbox = &o, .reason = "why"});
}

static void grant_update(uint64_t round, uint64_t offset)
{
    struct csl_message m = {.kind = CSL_MSG_UPDATE_GRANT};
    m.u.update_grant.round = round;
    m.u.update_grant.offset = offset;
    say(&m);
}

static void uploaded(enum csl_code code, uint64_t round)
{
    step((struct csl_site_event){.kind = CSL_SE_UPLOADED, .round = round, .code = code});
}

static bool has_done(enum csl_site_action_kind kind)
{
    for (uint32_t i = 0; i < h.count; i++)
        if (h.log[i].kind == kind)
            return true;
    return false;
}

static bool has_said(enum csl_message_kind kind)
{
    for (uint32_t i = 0; i < h.count; i++)
        if (h.log[i].kind == CSL_SA_SEND && h.log[i].message.kind == kind)
            return true;
    return false;
}

/* What this event caused; fails the test if it did not. */
static const struct csl_site_action *done(enum csl_site_action_kind kind)
{
    static const struct csl_site_action nothing;
    for (uint32_t i = 0; i < h.count; i++)
        if (h.log[i].kind == kind)
            return &h.log[i];
    fail_msg("action %d was not taken", (int)kind);
    return &nothing;
}

static const struct csl_message *said(enum csl_message_kind kind)
{
    static const struct csl_message nothing;
    for (uint32_t i = 0; i < h.count; i++)
        if (h.log[i].kind == CSL_SA_SEND && h.log[i].message.kind == kind)
            return &h.log[i].message;
    fail_msg("%s was not said", csl_message_kind_name(kind));
    return &nothing;
}

/* Enrolled, connected, tasked with round 1 on model 1. */
static void open_tasked(void)
{
    open_site(NULL, NULL);
    connect_site();
    offer();
    decide(true, study);
    task(CSL_TASK_TRAIN, 1, 1);
}

/* The same, and its update announced. */
static void open_delivering(void)
{
    open_tasked();
    grant_model(0);
    fetched(CSL_OK, 1);
    trained(CSL_OK, 1, 1);
    assert_int_equal(h.s.state, CSL_SITE_DELIVERING);
}

/* --- enrolment --- */

static void test_site__session_opens__greets(void **state)
{
    (void)state;
    open_site(NULL, NULL);
    connect_site();
    const struct csl_msg_hello *hello = &said(CSL_MSG_HELLO)->u.hello;
    assert_int_equal(hello->protocol_version, CSL_PROTOCOL_VERSION);
    assert_int_equal(hello->study_digest[0], 0);
    assert_int_equal(h.s.state, CSL_SITE_GREETING);
    open_site(study, NULL); /* restarted: names the study it has accepted */
    connect_site();
    assert_memory_equal(said(CSL_MSG_HELLO)->u.hello.study_digest, study, CSL_DIGEST_BYTES);
}

static void test_site__study_offered__answers_what_the_agent_decided(void **state)
{
    (void)state;
    open_site(NULL, NULL);
    connect_site();
    offer();
    assert_true(has_done(CSL_SA_CONSIDER));
    assert_int_equal(h.s.state, CSL_SITE_CONSIDERING);
    decide(true, study);
    assert_true(said(CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
    assert_int_equal(h.s.state, CSL_SITE_WAITING);
    assert_memory_equal(h.s.study_digest, study, CSL_DIGEST_BYTES);
}

static void test_site__session_breaks_while_considering__answers_the_next_offer(void **state)
{
    (void)state;
    open_site(NULL, NULL);
    connect_site();
    offer();
    disconnect_site();
    decide(true, study);
    assert_int_equal(h.count, 0); /* nobody to tell */
    connect_site();
    assert_memory_equal(said(CSL_MSG_HELLO)->u.hello.study_digest, study, CSL_DIGEST_BYTES);
}

static void test_site__task_before_any_study__ignored(void **state)
{
    (void)state;
    open_site(NULL, NULL);
    connect_site();
    task(CSL_TASK_TRAIN, 1, 1);
    assert_int_equal(h.count, 0);
    offer();
    task(CSL_TASK_EVALUATE, 0, 0); /* model digest zero: what a fresh site has */
    assert_int_equal(h.count, 0);
    decide(false, study);
    task(CSL_TASK_TRAIN, 1, 1);
    grant_model(0);
    assert_int_equal(h.count, 0);
}

static void test_site__another_study_accepted__old_update_is_forgotten(void **state)
{
    static const uint8_t other[CSL_DIGEST_BYTES] = {43};
    (void)state;
    open_delivering();
    disconnect_site();
    connect_site();
    offer();
    decide(true, other);
    task(CSL_TASK_TRAIN, 1, 1);
    assert_false(has_said(CSL_MSG_UPDATE_READY));
    assert_int_equal(h.s.outbox.round, 0);
    assert_true(has_done(CSL_SA_TRAIN));
}

static void test_site__same_study_accepted_again__update_stands(void **state)
{
    (void)state;
    open_delivering();
    disconnect_site();
    connect_site();
    offer();
    decide(true, study);
    task(CSL_TASK_TRAIN, 1, 1);
    assert_int_equal(said(CSL_MSG_UPDATE_READY)->u.update_ready.round, 1);
}

static void test_site__another_study_declined__works_on_for_the_accepted_one(void **state)
{
    static const uint8_t other[CSL_DIGEST_BYTES] = {43};
    (void)state;
    open_delivering();
    offer();
    decide(false, other);
    assert_memory_equal(h.s.study_digest, study, CSL_DIGEST_BYTES);
    task(CSL_TASK_TRAIN, 1, 1);
    assert_true(has_said(CSL_MSG_UPDATE_READY));
}

/* --- training --- */

static void test_site__task__fetches_trains_delivers(void **state)
{
    (void)state;
    open_tasked();
    assert_int_equal(said(CSL_MSG_MODEL_REQUEST)->u.model_request.round, 0);
    assert_int_equal(h.s.state, CSL_SITE_FETCHING);
    grant_model(0);
    assert_int_equal(done(CSL_SA_FETCH)->task.round, 1);
    fetched(CSL_OK, 1);
    assert_int_equal(done(CSL_SA_TRAIN)->task.round, 1);
    assert_int_equal(h.s.state, CSL_SITE_WORKING);
    trained(CSL_OK, 1, 1);
    const struct csl_msg_update_ready *u = &said(CSL_MSG_UPDATE_READY)->u.update_ready;
    assert_int_equal(u->round, 1);
    assert_int_equal(u->bytes_total, 12);
    assert_int_equal(u->blocks[0].patients, 3);
    grant_update(1, 4);
    assert_int_equal(done(CSL_SA_UPLOAD)->offset, 4);
    uploaded(CSL_OK, 1);
    assert_int_equal(h.s.state, CSL_SITE_DELIVERING); /* until it is said to count */
    struct csl_message m = {.kind = CSL_MSG_UPDATE_ACCEPTED};
    m.u.update_accepted.round = 1;
    say(&m);
    assert_int_equal(h.s.state, CSL_SITE_WAITING);
    assert_int_equal(h.s.outbox.round, 1); /* kept: the coordinator may lose its spool */
    task(CSL_TASK_TRAIN, 1, 1);
    assert_true(has_said(CSL_MSG_UPDATE_READY));
}

static void test_site__next_task_names_the_model_it_has__no_download(void **state)
{
    (void)state;
    open_delivering();
    task(CSL_TASK_EVALUATE, 1, 1);
    assert_false(has_said(CSL_MSG_MODEL_REQUEST));
    assert_true(has_done(CSL_SA_EVALUATE));
}

static void test_site__session_breaks_at_work__work_goes_on(void **state)
{
    (void)state;
    open_tasked();
    grant_model(0);
    fetched(CSL_OK, 1);
    disconnect_site();
    assert_false(has_done(CSL_SA_CANCEL));
    assert_int_equal(h.s.state, CSL_SITE_AWAY);
    connect_site();
    task(CSL_TASK_TRAIN, 1, 1);
    assert_int_equal(h.count, 0); /* neither cancelled nor begun again */
    trained(CSL_OK, 1, 1);
    assert_true(has_said(CSL_MSG_UPDATE_READY));
}

static void test_site__another_task_at_work__old_work_is_cancelled(void **state)
{
    (void)state;
    open_tasked();
    grant_model(0);
    fetched(CSL_OK, 1);
    task(CSL_TASK_TRAIN, 2, 2);
    assert_true(has_done(CSL_SA_CANCEL));
    trained(CSL_E_CANCELLED, 1, 1);
    assert_false(has_said(CSL_MSG_TASK_FAILED));
    assert_int_equal(said(CSL_MSG_MODEL_REQUEST)->u.model_request.round, 1);
}

static void test_site__same_task_of_another_table_at_work__trained_anew(void **state)
{
    struct csl_message m = task_of(CSL_TASK_TRAIN, 1, 1);
    (void)state;
    open_tasked();
    grant_model(0);
    fetched(CSL_OK, 1);
    m.u.task.weight_count = 1;
    m.u.task.weights[0].log_weight = 0.25;
    say(&m);
    assert_true(has_done(CSL_SA_CANCEL));
    trained(CSL_E_CANCELLED, 1, 1);
    assert_true(has_done(CSL_SA_TRAIN));
}

static void test_site__same_round_of_another_run__trained_anew(void **state)
{
    (void)state;
    open_delivering(); /* round 1 on model 1 */
    task(CSL_TASK_TRAIN, 1, 9);
    assert_false(has_said(CSL_MSG_UPDATE_READY));
    grant_model(0);
    fetched(CSL_OK, 9);
    trained(CSL_OK, 1, 9);
    assert_true(has_said(CSL_MSG_UPDATE_READY));
}

static void test_site__earlier_round__trained_anew(void **state)
{
    struct csl_outbox o = outbox_of(5, 5);
    (void)state;
    open_site(study, &o);
    connect_site();
    task(CSL_TASK_TRAIN, 1, 1);
    grant_model(0);
    fetched(CSL_OK, 1);
    trained(CSL_OK, 1, 1);
    assert_int_equal(said(CSL_MSG_UPDATE_READY)->u.update_ready.round, 1);
    assert_int_equal(h.s.outbox.round, 1);
}

static void test_site__training_fails__says_so(void **state)
{
    (void)state;
    open_tasked();
    grant_model(0);
    fetched(CSL_OK, 1);
    trained(CSL_E_NOMEM, 1, 1);
    const struct csl_msg_task_failed *f = &said(CSL_MSG_TASK_FAILED)->u.task_failed;
    assert_int_equal(f->round, 1);
    assert_int_equal(f->code, CSL_E_NOMEM);
    assert_string_equal(f->reason, "why");
    assert_int_equal(h.s.state, CSL_SITE_WAITING);
    assert_int_equal(h.s.outbox.round, 0);
}

/* --- transfers that break --- */

static void test_site__download_breaks__asks_again_after_a_while(void **state)
{
    (void)state;
    open_tasked();
    grant_model(0);
    fetched(CSL_E_UNAVAIL, 1);
    assert_int_equal(h.count, 0);
    uint64_t retry_ns = csl_site_wakeup_ns(&h.s);
    assert_true(retry_ns > h.now_ns && retry_ns != UINT64_MAX);
    h.now_ns = retry_ns;
    step((struct csl_site_event){.kind = CSL_SE_TICK});
    assert_true(has_said(CSL_MSG_MODEL_REQUEST));
    assert_true(csl_site_wakeup_ns(&h.s) == UINT64_MAX);
}

static void test_site__upload_breaks__announces_again_after_a_while(void **state)
{
    (void)state;
    open_delivering();
    grant_update(1, 0);
    uploaded(CSL_E_UNAVAIL, 1);
    h.now_ns = csl_site_wakeup_ns(&h.s);
    step((struct csl_site_event){.kind = CSL_SE_TICK});
    assert_true(has_said(CSL_MSG_UPDATE_READY));
}

static void test_site__tasked_again_during_an_upload__announces_when_it_is_over(void **state)
{
    (void)state;
    open_delivering();
    grant_update(1, 0);
    disconnect_site();
    connect_site();
    task(CSL_TASK_TRAIN, 1, 1);
    assert_false(has_said(CSL_MSG_UPDATE_READY));
    uploaded(CSL_OK, 1);
    assert_true(has_said(CSL_MSG_UPDATE_READY));
}

/* Training would replace the bytes that are leaving. */
static void test_site__trained_anew_during_an_upload__begins_when_it_is_over(void **state)
{
    (void)state;
    open_delivering();
    grant_update(1, 0);
    assert_true(has_done(CSL_SA_UPLOAD));
    task(CSL_TASK_TRAIN, 2, 1); /* the model is here */
    assert_false(has_done(CSL_SA_TRAIN));
    assert_int_equal(h.s.state, CSL_SITE_WAITING);
    uploaded(CSL_OK, 1);
    assert_true(has_done(CSL_SA_TRAIN));
}

static void test_site__grant_beyond_the_update__session_dropped(void **state)
{
    (void)state;
    open_delivering();
    grant_update(1, 13);
    assert_int_equal(done(CSL_SA_DROP)->code, CSL_E_PROTO);
    assert_false(has_done(CSL_SA_UPLOAD));
}

static void test_site__grant_nobody_asked_for__ignored(void **state)
{
    (void)state;
    open_delivering();
    grant_model(0);
    grant_update(2, 0); /* another round */
    assert_int_equal(h.count, 0);
    grant_update(1, 0);
    grant_update(1, 0); /* the second, while the first is used */
    assert_false(has_done(CSL_SA_UPLOAD));
}

static void test_site__refused__waits_for_the_next_task(void **state)
{
    struct csl_message m = {.kind = CSL_MSG_REFUSED};
    (void)state;
    open_delivering();
    csl_str_copy(m.u.refused.reason, sizeof(m.u.refused.reason), "no");
    say(&m);
    assert_int_equal(h.s.state, CSL_SITE_WAITING);
    assert_string_equal(h.s.last_error, "no");
    h.now_ns += UINT64_C(1) << 40;
    step((struct csl_site_event){.kind = CSL_SE_TICK});
    assert_int_equal(h.count, 0);
    task(CSL_TASK_TRAIN, 2, 2);
    assert_true(has_said(CSL_MSG_MODEL_REQUEST));
}

static void test_site__message_of_an_older_session__ignored(void **state)
{
    struct csl_message m = task_of(CSL_TASK_TRAIN, 2, 2);
    (void)state;
    open_delivering();
    connect_site();
    step((struct csl_site_event){.kind = CSL_SE_MESSAGE, .conn = h.conn - 1, .message = &m});
    step((struct csl_site_event){.kind = CSL_SE_CLOSED, .conn = h.conn - 1});
    assert_int_equal(h.s.state, CSL_SITE_GREETING);
    assert_int_equal(h.s.task.round, 1);
}

/* --- evaluation and the end --- */

static void evaluated(enum csl_code code, uint64_t round)
{
    struct csl_msg_evaluation e = {.round = round};
    step((struct csl_site_event){
        .kind = CSL_SE_EVALUATED, .round = round, .code = code, .evaluation = &e});
}

static void test_site__evaluation__reported_until_it_is_acknowledged(void **state)
{
    struct csl_message m = {.kind = CSL_MSG_EVALUATION_ACCEPTED};
    (void)state;
    open_delivering();
    task(CSL_TASK_EVALUATE, 1, 2);
    assert_int_equal(said(CSL_MSG_MODEL_REQUEST)->u.model_request.round, 1);
    grant_model(1);
    fetched(CSL_OK, 2);
    assert_true(has_done(CSL_SA_EVALUATE));
    evaluated(CSL_OK, 1);
    assert_int_equal(said(CSL_MSG_EVALUATION)->u.evaluation.round, 1);
    m.u.evaluation_accepted.round = 7;
    say(&m);
    assert_true(h.s.has_task); /* of another round */
    m.u.evaluation_accepted.round = 1;
    say(&m);
    assert_false(h.s.has_task);
    assert_int_equal(h.s.state, CSL_SITE_WAITING);
}

static void test_site__study_ended__stops_and_stays(void **state)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ENDED};
    (void)state;
    open_tasked();
    grant_model(0);
    fetched(CSL_OK, 1);
    m.u.study_ended.released = true;
    say(&m);
    assert_true(has_done(CSL_SA_CANCEL));
    assert_true(has_done(CSL_SA_FINISHED));
    assert_true(h.s.was_released);
    trained(CSL_E_CANCELLED, 1, 1);
    assert_int_equal(h.count, 0);
    task(CSL_TASK_TRAIN, 2, 2);
    disconnect_site();
    connect_site();
    assert_int_equal(h.count, 0);
    assert_int_equal(h.s.state, CSL_SITE_ENDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_site__session_opens__greets),
        cmocka_unit_test(test_site__study_offered__answers_what_the_agent_decided),
        cmocka_unit_test(test_site__session_breaks_while_considering__answers_the_next_offer),
        cmocka_unit_test(test_site__task_before_any_study__ignored),
        cmocka_unit_test(test_site__another_study_accepted__old_update_is_forgotten),
        cmocka_unit_test(test_site__same_study_accepted_again__update_stands),
        cmocka_unit_test(test_site__another_study_declined__works_on_for_the_accepted_one),
        cmocka_unit_test(test_site__task__fetches_trains_delivers),
        cmocka_unit_test(test_site__next_task_names_the_model_it_has__no_download),
        cmocka_unit_test(test_site__session_breaks_at_work__work_goes_on),
        cmocka_unit_test(test_site__another_task_at_work__old_work_is_cancelled),
        cmocka_unit_test(test_site__same_task_of_another_table_at_work__trained_anew),
        cmocka_unit_test(test_site__same_round_of_another_run__trained_anew),
        cmocka_unit_test(test_site__earlier_round__trained_anew),
        cmocka_unit_test(test_site__training_fails__says_so),
        cmocka_unit_test(test_site__download_breaks__asks_again_after_a_while),
        cmocka_unit_test(test_site__upload_breaks__announces_again_after_a_while),
        cmocka_unit_test(test_site__tasked_again_during_an_upload__announces_when_it_is_over),
        cmocka_unit_test(test_site__trained_anew_during_an_upload__begins_when_it_is_over),
        cmocka_unit_test(test_site__grant_beyond_the_update__session_dropped),
        cmocka_unit_test(test_site__grant_nobody_asked_for__ignored),
        cmocka_unit_test(test_site__refused__waits_for_the_next_task),
        cmocka_unit_test(test_site__message_of_an_older_session__ignored),
        cmocka_unit_test(test_site__evaluation__reported_until_it_is_acknowledged),
        cmocka_unit_test(test_site__study_ended__stops_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
