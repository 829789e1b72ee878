/* A coordinator that owes a site an answer, or the result itself, and gets on with the study under
 * other round numbers: the site works on no model until the wait is over and it has said no. */
#include "base/le.h"
#include "base/log.h"
#include "privacy/secagg/messages.h"
#include "tests/unit/world/masked_internal.h"
#include "tests/unit/world/masked_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECTIONS                                                                                   \
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"                                  \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, audit_chunks: 2}\n"
#define LOCAL  "privacy: {mode: local, epsilon: 2, delta: 1e-3, clip: 1}\n"
#define VICTIM 1u
#define ROUND  2u /* whose sum is not answered for */

static struct fixture fixture;

static struct {
    bool spoils_request, spoils_result; /* of the round, at the victim */
    uint64_t skipped;                   /* what is added to its numbers after the round */
    bool opens_ahead;  /* M0 of the next round follows the head that the victim knows */
    uint8_t head[32];  /* that one */
    uint32_t refusals; /* tasks that the victim failed, with the reason */
    uint32_t opened;   /* such M0s */
} cheat;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .sections = SECTIONS,
                                .judges_last = true,
                                .meddles_with_all = true};
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    cheat.refusals = cheat.opened = 0;
    masked_log_begin();
    masked_run(&fixture, plan, out);
    masked_log_end();
}

/* Rounds, as the victim was told their numbers, whose words it trained after the one in question.
 */
static uint32_t trained_later(const struct masked_result *r, uint64_t rounds)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->plain_count; i++)
        n += r->plains[i].site == VICTIM && r->plains[i].round > ROUND &&
             r->plains[i].round <= rounds;
    return n;
}

/* --- a coordinator that cheats --- */

static uint64_t done(void)
{
    return csl_coord_rounds_done(csl_service_core(masked_w.service));
}

static bool renumber(enum csl_direction to, struct csl_message *m)
{
    uint64_t by = cheat.skipped;
    if (by == 0)
        return false;
    if (to == CSL_TO_SITE && m->kind == CSL_MSG_TASK && m->u.task.round > ROUND)
        m->u.task.round += by;
    else if (to == CSL_TO_SITE && m->kind == CSL_MSG_MODEL_GRANT && m->u.model_grant.round >= ROUND)
        m->u.model_grant.round += by;
    else if (to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_MODEL_REQUEST &&
             m->u.model_request.round >= ROUND + by)
        m->u.model_request.round -= by;
    else if (to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_TASK_FAILED &&
             m->u.task_failed.round > ROUND + by)
        m->u.task_failed.round -= by;
    else
        return false;
    return true;
}

/* 0, le32 length, M0, weights. */
static bool open_ahead(struct csl_msg *body)
{
    struct csl_secagg_config c;
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf out;
    size_t n = csl_load_le32(body->p + 1);
    masked_must(csl_secagg_config_decode(&c, CSL_SPAN(body->p + 5, n), &err), &err);
    if (c.round <= ROUND) {
        memcpy(cheat.head, c.previous_head, sizeof(cheat.head));
        return false;
    }
    memcpy(c.previous_head, cheat.head, sizeof(cheat.head));
    csl_buf_init(&out, 1 << 16);
    masked_must(csl_secagg_config_encode(&c, &masked_w.federation.coordinator, &out, &err), &err);
    assert_int_equal(out.n, n);
    memcpy(body->p + 5, out.p, n);
    csl_buf_release(&out);
    cheat.opened++;
    return true;
}

static bool spoil(enum csl_direction to, struct csl_msg *body)
{
    bool is_request = to == CSL_TO_COORDINATOR && body->p[0] == CSL_SECAGG_AUDIT && done() == ROUND;
    bool is_result = to == CSL_TO_SITE && body->n > 2 && body->p[0] == 1 &&
                     body->p[1] == CSL_SECAGG_RESULT && done() + 1 >= ROUND;
    if (!(cheat.spoils_request && is_request) && !(cheat.spoils_result && is_result))
        return false;
    body->p[body->n - 1] ^= 1;
    return true;
}

