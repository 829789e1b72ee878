/* Training with privacy: neighbouring data sets with the same randomness, what is drawn and noised,
 * what is divided by. A patient whose features are NaN contributes nothing and keeps the slot, so
 * "without patient p" is the same data with p's features NaN: draws and noise stay the same, and
 * two updates differ by exactly what p contributed. Numbers in names are those of the
 * design's list of pitfalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "tests/unit/training/fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CLIP 1.5

struct private_run {
    struct csl_privacy_plan plan;
    struct csl_private_run run;
    struct fx_outcome o;
};

static void run_free(struct private_run *p)
{
    fx_outcome_free(&p->o);
    csl_privacy_plan_release(&p->plan);
}

static bool stop_at_third(void *ctx)
{
    uint32_t *polls = ctx;
    return ++*polls > 2;
}

static uint32_t threads = 1; /* of trainers made from now on */

static enum csl_code run_private(struct fx *f, uint64_t noise_seed, const float *global,
                                 uint32_t *polls, struct private_run *p)
{
    struct csl_trainer *t = NULL;
    struct csl_rng rng;
    uint64_t patients[FX_DOMAINS];
    size_t n = (size_t)f->study.schema.parameters;
    f->study.rounds = 3;
    for (uint32_t d = 0; d < f->study.domain_count; d++)
        patients[d] = f->examples[d][CSL_SPLIT_TRAIN].patients;
    *p = (struct private_run){.run.rejected = 0};
    assert_int_equal(csl_privacy_plan_make(&p->plan, &f->study, patients, NULL), CSL_OK);
    csl_rng_init_label(&rng, noise_seed, "test/noise", 0, 0, 0);
    p->run.plan = &p->plan;
    p->run.rng = &rng;
    p->o.update = csl_alloc_array(n, sizeof(float));
    assert_int_equal(csl_trainer_new(&t, &f->study, "cpu-ref", NULL), CSL_OK);
    csl_trainer_use_threads(t, threads);
    struct csl_train_task task = {.data = &f->data,
                                  .privacy = &p->run,
                                  .seed = 42,
                                  .round = 1,
                                  .global = global,
                                  .update = p->o.update};
    if (polls != NULL) {
        task.cancelled = stop_at_third;
        task.cancelled_ctx = polls;
    }
    enum csl_code code = csl_trainer_run(t, &task, &p->o.report, NULL);
    csl_trainer_free(t);
    if (code != CSL_OK)
        run_free(p);
    return code;
}

/* One domain, one step of size 1: update = -noisy sum / expected batch. */
static void open_one(struct fx *f, enum csl_task_kind task, uint32_t width, uint32_t hidden,
                     uint32_t patients, uint32_t repeats, uint32_t batch)
{
    fx_init(f);
    fx_add_domain(f, task, width, task == CSL_TASK_CLASSES ? 3 : 2, hidden);
    fx_seal(f);
    fx_fill(f, 0, CSL_SPLIT_TRAIN, patients, repeats, 7);
    f->study.local.steps = 1;
    f->study.local.batch_patients = batch;
    f->study.local.learning_rate = 1;
    f->study.privacy = (struct csl_study_privacy){
        .mode = CSL_PRIVACY_LOCAL, .noise_multiplier = 1, .delta = 1e-5, .clip = CLIP};
}

/* Replaces the patient's features by `value` in every record. */
static void set_patient(struct fx *f, uint32_t patient, float value)
{
    struct csl_examples *e = &f->examples[0][CSL_SPLIT_TRAIN];
    for (uint32_t r = 0; r < e->records; r++)
        for (uint32_t c = 0; e->patient[r] == patient && c < e->width; c++)
            e->x[(size_t)r * e->width + c] = value;
}

static void silence_all(struct fx *f)
{
    for (uint32_t p = 0; p < f->examples[0][CSL_SPLIT_TRAIN].patients; p++)
        set_patient(f, p, NAN);
}

