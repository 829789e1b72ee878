/* Weights of domains from what sites enrolled with and from their evaluations. */
#include "coordinator/core/weigh.h"

#include "aggregation/weights/cells.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SITES 5

static const char study_text[] =
    "study: weigh\n"
    "inputs:\n"
    "  - {id: scan, modality: image2d, shape: [4, 4, 1], encoder: {kind: linear}}\n"
    "  - {id: age, modality: tabular, features: [age], encoder: {kind: linear%s}}\n"
    "domains:\n"
    "  - {id: one, inputs: [scan, age], task: {kind: binary, label: a}}\n"
    "  - {id: two, inputs: [age], task: {kind: binary, label: b}}\n"
    "  - {id: three, inputs: [age], task: {kind: classes, label: c, classes: 4}}\n"
    "model: {kind: multimodal, width: 2}\n"
    "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, steps: 1}}\n"
    "rounds: 100\naggregation: {strategy: fedavg}\nevaluation: {every: 5}\n"
    "fairness: {domain_weights: {%s}}\n";

enum { ONE, TWO, THREE, SCAN, AGE, ADAPTER };

struct world {
    struct csl_study *study;
    struct csl_weigher *w;
};

static void open_adapted(struct world *o, const char *weights, const char *encoder)
{
    struct csl_err err = {0};
    char yaml[2048];
    snprintf(yaml, sizeof(yaml), study_text, encoder, weights);
    if (csl_study_parse(&o->study, "w.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK ||
        csl_weigher_new(&o->w, o->study, SITES, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void open_world(struct world *o, const char *weights)
{
    open_adapted(o, weights, "");
}

static void close_world(struct world *o)
{
    csl_weigher_free(o->w);
    csl_study_free(o->study);
}

static void enrol(struct world *o, uint32_t site, uint64_t one, uint64_t two, uint64_t three)
{
    const uint64_t patients[] = {one, two, three};
    struct csl_block_count blocks[3];
    uint32_t count = 0;
    for (uint32_t d = 0; d < 3; d++)
        if (patients[d] > 0)
            blocks[count++] = (struct csl_block_count){d, patients[d]};
    csl_weigher_enrol(o->w, site, count, blocks);
}

/* Classes in equal parts; skill: of the mean loss against that of the prior, ln of the classes. */
static void report(struct world *o, uint64_t round, uint32_t site, uint32_t domain, uint64_t judged,
                   double skill)
{
    uint32_t classes = o->study->domains[domain].classes;
    struct csl_eval_block b = {.block = domain, .judged = judged, .class_count = classes};
    b.judged_loss = (double)judged * (1 - skill) * log(classes);
    for (uint32_t k = 0; k < classes; k++)
        b.class_mass[k] = (double)judged / classes;
    csl_weigher_report(o->w, round, site, &b);
}

static void is_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * (1 + fabs(expected))))
        fail_msg("found %.12g, expected %.12g", found, expected);
}

static double weight(const struct world *o, uint32_t domain)
{
    return exp(csl_weigher_table(o->w)->rows[domain].log_weight);
}

/* Two sites of domain one, one of each other domain. */
static void four_sites(struct world *o)
{
    enrol(o, 0, 6000, 0, 0);
    enrol(o, 1, 2000, 0, 0);
    enrol(o, 2, 0, 1000, 0);
    enrol(o, 3, 0, 0, 125);
}

static void test_weigh__adapter_of_an_input__weighs_as_the_input(void **state)
{
    struct world o, adapted;
    (void)state;
    open_world(&o, "kind: balanced");
    open_adapted(&adapted, "kind: balanced", ", train: frozen, adapter: {rank: 1}");
    four_sites(&o);
    four_sites(&adapted);
    csl_weigher_catch_up(o.w, 50);
    csl_weigher_catch_up(adapted.w, 50);
    double mass = csl_weigher_mass(adapted.w, 0, ADAPTER, 6000);
    assert_true(mass == csl_weigher_mass(o.w, 0, AGE, 6000));
    assert_true(mass < 5999 || mass > 6001); /* else the test does not test */
    close_world(&adapted);
    close_world(&o);
}

static void test_weigh__balanced__every_domain_has_the_same_total(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: balanced");
    four_sites(&o);
    csl_weigher_catch_up(o.w, 50);
    assert_int_equal(csl_weigher_table(o.w)->round, 0);
    double two = csl_weigher_mass(o.w, 2, AGE, 1000);
    is_near(csl_weigher_mass(o.w, 0, AGE, 6000) + csl_weigher_mass(o.w, 1, AGE, 2000), two);
    is_near(csl_weigher_mass(o.w, 3, AGE, 125), two);
    is_near(csl_weigher_mass(o.w, 0, AGE, 6000), 3 * csl_weigher_mass(o.w, 1, AGE, 2000));
    /* cancels on what one domain has: left out, to the bit */
    assert_true(csl_weigher_mass(o.w, 3, THREE, 125) == 125);
    close_world(&o);
}

static void test_weigh__balanced_with_a_cap__no_weight_leaves_it(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: balanced, cap: 2");
    four_sites(&o);
    csl_weigher_catch_up(o.w, 0);
    is_near(weight(&o, ONE), 0.5);
    is_near(weight(&o, TWO), 1); /* the geometric mean */
    is_near(weight(&o, THREE), 2);
    close_world(&o);
}

/* Until there is an evaluation, and with nothing to choose between domains: FedAvg to the bit. */
static void test_weigh__domain_before_the_first_table__patients_alone(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: domain, every: 5");
    four_sites(&o);
    csl_weigher_catch_up(o.w, 4);
    for (uint32_t d = 0; d < 3; d++)
        assert_true(weight(&o, d) == 1);
    assert_true(csl_weigher_mass(o.w, 1, AGE, 1999) == 1999);
    is_near(csl_weigher_table(o.w)->rows[ONE].patients, 8000);
    close_world(&o);
}

static void test_weigh__domain__is_the_formula_of_the_library(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: domain, every: 5, cap: 16, step_max: 1000, shrinkage: 0, "
                   "smoothing: 1, gate_rounds: 0");
    four_sites(&o);
    report(&o, 5, 0, ONE, 600, 0.7);
    report(&o, 5, 1, ONE, 200, 0.3);
    report(&o, 5, 2, TWO, 100, 0.3);
    report(&o, 5, 3, THREE, 20, 0.2);
    csl_weigher_catch_up(o.w, 5);
    const double n[] = {8000, 1000, 125}, mu[] = {0.6, 0.3, 0.2};
    double mean_n = 0, mean_mu = 0;
    for (uint32_t d = 0; d < 3; d++) {
        mean_n += log(n[d]) / 3;
        mean_mu += log(mu[d]) / 3;
    }
    for (uint32_t d = 0; d < 3; d++) {
        is_near(csl_weigher_table(o.w)->rows[d].skill, mu[d]);
        is_near(log(weight(&o, d)), -0.5 * (log(n[d]) - mean_n) - (log(mu[d]) - mean_mu));
    }
    is_near(csl_weigher_mass(o.w, 0, AGE, 6000), 6000 * weight(&o, ONE));
    close_world(&o);
}

