/* privacy/crypto/rng.h - random numbers as ChaCha20 key streams (RFC 8439; libsodium).
 *
 * Two kinds, never to be confused.
 * SECRET: csl_rng_init_os, keyed from the operating system, for tickets, keys, sampling and noise.
 *   It never repeats itself: after fork() the child takes a new key (pthread_atfork; a raw clone()
 *   or vfork() goes past that and must not draw), a copy of the struct takes a new key at its first
 *   use (the struct knows its own address), and every 2^20 bytes a new key replaces the old one, so
 *   that a memory image or a virtual machine that is resumed twice shares no more than that, and an
 *   old key cannot be read from memory later.
 * REPLAYABLE: csl_rng_init_label, csl_rng_init_named and csl_rng_init_key, keyed by a digest of
 * (seed or key, label, ...), so that every use of randomness in training and simulation has its own
 * stream and can be replayed bit for bit, in any order, on any machine: shuffles, initial weights,
 * synthetic patients, bootstrap, rehearsals of noise. A copy replays too. A replayable stream
 * protects nothing: who knows the seed knows the noise. Whoever records a release asks
 * csl_rng_is_secret.
 *
 * Stream: segments of 512 bytes; segment i is the ChaCha20 key stream with the 64-bit nonce i
 * (little-endian) and the block counter from 0. More than 2^64 - 1 segments abort. Drawing from a
 * generator that was never started or has been wiped aborts. One thread. Needs csl_crypto_init. */
#ifndef CSL_CRYPTO_RNG_H
#define CSL_CRYPTO_RNG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CSL_RNG_SEGMENT_BYTES = 512 };

struct csl_rng {
    uint32_t kind; /* 0: not started */
    uint32_t used; /* bytes of `buffer` consumed */
    uint64_t segment;
    uint64_t forks;    /* SECRET: forks of the process when the key was taken */
    const void *self;  /* SECRET: where the struct lay when the key was taken */
    uint64_t rekey_at; /* SECRET: the segment that needs a new key */
    uint8_t key[32];
    uint8_t buffer[CSL_RNG_SEGMENT_BYTES];
};
void csl_rng_init_os(struct csl_rng *r);
void csl_rng_init_label(struct csl_rng *r, uint64_t seed, const char *label, uint64_t a, uint64_t b,
                        uint64_t c);
/* The same with a name (a site id, say) in place of numbers. */
void csl_rng_init_named(struct csl_rng *r, uint64_t seed, const char *label, const char *name,
                        uint64_t a);
/* The same from a key of 32 bytes: as secret as the key, and still no source of noise for a
 * release, because it repeats. */
void csl_rng_init_key(struct csl_rng *r, const uint8_t key[32], const char *label, uint64_t a,
                      uint64_t b);
/* Whether what is drawn from it may protect anything: true for csl_rng_init_os alone. The ledger
 * marks a run whose noise came from a replayable stream as a rehearsal. */
bool csl_rng_is_secret(const struct csl_rng *r);
void csl_rng_wipe(struct csl_rng *r);

void csl_rng_bytes(struct csl_rng *r, void *out, size_t n);
uint64_t csl_rng_u64(struct csl_rng *r);
uint64_t csl_rng_below(struct csl_rng *r,
                       uint64_t bound);    /* uniform on [0, bound); bound > 0; unbiased */
double csl_rng_uniform(struct csl_rng *r); /* [0, 1), multiples of 2^-53 */
double
csl_rng_normal(struct csl_rng *r); /* Box-Muller; for synthetic data and weights, not for privacy */
void csl_rng_shuffle_u32(struct csl_rng *r, uint32_t *items, size_t n); /* Fisher-Yates */

#endif
