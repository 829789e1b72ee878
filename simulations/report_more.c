/* simulations/report_more.c - domains by sites, rounds, patient groups, repeats, and the run
 * itself.
 */
#include "simulations/report_parts.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* --- domains x sites --- */

static void put_heat_cell(struct csl_report *p, const struct csl_metrics *all,
                          enum csl_task_kind task)
{
    const struct csl_metric *m = csl_metrics_find(all, csl_headline(task)[0]);
    if (m == NULL) {
        csl_buf_str(p->out, "<td class=\"none\">\xe2\x80\x93</td>");
        return;
    }
    /* .5 is chance for every headline metric but macro-F1. */
    int level = (int)floor((m->value - 0.5) * 12.0);
    level = level < 0 ? 0 : level > 5 ? 5 : level;
    csl_buf_printf(p->out, "<td class=\"h%d\">%.3f", level, m->value);
    if (m->method != NULL)
        csl_buf_printf(p->out, "<span class=\"r\">%.2f\xe2\x80\x93%.2f</span>", m->low, m->high);
    csl_report__few(p, all, task);
    csl_buf_str(p->out, "</td>");
}

void csl_report__overview(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    csl_report__section(p, "overview", "Domains and sites");
    csl_buf_str(p->out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Domains "
                        "and sites\"><table class=\"heat\"><caption>The headline metric of each "
                        "domain at each site with its 95 % interval; the deeper green, the better. "
                        "A dash: the site has no test patients for the domain, or the metric needs "
                        "two classes and found one.</caption><thead><tr><th scope=\"col\">Domain"
                        "</th>");
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, r->sites[s].id);
        csl_buf_str(p->out, "</th>");
    }
    csl_buf_str(p->out, "<th scope=\"col\">All together</th></tr></thead><tbody>\n");
    for (uint32_t d = 0; d < r->domain_count; d++) {
        const char *metric = csl_headline(r->domains[d].task)[0];
        csl_buf_printf(p->out, "<tr><th scope=\"row\"><a href=\"#domain-%u\">", d);
        csl_report__text(p, r->domains[d].id);
        csl_buf_str(p->out, "</a> <span class=\"scale note\">");
        csl_report__text(p, csl_metric_title(metric));
        csl_buf_str(p->out, "</span></th>");
        for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++)
            put_heat_cell(p, csl_evaluation_cell(&r->federated, s, d), r->domains[d].task);
        put_heat_cell(p, &r->federated.pooled[d], r->domains[d].task);
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody></table></div>\n");
    if (r->baselines.is_present)
        csl_report__alternatives(p);
    csl_report__end_section(p);
}

/* --- rounds --- */

#define LINES_MAX 12

struct curve {
    struct csl_svg_series lines[LINES_MAX];
    uint32_t count;
    double *points; /* every x, then every y, of all lines; owned */
};

static bool is_row(const struct csl_result_row *row, const char *scope, const char *site,
                   const char *domain, const char *metric)
{
    return strcmp(row->scope, scope) == 0 && strcmp(row->metric, metric) == 0 &&
           (site == NULL || strcmp(row->site, site) == 0) &&
           (domain == NULL || strcmp(row->domain, domain) == 0);
}

/* Adds a line of the matching rows; nothing when there are none or no room. */
static void add_line(const struct csl_result *r, struct curve *c, const char *label, uint32_t style,
                     const char *scope, const char *site, const char *domain, const char *metric)
{
    if (c->points == NULL || c->count == LINES_MAX)
        return;
    double *x = c->points + (size_t)2 * c->count * r->row_count, *y = x + r->row_count;
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->row_count; i++) {
        if (!is_row(&r->rows[i], scope, site, domain, metric) || !isfinite(r->rows[i].value))
            continue;
        x[n] = (double)r->rows[i].round;
        y[n++] = r->rows[i].value;
    }
    if (n > 0)
        c->lines[c->count++] = (struct csl_svg_series){label, style, n, x, y, NULL, NULL};
}

