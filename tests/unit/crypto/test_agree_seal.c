#include "privacy/crypto/init.h"
#include "privacy/crypto/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct site {
    struct csl_scalar s;
    struct csl_point S;
    uint8_t e[32], E[32];
};
static struct site one, two;
static const uint8_t sid[32] = {0x51};

static void make(struct site *site, uint8_t seed)
{
    uint8_t z[32] = {seed};
    assert_int_equal(csl_scalar_derive(z, "mask", 0, &site->s, NULL), CSL_OK);
    assert_int_equal(csl_point_base(&site->s, &site->S, NULL), CSL_OK);
    assert_int_equal(csl_agree_channel_keys(z, "channel", 0, site->e, site->E, NULL), CSL_OK);
}

static int start(void **state)
{
    (void)state;
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    make(&one, 1);
    make(&two, 2);
    return 0;
}

static enum csl_code mask_of(const struct csl_scalar *s, const struct csl_point *own,
                             const struct csl_point *peer, uint8_t prk[32])
{
    return csl_agree_mask(10, s, own, 20, peer, sid, prk, NULL);
}

static void test_agree__both_ends__the_same_key_for_this_session_only(void **state)
{
    uint8_t a[32], b[32], c[32], other_sid[32] = {0x52};
    (void)state;
    assert_int_equal(csl_agree_mask(10, &one.s, &one.S, 20, &two.S, sid, a, NULL), CSL_OK);
    assert_int_equal(csl_agree_mask(20, &two.s, &two.S, 10, &one.S, sid, b, NULL), CSL_OK);
    assert_int_equal(csl_agree_mask(20, &two.s, &two.S, 10, &one.S, other_sid, c, NULL), CSL_OK);
    assert_memory_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
    assert_int_equal(csl_agree_channel(10, one.e, one.E, 20, two.E, sid, a, NULL), CSL_OK);
    assert_int_equal(csl_agree_channel(20, two.e, two.E, 10, one.E, sid, b, NULL), CSL_OK);
    assert_int_equal(csl_agree_channel(20, two.e, two.E, 10, one.E, other_sid, c, NULL), CSL_OK);
    assert_memory_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
}

static void test_secagg_pitfall_06__identity_or_bad_scalar_in_agreement__refused(void **state)
{
    const struct csl_point identity = {{0}}, bad = {{1}};
    const struct csl_scalar zero = {{0}};
    struct csl_scalar large;
    uint8_t prk[32] = {0x44}, before[32] = {0x44};
    (void)state;
    memset(&large, 0xff, sizeof(large));
    assert_int_equal(mask_of(&one.s, &one.S, &identity, prk), CSL_E_CRYPTO);
    assert_int_equal(mask_of(&one.s, &one.S, &bad, prk), CSL_E_CRYPTO);
    assert_int_equal(mask_of(&one.s, &identity, &two.S, prk), CSL_E_CRYPTO);
    assert_int_equal(mask_of(&zero, &one.S, &two.S, prk), CSL_E_CRYPTO);
    assert_int_equal(mask_of(&large, &one.S, &two.S, prk), CSL_E_CRYPTO);
    assert_int_equal(csl_agree_self(&zero, sid, prk, NULL), CSL_E_CRYPTO);
    assert_int_equal(csl_agree_self(&large, sid, prk, NULL), CSL_E_CRYPTO);
    assert_memory_equal(prk, before, 32);
}

static void test_secagg_pitfall_07__own_key_reflected_or_own_id__refused(void **state)
{
    uint8_t prk[32];
    (void)state;
    assert_int_equal(mask_of(&one.s, &one.S, &one.S, prk), CSL_E_INVAL);
    assert_int_equal(csl_agree_mask(10, &one.s, &one.S, 10, &two.S, sid, prk, NULL), CSL_E_INVAL);
    assert_int_equal(csl_agree_channel(10, one.e, one.E, 20, one.E, sid, prk, NULL), CSL_E_INVAL);
    assert_int_equal(csl_agree_channel(10, one.e, one.E, 10, two.E, sid, prk, NULL), CSL_E_INVAL);
}

