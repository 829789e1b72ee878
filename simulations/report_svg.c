/* simulations/report_svg.c - interval bars, budget bars and line charts. */
#include "simulations/report_svg.h"

#include "base/check.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void csl_html_text(struct csl_buf *out, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t n = csl_utf8_next(text, left);
        unsigned char c = (unsigned char)*text;
        if (n == 0 || c < 0x20 || c == 0x7f)
            csl_buf_str(out, "&#xfffd;");
        else if (c == '&')
            csl_buf_str(out, "&amp;");
        else if (c == '<')
            csl_buf_str(out, "&lt;");
        else if (c == '>')
            csl_buf_str(out, "&gt;");
        else if (c == '"')
            csl_buf_str(out, "&quot;");
        else if (c == '\'')
            csl_buf_str(out, "&#39;");
        else
            csl_buf_append(out, text, n);
        text += n == 0 ? 1 : n;
        left -= n == 0 ? 1 : n;
    }
}

#define BAR_WIDTH  132.0
#define BAR_INSET  5.0
#define BAR_MIDDLE 9.0

static double bar_x(const struct csl_svg_interval *v, double value)
{
    double t = (value - v->min) / (v->max - v->min);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return BAR_INSET + t * (BAR_WIDTH - 2 * BAR_INSET);
}

void csl_svg_interval(struct csl_buf *out, const struct csl_svg_interval *v)
{
    CSL_ASSERT(v->min < v->max);
    csl_buf_printf(out,
                   "<svg class=\"ci\" viewBox=\"0 0 %.0f 18\" width=\"%.0f\" height=\"18\" "
                   "role=\"img\"><title>",
                   BAR_WIDTH, BAR_WIDTH);
    csl_html_text(out, v->title);
    csl_buf_printf(out,
                   "</title><desc>Scale from %.2f to %.2f</desc>"
                   "<line class=\"track\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>",
                   v->min, v->max, BAR_INSET, BAR_WIDTH - BAR_INSET, BAR_MIDDLE, BAR_MIDDLE);
    if (v->has_reference)
        csl_buf_printf(out, "<line class=\"ref\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"18\"/>",
                       bar_x(v, v->reference), bar_x(v, v->reference));
    if (v->has_interval) {
        double low = bar_x(v, v->low), high = bar_x(v, v->high);
        csl_buf_printf(out,
                       "<rect class=\"span\" x=\"%.1f\" y=\"6\" width=\"%.1f\" height=\"6\" "
                       "rx=\"3\"/>",
                       low, high - low < 2 ? 2 : high - low);
    }
    csl_buf_printf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.0f\" r=\"4\"/></svg>",
                   bar_x(v, v->value), BAR_MIDDLE);
}

void csl_svg_budget(struct csl_buf *out, const struct csl_svg_budget *b)
{
    const struct csl_svg_interval scale = {.min = 0, .max = b->budget};
    CSL_ASSERT(b->budget > 0);
    double end = bar_x(&scale, b->spent);
    csl_buf_printf(out,
                   "<svg class=\"ci budget\" viewBox=\"0 0 %.0f 18\" width=\"%.0f\" "
                   "height=\"18\" role=\"img\"><title>",
                   BAR_WIDTH, BAR_WIDTH);
    csl_html_text(out, b->title);
    csl_buf_printf(out,
                   "</title><rect class=\"room\" x=\"%.1f\" y=\"4.5\" width=\"%.1f\" "
                   "height=\"9\" rx=\"2\"/><rect class=\"%s\" x=\"%.1f\" y=\"4.5\" "
                   "width=\"%.1f\" height=\"9\" rx=\"2\"/>",
                   BAR_INSET, BAR_WIDTH - 2 * BAR_INSET, b->spent > b->budget ? "over" : "spent",
                   BAR_INSET, end - BAR_INSET);
    if (b->has_lower)
        csl_buf_printf(out, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"1\" y2=\"17\"/>",
                       bar_x(&scale, b->lower), bar_x(&scale, b->lower));
    csl_buf_str(out, "</svg>");
}

/* --- line charts --- */

#define CHART_WIDTH  640.0
#define CHART_HEIGHT 270.0
#define LEFT         56.0
#define RIGHT        14.0
#define TOP          14.0
#define BOTTOM       44.0
#define TICKS_MAX    12

struct axis {
    double min, max, step;
};

