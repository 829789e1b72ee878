/* tests/bench/transport/run_upload.h - runs upload_sites in a fresh folder and reads what it
 * measured. gRPC is never up in the calling process. */
#ifndef CSL_RUN_UPLOAD_H
#define CSL_RUN_UPLOAD_H
#include <stdbool.h>
#include <stdint.h>

#define RUN_UPLOAD_ROUNDS_MAX 16u

struct run_upload_config {
    const char *program;     /* upload_sites */
    const char *coordinator; /* consilium-coordinator */
    uint32_t sites, width, hidden, rounds;
};
struct run_upload_result {
    uint64_t parameters, peak_bytes;
    struct {
        double seconds, coordinator_cpu_s, client_cpu_s;
        double busiest_thread_cpu_s; /* of the coordinator */
    } rounds[RUN_UPLOAD_ROUNDS_MAX];
};
/* false: it failed and said why on standard error. The folder is below TMPDIR, or /tmp. */
bool run_upload(const struct run_upload_config *c, struct run_upload_result *out);
/* Bytes free where run_upload puts its folder. */
uint64_t run_upload_room(void);
double run_upload_median(double *values, uint32_t count); /* sorts them */

#endif
