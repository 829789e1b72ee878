/* One round and one baseline: gradients, batch order, optimisers and strategies' local terms
 * against a second trainer in double; repetition bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/batch.h"
#include "tests/unit/training/fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void assert_same_bits(const float *a, const float *b, uint64_t n)
{
    assert_memory_equal(a, b, (size_t)n * sizeof(float));
}

/* With one full-batch step of sgd the update is -rate * gradient: compare with central differences
 * of the reference loss in double. */
static void check_gradient(enum csl_task_kind task, uint32_t width, uint32_t classes,
                           uint32_t hidden, uint32_t repeats, const char *backend)
{
    struct fx f;
    struct fx_outcome o;
    fx_init(&f);
    fx_add_domain(&f, task, width, classes, hidden);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 23, repeats, 7);
    f.study.local.steps = 1;
    f.study.local.batch_patients = 0;
    f.study.local.learning_rate = 1;
    uint64_t n = f.study.schema.parameters;
    float *global = fx_vector(&f, 3, 0.4);
    double *w = csl_alloc_array((size_t)n, sizeof(double));
    const struct csl_examples *e = &f.examples[0][CSL_SPLIT_TRAIN];
    assert_int_equal(fx_run(&f, backend, 1, global, NULL, NULL, &o, NULL), CSL_OK);
    for (uint64_t i = 0; i < n; i++)
        w[i] = (double)global[i];
    assert_true(fabs(o.report.mean_loss - fx_loss(&f, 0, e, NULL, e->records, w)) < 1e-6);
    double largest = 0;
    for (uint64_t i = 0; i < n; i++) {
        double kept = w[i], h = 1e-5;
        w[i] = kept + h;
        double up = fx_loss(&f, 0, e, NULL, e->records, w);
        w[i] = kept - h;
        double down = fx_loss(&f, 0, e, NULL, e->records, w);
        w[i] = kept;
        double gradient = (up - down) / (2 * h);
        largest = fmax(largest, fabs(gradient));
        if (!(fabs((double)o.update[i] + gradient) < 2e-6))
            fail_msg("parameter %llu: gradient %.9g, expected %.9g", (unsigned long long)i,
                     -(double)o.update[i], gradient);
    }
    assert_true(largest > 0.01);
    csl_free(w);
    csl_free(global);
    fx_outcome_free(&o);
    fx_release(&f);
}

static void test_gradient__each_model_and_backend__equals_central_differences(void **state)
{
    (void)state;
    static const char *const backends[] = {"cpu-ref", "auto"};
    for (size_t b = 0; b < 2; b++) {
        for (uint32_t repeats = 1; repeats <= 3; repeats += 2) {
            check_gradient(CSL_TASK_BINARY, 13, 2, 0, repeats, backends[b]);
            check_gradient(CSL_TASK_BINARY, 9, 2, 8, repeats, backends[b]);
            check_gradient(CSL_TASK_CLASSES, 7, 4, 0, repeats, backends[b]);
            check_gradient(CSL_TASK_CLASSES, 30, 5, 24, repeats, backends[b]);
            check_gradient(CSL_TASK_SURVIVAL, 11, 0, 0, repeats, backends[b]);
            check_gradient(CSL_TASK_SURVIVAL, 6, 0, 5, repeats, backends[b]);
        }
    }
}

/* ---- a second trainer: double, gradients by central differences, batches as train.h says ---- */

