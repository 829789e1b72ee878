/* The CSV importer against the public reference data, with the counts their descriptions state. */
#include "base/mem.h"
#include "base/str.h"
#include "site-agent/data/csv.h"
#include "site-agent/data/dataset.h"
#include "site-agent/data/dataset_internal.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const heart_features[13] = {"age",     "sex",       "trestbps", "chol", "fbs",
                                               "thalach", "exang",     "oldpeak",  "cp_2", "cp_3",
                                               "cp_4",    "restecg_1", "restecg_2"};

static uint32_t count_split(const struct csl_records *r, uint8_t split)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->record_count; i++)
        n += r->split[r->patient[i]] == split;
    return n;
}

static void import_heart(struct csl_records *r, uint32_t center)
{
    struct csl_err err;
    char any_of[1][64];
    const char *csv = reference("uci-heart-disease/flamby_fed_heart_disease.csv");
    if (csv == NULL)
        skip();
    snprintf(any_of[0], sizeof(any_of[0]), "%u", center);
    ASSERT_OK(csl_import_csv(r, "heart-site", csv, scenario("flamby-heart.mapping.yaml"), "center",
                             (const char(*)[64])any_of, 1, &err),
              &err);
}

static void test_heart__each_center__has_the_published_counts(void **state)
{
    (void)state;
    static const uint32_t train[4] = {199, 172, 30, 85}, test[4] = {104, 89, 16, 45};
    for (uint32_t c = 0; c < 4; c++) {
        struct csl_records r;
        import_heart(&r, c);
        assert_int_equal(count_split(&r, 0), train[c]);
        assert_int_equal(count_split(&r, 1), 0);
        assert_int_equal(count_split(&r, 2), test[c]);
        assert_int_equal(r.modalities[0].shape[0], 13);
        for (uint32_t f = 0; f < 13; f++)
            assert_string_equal(r.modalities[0].feature_names[f], heart_features[f]);
        csl_records_release(&r);
    }
}

static void test_heart__switzerland__trains_on_one_class(void **state)
{
    (void)state;
    struct csl_records r;
    uint32_t positive = 0;
    import_heart(&r, 2);
    for (uint32_t i = 0; i < r.record_count; i++)
        positive += r.split[r.patient[i]] == 0 && r.labels[0].value[i] == 1;
    assert_int_equal(positive, 30);
    csl_records_release(&r);
}

/* flamby_normalisation.csv: center,feature,train_mean,train_std with eight digits. */
static void check_constants(const char *center, const struct csl_feature_constants *c)
{
    struct csl_csv csv;
    struct csl_err err;
    uint32_t seen = 0;
    FILE *f = fopen(reference("uci-heart-disease/flamby_normalisation.csv"), "rb");
    assert_non_null(f);
    csl_csv_init(&csv, f, "normalisation");
    while (csl_csv_next(&csv, &err) == CSL_OK) {
        double mean, std;
        if (strcmp(csl_csv_field(&csv, 0), center) != 0)
            continue;
        assert_true(csl_parse_f64(csl_csv_field(&csv, 2), &mean));
        assert_true(csl_parse_f64(csl_csv_field(&csv, 3), &std));
        for (uint32_t k = 0; k < 13; k++) {
            if (strcmp(csl_csv_field(&csv, 1), heart_features[k]) != 0)
                continue;
            seen++;
            /* Eight printed digits, and float32 values behind the means. */
            assert_true(fabs(c->centre[k] - mean) <= 1e-7 * (1.0 + fabs(mean)));
            assert_true(fabs(c->scale[k] - std) <= 1e-7 * (1.0 + fabs(std)));
        }
    }
    assert_int_equal(seen, 13);
    csl_csv_release(&csv);
    fclose(f);
}

