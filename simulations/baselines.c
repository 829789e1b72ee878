/* simulations/baselines.c - local, best local, ensemble and pooled training. */
#include "simulations/baselines.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct work {
    const struct csl_baselines_config *c;
    struct csl_result *r;
    float *parameters;              /* [P] */
    struct csl_predictions *locals; /* [site_count]; cells NULL: no model */
    struct csl_progress progress;
};

/* Some label has both answers. */
static bool has_both_answers(const struct csl_examples *e)
{
    for (uint32_t k = 0; k < e->answer_count; k++) {
        bool seen[2] = {false, false};
        for (size_t i = k; i < (size_t)e->records * e->answer_count; i += e->answer_count)
            if (e->answer_known[i] != 0)
                seen[e->answer[i]] = true;
        if (seen[0] && seen[1])
            return true;
    }
    return false;
}

/* Why nothing can be learned from these examples; NULL when something can. */
static const char *refuse_training(const struct csl_domain *d, const struct csl_examples *e)
{
    bool has_event = false;
    if (e->records == 0)
        return "it has no training patient with a known label";
    if (d->task == CSL_TASK_LABELS)
        return has_both_answers(e) ? NULL : "its training patients all have the same labels";
    for (uint32_t i = 0; i < e->records; i++) {
        has_event = has_event || e->label[i] != 0;
        if (d->task != CSL_TASK_SURVIVAL && e->label[i] != e->label[0])
            return NULL;
    }
    if (d->task != CSL_TASK_SURVIVAL)
        return "its training patients all have the same label";
    return has_event ? NULL : "none of its training patients has an event";
}

/* The domains a site can train; false: none, and why. */
static bool list_trainable(const struct csl_sim_data *d, uint32_t site, bool *wanted,
                           const char **reason)
{
    bool any = false;
    *reason = "it has no training patient with a known label";
    for (uint32_t k = 0; k < d->study->domain_count; k++) {
        const struct csl_examples *e = &d->sites[site]->domains[k][CSL_SPLIT_TRAIN];
        const char *why = refuse_training(&d->study->domains[k], e);
        wanted[k] = why == NULL;
        any = any || why == NULL;
        if (why != NULL && e->records > 0)
            *reason = why;
    }
    return any;
}

static bool is_interrupted(const struct csl_baselines_config *c)
{
    return c->interrupted != NULL && c->interrupted(c->interrupted_ctx);
}

static enum csl_code fit(struct work *w, const struct csl_dataset *data, struct csl_err *err)
{
    const struct csl_study *study = w->c->data->study;
    if (is_interrupted(w->c))
        return CSL_FAIL(err, CSL_E_CANCELLED, "interrupted while the baselines were trained");
    if (w->c->initial != NULL)
        memcpy(w->parameters, w->c->initial, study->schema.parameters * sizeof(float));
    else
        csl_schema_init_parameters(&study->schema, w->c->seed, w->parameters);
    return csl_trainer_fit(w->c->trainer, data, &study->baseline, w->c->seed, w->parameters, err);
}

/* Every local model on every site is a square of work: it is left out of large federations. */
static bool is_crossed_study(const struct csl_sim_data *d)
{
    return d->site_count <= CSL_CROSS_SITES_MAX;
}

static enum csl_code run_local(struct work *w, uint32_t site, struct csl_err *err)
{
    const struct csl_sim_data *d = w->c->data;
    struct csl_result_local *l = &w->r->baselines.locals[site];
    bool wanted[CSL_DOMAINS_MAX], is_crossed = is_crossed_study(d);
    uint32_t where = is_crossed ? UINT32_MAX : site;
    const char *reason;
    if (!list_trainable(d, site, wanted, &reason)) {
        CSL_ASSERT(csl_str_copy(l->reason, sizeof(l->reason), reason));
        return CSL_OK;
    }
    enum csl_code code = fit(w, d->sites[site], err);
    if (code == CSL_OK)
        code = csl_predict_sites(&w->locals[site], d, w->c->trainer, w->parameters, wanted, where,
                                 err);
    if (code == CSL_OK && is_crossed)
        code = csl_evaluate_predictions(&l->evaluation, d, &w->locals[site], true, w->c->seed, err);
    else if (code == CSL_OK)
        code =
            csl_evaluation_init(&l->evaluation, d->site_count, d->study->domain_count, false, err);
    for (uint32_t k = 0; k < d->study->domain_count && code == CSL_OK; k++)
        code = csl_evaluate_cell(&l->own[k], d, &w->locals[site], site, k, w->c->seed, err);
    l->is_absent = code != CSL_OK;
    return code;
}

/* Per domain, the site whose model has the best pooled headline metric. */
static void choose_best(struct csl_result *r)
{
    struct csl_result_baselines *b = &r->baselines;
    for (uint32_t k = 0; k < r->domain_count; k++) {
        const char *metric = csl_headline(r->domains[k].task)[0];
        double best = -1.0;
        for (uint32_t s = 0; s < r->site_count; s++) {
            const struct csl_metric *m =
                b->locals[s].is_absent
                    ? NULL
                    : csl_metrics_find(&b->locals[s].evaluation.pooled[k], metric);
            if (m == NULL || m->value <= best)
                continue;
            best = m->value;
            b->best_site[k] = s;
            b->has_best_local = true;
        }
    }
}

