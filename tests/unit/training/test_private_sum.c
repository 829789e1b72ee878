/* The integer sum of clipped gradients: against gradients formed patient by patient, its bound, and
 * that a patient adds the same whoever else is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/private_sum.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PATIENTS 70u /* more than one piece of most nets */
#define LARGE    1u  /* a patient of 20 records */
#define CLIP     0.25
#define STEP     4u /* number of the step */

static const struct {
    const char *input, *model;
} cases[] = {
    {"modality: image2d, shape: [12, 12, 2]", "{kind: linear}"},
    {"modality: image2d, shape: [12, 12, 2]", "{kind: mlp, hidden: [37, 9]}"},
    {"modality: image2d, shape: [12, 12, 2]", "{kind: cnn2d, channels: [4, 6], groups: 2}"},
    {"modality: signal, shape: [40, 3]", "{kind: cnn1d, channels: [4], kernel: 5, norm: none}"},
    {"modality: text, shape: [20, 64]", "{kind: bag, width: 4, hidden: [5]}"},
    {"modality: image2d, shape: [12, 12, 2]",
     "{kind: transformer, patch: 4, width: 8, heads: 2, layers: 1}"},
    {"modality: image2d, shape: [12, 12, 2], augment: {shift: 2, mirror: true, brightness: 0.5}",
     "{kind: mlp, hidden: [9]}"},
    {"modality: embedding, shape: [50], augment: {dropout: 0.4}", "{kind: linear}"},
    {"modality: signal, shape: [40, 3], augment: {shift: 7, noise: 0.1, lead_dropout: 0.3}",
     "{kind: cnn1d, channels: [4], kernel: 5, norm: none}"},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))
static const char *const backends[] = {"cpu-ref", "auto"};

