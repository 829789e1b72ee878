/* One unit of work: training or evaluating the study's model on this site's records. */
#include "site-agent/agent_secagg.h"

#include "aggregation/evaluate/group_sums.h"
#include "aggregation/tensor/part.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/secret.h"
#include "privacy/crypto/sha256.h"
#include "protocol/study/evaluation.h"
#include "site-agent/training/judged.h"

#include <math.h>
#include <string.h>

static bool is_cancelled(void *ctx)
{
    struct csl_agent *a = ctx;
    return atomic_load(&a->is_cancelled);
}

/* Vectors of one round, all [P]; control, site_control and control_change only for SCAFFOLD. */
struct vectors {
    float *broadcast; /* [broadcast_vectors, P]: global model, server control */
    float *update, *site_control, *control_change;
    int64_t *joint_sum; /* mode joint only */
};

static void vectors_release(struct vectors *v, size_t parameters)
{
    if (v->joint_sum != NULL) /* one site's sum has a share of the noise only */
        csl_wipe(v->joint_sum, parameters * sizeof(*v->joint_sum));
    csl_free(v->broadcast);
    csl_free(v->update);
    csl_free(v->site_control);
    csl_free(v->control_change);
    csl_free(v->joint_sum);
}

static bool has_control(const struct csl_agent *a)
{
    return a->strategy->broadcast_vectors > 1;
}

static enum csl_code vectors_open(struct csl_agent *a, struct vectors *v, struct csl_err *err)
{
    size_t parameters = a->study->schema.parameters;
    v->broadcast = csl_alloc_array(parameters * a->strategy->broadcast_vectors, sizeof(float));
    v->update = csl_alloc_array(parameters, sizeof(float));
    bool has_all = v->broadcast != NULL && v->update != NULL;
    if (has_control(a)) {
        v->site_control = csl_alloc_array(parameters, sizeof(float));
        v->control_change = csl_alloc_array(parameters, sizeof(float));
        has_all = has_all && v->site_control != NULL && v->control_change != NULL;
    }
    if (a->study->privacy.mode == CSL_PRIVACY_JOINT) {
        v->joint_sum = csl_alloc_array(parameters, sizeof(*v->joint_sum));
        has_all = has_all && v->joint_sum != NULL;
    }
    if (!has_all)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a model of %zu parameters", parameters);
    return CSL_OK;
}

/* Of a study with inputs the blocks that are sent to this site, the others zero. */
static enum csl_code read_part(struct csl_agent *a, const char *name, float *out, uint32_t vectors,
                               struct csl_err *err)
{
    const struct csl_schema *schema = &a->study->schema;
    uint64_t at = csl_part_head_bytes(schema, a->strategy->broadcast_vectors);
    enum csl_code code = CSL_OK;
    memset(out, 0, (size_t)schema->parameters * vectors * sizeof(*out));
    for (uint32_t v = 0; v < vectors; v++) {
        for (uint32_t b = 0; code == CSL_OK && b < schema->block_count; b++) {
            const struct csl_block_spec *block = &schema->blocks[b];
            if (!csl_agent_shares__(a, b))
                continue;
            code = csl_blob_read(a->blobs, name, at, out + v * schema->parameters + block->first,
                                 block->count * sizeof(float), err);
            at += block->count * sizeof(float);
        }
    }
    return code;
}

static enum csl_code read_broadcast(struct csl_agent *a, const struct csl_msg_task *task,
                                    float *out, uint32_t vectors, struct csl_err *err)
{
    char name[CSL_ID_MAX];
    csl_agent_model_name__(name, task->model_digest);
    if (csl_agent_has_part__(a)) {
        enum csl_code code = read_part(a, name, out, vectors, err);
        return code == CSL_OK ? csl_agent_own_read__(a, task, name, out, err) : code;
    }
    return csl_blob_read(a->blobs, name, 0, out,
                         a->study->schema.parameters * vectors * sizeof(float), err);
}

