/* privacy/secagg/epoch.h - the ceremony that draws the seed of the share graph (graph.h), once per
 * epoch of the roster, so that no coordinator and no c sites choose who holds whose shares:
 *
 *   1. every active site draws r_i and signs SHA-256("FSA1 epoch" || roster hash || le32 i || r_i)
 *   2. who has the commitments of all, and only then, signs its own r_i
 *   3. epoch_seed = SHA-256("FSA1 seed" || roster hash || le32 i || r_i of all, ascending)
 *
 * A missing reveal stops it: the operator takes that site off the roster, which is another roster,
 * and all begin anew with fresh r. Each removal is one more draw that a site saw before it chose to
 * be silent; the bounds of graph_bound.h leave room for 2^16. A site that commits twice is refused:
 * whichever of the two was taken first stays. An honest site's r is unknown until it holds all
 * commitments, so its seed is random whatever the others were shown; sites that were shown
 * different commitments get different seeds, and M2 carries only one.
 *
 * Every party takes the same messages, in any order within a step, and keeps them; r_i comes from
 * csl_rng_init_os and is wiped by its owner when it was revealed. Caller-owned, 70 KB; one thread.
 * Source: design of FSA-1, section 1.7. */
#ifndef CSL_SECAGG_EPOCH_H
#define CSL_SECAGG_EPOCH_H
#include "privacy/secagg/messages.h"
#include "privacy/secagg/roster.h"

enum {
    CSL_SECAGG_EPOCH_MESSAGE_BYTES = CSL_SECAGG_HEADER_BYTES + 32 + CSL_SIGN_SIGNATURE_BYTES,
    CSL_SECAGG_EPOCH_BYTES_MAX = 2 * CSL_SECAGG_SITES_MAX * CSL_SECAGG_EPOCH_MESSAGE_BYTES
};
struct csl_secagg_epoch {
    const struct csl_secagg_roster *roster;            /* borrowed */
    struct csl_secagg_set active, committed, revealed; /* places in the roster */
    uint8_t commitments[CSL_SECAGG_SITES_MAX][32], reveals[CSL_SECAGG_SITES_MAX][32];
};

void csl_secagg_epoch_init(struct csl_secagg_epoch *e, const struct csl_secagg_roster *roster);
/* One message of either step. CSL_E_PROTO: none of these; CSL_E_DENIED: not an active site of this
 * roster, or another value than it signed before; CSL_E_CRYPTO: not signed by it, or an r that is
 * not the one committed to; CSL_E_STATE: an r before all committed. */
enum csl_code csl_secagg_epoch_take(struct csl_secagg_epoch *e, struct csl_span bytes,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Any number of them, one after the other, as they lie in a file: they are all of one length.
 * Stops at the first error. */
enum csl_code csl_secagg_epoch_take_all(struct csl_secagg_epoch *e, struct csl_span bytes,
                                        struct csl_err *err) CSL_MUST_CHECK;
/* Appends this site's message of step 1, of step 2. Step 2: CSL_E_STATE before all committed;
 * CSL_E_CRYPTO: not the r that the others hold a commitment to. CSL_E_NOMEM. */
enum csl_code csl_secagg_epoch_commit(const struct csl_secagg_epoch *e, uint32_t site,
                                      const uint8_t r[32], const struct csl_sign_key *key,
                                      struct csl_buf *out, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_secagg_epoch_reveal(const struct csl_secagg_epoch *e, uint32_t site,
                                      const uint8_t r[32], const struct csl_sign_key *key,
                                      struct csl_buf *out, struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_STATE names the first site that is missing: there is no seed without it. */
enum csl_code csl_secagg_epoch_seed(const struct csl_secagg_epoch *e, uint8_t seed[32],
                                    struct csl_err *err) CSL_MUST_CHECK;

#endif
