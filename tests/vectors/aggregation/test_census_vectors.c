/* Statistics of features against NumPy, from the files beside this one. */
#include "aggregation/statistics/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define FOLDER "tests/vectors/aggregation/"
enum { BINS = 14, NUMBERS = 5 + CSL_STATISTICS_QUANTILES + BINS, WORDS = 1 + BINS + 5 };

static const struct csl_statistics_shape shape = {.features = 1, .bins = BINS};
static const struct csl_statistics_range range = {20, 90};

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

static int count(int64_t sum[WORDS])
{
    FILE *file = open_table(FOLDER "statistics_values.csv");
    int n = 0;
    for (double v; fscanf(file, "%lf", &v) == 1; n++)
        csl_statistics_add(&shape, &range, NULL, &v, sum);
    assert_int_equal(fclose(file), 0);
    return n;
}

static void read_numbers(double out[NUMBERS])
{
    FILE *file = open_table(FOLDER "statistics.csv");
    char name[16];
    for (int i = 0; i < NUMBERS; i++)
        assert_int_equal(fscanf(file, "%15[^,],%lf\n", name, &out[i]), 2);
    assert_int_equal(fclose(file), 0);
}

static void test_census__numpy__agrees(void **state)
{
    (void)state;
    int64_t sum[WORDS] = {0};
    double want[NUMBERS];
    struct csl_feature_figures f;
    int n = count(sum);
    const struct csl_statistics_sum exact = {
        .sites = 1, .sites_min = 1, .minimum_cell = 5, .is_own = true};
    read_numbers(want);
    assert_int_equal(sum[0], n * CSL_STATISTICS_ONE);
    assert_int_equal(sum[1], (int64_t)want[0] * CSL_STATISTICS_ONE);
    assert_int_equal(sum[2], (int64_t)want[1] * CSL_STATISTICS_ONE);
    assert_int_equal(sum[3 + BINS], (int64_t)want[2] * CSL_STATISTICS_ONE);
    for (int b = 0; b < BINS; b++)
        assert_int_equal(sum[3 + b],
                         (int64_t)want[5 + CSL_STATISTICS_QUANTILES + b] * CSL_STATISTICS_ONE);
    csl_statistics_feature(&shape, &exact, &range, 0, sum, &f);
    /* Every value is rounded to 1 / 1024 of half the range, and every square once more. */
    double unit = (range.high - range.low) / 2 / CSL_STATISTICS_ONE;
    assert_true(f.mean.is_shown && fabs(f.mean.value - want[3]) <= unit / 2);
    assert_true(f.deviation.is_shown && fabs(f.deviation.value - want[4]) <= 2 * unit);
    assert_true(f.missing.is_shown && fabs(f.missing.value - want[0] / n) <= 1e-12);
    assert_true(f.outside.is_shown &&
                fabs(f.outside.value - (want[1] + want[2]) / (n - want[0])) <= 1e-12);
    for (int q = 0; q < CSL_STATISTICS_QUANTILES; q++) {
        assert_true(f.quantiles[q].low <= want[5 + q] && want[5 + q] <= f.quantiles[q].high);
        assert_true(fabs(f.quantiles[q].value - want[5 + q]) <=
                    (range.high - range.low) / BINS); /* within its bin */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_census__numpy__agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
