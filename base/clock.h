/* base/clock.h - the only place that asks what time it is. Cores never call it: time arrives in
 * events. */
#ifndef CSL_BASE_CLOCK_H
#define CSL_BASE_CLOCK_H
#include <stdint.h>

#define CSL_NS_PER_MS UINT64_C(1000000)
#define CSL_NS_PER_S  UINT64_C(1000000000)

uint64_t csl_clock_monotonic_ns(void);
uint64_t csl_clock_unix_ms(void);
uint64_t csl_clock_cpu_ns(void); /* CPU time of this process */
void csl_clock_sleep_ms(uint32_t ms);

#endif
