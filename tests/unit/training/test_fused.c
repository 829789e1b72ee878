/* A study with inputs: the whole net of chains that meet in the fusion against a model in double
 * written here, and what one patient adds to a step. Three inputs (a table, a signal that is
 * changed in training, a text), two domains that share one of them; patients with several records,
 * records without an input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "tests/unit/training/fused_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char yaml_text[] =
    "study: fused\n"
    "inputs:\n"
    "  - {id: table, modality: tabular, features: [a, b, c, d], encoder: {kind: linear}}\n"
    "  - {id: vector, modality: signal, shape: [1, 3], augment: {gain: 0.4, noise: 0.3},\n"
    "     encoder: {kind: mlp, hidden: [5]}}\n"
    "  - {id: note, modality: text, shape: [5, 9], encoder: {kind: bag, width: 3}}\n"
    "domains:\n"
    "  - id: yes\n    inputs: [table, vector, note]\n    task: {kind: binary, label: y}\n"
    "    model: {kind: multimodal, width: 4, fusion: gated, hidden: [3], modality_dropout: %s}\n"
    "  - id: which\n    inputs: [note, vector]\n    task: {kind: classes, label: w, classes: 3}\n"
    "    model: {kind: multimodal, width: 4, fusion: mean, modality_dropout: %s}\n"
    "training: {local: {optimizer: sgd, learning_rate: %s, batch_patients: %s, steps: %u}}\n"
    "rounds: 2\naggregation: {strategy: fedavg}\nsites: {minimum: 1}\n%s";

static void open_bench(struct bench *b, const char *dropout, const char *rate, const char *batch,
                       uint32_t steps, const char *more)
{
    char yaml[2048];
    snprintf(yaml, sizeof(yaml), yaml_text, dropout, dropout, rate, batch, steps, more);
    bench_open(b, yaml, 0);
}

/* --- the model in double --- */

static const double *tensor(const struct bench *b, const double *w, const char *name)
{
    const struct csl_schema *s = &b->study->schema;
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return w + s->tensors[i].first;
    fail_msg("no tensor %s", name);
    return NULL;
}

static void linear(const struct bench *b, const double *w, const char *prefix, const double *x,
                   uint32_t in, uint32_t out, bool rectifies, double *y)
{
    char name[CSL_ID_MAX];
    snprintf(name, sizeof(name), "%sweight", prefix);
    const double *weight = tensor(b, w, name);
    snprintf(name, sizeof(name), "%sbias", prefix);
    const double *bias = tensor(b, w, name);
    for (uint32_t o = 0; o < out; o++) {
        y[o] = bias[o];
        for (uint32_t i = 0; i < in; i++)
            y[o] += weight[o * in + i] * x[i];
        if (rectifies && y[o] < 0)
            y[o] = 0;
    }
}

static void encode(const struct bench *b, const double *w, uint32_t r, double y[3][WIDTH])
{
    double x[TABLE], v[VECTOR], hidden[5], mean[3] = {0};
    uint32_t words = 0;
    for (uint32_t i = 0; i < TABLE; i++)
        x[i] = (double)b->table[r * TABLE + i];
    for (uint32_t i = 0; i < VECTOR; i++)
        v[i] = (double)b->vector[r * VECTOR + i];
    linear(b, w, "input.table.", x, TABLE, WIDTH, false, y[0]);
    linear(b, w, "input.vector.layer0.", v, VECTOR, 5, true, hidden);
    linear(b, w, "input.vector.layer1.", hidden, 5, WIDTH, false, y[1]);
    const double *embed = tensor(b, w, "input.note.embed.weight");
    for (uint32_t i = 0; i < TOKENS; i++)
        words += b->tokens[r * TOKENS + i] > 0;
    for (uint32_t i = 0; i < TOKENS; i++)
        for (uint32_t k = 0; k < 3 && b->tokens[r * TOKENS + i] > 0; k++)
            mean[k] += embed[b->tokens[r * TOKENS + i] * 3 + k] / words;
    linear(b, w, "input.note.layer0.", mean, 3, WIDTH, false, y[2]);
}

