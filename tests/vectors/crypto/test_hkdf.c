/* HKDF with SHA-256: RFC 5869, appendix A.1 to A.3 (A.4 to A.7 are SHA-1). Values compared with an
 * independent HMAC construction before they were written here. */
#include "privacy/crypto/hkdf.h"
#include "tests/vectors/crypto/bytes_of.h"

static void test_hkdf__rfc5869__published_keys(void **state)
{
    static const struct {
        const char *material, *salt, *info, *prk, *okm;
    } rows[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
         "f0f1f2f3f4f5f6f7f8f9", "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
         "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
         "404142434445464748494a4b4c4d4e4f",
         "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
         "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
         "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
         "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
         "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
         "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
         "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
         "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
         "cc30c58179ec3e87c14c01d5c1f3434f1d87"},
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
         "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t material[96], salt[96], info[96], prk[32], okm[96];
        size_t material_bytes = bytes_of(rows[i].material, material, sizeof(material));
        size_t salt_bytes = bytes_of(rows[i].salt, salt, sizeof(salt));
        size_t info_bytes = bytes_of(rows[i].info, info, sizeof(info));
        assert_int_equal(csl_hkdf_extract(salt, salt_bytes, material, material_bytes, prk, NULL),
                         CSL_OK);
        assert_bytes(prk, rows[i].prk);
        assert_int_equal(csl_hkdf_expand(prk, info, info_bytes, okm, strlen(rows[i].okm) / 2, NULL),
                         CSL_OK);
        assert_bytes(okm, rows[i].okm);
    }
}

static void test_hkdf__most_it_can_give__prefix_of_it_is_the_same(void **state)
{
    uint8_t prk[32] = {1}, info[CSL_HKDF_INFO_MAX] = {2};
    static uint8_t most[CSL_HKDF_OUT_MAX], some[100];
    (void)state;
    assert_int_equal(csl_hkdf_expand(prk, info, sizeof(info), most, sizeof(most), NULL), CSL_OK);
    assert_int_equal(csl_hkdf_expand(prk, info, sizeof(info), some, sizeof(some), NULL), CSL_OK);
    assert_memory_equal(most, some, sizeof(some));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hkdf__rfc5869__published_keys),
        cmocka_unit_test(test_hkdf__most_it_can_give__prefix_of_it_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
