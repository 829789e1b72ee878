#include "base/database.h"

#include "base/check.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 5000

enum csl_code csl_database_fail(const struct csl_database *d, struct csl_err *err)
{
    int rc = sqlite3_errcode(d->db) & 0xff;
    enum csl_code code = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? CSL_E_CORRUPT
                         : rc == SQLITE_NOMEM                        ? CSL_E_NOMEM
                                                                     : CSL_E_IO;
    return CSL_FAIL(err, code, "%s: %s", d->path, sqlite3_errmsg(d->db));
}

enum csl_code csl_database_exec(const struct csl_database *d, const char *sql, struct csl_err *err)
{
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? CSL_OK
                                                                   : csl_database_fail(d, err);
}

enum csl_code csl_database_prepare(const struct csl_database *d, const char *sql,
                                   struct sqlite3_stmt **out, struct csl_err *err)
{
    return sqlite3_prepare_v2(d->db, sql, -1, out, NULL) == SQLITE_OK ? CSL_OK
                                                                      : csl_database_fail(d, err);
}

enum csl_code csl_database_finish(const struct csl_database *d, struct sqlite3_stmt *q,
                                  struct csl_err *err)
{
    enum csl_code code = sqlite3_step(q) == SQLITE_DONE ? CSL_OK : csl_database_fail(d, err);
    sqlite3_finalize(q);
    return code;
}

void csl_database_bind_u64(struct sqlite3_stmt *q, int at, uint64_t v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    sqlite3_bind_int64(q, at, bits);
}

uint64_t csl_database_column_u64(struct sqlite3_stmt *q, int at)
{
    int64_t bits = sqlite3_column_int64(q, at);
    uint64_t v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static enum csl_code read_number(const struct csl_database *d, const char *sql, int64_t *out,
                                 struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code = csl_database_prepare(d, sql, &q, err);
    if (code == CSL_OK && sqlite3_step(q) == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    else if (code == CSL_OK)
        code = csl_database_fail(d, err);
    sqlite3_finalize(q);
    return code;
}

static enum csl_code create(const struct csl_database *d, const struct csl_database_format *f,
                            struct csl_err *err)
{
    char sql[2048];
    int n = snprintf(sql, sizeof(sql),
                     "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d;"
                     " COMMIT;",
                     f->schema_sql, f->application_id, f->version);
    CSL_ASSERT(n > 0 && (size_t)n < sizeof(sql));
    return csl_database_exec(d, sql, err);
}

static enum csl_code set_up(const struct csl_database *d, const struct csl_database_format *f,
                            bool is_read_only, struct csl_err *err)
{
    int64_t application = 0, version = 0, tables = 0;
    enum csl_code code = read_number(d, "PRAGMA application_id", &application, err);
    if (code == CSL_OK)
        code = read_number(d, "PRAGMA user_version", &version, err);
    if (code == CSL_OK)
        code = read_number(d, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (code != CSL_OK)
        return code;
    bool is_new = application == 0 && version == 0 && tables == 0;
    /* before anything of it is changed */
    if ((!is_new || is_read_only) && application != f->application_id)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s is no %s but a database of another program",
                        d->path, f->what);
    if (!is_new && version != f->version)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s has format %lld; this program reads format %d",
                        d->path, (long long)version, f->version);
    if (is_read_only)
        return CSL_OK;
    code = csl_database_exec(d, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", err);
    return code == CSL_OK && is_new ? create(d, f, err) : code;
}

enum csl_code csl_database_open(struct csl_database *out, const char *path,
                                const struct csl_database_format *format, int flags,
                                struct csl_err *err)
{
    struct csl_database d = {.db = NULL};
    bool is_read_only = (flags & CSL_DATABASE_READ_ONLY) != 0;
    int mode = is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    mode |= (flags & CSL_DATABASE_SHARED) != 0 ? SQLITE_OPEN_FULLMUTEX : SQLITE_OPEN_NOMUTEX;
    *out = d;
    if (!csl_str_copy(d.path, sizeof(d.path), path))
        return CSL_FAIL(err, CSL_E_LIMIT, "the path of the %s is too long", format->what);
    if (is_read_only && !csl_file_exists(path))
        return CSL_FAIL(err, CSL_E_NOTFOUND, "%s: no such %s", path, format->what);
    enum csl_code code = CSL_OK;
    if (sqlite3_open_v2(path, &d.db, mode, NULL) != SQLITE_OK)
        code = CSL_FAIL(err, CSL_E_IO, "%s: %s", path, sqlite3_errmsg(d.db));
    if (code == CSL_OK) {
        sqlite3_busy_timeout(d.db, BUSY_TIMEOUT_MS);
        code = set_up(&d, format, is_read_only, err);
    }
    if (code != CSL_OK)
        csl_database_close(&d);
    else
        *out = d;
    return code;
}

void csl_database_close(struct csl_database *d)
{
    sqlite3_close(d->db);
    d->db = NULL;
}
