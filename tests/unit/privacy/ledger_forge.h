/* An export taken apart, so that a test can put it together wrongly, with or without a key. */
#ifndef CSL_TESTS_LEDGER_FORGE_H
#define CSL_TESTS_LEDGER_FORGE_H
#include "privacy/ledger/export.h"
#include "privacy/ledger/verify.h"
#include "tests/unit/privacy/ledger_fixture.h"

#define FORGE_RECORDS_MAX 40

struct forge {
    struct csl_export_record records[FORGE_RECORDS_MAX];
    size_t count;
    char checkpoint[CSL_CHECKPOINT_TEXT_MAX];
};
void forge_read(struct forge *f, const char *path);
struct csl_ledger_entry forge_entry(const struct forge *f, size_t at);
void forge_set(struct forge *f, size_t at, const struct csl_ledger_entry *e);
void forge_remove(struct forge *f, size_t at);
void forge_insert(struct forge *f, size_t at, const struct csl_ledger_entry *e);
/* From record `from` on: index and link made right again; with a key also all signatures and the
 * last head. */
void forge_chain(struct forge *f, size_t from, const char *origin, const struct csl_sign_key *key);
/* The last head of the first `size` records, signed. */
void forge_head(struct forge *f, size_t size, const char *origin, const struct csl_sign_key *key,
                struct csl_checkpoint *out);
/* The file's bytes; csl_msg_release. */
struct csl_msg forge_text(const struct forge *f);
enum csl_code verify_bytes(struct csl_span bytes, const struct csl_ledger_verify_options *options,
                           struct csl_ledger_verdict *out);

/* A ledger with an entry of every kind but recover; at the end the export is in w->out. `peer`
 * countersigns as "hub". Where what is: */
enum {
    AT_OPEN,
    AT_POLICY,
    AT_APPROVE_A,
    AT_APPROVE_B,
    AT_RESERVE,
    AT_CHARGE,
    AT_RESERVE_2,
    AT_CHARGE_2, /* less than reserved */
    AT_SETTLE,   /* released */
    AT_COUNTERSIGN,
    AT_RESERVE_3,
    AT_SETTLE_BACK, /* not released */
    AT_PUBLISH,
    AT_RESERVE_4,
    AT_APPROVE_C,
    AT_REFUSE,
    AT_STOP,
    AT_CHARGE_4,
    AT_WITHDRAWAL,
    AT_CLOCK,
    AT_POLICY_2,
    AT_COUNTERSIGN_2,
    AT_END
};
void make_every_kind(struct world *w, const struct csl_sign_key *peer);

#endif
