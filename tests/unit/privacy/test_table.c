/* The exact parts of the samplers, without a single random draw where none is needed: integer
 * weights, their alias table, and acceptances against long double. */
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/dp/discrete_gaussian.h"
#include "privacy/dp/skellam.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* sigma^2 = mantissa * 2^exponent */
static const struct {
    uint64_t mantissa;
    int exponent;
} variances[] = {
    {1, -7},   {UINT64_C(5764607523034235), -59} /* .01 */,
    {1, -2},   {1, 0},
    {5, -1},   {1, 4},
    {4095, 0}, {4097, 0},
    {1000, 3}, {UINT64_C(0xfedcba9876543211), -40},
    {1, 40},   {3, 65},
    {1, 80},   {UINT64_MAX, 17},
};
enum { VARIANCES = sizeof(variances) / sizeof(variances[0]) };

/* How many of the 2^64 words pick each k, counted exactly from the rows, is its weight. */
static void check_counts(const struct csl_table *t, size_t count)
{
    size_t rows = (size_t)1 << t->bits;
    uint64_t capacity = (uint64_t)1 << (64 - t->bits), sum = 0;
    uint64_t *words = csl_alloc_array(rows, sizeof(*words));
    assert_non_null(words);
    for (size_t i = 0; i < rows; i++) {
        assert_true(t->cut[i] <= capacity && t->other[i] < rows);
        words[i] += t->cut[i];
        words[t->other[i]] += capacity - t->cut[i];
    }
    for (size_t k = 0; k < rows; k++)
        assert_true(words[k] == (k < count ? t->weight[k] : 0));
    for (size_t k = 0; k < count; k++)
        sum += t->weight[k];
    assert_true(sum == 0); /* 2^64 */
    csl_free(words);
}

static void test_pitfall_12__alias_table__exact_counts_are_the_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANCES; i++) {
        struct csl_discrete_gaussian g;
        assert_int_equal(
            csl_discrete_gaussian_init(&g, variances[i].mantissa, variances[i].exponent, NULL),
            CSL_OK);
        check_counts(&g.table, 1024);
        csl_discrete_gaussian_release(&g);
    }
    for (int log2 = -7; log2 <= 20; log2 += 9) {
        struct csl_skellam s;
        assert_int_equal(csl_skellam_init(&s, 1, log2, NULL), CSL_OK);
        uint64_t mode = log2 > 0 ? UINT64_C(1) << (log2 - 1) : 0, root = 1;
        while (root * root <= mode)
            root++;
        size_t half = 13 * root + 64;
        check_counts(&s.table, (size_t)(mode + half + 1 - s.first) + 1);
        csl_skellam_release(&s);
    }
}

/* A word at a row's cut is the first that goes elsewhere: an off by one here is a bias. */
static void test_table_pick__around_the_cut__goes_where_the_row_says(void **state)
{
    (void)state;
    struct csl_discrete_gaussian g;
    assert_int_equal(csl_discrete_gaussian_init(&g, 1000, 0, NULL), CSL_OK);
    const struct csl_table *t = &g.table;
    uint64_t capacity = (uint64_t)1 << (64 - t->bits);
    for (uint64_t row = 0; row < 1024; row++) {
        uint64_t word = row << (64 - t->bits);
        if (t->cut[row] > 0)
            assert_int_equal(csl_table__pick(t, word | (t->cut[row] - 1)), row);
        if (t->cut[row] < capacity)
            assert_int_equal(csl_table__pick(t, word | t->cut[row]), t->other[row]);
        assert_int_equal(csl_table__pick(t, word | (capacity - 1)),
                         t->cut[row] < capacity ? t->other[row] : row);
    }
    csl_discrete_gaussian_release(&g);
}

/* For a table of single masses (sigma <= 64): weight * acceptance is scale * exp(-x^2 / 2v) for
 * every x with a mass above 1e-15 of the largest, so the sampler has the exact probabilities. */
static void test_pitfall_11__small_sigma__every_mass_is_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANCES; i++) {
        struct csl_discrete_gaussian g;
        assert_int_equal(
            csl_discrete_gaussian_init(&g, variances[i].mantissa, variances[i].exponent, NULL),
            CSL_OK);
        long double v = ldexpl((long double)variances[i].mantissa, variances[i].exponent);
        for (size_t k = 0; k < 1024; k++) {
            long double x = ldexpl((long double)k, (int)g.width_log2);
            long double want = (long double)g.table.scale * expl(-x * x / (2 * v));
            long double got =
                ldexpl((long double)g.table.weight[k] * (long double)g.table.ratio[k], -64);
            assert_true(fabsl(got - want) <= 1e-15L * (long double)g.table.weight[k]);
            assert_true(g.table.accept[k] <= g.table.ratio[k]);
        }
        csl_discrete_gaussian_release(&g);
    }
}

