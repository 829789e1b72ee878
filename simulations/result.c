/* simulations/result.c - storage of a run's result, and the averages over it. */
#include "simulations/result.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define Z95 1.959963984540054

static const char *const metric_names[] = {
    "auc", "accuracy", "balanced_accuracy", "macro_f1", "sensitivity", "specificity", "c_index",
    "ece", "brier",    "log_loss",          NULL};
static const char *const metric_titles[] = {
    "AUC",     "Accuracy", "Balanced accuracy", "Macro-F1", "Sensitivity", "Specificity",
    "C-index", "ECE",      "Brier score",       "Log loss"};
static const char *const method_names[] = {
    "delong",          "delong-binned", "wilson",     "bootstrap",
    "bootstrap-basic", "bootstrap-gap", "label-mean", NULL};

static const char *intern(const char *const *known, const char *name)
{
    for (size_t i = 0; known[i] != NULL; i++)
        if (strcmp(known[i], name) == 0)
            return known[i];
    return NULL;
}

const char *const *csl_metric_names(void)
{
    return metric_names;
}

const char *csl_metric_intern(const char *name)
{
    const char *known = intern(metric_names, name);
    return known != NULL ? known : csl_gap_intern(name);
}

const char *csl_method_intern(const char *name)
{
    return intern(method_names, name);
}

const char *csl_metric_title(const char *name)
{
    for (size_t i = 0; metric_names[i] != NULL; i++)
        if (strcmp(metric_names[i], name) == 0)
            return metric_titles[i];
    return csl_gap_title(name);
}

const char *const *csl_headline(enum csl_task_kind task)
{
    static const char *const binary[] = {"auc", "accuracy", NULL};
    static const char *const classes[] = {"macro_f1", "balanced_accuracy", NULL};
    static const char *const survival[] = {"c_index", NULL};
    static const char *const labels[] = {"auc", "balanced_accuracy", NULL};
    switch (task) {
    case CSL_TASK_BINARY:
        return binary;
    case CSL_TASK_CLASSES:
        return classes;
    case CSL_TASK_LABELS:
        return labels;
    case CSL_TASK_SURVIVAL:
    case CSL_TASK_KIND_COUNT:
        break;
    }
    return survival;
}

enum csl_code csl_evaluation_init(struct csl_evaluation *e, uint32_t site_count,
                                  uint32_t domain_count, bool has_cells, struct csl_err *err)
{
    struct csl_evaluation made = {.site_count = site_count, .domain_count = domain_count};
    size_t cells = (size_t)site_count * domain_count;
    made.pooled = csl_alloc_array(domain_count, sizeof(*made.pooled));
    if (has_cells)
        made.cells = csl_alloc_array(cells, sizeof(*made.cells));
    if (made.pooled == NULL || (has_cells && made.cells == NULL)) {
        csl_evaluation_release(&made);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the metrics of %u sites", site_count);
    }
    *e = made;
    return CSL_OK;
}

void csl_evaluation_release(struct csl_evaluation *e)
{
    csl_free(e->cells);
    csl_free(e->pooled);
    memset(e, 0, sizeof(*e));
}

const struct csl_metrics *csl_evaluation_cell(const struct csl_evaluation *e, uint32_t site,
                                              uint32_t domain)
{
    CSL_ASSERT(site < e->site_count && domain < e->domain_count);
    return e->cells == NULL ? NULL : &e->cells[(size_t)site * e->domain_count + domain];
}

struct averager {
    struct csl_mean mean;
    double variance; /* sum over the parts */
};

static void average_add(struct averager *a, double value, bool has_interval, double low,
                        double high)
{
    double error = (high - low) / (2.0 * Z95);
    if (a->mean.count == 0)
        a->mean.has_interval = true;
    a->mean.has_interval = a->mean.has_interval && has_interval;
    a->mean.value += value;
    a->variance += has_interval ? error * error : 0.0;
    a->mean.count++;
}

static bool average_end(struct averager *a, const char *name, struct csl_mean *out)
{
    if (a->mean.count == 0)
        return false;
    double n = (double)a->mean.count, error = Z95 * sqrt(a->variance) / n;
    *out = a->mean;
    out->name = csl_metric_intern(name);
    out->value = a->mean.value / n;
    out->low = out->value - error;
    out->high = out->value + error;
    return true;
}

bool csl_evaluation_mean(const struct csl_evaluation *e, uint32_t domain, const char *name,
                         struct csl_mean *out)
{
    struct averager a = {0};
    for (uint32_t s = 0; e->cells != NULL && s < e->site_count; s++) {
        const struct csl_metric *m = csl_metrics_find(csl_evaluation_cell(e, s, domain), name);
        if (m != NULL)
            average_add(&a, m->value, m->method != NULL, m->low, m->high);
    }
    return average_end(&a, name, out);
}

