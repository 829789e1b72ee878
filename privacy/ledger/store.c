#include "privacy/ledger/store.h"

#include "base/check.h"
#include "base/database.h"
#include "base/mem.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* study and round are set for charge and publish alone, and are only a way to find them: what
 * counts is in `bytes`. */
static const char schema_sql[] =
    "CREATE TABLE entry (idx INTEGER PRIMARY KEY, bytes BLOB NOT NULL, signature BLOB NOT NULL,"
    "  study BLOB, round INTEGER) STRICT;"
    "CREATE INDEX entry_round ON entry (study, round) WHERE study IS NOT NULL;";

static const struct csl_database_format format = {
    .application_id = 0x43534c4c, /* "CSLL" */
    .version = 1,
    .what = "ledger",
    .schema_sql = schema_sql,
};

struct csl_ledger_store {
    struct csl_database d;
    sqlite3_stmt *insert, *walk, *find;
};

static enum csl_code prepare(struct csl_ledger_store *s, bool is_read_only, struct csl_err *err)
{
    const char *insert = "INSERT INTO entry VALUES (?, ?, ?, ?, ?)";
    const char *walk = "SELECT bytes, signature, idx FROM entry WHERE idx >= ? ORDER BY idx";
    const char *find = "SELECT bytes FROM entry WHERE study = ? AND round = ?"
                       " ORDER BY idx DESC LIMIT 1";
    enum csl_code code = CSL_OK;
    if (!is_read_only)
        code = csl_database_prepare(&s->d, insert, &s->insert, err);
    if (code == CSL_OK)
        code = csl_database_prepare(&s->d, walk, &s->walk, err);
    if (code == CSL_OK)
        code = csl_database_prepare(&s->d, find, &s->find, err);
    return code;
}

enum csl_code csl_ledger_store__open(struct csl_ledger_store **out, const char *path,
                                     bool is_read_only, struct csl_err *err)
{
    struct csl_ledger_store *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to open %s", path);
    int flags = is_read_only ? CSL_DATABASE_READ_ONLY : 0;
    enum csl_code code = csl_database_open(&s->d, path, &format, flags, err);
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
    csl_database_close(&s->d);
    csl_free(s);
}

enum csl_code csl_ledger_store__append(struct csl_ledger_store *s, const struct csl_ledger_entry *e,
                                       struct csl_span bytes,
                                       const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                       struct csl_err *err)
{
    sqlite3_stmt *q = s->insert;
    CSL_ASSERT(bytes.n <= CSL_LEDGER_ENTRY_MAX);
    sqlite3_reset(s->walk); /* an open read would hold an old view of the file */
    csl_database_bind_u64(q, 1, e->index);
    sqlite3_bind_blob(q, 2, bytes.p, (int)bytes.n, SQLITE_STATIC);
    sqlite3_bind_blob(q, 3, signature, CSL_SIGN_SIGNATURE_BYTES, SQLITE_STATIC);
    if (e->kind == CSL_LEDGER_CHARGE || e->kind == CSL_LEDGER_PUBLISH) {
        sqlite3_bind_blob(q, 4, e->u.charge.study_digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
        csl_database_bind_u64(q, 5, e->u.charge.round);
    }
    int rc = sqlite3_step(q); /* commits by itself */
    enum csl_code code = CSL_OK;
    if ((rc & 0xff) == SQLITE_CONSTRAINT)
        code = CSL_FAIL(err, CSL_E_STATE, "%s: another process has appended to this ledger",
                        s->d.path);
    else if (rc != SQLITE_DONE)
        code = csl_database_fail(&s->d, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return code;
}

void csl_ledger_store__seek(struct csl_ledger_store *s, uint64_t index)
{
    sqlite3_reset(s->walk);
    csl_database_bind_u64(s->walk, 1, index);
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
        return csl_database_fail(&s->d, err);
    if (sqlite3_column_bytes(s->walk, 1) != CSL_SIGN_SIGNATURE_BYTES)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: entry %lld: the signature is damaged", s->d.path,
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
    csl_database_bind_u64(q, 2, round);
    int rc = sqlite3_step(q);
    enum csl_code code;
    if (rc == SQLITE_ROW)
        code = csl_ledger_entry_decode(
            out, CSL_SPAN(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0)), err);
    else if (rc == SQLITE_DONE)
        code = CSL_FAIL(err, CSL_E_NOTFOUND, "nothing was charged for this round");
    else
        code = csl_database_fail(&s->d, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return code;
}
