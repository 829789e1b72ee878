/* From a record file to the examples of a study. */
#include "base/mem.h"
#include "site-agent/data/dataset.h"
#include "tests/unit/data/support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const ab[2] = {"a", "b"};

static void write_records(const struct csl_records *r, const char *name)
{
    struct csl_err err;
    ASSERT_OK(csl_records_write(r, scratch(name), &err), &err);
}

static void write_small(const char *name)
{
    struct csl_records r;
    small_records(&r);
    write_records(&r, name);
    csl_records_release(&r);
}

static void ask_for_groups(struct test_study *t, const char *second)
{
    struct csl_study_fairness *f = &t->study.fairness;
    *f = (struct csl_study_fairness){.attribute_count = 2, .minimum_group = 10};
    f->weights = (struct csl_study_group_weights){true, .5, 1, 2};
    memcpy(f->attributes[0], "sex", 4);
    memcpy(f->attributes[1], second, strlen(second) + 1);
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-6 * (1.0 + fabs(b))))
        fail_msg("%.9g is not %.9g", a, b);
}

static void test_dataset__constants__scale_and_missing_is_zero(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    t.features[0].centre = 2.5;
    t.features[0].scale = 5.0;
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_string_equal(d->site, "lyon");
    const struct csl_examples *train = &d->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(train->records, 4); /* patients 0, 1, 1, 2 */
    assert_int_equal(train->patients, 3);
    assert_int_equal(train->width, 2);
    assert_null(train->time);
    static const uint32_t patient[4] = {0, 1, 1, 2};
    static const uint8_t label[4] = {0, 1, 1, 0};
    assert_memory_equal(train->patient, patient, sizeof(patient));
    assert_memory_equal(train->label, label, sizeof(label));
    assert_near((double)train->x[0], -0.5);
    assert_near((double)train->x[2], 0.0); /* 2.5 is the centre */
    assert_near((double)train->x[3], 0.0); /* missing */
    assert_near((double)train->x[6], 1.0); /* 7.5 */
    assert_near((double)train->x[7], 7.75);
    assert_int_equal(d->domains[0][CSL_SPLIT_VALIDATION].records, 1);
    assert_int_equal(d->domains[0][CSL_SPLIT_TEST].records, 0); /* its label is unknown */
    csl_dataset_free(d);
}

static void test_dataset__features__come_in_the_order_of_the_study(void **state)
{
    (void)state;
    static const char *const ba[2] = {"b", "a"};
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ba, 2);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_near((double)d->domains[0][0].x[0], 0.25);
    assert_near((double)d->domains[0][0].x[1], 0.0);
    csl_dataset_free(d);
}

static void test_dataset__clip__bounds_scaled_values(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    t.features[0].clip = 3.0;
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_near((double)d->domains[0][0].x[2], 2.5);
    assert_near((double)d->domains[0][0].x[4], 3.0); /* 5 */
    csl_dataset_free(d);
}

/* a is 0, 2.5, 5, 7.5 in training: mean 3.75, deviation (ddof 1) 3.2274861218; the validation
 * record has 10. b is 0.25, -, 5.25, 7.75: mean 4.4166667, deviation 3.8188131. */
static void test_dataset__site_scaling__uses_the_training_records_alone(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    t.domain.scaling = CSL_SCALING_SITE;
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_near((double)d->domains[0][0].x[0], -3.75 / 3.2274861218395143);
    assert_near((double)d->domains[0][0].x[1], (0.25 - 4.416666666666667) / 3.8188130791298667);
    assert_near((double)d->domains[0][0].x[3], 0.0);
    assert_near((double)d->domains[0][1].x[0], 6.25 / 3.2274861218395143);
    csl_dataset_free(d);
}

