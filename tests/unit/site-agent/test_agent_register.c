/* A study's plan in the site's ledger: written down when the study is accepted and not before, the
 * same for as long as the study runs, and under the policy of this start. */
#include "tests/unit/site-agent/script.h"

#include "base/log.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_script, close_script)
    const struct CMUnitTest tests[] = {
        T(test_agent_register__study_declined__no_entry),
        T(test_agent_register__policy_that_cannot_be_set__never_the_one_before),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
