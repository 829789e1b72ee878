/* What a site lacks, what is refused, and what is left untouched; predictions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/batch.h"
#include "site-agent/training/compute/compute.h"
#include "tests/unit/training/fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void assert_same_bits(const float *a, const float *b, uint64_t n)
{
    assert_memory_equal(a, b, (size_t)n * sizeof(float));
}

/* ---- what a site lacks, and what is refused ---- */

static void test_round__missing_domain__leaves_zeros_and_reports_the_others(void **state)
{
    (void)state;
    struct fx f;
    struct fx_outcome o;
    fx_three_domains(&f);
    f.study.local.optimizer = CSL_OPT_KIND_SGD;
    fx_free_examples(&f.examples[1][CSL_SPLIT_TRAIN]);
    uint64_t n = f.study.schema.parameters;
    float *global = fx_vector(&f, 1, 0.2), *control = fx_vector(&f, 2, 0.01);
    float *own = fx_vector(&f, 3, 0.01);
    assert_int_equal(fx_run(&f, "auto", 1, global, control, own, &o, NULL), CSL_OK);
    const struct csl_block_spec *gap = &f.study.schema.blocks[1];
    for (uint64_t i = 0; i < n; i++) {
        bool is_inside = i >= gap->first && i < gap->first + gap->count;
        assert_true(!is_inside || o.update[i] == 0.0f);
        assert_true(!is_inside || o.control_change[i] == 0.0f);
        assert_true(!is_inside || o.site_control[i] == own[i]);
        assert_true(is_inside || o.update[i] != 0.0f);
    }
    assert_int_equal(o.report.steps, 2 * f.study.local.steps);
    assert_int_equal(o.report.block_count, 2);
    assert_int_equal(o.report.blocks[0].block, 0);
    assert_int_equal(o.report.blocks[0].patients, 37);
    assert_int_equal(o.report.blocks[1].block, 2);
    assert_int_equal(o.report.blocks[1].patients, 50);
    fx_outcome_free(&o);
    csl_free(global);
    csl_free(control);
    csl_free(own);
    fx_release(&f);
}

static void test_cox__batches_without_an_event__move_nothing(void **state)
{
    (void)state;
    struct fx f;
    struct fx_outcome o;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_SURVIVAL, 9, 0, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 20, 1, 5);
    memset(f.examples[0][CSL_SPLIT_TRAIN].label, 0, 20);
    float *global = fx_vector(&f, 1, 0.2);
    assert_int_equal(fx_run(&f, "auto", 1, global, NULL, NULL, &o, NULL), CSL_OK);
    for (uint64_t i = 0; i < f.study.schema.parameters; i++)
        assert_true(o.update[i] == 0.0f);
    assert_true(o.report.mean_loss == 0.0);
    csl_free(global);
    fx_outcome_free(&o);
    fx_release(&f);
}

static bool stop_at_third(void *ctx)
{
    return ++*(int *)ctx == 3;
}

static void test_round__cancelled__says_so_and_writes_nothing(void **state)
{
    (void)state;
    struct fx f;
    struct csl_trainer *t = NULL;
    struct csl_train_report report = {.steps = 77};
    struct csl_err err = {0};
    int polls = 0;
    fx_three_domains(&f);
    float *global = fx_vector(&f, 1, 0.2), *update = fx_vector(&f, 9, 1);
    float *kept = fx_vector(&f, 9, 1);
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", NULL), CSL_OK);
    struct csl_train_task task = {.data = &f.data,
                                  .seed = 1,
                                  .round = 4,
                                  .global = global,
                                  .update = update,
                                  .cancelled = stop_at_third,
                                  .cancelled_ctx = &polls};
    assert_int_equal(csl_trainer_run(t, &task, &report, &err), CSL_E_CANCELLED);
    assert_int_equal(polls, 3);
    assert_int_equal(report.steps, 77);
    assert_same_bits(update, kept, f.study.schema.parameters);
    assert_non_null(strstr(err.msg, "round 4"));
    task.cancelled = NULL; /* the trainer is as good as new */
    struct fx_outcome fresh;
    task.seed = 42;
    assert_int_equal(csl_trainer_run(t, &task, &report, &err), CSL_OK);
    assert_int_equal(fx_run(&f, "auto", 4, global, NULL, NULL, &fresh, NULL), CSL_OK);
    assert_same_bits(update, fresh.update, f.study.schema.parameters);
    fx_outcome_free(&fresh);
    csl_trainer_free(t);
    csl_free(global);
    csl_free(update);
    csl_free(kept);
    fx_release(&f);
}

