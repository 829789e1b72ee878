/* The operations of layers on every CPU backend against cpu-ref, element by element, at sizes where
 * the fast backend takes its fast ways. Tolerances in units of 1 + |value|: 6e-8 is half an ulp of
 * a number near 1; a sum of n products of numbers below 1 in float32 is off by far less than n of
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/unit/training/compute_fixture.h"

#include <math.h>
#include <string.h>

#define ULP 1.2e-7

static struct csl_cbuf *put_bytes(struct bench *b, const void *bytes, uint64_t size)
{
    struct csl_cbuf *buf = NULL;
    assert_int_equal(b->ops->alloc(b->dev, size, &buf, NULL), CSL_OK);
    b->ops->put(b->dev, buf, 0, bytes, size);
    return buf;
}

/* Norms are sums of squares: to `allowed` of themselves. */
static void assert_norms(struct bench *a, struct bench *b, uint64_t count, double allowed,
                         const char *what)
{
    double x[16], y[16];
    assert_true(count <= 16);
    a->ops->get(a->dev, x, a->wide, 0, count * sizeof(double));
    b->ops->get(b->dev, y, b->wide, 0, count * sizeof(double));
    for (uint64_t i = 0; i < count; i++)
        if (!(fabs(x[i] - y[i]) <= allowed * y[i]))
            fail_msg("%s: norm %llu is %.12g, cpu-ref has %.12g", what, (unsigned long long)i, x[i],
                     y[i]);
}

static void test_gelu__values__equal_cpu_ref(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        /* |Phi| is off by 7.5e-8 (Abramowitz and Stegun) and roundings, times |x| <= 30. */
        COMPARE(4 * ULP, "gelu", b->ops->gelu(b->dev, at(b, 1, 30001), at(b, 1, 30001)));
        COMPARE(4 * ULP, "gelu backward",
                b->ops->gelu_backward(b->dev, at(b, 1, 30001), at(b, 31000, 30001),
                                      at(b, 31000, 30001)));
        static float wide[4001];
        for (size_t i = 0; i < 4001; i++)
            wide[i] = (float)((double)i - 2000) / 100.0f;
        COMPARE(4 * ULP, "gelu from -20 to 20",
                b->ops->put(b->dev, b->floats, 0, wide, sizeof(wide));
                b->ops->gelu(b->dev, at(b, 0, 4001), at(b, 0, 4001)));
        const float odd[] = {NAN, HUGE_VALF, -1000, 1000, 0};
        have.ops->put(have.dev, have.floats, 0, odd, sizeof(odd));
        have.ops->gelu(have.dev, at(&have, 0, 5), at(&have, 0, 5));
        const float *y = read_floats(&have, 0, 5);
        assert_true(isnan((double)y[0]) && !isfinite((double)y[1]));
        assert_true(y[2] == 0 && y[3] == 1000 && y[4] == 0);
        bench_close(&have);
        bench_close(&want);
    }
}

static struct csl_window window(struct csl_window w)
{
    assert_int_equal(csl_window_init(&w, NULL), CSL_OK);
    return w;
}

struct conv_case {
    struct csl_window window;
    uint64_t rows, outputs;
};

static const struct conv_case conv_cases[] = {
    {{.channels = 1, .in = {1, 28, 28}, .kernel = {1, 5, 5}, .stride = {1, 2, 2}, .pad = {0, 2, 2}},
     6,
     7},
    {{.channels = 8, .in = {1, 9, 10}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .pad = {0, 1, 1}},
     6,
     16},
    {{.channels = 12, .in = {1, 1, 100}, .kernel = {1, 1, 7}, .stride = {1, 1, 3}}, 6, 10},
    {{.channels = 32, .in = {1, 4, 4}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}}, 6, 24},
    {{.channels = 32, .in = {1, 3, 3}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .pad = {0, 1, 1}},
     6,
     20},
};

