/* protocol/study/study_schedule.h - what a study says of the learning rate of each step; its values
 * are those of site-agent/training/schedule.h. */
#ifndef CSL_STUDY_SCHEDULE_H
#define CSL_STUDY_SCHEDULE_H
#include <stdbool.h>
#include <stdint.h>

enum csl_schedule_kind {
    CSL_SCHEDULE_CONSTANT,
    CSL_SCHEDULE_COSINE, /* from rate down to floor * rate over `steps`, then floor * rate
                            (Loshchilov and Hutter 2017, without restarts) */
    CSL_SCHEDULE_STEP    /* times `factor` after every `every` steps */
};
/* How the learning rate changes over the steps of a whole run. The first `warmup` steps rise
 * evenly: step k of them has (k + 1) / (warmup + 1) of the rate; the kind counts from behind them.
 */
struct csl_schedule {
    enum csl_schedule_kind kind;
    uint64_t warmup;
    uint64_t
        steps;    /* cosine: of the whole run, warm-up included; 0 in a study, whose run says it */
    double floor; /* cosine; [0, 1] */
    uint64_t every; /* step: > 0 */
    double factor;  /* step; (0, 1] */
};

/* Every step at the whole rate: as without a schedule. */
static inline bool csl_schedule_is_flat(const struct csl_schedule *s)
{
    return s->kind == CSL_SCHEDULE_CONSTANT && s->warmup == 0;
}

#endif
