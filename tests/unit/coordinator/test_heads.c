/* The coordinator's memory of the sites' ledger heads. */
#include "base/str.h"
#include "coordinator/heads.h"
#include "tests/unit/world/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char sites[2][CSL_ID_MAX] = {"aarhus", "brno"};
static char dir[64];
static struct csl_heads *h;
static struct csl_sign_key keys[2];
static uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static void reopen(void)
{
    struct csl_err err = {.code = CSL_OK};
    csl_heads_close(h);
    h = NULL;
    must(csl_heads_open(&h, dir, sites, 2, &err), &err);
}

static int open_heads(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/csl-heads-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    csl_sign_keygen(&keys[0]);
    csl_sign_keygen(&keys[1]);
    reopen();
    return 0;
}

static int close_heads(void **state)
{
    (void)state;
    csl_heads_close(h);
    h = NULL;
    fixture_remove(dir);
    return 0;
}

/* --- histories: those of two branches part after entry 3, whatever their numbers --- */

#define PARTING 4

static enum csl_code read_leaf(void *ctx, uint64_t index, uint8_t leaf[CSL_SHA256_BYTES],
                               struct csl_err *err)
{
    const uint8_t *branch = ctx;
    const uint8_t entry[2] = {(uint8_t)index, index < PARTING ? 0 : *branch};
    (void)err;
    csl_merkle_leaf(entry, sizeof(entry), leaf);
    return CSL_OK;
}

/* A head of site `of` with `size` entries of the history `branch`, signed by `key`. */
static struct csl_checkpoint head_of(uint32_t of, uint64_t size, uint8_t branch,
                                     const struct csl_sign_key *key,
                                     char text[CSL_CHECKPOINT_TEXT_MAX])
{
    struct csl_checkpoint c = {.size = size};
    struct csl_merkle tree = {.size = 0};
    struct csl_err err = {.code = CSL_OK};
    snprintf(c.origin, sizeof(c.origin), "consilium-ledger/%s", sites[of]);
    while (tree.size < size) {
        uint8_t leaf[CSL_SHA256_BYTES];
        must(read_leaf(&branch, tree.size, leaf, &err), &err);
        csl_merkle_add(&tree, leaf);
    }
    csl_merkle_root(&tree, c.root);
    csl_checkpoint_sign(&c, key);
    csl_checkpoint_write(&c, key->public_key, text);
    return c;
}

static uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_SHA256_BYTES];
static size_t proof_count;

/* That the history `branch` of `size` entries continues its own first `old_size`. */
static void prove(uint64_t old_size, uint64_t size, uint8_t branch)
{
    struct csl_err err = {.code = CSL_OK};
    must(
        csl_merkle_prove_consistency(read_leaf, &branch, old_size, size, proof, &proof_count, &err),
        &err);
}

static enum csl_code offer_text(struct csl_heads *to, uint32_t site, const char *text,
                                const uint8_t *key, struct csl_err *err)
{
    const struct csl_heads_claim claim = {.text = text,
                                          .key = key,
                                          .proof = (const uint8_t(*)[CSL_SHA256_BYTES])proof,
                                          .proof_count = proof_count};
    return csl_heads_offer(to, site, &claim, signature, err);
}

/* With the proof that is at hand. */
static enum csl_code offer_as_is(uint32_t site, uint64_t size, uint8_t branch)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    struct csl_err err = {.code = CSL_OK};
    (void)head_of(site, size, branch, &keys[site], text);
    return offer_text(h, site, text, keys[site].public_key, &err);
}

static uint64_t remembered_size(uint32_t site)
{
    struct csl_checkpoint c;
    struct csl_err err = {.code = CSL_OK};
    const char *text = csl_heads_last(h, site);
    if (text[0] == '\0')
        return 0;
    must(csl_checkpoint_read(&c, CSL_SPAN(text, strlen(text)), keys[site].public_key, &err), &err);
    return c.size;
}

/* As a site does: with the best proof that its own history has. */
static enum csl_code offer(uint32_t site, uint64_t size, uint8_t branch)
{
    uint64_t old = remembered_size(site);
    proof_count = 0;
    if (old <= size)
        prove(old, size, branch);
    return offer_as_is(site, size, branch);
}

static void assert_remembered(uint32_t site, uint64_t size, uint8_t branch)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    (void)head_of(site, size, branch, &keys[site], text);
    assert_string_equal(csl_heads_last(h, site), text);
}

static void test_heads__nothing_announced__nothing_remembered(void **state)
{
    (void)state;
    assert_string_equal(csl_heads_last(h, 0), "");
    reopen();
    assert_string_equal(csl_heads_last(h, 1), "");
}

static void test_heads__head_announced__countersigned(void **state)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    struct csl_checkpoint c = head_of(0, 5, 1, &keys[0], text);
    must(offer_text(h, 0, text, keys[0].public_key, &err), &err);
    assert_true(csl_checkpoint_verify_countersignature(&c, csl_heads_public_key(h), signature));
    assert_string_equal(csl_heads_last(h, 0), text);
    assert_string_equal(csl_heads_last(h, 1), ""); /* a site has its own */
    c.size++;                                      /* of this head and no other */
    assert_false(csl_checkpoint_verify_countersignature(&c, csl_heads_public_key(h), signature));
}

