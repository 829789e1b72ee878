/* simulations/evaluate_sums.c - predictions into counts of each site, their sums, and figures. */
#include "aggregation/evaluate/sums.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/evaluate.h"

#include <string.h>

#include "base/banned.h"

#define BINS 256

struct counting {
    struct csl_result *r;
    const struct csl_sim_data *d;
    const struct csl_predictions *p;
    uint64_t seed;
    uint32_t domain;
    struct csl_sums all;
};

static enum csl_code init_sums(const struct counting *c, struct csl_sums *s, struct csl_err *err)
{
    return csl_sums_init(s, c->d->study->domains[c->domain].classes, BINS, err);
}

/* What one site counts: all its test records, or those whose `values` entry is `value`. */
static enum csl_code count_site(const struct counting *c, uint32_t site, const char (*values)[32],
                                const char *value, struct csl_sums *out, struct csl_err *err)
{
    const struct csl_examples *e = &c->d->sites[site]->domains[c->domain][CSL_SPLIT_TEST];
    const float *scores = c->p->cells[(size_t)site * c->p->domain_count + c->domain];
    uint32_t width = csl_prediction_width(&c->d->study->domains[c->domain]);
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; scores != NULL && i < e->records && code == CSL_OK; i++) {
        /* records ascend by patient, and a patient is of one group */
        bool is_new = i == 0 || e->patient[i] != e->patient[i - 1];
        if (values == NULL || strcmp(values[i], value) == 0)
            code = csl_sums_add(out, scores + (size_t)i * width, e->label[i], is_new, err);
    }
    return code;
}

/* Adds up over the sites. attribute NULL: all records. */
static enum csl_code sum_sites(const struct counting *c, const char *attribute, const char *value,
                               struct csl_sums *out, struct csl_err *err)
{
    enum csl_code code = init_sums(c, out, err);
    for (uint32_t s = 0; s < c->d->site_count && code == CSL_OK; s++) {
        struct csl_sums site = {.counts = NULL};
        const char(*values)[32] =
            attribute != NULL ? csl_sim_values(c->d, s, c->domain, attribute) : NULL;
        if (attribute != NULL && values == NULL)
            continue;
        code = init_sums(c, &site, err);
        if (code == CSL_OK)
            code = count_site(c, s, values, value, &site, err);
        if (code == CSL_OK)
            code = csl_sums_join(out, &site, err);
        csl_sums_release(&site);
    }
    return code;
}

/* Sites with a test record whose group by the attribute is not known. */
static uint32_t count_unknown_sites(const struct counting *c, const char *attribute)
{
    uint32_t count = 0;
    for (uint32_t s = 0; s < c->d->site_count; s++) {
        const struct csl_examples *e = &c->d->sites[s]->domains[c->domain][CSL_SPLIT_TEST];
        const char(*values)[32] = csl_sim_values(c->d, s, c->domain, attribute);
        bool is_unknown = false;
        for (uint32_t i = 0; i < e->records; i++)
            is_unknown = is_unknown || values == NULL || values[i][0] == 0;
        count += is_unknown;
    }
    return count;
}

struct attribute {
    const char *name;
    uint32_t count; /* values */
    char values[CSL_GROUP_VALUES_MAX + 1][32];
    struct csl_sums groups[CSL_GROUP_VALUES_MAX]; /* [count] */
    bool shown[CSL_GROUP_VALUES_MAX];
};

static enum csl_code add_group(const struct counting *c, const struct attribute *a, uint32_t value,
                               struct csl_sum_figures *figures, struct csl_err *err)
{
    struct csl_result_group group = {.domain = c->domain};
    enum csl_code code = csl_sums_evaluate(&a->groups[value], c->seed, figures, err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(group.attribute, sizeof(group.attribute), a->name));
    CSL_ASSERT(csl_str_copy(group.value, sizeof(group.value), a->values[value]));
    group.metrics = figures->metrics;
    group.patients = figures->patients;
    group.collapsed = figures->collapsed;
    return csl_result_add_group(c->r, &group, err);
}

/* Groups that are shown go into the result and into the gaps; nothing of the others does. */
static enum csl_code judge_attribute(const struct counting *c, struct attribute *a,
                                     struct csl_err *err)
{
    const struct csl_study_fairness *f = &c->d->study->fairness;
    struct csl_result_gap gap = {.domain = c->domain};
    struct csl_sums shown[CSL_GROUP_VALUES_MAX];
    struct csl_sum_figures *figures = csl_alloc(sizeof(*figures));
    enum csl_code code = CSL_OK;
    if (figures == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the groups of %s", a->name);
    csl_sums_suppress(&c->all, a->groups, a->count, f->minimum_group, f->minimum_sites,
                      count_unknown_sites(c, a->name), a->shown);
    for (uint32_t v = 0; v < a->count && code == CSL_OK; v++) {
        if (!a->shown[v]) {
            gap.hidden += csl_sums_records(&a->groups[v]) > 0;
            continue;
        }
        shown[gap.shown++] = a->groups[v]; /* borrowed */
        code = add_group(c, a, v, figures, err);
    }
    if (code == CSL_OK)
        code = csl_sums_gaps(&c->all, shown, gap.shown, c->seed, &gap.metrics, err);
    CSL_ASSERT(csl_str_copy(gap.attribute, sizeof(gap.attribute), a->name));
    if (code == CSL_OK)
        code = csl_result_add_gap(c->r, &gap, err);
    csl_free(figures);
    return code;
}

static enum csl_code count_attribute(const struct counting *c, const char *name,
                                     struct csl_err *err)
{
    struct attribute *a = csl_alloc(sizeof(*a));
    enum csl_code code = CSL_OK;
    if (a == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the groups of %s", name);
    a->name = name;
    a->count = csl_sim_list_values(c->d, c->domain, name, a->values);
    for (uint32_t v = 0; v < a->count && code == CSL_OK; v++)
        code = sum_sites(c, name, a->values[v], &a->groups[v], err);
    if (code == CSL_OK)
        code = judge_attribute(c, a, err);
    for (uint32_t v = 0; v < a->count; v++)
        csl_sums_release(&a->groups[v]);
    csl_free(a);
    return code;
}

enum csl_code csl_evaluate_by_counts(struct csl_result *r, const struct csl_sim_data *d,
                                     const struct csl_predictions *p, uint64_t seed,
                                     struct csl_err *err)
{
    const struct csl_study *study = d->study;
    struct counting c = {.r = r, .d = d, .p = p, .seed = seed};
    enum csl_code code = CSL_OK;
    for (c.domain = 0; c.domain < study->domain_count && code == CSL_OK; c.domain++) {
        if (!csl_domain_is_counted(&study->domains[c.domain]))
            continue;
        code = sum_sites(&c, NULL, NULL, &c.all, err);
        if (code == CSL_OK)
            code = csl_sums_evaluate(&c.all, seed, &r->fairness.sums[c.domain], err);
        for (uint32_t i = 0; i < study->fairness.attribute_count && code == CSL_OK; i++)
            code = count_attribute(&c, study->fairness.attributes[i], err);
        csl_sums_release(&c.all);
    }
    return code;
}
