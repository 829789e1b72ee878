/* simulations/report_svg.h - the drawings of a report, as inline SVG with text alternatives.
 * Colours come from the page's style sheet (classes), so that all follow light, dark and print. */
#ifndef CSL_REPORT_SVG_H
#define CSL_REPORT_SVG_H
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* Text with the five characters of HTML escaped and bytes that are not UTF-8 or are control
 * characters replaced. Every text of a result goes through here. */
void csl_html_text(struct csl_buf *out, const char *text);

/* A value with its interval on a scale that a whole column shares. */
struct csl_svg_interval {
    const char *title; /* "AUC at cleveland: 0.86, 95 % interval 0.79 to 0.92" */
    double min, max;   /* ends of the scale, min < max */
    double value, low, high;
    double reference; /* a thin line through the whole column; has_reference */
    bool has_interval, has_reference;
};
void csl_svg_interval(struct csl_buf *out, const struct csl_svg_interval *v);

/* A bar from 0 to a budget. */
struct csl_svg_budget {
    const char *title;
    double spent, budget; /* finite; budget > 0; more spent than that fills the bar in warning */
    double lower;         /* a mark; has_lower */
    bool has_lower;
};
void csl_svg_budget(struct csl_buf *out, const struct csl_svg_budget *b);

#define CSL_SVG_STYLES 9 /* series styles 0..8; 8 is the emphasised one */
struct csl_svg_series {
    const char *label;
    uint32_t style;
    uint32_t count;
    const double *x, *y;      /* [count], x ascending, finite */
    const double *low, *high; /* [count], ends of a bar through the point; NULL: none */
};
struct csl_svg_chart {
    uint32_t id; /* unique in the page */
    const char *title, *description, *x_label, *y_label;
    const struct csl_svg_series *series; /* [series_count], at least one point in all */
    uint32_t series_count;
    bool has_y_range; /* y_min..y_max instead of the range of the data */
    double y_min, y_max;
    const double *ticks; /* [tick_count] ascending places on the x axis; 0: whole numbers */
    const char *const *tick_labels;
    uint32_t tick_count;
};
/* Axes, grid, one line per series, and a legend as an HTML list after it. */
void csl_svg_chart(struct csl_buf *out, const struct csl_svg_chart *c);

#endif
