/* privacy/ledger/ledger_internal.h - shared by the files of the ledger itself. */
#ifndef CSL_LEDGER_LEDGER_INTERNAL_H
#define CSL_LEDGER_LEDGER_INTERNAL_H
#include "base/file.h"
#include "privacy/ledger/rules.h"
#include "privacy/ledger/store.h"

struct csl_ledger {
    struct csl_ledger_store *store;
    struct csl_rules *rules;
    struct csl_sign_key key;                     /* zeros when read only */
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES]; /* of the last head */
    char head_path[CSL_PATH_MAX];
    uint64_t (*now_s)(void *);
    void *now_ctx;
    bool is_read_only;
    bool is_broken;                /* a write failed: what is on the disk is not known */
    bool is_clock_behind;          /* and the log says so */
    char trouble[CSL_ERR_MSG_MAX]; /* "": none */
    uint64_t trouble_size;         /* the head that is not continued */
    uint8_t trouble_root[CSL_SHA256_BYTES];
};

/* CSL_E_STATE when nothing may be appended now. */
enum csl_code csl_ledger__ready(const struct csl_ledger *l, struct csl_err *err) CSL_MUST_CHECK;
/* The time that an entry appended now gets. */
uint64_t csl_ledger__time(const struct csl_ledger *l);
/* Appends *e, whose kind and body are set, at that time: checked, durable, head file written.
 * Fills the rest of *e. */
enum csl_code csl_ledger__append(struct csl_ledger *l, struct csl_ledger_entry *e, uint64_t time_s,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_ledger__write_head(struct csl_ledger *l, struct csl_err *err) CSL_MUST_CHECK;
void csl_ledger__set_trouble(struct csl_ledger *l, uint64_t size,
                             const uint8_t root[CSL_SHA256_BYTES], const char *what);
/* CSL_E_EXISTS: what differs, without numbers of patients, and what an operator can do. */
enum csl_code csl_ledger__other_plan(const struct csl_ledger_study *known,
                                     const struct csl_ledger_study *offered,
                                     struct csl_err *err) CSL_MUST_CHECK;
/* Root of the first `size` entries, read again. */
enum csl_code csl_ledger__root_at(struct csl_ledger *l, uint64_t size,
                                  uint8_t out[CSL_SHA256_BYTES],
                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
