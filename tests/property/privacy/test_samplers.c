/* Samplers against their distributions. Fixed seeds. Each comparison is passed by a right sampler
 * with probability 1 - 1e-9 at least (the limits of tests/unit/privacy/distribution.h); what the
 * same comparisons catch is in test_sampler_faults.c. */
#include "privacy/crypto/init.h"
#include "privacy/dp/discrete_gaussian.h"
#include "privacy/dp/discrete_laplace.h"
#include "privacy/dp/skellam.h"
#include "tests/unit/privacy/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { COUNT = 1000000, SLOW_COUNT = 200000 };

static int64_t x[COUNT], y[COUNT];
static struct distribution law;
static struct csl_rng rng;

static void fast(uint64_t mantissa, int exponent, int64_t *out, size_t n)
{
    struct csl_discrete_gaussian g;
    assert_int_equal(csl_discrete_gaussian_init(&g, mantissa, exponent, NULL), CSL_OK);
    csl_discrete_gaussian_fill(&rng, &g, out, n);
    csl_discrete_gaussian_release(&g);
}

static void slow(uint64_t mantissa, int exponent, int64_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = csl_discrete_gaussian_draw_cks(&rng, mantissa, exponent);
}

static void is_law(const int64_t *values, size_t n)
{
    assert_true(fit(&law, values, n) < 1.0);
    if ((double)law.variance * (double)n > 1000)
        assert_true(moments_off((double)law.mean, (double)law.variance, values, n) < NORMAL_LIMIT);
}

static void test_pitfall_11__small_sigma__pmf_is_exact(void **state)
{
    (void)state;
    /* v = i / 64: sigma .125 to 10 */
    static const uint64_t v64[] = {1, 4, 16, 40, 64, 100, 256, 1024, 6400};
    for (size_t i = 0; i < sizeof(v64) / sizeof(v64[0]); i++) {
        csl_rng_init_label(&rng, 11, "small", i, 0, 0);
        distribution_discrete_gaussian(&law, (long double)v64[i] / 64);
        fast(v64[i], -6, x, COUNT);
        is_law(x, COUNT);
        slow(v64[i], -6, y, SLOW_COUNT);
        is_law(y, SLOW_COUNT);
    }
}

/* The width of a block turns from 1 to 2 between sigma 64 and 91. */
static void test_discrete_gaussian__between_table_and_blocks__pmf_is_exact(void **state)
{
    (void)state;
    static const uint64_t v[] = {4000, 4095, 4096, 5000, 8191, 8192};
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        csl_rng_init_label(&rng, 12, "middle", i, 0, 0);
        distribution_discrete_gaussian(&law, (long double)v[i]);
        fast(v[i], 0, x, COUNT);
        is_law(x, COUNT);
    }
}

static void test_pitfall_11__large_sigma__chi_square_and_moments(void **state)
{
    (void)state;
    /* sigma 1000, 2^20, 2^33, 2^40 and an odd one */
    static const uint64_t mantissa[] = {1000000, 1, 1, 1, UINT64_C(0xc0ffee1234567891)};
    static const int exponent[] = {0, 40, 66, 80, -11};
    for (size_t i = 0; i < sizeof(mantissa) / sizeof(mantissa[0]); i++) {
        csl_rng_init_label(&rng, 13, "large", i, 0, 0);
        double v = ldexp((double)mantissa[i], exponent[i]);
        fast(mantissa[i], exponent[i], x, COUNT);
        assert_true(fit_normal(sqrt(v), x, COUNT) < 1.0);
        assert_true(moments_off(0, v, x, COUNT) < NORMAL_LIMIT);
        assert_true(fit_residues(256, x, COUNT) < 1.0);
        assert_true(fit_residues(243, x, COUNT) < 1.0);
        slow(mantissa[i], exponent[i], y, SLOW_COUNT);
        assert_true(fit_normal(sqrt(v), y, SLOW_COUNT) < 1.0);
        assert_true(moments_off(0, v, y, SLOW_COUNT) < NORMAL_LIMIT);
        assert_true(fit_residues(256, y, SLOW_COUNT) < 1.0);
        assert_true(fit_two((int64_t)(sqrt(v) / 32), x, y, SLOW_COUNT) < 1.0);
    }
}

