/* protocol/identity/roster.h - which sites take part, and by which key each is known. The file is
 * YAML, kept by the coordinator's operator:
 *
 *     sites:
 *       - id: cleveland
 *         pin: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *         active: true
 *         number: 1
 *         signing_key: 83fc5f34b112af70b1387036f3659145d8cdd7afcc2ccae3a266bb63a3dff64e
 *
 * pin is the SHA-256 of the public key (csl_pki_pin_read), so a renewed certificate with the same
 * key stays valid and a stolen authority cannot add a site. active: false refuses the site at its
 * next call. number and signing_key are there for secure aggregation only: what the federation is
 * asked to sign (privacy/secagg/roster.h); no decision here depends on them.
 *
 * A struct csl_roster belongs to one thread; swap whole rosters to reload under readers. */
#ifndef CSL_ROSTER_H
#define CSL_ROSTER_H
#include "base/limits.h"
#include "protocol/identity/pki.h"

#define CSL_ROSTER_SIGNING_BYTES 32 /* Ed25519 */

struct csl_roster_site {
    char id[CSL_ID_MAX];
    uint8_t pin[CSL_PIN_BYTES];
    bool is_active;
    uint32_t number; /* from 1, of this site for ever; 0: it has no signing key */
    uint8_t signing_key[CSL_ROSTER_SIGNING_BYTES];
};
struct csl_roster; /* at most CSL_SITES_MAX sites, ids and numbers unique */

enum csl_code csl_roster_new(struct csl_roster **out, struct csl_err *err) CSL_MUST_CHECK;
void csl_roster_free(struct csl_roster *r);
enum csl_code csl_roster_parse(struct csl_roster **out, const char *name, struct csl_span bytes,
                               struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_roster_load(struct csl_roster **out, const char *path,
                              struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_roster_write(const struct csl_roster *r, const char *path,
                               struct csl_err *err) CSL_MUST_CHECK; /* atomic, 0600 */

/* Adds the site or replaces the one with its id. */
enum csl_code csl_roster_put(struct csl_roster *r, const struct csl_roster_site *site,
                             struct csl_err *err) CSL_MUST_CHECK;
size_t csl_roster_count(const struct csl_roster *r);
const struct csl_roster_site *csl_roster_at(const struct csl_roster *r,
                                            size_t i); /* ascending by id */
const struct csl_roster_site *csl_roster_find(const struct csl_roster *r,
                                              const char *id); /* NULL */
uint32_t csl_roster_next_number(const struct csl_roster *r);   /* above all that were given */
/* The site is listed, active, and this is its key. */
bool csl_roster_admits(const struct csl_roster *r, const char *id,
                       const uint8_t pin[CSL_PIN_BYTES]);

#endif
