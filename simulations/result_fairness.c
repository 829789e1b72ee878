/* simulations/result_fairness.c - gaps and the worst of domains and groups. */
#include "simulations/result.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char *const names[] = {
    "eod",    "pp",    "fpr_gap", "eod_positive", "pp_positive", "fpr_gap_positive",
    "f1_gap", "f1_sd", "f1_es",   "accuracy_es",  NULL};
static const char *const titles[] = {"TPR gap (EOD)",
                                     "FDR gap (PP)",
                                     "FPR gap",
                                     "Sensitivity gap",
                                     "FDR gap, positive class",
                                     "FPR gap, positive class",
                                     "Macro-F1 gap",
                                     "Spread of macro-F1",
                                     "Equity-scaled macro-F1",
                                     "Equity-scaled accuracy"};

const char *const *csl_gap_names(void)
{
    return names;
}

const char *csl_gap_intern(const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return names[i];
    return NULL;
}

const char *csl_gap_title(const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return titles[i];
    return name;
}

enum csl_code csl_result_add_gap(struct csl_result *r, const struct csl_result_gap *g,
                                 struct csl_err *err)
{
    struct csl_result_fairness *f = &r->fairness;
    struct csl_result_gap *list =
        csl_realloc_array(f->gaps, (size_t)f->gap_count + 1, sizeof(*list));
    if (list == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u gaps", f->gap_count + 1);
    f->gaps = list;
    f->gaps[f->gap_count++] = *g;
    return CSL_OK;
}

enum csl_code csl_result_add_told(struct csl_result *r, const struct csl_result_told *t,
                                  struct csl_err *err)
{
    struct csl_result_fairness *f = &r->fairness;
    struct csl_result_told *list =
        csl_realloc_array(f->told, (size_t)f->told_count + 1, sizeof(*list));
    if (list == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u gaps", f->told_count + 1);
    f->told = list;
    f->told[f->told_count++] = *t;
    return CSL_OK;
}

/* Into the column of sites: what is no letter, digit or one of <>=+.- becomes _. */
static void put_group_name(char out[CSL_ID_MAX], const char *attribute, const char *value)
{
    char text[CSL_ID_MAX + 40];
    (void)snprintf(text, sizeof(text), "%s%s%s", attribute, value != NULL ? "=" : "",
                   value != NULL ? value : "");
    text[CSL_ID_MAX - 1] = 0;
    for (char *c = text; *c != 0; c++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<>=+.-_ ", *c) ==
            NULL)
            *c = '_';
    memcpy(out, text, CSL_ID_MAX);
}

static enum csl_code add_rows(struct csl_result *r, const char *scope, const char *attribute,
                              const char *value, uint32_t domain, const struct csl_metrics *m,
                              struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < m->count && code == CSL_OK; i++) {
        const struct csl_metric *item = &m->items[i];
        struct csl_result_row row = {.round = r->rounds,
                                     .value = item->value,
                                     .low = item->low,
                                     .high = item->high,
                                     .has_interval = item->method != NULL};
        CSL_ASSERT(csl_str_copy(row.scope, sizeof(row.scope), scope));
        put_group_name(row.site, attribute, value);
        CSL_ASSERT(csl_str_copy(row.domain, sizeof(row.domain), r->domains[domain].id));
        CSL_ASSERT(csl_str_copy(row.metric, sizeof(row.metric), item->name));
        CSL_ASSERT(csl_str_copy(row.method, sizeof(row.method), item->method ? item->method : ""));
        code = csl_result_add_row(r, &row, err);
    }
    return code;
}

enum csl_code csl_result_add_group_rows(struct csl_result *r, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < r->group_count && code == CSL_OK; i++) {
        const struct csl_result_group *g = &r->groups[i];
        code = add_rows(r, "test_group", g->attribute, g->value, g->domain, &g->metrics, err);
    }
    for (uint32_t i = 0; i < r->fairness.gap_count && code == CSL_OK; i++) {
        const struct csl_result_gap *g = &r->fairness.gaps[i];
        code = add_rows(r, "test_gap", g->attribute, NULL, g->domain, &g->metrics, err);
    }
    return code;
}

enum csl_code csl_result_add_told_rows(struct csl_result *r, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < r->fairness.told_count && code == CSL_OK; i++) {
        const struct csl_result_told *t = &r->fairness.told[i];
        const struct csl_metrics worst = {.items = {t->worst_f1}, .count = t->worst[0] != 0};
        const struct csl_result_gap *g = &t->gap;
        code = add_rows(r, "round_gap", g->attribute, NULL, g->domain, &g->metrics, err);
        if (code == CSL_OK)
            code = add_rows(r, "round_group", g->attribute, t->worst, g->domain, &worst, err);
    }
    return code;
}

const struct csl_metric *csl_discrimination(const struct csl_metrics *m)
{
    const struct csl_metric *auc = csl_metrics_find(m, "auc");
    return auc != NULL ? auc : csl_metrics_find(m, "c_index");
}

static const struct csl_metric *figure(const struct csl_metrics *m, const char *name)
{
    return name != NULL ? csl_metrics_find(m, name) : csl_discrimination(m);
}

uint32_t csl_result_worst_domain(const struct csl_result *r, const char *name)
{
    uint32_t worst = UINT32_MAX;
    double lowest = 0;
    for (uint32_t d = 0; d < r->domain_count; d++) {
        const struct csl_metric *m = figure(&r->federated.pooled[d], name);
        if (m == NULL || (worst != UINT32_MAX && !(m->value < lowest)))
            continue;
        worst = d;
        lowest = m->value;
    }
    return worst;
}

uint32_t csl_result_worst_group(const struct csl_result *r, uint32_t domain, const char *name)
{
    uint32_t worst = UINT32_MAX;
    double lowest = 0;
    for (uint32_t g = 0; g < r->group_count; g++) {
        const struct csl_metric *m = figure(&r->groups[g].metrics, name);
        bool is_meant = domain == UINT32_MAX || r->groups[g].domain == domain;
        if (m == NULL || !is_meant || (worst != UINT32_MAX && !(m->value < lowest)))
            continue;
        worst = g;
        lowest = m->value;
    }
    return worst;
}
