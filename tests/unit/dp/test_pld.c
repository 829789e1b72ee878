#include "privacy/dp/account.h"
#include "privacy/dp/gaussian.h"
#include "privacy/dp/pld_compose.h"
#include "privacy/dp/pld_epsilon.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Upper or lower epsilon of `steps` uses of a finite pair in one direction. */
static double epsilon_of_atoms(const double *loss, const double *mass, size_t count, double width,
                               enum csl_dp_direction direction, uint64_t steps, double tilt,
                               double delta, bool is_upper)
{
    struct csl_dp_cells cells;
    struct csl_dp_pld pld;
    double epsilon = -1.0;
    assert_int_equal(csl_dp_cells_of_atoms(&cells, loss, mass, count, width, NULL), CSL_OK);
    assert_int_equal(is_upper ? csl_dp_pld_upper(&pld, &cells, direction, NULL)
                              : csl_dp_pld_lower(&pld, &cells, direction, NULL),
                     CSL_OK);
    struct csl_dp_composition c = {
        .parts = &pld, .steps = &steps, .count = 1, .tilt = tilt, .epsilon = 1.0};
    assert_int_equal(csl_dp_compose(&c, delta, is_upper, &epsilon, NULL), CSL_OK);
    csl_dp_pld_release(&pld);
    csl_dp_cells_release(&cells);
    return epsilon;
}

/* delta(eps) of a pair of two outcomes used `steps` times: a binomial sum. p: mass of the outcome
 * of loss `high`; the other has loss `low`. */
static double two_outcomes(double p, double high, double low, unsigned steps, double eps)
{
    double delta = 0.0;
    for (unsigned k = 0; k <= steps; k++) {
        double log_mass = lgamma(steps + 1.0) - lgamma(k + 1.0) - lgamma(steps - k + 1.0) +
                          k * log(p) + (steps - k) * log1p(-p);
        double loss = k * high + (steps - k) * low;
        if (loss > eps)
            delta -= exp(log_mass) * expm1(eps - loss);
    }
    return delta;
}

static double solve_two_outcomes(double p, double high, double low, unsigned steps, double delta)
{
    double a = 0.0, b = steps * fmax(high, low);
    for (int i = 0; i < 100; i++) {
        double middle = 0.5 * (a + b);
        if (two_outcomes(p, high, low, steps, middle) <= delta)
            b = middle;
        else
            a = middle;
    }
    return b;
}

/* P = (.99, .01), Q = (1 - .01 e^3, .01 e^3): removing shifts the loss by at most log(.99 / .799),
 * adding by 3. Remove alone would say a tenth of the truth. */
static void test_pitfall_29__a_pair_where_add_dominates__add_is_priced(void **state)
{
    (void)state;
    double rare = 0.01, q_rare = rare * exp(3.0), common = log((1.0 - rare) / (1.0 - q_rare));
    double loss[2] = {-3.0, common}, mass[2] = {rare, 1.0 - rare}, delta = 1e-5;
    const unsigned steps = 12;
    double remove = solve_two_outcomes(1.0 - rare, common, -3.0, steps, delta);
    double add = solve_two_outcomes(q_rare, 3.0, -common, steps, delta);
    assert_true(add > 5.0 * remove);
    double found[2][2];
    for (int d = 0; d < 2; d++)
        for (int upper = 0; upper < 2; upper++)
            found[d][upper] = epsilon_of_atoms(loss, mass, 2, 5e-5, (enum csl_dp_direction)d, steps,
                                               d == CSL_DP_ADD ? 1.0 : 5.0, delta, upper == 1);
    assert_true(found[CSL_DP_REMOVE][1] >= remove && found[CSL_DP_REMOVE][0] <= remove);
    assert_true(found[CSL_DP_ADD][1] >= add && found[CSL_DP_ADD][0] <= add);
    assert_true(found[CSL_DP_REMOVE][1] < 1.01 * remove);
    assert_true(found[CSL_DP_ADD][1] < 1.001 * add && found[CSL_DP_ADD][0] > 0.999 * add);
}

/* The subsampled Gaussian with its two laws exchanged: the maximum must be found in "add". */
static void test_pitfall_29__exchanged_pair__has_the_same_epsilon(void **state)
{
    (void)state;
    struct csl_dp_part part = {.pair = csl_dp_pair_poisson(1.0, 0.01), .steps = 1000};
    struct csl_dp_part exchanged = {.pair = {.std = 1.0,
                                             .p_count = 1,
                                             .p_mean = {0.0},
                                             .p_weight = {1.0},
                                             .q_count = 2,
                                             .q_mean = {0.0, -1.0},
                                             .q_weight = {0.99, 0.01}},
                                    .steps = 1000};
    struct csl_dp_bounds a, b;
    assert_int_equal(csl_dp_pld_epsilon(&part, 1, 1e-5, 0.0, &a, NULL), CSL_OK);
    assert_int_equal(csl_dp_pld_epsilon(&exchanged, 1, 1e-5, 0.0, &b, NULL), CSL_OK);
    assert_true(a.upper == a.upper_direction[CSL_DP_REMOVE]);
    assert_true(b.upper == b.upper_direction[CSL_DP_ADD]);
    assert_true(b.upper >= a.lower && a.upper >= b.lower);
    assert_true(fabs(a.upper - b.upper) < 0.01 * a.upper);
}