/* Shares by softmax of the gate over what is present; nothing present: the empty value. */
static void fuse(const struct bench *b, const double *w, uint32_t r, double y[3][WIDTH],
                 double out[WIDTH])
{
    const double *gate = tensor(b, w, "yes.fusion.gate"), *bias = tensor(b, w, "yes.fusion.bias");
    double score[3], sum = 0;
    bool has_any = false;
    for (uint32_t m = 0; m < 3; m++) {
        score[m] = bias[m];
        for (uint32_t k = 0; k < WIDTH; k++)
            score[m] += gate[m * WIDTH + k] * y[m][k];
        sum += b->present[m][r] ? exp(score[m]) : 0;
        has_any = has_any || b->present[m][r];
    }
    for (uint32_t k = 0; k < WIDTH; k++) {
        out[k] = has_any ? 0 : tensor(b, w, "yes.fusion.empty")[k];
        for (uint32_t m = 0; m < 3; m++)
            out[k] += b->present[m][r] ? exp(score[m]) / sum * y[m][k] : 0;
    }
}

static double loss_yes(const struct bench *b, const double *w, uint32_t r, double y[3][WIDTH])
{
    double fused[WIDTH], hidden[3], z;
    fuse(b, w, r, y, fused);
    linear(b, w, "yes.layer0.", fused, WIDTH, 3, true, hidden);
    linear(b, w, "yes.layer1.", hidden, 3, 1, false, &z);
    return log1p(exp(b->value[0][r] == 1 ? -z : z));
}

static double loss_which(const struct bench *b, const double *w, uint32_t r, double y[3][WIDTH])
{
    double fused[WIDTH] = {0}, z[CLASSES], sum = 0;
    uint32_t there = b->present[1][r] + (uint32_t)b->present[2][r];
    for (uint32_t m = 1; m < 3; m++)
        for (uint32_t k = 0; k < WIDTH; k++)
            fused[k] += b->present[m][r] && there > 0 ? y[m][k] / there : 0;
    linear(b, w, "which.layer0.", fused, WIDTH, CLASSES, false, z);
    for (uint32_t c = 0; c < CLASSES; c++)
        sum += exp(z[c]);
    return log(sum) - z[b->value[1][r]];
}

/* Of one patient: the sum over domains of the mean over the records that count there. */
static double loss_of(const struct bench *b, const double *w, uint32_t patient)
{
    double total = 0;
    for (uint32_t d = 0; d < 2; d++) {
        double sum = 0;
        uint32_t n = 0;
        for (uint32_t r = 0; r < ROWS; r++) {
            double y[3][WIDTH];
            if (b->patient[r] != patient || !bench_counts(b, d, r))
                continue;
            encode(b, w, r, y);
            sum += d == 0 ? loss_yes(b, w, r, y) : loss_which(b, w, r, y);
            n++;
        }
        total += n > 0 ? sum / n : 0;
    }
    return total;
}

/* d loss / d parameter i by central differences. */
static double difference(const struct bench *b, uint32_t patient, uint64_t i)
{
    double w[MOST], up, down, step = 1e-6;
    for (uint32_t k = 0; k < MOST; k++)
        w[k] = (double)b->weights[k];
    w[i] = (double)b->weights[i] + step;
    up = loss_of(b, w, patient);
    w[i] = (double)b->weights[i] - step;
    down = loss_of(b, w, patient);
    return (up - down) / (2 * step);
}

/* --- what the engine gives --- */

static void open_net(struct bench *b, struct csl_fused *f)
{
    assert_int_equal(csl_fused_open(f, b->trainer, &b->data, NULL), CSL_OK);
    assert_int_equal(csl_fused_fit(f, ROWS, NULL), CSL_OK);
    b->trainer->ops->put(b->trainer->dev, b->trainer->vectors[CSL_V_WEIGHTS], 0, b->weights,
                         b->study->schema.parameters * sizeof(float));
}

static void step(struct csl_fused *f, const uint32_t *rows, uint64_t count)
{
    csl_fused_load(f, rows, count);
    csl_fused_forward(f);
    csl_fused_backward(f, 1, 0);
}

