/* Weights of domains under masks: tables come from published sums, sites multiply by them inside
 * their masks, and all sites of a sum have the same one. */
#include "tests/unit/world/masked_internal.h"

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

/* Five sites know who is ill, three of them who is severe; both are read from one input. */
#define DOMAINS                                                                                    \
    "inputs:\n"                                                                                    \
    "  - {id: table, modality: tabular, features: [first, second], encoder: {kind: linear}}\n"     \
    "domains:\n  - {id: illness, inputs: [table], task: {kind: binary, label: ill}}\n"             \
    "  - {id: severity, inputs: [table], task: {kind: binary, label: severe}}\n"                   \
    "model: {kind: multimodal, width: 3}\n"
#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define LANES                                                                                      \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, encoding: {lane_bits: " \
    "32, clip_norm: 20, rotation: true, weight_cap: 100}}\n"
#define FEW_IN_LANES                                                                               \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, encoding: {lane_bits: " \
    "32, clip_norm: 20, rotation: true, weight_cap: 6}}\n"
#define COUNTED "statistics: {every: 1}\n"
#define NOISY   "statistics: {every: 1, epsilon: 1, delta: 1e-3}\n"
#define LOCAL   "privacy: {mode: local, epsilon: 2, delta: 1e-3, clip: 1}\n"
#define WEIGHED                                                                                    \
    "fairness: {domain_weights: {kind: domain, alpha: 0.5, beta: 1, cap: 3, smoothing: 1, "        \
    "step_max: 9, shrinkage: 0, gate_rounds: 0}}\n"
#define WEIGHED_ABOVE_3                                                                            \
    "fairness: {domain_weights: {kind: domain, alpha: 0.5, beta: 1, cap: 3.0001, smoothing: 1, "   \
    "step_max: 9, shrinkage: 0, gate_rounds: 0}}\n"
#define BALANCED "fairness: {domain_weights: {kind: balanced, cap: 4}}\n"
enum { ROUNDS = 5, BLOCKS = 3, INPUT = 2 /* its block */, VICTIM = 1 /* has one domain */ };

static struct fixture fixture;
static const uint64_t seed = 8;

/* What the tasks of each round said to a site, before anybody meddles. */
static struct {
    uint32_t count, site_count;
    uint64_t of_round;
    double log_weight[2], patients[2];
} told[ROUNDS + 2];
static struct {
    void (*change)(struct csl_msg_task *t);
    uint64_t round;
    uint32_t changed, followed;
} asked;

static bool listen_to_tasks(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    uint64_t open = csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1;
    if (to == CSL_TO_COORDINATOR)
        asked.followed += m->kind == CSL_MSG_SECAGG && site == VICTIM && open == asked.round;
    if (to == CSL_TO_COORDINATOR || m->kind != CSL_MSG_TASK || m->u.task.type != CSL_TASK_TRAIN)
        return false;
    struct csl_msg_task *t = &m->u.task;
    assert_true(t->round <= ROUNDS + 1);
    for (uint32_t d = 0; d < t->weight_count; d++) { /* the same to every site, and every time */
        if (told[t->round].count > 0)
            assert_true(told[t->round].log_weight[d] == t->weights[d].log_weight);
        told[t->round].log_weight[d] = t->weights[d].log_weight;
        told[t->round].patients[d] = t->weights[d].patients;
    }
    told[t->round].of_round = t->weights_round;
    told[t->round].count = t->weight_count;
    if (asked.change == NULL || t->round != asked.round || site != VICTIM)
        return false;
    asked.change(t);
    asked.changed++;
    return true;
}

static struct masked_plan plan_of(const char *sections)
{
    return (struct masked_plan){.rounds = ROUNDS,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .chunk_bytes = 16384,
                                .noise_seed = &seed,
                                .study = DOMAINS,
                                .judges_last = true,
                                .local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: "
                                         "full, steps: 2}",
                                .meddles_with_all = true,
                                .meddle = listen_to_tasks,
                                .sections = sections};
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    memset(told, 0, sizeof(told));
    masked_run(&fixture, plan, out);
    if (out->code != CSL_OK)
        fail_msg("%s", out->reason);
    assert_int_equal(out->rounds, plan->rounds);
}

