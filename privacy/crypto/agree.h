/* privacy/crypto/agree.h - the keys that two sites of the protocol FSA-1 agree on: ristretto255
 * Diffie-Hellman for masks (RFC 9496), X25519 for the channel that carries shares (RFC 7748), both
 * through HKDF-Extract with the session id for a salt:
 *   PRKm = HKDF-Extract(sid, s_i S_j || S_lo || S_hi)      masks between two sites
 *   PRKb = HKDF-Extract(sid, b_i)                           the mask of a site for itself
 *   PRKe = HKDF-Extract(sid, X25519(e_i, E_j) || E_lo || E_hi)  the share channel
 * lo and hi are the two sites by id. Keys are secret; outputs untouched on failure. Any thread;
 * needs csl_crypto_init. */
#ifndef CSL_CRYPTO_AGREE_H
#define CSL_CRYPTO_AGREE_H
#include "privacy/crypto/group.h"

enum { CSL_AGREE_SID_BYTES = 32, CSL_AGREE_KEY_BYTES = 32, CSL_AGREE_X25519_BYTES = 32 };

/* Share-channel key pair: secret = first 32 bytes of HKDF(salt empty, z, "FSA1 derive" || label ||
 * le32 index, 64), public = X25519(secret, 9). CSL_E_NOMEM. */
enum csl_code csl_agree_channel_keys(const uint8_t z[32], const char *label, uint32_t index,
                                     uint8_t secret[CSL_AGREE_X25519_BYTES],
                                     uint8_t public_key[CSL_AGREE_X25519_BYTES],
                                     struct csl_err *err) CSL_MUST_CHECK;
/* Not one of the encodings of a point of small order (RFC 7748, section 6.1) and below 2^255 - 19:
 * what a peer sent is looked at when it arrives. */
bool csl_agree_channel_key_is_valid(const uint8_t public_key[CSL_AGREE_X25519_BYTES])
    CSL_MUST_CHECK;

/* Both ends get the same key. CSL_E_INVAL: own and peer have the same id or the same key (a
 * reflection); CSL_E_CRYPTO: a key that is not canonical, zero, the identity or of small order;
 * CSL_E_NOMEM. own_public must be the key of own_secret: the caller computed it. */
enum csl_code csl_agree_mask(uint32_t own, const struct csl_scalar *own_secret,
                             const struct csl_point *own_public, uint32_t peer,
                             const struct csl_point *peer_public,
                             const uint8_t sid[CSL_AGREE_SID_BYTES],
                             uint8_t prk[CSL_AGREE_KEY_BYTES], struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_agree_self(const struct csl_scalar *b, const uint8_t sid[CSL_AGREE_SID_BYTES],
                             uint8_t prk[CSL_AGREE_KEY_BYTES], struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_agree_channel(uint32_t own, const uint8_t own_secret[CSL_AGREE_X25519_BYTES],
                                const uint8_t own_public[CSL_AGREE_X25519_BYTES], uint32_t peer,
                                const uint8_t peer_public[CSL_AGREE_X25519_BYTES],
                                const uint8_t sid[CSL_AGREE_SID_BYTES],
                                uint8_t prk[CSL_AGREE_KEY_BYTES],
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
