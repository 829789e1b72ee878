/* The roster that the federation's root signs, and what a party reads from its files. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/party.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct csl_sign_key root, coordinator, keys[3];
static struct csl_secagg_roster roster, got;
static struct csl_buf bytes;

static void make_key(struct csl_sign_key *key, uint8_t number)
{
    const uint8_t seed[CSL_SIGN_SEED_BYTES] = {number};
    csl_sign_from_seed(key, seed);
}

/* north 2, east 5, south 9. */
static int make_roster(void **state)
{
    static const char *const names[3] = {"north", "east", "south"};
    static const uint32_t numbers[3] = {2, 5, 9};
    (void)state;
    memset(&roster, 0, sizeof(roster));
    make_key(&root, 1);
    make_key(&coordinator, 2);
    roster.epoch = 7;
    roster.count = 3;
    memcpy(roster.coordinator_key, coordinator.public_key, 32);
    for (uint32_t i = 0; i < 3; i++) {
        make_key(&keys[i], (uint8_t)(3 + i));
        roster.sites[i].id = numbers[i];
        roster.sites[i].is_active = i != 1;
        csl_str_copy(roster.sites[i].name, CSL_ID_MAX, names[i]);
        memcpy(roster.sites[i].key, keys[i].public_key, 32);
    }
    return 0;
}

static enum csl_code decode(uint64_t epoch_min)
{
    return csl_secagg_roster_decode(&got, CSL_SPAN(bytes.p, bytes.n), root.public_key, epoch_min,
                                    NULL);
}

static void encode(void)
{
    csl_buf_release(&bytes);
    csl_buf_init(&bytes, CSL_SECAGG_ROSTER_BYTES_MAX);
    assert_int_equal(csl_secagg_roster_encode(&roster, &root, &bytes, NULL), CSL_OK);
}

static int release(void **state)
{
    (void)state;
    csl_buf_release(&bytes);
    return 0;
}

static void test_secagg_roster__signed_and_read__names_numbers_and_keys_as_written(void **state)
{
    uint8_t id[16];
    (void)state;
    encode();
    assert_int_equal(decode(7), CSL_OK);
    csl_secagg_federation_id(root.public_key, id);
    assert_memory_equal(got.federation_id, id, sizeof(id));
    assert_int_equal(got.epoch, 7);
    assert_int_equal(csl_secagg_roster_active(&got), 2);
    assert_int_equal(csl_secagg_roster_find(&got, 9), 2);
    assert_int_equal(csl_secagg_roster_find_name(&got, "south"), 2);
    assert_int_equal(csl_secagg_roster_find_name(&got, "sout"), UINT32_MAX);
    assert_memory_equal(got.sites[2].key, keys[2].public_key, 32);
}

static void test_secagg_roster__member__revoked_and_unknown_are_named(void **state)
{
    struct csl_err err;
    uint32_t place = 77;
    (void)state;
    encode();
    assert_int_equal(decode(0), CSL_OK);
    assert_int_equal(csl_secagg_roster_member(&got, "east", &place, &err), CSL_E_DENIED);
    assert_non_null(strstr(err.msg, "east is revoked in"));
    assert_int_equal(csl_secagg_roster_member(&got, "west", &place, &err), CSL_E_DENIED);
    assert_non_null(strstr(err.msg, "west is not in"));
    assert_int_equal(place, 77);
    assert_int_equal(csl_secagg_roster_member(&got, "north", &place, &err), CSL_OK);
    assert_int_equal(place, 0);
}

static void test_secagg_roster__what_a_root_must_not_sign__refused(void **state)
{
    (void)state;
    csl_str_copy(roster.sites[2].name, CSL_ID_MAX, "north"); /* one name, two keys */
    encode();
    assert_int_equal(decode(0), CSL_E_PROTO);
    csl_str_copy(roster.sites[2].name, CSL_ID_MAX, "South"); /* no id */
    encode();
    assert_int_equal(decode(0), CSL_E_PROTO);
    roster.sites[2].name[0] = '\0';
    encode();
    assert_int_equal(decode(0), CSL_E_PROTO);
    csl_str_copy(roster.sites[2].name, CSL_ID_MAX, "south");
    memcpy(roster.sites[2].key, keys[0].public_key, 32); /* one key, two names */
    encode();
    assert_int_equal(decode(0), CSL_E_PROTO);
    memcpy(roster.sites[2].key, coordinator.public_key, 32);
    encode();
    assert_int_equal(decode(0), CSL_E_PROTO);
    memcpy(roster.sites[2].key, keys[2].public_key, 32);
    roster.sites[2].id = 5;
    encode();
    assert_int_equal(decode(0), CSL_E_PROTO);
}

