/* Heads, and what happens to a ledger that is not the one its head file or its peers know: pitfall
 * 33 (deleted, replaced by a backup, copied to a second agent). Countersignatures and proofs. */
#include "privacy/ledger/merkle.h"
#include "tests/unit/privacy/ledger_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct world w;
static struct csl_ledger_study study;
static char copy_path[CSL_PATH_MAX], other_head[CSL_PATH_MAX];

static int make(void **state)
{
    (void)state;
    world_make(&w);
    snprintf(copy_path, sizeof(copy_path), "%s/copy.db", w.dir);
    snprintf(other_head, sizeof(other_head), "%s/other.head", w.dir);
    world_open(&w);
    struct csl_ledger_policy p = policy_of(10, 1e-3, YEAR);
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    study = study_number(1, 2);
    run_round(&w, &study, 1, 0);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    world_remove(&w);
    return 0;
}

static void assert_trouble(void)
{
    struct csl_ledger_study other = study_number(77, 1);
    struct csl_ledger_request r = request_of(&study, 50, 0);
    struct csl_ledger_charge c = charge_of(&r, &study);
    uint64_t id = 0, size = csl_ledger_size(w.l);
    assert_non_null(csl_ledger_trouble(w.l));
    assert_int_equal(world_reserve(&w, &study, 50, 0, &id), CSL_E_STATE);
    assert_int_equal(csl_ledger_charge(w.l, 3, &c, &w.err), CSL_E_STATE);
    assert_int_equal(csl_ledger_publish(w.l, &c, &w.err), CSL_E_STATE);
    assert_int_equal(csl_ledger_register(w.l, &other, &w.err), CSL_E_STATE);
    assert_int_equal(csl_ledger_size(w.l), size);
}

static struct csl_checkpoint head(void)
{
    struct csl_checkpoint c;
    csl_ledger_head(w.l, &c);
    return c;
}

static void restore(const char *from)
{
    world_close(&w);
    copy_file(from, w.path);
    world_open(&w);
}

static void test_ledger_heads__pitfall_33__backup_restored__refused_until_recovered(void **state)
{
    (void)state;
    world_close(&w);
    copy_file(w.path, copy_path);
    world_open(&w);
    run_round(&w, &study, 2, 0);
    struct csl_checkpoint lost = head();
    restore(copy_path);
    assert_trouble();
    world_open(&w); /* a restart changes nothing */
    assert_trouble();
    uint8_t root[CSL_SHA256_BYTES];
    memcpy(root, lost.root, sizeof(root));
    root[0] ^= 1;
    assert_int_equal(csl_ledger_recover(w.l, lost.size, root, 1, 0, &w.err), CSL_E_INVAL);
    assert_int_equal(csl_ledger_recover(w.l, lost.size - 1, lost.root, 1, 0, &w.err), CSL_E_INVAL);
    assert_int_equal(csl_ledger_recover(w.l, lost.size, lost.root, -1, 0, &w.err), CSL_E_INVAL);
    must(csl_ledger_recover(w.l, lost.size, lost.root, 0.5, 1e-6, &w.err), &w.err);
    assert_int_equal(world_last(&w).kind, CSL_LEDGER_RECOVER);
    struct csl_ledger_spent x;
    csl_ledger_spent_by_cohort(w.l, "ward", YEAR, &x);
    assert_true(x.epsilon >= 0.5 + zcdp_epsilon(2, DELTA));
    world_open(&w);
    assert_null(csl_ledger_trouble(w.l));
    run_round(&w, &study, 3, 0);
    must(csl_ledger_check_peer_head(w.l, &lost, &w.err), &w.err); /* given up, by name */
}

static void
test_ledger_heads__pitfall_33__loss_not_known__budgets_wait_for_their_window(void **state)
{
    (void)state;
    uint64_t id = 0;
    world_close(&w);
    copy_file(w.path, copy_path);
    world_open(&w);
    run_round(&w, &study, 2, 0);
    struct csl_checkpoint lost = head();
    restore(copy_path);
    must(csl_ledger_recover(w.l, lost.size, lost.root, (double)INFINITY, 0, &w.err), &w.err);
    assert_int_equal(world_reserve(&w, &study, 3, 0, &id), CSL_E_BUDGET);
    w.now_s += YEAR + 1;
    assert_int_equal(world_reserve(&w, &study, 3, 1, &id), CSL_OK);
}

static void test_ledger_heads__pitfall_33__database_deleted__refused(void **state)
{
    (void)state;
    world_close(&w);
    copy_file(copy_path, w.path); /* there is none: deletes */
    world_open(&w);
    assert_trouble();
    world_open(&w); /* opening a new ledger leaves the head file of the old one */
    assert_trouble();
}