static enum csl_code read_control(struct csl_agent *a, const struct csl_msg_task *task, float *out,
                                  struct csl_err *err)
{
    if (a->memory.control_round == 0 || a->memory.control_round >= task->round)
        return CSL_OK; /* zero before the first round, also of a study that was begun anew */
    char name[CSL_ID_MAX];
    csl_agent_run_name__(name, "control", a->memory.control_round, a->memory.control_run);
    return csl_blob_read(a->blobs, name, 0, out, a->study->schema.parameters * sizeof(float), err);
}

/* Appends the blocks the site has data for. */
static enum csl_code write_vector(struct csl_agent *a, const char *name, const float *vector,
                                  const struct csl_train_report *report, struct csl_sha256 *hash,
                                  uint64_t *at, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < report->block_count; i++) {
        const struct csl_block_spec *b = &a->study->schema.blocks[report->blocks[i].block];
        struct csl_span s = CSL_SPAN(vector + b->first, b->count * sizeof(float));
        csl_sha256_update(hash, s.p, s.n);
        code = csl_blob_write(a->blobs, name, *at, s, err);
        *at += s.n;
    }
    return code;
}

/* The update becomes durable here; the row that names it follows on the core thread. */
static enum csl_code store_update(struct csl_agent *a, const struct csl_msg_task *task,
                                  const struct vectors *v, const struct csl_train_report *report,
                                  struct csl_outbox *out, struct csl_err *err)
{
    char name[CSL_ID_MAX];
    uint64_t round = task->round;
    csl_agent_blob_name__(name, "update", round);
    csl_blob_remove(a->blobs, name);
    struct csl_sha256 hash;
    csl_sha256_init(&hash);
    uint64_t at = 0;
    enum csl_code code = write_vector(a, name, v->update, report, &hash, &at, err);
    if (code == CSL_OK && has_control(a))
        code = write_vector(a, name, v->control_change, report, &hash, &at, err);
    if (code == CSL_OK)
        code = csl_blob_sync(a->blobs, name, err);
    if (code == CSL_OK && has_control(a)) {
        csl_agent_run_name__(name, "control", round, a->run);
        struct csl_span s = CSL_SPAN(v->site_control, a->study->schema.parameters * sizeof(float));
        csl_blob_remove(a->blobs, name);
        code = csl_blob_write(a->blobs, name, 0, s, err);
        if (code == CSL_OK)
            code = csl_blob_sync(a->blobs, name, err);
    }
    *out = (struct csl_outbox){.round = round,
                               .bytes_total = at,
                               .train_loss = report->mean_loss,
                               .block_count = report->block_count};
    csl_sha256_final(&hash, out->digest);
    memcpy(out->model_digest, task->model_digest, CSL_DIGEST_BYTES);
    for (uint32_t i = 0; i < report->block_count; i++) {
        out->blocks[i].block = report->blocks[i].block;
        out->blocks[i].patients = report->blocks[i].patients;
    }
    return code;
}

/* Secret, but for a simulation that wants to be repeated: then by seed, site, round and attempt, so
 * that a repeated round never meets the noise of the first. */
static void open_noise(const struct csl_agent *a, uint64_t round, struct csl_rng *rng)
{
    if (a->config.noise_seed == NULL)
        csl_rng_init_os(rng);
    else
        csl_rng_init_named(rng, *a->config.noise_seed, "rehearsal/noise", a->site_id,
                           round << 16 | a->reserved_attempt);
}

/* Being told to stop says nothing about the noisy sums; every other failure may. */
static bool is_forfeit(const struct csl_private_run *run, enum csl_code code)
{
    bool has_drawn = false;
    for (uint32_t i = 0; i < CSL_DOMAINS_MAX; i++)
        has_drawn = has_drawn || run->releases[i] > 0;
    return has_drawn && code != CSL_OK && code != CSL_E_CANCELLED;
}

