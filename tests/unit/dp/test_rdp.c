#include "privacy/dp/rdp.h"

#include "privacy/dp/gaussian.h"
#include "privacy/dp/numeric.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct csl_dp_event poisson(double sigma, double q, uint64_t steps)
{
    return (struct csl_dp_event){.mechanism = CSL_DP_GAUSSIAN,
                                 .sampler = CSL_DP_POISSON,
                                 .noise_multiplier = sigma,
                                 .sampling_rate = csl_dp_rate(q),
                                 .steps = steps};
}

/* The reference's row of sigma 3, q .001, 100 steps: its best order is 124 and gives .065866;
 * orders that end at 64 give .14, twice as much. The exact value is .0112. */
static void test_pitfall_26__orders_at_small_epsilon__reach_far_enough(void **state)
{
    (void)state;
    struct csl_dp_event e = poisson(3.0, 0.001, 100);
    double order = 0.0, found = csl_dp_rdp_best(&e, 1, 1e-6, &order);
    assert_true(order > 100.0 && order < 150.0);
    assert_true(found < 0.06587 && found > 0.0658);
    double short_grid = csl_dp_rdp_epsilon(csl_dp_rdp(&e, 64.0), 64.0, 1e-6);
    assert_true(short_grid > 1.5 * found);
    e = poisson(50.0, 0.001, 100); /* epsilon .001 by RDP wants the largest orders there are */
    assert_true(csl_dp_rdp_best(&e, 1, 1e-6, &order) < 0.01);
    assert_true(order > 1000.0);
}

/* Integer orders in long double, by another sum: all terms, in descending order. */
static long double twin_integer(long double q, long double sigma, unsigned order)
{
    long double top = -HUGE_VALL, terms[4097];
    long double log_choose = 0.0L;
    for (unsigned k = 0; k <= order; k++) {
        if (k > 0)
            log_choose += logl((long double)(order - k + 1)) - logl((long double)k);
        terms[k] = log_choose + (long double)(order - k) * log1pl(-q) + (long double)k * logl(q) +
                   (long double)k * (long double)(k - 1.0L) / (2.0L * sigma * sigma);
        top = fmaxl(top, terms[k]);
    }
    long double sum = 0.0L;
    for (unsigned k = order + 1; k-- > 0;)
        sum += expl(terms[k] - top);
    return (top + logl(sum)) / (long double)(order - 1);
}

/* Real orders in long double: the midpoint rule on what exceeds 1, with a step a third of ours. */
static long double twin_real(long double q, long double sigma, long double order)
{
    long double h = 0.03L * fminl(sigma, sigma * sigma), low = -16.0L * sigma;
    long double high = order + 17.0L * sigma, sum = 0.0L;
    long double norm = h / (sigma * 2.506628274631000502415765284811L);
    for (long double x = low + 0.5L * h; x < high; x += h) {
        long double y = (2.0L * x - 1.0L) / (2.0L * sigma * sigma);
        long double loss = log1pl(q * expm1l(y));
        sum += norm * expl(-x * x / (2.0L * sigma * sigma)) * expm1l(order * loss);
    }
    return log1pl(sum) / (order - 1.0L);
}

static void assert_near(double found, long double right, double tolerance)
{
    if (!(fabsl((long double)found - right) <= (long double)tolerance * right) ||
        !((long double)found >= right * (1.0L - 1e-15L)))
        fail_msg("found %.17g, right is %.17Lg and no less", found, right);
}

static void test_pitfall_27__extreme_regimes__agree_with_a_long_double_twin(void **state)
{
    (void)state;
    static const struct {
        double q, sigma;
        unsigned order;
    } integer[] = {{1e-9, 1.0, 2},      {1e-9, 0.5, 16},     {1e-6, 0.3, 64},
                   {1e-4, 0.3, 4096},   {0.5, 0.3, 4096},    {0.999, 0.4, 512},
                   {0.01, 100.0, 4096}, {1e-9, 100.0, 4096}, {0.25, 10.0, 1000}};
    for (size_t i = 0; i < sizeof integer / sizeof integer[0]; i++) {
        struct csl_dp_event e = poisson(integer[i].sigma, integer[i].q, 1);
        long double right = twin_integer((long double)e.sampling_rate,
                                         (long double)integer[i].sigma, integer[i].order);
        /* the twin loses to cancellation what is close to 1: 1e-19 over a moment of q^2 */
        double moment = (double)right * (integer[i].order - 1.0);
        double tolerance = 1e-9 + 4e-16 / fmin(1.0, moment);
        double found = csl_dp_rdp(&e, (double)integer[i].order);
        if (!(fabsl((long double)found - right) <= (long double)tolerance * right))
            fail_msg("row %zu: found %.17g, right is %.17Lg", i, found, right);
    }
    static const struct {
        double q, sigma, order;
    } real[] = {{1e-6, 1.0, 1.01}, {1e-6, 0.5, 2.5},   {1e-8, 2.0, 7.5}, {0.9, 0.5, 1.5},
                {0.3, 0.25, 3.7},  {0.01, 30.0, 50.5}, {0.5, 5.0, 99.9}};
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        struct csl_dp_event e = poisson(real[i].sigma, real[i].q, 1);
        long double right = twin_real((long double)e.sampling_rate, (long double)real[i].sigma,
                                      (long double)real[i].order);
        assert_near(csl_dp_rdp(&e, real[i].order), right, 1e-6);
    }
}

