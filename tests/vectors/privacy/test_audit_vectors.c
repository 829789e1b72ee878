/* The audit against privacy_reference.json, computed independently in high precision. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "privacy/audit/guesses.h"
#include "privacy/audit/tail_internal.h"
#include "tests/unit/base/fixture.h"

#include <math.h>

static struct csl_json_doc *reference;

static int load(void **state)
{
    (void)state;
    struct csl_msg text = {0};
    struct csl_err err;
    const char *path = "tests/vectors/privacy/privacy_reference.json";
    if (csl_file_read(&text, path, 1 << 20, &err) != CSL_OK)
        return -1;
    enum csl_code rc = csl_json_parse(&reference, path, csl_msg_span(&text), &err);
    csl_msg_release(&text);
    return rc == CSL_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    csl_json_free(reference);
    return 0;
}

static const struct csl_json_value *group(const char *name, size_t rows)
{
    const struct csl_json_value *g = csl_json_get(csl_json_root(reference), name);
    assert_non_null(g);
    assert_int_equal(csl_json_count(g), rows);
    return g;
}

static double number(const struct csl_json_value *row, const char *key)
{
    double x = (double)NAN;
    assert_true(csl_json_as_f64(csl_json_get(row, key), &x));
    return x;
}

static uint64_t count(const struct csl_json_value *row, const char *key)
{
    uint64_t x = 0;
    assert_true(csl_json_as_u64(csl_json_get(row, key), &x));
    return x;
}

static void assert_near(double found, double right, double tolerance)
{
    if (!(fabs(found - right) <= tolerance))
        fail_msg("found %.15g; %.15g within %g would be right", found, right, tolerance);
}

static void test_one_run__p_values_of_reference__equal_to_1e9(void **state)
{
    (void)state;
    const struct csl_json_value *rows = group("one_run_audit", 8);
    for (size_t i = 0; i < 8; i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_one_run g = {count(row, "m"), count(row, "guesses"), count(row, "correct")};
        double p = (double)NAN, right = number(row, "p_value_at_eps1");
        assert_int_equal(csl_one_run_p_value(&g, 1.0, number(row, "delta"), &p, NULL), CSL_OK);
        assert_near(p, right, 1e-9 * right);
    }
}

static void test_one_run__epsilons_of_reference__equal_to_1e9_and_not_above(void **state)
{
    (void)state;
    const struct csl_json_value *rows = group("one_run_audit", 8);
    for (size_t i = 0; i < 8; i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_one_run g = {count(row, "m"), count(row, "guesses"), count(row, "correct")};
        double epsilon = (double)NAN, right = number(row, "eps_lower_95");
        assert_int_equal(csl_one_run_epsilon(&g, number(row, "delta"), 0.95, &epsilon, NULL),
                         CSL_OK);
        assert_near(epsilon, right, 1e-9);
        assert_true(epsilon <= right);
    }
}

/* The mu of the table against its epsilon at delta = 1e-5 (closed form of the Gaussian). */
static void test_one_run__true_epsilons_of_reference__equal_to_1e9(void **state)
{
    (void)state;
    const struct csl_json_value *rows = group("one_run_audit_expected_bounds", 16);
    for (size_t i = 0; i < 16; i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double epsilon = (double)NAN, right = number(row, "eps_true_1e5");
        assert_int_equal(csl_one_run_gaussian_epsilon(number(row, "mu"), 1e-5, &epsilon, NULL),
                         CSL_OK);
        assert_near(epsilon, right, 1e-9);
        assert_true(epsilon <= right);
    }
}

/* The share of right ones among the highest `fraction` of the scores N(0, 1) and N(mu, 1). */
static double precision_at(double mu, double fraction)
{
    double low = -10.0, high = 20.0;
    while (high - low > 1e-13) {
        double t = 0.5 * (low + high);
        double above = 0.5 * (csl_audit__normal_upper(t - mu) + csl_audit__normal_upper(t));
        if (above > fraction)
            low = t;
        else
            high = t;
    }
    return 0.5 * csl_audit__normal_upper(low - mu) / fraction;
}

