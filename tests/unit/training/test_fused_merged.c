/* A label that stands for several classes: with q the classes' shares of the probability of the set
 * under the model, the gradient is the mean of those of the single labels with weights q. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/training/fused_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { YES, WHICH };
#define RECORD 6u /* of patient 3, and of both tasks */

static void open_bench(struct bench *b, const char *more)
{
    char yaml[2048];
    snprintf(yaml, sizeof(yaml),
             "study: fused\ninputs:\n"
             "  - {id: table, modality: tabular, features: [a, b, c, d], encoder: {kind: linear}}\n"
             "  - {id: vector, modality: embedding, shape: [3], encoder: {kind: mlp, hidden: "
             "[5]}}\n"
             "  - {id: note, modality: text, shape: [5, 9], encoder: {kind: bag, width: 3}}\n"
             "domains:\n"
             "  - id: yes\n    inputs: [table, vector, note]\n"
             "    task: {kind: binary, label: y}\n"
             "    model: {kind: multimodal, width: 4, fusion: gated, hidden: [3]}\n"
             "  - id: which\n    inputs: [note, vector]\n"
             "    task: {kind: classes, label: w, classes: 3, merged: [[1, 2], [0, 2]]}\n"
             "    model: {kind: multimodal, width: 4, fusion: mean}\n"
             "training: {local: {optimizer: sgd, learning_rate: 0.5, batch_patients: full, "
             "steps: 1}}\nrounds: 2\nsites: {minimum: 1}\naggregation: {strategy: fedavg}\n%s",
             more);
    bench_open(b, yaml, 0);
}

static void update_with(int16_t label, float *update)
{
    struct bench b;
    struct csl_train_report report;
    open_bench(&b, "");
    b.value[WHICH][RECORD] = label;
    bench_view(&b);
    bench_run(&b, NULL, update, &report);
    bench_close(&b);
}

static void test_fused_merged__label_of_a_set__is_the_mean_of_its_classes(void **state)
{
    (void)state;
    static const struct {
        int16_t label;
        uint32_t first, second;
    } sets[] = {{3, 1, 2}, {4, 0, 2}};
    float single[CLASSES][MOST], merged[MOST], shares[ROWS * CLASSES];
    struct bench b;
    open_bench(&b, "");
    const struct csl_examples *e = &b.examples[WHICH][CSL_SPLIT_TRAIN];
    uint32_t at = 0;
    while (e->row[at] != RECORD)
        at++;
    assert_int_equal(csl_trainer_predict(b.trainer, WHICH, e, b.weights, shares, NULL, NULL),
                     CSL_OK);
    for (int16_t c = 0; c < (int16_t)CLASSES; c++)
        update_with(c, single[c]);
    for (size_t i = 0; i < 2; i++) {
        double p = (double)shares[at * CLASSES + sets[i].first];
        double q = (double)shares[at * CLASSES + sets[i].second];
        update_with(sets[i].label, merged);
        for (uint64_t k = 0; k < b.study->schema.parameters; k++) {
            double want =
                (p * (double)single[sets[i].first][k] + q * (double)single[sets[i].second][k]) /
                (p + q);
            if (!(fabs((double)merged[k] - want) <= 2e-6 + 2e-5 * fabs(want)))
                fail_msg("set %zu, parameter %llu: %.9g, its classes say %.9g", i,
                         (unsigned long long)k, (double)merged[k], want);
        }
    }
    assert_true(memcmp(single[0], single[2], sizeof(single[0])) != 0);
    bench_close(&b);
}

/* The only record of a patient whose label is not known: as if the task had never had it. */
static void test_fused_merged__unknown_label__adds_exactly_nothing_to_its_task(void **state)
{
    (void)state;
    struct bench b;
    struct csl_fused f;
    struct csl_trainer *t;
    float got[MOST];
    const uint32_t row = RECORD;
    open_bench(&b, "");
    b.value[WHICH][RECORD] = -1;
    bench_view(&b);
    t = b.trainer;
    assert_int_equal(csl_fused_open(&f, t, &b.data, NULL), CSL_OK);
    assert_int_equal(csl_fused_fit(&f, 1, NULL), CSL_OK);
    t->ops->put(t->dev, t->vectors[CSL_V_WEIGHTS], 0, b.weights,
                b.study->schema.parameters * sizeof(float));
    csl_fused_load(&f, &row, 1);
    csl_fused_forward(&f);
    csl_fused_backward(&f, 1, 0);
    csl_fused_grad_part(&f, 0, 1);
    t->ops->get(t->dev, got, t->vectors[CSL_V_GRADIENT], 0,
                b.study->schema.parameters * sizeof(float));
    assert_int_equal(t->ops->sync(t->dev, NULL), CSL_OK);
    const struct csl_block_spec *head = &b.study->schema.blocks[WHICH];
    const struct csl_block_spec *other = &b.study->schema.blocks[YES];
    bool is_other_moved = false;
    for (uint64_t k = head->first; k < head->first + head->count; k++)
        assert_true(got[k] == 0);
    for (uint64_t k = other->first; k < other->first + other->count; k++)
        is_other_moved = is_other_moved || got[k] < 0 || got[k] > 0;
    assert_true(is_other_moved); /* the record is one of the other task */
    csl_fused_close(&f);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_merged__label_of_a_set__is_the_mean_of_its_classes),
        cmocka_unit_test(test_fused_merged__unknown_label__adds_exactly_nothing_to_its_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
