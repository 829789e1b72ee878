/* Adapters of frozen encoders, against the same encoders with the product of the two matrices in
 * their weights: with W' = W + s B A the gradients are dB = s dW' A^T and dA = s B^T dW'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "privacy/crypto/rng.h"
#include "tests/unit/training/fused_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RANK  2u
#define ALPHA 3.0
#define RATE  0.5

enum { YES, WHICH, IN_TABLE, IN_VECTOR, IN_NOTE, BLOCKS };
#define ADAPTER ", train: frozen, adapter: {rank: 2, alpha: 3}"

/* Of the linear layers of the encoders: linear; mlp; bag, then a layer. */
static const struct {
    const char *layer, *adapter;
    uint32_t in, out;
} layers[] = {{"input.table.", "adapter.table.", TABLE, WIDTH},
              {"input.vector.layer0.", "adapter.vector.layer0.", VECTOR, 5},
              {"input.vector.layer1.", "adapter.vector.layer1.", 5, WIDTH},
              {"input.note.layer0.", "adapter.note.layer0.", 3, WIDTH}};
#define LAYERS (sizeof(layers) / sizeof(layers[0]))

static void open_bench(struct bench *b, const char *key, uint32_t adapters, const char *more)
{
    char yaml[2048];
    snprintf(yaml, sizeof(yaml),
             "study: fused\ninputs:\n"
             "  - {id: table, modality: tabular, features: [a, b, c, d], encoder: {kind: "
             "linear%s}}\n"
             "  - {id: vector, modality: embedding, shape: [3], encoder: {kind: mlp, hidden: "
             "[5]%s}}\n"
             "  - {id: note, modality: text, shape: [5, 9], encoder: {kind: bag, width: 3%s}}\n"
             "domains:\n"
             "  - id: yes\n    inputs: [table, vector, note]\n"
             "    task: {kind: binary, label: y}\n"
             "    model: {kind: multimodal, width: 4, fusion: gated, hidden: [3]}\n"
             "  - id: which\n    inputs: [note, vector]\n"
             "    task: {kind: classes, label: w, classes: 3}\n"
             "    model: {kind: multimodal, width: 4, fusion: mean}\n"
             "training: {local: {optimizer: sgd, learning_rate: 0.5, batch_patients: full, "
             "steps: 1}}\nrounds: 2\nsites: {minimum: 1}\naggregation: {strategy: fedavg}\n%s",
             key, key, key, more);
    bench_open(b, yaml, adapters);
}

static uint64_t first_of(const struct bench *b, const char *prefix, const char *part)
{
    char name[CSL_ID_MAX];
    const struct csl_schema *s = &b->study->schema;
    snprintf(name, sizeof(name), "%s%s", prefix, part);
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return s->tensors[i].first;
    fail_msg("no tensor %s", name);
    return 0;
}

/* plain: the weights of b with each layer's product added to its weight. */
static void merge(const struct bench *b, struct bench *plain)
{
    memcpy(plain->weights, b->weights, sizeof(plain->weights));
    for (size_t l = 0; l < LAYERS; l++) {
        const float *down = b->weights + first_of(b, layers[l].adapter, "down");
        const float *up = b->weights + first_of(b, layers[l].adapter, "up");
        float *w = plain->weights + first_of(plain, layers[l].layer, "weight");
        for (uint32_t o = 0; o < layers[l].out; o++)
            for (uint32_t i = 0; i < layers[l].in; i++) {
                double sum = 0;
                for (uint32_t k = 0; k < RANK; k++)
                    sum += (double)up[o * RANK + k] * (double)down[k * layers[l].in + i];
                w[o * layers[l].in + i] += (float)(ALPHA / RANK * sum);
            }
    }
}

static void expect_near(double got, double want, const char *what)
{
    if (!(fabs(got - want) <= 2e-6 + 2e-5 * fabs(want)))
        fail_msg("%s: %.9g, merged weights say %.9g", what, got, want);
}

/* Updates of one layer's matrices from that of the merged weight. */
static void expect_layer(const struct bench *b, const struct bench *plain, size_t l,
                         const float *update, const float *merged)
{
    uint32_t in = layers[l].in, out = layers[l].out;
    uint64_t down = first_of(b, layers[l].adapter, "down");
    uint64_t up = first_of(b, layers[l].adapter, "up");
    const float *w = merged + first_of(plain, layers[l].layer, "weight");
    for (uint32_t k = 0; k < RANK; k++) {
        for (uint32_t o = 0; o < out; o++) {
            double want = 0;
            for (uint32_t i = 0; i < in; i++)
                want +=
                    ALPHA / RANK * (double)w[o * in + i] * (double)b->weights[down + k * in + i];
            expect_near((double)update[up + o * RANK + k], want, layers[l].adapter);
        }
        for (uint32_t i = 0; i < in; i++) {
            double want = 0;
            for (uint32_t o = 0; o < out; o++)
                want +=
                    ALPHA / RANK * (double)w[o * in + i] * (double)b->weights[up + o * RANK + k];
            expect_near((double)update[down + k * in + i], want, layers[l].adapter);
        }
    }
}

