/* simulations/repeats.c - mean and standard deviation of every number over repeats of a run. */
#include "base/check.h"
#include "base/mem.h"
#include "simulations/result.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

const struct csl_spread *csl_spread_find(const struct csl_spread_set *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->items[i].name, name) == 0)
            return &s->items[i];
    return NULL;
}

bool csl_spread_sd(const struct csl_spread *s, double *sd)
{
    if (s->count < 2)
        return false;
    *sd = sqrt(s->squares / (double)(s->count - 1));
    return true;
}

/* Welford's update; `name` is static. */
static void spread_add(struct csl_spread_set *set, const char *name, double value)
{
    struct csl_spread *s = NULL;
    for (uint32_t i = 0; i < set->count && s == NULL; i++)
        if (strcmp(set->items[i].name, name) == 0)
            s = &set->items[i];
    if (s == NULL) {
        if (set->count == CSL_METRICS_MAX)
            return;
        s = &set->items[set->count++];
        s->name = name;
    }
    double distance = value - s->mean;
    s->count++;
    s->mean += distance / (double)s->count;
    s->squares += distance * (value - s->mean);
}

static void add_metrics(struct csl_spread_set *set, const struct csl_metrics *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        spread_add(set, m->items[i].name, m->items[i].value);
}

enum csl_code csl_evaluation_spread_init(struct csl_evaluation_spread *s, uint32_t site_count,
                                         uint32_t domain_count, bool has_cells, struct csl_err *err)
{
    size_t cells = (size_t)site_count * domain_count;
    s->site_count = site_count;
    s->domain_count = domain_count;
    s->pooled = csl_alloc_array(domain_count, sizeof(*s->pooled));
    s->means = csl_alloc_array(domain_count, sizeof(*s->means));
    if (has_cells)
        s->cells = csl_alloc_array(cells, sizeof(*s->cells));
    if (s->pooled == NULL || s->means == NULL || (has_cells && s->cells == NULL))
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the repeats of %u sites", site_count);
    return CSL_OK;
}

void csl_evaluation_spread_release(struct csl_evaluation_spread *s)
{
    csl_free(s->cells);
    csl_free(s->pooled);
    csl_free(s->means);
    memset(s, 0, sizeof(*s));
}

void csl_repeats_release(struct csl_repeats *p)
{
    for (uint32_t i = 0; i < p->local_count; i++)
        csl_evaluation_spread_release(&p->locals[i]);
    csl_free(p->locals);
    csl_evaluation_spread_release(&p->federated);
    csl_evaluation_spread_release(&p->best_local);
    csl_evaluation_spread_release(&p->ensemble);
    csl_evaluation_spread_release(&p->pooled_training);
    csl_evaluation_spread_release(&p->external);
    for (int i = 0; i < CSL_TRANSFER_COUNT; i++)
        csl_evaluation_spread_release(&p->transfer[i]);
    memset(p, 0, sizeof(*p));
}

enum csl_code csl_evaluation_spread_add(struct csl_evaluation_spread *s,
                                        const struct csl_evaluation *e, struct csl_err *err)
{
    struct csl_mean mean;
    if (s->pooled == NULL) {
        enum csl_code code =
            csl_evaluation_spread_init(s, e->site_count, e->domain_count, e->cells != NULL, err);
        if (code != CSL_OK)
            return code;
    }
    CSL_ASSERT(s->site_count == e->site_count && s->domain_count == e->domain_count);
    for (uint32_t d = 0; d < e->domain_count; d++) {
        add_metrics(&s->pooled[d], &e->pooled[d]);
        for (uint32_t i = 0; s->cells != NULL && e->cells != NULL && i < e->site_count; i++)
            add_metrics(&s->cells[(size_t)i * e->domain_count + d], csl_evaluation_cell(e, i, d));
        for (const char *const *name = csl_metric_names(); *name != NULL; name++)
            if (csl_evaluation_mean(e, d, *name, &mean))
                spread_add(&s->means[d], mean.name, mean.value);
    }
    for (const char *const *name = csl_metric_names(); *name != NULL; name++)
        if (csl_evaluation_overall(e, *name, &mean))
            spread_add(&s->overall, mean.name, mean.value);
    return CSL_OK;
}

static enum csl_code add_baselines(struct csl_repeats *p, const struct csl_result *run,
                                   struct csl_err *err)
{
    const struct csl_result_baselines *b = &run->baselines;
    enum csl_code code = CSL_OK;
    if (p->locals == NULL) {
        p->locals = csl_alloc_array(run->site_count, sizeof(*p->locals));
        if (p->locals == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the repeats of %u sites",
                            run->site_count);
        p->local_count = run->site_count;
    }
    CSL_ASSERT(p->local_count == run->site_count);
    for (uint32_t s = 0; s < run->site_count && code == CSL_OK; s++)
        if (!b->locals[s].is_absent)
            code = csl_evaluation_spread_add(&p->locals[s], &b->locals[s].evaluation, err);
    if (code == CSL_OK && b->has_best_local)
        code = csl_evaluation_spread_add(&p->best_local, &b->best_local, err);
    if (code == CSL_OK && b->has_ensemble)
        code = csl_evaluation_spread_add(&p->ensemble, &b->ensemble, err);
    if (code == CSL_OK && b->has_pooled_training)
        code = csl_evaluation_spread_add(&p->pooled_training, &b->pooled_training, err);
    return code;
}

enum csl_code csl_repeats_add(struct csl_repeats *p, const struct csl_result *run,
                              struct csl_err *err)
{
    enum csl_code code = csl_evaluation_spread_add(&p->federated, &run->federated, err);
    if (code == CSL_OK && run->baselines.is_present)
        code = add_baselines(p, run, err);
    if (code == CSL_OK && run->external != NULL)
        code = csl_evaluation_spread_add(&p->external, &run->external->federated, err);
    for (int i = 0; i < CSL_TRANSFER_COUNT && code == CSL_OK; i++)
        if (run->transfer.models[i].pooled != NULL)
            code = csl_evaluation_spread_add(&p->transfer[i], &run->transfer.models[i], err);
    if (code != CSL_OK)
        return code;
    if (p->count == 0)
        p->first_seed = run->seed;
    p->last_seed = run->seed;
    p->count++;
    return CSL_OK;
}
