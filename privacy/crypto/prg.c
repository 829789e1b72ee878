#include "privacy/crypto/prg.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/clones.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/hkdf.h"
#include "privacy/crypto/prg_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>

/* A slice of the words, two of key stream and the zeros that are enciphered: 16 KiB, so that the
 * first cache holds them together. */
enum { SLICE_WORDS = 512, SLICE_BYTES = SLICE_WORDS * 8, GROUP = 32, FIRST_COUNTER = 2 };

static const uint8_t zeros[SLICE_BYTES];

struct csl_prg {
    enum csl_prg__cipher kind;
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *contexts[GROUP]; /* one keyed stream each */
    uint64_t *stream;                /* two slices of key stream */
};

static enum csl_code derive(const uint8_t prk[32], const char label[9], const uint32_t *ids,
                            size_t n, uint64_t chunk, uint8_t out[CSL_PRG_KEY_BYTES],
                            struct csl_err *err)
{
    uint8_t info[9 + 4 * 3 + 8];
    uint8_t *p = info;
    memcpy(p, label, 9);
    p += 9;
    for (size_t i = 0; i < n; i++, p += 4)
        csl_store_le32(p, ids[i]);
    csl_store_le64(p, chunk);
    return csl_hkdf_expand(prk, info, (size_t)(p + 8 - info), out, CSL_PRG_KEY_BYTES, err);
}

enum csl_code csl_prg_mask_key(const uint8_t prk[32], uint32_t lo, uint32_t hi, uint32_t block,
                               uint64_t chunk, uint8_t out[CSL_PRG_KEY_BYTES], struct csl_err *err)
{
    if (lo >= hi)
        return CSL_FAIL(err, CSL_E_INVAL, "a mask between sites %u and %u; the lower first",
                        (unsigned)lo, (unsigned)hi);
    const uint32_t ids[] = {lo, hi, block};
    return derive(prk, "FSA1 mask", ids, 3, chunk, out, err);
}

enum csl_code csl_prg_self_key(const uint8_t prk[32], uint32_t site, uint32_t block, uint64_t chunk,
                               uint8_t out[CSL_PRG_KEY_BYTES], struct csl_err *err)
{
    const uint32_t ids[] = {site, block};
    return derive(prk, "FSA1 self", ids, 2, chunk, out, err);
}

/* A context's first key takes memory, later ones do not: so the first is given here, and what fails
 * afterwards is a mistake of ours. */
static bool open_contexts(struct csl_prg *p)
{
    static const uint8_t any[32];
    for (size_t i = 0; i < GROUP; i++) {
        p->contexts[i] = EVP_CIPHER_CTX_new();
        if (p->contexts[i] == NULL ||
            EVP_EncryptInit_ex2(p->contexts[i], p->cipher, any, any, NULL) != 1)
            return false;
    }
    return true;
}

enum csl_code csl_prg__open(enum csl_prg__cipher cipher, struct csl_prg **out, struct csl_err *err)
{
    const char *name = cipher == CSL_PRG__GCM ? "AES-256-GCM" : "AES-256-CTR";
    struct csl_prg *p = csl_alloc(sizeof(*p));
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "a mask generator");
    p->kind = cipher;
    p->stream = csl_alloc_aligned(64, 2 * SLICE_BYTES);
    p->cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    enum csl_code code = CSL_OK;
    if (p->cipher == NULL)
        code = CSL_FAIL(err, CSL_E_UNSUPPORTED, "this OpenSSL has no %s", name);
    else if (p->stream == NULL || !open_contexts(p))
        code = CSL_FAIL(err, CSL_E_NOMEM, "contexts of %s", name);
    if (code == CSL_OK)
        *out = p;
    else
        csl_prg_free(p);
    return code;
}

void csl_prg_free(struct csl_prg *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < GROUP; i++)
        EVP_CIPHER_CTX_free(p->contexts[i]); /* cleanses */
    EVP_CIPHER_free(p->cipher);
    if (p->stream != NULL)
        OPENSSL_cleanse(p->stream, 2 * SLICE_BYTES);
    csl_free(p->stream);
    csl_free(p);
}

static void set_key(struct csl_prg *p, size_t context, const uint8_t key[CSL_PRG_KEY_BYTES])
{
    uint8_t iv[16] = {0};
    memcpy(iv, key + 32, 12);
    iv[15] = FIRST_COUNTER; /* counter mode; Galois/counter mode reads 12 bytes and counts alike */
    CSL_ASSERT(EVP_EncryptInit_ex2(p->contexts[context], NULL, key, iv, NULL) == 1);
    OPENSSL_cleanse(iv, sizeof(iv));
}

/* +v where m is 0, -v where m is all ones: the sign of a stream without a branch. */
static inline uint64_t signed_by(uint64_t v, uint64_t m)
{
    return (v ^ m) - m;
}

CSL_CLONES static void add(uint64_t *restrict words, const uint64_t *restrict a, uint64_t sign,
                           size_t n)
{
    for (size_t i = 0; i < n; i++)
        words[i] += signed_by(a[i], sign);
}

