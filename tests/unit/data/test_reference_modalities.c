/* The scenario mappings of public data with more than a table, with the counts their descriptions
 * state. */
#include "base/mem.h"
#include "site-agent/data/dataset.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct csl_records *import_of(const char *csv_name, const char *mapping, const char *where,
                                     const char *value)
{
    struct csl_err err;
    char any_of[1][64] = {""};
    const char *csv = reference(csv_name);
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (csv == NULL) {
        csl_free(r);
        skip();
    }
    snprintf(any_of[0], sizeof(any_of[0]), "%s", value == NULL ? "" : value);
    ASSERT_OK(csl_import_csv(r, "site", csv, scenario(mapping), where, (const char(*)[64])any_of,
                             where == NULL ? 0 : 1, &err),
              &err);
    return r;
}

static void records_free(struct csl_records *r)
{
    csl_records_release(r);
    csl_free(r);
}

static void count_splits(const struct csl_records *r, uint32_t n[3])
{
    memset(n, 0, 3 * sizeof(*n));
    for (uint32_t i = 0; i < r->record_count; i++)
        n[r->split[r->patient[i]]]++;
}

static uint32_t count_class(const struct csl_records *r, uint32_t label, int16_t value)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->record_count; i++)
        n += r->labels[label].value[i] == value;
    return n;
}

static void write_and_read(struct csl_records *r, const char *name)
{
    struct csl_err err;
    struct csl_records again;
    ASSERT_OK(csl_records_write(r, scratch(name), &err), &err);
    ASSERT_OK(csl_records_read(&again, scratch(name), &err), &err);
    assert_true(records_equal(r, &again));
    csl_records_release(&again);
}

static void test_ptbxl__waveforms_and_table__have_the_stated_counts(void **state)
{
    (void)state;
    static const uint32_t splits[3] = {353, 81, 66}, positives[5] = {297, 73, 96, 78, 40};
    struct csl_records *r =
        import_of("ptbxl-500/ptbxl_500.csv", "ptbxl-500.mapping.yaml", NULL, NULL);
    uint32_t n[3];
    count_splits(r, n);
    assert_memory_equal(n, splits, sizeof(n));
    assert_int_equal(r->patient_count, 466);
    for (uint32_t k = 0; k < 5; k++)
        assert_int_equal(count_class(r, k, 1), positives[k]);
    assert_int_equal(r->modality_count, 2);
    const struct csl_record_modality *table = &r->modalities[0], *ecg = &r->modalities[1];
    assert_string_equal(ecg->kind, "signal");
    assert_int_equal(ecg->shape[0], 1000);
    assert_int_equal(ecg->shape[1], 12);
    uint32_t female = 0, ages = 0;
    double most = 0.0;
    for (uint32_t i = 0; i < 500; i++) {
        ages += isnan(table->values[2 * i]) ? 0u : 1u;
        female += table->values[2 * i + 1] > 0.5f;
        assert_int_equal(ecg->available[i], 1);
    }
    for (size_t k = 0; k < (size_t)500 * 12000; k++)
        most = fmax(most, fabs((double)ecg->values[k]));
    assert_int_equal(female, 251);
    assert_int_equal(ages, 496);
    assert_true(most > 1.0 && most < 33.0); /* millivolt, within 16 bits of microvolt */
    /* Einthoven: lead II is lead I plus lead III, up to the rounding of 1 microvolt each */
    for (size_t k = 0; k < (size_t)500 * 1000; k++) {
        const float *lead = ecg->values + 12 * k;
        assert_true(fabsf(lead[0] + lead[2] - lead[1]) < 0.0021f);
    }
    write_and_read(r, "ptbxl.h5");
    records_free(r);
}

static void test_ptbxl__each_site__has_the_stated_records(void **state)
{
    (void)state;
    static const uint32_t counts[4] = {256, 161, 17, 66};
    for (uint32_t k = 0; k < 4; k++) {
        char value[2] = {(char)('0' + k), '\0'};
        struct csl_records *r =
            import_of("ptbxl-500/ptbxl_500.csv", "ptbxl-500.mapping.yaml", "site", value);
        assert_int_equal(r->record_count, counts[k]);
        records_free(r);
    }
}

