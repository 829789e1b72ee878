/* Weights of domains and groups, and the price of their statistics, against the files beside this
 * one; a number of k decimals is matched to half a unit of the last. */
#include "aggregation/weights/cells.h"
#include "aggregation/weights/groups.h"
#include "aggregation/weights/publication.h"
#include "privacy/dp/account.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define FOLDER "tests/vectors/aggregation/"

static void assert_near(double got, double want, double half_unit)
{
    if (!(fabs(got - want) <= half_unit * (1 + 1e-9)))
        fail_msg("got %.12g, wanted %.12g", got, want);
}

/* Past the origin and the names of the columns. */
static FILE *open_table(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_non_null(fgets(line, sizeof(line), file));
    return file;
}

static size_t read_numbers(FILE *file, double *out, size_t count)
{
    size_t n = 0;
    while (n < count && fscanf(file, n + 1 < count ? "%lf," : "%lf\n", &out[n]) == 1)
        n++;
    return n;
}

static void check_domains(const double row[19])
{
    struct csl_domain_rule rule;
    struct csl_domain_statistic statistics[4] = {{0}};
    struct csl_domain_memory memory[4] = {{0}};
    struct csl_cell cells[4];
    double log_lambda[4], mass[4], share[4];
    csl_domain_rule_preset(CSL_DOMAINS_FEDAVG, &rule);
    rule.alpha = row[0];
    rule.beta = row[1];
    rule.cap = row[2];
    for (uint32_t d = 0; d < 4; d++) {
        statistics[d].patients = row[3 + d];
        statistics[d].skill_sum = row[3 + d] * row[7 + d];
        cells[d] = (struct csl_cell){.site = 0, .domain = d, .patients = row[3 + d]};
    }
    assert_int_equal(csl_domain_update(&rule, 1, 4, statistics, memory, NULL, NULL), CSL_OK);
    for (size_t d = 0; d < 4; d++) {
        log_lambda[d] = memory[d].log_lambda;
        assert_near(exp(log_lambda[d]), row[11 + d], 0.5e-6);
    }
    assert_int_equal(csl_cell_masses(&rule, 4, log_lambda, cells, 4, mass, NULL), CSL_OK);
    assert_int_equal(csl_cell_shares(cells, 4, mass, NULL, share, NULL), CSL_OK);
    for (size_t d = 0; d < 4; d++)
        assert_near(share[d], row[15 + d], 0.5e-6);
}

static void test_weights_vectors__domains__as_the_design(void **state)
{
    (void)state;
    FILE *file = open_table(FOLDER "domain_weights.csv");
    double row[19];
    int rows = 0;
    for (; read_numbers(file, row, 19) == 19; rows++)
        check_domains(row);
    fclose(file);
    assert_int_equal(rows, 5);
}

static void test_weights_vectors__groups__as_the_design(void **state)
{
    (void)state;
    FILE *file = open_table(FOLDER "group_weights.csv");
    double row[10], v[3];
    int rows = 0;
    for (; read_numbers(file, row, 10) == 10; rows++) {
        struct csl_group_rule rule;
        struct csl_stratum strata[3] = {{{0}, 0, 0}};
        csl_group_rule_default(&rule);
        rule.cap = row[0];
        rule.patients_min = 20;
        for (size_t g = 0; g < 3; g++) {
            strata[g].level[0] = (uint8_t)(g + 1);
            strata[g].patients = row[1 + g];
            strata[g].skill_sum = row[1 + g] * row[4 + g];
        }
        assert_int_equal(csl_group_weights(&rule, 1, strata, 3, v, NULL, NULL), CSL_OK);
        for (size_t g = 0; g < 3; g++)
            assert_near(v[g], row[7 + g], 0.5e-6);
    }
    fclose(file);
    assert_int_equal(rows, 2);
}

/* Also against an accountant that knows nothing of the closed form. */
static void check_noise(double epsilon, uint32_t publications, double want)
{
    const struct csl_publication_plan plan = {epsilon, 1e-6, publications,
                                              csl_publication_sensitivity2(2, 1)};
    double sigma;
    struct csl_price price;
    assert_int_equal(csl_publication_noise(&plan, &sigma, NULL), CSL_OK);
    assert_near(sigma, want, 0.05);
    const struct csl_dp_event event = {.mechanism = CSL_DP_GAUSSIAN,
                                       .sampler = CSL_DP_FULL_BATCH,
                                       .noise_multiplier = sigma / sqrt(plan.sensitivity2),
                                       .sampling_rate = 1,
                                       .steps = publications};
    assert_int_equal(csl_account(&event, 1, plan.delta, &price, NULL), CSL_OK);
    assert_true(price.epsilon <= epsilon);
    assert_true(price.epsilon >= 0.7 * epsilon); /* and not noise for nothing */
}

static void test_weights_vectors__noise__as_the_design_and_enough(void **state)
{
    (void)state;
    static const uint32_t publications[4] = {1, 10, 20, 50};
    FILE *file = open_table(FOLDER "publication_noise.csv");
    double row[5];
    int rows = 0;
    for (; read_numbers(file, row, 5) == 5; rows++)
        for (size_t i = 0; i < 4; i++)
            check_noise(row[0], publications[i], row[1 + i]);
    fclose(file);
    assert_int_equal(rows, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_vectors__domains__as_the_design),
        cmocka_unit_test(test_weights_vectors__groups__as_the_design),
        cmocka_unit_test(test_weights_vectors__noise__as_the_design_and_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
