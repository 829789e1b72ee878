/* simulations/report_fairness.c - what comes from summed counts: classes, calibration, gaps between
 * patient groups; and whether the model may be handed out. */
#include "simulations/release.h"
#include "simulations/report_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* --- release --- */

static void put_text_item(struct csl_report *p, const char *name, const char *text)
{
    csl_buf_str(p->out, "<div class=\"wide\"><dt>");
    csl_report__text(p, name);
    csl_buf_str(p->out, "</dt><dd>");
    csl_report__text(p, text[0] != 0 ? text : "(empty)");
    csl_buf_str(p->out, "</dd></div>");
}

void csl_report__release(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    struct csl_release_verdict v;
    if (!r->release.is_on)
        return;
    csl_release_judge(r, &v);
    csl_report__section(p, "release", "May this model be handed out?");
    csl_buf_str(p->out,
                v.count == 0
                    ? "<p><strong>Yes:</strong> every condition that the study states is met.</p>\n"
                    : "<p class=\"bad\"><strong>No.</strong> By the conditions that the study "
                      "states, this stands against it:</p>\n<ul>");
    for (uint32_t i = 0; i < v.count; i++) {
        csl_buf_str(p->out, "<li>");
        csl_report__text(p, v.reasons[i]);
        csl_buf_str(p->out, "</li>");
    }
    csl_buf_str(p->out, v.count == 0 ? "<dl class=\"facts\">" : "</ul>\n<dl class=\"facts\">");
    if (r->release.minimum_auc > 0)
        csl_buf_printf(p->out,
                       "<div><dt>Smallest AUC of a domain</dt><dd>%.2f asked for</dd></div>",
                       r->release.minimum_auc);
    if (r->release.worst_group_floor > 0)
        csl_buf_printf(p->out,
                       "<div><dt>Smallest AUC of a patient group</dt><dd>%.2f asked "
                       "for</dd></div>",
                       r->release.worst_group_floor);
    csl_buf_printf(p->out,
                   "<div><dt>Collapsed classes</dt><dd>%s</dd></div><div><dt>Model card</dt>"
                   "<dd>%s</dd></div>",
                   r->release.refuses_collapsed ? "not allowed" : "allowed",
                   r->release.needs_card ? "complete" : "optional");
    put_text_item(p, "Intended use", r->release.intended_use);
    put_text_item(p, "Not for", r->release.not_for);
    csl_buf_str(p->out, "</dl>\n<p class=\"note\">The model card is in model_card.md and "
                        "model_card.json beside this page.</p>\n");
    csl_report__end_section(p);
}

/* --- classes --- */

static void put_rate(struct csl_report *p, const struct csl_metric *m, const char *of,
                     const struct csl_report_scale *s)
{
    csl_report__metric_cell(p, m->name != NULL ? m : NULL, of, s);
}

void csl_report__classes(struct csl_report *p, uint32_t domain)
{
    const struct csl_sum_figures *f = &p->r->fairness.sums[domain];
    const struct csl_report_scale s = {.min = 0, .max = 1};
    char of[32];
    if (f->metrics.count == 0)
        return;
    csl_buf_str(p->out, "<h3>Class by class</h3>\n");
    csl_report__table(p, "Each class against the rest, from counts that the sites add up. A class "
                         "with a sensitivity or specificity below .05 is collapsed: the model "
                         "hardly ever, or nearly always, decides for it.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Class</th>");
    csl_report__metric_head(p, "sensitivity", &s);
    csl_report__metric_head(p, "specificity", &s);
    csl_buf_str(p->out, "<th scope=\"col\" class=\"num\">Test<br>records</th><th scope=\"col\" "
                        "class=\"num\">Decided<br>for it</th></tr></thead><tbody>\n");
    for (uint32_t c = 0; c < f->classes; c++) {
        (void)snprintf(of, sizeof(of), "class %u", c);
        csl_buf_printf(p->out, "<tr><th scope=\"row\">%u%s</th>", c,
                       f->by_class[c].is_collapsed ? "<span class=\"few\">collapsed</span>" : "");
        put_rate(p, &f->by_class[c].sensitivity, of, &s);
        put_rate(p, &f->by_class[c].specificity, of, &s);
        csl_buf_printf(p->out, "<td class=\"num\">%llu</td><td class=\"num\">%llu</td></tr>\n",
                       (unsigned long long)f->by_class[c].records,
                       (unsigned long long)f->by_class[c].decided);
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

/* --- calibration --- */

#define Z 1.959963984540054

struct points {
    double predicted[CSL_CALIBRATION_BINS], observed[CSL_CALIBRATION_BINS],
        low[CSL_CALIBRATION_BINS], high[CSL_CALIBRATION_BINS]; /* Wilson's interval */
    uint64_t records[CSL_CALIBRATION_BINS];
    uint32_t count, furthest;
};

static void take_points(const struct csl_sum_figures *f, struct points *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t b = 0; b < CSL_CALIBRATION_BINS; b++) {
        const struct csl_calibration_bin *from = &f->calibration[b];
        double n = (double)from->records, share = from->observed;
        uint32_t k = out->count;
        if (from->records == 0)
            continue;
        out->predicted[k] = from->predicted;
        out->observed[k] = share;
        double centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n);
        double half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n));
        out->low[k] = fmax(0.0, fmin(share, centre - half));
        out->high[k] = fmin(1.0, fmax(share, centre + half));
        out->records[k] = from->records;
        if (fabs(share - from->predicted) >
            fabs(out->observed[out->furthest] - out->predicted[out->furthest]))
            out->furthest = k;
        out->count++;
    }
}