static uint32_t reference_batch(const struct fx *f, const char *purpose, uint64_t position,
                                uint32_t *rows)
{
    const struct csl_examples *e = &f->examples[0][CSL_SPLIT_TRAIN];
    uint32_t size = f->study.local.batch_patients, order[64];
    if (size == 0 || size > e->patients)
        size = e->patients;
    uint64_t per_epoch = (e->patients + size - 1) / size;
    char label[64];
    snprintf(label, sizeof(label), "training/%s/d0", purpose);
    struct csl_rng rng;
    csl_rng_init_named(&rng, 42, label, "site-a", position / per_epoch);
    assert_true(e->patients <= 64);
    for (uint32_t p = 0; p < e->patients; p++)
        order[p] = p;
    if (size < e->patients)
        csl_rng_shuffle_u32(&rng, order, e->patients);
    uint32_t count = 0, first = (uint32_t)(position % per_epoch) * size;
    for (uint32_t i = first; i < first + size && i < e->patients; i++)
        for (uint32_t r = 0; r < e->records; r++)
            if (e->patient[r] == order[i])
                rows[count++] = r;
    return count;
}

struct reference {
    double w[256], moment1[256], moment2[256];
};

/* Position: of the step in the whole run. A study here has a constant rate or a cosine. */
static double reference_rate(const struct fx *f, uint64_t position)
{
    const struct csl_local_training *c = &f->study.local;
    double all = (double)f->study.rounds * c->steps, at = (double)position;
    double warm = (double)c->schedule.warmup, floor = c->schedule.floor;
    if (c->schedule.kind == CSL_SCHEDULE_CONSTANT)
        return c->learning_rate;
    if (at < warm)
        return c->learning_rate * (at + 1) / (warm + 1);
    return c->learning_rate *
           (floor + (1 - floor) * (1 + cos(acos(-1.0) * (at - warm) / (all - warm))) / 2);
}

static void reference_step(const struct fx *f, struct reference *s, const double *g, uint64_t t,
                           double rate)
{
    const struct csl_local_training *c = &f->study.local;
    for (uint64_t i = 0; i < f->study.schema.parameters; i++) {
        double *m = &s->moment1[i], *v = &s->moment2[i];
        if (c->optimizer == CSL_OPT_KIND_SGD) {
            s->w[i] -= rate * g[i];
        } else if (c->optimizer == CSL_OPT_KIND_MOMENTUM) {
            *m = c->momentum * *m + g[i];
            s->w[i] -= rate * *m;
        } else {
            *m = c->beta1 * *m + (1 - c->beta1) * g[i];
            *v = c->beta2 * *v + (1 - c->beta2) * g[i] * g[i];
            double m_hat = *m / (1 - pow(c->beta1, (double)t));
            double v_hat = *v / (1 - pow(c->beta2, (double)t));
            s->w[i] -= rate * (m_hat / (sqrt(v_hat) + c->epsilon) + c->weight_decay * s->w[i]);
        }
    }
}

/* update: [P] double */
static void reference_run(const struct fx *f, const char *purpose, uint64_t position,
                          uint64_t steps, const float *global, const float *control,
                          const float *site_control, double *update)
{
    const struct csl_local_training *c = &f->study.local;
    const struct csl_examples *e = &f->examples[0][CSL_SPLIT_TRAIN];
    uint64_t n = f->study.schema.parameters;
    static struct reference s;
    double g[256];
    memset(&s, 0, sizeof(s));
    assert_true(n <= 256);
    for (uint64_t i = 0; i < n; i++)
        s.w[i] = (double)global[i];
    for (uint64_t k = 0; k < steps; k++) {
        uint32_t rows[256];
        uint32_t count = reference_batch(f, purpose, position + k, rows);
        for (uint64_t i = 0; i < n; i++) {
            double kept = s.w[i], h = 1e-5;
            s.w[i] = kept + h;
            double up = fx_loss(f, 0, e, rows, count, s.w);
            s.w[i] = kept - h;
            double down = fx_loss(f, 0, e, rows, count, s.w);
            s.w[i] = kept;
            g[i] =
                (up - down) / (2 * h) + c->l2 * kept + c->proximal_mu * (kept - (double)global[i]);
            if (control != NULL)
                g[i] += (double)control[i] - (double)site_control[i];
        }
        reference_step(f, &s, g, k + 1, reference_rate(f, position + k));
    }
    for (uint64_t i = 0; i < n; i++)
        update[i] = s.w[i] - (double)global[i];
}

