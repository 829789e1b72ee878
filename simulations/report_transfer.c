/* simulations/report_transfer.c - the model beyond its sites and its form: each site's own version
 * of it, sites left out of training, and those sites with a few labelled patients. */
#include "simulations/report_parts.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define COLUMNS_MAX 8
#define SERIES      3
#define POINTS      (CSL_FEW_LEVELS + 1)

/* A way to a model for each site. */
struct column {
    const char *title;
    const struct csl_evaluation *evaluation;    /* NULL: the site's local model on its own */
    const struct csl_evaluation_spread *spread; /* over seeds; NULL or empty: none */
};
struct columns {
    struct column items[COLUMNS_MAX];
    uint32_t count;
};

static void add_column(struct columns *c, const char *title, const struct csl_evaluation *e,
                       const struct csl_evaluation_spread *s)
{
    CSL_ASSERT(c->count < COLUMNS_MAX);
    c->items[c->count++] = (struct column){title, e, s};
}

static void add_transfer(struct columns *c, const struct csl_result *r, enum csl_transfer t)
{
    if (r->transfer.models[t].pooled != NULL)
        add_column(c, csl_transfer_title(t), &r->transfer.models[t], &r->repeats.transfer[t]);
}

static const struct csl_metric *metric_at(const struct csl_result *r, const struct column *c,
                                          uint32_t site, uint32_t domain, const char *metric)
{
    const struct csl_metrics *m =
        c->evaluation != NULL         ? csl_evaluation_cell(c->evaluation, site, domain)
        : r->baselines.locals != NULL ? &r->baselines.locals[site].own[domain]
                                      : NULL;
    return m != NULL ? csl_metrics_find(m, metric) : NULL;
}

static bool mean_of(const struct csl_result *r, const struct column *c, uint32_t domain,
                    const char *metric, struct csl_mean *out)
{
    return c->evaluation != NULL ? csl_evaluation_mean(c->evaluation, domain, metric, out)
                                 : csl_result_own_mean(r, domain, metric, out);
}

static const struct csl_spread *spread_at(const struct csl_evaluation_spread *s, uint32_t site,
                                          uint32_t domain, const char *metric)
{
    if (s == NULL || s->cells == NULL)
        return NULL;
    return csl_spread_find(&s->cells[(size_t)site * s->domain_count + domain], metric);
}

/* A mean of fewer sites than the others is no figure beside theirs: that is said. */
static void put_fewer(struct csl_report *p, const struct columns *c, uint32_t domain,
                      const char *metric)
{
    struct csl_mean mean;
    uint32_t most = 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (mean_of(p->r, &c->items[i], domain, metric, &mean) && mean.count > most)
            most = mean.count;
    for (uint32_t i = 0; i < c->count; i++) {
        if (!mean_of(p->r, &c->items[i], domain, metric, &mean) || mean.count == most)
            continue;
        csl_buf_str(p->out, "<p class=\"note\">");
        csl_report__text(p, c->items[i].title);
        csl_buf_printf(p->out,
                       ": the mean is over %u of the %u sites and not to be held against the "
                       "others.</p>\n",
                       mean.count, most);
    }
}

static void put_head(struct csl_report *p, const struct columns *c, const char *caption)
{
    csl_report__table(p, caption);
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Site</th>");
    for (uint32_t i = 0; i < c->count; i++) {
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, c->items[i].title);
        csl_buf_str(p->out, "</th>");
    }
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
}

/* A site without a test record of the domain has nothing to show there. */
static bool is_shown(const struct csl_result *r, uint32_t site, uint32_t domain)
{
    return csl_evaluation_cell(&r->federated, site, domain)->examples > 0;
}

static void put_site_name(struct csl_report *p, uint32_t site, uint32_t domain)
{
    const struct csl_result *r = p->r;
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    csl_report__text(p, r->sites[site].id);
    csl_report__few(p, csl_evaluation_cell(&r->federated, site, domain), r->domains[domain].task);
    csl_buf_str(p->out, "</th>");
}

