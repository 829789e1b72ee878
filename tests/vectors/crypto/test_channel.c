/* The share channel. X25519: RFC 7748, section 5.2 (both scalars, 1 and 1000 iterations) and 6.1.
 * ChaCha20-Poly1305: RFC 8439, section 2.8.2. XChaCha20-Poly1305: draft-irtf-cfrg-xchacha-03,
 * appendix A.3.1. Values compared with fsa1_kat.py and with OpenSSL before they were written here.
 * Points of small order: the seven encodings that libsodium and the X25519 file of Wycheproof
 * refuse; every one is 0, 1, a point of order 8 or p - 1, p, p + 1. */
#include "privacy/crypto/agree.h"
#include "privacy/crypto/hkdf.h"
#include "privacy/crypto/init.h"
#include "tests/vectors/crypto/bytes_of.h"

#include <sodium.h>

#define ALICE        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define ALICE_PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define BOB          "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define BOB_PUBLIC   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
#define SHARED       "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

static void test_x25519__rfc7748_52__published_products(void **state)
{
    static const char *const rows[][3] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"}};
    uint8_t k[32] = {9}, u[32] = {9}, product[32];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t scalar[32], point[32];
        bytes_of(rows[i][0], scalar, 32);
        bytes_of(rows[i][1], point, 32);
        assert_int_equal(crypto_scalarmult(product, scalar, point), 0);
        assert_bytes(product, rows[i][2]);
    }
    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(crypto_scalarmult(product, k, u), 0);
        memcpy(u, k, 32);
        memcpy(k, product, 32);
        if (i == 1)
            assert_bytes(k, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
    assert_bytes(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

static void test_x25519__rfc7748_61__both_ends_extract_from_the_published_secret(void **state)
{
    uint8_t a[32], b[32], material[96], sid[32] = {7}, expected[32], alice[32], bob[32];
    (void)state;
    bytes_of(ALICE, a, 32);
    bytes_of(BOB, b, 32);
    bytes_of(SHARED ALICE_PUBLIC BOB_PUBLIC, material, sizeof(material));
    assert_int_equal(csl_hkdf_extract(sid, 32, material, sizeof(material), expected, NULL), CSL_OK);
    const uint8_t *pub_a = material + 32;
    const uint8_t *pub_b = material + 64;
    assert_true(csl_agree_channel_key_is_valid(pub_a));
    assert_true(csl_agree_channel_key_is_valid(pub_b));
    assert_int_equal(csl_agree_channel(1, a, pub_a, 2, pub_b, sid, alice, NULL), CSL_OK);
    assert_int_equal(csl_agree_channel(2, b, pub_b, 1, pub_a, sid, bob, NULL), CSL_OK);
    assert_memory_equal(alice, expected, 32);
    assert_memory_equal(bob, expected, 32);
}

static void test_secagg_pitfall_06__x25519_small_order_or_not_canonical__refused(void **state)
{
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        /* The same key twice in other clothes: 9 + p, and 9 with the bit that is masked. */
        "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0900000000000000000000000000000000000000000000000000000000000080"};
    uint8_t secret[32], own[32], sid[32] = {0}, prk[32] = {0};
    static const uint8_t untouched[32];
    (void)state;
    bytes_of(ALICE, secret, 32);
    bytes_of(ALICE_PUBLIC, own, 32);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t peer[32];
        bytes_of(bad[i], peer, 32);
        assert_false(csl_agree_channel_key_is_valid(peer));
        assert_int_equal(csl_agree_channel(1, secret, own, 2, peer, sid, prk, NULL), CSL_E_CRYPTO);
        assert_memory_equal(prk, untouched, 32);
    }
}

static const char sunscreen[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                                "only one tip for the future, sunscreen would be it.";
#define AEAD_KEY "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
#define AEAD_AAD "50515253c0c1c2c3c4c5c6c7"

static void test_aead__rfc8439_282__published_ciphertext(void **state)
{
    uint8_t key[32], aad[12], nonce[12], out[sizeof(sunscreen) - 1 + 16];
    (void)state;
    bytes_of(AEAD_KEY, key, 32);
    bytes_of(AEAD_AAD, aad, 12);
    bytes_of("070000004041424344454647", nonce, 12);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, (const uint8_t *)sunscreen,
                                              sizeof(sunscreen) - 1, aad, 12, NULL, nonce, key);
    assert_bytes(out, "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
                      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
                      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
                      "3ff4def08e4b7a9de576d26586cec64b6116"
                      "1ae10b594f09e26a7e902ecbd0600691");
}

static void test_aead__xchacha_draft_a31__published_ciphertext(void **state)
{
    uint8_t key[32], aad[12], nonce[24], out[sizeof(sunscreen) - 1 + 16];
    (void)state;
    bytes_of(AEAD_KEY, key, 32);
    bytes_of(AEAD_AAD, aad, 12);
    bytes_of("404142434445464748494a4b4c4d4e4f5051525354555657", nonce, 24);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, (const uint8_t *)sunscreen,
                                               sizeof(sunscreen) - 1, aad, 12, NULL, nonce, key);
    assert_bytes(out, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
                      "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
                      "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
                      "21f9664c97637da9768812f615c68b13b52e"
                      "c0875924c1c7987947deafd8780acf49");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x25519__rfc7748_52__published_products),
        cmocka_unit_test(test_x25519__rfc7748_61__both_ends_extract_from_the_published_secret),
        cmocka_unit_test(test_secagg_pitfall_06__x25519_small_order_or_not_canonical__refused),
        cmocka_unit_test(test_aead__rfc8439_282__published_ciphertext),
        cmocka_unit_test(test_aead__xchacha_draft_a31__published_ciphertext),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
