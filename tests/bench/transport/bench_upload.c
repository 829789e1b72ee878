/* Bytes aggregated per second over mutually authenticated TLS on loopback: a coordinator process
 * receives, verifies, spools and sums updates of 100 MB (25,000,000 float32), beside a bare OpenSSL
 * pipe (TLS 1.3, AES-256-GCM, loopback TCP, two processes) that moves the same number of bytes and
 * throws them away. A third row is that pipe with a receiver that also takes the bulk digest and
 * writes the bytes to a file, on its one thread: nothing that aggregates can do less. Runs
 * alternate, so that a busy machine is as unkind to the one as to the other. Figures fail nothing.
 *
 *     bench_upload UPLOAD-SITES COORDINATOR [SITES REPEATS] */
#include "aggregation/accumulate.h"
#include "bare_tls.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/bulk_hash.h"
#include "privacy/crypto/init.h"
#include "run_upload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WIDTH       4999u /* (4999 + 2) * 4999 + 1 = 25,000,000 parameters */
#define HIDDEN      4999u
#define MODEL_BYTES UINT64_C(100000000)
#define ROUNDS      3u
#define REPEATS_MAX 16u

struct side {                          /* one entry per measurement */
    double rate[REPEATS_MAX * ROUNDS]; /* bytes per second */
    /* CPU seconds per 100 MB: of the two processes, and of the receiver's busiest thread */
    double send_cpu[REPEATS_MAX * ROUNDS], receive_cpu[REPEATS_MAX * ROUNDS];
    double thread_cpu[REPEATS_MAX * ROUNDS];
    uint32_t count;
};

static void add(struct side *s, double bytes, double seconds, double send_cpu, double receive_cpu,
                double thread_cpu)
{
    s->rate[s->count] = bytes / seconds;
    s->send_cpu[s->count] = send_cpu * (double)MODEL_BYTES / bytes;
    s->receive_cpu[s->count] = receive_cpu * (double)MODEL_BYTES / bytes;
    s->thread_cpu[s->count] = thread_cpu * (double)MODEL_BYTES / bytes;
    s->count++;
}

struct floors { /* bytes per CPU second, the best of a few runs */
    double copy, hash, fold;
};

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double rate_since(double start_s)
{
    return (double)MODEL_BYTES / (cpu_s() - start_s);
}

/* A copy beyond every cache, the bulk digest, and the sum of updates (int64) taking one. */
static void measure_floors(struct floors *f)
{
    static struct csl_schema schema = {.parameters = MODEL_BYTES / sizeof(float),
                                       .block_count = 1,
                                       .blocks[0] = {.count = MODEL_BYTES / sizeof(float)}};
    uint8_t *from = csl_alloc(MODEL_BYTES), *to = csl_alloc(MODEL_BYTES), digest[CSL_DIGEST_BYTES];
    struct csl_accumulator *sum = NULL;
    bool is_ready =
        from != NULL && to != NULL && csl_accumulator_new(&sum, &schema, 1, NULL) == CSL_OK;
    for (int r = 0; is_ready && r < 5; r++) {
        memset(from, r + 1, MODEL_BYTES);
        double start = cpu_s();
        memcpy(to, from, MODEL_BYTES);
        f->copy = fmax(f->copy, rate_since(start));
        start = cpu_s();
        csl_bulk_digest(to, MODEL_BYTES, digest);
        f->hash = fmax(f->hash, rate_since(start));
        start = cpu_s();
        if (csl_accumulator_begin(sum, 0, 0.125, NULL) == CSL_OK &&
            csl_accumulator_add(sum, 0, 0, 0, (const float *)(const void *)to, schema.parameters,
                                0.125, NULL) == CSL_OK)
            f->fold = fmax(f->fold, rate_since(start));
    }
    csl_accumulator_free(sum);
    csl_free(from);
    csl_free(to);
}

/* Median bytes per second. */
static double row(const char *name, struct side *s)
{
    double middle = run_upload_median(s->rate, s->count);
    printf("%-22s %6.3f %6.3f %6.3f %10.3f %10.3f %10.3f\n", name, middle * 1e-9, s->rate[0] * 1e-9,
           s->rate[s->count - 1] * 1e-9, run_upload_median(s->send_cpu, s->count),
           run_upload_median(s->receive_cpu, s->count), run_upload_median(s->thread_cpu, s->count));
    return middle;
}

