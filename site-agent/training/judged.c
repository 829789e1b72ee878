#include "site-agent/training/judged.h"

#include "base/check.h"
#include "base/mem.h"
#include "site-agent/training/trainer.h"

#include <math.h>

static double loss_of(const struct csl_domain *d, const float *p, uint32_t record, uint8_t label)
{
    double likelihood = d->task == CSL_TASK_BINARY
                            ? (label != 0 ? (double)p[record] : 1 - (double)p[record])
                            : (double)p[(size_t)record * d->classes + label];
    double loss = -log(likelihood);
    return loss < CSL_JUDGED_LOSS_MAX ? loss : CSL_JUDGED_LOSS_MAX;
}

static bool is_class(const struct csl_domain *d, uint8_t label)
{
    return d->task == CSL_TASK_BINARY || label < d->classes;
}

enum csl_code csl_trainer_judge(struct csl_trainer *t, uint32_t domain,
                                const struct csl_examples *e, const float *parameters,
                                struct csl_judged *out, struct csl_err *err)
{
    const struct csl_domain *d = &t->study->domains[domain];
    struct csl_judged sum = {.patients = 0};
    CSL_ASSERT(d->task != CSL_TASK_SURVIVAL && d->classes <= CSL_CLASSES_MAX);
    float *p = csl_alloc_array((size_t)e->records * d->outputs, sizeof(*p));
    double *records = csl_alloc_array(e->patients, sizeof(*records));
    enum csl_code code = CSL_OK;
    if (p == NULL || records == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to judge %u records", e->records);
    if (code == CSL_OK && e->records > 0)
        code = csl_trainer_predict(t, domain, e, parameters, p, NULL, err);
    /* Behind the classes are sets of them (merged), by which nothing is judged. */
    for (uint32_t r = 0; code == CSL_OK && r < e->records; r++) {
        bool is_judged = is_class(d, e->label[r]);
        sum.patients += is_judged && records[e->patient[r]] == 0;
        records[e->patient[r]] += is_judged;
    }
    for (uint32_t r = 0; code == CSL_OK && r < e->records; r++) {
        if (!is_class(d, e->label[r]))
            continue;
        double share = 1 / records[e->patient[r]];
        sum.loss += share * loss_of(d, p, r, e->label[r]);
        sum.class_mass[e->label[r]] += share;
    }
    csl_free(p);
    csl_free(records);
    if (code == CSL_OK)
        *out = sum;
    return code;
}

enum csl_code csl_trainer_patient_losses(struct csl_trainer *t, uint32_t domain,
                                         const struct csl_examples *e, const float *parameters,
                                         double *losses, struct csl_err *err)
{
    const struct csl_domain *d = &t->study->domains[domain];
    CSL_ASSERT(csl_domain_is_counted(d));
    float *p = csl_alloc_array((size_t)e->records * d->outputs, sizeof(*p));
    uint32_t *records = csl_alloc_array(e->patients, sizeof(*records));
    double unused = 0;
    enum csl_code code = CSL_OK;
    if (p == NULL || records == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to judge %u records", e->records);
    if (code == CSL_OK)
        code = csl_trainer_predict_always(t, domain, e, parameters, p, &unused, err);
    for (uint32_t i = 0; code == CSL_OK && i < e->patients; i++)
        losses[i] = 0;
    for (uint32_t r = 0; code == CSL_OK && r < e->records; r++) {
        if (!is_class(d, e->label[r]))
            continue;
        records[e->patient[r]]++;
        losses[e->patient[r]] += loss_of(d, p, r, e->label[r]);
    }
    for (uint32_t i = 0; code == CSL_OK && i < e->patients; i++)
        losses[i] = records[i] > 0 ? losses[i] / records[i] : (double)NAN;
    csl_free(p);
    csl_free(records);
    return code;
}
