#include "base/log.h"

#include "base/clock.h"
#include "base/str.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

#define LINE_BYTES  4096
#define VALUE_BYTES 1024 /* of one string value, escaped */

/* Written by csl_log_setup before threads start, read-only afterwards. A NULL stream is stderr. */
static struct {
    FILE *stream;
    enum csl_log_format format;
    enum csl_log_level threshold;
} config = {NULL, CSL_LOG_LOGFMT, CSL_LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error", "silent"};

/* A line is built on the stack and written by one fwrite: no allocation, no torn lines. */
struct line {
    char text[LINE_BYTES];
    size_t n;
    bool is_json;
};

#define TAIL_BYTES 2 /* what must always fit: '}' and the newline */

/* Appends all or nothing; false when it does not fit. */
static bool put(struct line *l, const char *fmt, ...) CSL_PRINTF(2, 3);
static bool put(struct line *l, const char *fmt, ...)
{
    size_t room = sizeof(l->text) - TAIL_BYTES - l->n;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(l->text + l->n, room, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        return false;
    l->n += (size_t)n;
    return true;
}

/* `text` is what csl_str_escape leaves: printable ASCII whose only special byte is the backslash.
 */
static bool put_str(struct line *l, const char *text)
{
    char escaped[VALUE_BYTES];
    csl_str_escape(escaped, sizeof(escaped), text, strlen(text));
    if (!l->is_json) {
        bool is_bare = escaped[0] != '\0' && strpbrk(escaped, " =") == NULL;
        return put(l, is_bare ? "%s" : "\"%s\"", escaped);
    }
    size_t before = l->n;
    bool fits = put(l, "\"");
    for (const char *p = escaped; *p != '\0' && fits; p++)
        fits = put(l, *p == '\\' ? "\\\\" : "%c", *p);
    if (fits && put(l, "\""))
        return true;
    l->n = before;
    return false;
}

static bool put_f64(struct line *l, double v)
{
    char text[32];
    if (!isfinite(v))
        return put(l, "%s", l->is_json ? "null" : isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
    csl_str_f64(text, sizeof(text), v);
    return put(l, "%s", text);
}

static bool put_value(struct line *l, const struct csl_log_field *f)
{
    switch (f->kind) {
    case CSL_LOG_F_U64:
        return put(l, "%llu", (unsigned long long)f->v.u);
    case CSL_LOG_F_I64:
        return put(l, "%lld", (long long)f->v.i);
    case CSL_LOG_F_F64:
        return put_f64(l, f->v.f);
    case CSL_LOG_F_STR:
        return put_str(l, f->v.s == NULL ? "" : f->v.s);
    }
    return false;
}

/* A field that does not fit is left out whole, so that the line stays well-formed. */
static void put_field(struct line *l, const struct csl_log_field *f)
{
    size_t before = l->n;
    if (!put(l, l->is_json ? ",\"%s\":" : " %s=", f->key) || !put_value(l, f))
        l->n = before;
}

static void put_head(struct line *l, enum csl_log_level level, const char *event)
{
    uint64_t now_ms = csl_clock_unix_ms();
    time_t s = (time_t)(now_ms / 1000);
    struct tm t;
    char date[32];
    if (gmtime_r(&s, &t) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &t) == 0)
        date[0] = '\0';
    put(l,
        l->is_json ? "{\"ts\":\"%s.%03uZ\",\"level\":\"%s\",\"event\":\"%s\""
                   : "ts=%s.%03uZ level=%s event=%s",
        date, (unsigned)(now_ms % 1000), level_names[level], event);
}

void csl_log_setup(FILE *stream, enum csl_log_format format, enum csl_log_level threshold)
{
    config.stream = stream;
    config.format = format;
    config.threshold = threshold;
}

void csl_log_event(enum csl_log_level level, const char *event, size_t count,
                   const struct csl_log_field *fields)
{
    if (level < config.threshold || level >= CSL_LOG_SILENT)
        return;
    struct line l;
    l.n = 0;
    l.is_json = config.format == CSL_LOG_JSON;
    put_head(&l, level, event);
    for (size_t i = 0; i < count; i++)
        put_field(&l, &fields[i]);
    if (l.is_json)
        l.text[l.n++] = '}';
    l.text[l.n++] = '\n';
    FILE *stream = config.stream == NULL ? stderr : config.stream;
    (void)fwrite(l.text, 1, l.n, stream); /* a log that cannot be written has nobody to tell */
    (void)fflush(stream);
}

void csl_log_err(enum csl_log_level level, const char *event, const struct csl_err *err)
{
    char at[256];
    snprintf(at, sizeof(at), "%s:%d", err->file == NULL ? "?" : err->file, err->line);
    const struct csl_log_field fields[] = {
        CSL_STR("code", csl_code_name(err->code)),
        CSL_STR("message", err->msg),
        CSL_STR("at", at),
        CSL_I64("errno", err->sys_errno),
    };
    size_t count = sizeof(fields) / sizeof(fields[0]);
    csl_log_event(level, event, err->sys_errno == 0 ? count - 1 : count, fields);
}

bool csl_log_quota_take(struct csl_log_quota *q, uint64_t now_ns, uint32_t *unsaid)
{
    *unsaid = 0;
    if (q->events == 0 || now_ns - q->since_ns >= 60 * CSL_NS_PER_S) {
        *unsaid = q->events > CSL_LOG_QUOTA ? q->events - CSL_LOG_QUOTA : 0;
        *q = (struct csl_log_quota){.since_ns = now_ns};
    }
    q->events += q->events < UINT32_MAX;
    return q->events <= CSL_LOG_QUOTA;
}
