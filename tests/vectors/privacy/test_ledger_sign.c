/* Known answers. Ed25519: RFC 8032 section 7.1, tests 1, 2, 3 and SHA(abc). SHA-256:
 * FIPS 180-4 examples ("abc", the empty message). Merkle roots: the tree of RFC 6962 section 2.1.3
 * with the leaves of the Certificate Transparency project's reference test data. */
#include "base/bytes.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/ledger/merkle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct sign_vector {
    const char *seed, *public_key, *message, *signature;
};
static const struct sign_vector sign_vectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d"
     "8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6"
     "594a7c15e9716ed28dc027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fee"
     "b"
     "bd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e"
     "0"
     "303dca179c138ac17ad9bef1177331a704"},
};

static size_t bytes_of(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    assert_true(csl_unhex(hex, out, n));
    return n;
}

static void test_ledger_sign__rfc8032__keys_and_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sign_vectors) / sizeof(sign_vectors[0]); i++) {
        const struct sign_vector *v = &sign_vectors[i];
        uint8_t seed[32], public_key[32], message[64], expected[64], signature[64];
        struct csl_sign_key key;
        bytes_of(v->seed, seed);
        bytes_of(v->public_key, public_key);
        bytes_of(v->signature, expected);
        size_t n = bytes_of(v->message, message);
        csl_sign_from_seed(&key, seed);
        assert_memory_equal(key.public_key, public_key, 32);
        csl_sign(&key, message, n, signature);
        assert_memory_equal(signature, expected, 64);
        assert_true(csl_sign_verify(public_key, message, n, signature));
        for (size_t k = 0; k < 64; k++) {
            signature[k] ^= 1;
            assert_false(csl_sign_verify(public_key, message, n, signature));
            signature[k] ^= 1;
        }
        csl_sign_wipe(&key);
    }
}

static void test_ledger_sign__small_order_key__verifies_nothing(void **state)
{
    (void)state;
    uint8_t identity[32] = {1}, zero[64] = {0};
    zero[0] = 1; /* R the neutral element, s zero: would satisfy the equation */
    assert_false(csl_sign_verify(identity, "x", 1, zero));
}

static void test_ledger_sign__sha256__known_answers(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t expected[32], got[32];
        struct csl_sha256 h;
        bytes_of(vectors[i][1], expected);
        csl_sha256_init(&h);
        for (const char *p = vectors[i][0]; *p != '\0'; p++)
            csl_sha256_update(&h, p, 1);
        csl_sha256_final(&h, got);
        assert_memory_equal(got, expected, 32);
    }
}

static const char *const leaves[8] = {"",
                                      "00",
                                      "10",
                                      "2021",
                                      "3031",
                                      "40414243",
                                      "5051525354555657",
                                      "606162636465666768696a6b6c6d6e6f"};
static const char *const roots[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

static void test_ledger_sign__rfc6962__roots(void **state)
{
    (void)state;
    struct csl_merkle tree = {.size = 0};
    for (size_t n = 0; n <= 8; n++) {
        uint8_t expected[32], got[32], leaf[32], data[16];
        bytes_of(roots[n], expected);
        csl_merkle_root(&tree, got);
        assert_memory_equal(got, expected, 32);
        if (n == 8)
            break;
        size_t bytes = bytes_of(leaves[n], data);
        csl_merkle_leaf(data, bytes, leaf);
        csl_merkle_add(&tree, leaf);
    }
}

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger_sign__rfc8032__keys_and_signatures),
        cmocka_unit_test(test_ledger_sign__small_order_key__verifies_nothing),
        cmocka_unit_test(test_ledger_sign__sha256__known_answers),
        cmocka_unit_test(test_ledger_sign__rfc6962__roots),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
