/* privacy/secagg/coordinator.h - the coordinator's side of one attempt of the protocol FSA-1 as a
 * pure state machine: it collects, closes, and learns the sum over U3 and nothing else.
 *
 *   OPEN --close--> SHARING --close--> PREPARING --close--> UPLOADING --close--> VOTING
 *   VOTING --t_g votes for T--> UNMASKING --t_s good answers--> RELEASED --result--> DONE
 *     from SHARING to VOTING --t_g votes to abandon--> ABANDONED
 *
 *   OPEN        M0 is out, M1s come in                   closing fixes U1 (M2)
 *   SHARING     M3s come in                              closing delivers them (M4)
 *   PREPARING   M5, disputes, M6 come in                 closing fixes U2 (M7)
 *   SEEDING     graph 1, between these two: M7r come in  closing tells every r of U2; those that
 *               did not come are put together from the shares of others
 *   UPLOADING   manifests and masked vectors come in     closing fixes U3 (M9)
 *   VOTING      one vote per site comes in
 *   UNMASKING   shares come in (M12), are checked against the commitments, and senders of wrong
 *               ones are named
 *   RELEASED    every secret of the transcript is known: csl_secagg_coordinator_masks
 *
 * When to close is the caller's (deadlines, who is still missing); whether it may be is decided
 * here: CSL_E_DENIED below the quorum or the configuration's minimum, and then more sites must
 * come or the attempt be given up. What was decided is decided: it is in the journal before anyone
 * hears of it, and after a restart (csl_secagg_coordinator_restore in order, then _resume) the
 * same bytes go out again. A refused event changes nothing and emits nothing but ALARM and NAME;
 * after CSL_E_NOMEM the machine is freed and restored from its journal.
 *
 * No socket, file, thread, clock or random source is reachable from here. One object per attempt,
 * one thread. Invariants: csl_secagg_coordinator_check. */
#ifndef CSL_SECAGG_COORDINATOR_H
#define CSL_SECAGG_COORDINATOR_H
#include "privacy/secagg/config.h"
#include "privacy/secagg/mask.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/roster.h"

enum csl_secagg_stage {
    CSL_SECAGG_STAGE_NEW,
    CSL_SECAGG_STAGE_OPEN,
    CSL_SECAGG_STAGE_SHARING,
    CSL_SECAGG_STAGE_PREPARING,
    CSL_SECAGG_STAGE_SEEDING, /* graph 1 only */
    CSL_SECAGG_STAGE_UPLOADING,
    CSL_SECAGG_STAGE_VOTING,
    CSL_SECAGG_STAGE_UNMASKING,
    CSL_SECAGG_STAGE_RELEASED,
    CSL_SECAGG_STAGE_DONE,
    CSL_SECAGG_STAGE_ABANDONED
};

struct csl_secagg_coordinator_setup {
    const struct csl_sign_key *key;         /* borrowed; the one of the roster */
    const struct csl_secagg_roster *roster; /* borrowed */
    const uint8_t *epoch_seed; /* [32], borrowed: of the roster (epoch.h); NULL: graph 0 only */
    enum csl_secret_policy memory;
};

enum csl_secagg_coordinator_event_kind {
    CSL_SECAGG_CE_OPEN,     /* config */
    CSL_SECAGG_CE_MESSAGE,  /* site: whose authenticated connection it came on; bytes */
    CSL_SECAGG_CE_CLOSE,    /* the stage that collects */
    CSL_SECAGG_CE_RECEIVED, /* site: all chunks of its manifest are here, durable, and verified */
    CSL_SECAGG_CE_GIVE_UP,  /* asks all sites to vote for abandoning */
    CSL_SECAGG_CE_RESULT    /* result_root, model_hash: the sum was unmasked and used */
};
struct csl_secagg_coordinator_event { /* pointers are borrowed for the call */
    enum csl_secagg_coordinator_event_kind kind;
    const struct csl_secagg_config *config;
    uint32_t site;
    struct csl_span bytes;
    const uint8_t *result_root, *model_hash;
};

