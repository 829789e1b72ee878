/* One patient's part in the sum of mode joint, of a study with inputs: how far the integers move
 * without the patient, and what a site that lacks an input sends. The sum itself is compared with a
 * model in double in test_fused.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "privacy/crypto/rng.h"
#include "tests/unit/training/fused_fixture.h"

#include <math.h>
#include <string.h>

static const char yaml[] =
    "study: fused\n"
    "inputs:\n"
    "  - {id: table, modality: tabular, features: [a, b, c, d], encoder: {kind: linear}}\n"
    "  - {id: vector, modality: signal, shape: [1, 3], encoder: {kind: mlp, hidden: [5]}}\n"
    "  - {id: note, modality: text, shape: [5, 9], encoder: {kind: bag, width: 3}}\n"
    "domains:\n"
    "  - id: yes\n    inputs: [table, vector, note]\n    task: {kind: binary, label: y}\n"
    "    model: {kind: multimodal, width: 4, hidden: [3], modality_dropout: 0.2}\n"
    "  - id: which\n    inputs: [note, vector]\n    task: {kind: classes, label: w, classes: 3}\n"
    "    model: {kind: multimodal, width: 4, fusion: mean}\n"
    "training: {local: {optimizer: sgd, learning_rate: 1, batch_patients: full, steps: 1}}\n"
    "rounds: 2\naggregation: {strategy: fedavg}\nsites: {minimum: 3}\n"
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
    "fairness: {attributes: [sex, ward, age], weights: {cap: 3}}\n"
    "statistics: {every: 1, epsilon: 1, delta: 0.001, groups: {sex: [female, male], age: [young, "
    "middle, old]}}\n"
    "privacy: {mode: joint, noise_multiplier: 1, delta: 0.001, clip: 0.7, sampling_rate: 0.999}\n";

static void make_plan(struct bench *b, struct csl_privacy_plan *plan)
{
    uint64_t patients[6];
    struct csl_err err = {.code = CSL_OK};
    for (uint32_t i = 0; i < 5; i++)
        patients[i] = csl_trainer__patients(b->trainer, &b->data, i);
    patients[5] = PATIENTS;
    if (csl_privacy_plan_make(plan, b->study, patients, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void open_bench(struct bench *b, struct csl_privacy_plan *plan, int64_t *sum)
{
    bench_open(b, yaml, 0);
    make_plan(b, plan);
    b->joint_sum = sum;
}

/* One round of the bench with the records of one patient gone (PATIENTS: of none). */
static void sum_without(struct bench *b, struct csl_privacy_plan *plan, uint32_t patient)
{
    float update[MOST];
    struct csl_train_report report;
    struct csl_rng rng;
    uint8_t kept[3][ROWS];
    csl_rng_init_label(&rng, 7, "test/noise", 0, 0, 0);
    struct csl_private_run privacy = {.plan = plan, .rng = &rng};
    memcpy(kept, b->present, sizeof(kept));
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t i = 0; i < 3 && b->patient[r] == patient; i++)
            b->present[i][r] = 0;
    bench_view(b);
    bench_run(b, &privacy, update, &report);
    memcpy(b->present, kept, sizeof(kept));
    bench_view(b);
}

static bool lacks_input(const struct bench *b, uint32_t patient, uint32_t input)
{
    for (uint32_t r = 0; r < ROWS; r++)
        if (b->patient[r] == patient && b->present[input][r] != 0)
            return false;
    return true;
}

/* The squared length of all - without, which must be at most l2_units squared. */
static double moved_by(const struct bench *b, const struct csl_privacy_plan *plan,
                       const int64_t *all, const int64_t *without)
{
    csl_u128 square = 0;
    for (uint64_t i = 0; i < b->study->schema.parameters; i++) {
        int64_t z = all[i] - without[i];
        square += (csl_u128)((uint64_t)(z < 0 ? -z : z)) * (uint64_t)(z < 0 ? -z : z);
    }
    assert_true(square <=
                (csl_u128)plan->domains[0].noise.l2_units * plan->domains[0].noise.l2_units);
    return (double)square;
}

/* The same draws and the same noise with and without a patient: the integers differ by a vector of
 * at most l2_units over all blocks together, reached by those who are clipped, and by exactly
 * nothing in the block of an input that the patient lacks. */
