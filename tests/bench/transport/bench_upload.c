/* Bytes aggregated per second over mutually authenticated TLS on loopback: a coordinator process
 * receives, verifies, spools and sums updates of 100 MB (25,000,000 float32), beside a bare OpenSSL
 * pipe (TLS 1.3, AES-256-GCM, loopback TCP, two processes) that moves the same number of bytes and
 * throws them away, and beside memcpy and BLAKE2b of one core. Runs alternate, so that a busy
 * machine is as unkind to the one as to the other. Figures fail nothing.
 *
 *     bench_upload UPLOAD-SITES COORDINATOR [SITES REPEATS] */
#include "bare_tls.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/bulk_hash.h"
#include "privacy/crypto/init.h"
#include "run_upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* One core's bytes per second: a copy beyond every cache, and the digest. */
static void floors(double *copy_rate, double *hash_rate)
{
    uint8_t *from = csl_alloc(MODEL_BYTES), *to = csl_alloc(MODEL_BYTES), digest[CSL_DIGEST_BYTES];
    *copy_rate = *hash_rate = 0;
    for (int r = 0; from != NULL && to != NULL && r < 5; r++) {
        memset(from, r + 1, MODEL_BYTES);
        uint64_t start = csl_clock_monotonic_ns();
        memcpy(to, from, MODEL_BYTES);
        double rate = (double)MODEL_BYTES / (double)(csl_clock_monotonic_ns() - start) * 1e9;
        *copy_rate = rate > *copy_rate ? rate : *copy_rate;
        start = csl_clock_monotonic_ns();
        csl_bulk_digest(to, MODEL_BYTES, digest);
        rate = (double)MODEL_BYTES / (double)(csl_clock_monotonic_ns() - start) * 1e9;
        *hash_rate = rate > *hash_rate ? rate : *hash_rate;
    }
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

static void report(uint64_t sites, struct side *ours, struct side *bare)
{
    double copy_rate, hash_rate;
    floors(&copy_rate, &hash_rate);
    printf("%llu sites, 100 MB each, at once; %u measurements\n", (unsigned long long)sites,
           ours->count);
    printf("%-22s %20s   CPU s per 100 MB\n%-22s %6s %6s %6s %10s %10s %10s\n", "", "GB/s", "",
           "median", "least", "most", "sender", "receiver", "one thread");
    double ours_rate = row("coordinator (mTLS)", ours), bare_rate = row("bare OpenSSL", bare);
    double ratio = ours_rate / bare_rate;
    double ceiling = run_upload_median(bare->thread_cpu, bare->count) /
                     run_upload_median(ours->thread_cpu, ours->count);
    printf("ratio %.2f on this machine; %.2f is where the busiest thread would set the pace\n"
           "one core: memcpy %.2f GB/s, BLAKE2b %.2f GB/s\n",
           ratio, ceiling, copy_rate * 1e-9, hash_rate * 1e-9);
    printf("{\"bench\":\"upload\",\"sites\":%llu,\"model_bytes\":%llu,\"bytes_per_s\":%.0f,"
           "\"bare_openssl_bytes_per_s\":%.0f,\"ratio\":%.3f,\"thread_ratio\":%.3f,"
           "\"memcpy_bytes_per_s\":%.0f,\"blake2b_bytes_per_s\":%.0f}\n",
           (unsigned long long)sites, (unsigned long long)MODEL_BYTES, ours_rate, bare_rate, ratio,
           ceiling, copy_rate, hash_rate);
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
    static struct side ours, bare;
    double bytes = (double)(sites * MODEL_BYTES);
    for (uint64_t r = 0; r < repeats; r++) {
        struct bare_tls_result b;
        struct run_upload_result u;
        for (uint32_t i = 0; i < ROUNDS; i++) {
            if (!bare_tls_run(sites * MODEL_BYTES, &b))
                return 1;
            add(&bare, bytes, b.seconds, b.send_cpu_s, b.receive_cpu_s, b.receive_cpu_s);
        }
        if (!run_upload(&c, &u))
            return 1;
        for (uint32_t i = 0; i < ROUNDS; i++)
            add(&ours, bytes, u.rounds[i].seconds, u.rounds[i].client_cpu_s,
                u.rounds[i].coordinator_cpu_s, u.rounds[i].busiest_thread_cpu_s);
    }
    report(sites, &ours, &bare);
    return 0;
}
