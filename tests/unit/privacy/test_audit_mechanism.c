/* Each p-value must be a p-value: below alpha in at most alpha of the healthy runs; and it must be
 * small where it should. At most limit() of 420 runs lie below 0.05, but for 1e-9. */
#include "base/mem.h"
#include "privacy/audit/mechanism_test.h"
#include "privacy/audit/tail_internal.h"
#include "privacy/crypto/rng.h"
#include "tests/unit/base/fixture.h"

#include <math.h>

#define RUNS 420
#define N    200

static uint64_t limit(void)
{
    uint64_t k = 0;
    while (csl_audit__binomial_log_upper(k + 1, RUNS, 0.05, 0.95) > log(1e-9))
        k++;
    return k;
}

static void normals(struct csl_rng *r, double std, double *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = std * csl_rng_normal(r);
}

/* Exact tests reject 5 %, so between the limits on both sides. */
static void assert_calibrated(uint64_t below)
{
    assert_true(below <= limit());
    assert_true(below >= 1); /* (1 - 0.05)^420 = 4e-10 */
}

static void test_noise__healthy__p_is_calibrated(void **state)
{
    (void)state;
    double noise[N];
    uint64_t below = 0;
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 1, 0, 0);
    for (int run = 0; run < RUNS; run++) {
        normals(&r, 3.0, noise, N);
        below += csl_mechanism_test_noise(noise, N, 3.0) < 0.05;
    }
    assert_calibrated(below);
}

static void test_noise__too_little_or_too_much__tiny_p(void **state)
{
    (void)state;
    double noise[N];
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 2, 0, 0);
    normals(&r, 1.0, noise, N);
    assert_true(csl_mechanism_test_noise(noise, N, 2.0) < 1e-10);
    assert_true(csl_mechanism_test_noise(noise, N, 0.5) < 1e-10);
    assert_true(csl_mechanism_test_noise(noise, N, 1.0) > 1e-9);
    assert_true(csl_mechanism_test_noise((double[4]){0.0}, 4, 1.0) == 0.0);
    assert_true(csl_mechanism_test_noise((double[2]){(double)NAN, 1.0}, 2, 1.0) == 0.0);
}

static void test_repeat__independent__p_is_calibrated(void **state)
{
    (void)state;
    double a[N], b[N];
    uint64_t below = 0;
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 3, 0, 0);
    for (int run = 0; run < RUNS; run++) {
        normals(&r, 3.0, a, N);
        normals(&r, 3.0, b, N);
        below += csl_mechanism_test_repeat(a, b, N, 3.0) < 0.05;
    }
    assert_calibrated(below);
}

static void test_repeat__same_or_turned__tiny_p(void **state)
{
    (void)state;
    double a[N], b[N];
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 4, 0, 0);
    normals(&r, 1.0, a, N);
    for (size_t i = 0; i < N; i++)
        b[i] = -a[i];
    assert_true(csl_mechanism_test_repeat(a, a, N, 1.0) < 1e-10);
    assert_true(csl_mechanism_test_repeat(a, b, N, 1.0) < 1e-10);
}

static void draw(struct csl_rng *r, uint8_t *included, size_t steps, size_t units, double rate)
{
    for (size_t i = 0; i < steps * units; i++)
        included[i] = csl_rng_uniform(r) < rate;
}

/* Four discrete tests and a correction: at most 5 %. */
static void test_sampler__poisson__p_is_valid(void **state)
{
    (void)state;
    uint8_t included[40 * 50];
    uint64_t below = 0;
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 5, 0, 0);
    for (int run = 0; run < RUNS; run++) {
        draw(&r, included, 40, 50, 0.2);
        below += csl_mechanism_test_sampler(included, 40, 50, 0.2) < 0.05;
    }
    assert_true(below <= limit());
}

static void test_sampler__wrong_rate__tiny_p(void **state)
{
    (void)state;
    uint8_t included[40 * 50];
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 6, 0, 0);
    draw(&r, included, 40, 50, 0.2);
    assert_true(csl_mechanism_test_sampler(included, 40, 50, 0.1) < 1e-10);
    assert_true(csl_mechanism_test_sampler(included, 40, 50, 0.4) < 1e-10);
}