static void test_discrete_gaussian__neighbours_in_a_vector__are_independent(void **state)
{
    (void)state;
    csl_rng_init_label(&rng, 14, "pairs", 0, 0, 0);
    fast(1, 20, x, COUNT);
    double sum = 0; /* of products: standard deviation sigma^2 sqrt(n) */
    for (size_t i = 0; i + 1 < COUNT; i++)
        sum += (double)x[i] * (double)x[i + 1];
    assert_true(fabs(sum) < NORMAL_LIMIT * 0x1p20 * sqrt(COUNT));
}

static void test_discrete_laplace__scales__pmf_is_exact(void **state)
{
    (void)state;
    static const uint64_t num[] = {1, 1, 1, 3, 10, 30}, den[] = {3, 2, 1, 2, 3, 1};
    for (size_t i = 0; i < sizeof(num) / sizeof(num[0]); i++) {
        csl_rng_init_label(&rng, 15, "laplace", i, 0, 0);
        distribution_discrete_laplace(&law, (long double)num[i] / (long double)den[i]);
        csl_discrete_laplace_fill(&rng, num[i], den[i], x, SLOW_COUNT);
        is_law(x, SLOW_COUNT);
    }
    /* Scale 2^40: |x| is exponential, so that 64 exp(-|x| / scale) is uniform on [0, 64). */
    csl_discrete_laplace_fill(&rng, UINT64_C(1) << 40, 1, x, SLOW_COUNT);
    assert_true(fit_residues(256, x, SLOW_COUNT) < 1.0);
    for (size_t i = 0; i < SLOW_COUNT; i++)
        y[i] = (int64_t)(64 * exp(-fabs((double)x[i]) * 0x1p-40)) % 64;
    assert_true(fit_residues(64, y, SLOW_COUNT) < 1.0);
    assert_true(moments_off(0, 0x1p81, x, SLOW_COUNT) < NORMAL_LIMIT);
}

static void test_skellam__variances__pmf_is_exact(void **state)
{
    (void)state;
    static const int log2[] = {-6, -3, 0, 2, 6, 10};
    for (size_t i = 0; i < sizeof(log2) / sizeof(log2[0]); i++) {
        struct csl_skellam s;
        csl_rng_init_label(&rng, 16, "skellam", i, 0, 0);
        distribution_skellam(&law, ldexpl(3, log2[i] - 2));
        assert_int_equal(csl_skellam_init(&s, 3, log2[i] - 2, NULL), CSL_OK);
        csl_skellam_fill(&rng, &s, x, COUNT);
        csl_skellam_release(&s);
        is_law(x, COUNT);
    }
}

/* At variance 2^20 the excess kurtosis, 2^-20, is far below what 10^6 samples see. */
static void test_skellam__largest_variance__chi_square_and_moments(void **state)
{
    (void)state;
    struct csl_skellam s;
    csl_rng_init_label(&rng, 17, "skellam", 0, 0, 0);
    assert_int_equal(csl_skellam_init(&s, 1, 20, NULL), CSL_OK);
    csl_skellam_fill(&rng, &s, x, COUNT);
    csl_skellam_release(&s);
    assert_true(fit_normal(1024, x, COUNT) < 1.0);
    assert_true(moments_off(0, 0x1p20, x, COUNT) < NORMAL_LIMIT);
    assert_true(fit_residues(64, x, COUNT) < 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pitfall_11__small_sigma__pmf_is_exact),
        cmocka_unit_test(test_discrete_gaussian__between_table_and_blocks__pmf_is_exact),
        cmocka_unit_test(test_pitfall_11__large_sigma__chi_square_and_moments),
        cmocka_unit_test(test_discrete_gaussian__neighbours_in_a_vector__are_independent),
        cmocka_unit_test(test_discrete_laplace__scales__pmf_is_exact),
        cmocka_unit_test(test_skellam__variances__pmf_is_exact),
        cmocka_unit_test(test_skellam__largest_variance__chi_square_and_moments),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