static void gradient(struct csl_fused *f, uint64_t at, uint64_t count, float *out)
{
    struct csl_trainer *t = f->t;
    memset(out, 0, MOST * sizeof(*out));
    csl_fused_grad_part(f, at, count);
    for (uint32_t i = 0; i < t->net_count; i++)
        if (f->runs[i])
            t->ops->get(t->dev, out + t->nets[i].first, t->vectors[CSL_V_GRADIENT],
                        t->nets[i].first * sizeof(float), t->nets[i].count * sizeof(float));
    assert_int_equal(t->ops->sync(t->dev, NULL), CSL_OK);
}

static uint32_t rows_of(const struct bench *b, uint32_t patient, uint32_t *first)
{
    uint32_t n = 0;
    for (uint32_t r = ROWS; r-- > 0;)
        if (b->patient[r] == patient) {
            *first = r;
            n++;
        }
    return n;
}

static void test_fused__gradient__is_that_of_the_model_in_double(void **state)
{
    (void)state;
    struct bench b;
    struct csl_fused f;
    float got[MOST];
    uint32_t rows[ROWS];
    open_bench(&b, "0", "0.1", "full", 1, "");
    open_net(&b, &f);
    for (uint32_t r = 0; r < ROWS; r++)
        rows[r] = r;
    step(&f, rows, ROWS);
    for (uint32_t p = 0; p < PATIENTS; p++) {
        uint32_t first = 0, n = rows_of(&b, p, &first);
        gradient(&f, first, n, got);
        for (uint64_t i = 0; i < b.study->schema.parameters; i++) {
            double want = difference(&b, p, i);
            if (!(fabs((double)got[i] - want) <= 2e-6 + 1e-5 * fabs(want)))
                fail_msg("patient %u, parameter %llu: %.9g, differences say %.9g", p,
                         (unsigned long long)i, (double)got[i], want);
        }
    }
    csl_fused_close(&f);
    bench_close(&b);
}

/* Also with inputs left out: what is left out goes by record, not by place in the batch. */
static void test_fused__patient_in_a_batch__adds_what_he_adds_alone(void **state)
{
    (void)state;
    struct bench b;
    struct csl_fused f;
    float among[MOST], alone[MOST], nothing[MOST] = {0};
    uint32_t rows[ROWS], dropped = 0;
    open_bench(&b, "0.5", "0.1", "full", 1, "");
    open_net(&b, &f);
    f.pass.is_training = true;
    for (uint32_t r = 0; r < ROWS; r++)
        rows[r] = r;
    for (uint32_t p = 0; p < PATIENTS; p++) {
        float whole[MOST];
        uint32_t first = 0, n = rows_of(&b, p, &first);
        f.pass.seed = 11;
        step(&f, rows, ROWS);
        gradient(&f, first, n, among);
        step(&f, rows + first, n); /* a batch of one patient */
        gradient(&f, 0, n, alone);
        assert_memory_equal(among, alone, sizeof(alone));
        assert_int_equal(memcmp(alone, nothing, sizeof(alone)) == 0, p == 4);
        f.pass.is_training = false;
        step(&f, rows + first, n);
        gradient(&f, 0, n, whole);
        dropped += memcmp(whole, alone, sizeof(alone)) != 0;
        f.pass.is_training = true;
    }
    assert_true(dropped > 0); /* the seed leaves something out */
    csl_fused_close(&f);
    bench_close(&b);
}

/* Nothing of a record is there: the gated domain learns its empty value and head, nothing else. */
static void test_fused__record_without_any_input__moves_the_empty_value_only(void **state)
{
    (void)state;
    struct bench b;
    struct csl_fused f;
    float got[MOST];
    uint32_t row = 0;
    open_bench(&b, "0", "0.1", "full", 1, "");
    open_net(&b, &f);
    memset(f.domains[0].mask, 0, 3);
    for (uint32_t i = 0; i < 3; i++)
        b.present[i][0] = 0;
    f.domains[1].known[0] = 0;
    step(&f, &row, 1);
    gradient(&f, 0, 1, got);
    double w[MOST], y[3][WIDTH] = {{0}};
    for (uint64_t i = 0; i < b.study->schema.parameters; i++) {
        for (uint32_t k = 0; k < MOST; k++)
            w[k] = (double)b.weights[k];
        w[i] += 1e-6;
        double up = loss_yes(&b, w, 0, y);
        w[i] -= 2e-6;
        double want = (up - loss_yes(&b, w, 0, y)) / 2e-6;
        assert_true(fabs((double)got[i] - want) <= 2e-6 + 1e-5 * fabs(want));
        if (i >= b.study->schema.blocks[1].first)
            assert_true(got[i] == 0);
    }
    csl_fused_close(&f);
    bench_close(&b);
}

