#include "site-agent/training/train.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "site-agent/training/count.h"
#include "site-agent/training/fused_train.h"

#include <math.h>
#include <string.h>

static enum csl_code check_study(const struct csl_study *s, struct csl_err *err)
{
    if (s->domain_count == 0 || s->domain_count > CSL_DOMAINS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "the study has %u domains; expected 1 to %d",
                        s->domain_count, CSL_DOMAINS_MAX);
    if (!(s->local.learning_rate > 0) || !isfinite(s->local.learning_rate))
        return CSL_FAIL(err, CSL_E_INVAL, "the local learning rate is %g; it must be positive",
                        s->local.learning_rate);
    if (s->local.steps == 0 && s->local.epochs == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "a round of 0 local steps trains nothing");
    return CSL_OK;
}

static enum csl_code open_device(struct csl_trainer *t, const char *backend, struct csl_err *err)
{
    enum csl_code code = csl_compute_find(backend, &t->ops, err);
    if (code != CSL_OK)
        return code;
    code = t->ops->open(0, &t->dev, err);
    if (code != CSL_OK)
        return code;
    csl_work_init(&t->work, t->ops, t->dev);
    if (t->study->input_count > 0)
        t->works = csl_alloc_array(t->net_count, sizeof(*t->works));
    if (t->study->input_count > 0 && t->works == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a trainer");
    for (uint32_t i = 0; t->works != NULL && i < t->net_count; i++)
        csl_work_init(&t->works[i], t->ops, t->dev);
    code = csl_trainer__need(t, CSL_V_WEIGHTS, err);
    if (code == CSL_OK)
        code = csl_trainer__need(t, CSL_V_GRADIENT, err);
    if (code == CSL_OK)
        code = t->ops->alloc(t->dev, CSL_LOSS_SLOTS * sizeof(double), &t->losses, err);
    return code;
}

/* Row i of a domain's map: class i alone, and behind the classes the sets that are merged. */
static enum csl_code open_maps(struct csl_trainer *t, struct csl_err *err)
{
    uint8_t row[CSL_CLASSES_MAX];
    uint64_t bytes = 0;
    for (uint32_t d = 0; d < t->study->domain_count; d++) {
        const struct csl_domain *domain = &t->study->domains[d];
        struct csl_net *n = &t->nets[d];
        if (domain->merged_count == 0)
            continue;
        n->label_classes = domain->classes + domain->merged_count;
        n->map = (struct csl_view){NULL, bytes, n->label_classes * n->outputs};
        bytes += n->map.count;
    }
    enum csl_code code = bytes > 0 ? t->ops->alloc(t->dev, bytes, &t->maps, err) : CSL_OK;
    for (uint32_t d = 0; code == CSL_OK && d < t->study->domain_count; d++) {
        const struct csl_domain *domain = &t->study->domains[d];
        struct csl_net *n = &t->nets[d];
        n->map.buf = n->label_classes > 0 ? t->maps : NULL;
        for (uint32_t i = 0; i < n->label_classes; i++) {
            for (uint32_t c = 0; c < domain->classes; c++)
                row[c] = i < domain->classes ? i == c
                                             : (domain->merged[i - domain->classes] >> c & 1) != 0;
            t->ops->put(t->dev, t->maps, n->map.first + i * domain->classes, row, domain->classes);
        }
    }
    return code == CSL_OK && bytes > 0 ? t->ops->sync(t->dev, err) : code;
}

enum csl_code csl_trainer_new(struct csl_trainer **out, const struct csl_study *study,
                              const char *backend, struct csl_err *err)
{
    enum csl_code code = check_study(study, err);
    if (code != CSL_OK)
        return code;
    struct csl_trainer *t = csl_alloc(sizeof(*t));
    if (t == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a trainer");
    t->study = study;
    t->net_count = study->domain_count + study->input_count;
    t->nets = csl_alloc_array(t->net_count, sizeof(*t->nets));
    t->host = csl_alloc_array((size_t)study->schema.parameters, sizeof(*t->host));
    if (t->nets == NULL || t->host == NULL) {
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for a model of %llu parameters",
                        (unsigned long long)study->schema.parameters);
        goto out;
    }
    /* A census has no nets: nothing is trained. */
    for (uint32_t d = 0; !study->census.is_on && code == CSL_OK && d < study->domain_count; d++)
        code = csl_net_init(&t->nets[d], study, d, err);
    for (uint32_t i = 0; code == CSL_OK && i < study->input_count; i++)
        code = csl_net_init_input(&t->nets[study->domain_count + i], study, i, err);
    if (code == CSL_OK)
        code = open_device(t, backend, err);
    if (code == CSL_OK)
        code = open_maps(t, err);
out:
    if (code == CSL_OK)
        *out = t;
    else
        csl_trainer_free(t);
    return code;
}

void csl_trainer_free(struct csl_trainer *t)
{
    if (t == NULL)
        return;
    if (t->dev != NULL) {
        csl_work_release(&t->work);
        for (uint32_t i = 0; t->works != NULL && i < t->net_count; i++)
            csl_work_release(&t->works[i]);
        t->ops->free(t->spare);
        for (uint32_t v = 0; v < CSL_V_COUNT; v++)
            t->ops->free(t->vectors[v]);
        t->ops->free(t->losses);
        t->ops->free(t->maps);
        t->ops->close(t->dev);
    }
    csl_free(t->keys);
    csl_free(t->order);
    csl_free(t->ids);
    if (t->host != NULL) /* one patient's gradient has been there */
        csl_wipe(t->host, (size_t)t->study->schema.parameters * sizeof(*t->host));
    csl_free(t->host);
    csl_free(t->works);
    csl_free(t->nets);
    csl_free(t);
}

const char *csl_trainer_backend(const struct csl_trainer *t)
{
    return t->ops->name;
}

void csl_trainer_use_threads(struct csl_trainer *t, uint32_t threads)
{
    t->threads = threads;
}

uint64_t csl_trainer__patients(const struct csl_trainer *t, const struct csl_dataset *data,
                               uint32_t net)
{
    uint32_t domains = t->study->domain_count;
    return net < domains ? data->domains[net][CSL_SPLIT_TRAIN].patients
                         : data->input_patients[net - domains];
}

enum csl_code csl_trainer__check_data(const struct csl_trainer *t, const struct csl_dataset *data,
                                      struct csl_err *err)
{
    const struct csl_study *s = t->study;
    if (data->domain_count != s->domain_count)
        return CSL_FAIL(err, CSL_E_INVAL, "the data has %u domains, the study %u",
                        data->domain_count, s->domain_count);
    if ((data->multimodal != NULL) != (s->input_count > 0))
        return CSL_FAIL(err, CSL_E_INVAL, "the data %s inputs that the study %s",
                        data->multimodal != NULL ? "has" : "lacks",
                        data->multimodal != NULL ? "lacks" : "has");
    for (uint32_t d = 0; d < s->domain_count; d++) {
        const struct csl_examples *e = &data->domains[d][CSL_SPLIT_TRAIN];
        if (e->records > 0 && e->width != s->domains[d].width)
            return CSL_FAIL(err, CSL_E_INVAL, "domain %s: records of width %u, the study has %u",
                            s->domains[d].id, e->width, s->domains[d].width);
    }
    return CSL_OK;
}

static enum csl_code check_task(const struct csl_trainer *t, const struct csl_train_task *task,
                                struct csl_err *err)
{
    CSL_ASSERT(task->data != NULL && task->global != NULL && task->update != NULL);
    CSL_ASSERT((task->control == NULL) == (task->site_control == NULL));
    CSL_ASSERT((task->joint_sum != NULL) == (t->study->privacy.mode == CSL_PRIVACY_JOINT));
    CSL_ASSERT((task->control == NULL) == (task->control_change == NULL));
    if (task->round == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "round 0; rounds count from 1");
    if (task->control != NULL && t->study->local.optimizer != CSL_OPT_KIND_SGD)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "scaffold's control of a site is its mean gradient, which only the sgd "
                        "optimiser leaves in the weights");
    if ((task->privacy != NULL) != (t->study->privacy.mode != CSL_PRIVACY_NONE))
        return CSL_FAIL(err, CSL_E_INVAL, "the study's privacy mode is %s, the task %s a plan",
                        csl_privacy_mode_name(t->study->privacy.mode),
                        task->privacy != NULL ? "has" : "lacks");
    return csl_trainer__check_data(t, task->data, err);
}

