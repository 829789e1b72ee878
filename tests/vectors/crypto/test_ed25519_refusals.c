/* What Ed25519 verification must refuse (RFC 8032, section 5.1.7, and the small-order keys of
 * Wycheproof's Ed25519 cases). The published signatures are in ../privacy/test_ledger_sign.c; here
 * RFC 8032 section 7.1 test 2 is altered. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/sign.h"
#include "tests/vectors/crypto/bytes_of.h"

#define PUBLIC "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
#define SIGNATURE                                                                                  \
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"                             \
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
static const char group_order[] =
    "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
static const uint8_t message[] = {0x72};

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

/* S + times * L, little-endian. */
static void add_order(uint8_t s[32], int times)
{
    uint8_t order[32];
    bytes_of(group_order, order, sizeof(order));
    while (times-- > 0) {
        unsigned carry = 0;
        for (size_t i = 0; i < 32; i++) {
            carry += (unsigned)s[i] + order[i];
            s[i] = (uint8_t)carry;
            carry >>= 8;
        }
        assert_int_equal(carry, 0);
    }
}

static void test_secagg_pitfall_06__signature_with_s_plus_l__refused(void **state)
{
    uint8_t key[32], signature[64];
    (void)state;
    bytes_of(PUBLIC, key, sizeof(key));
    for (int times = 0; times < 9; times++) {
        bytes_of(SIGNATURE, signature, sizeof(signature));
        add_order(signature + 32, times);
        assert_int_equal(csl_sign_verify(key, message, 1, signature), times == 0);
    }
}

/* With the identity for a key every message has the signature R = B, S = 1: S B = R + h A. */
static void test_secagg_pitfall_06__small_order_keys__refused(void **state)
{
    static const char *const keys[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
    uint8_t signature[64] = {0};
    (void)state;
    bytes_of("5866666666666666666666666666666666666666666666666666666666666666", signature, 32);
    signature[32] = 1;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        uint8_t key[32];
        bytes_of(keys[i], key, sizeof(key));
        /* 64 messages: with a key of order 8, h A = 0 for one in eight. */
        for (uint8_t m = 0; m < 64; m++)
            assert_false(csl_sign_verify(key, &m, 1, signature));
    }
}

static void test_ed25519__any_bit_changed__refused(void **state)
{
    uint8_t key[32], signature[64];
    (void)state;
    bytes_of(PUBLIC, key, sizeof(key));
    bytes_of(SIGNATURE, signature, sizeof(signature));
    for (size_t bit = 0; bit < 512; bit++) {
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(csl_sign_verify(key, message, 1, signature));
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(csl_sign_verify(key, message, 1, signature));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_pitfall_06__signature_with_s_plus_l__refused),
        cmocka_unit_test(test_secagg_pitfall_06__small_order_keys__refused),
        cmocka_unit_test(test_ed25519__any_bit_changed__refused),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
