/* Several yes/no labels in one head: what a site does not know of them adds exactly nothing, and
 * what it knows counts as the loss says, with and without privacy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/private_sum.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PATIENTS 40u
#define WIDTH    4u
#define LABELS   3u
#define MOST     256u

static const char *const models[] = {"{kind: linear}", "{kind: mlp, hidden: [5]}"};
static const char *const backends[] = {"cpu-ref", "auto"};

struct bench {
    struct csl_study *study;
    struct csl_trainer *t;
    struct csl_dataset data;
    struct csl_examples splits[1][CSL_SPLIT_COUNT];
    float model[MOST];
    uint64_t n;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

/* Every second patient has two records; the last label of three is known nowhere. */
static void fill(struct csl_examples *e, uint32_t answers)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, 3, "test/labels", 0, 0, 0);
    *e = (struct csl_examples){.width = WIDTH, .patients = PATIENTS, .answer_count = answers};
    e->x = csl_alloc_array(2 * PATIENTS, WIDTH * sizeof(float));
    e->patient = csl_alloc_array(2 * PATIENTS, sizeof(uint32_t));
    e->label = csl_alloc_array(2 * PATIENTS, 1);
    e->answer = csl_alloc_array(2 * PATIENTS, LABELS);
    e->answer_known = csl_alloc_array(2 * PATIENTS, LABELS);
    for (uint32_t p = 0; p < PATIENTS; p++)
        for (uint32_t i = 0; i <= p % 2; i++, e->records++) {
            size_t r = e->records;
            e->patient[r] = p;
            for (uint32_t k = 0; k < WIDTH; k++)
                e->x[r * WIDTH + k] = (float)csl_rng_normal(&rng);
            for (uint32_t k = 0; k < LABELS; k++) {
                e->answer[r * LABELS + k] = (uint8_t)csl_rng_below(&rng, 2);
                e->answer_known[r * LABELS + k] = k + 1 < LABELS && (k == 0 || p % 3 > 0);
            }
            if (answers == 0)
                e->label[r] = e->answer[r * LABELS];
        }
}

static void bench_open(struct bench *b, const char *task, const char *model, const char *backend,
                       uint32_t answers)
{
    struct csl_err err = {0};
    char yaml[1024];
    *b = (struct bench){0};
    int n = snprintf(yaml, sizeof(yaml),
                     "study: s\nrounds: 3\naggregation: {strategy: fedavg}\n"
                     "domains: [{id: d, modality: embedding, shape: [%u], task: %s, model: %s}]\n"
                     "training: {local: {learning_rate: 0.5, batch_patients: full, steps: 1}}\n",
                     WIDTH, task, model);
    must(csl_study_parse(&b->study, "s.yaml", CSL_SPAN(yaml, (size_t)n), &err), &err);
    must(csl_trainer_new(&b->t, b->study, backend, &err), &err);
    b->n = b->study->schema.parameters;
    assert_true(b->n <= MOST);
    csl_schema_init_parameters(&b->study->schema, 5, b->model);
    fill(&b->splits[0][CSL_SPLIT_TRAIN], answers);
    b->data = (struct csl_dataset){
        .site = "a", .study = b->study, .domain_count = 1, .domains = b->splits};
}

static void bench_close(struct bench *b)
{
    struct csl_examples *e = &b->splits[0][CSL_SPLIT_TRAIN];
    csl_free(e->x);
    csl_free(e->patient);
    csl_free(e->label);
    csl_free(e->answer);
    csl_free(e->answer_known);
    csl_trainer_free(b->t);
    csl_study_free(b->study);
}

static void run(struct bench *b, float *update)
{
    struct csl_err err = {0};
    struct csl_train_report report;
    const struct csl_train_task task = {
        .data = &b->data, .seed = 1, .round = 1, .global = b->model, .update = update};
    must(csl_trainer_run(b->t, &task, &report, &err), &err);
    assert_true(isfinite(report.mean_loss) && report.mean_loss > 0);
}

#define TASK "{kind: labels, labels: [one, two, three]}"

/* Parameters of the last layer that give label k: a row of the weight, and a bias. */
static bool is_of_label(const struct bench *b, uint64_t at, uint32_t k)
{
    const struct csl_layer *l = &b->t->nets[0].layers[b->t->nets[0].layer_count - 1];
    return (at >= l->weight + k * l->in && at < l->weight + (k + 1) * l->in) || at == l->bias + k;
}

static void test_labels__label_that_nobody_knows__moves_exactly_nothing(void **state)
{
    (void)state;
    for (size_t m = 0; m < 2; m++)
        for (size_t e = 0; e < 2; e++) {
            struct bench b;
            float update[MOST];
            bool moved[LABELS] = {false};
            bench_open(&b, TASK, models[m], backends[e], LABELS);
            run(&b, update);
            for (uint64_t i = 0; i < b.n; i++)
                for (uint32_t k = 0; k < LABELS; k++)
                    moved[k] =
                        moved[k] || (is_of_label(&b, i, k) && (update[i] < 0 || update[i] > 0));
            assert_true(moved[0] && moved[1]);
            assert_false(moved[2]);
            bench_close(&b);
        }
}

