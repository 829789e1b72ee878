/* Masked federations whose processes die at every durable write and are back at once: the model of
 * an undisturbed run to the last bit, nothing signed twice, nothing charged twice. */
#include "tests/unit/world/masked.h"

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

/* Every write of one party until the second round has begun: before it is there, and after. What
 * lies between two writes is seen from both sides, so of many every second will do. */
static void check_every_write(uint32_t party, uint64_t writes_at_least, bool alternates)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    masked_run(&fixture, &plan, &calm);
    assert_int_equal(calm.deaths, 0);
    assert_true(calm.writes[party] >= writes_at_least); /* else they are not counted */
    plan.dying.party = party;
    for (plan.dying.at = 1; plan.dying.at <= calm.writes[party] / 2 + 4; plan.dying.at++) {
        for (int after = 0; after < 2; after++) {
            plan.dying.is_after = after == 1;
            if (alternates && plan.dying.is_after != (plan.dying.at % 2 == 0))
                continue;
            masked_run(&fixture, &plan, &r);
            assert_same(&plan, &calm, &r);
            assert_int_equal(r.deaths, 1);
            masked_release(&r);
        }
    }
    masked_release(&calm);
}

static void test_secagg_pitfall_01_23__site_dies_at_every_write__same_bits(void **state)
{
    (void)state;
    check_every_write(2, 2 * 14, false);
}

static void test_secagg_pitfall_22_23_24__coordinator_dies_at_every_write__same_bits(void **state)
{
    (void)state;
    check_every_write(MASKED_SERVICE, 2 * 5 * 7, true);
}

/* With privacy: each round is charged before anything about it leaves, and once. */
static void test_world_secagg_crash__joint_site_dies_at_every_write__charged_once(void **state)
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
            if (plan.dying.is_after != (plan.dying.at % 2 == 0))
                continue; /* pricing takes its time */
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
        cmocka_unit_test(test_secagg_pitfall_01_23__site_dies_at_every_write__same_bits),
        cmocka_unit_test(test_secagg_pitfall_22_23_24__coordinator_dies_at_every_write__same_bits),
        cmocka_unit_test(test_world_secagg_crash__joint_site_dies_at_every_write__charged_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
