/* privacy/crypto/rng.h - random numbers as ChaCha20 key streams (RFC 8439; libsodium).
 *
 * Two kinds. csl_rng_init_os: keyed from the operating system, for tickets, keys and noise.
 * csl_rng_init_label: keyed by a digest of (seed, label, a, b, c), so that every use of randomness
 * in training and simulation has its own stream and can be replayed bit for bit, in any order, on
 * any machine: shuffles, initial weights, synthetic patients, bootstrap. Never for privacy. One
 * thread. */
#ifndef CSL_CRYPTO_RNG_H
#define CSL_CRYPTO_RNG_H
#include <stddef.h>
#include <stdint.h>

struct csl_rng {
    uint8_t key[32];
    uint64_t block; /* next 512-byte block */
    uint32_t used;  /* bytes of `buffer` consumed */
    uint8_t buffer[512];
};
void csl_rng_init_os(struct csl_rng *r);
void csl_rng_init_label(struct csl_rng *r, uint64_t seed, const char *label, uint64_t a, uint64_t b,
                        uint64_t c);
/* The same with a name (a site id, say) in place of numbers. */
void csl_rng_init_named(struct csl_rng *r, uint64_t seed, const char *label, const char *name,
                        uint64_t a);
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
