/* The coordinator's store: what was saved is read back by another process, and what is not ours, or
 * damaged, or newer, is refused and left alone. */
#include "base/file.h"
#include "base/str.h"
#include "coordinator/store/store.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[CSL_PATH_MAX];

static int make_dir(void **state)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)state;
    snprintf(dir, sizeof(dir), "%.40s/csl-store-XXXXXX", base);
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/state.db", dir);
    return 0;
}

static int remove_dir(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    (void)state;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[CSL_PATH_MAX + 16];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static struct csl_store *open_store(void)
{
    struct csl_store *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    if (csl_store_open(&s, path, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static enum csl_code try_open(struct csl_err *err)
{
    struct csl_store *s = NULL;
    enum csl_code code = csl_store_open(&s, path, err);
    if (code != CSL_OK)
        assert_null(s);
    csl_store_close(s);
    return code;
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* --- round trip --- */

static struct csl_store_study some_study(void)
{
    struct csl_store_study s = {
        .id = "heart", .state = 2, .rounds_done = 3, .is_evaluating = true, .seed = UINT64_MAX - 1};
    for (uint32_t i = 0; i < CSL_DIGEST_BYTES; i++)
        s.digest[i] = (uint8_t)(i * 7);
    return s;
}

static void test_store__fresh__nothing_found(void **state)
{
    struct csl_store *s = open_store();
    struct csl_store_study study = some_study(), before = study;
    struct csl_err err = {.code = CSL_OK};
    bool found = true;
    (void)state;
    must(csl_store_load_study(s, &study, &found, &err), &err);
    assert_false(found);
    assert_memory_equal(&study, &before, sizeof(study));
    csl_store_close(s);
}

static void test_store__study_saved__read_back_after_reopening(void **state)
{
    struct csl_store *s = open_store();
    struct csl_store_study study = some_study(), back = {.state = 9};
    struct csl_err err = {.code = CSL_OK};
    bool found = false;
    (void)state;
    must(csl_store_save_study(s, &study, &err), &err);
    study.rounds_done = 4; /* the row is one: the second save replaces the first */
    must(csl_store_save_study(s, &study, &err), &err);
    csl_store_close(s);
    s = open_store();
    must(csl_store_load_study(s, &back, &found, &err), &err);
    assert_true(found);
    assert_string_equal(back.id, "heart");
    assert_memory_equal(back.digest, study.digest, CSL_DIGEST_BYTES);
    assert_int_equal(back.state, 2);
    assert_int_equal(back.rounds_done, 4);
    assert_true(back.is_evaluating);
    assert_true(back.seed == UINT64_MAX - 1);
    csl_store_close(s);
}

struct collected {
    struct csl_store_member members[4];
    struct csl_store_update updates[4];
    struct csl_store_task tasks[4];
    struct csl_store_round rounds[4];
    struct csl_store_evaluation evaluations[4];
    uint32_t count;
};

static enum csl_code take_member(void *ctx, const struct csl_store_member *m, struct csl_err *err)
{
    struct collected *c = ctx;
    (void)err;
    c->members[c->count++] = *m;
    return CSL_OK;
}

static enum csl_code take_update(void *ctx, const struct csl_store_update *u, struct csl_err *err)
{
    struct collected *c = ctx;
    (void)err;
    c->updates[c->count++] = *u;
    return CSL_OK;
}

static enum csl_code take_task(void *ctx, const struct csl_store_task *t, struct csl_err *err)
{
    struct collected *c = ctx;
    (void)err;
    c->tasks[c->count++] = *t;
    return CSL_OK;
}

static enum csl_code take_round(void *ctx, const struct csl_store_round *r, struct csl_err *err)
{
    struct collected *c = ctx;
    (void)err;
    c->rounds[c->count++] = *r;
    return CSL_OK;
}

static enum csl_code take_evaluation(void *ctx, const struct csl_store_evaluation *e,
                                     struct csl_err *err)
{
    struct collected *c = ctx;
    (void)err;
    c->evaluations[c->count++] = *e;
    return CSL_OK;
}

static enum csl_code stop_at_member(void *ctx, const struct csl_store_member *m,
                                    struct csl_err *err)
{
    (void)ctx;
    return CSL_FAIL(err, CSL_E_NOTFOUND, "%s", m->site);
}

static void save_members(struct csl_store *s)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_store_member m = {.site = "brno", .membership = 2};
    must(csl_store_save_member(s, &m, &err), &err);
    m = (struct csl_store_member){.site = "aarhus", .membership = 1, .block_count = CSL_BLOCKS_MAX};
    for (uint32_t i = 0; i < CSL_BLOCKS_MAX; i++)
        m.blocks[i] = (struct csl_block_count){i, UINT64_C(1) << (i % 60)};
    must(csl_store_save_member(s, &m, &err), &err);
}

static void test_store__members_saved__read_back_in_order(void **state)
{
    struct collected c = {.count = 0};
    struct csl_store *s = open_store();
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    save_members(s);
    csl_store_close(s);
    s = open_store();
    must(csl_store_each_member(s, take_member, &c, &err), &err);
    assert_int_equal(c.count, 2);
    assert_string_equal(c.members[0].site, "aarhus");
    assert_int_equal(c.members[0].membership, 1);
    assert_int_equal(c.members[0].block_count, CSL_BLOCKS_MAX);
    assert_int_equal(c.members[0].blocks[63].block, 63);
    assert_true(c.members[0].blocks[59].patients == UINT64_C(1) << 59);
    assert_string_equal(c.members[1].site, "brno");
    assert_int_equal(c.members[1].block_count, 0);
    /* A visitor's error is the caller's. */
    assert_int_equal(csl_store_each_member(s, stop_at_member, NULL, &err), CSL_E_NOTFOUND);
    assert_string_equal(err.msg, "aarhus");
    csl_store_close(s);
}

static void test_store__update_saved__read_back(void **state)
{
    struct collected c = {.count = 0};
    struct csl_store *s = open_store();
    struct csl_err err = {.code = CSL_OK};
    struct csl_store_update u = {.site = "aarhus",
                                 .round = 1,
                                 .bytes_total = 12,
                                 .train_loss = 0.125,
                                 .block_count = 1,
                                 .blocks = {{3, 17}}};
    (void)state;
    memset(u.digest, 0xab, sizeof(u.digest));
    must(csl_store_save_update(s, &u, &err), &err);
    u.round = 2; /* the newest of a site is the only one */
    must(csl_store_save_update(s, &u, &err), &err);
    csl_store_close(s);
    s = open_store();
    must(csl_store_each_update(s, take_update, &c, &err), &err);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.updates[0].round, 2);
    assert_int_equal(c.updates[0].bytes_total, 12);
    assert_true(c.updates[0].train_loss == 0.125);
    assert_int_equal(c.updates[0].blocks[0].block, 3);
    assert_int_equal(c.updates[0].blocks[0].patients, 17);
    assert_memory_equal(c.updates[0].digest, u.digest, CSL_DIGEST_BYTES);
    csl_store_close(s);
}

/* Of those who contributed: an update that is in a model must not be asked for again. */
static void test_store__round_committed__updates_and_tasks_of_it_gone(void **state)
{
    static const char *const contributed[] = {"aarhus"};
    static const char *const sites[] = {"aarhus", "brno"};
    struct collected c = {.count = 0};
    struct csl_store *s = open_store();
    struct csl_err err = {.code = CSL_OK};
    struct csl_store_study study = some_study();
    struct csl_store_round round = {7, 1, 0.5};
    (void)state;
    save_members(s);
    for (uint32_t i = 0; i < 2; i++) {
        struct csl_store_update u = {.round = 6 + i};
        struct csl_store_task t = {.round = 5, .model_digest = {1}};
        memcpy(u.site, sites[i], strlen(sites[i]));
        memcpy(t.site, sites[i], strlen(sites[i]));
        must(csl_store_save_update(s, &u, &err), &err);
        must(csl_store_save_task(s, &t, &err), &err);
        t.round = 6 + i; /* the newest of a site is the only one */
        t.model_digest[31] = (uint8_t)(9 + i);
        must(csl_store_save_task(s, &t, &err), &err);
    }
    must(csl_store_each_task(s, take_task, &c, &err), &err);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.tasks[0].round, 6);
    c.count = 0;
    must(csl_store_commit_round(s, &study, &round, contributed, 1, &err), &err);
    csl_store_close(s);
    s = open_store();
    must(csl_store_each_task(s, take_task, &c, &err), &err);
    assert_int_equal(c.count, 1);
    assert_string_equal(c.tasks[0].site, "brno");
    assert_int_equal(c.tasks[0].round, 7);
    assert_true(c.tasks[0].model_digest[0] == 1 && c.tasks[0].model_digest[31] == 10);
    c.count = 0;
    must(csl_store_each_update(s, take_update, &c, &err), &err);
    assert_int_equal(c.count, 1);
    assert_string_equal(c.updates[0].site, "brno");
    csl_store_close(s);
}

static void test_store__round_committed__all_or_nothing(void **state)
{
    static const char *const contributed[] = {"aarhus"};
    struct collected c = {.count = 0};
    struct csl_store *s = open_store();
    struct csl_err err = {.code = CSL_OK};
    struct csl_store_study study = some_study(), back;
    struct csl_store_round round = {1, 1, 0.5};
    bool found = false;
    (void)state;
    save_members(s);
    study.rounds_done = 1;
    must(csl_store_commit_round(s, &study, &round, contributed, 1, &err), &err);
    study.rounds_done = 99; /* the same round again is refused, and with it all that came along */
    assert_int_equal(csl_store_commit_round(s, &study, &round, contributed, 1, &err), CSL_E_IO);
    csl_store_close(s);
    s = open_store();
    must(csl_store_load_study(s, &back, &found, &err), &err);
    assert_int_equal(back.rounds_done, 1);
    must(csl_store_each_round(s, take_round, &c, &err), &err);
    assert_int_equal(c.count, 1);
    assert_true(c.rounds[0].round == 1 && c.rounds[0].contributions == 1 &&
                c.rounds[0].train_loss == 0.5);
    c.count = 0;
    must(csl_store_each_member(s, take_member, &c, &err), &err);
    assert_int_equal(c.members[0].rounds_contributed, 1);
    assert_int_equal(c.members[1].rounds_contributed, 0);
    csl_store_close(s);
}

static uint64_t seen_words[6];
static uint32_t seen_publications;

static enum csl_code take_publication(void *ctx, const struct csl_store_publication *p,
                                      struct csl_err *err)
{
    (void)ctx;
    (void)err;
    assert_int_equal(p->word_count, 3);
    assert_int_equal(p->round, 4);
    assert_int_equal(p->domain, seen_publications);
    assert_int_equal(p->sites, 5);
    memcpy(seen_words + (size_t)3 * seen_publications++, p->words, 3 * sizeof(uint64_t));
    return CSL_OK;
}

static void test_store__publications_saved__read_back_in_order(void **state)
{
    const uint64_t first[] = {1, UINT64_MAX, 3}, second[] = {4, 5, UINT64_C(1) << 63};
    struct csl_store *s = open_store();
    struct csl_err err = {.code = CSL_OK};
    struct csl_store_publication p = {
        .round = 4, .domain = 1, .sites = 9, .word_count = 3, .words = first};
    (void)state;
    must(csl_store_save_publication(s, &p, &err), &err);
    p.sites = 5;
    p.words = second;
    must(csl_store_save_publication(s, &p, &err), &err); /* in place of the first */
    p.domain = 0;
    p.words = first;
    must(csl_store_save_publication(s, &p, &err), &err);
    csl_store_close(s);
    s = open_store();
    seen_publications = 0;
    must(csl_store_each_publication(s, take_publication, NULL, &err), &err);
    assert_int_equal(seen_publications, 2);
    assert_memory_equal(seen_words, first, sizeof(first));
    assert_memory_equal(seen_words + 3, second, sizeof(second));
    csl_store_close(s);
}

static void test_store__evaluations_saved__read_back_in_order(void **state)
{
    static struct collected c;
    struct csl_store *s = open_store();
    struct csl_err err = {.code = CSL_OK};
    struct csl_store_evaluation e = {.round = 2, .site = "brno"};
    (void)state;
    c.count = 0;
    e.block = (struct csl_eval_block){
        .block = 1, .examples = 600, .loss_sum = 2.5, .true_positive = 3, .metric_count = 1};
    csl_str_copy(e.block.metrics[0].name, sizeof(e.block.metrics[0].name), "auroc");
    e.block.metrics[0].value = 0.75;
    e.block.bin_count = 2 * CSL_SCORE_BINS;
    e.block.bins[2 * CSL_SCORE_BINS - 1] = 600;
    must(csl_store_save_evaluation(s, &e, &err), &err);
    e.round = 1;
    must(csl_store_save_evaluation(s, &e, &err), &err);
    csl_store_close(s);
    s = open_store();
    must(csl_store_each_evaluation(s, take_evaluation, &c, &err), &err);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.evaluations[0].round, 1);
    assert_int_equal(c.evaluations[1].round, 2);
    assert_string_equal(c.evaluations[1].site, "brno");
    const struct csl_eval_block *b = &c.evaluations[1].block;
    assert_true(b->block == 1 && b->examples == 600 && b->loss_sum == 2.5);
    assert_string_equal(b->metrics[0].name, "auroc");
    assert_true(b->metrics[0].value == 0.75);
    assert_int_equal(b->bins[2 * CSL_SCORE_BINS - 1], 600);
    csl_store_close(s);
}

/* --- what is refused --- */

static void test_store__not_a_database__corrupt(void **state)
{
    struct csl_err err;
    char text[4096];
    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(csl_file_write_atomic(path, CSL_SPAN(text, sizeof(text)), 0600, &err), CSL_OK);
    assert_int_equal(try_open(&err), CSL_E_CORRUPT);
    assert_non_null(strstr(err.msg, path));
}

static void test_store__damaged_page__corrupt(void **state)
{
    struct collected c = {.count = 0};
    struct csl_store *s = open_store();
    struct csl_err err;
    struct csl_msg bytes;
    (void)state;
    save_members(s);
    csl_store_close(s); /* checkpoints the WAL into the file */
    assert_int_equal(csl_file_read(&bytes, path, 1 << 20, &err), CSL_OK);
    assert_true(bytes.n > 8192);
    memset(bytes.p + 4096, 0x5a, bytes.n - 4096); /* every page but the first */
    assert_int_equal(csl_file_write_atomic(path, csl_msg_span(&bytes), 0600, &err), CSL_OK);
    csl_msg_release(&bytes);
    enum csl_code code = csl_store_open(&s, path, &err);
    if (code == CSL_OK) {
        code = csl_store_each_member(s, take_member, &c, &err);
        csl_store_close(s);
    }
    assert_int_equal(code, CSL_E_CORRUPT);
    assert_int_equal(c.count, 0);
}

static void test_store__damaged_row__corrupt(void **state)
{
    struct collected c = {.count = 0};
    struct csl_store *s = open_store();
    struct csl_store_study study = some_study();
    struct csl_err err = {.code = CSL_OK};
    bool found = false;
    (void)state;
    save_members(s);
    must(csl_store_save_study(s, &study, &err), &err);
    csl_store_close(s);
    run_sql("UPDATE member SET blocks = x'0102'; UPDATE study SET digest = x'00';"
            "INSERT INTO evaluation VALUES (1, 'brno', 0, x'ffff');");
    s = open_store();
    assert_int_equal(csl_store_each_member(s, take_member, &c, &err), CSL_E_CORRUPT);
    assert_int_equal(csl_store_load_study(s, &study, &found, &err), CSL_E_CORRUPT);
    assert_false(found);
    assert_int_equal(csl_store_each_evaluation(s, take_evaluation, &c, &err), CSL_E_CORRUPT);
    assert_int_equal(c.count, 0);
    csl_store_close(s);
}

static void assert_refused_untouched(enum csl_code expected, const char *text)
{
    struct csl_err err;
    struct csl_msg before, after;
    assert_int_equal(csl_file_read(&before, path, 1 << 20, &err), CSL_OK);
    assert_int_equal(try_open(&err), expected);
    if (strstr(err.msg, text) == NULL)
        fail_msg("%s", err.msg);
    assert_int_equal(csl_file_read(&after, path, 1 << 20, &err), CSL_OK);
    assert_true(csl_span_equal(csl_msg_span(&before), csl_msg_span(&after)));
    csl_msg_release(&before);
    csl_msg_release(&after);
}

static void test_store__database_of_another_program__refused_untouched(void **state)
{
    (void)state;
    run_sql("CREATE TABLE holidays (day TEXT); PRAGMA application_id = 77;");
    assert_refused_untouched(CSL_E_CORRUPT, "another program");
}

/* Most programs never set an application id. */
static void test_store__database_without_an_id__refused_untouched(void **state)
{
    (void)state;
    run_sql("CREATE TABLE holidays (day TEXT);");
    assert_refused_untouched(CSL_E_CORRUPT, "another program");
}

static void test_store__newer_version__refused_untouched(void **state)
{
    (void)state;
    csl_store_close(open_store());
    run_sql("PRAGMA user_version = 2;");
    assert_refused_untouched(CSL_E_UNSUPPORTED, "has format 2; this program reads format 1");
}

/* Version and columns of the file, as "VERSION\nTABLE: COLUMN TYPE, ...\n...". */
static void read_schema(char *out, size_t out_bytes)
{
    static const char sql[] =
        "SELECT (SELECT user_version FROM pragma_user_version) || group_concat(line, '') FROM"
        " (SELECT char(10) || t || ': ' || group_concat(c, ', ') AS line FROM"
        "  (SELECT m.name AS t, p.name || ' ' || p.type AS c"
        "   FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type = 'table'"
        "   ORDER BY m.name, p.cid) GROUP BY t)";
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    snprintf(out, out_bytes, "%s", (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
    sqlite3_close(db);
}

/* Whoever changes a column here raises USER_VERSION: a file of the former schema must be refused
 * when it is opened, not fail in the middle of a study. The table of tasks is made at the opening
 * of a file that lacks it. */
static void test_store__schema__belongs_to_its_version(void **state)
{
    char schema[1024];
    (void)state;
    csl_store_close(open_store());
    read_schema(schema, sizeof(schema));
    assert_string_equal(
        schema, "1\nevaluation: round INTEGER, site TEXT, block INTEGER, report BLOB"
                "\nheld_update: site TEXT, round INTEGER, bytes_total INTEGER, digest BLOB, "
                "train_loss REAL, blocks BLOB"
                "\nmember: site TEXT, membership INTEGER, rounds_contributed INTEGER, blocks BLOB"
                "\npublication: round INTEGER, domain INTEGER, sites INTEGER, words BLOB"
                "\nround: round INTEGER, contributions INTEGER, train_loss REAL"
                "\nstudy: one INTEGER, id TEXT, digest BLOB, state INTEGER, rounds_done INTEGER, "
                "is_evaluating INTEGER, seed INTEGER"
                "\ntask: site TEXT, round INTEGER, model_digest BLOB");
}

/* A file of before there were tasks. */
static void test_store__file_without_tasks__gets_the_table(void **state)
{
    char schema[1024];
    (void)state;
    csl_store_close(open_store());
    run_sql("DROP TABLE task;");
    csl_store_close(open_store());
    read_schema(schema, sizeof(schema));
    assert_non_null(strstr(schema, "\ntask: site TEXT"));
}

static void test_store__folder_missing__io(void **state)
{
    struct csl_store *s = NULL;
    struct csl_err err;
    char missing[CSL_PATH_MAX];
    (void)state;
    snprintf(missing, sizeof(missing), "%.60s/missing/state.db", dir);
    assert_int_equal(csl_store_open(&s, missing, &err), CSL_E_IO);
    assert_null(s);
    assert_non_null(strstr(err.msg, missing));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        T(test_store__fresh__nothing_found),
        T(test_store__study_saved__read_back_after_reopening),
        T(test_store__members_saved__read_back_in_order),
        T(test_store__update_saved__read_back),
        T(test_store__round_committed__all_or_nothing),
        T(test_store__round_committed__updates_and_tasks_of_it_gone),
        T(test_store__evaluations_saved__read_back_in_order),
        T(test_store__publications_saved__read_back_in_order),
        T(test_store__not_a_database__corrupt),
        T(test_store__damaged_page__corrupt),
        T(test_store__damaged_row__corrupt),
        T(test_store__database_of_another_program__refused_untouched),
        T(test_store__database_without_an_id__refused_untouched),
        T(test_store__newer_version__refused_untouched),
        T(test_store__schema__belongs_to_its_version),
        T(test_store__file_without_tasks__gets_the_table),
        T(test_store__folder_missing__io),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