/* Mass of an infinite loss adds up over the steps and never goes away. */
static void test_pitfall_28__infinite_losses__stay_in_delta(void **state)
{
    (void)state;
    double lost = 1e-10; /* 10^5 steps: 1e-5 */
    double loss[2] = {-0.001, 0.001}, mass[2] = {0.5, 0.5 - lost};
    const uint64_t steps = 100000;
    assert_true(epsilon_of_atoms(loss, mass, 2, 1e-4, CSL_DP_REMOVE, steps, 10.0, 0.9e-5, true) ==
                HUGE_VAL);
    double with = epsilon_of_atoms(loss, mass, 2, 1e-4, CSL_DP_REMOVE, steps, 10.0, 2e-5, true);
    double full[2] = {0.5, 0.5};
    double without = epsilon_of_atoms(loss, full, 2, 1e-4, CSL_DP_REMOVE, steps, 10.0, 2e-5, true);
    assert_true(isfinite(with) && with > without);
}

/* Exact values of the reference at delta 1e-10 and 1e-12, where an accountant that drops what its
 * window cuts off, or what its transform rounds, reports 5.16621 and 10.2865. */
static void test_pitfall_28__small_delta__bound_stays_above_the_exact_value(void **state)
{
    (void)state;
    struct csl_dp_part part = {.pair = csl_dp_pair_poisson(4.0, 0.01), .steps = 100000};
    struct csl_dp_bounds b;
    assert_int_equal(csl_dp_pld_epsilon(&part, 1, 1e-10, 0.0, &b, NULL), CSL_OK);
    assert_true(b.upper >= 5.166844991846502 && b.lower <= 5.166844991846503);
    assert_int_equal(csl_dp_pld_epsilon(&part, 1, 1e-10, 3e-5, &b, NULL), CSL_OK);
    assert_true(b.upper >= 5.166844991846502 && b.upper < 5.16692 && b.lower > 5.1667);
    part = (struct csl_dp_part){.pair = csl_dp_pair_poisson(1.0, 0.01), .steps = 10000};
    assert_int_equal(csl_dp_pld_epsilon(&part, 1, 1e-12, 1e-4, &b, NULL), CSL_OK);
    assert_true(b.lower > 10.34635 && b.upper >= 10.34668 && b.upper < 10.3469);
}

/* A tilt that is far off costs accuracy and never the bound. */
static void test_compose__bad_tilt__is_still_a_bound(void **state)
{
    (void)state;
    double loss[2] = {-0.1, 0.1}, keep = 1.0 / (1.0 + exp(-0.1)), mass[2] = {1.0 - keep, keep};
    double exact = solve_two_outcomes(keep, 0.1, -0.1, 200, 1e-8);
    static const double tilts[] = {0.0, 1.0, 3.0, 5.0, 20.0};
    for (size_t i = 0; i < sizeof tilts / sizeof tilts[0]; i++) {
        double upper =
            epsilon_of_atoms(loss, mass, 2, 1e-3, CSL_DP_REMOVE, 200, tilts[i], 1e-8, true);
        double lower =
            epsilon_of_atoms(loss, mass, 2, 1e-3, CSL_DP_REMOVE, 200, tilts[i], 1e-8, false);
        assert_true(upper >= exact * (1.0 - 1e-12) && lower <= exact * (1.0 + 1e-12));
    }
}

/* A full batch through the grid against the closed form. */
static void test_pld__full_batch__brackets_the_closed_form(void **state)
{
    (void)state;
    for (double mu = 0.05; mu < 12.0; mu *= 1.9) {
        struct csl_dp_part part = {.pair = csl_dp_pair_poisson(1.0 / mu, 1.0), .steps = 1};
        struct csl_dp_bounds b;
        assert_int_equal(csl_dp_pld_epsilon(&part, 1, 1e-7, 0.0, &b, NULL), CSL_OK);
        double exact = csl_dp_gaussian_eps_upper(mu, 1e-7);
        assert_true(b.upper >= exact && b.upper <= 1.005 * exact);
        assert_true(b.lower <= exact && b.lower >= 0.995 * exact);
    }
}

static void test_pld__more_than_fits__is_a_limit_and_not_a_number(void **state)
{
    (void)state;
    struct csl_dp_part part = {.pair = csl_dp_pair_poisson(1.0, 0.01), .steps = 10};
    struct csl_dp_bounds b = {.upper = 7.0};
    assert_int_equal(csl_dp_pld_epsilon(&part, 1, 1e-5, 1e-9, &b, NULL), CSL_E_LIMIT);
    part.pair = csl_dp_pair_poisson(1e-4, 0.01);
    assert_int_equal(csl_dp_pld_epsilon(&part, 1, 1e-5, 0.0, &b, NULL), CSL_E_LIMIT);
    assert_true(b.upper == 7.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pitfall_29__a_pair_where_add_dominates__add_is_priced),
        cmocka_unit_test(test_pitfall_29__exchanged_pair__has_the_same_epsilon),
        cmocka_unit_test(test_pitfall_28__infinite_losses__stay_in_delta),
        cmocka_unit_test(test_pitfall_28__small_delta__bound_stays_above_the_exact_value),
        cmocka_unit_test(test_compose__bad_tilt__is_still_a_bound),
        cmocka_unit_test(test_pld__full_batch__brackets_the_closed_form),
        cmocka_unit_test(test_pld__more_than_fits__is_a_limit_and_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
