/* bench_private [csv | NET, a number from 0: that one alone]
 * A step with privacy beside an ordinary one, as a study would run them: the same net, batch and
 * optimiser, through csl_trainer_run. CPU time (best of a few rounds of steps), peak
 * memory above what the program and its records take, each case in a process of its own, and where
 * the time goes. Fails only when a trainer cannot run. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "site-agent/training/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENTS 2048u
#define BATCH    256u
#define STEPS    16u
#define REPEATS  7

static const struct net {
    const char *name, *model;
} nets[] = {
    {"mlp 784-256-128-10", "{kind: mlp, hidden: [256, 128]}"},
    {"cnn 28x28, 16-32-64", "{kind: cnn2d, channels: [16, 32, 64], kernel: 3, pool: 2}"},
};
#define NETS (sizeof(nets) / sizeof(nets[0]))

struct figures {
    double step_ms; /* CPU time of the process */
    double wall_ms;
    double noise_ms; /* the noise of one step, drawn alone */
    double peak_mb;
    double parameters;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "bench_private: %s\n", err->msg);
    exit(1);
}

static double status_mb(const char *field)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kb = 0;
    size_t n = strlen(field);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, field, n) == 0)
            kb = strtod(line + n, NULL);
    if (f != NULL)
        fclose(f);
    return kb / 1024;
}

static struct csl_study *open_study(const struct net *net, bool is_private)
{
    struct csl_study *study = NULL;
    struct csl_buf text;
    struct csl_err err = {0};
    csl_buf_init(&text, 4096);
    csl_buf_printf(&text,
                   "study: s\nrounds: 3\naggregation: {strategy: fedavg}\n"
                   "domains: [{id: d, modality: image2d, shape: [28, 28, 1], "
                   "task: {kind: classes, label: l, classes: 10}, model: %s}]\n"
                   "training: {local: {optimizer: sgd, learning_rate: 0.05, batch_patients: %u, "
                   "steps: %u}}\nprivacy: {%s}\n",
                   net->model, BATCH, STEPS,
                   is_private ? "mode: local, noise_multiplier: 1, delta: 1e-5, clip: 1"
                              : "mode: none");
    must(csl_study_parse(&study, "s.yaml", CSL_SPAN(text.p, text.n), &err), &err);
    csl_buf_release(&text);
    return study;
}

static struct csl_examples make_examples(void)
{
    struct csl_examples e = {.width = 784, .patients = PATIENTS, .records = PATIENTS};
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "bench/private", 0, 0, 0);
    e.x = csl_alloc_array((size_t)PATIENTS * e.width, sizeof(float));
    e.patient = csl_alloc_array(PATIENTS, sizeof(uint32_t));
    e.label = csl_alloc_array(PATIENTS, 1);
    if (e.x == NULL || e.patient == NULL || e.label == NULL)
        exit(1);
    for (uint32_t r = 0; r < PATIENTS; r++) {
        e.patient[r] = r;
        e.label[r] = (uint8_t)csl_rng_below(&rng, 10);
        for (uint32_t k = 0; k < e.width; k++)
            e.x[(size_t)r * e.width + k] =
                (float)(0.5 * csl_rng_normal(&rng)) + (k % 10 == e.label[r] ? 0.5F : 0.0F);
    }
    return e;
}

static double noise_ms(const struct csl_privacy_plan *plan, struct csl_rng *rng)
{
    const struct csl_noise *noise = &plan->domains[0].noise;
    struct csl_err err = {0};
    int64_t *sum = csl_alloc_array((size_t)noise->dimensions, sizeof(*sum));
    double best = HUGE_VAL;
    for (int i = 0; sum != NULL && i < REPEATS; i++) {
        uint64_t start = csl_clock_cpu_ns();
        must(csl_noise_add(rng, noise, sum, (size_t)noise->dimensions, &err), &err);
        best = fmin(best, (double)(csl_clock_cpu_ns() - start) * 1e-6);
    }
    csl_free(sum);
    return best;
}

