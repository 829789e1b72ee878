/* base/log.h - one line per event on a stream (stderr unless told), logfmt or JSON, typed fields.
 * Field values supplied by peers are escaped and cut. Never a patient's value, never a secret.
 * Any thread.
 *     csl_log(CSL_LOG_INFO, "round.closed", CSL_U64("round", r), CSL_STR("study", id)); */
#ifndef CSL_BASE_LOG_H
#define CSL_BASE_LOG_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum csl_log_level {
    CSL_LOG_DEBUG, /* off unless asked for */
    CSL_LOG_INFO,  /* state changes */
    CSL_LOG_WARN,  /* someone might have to act */
    CSL_LOG_ERROR, /* someone must act */
    CSL_LOG_SILENT /* threshold only: nothing is printed */
};
enum csl_log_format { CSL_LOG_LOGFMT, CSL_LOG_JSON };

struct csl_log_field {
    enum { CSL_LOG_F_U64, CSL_LOG_F_I64, CSL_LOG_F_F64, CSL_LOG_F_STR } kind;
    const char *key;
    union {
        uint64_t u;
        int64_t i;
        double f;
        const char *s;
    } v;
};
#define CSL_U64(k, x) ((struct csl_log_field){CSL_LOG_F_U64, (k), {.u = (x)}})
#define CSL_I64(k, x) ((struct csl_log_field){CSL_LOG_F_I64, (k), {.i = (x)}})
#define CSL_F64(k, x) ((struct csl_log_field){CSL_LOG_F_F64, (k), {.f = (x)}})
#define CSL_STR(k, x) ((struct csl_log_field){CSL_LOG_F_STR, (k), {.s = (x)}})

/* The stream is borrowed and must outlive logging. Call before threads start. */
void csl_log_setup(FILE *stream, enum csl_log_format format, enum csl_log_level threshold);
void csl_log_event(enum csl_log_level level, const char *event, size_t count,
                   const struct csl_log_field *fields);
#define csl_log(level, event, ...)                                                                 \
    csl_log_event((level), (event),                                                                \
                  sizeof((struct csl_log_field[]){__VA_ARGS__}) / sizeof(struct csl_log_field),    \
                  (struct csl_log_field[]){__VA_ARGS__})
/* Logs *err under `event` with its code, message and place. */
void csl_log_err(enum csl_log_level level, const char *event, const struct csl_err *err);

/* Lines that a peer causes: at most CSL_LOG_QUOTA a minute, for it can cause as many as it likes.
 * One for each kind of line and peer; zeroed at first; one thread. */
#define CSL_LOG_QUOTA 10u
struct csl_log_quota {
    uint64_t since_ns;
    uint32_t events;
};
/* Whether this one is worth a line. *unsaid: how many were not in the minute that is over, where a
 * new one begins; else 0. now_ns: monotonic. */
bool csl_log_quota_take(struct csl_log_quota *q, uint64_t now_ns, uint32_t *unsaid);

#endif
