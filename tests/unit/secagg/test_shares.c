/* Joint noise: what is drawn, what is charged, what is refused. Pitfalls are numbered as in
 * the design of differential privacy. */
#include "privacy/crypto/init.h"
#include "privacy/dp/discrete.h"
#include "privacy/secagg/lanes.h"
#include "privacy/secagg/shares.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void plan(struct csl_shares *s, double std, uint32_t sites, uint32_t colluding,
                 uint32_t dropouts)
{
    assert_int_equal(csl_shares_plan(s, std, sites, colluding, dropouts, 1000, NULL), CSL_OK);
}

static struct csl_dp_event event_of(const struct csl_shares *s, uint32_t survivors)
{
    struct csl_dp_event e = {.sampler = CSL_DP_FULL_BATCH, .sampling_rate = 1.0, .steps = 1};
    assert_int_equal(csl_shares_event(s, survivors, 100.0, 2000.0, &e, NULL), CSL_OK);
    assert_int_equal(csl_dp_event_check(&e, NULL), CSL_OK);
    return e;
}

static bool is_near(double a, double b)
{
    return fabs(a / b - 1.0) < 1e-14;
}

static void test_shares__plan__share_is_sized_for_the_smallest_honest_set(void **state)
{
    (void)state;
    static const uint32_t cases[][3] = {
        {1, 0, 0}, {3, 1, 1}, {10, 3, 2}, {37, 12, 4}, {300, 100, 30}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t n = cases[i][0], c = cases[i][1], d = cases[i][2];
        for (double std = 64.0; std < 0x1p40; std *= 1024.0) {
            struct csl_shares s;
            plan(&s, std, n, c, d);
            double least = (double)(n - c - d);
            assert_true(is_near(s.share_std_units * s.share_std_units, std * std / least));
            assert_true(s.share_std_units * s.share_std_units * least >= std * std);
            long double v = ldexpl((long double)s.gaussian.mantissa, s.gaussian.exponent);
            assert_true(v >= (long double)s.share_std_units * (long double)s.share_std_units);
            assert_true(is_near((double)v, std * std / least));
            assert_true(is_near(csl_shares_sum_std(&s, n), std * sqrt((double)n / least)));
            csl_shares_release(&s);
        }
    }
}

static void test_pitfall_22__survivors_below_the_floor__no_event_is_given(void **state)
{
    (void)state;
    struct csl_shares s;
    plan(&s, 1000.0, 10, 2, 3);
    assert_int_equal(s.floor, 7);
    struct csl_dp_event e, before;
    memset(&e, 0x5a, sizeof(e));
    memcpy(&before, &e, sizeof(e));
    for (uint32_t survivors = 0; survivors < 7; survivors++)
        assert_int_equal(csl_shares_event(&s, survivors, 1.0, 1.0, &e, NULL), CSL_E_STATE);
    assert_int_equal(csl_shares_event(&s, 11, 1.0, 1.0, &e, NULL), CSL_E_INVAL);
    assert_memory_equal(&e, &before, sizeof(e));
    for (uint32_t survivors = 7; survivors <= 10; survivors++) {
        e = event_of(&s, survivors);
        assert_true(e.std_units >= 1000.0 * (1.0 - 1e-14)); /* never less than was asked for */
    }
    csl_shares_release(&s);
}

/* The adversary subtracts what its own sites drew: with and without a colluder the same share is
 * drawn by everybody, but another standard deviation is charged. */
