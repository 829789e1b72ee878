#include "coordinator/store/store.h"

#include "base/check.h"
#include "base/database.h"
#include "base/le.h"
#include "base/mem.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char schema_sql[] =
    "CREATE TABLE study (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL,"
    "  digest BLOB NOT NULL, state INTEGER NOT NULL, rounds_done INTEGER NOT NULL,"
    "  is_evaluating INTEGER NOT NULL, seed INTEGER NOT NULL) STRICT;"
    "CREATE TABLE member (site TEXT PRIMARY KEY, membership INTEGER NOT NULL,"
    "  rounds_contributed INTEGER NOT NULL, blocks BLOB NOT NULL) STRICT;"
    "CREATE TABLE held_update (site TEXT PRIMARY KEY, round INTEGER NOT NULL,"
    "  bytes_total INTEGER NOT NULL, digest BLOB NOT NULL, train_loss REAL NOT NULL,"
    "  blocks BLOB NOT NULL) STRICT;"
    "CREATE TABLE round (round INTEGER PRIMARY KEY, contributions INTEGER NOT NULL,"
    "  train_loss REAL NOT NULL) STRICT;"
    "CREATE TABLE evaluation (round INTEGER NOT NULL, site TEXT NOT NULL, block INTEGER NOT NULL,"
    "  report BLOB NOT NULL, PRIMARY KEY (round, site, block)) STRICT, WITHOUT ROWID;";
/* Came later, beside tables that did not change: a store of before gets it when it is opened. */
static const char publication_sql[] =
    "CREATE TABLE IF NOT EXISTS publication (round INTEGER NOT NULL, domain INTEGER NOT NULL,"
    "  sites INTEGER NOT NULL, words BLOB NOT NULL, PRIMARY KEY (round, domain))"
    "  STRICT, WITHOUT ROWID;";

static const struct csl_database_format format = {
    .application_id = 0x43534c43, /* "CSLC" */
    .version = 1,
    .what = "coordinator's store",
    .schema_sql = schema_sql,
};

/* Beside the version: a store of before has no such table, and nothing to put there. */
static const char task_sql[] =
    "CREATE TABLE IF NOT EXISTS task (site TEXT PRIMARY KEY, round INTEGER NOT NULL,"
    "  model_digest BLOB NOT NULL) STRICT;";

struct csl_store {
    struct csl_database d;
};

enum csl_code csl_store_open(struct csl_store **out, const char *path, struct csl_err *err)
{
    struct csl_store *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to open %s", path);
    enum csl_code code = csl_database_open(&s->d, path, &format, 0, err);
    if (code == CSL_OK)
        code = csl_database_exec(&s->d, task_sql, err);
    if (code == CSL_OK)
        code = csl_database_exec(&s->d, publication_sql, err);
    if (code != CSL_OK) {
        csl_store_close(s);
        return code;
    }
    *out = s;
    return CSL_OK;
}

void csl_store_close(struct csl_store *s)
{
    if (s == NULL)
        return;
    csl_database_close(&s->d);
    csl_free(s);
}

#define BLOCK_BYTES 12 /* u32 block, u64 patients, little-endian */

static size_t pack_blocks(uint8_t *out, uint32_t count, const struct csl_block_count *blocks)
{
    CSL_ASSERT(count <= CSL_BLOCKS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        csl_store_le32(out + (size_t)i * BLOCK_BYTES, blocks[i].block);
        csl_store_le64(out + (size_t)i * BLOCK_BYTES + 4, blocks[i].patients);
    }
    return (size_t)count * BLOCK_BYTES;
}

static enum csl_code unpack_blocks(const struct csl_store *s, sqlite3_stmt *q, int column,
                                   uint32_t *count, struct csl_block_count *blocks,
                                   struct csl_err *err)
{
    const uint8_t *p = sqlite3_column_blob(q, column);
    size_t n = (size_t)sqlite3_column_bytes(q, column);
    if (n % BLOCK_BYTES != 0 || n / BLOCK_BYTES > CSL_BLOCKS_MAX)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: a list of blocks has %zu bytes", s->d.path, n);
    *count = (uint32_t)(n / BLOCK_BYTES);
    for (uint32_t i = 0; i < *count; i++) {
        blocks[i].block = csl_load_le32(p + (size_t)i * BLOCK_BYTES);
        blocks[i].patients = csl_load_le64(p + (size_t)i * BLOCK_BYTES + 4);
    }
    return CSL_OK;
}