static void test_conv__larger_shapes__equal_cpu_ref(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        for (size_t i = 0; i < sizeof(conv_cases) / sizeof(conv_cases[0]); i++) {
            struct csl_window s = window(conv_cases[i].window);
            struct csl_conv c = {conv_cases[i].rows, conv_cases[i].outputs, &s};
            uint64_t x = c.rows * csl_window_positions_in(&s) * s.channels;
            uint64_t y = c.rows * csl_window_positions_out(&s) * c.outputs;
            uint64_t taps = csl_window_taps(&s) * s.channels, w = c.outputs * taps;
            assert_true(2 * x + 2 * y + w <= FLOATS);
            COMPARE((double)taps * ULP, "conv forward",
                    b->ops->conv_forward(b->dev, &c, at(b, 0, x), at(b, x, w), (struct csl_view){0},
                                         at(b, x + w, y)));
            COMPARE((double)(c.outputs * csl_window_taps(&s)) * ULP, "conv input gradient",
                    b->ops->conv_grad_input(b->dev, &c, at(b, x, w), at(b, x + w, y), at(b, 0, x)));
            for (int turn = 0; turn < 2; turn++)
                COMPARE((double)(c.rows * csl_window_positions_out(&s)) * ULP,
                        "conv weight gradient",
                        b->ops->conv_grad_weight(b->dev, &c, at(b, 0, x), at(b, x + w, y),
                                                 turn == 0 ? 0 : 0.5f, at(b, x, w)));
        }
        bench_close(&have);
        bench_close(&want);
    }
}

static void test_conv__a_large_image__equals_cpu_ref(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        struct csl_window s = window((struct csl_window){.channels = 3,
                                                         .in = {1, 40, 40},
                                                         .kernel = {1, 7, 7},
                                                         .stride = {1, 1, 1},
                                                         .pad = {0, 3, 3}});
        struct csl_conv c = {1, 2, &s};
        uint64_t x = 40 * 40 * 3, w = 2 * 49 * 3, y = 40 * 40 * 2;
        COMPARE(147 * ULP, "conv forward",
                b->ops->conv_forward(b->dev, &c, at(b, 0, x), at(b, x, w), (struct csl_view){0},
                                     at(b, x + w, y)));
        COMPARE(98 * ULP, "conv input gradient",
                b->ops->conv_grad_input(b->dev, &c, at(b, x, w), at(b, x + w, y), at(b, 0, x)));
        COMPARE(1600 * ULP, "conv weight gradient",
                b->ops->conv_grad_weight(b->dev, &c, at(b, 0, x), at(b, x + w, y), 0, at(b, x, w)));
        bench_close(&have);
        bench_close(&want);
    }
}

static const uint32_t unit_first[] = {0, 1, 1, 4, 6};
static const struct csl_units units = {4, unit_first};

static void test_norms__of_units__equal_cpu_ref(void **state)
{
    (void)state;
    static const struct csl_linear linears[] = {{1, 300, 40, true},  {1, 13, 1, true},
                                                {10, 60, 50, true},  {30, 20, 20, false},
                                                {40, 12, 24, false}, {3, 100, 90, true}};
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        for (size_t i = 0; i < sizeof(linears) / sizeof(linears[0]); i++) {
            const struct csl_linear *l = &linears[i];
            uint64_t x = 6 * l->positions * l->in, y = 6 * l->positions * l->out;
            COMPARE(0, "linear norms leave the inputs",
                    b->ops->linear_norms(b->dev, l, &units, at(b, 0, x), at(b, x, y),
                                         wide_at(b, 0, 4)));
            assert_norms(&have, &want, 4, 1e-5, "linear norms");
        }
        for (size_t i = 0; i < sizeof(conv_cases) / sizeof(conv_cases[0]); i++) {
            struct csl_window s = window(conv_cases[i].window);
            struct csl_conv c = {conv_cases[i].rows, conv_cases[i].outputs, &s};
            uint64_t x = c.rows * csl_window_positions_in(&s) * s.channels;
            uint64_t y = c.rows * csl_window_positions_out(&s) * c.outputs;
            for (int has_bias = 0; has_bias < 2; has_bias++) {
                COMPARE(0, "conv norms leave the inputs",
                        b->ops->conv_norms(b->dev, &c, has_bias != 0, &units, at(b, 0, x),
                                           at(b, x, y), wide_at(b, 0, 4)));
                assert_norms(&have, &want, 4, 1e-5, "conv norms");
            }
        }
        bench_close(&have);
        bench_close(&want);
    }
}

