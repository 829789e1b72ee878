#include "privacy/crypto/seal.h"

#include "base/le.h"
#include "privacy/crypto/hkdf.h"

#include <sodium.h>

enum { AAD_BYTES = 32 + 4 + 4 + 32 };
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

enum csl_code csl_seal_share(struct csl_seal_key *key, const struct csl_seal_context *context,
                             const struct csl_seal_shares *shares, uint8_t out[CSL_SEAL_BYTES],
                             struct csl_err *err)
{
    uint8_t aad[AAD_BYTES];
    uint8_t plain[sizeof(*shares)];
    enum csl_code code = check_unspent(key, err);
    if (code != CSL_OK)
        return code;
    associated_data(context, aad);
    memcpy(plain, shares->b.bytes, 32);
    memcpy(plain + 32, shares->s.bytes, 32);
    /* Always 0 for a message of this length. */
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain, sizeof(plain), aad,
                                                     sizeof(aad), NULL, nonce, key->bytes);
    sodium_memzero(plain, sizeof(plain));
    sodium_memzero(key->bytes, sizeof(key->bytes));
    key->is_spent = true;
    return CSL_OK;
}

enum csl_code csl_seal_open(const struct csl_seal_key *key, const struct csl_seal_context *context,
                            const uint8_t sealed[CSL_SEAL_BYTES], struct csl_seal_shares *out,
                            struct csl_err *err)
{
    uint8_t aad[AAD_BYTES];
    uint8_t plain[sizeof(*out)];
    struct csl_seal_shares shares;
    enum csl_code code = check_unspent(key, err);
    if (code != CSL_OK)
        return code;
    associated_data(context, aad);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed, CSL_SEAL_BYTES, aad,
                                                   sizeof(aad), nonce, key->bytes) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "not what site %u sealed for site %u in this session",
                        (unsigned)context->from, (unsigned)context->to);
    memcpy(shares.b.bytes, plain, 32);
    memcpy(shares.s.bytes, plain + 32, 32);
    if (csl_scalar_is_canonical(&shares.b) && csl_scalar_is_canonical(&shares.s))
        *out = shares;
    else
        code = CSL_FAIL(err, CSL_E_CRYPTO, "site %u sealed a share that is not canonical",
                        (unsigned)context->from);
    sodium_memzero(plain, sizeof(plain));
    sodium_memzero(&shares, sizeof(shares));
    return code;
}
