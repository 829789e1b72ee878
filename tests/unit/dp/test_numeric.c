#include "privacy/dp/fft.h"
#include "privacy/dp/numeric.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_numeric__log_add_and_sub__hold_at_the_ends(void **state)
{
    (void)state;
    assert_true(csl_dp_log_add(-HUGE_VAL, -HUGE_VAL) == -HUGE_VAL);
    assert_true(csl_dp_log_add(-HUGE_VAL, 3.0) == 3.0);
    assert_true(fabs(csl_dp_log_add(1000.0, 1000.0) - (1000.0 + log(2.0))) < 1e-12);
    assert_true(csl_dp_log_sub(3.0, -HUGE_VAL) == 3.0);
    assert_true(csl_dp_log_sub(3.0, 3.0) == -HUGE_VAL);
    assert_true(fabs(csl_dp_log_sub(1e-10, 0.0) - log(expm1(1e-10))) < 1e-12);
}

static void test_numeric__sum__keeps_what_addition_rounds_away(void **state)
{
    (void)state;
    struct csl_dp_sum s = {0, 0};
    csl_dp_sum_add(&s, 1.0);
    csl_dp_sum_add(&s, 1e100);
    csl_dp_sum_add(&s, 1.0);
    csl_dp_sum_add(&s, -1e100);
    assert_true(csl_dp_sum_get(&s) == 2.0);
}

struct printed {
    double value;
    int digits;
    const char *up, *down;
};

/* 0.1 as a double lies above the decimal 0.1, and 0.3 below it; 0.5 is exact. */
static const struct printed printed_rows[] = {
    {0.1, 1, "0.2", "0.1"},
    {0.3, 1, "0.3", "0.2"},
    {0.5, 3, "0.500", "0.500"},
    {1.23456, 4, "1.235", "1.234"},
    {9.9999, 3, "10.0", "9.99"},
    {99.99, 2, "100", "99"},
    {123456.0, 3, "124000", "123000"},
    {0.00012345, 3, "0.000124", "0.000123"},
    {1e-5, 2, "1.1e-05", "1.0e-05"},
    {9.99e-9, 2, "1.0e-08", "9.9e-09"},
    {0x1p-1074, 1, "5e-324", "4e-324"},
    {0.0, 3, "0", "0"},
    {HUGE_VAL, 3, "inf", "inf"},
};

static void test_pitfall_31__printed_numbers__are_rounded_against_us(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof printed_rows / sizeof printed_rows[0]; i++) {
        const struct printed *row = &printed_rows[i];
        char text[CSL_DP_TEXT_MAX];
        assert_int_equal(csl_dp_print_up(text, sizeof text, row->value, row->digits, NULL), CSL_OK);
        assert_string_equal(text, row->up);
        assert_int_equal(csl_dp_print_down(text, sizeof text, row->value, row->digits, NULL),
                         CSL_OK);
        assert_string_equal(text, row->down);
    }
}

static void test_print__what_has_no_text__is_refused_and_leaves_the_output(void **state)
{
    (void)state;
    char text[4] = "abc";
    assert_int_equal(csl_dp_print_up(text, sizeof text, -1.0, 3, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_print_up(text, sizeof text, (double)NAN, 3, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_print_up(text, sizeof text, 1.0, 0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_print_up(text, sizeof text, 1.0, 18, NULL), CSL_E_INVAL);
    assert_int_equal(csl_dp_print_up(text, sizeof text, 1.5, 3, NULL), CSL_E_LIMIT);
    assert_string_equal(text, "abc");
}

static void test_numeric__more_and_less__move_and_keep_infinity(void **state)
{
    (void)state;
    assert_true(csl_dp_more(1.0, 1.0) > 1.0 && csl_dp_less(1.0, 1.0) < 1.0);
    assert_true(csl_dp_more(-1.0, 1.0) > -1.0 && csl_dp_less(-1.0, 1.0) < -1.0);
    assert_true(csl_dp_more(0.0, 1.0) > 0.0 && csl_dp_less(0.0, 1.0) < 0.0);
    assert_true(csl_dp_more(HUGE_VAL, 1.0) == HUGE_VAL);
}

/* Against sums in long double; the bound of the header holds with room. */
static void test_fft__every_size__within_its_error_bound(void **state)
{
    (void)state;
    const long double two_pi = 6.283185307179586476925286766559L;
    for (size_t n = CSL_DP_FFT_MIN; n <= 2048; n *= 2) {
        struct csl_dp_fft f = {0};
        double x[2048], y[2048], size = 0.0, bound;
        assert_int_equal(csl_dp_fft_init(&f, n, NULL), CSL_OK);
        for (size_t i = 0; i < n; i++) {
            x[i] = sin((double)(i * i) * 0.37) + (i == 3 ? 10.0 : 0.0);
            y[i] = x[i];
            size += fabs(x[i]);
        }
        bound = csl_dp_fft_error(n) * size;
        csl_dp_fft_forward(&f, y);
        for (size_t k = 0; k <= n / 2; k++) {
            long double re = 0.0L, im = 0.0L;
            for (size_t i = 0; i < n; i++) {
                long double angle = -two_pi * (long double)(i * k % n) / (long double)n;
                re += (long double)x[i] * cosl(angle);
                im += (long double)x[i] * sinl(angle);
            }
            double found_re = k == n / 2 ? y[1] : y[2 * k];
            double found_im = k == 0 || k == n / 2 ? 0.0 : y[2 * k + 1];
            assert_true(fabsl((long double)found_re - re) <= (long double)bound);
            assert_true(fabsl((long double)found_im - im) <= (long double)bound);
        }
        csl_dp_fft_inverse(&f, y);
        for (size_t i = 0; i < n; i++)
            assert_true(fabs(y[i] - x[i]) <= 2.0 * bound);
        csl_dp_fft_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numeric__log_add_and_sub__hold_at_the_ends),
        cmocka_unit_test(test_numeric__sum__keeps_what_addition_rounds_away),
        cmocka_unit_test(test_pitfall_31__printed_numbers__are_rounded_against_us),
        cmocka_unit_test(test_print__what_has_no_text__is_refused_and_leaves_the_output),
        cmocka_unit_test(test_numeric__more_and_less__move_and_keep_infinity),
        cmocka_unit_test(test_fft__every_size__within_its_error_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