static void
test_pitfall_27__normal_tails__agree_with_long_double_where_double_underflows(void **state)
{
    (void)state;
    for (double x = 5.0; x > -120.0; x -= 0.37) {
        long double right = logl(0.5L * erfcl(-(long double)x * 0.70710678118654752440084436L));
        double found = csl_dp_log_normal_cdf(x);
        assert_true(fabsl((long double)found - right) <=
                    (long double)(4.0 * CSL_DP_ULP * (4.0 + x * x)));
    }
}

/* delta(eps) = Phi(a) - e^eps Phi(b) in long double, where double would lose it all. */
static void test_pitfall_27__gaussian_delta__agrees_with_a_long_double_twin(void **state)
{
    (void)state;
    static const double rows[][2] = {{1.0, 8.0},  {0.001, 0.003}, {0.1, 1.0},
                                     {10.0, 120}, {30.0, 300.0},  {0.05, 0.3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        long double mu = (long double)rows[i][0], eps = (long double)rows[i][1];
        long double a = mu / 2 - eps / mu, b = -mu / 2 - eps / mu,
                    r = 0.70710678118654752440084436L;
        long double right = 0.5L * erfcl(-a * r) - expl(eps + logl(0.5L * erfcl(-b * r)));
        assert_near(csl_dp_gaussian_delta(rows[i][0], rows[i][1]), right, 1e-9);
    }
}

static void test_rdp__interpolated_orders__bound_the_exact_curve(void **state)
{
    (void)state;
    for (double order = 2.1; order < 30.0; order += 1.7) {
        struct csl_dp_event e = poisson(1.3, 0.05, 10);
        double exact = csl_dp_rdp(&e, order);
        e.mechanism = CSL_DP_DISCRETE_GAUSSIAN; /* the same bound at integer orders alone */
        e.dimensions = 1;
        e.l1_units = e.l2_units = 1.0;
        e.std_units = 1.3;
        double between = csl_dp_rdp(&e, order);
        assert_true(between >= exact);
        assert_true(between <= csl_dp_rdp(&e, ceil(order)) * (1.0 + 1e-12));
        double low = csl_dp_rdp(&e, floor(order));
        assert_true(between >= low);
    }
}

static void test_rdp__discrete_laplace__lies_below_its_pure_epsilon(void **state)
{
    (void)state;
    struct csl_dp_event e = {.mechanism = CSL_DP_DISCRETE_LAPLACE,
                             .sampler = CSL_DP_FULL_BATCH,
                             .sampling_rate = 1.0,
                             .steps = 1,
                             .dimensions = 1,
                             .l1_units = 1.0,
                             .l2_units = 1.0};
    double epsilon = 0.5, p = exp(-epsilon); /* variance 2p / (1-p)^2 at scale 1/epsilon */
    e.std_units = sqrt(2.0 * p) / (1.0 - p);
    e.noise_multiplier = e.std_units;
    for (double order = 1.01; order < 4000.0; order *= 1.5) {
        double found = csl_dp_rdp(&e, order);
        assert_true(found <= epsilon * (1 + 1e-12));
        assert_true(found <= order * epsilon * epsilon / 2.0 * (1 + 1e-12));
    }
    assert_true(csl_dp_rdp(&e, 4000.0) > 0.99 * epsilon);
}

static void test_rdp__conversion__knows_total_variation_and_infinity(void **state)
{
    (void)state;
    assert_true(csl_dp_rdp_epsilon(1e-13, 1.01, 1e-6) == 0.0);
    assert_true(csl_dp_rdp_epsilon(HUGE_VAL, 2.0, 1e-6) == HUGE_VAL);
    assert_true(csl_dp_rdp_epsilon(1.0, 2.0, 1e-6) > 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pitfall_26__orders_at_small_epsilon__reach_far_enough),
        cmocka_unit_test(test_pitfall_27__extreme_regimes__agree_with_a_long_double_twin),
        cmocka_unit_test(
            test_pitfall_27__normal_tails__agree_with_long_double_where_double_underflows),
        cmocka_unit_test(test_pitfall_27__gaussian_delta__agrees_with_a_long_double_twin),
        cmocka_unit_test(test_rdp__interpolated_orders__bound_the_exact_curve),
        cmocka_unit_test(test_rdp__discrete_laplace__lies_below_its_pure_epsilon),
        cmocka_unit_test(test_rdp__conversion__knows_total_variation_and_infinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