static void put_curve(struct csl_report *p, struct curve *c, const char *title, const char *y_label)
{
    char description[240];
    if (c->count > 0) {
        const struct csl_svg_series *s = &c->lines[c->count - 1];
        (void)snprintf(description, sizeof(description),
                       "%u %s over rounds %.0f to %.0f. %s goes from %.3f to %.3f.", c->count,
                       c->count == 1 ? "line" : "lines", s->x[0], s->x[s->count - 1], s->label,
                       s->y[0], s->y[s->count - 1]);
        const struct csl_svg_chart chart = {.id = p->next_id++,
                                            .title = title,
                                            .description = description,
                                            .x_label = "round",
                                            .y_label = y_label,
                                            .series = c->lines,
                                            .series_count = c->count};
        csl_svg_chart(p->out, &chart);
    }
    c->count = 0;
}

static void put_loss(struct csl_report *p, struct curve *c)
{
    add_line(p->r, c, "mean over all training patients", 8, "federation", NULL, NULL, "train_loss");
    put_curve(p, c, "Training loss", "mean loss of local steps");
}

/* Lines of up to eight sites and, last, of the pool. */
static void put_metric_curve(struct csl_report *p, struct curve *c, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const struct csl_result_domain *d = &r->domains[domain];
    const char *metric = csl_headline(d->task)[0];
    char title[160];
    for (uint32_t s = 0; s < r->site_count && s < 8; s++)
        add_line(r, c, r->sites[s].id, s, "round_site", r->sites[s].id, d->id, metric);
    uint32_t before = c->count;
    add_line(r, c,
             r->has_secure_aggregation ? "all sites together (sum under masks)"
                                       : "all sites together",
             8, "round_pooled", NULL, d->id, metric);
    if (c->count == before)
        add_line(r, c, "mean over sites", 8, "round_mean", NULL, d->id, metric);
    (void)snprintf(title, sizeof(title), "%s%s%s", csl_metric_title(metric),
                   r->domain_count > 1 ? ", " : "", r->domain_count > 1 ? d->id : "");
    put_curve(p, c, title,
              r->has_secure_aggregation ? "from sums of the sites' counts"
                                        : "as the sites reported it");
}

void csl_report__curves(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    struct curve c = {
        .points = csl_alloc_array((size_t)r->row_count * 2 * LINES_MAX + 1, sizeof(*c.points))};
    csl_report__section(p, "curves", "Round by round");
    size_t before = p->out->n;
    csl_buf_str(p->out, "<div class=\"charts\">");
    size_t empty = p->out->n;
    put_loss(p, &c);
    for (uint32_t d = 0; d < r->domain_count; d++)
        put_metric_curve(p, &c, d);
    bool is_empty = p->out->n == empty;
    csl_buf_str(p->out, "</div>\n");
    if (is_empty && p->out->n > before)
        csl_buf_str(p->out, csl_result_has_privacy(r)
                                ? "<p class=\"note\">With differential privacy the sites keep "
                                  "their training losses and evaluations: nothing of them is "
                                  "known by round, here or at a coordinator.</p>\n"
                                : "<p class=\"note\">Nothing was recorded by round.</p>\n");
    csl_report__end_section(p);
    csl_free(c.points);
}

/* --- patient groups --- */