struct bench {
    struct csl_study *study;
    struct csl_examples e;
    struct csl_batches batches;
    struct csl_noise noise;
    struct csl_trainer *t;
    struct csl_private_sum *sum;
    uint64_t n;
    uint64_t rejected;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static uint32_t records_of(uint32_t patient)
{
    return patient == LARGE ? 20 : 1 + patient % 3;
}

static void fill(struct bench *b)
{
    const struct csl_domain *d = &b->study->domains[0];
    struct csl_rng rng;
    csl_rng_init_label(&rng, 3, "test/private_sum", 0, 0, 0);
    b->e = (struct csl_examples){.width = d->width, .patients = PATIENTS};
    size_t most = (size_t)PATIENTS * 3 + 20;
    b->e.x = csl_alloc_array(most * d->width, sizeof(float));
    b->e.patient = csl_alloc_array(most, sizeof(uint32_t));
    b->e.label = csl_alloc_array(most, 1);
    for (uint32_t p = 0; p < PATIENTS; p++)
        for (uint32_t i = 0; i < records_of(p); i++, b->e.records++) {
            float *x = b->e.x + (size_t)b->e.records * d->width;
            b->e.patient[b->e.records] = p;
            b->e.label[b->e.records] = (uint8_t)csl_rng_below(&rng, 2);
            for (uint32_t k = 0; k < d->width; k++)
                x[k] = d->modality == CSL_TEXT
                           ? (float)(k < 5 + p % 9 ? 1 + csl_rng_below(&rng, 63) : 0)
                           : (float)csl_rng_normal(&rng);
        }
}

static void set_model(struct bench *b, double scale)
{
    float *model = csl_alloc_array((size_t)b->n, sizeof(float));
    csl_schema_init_parameters(&b->study->schema, 5, model);
    for (uint64_t i = 0; i < b->n; i++)
        model[i] *= (float)scale;
    b->t->ops->put(b->t->dev, b->t->vectors[CSL_V_WEIGHTS], 0, model, b->n * sizeof(float));
    csl_free(model);
}

static void reopen(struct bench *b)
{
    struct csl_err err = {0};
    csl_private_sum__close(b->sum);
    csl_batches_release(&b->batches);
    must(csl_batches_init(&b->batches, &b->e, "round", "d", 2, "site", 1, 0, &err), &err);
    b->batches.step = STEP;
    must(csl_private_sum__open(&b->sum, b->t, 0, &b->batches, &b->noise, &err), &err);
}

static void open_bench(struct bench *b, size_t c, const char *backend)
{
    struct csl_buf text;
    struct csl_err err = {0};
    *b = (struct bench){0};
    csl_buf_init(&text, 4096);
    csl_buf_printf(
        &text,
        "study: s\nrounds: 3\naggregation: {strategy: fedavg}\n"
        "domains: [{id: d, %s, task: {kind: classes, label: l, classes: 2}, model: %s}]\n"
        "training: {local: {learning_rate: 1, batch_patients: full, steps: 1}}\n",
        cases[c].input, cases[c].model);
    must(csl_study_parse(&b->study, "s.yaml", CSL_SPAN(text.p, text.n), &err), &err);
    csl_buf_release(&text);
    b->n = b->study->schema.parameters;
    must(csl_noise_plan(&b->noise, CLIP, 1, b->n, &err), &err);
    must(csl_trainer_new(&b->t, b->study, backend, &err), &err);
    fill(b);
    set_model(b, 1);
    reopen(b);
}

static void close_bench(struct bench *b)
{
    csl_private_sum__close(b->sum);
    csl_batches_release(&b->batches);
    csl_trainer_free(b->t);
    csl_noise_release(&b->noise);
    csl_free(b->e.x);
    csl_free(b->e.patient);
    csl_free(b->e.label);
    csl_study_free(b->study);
}

/* sum: [n] = that of patients from, from + step, .. below `to` */
static void sum_of(struct bench *b, uint32_t from, uint32_t to, uint32_t step, int64_t *sum)
{
    uint32_t chosen[PATIENTS], count = 0;
    struct csl_err err = {0};
    memset(sum, 0, (size_t)b->n * sizeof(*sum));
    b->rejected = 0;
    for (uint32_t p = from; p < to; p += step)
        chosen[count++] = p;
    for (uint32_t at = 0, some; at < count; at += some) {
        some = csl_private_sum__piece(b->sum, chosen + at, count - at);
        assert_in_range(some, 1, count - at);
        must(csl_private_sum__add(b->sum, chosen + at, some, sum, &b->rejected, &err), &err);
    }
}

/* In units of l2_units; squares of 2^35 and 2^20 of them fit 128 bits. */
static double length_of(const struct bench *b, const int64_t *sum)
{
    csl_u128 square = 0;
    for (uint64_t i = 0; i < b->n; i++) {
        uint64_t size = (uint64_t)(sum[i] < 0 ? -sum[i] : sum[i]);
        square += (csl_u128)size * size;
    }
    assert_true(square <= (csl_u128)b->noise.l2_units * b->noise.l2_units);
    return sqrt((double)square) / (double)b->noise.l2_units;
}

/* Changed, where the study says so, by a label of seed, site and step that is spelt out here. */
static void put_inputs(struct bench *b, const uint32_t *rows, uint32_t count)
{
    const struct csl_domain *d = &b->study->domains[0];
    const struct csl_study_augment *a = &d->augment;
    float x[20 * 512];
    assert_true(d->width <= 512);
    for (uint32_t i = 0; i < count; i++) {
        const float *from = b->e.x + (size_t)rows[i] * d->width;
        float *to = x + (size_t)i * d->width;
        const struct csl_augment_label l = {1, "site", STEP, b->e.patient[rows[i]], rows[i]};
        const struct csl_augment_image image = {a->shift, a->may_mirror, a->brightness};
        const struct csl_augment_signal signal = {a->shift, a->gain, a->lead_dropout, a->noise};
        memcpy(to, from, d->width * sizeof(*to));
        if (a->is_on && d->modality == CSL_IMAGE2D)
            csl_augment_image(&image, &l, d->shape, from, to);
        if (a->is_on && d->modality == CSL_EMBEDDING)
            csl_augment_values(a->dropout, &l, d->width, from, to);
        if (a->is_on && d->modality == CSL_SIGNAL)
            csl_augment_signal(&signal, &l, d->shape, from, to);
    }
    csl_trainer__put_inputs(b->t, &b->t->nets[0], x, NULL, count);
}

/* The gradient of patient p, formed by an ordinary pass over its records alone, and its length. */
static double gradient_of(struct bench *b, uint32_t p, float *gradient)
{
    struct csl_trainer *t = b->t;
    const struct csl_net *n = &t->nets[0];
    uint32_t rows[20], count = records_of(p);
    double square = 0;
    for (uint32_t i = 0; i < count; i++)
        rows[i] = b->batches.first[p] + i;
    struct csl_pass pass = {.ops = t->ops,
                            .dev = t->dev,
                            .weights = t->vectors[CSL_V_WEIGHTS],
                            .gradient = t->vectors[CSL_V_GRADIENT],
                            .rows = count};
    put_inputs(b, rows, count);
    csl_trainer__put_truth(t, n, &t->work, &b->batches, rows, count);
    csl_net_forward(n, &pass, &t->work);
    struct csl_loss loss = csl_trainer__loss(n, &t->work, &b->batches, n->layer_count, count, 1);
    loss.loss = (struct csl_view){t->losses, 0, 1};
    t->ops->loss(t->dev, &loss);
    csl_net_backward(n, &pass, &t->work);
    t->ops->get(t->dev, gradient, t->vectors[CSL_V_GRADIENT], 0, b->n * sizeof(float));
    assert_int_equal(t->ops->sync(t->dev, NULL), CSL_OK);
    for (uint64_t i = 0; i < b->n; i++)
        square += (double)gradient[i] * (double)gradient[i];
    return sqrt(square);
}

/* Each patient's vector against the gradient formed alone: its direction to 1e-5, its length to the
 * 2^-16 of the clip that are set aside and what rounding may add, some 2e-5 in nets of this size.
 */
static void test_private_sum__each_patient__adds_the_clipped_gradient(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2 * CASES; k++) {
        struct bench b;
        open_bench(&b, k / 2, backends[k % 2]);
        int64_t *sum = csl_alloc_array((size_t)b.n, sizeof(*sum));
        float *gradient = csl_alloc_array((size_t)b.n, sizeof(*gradient));
        uint32_t cut = 0;
        for (uint32_t p = 0; p < PATIENTS; p++) {
            double wrong = 0, length = gradient_of(&b, p, gradient);
            sum_of(&b, p, p + 1, 1, sum);
            double have = length_of(&b, sum), want = length < CLIP ? length / CLIP : 1;
            cut += length > CLIP;
            if (!(fabs(have - want) <= 5e-5 * want))
                fail_msg("%s, patient %u: %.9f of the clip, not %.9f", cases[k / 2].model, p, have,
                         want);
            for (uint64_t i = 0; i < b.n; i++) {
                double off =
                    (double)sum[i] / (double)b.noise.l2_units / have - (double)gradient[i] / length;
                wrong += off * off;
            }
            if (!(sqrt(wrong) <= 1e-5))
                fail_msg("%s, %s, patient %u: off by %g", cases[k / 2].model, backends[k % 2], p,
                         sqrt(wrong));
        }
        assert_int_equal(b.rejected, 0);
        assert_true(cut > 0);
        csl_free(sum);
        csl_free(gradient);
        close_bench(&b);
    }
}