bool csl_evaluation_overall(const struct csl_evaluation *e, const char *name, struct csl_mean *out)
{
    struct averager a = {0};
    struct csl_mean domain;
    for (uint32_t d = 0; d < e->domain_count; d++)
        if (csl_evaluation_mean(e, d, name, &domain))
            average_add(&a, domain.value, domain.has_interval, domain.low, domain.high);
    return average_end(&a, name, out);
}

bool csl_result_own_mean(const struct csl_result *r, uint32_t domain, const char *name,
                         struct csl_mean *out)
{
    struct averager a = {0};
    for (uint32_t s = 0; r->baselines.locals != NULL && s < r->site_count; s++) {
        const struct csl_metric *m = csl_metrics_find(&r->baselines.locals[s].own[domain], name);
        if (m != NULL)
            average_add(&a, m->value, m->method != NULL, m->low, m->high);
    }
    return average_end(&a, name, out);
}

enum csl_code csl_result_init(struct csl_result *r, uint32_t site_count, uint32_t domain_count,
                              struct csl_err *err)
{
    CSL_ASSERT(r->sites == NULL && r->domains == NULL);
    r->sites = csl_alloc_array(site_count, sizeof(*r->sites));
    r->domains = csl_alloc_array(domain_count, sizeof(*r->domains));
    r->fairness.sums = csl_alloc_array(domain_count, sizeof(*r->fairness.sums));
    if (r->sites == NULL || r->domains == NULL || r->fairness.sums == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the result of %u sites", site_count);
    r->site_count = site_count;
    r->domain_count = domain_count;
    return csl_evaluation_init(&r->federated, site_count, domain_count, true, err);
}

enum csl_code csl_result_init_baselines(struct csl_result *r, struct csl_err *err)
{
    struct csl_result_baselines *b = &r->baselines;
    CSL_ASSERT(b->locals == NULL && b->best_site == NULL);
    b->locals = csl_alloc_array(r->site_count, sizeof(*b->locals));
    b->best_site = csl_alloc_array(r->domain_count, sizeof(*b->best_site));
    if (b->locals == NULL || b->best_site == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the baselines of %u sites", r->site_count);
    for (uint32_t d = 0; d < r->domain_count; d++)
        b->best_site[d] = UINT32_MAX;
    for (uint32_t s = 0; s < r->site_count; s++) {
        b->locals[s].is_absent = true;
        b->locals[s].own = csl_alloc_array(r->domain_count, sizeof(*b->locals[s].own));
        if (b->locals[s].own == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the baseline of site %s",
                            r->sites[s].id);
    }
    return CSL_OK;
}

/* All but the external sites. */
static void release_one(struct csl_result *r)
{
    struct csl_result_baselines *b = &r->baselines;
    for (uint32_t s = 0; b->locals != NULL && s < r->site_count; s++) {
        csl_evaluation_release(&b->locals[s].evaluation);
        csl_free(b->locals[s].own);
    }
    csl_free(b->locals);
    csl_free(b->best_site);
    csl_evaluation_release(&b->best_local);
    csl_evaluation_release(&b->ensemble);
    csl_evaluation_release(&b->pooled_training);
    csl_evaluation_release(&r->federated);
    csl_result_transfer_release(&r->transfer);
    csl_repeats_release(&r->repeats);
    for (uint32_t i = 0; i < r->price_count; i++)
        csl_repeats_release(&r->prices[i].repeats);
    csl_free(r->prices);
    csl_statistics_report_release(&r->statistics);
    csl_free(r->groups);
    csl_free(r->labels.items);
    csl_free(r->fairness.sums);
    csl_free(r->fairness.gaps);
    csl_free(r->fairness.told);
    csl_free(r->rows);
    csl_free(r->sites);
    csl_free(r->domains);
    memset(r, 0, sizeof(*r));
}

void csl_result_release(struct csl_result *r)
{
    struct csl_result *external = r->external;
    release_one(r);
    if (external == NULL)
        return;
    release_one(external);
    csl_free(external);
}

enum csl_code csl_result_init_external(struct csl_result *r, uint32_t site_count,
                                       struct csl_err *err)
{
    CSL_ASSERT(r->external == NULL && r->domains != NULL);
    r->external = csl_alloc(sizeof(*r->external));
    if (r->external == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u external sites", site_count);
    enum csl_code code = csl_result_init(r->external, site_count, r->domain_count, err);
    if (code == CSL_OK)
        memcpy(r->external->domains, r->domains, r->domain_count * sizeof(*r->domains));
    return code;
}

enum csl_code csl_result_add_row(struct csl_result *r, const struct csl_result_row *row,
                                 struct csl_err *err)
{
    if (r->row_count == r->row_capacity) {
        uint32_t capacity = r->row_capacity == 0 ? 64 : r->row_capacity * 2;
        struct csl_result_row *rows = r->row_capacity > UINT32_MAX / 4
                                          ? NULL
                                          : csl_realloc_array(r->rows, capacity, sizeof(*rows));
        if (rows == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u rows of metrics", capacity);
        r->rows = rows;
        r->row_capacity = capacity;
    }
    r->rows[r->row_count++] = *row;
    return CSL_OK;
}

enum csl_code csl_result_add_group(struct csl_result *r, const struct csl_result_group *g,
                                   struct csl_err *err)
{
    struct csl_result_group *groups =
        csl_realloc_array(r->groups, (size_t)r->group_count + 1, sizeof(*groups));
    if (groups == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u patient groups", r->group_count + 1);
    r->groups = groups;
    r->groups[r->group_count++] = *g;
    return CSL_OK;
}

static struct csl_result_row test_row(const struct csl_result *r, const char *scope,
                                      const char *site, uint32_t domain)
{
    struct csl_result_row row = {.round = r->rounds};
    CSL_ASSERT(csl_str_copy(row.scope, sizeof(row.scope), scope));
    CSL_ASSERT(csl_str_copy(row.site, sizeof(row.site), site));
    CSL_ASSERT(csl_str_copy(row.domain, sizeof(row.domain), r->domains[domain].id));
    return row;
}

static enum csl_code add_metrics(struct csl_result *r, struct csl_result_row row,
                                 const struct csl_metrics *m, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < m->count && code == CSL_OK; i++) {
        const struct csl_metric *item = &m->items[i];
        CSL_ASSERT(csl_str_copy(row.metric, sizeof(row.metric), item->name));
        CSL_ASSERT(csl_str_copy(row.method, sizeof(row.method), item->method ? item->method : ""));
        row.value = item->value;
        row.low = item->low;
        row.high = item->high;
        row.has_interval = item->method != NULL;
        code = csl_result_add_row(r, &row, err);
    }
    return code;
}

static enum csl_code add_means(struct csl_result *r, uint32_t domain, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (size_t i = 0; metric_names[i] != NULL && code == CSL_OK; i++) {
        struct csl_result_row row = test_row(r, "test_mean", "", domain);
        struct csl_mean mean;
        if (!csl_evaluation_mean(&r->federated, domain, metric_names[i], &mean))
            continue;
        CSL_ASSERT(csl_str_copy(row.metric, sizeof(row.metric), mean.name));
        CSL_ASSERT(csl_str_copy(row.method, sizeof(row.method), mean.has_interval ? "normal" : ""));
        row.value = mean.value;
        row.low = mean.low;
        row.high = mean.high;
        row.has_interval = mean.has_interval;
        code = csl_result_add_row(r, &row, err);
    }
    return code;
}

enum csl_code csl_result_add_test_rows(struct csl_result *r, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t d = 0; d < r->domain_count && code == CSL_OK; d++) {
        for (uint32_t s = 0; s < r->site_count && code == CSL_OK; s++)
            code = add_metrics(r, test_row(r, "test_site", r->sites[s].id, d),
                               csl_evaluation_cell(&r->federated, s, d), err);
        if (code == CSL_OK)
            code = add_metrics(r, test_row(r, "test_pooled", "", d), &r->federated.pooled[d], err);
        if (code == CSL_OK)
            code = add_means(r, d, err);
    }
    return code;
}

static enum csl_code add_transfer(struct csl_result *r, const char *name,
                                  const struct csl_evaluation *e, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    char scope[2][24];
    (void)snprintf(scope[0], sizeof(scope[0]), "%s_site", name);
    (void)snprintf(scope[1], sizeof(scope[1]), "%s_pooled", name);
    for (uint32_t d = 0; e->pooled != NULL && d < r->domain_count && code == CSL_OK; d++) {
        for (uint32_t s = 0; e->cells != NULL && s < r->site_count && code == CSL_OK; s++)
            code = add_metrics(r, test_row(r, scope[0], r->sites[s].id, d),
                               csl_evaluation_cell(e, s, d), err);
        if (code == CSL_OK)
            code = add_metrics(r, test_row(r, scope[1], "", d), &e->pooled[d], err);
    }
    return code;
}

enum csl_code csl_result_add_transfer_rows(struct csl_result *r, struct csl_err *err)
{
    const struct csl_evaluation *models = r->transfer.models;
    enum csl_code code = CSL_OK;
    char name[16];
    for (int m = 0; m < CSL_PERSONAL_COUNT && code == CSL_OK; m++) {
        (void)snprintf(name, sizeof(name), "personal_%s",
                       csl_personal_name((enum csl_personal_method)m));
        code = add_transfer(r, name, &models[CSL_TRANSFER_WHOLE + m], err);
    }
    if (code == CSL_OK)
        code = add_transfer(r, "left_out", &models[CSL_TRANSFER_LEFT_OUT], err);
    for (uint32_t l = 0; l < CSL_FEW_LEVELS && code == CSL_OK; l++) {
        (void)snprintf(name, sizeof(name), "few_%u_head", csl_few_levels[l]);
        code = add_transfer(r, name, &models[CSL_TRANSFER_FEW_HEAD + l], err);
        (void)snprintf(name, sizeof(name), "few_%u_local", csl_few_levels[l]);
        if (code == CSL_OK)
            code = add_transfer(r, name, &models[CSL_TRANSFER_FEW_LOCAL + l], err);
    }
    return code;
}