static void test_physionet2012__series_and_table__have_the_stated_counts(void **state)
{
    (void)state;
    struct csl_records *r = import_of("physionet2012-icu/static_outcomes.csv",
                                      "physionet2012.mapping.yaml", "ICUType", "2");
    const struct csl_record_modality *icu = &r->modalities[1];
    uint64_t known = 0;
    assert_int_equal(r->record_count, 2530); /* cardiac surgery; mortality 4.9 % */
    assert_true(count_class(r, 0, 1) > 121 && count_class(r, 0, 1) < 127);
    assert_string_equal(icu->kind, "ehr_series");
    assert_int_equal(icu->shape[0], 48);
    assert_int_equal(icu->shape[1], 37);
    assert_string_equal(icu->feature_names[26], "pH");
    for (size_t k = 0; k < (size_t)2530 * 48 * 37; k++)
        known += isnan(icu->values[k]) ? 0u : 1u;
    double share = (double)known / (2530.0 * 48 * 37);
    assert_true(share > 0.15 && share < 0.30); /* four in five are not measured */
    records_free(r);
}

static void test_physionet2012__all_stays__have_the_stated_deaths(void **state)
{
    (void)state;
    static const double share[3] = {0.1385, 0.1420, 0.1463};
    struct csl_records *r = import_of("physionet2012-icu/static_outcomes.csv",
                                      "physionet2012.mapping.yaml", NULL, NULL);
    uint32_t n[3], deaths[3] = {0, 0, 0};
    count_splits(r, n);
    for (uint32_t i = 0; i < r->record_count; i++)
        deaths[r->split[r->patient[i]]] += r->labels[0].value[i] == 1;
    for (uint32_t k = 0; k < 3; k++) {
        assert_int_equal(n[k], 4000);
        assert_true(fabs(deaths[k] / 4000.0 - share[k]) < 6e-5);
    }
    uint32_t weight_unknown = 0, sex_unknown = 0;
    for (uint32_t i = 0; i < r->record_count; i++) {
        weight_unknown += isnan(r->modalities[0].values[4 * (size_t)i + 3]) ? 1u : 0u;
        sex_unknown += isnan(r->modalities[0].values[4 * (size_t)i + 1]) ? 1u : 0u;
    }
    assert_int_equal(weight_unknown, 1001);
    assert_int_equal(sex_unknown, 12);
    records_free(r);
}

static void test_mts_dialog__four_files__have_the_stated_classes(void **state)
{
    (void)state;
    static const uint32_t splits[3] = {1201, 100, 400};
    static const uint32_t train[20] = {351, 282, 118, 77, 63, 60, 60, 54, 34, 23,
                                       19,  15,  11,  8,  8,  6,  5,  3,  2,  2};
    struct csl_records *r =
        import_of("mts-dialog/train.csv", "mts-dialog.mapping.yaml", NULL, NULL);
    uint32_t n[3], classes[20] = {0};
    count_splits(r, n);
    assert_memory_equal(n, splits, sizeof(n));
    for (uint32_t i = 0; i < r->record_count; i++)
        if (r->split[r->patient[i]] == CSL_SPLIT_TRAIN)
            classes[r->labels[0].value[i]]++;
    assert_memory_equal(classes, train, sizeof(train));
    const struct csl_record_modality *m = &r->modalities[0];
    double words = 0.0; /* bigrams are one fewer than words */
    for (uint32_t i = 0; i < 1201; i++)
        words += (double)(m->text->offsets[i + 1] - m->text->offsets[i] + 1) / 2.0;
    assert_true(fabs(words / 1201.0 - 106.0) < 10.0); /* the description counts 106 on average */
    assert_null(m->text->kept);
    write_and_read(r, "mts.h5");
    records_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ptbxl__waveforms_and_table__have_the_stated_counts),
        cmocka_unit_test(test_ptbxl__each_site__has_the_stated_records),
        cmocka_unit_test(test_physionet2012__series_and_table__have_the_stated_counts),
        cmocka_unit_test(test_physionet2012__all_stays__have_the_stated_deaths),
        cmocka_unit_test(test_mts_dialog__four_files__have_the_stated_classes),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
