/* simulations/result_json.c - summary.json. */
#include "simulations/result_parts.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

void csl_result__put_metrics(struct csl_json *j, const struct csl_metrics *m)
{
    csl_json_put_u64(j, "examples", m->examples);
    if (m->positives > 0)
        csl_json_put_u64(j, "positives", m->positives);
    csl_json_key(j, "metrics");
    csl_json_object(j);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct csl_metric *item = &m->items[i];
        csl_json_key(j, item->name);
        csl_json_object(j);
        csl_json_put_f64(j, "value", item->value);
        if (item->method != NULL) {
            csl_json_put_f64(j, "low", item->low);
            csl_json_put_f64(j, "high", item->high);
            csl_json_put_str(j, "method", item->method);
        }
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_mean(struct csl_json *j, const struct csl_mean *m)
{
    csl_json_key(j, m->name);
    csl_json_object(j);
    csl_json_put_f64(j, "value", m->value);
    csl_json_put_u64(j, "count", m->count);
    if (m->has_interval) {
        csl_json_put_f64(j, "low", m->low);
        csl_json_put_f64(j, "high", m->high);
        csl_json_put_str(j, "method", "normal");
    }
    csl_json_end(j);
}

/* "mean_over_sites": plain numbers; "mean_over_sites_intervals": the same with their intervals. */
static void put_means(struct csl_json *j, const struct csl_evaluation *e, bool is_overall,
                      uint32_t domain)
{
    for (int pass = 0; pass < 2; pass++) {
        csl_json_key(j, pass == 0 ? "mean_over_sites" : "mean_over_sites_intervals");
        csl_json_object(j);
        for (const char *const *name = csl_metric_names(); *name != NULL; name++) {
            struct csl_mean mean;
            if (!(is_overall ? csl_evaluation_overall(e, *name, &mean)
                             : csl_evaluation_mean(e, domain, *name, &mean)))
                continue;
            if (pass == 0)
                csl_json_put_f64(j, mean.name, mean.value);
            else
                put_mean(j, &mean);
        }
        csl_json_end(j);
    }
}

static void put_cells(struct csl_json *j, const struct csl_result *r,
                      const struct csl_evaluation *e, uint32_t domain)
{
    csl_json_key(j, "sites");
    csl_json_array(j);
    for (uint32_t s = 0; s < e->site_count; s++) {
        const struct csl_metrics *m = csl_evaluation_cell(e, s, domain);
        if (m->examples == 0)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "id", r->sites[s].id);
        csl_result__put_metrics(j, m);
        csl_json_end(j);
    }
    csl_json_end(j);
}

/* Members "domains", "mean_over_sites" and, of a study with one domain, "pooled". */
void csl_result__put_evaluation(struct csl_json *j, const struct csl_result *r,
                                const struct csl_evaluation *e)
{
    csl_json_key(j, "domains");
    csl_json_array(j);
    for (uint32_t d = 0; d < e->domain_count; d++) {
        const struct csl_result_domain *domain = &r->domains[d];
        csl_json_object(j);
        csl_json_put_str(j, "id", domain->id);
        csl_json_put_str(j, "modality", domain->modality);
        csl_json_put_str(j, "task", csl_task_name(domain->task));
        csl_json_put_str(j, "label", domain->label);
        if (domain->positive[0] != 0)
            csl_json_put_str(j, "positive", domain->positive);
        csl_json_put_u64(j, "classes", domain->classes);
        csl_result__put_metrics(j, &e->pooled[d]);
        if (e->cells != NULL) {
            put_means(j, e, false, d);
            put_cells(j, r, e, d);
        }
        csl_json_end(j);
    }
    csl_json_end(j);
    if (e->cells != NULL)
        put_means(j, e, true, 0);
    if (e->domain_count == 1) {
        csl_json_key(j, "pooled");
        csl_json_object(j);
        csl_result__put_metrics(j, &e->pooled[0]);
        csl_json_end(j);
    }
}

static void put_site(struct csl_json *j, const struct csl_result *r, uint32_t site)
{
    const struct csl_result_site *s = &r->sites[site];
    csl_json_object(j);
    csl_json_put_str(j, "id", s->id);
    csl_json_put_u64(j, "patients", s->patients);
    csl_json_put_u64(j, "rounds_completed", s->rounds_completed);
    csl_result__put_site_privacy(j, r, site);
    csl_result__put_attack(j, &s->attack);
    if (r->domain_count == 1 && csl_evaluation_cell(&r->federated, site, 0)->examples > 0)
        csl_result__put_metrics(j, csl_evaluation_cell(&r->federated, site, 0));
    csl_json_end(j);
}

