/* `consilium ledger` as people call it. argv[1] is the program. */
#include "privacy/dp/account.h"
#include "tests/unit/cli/cli_run.h"
#include "tests/unit/privacy/ledger_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BUDGET 3.0

static struct world w;

/* `rounds` rounds of one study under a budget; entries: open, policy, approve, then two a round.
 */
static void make_ledger(uint32_t rounds)
{
    const struct csl_ledger_study s = study_number(1, 1);
    const struct csl_ledger_policy p = policy_of(BUDGET, 1e-5, 0);

    world_make(&w);
    w.config.price = csl_account_epsilon;
    world_open(&w);
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    for (uint32_t r = 1; r <= rounds; r++)
        (void)run_round(&w, &s, r, 0);
    world_export(&w);
}

/* `consilium ledger FMT`, as cli_run. */
static int CSL_PRINTF(1, 2) ledger(const char *fmt, ...)
{
    char args[4 * CSL_PATH_MAX] = "ledger ";
    va_list values;

    va_start(values, fmt);
    (void)vsnprintf(args + 7, sizeof(args) - 7, fmt, values);
    va_end(values);
    return cli_run(args);
}

/* Changes one byte of line `line` (from 0) of the export. */
static void damage_line(uint32_t line)
{
    struct csl_msg bytes = {NULL, 0};
    size_t at = 0;

    must(csl_file_read(&bytes, w.out, 1 << 20, &w.err), &w.err);
    for (uint32_t i = 0; i < line; i++)
        at = (size_t)((uint8_t *)memchr(bytes.p + at, '\n', bytes.n - at) - bytes.p) + 1;
    bytes.p[at + 20] = bytes.p[at + 20] == 'A' ? 'B' : 'A';
    must(csl_file_write_atomic(w.out, csl_msg_span(&bytes), 0600, &w.err), &w.err);
    csl_msg_release(&bytes);
}

static void hex_key(char out[65])
{
    csl_hex(csl_ledger_public_key(w.l), CSL_SIGN_PUBLIC_BYTES, out);
}

static void test_cli_ledger__show__lists_entries_and_what_is_left(void **state)
{
    (void)state;
    make_ledger(2);
    for (int i = 0; i < 2; i++) { /* the database, while it is open, and the export */
        assert_int_equal(ledger("show %s", i == 0 ? w.path : w.out), 0);
        cli_assert_printed("0 1000000000 open site north");
        cli_assert_printed(" charge study ");
        cli_assert_printed("2 charges, 2 steps");
        cli_assert_printed("cohort ward, ever: epsilon ");
        cli_assert_printed("7 entries");
    }
    double spent = 0, left = 0, whole = 0;
    const char *at = strstr(cli_output, "ever: epsilon ");
    assert_int_equal(sscanf(at, "ever: epsilon %lf spent of %lf, %lf left", &spent, &whole, &left),
                     3);
    assert_true(whole == BUDGET);
    /* True price of mu = sqrt(2) / 8 at 1e-6: what is spent is not below, what is left not above.
     */
    struct csl_ledger_spent exact;
    csl_ledger_spent_by_cohort(w.l, "ward", 0, &exact);
    assert_true(exact.epsilon > 0 && spent >= exact.epsilon && spent < exact.epsilon + 1.1e-4);
    assert_true(left <= BUDGET - exact.epsilon && left > BUDGET - exact.epsilon - 1.1e-4);
    world_remove(&w);
}

static void test_cli_ledger__show_json__is_one_object_a_line(void **state)
{
    uint64_t entries = 0, index = 0;

    (void)state;
    make_ledger(1);
    for (int i = 0; i < 2; i++) {
        entries = 0;
        assert_int_equal(ledger("show %s --json", i == 0 ? w.path : w.out), 0);
        for (const char *line = cli_output; *line;) {
            size_t n = strcspn(line, "\n");
            struct csl_json_doc *doc = NULL;
            must(csl_json_parse(&doc, "line", CSL_SPAN(line, n), &w.err), &w.err);
            assert_true(csl_json_as_u64(csl_json_get(csl_json_root(doc), "index"), &index));
            assert_int_equal(index, entries++);
            csl_json_free(doc);
            line += n + (line[n] == '\n');
        }
        assert_int_equal(entries, 5);
    }
    world_remove(&w);
}

static void test_cli_ledger__verify__accepts_what_the_site_signed(void **state)
{
    char key[65];

    (void)state;
    make_ledger(2);
    hex_key(key);
    assert_int_equal(ledger("verify %s", w.out), 0);
    cli_assert_printed("sound. site north, 7 entries: 2 charges");
    cli_assert_printed("compare it with the one the site gave you");
    assert_int_equal(ledger("verify %s --public-key %s --json", w.out, key), 0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "public_key_from"), "caller");
    assert_string_equal(cli_text(doc, "public_key"), key);
    assert_true(cli_number(doc, "entries") == 7);
    csl_json_free(doc);
    world_remove(&w);
}

