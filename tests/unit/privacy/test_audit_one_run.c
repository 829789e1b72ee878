#include "base/mem.h"
#include "privacy/audit/guesses.h"
#include "privacy/audit/tail_internal.h"
#include "tests/unit/base/fixture.h"

#include <math.h>

/* P[Binomial(n, p) >= k] by summing products in long double. */
static long double upper_by_products(unsigned k, unsigned n, long double p)
{
    long double sum = 0.0L;
    for (unsigned j = k; j <= n; j++) {
        long double term = 1.0L;
        for (unsigned i = 0; i < j; i++)
            term *= p * (long double)(n - i) / (long double)(i + 1);
        for (unsigned i = j; i < n; i++)
            term *= 1.0L - p;
        sum += term;
    }
    return sum;
}

static void test_tail__binomial__equals_sum_of_products(void **state)
{
    (void)state;
    static const double shares[] = {0.001, 0.25, 0.5, 0.731, 0.98};
    static const unsigned sizes[] = {1, 2, 15, 16, 17, 40, 300};
    for (size_t s = 0; s < COUNT_OF(shares); s++)
        for (size_t z = 0; z < COUNT_OF(sizes); z++)
            for (unsigned k = 1; k <= sizes[z]; k += 1 + sizes[z] / 20) {
                long double right = upper_by_products(k, sizes[z], (long double)shares[s]);
                double found =
                    csl_audit__binomial_log_upper(k, sizes[z], shares[s], 1.0 - shares[s]);
                if (right > 1e-4900L) /* relative: the error of the logarithm */
                    assert_true(fabsl((long double)found - logl(right)) < 1e-11L);
            }
}

static void test_tail__binomial_ends__exact(void **state)
{
    (void)state;
    assert_true(csl_audit__binomial_log_upper(0, 10, 0.5, 0.5) == 0.0);
    assert_true(isinf(csl_audit__binomial_log_upper(11, 10, 0.5, 0.5)));
    assert_true(fabs(csl_audit__binomial_log_upper(10, 10, 0.5, 0.5) - 10.0 * log(0.5)) < 1e-14);
    assert_true(csl_audit__binomial_two_sided(0, 5, 0.0) == 1.0);
    assert_true(csl_audit__binomial_two_sided(1, 5, 0.0) == 0.0);
    assert_true(csl_audit__binomial_two_sided(5, 5, 1.0) == 1.0);
    assert_true(csl_audit__binomial_two_sided(4, 5, 1.0) == 0.0);
}

static void test_tail__normal_quantile__inverts_the_tail(void **state)
{
    (void)state;
    for (double p = 1e-300; p < 1e-2; p *= 10.0) {
        double x = csl_audit__normal_quantile(p);
        assert_true(fabs(csl_audit__normal_upper(-x) / p - 1.0) < 1e-11);
    }
    for (double p = 0.01; p < 0.999; p += 0.007) {
        double x = csl_audit__normal_quantile(p);
        assert_true(fabs(csl_audit__normal_upper(-x) / p - 1.0) < 1e-13);
        assert_true(fabs(x + csl_audit__normal_quantile(1.0 - p)) < 1e-12);
    }
    assert_true(csl_audit__normal_quantile(0.0) < 0.0 && isinf(csl_audit__normal_quantile(0.0)));
    assert_true(csl_audit__normal_quantile(1.0) > 0.0 && isinf(csl_audit__normal_quantile(1.0)));
}

/* With two degrees of freedom the upper tail is e^(-x/2). */
static void test_tail__chi_square_two_degrees__closed_form(void **state)
{
    (void)state;
    for (double x = 0.01; x < 700.0; x *= 1.3) {
        double upper = exp(-0.5 * x), lower = -expm1(-0.5 * x);
        double right = 2.0 * fmin(upper, lower);
        assert_true(fabs(csl_audit__chi_square_two_sided(x, 2) / right - 1.0) < 1e-12);
    }
    assert_true(csl_audit__chi_square_two_sided(0.0, 4) == 0.0);
    assert_true(csl_audit__chi_square_two_sided((double)NAN, 4) == 0.0);
}

