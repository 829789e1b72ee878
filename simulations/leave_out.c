#include "simulations/leave_out.h"

#include "base/check.h"
#include "base/mem.h"
#include "simulations/few_shot.h"

#include <string.h>

#include "base/banned.h"

struct work {
    const struct csl_leave_out_config *c;
    struct csl_result *r;
    float *parameters; /* [P] */
    struct csl_predictions models[CSL_TRANSFER_COUNT];
};

/* Adds what `parameters` say of the site's test patients in the wanted domains. */
static enum csl_code predict(struct work *w, enum csl_transfer t, uint32_t site,
                             const float *parameters, const bool *wanted, struct csl_err *err)
{
    struct csl_predictions p = {0};
    enum csl_code code =
        csl_predict_sites(&p, w->c->data, w->c->trainer, parameters, wanted, site, err);
    if (code == CSL_OK)
        csl_predictions_move(&w->models[t], &p, site);
    csl_predictions_release(&p);
    return code;
}

static uint64_t steps_per_epoch(const struct csl_dataset *d, uint32_t batch_patients)
{
    uint64_t steps = 0;
    for (uint32_t k = 0; k < d->domain_count; k++) {
        uint64_t patients = d->domains[k][CSL_SPLIT_TRAIN].patients;
        uint64_t batch = batch_patients == 0 ? patients : batch_patients;
        steps += patients > 0 ? (patients + batch - 1) / batch : 0;
    }
    return steps;
}

/* Fewer patients make an epoch shorter, and a model that saw few steps would be held against one
 * that saw many: the epochs are so many more that the steps are those of all the site's training
 * patients, or a few more. */
static struct csl_baseline prolong(const struct csl_baseline *c, const struct csl_dataset *all,
                                   const struct csl_dataset *few)
{
    struct csl_baseline longer = *c;
    uint64_t most = steps_per_epoch(all, c->batch_patients);
    uint64_t least = steps_per_epoch(few, c->batch_patients);
    uint64_t epochs = least > 0 ? c->epochs * ((most + least - 1) / least) : c->epochs;
    longer.epochs = epochs < UINT32_MAX ? (uint32_t)epochs : UINT32_MAX;
    return longer;
}

/* The global model, its head fitted where something can be learned. */
static enum csl_code run_head(struct work *w, uint32_t level, uint32_t site,
                              const struct csl_dataset *few, const bool *learns,
                              const float *global, struct csl_err *err)
{
    const struct csl_study *study = w->c->data->study;
    const struct csl_baseline training =
        prolong(&study->personal.training, w->c->data->sites[site], few);
    const struct csl_personal_fit fit = {.training = &training, .is_head_only = true};
    enum csl_transfer t = (enum csl_transfer)(CSL_TRANSFER_FEW_HEAD + level);
    bool stays[CSL_DOMAINS_MAX];
    for (uint32_t k = 0; k < study->domain_count; k++)
        stays[k] = !learns[k];
    memcpy(w->parameters, global, study->schema.parameters * sizeof(*w->parameters));
    enum csl_code code =
        csl_trainer_personalise(w->c->trainer, few, &fit, w->c->seed, w->parameters, err);
    if (code == CSL_OK)
        code = predict(w, t, site, w->parameters, learns, err);
    return code == CSL_OK ? predict(w, t, site, global, stays, err) : code;
}

static enum csl_code run_local(struct work *w, uint32_t level, uint32_t site,
                               const struct csl_dataset *few, const bool *learns,
                               struct csl_err *err)
{
    const struct csl_study *study = w->c->data->study;
    const struct csl_baseline training = prolong(&study->baseline, w->c->data->sites[site], few);
    if (w->c->initial != NULL)
        memcpy(w->parameters, w->c->initial, study->schema.parameters * sizeof(*w->parameters));
    else
        csl_schema_init_parameters(&study->schema, w->c->seed, w->parameters);
    enum csl_code code =
        csl_trainer_fit(w->c->trainer, few, &training, w->c->seed, w->parameters, err);
    return code == CSL_OK ? predict(w, (enum csl_transfer)(CSL_TRANSFER_FEW_LOCAL + level), site,
                                    w->parameters, learns, err)
                          : code;
}

static enum csl_code run_few(struct work *w, uint32_t level, uint32_t site, const float *global,
                             struct csl_err *err)
{
    const struct csl_sim_data *d = w->c->data;
    struct csl_dataset *few = NULL;
    uint32_t used[CSL_DOMAINS_MAX] = {0};
    bool learns[CSL_DOMAINS_MAX];
    enum csl_code code =
        csl_few_draw(&few, d->sites[site], csl_few_levels[level], w->c->seed, used, err);
    for (uint32_t k = 0; code == CSL_OK && k < d->study->domain_count; k++) {
        size_t at = ((size_t)level * d->site_count + site) * d->study->domain_count + k;
        learns[k] = csl_sim_refuse_training(&d->study->domains[k],
                                            &few->domains[k][CSL_SPLIT_TRAIN]) == NULL;
        w->r->transfer.labelled[at] = used[k];
    }
    if (code == CSL_OK)
        code = run_head(w, level, site, few, learns, global, err);
    if (code == CSL_OK)
        code = run_local(w, level, site, few, learns, err);
    csl_dataset_free(few);
    return code;
}

static enum csl_code run_site(struct work *w, uint32_t site, struct csl_err *err)
{
    struct csl_world_result world = {.rounds = 0};
    enum csl_code code = w->c->federate(w->c->federate_ctx, site, &world, err);
    if (code != CSL_OK)
        return code;
    code = predict(w, CSL_TRANSFER_LEFT_OUT, site, world.parameters, NULL, err);
    for (uint32_t l = 0; w->c->asks_few && l < CSL_FEW_LEVELS && code == CSL_OK; l++)
        code = run_few(w, l, site, world.parameters, err);
    csl_world_result_release(&world);
    return code;
}

static enum csl_code evaluate(struct work *w, int last, struct csl_err *err)
{
    struct csl_result_transfer *t = &w->r->transfer;
    enum csl_code code = CSL_OK;
    for (int i = CSL_TRANSFER_LEFT_OUT; i < last && code == CSL_OK; i++)
        code = csl_evaluate_predictions(&t->models[i], w->c->data, &w->models[i], true, w->c->seed,
                                        err);
    for (int i = CSL_TRANSFER_LEFT_OUT; code != CSL_OK && i < last; i++)
        csl_evaluation_release(&t->models[i]);
    return code;
}

enum csl_code csl_leave_out_run(struct csl_result *r, const struct csl_leave_out_config *c,
                                struct csl_err *err)
{
    struct work w = {.c = c, .r = r};
    int last = c->asks_few ? CSL_TRANSFER_COUNT : CSL_TRANSFER_LEFT_OUT + 1;
    enum csl_code code = CSL_OK;
    w.parameters =
        csl_alloc_array((size_t)c->data->study->schema.parameters, sizeof(*w.parameters));
    if (w.parameters == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the models of few patients");
    if (c->asks_few)
        code = csl_result_transfer_init_few(r, err);
    for (int i = CSL_TRANSFER_LEFT_OUT; i < last && code == CSL_OK; i++)
        code = csl_predictions_init(&w.models[i], c->data, err);
    for (uint32_t s = 0; s < c->data->site_count && code == CSL_OK; s++)
        code = run_site(&w, s, err);
    if (code == CSL_OK)
        code = evaluate(&w, last, err);
    for (int i = CSL_TRANSFER_LEFT_OUT; i < last; i++)
        csl_predictions_release(&w.models[i]);
    csl_free(w.parameters);
    return code;
}