/* Sites by columns, and their mean. */
static void put_table(struct csl_report *p, const struct columns *c, uint32_t domain,
                      const char *metric, const char *what)
{
    const struct csl_result *r = p->r;
    struct csl_report_scale scale = {0};
    struct csl_mean mean = {0};
    char caption[400];
    for (uint32_t i = 0; i < c->count; i++)
        for (uint32_t s = 0; s < r->site_count; s++)
            csl_report__scale_add(&scale, metric_at(r, &c->items[i], s, domain, metric));
    csl_report__scale_end(&scale);
    (void)snprintf(caption, sizeof(caption),
                   "%s %s, with 95 %% intervals; bars run from %.1f to %.1f.",
                   csl_metric_title(metric), what, scale.min, scale.max);
    put_head(p, c, caption);
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        if (!is_shown(r, s, domain))
            continue;
        put_site_name(p, s, domain);
        for (uint32_t i = 0; i < c->count; i++)
            csl_report__metric_cell(p, metric_at(r, &c->items[i], s, domain, metric),
                                    r->sites[s].id, &scale);
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "<tr class=\"sum\"><th scope=\"row\">Mean over sites</th>");
    for (uint32_t i = 0; i < c->count; i++) {
        bool is_measured = mean_of(r, &c->items[i], domain, metric, &mean);
        csl_report__mean_cell(p, &mean, is_measured, c->items[i].title, &scale);
    }
    csl_buf_str(p->out, "</tr>\n</tbody>");
    csl_report__end_table(p);
    put_fewer(p, c, domain, metric);
}

/* The same over seeds; the local models' spread is among the repeats. */
static void put_spreads(struct csl_report *p, const struct columns *c, uint32_t domain,
                        const char *metric)
{
    const struct csl_result *r = p->r;
    struct columns shown = {.count = 0};
    char caption[240];
    for (uint32_t i = 0; i < c->count; i++)
        if (c->items[i].spread != NULL && c->items[i].spread->pooled != NULL)
            shown.items[shown.count++] = c->items[i];
    if (r->repeats.count == 0 || shown.count == 0)
        return;
    (void)snprintf(caption, sizeof(caption),
                   "%s over %u seeds: mean \xc2\xb1 sample standard deviation.",
                   csl_metric_title(metric), r->repeats.count);
    put_head(p, &shown, caption);
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        if (!is_shown(r, s, domain))
            continue;
        csl_buf_str(p->out, "<tr><th scope=\"row\">");
        csl_report__text(p, r->sites[s].id);
        csl_buf_str(p->out, "</th>");
        for (uint32_t i = 0; i < shown.count; i++)
            csl_report__spread_cell(p, spread_at(shown.items[i].spread, s, domain, metric));
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "<tr class=\"sum\"><th scope=\"row\">Mean over sites</th>");
    for (uint32_t i = 0; i < shown.count; i++)
        csl_report__spread_cell(p, csl_spread_find(&shown.items[i].spread->means[domain], metric));
    csl_buf_str(p->out, "</tr>\n</tbody>");
    csl_report__end_table(p);
}

static void put_domain_name(struct csl_report *p, uint32_t domain)
{
    if (p->r->domain_count == 1)
        return;
    csl_buf_str(p->out, "<h3>");
    csl_report__text(p, p->r->domains[domain].id);
    csl_buf_str(p->out, "</h3>\n");
}

static void put_absent(struct csl_report *p, const char *reason)
{
    csl_buf_str(p->out, "<p class=\"note\">Not measured: ");
    csl_report__text(p, reason);
    csl_buf_str(p->out, ".</p>\n");
}

static void put_kept(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        if (!r->transfer.keeps[s * r->domain_count + domain] || !is_shown(r, s, domain))
            continue;
        csl_buf_str(p->out, "<p class=\"note\">");
        csl_report__text(p, r->sites[s].id);
        csl_buf_str(p->out, " keeps the released model: from its training patients nothing can be "
                            "learned.</p>\n");
    }
}

