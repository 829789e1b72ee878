#include "privacy/crypto/aead.h"

#include "base/check.h"

#include <sodium.h>

enum {
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES
};
_Static_assert((int)CSL_AEAD_EXTRA_BYTES == (int)NONCE_BYTES + (int)TAG_BYTES, "nonce and tag");
_Static_assert(CSL_AEAD_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "its key");

void csl_aead_seal(const uint8_t key[CSL_AEAD_KEY_BYTES], struct csl_span context,
                   struct csl_span plain, uint8_t *out)
{
    randombytes_buf(out, NONCE_BYTES);
    int failed = crypto_aead_xchacha20poly1305_ietf_encrypt(
        out + NONCE_BYTES, NULL, plain.p, plain.n, context.p, context.n, NULL, out, key);
    CSL_ASSERT(failed == 0); /* it cannot */
}

enum csl_code csl_aead_open(const uint8_t key[CSL_AEAD_KEY_BYTES], struct csl_span context,
                            struct csl_span sealed, uint8_t *out, struct csl_err *err)
{
    if (sealed.n < CSL_AEAD_EXTRA_BYTES)
        return CSL_FAIL(err, CSL_E_CRYPTO, "a sealed record of %zu bytes", sealed.n);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.p + NONCE_BYTES,
                                                   sealed.n - NONCE_BYTES, context.p, context.n,
                                                   sealed.p, key) == 0)
        return CSL_OK;
    sodium_memzero(out, sealed.n - CSL_AEAD_EXTRA_BYTES);
    return CSL_FAIL(err, CSL_E_CRYPTO, "a record that was sealed with another key, or changed");
}