static void test_pitfall_23__colluders__their_shares_are_not_charged(void **state)
{
    (void)state;
    for (uint32_t colluding = 0; colluding <= 4; colluding++) {
        struct csl_shares s;
        plan(&s, 1000.0, 12, colluding, 2);
        for (uint32_t survivors = 10; survivors <= 12; survivors++) {
            struct csl_dp_event e = event_of(&s, survivors);
            double honest = s.share_std_units * sqrt((double)(survivors - colluding));
            assert_true(is_near(e.std_units, honest) && e.std_units <= honest);
            double all = csl_shares_sum_std(&s, survivors);
            assert_true(is_near(all, s.share_std_units * sqrt((double)survivors)));
            assert_true(colluding == 0 || e.std_units < all * 0.99);
        }
        csl_shares_release(&s);
    }
    struct csl_shares s;
    assert_int_equal(csl_shares_plan(&s, 1000.0, 10, 8, 2, 10, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_plan(&s, 1000.0, 10, UINT32_MAX, 2, 10, NULL), CSL_E_INVAL);
}

static void test_shares__event__is_the_discrete_gaussian_of_the_honest(void **state)
{
    (void)state;
    struct csl_shares s;
    plan(&s, 5000.0, 12, 2, 2);
    struct csl_dp_event e = event_of(&s, 12);
    assert_int_equal(e.mechanism, CSL_DP_DISCRETE_GAUSSIAN);
    assert_int_equal(e.dimensions, 1000);
    assert_true(e.l2_units >= 100.0 && e.l2_units < 100.0 * (1.0 + 1e-14));
    assert_true(e.l1_units >= 2000.0 && e.l1_units < 2000.0 * (1.0 + 1e-14));
    assert_true(e.noise_multiplier * e.l2_units <= e.std_units);
    assert_true(e.noise_multiplier > e.std_units / e.l2_units * (1.0 - 1e-14));
    struct csl_dp_event same = e;
    assert_int_equal(csl_shares_event(&s, 12, 0.0, 1.0, &e, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_event(&s, 12, 2.0, 1.0, &e, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_event(&s, 12, 1.0, (double)INFINITY, &e, NULL), CSL_E_INVAL);
    assert_memory_equal(&e, &same, sizeof(e));
    csl_shares_release(&s);
}

/* tau of ten shares of std 1 is above 5e-4: no longer a discrete Gaussian. */
static void test_shares__coarse_grid__is_refused_where_tau_counts(void **state)
{
    (void)state;
    struct csl_shares s;
    struct csl_err err;
    assert_true(csl_dp_ddg_tau(1.0, 10) > 5e-4);
    assert_int_equal(csl_shares_plan(&s, sqrt(10.0), 10, 0, 0, 1, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "finer grid"));
    /* More dimensions need a little more: tau 1e8 is above the limit where tau alone is not. */
    double share = 2.1;
    assert_true(csl_dp_ddg_tau(share, 10) < CSL_SHARES_TAU_MAX);
    assert_true(csl_dp_ddg_tau(share, 10) * 1e8 > CSL_SHARES_TAU_MAX);
    double std = share * sqrt(10.0);
    assert_int_equal(csl_shares_plan(&s, std, 10, 0, 0, 100000000, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_plan(&s, std, 10, 0, 0, 1, NULL), CSL_OK);
    struct csl_dp_event e;
    assert_int_equal(csl_shares_event(&s, 10, 1.0, 1.0, &e, NULL), CSL_OK);
    assert_true(e.l2_units >= 1.0 + csl_dp_ddg_tau(s.share_std_units, 10) * e.std_units);
    csl_shares_release(&s);
}

static void test_shares__out_of_range__is_refused(void **state)
{
    (void)state;
    struct csl_shares s;
    static const double stds[] = {0.0, -1.0, 0x1p60, (double)INFINITY, (double)NAN};
    for (size_t i = 0; i < sizeof(stds) / sizeof(stds[0]); i++)
        assert_int_equal(csl_shares_plan(&s, stds[i], 10, 1, 1, 10, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_plan(&s, 100.0, 0, 0, 0, 10, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_plan(&s, 100.0, 65537, 0, 0, 10, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_plan(&s, 100.0, 10, 1, 1, 0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_shares_plan(&s, 100.0, 10, 1, 1, (UINT64_C(1) << 33) + 1, NULL),
                     CSL_E_INVAL);
}

enum { REACH = 600 };

/* Pr[|sum of n discrete Gaussians of variance v| > bound], exactly but for what is beyond REACH. */
static long double tail_of_sum(double v, uint32_t n, int64_t bound)
{
    static long double law[2 * REACH + 1], next[2 * REACH + 1];
    memset(law, 0, sizeof(law));
    law[REACH] = 1.0L;
    for (uint32_t s = 0; s < n; s++) {
        memset(next, 0, sizeof(next));
        for (int64_t z = -80; z <= 80; z++) {
            long double p = (long double)csl_dp_discrete_gaussian_pmf(v, z);
            for (int64_t i = -REACH + 80; i <= REACH - 80; i++)
                next[i + z + REACH] += p * law[i + REACH];
        }
        memcpy(law, next, sizeof(law));
    }
    long double tail = 0;
    for (int64_t i = -REACH; i <= REACH; i++)
        tail += i > bound || i < -bound ? law[i + REACH] : 0;
    return tail;
}

static void test_pitfall_20__wrap_probability__is_at_most_what_was_budgeted(void **state)
{
    (void)state;
    struct csl_shares s;
    plan(&s, 12.0, 12, 2, 1);
    double v = ldexp((double)s.gaussian.mantissa, s.gaussian.exponent);
    for (double p = 0.5; p > 1e-12; p *= 0.01) {
        for (uint64_t entries = 1; entries < 2000000; entries *= 1000) {
            uint64_t headroom = csl_lanes_headroom(csl_shares_sum_std(&s, 12), entries, p);
            long double wraps = tail_of_sum(v, 12, (int64_t)headroom) * (long double)entries;
            assert_true(wraps <= (long double)p);
            /* and is not so large that bits are thrown away: at most as of three times the std */
            assert_true((double)headroom < 3.0 * 9.0 * csl_shares_sum_std(&s, 12));
        }
    }
    csl_shares_release(&s);
}

/* Everybody sends the maximum or the minimum and everybody's noise is as drawn: by chance a lane
 * wraps in one of 10^12 runs. */
static void test_pitfall_20__maximal_inputs_with_noise__do_not_wrap(void **state)
{
    (void)state;
    enum { SITES = 11, COUNT = 3000 };
    static int64_t values[COUNT], noise[COUNT], drawn[COUNT], sums[COUNT];
    static uint64_t words[COUNT], total[COUNT];
    static const uint32_t widths[] = {12, 16, 21, 32, 64};
    struct csl_rng rng;
    csl_rng_init_label(&rng, 20, "wrap", 0, 0, 0);
    struct csl_shares s;
    plan(&s, 40.0, SITES, 3, 1);
    uint64_t headroom = csl_lanes_headroom(csl_shares_sum_std(&s, SITES), COUNT, 1e-12);
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        struct csl_lanes l;
        assert_int_equal(csl_lanes_plan(&l, widths[w], SITES, headroom, NULL), CSL_OK);
        memset(total, 0, sizeof(total));
        memset(drawn, 0, sizeof(drawn));
        for (size_t i = 0; i < COUNT; i++)
            values[i] = i % 4 < 2 ? l.level : -l.level;
        for (int site = 0; site < SITES; site++) {
            csl_discrete_gaussian_fill(&rng, &s.gaussian, noise, COUNT);
            csl_lanes_pack(&l, values, noise, COUNT, words);
            csl_lanes_add(total, words, csl_lanes_words(&l, COUNT));
            for (size_t i = 0; i < COUNT; i++)
                drawn[i] += noise[i];
        }
        assert_int_equal(csl_lanes_unpack(&l, total, COUNT, SITES, sums), 0);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(sums[i] == values[i] * SITES + drawn[i]);
    }
    csl_shares_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares__plan__share_is_sized_for_the_smallest_honest_set),
        cmocka_unit_test(test_pitfall_22__survivors_below_the_floor__no_event_is_given),
        cmocka_unit_test(test_pitfall_23__colluders__their_shares_are_not_charged),
        cmocka_unit_test(test_shares__event__is_the_discrete_gaussian_of_the_honest),
        cmocka_unit_test(test_shares__coarse_grid__is_refused_where_tau_counts),
        cmocka_unit_test(test_shares__out_of_range__is_refused),
        cmocka_unit_test(test_pitfall_20__wrap_probability__is_at_most_what_was_budgeted),
        cmocka_unit_test(test_pitfall_20__maximal_inputs_with_noise__do_not_wrap),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
