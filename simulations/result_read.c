/* simulations/result_read.c - summary.json back into a result, so that a report can be drawn again.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/result_parts.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

#define SITES_SHOWN_MAX CSL_SITES_MAX

typedef const struct csl_json_value *json;

enum csl_code csl_result__bad(const struct csl_result_reader *rd, const char *member,
                              const char *wanted)
{
    return CSL_FAIL(rd->err, CSL_E_CORRUPT, "%s: '%s' is missing or wrong; %s would be right",
                    rd->name, member, wanted);
}

static enum csl_code get_str(const struct csl_result_reader *rd, json object, const char *key,
                             char *out, size_t out_bytes)
{
    const char *text;
    if (!csl_json_as_str(csl_json_get(object, key), &text) || !csl_str_copy(out, out_bytes, text))
        return csl_result__bad(rd, key, "a text of bounded length");
    return CSL_OK;
}

static enum csl_code get_u64(const struct csl_result_reader *rd, json object, const char *key,
                             uint64_t *out)
{
    return csl_json_as_u64(csl_json_get(object, key), out)
               ? CSL_OK
               : csl_result__bad(rd, key, "a whole number");
}

static void get_u64_or_0(json object, const char *key, uint64_t *out)
{
    if (!csl_json_as_u64(csl_json_get(object, key), out))
        *out = 0;
}

bool csl_result__find_site(const struct csl_result *r, json object, const char *key, uint32_t *site)
{
    const char *id;
    if (!csl_json_as_str(csl_json_get(object, key), &id))
        return false;
    for (*site = 0; *site < r->site_count; (*site)++)
        if (strcmp(r->sites[*site].id, id) == 0)
            return true;
    return false;
}

bool csl_result__find_domain(const struct csl_result *r, json object, const char *key,
                             uint32_t *domain)
{
    const char *id;
    if (!csl_json_as_str(csl_json_get(object, key), &id))
        return false;
    for (*domain = 0; *domain < r->domain_count; (*domain)++)
        if (strcmp(r->domains[*domain].id, id) == 0)
            return true;
    return false;
}

enum csl_code csl_result__read_metric(const struct csl_result_reader *rd, const char *name, json v,
                                      struct csl_metric *out)
{
    struct csl_metric item = {.name = csl_metric_intern(name)};
    const char *method;
    if (item.name == NULL)
        return csl_result__bad(rd, name, "a metric of this version");
    if (!csl_json_as_f64(csl_json_get(v, "value"), &item.value))
        return csl_result__bad(rd, name, "a number 'value'");
    if (csl_json_as_str(csl_json_get(v, "method"), &method)) {
        item.method = csl_method_intern(method);
        if (item.method == NULL || !csl_json_as_f64(csl_json_get(v, "low"), &item.low) ||
            !csl_json_as_f64(csl_json_get(v, "high"), &item.high))
            return csl_result__bad(rd, name, "a known 'method' with 'low' and 'high'");
    }
    *out = item;
    return CSL_OK;
}

enum csl_code csl_result__read_metrics(const struct csl_result_reader *rd, json object,
                                       struct csl_metrics *m)
{
    json metrics = csl_json_get(object, "metrics");
    enum csl_code code = get_u64(rd, object, "examples", &m->examples);
    if (code == CSL_OK && metrics == NULL)
        code = csl_result__bad(rd, "metrics", "an object");
    get_u64_or_0(object, "positives", &m->positives);
    for (size_t i = 0; i < csl_json_count(metrics) && code == CSL_OK; i++) {
        const char *name;
        json v = csl_json_member_at(metrics, i, &name);
        if (m->count == CSL_METRICS_MAX)
            return csl_result__bad(rd, name, "fewer metrics");
        code = csl_result__read_metric(rd, name, v, &m->items[m->count]);
        m->count += code == CSL_OK;
    }
    return code;
}

static enum csl_code read_cells(const struct csl_result_reader *rd, json sites, uint32_t domain,
                                struct csl_evaluation *e)
{
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < csl_json_count(sites) && code == CSL_OK; i++) {
        uint32_t site;
        json at = csl_json_at(sites, i);
        if (!csl_result__find_site(rd->r, at, "id", &site))
            return csl_result__bad(rd, "id", "a site of the run");
        struct csl_metrics *cell = &e->cells[(size_t)site * e->domain_count + domain];
        code = cell->count > 0 ? csl_result__bad(rd, "id", "a site listed once")
                               : csl_result__read_metrics(rd, at, cell);
    }
    return code;
}

/* *e is new, or was initialised with cells. */
enum csl_code csl_result__read_evaluation(const struct csl_result_reader *rd, json object,
                                          struct csl_evaluation *e)
{
    json domains = csl_json_get(object, "domains");
    bool has_cells = csl_json_get(csl_json_at(domains, 0), "sites") != NULL;
    enum csl_code code = CSL_OK;
    if (csl_json_count(domains) != rd->r->domain_count)
        return csl_result__bad(rd, "domains", "the domains of the run");
    if (e->pooled == NULL)
        code = csl_evaluation_init(e, rd->r->site_count, rd->r->domain_count, has_cells, rd->err);
    for (uint32_t d = 0; d < rd->r->domain_count && code == CSL_OK; d++) {
        uint32_t found;
        json at = csl_json_at(domains, d);
        if (!csl_result__find_domain(rd->r, at, "id", &found) || found != d)
            return csl_result__bad(rd, "id", "the domains in one order everywhere");
        code = csl_result__read_metrics(rd, at, &e->pooled[d]);
        if (code == CSL_OK && e->cells != NULL)
            code = read_cells(rd, csl_json_get(at, "sites"), d, e);
    }
    return code;
}

