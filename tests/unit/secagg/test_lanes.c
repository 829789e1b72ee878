/* Lanes: what is packed and added comes out, at the edges too. Pitfalls are
 * numbered as in the design of secure aggregation. Fixed seeds. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/lanes.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { COUNT = 61, SITES_MAX = 300 };

static const uint32_t widths[] = {10, 12, 16, 21, 32, 64};

static struct csl_lanes planned(uint32_t bits, uint32_t sites, uint64_t headroom)
{
    struct csl_lanes l;
    assert_int_equal(csl_lanes_plan(&l, bits, sites, headroom, NULL), CSL_OK);
    return l;
}

/* Sums the words of `sites` sites that all send these values and this noise. */
static size_t sum_equal(const struct csl_lanes *l, const int64_t *values, const int64_t *noise,
                        uint32_t sites, int64_t *sums)
{
    uint64_t words[COUNT], total[COUNT] = {0};
    csl_lanes_pack(l, values, noise, COUNT, words);
    for (uint32_t s = 0; s < sites; s++)
        csl_lanes_add(total, words, csl_lanes_words(l, COUNT));
    return csl_lanes_unpack(l, total, COUNT, sites, sums);
}

static void fill(int64_t *values, int64_t value)
{
    for (size_t i = 0; i < COUNT; i++)
        values[i] = value;
}

static void test_lanes__table_of_the_design__levels_agree(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits, sites;
        int64_t levels; /* the design's Q, made even */
    } rows[] = {{10, 10, 102},       {10, 37, 26},        {10, 100, 10},
                {12, 10, 408},       {12, 37, 110},       {12, 100, 40},
                {12, 1000, 4},       {16, 10, 6552},      {16, 37, 1770},
                {16, 100, 654},      {16, 1000, 64},      {21, 10, 209714},
                {21, 37, 56678},     {21, 100, 20970},    {21, 1000, 2096},
                {32, 10, 429496728}, {32, 37, 116080196}, {64, 1000, INT64_C(1) << 35}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_lanes l = planned(rows[i].bits, rows[i].sites, 0);
        assert_int_equal(2 * l.level, rows[i].levels);
        assert_int_equal(l.per_word, 64 / rows[i].bits);
    }
}

