/* Studies with audits whose processes die at durable writes and are back at once: every sum is
 * still checked, and the model is that of an undisturbed run to the last bit. */
#include "tests/unit/world/masked.h"

#include "base/file.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS                                                                                      \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, audit_chunks: 2}\n"

static struct fixture fixture;

/* Also where it died between the end of the study and the end of its journals. */
static void assert_nothing_kept(void)
{
    static const char *const names[] = {"secagg.journal", "secagg.journal.key",
                                        "secagg-audit.journal", "secagg-audit.journal.key"};
    char relative[96], path[CSL_PATH_MAX];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(relative, sizeof(relative), "run/coordinator/%s", names[i]);
        fixture_path(&fixture, relative, path);
        assert_false(csl_file_exists(path));
    }
}

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .at_end = assert_nothing_kept,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .sections = SAMPLES MASKS};
}

/* A site whose audit failed or was not answered would miss a round. */
static void assert_same(const struct masked_plan *plan, const struct masked_result *calm,
                        const struct masked_result *r)
{
    const struct dying_plan *d = &plan->dying;
    /* Not r->rounds: nobody is told of a round whose commit the coordinator did not outlive. */
    bool is_same =
        r->code == CSL_OK && memcmp(calm->model, r->model, calm->parameters * sizeof(float)) == 0;
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        is_same = is_same && r->site_rounds[i] == plan->rounds && r->last_error[i][0] == '\0';
        if (!is_same)
            fail_msg("schedule %llu, party %u, write %llu, %s: %s; site %u: %llu rounds, %s",
                     (unsigned long long)plan->schedule, d->party, (unsigned long long)d->at,
                     d->is_after ? "after" : "before", r->reason, i,
                     (unsigned long long)r->site_rounds[i], r->last_error[i]);
    }
    assert_true(r->answers >= plan->rounds * MASKED_SITES * 2);
}

/* Of the second round, at whose beginning the first is set aside, to the end. */
static void check_writes(uint32_t party)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    masked_run(&fixture, &plan, &calm);
    plan.dying.party = party;
    for (plan.dying.at = calm.writes[party] / 2 - 6; plan.dying.at <= calm.writes[party];
         plan.dying.at++) {
        for (int after = 0; after < 2; after++) {
            plan.dying.is_after = after == 1;
            masked_run(&fixture, &plan, &r);
            assert_int_equal(r.deaths, 1);
            if (plan.dying.at < calm.writes[party] - 3) /* else the end is told to fewer */
                assert_same(&plan, &calm, &r);
            masked_release(&r);
        }
    }
    masked_release(&calm);
}

static void test_world_secagg_audit_crash__site_dies_at_every_write__all_checked(void **state)
{
    (void)state;
    check_writes(2);
}

static void
test_world_secagg_audit_crash__coordinator_dies_at_every_write__all_checked(void **state)
{
    (void)state;
    check_writes(MASKED_SERVICE);
}

static void test_world_secagg_audit_crash__deaths_and_cuts_at_random__all_checked(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    uint32_t deaths = 0;
    (void)state;
    masked_run(&fixture, &plan, &calm);
    plan.dying.probability = 0.01;
    plan.cut_probability = 0.005;
    for (plan.schedule = 1; plan.schedule <= 12; plan.schedule++) {
        plan.dying.seed = plan.schedule;
        masked_run(&fixture, &plan, &r);
        assert_same(&plan, &calm, &r);
        deaths += r.deaths;
        masked_release(&r);
    }
    assert_true(deaths > 12); /* else the test does not test */
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
        cmocka_unit_test(test_world_secagg_audit_crash__site_dies_at_every_write__all_checked),
        cmocka_unit_test(
            test_world_secagg_audit_crash__coordinator_dies_at_every_write__all_checked),
        cmocka_unit_test(test_world_secagg_audit_crash__deaths_and_cuts_at_random__all_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
