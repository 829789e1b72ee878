/* tests/unit/world/masked_log.h - what a federation logs while it runs, line by line. One thread,
 * one log at a time. */
#ifndef CSL_TEST_WORLD_MASKED_LOG_H
#define CSL_TEST_WORLD_MASKED_LOG_H
#include <stdint.h>

/* Everything of level INFO from here on is kept, in place of what was kept before; */
void masked_log_begin(void);
/* and nothing more of any level is logged. */
void masked_log_end(void);
/* Lines that were kept and have the text. */
uint32_t masked_logged(const char *text);

#endif
