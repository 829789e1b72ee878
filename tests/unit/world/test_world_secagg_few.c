/* Studies under masks that too few sites are left for: they end, and say why. */
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

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    masked_run(&fixture, plan, out);
}

/* Two sites are too few for a sum of the second domain's block. Nothing of the round is opened and
 * the study ends with a reason, whenever the third is lost. */
static void test_world_secagg_few__too_few_left_in_a_block__ends_and_says_so(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.domain = "severe";
    plan.lost_round = 2;
    plan.lost_site = 3;
    for (int when = LOST_TASKED; when <= LOST_ANNOUNCED; when++) {
        plan.lost_when = (enum masked_loss)when;
        run(&plan, &r);
        assert_int_equal(r.code, CSL_E_STATE);
        assert_non_null(strstr(r.reason, "domain severe has updates of 2 sites"));
        assert_int_equal(r.rounds, 1);
        masked_release(&r);
    }
}

static void test_world_secagg_few__domain_at_too_few_sites__ends_before_it_trains(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.domain = "rare";
    run(&plan, &r);
    assert_int_equal(r.code, CSL_E_STATE);
    assert_non_null(strstr(r.reason, "domain rare is known at 2 sites"));
    assert_int_equal(r.uploads, 0);
    masked_release(&r);
}

/* All five are needed and one is gone: the others wait for it as long as a round may take. */
static void test_world_secagg_few__too_few_for_a_sum__ends_with_the_round(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.sections =
        SAMPLES "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 5}\n";
    plan.minimum_sites = 5;
    plan.lost_round = 2;
    plan.lost_site = 1;
    plan.lost_when = LOST_TASKED;
    run(&plan, &r);
    assert_int_equal(r.code, CSL_E_DENIED);
    assert_non_null(strstr(r.reason, "at least 5"));
    assert_non_null(strstr(r.reason, "missing: brno. Started again"));
    assert_int_equal(r.rounds, 1);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_few__too_few_left_in_a_block__ends_and_says_so),
        cmocka_unit_test(test_world_secagg_few__domain_at_too_few_sites__ends_before_it_trains),
        cmocka_unit_test(test_world_secagg_few__too_few_for_a_sum__ends_with_the_round),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
