/* What only the CUDA backend has: threads that may run in any order, work areas that may be
 * missing, and a staging area. Its answers are compared by test_compute, test_loss and the tests of
 * layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "site-agent/training/compute/cuda/emulated.h"
#include "tests/unit/training/compute_fixture.h"

#include <string.h>

static const uint32_t unit_first[] = {0, 1, 1, 4, 6};
static const struct csl_units units = {4, unit_first};
static const struct csl_view none;

static struct csl_window window(void)
{
    struct csl_window w = {.channels = 8,
                           .in = {1, 9, 10},
                           .kernel = {1, 3, 3},
                           .stride = {1, 1, 1},
                           .pad = {0, 1, 1}};
    assert_int_equal(csl_window_init(&w, NULL), CSL_OK);
    return w;
}

static void run_windows(struct bench *b)
{
    struct csl_window s = window();
    const struct csl_conv c = {6, 16, &s};
    uint64_t x = 6 * 90 * 8, y = 6 * 90 * 16, w = 16 * 72;
    b->ops->conv_forward(b->dev, &c, at(b, 0, x), at(b, x, w), at(b, 69000, 16), at(b, x + w, y));
    b->ops->conv_grad_weight(b->dev, &c, at(b, 0, x), at(b, x + w, y), 0.5f, at(b, x, w));
    b->ops->conv_norms(b->dev, &c, true, &units, at(b, 0, x), at(b, x + w, y), wide_at(b, 0, 4));
    b->ops->conv_grad_input(b->dev, &c, at(b, x, w), at(b, x + w, y), at(b, 0, x));
    b->ops->pool_max(b->dev, &c, at(b, 0, x), at(b, 20000, x), at(b, 30000, x));
    b->ops->pool_max_backward(b->dev, &c, at(b, 30000, x), at(b, 20000, x), at(b, 40000, x));
    b->ops->pool_average(b->dev, &c, at(b, 0, x), at(b, 50000, x));
    b->ops->pool_average_backward(b->dev, &c, at(b, 50000, x), at(b, 30000, x));
}

static void run_tokens(struct bench *b)
{
    const struct csl_norm n = {
        .rows = 6, .tokens = 9, .positions = 1, .channels = 130, .groups = 1, .epsilon = 1e-5};
    const struct csl_attention a = {.rows = 3, .positions = 17, .heads = 2, .width = 16};
    const struct csl_linear wide = {10, 60, 50, true}, deep = {40, 12, 24, true};
    const struct csl_fusion f = {.rows = 6, .modalities = 3, .width = 21};
    uint64_t v = 6 * 9 * 130;
    b->ops->norm_forward(b->dev, &n, at(b, 0, v), at(b, 60000, 130), at(b, 60200, 130),
                         at(b, 8000, v), at(b, 61000, 108));
    b->ops->norm_grad_input(b->dev, &n, at(b, 0, v), at(b, 60000, 130), at(b, 61000, 108),
                            at(b, 8000, v), at(b, 16000, v));
    b->ops->norm_norms(b->dev, &n, &units, at(b, 0, v), at(b, 61000, 108), at(b, 8000, v),
                       wide_at(b, 4, 4));
    b->ops->norm_grad_params(b->dev, &n, at(b, 0, v), at(b, 61000, 108), at(b, 8000, v), 0,
                             at(b, 60000, 130), at(b, 60200, 130));
    b->ops->linear_norms(b->dev, &wide, &units, at(b, 0, 3600), at(b, 8000, 3000),
                         wide_at(b, 8, 4));
    b->ops->linear_norms(b->dev, &deep, &units, at(b, 0, 2880), at(b, 8000, 5760),
                         wide_at(b, 12, 4));
    b->ops->attention(b->dev, &a, at(b, 24000, 2448), none, at(b, 27000, 1734), at(b, 29000, 816));
    b->ops->attention_backward(b->dev, &a, at(b, 24000, 2448), at(b, 27000, 1734),
                               at(b, 29000, 816), at(b, 32000, 2448));
    b->ops->fusion(b->dev, &f, at(b, 36000, 378), none, at(b, 37000, 87), at(b, 38000, 126),
                   at(b, 39000, 36));
    b->ops->fusion_norms(b->dev, &f, &units, at(b, 36000, 378), at(b, 39000, 36), at(b, 38000, 126),
                         wide_at(b, 16, 4));
    b->ops->fusion_grad_params(b->dev, &f, at(b, 36000, 378), at(b, 39000, 36), at(b, 38000, 126),
                               0, at(b, 40000, 87));
}

static void run_rest(struct bench *b)
{
    const struct csl_bag bag = {
        .rows = 6, .positions = 1, .dim = 19, .buckets = 50, .is_hashed = true, .is_mean = true};
    const struct csl_dropout drop = {.rows = 30, .cols = 31, .rate = 0.4, .seed = 7, .stream = 2};
    const uint32_t offsets[] = {0, 60, 60, 200, 201, 290, 300};
    struct csl_loss loss = {.kind = CSL_LOSS_SOFTMAX,
                            .rows = 300,
                            .outputs = 5,
                            .scale = 1,
                            .logits = at(b, 50000, 1500),
                            .grad = at(b, 52000, 1500),
                            .loss = wide_at(b, 20, 1)};
    struct csl_cbuf *bytes = NULL, *words = NULL;
    uint32_t ids[300];
    for (uint32_t i = 0; i < 300; i++)
        ids[i] = i * i * 2654435761u;
    assert_int_equal(b->ops->alloc(b->dev, 300, &bytes, NULL), CSL_OK); /* zero: class 0 */
    assert_int_equal(b->ops->alloc(b->dev, 307 * 4, &words, NULL), CSL_OK);
    b->ops->put(b->dev, words, 0, ids, sizeof(ids));
    b->ops->put(b->dev, words, sizeof(ids), offsets, sizeof(offsets));
    const struct csl_view vi = {words, 0, 300}, vo = {words, 300, 7};
    loss.labels = (struct csl_view){bytes, 0, 300};
    b->ops->loss(b->dev, &loss);
    b->ops->bag_grad(b->dev, &bag, vi, vo, at(b, 54000, 114), 0.5f, at(b, 55000, 950));
    b->ops->bag_norms(b->dev, &bag, &units, vi, vo, at(b, 54000, 114), wide_at(b, 24, 4));
    b->ops->dropout(b->dev, &drop, at(b, 56000, 930), at(b, 57000, 930));
    b->ops->sumsq_f32(b->dev, at(b, 0, 60000), wide_at(b, 28, 1));
    b->ops->sum_rows(b->dev, 1000, 29, at(b, 0, 29000), 0.5f, at(b, 58000, 29));
    b->ops->gelu(b->dev, at(b, 62000, 1000), at(b, 62000, 1000));
    assert_int_equal(b->ops->sync(b->dev, NULL), CSL_OK);
    b->ops->free(bytes);
    b->ops->free(words);
}

