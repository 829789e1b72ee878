#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/prg_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>

enum { LENGTH_MAX = 8192, BLOCK = 16, GUARD = 8 };

/* The counter blocks iv12 || be32(2 + i), enciphered one by one (which is what the electronic
 * codebook does). */
static bool key_stream(const uint8_t key[CSL_PRG_KEY_BYTES], uint8_t *out, size_t blocks)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return false;
    bool ok = EVP_EncryptInit_ex2(ctx, EVP_aes_256_ecb(), key, NULL, NULL) == 1;
    for (size_t i = 0; i < blocks && ok; i++) {
        uint8_t counter[BLOCK];
        int done = 0;
        uint32_t number = 2 + (uint32_t)i;
        memcpy(counter, key + 32, 12);
        for (size_t b = 0; b < 4; b++)
            counter[12 + b] = (uint8_t)(number >> (24 - 8 * b));
        ok = EVP_EncryptUpdate(ctx, out + i * BLOCK, &done, counter, BLOCK) == 1 && done == BLOCK;
    }
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

enum csl_code csl_prg__reference(const uint8_t key[CSL_PRG_KEY_BYTES], uint64_t *words,
                                 size_t count, enum csl_prg_sign sign, struct csl_err *err)
{
    CSL_ASSERT(count <= CSL_PRG_CHUNK_WORDS);
    size_t blocks = (count + 1) / 2;
    uint8_t *stream = csl_alloc_array(blocks, BLOCK);
    if (stream == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "a key stream of %zu words", count);
    enum csl_code code = CSL_OK;
    if (!key_stream(key, stream, blocks))
        code = CSL_FAIL(err, CSL_E_NOMEM, "AES-256 did not run");
    for (size_t w = 0; w < count && code == CSL_OK; w++) {
        uint64_t mask = csl_load_le64(stream + 8 * w);
        words[w] = sign == CSL_PRG_ADD ? words[w] + mask : words[w] - mask;
    }
    OPENSSL_cleanse(stream, blocks * BLOCK);
    csl_free(stream);
    return code;
}

/* FIPS 197, appendix C.3: anchors the single block on which all the rest is built. */
static bool is_aes_256(void)
{
    static const uint8_t answer[BLOCK] = {0x8e, 0xa2, 0xb7, 0xca, 0x51, 0x67, 0x45, 0xbf,
                                          0xea, 0xfc, 0x49, 0x90, 0x4b, 0x49, 0x60, 0x89};
    uint8_t key[32], block[BLOCK], out[BLOCK];
    int done = 0;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (uint8_t)(i * 0x11);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx != NULL && EVP_EncryptInit_ex2(ctx, EVP_aes_256_ecb(), key, NULL, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, out, &done, block, BLOCK) == 1 && done == BLOCK &&
              memcmp(out, answer, BLOCK) == 0;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* `stream` is the sum of the reference over zeros, `words` room for as many, of which `count` are
 * used from `offset` on; what lies behind must stay. */
static bool is_same(struct csl_prg *p, const uint8_t key[CSL_PRG_KEY_BYTES], const uint64_t *stream,
                    uint64_t *words, size_t offset, size_t count)
{
    memset(words, 0, (offset + count + GUARD) * sizeof(*words));
    csl_prg_add(p, key, words + offset, count, CSL_PRG_ADD);
    bool ok = memcmp(words + offset, stream, count * sizeof(*words)) == 0;
    csl_prg_add(p, key, words + offset, count, CSL_PRG_SUBTRACT);
    for (size_t i = 0; i < offset + count + GUARD; i++)
        ok = ok && words[i] == 0;
    return ok;
}

static enum csl_code check_cipher(struct csl_prg *p, const uint8_t key[CSL_PRG_KEY_BYTES],
                                  const uint64_t *stream, uint64_t *words, struct csl_err *err)
{
    const char *name = csl_prg_cipher(p);
    for (size_t bytes = BLOCK; bytes <= LENGTH_MAX; bytes += BLOCK)
        if (!is_same(p, key, stream, words, bytes / BLOCK % GUARD, bytes / 8))
            return CSL_FAIL(err, CSL_E_CRYPTO, "%s gives a wrong key stream of %zu bytes", name,
                            bytes);
    if (!is_same(p, key, stream, words, 0, CSL_PRG_CHUNK_WORDS) ||
        !is_same(p, key, stream, words, 1, CSL_PRG_CHUNK_WORDS - 1))
        return CSL_FAIL(err, CSL_E_CRYPTO, "%s gives a wrong key stream over a chunk", name);
    return CSL_OK;
}

static enum csl_code check_both(const uint64_t *stream, const uint8_t key[CSL_PRG_KEY_BYTES],
                                uint64_t *words, struct csl_err *err)
{
    static const enum csl_prg__cipher ciphers[] = {CSL_PRG__CTR, CSL_PRG__GCM};
    for (size_t i = 0; i < 2; i++) {
        struct csl_prg *p;
        enum csl_code code = csl_prg__open(ciphers[i], &p, err);
        if (code == CSL_E_UNSUPPORTED && ciphers[i] == CSL_PRG__GCM)
            return CSL_OK; /* only an alternative */
        if (code != CSL_OK)
            return code;
        code = check_cipher(p, key, stream, words, err);
        csl_prg_free(p);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

enum csl_code csl_prg_self_test(struct csl_err *err)
{
    uint8_t key[CSL_PRG_KEY_BYTES];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(0xa5 ^ (i * 29));
    if (!is_aes_256())
        return CSL_FAIL(err, CSL_E_CRYPTO, "AES-256 does not give the block of FIPS 197");
    uint64_t *stream = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*stream));
    uint64_t *words = csl_alloc_array(CSL_PRG_CHUNK_WORDS + GUARD, sizeof(*words));
    enum csl_code code = CSL_OK;
    if (stream == NULL || words == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "the self test of mask streams");
    if (code == CSL_OK)
        code = csl_prg__reference(key, stream, CSL_PRG_CHUNK_WORDS, CSL_PRG_ADD, err);
    if (code == CSL_OK)
        code = check_both(stream, key, words, err);
    csl_free(words);
    csl_free(stream);
    return code;
}
