/* simulations/report_domain.c - one domain: its sites, and the federated model beside the
 * alternatives. */
#include "simulations/report_parts.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* Whether any site or the pool has the metric. */
static bool has_metric(const struct csl_evaluation *e, uint32_t domain, const char *metric)
{
    if (csl_metrics_find(&e->pooled[domain], metric) != NULL)
        return true;
    for (uint32_t s = 0; e->cells != NULL && s < e->site_count; s++)
        if (csl_metrics_find(csl_evaluation_cell(e, s, domain), metric) != NULL)
            return true;
    return false;
}

static void scale_evaluation(struct csl_report_scale *s, const struct csl_evaluation *e,
                             uint32_t domain, const char *metric)
{
    csl_report__scale_add(s, csl_metrics_find(&e->pooled[domain], metric));
    for (uint32_t i = 0; e->cells != NULL && i < e->site_count; i++)
        csl_report__scale_add(s, csl_metrics_find(csl_evaluation_cell(e, i, domain), metric));
}

static void scale_reference(struct csl_report_scale *s, const struct csl_metric *m)
{
    s->has_reference = m != NULL;
    s->reference = m != NULL ? m->value : 0;
}

static void put_count(struct csl_report *p, uint64_t n)
{
    csl_buf_printf(p->out, "<td class=\"num\">%llu</td>", (unsigned long long)n);
}

static void put_row_head(struct csl_report *p, const char *class_name, const char *text)
{
    csl_buf_printf(p->out, "<tr%s%s%s><th scope=\"row\">", class_name[0] ? " class=\"" : "",
                   class_name, class_name[0] ? "\"" : "");
    csl_report__text(p, text);
    csl_buf_str(p->out, "</th>");
}

static void put_site_head(struct csl_report *p, uint32_t site, uint32_t domain)
{
    const struct csl_result *r = p->r;
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    csl_report__text(p, r->sites[site].id);
    csl_report__few(p, csl_evaluation_cell(&r->federated, site, domain), r->domains[domain].task);
    csl_buf_str(p->out, "</th>");
}

struct columns {
    const char *const *metrics;
    struct csl_report_scale scales[4];
    bool has_patients;
};

static void put_site_row(struct csl_report *p, const struct columns *c, uint32_t site,
                         uint32_t domain)
{
    const struct csl_result *r = p->r;
    const struct csl_metrics *m = csl_evaluation_cell(&r->federated, site, domain);
    put_site_head(p, site, domain);
    for (uint32_t i = 0; c->metrics[i] != NULL; i++)
        csl_report__metric_cell(p, csl_metrics_find(m, c->metrics[i]), r->sites[site].id,
                                &c->scales[i]);
    put_count(p, m->examples);
    if (csl_task_has_positives(r->domains[domain].task))
        put_count(p, m->positives);
    if (c->has_patients)
        put_count(p, r->sites[site].patients);
    csl_buf_str(p->out, "</tr>\n");
}

static void put_sum_rows(struct csl_report *p, const struct columns *c, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const struct csl_metrics *pooled = &r->federated.pooled[domain];
    uint64_t patients = 0;
    uint32_t empty = 1u + (c->has_patients ? 1u : 0u) +
                     (csl_task_has_positives(r->domains[domain].task) ? 1u : 0u);
    for (uint32_t s = 0; s < r->site_count; s++)
        patients += r->sites[s].patients;
    put_row_head(p, "sum", "All test records together");
    for (uint32_t i = 0; c->metrics[i] != NULL; i++)
        csl_report__metric_cell(p, csl_metrics_find(pooled, c->metrics[i]), "all sites",
                                &c->scales[i]);
    put_count(p, pooled->examples);
    if (csl_task_has_positives(r->domains[domain].task))
        put_count(p, pooled->positives);
    if (c->has_patients)
        put_count(p, patients);
    csl_buf_str(p->out, "</tr>\n");
    put_row_head(p, "sum", "Mean over sites");
    for (uint32_t i = 0; c->metrics[i] != NULL; i++) {
        struct csl_mean mean = {0};
        bool is_measured = csl_evaluation_mean(&r->federated, domain, c->metrics[i], &mean);
        csl_report__mean_cell(p, &mean, is_measured, "mean over sites", &c->scales[i]);
    }
    csl_buf_printf(p->out, "<td colspan=\"%u\"></td></tr>\n", empty);
}

