#include "privacy/crypto/seal.h"

#include "base/le.h"
#include "privacy/crypto/hkdf.h"

#include <sodium.h>

enum { AAD_BYTES = 32 + 4 + 4 + 32, TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES };
/* Never another one: a key seals once. */
static const uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

_Static_assert(sizeof(struct csl_seal_shares) + crypto_aead_xchacha20poly1305_ietf_ABYTES ==
                   CSL_SEAL_BYTES,
               "two shares and a tag");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES ==
                   sizeof(((struct csl_seal_key *)0)->bytes),
               "the key of the cipher");

enum csl_code csl_seal_key_derive(const uint8_t prk[CSL_AGREE_KEY_BYTES], uint32_t from,
                                  uint32_t to, struct csl_seal_key *out, struct csl_err *err)
{
    static const char label[] = "FSA1 share";
    uint8_t info[sizeof(label) - 1 + 8];
    if (from == to)
        return CSL_FAIL(err, CSL_E_INVAL, "site %u with itself", (unsigned)from);
    memcpy(info, label, sizeof(label) - 1);
    csl_store_le32(info + sizeof(label) - 1, from);
    csl_store_le32(info + sizeof(label) + 3, to);
    enum csl_code code =
        csl_hkdf_expand(prk, info, sizeof(info), out->bytes, sizeof(out->bytes), err);
    if (code == CSL_OK)
        out->is_spent = false;
    return code;
}

static void associated_data(const struct csl_seal_context *c, uint8_t out[AAD_BYTES])
{
    memcpy(out, c->sid, 32);
    csl_store_le32(out + 32, c->from);
    csl_store_le32(out + 36, c->to);
    memcpy(out + 40, c->commitments, 32);
}

static enum csl_code check_unspent(const struct csl_seal_key *key, struct csl_err *err)
{
    if (key->is_spent)
        return CSL_FAIL(err, CSL_E_STATE, "this key has sealed already");
    return CSL_OK;
}

/* scalars: [n / 32], one after the other. The key is spent; its bytes are the caller's to wipe. */
static enum csl_code seal(struct csl_seal_key *key, const struct csl_seal_context *context,
                          const uint8_t *scalars, size_t n, uint8_t *out, struct csl_err *err)
{
    uint8_t aad[AAD_BYTES];
    enum csl_code code = check_unspent(key, err);
    if (code != CSL_OK)
        return code;
    associated_data(context, aad);
    /* Always 0 for a message of this length. */
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, scalars, n, aad, sizeof(aad), NULL,
                                                     nonce, key->bytes);
    key->is_spent = true;
    return CSL_OK;
}

static enum csl_code open_sealed(const struct csl_seal_key *key,
                                 const struct csl_seal_context *context, const uint8_t *sealed,
                                 size_t sealed_bytes, struct csl_scalar *scalars,
                                 struct csl_err *err)
{
    uint8_t aad[AAD_BYTES];
    enum csl_code code = check_unspent(key, err);
    if (code != CSL_OK)
        return code;
    associated_data(context, aad);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)scalars, NULL, NULL, sealed,
                                                   sealed_bytes, aad, sizeof(aad), nonce,
                                                   key->bytes) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "not what site %u sealed for site %u in this session",
                        (unsigned)context->from, (unsigned)context->to);
    for (size_t i = 0; code == CSL_OK && 32 * i + TAG_BYTES < sealed_bytes; i++)
        if (!csl_scalar_is_canonical(&scalars[i]))
            code = CSL_FAIL(err, CSL_E_CRYPTO, "site %u sealed a share that is not canonical",
                            (unsigned)context->from);
    return code;
}

enum csl_code csl_seal_share(struct csl_seal_key *key, const struct csl_seal_context *context,
                             const struct csl_seal_shares *shares, uint8_t out[CSL_SEAL_BYTES],
                             struct csl_err *err)
{
    struct csl_scalar plain[2] = {shares->b, shares->s};
    enum csl_code code = seal(key, context, (const uint8_t *)plain, sizeof(plain), out, err);
    sodium_memzero(plain, sizeof(plain));
    sodium_memzero(key->bytes, sizeof(key->bytes)); /* spent, or it was before */
    return code;
}

enum csl_code csl_seal_open(const struct csl_seal_key *key, const struct csl_seal_context *context,
                            const uint8_t sealed[CSL_SEAL_BYTES], struct csl_seal_shares *out,
                            struct csl_err *err)
{
    struct csl_scalar plain[2];
    enum csl_code code = open_sealed(key, context, sealed, CSL_SEAL_BYTES, plain, err);
    if (code == CSL_OK)
        *out = (struct csl_seal_shares){.b = plain[0], .s = plain[1]};
    sodium_memzero(plain, sizeof(plain));
    return code;
}

enum csl_code csl_seal_share3(struct csl_seal_key *key, const struct csl_seal_context *context,
                              const struct csl_seal_shares *shares, const struct csl_scalar *third,
                              uint8_t out[CSL_SEAL3_BYTES], struct csl_err *err)
{
    struct csl_scalar plain[3] = {shares->b, shares->s, *third};
    enum csl_code code = seal(key, context, (const uint8_t *)plain, sizeof(plain), out, err);
    sodium_memzero(plain, sizeof(plain));
    sodium_memzero(key->bytes, sizeof(key->bytes)); /* spent, or it was before */
    return code;
}

enum csl_code csl_seal_open3(const struct csl_seal_key *key, const struct csl_seal_context *context,
                             const uint8_t sealed[CSL_SEAL3_BYTES], struct csl_seal_shares *out,
                             struct csl_scalar *third, struct csl_err *err)
{
    struct csl_scalar plain[3];
    enum csl_code code = open_sealed(key, context, sealed, CSL_SEAL3_BYTES, plain, err);
    if (code == CSL_OK) {
        *out = (struct csl_seal_shares){.b = plain[0], .s = plain[1]};
        *third = plain[2];
    }
    sodium_memzero(plain, sizeof(plain));
    return code;
}
