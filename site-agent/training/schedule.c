#include "site-agent/training/schedule.h"

#include "base/check.h"

#include <math.h>

#define PI 3.14159265358979323846

double csl_schedule_rate(const struct csl_schedule *s, double rate, uint64_t step)
{
    if (step < s->warmup)
        return rate * (double)(step + 1) / (double)(s->warmup + 1);
    uint64_t at = step - s->warmup;
    switch (s->kind) {
    case CSL_SCHEDULE_COSINE: {
        uint64_t all = s->steps > s->warmup ? s->steps - s->warmup : 0;
        if (at >= all)
            return rate * s->floor;
        double part = 0.5 * (1 + cos(PI * (double)at / (double)all));
        return rate * (s->floor + (1 - s->floor) * part);
    }
    case CSL_SCHEDULE_STEP:
        CSL_ASSERT(s->every > 0);
        return rate * pow(s->factor, (double)(at / s->every));
    case CSL_SCHEDULE_CONSTANT:
        break;
    }
    return rate;
}