static void report(uint64_t sites, struct side *ours, struct side *bare, struct side *kept)
{
    struct floors floors = {0};
    measure_floors(&floors);
    printf("%llu sites, 100 MB each, at once; %u measurements\n", (unsigned long long)sites,
           ours->count);
    printf("%-22s %20s   CPU s per 100 MB\n%-22s %6s %6s %6s %10s %10s %10s\n", "", "GB/s", "",
           "median", "least", "most", "sender", "receiver", "one thread");
    double ours_rate = row("coordinator (mTLS)", ours), bare_rate = row("bare OpenSSL", bare);
    double kept_rate = row("bare, digest and file", kept);
    double ratio = ours_rate / bare_rate;
    double ceiling = run_upload_median(bare->thread_cpu, bare->count) /
                     run_upload_median(ours->thread_cpu, ours->count);
    printf("ratio %.2f on this machine, %.2f to the pipe that keeps; %.2f is where the busiest "
           "thread would set the pace\n"
           "one CPU second: memcpy %.2f GB, SHA-256 %.2f GB, sum %.2f GB\n",
           ratio, ours_rate / kept_rate, ceiling, floors.copy * 1e-9, floors.hash * 1e-9,
           floors.fold * 1e-9);
    /* What cannot be left out, spread without loss over every core. */
    double least_s = run_upload_median(kept->send_cpu, kept->count) +
                     run_upload_median(kept->receive_cpu, kept->count) +
                     (double)MODEL_BYTES / floors.fold;
    double cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    double limit = cores * (double)MODEL_BYTES / least_s;
    printf("TLS at both ends, digest, file and sum are %.3f CPU s per 100 MB: %.0f cores allow "
           "%.2f GB/s, ratio %.2f\n",
           least_s, cores, limit * 1e-9, limit / bare_rate);
    printf("{\"bench\":\"upload\",\"sites\":%llu,\"model_bytes\":%llu,\"bytes_per_s\":%.0f,"
           "\"bare_openssl_bytes_per_s\":%.0f,\"keeping_bytes_per_s\":%.0f,\"ratio\":%.3f,"
           "\"thread_ratio\":%.3f,\"limit_ratio\":%.3f,\"sha256_bytes_per_s\":%.0f}\n",
           (unsigned long long)sites, (unsigned long long)MODEL_BYTES, ours_rate, bare_rate,
           kept_rate, ratio, ceiling, limit / bare_rate, floors.hash);
}

/* false: it failed and said why. */
static bool measure_bare(struct side *s, enum bare_tls_use use, uint64_t bytes)
{
    struct bare_tls_result b;
    if (!bare_tls_run(bytes, use, &b))
        return false;
    add(s, (double)bytes, b.seconds, b.send_cpu_s, b.receive_cpu_s, b.receive_cpu_s);
    return true;
}

int main(int argc, char **argv)
{
    struct csl_err err;
    uint64_t sites = 4, repeats = 3;
    bool is_called_right = argc == 3 || (argc == 5 && csl_parse_u64(argv[3], &sites) &&
                                         csl_parse_u64(argv[4], &repeats));
    if (!is_called_right || sites < 1 || sites > 64 || repeats < 1 || repeats > REPEATS_MAX) {
        fprintf(stderr, "usage: bench_upload UPLOAD-SITES COORDINATOR [SITES REPEATS]\n");
        return 2;
    }
    if (csl_crypto_init(&err) != CSL_OK) {
        fprintf(stderr, "bench_upload: %s\n", err.msg);
        return 1;
    }
    uint64_t need = (sites + 4) * MODEL_BYTES;
    if (run_upload_room() < need) {
        printf("SKIPPED: the spool and the checkpoints need %llu MB of free disk\n",
               (unsigned long long)(need / 1000000));
        return 0;
    }
    struct run_upload_config c = {argv[1], argv[2], (uint32_t)sites, WIDTH, HIDDEN, ROUNDS};
    static struct side ours, bare, kept;
    double bytes = (double)(sites * MODEL_BYTES);
    for (uint64_t r = 0; r < repeats; r++) {
        struct run_upload_result u;
        for (uint32_t i = 0; i < ROUNDS; i++)
            if (!measure_bare(&bare, BARE_TLS_DROPS, sites * MODEL_BYTES) ||
                !measure_bare(&kept, BARE_TLS_KEEPS, sites * MODEL_BYTES))
                return 1;
        if (!run_upload(&c, &u))
            return 1;
        for (uint32_t i = 0; i < ROUNDS; i++)
            add(&ours, bytes, u.rounds[i].seconds, u.rounds[i].client_cpu_s,
                u.rounds[i].coordinator_cpu_s, u.rounds[i].busiest_thread_cpu_s);
    }
    report(sites, &ours, &bare, &kept);
    return 0;
}
