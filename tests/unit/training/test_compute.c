/* Every operation of every CPU backend against cpu-ref, and cpu-ref against answers known by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/training/compute_fixture.h"

#include <math.h>
#include <string.h>

static void test_gemm__shapes_and_transposes__equal_cpu_ref(void **state)
{
    (void)state;
    static const uint64_t shapes[][3] = {{1, 1, 1},    {4, 1, 13},   {1, 13, 4},   {4, 13, 1},
                                         {64, 30, 20}, {33, 65, 17}, {80, 90, 70}, {128, 1, 300}};
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
            for (unsigned flags = 0; flags < 8; flags++) {
                struct csl_gemm g = {.m = shapes[s][0],
                                     .n = shapes[s][1],
                                     .k = shapes[s][2],
                                     .is_a_transposed = (flags & 1) != 0,
                                     .is_b_transposed = (flags & 2) != 0,
                                     .alpha = (flags & 4) != 0 ? 1 : -0.75f,
                                     .beta = (flags & 4) != 0 ? 0 : 0.5f};
                uint64_t a = g.m * g.k, bb = g.k * g.n, c = g.m * g.n;
                COMPARE((double)g.k * 1.2e-7, "gemm",
                        b->ops->gemm_f32(b->dev, &g, at(b, 3, a), at(b, 3 + a, bb),
                                         at(b, 3 + a + bb, c)));
            }
        }
        bench_close(&have);
        bench_close(&want);
    }
}

static void test_gemm__beta_zero__does_not_read_c(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        static const uint64_t sizes[] = {3, 60};
        for (size_t s = 0; s < 2; s++) {
            struct bench b;
            uint64_t n = sizes[s] * sizes[s];
            static float poison[3600];
            for (size_t i = 0; i < n; i++)
                poison[i] = NAN;
            bench_open(&b, *ops);
            fill(&b);
            b.ops->put(b.dev, b.floats, 2 * n * sizeof(float), poison, n * sizeof(float));
            struct csl_gemm g = {.m = sizes[s], .n = sizes[s], .k = sizes[s], .alpha = 1};
            b.ops->gemm_f32(b.dev, &g, at(&b, 0, n), at(&b, n, n), at(&b, 2 * n, n));
            const float *c = read_floats(&b, 2 * n, n);
            for (uint64_t i = 0; i < n; i++)
                assert_true(isfinite(c[i]));
            bench_close(&b);
        }
    }
}

static void test_simple_operations__all_backends__equal_cpu_ref(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        COMPARE(0, "zero", b->ops->zero(b->dev, at(b, 5, 777)));
        COMPARE(1e-7, "axpy",
                b->ops->axpy_f32(b->dev, -0.3f, at(b, 1, 30001), at(b, 30003, 30001)));
        COMPARE(0, "add_bias", b->ops->add_bias(b->dev, 37, 29, at(b, 2000, 29), at(b, 1, 1073)));
        COMPARE(1e-5, "sum_rows",
                b->ops->sum_rows(b->dev, 100, 29, at(b, 1, 2900), 0.0f, at(b, 5000, 29)));
        COMPARE(1e-5, "sum_rows",
                b->ops->sum_rows(b->dev, 100, 29, at(b, 1, 2900), 0.5f, at(b, 5000, 29)));
        COMPARE(
            0, "scale_rows",
            b->ops->scale_rows(b->dev, 37, 29, at(b, 2000, 37), at(b, 1, 1073), at(b, 3000, 1073)));
        COMPARE(0, "relu", b->ops->relu(b->dev, at(b, 1, 1001), at(b, 2000, 1001)));
        COMPARE(0, "relu in place", b->ops->relu(b->dev, at(b, 1, 1001), at(b, 1, 1001)));
        COMPARE(
            0, "relu_backward",
            b->ops->relu_backward(b->dev, at(b, 1, 1001), at(b, 2000, 1001), at(b, 4000, 1001)));
        COMPARE(0, "encode and decode",
                b->ops->encode_u64(b->dev, at(b, 1, 1001), 0x1p20, wide_at(b, 3, 1001));
                b->ops->add_u64(b->dev, wide_at(b, 3, 1001), wide_at(b, 3, 1001));
                b->ops->decode_f32(b->dev, wide_at(b, 3, 1001), 0x1p20, at(b, 9, 1001)));
        double sums[2];
        for (int which = 0; which < 2; which++) {
            struct bench *b = which == 0 ? &have : &want;
            fill(b);
            b->ops->sumsq_f32(b->dev, at(b, 1, 65000), wide_at(b, 7, 1));
            b->ops->get(b->dev, &sums[which], b->wide, 7 * sizeof(double), sizeof(double));
        }
        assert_true(sums[0] > 0 && fabs(sums[0] / sums[1] - 1) < 1e-14);
        bench_close(&have);
        bench_close(&want);
    }
}

static void test_update__kinds_and_terms__equal_cpu_ref(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench have, want;
        bench_open(&have, *ops);
        bench_open(&want, csl_compute_cpu_ref());
        for (unsigned kind = 0; kind < 3; kind++) {
            for (unsigned terms = 0; terms < 8; terms++) {
                const uint64_t n = 1003;
                for (int which = 0; which < 2; which++) {
                    struct bench *b = which == 0 ? &have : &want;
                    struct csl_update u = {.kind = (enum csl_update_kind)kind,
                                           .rate = 0.01,
                                           .momentum = 0.9,
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .epsilon = 1e-8,
                                           .l2 = (terms & 1) != 0 ? 0.3 : 0,
                                           .decay = (terms & 2) != 0 ? 0.2 : 0,
                                           .correction1 = 1 - 0.9,
                                           .correction2 = 1 - 0.999,
                                           .weights = at(b, 1, n),
                                           .gradient = at(b, 2000, n),
                                           .moment1 = at(b, 4000, n),
                                           .moment2 = at(b, 6000, n)};
                    fill(b);
                    if ((terms & 2) != 0) {
                        u.anchor = at(b, 8000, n);
                        u.proximal = 0.7;
                    }
                    if ((terms & 4) != 0)
                        u.correction = at(b, 10000, n);
                    /* A second moment near 0 would only magnify the rounding of g. */
                    const float half = 0.5f;
                    b->ops->put(b->dev, b->floats, 0, &half, sizeof(half));
                    b->ops->relu(b->dev, u.moment2, u.moment2);
                    b->ops->add_bias(b->dev, n, 1, at(b, 0, 1), u.moment2);
                    b->ops->update(b->dev, &u);
                }
                assert_near(&have, &want, 1, n, 3e-6, "update: weights");
                assert_near(&have, &want, 4000, n, 3e-7, "update: first moment");
                assert_near(&have, &want, 6000, n, 3e-7, "update: second moment");
                assert_near(&have, &want, 8000, 3000, 0, "update: anchor and correction");
            }
        }
        bench_close(&have);
        bench_close(&want);
    }
}

