/* The common grid of mode joint: integers stay exact, nothing wraps, and every site's own grid is a
 * whole number of its steps. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/dp/noise.h"
#include "privacy/secagg/joint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static bool is_power_of_two(double x)
{
    int exponent;
    return frexp(x, &exponent) == 0.5;
}

static void assert_unit(double clip)
{
    double unit = csl_joint_unit(clip);
    assert_true(is_power_of_two(unit));
    assert_true(unit <= ldexp(clip, -36) && 2 * unit > ldexp(clip, -36));
}

static void test_joint_unit__any_clip__largest_power_of_two_below(void **state)
{
    static const double clips[] = {0x1p-60, 1e-9, 0.1, 1, 1.1, 2, 3, 1e6, 0x1p60};
    (void)state;
    for (size_t i = 0; i < sizeof(clips) / sizeof(clips[0]); i++) {
        assert_unit(clips[i]);
        assert_unit(nextafter(clips[i], 0));
        assert_unit(nextafter(clips[i], HUGE_VAL));
    }
    assert_true(csl_joint_unit(1) == 0x1p-36);
    assert_true(csl_joint_unit(nextafter(1, 0)) == 0x1p-37);
}

/* A site's grid at the ends and across the ranges of clip and noise: words of 1 grid unit are whole
 * steps, and decode to exactly that unit. */
static void assert_divides(double clip, double multiplier)
{
    struct csl_noise n;
    struct csl_err err = {0};
    const int64_t sum[] = {1, -1};
    uint64_t words[2];
    float back[2];
    if (csl_noise_plan(&n, clip, multiplier, 4, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    double ratio = n.unit / csl_joint_unit(clip);
    if (!(ratio >= 1 && is_power_of_two(ratio) && ratio <= 0x1p16))
        fail_msg("clip %a, multiplier %a: %a of the common grid", clip, multiplier, ratio);
    if (csl_joint_encode(clip, n.unit, 1024, sum, 2, words, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_true((double)words[0] == ratio && words[1] == (uint64_t)0 - words[0]);
    csl_joint_decode(clip, 1 / n.unit, words, 2, back);
    assert_true(back[0] == 1 && back[1] == -1);
    csl_noise_release(&n);
}

static void test_joint_unit__grids_of_every_noise__are_multiples(void **state)
{
    struct csl_rng rng;
    (void)state;
    static const double clips[] = {0x1p-60, 1.0, 1.1, 0x1.fffffffffffffp0, 0x1p60};
    for (size_t i = 0; i < sizeof(clips) / sizeof(clips[0]); i++)
        for (int e = -16; e <= 18; e++) {
            assert_divides(clips[i], ldexp(1, e));
            if (e < 18)
                assert_divides(clips[i], ldexp(1.999, e));
        }
    csl_rng_init_label(&rng, 1, "test_joint", 0, 0, 0);
    for (int i = 0; i < 300; i++)
        assert_divides(exp2(120 * csl_rng_uniform(&rng) - 60),
                       exp2(34 * csl_rng_uniform(&rng) - 16));
}

/* Sites with different grids: the words' sum is the integers' sum in common steps, to the last bit.
 */
static void test_joint_encode__sites_with_other_grids__sum_is_exact(void **state)
{
    enum { SITES = 5, COUNT = 64 };
    const double clip = 1.1, common = csl_joint_unit(clip);
    int64_t expected[COUNT] = {0}, sum[COUNT];
    uint64_t total[COUNT] = {0}, words[COUNT];
    float out[COUNT];
    struct csl_rng rng;
    struct csl_err err = {0};
    (void)state;
    csl_rng_init_label(&rng, 2, "test_joint", 0, 0, 0);
    for (int s = 0; s < SITES; s++) {
        for (int i = 0; i < COUNT; i++) {
            sum[i] = (int64_t)((csl_rng_uniform(&rng) - 0.5) * 0x1p45);
            expected[i] += sum[i] * (INT64_C(1) << s);
        }
        if (csl_joint_encode(clip, ldexp(common, s), SITES, sum, COUNT, words, &err) != CSL_OK)
            fail_msg("%s", err.msg);
        for (int i = 0; i < COUNT; i++)
            total[i] += words[i];
    }
    csl_joint_decode(clip, -0.25, total, COUNT, out);
    for (int i = 0; i < COUNT; i++) {
        assert_true(total[i] == (uint64_t)expected[i]);
        assert_true(out[i] == (float)((double)expected[i] * common * -0.25));
    }
}

/* The largest sum that is accepted from every site at once does not wrap; one more is refused. */
static void test_joint_encode__at_the_limit__no_wrap_and_one_more_refused(void **state)
{
    static const uint32_t sites[] = {1, 3, 4, 255, 1024};
    (void)state;
    for (size_t k = 0; k < sizeof(sites) / sizeof(sites[0]); k++)
        for (int shift = 0; shift <= 40; shift += 8) {
            const double clip = 1, unit = ldexp(csl_joint_unit(clip), shift);
            const int64_t steps = INT64_C(1) << shift, most = INT64_MAX / steps / sites[k];
            const int64_t limits[] = {most, -most}, above[] = {0, most < INT64_MAX ? most + 1 : 0},
                          below[] = {-above[1]};
            uint64_t words[2];
            struct csl_err err = {0};
            assert_int_equal(csl_joint_encode(clip, unit, sites[k], limits, 2, words, &err),
                             CSL_OK);
            for (int i = 0; i < 2; i++) /* a wrapped sum would not give the term back */
                assert_true((int64_t)(words[i] * sites[k]) / (int64_t)sites[k] ==
                            limits[i] * steps);
            if (most == INT64_MAX)
                continue; /* nothing is above it */
            assert_int_equal(csl_joint_encode(clip, unit, sites[k], above, 2, words, &err),
                             CSL_E_INVAL);
            assert_int_equal(csl_joint_encode(clip, unit, sites[k], below, 1, words, NULL),
                             CSL_E_INVAL);
        }
}

static int set_up(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joint_unit__any_clip__largest_power_of_two_below),
        cmocka_unit_test(test_joint_unit__grids_of_every_noise__are_multiples),
        cmocka_unit_test(test_joint_encode__sites_with_other_grids__sum_is_exact),
        cmocka_unit_test(test_joint_encode__at_the_limit__no_wrap_and_one_more_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
