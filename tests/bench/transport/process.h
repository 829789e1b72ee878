/* tests/bench/transport/process.h - what the kernel says of another process. */
#ifndef CSL_BENCH_PROCESS_H
#define CSL_BENCH_PROCESS_H
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_THREADS_MAX 64u

struct process_threads { /* CPU seconds, in the order of /proc */
    double cpu_s[PROCESS_THREADS_MAX];
    uint32_t count;
};
/* VmHWM: the largest resident set the process ever had. 0: it is gone. */
uint64_t process_peak_bytes(pid_t pid);
/* *out: empty before. Two snapshots compare when no thread came or went between them. */
void process_snapshot(pid_t pid, double *all_s, struct process_threads *out);
/* The thread that worked most: with cores enough, nothing goes faster than it. */
double process_busiest_s(const struct process_threads *from, const struct process_threads *to);

#endif