/* ---- cpu-ref by hand ---- */

static double one_update(struct csl_update u, const double *gradients, size_t steps, double start,
                         double anchor, double correction)
{
    struct bench b;
    bench_open(&b, csl_compute_cpu_ref());
    float w = (float)start, a = (float)anchor, c = (float)correction;
    b.ops->put(b.dev, b.floats, 0, &w, sizeof(w));
    b.ops->put(b.dev, b.floats, 8, &a, sizeof(a));
    b.ops->put(b.dev, b.floats, 12, &c, sizeof(c));
    u.weights = at(&b, 0, 1);
    u.gradient = at(&b, 1, 1);
    u.anchor = at(&b, 2, 1);
    u.correction = at(&b, 3, 1);
    u.moment1 = at(&b, 4, 1);
    u.moment2 = at(&b, 5, 1);
    for (size_t s = 0; s < steps; s++) {
        float g = (float)gradients[s];
        b.ops->put(b.dev, b.floats, 4, &g, sizeof(g));
        u.correction1 = 1 - pow(u.beta1, (double)s + 1);
        u.correction2 = 1 - pow(u.beta2, (double)s + 1);
        b.ops->update(b.dev, &u);
    }
    w = *read_floats(&b, 0, 1);
    bench_close(&b);
    return (double)w;
}

