/* Scalars in the masked sum. */
#include "privacy/secagg/scalar.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalar__counts_and_losses_of_many_sites__sum_exactly),
        cmocka_unit_test(test_scalar__what_could_wrap_or_is_no_number__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
