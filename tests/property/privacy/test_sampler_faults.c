/* Faults that samplers of this kind have had, put in on purpose: the comparisons that the right
 * samplers pass (test_samplers.c, the same limits and sample sizes) must find each of them. */
#include "privacy/crypto/init.h"
#include "privacy/dp/discrete_gaussian.h"
#include "privacy/dp/discrete_laplace.h"
#include "tests/unit/privacy/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 1000000, SLOW_COUNT = 200000 };

static int64_t x[COUNT];
static struct distribution law;
static struct csl_rng rng;

enum fault { NONE, ZERO_DOUBLED, T_OFF_BY_ONE, WRAP_AT_64_BITS, REJECTED_TOO_RARELY };

/* Algorithm 3 of Canonne, Kamath and Steinke in doubles, for tests alone. `square` wraps like an
 * unsigned 64-bit product when told to. */
static void draw(enum fault fault, double sigma, int64_t *out, size_t n)
{
    uint64_t t = (uint64_t)floor(sigma) + 1;
    for (size_t i = 0; i < n;) {
        int64_t y = csl_discrete_laplace_draw(&rng, t, 1);
        if (fault == ZERO_DOUBLED && y != 0 && (csl_rng_u64(&rng) & 1))
            continue;
        double assumed = (double)t + (fault == T_OFF_BY_ONE ? 1 : 0);
        double off = fabs((double)y) - sigma * sigma / assumed, square = off * off;
        if (fault == WRAP_AT_64_BITS)
            square = (double)((uint64_t)fabs(off) * (uint64_t)fabs(off));
        if (fault == REJECTED_TOO_RARELY)
            square *= 0.9;
        if (csl_rng_uniform(&rng) < exp(-square / (2 * sigma * sigma)))
            out[i++] = y;
    }
}

static void test_pitfall_11__wrap_at_64_bits__is_detected(void **state)
{
    (void)state;
    csl_rng_init_label(&rng, 21, "fault", 0, 0, 0);
    double sigma = 0x1p33;
    draw(NONE, sigma, x, SLOW_COUNT);
    assert_true(fit_normal(sigma, x, SLOW_COUNT) < 1.0);
    draw(WRAP_AT_64_BITS, sigma, x, SLOW_COUNT);
    assert_true(fit_normal(sigma, x, SLOW_COUNT) > 1.0);
}

static void faulty_small(enum fault fault, bool detected)
{
    static const double sigma[] = {0.8, 2.5, 6.0};
    for (size_t i = 0; i < sizeof(sigma) / sizeof(sigma[0]); i++) {
        csl_rng_init_label(&rng, 22, "fault", i, (uint64_t)fault, 0);
        distribution_discrete_gaussian(&law, (long double)(sigma[i] * sigma[i]));
        draw(fault, sigma[i], x, SLOW_COUNT);
        assert_true((fit(&law, x, SLOW_COUNT) > 1.0) == detected);
    }
}

static void test_pitfall_11__zero_doubled__is_detected(void **state)
{
    (void)state;
    faulty_small(NONE, false);
    faulty_small(ZERO_DOUBLED, true);
}

static void test_pitfall_11__t_off_by_one__is_detected(void **state)
{
    (void)state;
    faulty_small(T_OFF_BY_ONE, true);
}

static void test_pitfall_11__rejected_too_rarely__is_detected(void **state)
{
    (void)state;
    faulty_small(REJECTED_TOO_RARELY, true);
}

static void test_pitfall_11__other_variance__is_detected(void **state)
{
    (void)state;
    struct csl_discrete_gaussian g;
    csl_rng_init_label(&rng, 23, "fault", 0, 0, 0);
    /* half of it */
    assert_int_equal(csl_discrete_gaussian_init(&g, 1, 39, NULL), CSL_OK);
    csl_discrete_gaussian_fill(&rng, &g, x, COUNT);
    csl_discrete_gaussian_release(&g);
    assert_true(fit_normal(0x1p20, x, COUNT) > 1.0);
    assert_true(moments_off(0, 0x1p40, x, COUNT) > NORMAL_LIMIT);
    /* 2 % less: sigma 1 % less */
    assert_int_equal(csl_discrete_gaussian_init(&g, 980000, 0, NULL), CSL_OK);
    csl_discrete_gaussian_fill(&rng, &g, x, COUNT);
    csl_discrete_gaussian_release(&g);
    assert_true(fit_normal(1000, x, COUNT) > 1.0);
    assert_true(moments_off(0, 1e6, x, COUNT) > NORMAL_LIMIT);
}

static void test_pitfall_11__one_sign_too_often__is_detected(void **state)
{
    (void)state;
    struct csl_discrete_gaussian g;
    csl_rng_init_label(&rng, 24, "fault", 0, 0, 0);
    assert_int_equal(csl_discrete_gaussian_init(&g, 16, 0, NULL), CSL_OK);
    csl_discrete_gaussian_fill(&rng, &g, x, COUNT);
    csl_discrete_gaussian_release(&g);
    for (size_t i = 0; i < COUNT; i += 50)
        x[i] = x[i] < 0 ? -x[i] : x[i]; /* 1 % of the samples lose a minus */
    distribution_discrete_gaussian(&law, 16);
    assert_true(fit(&law, x, COUNT) > 1.0);
    assert_true(moments_off(0, 16, x, COUNT) > NORMAL_LIMIT);
}

static void test_pitfall_12__modulo_bias__is_detected(void **state)
{
    (void)state;
    csl_rng_init_label(&rng, 25, "fault", 0, 0, 0);
    for (size_t i = 0; i < COUNT; i++) /* a 12-bit word: 208 residues have 17 words, 35 have 16 */
        x[i] = (int64_t)((csl_rng_u64(&rng) & 0xfff) % 243);
    assert_true(fit_residues(243, x, COUNT) > 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pitfall_11__wrap_at_64_bits__is_detected),
        cmocka_unit_test(test_pitfall_11__zero_doubled__is_detected),
        cmocka_unit_test(test_pitfall_11__t_off_by_one__is_detected),
        cmocka_unit_test(test_pitfall_11__rejected_too_rarely__is_detected),
        cmocka_unit_test(test_pitfall_11__other_variance__is_detected),
        cmocka_unit_test(test_pitfall_11__one_sign_too_often__is_detected),
        cmocka_unit_test(test_pitfall_12__modulo_bias__is_detected),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
