/* Weights of domains under masks: tables come from published sums, sites multiply by them inside
 * their masks, and all sites of a sum have the same one. */
#include "tests/unit/world/weighed.h"

#include "base/le.h"
#include "base/log.h"
#include "privacy/secagg/scalar.h"
#include "site-agent/agent_secagg.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* By the rule, from what was published in the round before. */
static void expected(const struct masked_result *r, uint64_t round, double log_weight[2])
{
    double x[2];
    for (uint32_t d = 0; d < 2; d++) {
        const struct csl_domain_statistic *c = &weighed_published(r, round - 1, d)->cells[0];
        double skill = fmax(c->skill_sum / c->patients, 0.05);
        x[d] = -0.5 * log(c->patients) - log(skill);
    }
    for (uint32_t d = 0; d < 2; d++)
        log_weight[d] = fmin(fmax(x[d] - (x[0] + x[1]) / 2, -log(3)), log(3));
}

static void check_masses(const struct masked_result *r, uint64_t number)
{
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        double n = (double)masked_patients[i], f = exp(weighed_told[number].log_weight[0]);
        if (i > 1) /* both domains, of the same patients */
            f = (f + exp(weighed_told[number].log_weight[1])) / 2;
        double mass = weighed_weight(r, i, number, INPUT);
        assert_true(mass == weighed_mass(n * f));
        assert_true(weighed_weight(r, i, number, 0) ==
                    n); /* a domain's own block: its weight cancels */
        assert_true(weighed_weight(r, i, number, 1) == (i > 1 ? n : 0));
    }
}

static void test_world_secagg_weights__from_published_sums__masses_of_the_sites(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result r, unmasked, without;
    double rule[2], most = 0;
    (void)state;
    weighed_run(&plan, &r);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        assert_int_equal(weighed_told[round].count, 2);
        assert_int_equal(weighed_told[round].of_round, round - 1);
        check_masses(&r, round);
        if (round < 3) { /* the first publication has no skills */
            assert_true(weighed_told[round].log_weight[0] == 0 &&
                        weighed_told[round].log_weight[1] == 0);
            continue;
        }
        expected(&r, round, rule);
        for (uint32_t d = 0; d < 2; d++) {
            assert_true(fabs(weighed_told[round].log_weight[d] - rule[d]) < 1e-12);
            assert_true(weighed_told[round].patients[d] ==
                        weighed_published(&r, round - 1, d)->cells[0].patients);
            most = fmax(most, fabs(rule[d]));
        }
    }
    assert_true(most > 0.1); /* else the test does not test */
    plan.is_unmasked = true;
    weighed_run(&plan, &unmasked);
    assert_memory_equal(r.model, unmasked.model, r.parameters * sizeof(float));
    plan.is_unmasked = false;
    plan.sections = SAMPLES MASKS COUNTED;
    weighed_run(&plan, &without);
    assert_memory_not_equal(r.model, without.model, r.parameters * sizeof(float));
    masked_release(&r);
    masked_release(&unmasked);
    masked_release(&without);
}

static void test_world_secagg_weights__balanced__every_domain_the_same_total(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS COUNTED BALANCED);
    struct masked_result r;
    (void)state;
    weighed_run(&plan, &r);
    for (uint64_t round = 2; round <= ROUNDS; round++) {
        check_masses(&r, round);
        double a = weighed_told[round].patients[0] * exp(weighed_told[round].log_weight[0]);
        double b = weighed_told[round].patients[1] * exp(weighed_told[round].log_weight[1]);
        assert_true(fabs(a / b - 1) < 1e-12);
    }
    masked_release(&r);
}

/* Coordinator, and sites, are started again in every stage of a round with weights. */
static void test_world_secagg_weights__restarts__same_tables_and_model(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result calm, r;
    double before[2];
    (void)state;
    weighed_run(&plan, &calm);
    memcpy(before, weighed_told[ROUNDS].log_weight, sizeof(before));
    for (int k = 0; k < 2; k++) {
        plan.staged_round = 4;
        plan.staged = k == 0 ? STAGED_SERVICE : STAGED_SITES;
        weighed_run(&plan, &r);
        assert_true(r.stages != 0);
        assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
        assert_memory_equal(before, weighed_told[ROUNDS].log_weight, sizeof(before));
        masked_release(&r);
    }
    masked_release(&calm);
}

