/* privacy/ledger/rules.h - the order and the sums of a ledger as one state machine that walks the
 * entries once. The ledger asks it before it appends, the verifier asks it about every entry of an
 * export: there is one set of rules. Internal to this folder. One thread.
 *
 * Memory: per study some 9 KiB, per distinct (study, round) 40 bytes; nothing else grows. */
#ifndef CSL_LEDGER_RULES_H
#define CSL_LEDGER_RULES_H
#include "privacy/ledger/ledger.h"
#include "privacy/ledger/merkle.h"

#define CSL_RULES_STUDIES_MAX   4096
#define CSL_RULES_OPEN_MAX      64 /* unsettled reservations of one study */
#define CSL_RULES_RECOVERED_MAX 64

struct csl_rules_reservation {
    uint64_t id, round;
    uint32_t attempt;
    bool is_charged;
    uint64_t unspent[CSL_LEDGER_EVENTS_MAX]; /* steps reserved and not charged */
};
struct csl_rules_study {
    struct csl_ledger_study plan;
    bool is_stopped;
    uint64_t counted[CSL_LEDGER_EVENTS_MAX]; /* steps charged, reserved and not given back */
    double epsilon;                          /* of them */
    uint64_t last_s;                         /* when something last became spent */
    uint64_t charges, steps_charged;
    uint32_t open_count; /* oldest first */
    struct csl_rules_reservation open[CSL_RULES_OPEN_MAX];
};
struct csl_rules_slot { /* of the map from (study, round) to the next attempt */
    uint64_t round, next_attempt;
    uint64_t study;                          /* its number; 0: free */
    uint64_t refused_attempt, refused_under; /* noted last, plus 1, and the policy it was under */
};
struct csl_rules {
    csl_ledger_price price; /* NULL: recorded prices are taken as they are */
    uint64_t count, time_s;
    uint8_t link[CSL_SHA256_BYTES];
    char site[CSL_ID_MAX], origin[CSL_ORIGIN_MAX];
    uint8_t public_key[CSL_SIGN_PUBLIC_BYTES];
    bool has_policy;
    uint64_t policies; /* set so far */
    struct csl_ledger_policy policy;
    struct csl_rules_study **studies;
    size_t study_count, study_capacity;
    struct csl_rules_study *spare; /* of an approval that was checked and not applied */
    struct csl_rules_slot *slots;
    size_t slot_count, slot_capacity;
    double lost_epsilon, lost_delta; /* written off by recoveries */
    uint64_t lost_s;
    uint32_t recovered_count;
    struct {
        uint64_t size;
        uint8_t root[CSL_SHA256_BYTES];
    } recovered[CSL_RULES_RECOVERED_MAX];
    struct csl_merkle_recent tree;
};

/* On the heap: some 130 KiB. NULL: no memory. */
struct csl_rules *csl_rules__new(csl_ledger_price price);
void csl_rules__free(struct csl_rules *s);

/* May this entry come next? Also makes room for it, so that apply cannot fail. CSL_E_CORRUPT: it
 * breaks a rule, which err names; CSL_E_NOMEM; what the price says. */
enum csl_code csl_rules__check(struct csl_rules *s, const struct csl_ledger_entry *e,
                               struct csl_err *err) CSL_MUST_CHECK;
/* An entry that was checked; `leaf` is its Merkle leaf, `signature` that of the head with it. */
void csl_rules__apply(struct csl_rules *s, const struct csl_ledger_entry *e,
                      const uint8_t leaf[CSL_SHA256_BYTES],
                      const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES]);

struct csl_rules_study *csl_rules__find(const struct csl_rules *s,
                                        const uint8_t digest[CSL_DIGEST_BYTES]); /* NULL */
/* The study and place of an unsettled reservation; false: none. */
bool csl_rules__find_open(const struct csl_rules *s, uint64_t reservation,
                          struct csl_rules_study **study, uint32_t *at);
/* The smallest attempt that may still be reserved for this round. */
uint64_t csl_rules__next_attempt(const struct csl_rules *s, const struct csl_rules_study *study,
                                 uint64_t round);
enum csl_code csl_rules__make_slot(struct csl_rules *s, struct csl_err *err);
void csl_rules__set_attempt(struct csl_rules *s, const struct csl_rules_study *study,
                            uint64_t round, uint32_t attempt);

/* Was this refusal written down since the policy was set? Then it is not repeated in the log. */
bool csl_rules__is_refused(const struct csl_rules *s, const struct csl_rules_study *study,
                           uint64_t round, uint32_t attempt);

/* Printable ASCII without blanks: what an entry can hold. */
bool csl_rules__is_text(const char *text);
/* NULL, or what is wrong. */
const char *csl_rules__plan_fault(const struct csl_ledger_study *p, struct csl_err *err);
const char *csl_rules__policy_fault(const struct csl_ledger_policy *p);
const char *csl_rules__request_fault(const struct csl_ledger_study *plan,
                                     const struct csl_ledger_request *r);
/* Would the steps counted exceed the study's own promise, its rounds times the steps of a round? */
bool csl_rules__exceeds_plan(const struct csl_rules_study *study,
                             const uint64_t steps[CSL_LEDGER_EVENTS_MAX]);
/* `limit`: steps that may be charged. */
const char *csl_rules__charge_fault(const struct csl_ledger_study *plan,
                                    const struct csl_ledger_charge *c,
                                    const uint64_t limit[CSL_LEDGER_EVENTS_MAX]);

/* The study's epsilon when `steps` come on top (is_less: come off). CSL_E_LIMIT: more than 2^64
 * steps; CSL_E_BUG: the price is no number. */
enum csl_code csl_rules__price(const struct csl_rules *s, const struct csl_rules_study *study,
                               const uint64_t steps[CSL_LEDGER_EVENTS_MAX], bool is_less,
                               double *epsilon, struct csl_err *err) CSL_MUST_CHECK;
/* Would every budget that matches still hold with this epsilon of the study? False: *budget is the
 * first that would not, or CSL_LEDGER_NONE when none covers the study. */
bool csl_rules__fits(const struct csl_rules *s, const struct csl_rules_study *study, double epsilon,
                     uint64_t now_s, uint64_t *budget);
/* What counts against a budget, with `study` (may be NULL) at `epsilon` instead of its own. */
void csl_rules__sum(const struct csl_rules *s, const struct csl_ledger_budget *b, uint64_t now_s,
                    const struct csl_rules_study *study, double epsilon,
                    struct csl_ledger_spent *out);
void csl_rules__steps(uint32_t count, const struct csl_dp_event *events,
                      uint64_t out[CSL_LEDGER_EVENTS_MAX]);

#endif
