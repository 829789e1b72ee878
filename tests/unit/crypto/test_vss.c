#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/crypto/vss.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { THRESHOLD = 3, SITES = 5 };

/* L = 2^252 + 27742317777372353535851937790883648493, little-endian. */
static const struct csl_scalar order = {{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                         0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                         0,    0,    0,    0,    0,    0,    0,    0,
                                         0,    0,    0,    0,    0,    0,    0,    0x10}};

struct dealt {
    struct csl_scalar f[THRESHOLD], shares[SITES];
    struct csl_point commitments[THRESHOLD];
};

static void deal(struct dealt *d, uint8_t seed)
{
    uint8_t z[32] = {seed};
    assert_int_equal(csl_vss_polynomial(z, "self", THRESHOLD, d->f, NULL), CSL_OK);
    assert_int_equal(csl_vss_commit(d->f, THRESHOLD, d->commitments, NULL), CSL_OK);
    assert_int_equal(csl_vss_deal(d->f, THRESHOLD, SITES, d->shares, NULL), CSL_OK);
}

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

/* The shares of `indices` as they are held, combined. */
static enum csl_code combine(const struct dealt *d, const uint32_t *indices, size_t n,
                             struct csl_scalar *out)
{
    struct csl_scalar weights[SITES], held[SITES];
    for (size_t i = 0; i < n; i++)
        held[i] = d->shares[indices[i]];
    assert_int_equal(csl_vss_weights(indices, n, weights, NULL), CSL_OK);
    return csl_vss_reconstruct(weights, held, n, d->commitments, out, NULL);
}

static size_t members(unsigned set, uint32_t indices[SITES])
{
    size_t n = 0;
    for (uint32_t i = 0; i < SITES; i++)
        if ((set >> i & 1u) != 0)
            indices[n++] = i;
    return n;
}

static void test_vss__every_set_of_sites__secret_from_threshold_on_and_not_below(void **state)
{
    struct dealt d;
    (void)state;
    deal(&d, 1);
    for (unsigned set = 1; set < 1u << SITES; set++) {
        uint32_t indices[SITES];
        size_t n = members(set, indices);
        struct csl_scalar secret = {{0}};
        enum csl_code code = combine(&d, indices, n, &secret);
        assert_int_equal(code, n >= THRESHOLD ? CSL_OK : CSL_E_CRYPTO);
        if (n >= THRESHOLD)
            assert_memory_equal(&secret, &d.f[0], sizeof(secret));
        else
            assert_true(csl_scalar_is_zero(&secret));
    }
}

static void test_vss__every_share__fits_its_index_and_no_other(void **state)
{
    struct dealt d;
    (void)state;
    deal(&d, 2);
    for (uint32_t held = 0; held < SITES; held++)
        for (uint32_t index = 0; index < SITES; index++)
            assert_int_equal(csl_vss_verify(&d.shares[held], index, d.commitments, THRESHOLD, NULL),
                             held == index ? CSL_OK : CSL_E_CRYPTO);
}

