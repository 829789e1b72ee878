/* Statistics of a study in which a site, or the coordinator, dies at its durable writes. */
#include "base/log.h"
#include "tests/unit/world/masked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

/* Statistics too: of the same words in every attempt, charged once, and never sent uncharged. */
static void
test_world_secagg_statistics_deaths__a_party_dies__counted_and_charged_once(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    const uint64_t seed = 3;
    (void)state;
    plan.local = ONE_STEP;
    plan.noise_seed = &seed;
    plan.sections = SAMPLES MASKS JOINT "statistics: {every: 1, epsilon: 1, delta: 1e-3}\n";
    masked_run(&fixture, &plan, &calm);
    assert_int_equal(calm.published_count, 2);
    uint64_t writes = calm.writes[2];
    plan.dying.party = 2;
    for (plan.dying.at = 1; plan.dying.at <= writes; plan.dying.at += 3) {
        plan.dying.is_after = !plan.dying.is_after;
        masked_run(&fixture, &plan, &r);
        if (r.code != CSL_OK || r.charges[2] != 2 || r.statistics_charges[2] != 2 ||
            r.uncharged != 0 || r.site_rounds[2] != 2)
            fail_msg("write %llu: %s; %llu and %llu charges, %u uncharged, %llu rounds",
                     (unsigned long long)plan.dying.at, r.reason, (unsigned long long)r.charges[2],
                     (unsigned long long)r.statistics_charges[2], r.uncharged,
                     (unsigned long long)r.site_rounds[2]);
        assert_int_equal(r.published_count, 2);
        assert_memory_equal(calm.published, r.published, 2 * sizeof(*r.published));
        assert_true(r.statistics_epsilon[2] <= 1);
        masked_release(&r);
    }
    plan.dying.party = MASKED_SERVICE;
    for (plan.dying.at = 1; plan.dying.at <= calm.writes[MASKED_SERVICE]; plan.dying.at += 3) {
        plan.dying.is_after = !plan.dying.is_after;
        masked_run(&fixture, &plan, &r);
        if (r.code != CSL_OK || r.published_count != 2 || r.statistics_charges[2] != 2)
            fail_msg("the coordinator's write %llu: %s", (unsigned long long)plan.dying.at,
                     r.reason);
        assert_memory_equal(calm.published, r.published, 2 * sizeof(*r.published));
        masked_release(&r);
    }
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
        cmocka_unit_test(
            test_world_secagg_statistics_deaths__a_party_dies__counted_and_charged_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
