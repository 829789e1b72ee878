/* Masked rounds that do not get on: given up with the sites' votes and opened again, or ended with
 * a reason. Never a sum that is not exact, and never for ever. */
#include "coordinator/service_internal.h"
#include "privacy/secagg/messages.h"
#include "tests/unit/world/masked_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES  "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"
#define ONE_STEP "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}"
#define HOUR_NS  (3600 * CSL_NS_PER_S)

static struct fixture fixture;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .sections = SAMPLES MASKS};
}

static void assert_released(const struct masked_plan *plan, const struct masked_result *r)
{
    if (r->code != CSL_OK)
        fail_msg("schedule %llu: %s", (unsigned long long)plan->schedule, r->reason);
    assert_int_equal(r->rounds, plan->rounds);
}

/* Of five sites four are needed, and the uploads of two are refused: the three good ones cannot be
 * summed. All five abandon the attempt, and mask the same words again. */
static struct masked_plan lying_plan(uint32_t rounds)
{
    struct masked_plan plan = plan_of(rounds);
    plan.lying_round = 2;
    plan.lying_site = 1;
    plan.lying_more = 1;
    plan.lies_once = true;
    return plan;
}

static void test_world_secagg_stuck__too_few_good_uploads__second_attempt_same_bits(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    (void)state;
    masked_run(&fixture, &plan, &calm);
    plan = lying_plan(3);
    masked_run(&fixture, &plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(r.abandoned, 1);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], 3);
    assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
    masked_release(&calm);
    masked_release(&r);
}

static void test_world_secagg_stuck__second_attempt_in_bad_weather__same_bits(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    (void)state;
    masked_run(&fixture, &plan, &calm);
    plan = lying_plan(3);
    plan.cut_probability = 0.01;
    plan.jitter_ns = 5 * CSL_NS_PER_MS;
    for (plan.schedule = 1; plan.schedule <= 8; plan.schedule++) {
        masked_run(&fixture, &plan, &r);
        assert_released(&plan, &r);
        assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
        masked_release(&r);
    }
    masked_release(&calm);
}

/* The noise that was paid for is under both masks. */
static void test_world_secagg_stuck__second_attempt_with_privacy__charged_once(void **state)
{
    static const uint64_t seed = 5;
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    (void)state;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    plan.noise_seed = &seed;
    masked_run(&fixture, &plan, &calm);
    plan = lying_plan(3);
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    plan.noise_seed = &seed;
    masked_run(&fixture, &plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(r.abandoned, 1);
    assert_int_equal(r.uncharged, 0);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.charges[i], 3);
    assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
    masked_release(&calm);
    masked_release(&r);
}

static void test_world_secagg_stuck__never_enough_good_uploads__aborted_after_five(void **state)
{
    struct masked_plan plan = lying_plan(3);
    struct masked_result r;
    (void)state;
    plan.lies_once = false;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_E_CANCELLED);
    assert_non_null(strstr(r.reason, "the study is aborted after 1 of 3 rounds: "));
    assert_non_null(strstr(r.reason, "5 attempts of round 2 were given up"));
    assert_int_equal(r.rounds, 1);
    assert_int_equal(r.abandoned, 5);
    masked_release(&r);
}

/* --- two of five are lost, and four are needed --- */

static struct masked_plan lost_plan(enum masked_loss when)
{
    struct masked_plan plan = plan_of(3);
    plan.lost_round = 2;
    plan.lost_site = 1;
    plan.lost_more = 1;
    plan.lost_when = when;
    return plan;
}

static void check_ends(enum masked_loss when, const char *reason)
{
    struct masked_plan plan = lost_plan(when);
    struct masked_result r;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_E_STATE);
    if (strstr(r.reason, reason) == NULL)
        fail_msg("%s", r.reason);
    assert_int_equal(r.rounds, 1);
    masked_release(&r);
}

static void test_secagg_pitfall_21__two_lost_for_ever__ends_with_a_reason(void **state)
{
    (void)state;
    check_ends(LOST_ANNOUNCED, "neither the sum nor its abandoning has the votes");
    check_ends(LOST_HELD, "neither the sum nor its abandoning has the votes");
    check_ends(LOST_VOTED, "too few sites open it");
}

/* They had no part in the keys yet: three are a quorum of three. */
static void test_secagg_pitfall_21__two_lost_before_the_keys__sum_of_the_others(void **state)
{
    struct masked_plan plan = lost_plan(LOST_TASKED);
    struct masked_result r;
    (void)state;
    masked_run(&fixture, &plan, &r);
    assert_released(&plan, &r);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], i == 1 || i == 2 ? 1 : 3);
    masked_release(&r);
}

/* Gone for a while: their journals let them say what is still to be said, whether the attempt was
 * given up meanwhile or not. */
static void check_returns(enum masked_loss when, uint64_t back_ns)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    masked_run(&fixture, &plan, &calm);
    plan = lost_plan(when);
    plan.back_ns = back_ns;
    masked_run(&fixture, &plan, &r);
    assert_released(&plan, &r);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], 3);
    assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
    masked_release(&calm);
    masked_release(&r);
}

