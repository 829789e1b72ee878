/* The networks that a study file can name, from its text to trained weights: gradient of the whole
 * net against central differences of its loss, learning of a planted signal that no linear model
 * sees, one patient's part in a private step, prediction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define IMAGE  "modality: image2d, shape: [12, 12, 2]"
#define SIGNAL "modality: signal, shape: [40, 3]"
#define SERIES "modality: ehr_series, shape: [24], features: [a, b, c, d]"
#define TEXT   "modality: text, shape: [20, 64]"

/* A small one of every kind and input it takes. */
static const struct {
    const char *input, *model;
    double rate; /* at which Adam learns the planted signal */
} cases[] = {
    {IMAGE, "{kind: cnn2d, channels: [4, 6], groups: 2}", 0.02},
    {IMAGE, "{kind: cnn2d, channels: [5], kernel: 5, stride: 2, pool: 1, norm: none}", 0.02},
    {SIGNAL, "{kind: cnn1d, channels: [4, 4], kernel: 5, groups: 1}", 0.02},
    {SERIES, "{kind: cnn1d, channels: [6], stride: 2, groups: 3}", 0.02},
    {TEXT, "{kind: bag, width: 4}", 0.05},
    {TEXT, "{kind: bag, width: 4, hidden: [5]}", 0.05},
    {IMAGE, "{kind: transformer, patch: 4, width: 8, heads: 2, layers: 1}", 0.01},
    {SIGNAL, "{kind: transformer, patch: 5, width: 8, heads: 4, layers: 2}", 0.01},
    {SERIES, "{kind: transformer, patch: 3, width: 8, heads: 1, layers: 1}", 0.01},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

struct bench {
    struct csl_study *study;
    struct csl_dataset data;
    struct csl_examples examples[1][CSL_SPLIT_COUNT];
    float *model; /* [P] as the study's initial values have it */
};

static void open_study(struct bench *b, size_t c, const char *local, const char *privacy)
{
    struct csl_buf text;
    struct csl_err err = {0};
    *b = (struct bench){.data.domain_count = 1};
    csl_buf_init(&text, 4096);
    csl_buf_printf(
        &text,
        "study: s\nrounds: 3\naggregation: {strategy: fedavg}\n"
        "domains: [{id: d, %s, task: {kind: classes, label: l, classes: 2}, model: %s}]\n"
        "training: {local: {%s}}\nprivacy: {%s}\n",
        cases[c].input, cases[c].model, local, privacy);
    if (csl_study_parse(&b->study, "s.yaml", CSL_SPAN(text.p, text.n), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_buf_release(&text);
    b->model = csl_alloc_array((size_t)b->study->schema.parameters, sizeof(float));
    csl_schema_init_parameters(&b->study->schema, 5, b->model);
}

static void free_examples(struct csl_examples *e)
{
    csl_free(e->x);
    csl_free(e->patient);
    csl_free(e->label);
    *e = (struct csl_examples){0};
}

static void close_bench(struct bench *b)
{
    for (int s = 0; s < CSL_SPLIT_COUNT; s++)
        free_examples(&b->examples[0][s]);
    csl_free(b->model);
    csl_study_free(b->study);
}

/* What label 1 has and label 0 lacks, at a place drawn anew for each record: a bar that lies in an
 * image instead of standing, a short wave instead of its mirror image in time, a word. */
static void plant(struct csl_rng *rng, const struct csl_domain *d, uint8_t label, float *x)
{
    uint32_t rows = d->shape[0], channels = d->shape[1];
    if (d->modality == CSL_IMAGE2D) {
        uint32_t top = (uint32_t)csl_rng_below(rng, 8), left = (uint32_t)csl_rng_below(rng, 8);
        for (uint32_t k = 0; k < 5; k++) {
            uint32_t i = label ? top : top + k, j = label ? left + k : left;
            x[(i * d->shape[1] + j) * d->shape[2]] += 4;
        }
    } else if (d->modality == CSL_TEXT) {
        x[csl_rng_below(rng, 5)] = label ? 17 : 18;
    } else {
        static const float wave[6] = {1, 2, 3, 4, 5, -4};
        uint32_t at = (uint32_t)csl_rng_below(rng, rows - 6);
        for (uint32_t k = 0; k < 6; k++)
            x[(at + k) * channels + 1] += wave[label ? k : 5 - k];
    }
}

/* Patient p has 1 + p % repeats records. */
static void fill(struct bench *b, enum csl_split split, uint32_t patients, uint32_t repeats,
                 uint64_t seed)
{
    const struct csl_domain *d = &b->study->domains[0];
    struct csl_examples *e = &b->examples[0][split];
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "test/models", (uint64_t)split, 0, 0);
    *e = (struct csl_examples){.width = d->width, .patients = patients};
    e->x = csl_alloc_array((size_t)patients * repeats * d->width, sizeof(float));
    e->patient = csl_alloc_array((size_t)patients * repeats, sizeof(uint32_t));
    e->label = csl_alloc_array((size_t)patients * repeats, 1);
    for (uint32_t p = 0; p < patients; p++) {
        for (uint32_t i = 0; i < 1 + p % repeats; i++, e->records++) {
            float *x = e->x + (size_t)e->records * d->width;
            uint32_t words = 5 + (uint32_t)csl_rng_below(&rng, d->width - 5);
            e->patient[e->records] = p;
            e->label[e->records] = (uint8_t)csl_rng_below(&rng, 2);
            for (uint32_t k = 0; k < d->width; k++) {
                double v = 0.5 * csl_rng_normal(&rng);
                if (d->modality == CSL_TEXT) /* 0 behind the end */
                    v = k < words ? 20 + (double)csl_rng_below(&rng, 44) : 0;
                x[k] = (float)v;
            }
            plant(&rng, d, e->label[e->records], x);
        }
    }
    snprintf(b->data.site, sizeof(b->data.site), "site");
    b->data.study = b->study;
    b->data.domains = b->examples;
}

static struct csl_trainer *open_trainer(const struct bench *b, const char *backend)
{
    struct csl_trainer *t = NULL;
    struct csl_err err = {0};
    if (csl_trainer_new(&t, b->study, backend, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return t;
}

/* update: [P] of one round, without privacy */
static void run_round(struct bench *b, const char *backend, float *update)
{
    struct csl_trainer *t = open_trainer(b, backend);
    struct csl_train_report report;
    struct csl_err err = {0};
    const struct csl_train_task task = {
        .data = &b->data, .seed = 42, .round = 1, .global = b->model, .update = update};
    if (csl_trainer_run(t, &task, &report, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_trainer_free(t);
}

static double loss_at(struct csl_trainer *t, const struct bench *b, enum csl_split split,
                      const float *model, float *scores)
{
    double loss = 0;
    assert_int_equal(csl_trainer_predict(t, 0, &b->examples[0][split], model, scores, &loss, NULL),
                     CSL_OK);
    return loss;
}

/* ---- gradient ---- */

/* |difference| against |gradient| of one tensor. Float32 logits leave the slope of a step of 2e-4
 * an error of some 1e-5. The records are such that no ReLU and no maximum changes sides inside a
 * step: there the slope is half of each side's, which would say nothing about the gradient. */
static void check_tensor(struct csl_trainer *t, struct bench *b, const struct csl_tensor_spec *spec,
                         const float *update, float *scores, const char *what)
{
    double wrong = 0, length = 0;
    for (uint64_t i = spec->first; i < spec->first + spec->count; i++) {
        float kept = b->model[i], h = 2e-4F;
        b->model[i] = kept + h;
        double up = loss_at(t, b, CSL_SPLIT_TRAIN, b->model, scores), high = (double)b->model[i];
        b->model[i] = kept - h;
        double down = loss_at(t, b, CSL_SPLIT_TRAIN, b->model, scores);
        double slope = (up - down) / (high - (double)b->model[i]);
        b->model[i] = kept;
        wrong += ((double)update[i] + slope) * ((double)update[i] + slope);
        length += slope * slope;
    }
    if (!(sqrt(wrong) <= 0.01 * sqrt(length) + 3e-4))
        fail_msg("%s, %s: off by %g of %g", what, spec->name, sqrt(wrong), sqrt(length));
}

static void test_models__gradient_of_the_whole_net__equals_central_differences(void **state)
{
    (void)state;
    static const char *const backends[] = {"cpu-ref", "auto"};
    for (size_t c = 0; c < CASES; c++) {
        struct bench b;
        float scores[64];
        open_study(&b, c, "learning_rate: 1, batch_patients: full, steps: 1", "mode: none");
        fill(&b, CSL_SPLIT_TRAIN, 7, 3, 6);
        uint64_t n = b.study->schema.parameters;
        float *update = csl_alloc_array((size_t)n, sizeof(float));
        struct csl_trainer *t = open_trainer(&b, "cpu-ref");
        for (uint64_t i = 0; i < n; i++) /* away from the start, where gains are 1 and shifts 0 */
            b.model[i] = b.model[i] * 1.5F + (float)(i % 7) * 0.03F - 0.09F;
        for (size_t k = 0; k < 2; k++) {
            double length = 0;
            run_round(&b, backends[k], update);
            for (uint64_t i = 0; i < n; i++)
                length += (double)update[i] * (double)update[i];
            assert_true(sqrt(length) > 0.05);
            for (uint32_t i = 0; i < b.study->schema.tensor_count; i++)
                check_tensor(t, &b, &b.study->schema.tensors[i], update, scores, cases[c].model);
        }
        csl_trainer_free(t);
        csl_free(update);
        close_bench(&b);
    }
}

/* ---- learning ---- */

static void test_models__planted_signal__is_learnt(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        struct bench b;
        char local[128];
        float scores[2 * 200], *update;
        uint32_t right = 0;
        snprintf(local, sizeof(local),
                 "optimizer: adam, learning_rate: %g, batch_patients: 20, steps: 400",
                 cases[c].rate);
        open_study(&b, c, local, "mode: none");
        fill(&b, CSL_SPLIT_TRAIN, 400, 1, 7);
        fill(&b, CSL_SPLIT_TEST, 200, 1, 8);
        uint64_t n = b.study->schema.parameters;
        update = csl_alloc_array((size_t)n, sizeof(float));
        run_round(&b, "auto", update);
        for (uint64_t i = 0; i < n; i++)
            b.model[i] += update[i];
        struct csl_trainer *t = open_trainer(&b, "auto");
        double loss = loss_at(t, &b, CSL_SPLIT_TEST, b.model, scores);
        const struct csl_examples *e = &b.examples[0][CSL_SPLIT_TEST];
        for (uint32_t r = 0; r < e->records; r++)
            right += (scores[2 * r + 1] > scores[2 * r]) == (e->label[r] == 1);
        if (right < 170) /* by chance 100 are */
            fail_msg("%s: %u of %u right, loss %g", cases[c].model, right, e->records, loss);
        csl_trainer_free(t);
        csl_free(update);
        close_bench(&b);
    }
}

/* ---- privacy ---- */

#define CLIP       0.05 /* of gradients of about 0.1 to 1 */
#define PRIVATE    "mode: local, noise_multiplier: 0.1, delta: 1e-5, clip: 0.05"
#define ALL_AT_ONE "learning_rate: 1, batch_patients: full, steps: 1"

static void run_private(struct bench *b, float *update, double *expected_batch)
{
    struct csl_privacy_plan plan;
    struct csl_rng rng;
    struct csl_train_report report;
    struct csl_err err = {0};
    uint64_t patients = b->examples[0][CSL_SPLIT_TRAIN].patients;
    assert_int_equal(csl_privacy_plan_make(&plan, b->study, &patients, NULL), CSL_OK);
    csl_rng_init_label(&rng, 9, "test/noise", 0, 0, 0);
    struct csl_private_run run = {.plan = &plan, .rng = &rng};
    struct csl_trainer *t = open_trainer(b, "cpu-ref");
    const struct csl_train_task task = {.data = &b->data,
                                        .privacy = &run,
                                        .seed = 42,
                                        .round = 1,
                                        .global = b->model,
                                        .update = update};
    if (csl_trainer_run(t, &task, &report, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(run.rejected, 0);
    *expected_batch = plan.domains[0].expected_batch;
    csl_trainer_free(t);
    csl_privacy_plan_release(&plan);
}

/* The records of patient `keep` alone in a data set of their own. */
static void cut_to_patient(struct bench *b, uint32_t keep)
{
    struct csl_examples *e = &b->examples[0][CSL_SPLIT_TRAIN];
    uint32_t n = 0;
    for (uint32_t r = 0; r < e->records; r++) {
        if (e->patient[r] != keep)
            continue;
        memmove(e->x + (size_t)n * e->width, e->x + (size_t)r * e->width, e->width * sizeof(float));
        e->label[n] = e->label[r];
        e->patient[n++] = 0;
    }
    e->records = n;
    e->patients = 1;
}

/* Other records for one patient of five. */
static void change_patient(struct bench *b, uint32_t patient)
{
    struct csl_examples *e = &b->examples[0][CSL_SPLIT_TRAIN];
    for (uint32_t r = 0; r < e->records; r++) {
        if (e->patient[r] != patient)
            continue;
        e->label[r] = !e->label[r];
        for (uint32_t k = 0; k < e->width / 2; k++) {
            float *x = e->x + (size_t)r * e->width, kept = x[k];
            x[k] = x[e->width - 1 - k];
            x[e->width - 1 - k] = kept;
        }
    }
}

/* clip(gradient) of patient 2 with its three records, whose data set is trained alone. */
static void clipped_gradient(size_t c, bool is_changed, double *out)
{
    struct bench b;
    double length = 0;
    open_study(&b, c, ALL_AT_ONE, "mode: none");
    fill(&b, CSL_SPLIT_TRAIN, 5, 3, 11);
    if (is_changed)
        change_patient(&b, 2);
    cut_to_patient(&b, 2);
    assert_int_equal(b.examples[0][CSL_SPLIT_TRAIN].records, 3);
    uint64_t n = b.study->schema.parameters;
    float *update = csl_alloc_array((size_t)n, sizeof(float));
    run_round(&b, "cpu-ref", update);
    for (uint64_t i = 0; i < n; i++)
        length += (double)update[i] * (double)update[i];
    assert_true(sqrt(length) > CLIP);
    for (uint64_t i = 0; i < n; i++)
        out[i] = -(double)update[i] * CLIP / sqrt(length);
    csl_free(update);
    close_bench(&b);
}

/* The same draws and the same noise, one patient's records differ: two noisy sums differ by what
 * that patient contributed, and that must be the clipped gradient of the patient alone. Noise of
 * 0.1 clip leaves float32 updates exact to about 1e-9. */
static void test_models__private_step__adds_each_patients_own_clipped_gradient(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        struct bench b;
        double batch = 0, wrong = 0, moved = 0;
        open_study(&b, c, ALL_AT_ONE, PRIVATE);
        size_t n = (size_t)b.study->schema.parameters;
        float *update[2] = {csl_alloc_array(n, sizeof(float)), csl_alloc_array(n, sizeof(float))};
        double *part[2] = {csl_alloc_array(n, sizeof(double)), csl_alloc_array(n, sizeof(double))};
        for (int k = 0; k < 2; k++) {
            free_examples(&b.examples[0][CSL_SPLIT_TRAIN]);
            fill(&b, CSL_SPLIT_TRAIN, 5, 3, 11);
            if (k == 1)
                change_patient(&b, 2);
            run_private(&b, update[k], &batch);
            clipped_gradient(c, k == 1, part[k]);
        }
        for (size_t i = 0; i < n; i++) {
            double seen = -((double)update[0][i] - (double)update[1][i]) * batch;
            double want = part[0][i] - part[1][i];
            wrong += (seen - want) * (seen - want);
            moved += want * want;
        }
        if (!(sqrt(wrong) <= 1e-4 * CLIP && sqrt(moved) > 0.1 * CLIP))
            fail_msg("%s: off by %g of %g", cases[c].model, sqrt(wrong), sqrt(moved));
        for (int k = 0; k < 2; k++) {
            csl_free(update[k]);
            csl_free(part[k]);
        }
        close_bench(&b);
    }
}

/* ---- prediction ---- */

static void test_models__prediction__is_the_same_alone_together_and_again(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        struct bench b;
        float all[2 * 300], again[2 * 300], alone[2];
        open_study(&b, c, "learning_rate: 1, batch_patients: 4, steps: 1", "mode: none");
        fill(&b, CSL_SPLIT_TEST, 300, 1, 8); /* more than one slice of rows */
        struct csl_trainer *t = open_trainer(&b, "cpu-ref");
        loss_at(t, &b, CSL_SPLIT_TEST, b.model, all);
        csl_trainer_free(t);
        t = open_trainer(&b, "cpu-ref");
        loss_at(t, &b, CSL_SPLIT_TEST, b.model, again);
        assert_memory_equal(all, again, sizeof(all));
        for (uint32_t r = 0; r < 300; r += 37) {
            struct csl_examples one = b.examples[0][CSL_SPLIT_TEST];
            uint32_t first = 0;
            one.x += (size_t)r * one.width;
            one.label += r;
            one.patient = &first;
            one.records = one.patients = 1;
            assert_int_equal(csl_trainer_predict(t, 0, &one, b.model, alone, NULL, NULL), CSL_OK);
            assert_memory_equal(alone, all + 2 * r, sizeof(alone));
        }
        assert_true(all[0] > all[2] || all[0] < all[2]);
        csl_trainer_free(t);
        close_bench(&b);
    }
}

/* The fastest backend gives the reference's probabilities to float32's digits. */
static void test_models__backends__predict_alike(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        struct bench b;
        float reference[2 * 50], fast[2 * 50];
        open_study(&b, c, "learning_rate: 1, batch_patients: 4, steps: 1", "mode: none");
        fill(&b, CSL_SPLIT_TEST, 50, 1, 8);
        struct csl_trainer *t = open_trainer(&b, "cpu-ref");
        loss_at(t, &b, CSL_SPLIT_TEST, b.model, reference);
        csl_trainer_free(t);
        t = open_trainer(&b, "auto");
        loss_at(t, &b, CSL_SPLIT_TEST, b.model, fast);
        csl_trainer_free(t);
        for (size_t i = 0; i < 2 * 50; i++)
            assert_true(fabs((double)reference[i] - (double)fast[i]) < 1e-5);
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models__gradient_of_the_whole_net__equals_central_differences),
        cmocka_unit_test(test_models__planted_signal__is_learnt),
        cmocka_unit_test(test_models__private_step__adds_each_patients_own_clipped_gradient),
        cmocka_unit_test(test_models__prediction__is_the_same_alone_together_and_again),
        cmocka_unit_test(test_models__backends__predict_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