/* One cell's share within its domain, as cells.h has it. */
static void test_weigh__drpo__two_levels_without_a_bound(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: drpo, every: 5");
    four_sites(&o);
    report(&o, 5, 0, ONE, 600, 0.7);
    report(&o, 5, 1, ONE, 200, 0.3);
    report(&o, 5, 2, TWO, 100, 0.05);
    report(&o, 5, 3, THREE, 20, 0.2);
    csl_weigher_catch_up(o.w, 5);
    struct csl_domain_rule rule;
    csl_domain_rule_preset(CSL_DOMAINS_DRPO, &rule);
    const struct csl_cell cells[] = {
        {0, 0, 6000, 0.7}, {1, 0, 2000, 0.3}, {2, 1, 1000, 0.05}, {3, 2, 125, 0.2}};
    double log_lambda[3], log_mass[4];
    struct csl_err err = {0};
    for (uint32_t d = 0; d < 3; d++)
        log_lambda[d] = csl_weigher_table(o.w)->rows[d].log_weight;
    assert_int_equal(csl_cell_masses(&rule, 3, log_lambda, cells, 4, log_mass, &err), CSL_OK);
    for (uint32_t i = 0; i < 4; i++)
        is_near(csl_weigher_mass(o.w, i, AGE, (uint64_t)cells[i].patients), exp(log_mass[i]));
    assert_true(weight(&o, TWO) / weight(&o, ONE) > 100);
    close_world(&o);
}