/* Poisons one value of one record of a model and expects the step's refusal. */
static void check_poison(enum csl_task_kind task, uint32_t hidden, float value, bool has_events)
{
    struct fx f;
    struct fx_outcome o;
    struct csl_err err = {0};
    fx_init(&f);
    fx_add_domain(&f, task, 5, 3, hidden);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 20, 1, 5);
    struct csl_examples *e = &f.examples[0][CSL_SPLIT_TRAIN];
    if (!has_events)
        memset(e->label, 0, e->records);
    e->x[7 * 5 + 2] = value;
    float *global = fx_vector(&f, 1, 0.2);
    assert_int_equal(fx_run(&f, "auto", 3, global, NULL, NULL, &o, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "round 3, domain d0, step "));
    for (uint64_t i = 0; i < f.study.schema.parameters; i++)
        assert_true(o.update[i] == 0.0f); /* as it was given */
    float out[64];
    assert_true(e->records <= 64 / 3);
    struct csl_trainer *t = NULL;
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", NULL), CSL_OK);
    assert_int_equal(csl_trainer_predict(t, 0, e, global, out, NULL, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "record 7"));
    double loss = NAN, odds = task == CSL_TASK_CLASSES  ? 1.0 / 3
                              : task == CSL_TASK_BINARY ? 0.5
                                                        : 0;
    assert_int_equal(csl_trainer_predict_always(t, 0, e, global, out, &loss, &err), CSL_OK);
    uint32_t outputs = f.domains[0].outputs;
    for (uint32_t k = 0; k < e->records * outputs; k++)
        assert_true(isfinite(out[k]));
    for (uint32_t k = 0; k < outputs; k++)
        assert_true(fabs((double)out[7 * outputs + k] - odds) < 1e-6);
    assert_true(isfinite(loss));
    csl_trainer_free(t);
    csl_free(global);
    fx_outcome_free(&o);
    fx_release(&f);
}

static void test_round__value_not_finite__is_refused_with_its_place(void **state)
{
    (void)state;
    check_poison(CSL_TASK_BINARY, 0, NAN, true);
    check_poison(CSL_TASK_BINARY, 0, INFINITY, true);
    check_poison(CSL_TASK_BINARY, 4, NAN, true); /* relu must not hide it */
    check_poison(CSL_TASK_CLASSES, 0, NAN, true);
    check_poison(CSL_TASK_CLASSES, 6, NAN, true);
    check_poison(CSL_TASK_SURVIVAL, 0, NAN, true);
    check_poison(CSL_TASK_SURVIVAL, 0, -INFINITY, true);
    check_poison(CSL_TASK_SURVIVAL, 0, NAN, false); /* no event: still seen */
}

static void test_round__diverging__is_refused(void **state)
{
    (void)state;
    struct fx f;
    struct fx_outcome o;
    struct csl_err err = {0};
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_CLASSES, 5, 3, 8);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 20, 1, 5);
    f.study.local.learning_rate = 1e18;
    f.study.local.steps = 50;
    float *global = fx_vector(&f, 1, 0.2);
    assert_int_equal(fx_run(&f, "auto", 2, global, NULL, NULL, &o, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "round 2, domain d0"));
    csl_free(global);
    fx_outcome_free(&o);
    fx_release(&f);
}