static void put_sites(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    struct columns c = {.metrics = csl_headline(r->domains[domain].task),
                        .has_patients = r->domain_count == 1};
    bool is_survival = r->domains[domain].task == CSL_TASK_SURVIVAL;
    for (uint32_t i = 0; c.metrics[i] != NULL; i++) {
        scale_evaluation(&c.scales[i], &r->federated, domain, c.metrics[i]);
        csl_report__scale_end(&c.scales[i]);
        scale_reference(&c.scales[i], csl_metrics_find(&r->federated.pooled[domain], c.metrics[i]));
    }
    csl_report__table(p, "The federated model at each site, on test patients no site trained on. "
                         "Bars are 95 % intervals; the dashed line is the value over all test "
                         "records together.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Site</th>");
    for (uint32_t i = 0; c.metrics[i] != NULL; i++)
        csl_report__metric_head(p, c.metrics[i], &c.scales[i]);
    csl_buf_str(p->out, "<th scope=\"col\" class=\"num\">Test<br>records</th>");
    if (csl_task_has_positives(r->domains[domain].task))
        csl_buf_printf(p->out, "<th scope=\"col\" class=\"num\">%s</th>",
                       is_survival ? "Events" : "Positive");
    if (c.has_patients)
        csl_buf_str(p->out, "<th scope=\"col\" class=\"num\">Training<br>patients</th>");
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++)
        if (r->domain_count == 1 || csl_evaluation_cell(&r->federated, s, domain)->examples > 0)
            put_site_row(p, &c, s, domain);
    put_sum_rows(p, &c, domain);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    if (r->site_count > CSL_REPORT_SITES_SHOWN)
        csl_buf_printf(p->out, "<p class=\"note\">%u more sites are in metrics.csv.</p>",
                       r->site_count - CSL_REPORT_SITES_SHOWN);
}

static void put_compact(struct csl_report *p, const struct csl_metric *m)
{
    if (m == NULL) {
        csl_buf_str(p->out, "<td class=\"m none\">\xe2\x80\x93</td>");
        return;
    }
    csl_buf_printf(p->out, "<td class=\"m\"><b>%.3f</b>", m->value);
    if (m->method != NULL)
        csl_buf_printf(p->out, "<span class=\"r\">%.2f\xe2\x80\x93%.2f</span>", m->low, m->high);
    csl_buf_str(p->out, "</td>");
}

static void put_all_metrics(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const char *shown[16] = {NULL};
    uint32_t count = 0;
    for (const char *const *name = csl_metric_names(); *name != NULL && count < 16; name++)
        if (has_metric(&r->federated, domain, *name))
            shown[count++] = *name;
    if (count == 0)
        return;
    csl_buf_str(p->out, "<details><summary>Every metric of every site</summary>");
    csl_report__table(p, "Value and 95 % interval of every metric that could be computed.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Site</th>");
    for (uint32_t i = 0; i < count; i++) {
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, csl_metric_title(shown[i]));
        csl_buf_str(p->out, "</th>");
    }
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
    for (uint32_t s = 0; s <= r->site_count && s <= CSL_REPORT_SITES_SHOWN; s++) {
        bool is_sum = s == r->site_count || s == CSL_REPORT_SITES_SHOWN;
        const struct csl_metrics *m =
            is_sum ? &r->federated.pooled[domain] : csl_evaluation_cell(&r->federated, s, domain);
        put_row_head(p, is_sum ? "sum" : "", is_sum ? "All together" : r->sites[s].id);
        for (uint32_t i = 0; i < count; i++)
            put_compact(p, csl_metrics_find(m, shown[i]));
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    csl_buf_str(p->out, "</details>\n");
}