static const struct csl_published *published(const struct masked_result *r, uint64_t round,
                                             uint32_t domain)
{
    for (uint32_t i = 0; i < r->published_count; i++)
        if (r->published[i].round == round && r->published[i].domain == domain)
            return &r->published[i];
    fail_msg("nothing was published of domain %u in round %llu", domain, (unsigned long long)round);
    abort();
}

/* By the rule, from what was published in the round before. */
static void expected(const struct masked_result *r, uint64_t round, double log_weight[2])
{
    double x[2];
    for (uint32_t d = 0; d < 2; d++) {
        const struct csl_domain_statistic *c = &published(r, round - 1, d)->cells[0];
        double skill = fmax(c->skill_sum / c->patients, 0.05);
        x[d] = -0.5 * log(c->patients) - log(skill);
    }
    for (uint32_t d = 0; d < 2; d++)
        log_weight[d] = fmin(fmax(x[d] - (x[0] + x[1]) / 2, -log(3)), log(3));
}

/* The scalars of a site's words: what it counts with in each block, and the loss. */
static double weight_in(const struct masked_result *r, uint32_t site, uint64_t round,
                        uint32_t block)
{
    for (uint32_t i = 0; i < r->plain_count; i++) {
        size_t end = i + 1 < r->plain_count ? r->plains[i + 1].at : r->plain.n;
        if (r->plains[i].site == site && r->plains[i].round == round)
            return csl_scalar_decode(
                csl_load_le64(r->plain.p + end - (BLOCKS + 1 - block) * sizeof(uint64_t)));
    }
    fail_msg("site %u has no words of round %llu", site, (unsigned long long)round);
    return 0;
}

static void check_masses(const struct masked_result *r, uint64_t number)
{
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        double n = (double)masked_patients[i], f = exp(told[number].log_weight[0]);
        if (i > 1) /* both domains, of the same patients */
            f = (f + exp(told[number].log_weight[1])) / 2;
        double mass = weight_in(r, i, number, INPUT);
        assert_true(mass == round(n * f * 1024) / 1024);
        assert_true(weight_in(r, i, number, 0) == n); /* a domain's own block: its weight cancels */
        assert_true(weight_in(r, i, number, 1) == (i > 1 ? n : 0));
    }
}

static void test_world_secagg_weights__from_published_sums__masses_of_the_sites(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result r, unmasked, without;
    double rule[2], most = 0;
    (void)state;
    run(&plan, &r);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        assert_int_equal(told[round].count, 2);
        assert_int_equal(told[round].of_round, round - 1);
        check_masses(&r, round);
        if (round < 3) { /* the first publication has no skills */
            assert_true(told[round].log_weight[0] == 0 && told[round].log_weight[1] == 0);
            continue;
        }
        expected(&r, round, rule);
        for (uint32_t d = 0; d < 2; d++) {
            assert_true(fabs(told[round].log_weight[d] - rule[d]) < 1e-12);
            assert_true(told[round].patients[d] == published(&r, round - 1, d)->cells[0].patients);
            most = fmax(most, fabs(rule[d]));
        }
    }
    assert_true(most > 0.1); /* else the test does not test */
    plan.is_unmasked = true;
    run(&plan, &unmasked);
    assert_memory_equal(r.model, unmasked.model, r.parameters * sizeof(float));
    plan.is_unmasked = false;
    plan.sections = SAMPLES MASKS COUNTED;
    run(&plan, &without);
    assert_memory_not_equal(r.model, without.model, r.parameters * sizeof(float));
    masked_release(&r);
    masked_release(&unmasked);
    masked_release(&without);
}

static void test_world_secagg_weights__balanced__every_domain_the_same_total(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS COUNTED BALANCED);
    struct masked_result r;
    (void)state;
    run(&plan, &r);
    for (uint64_t round = 2; round <= ROUNDS; round++) {
        check_masses(&r, round);
        double a = told[round].patients[0] * exp(told[round].log_weight[0]);
        double b = told[round].patients[1] * exp(told[round].log_weight[1]);
        assert_true(fabs(a / b - 1) < 1e-12);
    }
    masked_release(&r);
}