static void test_secagg_roster__any_byte_changed__not_signed(void **state)
{
    (void)state;
    encode();
    for (size_t i = 0; i < bytes.n; i++) {
        bytes.p[i] ^= 1;
        assert_int_not_equal(decode(0), CSL_OK);
        bytes.p[i] ^= 1;
    }
    assert_int_equal(decode(0), CSL_OK);
    assert_int_equal(decode(8), CSL_E_DENIED); /* an older epoch than one that was seen */
}

/* --- files --- */

static char dir[64];
static char key_path[96], roster_path[96], root_path[96];
static struct csl_secagg_party_files files;

static int make_files(void **state)
{
    make_roster(state);
    encode();
    snprintf(dir, sizeof(dir), "/tmp/csl-party-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(key_path, sizeof(key_path), "%s/signing.key", dir);
    snprintf(roster_path, sizeof(roster_path), "%s/federation.roster", dir);
    snprintf(root_path, sizeof(root_path), "%s/federation.pub", dir);
    files = (struct csl_secagg_party_files){.key = key_path,
                                            .roster = roster_path,
                                            .root = root_path,
                                            .state_dir = dir,
                                            .site = "north"};
    return csl_sign_store(&keys[0], key_path, NULL) != CSL_OK ||
           csl_sign_store_public(&root, "federation", root_path, NULL) != CSL_OK ||
           csl_file_write_atomic(roster_path, CSL_SPAN(bytes.p, bytes.n), 0644, NULL) != CSL_OK;
}

static int remove_files(void **state)
{
    char epoch[96];
    snprintf(epoch, sizeof(epoch), "%s/roster.epoch", dir);
    unlink(key_path);
    unlink(roster_path);
    unlink(root_path);
    unlink(epoch);
    rmdir(dir);
    return release(state);
}

static void assert_opens(enum csl_code expected, const char *text)
{
    struct csl_secagg_party *p = NULL;
    struct csl_err err = {.msg = ""};
    assert_int_equal(csl_secagg_party_open(&p, &files, &err), expected);
    if (text != NULL && strstr(err.msg, text) == NULL)
        fail_msg("%s", err.msg);
    if (expected == CSL_OK)
        assert_memory_equal(p->key, &keys[0], sizeof(keys[0]));
    else
        assert_null(p);
    csl_secagg_party_close(p);
}

static void write_roster(uint64_t epoch)
{
    roster.epoch = epoch;
    encode();
    assert_int_equal(csl_file_write_atomic(roster_path, CSL_SPAN(bytes.p, bytes.n), 0644, NULL),
                     CSL_OK);
}

static void test_secagg_party__its_own_files__opened(void **state)
{
    (void)state;
    assert_opens(CSL_OK, NULL);
    assert_opens(CSL_OK, NULL); /* the same epoch again */
}

static void test_secagg_party__older_roster_than_one_used__refused(void **state)
{
    (void)state;
    write_roster(12);
    assert_opens(CSL_OK, NULL);
    write_roster(11);
    assert_opens(CSL_E_DENIED, "epoch 12 was seen");
    write_roster(13);
    assert_opens(CSL_OK, NULL);
}

static void test_secagg_party__another_key_than_the_rosters__refused(void **state)
{
    (void)state;
    files.site = "south";
    assert_opens(CSL_E_DENIED, "another key for south");
    files.site = NULL; /* the coordinator */
    assert_opens(CSL_E_DENIED, "another key for the coordinator");
    files.site = "east";
    assert_opens(CSL_E_DENIED, "revoked");
    files.site = "west";
    assert_opens(CSL_E_DENIED, "not in");
}

static void test_secagg_party__files_of_somebody_else__refused(void **state)
{
    (void)state;
    assert_int_equal(chmod(key_path, 0640), 0);
    assert_opens(CSL_E_DENIED, "mode 640");
    assert_int_equal(chmod(key_path, 0600), 0);
    unlink(root_path);
    assert_int_equal(csl_sign_store_public(&coordinator, "federation", root_path, NULL), CSL_OK);
    assert_opens(CSL_E_CRYPTO, "not signed by the federation's root");
    unlink(root_path);
    assert_int_equal(csl_sign_store_public(&root, "coordinator", root_path, NULL), CSL_OK);
    assert_opens(CSL_E_INVAL, "that of 'federation'");
    unlink(root_path);
    assert_opens(CSL_E_NOTFOUND, "federation.pub");
}

static void test_secagg_party__refused__epoch_is_not_remembered(void **state)
{
    (void)state;
    write_roster(20);
    bytes.p[bytes.n - 1] ^= 1;
    assert_int_equal(csl_file_write_atomic(roster_path, CSL_SPAN(bytes.p, bytes.n), 0644, NULL),
                     CSL_OK);
    assert_opens(CSL_E_CRYPTO, NULL);
    write_roster(7);
    assert_opens(CSL_OK, NULL);
}

static void test_sign_public__not_such_a_text__refused(void **state)
{
    static const char *const texts[] = {
        "",
        "consilium public key 1 ed25519 federation\n",
        "consilium public key 2 ed25519 federation\n"
        "0000000000000000000000000000000000000000000000000000000000000000\n",
        "consilium public key 1 ed25519 federation\n"
        "000000000000000000000000000000000000000000000000000000000000000g\n",
        "consilium public key 1 ed25519 federation\n"
        "0000000000000000000000000000000000000000000000000000000000000000\nmore\n",
    };
    uint8_t out[CSL_SIGN_PUBLIC_BYTES] = {9};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct csl_span text = CSL_SPAN(texts[i], strlen(texts[i]));
        assert_int_equal(csl_file_write_atomic(root_path, text, 0644, NULL), CSL_OK);
        assert_int_equal(csl_sign_load_public(out, "federation", root_path, NULL), CSL_E_CORRUPT);
        assert_int_equal(out[0], 9);
    }
    assert_int_equal(csl_sign_store_public(&root, "federation", root_path, NULL), CSL_E_EXISTS);
}

