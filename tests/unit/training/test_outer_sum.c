/* Sums of rounded outer products by float32 multiply-adds against their definition, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/compute/outer_sum.h"

#include <math.h>
#include <string.h>

#define ROWS 300u
#define MOST 80u /* columns */

struct operands {
    float a[ROWS * MOST], b[ROWS * MOST];
    double scale_a[ROWS], scale_b[ROWS];
    int64_t have[MOST * MOST], want[MOST * MOST];
    float *room;
};

static struct operands *open_operands(void)
{
    struct operands *p = csl_alloc(sizeof(*p));
    p->room = csl_alloc_array((size_t)csl_outer_room(ROWS, MOST), sizeof(float));
    for (size_t r = 0; r < ROWS; r++)
        p->scale_a[r] = p->scale_b[r] = 1;
    return p;
}

static void close_operands(struct operands *p)
{
    csl_free(p->room);
    csl_free(p);
}

static void check(struct operands *p, uint64_t rows, uint64_t m, uint64_t n, unsigned shift)
{
    const struct csl_outer o = {.rows = rows,
                                .m = m,
                                .n = n,
                                .a = p->a,
                                .b = p->b,
                                .scale_a = p->scale_a,
                                .scale_b = p->scale_b,
                                .shift = shift};
    for (uint64_t i = 0; i < m * n; i++)
        p->have[i] = p->want[i] = (int64_t)i - 3; /* added to what is there */
    csl_outer_sum(&o, p->room, p->have);
    csl_outer_sum_plain(&o, p->want);
    assert_memory_equal(p->have, p->want, (size_t)(m * n) * sizeof(int64_t));
}

static void fill(struct operands *p, uint64_t seed, double size)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "test/outer", 0, 0, 0);
    for (size_t i = 0; i < (size_t)ROWS * MOST; i++) {
        p->a[i] = (float)(size * csl_rng_normal(&rng));
        p->b[i] = i % 7 == 0 ? 0 : (float)csl_rng_normal(&rng);
    }
}

static void test_outer_sum__shapes_and_rows__equal_the_definition(void **state)
{
    (void)state;
    static const uint64_t sizes[][3] = {{1, 1, 1},    {3, 12, 32},  {7, 13, 33},  {64, 6, 16},
                                        {65, 25, 80}, {256, 1, 64}, {257, 48, 7}, {300, 80, 80}};
    struct operands *p = open_operands();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fill(p, i, 1000);
        check(p, sizes[i][0], sizes[i][1], sizes[i][2], (unsigned)i);
    }
    check(p, 0, 5, 5, 3);
    close_operands(p);
}

/* Half of all products of the values below are k + 1/2 exactly: without odd significands the even
 * one of two sums would be taken, which depends on the other rows. */
static void test_outer_sum__products_halfway__do_not_see_other_rows(void **state)
{
    (void)state;
    struct operands *p = open_operands();
    struct csl_rng rng;
    int64_t alone[12 * 32], all[12 * 32] = {0};
    csl_rng_init_label(&rng, 5, "test/outer", 0, 0, 0);
    for (size_t i = 0; i < (size_t)ROWS * MOST; i++) {
        p->a[i] = (float)((double)csl_rng_below(&rng, 2000) - 1000);
        p->b[i] = (float)(0.5 * ((double)csl_rng_below(&rng, 8) - 4));
    }
    for (uint64_t r = 0; r < ROWS; r++) {
        const struct csl_outer one = {.rows = 1,
                                      .m = 12,
                                      .n = 32,
                                      .a = p->a + r * 12,
                                      .b = p->b + r * 32,
                                      .scale_a = p->scale_a,
                                      .scale_b = p->scale_b};
        memset(alone, 0, sizeof(alone));
        csl_outer_sum(&one, p->room, alone);
        for (size_t i = 0; i < 12 * 32; i++)
            all[i] += alone[i];
    }
    check(p, ROWS, 12, 32, 0);
    for (size_t i = 0; i < 12 * 32; i++)
        assert_int_equal(p->have[i], all[i] + (int64_t)i - 3);
    close_operands(p);
}

/* Up to and far beyond what an accumulator takes, all of one sign. */
static void test_outer_sum__products_of_every_size__neither_overflow_nor_round_twice(void **state)
{
    (void)state;
    struct operands *p = open_operands();
    for (int log2 = 15; log2 <= 44; log2++) {
        fill(p, (uint64_t)log2, 1);
        for (size_t i = 0; i < (size_t)ROWS * MOST; i++) {
            p->a[i] = fabsf(p->a[i]);
            p->b[i] = fabsf(p->b[i]);
        }
        for (uint64_t r = 0; r < ROWS; r++)
            p->scale_a[r] = ldexp(1, r % 3 == 0 ? log2 : 14);
        check(p, ROWS, 14, 34, 2);
    }
    close_operands(p);
}

static void test_outer_sum__scales_at_the_ends_of_float32__equal_the_definition(void **state)
{
    (void)state;
    struct operands *p = open_operands();
    fill(p, 9, 1);
    for (uint64_t r = 0; r < ROWS; r++) {
        int out = r % 2 == 0 ? 120 : -120;
        for (uint64_t k = 0; k < 20; k++) {
            p->a[r * 20 + k] = ldexpf(p->a[r * 20 + k], -out);
            p->b[r * 20 + k] = ldexpf(p->b[r * 20 + k], out);
        }
        p->scale_a[r] = ldexp(1.2345, out + 12);
        p->scale_b[r] = ldexp(1, -out);
    }
    check(p, ROWS, 20, 20, 0);
    close_operands(p);
}

static void test_outer_sum__row_of_scale_zero__adds_nothing_whatever_it_holds(void **state)
{
    (void)state;
    struct operands *p = open_operands();
    fill(p, 11, 50);
    p->scale_a[3] = p->scale_a[200] = 0;
    for (uint64_t k = 0; k < 20; k++) {
        p->a[3 * 20 + k] = NAN;
        p->b[200 * 20 + k] = INFINITY;
    }
    check(p, ROWS, 20, 20, 0);
    for (size_t i = 0; i < 400; i++)
        assert_true(p->have[i] < 1000000 && p->have[i] > -1000000);
    close_operands(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outer_sum__shapes_and_rows__equal_the_definition),
        cmocka_unit_test(test_outer_sum__products_halfway__do_not_see_other_rows),
        cmocka_unit_test(test_outer_sum__products_of_every_size__neither_overflow_nor_round_twice),
        cmocka_unit_test(test_outer_sum__scales_at_the_ends_of_float32__equal_the_definition),
        cmocka_unit_test(test_outer_sum__row_of_scale_zero__adds_nothing_whatever_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
