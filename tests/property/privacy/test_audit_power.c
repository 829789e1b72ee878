/* Does the audit see what it is for? A DP-SGD loop with one seeded fault at a time, and the same
 * loop without. A p-value raises the alarm below 1e-10, so the five of them together cry wolf with
 * probability below 1e-9. The canaries raise it where they disprove the charged epsilon at 95 %;
 * in the healthy loop that would take 100 right of 100 guesses where 73 are expected, or 196 of 200
 * where 139 are, or as unlikely a number of 500 or 1000: below 1e-12. */
#include "base/mem.h"
#include "privacy/audit/canary.h"
#include "privacy/audit/mechanism_test.h"
#include "privacy/dp/event.h"
#include "tests/unit/base/fixture.h"

#include <math.h>
#include <string.h>

#define ALARM   1e-10
#define CLIP    2.0
#define SIGMA   1.5
#define RATE    0.05
#define STEPS   200
#define CHARGED 2.6945468562025514 /* at DELTA: privacy_reference.json, poisson_gaussian */
#define DELTA   1e-6

#define PATIENTS 200 /* of the large loop, beside the canaries */
#define CANARIES 1000
#define WIDTH    1000 /* parameters */
#define PROBES   40   /* patients of the small loop, all alike: empty batches are common */
#define NARROW   8

enum fault {
    HEALTHY,
    NOISE_HALVED,
    NOISE_LEFT_OUT,
    CLIP_OFF,
    CLIP_AFTER_AVERAGING,
    SHUFFLED,
    SEED_REUSED,
    RATE_DOUBLED,
    BATCH_MEAN,
    EMPTY_BATCH_SILENT
};

enum alarm { NOISE = 1, EMPTY = 2, REPEAT = 4, SAMPLER = 8, MEAN = 16, CANARY = 32 };

struct loop {
    enum fault fault;
    size_t patients, width;
    float *gradients;  /* [patients, width] */
    uint8_t *included; /* [STEPS, patients] */
    double *sum;       /* [STEPS, width]: what a loop without faults would have added noise to */
    double *released;  /* [STEPS, width] */
    double batch_size[STEPS];
    uint64_t seed;
};

static void *array(size_t count, size_t bytes)
{
    void *p = csl_alloc_array(count, bytes);
    assert_non_null(p);
    return p;
}

static void loop_init(struct loop *l, enum fault fault, size_t patients, size_t width,
                      uint64_t seed)
{
    *l = (struct loop){.fault = fault, .patients = patients, .width = width, .seed = seed};
    l->gradients = array(patients * width, sizeof(float));
    l->included = array(STEPS * patients, 1);
    l->sum = array(STEPS * width, sizeof(double));
    l->released = array(STEPS * width, sizeof(double));
}

static void loop_release(struct loop *l)
{
    csl_free(l->gradients);
    csl_free(l->included);
    csl_free(l->sum);
    csl_free(l->released);
}

/* Epochs in random order, cut into batches of rate * patients; patients % batch is 0. */
static void sample_shuffled(struct loop *l)
{
    size_t batch = (size_t)(RATE * (double)l->patients + 0.5), at = l->patients;
    uint32_t *order = array(l->patients, sizeof(*order));
    struct csl_rng r;
    csl_rng_init_label(&r, l->seed, "test-only.shuffle", 0, 0, 0);
    for (size_t i = 0; i < l->patients; i++)
        order[i] = (uint32_t)i;
    for (size_t t = 0; t < STEPS; t++, at += batch) {
        if (at + batch > l->patients) {
            csl_rng_shuffle_u32(&r, order, l->patients);
            at = 0;
        }
        for (size_t i = 0; i < batch; i++)
            l->included[t * l->patients + order[at + i]] = 1;
    }
    csl_free(order);
}