static void test_skellam_table__every_mass__is_poisson(void **state)
{
    (void)state;
    for (int log2 = -7; log2 <= 20; log2 += 3) {
        struct csl_skellam s;
        assert_int_equal(csl_skellam_init(&s, 1, log2, NULL), CSL_OK);
        long double l = ldexpl(1, log2 - 1), mode = floorl(l);
        for (size_t i = 0; s.first + i <= (uint64_t)mode + 60; i++) {
            long double k = (long double)(s.first + i);
            long double p = expl((k - mode) * logl(l) - lgammal(k + 1) + lgammal(mode + 1));
            long double want = (long double)s.table.scale * p;
            long double got =
                ldexpl((long double)s.table.weight[i] * (long double)s.table.ratio[i], -64);
            /* 2 for the ratio's last bits, and what lgammal loses at 2^19 */
            assert_true(fabsl(got - want) <= 1e-12L * want + 2);
        }
        csl_skellam_release(&s);
    }
}

/* The least leading word that is not accepted for sure by 320 bits (all lower words 0). */
static uint64_t threshold(const struct csl_discrete_gaussian *g, uint32_t k, uint64_t j)
{
    uint64_t low = 0, high = UINT64_MAX;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const uint64_t u[5] = {0, 0, 0, 0, middle};
        if (csl_discrete_gaussian__exact(g, k, j, u))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The 64-bit decision never contradicts the 320-bit one, is open only within 2^10 of its threshold,
 * and the threshold is the acceptance that long double gives. */
static void test_discrete_gaussian_quick__around_the_threshold__agrees_with_exact(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 5, "quick", 0, 0, 0);
    for (size_t i = 0; i < VARIANCES; i++) {
        struct csl_discrete_gaussian g;
        assert_int_equal(
            csl_discrete_gaussian_init(&g, variances[i].mantissa, variances[i].exponent, NULL),
            CSL_OK);
        long double v = ldexpl((long double)variances[i].mantissa, variances[i].exponent);
        for (int trial = 0; trial < 60; trial++) {
            uint64_t w = (uint64_t)1 << g.width_log2;
            uint32_t k = trial < 4 ? (uint32_t[]){0, 1, 1022, 1023}[trial]
                                   : (uint32_t)csl_rng_below(&r, 1024);
            uint64_t j = trial % 3 == 0 ? w - 1 : csl_rng_below(&r, w), at = threshold(&g, k, j);
            long double x = (long double)k * (long double)w + (long double)j;
            long double p = (long double)g.table.scale * expl(-x * x / (2 * v)) /
                            (long double)g.table.weight[k];
            assert_true(fabsl(ldexpl((long double)at, -64) - p) < 1e-15L);
            if (j == w - 1 && g.width_log2 > 0)
                assert_true(g.table.accept[k] <= at); /* the bound of the block is one */
            for (int64_t off = -2048; off <= 2048; off++) {
                uint64_t lead = at + (uint64_t)off;
                if ((off < 0 && lead > at) || (off > 0 && lead < at))
                    continue; /* past the end of the words */
                int quick = csl_discrete_gaussian__quick(&g, k, j, lead);
                assert_true(quick != (off < -1 ? 0 : 1) || off == -1);
                if (off < -1024 || off > 1024)
                    assert_true(quick != -1 || at < 1024 || at > UINT64_MAX - 1024);
            }
        }
        csl_discrete_gaussian_release(&g);
    }
}

/* A stream that begins with these words. */
static void stream_of(struct csl_rng *r, const uint64_t *words, size_t count)
{
    csl_rng_init_label(r, 6, "words", 0, 0, 0);
    r->used = 0;
    memset(r->buffer, 0, sizeof(r->buffer));
    memcpy(r->buffer, words, count * sizeof(*words));
}

static uint64_t word_that_picks(const struct csl_table *t, uint32_t k)
{
    assert_true(t->cut[k] > 0);
    return (uint64_t)k << (64 - t->bits);
}

/* fill, word by word: u is the upper bits of the second word followed by those of a third, and at
 * its threshold the proposal goes from accepted to rejected. */