static void put_points_table(struct csl_report *p, const struct points *c)
{
    csl_buf_str(p->out, "<details><summary>Calibration in numbers</summary>");
    csl_report__table(p, "Bins of equal width without test records are left out.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\" class=\"num\">Predicted</th><th "
                        "scope=\"col\" class=\"num\">Observed</th><th scope=\"col\" class=\"num\">"
                        "Test records</th></tr></thead><tbody>\n");
    for (uint32_t i = 0; i < c->count; i++)
        csl_buf_printf(p->out,
                       "<tr><td class=\"num\">%.3f</td><td class=\"num\">%.3f</td>"
                       "<td class=\"num\">%llu</td></tr>\n",
                       c->predicted[i], c->observed[i], (unsigned long long)c->records[i]);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    csl_buf_str(p->out, "</details>\n");
}

void csl_report__calibration(struct csl_report *p, uint32_t domain)
{
    static const double ends[] = {0, 1}, ticks[] = {0, 0.2, 0.4, 0.6, 0.8, 1};
    static const char *const labels[] = {"0", "0.2", "0.4", "0.6", "0.8", "1"};
    const struct csl_sum_figures *f = &p->r->fairness.sums[domain];
    bool is_binary = p->r->domains[domain].task == CSL_TASK_BINARY;
    char description[320];
    struct points c;
    if (f->metrics.count == 0)
        return;
    take_points(f, &c);
    if (c.count == 0)
        return;
    (void)snprintf(description, sizeof(description),
                   "%u points from the sums of the sites' score histograms. On the dashed line "
                   "predictions are right. Furthest from it: %.2f predicted, %.2f observed in "
                   "%llu test records.",
                   c.count, c.predicted[c.furthest], c.observed[c.furthest],
                   (unsigned long long)c.records[c.furthest]);
    const struct csl_svg_series series[] = {
        {"perfect calibration", 7, 2, ends, ends, NULL, NULL},
        {"test records of all sites, with Wilson's 95 % interval", 0, c.count, c.predicted,
         c.observed, c.low, c.high}};
    const struct csl_svg_chart chart = {
        .id = p->next_id++,
        .title = "Calibration",
        .description = description,
        .x_label = is_binary ? "predicted probability" : "confidence of the decision",
        .y_label = is_binary ? "observed share of positives" : "share of right decisions",
        .series = series,
        .series_count = 2,
        .has_y_range = true,
        .y_max = 1,
        .ticks = ticks,
        .tick_labels = labels,
        .tick_count = 6};
    csl_buf_str(p->out, "<div class=\"charts small\">");
    csl_svg_chart(p->out, &chart);
    csl_buf_str(p->out, "</div>\n");
    put_points_table(p, &c);
}

/* --- gaps --- */

static void put_gap_head(struct csl_report *p, const struct csl_report_scale *s)
{
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Difference</th>");
    for (uint32_t i = 0; i < p->r->fairness.asked.attribute_count; i++) {
        csl_buf_str(p->out, "<th scope=\"col\">by ");
        csl_report__text(p, p->r->fairness.asked.attributes[i]);
        csl_buf_printf(p->out, "<span class=\"scale\">bar from %.1f to %.1f</span></th>", s->min,
                       s->max);
    }
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
}

static const struct csl_result_gap *gap_at(const struct csl_result *r, uint32_t domain,
                                           const char *attribute)
{
    for (uint32_t i = 0; i < r->fairness.gap_count; i++) {
        const struct csl_result_gap *g = &r->fairness.gaps[i];
        if (g->domain == domain && strcmp(g->attribute, attribute) == 0)
            return g;
    }
    return NULL;
}