static void sample(struct loop *l)
{
    double rate = l->fault == RATE_DOUBLED ? 2.0 * RATE : RATE;
    struct csl_rng r;
    csl_rng_init_label(&r, l->seed, "test-only.poisson", 0, 0, 0);
    if (l->fault == SHUFFLED)
        sample_shuffled(l);
    for (size_t k = 0; k < STEPS * l->patients && l->fault != SHUFFLED; k++)
        l->included[k] = csl_rng_uniform(&r) < rate;
}

static double length(const float *v, size_t n)
{
    double square = 0.0;
    for (size_t p = 0; p < n; p++)
        square += (double)v[p] * (double)v[p];
    return sqrt(square);
}

/* One step: clipped and raw sums of who was drawn, then what this loop makes of them. */
static void step(struct loop *l, size_t t, double *raw)
{
    double *sum = l->sum + t * l->width, *out = l->released + t * l->width, n = 0.0;
    double expected = RATE * (double)l->patients, raw_square = 0.0;
    memset(raw, 0, l->width * sizeof(*raw));
    for (size_t i = 0; i < l->patients; i++) {
        if (!l->included[t * l->patients + i])
            continue;
        const float *g = l->gradients + i * l->width;
        double scale = fmin(1.0, CLIP / length(g, l->width));
        for (size_t p = 0; p < l->width; p++) {
            sum[p] += scale * (double)g[p];
            raw[p] += (double)g[p];
        }
        n += 1.0;
    }
    l->batch_size[t] = n;
    for (size_t p = 0; p < l->width; p++)
        raw_square += raw[p] * raw[p];
    double mean_scale = n == 0.0 ? 0.0 : fmin(1.0, CLIP * n / sqrt(raw_square)) * expected / n;
    double std = SIGMA * CLIP;
    if (l->fault == NOISE_HALVED)
        std /= 2.0;
    if (l->fault == NOISE_LEFT_OUT || (l->fault == EMPTY_BATCH_SILENT && n == 0.0))
        std = 0.0;
    struct csl_rng r;
    csl_rng_init_label(&r, l->seed, "test-only.noise", l->fault == SEED_REUSED ? 0 : t, 0, 0);
    for (size_t p = 0; p < l->width; p++) {
        out[p] = sum[p];
        if (l->fault == CLIP_OFF)
            out[p] = raw[p];
        if (l->fault == CLIP_AFTER_AVERAGING)
            out[p] = raw[p] * mean_scale;
        if (l->fault == BATCH_MEAN && n > 0.0)
            out[p] = sum[p] / n * expected;
        out[p] += std * csl_rng_normal(&r);
    }
}

static void run(struct loop *l)
{
    double *raw = array(l->width, sizeof(*raw));
    sample(l);
    for (size_t t = 0; t < STEPS; t++)
        step(l, t, raw);
    csl_free(raw);
}

/* The noise of the steps `first`, first + stride, ...; of the empty batches alone where asked.
 * out: [STEPS, width]; returns how many numbers. */
static size_t noise_of(const struct loop *l, size_t first, size_t stride, bool only_empty,
                       double *out)
{
    size_t n = 0;
    for (size_t t = first; t < STEPS; t += stride)
        for (size_t p = 0; p < l->width && (!only_empty || l->batch_size[t] == 0.0); p++)
            out[n++] = l->released[t * l->width + p] - l->sum[t * l->width + p];
    return n;
}

static unsigned noise_alarms(const struct loop *l)
{
    double *a = array(STEPS * l->width, sizeof(*a)), *b = array(STEPS * l->width, sizeof(*b));
    unsigned alarms = 0;
    size_t n = noise_of(l, 0, 1, false, a);
    if (csl_mechanism_test_noise(a, n, SIGMA * CLIP) < ALARM)
        alarms |= NOISE;
    n = noise_of(l, 0, 2, false, a);
    assert_int_equal(noise_of(l, 1, 2, false, b), n);
    if (csl_mechanism_test_repeat(a, b, n, SIGMA * CLIP) < ALARM)
        alarms |= REPEAT;
    csl_free(b);
    csl_free(a);
    return alarms;
}