static void test_secagg_pitfall_11__one_bit_of_a_share_changed__named_and_nothing_released(void **s)
{
    const uint32_t all[SITES] = {0, 1, 2, 3, 4};
    struct dealt d;
    (void)s;
    deal(&d, 3);
    for (size_t bit = 0; bit < 256; bit++) {
        struct csl_scalar secret = {{0x5a}};
        const struct csl_scalar before = secret;
        d.shares[2].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(combine(&d, all, SITES, &secret), CSL_E_CRYPTO);
        assert_memory_equal(&secret, &before, sizeof(secret));
        if (bit % 32 == 0) /* each costs a millisecond */
            for (uint32_t i = 0; i < SITES; i++)
                assert_int_equal(csl_vss_verify(&d.shares[i], i, d.commitments, THRESHOLD, NULL),
                                 i == 2 ? CSL_E_CRYPTO : CSL_OK);
        d.shares[2].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    struct csl_scalar secret;
    assert_int_equal(combine(&d, all, SITES, &secret), CSL_OK);
}

static void test_secagg_pitfall_10__a_commitment_of_another_polynomial__no_share_fits(void **state)
{
    struct dealt d, other;
    (void)state;
    deal(&d, 4);
    deal(&other, 5);
    for (size_t k = 0; k < THRESHOLD; k++) {
        struct csl_point mixed[THRESHOLD];
        memcpy(mixed, d.commitments, sizeof(mixed));
        mixed[k] = other.commitments[k];
        for (uint32_t i = 0; i < SITES; i++)
            assert_int_equal(csl_vss_verify(&d.shares[i], i, mixed, THRESHOLD, NULL), CSL_E_CRYPTO);
    }
}

static void test_secagg_pitfall_06__scalars_of_l_or_more__refused(void **state)
{
    struct dealt d;
    struct csl_scalar s = order;
    (void)state;
    deal(&d, 6);
    s.bytes[0]--;
    assert_true(csl_scalar_is_canonical(&s)); /* L - 1 */
    for (int above = 0; above < 2; above++) { /* L, L + 1 */
        s.bytes[0]++;
        struct csl_point p;
        assert_false(csl_scalar_is_canonical(&s));
        assert_int_equal(csl_point_base(&s, &p, NULL), CSL_E_CRYPTO);
        assert_int_equal(csl_vss_verify(&s, 0, d.commitments, THRESHOLD, NULL), CSL_E_CRYPTO);
    }
    memset(&s, 0xff, sizeof(s));
    assert_false(csl_scalar_is_canonical(&s));
}

/* A share plus L is the same element; taken, it would give one share two encodings. */
static void test_secagg_pitfall_06__a_right_share_plus_l__refused_everywhere(void **state)
{
    const uint32_t all[SITES] = {0, 1, 2, 3, 4};
    struct dealt d;
    struct csl_scalar secret;
    unsigned carry = 0;
    (void)state;
    deal(&d, 7);
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)d.shares[1].bytes[i] + order.bytes[i];
        d.shares[1].bytes[i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(csl_vss_verify(&d.shares[1], 1, d.commitments, THRESHOLD, NULL), CSL_E_CRYPTO);
    assert_int_equal(combine(&d, all, SITES, &secret), CSL_E_CRYPTO);
    assert_int_equal(csl_vss_commit(&d.shares[1], 1, d.commitments, NULL), CSL_E_CRYPTO);
}

/* The element a second time, under other bytes. */
static void test_secagg_pitfall_06__highest_bit_of_a_commitment__refused(void **state)
{
    struct csl_scalar f[3], share;
    struct csl_point commitments[3];
    static const uint8_t z[32] = {6};
    (void)state;
    assert_int_equal(csl_vss_polynomial(z, "high", 3, f, NULL), CSL_OK);
    assert_int_equal(csl_vss_commit(f, 3, commitments, NULL), CSL_OK);
    assert_int_equal(csl_vss_share(f, 3, 1, &share, NULL), CSL_OK);
    for (size_t k = 0; k < 3; k++) {
        commitments[k].bytes[31] |= 0x80;
        assert_false(csl_point_is_valid(&commitments[k]));
        assert_int_equal(csl_vss_check_commitments(commitments, 3, NULL), CSL_E_CRYPTO);
        assert_int_equal(csl_vss_verify(&share, 1, commitments, 3, NULL), CSL_E_CRYPTO);
        commitments[k].bytes[31] &= 0x7f;
    }
    assert_int_equal(csl_vss_verify(&share, 1, commitments, 3, NULL), CSL_OK);
}

static void test_secagg_pitfall_06__identity_among_commitments__refused(void **state)
{
    struct dealt d;
    (void)state;
    deal(&d, 8);
    for (size_t k = 0; k < THRESHOLD; k++) {
        struct csl_point bad[THRESHOLD];
        memcpy(bad, d.commitments, sizeof(bad));
        memset(&bad[k], 0, sizeof(bad[k]));
        assert_false(csl_point_is_valid(&bad[k]));
        assert_int_equal(csl_vss_check_commitments(bad, THRESHOLD, NULL), CSL_E_CRYPTO);
        assert_int_equal(csl_vss_verify(&d.shares[0], 0, bad, THRESHOLD, NULL), CSL_E_CRYPTO);
    }
    /* The polynomial 0 with its commitments, which would fit: */
    const struct csl_scalar zero = {{0}};
    struct csl_point p = {{0x77}};
    assert_int_equal(csl_vss_commit(&zero, 1, &p, NULL), CSL_E_CRYPTO);
    assert_int_equal(p.bytes[0], 0x77);
    memset(&p, 0, sizeof(p));
    assert_int_equal(csl_vss_verify(&zero, 0, &p, 1, NULL), CSL_E_CRYPTO);
}

static void test_secagg_pitfall_09__point_zero__cannot_be_asked_for(void **state)
{
    struct dealt d;
    struct csl_scalar share = {{0x33}}, weight;
    static const uint32_t bad[] = {UINT32_MAX, CSL_VSS_MAX, UINT32_MAX - 1};
    (void)state;
    deal(&d, 9);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(csl_vss_share(d.f, THRESHOLD, bad[i], &share, NULL), CSL_E_INVAL);
        assert_int_equal(share.bytes[0], 0x33);
        assert_int_equal(csl_vss_verify(&d.f[0], bad[i], d.commitments, THRESHOLD, NULL),
                         CSL_E_INVAL);
        assert_int_equal(csl_vss_weights(&bad[i], 1, &weight, NULL), CSL_E_INVAL);
    }
    for (uint32_t i = 0; i < SITES; i++)
        assert_memory_not_equal(&d.shares[i], &d.f[0], sizeof(d.f[0]));
}

