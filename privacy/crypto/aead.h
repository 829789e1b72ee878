/* privacy/crypto/aead.h - records that stay on one machine, sealed with XChaCha20-Poly1305
 * (draft-irtf-cfrg-xchacha-03; libsodium) under a key of 32 random bytes and a random nonce of 24
 * that travels in front: so many records may share a key as anybody can write. What travels between
 * sites is sealed otherwise: seal.h. Any thread; needs csl_crypto_init. */
#ifndef CSL_CRYPTO_AEAD_H
#define CSL_CRYPTO_AEAD_H
#include "base/bytes.h"
#include "base/err.h"

enum { CSL_AEAD_KEY_BYTES = 32, CSL_AEAD_EXTRA_BYTES = 24 + 16 /* nonce, tag */ };

/* out has room for plain.n + CSL_AEAD_EXTRA_BYTES. `context` is authenticated and not stored. */
void csl_aead_seal(const uint8_t key[CSL_AEAD_KEY_BYTES], struct csl_span context,
                   struct csl_span plain, uint8_t *out);
/* out has room for sealed.n - CSL_AEAD_EXTRA_BYTES, and is wiped on failure. CSL_E_CRYPTO: too
 * short, or not sealed with this key in this context. */
enum csl_code csl_aead_open(const uint8_t key[CSL_AEAD_KEY_BYTES], struct csl_span context,
                            struct csl_span sealed, uint8_t *out,
                            struct csl_err *err) CSL_MUST_CHECK;

#endif
