/* Masks on one core: the key stream with its addition, beside OpenSSL's AES-256-CTR alone into the
 * first cache (what the addition may not cost) and beside one pass of additions over memory; then
 * the operations of set-up and of unmasking, per second. Measured in turns, best of several. Prints
 * figures; they depend on the machine and its load, so none of them fails the program. */
#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/prg.h"
#include "privacy/crypto/seal.h"
#include "privacy/crypto/vss.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { REPEATS = 15, STREAMS = 37, CHUNKS = 64, CIPHER_BYTES = 32 << 20, SLICE = 8192 };

static uint64_t *vector; /* CHUNKS chunks: more than the last cache's share of one core */
static uint64_t *other;
static struct csl_prg *prg;
static struct csl_prg_stream streams[STREAMS];
static _Alignas(64) uint8_t zeros[SLICE], sink[SLICE];
static EVP_CIPHER_CTX *cipher;

static int start(void **state)
{
    (void)state;
    if (csl_crypto_init(NULL) != CSL_OK || csl_prg_new(&prg, NULL) != CSL_OK)
        return 1;
    vector = csl_alloc_array((size_t)CHUNKS * CSL_PRG_CHUNK_WORDS, sizeof(*vector));
    other = csl_alloc_array((size_t)CHUNKS * CSL_PRG_CHUNK_WORDS, sizeof(*other));
    cipher = EVP_CIPHER_CTX_new();
    if (vector == NULL || other == NULL || cipher == NULL)
        return 1;
    memset(other, 1, (size_t)CHUNKS * CSL_PRG_CHUNK_BYTES);
    for (size_t i = 0; i < STREAMS; i++) {
        memset(streams[i].key, (int)i + 1, sizeof(streams[i].key));
        streams[i].sign = i < STREAMS / 2 ? CSL_PRG_ADD : CSL_PRG_SUBTRACT;
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    EVP_CIPHER_CTX_free(cipher);
    csl_prg_free(prg);
    csl_free(vector);
    csl_free(other);
    return 0;
}

/* Each returns the bytes of key stream (or of memory) it went through. */
static double cipher_alone(void)
{
    int done;
    uint8_t iv[16] = {0};
    assert_int_equal(EVP_EncryptInit_ex2(cipher, EVP_aes_256_ctr(), streams[0].key, iv, NULL), 1);
    for (size_t i = 0; i < CIPHER_BYTES / SLICE; i++)
        assert_int_equal(EVP_EncryptUpdate(cipher, sink, &done, zeros, SLICE), 1);
    return CIPHER_BYTES;
}

static double fused_one_chunk(void)
{
    csl_prg_add_streams(prg, streams, STREAMS, vector, CSL_PRG_CHUNK_WORDS);
    return (double)STREAMS * CSL_PRG_CHUNK_BYTES;
}

static double fused_one_stream(void)
{
    for (size_t i = 0; i < 32; i++)
        csl_prg_add(prg, streams[i].key, vector, CSL_PRG_CHUNK_WORDS, streams[i].sign);
    return 32.0 * CSL_PRG_CHUNK_BYTES;
}

/* As a site does it: every chunk with keys of its own, and the vector coming from memory. */
static double fused_with_keys(void)
{
    const uint8_t prk[32] = {1};
    for (uint64_t chunk = 0; chunk < 8; chunk++) {
        for (uint32_t i = 0; i < STREAMS; i++)
            assert_int_equal(csl_prg_mask_key(prk, i, STREAMS, 0, chunk, streams[i].key, NULL),
                             CSL_OK);
        csl_prg_add_streams(prg, streams, STREAMS, vector + chunk * CSL_PRG_CHUNK_WORDS,
                            CSL_PRG_CHUNK_WORDS);
    }
    return 8.0 * STREAMS * CSL_PRG_CHUNK_BYTES;
}

static double memory_pass(void)
{
    size_t n = (size_t)CHUNKS * CSL_PRG_CHUNK_WORDS;
    for (size_t i = 0; i < n; i++)
        vector[i] += other[i];
    return (double)CHUNKS * CSL_PRG_CHUNK_BYTES;
}

static void bench_mask__fused_kernel(void **state)
{
    static double (*const work[])(void) = {cipher_alone, fused_one_chunk, fused_one_stream,
                                           fused_with_keys, memory_pass};
    static const char *const names[] = {"AES-256-CTR alone, 8 KiB", "37 streams into a chunk",
                                        "one stream into a chunk", "37 streams, own keys, 8 chunks",
                                        "add 64 MiB to 64 MiB (memory)"};
    enum { N = sizeof(work) / sizeof(work[0]) };
    double best[N] = {0};
    (void)state;
    for (int r = 0; r < REPEATS; r++)
        for (size_t i = 0; i < N; i++) {
            uint64_t begin = csl_clock_monotonic_ns();
            double bytes = work[i]();
            double rate = bytes / (double)(csl_clock_monotonic_ns() - begin);
            best[i] = rate > best[i] ? rate : best[i];
        }
    printf("mask cipher chosen: %s\n", csl_prg_cipher(prg));
    for (size_t i = 0; i < N; i++)
        printf("%-32s %6.2f GB/s  %5.2f x the cipher alone\n", names[i], best[i],
               best[i] / best[0]);
}

enum { SITES = 37, THRESHOLD = 25 };
static struct csl_scalar f[THRESHOLD], shares[SITES], weights[THRESHOLD];
static struct csl_point commitments[THRESHOLD];
static uint8_t secret_e[32], public_e[32], prk_out[32];
static const uint8_t z[32] = {1}, sid[32] = {2}, peer[32] = {9};
static struct csl_seal_key seal_key;

static enum csl_code do_polynomial(void)
{
    return csl_vss_polynomial(z, "mask", THRESHOLD, f, NULL);
}
static enum csl_code do_commit(void)
{
    return csl_vss_commit(f, THRESHOLD, commitments, NULL);
}
static enum csl_code do_deal(void)
{
    return csl_vss_deal(f, THRESHOLD, SITES, shares, NULL);
}
static enum csl_code do_verify(void)
{
    return csl_vss_verify(&shares[30], 30, commitments, THRESHOLD, NULL);
}
static enum csl_code do_weights(void)
{
    uint32_t indices[THRESHOLD];
    for (uint32_t i = 0; i < THRESHOLD; i++)
        indices[i] = i;
    return csl_vss_weights(indices, THRESHOLD, weights, NULL);
}
static enum csl_code do_reconstruct(void)
{
    struct csl_scalar secret;
    return csl_vss_reconstruct(weights, shares, THRESHOLD, commitments, &secret, NULL);
}
static enum csl_code do_mask(void)
{
    return csl_agree_mask(1, &f[0], &commitments[0], 2, &commitments[1], sid, prk_out, NULL);
}
static enum csl_code do_channel_keys(void)
{
    return csl_agree_channel_keys(z, "channel", 0, secret_e, public_e, NULL);
}
static enum csl_code do_channel(void)
{
    return csl_agree_channel(1, secret_e, public_e, 2, peer, sid, prk_out, NULL);
}
static enum csl_code do_seal(void)
{
    static const struct csl_seal_context context = {.from = 1, .to = 2};
    const struct csl_seal_shares two = {shares[0], shares[1]};
    uint8_t sealed[CSL_SEAL_BYTES];
    enum csl_code code = csl_seal_key_derive(prk_out, 1, 2, &seal_key, NULL);
    return code == CSL_OK ? csl_seal_share(&seal_key, &context, &two, sealed, NULL) : code;
}

static void bench_mask__set_up_and_unmasking(void **state)
{
    static const struct {
        const char *name;
        enum csl_code (*work)(void);
        int times;
    } rows[] = {{"coefficients of one secret, t=25", do_polynomial, 100},
                {"commitments, t=25", do_commit, 30},
                {"37 shares, t=25", do_deal, 100},
                {"one share verified, t=25", do_verify, 10},
                {"Lagrange weights, 25 sites", do_weights, 50},
                {"secret of 25 shares, checked", do_reconstruct, 200},
                {"mask key of a pair (ristretto255)", do_mask, 200},
                {"channel keys (X25519)", do_channel_keys, 200},
                {"channel key of a pair (X25519)", do_channel, 200},
                {"share key and seal, 64 bytes", do_seal, 1000}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double best = 1e18;
        for (int r = 0; r < REPEATS; r++) {
            uint64_t begin = csl_clock_monotonic_ns();
            for (int k = 0; k < rows[i].times; k++)
                assert_int_equal(rows[i].work(), CSL_OK);
            double ns = (double)(csl_clock_monotonic_ns() - begin) / rows[i].times;
            best = ns < best ? ns : best;
        }
        printf("%-36s %9.1f us  %9.0f per s\n", rows[i].name, best * 1e-3, 1e9 / best);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bench_mask__fused_kernel),
        cmocka_unit_test(bench_mask__set_up_and_unmasking),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