/* Composes the predictions of each domain's best local model. Cells are borrowed. */
static enum csl_code run_best(struct work *w, struct csl_err *err)
{
    const struct csl_sim_data *d = w->c->data;
    struct csl_result_baselines *b = &w->r->baselines;
    struct csl_predictions p = {d->site_count, d->study->domain_count, NULL};
    choose_best(w->r);
    if (!b->has_best_local)
        return CSL_OK;
    p.cells = csl_alloc_array((size_t)p.site_count * p.domain_count, sizeof(*p.cells));
    if (p.cells == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the best local model");
    for (uint32_t s = 0; s < p.site_count; s++) {
        for (uint32_t k = 0; k < p.domain_count; k++) {
            size_t at = (size_t)s * p.domain_count + k;
            if (b->best_site[k] != UINT32_MAX)
                p.cells[at] = w->locals[b->best_site[k]].cells[at];
        }
    }
    enum csl_code code = csl_evaluate_predictions(&b->best_local, d, &p, true, w->c->seed, err);
    csl_free(p.cells);
    return code;
}

/* Mean of the local models' predictions; false when no model has the domain. */
static bool average_cell(const struct work *w, size_t at, size_t n, float *out)
{
    const struct csl_sim_data *d = w->c->data;
    uint32_t models = 0;
    for (uint32_t s = 0; s < d->site_count; s++)
        models += w->locals[s].cells != NULL && w->locals[s].cells[at] != NULL;
    for (size_t i = 0; models > 0 && i < n; i++) {
        double sum = 0.0;
        for (uint32_t s = 0; s < d->site_count; s++)
            if (w->locals[s].cells != NULL && w->locals[s].cells[at] != NULL)
                sum += (double)w->locals[s].cells[at][i];
        out[i] = (float)(sum / (double)models);
    }
    return models > 0;
}

static enum csl_code average_all(const struct work *w, struct csl_predictions *p, bool *any,
                                 struct csl_err *err)
{
    const struct csl_sim_data *d = w->c->data;
    for (uint32_t s = 0; s < p->site_count; s++) {
        for (uint32_t k = 0; k < p->domain_count; k++) {
            size_t at = (size_t)s * p->domain_count + k;
            size_t n = (size_t)d->sites[s]->domains[k][CSL_SPLIT_TEST].records *
                       csl_prediction_width(&d->study->domains[k]);
            if (n == 0)
                continue;
            float *mean = csl_alloc_array(n, sizeof(*mean));
            if (mean == NULL)
                return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the ensemble");
            if (average_cell(w, at, n, mean)) {
                p->cells[at] = mean;
                *any = true;
            } else {
                csl_free(mean);
            }
        }
    }
    return CSL_OK;
}

static enum csl_code run_ensemble(struct work *w, struct csl_err *err)
{
    const struct csl_sim_data *d = w->c->data;
    struct csl_result_baselines *b = &w->r->baselines;
    struct csl_predictions p = {d->site_count, d->study->domain_count, NULL};
    bool any = false;
    p.cells = csl_alloc_array((size_t)p.site_count * p.domain_count, sizeof(*p.cells));
    if (p.cells == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the ensemble");
    enum csl_code code = average_all(w, &p, &any, err);
    if (code == CSL_OK && any)
        code = csl_evaluate_predictions(&b->ensemble, d, &p, true, w->c->seed, err);
    b->has_ensemble = code == CSL_OK && any;
    csl_predictions_release(&p);
    return code;
}

static enum csl_code run_pooled(struct work *w, struct csl_err *err)
{
    struct csl_sim_data *d = w->c->data;
    struct csl_result_baselines *b = &w->r->baselines;
    struct csl_predictions p = {0};
    bool any = false;
    enum csl_code code = csl_sim_data_load_pooled(d, w->c->sites, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t k = 0; k < d->study->domain_count; k++)
        any = any || refuse_training(&d->study->domains[k],
                                     &d->pooled->domains[k][CSL_SPLIT_TRAIN]) == NULL;
    if (!any) {
        CSL_ASSERT(csl_str_copy(b->pooled_reason, sizeof(b->pooled_reason),
                                "all sites together have no domain that could be trained"));
        return CSL_OK;
    }
    code = fit(w, d->pooled, err);
    if (code == CSL_OK)
        code = csl_predict_pooled(&p, d, w->c->trainer, w->parameters, err);
    if (code == CSL_OK)
        code = csl_evaluate_predictions(&b->pooled_training, d, &p, true, w->c->seed, err);
    b->has_pooled_training = code == CSL_OK;
    csl_predictions_release(&p);
    return code;
}

enum csl_code csl_baselines_run(struct csl_result *r, const struct csl_baselines_config *c,
                                struct csl_err *err)
{
    const struct csl_sim_data *d = c->data;
    struct work w = {.c = c, .r = r};
    enum csl_code code = csl_result_init_baselines(r, err);
    if (code != CSL_OK)
        return code;
    w.parameters = csl_alloc_array((size_t)d->study->schema.parameters, sizeof(*w.parameters));
    w.locals = csl_alloc_array(d->site_count, sizeof(*w.locals));
    if (w.parameters == NULL || w.locals == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the baselines");
    csl_progress_start(&w.progress, c->progress, "baselines", "models",
                       (uint64_t)d->site_count + 1);
    for (uint32_t s = 0; s < d->site_count && code == CSL_OK; s++) {
        code = run_local(&w, s, err);
        csl_progress_update(&w.progress, (uint64_t)s + 1);
    }
    if (code == CSL_OK && is_crossed_study(d))
        code = run_best(&w, err);
    if (code == CSL_OK && is_crossed_study(d))
        code = run_ensemble(&w, err);
    if (code == CSL_OK)
        code = run_pooled(&w, err);
    csl_progress_finish(&w.progress);
    r->baselines.is_present = code == CSL_OK;
    for (uint32_t s = 0; w.locals != NULL && s < d->site_count; s++)
        csl_predictions_release(&w.locals[s]);
    csl_free(w.locals);
    csl_free(w.parameters);
    return code;
}
