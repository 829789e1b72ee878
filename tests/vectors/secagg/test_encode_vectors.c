/* The words of one small vector. Origin: a program of its own in Python from the contracts in the
 * headers alone: BLAKE2b of hashlib, ChaCha20 written out from RFC 8439 (with the 64-bit nonce),
 * the rotation as a matrix, which is exact here because every value is a multiple of 2^-7. */
#include "privacy/crypto/init.h"
#include "privacy/secagg/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_encode__small_vector__words_are_these(void **state)
{
    (void)state;
    static const uint64_t expected[8] = {
        UINT64_C(0x0306037503e30375), UINT64_C(0x0322027c03c802b4), UINT64_C(0x0306029803e30375),
        UINT64_C(0x02ea032303c80245), UINT64_C(0x03f1031503070322), UINT64_C(0x03f1031403070322),
        UINT64_C(0x03f1031403060322), UINT64_C(0x03f2031403070322)};
    struct csl_encoding e = {
        .rotation = {.size_log2 = 4}, .is_rotated = true, .count = 20, .clip_entry = 1.0};
    float vector[20];
    uint8_t coins[32];
    for (uint8_t i = 0; i < 32; i++) {
        e.rotation.key[i] = i;
        coins[i] = (uint8_t)(255 - i);
    }
    for (int i = 0; i < 20; i++)
        vector[i] = (float)(i - 10) / 32.0F;
    assert_int_equal(csl_lanes_plan(&e.lanes, 16, 37, 0, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_OK);
    assert_int_equal(csl_encoding_words(&e), 8);
    struct csl_encoder s;
    uint64_t words[8];
    assert_int_equal(csl_encoder_start(&s, &e, vector, coins, NULL), CSL_OK);
    csl_encoder_slice(&s, 0, NULL, words);
    csl_encoder_slice(&s, 1, NULL, words + 4);
    assert_memory_equal(words, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode__small_vector__words_are_these),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
