/* simulations/run_groups.c - what the sites reported by patient group, as the coordinator adds it
 * up: of the model that was released. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/evaluation.h"
#include "simulations/run.h"

#include <string.h>

#include "aggregation/evaluate/group_sums.h"

#include "base/banned.h"

static bool add_up(const struct csl_world_result *w, uint32_t domain, uint64_t *sum, uint32_t n)
{
    bool has_any = false;
    for (uint32_t i = 0; i < w->evaluation_count; i++) {
        const struct csl_eval_block *b = &w->evaluations[i].block;
        if (w->evaluations[i].round != w->rounds || b->block != domain || b->group_count != n)
            continue;
        for (uint32_t k = 0; k < n; k++)
            sum[k] += b->groups[k];
        has_any = true;
    }
    return has_any;
}

static enum csl_code add_attribute(struct csl_result *r, const struct csl_study *study,
                                   uint32_t domain, uint32_t attribute,
                                   const struct csl_group_figures *f, struct csl_err *err)
{
    const struct csl_study_fairness *asked = &study->fairness;
    struct csl_result_told t = {
        .gap = {.domain = domain, .shown = f->shown, .hidden = f->hidden, .metrics = f->gaps}};
    CSL_ASSERT(
        csl_str_copy(t.gap.attribute, sizeof(t.gap.attribute), asked->attributes[attribute]));
    if (f->worst != UINT32_MAX) {
        CSL_ASSERT(csl_str_copy(t.worst, sizeof(t.worst), asked->values[attribute][f->worst]));
        t.worst_patients = f->worst_patients;
        t.worst_f1 = f->worst_f1;
    }
    return csl_result_add_told(r, &t, err);
}

static enum csl_code take_domain(struct csl_result *r, const struct csl_study *study,
                                 uint32_t domain, uint64_t *sum, struct csl_group_figures *f,
                                 struct csl_err *err)
{
    const struct csl_study_fairness *asked = &study->fairness;
    struct csl_group_plan plan;
    struct csl_sums all = {.counts = NULL};
    csl_study_group_plan(study, domain, &plan);
    enum csl_code code = csl_sums_init(&all, plan.classes, 0, err);
    if (code == CSL_OK)
        code = csl_group_sums_total(&plan, sum, &all, err);
    for (uint32_t a = 0; a < asked->attribute_count && code == CSL_OK; a++) {
        code = csl_group_sums_evaluate(&plan, sum, &all, a, asked->minimum_group,
                                       asked->minimum_sites, r->seed, f, err);
        if (code == CSL_OK)
            code = add_attribute(r, study, domain, a, f, err);
    }
    csl_sums_release(&all);
    return code;
}

enum csl_code csl_run_take_groups(struct csl_result *r, const struct csl_study *study,
                                  const struct csl_world_result *w, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t d = 0; d < study->domain_count && code == CSL_OK; d++) {
        uint32_t n = csl_study_group_counts(study, d);
        if (n == 0)
            continue;
        uint64_t *sum = csl_alloc_array(n, sizeof(*sum));
        struct csl_group_figures *f = csl_alloc(sizeof(*f));
        if (sum == NULL || f == NULL)
            code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u counts by patient group", n);
        else if (add_up(w, d, sum, n))
            code = take_domain(r, study, d, sum, f, err);
        csl_free(sum);
        csl_free(f);
    }
    return code == CSL_OK ? csl_result_add_told_rows(r, err) : code;
}