/* One case in this process. */
static struct figures measure(const struct net *net, bool is_private, uint32_t threads)
{
    struct figures out = {.step_ms = HUGE_VAL, .wall_ms = HUGE_VAL};
    struct csl_err err = {0};
    struct csl_study *study = open_study(net, is_private);
    struct csl_examples examples[CSL_SPLIT_COUNT] = {make_examples()};
    struct csl_dataset data = {.domain_count = 1, .study = study, .site = "site"};
    data.domains = &examples;
    size_t n = (size_t)study->schema.parameters;
    float *model = csl_alloc_array(n, sizeof(float)), *update = csl_alloc_array(n, sizeof(float));
    csl_schema_init_parameters(&study->schema, 5, model);
    memset(update, 1, n * sizeof(float)); /* both are there before memory is looked at */
    double before = status_mb("VmRSS:");
    struct csl_privacy_plan plan = {0};
    struct csl_rng rng;
    const uint64_t patients = PATIENTS;
    csl_rng_init_os(&rng);
    if (is_private)
        must(csl_privacy_plan_make(&plan, study, &patients, &err), &err);
    struct csl_private_run run = {.plan = &plan, .rng = &rng};
    struct csl_trainer *t = NULL;
    must(csl_trainer_new(&t, study, "auto", &err), &err);
    csl_trainer_use_threads(t, threads);
    struct csl_train_task task = {
        .data = &data, .seed = 1, .round = 1, .global = model, .update = update};
    if (is_private)
        task.privacy = &run;
    for (int i = 0; i <= REPEATS; i++) {
        struct csl_train_report report;
        uint64_t start = csl_clock_monotonic_ns(), cpu = csl_clock_cpu_ns();
        must(csl_trainer_run(t, &task, &report, &err), &err);
        if (i == 0)
            continue; /* buffers and primitives are made in the first */
        out.step_ms = fmin(out.step_ms, (double)(csl_clock_cpu_ns() - cpu) * 1e-6 / STEPS);
        out.wall_ms = fmin(out.wall_ms, (double)(csl_clock_monotonic_ns() - start) * 1e-6 / STEPS);
    }
    out.peak_mb = status_mb("VmHWM:") - before;
    out.parameters = (double)n;
    if (is_private)
        out.noise_ms = noise_ms(&plan, &rng);
    return out; /* the process ends: nothing is given back */
}

/* The same in a child, so that its peak of memory is its own. */
static struct figures measure_apart(const struct net *net, bool is_private, uint32_t threads)
{
    struct figures out = {0};
    int ends[2];
    fflush(stdout);
    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        out = measure(net, is_private, threads);
        _exit(write(ends[1], &out, sizeof(out)) == (ssize_t)sizeof(out) ? 0 : 1);
    }
    int status = 1;
    close(ends[1]);
    bool is_read = read(ends[0], &out, sizeof(out)) == (ssize_t)sizeof(out);
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || !is_read)
        exit(1);
    return out;
}

int main(int argc, char **argv)
{
    struct csl_err err = {0};
    must(csl_crypto_init(&err), &err);
    bool is_csv = argc > 1 && strcmp(argv[1], "csv") == 0;
    size_t first = argc > 1 && !is_csv ? (size_t)strtoul(argv[1], NULL, 10) : 0;
    size_t end = argc > 1 && !is_csv && first < NETS ? first + 1 : NETS;
    for (size_t i = first; i < end; i++) {
        struct figures plain = measure_apart(&nets[i], false, 1);
        for (uint32_t threads = 1; threads <= 2; threads++) {
            struct figures f = measure_apart(&nets[i], true, threads);
            if (is_csv) {
                printf("%zu,%u,%.4f,%.4f,%.4f,%.2f,%.2f,%.4f,%.4f\n", i, threads, plain.step_ms,
                       f.step_ms, f.noise_ms, plain.peak_mb, f.peak_mb, plain.wall_ms, f.wall_ms);
                continue;
            }
            printf("%s, %.0f parameters, batch %u, %u thread%s\n", nets[i].name, f.parameters,
                   BATCH, threads, threads > 1 ? "s" : "");
            printf("  ordinary step %8.3f CPU ms, %8.3f wall ms, %6.1f MB (one thread)\n",
                   plain.step_ms, plain.wall_ms, plain.peak_mb);
            printf(
                "  private step  %8.3f CPU ms, %8.3f wall ms, %6.1f MB: ratios %.2f, %.2f, %.2f\n",
                f.step_ms, f.wall_ms, f.peak_mb, f.step_ms / plain.step_ms,
                f.wall_ms / plain.wall_ms, f.peak_mb / plain.peak_mb);
            printf("    of it noise %8.3f ms drawn alone; the rest is %.2f of an ordinary step\n",
                   f.noise_ms, (f.step_ms - f.noise_ms) / plain.step_ms);
        }
    }
    return 0;
}
