#include "site-agent/training/group_weights.h"

#include "aggregation/weights/groups.h"
#include "base/mem.h"
#include "site-agent/training/trainer.h"

#include <math.h>
#include <string.h>

#define NO_STRATUM UINT16_MAX

/* --- skill --- */

static double log_likelihood(enum csl_task_kind task, uint32_t classes, const float *p,
                             uint32_t record, uint8_t label)
{
    if (task == CSL_TASK_BINARY)
        return log(label != 0 ? (double)p[record] : 1 - (double)p[record]);
    return log((double)p[(size_t)record * classes + label]);
}

/* Entropy of the classes' shares, every patient counting the same. */
static enum csl_code prior_loss(const struct csl_examples *e, const double *share, uint32_t classes,
                                double *out, struct csl_err *err)
{
    double *mass = csl_alloc_array(classes, sizeof(*mass));
    double loss = 0;
    if (mass == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the shares of %u classes", classes);
    for (uint32_t r = 0; r < e->records; r++)
        mass[e->label[r]] += share[e->patient[r]] / e->patients;
    for (uint32_t c = 0; c < classes; c++)
        if (mass[c] > 0 && mass[c] < 1)
            loss -= mass[c] * log(mass[c]);
    csl_free(mass);
    *out = loss;
    return CSL_OK;
}

enum csl_code csl_patient_skills(const struct csl_examples *e, enum csl_task_kind task,
                                 uint32_t classes, const float *probabilities, double *out,
                                 struct csl_err *err)
{
    double *share = csl_alloc_array(e->patients, sizeof(*share)), prior = 0;
    if (share == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the skills of %u patients", e->patients);
    for (uint32_t r = 0; r < e->records; r++)
        share[e->patient[r]] += 1;
    for (uint32_t p = 0; p < e->patients; p++)
        share[p] = 1 / share[p];
    enum csl_code code = prior_loss(e, share, classes, &prior, err);
    if (code == CSL_OK) {
        memset(out, 0, e->patients * sizeof(*out));
        for (uint32_t r = 0; r < e->records; r++)
            out[e->patient[r]] -=
                share[e->patient[r]] * log_likelihood(task, classes, probabilities, r, e->label[r]);
        for (uint32_t p = 0; p < e->patients; p++)
            out[p] = prior > 0 ? fmin(fmax(1 - out[p] / prior, 0), 1) : 1;
    }
    csl_free(share);
    return code;
}

/* --- weights --- */

/* The groups of the training patients, in the order in which they first appear. */
struct strata {
    uint32_t attributes, count;
    uint16_t *of; /* by key */
    struct csl_stratum *list;
    double *judged, *skill; /* by stratum: judged patients, and their skills added up */
    double *weight;
};

static void strata_release(struct strata *s)
{
    csl_free(s->of);
    csl_free(s->list);
    csl_free(s->judged);
    csl_free(s->skill);
    csl_free(s->weight);
}

static enum csl_code strata_init(struct strata *s, uint32_t attributes, struct csl_err *err)
{
    size_t keys = 1;
    for (uint32_t a = 0; a < attributes; a++)
        keys *= CSL_GROUP_LEVELS_MAX + 1;
    *s = (struct strata){.attributes = attributes,
                         .of = csl_alloc_array(keys, sizeof(*s->of)),
                         .list = csl_alloc_array(CSL_STRATA_MAX, sizeof(*s->list)),
                         .judged = csl_alloc_array(CSL_STRATA_MAX, sizeof(*s->judged)),
                         .skill = csl_alloc_array(CSL_STRATA_MAX, sizeof(*s->skill)),
                         .weight = csl_alloc_array(CSL_STRATA_MAX, sizeof(*s->weight))};
    if (s->of == NULL || s->list == NULL || s->judged == NULL || s->skill == NULL ||
        s->weight == NULL) {
        strata_release(s);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the groups of a site");
    }
    for (size_t k = 0; k < keys; k++)
        s->of[k] = NO_STRATUM;
    return CSL_OK;
}

static uint16_t *place(const struct strata *s, const struct csl_examples *e, uint32_t patient)
{
    size_t key = 0;
    for (uint32_t a = 0; a < s->attributes; a++)
        key = key * (CSL_GROUP_LEVELS_MAX + 1) + e->level[(size_t)patient * s->attributes + a];
    return &s->of[key];
}

static enum csl_code count_training(struct strata *s, const struct csl_examples *e,
                                    struct csl_err *err)
{
    for (uint32_t p = 0; p < e->patients; p++) {
        uint16_t *at = place(s, e, p);
        if (*at == NO_STRATUM) {
            if (s->count == CSL_STRATA_MAX)
                return CSL_FAIL(err, CSL_E_LIMIT,
                                "the training patients are of more than %d groups; fewer "
                                "attributes or wider bands would be right",
                                CSL_STRATA_MAX);
            memcpy(s->list[s->count].level, &e->level[(size_t)p * s->attributes], s->attributes);
            *at = (uint16_t)s->count++;
        }
        s->list[*at].patients += 1;
    }
    return CSL_OK;
}

static void add_skills(struct strata *s, const struct csl_examples *judged, const double *skill)
{
    double all = 0;
    for (uint32_t p = 0; p < judged->patients; p++) {
        uint16_t at = *place(s, judged, p);
        all += skill[p] / judged->patients;
        if (at == NO_STRATUM)
            continue;
        s->judged[at] += 1;
        s->skill[at] += skill[p];
    }
    for (uint32_t i = 0; i < s->count; i++)
        s->list[i].skill_sum =
            s->list[i].patients * (s->judged[i] > 0 ? s->skill[i] / s->judged[i] : all);
}

enum csl_code csl_patient_weights(const struct csl_study_fairness *f,
                                  const struct csl_examples *train,
                                  const struct csl_examples *judged, const double *skill,
                                  float *out, struct csl_err *err)
{
    struct strata s;
    struct csl_group_rule rule;
    if (train->level == NULL || judged->level == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "the data was loaded without patient groups");
    enum csl_code code = strata_init(&s, f->attribute_count, err);
    if (code != CSL_OK)
        return code;
    csl_group_rule_default(&rule);
    rule.alpha = f->weights.alpha;
    rule.beta = f->weights.beta;
    rule.cap = f->weights.cap;
    rule.patients_min = f->minimum_group;
    code = count_training(&s, train, err);
    if (code == CSL_OK) {
        add_skills(&s, judged, skill);
        code = csl_group_weights(&rule, f->attribute_count, s.list, s.count, s.weight, NULL, err);
    }
    for (uint32_t p = 0; code == CSL_OK && p < train->patients; p++)
        out[p] = (float)s.weight[*place(&s, train, p)];
    strata_release(&s);
    return code;
}

enum csl_code csl_trainer__weigh_groups(struct csl_trainer *t, const struct csl_train_task *task,
                                        struct csl_batches *batches, uint32_t domain,
                                        struct csl_err *err)
{
    const struct csl_domain *d = &t->study->domains[domain];
    const struct csl_examples *train = &task->data->domains[domain][CSL_SPLIT_TRAIN];
    const struct csl_examples *judged = &task->data->domains[domain][CSL_SPLIT_VALIDATION];
    if (judged->records == 0)
        judged = train;
    float *p = csl_alloc_array((size_t)judged->records * d->outputs, sizeof(*p));
    float *weight = csl_alloc_array(train->patients, sizeof(*weight));
    double *skill = csl_alloc_array(judged->patients, sizeof(*skill));
    enum csl_code code = CSL_OK;
    if (p == NULL || weight == NULL || skill == NULL)
        code =
            CSL_FAIL(err, CSL_E_NOMEM, "no memory for the weights of %u patients", train->patients);
    if (code == CSL_OK)
        code = csl_trainer_predict(t, domain, judged, task->global, p, NULL, err);
    if (code == CSL_OK)
        code = csl_patient_skills(judged, d->task, d->classes, p, skill, err);
    if (code == CSL_OK)
        code = csl_patient_weights(&t->study->fairness, train, judged, skill, weight, err);
    if (code == CSL_OK)
        code = csl_batches_weigh(batches, weight, err);
    csl_free(p);
    csl_free(weight);
    csl_free(skill);
    return code;
}