/* Lanes are weighed with patients times weight over weight_cap times the table's cap. */
static void test_world_secagg_weights__lanes__the_mean_of_whole_words(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result words, lanes, unmasked;
    (void)state;
    weighed_run(&plan, &words);
    plan.sections = SAMPLES LANES COUNTED WEIGHED;
    weighed_run(&plan, &lanes);
    check_masses(&lanes, ROUNDS);
    for (uint32_t i = 0; i < words.parameters; i++)
        assert_true(fabsf(words.model[i] - lanes.model[i]) < 1e-3f);
    plan.is_unmasked = true;
    weighed_run(&plan, &unmasked);
    assert_memory_equal(lanes.model, unmasked.model, lanes.parameters * sizeof(float));
    masked_release(&words);
    masked_release(&lanes);
    masked_release(&unmasked);
}

/* With noise: what is below the rule of use moves no weight, and every publication is charged. */
static void test_world_secagg_weights__few_patients_and_noise__weights_stay_one(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS LOCAL NOISY WEIGHED);
    struct masked_result r;
    (void)state;
    weighed_run(&plan, &r);
    assert_int_equal(r.published_count, 2 * ROUNDS);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        assert_true(weighed_told[round].log_weight[0] == 0 &&
                    weighed_told[round].log_weight[1] == 0);
        assert_true(weighed_told[round].patients[0] == 0 && weighed_told[round].patients[1] == 0);
        check_masses(&r, round);
    }
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(r.statistics_charges[i], ROUNDS);
        assert_true(r.statistics_epsilon[i] <= 1);
    }
    assert_int_equal(r.uncharged, 0);
    masked_release(&r);
}

/* Round 2 is published without a site that has more patients than all others together, and that
 * trains by the table of that sum then. */
static void test_world_secagg_weights__site_larger_than_a_sum_without_it__trains(void **state)
{
    static const uint64_t few[MASKED_SITES] = {18, 3, 3, 3, 3};
    uint64_t usual[MASKED_SITES];
    struct masked_plan plan = weighed_plan(SAMPLES MASKS COUNTED WEIGHED);
    struct fixture f;
    struct masked_result r;
    (void)state;
    memcpy(usual, masked_patients, sizeof(usual));
    memcpy(masked_patients, few, sizeof(few));
    masked_open(&f);
    plan.away_round = 2;
    memset(weighed_told, 0, sizeof(weighed_told));
    masked_run(&f, &plan, &r);
    assert_int_equal(r.code, CSL_OK);
    assert_int_equal(r.contributions[1], MASKED_SITES - 1);
    assert_true(weighed_told[3].patients[0] == 4 * 3);
    for (uint32_t k = 2; k < ROUNDS; k++)
        assert_int_equal(r.contributions[k], MASKED_SITES);
    masked_release(&r);
    fixture_close(&f);
    memcpy(masked_patients, usual, sizeof(usual));
}

/* --- a coordinator that lies --- */

static void above_the_cap(struct csl_msg_task *t)
{
    t->weights[1].log_weight = log(3.1);
}

static void not_due(struct csl_msg_task *t)
{
    t->weights_round = t->round;
}

static void no_table(struct csl_msg_task *t)
{
    t->weight_count = 0;
}

/* Within every bound that a site knows. */
static void another_table(struct csl_msg_task *t)
{
    t->weights[1].log_weight = nextafter(t->weights[1].log_weight, 0);
}

/* Than the site has: it cannot know that it was in the sum. */
static void fewer_patients(struct csl_msg_task *t)
{
    t->weights[0].patients = 5;
}

static void another_prior(struct csl_msg_task *t)
{
    assert_int_equal(t->prior_count, 2);
    t->prior_loss[1] *= 0.5;
}

/* 6 patients times this are 18432.6 parts of 1/1024, and rounded up. */
static void at_the_cap(struct csl_msg_task *t)
{
    t->weights[0].log_weight = log(3.0001);
}

static uint32_t lie(void (*change)(struct csl_msg_task *t), struct masked_result *r)
{
    return weighed_lie(SAMPLES MASKS COUNTED WEIGHED, change, r);
}

/* The site makes its lanes before it sees that it has no part in the sum. */
static void test_world_secagg_weights__lanes_at_both_caps__weight_of_at_most_one(void **state)
{
    struct masked_result r;
    (void)state;
    assert_int_equal(weighed_lie(SAMPLES FEW_IN_LANES COUNTED WEIGHED_ABOVE_3, at_the_cap, &r), 0);
    assert_true(weighed_weight(&r, VICTIM, 3, INPUT) > 0);
    assert_int_equal(r.contributions[3], MASKED_SITES - 1);
    assert_int_equal(r.contributions[4], MASKED_SITES);
    masked_release(&r);
}

