#include "base/progress.h"

#include "base/clock.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define SILENT_NS (2 * CSL_NS_PER_S)
#define REDRAW_NS (100 * CSL_NS_PER_MS)

void csl_progress_start(struct csl_progress *p, FILE *stream, const char *title, const char *unit,
                        uint64_t total)
{
    *p = (struct csl_progress){.stream = stream, .title = title, .unit = unit, .total = total};
    p->started_ns = csl_clock_monotonic_ns();
    p->is_tty = stream != NULL && fileno(stream) >= 0 && isatty(fileno(stream)) == 1;
}

static void amount_text(const struct csl_progress *p, double amount, char *out, size_t out_bytes)
{
    if (strcmp(p->unit, "bytes") == 0)
        csl_str_bytes(out, out_bytes, (uint64_t)amount);
    else if (amount < 10 && amount != (double)(uint64_t)amount)
        snprintf(out, out_bytes, "%.1f %s", amount, p->unit);
    else
        snprintf(out, out_bytes, "%.0f %s", amount, p->unit);
}

/* "Training: 40 % (400 of 1000 rounds), 12 rounds/s, 50 s left" */
static void draw(struct csl_progress *p, uint64_t now_ns, bool is_last)
{
    char done[64], total[64], rate[64], time[32];
    uint64_t elapsed_ns = now_ns > p->started_ns ? now_ns - p->started_ns : 1;
    double per_s = (double)p->done / ((double)elapsed_ns / (double)CSL_NS_PER_S);
    amount_text(p, (double)p->done, done, sizeof(done));
    amount_text(p, (double)p->total, total, sizeof(total));
    amount_text(p, per_s, rate, sizeof(rate));
    fprintf(p->stream, "%s%s: ", p->is_tty ? "\r\033[K" : "", p->title);
    if (p->total > 0)
        fprintf(p->stream, "%u %% (%s of %s)",
                (unsigned)(100 * ((double)p->done / (double)p->total)), done, total);
    else
        fprintf(p->stream, "%s", done);
    fprintf(p->stream, ", %s/s", rate);
    if (is_last) {
        csl_str_duration(time, sizeof(time), elapsed_ns);
        fprintf(p->stream, ", %s, done", time);
    } else if (p->total > p->done && per_s > 0) {
        double left_s = (double)(p->total - p->done) / per_s;
        csl_str_duration(time, sizeof(time),
                         left_s < 1e9 ? (uint64_t)(left_s * (double)CSL_NS_PER_S) : UINT64_MAX);
        fprintf(p->stream, ", %s left", time);
    }
    if (!p->is_tty || is_last)
        fputc('\n', p->stream);
    fflush(p->stream);
    p->drawn_ns = now_ns;
    p->was_drawn = true;
}

static uint32_t tenth_of(const struct csl_progress *p)
{
    return p->total == 0 ? 0 : (uint32_t)(10 * ((double)p->done / (double)p->total));
}

void csl_progress_update(struct csl_progress *p, uint64_t done)
{
    p->done = p->total > 0 && done > p->total ? p->total : done;
    if (p->stream == NULL)
        return;
    uint64_t now_ns = csl_clock_monotonic_ns();
    if (now_ns - p->started_ns < SILENT_NS)
        return;
    if (p->is_tty ? now_ns - p->drawn_ns < REDRAW_NS : tenth_of(p) == p->drawn_tenth)
        return;
    p->drawn_tenth = tenth_of(p);
    draw(p, now_ns, false);
}

void csl_progress_finish(struct csl_progress *p)
{
    if (p->stream == NULL || !p->was_drawn)
        return;
    draw(p, csl_clock_monotonic_ns(), true);
    p->stream = NULL;
}
