/* Rounds per second of the whole protocol with 10, 100 and 1,000 sites in one process: a model of
 * 10,000 parameters, one local step on two patients, so that the messages, the transfers, the sums
 * and the two cores are what is timed. The same record file serves every site.
 *
 * Rounds are timed between the first and the last round of a run, so enrolment and the final
 * evaluation are left out; bytes and messages of a round are the difference between a run with and
 * a run without the timed rounds. Figures depend on the machine and fail nothing.
 *
 *     bench_sites [SITES ROUNDS]    one size only, for a profiler */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/bulk_hash.h"
#include "privacy/crypto/init.h"
#include "simulations/world.h"
#include "site-agent/data/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FEATURES  99u /* (99 + 1) * 99 + 99 + 1 = 10,000 parameters */
#define HIDDEN    99u
#define PATIENTS  6u
#define REPEATS   3u
#define SITES_TOP 1000u

struct figures {
    uint32_t sites, rounds;
    double open_s, round_s, cpu_s;         /* enrolment of all; one round, wall and CPU */
    double bytes_up, bytes_down, messages; /* of one round */
};
struct watch { /* when each round was closed */
    uint64_t start_ns, first_ns, last_ns;
    double first_cpu_s, last_cpu_s;
    uint32_t rounds;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "bench_sites: %s\n", err->msg);
    exit(1);
}