static enum csl_code read_domain(const struct csl_result_reader *rd, json v,
                                 struct csl_result_domain *d)
{
    char task[16] = "";
    uint64_t classes = 0;
    enum csl_code code = get_str(rd, v, "id", d->id, sizeof(d->id));
    if (code == CSL_OK)
        code = get_str(rd, v, "modality", d->modality, sizeof(d->modality));
    if (code == CSL_OK)
        code = get_str(rd, v, "label", d->label, sizeof(d->label));
    if (code == CSL_OK && csl_json_get(v, "positive") != NULL)
        code = get_str(rd, v, "positive", d->positive, sizeof(d->positive));
    if (code == CSL_OK)
        code = get_u64(rd, v, "classes", &classes);
    if (code == CSL_OK)
        code = get_str(rd, v, "task", task, sizeof(task));
    if (code != CSL_OK)
        return code;
    if (classes > CSL_CLASSES_MAX)
        return csl_result__bad(rd, "classes", "fewer classes");
    d->classes = (uint32_t)classes;
    for (d->task = CSL_TASK_BINARY; strcmp(csl_task_name(d->task), task) != 0; d->task++)
        if (d->task + 1 == CSL_TASK_KIND_COUNT)
            return csl_result__bad(rd, "task", "binary, classes, survival or labels");
    return CSL_OK;
}

static enum csl_code read_shape(const struct csl_result_reader *rd, json root)
{
    struct csl_result *r = rd->r;
    json sites = csl_json_get(root, "sites"), domains = csl_json_get(root, "domains");
    size_t site_count = csl_json_count(sites), domain_count = csl_json_count(domains);
    if (site_count == 0 || site_count > SITES_SHOWN_MAX)
        return csl_result__bad(rd, "sites", "1 to 4096 sites");
    if (domain_count == 0 || domain_count > CSL_DOMAINS_MAX)
        return csl_result__bad(rd, "domains", "1 to 32 domains");
    enum csl_code code = csl_result_init(r, (uint32_t)site_count, (uint32_t)domain_count, rd->err);
    for (size_t i = 0; i < site_count && code == CSL_OK; i++) {
        json at = csl_json_at(sites, i);
        code = get_str(rd, at, "id", r->sites[i].id, sizeof(r->sites[i].id));
        if (code == CSL_OK)
            code = get_u64(rd, at, "patients", &r->sites[i].patients);
        if (code == CSL_OK)
            code = get_u64(rd, at, "rounds_completed", &r->sites[i].rounds_completed);
        if (code == CSL_OK)
            code = csl_result__read_site_privacy(rd, csl_json_get(at, "privacy"),
                                                 &r->sites[i].privacy);
        if (code == CSL_OK)
            code = csl_result__read_attack(rd, csl_json_get(at, "attack"), &r->sites[i].attack);
    }
    for (size_t i = 0; i < domain_count && code == CSL_OK; i++)
        code = read_domain(rd, csl_json_at(domains, i), &r->domains[i]);
    return code;
}