/* The proof of the sensitivity: the sum without a patient differs by that patient's own vector,
 * exactly, whoever else is there, and that vector is within the bound. */
static void test_private_sum__taking_one_patient_away__takes_its_own_vector_away(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2 * CASES; k++) {
        struct bench b;
        open_bench(&b, k / 2, backends[k % 2]);
        size_t bytes = (size_t)b.n * sizeof(int64_t);
        int64_t *all = csl_alloc(bytes), *one = csl_alloc(bytes), *rest = csl_alloc(bytes);
        double longest = 0;
        sum_of(&b, 0, PATIENTS, 1, all);
        for (uint32_t p = 0; p < PATIENTS; p++) {
            sum_of(&b, p, p + 1, 1, one);
            longest = fmax(longest, length_of(&b, one));
            for (uint64_t i = 0; i < b.n; i++)
                all[i] -= one[i];
        }
        for (uint64_t i = 0; i < b.n; i++)
            if (all[i] != 0)
                fail_msg("%s, %s: value %llu", cases[k / 2].model, backends[k % 2],
                         (unsigned long long)i);
        assert_true(longest > 0.999); /* the clip is reached, and not wasted */
        sum_of(&b, 0, PATIENTS, 2, one);
        sum_of(&b, 1, PATIENTS, 2, rest);
        sum_of(&b, 0, PATIENTS, 1, all);
        for (uint64_t i = 0; i < b.n; i++)
            assert_int_equal(all[i], one[i] + rest[i]);
        csl_free(all);
        csl_free(one);
        csl_free(rest);
        close_bench(&b);
    }
}

