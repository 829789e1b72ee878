/* site-agent/training/schedule.h - the learning rate of each step. */
#ifndef CSL_SCHEDULE_H
#define CSL_SCHEDULE_H
#include <stdint.h>

enum csl_schedule_kind {
    CSL_SCHEDULE_CONSTANT,
    CSL_SCHEDULE_COSINE, /* from rate down to floor * rate over `steps`, then floor * rate
                            (Loshchilov and Hutter 2017, without restarts) */
    CSL_SCHEDULE_STEP    /* times `factor` after every `every` steps */
};
/* The first `warmup` steps rise evenly: step k of them has (k + 1) / (warmup + 1) of the rate; the
 * kind counts from behind them. */
struct csl_schedule {
    enum csl_schedule_kind kind;
    uint64_t warmup;
    uint64_t steps; /* cosine: of the whole run, warm-up included */
    double floor;   /* cosine */
    uint64_t every; /* step: > 0 */
    double factor;  /* step */
};
/* The rate of step `step`, which counts from 0. */
double csl_schedule_rate(const struct csl_schedule *s, double rate, uint64_t step);

#endif