/* Rows whose gradients cancel: the norm is no more than the rounding of the products and never
 * below 0. Two equal inputs of norm^2 100 with gradients g and -g of norm^2 40, 4 products of 4000.
 */
static void test_norms__gradients_that_cancel__are_not_negative(void **state)
{
    (void)state;
    static const uint32_t both[] = {0, 2};
    const struct csl_units one = {1, both};
    const struct csl_linear l = {1, 300, 120, true};
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench b;
        double norm = -1;
        bench_open(&b, *ops);
        fill(&b);
        b.ops->copy_cols(b.dev, 1, 300, at(&b, 0, 300), 300, at(&b, 300, 300), 300);
        b.ops->zero(b.dev, at(&b, 1120, 120));
        b.ops->axpy_f32(b.dev, -1, at(&b, 1000, 120), at(&b, 1120, 120));
        b.ops->linear_norms(b.dev, &l, &one, at(&b, 0, 600), at(&b, 1000, 240), wide_at(&b, 0, 1));
        b.ops->get(b.dev, &norm, b.wide, 0, sizeof(norm));
        assert_true(norm >= 0 && norm <= 4 * 4000 * 300 * ULP);
        bench_close(&b);
    }
}

static void test_normalisation__wide_rows__equals_cpu_ref(void **state)
{
    (void)state;
    static const struct csl_norm norms[] = {
        {.rows = 6, .tokens = 9, .positions = 1, .channels = 130, .groups = 1, .epsilon = 1e-5},
        {.rows = 6, .tokens = 1, .positions = 40, .channels = 24, .groups = 6, .epsilon = 1e-5},
        {.rows = 6, .tokens = 2, .positions = 5, .channels = 7, .groups = 7, .epsilon = 1e-3}};
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        for (size_t i = 0; i < sizeof(norms) / sizeof(norms[0]); i++) {
            const struct csl_norm *n = &norms[i];
            uint64_t x = n->rows * n->tokens * n->positions * n->channels, c = n->channels;
            uint64_t s = n->rows * n->tokens * n->groups * 2;
            /* values of up to 3 standard deviations through 4 roundings */
            COMPARE(16 * ULP, "norm forward",
                    b->ops->norm_forward(b->dev, n, at(b, 0, x), at(b, 60000, c), at(b, 61000, c),
                                         at(b, x, x), at(b, 62000, s)));
            COMPARE(64 * ULP, "norm input gradient",
                    b->ops->norm_forward(b->dev, n, at(b, 0, x), at(b, 60000, c), at(b, 61000, c),
                                         at(b, x, x), at(b, 62000, s));
                    b->ops->norm_grad_input(b->dev, n, at(b, 0, x), at(b, 60000, c),
                                            at(b, 62000, s), at(b, 2 * x, x), at(b, 3 * x, x)));
            COMPARE(64 * ULP, "norm gradients and norms",
                    b->ops->norm_forward(b->dev, n, at(b, 0, x), at(b, 60000, c), at(b, 61000, c),
                                         at(b, x, x), at(b, 62000, s));
                    b->ops->norm_grad_params(b->dev, n, at(b, 0, x), at(b, 62000, s),
                                             at(b, 2 * x, x), 0.5f, at(b, 60000, c),
                                             at(b, 61000, c));
                    b->ops->norm_norms(b->dev, n, &units, at(b, 0, x), at(b, 62000, s),
                                       at(b, 2 * x, x), wide_at(b, 0, 4)));
            assert_norms(&have, &want, 4, 1e-5, "norm norms");
        }
        bench_close(&have);
        bench_close(&want);
    }
}

/* Forward and back, with a mask or without. */
static void attend(struct bench *b, const struct csl_attention *a, const uint8_t *mask)
{
    uint64_t y = a->rows * a->positions * a->width, places = a->rows * a->positions;
    uint64_t p = a->rows * a->heads * a->positions * a->positions;
    struct csl_view present = {0};
    if (mask != NULL)
        present = (struct csl_view){put_bytes(b, mask, places), 0, places};
    b->ops->attention(b->dev, a, at(b, 0, 3 * y), present, at(b, 3 * y, p), at(b, 3 * y + p, y));
    b->ops->attention_backward(b->dev, a, at(b, 0, 3 * y), at(b, 3 * y, p), at(b, 3 * y + p, y),
                               at(b, 4 * y + p, 3 * y));
    b->ops->free(present.buf);
}

