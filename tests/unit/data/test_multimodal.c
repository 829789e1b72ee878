/* Several modalities and tasks of the same records. */
#include "base/mem.h"
#include "site-agent/data/multimodal.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct csl_feature table_features[1] = {{.name = "a", .scale = 2.0}};
static struct csl_feature hour_features[2] = {{.name = "ph", .scale = 1.0, .clip = 3.0},
                                              {.name = "pulse", .scale = 1.0}};

static struct csl_domain input_of(const char *id, enum csl_modality modality, uint32_t a,
                                  uint32_t b, uint32_t c, uint32_t width)
{
    struct csl_domain d;
    memset(&d, 0, sizeof(d));
    memcpy(d.id, id, strlen(id) + 1);
    d.modality = modality;
    d.shape[0] = a;
    d.shape[1] = b;
    d.shape[2] = c;
    d.shape[3] = 1;
    d.width = width;
    d.scale = 1.0;
    return d;
}

#define INPUTS 4
static void inputs_of(struct csl_domain inputs[INPUTS])
{
    inputs[0] = input_of("tabular", CSL_TABULAR, 0, 0, 0, 1);
    inputs[0].features = table_features;
    inputs[0].feature_count = 1;
    inputs[1] = input_of("hours", CSL_EHR_SERIES, 3, 2, 1, 6);
    inputs[1].features = hour_features;
    inputs[1].feature_count = 2;
    inputs[2] = input_of("note", CSL_TEXT, 3, 1000, 2, 3);
    inputs[3] = input_of("scan", CSL_IMAGE2D, 2, 2, 1, 4);
}

static const char life[1][CSL_ID_MAX] = {"life"}, grade[1][CSL_ID_MAX] = {"grade"};
static const char many[2][CSL_ID_MAX] = {"ill", "worse"};
static const struct csl_target_spec targets[3] = {{CSL_TASK_BINARY, 2, many, 2, 0},
                                                  {CSL_TASK_CLASSES, 3, grade, 1, 0},
                                                  {CSL_TASK_SURVIVAL, 0, life, 1, 0}};

/* many_records with a second binary label, known for record 0 alone. */
static const char *write_many(void)
{
    struct csl_err err;
    struct csl_records r;
    many_records(&r);
    struct csl_record_label *l = &r.labels[r.label_count++];
    memcpy(l->name, "worse", 6);
    l->classes = 2;
    l->value = csl_alloc_array(6, sizeof(*l->value));
    memcpy(l->value, ((int16_t[]){1, -1, -1, -1, -1, -1}), 12);
    ASSERT_OK(csl_records_write(&r, scratch("multi.h5"), &err), &err);
    csl_records_release(&r);
    return scratch("multi.h5");
}

static void test_multimodal__every_modality__has_its_rows_and_gaps(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_multimodal *m;
    struct csl_domain inputs[INPUTS];
    inputs_of(inputs);
    const struct csl_multimodal_spec spec = {inputs, INPUTS, targets, 3, NULL, false};
    ASSERT_OK(csl_multimodal_load(&m, write_many(), &spec, &err), &err);
    const struct csl_multimodal_split *s = &m->splits[CSL_SPLIT_TRAIN];
    assert_int_equal(s->records, 4);
    assert_int_equal(s->patients, 3);
    assert_memory_equal(s->patient, ((uint32_t[]){0, 1, 1, 2}), 16);
    assert_memory_equal(s->inputs[0].available, ((uint8_t[]){1, 1, 1, 1}), 4);
    assert_memory_equal(s->inputs[1].available, ((uint8_t[]){1, 1, 0, 1}), 4);
    assert_memory_equal(s->inputs[2].available, ((uint8_t[]){1, 0, 1, 1}), 4);
    assert_true(s->inputs[0].x[3] == 30.0f / 4.0f / 2.0f);
    /* record 0 of the series is NaN at 0 and 3: pulse of step 0, ph of step 1 */
    assert_memory_equal(s->inputs[1].known, ((uint8_t[]){1, 0, 0, 1, 1, 1}), 6);
    assert_memory_equal(s->inputs[1].length, ((uint32_t[]){3, 3, 0, 3}), 16);
    assert_true(s->inputs[1].x[0] == 3.0f && s->inputs[1].x[1] == 0.0f); /* 10 cut; missing */
    for (uint32_t k = 0; k < 6; k++)                                     /* not available */
        assert_true(s->inputs[1].x[12 + k] == 0.0f && s->inputs[1].known[12 + k] == 0);
    assert_memory_equal(s->inputs[2].length, ((uint32_t[]){3, 0, 3, 1}), 16);
    assert_null(s->inputs[2].x);
    assert_true(s->inputs[2].tokens[0] > 0 && s->inputs[2].tokens[3] == 0);
    assert_true(s->inputs[2].tokens[9] > 0 && s->inputs[2].tokens[10] == 0);
    assert_null(s->inputs[3].known);
    csl_multimodal_free(m);
}

