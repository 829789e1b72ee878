/* Local steps per second and matrix products per second, by backend, as ratios within one run: the
 * machine's own speed cancels. Prints a table; fails only when a backend cannot run. */
#include "base/clock.h"
#include "base/mem.h"
#include "site-agent/training/compute/compute.h"
#include "tests/unit/training/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEATS 5

/* The best of a few repeats: everything slower was somebody else's doing. */
static double best_seconds(void (*work)(void *), void *arg)
{
    double best = 1e9;
    work(arg);
    for (int i = 0; i < REPEATS; i++) {
        uint64_t start = csl_clock_cpu_ns();
        work(arg);
        double seconds = (double)(csl_clock_cpu_ns() - start) * 1e-9;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "bench_training: %s\n", err->msg);
    exit(1);
}

struct steps_case {
    const char *name;
    enum csl_task_kind task;
    uint32_t width, classes, hidden, patients, batch, steps;
    enum csl_optimizer_kind optimizer;
    double fewer; /* divides the steps of cpu-ref, which would take minutes */
};
struct steps_run {
    struct csl_trainer *trainer;
    struct csl_train_task task;
};

static void run_steps(void *arg)
{
    struct steps_run *r = arg;
    struct csl_train_report report;
    struct csl_err err = {0};
    must(csl_trainer_run(r->trainer, &r->task, &report, &err), &err);
}

static double steps_per_second(const struct steps_case *c, const char *backend)
{
    struct fx f;
    struct csl_err err = {0};
    fx_init(&f);
    fx_add_domain(&f, c->task, c->width, c->classes, c->hidden);
    fx_seal(&f);
    fx_fill(&f, 0, CSL_SPLIT_TRAIN, c->patients, 1, 1);
    f.study.local.optimizer = c->optimizer;
    f.study.local.batch_patients = c->batch;
    f.study.local.learning_rate = 1e-3;
    f.study.local.steps = c->steps;
    if (strcmp(backend, "cpu-ref") == 0)
        f.study.local.steps = (uint32_t)(c->steps / c->fewer);
    float *global = fx_vector(&f, 1, 0.1), *update = fx_vector(&f, 1, 0);
    struct steps_run r = {
        .task = {.data = &f.data, .seed = 1, .round = 1, .global = global, .update = update}};
    must(csl_trainer_new(&r.trainer, &f.study, backend, &err), &err);
    double rate = f.study.local.steps / best_seconds(run_steps, &r);
    csl_trainer_free(r.trainer);
    csl_free(global);
    csl_free(update);
    fx_release(&f);
    return rate;
}

struct gemm_run {
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    struct csl_cbuf *a, *b, *c;
    struct csl_gemm gemm;
    uint64_t times;
};

static void run_gemm(void *arg)
{
    struct gemm_run *r = arg;
    uint64_t m = r->gemm.m, n = r->gemm.n, k = r->gemm.k;
    for (uint64_t i = 0; i < r->times; i++)
        r->ops->gemm_f32(r->dev, &r->gemm, (struct csl_view){r->a, 0, m * k},
                         (struct csl_view){r->b, 0, k * n}, (struct csl_view){r->c, 0, m * n});
}

static double gemm_gflops(const struct csl_compute_ops *ops, struct csl_gemm g, double flops)
{
    struct csl_err err = {0};
    struct gemm_run r = {.ops = ops, .gemm = g};
    double each = 2.0 * (double)(g.m * g.n * g.k);
    r.times = (uint64_t)(flops / each) + 1;
    must(ops->open(0, &r.dev, &err), &err);
    must(ops->alloc(r.dev, g.m * g.k * sizeof(float), &r.a, &err), &err);
    must(ops->alloc(r.dev, g.k * g.n * sizeof(float), &r.b, &err), &err);
    must(ops->alloc(r.dev, g.m * g.n * sizeof(float), &r.c, &err), &err);
    double rate = (double)r.times * each / best_seconds(run_gemm, &r) * 1e-9;
    ops->free(r.a);
    ops->free(r.b);
    ops->free(r.c);
    ops->close(r.dev);
    return rate;
}

static void bench_steps(void)
{
    static const struct steps_case cases[] = {
        {"logistic 13, batch 4 (heart)", CSL_TASK_BINARY, 13, 2, 0, 199, 4, 200000,
         CSL_OPT_KIND_SGD, 1},
        {"cox 39, batch 8 (breast cancer)", CSL_TASK_SURVIVAL, 39, 0, 0, 248, 8, 50000,
         CSL_OPT_KIND_SGD, 1},
        {"softmax 8 x 784, batch 32", CSL_TASK_CLASSES, 784, 8, 0, 500, 32, 2000, CSL_OPT_KIND_ADAM,
         4},
        {"mlp 784-64-65-2, batch 64, adam", CSL_TASK_CLASSES, 784, 2, 64, 500, 64, 200,
         CSL_OPT_KIND_ADAM, 10},
    };
    printf("%-36s %14s %14s %8s\n", "local steps per CPU second", "cpu-ref", "auto", "ratio");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double ref = steps_per_second(&cases[i], "cpu-ref");
        double best = steps_per_second(&cases[i], "auto");
        printf("%-36s %14.0f %14.0f %8.2f\n", cases[i].name, ref, best, best / ref);
    }
}

static void bench_gemm(void)
{
    static const struct {
        const char *name;
        struct csl_gemm gemm;
    } cases[] = {
        {"forward 4 x 1 x 13", {4, 1, 13, false, true, 1, 0}},
        {"weights 1 x 13 x 4", {1, 13, 4, true, false, 1, 0}},
        {"forward 32 x 8 x 64", {32, 8, 64, false, true, 1, 0}},
        {"forward 32 x 16 x 64", {32, 16, 64, false, true, 1, 0}},
        {"weights 16 x 64 x 32", {16, 64, 32, true, false, 1, 0}},
        {"forward 64 x 64 x 784", {64, 64, 784, false, true, 1, 0}},
        {"weights 64 x 784 x 64", {64, 784, 64, true, false, 1, 0}},
        {"input 64 x 784 x 64", {64, 784, 64, false, false, 1, 0}},
        {"forward 512 x 512 x 512", {512, 512, 512, false, true, 1, 0}},
    };
    const struct csl_compute_ops *best = NULL;
    struct csl_err err = {0};
    must(csl_compute_find("auto", &best, &err), &err);
    printf("\n%-36s %14s %14s %8s\n", "gemm, GFLOP per CPU second", "cpu-ref", best->name, "ratio");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double ref = gemm_gflops(csl_compute_cpu_ref(), cases[i].gemm, 2e7);
        double fast = gemm_gflops(best, cases[i].gemm, 1e8);
        printf("%-36s %14.2f %14.2f %8.2f\n", cases[i].name, ref, fast, fast / ref);
    }
}

int main(void)
{
    bench_steps();
    bench_gemm();
    return 0;
}
