/* Integer noise against tests/vectors/privacy/privacy_reference.json (reference.h). */
#include "tests/vectors/dp/reference.h"

#include "privacy/dp/discrete.h"

#include <math.h>
#include <stdlib.h>

static void test_discrete_gaussian__pmf__is_exact(void **state)
{
    const struct csl_json_value *rows = group_of(state, "discrete_gaussian_pmf");
    assert_true(csl_json_count(rows) >= 6);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i), *pmf = member_of(row, "pmf");
        double sigma2 = number_of(row, "sigma2"), variance = 0.0;
        assert_true(csl_json_count(pmf) >= 6);
        for (size_t j = 0; j < csl_json_count(pmf); j++) {
            const char *key = NULL;
            double right = 0.0;
            assert_true(csl_json_as_f64(csl_json_member_at(pmf, j, &key), &right));
            int64_t z = strtol(key, NULL, 10);
            assert_close("pmf", csl_dp_discrete_gaussian_pmf(sigma2, z), right, 1e-9);
            assert_close("pmf", csl_dp_discrete_gaussian_pmf(sigma2, -z), right, 1e-9);
        }
        for (int64_t z = 1; z < 40 * (int64_t)ceil(sqrt(sigma2)); z++)
            variance += 2.0 * (double)(z * z) * csl_dp_discrete_gaussian_pmf(sigma2, z);
        assert_close("variance", variance, number_of(row, "variance"), 1e-9);
        assert_close("normalizer", 1.0 / csl_dp_discrete_gaussian_pmf(sigma2, 0),
                     number_of(row, "normalizer"), 1e-9);
    }
}

static void test_discrete_gaussian__delta__is_exact(void **state)
{
    const struct csl_json_value *rows = group_of(state, "discrete_gaussian_delta");
    assert_true(csl_json_count(rows) >= 7);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double found = csl_dp_discrete_gaussian_delta(number_of(row, "sigma2"),
                                                      (uint64_t)number_of(row, "sensitivity"),
                                                      number_of(row, "eps"));
        assert_close("delta", found, number_of(row, "delta"), 1e-9);
    }
}

static void test_skellam__delta__is_exact(void **state)
{
    const struct csl_json_value *rows = group_of(state, "skellam_delta");
    assert_true(csl_json_count(rows) >= 5);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double found = 0.0;
        assert_int_equal(csl_dp_skellam_delta(number_of(row, "variance"),
                                              (uint64_t)number_of(row, "sensitivity"),
                                              number_of(row, "eps"), &found, NULL),
                         CSL_OK);
        assert_close("delta", found, number_of(row, "delta"), 1e-9);
        assert_true(found <= number_of(row, "delta_rdp_bound"));
    }
}

static void test_ddg__tau__is_the_published_sum(void **state)
{
    const struct csl_json_value *rows = group_of(state, "ddg_tau");
    assert_true(csl_json_count(rows) >= 5);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        assert_close(
            "tau",
            csl_dp_ddg_tau(number_of(row, "local_sigma_over_gamma"), (uint64_t)number_of(row, "n")),
            number_of(row, "tau"), 1e-9);
    }
}

static void test_rounding__bound__is_the_published_one(void **state)
{
    const struct csl_json_value *rows = group_of(state, "kls_rounding_bound");
    assert_true(csl_json_count(rows) >= 4);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        assert_close("bound",
                     csl_dp_rounding_bound(number_of(row, "c"), number_of(row, "gamma"),
                                           (uint64_t)number_of(row, "dim"), number_of(row, "beta")),
                     number_of(row, "l2_after_rounding"), 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discrete_gaussian__pmf__is_exact),
        cmocka_unit_test(test_discrete_gaussian__delta__is_exact),
        cmocka_unit_test(test_skellam__delta__is_exact),
        cmocka_unit_test(test_ddg__tau__is_the_published_sum),
        cmocka_unit_test(test_rounding__bound__is_the_published_one),
    };
    return cmocka_run_group_tests(tests, reference_setup, reference_teardown);
}