static void test_cli_ledger__verify__names_the_first_bad_entry(void **state)
{
    (void)state;
    make_ledger(2);
    damage_line(5); /* line 0 is the header */
    assert_int_equal(ledger("verify %s", w.out), 1);
    cli_assert_printed("NOT sound. The first bad entry is 4:");
    assert_int_equal(ledger("verify %s --json", w.out), 1);
    struct csl_json_doc *doc = cli_parse_output();
    assert_true(cli_number(doc, "bad_entry") == 4);
    csl_json_free(doc);
    assert_int_equal(ledger("show %s", w.out), 1);
    cli_assert_printed("entry 4");
    world_remove(&w);
}

static void test_cli_ledger__verify_with_another_key__is_a_no(void **state)
{
    char key[65];

    (void)state;
    make_ledger(1);
    hex_key(key);
    key[0] = key[0] == '0' ? '1' : '0';
    assert_int_equal(ledger("verify %s --public-key %s", w.out, key), 1);
    cli_assert_printed("NOT sound. The first bad entry is 0: opened with another key");
    assert_int_equal(ledger("verify %s --public-key 12", w.out), 2);
    cli_assert_printed("64 hexadecimal digits");
    world_remove(&w);
}

static void test_cli_ledger__export_and_diff__tell_a_continuation_from_a_fork(void **state)
{
    (void)state;
    make_ledger(1);
    const struct csl_ledger_study s = study_number(1, 1);
    (void)run_round(&w, &s, 2, 0);
    assert_int_equal(ledger("export %s %%/later.ledger", w.path), 0);
    cli_assert_printed("later.ledger: 7 entries");
    assert_int_equal(cli_run("ledger verify %/later.ledger"), 0);
    assert_int_equal(ledger("diff %s %%/later.ledger", w.out), 0);
    cli_assert_printed("5 entries in common, 2 more");
    assert_int_equal(cli_run("ledger diff %/later.ledger %/later.ledger"), 0);
    cli_assert_printed("the same 7 entries");
    world_remove(&w);
    make_ledger(1); /* another key */
    assert_int_equal(ledger("diff %s %%/later.ledger", w.out), 1);
    cli_assert_printed("DIVERGED: entry 0");
    assert_int_equal(ledger("diff %s %%/later.ledger --json", w.out), 1);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "relation"), "diverged");
    csl_json_free(doc);
    world_remove(&w);
}

static void test_cli_ledger__recover__takes_the_named_head_and_books_the_loss(void **state)
{
    struct csl_msg old = {NULL, 0};
    struct csl_checkpoint lost;
    char root[2 * CSL_SHA256_BYTES + 1];

    (void)state;
    make_ledger(1);
    world_close(&w);
    must(csl_file_read(&old, w.config.path, 1 << 24, &w.err), &w.err);
    world_open(&w);
    const struct csl_ledger_study s = study_number(1, 1);
    (void)run_round(&w, &s, 2, 0);
    csl_ledger_head(w.l, &lost);
    csl_hex(lost.root, sizeof(lost.root), root);
    world_close(&w);
    must(csl_file_write_atomic(w.config.path, csl_msg_span(&old), 0600, &w.err), &w.err);
    csl_msg_release(&old);
    assert_int_equal(ledger("recover %s --size %llu --root %064d", w.config.path,
                            (unsigned long long)lost.size, 0),
                     2);
    assert_int_equal(ledger("recover %s --size %llu --root %s --lost-epsilon 0.5", w.config.path,
                            (unsigned long long)lost.size, root),
                     0);
    assert_int_equal(ledger("recover %s --size %llu --root %s", w.config.path,
                            (unsigned long long)lost.size, root),
                     1); /* nothing is left to recover from */
    assert_int_equal(ledger("show %s", w.config.path), 0);
    cli_assert_printed("recover");
    world_remove(&w);
}

/* A round reserved and never charged, by an agent that was stopped. */
static void leave_a_reservation(const struct csl_ledger_study *s)
{
    uint64_t id = 0;

    must(world_reserve(&w, s, 2, 0, &id), &w.err);
    world_close(&w);
}

static void test_cli_ledger__stop__ends_the_study_and_gives_back_what_never_ran(void **state)
{
    const struct csl_ledger_study s = study_number(1, 1);
    char study[2 * CSL_DIGEST_BYTES + 1];
    uint64_t id = 0;

    (void)state;
    csl_hex(s.digest, sizeof(s.digest), study);
    make_ledger(1);
    double once = world_spent(&w, &s).epsilon;
    leave_a_reservation(&s);
    assert_int_equal(ledger("stop %s", w.path), 2);
    cli_assert_printed("64 hexadecimal digits");
    assert_int_equal(ledger("stop %s --study %064d", w.path, 0), 2);
    cli_assert_printed("not registered");
    for (int i = 0; i < 2; i++) { /* again: nothing more is written */
        assert_int_equal(ledger("stop %s --study %s", w.path, study), 0);
        cli_assert_printed("is stopped");
    }
    world_open(&w);
    assert_true(world_spent(&w, &s).is_stopped);
    assert_true(world_spent(&w, &s).epsilon == once);
    assert_int_equal(csl_ledger_open_reservations(w.l, NULL, 0), 0);
    assert_int_equal(csl_ledger_size(w.l), 5 + 4); /* reserve, clock, stop, settle */
    assert_int_equal(world_reserve(&w, &s, 3, 0, &id), CSL_E_DENIED);
    world_export(&w);
    assert_int_equal(ledger("verify %s", w.out), 0);
    world_remove(&w);
}