/* The site does not train; the others go on without it. */
static void test_world_secagg_weights__bad_table__refused_by_the_site(void **state)
{
    void (*const changes[])(struct csl_msg_task *) = {above_the_cap, not_due, no_table};
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct masked_result r;
        (void)lie(changes[i], &r);
        assert_int_equal(r.contributions[3], MASKED_SITES - 1);
        assert_int_equal(r.site_rounds[VICTIM], ROUNDS - 1);
        masked_release(&r);
    }
}

/* M0 binds one table: who was told another one, however near, has no part in the sum. */
static void test_world_secagg_weights__two_tables__no_common_sum(void **state)
{
    void (*const changes[])(struct csl_msg_task *) = {another_table, fewer_patients, another_prior};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct masked_result r;
        assert_int_equal(lie(changes[i], &r), 0); /* it says nothing in that round */
        assert_int_equal(r.contributions[3], MASKED_SITES - 1);
        assert_int_equal(r.site_rounds[VICTIM], ROUNDS - 1);
        masked_release(&r);
    }
}

/* --- first another table, then the one that the others have --- */

static struct {
    bool is_restarted, is_away;
    uint32_t tasks;
} twice;

static bool tell_another_first(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    const struct masked_party *victim = &masked_w.sites[VICTIM];
    bool has_words =
        victim->transport != NULL && csl_agent_secagg_words_round__(victim->agent) == 4;
    if (has_words && !twice.is_away) {
        twice.is_away = true;
        masked_w.must_bounce = twice.is_restarted;
        masked_w.must_cut = !twice.is_restarted;
    }
    if (to == CSL_TO_COORDINATOR || site != VICTIM)
        return false;
    if (m->kind != CSL_MSG_TASK || m->u.task.type != CSL_TASK_TRAIN || m->u.task.round != 4)
        return false;
    if (twice.tasks++ > 0)
        return false;
    if (twice.is_restarted)
        m->u.task.weights[0].log_weight *= 0.5;
    else /* another table it would refuse, as it knows the one before */
        m->u.task.prior_loss[0] *= 0.5;
    return true;
}

/* What a site trained by one table, or judged by one prior, is in no sum of another, whether it
 * remembers that itself or from its folder. */
static void test_world_secagg_weights__told_another_table_first__trains_anew(void **state)
{
    struct masked_plan plan = weighed_plan(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result calm, r;
    (void)state;
    weighed_run(&plan, &calm);
    plan.meddle = tell_another_first;
    plan.lying_round = 4; /* of its first attempt nothing comes */
    plan.lying_site = 3;
    plan.lying_more = 1;
    plan.lies_once = true;
    plan.restart_site = VICTIM;
    for (int k = 0; k < 2; k++) {
        memset(&twice, 0, sizeof(twice));
        twice.is_restarted = k == 1;
        weighed_run(&plan, &r);
        assert_true(twice.is_away && twice.tasks > 1);
        assert_int_equal(r.contributions[3], MASKED_SITES);
        assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
        assert_int_equal(calm.published_count, r.published_count);
        assert_memory_equal(calm.published, r.published, r.published_count * sizeof(*r.published));
        masked_release(&r);
    }
    masked_release(&calm);
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
        cmocka_unit_test(test_world_secagg_weights__from_published_sums__masses_of_the_sites),
        cmocka_unit_test(test_world_secagg_weights__balanced__every_domain_the_same_total),
        cmocka_unit_test(test_world_secagg_weights__restarts__same_tables_and_model),
        cmocka_unit_test(test_world_secagg_weights__lanes__the_mean_of_whole_words),
        cmocka_unit_test(test_world_secagg_weights__few_patients_and_noise__weights_stay_one),
        cmocka_unit_test(test_world_secagg_weights__site_larger_than_a_sum_without_it__trains),
        cmocka_unit_test(test_world_secagg_weights__bad_table__refused_by_the_site),
        cmocka_unit_test(test_world_secagg_weights__lanes_at_both_caps__weight_of_at_most_one),
        cmocka_unit_test(test_world_secagg_weights__told_another_table_first__trains_anew),
        cmocka_unit_test(test_world_secagg_weights__two_tables__no_common_sum),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