static void put_groups(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "groups");
    csl_json_array(j);
    for (uint32_t i = 0; i < r->group_count; i++) {
        const struct csl_result_group *g = &r->groups[i];
        csl_json_object(j);
        csl_json_put_str(j, "attribute", g->attribute);
        csl_json_put_str(j, "value", g->value);
        csl_json_put_str(j, "domain", r->domains[g->domain].id);
        if (g->patients > 0)
            csl_json_put_u64(j, "patients", g->patients);
        if (g->collapsed > 0)
            csl_json_put_u64(j, "collapsed_classes", g->collapsed);
        csl_result__put_metrics(j, &g->metrics);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_local(struct csl_json *j, const struct csl_result *r, uint32_t site)
{
    const struct csl_result_local *l = &r->baselines.locals[site];
    csl_json_object(j);
    csl_json_put_str(j, "site", r->sites[site].id);
    if (l->is_absent) {
        csl_json_put_str(j, "absent", l->reason);
        csl_json_end(j);
        return;
    }
    csl_json_key(j, "own");
    csl_json_array(j);
    for (uint32_t d = 0; d < r->domain_count; d++) {
        if (l->own[d].examples == 0)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "id", r->domains[d].id);
        csl_result__put_metrics(j, &l->own[d]);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_result__put_evaluation(j, r, &l->evaluation);
    csl_json_end(j);
}

static void put_best_local(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_result_baselines *b = &r->baselines;
    csl_json_key(j, "best_local");
    csl_json_object(j);
    csl_json_put_str(j, "note",
                     "the local model with the best pooled headline metric of each domain: chosen "
                     "on the test patients and hence optimistic");
    csl_json_key(j, "chosen");
    csl_json_array(j);
    for (uint32_t d = 0; d < r->domain_count; d++) {
        if (b->best_site[d] == UINT32_MAX)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "domain", r->domains[d].id);
        csl_json_put_str(j, "site", r->sites[b->best_site[d]].id);
        csl_json_put_str(j, "by", csl_headline(r->domains[d].task)[0]);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_result__put_evaluation(j, r, &b->best_local);
    csl_json_end(j);
}

static void put_baselines(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_result_baselines *b = &r->baselines;
    csl_json_key(j, "baselines");
    csl_json_object(j);
    if (!b->is_present) {
        csl_json_put_str(j, "absent", b->reason);
        csl_json_end(j);
        return;
    }
    csl_json_key(j, "local");
    csl_json_array(j);
    for (uint32_t s = 0; s < r->site_count; s++)
        put_local(j, r, s);
    csl_json_end(j);
    if (b->has_best_local)
        put_best_local(j, r);
    if (b->has_ensemble) {
        csl_json_key(j, "ensemble");
        csl_json_object(j);
        csl_result__put_evaluation(j, r, &b->ensemble);
        csl_json_end(j);
    }
    csl_json_key(j, "pooled_training");
    csl_json_object(j);
    if (b->has_pooled_training)
        csl_result__put_evaluation(j, r, &b->pooled_training);
    else
        csl_json_put_str(j, "absent", b->pooled_reason);
    csl_json_end(j);
    csl_json_end(j);
}

static void put_spreads(struct csl_json *j, const char *key, const struct csl_spread_set *s)
{
    csl_json_key(j, key);
    csl_json_object(j);
    for (uint32_t i = 0; i < s->count; i++) {
        double sd;
        csl_json_key(j, s->items[i].name);
        csl_json_object(j);
        csl_json_put_f64(j, "mean", s->items[i].mean);
        if (csl_spread_sd(&s->items[i], &sd))
            csl_json_put_f64(j, "sd", sd);
        csl_json_put_u64(j, "count", s->items[i].count);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_spread_cells(struct csl_json *j, const struct csl_result *r,
                             const struct csl_evaluation_spread *e, uint32_t domain)
{
    csl_json_key(j, "sites");
    csl_json_array(j);
    for (uint32_t s = 0; s < e->site_count; s++) {
        const struct csl_spread_set *set = &e->cells[(size_t)s * e->domain_count + domain];
        if (set->count == 0)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "id", r->sites[s].id);
        put_spreads(j, "metrics", set);
        csl_json_end(j);
    }
    csl_json_end(j);
}

void csl_result__put_evaluation_spread(struct csl_json *j, const struct csl_result *r,
                                       const char *key, const struct csl_evaluation_spread *e)
{
    if (e->pooled == NULL)
        return;
    if (key != NULL) {
        csl_json_key(j, key);
        csl_json_object(j);
    }
    csl_json_key(j, "domains");
    csl_json_array(j);
    for (uint32_t d = 0; d < e->domain_count; d++) {
        csl_json_object(j);
        csl_json_put_str(j, "id", r->domains[d].id);
        put_spreads(j, "metrics", &e->pooled[d]);
        put_spreads(j, "mean_over_sites", &e->means[d]);
        if (e->cells != NULL)
            put_spread_cells(j, r, e, d);
        csl_json_end(j);
    }
    csl_json_end(j);
    put_spreads(j, "mean_over_sites", &e->overall);
    if (key != NULL)
        csl_json_end(j);
}

static void put_repeat_baselines(struct csl_json *j, const struct csl_result *r,
                                 const struct csl_repeats *p)
{
    csl_json_key(j, "baselines");
    csl_json_object(j);
    csl_json_key(j, "local");
    csl_json_array(j);
    for (uint32_t s = 0; s < p->local_count; s++) {
        if (p->locals[s].pooled == NULL)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "site", r->sites[s].id);
        csl_result__put_evaluation_spread(j, r, NULL, &p->locals[s]);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_result__put_evaluation_spread(j, r, "best_local", &p->best_local);
    csl_result__put_evaluation_spread(j, r, "ensemble", &p->ensemble);
    csl_result__put_evaluation_spread(j, r, "pooled_training", &p->pooled_training);
    csl_json_end(j);
}

static void put_repeats(struct csl_json *j, const struct csl_result *r, const struct csl_repeats *p)
{
    csl_json_key(j, "repeats");
    csl_json_object(j);
    csl_json_put_u64(j, "count", p->count);
    csl_json_put_u64(j, "first_seed", p->first_seed);
    csl_json_put_u64(j, "last_seed", p->last_seed);
    csl_json_put_str(j, "sd", "sample standard deviation over seeds");
    csl_result__put_evaluation_spread(j, r, NULL, &p->federated);
    if (p->local_count > 0)
        put_repeat_baselines(j, r, p);
    csl_result__put_transfer_repeats(j, r, p);
    csl_result__put_external_repeats(j, r, p);
    csl_json_end(j);
}

static void put_prices(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "prices");
    csl_json_array(j);
    for (uint32_t i = 0; i < r->price_count; i++) {
        const struct csl_result_price *p = &r->prices[i];
        csl_json_object(j);
        if (isfinite(p->epsilon))
            csl_json_put_f64(j, "epsilon", p->epsilon);
        else
            csl_json_put_str(j, "privacy", "none");
        if (p->noise_high > 0) {
            csl_json_put_f64(j, "noise_multiplier_low", p->noise_low);
            csl_json_put_f64(j, "noise_multiplier_high", p->noise_high);
        }
        put_repeats(j, r, &p->repeats);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_measured(struct csl_json *j, const char *key, uint64_t v)
{
    if (v > 0)
        csl_json_put_u64(j, key, v);
}

static void put_cost(struct csl_json *j, const struct csl_result *r)
{
    if (r->wall_s > 0)
        csl_json_put_f64(j, "wall_s", r->wall_s);
    if (r->cpu_s > 0)
        csl_json_put_f64(j, "cpu_s", r->cpu_s);
    put_measured(j, "peak_rss_bytes", r->peak_rss_bytes);
    if (r->bytes_up == 0 && r->bytes_down == 0)
        return;
    csl_json_key(j, "bytes");
    csl_json_object(j);
    put_measured(j, "up", r->bytes_up);
    put_measured(j, "down", r->bytes_down);
    csl_json_end(j);
}

static void put_head(struct csl_json *j, const struct csl_result *r)
{
    csl_json_put_str(j, "format", CSL_SUMMARY_FORMAT);
    csl_json_put_str(j, "version", r->version);
    csl_json_put_str(j, "study", r->study);
    csl_json_put_str(j, "study_question", r->question);
    csl_json_put_str(j, "study_digest", r->study_digest);
    csl_json_put_str(j, "model_digest", r->model_digest);
    if (r->initial_model_digest[0] != 0) /* left out when drawn from the seed */
        csl_json_put_str(j, "initial_model_digest", r->initial_model_digest);
    csl_json_put_str(j, "strategy", r->strategy);
    csl_json_put_str(j, "transport", r->transport);
    csl_json_put_str(j, "backend", r->backend);
    csl_json_put_u64(j, "seed", r->seed);
    csl_json_put_u64(j, "rounds", r->rounds);
    csl_json_put_u64(j, "rounds_planned", r->rounds_planned);
    if (r->was_interrupted)
        csl_json_put_bool(j, "interrupted", true);
    csl_json_put_u64(j, "parameters", r->parameters);
    put_cost(j, r);
    csl_result__put_privacy(j, r);
    csl_json_put_bool(j, "secure_aggregation", r->has_secure_aggregation);
    if (r->has_plain_sums)
        csl_json_put_str(j, "masks", "off");
    csl_json_put_str(j, "intervals",
                     "95 %; each metric names its method; means over sites: normal approximation "
                     "from the intervals of the sites");
}

enum csl_code csl_result_write_json(const struct csl_result *r, struct csl_buf *out,
                                    struct csl_err *err)
{
    struct csl_json j;
    csl_json_init(&j, out, true);
    csl_json_object(&j);
    put_head(&j, r);
    csl_json_key(&j, "sites");
    csl_json_array(&j);
    for (uint32_t s = 0; s < r->site_count; s++)
        put_site(&j, r, s);
    csl_json_end(&j);
    csl_result__put_evaluation(&j, r, &r->federated);
    csl_result__put_labels(&j, r);
    if (r->group_count > 0)
        put_groups(&j, r);
    csl_result__put_fairness(&j, r);
    csl_result__put_weights(&j, r);
    csl_result__put_rejected(&j, r);
    csl_result__put_release(&j, r);
    put_baselines(&j, r);
    csl_result__put_transfer(&j, r);
    csl_result__put_external(&j, r);
    if (r->repeats.count > 0)
        put_repeats(&j, r, &r->repeats);
    if (r->price_count > 0)
        put_prices(&j, r);
    csl_result__put_ledger(&j, r);
    csl_json_end(&j);
    return csl_buf_status(out, err);
}