/* Global model, FedProx anchor and SCAFFOLD correction of one block onto the device. */
static enum csl_code put_block(struct csl_trainer *t, const struct csl_net *n,
                               const struct csl_train_task *task, struct csl_optimiser *o,
                               struct csl_err *err)
{
    uint64_t first = n->trained.first, count = n->trained.count;
    uint64_t at = first * sizeof(float), bytes = count * sizeof(float);
    bool is_shared = t->study->schema.blocks[n->trained.block].kind == CSL_BLOCK_SHARED;
    enum csl_code code = CSL_OK;
    csl_trainer__put_weights(t, n, task->global);
    if (count == 0)
        return CSL_OK;
    /* a local block has no global one to stay near to */
    if (t->study->local.proximal_mu > 0 && is_shared) {
        code = csl_trainer__need(t, CSL_V_ANCHOR, err);
        if (code != CSL_OK)
            return code;
        t->ops->put(t->dev, t->vectors[CSL_V_ANCHOR], at, task->global + first, bytes);
        o->update.anchor = csl_trainer__block(t, CSL_V_ANCHOR, n);
        o->update.proximal = t->study->local.proximal_mu;
    }
    if (task->control != NULL) {
        code = csl_trainer__need(t, CSL_V_CORRECTION, err);
        if (code != CSL_OK)
            return code;
        for (uint64_t i = first; i < first + count; i++)
            t->host[i] = task->control[i] - task->site_control[i];
        t->ops->put(t->dev, t->vectors[CSL_V_CORRECTION], at, t->host + first, bytes);
        o->update.correction = csl_trainer__block(t, CSL_V_CORRECTION, n);
    }
    return CSL_OK;
}