static struct csl_seal_key key_of(uint32_t from, uint32_t to)
{
    struct csl_seal_key key;
    uint8_t prk[32];
    assert_int_equal(csl_agree_channel(10, one.e, one.E, 20, two.E, sid, prk, NULL), CSL_OK);
    assert_int_equal(csl_seal_key_derive(prk, from, to, &key, NULL), CSL_OK);
    return key;
}

static struct csl_seal_context context_of(void)
{
    struct csl_seal_context c = {.from = 10, .to = 20, .commitments = {0x99}};
    memcpy(c.sid, sid, sizeof(sid));
    return c;
}

static void seal(uint8_t sealed[CSL_SEAL_BYTES])
{
    const struct csl_seal_context c = context_of();
    const struct csl_seal_shares shares = {one.s, two.s};
    struct csl_seal_key key = key_of(10, 20);
    assert_int_equal(csl_seal_share(&key, &c, &shares, sealed, NULL), CSL_OK);
}

static void test_seal__opened_with_the_same_context__the_shares(void **state)
{
    uint8_t sealed[CSL_SEAL_BYTES];
    const struct csl_seal_context c = context_of();
    const struct csl_seal_key key = key_of(10, 20);
    struct csl_seal_shares out;
    (void)state;
    seal(sealed);
    assert_int_equal(csl_seal_open(&key, &c, sealed, &out, NULL), CSL_OK);
    assert_memory_equal(&out.b, &one.s, 32);
    assert_memory_equal(&out.s, &two.s, 32);
}

/* Three shares, of the same key and context: another plaintext, so another length and another tag.
 */