static void test_heads__continued__the_newest_is_remembered(void **state)
{
    (void)state;
    for (uint64_t size = 3; size < 30; size += 4) {
        assert_int_equal(offer(0, size, 1), CSL_OK);
        assert_remembered(0, size, 1);
    }
}

static void test_heads__same_head_again__countersigned_again(void **state)
{
    uint8_t first[CSL_SIGN_SIGNATURE_BYTES];
    (void)state;
    assert_int_equal(offer(0, 5, 1), CSL_OK);
    memcpy(first, signature, sizeof(first));
    memset(signature, 0, sizeof(signature));
    assert_int_equal(offer(0, 5, 1), CSL_OK); /* the announcement was repeated */
    assert_memory_equal(signature, first, sizeof(first));
}

static void assert_untouched(enum csl_code code, enum csl_code expected)
{
    static const uint8_t none[CSL_SIGN_SIGNATURE_BYTES];
    assert_int_equal(code, expected);
    assert_memory_equal(signature, none, sizeof(none)); /* nothing was countersigned */
    assert_remembered(0, 5, 1);
    reopen();
    assert_remembered(0, 5, 1);
}

static void remember_five(void)
{
    assert_int_equal(offer(0, 5, 1), CSL_OK);
    memset(signature, 0, sizeof(signature));
}

static void test_pitfall_33__rolled_back__refused(void **state)
{
    (void)state;
    remember_five();
    assert_untouched(offer(0, 4, 1), CSL_E_STATE);
    assert_untouched(offer(0, 0, 1), CSL_E_STATE);
}

static void test_pitfall_33__another_history_of_the_same_size__refused(void **state)
{
    (void)state;
    remember_five();
    assert_untouched(offer(0, 5, 2), CSL_E_STATE);
}

/* A key holder who rewrote the history has a longer log, properly signed, and no proof. */
static void test_pitfall_33__longer_history_that_does_not_continue__refused(void **state)
{
    (void)state;
    remember_five();
    for (uint64_t size = 6; size < 40; size++) {
        assert_untouched(offer(0, size, 2), CSL_E_STATE);
        prove(5, size, 1); /* the right history's proof is none of the other's */
        assert_untouched(offer_as_is(0, size, 2), CSL_E_STATE);
    }
    assert_int_equal(offer(0, 40, 1), CSL_OK); /* the refusals did no harm */
    assert_remembered(0, 40, 1);
}

static void test_heads__no_proof_or_a_wrong_one__refused(void **state)
{
    (void)state;
    remember_five();
    proof_count = 0;
    assert_untouched(offer_as_is(0, 6, 1), CSL_E_STATE);
    prove(4, 6, 1); /* from another head than the one that is remembered */
    assert_untouched(offer_as_is(0, 6, 1), CSL_E_STATE);
    prove(5, 7, 1);
    assert_untouched(offer_as_is(0, 6, 1), CSL_E_STATE);
    prove(5, 6, 1);
    const size_t right = proof_count;
    assert_true(right > 0);
    for (size_t i = 0; i < right * CSL_SHA256_BYTES; i++) { /* any one bit */
        proof[i / CSL_SHA256_BYTES][i % CSL_SHA256_BYTES] ^= (uint8_t)(1u << (i % 8));
        assert_int_equal(offer_as_is(0, 6, 1), CSL_E_STATE);
        proof[i / CSL_SHA256_BYTES][i % CSL_SHA256_BYTES] ^= (uint8_t)(1u << (i % 8));
    }
    proof_count = right - 1;
    assert_untouched(offer_as_is(0, 6, 1), CSL_E_STATE);
    proof_count = right + 1; /* a hash too many */
    assert_untouched(offer_as_is(0, 6, 1), CSL_E_STATE);
    proof_count = 1; /* of what is remembered already there is nothing to prove */
    assert_untouched(offer_as_is(0, 5, 1), CSL_E_STATE);
    proof_count = right;
    assert_int_equal(offer_as_is(0, 6, 1), CSL_OK);
    assert_remembered(0, 6, 1);
}

/* The answer was lost with the session: the site shows the same head, or a longer one, to a
 * coordinator that has been started again. */
static void test_heads__killed_after_it_remembered__taken_again(void **state)
{
    (void)state;
    remember_five();
    assert_int_equal(offer(0, 9, 1), CSL_OK);
    reopen();
    memset(signature, 0, sizeof(signature));
    assert_int_equal(offer(0, 9, 1), CSL_OK);
    assert_int_not_equal(signature[0] | signature[1] | signature[2] | signature[3], 0);
    prove(5, 10, 1); /* with what was remembered before, and is no more */
    assert_int_equal(offer_as_is(0, 10, 1), CSL_E_STATE);
    assert_int_equal(offer(0, 10, 1), CSL_OK);
    assert_remembered(0, 10, 1);
}

