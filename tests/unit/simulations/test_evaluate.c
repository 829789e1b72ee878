/* Scores into metrics: site by site, joined, by patient group; and the baselines. */
#include "base/mem.h"
#include "base/str.h"
#include "simulations/baselines.h"
#include "site-agent/data/record.h"
#include "tests/unit/simulations/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STUDY(scaling)                                                                             \
    "study: small\n"                                                                               \
    "question: q\n"                                                                                \
    "domains:\n"                                                                                   \
    "  - {id: d, modality: tabular, scaling: " scaling                                             \
    ", task: {kind: binary, label: ill}, features: [x]}\n"                                         \
    "model: {kind: linear}\n"                                                                      \
    "training:\n"                                                                                  \
    "  local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 2, steps: 2}\n"                 \
    "rounds: 2\n"                                                                                  \
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"                                  \
    "privacy: {mode: none}\n"                                                                      \
    "baselines: {optimizer: sgd, learning_rate: 1, batch_patients: full, epochs: 200}\n"

static struct csl_err err;
static struct csl_study *study;
static struct csl_world_site sites[3];
static struct csl_sim_data data;

/* Site c has only healthy training patients and no test patient with a known label. */
static void start(const char *yaml)
{
    study = fixture_study(yaml);
    fixture_records(&sites[0], "a", "T0f T0m T1f T1m E0f E1f E?f E0m E1m");
    fixture_records(&sites[1], "b", "T1m T0f V0f V1f E1m E0f");
    fixture_records(&sites[2], "c", "T0m T0f T?f E?f");
    if (csl_sim_data_load(&data, study, sites, 3, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void stop(void)
{
    csl_sim_data_release(&data);
    csl_study_free(study);
}

/* Predictions by hand: site a 4 test records 0 1 0 1, site b 2 test records 1 0. */
static void predict(struct csl_predictions *p, const float *a, const float *b)
{
    p->site_count = 3;
    p->domain_count = 1;
    p->cells = csl_alloc_array(3, sizeof(*p->cells));
    p->cells[0] = csl_alloc_array(4, sizeof(float));
    p->cells[1] = csl_alloc_array(2, sizeof(float));
    memcpy(p->cells[0], a, 4 * sizeof(float));
    memcpy(p->cells[1], b, 2 * sizeof(float));
}

static double value(const struct csl_metrics *m, const char *name)
{
    const struct csl_metric *found = csl_metrics_find(m, name);
    if (found == NULL)
        fail_msg("no %s", name);
    return found->value;
}

static void test_data__of_record_files__counts_training_patients(void **state)
{
    (void)state;
    start(STUDY("constants"));
    assert_int_equal(data.patients[0], 4);
    assert_int_equal(data.patients[1], 2);
    assert_int_equal(data.patients[2], 2); /* the third has no label */
    stop();
}

static void test_evaluate__two_sites_with_tests__joins_all_scores(void **state)
{
    static const float a[] = {0.1f, 0.9f, 0.6f, 0.7f}, b[] = {0.3f, 0.2f};
    struct csl_predictions p;
    struct csl_evaluation e = {0};
    struct csl_mean mean;
    (void)state;
    start(STUDY("constants"));
    predict(&p, a, b);
    assert_int_equal(csl_evaluate_predictions(&e, &data, &p, true, 7, &err), CSL_OK);
    assert_true(fabs(value(&e.cells[0], "auc") - 1.0) < 1e-12);
    assert_true(fabs(value(&e.cells[0], "accuracy") - 0.75) < 1e-12);
    assert_true(fabs(value(&e.cells[1], "accuracy") - 0.5) < 1e-12);
    assert_int_equal(e.cells[2].examples, 0);
    assert_int_equal(e.cells[2].count, 0);
    /* Joined: positives .9 .7 .3, negatives .1 .6 .2; eight of nine pairs are in order. */
    assert_int_equal(e.pooled[0].examples, 6);
    assert_int_equal(e.pooled[0].positives, 3);
    assert_true(fabs(value(&e.pooled[0], "auc") - 8.0 / 9.0) < 1e-12);
    assert_true(csl_evaluation_mean(&e, 0, "accuracy", &mean));
    assert_int_equal(mean.count, 2);
    assert_true(fabs(mean.value - 0.625) < 1e-12);
    csl_evaluation_release(&e);
    csl_predictions_release(&p);
    stop();
}

static void test_attributes__record_without_label_between__stay_with_their_records(void **state)
{
    (void)state;
    start(STUDY("constants"));
    /* The test patient with an unknown label is no example. */
    const struct csl_sim_attributes *a = &data.attributes[0];
    assert_int_equal(a->count, 1);
    assert_int_equal(a->records, 4);
    assert_string_equal(a->names[0], "sex");
    assert_string_equal(a->values[0], "female");
    assert_string_equal(a->values[1], "female");
    assert_string_equal(a->values[2], "male");
    assert_string_equal(a->values[3], "male");
    assert_string_equal(data.attributes[1].values[0], "male");
    assert_string_equal(data.attributes[1].values[1], "female");
    assert_int_equal(data.attributes[2].count, 0);
    stop();
}

/* The record file of site a with its table as another kind, and a study of that kind. */
static void expect_attributes(const char *kind, const char *keys, uint32_t rank)
{
    char yaml[1024];
    struct csl_records *r = csl_alloc(sizeof(*r));
    fixture_records(&sites[0], "a", "T0f T1m E0f E1m");
    assert_int_equal(csl_records_read(r, sites[0].record_path, &err), CSL_OK);
    struct csl_record_modality *m = &r->modalities[0];
    assert_true(csl_str_copy(m->kind, sizeof(m->kind), kind));
    m->rank = rank;
    for (uint32_t i = 0; i < rank; i++)
        m->shape[i] = 1;
    assert_int_equal(csl_records_write(r, sites[0].record_path, &err), CSL_OK);
    csl_records_release(r);
    csl_free(r);
    snprintf(yaml, sizeof(yaml),
             "study: small\nquestion: q\nrounds: 2\naggregation: {strategy: fedavg}\n"
             "domains:\n  - {id: d, modality: %s, %s, task: {kind: binary, label: ill}}\n"
             "model: {kind: linear}\n"
             "training: {local: {learning_rate: 0.1, batch_patients: 2, steps: 2}}\n",
             kind, keys);
    study = fixture_study(yaml);
    assert_int_equal(csl_sim_data_load(&data, study, sites, 1, &err), CSL_OK);
    assert_int_equal(data.attributes[0].count, 1);
    assert_int_equal(data.attributes[0].records, 2);
    assert_string_equal(data.attributes[0].values[1], "male");
    stop();
}

static void test_attributes__modality_beyond_the_first_three__is_matched(void **state)
{
    (void)state;
    expect_attributes("ehr_series", "shape: [1], features: [x]", 2);
    expect_attributes("embedding", "shape: [1]", 1);
    expect_attributes("image3d", "shape: [1, 1, 1, 1]", 4);
}

static void test_groups__ten_records_or_more__get_their_own_metrics(void **state)
{
    static const float scores[12] = {.1f, .2f, .3f, .4f, .1f, .9f, .8f, .7f, .9f, .2f, .9f, .1f};
    struct csl_result r = {0};
    struct csl_predictions p = {1, 1, NULL};
    (void)state;
    study = fixture_study(STUDY("constants"));
    fixture_records(&sites[0], "g", "T0f T1f E0f E0f E0f E0f E0f E1f E1f E1f E1f E1f E1m E0m");
    assert_int_equal(csl_sim_data_load(&data, study, sites, 1, &err), CSL_OK);
    assert_int_equal(csl_result_init(&r, 1, 1, &err), CSL_OK);
    p.cells = csl_alloc_array(1, sizeof(*p.cells));
    p.cells[0] = csl_alloc_array(12, sizeof(float));
    memcpy(p.cells[0], scores, sizeof(scores));
    assert_int_equal(csl_evaluate_groups(&r, &data, &p, 7, &err), CSL_OK);
    assert_int_equal(r.group_count, 1); /* two men are too few to say anything */
    assert_string_equal(r.groups[0].attribute, "sex");
    assert_string_equal(r.groups[0].value, "female");
    assert_int_equal(r.groups[0].metrics.examples, 10);
    assert_true(fabs(value(&r.groups[0].metrics, "accuracy") - 0.9) < 1e-12);
    csl_predictions_release(&p);
    csl_result_release(&r);
    stop();
}

static void test_groups__ages__band_below_the_first_number_leads(void **state)
{
    static const char *const bands[] = {"65+", "<45", "45-54"};
    struct csl_result r = {0};
    struct csl_predictions p = {1, 1, NULL};
    (void)state;
    study = fixture_study(STUDY("constants"));
    fixture_records(&sites[0], "g",
                    "T0f T1f E0f E0f E0f E0f E0f E0f E0f E0f E0f E0f E0f E0f E0f E0f E0f E1f E1f "
                    "E1f E1f E1f E1f E1f E1f E1f E1f E1f E1f E1f E1f E1f");
    assert_int_equal(csl_sim_data_load(&data, study, sites, 1, &err), CSL_OK);
    assert_int_equal(csl_result_init(&r, 1, 1, &err), CSL_OK);
    assert_int_equal(data.attributes[0].records, 30);
    for (size_t i = 0; i < 30; i++)
        assert_true(csl_str_copy(data.attributes[0].values[i], 32, bands[i % 3]));
    p.cells = csl_alloc_array(1, sizeof(*p.cells));
    p.cells[0] = csl_alloc_array(30, sizeof(float));
    assert_int_equal(csl_evaluate_groups(&r, &data, &p, 7, &err), CSL_OK);
    assert_int_equal(r.group_count, 3);
    assert_string_equal(r.groups[0].value, "<45");
    assert_string_equal(r.groups[1].value, "45-54");
    assert_string_equal(r.groups[2].value, "65+");
    csl_predictions_release(&p);
    csl_result_release(&r);
    stop();
}

static void run_baselines(struct csl_result *r)
{
    struct csl_baselines_config c = {.data = &data, .sites = sites, .seed = 42};
    memset(r, 0, sizeof(*r));
    assert_int_equal(csl_result_init(r, 3, 1, &err), CSL_OK);
    for (uint32_t s = 0; s < 3; s++)
        assert_true(csl_str_copy(r->sites[s].id, sizeof(r->sites[s].id), sites[s].id));
    r->domains[0].task = CSL_TASK_BINARY;
    assert_int_equal(csl_trainer_new(&c.trainer, study, "cpu-ref", &err), CSL_OK);
    if (csl_baselines_run(r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_trainer_free(c.trainer);
}

static void test_baselines__site_with_one_class__is_absent_with_a_reason(void **state)
{
    struct csl_result r;
    (void)state;
    start(STUDY("constants"));
    run_baselines(&r);
    const struct csl_result_baselines *b = &r.baselines;
    assert_true(b->is_present);
    assert_false(b->locals[0].is_absent);
    assert_false(b->locals[1].is_absent);
    assert_true(b->locals[2].is_absent);
    assert_string_equal(b->locals[2].reason, "its training patients all have the same label");
    assert_int_equal(b->locals[0].own[0].examples, 4);
    assert_int_equal(b->locals[0].evaluation.pooled[0].examples, 6);
    assert_true(b->has_best_local && b->has_ensemble && b->has_pooled_training);
    assert_true(b->best_site[0] < 2);
    double best = value(&b->best_local.pooled[0], "auc");
    for (uint32_t s = 0; s < 2; s++)
        assert_true(value(&b->locals[s].evaluation.pooled[0], "auc") <= best);
    assert_int_equal(b->pooled_training.pooled[0].examples, 6);
    csl_result_release(&r);
    stop();
}

/* x = label + position / 10 within each file: pooled scaling is one line for all sites, a site's
 * own z-score is not, and the pooled model must be asked under the scaling it was trained with. */
static void test_baselines__site_scaling__pooled_model_sees_pooled_scaling(void **state)
{
    struct csl_result r;
    struct csl_trainer *trainer = NULL;
    struct csl_predictions p = {0};
    (void)state;
    start(STUDY("site"));
    run_baselines(&r);
    assert_non_null(data.pooled);
    const struct csl_examples *e = &data.pooled->domains[0][CSL_SPLIT_TEST];
    assert_int_equal(e->records, 6);
    float *parameters = csl_alloc_array((size_t)study->schema.parameters, sizeof(float));
    csl_schema_init_parameters(&study->schema, 42, parameters);
    assert_int_equal(csl_trainer_new(&trainer, study, "cpu-ref", &err), CSL_OK);
    assert_int_equal(csl_trainer_fit(trainer, data.pooled, &study->baseline, 42, parameters, &err),
                     CSL_OK);
    assert_int_equal(csl_predict_pooled(&p, &data, trainer, parameters, &err), CSL_OK);
    float scores[6];
    assert_int_equal(csl_trainer_predict(trainer, 0, e, parameters, scores, NULL, &err), CSL_OK);
    assert_memory_equal(p.cells[0], scores, 4 * sizeof(float));
    assert_memory_equal(p.cells[1], scores + 4, 2 * sizeof(float));
    assert_null(p.cells[2]);
    csl_free(parameters);
    csl_predictions_release(&p);
    csl_trainer_free(trainer);
    csl_result_release(&r);
    stop();
}

static void test_ensemble__of_local_models__is_their_mean_probability(void **state)
{
    struct csl_result r;
    struct csl_trainer *trainer = NULL;
    struct csl_predictions p[2] = {{0}, {0}}, mean = {0};
    struct csl_evaluation e = {0};
    (void)state;
    start(STUDY("constants"));
    run_baselines(&r);
    float *parameters = csl_alloc_array((size_t)study->schema.parameters, sizeof(float));
    assert_int_equal(csl_trainer_new(&trainer, study, "cpu-ref", &err), CSL_OK);
    for (uint32_t s = 0; s < 2; s++) {
        csl_schema_init_parameters(&study->schema, 42, parameters);
        assert_int_equal(
            csl_trainer_fit(trainer, data.sites[s], &study->baseline, 42, parameters, &err),
            CSL_OK);
        assert_int_equal(
            csl_predict_sites(&p[s], &data, trainer, parameters, NULL, UINT32_MAX, &err), CSL_OK);
    }
    float a[4], b[2];
    for (int i = 0; i < 4; i++)
        a[i] = (float)(((double)p[0].cells[0][i] + (double)p[1].cells[0][i]) / 2.0);
    for (int i = 0; i < 2; i++)
        b[i] = (float)(((double)p[0].cells[1][i] + (double)p[1].cells[1][i]) / 2.0);
    predict(&mean, a, b);
    assert_int_equal(csl_evaluate_predictions(&e, &data, &mean, true, 42, &err), CSL_OK);
    for (uint32_t i = 0; i < e.pooled[0].count; i++)
        assert_true(e.pooled[0].items[i].value ==
                    value(&r.baselines.ensemble.pooled[0], e.pooled[0].items[i].name));
    csl_evaluation_release(&e);
    csl_predictions_release(&p[0]);
    csl_predictions_release(&p[1]);
    csl_predictions_release(&mean);
    csl_free(parameters);
    csl_trainer_free(trainer);
    csl_result_release(&r);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data__of_record_files__counts_training_patients),
        cmocka_unit_test(test_evaluate__two_sites_with_tests__joins_all_scores),
        cmocka_unit_test(test_attributes__record_without_label_between__stay_with_their_records),
        cmocka_unit_test(test_attributes__modality_beyond_the_first_three__is_matched),
        cmocka_unit_test(test_groups__ten_records_or_more__get_their_own_metrics),
        cmocka_unit_test(test_groups__ages__band_below_the_first_number_leads),
        cmocka_unit_test(test_baselines__site_with_one_class__is_absent_with_a_reason),
        cmocka_unit_test(test_baselines__site_scaling__pooled_model_sees_pooled_scaling),
        cmocka_unit_test(test_ensemble__of_local_models__is_their_mean_probability),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