/* Features of every size, and all the same: the bound holds, sums stay apart. */
static void test_private_sum__adversarial_patients__stay_within_the_bound(void **state)
{
    (void)state;
    static const float sizes[] = {1e-38F, 1e-20F, 1e-3F, 1e4F, 1e18F, 3e37F};
    for (size_t k = 0; k < 4; k++) {
        struct bench b;
        open_bench(&b, k / 2, backends[k % 2]);
        int64_t *sum = csl_alloc_array((size_t)b.n, sizeof(*sum));
        for (uint32_t r = 0; r < b.e.records; r++) {
            float size = sizes[b.e.patient[r] % 6];
            for (uint32_t c = 0; c < b.e.width; c++) {
                float *x = &b.e.x[(size_t)r * b.e.width + c];
                *x = b.e.patient[r] % 2 == 0 ? size : *x * 0.1F * size;
            }
        }
        for (int model = -1; model <= 1; model++) {
            uint64_t rejected = 0;
            set_model(&b, pow(10, 8 * model));
            for (uint32_t p = 0; p < PATIENTS; p++) {
                sum_of(&b, p, p + 1, 1, sum);
                rejected += b.rejected;
                assert_true(length_of(&b, sum) <= 1);
            }
            assert_true(rejected < PATIENTS / 2);
        }
        csl_free(sum);
        close_bench(&b);
    }
}

static void test_private_sum__patient_not_finite__adds_zero_and_moves_nobody(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    for (size_t k = 0; k < 4; k++) {
        struct bench b;
        open_bench(&b, k / 2 + 1, backends[k % 2]);
        int64_t *sum = csl_alloc_array((size_t)b.n, sizeof(*sum));
        int64_t *rest = csl_alloc_array((size_t)b.n, sizeof(*rest));
        sum_of(&b, 1, PATIENTS, 1, rest);
        for (size_t i = 0; i < 2; i++) {
            b.e.x[7] = bad[i];
            sum_of(&b, 0, PATIENTS, 1, sum);
            assert_int_equal(b.rejected, 1);
            assert_memory_equal(sum, rest, (size_t)b.n * sizeof(*sum));
        }
        csl_free(sum);
        csl_free(rest);
        close_bench(&b);
    }
}

static void test_private_sum__nobody__adds_nothing(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, "auto");
    int64_t *sum = csl_alloc_array((size_t)b.n, sizeof(*sum));
    sum_of(&b, 0, 0, 1, sum);
    assert_int_equal(csl_private_sum__piece(b.sum, NULL, 0), 0);
    assert_true(length_of(&b, sum) <= 0);
    csl_free(sum);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_sum__each_patient__adds_the_clipped_gradient),
        cmocka_unit_test(test_private_sum__taking_one_patient_away__takes_its_own_vector_away),
        cmocka_unit_test(test_private_sum__adversarial_patients__stay_within_the_bound),
        cmocka_unit_test(test_private_sum__patient_not_finite__adds_zero_and_moves_nobody),
        cmocka_unit_test(test_private_sum__nobody__adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
