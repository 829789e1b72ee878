/* privacy/secagg/party.h - what a coordinator or a site keeps on disk for the protocol: its signing
 * key, the signed roster, the public key of the federation's root, and the newest epoch of a roster
 * that it ever used. One thread; needs csl_crypto_init. */
#ifndef CSL_SECAGG_PARTY_H
#define CSL_SECAGG_PARTY_H
#include "privacy/crypto/secret.h"
#include "privacy/secagg/epoch.h"
#include "privacy/secagg/roster.h"

struct csl_secagg_party {
    struct csl_secret *memory; /* what key points into */
    const struct csl_sign_key *key;
    struct csl_secagg_roster roster;
    bool has_epoch;
    uint8_t epoch_seed[32]; /* of the roster's share graph, where there is one */
};
struct csl_secagg_party_files {
    const char *key;       /* csl_sign_store */
    const char *roster;    /* csl_secagg_roster_encode */
    const char *root;      /* csl_sign_store_public, role "federation" */
    const char *epoch;     /* what all sites said in the ceremony for this roster (epoch.h): first
                              every commitment, then every r. NULL or "": none */
    const char *state_dir; /* roster.epoch is kept in it; made when it is not there */
    const char *site;      /* the site's name; NULL: the coordinator */
};

/* Reads and checks all of it; the epoch of the roster is remembered durably before this returns.
 * CSL_E_DENIED: the roster names another key for this party, lacks it or revokes it, or is older
 * than one that was used before, or others may read the key; CSL_E_CRYPTO: not signed by that root;
 * CSL_E_CORRUPT, CSL_E_PROTO, CSL_E_NOTFOUND, CSL_E_LIMIT, CSL_E_IO name the file. Memory for the
 * key may be swapped where it cannot be locked; csl_secagg_party_is_locked tells. */
enum csl_code csl_secagg_party_open(struct csl_secagg_party **out,
                                    const struct csl_secagg_party_files *files,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_party_close(struct csl_secagg_party *p); /* wiped; NULL allowed */
/* Whether as much memory as the largest round's secrets take could be locked. */
bool csl_secagg_party_is_locked(const struct csl_secagg_party *p);

/* What the sites said in the ceremony, out of a file, into *e, which was initialised. Errors name
 * the file. */
enum csl_code csl_secagg_epoch_load(struct csl_secagg_epoch *e, const char *path,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* A signed roster out of its file, checked against the root's public key. Errors as above. */
enum csl_code csl_secagg_roster_load(struct csl_secagg_roster *out, const char *path,
                                     const uint8_t root_key[CSL_SIGN_PUBLIC_BYTES],
                                     uint64_t epoch_min, struct csl_err *err) CSL_MUST_CHECK;

#endif
