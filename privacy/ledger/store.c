#include "privacy/ledger/store.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID  0x43534c4c /* "CSLL" */
#define USER_VERSION    1          /* another schema is another version */
#define BUSY_TIMEOUT_MS 5000

/* study and round are set for charge and publish alone, and are only a way to find them: what
 * counts is in `bytes`. */
static const char schema_sql[] =
    "CREATE TABLE entry (idx INTEGER PRIMARY KEY, bytes BLOB NOT NULL, signature BLOB NOT NULL,"
    "  study BLOB, round INTEGER) STRICT;"
    "CREATE INDEX entry_round ON entry (study, round) WHERE study IS NOT NULL;";

struct csl_ledger_store {
    sqlite3 *db;
    sqlite3_stmt *insert, *walk, *find;
    char path[CSL_PATH_MAX];
};

static enum csl_code fail(const struct csl_ledger_store *s, struct csl_err *err)
{
    int rc = sqlite3_errcode(s->db) & 0xff;
    enum csl_code code = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? CSL_E_CORRUPT : CSL_E_IO;
    return CSL_FAIL(err, code, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

static enum csl_code read_number(struct csl_ledger_store *s, const char *sql, int64_t *out,
                                 struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code = CSL_OK;
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    else
        code = fail(s, err);
    sqlite3_finalize(q);
    return code;
}

static enum csl_code set_up(struct csl_ledger_store *s, bool is_read_only, struct csl_err *err)
{
    int64_t application = 0, version = 0, tables = 0;
    enum csl_code code = read_number(s, "PRAGMA application_id", &application, err);
    if (code == CSL_OK)
        code = read_number(s, "PRAGMA user_version", &version, err);
    if (code == CSL_OK)
        code = read_number(s, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (code != CSL_OK)
        return code;
    bool is_new = application == 0 && version == 0 && tables == 0;
    if ((!is_new || is_read_only) && application != APPLICATION_ID)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s is no ledger", s->path);
    if (!is_new && version != USER_VERSION)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s has format %lld; this program reads format %d",
                        s->path, (long long)version, USER_VERSION);
    if (is_read_only)
        return CSL_OK;
    const char *modes = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
    if (sqlite3_exec(s->db, modes, NULL, NULL, NULL) != SQLITE_OK)
        return fail(s, err);
    if (!is_new)
        return CSL_OK;
    char sql[1024];
    snprintf(sql, sizeof(sql),
             "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
             schema_sql, APPLICATION_ID, USER_VERSION);
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? CSL_OK : fail(s, err);
}

static enum csl_code prepare(struct csl_ledger_store *s, bool is_read_only, struct csl_err *err)
{
    const char *insert = "INSERT INTO entry VALUES (?, ?, ?, ?, ?)";
    const char *walk = "SELECT bytes, signature, idx FROM entry WHERE idx >= ? ORDER BY idx";
    const char *find = "SELECT bytes FROM entry WHERE study = ? AND round = ?"
                       " ORDER BY idx DESC LIMIT 1";
    if (!is_read_only && sqlite3_prepare_v2(s->db, insert, -1, &s->insert, NULL) != SQLITE_OK)
        return fail(s, err);
    if (sqlite3_prepare_v2(s->db, walk, -1, &s->walk, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(s->db, find, -1, &s->find, NULL) != SQLITE_OK)
        return fail(s, err);
    return CSL_OK;
}

enum csl_code csl_ledger_store__open(struct csl_ledger_store **out, const char *path,
                                     bool is_read_only, struct csl_err *err)
{
    struct csl_ledger_store *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to open %s", path);
    enum csl_code code = CSL_OK;
    int flags = is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (!csl_str_copy(s->path, sizeof(s->path), path))
        code = CSL_FAIL(err, CSL_E_LIMIT, "path of the ledger is too long");
    else if (is_read_only && !csl_file_exists(path))
        code = CSL_FAIL(err, CSL_E_NOTFOUND, "%s: no such ledger", path);
    else if (sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        code = CSL_FAIL(err, CSL_E_IO, "%s: %s", path, sqlite3_errmsg(s->db));
    if (code == CSL_OK) {
        sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
        code = set_up(s, is_read_only, err);
    }
    if (code == CSL_OK)
        code = prepare(s, is_read_only, err);
    if (code != CSL_OK) {
        csl_ledger_store__close(s);
        return code;
    }
    *out = s;
    return CSL_OK;
}

void csl_ledger_store__close(struct csl_ledger_store *s)
{
    if (s == NULL)
        return;
    sqlite3_finalize(s->insert);
    sqlite3_finalize(s->walk);
    sqlite3_finalize(s->find);
    sqlite3_close(s->db);
    csl_free(s);
}

static int64_t as_signed(uint64_t v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof(bits)); /* SQLite has only signed integers: the same 64 bits */
    return bits;
}

enum csl_code csl_ledger_store__append(struct csl_ledger_store *s, const struct csl_ledger_entry *e,
                                       struct csl_span bytes,
                                       const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                       struct csl_err *err)
{
    sqlite3_stmt *q = s->insert;
    CSL_ASSERT(bytes.n <= CSL_LEDGER_ENTRY_MAX);
    sqlite3_reset(s->walk); /* an open read would hold an old view of the file */
    sqlite3_bind_int64(q, 1, as_signed(e->index));
    sqlite3_bind_blob(q, 2, bytes.p, (int)bytes.n, SQLITE_STATIC);
    sqlite3_bind_blob(q, 3, signature, CSL_SIGN_SIGNATURE_BYTES, SQLITE_STATIC);
    if (e->kind == CSL_LEDGER_CHARGE || e->kind == CSL_LEDGER_PUBLISH) {
        sqlite3_bind_blob(q, 4, e->u.charge.study_digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
        sqlite3_bind_int64(q, 5, as_signed(e->u.charge.round));
    }
    int rc = sqlite3_step(q); /* commits by itself */
    enum csl_code code = CSL_OK;
    if ((rc & 0xff) == SQLITE_CONSTRAINT)
        code =
            CSL_FAIL(err, CSL_E_STATE, "%s: another process has appended to this ledger", s->path);
    else if (rc != SQLITE_DONE)
        code = fail(s, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return code;
}

enum csl_code csl_ledger_store__seek(struct csl_ledger_store *s, uint64_t index,
                                     struct csl_err *err)
{
    sqlite3_reset(s->walk);
    if (sqlite3_bind_int64(s->walk, 1, as_signed(index)) != SQLITE_OK)
        return fail(s, err);
    return CSL_OK;
}

enum csl_code csl_ledger_store__next(struct csl_ledger_store *s, struct csl_span *bytes,
                                     uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                     struct csl_err *err)
{
    int rc = sqlite3_step(s->walk);
    if (rc == SQLITE_DONE) {
        sqlite3_reset(s->walk);
        return CSL_E_END;
    }
    if (rc != SQLITE_ROW)
        return fail(s, err);
    if (sqlite3_column_bytes(s->walk, 1) != CSL_SIGN_SIGNATURE_BYTES)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: entry %lld: the signature is damaged", s->path,
                        (long long)sqlite3_column_int64(s->walk, 2));
    memcpy(signature, sqlite3_column_blob(s->walk, 1), CSL_SIGN_SIGNATURE_BYTES);
    *bytes = CSL_SPAN(sqlite3_column_blob(s->walk, 0), (size_t)sqlite3_column_bytes(s->walk, 0));
    return CSL_OK;
}

enum csl_code csl_ledger_store__find_charge(struct csl_ledger_store *s,
                                            const uint8_t study_digest[CSL_DIGEST_BYTES],
                                            uint64_t round, struct csl_ledger_entry *out,
                                            struct csl_err *err)
{
    sqlite3_stmt *q = s->find;
    sqlite3_bind_blob(q, 1, study_digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, as_signed(round));
    int rc = sqlite3_step(q);
    enum csl_code code;
    if (rc == SQLITE_ROW)
        code = csl_ledger_entry_decode(
            out, CSL_SPAN(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0)), err);
    else if (rc == SQLITE_DONE)
        code = CSL_FAIL(err, CSL_E_NOTFOUND, "nothing was charged for this round");
    else
        code = fail(s, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return code;
}
