/* `consilium ledger` as people call it. argv[1] is the program. */
#include "privacy/dp/account.h"
#include "privacy/ledger/export.h"
#include "privacy/ledger/merkle.h"
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

/* --- what was cut off --- */

/* The first `entries` of the export, closed with the signature that stands beside the last of them:
 * the site's own, for a ledger that ended there. */
static void cut_export(uint64_t entries, const char *path)
{
    struct csl_export_reader *reader = NULL;
    static struct csl_export_record record;
    static char out[64 * 1024], text[CSL_CHECKPOINT_TEXT_MAX];
    struct csl_checkpoint head = {.size = entries};
    struct csl_merkle tree = {.size = 0};
    struct csl_msg all = {NULL, 0};
    uint8_t leaf[CSL_SHA256_BYTES];
    FILE *in = fopen(w.out, "rb");

    assert_non_null(in);
    must(csl_export_open(&reader, in, &w.err), &w.err);
    for (uint64_t i = 0; i < entries; i++) {
        must(csl_export_next(reader, &record, &w.err), &w.err);
        csl_merkle_leaf(record.bytes, record.byte_count, leaf);
        csl_merkle_add(&tree, leaf);
    }
    csl_export_close(reader);
    (void)fclose(in);
    snprintf(head.origin, sizeof(head.origin), "consilium-ledger/north");
    csl_merkle_root(&tree, head.root);
    memcpy(head.signature, record.signature, sizeof(head.signature));
    csl_checkpoint_write(&head, csl_ledger_public_key(w.l), text);
    must(csl_file_read(&all, w.out, sizeof(out), &w.err), &w.err);
    size_t n = 0;
    for (uint64_t lines = 0; lines <= entries; n++) /* the first line and the entries */
        lines += all.p[n] == '\n';
    int total = snprintf(out, sizeof(out), "%.*s\n%s", (int)n, (const char *)all.p, text);
    csl_msg_release(&all);
    assert_true(total > 0 && (size_t)total < sizeof(out));
    must(csl_file_write_atomic(path, CSL_SPAN(out, (size_t)total), 0600, &w.err), &w.err);
}

/* The ledger's head now, as a checkpoint and as the coordinator keeps it. */
static void put_heads(void)
{
    struct csl_checkpoint head;
    char text[CSL_CHECKPOINT_TEXT_MAX], both[CSL_CHECKPOINT_TEXT_MAX + 66], key[65];

    csl_ledger_head(w.l, &head);
    csl_checkpoint_write(&head, csl_ledger_public_key(w.l), text);
    hex_key(key);
    snprintf(both, sizeof(both), "%s\n%s", key, text);
    cli_put_file("plain", text);
    cli_put_file("north", both);
}

static void test_cli_ledger__verify_cut_export__a_head_kept_elsewhere_shows_it(void **state)
{
    static const char *const kinds[] = {"plain", "north", "whole"};
    char cut[CSL_PATH_MAX], whole[CSL_PATH_MAX], key[65];

    (void)state;
    make_ledger(3); /* 9 entries */
    put_heads();
    hex_key(key);
    snprintf(cut, sizeof(cut), "%s/cut", cli_folder);
    snprintf(whole, sizeof(whole), "%s/whole", cli_folder);
    copy_file(w.out, whole);
    for (uint64_t entries = 1; entries < 9; entries++) {
        char line[160];
        cut_export(entries, cut);
        /* Everything in it is the site's own: only what it says of its end can be a warning. */
        assert_int_equal(ledger("verify %s --public-key %s", cut, key), 0);
        snprintf(line, sizeof(line),
                 "complete up to entry %u; what came after cannot be excluded without a head "
                 "(--head)",
                 (unsigned)entries - 1);
        cli_assert_printed(line);
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(ledger("verify %s --public-key %s --head %%/%s", cut, key, kinds[k]),
                             1);
            cli_assert_printed("entries are missing: the site signed a head of size 9 before");
        }
        /* However many others it has: none is passed over. */
        assert_int_equal(ledger("verify %s --head %%/cut --head %%/north --head %%/cut", cut), 1);
        assert_int_equal(ledger("verify %s --head %%/cut --json", cut), 0);
        struct csl_json_doc *doc = cli_parse_output();
        assert_true(cli_number(doc, "known_heads") == 1);
        assert_true(cli_number(doc, "known_size") == (double)entries);
        csl_json_free(doc);
        assert_int_equal(ledger("verify %s --head %%/cut --head %%/north", w.out), 0);
        cli_assert_printed("continues the 2 known heads, the latest of 9 entries; complete up to "
                           "entry 8; what came after cannot be excluded without a later head");
    }
    world_remove(&w);
}

static void test_cli_ledger__verify_head_of_something_else__is_refused(void **state)
{
    (void)state;
    make_ledger(1);
    put_heads();
    cli_put_file("junk", "not a head\n");
    world_remove(&w);
    make_ledger(2); /* another key */
    assert_int_equal(ledger("verify %s --head %%/plain", w.out), 2);
    cli_assert_printed("a head that this ledger's key signed would be right");
    assert_int_equal(ledger("verify %s --head %%/north", w.out), 2);
    cli_assert_printed("a head of another key");
    assert_int_equal(ledger("verify %s --head %%/junk", w.out), 2);
    assert_int_equal(ledger("verify %s --head %%/absent", w.out), 2);
    assert_int_equal(ledger("verify %s --head %%", w.out), 2);
    assert_int_equal(ledger("show %s --head %%/plain", w.out), 2);
    cli_assert_printed("it goes with verify and recover");
    world_remove(&w);
}

