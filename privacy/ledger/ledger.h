/* privacy/ledger/ledger.h - what a site has spent of its patients' privacy, and may still spend.
 *
 *     register -> reserve -> train -> charge -> release -> settle
 *
 * Every arrow waits for the entry to be durable, in the database (SQLite, WAL, synchronous FULL)
 * and in the head file. A release without an earlier successful charge is a bug of the caller; all
 * else is enforced here. README.md has the rules, the format and why each guarantee holds.
 *
 * Composition. Within a study all events charged or reserved are priced together at the study's
 * delta; their parameters are fixed at registration. Across studies epsilons and deltas add up
 * (basic composition, a valid filter when parameters are chosen adaptively: Rogers, Roth, Ullman
 * and Vadhan 2016). Within a window a study counts in full while any of its charges lies in it or
 * a reservation of it is open.
 *
 * One thread per ledger; one writing process per database (a second one is noticed at its first
 * append). Everything that appends may fail with CSL_E_IO, after which the ledger must be closed
 * and opened again; then everything is either as before the call or as after it. */
#ifndef CSL_LEDGER_LEDGER_H
#define CSL_LEDGER_LEDGER_H
#include "privacy/ledger/checkpoint.h"
#include "privacy/ledger/entry.h"

/* A certified upper bound on epsilon; +inf when there is none. Fails on events that it cannot
 * price. Must be monotone in steps. */
typedef enum csl_code (*csl_ledger_price)(const struct csl_dp_event *events, size_t count,
                                          double delta, double *epsilon, struct csl_err *err);

struct csl_ledger_config { /* texts are borrowed until open returns */
    /* The three paths together, or NULL for a ledger in memory with a key of its own (simulations).
     */
    const char *path;      /* the database, created when missing */
    const char *key_path;  /* Ed25519 secret key, created when missing */
    const char *head_path; /* the last signed head; on another disk where there is one */
    const char *site;      /* the site's id */
    csl_ledger_price price;
    uint64_t (*now_s)(void *); /* wall clock, Unix seconds */
    void *now_ctx;
    bool is_read_only; /* show and export while an agent runs: creates and appends nothing, needs
                          no key, head file, price or clock */
};

struct csl_ledger;
/* Reads and checks the whole log (some seconds for a million entries). CSL_E_CORRUPT: it does not
 * hold together; CSL_E_DENIED, CSL_E_INVAL: key or site is not this ledger's; CSL_E_IO. A ledger
 * behind its head file opens, and refuses to reserve, charge and publish: csl_ledger_trouble. */
enum csl_code csl_ledger_open(struct csl_ledger **out, const struct csl_ledger_config *config,
                              struct csl_err *err) CSL_MUST_CHECK;
void csl_ledger_close(struct csl_ledger *l); /* accepts NULL */

