/* Masked federations whose processes die at random durable writes, several times in a study, and
 * are back at once: the model of an undisturbed run to the last bit, nothing signed twice. With
 * privacy, a site that dies at each of its writes: nothing charged twice. */
#include "tests/unit/world/masked.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"

#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"
#define ONE_STEP "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}"

static struct fixture fixture;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .sections = SAMPLES MASKS};
}

static void assert_same(const struct masked_plan *plan, const struct masked_result *calm,
                        const struct masked_result *r)
{
    const struct dying_plan *d = &plan->dying;
    if (r->code != CSL_OK)
        fail_msg("party %u, write %llu, %s: %s", d->party, (unsigned long long)d->at,
                 d->is_after ? "after" : "before", r->reason);
    if (memcmp(calm->model, r->model, calm->parameters * sizeof(float)) != 0)
        fail_msg("party %u, write %llu, %s: another model", d->party, (unsigned long long)d->at,
                 d->is_after ? "after" : "before");
    assert_int_equal(r->rounds, plan->rounds);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r->site_rounds[i], plan->rounds);
}

/* Several deaths of anybody, and links that break. */
static void test_world_secagg_deaths__deaths_at_random__same_bits(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    uint32_t deaths = 0;
    (void)state;
    masked_run(&fixture, &plan, &calm);
    plan.dying.probability = 0.01;
    plan.cut_probability = 0.005;
    for (plan.schedule = 1; plan.schedule <= 14; plan.schedule++) {
        plan.dying.seed = plan.schedule;
        masked_run(&fixture, &plan, &r);
        if (r.code != CSL_OK)
            fail_msg("schedule %llu: %s", (unsigned long long)plan.schedule, r.reason);
        assert_same(&plan, &calm, &r);
        deaths += r.deaths;
        masked_release(&r);
    }
    assert_true(deaths > 14); /* else the test does not test */
    masked_release(&calm);
}

/* The uploads of two sites are refused, so the round is abandoned and opened again meanwhile. */
static void test_world_secagg_deaths__deaths_in_two_attempts__same_bits(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    uint32_t deaths = 0, abandoned = 0;
    (void)state;
    masked_run(&fixture, &plan, &calm);
    plan.lying_round = 1;
    plan.lying_site = 3;
    plan.lying_more = 1;
    plan.lies_once = true;
    plan.dying.probability = 0.01;
    for (plan.schedule = 1; plan.schedule <= 14; plan.schedule++) {
        plan.dying.seed = plan.schedule;
        masked_run(&fixture, &plan, &r);
        if (r.code != CSL_OK)
            fail_msg("schedule %llu: %s", (unsigned long long)plan.schedule, r.reason);
        assert_same(&plan, &calm, &r);
        deaths += r.deaths;
        abandoned += r.abandoned;
        masked_release(&r);
    }
    assert_true(deaths > 14 && abandoned >= 14); /* else the test does not test */
    masked_release(&calm);
}

/* With privacy: each round is charged before anything about it leaves, and once. */
static void test_world_secagg_deaths__joint_site_dies_at_every_write__charged_once(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    masked_run(&fixture, &plan, &r);
    uint64_t writes = r.writes[2] / 2 + 4;
    masked_release(&r);
    plan.dying.party = 2;
    for (plan.dying.at = 1; plan.dying.at <= writes; plan.dying.at++) {
        for (int after = 0; after < 2; after++) {
            plan.dying.is_after = after == 1;
            masked_run(&fixture, &plan, &r);
            if (r.code != CSL_OK || r.charges[2] != 2 || r.uncharged != 0 || r.site_rounds[2] != 2)
                fail_msg("write %llu, %s: %s; %llu charges, %u uncharged, %llu rounds",
                         (unsigned long long)plan.dying.at, after == 1 ? "after" : "before",
                         r.reason, (unsigned long long)r.charges[2], r.uncharged,
                         (unsigned long long)r.site_rounds[2]);
            assert_true(r.epsilon[2] <= 2);
            masked_release(&r);
        }
    }
}

/* The coordinator asks to abandon, dies at each of its writes around that, and is back before the
 * two that were lost: with their uploads there would be enough, and the votes would be split. */
static void test_world_secagg_deaths__coordinator_dies_given_up__abandoned_same_bits(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    uint32_t missed = 0;
    (void)state;
    masked_run(&fixture, &plan, &calm);
    uint64_t writes = calm.writes[MASKED_SERVICE]; /* it gives up before half of them */
    plan.lost_round = 1;
    plan.lost_site = 1;
    plan.lost_more = 1;
    plan.lost_when = LOST_ANNOUNCED;
    plan.back_ns = 5400 * CSL_NS_PER_S;
    plan.dying.party = MASKED_SERVICE;
    for (plan.dying.at = writes / 4; plan.dying.at <= writes / 2; plan.dying.at++) {
        for (int after = 0; after < 2; after++) {
            plan.dying.is_after = after == 1;
            masked_run(&fixture, &plan, &r);
            assert_same(&plan, &calm, &r);
            assert_int_equal(r.deaths, 1);
            missed += r.abandoned != 1;
            masked_release(&r);
        }
    }
    assert_int_equal(missed, 1); /* dead before it had given up: the two come back in time */
    masked_release(&calm);
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
        cmocka_unit_test(test_world_secagg_deaths__deaths_at_random__same_bits),
        cmocka_unit_test(test_world_secagg_deaths__deaths_in_two_attempts__same_bits),
        cmocka_unit_test(test_world_secagg_deaths__coordinator_dies_given_up__abandoned_same_bits),
        cmocka_unit_test(test_world_secagg_deaths__joint_site_dies_at_every_write__charged_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