/* A step of 1, 2 or 5 times a power of ten that gives about `wanted` intervals. */
static double nice_step(double range, double wanted)
{
    double raw = range / wanted, power = pow(10.0, floor(log10(raw))), t = raw / power;
    return (t < 1.5 ? 1.0 : t < 3.5 ? 2.0 : t < 7.5 ? 5.0 : 10.0) * power;
}

static struct axis axis_of(double min, double max, double wanted)
{
    if (!(max > min)) {
        double margin = fabs(min) > 0 ? fabs(min) * 0.1 : 1.0;
        min -= margin;
        max += margin;
    }
    struct axis a = {.step = nice_step(max - min, wanted)};
    a.min = floor(min / a.step + 1e-9) * a.step;
    a.max = ceil(max / a.step - 1e-9) * a.step;
    return a;
}

struct frame {
    struct axis x, y;
};

static struct frame frame_of(const struct csl_svg_chart *c)
{
    double x0 = HUGE_VAL, x1 = -HUGE_VAL, y0 = HUGE_VAL, y1 = -HUGE_VAL;
    for (uint32_t s = 0; s < c->series_count; s++) {
        for (uint32_t i = 0; i < c->series[s].count; i++) {
            x0 = fmin(x0, c->series[s].x[i]);
            x1 = fmax(x1, c->series[s].x[i]);
            bool has_bar = c->series[s].low != NULL;
            y0 = fmin(y0, has_bar ? c->series[s].low[i] : c->series[s].y[i]);
            y1 = fmax(y1, has_bar ? c->series[s].high[i] : c->series[s].y[i]);
        }
    }
    CSL_ASSERT(x0 <= x1 && y0 <= y1);
    struct frame f = {axis_of(x0, x1, 6), axis_of(y0, y1, 5)};
    f.x.step = f.x.step < 1 ? 1 : f.x.step;
    f.x.min = x0 == x1 ? x0 - 1 : x0;
    f.x.max = x0 == x1 ? x0 + 1 : x1;
    if (c->tick_count > 0) { /* room for the labels at both ends */
        double margin = 0.04 * (f.x.max - f.x.min);
        f.x.min -= margin;
        f.x.max += margin;
    }
    if (c->has_y_range)
        f.y = axis_of(c->y_min, c->y_max, 5);
    return f;
}

static double at_x(const struct frame *f, double v)
{
    return LEFT + (v - f->x.min) / (f->x.max - f->x.min) * (CHART_WIDTH - LEFT - RIGHT);
}

static double at_y(const struct frame *f, double v)
{
    return CHART_HEIGHT - BOTTOM -
           (v - f->y.min) / (f->y.max - f->y.min) * (CHART_HEIGHT - TOP - BOTTOM);
}

static void put_tick(struct csl_buf *out, double x, const char *label)
{
    csl_buf_printf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", x,
                   CHART_HEIGHT - BOTTOM + 18);
    csl_html_text(out, label);
    csl_buf_str(out, "</text>");
}

static void put_ticks(struct csl_buf *out, const struct frame *f)
{
    double first = ceil(f->x.min / f->x.step) * f->x.step;
    char label[32];
    for (int i = 0; i <= TICKS_MAX; i++) {
        double v = first + i * f->x.step;
        if (v > f->x.max + 1e-9)
            break;
        (void)snprintf(label, sizeof(label), "%.0f", v);
        put_tick(out, at_x(f, v), label);
    }
}

/* A label that would run into the one before it is left out. */
static void put_named_ticks(struct csl_buf *out, const struct csl_svg_chart *c,
                            const struct frame *f)
{
    double free_from = 0;
    for (uint32_t i = 0; i < c->tick_count; i++) {
        double x = at_x(f, c->ticks[i]), half = 6.0 * (double)strlen(c->tick_labels[i]);
        if (x - half < free_from)
            continue;
        put_tick(out, x, c->tick_labels[i]);
        free_from = x + half + 8.0;
    }
}

