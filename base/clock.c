#include "base/clock.h"

#include "base/check.h"

#include <errno.h>
#include <time.h>

#include "base/banned.h"

static uint64_t read_ns(clockid_t clock)
{
    struct timespec t;
    CSL_ASSERT(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * CSL_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t csl_clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t csl_clock_unix_ms(void)
{
    return read_ns(CLOCK_REALTIME) / CSL_NS_PER_MS;
}

uint64_t csl_clock_cpu_ns(void)
{
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void csl_clock_sleep_ms(uint32_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * (long)CSL_NS_PER_MS};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}
