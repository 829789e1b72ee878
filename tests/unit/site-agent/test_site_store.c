/* The site's store: one row that survives the process; what is not ours is refused and left alone.
 */
#include "base/file.h"
#include "site-agent/store/site_store.h"

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
    snprintf(dir, sizeof(dir), "%.40s/csl-site-XXXXXX", base);
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/site.db", dir);
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

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static struct csl_site_store *open_store(void)
{
    struct csl_site_store *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    must(csl_site_store_open(&s, path, &err), &err);
    return s;
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void save_some(void)
{
    static const char yaml[] = "study: heart\n";
    struct csl_site_store *s = open_store();
    struct csl_err err = {.code = CSL_OK};
    struct csl_site_memory m = {
        .has_study = true, .control_round = UINT64_C(1) << 63, .control_run = 9};
    memset(m.study_digest, 0x11, CSL_DIGEST_BYTES);
    must(csl_msg_copy(&m.manifest, CSL_SPAN(yaml, sizeof(yaml) - 1), &err), &err);
    m.outbox = (struct csl_outbox){.round = 7,
                                   .bytes_total = 24,
                                   .train_loss = -0.5,
                                   .block_count = 2,
                                   .blocks = {{0, 10}, {5, UINT64_C(1) << 32}}};
    memset(m.outbox.digest, 0x22, CSL_DIGEST_BYTES);
    memset(m.outbox.model_digest, 0x33, CSL_DIGEST_BYTES);
    must(csl_site_store_save(s, &m, &err), &err);
    must(csl_site_store_save(s, &m, &err), &err); /* one row, however often */
    csl_site_memory_release(&m);
    csl_site_store_close(s);
}

static void test_site_store__fresh__remembers_nothing(void **state)
{
    struct csl_site_store *s = open_store();
    struct csl_site_memory m = {.has_study = true};
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    must(csl_site_store_load(s, &m, &err), &err);
    assert_false(m.has_study);
    assert_int_equal(m.outbox.round, 0);
    csl_site_store_close(s);
}

static void test_site_store__saved__read_back_after_reopening(void **state)
{
    struct csl_site_store *s;
    struct csl_site_memory m;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    save_some();
    s = open_store();
    must(csl_site_store_load(s, &m, &err), &err);
    assert_true(m.has_study);
    assert_int_equal(m.study_digest[31], 0x11);
    assert_true(csl_span_equal(csl_msg_span(&m.manifest), CSL_SPAN("study: heart\n", 13)));
    assert_true(m.control_round == UINT64_C(1) << 63);
    assert_int_equal(m.control_run, 9);
    assert_int_equal(m.outbox.round, 7);
    assert_int_equal(m.outbox.bytes_total, 24);
    assert_true(m.outbox.train_loss == -0.5);
    assert_int_equal(m.outbox.digest[0], 0x22);
    assert_int_equal(m.outbox.model_digest[31], 0x33);
    assert_int_equal(m.outbox.block_count, 2);
    assert_int_equal(m.outbox.blocks[1].block, 5);
    assert_true(m.outbox.blocks[1].patients == UINT64_C(1) << 32);
    csl_site_memory_release(&m);
    csl_site_store_close(s);
}

static void test_site_store__no_study_yet__round_trip(void **state)
{
    struct csl_site_store *s = open_store();
    struct csl_site_memory m = {.control_round = 0}, back;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    must(csl_site_store_save(s, &m, &err), &err);
    must(csl_site_store_load(s, &back, &err), &err);
    assert_false(back.has_study);
    assert_null(back.manifest.p);
    csl_site_store_close(s);
}

static void assert_refused(enum csl_code expected, const char *text)
{
    struct csl_site_store *s = NULL;
    struct csl_err err;
    struct csl_msg before, after;
    assert_int_equal(csl_file_read(&before, path, 1 << 20, &err), CSL_OK);
    assert_int_equal(csl_site_store_open(&s, path, &err), expected);
    assert_null(s);
    if (strstr(err.msg, text) == NULL)
        fail_msg("%s", err.msg);
    assert_int_equal(csl_file_read(&after, path, 1 << 20, &err), CSL_OK);
    assert_true(csl_span_equal(csl_msg_span(&before), csl_msg_span(&after)));
    csl_msg_release(&before);
    csl_msg_release(&after);
}

static void test_site_store__not_a_database__corrupt(void **state)
{
    struct csl_err err;
    char text[4096];
    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(csl_file_write_atomic(path, CSL_SPAN(text, sizeof(text)), 0600, &err), CSL_OK);
    assert_refused(CSL_E_CORRUPT, path);
}

static void test_site_store__database_of_another_program__refused_untouched(void **state)
{
    (void)state;
    run_sql("CREATE TABLE holidays (day TEXT);");
    assert_refused(CSL_E_CORRUPT, "another program");
    run_sql("PRAGMA application_id = 77;");
    assert_refused(CSL_E_CORRUPT, "another program");
}

static void test_site_store__newer_version__refused_untouched(void **state)
{
    (void)state;
    save_some();
    run_sql("PRAGMA user_version = 4;");
    assert_refused(CSL_E_UNSUPPORTED, "has format 4; this program reads format 3");
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
 * when it is opened, not fail in the middle of a study. */
static void test_site_store__schema__belongs_to_its_version(void **state)
{
    char schema[1024];
    (void)state;
    save_some();
    read_schema(schema, sizeof(schema));
    assert_string_equal(schema,
                        "3\nmemory: one INTEGER, study_digest BLOB, manifest BLOB, "
                        "control_round INTEGER, outbox_round INTEGER, outbox_bytes INTEGER, "
                        "outbox_digest BLOB, outbox_loss REAL, outbox_blocks BLOB, "
                        "outbox_model BLOB, control_run INTEGER");
}

static void test_site_store__older_version__refused_untouched(void **state)
{
    (void)state;
    save_some();
    run_sql("ALTER TABLE memory DROP COLUMN control_run; PRAGMA user_version = 2;");
    assert_refused(CSL_E_UNSUPPORTED, "has format 2; this program reads format 3");
}

static void test_site_store__damaged_row__corrupt(void **state)
{
    static const char *const damage[] = {"UPDATE memory SET outbox_digest = x'00'",
                                         "UPDATE memory SET outbox_model = x'00'",
                                         "UPDATE memory SET outbox_blocks = x'0000'",
                                         "UPDATE memory SET outbox_blocks = zeroblob(12 * 65)",
                                         "UPDATE memory SET study_digest = x'00'"};
    (void)state;
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        struct csl_site_memory m = {.control_round = 5};
        struct csl_err err;
        save_some();
        run_sql(damage[i]);
        struct csl_site_store *s = open_store();
        assert_int_equal(csl_site_store_load(s, &m, &err), CSL_E_CORRUPT);
        assert_int_equal(m.control_round, 5); /* untouched */
        csl_site_store_close(s);
    }
}

static void test_site_store__folder_missing__io(void **state)
{
    struct csl_site_store *s = NULL;
    struct csl_err err;
    char missing[CSL_PATH_MAX];
    (void)state;
    snprintf(missing, sizeof(missing), "%.60s/missing/site.db", dir);
    assert_int_equal(csl_site_store_open(&s, missing, &err), CSL_E_IO);
    assert_null(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        T(test_site_store__fresh__remembers_nothing),
        T(test_site_store__saved__read_back_after_reopening),
        T(test_site_store__no_study_yet__round_trip),
        T(test_site_store__not_a_database__corrupt),
        T(test_site_store__database_of_another_program__refused_untouched),
        T(test_site_store__newer_version__refused_untouched),
        T(test_site_store__older_version__refused_untouched),
        T(test_site_store__schema__belongs_to_its_version),
        T(test_site_store__damaged_row__corrupt),
        T(test_site_store__folder_missing__io),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
