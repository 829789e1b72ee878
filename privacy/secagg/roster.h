/* privacy/secagg/roster.h - who takes part and under which key: the federation root's word, never
 * the coordinator's. Canonical bytes: {"FSA1 roster"[11], version u8, federation id[16], epoch u64,
 * coordinator's key[32], count u32, {site u32, key[32], is_active u8} ascending by site},
 * signature[64] by the root over "FSA1 sig" || 255 || SHA-256(the bytes before it). Any thread. */
#ifndef CSL_SECAGG_ROSTER_H
#define CSL_SECAGG_ROSTER_H
#include "base/buf.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/secagg/set.h"

struct csl_secagg_roster_site {
    uint32_t id; /* from 1 */
    uint8_t key[CSL_SIGN_PUBLIC_BYTES];
    bool is_active; /* false: revoked */
};
struct csl_secagg_roster {
    uint8_t federation_id[16];
    uint64_t epoch;
    uint8_t coordinator_key[CSL_SIGN_PUBLIC_BYTES];
    uint32_t count;
    struct csl_secagg_roster_site sites[CSL_SECAGG_SITES_MAX];
    uint8_t hash[CSL_SHA256_BYTES]; /* of the bytes before the signature; set by decode */
};

/* CSL_E_NOMEM. Ids that do not ascend or a key that comes twice are a mistake of the caller. */
enum csl_code csl_secagg_roster_encode(const struct csl_secagg_roster *r,
                                       const struct csl_sign_key *root, struct csl_buf *out,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_PROTO: not canonical, ids that do not ascend, a key that comes twice (the coordinator's
 * among them: who aggregates must not take part); CSL_E_CRYPTO: not signed by this root;
 * CSL_E_DENIED: of another federation, or of an epoch before epoch_min. */
enum csl_code csl_secagg_roster_decode(struct csl_secagg_roster *out, struct csl_span bytes,
                                       const uint8_t root_key[CSL_SIGN_PUBLIC_BYTES],
                                       const uint8_t federation_id[16], uint64_t epoch_min,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* Place of a site, revoked ones too; UINT32_MAX: not in it. */
uint32_t csl_secagg_roster_find(const struct csl_secagg_roster *r, uint32_t site);

#endif
