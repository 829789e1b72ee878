/* Baselines: ordinary training on one data set. */
#include "site-agent/training/fused_train.h"

#include <string.h>

static struct csl_optimiser_config config_of(const struct csl_baseline *c)
{
    return (struct csl_optimiser_config){
        .kind = c->optimizer,
        .learning_rate = c->learning_rate,
        .momentum = 0.9,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .l2 = c->l2,
        .decay = c->weight_decay,
    };
}

static enum csl_code fit_domain(struct csl_trainer *t, const struct csl_dataset *data,
                                const struct csl_baseline *c, uint64_t seed, uint32_t domain,
                                struct csl_err *err)
{
    const struct csl_domain *d = &t->study->domains[domain];
    const struct csl_net *n = &t->nets[domain];
    const struct csl_optimiser_config config = config_of(c);
    struct csl_batches batches;
    enum csl_code code =
        csl_batches_init(&batches, &data->domains[domain][CSL_SPLIT_TRAIN], "baseline", d->id,
                         d->classes, data->site, seed, c->batch_patients, err);
    if (code != CSL_OK)
        return code;
    struct csl_loop loop = {
        .domain = domain,
        .batches = &batches,
        .steps = c->epochs * batches.per_epoch,
        .what = "baseline of seed",
        .number = seed,
        .schedule = c->schedule,
        .learning_rate = c->learning_rate,
    };
    loop.schedule.steps = loop.steps;
    code = csl_trainer__optimiser(t, n, &config, &loop.optimiser, err);
    if (code == CSL_OK)
        code = csl_trainer__loop(t, &loop, err);
    csl_batches_release(&batches);
    return code;
}

/* All domains of a study with inputs at once. */
static enum csl_code fit_fused(struct csl_trainer *t, const struct csl_dataset *data,
                               const struct csl_baseline *c, uint64_t seed, struct csl_err *err)
{
    const struct csl_optimiser_config config = config_of(c);
    struct csl_fused_run run = {.seed = seed,
                                .site = data->site,
                                .what = "baseline of seed",
                                .number = seed,
                                .schedule = c->schedule,
                                .learning_rate = c->learning_rate};
    struct csl_fused f;
    enum csl_code code = csl_fused_open(&f, t, data, err);
    if (code != CSL_OK || f.all.records == 0) {
        csl_fused_close(&f);
        return code;
    }
    code = csl_fused_run_open__(&run, &f, &config, "baseline", c->batch_patients, err);
    run.steps = c->epochs * run.batches.per_epoch;
    run.schedule.steps = run.steps;
    if (code == CSL_OK)
        code = csl_fused_loop__(&run, err);
    csl_fused_run_close__(&run);
    csl_fused_close(&f);
    return code;
}

enum csl_code csl_trainer_fit(struct csl_trainer *t, const struct csl_dataset *data,
                              const struct csl_baseline *c, uint64_t seed, float *parameters,
                              struct csl_err *err)
{
    uint64_t count = t->study->schema.parameters, bytes = count * sizeof(float);
    enum csl_code code = csl_trainer__check_data(t, data, err);
    if (code != CSL_OK)
        return code;
    t->ops->put(t->dev, t->vectors[CSL_V_WEIGHTS], 0, parameters, bytes);
    if (data->multimodal != NULL)
        code = fit_fused(t, data, c, seed, err);
    for (uint32_t d = 0; data->multimodal == NULL && code == CSL_OK && d < t->study->domain_count;
         d++)
        if (data->domains[d][CSL_SPLIT_TRAIN].records > 0)
            code = fit_domain(t, data, c, seed, d, err);
    if (code != CSL_OK)
        return code;
    t->ops->get(t->dev, t->host, t->vectors[CSL_V_WEIGHTS], 0, bytes);
    code = t->ops->sync(t->dev, err);
    if (code != CSL_OK)
        return code;
    uint64_t bad = csl_first_not_finite(t->host, count);
    if (bad < count)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "baseline: parameter %llu is not finite after %u epochs; the learning rate "
                        "may be too high",
                        (unsigned long long)bad, c->epochs);
    memcpy(parameters, t->host, (size_t)bytes);
    return CSL_OK;
}
