/* What the sites counted by patient group (fairness.groups), all sites together: checked, added up,
 * and made into figures once an evaluation is over. Groups that are too small are in the sums, and
 * in nothing that is shown. */
#include "coordinator/service_groups.h"

#include "aggregation/evaluate/group_sums.h"
#include "base/check.h"
#include "base/mem.h"
#include "protocol/study/evaluation.h"

#include <string.h>

/* Of all domains and attributes together: intervals draw each record a thousand times, on the
 * thread that everybody waits for, and any site can claim them. */
#define RECORDS_MAX (UINT64_C(1) << 18)

struct domain_groups {
    uint64_t round;   /* whose model was counted; the sums are of this one */
    bool is_begun;    /* some site has counted */
    bool is_stale;    /* and the figures are older */
    bool has_figures; /* of figures_round */
    uint64_t figures_round;
    bool *has;                         /* [site_count]: a site counts once */
    uint64_t *sum;                     /* [csl_study_group_counts] */
    struct csl_group_figures *figures; /* [attribute_count] */
};

struct csl_service_groups {
    struct domain_groups domains[CSL_DOMAINS_MAX]; /* sum NULL: the domain has no groups */
};

enum csl_code csl_service_groups_new__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_study *study = s->study;
    for (uint32_t d = 0; d < study->domain_count; d++) {
        uint32_t n = csl_study_group_counts(study, d);
        if (n == 0)
            continue;
        if (s->groups == NULL)
            s->groups = csl_alloc(sizeof(*s->groups));
        struct domain_groups *g = s->groups != NULL ? &s->groups->domains[d] : NULL;
        if (g != NULL) {
            g->has = csl_alloc_array(s->site_count, sizeof(*g->has));
            g->sum = csl_alloc_array(n, sizeof(*g->sum));
            g->figures = csl_alloc_array(study->fairness.attribute_count, sizeof(*g->figures));
        }
        if (g == NULL || g->has == NULL || g->sum == NULL || g->figures == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the patient groups of domain %s",
                            study->domains[d].id);
    }
    return CSL_OK;
}

void csl_service_groups_free__(struct csl_service *s)
{
    for (uint32_t d = 0; s->groups != NULL && d < s->study->domain_count; d++) {
        csl_free(s->groups->domains[d].has);
        csl_free(s->groups->domains[d].sum);
        csl_free(s->groups->domains[d].figures);
    }
    csl_free(s->groups);
    s->groups = NULL;
}

void csl_service_groups_add__(struct csl_service *s, uint32_t site, uint64_t round,
                              const struct csl_eval_block *b)
{
    if (s->groups == NULL || b->group_count == 0)
        return;
    struct domain_groups *g = &s->groups->domains[b->block];
    uint32_t n = csl_study_group_counts(s->study, b->block);
    CSL_ASSERT(b->group_count == n);
    if (!g->is_begun || g->round != round || site == CSL_SERVICE_ALL_SITES) {
        memset(g->has, 0, s->site_count * sizeof(*g->has));
        memset(g->sum, 0, n * sizeof(*g->sum));
    }
    g->round = round;
    g->is_begun = true;
    if (site != CSL_SERVICE_ALL_SITES && g->has[site])
        return; /* after a restart a site evaluates again what is stored already */
    if (site != CSL_SERVICE_ALL_SITES)
        g->has[site] = true;
    for (uint32_t i = 0; i < n; i++)
        g->sum[i] += b->groups[i];
    g->is_stale = true;
}

static enum csl_code make_figures(const struct csl_service *s, uint32_t domain,
                                  struct domain_groups *g, struct csl_err *err)
{
    const struct csl_study_fairness *f = &s->study->fairness;
    struct csl_group_plan plan;
    struct csl_sums all = {.counts = NULL};
    uint64_t most = RECORDS_MAX / s->study->domain_count / f->attribute_count;
    csl_study_group_plan(s->study, domain, &plan);
    enum csl_code code = csl_sums_init(&all, plan.classes, 0, err);
    if (code == CSL_OK)
        code = csl_group_sums_total(&plan, g->sum, &all, err);
    if (code == CSL_OK && csl_sums_records(&all) > most)
        code = CSL_FAIL(err, CSL_E_LIMIT, "%llu records; figures are made of at most %llu",
                        (unsigned long long)csl_sums_records(&all), (unsigned long long)most);
    for (uint32_t a = 0; a < f->attribute_count && code == CSL_OK; a++)
        code = csl_group_sums_evaluate(&plan, g->sum, &all, a, f->minimum_group, f->minimum_sites,
                                       s->seed, &g->figures[a], err);
    csl_sums_release(&all);
    return code;
}

