/* Poisson sampling: the rate that is priced is the rate that ran. */
#include "privacy/crypto/init.h"
#include "privacy/dp/event.h"
#include "privacy/dp/poisson_sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { UNITS = 2000, STEPS = 1000 };

static uint32_t chosen[UNITS];

/* Unit i against the definition: its 64-bit word below rate * 2^64. */
static void test_poisson_sample__every_unit__compares_its_word_with_the_rate(void **state)
{
    (void)state;
    static const double rates[] = {0.5, 0.001, 0x1p-64, 0.9999999, 1.0 - 0x1p-53};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        double rate = csl_dp_rate(rates[i]);
        struct csl_rng a, b;
        csl_rng_init_label(&a, 1, "sample", i, 0, 0);
        csl_rng_init_label(&b, 1, "sample", i, 0, 0);
        size_t n = 0, at = 0;
        assert_int_equal(csl_poisson_sample(&a, rate, UNITS, chosen, &n, NULL), CSL_OK);
        for (uint32_t unit = 0; unit < UNITS; unit++) {
            bool in = (long double)csl_rng_u64(&b) < ldexpl((long double)rate, 64);
            if (in) {
                assert_true(at < n);
                assert_int_equal(chosen[at], unit);
                at++;
            }
        }
        assert_int_equal(at, n);
    }
}

static void test_poisson_sample__word_at_the_rate__is_the_first_left_out(void **state)
{
    (void)state;
    static const double rates[] = {0x1p-64, 0x1.8p-3, 0x1.fffffffffffffp-1, 0x1.23456789abcdep-9};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct csl_rng r;
        uint64_t below = (uint64_t)ldexp(rates[i], 64);
        uint64_t words[] = {below, below - 1, below + 1, 0, UINT64_MAX, below - 1};
        csl_rng_init_label(&r, 5, "words", 0, 0, 0);
        r.used = 0; /* a stream that begins with these words */
        memcpy(r.buffer, words, sizeof(words));
        size_t n = 0;
        assert_int_equal(csl_poisson_sample(&r, rates[i], 6, chosen, &n, NULL), CSL_OK);
        assert_int_equal(n, 3);
        assert_true(chosen[0] == 1 && chosen[1] == 3 && chosen[2] == 5);
    }
}

static void test_poisson_sample__rate_1__is_everyone(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 2, "sample", 0, 0, 0);
    size_t n = 0;
    assert_int_equal(csl_poisson_sample(&r, 1.0, UNITS, chosen, &n, NULL), CSL_OK);
    assert_int_equal(n, UNITS);
    for (uint32_t i = 0; i < UNITS; i++)
        assert_int_equal(chosen[i], i);
    assert_int_equal(csl_poisson_sample(&r, 0.5, 0, chosen, &n, NULL), CSL_OK);
    assert_int_equal(n, 0);
}

/* Chernoff: Bin(1000, .1) is 9 standard errors above its mean with probability below 4e-15 and a
 * pair's Bin(1000, .01) 12 with less, so that one of the 4000 counts is with less than 1e-10. The
 * variance of 1000 sizes is off by a third with less than 1e-9 (Laurent and Massart: 2 sqrt(1000 t)
 * + 2 t of 1000, t = ln 1e9, is .33). */
static void test_poisson_sample__many_steps__units_and_neighbours_are_independent(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 3, "sample", 0, 0, 0);
    static double taken[UNITS], together[UNITS];
    double rate = csl_dp_rate(0.1), size = 0, square = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t n;
        assert_int_equal(csl_poisson_sample(&r, rate, UNITS, chosen, &n, NULL), CSL_OK);
        for (size_t i = 0; i < n; i++) {
            taken[chosen[i]] += 1;
            if (i > 0 && chosen[i] == chosen[i - 1] + 1)
                together[chosen[i]] += 1;
        }
        size += (double)n;
        square += (double)n * (double)n;
    }
    double each = sqrt(STEPS * rate * (1 - rate)), both = rate * rate;
    for (size_t i = 0; i < UNITS; i++) {
        assert_true(fabs(taken[i] - STEPS * rate) < 9 * each);
        if (i > 0)
            assert_true(together[i] < STEPS * both + 12 * sqrt(STEPS * both * (1 - both)));
    }
    /* A fixed-size or shuffled sampler has no spread in the size; this one has a binomial's. */
    double mean = size / STEPS, variance = square / STEPS - mean * mean;
    double want = UNITS * rate * (1 - rate);
    assert_true(fabs(mean - UNITS * rate) < 6.2 * sqrt(want / STEPS));
    assert_true(fabs(variance - want) < 0.35 * want);
}

static void test_poisson_sample__wrong_rate__is_refused(void **state)
{
    (void)state;
    static const double wrong[] = {0.0, -0.5, 1.0000001, 0x1p-65, 0x1.8p-64};
    struct csl_rng r;
    csl_rng_init_label(&r, 4, "sample", 0, 0, 0);
    size_t n = 77;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(csl_poisson_sample(&r, wrong[i], UNITS, chosen, &n, NULL), CSL_E_INVAL);
    assert_int_equal(csl_poisson_sample(&r, (double)NAN, UNITS, chosen, &n, NULL), CSL_E_INVAL);
    assert_int_equal(n, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poisson_sample__every_unit__compares_its_word_with_the_rate),
        cmocka_unit_test(test_poisson_sample__word_at_the_rate__is_the_first_left_out),
        cmocka_unit_test(test_poisson_sample__rate_1__is_everyone),
        cmocka_unit_test(test_poisson_sample__many_steps__units_and_neighbours_are_independent),
        cmocka_unit_test(test_poisson_sample__wrong_rate__is_refused),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
