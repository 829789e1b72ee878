/* Renyi differential privacy against tests/vectors/privacy/privacy_reference.json (reference.h). */
#include "tests/vectors/dp/reference.h"

#include "privacy/dp/account.h"
#include "privacy/dp/rdp.h"

#include <math.h>

static void test_rdp__poisson_gaussian_at_real_orders__is_the_exact_value(void **state)
{
    const struct csl_json_value *rows = group_of(state, "rdp_poisson_gaussian");
    assert_true(csl_json_count(rows) >= 21);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_event e = gaussian_event(number_of(row, "sigma"), number_of(row, "q"), 1);
        assert_close("rdp", csl_dp_rdp(&e, number_of(row, "alpha")), number_of(row, "rdp_per_step"),
                     1e-9);
    }
}

static void test_rdp__without_replacement__is_theorem_27(void **state)
{
    const struct csl_json_value *rows = group_of(state, "rdp_wor_gaussian");
    assert_true(csl_json_count(rows) >= 6);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_event e = gaussian_event(number_of(row, "sigma"), number_of(row, "q"), 1);
        e.sampler = CSL_DP_FIXED_SIZE;
        assert_close("rdp", csl_dp_rdp(&e, number_of(row, "alpha")), number_of(row, "rdp_per_step"),
                     1e-9);
    }
}

static void test_rdp__skellam__is_the_published_bound(void **state)
{
    const struct csl_json_value *rows = group_of(state, "skellam_rdp");
    assert_true(csl_json_count(rows) >= 4);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double std = sqrt(number_of(row, "variance")), l2 = number_of(row, "l2");
        struct csl_dp_event e = {.mechanism = CSL_DP_SKELLAM,
                                 .sampler = CSL_DP_FULL_BATCH,
                                 .noise_multiplier = std / l2,
                                 .sampling_rate = 1.0,
                                 .steps = 1,
                                 .dimensions = 1,
                                 .std_units = std,
                                 .l1_units = number_of(row, "l1"),
                                 .l2_units = l2};
        assert_close("rdp", csl_dp_rdp(&e, number_of(row, "alpha")), number_of(row, "rdp"), 1e-9);
    }
}

static void test_rdp__accounting_rows__within_one_percent_and_never_below_the_truth(void **state)
{
    const struct csl_json_value *rows = group_of(state, "poisson_gaussian");
    assert_true(csl_json_count(rows) >= 53);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_event e =
            gaussian_event(number_of(row, "noise_multiplier"), number_of(row, "sampling_rate"),
                           number_of(row, "steps"));
        double order = 0.0, best = number_of(row, "eps_rdp_opt");
        double found = csl_dp_rdp_best(&e, 1, number_of(row, "delta"), &order);
        assert_true(found >= number_of(row, "epsilon_lower"));
        assert_between("eps by rdp", found, best * (1.0 - 1e-6), best * (1.0 + 1e-6));
        assert_true(order >= CSL_DP_ORDER_MIN && order <= CSL_DP_ORDER_MAX);
    }
}

static void test_rdp__heterogeneous_lists__within_one_percent(void **state)
{
    const struct csl_json_value *rows = group_of(state, "heterogeneous");
    assert_true(csl_json_count(rows) >= 4);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i), *parts = member_of(row, "parts");
        struct csl_dp_event events[4];
        size_t count = csl_json_count(parts);
        assert_in_range(count, 1, 4);
        for (size_t j = 0; j < count; j++) {
            const struct csl_json_value *part = csl_json_at(parts, j);
            events[j] = gaussian_event(number_of(part, "sigma"), number_of(part, "q"),
                                       number_of(part, "steps"));
        }
        double found = csl_dp_rdp_best(events, count, number_of(row, "delta"), NULL);
        assert_true(found >= number_of(row, "eps"));
        assert_close("eps by rdp", found, number_of(row, "eps_rdp"), 0.01);
    }
}

/* The published row differs where its own note says that it is wrong: orders 1.5 and 2.5. */
static void test_rdp__published_row__integers_agree_and_fractions_are_exact(void **state)
{
    const struct csl_json_value *row =
        member_of(group_of(state, "published_crosschecks"), "dp_accounting_rdp_row");
    struct csl_dp_event e =
        gaussian_event(number_of(row, "sigma"), number_of(row, "q"), number_of(row, "count"));
    const struct csl_json_value *orders = member_of(row, "orders");
    assert_int_equal(csl_json_count(orders), 5);
    for (size_t i = 0; i < csl_json_count(orders); i++) {
        double order = 0.0, exact = 0.0, published = 0.0;
        assert_true(csl_json_as_f64(csl_json_at(orders, i), &order));
        assert_true(csl_json_as_f64(csl_json_at(member_of(row, "exact_x50"), i), &exact));
        assert_true(csl_json_as_f64(csl_json_at(member_of(row, "published"), i), &published));
        assert_close("rdp", csl_dp_rdp(&e, order), exact, 1e-9);
        if (order == floor(order))
            assert_close("published rdp", csl_dp_rdp(&e, order), published, 1e-7);
    }
}

static void test_rdp__published_sigma__has_the_published_epsilon(void **state)
{
    const struct csl_json_value *row =
        member_of(group_of(state, "published_crosschecks"), "dp_accounting_sigma_eps1");
    struct csl_dp_event e = gaussian_event(number_of(row, "sigma"), 1.0, 1.0);
    assert_between("eps by rdp", csl_dp_rdp_best(&e, 1, number_of(row, "delta"), NULL),
                   number_of(row, "eps_rdp") * (1.0 - 1e-6),
                   number_of(row, "eps_rdp") * (1 + 1e-6));
}

/* A peer's series of absolute binomials gives 0.01665 where 0.01623 is right. */
static void test_rdp__where_a_peer_sums_absolute_binomials__is_exact(void **state)
{
    const struct csl_json_value *rows = group_of(state, "peer_defects_verified");
    const struct csl_json_value *row = csl_json_at(rows, 4), *at = member_of(row, "case");
    struct csl_dp_event e = gaussian_event(number_of(at, "sigma"), number_of(at, "q"), 1.0);
    double found = csl_dp_rdp(&e, number_of(at, "alpha"));
    assert_close("rdp", found, number_of(row, "exact"), 1e-9);
    assert_true(found < number_of(row, "reported") * 0.98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rdp__poisson_gaussian_at_real_orders__is_the_exact_value),
        cmocka_unit_test(test_rdp__without_replacement__is_theorem_27),
        cmocka_unit_test(test_rdp__skellam__is_the_published_bound),
        cmocka_unit_test(test_rdp__accounting_rows__within_one_percent_and_never_below_the_truth),
        cmocka_unit_test(test_rdp__heterogeneous_lists__within_one_percent),
        cmocka_unit_test(test_rdp__published_row__integers_agree_and_fractions_are_exact),
        cmocka_unit_test(test_rdp__published_sigma__has_the_published_epsilon),
        cmocka_unit_test(test_rdp__where_a_peer_sums_absolute_binomials__is_exact),
    };
    return cmocka_run_group_tests(tests, reference_setup, reference_teardown);
}
