/* Training on inputs that a study changes: every step is one on records changed by hand under the
 * label of seed, site and step; predictions read them as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "site-agent/data/augment.h"
#include "site-agent/training/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PATIENTS 40u /* more than go to the device at once */
#define RECORDS  60u
#define WIDTH    30u /* 6 x 5 pixels */
#define P        (WIDTH + 1)
#define SEED     9u

#define AUGMENT ", augment: {shift: 2, mirror: true, brightness: 0.5}"

struct bench {
    struct csl_study *study;
    struct csl_dataset data;
    struct csl_examples examples[CSL_SPLIT_COUNT];
    float x[RECORDS * WIDTH], changed[RECORDS * WIDTH];
    uint32_t patient[RECORDS];
    uint8_t label[RECORDS];
};

static void open_bench(struct bench *b, const char *augment, const char *batch, uint32_t steps)
{
    char yaml[512];
    struct csl_err err = {.code = CSL_OK};
    struct csl_rng rng;
    *b = (struct bench){0};
    snprintf(yaml, sizeof(yaml),
             "study: s\nrounds: 9\naggregation: {strategy: fedavg}\nmodel: {kind: linear}\n"
             "domains: [{id: d, modality: image2d, shape: [6, 5, 1]%s, "
             "task: {kind: binary, label: l}}]\n"
             "training: {local: {learning_rate: 0.5, batch_patients: %s, steps: %u}}\n",
             augment, batch, steps);
    if (csl_study_parse(&b->study, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(b->study->schema.parameters, P);
    csl_rng_init_label(&rng, 3, "test/augmented", 0, 0, 0);
    for (uint32_t i = 0; i < RECORDS * WIDTH; i++)
        b->x[i] = (float)csl_rng_normal(&rng);
    for (uint32_t r = 0; r < RECORDS; r++) { /* the first have two records */
        b->patient[r] = r < 2 * (RECORDS - PATIENTS) ? r / 2 : r - (RECORDS - PATIENTS);
        b->label[r] = (uint8_t)csl_rng_below(&rng, 2);
    }
    b->examples[CSL_SPLIT_TRAIN] = (struct csl_examples){.records = RECORDS,
                                                         .patients = PATIENTS,
                                                         .width = WIDTH,
                                                         .x = b->x,
                                                         .patient = b->patient,
                                                         .label = b->label};
    b->data = (struct csl_dataset){
        .site = "ghent", .study = b->study, .domain_count = 1, .domains = &b->examples};
}

static void run(struct bench *b, uint64_t round, const float *global, float *update)
{
    struct csl_trainer *t = NULL;
    struct csl_train_report report;
    struct csl_err err = {.code = CSL_OK};
    assert_int_equal(csl_trainer_new(&t, b->study, "cpu-ref", &err), CSL_OK);
    struct csl_train_task task = {
        .data = &b->data, .seed = SEED, .round = round, .global = global, .update = update};
    if (csl_trainer_run(t, &task, &report, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_trainer_free(t);
}

/* The records as step `step` has to see them. */
static void change_by_hand(struct bench *b, uint64_t step)
{
    const struct csl_augment_image a = {2, true, 0.5};
    const uint32_t shape[3] = {6, 5, 1};
    for (uint32_t r = 0; r < RECORDS; r++) {
        const struct csl_augment_label l = {SEED, "ghent", step, b->patient[r], r};
        csl_augment_image(&a, &l, shape, b->x + r * WIDTH, b->changed + r * WIDTH);
    }
    b->examples[CSL_SPLIT_TRAIN].x = b->changed;
}

static void model(float w[P], uint64_t seed)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "test/augmented/model", 0, 0, 0);
    for (uint32_t i = 0; i < P; i++)
        w[i] = 0.3f * (float)csl_rng_normal(&rng);
}

static void check_rounds(const char *batch)
{
    struct bench with, without;
    float w[P], got[P], want[P], plain[P];
    open_bench(&with, AUGMENT, batch, 1);
    open_bench(&without, "", batch, 1);
    for (uint64_t round = 1; round <= 5; round++) {
        model(w, round);
        run(&with, round, w, got);
        without.examples[CSL_SPLIT_TRAIN].x = without.x;
        run(&without, round, w, plain);
        change_by_hand(&without, round - 1);
        run(&without, round, w, want);
        assert_memory_equal(got, want, sizeof(got));
        assert_memory_not_equal(got, plain, sizeof(got));
        run(&with, round, w, got); /* again */
        assert_memory_equal(got, want, sizeof(got));
    }
    csl_study_free(with.study);
    csl_study_free(without.study);
}

static void test_augmented__one_step_a_round__is_one_on_records_changed_by_hand(void **state)
{
    (void)state;
    check_rounds("full");
    check_rounds("7");
}

/* Also a batch of everybody, which is else loaded once. Plain steps have no memory. */
static void check_steps(const char *batch)
{
    struct bench three, one;
    float w[P], update[P], expected[P];
    open_bench(&three, AUGMENT, batch, 3);
    open_bench(&one, AUGMENT, batch, 1);
    model(w, 1);
    run(&three, 1, w, update);
    for (uint32_t i = 0; i < P; i++)
        expected[i] = w[i] + update[i];
    for (uint64_t step = 0; step < 3; step++) {
        run(&one, step + 1, w, update);
        for (uint32_t i = 0; i < P; i++)
            w[i] += update[i];
    }
    for (uint32_t i = 0; i < P; i++)
        assert_true(fabsf(w[i] - expected[i]) < 1e-6f);
    run(&three, 2, w, update); /* the second round goes on with step 3 */
    for (uint32_t i = 0; i < P; i++)
        expected[i] = w[i] + update[i];
    for (uint64_t step = 3; step < 6; step++) {
        run(&one, step + 1, w, update);
        for (uint32_t i = 0; i < P; i++)
            w[i] += update[i];
    }
    for (uint32_t i = 0; i < P; i++)
        assert_true(fabsf(w[i] - expected[i]) < 1e-6f);
    csl_study_free(three.study);
    csl_study_free(one.study);
}

static void test_augmented__several_steps__each_changes_records_anew(void **state)
{
    (void)state;
    check_steps("full");
    check_steps("8");
}

static void test_augmented__prediction__reads_records_as_they_are(void **state)
{
    (void)state;
    struct bench with, without;
    struct csl_trainer *t = NULL;
    float w[P], a[RECORDS], b[RECORDS];
    open_bench(&with, AUGMENT, "full", 1);
    open_bench(&without, "", "full", 1);
    model(w, 1);
    for (int i = 0; i < 2; i++) {
        struct bench *one = i == 0 ? &with : &without;
        assert_int_equal(csl_trainer_new(&t, one->study, "cpu-ref", NULL), CSL_OK);
        assert_int_equal(csl_trainer_predict(t, 0, &one->examples[CSL_SPLIT_TRAIN], w,
                                             i == 0 ? a : b, NULL, NULL),
                         CSL_OK);
        csl_trainer_free(t);
        csl_study_free(one->study);
    }
    assert_memory_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_augmented__one_step_a_round__is_one_on_records_changed_by_hand),
        cmocka_unit_test(test_augmented__several_steps__each_changes_records_anew),
        cmocka_unit_test(test_augmented__prediction__reads_records_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
