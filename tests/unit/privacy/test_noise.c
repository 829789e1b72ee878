/* Clipping, rounding and noise on the grid. */
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/dp/noise.h"
#include "tests/unit/privacy/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIMENSIONS = 200000 };

static int64_t sum[DIMENSIONS], other[DIMENSIONS];
static float vector[DIMENSIONS], released[DIMENSIONS];

static void plan(struct csl_noise *n, double clip, double multiplier, uint64_t dimensions)
{
    assert_int_equal(csl_noise_plan(n, clip, multiplier, dimensions, NULL), CSL_OK);
}

/* The squared norm in grid units, exactly. */
static csl_u128 square_of(const int64_t *z, size_t count)
{
    csl_u128 square = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t size = (uint64_t)(z[i] < 0 ? -z[i] : z[i]);
        square += (csl_u128)size * size;
    }
    return square;
}

static bool is_within(const struct csl_noise *n, const int64_t *z, size_t count)
{
    return square_of(z, count) <= (csl_u128)n->l2_units * n->l2_units;
}

static void test_noise_plan__clips_and_multipliers__grid_and_event_hold(void **state)
{
    (void)state;
    static const double clips[] = {0x1p-60, 1e-3, 0.7, 1.0, 1.5, 3.1415926, 1e6, 0x1p60};
    static const double multipliers[] = {0x1p-16, 0.01, 0.3, 1.0, 1.1, 20.0, 1e4, 0x1p18};
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < 8; j++) {
            struct csl_noise n;
            plan(&n, clips[i], multipliers[j], 1000 + i);
            int exponent;
            assert_true(frexp(n.unit, &exponent) == 0.5); /* a power of two */
            assert_true(clips[i] / n.unit >= 0x1p20);
            assert_true(n.l2_units == (uint64_t)floor(clips[i] / n.unit));
            assert_true(n.std_units >= 0x1p18 && n.std_units < 0x1p40);
            long double charged = (long double)multipliers[j] * (long double)n.l2_units;
            assert_true((long double)n.std_units >= charged);
            assert_true((long double)n.std_units <= charged * (1 + 0x1p-52L));
            long double v = ldexpl((long double)n.gaussian.mantissa, n.gaussian.exponent);
            long double square = (long double)n.std_units * (long double)n.std_units;
            assert_true(v >= square * (1 - 0x1p-63L) && v <= square * (1 + 0x1p-51L));
            struct csl_dp_event e = {.sampler = CSL_DP_POISSON, .sampling_rate = 0.5, .steps = 9};
            csl_noise_event(&n, &e);
            assert_int_equal(csl_dp_event_check(&e, NULL), CSL_OK);
            assert_int_equal(e.mechanism, CSL_DP_DISCRETE_GAUSSIAN);
            assert_int_equal(e.dimensions, 1000 + i);
            assert_true(e.steps == 9 && e.sampling_rate == 0.5);
            assert_true(e.noise_multiplier >= multipliers[j] * (1 - 0x1p-52));
            assert_true((long double)e.noise_multiplier * (long double)e.l2_units <=
                        (long double)e.std_units);
            assert_true((long double)e.l1_units >=
                        sqrtl((long double)(1000 + i)) * (long double)n.l2_units);
            csl_noise_release(&n);
        }
    }
}

