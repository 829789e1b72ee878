/* What is shown of an opened sum of statistics, and what is suppressed. */
#include "aggregation/weights/publication.h"
#include "coordinator/published.h"
#include "protocol/study/evaluation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ONE ((uint64_t)CSL_PUBLICATION_ONE)
enum { WORDS = 2 * 3 + 2 };

static struct csl_study *study;

static int set_up(void **state)
{
    static const char yaml[] =
        "study: s\ndomains:\n  - id: a\n    modality: tabular\n"
        "    task: {kind: binary, label: ill}\n    features: [x]\n    scaling: constants\n"
        "    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, steps: 1}}\n"
        "rounds: 20\nsites: {minimum: 5}\naggregation: {strategy: fedavg}\n"
        "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 5}\n"
        "fairness: {attributes: [sex], minimum_group: 40}\n"
        "statistics: {every: 5, groups: {sex: [f, m]}}\n";
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    if (csl_study_parse(&study, "s.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(csl_study_statistics_words(study, 0), WORDS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    csl_study_free(study);
    return 0;
}

static struct csl_store_publication row_of(const uint64_t words[WORDS], uint32_t sites)
{
    return (struct csl_store_publication){
        .round = 6, .sites = sites, .word_count = WORDS, .words = words};
}

static struct csl_published read_row(const uint64_t words[WORDS], uint32_t sites, bool has_skill,
                                     double sigma_share)
{
    struct csl_store_publication row = row_of(words, sites);
    struct csl_published p;
    struct csl_err err = {.code = CSL_OK};
    if (csl_published_read(study, &row, has_skill, sigma_share, &p, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(p.cell_count, 3);
    return p;
}

/* Six sites at 10 patients each: sigma 24.5, and 17 sigma are 416.4 patients. */
static void test_published__cells_below_17_sigma__suppressed(void **state)
{
    const uint64_t words[WORDS] = {417 * ONE, 200 * ONE, 416 * ONE, 100 * ONE, 1 * ONE, ONE, 0, 0};
    struct csl_published p = read_row(words, 6, true, 10);
    (void)state;
    assert_true(fabs(p.sigma - 10 * sqrt(6)) < 1e-12);
    assert_false(p.cells[0].is_absent);
    assert_true(p.cells[0].patients == 417 && p.cells[0].skill_sum == 200);
    for (int i = 1; i < 3; i++)
        assert_true(p.cells[i].is_absent && p.cells[i].patients == 0 && p.cells[i].skill_sum == 0);
}

static void test_published__sum_of_too_few_sites__suppressed(void **state)
{
    const uint64_t words[WORDS] = {4000 * ONE, 0, 2000 * ONE, 0, 2000 * ONE, 0, ONE, ONE};
    struct csl_published p = read_row(words, 4, false, 0);
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(p.cells[i].is_absent);
    assert_true(p.prior_loss == 0); /* nor are its classes used */
    p = read_row(words, 5, false, 0);
    assert_false(p.cells[0].is_absent);
    assert_true(p.prior_loss == log(2));
}

static void test_published__exact_sums__groups_below_the_minimum_suppressed(void **state)
{
    const uint64_t words[WORDS] = {80 * ONE, 50 * ONE, 40 * ONE, 20 * ONE,
                                   39 * ONE, 30 * ONE, 0,        0};
    struct csl_published p = read_row(words, 5, true, 0);
    (void)state;
    assert_true(p.cells[1].patients == 40 && !p.cells[1].is_absent); /* 40 are not shown */
    assert_true(p.cells[2].is_absent);
}

/* Of an exact total: what is not shown may be no small group. */
static void test_published__exact_sums__no_small_group_is_the_difference(void **state)
{
    static const struct {
        uint64_t all, women, men;
        bool shows_women, shows_men;
    } rows[] = {{79, 40, 39, false, false}, /* 39 by subtraction */
                {1000, 961, 39, false, false},
                {100, 60, 40, true, true},  /* all of them */
                {101, 60, 40, true, false}, /* of one patient the sex is not known */
                {140, 60, 40, true, true}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint64_t words[WORDS] = {
            rows[i].all * ONE, 0, rows[i].women * ONE, 0, rows[i].men * ONE, 0, 0, 0};
        struct csl_published p = read_row(words, 5, true, 0);
        assert_false(p.cells[0].is_absent);
        assert_int_equal(!p.cells[1].is_absent, rows[i].shows_women);
        assert_int_equal(!p.cells[2].is_absent, rows[i].shows_men);
    }
}

/* Noise is not cut, and a mean outside of what a skill can be is brought back. */
static void test_published__noise_below_zero__no_nonsense(void **state)
{
    const uint64_t words[WORDS] = {1000 * ONE, (uint64_t)0 - 5 * ONE, 600 * ONE,
                                   700 * ONE,  (uint64_t)0 - 3 * ONE, ONE,
                                   300 * ONE,  (uint64_t)0 - ONE};
    struct csl_published p = read_row(words, 5, true, 1);
    (void)state;
    assert_true(p.cells[0].skill_sum == 0);
    assert_true(p.cells[1].skill_sum == 600);
    assert_true(p.cells[2].is_absent);
    p = read_row(words, 5, false, 1);
    assert_true(p.prior_loss == 0); /* one class alone has no prior */
    assert_true(p.cells[1].skill_sum == 0);
}

static void test_published__row_of_another_study__refused(void **state)
{
    const uint64_t words[WORDS] = {0};
    struct csl_store_publication row = row_of(words, 5);
    struct csl_published p;
    struct csl_err err;
    (void)state;
    row.round = 7; /* not due */
    assert_int_equal(csl_published_read(study, &row, true, 0, &p, &err), CSL_E_CORRUPT);
    row = row_of(words, 5);
    row.word_count--;
    assert_int_equal(csl_published_read(study, &row, true, 0, &p, &err), CSL_E_CORRUPT);
    row = row_of(words, 5);
    row.domain = 1;
    assert_int_equal(csl_published_read(study, &row, true, 0, &p, &err), CSL_E_CORRUPT);
}

/* 300 patients and 100, skill 0.6 and 0.3, so the mean is 0.525: pi G of 1.5 and 0.5. */
static void test_published__weights_of_groups__rare_and_difficult_count_more(void **state)
{
    const uint64_t words[WORDS] = {400 * ONE, 210 * ONE, 300 * ONE, 180 * ONE, 100 * ONE, 30 * ONE};
    const uint64_t few[WORDS] = {400 * ONE, 210 * ONE, 380 * ONE, 200 * ONE, 20 * ONE, 10 * ONE};
    struct csl_published p = read_row(words, 6, true, 0), none = {0};
    struct csl_err err = {.code = CSL_OK};
    double v[2] = {pow(1.5, -0.5) * 0.525 / 0.6, pow(0.5, -0.5) * 0.525 / 0.3}, out[2];
    (void)state;
    study->fairness.weights = (struct csl_study_group_weights){true, 0.5, 1, 4};
    assert_int_equal(csl_published_weigh_groups(study, &p, out, &err), CSL_OK);
    double mean = (300 * v[0] + 100 * v[1]) / 400;
    for (int g = 0; g < 2; g++)
        assert_true(fabs(out[g] - log(v[g] / mean)) < 1e-12);
    assert_true(out[1] > 0.3 && fabs(300 * exp(out[0]) + 100 * exp(out[1]) - 400) < 1e-9);
    p = read_row(few, 6, true, 0); /* one of two groups is not usable */
    assert_int_equal(csl_published_weigh_groups(study, &p, out, &err), CSL_OK);
    assert_true(out[0] == 0 && out[1] == 0);
    p = read_row(words, 6, false, 0); /* no skill is known yet */
    assert_int_equal(csl_published_weigh_groups(study, &p, out, &err), CSL_OK);
    assert_true(out[0] == 0 && out[1] == 0);
    assert_int_equal(csl_published_weigh_groups(study, &none, out, &err), CSL_OK);
    assert_true(out[0] == 0 && out[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published__cells_below_17_sigma__suppressed),
        cmocka_unit_test(test_published__sum_of_too_few_sites__suppressed),
        cmocka_unit_test(test_published__exact_sums__groups_below_the_minimum_suppressed),
        cmocka_unit_test(test_published__exact_sums__no_small_group_is_the_difference),
        cmocka_unit_test(test_published__noise_below_zero__no_nonsense),
        cmocka_unit_test(test_published__weights_of_groups__rare_and_difficult_count_more),
        cmocka_unit_test(test_published__row_of_another_study__refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