static void test_attention__larger_shapes__equal_cpu_ref(void **state)
{
    (void)state;
    static const struct csl_attention shapes[] = {
        {.rows = 3, .positions = 33, .heads = 4, .width = 64},
        {.rows = 4, .positions = 20, .heads = 1, .width = 40}};
    uint8_t mask[4 * 33];
    for (size_t i = 0; i < sizeof(mask); i++)
        mask[i] = i % 5 != 2;
    memset(mask + 33, 0, 33);
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        /* A score is a sum of width / heads products below 1; its exponential moves the shares by
         * as much. */
        for (size_t i = 0; i < 4; i++)
            COMPARE(64 * ULP, "attention and its gradient",
                    attend(b, &shapes[i / 2], i % 2 == 1 ? mask : NULL));
        bench_close(&have);
        bench_close(&want);
    }
}

static void test_bag_norms__many_words__equal_cpu_ref(void **state)
{
    (void)state;
    enum { WORDS = 300 };
    uint32_t ids[WORDS];
    const uint32_t offsets[] = {0, 60, 60, 200, 201, 290, 300};
    const struct csl_bag bag = {
        .rows = 6, .positions = 1, .dim = 19, .buckets = 50, .is_hashed = true, .is_mean = true};
    for (uint32_t i = 0; i < WORDS; i++)
        ids[i] = i * i * 2654435761u;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        for (int which = 0; which < 2; which++) {
            struct bench *b = which == 0 ? &have : &want;
            struct csl_cbuf *words = put_bytes(b, ids, sizeof(ids));
            struct csl_cbuf *ends = put_bytes(b, offsets, sizeof(offsets));
            fill(b);
            b->ops->bag_norms(b->dev, &bag, &units, (struct csl_view){words, 0, WORDS},
                              (struct csl_view){ends, 0, 7}, at(b, 0, 6 * 19), wide_at(b, 0, 4));
            b->ops->free(words);
            b->ops->free(ends);
        }
        assert_norms(&have, &want, 4, 1e-12, "bag norms");
        bench_close(&have);
        bench_close(&want);
    }
}

/* Every operation of the fast backend that wants memory, without any: the definition's bits. */
static void run_without_memory(struct bench *b)
{
    struct csl_window s = window(conv_cases[1].window);
    const struct csl_conv c = {6, 16, &s};
    const struct csl_linear l = {10, 60, 50, true};
    const struct csl_norm n = {
        .rows = 6, .tokens = 9, .positions = 1, .channels = 130, .groups = 1, .epsilon = 1e-5};
    const struct csl_attention a = {.rows = 3, .positions = 5, .heads = 2, .width = 8};
    uint64_t x = 6 * 90 * 8, y = 6 * 90 * 16, w = 16 * 72, v = 6 * 9 * 130;
    const struct csl_view none = {0};
    fill(b);
    csl_mem_fail_after(1);
    b->ops->conv_forward(b->dev, &c, at(b, 0, x), at(b, x, w), at(b, 69000, 16), at(b, x + w, y));
    csl_mem_fail_after(1);
    b->ops->conv_grad_input(b->dev, &c, at(b, x, w), at(b, x + w, y), at(b, 0, x));
    csl_mem_fail_after(1);
    b->ops->conv_grad_weight(b->dev, &c, at(b, 0, x), at(b, x + w, y), 0.5f, at(b, x, w));
    csl_mem_fail_after(1);
    b->ops->conv_norms(b->dev, &c, true, &units, at(b, 0, x), at(b, x + w, y), wide_at(b, 0, 4));
    csl_mem_fail_after(1);
    b->ops->linear_norms(b->dev, &l, &units, at(b, 20000, 3600), at(b, 24000, 3000),
                         wide_at(b, 0, 4));
    csl_mem_fail_after(1);
    b->ops->norm_forward(b->dev, &n, at(b, 30000, v), at(b, 29000, 130), at(b, 29200, 130),
                         at(b, 38000, v), at(b, 46000, 108));
    csl_mem_fail_after(1);
    b->ops->norm_grad_input(b->dev, &n, at(b, 30000, v), at(b, 29000, 130), at(b, 46000, 108),
                            at(b, 38000, v), at(b, 50000, v));
    csl_mem_fail_after(1);
    b->ops->norm_grad_params(b->dev, &n, at(b, 30000, v), at(b, 46000, 108), at(b, 38000, v), 0,
                             at(b, 29000, 130), at(b, 29200, 130));
    csl_mem_fail_after(1);
    b->ops->norm_norms(b->dev, &n, &units, at(b, 30000, v), at(b, 46000, 108), at(b, 38000, v),
                       wide_at(b, 0, 4));
    csl_mem_fail_after(0);
    csl_compute_cpu_ref()->attention(b->dev, &a, at(b, 60000, 360), none, at(b, 61000, 150),
                                     at(b, 62000, 120));
    csl_mem_fail_after(1);
    b->ops->attention_backward(b->dev, &a, at(b, 60000, 360), at(b, 61000, 150), at(b, 62000, 120),
                               at(b, 63000, 360));
    csl_mem_fail_after(0);
}