static enum csl_code read_texts(const struct csl_result_reader *rd, json root)
{
    struct csl_result *r = rd->r;
    const struct {
        const char *key;
        char *out;
        size_t bytes;
    } rows[] = {
        {"version", r->version, sizeof(r->version)},
        {"study", r->study, sizeof(r->study)},
        {"study_question", r->question, sizeof(r->question)},
        {"study_digest", r->study_digest, sizeof(r->study_digest)},
        {"model_digest", r->model_digest, sizeof(r->model_digest)},
        {"strategy", r->strategy, sizeof(r->strategy)},
        {"transport", r->transport, sizeof(r->transport)},
        {"backend", r->backend, sizeof(r->backend)},
    };
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && code == CSL_OK; i++)
        code = get_str(rd, root, rows[i].key, rows[i].out, rows[i].bytes);
    if (code == CSL_OK && csl_json_get(root, "initial_model_digest") != NULL)
        code = get_str(rd, root, "initial_model_digest", r->initial_model_digest,
                       sizeof(r->initial_model_digest));
    if (code == CSL_OK)
        code = csl_result__read_mode(rd, csl_json_get(root, "privacy"));
    return code;
}

static enum csl_code read_head(const struct csl_result_reader *rd, json root)
{
    struct csl_result *r = rd->r;
    const char *format;
    if (!csl_json_as_str(csl_json_get(root, "format"), &format) ||
        strcmp(format, CSL_SUMMARY_FORMAT) != 0)
        return csl_result__bad(rd, "format", "'" CSL_SUMMARY_FORMAT "'");
    enum csl_code code = read_texts(rd, root);
    if (code == CSL_OK)
        code = get_u64(rd, root, "seed", &r->seed);
    if (code == CSL_OK)
        code = get_u64(rd, root, "rounds", &r->rounds);
    if (code == CSL_OK)
        code = get_u64(rd, root, "rounds_planned", &r->rounds_planned);
    if (code == CSL_OK)
        code = get_u64(rd, root, "parameters", &r->parameters);
    if (code != CSL_OK)
        return code;
    json bytes = csl_json_get(root, "bytes");
    if (!csl_json_as_f64(csl_json_get(root, "wall_s"), &r->wall_s))
        r->wall_s = 0;
    if (!csl_json_as_f64(csl_json_get(root, "cpu_s"), &r->cpu_s))
        r->cpu_s = 0;
    get_u64_or_0(root, "peak_rss_bytes", &r->peak_rss_bytes);
    get_u64_or_0(bytes, "up", &r->bytes_up);
    get_u64_or_0(bytes, "down", &r->bytes_down);
    if (!csl_json_as_bool(csl_json_get(root, "interrupted"), &r->was_interrupted))
        r->was_interrupted = false;
    if (!csl_json_as_bool(csl_json_get(root, "secure_aggregation"), &r->has_secure_aggregation))
        return csl_result__bad(rd, "secure_aggregation", "true or false");
    const char *masks = "";
    json told = csl_json_get(root, "masks");
    if (told != NULL && (!csl_json_as_str(told, &masks) || strcmp(masks, "off") != 0))
        return csl_result__bad(rd, "masks", "\"off\"");
    r->has_plain_sums = told != NULL;
    return CSL_OK;
}

static enum csl_code read_groups(const struct csl_result_reader *rd, json groups)
{
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < csl_json_count(groups) && code == CSL_OK; i++) {
        struct csl_result_group g = {0};
        json at = csl_json_at(groups, i);
        if (!csl_result__find_domain(rd->r, at, "domain", &g.domain))
            return csl_result__bad(rd, "domain", "a domain of the run");
        code = get_str(rd, at, "attribute", g.attribute, sizeof(g.attribute));
        if (code == CSL_OK)
            code = get_str(rd, at, "value", g.value, sizeof(g.value));
        uint64_t collapsed;
        get_u64_or_0(at, "patients", &g.patients);
        get_u64_or_0(at, "collapsed_classes", &collapsed);
        if (collapsed > CSL_CLASSES_MAX)
            return csl_result__bad(rd, "collapsed_classes", "at most the classes");
        g.collapsed = (uint32_t)collapsed;
        if (code == CSL_OK)
            code = csl_result__read_metrics(rd, at, &g.metrics);
        if (code == CSL_OK)
            code = csl_result_add_group(rd->r, &g, rd->err);
    }
    return code;
}