static void test_ledger_heads__pitfall_33__head_file_deleted_or_damaged__refused(void **state)
{
    (void)state;
    struct csl_checkpoint own = head();
    world_close(&w);
    unlink(w.head);
    world_open(&w);
    assert_trouble();
    must(csl_ledger_recover(w.l, own.size, own.root, 0, 0, &w.err), &w.err);
    world_open(&w);
    assert_null(csl_ledger_trouble(w.l));
    world_close(&w);
    must(csl_file_write_atomic(w.head, CSL_SPAN("x\n", 2), 0600, &w.err), &w.err);
    world_open(&w);
    assert_trouble();
}

static void test_ledger_heads__pitfall_33__all_files_replaced__the_peer_knows(void **state)
{
    (void)state;
    world_close(&w);
    copy_file(w.path, copy_path);
    copy_file(w.head, other_head);
    world_open(&w);
    run_round(&w, &study, 2, 0);
    struct csl_checkpoint known = head();
    world_close(&w);
    copy_file(copy_path, w.path);
    copy_file(other_head, w.head);
    world_open(&w);
    assert_null(csl_ledger_trouble(w.l)); /* consistent in itself */
    assert_int_equal(csl_ledger_check_peer_head(w.l, &known, &w.err), CSL_E_STATE);
    assert_trouble();
    must(csl_ledger_recover(w.l, known.size, known.root, 1, 0, &w.err), &w.err);
    must(csl_ledger_check_peer_head(w.l, &known, &w.err), &w.err);
    run_round(&w, &study, 3, 0);
}

static void test_ledger_heads__pitfall_33__second_agent__the_peer_sees_two_histories(void **state)
{
    (void)state;
    world_close(&w);
    copy_file(w.path, copy_path);
    copy_file(w.head, other_head);
    world_open(&w);
    run_round(&w, &study, 2, 0);
    struct csl_checkpoint first = head();
    struct csl_ledger_config config = w.config;
    config.path = copy_path;
    config.head_path = other_head;
    world_close(&w);
    must(csl_ledger_open(&w.l, &config, &w.err), &w.err);
    w.now_s += 10;
    run_round(&w, &study, 2, 0);
    run_round(&w, &study, 3, 0);
    assert_int_equal(csl_ledger_check_peer_head(w.l, &first, &w.err), CSL_E_STATE);
    assert_trouble();
}

static void test_ledger_heads__second_process__noticed_at_its_first_append(void **state)
{
    (void)state;
    struct csl_ledger *second = NULL;
    uint64_t id = 0;
    struct csl_ledger_request r = request_of(&study, 2, 0), q = request_of(&study, 3, 0);
    must(csl_ledger_open(&second, &w.config, &w.err), &w.err);
    must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
    assert_int_equal(csl_ledger_reserve(second, &q, &id, &w.err), CSL_E_STATE);
    assert_int_equal(csl_ledger_reserve(second, &q, &id, &w.err), CSL_E_STATE);
    csl_ledger_close(second);
    world_open(&w);
    must(csl_ledger_reserve(w.l, &q, &id, &w.err), &w.err);
}

static void test_ledger_heads__head_file_one_behind__that_is_a_crash_and_fine(void **state)
{
    (void)state;
    uint64_t id = 0;
    copy_file(w.head, other_head);
    must(world_reserve(&w, &study, 2, 0, &id), &w.err);
    world_close(&w);
    copy_file(other_head, w.head);
    world_open(&w);
    assert_null(csl_ledger_trouble(w.l));
    run_round(&w, &study, 2, 0);
}

static void test_ledger_heads__forged_peer_head__ignored(void **state)
{
    (void)state;
    struct csl_checkpoint c = head();
    c.size += 5;
    assert_int_equal(csl_ledger_check_peer_head(w.l, &c, &w.err), CSL_E_CRYPTO);
    assert_null(csl_ledger_trouble(w.l));
}

