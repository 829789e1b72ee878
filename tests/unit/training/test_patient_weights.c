/* Weights of patient groups on their way into a step: from levels, labels and the incoming model to
 * the update. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "site-agent/training/group_weights.h"
#include "tests/unit/training/fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUPS 3

static void weigh(struct fx *f, double alpha, double beta, double cap)
{
    f->study.fairness = (struct csl_study_fairness){.attribute_count = 1, .minimum_group = 10};
    f->study.fairness.weights = (struct csl_study_group_weights){true, alpha, beta, cap};
}

static void set_levels(struct csl_examples *e, uint32_t groups)
{
    e->level = csl_alloc_array(e->patients, 1);
    for (uint32_t p = 0; p < e->patients; p++)
        e->level[p] = (uint8_t)(1 + p % groups);
}

/* Patients of GROUPS groups whose skill under z = x is mu[group]: labels are balanced, so the prior
 * loses log 2 on each, and the model must lose (1 - mu) log 2. */
static const uint32_t sizes[GROUPS] = {400, 100, 20};
static const double mu[GROUPS] = {.7, .6, .4};

static double logit_of_skill(double skill)
{
    double p = pow(2, skill - 1);
    return log(p / (1 - p));
}

static void fill_golden(struct fx *f, enum csl_split split, const uint32_t n[GROUPS],
                        const double skill[GROUPS])
{
    struct csl_examples *e = &f->examples[0][split];
    uint32_t records = n[0] + n[1] + n[2], r = 0;
    *e = (struct csl_examples){.records = records, .patients = records, .width = 1};
    e->x = csl_alloc_array(records, sizeof(float));
    e->patient = csl_alloc_array(records, sizeof(uint32_t));
    e->label = csl_alloc_array(records, 1);
    e->level = csl_alloc_array(records, 1);
    for (uint32_t g = 0; g < GROUPS; g++) {
        for (uint32_t i = 0; i < n[g]; i++, r++) {
            double z = logit_of_skill(skill[g]);
            e->patient[r] = r;
            e->level[r] = (uint8_t)(g + 1);
            e->label[r] = i % 2;
            e->x[r] = (float)(i % 2 != 0 ? z : -z);
        }
    }
}

static void golden_init(struct fx *f)
{
    fx_init(f);
    fx_add_domain(f, CSL_TASK_BINARY, 1, 2, 0);
    fx_seal(f);
    f->study.local.steps = 1;
    f->study.local.batch_patients = 0;
    f->study.local.learning_rate = 1;
}

/* One full-batch step from weight 1, bias 0 moves the weight by the mean over patients of
 * v (1 - p) |x|, and the bias by nothing: each group's errors of both labels cancel. */
static double expected_step(const double v[GROUPS], const double skill[GROUPS])
{
    double sum = 0, patients = 0;
    for (uint32_t g = 0; g < GROUPS; g++) {
        sum += sizes[g] * v[g] * (1 - pow(2, skill[g] - 1)) * logit_of_skill(skill[g]);
        patients += sizes[g];
    }
    return sum / patients;
}