static enum csl_code read_local(const struct csl_result_reader *rd, json v)
{
    uint32_t site, domain;
    if (!csl_result__find_site(rd->r, v, "site", &site))
        return csl_result__bad(rd, "site", "a site of the run");
    struct csl_result_local *l = &rd->r->baselines.locals[site];
    if (csl_json_get(v, "absent") != NULL)
        return get_str(rd, v, "absent", l->reason, sizeof(l->reason));
    l->is_absent = false;
    json own = csl_json_get(v, "own");
    enum csl_code code = csl_result__read_evaluation(rd, v, &l->evaluation);
    for (size_t i = 0; i < csl_json_count(own) && code == CSL_OK; i++) {
        if (!csl_result__find_domain(rd->r, csl_json_at(own, i), "id", &domain))
            return csl_result__bad(rd, "id", "a domain of the run");
        code = csl_result__read_metrics(rd, csl_json_at(own, i), &l->own[domain]);
    }
    return code;
}

static enum csl_code read_best(const struct csl_result_reader *rd, json v)
{
    struct csl_result_baselines *b = &rd->r->baselines;
    json chosen = csl_json_get(v, "chosen");
    for (size_t i = 0; i < csl_json_count(chosen); i++) {
        uint32_t domain, site;
        if (!csl_result__find_domain(rd->r, csl_json_at(chosen, i), "domain", &domain) ||
            !csl_result__find_site(rd->r, csl_json_at(chosen, i), "site", &site))
            return csl_result__bad(rd, "chosen", "a domain and a site of the run");
        b->best_site[domain] = site;
    }
    b->has_best_local = true;
    return csl_result__read_evaluation(rd, v, &b->best_local);
}

static enum csl_code read_baselines(const struct csl_result_reader *rd, json v)
{
    struct csl_result_baselines *b = &rd->r->baselines;
    json local = csl_json_get(v, "local"), pooled = csl_json_get(v, "pooled_training");
    if (csl_json_get(v, "absent") != NULL)
        return get_str(rd, v, "absent", b->reason, sizeof(b->reason));
    enum csl_code code = csl_result_init_baselines(rd->r, rd->err);
    b->is_present = true;
    for (size_t i = 0; i < csl_json_count(local) && code == CSL_OK; i++)
        code = read_local(rd, csl_json_at(local, i));
    if (code == CSL_OK && csl_json_get(v, "best_local") != NULL)
        code = read_best(rd, csl_json_get(v, "best_local"));
    if (code == CSL_OK && csl_json_get(v, "ensemble") != NULL) {
        b->has_ensemble = true;
        code = csl_result__read_evaluation(rd, csl_json_get(v, "ensemble"), &b->ensemble);
    }
    if (code != CSL_OK || pooled == NULL)
        return code;
    if (csl_json_get(pooled, "absent") != NULL)
        return get_str(rd, pooled, "absent", b->pooled_reason, sizeof(b->pooled_reason));
    b->has_pooled_training = true;
    return csl_result__read_evaluation(rd, pooled, &b->pooled_training);
}

static enum csl_code read_spreads(const struct csl_result_reader *rd, json object,
                                  struct csl_spread_set *set)
{
    for (size_t i = 0; i < csl_json_count(object); i++) {
        const char *name;
        double sd = 0;
        uint64_t count;
        json at = csl_json_member_at(object, i, &name);
        struct csl_spread s = {.name = csl_metric_intern(name)};
        if (s.name == NULL || set->count == CSL_METRICS_MAX ||
            !csl_json_as_f64(csl_json_get(at, "mean"), &s.mean) ||
            !csl_json_as_u64(csl_json_get(at, "count"), &count) || count == 0 || count > UINT32_MAX)
            return csl_result__bad(rd, name, "a known metric with 'mean' and 'count'");
        s.count = (uint32_t)count;
        if (csl_json_as_f64(csl_json_get(at, "sd"), &sd))
            s.squares = sd * sd * (double)(s.count - 1);
        set->items[set->count++] = s;
    }
    return CSL_OK;
}

