/* Weights of domains: what is refused, what is kept, and the guards over time. */
#include "aggregation/weights/cells.h"
#include "aggregation/weights/check.h"
#include "aggregation/weights/publication.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct csl_domain_statistic of(double patients, double skill)
{
    return (struct csl_domain_statistic){.patients = patients, .skill_sum = patients * skill};
}

static void update(const struct csl_domain_rule *rule, uint64_t round, uint32_t count,
                   const struct csl_domain_statistic *s, struct csl_domain_memory *m,
                   enum csl_domain_status *status)
{
    assert_int_equal(csl_domain_update(rule, round, count, s, m, status, NULL), CSL_OK);
}

static void test_weights__rules__presets_pass_and_others_are_refused(void **state)
{
    (void)state;
    struct csl_domain_rule r;
    struct csl_err err;
    for (int p = CSL_DOMAINS_FEDAVG; p <= CSL_DOMAINS_DRPO; p++) {
        csl_domain_rule_preset((enum csl_domain_preset)p, &r);
        assert_int_equal(csl_domain_rule_check(&r, NULL), CSL_OK);
    }
    r.alpha = 1.01;
    assert_int_equal(csl_domain_rule_check(&r, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "hiding patients"));
    r.alpha = NAN;
    assert_int_equal(csl_domain_rule_check(&r, NULL), CSL_E_INVAL);
    r.alpha = 1;
    r.cap = 0.9;
    assert_int_equal(csl_domain_rule_check(&r, NULL), CSL_E_INVAL);
    csl_domain_rule_preset(CSL_DOMAINS_WEIGHTED, &r);
    r.smoothing = 0;
    assert_int_equal(csl_domain_rule_check(&r, NULL), CSL_E_INVAL);
}

static void test_weights__impossible_statistics__last_weight_is_kept(void **state)
{
    (void)state;
    static const double bad[][2] = {{NAN, 1},  {100, NAN}, {HUGE_VAL, 1}, {100, HUGE_VAL},
                                    {-100, 1}, {100, -1},  {100, 101}};
    struct csl_domain_rule r;
    csl_domain_rule_preset(CSL_DOMAINS_WEIGHTED, &r);
    struct csl_domain_memory m[2] = {{0}};
    struct csl_domain_statistic s[2] = {of(10000, 0.8), of(1000, 0.3)};
    enum csl_domain_status status[2];
    update(&r, 1, 2, s, m, status);
    double kept = m[1].log_lambda;
    assert_true(kept > 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s[1].patients = bad[i][0];
        s[1].skill_sum = bad[i][1];
        update(&r, 2, 2, s, m, status);
        assert_int_equal(status[1], CSL_DOMAIN_REJECTED);
        assert_true(m[1].log_lambda == kept);
        assert_int_equal(status[0], CSL_DOMAIN_USED);
        assert_true(isfinite(m[0].log_lambda));
    }
}

static void test_weights__change__is_smoothed_and_stepped(void **state)
{
    (void)state;
    struct csl_domain_rule r;
    csl_domain_rule_preset(CSL_DOMAINS_WEIGHTED, &r);
    r.gate_rounds = 0;
    r.shrinkage = 0;
    struct csl_domain_memory m[2] = {{0}};
    struct csl_domain_statistic s[2] = {of(100000, 0.8), of(100, 0.8)};
    update(&r, 1, 2, s, m, NULL);
    /* the first is taken whole, but for the step: the cap would be ln 2 */
    assert_true(fabs(m[1].log_lambda - log(1.5)) < 1e-15);
    assert_true(fabs(m[0].log_lambda + log(1.5)) < 1e-15);
    update(&r, 2, 2, s, m, NULL);
    assert_true(fabs(m[1].log_lambda - (0.9 * log(1.5) + 0.1 * log(2))) < 1e-15);
    for (uint64_t t = 3; t < 400; t++)
        update(&r, t, 2, s, m, NULL);
    assert_true(fabs(m[1].log_lambda - log(2)) < 1e-9);
    /* too small from one publication to the next: back to 1, a step at a time */
    s[1].is_absent = true;
    enum csl_domain_status status[2];
    update(&r, 400, 2, s, m, status);
    assert_int_equal(status[1], CSL_DOMAIN_SMALL);
    assert_true(fabs(m[1].log_lambda - (log(2) - log(1.5))) < 1e-9);
    update(&r, 401, 2, s, m, status);
    assert_true(m[1].log_lambda == 0);
}

