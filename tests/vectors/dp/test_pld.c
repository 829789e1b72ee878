/* Loss distributions and csl_account against tests/vectors/privacy/privacy_reference.json
 * (reference.h). Its tolerance: upper >= epsilon_lower and <= 1.01 x epsilon_upper; the lower bound
 * is held to the same. */
#include "tests/vectors/dp/reference.h"

#include "privacy/dp/account.h"
#include "privacy/dp/calibrate.h"
#include "privacy/dp/estimate.h"
#include "privacy/dp/gaussian.h"
#include "privacy/dp/pld_epsilon.h"
#include "privacy/dp/rdp.h"

#include <math.h>
#include <string.h>

static struct csl_price price_of(const struct csl_dp_event *events, size_t count, double delta)
{
    struct csl_price price = {0};
    struct csl_err err = {0};
    if (csl_account(events, count, delta, &price, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return price;
}

static struct csl_dp_bounds bounds_of(const struct csl_dp_part *parts, size_t count, double delta,
                                      double interval)
{
    struct csl_dp_bounds b = {0};
    struct csl_err err = {0};
    if (csl_dp_pld_epsilon(parts, count, delta, interval, &b, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return b;
}

/* low <= truth <= high */
static void assert_brackets(double upper, double lower, double low, double high)
{
    assert_between("upper bound", upper, low, 1.01 * high);
    assert_between("lower bound", lower, 0.99 * low, high);
    assert_true(lower <= upper);
}

static void test_account__poisson_and_full_batch_rows__bracket_the_truth(void **state)
{
    const struct csl_json_value *rows = group_of(state, "poisson_gaussian");
    assert_true(csl_json_count(rows) >= 53);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_event e =
            gaussian_event(number_of(row, "noise_multiplier"), number_of(row, "sampling_rate"),
                           number_of(row, "steps"));
        struct csl_price p = price_of(&e, 1, number_of(row, "delta"));
        double exact = 0.0;
        assert_brackets(p.epsilon_pld, p.epsilon_lower, number_of(row, "epsilon_lower"),
                        number_of(row, "epsilon_upper"));
        if (csl_json_as_f64(csl_json_get(row, "epsilon_exact"), &exact)) {
            assert_true(p.epsilon_pld >= exact * (1.0 - 1e-12));
            assert_true(p.epsilon_lower <= exact * (1.0 + 1e-12));
        }
        assert_true(p.epsilon == fmin(p.epsilon_pld, p.epsilon_rdp));
        assert_true(p.epsilon_rdp >= p.epsilon_lower);
    }
}

static void test_pld__each_direction__is_above_the_exact_value(void **state)
{
    const struct csl_json_value *rows = group_of(state, "poisson_gaussian");
    static const char *const names[2] = {"remove", "add"};
    unsigned seen[2] = {0, 0};
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_part part = {
            .pair = csl_dp_pair_poisson(number_of(row, "noise_multiplier"),
                                        csl_dp_rate(number_of(row, "sampling_rate"))),
            .steps = (uint64_t)number_of(row, "steps")};
        struct csl_dp_bounds b = bounds_of(&part, 1, number_of(row, "delta"), 0.0);
        for (size_t d = 0; d < 2; d++) {
            const struct csl_json_value *side = member_of(row, names[d]);
            double found = b.upper_direction[d];
            if (found == 0.0) /* ruled out as the larger by its Renyi bound */
                continue;
            seen[d]++;
            assert_between(names[d], found, number_of(side, "eps_lower"),
                           1.01 * number_of(side, "eps_upper"));
        }
    }
    assert_true(seen[CSL_DP_REMOVE] >= 53 && seen[CSL_DP_ADD] >= 15);
}

static void test_pld__delta_down_to_1e_18__brackets_the_truth(void **state)
{
    const struct csl_json_value *rows = group_of(state, "tiny_delta");
    assert_true(csl_json_count(rows) >= 6);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_event e =
            gaussian_event(number_of(row, "sigma"), number_of(row, "q"), number_of(row, "steps"));
        struct csl_price p = price_of(&e, 1, number_of(row, "delta"));
        assert_brackets(p.epsilon_pld, p.epsilon_lower, number_of(row, "eps_lower"),
                        number_of(row, "eps_upper"));
        assert_true(p.epsilon_pld >= number_of(row, "eps_exact"));
        assert_true(p.epsilon_lower <= number_of(row, "eps_exact"));
    }
}

/* On a fine grid the bracket closes about the 34-digit values. */
static void test_pld__fine_grid__closes_about_the_34_digit_value(void **state)
{
    const struct csl_json_value *rows = group_of(state, "high_precision");
    assert_true(csl_json_count(rows) >= 8);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double right = number_of(row, "eps_double");
        struct csl_dp_part part = {
            .pair = csl_dp_pair_poisson(number_of(row, "sigma"), csl_dp_rate(number_of(row, "q"))),
            .steps = (uint64_t)number_of(row, "steps")};
        struct csl_dp_bounds b = bounds_of(&part, 1, number_of(row, "delta"), 0.0);
        b = bounds_of(&part, 1, number_of(row, "delta"), b.interval / 6.0);
        assert_between("upper", b.upper, right, right * 1.0001);
        assert_between("lower", b.lower, right * 0.9999, right);
    }
}