/* README of aggregation/weights: a lie about skill moves a domain's weight by at most cap^2, and a
 * pair of cells stays within cap^2 of its ratio by patients. */
static void test_weigh__site_lies_about_its_skill__bounded_by_the_cap(void **state)
{
    const double lies[] = {0, 0.1, 0.5, 1};
    double low = HUGE_VAL, high = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct world o;
        open_world(&o, "kind: domain, every: 5, smoothing: 1, step_max: 1000, shrinkage: 0");
        four_sites(&o);
        report(&o, 5, 0, ONE, 600, 0.7);
        report(&o, 5, 1, ONE, 200, 0.7);
        report(&o, 5, 2, TWO, 100, lies[i]);
        report(&o, 5, 3, THREE, 20, 0.5);
        csl_weigher_catch_up(o.w, 5);
        low = fmin(low, weight(&o, TWO));
        high = fmax(high, weight(&o, TWO));
        double ratio = csl_weigher_mass(o.w, 2, AGE, 1000) / csl_weigher_mass(o.w, 0, AGE, 6000);
        assert_true(ratio * 6 <= 4 * (1 + 1e-12) && ratio * 6 >= 0.25 * (1 - 1e-12));
        close_world(&o);
    }
    assert_true(high / low > 1.5); /* it does move */
    assert_true(high / low <= 4 * (1 + 1e-12));
}

/* A site that claims to have judged more patients than it trains on counts with those. */
static void test_weigh__site_claims_many_judged_patients__counts_with_its_own(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: domain, every: 5");
    four_sites(&o);
    report(&o, 5, 0, ONE, 6000, 0.8);
    report(&o, 5, 1, ONE, 4000000000u, 0.4);
    csl_weigher_catch_up(o.w, 5);
    is_near(csl_weigher_table(o.w)->rows[ONE].skill, (6000 * 0.8 + 2000 * 0.4) / 8000);
    close_world(&o);
}

/* Hiding patients gains nothing; claiming k times as many gains at most that. */
static void test_weigh__site_lies_about_its_patients__gains_at_most_its_claim(void **state)
{
    const uint64_t claims[] = {10, 100, 500, 1000, 2000, 10000, 1000000};
    double before = 0, at = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        struct world o;
        open_world(&o, "kind: balanced, cap: 2");
        four_sites(&o);
        enrol(&o, 2, 0, claims[i], 0);
        csl_weigher_catch_up(o.w, 0);
        double all = csl_weigher_mass(o.w, 0, AGE, 6000) + csl_weigher_mass(o.w, 1, AGE, 2000) +
                     csl_weigher_mass(o.w, 3, AGE, 125);
        double odds = csl_weigher_mass(o.w, 2, AGE, claims[i]) / all;
        assert_true(odds >= before * (1 - 1e-12));
        if (claims[i] == 1000)
            at = odds;
        if (claims[i] > 1000)
            assert_true(odds <= at * (double)claims[i] / 1000 * (1 + 1e-12));
        before = odds;
        close_world(&o);
    }
}

static void test_weigh__largest_site__no_site_counts_with_more(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: domain, every: 5, largest_site: 1500");
    four_sites(&o);
    csl_weigher_catch_up(o.w, 0);
    is_near(csl_weigher_table(o.w)->rows[ONE].patients, 3000);
    is_near(csl_weigher_mass(o.w, 0, AGE, 6000), 1500);
    is_near(csl_weigher_mass(o.w, 0, SCAN, 6000), 1500);
    close_world(&o);
}