static void test_heart__site_scaling__equals_the_published_constants(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_err err;
    study_of_table(&t, "disease", CSL_TASK_BINARY, 2, heart_features, 13);
    t.domain.scaling = CSL_SCALING_SITE;
    struct csl_examples all;
    memset(&all, 0, sizeof(all));
    for (uint32_t c = 0; c < 4; c++) {
        struct csl_records r;
        struct csl_domain_source source;
        struct csl_examples train;
        struct csl_feature_constants constants;
        char center[8];
        import_heart(&r, c);
        ASSERT_OK(csl_domain_find__(&t.domain, &r, "heart", &source, &err), &err);
        ASSERT_OK(
            csl_examples_extract__(&r, &t.domain, &source, CSL_SPLIT_TRAIN, &train, NULL, &err),
            &err);
        ASSERT_OK(csl_constants_make__(&t.domain, &train, &constants, &err), &err);
        snprintf(center, sizeof(center), "%u", c);
        check_constants(center, &constants);
        ASSERT_OK(csl_examples_append__(&all, &train, &err), &err);
        csl_constants_release__(&constants);
        csl_examples_release__(&train);
        csl_free(source.columns);
        csl_records_release(&r);
    }
    struct csl_feature_constants pooled;
    ASSERT_OK(csl_constants_make__(&t.domain, &all, &pooled, &err), &err);
    check_constants("pooled", &pooled);
    csl_constants_release__(&pooled);
    csl_examples_release__(&all);
}

static void test_tcga__each_region__has_the_published_counts_and_events(void **state)
{
    (void)state;
    static const uint32_t train[6] = {248, 156, 164, 129, 129, 40},
                          test[6] = {63, 40, 42, 33, 33, 11};
    static const uint32_t events[6][2] = {{45, 14}, {35, 4}, {14, 8}, {16, 3}, {7, 2}, {2, 1}};
    const char *csv = reference("tcga-brca/brca.csv");
    if (csv == NULL)
        skip();
    for (uint32_t k = 0; k < 6; k++) {
        struct csl_records r;
        struct csl_err err;
        char any_of[2][64];
        uint32_t seen[3] = {0, 0, 0};
        snprintf(any_of[0], 64, "train_%u", k);
        snprintf(any_of[1], 64, "test_%u", k);
        ASSERT_OK(csl_import_csv(&r, "region", csv, scenario("flamby-tcga.mapping.yaml"), "fold2",
                                 (const char(*)[64])any_of, 2, &err),
                  &err);
        assert_int_equal(count_split(&r, 0), train[k]);
        assert_int_equal(count_split(&r, 2), test[k]);
        assert_int_equal(r.modalities[0].shape[0], 39);
        assert_string_equal(r.modalities[0].feature_names[0], "age_at_index");
        assert_string_equal(r.modalities[0].feature_names[27],
                            "primary_diagnosis_Infiltrating duct carcinoma, NOS");
        for (uint32_t i = 0; i < r.record_count; i++)
            seen[r.split[r.patient[i]]] += r.labels[0].event[i] > 0.5f;
        assert_int_equal(seen[0], events[k][0]);
        assert_int_equal(seen[2], events[k][1]);
        csl_records_release(&r);
    }
}

static void test_heart__written_and_loaded__gives_scaled_inputs(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    struct test_study t;
    struct csl_dataset *d;
    import_heart(&r, 0);
    ASSERT_OK(csl_records_write(&r, scratch("heart.h5"), &err), &err);
    study_of_table(&t, "disease", CSL_TASK_BINARY, 2, heart_features, 13);
    t.domain.scaling = CSL_SCALING_SITE;
    ASSERT_OK(csl_dataset_load(&d, scratch("heart.h5"), &t.study, &err), &err);
    const struct csl_examples *train = &d->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(train->records, 199);
    assert_int_equal(csl_dataset_patients(d, 0, CSL_SPLIT_TEST), 104);
    for (uint32_t k = 0; k < 13; k++) {
        double sum = 0.0, squares = 0.0;
        for (uint32_t i = 0; i < 199; i++)
            sum += (double)train->x[i * 13 + k];
        for (uint32_t i = 0; i < 199; i++)
            squares += pow((double)train->x[i * 13 + k] - sum / 199.0, 2.0);
        assert_true(fabs(sum / 199.0) < 1e-6);
        assert_true(fabs(squares / 198.0 - 1.0) < 1e-6);
    }
    csl_dataset_free(d);
    csl_records_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heart__each_center__has_the_published_counts),
        cmocka_unit_test(test_heart__switzerland__trains_on_one_class),
        cmocka_unit_test(test_heart__site_scaling__equals_the_published_constants),
        cmocka_unit_test(test_heart__written_and_loaded__gives_scaled_inputs),
        cmocka_unit_test(test_tcga__each_region__has_the_published_counts_and_events),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