static void test_discrete_gaussian_fill__crafted_words__decides_at_the_threshold(void **state)
{
    (void)state;
    static const int log2[] = {66, 40, 20, 14};
    unsigned accepted = 0, rejected = 0;
    for (size_t i = 0; i < 4; i++) {
        struct csl_discrete_gaussian g;
        assert_int_equal(csl_discrete_gaussian_init(&g, 1, log2[i], NULL), CSL_OK);
        uint64_t w = (uint64_t)1 << g.width_log2, mask = 2 * w - 1;
        unsigned low = g.width_log2 + 1;
        for (uint32_t k = 0; k < 40; k++) {
            uint64_t j = k % 2 ? w - 1 : w / 2, at = threshold(&g, k, j), minus = k % 3 == 0;
            for (int64_t off = -3000; off <= 3000; off += 6000) {
                uint64_t lead = at + (uint64_t)off;
                if ((off > 0 && lead < at) || g.table.cut[k] == 0)
                    continue;
                uint64_t words[] = {word_that_picks(&g.table, k),
                                    (lead & ~mask) | j << 1 | minus,
                                    (lead & mask) << (64 - low),
                                    word_that_picks(&g.table, 50),
                                    0 /* + (50 w + 0), u = 0: surely accepted */,
                                    0};
                if ((words[1] | mask) < g.table.accept[k]) { /* no third word is drawn */
                    words[2] = words[3];
                    words[3] = 0;
                }
                struct csl_rng r;
                int64_t x, want = (int64_t)(off < 0 ? k * w + j : 50 * w);
                stream_of(&r, words, 6);
                csl_discrete_gaussian_fill(&r, &g, &x, 1);
                assert_true(x == (off < 0 && minus ? -want : want));
                *(off < 0 ? &accepted : &rejected) += 1;
            }
        }
        csl_discrete_gaussian_release(&g);
    }
    assert_true(accepted > 100 && rejected > 100);
}

static void test_discrete_gaussian_init__out_of_range__is_refused(void **state)
{
    (void)state;
    struct csl_discrete_gaussian g;
    struct csl_err err;
    assert_int_equal(csl_discrete_gaussian_init(&g, 0, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_discrete_gaussian_init(&g, 1, -8, &err), CSL_E_INVAL);
    assert_int_equal(csl_discrete_gaussian_init(&g, 1, 81, &err), CSL_E_INVAL);
    assert_int_equal(csl_discrete_gaussian_init(&g, 1, INT32_MIN, &err), CSL_E_INVAL);
    assert_int_equal(csl_discrete_gaussian_init(&g, 1, INT32_MAX, &err), CSL_E_INVAL);
    struct csl_skellam s;
    assert_int_equal(csl_skellam_init(&s, 0, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_skellam_init(&s, 1, -8, &err), CSL_E_INVAL);
    assert_int_equal(csl_skellam_init(&s, (UINT64_C(1) << 20) + 1, 0, &err), CSL_E_UNSUPPORTED);
    assert_int_equal(csl_skellam_init(&s, 1, INT32_MAX, &err), CSL_E_UNSUPPORTED);
}

static void test_discrete_gaussian_init__allocation_fails__nothing_is_lost(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct csl_discrete_gaussian g;
        struct csl_skellam s;
        csl_mem_fail_after(n);
        enum csl_code first = csl_discrete_gaussian_init(&g, 9, 0, NULL);
        enum csl_code second = csl_skellam_init(&s, 9, 0, NULL);
        csl_mem_fail_after(0);
        assert_true(first == CSL_OK || first == CSL_E_NOMEM);
        assert_true(second == CSL_OK || second == CSL_E_NOMEM);
        if (first == CSL_OK)
            csl_discrete_gaussian_release(&g);
        if (second == CSL_OK)
            csl_skellam_release(&s);
        if (first == CSL_OK && second == CSL_OK)
            break;
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pitfall_12__alias_table__exact_counts_are_the_weights),
        cmocka_unit_test(test_table_pick__around_the_cut__goes_where_the_row_says),
        cmocka_unit_test(test_pitfall_11__small_sigma__every_mass_is_exact),
        cmocka_unit_test(test_skellam_table__every_mass__is_poisson),
        cmocka_unit_test(test_discrete_gaussian_quick__around_the_threshold__agrees_with_exact),
        cmocka_unit_test(test_discrete_gaussian_fill__crafted_words__decides_at_the_threshold),
        cmocka_unit_test(test_discrete_gaussian_init__out_of_range__is_refused),
        cmocka_unit_test(test_discrete_gaussian_init__allocation_fails__nothing_is_lost),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