void csl_report__personal(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    const struct csl_result_transfer *t = &r->transfer;
    if (!t->asks_personal)
        return;
    csl_report__section(p, "personal", "Each site's own version of the model");
    csl_buf_str(p->out, "<p>" CSL_PERSONAL_WORDS "</p>\n<p class=\"note\">Fitted with ");
    csl_report__text(p, t->training);
    csl_buf_str(p->out, ".");
    if (t->lambda > 0)
        csl_buf_printf(p->out,
                       " Ditto adds half of %g times the squared distance from the released model "
                       "to the loss (Li et al. 2021).",
                       t->lambda);
    csl_buf_str(p->out, "</p>\n");
    if (t->personal_reason[0] != 0)
        put_absent(p, t->personal_reason);
    for (uint32_t d = 0; t->personal_reason[0] == 0 && d < r->domain_count; d++) {
        struct columns c = {.count = 0};
        add_column(&c, "As released", &r->federated, &r->repeats.federated);
        for (int m = 0; m < CSL_PERSONAL_COUNT; m++)
            add_transfer(&c, r, (enum csl_transfer)m);
        if (r->baselines.is_present)
            add_column(&c, "Site alone", NULL, NULL);
        put_domain_name(p, d);
        for (const char *const *m = csl_headline(r->domains[d].task); *m != NULL; m++) {
            put_table(p, &c, d, *m, "of each site's model on that site's own test patients");
            put_spreads(p, &c, d, *m);
        }
        put_kept(p, d);
    }
    csl_report__end_section(p);
}

/* --- few patients --- */

/* Mean over seeds where there are several, else of the run shown; false: not measured. */
static bool value_of(const struct csl_result *r, enum csl_transfer t, uint32_t site,
                     uint32_t domain, const char *metric, double *out)
{
    const struct csl_evaluation *e = &r->transfer.models[t];
    const struct csl_spread *s = spread_at(&r->repeats.transfer[t], site, domain, metric);
    const struct csl_metric *m =
        e->pooled != NULL ? csl_metrics_find(csl_evaluation_cell(e, site, domain), metric) : NULL;
    if (s == NULL && m == NULL)
        return false;
    *out = s != NULL ? s->mean : m->value;
    return true;
}

struct few {
    double x[POINTS], y[SERIES][POINTS]; /* global, its head fitted, the site alone */
    uint32_t sites;                      /* that have every figure */
};

/* Adds one site if it has every figure, so that all points rest on the same sites. */
static void add_site(struct few *f, const struct csl_result *r, uint32_t site, uint32_t domain,
                     const char *metric)
{
    double global, head[CSL_FEW_LEVELS], local[CSL_FEW_LEVELS];
    bool is_whole = value_of(r, CSL_TRANSFER_LEFT_OUT, site, domain, metric, &global);
    for (int l = 0; l < CSL_FEW_LEVELS && is_whole; l++)
        is_whole = value_of(r, (enum csl_transfer)(CSL_TRANSFER_FEW_HEAD + l), site, domain, metric,
                            &head[l]) &&
                   value_of(r, (enum csl_transfer)(CSL_TRANSFER_FEW_LOCAL + l), site, domain,
                            metric, &local[l]);
    if (!is_whole)
        return;
    f->sites++;
    f->y[0][0] += global;
    f->y[1][0] += global;
    for (int l = 0; l < CSL_FEW_LEVELS; l++) {
        f->y[0][l + 1] += global;
        f->y[1][l + 1] += head[l];
        f->y[2][l + 1] += local[l];
    }
}

static void put_few_chart(struct csl_report *p, uint32_t domain, const char *metric)
{
    static const char *const labels[] = {"0", "8", "32", "64"};
    const struct csl_result *r = p->r;
    struct few f = {.sites = 0};
    char title[160], description[320];
    for (uint32_t s = 0; s < r->site_count; s++)
        add_site(&f, r, s, domain, metric);
    bool is_finite = f.sites > 0;
    for (int i = 0; i < POINTS; i++) {
        f.x[i] = i == 0 ? 0 : csl_few_levels[i - 1];
        for (int s = 0; s < SERIES; s++)
            is_finite = is_finite && isfinite(f.y[s][i] /= f.sites);
    }
    if (!is_finite)
        return;
    const struct csl_svg_series series[SERIES] = {
        {"global model as it is", 8, POINTS, f.x, f.y[0], NULL, NULL},
        {"global model, head fitted at the site", 0, POINTS, f.x, f.y[1], NULL, NULL},
        {"the site alone", 1, CSL_FEW_LEVELS, f.x + 1, f.y[2] + 1, NULL, NULL}};
    (void)snprintf(title, sizeof(title), "%s at a new site", csl_metric_title(metric));
    (void)snprintf(description, sizeof(description),
                   "Mean over %u sites. Without labels the global model has %.3f. With at most 64 "
                   "labelled patients of each class its fitted head has %.3f, the site alone %.3f.",
                   f.sites, f.y[0][0], f.y[1][POINTS - 1], f.y[2][POINTS - 1]);
    const struct csl_svg_chart chart = {.id = p->next_id++,
                                        .title = title,
                                        .description = description,
                                        .x_label = "labelled patients of each class, at most",
                                        .y_label = "mean over the sites with every figure",
                                        .series = series,
                                        .series_count = SERIES,
                                        .ticks = f.x,
                                        .tick_labels = labels,
                                        .tick_count = POINTS};
    csl_buf_str(p->out, "<div class=\"charts small\">");
    csl_svg_chart(p->out, &chart);
    csl_buf_str(p->out, "</div>\n");
}