/* All patients have the same gradient of length 3 CLIP: batches that are empty, and a sum that is
 * CLIP times their size. */
static unsigned small_loop(enum fault fault)
{
    struct loop l;
    double along[STEPS], noise[STEPS * NARROW];
    loop_init(&l, fault, PROBES, NARROW, 31);
    for (size_t i = 0; i < PROBES; i++)
        l.gradients[i * NARROW] = (float)(3.0 * CLIP);
    run(&l);
    for (size_t t = 0; t < STEPS; t++)
        along[t] = l.released[t * NARROW];
    unsigned alarms = 0;
    if (csl_mechanism_test_batch_mean(along, l.batch_size, STEPS, CLIP, SIGMA * CLIP) < ALARM)
        alarms |= MEAN;
    size_t n = noise_of(&l, 0, 1, true, noise);
    if (fault != SHUFFLED)
        assert_true(n > 0);
    if (n > 0 && csl_mechanism_test_noise(noise, n, SIGMA * CLIP) < ALARM)
        alarms |= EMPTY;
    loop_release(&l);
    return alarms;
}

/* PATIENTS with random gradients above and below the clip, and the canaries that are in. */
static size_t large_gradients(struct loop *l, const struct csl_canaries *c)
{
    struct csl_rng r;
    csl_rng_init_label(&r, 31, "test-only.gradients", 0, 0, 0);
    for (size_t i = 0; i < PATIENTS; i++)
        for (size_t p = 0; p < WIDTH; p++)
            l->gradients[i * WIDTH + p] =
                (float)(csl_rng_normal(&r) * 3.0 * CLIP * (double)i / PATIENTS / sqrt(WIDTH));
    size_t n = PATIENTS;
    for (uint32_t i = 0; i < CANARIES; i++)
        if (csl_canaries_is_included(c, i))
            csl_canaries_gradient(c, i, l->gradients + WIDTH * n++);
    return n;
}

/* The adversary of the definition knows everybody else: the real patients' clipped sums are taken
 * off before scoring. */
static void score(const struct loop *l, struct csl_canaries *c)
{
    double *known = array(WIDTH, sizeof(*known));
    for (size_t t = 0; t < STEPS; t++) {
        memcpy(known, l->released + t * WIDTH, WIDTH * sizeof(*known));
        for (size_t i = 0; i < PATIENTS; i++) {
            const float *g = l->gradients + i * WIDTH;
            if (!l->included[t * l->patients + i])
                continue;
            double scale = fmin(1.0, CLIP / length(g, WIDTH));
            for (size_t p = 0; p < WIDTH; p++)
                known[p] -= scale * (double)g[p];
        }
        assert_int_equal(csl_canaries_score(c, known, NULL), CSL_OK);
    }
    csl_free(known);
}

static unsigned large_loop(enum fault fault, struct csl_audit_result *audit)
{
    struct csl_canaries *c = NULL;
    struct csl_rng r;
    struct loop l;
    csl_rng_init_label(&r, 31, "test-only.canaries", 0, 0, 0);
    assert_int_equal(csl_canaries_new(&c, &r, CANARIES, WIDTH, CLIP, NULL), CSL_OK);
    loop_init(&l, fault, PATIENTS + CANARIES, WIDTH, 31);
    size_t n = large_gradients(&l, c);
    l.patients = n - n % 20; /* so that the shuffled epochs come out even */
    run(&l);
    score(&l, c);
    assert_int_equal(csl_canaries_result(c, DELTA, 0.95, audit, NULL), CSL_OK);
    unsigned alarms = noise_alarms(&l);
    if (csl_mechanism_test_sampler(l.included, STEPS, l.patients, RATE) < ALARM)
        alarms |= SAMPLER;
    if (audit->epsilon_lower > CHARGED)
        alarms |= CANARY;
    loop_release(&l);
    csl_canaries_free(c);
    return alarms;
}