static double distance(const float *a, const float *b, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

/* How far the sum of a step moves when the patient is taken away, in units of the clip. */
static double influence(struct fx *f, uint32_t patient, const float *global)
{
    struct private_run with, without;
    uint64_t n = f->study.schema.parameters;
    assert_int_equal(run_private(f, 1, global, NULL, &with), CSL_OK);
    set_patient(f, patient, NAN);
    assert_int_equal(run_private(f, 1, global, NULL, &without), CSL_OK);
    double moved =
        distance(with.o.update, without.o.update, n) * with.plan.domains[0].expected_batch;
    run_free(&with);
    run_free(&without);
    return moved / CLIP;
}

/* Updates are float32 next to noise of size clip: their difference is known to about this. */
#define FLOAT_SLACK 1e-5

static void
test_pitfall_05__patient_with_50_records__moves_the_sum_by_the_clip_at_most(void **state)
{
    (void)state;
    struct fx f;
    open_one(&f, CSL_TASK_BINARY, 6, 0, 50, 50, 0); /* patient p has 1 + p records */
    float *global = fx_vector(&f, 3, 0.4);
    set_patient(&f, 49, 1000.0f);
    double moved = influence(&f, 49, global);
    assert_true(moved <= 1 + FLOAT_SLACK);
    assert_true(moved > 0.99); /* the bound is met: the test would see a second clip */
    csl_free(global);
    fx_release(&f);
}

static void
test_pitfall_06__any_patient_of_any_model__moves_the_sum_by_the_clip_at_most(void **state)
{
    (void)state;
    static const struct {
        enum csl_task_kind task;
        uint32_t width, hidden;
    } models[] = {{CSL_TASK_BINARY, 8, 0},
                  {CSL_TASK_CLASSES, 8, 0},
                  {CSL_TASK_BINARY, 12, 9},
                  {CSL_TASK_CLASSES, 12, 9}};
    for (size_t m = 0; m < sizeof(models) / sizeof(models[0]); m++) {
        double largest = 0;
        for (uint32_t p = 0; p < 12; p++) {
            struct fx f;
            open_one(&f, models[m].task, models[m].width, models[m].hidden, 12, 3, 0);
            float *global = fx_vector(&f, 3, 0.8);
            if (p % 2 == 0)
                set_patient(&f, p, p % 4 == 0 ? 300.0f : -300.0f);
            double moved = influence(&f, p, global);
            assert_true(moved <= 1 + FLOAT_SLACK);
            largest = fmax(largest, moved);
            csl_free(global);
            fx_release(&f);
        }
        assert_true(largest > 0.9);
    }
}

static void test_pitfall_07__weights_of_records__are_applied_before_the_clip(void **state)
{
    (void)state;
    /* Small gradients, no clipping: a patient with three equal records counts like one with one. */
    double moved[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct fx f;
        open_one(&f, CSL_TASK_BINARY, 4, 0, 6, 3, 0);
        float *global = fx_vector(&f, 3, 0.01);
        uint32_t patient = i == 0 ? 0 : 2; /* one record, three records */
        struct csl_examples *e = &f.examples[0][CSL_SPLIT_TRAIN];
        set_patient(&f, patient, 0.3f);
        for (uint32_t r = 0; r < e->records; r++)
            if (e->patient[r] == patient)
                e->label[r] = 1;
        moved[i] = influence(&f, patient, global);
        csl_free(global);
        fx_release(&f);
    }
    assert_true(moved[0] < 0.9);
    assert_true(fabs(moved[0] - moved[1]) < 2 * FLOAT_SLACK);
}

static void test_pitfall_17__gradient_of_a_patient__does_not_depend_on_the_others(void **state)
{
    (void)state;
    struct fx f;
    struct private_run all, none, one;
    open_one(&f, CSL_TASK_CLASSES, 5, 6, 7, 2, 0);
    float *global = fx_vector(&f, 3, 0.5);
    uint64_t n = f.study.schema.parameters;
    double *sum = csl_alloc_array((size_t)n, sizeof(*sum));
    assert_int_equal(run_private(&f, 1, global, NULL, &all), CSL_OK);
    fx_release(&f);
    open_one(&f, CSL_TASK_CLASSES, 5, 6, 7, 2, 0);
    silence_all(&f);
    assert_int_equal(run_private(&f, 1, global, NULL, &none), CSL_OK);
    fx_release(&f);
    for (uint32_t keep = 0; keep < 7; keep++) {
        open_one(&f, CSL_TASK_CLASSES, 5, 6, 7, 2, 0);
        for (uint32_t p = 0; p < 7; p++)
            if (p != keep)
                set_patient(&f, p, NAN);
        assert_int_equal(run_private(&f, 1, global, NULL, &one), CSL_OK);
        for (uint64_t i = 0; i < n; i++)
            sum[i] += (double)one.o.update[i] - (double)none.o.update[i];
        run_free(&one);
        fx_release(&f);
    }
    for (uint64_t i = 0; i < n; i++)
        assert_true(fabs((double)all.o.update[i] - (double)none.o.update[i] - sum[i]) < 1e-5);
    csl_free(sum);
    csl_free(global);
    run_free(&all);
    run_free(&none);
}

static void
test_pitfall_18__patient_that_is_not_finite__contributes_zero_and_is_counted(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t b = 0; b < 3; b++) {
        struct fx f;
        struct private_run poisoned, silent;
        open_one(&f, CSL_TASK_BINARY, 4, 5, 9, 2, 0);
        float *global = fx_vector(&f, 3, 0.5);
        uint64_t n = f.study.schema.parameters;
        set_patient(&f, 4, bad[b]);
        assert_int_equal(run_private(&f, 1, global, NULL, &poisoned), CSL_OK);
        assert_int_equal(poisoned.run.rejected, 1);
        set_patient(&f, 4, NAN);
        assert_int_equal(run_private(&f, 1, global, NULL, &silent), CSL_OK);
        assert_memory_equal(poisoned.o.update, silent.o.update, (size_t)n * sizeof(float));
        for (uint64_t i = 0; i < n; i++)
            assert_true(isfinite(poisoned.o.update[i]));
        csl_free(global);
        run_free(&poisoned);
        run_free(&silent);
        fx_release(&f);
    }
}

