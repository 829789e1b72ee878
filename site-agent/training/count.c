#include "site-agent/training/count.h"

#include "aggregation/statistics/statistics.h"
#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "privacy/dp/wide.h"

#include <math.h>
#include <string.h>

/* --- one vector of a patient --- */

struct counting {
    struct csl_statistics_shape shape;
    struct csl_statistics_range *ranges; /* [features] */
    double *value;                       /* [features] sums, then means */
    uint64_t *known;                     /* [features] values in each sum */
    uint32_t *answer;                    /* [questions] */
    int64_t *sum;                        /* [words] borrowed */
};

static void counting_close(struct counting *c)
{
    csl_free(c->ranges);
    csl_free(c->value);
    csl_free(c->known);
    csl_free(c->answer);
}

static enum csl_code counting_open(struct counting *c, const struct csl_study *study,
                                   const struct csl_domain *d, int64_t *sum, struct csl_err *err)
{
    *c = (struct counting){.sum = sum};
    csl_study_census_shape(study, d, &c->shape);
    size_t features = c->shape.features + 1u; /* never an empty allocation */
    c->ranges = csl_alloc_array(features, sizeof(*c->ranges));
    c->value = csl_alloc_array(features, sizeof(*c->value));
    c->known = csl_alloc_array(features, sizeof(*c->known));
    c->answer = csl_alloc_array(c->shape.questions, sizeof(*c->answer));
    if (c->ranges == NULL || c->value == NULL || c->known == NULL || c->answer == NULL) {
        counting_close(c);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to count the patients of domain %s", d->id);
    }
    for (uint32_t f = 0; f < c->shape.features; f++)
        c->ranges[f] = csl_study_census_range(d, f);
    return CSL_OK;
}

static void begin_patient(struct counting *c)
{
    memset(c->value, 0, (c->shape.features + 1u) * sizeof(*c->value));
    memset(c->known, 0, (c->shape.features + 1u) * sizeof(*c->known));
    for (uint32_t q = 0; q < c->shape.questions; q++)
        c->answer[q] = CSL_STATISTICS_NO_ANSWER;
}

static void end_patient(struct counting *c)
{
    for (uint32_t f = 0; f < c->shape.features; f++)
        c->value[f] = c->known[f] > 0 ? c->value[f] / (double)c->known[f] : (double)NAN;
    csl_statistics_add(&c->shape, c->ranges, c->answer, c->value, c->sum);
}

static void take_record(struct counting *c, const struct csl_examples *e, size_t record)
{
    const float *x = e->x != NULL ? e->x + record * e->width : NULL;
    uint32_t values = c->shape.features > 0 ? e->width : 0; /* features of each step in turn */
    for (uint32_t k = 0; k < values; k++) {
        uint32_t f = k % c->shape.features;
        if (isnan(x[k]))
            continue;
        c->value[f] += (double)x[k];
        c->known[f]++;
    }
    for (uint32_t q = 0; q < c->shape.questions; q++) {
        bool is_known = e->answer_count == 0 || e->answer_known[record * e->answer_count + q] != 0;
        if (c->answer[q] != CSL_STATISTICS_NO_ANSWER || !is_known)
            continue;
        c->answer[q] =
            e->answer_count == 0 ? e->label[record] : e->answer[record * e->answer_count + q];
    }
}

enum csl_code csl_count_domain(const struct csl_study *study, uint32_t domain,
                               const struct csl_examples *e, int64_t *sum, struct csl_err *err)
{
    struct counting c;
    enum csl_code code = counting_open(&c, study, &study->domains[domain], sum, err);
    if (code != CSL_OK)
        return code;
    for (size_t i = 0; i < e->records; i++) {
        bool is_new = i == 0 || e->patient[i] != e->patient[i - 1];
        if (is_new && i > 0)
            end_patient(&c);
        if (is_new)
            begin_patient(&c);
        take_record(&c, e, i);
    }
    if (e->records > 0)
        end_patient(&c);
    counting_close(&c);
    return CSL_OK;
}

/* --- the round --- */

/* From the vector's units to the noise's grid, which is finer; both are powers of two. A patient is
 * within what the noise is made for: |v|^2 <= sensitivity2 (ONE steps)^2 <= l2_units^2. */
static enum csl_code to_grid(const struct csl_noise *n, const struct csl_statistics_shape *shape,
                             int64_t *sum, size_t words, struct csl_err *err)
{
    double ratio = 1.0 / CSL_STATISTICS_ONE / n->unit;
    if (!(ratio >= 1 && ratio <= 0x1p40))
        return CSL_FAIL(err, CSL_E_INVAL, "the noise is too coarse for counts of patients");
    int64_t steps = (int64_t)ratio;
    csl_u128 one = (csl_u128)steps * CSL_STATISTICS_ONE;
    csl_u128 bound = (csl_u128)n->l2_units * n->l2_units;
    CSL_ASSERT((double)steps == ratio);
    if (one * one * csl_statistics_sensitivity2(shape) > bound)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "a patient can add more than the noise of the study hides");
    for (size_t i = 0; i < words; i++)
        if (sum[i] > INT64_MAX / steps || sum[i] < -(INT64_MAX / steps))
            return CSL_FAIL(err, CSL_E_LIMIT, "too many patients for one sum");
    for (size_t i = 0; i < words; i++)
        sum[i] *= steps;
    return CSL_OK;
}