static enum csl_code read_spread_cells(const struct csl_result_reader *rd, json sites,
                                       uint32_t domain, struct csl_evaluation_spread *s)
{
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < csl_json_count(sites) && code == CSL_OK; i++) {
        uint32_t site;
        json at = csl_json_at(sites, i);
        if (!csl_result__find_site(rd->r, at, "id", &site))
            return csl_result__bad(rd, "id", "a site of the run");
        struct csl_spread_set *cell = &s->cells[(size_t)site * s->domain_count + domain];
        code = cell->count > 0 ? csl_result__bad(rd, "id", "a site listed once")
                               : read_spreads(rd, csl_json_get(at, "metrics"), cell);
    }
    return code;
}

enum csl_code csl_result__read_evaluation_spread(const struct csl_result_reader *rd, json object,
                                                 struct csl_evaluation_spread *s)
{
    json domains = csl_json_get(object, "domains");
    bool has_cells = csl_json_get(csl_json_at(domains, 0), "sites") != NULL;
    if (object == NULL)
        return CSL_OK;
    if (s->pooled != NULL || csl_json_count(domains) != rd->r->domain_count)
        return csl_result__bad(rd, "repeats", "the domains of the run, once");
    enum csl_code code =
        csl_evaluation_spread_init(s, rd->r->site_count, rd->r->domain_count, has_cells, rd->err);
    for (uint32_t d = 0; d < rd->r->domain_count && code == CSL_OK; d++) {
        json at = csl_json_at(domains, d);
        code = read_spreads(rd, csl_json_get(at, "metrics"), &s->pooled[d]);
        if (code == CSL_OK)
            code = read_spreads(rd, csl_json_get(at, "mean_over_sites"), &s->means[d]);
        if (code == CSL_OK && has_cells)
            code = read_spread_cells(rd, csl_json_get(at, "sites"), d, s);
    }
    if (code == CSL_OK)
        code = read_spreads(rd, csl_json_get(object, "mean_over_sites"), &s->overall);
    return code;
}

static enum csl_code read_repeat_baselines(const struct csl_result_reader *rd, json v,
                                           struct csl_repeats *p)
{
    json local = csl_json_get(v, "local");
    enum csl_code code = CSL_OK;
    p->locals = csl_alloc_array(rd->r->site_count, sizeof(*p->locals));
    if (p->locals == NULL)
        return CSL_FAIL(rd->err, CSL_E_NOMEM, "no memory for the repeats in %s", rd->name);
    p->local_count = rd->r->site_count;
    for (size_t i = 0; i < csl_json_count(local) && code == CSL_OK; i++) {
        uint32_t site;
        if (!csl_result__find_site(rd->r, csl_json_at(local, i), "site", &site))
            return csl_result__bad(rd, "site", "a site of the run");
        code = csl_result__read_evaluation_spread(rd, csl_json_at(local, i), &p->locals[site]);
    }
    if (code == CSL_OK)
        code =
            csl_result__read_evaluation_spread(rd, csl_json_get(v, "best_local"), &p->best_local);
    if (code == CSL_OK)
        code = csl_result__read_evaluation_spread(rd, csl_json_get(v, "ensemble"), &p->ensemble);
    if (code == CSL_OK)
        code = csl_result__read_evaluation_spread(rd, csl_json_get(v, "pooled_training"),
                                                  &p->pooled_training);
    return code;
}

static enum csl_code read_repeats(const struct csl_result_reader *rd, json v, struct csl_repeats *p)
{
    uint64_t count;
    enum csl_code code = get_u64(rd, v, "count", &count);
    if (code == CSL_OK && (count == 0 || count > UINT32_MAX))
        code = csl_result__bad(rd, "count", "at least 1 repeat");
    if (code == CSL_OK)
        code = get_u64(rd, v, "first_seed", &p->first_seed);
    if (code == CSL_OK)
        code = get_u64(rd, v, "last_seed", &p->last_seed);
    if (code == CSL_OK)
        code = csl_result__read_evaluation_spread(rd, v, &p->federated);
    if (code == CSL_OK && csl_json_get(v, "baselines") != NULL)
        code = read_repeat_baselines(rd, csl_json_get(v, "baselines"), p);
    if (code == CSL_OK)
        code = csl_result__read_transfer_repeats(rd, csl_json_get(v, "transfer"), p);
    if (code == CSL_OK)
        code = csl_result__read_external_repeats(rd, csl_json_get(v, "external_validation"), p);
    if (code == CSL_OK)
        p->count = (uint32_t)count;
    return code;
}