static void test_fused_joint__sum__moves_by_at_most_the_clip_without_a_patient(void **state)
{
    (void)state;
    struct bench b;
    struct csl_privacy_plan plan;
    static int64_t all[MOST], without[MOST];
    uint32_t reached = 0, lacked = 0;
    open_bench(&b, &plan, all);
    for (uint32_t i = 0; i < MOST; i++)
        b.weights[i] *= 4; /* long gradients */
    sum_without(&b, &plan, PATIENTS);
    b.joint_sum = without;
    for (uint32_t p = 0; p < PATIENTS; p++) {
        const struct csl_schema *s = &b.study->schema;
        double units = (double)plan.domains[0].noise.l2_units;
        sum_without(&b, &plan, p);
        reached += moved_by(&b, &plan, all, without) > 0.999 * units * units;
        for (uint32_t i = 0; i < 3; i++) {
            const struct csl_block_spec *block = &s->blocks[2 + i];
            if (!lacks_input(&b, p, i))
                continue;
            lacked++;
            assert_memory_equal(all + block->first, without + block->first,
                                (size_t)block->count * sizeof(int64_t));
        }
    }
    assert_true(reached >= 3 && lacked >= 3);
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

/* With weights of domains, whatever they are: no patient moves the integers further, and the
 * weights act behind the clip. Patient 5 has domain yes alone, in the note, which domain which
 * reads too: there, and nowhere else, the patient counts by the share of yes. */
static void test_fused_joint__weights_of_domains__within_the_clip_and_behind_it(void **state)
{
    static const double weights[][2] = {{1, 1}, {1, 4}, {2.5, 0.4}, {0.01, 1}};
    static const double shares[] = {1, 0.25, 1, 0.01};
    enum { ALONE = 5, NOTE = 2 };
    (void)state;
    struct bench b;
    struct csl_privacy_plan plan;
    static int64_t all[MOST], without[MOST], plain[MOST];
    uint32_t changed = 0;
    open_bench(&b, &plan, all);
    for (uint32_t i = 0; i < MOST; i++)
        b.weights[i] *= 4; /* long gradients */
    sum_without(&b, &plan, PATIENTS);
    b.joint_sum = without;
    sum_without(&b, &plan, ALONE);
    for (uint32_t i = 0; i < MOST; i++)
        plain[i] = all[i] - without[i];
    const struct csl_block_spec *note = &b.study->schema.blocks[2 + NOTE];
    for (size_t w = 0; w < sizeof(weights) / sizeof(weights[0]); w++) {
        double units = (double)plan.domains[0].noise.l2_units, most = 0;
        b.domain_weights = weights[w];
        b.joint_sum = all;
        sum_without(&b, &plan, PATIENTS);
        b.joint_sum = without;
        for (uint32_t p = 0; p < PATIENTS; p++) {
            sum_without(&b, &plan, p);
            most = fmax(most, moved_by(&b, &plan, all, without));
            for (uint64_t i = 0; p == ALONE && i < b.study->schema.parameters; i++) {
                bool is_shared = i >= note->first && i < note->first + note->count;
                double expected = (double)plain[i] * (is_shared ? shares[w] : 1);
                /* two roundings, and float32 of the weighed gradient */
                assert_true(fabs((double)(all[i] - without[i]) - expected) <= 1.5 + 1e-5 * units);
                changed += fabs((double)plain[i] - expected) > 1e-3 * units;
            }
        }
        assert_true(most > 0.99 * units * units); /* in what only heads and the table have */
    }
    assert_true(changed > 3);
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

/* With weights of patient groups, and with both: the same. Every patient counts by the mean of the
 * logarithms of its sex and age, over the largest there could be. */
static void test_fused_joint__weights_of_groups__within_the_clip_and_behind_it(void **state)
{
    static const double logs[] = {0.4, -0.6, -0.2, 0.1, 1.0}; /* female, male, young, middle, old */
    static const double both[] = {1, 2};
    static uint8_t groups[PATIENTS][3] = {{1, 0, 3}, {2, 0, 1}, {0, 1, 2}, {2, 0, 3},
                                          {1, 0, 0}, {2, 0, 1}, {0, 0, 0}};
    static const double sums[PATIENTS] = {1.4, -0.8, 0.1, 0.4, 0.4, -0.8, 0};
    (void)state;
    struct bench b;
    struct csl_privacy_plan plan;
    static int64_t all[MOST], without[MOST], plain[PATIENTS][MOST], whole[MOST];
    uint32_t changed = 0;
    open_bench(&b, &plan, whole);
    b.multimodal.splits[CSL_SPLIT_TRAIN].group = &groups[0][0];
    for (uint32_t i = 0; i < MOST; i++)
        b.weights[i] *= 4; /* long gradients */
    sum_without(&b, &plan, PATIENTS);
    for (uint32_t p = 0; p < PATIENTS; p++) {
        b.joint_sum = without;
        sum_without(&b, &plan, p);
        for (uint32_t i = 0; i < MOST; i++)
            plain[p][i] = whole[i] - without[i];
    }
    b.group_weights = logs;
    for (uint32_t k = 0; k < 2; k++) {
        double units = (double)plan.domains[0].noise.l2_units;
        b.domain_weights = k == 1 ? both : NULL;
        b.joint_sum = all;
        sum_without(&b, &plan, PATIENTS);
        b.joint_sum = without;
        for (uint32_t p = 0; p < PATIENTS; p++) {
            double share = exp((sums[p] - 1.4) / 2);
            sum_without(&b, &plan, p);
            assert_true(sqrt(moved_by(&b, &plan, all, without)) <= share * units + MOST);
            for (uint64_t i = 0; k == 0 && i < b.study->schema.parameters; i++) {
                double expected = (double)plain[p][i] * share;
                assert_true(fabs((double)(all[i] - without[i]) - expected) <= 2);
                changed += fabs((double)plain[p][i] - expected) > 1e-3 * units;
            }
        }
    }
    assert_true(changed > 20);
    b.multimodal.splits[CSL_SPLIT_TRAIN].group = NULL;
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

/* The site has no table: its plan, grid and price are those of a site that has all, and of the
 * block of the table nothing is drawn, not even noise. */
static void test_fused_joint__block_that_the_site_lacks__is_neither_drawn_nor_sent(void **state)
{
    (void)state;
    struct bench b;
    struct csl_privacy_plan all, few;
    struct csl_train_report report;
    struct csl_rng rng;
    static int64_t sum[MOST];
    float update[MOST];
    open_bench(&b, &all, sum);
    memset(b.present[0], 0, sizeof(b.present[0]));
    bench_view(&b);
    make_plan(&b, &few);
    assert_memory_equal(&all.events[0], &few.events[0], sizeof(all.events[0]));
    assert_int_equal(all.events[0].dimensions, b.study->schema.parameters);
    assert_int_equal(all.domains[0].noise.l2_units, few.domains[0].noise.l2_units);
    csl_rng_init_label(&rng, 7, "test/noise", 0, 0, 0);
    struct csl_private_run privacy = {.plan = &few, .rng = &rng};
    bench_run(&b, &privacy, update, &report);
    assert_int_equal(report.block_count, 4);
    for (uint32_t i = 0; i < b.study->schema.block_count; i++) {
        const struct csl_block_spec *block = &b.study->schema.blocks[i];
        uint64_t zeros = 0;
        for (uint64_t k = block->first; k < block->first + block->count; k++)
            zeros += sum[k] == 0;
        assert_int_equal(zeros, i == 2 ? block->count : 0); /* fixed seed */
        for (uint32_t k = 0; i == 2 && k < report.block_count; k++)
            assert_int_not_equal(report.blocks[k].block, i);
    }
    csl_privacy_plan_release(&all);
    csl_privacy_plan_release(&few);
    bench_close(&b);
}

/* Nothing of the site's is trained: no plan, and so no part in the study. */
static void test_fused_joint__site_without_a_trained_block__has_no_plan(void **state)
{
    (void)state;
    uint64_t patients[6] = {0, 0, 3, 0, 0, PATIENTS};
    struct csl_privacy_plan plan;
    struct csl_study *study = NULL;
    struct csl_err err = {.code = CSL_OK};
    assert_int_equal(csl_study_parse(&study, "s.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), &err),
                     CSL_OK);
    assert_int_equal(csl_privacy_plan_make(&plan, study, patients, &err), CSL_OK);
    csl_privacy_plan_release(&plan);
    study->schema.blocks[2].kind = CSL_BLOCK_FROZEN;
    assert_int_equal(csl_privacy_plan_make(&plan, study, patients, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "no training patients for a block that is trained"));
    csl_study_free(study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_joint__sum__moves_by_at_most_the_clip_without_a_patient),
        cmocka_unit_test(test_fused_joint__weights_of_domains__within_the_clip_and_behind_it),
        cmocka_unit_test(test_fused_joint__weights_of_groups__within_the_clip_and_behind_it),
        cmocka_unit_test(test_fused_joint__block_that_the_site_lacks__is_neither_drawn_nor_sent),
        cmocka_unit_test(test_fused_joint__site_without_a_trained_block__has_no_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