static void put_labelled(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    csl_buf_str(p->out, "<p class=\"note\">Labelled patients used: ");
    const char *between = "";
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        if (!is_shown(r, s, domain))
            continue;
        csl_buf_str(p->out, between);
        between = "; ";
        csl_report__text(p, r->sites[s].id);
        for (uint32_t l = 0; l < CSL_FEW_LEVELS; l++) {
            size_t at = ((size_t)l * r->site_count + s) * r->domain_count + domain;
            csl_buf_printf(p->out, "%s %u", l > 0 ? "," : "", r->transfer.labelled[at]);
        }
    }
    csl_buf_str(p->out,
                ". A class of which the site has fewer patients gives all it has. Heads and "
                "models of the site alone make as many steps as with all its patients. "
                "Scales of features, where the study takes them from the site, come from "
                "all its training patients, whose labels they do not need. Where the "
                "patients are all of one kind the head stays as it is, and the site has "
                "no model of its own.</p>\n");
}

static void put_few(struct csl_report *p, uint32_t domain, const char *metric)
{
    const struct csl_result *r = p->r;
    struct columns heads = {.count = 0}, locals = {.count = 0};
    add_transfer(&heads, r, CSL_TRANSFER_LEFT_OUT);
    for (int l = 0; l < CSL_FEW_LEVELS; l++) {
        add_transfer(&heads, r, (enum csl_transfer)(CSL_TRANSFER_FEW_HEAD + l));
        add_transfer(&locals, r, (enum csl_transfer)(CSL_TRANSFER_FEW_LOCAL + l));
    }
    if (heads.count < 2 || locals.count == 0)
        return;
    csl_buf_str(p->out, "<h3>With a few labelled patients</h3>\n");
    put_few_chart(p, domain, metric);
    put_table(p, &heads, domain, metric,
              "of the model trained without the site, as it is and with its head fitted to at most "
              "so many labelled patients of each class");
    put_spreads(p, &heads, domain, metric);
    put_table(p, &locals, domain, metric, "of what the site makes of the same patients alone");
    put_spreads(p, &locals, domain, metric);
    put_labelled(p, domain);
}

void csl_report__left_out(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    const struct csl_result_transfer *t = &r->transfer;
    if (!t->asks_left_out)
        return;
    csl_report__section(p, "left-out", "Sites left out of training");
    csl_buf_str(p->out, "<p>The study was run again once for each site, without that site, and the "
                        "model judged on the test patients of the site that had no part in it: "
                        "what a hospital that joins later may expect.</p>\n");
    if (t->left_out_reason[0] != 0)
        put_absent(p, t->left_out_reason);
    for (uint32_t d = 0; t->left_out_reason[0] == 0 && d < r->domain_count; d++) {
        struct columns c = {.count = 0};
        add_column(&c, "Trained with it", &r->federated, &r->repeats.federated);
        add_transfer(&c, r, CSL_TRANSFER_LEFT_OUT);
        if (r->baselines.is_present)
            add_column(&c, "Site alone", NULL, NULL);
        put_domain_name(p, d);
        for (const char *const *m = csl_headline(r->domains[d].task); *m != NULL; m++) {
            put_table(p, &c, d, *m, "at each site, with and without it in training");
            put_spreads(p, &c, d, *m);
        }
        if (t->asks_few)
            put_few(p, d, csl_headline(r->domains[d].task)[0]);
    }
    csl_report__end_section(p);
}
