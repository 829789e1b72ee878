/* bench_layers [BACKEND, "auto" unless told]
 * Seconds of a private step (forward, input gradients, norms of patients, clipped sums) and of an
 * ordinary one (without the norms) of models built from layers, as a ratio in one run: CPU time of
 * one core, or of a GPU the time until it is done, without a table by layer.
 * Prints where the time goes; fails only when a backend cannot run. */
#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/layers/layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS_MAX 16u
#define ROWS       64u
#define REPEATS    7

struct net {
    const char *name;
    struct csl_layer layers[LAYERS_MAX];
    uint32_t count;
    uint64_t parameters;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "bench_layers: %s\n", err->msg);
    exit(1);
}

static void add(struct net *n, struct csl_layer l, uint64_t parameters)
{
    n->layers[n->count++] = l;
    n->parameters += parameters;
}

static void add_linear(struct net *n, uint64_t positions, uint64_t in, uint64_t out)
{
    struct csl_place at = {n->parameters, n->parameters + in * out, true};
    add(n, csl_layer_make_linear(positions, in, out, at), in * out + out);
}

static void add_conv(struct net *n, uint64_t side, uint64_t channels, uint64_t outputs)
{
    struct csl_err err = {0};
    struct csl_window w = {.channels = channels,
                           .in = {1, side, side},
                           .kernel = {1, 3, 3},
                           .stride = {1, 1, 1},
                           .pad = {0, 1, 1}};
    must(csl_window_init(&w, &err), &err);
    uint64_t weights = outputs * 9 * channels;
    struct csl_place at = {n->parameters, n->parameters + weights, true};
    add(n, csl_layer_make_conv(&w, outputs, at), weights + outputs);
    add(n, csl_layer_make_relu(side * side * outputs), 0);
    w = (struct csl_window){
        .channels = outputs, .in = {1, side, side}, .kernel = {1, 2, 2}, .stride = {1, 2, 2}};
    must(csl_window_init(&w, &err), &err);
    add(n, csl_layer_make_pool_max(&w), 0);
}

static void add_layer_norm(struct net *n, uint64_t tokens, uint64_t width)
{
    add(n, csl_layer_make_layer_norm(tokens, width, 1e-5, n->parameters, n->parameters + width),
        2 * width);
}

static void make_mlp(struct net *n)
{
    n->name = "mlp 784-256-256-10";
    add_linear(n, 1, 784, 256);
    add(n, csl_layer_make_relu(256), 0);
    add_linear(n, 1, 256, 256);
    add(n, csl_layer_make_relu(256), 0);
    add_linear(n, 1, 256, 10);
}

static void make_cnn(struct net *n)
{
    n->name = "cnn 28x28, 3x3x32, 3x3x64, 128, 10";
    add_conv(n, 28, 1, 32);
    add_conv(n, 14, 32, 64);
    add_linear(n, 1, 7 * 7 * 64, 128);
    add(n, csl_layer_make_relu(128), 0);
    add_linear(n, 1, 128, 10);
}

/* Residual connections left out: they are two additions. */
static void make_transformer(struct net *n)
{
    const uint64_t tokens = 48, width = 64;
    n->name = "transformer block, 48 tokens of 64, 4 heads";
    add_linear(n, tokens, 24, width);
    add_layer_norm(n, tokens, width);
    add_linear(n, tokens, width, 3 * width);
    add(n, csl_layer_make_attention(tokens, 4, width), 0);
    add_linear(n, tokens, width, width);
    add_layer_norm(n, tokens, width);
    add_linear(n, tokens, width, 4 * width);
    add(n, csl_layer_make_gelu(tokens * 4 * width), 0);
    add_linear(n, tokens, 4 * width, width);
    add(n, csl_layer_make_mean(tokens, width), 0);
    add_linear(n, 1, width, 10);
}

struct work {
    struct net net;
    struct csl_pass pass;
    struct csl_cbuf *buffers[2 * LAYERS_MAX + 8];
    uint32_t buffer_count;
    struct csl_view x[LAYERS_MAX + 1], g[LAYERS_MAX + 1], saved[LAYERS_MAX];
    struct csl_view labels, loss, norms, scale;
    uint32_t first[ROWS + 1];
    uint64_t ns[LAYERS_MAX][4]; /* forward, grad_input, norms, grad_params */
};