static void expect_refusal(struct fx *f, const char *text)
{
    struct fx_outcome o;
    struct csl_err err = {0};
    float *global = fx_vector(f, 1, 0.2);
    assert_int_equal(fx_run(f, "auto", 1, global, NULL, NULL, &o, &err), CSL_E_INVAL);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    csl_free(global);
    fx_outcome_free(&o);
}

static void test_round__records_that_break_the_contract__are_refused(void **state)
{
    (void)state;
    struct fx f;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_SURVIVAL, 5, 0, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 10, 1, 5);
    struct csl_examples *e = &f.examples[0][CSL_SPLIT_TRAIN];
    e->label[3] = 2;
    expect_refusal(&f, "label of record 3");
    e->label[3] = 1;
    e->time[4] = NAN;
    expect_refusal(&f, "time of record 4");
    e->time[4] = 1;
    e->patient[5] = 7;
    expect_refusal(&f, "record 5");
    e->patient[5] = 5;
    e->width = 4;
    expect_refusal(&f, "width 4");
    e->width = 5;
    e->patients = 11;
    expect_refusal(&f, "11 patients");
    e->patients = 10;
    float *times = e->time;
    e->time = NULL;
    expect_refusal(&f, "without times");
    e->time = times;
    f.data.domain_count = 2;
    expect_refusal(&f, "2 domains");
    fx_release(&f);
}

static void test_round__control_with_adam__is_refused(void **state)
{
    (void)state;
    struct fx f;
    struct fx_outcome o;
    fx_three_domains(&f);
    float *global = fx_vector(&f, 1, 0.2);
    assert_int_equal(fx_run(&f, "auto", 1, global, global, global, &o, NULL), CSL_E_INVAL);
    fx_outcome_free(&o);
    assert_int_equal(fx_run(&f, "auto", 0, global, NULL, NULL, &o, NULL), CSL_E_INVAL);
    fx_outcome_free(&o);
    csl_free(global);
    fx_release(&f);
}

static void test_new__wrong_study_or_backend__is_refused(void **state)
{
    (void)state;
    struct fx f;
    struct csl_trainer *t = NULL;
    struct csl_err err = {0};
    fx_three_domains(&f);
    assert_int_equal(csl_trainer_new(&t, &f.study, "abacus", &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "abacus"));
    if (csl_compute_cuda() == NULL)
        assert_int_equal(csl_trainer_new(&t, &f.study, "cuda", &err), CSL_E_UNSUPPORTED);
    f.study.local.learning_rate = 0;
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", &err), CSL_E_INVAL);
    f.study.local.learning_rate = 0.1;
    f.study.local.steps = 0;
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", &err), CSL_E_INVAL);
    f.study.local.steps = 1;
    f.domains[1].hidden[1] = 7;
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "d1.layer1.weight"));
    f.domains[1].hidden_count = 3;
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", &err), CSL_E_INVAL);
    assert_null(t);
    fx_release(&f);
}

