/* The journal's file: what was written is read, a torn end is cut, damage is refused, a failed
 * write is final. */
#include "privacy/secagg/journal.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/sha256.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEADER = 56, EXTRA = 14 + 8 + 32, RECORDS_MAX = 16 };

/* --- a disk that fails --- */

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

static struct {
    size_t piece;     /* a write takes at most this; 0: all */
    size_t room;      /* bytes until ENOSPC */
    int sync_error;   /* of fdatasync and fsync; 0: none */
    int rename_error; /* 0: none */
    uint32_t syncs, interrupts;
} disk;

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (disk.interrupts > 0) {
        disk.interrupts--;
        errno = EINTR;
        return -1;
    }
    n = disk.piece > 0 && disk.piece < n ? disk.piece : n;
    n = disk.room < n ? disk.room : n;
    if (n == 0) {
        errno = ENOSPC;
        return -1;
    }
    disk.room -= n;
    return __real_write(fd, p, n);
}

static int sync_result(int done)
{
    disk.syncs++;
    if (disk.sync_error == 0)
        return done;
    errno = disk.sync_error;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    return sync_result(__real_fdatasync(fd));
}

int __wrap_fsync(int fd)
{
    return sync_result(__real_fsync(fd));
}

int __wrap_rename(const char *from, const char *to)
{
    if (disk.rename_error == 0)
        return __real_rename(from, to);
    errno = disk.rename_error;
    return -1;
}

/* --- what is read --- */

static char folder[64], path[128], key_path[160];
static struct {
    uint32_t count;
    uint16_t type[RECORDS_MAX];
    bool is_secret[RECORDS_MAX];
    char text[RECORDS_MAX][64];
} seen;

static enum csl_code see(void *ctx, const struct csl_secagg_journal_record *r, struct csl_err *err)
{
    (void)ctx;
    (void)err;
    assert_true(seen.count < RECORDS_MAX && r->payload.n < sizeof(seen.text[0]));
    seen.type[seen.count] = r->type;
    seen.is_secret[seen.count] = r->is_secret;
    memcpy(seen.text[seen.count], r->payload.p, r->payload.n);
    seen.text[seen.count++][r->payload.n] = '\0';
    return CSL_OK;
}

static enum csl_code open_journal(struct csl_secagg_journal **j, struct csl_err *err)
{
    const struct csl_secagg_journal_reader reader = {NULL, see};
    memset(&seen, 0, sizeof(seen));
    return csl_secagg_journal_open(j, path, &reader, err);
}