static const struct csl_private_domain *private_domain(const struct csl_privacy_plan *p,
                                                       uint32_t domain)
{
    for (uint32_t i = 0; i < p->domain_count; i++)
        if (p->domains[i].domain == domain)
            return &p->domains[i];
    CSL_ASSERT(false); /* a domain the plan was not made for */
    return NULL;
}

static struct csl_optimiser_config config_of(const struct csl_local_training *c)
{
    return (struct csl_optimiser_config){
        .kind = c->optimizer,
        .learning_rate = c->learning_rate,
        .momentum = c->momentum,
        .beta1 = c->beta1,
        .beta2 = c->beta2,
        .epsilon = c->epsilon,
        .l2 = c->l2,
        .decay = c->weight_decay,
    };
}

/* Of one round, in one domain. */
static uint64_t steps_of(const struct csl_study *s, uint64_t patients)
{
    uint64_t batch = s->local.batch_patients;
    if (s->local.epochs == 0)
        return s->local.steps;
    batch = batch == 0 || batch > patients ? patients : batch;
    return s->local.epochs * ((patients + batch - 1) / batch);
}

/* FedNova's tau over its tau_i = |a_i|_1: how much the gradients of a round, each counted once,
 * moved the model in units of the rate. Wang et al. 2020, section 4.1; momentum starts at 0 in each
 * round. 1 with every other strategy. */
static double scale_of(const struct csl_study *s, uint64_t patients)
{
    double steps = (double)steps_of(s, patients), kept = s->local.momentum;
    if (!(s->local.effective_steps > 0))
        return 1;
    if (s->local.optimizer == CSL_OPT_KIND_MOMENTUM && kept > 0)
        steps = (steps - kept * (1 - pow(kept, steps)) / (1 - kept)) / (1 - kept);
    return s->local.effective_steps / steps;
}

