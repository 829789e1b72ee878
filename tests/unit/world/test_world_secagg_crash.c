/* Masked federations whose processes die at every durable write and are back at once: the model of
 * an undisturbed run to the last bit, nothing signed twice. */
#include "tests/unit/world/masked.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"

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
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r->site_rounds[i], plan->rounds);
}

/* Every write of one party until the second round has begun: before it is there, and after. */
static void check_every_write(uint32_t party, bool is_evaluated, uint64_t writes_at_least)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    plan.judges_last = !is_evaluated;
    masked_run(&fixture, &plan, &calm);
    assert_int_equal(calm.deaths, 0);
    assert_true(calm.writes[party] >= writes_at_least); /* else they are not counted */
    plan.dying.party = party;
    for (plan.dying.at = 1; plan.dying.at <= calm.writes[party] / 2 + 4; plan.dying.at++) {
        for (int after = 0; after < 2; after++) {
            plan.dying.is_after = after == 1;
            masked_run(&fixture, &plan, &r);
            assert_same(&plan, &calm, &r);
            assert_int_equal(r.rounds, plan.rounds);
            assert_int_equal(r.deaths, 1);
            masked_release(&r);
        }
    }
    masked_release(&calm);
}

static void test_secagg_pitfall_01_23__site_dies_at_every_write__same_bits(void **state)
{
    (void)state;
    check_every_write(2, true, 2 * 14);
}

/* Without evaluations the next task follows at once: nobody is asked anything between the rounds.
 */
static void test_world_secagg_crash__site_dies_without_evaluations__same_bits(void **state)
{
    (void)state;
    check_every_write(2, false, 2 * 12);
}

static void test_secagg_pitfall_22_23_24__coordinator_dies_at_every_write__same_bits(void **state)
{
    (void)state;
    check_every_write(MASKED_SERVICE, true, 2 * 5 * 7);
}

static void test_world_secagg_crash__coordinator_dies_without_evaluations__same_bits(void **state)
{
    (void)state;
    check_every_write(MASKED_SERVICE, false, 2 * 5 * 6);
}

/* The round that only evaluates: the writes from the commit of the last model on, by turns before
 * it is there and after. */
static void check_last_round(uint32_t party, uint64_t writes_at_least)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result calm, r;
    masked_run(&fixture, &plan, &calm);
    assert_int_equal(calm.evaluation_count, 1);
    assert_true(calm.writes[party] >= writes_at_least);
    plan.dying.party = party;
    for (plan.dying.at = calm.writes[party] / 2; plan.dying.at <= calm.writes[party];
         plan.dying.at++) {
        plan.dying.is_after = plan.dying.at % 2 == 1;
        masked_run(&fixture, &plan, &r);
        assert_same(&plan, &calm, &r);
        assert_int_equal(r.deaths, 1);
        assert_int_equal(r.evaluation_count, 1);
        assert_memory_equal(&calm.evaluations[0].block, &r.evaluations[0].block,
                            sizeof(r.evaluations[0].block));
        masked_release(&r);
    }
    masked_release(&calm);
}

static void test_secagg_pitfall_01_50__site_dies_in_the_evaluation__same_figures(void **state)
{
    (void)state;
    check_last_round(2, 2 * 10);
}

static void
test_secagg_pitfall_22_50__coordinator_dies_in_the_evaluation__same_figures(void **state)
{
    (void)state;
    check_last_round(MASKED_SERVICE, 2 * 5 * 5);
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
        cmocka_unit_test(test_world_secagg_crash__site_dies_without_evaluations__same_bits),
        cmocka_unit_test(test_world_secagg_crash__coordinator_dies_without_evaluations__same_bits),
        cmocka_unit_test(test_secagg_pitfall_01_50__site_dies_in_the_evaluation__same_figures),
        cmocka_unit_test(
            test_secagg_pitfall_22_50__coordinator_dies_in_the_evaluation__same_figures),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