static void
test_pitfall_19__norm_of_100000_large_values__neither_overflows_nor_escapes(void **state)
{
    (void)state;
    struct fx f;
    open_one(&f, CSL_TASK_BINARY, 100000, 0, 3, 1, 0);
    float *global = csl_alloc_array((size_t)f.study.schema.parameters, sizeof(float));
    set_patient(&f, 1, 1e25f); /* squares overflow float32, and half precision long before */
    set_patient(&f, 0, NAN);
    set_patient(&f, 2, NAN);
    double moved = influence(&f, 1, global);
    assert_true(moved <= 1 + 1e-3); /* 100,000 float32 roundings of noise-sized values */
    assert_true(moved > 0.99);
    csl_free(global);
    fx_release(&f);
}

static void test_pitfall_15__nobody_drawn__noise_all_the_same(void **state)
{
    (void)state;
    struct fx f;
    open_one(&f, CSL_TASK_BINARY, 5, 0, 1000, 1, 1);
    float *global = fx_vector(&f, 3, 0.5);
    uint64_t n = f.study.schema.parameters;
    uint32_t empty = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) { /* about a third of the batches are empty */
        struct private_run data, silent;
        struct fx quiet;
        assert_int_equal(run_private(&f, seed, global, NULL, &data), CSL_OK);
        open_one(&quiet, CSL_TASK_BINARY, 5, 0, 1000, 1, 1);
        silence_all(&quiet);
        assert_int_equal(run_private(&quiet, seed, global, NULL, &silent), CSL_OK);
        empty += silent.run.rejected == 0;
        if (silent.run.rejected == 0)
            assert_memory_equal(data.o.update, silent.o.update, (size_t)n * sizeof(float));
        double size = 0;
        for (uint64_t i = 0; i < n; i++)
            size += fabs((double)silent.o.update[i]);
        assert_true(size > 0.01);
        assert_int_equal(data.run.releases[0], 1);
        run_free(&data);
        run_free(&silent);
        fx_release(&quiet);
    }
    assert_in_range(empty, 1, 19);
    csl_free(global);
    fx_release(&f);
}

/* All patients alike and unclipped: the sum is k times one gradient for a drawn k. Divided by the
 * realised batch it would be the same for every seed. */
