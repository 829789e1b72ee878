/* base/database.h - a SQLite file that carries the mark and the version of the program that made
 * it: opened, created or refused; statements, errors, unsigned numbers. What the rows mean is its
 * user's. A library of its own (csl_database), so that what stores nothing links no SQLite.
 *
 * Durable when a statement returns: WAL, synchronous FULL. Threads: one at a time, but for
 * CSL_DATABASE_SHARED. */
#ifndef CSL_DATABASE_H
#define CSL_DATABASE_H
#include "base/err.h"
#include "base/file.h"

#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

struct csl_database {
    struct sqlite3 *db; /* NULL: closed */
    char path[CSL_PATH_MAX];
};

/* Strings are constants of the caller. */
struct csl_database_format {
    int32_t application_id; /* SQLite's mark of the program */
    int32_t version;        /* another schema is another version */
    const char *what;       /* in errors: "ledger" */
    const char *schema_sql; /* statements that make an empty file one of this version */
};

enum {
    CSL_DATABASE_READ_ONLY = 1 << 0, /* never created or changed */
    CSL_DATABASE_SHARED = 1 << 1,    /* several threads, one call at a time: SQLite serialises */
};

/* An empty or absent file gets the schema. A refused file is left as it was, and `out` closed.
 * CSL_E_CORRUPT: of another program, or no database; CSL_E_UNSUPPORTED: another version;
 * CSL_E_NOTFOUND: read only and not there; CSL_E_LIMIT: the path is too long; CSL_E_IO. */
enum csl_code csl_database_open(struct csl_database *out, const char *path,
                                const struct csl_database_format *format, int flags,
                                struct csl_err *err) CSL_MUST_CHECK;
void csl_database_close(struct csl_database *d); /* its statements are finalised before */

/* The last error of SQLite as one of the project's. */
enum csl_code csl_database_fail(const struct csl_database *d, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_database_exec(const struct csl_database *d, const char *sql,
                                struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_database_prepare(const struct csl_database *d, const char *sql,
                                   struct sqlite3_stmt **out, struct csl_err *err) CSL_MUST_CHECK;
/* Runs a statement that returns no row to its end, and finalises it. */
enum csl_code csl_database_finish(const struct csl_database *d, struct sqlite3_stmt *q,
                                  struct csl_err *err) CSL_MUST_CHECK;

/* SQLite has only signed integers: the same 64 bits. */
void csl_database_bind_u64(struct sqlite3_stmt *q, int at, uint64_t v);
uint64_t csl_database_column_u64(struct sqlite3_stmt *q, int at);

#endif
