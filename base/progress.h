/* base/progress.h - progress of long work, after git's: silent for 2 s, then one line redrawn on a
 * terminal with rate and time left, or one line per 10 % otherwise. One thread. */
#ifndef CSL_BASE_PROGRESS_H
#define CSL_BASE_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct csl_progress {
    FILE *stream; /* NULL: silent */
    const char *title, *unit;
    uint64_t total, done, started_ns, drawn_ns;
    uint32_t drawn_tenth;
    bool is_tty, was_drawn;
};
/* title and unit are borrowed ("rounds", "bytes": bytes are shown as kB/MB). total 0: unknown. */
void csl_progress_start(struct csl_progress *p, FILE *stream, const char *title, const char *unit,
                        uint64_t total);
void csl_progress_update(struct csl_progress *p, uint64_t done);
void csl_progress_finish(struct csl_progress *p);

#endif