static void test_cli_ledger__verify_peer__countersignatures_by_that_key_only(void **state)
{
    struct csl_sign_key peer;
    struct csl_checkpoint head;
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
    char key[65];

    (void)state;
    make_ledger(2);
    csl_sign_keygen(&peer);
    csl_hex(peer.public_key, sizeof(peer.public_key), key);
    csl_ledger_head(w.l, &head);
    csl_checkpoint_countersign(&head, &peer, signature);
    must(csl_ledger_store_countersignature(w.l, "coordinator", peer.public_key, head.size,
                                           signature, &w.err),
         &w.err);
    world_export(&w);
    assert_int_equal(ledger("verify %s --peer coordinator=%s", w.out, key), 0);
    cli_assert_printed("1 countersignature by a known peer, the latest of a head of 7 entries");
    assert_int_equal(ledger("verify %s --peer coordinator=%s --json", w.out, key), 0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_true(cli_number(doc, "countersignatures_by_known_peers") == 1);
    assert_true(cli_number(doc, "countersigned_size") == 7);
    csl_json_free(doc);
    assert_int_equal(ledger("verify %s --peer other=%s --peer coordinator=%064d", w.out, key, 1),
                     1);
    cli_assert_printed("The first bad entry is 7: a countersignature in the name of coordinator by "
                       "another's key");
    assert_int_equal(ledger("verify %s --peer coordinator", w.out), 2);
    cli_assert_printed("ID=HEX");
    assert_int_equal(ledger("verify %s --peer coordinator=12", w.out), 2);
    assert_int_equal(ledger("show %s --peer coordinator=%s", w.out, key), 2);
    csl_sign_wipe(&peer);
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

static void test_cli_ledger__stop__ends_the_study_and_gives_nothing_back(void **state)
{
    const struct csl_ledger_study s = study_number(1, 1);
    char study[2 * CSL_DIGEST_BYTES + 1];
    uint64_t id = 0;

    (void)state;
    csl_hex(s.digest, sizeof(s.digest), study);
    make_ledger(1);
    double once = world_spent(&w, &s).epsilon;
    leave_a_reservation(&s); /* this folder may be a copy from before an update left */
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
    assert_true(world_spent(&w, &s).epsilon > once);
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
    cli_assert_printed("stay spent: 1");
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

/* All of the ledger's own files are of the backup: only the coordinator knows the lost head, and
 * the file that it keeps is what is given to recover. */
static void test_cli_ledger__recover_from_what_the_coordinator_keeps__takes_its_file(void **state)
{
    struct csl_msg old[2] = {{NULL, 0}, {NULL, 0}};
    struct csl_checkpoint lost;
    char root[2 * CSL_SHA256_BYTES + 1];

    (void)state;
    make_ledger(1);
    world_close(&w);
    must(csl_file_read(&old[0], w.config.path, 1 << 24, &w.err), &w.err);
    must(csl_file_read(&old[1], w.config.head_path, 1 << 12, &w.err), &w.err);
    world_open(&w);
    const struct csl_ledger_study s = study_number(1, 1);
    (void)run_round(&w, &s, 2, 0);
    put_heads();
    csl_ledger_head(w.l, &lost);
    csl_hex(lost.root, sizeof(lost.root), root);
    world_close(&w);
    must(csl_file_write_atomic(w.config.path, csl_msg_span(&old[0]), 0600, &w.err), &w.err);
    must(csl_file_write_atomic(w.config.head_path, csl_msg_span(&old[1]), 0600, &w.err), &w.err);
    csl_msg_release(&old[0]);
    csl_msg_release(&old[1]);
    assert_int_equal(ledger("recover %s --size %llu --root %s", w.config.path,
                            (unsigned long long)lost.size, root),
                     1); /* without it there is nothing to recover from */
    assert_int_equal(ledger("recover %s --size %llu --root %s --head %%/north --head %%/plain",
                            w.config.path, (unsigned long long)lost.size, root),
                     2);
    assert_int_equal(ledger("recover %s --size %llu --root %s --head %%/north", w.config.path,
                            (unsigned long long)lost.size, root),
                     0);
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
        cmocka_unit_test(test_cli_ledger__verify_cut_export__a_head_kept_elsewhere_shows_it),
        cmocka_unit_test(test_cli_ledger__verify_head_of_something_else__is_refused),
        cmocka_unit_test(test_cli_ledger__verify_peer__countersignatures_by_that_key_only),
        cmocka_unit_test(test_cli_ledger__export_and_diff__tell_a_continuation_from_a_fork),
        cmocka_unit_test(test_cli_ledger__recover__takes_the_named_head_and_books_the_loss),
        cmocka_unit_test(test_cli_ledger__stop__ends_the_study_and_gives_nothing_back),
        cmocka_unit_test(test_cli_ledger__withdraw__study_goes_on_with_the_records_left),
        cmocka_unit_test(test_cli_ledger__stop_while_the_agent_runs__is_refused),
        cmocka_unit_test(test_cli_ledger__recover_from_what_the_coordinator_keeps__takes_its_file),
        cmocka_unit_test(test_cli_ledger__what_is_no_ledger__is_refused),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_cli_ledger PROGRAM\n");
        return 2;
    }
    cli_program = argv[1];
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