static void test_ledger_heads__key_missing_or_another__not_opened(void **state)
{
    (void)state;
    world_close(&w);
    copy_file(w.key, other_head);
    unlink(w.key);
    assert_int_equal(world_try_open(&w), CSL_E_DENIED);
    struct csl_sign_key key;
    csl_sign_keygen(&key);
    must(csl_sign_store(&key, w.key, &w.err), &w.err);
    assert_int_equal(csl_sign_store(&key, w.key, &w.err), CSL_E_EXISTS);
    assert_int_equal(world_try_open(&w), CSL_E_DENIED);
    copy_file(other_head, w.key);
    assert_int_equal(chmod(w.key, 0640), 0);
    assert_int_equal(world_try_open(&w), CSL_E_DENIED);
    assert_int_equal(chmod(w.key, 0600), 0);
    w.config.site = "south";
    assert_int_equal(world_try_open(&w), CSL_E_INVAL);
    w.config.site = "north";
    world_open(&w);
    csl_sign_wipe(&key);
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(w.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_ledger_heads__database_changed__not_opened(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "UPDATE entry SET bytes = zeroblob(80) WHERE idx = 2",
        "UPDATE entry SET signature = zeroblob(64) WHERE idx = 3",
        "UPDATE entry SET signature = zeroblob(64) WHERE idx = (SELECT max(idx) FROM entry)",
        "UPDATE entry SET signature = zeroblob(63) WHERE idx = 3",
        "DELETE FROM entry WHERE idx = 1",
        "DELETE FROM entry WHERE idx = 0",
        "UPDATE entry SET idx = 100 WHERE idx = 2"};
    world_close(&w);
    copy_file(w.path, copy_path);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        run_sql(changes[i]);
        assert_int_equal(world_try_open(&w), CSL_E_CORRUPT);
        copy_file(copy_path, w.path);
    }
    run_sql("PRAGMA application_id = 1");
    assert_int_equal(world_try_open(&w), CSL_E_CORRUPT);
    copy_file(copy_path, w.path);
    run_sql("PRAGMA user_version = 2");
    assert_int_equal(world_try_open(&w), CSL_E_UNSUPPORTED);
}

static void test_ledger_heads__read_only__reads_beside_the_agent_and_appends_nothing(void **state)
{
    (void)state;
    struct csl_ledger_config config = {.path = w.path, .is_read_only = true};
    struct csl_ledger *reader = NULL;
    struct csl_ledger_request r = request_of(&study, 2, 0);
    uint64_t id = 0;
    must(csl_ledger_open(&reader, &config, &w.err), &w.err);
    assert_int_equal(csl_ledger_size(reader), csl_ledger_size(w.l));
    assert_int_equal(csl_ledger_reserve(reader, &r, &id, &w.err), CSL_E_STATE);
    must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
    must(csl_ledger_export(reader, w.out, &w.err), &w.err);
    csl_ledger_close(reader);
    config.path = copy_path;
    assert_int_equal(csl_ledger_open(&reader, &config, &w.err), CSL_E_NOTFOUND);
}

static void test_ledger_heads__countersignature__stored_when_right(void **state)
{
    (void)state;
    struct csl_sign_key peer;
    struct csl_checkpoint ours = head(), theirs = {.origin = "consilium-ledger/hub", .size = 4};
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES], mine[CSL_SIGN_SIGNATURE_BYTES];
    csl_sign_keygen(&peer);
    csl_checkpoint_countersign(&ours, &peer, signature);
    must(csl_ledger_store_countersignature(w.l, "hub", peer.public_key, ours.size, signature,
                                           &w.err),
         &w.err);
    assert_int_equal(csl_ledger_store_countersignature(w.l, "hub", peer.public_key, ours.size - 1,
                                                       signature, &w.err),
                     CSL_E_CRYPTO);
    assert_int_equal(csl_ledger_store_countersignature(w.l, "hub", peer.public_key,
                                                       csl_ledger_size(w.l) + 1, signature, &w.err),
                     CSL_E_STATE);
    assert_int_equal(csl_ledger_countersign(w.l, &theirs, peer.public_key, mine, &w.err),
                     CSL_E_CRYPTO);
    csl_checkpoint_sign(&theirs, &peer);
    must(csl_ledger_countersign(w.l, &theirs, peer.public_key, mine, &w.err), &w.err);
    assert_true(csl_checkpoint_verify_countersignature(&theirs, csl_ledger_public_key(w.l), mine));
    theirs.origin[3] = '\n';
    csl_checkpoint_sign(&theirs, &peer);
    assert_int_equal(csl_ledger_countersign(w.l, &theirs, peer.public_key, mine, &w.err),
                     CSL_E_INVAL);
    csl_sign_wipe(&peer);
}

static void test_ledger_heads__checkpoint_text__every_byte_counts(void **state)
{
    (void)state;
    struct csl_checkpoint c = head(), back;
    char text[CSL_CHECKPOINT_TEXT_MAX];
    const uint8_t *key = csl_ledger_public_key(w.l);
    csl_checkpoint_write(&c, key, text);
    size_t n = strlen(text);
    must(csl_checkpoint_read(&back, CSL_SPAN(text, n), key, &w.err), &w.err);
    assert_memory_equal(&back, &c, sizeof(c));
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ (1 << bit));
            assert_int_not_equal(csl_checkpoint_read(&back, CSL_SPAN(text, n), key, NULL), CSL_OK);
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    for (size_t i = 0; i < n; i++)
        assert_int_not_equal(csl_checkpoint_read(&back, CSL_SPAN(text, i), key, NULL), CSL_OK);
}