static void test_pitfall_04__sum__is_divided_by_the_expected_batch(void **state)
{
    (void)state;
    struct fx f;
    open_one(&f, CSL_TASK_BINARY, 1, 0, 40, 1, 10);
    struct csl_examples *e = &f.examples[0][CSL_SPLIT_TRAIN];
    for (uint32_t p = 0; p < 40; p++) {
        e->x[p] = 0.0f; /* the gradient is of the bias alone: p - label = -1/2 */
        e->label[p] = 1;
    }
    f.study.privacy.noise_multiplier = 1e-4; /* to see k through the noise */
    float global[2] = {0, 0};
    double total = 0;
    bool is_seen[41] = {false};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct private_run p;
        assert_int_equal(run_private(&f, seed, global, NULL, &p), CSL_OK);
        double k = (double)p.o.update[1] * 10 / 0.5;
        assert_true(fabs(k - round(k)) < 0.05);
        assert_in_range((uint64_t)llround(k), 0, 40);
        is_seen[llround(k)] = true;
        total += k;
        run_free(&p);
    }
    uint32_t distinct = 0;
    for (uint32_t k = 0; k <= 40; k++)
        distinct += is_seen[k];
    assert_true(distinct >= 5);
    /* Binomial(40, 1/4), 100 times: mean 1000, sd 27.4; 6.2 sd is a false alarm of 6e-10. */
    assert_true(fabs(total - 1000) < 170);
    fx_release(&f);
}

/* Noise of the released mean, from data that contribute nothing: the same at a site of 30 and one
 * of 3,000 patients, sigma C / B, whatever weight the coordinator gives them afterwards. */
static void test_pitfall_01__noise_of_unequal_sites__is_the_charged_one(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {30, 3000};
    for (size_t s = 0; s < 2; s++) {
        struct fx f;
        open_one(&f, CSL_TASK_BINARY, 99, 0, sizes[s], 1, 10);
        silence_all(&f);
        float *global = csl_alloc_array((size_t)f.study.schema.parameters, sizeof(float));
        double squares = 0;
        uint64_t count = 0;
        for (uint64_t seed = 1; seed <= 40; seed++) {
            struct private_run p;
            assert_int_equal(run_private(&f, seed, global, NULL, &p), CSL_OK);
            for (uint64_t i = 0; i < 100; i++)
                squares += (double)p.o.update[i] * (double)p.o.update[i];
            count += 100;
            assert_true(p.o.report.events[0].noise_multiplier <= 1.0);
            assert_true(p.o.report.events[0].noise_multiplier > 0.99);
            run_free(&p);
        }
        double expected = CLIP / 10;
        /* chi-square of 4,000 degrees of freedom: sd of the ratio 0.0224; 6.2 sd either way. */
        assert_true(fabs(squares / (double)count / (expected * expected) - 1) < 0.139);
        csl_free(global);
        fx_release(&f);
    }
}

static void test_pitfall_02__steps_that_ran__are_what_is_reported(void **state)
{
    (void)state;
    struct fx f;
    struct private_run whole, cut;
    uint32_t polls = 0;
    open_one(&f, CSL_TASK_BINARY, 4, 0, 20, 1, 5);
    f.study.local.steps = 9;
    float *global = fx_vector(&f, 3, 0.5);
    assert_int_equal(run_private(&f, 1, global, NULL, &whole), CSL_OK);
    assert_int_equal(whole.o.report.event_count, 1);
    assert_int_equal(whole.o.report.events[0].steps, 9);
    assert_int_equal(whole.run.releases[0], 9);
    assert_true(whole.o.report.events[0].sampling_rate == 0.25);
    assert_int_equal(run_private(&f, 1, global, &polls, &cut), CSL_E_CANCELLED);
    assert_int_equal(cut.run.releases[0], 2); /* counted where the noise is drawn */
    csl_free(global);
    run_free(&whole);
    fx_release(&f);
}

static void test_pitfall_09__loss_of_a_private_round__is_not_computed(void **state)
{
    (void)state;
    struct fx f;
    struct private_run p;
    open_one(&f, CSL_TASK_BINARY, 4, 0, 20, 1, 5);
    float *global = fx_vector(&f, 3, 0.5);
    assert_int_equal(run_private(&f, 1, global, NULL, &p), CSL_OK);
    assert_true(p.o.report.mean_loss == 0);
    csl_free(global);
    run_free(&p);
    fx_release(&f);
}