static void test_pitfall_33__another_key__refused(void **state)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    (void)state;
    remember_five();
    (void)head_of(0, 6, 1, &keys[1], text);
    assert_untouched(offer_text(h, 0, text, keys[1].public_key, NULL), CSL_E_CRYPTO);
    assert_untouched(offer_text(h, 0, text, keys[0].public_key, NULL),
                     CSL_E_CRYPTO); /* nor under the right key's name */
    struct csl_heads *fresh = NULL; /* of a site not seen before, any key is the first */
    struct csl_err err = {.code = CSL_OK};
    must(csl_heads_open(&fresh, NULL, sites, 2, &err), &err);
    must(offer_text(fresh, 0, text, keys[1].public_key, &err), &err);
    csl_heads_close(fresh);
}

/* A countersignature says whose ledger it is about by the origin alone. */
static void test_heads__origin_of_another_site__refused(void **state)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    (void)state;
    remember_five();
    (void)head_of(1, 6, 1, &keys[0], text);
    assert_untouched(offer_text(h, 0, text, keys[0].public_key, NULL), CSL_E_CRYPTO);
}

static void test_heads__garbage__refused(void **state)
{
    char text[CSL_CHECKPOINT_TEXT_MAX], longest[CSL_CHECKPOINT_TEXT_MAX + 1];
    (void)state;
    remember_five();
    (void)head_of(0, 6, 1, &keys[0], text);
    const size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) { /* any one character changed, or the rest missing */
        char changed[CSL_CHECKPOINT_TEXT_MAX];
        memcpy(changed, text, n + 1);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_equal(offer_text(h, 0, changed, keys[0].public_key, NULL), CSL_E_CRYPTO);
        changed[i] = '\0';
        assert_int_equal(offer_text(h, 0, changed, keys[0].public_key, NULL), CSL_E_CRYPTO);
    }
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_untouched(offer_text(h, 0, longest, keys[0].public_key, NULL), CSL_E_CRYPTO);
}

static void test_heads__restarted__remembers_heads_and_its_own_key(void **state)
{
    uint8_t own[CSL_SIGN_PUBLIC_BYTES];
    (void)state;
    memcpy(own, csl_heads_public_key(h), sizeof(own));
    assert_int_equal(offer(0, 5, 1), CSL_OK);
    assert_int_equal(offer(1, 9, 3), CSL_OK);
    reopen();
    assert_memory_equal(csl_heads_public_key(h), own, sizeof(own));
    assert_remembered(0, 5, 1);
    assert_remembered(1, 9, 3);
    assert_int_equal(offer(1, 8, 3), CSL_E_STATE);
    assert_int_equal(offer(1, 10, 3), CSL_OK);
}

static void test_heads__files__secret_key_not_readable_by_others(void **state)
{
    char path[CSL_PATH_MAX];
    struct stat st;
    (void)state;
    snprintf(path, sizeof(path), "%s/ledger.key", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_heads__damaged_file__named(void **state)
{
    char path[CSL_PATH_MAX];
    struct csl_msg good = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    struct csl_heads *none = NULL;
    (void)state;
    assert_int_equal(offer(1, 9, 3), CSL_OK);
    csl_heads_close(h);
    h = NULL;
    snprintf(path, sizeof(path), "%s/heads/brno", dir);
    must(csl_file_read(&good, path, 4096, &err), &err);
    for (size_t i = 0; i < good.n; i++) {
        good.p[i] ^= 1; /* one bit changed */
        must(csl_file_write_atomic(path, csl_msg_span(&good), 0600, &err), &err);
        good.p[i] ^= 1;
        assert_int_equal(csl_heads_open(&none, dir, sites, 2, &err), CSL_E_CORRUPT);
        assert_non_null(strstr(err.msg, path));
        struct csl_span part = {good.p, i}; /* or cut off */
        must(csl_file_write_atomic(path, part, 0600, &err), &err);
        assert_int_equal(csl_heads_open(&none, dir, sites, 2, &err), CSL_E_CORRUPT);
        assert_null(none);
    }
    must(csl_file_write_atomic(path, csl_msg_span(&good), 0600, &err), &err);
    csl_msg_release(&good);
    reopen();
    assert_remembered(1, 9, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_heads, close_heads)
    const struct CMUnitTest tests[] = {
        T(test_heads__nothing_announced__nothing_remembered),
        T(test_heads__head_announced__countersigned),
        T(test_heads__continued__the_newest_is_remembered),
        T(test_heads__same_head_again__countersigned_again),
        T(test_pitfall_33__rolled_back__refused),
        T(test_pitfall_33__another_history_of_the_same_size__refused),
        T(test_pitfall_33__longer_history_that_does_not_continue__refused),
        T(test_heads__no_proof_or_a_wrong_one__refused),
        T(test_heads__killed_after_it_remembered__taken_again),
        T(test_pitfall_33__another_key__refused),
        T(test_heads__origin_of_another_site__refused),
        T(test_heads__garbage__refused),
        T(test_heads__restarted__remembers_heads_and_its_own_key),
        T(test_heads__files__secret_key_not_readable_by_others),
        T(test_heads__damaged_file__named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
