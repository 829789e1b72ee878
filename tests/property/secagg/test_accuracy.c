/* How far the secure mean is from the mean, in L2, relative: by data, rotation, sites and bits. The
 * limits are the table of the design (with clip = 1.1 * 4.5 rms rotated, 1.1 * 8 rms not). Fixed
 * seeds; what is measured is the mean square over 2^17 coefficients, which chance moves by less
 * than a percent, except for the clipped ends, where the limit is the table's. Prints the table. */
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/encode.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 1 << 18, WIDTHS = 5, NORMALS = 1 << 21 };

static const uint32_t widths[WIDTHS] = {10, 12, 16, 21, 32};
static float vector[COUNT], decoded[COUNT], scale_of[COUNT], common[COUNT];
static double mean[COUNT];
static uint64_t words[COUNT];
static float normals[NORMALS]; /* drawn once; every site starts reading at a place of its own */

static void draw_site(uint32_t site, bool heavy)
{
    struct csl_rng r;
    csl_rng_init_label(&r, 7, "site", site, heavy, 0);
    size_t at = 0;
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 1024 == 0)
            at = (size_t)csl_rng_below(&r, NORMALS - 1024);
        vector[i] = (normals[at + i % 1024] + 0.3F * common[i]) * (heavy ? scale_of[i] : 1.0F);
    }
}

static void plan(struct csl_encoding *e, uint32_t bits, uint32_t sites, bool rotated, double rms)
{
    *e = (struct csl_encoding){.rotation = {.key = {5}, .size_log2 = CSL_ROTATION_LOG2},
                               .is_rotated = rotated,
                               .count = COUNT,
                               .clip_entry = 1.1 * (rotated ? 4.5 : 8.0) * rms};
    assert_int_equal(csl_lanes_plan(&e->lanes, bits, sites, 0, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(e, NULL), CSL_OK);
}

static double error_of(const struct csl_encoding *e, const uint64_t *total, uint32_t sites)
{
    double off = 0.0, norm = 0.0;
    for (uint64_t k = 0; k < csl_encoding_slices(e); k++) {
        size_t outside = 0;
        assert_int_equal(csl_encoding_decode(e, k, total + k * csl_encoding_slice_words(e, 0),
                                             sites, sites, decoded + (k << 12), &outside, NULL),
                         CSL_OK);
        assert_int_equal(outside, 0);
    }
    for (size_t i = 0; i < COUNT; i++) {
        double d = (double)decoded[i] - mean[i] / sites;
        off += d * d;
        norm += mean[i] / sites * (mean[i] / sites);
    }
    return sqrt(off / norm);
}

static double rms_of_vector(void)
{
    double square = 0.0;
    for (size_t i = 0; i < COUNT; i++)
        square += (double)vector[i] * (double)vector[i];
    return sqrt(square / COUNT);
}

/* One row: the same vectors in every width. */
static void measure(bool heavy, bool rotated, uint32_t sites, double errors[WIDTHS])
{
    struct csl_encoding e[WIDTHS];
    uint64_t *total = csl_alloc_array((size_t)WIDTHS * COUNT, sizeof(*total));
    assert_non_null(total);
    memset(mean, 0, sizeof(mean));
    for (uint32_t s = 0; s < sites; s++) {
        draw_site(s, heavy);
        for (size_t i = 0; i < COUNT; i++)
            mean[i] += (double)vector[i];
        for (size_t w = 0; w < WIDTHS; w++) {
            if (s == 0)
                plan(&e[w], widths[w], sites, rotated, rms_of_vector());
            struct csl_encoder encoder;
            uint8_t coins[32] = {(uint8_t)s, (uint8_t)w, (uint8_t)sites};
            assert_int_equal(csl_encoder_start(&encoder, &e[w], vector, coins, NULL), CSL_OK);
            for (uint64_t k = 0; k < csl_encoding_slices(&e[w]); k++)
                csl_encoder_slice(&encoder, k, NULL,
                                  words + k * csl_encoding_slice_words(&e[w], 0));
            csl_lanes_add(total + w * COUNT, words, csl_encoding_words(&e[w]));
        }
    }
    for (size_t w = 0; w < WIDTHS; w++)
        errors[w] = error_of(&e[w], total + w * COUNT, sites);
    csl_free(total);
}

static const struct row {
    const char *name;
    bool heavy, rotated;
    uint32_t sites;
    double limits[WIDTHS]; /* of the design; 1: it says nothing */
} rows[] = {
    {"gaussian, rotated", false, true, 10, {4.9e-2, 1.2e-2, 7.5e-4, 1e-3, 1e-3}},
    {"gaussian, rotated", false, true, 37, {13.5e-2, 3.2e-2, 2.0e-3, 1e-3, 1e-3}},
    {"gaussian, not rotated", false, false, 37, {24e-2, 5.7e-2, 3.5e-3, 1.1e-4, 2e-7}},
    {"heavy-tailed, rotated", true, true, 37, {1, 1, 1, 1, 1}},
    {"heavy-tailed, not rotated", true, false, 37, {1, 1, 1, 1, 1}},
    {"gaussian, rotated", false, true, 100, {19e-2, 4.3e-2, 2.6e-3, 1e-3, 1e-3}},
    {"heavy-tailed, rotated", true, true, 100, {1, 1, 1, 1, 1}},
};

static void test_accuracy__table_of_the_design__is_reached(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 7, "normals", 0, 0, 0);
    for (size_t i = 0; i < NORMALS; i++)
        normals[i] = (float)csl_rng_normal(&r);
    for (size_t i = 0; i < COUNT; i++) {
        scale_of[i] = (float)exp(2.0 * csl_rng_normal(&r));
        common[i] = (float)csl_rng_normal(&r);
    }
    bool is_reached = true;
    printf("%-26s %5s %9s %9s %9s %9s %9s\n", "relative L2 error", "sites", "10 bits", "12 bits",
           "16 bits", "21 bits", "32 bits");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double errors[WIDTHS];
        measure(rows[i].heavy, rows[i].rotated, rows[i].sites, errors);
        printf("%-26s %5u", rows[i].name, rows[i].sites);
        for (size_t w = 0; w < WIDTHS; w++) {
            printf(" %9.2g", errors[w]);
            is_reached = is_reached && errors[w] <= rows[i].limits[w];
        }
        printf("\n");
    }
    assert_true(is_reached);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy__table_of_the_design__is_reached),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