static void test_fast_operations__no_memory__fall_back_on_the_definition(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        if (!is_cpu(*ops))
            continue; /* the GPU has no definition to fall back on: test_cuda_emulated.c */
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        run_without_memory(&have);
        run_without_memory(&want);
        assert_near(&have, &want, 0, FLOATS, 0, "without memory");
        assert_norms(&have, &want, 4, 0, "without memory");
        bench_close(&have);
        bench_close(&want);
    }
}

static void check_pool_max(const struct csl_compute_ops *ops)
{
    struct csl_window s = window((struct csl_window){
        .channels = 1, .in = {1, 1, 6}, .kernel = {1, 1, 3}, .stride = {1, 1, 3}});
    const struct csl_conv c = {.rows = 1, .window = &s};
    const float x[] = {1, NAN, 2, 3, 3, 1};
    struct bench b;
    uint32_t where[2];
    bench_open(&b, ops);
    b.ops->put(b.dev, b.floats, 0, x, sizeof(x));
    b.ops->pool_max(b.dev, &c, at(&b, 0, 6), at(&b, 6, 2), at(&b, 8, 2));
    const float *y = read_floats(&b, 6, 2);
    assert_true(isnan((double)y[0]) && y[1] == 3);
    b.ops->get(b.dev, where, b.floats, 8 * sizeof(float), sizeof(where));
    assert_int_equal(where[0], 1);
    assert_int_equal(where[1], 3); /* the first of equals */
    bench_close(&b);
}

static void test_pool_max__not_a_number__wins(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++)
        check_pool_max(*ops);
}

static void test_copy_cols__between_strides__moves_the_columns(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench b;
        const float x[] = {1, 2, 3, 4, 5, 6};
        const float want[] = {0, 2, 3, 0, 5, 6};
        bench_open(&b, *ops);
        b.ops->put(b.dev, b.floats, 0, x, sizeof(x));
        b.ops->copy_cols(b.dev, 2, 2, at(&b, 1, 5), 3, at(&b, 11, 5), 3);
        b.ops->copy_cols(b.dev, 0, 2, at(&b, 0, 0), 3, at(&b, 10, 0), 3);
        assert_memory_equal(read_floats(&b, 10, 6), want, sizeof(want));
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gelu__values__equal_cpu_ref),
        cmocka_unit_test(test_conv__larger_shapes__equal_cpu_ref),
        cmocka_unit_test(test_conv__a_large_image__equals_cpu_ref),
        cmocka_unit_test(test_norms__of_units__equal_cpu_ref),
        cmocka_unit_test(test_norms__gradients_that_cancel__are_not_negative),
        cmocka_unit_test(test_normalisation__wide_rows__equals_cpu_ref),
        cmocka_unit_test(test_attention__larger_shapes__equal_cpu_ref),
        cmocka_unit_test(test_bag_norms__many_words__equal_cpu_ref),
        cmocka_unit_test(test_fast_operations__no_memory__fall_back_on_the_definition),
        cmocka_unit_test(test_pool_max__not_a_number__wins),
        cmocka_unit_test(test_copy_cols__between_strides__moves_the_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
