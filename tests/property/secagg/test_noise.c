/* The noise of many sites in one sum, read from the lanes, against the exact distribution of a sum
 * of discrete Gaussians. Fixed seeds; each comparison is passed by the right distribution with
 * probability 1 - 1e-9 at least (the limits of tests/unit/privacy/distribution.h). */
#include "privacy/crypto/init.h"
#include "privacy/secagg/encode.h"
#include "tests/unit/privacy/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 1 << 18, SLICE = 4096 };

static float vector[COUNT];
static uint64_t words[COUNT], total[COUNT];
static int64_t x[COUNT];
static struct distribution law, one, next;

/* law := the distribution of the sum of `sites` variables of the distribution `one`. */
static void convolve(uint32_t sites)
{
    int64_t reach = MASSES_MAX / 2 - 1;
    memset(&law, 0, sizeof(law));
    law.first = -reach;
    law.count = (size_t)(2 * reach + 1);
    law.mass[reach] = 1.0L;
    for (uint32_t s = 0; s < sites; s++) {
        memset(&next, 0, sizeof(next));
        for (int64_t i = 0; i <= 2 * reach; i++) {
            if (law.mass[i] < 1e-30L)
                continue;
            for (size_t k = 0; k < one.count; k++) {
                int64_t at = i + one.first + (int64_t)k;
                assert_true(at >= 0 && at <= 2 * reach);
                next.mass[at] += law.mass[i] * one.mass[k];
            }
        }
        memcpy(law.mass, next.mass, sizeof(law.mass));
    }
    law.mean = 0;
    law.variance = one.variance * sites;
}

/* `survivors` sites send the vector 0 with their shares; what is left in the lanes, in x. */
static void sum_shares(struct csl_encoding *e, uint32_t survivors)
{
    struct csl_rng noise;
    struct csl_encoder s;
    uint8_t coins[32] = {0};
    size_t per_slice = csl_encoding_slice_words(e, 0);
    memset(total, 0, sizeof(total));
    for (uint32_t site = 0; site < survivors; site++) {
        csl_rng_init_label(&noise, 5, "share", site, survivors, e->lanes.bits);
        assert_int_equal(csl_encoder_start(&s, e, vector, coins, NULL), CSL_OK);
        for (uint64_t k = 0; k < csl_encoding_slices(e); k++)
            csl_encoder_slice(&s, k, &noise, words + k * per_slice);
        csl_lanes_add(total, words, csl_encoding_words(e));
    }
    for (uint64_t k = 0; k < csl_encoding_slices(e); k++)
        assert_int_equal(
            csl_lanes_unpack(&e->lanes, total + k * per_slice, SLICE, survivors, x + k * SLICE), 0);
}

static void test_noise__sum_of_shares__has_the_exact_distribution(void **state)
{
    (void)state;
    static const struct {
        uint32_t sites, colluding, dropouts, survivors, bits;
        double std;
    } cases[] = {{10, 3, 1, 10, 12, 8.0}, {10, 3, 1, 9, 16, 8.0}, {3, 1, 0, 3, 10, 6.0},
                 {16, 5, 2, 15, 21, 9.0}, {5, 1, 1, 4, 64, 30.0}, {1, 0, 0, 1, 32, 20.0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_shares shares;
        assert_int_equal(csl_shares_plan(&shares, cases[i].std, cases[i].sites, cases[i].colluding,
                                         cases[i].dropouts, COUNT, NULL),
                         CSL_OK);
        double std_sum = csl_shares_sum_std(&shares, cases[i].sites);
        struct csl_encoding e = {.rotation = {.size_log2 = 12},
                                 .shares = &shares,
                                 .count = COUNT,
                                 .clip_entry = 1.0,
                                 .clip_l2 = 1.0};
        assert_int_equal(csl_lanes_plan(&e.lanes, cases[i].bits, cases[i].sites,
                                        csl_lanes_headroom(std_sum, COUNT, 1e-12), NULL),
                         CSL_OK);
        assert_int_equal(csl_encoding_plan(&e, NULL), CSL_OK);
        sum_shares(&e, cases[i].survivors);
        distribution_discrete_gaussian(
            &one, ldexpl((long double)shares.gaussian.mantissa, shares.gaussian.exponent));
        convolve(cases[i].survivors);
        assert_true(fit(&law, x, COUNT) < 1.0);
        assert_true(moments_off(0.0, (double)law.variance, x, COUNT) < NORMAL_LIMIT);
        /* The event's standard deviation is that of the survivors without the colluders. */
        struct csl_dp_event event = {
            .sampler = CSL_DP_FULL_BATCH, .sampling_rate = 1.0, .steps = 1};
        assert_int_equal(csl_shares_event(&shares, cases[i].survivors, 1.0, 1.0, &event, NULL),
                         CSL_OK);
        double honest = (double)(cases[i].survivors - cases[i].colluding);
        double charged = event.std_units * event.std_units;
        assert_true(charged <= (double)one.variance * honest * (1.0 + 1e-9));
        assert_true(charged >= cases[i].std * cases[i].std * (1.0 - 1e-12));
        csl_shares_release(&shares);
    }
}

/* The comparison would see one share too few, of ten. */
static void test_noise__one_share_missing__would_be_seen(void **state)
{
    (void)state;
    struct csl_shares shares;
    assert_int_equal(csl_shares_plan(&shares, 8.0, 10, 3, 1, COUNT, NULL), CSL_OK);
    struct csl_encoding e = {.rotation = {.size_log2 = 12},
                             .shares = &shares,
                             .count = COUNT,
                             .clip_entry = 1.0,
                             .clip_l2 = 1.0};
    assert_int_equal(csl_lanes_plan(&e.lanes, 16, 10, 1000, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_OK);
    sum_shares(&e, 9);
    distribution_discrete_gaussian(
        &one, ldexpl((long double)shares.gaussian.mantissa, shares.gaussian.exponent));
    convolve(10);
    assert_true(fit(&law, x, COUNT) > 1.0);
    csl_shares_release(&shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise__sum_of_shares__has_the_exact_distribution),
        cmocka_unit_test(test_noise__one_share_missing__would_be_seen),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
