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

/* A head of site `of` with `size` entries of the history `branch`, signed by `key`. */
static struct csl_checkpoint head_of(uint32_t of, uint64_t size, uint8_t branch,
                                     const struct csl_sign_key *key,
                                     char text[CSL_CHECKPOINT_TEXT_MAX])
{
    struct csl_checkpoint c = {.size = size};
    snprintf(c.origin, sizeof(c.origin), "consilium-ledger/%s", sites[of]);
    memset(c.root, branch, sizeof(c.root));
    c.root[0] = (uint8_t)size;
    csl_checkpoint_sign(&c, key);
    csl_checkpoint_write(&c, key->public_key, text);
    return c;
}

static enum csl_code offer(uint32_t site, uint64_t size, uint8_t branch)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    struct csl_err err = {.code = CSL_OK};
    (void)head_of(site, size, branch, &keys[site], text);
    return csl_heads_offer(h, site, text, keys[site].public_key, signature, &err);
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
    must(csl_heads_offer(h, 0, text, keys[0].public_key, signature, &err), &err);
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

static void test_pitfall_33__another_key__refused(void **state)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    (void)state;
    remember_five();
    (void)head_of(0, 6, 1, &keys[1], text);
    assert_untouched(csl_heads_offer(h, 0, text, keys[1].public_key, signature, NULL),
                     CSL_E_CRYPTO);
    assert_untouched(csl_heads_offer(h, 0, text, keys[0].public_key, signature, NULL),
                     CSL_E_CRYPTO); /* nor under the right key's name */
    struct csl_heads *fresh = NULL; /* of a site not seen before, any key is the first */
    struct csl_err err = {.code = CSL_OK};
    must(csl_heads_open(&fresh, NULL, sites, 2, &err), &err);
    must(csl_heads_offer(fresh, 0, text, keys[1].public_key, signature, &err), &err);
    csl_heads_close(fresh);
}

/* A countersignature says whose ledger it is about by the origin alone. */
static void test_heads__origin_of_another_site__refused(void **state)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    (void)state;
    remember_five();
    (void)head_of(1, 6, 1, &keys[0], text);
    assert_untouched(csl_heads_offer(h, 0, text, keys[0].public_key, signature, NULL),
                     CSL_E_CRYPTO);
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
        assert_int_equal(csl_heads_offer(h, 0, changed, keys[0].public_key, signature, NULL),
                         CSL_E_CRYPTO);
        changed[i] = '\0';
        assert_int_equal(csl_heads_offer(h, 0, changed, keys[0].public_key, signature, NULL),
                         CSL_E_CRYPTO);
    }
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_untouched(csl_heads_offer(h, 0, longest, keys[0].public_key, signature, NULL),
                     CSL_E_CRYPTO);
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
        T(test_pitfall_33__another_key__refused),
        T(test_heads__origin_of_another_site__refused),
        T(test_heads__garbage__refused),
        T(test_heads__restarted__remembers_heads_and_its_own_key),
        T(test_heads__files__secret_key_not_readable_by_others),
        T(test_heads__damaged_file__named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