static bool meddle(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    if (site != VICTIM)
        return false;
    if (m->kind == CSL_MSG_TASK_FAILED && to == CSL_TO_COORDINATOR)
        cheat.refusals += strstr(m->u.task_failed.reason, "did not answer") != NULL;
    if (m->kind != CSL_MSG_SECAGG && m->kind != CSL_MSG_SECAGG_TO_SITE)
        return renumber(to, m);
    if (cheat.opens_ahead && to == CSL_TO_SITE && m->u.secagg.body.p[0] == 0)
        return open_ahead(&m->u.secagg.body);
    return spoil(to, &m->u.secagg.body);
}

/* Rounds of the others end in seconds; the victim waits for an hour, then says no, once. */
static void assert_held_up(struct masked_plan *plan)
{
    struct masked_result r;
    plan->meddle = meddle;
    run(plan, &r);
    assert_int_equal(masked_logged("secagg.audit_failed"), 0);
    assert_int_equal(trained_later(&r, UINT64_MAX), 0);
    assert_int_equal(r.site_rounds[VICTIM], ROUND);
    masked_release(&r);
}

static void test_world_secagg_audit_gate__no_answer_and_a_number_skipped__waits(void **state)
{
    struct masked_plan plan = plan_of(ROUND + 1);
    (void)state;
    memset(&cheat, 0, sizeof(cheat));
    cheat.spoils_request = true;
    for (cheat.skipped = 1; cheat.skipped <= 3; cheat.skipped += 2)
        assert_held_up(&plan);
}

static void test_world_secagg_audit_gate__no_result_and_a_number_skipped__waits(void **state)
{
    struct masked_plan plan = plan_of(ROUND + 1);
    (void)state;
    memset(&cheat, 0, sizeof(cheat));
    cheat.spoils_result = true;
    for (cheat.skipped = 0; cheat.skipped <= 3; cheat.skipped++)
        assert_held_up(&plan);
}

static void test_world_secagg_audit_gate__no_result_and_started_again__waits(void **state)
{
    struct masked_plan plan = plan_of(ROUND + 2);
    (void)state;
    memset(&cheat, 0, sizeof(cheat));
    cheat.spoils_result = true;
    cheat.skipped = 1;
    plan.restart_site = VICTIM;
    plan.bounced_round = ROUND + 1;
    assert_held_up(&plan);
    assert_true(masked_w.was_bounced);
}

/* The session that is asked about would be gone before the model of the next round is here. */
static void test_world_secagg_audit_gate__no_result_and_next_round_open__not_joined(void **state)
{
    struct masked_plan plan = plan_of(ROUND + 1);
    (void)state;
    memset(&cheat, 0, sizeof(cheat));
    cheat.spoils_result = cheat.opens_ahead = true;
    assert_held_up(&plan);
    assert_true(cheat.opened > 0);
}

/* It says no to one model, and trains on the next. With privacy evaluations are tasks of their own,
 * for which the others wait; else a round goes by, and its result says that no answer will come. */
static void test_world_secagg_audit_gate__wait_is_over__one_model_refused(void **state)
{
    struct masked_plan plan = plan_of(6);
    struct masked_result r;
    (void)state;
    memset(&cheat, 0, sizeof(cheat));
    cheat.spoils_request = true;
    plan.meddle = meddle;
    for (int evaluates = 0; evaluates < 2; evaluates++) {
        plan.judges_last = evaluates == 0;
        if (evaluates)
            plan.sections = LOCAL SECTIONS;
        run(&plan, &r);
        assert_int_equal(r.code, CSL_OK);
        assert_int_equal(masked_logged("secagg.audit_unanswered"), 1);
        assert_int_equal(cheat.refusals, evaluates);
        assert_int_equal(trained_later(&r, plan.rounds), plan.rounds - ROUND - 1);
        assert_int_equal(r.site_rounds[VICTIM], plan.rounds - 1);
        masked_release(&r);
    }
}

static int set_up(void **state)
{
    (void)state;
    masked_open(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_audit_gate__no_answer_and_a_number_skipped__waits),
        cmocka_unit_test(test_world_secagg_audit_gate__no_result_and_a_number_skipped__waits),
        cmocka_unit_test(test_world_secagg_audit_gate__no_result_and_started_again__waits),
        cmocka_unit_test(test_world_secagg_audit_gate__no_result_and_next_round_open__not_joined),
        cmocka_unit_test(test_world_secagg_audit_gate__wait_is_over__one_model_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
