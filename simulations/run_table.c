/* simulations/run_table.c - sites by headline metrics, the alternatives, and what privacy cost. */
#include "simulations/run_table.h"
#include "simulations/run_table_parts.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NAME_WIDTH  CSL_TABLE_NAME_WIDTH
#define VALUE_WIDTH CSL_TABLE_VALUE_WIDTH
#define SITES_SHOWN CSL_TABLE_SITES_SHOWN

static void put_metrics(struct csl_buf *out, const char *name, const struct csl_metrics *m,
                        const char *const *metrics)
{
    csl_table__name(out, name);
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_table__metric(out, csl_metrics_find(m, metrics[i]));
    csl_buf_printf(out, "%llu\n", (unsigned long long)m->examples);
}

/* The same figures by label, where there are several. */
static void put_labels(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    char name[CSL_ID_MAX + 8];
    for (uint32_t i = 0; i < r->labels.count; i++) {
        if (r->labels.items[i].domain != domain)
            continue;
        (void)snprintf(name, sizeof(name), "label %s", r->labels.items[i].name);
        put_metrics(out, name, &r->labels.items[i].metrics, csl_headline(r->domains[domain].task));
    }
}

static void put_domain(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    const char *const *metrics = csl_headline(r->domains[domain].task);
    csl_buf_printf(out, "\n  %-*s", NAME_WIDTH, r->domains[domain].id);
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_buf_printf(out, "%-*s", VALUE_WIDTH, csl_metric_title(metrics[i]));
    csl_buf_str(out, "test records\n");
    for (uint32_t s = 0; s < r->site_count && s < SITES_SHOWN; s++)
        if (csl_evaluation_cell(&r->federated, s, domain)->examples > 0)
            put_metrics(out, r->sites[s].id, csl_evaluation_cell(&r->federated, s, domain),
                        metrics);
    if (r->site_count > SITES_SHOWN)
        csl_buf_printf(out, "  ... %u more sites in metrics.csv\n", r->site_count - SITES_SHOWN);
    put_metrics(out, "all test records together", &r->federated.pooled[domain], metrics);
    csl_table__name(out, "mean over sites");
    for (uint32_t i = 0; metrics[i] != NULL; i++) {
        struct csl_mean mean = {0};
        bool is_measured = csl_evaluation_mean(&r->federated, domain, metrics[i], &mean);
        csl_table__mean(out, is_measured, &mean);
    }
    csl_table__end_line(out);
    put_labels(out, r, domain);
}

static void put_rival(struct csl_buf *out, const char *name, const struct csl_evaluation *e,
                      uint32_t domain, const char *metric)
{
    struct csl_mean mean = {0};
    csl_table__name(out, name);
    csl_table__metric(out, csl_metrics_find(&e->pooled[domain], metric));
    csl_table__mean(out, csl_evaluation_mean(e, domain, metric, &mean), &mean);
    csl_table__end_line(out);
}

static void put_rivals(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    const struct csl_result_baselines *b = &r->baselines;
    const char *metric = csl_headline(r->domains[domain].task)[0];
    struct csl_mean mean = {0};
    char name[128];
    (void)snprintf(name, sizeof(name), "%s%s%s", r->domain_count > 1 ? r->domains[domain].id : "",
                   r->domain_count > 1 ? ", " : "", csl_metric_title(metric));
    csl_buf_printf(out, "\n  %-*s%-*s%s\n", NAME_WIDTH, name, VALUE_WIDTH, "all test records",
                   "mean over sites");
    put_rival(out, "federated", &r->federated, domain, metric);
    csl_table__name(out, "each site alone, own patients");
    csl_table__value(out, false, 0, false, 0, 0);
    bool is_measured = csl_result_own_mean(r, domain, metric, &mean);
    csl_table__mean(out, is_measured, &mean);
    csl_table__end_line(out);
    if (b->has_best_local && b->best_site[domain] != UINT32_MAX) {
        (void)snprintf(name, sizeof(name), "best local, %s (optimistic)",
                       r->sites[b->best_site[domain]].id);
        put_rival(out, name, &b->best_local, domain, metric);
    }
    if (b->has_ensemble)
        put_rival(out, "ensemble of local models", &b->ensemble, domain, metric);
    if (b->has_pooled_training)
        put_rival(out, "all records in one place", &b->pooled_training, domain, metric);
}

