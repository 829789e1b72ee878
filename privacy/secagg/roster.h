/* privacy/secagg/roster.h - who takes part, under which number and key: the federation root's word,
 * never the coordinator's. A site's name is its id in the identities of the transport
 * (protocol/identity/roster.h), so that the root, and nobody else, says whose name, number and key
 * belong together. Canonical bytes: {"FSA1 roster"[11], version u8, federation id[16], epoch u64,
 * coordinator's key[32], count u32, {site u32, length u8, name[length], key[32], is_active u8}
 * ascending by site}, signature[64] by the root over "FSA1 sig" || 255 || SHA-256(the bytes before
 * it). The federation id is the first 16 bytes of SHA-256("FSA1 federation" || root's public key):
 * one root, one federation, whatever the study. Any thread. */
#ifndef CSL_SECAGG_ROSTER_H
#define CSL_SECAGG_ROSTER_H
#include "base/buf.h"
#include "base/limits.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/secagg/set.h"

struct csl_secagg_roster_site {
    uint32_t id;           /* its number, from 1; stays with the name for ever */
    char name[CSL_ID_MAX]; /* csl_id_valid */
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

enum { CSL_SECAGG_ROSTER_BYTES_MAX = 72 + CSL_SECAGG_SITES_MAX * (38 + CSL_ID_MAX) + 64 };

void csl_secagg_federation_id(const uint8_t root_key[CSL_SIGN_PUBLIC_BYTES], uint8_t out[16]);

/* The federation id is that of the root, whatever *r says. CSL_E_NOMEM. Ids that do not ascend, a
 * name that is not valid or a name or key that comes twice are a mistake of the caller. */
enum csl_code csl_secagg_roster_encode(const struct csl_secagg_roster *r,
                                       const struct csl_sign_key *root, struct csl_buf *out,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_PROTO: not canonical, ids that do not ascend, a name that is not valid, a name or key that
 * comes twice (the coordinator's among them: who aggregates must not take part); CSL_E_CRYPTO: not
 * signed by this root; CSL_E_DENIED: of an epoch before epoch_min. */
enum csl_code csl_secagg_roster_decode(struct csl_secagg_roster *out, struct csl_span bytes,
                                       const uint8_t root_key[CSL_SIGN_PUBLIC_BYTES],
                                       uint64_t epoch_min, struct csl_err *err) CSL_MUST_CHECK;
/* Place of a site, revoked ones too; UINT32_MAX: not in it. */
uint32_t csl_secagg_roster_find(const struct csl_secagg_roster *r, uint32_t site);
uint32_t csl_secagg_roster_find_name(const struct csl_secagg_roster *r, const char *name);
/* The place of a site that may take part. CSL_E_DENIED names it: not in the roster, or revoked. */
enum csl_code csl_secagg_roster_member(const struct csl_secagg_roster *r, const char *name,
                                       uint32_t *place, struct csl_err *err) CSL_MUST_CHECK;
uint32_t csl_secagg_roster_active(const struct csl_secagg_roster *r); /* how many may take part */

#endif