/* Failing allocations, one after the other: nothing leaks, and the next try works. */
static void test_secagg_party__memory_short__said(void **state)
{
    struct csl_secagg_party *p = NULL;
    (void)state;
    enum csl_code code = CSL_E_NOMEM;
    for (uint64_t n = 1; n < 100 && code != CSL_OK; n++) {
        (void)csl_mem_fail_after(n);
        code = csl_secagg_party_open(&p, &files, NULL);
        (void)csl_mem_fail_after(0);
        assert_true(code == CSL_OK || code == CSL_E_NOMEM);
    }
    assert_int_equal(code, CSL_OK);
    csl_secagg_party_close(p);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
#define WITH_FILES(t) cmocka_unit_test_setup_teardown(t, make_files, remove_files)
#define WITHOUT(t)    cmocka_unit_test_setup_teardown(t, make_roster, release)
    const struct CMUnitTest tests[] = {
        WITHOUT(test_secagg_roster__signed_and_read__names_numbers_and_keys_as_written),
        WITHOUT(test_secagg_roster__member__revoked_and_unknown_are_named),
        WITHOUT(test_secagg_roster__what_a_root_must_not_sign__refused),
        WITHOUT(test_secagg_roster__any_byte_changed__not_signed),
        WITH_FILES(test_secagg_party__its_own_files__opened),
        WITH_FILES(test_secagg_party__older_roster_than_one_used__refused),
        WITH_FILES(test_secagg_party__another_key_than_the_rosters__refused),
        WITH_FILES(test_secagg_party__files_of_somebody_else__refused),
        WITH_FILES(test_secagg_party__refused__epoch_is_not_remembered),
        WITH_FILES(test_sign_public__not_such_a_text__refused),
        WITH_FILES(test_secagg_party__memory_short__said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