static void put_repeats(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    const struct csl_repeats *p = &r->repeats;
    const struct csl_evaluation_spread *e = &p->federated;
    const char *const *metrics = csl_headline(r->domains[domain].task);
    char name[128];
    (void)snprintf(name, sizeof(name), "%s, %u seeds", r->domains[domain].id, p->count);
    csl_buf_printf(out, "\n  %-*s", NAME_WIDTH, name);
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_buf_printf(out, "%-*s", VALUE_WIDTH, csl_metric_title(metrics[i]));
    csl_buf_str(out, "mean +- sd over seeds\n");
    for (uint32_t s = 0; e->cells != NULL && s < r->site_count && s < SITES_SHOWN; s++) {
        const struct csl_spread_set *set = &e->cells[(size_t)s * e->domain_count + domain];
        if (set->count == 0)
            continue;
        csl_table__name(out, r->sites[s].id);
        for (uint32_t i = 0; metrics[i] != NULL; i++)
            csl_table__spread(out, set, metrics[i]);
        csl_table__end_line(out);
    }
    csl_table__name(out, "all test records together");
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_table__spread(out, &e->pooled[domain], metrics[i]);
    csl_table__end_line(out);
    csl_table__name(out, "mean over sites");
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_table__spread(out, &e->means[domain], metrics[i]);
    csl_table__end_line(out);
}

/* --- privacy --- */

#define NUMBER_WIDTH 14

/* "-" where nothing was stated. */
static void put_number(struct csl_buf *out, double value)
{
    char text[32] = "-";
    if (value > 0)
        (void)snprintf(text, sizeof(text), "%.4g", value);
    csl_buf_printf(out, "%-*s", NUMBER_WIDTH, text);
}

static void put_epsilon(struct csl_buf *out, double epsilon)
{
    char text[32];
    csl_epsilon_text(text, sizeof(text), epsilon, true);
    csl_buf_printf(out, "%-*s", NUMBER_WIDTH, text);
}

static void put_site_privacy(struct csl_buf *out, const struct csl_result_site *s)
{
    const struct csl_result_privacy *p = &s->privacy;
    csl_table__name(out, s->id);
    if (!p->is_present) {
        csl_buf_str(out, "no ledger\n");
        return;
    }
    put_number(out, p->noise_multiplier);
    put_epsilon(out, p->epsilon);
    put_number(out, p->budget_epsilon);
    put_number(out, p->delta);
    csl_buf_printf(out, "%-*llu%s", NUMBER_WIDTH, (unsigned long long)p->entries,
                   p->is_verified ? "yes" : "NO");
    if (p->canaries > 0) {
        char text[32];
        csl_epsilon_text(text, sizeof(text), p->audit_epsilon_lower, false);
        csl_buf_printf(out, "; audit: at least %s", text);
    }
    csl_buf_str(out, "\n");
}

static void put_realised_row(struct csl_buf *out, const char *name, double epsilon,
                             const char *shares)
{
    csl_table__name(out, name);
    put_epsilon(out, epsilon);
    csl_buf_printf(out, "%s\n", shares);
}

static void put_realised(struct csl_buf *out, const struct csl_result_realised *p)
{
    char name[NAME_WIDTH + 1], shares[32];
    if (!p->is_present)
        return;
    csl_buf_printf(out, "\n  %-*s%-*sshares of noise\n", NAME_WIDTH, "sums that were opened",
                   NUMBER_WIDTH, "epsilon");
    csl_realised_shares(shares, sizeof(shares), p, 0);
    put_realised_row(out, "against the coordinator", p->coordinator, shares);
    csl_realised_shares(shares, sizeof(shares), p, p->colluding_sites);
    (void)snprintf(name, sizeof(name), "and %u colluding site%s", p->colluding_sites,
                   csl_str_plural(p->colluding_sites));
    put_realised_row(out, name, p->colluding, shares);
    (void)snprintf(shares, sizeof(shares), "%u", p->floor - p->colluding_sites);
    put_realised_row(out, "as planned, and charged", p->planned, shares);
    csl_table__text(out, CSL_REALISED_WORDS);
}

