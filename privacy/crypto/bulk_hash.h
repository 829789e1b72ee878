/* privacy/crypto/bulk_hash.h - SHA-256 (FIPS 180-4; OpenSSL, with the processor's SHA instructions
 * where it has them): the digest of bulk data, which are the float32 vectors of broadcasts, updates
 * and model files. Everything short has a BLAKE2b digest (privacy/crypto/hash.h); why there are two
 * is docs/decisions/0003-bulk-digest.md. One thread per state. */
#ifndef CSL_CRYPTO_BULK_HASH_H
#define CSL_CRYPTO_BULK_HASH_H
#include "privacy/crypto/hash.h"

struct csl_bulk_hash {
    _Alignas(8) uint8_t state[112];
};
void csl_bulk_hash_init(struct csl_bulk_hash *h);
void csl_bulk_hash_update(struct csl_bulk_hash *h, const void *p, size_t n);
void csl_bulk_hash_final(struct csl_bulk_hash *h, uint8_t out[CSL_DIGEST_BYTES]); /* h is spent */
void csl_bulk_digest(const void *p, size_t n, uint8_t out[CSL_DIGEST_BYTES]);

#endif
