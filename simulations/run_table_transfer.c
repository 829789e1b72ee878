/* simulations/run_table_transfer.c - sites by models of their own, sites left out of training, and
 * those with a few labelled patients. */
#include "simulations/run_table_parts.h"

#include <stdio.h>

#include "base/banned.h"

#define COLUMNS_MAX 7

/* Titles fit a column; a NULL evaluation is the site's local model. */
struct columns {
    const char *titles[COLUMNS_MAX];
    const struct csl_evaluation *evaluations[COLUMNS_MAX];
    const struct csl_evaluation_spread *spreads[COLUMNS_MAX];
    uint32_t count;
};

static void add(struct columns *c, const char *title, const struct csl_evaluation *e,
                const struct csl_evaluation_spread *s)
{
    c->titles[c->count] = title;
    c->evaluations[c->count] = e;
    c->spreads[c->count++] = s;
}

static void add_transfer(struct columns *c, const struct csl_result *r, enum csl_transfer t)
{
    if (r->transfer.models[t].pooled != NULL)
        add(c, csl_transfer_title(t), &r->transfer.models[t], &r->repeats.transfer[t]);
}

static const struct csl_metrics *cell_of(const struct csl_result *r, const struct columns *c,
                                         uint32_t column, uint32_t site, uint32_t domain)
{
    return c->evaluations[column] != NULL
               ? csl_evaluation_cell(c->evaluations[column], site, domain)
               : &r->baselines.locals[site].own[domain];
}

static void put_heading(struct csl_buf *out, const struct csl_result *r, const struct columns *c,
                        uint32_t domain, const char *metric, const char *more)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "%s, %s%s", r->domains[domain].id, csl_metric_title(metric),
                   more);
    csl_buf_printf(out, "\n  %-*s", CSL_TABLE_NAME_WIDTH, name);
    for (uint32_t i = 0; i < c->count; i++)
        csl_buf_printf(out, "%-*s", CSL_TABLE_VALUE_WIDTH, c->titles[i]);
    csl_table__end_line(out);
}

/* A site without a test record of the domain has nothing to show there. */
static bool is_shown(const struct csl_result *r, uint32_t site, uint32_t domain)
{
    return csl_evaluation_cell(&r->federated, site, domain)->examples > 0;
}

static void put_table(struct csl_buf *out, const struct csl_result *r, const struct columns *c,
                      uint32_t domain, const char *metric)
{
    put_heading(out, r, c, domain, metric, "");
    for (uint32_t s = 0; s < r->site_count && s < CSL_TABLE_SITES_SHOWN; s++) {
        if (!is_shown(r, s, domain))
            continue;
        csl_table__name(out, r->sites[s].id);
        for (uint32_t i = 0; i < c->count; i++)
            csl_table__metric(out, csl_metrics_find(cell_of(r, c, i, s, domain), metric));
        csl_table__end_line(out);
    }
    csl_table__name(out, "mean over the sites it has");
    for (uint32_t i = 0; i < c->count; i++) {
        struct csl_mean mean = {0};
        bool is_measured = c->evaluations[i] != NULL
                               ? csl_evaluation_mean(c->evaluations[i], domain, metric, &mean)
                               : csl_result_own_mean(r, domain, metric, &mean);
        csl_table__mean(out, is_measured, &mean);
    }
    csl_table__end_line(out);
}

static void put_kept(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    for (uint32_t s = 0; s < r->site_count && s < CSL_TABLE_SITES_SHOWN; s++)
        if (r->transfer.keeps[s * r->domain_count + domain] && is_shown(r, s, domain))
            csl_buf_printf(out, "  %s keeps the released model: nothing can be learned there.\n",
                           r->sites[s].id);
}