static void check_predict(enum csl_task_kind task, uint32_t hidden)
{
    struct fx f;
    struct csl_trainer *t = NULL;
    fx_init(&f);
    fx_add_domain(&f, task, 9, 4, hidden);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TEST, 400, 3, 3); /* 799 records: several slices */
    const struct csl_examples *e = &f.examples[0][CSL_SPLIT_TEST];
    uint64_t n = f.study.schema.parameters;
    uint32_t k = f.domains[0].outputs;
    float *model = fx_vector(&f, 1, 0.5), *out = csl_alloc_array(e->records * k, sizeof(float));
    float *first = csl_alloc_array(k, sizeof(float));
    double *w = csl_alloc_array((size_t)n, sizeof(double)), loss = -1, one_loss = -1;
    for (uint64_t i = 0; i < n; i++)
        w[i] = (double)model[i];
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", NULL), CSL_OK);
    assert_int_equal(csl_trainer_predict(t, 0, e, model, out, &loss, NULL), CSL_OK);
    assert_true(fabs(loss - fx_loss(&f, 0, e, NULL, e->records, w)) < 1e-5);
    struct csl_examples none = {0};
    assert_int_equal(csl_trainer_predict(t, 0, &none, model, first, &one_loss, NULL), CSL_OK);
    assert_true(one_loss == 0.0);
    for (uint32_t r = 0; r < e->records; r++) {
        /* One record of class y has the loss -log p(y). */
        struct csl_examples one = {.records = 1,
                                   .patients = 1,
                                   .width = 9,
                                   .x = e->x + (size_t)r * 9,
                                   .patient = &(uint32_t){0},
                                   .label = &(uint8_t){task == CSL_TASK_CLASSES ? 2 : 1},
                                   .time = &(float){1}};
        double sum = 0;
        for (uint32_t c = 0; c < k; c++)
            sum += (double)out[r * k + c];
        double want = fx_loss(&f, 0, &one, NULL, 1, w);
        if (task == CSL_TASK_BINARY)
            assert_true(fabs(-log((double)out[r]) - want) < 1e-4);
        else if (task == CSL_TASK_CLASSES)
            assert_true(fabs(-log((double)out[r * k + 2]) - want) < 1e-4);
        assert_true(task != CSL_TASK_CLASSES || fabs(sum - 1) < 1e-6);
    }
    csl_trainer_free(t);
    csl_free(model);
    csl_free(out);
    csl_free(first);
    csl_free(w);
    fx_release(&f);
}

static void test_predict__each_task__gives_probabilities_and_the_mean_loss(void **state)
{
    (void)state;
    check_predict(CSL_TASK_BINARY, 0);
    check_predict(CSL_TASK_BINARY, 7);
    check_predict(CSL_TASK_CLASSES, 0);
    check_predict(CSL_TASK_CLASSES, 7);
    check_predict(CSL_TASK_SURVIVAL, 0);
}

static void test_trainer__memory_runs_out_anywhere__fails_cleanly(void **state)
{
    (void)state;
    struct fx f;
    fx_three_domains(&f);
    float *global = fx_vector(&f, 1, 0.2), *update = fx_vector(&f, 9, 1);
    csl_mem_fail_after(0);
    struct csl_train_task task = {
        .data = &f.data, .seed = 42, .round = 1, .global = global, .update = update};
    struct csl_train_report report;
    enum csl_code code = CSL_E_NOMEM;
    uint64_t failures = 0;
    for (uint64_t fail = 1; code != CSL_OK; fail++) {
        struct csl_trainer *t = NULL;
        assert_true(fail < 1000);
        csl_mem_fail_after(fail);
        code = csl_trainer_new(&t, &f.study, "cpu-ref", NULL);
        if (code == CSL_OK)
            code = csl_trainer_run(t, &task, &report, NULL);
        csl_mem_fail_after(0);
        assert_true(code == CSL_OK || code == CSL_E_NOMEM);
        failures += code == CSL_E_NOMEM;
        csl_trainer_free(t);
    }
    assert_true(failures > 20);
    csl_free(global);
    csl_free(update);
    fx_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round__missing_domain__leaves_zeros_and_reports_the_others),
        cmocka_unit_test(test_cox__batches_without_an_event__move_nothing),
        cmocka_unit_test(test_round__cancelled__says_so_and_writes_nothing),
        cmocka_unit_test(test_round__value_not_finite__is_refused_with_its_place),
        cmocka_unit_test(test_round__diverging__is_refused),
        cmocka_unit_test(test_round__records_that_break_the_contract__are_refused),
        cmocka_unit_test(test_round__control_with_adam__is_refused),
        cmocka_unit_test(test_new__wrong_study_or_backend__is_refused),
        cmocka_unit_test(test_predict__each_task__gives_probabilities_and_the_mean_loss),
        cmocka_unit_test(test_trainer__memory_runs_out_anywhere__fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
