/* simulations/report_statistics.c - the statistics of a study that trains nothing. */
#include "simulations/report_parts.h"

#include <math.h>
#include <stdio.h>

#include "base/banned.h"

static void put_cell(struct csl_report *p, const struct csl_statistic *s, double factor)
{
    char text[96];
    if (s->is_shown) {
        csl_buf_printf(p->out, "<td class=\"m\"><b>%.4g</b>", factor * s->value);
        if (s->low < s->high)
            csl_buf_printf(p->out, "<span class=\"r\">%.4g to %.4g</span>", factor * s->low,
                           factor * s->high);
    } else {
        csl_statistics_text(s, factor, text, sizeof(text));
        csl_buf_str(p->out, "<td class=\"none\">");
        csl_report__text(p, text);
    }
    csl_buf_str(p->out, "</td>");
}

static void put_heads(struct csl_report *p, const char *const *heads)
{
    csl_buf_str(p->out, "<thead><tr>");
    for (; *heads != NULL; heads++) {
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, *heads);
        csl_buf_str(p->out, "</th>");
    }
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
}

static void put_row_head(struct csl_report *p, const char *name)
{
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    csl_report__text(p, name);
    csl_buf_str(p->out, "</th>");
}

static void put_patients(struct csl_report *p, const struct csl_statistics_domain *d)
{
    static const char *const heads[] = {"", "training patients, all sites together", NULL};
    char caption[CSL_ID_MAX + 32];
    (void)snprintf(caption, sizeof(caption), "%s: patients", d->id);
    csl_report__table(p, caption);
    put_heads(p, heads);
    put_row_head(p, "all");
    put_cell(p, &d->patients, 1);
    csl_buf_str(p->out, "</tr>\n");
    for (uint32_t i = 0; i < d->cell_count; i++) {
        put_row_head(p, d->cells[i].name);
        put_cell(p, &d->cells[i].patients, 1);
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

static void put_feature_head(struct csl_report *p, const struct csl_statistics_feature *f)
{
    char text[32 + CSL_ID_MAX];
    (void)snprintf(text, sizeof(text), "%s%s%s", f->name, f->unit[0] != '\0' ? ", " : "", f->unit);
    put_row_head(p, text);
}

static void put_moments(struct csl_report *p, const struct csl_statistics_feature *f)
{
    char text[64];
    const struct csl_feature_figures *g = &f->figures;
    put_feature_head(p, f);
    csl_buf_printf(p->out, "<td>%g to %g</td>", f->range.low, f->range.high);
    put_cell(p, &g->mean, 1);
    put_cell(p, &g->deviation, 1);
    put_cell(p, &g->missing, 100);
    csl_statistics_band(&g->outside, text, sizeof(text));
    csl_buf_str(p->out, "<td>");
    csl_report__text(p, text);
    csl_buf_str(p->out, "</td></tr>\n");
}

static void put_quantiles(struct csl_report *p, const struct csl_statistics_feature *f)
{
    put_feature_head(p, f);
    for (int i = 0; i < CSL_STATISTICS_QUANTILES; i++)
        put_cell(p, &f->figures.quantiles[i], 1);
    csl_buf_str(p->out, "</tr>\n");
}

/* Two tables: one with all columns is wider than the page. */
static void put_features(struct csl_report *p, const struct csl_statistics_domain *d)
{
    static const char *const moments[] = {
        "feature", "range", "mean", "standard deviation", "missing, %", "outside the range", NULL};
    static const char *const quantiles[] = {"feature", "5th percentile",  "25th percentile",
                                            "median",  "75th percentile", "95th percentile",
                                            NULL};
    char caption[CSL_ID_MAX + 80];
    if (d->feature_count == 0)
        return;
    (void)snprintf(caption, sizeof(caption),
                   "%s: features, means and standard deviations with 95 %% intervals", d->id);
    csl_report__table(p, caption);
    put_heads(p, moments);
    for (uint32_t i = 0; i < d->feature_count; i++)
        put_moments(p, &d->features[i]);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    (void)snprintf(caption, sizeof(caption), "%s: features, quantiles with 95 %% intervals", d->id);
    csl_report__table(p, caption);
    put_heads(p, quantiles);
    for (uint32_t i = 0; i < d->feature_count; i++)
        put_quantiles(p, &d->features[i]);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

static void put_finding(void *ctx, const char *domain, const char *feature, const char *text)
{
    struct csl_report *p = ctx;
    csl_buf_str(p->out, "<li>");
    csl_report__text(p, domain);
    csl_buf_str(p->out, feature[0] != '\0' ? ", " : "");
    csl_report__text(p, feature);
    csl_buf_str(p->out, ": ");
    csl_report__text(p, text);
    csl_buf_str(p->out, "</li>\n");
}

static void put_domain(struct csl_report *p, const struct csl_statistics_domain *d)
{
    csl_buf_str(p->out, "<h3>");
    csl_report__text(p, d->id);
    csl_buf_printf(p->out, "</h3><p>%u sites are in the sum. ", d->sum.sites);
    if (d->sum.sigma > 0)
        csl_buf_printf(p->out,
                       "Every count carries noise with a standard deviation of %.3g "
                       "patients. ",
                       d->sum.sigma);
    else
        csl_buf_str(p->out, "The counts carry no noise. ");
    csl_buf_printf(p->out, "Fewer than %.0f patients are hidden, never shown as zero.</p>\n",
                   ceil(csl_statistics_least(&d->sum, 1)));
    put_patients(p, d);
    put_features(p, d);
}

void csl_report__statistics(struct csl_report *p)
{
    const struct csl_statistics_report *r = &p->r->statistics;
    char protection[512];
    csl_report__section(p, "statistics", "Statistics before training");
    csl_result_protection(p->r, protection, sizeof(protection));
    csl_buf_str(p->out, "<p>");
    csl_report__text(p, protection);
    csl_buf_str(p->out, r->is_rehearsal ? " " CSL_REHEARSAL_WORDS "</p>\n" : "</p>\n");
    csl_buf_str(p->out,
                "<p>Of the training patients of all sites together; nothing was trained. One value "
                "of each patient, the mean of the patient's records, cut to the declared range. "
                "Intervals of counts are those of the noise; all others also hold what another "
                "sample of patients could give.</p>\n");
    for (uint32_t d = 0; d < r->domain_count; d++)
        put_domain(p, &r->domains[d]);
    csl_buf_str(p->out, "<h3>To look at before training</h3><ul>\n");
    size_t before = p->out->n;
    csl_statistics_readiness(r, put_finding, p);
    if (p->out->n == before)
        csl_buf_str(p->out, "<li>Nothing was found.</li>\n");
    csl_buf_str(p->out, "</ul>\n");
    csl_report__end_section(p);
}