static struct csl_view room(struct work *w, uint64_t count, uint64_t item)
{
    struct csl_err err = {0};
    struct csl_cbuf *buf = NULL;
    if (count == 0)
        return (struct csl_view){0};
    must(w->pass.ops->alloc(w->pass.dev, count * item, &buf, &err), &err);
    w->buffers[w->buffer_count++] = buf;
    return (struct csl_view){buf, 0, count};
}

static void put_normal(struct work *w, struct csl_view v, double scale)
{
    float *values = csl_alloc_array((size_t)v.count, sizeof(*values));
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "bench/layers", 0, 0, 0);
    for (uint64_t i = 0; values != NULL && i < v.count; i++)
        values[i] = (float)(scale * csl_rng_normal(&rng));
    if (values != NULL)
        w->pass.ops->put(w->pass.dev, v.buf, 0, values, v.count * sizeof(float));
    csl_free(values);
}

static void work_open(struct work *w, void (*make)(struct net *), const char *backend)
{
    struct csl_err err = {0};
    uint8_t labels[ROWS];
    *w = (struct work){.pass = {.rows = ROWS, .is_training = true}};
    must(csl_compute_find(backend, &w->pass.ops, &err), &err);
    must(w->pass.ops->open(0, &w->pass.dev, &err), &err);
    make(&w->net);
    struct csl_view weights = room(w, w->net.parameters, sizeof(float));
    put_normal(w, weights, 0.05);
    w->pass.weights = weights.buf;
    w->pass.gradient = room(w, w->net.parameters, sizeof(float)).buf;
    for (uint32_t i = 0; i < w->net.count; i++) {
        const struct csl_layer *l = &w->net.layers[i];
        if (i == 0) {
            w->x[0] = room(w, ROWS * l->in, sizeof(float));
            put_normal(w, w->x[0], 1);
        }
        w->x[i + 1] = room(w, ROWS * l->out, sizeof(float));
        w->g[i + 1] = room(w, ROWS * l->out, sizeof(float));
        w->saved[i] = room(w, ROWS * l->saved, sizeof(float));
    }
    for (uint32_t r = 0; r <= ROWS; r++)
        w->first[r] = r;
    for (uint32_t r = 0; r < ROWS; r++)
        labels[r] = (uint8_t)(r % 10);
    w->labels = room(w, ROWS, 1);
    w->loss = room(w, 1, sizeof(double));
    w->norms = room(w, ROWS, sizeof(double));
    w->scale = room(w, ROWS, sizeof(float));
    w->pass.ops->put(w->pass.dev, w->labels.buf, 0, labels, sizeof(labels));
}

static void work_close(struct work *w)
{
    for (uint32_t i = 0; i < w->buffer_count; i++)
        w->pass.ops->free(w->buffers[i]);
    w->pass.ops->close(w->pass.dev);
}

static void there_and_back(struct work *w)
{
    const struct net *n = &w->net;
    for (uint32_t i = 0; i < n->count; i++) {
        uint64_t start = csl_clock_cpu_ns();
        w->pass.saved = w->saved[i];
        n->layers[i].ops->forward(&n->layers[i], &w->pass, w->x[i], w->x[i + 1]);
        w->ns[i][0] += csl_clock_cpu_ns() - start;
    }
    struct csl_loss loss = {.kind = CSL_LOSS_SOFTMAX,
                            .rows = ROWS,
                            .outputs = 10,
                            .scale = 1,
                            .logits = w->x[n->count],
                            .labels = w->labels,
                            .grad = w->g[n->count],
                            .loss = w->loss};
    w->pass.ops->loss(w->pass.dev, &loss);
    for (uint32_t i = n->count; i-- > 1;) {
        uint64_t start = csl_clock_cpu_ns();
        w->pass.saved = w->saved[i];
        n->layers[i].ops->grad_input(&n->layers[i], &w->pass, w->x[i], w->g[i + 1], w->g[i]);
        w->ns[i][1] += csl_clock_cpu_ns() - start;
    }
}

