/* privacy/ledger/entry.h - what one entry says, and the one byte string that stands for it.
 *
 * Nothing here may describe a patient: cohorts appear as an id, a keyed digest and a size band.
 * README.md gives the layout byte by byte. One thread per value. */
#ifndef CSL_LEDGER_ENTRY_H
#define CSL_LEDGER_ENTRY_H
#include "base/limits.h"
#include "privacy/crypto/hash.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/dp/event.h"

#define CSL_LEDGER_EVENTS_MAX  8  /* events of one round */
#define CSL_LEDGER_BUDGETS_MAX 32 /* budgets of one policy */
#define CSL_LEDGER_GROUP_MAX   96 /* bytes of "attribute=value", with NUL */
#define CSL_LEDGER_TEXT_MAX    96 /* bytes of a software digest, with NUL; printable ASCII */
#define CSL_LEDGER_ENTRY_MAX   8192
#define CSL_LEDGER_NONE        UINT64_MAX /* no reservation, no budget */

enum csl_ledger_kind {
    CSL_LEDGER_OPEN = 1,    /* always entry 0, and only there */
    CSL_LEDGER_POLICY,      /* budgets from here on */
    CSL_LEDGER_APPROVE,     /* a study's plan, fixed before its first reservation */
    CSL_LEDGER_RESERVE,     /* worst case of one attempt of one round; its index is its id */
    CSL_LEDGER_CHARGE,      /* what ran; precedes the release */
    CSL_LEDGER_SETTLE,      /* whether what was charged or reserved was released */
    CSL_LEDGER_REFUSE,      /* a reservation that a budget did not allow */
    CSL_LEDGER_STOP,        /* the study reserves and charges nothing from here on */
    CSL_LEDGER_PUBLISH,     /* a statistic: reservation and charge in one */
    CSL_LEDGER_COUNTERSIGN, /* the other side's signature over an earlier head */
    CSL_LEDGER_WITHDRAWAL,  /* patients left a cohort; what was spent stays spent */
    CSL_LEDGER_RECOVER,     /* the operator gave up a head that this log does not continue */
    CSL_LEDGER_CLOCK        /* the wall clock jumped */
};

enum csl_ledger_composition { CSL_LEDGER_BASIC = 1 }; /* sums of studies' epsilons and deltas */

enum csl_ledger_stop_reason {
    CSL_LEDGER_STOP_REQUEST = 1, /* the request differs from the approved plan */
    CSL_LEDGER_STOP_CHARGE,      /* what ran differs from the plan or exceeds its reservation */
    CSL_LEDGER_STOP_OPERATOR
};

struct csl_ledger_budget {
    char cohort[CSL_ID_MAX]; /* "*": every cohort */
    /* "": the whole cohort; else "attribute=value". A name: which patients are in a group is not
     * known here, so every study of the cohort counts in full. */
    char group[CSL_LEDGER_GROUP_MAX];
    double epsilon, delta; /* finite, >= 0; delta < 1 */
    uint64_t window_s;     /* 0: for ever */
};
struct csl_ledger_policy {
    uint8_t digest[CSL_DIGEST_BYTES]; /* of the policy document */
    enum csl_ledger_composition composition;
    uint32_t budget_count;
    struct csl_ledger_budget budgets[CSL_LEDGER_BUDGETS_MAX];
};
/* The plan of one study. `events` are those of one round; only steps may turn out smaller. */
struct csl_ledger_study {
    uint8_t digest[CSL_DIGEST_BYTES];
    char cohort[CSL_ID_MAX];
    uint32_t event_count;
    struct csl_dp_event events[CSL_LEDGER_EVENTS_MAX];
    uint64_t rounds;   /* round numbers are 1 to rounds */
    double delta;      /* in (0, 1) */
    double clip;       /* L2 norm of one patient's contribution; finite, > 0 */
    double normaliser; /* public constant that sums are divided by; finite, > 0 */
    uint8_t cohort_digest[CSL_DIGEST_BYTES]; /* keyed */
    bool is_rehearsal; /* replayable noise protects nobody; charged like any other run */
};
struct csl_ledger_request { /* and what a reserve and a refuse entry say */
    uint8_t study_digest[CSL_DIGEST_BYTES];
    uint64_t round;
    uint32_t attempt; /* above every earlier attempt of this round; the first may be 0 */
    char cohort[CSL_ID_MAX];
    uint32_t event_count;
    struct csl_dp_event events[CSL_LEDGER_EVENTS_MAX]; /* worst case */
    double clip, normaliser;
};
struct csl_ledger_charge { /* what ran */
    uint8_t study_digest[CSL_DIGEST_BYTES];
    uint64_t round;
    uint32_t attempt;
    uint32_t event_count;
    struct csl_dp_event events[CSL_LEDGER_EVENTS_MAX];
    double clip, normaliser;
    uint32_t cohort_band; /* csl_ledger_band; never the exact size */
    uint8_t cohort_digest[CSL_DIGEST_BYTES];
    uint8_t update_digest[CSL_DIGEST_BYTES]; /* of the bytes that will be released */
    char software[CSL_LEDGER_TEXT_MAX];
    bool is_rehearsal;
};

