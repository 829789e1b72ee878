#include "privacy/dp/account.h"
#include "privacy/dp/calibrate.h"
#include "privacy/dp/filter.h"
#include "privacy/dp/rdp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct csl_dp_event gaussian(double sigma, double q, uint64_t steps)
{
    return (struct csl_dp_event){.mechanism = CSL_DP_GAUSSIAN,
                                 .sampler = q == 1.0 ? CSL_DP_FULL_BATCH : CSL_DP_POISSON,
                                 .noise_multiplier = sigma,
                                 .sampling_rate = csl_dp_rate(q),
                                 .steps = steps};
}

static void test_filter__spends_to_the_last_step__and_not_one_more(void **state)
{
    (void)state;
    struct csl_dp_filter f;
    struct csl_dp_event e = gaussian(1.5, 0.02, 1);
    uint64_t left = 0, after = 99;
    bool fits = true;
    assert_int_equal(csl_dp_filter_init(&f, 2.0, 1e-5, NULL, 0, NULL), CSL_OK);
    assert_int_equal(csl_dp_filter_steps_left(&f, &e, &left, NULL), CSL_OK);
    assert_true(left > 100);
    e.steps = left;
    assert_int_equal(csl_dp_filter_spend(&f, &e, NULL), CSL_OK);
    assert_int_equal(csl_dp_filter_steps_left(&f, &e, &after, NULL), CSL_OK);
    assert_true(after <= 1);
    e.steps = 2;
    assert_int_equal(csl_dp_filter_fits(&f, &e, &fits, NULL), CSL_OK);
    assert_false(fits);
    struct csl_dp_filter before = f;
    assert_int_equal(csl_dp_filter_spend(&f, &e, NULL), CSL_E_BUDGET);
    assert_memory_equal(&f, &before, sizeof f);
    assert_true(csl_dp_filter_epsilon(&f) <= 2.0 && csl_dp_filter_epsilon(&f) > 1.9);
    assert_true(csl_dp_filter_left(&f) >= 0.0 && csl_dp_filter_left(&f) < 0.02);
}

/* What the filter let through, priced afterwards as if it had been planned, is within the budget.
 */
static void test_filter__adaptive_events__never_exceed_the_budget(void **state)
{
    (void)state;
    struct csl_dp_filter f;
    struct csl_dp_event ran[200];
    size_t count = 0;
    assert_int_equal(csl_dp_filter_init(&f, 3.0, 1e-6, NULL, 0, NULL), CSL_OK);
    for (size_t i = 0; i < 200; i++) {
        struct csl_dp_event e =
            gaussian(0.8 + 0.1 * (double)(i % 13), i % 7 == 0 ? 0.05 : 0.01, 10 + i % 30);
        if (csl_dp_filter_spend(&f, &e, NULL) == CSL_OK)
            ran[count++] = e;
    }
    assert_true(count > 20 && count < 200);
    assert_true(csl_dp_rdp_best(ran, count, 1e-6, NULL) <= 3.0);
}

static void test_filter__parameters_out_of_range__are_refused(void **state)
{
    (void)state;
    struct csl_dp_filter f;
    double orders[2] = {2.0, 1.0};
    assert_int_equal(csl_dp_filter_init(&f, 0.0, 1e-5, NULL, 0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_filter_init(&f, 1.0, 0.0, NULL, 0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_filter_init(&f, 1.0, 1e-5, orders, 2, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_filter_init(&f, 1e-3, 1e-9, orders, 1, NULL), CSL_E_INVAL);
}

static void test_filter__another_adjacency__is_refused(void **state)
{
    (void)state;
    struct csl_dp_filter f;
    struct csl_dp_event e = gaussian(2.0, 0.01, 10);
    assert_int_equal(csl_dp_filter_init(&f, 2.0, 1e-5, NULL, 0, NULL), CSL_OK);
    assert_true(csl_dp_filter_epsilon(&f) == 0.0);
    assert_int_equal(csl_dp_filter_spend(&f, &e, NULL), CSL_OK);
    e.sampler = CSL_DP_FIXED_SIZE;
    assert_int_equal(csl_dp_filter_spend(&f, &e, NULL), CSL_E_UNSUPPORTED);
}

static void test_calibrate__steps_and_rate__keep_the_target_and_use_it(void **state)
{
    (void)state;
    struct csl_dp_event e = gaussian(1.2, 0.01, 1000);
    struct csl_price p;
    uint64_t steps = 0;
    double rate = 0.0;
    assert_int_equal(csl_dp_calibrate_steps(&e, 2.0, 1e-5, &steps, NULL), CSL_OK);
    e.steps = steps;
    assert_int_equal(csl_account(&e, 1, 1e-5, &p, NULL), CSL_OK);
    assert_true(p.epsilon <= 2.0 && p.epsilon > 1.99);
    assert_int_equal(csl_dp_calibrate_rate(&e, 1.0, 1e-5, &rate, NULL), CSL_OK);
    assert_true(rate < 0.01);
    e.sampling_rate = rate;
    assert_int_equal(csl_account(&e, 1, 1e-5, &p, NULL), CSL_OK);
    assert_true(p.epsilon <= 1.0 && p.epsilon > 0.99);
}

static void test_calibrate__targets_out_of_reach__are_refused(void **state)
{
    (void)state;
    struct csl_dp_event e = gaussian(0.5, 1.0, 10);
    uint64_t steps = 7;
    double noise = 7.0;
    assert_int_equal(csl_dp_calibrate_steps(&e, 0.01, 1e-5, &steps, NULL), CSL_E_LIMIT);
    assert_int_equal(csl_dp_calibrate_noise(&e, 0.0, 1e-5, &noise, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_calibrate_noise(&e, HUGE_VAL, 1e-5, &noise, NULL), CSL_E_INVAL);
    assert_true(steps == 7 && noise == 7.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter__spends_to_the_last_step__and_not_one_more),
        cmocka_unit_test(test_filter__adaptive_events__never_exceed_the_budget),
        cmocka_unit_test(test_filter__parameters_out_of_range__are_refused),
        cmocka_unit_test(test_filter__another_adjacency__is_refused),
        cmocka_unit_test(test_calibrate__steps_and_rate__keep_the_target_and_use_it),
        cmocka_unit_test(test_calibrate__targets_out_of_reach__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
