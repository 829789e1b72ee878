#include "simulations/personal.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum csl_code csl_personal_describe(struct csl_result *r, const struct csl_study *study,
                                    struct csl_err *err)
{
    const struct csl_study_personal *p = &study->personal;
    char rate[32], batch[48] = "all training patients in a step";
    if (!p->is_on)
        return CSL_OK;
    csl_str_f64(rate, sizeof(rate), p->training.learning_rate);
    if (p->training.batch_patients > 0)
        (void)snprintf(batch, sizeof(batch), "%u patients a step", p->training.batch_patients);
    (void)snprintf(r->transfer.training, sizeof(r->transfer.training),
                   "%s, learning rate %s, %s, %u epochs", csl_optimizer_name(p->training.optimizer),
                   rate, batch, p->training.epochs);
    r->transfer.lambda = p->lambda;
    return csl_result_transfer_init_personal(r, err);
}

/* The site's predictions: by `parameters` for the domains it fitted, else as released. */
static enum csl_code predict(struct csl_predictions *out, const struct csl_personal_config *c,
                             uint32_t site, const float *parameters, const bool *fitted,
                             struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (int pass = 0; pass < 2 && code == CSL_OK; pass++) {
        struct csl_predictions p = {0};
        bool wanted[CSL_DOMAINS_MAX];
        for (uint32_t k = 0; k < c->data->study->domain_count; k++)
            wanted[k] = fitted[k] == (pass == 0);
        code = csl_predict_sites(&p, c->data, c->trainer, pass == 0 ? parameters : c->released,
                                 wanted, site, err);
        if (code == CSL_OK)
            csl_predictions_move(out, &p, site);
        csl_predictions_release(&p);
    }
    return code;
}

/* One site's model by one method, on the site's own test patients. */
static enum csl_code run_site(struct csl_predictions *out, const struct csl_personal_config *c,
                              enum csl_personal_method method, uint32_t site, float *parameters,
                              struct csl_err *err)
{
    const struct csl_study *study = c->data->study;
    const struct csl_personal_fit fit = {
        .training = &study->personal.training,
        .is_head_only = method == CSL_PERSONAL_HEAD,
        .proximal_mu = method == CSL_PERSONAL_DITTO ? study->personal.lambda : 0};
    bool fitted[CSL_DOMAINS_MAX];
    const char *reason;
    enum csl_code code = CSL_OK;
    bool learns = csl_sim_trainable(c->data, site, fitted, &reason);
    if (c->interrupted != NULL && c->interrupted(c->interrupted_ctx))
        return CSL_FAIL(err, CSL_E_CANCELLED, "interrupted while sites fitted their models");
    memcpy(parameters, c->released, study->schema.parameters * sizeof(float));
    if (learns)
        code = csl_trainer_personalise(c->trainer, c->data->sites[site], &fit, c->seed, parameters,
                                       err);
    return code == CSL_OK ? predict(out, c, site, parameters, fitted, err) : code;
}

static void note_kept(struct csl_result *r, const struct csl_sim_data *d)
{
    bool fitted[CSL_DOMAINS_MAX];
    const char *reason;
    for (uint32_t s = 0; s < d->site_count; s++) {
        (void)csl_sim_trainable(d, s, fitted, &reason);
        for (uint32_t k = 0; k < d->study->domain_count; k++)
            r->transfer.keeps[s * d->study->domain_count + k] = !fitted[k];
    }
}

static enum csl_code run_method(struct csl_evaluation *out, const struct csl_personal_config *c,
                                enum csl_personal_method method, float *parameters,
                                struct csl_progress *progress, uint64_t *done, struct csl_err *err)
{
    struct csl_predictions p = {0};
    enum csl_code code = csl_predictions_init(&p, c->data, err);
    for (uint32_t s = 0; s < c->data->site_count && code == CSL_OK; s++) {
        code = run_site(&p, c, method, s, parameters, err);
        csl_progress_update(progress, ++*done);
    }
    if (code == CSL_OK)
        code = csl_evaluate_predictions(out, c->data, &p, true, c->seed, err);
    csl_predictions_release(&p);
    return code;
}

enum csl_code csl_personal_run(struct csl_result *r, const struct csl_personal_config *c,
                               struct csl_err *err)
{
    const struct csl_study_personal *asked = &c->data->study->personal;
    struct csl_evaluation made[CSL_PERSONAL_COUNT] = {{.cells = NULL}};
    struct csl_progress progress;
    uint64_t done = 0, methods = 0;
    enum csl_code code = CSL_OK;
    float *parameters =
        csl_alloc_array((size_t)c->data->study->schema.parameters, sizeof(*parameters));
    if (parameters == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the sites' own models");
    for (int m = 0; m < CSL_PERSONAL_COUNT; m++)
        methods += asked->methods[m];
    note_kept(r, c->data);
    csl_progress_start(&progress, c->progress, "personal", "models", methods * c->data->site_count);
    for (int m = 0; m < CSL_PERSONAL_COUNT && code == CSL_OK; m++)
        if (asked->methods[m])
            code = run_method(&made[m], c, (enum csl_personal_method)m, parameters, &progress,
                              &done, err);
    csl_progress_finish(&progress);
    for (int m = 0; m < CSL_PERSONAL_COUNT; m++) {
        CSL_ASSERT(r->transfer.models[m].pooled == NULL);
        if (code == CSL_OK)
            r->transfer.models[m] = made[m];
        else
            csl_evaluation_release(&made[m]);
    }
    csl_free(parameters);
    return code;
}
