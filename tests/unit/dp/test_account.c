#include "privacy/dp/account.h"
#include "privacy/dp/discrete.h"
#include "privacy/dp/gaussian.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct csl_dp_event gaussian(double sigma, double q, uint64_t steps)
{
    return (struct csl_dp_event){.mechanism = CSL_DP_GAUSSIAN,
                                 .sampler = q == 1.0 ? CSL_DP_FULL_BATCH : CSL_DP_POISSON,
                                 .noise_multiplier = sigma,
                                 .sampling_rate = csl_dp_rate(q),
                                 .steps = steps};
}

/* Integer noise of `std_units`, sensitivities l1 and l2 in grid units. */
static struct csl_dp_event integer(enum csl_dp_mechanism m, double std_units, double l1, double l2,
                                   uint64_t dimensions, double q, uint64_t steps)
{
    struct csl_dp_event e = gaussian(std_units / l2, q, steps);
    e.mechanism = m;
    e.dimensions = dimensions;
    e.std_units = std_units;
    e.l1_units = l1;
    e.l2_units = l2;
    return e;
}

static struct csl_price price_of(const struct csl_dp_event *events, size_t count, double delta)
{
    struct csl_price p = {0};
    struct csl_err err = {0};
    if (csl_account(events, count, delta, &p, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return p;
}

static void test_account__nothing_ran__costs_nothing(void **state)
{
    (void)state;
    struct csl_dp_event idle = gaussian(1.0, 0.01, 0);
    struct csl_price p = price_of(NULL, 0, 1e-5);
    assert_true(p.epsilon == 0.0 && p.epsilon_pld == 0.0 && p.epsilon_rdp == 0.0);
    p = price_of(&idle, 1, 1e-5);
    assert_true(p.epsilon == 0.0);
}

static void test_account__refusals__name_the_reason_and_leave_the_output(void **state)
{
    (void)state;
    struct csl_price p = {.epsilon = 5.0};
    struct csl_dp_event e[2] = {gaussian(1.0, 0.01, 10), gaussian(1.0, 0.01, 10)};
    static const double bad[] = {0.0, 1.0, -1e-5};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(csl_account(e, 1, bad[i], &p, NULL), CSL_E_INVAL);
    assert_int_equal(csl_account(e, 1, (double)NAN, &p, NULL), CSL_E_INVAL);
    e[1].noise_multiplier = 0.0;
    assert_int_equal(csl_account(e, 2, 1e-5, &p, NULL), CSL_E_INVAL);
    e[1] = e[0];
    e[1].sampler = CSL_DP_FIXED_SIZE;
    assert_int_equal(csl_account(e, 2, 1e-5, &p, NULL), CSL_E_UNSUPPORTED);
    assert_true(p.epsilon == 5.0);
}

static void test_account__full_batch__is_the_closed_form(void **state)
{
    (void)state;
    struct csl_dp_event e[2] = {gaussian(10.0, 1.0, 64), gaussian(5.0, 1.0, 36)};
    struct csl_price p = price_of(e, 2, 1e-6);
    double mu = sqrt(64.0 / 100.0 + 36.0 / 25.0);
    double exact = csl_dp_gaussian_eps_upper(mu, 1e-6);
    assert_true(fabs(p.epsilon_pld - exact) <= 1e-9 * exact);
    assert_true(p.epsilon_pld - p.epsilon_lower <= 1e-9 * exact);
    assert_true(p.epsilon == p.epsilon_pld && p.epsilon_rdp > p.epsilon_pld);
}

/* No amplification is claimed for shuffled epochs: the price of a full batch for each. */
static void test_account__shuffled__costs_a_full_batch_per_epoch(void **state)
{
    (void)state;
    struct csl_dp_event e = gaussian(2.0, 1.0, 30), s = e;
    s.sampler = CSL_DP_SHUFFLED;
    struct csl_price a = price_of(&e, 1, 1e-5), b = price_of(&s, 1, 1e-5);
    assert_true(a.epsilon == b.epsilon && a.epsilon_rdp == b.epsilon_rdp);
    assert_true(a.epsilon_lower > 0.0 && b.epsilon_lower == 0.0); /* it may well be less */
}

static void test_account__fixed_size__is_renyi_alone(void **state)
{
    (void)state;
    struct csl_dp_event e = gaussian(2.0, 0.01, 1000);
    e.sampler = CSL_DP_FIXED_SIZE;
    struct csl_price p = price_of(&e, 1, 1e-5);
    assert_true(isinf(p.epsilon_pld) && p.epsilon_lower == 0.0);
    assert_true(p.epsilon == p.epsilon_rdp && isfinite(p.epsilon));
    struct csl_dp_event poisson = gaussian(2.0, 0.01, 1000);
    assert_true(p.epsilon > price_of(&poisson, 1, 1e-5).epsilon); /* replace costs more */
}

/* A coarse grid: zCDP. The exact delta of one release in one dimension is within what is claimed.
 */
static void test_account__coarse_discrete_gaussian__bounds_the_exact_delta(void **state)
{
    (void)state;
    for (double std = 0.7; std < 20.0; std *= 1.6) {
        struct csl_dp_event e = integer(CSL_DP_DISCRETE_GAUSSIAN, std, 1.0, 1.0, 1, 1.0, 1);
        struct csl_price p = price_of(&e, 1, 1e-5);
        assert_true(isinf(p.epsilon_pld) && isfinite(p.epsilon));
        assert_true(csl_dp_discrete_gaussian_delta(std * std, 1, p.epsilon) <= 1e-5);
        e.mechanism = CSL_DP_SKELLAM;
        double delta = 1.0;
        p = price_of(&e, 1, 1e-5);
        assert_int_equal(csl_dp_skellam_delta(std * std, 1, p.epsilon, &delta, NULL), CSL_OK);
        assert_true(delta <= 1e-5);
    }
}

/* A fine grid: the continuous price and a bridge that shrinks with the grid. */
static void test_account__fine_discrete_gaussian__is_the_continuous_price_and_a_bridge(void **state)
{
    (void)state;
    struct csl_dp_event c = gaussian(2.0, 0.01, 1000);
    struct csl_price continuous = price_of(&c, 1, 1e-6);
    double before = 1e9;
    for (int bits = 14; bits <= 33; bits += 4) {
        double std = ldexp(1.0, bits);
        struct csl_dp_event e =
            integer(CSL_DP_DISCRETE_GAUSSIAN, std, 1e4 * std, 0.5 * std, 1000000, 0.01, 1000);
        struct csl_price p = price_of(&e, 1, 1e-6);
        assert_true(isfinite(p.epsilon_pld) && p.epsilon_lower == 0.0);
        assert_true(p.epsilon_pld > continuous.epsilon_lower && p.epsilon_pld < before);
        assert_true(p.epsilon_rdp > continuous.epsilon_lower);
        before = p.epsilon_pld;
    }
    assert_true(before < 1.002 * continuous.epsilon_pld);
}

/* 1023 grid steps per standard deviation: no bridge, whatever the rest. */
static void test_account__grid_below_the_bridge__is_renyi_alone(void **state)
{
    (void)state;
    struct csl_dp_event e = integer(CSL_DP_DISCRETE_GAUSSIAN, 1023.0, 1e4, 511.5, 100, 0.01, 1000);
    struct csl_price p = price_of(&e, 1, 1e-6);
    assert_true(isinf(p.epsilon_pld) && isfinite(p.epsilon_rdp));
    e = integer(CSL_DP_DISCRETE_GAUSSIAN, 1024.0, 1e4, 512.0, 100, 0.01, 1000);
    assert_true(isfinite(price_of(&e, 1, 1e-6).epsilon_pld));
    e.dimensions = 1000000000000; /* too many coordinates for this grid: the bridge does not hold */
    assert_true(isinf(price_of(&e, 1, 1e-6).epsilon_pld));
}

/* The bridge against the exact discrete law, one dimension: the claim must hold there. */
static void test_bridge__one_dimension__bounds_the_exact_delta(void **state)
{
    (void)state;
    struct csl_dp_event e = integer(CSL_DP_DISCRETE_GAUSSIAN, 1024.0, 512.0, 512.0, 1, 1.0, 1);
    struct csl_price p = price_of(&e, 1, 1e-6);
    assert_true(isfinite(p.epsilon_pld));
    assert_true(csl_dp_discrete_gaussian_delta(1024.0 * 1024.0, 512, p.epsilon_pld) <= 1e-6);
}

static void test_account__integer_noise_with_poisson__is_priced_by_renyi(void **state)
{
    (void)state;
    struct csl_dp_event skellam = integer(CSL_DP_SKELLAM, 100.0, 60.0, 50.0, 100, 0.01, 500);
    struct csl_dp_event gauss = gaussian(2.0, 0.01, 500);
    struct csl_price s = price_of(&skellam, 1, 1e-5), g = price_of(&gauss, 1, 1e-5);
    assert_true(isinf(s.epsilon_pld) && s.epsilon >= g.epsilon_lower &&
                s.epsilon < 1.5 * g.epsilon);
    struct csl_dp_event laplace = integer(CSL_DP_DISCRETE_LAPLACE, 20.0, 1.0, 1.0, 1, 0.01, 500);
    struct csl_dp_event full = integer(CSL_DP_DISCRETE_LAPLACE, 20.0, 1.0, 1.0, 1, 1.0, 500);
    assert_true(price_of(&laplace, 1, 1e-5).epsilon < price_of(&full, 1, 1e-5).epsilon);
}

/* One use of a pure mechanism never costs more than its epsilon, and no delta is needed. */
static void test_account__discrete_laplace__one_use_is_pure(void **state)
{
    (void)state;
    struct csl_dp_event e = integer(CSL_DP_DISCRETE_LAPLACE, 5.0, 1.0, 1.0, 1, 1.0, 1);
    double pure = 2.0 * asinh(sqrt(0.5) / 5.0);
    struct csl_price p = price_of(&e, 1, 1e-12);
    assert_true(p.epsilon_pld <= pure * 1.001 && p.epsilon_pld >= pure * 0.99);
    e.steps = 50;
    p = price_of(&e, 1, 1e-6);
    assert_true(p.epsilon < 50.0 * pure && p.epsilon > pure);
}

/* Extremes end in a number or in +inf, never in NaN, and the order of the bounds holds. */
static void test_account__extremes__stay_ordered(void **state)
{
    (void)state;
    static const double sigmas[] = {0.05, 0.3, 1.0, 50.0, 1e6};
    static const double rates[] = {1e-9, 1e-4, 0.5, 1.0};
    static const uint64_t steps[] = {1, 1000, 1000000};
    static const double deltas[] = {1e-18, 1e-5, 0.5};
    for (size_t i = 0; i < 5 * 4 * 3 * 3; i++) {
        struct csl_dp_event e = gaussian(sigmas[i % 5], rates[i / 5 % 4], steps[i / 20 % 3]);
        struct csl_price p = price_of(&e, 1, deltas[i / 60]);
        if (!(p.epsilon >= 0.0) || !(p.epsilon_lower <= p.epsilon) ||
            !(p.epsilon_pld >= p.epsilon_lower) || !(p.epsilon_rdp >= p.epsilon_lower))
            fail_msg("sigma %g q %g steps %llu delta %g: %g (%g %g %g)", sigmas[i % 5],
                     rates[i / 5 % 4], (unsigned long long)steps[i / 20 % 3], deltas[i / 60],
                     p.epsilon, p.epsilon_lower, p.epsilon_pld, p.epsilon_rdp);
    }
}

static void test_account__out_of_memory_anywhere__fails_whole(void **state)
{
    (void)state;
    struct csl_dp_event e[2] = {gaussian(1.0, 0.01, 100), gaussian(3.0, 1.0, 5)};
    struct csl_price p = {.epsilon = 5.0}, whole = price_of(e, 2, 1e-5);
    for (uint64_t n = 1; n < 1000; n++) {
        csl_mem_fail_after(n);
        enum csl_code code = csl_account(e, 2, 1e-5, &p, NULL);
        uint64_t asked = csl_mem_fail_after(0);
        if (asked < n) {
            assert_int_equal(code, CSL_OK);
            assert_true(n > 10 && p.epsilon == whole.epsilon);
            return;
        }
        assert_int_equal(code, CSL_E_NOMEM);
        assert_true(p.epsilon == 5.0);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_account__nothing_ran__costs_nothing),
        cmocka_unit_test(test_account__refusals__name_the_reason_and_leave_the_output),
        cmocka_unit_test(test_account__full_batch__is_the_closed_form),
        cmocka_unit_test(test_account__shuffled__costs_a_full_batch_per_epoch),
        cmocka_unit_test(test_account__fixed_size__is_renyi_alone),
        cmocka_unit_test(test_account__coarse_discrete_gaussian__bounds_the_exact_delta),
        cmocka_unit_test(
            test_account__fine_discrete_gaussian__is_the_continuous_price_and_a_bridge),
        cmocka_unit_test(test_account__grid_below_the_bridge__is_renyi_alone),
        cmocka_unit_test(test_bridge__one_dimension__bounds_the_exact_delta),
        cmocka_unit_test(test_account__integer_noise_with_poisson__is_priced_by_renyi),
        cmocka_unit_test(test_account__discrete_laplace__one_use_is_pure),
        cmocka_unit_test(test_account__extremes__stay_ordered),
        cmocka_unit_test(test_account__out_of_memory_anywhere__fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