static void test_weights__skill_does_not_rise__weight_decays_until_it_does(void **state)
{
    (void)state;
    struct csl_domain_rule r;
    csl_domain_rule_preset(CSL_DOMAINS_WEIGHTED, &r);
    struct csl_domain_memory m[2] = {{0}};
    struct csl_domain_statistic s[2] = {of(10000, 0.5), of(1000, 0.1)};
    enum csl_domain_status status[2];
    for (uint64_t round = 0; round < 10; round++) {
        s[0] = of(10000, 0.5 + 0.04 * (double)round);
        update(&r, round, 2, s, m, status);
        assert_int_equal(status[1], CSL_DOMAIN_USED);
    }
    double before = m[1].log_lambda;
    s[0] = of(10000, 0.95);
    update(&r, 10, 2, s, m, status);
    assert_int_equal(status[1], CSL_DOMAIN_STALLED);
    assert_int_equal(status[0], CSL_DOMAIN_USED);
    assert_true(fabs(m[1].log_lambda - 0.9 * before) < 1e-15);
    s[1] = of(1000, 0.4);
    update(&r, 11, 2, s, m, status);
    assert_int_equal(status[1], CSL_DOMAIN_USED);
    /* nobody gets better: plain averaging in the end */
    for (uint64_t round = 12; round < 400; round++)
        update(&r, round, 2, s, m, status);
    assert_int_equal(status[0], CSL_DOMAIN_STALLED);
    assert_true(fabs(m[0].log_lambda) < 1e-9 && fabs(m[1].log_lambda) < 1e-9);
}

/* 1 / (sqrt(N) mu sqrt(n) mu_c) for every cell, which is what DRPO multiplies advantages by on two
 * levels, up to the number of cells of a domain (equal here). */
static void test_weights__literal_two_levels__as_the_temperatures(void **state)
{
    (void)state;
    static const struct csl_cell cells[4] = {
        {0, 0, 300, 0.7}, {0, 1, 40, 0.2}, {1, 0, 700, 0.4}, {1, 1, 10, 0.6}};
    struct csl_domain_rule r;
    csl_domain_rule_preset(CSL_DOMAINS_DRPO, &r);
    double patients[2] = {1000, 50};
    double mu[2] = {(300 * 0.7 + 700 * 0.4) / 1000, (40 * 0.2 + 10 * 0.6) / 50};
    struct csl_domain_statistic s[2] = {of(patients[0], mu[0]), of(patients[1], mu[1])};
    struct csl_domain_memory m[2] = {{0}};
    update(&r, 1, 2, s, m, NULL);
    double log_lambda[2] = {m[0].log_lambda, m[1].log_lambda}, mass[4], share[4], want[4], sum = 0;
    assert_int_equal(csl_cell_masses(&r, 2, log_lambda, cells, 4, mass, NULL), CSL_OK);
    assert_int_equal(csl_cell_shares(cells, 4, mass, NULL, share, NULL), CSL_OK);
    for (size_t i = 0; i < 4; i++) {
        uint32_t d = cells[i].domain;
        want[i] = cells[i].patients /
                  (sqrt(patients[d]) * mu[d] * sqrt(cells[i].patients) * cells[i].skill);
        sum += want[i];
    }
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(share[i] - want[i] / sum) < 1e-12);
}

