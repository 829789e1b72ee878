/* Blocks that stay: frozen ones, which nothing moves, and local ones, which are trained like all
 * others but not reported as something to send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "privacy/crypto/rng.h"
#include "tests/unit/training/fused_fixture.h"

#include <stdio.h>
#include <string.h>

enum { YES, WHICH, IN_TABLE, IN_VECTOR, IN_NOTE, BLOCKS };

/* How each block is trained, in their order; NULL: without the key. */
static void open_bench(struct bench *b, const char *const train[BLOCKS], const char *more)
{
    char yaml[2048], key[BLOCKS][32];
    for (int i = 0; i < BLOCKS; i++)
        snprintf(key[i], sizeof(key[i]), train[i] != NULL ? ", train: %s" : "%s",
                 train[i] != NULL ? train[i] : "");
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
             "    model: {kind: multimodal, width: 4, fusion: gated, hidden: [3]%s}\n"
             "  - id: which\n    inputs: [note, vector]\n"
             "    task: {kind: classes, label: w, classes: 3}\n"
             "    model: {kind: multimodal, width: 4, fusion: mean%s}\n"
             "training: {local: {optimizer: sgd, learning_rate: 0.5, batch_patients: full, "
             "steps: 1%s}}\nrounds: 2\nsites: {minimum: 1}\n%s",
             key[IN_TABLE], key[IN_VECTOR], key[IN_NOTE], key[YES], key[WHICH],
             strstr(more, "fedprox") != NULL ? ", proximal_mu: 3" : "", more);
    bench_open(b, yaml, 0);
}

static const char plain[] = "aggregation: {strategy: fedavg}\n";

static bool is_zero(const struct bench *b, uint32_t block, const float *update)
{
    const struct csl_block_spec *s = &b->study->schema.blocks[block];
    for (uint64_t k = s->first; k < s->first + s->count; k++)
        if (update[k] < 0 || update[k] > 0)
            return false;
    return true;
}

static bool is_same(const struct bench *b, uint32_t block, const float *x, const float *y)
{
    const struct csl_block_spec *s = &b->study->schema.blocks[block];
    return memcmp(x + s->first, y + s->first, s->count * sizeof(*x)) == 0;
}

/* Of one full step, the update is the gradient: that of the other blocks does not depend on which
 * of them learn. */
static void test_fused_blocks__any_of_them_frozen__others_move_as_before(void **state)
{
    (void)state;
    static const char *const none[BLOCKS] = {NULL};
    struct bench b;
    struct csl_train_report report;
    float all[MOST], update[MOST];
    open_bench(&b, none, plain);
    bench_run(&b, NULL, all, &report);
    assert_int_equal(report.block_count, BLOCKS);
    bench_close(&b);
    for (uint32_t frozen = 0; frozen < BLOCKS; frozen++) {
        const char *train[BLOCKS] = {NULL};
        train[frozen] = "frozen";
        open_bench(&b, train, plain);
        bench_run(&b, NULL, update, &report);
        assert_int_equal(report.block_count, BLOCKS - 1);
        for (uint32_t i = 0; i < BLOCKS - 1; i++)
            assert_int_equal(report.blocks[i].block, i + (i >= frozen));
        for (uint32_t k = 0; k < BLOCKS; k++) {
            assert_false(is_zero(&b, k, all));
            assert_true(k == frozen ? is_zero(&b, k, update) : is_same(&b, k, update, all));
        }
        bench_close(&b);
    }
}