struct local_case {
    enum csl_task_kind task;
    enum csl_optimizer_kind optimizer;
    uint32_t batch, repeats, steps;
    double rate, l2, mu;
    bool has_control;
    uint64_t round;
    double decay;
    bool has_cosine; /* over four rounds, with a warm-up that ends in the first */
};

static void check_local(const struct local_case *c, const char *backend)
{
    struct fx f;
    struct fx_outcome o;
    fx_init(&f);
    fx_add_domain(&f, c->task, 6, 3, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 19, c->repeats, 11);
    f.study.local.optimizer = c->optimizer;
    f.study.local.batch_patients = c->batch;
    f.study.local.steps = c->steps;
    f.study.local.learning_rate = c->rate;
    f.study.local.l2 = c->l2;
    f.study.local.proximal_mu = c->mu;
    f.study.local.weight_decay = c->decay;
    f.study.rounds = 4;
    if (c->has_cosine)
        f.study.local.schedule =
            (struct csl_schedule){.kind = CSL_SCHEDULE_COSINE, .warmup = 4, .floor = 0.1};
    double path = 0;
    for (uint64_t k = 0; k < c->steps; k++)
        path += reference_rate(&f, (c->round - 1) * c->steps + k);
    uint64_t n = f.study.schema.parameters;
    float *global = fx_vector(&f, 1, 0.3), *control = fx_vector(&f, 2, 0.2);
    float *own = fx_vector(&f, 3, 0.2);
    double want[256];
    assert_int_equal(
        fx_run(&f, backend, c->round, global, c->has_control ? control : NULL, own, &o, NULL),
        CSL_OK);
    reference_run(&f, "round", (c->round - 1) * c->steps, c->steps, global,
                  c->has_control ? control : NULL, own, want);
    /* The bias of a Cox model has no gradient but rounding, which Adam scales to full steps. */
    if (c->task == CSL_TASK_SURVIVAL && c->optimizer == CSL_OPT_KIND_ADAM)
        n--;
    for (uint64_t i = 0; i < n; i++) {
        if (!(fabs((double)o.update[i] - want[i]) < 1e-5))
            fail_msg("parameter %llu moved by %.9g, expected %.9g", (unsigned long long)i,
                     (double)o.update[i], want[i]);
        if (!c->has_control)
            continue;
        double next = (double)own[i] - (double)control[i] - want[i] / path;
        assert_true(fabs((double)o.site_control[i] - next) < 1e-5 / path + 1e-6);
        assert_true((double)o.control_change[i] == (double)(o.site_control[i] - own[i]));
    }
    fx_outcome_free(&o);
    csl_free(global);
    csl_free(control);
    csl_free(own);
    fx_release(&f);
}

static void test_round__each_optimiser_and_strategy_term__equals_the_reference(void **state)
{
    (void)state;
    static const struct local_case cases[] = {
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0, 0, false, 1, 0, false},
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0, 0, false, 3, 0,
         false}, /* ends inside epoch 6 */
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 0, 1, 5, 0.1, 0, 0, false, 2, 0, false},
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 500, 1, 5, 0.1, 0, 0, false, 2, 0, false},
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 3, 10, 0.1, 0, 0, false, 2, 0,
         false}, /* several records */
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0.3, 0, false, 1, 0, false},
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0, 0.7, false, 1, 0, false},
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0.1, 0, true, 2, 0, false},
        {CSL_TASK_CLASSES, CSL_OPT_KIND_MOMENTUM, 4, 1, 10, 0.05, 0, 0, false, 1, 0, false},
        {CSL_TASK_CLASSES, CSL_OPT_KIND_ADAM, 4, 2, 10, 0.05, 0.2, 0.1, false, 2, 0, false},
        {CSL_TASK_SURVIVAL, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0, 0, false, 1, 0, false},
        {CSL_TASK_SURVIVAL, CSL_OPT_KIND_ADAM, 5, 2, 7, 0.02, 0, 0, false, 4, 0, false},
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0, 0, false, 1, 0, true},
        {CSL_TASK_BINARY, CSL_OPT_KIND_SGD, 4, 1, 10, 0.1, 0.1, 0, true, 3, 0, true},
        {CSL_TASK_CLASSES, CSL_OPT_KIND_ADAMW, 4, 2, 10, 0.05, 0, 0.1, false, 2, 0.5, false},
        {CSL_TASK_CLASSES, CSL_OPT_KIND_ADAMW, 4, 1, 10, 0.05, 0.2, 0, false, 4, 0.5, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_local(&cases[i], "cpu-ref");
        check_local(&cases[i], "auto");
    }
}