static void test_noise_plan__out_of_range__is_refused(void **state)
{
    (void)state;
    struct csl_noise n;
    static const double clips[] = {0.0, -1.0, 0x1p-61, 0x1p61, (double)INFINITY, (double)NAN};
    for (size_t i = 0; i < sizeof(clips) / sizeof(clips[0]); i++)
        assert_int_equal(csl_noise_plan(&n, clips[i], 1.0, 10, NULL), CSL_E_INVAL);
    static const double multipliers[] = {0.0, -1.0, 0x1p-17, 0x1p19, (double)INFINITY, (double)NAN};
    for (size_t i = 0; i < sizeof(multipliers) / sizeof(multipliers[0]); i++)
        assert_int_equal(csl_noise_plan(&n, 1.0, multipliers[i], 10, NULL), CSL_E_INVAL);
    assert_int_equal(csl_noise_plan(&n, 1.0, 1.0, 0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_noise_plan(&n, 1.0, 1.0, (UINT64_C(1) << 32) + 1, NULL), CSL_E_INVAL);
}

/* Vectors made to round up as far as they can, at and around the clipping norm. */
static void test_pitfall_21__worst_case_vectors__norm_is_within_l2_units(void **state)
{
    (void)state;
    static const uint64_t dimensions[] = {1, 2, 3, 1000, DIMENSIONS};
    static const double clips[] = {1.0, 1.9999999, 0.1};
    struct csl_rng r;
    csl_rng_init_label(&r, 21, "worst", 0, 0, 0);
    for (size_t i = 0; i < 15; i++) {
        struct csl_noise n;
        uint64_t d = dimensions[i / 3];
        plan(&n, clips[i % 3], 0x1p18, d); /* the coarsest grid there is: 2^20 units */
        for (int kind = 0; kind < 8; kind++) {
            double each = clips[i % 3] / sqrt((double)d);
            for (uint64_t k = 0; k < d; k++) {
                double v = each;
                if (kind == 1) /* to the middle between two grid points, and above */
                    v = (floor(each / n.unit) + 0.50001) * n.unit;
                else if (kind == 2)
                    v = k % 2 ? each : -each;
                else if (kind == 3)
                    v = 1e30;
                else if (kind == 4)
                    v = each * (csl_rng_uniform(&r) * 2 - 1) * 1.7;
                else if (kind == 5)
                    v = k == 0 ? clips[i % 3] : n.unit * 0.50001;
                else if (kind == 6)
                    v = (double)3.4e38F;
                else if (kind == 7)
                    v = n.unit * 0.50001;
                vector[k] = (float)v;
            }
            memset(sum, 0, d * sizeof(sum[0]));
            assert_true(csl_noise_round(&n, vector, d, sum));
            assert_true(is_within(&n, sum, d));
        }
        csl_noise_release(&n);
    }
}

/* A vector of fewer coordinates than were planned is one that ends in zeros, but for the room that
 * rounding is given: (sqrt(1000) - sqrt(300)) / 2 = 7.2 units of the whole length. */
static void test_noise__fewer_coordinates__are_a_vector_that_ends_in_zeros(void **state)
{
    (void)state;
    enum { FEW = 300, ALL = 1000 };
    static int64_t whole[ALL], part[FEW];
    struct csl_noise n;
    plan(&n, 1.0, 0x1p18, ALL);
    for (double each = 0.001; each < 10; each *= 3) {
        memset(vector, 0, ALL * sizeof(vector[0]));
        memset(whole, 0, sizeof(whole));
        memset(part, 0, sizeof(part));
        for (size_t i = 0; i < FEW; i++)
            vector[i] = (float)(i % 3 == 0 ? -each : each * (double)i / FEW);
        assert_true(csl_noise_round(&n, vector, FEW, part));
        assert_true(is_within(&n, part, FEW));
        assert_true(csl_noise_round(&n, vector, ALL, whole));
        for (size_t i = 0; i < ALL; i++)
            assert_true(llabs(whole[i] - (i < FEW ? part[i] : 0)) <= 8);
    }
    csl_noise_release(&n);
}

/* Equal coordinates in many dimensions: after the clip all of them round the same way, up in half
 * of the cases. The norm is within l2_units, and what is set aside for that is no more than stated.
 */
static void test_pitfall_21__all_round_up__norm_is_within_and_close_to_l2_units(void **state)
{
    (void)state;
    struct csl_noise n;
    plan(&n, 1.0, 0x1p18, DIMENSIONS);
    for (size_t i = 0; i < DIMENSIONS; i++)
        vector[i] = 1.0F;
    for (uint64_t d = DIMENSIONS - 400; d <= DIMENSIONS; d += 20) {
        n.dimensions = d;
        memset(sum, 0, d * sizeof(sum[0]));
        assert_true(csl_noise_round(&n, vector, d, sum));
        assert_true(is_within(&n, sum, d));
        double norm = (double)sum[0] * sqrt((double)d), aside = sqrt((double)d);
        assert_true(norm >= (double)n.l2_units * (1.0 - 0x1p-15) - aside);
    }
    csl_noise_release(&n);
}

/* What csl_noise_round is there to prevent: clip to C, then round to the nearest. */
static void test_pitfall_21__rounding_after_the_clip_alone__is_detected(void **state)
{
    (void)state;
    struct csl_noise n;
    plan(&n, 1.0, 0x1p18, DIMENSIONS);
    double each = 1.0 / sqrt(DIMENSIONS);
    double up = (floor(each / n.unit) + 0.50001) * n.unit; /* 2344.5 of 2344.7 units */
    for (size_t i = 0; i < DIMENSIONS; i++)
        sum[i] = (int64_t)rint(up / n.unit);
    assert_true(up * up * DIMENSIONS <= 1.0);
    assert_false(is_within(&n, sum, DIMENSIONS));
    csl_noise_release(&n);
}

/* Random vectors of every length: never longer than they were but for rounding, never turned. */
static void test_noise_round__vectors_within_the_clip__keep_their_length(void **state)
{
    (void)state;
    struct csl_noise n;
    struct csl_rng r;
    csl_rng_init_label(&r, 22, "keep", 0, 0, 0);
    plan(&n, 2.0, 1.0, 100);
    for (int trial = 0; trial < 200; trial++) {
        double length = 0.019 * trial, norm = 0; /* 0 to 3.8: the clip is at 105 */
        for (size_t i = 0; i < 100; i++) {
            vector[i] = (float)csl_rng_normal(&r);
            norm += (double)vector[i] * (double)vector[i];
        }
        for (size_t i = 0; i < 100; i++)
            vector[i] = (float)((double)vector[i] * length / sqrt(norm));
        memset(sum, 0, 100 * sizeof(sum[0]));
        assert_true(csl_noise_round(&n, vector, 100, sum));
        double factor = length > 2.0 ? 2.0 / length : 1.0;
        for (size_t i = 0; i < 100; i++) {
            double want = (double)vector[i] * factor / n.unit;
            double off = fabs((double)sum[i] - want);
            if (length < 1.999)
                assert_true(off <= 0.5);
            else /* 2^-16 and half a unit per coordinate are set aside */
                assert_true(off <= 0.5 + fabs(want) * 0x1p-15 &&
                            fabs((double)sum[i]) <= fabs(want) + 0.5);
        }
    }
    csl_noise_release(&n);
}

static void test_noise_round__any_order__gives_the_same_sum(void **state)
{
    (void)state;
    struct csl_noise n;
    plan(&n, 1.0, 1.0, 1000);
    memset(sum, 0, 1000 * sizeof(sum[0]));
    memset(other, 0, 1000 * sizeof(other[0]));
    for (int order = 0; order < 2; order++) {
        for (int p = 0; p < 20; p++) {
            struct csl_rng r;
            csl_rng_init_label(&r, 23, "patient", (uint64_t)(order ? 19 - p : p), 0, 0);
            for (size_t i = 0; i < 1000; i++)
                vector[i] = (float)csl_rng_normal(&r);
            assert_true(csl_noise_round(&n, vector, 1000, order ? other : sum));
        }
    }
    assert_memory_equal(sum, other, 1000 * sizeof(sum[0]));
    csl_noise_release(&n);
}

static void test_pitfall_18__nan_or_inf__contributes_zero_and_is_counted(void **state)
{
    (void)state;
    struct csl_noise n;
    plan(&n, 1.0, 1.0, 100);
    const float poison[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 100; i++)
        sum[i] = other[i] = (int64_t)i - 50;
    unsigned counted = 0;
    for (size_t k = 0; k < 3; k++) {
        for (size_t at = 0; at < 100; at += 33) {
            for (size_t i = 0; i < 100; i++)
                vector[i] = 0.5F;
            vector[at] = poison[k];
            counted += !csl_noise_round(&n, vector, 100, sum);
            assert_memory_equal(sum, other, 100 * sizeof(sum[0]));
        }
    }
    assert_int_equal(counted, 12);
    csl_noise_release(&n);
}

/* False alarm: 200000 draws of sigma 2^30 within 6.2 standard errors, twice. */
static void test_pitfall_15__empty_sum__gets_the_same_noise(void **state)
{
    (void)state;
    struct csl_noise n;
    struct csl_rng r;
    csl_rng_init_label(&r, 15, "empty", 0, 0, 0);
    plan(&n, 1.0, 1.0, DIMENSIONS);
    memset(sum, 0, sizeof(sum));
    assert_int_equal(csl_noise_add(&r, &n, sum, DIMENSIONS, NULL), CSL_OK);
    assert_true(moments_off(0, n.std_units * n.std_units, sum, DIMENSIONS) < NORMAL_LIMIT);
    assert_true(fit_normal(n.std_units, sum, DIMENSIONS) < 1.0);
    csl_noise_release(&n);
}

static void test_noise_add__slices_and_whole__differ_in_nothing_but_the_call(void **state)
{
    (void)state;
    struct csl_noise n;
    struct csl_rng r;
    plan(&n, 1.0, 1.0, DIMENSIONS);
    csl_rng_init_label(&r, 16, "slices", 0, 0, 0);
    memset(sum, 0, sizeof(sum));
    for (size_t at = 0; at < DIMENSIONS; at += 777) {
        size_t part = DIMENSIONS - at < 777 ? DIMENSIONS - at : 777;
        assert_int_equal(csl_noise_add(&r, &n, sum + at, part, NULL), CSL_OK);
    }
    assert_true(moments_off(0, n.std_units * n.std_units, sum, DIMENSIONS) < NORMAL_LIMIT);
    csl_noise_release(&n);
}

static void test_noise_add__sum_out_of_bounds__is_untouched(void **state)
{
    (void)state;
    struct csl_noise n;
    struct csl_rng r;
    plan(&n, 1.0, 1.0, 2);
    csl_rng_init_label(&r, 17, "bounds", 0, 0, 0);
    int64_t two[2] = {5, INT64_MIN};
    assert_int_equal(csl_noise_add(&r, &n, two, 2, NULL), CSL_E_INVAL);
    assert_true(two[0] == 5 && two[1] == INT64_MIN);
    two[1] = -(INT64_C(1) << 61);
    assert_int_equal(csl_noise_add(&r, &n, two, 2, NULL), CSL_OK);
    csl_noise_release(&n);
}

/* Share of the small values, |y| < 2^-6, that are no multiple of `fine`. */
static double share_with_fine_bits(const double *y, size_t count, double fine)
{
    size_t small = 0, with = 0;
    for (size_t i = 0; i < count; i++) {
        if (fabs(y[i]) >= 0x1p-6)
            continue;
        small++;
        with += fmod(y[i], fine) != 0.0;
    }
    assert_true(small > 100);
    return (double)with / (double)small;
}

/* The attack: whoever sees y = x + noise in floating point and knows that x is 0 or 1/3 looks at
 * the last bits of a small y (Mironov 2012; Haney et al. 2022). It is always right about Box-Muller
 * in doubles, and learns nothing from the grid: there the same values are possible for both. */
static void test_pitfall_10__last_bits__tell_nothing_on_the_grid(void **state)
{
    (void)state;
    struct csl_noise n;
    struct csl_rng r;
    csl_rng_init_label(&r, 10, "bits", 0, 0, 0);
    plan(&n, 1.0, 1.0, DIMENSIONS);
    static double naive[2][DIMENSIONS], grid[2][DIMENSIONS];
    for (int world = 0; world < 2; world++) {
        memset(sum, 0, sizeof(sum));
        for (size_t i = 0; i < DIMENSIONS; i++) {
            naive[world][i] = (world ? 1.0 / 3 : 0.0) + csl_rng_normal(&r);
            sum[i] = world ? (int64_t)rint(1.0 / 3 / n.unit) : 0;
        }
        assert_int_equal(csl_noise_add(&r, &n, sum, DIMENSIONS, NULL), CSL_OK);
        for (unsigned m = 2; m <= 256; m *= 2) /* the last bits are uniform */
            assert_true(fit_residues(m, sum, DIMENSIONS) < 1.0);
        for (size_t i = 0; i < DIMENSIONS; i++)
            grid[world][i] = (double)sum[i] * n.unit;
        csl_noise_scale(&n, sum, DIMENSIONS, 1.0, released);
        for (size_t i = 0; i < DIMENSIONS; i++) /* and what is released lies on the grid */
            assert_true(fmod((double)released[i], n.unit) == 0.0);
    }
    assert_true(share_with_fine_bits(naive[0], DIMENSIONS, 0x1p-55) > 0.5);
    assert_true(share_with_fine_bits(naive[1], DIMENSIONS, 0x1p-55) == 0.0);
    for (int world = 0; world < 2; world++) {
        assert_true(share_with_fine_bits(grid[world], DIMENSIONS, n.unit) == 0.0);
        /* Half of about 2500: 6.2 standard errors are .062. */
        assert_true(fabs(share_with_fine_bits(grid[world], DIMENSIONS, 2 * n.unit) - 0.5) < 0.07);
    }
    csl_noise_release(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_plan__clips_and_multipliers__grid_and_event_hold),
        cmocka_unit_test(test_noise_plan__out_of_range__is_refused),
        cmocka_unit_test(test_pitfall_21__worst_case_vectors__norm_is_within_l2_units),
        cmocka_unit_test(test_pitfall_21__all_round_up__norm_is_within_and_close_to_l2_units),
        cmocka_unit_test(test_pitfall_21__rounding_after_the_clip_alone__is_detected),
        cmocka_unit_test(test_noise__fewer_coordinates__are_a_vector_that_ends_in_zeros),
        cmocka_unit_test(test_noise_round__vectors_within_the_clip__keep_their_length),
        cmocka_unit_test(test_noise_round__any_order__gives_the_same_sum),
        cmocka_unit_test(test_pitfall_18__nan_or_inf__contributes_zero_and_is_counted),
        cmocka_unit_test(test_pitfall_15__empty_sum__gets_the_same_noise),
        cmocka_unit_test(test_noise_add__slices_and_whole__differ_in_nothing_but_the_call),
        cmocka_unit_test(test_noise_add__sum_out_of_bounds__is_untouched),
        cmocka_unit_test(test_pitfall_10__last_bits__tell_nothing_on_the_grid),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
