#include "site-agent/store/site_store.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x43534c53 /* "CSLS" */
#define USER_VERSION   2          /* another schema is another version */
#define BLOCK_BYTES    12         /* u32 block, u64 patients, little-endian */

static const char schema_sql[] =
    "CREATE TABLE memory (one INTEGER PRIMARY KEY CHECK (one = 1), study_digest BLOB,"
    "  manifest BLOB, control_round INTEGER NOT NULL, outbox_round INTEGER NOT NULL,"
    "  outbox_bytes INTEGER NOT NULL, outbox_digest BLOB NOT NULL, outbox_loss REAL NOT NULL,"
    "  outbox_blocks BLOB NOT NULL, outbox_model BLOB NOT NULL) STRICT;";

struct csl_site_store {
    sqlite3 *db;
    char path[1024];
};

void csl_site_memory_release(struct csl_site_memory *m)
{
    csl_msg_release(&m->manifest);
    *m = (struct csl_site_memory){.has_study = false};
}

static enum csl_code fail(const struct csl_site_store *s, struct csl_err *err)
{
    int rc = sqlite3_errcode(s->db) & 0xff;
    enum csl_code code = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? CSL_E_CORRUPT : CSL_E_IO;
    return CSL_FAIL(err, code, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

static enum csl_code read_number(struct csl_site_store *s, const char *sql, int64_t *out,
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

static enum csl_code set_up(struct csl_site_store *s, struct csl_err *err)
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
    if (!is_new && application != APPLICATION_ID) /* before anything of it is changed */
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s is a database of another program", s->path);
    if (!is_new && version != USER_VERSION)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s has format %lld; this program reads format %d",
                        s->path, (long long)version, USER_VERSION);
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

enum csl_code csl_site_store_open(struct csl_site_store **out, const char *path,
                                  struct csl_err *err)
{
    struct csl_site_store *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to open %s", path);
    enum csl_code code = CSL_OK;
    /* Opened by the core thread, saved by the worker too: SQLite serialises. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    if (!csl_str_copy(s->path, sizeof(s->path), path))
        code = CSL_FAIL(err, CSL_E_LIMIT, "path of the store is too long");
    else if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK)
        code = CSL_FAIL(err, CSL_E_IO, "%s: %s", path, sqlite3_errmsg(s->db));
    else
        code = set_up(s, err);
    if (code != CSL_OK) {
        csl_site_store_close(s);
        return code;
    }
    *out = s;
    return CSL_OK;
}

void csl_site_store_close(struct csl_site_store *s)
{
    if (s == NULL)
        return;
    sqlite3_close(s->db);
    csl_free(s);
}

static uint64_t column_u64(sqlite3_stmt *q, int at)
{
    int64_t bits = sqlite3_column_int64(q, at);
    uint64_t v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static void bind_u64(sqlite3_stmt *q, int at, uint64_t v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof(bits)); /* SQLite has only signed integers: the same 64 bits */
    sqlite3_bind_int64(q, at, bits);
}

static enum csl_code read_row(const struct csl_site_store *s, sqlite3_stmt *q,
                              struct csl_site_memory *m, struct csl_err *err)
{
    size_t blocks = (size_t)sqlite3_column_bytes(q, 7);
    m->has_study = sqlite3_column_type(q, 0) != SQLITE_NULL;
    bool is_whole = sqlite3_column_bytes(q, 5) == CSL_DIGEST_BYTES &&
                    sqlite3_column_bytes(q, 8) == CSL_DIGEST_BYTES && blocks % BLOCK_BYTES == 0 &&
                    blocks / BLOCK_BYTES <= CSL_BLOCKS_MAX &&
                    (!m->has_study || sqlite3_column_bytes(q, 0) == CSL_DIGEST_BYTES);
    if (!is_whole)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: the site's row is damaged", s->path);
    m->control_round = column_u64(q, 2);
    m->outbox.round = column_u64(q, 3);
    m->outbox.bytes_total = column_u64(q, 4);
    memcpy(m->outbox.digest, sqlite3_column_blob(q, 5), CSL_DIGEST_BYTES);
    memcpy(m->outbox.model_digest, sqlite3_column_blob(q, 8), CSL_DIGEST_BYTES);
    m->outbox.train_loss = sqlite3_column_double(q, 6);
    m->outbox.block_count = (uint32_t)(blocks / BLOCK_BYTES);
    const uint8_t *p = sqlite3_column_blob(q, 7);
    for (uint32_t i = 0; i < m->outbox.block_count; i++) {
        m->outbox.blocks[i].block = csl_load_le32(p + (size_t)i * BLOCK_BYTES);
        m->outbox.blocks[i].patients = csl_load_le64(p + (size_t)i * BLOCK_BYTES + 4);
    }
    if (!m->has_study)
        return CSL_OK;
    memcpy(m->study_digest, sqlite3_column_blob(q, 0), CSL_DIGEST_BYTES);
    struct csl_span manifest =
        CSL_SPAN(sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    return csl_msg_copy(&m->manifest, manifest, err);
}

enum csl_code csl_site_store_load(struct csl_site_store *s, struct csl_site_memory *out,
                                  struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    const char *sql = "SELECT study_digest, manifest, control_round, outbox_round, outbox_bytes,"
                      " outbox_digest, outbox_loss, outbox_blocks, outbox_model FROM memory";
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
        return fail(s, err);
    struct csl_site_memory m = {.has_study = false};
    int rc = sqlite3_step(q);
    enum csl_code code = rc == SQLITE_ROW    ? read_row(s, q, &m, err)
                         : rc == SQLITE_DONE ? CSL_OK
                                             : fail(s, err);
    sqlite3_finalize(q);
    if (code == CSL_OK)
        *out = m;
    return code;
}

enum csl_code csl_site_store_save(struct csl_site_store *s, const struct csl_site_memory *m,
                                  struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    const char *sql = "INSERT OR REPLACE INTO memory VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
        return fail(s, err);
    uint8_t blocks[CSL_BLOCKS_MAX * BLOCK_BYTES];
    CSL_ASSERT(m->outbox.block_count <= CSL_BLOCKS_MAX);
    for (uint32_t i = 0; i < m->outbox.block_count; i++) {
        csl_store_le32(blocks + (size_t)i * BLOCK_BYTES, m->outbox.blocks[i].block);
        csl_store_le64(blocks + (size_t)i * BLOCK_BYTES + 4, m->outbox.blocks[i].patients);
    }
    if (m->has_study) {
        sqlite3_bind_blob(q, 1, m->study_digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(q, 2, m->manifest.p, (int)m->manifest.n, SQLITE_STATIC);
    }
    bind_u64(q, 3, m->control_round);
    bind_u64(q, 4, m->outbox.round);
    bind_u64(q, 5, m->outbox.bytes_total);
    sqlite3_bind_blob(q, 6, m->outbox.digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    sqlite3_bind_double(q, 7, m->outbox.train_loss);
    sqlite3_bind_blob(q, 8, blocks, (int)(m->outbox.block_count * BLOCK_BYTES), SQLITE_STATIC);
    sqlite3_bind_blob(q, 9, m->outbox.model_digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    enum csl_code code = rc == SQLITE_DONE ? CSL_OK : fail(s, err);
    sqlite3_finalize(q);
    return code;
}