static void test_fused_adapter__step__is_that_of_the_merged_weights(void **state)
{
    (void)state;
    struct bench b, plain;
    struct csl_train_report report;
    float update[MOST], merged[MOST];
    open_bench(&b, ADAPTER, 3, "");
    open_bench(&plain, "", 0, "");
    merge(&b, &plain);
    bench_run(&b, NULL, update, &report);
    assert_int_equal(report.block_count, 5); /* heads and adapters, in the schema's order */
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(report.blocks[i].block, i < 2 ? i : i + 3);
    assert_int_equal(report.blocks[3].patients, b.input_patients[1]);
    bench_run(&plain, NULL, merged, &report);
    const struct csl_schema *s = &b.study->schema;
    for (uint64_t i = 0; i < s->blocks[IN_TABLE].first; i++)
        expect_near((double)update[i], (double)merged[i], "head");
    for (uint64_t i = s->blocks[IN_TABLE].first; i < s->blocks[BLOCKS].first; i++)
        assert_true(update[i] == 0); /* what is frozen */
    for (size_t l = 0; l < LAYERS; l++)
        expect_layer(&b, &plain, l, update, merged);
    bench_close(&b);
    bench_close(&plain);
}

/* A model whose adapters begin at zero is the model without them. */
static void test_fused_adapter__up_is_zero__predicts_as_without(void **state)
{
    (void)state;
    struct bench b, plain;
    float scores[2][ROWS];
    open_bench(&b, ADAPTER, 3, "");
    open_bench(&plain, "", 0, "");
    memcpy(plain.weights, b.weights, sizeof(b.weights));
    for (size_t l = 0; l < LAYERS; l++)
        memset(b.weights + first_of(&b, layers[l].adapter, "up"), 0,
               (size_t)layers[l].out * RANK * sizeof(float));
    for (int i = 0; i < 2; i++) {
        struct bench *one = i == 0 ? &b : &plain;
        const struct csl_examples *e = &one->examples[YES][CSL_SPLIT_TRAIN];
        assert_int_equal(
            csl_trainer_predict(one->trainer, YES, e, one->weights, scores[i], NULL, NULL), CSL_OK);
    }
    assert_memory_equal(scores[0], scores[1],
                        b.examples[YES][CSL_SPLIT_TRAIN].records * sizeof(float));
    bench_close(&b);
    bench_close(&plain);
}

/* Nothing is clipped and the noise small: as without, to 8 deviations and the grid; beyond with
 * probability below 1e-12 over all parameters. */
static void test_fused_adapter__with_privacy__noise_is_on_what_learns(void **state)
{
    (void)state;
    struct bench b;
    struct csl_train_report report;
    struct csl_privacy_plan plan;
    struct csl_rng rng;
    struct csl_err err = {.code = CSL_OK};
    float update[MOST], without[MOST];
    uint64_t patients[BLOCKS + 4], learns = 0;
    open_bench(&b, ADAPTER, 3, "");
    bench_run(&b, NULL, without, &report);
    bench_close(&b);
    open_bench(&b, ADAPTER, 3,
               "privacy: {mode: local, noise_multiplier: 0.00004, delta: 0.001, clip: 20}\n");
    for (uint32_t i = 0; i < BLOCKS + 3; i++) {
        patients[i] = csl_dataset_block_patients(&b.data, i);
        bool is_frozen = b.study->schema.blocks[i].kind == CSL_BLOCK_FROZEN;
        learns += is_frozen ? 0 : b.study->schema.blocks[i].count;
    }
    assert_int_equal(patients[BLOCKS + 1], b.input_patients[1]);
    patients[BLOCKS + 3] = PATIENTS;
    if (csl_privacy_plan_make(&plan, b.study, patients, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(plan.domains[0].parameters, learns);
    csl_rng_init_label(&rng, 1, "test/noise", 0, 0, 0);
    struct csl_private_run privacy = {.plan = &plan, .rng = &rng};
    bench_run(&b, &privacy, update, &report);
    assert_int_equal(privacy.rejected, 0);
    double std = report.events[0].std_units * plan.domains[0].noise.unit;
    for (uint64_t i = 0; i < b.study->schema.parameters; i++)
        assert_true(fabs((double)update[i] - (double)without[i]) <=
                    RATE * (8 * std + 1e-4) / PATIENTS + 1e-6);
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_adapter__step__is_that_of_the_merged_weights),
        cmocka_unit_test(test_fused_adapter__up_is_zero__predicts_as_without),
        cmocka_unit_test(test_fused_adapter__with_privacy__noise_is_on_what_learns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