static void check_step(struct fx *f, const double v[GROUPS], const double skill[GROUPS])
{
    static const float global[2] = {1, 0};
    struct fx_outcome o;
    struct csl_err err;
    if (fx_run(f, "cpu-ref", 1, global, NULL, NULL, &o, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    /* v has six decimals and the step is of the order of v */
    double want = expected_step(v, skill);
    if (!(fabs((double)o.update[0] - want) < 2e-6))
        fail_msg("step %.9g, wanted %.9g", (double)o.update[0], want);
    assert_true(fabs((double)o.update[1]) < 1e-6);
    fx_outcome_free(&o);
}

/* Origin: tests/vectors/aggregation/group_weights.csv (design document, section 2.5). */
static const double uncapped[GROUPS] = {.658346, 1.536141, 5.152373};
static const double capped[GROUPS] = {.746171, 1.741065, 2.371261};

static void test_patient_weights__a_step__is_weighed_by_the_golden_values(void **state)
{
    (void)state;
    struct fx f;
    golden_init(&f);
    fill_golden(&f, CSL_SPLIT_TRAIN, sizes, mu);
    weigh(&f, .5, 1, 16); /* no group comes near it */
    check_step(&f, uncapped, mu);
    weigh(&f, .5, 1, 2);
    check_step(&f, capped, mu);
    static const double alike[GROUPS] = {1, 1, 1};
    f.study.fairness.weights.is_on = false;
    check_step(&f, alike, mu);
    fx_release(&f);
}

/* The training patients are all as easy as each other; the skills of the validation patients, few
 * as they are, are the golden ones. */
static void test_patient_weights__validation_patients__tell_the_skill(void **state)
{
    (void)state;
    static const uint32_t few[GROUPS] = {2, 4, 6};
    static const double easy[GROUPS] = {.8, .8, .8};
    struct fx f;
    golden_init(&f);
    fill_golden(&f, CSL_SPLIT_TRAIN, sizes, easy);
    fill_golden(&f, CSL_SPLIT_VALIDATION, few, mu);
    weigh(&f, .5, 1, 16);
    check_step(&f, uncapped, easy);
    fx_release(&f);
}

static void test_patient_weights__a_small_group__counts_1_before_the_mean(void **state)
{
    (void)state;
    struct fx f;
    golden_init(&f);
    fill_golden(&f, CSL_SPLIT_TRAIN, sizes, mu);
    weigh(&f, 1, 0, 16);
    f.study.fairness.minimum_group = 30; /* the third group has 20 patients */
    /* pi G of the two others is 1.6 and .4 */
    double raw[GROUPS] = {1 / 1.6, 1 / .4, 1}, v[GROUPS], sum = 0;
    for (uint32_t g = 0; g < GROUPS; g++)
        sum += raw[g] * sizes[g];
    for (uint32_t g = 0; g < GROUPS; g++)
        v[g] = raw[g] * 520 / sum;
    check_step(&f, v, mu);
    fx_release(&f);
}

static void copy_update(struct fx *f, const char *backend, const float *global, float *to)
{
    struct fx_outcome o;
    struct csl_err err;
    if (fx_run(f, backend, 3, global, NULL, NULL, &o, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    memcpy(to, o.update, (size_t)f->study.schema.parameters * sizeof(*to));
    fx_outcome_free(&o);
}

/* Both exponents 0: every weight is 1. Several records per patient, mini-batches, two backends. */
static void test_patient_weights__of_one__leave_every_bit(void **state)
{
    (void)state;
    static const char *const backends[] = {"cpu-ref", "auto"};
    struct fx f;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 13, 2, 0);
    fx_add_domain(&f, CSL_TASK_CLASSES, 40, 5, 33);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 90, 1, 5);
    fx_fill(&f, 1, CSL_SPLIT_TRAIN, 200, 2, 6);
    fx_fill(&f, 1, CSL_SPLIT_VALIDATION, 40, 2, 7);
    f.study.local.batch_patients = 32;
    set_levels(&f.examples[0][CSL_SPLIT_TRAIN], 3);
    set_levels(&f.examples[1][CSL_SPLIT_TRAIN], 2);
    set_levels(&f.examples[1][CSL_SPLIT_VALIDATION], 4);
    size_t bytes = (size_t)f.study.schema.parameters * sizeof(float);
    float *global = fx_vector(&f, 3, 0.4);
    float *plain = csl_alloc(bytes), *ones = csl_alloc(bytes), *other = csl_alloc(bytes);
    for (size_t b = 0; b < 2; b++) {
        f.study.fairness.weights.is_on = false;
        copy_update(&f, backends[b], global, plain);
        weigh(&f, 0, 0, 2);
        copy_update(&f, backends[b], global, ones);
        assert_memory_equal(plain, ones, bytes);
        weigh(&f, .5, 1, 2);
        copy_update(&f, backends[b], global, other);
        assert_memory_not_equal(plain, other, bytes);
        copy_update(&f, backends[b], global, ones); /* the same again */
        assert_memory_equal(other, ones, bytes);
    }
    csl_free(global);
    csl_free(plain);
    csl_free(ones);
    csl_free(other);
    fx_release(&f);
}

/* Patient 0: records with probability .8 and .2 of their labels; patient 1: one with .5; patient 2:
 * one with 0. Classes have shares 1/6, 1/2, 1/3 of the patients. */
static void test_patient_weights__skill__is_relative_to_the_shares_of_the_classes(void **state)
{
    (void)state;
    static uint32_t patient[4] = {0, 0, 1, 2};
    static uint8_t label[4] = {0, 1, 2, 1};
    static const float p[12] = {.8f, .1f, .1f, .4f, .2f, .4f, .2f, .3f, .5f, .5f, 0, .5f};
    const struct csl_examples e = {.records = 4, .patients = 3, .patient = patient, .label = label};
    double skill[3], prior = -(log(1. / 6) / 6 + log(.5) / 2 + log(1. / 3) / 3);
    assert_int_equal(csl_patient_skills(&e, CSL_TASK_CLASSES, 3, p, skill, NULL), CSL_OK);
    assert_true(fabs(skill[0] - (1 + (log(.8) + log(.2)) / 2 / prior)) < 1e-6);
    assert_true(fabs(skill[1] - (1 + log(.5) / prior)) < 1e-6);
    assert_true(skill[2] >= 0 && skill[2] <= 0);
    const struct csl_examples one = {
        .records = 1, .patients = 1, .patient = patient, .label = label};
    assert_int_equal(csl_patient_skills(&one, CSL_TASK_CLASSES, 3, p, skill, NULL), CSL_OK);
    assert_true(skill[0] >= 1 && skill[0] <= 1);
}

static void test_patient_weights__data_without_levels__is_refused(void **state)
{
    (void)state;
    static const float global[2] = {1, 0};
    struct fx f;
    struct fx_outcome o;
    struct csl_err err;
    golden_init(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 20, 1, 5);
    weigh(&f, .5, 1, 2);
    assert_int_equal(fx_run(&f, "cpu-ref", 1, global, NULL, NULL, &o, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "without patient groups"));
    fx_outcome_free(&o);
    fx_release(&f);
}

static void test_patient_weights__no_memory__is_an_error_at_every_step(void **state)
{
    (void)state;
    struct fx f;
    float out[520];
    double skill[520];
    golden_init(&f);
    fill_golden(&f, CSL_SPLIT_TRAIN, sizes, mu);
    weigh(&f, .5, 1, 2);
    const struct csl_examples *e = &f.examples[0][CSL_SPLIT_TRAIN];
    for (size_t i = 0; i < 520; i++)
        skill[i] = .5;
    uint64_t n = 1;
    for (; n < 50; n++) {
        csl_mem_fail_after(n);
        enum csl_code code = csl_patient_weights(&f.study.fairness, e, e, skill, out, NULL);
        csl_mem_fail_after(0);
        if (code == CSL_OK)
            break;
        assert_int_equal(code, CSL_E_NOMEM);
    }
    assert_in_range(n, 5, 49);
    fx_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patient_weights__a_step__is_weighed_by_the_golden_values),
        cmocka_unit_test(test_patient_weights__validation_patients__tell_the_skill),
        cmocka_unit_test(test_patient_weights__a_small_group__counts_1_before_the_mean),
        cmocka_unit_test(test_patient_weights__of_one__leave_every_bit),
        cmocka_unit_test(test_patient_weights__skill__is_relative_to_the_shares_of_the_classes),
        cmocka_unit_test(test_patient_weights__data_without_levels__is_refused),
        cmocka_unit_test(test_patient_weights__no_memory__is_an_error_at_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