static void sums(struct work *w, struct csl_view scale)
{
    for (uint32_t i = 0; i < w->net.count; i++) {
        const struct csl_layer *l = &w->net.layers[i];
        uint64_t start = csl_clock_cpu_ns();
        w->pass.saved = w->saved[i];
        if (l->ops->grad_params != NULL)
            l->ops->grad_params(l, &w->pass, w->x[i], w->g[i + 1], scale, 0);
        w->ns[i][3] += csl_clock_cpu_ns() - start;
    }
}

static void plain_step(struct work *w)
{
    there_and_back(w);
    sums(w, (struct csl_view){0});
}

static void private_step(struct work *w)
{
    const struct csl_units units = {ROWS, w->first};
    double norms[ROWS] = {0};
    float scale[ROWS];
    there_and_back(w);
    w->pass.ops->put(w->pass.dev, w->norms.buf, 0, norms, sizeof(norms));
    for (uint32_t i = 0; i < w->net.count; i++) {
        const struct csl_layer *l = &w->net.layers[i];
        uint64_t start = csl_clock_cpu_ns();
        w->pass.saved = w->saved[i];
        if (l->ops->norms != NULL)
            l->ops->norms(l, &w->pass, w->x[i], w->g[i + 1], &units, w->norms);
        w->ns[i][2] += csl_clock_cpu_ns() - start;
    }
    w->pass.ops->get(w->pass.dev, norms, w->norms.buf, 0, sizeof(norms));
    struct csl_err err = {0};
    must(w->pass.ops->sync(w->pass.dev, &err), &err);
    for (uint32_t r = 0; r < ROWS; r++)
        scale[r] = (float)fmin(1, 0.5 / sqrt(norms[r]));
    w->pass.ops->put(w->pass.dev, w->scale.buf, 0, scale, sizeof(scale));
    sums(w, w->scale);
}

static bool is_gpu(const struct work *w)
{
    return strcmp(w->pass.ops->name, "cuda") == 0;
}

static uint64_t now_ns(struct work *w)
{
    struct csl_err err = {0};
    must(w->pass.ops->sync(w->pass.dev, &err), &err);
    return is_gpu(w) ? csl_clock_monotonic_ns() : csl_clock_cpu_ns();
}

/* The best of a few repeats: everything slower was somebody else's doing. */
static double best_ms(struct work *w, void (*step)(struct work *))
{
    double best = 1e9;
    step(w);
    for (int i = 0; i < REPEATS; i++) {
        uint64_t start = now_ns(w);
        step(w);
        best = fmin(best, (double)(now_ns(w) - start) * 1e-6);
    }
    return best;
}

static void bench(void (*make)(struct net *), const char *backend)
{
    static struct work w;
    work_open(&w, make, backend);
    double plain = best_ms(&w, plain_step);
    for (uint32_t i = 0; i < w.net.count; i++)
        for (unsigned k = 0; k < 4; k++)
            w.ns[i][k] = 0;
    double private = best_ms(&w, private_step);
    printf("%s, batch %u, %s\n", w.net.name, ROWS, w.pass.ops->name);
    printf("  step, %s ms: %.3f, private %.3f, ratio %.3f\n", is_gpu(&w) ? "wall" : "CPU", plain,
           private, private / plain);
    if (is_gpu(&w)) {
        work_close(&w);
        return; /* by layer only the queueing was timed */
    }
    printf("  %-14s %9s %9s %9s %9s  (mean of the private steps, ms)\n", "layer", "forward", "back",
           "norms", "sums");
    for (uint32_t i = 0; i < w.net.count; i++) {
        printf("  %-14s", w.net.layers[i].ops->name);
        for (unsigned k = 0; k < 4; k++)
            printf(" %9.3f", (double)w.ns[i][k] * 1e-6 / (REPEATS + 1));
        printf("\n");
    }
    work_close(&w);
}

int main(int argc, char **argv)
{
    const char *backend = argc > 1 ? argv[1] : "auto";
    bench(make_mlp, backend);
    bench(make_cnn, backend);
    bench(make_transformer, backend);
    return 0;
}
