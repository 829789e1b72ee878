#include "privacy/crypto/rng.h"

#include "base/check.h"
#include "base/le.h"
#include "privacy/crypto/hash.h"

#include <math.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>

enum { SECRET = 1, REPLAYABLE = 2 };
enum { REKEY_SEGMENTS = 2048 }; /* 1 MiB */

/* Counted in every child, before it runs any code of ours; 0 until the first SECRET generator. */
static _Atomic uint64_t forks;
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;

static void forked(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watch(void)
{
    CSL_ASSERT(pthread_atfork(NULL, NULL, forked) == 0);
}

static void start(struct csl_rng *r, uint32_t kind)
{
    r->kind = kind;
    r->segment = 0;
    r->used = sizeof(r->buffer);
    r->forks = 0;
    r->self = NULL;
    r->rekey_at = 0;
}

/* The nonce stays 0: no key is used twice. */
static void key_from_os(struct csl_rng *r)
{
    randombytes_buf(r->key, sizeof(r->key));
    sodium_memzero(r->buffer, sizeof(r->buffer));
    start(r, SECRET);
    r->forks = atomic_load_explicit(&forks, memory_order_relaxed);
    r->self = r;
    r->rekey_at = REKEY_SEGMENTS;
}

void csl_rng_init_os(struct csl_rng *r)
{
    CSL_ASSERT(pthread_once(&watch_once, watch) == 0);
    key_from_os(r);
}

static void key_from(struct csl_rng *r, uint64_t seed, const char *label, const void *rest,
                     size_t n)
{
    uint8_t head[16];
    csl_store_le64(head, seed);
    csl_store_le64(head + 8, strlen(label));
    struct csl_hash h;
    csl_hash_init(&h);
    csl_hash_update(&h, head, sizeof(head));
    csl_hash_update(&h, label, strlen(label));
    csl_hash_update(&h, rest, n);
    csl_hash_final(&h, r->key);
    start(r, REPLAYABLE);
}

void csl_rng_init_label(struct csl_rng *r, uint64_t seed, const char *label, uint64_t a, uint64_t b,
                        uint64_t c)
{
    uint8_t rest[24];
    csl_store_le64(rest, a);
    csl_store_le64(rest + 8, b);
    csl_store_le64(rest + 16, c);
    key_from(r, seed, label, rest, sizeof(rest));
}

void csl_rng_init_named(struct csl_rng *r, uint64_t seed, const char *label, const char *name,
                        uint64_t a)
{
    uint8_t rest[8 + 256];
    size_t n = strlen(name);
    CSL_ASSERT(n <= 256);
    csl_store_le64(rest, a);
    memcpy(rest + 8, name, n);
    key_from(r, seed, label, rest, 8 + n);
}

void csl_rng_init_key(struct csl_rng *r, const uint8_t key[32], const char *label, uint64_t a,
                      uint64_t b)
{
    uint8_t numbers[24];
    csl_store_le64(numbers, strlen(label));
    csl_store_le64(numbers + 8, a);
    csl_store_le64(numbers + 16, b);
    struct csl_hash h;
    csl_hash_init(&h);
    csl_hash_update(&h, key, 32);
    csl_hash_update(&h, numbers, sizeof(numbers));
    csl_hash_update(&h, label, strlen(label));
    csl_hash_final(&h, r->key);
    start(r, REPLAYABLE);
}

bool csl_rng_is_secret(const struct csl_rng *r)
{
    return r->kind == SECRET;
}

void csl_rng_wipe(struct csl_rng *r)
{
    sodium_memzero(r, sizeof(*r));
}

static void next_segment(struct csl_rng *r, uint8_t out[CSL_RNG_SEGMENT_BYTES])
{
    if (r->kind == SECRET && r->segment == r->rekey_at)
        key_from_os(r);
    CSL_ASSERT(r->segment < UINT64_MAX);
    uint8_t nonce[crypto_stream_chacha20_NONCEBYTES] = {0};
    _Static_assert(sizeof(nonce) == 8, "the counter fills the nonce");
    csl_store_le64(nonce, r->segment++);
    crypto_stream_chacha20(out, CSL_RNG_SEGMENT_BYTES, nonce, r->key);
}

void csl_rng_bytes(struct csl_rng *r, void *out, size_t n)
{
    CSL_ASSERT(r->kind == SECRET || r->kind == REPLAYABLE);
    if (r->kind == SECRET &&
        (r->forks != atomic_load_explicit(&forks, memory_order_relaxed) || r->self != r))
        key_from_os(r);
    uint8_t *p = out;
    while (n > 0) {
        if (r->used == sizeof(r->buffer) && n >= sizeof(r->buffer)) {
            next_segment(r, p);
            p += sizeof(r->buffer);
            n -= sizeof(r->buffer);
            continue;
        }
        if (r->used == sizeof(r->buffer)) {
            next_segment(r, r->buffer);
            r->used = 0;
        }
        size_t take = sizeof(r->buffer) - r->used;
        if (take > n)
            take = n;
        memcpy(p, r->buffer + r->used, take);
        r->used += (uint32_t)take;
        p += take;
        n -= take;
    }
}

uint64_t csl_rng_u64(struct csl_rng *r)
{
    uint8_t raw[8];
    csl_rng_bytes(r, raw, sizeof(raw));
    return csl_load_le64(raw);
}

uint64_t csl_rng_below(struct csl_rng *r, uint64_t bound)
{
    CSL_ASSERT(bound > 0);
    /* Reject the first 2^64 mod bound values so that every residue is equally likely. */
    uint64_t reject = (UINT64_MAX - bound + 1) % bound;
    uint64_t v;
    do {
        v = csl_rng_u64(r);
    } while (v < reject);
    return v % bound;
}

double csl_rng_uniform(struct csl_rng *r)
{
    return (double)(csl_rng_u64(r) >> 11) * 0x1p-53;
}

double csl_rng_normal(struct csl_rng *r)
{
    double u = 1.0 - csl_rng_uniform(r); /* (0, 1]: the logarithm is finite */
    double v = csl_rng_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586477 * v);
}

void csl_rng_shuffle_u32(struct csl_rng *r, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)csl_rng_below(r, i);
        uint32_t t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}