static enum csl_code read_price(const struct csl_result_reader *rd, json v, double above,
                                struct csl_result_price *p)
{
    const char *privacy;
    bool has_epsilon = csl_json_get(v, "epsilon") != NULL;
    p->epsilon = HUGE_VAL;
    if (has_epsilon && (!csl_json_as_f64(csl_json_get(v, "epsilon"), &p->epsilon) ||
                        !(p->epsilon > above && isfinite(p->epsilon))))
        return csl_result__bad(rd, "epsilon", "a number above 0 and the epsilon before it");
    if (!has_epsilon && (!csl_json_as_str(csl_json_get(v, "privacy"), &privacy) ||
                         strcmp(privacy, "none") != 0 || isinf(above)))
        return csl_result__bad(rd, "prices", "an 'epsilon' or, once and last, 'privacy': 'none'");
    if (csl_json_get(v, "noise_multiplier_low") != NULL &&
        (!csl_json_as_f64(csl_json_get(v, "noise_multiplier_low"), &p->noise_low) ||
         !csl_json_as_f64(csl_json_get(v, "noise_multiplier_high"), &p->noise_high) ||
         !(p->noise_low >= 0 && p->noise_high >= p->noise_low && p->noise_high > 0)))
        return csl_result__bad(rd, "noise_multiplier_low", "the smaller of two numbers");
    if (csl_json_get(v, "repeats") == NULL)
        return csl_result__bad(rd, "repeats", "the spread over the seeds");
    return read_repeats(rd, csl_json_get(v, "repeats"), &p->repeats);
}

static enum csl_code read_prices(const struct csl_result_reader *rd, json list)
{
    struct csl_result *r = rd->r;
    size_t count = csl_json_count(list);
    enum csl_code code = CSL_OK;
    double above = 0;
    if (count == 0 || count > CSL_PRICES_MAX)
        return csl_result__bad(rd, "prices", "1 to 16 prices");
    r->prices = csl_alloc_array(count, sizeof(*r->prices));
    if (r->prices == NULL)
        return CSL_FAIL(rd->err, CSL_E_NOMEM, "no memory for the prices in %s", rd->name);
    r->price_count = (uint32_t)count;
    for (size_t i = 0; i < count && code == CSL_OK; i++) {
        code = read_price(rd, csl_json_at(list, i), above, &r->prices[i]);
        above = r->prices[i].epsilon;
    }
    return code;
}

enum csl_code csl_result_read_json(struct csl_result *out, const char *name, struct csl_span bytes,
                                   struct csl_err *err)
{
    struct csl_json_doc *doc = NULL;
    struct csl_result *r = csl_alloc(sizeof(*r));
    const struct csl_result_reader rd = {name, r, err};
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", name);
    enum csl_code code = csl_json_parse(&doc, name, bytes, err);
    json root = code == CSL_OK ? csl_json_root(doc) : NULL;
    if (code == CSL_OK)
        code = read_head(&rd, root);
    if (code == CSL_OK)
        code = read_shape(&rd, root);
    if (code == CSL_OK)
        code = csl_result__read_evaluation(&rd, root, &r->federated);
    if (code == CSL_OK)
        code = csl_result__read_labels(&rd, csl_json_get(root, "labels"));
    if (code == CSL_OK)
        code = read_groups(&rd, csl_json_get(root, "groups"));
    if (code == CSL_OK)
        code = csl_result__read_fairness(&rd, root);
    if (code == CSL_OK)
        code = csl_result__read_weights(&rd, csl_json_get(root, "domain_weights"));
    if (code == CSL_OK && csl_json_get(root, "baselines") != NULL)
        code = read_baselines(&rd, csl_json_get(root, "baselines"));
    if (code == CSL_OK)
        code = csl_result__read_transfer(&rd, root);
    if (code == CSL_OK)
        code = csl_result__read_external(&rd, csl_json_get(root, "external_validation"));
    if (code == CSL_OK && csl_json_get(root, "repeats") != NULL)
        code = read_repeats(&rd, csl_json_get(root, "repeats"), &r->repeats);
    if (code == CSL_OK && csl_json_get(root, "prices") != NULL)
        code = read_prices(&rd, csl_json_get(root, "prices"));
    if (code == CSL_OK)
        *out = *r;
    else
        csl_result_release(r);
    csl_free(r);
    csl_json_free(doc);
    return code;
}