static void test_multimodal__targets__say_what_is_unknown(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_multimodal *m;
    struct csl_domain inputs[INPUTS];
    inputs_of(inputs);
    const struct csl_multimodal_spec spec = {inputs, INPUTS, targets, 3, NULL, false};
    ASSERT_OK(csl_multimodal_load(&m, write_many(), &spec, &err), &err);
    const struct csl_multimodal_split *s = &m->splits[CSL_SPLIT_TRAIN];
    assert_int_equal(s->targets[0].labels, 2);
    assert_memory_equal(s->targets[0].value, ((int16_t[]){0, 1, 1, -1, 1, -1, 0, -1}), 16);
    assert_memory_equal(s->targets[1].value, ((int16_t[]){0, 1, 2, -1}), 8);
    assert_null(s->targets[2].value);
    assert_true(s->targets[2].time[1] == 2.5f && s->targets[2].event[1] == 1);
    /* record 4 is the validation's and has no time; record 5 is the test's */
    assert_true(isnan(m->splits[CSL_SPLIT_VALIDATION].targets[2].time[0]));
    assert_int_equal(m->splits[CSL_SPLIT_VALIDATION].targets[2].event[0], 0);
    assert_int_equal(m->splits[CSL_SPLIT_TEST].inputs[3].available[0], 0);
    csl_multimodal_free(m);
}

static void test_multimodal__inputs_and_labels_the_site_lacks__are_in_no_record(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_multimodal *m;
    struct csl_domain inputs[2] = {input_of("volume", CSL_IMAGE3D, 2, 3, 2, 12),
                                   input_of("waves", CSL_SIGNAL, 3, 2, 1, 6)};
    static const char none[1][CSL_ID_MAX] = {"absent"};
    const struct csl_target_spec two[2] = {{CSL_TASK_BINARY, 2, none, 1, 0}, targets[1]};
    struct csl_records r;
    many_records(&r);
    csl_free(r.modalities[2].values); /* the signal goes: the site lacks the kind */
    csl_free(r.modalities[2].available);
    memmove(&r.modalities[2], &r.modalities[3], 4 * sizeof(r.modalities[0]));
    r.modality_count = 6;
    ASSERT_OK(csl_records_write(&r, scratch("lack.h5"), &err), &err);
    csl_records_release(&r);
    const struct csl_multimodal_spec spec = {inputs, 2, two, 2, NULL, false};
    ASSERT_OK(csl_multimodal_load(&m, scratch("lack.h5"), &spec, &err), &err);
    const struct csl_multimodal_split *s = &m->splits[CSL_SPLIT_TRAIN];
    assert_int_equal(s->records, 2); /* 2 has no volume, 3 no grade */
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(s->inputs[1].available[i], 0);
        assert_int_equal(s->targets[0].value[i], -1);
    }
    assert_memory_equal(s->targets[1].value, ((int16_t[]){0, 1}), 4);
    csl_multimodal_free(m);
}