static void test_weigh__domain_at_few_sites__weight_one_and_its_patients_not_told(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: balanced, minimum_sites: 2");
    four_sites(&o);
    csl_weigher_catch_up(o.w, 0);
    assert_true(weight(&o, TWO) == 1);
    assert_true(csl_weigher_table(o.w)->rows[TWO].patients == 0);
    assert_int_equal(csl_weigher_table(o.w)->rows[TWO].status, CSL_DOMAIN_SMALL);
    is_near(csl_weigher_table(o.w)->rows[ONE].patients, 8000);
    close_world(&o);
}

/* A site with two domains of one input: the mean of their weights, by its patients. */
static void test_weigh__site_with_two_domains__counts_by_their_mean(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: balanced, cap: 2");
    four_sites(&o);
    enrol(&o, 4, 0, 30, 10);
    csl_weigher_catch_up(o.w, 0);
    is_near(csl_weigher_mass(o.w, 4, AGE, 40), 30 * weight(&o, TWO) + 10 * weight(&o, THREE));
    close_world(&o);
}

static void tell_three_rounds(struct world *o, bool is_reversed)
{
    for (uint64_t round = 5; round <= 15; round += 5) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t site = is_reversed ? 3 - i : i;
            report(o, round, site, site < 2 ? ONE : site - 1, 50,
                   0.1 + 0.03 * (double)round + 0.017 * site);
        }
        if (!is_reversed)
            csl_weigher_catch_up(o->w, round);
    }
    csl_weigher_catch_up(o->w, 15);
}

/* What a restart does: the same evaluations again, one after another, tables on the way. */
static void test_weigh__evaluations_told_again__same_bits(void **state)
{
    struct world live, again;
    (void)state;
    open_world(&live, "kind: domain, every: 5, smoothing: 0.3");
    open_world(&again, "kind: domain, every: 5, smoothing: 0.3");
    four_sites(&live);
    four_sites(&again);
    tell_three_rounds(&live, false);
    tell_three_rounds(&again, true);
    assert_int_equal(csl_weigher_table(live.w)->round, 15);
    for (uint32_t d = 0; d < 3; d++) {
        assert_memory_equal(&csl_weigher_table(live.w)->rows[d].log_weight,
                            &csl_weigher_table(again.w)->rows[d].log_weight, sizeof(double));
        assert_true(weight(&live, d) != 1);
    }
    close_world(&live);
    close_world(&again);
}

/* A table that is due comes although nobody reported: weights go back to 1. */
static void test_weigh__no_evaluation__weights_go_to_one(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, "kind: domain, every: 5, smoothing: 1, step_max: 1000");
    four_sites(&o);
    tell_three_rounds(&o, false);
    csl_weigher_catch_up(o.w, 20);
    assert_int_equal(csl_weigher_table(o.w)->round, 20);
    for (uint32_t d = 0; d < 3; d++)
        assert_true(weight(&o, d) == 1);
    close_world(&o);
}

/* --- under masks --- */

#define MASKED(weights)                                                                            \
    weights "}}\nsites: {minimum: 3}\n"                                                            \
            "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"              \
            "statistics: {every: 10, groups: {"

static struct csl_weigher_sum sum_of(double patients, double skill)
{
    return (struct csl_weigher_sum){
        .statistic = {.patients = patients, .skill_sum = patients * skill},
        .sites = 5,
        .has_skill = true};
}