static void test_lanes__no_room__is_refused_with_what_would_do(void **state)
{
    (void)state;
    struct csl_lanes l = {.bits = 77};
    struct csl_err err;
    assert_int_equal(csl_lanes_plan(&l, 11, 3, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_lanes_plan(&l, 16, 0, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_lanes_plan(&l, 16, CSL_LANES_SITES_MAX + 1, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_lanes_plan(&l, 10, 1000, 0, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "12 bits do"));
    assert_int_equal(csl_lanes_plan(&l, 16, 10, 32768, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "21 bits do"));
    assert_int_equal(l.bits, 77);
}

static void test_pitfall_41__words_as_bytes__are_these(void **state)
{
    (void)state;
    struct csl_lanes l = planned(16, 10, 0); /* level 3276 = 0x0ccc */
    const int64_t values[5] = {0, -3276, 3276, 1, -1};
    const int64_t noise[5] = {0, -1, 0, 5, 0};
    uint64_t words[2];
    uint8_t bytes[16];
    /* Lane 1 is -1: 0xffff and a borrow from lane 2. */
    static const uint8_t expected[16] = {0xcc, 0x0c, 0xff, 0xff, 0x97, 0x19, 0xd2, 0x0c,
                                         0xcb, 0x0c, 0,    0,    0,    0,    0,    0};
    csl_lanes_pack(&l, values, noise, 5, words);
    memcpy(bytes, words, sizeof(bytes));
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void test_pitfall_16__every_site_at_its_maximum__no_lane_overflows(void **state)
{
    (void)state;
    int64_t values[COUNT], noise[COUNT], sums[COUNT];
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        for (uint32_t sites = 1; sites <= 300; sites += sites < 40 ? 1 : 13) {
            for (uint64_t headroom = 0; headroom <= 90; headroom += 45) {
                struct csl_lanes l;
                if (csl_lanes_plan(&l, widths[w], sites, headroom, NULL) != CSL_OK)
                    continue;
                fill(values, l.level);
                fill(noise, 0);
                assert_int_equal(sum_equal(&l, values, noise, sites, sums), 0);
                assert_int_equal(sums[0], l.level * sites);
                assert_int_equal(sums[COUNT - 1], l.level * sites);
                /* One more level, were it allowed, would not fit beside the headroom. */
                uint64_t top = UINT64_MAX >> (64 - widths[w]);
                assert_true(2 * (uint64_t)l.level * sites + 2 * headroom <= top);
                if (l.level < CSL_LANES_LEVEL_MAX)
                    assert_true(2 * ((uint64_t)l.level + 1) * sites + 2 * headroom > top);
            }
        }
    }
}

static bool aborts(const struct csl_lanes *l, int64_t value)
{
    int64_t values[COUNT];
    uint64_t words[COUNT];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        fill(values, 0);
        values[17] = value;
        csl_lanes_pack(l, values, NULL, COUNT, words);
        values[17] = 0;
        values[COUNT - 1] = value; /* in the last word, which is not full */
        csl_lanes_pack(l, values, NULL, COUNT, words);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_pitfall_16__value_above_the_level__aborts(void **state)
{
    (void)state;
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        struct csl_lanes l = planned(widths[w], 30, 0);
        assert_false(aborts(&l, l.level));
        assert_false(aborts(&l, -l.level));
        assert_true(aborts(&l, l.level + 1));
        assert_true(aborts(&l, -l.level - 1));
        assert_true(aborts(&l, INT64_MAX));
        assert_true(aborts(&l, INT64_MIN));
    }
}

static void test_pitfall_17__all_minimum_or_alternating__no_borrow_crosses_lanes(void **state)
{
    (void)state;
    int64_t values[COUNT], noise[COUNT], sums[COUNT];
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        for (uint32_t sites = 1; sites <= 40; sites++) {
            struct csl_lanes l = planned(widths[w], 40, 10 * 40);
            for (int64_t sign = -1; sign <= 1; sign++) {
                for (size_t i = 0; i < COUNT; i++) {
                    values[i] = sign != 0 ? sign * l.level : i % 2 == 0 ? l.level : -l.level;
                    noise[i] = i % 3 == 0 ? -10 : 10; /* in the sum up to the headroom */
                }
                assert_int_equal(sum_equal(&l, values, noise, sites, sums), 0);
                for (size_t i = 0; i < COUNT; i++)
                    assert_true(sums[i] == (values[i] + noise[i]) * (int64_t)sites);
            }
        }
    }
}

/* Two blocks of one round, and a site that is lost between the two: the offset is the block's own,
 * and with the count of the other block every value would be off by the level. */
static void test_pitfall_18__blocks_with_other_contributors__each_its_own_offset(void **state)
{
    (void)state;
    struct csl_lanes l = planned(16, 12, 0);
    int64_t values[COUNT], sums[COUNT];
    uint64_t words[COUNT], first[COUNT] = {0}, second[COUNT] = {0};
    size_t count = csl_lanes_words(&l, COUNT);
    int64_t in_first = 0, in_second = 0;
    for (int64_t s = 0; s < 12; s++) {
        fill(values, 100 * s - 300);
        csl_lanes_pack(&l, values, NULL, COUNT, words);
        if (s != 5) {
            csl_lanes_add(first, words, count);
            in_first += values[0];
        }
        if (s % 3 == 0) {
            csl_lanes_add(second, words, count);
            in_second += values[0];
        }
    }
    csl_lanes_unpack(&l, first, COUNT, 11, sums);
    assert_int_equal(sums[COUNT - 1], in_first);
    csl_lanes_unpack(&l, second, COUNT, 4, sums);
    assert_int_equal(sums[COUNT - 1], in_second);
    csl_lanes_unpack(&l, second, COUNT, 11, sums);
    assert_int_equal(sums[COUNT - 1], in_second - 7 * l.level);
}

static void test_lanes__random_values_sites_and_noise__sums_are_exact(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 1, "lanes", 0, 0, 0);
    for (int repeat = 0; repeat < 300; repeat++) {
        uint32_t bits = widths[csl_rng_below(&r, 6)];
        uint32_t sites = 3 + (uint32_t)csl_rng_below(&r, SITES_MAX - 2);
        uint64_t reach = csl_rng_below(&r, bits < 16 ? 2 : 20); /* of one site's noise */
        struct csl_lanes l;
        if (csl_lanes_plan(&l, bits, sites, reach * sites, NULL) != CSL_OK)
            continue;
        uint32_t present = 1 + (uint32_t)csl_rng_below(&r, sites);
        size_t count = 1 + (size_t)csl_rng_below(&r, COUNT);
        int64_t values[COUNT], noise[COUNT], expected[COUNT] = {0}, sums[COUNT];
        uint64_t words[COUNT], mask[COUNT], total[COUNT];
        csl_rng_bytes(&r, mask, sizeof(mask));
        memcpy(total, mask, sizeof(mask)); /* lanes are read after a uniform mask has gone */
        for (uint32_t s = 0; s < present; s++) {
            for (size_t i = 0; i < count; i++) {
                values[i] = (int64_t)csl_rng_below(&r, 2 * (uint64_t)l.level + 1) - l.level;
                noise[i] = (int64_t)csl_rng_below(&r, 2 * reach + 1) - (int64_t)reach;
                expected[i] += values[i] + noise[i];
            }
            csl_lanes_pack(&l, values, noise, count, words);
            csl_lanes_add(total, words, csl_lanes_words(&l, count));
        }
        for (size_t i = 0; i < COUNT; i++)
            total[i] -= mask[i];
        assert_int_equal(csl_lanes_unpack(&l, total, count, present, sums), 0);
        assert_memory_equal(sums, expected, count * sizeof(sums[0]));
    }
}

static void test_lanes__sum_beyond_what_honest_sites_send__is_counted(void **state)
{
    (void)state;
    struct csl_lanes l = planned(21, 10, 100);
    int64_t values[COUNT], noise[COUNT], sums[COUNT];
    fill(values, l.level);
    fill(noise, 0);
    noise[3] = 100; /* the headroom, and inside */
    assert_int_equal(sum_equal(&l, values, noise, 1, sums), 0);
    noise[3] = 101;
    noise[COUNT - 1] = 101;
    assert_int_equal(sum_equal(&l, values, noise, 1, sums), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes__table_of_the_design__levels_agree),
        cmocka_unit_test(test_lanes__no_room__is_refused_with_what_would_do),
        cmocka_unit_test(test_pitfall_41__words_as_bytes__are_these),
        cmocka_unit_test(test_pitfall_16__every_site_at_its_maximum__no_lane_overflows),
        cmocka_unit_test(test_pitfall_16__value_above_the_level__aborts),
        cmocka_unit_test(test_pitfall_17__all_minimum_or_alternating__no_borrow_crosses_lanes),
        cmocka_unit_test(test_pitfall_18__blocks_with_other_contributors__each_its_own_offset),
        cmocka_unit_test(test_lanes__random_values_sites_and_noise__sums_are_exact),
        cmocka_unit_test(test_lanes__sum_beyond_what_honest_sites_send__is_counted),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
