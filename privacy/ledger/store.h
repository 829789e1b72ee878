/* privacy/ledger/store.h - the records of a ledger in SQLite: one row an entry, one transaction an
 * append, durable when it returns (WAL, synchronous FULL). Internal to this folder. One thread. */
#ifndef CSL_LEDGER_STORE_H
#define CSL_LEDGER_STORE_H
#include "privacy/ledger/entry.h"

struct csl_ledger_store;

/* CSL_E_CORRUPT: not a ledger; CSL_E_UNSUPPORTED: of another version; CSL_E_NOTFOUND: read only
 * and not there; CSL_E_IO. */
enum csl_code csl_ledger_store__open(struct csl_ledger_store **out, const char *path,
                                     bool is_read_only, struct csl_err *err) CSL_MUST_CHECK;
void csl_ledger_store__close(struct csl_ledger_store *s); /* accepts NULL */

/* CSL_E_STATE: an entry with this index is there: another process wrote. After any error it is not
 * known whether the entry is durable. */
enum csl_code csl_ledger_store__append(struct csl_ledger_store *s, const struct csl_ledger_entry *e,
                                       struct csl_span bytes,
                                       const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                       struct csl_err *err) CSL_MUST_CHECK;
/* Entries from `index` on, in order; `bytes` lasts until the next call. CSL_E_END: no more. */
void csl_ledger_store__seek(struct csl_ledger_store *s, uint64_t index);
enum csl_code csl_ledger_store__next(struct csl_ledger_store *s, struct csl_span *bytes,
                                     uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                     struct csl_err *err) CSL_MUST_CHECK;
/* The last charge or publish entry of this study and round. CSL_E_NOTFOUND. */
enum csl_code csl_ledger_store__find_charge(struct csl_ledger_store *s,
                                            const uint8_t study_digest[CSL_DIGEST_BYTES],
                                            uint64_t round, struct csl_ledger_entry *out,
                                            struct csl_err *err) CSL_MUST_CHECK;

#endif
