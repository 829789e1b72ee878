/* SHA-256: the examples of NIST's "Cryptographic Standards and Guidelines: Examples with
 * Intermediate Values" for FIPS 180-4 (one block, two blocks), the empty message and the million of
 * 'a' of its long-message example. */
#include "base/str.h"
#include "privacy/crypto/bulk_hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void assert_digest(const uint8_t digest[CSL_DIGEST_BYTES], const char *expected)
{
    char hex[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(digest, CSL_DIGEST_BYTES, hex);
    assert_string_equal(hex, expected);
}

static void test_bulk_hash__published_messages__published_digests(void **state)
{
    static const struct {
        const char *message, *digest;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t digest[CSL_DIGEST_BYTES];
        csl_bulk_digest(rows[i].message, strlen(rows[i].message), digest);
        assert_digest(digest, rows[i].digest);
    }
}

static void test_bulk_hash__a_million_letters_in_uneven_pieces__published_digest(void **state)
{
    uint8_t letters[997], digest[CSL_DIGEST_BYTES];
    struct csl_bulk_hash h;
    (void)state;
    memset(letters, 'a', sizeof(letters));
    csl_bulk_hash_init(&h);
    for (size_t at = 0, n = 1; at < 1000000; at += n, n = n % sizeof(letters) + 1) {
        n = n < 1000000 - at ? n : 1000000 - at;
        csl_bulk_hash_update(&h, letters, n);
    }
    csl_bulk_hash_final(&h, digest);
    assert_digest(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bulk_hash__published_messages__published_digests),
        cmocka_unit_test(test_bulk_hash__a_million_letters_in_uneven_pieces__published_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
