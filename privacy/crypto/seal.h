/* privacy/crypto/seal.h - the two shares that one site sends another: XChaCha20-Poly1305
 * (draft-irtf-cfrg-xchacha-03; libsodium) under the key K = HKDF-Expand(PRKe, "FSA1 share" || le32
 * from || le32 to, 32) with nonce 0, associated data sid || le32 from || le32 to || commitments,
 * where commitments = SHA256(Cb || Cs).
 *
 * A nonce that never changes is safe only with a key that seals once. A csl_seal_key is spent by
 * csl_seal_share; deriving the same one again to seal something else would reveal both plaintexts:
 * within one sid, one z and so one set of shares, it can only seal the same bytes again. Any
 * thread; needs csl_crypto_init. */
#ifndef CSL_CRYPTO_SEAL_H
#define CSL_CRYPTO_SEAL_H
#include "privacy/crypto/agree.h"

enum { CSL_SEAL_BYTES = 80, CSL_SEAL3_BYTES = 112 }; /* 64 or 96 of shares, 16 of tag */

struct csl_seal_context {
    uint8_t sid[CSL_AGREE_SID_BYTES];
    uint32_t from, to; /* site ids */
    uint8_t commitments[32];
};
struct csl_seal_shares {
    struct csl_scalar b, s; /* shares of the self-mask secret and of the mask key */
};
struct csl_seal_key {
    uint8_t bytes[32];
    bool is_spent;
};

/* CSL_E_INVAL: from == to; CSL_E_NOMEM. */
enum csl_code csl_seal_key_derive(const uint8_t prk[CSL_AGREE_KEY_BYTES], uint32_t from,
                                  uint32_t to, struct csl_seal_key *out,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* Wipes the key's bytes and marks it spent. CSL_E_STATE: it was spent already. */
enum csl_code csl_seal_share(struct csl_seal_key *key, const struct csl_seal_context *context,
                             const struct csl_seal_shares *shares, uint8_t out[CSL_SEAL_BYTES],
                             struct csl_err *err) CSL_MUST_CHECK;
/* The key may open any number of times. CSL_E_CRYPTO: not what was sealed for this context, or a
 * share that is not canonical; CSL_E_STATE: the key is spent. */
enum csl_code csl_seal_open(const struct csl_seal_key *key, const struct csl_seal_context *context,
                            const uint8_t sealed[CSL_SEAL_BYTES], struct csl_seal_shares *out,
                            struct csl_err *err) CSL_MUST_CHECK;
/* The same with a third share, of the value that draws the mask graph (FSA-1/k). Which of the two
 * is sealed follows from what sid binds. */
enum csl_code csl_seal_share3(struct csl_seal_key *key, const struct csl_seal_context *context,
                              const struct csl_seal_shares *shares, const struct csl_scalar *third,
                              uint8_t out[CSL_SEAL3_BYTES], struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_seal_open3(const struct csl_seal_key *key, const struct csl_seal_context *context,
                             const uint8_t sealed[CSL_SEAL3_BYTES], struct csl_seal_shares *out,
                             struct csl_scalar *third, struct csl_err *err) CSL_MUST_CHECK;

#endif
