/* privacy/crypto/hkdf.h - HKDF with SHA-256 (RFC 5869; OpenSSL EVP_KDF "HKDF"). Any thread.
 *
 * Extract turns key material that is not uniform (a Diffie-Hellman result) into a key; expand turns
 * that key into as many keys as there are different `info`. Whoever builds `info` keeps it
 * unambiguous: a constant that ends in no number, then integers of fixed width.
 * CSL_E_NOMEM: OpenSSL found no memory; `out` is then untouched. */
#ifndef CSL_CRYPTO_HKDF_H
#define CSL_CRYPTO_HKDF_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CSL_HKDF_KEY_BYTES = 32,
    CSL_HKDF_INFO_MAX = 1024,   /* bytes of `info` */
    CSL_HKDF_OUT_MAX = 255 * 32 /* bytes of one expansion: RFC 5869, section 2.3 */
};

/* An empty salt (n 0) stands for 32 zero bytes. The key material is at least one byte. */
enum csl_code csl_hkdf_extract(const void *salt, size_t salt_bytes, const void *material,
                               size_t material_bytes, uint8_t out[CSL_HKDF_KEY_BYTES],
                               struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_hkdf_expand(const uint8_t key[CSL_HKDF_KEY_BYTES], const void *info,
                              size_t info_bytes, void *out, size_t out_bytes,
                              struct csl_err *err) CSL_MUST_CHECK;

#endif
