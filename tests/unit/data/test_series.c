/* What a series becomes: masks, times since a measurement, summaries of windows; and how they are
 * scaled. All expected values are by hand. */
#include "site-agent/data/dataset_internal.h"
#include "site-agent/data/series.h"
#include "tests/unit/data/support.h"

#include <math.h>

#define NAMES 3

/* Five steps of three variables; the domain reads the last and the first. */
static const float raw[5 * NAMES] = {
    NAN, 9, 4, /**/ 2, 9, NAN, /**/ NAN, 9, NAN, /**/ 6, 9, 1, /**/ 1, 9, NAN,
};
static const uint32_t columns[2] = {2, 0};
static struct csl_feature features[2] = {{.scale = 2, .centre = 1, .clip = 1.25}, {.scale = 4}};

static struct csl_domain domain_of(enum csl_missing missing, uint32_t windows)
{
    uint32_t inputs = 2 * (windows > 0 ? CSL_SUMMARY_INPUTS : (uint32_t)missing + 1);
    uint32_t rows = windows > 0 ? windows : 5;
    return (struct csl_domain){.id = "hours",
                               .modality = CSL_EHR_SERIES,
                               .features = features,
                               .feature_count = 2,
                               .shape = {rows, inputs, 1, 1},
                               .width = rows * inputs,
                               .missing = missing,
                               .windows = windows,
                               .measured_scale = 1,
                               .steps = windows > 0 ? 5 : 0};
}

static void expect(const struct csl_domain *d, const float *want)
{
    float have[64];
    assert_true(d->width <= 64);
    csl_series_inputs(d, raw, NAMES, columns, have);
    for (uint32_t k = 0; k < d->width; k++)
        if (!(fabsf(have[k] - want[k]) < 1e-6f || (isnan(have[k]) && isnan(want[k]))))
            fail_msg("input %u: %g, should be %g", k, (double)have[k], (double)want[k]);
}

static void test_series__no_marks__is_the_values_in_the_order_of_the_study(void **state)
{
    (void)state;
    const struct csl_domain d = domain_of(CSL_MISSING_CENTRE, 0);
    expect(&d, (const float[]){4, NAN, NAN, 2, NAN, NAN, 1, 6, NAN, 1});
}

static void test_series__mask__is_one_where_measured(void **state)
{
    (void)state;
    const struct csl_domain d = domain_of(CSL_MISSING_MASK, 0);
    expect(&d, (const float[]){4, NAN, 1, 0, /**/ NAN, 2, 0, 1, /**/ NAN, NAN, 0, 0, /**/
                               1, 6,   1, 1, /**/ NAN, 1, 0, 1});
}

static void test_series__delta__counts_from_the_last_measurement_or_the_start(void **state)
{
    (void)state;
    const struct csl_domain d = domain_of(CSL_MISSING_MASK_AND_DELTA, 0);
    expect(&d, (const float[]){4,   NAN, 1, 0, 0,    0,    /**/ NAN, 2, 0, 1, 0.2f, 0.2f, /**/
                               NAN, NAN, 0, 0, 0.4f, 0.2f, /**/ 1,   6, 1, 1, 0.6f, 0.4f, /**/
                               NAN, 1,   0, 1, 0.2f, 0.2f});
}

static void test_series__windows__are_mean_low_high_first_last_and_part(void **state)
{
    (void)state;
    const struct csl_domain one = domain_of(CSL_MISSING_CENTRE, 1);
    expect(&one, (const float[]){2.5f, 3, 1, 1, 4, 6, 4, 2, 1, 1, 0.4f, 0.6f});
    /* steps 0 and 1, then 2 to 4 */
    const struct csl_domain two = domain_of(CSL_MISSING_CENTRE, 2);
    expect(&two, (const float[]){4, 2,    4, 2, 4, 2, 4, 2, 4, 2, 0.5f,     0.5f, /**/
                                 1, 3.5f, 1, 1, 1, 6, 1, 6, 1, 1, 1 / 3.0f, 2 / 3.0f});
    /* a window without a measurement has no value and says so */
    const struct csl_domain five = domain_of(CSL_MISSING_CENTRE, 5);
    expect(&five, (const float[]){4,   NAN, 4,   NAN, 4,   NAN, 4,   NAN, 4,   NAN, 1, 0, /**/
                                  NAN, 2,   NAN, 2,   NAN, 2,   NAN, 2,   NAN, 2,   0, 1, /**/
                                  NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0, /**/
                                  1,   6,   1,   6,   1,   6,   1,   6,   1,   6,   1, 1, /**/
                                  NAN, 1,   NAN, 1,   NAN, 1,   NAN, 1,   NAN, 1,   0, 1});
}

