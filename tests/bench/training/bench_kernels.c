/* bench_kernels [BACKEND [COPY_GB_S [SGEMM_GFLOP_S]]]
 * How fast operations of a backend run: bytes that must move and products that must be formed, over
 * the time until they are done; and, given what tests/gpu/roof.cu measured on the same card, which
 * fraction of it. Fails only when a backend cannot run. */
#include "base/clock.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/compute/compute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEATS 7

struct kernels {
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    struct csl_cbuf *buf;
    uint64_t n; /* floats of each of four parts of the buffer */
    double copy_gb_s, sgemm_gflop_s;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "bench_kernels: %s\n", err->msg);
    exit(1);
}

static struct csl_view part(const struct kernels *k, uint64_t which, uint64_t count)
{
    return (struct csl_view){k->buf, which * k->n, count};
}

static uint64_t now_ns(const struct kernels *k)
{
    struct csl_err err = {0};
    must(k->ops->sync(k->dev, &err), &err);
    return csl_clock_monotonic_ns();
}

static void say(const struct kernels *k, const char *name, uint64_t best_ns, double bytes,
                double flops)
{
    double gb_s = bytes / (double)best_ns, gflop_s = flops / (double)best_ns;
    printf("  %-22s %10.3f ms %9.1f GB/s %10.1f GFLOP/s", name, (double)best_ns * 1e-6, gb_s,
           gflop_s);
    if (k->copy_gb_s > 0 && flops < 50 * bytes)
        printf("  %5.1f %% of the copy", 100 * gb_s / k->copy_gb_s);
    else if (k->sgemm_gflop_s > 0 && flops >= 50 * bytes)
        printf("  %5.1f %% of sgemm", 100 * gflop_s / k->sgemm_gflop_s);
    printf("\n");
}

/* The best of a few repeats, each until the device is done. */
#define TIME(name, bytes, flops, ...)                                                              \
    do {                                                                                           \
        uint64_t best = UINT64_MAX;                                                                \
        for (int repeat = 0; repeat <= REPEATS; repeat++) {                                        \
            uint64_t start = now_ns(k);                                                            \
            __VA_ARGS__;                                                                           \
            uint64_t ns = now_ns(k) - start;                                                       \
            best = repeat > 0 && ns < best ? ns : best;                                            \
        }                                                                                          \
        say(k, name, best > 0 ? best : 1, (double)(bytes), (double)(flops));                       \
    } while (0)

static void time_elements(const struct kernels *k)
{
    const struct csl_compute_ops *o = k->ops;
    uint64_t n = k->n, cols = 1024, rows = n / cols, words = n / 2;
    struct csl_update adam = {.kind = CSL_UPDATE_ADAM,
                              .rate = 1e-3,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .epsilon = 1e-8,
                              .correction1 = 0.1,
                              .correction2 = 1e-3,
                              .weights = part(k, 0, n),
                              .gradient = part(k, 1, n),
                              .moment1 = part(k, 2, n),
                              .moment2 = part(k, 3, n)};
    struct csl_dropout drop = {.rows = rows, .cols = cols, .rate = 0.5, .seed = 1};
    struct csl_view u64_a = {k->buf, 2 * n / 2, words}, u64_b = {k->buf, 3 * n / 2, words};
    TIME("copy_cols", 8 * n, 0,
         o->copy_cols(k->dev, rows, cols, part(k, 0, n), cols, part(k, 1, n), cols));
    TIME("axpy_f32", 12 * n, 2 * n, o->axpy_f32(k->dev, 1e-3f, part(k, 0, n), part(k, 1, n)));
    TIME("scale_rows", 8 * n, n,
         o->scale_rows(k->dev, rows, cols, part(k, 2, rows), part(k, 0, n), part(k, 1, n)));
    TIME("add_bias", 8 * n, n, o->add_bias(k->dev, rows, cols, part(k, 2, cols), part(k, 1, n)));
    TIME("relu", 8 * n, 0, o->relu(k->dev, part(k, 0, n), part(k, 1, n)));
    TIME("gelu", 8 * n, 0, o->gelu(k->dev, part(k, 0, n), part(k, 1, n)));
    TIME("gelu_backward", 12 * n, 0,
         o->gelu_backward(k->dev, part(k, 0, n), part(k, 1, n), part(k, 2, n)));
    TIME("dropout", 8 * n, 0, o->dropout(k->dev, &drop, part(k, 0, n), part(k, 1, n)));
    TIME("sum_rows", 4 * n, n, o->sum_rows(k->dev, rows, cols, part(k, 0, n), 0, part(k, 1, cols)));
    TIME("sumsq_f32", 4 * n, 2 * n,
         o->sumsq_f32(k->dev, part(k, 0, n), (struct csl_view){k->buf, n / 2, 1}));
    TIME("encode_u64", 12 * words, 0, o->encode_u64(k->dev, part(k, 0, words), 1048576, u64_a));
    TIME("add_u64", 24 * words, 0, o->add_u64(k->dev, u64_a, u64_b));
    TIME("decode_f32", 12 * words, 0, o->decode_f32(k->dev, u64_a, 1048576, part(k, 0, words)));
    TIME("update (adam)", 28 * n, 0, o->update(k->dev, &adam));
}

