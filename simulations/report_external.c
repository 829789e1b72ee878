/* simulations/report_external.c - the released model at hospitals that never trained. */
#include "simulations/report_parts.h"

#include <stdio.h>

#include "base/banned.h"

#define METRICS_MAX 4

static void put_rows(struct csl_report *p, uint32_t domain, const char *const *metrics,
                     const struct csl_report_scale *scales)
{
    const struct csl_result *x = p->r->external;
    for (uint32_t s = 0; s < x->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        const struct csl_metrics *m = csl_evaluation_cell(&x->federated, s, domain);
        csl_buf_str(p->out, "<tr><th scope=\"row\">");
        csl_report__text(p, x->sites[s].id);
        csl_report__few(p, m, x->domains[domain].task);
        csl_buf_str(p->out, "</th>");
        for (uint32_t i = 0; metrics[i] != NULL; i++)
            csl_report__metric_cell(p, csl_metrics_find(m, metrics[i]), x->sites[s].id, &scales[i]);
        csl_buf_printf(p->out, "<td class=\"num\">%llu</td></tr>\n",
                       (unsigned long long)m->examples);
    }
}

static void put_mean(struct csl_report *p, const char *title, const struct csl_evaluation *e,
                     uint32_t domain, const char *const *metrics,
                     const struct csl_report_scale *scales)
{
    csl_buf_str(p->out, "<tr class=\"sum\"><th scope=\"row\">");
    csl_report__text(p, title);
    csl_buf_str(p->out, "</th>");
    for (uint32_t i = 0; metrics[i] != NULL; i++) {
        struct csl_mean mean = {0};
        bool is_measured = csl_evaluation_mean(e, domain, metrics[i], &mean);
        csl_report__mean_cell(p, &mean, is_measured, title, &scales[i]);
    }
    csl_buf_printf(p->out, "<td class=\"num\">%llu</td></tr>\n",
                   (unsigned long long)e->pooled[domain].examples);
}

static void put_table(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r, *x = r->external;
    const char *const *metrics = csl_headline(r->domains[domain].task);
    struct csl_report_scale scales[METRICS_MAX] = {{.is_used = false}};
    struct csl_mean mean;
    csl_report__table(p, "The released model at each external site, on its test patients, with "
                         "95 % intervals; the last row is the mean over the sites that trained it, "
                         "on theirs.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Site</th>");
    for (uint32_t i = 0; metrics[i] != NULL; i++) {
        for (uint32_t s = 0; s < x->site_count; s++)
            csl_report__scale_add(
                &scales[i],
                csl_metrics_find(csl_evaluation_cell(&x->federated, s, domain), metrics[i]));
        if (csl_evaluation_mean(&r->federated, domain, metrics[i], &mean)) {
            const struct csl_metric as_metric = {metrics[i], NULL, mean.value, 0, 0};
            csl_report__scale_add(&scales[i], &as_metric);
        }
        csl_report__scale_end(&scales[i]);
        csl_report__metric_head(p, metrics[i], &scales[i]);
    }
    csl_buf_str(p->out, "<th scope=\"col\" class=\"num\">Test<br>records</th></tr></thead>"
                        "<tbody>\n");
    put_rows(p, domain, metrics, scales);
    if (x->site_count > 1)
        put_mean(p, "Mean over external sites", &x->federated, domain, metrics, scales);
    put_mean(p, "Mean over sites in training", &r->federated, domain, metrics, scales);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

static void put_spreads(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *x = p->r->external;
    const struct csl_evaluation_spread *e = &p->r->repeats.external;
    const char *metric = csl_headline(x->domains[domain].task)[0];
    char caption[160];
    if (p->r->repeats.count == 0 || e->cells == NULL)
        return;
    (void)snprintf(caption, sizeof(caption),
                   "%s over %u seeds: mean \xc2\xb1 sample standard deviation.",
                   csl_metric_title(metric), p->r->repeats.count);
    csl_report__table(p, caption);
    csl_buf_str(p->out, "<tbody>\n");
    for (uint32_t s = 0; s <= x->site_count && (s < x->site_count || s > 1); s++) {
        bool is_mean = s == x->site_count;
        const struct csl_spread_set *set =
            is_mean ? &e->means[domain] : &e->cells[(size_t)s * e->domain_count + domain];
        csl_buf_printf(p->out, "<tr%s><th scope=\"row\">", is_mean ? " class=\"sum\"" : "");
        csl_report__text(p, is_mean ? "Mean over external sites" : x->sites[s].id);
        csl_buf_str(p->out, "</th>");
        csl_report__spread_cell(p, csl_spread_find(set, metric));
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

void csl_report__external(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    if (r->external == NULL || r->external->federated.cells == NULL)
        return;
    csl_report__section(p, "external", "Hospitals that never trained");
    csl_buf_str(p->out,
                "<p>External validation: these sites sent no update in any round, and their "
                "patients had no part in the model, nor in its choice.</p>\n");
    for (uint32_t d = 0; d < r->domain_count; d++) {
        if (r->domain_count > 1) {
            csl_buf_str(p->out, "<h3>");
            csl_report__text(p, r->domains[d].id);
            csl_buf_str(p->out, "</h3>\n");
        }
        put_table(p, d);
        put_spreads(p, d);
    }
    csl_report__end_section(p);
}