/* One-sided guesses at the best fraction, as many right as expected, rounded down. The reference
 * gives seven digits. */
static void test_one_run__expected_bounds_of_reference__equal_to_1e6(void **state)
{
    (void)state;
    const struct csl_json_value *rows = group("one_run_audit_expected_bounds", 16);
    for (size_t i = 0; i < 16; i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double fraction = number(row, "best_guess_fraction");
        uint64_t m = count(row, "m"), guesses = (uint64_t)llround(fraction * (double)m);
        double right = (double)guesses * precision_at(number(row, "mu"), fraction);
        struct csl_one_run g = {m, guesses, (uint64_t)right};
        double epsilon = (double)NAN;
        assert_int_equal(csl_one_run_epsilon(&g, 1e-5, 0.95, &epsilon, NULL), CSL_OK);
        assert_near(epsilon, number(row, "eps_lower_expected"), 1e-6);
    }
}

#define EACH 10000

/* 10 000 quantiles of N(0, 1) outside and as many of N(shift, 1) inside, delta = 1e-6. */
static void gaussian_scores(double shift, struct csl_audit_bound *out)
{
    double *scores = csl_alloc_array(2 * EACH, sizeof(*scores));
    bool *included = csl_alloc_array(2 * EACH, sizeof(*included));
    assert_true(scores != NULL && included != NULL);
    for (size_t i = 0; i < EACH; i++) {
        scores[i] = csl_audit__normal_quantile(((double)i + 0.5) / EACH);
        scores[EACH + i] = scores[i] + shift;
        included[EACH + i] = true;
    }
    struct csl_audit_scores s = {scores, included, 2 * EACH};
    assert_int_equal(csl_audit_bound_frontier(&s, 1e-6, 0.95, out, NULL), CSL_OK);
    csl_free(included);
    csl_free(scores);
}

/* The reference stopped its search at 1e-6. */
static void test_frontier__gaussian_scores_of_reference__equal_to_1e6(void **state)
{
    (void)state;
    const struct csl_json_value *rows = group("one_run_audit_gaussian_scores", 3);
    for (size_t i = 0; i < 3; i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_audit_bound b;
        gaussian_scores(number(row, "shift"), &b);
        assert_int_equal(b.hypotheses, count(row, "thresholds_on_frontier"));
        assert_near(b.epsilon_lower, number(row, "eps_one_run_bonferroni"), 1e-6);
        assert_near(b.epsilon_lower, number(row, "published_one_run"), 1e-6);
    }
}

static void test_frontier__fdp_scores_of_reference__equal_to_1e6(void **state)
{
    (void)state;
    const struct csl_json_value *rows = group("one_run_audit_fdp_gaussian_scores", 3);
    for (size_t i = 0; i < 3; i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_audit_bound b;
        gaussian_scores(number(row, "shift"), &b);
        assert_near(b.mu_epsilon_lower, number(row, "eps_one_run_fdp_bonferroni"), 1e-6);
        assert_near(b.mu_epsilon_lower, number(row, "published"), 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_run__p_values_of_reference__equal_to_1e9),
        cmocka_unit_test(test_one_run__epsilons_of_reference__equal_to_1e9_and_not_above),
        cmocka_unit_test(test_one_run__true_epsilons_of_reference__equal_to_1e9),
        cmocka_unit_test(test_one_run__expected_bounds_of_reference__equal_to_1e6),
        cmocka_unit_test(test_frontier__gaussian_scores_of_reference__equal_to_1e6),
        cmocka_unit_test(test_frontier__fdp_scores_of_reference__equal_to_1e6),
    };
    return cmocka_run_group_tests_name("audit_vectors", tests, load, unload);
}