static void test_fused_blocks__local__is_trained_but_not_reported(void **state)
{
    (void)state;
    static const char *const none[BLOCKS] = {NULL};
    static const char *const local[BLOCKS] = {[YES] = "local", [IN_TABLE] = "local"};
    static const uint32_t sent[] = {WHICH, IN_VECTOR, IN_NOTE};
    struct bench b;
    struct csl_train_report report;
    float all[MOST], update[MOST];
    open_bench(&b, none, plain);
    bench_run(&b, NULL, all, &report);
    bench_close(&b);
    open_bench(&b, local, plain);
    bench_run(&b, NULL, update, &report);
    assert_memory_equal(update, all, (size_t)b.study->schema.parameters * sizeof(*all));
    assert_int_equal(report.block_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(report.blocks[i].block, sent[i]);
    bench_close(&b);
}

/* The first step leaves the anchor; what the second takes from the data is the same in all of them.
 */
static void test_fused_blocks__local_with_fedprox__is_not_drawn_back(void **state)
{
    (void)state;
    static const char *const local[BLOCKS] = {[IN_TABLE] = "local"};
    static const char *const none[BLOCKS] = {NULL};
    static const char prox[] = "aggregation: {strategy: fedprox}\n";
    const struct {
        const char *const *train;
        const char *more;
    } runs[3] = {{none, plain}, {local, prox}, {none, prox}};
    struct bench b;
    struct csl_train_report report;
    float update[3][MOST];
    for (uint32_t i = 0; i < 3; i++) {
        open_bench(&b, runs[i].train, runs[i].more);
        b.study->local.steps = 2;
        bench_run(&b, NULL, update[i], &report);
        if (i < 2)
            bench_close(&b);
    }
    assert_true(is_same(&b, IN_TABLE, update[1], update[0]));
    assert_false(is_same(&b, IN_TABLE, update[2], update[0]));
    assert_false(is_same(&b, IN_NOTE, update[1], update[0]));
    bench_close(&b);
}

/* Of a step on all patients nothing but the noise of a thousandth of the clip: what a frozen block
 * would have added to the norm is not in it, and the noise has the parameters that learn. */
static void test_fused_blocks__with_privacy__contribution_is_of_what_learns(void **state)
{
    (void)state;
    static const char *const train[BLOCKS] = {
        [IN_NOTE] = "frozen", [IN_TABLE] = "local", [WHICH] = "local"};
    struct bench b;
    struct csl_train_report report;
    struct csl_privacy_plan plan;
    struct csl_rng rng;
    struct csl_err err = {.code = CSL_OK};
    float update[MOST], plain_update[MOST];
    uint64_t patients[BLOCKS + 1], learns = 0;
    char more[160];
    snprintf(more, sizeof(more), "%s%s", plain,
             "privacy: {mode: local, noise_multiplier: 0.00004, delta: 0.001, clip: 20}\n");
    open_bench(&b, train, plain);
    bench_run(&b, NULL, plain_update, &report);
    bench_close(&b);
    open_bench(&b, train, more);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        patients[i] = csl_trainer__patients(b.trainer, &b.data, i);
        learns += i != IN_NOTE ? b.study->schema.blocks[i].count : 0;
    }
    patients[BLOCKS] = PATIENTS;
    if (csl_privacy_plan_make(&plan, b.study, patients, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(plan.domains[0].parameters, learns);
    csl_rng_init_label(&rng, 1, "test/noise", 0, 0, 0);
    struct csl_private_run privacy = {.plan = &plan, .rng = &rng};
    bench_run(&b, &privacy, update, &report);
    assert_int_equal(privacy.rejected, 0);
    assert_int_equal(report.block_count, 2);
    assert_int_equal(report.blocks[0].block, YES);
    assert_int_equal(report.blocks[1].block, IN_VECTOR);
    assert_true(is_zero(&b, IN_NOTE, update));
    /* nothing is clipped, and the noise is small: every block that learns moves as without it, to 8
     * deviations and the grid; beyond with probability below 1e-12 over all parameters */
    double std = report.events[0].std_units * plan.domains[0].noise.unit;
    for (uint64_t i = 0; i < b.study->schema.parameters; i++) {
        double moved = (double)update[i] - (double)plain_update[i];
        assert_true(moved <= 0.5 * (8 * std + 1e-4) / PATIENTS + 1e-6 &&
                    moved >= -0.5 * (8 * std + 1e-4) / PATIENTS - 1e-6);
    }
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_blocks__any_of_them_frozen__others_move_as_before),
        cmocka_unit_test(test_fused_blocks__local__is_trained_but_not_reported),
        cmocka_unit_test(test_fused_blocks__local_with_fedprox__is_not_drawn_back),
        cmocka_unit_test(test_fused_blocks__with_privacy__contribution_is_of_what_learns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