static void put_calibration(struct csl_report *p, uint32_t domain)
{
    const struct csl_metric *ece = csl_metrics_find(&p->r->federated.pooled[domain], "ece");
    if (ece == NULL)
        return;
    csl_buf_printf(p->out,
                   "<p class=\"note\"><strong>Calibration.</strong> The expected calibration error "
                   "over all test records is %.3f",
                   ece->value);
    if (ece->method != NULL)
        csl_buf_printf(p->out, " (95 %% interval %.2f\xe2\x80\x93%.2f)", ece->low, ece->high);
    csl_buf_printf(p->out,
                   ": predicted probabilities differ from observed frequencies by %.1f percentage "
                   "points on average. Chance raises this figure on average, most in small "
                   "test sets; the interval allows for it and can lie below the figure.</p>\n",
                   100.0 * ece->value);
}

/* --- the federated model beside the alternatives --- */

struct rival {
    const char *title;
    const struct csl_evaluation *evaluation; /* NULL: only own */
    bool is_own, is_us;
};
#define RIVALS_MAX 6

static uint32_t list_rivals(const struct csl_result *r, uint32_t domain, struct rival *out,
                            char best[160])
{
    const struct csl_result_baselines *b = &r->baselines;
    uint32_t n = 0;
    out[n++] = (struct rival){"Federated model of this study", &r->federated, false, true};
    out[n++] = (struct rival){"Each site alone, on its own patients", NULL, true, false};
    if (b->has_best_local && b->best_site[domain] != UINT32_MAX) {
        (void)snprintf(best, 160, "Best local model (%s)", r->sites[b->best_site[domain]].id);
        out[n++] = (struct rival){best, &b->best_local, false, false};
    }
    if (b->has_ensemble)
        out[n++] = (struct rival){"Ensemble of all local models", &b->ensemble, false, false};
    if (b->has_pooled_training)
        out[n++] = (struct rival){"Training on all records in one place", &b->pooled_training,
                                  false, false};
    return n;
}

static bool mean_of(const struct csl_result *r, const struct rival *v, uint32_t domain,
                    const char *metric, struct csl_mean *out)
{
    return v->is_own ? csl_result_own_mean(r, domain, metric, out)
                     : csl_evaluation_mean(v->evaluation, domain, metric, out);
}

static void scale_mean(struct csl_report_scale *s, const struct csl_mean *m)
{
    const struct csl_metric as_metric = {m->name, m->has_interval ? "normal" : NULL, m->value,
                                         m->low < 0 ? 0 : m->low, m->high > 1 ? 1 : m->high};
    csl_report__scale_add(s, &as_metric);
}