static void test_dataset__constant_and_unknown_inputs__become_zero(void **state)
{
    (void)state;
    struct csl_records r;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    small_records(&r);
    for (uint32_t i = 0; i < 6; i++) {
        r.modalities[0].values[2 * i] = 120.0f;
        r.modalities[0].values[2 * i + 1] = i < 4 ? NAN : 1.0f; /* unknown in training */
    }
    write_records(&r, "flat.h5");
    csl_records_release(&r);
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    t.domain.scaling = CSL_SCALING_SITE;
    ASSERT_OK(csl_dataset_load(&d, scratch("flat.h5"), &t.study, &err), &err);
    for (int s = 0; s < 2; s++)
        for (uint32_t i = 0; i < 2 * d->domains[0][s].records; i++)
            assert_near((double)d->domains[0][s].x[i], 0.0);
    csl_dataset_free(d);
}

static void test_dataset__survival__has_times_and_events(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "life", CSL_TASK_SURVIVAL, 0, ab, 2);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    static const float time[4] = {1.5f, 2.5f, 3.5f, 4.5f};
    static const uint8_t event[4] = {0, 1, 0, 1};
    assert_memory_equal(d->domains[0][0].time, time, sizeof(time));
    assert_memory_equal(d->domains[0][0].label, event, sizeof(event));
    assert_int_equal(d->domains[0][1].records, 0); /* its time is unknown */
    assert_int_equal(d->domains[0][2].records, 1);
    csl_dataset_free(d);
}

static void test_dataset__image__skips_records_without_it(void **state)
{
    (void)state;
    static const uint32_t shape[3] = {2, 2, 1};
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_array(&t, "anything", "grade", CSL_IMAGE2D, shape);
    t.domain.task = CSL_TASK_CLASSES;
    t.domain.classes = 3;
    t.domain.scale = 2.0;
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_int_equal(d->domains[0][0].records, 3); /* record 3 has no grade */
    assert_int_equal(d->domains[0][0].label[2], 2);
    assert_near((double)d->domains[0][0].x[5], 11.0 / 8.0);
    assert_int_equal(d->domains[0][2].records, 0); /* record 5 has no scan */
    csl_dataset_free(d);
}

static void test_dataset__absent_label_or_modality__leaves_the_domain_empty(void **state)
{
    (void)state;
    struct csl_records r;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    static const uint32_t shape[3] = {3, 2, 1};
    write_small("a.h5");
    study_of_table(&t, "unheard-of", CSL_TASK_BINARY, 2, ab, 2);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_int_equal(csl_dataset_patients(d, 0, CSL_SPLIT_TRAIN), 0);
    assert_int_equal(d->domains[0][0].width, 2);
    csl_dataset_free(d);
    small_records(&r);
    csl_free(r.modalities[2].values);
    csl_free(r.modalities[2].available);
    r.modality_count = 2;
    write_records(&r, "nolead.h5");
    csl_records_release(&r);
    study_of_array(&t, "lead", "ill", CSL_SIGNAL, shape);
    ASSERT_OK(csl_dataset_load(&d, scratch("nolead.h5"), &t.study, &err), &err);
    assert_int_equal(csl_dataset_patients(d, 0, CSL_SPLIT_TRAIN), 0);
    csl_dataset_free(d);
}

static void test_dataset__absent_feature__names_feature_and_file(void **state)
{
    (void)state;
    static const char *const names[2] = {"a", "blood pressure"};
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, names, 2);
    ASSERT_CODE(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "blood pressure");
    ASSERT_SAYS(&err, "a.h5");
}