static void put_privacy(struct csl_buf *out, const struct csl_result *r)
{
    static const char *const heads[] = {"noise", "epsilon", "budget", "delta", "entries"};
    struct csl_result_spent spent;
    if (!csl_result_has_privacy(r))
        return;
    csl_buf_str(out, "\n");
    csl_table__text(out, csl_result_mode_words(r));
    if (!csl_result_spent(r, &spent)) {
        csl_buf_str(out, "  No site kept a ledger: nothing is known about the privacy loss.\n");
        return;
    }
    if (spent.is_rehearsal)
        csl_table__text(out, CSL_REHEARSAL_WORDS);
    csl_buf_printf(out, "\n  %-*s", NAME_WIDTH, "privacy");
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        csl_buf_printf(out, "%-*s", NUMBER_WIDTH, heads[i]);
    csl_buf_str(out, "verified\n");
    for (uint32_t s = 0; s < r->site_count && s < SITES_SHOWN; s++)
        put_site_privacy(out, &r->sites[s]);
    csl_table__name(out, "federation (largest of the sites)");
    put_number(out, 0);
    put_epsilon(out, spent.epsilon);
    put_number(out, 0);
    put_number(out, spent.delta);
    csl_buf_printf(out, "%-*llu%s\n", NUMBER_WIDTH, (unsigned long long)spent.entries,
                   spent.is_verified ? "yes" : "NO");
    put_realised(out, &r->realised);
}

static void put_price(struct csl_buf *out, const struct csl_result_price *p, uint32_t domain,
                      const char *const *metrics)
{
    const struct csl_evaluation_spread *e = &p->repeats.federated;
    char name[NAME_WIDTH + 1] = "without privacy";
    if (isfinite(p->epsilon))
        (void)snprintf(name, sizeof(name), "epsilon %g", p->epsilon);
    csl_table__name(out, name);
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_table__spread(out, &e->means[domain], metrics[i]);
    csl_table__spread(out, &e->pooled[domain], metrics[0]);
    csl_buf_printf(out, "%u\n", p->repeats.count);
}

static void put_prices(struct csl_buf *out, const struct csl_result *r, uint32_t domain)
{
    const char *const *metrics = csl_headline(r->domains[domain].task);
    char text[96];
    (void)snprintf(text, sizeof(text), "%s, price of privacy", r->domains[domain].id);
    csl_buf_printf(out, "\n  %-*s", NAME_WIDTH, text);
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_buf_printf(out, "%-*s", VALUE_WIDTH, csl_metric_title(metrics[i]));
    (void)snprintf(text, sizeof(text), "%s, pooled", csl_metric_title(metrics[0]));
    csl_buf_printf(out, "%-*sseeds\n", VALUE_WIDTH, text);
    for (uint32_t i = 0; i < r->price_count; i++)
        put_price(out, &r->prices[i], domain, metrics);
    csl_buf_str(out, "  Mean over sites, pooled: all test records together; mean +- sd over "
                     "seeds.\n");
}

void csl_run_table(const struct csl_result *r, struct csl_buf *out)
{
    char protection[128];
    csl_buf_printf(out, "%s: %s\n", r->study, r->question);
    csl_buf_printf(out, "  %s, %llu of %llu rounds, %u sites, seed %llu, %s%s\n", r->strategy,
                   (unsigned long long)r->rounds, (unsigned long long)r->rounds_planned,
                   r->site_count, (unsigned long long)r->seed, r->transport,
                   r->was_interrupted ? ", interrupted" : "");
    csl_result_protection(r, protection, sizeof(protection));
    csl_buf_printf(out, "  %s\n", protection);
    if (r->has_plain_sums)
        csl_table__text(out, CSL_PLAIN_SUMS_WORDS);
    csl_result_attack_words(r, out);
    csl_buf_str(out, "  Value (95 % interval) on test patients.\n");
    for (uint32_t d = 0; d < r->domain_count; d++)
        put_domain(out, r, d);
    for (uint32_t d = 0; r->baselines.is_present && d < r->domain_count; d++)
        put_rivals(out, r, d);
    for (uint32_t d = 0; r->repeats.count > 0 && d < r->domain_count; d++)
        put_repeats(out, r, d);
    csl_table__transfer(out, r);
    put_privacy(out, r);
    for (uint32_t d = 0; r->price_count > 0 && d < r->domain_count; d++)
        put_prices(out, r, d);
}