/* ---- repetition ---- */

static void test_round__repeated_or_alone__gives_the_same_bits(void **state)
{
    (void)state;
    static const char *const backends[] = {"cpu-ref", "auto"};
    for (size_t b = 0; b < 2; b++) {
        struct fx f;
        struct csl_trainer *t = NULL;
        struct csl_train_report report;
        fx_three_domains(&f);
        uint64_t n = f.study.schema.parameters;
        float *model = fx_vector(&f, 1, 0.2), *before = fx_vector(&f, 1, 0.2);
        float *update = fx_vector(&f, 2, 1);
        assert_int_equal(csl_trainer_new(&t, &f.study, backends[b], NULL), CSL_OK);
        for (uint64_t round = 1; round <= 5; round++) {
            struct csl_train_task task = {
                .data = &f.data, .seed = 42, .round = round, .global = model, .update = update};
            memcpy(before, model, (size_t)n * sizeof(float));
            assert_int_equal(csl_trainer_run(t, &task, &report, NULL), CSL_OK);
            for (uint64_t i = 0; i < n; i++)
                model[i] += update[i];
        }
        struct fx_outcome alone, again;
        assert_int_equal(fx_run(&f, backends[b], 5, before, NULL, NULL, &alone, NULL), CSL_OK);
        assert_int_equal(fx_run(&f, backends[b], 5, before, NULL, NULL, &again, NULL), CSL_OK);
        assert_same_bits(update, alone.update, n);
        assert_same_bits(update, again.update, n);
        assert_true(memcmp(&report.mean_loss, &alone.report.mean_loss, sizeof(double)) == 0);
        csl_trainer_free(t);
        csl_free(model);
        csl_free(before);
        csl_free(update);
        fx_outcome_free(&alone);
        fx_outcome_free(&again);
        fx_release(&f);
    }
}

static void test_round__another_seed_site_or_round__draws_other_batches(void **state)
{
    (void)state;
    struct fx f;
    struct fx_outcome a, b, c;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 13, 2, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 100, 1, 5);
    uint64_t bytes = f.study.schema.parameters * sizeof(float);
    float *global = fx_vector(&f, 1, 0.2);
    assert_int_equal(fx_run(&f, "auto", 1, global, NULL, NULL, &a, NULL), CSL_OK);
    assert_int_equal(fx_run(&f, "auto", 2, global, NULL, NULL, &b, NULL), CSL_OK);
    f.data.site[5] = 'b';
    assert_int_equal(fx_run(&f, "auto", 1, global, NULL, NULL, &c, NULL), CSL_OK);
    assert_memory_not_equal(a.update, b.update, bytes);
    assert_memory_not_equal(a.update, c.update, bytes);
    fx_outcome_free(&a);
    fx_outcome_free(&b);
    fx_outcome_free(&c);
    csl_free(global);
    fx_release(&f);
}

/* ---- SCAFFOLD and FedProx as a federation of one ---- */

