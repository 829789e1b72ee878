/* privacy/ledger/export.h - reading what csl_ledger_export wrote:
 *
 *     consilium-ledger-export v1
 *     <base64 of the entry's bytes> <base64 of the signature of the head with it>
 *     ... one line an entry ...
 *
 *     <the last signed head, as checkpoint.h writes it>
 *
 * One way of writing: any other byte is an error. Reading checks the form alone; verify.h checks
 * what it says. One thread. */
#ifndef CSL_LEDGER_EXPORT_H
#define CSL_LEDGER_EXPORT_H
#include "privacy/ledger/entry.h"

#include <stdio.h>

struct csl_export_record {
    uint8_t bytes[CSL_LEDGER_ENTRY_MAX];
    size_t byte_count;
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
};
struct csl_export_reader;
/* Goes back to the start of `in`, which is borrowed. CSL_E_PROTO: not an export. */
enum csl_code csl_export_open(struct csl_export_reader **out, FILE *in,
                              struct csl_err *err) CSL_MUST_CHECK;
void csl_export_close(struct csl_export_reader *r); /* accepts NULL; leaves `in` open */
/* CSL_E_END: that was the last; CSL_E_PROTO: the line is no entry; CSL_E_IO. */
enum csl_code csl_export_next(struct csl_export_reader *r, struct csl_export_record *out,
                              struct csl_err *err) CSL_MUST_CHECK;
/* The text of the signed head, once csl_export_next said CSL_E_END; until the reader is closed. */
struct csl_span csl_export_checkpoint(const struct csl_export_reader *r);

/* How two exports relate. Whether either is right is for verify.h to say. a and b are
 * different streams. */
struct csl_ledger_difference {
    uint64_t common;         /* entries that both start with */
    uint64_t size_a, size_b; /* one continues the other when common is one of them */
};
enum csl_code csl_ledger_diff(FILE *a, FILE *b, struct csl_ledger_difference *out,
                              struct csl_err *err) CSL_MUST_CHECK;

#endif
