/* simulations/run_attack.c - which sites of the run attacked, and whether their backdoors open. */
#include "base/check.h"
#include "base/mem.h"
#include "simulations/attack.h"
#include "simulations/evaluate.h"
#include "simulations/run.h"

#include <string.h>

static const struct csl_sim_attack *attack_of(const struct csl_study *study, const char *site)
{
    for (uint32_t i = 0; i < study->sim_site_count; i++)
        if (strcmp(study->sim_sites[i].id, site) == 0 &&
            study->sim_sites[i].attack.kind != CSL_ATTACK_NONE)
            return &study->sim_sites[i].attack;
    return NULL;
}

void csl_run_describe_attacks(struct csl_result *r, const struct csl_study *study)
{
    for (uint32_t s = 0; s < r->site_count; s++) {
        const struct csl_sim_attack *a = attack_of(study, r->sites[s].id);
        if (a != NULL)
            r->sites[s].attack =
                (struct csl_result_attack){.kind = a->kind, .factor = a->factor, .share = a->share};
    }
}

static bool is_target(const struct csl_domain *d, const float *scores, uint32_t i, uint32_t target)
{
    if (d->task == CSL_TASK_BINARY)
        return (scores[i] >= 0.5f) == (target == 1);
    const float *row = scores + (size_t)i * d->classes;
    uint32_t best = 0;
    for (uint32_t k = 1; k < d->classes; k++)
        best = row[k] > row[best] ? k : best;
    return best == target;
}

/* The records that are not of the target class; *count: those the model gives to it. */
static enum csl_code count_target(const struct csl_sim_attack *a, uint32_t domain,
                                  const struct csl_domain *d, const struct csl_examples *e,
                                  struct csl_trainer *trainer, const float *parameters,
                                  uint64_t *count, struct csl_err *err)
{
    float *scores = csl_alloc_array((size_t)e->records * csl_prediction_width(d), sizeof(*scores));
    if (scores == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u predictions", e->records);
    enum csl_code code = csl_trainer_predict(trainer, domain, e, parameters, scores, NULL, err);
    for (uint32_t i = 0; code == CSL_OK && i < e->records; i++)
        *count += e->label[i] != a->target && is_target(d, scores, i, a->target);
    csl_free(scores);
    return code;
}

static enum csl_code measure(struct csl_result_attack *out, const struct csl_sim_attack *a,
                             uint32_t domain, const struct csl_domain *d,
                             const struct csl_examples *e, struct csl_trainer *trainer,
                             const float *parameters, struct csl_err *err)
{
    uint32_t column = csl_sim_attack_column(a, d);
    struct csl_examples opened = *e;
    if (column == UINT32_MAX || e->records == 0)
        return CSL_OK;
    size_t values = (size_t)e->records * e->width;
    opened.x = csl_alloc_array(values, sizeof(float));
    if (opened.x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to set the trigger of %u records", e->records);
    memcpy(opened.x, e->x, values * sizeof(float));
    for (uint32_t i = 0; i < e->records; i++) {
        opened.x[(size_t)i * e->width + column] = (float)a->value;
        out->records += e->label[i] != a->target;
    }
    enum csl_code code =
        count_target(a, domain, d, e, trainer, parameters, &out->without_trigger, err);
    if (code == CSL_OK)
        code = count_target(a, domain, d, &opened, trainer, parameters, &out->with_trigger, err);
    csl_free(opened.x);
    return code;
}

enum csl_code csl_run_measure_attacks(struct csl_result *r, const struct csl_sim_data *data,
                                      struct csl_trainer *trainer, const float *parameters,
                                      struct csl_err *err)
{
    const struct csl_study *study = data->study;
    enum csl_code code = CSL_OK;
    for (uint32_t k = 0; k < r->site_count; k++) {
        const struct csl_sim_attack *a = attack_of(study, r->sites[k].id);
        if (a == NULL || a->kind != CSL_ATTACK_BACKDOOR)
            continue;
        for (uint32_t s = 0; s < data->site_count; s++)
            for (uint32_t d = 0; d < study->domain_count && code == CSL_OK; d++)
                if (r->sites[s].attack.kind == CSL_ATTACK_NONE)
                    code = measure(&r->sites[k].attack, a, d, &study->domains[d],
                                   &data->sites[s]->domains[d][CSL_SPLIT_TEST], trainer,
                                   data->own != NULL ? data->own[s] : parameters, err);
    }
    return code;
}
