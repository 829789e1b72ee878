/* site-agent/data/csv.h - a streaming reader of comma-separated values (RFC 4180).
 *
 * LF or CRLF ends a record; a quoted field may hold commas, line ends and doubled quotes; a byte
 * order mark at the very start is skipped; empty lines are skipped. Memory is that of one record.
 * One thread. */
#ifndef CSL_CSV_H
#define CSL_CSV_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CSL_CSV_RECORD_BYTES_MAX ((size_t)1024 * 1024) /* one record with its line ends */
#define CSL_CSV_COLUMNS_MAX      16384

struct csl_csv {
    FILE *stream;         /* borrowed */
    const char *name;     /* of the file, for errors; borrowed */
    uint64_t line;        /* where the reader stands, 1-based */
    uint64_t record_line; /* where the current record began */
    char *bytes;          /* the fields of the current record, each with a NUL; owned */
    size_t used, capacity;
    size_t *fields; /* [field_count] offsets into bytes; owned */
    uint32_t field_count, field_capacity;
    bool has_started;
};

void csl_csv_init(struct csl_csv *c, FILE *stream, const char *name);
void csl_csv_release(struct csl_csv *c);
/* The next record; CSL_E_END after the last (nothing in *err). CSL_E_INVAL names file, line and
 * column: a quote inside an unquoted field, text after a closing quote, a quote that is never
 * closed, a NUL. CSL_E_LIMIT: a record or its number of fields over the maximum. */
enum csl_code csl_csv_next(struct csl_csv *c, struct csl_err *err) CSL_MUST_CHECK;
/* Field i < field_count of the current record, until the next csl_csv_next. */
const char *csl_csv_field(const struct csl_csv *c, uint32_t i);

#endif
