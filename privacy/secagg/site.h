/* privacy/secagg/site.h - a hospital's side of the protocol FSA-1 as a pure state machine.
 *
 *   IDLE --config--> ADVERTISED --M2--> KEYED --M4--> DEALT --M6 sent--> READY --M7--> MASKING
 *     graph 1: READY --M7--> SEEDING --all r of U2--> MASKING
 *   MASKING --masked--> UPLOADED --M9, floors hold--> VOTED --M11--> REVEALED
 *     from KEYED on, while no vote was cast: --give up--> ABANDONING (the one vote is for ABANDON)
 *     any --config of a later attempt or round, when the fate of the update allows--> ADVERTISED
 *
 * No socket, file, thread, clock or random source is reachable from here. Events come in, actions
 * go out in order. A JOURNAL action is durable before the next action is carried out; when it
 * cannot be made so, the process ends and starts again from the journal. After a restart the
 * records are handed to csl_secagg_site_restore in order, then csl_secagg_site_resume repeats what
 * was said last: the same bytes, since everything derives from the journal.
 *
 * A refused event changes nothing and emits nothing but ALARM. A repeated message is answered by
 * the same bytes again. After CSL_E_NOMEM the machine may be half way: it is freed, and restored
 * from its journal.
 *
 * The update: once a manifest was signed it is PENDING, and it may be sent again, or its model and
 * plan trained again, only when a quorum showed that it is in no sum (csl_secagg_update). With
 * repeats_models (below) that holds of model, plan and round.
 *
 * Invariants (csl_secagg_site_check; across restarts by the journal's order):
 *   (I1) at most one manifest per session id, and one M1 and one M2 per ctx
 *   (I2) at most one vote per session id
 *   (I3) per session id and dealer at most one kind of share is revealed, and the kind follows from
 *        the transcript that this site signed
 *   (I4) nothing is revealed without t_g distinct signatures of U3 on exactly that transcript
 *   (I5) an update that may be in a sum is in no other
 * One thread. */
#ifndef CSL_SECAGG_SITE_H
#define CSL_SECAGG_SITE_H
#include "privacy/secagg/mask.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/policy.h"
#include "privacy/secagg/roster.h"

enum csl_secagg_phase {
    CSL_SECAGG_IDLE,
    CSL_SECAGG_ADVERTISED,
    CSL_SECAGG_KEYED,
    CSL_SECAGG_DEALT,
    CSL_SECAGG_WAITING, /* M6 was sent */
    CSL_SECAGG_SEEDING, /* graph 1: M7r was sent, the others' are awaited */
    CSL_SECAGG_MASKING,
    CSL_SECAGG_UPLOADED,
    CSL_SECAGG_VOTED,
    CSL_SECAGG_ABANDONING,
    CSL_SECAGG_REVEALED,
    CSL_SECAGG_CLOSED /* a quorum decided without this site's vote for T: nothing is left to say */
};
enum csl_secagg_update {
    CSL_SECAGG_UPDATE_FREE,     /* not sent in this attempt */
    CSL_SECAGG_UPDATE_PENDING,  /* sent; its fate is not known here */
    CSL_SECAGG_UPDATE_INCLUDED, /* in the sum that a quorum signed: spent */
    CSL_SECAGG_UPDATE_EXCLUDED, /* a quorum signed a sum without it: may be used again */
    CSL_SECAGG_UPDATE_ABANDONED /* certified: may be used again in a later attempt */
};

struct csl_secagg_site_setup {
    uint32_t site;
    const struct csl_sign_key *key;         /* borrowed: the site's identity */
    const struct csl_secagg_roster *roster; /* borrowed: decoded, so signed by the root */
    struct csl_secagg_policy policy;
    enum csl_secret_policy memory;
    const uint8_t *epoch_seed; /* [32], borrowed: of the roster (epoch.h); NULL: graph 0 only */
    uint8_t head[32]; /* of the ledger when the site was enrolled; zero: from its beginning */
    /* Another round may be on a model that this site contributed to. Only where every round's
     * update is made anew with noise of its own, and the site's privacy ledger is charged for each:
     * two sums are then two releases, whoever is in them. Without it the same update comes twice,
     * and sums over different sites differ by those of one. */
    bool repeats_models;
};

enum csl_secagg_site_event_kind {
    CSL_SECAGG_SE_CONFIG,  /* bytes (M0), weights, model_hash, plan_hash, factors, secret */
    CSL_SECAGG_SE_MESSAGE, /* bytes, from the coordinator */
    CSL_SECAGG_SE_TRAINED, /* blocks: those of the table that this site sends */
    CSL_SECAGG_SE_MASKED,  /* masked: the masked file and its roots are durable */
    CSL_SECAGG_SE_GIVE_UP, /* this site waits no longer */
    /* An operator looked at the alarm. How many rounds were lost cannot be told, and in each of
     * them an update of this site may have been summed: it takes no part in any round of this
     * journal, so of this study, any more. */
    CSL_SECAGG_SE_CONFIRMED,
    CSL_SECAGG_SE_FORGET /* the attempt is over here: its secrets go, and an update that was
                            sent and not settled is burned. What was signed stays known */
};
struct csl_secagg_masked {
    uint8_t plain[32]; /* commitment to the encoded plaintext, or zero */
    uint32_t block_count;
    struct csl_secagg_manifest_block blocks[CSL_SECAGG_MANIFEST_BLOCKS_MAX];
};
struct csl_secagg_site_event { /* all pointers are borrowed for the call */
    enum csl_secagg_site_event_kind kind;
    struct csl_span bytes;
    const uint32_t *weights;      /* [roster_count][block_count]; NULL when there are no blocks */
    const uint8_t *model_hash;    /* of the model that this site received */
    const uint8_t *plan_hash;     /* of the plan that was approved here */
    const uint8_t *factors;       /* digest of what else this site multiplies by; NULL: nothing */
    const uint8_t *secret;        /* 32 bytes from csl_rng_init_os, used for this attempt only */
    struct csl_secagg_set blocks; /* by place in the table */
    const struct csl_secagg_masked *masked;
};

