/* A study's plan in the site's ledger: written down when the study is accepted and not before, the
 * same for as long as the study runs, and under the policy of this start. */
#include "tests/unit/site-agent/script.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "site-agent/data/dataset.h"
#include "site-agent/data/record.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct script_study whole = {
    .name = "private", .epsilon = 2, .delta = SCRIPT_DELTA, .rounds = 3};
static struct script w;

static int open_script(void **state)
{
    (void)state;
    script_open(&w, &whole);
    return 0;
}

static int close_script(void **state)
{
    (void)state;
    script_close(&w);
    return 0;
}

static void start_enrolled(void)
{
    script_start(&w);
    script_enrol(&w);
}

/* The study under a digest that is not its own. */
static void offer_misnamed(void)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_OFFER};
    memcpy(m.u.study_offer.study_digest, w.study->digest, CSL_DIGEST_BYTES);
    m.u.study_offer.study_digest[0] ^= 1;
    m.u.study_offer.manifest = w.study->manifest; /* borrowed */
    script_say(&w, &m);
    assert_false(script_heard(&w, CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
}

static void test_agent_register__study_declined__no_entry(void **state)
{
    (void)state;
    script_start(&w);
    for (int i = 0; i < 5; i++)
        offer_misnamed();
    assert_int_equal(script_count(&w, CSL_LEDGER_APPROVE), 0);
    script_enrol(&w);
    assert_int_equal(script_count(&w, CSL_LEDGER_APPROVE), 1);
    offer_misnamed(); /* the accepted one is examined again */
    script_enrol(&w);
    assert_int_equal(script_count(&w, CSL_LEDGER_APPROVE), 1);
    assert_true(script_round(&w, 1, 0, NULL));
}

static void test_agent_register__policy_that_cannot_be_set__never_the_one_before(void **state)
{
    (void)state;
    script_start(&w);
    offer_misnamed(); /* the ledger is there now, with a policy in it, and no study is accepted */
    assert_int_equal(script_count(&w, CSL_LEDGER_POLICY), 1);
    script_stop(&w);
    w.policy.ledger.budgets[0].epsilon = (double)NAN;
    script_start(&w);
    for (int i = 0; i < 3; i++) {
        script_offer(&w);
        assert_false(script_heard(&w, CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
        assert_null(csl_agent_ledger(w.agent));
    }
}

/* --- records that changed under a registered study --- */

/* What an agent over the state of this script says when it starts. */
static enum csl_code try_start(struct csl_err *err)
{
    struct csl_transport *unused = NULL;
    struct csl_agent *agent = NULL;
    script_must(csl_inproc_client(w.net, w.f.ids[0], &unused, err), err);
    struct csl_agent_config c = {.site_id = w.f.ids[0],
                                 .record_path = w.f.records[w.site],
                                 .state_dir = w.state_dir,
                                 .backend = "cpu-ref",
                                 .policy = &w.policy,
                                 .transport = unused};
    enum csl_code code = csl_agent_new(&agent, &c, err);
    csl_agent_free(agent);
    unused->ops->free(unused);
    return code;
}

static struct csl_ledger_entry last_of(enum csl_ledger_kind kind)
{
    struct csl_ledger *l = csl_agent_ledger(w.agent);
    struct csl_ledger_entry e, found = {.kind = CSL_LEDGER_OPEN};
    struct csl_err err = {.code = CSL_OK};
    for (uint64_t i = 0; i < csl_ledger_size(l); i++) {
        script_must(csl_ledger_read(l, i, &e, &err), &err);
        if (e.kind == kind)
            found = e;
    }
    assert_int_equal(found.kind, kind);
    return found;
}

static uint64_t wall_clock_s(void *ctx)
{
    (void)ctx;
    return csl_clock_unix_ms() / 1000u;
}

static enum csl_code no_price(const struct csl_dp_event *events, size_t count, double delta,
                              double *epsilon, struct csl_err *err)
{
    (void)events, (void)count, (void)delta, (void)epsilon;
    return CSL_FAIL(err, CSL_E_BUG, "nothing is priced here");
}

/* The ledger of the agent that was stopped, as an operator opens it. */
static struct csl_ledger *open_stopped(void)
{
    char path[3][CSL_PATH_MAX];
    static const char *const names[] = {"ledger.db", "ledger.key", "ledger.head"};
    struct csl_ledger *l = NULL;
    struct csl_err err = {.code = CSL_OK};
    for (size_t i = 0; i < 3; i++)
        script_must(csl_path_join(path[i], CSL_PATH_MAX, w.state_dir, names[i], &err), &err);
    const struct csl_ledger_config c = {.path = path[0],
                                        .key_path = path[1],
                                        .head_path = path[2],
                                        .site = w.f.ids[0],
                                        .price = no_price,
                                        .now_s = wall_clock_s};
    script_must(csl_ledger_open(&l, &c, &err), &err);
    return l;
}

/* After `marker`, 64 hexadecimal digits. */
static void read_digest(const char *text, const char *marker, uint8_t out[CSL_DIGEST_BYTES])
{
    char hex[2 * CSL_DIGEST_BYTES + 1];
    const char *at = strstr(text, marker);
    if (at == NULL)
        fail_msg("no '%s' in: %s", marker, text);
    snprintf(hex, sizeof(hex), "%s", at + strlen(marker));
    assert_true(csl_unhex(hex, out, CSL_DIGEST_BYTES));
}

/* `word` with neither letter nor digit beside it: digests are full of short numbers. */
static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        if ((at == text || isalnum((unsigned char)at[-1]) == 0) &&
            isalnum((unsigned char)at[n]) == 0)
            return true;
    return false;
}

static void test_agent_register__other_records__named_and_withdrawn(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    uint8_t digest[CSL_DIGEST_BYTES];
    (void)state;
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    const struct csl_ledger_entry plan = last_of(CSL_LEDGER_APPROVE);
    script_stop(&w);
    w.site = 1; /* as many patients, other values */
    assert_int_equal(try_start(&err), CSL_E_EXISTS);
    assert_non_null(strstr(err.msg, "cohort digest"));
    assert_null(strstr(err.msg, "sampling rate"));
    read_digest(err.msg, "--cohort-digest ", digest);
    assert_memory_not_equal(digest, plan.u.approve.cohort_digest, CSL_DIGEST_BYTES);
    struct csl_ledger *l = open_stopped();
    script_must(csl_ledger_withdraw(l, "records", digest, csl_ledger_band(18), &err), &err);
    csl_ledger_close(l);
    script_start(&w);
    assert_true(script_round(&w, 2, 1, NULL));
    assert_memory_equal(last_of(CSL_LEDGER_CHARGE).u.charge.cohort_digest, digest,
                        CSL_DIGEST_BYTES);
}

static void test_agent_register__fewer_patients__named_without_their_number(void **state)
{
    struct csl_records r;
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    uint8_t digest[CSL_DIGEST_BYTES];
    (void)state;
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    script_stop(&w);
    script_must(csl_records_read(&r, w.f.records[0], &err), &err);
    assert_int_equal(r.split[0], CSL_SPLIT_TRAIN);
    r.split[0] = CSL_SPLIT_TEST;
    unlink(w.f.records[0]);
    script_must(csl_records_write(&r, w.f.records[0], &err), &err);
    csl_records_release(&r);
    assert_int_equal(try_start(&err), CSL_E_EXISTS);
    assert_non_null(strstr(err.msg, "cohort digest"));
    assert_non_null(strstr(err.msg, "sampling rate"));
    assert_non_null(strstr(err.msg, "noise"));
    assert_false(has_word(err.msg, "18"));
    assert_false(has_word(err.msg, "17"));
    read_digest(err.msg, "--study ", digest);
    assert_memory_equal(digest, w.study->digest, CSL_DIGEST_BYTES);
    struct csl_ledger *l = open_stopped();
    script_must(csl_ledger_stop(l, digest, CSL_LEDGER_STOP_OPERATOR, &err), &err);
    csl_ledger_close(l);
    script_start(&w); /* the agent is there for other studies, and refuses this one */
    assert_false(script_round(&w, 2, 1, &failed));
    assert_int_equal(failed.code, CSL_E_DENIED);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
}

/* Reservations of as many studies as take that many, made by an agent that died each time. */
static void leave_open(uint32_t studies, uint32_t each)
{
    struct csl_ledger *l = csl_agent_ledger(w.agent);
    struct csl_err err = {.code = CSL_OK};
    uint64_t id;
    for (uint32_t k = 0; k < studies; k++) {
        struct csl_ledger_study s = {.event_count = 1,
                                     .events = {{.mechanism = CSL_DP_GAUSSIAN,
                                                 .sampler = CSL_DP_FULL_BATCH,
                                                 .noise_multiplier = 100,
                                                 .sampling_rate = 1,
                                                 .steps = 1}},
                                     .rounds = each,
                                     .delta = 1e-6,
                                     .clip = 1,
                                     .normaliser = 1};
        struct csl_ledger_request r = {.event_count = 1, .clip = 1, .normaliser = 1};
        memset(s.digest, (int)(k + 1), sizeof(s.digest));
        csl_str_copy(s.cohort, sizeof(s.cohort), w.policy.cohort);
        script_must(csl_ledger_register(l, &s, &err), &err);
        memcpy(r.study_digest, s.digest, sizeof(r.study_digest));
        memcpy(r.events, s.events, sizeof(r.events));
        csl_str_copy(r.cohort, sizeof(r.cohort), w.policy.cohort);
        for (r.round = 1; r.round <= each; r.round++)
            script_must(csl_ledger_reserve(l, &r, &id, &err), &err);
    }
}

/* Every one is settled at a start: what was never charged has not left. */
static void test_agent_register__many_open_reservations__all_are_settled(void **state)
{
    enum { STUDIES = 6, EACH = 16 };
    (void)state;
    script_start(&w);
    script_enrol(&w);
    leave_open(STUDIES, EACH);
    assert_int_equal(csl_ledger_open_reservations(csl_agent_ledger(w.agent), NULL, 0),
                     STUDIES * EACH);
    script_stop(&w);
    script_start(&w);
    assert_int_equal(csl_ledger_open_reservations(csl_agent_ledger(w.agent), NULL, 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_script, close_script)
    const struct CMUnitTest tests[] = {
        T(test_agent_register__study_declined__no_entry),
        T(test_agent_register__policy_that_cannot_be_set__never_the_one_before),
        T(test_agent_register__other_records__named_and_withdrawn),
        T(test_agent_register__fewer_patients__named_without_their_number),
        T(test_agent_register__many_open_reservations__all_are_settled),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