static struct csl_secagg_journal *reopened(void)
{
    struct csl_secagg_journal *j = NULL;
    struct csl_err err = {.code = CSL_OK};
    if (open_journal(&j, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return j;
}

static struct csl_secagg_journal_record record(uint16_t type, bool is_secret, const char *text)
{
    return (struct csl_secagg_journal_record){type, is_secret, CSL_SPAN(text, strlen(text))};
}

static enum csl_code append(struct csl_secagg_journal *j, uint16_t type, bool is_secret,
                            const char *text)
{
    struct csl_secagg_journal_record r = record(type, is_secret, text);
    return csl_secagg_journal_append(j, &r, NULL);
}

static const char *const texts[] = {"first", "the secret z", "", "a vote"};
static const uint16_t types[] = {1, 2, 0x7FFF, 6};
enum { TEXTS = 4 };

static void write_texts(void)
{
    unlink(path);
    struct csl_secagg_journal *j = reopened();
    for (int i = 0; i < TEXTS; i++)
        assert_int_equal(append(j, types[i], i == 1, texts[i]), CSL_OK);
    csl_secagg_journal_close(j);
}

static void assert_texts(uint32_t count)
{
    assert_int_equal(seen.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(seen.type[i], types[i]);
        assert_int_equal(seen.is_secret[i], i == 1);
        assert_string_equal(seen.text[i], texts[i]);
    }
}

static struct csl_msg file_bytes(const char *name)
{
    struct csl_msg m = {NULL, 0};
    assert_int_equal(csl_file_read(&m, name, 1 << 20, NULL), CSL_OK);
    return m;
}

static void put_file(const uint8_t *p, size_t n)
{
    assert_int_equal(csl_file_write_atomic(path, CSL_SPAN(p, n), 0600, NULL), CSL_OK);
}

static bool contains(const struct csl_msg *m, const char *text)
{
    for (size_t i = 0; i + strlen(text) <= m->n; i++)
        if (memcmp(m->p + i, text, strlen(text)) == 0)
            return true;
    return false;
}

/* --- tests --- */

static void test_journal__appended__read_in_order_at_every_opening(void **state)
{
    (void)state;
    write_texts();
    for (int i = 0; i < 3; i++) {
        csl_secagg_journal_close(reopened());
        assert_texts(TEXTS);
    }
    struct csl_secagg_journal *j = reopened(); /* and goes on where it ended */
    assert_int_equal(append(j, 9, true, "later"), CSL_OK);
    csl_secagg_journal_close(j);
    csl_secagg_journal_close(reopened());
    assert_int_equal(seen.count, TEXTS + 1);
    assert_string_equal(seen.text[TEXTS], "later");
}

static void test_journal__append__synced_before_it_returns(void **state)
{
    (void)state;
    write_texts();
    struct csl_secagg_journal *j = reopened();
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t before = disk.syncs;
        assert_int_equal(append(j, 1, false, "x"), CSL_OK);
        assert_int_equal(disk.syncs, before + 1);
    }
    csl_secagg_journal_close(j);
}

static void test_journal__secret__nowhere_in_the_file(void **state)
{
    (void)state;
    write_texts();
    struct csl_msg m = file_bytes(path);
    assert_false(contains(&m, texts[1]));
    assert_true(contains(&m, texts[3])); /* else nothing is tested */
    csl_msg_release(&m);
}

/* Records that are whole in the first n bytes. */
static uint32_t whole_records(size_t n)
{
    size_t end = HEADER;
    uint32_t count = 0;
    for (int i = 0; i < TEXTS; i++) {
        end += EXTRA + strlen(texts[i]) + (i == 1 ? 40 : 0);
        count += end <= n;
    }
    return count;
}

static void test_secagg_pitfall_23__cut_at_every_length__whole_records_stay(void **state)
{
    (void)state;
    write_texts();
    struct csl_msg whole = file_bytes(path);
    for (size_t n = 0; n <= whole.n; n++) {
        struct csl_secagg_journal *j = NULL;
        put_file(whole.p, n);
        if (n < HEADER) { /* begun by a rename: it was never so short */
            assert_int_equal(open_journal(&j, NULL), CSL_E_CORRUPT);
            continue;
        }
        j = reopened();
        assert_texts(whole_records(n));
        assert_int_equal(append(j, 5, false, "next"), CSL_OK);
        csl_secagg_journal_close(j);
        csl_secagg_journal_close(reopened());
        assert_int_equal(seen.count, whole_records(n) + 1);
        assert_string_equal(seen.text[seen.count - 1], "next");
        /* a key is renewed only where nothing needs it */
        struct csl_secagg_journal *again = NULL;
        put_file(whole.p, whole.n);
        if (whole_records(n) > 1) {
            again = reopened();
            assert_texts(TEXTS);
            csl_secagg_journal_close(again);
        } else {
            write_texts();
            csl_msg_release(&whole);
            whole = file_bytes(path);
        }
    }
    csl_msg_release(&whole);
}

static void test_secagg_pitfall_23__one_bit_wrong_anywhere__refused_with_the_place(void **state)
{
    (void)state;
    write_texts();
    struct csl_msg whole = file_bytes(path);
    for (size_t i = 0; i < 8 * whole.n; i++) {
        struct csl_secagg_journal *j = NULL;
        struct csl_err err = {.code = CSL_OK};
        whole.p[i / 8] ^= (uint8_t)(1u << i % 8);
        put_file(whole.p, whole.n);
        assert_int_equal(open_journal(&j, &err), CSL_E_CORRUPT);
        assert_non_null(strstr(err.msg, path));
        assert_non_null(strstr(err.msg, "byte "));
        whole.p[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    put_file(whole.p, whole.n);
    csl_secagg_journal_close(reopened());
    assert_texts(TEXTS);
    csl_msg_release(&whole);
}

/* A record taken out, two exchanged, one of another journal. */
static void test_journal__records_moved__refused(void **state)
{
    (void)state;
    struct csl_secagg_journal *j = NULL;
    unlink(path);
    j = reopened();
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(j, 1, false, "same"), CSL_OK);
    csl_secagg_journal_close(j);
    struct csl_msg m = file_bytes(path);
    size_t one = EXTRA + 4;
    memmove(m.p + HEADER, m.p + HEADER + one, m.n - HEADER - one);
    put_file(m.p, m.n - one);
    assert_int_equal(open_journal(&j, NULL), CSL_E_CORRUPT);
    csl_msg_release(&m);
}

static void test_journal__replaced__only_the_new_and_another_key(void **state)
{
    (void)state;
    write_texts();
    struct csl_msg old_key = file_bytes(key_path), old_file = file_bytes(path);
    struct csl_secagg_journal *j = reopened();
    struct csl_secagg_journal_record r[] = {record(1, false, "snapshot"), record(7, false, "kept")};
    assert_int_equal(csl_secagg_journal_replace(j, r, 2, NULL), CSL_OK);
    assert_int_equal(append(j, 2, true, "z of the next"), CSL_OK);
    csl_secagg_journal_close(j);
    struct csl_msg new_key = file_bytes(key_path);
    assert_memory_not_equal(old_key.p, new_key.p, 32);
    csl_secagg_journal_close(reopened());
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.text[0], "snapshot");
    assert_string_equal(seen.text[1], "kept");
    assert_string_equal(seen.text[2], "z of the next");
    put_file(old_file.p, old_file.n); /* brought back from a disk: its secret does not open */
    assert_int_equal(open_journal(&j, NULL), CSL_E_CORRUPT);
    csl_msg_release(&old_key);
    csl_msg_release(&new_key);
    csl_msg_release(&old_file);
}

/* One that cannot even be opened. */
static void test_journal__damaged_and_erased__key_was_written_over(void **state)
{
    (void)state;
    write_texts();
    char kept[sizeof(key_path) + 8];
    snprintf(kept, sizeof(kept), "%s.kept", key_path);
    unlink(kept);
    assert_int_equal(link(key_path, kept), 0);
    struct csl_msg before = file_bytes(kept);
    struct csl_secagg_journal *j = NULL;
    assert_int_equal(csl_file_write_atomic(path, CSL_SPAN("no journal", 10), 0600, NULL), CSL_OK);
    assert_int_equal(open_journal(&j, NULL), CSL_E_CORRUPT);
    csl_secagg_journal_erase(path);
    struct csl_msg after = file_bytes(kept);
    assert_int_equal(after.n, before.n);
    assert_memory_not_equal(before.p, after.p, before.n);
    assert_false(csl_file_exists(path) || csl_file_exists(key_path));
    csl_secagg_journal_erase(path); /* where nothing is */
    unlink(kept);
    csl_msg_release(&before);
    csl_msg_release(&after);
}

static char moved_path[sizeof(path) + 8], moved_key[sizeof(path) + 16];

static void name_moved(void)
{
    snprintf(moved_path, sizeof(moved_path), "%s.aside", path);
    snprintf(moved_key, sizeof(moved_key), "%s.key", moved_path);
}

static enum csl_code open_moved(struct csl_secagg_journal **j)
{
    const struct csl_secagg_journal_reader reader = {NULL, see};
    memset(&seen, 0, sizeof(seen));
    return csl_secagg_journal_open(j, moved_path, &reader, NULL);
}

static void test_journal__moved__goes_on_there_with_its_key(void **state)
{
    (void)state;
    write_texts();
    name_moved();
    struct csl_secagg_journal *j = reopened(), *next;
    assert_int_equal(csl_secagg_journal_move(j, moved_path, NULL), CSL_OK);
    assert_false(csl_file_exists(path) || csl_file_exists(key_path));
    next = reopened(); /* another one in the old place has nothing to do with it */
    assert_int_equal(append(next, 3, true, "of the next"), CSL_OK);
    assert_int_equal(append(j, 9, true, "later"), CSL_OK);
    csl_secagg_journal_close(j);
    csl_secagg_journal_close(next);
    assert_int_equal(csl_secagg_journal_moved(path, moved_path, NULL), CSL_OK);
    assert_int_equal(open_moved(&j), CSL_OK);
    assert_int_equal(seen.count, TEXTS + 1);
    assert_string_equal(seen.text[1], texts[1]);
    assert_string_equal(seen.text[TEXTS], "later");
    csl_secagg_journal_close(j);
    csl_secagg_journal_close(reopened());
    assert_int_equal(seen.count, 1);
    assert_int_equal(open_moved(&j), CSL_OK);
    csl_secagg_journal_destroy(j);
    assert_false(csl_file_exists(moved_path) || csl_file_exists(moved_key));
}

/* The journal is there and its key is not: without the second half its secrets would be lost. */
static void test_journal__died_between_journal_and_key__move_is_ended(void **state)
{
    struct csl_secagg_journal *j;
    (void)state;
    write_texts();
    name_moved();
    assert_int_equal(rename(path, moved_path), 0);
    assert_int_equal(csl_secagg_journal_moved(path, moved_path, NULL), CSL_OK);
    assert_int_equal(open_moved(&j), CSL_OK);
    assert_texts(TEXTS);
    csl_secagg_journal_destroy(j);
}

/* What was sealed is of no use with the bytes that a disk may still have. */
static void test_journal__destroyed__key_was_written_over(void **state)
{
    (void)state;
    write_texts();
    char kept[sizeof(key_path) + 8];
    snprintf(kept, sizeof(kept), "%s.kept", key_path);
    unlink(kept);
    assert_int_equal(link(key_path, kept), 0); /* the same bytes on the disk */
    struct csl_msg before = file_bytes(kept);
    csl_secagg_journal_destroy(reopened());
    struct csl_msg after = file_bytes(kept);
    assert_memory_not_equal(before.p, after.p, 32);
    assert_false(csl_file_exists(path) || csl_file_exists(key_path));
    unlink(kept);
    csl_msg_release(&before);
    csl_msg_release(&after);
}

/* The crash between the rename and the new key. */
static void test_journal__nothing_secret_left__key_is_renewed_at_the_opening(void **state)
{
    (void)state;
    write_texts();
    struct csl_secagg_journal *j = reopened();
    struct csl_secagg_journal_record r = record(1, false, "snapshot");
    struct csl_msg old_key = file_bytes(key_path);
    assert_int_equal(csl_secagg_journal_replace(j, &r, 1, NULL), CSL_OK);
    csl_secagg_journal_close(j);
    assert_int_equal(csl_file_write_atomic(key_path, csl_msg_span(&old_key), 0600, NULL), CSL_OK);
    csl_secagg_journal_close(reopened());
    struct csl_msg new_key = file_bytes(key_path);
    assert_memory_not_equal(old_key.p, new_key.p, 32);
    csl_msg_release(&old_key);
    csl_msg_release(&new_key);
}

static void test_secagg_pitfall_23__short_and_interrupted_writes__whole_records(void **state)
{
    (void)state;
    for (disk.piece = 1; disk.piece < 60; disk.piece += 7) {
        disk.interrupts = 3;
        write_texts();
        csl_secagg_journal_close(reopened());
        assert_texts(TEXTS);
    }
    disk.piece = 0;
}

/* At each byte the disk can be full at: what was acknowledged is there, the rest is not. */
static void test_secagg_pitfall_23__disk_full__final_until_the_restart(void **state)
{
    (void)state;
    for (size_t room = 0; room <= EXTRA + 5; room++) {
        write_texts();
        struct csl_secagg_journal *j = reopened();
        disk.room = room;
        enum csl_code code = append(j, 5, false, "later");
        assert_int_equal(code, room < EXTRA + 5 ? CSL_E_IO : CSL_OK);
        disk.room = SIZE_MAX;
        if (code != CSL_OK) {
            struct csl_secagg_journal_record r = record(1, false, "snapshot");
            assert_int_equal(append(j, 5, false, "later"), CSL_E_STATE);
            assert_int_equal(csl_secagg_journal_replace(j, &r, 1, NULL), CSL_E_STATE);
        }
        csl_secagg_journal_close(j);
        csl_secagg_journal_close(reopened());
        if (code == CSL_OK)
            assert_int_equal(seen.count, TEXTS + 1);
        else
            assert_texts(TEXTS);
    }
}

static void test_secagg_pitfall_23__sync_fails__never_tried_again(void **state)
{
    (void)state;
    write_texts();
    struct csl_secagg_journal *j = reopened();
    disk.sync_error = EIO;
    assert_int_equal(append(j, 5, false, "later"), CSL_E_IO);
    disk.sync_error = 0;
    uint32_t before = disk.syncs;
    assert_int_equal(append(j, 5, false, "later"), CSL_E_STATE);
    assert_int_equal(disk.syncs, before);
    csl_secagg_journal_close(j);
}

static void test_secagg_pitfall_23__replacing_fails__the_old_stays_and_it_is_final(void **state)
{
    (void)state;
    struct csl_secagg_journal_record r = record(1, false, "snapshot");
    for (int what = 0; what < 3; what++) {
        write_texts();
        struct csl_secagg_journal *j = reopened();
        disk.room = what == 0 ? 70 : SIZE_MAX;
        disk.sync_error = what == 1 ? EIO : 0;
        disk.rename_error = what == 2 ? EIO : 0;
        assert_int_equal(csl_secagg_journal_replace(j, &r, 1, NULL), CSL_E_IO);
        disk.room = SIZE_MAX;
        disk.sync_error = disk.rename_error = 0;
        assert_int_equal(append(j, 5, false, "later"), CSL_E_STATE);
        csl_secagg_journal_close(j);
        csl_secagg_journal_close(reopened());
        assert_texts(TEXTS);
    }
}

static void test_journal__too_long__refused_and_not_final(void **state)
{
    (void)state;
    struct csl_secagg_journal_record r = {.type = 1};
    write_texts();
    struct csl_secagg_journal *j = reopened();
    r.payload.n = (size_t)CSL_SECAGG_JOURNAL_RECORD_MAX + 1; /* never read: the length is enough */
    assert_int_equal(csl_secagg_journal_append(j, &r, NULL), CSL_E_LIMIT);
    assert_int_equal(append(j, 5, false, "later"), CSL_OK);
    csl_secagg_journal_close(j);
}

static enum csl_code refuse(void *ctx, const struct csl_secagg_journal_record *r,
                            struct csl_err *err)
{
    (void)ctx;
    (void)r;
    return CSL_FAIL(err, CSL_E_DENIED, "no");
}

static void test_journal__reader_refuses__opening_fails(void **state)
{
    const struct csl_secagg_journal_reader reader = {NULL, refuse};
    struct csl_secagg_journal *j = NULL;
    (void)state;
    write_texts();
    assert_int_equal(csl_secagg_journal_open(&j, path, &reader, NULL), CSL_E_DENIED);
    assert_null(j);
}

static int set_up(void **state)
{
    (void)state;
    /* Only what fails here on purpose matters, and a sync in memory costs nothing. */
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof(folder), "%s/csl-journal-XXXXXX", base);
    if (csl_crypto_init(NULL) != CSL_OK || mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/journal", folder);
    snprintf(key_path, sizeof(key_path), "%s.key", path);
    disk.room = SIZE_MAX;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    unlink(key_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal__appended__read_in_order_at_every_opening),
        cmocka_unit_test(test_journal__append__synced_before_it_returns),
        cmocka_unit_test(test_journal__secret__nowhere_in_the_file),
        cmocka_unit_test(test_secagg_pitfall_23__cut_at_every_length__whole_records_stay),
        cmocka_unit_test(test_secagg_pitfall_23__one_bit_wrong_anywhere__refused_with_the_place),
        cmocka_unit_test(test_journal__records_moved__refused),
        cmocka_unit_test(test_journal__replaced__only_the_new_and_another_key),
        cmocka_unit_test(test_journal__moved__goes_on_there_with_its_key),
        cmocka_unit_test(test_journal__died_between_journal_and_key__move_is_ended),
        cmocka_unit_test(test_journal__destroyed__key_was_written_over),
        cmocka_unit_test(test_journal__damaged_and_erased__key_was_written_over),
        cmocka_unit_test(test_journal__nothing_secret_left__key_is_renewed_at_the_opening),
        cmocka_unit_test(test_secagg_pitfall_23__short_and_interrupted_writes__whole_records),
        cmocka_unit_test(test_secagg_pitfall_23__disk_full__final_until_the_restart),
        cmocka_unit_test(test_secagg_pitfall_23__sync_fails__never_tried_again),
        cmocka_unit_test(test_secagg_pitfall_23__replacing_fails__the_old_stays_and_it_is_final),
        cmocka_unit_test(test_journal__too_long__refused_and_not_final),
        cmocka_unit_test(test_journal__reader_refuses__opening_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