/* What an unknown answer is written as reaches nothing at all, not even another label. */
static void test_labels__bits_of_unknown_answers__change_no_bit(void **state)
{
    (void)state;
    struct bench b;
    float update[MOST], other[MOST];
    bench_open(&b, TASK, models[1], "auto", LABELS);
    struct csl_examples *e = &b.splits[0][CSL_SPLIT_TRAIN];
    run(&b, update);
    for (size_t i = 0; i < (size_t)e->records * LABELS; i++)
        e->answer[i] ^= e->answer_known[i] == 0;
    run(&b, other);
    assert_memory_equal(update, other, b.n * sizeof(float));
    for (size_t i = 0; i < (size_t)e->records * LABELS; i++)
        e->answer[i] ^= e->answer_known[i] != 0;
    run(&b, other);
    assert_memory_not_equal(update, other, b.n * sizeof(float));
    bench_close(&b);
}

/* With one label known the head is that of a binary task. */
static void test_labels__one_known__trains_as_its_binary_task(void **state)
{
    (void)state;
    struct bench b, binary;
    float update[MOST], want[MOST];
    bench_open(&b, TASK, "{kind: linear}", "cpu-ref", LABELS);
    bench_open(&binary, "{kind: binary, label: one}", "{kind: linear}", "cpu-ref", 0);
    struct csl_examples *e = &b.splits[0][CSL_SPLIT_TRAIN];
    for (size_t i = 0; i < (size_t)e->records * LABELS; i++)
        e->answer_known[i] = i % LABELS == 0;
    memcpy(binary.model, b.model, WIDTH * sizeof(float)); /* the first row */
    binary.model[WIDTH] = b.model[LABELS * WIDTH];
    run(&b, update);
    run(&binary, want);
    for (uint32_t i = 0; i <= WIDTH; i++) {
        float got = i < WIDTH ? update[i] : update[LABELS * WIDTH];
        assert_true(fabsf(got - want[i]) <= 1e-6f * (1 + fabsf(want[i])));
    }
    bench_close(&binary);
    bench_close(&b);
}

static void test_labels__prediction__is_a_probability_of_each(void **state)
{
    (void)state;
    struct bench b;
    struct csl_err err = {0};
    float out[2 * PATIENTS * LABELS];
    double loss = 0, want = 0;
    bench_open(&b, TASK, models[1], "cpu-ref", LABELS);
    const struct csl_examples *e = &b.splits[0][CSL_SPLIT_TRAIN];
    must(csl_trainer_predict(b.t, 0, e, b.model, out, &loss, &err), &err);
    for (uint32_t r = 0; r < e->records; r++) {
        double known = 0, sum = 0;
        for (uint32_t k = 0; k < LABELS; k++) {
            double p = (double)out[r * LABELS + k];
            assert_true(p > 0 && p < 1);
            if (e->answer_known[r * LABELS + k] == 0)
                continue;
            known++;
            sum -= log(e->answer[r * LABELS + k] != 0 ? p : 1 - p);
        }
        want += sum / known / (1 + e->patient[r] % 2) / PATIENTS;
    }
    assert_true(fabs(loss - want) < 1e-5);
    bench_close(&b);
}

/* Clipped sums of every patient alone, and of all together. */
static void test_labels__clipped_contributions__add_up_and_leave_unknown_rows_at_zero(void **state)
{
    (void)state;
    struct bench b;
    struct csl_err err = {0};
    struct csl_batches batches;
    struct csl_noise noise;
    struct csl_private_sum *s = NULL;
    uint32_t all[PATIENTS];
    uint64_t rejected = 0;
    int64_t sum[MOST] = {0}, alone[MOST] = {0};
    bench_open(&b, TASK, models[1], "auto", LABELS);
    struct csl_view weights = {b.t->vectors[CSL_V_WEIGHTS], 0, b.n};
    b.t->ops->put(b.t->dev, weights.buf, 0, b.model, b.n * sizeof(float));
    must(
        csl_batches_init(&batches, &b.splits[0][CSL_SPLIT_TRAIN], "round", "d", 2, "a", 1, 0, &err),
        &err);
    must(csl_noise_plan(&noise, 0.25, 1, b.n, &err), &err);
    must(csl_private_sum__open(&s, b.t, 0, &batches, &noise, &err), &err);
    for (uint32_t p = 0; p < PATIENTS; p++) {
        int64_t one[MOST] = {0};
        double square = 0;
        all[p] = p;
        must(csl_private_sum__add(s, &p, 1, one, &rejected, &err), &err);
        for (uint64_t i = 0; i < b.n; i++) {
            square += (double)one[i] * (double)one[i];
            alone[i] += one[i];
        }
        assert_true(square > 0 && sqrt(square) <= (double)noise.l2_units);
    }
    for (uint32_t at = 0, some; at < PATIENTS; at += some) {
        some = csl_private_sum__piece(s, all + at, PATIENTS - at);
        must(csl_private_sum__add(s, all + at, some, sum, &rejected, &err), &err);
    }
    assert_int_equal(rejected, 0);
    assert_memory_equal(sum, alone, b.n * sizeof(sum[0]));
    for (uint64_t i = 0; i < b.n; i++)
        if (is_of_label(&b, i, 2))
            assert_int_equal(sum[i], 0);
    csl_private_sum__close(s);
    csl_noise_release(&noise);
    csl_batches_release(&batches);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels__label_that_nobody_knows__moves_exactly_nothing),
        cmocka_unit_test(test_labels__bits_of_unknown_answers__change_no_bit),
        cmocka_unit_test(test_labels__one_known__trains_as_its_binary_task),
        cmocka_unit_test(test_labels__prediction__is_a_probability_of_each),
        cmocka_unit_test(test_labels__clipped_contributions__add_up_and_leave_unknown_rows_at_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