static void test_update__one_weight__is_the_step_computed_by_hand(void **state)
{
    (void)state;
    const double g[] = {1, -2};
    struct csl_update sgd = {.kind = CSL_UPDATE_SGD, .rate = 0.5};
    assert_true(fabs(one_update(sgd, g, 2, 3, 0, 0) - 3.5) < 1e-7); /* 3 - .5 + 1 */
    sgd.l2 = 0.1; /* g = 1 + .3: 2.35; g = -2 + .235: 3.2325 */
    assert_true(fabs(one_update(sgd, g, 2, 3, 0, 0) - 3.2325) < 1e-6);
    sgd.l2 = 0;
    sgd.proximal = 0.2; /* g = 1 + .2 (3 - 1) + .25 = 1.65: 2.175 */
    assert_true(fabs(one_update(sgd, g, 1, 3, 1, 0.25) - 2.175) < 1e-6);
    struct csl_update momentum = {.kind = CSL_UPDATE_MOMENTUM, .rate = 0.5, .momentum = 0.9};
    /* m = 1: 2.5; m = .9 - 2 = -1.1: 3.05 */
    assert_true(fabs(one_update(momentum, g, 2, 3, 0, 0) - 3.05) < 1e-6);
    struct csl_update adam = {
        .kind = CSL_UPDATE_ADAM, .rate = 0.5, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 0.25};
    /* Step 1: m^ = 1, v^ = 1: 3 - .5 / 1.25 = 2.6. Step 2: m = .09 - .2 = -.11, m^ = -.11 / .19;
     * v = .000999 + .004 = .004999, v^ = .004999 / .001999; sqrt = 1.581376. */
    assert_true(fabs(one_update(adam, g, 1, 3, 0, 0) - 2.6) < 1e-6);
    struct csl_update decayed = adam; /* 3 (1 - .5 * .1) - .4 */
    decayed.decay = 0.1;
    assert_true(fabs(one_update(decayed, g, 1, 3, 0, 0) - 2.45) < 1e-6);
    double want = 2.6 + 0.5 * (0.11 / 0.19) / (sqrt(0.004999 / 0.001999) + 0.25);
    assert_true(fabs(one_update(adam, g, 2, 3, 0, 0) - want) < 1e-6);
}

static double loss_of(const struct csl_compute_ops *ops, enum csl_loss_kind kind, uint64_t rows,
                      uint64_t outputs, const float *logits, const uint8_t *labels,
                      const uint32_t *order, const uint32_t *tie_end, float *grad)
{
    struct bench b;
    double loss;
    bench_open(&b, ops);
    struct csl_cbuf *bytes = NULL, *words = NULL;
    assert_int_equal(b.ops->alloc(b.dev, rows, &bytes, NULL), CSL_OK);
    assert_int_equal(b.ops->alloc(b.dev, rows * 8, &words, NULL), CSL_OK);
    b.ops->put(b.dev, b.floats, 0, logits, rows * outputs * sizeof(float));
    b.ops->put(b.dev, bytes, 0, labels, rows);
    struct csl_loss l = {.kind = kind,
                         .rows = rows,
                         .outputs = outputs,
                         .scale = 1.0 / (double)rows,
                         .logits = at(&b, 0, rows * outputs),
                         .labels = {bytes, 0, rows},
                         .grad = at(&b, 100, rows * outputs),
                         .loss = wide_at(&b, 0, 1)};
    if (order != NULL) {
        b.ops->put(b.dev, words, 0, order, rows * 4);
        b.ops->put(b.dev, words, rows * 4, tie_end, rows * 4);
        l.order = (struct csl_view){words, 0, rows};
        l.tie_end = (struct csl_view){words, rows, rows};
        l.scratch = wide_at(&b, 10, rows);
    }
    b.ops->loss(b.dev, &l);
    b.ops->get(b.dev, &loss, b.wide, 0, sizeof(loss));
    memcpy(grad, read_floats(&b, 100, rows * outputs), rows * outputs * sizeof(float));
    b.ops->free(bytes);
    b.ops->free(words);
    bench_close(&b);
    return loss;
}

