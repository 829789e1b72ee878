/* simulations/report_html.c - the page, and the pieces its sections are made of. */
#include "simulations/report_html.h"

#include "base/check.h"
#include "simulations/report_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void csl_report__text(struct csl_report *p, const char *text)
{
    csl_html_text(p->out, text);
}

void csl_report__scale_add(struct csl_report_scale *s, const struct csl_metric *m)
{
    if (m == NULL)
        return;
    double low = m->method != NULL ? fmin(m->low, m->value) : m->value;
    double high = m->method != NULL ? fmax(m->high, m->value) : m->value;
    s->min = s->is_used ? fmin(s->min, low) : low;
    s->max = s->is_used ? fmax(s->max, high) : high;
    s->is_used = true;
}

void csl_report__scale_end(struct csl_report_scale *s)
{
    s->min = floor(s->min * 10.0 + 1e-9) / 10.0;
    s->max = ceil(s->max * 10.0 - 1e-9) / 10.0;
    if (!(s->max > s->min))
        s->max = s->min + 0.1;
}

static void put_none(struct csl_report *p)
{
    csl_buf_str(p->out, "<td class=\"m none\">not measured</td>");
}

static void put_value(struct csl_report *p, const char *metric, const char *of,
                      const struct csl_svg_interval *shape, double value)
{
    char title[320];
    struct csl_svg_interval v = *shape;
    csl_buf_printf(p->out, "<td class=\"m\"><b>%.3f</b>", value);
    if (v.has_interval)
        csl_buf_printf(p->out, "<span class=\"r\">%.2f\xe2\x80\x93%.2f</span>", v.low, v.high);
    if (v.has_interval)
        (void)snprintf(title, sizeof(title), "%s, %s: %.3f, 95 %% interval %.2f to %.2f",
                       csl_metric_title(metric), of, value, v.low, v.high);
    else
        (void)snprintf(title, sizeof(title), "%s, %s: %.3f, no interval", csl_metric_title(metric),
                       of, value);
    v.title = title;
    csl_svg_interval(p->out, &v);
    csl_buf_str(p->out, "</td>");
}

void csl_report__metric_cell(struct csl_report *p, const struct csl_metric *m, const char *of,
                             const struct csl_report_scale *s)
{
    if (m == NULL) {
        put_none(p);
        return;
    }
    const struct csl_svg_interval v = {NULL,
                                       s->min,
                                       s->max,
                                       m->value,
                                       m->low,
                                       m->high,
                                       s->reference,
                                       m->method != NULL,
                                       s->has_reference};
    put_value(p, m->name, of, &v, m->value);
}

void csl_report__mean_cell(struct csl_report *p, const struct csl_mean *m, bool is_measured,
                           const char *of, const struct csl_report_scale *s)
{
    if (!is_measured) {
        put_none(p);
        return;
    }
    const struct csl_svg_interval v = {NULL,         s->min,          s->max,
                                       m->value,     m->low,          m->high,
                                       s->reference, m->has_interval, s->has_reference};
    put_value(p, m->name, of, &v, m->value);
}

#define FEW 5

void csl_report__few(struct csl_report *p, const struct csl_metrics *m, enum csl_task_kind task)
{
    bool is_survival = task == CSL_TASK_SURVIVAL;
    uint64_t positives = m->positives, negatives = m->examples - m->positives;
    bool is_negative = !is_survival && negatives < positives;
    uint64_t n = is_negative ? negatives : positives;
    if (!csl_task_has_positives(task) || n == 0 || n >= FEW)
        return;
    csl_buf_printf(p->out, "<span class=\"few\">rests on %llu %s%s</span>", (unsigned long long)n,
                   is_survival   ? "event"
                   : is_negative ? "negative"
                                 : "positive",
                   n == 1 ? "" : "s");
}

void csl_report__section(struct csl_report *p, const char *id, const char *heading)
{
    csl_buf_str(p->out, "<section id=\"");
    csl_report__text(p, id);
    csl_buf_str(p->out, "\" aria-labelledby=\"");
    csl_report__text(p, id);
    csl_buf_str(p->out, "-h\"><h2 id=\"");
    csl_report__text(p, id);
    csl_buf_str(p->out, "-h\">");
    csl_report__text(p, heading);
    csl_buf_str(p->out, "</h2>\n");
}

void csl_report__end_section(struct csl_report *p)
{
    csl_buf_str(p->out, "</section>\n");
}

