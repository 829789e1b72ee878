/* Weights of domains and of patient groups in mode joint: shares of the largest, at the price that
 * a patient pays without. */
#include "tests/unit/world/weighed.h"

#include "base/log.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Mode joint: a site counts with all its patients times the mean share of the domains it has, which
 * is public; sums are exact under masks; and what a patient pays is what it is without weights. */
static void
test_world_secagg_weights_joint__joint__shares_of_the_largest_at_the_same_price(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS JOINT CLEAR WEIGHED);
    struct masked_result r, unmasked, without;
    double most = 0;
    (void)state;
    plan.local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}";
    weighed_run(&plan, &r);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        const double *log_weight = weighed_told[round].log_weight;
        double largest = exp(fmax(log_weight[0], log_weight[1]));
        for (uint32_t i = 0; i < MASKED_SITES; i++) {
            double n = (double)masked_patients[i], share = exp(log_weight[0]) / largest;
            if (i > 1)
                share = (share + exp(log_weight[1]) / largest) / 2;
            assert_true(weighed_weight(&r, i, round, INPUT) == weighed_mass(n * share));
            assert_true(weighed_weight(&r, i, round, 0) == n);
        }
        most = fmax(most, fabs(log_weight[0] - log_weight[1]));
    }
    assert_true(most > 0.1); /* else the test does not test */
    plan.is_unmasked = true;
    weighed_run(&plan, &unmasked);
    assert_memory_equal(r.model, unmasked.model, r.parameters * sizeof(float));
    plan.is_unmasked = false;
    plan.sections = SAMPLES MASKS JOINT CLEAR;
    weighed_run(&plan, &without);
    assert_memory_not_equal(r.model, without.model, r.parameters * sizeof(float));
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(r.charges[i], ROUNDS);
        assert_true(r.epsilon[i] > 0 && r.epsilon[i] == without.epsilon[i]);
        assert_true(r.statistics_epsilon[i] == without.statistics_epsilon[i]);
    }
    assert_int_equal(r.uncharged, 0);
    masked_release(&r);
    masked_release(&unmasked);
    masked_release(&without);
}

/* By the rule of groups, from what was published in the round before, over both domains. */
static void check_groups(const struct masked_result *r, uint64_t round)
{
    double n[2] = {0}, s[2] = {0}, v[2], mean;
    for (uint32_t d = 0; d < 2; d++) {
        const struct csl_published *p = weighed_published(r, round - 1, d);
        for (uint32_t g = 0; g < 2; g++) {
            n[g] += p->cells[1 + g].is_absent || !p->has_skill ? 0 : p->cells[1 + g].patients;
            s[g] += p->cells[1 + g].is_absent || !p->has_skill ? 0 : p->cells[1 + g].skill_sum;
        }
    }
    for (uint32_t g = 0; g < 2; g++) {
        double skill = fmax(s[g] / n[g], 0.05) / fmax((s[0] + s[1]) / (n[0] + n[1]), 0.05);
        v[g] = fmin(fmax(pow(2 * n[g] / (n[0] + n[1]), -0.5) / skill, 0.5), 2);
    }
    mean = (v[0] * n[0] + v[1] * n[1]) / (n[0] + n[1]);
    for (uint32_t g = 0; g < 2; g++)
        assert_true(fabs(weighed_told[round].group_log_weight[g] - log(v[g] / mean)) < 1e-9);
}

/* Mode joint: patients count by published groups; a site by all its patients, as if they had the
 * mean weight, over the largest; restarts of either side change nothing, nor do masks. */
static void
test_world_secagg_weights_joint__groups__from_published_sums_at_the_same_price(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS JOINT GROUPED);
    struct masked_result r, other;
    double most = 0;
    (void)state;
    plan.local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}";
    weighed_run(&plan, &r);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        double largest =
            fmax(weighed_told[round].group_log_weight[0], weighed_told[round].group_log_weight[1]);
        assert_int_equal(weighed_told[round].group_count, 2);
        assert_int_equal(weighed_told[round].count, 0);
        for (uint32_t i = 0; i < MASKED_SITES; i++)
            for (uint32_t b = 0; b < BLOCKS; b += 2)
                assert_true(weighed_weight(&r, i, round, b) ==
                            weighed_mass((double)masked_patients[i] * exp(-fmax(largest, 0))));
        if (round >= 3) /* the first publication has no skills */
            check_groups(&r, round);
        most = fmax(most, largest);
    }
    assert_true(most > 0.02); /* else the test does not test */
    for (int k = 0; k < 3; k++) {
        plan.is_unmasked = k == 0;
        plan.staged_round = k == 0 ? 0 : 4;
        plan.staged = k == 1 ? STAGED_SERVICE : STAGED_SITES;
        weighed_run(&plan, &other);
        assert_memory_equal(r.model, other.model, r.parameters * sizeof(float));
        masked_release(&other);
    }
    plan.staged_round = 0;
    plan.sections = SAMPLES MASKS JOINT "fairness: {attributes: [sex], minimum_group: 10}\n"
                                        "statistics: {every: 1, epsilon: 100, delta: 0.1, groups: "
                                        "{sex: [female, male]}}\n";
    weighed_run(&plan, &other);
    assert_memory_not_equal(r.model, other.model, r.parameters * sizeof(float));
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_true(r.epsilon[i] > 0 && r.epsilon[i] == other.epsilon[i]);
        assert_true(r.statistics_epsilon[i] == other.statistics_epsilon[i]);
    }
    masked_release(&r);
    masked_release(&other);
}

static void groups_above_the_cap(struct csl_msg_task *t)
{
    t->group_log_weight[0] = log(4.01);
}

static void groups_of_nobody(struct csl_msg_task *t)
{
    t->group_count = 0;
}

static void another_group_weight(struct csl_msg_task *t)
{
    t->group_log_weight[0] = nextafter(t->group_log_weight[0], 1);
}

static void test_world_secagg_weights_joint__bad_weights_of_groups__no_part_in_the_sum(void **state)
{
    void (*const changes[])(struct csl_msg_task *) = {groups_above_the_cap, groups_of_nobody,
                                                      another_group_weight};
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct masked_result r;
        (void)weighed_lie(SAMPLES MASKS JOINT GROUPED, changes[i], &r);
        assert_int_equal(r.contributions[3], MASKED_SITES - 1);
        assert_int_equal(r.site_rounds[VICTIM], ROUNDS - 1);
        masked_release(&r);
    }
}

static int set_up(void **state)
{
    (void)state;
    masked_open(&weighed_fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&weighed_fixture);
    return 0;
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_world_secagg_weights_joint__joint__shares_of_the_largest_at_the_same_price),
        cmocka_unit_test(
            test_world_secagg_weights_joint__groups__from_published_sums_at_the_same_price),
        cmocka_unit_test(
            test_world_secagg_weights_joint__bad_weights_of_groups__no_part_in_the_sum),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