static void check_losses(const struct csl_compute_ops *ops)
{
    float grad[8];
    const float z[] = {0, 200, -200, 1.0986123f}; /* log 3 */
    const uint8_t y[] = {1, 1, 1, 0};
    double loss = loss_of(ops, CSL_LOSS_LOGISTIC, 4, 1, z, y, NULL, NULL, grad);
    assert_true(fabs(loss - (log(2) + 0 + 200 + log(4)) / 4) < 1e-6);
    const double logistic_grad[] = {-0.125, 0, -0.25, 0.1875};
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs((double)grad[i] - logistic_grad[i]) < 1e-7);

    const float scores[] = {0, 0, 0, 1000, 1000, -1000};
    const uint8_t classes[] = {2, 0};
    loss = loss_of(ops, CSL_LOSS_SOFTMAX, 2, 3, scores, classes, NULL, NULL, grad);
    assert_true(fabs(loss - (log(3) + log(2)) / 2) < 1e-9);
    const double softmax_grad[] = {1.0 / 6, 1.0 / 6, -1.0 / 3, -0.25, 0.25, 0};
    for (size_t i = 0; i < 6; i++)
        assert_true(fabs((double)grad[i] - softmax_grad[i]) < 1e-7);

    /* Times 4, 2, 2, 1 with events 0, 1, 1, 1 and equal risks: risk sets of 3, 3 and 4. */
    const float equal[] = {5, 5, 5, 5};
    const uint8_t events[] = {0, 1, 1, 1};
    const uint32_t order[] = {0, 1, 2, 3}, tie_end[] = {1, 3, 3, 4};
    loss = loss_of(ops, CSL_LOSS_COX, 4, 1, equal, events, order, tie_end, grad);
    assert_true(fabs(loss - (2 * log(3) + log(4)) / 4) < 1e-7);
    const double cox_grad[] = {(2.0 / 3 + 0.25) / 4, (2.0 / 3 + 0.25 - 1) / 4,
                               (2.0 / 3 + 0.25 - 1) / 4, (0.25 - 1) / 4};
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs((double)grad[i] - cox_grad[i]) < 1e-7);

    /* Risks 4000 apart: nothing overflows, nothing becomes log 0. */
    const float apart[] = {2000, -2000, -2000, 2000};
    loss = loss_of(ops, CSL_LOSS_COX, 4, 1, apart, events, order, tie_end, grad);
    assert_true(fabs(loss - (4000 + 4000 + log(2)) / 4) < 1e-3);
    for (size_t i = 0; i < 4; i++)
        assert_true(isfinite(grad[i]));
}

static void test_loss__small_cases__are_the_values_computed_by_hand(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++)
        check_losses(*ops);
}

static void test_sumsq__lengths_around_the_block__are_exact(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0, 1, 4095, 4096, 4097, 12288, 20481, 65536};
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench b;
        static float ones[FLOATS];
        bench_open(&b, *ops);
        for (size_t i = 0; i < FLOATS; i++)
            ones[i] = 3;
        b.ops->put(b.dev, b.floats, 0, ones, sizeof(ones));
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            double sum = -1;
            b.ops->sumsq_f32(b.dev, at(&b, 0, lengths[i]), wide_at(&b, 0, 1));
            b.ops->get(b.dev, &sum, b.wide, 0, sizeof(sum));
            assert_true(sum == 9.0 * (double)lengths[i]);
        }
        bench_close(&b);
    }
}

static void test_encode__values__round_to_nearest_even_in_twos_complement(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench b;
        const float in[] = {0.5f, 1.5f, -0.5f, -2.5f, -1.0f, 3.0f};
        const int64_t want[] = {0, 2, 0, -2, -1, 3};
        uint64_t out[6];
        bench_open(&b, *ops);
        b.ops->put(b.dev, b.floats, 0, in, sizeof(in));
        b.ops->encode_u64(b.dev, at(&b, 0, 6), 1, wide_at(&b, 0, 6));
        b.ops->get(b.dev, out, b.wide, 0, sizeof(out));
        for (size_t i = 0; i < 6; i++)
            assert_true(out[i] == (uint64_t)want[i]);
        b.ops->add_u64(b.dev, wide_at(&b, 4, 1), wide_at(&b, 5, 1)); /* -1 + 3 wraps */
        b.ops->decode_f32(b.dev, wide_at(&b, 4, 1), 4, at(&b, 9, 1));
        assert_true(*read_floats(&b, 9, 1) == 0.5f);
        bench_close(&b);
    }
}