static enum csl_code train_domain(struct csl_trainer *t, const struct csl_train_task *task,
                                  uint32_t domain, double *loss_sum, struct csl_err *err)
{
    const struct csl_local_training *c = &t->study->local;
    const struct csl_domain *d = &t->study->domains[domain];
    const struct csl_net *n = &t->nets[domain];
    const struct csl_optimiser_config config = config_of(c);
    struct csl_batches batches;
    enum csl_code code =
        csl_batches_init(&batches, &task->data->domains[domain][CSL_SPLIT_TRAIN], "round", d->id,
                         d->classes, task->data->site, task->seed, c->batch_patients, err);
    if (code != CSL_OK)
        return code;
    uint64_t steps = steps_of(t->study, batches.examples->patients);
    struct csl_loop loop = {
        .domain = domain,
        .batches = &batches,
        .position = (task->round - 1) * steps,
        .steps = steps,
        .what = "round",
        .number = task->round,
        .cancelled = task->cancelled,
        .cancelled_ctx = task->cancelled_ctx,
        .is_loss_secret = task->privacy != NULL,
        .schedule = c->schedule,
        .learning_rate = c->learning_rate,
    };
    loop.schedule.steps = steps * t->study->rounds;
    batches.step = loop.position;
    if (t->study->fairness.weights.is_on)
        code = csl_trainer__weigh_groups(t, task, &batches, domain, err);
    if (code == CSL_OK)
        code = csl_trainer__optimiser(t, n, &config, &loop.optimiser, err);
    if (code == CSL_OK)
        code = put_block(t, n, task, &loop.optimiser, err);
    if (code == CSL_OK && t->study->privacy.mode == CSL_PRIVACY_JOINT)
        code = csl_trainer__joint_sum(t, &loop, private_domain(task->privacy->plan, domain),
                                      task->privacy, task->joint_sum, err);
    else if (code == CSL_OK && t->study->privacy.mode == CSL_PRIVACY_LOCAL)
        code = csl_trainer__private_loop(t, &loop, private_domain(task->privacy->plan, domain),
                                         task->privacy, err);
    else if (code == CSL_OK)
        code = csl_trainer__loop(t, &loop, err);
    csl_batches_release(&batches);
    *loss_sum += loop.loss_sum;
    return code;
}

/* All domains of a study with inputs at once. */
static enum csl_code train_fused(struct csl_trainer *t, const struct csl_train_task *task,
                                 double *loss_sum, struct csl_err *err)
{
    const struct csl_local_training *c = &t->study->local;
    const struct csl_optimiser_config config = config_of(c);
    struct csl_fused_run run = {.seed = task->seed,
                                .site = task->data->site,
                                .position = (task->round - 1) * c->steps,
                                .steps = c->steps,
                                .what = "round",
                                .number = task->round,
                                .cancelled = task->cancelled,
                                .cancelled_ctx = task->cancelled_ctx,
                                .is_loss_secret = task->privacy != NULL,
                                .schedule = c->schedule,
                                .learning_rate = c->learning_rate};
    struct csl_fused f;
    run.schedule.steps = (uint64_t)c->steps * t->study->rounds;
    enum csl_code code = csl_fused_open(&f, t, task->data, err);
    if (code != CSL_OK)
        return code;
    if (task->domain_weights != NULL)
        csl_fused_weigh(&f, task->data, task->domain_weights);
    f.group_weights = task->group_weights;
    code = csl_fused_run_open__(&run, &f, &config, "round", c->batch_patients, err);
    for (uint32_t i = 0; code == CSL_OK && i < t->net_count; i++)
        if (f.runs[i])
            code = put_block(t, &t->nets[i], task, &run.optimisers[i], err);
    if (code == CSL_OK && t->study->privacy.mode == CSL_PRIVACY_JOINT)
        code = csl_fused_joint_sum__(&run, &task->privacy->plan->domains[0], task->privacy,
                                     task->joint_sum, err);
    else if (code == CSL_OK && t->study->privacy.mode == CSL_PRIVACY_LOCAL)
        code = csl_fused_private_loop__(&run, &task->privacy->plan->domains[0], task->privacy, err);
    else if (code == CSL_OK)
        code = csl_fused_loop__(&run, err);
    csl_fused_run_close__(&run);
    csl_fused_close(&f);
    *loss_sum += run.loss_sum;
    return code;
}

