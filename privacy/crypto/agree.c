#include "privacy/crypto/agree.h"

#include "privacy/crypto/hkdf.h"
#include "privacy/crypto/label_internal.h"

#include <sodium.h>
#include <string.h>

_Static_assert(crypto_scalarmult_BYTES == CSL_AGREE_X25519_BYTES, "RFC 7748");

enum csl_code csl_agree_channel_keys(const uint8_t z[32], const char *label, uint32_t index,
                                     uint8_t secret[CSL_AGREE_X25519_BYTES],
                                     uint8_t public_key[CSL_AGREE_X25519_BYTES],
                                     struct csl_err *err)
{
    uint8_t wide[CSL_LABEL__BYTES];
    enum csl_code code = csl_label__derive(z, label, index, wide, err);
    if (code == CSL_OK) {
        memcpy(secret, wide, CSL_AGREE_X25519_BYTES);
        /* Cannot fail: the base point has a large order, and the secret is clamped. */
        (void)crypto_scalarmult_base(public_key, secret);
    }
    sodium_memzero(wide, sizeof(wide));
    return code;
}

/* Below p = 2^255 - 19. RFC 7748 has implementations accept the others; here two encodings of one
 * key would pass for two keys. */
static bool is_canonical_x25519(const uint8_t u[CSL_AGREE_X25519_BYTES])
{
    bool is_high = u[31] == 0x7f && u[0] >= 0xed;
    for (size_t i = 1; i < 31; i++)
        is_high = is_high && u[i] == 0xff;
    return (u[31] & 0x80) == 0 && !is_high;
}

bool csl_agree_channel_key_is_valid(const uint8_t public_key[CSL_AGREE_X25519_BYTES])
{
    static const uint8_t any[CSL_AGREE_X25519_BYTES] = {8};
    uint8_t product[CSL_AGREE_X25519_BYTES];
    /* A clamped scalar is a multiple of 8, so it takes every point of small order to zero. */
    return is_canonical_x25519(public_key) && crypto_scalarmult(product, any, public_key) == 0;
}

static enum csl_code extract(uint32_t own, const uint8_t own_public[32], uint32_t peer,
                             const uint8_t peer_public[32], const uint8_t product[32],
                             const uint8_t sid[CSL_AGREE_SID_BYTES],
                             uint8_t prk[CSL_AGREE_KEY_BYTES], struct csl_err *err)
{
    uint8_t material[96];
    memcpy(material, product, 32);
    memcpy(material + 32, own < peer ? own_public : peer_public, 32);
    memcpy(material + 64, own < peer ? peer_public : own_public, 32);
    enum csl_code code =
        csl_hkdf_extract(sid, CSL_AGREE_SID_BYTES, material, sizeof(material), prk, err);
    sodium_memzero(material, sizeof(material));
    return code;
}

static enum csl_code check_pair(uint32_t own, const uint8_t own_public[32], uint32_t peer,
                                const uint8_t peer_public[32], struct csl_err *err)
{
    if (own == peer)
        return CSL_FAIL(err, CSL_E_INVAL, "site %u with itself", (unsigned)own);
    if (sodium_memcmp(own_public, peer_public, 32) == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "site %u shows the key of site %u", (unsigned)peer,
                        (unsigned)own);
    return CSL_OK;
}

enum csl_code csl_agree_mask(uint32_t own, const struct csl_scalar *own_secret,
                             const struct csl_point *own_public, uint32_t peer,
                             const struct csl_point *peer_public,
                             const uint8_t sid[CSL_AGREE_SID_BYTES],
                             uint8_t prk[CSL_AGREE_KEY_BYTES], struct csl_err *err)
{
    enum csl_code code = check_pair(own, own_public->bytes, peer, peer_public->bytes, err);
    if (code != CSL_OK)
        return code;
    if (!csl_point_is_valid(own_public) || !csl_point_is_valid(peer_public))
        return CSL_FAIL(err, CSL_E_CRYPTO, "sites %u and %u: a mask key that is not a valid point",
                        (unsigned)own, (unsigned)peer);
    uint8_t product[32];
    /* libsodium answers -1 where the product is the identity, which is the scalar 0. */
    if (!csl_scalar_is_canonical(own_secret) ||
        crypto_scalarmult_ristretto255(product, own_secret->bytes, peer_public->bytes) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u: a mask secret that is zero or not canonical",
                        (unsigned)own);
    code = extract(own, own_public->bytes, peer, peer_public->bytes, product, sid, prk, err);
    sodium_memzero(product, sizeof(product));
    return code;
}

enum csl_code csl_agree_self(const struct csl_scalar *b, const uint8_t sid[CSL_AGREE_SID_BYTES],
                             uint8_t prk[CSL_AGREE_KEY_BYTES], struct csl_err *err)
{
    if (!csl_scalar_is_canonical(b) || csl_scalar_is_zero(b))
        return CSL_FAIL(err, CSL_E_CRYPTO, "a self-mask secret that is zero or not canonical");
    return csl_hkdf_extract(sid, CSL_AGREE_SID_BYTES, b->bytes, sizeof(b->bytes), prk, err);
}

enum csl_code csl_agree_channel(uint32_t own, const uint8_t own_secret[CSL_AGREE_X25519_BYTES],
                                const uint8_t own_public[CSL_AGREE_X25519_BYTES], uint32_t peer,
                                const uint8_t peer_public[CSL_AGREE_X25519_BYTES],
                                const uint8_t sid[CSL_AGREE_SID_BYTES],
                                uint8_t prk[CSL_AGREE_KEY_BYTES], struct csl_err *err)
{
    enum csl_code code = check_pair(own, own_public, peer, peer_public, err);
    if (code != CSL_OK)
        return code;
    uint8_t product[32];
    if (!is_canonical_x25519(peer_public) ||
        crypto_scalarmult(product, own_secret, peer_public) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO,
                        "site %u: a channel key that is not canonical or of small order",
                        (unsigned)peer);
    code = extract(own, own_public, peer, peer_public, product, sid, prk, err);
    sodium_memzero(product, sizeof(product));
    return code;
}
