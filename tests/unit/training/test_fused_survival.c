/* A survival task of several inputs: the gradient of a step against differences of the loss that
 * csl_trainer_predict works out from the known records alone. The step has all records, also those
 * whose time is not known, which must be in no risk set. A second domain shares the inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/training/fused_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char yaml_text[] =
    "study: fused\n"
    "inputs:\n"
    "  - {id: table, modality: tabular, features: [a, b, c, d], encoder: {kind: linear}}\n"
    "  - {id: vector, modality: signal, shape: [1, 3], encoder: {kind: mlp, hidden: [5]}}\n"
    "  - {id: note, modality: text, shape: [5, 9], encoder: {kind: bag, width: 3}}\n"
    "domains:\n"
    "  - id: yes\n    inputs: [table, vector, note]\n    task: {kind: survival, label: y}\n"
    "    model: {kind: multimodal, width: 4, fusion: gated, hidden: [3], modality_dropout: %s}\n"
    "  - id: which\n    inputs: [note, vector]\n    task: {kind: classes, label: w, classes: 3}\n"
    "    model: {kind: multimodal, width: 4, fusion: mean}\n"
    "training: {local: {optimizer: sgd, learning_rate: 1, batch_patients: %s, steps: %u}}\n"
    "rounds: 2\naggregation: {strategy: fedavg}\nsites: {minimum: 1}\n";

/* Ties, and events of patients with several records; value -1 of the fixture: not known. */
static const float times[ROWS] = {5, 3, 0, 3, 8, 2, 2, 0, 7, 5};

struct timed {
    struct bench b;
    float time[ROWS];
};

static void open_timed(struct timed *t, const char *dropout, const char *batch, uint32_t steps)
{
    char yaml[2048];
    struct bench *b = &t->b;
    snprintf(yaml, sizeof(yaml), yaml_text, dropout, batch, steps);
    bench_open(b, yaml, 0);
    struct csl_examples *e = &b->examples[0][CSL_SPLIT_TRAIN];
    for (uint32_t i = 0; i < e->records; i++) {
        t->time[i] = times[e->row[i]];
        e->label[i] = (uint8_t)(e->row[i] % 3 != 1);
    }
    e->time = t->time;
}

/* The loss of a step in double: sums over patients, over all patients. */
static double loss_of(struct timed *t, const float *weights)
{
    double sum = 0;
    float scores[ROWS * CLASSES];
    for (uint32_t d = 0; d < 2; d++) {
        double mean = 0;
        const struct csl_examples *e = &t->b.examples[d][CSL_SPLIT_TRAIN];
        assert_int_equal(csl_trainer_predict(t->b.trainer, d, e, weights, scores, &mean, NULL),
                         CSL_OK);
        sum += mean * e->patients;
    }
    return sum / PATIENTS;
}

static void test_fused_survival__gradient__is_that_of_the_known_records(void **state)
{
    (void)state;
    struct timed t;
    struct csl_train_report report;
    float update[MOST], moved[MOST];
    double largest = 0;
    open_timed(&t, "0", "full", 1);
    assert_true(t.b.examples[0][CSL_SPLIT_TRAIN].records < ROWS); /* some are not known */
    bench_run(&t.b, NULL, update, &report);
    for (uint64_t i = 0; i < t.b.study->schema.parameters; i++) {
        const double h = 0x1p-10;
        double value[4];
        static const double at[4] = {1, -1, 2, -2};
        for (int k = 0; k < 4; k++) {
            memcpy(moved, t.b.weights, sizeof(moved));
            moved[i] = (float)((double)moved[i] + at[k] * h);
            value[k] = loss_of(&t, moved);
        }
        /* fourth order, so near that no ReLU changes sides; the losses are of floats: some 1e-7 of
         * them over h */
        double slope = (8 * (value[0] - value[1]) - (value[2] - value[3])) / (12 * h);
        if (fabs((double)update[i] + slope) > 2e-3)
            fail_msg("parameter %u: %g where %g is right", (unsigned)i, (double)-update[i], slope);
        largest = fmax(largest, fabs(slope));
    }
    assert_true(largest > 0.1);
    bench_close(&t.b);
}

/* What is in the row of a record whose time is not known changes nothing of the survival domain. */
static void test_fused_survival__unknown_time__is_in_no_risk_set(void **state)
{
    (void)state;
    struct timed t;
    struct csl_train_report report;
    float update[2][MOST];
    open_timed(&t, "0", "full", 1);
    const struct csl_block_spec *head = &t.b.study->schema.blocks[0];
    bench_run(&t.b, NULL, update[0], &report);
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t k = 0; k < TABLE && !bench_counts(&t.b, 0, r); k++)
            t.b.table[r * TABLE + k] += 3;
    bench_run(&t.b, NULL, update[1], &report);
    assert_memory_equal(update[0] + head->first, update[1] + head->first,
                        (size_t)head->count * sizeof(float));
    bench_close(&t.b);
}

/* With modality dropout, whose rows lie where the order comes to lie, and batches without a known
 * time. */
static void test_fused_survival__many_steps__learns_and_stays_finite(void **state)
{
    (void)state;
    struct timed t;
    struct csl_train_report report;
    float update[MOST], model[MOST];
    open_timed(&t, "0.3", "2", 30);
    t.b.study->local.learning_rate = 0.05;
    double before = loss_of(&t, t.b.weights);
    bench_run(&t.b, NULL, update, &report);
    assert_true(isfinite(report.mean_loss));
    for (uint64_t i = 0; i < MOST; i++)
        model[i] = i < t.b.study->schema.parameters ? t.b.weights[i] + update[i] : 0;
    assert_true(loss_of(&t, model) < before);
    bench_close(&t.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_survival__gradient__is_that_of_the_known_records),
        cmocka_unit_test(test_fused_survival__unknown_time__is_in_no_risk_set),
        cmocka_unit_test(test_fused_survival__many_steps__learns_and_stays_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
