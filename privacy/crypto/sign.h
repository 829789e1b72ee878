/* privacy/crypto/sign.h - Ed25519 (RFC 8032; libsodium crypto_sign), pure, over the whole message.
 *
 * A secret key lives in a file of its own with mode 0600: the 32 bytes of the RFC 8032 seed and
 * nothing else. A public key that is handed from one party to another is a text of two lines:
 *
 *     consilium public key 1 ed25519 ROLE      who signs with it: federation, coordinator, site ID
 *     64 hexadecimal digits
 *
 * Signatures are deterministic: the same key and message give the same bytes. Any thread; call
 * csl_crypto_init first. */
#ifndef CSL_CRYPTO_SIGN_H
#define CSL_CRYPTO_SIGN_H
#include "base/bytes.h"

#define CSL_SIGN_SEED_BYTES      32
#define CSL_SIGN_PUBLIC_BYTES    32
#define CSL_SIGN_SIGNATURE_BYTES 64

struct csl_sign_key {
    uint8_t public_key[CSL_SIGN_PUBLIC_BYTES];
    uint8_t secret[64]; /* libsodium's form: seed, then public key. Never copied or printed. */
};

void csl_sign_keygen(struct csl_sign_key *out); /* from the operating system's generator */
void csl_sign_from_seed(struct csl_sign_key *out, const uint8_t seed[CSL_SIGN_SEED_BYTES]);
void csl_sign_wipe(struct csl_sign_key *k);

/* CSL_E_NOTFOUND: no such file; CSL_E_DENIED: group or others may read or write it; CSL_E_CORRUPT:
 * not 32 bytes; CSL_E_IO. */
enum csl_code csl_sign_load(struct csl_sign_key *out, const char *path,
                            struct csl_err *err) CSL_MUST_CHECK;
/* Writes a new file, durable when it returns. CSL_E_EXISTS: something is there already, and it is
 * left alone; CSL_E_IO. */
enum csl_code csl_sign_store(const struct csl_sign_key *k, const char *path,
                             struct csl_err *err) CSL_MUST_CHECK;

#define CSL_SIGN_ROLE_MAX 96 /* bytes of a role, with NUL: "site " and an id */

/* The public half as text, mode 0644. CSL_E_EXISTS: something is there already; CSL_E_IO. */
enum csl_code csl_sign_store_public(const struct csl_sign_key *k, const char *role,
                                    const char *path, struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_NOTFOUND; CSL_E_CORRUPT: not such a text; CSL_E_INVAL: the key of another role; CSL_E_IO.
 */
enum csl_code csl_sign_load_public(uint8_t out[CSL_SIGN_PUBLIC_BYTES], const char *role,
                                   const char *path, struct csl_err *err) CSL_MUST_CHECK;

void csl_sign(const struct csl_sign_key *k, const void *p, size_t n,
              uint8_t out[CSL_SIGN_SIGNATURE_BYTES]);
/* Refuses non-canonical signatures and keys of small order (libsodium). Not constant time: nothing
 * here is secret. */
bool csl_sign_verify(const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES], const void *p, size_t n,
                     const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES]) CSL_MUST_CHECK;

#endif
