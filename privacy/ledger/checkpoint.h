/* privacy/ledger/checkpoint.h - signed tree heads as C2SP checkpoints (c2sp.org/tlog-checkpoint,
 * c2sp.org/signed-note): the text
 *
 *     <origin>\n<size in decimal>\n<root in base64>\n
 *
 * signed with Ed25519, then an empty line and one line "U+2014 <name> <base64 of key hash and
 * signature>\n"; the key hash is the first 4 bytes of SHA-256(name, "\n", 0x01, public key) and
 * says which key to try, not whom to trust. The signer's name of a head of its own is the origin.
 * A countersignature is the other side's signature over the same text. Any thread. */
#ifndef CSL_LEDGER_CHECKPOINT_H
#define CSL_LEDGER_CHECKPOINT_H
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"

#define CSL_ORIGIN_MAX          96  /* bytes of an origin, with NUL */
#define CSL_CHECKPOINT_TEXT_MAX 512 /* bytes of the whole signed text, with NUL */

struct csl_checkpoint {
    char origin[CSL_ORIGIN_MAX];
    uint64_t size; /* entries */
    uint8_t root[CSL_SHA256_BYTES];
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES]; /* of the owner of the log */
};

/* Fills `signature` of c, whose other fields are set. */
void csl_checkpoint_sign(struct csl_checkpoint *c, const struct csl_sign_key *key);
bool csl_checkpoint_verify(const struct csl_checkpoint *c,
                           const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES]) CSL_MUST_CHECK;
/* Another's signature over the same text. */
void csl_checkpoint_countersign(const struct csl_checkpoint *c, const struct csl_sign_key *key,
                                uint8_t out[CSL_SIGN_SIGNATURE_BYTES]);
bool csl_checkpoint_verify_countersignature(
    const struct csl_checkpoint *c, const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
    const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES]) CSL_MUST_CHECK;

void csl_checkpoint_write(const struct csl_checkpoint *c,
                          const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                          char out[CSL_CHECKPOINT_TEXT_MAX]);
/* Accepts exactly what csl_checkpoint_write writes for this key. CSL_E_PROTO says what is wrong;
 * CSL_E_CRYPTO: the signature does not verify. */
enum csl_code csl_checkpoint_read(struct csl_checkpoint *out, struct csl_span text,
                                  const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
