/* simulations/report_parts.h - the parts of the page; used by report_*.c only. */
#ifndef CSL_REPORT_PARTS_H
#define CSL_REPORT_PARTS_H
#include "simulations/report_svg.h"
#include "simulations/result.h"

#define CSL_REPORT_SITES_SHOWN 200 /* rows of a table of sites; the others are in metrics.csv */

extern const char *const csl_report__style[]; /* the style sheet, NULL-terminated pieces */

struct csl_report {
    struct csl_buf *out;
    const struct csl_result *r;
    uint32_t next_id;
};
/* The common scale of one column of intervals. */
struct csl_report_scale {
    double min, max, reference;
    bool has_reference, is_used;
};
void csl_report__scale_add(struct csl_report_scale *s, const struct csl_metric *m);
void csl_report__scale_end(struct csl_report_scale *s);

/* <td> with value, interval in text, and its bar; "not measured" when m is NULL. `of` names what
 * the value belongs to, for the bar's text alternative. */
void csl_report__metric_cell(struct csl_report *p, const struct csl_metric *m, const char *of,
                             const struct csl_report_scale *s);
void csl_report__mean_cell(struct csl_report *p, const struct csl_mean *m, bool is_measured,
                           const char *of, const struct csl_report_scale *s);
/* <td> with mean and standard deviation over repeats; a dash when s is NULL. */
void csl_report__spread_cell(struct csl_report *p, const struct csl_spread *s);
/* "rests on 1 negative", where an interval rests on fewer than five of a class (events, for
 * survival); nothing otherwise, and nothing for several classes, whose sizes are not recorded. */
void csl_report__few(struct csl_report *p, const struct csl_metrics *m, enum csl_task_kind task);
/* Opens a section with a heading and an anchor; close with csl_report__end_section. */
void csl_report__section(struct csl_report *p, const char *id, const char *heading);
void csl_report__end_section(struct csl_report *p);
/* Opens a table inside a box that scrolls sideways on narrow screens. */
void csl_report__table(struct csl_report *p, const char *caption);
void csl_report__end_table(struct csl_report *p);
/* <th scope="col"> with the range of the column's bars. */
void csl_report__metric_head(struct csl_report *p, const char *metric,
                             const struct csl_report_scale *s);
void csl_report__text(struct csl_report *p, const char *text);

/* Sections, in the order of the page. */
void csl_report__top(struct csl_report *p);      /* title, question, what kind of run */
void csl_report__summary(struct csl_report *p);  /* privacy notice, key figures, facts */
void csl_report__overview(struct csl_report *p); /* domains x sites; several domains only */
void csl_report__domain(struct csl_report *p, uint32_t domain);
void csl_report__alternatives(struct csl_report *p); /* inside the overview */
void csl_report__baselines(struct csl_report *p, uint32_t domain);
void csl_report__external(struct csl_report *p); /* nothing without such sites */
void csl_report__personal(struct csl_report *p); /* nothing where not asked for; likewise: */
void csl_report__left_out(struct csl_report *p);
void csl_report__statistics(struct csl_report *p); /* in place of what trained models have */
void csl_report__privacy(struct csl_report *p);    /* nothing without privacy */
void csl_report__prices(struct csl_report *p);     /* nothing without a sweep */
void csl_report__curves(struct csl_report *p);
void csl_report__weights(struct csl_report *p);  /* nothing without weights of domains */
void csl_report__rejected(struct csl_report *p); /* nothing where all rounds were applied */
void csl_report__groups(struct csl_report *p);
void csl_report__repeats(struct csl_report *p);
void csl_report__release(struct csl_report *p); /* nothing where the study asks for nothing */
/* Inside a domain's section, and inside the groups' (report_fairness.c); nothing where nothing was
 * counted. */
void csl_report__labels(struct csl_report *p, uint32_t domain); /* report_labels.c */
void csl_report__classes(struct csl_report *p, uint32_t domain);
void csl_report__calibration(struct csl_report *p, uint32_t domain);
void csl_report__gaps(struct csl_report *p, uint32_t domain);
void csl_report__told(struct csl_report *p, uint32_t domain);
void csl_report__run(struct csl_report *p); /* costs, what was not measured, methods */

#endif