static void test_ledger_heads__proofs__verify_and_only_for_what_they_say(void **state)
{
    (void)state;
    enum { N = 27 };
    uint8_t roots[N + 1][CSL_SHA256_BYTES], leaves[N][CSL_SHA256_BYTES];
    uint8_t hashes[CSL_MERKLE_PROOF_MAX][CSL_SHA256_BYTES];
    size_t count = 0;
    for (uint64_t round = 2; csl_ledger_size(w.l) < N; round++)
        run_round(&w, &study, round, 0);
    struct csl_merkle tree = {.size = 0};
    csl_merkle_root(&tree, roots[0]);
    for (uint64_t i = 0; i < N; i++) {
        struct csl_ledger_entry e;
        uint8_t bytes[CSL_LEDGER_ENTRY_MAX];
        must(csl_ledger_read(w.l, i, &e, &w.err), &w.err);
        csl_merkle_leaf(bytes, csl_ledger_entry_encode(&e, bytes), leaves[i]);
        csl_merkle_add(&tree, leaves[i]);
        csl_merkle_root(&tree, roots[i + 1]);
    }
    for (uint64_t size = 1; size <= N; size++) {
        for (uint64_t i = 0; i < size; i++) {
            must(csl_ledger_prove_inclusion(w.l, i, size, hashes, &count, &w.err), &w.err);
            const uint8_t(*proof)[CSL_SHA256_BYTES] = (const uint8_t(*)[CSL_SHA256_BYTES])hashes;
            assert_true(csl_merkle_verify_inclusion(leaves[i], i, size, proof, count, roots[size]));
            uint64_t other = (i + 1) % size;
            assert_true(size == 1 || !csl_merkle_verify_inclusion(leaves[other], i, size, proof,
                                                                  count, roots[size]));
        }
        for (uint64_t old = 0; old <= size; old++) {
            must(csl_ledger_prove_consistency(w.l, old, size, hashes, &count, &w.err), &w.err);
            const uint8_t(*proof)[CSL_SHA256_BYTES] = (const uint8_t(*)[CSL_SHA256_BYTES])hashes;
            assert_true(
                csl_merkle_verify_consistency(old, roots[old], size, roots[size], proof, count));
            uint8_t wrong[CSL_SHA256_BYTES];
            memcpy(wrong, roots[old], sizeof(wrong));
            wrong[7] ^= 1;
            assert_false(
                csl_merkle_verify_consistency(old, wrong, size, roots[size], proof, count));
        }
    }
    assert_int_equal(csl_ledger_prove_inclusion(w.l, 3, 3, hashes, &count, &w.err), CSL_E_INVAL);
    assert_int_equal(csl_ledger_prove_inclusion(w.l, 0, 1000, hashes, &count, &w.err), CSL_E_INVAL);
}

static void test_ledger_heads__recent_roots__equal_those_of_whole_trees(void **state)
{
    (void)state;
    static struct csl_merkle_recent recent;
    static uint8_t roots[3000][CSL_SHA256_BYTES];
    uint8_t leaf[CSL_SHA256_BYTES], root[CSL_SHA256_BYTES];
    memset(&recent, 0, sizeof(recent));
    for (uint64_t n = 0; n < 3000; n++) {
        csl_merkle_root(&recent.tree, roots[n]);
        if (n % 97 == 0 || n == 2999)
            for (uint64_t size = 0; size < 3000; size += n == 2999 ? 1 : 31) {
                bool is_there = size <= n && n - size <= CSL_MERKLE_RECENT;
                assert_int_equal(csl_merkle_recent_root(&recent, size, root), is_there);
                if (is_there)
                    assert_memory_equal(root, roots[size], sizeof(root));
            }
        csl_merkle_leaf(&n, sizeof(n), leaf);
        csl_merkle_recent_add(&recent, leaf);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        T(test_ledger_heads__pitfall_33__backup_restored__refused_until_recovered),
        T(test_ledger_heads__pitfall_33__loss_not_known__budgets_wait_for_their_window),
        T(test_ledger_heads__pitfall_33__database_deleted__refused),
        T(test_ledger_heads__pitfall_33__head_file_deleted_or_damaged__refused),
        T(test_ledger_heads__pitfall_33__all_files_replaced__the_peer_knows),
        T(test_ledger_heads__pitfall_33__second_agent__the_peer_sees_two_histories),
        T(test_ledger_heads__second_process__noticed_at_its_first_append),
        T(test_ledger_heads__head_file_one_behind__that_is_a_crash_and_fine),
        T(test_ledger_heads__forged_peer_head__ignored),
        T(test_ledger_heads__key_missing_or_another__not_opened),
        T(test_ledger_heads__database_changed__not_opened),
        T(test_ledger_heads__read_only__reads_beside_the_agent_and_appends_nothing),
        T(test_ledger_heads__countersignature__stored_when_right),
        T(test_ledger_heads__checkpoint_text__every_byte_counts),
        T(test_ledger_heads__proofs__verify_and_only_for_what_they_say),
        T(test_ledger_heads__recent_roots__equal_those_of_whole_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