static enum csl_code column_text(const struct csl_store *s, sqlite3_stmt *q, int at, char *out,
                                 size_t n, struct csl_err *err)
{
    const unsigned char *text = sqlite3_column_text(q, at);
    if (text == NULL || !csl_str_copy(out, n, (const char *)text))
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: a text is missing or too long", s->d.path);
    return CSL_OK;
}

static enum csl_code column_digest(const struct csl_store *s, sqlite3_stmt *q, int at,
                                   uint8_t out[CSL_DIGEST_BYTES], struct csl_err *err)
{
    if (sqlite3_column_bytes(q, at) != CSL_DIGEST_BYTES)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: a digest has the wrong length", s->d.path);
    memcpy(out, sqlite3_column_blob(q, at), CSL_DIGEST_BYTES);
    return CSL_OK;
}

enum csl_code csl_store_load_study(struct csl_store *s, struct csl_store_study *out, bool *found,
                                   struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code = csl_database_prepare(
        &s->d, "SELECT id, digest, state, rounds_done, is_evaluating, seed FROM study", &q, err);
    if (code != CSL_OK)
        return code;
    int rc = sqlite3_step(q);
    struct csl_store_study study = {.state = 0};
    if (rc == SQLITE_ROW) {
        code = column_text(s, q, 0, study.id, sizeof(study.id), err);
        if (code == CSL_OK)
            code = column_digest(s, q, 1, study.digest, err);
        study.state = (uint32_t)sqlite3_column_int64(q, 2);
        study.rounds_done = csl_database_column_u64(q, 3);
        study.is_evaluating = sqlite3_column_int(q, 4) != 0;
        study.seed = csl_database_column_u64(q, 5);
    } else if (rc != SQLITE_DONE) {
        code = csl_database_fail(&s->d, err);
    }
    sqlite3_finalize(q);
    if (code != CSL_OK)
        return code;
    *found = rc == SQLITE_ROW;
    if (*found)
        *out = study;
    return CSL_OK;
}

enum csl_code csl_store_save_study(struct csl_store *s, const struct csl_store_study *study,
                                   struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code = csl_database_prepare(
        &s->d, "INSERT OR REPLACE INTO study VALUES (1, ?, ?, ?, ?, ?, ?)", &q, err);
    if (code != CSL_OK)
        return code;
    sqlite3_bind_text(q, 1, study->id, -1, SQLITE_STATIC);
    sqlite3_bind_blob(q, 2, study->digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, study->state);
    csl_database_bind_u64(q, 4, study->rounds_done);
    sqlite3_bind_int(q, 5, study->is_evaluating);
    csl_database_bind_u64(q, 6, study->seed);
    return csl_database_finish(&s->d, q, err);
}

static enum csl_code save_round(struct csl_store *s, const struct csl_store_round *r,
                                struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code = csl_database_prepare(&s->d, "INSERT INTO round VALUES (?, ?, ?)", &q, err);
    if (code != CSL_OK)
        return code;
    csl_database_bind_u64(q, 1, r->round);
    sqlite3_bind_int64(q, 2, r->contributions);
    sqlite3_bind_double(q, 3, r->train_loss);
    return csl_database_finish(&s->d, q, err);
}

static enum csl_code run_for(struct csl_store *s, const char *sql, const char *site,
                             struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code = csl_database_prepare(&s->d, sql, &q, err);
    if (code != CSL_OK)
        return code;
    sqlite3_bind_text(q, 1, site, -1, SQLITE_STATIC);
    return csl_database_finish(&s->d, q, err);
}

/* Nothing that would let its update be asked for, or counted, once more. */
static enum csl_code count_contribution(struct csl_store *s, const char *site, struct csl_err *err)
{
    enum csl_code code =
        run_for(s, "UPDATE member SET rounds_contributed = rounds_contributed + 1 WHERE site = ?",
                site, err);
    if (code == CSL_OK)
        code = run_for(s, "DELETE FROM held_update WHERE site = ?", site, err);
    return code == CSL_OK ? run_for(s, "DELETE FROM task WHERE site = ?", site, err) : code;
}

