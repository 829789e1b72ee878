/* The primitives of the protocol FSA-1 put together, against fsa1_kat.h, which a second
 * implementation without libsodium made (fsa1_kat.py). */
#include "privacy/crypto/init.h"
#include "privacy/crypto/prg.h"
#include "privacy/crypto/seal.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/vss.h"
#include "tests/vectors/crypto/bytes_of.h"
#include "tests/vectors/crypto/fsa1_kat.h"

enum { THRESHOLD = 3, SHARES = 5, BLOCK = 5 };
#define CHUNK ((UINT64_C(1) << 33) + 1)

static uint8_t z3[32], z7[32], sid[32];
static uint64_t words[CSL_PRG_CHUNK_WORDS];

static int start(void **state)
{
    (void)state;
    bytes_of(KAT_Z3, z3, 32);
    bytes_of(KAT_Z7, z7, 32);
    bytes_of(KAT_SID, sid, 32);
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

static void test_fsa1__mask_keys__both_sites_agree_on_the_answer(void **state)
{
    struct csl_scalar s3, s7;
    struct csl_point p3, p7;
    uint8_t prk3[32], prk7[32], key[CSL_PRG_KEY_BYTES];
    (void)state;
    assert_int_equal(csl_scalar_derive(z3, "mask", 0, &s3, NULL), CSL_OK);
    assert_int_equal(csl_scalar_derive(z7, "mask", 0, &s7, NULL), CSL_OK);
    assert_bytes(s3.bytes, KAT_SECRET3);
    assert_bytes(s7.bytes, KAT_SECRET7);
    assert_int_equal(csl_point_base(&s3, &p3, NULL), CSL_OK);
    assert_int_equal(csl_point_base(&s7, &p7, NULL), CSL_OK);
    assert_bytes(p3.bytes, KAT_POINT3);
    assert_bytes(p7.bytes, KAT_POINT7);
    assert_int_equal(csl_agree_mask(3, &s3, &p3, 7, &p7, sid, prk3, NULL), CSL_OK);
    assert_int_equal(csl_agree_mask(7, &s7, &p7, 3, &p3, sid, prk7, NULL), CSL_OK);
    assert_bytes(prk3, KAT_PRK_MASK);
    assert_bytes(prk7, KAT_PRK_MASK);
    assert_int_equal(csl_prg_mask_key(prk3, 3, 7, BLOCK, CHUNK, key, NULL), CSL_OK);
    assert_bytes(key, KAT_MASK_KEY);
}

static void test_fsa1__self_mask__answer(void **state)
{
    struct csl_scalar b;
    uint8_t prk[32], key[CSL_PRG_KEY_BYTES];
    (void)state;
    assert_int_equal(csl_scalar_derive(z3, "self", 0, &b, NULL), CSL_OK);
    assert_int_equal(csl_agree_self(&b, sid, prk, NULL), CSL_OK);
    assert_bytes(prk, KAT_PRK_SELF);
    assert_int_equal(csl_prg_self_key(prk, 3, BLOCK, CHUNK, key, NULL), CSL_OK);
    assert_bytes(key, KAT_SELF_KEY);
}

static void test_fsa1__shares_and_commitments__answer(void **state)
{
    struct csl_scalar f[THRESHOLD], shares[SHARES];
    struct csl_point commitments[THRESHOLD];
    (void)state;
    assert_int_equal(csl_vss_polynomial(z3, "self", THRESHOLD, f, NULL), CSL_OK);
    assert_bytes(f, KAT_SELF_COEFFICIENTS);
    assert_int_equal(csl_vss_commit(f, THRESHOLD, commitments, NULL), CSL_OK);
    assert_bytes(commitments, KAT_SELF_COMMITMENTS);
    assert_int_equal(csl_vss_deal(f, THRESHOLD, SHARES, shares, NULL), CSL_OK);
    assert_bytes(shares, KAT_SELF_SHARES);
    assert_int_equal(csl_vss_polynomial(z3, "mask", THRESHOLD, f, NULL), CSL_OK);
    assert_int_equal(csl_vss_deal(f, THRESHOLD, SHARES, shares, NULL), CSL_OK);
    assert_bytes(shares, KAT_MASK_SHARES);
}

static void test_fsa1__sealed_share__answer_and_opened_by_the_other(void **state)
{
    uint8_t e3[32], e7[32], p3[32], p7[32], prk3[32], prk7[32], sealed[CSL_SEAL_BYTES];
    struct csl_seal_context context = {.from = 3, .to = 7};
    struct csl_seal_key key;
    struct csl_seal_shares shares, opened;
    struct csl_scalar all[SHARES];
    (void)state;
    assert_int_equal(csl_agree_channel_keys(z3, "channel", 0, e3, p3, NULL), CSL_OK);
    assert_int_equal(csl_agree_channel_keys(z7, "channel", 0, e7, p7, NULL), CSL_OK);
    assert_bytes(e3, KAT_CHANNEL3);
    assert_bytes(e7, KAT_CHANNEL7);
    assert_bytes(p3, KAT_CHANNEL_PUBLIC3);
    assert_bytes(p7, KAT_CHANNEL_PUBLIC7);
    assert_int_equal(csl_agree_channel(3, e3, p3, 7, p7, sid, prk3, NULL), CSL_OK);
    assert_int_equal(csl_agree_channel(7, e7, p7, 3, p3, sid, prk7, NULL), CSL_OK);
    assert_bytes(prk3, KAT_PRK_CHANNEL);
    assert_bytes(prk7, KAT_PRK_CHANNEL);

    memcpy(context.sid, sid, 32);
    bytes_of(KAT_COMMITMENTS_DIGEST, context.commitments, 32);
    bytes_of(KAT_SELF_SHARES, all, sizeof(all));
    shares.b = all[1];
    bytes_of(KAT_MASK_SHARES, all, sizeof(all));
    shares.s = all[1];
    assert_int_equal(csl_seal_key_derive(prk3, 3, 7, &key, NULL), CSL_OK);
    assert_bytes(key.bytes, KAT_SEAL_KEY);
    assert_int_equal(csl_seal_share(&key, &context, &shares, sealed, NULL), CSL_OK);
    assert_bytes(sealed, KAT_SEALED);
    assert_int_equal(csl_seal_key_derive(prk7, 3, 7, &key, NULL), CSL_OK);
    assert_int_equal(csl_seal_open(&key, &context, sealed, &opened, NULL), CSL_OK);
    assert_memory_equal(&opened, &shares, sizeof(shares));
}

static void assert_words(const char *digest)
{
    uint8_t found[32];
    csl_sha256_digest(words, sizeof(words), found);
    assert_bytes(found, digest);
}

static void test_fsa1__one_mask_chunk__answer_added_and_subtracted(void **state)
{
    struct csl_prg *p;
    uint8_t key[CSL_PRG_KEY_BYTES];
    (void)state;
    bytes_of(KAT_MASK_KEY, key, sizeof(key));
    assert_int_equal(csl_prg_new(&p, NULL), CSL_OK);
    memset(words, 0, sizeof(words));
    csl_prg_add(p, key, words, CSL_PRG_CHUNK_WORDS, CSL_PRG_ADD);
    assert_bytes(words, KAT_MASK_WORDS);
    assert_words(KAT_MASK_CHUNK_DIGEST);
    memset(words, 0, sizeof(words));
    csl_prg_add(p, key, words, CSL_PRG_CHUNK_WORDS, CSL_PRG_SUBTRACT);
    assert_words(KAT_MASK_CHUNK_NEGATED_DIGEST);
    csl_prg_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsa1__mask_keys__both_sites_agree_on_the_answer),
        cmocka_unit_test(test_fsa1__self_mask__answer),
        cmocka_unit_test(test_fsa1__shares_and_commitments__answer),
        cmocka_unit_test(test_fsa1__sealed_share__answer_and_opened_by_the_other),
        cmocka_unit_test(test_fsa1__one_mask_chunk__answer_added_and_subtracted),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
