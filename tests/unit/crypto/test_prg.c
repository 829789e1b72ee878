#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/prg_internal.h"
#include "privacy/crypto/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 4, STREAMS = 70 };
static uint64_t found[CSL_PRG_CHUNK_WORDS + GUARD], expected[CSL_PRG_CHUNK_WORDS + GUARD];
static const enum csl_prg__cipher ciphers[] = {CSL_PRG__CTR, CSL_PRG__GCM};

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

static void fill(struct csl_rng *rng, size_t n)
{
    csl_rng_bytes(rng, found, n * sizeof(found[0]));
    memcpy(expected, found, n * sizeof(found[0]));
}

static struct csl_prg *opened(enum csl_prg__cipher cipher)
{
    struct csl_prg *p;
    assert_int_equal(csl_prg__open(cipher, &p, NULL), CSL_OK);
    return p;
}

static void compare(struct csl_prg *p, struct csl_rng *rng, size_t count, enum csl_prg_sign sign)
{
    uint8_t key[CSL_PRG_KEY_BYTES];
    csl_rng_bytes(rng, key, sizeof(key));
    fill(rng, count + GUARD);
    csl_prg_add(p, key, found, count, sign);
    assert_int_equal(csl_prg__reference(key, expected, count, sign, NULL), CSL_OK);
    assert_memory_equal(found, expected, (count + GUARD) * sizeof(found[0]));
}

static void test_secagg_pitfall_13__every_length_and_both_ciphers__the_reference(void **state)
{
    struct csl_rng rng;
    (void)state;
    csl_rng_init_label(&rng, 13, "prg lengths", 0, 0, 0);
    for (size_t c = 0; c < 2; c++) {
        struct csl_prg *p = opened(ciphers[c]);
        for (size_t count = 0; count <= 1100; count++) /* past two slices of 512 words */
            compare(p, &rng, count, count % 2 == 0 ? CSL_PRG_ADD : CSL_PRG_SUBTRACT);
        for (size_t count = 2046; count <= CSL_PRG_CHUNK_WORDS; count = count * 2 + 3)
            compare(p, &rng, count, CSL_PRG_ADD);
        compare(p, &rng, CSL_PRG_CHUNK_WORDS - 1, CSL_PRG_SUBTRACT);
        compare(p, &rng, CSL_PRG_CHUNK_WORDS, CSL_PRG_SUBTRACT);
        csl_prg_free(p);
    }
}

static void test_secagg_pitfall_13__self_test__passes_here(void **state)
{
    (void)state;
    assert_int_equal(csl_prg_self_test(NULL), CSL_OK);
}

static void test_prg__more_streams_than_contexts__sum_of_the_references(void **state)
{
    static struct csl_prg_stream streams[STREAMS];
    const size_t count = 3001;
    struct csl_prg *p;
    struct csl_rng rng;
    (void)state;
    csl_rng_init_label(&rng, 14, "prg streams", 0, 0, 0);
    assert_int_equal(csl_prg_new(&p, NULL), CSL_OK);
    fill(&rng, count + GUARD);
    for (size_t i = 0; i < STREAMS; i++) {
        csl_rng_bytes(&rng, streams[i].key, CSL_PRG_KEY_BYTES);
        streams[i].sign = i % 3 == 0 ? CSL_PRG_SUBTRACT : CSL_PRG_ADD;
        assert_int_equal(csl_prg__reference(streams[i].key, expected, count, streams[i].sign, NULL),
                         CSL_OK);
    }
    csl_prg_add_streams(p, streams, STREAMS, found, count);
    assert_memory_equal(found, expected, (count + GUARD) * sizeof(found[0]));
    csl_prg_add_streams(p, streams, 0, found, count);
    assert_memory_equal(found, expected, (count + GUARD) * sizeof(found[0]));
    csl_prg_free(p);
}

static void test_prg__no_memory_for_it__said_and_later_it_works(void **state)
{
    struct csl_prg *p = NULL;
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        (void)csl_mem_fail_after(n);
        assert_int_equal(csl_prg_new(&p, NULL), CSL_E_NOMEM);
        assert_null(p);
    }
    (void)csl_mem_fail_after(0);
    assert_int_equal(csl_prg_new(&p, NULL), CSL_OK);
    csl_prg_free(p);
    csl_prg_free(NULL);
}