static void test_weights__branch_of_one_modality__normalised_over_its_cells(void **state)
{
    (void)state;
    static const struct csl_cell cells[3] = {{0, 0, 100, 1}, {0, 1, 50, 1}, {1, 1, 150, 1}};
    static const bool has_branch[2] = {false, true}, nobody[2] = {false, false};
    const double log_lambda[2] = {0, log(2)};
    double mass[3], share[3];
    struct csl_domain_rule r;
    csl_domain_rule_preset(CSL_DOMAINS_FEDAVG, &r);
    assert_int_equal(csl_cell_masses(&r, 2, log_lambda, cells, 3, mass, NULL), CSL_OK);
    assert_int_equal(csl_cell_shares(cells, 3, mass, NULL, share, NULL), CSL_OK);
    assert_true(fabs(share[0] - 0.2) < 1e-15 && fabs(share[1] - 0.2) < 1e-15);
    assert_true(fabs(csl_effective_number(share, 3) - 1 / 0.44) < 1e-12);
    assert_int_equal(csl_cell_shares(cells, 3, mass, has_branch, share, NULL), CSL_OK);
    assert_true(share[0] == 0 && fabs(share[1] - 0.25) < 1e-15 && fabs(share[2] - 0.75) < 1e-15);
    assert_int_equal(csl_cell_shares(cells, 3, mass, nobody, share, NULL), CSL_E_STATE);
}

static void test_weights__cells_in_disorder_or_absurd__refused(void **state)
{
    (void)state;
    struct csl_cell cells[2] = {{1, 0, 1, 1}, {0, 0, 1, 1}};
    double log_lambda[1] = {0}, mass[2];
    struct csl_domain_rule r;
    csl_domain_rule_preset(CSL_DOMAINS_DRPO, &r);
    assert_int_equal(csl_cell_masses(&r, 1, log_lambda, cells, 2, mass, NULL), CSL_E_INVAL);
    cells[1].site = 1;
    assert_int_equal(csl_cell_masses(&r, 1, log_lambda, cells, 2, mass, NULL), CSL_E_INVAL);
    cells[1].site = 2;
    assert_int_equal(csl_cell_masses(&r, 1, log_lambda, cells, 2, mass, NULL), CSL_OK);
    cells[1].skill = 1.5;
    assert_int_equal(csl_cell_masses(&r, 1, log_lambda, cells, 2, mass, NULL), CSL_E_INVAL);
    cells[1].skill = 1;
    cells[1].patients = -1;
    assert_int_equal(csl_cell_masses(&r, 1, log_lambda, cells, 2, mass, NULL), CSL_E_INVAL);
    cells[1].patients = 1;
    cells[1].domain = 1;
    assert_int_equal(csl_cell_masses(&r, 1, log_lambda, cells, 2, mass, NULL), CSL_E_INVAL);
    cells[1].domain = 0;
    log_lambda[0] = NAN;
    assert_int_equal(csl_cell_masses(&r, 1, log_lambda, cells, 2, mass, NULL), CSL_E_INVAL);
}

/* With shrinkage I5 has an exception: a small domain that does far better than all others is taken
 * for an ordinary one, and the less of it there is, the more so. */
static void test_weights__shrinkage__hiding_may_pay_in_a_small_easy_domain(void **state)
{
    (void)state;
    struct csl_domain_rule r;
    csl_domain_rule_preset(CSL_DOMAINS_WEIGHTED, &r);
    r.cap = HUGE_VAL;
    r.step_max = HUGE_VAL;
    double mass[2];
    for (size_t i = 0; i < 2; i++) {
        struct csl_domain_memory m[2] = {{0}};
        const struct csl_domain_statistic s[2] = {of(1e6, 0.05), of(i == 0 ? 30 : 60, 1)};
        update(&r, 1, 2, s, m, NULL);
        mass[i] = log(s[1].patients) + m[1].log_lambda - m[0].log_lambda;
    }
    assert_true(mass[0] > mass[1]);
}

static const struct csl_weights_limits limits = {.cap = 2,
                                                 .step_max = 0.41,
                                                 .group_cap = 2,
                                                 .product_max = 4,
                                                 .patients_max = 1000,
                                                 .effective_min = 3};

static enum csl_code check_lines(double x0, double before, double n0, double x1, double n1)
{
    const struct csl_weights_line lines[2] = {
        {.log_lambda = x0, .log_lambda_before = before, .patients = n0},
        {.log_lambda = x1, .log_lambda_before = x1, .patients = n1}};
    return csl_weights_check(&limits, 2, lines, NULL);
}