/* Enrolment says nothing there. */
static void test_weigh__publications__tables_by_the_rule(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, MASKED("kind: domain, cap: 16, smoothing: 1, step_max: 1000000, shrinkage: 0, "
                          "gate_rounds: 0"));
    four_sites(&o);
    csl_weigher_catch_up(o.w, 50);
    assert_int_equal(csl_weigher_table(o.w)->round, 0);
    for (uint32_t d = 0; d < 3; d++) {
        is_near(weight(&o, d), 1);
        assert_true(csl_weigher_table(o.w)->rows[d].patients == 0);
    }
    struct csl_weigher_sum sums[] = {sum_of(8000, 0.6), sum_of(1000, 0.3), sum_of(500, 0.2)};
    sums[0].has_skill = sums[1].has_skill = sums[2].has_skill = false; /* no prior yet */
    csl_weigher_publish(o.w, 1, sums, 0);
    is_near(weight(&o, TWO), 1);
    assert_true(csl_weigher_table(o.w)->rows[TWO].patients == 1000);
    sums[0].has_skill = sums[1].has_skill = sums[2].has_skill = true;
    csl_weigher_publish(o.w, 11, sums, 0);
    double x[3], mean = 0;
    for (uint32_t d = 0; d < 3; d++) {
        const struct csl_domain_statistic *c = &sums[d].statistic;
        x[d] = -0.5 * log(c->patients) - log(c->skill_sum / c->patients);
        mean += x[d] / 3;
    }
    for (uint32_t d = 0; d < 3; d++)
        is_near(weight(&o, d), exp(x[d] - mean));
    assert_int_equal(csl_weigher_table(o.w)->round, 11);
    sums[0] = sum_of(1, 1);
    csl_weigher_publish(o.w, 11, sums, 0); /* once more, after a restart: it stays */
    is_near(weight(&o, ONE), exp(x[0] - mean));
    close_world(&o);
}

static void test_weigh__publication_suppressed_or_of_few_sites__weight_one(void **state)
{
    struct world o;
    (void)state;
    open_world(&o, MASKED("kind: balanced, cap: 4, minimum_sites: 4, minimum_patients: 100"));
    struct csl_weigher_sum sums[] = {sum_of(8000, 0), sum_of(1000, 0), sum_of(99, 0)};
    sums[1].sites = 3;
    csl_weigher_publish(o.w, 1, sums, 0);
    for (uint32_t d = 0; d < 3; d++)
        is_near(weight(&o, d), 1); /* one domain alone has nothing to be relative to */
    assert_true(csl_weigher_table(o.w)->rows[ONE].patients == 8000);
    assert_true(csl_weigher_table(o.w)->rows[TWO].patients == 0);
    assert_true(csl_weigher_table(o.w)->rows[THREE].patients == 0);
    sums[1].sites = 4;
    csl_weigher_publish(o.w, 11, sums, 0);
    is_near(weight(&o, ONE) / weight(&o, TWO), 1.0 / 8);
    is_near(weight(&o, THREE), 1);
    sums[1].statistic.is_absent = true;
    csl_weigher_publish(o.w, 21, sums, 0);
    is_near(weight(&o, TWO), 1);
    close_world(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weigh__publications__tables_by_the_rule),
        cmocka_unit_test(test_weigh__publication_suppressed_or_of_few_sites__weight_one),
        cmocka_unit_test(test_weigh__adapter_of_an_input__weighs_as_the_input),
        cmocka_unit_test(test_weigh__balanced__every_domain_has_the_same_total),
        cmocka_unit_test(test_weigh__balanced_with_a_cap__no_weight_leaves_it),
        cmocka_unit_test(test_weigh__domain_before_the_first_table__patients_alone),
        cmocka_unit_test(test_weigh__domain__is_the_formula_of_the_library),
        cmocka_unit_test(test_weigh__drpo__two_levels_without_a_bound),
        cmocka_unit_test(test_weigh__site_lies_about_its_skill__bounded_by_the_cap),
        cmocka_unit_test(test_weigh__site_claims_many_judged_patients__counts_with_its_own),
        cmocka_unit_test(test_weigh__site_lies_about_its_patients__gains_at_most_its_claim),
        cmocka_unit_test(test_weigh__largest_site__no_site_counts_with_more),
        cmocka_unit_test(test_weigh__domain_at_few_sites__weight_one_and_its_patients_not_told),
        cmocka_unit_test(test_weigh__site_with_two_domains__counts_by_their_mean),
        cmocka_unit_test(test_weigh__evaluations_told_again__same_bits),
        cmocka_unit_test(test_weigh__no_evaluation__weights_go_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