static void put_rivals(struct csl_report *p, uint32_t domain, const char *metric,
                       const struct rival *rivals, uint32_t count)
{
    struct csl_report_scale pooled = {0};
    char caption[320];
    struct csl_mean mean = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (rivals[i].evaluation != NULL)
            csl_report__scale_add(&pooled,
                                  csl_metrics_find(&rivals[i].evaluation->pooled[domain], metric));
        if (mean_of(p->r, &rivals[i], domain, metric, &mean))
            scale_mean(&pooled, &mean);
    }
    csl_report__scale_end(&pooled);
    scale_reference(&pooled, csl_metrics_find(&p->r->federated.pooled[domain], metric));
    struct csl_report_scale mean_scale = pooled;
    mean_scale.has_reference = csl_evaluation_mean(&p->r->federated, domain, metric, &mean);
    mean_scale.reference = mean.value;
    (void)snprintf(caption, sizeof(caption),
                   "%s of the federated model and of the alternatives on the same test patients. "
                   "The dashed line is the federated model.",
                   csl_metric_title(metric));
    csl_report__table(p, caption);
    csl_buf_printf(p->out,
                   "<thead><tr><th scope=\"col\">Model</th><th scope=\"col\">All test records "
                   "together<span class=\"scale\">bar from %.1f to %.1f</span></th>"
                   "<th scope=\"col\">Mean over sites<span class=\"scale\">bar from %.1f to "
                   "%.1f</span></th></tr></thead><tbody>\n",
                   pooled.min, pooled.max, pooled.min, pooled.max);
    for (uint32_t i = 0; i < count; i++) {
        const struct rival *v = &rivals[i];
        put_row_head(p, v->is_us ? "us" : "", v->title);
        if (v->evaluation != NULL)
            csl_report__metric_cell(p, csl_metrics_find(&v->evaluation->pooled[domain], metric),
                                    v->title, &pooled);
        else
            csl_buf_str(p->out, "<td class=\"m none\">no single model</td>");
        bool is_measured = mean_of(p->r, v, domain, metric, &mean);
        csl_report__mean_cell(p, &mean, is_measured, v->title, &mean_scale);
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

static const struct csl_metric *rival_at(const struct csl_result *r, const struct rival *v,
                                         uint32_t site, uint32_t domain, const char *metric)
{
    if (v->is_own)
        return csl_metrics_find(&r->baselines.locals[site].own[domain], metric);
    if (v->evaluation->cells == NULL)
        return NULL;
    return csl_metrics_find(csl_evaluation_cell(v->evaluation, site, domain), metric);
}

static void put_rivals_by_site(struct csl_report *p, uint32_t domain, const char *metric,
                               const struct rival *rivals, uint32_t count)
{
    const struct csl_result *r = p->r;
    struct csl_report_scale s = {0};
    char caption[200];
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t site = 0; site < r->site_count; site++)
            csl_report__scale_add(&s, rival_at(r, &rivals[i], site, domain, metric));
    csl_report__scale_end(&s);
    (void)snprintf(caption, sizeof(caption), "%s at each site; bars run from %.1f to %.1f.",
                   csl_metric_title(metric), s.min, s.max);
    csl_buf_printf(p->out, "<details%s><summary>Site by site</summary>\n",
                   r->domain_count == 1 ? " open" : "");
    csl_report__table(p, caption);
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Site</th>");
    for (uint32_t i = 0; i < count; i++) {
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, rivals[i].is_us                                    ? "Federated"
                            : rivals[i].is_own                                 ? "Own local model"
                            : rivals[i].evaluation == &r->baselines.best_local ? "Best local"
                            : rivals[i].evaluation == &r->baselines.pooled_training ? "All in one"
                                                                                    : "Ensemble");
        csl_buf_str(p->out, "</th>");
    }
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
    for (uint32_t site = 0; site < r->site_count && site < CSL_REPORT_SITES_SHOWN; site++) {
        put_site_head(p, site, domain);
        for (uint32_t i = 0; i < count; i++)
            csl_report__metric_cell(p, rival_at(r, &rivals[i], site, domain, metric),
                                    r->sites[site].id, &s);
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    csl_buf_str(p->out, "</details>\n");
}

static void put_absent_locals(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        if (!r->baselines.locals[s].is_absent)
            continue;
        csl_buf_str(p->out, "<p class=\"note\">No local model of ");
        csl_report__text(p, r->sites[s].id);
        csl_buf_str(p->out, ": ");
        csl_report__text(p, r->baselines.locals[s].reason);
        csl_buf_str(p->out, ".</p>\n");
    }
}

void csl_report__baselines(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const char *metric = csl_headline(r->domains[domain].task)[0];
    struct rival rivals[RIVALS_MAX];
    char best[160];
    csl_buf_str(p->out, "<h3>Federated beside the alternatives</h3>\n");
    if (!r->baselines.is_present) {
        csl_buf_str(p->out, "<p class=\"note\">Not measured: ");
        csl_report__text(p, r->baselines.reason);
        csl_buf_str(p->out, ".</p>\n");
        return;
    }
    uint32_t count = list_rivals(r, domain, rivals, best);
    put_rivals(p, domain, metric, rivals, count);
    csl_buf_str(p->out,
                "<p class=\"note\">The best local model is the one that does best on these "
                "very test patients, so its figure is optimistic: nobody could have chosen "
                "it beforehand. Training on all records in one place is what the federation "
                "avoids.</p>\n");
    put_absent_locals(p);
    put_rivals_by_site(p, domain, metric, rivals, count);
}

/* The alternatives of a whole study; those that are there have is_there. */
#define ALTERNATIVES 5
struct alternatives {
    struct rival rivals[ALTERNATIVES];
    bool is_there[ALTERNATIVES];
};