/* The sum over i of the definition, in full. */
static double p_by_definition(const struct csl_one_run *g, double epsilon, double delta)
{
    long double p = 1.0L / (1.0L + expl(-(long double)epsilon)), alpha = 0.0L;
    unsigned r = (unsigned)g->guesses, v = (unsigned)g->correct;
    long double beta = upper_by_products(v, r, p);
    for (unsigned i = 1; i <= v; i++)
        alpha = fmaxl(alpha, (upper_by_products(v - i, r, p) - beta) / (long double)i);
    return (double)fminl(1.0L, beta + 2.0L * (long double)g->canaries * (long double)delta * alpha);
}

static void test_p_value__small_counts__equals_definition(void **state)
{
    (void)state;
    static const double epsilons[] = {0.0, 0.3, 1.0, 4.0};
    static const double deltas[] = {0.0, 1e-9, 1e-4, 0.1};
    for (uint64_t r = 1; r <= 40; r += 3)
        for (uint64_t v = 0; v <= r; v += 2)
            for (size_t e = 0; e < COUNT_OF(epsilons); e++)
                for (size_t d = 0; d < COUNT_OF(deltas); d++) {
                    struct csl_one_run g = {100, r, v};
                    double p = (double)NAN, right = p_by_definition(&g, epsilons[e], deltas[d]);
                    assert_int_equal(csl_one_run_p_value(&g, epsilons[e], deltas[d], &p, NULL),
                                     CSL_OK);
                    assert_true(fabs(p - right) <= 1e-11 * right);
                }
}

/* First terms below the smallest double, and the largest mean far from them. */
static void test_p_value__all_of_many_guesses_right_delta__not_underflown(void **state)
{
    (void)state;
    struct csl_one_run g = {100000, 100000, 100000};
    double p = (double)NAN;
    assert_int_equal(csl_one_run_p_value(&g, 0.0, 1e-5, &p, NULL), CSL_OK);
    /* The mean over half the range holds half the mass, at least: 2 m delta * 0.5 / 50000. */
    assert_true(p > 2e-5 && p < 1e-3);
}

static void test_epsilon__nothing_disproved__zero(void **state)
{
    (void)state;
    static const struct csl_one_run cases[] = {{10, 0, 0}, {10, 10, 0}, {10, 10, 5}, {10, 4, 4}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double epsilon = (double)NAN, mu = (double)NAN;
        assert_int_equal(csl_one_run_epsilon(&cases[i], 0.0, 0.95, &epsilon, NULL), CSL_OK);
        assert_int_equal(csl_one_run_mu(&cases[i], 0.95, &mu, NULL), CSL_OK);
        assert_true(epsilon == 0.0 && mu == 0.0);
    }
}

/* All r right at delta 0: the bound solves (e^x / (1 + e^x))^r = 0.05. */
static void test_epsilon__all_right__closed_form_rounded_down(void **state)
{
    (void)state;
    for (uint64_t r = 5; r <= 100000; r *= 10) {
        struct csl_one_run g = {r, r, r};
        double epsilon = (double)NAN, share = exp(log(0.05) / (double)r);
        double right = log(share / -expm1(log(0.05) / (double)r));
        assert_int_equal(csl_one_run_epsilon(&g, 0.0, 0.95, &epsilon, NULL), CSL_OK);
        assert_true(epsilon < right && right - epsilon < 3e-10);
    }
}

static void test_epsilon__more_right_guesses__never_lower(void **state)
{
    (void)state;
    double before = 0.0, mu_before = 0.0;
    for (uint64_t v = 100; v <= 200; v++) {
        struct csl_one_run g = {500, 200, v};
        double epsilon = (double)NAN, mu = (double)NAN;
        assert_int_equal(csl_one_run_epsilon(&g, 1e-5, 0.95, &epsilon, NULL), CSL_OK);
        assert_int_equal(csl_one_run_mu(&g, 0.95, &mu, NULL), CSL_OK);
        assert_true(epsilon >= before && mu >= mu_before);
        before = epsilon;
        mu_before = mu;
    }
    assert_true(before > 2.0 && mu_before > 0.5);
}

