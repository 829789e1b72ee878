/* Closed forms against tests/vectors/privacy/privacy_reference.json (reference.h): 1e-9 relative.
 */
#include "tests/vectors/dp/reference.h"

#include "privacy/dp/gaussian.h"

#include <math.h>

static void test_gaussian__delta_of_epsilon__closed_form(void **state)
{
    const struct csl_json_value *rows = group_of(state, "gaussian_delta");
    assert_true(csl_json_count(rows) >= 12);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double mu = number_of(row, "mu"), eps = number_of(row, "eps");
        double right = number_of(row, "delta");
        assert_close("delta", csl_dp_gaussian_delta(mu, eps), right, 1e-9);
        assert_true(exp(csl_dp_gaussian_log_delta_lower(mu, eps)) <=
                    csl_dp_gaussian_delta(mu, eps));
    }
}

static void test_gaussian__epsilon_of_delta__closed_form(void **state)
{
    const struct csl_json_value *rows = group_of(state, "gaussian_eps");
    assert_true(csl_json_count(rows) >= 9);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double mu = number_of(row, "mu"), delta = number_of(row, "delta");
        double upper = csl_dp_gaussian_eps_upper(mu, delta);
        assert_close("eps", upper, number_of(row, "eps"), 1e-9);
        assert_true(csl_dp_gaussian_eps_lower(mu, delta) <= upper);
        assert_true(csl_dp_gaussian_delta(mu, upper) <= delta * (1.0 + 1e-14));
    }
}

static void test_gaussian__sigma__closed_form_and_on_the_safe_side(void **state)
{
    const struct csl_json_value *rows = group_of(state, "analytic_gaussian_sigma");
    assert_true(csl_json_count(rows) >= 12);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double eps = number_of(row, "eps"), delta = number_of(row, "delta");
        double sigma = csl_dp_gaussian_sigma(eps, delta);
        assert_close("sigma", sigma, number_of(row, "sigma"), 1e-9);
        assert_true(csl_dp_gaussian_eps_upper(1.0 / sigma, delta) <= eps * (1.0 + 1e-14));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaussian__delta_of_epsilon__closed_form),
        cmocka_unit_test(test_gaussian__epsilon_of_delta__closed_form),
        cmocka_unit_test(test_gaussian__sigma__closed_form_and_on_the_safe_side),
    };
    return cmocka_run_group_tests(tests, reference_setup, reference_teardown);
}