static void test_cli_ledger__withdraw__study_goes_on_with_the_records_left(void **state)
{
    struct csl_ledger_study s = study_number(1, 1);
    char digest[2 * CSL_DIGEST_BYTES + 1];

    (void)state;
    make_ledger(1);
    leave_a_reservation(&s);
    csl_digest("fewer", 5, s.cohort_digest);
    csl_hex(s.cohort_digest, sizeof(s.cohort_digest), digest);
    assert_int_equal(ledger("withdraw %s --cohort ward --patients 119", w.path), 2);
    cli_assert_printed("--cohort-digest");
    assert_int_equal(ledger("withdraw %s --cohort ward --cohort-digest %s", w.path, digest), 2);
    cli_assert_printed("--patients");
    assert_int_equal(ledger("withdraw %s --cohort-digest %s --patients 119", w.path, digest), 2);
    cli_assert_printed("no study of a cohort 'records'");
    assert_int_equal(
        ledger("withdraw %s --cohort ward --cohort-digest %s --patients 119", w.path, digest), 0);
    cli_assert_printed("100-299 patients");
    cli_assert_printed("given back: 1");
    world_open(&w);
    assert_int_equal(world_last(&w).kind, CSL_LEDGER_WITHDRAWAL);
    (void)run_round(&w, &s, 3, 0); /* registers the plan with the new digest: accepted */
    world_export(&w);
    assert_int_equal(ledger("verify %s", w.out), 0);
    world_remove(&w);
}

static void test_cli_ledger__stop_while_the_agent_runs__is_refused(void **state)
{
    char study[2 * CSL_DIGEST_BYTES + 1];
    const struct csl_ledger_study s = study_number(1, 1);
    int lock = -1;

    (void)state;
    csl_hex(s.digest, sizeof(s.digest), study);
    make_ledger(1);
    must(csl_dir_lock(w.dir, &lock, &w.err), &w.err); /* as an agent does */
    assert_int_equal(ledger("stop %s --study %s", w.path, study), 2);
    cli_assert_printed("in use by another process");
    assert_int_equal(csl_ledger_size(w.l), 5);
    (void)close(lock);
    world_remove(&w);
}

static void test_cli_ledger__what_is_no_ledger__is_refused(void **state)
{
    (void)state;
    cli_put_file("junk", "not a ledger\n");
    cli_put_file("junk.db", "SQLite format 3");
    assert_int_equal(cli_run("ledger show %/junk"), 2);
    assert_int_equal(cli_run("ledger show %/junk.db"), 2);
    assert_int_equal(cli_run("ledger verify %/junk"), 2);
    assert_int_equal(cli_run("ledger verify %/absent"), 2);
    cli_assert_printed("absent");
    assert_int_equal(cli_run("ledger show %"), 2);
    cli_assert_printed("is a folder");
    assert_int_not_equal(cli_run("ledger export %/junk %/out"), 0);
    assert_int_not_equal(cli_run("ledger export %/absent %/out"), 0);
    assert_int_equal(cli_run("ledger diff %/junk %/junk"), 2);
    assert_int_equal(cli_run("ledger"), 2);
    cli_assert_printed("show, verify, export, diff, recover, withdraw or stop");
    assert_int_equal(cli_run("ledger diff %/junk"), 2);
    cli_assert_printed("two files would be right");
    assert_int_equal(cli_run("ledger show %/junk --public-key 00"), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_ledger__show__lists_entries_and_what_is_left),
        cmocka_unit_test(test_cli_ledger__show_json__is_one_object_a_line),
        cmocka_unit_test(test_cli_ledger__verify__accepts_what_the_site_signed),
        cmocka_unit_test(test_cli_ledger__verify__names_the_first_bad_entry),
        cmocka_unit_test(test_cli_ledger__verify_with_another_key__is_a_no),
        cmocka_unit_test(test_cli_ledger__export_and_diff__tell_a_continuation_from_a_fork),
        cmocka_unit_test(test_cli_ledger__recover__takes_the_named_head_and_books_the_loss),
        cmocka_unit_test(test_cli_ledger__stop__ends_the_study_and_gives_back_what_never_ran),
        cmocka_unit_test(test_cli_ledger__withdraw__study_goes_on_with_the_records_left),
        cmocka_unit_test(test_cli_ledger__stop_while_the_agent_runs__is_refused),
        cmocka_unit_test(test_cli_ledger__what_is_no_ledger__is_refused),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_cli_ledger PROGRAM\n");
        return 2;
    }
    cli_program = argv[1];
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
