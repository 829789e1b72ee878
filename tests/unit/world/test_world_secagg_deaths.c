/* Masked federations whose processes die at random durable writes, several times in a study, and
 * are back at once: the model of an undisturbed run to the last bit, nothing signed twice. */
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
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