static void put_group_table(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const char *const *metrics = csl_headline(r->domains[domain].task);
    struct csl_report_scale scales[4] = {0};
    uint32_t count = 0;
    for (uint32_t g = 0; g < r->group_count; g++) {
        if (r->groups[g].domain != domain)
            continue;
        count++;
        for (uint32_t i = 0; metrics[i] != NULL; i++)
            csl_report__scale_add(&scales[i], csl_metrics_find(&r->groups[g].metrics, metrics[i]));
    }
    if (count == 0)
        return;
    if (r->domain_count > 1) {
        csl_buf_str(p->out, "<h3>");
        csl_report__text(p, r->domains[domain].id);
        csl_buf_str(p->out, "</h3>");
    }
    csl_report__table(p, "The federated model by patient group, test records of all sites.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Attribute</th><th scope=\"col\">Group</th>");
    for (uint32_t i = 0; metrics[i] != NULL; i++) {
        csl_report__scale_end(&scales[i]);
        csl_report__metric_head(p, metrics[i], &scales[i]);
    }
    csl_buf_str(p->out, "<th scope=\"col\" class=\"num\">Test<br>records</th></tr></thead>"
                        "<tbody>\n");
    for (uint32_t g = 0; g < r->group_count; g++) {
        const struct csl_result_group *group = &r->groups[g];
        if (group->domain != domain)
            continue;
        csl_buf_str(p->out, "<tr><td>");
        csl_report__text(p, group->attribute);
        csl_buf_str(p->out, "</td><th scope=\"row\">");
        csl_report__text(p, group->value);
        csl_report__few(p, &group->metrics, r->domains[domain].task);
        if (group->collapsed > 0)
            csl_buf_printf(p->out, "<span class=\"few\">%u of its classes collapsed</span>",
                           group->collapsed);
        csl_buf_str(p->out, "</th>");
        for (uint32_t i = 0; metrics[i] != NULL; i++)
            csl_report__metric_cell(p, csl_metrics_find(&group->metrics, metrics[i]), group->value,
                                    &scales[i]);
        csl_buf_printf(p->out, "<td class=\"num\">%llu</td></tr>\n",
                       (unsigned long long)group->metrics.examples);
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

void csl_report__groups(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    if (r->group_count == 0 && r->fairness.gap_count == 0 && r->fairness.told_count == 0)
        return;
    csl_report__section(p, "groups", "Patient groups");
    for (uint32_t d = 0; d < p->r->domain_count; d++) {
        put_group_table(p, d);
        csl_report__gaps(p, d);
        csl_report__told(p, d);
    }
    csl_buf_str(p->out, "<p class=\"note\">Intervals of small groups are wide: a difference inside "
                        "them is no evidence of unequal treatment, and none of equal "
                        "treatment.</p>\n");
    csl_report__end_section(p);
}

/* --- repeats --- */

static void put_spread(struct csl_report *p, const struct csl_spread_set *set, const char *metric)
{
    csl_report__spread_cell(p, set != NULL ? csl_spread_find(set, metric) : NULL);
}

static void put_spread_row(struct csl_report *p, const char *title, const char *class_name,
                           const struct csl_evaluation_spread *e, uint32_t domain,
                           const char *metric)
{
    const struct csl_result *r = p->r;
    if (e->pooled == NULL)
        return;
    csl_buf_printf(p->out, "<tr class=\"%s\"><th scope=\"row\">", class_name);
    csl_report__text(p, title);
    csl_buf_str(p->out, "</th>");
    for (uint32_t s = 0; s < r->site_count && s < 12; s++)
        put_spread(p, e->cells != NULL ? &e->cells[(size_t)s * e->domain_count + domain] : NULL,
                   metric);
    put_spread(p, &e->means[domain], metric);
    put_spread(p, &e->pooled[domain], metric);
    csl_buf_str(p->out, "</tr>\n");
}

static void put_repeat_table(struct csl_report *p, uint32_t domain, const char *metric)
{
    const struct csl_result *r = p->r;
    const struct csl_repeats *reps = &r->repeats;
    char title[240];
    (void)snprintf(title, sizeof(title), "%s%s%s: mean \xc2\xb1 sample standard deviation.",
                   csl_metric_title(metric), r->domain_count > 1 ? ", " : "",
                   r->domain_count > 1 ? r->domains[domain].id : "");
    csl_report__table(p, title);
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Model</th>");
    for (uint32_t s = 0; s < r->site_count && s < 12; s++) {
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, r->sites[s].id);
        csl_buf_str(p->out, "</th>");
    }
    csl_buf_str(p->out, "<th scope=\"col\">Mean over sites</th><th scope=\"col\">All together</th>"
                        "</tr></thead><tbody>\n");
    put_spread_row(p, "Federated", "us", &reps->federated, domain, metric);
    for (uint32_t s = 0; s < reps->local_count && s < 12; s++) {
        (void)snprintf(title, sizeof(title), "Local model of %s", r->sites[s].id);
        put_spread_row(p, title, "", &reps->locals[s], domain, metric);
    }
    put_spread_row(p, "Best local (optimistic)", "", &reps->best_local, domain, metric);
    put_spread_row(p, "Ensemble of local models", "", &reps->ensemble, domain, metric);
    put_spread_row(p, "All records in one place", "", &reps->pooled_training, domain, metric);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

void csl_report__repeats(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    char heading[120];
    if (r->repeats.count == 0)
        return;
    (void)snprintf(heading, sizeof(heading), "Repeated with %u seeds (%llu to %llu)",
                   r->repeats.count, (unsigned long long)r->repeats.first_seed,
                   (unsigned long long)r->repeats.last_seed);
    csl_report__section(p, "repeats", heading);
    csl_buf_str(p->out, "<p>The spread over seeds says how much initial values and the order of "
                        "batches matter. It says nothing about which patients happened to be in "
                        "the test sets: the intervals above do. All other sections of this page "
                        "show the first seed.</p>\n");
    for (uint32_t d = 0; d < r->domain_count; d++)
        for (const char *const *m = csl_headline(r->domains[d].task); *m != NULL; m++)
            put_repeat_table(p, d, *m);
    csl_report__end_section(p);
}

/* --- the run itself --- */

static void put_cost(struct csl_report *p, const char *name, const char *text)
{
    csl_buf_str(p->out, "<div><dt>");
    csl_report__text(p, name);
    csl_buf_str(p->out, "</dt><dd>");
    csl_report__text(p, text);
    csl_buf_str(p->out, "</dd></div>");
}

static void put_costs(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    const struct {
        const char *name;
        uint64_t bytes;
    } sizes[] = {{"Sent by sites", r->bytes_up},
                 {"Sent to sites", r->bytes_down},
                 {"Peak memory", r->peak_rss_bytes}};
    const struct {
        const char *name;
        double seconds;
    } times[] = {{"Time", r->wall_s}, {"CPU time", r->cpu_s}};
    char text[64];
    csl_report__section(p, "run", "What the run cost");
    csl_buf_str(p->out, "<dl class=\"facts\">");
    for (size_t i = 0; i < 2; i++) {
        csl_str_duration(text, sizeof(text), (uint64_t)(times[i].seconds * 1e9));
        put_cost(p, times[i].name, times[i].seconds > 0 ? text : "not measured");
    }
    for (size_t i = 0; i < 3; i++) {
        csl_str_bytes(text, sizeof(text), sizes[i].bytes);
        put_cost(p, sizes[i].name, sizes[i].bytes > 0 ? text : "not measured");
    }
    csl_buf_str(p->out, "</dl>\n");
    if (r->wall_s > 0)
        csl_buf_str(p->out, "<p class=\"note\">Everything ran on one machine, baselines and "
                            "intervals included; time in a network of hospitals is another "
                            "matter.</p>\n");
    csl_report__end_section(p);
}

static void put_missing_metrics(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    for (uint32_t d = 0; d < r->domain_count; d++) {
        const char *metric = csl_headline(r->domains[d].task)[0];
        for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
            const struct csl_metrics *m = csl_evaluation_cell(&r->federated, s, d);
            if (csl_metrics_find(m, metric) != NULL)
                continue;
            csl_buf_str(p->out, "<li>");
            csl_report__text(p, csl_metric_title(metric));
            csl_buf_str(p->out, " of ");
            csl_report__text(p, r->domains[d].id);
            csl_buf_str(p->out, " at ");
            csl_report__text(p, r->sites[s].id);
            csl_buf_str(p->out, m->examples == 0 ? ": no test patients with a known label.</li>"
                                                 : ": its test patients are all of one kind.</li>");
        }
    }
}

static void put_missing_privacy(struct csl_report *p)
{
    struct csl_result_spent spent;
    csl_buf_str(p->out, "<li>Losses and metrics by round: the sites keep them, because the promise "
                        "does not cover them.</li>");
    if (!csl_result_spent(p->r, &spent))
        csl_buf_str(p->out, "<li>Privacy loss: no site kept a ledger.</li>");
    else if (!spent.has_audit)
        csl_buf_str(p->out, "<li>Lower bound of the privacy loss: no audit was asked for.</li>");
}

static void put_missing(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    csl_report__section(p, "missing", "What was not measured");
    csl_buf_str(p->out, "<ul>");
    if (csl_result_has_privacy(r))
        put_missing_privacy(p);
    else
        csl_buf_str(p->out, "<li>Privacy loss: no noise was added and no budget was kept.</li>"
                            "<li>Ledger: nothing was entered, because nothing was charged.</li>");
    if (r->group_count == 0 && r->fairness.asked.attribute_count > 0)
        csl_buf_str(p->out, "<li>Patient groups: none is large enough to be shown, so nothing is "
                            "known about unequal quality between groups.</li>");
    else if (r->group_count == 0)
        csl_buf_str(p->out, "<li>Patient groups: the record files name no demographic attribute, "
                            "so nothing is known about unequal quality between groups.</li>");
    if (!r->baselines.is_present) {
        csl_buf_str(p->out, "<li>Local and pooled training: ");
        csl_report__text(p, r->baselines.reason);
        csl_buf_str(p->out, ".</li>");
    } else if (!r->baselines.has_pooled_training) {
        csl_buf_str(p->out, "<li>Training on all records in one place: ");
        csl_report__text(p, r->baselines.pooled_reason);
        csl_buf_str(p->out, ".</li>");
    }
    if (r->baselines.is_present && !r->baselines.has_ensemble)
        csl_buf_printf(p->out,
                       "<li>Best local model and ensemble: local models are tried at every other "
                       "site only in federations of at most %d sites.</li>",
                       CSL_CROSS_SITES_MAX);
    if (r->repeats.count == 0)
        csl_buf_str(p->out, "<li>Spread over seeds: the study ran once.</li>");
    put_missing_metrics(p);
    if (r->external != NULL || r->transfer.models[CSL_TRANSFER_LEFT_OUT].pooled != NULL)
        csl_buf_str(p->out, "<li>Use on patients of another time: every figure is of held-out "
                            "patients of the same years.</li></ul>\n");
    else
        csl_buf_str(p->out, "<li>Use on patients of another time or hospital: every figure is of "
                            "held-out patients of the same sites.</li></ul>\n");
    csl_report__end_section(p);
}

static void put_methods(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    csl_report__section(p, "methods", "Methods");
    csl_buf_str(
        p->out,
        "<p>Test patients were set aside before training, patient by patient. Intervals cover "
        "95 %: of the AUC after DeLong with a logit transform (after Wilson where a class has one "
        "member), of proportions after Wilson, of everything else by 1,000 bootstrap resamples of "
        "test records (percentiles; of the ECE the basic interval, because chance raises an ECE "
        "on average: its interval can lie below the value); of a difference between "
        "patient groups the value plus and minus what such a difference is by chance in 95 % of "
        "resamples; of a mean over sites by a "
        "normal approximation from the intervals of its sites. They describe the sampling of test "
        "patients for this one model. Means are taken site by site, then domain by domain, each "
        "counted once; pooled figures join all test records, so large sites count more.</p>"
        "<p>Accuracy, sensitivity and specificity decide at a probability of one half. A metric "
        "that cannot be computed, such as the AUC of patients who all have the disease, is left "
        "out and never counted as zero.</p><p>To repeat this run:</p><pre><code>consilium simulate "
        "study.yaml --seed ");
    csl_buf_printf(p->out, "%llu --transport ", (unsigned long long)r->seed);
    csl_report__text(p, r->transport);
    csl_buf_str(p->out, "</code></pre>\n");
    csl_report__end_section(p);
}

void csl_report__run(struct csl_report *p)
{
    put_costs(p);
    put_missing(p);
    put_methods(p);
}
