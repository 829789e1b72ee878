/* privacy/secagg/site_internal.h - shared by the files of the site's machine only. */
#ifndef CSL_SECAGG_SITE_INTERNAL_H
#define CSL_SECAGG_SITE_INTERNAL_H
#include "privacy/secagg/derive.h"
#include "privacy/secagg/graph.h"
#include "privacy/secagg/site.h"

enum { CSL_SECAGG__SUSPENDED = 1, CSL_SECAGG__OUT = 2 }; /* bits of a snapshot's state */

/* Digests that are never forgotten: votes cast, and (model, plan) pairs contributed to. */
struct csl_secagg_digests {
    uint8_t (*items)[32];
    uint32_t count, capacity;
};
/* A message that was accepted: its bytes, and the view of them. */
struct csl_secagg_kept {
    struct csl_msg bytes; /* empty: none */
    struct csl_secagg_message view;
};

/* Of one attempt; all of it goes with the next. */
struct csl_secagg_attempt {
    bool exists;
    struct csl_secagg_config config;
    struct csl_msg config_bytes;
    uint32_t *weights;
    uint8_t ctx[32];
    struct csl_secret *memory;
    uint8_t *z, *e;                   /* in `memory`, like the next three; e: share channel */
    struct csl_scalar *b, *s, *r;     /* [threshold] coefficients; r: graph 1, else NULL */
    struct csl_seal_shares *received; /* [n1] by place: shares that the dealers gave to this site */
    struct csl_scalar *received_r;    /* [n1] graph 1; zero: none */
    struct csl_secagg_advertise own;

    struct csl_secagg_kept keys, delivery, senders, survivors, quorum; /* M2, M4, M7, M9, M11 */
    struct csl_secagg_kept seeds;                                      /* M7r, graph 1 */
    uint8_t mask_seed[32];
    uint8_t sid[32];
    uint32_t n1, place;                /* place of this site in U1 */
    uint32_t votes_min, threshold;     /* t_g; t_s, the same on the complete graph */
    struct csl_secagg_set peers;       /* who holds shares of this site, and it theirs */
    uint32_t *ids, *rows;              /* [n1]: site ids, places in the roster */
    uint8_t (*dealings)[32];           /* [n1] dealing hashes; of `dealers` */
    struct csl_point *own_commitments; /* [3 threshold]: Cb, Cs, and Cr in graph 1 */
    struct csl_secagg_set dealers;     /* with a valid M3: the delivery's, and this site */
    struct csl_secagg_set accepted;    /* of these, whose shares this site holds */
    struct csl_secagg_set complaints;
    struct csl_secagg_set opened; /* receivers whose shares of this dealer became public */

    bool is_trained, is_masked, is_certified; /* certified: ABANDON has a quorum */
    struct csl_secagg_set blocks;             /* sent by this site, with the scalars */
    uint8_t transcript[32];                   /* of `survivors` */
    struct csl_secagg_masked masked;
    uint8_t root[32]; /* of the manifest */
    uint8_t vote;     /* 0: none */
    uint8_t voted[32];
    enum csl_secagg_update update;
};

struct csl_secagg_site {
    struct csl_secagg_site_setup setup;
    uint32_t row; /* place in the roster */
    uint64_t last_round;
    uint16_t last_attempt;
    uint8_t head[32]; /* of the ledger, as far as this site knows */
    struct csl_secagg_digests votes, contributed;
    bool is_suspended, is_out, is_restoring; /* out: for good, a rollback was confirmed */
    struct csl_secagg_attempt at;
    const struct csl_secagg_site_out *out; /* during a step */
};

/* site.c */
void csl_secagg__site_emit(struct csl_secagg_site *s, enum csl_secagg_site_action_kind kind,
                           enum csl_secagg_site_record record, struct csl_span bytes,
                           const char *text);
void csl_secagg__site_journal(struct csl_secagg_site *s, enum csl_secagg_site_record record,
                              struct csl_span bytes);