static void test_fused__site_without_an_input__leaves_its_block_alone(void **state)
{
    (void)state;
    struct bench b;
    struct csl_train_report report;
    float update[MOST];
    open_bench(&b, "0", "0.1", "2", 5, "");
    memset(b.present[0], 0, ROWS); /* the table */
    bench_view(&b);
    bench_run(&b, NULL, update, &report);
    const uint32_t blocks[] = {0, 1, 3, 4};
    assert_int_equal(report.block_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct csl_block_spec *s = &b.study->schema.blocks[blocks[i]];
        double moved = 0;
        assert_int_equal(report.blocks[i].block, blocks[i]);
        for (uint64_t k = s->first; k < s->first + s->count; k++)
            moved += fabs((double)update[k]);
        assert_true(moved > 0);
    }
    assert_int_equal(report.blocks[2].patients, b.input_patients[1]);
    assert_string_equal(b.study->schema.blocks[2].name, "input.table");
    for (uint64_t k = 0; k < b.study->schema.blocks[2].count; k++)
        assert_true(update[b.study->schema.blocks[2].first + k] == 0);
    bench_close(&b);
}

/* One step of gradient descent. On what both domains read it is g1 + g2 without weights, and with
 * weights v each counts v_d (n1 + n2) / (n1 v1 + n2 v2). What one has for itself does not change.
 */
static void test_fused__weights_of_domains__act_on_shared_inputs_alone(void **state)
{
    (void)state;
    static const double weights[][2] = {{1, 1}, {3, 3}, {2, 1}, {1, 2}};
    struct bench b;
    struct csl_train_report report;
    float u[4][MOST]; /* the first without weights */
    open_bench(&b, "0", "0.1", "full", 1, "");
    for (uint32_t i = 0; i < 4; bench_run(&b, NULL, u[i++], &report))
        b.domain_weights = i == 0 ? NULL : weights[i];
    double n1 = (double)csl_trainer__patients(b.trainer, &b.data, 0), moved = 0;
    double n2 = (double)csl_trainer__patients(b.trainer, &b.data, 1);
    double s = (n1 + n2) / (2 * n1 + n2), t = (n1 + n2) / (n1 + 2 * n2);
    uint64_t shared = b.study->schema.blocks[3].first; /* the vector and the note, the last ones */
    for (uint64_t k = 0; k < b.study->schema.parameters; k++) {
        assert_true(u[1][k] == u[0][k]);
        assert_true(k >= shared || (u[2][k] == u[0][k] && u[3][k] == u[0][k]));
        double sum = (double)u[2][k] / s + (double)u[3][k] / t; /* 2 g1 + g2 + g1 + 2 g2 */
        assert_true(k < shared || fabs(sum - 3 * (double)u[0][k]) <= 1e-5);
        moved += fabs((double)u[2][k] - (double)u[3][k]);
    }
    assert_true(moved > 0.01);
    bench_close(&b);
}

/* --- privacy --- */