enum csl_secagg_site_record {
    CSL_SECAGG_SJ_SNAPSHOT = 1, /* replaces all records before it */
    CSL_SECAGG_SJ_CONFIG,       /* holds z: to be sealed under a key of the attempt */
    CSL_SECAGG_SJ_MESSAGE,
    CSL_SECAGG_SJ_TRAINED,
    CSL_SECAGG_SJ_MASKED,
    CSL_SECAGG_SJ_VOTE,
    CSL_SECAGG_SJ_ALARM, /* digest of a vote of its own that was unknown, or nothing */
    CSL_SECAGG_SJ_CONFIRMED
};
enum csl_secagg_site_action_kind {
    CSL_SECAGG_SA_JOURNAL, /* record, bytes: durable before the next action */
    CSL_SECAGG_SA_SEND,    /* bytes, to the coordinator */
    CSL_SECAGG_SA_MASK,    /* encode once, csl_secagg_site_masks, write the file; answer MASKED */
    CSL_SECAGG_SA_UPLOAD,  /* that file may leave; never another one for this session */
    CSL_SECAGG_SA_SETTLED, /* csl_secagg_site_update has changed */
    CSL_SECAGG_SA_ALARM    /* text: for an operator */
};
struct csl_secagg_site_action {
    enum csl_secagg_site_action_kind kind;
    enum csl_secagg_site_record record;
    struct csl_span bytes; /* borrowed until emit returns */
    const char *text;
};
struct csl_secagg_site_out { /* emit must not call back in */
    void *ctx;
    void (*emit)(void *ctx, const struct csl_secagg_site_action *a);
};

struct csl_secagg_site;
/* CSL_E_INVAL: the policy; CSL_E_DENIED: not an active site of the roster under this key. */
enum csl_code csl_secagg_site_new(struct csl_secagg_site **out,
                                  const struct csl_secagg_site_setup *setup,
                                  struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_site_free(struct csl_secagg_site *s); /* secrets are wiped */
/* CSL_E_CORRUPT: not a journal of this site. Policy is not asked again: what was decided stays. */
enum csl_code csl_secagg_site_restore(struct csl_secagg_site *s, enum csl_secagg_site_record record,
                                      struct csl_span bytes, struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_site_resume(struct csl_secagg_site *s, const struct csl_secagg_site_out *out);

/* CSL_E_PROTO: malformed; CSL_E_CRYPTO: a signature or a share; CSL_E_DENIED: policy or rule 1.8;
 * CSL_E_STATE: not now, or not what was accepted before; CSL_E_UNSUPPORTED; CSL_E_NOMEM. */
enum csl_code csl_secagg_site_step(struct csl_secagg_site *s,
                                   const struct csl_secagg_site_event *ev,
                                   const struct csl_secagg_site_out *out,
                                   struct csl_err *err) CSL_MUST_CHECK;

enum csl_secagg_phase csl_secagg_site_phase(const struct csl_secagg_site *s);
enum csl_secagg_update csl_secagg_site_update(const struct csl_secagg_site *s);
bool csl_secagg_site_is_suspended(const struct csl_secagg_site *s);
bool csl_secagg_site_is_out(const struct csl_secagg_site *s); /* confirmed: for good */
/* Of the current attempt; NULL before the first. */
const struct csl_secagg_config *csl_secagg_site_config(const struct csl_secagg_site *s);
const uint8_t *csl_secagg_site_sid(const struct csl_secagg_site *s); /* NULL: no M2 yet */
/* M0 of the current attempt binds what a site multiplies by: `factors` as in a CONFIG event. */
bool csl_secagg_site_binds(const struct csl_secagg_site *s, const uint8_t *factors);
/* M0, M2, M7 and M9 of the current attempt, as they were accepted: borrowed until the next event.
 * false: not all of them came. */
struct csl_secagg_site_received {
    struct csl_span config, keys, senders, survivors;
};
bool csl_secagg_site_received(const struct csl_secagg_site *s,
                              struct csl_secagg_site_received *out);
/* The streams to apply to the encoded words, in MASKING only (CSL_E_STATE elsewhere: with the masks
 * of a file that exists, other data would be laid bare). */
enum csl_code csl_secagg_site_masks(const struct csl_secagg_site *s, struct csl_secagg_masks **out,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_site_check(const struct csl_secagg_site *s); /* asserts the invariants */

#endif
