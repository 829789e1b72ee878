/* coordinator/heads.h - the other side of the sites' privacy ledgers: the newest signed head that
 * each site announced and proved to continue the one before it, kept durably, countersigned, and
 * shown to the site again. A site whose ledger was rolled back, replaced or copied then meets a
 * head that its own log does not continue, and can prove no other.
 *
 * Below the state folder: ledger.key (Ed25519 seed, 0600) and heads/SITE (the site's ledger key in
 * hexadecimal, a line end, the checkpoint). The first key a site announces is its key from then on;
 * the session that carries it is authenticated. Core thread. */
#ifndef CSL_COORD_HEADS_H
#define CSL_COORD_HEADS_H
#include "base/bytes.h"
#include "base/limits.h"
#include "privacy/ledger/checkpoint.h"
#include "privacy/ledger/merkle.h"

struct csl_heads;

/* state_dir NULL: in memory. sites: [count], copied. CSL_E_CORRUPT names the file. */
enum csl_code csl_heads_open(struct csl_heads **out, const char *state_dir,
                             const char (*sites)[CSL_ID_MAX], uint32_t count,
                             struct csl_err *err) CSL_MUST_CHECK;
void csl_heads_close(struct csl_heads *h); /* accepts NULL */

/* What a site announces. The texts and hashes are the site's and are not trusted. */
struct csl_heads_claim {
    const char *text;                         /* its newest head */
    const uint8_t *key;                       /* [CSL_SIGN_PUBLIC_BYTES] */
    const uint8_t (*proof)[CSL_SHA256_BYTES]; /* [proof_count], from the remembered head */
    size_t proof_count;
};
/* A head that site number `site` announced; remembered durably, then countersigned. The head that
 * is remembered already is countersigned again. CSL_E_CRYPTO: not signed by `key`, another key than
 * before, or the origin of another site; CSL_E_STATE: behind the head that is remembered, or not
 * proven to continue it (RFC 6962 section 2.1.2). Both leave what is remembered alone. CSL_E_IO. */
enum csl_code csl_heads_offer(struct csl_heads *h, uint32_t site,
                              const struct csl_heads_claim *claim,
                              uint8_t countersignature[CSL_SIGN_SIGNATURE_BYTES],
                              struct csl_err *err) CSL_MUST_CHECK;
const char *csl_heads_last(const struct csl_heads *h, uint32_t site); /* checkpoint text; "" */
const uint8_t *csl_heads_public_key(const struct csl_heads *h);

#endif