static void log_figures(const struct csl_service *s, uint32_t domain, const struct domain_groups *g)
{
    for (uint32_t a = 0; a < s->study->fairness.attribute_count; a++) {
        const struct csl_metric *eod = csl_metrics_find(&g->figures[a].gaps, "eod");
        csl_log(CSL_LOG_INFO, "round.groups", CSL_U64("round", g->round),
                CSL_STR("domain", s->study->domains[domain].id),
                CSL_STR("attribute", s->study->fairness.attributes[a]),
                CSL_U64("shown", g->figures[a].shown), CSL_U64("hidden", g->figures[a].hidden),
                CSL_F64("eod", eod != NULL ? eod->value : 0));
    }
}

void csl_service_groups_close__(struct csl_service *s)
{
    for (uint32_t d = 0; s->groups != NULL && d < s->study->domain_count; d++) {
        struct domain_groups *g = &s->groups->domains[d];
        struct csl_err err = {.code = CSL_OK};
        if (g->sum == NULL || !g->is_stale)
            continue;
        g->is_stale = false;
        g->has_figures = make_figures(s, d, g, &err) == CSL_OK;
        g->figures_round = g->round;
        if (g->has_figures)
            log_figures(s, d, g);
        else
            csl_log(CSL_LOG_WARN, "evaluation.senseless", CSL_U64("round", g->round),
                    CSL_STR("domain", s->study->domains[d].id), CSL_STR("why", err.msg));
    }
}

/* --- status.json --- */

static void put_metric(struct csl_json *j, const struct csl_metric *m)
{
    csl_json_key(j, m->name);
    csl_json_object(j);
    csl_json_put_f64(j, "value", m->value);
    if (m->method != NULL) {
        csl_json_put_f64(j, "low", m->low);
        csl_json_put_f64(j, "high", m->high);
    }
    csl_json_end(j);
}

static void put_attribute(const struct csl_service *s, struct csl_json *j, uint32_t domain,
                          uint32_t attribute)
{
    const struct csl_study_fairness *asked = &s->study->fairness;
    const struct domain_groups *g = &s->groups->domains[domain];
    const struct csl_group_figures *f = &g->figures[attribute];
    csl_json_object(j);
    csl_json_put_str(j, "domain", s->study->domains[domain].id);
    csl_json_put_str(j, "attribute", asked->attributes[attribute]);
    csl_json_put_u64(j, "round", g->figures_round);
    csl_json_put_u64(j, "groups_shown", f->shown);
    csl_json_put_u64(j, "groups_hidden", f->hidden);
    csl_json_key(j, "gaps");
    csl_json_object(j);
    for (uint32_t i = 0; i < f->gaps.count; i++)
        put_metric(j, &f->gaps.items[i]);
    csl_json_end(j);
    if (f->worst != UINT32_MAX) {
        csl_json_key(j, "worst");
        csl_json_object(j);
        csl_json_put_str(j, "value", asked->values[attribute][f->worst]);
        csl_json_put_u64(j, "patients", f->worst_patients);
        put_metric(j, &f->worst_f1);
        csl_json_end(j);
    }
    csl_json_end(j);
}

void csl_service_groups_status__(const struct csl_service *s, struct csl_json *j)
{
    if (s->groups == NULL)
        return;
    csl_json_key(j, "patient_groups");
    csl_json_array(j);
    for (uint32_t d = 0; d < s->study->domain_count; d++)
        for (uint32_t a = 0;
             s->groups->domains[d].has_figures && a < s->study->fairness.attribute_count; a++)
            put_attribute(s, j, d, a);
    csl_json_end(j);
}
