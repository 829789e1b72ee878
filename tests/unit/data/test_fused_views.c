/* A survival task of a study with inputs, from a record file: the same records, times and events as
 * of the study that reads the one table itself; likewise the groups that statistics count. */
#include "base/mem.h"
#include "site-agent/data/dataset.h"
#include "site-agent/data/multimodal.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define END                                                                                        \
    "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"       \
    "rounds: 2\naggregation: {strategy: fedavg}\n"
#define TABLE "modality: tabular, features: [tumour_size, lymph_nodes]"

static const char one_table[] =
    "study: s\ndomains:\n  - {id: survival, " TABLE
    ", task: {kind: survival, label: survival}, model: {kind: cox}}\n" END;
static const char inputs[] =
    "study: s\ninputs:\n"
    "  - {id: tumour, " TABLE ", encoder: {kind: linear}}\n"
    "  - {id: xray, modality: image2d, shape: [16, 16, 1], encoder: {kind: linear}}\n"
    "domains:\n"
    "  - {id: survival, inputs: [tumour], task: {kind: survival, label: survival}}\n"
    "  - {id: chest, inputs: [tumour, xray], task: {kind: binary, label: xray}}\n"
    "model: {kind: multimodal, width: 4}\n" END;

#define COUNTED                                                                                    \
    "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, steps: 1}}\n"    \
    "rounds: 2\naggregation: {strategy: fedavg}\nsites: {minimum: 3}\n"                            \
    "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"                      \
    "fairness: {attributes: [age_band, sex]}\n"                                                    \
    "statistics: {every: 1, groups: {sex: [female, male]}}\n"
#define PRESSURE "modality: tabular, features: [systolic_pressure]"
static const char counted_table[] =
    "study: s\ndomains:\n  - {id: coronary, " PRESSURE
    ", task: {kind: binary, label: heart}, model: {kind: linear}}\n" COUNTED;
static const char counted_inputs[] =
    "study: s\ninputs:\n"
    "  - {id: heart, " PRESSURE ", encoder: {kind: linear}}\n"
    "  - {id: ecg, modality: signal, shape: [64, 3], encoder: {kind: linear}}\n"
    "domains:\n"
    "  - {id: coronary, inputs: [heart], task: {kind: binary, label: heart}}\n"
    "  - {id: rhythm, inputs: [ecg], task: {kind: binary, label: ecg}}\n"
    "model: {kind: multimodal, width: 4}\n" COUNTED;

static struct csl_dataset *load(const char *yaml, const char *const *paths, uint32_t count,
                                struct csl_study **study)
{
    struct csl_dataset *d = NULL;
    struct csl_err err = {.code = CSL_OK};
    ASSERT_OK(csl_study_parse(study, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    ASSERT_OK(csl_dataset_load_pooled(&d, paths, count, *study, &err), &err);
    return d;
}

static void write_hospital(const char *name, uint32_t index)
{
    const struct csl_synth_config c = {.seed = 11, .patients = 80};
    struct csl_err err = {.code = CSL_OK};
    struct csl_records *r = csl_alloc(sizeof(*r));
    assert_non_null(r);
    ASSERT_OK(csl_synth_hospital(r, index, &c, &err), &err);
    ASSERT_OK(csl_records_write(r, scratch(name), &err), &err);
    csl_records_release(r);
    csl_free(r);
}

/* The first hospital has every modality, the fourth no survival: its records are there, and none of
 * them counts in that domain. */
static void test_fused_views__survival__has_the_times_of_the_plain_study(void **state)
{
    struct csl_study *plain, *fused;
    char first[256], fourth[256];
    uint32_t records = 0;
    (void)state;
    write_hospital("0.h5", 0);
    write_hospital("3.h5", 3);
    snprintf(first, sizeof(first), "%s", scratch("0.h5"));
    snprintf(fourth, sizeof(fourth), "%s", scratch("3.h5"));
    const char *const paths[2] = {first, fourth};
    struct csl_dataset *a = load(one_table, paths, 2, &plain);
    struct csl_dataset *b = load(inputs, paths, 2, &fused);
    for (int s = 0; s < CSL_SPLIT_COUNT; s++) {
        const struct csl_examples *x = &a->domains[0][s], *y = &b->domains[0][s];
        assert_int_equal(x->records, y->records);
        assert_int_equal(x->patients, y->patients);
        assert_true(b->multimodal->splits[s].records > y->records);
        records += x->records;
        for (uint32_t i = 0; i < x->records; i++) {
            assert_true(y->time[i] > 0 && !(x->time[i] < y->time[i]) && !(x->time[i] > y->time[i]));
            assert_int_equal(x->label[i], y->label[i]);
            assert_int_equal(x->patient[i], y->patient[i]);
        }
    }
    assert_true(records > 40);
    assert_null(b->domains[1][CSL_SPLIT_TRAIN].time);
    assert_true(csl_dataset_block_patients(b, 0) > 0 && csl_dataset_block_patients(b, 2) > 0);
    csl_dataset_free(a);
    csl_dataset_free(b);
    csl_study_free(plain);
    csl_study_free(fused);
}

/* Patients of statistics by group: as of the study that reads the one table itself; of training
 * patients only, and not of several sites as if they were one. */
static void test_fused_views__statistics__have_the_groups_of_the_plain_study(void **state)
{
    struct csl_study *plain, *fused, *again;
    char first[256], fourth[256];
    uint32_t seen[3] = {0};
    (void)state;
    write_hospital("0.h5", 0);
    write_hospital("3.h5", 3);
    snprintf(first, sizeof(first), "%s", scratch("0.h5"));
    snprintf(fourth, sizeof(fourth), "%s", scratch("3.h5"));
    const char *const paths[2] = {first, fourth};
    struct csl_dataset *a = load(counted_table, paths, 1, &plain);
    struct csl_dataset *b = load(counted_inputs, paths, 1, &fused);
    struct csl_dataset *pooled = load(counted_inputs, paths, 2, &again);
    const struct csl_examples *x = &a->domains[0][CSL_SPLIT_TRAIN];
    const struct csl_examples *y = &b->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(x->patients, y->patients);
    assert_non_null(y->group);
    assert_memory_equal(x->group, y->group, (size_t)x->patients * 2);
    for (uint32_t p = 0; p < y->patients; p++) {
        assert_int_equal(y->group[2 * p], 0); /* age_band has no list */
        assert_true(y->group[2 * p + 1] < 3);
        seen[y->group[2 * p + 1]]++;
    }
    assert_true(seen[1] > 5 && seen[2] > 5);
    assert_non_null(b->domains[1][CSL_SPLIT_TRAIN].group);
    assert_null(b->domains[0][CSL_SPLIT_TEST].group);
    assert_null(pooled->domains[0][CSL_SPLIT_TRAIN].group);
    csl_dataset_free(a);
    csl_dataset_free(b);
    csl_dataset_free(pooled);
    csl_study_free(plain);
    csl_study_free(fused);
    csl_study_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_views__survival__has_the_times_of_the_plain_study),
        cmocka_unit_test(test_fused_views__statistics__have_the_groups_of_the_plain_study),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
