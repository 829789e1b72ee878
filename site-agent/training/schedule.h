/* site-agent/training/schedule.h - the learning rate of each step. */
#ifndef CSL_SCHEDULE_H
#define CSL_SCHEDULE_H
#include "protocol/study/study_schedule.h"

/* The rate of step `step`, which counts from 0. */
double csl_schedule_rate(const struct csl_schedule *s, double rate, uint64_t step);

#endif