/* Published: sigma = 1 and delta = 1e-5 give epsilon 4.3772 (Balle and Wang 2018). */
static void test_gaussian_epsilon__known_and_edges__right(void **state)
{
    (void)state;
    double e = (double)NAN;
    assert_int_equal(csl_one_run_gaussian_epsilon(1.0, 1e-5, &e, NULL), CSL_OK);
    assert_true(fabs(e - 4.3771780956812165) < 1e-9);
    assert_int_equal(csl_one_run_gaussian_epsilon(0.0, 1e-5, &e, NULL), CSL_OK);
    assert_true(e == 0.0);
    assert_int_equal(csl_one_run_gaussian_epsilon(0.01, 0.5, &e, NULL), CSL_OK);
    assert_true(e == 0.0);
    assert_int_equal(csl_one_run_gaussian_epsilon(30.0, 1e-12, &e, NULL), CSL_OK);
    assert_true(e > 450.0 && e < 700.0);
}

static void test_one_run__arguments_out_of_range__refused_and_output_untouched(void **state)
{
    (void)state;
    const struct csl_one_run good = {10, 5, 3};
    static const struct csl_one_run bad[] = {
        {10, 11, 3}, {10, 5, 6}, {CSL_ONE_RUN_CANARIES_MAX + 1u, 1, 1}};
    double out = -7.0;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(csl_one_run_p_value(&bad[i], 1.0, 0.0, &out, NULL), CSL_E_INVAL);
        assert_int_equal(csl_one_run_epsilon(&bad[i], 0.0, 0.95, &out, NULL), CSL_E_INVAL);
        assert_int_equal(csl_one_run_mu(&bad[i], 0.95, &out, NULL), CSL_E_INVAL);
    }
    assert_int_equal(csl_one_run_p_value(&good, -0.1, 0.0, &out, NULL), CSL_E_INVAL);
    assert_int_equal(csl_one_run_p_value(&good, (double)NAN, 0.0, &out, NULL), CSL_E_INVAL);
    assert_int_equal(csl_one_run_p_value(&good, 501.0, 0.0, &out, NULL), CSL_E_INVAL);
    assert_int_equal(csl_one_run_p_value(&good, 1.0, 1.1, &out, NULL), CSL_E_INVAL);
    assert_int_equal(csl_one_run_epsilon(&good, 0.0, 1.0, &out, NULL), CSL_E_INVAL);
    assert_int_equal(csl_one_run_mu(&good, 0.0, &out, NULL), CSL_E_INVAL);
    assert_int_equal(csl_one_run_gaussian_epsilon(31.0, 1e-5, &out, NULL), CSL_E_INVAL);
    assert_int_equal(csl_one_run_gaussian_epsilon(1.0, 0.0, &out, NULL), CSL_E_INVAL);
    assert_true(out == -7.0);
}

static void test_guess__highest_and_lowest__counted(void **state)
{
    (void)state;
    static const double scores[] = {3.0, -1.0, 2.0, 0.0, 1.0};
    static const bool included[] = {true, false, false, true, true};
    struct csl_audit_scores s = {scores, included, 5};
    struct csl_one_run g;
    assert_int_equal(csl_audit_guess(&s, 2, 1, &g, NULL), CSL_OK); /* in: 3, 2; out: -1 */
    assert_int_equal(g.canaries, 5);
    assert_int_equal(g.guesses, 3);
    assert_int_equal(g.correct, 2);
}

/* Were ties broken in favour of the coins, constant scores would be right every time. */
static void test_guess__equal_scores__order_of_index(void **state)
{
    (void)state;
    static const double scores[4] = {0.0};
    static const bool included[] = {false, false, true, true};
    struct csl_audit_scores s = {scores, included, 4};
    struct csl_one_run g;
    assert_int_equal(csl_audit_guess(&s, 2, 2, &g, NULL), CSL_OK);
    assert_int_equal(g.correct, 0);
}

static void test_guess__bad_scores__refused(void **state)
{
    (void)state;
    static const double scores[] = {0.0, (double)NAN};
    static const bool included[2] = {false};
    struct csl_audit_scores s = {scores, included, 2}, none = {scores, included, 0};
    struct csl_one_run g;
    struct csl_audit_bound b;
    assert_int_equal(csl_audit_guess(&s, 1, 1, &g, NULL), CSL_E_INVAL);
    assert_int_equal(csl_audit_guess(&none, 0, 0, &g, NULL), CSL_E_INVAL);
    s.count = 1;
    assert_int_equal(csl_audit_guess(&s, 1, 1, &g, NULL), CSL_E_INVAL);
    assert_int_equal(csl_audit_bound(&s, 1.0, 0.95, &b, NULL), CSL_E_INVAL);
    assert_int_equal(csl_audit_bound(&s, 0.0, 1.0, &b, NULL), CSL_E_INVAL);
    assert_int_equal(csl_audit_bound_frontier(&s, -0.1, 0.95, &b, NULL), CSL_E_INVAL);
}