/* Six patients, the last two for testing; the numbers mean nothing. */
static void write_records(const char *path)
{
    struct csl_records r = {.patient_count = PATIENTS, .record_count = PATIENTS};
    struct csl_err err = {.code = CSL_OK};
    csl_str_copy(r.site, sizeof(r.site), "any");
    csl_str_copy(r.licence, sizeof(r.licence), "synthetic");
    csl_str_copy(r.split_rule, sizeof(r.split_rule), "the last two patients test");
    r.patient_id = csl_alloc_array(PATIENTS, sizeof(*r.patient_id));
    r.split = csl_alloc_array(PATIENTS, sizeof(*r.split));
    r.patient = csl_alloc_array(PATIENTS, sizeof(*r.patient));
    r.time = csl_alloc_array(PATIENTS, sizeof(*r.time));
    struct csl_record_modality *m = &r.modalities[r.modality_count++];
    csl_str_copy(m->name, sizeof(m->name), "tabular");
    csl_str_copy(m->kind, sizeof(m->kind), "tabular");
    m->rank = 1;
    m->shape[0] = FEATURES;
    m->values = csl_alloc_array((size_t)PATIENTS * FEATURES, sizeof(float));
    m->available = csl_alloc_array(PATIENTS, 1);
    m->feature_names = csl_alloc_array(FEATURES, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(FEATURES, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(FEATURES, sizeof(double));
    m->range_max = csl_alloc_array(FEATURES, sizeof(double));
    for (uint32_t f = 0; f < FEATURES; f++)
        snprintf(m->feature_names[f], sizeof(m->feature_names[f]), "f%u", f);
    struct csl_record_label *l = &r.labels[r.label_count++];
    csl_str_copy(l->name, sizeof(l->name), "ill");
    l->classes = 2;
    l->value = csl_alloc_array(PATIENTS, sizeof(*l->value));
    for (uint32_t i = 0; i < PATIENTS; i++) {
        snprintf(r.patient_id[i], sizeof(r.patient_id[i]), "p%u", i);
        r.split[i] = i < PATIENTS - 2 ? 0 : 2;
        r.patient[i] = i;
        m->available[i] = 1;
        l->value[i] = (int16_t)(i % 2);
        for (uint32_t f = 0; f < FEATURES; f++)
            m->values[i * FEATURES + f] = (float)((i * 31 + f * 17) % 13) / 6.5F - 1;
    }
    must(csl_records_write(&r, path, &err), &err);
    csl_records_release(&r);
}

static struct csl_study *make_study(uint32_t sites, uint32_t rounds)
{
    static char yaml[4096];
    size_t n = (size_t)snprintf(yaml, sizeof(yaml),
                                "study: bench\nquestion: How fast is a round?\n"
                                "domains:\n  - id: illness\n    modality: tabular\n"
                                "    task: {kind: binary, label: ill, positive: 1}\n"
                                "    model: {kind: mlp, hidden: [%u]}\n    features: [f0",
                                HIDDEN);
    for (uint32_t f = 1; f < FEATURES; f++)
        n += (size_t)snprintf(yaml + n, sizeof(yaml) - n, ", f%u", f);
    n += (size_t)snprintf(yaml + n, sizeof(yaml) - n,
                          "]\ntraining: {local: {optimizer: sgd, learning_rate: 0.01, "
                          "batch_patients: 2, steps: 1}}\nrounds: %u\n"
                          "aggregation: {strategy: fedavg}\n"
                          "sites: {minimum: %u, round_deadline: 1h}\nevaluation: {every: 0}\n",
                          rounds, sites);
    CSL_ASSERT(n < sizeof(yaml));
    struct csl_study *study;
    struct csl_err err = {.code = CSL_OK};
    must(csl_study_parse(&study, "bench.yaml", CSL_SPAN(yaml, n), &err), &err);
    CSL_ASSERT(study->schema.parameters == 10000);
    return study;
}

/* A machine that is shared makes the wall clock lie; the CPU time of this one thread does not. */
static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool on_round(void *ctx)
{
    struct watch *w = ctx;
    w->last_ns = csl_clock_monotonic_ns();
    w->last_cpu_s = cpu_s();
    if (w->rounds++ == 0) {
        w->first_ns = w->last_ns;
        w->first_cpu_s = w->last_cpu_s;
    }
    return false;
}

static struct watch run(const char *records, uint32_t sites, uint32_t rounds,
                        struct csl_world_result *result)
{
    struct csl_study *study = make_study(sites, rounds);
    struct csl_world_site *list = csl_alloc_array(sites, sizeof(*list));
    CSL_ASSERT(list != NULL);
    for (uint32_t i = 0; i < sites; i++) {
        snprintf(list[i].id, sizeof(list[i].id), "site-%04u", i);
        csl_str_copy(list[i].record_path, sizeof(list[i].record_path), records);
    }
    struct watch watch = {.start_ns = csl_clock_monotonic_ns()};
    struct csl_world_config config = {.study = study,
                                      .sites = list,
                                      .site_count = sites,
                                      .seed = 42,
                                      .backend = "cpu-ref",
                                      .interrupted = on_round,
                                      .interrupted_ctx = &watch};
    struct csl_err err = {.code = CSL_OK};
    must(csl_world_run(&config, result, &err), &err);
    CSL_ASSERT(result->rounds == rounds && watch.rounds == rounds);
    csl_free(list);
    csl_study_free(study);
    return watch;
}

static double median(double *x, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && x[j] < x[j - 1]; j--) {
            double t = x[j];
            x[j] = x[j - 1];
            x[j - 1] = t;
        }
    return n % 2 == 1 ? x[n / 2] : (x[n / 2] + x[n / 2 - 1]) / 2;
}

static struct figures measure(const char *records, uint32_t sites, uint32_t rounds)
{
    struct figures f = {.sites = sites, .rounds = rounds};
    struct csl_world_result one, more;
    struct watch w = run(records, sites, 1, &one);
    f.open_s = (double)(w.first_ns - w.start_ns) * 1e-9;
    double round_s[REPEATS], round_cpu_s[REPEATS];
    for (uint32_t r = 0; r < REPEATS; r++) {
        w = run(records, sites, rounds + 1, &more);
        round_s[r] = (double)(w.last_ns - w.first_ns) * 1e-9 / rounds;
        round_cpu_s[r] = (w.last_cpu_s - w.first_cpu_s) / rounds;
        f.bytes_up = (double)(more.bytes_up - one.bytes_up) / rounds;
        f.bytes_down = (double)(more.bytes_down - one.bytes_down) / rounds;
        f.messages = (double)(more.messages - one.messages) / rounds;
        csl_world_result_release(&more);
    }
    csl_world_result_release(&one);
    f.round_s = median(round_s, REPEATS);
    f.cpu_s = median(round_cpu_s, REPEATS);
    return f;
}

/* Seconds a site's share of a round takes if nothing is done but what cannot be left out: the
 * digest of the model at the site, of the update at the site, and of the update at the coordinator.
 */
static double floor_s(void)
{
    static uint8_t model[40000];
    uint8_t digest[CSL_DIGEST_BYTES];
    double best = 1;
    for (int r = 0; r < 200; r++) {
        uint64_t start = csl_clock_monotonic_ns();
        for (int pass = 0; pass < 3; pass++) {
            csl_bulk_digest(model, sizeof(model), digest);
            model[0] = digest[0];
        }
        double s = (double)(csl_clock_monotonic_ns() - start) * 1e-9;
        best = s < best ? s : best;
    }
    return best;
}

static void print_table(const struct figures *f, size_t count, double least_s)
{
    printf("10,000 parameters (40,000 bytes), 1 local step, in process, one thread; median of %u\n",
           REPEATS);
    printf("%6s %9s %9s %12s %12s %12s %13s %10s %7s\n", "sites", "rounds/s", "ms/round",
           "CPU ms/round", "CPU us/site", "up B/round", "down B/round", "msg/round", "open s");
    for (size_t i = 0; i < count; i++)
        printf("%6u %9.2f %9.2f %12.2f %12.1f %12.0f %13.0f %10.1f %7.3f\n", f[i].sites,
               1 / f[i].round_s, f[i].round_s * 1e3, f[i].cpu_s * 1e3,
               f[i].cpu_s / f[i].sites * 1e6, f[i].bytes_up, f[i].bytes_down, f[i].messages,
               f[i].open_s);
    if (count > 1)
        printf("a round grows from %u to %u sites (%.0fx) by %.1fx in time, %.1fx in CPU time\n",
               f[0].sites, f[count - 1].sites, (double)f[count - 1].sites / f[0].sites,
               f[count - 1].round_s / f[0].round_s, f[count - 1].cpu_s / f[0].cpu_s);
    printf("floor: three SHA-256 passes over the model take %.1f us per site and round\n",
           least_s * 1e6);
}

static void print_json(const struct figures *f, size_t count, double least_s)
{
    printf("{\"bench\":\"sites\",\"parameters\":10000,\"floor_us\":%.1f,\"rows\":[", least_s * 1e6);
    for (size_t i = 0; i < count; i++)
        printf("%s{\"sites\":%u,\"rounds\":%u,\"rounds_per_s\":%.3f,\"cpu_us_per_site_round\":%.2f,"
               "\"bytes_up\":%.0f,\"bytes_down\":%.0f,\"messages\":%.1f,\"open_s\":%.3f}",
               i == 0 ? "" : ",", f[i].sites, f[i].rounds, 1 / f[i].round_s,
               f[i].cpu_s / f[i].sites * 1e6, f[i].bytes_up, f[i].bytes_down, f[i].messages,
               f[i].open_s);
    printf("],\"growth\":%.3f,\"growth_cpu\":%.3f}\n", f[count - 1].round_s / f[0].round_s,
           f[count - 1].cpu_s / f[0].cpu_s);
}

int main(int argc, char **argv)
{
    struct csl_err err = {.code = CSL_OK};
    must(csl_crypto_init(&err), &err);
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_ERROR);
    char dir[] = "/tmp/csl-bench-sites-XXXXXX", records[64];
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    snprintf(records, sizeof(records), "%s/records.h5", dir);
    write_records(records);
    struct figures f[3];
    size_t count = 0;
    if (argc == 3) {
        uint32_t sites = (uint32_t)strtoul(argv[1], NULL, 10);
        uint32_t rounds = (uint32_t)strtoul(argv[2], NULL, 10);
        if (sites >= 1 && sites <= CSL_SITES_MAX && rounds >= 1)
            f[count++] = measure(records, sites, rounds);
    } else {
        f[count++] = measure(records, 10, 200);
        f[count++] = measure(records, 100, 30);
        f[count++] = measure(records, SITES_TOP, 5);
    }
    unlink(records);
    rmdir(dir);
    if (count == 0) {
        fprintf(stderr, "usage: bench_sites [SITES ROUNDS]\n");
        return 2;
    }
    double least_s = floor_s();
    print_table(f, count, least_s);
    print_json(f, count, least_s);
    return 0;
}
