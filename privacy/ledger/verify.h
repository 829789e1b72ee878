/* privacy/ledger/verify.h - is an exported ledger what it claims to be? Needs the file and public
 * keys, no network, no database and no trust in whoever wrote it.
 *
 * Streams: memory is that of rules.h. A sound export is read once, with one signature check at the
 * end (the last signed head covers every entry by its hash) and one for each countersignature. Of
 * an unsound one a second reading checks the signed head after every entry, and so finds the first
 * entry that the site's key never signed at that place. */
#ifndef CSL_LEDGER_VERIFY_H
#define CSL_LEDGER_VERIFY_H
#include "privacy/ledger/ledger.h"

#include <stdio.h>

struct csl_ledger_peer { /* of whom a countersignature may be */
    char id[CSL_ID_MAX];
    uint8_t public_key[CSL_SIGN_PUBLIC_BYTES];
};
/* Hears what a sound export says, or the sound beginning of another: each entry as it was checked;
 * at the end of a sound one each study and each budget of the policy then in force, with what
 * counts at `now_s` or the ledger's time, whichever is later. Any of the three may be NULL. */
struct csl_ledger_visitor {
    void *ctx;
    uint64_t now_s;
    void (*entry)(void *ctx, const struct csl_ledger_entry *e);
    void (*study)(void *ctx, const struct csl_ledger_study *plan,
                  const struct csl_ledger_spent *spent);
    void (*budget)(void *ctx, const struct csl_ledger_budget *budget,
                   const struct csl_ledger_spent *spent);
};
struct csl_ledger_verify_options {       /* all borrowed */
    const uint8_t *public_key;           /* the site's, from a source that is not the export */
    csl_ledger_price price;              /* NULL: recorded epsilons are only added up */
    const struct csl_ledger_peer *peers; /* a known name with another key is a forgery */
    size_t peer_count;
    /* Heads of this ledger that others kept. The export must contain them. This is what finds a
     * site that rewrites its own history with its own key. */
    const struct csl_checkpoint *known_heads;
    size_t known_head_count;
    const struct csl_ledger_visitor *visitor; /* NULL: none */
};
struct csl_ledger_verdict {
    uint64_t entries, charges, refusals, recoveries;
    uint64_t countersignatures;         /* of known peers */
    uint64_t countersignatures_unknown; /* that verify, by keys that the caller does not know */
    uint64_t countersigned_size;        /* the largest head that a known peer countersigned */
    char site[CSL_ID_MAX];
    struct csl_checkpoint head;
    /* When the export is unsound: */
    uint64_t bad_entry; /* the first, from 0; `entries` when what follows the last is at fault;
                           CSL_LEDGER_NONE: the file is no export */
    char why[CSL_ERR_MSG_MAX];
};
/* CSL_OK: sound. CSL_E_CORRUPT: unsound, *out and err say where and why. CSL_E_INVAL: a known head
 * that the site did not sign; CSL_E_IO, CSL_E_NOMEM. `in` must allow going back to its start. */
enum csl_code csl_ledger_verify(FILE *in, const struct csl_ledger_verify_options *options,
                                struct csl_ledger_verdict *out, struct csl_err *err) CSL_MUST_CHECK;

#endif