void csl_report__table(struct csl_report *p, const char *caption)
{
    csl_buf_str(p->out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
    csl_report__text(p, caption);
    csl_buf_str(p->out, "\"><table><caption>");
    csl_report__text(p, caption);
    csl_buf_str(p->out, "</caption>\n");
}

void csl_report__end_table(struct csl_report *p)
{
    csl_buf_str(p->out, "</table></div>\n");
}

void csl_report__metric_head(struct csl_report *p, const char *metric,
                             const struct csl_report_scale *s)
{
    csl_buf_str(p->out, "<th scope=\"col\">");
    csl_report__text(p, csl_metric_title(metric));
    csl_buf_printf(p->out, "<span class=\"scale\">bar from %.1f to %.1f</span></th>", s->min,
                   s->max);
}

void csl_report__spread_cell(struct csl_report *p, const struct csl_spread *s)
{
    double sd;
    if (s == NULL) {
        csl_buf_str(p->out, "<td class=\"m none\">\xe2\x80\x93</td>");
        return;
    }
    csl_buf_printf(p->out, "<td class=\"m\"><b>%.3f</b>", s->mean);
    if (csl_spread_sd(s, &sd))
        csl_buf_printf(p->out, "<span class=\"r\">\xc2\xb1 %.3f</span>", sd);
    csl_buf_str(p->out, "</td>");
}

static void put_nav(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    csl_buf_str(p->out, "<nav aria-label=\"Sections\"><ul>");
    if (r->release.is_on)
        csl_buf_str(p->out, "<li><a href=\"#release\">Release</a></li>");
    if (r->domain_count > 1)
        csl_buf_str(p->out, "<li><a href=\"#overview\">Domains and sites</a></li>");
    for (uint32_t d = 0; d < r->domain_count; d++) {
        csl_buf_printf(p->out, "<li><a href=\"#domain-%u\">", d);
        csl_report__text(p, r->domain_count > 1 ? r->domains[d].id : "Sites");
        csl_buf_str(p->out, "</a></li>");
    }
    if (r->external != NULL)
        csl_buf_str(p->out, "<li><a href=\"#external\">External</a></li>");
    if (r->transfer.asks_personal)
        csl_buf_str(p->out, "<li><a href=\"#personal\">Own models</a></li>");
    if (r->transfer.asks_left_out)
        csl_buf_str(p->out, "<li><a href=\"#left-out\">Left out</a></li>");
    if (csl_result_has_privacy(r))
        csl_buf_str(p->out, "<li><a href=\"#privacy\">Privacy</a></li>");
    if (r->price_count > 0)
        csl_buf_str(p->out, "<li><a href=\"#prices\">Price of privacy</a></li>");
    csl_buf_str(p->out, "<li><a href=\"#curves\">Rounds</a></li>");
    if (r->fairness.asked.domains.kind != CSL_DOMAIN_WEIGHTS_NONE)
        csl_buf_str(p->out, "<li><a href=\"#weights\">Weights of domains</a></li>");
    if (r->group_count > 0 || r->fairness.gap_count > 0 || r->fairness.told_count > 0)
        csl_buf_str(p->out, "<li><a href=\"#groups\">Patient groups</a></li>");
    if (r->repeats.count > 0)
        csl_buf_str(p->out, "<li><a href=\"#repeats\">Repeats</a></li>");
    csl_buf_str(p->out, "<li><a href=\"#run\">The run</a></li>"
                        "<li><a href=\"#missing\">Not measured</a></li>"
                        "<li><a href=\"#methods\">Methods</a></li></ul></nav>\n");
}

/* What was trained, and how good it is. */
static void put_model(struct csl_report *p)
{
    put_nav(p);
    csl_buf_str(p->out, "</header><main id=\"main\">\n");
    csl_report__summary(p);
    csl_report__release(p);
    if (p->r->domain_count > 1)
        csl_report__overview(p);
    for (uint32_t d = 0; d < p->r->domain_count; d++)
        csl_report__domain(p, d);
    csl_report__external(p);
    csl_report__personal(p);
    csl_report__left_out(p);
    csl_report__privacy(p);
    csl_report__prices(p);
    csl_report__curves(p);
    csl_report__weights(p);
    csl_report__rejected(p);
    csl_report__groups(p);
    csl_report__repeats(p);
    csl_report__run(p);
}

static void put_statistics(struct csl_report *p)
{
    csl_buf_str(p->out, "</header><main id=\"main\">\n");
    csl_report__statistics(p);
    csl_report__privacy(p);
}

enum csl_code csl_report_html(const struct csl_result *r, struct csl_buf *out, struct csl_err *err)
{
    struct csl_report page = {.out = out, .r = r, .next_id = 1};
    csl_buf_str(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'\"><meta name=\"referrer\" content=\"no-referrer\">"
                     "<title>");
    csl_html_text(out, r->study);
    csl_buf_str(out, " \xe2\x80\x93 Consilium report</title><style>\n");
    for (size_t i = 0; csl_report__style[i] != NULL; i++)
        csl_buf_str(out, csl_report__style[i]);
    csl_buf_str(out, "</style></head><body><a class=\"skip\" href=\"#main\">Skip to the results"
                     "</a><div class=\"page\">\n");
    csl_report__top(&page);
    if (r->statistics.domain_count > 0)
        put_statistics(&page);
    else
        put_model(&page);
    csl_buf_printf(out, "</main><footer>Made by Consilium ");
    csl_html_text(out, r->version);
    csl_buf_printf(out,
                   ". The numbers of this page are in summary.json and %s beside "
                   "it.</footer></div></body></html>\n",
                   r->statistics.domain_count > 0 ? "statistics.json" : "metrics.csv");
    return csl_buf_status(out, err);
}