static void test_put_rows__any_order__packs_the_rows(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++) {
        struct bench b;
        const float table[] = {0, 1, 10, 11, 20, 21, 30, 31};
        const uint32_t rows[] = {3, 0, 3};
        const float want[] = {30, 31, 0, 1, 30, 31}, first[] = {0, 1, 10, 11};
        bench_open(&b, *ops);
        b.ops->put_rows(b.dev, b.floats, 4, table, 2 * sizeof(float), rows, 3);
        assert_memory_equal(read_floats(&b, 1, 6), want, sizeof(want));
        b.ops->put_rows(b.dev, b.floats, 4, table, 2 * sizeof(float), NULL, 2);
        assert_memory_equal(read_floats(&b, 1, 4), first, sizeof(first));
        bench_close(&b);
    }
}

/* ---- the registry ---- */

static void broken_gemm(struct csl_dev *d, const struct csl_gemm *g, struct csl_view a,
                        struct csl_view b, struct csl_view c)
{
    struct csl_gemm wrong = *g;
    wrong.alpha *= 1.001f;
    csl_compute_cpu_ref()->gemm_f32(d, &wrong, a, b, c);
}

static void test_self_test__backends_and_a_broken_one__tells_them_apart(void **state)
{
    (void)state;
    struct csl_err err = {0};
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++)
        assert_int_equal(csl_compute_self_test(*ops, &err), CSL_OK);
    struct csl_compute_ops broken = *csl_compute_cpu_ref();
    broken.name = "broken";
    broken.gemm_f32 = broken_gemm;
    assert_int_equal(csl_compute_self_test(&broken, &err), CSL_E_BUG);
    assert_non_null(strstr(err.msg, "broken differs from cpu-ref"));
    broken = *csl_compute_cpu_ref();
    broken.abi++;
    assert_int_equal(csl_compute_self_test(&broken, &err), CSL_E_BUG);
}

static void test_find__names__give_the_backend_or_say_why_not(void **state)
{
    (void)state;
    const struct csl_compute_ops *ops = NULL;
    struct csl_err err = {0};
    assert_int_equal(csl_compute_find("cpu-ref", &ops, &err), CSL_OK);
    assert_string_equal(ops->name, "cpu-ref");
    bool has_gpu = csl_compute_find("cuda", &ops, &err) == CSL_OK; /* or: test_cuda_load.c */
    assert_int_equal(csl_compute_find("auto", &ops, &err), CSL_OK);
    if (has_gpu)
        assert_string_equal(ops->name, "cuda");
    else if (csl_compute_cpu_dnnl() != NULL)
        assert_string_equal(ops->name, "cpu-dnnl");
    if (csl_compute_cpu_dnnl() == NULL)
        assert_int_equal(csl_compute_find("cpu-dnnl", &ops, &err), CSL_E_UNSUPPORTED);
    assert_int_equal(csl_compute_find("gpu", &ops, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "known: auto"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm__shapes_and_transposes__equal_cpu_ref),
        cmocka_unit_test(test_gemm__beta_zero__does_not_read_c),
        cmocka_unit_test(test_simple_operations__all_backends__equal_cpu_ref),
        cmocka_unit_test(test_update__kinds_and_terms__equal_cpu_ref),
        cmocka_unit_test(test_update__one_weight__is_the_step_computed_by_hand),
        cmocka_unit_test(test_loss__small_cases__are_the_values_computed_by_hand),
        cmocka_unit_test(test_sumsq__lengths_around_the_block__are_exact),
        cmocka_unit_test(test_encode__values__round_to_nearest_even_in_twos_complement),
        cmocka_unit_test(test_put_rows__any_order__packs_the_rows),
        cmocka_unit_test(test_self_test__backends_and_a_broken_one__tells_them_apart),
        cmocka_unit_test(test_find__names__give_the_backend_or_say_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