/* Budgets from now on. The same policy again appends nothing. CSL_E_INVAL names the budget. */
enum csl_code csl_ledger_set_policy(struct csl_ledger *l, const struct csl_ledger_policy *p,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* The plan, before the study's first reservation. The same plan again appends nothing, nor does any
 * plan of a study that was stopped: it spends nothing more. CSL_E_EXISTS: another plan under this
 * digest; err names what differs and no number of patients; CSL_E_INVAL names the field;
 * CSL_E_LIMIT. */
enum csl_code csl_ledger_register(struct csl_ledger *l, const struct csl_ledger_study *s,
                                  struct csl_err *err) CSL_MUST_CHECK;

/* Before training. *reservation: for charge and settle. An open reservation of the same study,
 * round, attempt and steps is handed back instead of a second one. In order:
 * CSL_E_STATE: see csl_ledger_trouble; CSL_E_NOTFOUND: study not registered; CSL_E_DENIED: the
 * study was stopped, or is stopped now because the request differs from its plan; CSL_E_EXISTS: an
 * attempt that is not above the round's last one: send the identical bytes (csl_ledger_find_charge)
 * or take a new attempt, which is charged again; CSL_E_DENIED: all rounds of the plan are counted:
 * attempts never exceed what the study promised; CSL_E_LIMIT: too many open reservations;
 * CSL_E_BUDGET: a budget would be exceeded, or none covers the cohort; err and the entry depend on
 * the policy and public numbers only. */
enum csl_code csl_ledger_reserve(struct csl_ledger *l, const struct csl_ledger_request *r,
                                 uint64_t *reservation, struct csl_err *err) CSL_MUST_CHECK;
/* After training, before anything is released. Never refunded. The same charge again appends
 * nothing. CSL_E_STATE: see csl_ledger_trouble, or the reservation was charged or settled
 * otherwise; CSL_E_NOTFOUND: no such reservation; CSL_E_DENIED: what ran is not what was planned
 * and reserved; nothing may be released and the study is stopped. */
enum csl_code csl_ledger_charge(struct csl_ledger *l, uint64_t reservation,
                                const struct csl_ledger_charge *c,
                                struct csl_err *err) CSL_MUST_CHECK;
/* was_released false: not one byte left the site, and what was reserved and not charged comes back.
 * true, or a later reservation of the study: it stays spent. Settled already: appends nothing.
 * CSL_E_NOTFOUND: no such reservation. */
enum csl_code csl_ledger_settle(struct csl_ledger *l, uint64_t reservation, bool was_released,
                                struct csl_err *err) CSL_MUST_CHECK;
/* A statistic of an approved study: reserve and charge in one, before it leaves. Errors of both. */
enum csl_code csl_ledger_publish(struct csl_ledger *l, const struct csl_ledger_charge *c,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_ledger_stop(struct csl_ledger *l, const uint8_t study_digest[CSL_DIGEST_BYTES],
                              enum csl_ledger_stop_reason reason,
                              struct csl_err *err) CSL_MUST_CHECK;
/* Patients left the cohort: the plans of its studies carry the new keyed digest from here on, and
 * registering them again needs it. What was spent stays spent. CSL_E_INVAL: no cohort's id. */
enum csl_code csl_ledger_withdraw(struct csl_ledger *l, const char *cohort,
                                  const uint8_t cohort_digest[CSL_DIGEST_BYTES],
                                  uint32_t cohort_band, struct csl_err *err) CSL_MUST_CHECK;

/* The charge of the round's last charged attempt; false: none (or the database failed: then no
 * release either). */
bool csl_ledger_find_charge(struct csl_ledger *l, const uint8_t study_digest[CSL_DIGEST_BYTES],
                            uint64_t round, struct csl_ledger_charge *out) CSL_MUST_CHECK;
/* Uncharged reservations, oldest first; what a restarted agent settles. Returns how many there
 * are; ids and requests of the first `capacity` are written. */
struct csl_ledger_open_reservation {
    uint64_t reservation, round;
    uint32_t attempt;
    uint8_t study_digest[CSL_DIGEST_BYTES];
};
size_t csl_ledger_open_reservations(const struct csl_ledger *l,
                                    struct csl_ledger_open_reservation *out, size_t capacity);

struct csl_ledger_spent {
    double epsilon, delta;  /* counted now, reservations included; basic composition */
    uint64_t studies;       /* that count */
    uint64_t charges;       /* attempts charged and statistics published, ever */
    uint64_t steps_charged; /* that ran, ever */
    bool is_stopped;        /* of one study */
};
/* CSL_E_NOTFOUND: not registered. */
enum csl_code csl_ledger_spent_by_study(const struct csl_ledger *l,
                                        const uint8_t study_digest[CSL_DIGEST_BYTES],
                                        struct csl_ledger_spent *out,
                                        struct csl_err *err) CSL_MUST_CHECK;
/* What counts against a budget of this cohort ("*": all) and window, whatever its group, at the
 * wall clock or the ledger's time, whichever is later. */
void csl_ledger_spent_by_cohort(const struct csl_ledger *l, const char *cohort, uint64_t window_s,
                                struct csl_ledger_spent *out);
const struct csl_ledger_policy *csl_ledger_current_policy(const struct csl_ledger *l);

/* Heads. NULL while all is well; else why nothing can be reserved, until csl_ledger_recover. */
const char *csl_ledger_trouble(const struct csl_ledger *l);
void csl_ledger_head(const struct csl_ledger *l, struct csl_checkpoint *out);
const uint8_t *csl_ledger_public_key(const struct csl_ledger *l); /* CSL_SIGN_PUBLIC_BYTES */
/* A head of this ledger as another side remembers it. CSL_E_CRYPTO: not signed by this ledger's
 * key, and ignored; CSL_E_STATE: the log is behind it or diverges from it, and so in trouble. */
enum csl_code csl_ledger_check_peer_head(struct csl_ledger *l, const struct csl_checkpoint *head,
                                         struct csl_err *err) CSL_MUST_CHECK;
/* The operator gives up the head that the trouble is about (CSL_E_INVAL: it is another). Charges
 * that were lost with it are unknown: `epsilon` and `delta` are counted against every budget from
 * now on; INFINITY is the careful choice and stops all budgets until their windows have passed. */
enum csl_code csl_ledger_recover(struct csl_ledger *l, uint64_t size,
                                 const uint8_t root[CSL_SHA256_BYTES], double epsilon, double delta,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* This side's signature over a head of the other side's log. CSL_E_CRYPTO: the head is not signed
 * by `public_key`; CSL_E_INVAL: its origin is not one. */
enum csl_code csl_ledger_countersign(const struct csl_ledger *l,
                                     const struct csl_checkpoint *theirs,
                                     const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                     uint8_t out[CSL_SIGN_SIGNATURE_BYTES],
                                     struct csl_err *err) CSL_MUST_CHECK;
/* The other side's signature over a head of this log. CSL_E_CRYPTO: it does not verify;
 * CSL_E_STATE: not a head of this log. */
enum csl_code csl_ledger_store_countersignature(struct csl_ledger *l, const char *peer,
                                                const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                                uint64_t size,
                                                const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                                struct csl_err *err) CSL_MUST_CHECK;

/* Entries, and proofs over them (merkle.h verifies). */
uint64_t csl_ledger_size(const struct csl_ledger *l);
enum csl_code csl_ledger_read(struct csl_ledger *l, uint64_t index, struct csl_ledger_entry *out,
                              struct csl_err *err) CSL_MUST_CHECK;
/* hashes: 64 at most; CSL_E_INVAL: index >= size, or size beyond the log. */
enum csl_code csl_ledger_prove_inclusion(struct csl_ledger *l, uint64_t index, uint64_t size,
                                         uint8_t hashes[64][CSL_SHA256_BYTES], size_t *count,
                                         struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_ledger_prove_consistency(struct csl_ledger *l, uint64_t old_size, uint64_t size,
                                           uint8_t hashes[64][CSL_SHA256_BYTES], size_t *count,
                                           struct csl_err *err) CSL_MUST_CHECK;
/* One self-contained file for verify.h; written whole or not at all. */
enum csl_code csl_ledger_export(struct csl_ledger *l, const char *path,
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
