/* privacy/crypto/sha256.h - SHA-256 (FIPS 180-4; OpenSSL, with the processor's SHA instructions
 * where it has them): the digest of bulk data, which are the float32 vectors of broadcasts, updates
 * and model files, and of formats that name it (RFC 6962 trees, signed notes). Everything else has
 * a BLAKE2b digest (privacy/crypto/hash.h); why there are two is
 * docs/decisions/0003-bulk-digest.md. One thread per state. */
#ifndef CSL_CRYPTO_SHA256_H
#define CSL_CRYPTO_SHA256_H
#include "privacy/crypto/hash.h"

#define CSL_SHA256_BYTES 32
_Static_assert(CSL_SHA256_BYTES == CSL_DIGEST_BYTES, "it can stand where a digest stands");

struct csl_sha256 {
    _Alignas(8) uint8_t state[112];
};
void csl_sha256_init(struct csl_sha256 *h);
void csl_sha256_update(struct csl_sha256 *h, const void *p, size_t n);
void csl_sha256_final(struct csl_sha256 *h, uint8_t out[CSL_SHA256_BYTES]); /* h is spent */
void csl_sha256_digest(const void *p, size_t n, uint8_t out[CSL_SHA256_BYTES]);

#endif
