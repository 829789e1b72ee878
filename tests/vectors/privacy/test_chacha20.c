/* The key stream of csl_rng against published ChaCha20 vectors: A. Langley, draft-agl-tls-
 * chacha20poly1305-04, section 7 (64-bit nonce, 64-bit counter), whose first one is also test
 * vector 1 of RFC 8439, appendix A.1, and whose block function is that of the RFC. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct vector {
    uint8_t last_key_byte;
    uint64_t segment; /* the nonce, little-endian */
    const char *stream;
};

static const struct vector vectors[] = {
    {0, 0,
     "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
     "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
    {1, 0,
     "4540f05a9f1fb296d7736e7b208e3c96eb4fe1834688d2604f450952ed432d41"
     "bbe2a0b6ea7566d2a5d1e7e20d42af2c53d792b1c43fea817e9ad275ae546963"},
    {0, UINT64_C(0x0100000000000000),
     "de9cba7bf3d69ef5e786dc63973f653a0b49e015adbff7134fcb7df137821031"
     "e85a050278a7084527214f73efc7fa5b5277062eb7a0433e445f41e3"},
    {0, 1,
     "ef3fdfd6c61578fbf5cf35bd3dd33b8009631634d21e42ac33960bd138e50d32"
     "111e4caf237ee53ca8ad6426194a88545ddc497a0b466e7d6bbdb0041b2f586b"},
};

static void start(struct csl_rng *r, const struct vector *v)
{
    csl_rng_init_label(r, 0, "vector", 0, 0, 0);
    memset(r->key, 0, sizeof(r->key));
    r->key[31] = v->last_key_byte;
    r->segment = v->segment;
}

static void test_chacha20__published_vectors__are_the_stream(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct csl_rng r;
        start(&r, &vectors[i]);
        for (size_t at = 0; at < strlen(vectors[i].stream); at += 2) {
            uint8_t byte;
            char hex[3];
            csl_rng_bytes(&r, &byte, 1);
            snprintf(hex, sizeof(hex), "%02x", byte);
            assert_memory_equal(hex, vectors[i].stream + at, 2);
        }
    }
}

static void test_chacha20__second_segment__has_the_next_nonce(void **state)
{
    (void)state;
    struct csl_rng run, jump;
    uint8_t a[3 * CSL_RNG_SEGMENT_BYTES], b[CSL_RNG_SEGMENT_BYTES];
    start(&run, &vectors[0]);
    csl_rng_bytes(&run, a, sizeof(a));
    start(&jump, &vectors[3]); /* segment 1 */
    csl_rng_bytes(&jump, b, sizeof(b));
    assert_memory_equal(a + CSL_RNG_SEGMENT_BYTES, b, sizeof(b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chacha20__published_vectors__are_the_stream),
        cmocka_unit_test(test_chacha20__second_segment__has_the_next_nonce),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