/* `vote`: digest of the vote that gave rise to it, known from now on; NULL: of none. */
void csl_secagg__site_suspend(struct csl_secagg_site *s, const uint8_t *vote, const char *text);
enum csl_code csl_secagg__site_send(struct csl_secagg_site *s, struct csl_secagg_message *m,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Copies m's bytes; on failure *k is as before. */
enum csl_code csl_secagg__keep(struct csl_secagg_kept *k, const struct csl_secagg_message *m,
                               struct csl_err *err) CSL_MUST_CHECK;
bool csl_secagg__is_kept(const struct csl_secagg_kept *k, const struct csl_secagg_message *m);
void csl_secagg__attempt_release(struct csl_secagg_attempt *a);
bool csl_secagg__digests_have(const struct csl_secagg_digests *d, const uint8_t digest[32]);
enum csl_code csl_secagg__digests_add(struct csl_secagg_digests *d, const uint8_t digest[32],
                                      struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg__digests_remove(struct csl_secagg_digests *d, const uint8_t digest[32]);
void csl_secagg__vote_digest(const uint8_t sid[32], uint8_t choice, const uint8_t transcript[32],
                             uint8_t out[32]);
/* Of model and plan, and of the round where models may be repeated. */
void csl_secagg__pair_digest(const struct csl_secagg_site *s, const struct csl_secagg_config *c,
                             uint8_t out[32]);
/* UINT32_MAX: not in U1. */
uint32_t csl_secagg__place(uint32_t n1, const uint32_t *ids, uint32_t site);
const uint8_t *csl_secagg__site_key(const struct csl_secagg_site *s, uint32_t place);

/* site_config.c: M0, M1; site_keys.c: M2 to M6 */
enum csl_code csl_secagg__site_config(struct csl_secagg_site *s,
                                      const struct csl_secagg_site_event *ev, struct csl_err *err);
enum csl_code csl_secagg__site_round_keys(struct csl_secagg_site *s,
                                          const struct csl_secagg_message *m, struct csl_err *err);
enum csl_code csl_secagg__site_delivery(struct csl_secagg_site *s,
                                        const struct csl_secagg_message *m, struct csl_err *err);
enum csl_code csl_secagg__site_dispute(struct csl_secagg_site *s,
                                       const struct csl_secagg_message *m, struct csl_err *err);
enum csl_code csl_secagg__site_trained(struct csl_secagg_site *s,
                                       const struct csl_secagg_set *blocks, struct csl_err *err);
enum csl_code csl_secagg__site_forget(struct csl_secagg_site *s, struct csl_err *err);
/* How many rounds the journal lost cannot be told from what it is shown: updates of any of them may
 * be in sums. So this site is out for as long as there are rounds of this journal. */
void csl_secagg__site_confirmed(struct csl_secagg_site *s);
enum csl_code csl_secagg__site_send_advertise(struct csl_secagg_site *s, struct csl_err *err);
enum csl_code csl_secagg__site_send_shares(struct csl_secagg_site *s, struct csl_err *err);
enum csl_code csl_secagg__site_send_ack(struct csl_secagg_site *s, struct csl_err *err);

/* The M3 of this site but for what is sealed, and its dealing hash. */
void csl_secagg__site_dealing(const struct csl_secagg_attempt *a, struct csl_secagg_shares *out);

/* site_senders.c: M7, M7r */
enum csl_code csl_secagg__site_senders(struct csl_secagg_site *s,
                                       const struct csl_secagg_message *m, struct csl_err *err);
enum csl_code csl_secagg__site_seeds(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                     struct csl_err *err);
enum csl_code csl_secagg__site_send_reveal(struct csl_secagg_site *s, struct csl_err *err);
/* Graph 1: the mask graphs of M7 with these survivors left. CSL_E_DENIED. */
enum csl_code csl_secagg__site_check_losses(const struct csl_secagg_attempt *a,
                                            const struct csl_secagg_set *survivors,
                                            struct csl_err *err);

/* site_round.c: M8 to M13 */
enum csl_code csl_secagg__site_masked(struct csl_secagg_site *s,
                                      const struct csl_secagg_masked *masked, struct csl_err *err);
enum csl_code csl_secagg__site_survivors(struct csl_secagg_site *s,
                                         const struct csl_secagg_message *m, struct csl_err *err);
enum csl_code csl_secagg__site_give_up(struct csl_secagg_site *s, struct csl_err *err);
enum csl_code csl_secagg__site_quorum(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                      struct csl_err *err);
enum csl_code csl_secagg__site_abandoned(struct csl_secagg_site *s,
                                         const struct csl_secagg_message *m, struct csl_err *err);
enum csl_code csl_secagg__site_result(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                      struct csl_err *err);
/* What follows from a vote once it is in the journal. */
enum csl_code csl_secagg__site_set_vote(struct csl_secagg_site *s, uint8_t choice,
                                        const uint8_t transcript[32], struct csl_err *err);
enum csl_code csl_secagg__site_send_manifest(struct csl_secagg_site *s, struct csl_err *err);
enum csl_code csl_secagg__site_send_vote(struct csl_secagg_site *s, struct csl_err *err);
enum csl_code csl_secagg__site_send_unmask(struct csl_secagg_site *s, struct csl_err *err);

#endif