static void scale(const struct csl_domain *d, const struct csl_examples *train, float *row)
{
    struct csl_err err;
    struct csl_feature_constants c;
    ASSERT_OK(csl_constants_make__(d, train, &c, &err), &err);
    csl_series_inputs(d, raw, NAMES, columns, row);
    ASSERT_OK(csl_row_scale__(row, d, &c, false, &err), &err);
    csl_constants_release__(&c);
}

static void test_series__scaled__leaves_masks_and_times_as_they_are(void **state)
{
    (void)state;
    const struct csl_domain d = domain_of(CSL_MISSING_MASK_AND_DELTA, 0);
    const struct csl_examples none = {0};
    float row[64];
    scale(&d, &none, row);
    /* (4 - 1) / 2 is cut to 1.25; what is missing is at the centre */
    const float want[12] = {1.25f, 0, 1, 0, 0, 0, /**/ 0, 0.5f, 0, 1, 0.2f, 0.2f};
    for (uint32_t k = 0; k < 12; k++)
        assert_true(fabsf(row[k] - want[k]) < 1e-6f);
}

/* (count / steps) / 0.125 is not cut: with a clip of 1.25 the values beside it are. */
static void test_series__measured_scale__divides_the_part_measured_alone(void **state)
{
    (void)state;
    struct csl_domain d = domain_of(CSL_MISSING_CENTRE, 1);
    const struct csl_examples none = {0};
    d.measured_scale = 0.125;
    float row[64];
    scale(&d, &none, row);
    const float want[12] = {0.75f, 0.75f, 0, 0.25f, 1.25f, 1.5f, 1.25f, 0.5f, 0, 0.25f, 3.2f, 4.8f};
    for (uint32_t k = 0; k < 12; k++)
        assert_true(fabsf(row[k] - want[k]) < 1e-6f);
    d.scaling = CSL_SCALING_SITE; /* of no records: the values have no constants, the part has */
    scale(&d, &none, row);
    assert_true(fabsf(row[10] - 3.2f) < 1e-6f && fabsf(row[11] - 4.8f) < 1e-6f);
}

/* Under scaling: site the constants are those of the training records alone. */
static void test_series__scaled_by_site__takes_the_values_of_training_records(void **state)
{
    (void)state;
    struct csl_domain d = domain_of(CSL_MISSING_MASK, 0);
    d.scaling = CSL_SCALING_SITE;
    float x[40], row[64];
    csl_series_inputs(&d, raw, NAMES, columns, x);
    for (int i = 0; i < 20; i++) /* a second patient, whose values are larger by 2 */
        x[20 + i] = i % 4 < 2 ? x[i] + 2 : x[i];
    const struct csl_examples train = {.records = 2, .width = 20, .x = x};
    scale(&d, &train, row);
    /* 4, 1, 6, 3: mean 3.5, variance 13 / 3; and 2, 6, 1, 4, 8, 3: mean 4, variance 34 / 5 */
    assert_true(fabs((double)row[0] - 0.5 / sqrt(13.0 / 3)) < 1e-6);
    assert_true(fabs((double)row[5] + 2 / sqrt(34.0 / 5)) < 1e-6);
    for (uint32_t t = 0; t < 5; t++)
        for (uint32_t k = 2; k < 4; k++)
            assert_true(row[4 * t + k] == x[4 * t + k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series__no_marks__is_the_values_in_the_order_of_the_study),
        cmocka_unit_test(test_series__mask__is_one_where_measured),
        cmocka_unit_test(test_series__delta__counts_from_the_last_measurement_or_the_start),
        cmocka_unit_test(test_series__windows__are_mean_low_high_first_last_and_part),
        cmocka_unit_test(test_series__scaled__leaves_masks_and_times_as_they_are),
        cmocka_unit_test(test_series__measured_scale__divides_the_part_measured_alone),
        cmocka_unit_test(test_series__scaled_by_site__takes_the_values_of_training_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
