/* Whole files, paths, and blobs of both kinds. */
#include "base/blob.h"
#include "base/file.h"
#include "base/mem.h"
#include "tests/unit/base/fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_file__written_and_read__is_the_same_with_its_mode(void **state)
{
    struct csl_msg m;
    struct stat st;
    const char *path = in_folder(state, "a");
    assert_false(csl_file_exists(path));
    for (int i = 0; i < 2; i++) { /* the second time over the first */
        const char *text = i == 0 ? "a longer text" : "short";
        unsigned mode = i == 0 ? 0644 : 0600;
        assert_int_equal(csl_file_write_atomic(path, span_of(text), mode, NULL), CSL_OK);
        assert_int_equal(csl_file_read(&m, path, 100, NULL), CSL_OK);
        assert_int_equal(m.n, strlen(text));
        assert_string_equal((const char *)m.p, text); /* a NUL follows */
        csl_msg_release(&m);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, mode);
    }
    assert_false(csl_file_exists(in_folder(state, "a.tmp")));
}

static void test_file__empty__reads_as_nothing(void **state)
{
    struct csl_msg m;
    const char *path = in_folder(state, "a");
    assert_int_equal(csl_file_write_atomic(path, CSL_SPAN(NULL, 0), 0600, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&m, path, 0, NULL), CSL_OK);
    assert_int_equal(m.n, 0);
    csl_msg_release(&m);
}