static void check(enum fault fault, unsigned expected)
{
    struct csl_audit_result audit;
    unsigned alarms = small_loop(fault) | large_loop(fault, &audit);
    print_message("alarms: %s%s%s%s%s%s; canaries: epsilon >= %.3f of %.3f charged\n",
                  alarms & NOISE ? "noise " : "", alarms & EMPTY ? "empty " : "",
                  alarms & REPEAT ? "repeat " : "", alarms & SAMPLER ? "sampler " : "",
                  alarms & MEAN ? "mean " : "", alarms & CANARY ? "canary " : "",
                  audit.epsilon_lower, CHARGED);
    if (fault == HEALTHY)
        assert_int_equal(alarms, 0);
    assert_int_equal(alarms & expected, expected);
}

#define CASE(name, fault, expected)                                                                \
    static void test_audit__##name(void **state)                                                   \
    {                                                                                              \
        (void)state;                                                                               \
        check(fault, expected);                                                                    \
    }
CASE(healthy_mechanism__raises_no_alarm, HEALTHY, 0)
CASE(noise_halved__is_caught_by_its_size, NOISE_HALVED, NOISE | EMPTY)
CASE(noise_left_out__is_caught_by_canaries, NOISE_LEFT_OUT, NOISE | EMPTY | CANARY)
CASE(clip_off__is_caught_by_canaries, CLIP_OFF, NOISE | CANARY)
CASE(clip_after_averaging__is_caught_by_noise, CLIP_AFTER_AVERAGING, NOISE | MEAN)
CASE(pitfall_3_shuffled_loader__is_caught_by_sampler, SHUFFLED, SAMPLER)
CASE(seed_reused__is_caught_by_repeat, SEED_REUSED, REPEAT)
CASE(rate_doubled__is_caught_by_sampler, RATE_DOUBLED, SAMPLER)
CASE(pitfall_4_realised_batch_size__is_caught_by_regression, BATCH_MEAN, MEAN)
CASE(pitfall_15_silent_empty_batch__is_caught_by_noise, EMPTY_BATCH_SILENT, EMPTY)

static void test_event__pitfall_3_amplification_for_shuffled__claim_is_refused(void **state)
{
    (void)state;
    struct csl_dp_event e = {.mechanism = CSL_DP_GAUSSIAN,
                             .sampler = CSL_DP_SHUFFLED,
                             .noise_multiplier = SIGMA,
                             .sampling_rate = csl_dp_rate(RATE),
                             .steps = STEPS};
    assert_int_equal(csl_dp_event_check(&e, NULL), CSL_E_INVAL);
    e.sampler = CSL_DP_POISSON;
    assert_int_equal(csl_dp_event_check(&e, NULL), CSL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit__healthy_mechanism__raises_no_alarm),
        cmocka_unit_test(test_audit__noise_halved__is_caught_by_its_size),
        cmocka_unit_test(test_audit__noise_left_out__is_caught_by_canaries),
        cmocka_unit_test(test_audit__clip_off__is_caught_by_canaries),
        cmocka_unit_test(test_audit__clip_after_averaging__is_caught_by_noise),
        cmocka_unit_test(test_audit__pitfall_3_shuffled_loader__is_caught_by_sampler),
        cmocka_unit_test(test_audit__seed_reused__is_caught_by_repeat),
        cmocka_unit_test(test_audit__rate_doubled__is_caught_by_sampler),
        cmocka_unit_test(test_audit__pitfall_4_realised_batch_size__is_caught_by_regression),
        cmocka_unit_test(test_audit__pitfall_15_silent_empty_batch__is_caught_by_noise),
        cmocka_unit_test(test_event__pitfall_3_amplification_for_shuffled__claim_is_refused),
    };
    return cmocka_run_group_tests_name("audit_power", tests, NULL, NULL);
}