/* The trained block comes back into t->host. In mode site nothing is noised yet, and a failure
 * would tell of it: noise_site counts what is not finite as a contribution of zero. */
static enum csl_code get_block(struct csl_trainer *t, const struct csl_train_task *task,
                               uint32_t net, struct csl_err *err)
{
    const struct csl_net *n = &t->nets[net];
    t->ops->get(t->dev, t->host + n->trained.first, t->vectors[CSL_V_WEIGHTS],
                n->trained.first * sizeof(float), n->trained.count * sizeof(float));
    enum csl_code code = t->ops->sync(t->dev, err);
    if (code != CSL_OK || t->study->privacy.mode == CSL_PRIVACY_SITE)
        return code;
    uint64_t bad = csl_first_not_finite(t->host + n->trained.first, n->trained.count);
    if (bad < n->trained.count)
        return CSL_FAIL(
            err, CSL_E_INVAL,
            "round %llu, domain %s: parameter %llu is not finite after the last of "
            "%llu steps; the learning rate may be too high",
            (unsigned long long)task->round, t->study->schema.blocks[n->trained.block].name,
            (unsigned long long)bad,
            (unsigned long long)steps_of(t->study, csl_trainer__patients(t, task->data, net)));
    return CSL_OK;
}

/* The rates of the round's steps together. */
static double path_of(const struct csl_study *s, uint64_t round)
{
    struct csl_schedule schedule = s->local.schedule;
    double path = 0;
    if (csl_schedule_is_flat(&schedule))
        return (double)s->local.steps * s->local.learning_rate;
    schedule.steps = (uint64_t)s->local.steps * s->rounds;
    for (uint64_t k = 0; k < s->local.steps; k++)
        path +=
            csl_schedule_rate(&schedule, s->local.learning_rate, (round - 1) * s->local.steps + k);
    return path;
}

/* Writes the outputs of one trained block; nothing can fail any more. */
static void finish_block(const struct csl_trainer *t, const struct csl_train_task *task,
                         const struct csl_net *n, double scale)
{
    double path = task->control != NULL ? path_of(t->study, task->round) : 1;
    for (uint64_t i = n->trained.first; i < n->trained.first + n->trained.count; i++) {
        double moved = (double)t->host[i] - (double)task->global[i];
        task->update[i] = (float)(scale * moved);
        if (task->control == NULL)
            continue;
        float old = task->site_control[i];
        task->site_control[i] = (float)((double)old - (double)task->control[i] - moved / path);
        task->control_change[i] = (float)((double)task->site_control[i] - (double)old);
    }
}

/* Mode site: the whole update (all trained blocks, in t->host as the local model) is clipped,
 * noised and put back as a local model. One release of one unit. */
static enum csl_code noise_site(struct csl_trainer *t, const struct csl_train_task *task,
                                const bool *is_trained, struct csl_err *err)
{
    const struct csl_noise *noise = &task->privacy->plan->site_noise;
    uint64_t count = 0;
    for (uint32_t d = 0; d < t->net_count; d++)
        count += is_trained[d] ? t->nets[d].trained.count : 0;
    float *update = csl_alloc_array((size_t)count, sizeof(*update));
    int64_t *sum = csl_alloc_array((size_t)count, sizeof(*sum));
    enum csl_code code = CSL_OK;
    if (update == NULL || sum == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the noise of %llu parameters",
                        (unsigned long long)count);
    uint64_t at = 0;
    for (uint32_t d = 0; code == CSL_OK && d < t->net_count; d++)
        for (uint64_t i = 0; is_trained[d] && i < t->nets[d].trained.count; i++, at++)
            update[at] =
                t->host[t->nets[d].trained.first + i] - task->global[t->nets[d].trained.first + i];
    if (code == CSL_OK && !csl_noise_round(noise, update, (size_t)count, sum))
        task->privacy->rejected++;
    if (code == CSL_OK)
        code = csl_noise_add(task->privacy->rng, noise, sum, (size_t)count, err);
    if (code == CSL_OK)
        task->privacy->releases[0]++;
    at = 0;
    for (uint32_t d = 0; code == CSL_OK && d < t->net_count; d++)
        for (uint64_t i = 0; is_trained[d] && i < t->nets[d].trained.count; i++, at++)
            t->host[t->nets[d].trained.first + i] =
                (float)((double)task->global[t->nets[d].trained.first + i] +
                        (double)sum[at] * noise->unit);
    csl_free(update);
    csl_free(sum);
    return code;
}