static void test_weights__table_at_a_site__checked(void **state)
{
    (void)state;
    assert_int_equal(check_lines(0, 0, 3000, 0, 3000), CSL_OK);
    assert_int_equal(check_lines(log(2), log(2), 5000, -log(2), 5000), CSL_OK);
    assert_int_equal(check_lines(log(2.001), log(2), 5000, 0, 5000), CSL_E_LIMIT); /* cap */
    assert_int_equal(check_lines(0.42, 0, 5000, 0, 5000), CSL_E_LIMIT);            /* step */
    assert_int_equal(check_lines(0, NAN, 5000, 0, 5000), CSL_E_LIMIT);
    assert_int_equal(check_lines(NAN, 0, 5000, 0, 5000), CSL_E_INVAL);
    assert_int_equal(check_lines(0, 0, -1, 0, 5000), CSL_E_INVAL);
    /* 5999 of patients, and one site may have 1000 of each of two domains: fewer than 3 */
    assert_int_equal(check_lines(0, 0, 3000, 0, 2999), CSL_E_LIMIT);
    struct csl_weights_limits l = limits;
    const struct csl_weights_line line = {.patients = 1e6};
    l.group_cap = 2.5;
    assert_int_equal(csl_weights_check(&l, 1, &line, NULL), CSL_E_LIMIT);
    l.group_cap = 0.5;
    assert_int_equal(csl_weights_check(&l, 1, &line, NULL), CSL_E_INVAL);
}

static void test_weights__small_sums__suppressed(void **state)
{
    (void)state;
    static const uint32_t sites[4] = {9, 9, 4, 5};
    struct csl_domain_statistic s[4] = {of(997, 1), of(996, 1), of(5000, 1), of(NAN, 1)};
    csl_publication_suppress(58.6, 5, 4, sites, s); /* 17 * 58.6 = 996.2 */
    assert_false(s[0].is_absent);
    assert_true(s[1].is_absent && s[2].is_absent && s[3].is_absent);
}

static void test_weights__skill_in_units__never_above_one(void **state)
{
    (void)state;
    assert_int_equal(csl_publication_skill(0, 0.7), CSL_PUBLICATION_ONE);
    assert_int_equal(csl_publication_skill(0.35, 0.7), CSL_PUBLICATION_ONE / 2);
    assert_int_equal(csl_publication_skill(7, 0.7), 0);
    assert_int_equal(csl_publication_skill(NAN, 0.7), 0);
    assert_int_equal(csl_publication_skill(HUGE_VAL, 0.7), 0);
    assert_int_equal(csl_publication_skill(-1e300, 1e-300), CSL_PUBLICATION_ONE);
    assert_int_equal(csl_publication_skill(0, 0), 0);
    struct csl_publication_plan plan = {0, 1e-6, 1, 6};
    double sigma = 5;
    assert_int_equal(csl_publication_noise(&plan, &sigma, NULL), CSL_E_INVAL);
    plan.epsilon = 1;
    plan.delta = 1;
    assert_int_equal(csl_publication_noise(&plan, &sigma, NULL), CSL_E_INVAL);
    assert_true(sigma == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights__rules__presets_pass_and_others_are_refused),
        cmocka_unit_test(test_weights__impossible_statistics__last_weight_is_kept),
        cmocka_unit_test(test_weights__change__is_smoothed_and_stepped),
        cmocka_unit_test(test_weights__skill_does_not_rise__weight_decays_until_it_does),
        cmocka_unit_test(test_weights__literal_two_levels__as_the_temperatures),
        cmocka_unit_test(test_weights__branch_of_one_modality__normalised_over_its_cells),
        cmocka_unit_test(test_weights__cells_in_disorder_or_absurd__refused),
        cmocka_unit_test(test_weights__shrinkage__hiding_may_pay_in_a_small_easy_domain),
        cmocka_unit_test(test_weights__table_at_a_site__checked),
        cmocka_unit_test(test_weights__small_sums__suppressed),
        cmocka_unit_test(test_weights__skill_in_units__never_above_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