/* Noise of the plan's domain, and then the integers become what is sent. */
static enum csl_code release(const struct csl_study *study, const struct csl_train_task *task,
                             uint32_t domain, int64_t *sum, size_t words, struct csl_err *err)
{
    struct csl_private_run *run = task->privacy;
    uint32_t i = 0;
    while (i < run->plan->domain_count && run->plan->domains[i].domain != domain)
        i++;
    CSL_ASSERT(i < run->plan->domain_count); /* made for this data */
    const struct csl_noise *n = &run->plan->domains[i].noise;
    uint64_t first = study->schema.blocks[domain].first;
    struct csl_statistics_shape shape;
    csl_study_census_shape(study, &study->domains[domain], &shape);
    enum csl_code code = to_grid(n, &shape, sum, words, err);
    if (code == CSL_OK)
        code = csl_noise_add(run->rng, n, sum, words, err);
    if (code != CSL_OK)
        return code;
    run->releases[i]++;
    if (task->joint_sum != NULL)
        memcpy(task->joint_sum + first, sum, words * sizeof(*sum));
    else
        csl_noise_scale(n, sum, words, 1, task->update + first);
    return CSL_OK;
}

static enum csl_code count_block(const struct csl_study *study, const struct csl_train_task *task,
                                 uint32_t domain, struct csl_err *err)
{
    const struct csl_block_spec *b = &study->schema.blocks[domain];
    size_t words = (size_t)b->count;
    int64_t *sum = csl_alloc_array(words, sizeof(*sum));
    if (sum == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu counts", words);
    enum csl_code code =
        csl_count_domain(study, domain, &task->data->domains[domain][CSL_SPLIT_TRAIN], sum, err);
    if (code == CSL_OK && task->privacy != NULL)
        code = release(study, task, domain, sum, words, err);
    for (size_t i = 0; code == CSL_OK && task->privacy == NULL && i < words; i++)
        task->update[b->first + i] = (float)((double)sum[i] / CSL_STATISTICS_ONE);
    csl_wipe(sum, words * sizeof(*sum)); /* in mode joint it has a share of the noise only */
    csl_free(sum);
    return code;
}

static void report_events(const struct csl_private_run *run, struct csl_train_report *r)
{
    r->is_noise_secret = csl_rng_is_secret(run->rng);
    r->event_count = run->plan->event_count;
    for (uint32_t i = 0; i < r->event_count; i++) {
        r->events[i] = run->plan->events[i];
        r->events[i].steps = run->releases[i];
    }
}

/* Into the task's own vectors, whatever becomes of it. */
static enum csl_code count_all(const struct csl_study *study, const struct csl_train_task *task,
                               struct csl_train_report *r, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t d = 0; code == CSL_OK && d < study->domain_count; d++) {
        uint64_t patients = task->data->domains[d][CSL_SPLIT_TRAIN].patients;
        if (patients == 0)
            continue;
        code = count_block(study, task, d, err);
        r->blocks[r->block_count].block = d;
        r->blocks[r->block_count++].patients = patients;
    }
    if (code == CSL_OK && task->privacy != NULL)
        report_events(task->privacy, r);
    return code;
}

enum csl_code csl_trainer__count(const struct csl_study *study, const struct csl_train_task *task,
                                 struct csl_train_report *report, struct csl_err *err)
{
    size_t count = (size_t)study->schema.parameters;
    struct csl_train_report r = {.steps = 1};
    struct csl_train_task own = *task; /* the caller's vectors are written on success only */
    own.update = csl_alloc_array(count, sizeof(*own.update));
    own.joint_sum = task->joint_sum != NULL ? csl_alloc_array(count, sizeof(*own.joint_sum)) : NULL;
    enum csl_code code = CSL_OK;
    if (task->privacy != NULL) {
        task->privacy->rejected = 0;
        memset(task->privacy->releases, 0, sizeof(task->privacy->releases));
    }
    if (own.update == NULL || (task->joint_sum != NULL && own.joint_sum == NULL))
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu counts", count);
    if (code == CSL_OK)
        code = count_all(study, &own, &r, err);
    if (code == CSL_OK) {
        memcpy(task->update, own.update, count * sizeof(*own.update));
        if (task->joint_sum != NULL)
            memcpy(task->joint_sum, own.joint_sum, count * sizeof(*own.joint_sum));
        *report = r;
    }
    if (own.joint_sum != NULL) /* it has a share of the noise only */
        csl_wipe(own.joint_sum, count * sizeof(*own.joint_sum));
    csl_free(own.joint_sum);
    csl_free(own.update);
    return code;
}
