/* What M0 says of a block, and the encoding that follows from it. */
#include "privacy/crypto/init.h"
#include "privacy/secagg/block_plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t plan_hash[32] = {1}, model_hash[32] = {2};

static void plan(const struct csl_secagg_choice *c, uint64_t count, uint32_t sites,
                 struct csl_secagg_block *row)
{
    *row = (struct csl_secagg_block){.id = 4, .sites_min = 3};
    assert_int_equal(csl_secagg_plan_block(c, count, sites, row, NULL), CSL_OK);
    assert_int_equal(row->id, 4);
    assert_int_equal(row->sites_min, 3);
    assert_true(csl_secagg_row_words(row) == csl_secagg_plan_words(c, count));
}

static void encoding(const struct csl_secagg_block *row, uint64_t count, uint32_t sites,
                     uint64_t round, struct csl_encoding *e)
{
    assert_int_equal(
        csl_secagg_plan_encoding(row, count, sites, plan_hash, model_hash, round, e, NULL), CSL_OK);
}

static void test_block_plan__rows__are_these(void **state)
{
    static const struct {
        uint32_t bits;
        bool is_rotated;
        uint64_t count, entries, words;
        uint8_t log2;
    } rows[] = {
        {64, false, 14, 14, 14, 0},       {16, true, 1, 8, 2, 3},
        {16, true, 14, 16, 4, 4},         {16, true, 4096, 4096, 1024, 12},
        {16, true, 4097, 8192, 2048, 12}, {21, true, 4096, 4096, 1366, 12},
        {21, true, 4097, 8192, 2732, 12}, /* each slice on words of its own */
        {32, true, 4097, 8192, 4096, 12}, {16, false, 14, 16, 4, 0},
        {21, false, 4096, 4098, 1366, 0}, /* with the lanes left empty */
        {21, false, 4100, 4104, 1368, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct csl_secagg_choice c = {rows[i].bits, 1, rows[i].is_rotated};
        struct csl_secagg_block row;
        struct csl_encoding e;
        plan(&c, rows[i].count, 37, &row);
        assert_true(row.entries == rows[i].entries);
        assert_true(csl_secagg_row_words(&row) == rows[i].words);
        assert_int_equal(row.rotation_log2, rows[i].log2);
        assert_int_equal(row.lane_bits, rows[i].bits);
        if (rows[i].bits == 64) {
            assert_int_equal(row.levels, 0);
            continue;
        }
        encoding(&row, rows[i].count, 37, 1, &e);
        assert_true(csl_encoding_words(&e) == rows[i].words);
        assert_true(2 * e.lanes.level == row.levels);
    }
}

/* 65535 / 37 = 1771.2, and even: 1770. */
static void test_block_plan__levels_and_clip__follow_from_the_choice(void **state)
{
    const struct csl_secagg_choice c = {16, 0.75, true}, wider = {21, 0.75, true};
    struct csl_secagg_block row, other;
    struct csl_encoding e;
    (void)state;
    plan(&c, 10000, 37, &row);
    assert_int_equal(row.levels, 1770);
    assert_true(row.clip_q32 == INT64_C(3) << 30);
    encoding(&row, 10000, 37, 1, &e);
    assert_true(e.clip_l2 == 0.75);
    assert_true(fabs(e.clip_entry - 9 * 0.75 / sqrt(12288.0)) < 1e-12);
    plan(&wider, 10000, 37, &other);
    assert_false(csl_secagg_plan_equals(&row, &other));
    plan(&c, 10000, 38, &other);
    assert_false(csl_secagg_plan_equals(&row, &other));
    plan(&c, 10000, 37, &other);
    assert_true(csl_secagg_plan_equals(&row, &other));
    plan(&c, 20, 37, &row); /* nine times the rms is more than all of it */
    encoding(&row, 20, 37, 1, &e);
    assert_true(e.clip_entry == 0.75);
    assert_int_equal(csl_secagg_plan_block(&c, 10, 65000, &other, NULL), CSL_E_INVAL);
}

static void test_block_plan__signs__differ_by_round_block_plan_and_model(void **state)
{
    const struct csl_secagg_choice c = {16, 1, true};
    struct csl_secagg_block row;
    struct csl_encoding e[6];
    (void)state;
    plan(&c, 100, 5, &row);
    encoding(&row, 100, 5, 1, &e[0]);
    encoding(&row, 100, 5, 1, &e[1]);
    encoding(&row, 100, 5, 2, &e[2]);
    assert_int_equal(csl_secagg_plan_encoding(&row, 100, 5, model_hash, model_hash, 1, &e[3], NULL),
                     CSL_OK);
    assert_int_equal(csl_secagg_plan_encoding(&row, 100, 5, plan_hash, plan_hash, 1, &e[4], NULL),
                     CSL_OK);
    row.id = 5;
    encoding(&row, 100, 5, 1, &e[5]);
    assert_memory_equal(e[0].rotation.key, e[1].rotation.key, 32);
    for (size_t i = 2; i < 6; i++)
        for (size_t k = 0; k < i; k++)
            if (k != 1)
                assert_memory_not_equal(e[i].rotation.key, e[k].rotation.key, 32);
}

/* One site alone, so that its integers can be read: a vector four times too long is a quarter of
 * itself, then a half of that by its weight. */
static void test_block_plan__weighted__after_the_clip(void **state)
{
    const struct csl_secagg_choice c = {32, 1, true};
    struct csl_secagg_block row;
    struct csl_encoding e;
    struct csl_encoder s;
    float x[16], out[16];
    uint64_t words[8];
    static const uint8_t coins[32] = {3};
    size_t outside;
    (void)state;
    plan(&c, 16, 1, &row);
    encoding(&row, 16, 1, 1, &e);
    assert_true(csl_encoding_words(&e) == 8);
    for (size_t i = 0; i < 16; i++)
        x[i] = i % 2 == 0 ? 1.0F : -1.0F; /* a norm of 4 */
    assert_int_equal(csl_encoder_start_weighted(&s, &e, x, 0.5, coins, NULL), CSL_OK);
    assert_int_equal(csl_encoder_slice(&s, 0, NULL, words), 0);
    assert_int_equal(csl_encoding_decode(&e, 0, words, 1, 1.0, out, &outside, NULL), CSL_OK);
    assert_int_equal(outside, 0);
    for (size_t i = 0; i < 16; i++) /* the clip leaves room of 2^-16 of itself */
        assert_true(fabs((double)out[i] - (double)x[i] / 8) < 1e-5);
}

static int set_up(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_plan__rows__are_these),
        cmocka_unit_test(test_block_plan__levels_and_clip__follow_from_the_choice),
        cmocka_unit_test(test_block_plan__signs__differ_by_round_block_plan_and_model),
        cmocka_unit_test(test_block_plan__weighted__after_the_clip),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
