/* privacy/crypto/sha256.h - SHA-256 (FIPS 180-4; libsodium), for formats that name it: RFC 6962
 * trees and signed notes. Everything else uses hash.h. One thread per state. */
#ifndef CSL_CRYPTO_SHA256_H
#define CSL_CRYPTO_SHA256_H
#include "base/bytes.h"

#define CSL_SHA256_BYTES 32

struct csl_sha256 {
    _Alignas(16) uint8_t state[128];
};
void csl_sha256_init(struct csl_sha256 *h);
void csl_sha256_update(struct csl_sha256 *h, const void *p, size_t n);
void csl_sha256_final(struct csl_sha256 *h, uint8_t out[CSL_SHA256_BYTES]); /* h is spent */

#endif
