/* What of a model a site may move when it fits it to its own patients, and how far steps with
 * momentum carry. */
#include "base/mem.h"
#include "tests/unit/training/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static double norm(const float *v, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static uint64_t count_moved(const float *a, const float *b, uint64_t first, uint64_t count)
{
    uint64_t moved = 0;
    for (uint64_t i = first; i < first + count; i++)
        moved += a[i] != b[i];
    return moved;
}

/* Also where decay or a penalty would move parameters without a gradient. */
static void test_personalise__head_only__moves_the_last_layer_alone(void **state)
{
    static const enum csl_optimizer_kind kinds[] = {CSL_OPT_KIND_SGD, CSL_OPT_KIND_MOMENTUM,
                                                    CSL_OPT_KIND_ADAM, CSL_OPT_KIND_ADAMW};
    (void)state;
    struct fx f;
    struct csl_trainer *t = NULL;
    fx_init(&f);
    fx_three_domains(&f);
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", NULL), CSL_OK);
    uint64_t count = f.study.schema.parameters, head = 34 * 5 + 5;
    const struct csl_block_spec *mlp = &f.study.schema.blocks[1];
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct csl_baseline c = {.enabled = true,
                                 .optimizer = kinds[k],
                                 .learning_rate = 0.01,
                                 .l2 = kinds[k] == CSL_OPT_KIND_ADAMW ? 0 : 0.1,
                                 .weight_decay = kinds[k] == CSL_OPT_KIND_ADAMW ? 0.1 : 0,
                                 .batch_patients = 32,
                                 .epochs = 1};
        const struct csl_personal_fit fit = {
            .training = &c, .is_head_only = true, .proximal_mu = 0.1};
        float *start = fx_vector(&f, 1, 0.3), *model = fx_vector(&f, 1, 0.3);
        assert_int_equal(csl_trainer_personalise(t, &f.data, &fit, 42, model, NULL), CSL_OK);
        assert_int_equal(count_moved(start, model, mlp->first, mlp->count - head), 0);
        assert_true(count_moved(start, model, mlp->first + mlp->count - head, head) > head / 2);
        assert_true(count_moved(start, model, 0, mlp->first) > 0); /* a linear model is a head */
        assert_true(count_moved(start, model, mlp->first + mlp->count,
                                count - mlp->first - mlp->count) > 0);
        csl_free(start);
        csl_free(model);
    }
    csl_trainer_free(t);
    fx_release(&f);
}

/* Where the gradient hardly changes, a step has one size: so many epochs as there are, the update
 * is effective_steps times the rate times the gradient, with momentum too. */
static void test_fednova__momentum__counts_each_gradient_as_often_as_it_acts(void **state)
{
    (void)state;
    struct fx f;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 6, 2, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 19, 1, 11);
    f.study.local.learning_rate = 1e-4;
    f.study.local.momentum = 0.8;
    f.study.local.batch_patients = 0;
    f.study.local.steps = 0;
    f.study.local.effective_steps = 5;
    float *global = csl_alloc_array((size_t)f.study.schema.parameters, sizeof(*global));
    struct fx_outcome one, o;
    f.study.local.optimizer = CSL_OPT_KIND_SGD;
    f.study.local.epochs = 1;
    assert_int_equal(fx_run(&f, "auto", 1, global, NULL, NULL, &one, NULL), CSL_OK);
    f.study.local.optimizer = CSL_OPT_KIND_MOMENTUM;
    for (uint32_t epochs = 1; epochs <= 16; epochs *= 4) {
        f.study.local.epochs = epochs;
        assert_int_equal(fx_run(&f, "auto", 1, global, NULL, NULL, &o, NULL), CSL_OK);
        for (uint64_t i = 0; i < f.study.schema.parameters; i++)
            assert_true(fabs((double)o.update[i] - (double)one.update[i]) < 0.02 * 5e-4);
        assert_true(norm(o.update, f.study.schema.parameters) > 0.1 * 5e-4);
        fx_outcome_free(&o);
    }
    fx_outcome_free(&one);
    csl_free(global);
    fx_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_personalise__head_only__moves_the_last_layer_alone),
        cmocka_unit_test(test_fednova__momentum__counts_each_gradient_as_often_as_it_acts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