/* Two streams at once: the words are loaded and stored half as often. */
CSL_CLONES static void add_two(uint64_t *restrict words, const uint64_t *restrict a,
                               uint64_t sign_a, const uint64_t *restrict b, uint64_t sign_b,
                               size_t n)
{
    for (size_t i = 0; i < n; i++)
        words[i] += signed_by(a[i], sign_a) + signed_by(b[i], sign_b);
}

/* The next n words of the stream of one context. The host is little-endian (base/le.h). */
static void key_stream(struct csl_prg *p, size_t context, uint64_t *out, size_t n)
{
    int done = 0;
    int bytes = (int)(n * 8);
    CSL_ASSERT(EVP_EncryptUpdate(p->contexts[context], (unsigned char *)out, &done, zeros, bytes) ==
                   1 &&
               done == bytes);
}

static void apply(struct csl_prg *p, const struct csl_prg_stream *streams, size_t n,
                  uint64_t *words, size_t count)
{
    uint64_t *a = p->stream;
    uint64_t *b = p->stream + SLICE_WORDS;
    for (size_t i = 0; i < n; i += 2) {
        uint64_t sign_a = streams[i].sign == CSL_PRG_ADD ? 0 : UINT64_MAX;
        key_stream(p, i, a, count);
        if (i + 1 == n) {
            add(words, a, sign_a, count);
            break;
        }
        key_stream(p, i + 1, b, count);
        add_two(words, a, sign_a, b, streams[i + 1].sign == CSL_PRG_ADD ? 0 : UINT64_MAX, count);
    }
}

void csl_prg_add_streams(struct csl_prg *p, const struct csl_prg_stream *streams, size_t n,
                         uint64_t *words, size_t count)
{
    CSL_ASSERT(count <= CSL_PRG_CHUNK_WORDS);
    for (size_t first = 0; first < n; first += GROUP) {
        size_t group = n - first < GROUP ? n - first : GROUP;
        for (size_t i = 0; i < group; i++)
            set_key(p, i, streams[first + i].key);
        for (size_t w = 0; w < count; w += SLICE_WORDS) {
            size_t slice = count - w < SLICE_WORDS ? count - w : SLICE_WORDS;
            apply(p, streams + first, group, words + w, slice);
        }
    }
}

void csl_prg_add(struct csl_prg *p, const uint8_t key[CSL_PRG_KEY_BYTES], uint64_t *words,
                 size_t count, enum csl_prg_sign sign)
{
    struct csl_prg_stream one = {.sign = sign};
    memcpy(one.key, key, sizeof(one.key));
    csl_prg_add_streams(p, &one, 1, words, count);
    OPENSSL_cleanse(&one, sizeof(one));
}

const char *csl_prg_cipher(const struct csl_prg *p)
{
    return p->kind == CSL_PRG__GCM ? "AES-256-GCM" : "AES-256-CTR";
}

/* What the process found out when it made its first generator, under the lock. */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_started;
static enum csl_prg__cipher fastest = CSL_PRG__CTR;

enum { TIMED_WORDS = 32768, TIMED_TRIES = 8 }; /* 256 KiB, each cipher in turn */

static uint64_t time_once(struct csl_prg *p, uint64_t *words)
{
    static const uint8_t any[CSL_PRG_KEY_BYTES];
    uint64_t begin = csl_clock_monotonic_ns();
    csl_prg_add(p, any, words, TIMED_WORDS, CSL_PRG_ADD);
    return csl_clock_monotonic_ns() - begin;
}

/* The best of several, so that a neighbour's burst does not decide. */
static void choose(struct csl_prg *counter, struct csl_prg *galois, uint64_t *words)
{
    uint64_t best_counter = UINT64_MAX;
    uint64_t best_galois = UINT64_MAX;
    for (int i = 0; i < TIMED_TRIES; i++) {
        uint64_t a = time_once(counter, words);
        uint64_t b = time_once(galois, words);
        best_counter = a < best_counter ? a : best_counter;
        best_galois = b < best_galois ? b : best_galois;
    }
    fastest = best_galois < best_counter ? CSL_PRG__GCM : CSL_PRG__CTR;
}

static enum csl_code start(struct csl_err *err)
{
    enum csl_code code = csl_prg_self_test(err);
    if (code != CSL_OK)
        return code;
    struct csl_prg *counter = NULL;
    struct csl_prg *galois = NULL;
    uint64_t *words = csl_alloc_array(TIMED_WORDS, sizeof(*words));
    /* Without memory or without the second cipher, counter mode serves. */
    if (words != NULL && csl_prg__open(CSL_PRG__CTR, &counter, NULL) == CSL_OK &&
        csl_prg__open(CSL_PRG__GCM, &galois, NULL) == CSL_OK)
        choose(counter, galois, words);
    csl_prg_free(counter);
    csl_prg_free(galois);
    csl_free(words);
    is_started = true;
    return CSL_OK;
}

enum csl_code csl_prg_new(struct csl_prg **out, struct csl_err *err)
{
    CSL_ASSERT(pthread_mutex_lock(&start_lock) == 0);
    enum csl_code code = is_started ? CSL_OK : start(err);
    enum csl_prg__cipher cipher = fastest;
    CSL_ASSERT(pthread_mutex_unlock(&start_lock) == 0);
    return code == CSL_OK ? csl_prg__open(cipher, out, err) : code;
}
