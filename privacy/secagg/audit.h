/* privacy/secagg/audit.h - M14 of the protocol FSA-1: whether a chunk of the published sum is the
 * sum of that chunk of the uploads. After M13 a site asks for chunks (CSL_SECAGG_AUDIT); for each
 * the coordinator answers with one CSL_SECAGG_AUDITED and one CSL_SECAGG_AUDIT_UPLOAD of every site
 * of U3 that sent the block. Nothing in an answer is taken on trust: uploads fit the manifests and
 * secrets the commitments that T binds, and T has a quorum. A coordinator that altered the share f
 * of all chunks is caught by a audited ones with probability at least 1 - (1 - f)^a, when it could
 * not know which: the auditor draws them at random, after M13. No answer proves nothing, and is an
 * answer too.
 *
 * An answer shows what the coordinator saw: y of U3, b of U3, s of the lost; masks between honest
 * survivors are in none. Beside its own keys an auditor then has the view of a coordinator with one
 * colluding site: so a round that assumes none (c = 0) has no audit. What is audited is the sum,
 * not the model that was made of it. Source: design of FSA-1, section 4.5.5.
 *
 * Verifier: pure, one object per chunk, one thread. */
#ifndef CSL_SECAGG_AUDIT_H
#define CSL_SECAGG_AUDIT_H
#include "privacy/secagg/coordinator.h"

/* ---- the coordinator's side ---- */

/* An M14 that came on the connection of `from`; `out` borrows `bytes`. CSL_E_STATE: before M13, or
 * of another session; CSL_E_UNAUTH: of another site than the connection's; CSL_E_DENIED: no active
 * site of the roster, or c = 0; CSL_E_CRYPTO: not signed by it; CSL_E_PROTO: not an M14;
 * CSL_E_INVAL: a block or chunk that is not there, or a block nobody of U3 sent. */
enum csl_code csl_secagg_coordinator_audit_check(const struct csl_secagg_coordinator *c,
                                                 uint32_t from, struct csl_span bytes,
                                                 struct csl_secagg_message *out,
                                                 struct csl_err *err) CSL_MUST_CHECK;
/* Appends the CSL_SECAGG_AUDITED of one chunk. roots: [blocks][32] of the sum, as
 * csl_secagg_result_root has them; hashes: [chunks of the block][32] SHA-256 of the chunks of the
 * sum. CSL_E_STATE before M13; CSL_E_INVAL: no such chunk, or not the roots and hashes of the
 * result; CSL_E_NOMEM, CSL_E_LIMIT.
 */
enum csl_code csl_secagg_coordinator_audit_answer(const struct csl_secagg_coordinator *c,
                                                  uint32_t block, uint32_t chunk,
                                                  const uint8_t *roots, const uint8_t *hashes,
                                                  struct csl_buf *out,
                                                  struct csl_err *err) CSL_MUST_CHECK;
/* Appends the CSL_SECAGG_AUDIT_UPLOAD of one site. hashes: of the chunks of its block; words: the
 * chunk, as uploaded. CSL_E_STATE before M13; CSL_E_DENIED: c = 0, or the site is not in the sum of
 * that block; CSL_E_INVAL: no such chunk, or not the upload of the manifest; CSL_E_NOMEM. */
enum csl_code csl_secagg_coordinator_audit_upload(const struct csl_secagg_coordinator *c,
                                                  uint32_t site, uint32_t block, uint32_t chunk,
                                                  const uint8_t *hashes, const uint64_t *words,
                                                  struct csl_buf *out,
                                                  struct csl_err *err) CSL_MUST_CHECK;

/* ---- the auditor's side ---- */

struct csl_secagg_audit_session { /* borrowed for the call; bytes as they were received */
    const struct csl_secagg_roster *roster;
    struct csl_span config, keys, senders, survivors, result; /* M0, M2, M7, M9, M13 */
    enum csl_secret_policy memory;
};
struct csl_secagg_audit;
/* An audit of one chunk. CSL_E_PROTO: malformed, or not of one session; CSL_E_CRYPTO: M0 or M13 not
 * signed by the coordinator, or M13 without a quorum of U3 for the T of these messages;
 * CSL_E_INVAL: a block or chunk that is not there, or a block nobody of U3 sent; CSL_E_NOMEM,
 * CSL_E_LIMIT. */
enum csl_code csl_secagg_audit_new(struct csl_secagg_audit **out,
                                   const struct csl_secagg_audit_session *session, uint32_t block,
                                   uint32_t chunk, struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_audit_free(struct csl_secagg_audit *a);
/* CSL_SECAGG_AUDITED first, then the uploads in any order. Refused, and nothing is changed:
 * CSL_E_PROTO: malformed, or about something else than was asked; CSL_E_STATE: out of turn, or an
 * upload that came before; CSL_E_CRYPTO: false: a secret or commitment that is not of T, an upload
 * that is not of its manifest, roots or hashes that are not of the result; CSL_E_NOMEM. */
enum csl_code csl_secagg_audit_take(struct csl_secagg_audit *a, struct csl_span bytes,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* The answer and every upload came. */
bool csl_secagg_audit_is_complete(const struct csl_secagg_audit *a);
/* CSL_OK: the chunk of the published sum is the sum of the uploads without their masks.
 * CSL_E_STATE: an answer is missing. CSL_E_CORRUPT: it is not; with M13 the messages taken prove it
 * to anybody. CSL_E_NOMEM. To be called once. */
enum csl_code csl_secagg_audit_finish(struct csl_secagg_audit *a,
                                      struct csl_err *err) CSL_MUST_CHECK;

#endif