struct csl_ledger_entry {
    enum csl_ledger_kind kind;
    uint64_t index;                 /* from 0 */
    uint64_t time_s;                /* the ledger's own time: Unix seconds that never go back */
    uint8_t link[CSL_SHA256_BYTES]; /* SHA-256 of the record before; zeros in entry 0 */
    /* The study's epsilon at its delta, all its counted events priced together. */
    double epsilon_before, epsilon_after;    /* reserve, charge, settle, refuse, publish */
    uint64_t reservation;                    /* charge, settle */
    uint8_t policy_digest[CSL_DIGEST_BYTES]; /* reserve, charge, refuse, publish */
    union {
        struct {
            char site[CSL_ID_MAX];
            uint8_t public_key[CSL_SIGN_PUBLIC_BYTES];
        } open;
        struct csl_ledger_policy policy;
        struct csl_ledger_study approve;
        struct csl_ledger_request request; /* reserve, refuse */
        struct csl_ledger_charge charge;   /* charge, publish */
        struct {
            bool was_released;
        } settle;
        struct {
            uint8_t study_digest[CSL_DIGEST_BYTES];
            enum csl_ledger_stop_reason reason;
        } stop;
        struct {
            char peer[CSL_ID_MAX];
            uint8_t public_key[CSL_SIGN_PUBLIC_BYTES];
            uint64_t size; /* of the head that was countersigned */
            uint8_t root[CSL_SHA256_BYTES];
            uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
        } countersign;
        struct {
            char cohort[CSL_ID_MAX];
            uint8_t cohort_digest[CSL_DIGEST_BYTES]; /* afterwards */
            uint32_t cohort_band;                    /* afterwards */
        } withdrawal;
        struct {
            uint64_t size; /* of the head given up */
            uint8_t root[CSL_SHA256_BYTES];
            double epsilon, delta; /* counted against every budget from here on; may be infinite */
        } recover;
        struct {
            uint64_t wall_s; /* what the wall clock said */
        } clock;
    } u;
    uint64_t budget; /* refuse: index of the budget in the policy; CSL_LEDGER_NONE: none covers */
};

/* The bytes: at most CSL_LEDGER_ENTRY_MAX. Any entry can be written; only the fields of its kind
 * are. Returns their number. */
size_t csl_ledger_entry_encode(const struct csl_ledger_entry *e, uint8_t out[CSL_LEDGER_ENTRY_MAX]);
/* Accepts exactly what encode writes. CSL_E_PROTO names the field. */
enum csl_code csl_ledger_entry_decode(struct csl_ledger_entry *out, struct csl_span bytes,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* One JSON object on one line, without the line end. */
enum csl_code csl_ledger_entry_json(const struct csl_ledger_entry *e, struct csl_msg *out,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* One line for people. */
void csl_ledger_entry_text(const struct csl_ledger_entry *e, char *out, size_t out_bytes);
const char *csl_ledger_kind_name(enum csl_ledger_kind k); /* "open", "policy", ... */

/* Size bands: 0 for none, 1 for 1-9, 2 for 10-29, 3 for 30-99, 4 for 100-299, and so on. */
uint32_t csl_ledger_band(uint64_t patients);
void csl_ledger_band_text(uint32_t band, char *out, size_t out_bytes); /* "30-99" */

#endif