static void plan_for(struct bench *b, struct csl_privacy_plan *plan)
{
    uint64_t patients[6];
    struct csl_err err = {.code = CSL_OK};
    for (uint32_t i = 0; i < 5; i++)
        patients[i] = csl_trainer__patients(b->trainer, &b->data, i);
    patients[5] = PATIENTS;
    if (csl_privacy_plan_make(plan, b->study, patients, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(plan->event_count, 1); /* one release a step, whatever the domains */
    assert_int_equal(plan->domain_count, 1);
    assert_int_equal(plan->domains[0].parameters, b->study->schema.parameters);
}

#define CLIP 0.7

/* The signal as a step with this seed has to see it. */
static void change_by_hand(struct bench *b, uint64_t seed)
{
    const struct csl_augment_signal a = {.gain_max = 0.4, .noise = 0.3};
    const uint32_t shape[2] = {1, VECTOR};
    for (uint32_t r = 0; r < ROWS; r++) {
        float kept[VECTOR];
        const struct csl_augment_label l = {seed, "vector", 0, b->patient[r], r};
        memcpy(kept, b->vector + r * VECTOR, sizeof(kept));
        csl_augment_signal(&a, &l, shape, kept, b->vector + r * VECTOR);
    }
}

/* The sum over patients of the clipped gradients of the model in double, at what a step reads. */
static void clipped_sum(struct bench *b, double *sum)
{
    uint32_t clipped = 0;
    memset(sum, 0, MOST * sizeof(*sum));
    struct csl_rng rng; /* the run's own begins with the seed of its step */
    csl_rng_init_label(&rng, 1, "test/noise", 0, 0, 0);
    change_by_hand(b, csl_rng_u64(&rng)); /* what the model read */
    for (uint32_t p = 0; p < PATIENTS; p++) {
        double g[MOST], norm = 0;
        for (uint64_t i = 0; i < b->study->schema.parameters; i++) {
            g[i] = difference(b, p, i);
            norm += g[i] * g[i];
        }
        norm = sqrt(norm);
        clipped += norm > CLIP;
        for (uint64_t i = 0; i < b->study->schema.parameters; i++)
            sum[i] += g[i] * (norm > CLIP ? CLIP / norm : 1);
    }
    assert_true(clipped > 0 && clipped < PATIENTS);
}

/* Every patient drawn, one step of size 1: minus the sum over patients of the clipped gradients of
 * the model in double, over their number, but for noise of a thousandth of the clip. Beyond 8
 * standard deviations and the grid with probability below 1e-12 over all parameters. */
static void test_fused__private_step__clips_each_patient_once_over_all_blocks(void **state)
{
    (void)state;
    struct bench b;
    struct csl_train_report report;
    struct csl_privacy_plan plan;
    struct csl_rng rng;
    float update[MOST];
    double sum[MOST], std;
    open_bench(&b, "0", "1", "full", 1,
               "privacy: {mode: local, noise_multiplier: 0.001, delta: 0.001, clip: 0.7}\n");
    plan_for(&b, &plan);
    csl_rng_init_label(&rng, 1, "test/noise", 0, 0, 0);
    struct csl_private_run privacy = {.plan = &plan, .rng = &rng};
    bench_run(&b, &privacy, update, &report);
    assert_int_equal(report.event_count, 1);
    assert_int_equal(report.events[0].steps, 1);
    assert_int_equal(privacy.rejected, 0);
    clipped_sum(&b, sum);
    std = report.events[0].std_units * plan.domains[0].noise.unit;
    assert_true(std < 0.01 * CLIP);
    for (uint64_t i = 0; i < b.study->schema.parameters; i++)
        assert_true(fabs((double)update[i] + sum[i] / PATIENTS) <= (8 * std + 1e-4) / PATIENTS);
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

#define MASKED(rate, noise)                                                                        \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"                      \
    "privacy: {mode: joint, noise_multiplier: " noise                                              \
    ", delta: 0.001, clip: 0.7, sampling_rate: " rate "}\n"

static void open_joint(struct bench *b, const char *rate_and_noise, struct csl_privacy_plan *plan,
                       int64_t *sum)
{
    char yaml[2048], *sites;
    snprintf(yaml, sizeof(yaml), yaml_text, "0", "0", "1", "full", 1, rate_and_noise);
    sites = strstr(yaml, "sites: {minimum: 1}");
    assert_non_null(sites);
    sites[strlen("sites: {minimum: ")] = '3';
    bench_open(b, yaml, 0);
    plan_for(b, plan);
    b->joint_sum = sum;
}

/* The same sum in mode joint, not divided and not applied, with a share of the noise. */
static void test_fused__joint_sum__is_of_patients_clipped_once_over_all_blocks(void **state)
{
    (void)state;
    struct bench b;
    struct csl_train_report report;
    struct csl_privacy_plan plan;
    struct csl_rng rng;
    float update[MOST];
    int64_t joint[MOST];
    double sum[MOST], std;
    open_joint(&b, MASKED("1", "0.001"), &plan, joint);
    csl_rng_init_label(&rng, 1, "test/noise", 0, 0, 0);
    struct csl_private_run privacy = {.plan = &plan, .rng = &rng};
    bench_run(&b, &privacy, update, &report);
    assert_int_equal(report.event_count, 1);
    assert_int_equal(report.events[0].steps, 1);
    assert_int_equal(privacy.rejected, 0);
    assert_int_equal(report.block_count, 5);
    clipped_sum(&b, sum);
    std = plan.domains[0].noise.std_units * plan.domains[0].noise.unit;
    assert_true(std < 0.01 * CLIP);
    for (uint64_t i = 0; i < b.study->schema.parameters; i++)
        assert_true(fabs((double)joint[i] * plan.domains[0].noise.unit - sum[i]) <= 8 * std + 1e-4);
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

/* One patient of seven a step on average: some batches are empty, and are noised like the others.
 */
static void test_fused__empty_batch__is_released_with_its_noise(void **state)
{
    (void)state;
    struct bench b;
    struct csl_train_report report;
    struct csl_privacy_plan plan;
    struct csl_rng rng;
    float update[MOST];
    open_bench(&b, "0.3", "0.1", "1", 40,
               "privacy: {mode: local, noise_multiplier: 1, delta: 0.001, clip: 0.7}\n");
    plan_for(&b, &plan);
    csl_rng_init_label(&rng, 2, "test/noise", 0, 0, 0);
    struct csl_private_run privacy = {.plan = &plan, .rng = &rng};
    bench_run(&b, &privacy, update, &report);
    assert_int_equal(report.events[0].steps, 40); /* (6/7)^7 = 0.34 of them empty */
    for (uint64_t i = 0; i < b.study->schema.parameters; i++)
        assert_true(update[i] < 0 || update[i] > 0);
    csl_privacy_plan_release(&plan);
    bench_close(&b);
}

static uint64_t count_moved(const float *a, const float *b, const struct csl_block_spec *block)
{
    uint64_t moved = 0;
    for (uint64_t i = block->first; i < block->first + block->count; i++)
        moved += a[i] != b[i];
    return moved;
}

static void test_fused__personalised_head__leaves_encoders_and_fusion(void **state)
{
    struct bench b;
    float model[MOST];
    struct csl_baseline c = {.enabled = true,
                             .optimizer = CSL_OPT_KIND_ADAM,
                             .learning_rate = 0.1,
                             .batch_patients = 3,
                             .epochs = 2};
    const struct csl_personal_fit fit = {.training = &c, .is_head_only = true};
    (void)state;
    open_bench(&b, "0", "0.1", "3", 1, "");
    const struct csl_schema *s = &b.study->schema;
    memcpy(model, b.weights, sizeof(model));
    assert_int_equal(csl_trainer_personalise(b.trainer, &b.data, &fit, 42, model, NULL), CSL_OK);
    assert_int_equal(count_moved(model, b.weights, &s->blocks[0]), 4);
    assert_int_equal(count_moved(model, b.weights, &s->blocks[1]), 15);
    for (uint32_t i = 2; i < 5; i++)
        assert_int_equal(count_moved(model, b.weights, &s->blocks[i]), 0);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused__gradient__is_that_of_the_model_in_double),
        cmocka_unit_test(test_fused__patient_in_a_batch__adds_what_he_adds_alone),
        cmocka_unit_test(test_fused__record_without_any_input__moves_the_empty_value_only),
        cmocka_unit_test(test_fused__site_without_an_input__leaves_its_block_alone),
        cmocka_unit_test(test_fused__weights_of_domains__act_on_shared_inputs_alone),
        cmocka_unit_test(test_fused__private_step__clips_each_patient_once_over_all_blocks),
        cmocka_unit_test(test_fused__joint_sum__is_of_patients_clipped_once_over_all_blocks),
        cmocka_unit_test(test_fused__empty_batch__is_released_with_its_noise),
        cmocka_unit_test(test_fused__personalised_head__leaves_encoders_and_fusion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