static void test_prg__added_by_one_and_subtracted_by_the_other__cancels(void **state)
{
    const uint8_t key[CSL_PRG_KEY_BYTES] = {3};
    struct csl_prg *ctr = opened(CSL_PRG__CTR);
    struct csl_prg *gcm = opened(CSL_PRG__GCM);
    struct csl_rng rng;
    (void)state;
    csl_rng_init_label(&rng, 15, "prg cancels", 0, 0, 0);
    fill(&rng, CSL_PRG_CHUNK_WORDS);
    csl_prg_add(ctr, key, found, CSL_PRG_CHUNK_WORDS, CSL_PRG_ADD);
    assert_memory_not_equal(found, expected, CSL_PRG_CHUNK_BYTES);
    csl_prg_add(gcm, key, found, CSL_PRG_CHUNK_WORDS, CSL_PRG_SUBTRACT);
    assert_memory_equal(found, expected, CSL_PRG_CHUNK_BYTES);
    csl_prg_free(ctr);
    csl_prg_free(gcm);
}

/* Of 1024 bits of an unrelated stream 512 differ on average, with a standard deviation of 16; nine
 * of those on either side make a false alarm, over 352 streams, less likely than 1e-15. */
static void test_secagg_pitfall_14__any_bit_of_the_key__another_stream(void **state)
{
    uint8_t key[CSL_PRG_KEY_BYTES] = {9};
    struct csl_prg *p = opened(CSL_PRG__CTR);
    (void)state;
    memset(expected, 0, 128);
    csl_prg_add(p, key, expected, 16, CSL_PRG_ADD);
    for (size_t bit = 0; bit < 8 * CSL_PRG_KEY_BYTES; bit++) {
        unsigned changed = 0;
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(found, 0, 128);
        csl_prg_add(p, key, found, 16, CSL_PRG_ADD);
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        for (size_t w = 0; w < 16; w++)
            changed += (unsigned)__builtin_popcountll(found[w] ^ expected[w]);
        assert_in_range(changed, 512 - 144, 512 + 144);
    }
    csl_prg_free(p);
}

static void test_secagg_pitfall_14__every_stream_block_and_chunk__a_key_of_its_own(void **state)
{
    static const struct {
        uint32_t lo, hi, block;
        uint64_t chunk;
    } rows[] = {{0, 1, 0, 0}, {0, 2, 0, 0},           {1, 2, 0, 0},       {0, 1, 1, 0},
                {0, 1, 0, 1}, {0, 1, 0, 0x100000000}, {1, 1u << 31, 0, 0}};
    enum { N = sizeof(rows) / sizeof(rows[0]) };
    uint8_t keys[N + 2][CSL_PRG_KEY_BYTES];
    const uint8_t prk[32] = {5};
    (void)state;
    for (size_t i = 0; i < N; i++)
        assert_int_equal(csl_prg_mask_key(prk, rows[i].lo, rows[i].hi, rows[i].block, rows[i].chunk,
                                          keys[i], NULL),
                         CSL_OK);
    assert_int_equal(csl_prg_self_key(prk, 0, 1, 0, keys[N], NULL), CSL_OK);
    assert_int_equal(csl_prg_self_key(prk, 1, 0, 0, keys[N + 1], NULL), CSL_OK);
    for (size_t i = 0; i < N + 2; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], CSL_PRG_KEY_BYTES);
}

static void test_secagg_pitfall_15__mask_key_of_a_pair_in_the_wrong_order__refused(void **state)
{
    uint8_t key[CSL_PRG_KEY_BYTES];
    const uint8_t prk[32] = {5};
    (void)state;
    assert_int_equal(csl_prg_mask_key(prk, 2, 1, 0, 0, key, NULL), CSL_E_INVAL);
    assert_int_equal(csl_prg_mask_key(prk, 1, 1, 0, 0, key, NULL), CSL_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prg__no_memory_for_it__said_and_later_it_works),
        cmocka_unit_test(test_secagg_pitfall_13__every_length_and_both_ciphers__the_reference),
        cmocka_unit_test(test_secagg_pitfall_13__self_test__passes_here),
        cmocka_unit_test(test_prg__more_streams_than_contexts__sum_of_the_references),
        cmocka_unit_test(test_prg__added_by_one_and_subtracted_by_the_other__cancels),
        cmocka_unit_test(test_secagg_pitfall_14__any_bit_of_the_key__another_stream),
        cmocka_unit_test(test_secagg_pitfall_14__every_stream_block_and_chunk__a_key_of_its_own),
        cmocka_unit_test(test_secagg_pitfall_15__mask_key_of_a_pair_in_the_wrong_order__refused),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