static enum csl_code train(struct csl_agent *a, const struct csl_msg_task *t,
                           struct csl_agent_event *e, struct csl_err *err)
{
    struct vectors v = {.broadcast = NULL};
    struct csl_rng noise;
    struct csl_private_run privacy = {.plan = &a->plan, .rng = &noise, .canaries = a->canaries};
    double weights[CSL_DOMAINS_MAX];
    for (uint32_t d = 0; d < t->weight_count; d++)
        weights[d] = exp(t->weights[d].log_weight);
    open_noise(a, t->round, &noise);
    enum csl_code code = vectors_open(a, &v, err);
    if (code == CSL_OK)
        code = read_broadcast(a, t, v.broadcast, a->strategy->broadcast_vectors, err);
    if (code == CSL_OK && has_control(a))
        code = read_control(a, t, v.site_control, err);
    if (code == CSL_OK)
        code = csl_agent_judge_base__(a, t->round, v.broadcast, err);
    /* Under masks the round after the last judges the model, and trains nothing. */
    if (code == CSL_OK && !csl_study_only_evaluates_in(a->study, t->round)) {
        struct csl_train_task task = {.data = a->data,
                                      .seed = t->seed,
                                      .round = t->round,
                                      .global = v.broadcast,
                                      .site_control = v.site_control,
                                      .domain_weights = t->weight_count > 0 ? weights : NULL,
                                      .group_weights =
                                          t->group_count > 0 ? t->group_log_weight : NULL,
                                      .update = v.update,
                                      .joint_sum = v.joint_sum,
                                      .control_change = v.control_change,
                                      .cancelled = is_cancelled,
                                      .cancelled_ctx = a};
        if (has_control(a))
            task.control = v.broadcast + a->study->schema.parameters;
        if (a->study->privacy.mode != CSL_PRIVACY_NONE)
            task.privacy = &privacy;
        code = csl_trainer_run(a->trainer, &task, &e->report, err);
    }
    csl_rng_wipe(&noise);
    if (code == CSL_OK)
        code = csl_agent_own_keep__(a, t->round, v.broadcast, v.update, err);
    if (code == CSL_OK && a->config.tamper != NULL)
        a->config.tamper->update(a->config.tamper->ctx, t->round, v.update,
                                 a->study->schema.parameters);
    if (code == CSL_OK && csl_agent_masks__(a))
        code = csl_agent_secagg_store__(a, t, v.broadcast, v.update, v.joint_sum, &e->report,
                                        &e->outbox, err);
    else if (code == CSL_OK)
        code = store_update(a, t, &v, &e->report, &e->outbox, err);
    e->is_forfeit = is_forfeit(&privacy, code);
    e->run = a->run;
    e->has_factors = csl_task_factors(t, e->factors);
    vectors_release(&v, (size_t)a->study->schema.parameters);
    return code;
}

/* --- evaluation --- */

/* Inputs whose encoder is not here. */
static void mark_absent(const struct csl_agent *a, struct csl_examples *e)
{
    for (uint32_t i = 0; i < a->study->input_count; i++)
        if (csl_dataset_block_patients(a->data, a->study->domain_count + i) == 0)
            e->absent |= UINT32_C(1) << i;
}

struct csl_examples csl_agent_examples__(const struct csl_agent *a, uint32_t domain,
                                         enum csl_split split)
{
    struct csl_examples here = a->data->domains[domain][split];
    if (csl_agent_has_part__(a) && csl_dataset_block_patients(a->data, domain) == 0)
        here.records = 0; /* its head is not here */
    mark_absent(a, &here);
    return here;
}

struct csl_examples csl_agent_examples_to_judge__(const struct csl_agent *a, uint32_t domain)
{
    bool has_test = a->data->domains[domain][CSL_SPLIT_TEST].records > 0;
    return csl_agent_examples__(a, domain, has_test ? CSL_SPLIT_TEST : CSL_SPLIT_VALIDATION);
}

enum csl_code csl_agent_count_groups__(const struct csl_agent *a, uint32_t domain,
                                       const float *scores, uint64_t *counts, struct csl_err *err)
{
    const struct csl_examples e = csl_agent_examples_to_judge__(a, domain);
    const struct csl_domain *d = &a->study->domains[domain];
    uint32_t heads = d->task == CSL_TASK_BINARY ? 1 : d->classes;
    struct csl_group_plan plan;
    enum csl_code code = CSL_OK;
    if (csl_study_group_counts(a->study, domain) == 0)
        return CSL_OK;
    csl_study_group_plan(a->study, domain, &plan);
    for (uint32_t r = 0; code == CSL_OK && r < e.records; r++) {
        bool is_new = r == 0 || e.patient[r] != e.patient[r - 1]; /* ascending */
        code =
            csl_group_sums_add(&plan, counts, scores + (size_t)r * heads, e.label[r],
                               e.group + (size_t)e.patient[r] * plan.attribute_count, is_new, err);
    }
    return code;
}

