#include "site-agent/training/trainer.h"

#include <math.h>
#include <string.h>

#define ROWS_AT_ONCE 256u

/* Logits of all records into out: [R, outputs], a slice of rows at a time. */
static enum csl_code logits_of(struct csl_trainer *t, const struct csl_net *n,
                               const struct csl_examples *e, float *out, struct csl_err *err)
{
    uint64_t most = csl_net_rows_at_once(n, e->records < ROWS_AT_ONCE ? e->records : ROWS_AT_ONCE);
    enum csl_code code = csl_trainer__fit(t, n, most, err);
    if (code != CSL_OK)
        return code;
    struct csl_view logits = t->work.activation[n->layer_count];
    for (uint64_t at = 0; at < e->records; at += most) {
        struct csl_pass pass = {.ops = t->ops,
                                .dev = t->dev,
                                .weights = t->vectors[CSL_V_WEIGHTS],
                                .gradient = t->vectors[CSL_V_GRADIENT],
                                .rows = e->records - at < most ? e->records - at : most};
        csl_trainer__put_inputs(t, n, e->x + at * e->width, NULL, pass.rows);
        csl_net_forward(n, &pass, &t->work);
        t->ops->get(t->dev, out + at * n->outputs, logits.buf, logits.first * sizeof(float),
                    pass.rows * n->outputs * sizeof(float));
    }
    return t->ops->sync(t->dev, err);
}

/* The loss of all records at once (risk sets need them together), as a net without layers whose
 * input is the logits. */
static enum csl_code loss_of(struct csl_trainer *t, uint32_t domain, const struct csl_examples *e,
                             const float *logits, double *out, struct csl_err *err)
{
    const struct csl_domain *d = &t->study->domains[domain];
    const struct csl_net *n = &t->nets[domain];
    struct csl_net head = {.loss = n->loss, .outputs = n->outputs, .answers = n->answers};
    head.layers[0].in = n->outputs;
    struct csl_work work;
    struct csl_batches all;
    enum csl_code code = csl_batches_init(&all, e, "loss", d->id, d->classes, "", 0, 0, err);
    if (code != CSL_OK)
        return code;
    csl_work_init(&work, t->ops, t->dev);
    code = csl_work_fit(&work, &head, e->records, err);
    if (code == CSL_OK && n->loss == CSL_LOSS_COX)
        code = csl_trainer__need_order(t, e->records, err);
    if (code == CSL_OK) {
        t->ops->put(t->dev, work.floats, 0, logits, e->records * n->outputs * sizeof(float));
        csl_trainer__put_truth(t, n, &work, &all, NULL, e->records);
        struct csl_loss l = csl_trainer__loss(&head, &work, &all, 0, e->records, e->patients);
        l.loss = (struct csl_view){t->losses, 0, 1};
        t->ops->loss(t->dev, &l);
        t->ops->get(t->dev, out, t->losses, 0, sizeof(*out));
        code = t->ops->sync(t->dev, err);
    }
    csl_work_release(&work);
    csl_batches_release(&all);
    return code;
}

static void probabilities(const struct csl_net *n, uint64_t records, float *out)
{
    uint64_t k = n->outputs;
    bool is_sigmoid = n->loss == CSL_LOSS_LOGISTIC || n->loss == CSL_LOSS_MULTILABEL;
    for (uint64_t r = 0; is_sigmoid && r < records * k; r++)
        out[r] = (float)(1 / (1 + exp(-(double)out[r])));
    for (uint64_t r = 0; n->loss == CSL_LOSS_SOFTMAX && r < records; r++) {
        float *z = out + r * k;
        double most = -HUGE_VAL, sum = 0;
        for (uint64_t c = 0; c < k; c++)
            most = fmax(most, (double)z[c]);
        for (uint64_t c = 0; c < k; c++)
            sum += exp((double)z[c] - most);
        for (uint64_t c = 0; c < k; c++)
            z[c] = (float)(exp((double)z[c] - most) / sum);
    }
}

/* Logits of a record with one that is no number become even odds. */
static void make_finite(const struct csl_net *n, uint64_t records, float *logits)
{
    for (uint64_t r = 0; r < records; r++)
        if (csl_first_not_finite(logits + r * n->outputs, n->outputs) < n->outputs)
            memset(logits + r * n->outputs, 0, n->outputs * sizeof(*logits));
}

static enum csl_code predict(struct csl_trainer *t, uint32_t domain, const struct csl_examples *e,
                             const float *parameters, bool is_even, float *out, double *loss,
                             struct csl_err *err)
{
    if (domain >= t->study->domain_count)
        return CSL_FAIL(err, CSL_E_INVAL, "domain %u of %u", domain, t->study->domain_count);
    const struct csl_domain *d = &t->study->domains[domain];
    const struct csl_net *n = &t->nets[domain];
    if (e->records > 0 && (e->width != d->width || n->is_joined != (e->of != NULL)))
        return CSL_FAIL(err, CSL_E_INVAL, "domain %s: records of width %u, the study has %u", d->id,
                        e->width, d->width);
    double mean = 0;
    if (e->records > 0) {
        enum csl_code code;
        csl_trainer__put_weights(t, n, parameters);
        for (uint32_t i = 0; i < d->fusion.input_count; i++)
            csl_trainer__put_weights(t, &t->nets[t->study->domain_count + d->fusion.inputs[i]],
                                     parameters);
        if (n->is_joined)
            code = csl_trainer__fused_logits(t, domain, e, out, err);
        else
            code = logits_of(t, n, e, out, err);
        if (code == CSL_OK && is_even)
            make_finite(n, e->records, out);
        if (code == CSL_OK && loss != NULL)
            code = loss_of(t, domain, e, out, &mean, err);
        if (code != CSL_OK)
            return code;
        uint64_t count = e->records * n->outputs;
        uint64_t bad = csl_first_not_finite(out, count);
        if (bad < count)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "domain %s: the prediction for record %llu is not finite; a value of "
                            "the data or of the model is not",
                            d->id, (unsigned long long)(bad / n->outputs));
        probabilities(n, e->records, out);
    }
    if (loss != NULL)
        *loss = mean;
    return CSL_OK;
}

enum csl_code csl_trainer_predict(struct csl_trainer *t, uint32_t domain,
                                  const struct csl_examples *e, const float *parameters, float *out,
                                  double *loss, struct csl_err *err)
{
    return predict(t, domain, e, parameters, false, out, loss, err);
}

enum csl_code csl_trainer_predict_always(struct csl_trainer *t, uint32_t domain,
                                         const struct csl_examples *e, const float *parameters,
                                         float *out, double *loss, struct csl_err *err)
{
    return predict(t, domain, e, parameters, true, out, loss, err);
}