/* A subset of exactly 10 in every step: only the spread of the batches tells. */
static void test_sampler__fixed_size__tiny_p(void **state)
{
    (void)state;
    uint8_t included[60 * 50] = {0};
    uint32_t order[50];
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 7, 0, 0);
    for (uint32_t i = 0; i < 50; i++)
        order[i] = i;
    for (size_t t = 0; t < 60; t++) {
        csl_rng_shuffle_u32(&r, order, 50);
        for (size_t i = 0; i < 10; i++)
            included[t * 50 + order[i]] = 1;
    }
    assert_true(csl_mechanism_test_sampler(included, 60, 50, 0.2) < 1e-9);
}

/* Batches of the right sizes whose members stay for two steps: only the overlap tells. */
static void test_sampler__batch_used_twice__tiny_p(void **state)
{
    (void)state;
    uint8_t included[60 * 50];
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 8, 0, 0);
    draw(&r, included, 60, 50, 0.2);
    for (size_t t = 0; t < 60; t += 2)
        for (size_t u = 0; u < 50; u++)
            included[(t + 1) * 50 + u] = included[t * 50 + u];
    assert_true(csl_mechanism_test_sampler(included, 60, 50, 0.2) < 1e-10);
}

static void test_sampler__full_batch__everybody_or_nothing(void **state)
{
    (void)state;
    uint8_t included[2 * 3] = {1, 1, 1, 1, 1, 1};
    assert_true(csl_mechanism_test_sampler(included, 2, 3, 1.0) == 1.0);
    included[4] = 0;
    assert_true(csl_mechanism_test_sampler(included, 2, 3, 1.0) == 0.0);
}

static void batches(struct csl_rng *r, double *size)
{
    for (size_t i = 0; i < N; i++) {
        size[i] = 0.0;
        for (int u = 0; u < 40; u++)
            size[i] += csl_rng_uniform(r) < 0.25;
    }
}

static void test_batch_mean__public_divisor__p_is_calibrated(void **state)
{
    (void)state;
    double size[N], released[N];
    uint64_t below = 0;
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 9, 0, 0);
    for (int run = 0; run < RUNS; run++) {
        batches(&r, size);
        normals(&r, 1.5, released, N);
        for (size_t i = 0; i < N; i++)
            released[i] += 0.7 * size[i];
        below += csl_mechanism_test_batch_mean(released, size, N, 0.7, 1.5) < 0.05;
    }
    assert_calibrated(below);
}

static void test_batch_mean__realised_divisor__tiny_p(void **state)
{
    (void)state;
    double size[N], released[N];
    struct csl_rng r;
    csl_rng_init_label(&r, 8, "test-only.mechanism", 10, 0, 0);
    batches(&r, size);
    normals(&r, 1.0, released, N);
    for (size_t i = 0; i < N; i++)
        released[i] += 10.0; /* the mean is 1 whatever the size, times 10 expected */
    assert_true(csl_mechanism_test_batch_mean(released, size, N, 1.0, 1.0) < 1e-10);
    for (size_t i = 0; i < N; i++)
        size[i] = 10.0;
    assert_true(csl_mechanism_test_batch_mean(released, size, N, 1.0, 1.0) == 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise__healthy__p_is_calibrated),
        cmocka_unit_test(test_noise__too_little_or_too_much__tiny_p),
        cmocka_unit_test(test_repeat__independent__p_is_calibrated),
        cmocka_unit_test(test_repeat__same_or_turned__tiny_p),
        cmocka_unit_test(test_sampler__poisson__p_is_valid),
        cmocka_unit_test(test_sampler__wrong_rate__tiny_p),
        cmocka_unit_test(test_sampler__fixed_size__tiny_p),
        cmocka_unit_test(test_sampler__batch_used_twice__tiny_p),
        cmocka_unit_test(test_sampler__full_batch__everybody_or_nothing),
        cmocka_unit_test(test_batch_mean__public_divisor__p_is_calibrated),
        cmocka_unit_test(test_batch_mean__realised_divisor__tiny_p),
    };
    return cmocka_run_group_tests_name("audit_mechanism", tests, NULL, NULL);
}