static void run_all(bool is_backwards, float *floats, double *wide)
{
    struct bench b;
    csl_emulation_backwards = is_backwards;
    bench_open(&b, csl_compute_cuda_emulated());
    fill(&b);
    run_windows(&b);
    run_tokens(&b);
    run_rest(&b);
    b.ops->get(b.dev, floats, b.floats, 0, FLOATS * sizeof(float));
    b.ops->get(b.dev, wide, b.wide, 0, 32 * sizeof(double));
    bench_close(&b);
    csl_emulation_backwards = false;
}

/* Between two barriers threads run in any order, and blocks always do: a result that depended on it
 * would be a race on a GPU. */
static void test_kernels__threads_and_blocks_backwards__give_the_same_bits(void **state)
{
    (void)state;
    static float forwards[FLOATS], backwards[FLOATS];
    double wide[2][32];
    run_all(false, forwards, wide[0]);
    run_all(true, backwards, wide[1]);
    assert_memory_equal(forwards, backwards, sizeof(forwards));
    assert_memory_equal(wide[0], wide[1], sizeof(wide[0]));
    for (size_t i = 0; i < 4; i++) /* they ran: norms of the units that have rows */
        assert_true(i == 1 ? wide[0][i] == 0 : wide[0][i] > 0);
}

static void test_work_area__no_memory__is_reported_by_sync_with_the_operation(void **state)
{
    (void)state;
    struct bench b;
    struct csl_err err = {0};
    struct csl_window s = window();
    const struct csl_conv c = {6, 16, &s};
    uint64_t x = 6 * 90 * 8, y = 6 * 90 * 16, w = 16 * 72;
    bench_open(&b, csl_compute_cuda_emulated());
    fill(&b);
    csl_mem_fail_after(1);
    b.ops->conv_forward(b.dev, &c, at(&b, 0, x), at(&b, x, w), none, at(&b, x + w, y));
    csl_mem_fail_after(0);
    b.ops->relu(b.dev, at(&b, 0, x), at(&b, 0, x)); /* is not the one to be blamed */
    assert_int_equal(b.ops->sync(b.dev, &err), CSL_E_NOMEM);
    assert_non_null(strstr(err.msg, "in conv_forward"));
    assert_int_equal(b.ops->sync(b.dev, &err), CSL_OK); /* said once */
    b.ops->conv_forward(b.dev, &c, at(&b, 0, x), at(&b, x, w), none, at(&b, x + w, y));
    bench_close(&b);
}