static void test_file__leftover_temporary_with_open_mode__is_closed_again(void **state)
{
    struct stat st;
    FILE *f = fopen(in_folder(state, "key.tmp"), "w");
    assert_non_null(f);
    fputs("left by a crash", f);
    fclose(f);
    assert_int_equal(chmod(in_folder(state, "key.tmp"), 0666), 0);
    assert_int_equal(csl_file_write_atomic(in_folder(state, "key"), span_of("s"), 0600, NULL),
                     CSL_OK);
    assert_int_equal(stat(in_folder(state, "key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 1);
}

static void test_file__read_failures__have_their_codes(void **state)
{
    struct csl_msg m = {NULL, 7};
    struct csl_err err;
    const char *path = in_folder(state, "a");
    assert_int_equal(csl_file_read(&m, path, 100, &err), CSL_E_NOTFOUND);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(csl_file_write_atomic(path, span_of("12345"), 0600, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&m, path, 4, &err), CSL_E_LIMIT);
    assert_int_equal(csl_file_read(&m, "/dev/zero", 100000, &err), CSL_E_LIMIT); /* has no size */
    assert_int_equal(csl_file_read(&m, *state, 100, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "is a folder; a file would be right"));
    csl_mem_fail_after(1);
    assert_int_equal(csl_file_read(&m, path, 100, &err), CSL_E_NOMEM);
    csl_mem_fail_after(0);
    assert_int_equal(m.n, 7);
}

static void test_file__write_into_missing_folder__leaves_nothing(void **state)
{
    struct csl_err err;
    assert_int_equal(csl_file_write_atomic(in_folder(state, "no/such"), span_of("x"), 0600, &err),
                     CSL_E_NOTFOUND);
    char path[CSL_PATH_MAX + 10];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(csl_file_write_atomic(path, span_of("x"), 0600, &err), CSL_E_LIMIT);
}

static void test_file_commit__streamed_file__takes_the_name(void **state)
{
    char tmp[CSL_PATH_MAX], path[CSL_PATH_MAX];
    struct csl_err err;
    snprintf(tmp, sizeof(tmp), "%s", in_folder(state, "a.part"));
    snprintf(path, sizeof(path), "%s", in_folder(state, "a"));
    assert_int_equal(csl_file_commit(tmp, path, &err), CSL_E_NOTFOUND);
    FILE *f = fopen(tmp, "w");
    assert_non_null(f);
    fputs("streamed", f);
    fclose(f);
    assert_int_equal(csl_file_commit(tmp, path, &err), CSL_OK);
    assert_false(csl_file_exists(tmp));
    assert_true(csl_file_exists(path));
}

static void test_dir_make__with_parents_twice_and_over_a_file__table(void **state)
{
    struct stat st;
    struct csl_err err;
    char deep[CSL_PATH_MAX];
    snprintf(deep, sizeof(deep), "%s", in_folder(state, "x/y//z/"));
    assert_int_equal(csl_dir_make(deep, &err), CSL_OK);
    assert_int_equal(csl_dir_make(deep, &err), CSL_OK);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(csl_file_write_atomic(in_folder(state, "f"), span_of(""), 0600, NULL), CSL_OK);
    assert_int_equal(csl_dir_make(in_folder(state, "f"), &err), CSL_E_EXISTS);
    assert_int_not_equal(csl_dir_make(in_folder(state, "f/g"), &err), CSL_OK);
    assert_int_equal(csl_dir_make("", &err), CSL_E_LIMIT);
    assert_int_equal(rmdir(in_folder(state, "x/y/z")), 0);
    assert_int_equal(rmdir(in_folder(state, "x/y")), 0);
    assert_int_equal(rmdir(in_folder(state, "x")), 0);
}

static void test_path_join__table(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *joined;
    } rows[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"},
                {"/", "b", "/b"},  {"a", "", "a"},     {"", "", ""},   {"123", "456", "123/456"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[8] = "before";
        assert_int_equal(csl_path_join(out, sizeof(out), rows[i].a, rows[i].b, NULL), CSL_OK);
        assert_string_equal(out, rows[i].joined);
        memcpy(out, "before", 7);
        size_t n = strlen(rows[i].joined);
        assert_int_equal(csl_path_join(out, n, rows[i].a, rows[i].b, NULL), CSL_E_LIMIT);
        assert_string_equal(out, "before");
    }
}

/* The same behaviour behind both faces. */
static void check_blobs(struct csl_blobs *b)
{
    struct csl_err err;
    char text[16] = "";
    assert_int_equal(csl_blob_size(b, "one"), 0);
    assert_int_equal(csl_blob_read(b, "one", 0, text, 1, &err), CSL_E_CORRUPT);
    assert_int_equal(csl_blob_write(b, "one", 1, span_of("x"), &err), CSL_E_INVAL);
    assert_int_equal(csl_blob_write(b, "one", 0, span_of("hello"), &err), CSL_OK);
    assert_int_equal(csl_blob_write(b, "one", 5, span_of(" all"), &err), CSL_OK);
    assert_int_equal(csl_blob_write(b, "one", 10, span_of("x"), &err), CSL_E_INVAL); /* a hole */
    assert_int_equal(csl_blob_write(b, "one", 0, span_of("J"), &err), CSL_OK);
    assert_int_equal(csl_blob_size(b, "one"), 9);
    assert_int_equal(csl_blob_read(b, "one", 1, text, 8, &err), CSL_OK);
    assert_string_equal(text, "ello all");
    assert_int_equal(csl_blob_read(b, "one", 2, text, 8, &err), CSL_E_CORRUPT);
    assert_int_equal(csl_blob_read(b, "one", 9, text, 0, &err), CSL_OK);
    assert_int_equal(csl_blob_truncate(b, "one", 100, &err), CSL_OK); /* never grows */
    assert_int_equal(csl_blob_size(b, "one"), 9);
    assert_int_equal(csl_blob_truncate(b, "one", 3, &err), CSL_OK);
    assert_int_equal(csl_blob_size(b, "one"), 3);
    assert_int_equal(csl_blob_sync(b, "one", &err), CSL_OK);
    assert_int_equal(csl_blob_write(b, "two", 0, span_of("2"), &err), CSL_OK);
    assert_int_equal(csl_blob_write(b, "three", 0, span_of("3"), &err), CSL_OK);
    const char *const keep[] = {"two", "absent"};
    csl_blobs_keep_only(b, keep, 2);
    assert_int_equal(csl_blob_size(b, "one"), 0);
    assert_int_equal(csl_blob_size(b, "two"), 1);
    assert_int_equal(csl_blob_size(b, "three"), 0);
    csl_blob_remove(b, "two");
    csl_blob_remove(b, "two");
    assert_int_equal(csl_blob_size(b, "two"), 0);
}

static void test_blobs__folder_and_memory__behave_alike(void **state)
{
    struct csl_blobs *b;
    assert_int_equal(csl_blobs_open_dir(&b, *state, NULL), CSL_OK);
    check_blobs(b);
    csl_blobs_free(b);
    assert_int_equal(csl_blobs_new_memory(&b, NULL), CSL_OK);
    check_blobs(b);
    assert_int_equal(csl_blob_write(b, "left", 0, span_of("inside"), NULL), CSL_OK);
    csl_blobs_free(b);
    csl_blobs_free(NULL);
}

static void test_blobs__folder_opened_again__still_has_the_bytes(void **state)
{
    struct csl_blobs *b;
    assert_int_equal(csl_blobs_open_dir(&b, *state, NULL), CSL_OK);
    assert_int_equal(csl_blob_write(b, "one", 0, span_of("hello"), NULL), CSL_OK);
    csl_blobs_free(b);
    assert_int_equal(csl_blobs_open_dir(&b, *state, NULL), CSL_OK);
    assert_int_equal(csl_blob_size(b, "one"), 5);
    csl_blobs_free(b);
}

static void test_blobs__each_allocation_fails__is_nomem(void **state)
{
    (void)state;
    struct csl_blobs *b = NULL;
    for (uint64_t n = 1; n <= 2; n++) {
        csl_mem_fail_after(n);
        assert_int_equal(csl_blobs_new_memory(&b, NULL), CSL_E_NOMEM);
        csl_mem_fail_after(n);
        assert_int_equal(csl_blobs_open_dir(&b, *state, NULL), CSL_E_NOMEM);
    }
    csl_mem_fail_after(0);
    assert_int_equal(csl_blobs_new_memory(&b, NULL), CSL_OK);
    for (uint64_t n = 1; n <= 3; n++) {
        csl_mem_fail_after(n);
        assert_int_equal(csl_blob_write(b, "one", 0, span_of("x"), NULL), CSL_E_NOMEM);
        assert_int_equal(csl_blob_size(b, "one"), 0);
        csl_mem_fail_after(0);
        csl_blob_remove(b, "one");
    }
    csl_blobs_free(b);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

static void test_dir_lock__second_owner__is_told(void **state)
{
    (void)state;
    char path[] = "/tmp/csl-lock-XXXXXX";
    struct csl_err err = {.code = CSL_OK};
    int first = -1, second = -1;
    assert_non_null(mkdtemp(path));
    assert_int_equal(csl_dir_lock(path, &first, &err), CSL_OK);
    assert_int_equal(csl_dir_lock(path, &second, &err), CSL_E_EXISTS);
    assert_int_equal(second, -1);
    close(first);
    assert_int_equal(csl_dir_lock(path, &second, &err), CSL_OK);
    close(second);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_file__written_and_read__is_the_same_with_its_mode),
        IN_FOLDER(test_file__empty__reads_as_nothing),
        IN_FOLDER(test_file__leftover_temporary_with_open_mode__is_closed_again),
        IN_FOLDER(test_file__read_failures__have_their_codes),
        IN_FOLDER(test_file__write_into_missing_folder__leaves_nothing),
        IN_FOLDER(test_file_commit__streamed_file__takes_the_name),
        IN_FOLDER(test_dir_make__with_parents_twice_and_over_a_file__table),
        cmocka_unit_test(test_dir_lock__second_owner__is_told),
        cmocka_unit_test(test_path_join__table),
        IN_FOLDER(test_blobs__folder_and_memory__behave_alike),
        IN_FOLDER(test_blobs__folder_opened_again__still_has_the_bytes),
        IN_FOLDER(test_blobs__each_allocation_fails__is_nomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