static void put_repeats(struct csl_buf *out, const struct csl_result *r, const struct columns *all,
                        uint32_t domain, const char *metric)
{
    struct columns c = {.count = 0};
    char more[40];
    for (uint32_t i = 0; i < all->count; i++)
        if (all->spreads[i] != NULL && all->spreads[i]->cells != NULL)
            add(&c, all->titles[i], all->evaluations[i], all->spreads[i]);
    if (r->repeats.count == 0 || c.count == 0)
        return;
    (void)snprintf(more, sizeof(more), ", %u seeds", r->repeats.count);
    put_heading(out, r, &c, domain, metric, more);
    for (uint32_t s = 0; s < r->site_count && s < CSL_TABLE_SITES_SHOWN; s++) {
        if (!is_shown(r, s, domain))
            continue;
        csl_table__name(out, r->sites[s].id);
        for (uint32_t i = 0; i < c.count; i++)
            csl_table__spread(out, &c.spreads[i]->cells[(size_t)s * r->domain_count + domain],
                              metric);
        csl_table__end_line(out);
    }
    csl_table__name(out, "mean over sites");
    for (uint32_t i = 0; i < c.count; i++)
        csl_table__spread(out, &c.spreads[i]->means[domain], metric);
    csl_table__end_line(out);
}

/* By every headline metric, or the first one alone. */
static void put_tables(struct csl_buf *out, const struct csl_result *r, const struct columns *c,
                       uint32_t domain, bool is_first_only)
{
    const char *const *metrics = csl_headline(r->domains[domain].task);
    for (uint32_t i = 0; metrics[i] != NULL && (i == 0 || !is_first_only); i++) {
        put_table(out, r, c, domain, metrics[i]);
        put_repeats(out, r, c, domain, metrics[i]);
    }
}

static void put_few(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    struct columns c = {.count = 0};
    for (int t = CSL_TRANSFER_FEW_HEAD; t < CSL_TRANSFER_COUNT; t++)
        add_transfer(&c, r, (enum csl_transfer)t);
    if (c.count > 0)
        put_tables(out, r, &c, domain, true);
}

static void put_external(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    const struct csl_result *x = r->external;
    const char *const *metrics = csl_headline(r->domains[domain].task);
    char name[128];
    (void)snprintf(name, sizeof(name), "%s, sites that never trained", r->domains[domain].id);
    csl_buf_printf(out, "\n  %-*s", CSL_TABLE_NAME_WIDTH, name);
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_buf_printf(out, "%-*s", CSL_TABLE_VALUE_WIDTH, csl_metric_title(metrics[i]));
    csl_table__end_line(out);
    for (uint32_t s = 0; s <= x->site_count && s <= CSL_TABLE_SITES_SHOWN; s++) {
        if (s == 1 && x->site_count == 1)
            break;
        bool is_mean = s == x->site_count || s == CSL_TABLE_SITES_SHOWN;
        csl_table__name(out, is_mean ? "mean over them" : x->sites[s].id);
        for (uint32_t i = 0; metrics[i] != NULL; i++) {
            struct csl_mean mean = {0};
            if (!is_mean)
                csl_table__metric(
                    out,
                    csl_metrics_find(csl_evaluation_cell(&x->federated, s, domain), metrics[i]));
            else
                csl_table__mean(out, csl_evaluation_mean(&x->federated, domain, metrics[i], &mean),
                                &mean);
        }
        csl_table__end_line(out);
    }
}

void csl_table__transfer(struct csl_buf *out, const struct csl_result *r)
{
    const struct csl_result_transfer *t = &r->transfer;
    for (uint32_t d = 0; r->external != NULL && d < r->domain_count; d++)
        put_external(out, r, d);
    for (uint32_t d = 0; t->asks_personal && d < r->domain_count; d++) {
        struct columns c = {.count = 0};
        add(&c, "As released", &r->federated, &r->repeats.federated);
        for (int m = 0; m < CSL_PERSONAL_COUNT; m++)
            add_transfer(&c, r, (enum csl_transfer)m);
        if (r->baselines.is_present)
            add(&c, "Site alone", NULL, NULL);
        put_tables(out, r, &c, d, false);
        put_kept(out, r, d);
    }
    if (t->asks_personal)
        csl_table__text(out, CSL_PERSONAL_WORDS);
    for (uint32_t d = 0; t->asks_left_out && d < r->domain_count; d++) {
        struct columns c = {.count = 0};
        add(&c, "Trained with it", &r->federated, &r->repeats.federated);
        add_transfer(&c, r, CSL_TRANSFER_LEFT_OUT);
        if (r->baselines.is_present)
            add(&c, "Site alone", NULL, NULL);
        put_tables(out, r, &c, d, false);
        if (t->asks_few)
            put_few(out, r, d);
    }
}