/* Coordinator, and sites, are started again in every stage of a round with weights. */
static void test_world_secagg_weights__restarts__same_tables_and_model(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result calm, r;
    double before[2];
    (void)state;
    run(&plan, &calm);
    memcpy(before, told[ROUNDS].log_weight, sizeof(before));
    for (int k = 0; k < 2; k++) {
        plan.staged_round = 4;
        plan.staged = k == 0 ? STAGED_SERVICE : STAGED_SITES;
        run(&plan, &r);
        assert_true(r.stages != 0);
        assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
        assert_memory_equal(before, told[ROUNDS].log_weight, sizeof(before));
        masked_release(&r);
    }
    masked_release(&calm);
}

/* Lanes are weighed with patients times weight over weight_cap times the table's cap. */
static void test_world_secagg_weights__lanes__the_mean_of_whole_words(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result words, lanes, unmasked;
    (void)state;
    run(&plan, &words);
    plan.sections = SAMPLES LANES COUNTED WEIGHED;
    run(&plan, &lanes);
    check_masses(&lanes, ROUNDS);
    for (uint32_t i = 0; i < words.parameters; i++)
        assert_true(fabsf(words.model[i] - lanes.model[i]) < 1e-3f);
    plan.is_unmasked = true;
    run(&plan, &unmasked);
    assert_memory_equal(lanes.model, unmasked.model, lanes.parameters * sizeof(float));
    masked_release(&words);
    masked_release(&lanes);
    masked_release(&unmasked);
}

/* With noise: what is below the rule of use moves no weight, and every publication is charged. */
static void test_world_secagg_weights__few_patients_and_noise__weights_stay_one(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS LOCAL NOISY WEIGHED);
    struct masked_result r;
    (void)state;
    run(&plan, &r);
    assert_int_equal(r.published_count, 2 * ROUNDS);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        assert_true(told[round].log_weight[0] == 0 && told[round].log_weight[1] == 0);
        assert_true(told[round].patients[0] == 0 && told[round].patients[1] == 0);
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
    struct masked_plan plan = plan_of(SAMPLES MASKS COUNTED WEIGHED);
    struct fixture f;
    struct masked_result r;
    (void)state;
    memcpy(usual, masked_patients, sizeof(usual));
    memcpy(masked_patients, few, sizeof(few));
    masked_open(&f);
    plan.away_round = 2;
    memset(told, 0, sizeof(told));
    masked_run(&f, &plan, &r);
    assert_int_equal(r.code, CSL_OK);
    assert_int_equal(r.contributions[1], MASKED_SITES - 1);
    assert_true(told[3].patients[0] == 4 * 3);
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

static uint32_t lie_in(const char *sections, void (*change)(struct csl_msg_task *t),
                       struct masked_result *r)
{
    struct masked_plan plan = plan_of(sections);
    memset(&asked, 0, sizeof(asked));
    asked.change = change;
    asked.round = 4;
    run(&plan, r);
    assert_true(asked.changed > 0);
    asked.change = NULL;
    return asked.followed;
}

static uint32_t lie(void (*change)(struct csl_msg_task *t), struct masked_result *r)
{
    return lie_in(SAMPLES MASKS COUNTED WEIGHED, change, r);
}

/* The site makes its lanes before it sees that it has no part in the sum. */
static void test_world_secagg_weights__lanes_at_both_caps__weight_of_at_most_one(void **state)
{
    struct masked_result r;
    (void)state;
    assert_int_equal(lie_in(SAMPLES FEW_IN_LANES COUNTED WEIGHED_ABOVE_3, at_the_cap, &r), 0);
    assert_true(weight_in(&r, VICTIM, 3, INPUT) > 0);
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
    struct masked_plan plan = plan_of(SAMPLES MASKS COUNTED WEIGHED);
    struct masked_result calm, r;
    (void)state;
    run(&plan, &calm);
    plan.meddle = tell_another_first;
    plan.lying_round = 4; /* of its first attempt nothing comes */
    plan.lying_site = 3;
    plan.lying_more = 1;
    plan.lies_once = true;
    plan.restart_site = VICTIM;
    for (int k = 0; k < 2; k++) {
        memset(&twice, 0, sizeof(twice));
        twice.is_restarted = k == 1;
        run(&plan, &r);
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