static void test_secagg_pitfall_21__two_lost_for_a_while__same_bits(void **state)
{
    static const enum masked_loss when[] = {LOST_ANNOUNCED, LOST_HELD, LOST_VOTED};
    (void)state;
    for (size_t i = 0; i < sizeof(when) / sizeof(when[0]); i++) {
        check_returns(when[i], CSL_NS_PER_S);
        check_returns(when[i], HOUR_NS / 2); /* votes are asked to abandon after twelve minutes */
    }
    check_returns(LOST_ANNOUNCED, HOUR_NS + HOUR_NS / 2); /* and uploads after an hour */
}

/* --- a journal of an earlier time --- */

/* It had signed more than it remembers: it stays out, the others go on. How much more, nobody can
 * tell, so when its administrator has looked it stays out of this study too. */
static void test_secagg_pitfall_35__old_journal__out_of_the_study(void **state)
{
    struct masked_plan plan = plan_of(6);
    struct masked_result r;
    (void)state;
    plan.restart_round = 2;
    plan.restart_site = 2;
    plan.rolled_back_round = 3;
    masked_run(&fixture, &plan, &r);
    assert_released(&plan, &r);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], i == 2 ? 2 : 6);
    assert_non_null(strstr(r.last_error[2], "its administrator has to look"));
    masked_release(&r);
    plan.confirmed_round = 5;
    plan.bounced_round = 6;
    masked_run(&fixture, &plan, &r);
    assert_released(&plan, &r);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], i == 2 ? 2 : 6);
    assert_non_null(strstr(r.last_error[2], "a new study would be right"));
    masked_release(&r);
}

/* --- the second attempt on another model --- */

enum { VICTIM = 4 };

static struct {
    bool has_swapped;
    uint32_t withheld, sent; /* grants of the new model; manifests after it was swapped in */
} swap;

/* Once the first attempt was abandoned the model is another one. The victim is kept from it, and
 * has words of the first. */
static bool swap_model(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_service *s = masked_w.service;
    bool is_secagg = m->kind == CSL_MSG_SECAGG || m->kind == CSL_MSG_SECAGG_TO_SITE;
    if (to == CSL_TO_SITE && is_secagg && !swap.has_swapped && m->u.secagg.body.n > 2 &&
        m->u.secagg.body.p[0] == 1 && m->u.secagg.body.p[1] == CSL_SECAGG_ABANDONED) {
        swap.has_swapped = true;
        for (uint64_t i = 0; i < s->study->schema.parameters; i++)
            s->global[i] += 1.0f;
        csl_service_digest_broadcast__(s);
        csl_coord_set_model(s->core, s->broadcast_digest, csl_service_broadcast_bytes__(s));
    }
    if (site != VICTIM || !swap.has_swapped)
        return false;
    if (to == CSL_TO_SITE && m->kind == CSL_MSG_MODEL_GRANT && m->u.model_grant.round == 1) {
        m->u.model_grant.round = 7; /* never asked for: it keeps the model that it has */
        swap.withheld++;
        return true;
    }
    bool trains = csl_coord_state(s->core) == CSL_STUDY_TRAINING; /* else it has the last model */
    if (trains && to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_SECAGG && m->u.secagg.body.n > 0 &&
        m->u.secagg.body.p[0] == CSL_SECAGG_MANIFEST)
        swap.sent++;
    return false;
}

static void test_world_secagg_stuck__second_attempt_of_another_model__no_upload(void **state)
{
    struct masked_plan plan = lying_plan(2);
    struct masked_result r;
    (void)state;
    memset(&swap, 0, sizeof(swap));
    plan.meddle = swap_model;
    plan.meddles_with_all = true;
    masked_run(&fixture, &plan, &r);
    assert_true(swap.has_swapped && swap.withheld > 0);
    assert_int_equal(swap.sent, 0);
    assert_int_equal(r.site_rounds[VICTIM], 1);
    masked_release(&r);
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
        cmocka_unit_test(test_world_secagg_stuck__too_few_good_uploads__second_attempt_same_bits),
        cmocka_unit_test(test_world_secagg_stuck__second_attempt_in_bad_weather__same_bits),
        cmocka_unit_test(test_world_secagg_stuck__second_attempt_with_privacy__charged_once),
        cmocka_unit_test(test_world_secagg_stuck__never_enough_good_uploads__aborted_after_five),
        cmocka_unit_test(test_secagg_pitfall_21__two_lost_for_ever__ends_with_a_reason),
        cmocka_unit_test(test_secagg_pitfall_21__two_lost_before_the_keys__sum_of_the_others),
        cmocka_unit_test(test_secagg_pitfall_21__two_lost_for_a_while__same_bits),
        cmocka_unit_test(test_world_secagg_stuck__second_attempt_of_another_model__no_upload),
        cmocka_unit_test(test_secagg_pitfall_35__old_journal__out_of_the_study),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
