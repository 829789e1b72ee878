#include "site-agent/store/site_store.h"

#include "base/check.h"
#include "base/database.h"
#include "base/le.h"
#include "base/mem.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES 12 /* u32 block, u64 patients, little-endian */

static const char schema_sql[] =
    "CREATE TABLE memory (one INTEGER PRIMARY KEY CHECK (one = 1), study_digest BLOB,"
    "  manifest BLOB, control_round INTEGER NOT NULL, outbox_round INTEGER NOT NULL,"
    "  outbox_bytes INTEGER NOT NULL, outbox_digest BLOB NOT NULL, outbox_loss REAL NOT NULL,"
    "  outbox_blocks BLOB NOT NULL, outbox_model BLOB NOT NULL,"
    "  control_run INTEGER NOT NULL) STRICT;";

static const struct csl_database_format format = {
    .application_id = 0x43534c53, /* "CSLS" */
    .version = 3,
    .what = "site's store",
    .schema_sql = schema_sql,
};

struct csl_site_store {
    struct csl_database d;
};

void csl_site_memory_release(struct csl_site_memory *m)
{
    csl_msg_release(&m->manifest);
    *m = (struct csl_site_memory){.has_study = false};
}

enum csl_code csl_site_store_open(struct csl_site_store **out, const char *path,
                                  struct csl_err *err)
{
    struct csl_site_store *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to open %s", path);
    /* Opened by the core thread, saved by the worker too. */
    enum csl_code code = csl_database_open(&s->d, path, &format, CSL_DATABASE_SHARED, err);
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
    csl_database_close(&s->d);
    csl_free(s);
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
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: the site's row is damaged", s->d.path);
    m->control_round = csl_database_column_u64(q, 2);
    m->control_run = csl_database_column_u64(q, 9);
    m->outbox.round = csl_database_column_u64(q, 3);
    m->outbox.bytes_total = csl_database_column_u64(q, 4);
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
                      " outbox_digest, outbox_loss, outbox_blocks, outbox_model,"
                      " control_run FROM memory";
    enum csl_code code = csl_database_prepare(&s->d, sql, &q, err);
    if (code != CSL_OK)
        return code;
    struct csl_site_memory m = {.has_study = false};
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        code = read_row(s, q, &m, err);
    else if (rc != SQLITE_DONE)
        code = csl_database_fail(&s->d, err);
    sqlite3_finalize(q);
    if (code == CSL_OK)
        *out = m;
    return code;
}

enum csl_code csl_site_store_save(struct csl_site_store *s, const struct csl_site_memory *m,
                                  struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    const char *sql = "INSERT OR REPLACE INTO memory VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    enum csl_code code = csl_database_prepare(&s->d, sql, &q, err);
    if (code != CSL_OK)
        return code;
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
    csl_database_bind_u64(q, 3, m->control_round);
    csl_database_bind_u64(q, 4, m->outbox.round);
    csl_database_bind_u64(q, 5, m->outbox.bytes_total);
    sqlite3_bind_blob(q, 6, m->outbox.digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    sqlite3_bind_double(q, 7, m->outbox.train_loss);
    sqlite3_bind_blob(q, 8, blocks, (int)(m->outbox.block_count * BLOCK_BYTES), SQLITE_STATIC);
    sqlite3_bind_blob(q, 9, m->outbox.model_digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    csl_database_bind_u64(q, 10, m->control_run);
    return csl_database_finish(&s->d, q, err);
}