static void test_bound__perfect_scores__all_guesses_used(void **state)
{
    (void)state;
    double scores[400];
    bool included[400];
    for (size_t i = 0; i < 400; i++) {
        included[i] = i % 2 == 0;
        scores[i] = included[i] ? 1.0 : -1.0;
    }
    struct csl_audit_scores s = {scores, included, 400};
    struct csl_audit_bound b;
    assert_int_equal(csl_audit_bound(&s, 0.0, 0.95, &b, NULL), CSL_OK);
    assert_int_equal(b.guesses.guesses, 400);
    assert_int_equal(b.guesses.correct, 400);
    assert_int_equal(b.hypotheses, 6);
    assert_true(b.epsilon_lower > 4.0 && b.mu_lower > 1.0 && b.mu_epsilon_lower == 0.0);
}

/* Two vertices more than the ends: (0, 2) and (1, 3) of (false, true) positives. */
static void test_frontier__small_example__hull_counted(void **state)
{
    (void)state;
    static const double scores[] = {0.0, 4.0, 6.0, 7.0, 1.0, 2.0, 3.0, 5.0};
    static const bool included[] = {true, true, true, true, false, false, false, false};
    struct csl_audit_scores s = {scores, included, 8};
    struct csl_audit_bound b;
    assert_int_equal(csl_audit_bound_frontier(&s, 0.0, 0.95, &b, NULL), CSL_OK);
    assert_int_equal(b.hypotheses, 4);
}

static void test_bound__out_of_memory__code_and_output_untouched(void **state)
{
    (void)state;
    static const double scores[] = {1.0, 0.0};
    static const bool included[] = {true, false};
    struct csl_audit_scores s = {scores, included, 2};
    struct csl_audit_bound b = {.hypotheses = 77};
    (void)csl_mem_fail_after(1);
    assert_int_equal(csl_audit_bound(&s, 0.0, 0.95, &b, NULL), CSL_E_NOMEM);
    for (uint64_t n = 1; n <= 2; n++) {
        (void)csl_mem_fail_after(n);
        assert_int_equal(csl_audit_bound_frontier(&s, 0.0, 0.95, &b, NULL), CSL_E_NOMEM);
    }
    (void)csl_mem_fail_after(0);
    assert_int_equal(b.hypotheses, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tail__binomial__equals_sum_of_products),
        cmocka_unit_test(test_tail__binomial_ends__exact),
        cmocka_unit_test(test_tail__normal_quantile__inverts_the_tail),
        cmocka_unit_test(test_tail__chi_square_two_degrees__closed_form),
        cmocka_unit_test(test_p_value__small_counts__equals_definition),
        cmocka_unit_test(test_p_value__all_of_many_guesses_right_delta__not_underflown),
        cmocka_unit_test(test_epsilon__nothing_disproved__zero),
        cmocka_unit_test(test_epsilon__all_right__closed_form_rounded_down),
        cmocka_unit_test(test_epsilon__more_right_guesses__never_lower),
        cmocka_unit_test(test_gaussian_epsilon__known_and_edges__right),
        cmocka_unit_test(test_one_run__arguments_out_of_range__refused_and_output_untouched),
        cmocka_unit_test(test_guess__highest_and_lowest__counted),
        cmocka_unit_test(test_guess__equal_scores__order_of_index),
        cmocka_unit_test(test_guess__bad_scores__refused),
        cmocka_unit_test(test_bound__perfect_scores__all_guesses_used),
        cmocka_unit_test(test_frontier__small_example__hull_counted),
        cmocka_unit_test(test_bound__out_of_memory__code_and_output_untouched),
    };
    return cmocka_run_group_tests_name("audit_one_run", tests, NULL, NULL);
}