static enum csl_code report_groups(const struct csl_agent *a, uint32_t domain, const float *scores,
                                   struct csl_eval_block *b, struct csl_err *err)
{
    uint32_t n = csl_study_group_counts(a->study, domain);
    uint64_t *counts = csl_alloc_array(n, sizeof(*counts));
    CSL_ASSERT(n <= CSL_GROUP_COUNTS_MAX);
    if (counts == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u counts", n);
    enum csl_code code = csl_agent_count_groups__(a, domain, scores, counts, err);
    for (uint32_t i = 0; i < n; i++)
        b->groups[i] = (uint32_t)counts[i];
    b->group_count = code == CSL_OK ? n : 0;
    csl_free(counts);
    return code;
}

struct csl_examples csl_agent_examples_to_count__(const struct csl_agent *a, uint32_t domain)
{
    struct csl_examples here = a->data->domains[domain][CSL_SPLIT_TRAIN];
    mark_absent(a, &here);
    return here;
}

static void copy_metrics(struct csl_eval_block *b, const struct csl_metrics *m)
{
    const uint32_t most = (uint32_t)(sizeof(b->metrics) / sizeof(b->metrics[0]));
    for (uint32_t i = 0; i < m->count && b->metric_count < most; i++) {
        struct csl_eval_metric *out = &b->metrics[b->metric_count++];
        csl_str_copy(out->name, sizeof(out->name), m->items[i].name);
        out->value = m->items[i].value;
        out->low = m->items[i].method != NULL ? m->items[i].low : m->items[i].value;
        out->high = m->items[i].method != NULL ? m->items[i].high : m->items[i].value;
    }
}

static void copy_histogram(struct csl_eval_block *b, const float *scores,
                           const struct csl_examples *e)
{
    struct csl_score_histogram h = {.loss_sum = 0};
    csl_histogram_add(&h, scores, e->label, e->records);
    b->true_positive = h.true_positive;
    b->false_positive = h.false_positive;
    b->true_negative = h.true_negative;
    b->false_negative = h.false_negative;
    b->bin_count = 2 * CSL_SCORE_BINS;
    memcpy(b->bins, h.bins, sizeof(h.bins));
}

/* Of validation patients: those of the test split have no part in training. */
static enum csl_code judge_for_weights(struct csl_agent *a, uint32_t domain,
                                       const float *parameters, struct csl_eval_block *b,
                                       struct csl_err *err)
{
    const struct csl_domain *d = &a->study->domains[domain];
    const struct csl_examples *splits = a->data->domains[domain];
    bool has_validation = splits[CSL_SPLIT_VALIDATION].records > 0;
    struct csl_examples e = splits[has_validation ? CSL_SPLIT_VALIDATION : CSL_SPLIT_TRAIN];
    struct csl_judged sum;
    mark_absent(a, &e);
    enum csl_code code = csl_trainer_judge(a->trainer, domain, &e, parameters, &sum, err);
    if (code != CSL_OK || sum.patients == 0)
        return code;
    b->judged = sum.patients;
    b->judged_loss = sum.loss;
    b->class_count = d->classes;
    memcpy(b->class_mass, sum.class_mass, d->classes * sizeof(b->class_mass[0]));
    return CSL_OK;
}

static enum csl_code judge(struct csl_agent *a, const struct csl_msg_task *t, uint32_t domain,
                           const float *parameters, struct csl_eval_block *b, struct csl_err *err)
{
    const struct csl_domain *d = &a->study->domains[domain];
    const struct csl_examples here = csl_agent_examples_to_judge__(a, domain), *e = &here;
    float *scores = csl_alloc_array((size_t)e->records * d->outputs, sizeof(float));
    if (scores == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to evaluate %u records", e->records);
    struct csl_metrics m = {.count = 0};
    double loss = 0;
    enum csl_code code = csl_trainer_predict(a->trainer, domain, e, parameters, scores, &loss, err);
    if (code == CSL_OK) {
        switch (d->task) {
        case CSL_TASK_BINARY:
            code = csl_evaluate_binary(scores, e->label, e->records, 0.5, t->seed, &m, err);
            copy_histogram(b, scores, e);
            break;
        case CSL_TASK_CLASSES:
            code = csl_evaluate_classes(scores, e->label, e->records, d->classes, t->seed, &m, err);
            break;
        case CSL_TASK_SURVIVAL:
            code = csl_evaluate_survival(scores, e->time, e->label, e->records, t->seed, &m, err);
            break;
        case CSL_TASK_LABELS:
            code = csl_evaluate_labels(scores, e->answer, e->answer_known, e->records,
                                       e->answer_count, t->seed, &m, NULL, err);
            break;
        case CSL_TASK_KIND_COUNT:
            break;
        }
    }
    if (code == CSL_OK)
        code = report_groups(a, domain, scores, b, err);
    b->block = domain;
    b->examples = e->records;
    b->loss_sum = isfinite(loss) ? loss * e->records : 0;
    copy_metrics(b, &m);
    csl_free(scores);
    return code;
}

static bool weighs_skill(const struct csl_study *s)
{
    return s->fairness.domains.kind > CSL_DOMAIN_WEIGHTS_BALANCED;
}

static enum csl_code evaluate(struct csl_agent *a, const struct csl_msg_task *t,
                              struct csl_msg_evaluation *out, struct csl_err *err)
{
    float *parameters = csl_alloc_array(a->study->schema.parameters, sizeof(float));
    out->round = t->round;
    out->blocks = csl_alloc_array(a->study->domain_count, sizeof(*out->blocks));
    enum csl_code code = CSL_OK;
    if (parameters == NULL || out->blocks == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to evaluate");
    if (code == CSL_OK)
        code = read_broadcast(a, t, parameters, 1, err);
    /* With privacy nothing about test patients leaves: no block is reported. Under masks a report
     * of one site, or its vote, is not for the coordinator, though it may ask. */
    bool is_reported = a->study->privacy.mode == CSL_PRIVACY_NONE && !csl_agent_masks__(a) &&
                       !a->study->census.is_on;
    if (code == CSL_OK && is_reported)
        out->vote = csl_agent_vote__(a, t->round, parameters);
    for (uint32_t d = 0; code == CSL_OK && is_reported && d < a->study->domain_count; d++) {
        bool is_here = !csl_agent_has_part__(a) || csl_dataset_block_patients(a->data, d) > 0;
        bool is_judged = csl_agent_examples_to_judge__(a, d).records > 0;
        struct csl_eval_block *b = &out->blocks[out->block_count];
        if (is_judged)
            code = judge(a, t, d, parameters, b, err);
        if (code == CSL_OK && is_here && weighs_skill(a->study)) {
            b->block = d;
            code = judge_for_weights(a, d, parameters, b, err);
        }
        out->block_count += is_judged || b->judged > 0;
    }
    csl_free(parameters);
    return code;
}

void csl_agent_work__(struct csl_agent *a, const struct csl_msg_task *task)
{
    bool trains = task->type == CSL_TASK_TRAIN;
    struct csl_agent_event *e = csl_agent_event_new__(trains ? CSL_SE_TRAINED : CSL_SE_EVALUATED);
    CSL_ASSERT(e != NULL);
    struct csl_err err = {.code = CSL_OK};
    e->ev.round = task->round;
    e->ev.code = trains ? train(a, task, e, &err) : evaluate(a, task, &e->evaluation, &err);
    if (e->ev.code != CSL_OK && e->ev.code != CSL_E_CANCELLED) {
        csl_log_err(CSL_LOG_ERROR, trains ? "training.failed" : "evaluation.failed", &err);
        /* err.msg is for this site's administrator; the coordinator learns the kind of failure */
        csl_str_copy(e->reason, sizeof(e->reason), csl_code_text(e->ev.code));
    }
    csl_agent_post__(a, e);
}