static void test_multimodal__another_shape_or_classes__is_refused(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_multimodal *m = NULL;
    struct csl_domain input = input_of("scan", CSL_IMAGE2D, 3, 2, 1, 6);
    struct csl_multimodal_spec spec = {&input, 1, targets, 3, NULL, false};
    ASSERT_CODE(csl_multimodal_load(&m, write_many(), &spec, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "is 2 x 2 x 1 per record");
    input.shape[0] = 2;
    input.width = 4;
    struct csl_target_spec wrong = targets[1];
    wrong.classes = 4;
    spec.targets = &wrong;
    spec.target_count = 1;
    ASSERT_CODE(csl_multimodal_load(&m, write_many(), &spec, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "/labels/grade has 3 classes");
    wrong.merged = 3; /* labels behind the classes are no classes */
    ASSERT_CODE(csl_multimodal_load(&m, write_many(), &spec, &err), CSL_E_INVAL, &err);
    wrong.classes = 1;
    wrong.merged = 1;
    ASSERT_CODE(csl_multimodal_load(&m, write_many(), &spec, &err), CSL_E_INVAL, &err);
    wrong = (struct csl_target_spec){CSL_TASK_SURVIVAL, 0, many, 2, 0};
    ASSERT_CODE(csl_multimodal_load(&m, write_many(), &spec, &err), CSL_E_INVAL, &err);
    assert_null(m);
}

/* Two images of one shape in one study: the site's "scan" is no other input's. A table of which an
 * input has no feature is not that input's either; one that has some of them was misspelt. */
/* The site tells classes 0 and 2 of three apart at some patients only: its label 3. */
static void test_multimodal__merged_classes__are_learned_from_but_not_judged(void **state)
{
    (void)state;
    static const char yaml[] =
        "study: s\ninputs:\n  - {id: vector, modality: embedding, shape: [5], encoder: {kind: "
        "linear}}\ndomains:\n  - {id: d, inputs: [vector], task: {kind: classes, label: grade, "
        "classes: 3%s}}\nmodel: {kind: multimodal, width: 4}\n"
        "training: {local: {learning_rate: 0.1, batch_patients: 2, steps: 1}}\nrounds: 1\n"
        "aggregation: {strategy: fedavg}\n";
    static const int16_t grades[6] = {3, 1, 2, -1, 3, 1};
    struct csl_err err;
    struct csl_study *study;
    struct csl_dataset *data = NULL;
    struct csl_records r;
    char text[1024];
    many_records(&r);
    for (uint32_t i = 0; i < r.label_count; i++) {
        if (strcmp(r.labels[i].name, "grade") != 0)
            continue;
        r.labels[i].classes = 4;
        memcpy(r.labels[i].value, grades, sizeof(grades));
    }
    memset(r.modalities[4].available, 1, 6); /* the vector */
    ASSERT_OK(csl_records_write(&r, scratch("merged.h5"), &err), &err);
    csl_records_release(&r);
    snprintf(text, sizeof(text), yaml, "");
    ASSERT_OK(csl_study_parse(&study, "s.yaml", CSL_SPAN(text, strlen(text)), &err), &err);
    ASSERT_CODE(csl_dataset_load(&data, scratch("merged.h5"), study, &err), CSL_E_INVAL, &err);
    csl_study_free(study);
    snprintf(text, sizeof(text), yaml, ", merged: [[0, 2]]");
    ASSERT_OK(csl_study_parse(&study, "s.yaml", CSL_SPAN(text, strlen(text)), &err), &err);
    ASSERT_OK(csl_dataset_load(&data, scratch("merged.h5"), study, &err), &err);
    const struct csl_examples *e = data->domains[0];
    assert_int_equal(e[CSL_SPLIT_TRAIN].records, 3);
    assert_memory_equal(e[CSL_SPLIT_TRAIN].label, ((uint8_t[]){3, 1, 2}), 3);
    assert_int_equal(e[CSL_SPLIT_VALIDATION].records, 0);
    assert_int_equal(e[CSL_SPLIT_TEST].records, 1);
    csl_dataset_free(data);
    csl_study_free(study);
}

static void test_multimodal__modality_of_another_input__is_left_to_it(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_multimodal *m = NULL;
    struct csl_feature other[2] = {{.name = "not-here", .scale = 1.0}, {.name = "a", .scale = 1.0}};
    struct csl_domain inputs[3] = {input_of("photo", CSL_IMAGE2D, 2, 2, 1, 4),
                                   input_of("scan", CSL_IMAGE2D, 2, 2, 1, 4),
                                   input_of("laboratory", CSL_TABULAR, 0, 0, 0, 1)};
    const struct csl_multimodal_spec spec = {inputs, 3, targets, 3, NULL, false};
    inputs[2].features = other;
    inputs[2].feature_count = 1;
    ASSERT_OK(csl_multimodal_load(&m, write_many(), &spec, &err), &err);
    const struct csl_multimodal_split *s = &m->splits[CSL_SPLIT_TRAIN];
    uint32_t scans = 0;
    for (uint32_t i = 0; i < s->records; i++) {
        assert_int_equal(s->inputs[0].available[i], 0);
        assert_int_equal(s->inputs[2].available[i], 0);
        scans += s->inputs[1].available[i];
    }
    assert_true(scans > 0);
    csl_multimodal_free(m);
    inputs[2].feature_count = 2;
    inputs[2].width = 2;
    ASSERT_CODE(csl_multimodal_load(&m, write_many(), &spec, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "has no feature named 'not-here'");
}

static void test_multimodal__append__keeps_rows_and_tells_patients_apart(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_multimodal *a, *b;
    struct csl_domain inputs[INPUTS];
    inputs_of(inputs);
    const struct csl_multimodal_spec spec = {inputs, INPUTS, targets, 3, NULL, false};
    ASSERT_OK(csl_multimodal_load(&a, write_many(), &spec, &err), &err);
    ASSERT_OK(csl_multimodal_load(&b, write_many(), &spec, &err), &err);
    ASSERT_OK(csl_multimodal_append(a, b, &err), &err);
    for (int k = 0; k < CSL_SPLIT_COUNT; k++) {
        const struct csl_multimodal_split *both = &a->splits[k], *one = &b->splits[k];
        size_t n = one->records;
        assert_int_equal(both->records, 2 * n);
        assert_int_equal(both->patients, 2 * one->patients);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(both->patient[i], one->patient[i]);
            assert_int_equal(both->patient[n + i], one->patient[i] + one->patients);
        }
        for (uint32_t i = 0; i < INPUTS; i++) {
            const struct csl_inputs *x = &both->inputs[i], *y = &one->inputs[i];
            assert_memory_equal(x->available + n, y->available, n);
            if (y->x != NULL)
                assert_memory_equal(x->x + n * y->width, y->x, n * y->width * sizeof(float));
            if (y->tokens != NULL)
                assert_memory_equal(x->tokens + n * y->width, y->tokens,
                                    n * y->width * sizeof(uint32_t));
        }
        assert_memory_equal(both->targets[1].value + n, one->targets[1].value, n * 2);
    }
    csl_multimodal_free(a);
    csl_multimodal_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multimodal__every_modality__has_its_rows_and_gaps),
        cmocka_unit_test(test_multimodal__targets__say_what_is_unknown),
        cmocka_unit_test(test_multimodal__inputs_and_labels_the_site_lacks__are_in_no_record),
        cmocka_unit_test(test_multimodal__another_shape_or_classes__is_refused),
        cmocka_unit_test(test_multimodal__merged_classes__are_learned_from_but_not_judged),
        cmocka_unit_test(test_multimodal__modality_of_another_input__is_left_to_it),
        cmocka_unit_test(test_multimodal__append__keeps_rows_and_tells_patients_apart),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