static void test_seal3__opened_with_the_same_context__the_three_shares(void **state)
{
    uint8_t sealed[CSL_SEAL3_BYTES];
    const struct csl_seal_context c = context_of();
    const struct csl_seal_shares shares = {one.s, two.s};
    struct csl_seal_key key = key_of(10, 20);
    struct csl_seal_shares out;
    struct csl_scalar third, untouched;
    (void)state;
    assert_int_equal(csl_seal_share3(&key, &c, &shares, &two.s, sealed, NULL), CSL_OK);
    assert_int_equal(csl_seal_share3(&key, &c, &shares, &two.s, sealed, NULL), CSL_E_STATE);
    key = key_of(10, 20);
    assert_int_equal(csl_seal_open3(&key, &c, sealed, &out, &third, NULL), CSL_OK);
    assert_memory_equal(&out.b, &one.s, 32);
    assert_memory_equal(&out.s, &two.s, 32);
    assert_memory_equal(&third, &two.s, 32);
    assert_int_equal(csl_seal_open(&key, &c, sealed, &out, NULL), CSL_E_CRYPTO);
    memset(&untouched, 7, sizeof(untouched));
    third = untouched;
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(csl_seal_open3(&key, &c, sealed, &out, &third, NULL), CSL_E_CRYPTO);
        sealed[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_memory_equal(&third, &untouched, 32);
    const struct csl_scalar large = {{0xff, [31] = 0xff}}; /* above the order */
    key = key_of(10, 20);
    assert_int_equal(csl_seal_share3(&key, &c, &shares, &large, sealed, NULL), CSL_OK);
    key = key_of(10, 20);
    assert_int_equal(csl_seal_open3(&key, &c, sealed, &out, &third, NULL), CSL_E_CRYPTO);
}

static void expect_refused(const struct csl_seal_key *key, const struct csl_seal_context *c,
                           const uint8_t sealed[CSL_SEAL_BYTES])
{
    struct csl_seal_shares out, before;
    memset(&out, 0x3c, sizeof(out));
    before = out;
    assert_int_equal(csl_seal_open(key, c, sealed, &out, NULL), CSL_E_CRYPTO);
    assert_memory_equal(&out, &before, sizeof(out));
}

static void test_seal__any_other_context_key_or_bit__refused(void **state)
{
    uint8_t sealed[CSL_SEAL_BYTES];
    const struct csl_seal_context right = context_of();
    const struct csl_seal_key key = key_of(10, 20);
    const struct csl_seal_key reverse = key_of(20, 10);
    struct csl_seal_context c = right;
    (void)state;
    seal(sealed);
    c.sid[31] ^= 1;
    expect_refused(&key, &c, sealed);
    c = right;
    c.from ^= 1;
    expect_refused(&key, &c, sealed);
    c = right;
    c.to ^= 1u << 31;
    expect_refused(&key, &c, sealed);
    c = right;
    c.commitments[0] ^= 0x80;
    expect_refused(&key, &c, sealed);
    expect_refused(&reverse, &right, sealed);
    for (size_t bit = 0; bit < 8 * CSL_SEAL_BYTES; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_refused(&key, &right, sealed);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_secagg_pitfall_06__a_sealed_share_that_is_not_canonical__refused(void **state)
{
    uint8_t sealed[CSL_SEAL_BYTES];
    const struct csl_seal_context c = context_of();
    struct csl_seal_shares shares = {one.s, two.s};
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct csl_seal_key key = key_of(10, 20);
        memset(which == 0 ? &shares.b : &shares.s, 0xff, 32);
        assert_int_equal(csl_seal_share(&key, &c, &shares, sealed, NULL), CSL_OK);
        key = key_of(10, 20);
        expect_refused(&key, &c, sealed);
        shares = (struct csl_seal_shares){one.s, two.s};
    }
}

static void test_secagg_pitfall_12__a_key_seals_once_and_is_wiped(void **state)
{
    uint8_t sealed[CSL_SEAL_BYTES], again[CSL_SEAL_BYTES] = {0};
    static const uint8_t untouched[CSL_SEAL_BYTES], zeros[32];
    const struct csl_seal_context c = context_of();
    const struct csl_seal_shares shares = {one.s, two.s};
    struct csl_seal_shares out;
    struct csl_seal_key key = key_of(10, 20);
    (void)state;
    assert_int_equal(csl_seal_share(&key, &c, &shares, sealed, NULL), CSL_OK);
    assert_memory_equal(key.bytes, zeros, 32);
    assert_int_equal(csl_seal_share(&key, &c, &shares, again, NULL), CSL_E_STATE);
    assert_memory_equal(again, untouched, sizeof(again));
    assert_int_equal(csl_seal_open(&key, &c, sealed, &out, NULL), CSL_E_STATE);
}

/* What a site resends after a crash is the same, byte for byte. */
static void test_secagg_pitfall_12__sealed_again_from_the_same_secrets__the_same_bytes(void **state)
{
    uint8_t first[CSL_SEAL_BYTES], second[CSL_SEAL_BYTES];
    (void)state;
    seal(first);
    seal(second);
    assert_memory_equal(first, second, sizeof(first));
}

static void test_secagg_pitfall_12__every_direction_and_pair__a_key_of_its_own(void **state)
{
    struct csl_seal_key keys[9];
    size_t n = 0;
    uint8_t prk[32] = {1};
    (void)state;
    for (uint32_t from = 0; from < 3; from++)
        for (uint32_t to = 0; to < 3; to++)
            if (from == to)
                assert_int_equal(csl_seal_key_derive(prk, from, to, &keys[n], NULL), CSL_E_INVAL);
            else
                assert_int_equal(csl_seal_key_derive(prk, from, to, &keys[n++], NULL), CSL_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i].bytes, keys[j].bytes, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agree__both_ends__the_same_key_for_this_session_only),
        cmocka_unit_test(test_secagg_pitfall_06__identity_or_bad_scalar_in_agreement__refused),
        cmocka_unit_test(test_secagg_pitfall_07__own_key_reflected_or_own_id__refused),
        cmocka_unit_test(test_seal__opened_with_the_same_context__the_shares),
        cmocka_unit_test(test_seal3__opened_with_the_same_context__the_three_shares),
        cmocka_unit_test(test_seal__any_other_context_key_or_bit__refused),
        cmocka_unit_test(test_secagg_pitfall_06__a_sealed_share_that_is_not_canonical__refused),
        cmocka_unit_test(test_secagg_pitfall_12__a_key_seals_once_and_is_wiped),
        cmocka_unit_test(
            test_secagg_pitfall_12__sealed_again_from_the_same_secrets__the_same_bytes),
        cmocka_unit_test(test_secagg_pitfall_12__every_direction_and_pair__a_key_of_its_own),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