static void put_axes(struct csl_buf *out, const struct csl_svg_chart *c, const struct frame *f)
{
    int decimals = f->y.step >= 1 ? 0 : f->y.step >= 0.1 ? 1 : f->y.step >= 0.01 ? 2 : 3;
    for (int i = 0; i <= TICKS_MAX; i++) {
        double v = f->y.min + i * f->y.step;
        if (v > f->y.max + f->y.step * 0.01)
            break;
        csl_buf_printf(out,
                       "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                       "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>",
                       LEFT, CHART_WIDTH - RIGHT, at_y(f, v), at_y(f, v), LEFT - 8, at_y(f, v) + 4,
                       decimals, v);
    }
    if (c->tick_count > 0)
        put_named_ticks(out, c, f);
    else
        put_ticks(out, f);
    csl_buf_printf(out, "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
                   CHART_WIDTH - RIGHT, CHART_HEIGHT - 6);
    csl_html_text(out, c->x_label);
    csl_buf_printf(out,
                   "</text><line class=\"base\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
                   "y2=\"%.1f\"/>",
                   LEFT, CHART_WIDTH - RIGHT, CHART_HEIGHT - BOTTOM, CHART_HEIGHT - BOTTOM);
}

static void put_whisker(struct csl_buf *out, uint32_t style, double x, double top, double bottom)
{
    csl_buf_printf(out,
                   "<path class=\"line s%u whisker\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh10M%.1f "
                   "%.1fh10\"/>",
                   style, x, top, bottom, x - 5, top, x - 5, bottom);
}

static void put_series(struct csl_buf *out, const struct csl_svg_series *s, const struct frame *f)
{
    CSL_ASSERT(s->style < CSL_SVG_STYLES);
    if (s->count == 0)
        return;
    if (s->count > 1) {
        csl_buf_printf(out, "<polyline class=\"line s%u\" points=\"", s->style);
        for (uint32_t i = 0; i < s->count; i++)
            csl_buf_printf(out, "%s%.1f,%.1f", i == 0 ? "" : " ", at_x(f, s->x[i]),
                           at_y(f, s->y[i]));
        csl_buf_str(out, "\"><title>");
        csl_html_text(out, s->label);
        csl_buf_str(out, "</title></polyline>");
    }
    for (uint32_t i = 0; s->low != NULL && i < s->count; i++)
        put_whisker(out, s->style, at_x(f, s->x[i]), at_y(f, s->high[i]), at_y(f, s->low[i]));
    /* Few points are shown one by one; of many, the last. */
    for (uint32_t i = s->count <= 20 ? 0 : s->count - 1; i < s->count; i++)
        csl_buf_printf(out, "<circle class=\"point s%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>",
                       s->style, at_x(f, s->x[i]), at_y(f, s->y[i]),
                       i + 1 == s->count ? "3.5" : "2.5");
}

static void put_legend(struct csl_buf *out, const struct csl_svg_chart *c)
{
    csl_buf_str(out, "<ul class=\"legend\">");
    for (uint32_t i = 0; i < c->series_count; i++) {
        if (c->series[i].count == 0)
            continue;
        csl_buf_printf(out,
                       "<li><svg viewBox=\"0 0 26 10\" width=\"26\" height=\"10\" "
                       "aria-hidden=\"true\"><line class=\"line s%u\" x1=\"1\" x2=\"25\" y1=\"5\" "
                       "y2=\"5\"/></svg>",
                       c->series[i].style);
        csl_html_text(out, c->series[i].label);
        csl_buf_str(out, "</li>");
    }
    csl_buf_str(out, "</ul>");
}

void csl_svg_chart(struct csl_buf *out, const struct csl_svg_chart *c)
{
    struct frame f = frame_of(c);
    csl_buf_printf(out, "<figure class=\"chart\"><figcaption>");
    csl_html_text(out, c->title);
    csl_buf_printf(out, "<span class=\"unit\">");
    csl_html_text(out, c->y_label);
    csl_buf_printf(out,
                   "</span></figcaption><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
                   "aria-labelledby=\"chart%u-t chart%u-d\"><title id=\"chart%u-t\">",
                   CHART_WIDTH, CHART_HEIGHT, c->id, c->id, c->id);
    csl_html_text(out, c->title);
    csl_buf_printf(out, "</title><desc id=\"chart%u-d\">", c->id);
    csl_html_text(out, c->description);
    csl_buf_str(out, "</desc>");
    put_axes(out, c, &f);
    for (uint32_t i = 0; i < c->series_count; i++)
        put_series(out, &c->series[i], &f);
    csl_buf_str(out, "</svg>");
    put_legend(out, c);
    csl_buf_str(out, "</figure>\n");
}