static void test_scaffold__one_site__is_plain_sgd(void **state)
{
    (void)state;
    struct fx f;
    struct fx_outcome plain, scaffold;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 13, 2, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 37, 1, 5);
    uint64_t n = f.study.schema.parameters;
    float *x = fx_vector(&f, 1, 0.2), *y = fx_vector(&f, 1, 0.2);
    float *server = fx_vector(&f, 1, 0), *own = fx_vector(&f, 1, 0);
    for (uint64_t round = 1; round <= 6; round++) {
        assert_int_equal(fx_run(&f, "auto", round, x, NULL, NULL, &plain, NULL), CSL_OK);
        assert_int_equal(fx_run(&f, "auto", round, y, server, own, &scaffold, NULL), CSL_OK);
        for (uint64_t i = 0; i < n; i++) {
            x[i] += plain.update[i];
            y[i] += scaffold.update[i];
            server[i] += scaffold.control_change[i]; /* S = N = 1 */
            own[i] = scaffold.site_control[i];
            assert_true(fabs((double)x[i] - (double)y[i]) < 1e-6);
        }
        fx_outcome_free(&plain);
        fx_outcome_free(&scaffold);
    }
    csl_free(x);
    csl_free(y);
    csl_free(server);
    csl_free(own);
    fx_release(&f);
}

static double norm(const float *v, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static void test_fedprox__larger_mu__stays_nearer_to_the_global_model(void **state)
{
    (void)state;
    struct fx f;
    struct fx_outcome o;
    double last = HUGE_VAL;
    static const double mus[] = {0, 0.1, 1, 10};
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 13, 2, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 37, 1, 5);
    f.study.local.steps = 200;
    float *global = fx_vector(&f, 1, 0.2);
    for (size_t i = 0; i < 4; i++) {
        f.study.local.proximal_mu = mus[i];
        assert_int_equal(fx_run(&f, "auto", 1, global, NULL, NULL, &o, NULL), CSL_OK);
        double moved = norm(o.update, f.study.schema.parameters);
        assert_true(moved < 0.9 * last);
        last = moved;
        fx_outcome_free(&o);
    }
    csl_free(global);
    fx_release(&f);
}

/* 19 patients in batches of 4: two epochs are ten steps, of which the site reports three. */
static void test_fednova__epochs__are_brought_to_the_effective_steps(void **state)
{
    (void)state;
    struct fx f;
    double want[256];
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 6, 2, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 19, 1, 11);
    f.study.local.optimizer = CSL_OPT_KIND_SGD;
    f.study.local.learning_rate = 0.2;
    f.study.local.batch_patients = 4;
    f.study.local.steps = 0;
    f.study.local.epochs = 2;
    float *global = fx_vector(&f, 1, 0.3);
    for (uint64_t round = 1; round <= 2; round++) {
        for (int is_nova = 0; is_nova < 2; is_nova++) {
            struct fx_outcome o;
            f.study.local.effective_steps = is_nova ? 3 : 0;
            assert_int_equal(fx_run(&f, "auto", round, global, NULL, NULL, &o, NULL), CSL_OK);
            assert_int_equal(o.report.steps, 10);
            reference_run(&f, "round", (round - 1) * 10, 10, global, NULL, NULL, want);
            for (uint64_t i = 0; i < f.study.schema.parameters; i++)
                assert_true(fabs((double)o.update[i] - (is_nova ? 0.3 : 1) * want[i]) < 1e-5);
            fx_outcome_free(&o);
        }
    }
    csl_free(global);
    fx_release(&f);
}

