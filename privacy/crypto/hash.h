/* privacy/crypto/hash.h - BLAKE2b with 32 bytes of output (RFC 7693; libsodium crypto_generichash):
 * the digest of studies, schemas and names. Vectors of float32 have privacy/crypto/bulk_hash.h. One
 * thread per state. */
#ifndef CSL_CRYPTO_HASH_H
#define CSL_CRYPTO_HASH_H
#include "base/bytes.h"

#define CSL_DIGEST_BYTES 32

struct csl_hash {
    _Alignas(64) uint8_t state[384];
};
void csl_hash_init(struct csl_hash *h);
void csl_hash_update(struct csl_hash *h, const void *p, size_t n);
void csl_hash_final(struct csl_hash *h, uint8_t out[CSL_DIGEST_BYTES]); /* h is spent */
void csl_digest(const void *p, size_t n, uint8_t out[CSL_DIGEST_BYTES]);

#endif