static void time_layers(const struct kernels *k)
{
    const struct csl_compute_ops *o = k->ops;
    struct csl_err err = {0};
    uint64_t n = k->n, side = 256;
    while (3 * (2 * side) * (2 * side) <= n && side < 4096)
        side *= 2;
    struct csl_gemm g = {.m = side, .n = side, .k = side, .is_b_transposed = true, .alpha = 1};
    struct csl_norm norm = {
        .rows = n / 1024, .tokens = 1, .positions = 1, .channels = 1024, .groups = 1};
    norm.epsilon = 1e-5;
    struct csl_window w = {.channels = 32,
                           .in = {1, 28, 28},
                           .kernel = {1, 3, 3},
                           .stride = {1, 1, 1},
                           .pad = {0, 1, 1}};
    must(csl_window_init(&w, &err), &err);
    struct csl_conv c = {.rows = n / 784 / 64, .outputs = 64, .window = &w};
    struct csl_attention a = {
        .rows = n >> 17 < 64 ? n >> 17 : 64, .positions = 128, .heads = 8, .width = 256};
    uint64_t x = c.rows * 784 * 32, y = c.rows * 784 * 64, tokens = a.rows * 128;
    uint64_t square = side * side, conv_flops = 2 * y * 288, probs = tokens * 8 * 128;
    TIME("gemm_f32", 12 * square, 2 * square * side,
         o->gemm_f32(k->dev, &g, part(k, 0, square), part(k, 1, square), part(k, 2, square)));
    TIME("norm_forward", 8 * n, 0,
         o->norm_forward(k->dev, &norm, part(k, 0, n), part(k, 2, 1024), part(k, 2, 1024),
                         part(k, 1, n), part(k, 3, 2 * norm.rows)));
    TIME("norm_grad_input", 12 * n, 0,
         o->norm_grad_input(k->dev, &norm, part(k, 0, n), part(k, 2, 1024),
                            part(k, 3, 2 * norm.rows), part(k, 1, n), part(k, 2, n)));
    TIME("conv_forward", 4 * (x + y), conv_flops,
         o->conv_forward(k->dev, &c, part(k, 0, x), part(k, 2, 18432), (struct csl_view){0},
                         part(k, 1, y)));
    TIME("conv_grad_weight", 4 * (x + y), conv_flops,
         o->conv_grad_weight(k->dev, &c, part(k, 0, x), part(k, 1, y), 0, part(k, 2, 18432)));
    TIME("conv_grad_input", 4 * (x + y), conv_flops,
         o->conv_grad_input(k->dev, &c, part(k, 2, 18432), part(k, 1, y), part(k, 0, x)));
    TIME("pool_max", 4 * (x + 2 * x), 0,
         o->pool_max(k->dev, &c, part(k, 0, x), part(k, 1, x), part(k, 2, x)));
    TIME("attention", 4 * (4 * tokens * 256 + 2 * probs), 4 * probs * 32,
         o->attention(k->dev, &a, part(k, 0, 3 * tokens * 256), (struct csl_view){0},
                      part(k, 1, probs), part(k, 2, tokens * 256)));
}

static void fill(struct kernels *k)
{
    enum { PIECE = 4096 };
    float values[PIECE];
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "bench/kernels", 0, 0, 0);
    for (uint64_t at = 0; at < 4 * k->n; at += PIECE) {
        for (uint64_t i = 0; i < PIECE; i++)
            values[i] = (float)csl_rng_uniform(&rng);
        k->ops->put(k->dev, k->buf, at * sizeof(float), values, sizeof(values));
    }
}

int main(int argc, char **argv)
{
    struct csl_err err = {0};
    struct kernels at = {0}, *k = &at;
    must(csl_compute_find(argc > 1 ? argv[1] : "auto", &k->ops, &err), &err);
    k->copy_gb_s = argc > 2 ? strtod(argv[2], NULL) : 0;
    k->sgemm_gflop_s = argc > 3 ? strtod(argv[3], NULL) : 0;
    k->n = strcmp(k->ops->name, "cuda") == 0 ? UINT64_C(1) << 26 : UINT64_C(1) << 19;
    must(k->ops->open(0, &k->dev, &err), &err);
    must(k->ops->alloc(k->dev, 4 * k->n * sizeof(float), &k->buf, &err), &err);
    fill(k);
    printf("%s, %llu floats\n", k->ops->name, (unsigned long long)k->n);
    time_elements(k);
    time_layers(k);
    k->ops->free(k->buf);
    k->ops->close(k->dev);
    return 0;
}