static void test_fit__two_epochs__equal_the_reference(void **state)
{
    (void)state;
    struct fx f;
    struct csl_trainer *t = NULL;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 6, 2, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 19, 1, 11);
    /* The reference reads its constants from the study's local training. */
    f.study.local.optimizer = CSL_OPT_KIND_ADAM;
    f.study.local.l2 = 0.1;
    struct csl_baseline c = {.enabled = true,
                             .optimizer = CSL_OPT_KIND_ADAM,
                             .learning_rate = 0.05,
                             .l2 = 0.1,
                             .batch_patients = 4,
                             .epochs = 2};
    float *start = fx_vector(&f, 1, 0.3), *model = fx_vector(&f, 1, 0.3);
    double want[256];
    reference_run(&f, "baseline", 0, 10, start, NULL, NULL, want);
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", NULL), CSL_OK);
    assert_int_equal(csl_trainer_fit(t, &f.data, &c, 42, model, NULL), CSL_OK);
    for (uint64_t i = 0; i < f.study.schema.parameters; i++)
        assert_true(fabs((double)model[i] - (double)start[i] - want[i]) < 1e-5);
    f.examples[0][CSL_SPLIT_TRAIN].x[3] = NAN;
    memcpy(model, start, (size_t)f.study.schema.parameters * sizeof(float));
    assert_int_equal(csl_trainer_fit(t, &f.data, &c, 42, model, NULL), CSL_E_INVAL);
    assert_same_bits(model, start, f.study.schema.parameters);
    csl_trainer_free(t);
    csl_free(start);
    csl_free(model);
    fx_release(&f);
}

/* Ditto's pull is the reference's proximal term, towards the model that came in. */
static void test_personalise__with_lambda__equals_the_reference(void **state)
{
    (void)state;
    struct fx f;
    struct csl_trainer *t = NULL;
    fx_init(&f);
    fx_add_domain(&f, CSL_TASK_BINARY, 6, 2, 0);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, 19, 1, 11);
    f.study.local.optimizer = CSL_OPT_KIND_SGD;
    f.study.local.learning_rate = 0.2;
    f.study.local.l2 = 0;
    f.study.local.proximal_mu = 0.7;
    struct csl_baseline c = {.enabled = true,
                             .optimizer = CSL_OPT_KIND_SGD,
                             .learning_rate = 0.2,
                             .batch_patients = 4,
                             .epochs = 2};
    const struct csl_personal_fit ditto = {.training = &c, .proximal_mu = 0.7};
    const struct csl_personal_fit free_fit = {.training = &c};
    float *start = fx_vector(&f, 1, 0.3), *model = fx_vector(&f, 1, 0.3);
    double want[256];
    f.study.local.batch_patients = 4;
    reference_run(&f, "personal", 0, 10, start, NULL, NULL, want);
    assert_int_equal(csl_trainer_new(&t, &f.study, "auto", NULL), CSL_OK);
    assert_int_equal(csl_trainer_personalise(t, &f.data, &ditto, 42, model, NULL), CSL_OK);
    for (uint64_t i = 0; i < f.study.schema.parameters; i++)
        assert_true(fabs((double)model[i] - (double)start[i] - want[i]) < 1e-5);
    memcpy(model, start, (size_t)f.study.schema.parameters * sizeof(float));
    f.study.local.proximal_mu = 0;
    reference_run(&f, "personal", 0, 10, start, NULL, NULL, want);
    assert_int_equal(csl_trainer_personalise(t, &f.data, &free_fit, 42, model, NULL), CSL_OK);
    for (uint64_t i = 0; i < f.study.schema.parameters; i++)
        assert_true(fabs((double)model[i] - (double)start[i] - want[i]) < 1e-5);
    csl_trainer_free(t);
    csl_free(start);
    csl_free(model);
    fx_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient__each_model_and_backend__equals_central_differences),
        cmocka_unit_test(test_round__each_optimiser_and_strategy_term__equals_the_reference),
        cmocka_unit_test(test_round__repeated_or_alone__gives_the_same_bits),
        cmocka_unit_test(test_round__another_seed_site_or_round__draws_other_batches),
        cmocka_unit_test(test_scaffold__one_site__is_plain_sgd),
        cmocka_unit_test(test_fedprox__larger_mu__stays_nearer_to_the_global_model),
        cmocka_unit_test(test_fednova__epochs__are_brought_to_the_effective_steps),
        cmocka_unit_test(test_fit__two_epochs__equal_the_reference),
        cmocka_unit_test(test_personalise__with_lambda__equals_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