enum csl_code csl_store_commit_round(struct csl_store *s, const struct csl_store_study *study,
                                     const struct csl_store_round *round,
                                     const char *const *contributed, uint32_t contributed_count,
                                     struct csl_err *err)
{
    enum csl_code code = csl_database_exec(&s->d, "BEGIN IMMEDIATE", err);
    if (code != CSL_OK)
        return code;
    code = csl_store_save_study(s, study, err);
    if (code == CSL_OK)
        code = save_round(s, round, err);
    for (uint32_t i = 0; code == CSL_OK && i < contributed_count; i++)
        code = count_contribution(s, contributed[i], err);
    if (code == CSL_OK)
        code = csl_database_exec(&s->d, "COMMIT", err);
    if (code != CSL_OK)
        sqlite3_exec(s->d.db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

enum csl_code csl_store_save_member(struct csl_store *s, const struct csl_store_member *m,
                                    struct csl_err *err)
{
    uint8_t blocks[CSL_BLOCKS_MAX * BLOCK_BYTES];
    sqlite3_stmt *q = NULL;
    enum csl_code code =
        csl_database_prepare(&s->d, "INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?)", &q, err);
    if (code != CSL_OK)
        return code;
    sqlite3_bind_text(q, 1, m->site, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, m->membership);
    csl_database_bind_u64(q, 3, m->rounds_contributed);
    sqlite3_bind_blob(q, 4, blocks, (int)pack_blocks(blocks, m->block_count, m->blocks),
                      SQLITE_STATIC);
    return csl_database_finish(&s->d, q, err);
}

enum csl_code csl_store_save_update(struct csl_store *s, const struct csl_store_update *u,
                                    struct csl_err *err)
{
    uint8_t blocks[CSL_BLOCKS_MAX * BLOCK_BYTES];
    sqlite3_stmt *q = NULL;
    enum csl_code code = csl_database_prepare(
        &s->d, "INSERT OR REPLACE INTO held_update VALUES (?, ?, ?, ?, ?, ?)", &q, err);
    if (code != CSL_OK)
        return code;
    sqlite3_bind_text(q, 1, u->site, -1, SQLITE_STATIC);
    csl_database_bind_u64(q, 2, u->round);
    csl_database_bind_u64(q, 3, u->bytes_total);
    sqlite3_bind_blob(q, 4, u->digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    sqlite3_bind_double(q, 5, u->train_loss);
    sqlite3_bind_blob(q, 6, blocks, (int)pack_blocks(blocks, u->block_count, u->blocks),
                      SQLITE_STATIC);
    return csl_database_finish(&s->d, q, err);
}

enum csl_code csl_store_save_task(struct csl_store *s, const struct csl_store_task *t,
                                  struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code =
        csl_database_prepare(&s->d, "INSERT OR REPLACE INTO task VALUES (?, ?, ?)", &q, err);
    if (code != CSL_OK)
        return code;
    sqlite3_bind_text(q, 1, t->site, -1, SQLITE_STATIC);
    csl_database_bind_u64(q, 2, t->round);
    sqlite3_bind_blob(q, 3, t->model_digest, CSL_DIGEST_BYTES, SQLITE_STATIC);
    return csl_database_finish(&s->d, q, err);
}

/* A report is stored as the canonical message bytes of an evaluation with one block: one format. */
enum csl_code csl_store_forget_updates(struct csl_store *s, struct csl_err *err)
{
    return csl_database_exec(&s->d, "DELETE FROM held_update", err);
}

enum csl_code csl_store_save_evaluation(struct csl_store *s, const struct csl_store_evaluation *e,
                                        struct csl_err *err)
{
    struct csl_eval_block block = e->block;
    struct csl_message m = {.kind = CSL_MSG_EVALUATION, .sequence = 1};
    m.u.evaluation =
        (struct csl_msg_evaluation){.round = e->round, .block_count = 1, .blocks = &block};
    struct csl_msg bytes;
    enum csl_code code = csl_message_encode(&m, &bytes, err);
    if (code != CSL_OK)
        return code;
    sqlite3_stmt *q = NULL;
    code = csl_database_prepare(&s->d, "INSERT OR REPLACE INTO evaluation VALUES (?, ?, ?, ?)", &q,
                                err);
    if (code == CSL_OK) {
        csl_database_bind_u64(q, 1, e->round);
        sqlite3_bind_text(q, 2, e->site, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 3, e->block.block);
        sqlite3_bind_blob(q, 4, bytes.p, (int)bytes.n, SQLITE_STATIC);
        code = csl_database_finish(&s->d, q, err);
    }
    csl_msg_release(&bytes);
    return code;
}

enum csl_code csl_store_save_publication(struct csl_store *s, const struct csl_store_publication *p,
                                         struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    CSL_ASSERT(p->word_count <= CSL_STORE_WORDS_MAX);
    size_t bytes = (size_t)p->word_count * sizeof(*p->words);
    uint8_t *le = csl_alloc(bytes > 0 ? bytes : 1);
    if (le == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to store a publication");
    for (size_t i = 0; i < p->word_count; i++)
        csl_store_le64(le + 8 * i, p->words[i]);
    enum csl_code code = csl_database_prepare(
        &s->d, "INSERT OR REPLACE INTO publication VALUES (?, ?, ?, ?)", &q, err);
    if (code == CSL_OK) {
        csl_database_bind_u64(q, 1, p->round);
        sqlite3_bind_int64(q, 2, p->domain);
        sqlite3_bind_int64(q, 3, p->sites);
        sqlite3_bind_blob(q, 4, le, (int)bytes, SQLITE_STATIC);
        code = csl_database_finish(&s->d, q, err);
    }
    csl_free(le);
    return code;
}

/* Steps q through its rows; `row` turns one into the caller's struct and visits it. */
static enum csl_code each(struct csl_store *s, const char *sql,
                          enum csl_code (*row)(struct csl_store *s, sqlite3_stmt *q, void *ctx,
                                               struct csl_err *err),
                          void *ctx, struct csl_err *err)
{
    sqlite3_stmt *q = NULL;
    enum csl_code code = csl_database_prepare(&s->d, sql, &q, err);
    while (code == CSL_OK) {
        int rc = sqlite3_step(q);
        if (rc == SQLITE_DONE)
            break;
        code = rc == SQLITE_ROW ? row(s, q, ctx, err) : csl_database_fail(&s->d, err);
    }
    sqlite3_finalize(q);
    return code;
}

struct visitor { /* exactly one of the functions is set */
    enum csl_code (*member)(void *, const struct csl_store_member *, struct csl_err *);
    enum csl_code (*update)(void *, const struct csl_store_update *, struct csl_err *);
    enum csl_code (*task)(void *, const struct csl_store_task *, struct csl_err *);
    enum csl_code (*round)(void *, const struct csl_store_round *, struct csl_err *);
    enum csl_code (*evaluation)(void *, const struct csl_store_evaluation *, struct csl_err *);
    enum csl_code (*publication)(void *, const struct csl_store_publication *, struct csl_err *);
    void *ctx;
};

static enum csl_code member_row(struct csl_store *s, sqlite3_stmt *q, void *ctx,
                                struct csl_err *err)
{
    struct visitor *v = ctx;
    struct csl_store_member m = {.membership = (uint32_t)sqlite3_column_int64(q, 1),
                                 .rounds_contributed = csl_database_column_u64(q, 2)};
    enum csl_code code = column_text(s, q, 0, m.site, sizeof(m.site), err);
    if (code == CSL_OK)
        code = unpack_blocks(s, q, 3, &m.block_count, m.blocks, err);
    return code == CSL_OK ? v->member(v->ctx, &m, err) : code;
}

static enum csl_code update_row(struct csl_store *s, sqlite3_stmt *q, void *ctx,
                                struct csl_err *err)
{
    struct visitor *v = ctx;
    struct csl_store_update u = {.round = csl_database_column_u64(q, 1),
                                 .bytes_total = csl_database_column_u64(q, 2),
                                 .train_loss = sqlite3_column_double(q, 4)};
    enum csl_code code = column_text(s, q, 0, u.site, sizeof(u.site), err);
    if (code == CSL_OK)
        code = column_digest(s, q, 3, u.digest, err);
    if (code == CSL_OK)
        code = unpack_blocks(s, q, 5, &u.block_count, u.blocks, err);
    return code == CSL_OK ? v->update(v->ctx, &u, err) : code;
}

static enum csl_code task_row(struct csl_store *s, sqlite3_stmt *q, void *ctx, struct csl_err *err)
{
    struct visitor *v = ctx;
    struct csl_store_task t = {.round = csl_database_column_u64(q, 1)};
    enum csl_code code = column_text(s, q, 0, t.site, sizeof(t.site), err);
    if (code == CSL_OK)
        code = column_digest(s, q, 2, t.model_digest, err);
    return code == CSL_OK ? v->task(v->ctx, &t, err) : code;
}

static enum csl_code round_row(struct csl_store *s, sqlite3_stmt *q, void *ctx, struct csl_err *err)
{
    (void)s;
    struct visitor *v = ctx;
    struct csl_store_round r = {.round = csl_database_column_u64(q, 0),
                                .contributions = (uint32_t)sqlite3_column_int64(q, 1),
                                .train_loss = sqlite3_column_double(q, 2)};
    return v->round(v->ctx, &r, err);
}

static enum csl_code evaluation_row(struct csl_store *s, sqlite3_stmt *q, void *ctx,
                                    struct csl_err *err)
{
    struct visitor *v = ctx;
    struct csl_store_evaluation e = {.round = csl_database_column_u64(q, 0)};
    enum csl_code code = column_text(s, q, 1, e.site, sizeof(e.site), err);
    if (code != CSL_OK)
        return code;
    struct csl_message m;
    struct csl_span bytes = CSL_SPAN(sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
    if (csl_message_decode(&m, CSL_TO_COORDINATOR, bytes, NULL) != CSL_OK)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: an evaluation report does not decode", s->d.path);
    if (m.kind == CSL_MSG_EVALUATION && m.u.evaluation.block_count == 1) {
        e.block = m.u.evaluation.blocks[0];
        code = v->evaluation(v->ctx, &e, err);
    } else {
        code =
            CSL_FAIL(err, CSL_E_CORRUPT, "%s: an evaluation row holds something else", s->d.path);
    }
    csl_message_release(&m);
    return code;
}

enum csl_code csl_store_each_member(struct csl_store *s,
                                    enum csl_code (*visit)(void *ctx,
                                                           const struct csl_store_member *m,
                                                           struct csl_err *err),
                                    void *ctx, struct csl_err *err)
{
    struct visitor v = {.member = visit, .ctx = ctx};
    return each(s, "SELECT site, membership, rounds_contributed, blocks FROM member ORDER BY site",
                member_row, &v, err);
}

enum csl_code csl_store_each_update(struct csl_store *s,
                                    enum csl_code (*visit)(void *ctx,
                                                           const struct csl_store_update *u,
                                                           struct csl_err *err),
                                    void *ctx, struct csl_err *err)
{
    struct visitor v = {.update = visit, .ctx = ctx};
    return each(s,
                "SELECT site, round, bytes_total, digest, train_loss, blocks FROM held_update "
                "ORDER BY site",
                update_row, &v, err);
}

enum csl_code csl_store_each_task(struct csl_store *s,
                                  enum csl_code (*visit)(void *ctx, const struct csl_store_task *t,
                                                         struct csl_err *err),
                                  void *ctx, struct csl_err *err)
{
    struct visitor v = {.task = visit, .ctx = ctx};
    return each(s, "SELECT site, round, model_digest FROM task ORDER BY site", task_row, &v, err);
}

enum csl_code csl_store_each_round(struct csl_store *s,
                                   enum csl_code (*visit)(void *ctx,
                                                          const struct csl_store_round *r,
                                                          struct csl_err *err),
                                   void *ctx, struct csl_err *err)
{
    struct visitor v = {.round = visit, .ctx = ctx};
    return each(s, "SELECT round, contributions, train_loss FROM round ORDER BY round", round_row,
                &v, err);
}

enum csl_code csl_store_each_evaluation(struct csl_store *s,
                                        enum csl_code (*visit)(void *ctx,
                                                               const struct csl_store_evaluation *e,
                                                               struct csl_err *err),
                                        void *ctx, struct csl_err *err)
{
    struct visitor v = {.evaluation = visit, .ctx = ctx};
    return each(s, "SELECT round, site, report FROM evaluation ORDER BY round, site, block",
                evaluation_row, &v, err);
}

static enum csl_code publication_row(struct csl_store *s, sqlite3_stmt *q, void *ctx,
                                     struct csl_err *err)
{
    struct visitor *v = ctx;
    uint64_t words[CSL_STORE_WORDS_MAX];
    const uint8_t *le = sqlite3_column_blob(q, 3);
    size_t bytes = (size_t)sqlite3_column_bytes(q, 3);
    struct csl_store_publication p = {.round = csl_database_column_u64(q, 0),
                                      .domain = (uint32_t)sqlite3_column_int64(q, 1),
                                      .sites = (uint32_t)sqlite3_column_int64(q, 2),
                                      .word_count = bytes / 8,
                                      .words = words};
    if (bytes % 8 != 0 || p.word_count > CSL_STORE_WORDS_MAX)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: a publication has %zu bytes", s->d.path, bytes);
    for (size_t i = 0; i < p.word_count; i++)
        words[i] = csl_load_le64(le + 8 * i);
    return v->publication(v->ctx, &p, err);
}

enum csl_code csl_store_each_publication(
    struct csl_store *s,
    enum csl_code (*visit)(void *ctx, const struct csl_store_publication *p, struct csl_err *err),
    void *ctx, struct csl_err *err)
{
    struct visitor v = {.publication = visit, .ctx = ctx};
    return each(s, "SELECT round, domain, sites, words FROM publication ORDER BY round, domain",
                publication_row, &v, err);
}