static void test_open_and_alloc__no_memory__leave_the_outputs(void **state)
{
    (void)state;
    const struct csl_compute_ops *ops = csl_compute_cuda_emulated();
    struct csl_dev *dev = NULL;
    struct csl_cbuf *buf = NULL;
    csl_mem_fail_after(1);
    assert_int_equal(ops->open(0, &dev, NULL), CSL_E_NOMEM);
    csl_mem_fail_after(0);
    assert_null(dev);
    assert_int_equal(ops->open(1, &dev, NULL), CSL_E_INVAL);
    assert_null(dev);
    assert_int_equal(ops->open(0, &dev, NULL), CSL_OK);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        csl_mem_fail_after(nth);
        assert_int_equal(ops->alloc(dev, 64, &buf, NULL), CSL_E_NOMEM);
        csl_mem_fail_after(0);
        assert_null(buf);
    }
    ops->close(dev);
    ops->close(NULL);
}

/* The staging area holds 1000 bytes: rows that fit several times, once, and not at all. */
static void test_put_rows__around_the_staging_area__packs_the_rows(void **state)
{
    (void)state;
    static const uint64_t widths[] = {3, 125, 249, 250, 251, 1100};
    const uint32_t rows[] = {4, 0, 3, 3, 1};
    static float table[5 * 1100];
    struct bench b;
    bench_open(&b, csl_compute_cuda_emulated());
    for (uint32_t i = 0; i < 5 * 1100; i++)
        table[i] = (float)i;
    for (size_t k = 0; k < sizeof(widths) / sizeof(widths[0]); k++) {
        uint64_t n = widths[k];
        b.ops->put_rows(b.dev, b.floats, 4, table, n * sizeof(float), rows, 5);
        const float *got = read_floats(&b, 1, 5 * n);
        for (uint64_t i = 0; i < 5 * n; i++)
            assert_true(got[i] == table[rows[i / n] * n + i % n]);
    }
    bench_close(&b);
}

static void test_find__emulated_by_name__is_unknown(void **state)
{
    (void)state;
    const struct csl_compute_ops *ops = NULL;
    struct csl_err err = {0};
    assert_int_equal(csl_compute_find("cuda-emulated", &ops, &err), CSL_E_INVAL);
    assert_null(ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels__threads_and_blocks_backwards__give_the_same_bits),
        cmocka_unit_test(test_work_area__no_memory__is_reported_by_sync_with_the_operation),
        cmocka_unit_test(test_open_and_alloc__no_memory__leave_the_outputs),
        cmocka_unit_test(test_put_rows__around_the_staging_area__packs_the_rows),
        cmocka_unit_test(test_find__emulated_by_name__is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