static void test_secagg_pitfall_09__one_site__its_share_has_point_one(void **state)
{
    struct dealt d;
    struct csl_scalar share, weight, one = {{1}};
    const uint32_t index = 0;
    (void)state;
    deal(&d, 10);
    assert_int_equal(csl_vss_deal(d.f, 1, 1, &share, NULL), CSL_OK);
    assert_int_equal(csl_vss_weights(&index, 1, &weight, NULL), CSL_OK);
    assert_memory_equal(&weight, &one, sizeof(one));
    assert_int_equal(csl_vss_deal(d.f, 2, 1, &share, NULL), CSL_E_INVAL);
    assert_int_equal(csl_vss_deal(d.f, 0, 1, &share, NULL), CSL_E_INVAL);
}

static void test_vss__the_same_site_twice__refused(void **state)
{
    const uint32_t twice[3] = {0, 4, 0};
    struct csl_scalar weights[3];
    (void)state;
    assert_int_equal(csl_vss_weights(twice, 3, weights, NULL), CSL_E_INVAL);
    assert_int_equal(csl_vss_weights(twice, 0, weights, NULL), CSL_E_INVAL);
}

enum { MANY = 100, MANY_THRESHOLD = 67 };

static void test_vss__a_hundred_sites__any_responders_give_the_secret(void **state)
{
    static struct csl_scalar f[MANY_THRESHOLD], shares[MANY], held[MANY], weights[MANY];
    static struct csl_point commitments[MANY_THRESHOLD];
    const uint8_t z[32] = {11};
    uint32_t sites[MANY];
    struct csl_rng rng;
    (void)state;
    assert_int_equal(csl_vss_polynomial(z, "mask", MANY_THRESHOLD, f, NULL), CSL_OK);
    assert_int_equal(csl_vss_commit(f, MANY_THRESHOLD, commitments, NULL), CSL_OK);
    assert_int_equal(csl_vss_deal(f, MANY_THRESHOLD, MANY, shares, NULL), CSL_OK);
    for (uint32_t i = 0; i < MANY; i++)
        sites[i] = i;
    csl_rng_init_label(&rng, 1, "responders", 0, 0, 0);
    for (size_t n = MANY_THRESHOLD; n <= MANY; n += 11) {
        struct csl_scalar secret;
        csl_rng_shuffle_u32(&rng, sites, MANY);
        for (size_t i = 0; i < n; i++)
            held[i] = shares[sites[i]];
        assert_int_equal(csl_vss_weights(sites, n, weights, NULL), CSL_OK);
        assert_int_equal(csl_vss_reconstruct(weights, held, n, commitments, &secret, NULL), CSL_OK);
        assert_memory_equal(&secret, &f[0], sizeof(secret));
    }
    assert_int_equal(csl_vss_verify(&shares[99], 99, commitments, MANY_THRESHOLD, NULL), CSL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vss__every_set_of_sites__secret_from_threshold_on_and_not_below),
        cmocka_unit_test(test_vss__every_share__fits_its_index_and_no_other),
        cmocka_unit_test(
            test_secagg_pitfall_11__one_bit_of_a_share_changed__named_and_nothing_released),
        cmocka_unit_test(test_secagg_pitfall_10__a_commitment_of_another_polynomial__no_share_fits),
        cmocka_unit_test(test_secagg_pitfall_06__scalars_of_l_or_more__refused),
        cmocka_unit_test(test_secagg_pitfall_06__a_right_share_plus_l__refused_everywhere),
        cmocka_unit_test(test_secagg_pitfall_06__highest_bit_of_a_commitment__refused),
        cmocka_unit_test(test_secagg_pitfall_06__identity_among_commitments__refused),
        cmocka_unit_test(test_secagg_pitfall_09__point_zero__cannot_be_asked_for),
        cmocka_unit_test(test_secagg_pitfall_09__one_site__its_share_has_point_one),
        cmocka_unit_test(test_vss__the_same_site_twice__refused),
        cmocka_unit_test(test_vss__a_hundred_sites__any_responders_give_the_secret),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