static void test_dataset__other_unit__is_refused_alone_and_pooled(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d = NULL;
    struct csl_err err;
    write_small("a.h5"); /* both features in mg */
    const char *const paths[1] = {scratch("a.h5")};
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    memcpy(t.features[1].unit, "mmol/l", 7);
    ASSERT_CODE(csl_dataset_load(&d, paths[0], &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "a.h5: /modalities/tabular: feature 'b' is in mg here and in mmol/l in the");
    ASSERT_SAYS(&err, "values imported in mmol/l would be right");
    ASSERT_CODE(csl_dataset_load_pooled(&d, paths, 1, &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "'b'");
    assert_null(d);
}

static void test_dataset__unit_stated_once_or_twice_the_same__is_loaded(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_records r;
    struct csl_err err;
    small_records(&r);
    memset(r.modalities[0].feature_units[1], 0, sizeof(r.modalities[0].feature_units[1]));
    write_records(&r, "a.h5");
    csl_records_release(&r);
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    csl_dataset_free(d);
    memcpy(t.features[0].unit, "mg", 3);
    memcpy(t.features[1].unit, "mmol/l", 7); /* the file does not say */
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    csl_dataset_free(d);
}

static void test_dataset__other_shape_or_classes__is_refused(void **state)
{
    (void)state;
    static const uint32_t shape[3] = {4, 2, 1};
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_array(&t, "lead", "ill", CSL_SIGNAL, shape);
    ASSERT_CODE(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "/modalities/lead");
    study_of_table(&t, "grade", CSL_TASK_CLASSES, 4, ab, 2);
    ASSERT_CODE(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "/labels/grade");
    study_of_table(&t, "life", CSL_TASK_BINARY, 2, ab, 2);
    ASSERT_CODE(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), CSL_E_INVAL, &err);
}

/* Two images of one shape: the label's name decides, and without it the study is ambiguous. */
static void test_dataset__two_fitting_modalities__the_named_one_is_taken(void **state)
{
    (void)state;
    struct csl_records r;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    static const uint32_t shape[3] = {2, 2, 1};
    small_records(&r);
    r.modalities[2].rank = 3;
    memcpy(r.modalities[2].kind, "image2d", 8);
    memcpy(r.modalities[2].shape, shape, sizeof(shape));
    r.modalities[2].sampling_rate_hz = 0.0;
    write_records(&r, "two.h5");
    csl_records_release(&r);
    study_of_array(&t, "x", "ill", CSL_IMAGE2D, shape);
    ASSERT_CODE(csl_dataset_load(&d, scratch("two.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "2 image2d modalities fit domain x");
    study_of_array(&t, "scan", "ill", CSL_IMAGE2D, shape);
    ASSERT_OK(csl_dataset_load(&d, scratch("two.h5"), &t.study, &err), &err);
    csl_dataset_free(d);
}

static void test_dataset__scaled_value_beyond_float32__is_refused(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    t.features[1].scale = 1e-300;
    ASSERT_CODE(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "b");
}

/* Whether a site takes part is told; no single record may decide it. */
static void test_pitfall_35__scaled_value_beyond_float32__saturates_under_privacy(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    t.features[1].scale = 1e-300;
    t.study.privacy.mode = CSL_PRIVACY_LOCAL;
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    uint32_t extreme = 0;
    for (int s = 0; s < CSL_SPLIT_COUNT; s++)
        for (size_t i = 0; i < (size_t)d->domains[0][s].records * d->domains[0][s].width; i++) {
            assert_false(isinf(d->domains[0][s].x[i]) || isnan(d->domains[0][s].x[i]));
            extreme += fabsf(d->domains[0][s].x[i]) == FLT_MAX;
        }
    assert_true(extreme > 0);
    csl_dataset_free(d);
}

static void test_dataset__pooled__concatenates_and_scales_by_all(void **state)
{
    (void)state;
    struct csl_records r;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    char first[640], second[640];
    write_small("a.h5");
    small_records(&r);
    for (uint32_t i = 0; i < 12; i++)
        r.modalities[0].values[i] += 100.0f;
    write_records(&r, "b.h5");
    csl_records_release(&r);
    memcpy(first, scratch("a.h5"), sizeof(first));
    memcpy(second, scratch("b.h5"), sizeof(second));
    const char *const paths[2] = {first, second};
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 1);
    t.domain.scaling = CSL_SCALING_SITE;
    ASSERT_OK(csl_dataset_load_pooled(&d, paths, 2, &t.study, &err), &err);
    const struct csl_examples *train = &d->domains[0][0];
    assert_string_equal(d->site, "pooled");
    assert_int_equal(train->records, 8);
    assert_int_equal(train->patients, 6);
    static const uint32_t patient[8] = {0, 1, 1, 2, 3, 4, 4, 5};
    assert_memory_equal(train->patient, patient, sizeof(patient));
    double sum = 0.0, squares = 0.0;
    for (uint32_t i = 0; i < 8; i++) {
        sum += (double)train->x[i];
        squares += (double)train->x[i] * (double)train->x[i];
    }
    assert_near(sum, 0.0);
    assert_near(squares, 7.0);
    csl_dataset_free(d);
}

static void test_dataset__damaged_file__is_corrupt(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    const char *path = scratch_text("bad.h5", "\x89HDF\r\n\x1a\n and no more");
    ASSERT_CODE(csl_dataset_load(&d, path, &t.study, &err), CSL_E_CORRUPT, &err);
}

static void test_dataset__out_of_memory__is_reported(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    ask_for_groups(&t, "age_band");
    uint64_t n = 1;
    for (; n < 200; n++) {
        struct csl_dataset *d;
        csl_mem_fail_after(n);
        enum csl_code code = csl_dataset_load(&d, scratch("a.h5"), &t.study, &err);
        csl_mem_fail_after(0);
        if (code == CSL_OK) {
            csl_dataset_free(d);
            break;
        }
        ASSERT_CODE(code, CSL_E_NOMEM, &err);
    }
    assert_in_range(n, 10, 199);
}

/* Patients 0 to 4 are female, male, female, male and of unknown sex. */
static void test_dataset__patient_groups__are_levels_of_the_whole_file(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "life", CSL_TASK_SURVIVAL, 0, ab, 2);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_null(d->domains[0][CSL_SPLIT_TRAIN].level); /* nobody asked */
    csl_dataset_free(d);
    study_of_table(&t, "grade", CSL_TASK_CLASSES, 3, ab, 2);
    ask_for_groups(&t, "no-such");
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    /* grade is not known of patient 2 */
    static const uint8_t train[4] = {1, 0, 2, 0}, validation[2] = {2, 0}, test[2] = {0, 0};
    assert_int_equal(d->domains[0][CSL_SPLIT_TRAIN].patients, 2);
    assert_int_equal(d->domains[0][CSL_SPLIT_VALIDATION].patients, 1);
    assert_int_equal(d->domains[0][CSL_SPLIT_TEST].patients, 1);
    assert_memory_equal(d->domains[0][CSL_SPLIT_TRAIN].level, train, sizeof(train));
    assert_memory_equal(d->domains[0][CSL_SPLIT_VALIDATION].level, validation, 2);
    assert_memory_equal(d->domains[0][CSL_SPLIT_TEST].level, test, 2);
    csl_dataset_free(d);
    const char *paths[2] = {scratch("a.h5"), scratch("a.h5")};
    ASSERT_OK(csl_dataset_load_pooled(&d, paths, 2, &t.study, &err), &err);
    assert_null(d->domains[0][CSL_SPLIT_TRAIN].level);
    csl_dataset_free(d);
}

/* Of the study's list, in its order, whatever else the file says; of who is judged only. */
static void test_dataset__counted_groups__are_places_in_the_study_s_list(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_small("a.h5");
    study_of_table(&t, "grade", CSL_TASK_CLASSES, 3, ab, 2);
    struct csl_study_fairness *f = &t.study.fairness;
    *f = (struct csl_study_fairness){.attribute_count = 2, .value_count = {2, 2}};
    memcpy(f->attributes[0], "no-such", 8);
    memcpy(f->attributes[1], "sex", 4);
    memcpy(f->values[1][0], "male", 5);
    memcpy(f->values[1][1], "female", 7);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    static const uint8_t validation[2] = {0, 1}, test[2] = {0, 0}; /* male; not known */
    assert_null(d->domains[0][CSL_SPLIT_TRAIN].group);
    assert_memory_equal(d->domains[0][CSL_SPLIT_VALIDATION].group, validation, 2);
    assert_memory_equal(d->domains[0][CSL_SPLIT_TEST].group, test, 2);
    csl_dataset_free(d);
    t.study.privacy.mode = CSL_PRIVACY_LOCAL; /* nothing leaves, so nothing is counted */
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_null(d->domains[0][CSL_SPLIT_TEST].group);
    csl_dataset_free(d);
}

/* 17 values of one attribute, one of them at a patient who has no example. */
static void test_dataset__too_many_patient_groups__are_a_limit(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    struct csl_records r;
    small_records(&r);
    csl_free(r.patient_id);
    csl_free(r.split);
    csl_free(r.attributes[0].value);
    r.patient_count = 17;
    r.patient_id = csl_alloc_array(17, sizeof(*r.patient_id));
    r.split = csl_alloc(17);
    r.attributes[0].value = csl_alloc_array(17, sizeof(*r.attributes[0].value));
    for (uint32_t i = 0; i < 17; i++) {
        snprintf(r.patient_id[i], 64, "p%u", i);
        snprintf(r.attributes[0].value[i], 32, "v%u", i);
    }
    write_records(&r, "many.h5");
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    ask_for_groups(&t, "age_band");
    ASSERT_CODE(csl_dataset_load(&d, scratch("many.h5"), &t.study, &err), CSL_E_LIMIT, &err);
    ASSERT_SAYS(&err, "attribute sex has more than 16 values");
    r.attributes[0].value[16][0] = '\0';
    write_records(&r, "many.h5");
    ASSERT_OK(csl_dataset_load(&d, scratch("many.h5"), &t.study, &err), &err);
    csl_dataset_free(d);
    csl_records_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dataset__constants__scale_and_missing_is_zero),
        cmocka_unit_test(test_dataset__features__come_in_the_order_of_the_study),
        cmocka_unit_test(test_dataset__clip__bounds_scaled_values),
        cmocka_unit_test(test_dataset__site_scaling__uses_the_training_records_alone),
        cmocka_unit_test(test_dataset__constant_and_unknown_inputs__become_zero),
        cmocka_unit_test(test_dataset__survival__has_times_and_events),
        cmocka_unit_test(test_dataset__image__skips_records_without_it),
        cmocka_unit_test(test_dataset__absent_label_or_modality__leaves_the_domain_empty),
        cmocka_unit_test(test_dataset__absent_feature__names_feature_and_file),
        cmocka_unit_test(test_dataset__other_unit__is_refused_alone_and_pooled),
        cmocka_unit_test(test_dataset__unit_stated_once_or_twice_the_same__is_loaded),
        cmocka_unit_test(test_dataset__other_shape_or_classes__is_refused),
        cmocka_unit_test(test_dataset__two_fitting_modalities__the_named_one_is_taken),
        cmocka_unit_test(test_dataset__scaled_value_beyond_float32__is_refused),
        cmocka_unit_test(test_pitfall_35__scaled_value_beyond_float32__saturates_under_privacy),
        cmocka_unit_test(test_dataset__pooled__concatenates_and_scales_by_all),
        cmocka_unit_test(test_dataset__damaged_file__is_corrupt),
        cmocka_unit_test(test_dataset__out_of_memory__is_reported),
        cmocka_unit_test(test_dataset__patient_groups__are_levels_of_the_whole_file),
        cmocka_unit_test(test_dataset__counted_groups__are_places_in_the_study_s_list),
        cmocka_unit_test(test_dataset__too_many_patient_groups__are_a_limit),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