static void put_alternatives_row(struct csl_report *p, const struct alternatives *a,
                                 struct csl_report_scale *s, uint32_t domain)
{
    const char *metric = csl_headline(p->r->domains[domain].task)[0];
    struct csl_mean mean = {0};
    put_row_head(p, "", p->r->domains[domain].id);
    s->has_reference = mean_of(p->r, &a->rivals[0], domain, metric, &mean);
    s->reference = mean.value;
    for (size_t i = 0; i < ALTERNATIVES; i++) {
        bool is_measured = a->is_there[i] && mean_of(p->r, &a->rivals[i], domain, metric, &mean);
        if (a->is_there[i])
            csl_report__mean_cell(p, &mean, is_measured, a->rivals[i].title, s);
    }
    csl_buf_str(p->out, "</tr>\n");
}

void csl_report__alternatives(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    const struct csl_result_baselines *b = &r->baselines;
    const struct alternatives a = {
        {{"Federated", &r->federated, false, true},
         {"Sites alone", NULL, true, false},
         {"Best local", &b->best_local, false, false},
         {"Ensemble", &b->ensemble, false, false},
         {"All in one place", &b->pooled_training, false, false}},
        {true, true, b->has_best_local, b->has_ensemble, b->has_pooled_training}};
    struct csl_report_scale s = {0};
    struct csl_mean mean;
    csl_buf_str(p->out, "<h3>Federated beside the alternatives</h3>\n");
    for (uint32_t d = 0; d < r->domain_count; d++)
        for (size_t i = 0; i < ALTERNATIVES; i++)
            if (a.is_there[i] &&
                mean_of(r, &a.rivals[i], d, csl_headline(r->domains[d].task)[0], &mean))
                scale_mean(&s, &mean);
    csl_report__scale_end(&s);
    csl_report__table(p, "Mean over sites of each domain's headline metric, each site counted "
                         "once. Sites alone: each on its own patients. Best local: chosen on the "
                         "test patients, hence optimistic. The dashed line is the federated "
                         "model.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Domain</th>");
    for (size_t i = 0; i < ALTERNATIVES; i++)
        if (a.is_there[i])
            csl_buf_printf(p->out, "<th scope=\"col\">%s</th>", a.rivals[i].title);
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
    for (uint32_t d = 0; d < r->domain_count; d++)
        put_alternatives_row(p, &a, &s, d);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

void csl_report__domain(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const struct csl_result_domain *d = &r->domains[domain];
    char id[32], heading[160];
    (void)snprintf(id, sizeof(id), "domain-%u", domain);
    if (r->domain_count == 1)
        (void)snprintf(heading, sizeof(heading), "The model at each site");
    else
        (void)snprintf(heading, sizeof(heading), "Domain %s", d->id);
    csl_report__section(p, id, heading);
    csl_buf_str(p->out, "<p>");
    if (d->task == CSL_TASK_SURVIVAL)
        csl_buf_str(p->out, "Time to an event");
    else if (d->task == CSL_TASK_CLASSES)
        csl_buf_printf(p->out, "One of %u classes", d->classes);
    else if (d->task == CSL_TASK_LABELS)
        csl_buf_str(p->out, "Several yes/no answers");
    else
        csl_buf_str(p->out, "Yes or no");
    csl_buf_str(p->out, ", from ");
    csl_report__text(p, d->modality);
    csl_buf_str(p->out, " data; label <code>");
    csl_report__text(p, d->label);
    csl_buf_str(p->out, "</code>");
    if (d->positive[0] != 0) {
        csl_buf_str(p->out, ", positive means <em>");
        csl_report__text(p, d->positive);
        csl_buf_str(p->out, "</em>");
    }
    csl_buf_str(p->out, ".</p>\n");
    put_sites(p, domain);
    csl_report__labels(p, domain);
    csl_report__classes(p, domain);
    put_calibration(p, domain);
    csl_report__calibration(p, domain);
    put_all_metrics(p, domain);
    csl_report__baselines(p, domain);
    csl_report__end_section(p);
}
