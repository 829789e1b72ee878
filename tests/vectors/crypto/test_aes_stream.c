/* AES-256 key streams. NIST SP 800-38A, appendix F.5.5 (CTR-AES256.Encrypt) for the cipher itself;
 * for mask streams, whose counter starts where Galois/counter mode starts to encipher, test cases
 * 14 and 15 of McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B (the
 * submission behind NIST SP 800-38D): ciphertext xor plaintext is the key stream. Values compared
 * with a second implementation before they were written here. */
#include "privacy/crypto/prg_internal.h"
#include "tests/vectors/crypto/bytes_of.h"

#include <openssl/evp.h>

static void test_aes_stream__sp800_38a_f55__published_ciphertext(void **state)
{
    uint8_t key[32], counter[16], plain[64], out[64];
    int done = 0;
    (void)state;
    bytes_of("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", key, sizeof(key));
    bytes_of("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", counter, sizeof(counter));
    bytes_of("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
             "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
             plain, sizeof(plain));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_non_null(ctx);
    assert_int_equal(EVP_EncryptInit_ex2(ctx, EVP_aes_256_ctr(), key, counter, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &done, plain, sizeof(plain)), 1);
    EVP_CIPHER_CTX_free(ctx);
    assert_bytes(out, "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
                      "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6");
}

struct row {
    const char *key, *iv, *plain, *cipher;
};
static const struct row rows[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"},
};

static void expect_stream(const struct row *row, uint64_t words[8], size_t n)
{
    uint8_t plain[64], cipher[64];
    assert_int_equal(bytes_of(row->plain, plain, sizeof(plain)), 8 * n);
    assert_int_equal(bytes_of(row->cipher, cipher, sizeof(cipher)), 8 * n);
    for (size_t i = 0; i < 8 * n; i++)
        assert_int_equal(((const uint8_t *)words)[i], plain[i] ^ cipher[i]);
}

static void test_aes_stream__gcm_test_cases__mask_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const enum csl_prg__cipher ciphers[] = {CSL_PRG__CTR, CSL_PRG__GCM};
        size_t n = strlen(rows[i].plain) / 16;
        uint8_t key[CSL_PRG_KEY_BYTES];
        uint64_t words[8] = {0};
        bytes_of(rows[i].key, key, 32);
        bytes_of(rows[i].iv, key + 32, 12);
        assert_int_equal(csl_prg__reference(key, words, n, CSL_PRG_ADD, NULL), CSL_OK);
        expect_stream(&rows[i], words, n);
        for (size_t c = 0; c < 2; c++) {
            struct csl_prg *p;
            uint64_t fused[8] = {0};
            assert_int_equal(csl_prg__open(ciphers[c], &p, NULL), CSL_OK);
            csl_prg_add(p, key, fused, n, CSL_PRG_ADD);
            csl_prg_free(p);
            expect_stream(&rows[i], fused, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aes_stream__sp800_38a_f55__published_ciphertext),
        cmocka_unit_test(test_aes_stream__gcm_test_cases__mask_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