static bool has_figure(const struct csl_result *r, uint32_t domain, const char *name)
{
    for (uint32_t i = 0; i < r->fairness.gap_count; i++) {
        const struct csl_result_gap *g = &r->fairness.gaps[i];
        if (g->domain == domain && csl_metrics_find(&g->metrics, name) != NULL)
            return true;
    }
    return false;
}

void csl_report__gaps(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const struct csl_study_fairness *asked = &r->fairness.asked;
    const struct csl_report_scale s = {.min = 0, .max = 1};
    bool is_open = false;
    for (const char *const *name = csl_gap_names(); *name != NULL; name++) {
        if (!has_figure(r, domain, *name))
            continue;
        if (!is_open) {
            csl_report__table(p, "How far the shown groups are apart, with 95 % intervals: the "
                                 "largest less the smallest group. TPR, FDR and FPR are means over "
                                 "all classes, each against the rest.");
            put_gap_head(p, &s);
            is_open = true;
        }
        csl_buf_str(p->out, "<tr><th scope=\"row\">");
        csl_report__text(p, csl_gap_title(*name));
        csl_buf_str(p->out, "</th>");
        for (uint32_t i = 0; i < asked->attribute_count; i++) {
            const struct csl_result_gap *g = gap_at(r, domain, asked->attributes[i]);
            csl_report__metric_cell(p, g != NULL ? csl_metrics_find(&g->metrics, *name) : NULL,
                                    asked->attributes[i], &s);
        }
        csl_buf_str(p->out, "</tr>\n");
    }
    if (is_open) {
        csl_buf_str(p->out, "</tbody>");
        csl_report__end_table(p);
    }
    if (asked->weights.is_on)
        csl_buf_printf(p->out,
                       "<p class=\"note\">In training, patients of small groups and of groups the "
                       "model does badly by counted more (alpha %g, beta %g, cap %g).</p>\n",
                       asked->weights.alpha, asked->weights.beta, asked->weights.cap);
    for (uint32_t i = 0; i < r->fairness.gap_count; i++) {
        const struct csl_result_gap *g = &r->fairness.gaps[i];
        if (g->domain != domain || g->hidden == 0)
            continue;
        csl_buf_str(p->out, "<p class=\"note\">By ");
        csl_report__text(p, g->attribute);
        csl_buf_printf(p->out,
                       ", %u group%s hidden: fewer than %u test patients or %u sites, or to be "
                       "computed from the others.</p>\n",
                       g->hidden, g->hidden == 1 ? " is" : "s are", asked->minimum_group,
                       asked->minimum_sites);
    }
}

void csl_report__told(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const struct csl_report_scale s = {.min = 0, .max = 1};
    static const char *const names[] = {"eod", "pp", "fpr_gap"};
    bool is_open = false;
    for (uint32_t i = 0; i < r->fairness.told_count; i++) {
        const struct csl_result_told *t = &r->fairness.told[i];
        if (t->gap.domain != domain)
            continue;
        if (!is_open) {
            csl_report__table(p, "The same as the coordinator knows it: from the sum of what the "
                                 "sites counted by the groups that the study lists, with 95 % "
                                 "intervals. Small groups are hidden likewise.");
            csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Groups by</th><th scope=\"col\" "
                                "class=\"num\">Shown</th><th scope=\"col\" class=\"num\">Hidden"
                                "</th>");
            for (size_t k = 0; k < 3; k++)
                csl_buf_printf(p->out, "<th scope=\"col\">%s</th>", csl_gap_title(names[k]));
            csl_buf_str(p->out, "<th scope=\"col\">Worst group</th><th scope=\"col\">Its "
                                "macro-F1</th></tr></thead><tbody>\n");
            is_open = true;
        }
        csl_buf_str(p->out, "<tr><th scope=\"row\">");
        csl_report__text(p, t->gap.attribute);
        csl_buf_printf(p->out, "</th><td class=\"num\">%u</td><td class=\"num\">%u</td>",
                       t->gap.shown, t->gap.hidden);
        for (size_t k = 0; k < 3; k++)
            csl_report__metric_cell(p, csl_metrics_find(&t->gap.metrics, names[k]),
                                    t->gap.attribute, &s);
        csl_buf_str(p->out, "<td>");
        csl_report__text(p, t->worst[0] != 0 ? t->worst : "none");
        csl_buf_str(p->out, "</td>");
        csl_report__metric_cell(p, t->worst[0] != 0 ? &t->worst_f1 : NULL, t->gap.attribute, &s);
        csl_buf_str(p->out, "</tr>\n");
    }
    if (is_open) {
        csl_buf_str(p->out, "</tbody>");
        csl_report__end_table(p);
    }
}