/* What is sent, in the order of the schema, which is that of the nets but for adapters. */
static void list_blocks(const struct csl_trainer *t, const struct csl_train_task *task,
                        const bool *is_trained, struct csl_train_report *r)
{
    bool is_secret = t->study->privacy.mode == CSL_PRIVACY_SITE; /* hides the site, and with it how
                                                                    many patients it has */
    for (uint32_t b = 0; b < t->study->schema.block_count; b++) {
        if (t->study->schema.blocks[b].kind != CSL_BLOCK_SHARED)
            continue;
        for (uint32_t i = 0; i < t->net_count; i++) {
            if (!is_trained[i] || t->nets[i].trained.block != b)
                continue;
            r->blocks[r->block_count].block = b;
            r->blocks[r->block_count++].patients =
                is_secret ? 1 : csl_trainer__patients(t, task->data, i);
        }
    }
}

enum csl_code csl_trainer_run(struct csl_trainer *t, const struct csl_train_task *task,
                              struct csl_train_report *report, struct csl_err *err)
{
    struct csl_train_report r = {0};
    bool is_trained[CSL_BLOCKS_MAX] = {false};
    double loss_sum = 0;
    enum csl_code code = check_task(t, task, err);
    if (code == CSL_OK && t->study->census.is_on)
        return csl_trainer__count(t->study, task, report, err);
    if (code == CSL_OK && task->joint_sum != NULL)
        memset(task->joint_sum, 0, (size_t)t->study->schema.parameters * sizeof(int64_t));
    if (code == CSL_OK && task->privacy != NULL) {
        task->privacy->rejected = 0;
        memset(task->privacy->releases, 0, sizeof(task->privacy->releases));
    }
    bool is_fused = t->study->input_count > 0;
    if (code == CSL_OK && is_fused)
        code = train_fused(t, task, &loss_sum, err);
    r.steps = is_fused ? t->study->local.steps : 0;
    for (uint32_t d = 0; code == CSL_OK && d < t->net_count; d++) {
        uint64_t patients = csl_trainer__patients(t, task->data, d);
        if (patients == 0 || t->nets[d].trained.count == 0)
            continue;
        if (!is_fused) {
            code = train_domain(t, task, d, &loss_sum, err);
            r.steps += steps_of(t->study, patients);
        }
        if (code == CSL_OK)
            code = get_block(t, task, d, err);
        is_trained[d] = true;
    }
    if (code == CSL_OK)
        list_blocks(t, task, is_trained, &r);
    if (code == CSL_OK && t->study->privacy.mode == CSL_PRIVACY_SITE)
        code = noise_site(t, task, is_trained, err);
    if (code != CSL_OK)
        return code;
    size_t bytes = (size_t)t->study->schema.parameters * sizeof(float);
    memset(task->update, 0, bytes);
    if (task->control_change != NULL)
        memset(task->control_change, 0, bytes);
    for (uint32_t d = 0; d < t->net_count; d++)
        if (is_trained[d])
            finish_block(t, task, &t->nets[d],
                         scale_of(t->study, csl_trainer__patients(t, task->data, d)));
    if (task->privacy != NULL) {
        r.is_noise_secret = csl_rng_is_secret(task->privacy->rng);
        r.event_count = task->privacy->plan->event_count;
        for (uint32_t i = 0; i < r.event_count; i++) {
            r.events[i] = task->privacy->plan->events[i];
            r.events[i].steps = task->privacy->releases[i];
        }
    } else {
        r.mean_loss = r.steps > 0 ? loss_sum / (double)r.steps : 0;
    }
    *report = r;
    return CSL_OK;
}
