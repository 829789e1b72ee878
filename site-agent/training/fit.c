/* Ordinary training on one data set: baselines, and what a site makes of a released model. */
#include "base/check.h"
#include "site-agent/training/fused_train.h"

#include <string.h>

/* One fit and how its randomness and its errors are named. */
struct fit {
    const struct csl_baseline *c;
    bool is_head_only;
    double proximal_mu;
    const char *purpose, *what;
    uint64_t seed;
};

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

static void cut(struct csl_view *v, uint64_t first, uint64_t count)
{
    if (v->buf == NULL)
        return;
    v->first += first;
    v->count = count;
}

/* Of a domain's net only the last layer, which gives the logits, is stepped. */
static void keep_to_head(struct csl_optimiser *o, const struct csl_net *n)
{
    const struct csl_layer *head = &n->layers[n->layer_count - 1];
    uint64_t weights = head->in * head->out, first = head->weight - n->first;
    uint64_t count = weights + (head->has_bias ? head->out : 0);
    CSL_ASSERT(head->ops == &csl_layer_linear && first + count <= n->count);
    CSL_ASSERT(!head->has_bias || head->bias == head->weight + weights);
    cut(&o->update.weights, first, count);
    cut(&o->update.gradient, first, count);
    cut(&o->update.moment1, first, count);
    cut(&o->update.moment2, first, count);
    cut(&o->update.anchor, first, count);
}

/* What the fit asks of a net's optimiser beside its kind. The anchor holds the incoming model. */
static void narrow(const struct csl_trainer *t, const struct fit *f, const struct csl_net *n,
                   struct csl_optimiser *o)
{
    if (f->proximal_mu > 0) {
        o->update.anchor = csl_trainer__block(t, CSL_V_ANCHOR, n);
        o->update.proximal = f->proximal_mu;
    }
    if (f->is_head_only)
        keep_to_head(o, n);
}

static enum csl_code fit_domain(struct csl_trainer *t, const struct csl_dataset *data,
                                const struct fit *f, uint32_t domain, struct csl_err *err)
{
    const struct csl_baseline *c = f->c;
    const struct csl_domain *d = &t->study->domains[domain];
    const struct csl_net *n = &t->nets[domain];
    const struct csl_optimiser_config config = config_of(c);
    struct csl_batches batches;
    enum csl_code code =
        csl_batches_init(&batches, &data->domains[domain][CSL_SPLIT_TRAIN], f->purpose, d->id,
                         d->classes, data->site, f->seed, c->batch_patients, err);
    if (code != CSL_OK)
        return code;
    struct csl_loop loop = {
        .domain = domain,
        .batches = &batches,
        .steps = c->epochs * batches.per_epoch,
        .what = f->what,
        .number = f->seed,
        .schedule = c->schedule,
        .learning_rate = c->learning_rate,
    };
    loop.schedule.steps = loop.steps;
    code = csl_trainer__optimiser(t, n, &config, &loop.optimiser, err);
    if (code == CSL_OK)
        narrow(t, f, n, &loop.optimiser);
    if (code == CSL_OK)
        code = csl_trainer__loop(t, &loop, err);
    csl_batches_release(&batches);
    return code;
}

/* All domains of a study with inputs at once. */
static enum csl_code fit_fused(struct csl_trainer *t, const struct csl_dataset *data,
                               const struct fit *fit, struct csl_err *err)
{
    const struct csl_baseline *c = fit->c;
    const struct csl_optimiser_config config = config_of(c);
    struct csl_fused_run run = {.seed = fit->seed,
                                .site = data->site,
                                .what = fit->what,
                                .number = fit->seed,
                                .schedule = c->schedule,
                                .learning_rate = c->learning_rate};
    struct csl_fused f;
    enum csl_code code = csl_fused_open(&f, t, data, err);
    if (code != CSL_OK || f.all.records == 0) {
        csl_fused_close(&f);
        return code;
    }
    code = csl_fused_run_open__(&run, &f, &config, fit->purpose, c->batch_patients, err);
    run.steps = c->epochs * run.batches.per_epoch;
    run.schedule.steps = run.steps;
    for (uint32_t i = 0; code == CSL_OK && i < t->net_count; i++) {
        run.is_frozen[i] = fit->is_head_only && i >= t->study->domain_count;
        if (f.runs[i] && !run.is_frozen[i])
            narrow(t, fit, &t->nets[i], &run.optimisers[i]);
    }
    if (code == CSL_OK)
        code = csl_fused_loop__(&run, err);
    csl_fused_run_close__(&run);
    csl_fused_close(&f);
    return code;
}

static enum csl_code put_model(struct csl_trainer *t, const struct fit *f, const float *parameters,
                               uint64_t bytes, struct csl_err *err)
{
    t->ops->put(t->dev, t->vectors[CSL_V_WEIGHTS], 0, parameters, bytes);
    if (!(f->proximal_mu > 0))
        return CSL_OK;
    enum csl_code code = csl_trainer__need(t, CSL_V_ANCHOR, err);
    if (code == CSL_OK)
        t->ops->put(t->dev, t->vectors[CSL_V_ANCHOR], 0, parameters, bytes);
    return code;
}

static enum csl_code run_fit(struct csl_trainer *t, const struct csl_dataset *data,
                             const struct fit *f, float *parameters, struct csl_err *err)
{
    uint64_t count = t->study->schema.parameters, bytes = count * sizeof(float);
    enum csl_code code = csl_trainer__check_data(t, data, err);
    if (code == CSL_OK)
        code = put_model(t, f, parameters, bytes, err);
    if (code == CSL_OK && data->multimodal != NULL)
        code = fit_fused(t, data, f, err);
    for (uint32_t d = 0; data->multimodal == NULL && code == CSL_OK && d < t->study->domain_count;
         d++)
        if (data->domains[d][CSL_SPLIT_TRAIN].records > 0)
            code = fit_domain(t, data, f, d, err);
    if (code != CSL_OK)
        return code;
    t->ops->get(t->dev, t->host, t->vectors[CSL_V_WEIGHTS], 0, bytes);
    code = t->ops->sync(t->dev, err);
    if (code != CSL_OK)
        return code;
    uint64_t bad = csl_first_not_finite(t->host, count);
    if (bad < count)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: parameter %llu is not finite after %u epochs; the learning rate "
                        "may be too high",
                        f->purpose, (unsigned long long)bad, f->c->epochs);
    memcpy(parameters, t->host, (size_t)bytes);
    return CSL_OK;
}

enum csl_code csl_trainer_fit(struct csl_trainer *t, const struct csl_dataset *data,
                              const struct csl_baseline *c, uint64_t seed, float *parameters,
                              struct csl_err *err)
{
    const struct fit f = {.c = c, .purpose = "baseline", .what = "baseline of seed", .seed = seed};
    return run_fit(t, data, &f, parameters, err);
}

enum csl_code csl_trainer_personalise(struct csl_trainer *t, const struct csl_dataset *data,
                                      const struct csl_personal_fit *p, uint64_t seed,
                                      float *parameters, struct csl_err *err)
{
    const struct fit f = {.c = p->training,
                          .is_head_only = p->is_head_only,
                          .proximal_mu = p->proximal_mu,
                          .purpose = "personal",
                          .what = "personalisation of seed",
                          .seed = seed};
    return run_fit(t, data, &f, parameters, err);
}