enum csl_secagg_coordinator_record {
    CSL_SECAGG_CJ_OPEN = 1, /* M0 */
    CSL_SECAGG_CJ_INPUT,    /* a message that was accepted */
    CSL_SECAGG_CJ_DECISION, /* M2, M7, M9 */
    CSL_SECAGG_CJ_DELIVER,  /* the M3s are closed */
    CSL_SECAGG_CJ_RECEIVED, /* le32 site */
    CSL_SECAGG_CJ_RESULT    /* result root, model hash */
};
enum csl_secagg_coordinator_action_kind {
    CSL_SECAGG_CA_JOURNAL,     /* record, bytes: durable before the next action */
    CSL_SECAGG_CA_SEND,        /* bytes, to `site`; with M0 goes the table of weights */
    CSL_SECAGG_CA_RECEIVE,     /* site: its manifest was accepted; answer RECEIVED */
    CSL_SECAGG_CA_RELEASE,     /* sum the vectors of U3, take off the masks; answer RESULT */
    CSL_SECAGG_CA_CERTIFICATE, /* bytes: to be shown with M0 of the next attempt */
    CSL_SECAGG_CA_NAME,        /* site, text: it signed something wrong */
    CSL_SECAGG_CA_ALARM        /* site, text: somebody else spoke in its name */
};
struct csl_secagg_coordinator_action {
    enum csl_secagg_coordinator_action_kind kind;
    enum csl_secagg_coordinator_record record;
    uint32_t site;
    struct csl_span bytes; /* borrowed until emit returns */
    const char *text;
};
struct csl_secagg_coordinator_out { /* emit must not call back in */
    void *ctx;
    void (*emit)(void *ctx, const struct csl_secagg_coordinator_action *a);
};

struct csl_secagg_coordinator;
/* CSL_E_DENIED: the roster names another key. */
enum csl_code csl_secagg_coordinator_new(struct csl_secagg_coordinator **out,
                                         const struct csl_secagg_coordinator_setup *setup,
                                         struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_coordinator_free(struct csl_secagg_coordinator *c); /* secrets are wiped */
enum csl_code csl_secagg_coordinator_restore(struct csl_secagg_coordinator *c,
                                             enum csl_secagg_coordinator_record record,
                                             struct csl_span bytes,
                                             struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_coordinator_resume(struct csl_secagg_coordinator *c,
                                   const struct csl_secagg_coordinator_out *out);

/* CSL_E_PROTO, CSL_E_CRYPTO, CSL_E_DENIED, CSL_E_STATE, CSL_E_INVAL, CSL_E_NOMEM; CSL_E_UNAUTH: a
 * message of another site than the connection's. */
enum csl_code csl_secagg_coordinator_step(struct csl_secagg_coordinator *c,
                                          const struct csl_secagg_coordinator_event *ev,
                                          const struct csl_secagg_coordinator_out *out,
                                          struct csl_err *err) CSL_MUST_CHECK;

enum csl_secagg_stage csl_secagg_coordinator_stage(const struct csl_secagg_coordinator *c);
const struct csl_secagg_config *
csl_secagg_coordinator_config(const struct csl_secagg_coordinator *c);
const uint8_t *csl_secagg_coordinator_sid(const struct csl_secagg_coordinator *c); /* NULL: no M2 */
/* Sites whose message of the stage that collects has come (M1, M3, M5 and M6, vector, vote, M12).
 */
uint32_t csl_secagg_coordinator_ready_count(const struct csl_secagg_coordinator *c);
bool csl_secagg_coordinator_is_ready(const struct csl_secagg_coordinator *c, uint32_t site);
/* Whether the site's message of the stage that collects can still come: everybody's M1, of U1 its
 * M3, of the dealers M6, of U2 the vector, of U3 the vote and M12. */
bool csl_secagg_coordinator_takes_part(const struct csl_secagg_coordinator *c, uint32_t site);
/* From SHARING on: whether the site is in U1. */
bool csl_secagg_coordinator_is_member(const struct csl_secagg_coordinator *c, uint32_t site);
/* From VOTING on: whether the site is in U3, and in U3 of a block (by place in the list). */
bool csl_secagg_coordinator_is_survivor(const struct csl_secagg_coordinator *c, uint32_t site);
bool csl_secagg_coordinator_is_in_block(const struct csl_secagg_coordinator *c, uint32_t site,
                                        uint32_t block);
/* What to apply to the sum of the vectors of U3: minus the self masks of U3, minus what the
 * survivors share with the lost. CSL_E_STATE before RELEASED. */
enum csl_code csl_secagg_coordinator_masks(const struct csl_secagg_coordinator *c,
                                           struct csl_secagg_masks **out,
                                           struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_coordinator_check(const struct csl_secagg_coordinator *c);

#endif
