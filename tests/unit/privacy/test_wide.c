/* 384-bit fixed point: the one place where samplers meet an exponential. */
#include "privacy/crypto/init.h"
#include "privacy/dp/wide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* |a - b| <= ulps */
static bool near(const struct csl_wide *a, const struct csl_wide *b, uint64_t ulps)
{
    struct csl_wide low = *a, high = *b;
    if (csl_wide__compare(a, b) > 0) {
        low = *b;
        high = *a;
    }
    csl_wide__subtract(&high, &low);
    struct csl_wide limit = csl_wide__from_u128(ulps);
    return csl_wide__compare(&high, &limit) <= 0;
}

static struct csl_wide random_fraction(struct csl_rng *r)
{
    struct csl_wide w = csl_wide__from_u128(0);
    for (int i = 0; i < CSL_WIDE_LIMBS - 1; i++)
        w.limb[i] = csl_rng_u64(r);
    return w;
}

/* floor(2^320 exp(-n 2^shift / m)), computed with Python's decimal at 220 digits. */
static void test_wide_exp__known_answers__within_the_stated_error(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        int shift;
        uint64_t m;
        struct csl_wide exp;
    } rows[] = {
        {1,
         63,
         UINT64_C(9223372036854775808),
         {{0xb16400bf472b4215, 0x3024b9d0a507daed, 0xda9805aab56c7733, 0xbadec7829054f90d,
           0x5e2d58d8b3bcdf1a, 0}}},
        {5,
         0,
         UINT64_C(9223372036854788153),
         {{0xcc63280960f90f81, 0x5555de4dcc478545, 0xfffffffe94815729, 0x000000000003c4a5,
           0xfffffffffffffff6, 0}}},
        {3,
         64,
         UINT64_C(9223372036854775808),
         {{0x028b9f3cb99f0ad7, 0x49e9642d82cd4b0b, 0x089ac958e6ec137b, 0xc05d023e000435e6,
           0x00a2728f889ea6ae, 0}}},
        {7,
         66,
         UINT64_C(9223372036854775809),
         {{0x1c5aa12c5fc78c83, 0x778df717705ea3bf, 0xe2847fd8784db76c, 0x000093f622c632f1, 0, 0}}},
        {200, 63, UINT64_C(9223372036854775808), {{0x00000000b030c090, 0, 0, 0, 0, 0}}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_wide gamma;
        assert_true(csl_wide__ratio(rows[i].n, rows[i].shift, rows[i].m, &gamma));
        struct csl_wide e = csl_wide__exp_minus(&gamma);
        assert_true(near(&e, &rows[i].exp, CSL_WIDE_EXP_ERROR));
    }
}

static void test_wide_exp__sums__are_products(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 1, "wide", 0, 0, 0);
    for (int i = 0; i < 200; i++) {
        struct csl_wide a = random_fraction(&r), b = random_fraction(&r), sum;
        a.limb[CSL_WIDE_LIMBS - 1] = csl_rng_below(&r, 40);
        b.limb[CSL_WIDE_LIMBS - 1] = csl_rng_below(&r, 40);
        sum = a;
        assert_true(csl_wide__add(&sum, &b));
        struct csl_wide ea = csl_wide__exp_minus(&a), eb = csl_wide__exp_minus(&b);
        struct csl_wide together = csl_wide__exp_minus(&sum), product = csl_wide__product(&ea, &eb);
        assert_true(near(&together, &product, 3 * CSL_WIDE_EXP_ERROR));
    }
}

static void test_wide_ratio__too_large__is_refused(void **state)
{
    (void)state;
    struct csl_wide out = csl_wide__one(), one = csl_wide__one();
    uint64_t m = UINT64_C(1) << 63;
    assert_false(csl_wide__ratio(512, 63, m, &out));
    assert_int_equal(csl_wide__compare(&out, &one), 0);
    assert_true(csl_wide__ratio(511, 63, m, &out));
    assert_int_equal(out.limb[CSL_WIDE_LIMBS - 1], 511);
    assert_true(csl_wide__ratio(1, 0, UINT64_MAX, &out)); /* 2^-64 + 2^-128 + ... */
    assert_int_equal(out.limb[4], 1);
    assert_int_equal(out.limb[0], 1);
}

static void test_wide__shift_multiply_divide__undo_each_other(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 2, "wide", 0, 0, 0);
    for (unsigned bits = 0; bits < 320; bits++) {
        struct csl_wide w = csl_wide__from_u128(csl_rng_u64(&r)), v = w;
        csl_wide__shift_left(&v, bits);
        csl_wide__shift_right(&v, bits);
        assert_int_equal(csl_wide__compare(&w, &v), 0);
        uint64_t factor = csl_rng_u64(&r) | 1, rest = csl_rng_below(&r, factor);
        assert_int_equal(csl_wide__multiply_u64(&v, factor), 0);
        assert_true(csl_wide__add_u64(&v, rest));
        assert_int_equal(csl_wide__divide_u64(&v, factor), rest);
        assert_int_equal(csl_wide__compare(&w, &v), 0);
    }
}

/* 1/3 of 300000 within 6.2 standard errors (258): a false alarm in 1e9 at most. */
static void test_wide_bernoulli__a_third__is_a_third(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 3, "wide", 0, 0, 0);
    struct csl_wide num = csl_wide__from_u128(1), den = csl_wide__from_u128(3);
    csl_wide__shift_left(&num, 300);
    csl_wide__shift_left(&den, 300);
    long seen = 0;
    for (int i = 0; i < 300000; i++)
        seen += csl_wide__bernoulli(&r, &num, &den);
    assert_in_range(seen, 100000 - 1601, 100000 + 1601);
    assert_true(csl_wide__bernoulli(&r, &den, &den));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide_exp__known_answers__within_the_stated_error),
        cmocka_unit_test(test_wide_exp__sums__are_products),
        cmocka_unit_test(test_wide_ratio__too_large__is_refused),
        cmocka_unit_test(test_wide__shift_multiply_divide__undo_each_other),
        cmocka_unit_test(test_wide_bernoulli__a_third__is_a_third),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