static void test_mode_site__update__is_clipped_and_noised_as_a_whole(void **state)
{
    (void)state;
    struct fx f;
    struct private_run p, again;
    open_one(&f, CSL_TASK_BINARY, 200, 0, 20, 1, 5);
    f.study.local.steps = 50; /* far beyond the clip */
    f.study.privacy.mode = CSL_PRIVACY_SITE;
    float *global = fx_vector(&f, 3, 0.5);
    double squares = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_int_equal(run_private(&f, seed, global, NULL, &p), CSL_OK);
        assert_int_equal(run_private(&f, seed + 100, global, NULL, &again), CSL_OK);
        assert_int_equal(p.plan.event_count, 1);
        assert_int_equal(p.plan.events[0].sampler, CSL_DP_FULL_BATCH);
        double d = distance(p.o.update, again.o.update, 201);
        squares += d * d;
        run_free(&p);
        run_free(&again);
    }
    /* The same clipped update under independent noise: each coordinate has variance 2 (sigma C)^2.
     * 4,020 degrees of freedom: 6.2 sd are 0.138. */
    assert_true(fabs(squares / (20 * 201 * 2 * CLIP * CLIP) - 1) < 0.138);
    csl_free(global);
    fx_release(&f);
}

/* Whether training diverged at the site is the site's secret: noise alone leaves it then. */
static void test_mode_site__training_diverges__noise_without_a_word(void **state)
{
    (void)state;
    struct fx f;
    struct private_run p, silent;
    open_one(&f, CSL_TASK_BINARY, 200, 0, 20, 1, 0);
    f.study.privacy.mode = CSL_PRIVACY_SITE;
    f.study.local.steps = 3;
    float *global = fx_vector(&f, 3, 0.5);
    f.study.local.learning_rate = 1e-30; /* an update of zero */
    assert_int_equal(run_private(&f, 1, global, NULL, &silent), CSL_OK);
    assert_int_equal(silent.run.rejected, 0);
    f.study.local.learning_rate = f.study.local.l2 = 1e30;
    assert_int_equal(run_private(&f, 1, global, NULL, &p), CSL_OK);
    assert_int_equal(p.run.rejected, 1);
    assert_int_equal(p.run.releases[0], 1);
    assert_int_equal(p.o.report.blocks[0].patients, 1); /* of 20 */
    assert_memory_equal(p.o.update, silent.o.update, 201 * sizeof(float));
    run_free(&p);
    run_free(&silent);
    csl_free(global);
    fx_release(&f);
}

static void test_private_run__same_generator__same_bits_on_any_number_of_threads(void **state)
{
    (void)state;
    struct fx f;
    struct private_run a, b;
    open_one(&f, CSL_TASK_CLASSES, 10, 7, 400, 2, 200); /* several pieces */
    f.study.local.steps = 5;
    float *global = fx_vector(&f, 3, 0.5);
    assert_int_equal(run_private(&f, 4, global, NULL, &a), CSL_OK);
    threads = 2;
    assert_int_equal(run_private(&f, 4, global, NULL, &b), CSL_OK);
    threads = 1;
    assert_memory_equal(a.o.update, b.o.update, (size_t)f.study.schema.parameters * sizeof(float));
    csl_free(global);
    run_free(&a);
    run_free(&b);
    fx_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pitfall_01__noise_of_unequal_sites__is_the_charged_one),
        cmocka_unit_test(test_pitfall_02__steps_that_ran__are_what_is_reported),
        cmocka_unit_test(test_pitfall_04__sum__is_divided_by_the_expected_batch),
        cmocka_unit_test(
            test_pitfall_05__patient_with_50_records__moves_the_sum_by_the_clip_at_most),
        cmocka_unit_test(
            test_pitfall_06__any_patient_of_any_model__moves_the_sum_by_the_clip_at_most),
        cmocka_unit_test(test_pitfall_07__weights_of_records__are_applied_before_the_clip),
        cmocka_unit_test(test_pitfall_09__loss_of_a_private_round__is_not_computed),
        cmocka_unit_test(test_pitfall_15__nobody_drawn__noise_all_the_same),
        cmocka_unit_test(test_pitfall_17__gradient_of_a_patient__does_not_depend_on_the_others),
        cmocka_unit_test(
            test_pitfall_18__patient_that_is_not_finite__contributes_zero_and_is_counted),
        cmocka_unit_test(
            test_pitfall_19__norm_of_100000_large_values__neither_overflows_nor_escapes),
        cmocka_unit_test(test_mode_site__update__is_clipped_and_noised_as_a_whole),
        cmocka_unit_test(test_mode_site__training_diverges__noise_without_a_word),
        cmocka_unit_test(test_private_run__same_generator__same_bits_on_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