static void test_account__heterogeneous_lists__bracket_the_truth(void **state)
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
        struct csl_price p = price_of(events, count, number_of(row, "delta"));
        double exact = number_of(row, "eps");
        assert_brackets(p.epsilon_pld, p.epsilon_lower, exact * (1 - 1e-9), exact * (1 + 1e-9));
    }
}

static void test_pld__one_patient_at_several_sites__brackets_the_truth(void **state)
{
    const struct csl_json_value *rows = group_of(state, "mixture_of_gaussians_duplicates");
    assert_true(csl_json_count(rows) >= 3);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_part part = {.pair = csl_dp_pair_duplicates(number_of(row, "sigma"),
                                                                  number_of(row, "q"),
                                                                  (size_t)number_of(row, "copies")),
                                   .steps = (uint64_t)number_of(row, "steps")};
        struct csl_dp_bounds b = bounds_of(&part, 1, number_of(row, "delta"), 0.0);
        double exact = number_of(row, "eps");
        assert_brackets(b.upper, b.lower, exact * (1 - 1e-9), exact * (1 + 1e-9));
    }
}

static void test_pld__general_mixtures__bracket_the_exact_and_published_value(void **state)
{
    const struct csl_json_value *row = group_of(state, "mixture_of_gaussians_crosscheck");
    const struct csl_json_value *list = member_of(row, "parts");
    struct csl_dp_part parts[4];
    size_t count = csl_json_count(list);
    assert_in_range(count, 1, 4);
    for (size_t j = 0; j < count; j++) {
        const struct csl_json_value *part = csl_json_at(list, j);
        const struct csl_json_value *means = member_of(part, "sens");
        parts[j] = (struct csl_dp_part){
            .pair = {.std = number_of(part, "sigma"), .q_count = 1, .q_weight = {1.0}},
            .steps = (uint64_t)number_of(part, "count")};
        struct csl_dp_pair *pair = &parts[j].pair;
        for (pair->p_count = 0; pair->p_count < csl_json_count(means); pair->p_count++) {
            size_t k = pair->p_count;
            assert_true(csl_json_as_f64(csl_json_at(means, k), &pair->p_mean[k]));
            assert_true(
                csl_json_as_f64(csl_json_at(member_of(part, "probs"), k), &pair->p_weight[k]));
        }
    }
    struct csl_dp_bounds b = bounds_of(parts, count, number_of(row, "delta"), 0.0);
    assert_brackets(b.upper, b.lower, number_of(row, "eps_exact"), number_of(row, "eps_exact"));
    assert_true(b.lower <= number_of(row, "published") && b.upper >= number_of(row, "published"));
}

static void test_pld__replace_one__brackets_the_truth(void **state)
{
    const struct csl_json_value *rows = group_of(state, "replace_one_poisson");
    assert_true(csl_json_count(rows) >= 4);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_part part = {
            .pair = csl_dp_pair_replace(number_of(row, "sigma"), number_of(row, "q")),
            .steps = (uint64_t)number_of(row, "steps")};
        struct csl_dp_bounds b = bounds_of(&part, 1, number_of(row, "delta"), 0.0);
        double exact = number_of(row, "eps_replace_one");
        assert_brackets(b.upper, b.lower, exact * (1 - 1e-9), exact * (1 + 1e-9));
        assert_true(b.lower > number_of(row, "eps_add_remove"));
    }
}

static void test_calibrate__noise__is_safe_and_close_to_the_exact_value(void **state)
{
    const struct csl_json_value *rows = group_of(state, "calibration");
    assert_true(csl_json_count(rows) >= 10);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        struct csl_dp_event e = gaussian_event(1.0, number_of(row, "q"), number_of(row, "steps"));
        double found = 0.0, exact = number_of(row, "sigma_exact");
        assert_int_equal(csl_dp_calibrate_noise(&e, number_of(row, "eps"), number_of(row, "delta"),
                                                &found, NULL),
                         CSL_OK);
        assert_between("sigma", found, exact * (1 - 1e-12), exact * 1.01);
        assert_true(found < number_of(row, "sigma_rdp"));
    }
}

/* Published noise multipliers: of the Renyi accountant ours equals, rounded to four digits; of the
 * other, an upper end with an error of 0.01 in epsilon, ours is not above. */
static void test_calibrate__published_sigmas__agree(void **state)
{
    const struct csl_json_value *rows =
        member_of(group_of(state, "published_crosschecks"), "opacus_calibration");
    assert_true(csl_json_count(rows) >= 2);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double eps = number_of(row, "eps"), delta = number_of(row, "delta"), found = 0.0;
        struct csl_dp_event e = gaussian_event(1.0, number_of(row, "q"), number_of(row, "steps"));
        assert_int_equal(csl_dp_calibrate_noise(&e, eps, delta, &found, NULL), CSL_OK);
        assert_true(found < number_of(row, "published_sigma_prv"));
        e.noise_multiplier = number_of(row, "published_sigma_rdp");
        assert_between("eps by rdp", csl_dp_rdp_best(&e, 1, delta, NULL), 0.998 * eps, eps);
    }
}

