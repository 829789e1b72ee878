/* Scalars and weights. Pitfalls are numbered as in the design of secure aggregation. */
#include "privacy/secagg/scalar.h"
#include "privacy/secagg/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_scalar__counts_and_losses_of_many_sites__sum_exactly(void **state)
{
    (void)state;
    for (uint32_t sites = 1; sites <= 1000; sites = sites * 3 + 1) {
        double bound = 0x1p31 / (double)sites - 1.0;
        static const double values[] = {0.0, 1.0, -1.0, 12345.0, 0.625, -0x1p-32};
        for (size_t i = 0; i < 8; i++) {
            double value = i < 6 ? values[i] : i == 6 ? floor(bound) : -floor(bound);
            uint64_t word, sum = UINT64_MAX - 5; /* a mask on the way */
            assert_int_equal(csl_scalar_encode(value, sites, &word, NULL), CSL_OK);
            for (uint32_t s = 0; s < sites; s++)
                sum += word;
            assert_true(csl_scalar_decode(sum - (UINT64_MAX - 5)) == value * (double)sites);
        }
    }
}

static void test_scalar__what_could_wrap_or_is_no_number__is_refused(void **state)
{
    (void)state;
    static const double wrong[] = {0x1p31, -0x1p31, 214748364.0, (double)INFINITY, (double)NAN};
    uint64_t word = 7;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(csl_scalar_encode(wrong[i], 10, &word, NULL), CSL_E_INVAL);
    assert_int_equal(word, 7);
}

static void test_pitfall_19__weight_on_one_site__is_denied(void **state)
{
    (void)state;
    static const uint32_t one[6] = {1, 0, 0, 0, 0, 0};
    static const uint32_t most[6] = {1000000, 1, 1, 1, 1, 1};
    static const uint32_t largest[6] = {UINT32_MAX, 0, 0, 0, 0, 0};
    static const uint32_t equal[6] = {UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                      UINT32_MAX, UINT32_MAX, UINT32_MAX};
    static const uint32_t none[6] = {0};
    assert_int_equal(csl_weights_check(one, 6, 0.5, 1.0, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(one, 6, 1.0, 3.0, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(most, 6, 0.5, 1.0, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(most, 6, 1.0, 3.0, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(largest, 6, 1.0, 3.0, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(none, 6, 1.0, 1.0, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(equal, 6, 0.17, 5.9, NULL), CSL_OK);
    assert_int_equal(csl_weights_check(equal, 6, 0.16, 5.9, NULL), CSL_E_DENIED);
}

/* 5, 3, 2, 2: the largest share is 5 / 12 and 144 / 42 = 3.43 sites contribute. Without the last
 * two it is 5 / 8 and 64 / 34 = 1.88. */
static void test_pitfall_19__survivors__are_checked_again(void **state)
{
    (void)state;
    static const uint32_t weights[4] = {5, 3, 2, 2};
    assert_int_equal(csl_weights_check(weights, 4, 0.42, 3.4, NULL), CSL_OK);
    assert_int_equal(csl_weights_check(weights, 4, 0.41, 3.4, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(weights, 4, 0.42, 3.5, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(weights, 2, 0.42, 1.0, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(weights, 2, 0.7, 1.9, NULL), CSL_E_DENIED);
    assert_int_equal(csl_weights_check(weights, 2, 0.7, 1.8, NULL), CSL_OK);
}

static void test_weights__parameters_out_of_range__are_refused(void **state)
{
    (void)state;
    static const uint32_t weights[2] = {1, 1};
    assert_int_equal(csl_weights_check(weights, 0, 0.5, 1.0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_weights_check(weights, 2, 0.0, 1.0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_weights_check(weights, 2, 1.1, 1.0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_weights_check(weights, 2, (double)NAN, 1.0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_weights_check(weights, 2, 0.5, 0.9, NULL), CSL_E_INVAL);
    assert_int_equal(csl_weights_check(weights, 2, 0.5, (double)NAN, NULL), CSL_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalar__counts_and_losses_of_many_sites__sum_exactly),
        cmocka_unit_test(test_scalar__what_could_wrap_or_is_no_number__is_refused),
        cmocka_unit_test(test_pitfall_19__weight_on_one_site__is_denied),
        cmocka_unit_test(test_pitfall_19__survivors__are_checked_again),
        cmocka_unit_test(test_weights__parameters_out_of_range__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