/* Where two peers are wrong (the rows say how): never below the truth, and above what they say. */
static void test_account__where_peers_report_too_little__is_above_the_truth(void **state)
{
    const struct csl_json_value *rows = group_of(state, "peer_defects_verified");
    assert_int_equal(csl_json_count(rows), 7);
    for (size_t i = 0; i < 7; i++) {
        const struct csl_json_value *row = csl_json_at(rows, i), *at = member_of(row, "case");
        double truth = 0.0, reported = 0.0;
        if (!csl_json_as_f64(csl_json_get(row, "true"), &truth) &&
            !csl_json_as_f64(csl_json_get(row, "true_lower"), &truth))
            continue; /* not about the subsampled Gaussian: below, and test_rdp.c */
        struct csl_dp_event e =
            gaussian_event(number_of(at, "sigma"), number_of(at, "q"), number_of(at, "steps"));
        struct csl_price p = price_of(&e, 1, number_of(at, "delta"));
        assert_between("upper", p.epsilon_pld, truth, 1.01 * truth);
        assert_true(p.epsilon_lower <= truth * (1 + 1e-4) && p.epsilon_lower >= truth * 0.99);
        if (csl_json_as_f64(csl_json_get(row, "reported"), &reported) && reported < truth)
            assert_true(p.epsilon_lower > reported || reported > 0.99 * truth);
    }
}

/* Two peers price a hundred uses of a pure mechanism like one. */
static void test_pld__where_peers_ignore_the_count__every_use_is_priced(void **state)
{
    const struct csl_json_value *rows = group_of(state, "peer_defects_verified");
    const struct csl_json_value *row = csl_json_at(rows, 2), *at = member_of(row, "case");
    struct csl_dp_part part = {.pure_epsilon = number_of(at, "epsilon"),
                               .steps = (uint64_t)number_of(at, "count")};
    struct csl_dp_bounds b = bounds_of(&part, 1, number_of(at, "delta"), 0.0);
    assert_between("eps", b.upper, number_of(row, "pld_value") * (1 - 1e-4),
                   number_of(row, "pld_value") * 1.01);

    row = csl_json_at(rows, 3); /* randomised response: keeps its bit with 1 - .5 + .5/2 */
    at = member_of(row, "case");
    part = (struct csl_dp_part){.pure_epsilon = log(0.75 / 0.25),
                                .steps = (uint64_t)number_of(at, "count")};
    b = bounds_of(&part, 1, number_of(at, "delta"), 0.0);
    assert_true(b.upper <= number_of(row, "rdp_value"));
    assert_true(b.upper > 0.75 * number_of(row, "rdp_value"));
}

static void test_estimate__central_limit__is_what_was_published_and_below_the_truth(void **state)
{
    const struct csl_json_value *rows = group_of(state, "gdp_clt_not_a_bound");
    assert_true(csl_json_count(rows) >= 5);
    for (size_t i = 0; i < csl_json_count(rows); i++) {
        const struct csl_json_value *row = csl_json_at(rows, i);
        double q = number_of(row, "q"), sigma = number_of(row, "sigma");
        double steps = number_of(row, "steps"), delta = number_of(row, "delta");
        double estimate = csl_dp_clt_estimate(sigma, q, steps, delta);
        struct csl_dp_event e = gaussian_event(sigma, q, steps);
        assert_close("estimate", estimate, number_of(row, "eps_clt"), 1e-9);
        assert_true(estimate < number_of(row, "eps_exact"));
        assert_true(price_of(&e, 1, delta).epsilon >= number_of(row, "eps_exact"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_account__poisson_and_full_batch_rows__bracket_the_truth),
        cmocka_unit_test(test_pld__each_direction__is_above_the_exact_value),
        cmocka_unit_test(test_pld__delta_down_to_1e_18__brackets_the_truth),
        cmocka_unit_test(test_pld__fine_grid__closes_about_the_34_digit_value),
        cmocka_unit_test(test_account__heterogeneous_lists__bracket_the_truth),
        cmocka_unit_test(test_pld__one_patient_at_several_sites__brackets_the_truth),
        cmocka_unit_test(test_pld__general_mixtures__bracket_the_exact_and_published_value),
        cmocka_unit_test(test_pld__replace_one__brackets_the_truth),
        cmocka_unit_test(test_calibrate__noise__is_safe_and_close_to_the_exact_value),
        cmocka_unit_test(test_calibrate__published_sigmas__agree),
        cmocka_unit_test(test_account__where_peers_report_too_little__is_above_the_truth),
        cmocka_unit_test(test_pld__where_peers_ignore_the_count__every_use_is_priced),
        cmocka_unit_test(test_estimate__central_limit__is_what_was_published_and_below_the_truth),
    };
    return cmocka_run_group_tests(tests, reference_setup, reference_teardown);
}
