/* DP-SGD (Abadi et al. 2016) with the patient as unit: each step draws every patient with the
 * plan's rate, clips one contribution per patient whatever the number of records, adds noise to the
 * exact integer sum and divides by the expected batch, which is public.
 *
 * Why it is private: the sum moves by at most the noise's l2_units when one patient is taken away
 * (csl_noise_round), the noise is drawn for every step, also when nobody was drawn, and everything
 * after it sees the noisy sum only. Gradients of patients are formed one at a time, so that none
 * depends on who else was drawn; how many rows the device takes at once is no matter of privacy. */
#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "privacy/dp/poisson_sample.h"
#include "site-agent/training/trainer.h"

#include <string.h>

#define ROWS_AT_ONCE 512u /* a patient with more records goes alone */

/* What one domain's steps need. */
struct dp_loop {
    struct csl_trainer *t;
    const struct csl_loop *loop;
    const struct csl_private_domain *plan;
    struct csl_private_run *run;
    uint32_t *chosen; /* [patients] drawn in this step, ascending */
    uint32_t *rows;   /* [rows_max] records of the patients now on the device */
    int64_t *sum;     /* [count] grid units */
    /* with canaries: */
    struct csl_canaries *canaries; /* NULL: not in this domain */
    uint32_t *drawn;               /* [canaries] drawn in this step */
    int64_t *real;                 /* [count] the sum before them */
    double *scored;                /* [count] */
    uint64_t rows_max;
};

static uint32_t records_of(const struct csl_batches *b, uint32_t patient)
{
    return b->first[patient + 1] - b->first[patient];
}

static enum csl_code dp_open(struct dp_loop *d, struct csl_err *err)
{
    const struct csl_net *n = &d->t->nets[d->loop->domain];
    const struct csl_batches *b = d->loop->batches;
    d->rows_max = csl_net_rows_at_once(n, ROWS_AT_ONCE);
    for (uint32_t p = 0; p < b->examples->patients; p++)
        if (records_of(b, p) > d->rows_max)
            d->rows_max = records_of(b, p);
    d->chosen = csl_alloc_array(b->examples->patients, sizeof(*d->chosen));
    d->rows = csl_alloc_array((size_t)d->rows_max, sizeof(*d->rows));
    d->sum = csl_alloc_array((size_t)n->count, sizeof(*d->sum));
    bool has_all = d->chosen != NULL && d->rows != NULL && d->sum != NULL;
    if (d->plan == &d->run->plan->domains[0])
        d->canaries = d->run->canaries;
    if (d->canaries != NULL) {
        d->drawn = csl_alloc_array(csl_canaries_count(d->canaries), sizeof(*d->drawn));
        d->real = csl_alloc_array((size_t)n->count, sizeof(*d->real));
        d->scored = csl_alloc_array((size_t)n->count, sizeof(*d->scored));
        has_all = has_all && d->drawn != NULL && d->real != NULL && d->scored != NULL;
    }
    if (!has_all)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for private steps of %llu parameters",
                        (unsigned long long)n->count);
    return csl_trainer__fit(d->t, n, d->rows_max, err);
}

static void dp_close(struct dp_loop *d)
{
    csl_free(d->chosen);
    csl_free(d->rows);
    if (d->sum != NULL) /* in mode joint it has a share of the noise only */
        csl_wipe(d->sum, (size_t)d->t->nets[d->loop->domain].count * sizeof(*d->sum));
    csl_free(d->sum);
    csl_free(d->drawn);
    csl_free(d->real);
    csl_free(d->scored);
}

/* The gradient of rows [at, at + rows) of the device's batch alone, into the pass's gradient. */
static void patient_gradient(const struct dp_loop *d, const struct csl_pass *pass, uint64_t at,
                             uint64_t rows)
{
    const struct csl_net *n = &d->t->nets[d->loop->domain];
    const struct csl_work *w = &d->t->work;
    const struct csl_view all_one = {0};
    for (uint32_t i = 0; i < n->layer_count; i++) {
        const struct csl_layer *l = &n->layers[i];
        if (l->ops->grad_params == NULL)
            continue;
        struct csl_pass whole = csl_net_pass(n, pass, w, i);
        struct csl_pass one = csl_pass_part(&whole, l, at, rows);
        struct csl_view x = w->activation[i];
        if (i > 0 || n->tokens == 0) /* offsets point into all ids */
            x = (struct csl_view){x.buf, x.first + at * l->in, rows * l->in};
        struct csl_view g = {w->gradient[i + 1].buf, w->gradient[i + 1].first + at * l->out,
                             rows * l->out};
        l->ops->grad_params(l, &one, x, g, all_one, 0.0f);
    }
}

/* Adds the clipped gradients of patients chosen[from, to), whose records are in d->rows. */
static enum csl_code add_patients(struct dp_loop *d, uint32_t from, uint32_t to, uint64_t rows,
                                  struct csl_err *err)
{
    struct csl_trainer *t = d->t;
    const struct csl_net *n = &t->nets[d->loop->domain];
    const struct csl_batches *b = d->loop->batches;
    struct csl_pass pass = {.ops = t->ops,
                            .dev = t->dev,
                            .weights = t->vectors[CSL_V_WEIGHTS],
                            .gradient = t->vectors[CSL_V_GRADIENT],
                            .rows = rows};
    csl_trainer__put_inputs(t, n, b->examples->x, d->rows, rows);
    csl_trainer__put_truth(t, n, &t->work, b, d->rows, rows);
    csl_net_forward(n, &pass, &t->work);
    /* scale 1: a sum over patients of the mean over the patient's records */
    struct csl_loss loss = csl_trainer__loss(n, &t->work, b, n->layer_count, rows, 1);
    loss.loss = (struct csl_view){t->losses, 0, 1}; /* stays on the device: nobody may see it */
    t->ops->loss(t->dev, &loss);
    csl_net_grad_inputs(n, &pass, &t->work);
    uint64_t at = 0;
    for (uint32_t i = from; i < to; i++) {
        uint64_t count = records_of(b, d->chosen[i]);
        patient_gradient(d, &pass, at, count);
        t->ops->get(t->dev, t->host + n->first, t->vectors[CSL_V_GRADIENT],
                    n->first * sizeof(float), n->count * sizeof(float));
        enum csl_code code = t->ops->sync(t->dev, err);
        if (code != CSL_OK)
            return code;
        if (!csl_noise_round(&d->plan->noise, t->host + n->first, (size_t)n->count, d->sum))
            d->run->rejected++;
        at += count;
    }
    CSL_ASSERT(at == rows);
    return CSL_OK;
}

/* The exact sum of the drawn patients' clipped contributions. */
static enum csl_code sum_batch(struct dp_loop *d, size_t drawn, struct csl_err *err)
{
    const struct csl_batches *b = d->loop->batches;
    uint32_t from = 0;
    uint64_t rows = 0;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < drawn; i++) {
        uint32_t p = d->chosen[i];
        if (rows > 0 && rows + records_of(b, p) > d->rows_max) {
            code = add_patients(d, from, i, rows, err);
            from = i;
            rows = 0;
        }
        for (uint32_t r = b->first[p]; code == CSL_OK && r < b->first[p + 1]; r++)
            d->rows[rows++] = r;
    }
    if (code == CSL_OK && rows > 0)
        code = add_patients(d, from, (uint32_t)drawn, rows, err);
    return code;
}

/* The canaries that exist take part like patients: same rate, same clip, same rounding. */
static enum csl_code add_canaries(struct dp_loop *d, struct csl_err *err)
{
    const struct csl_net *n = &d->t->nets[d->loop->domain];
    size_t count = (size_t)n->count, drawn = 0;
    float *gradient = d->t->host + n->first;
    memcpy(d->real, d->sum, count * sizeof(*d->real));
    enum csl_code code = csl_poisson_sample(d->run->rng, d->plan->sampling_rate,
                                            csl_canaries_count(d->canaries), d->drawn, &drawn, err);
    for (size_t i = 0; code == CSL_OK && i < drawn; i++) {
        if (!csl_canaries_is_included(d->canaries, d->drawn[i]))
            continue;
        csl_canaries_gradient(d->canaries, d->drawn[i], gradient);
        if (!csl_noise_round(&d->plan->noise, gradient, count, d->sum))
            d->run->rejected++;
    }
    return code;
}

/* What an adversary who knows all real patients sees of the canaries: the noisy sum without them.
 */
static enum csl_code score_canaries(struct dp_loop *d, struct csl_err *err)
{
    uint64_t count = d->t->nets[d->loop->domain].count;
    for (uint64_t i = 0; i < count; i++)
        d->scored[i] = (double)(d->sum[i] - d->real[i]);
    return csl_canaries_score(d->canaries, d->scored, err);
}

/* One release: d->sum becomes the noisy sum of the patients this step draws. */
static enum csl_code noisy_sum(struct dp_loop *d, struct csl_err *err)
{
    struct csl_trainer *t = d->t;
    const struct csl_net *n = &t->nets[d->loop->domain];
    size_t drawn = 0;
    memset(d->sum, 0, (size_t)n->count * sizeof(*d->sum));
    enum csl_code code =
        csl_poisson_sample(d->run->rng, d->plan->sampling_rate,
                           d->loop->batches->examples->patients, d->chosen, &drawn, err);
    if (code == CSL_OK)
        code = sum_batch(d, drawn, err);
    if (code == CSL_OK && d->canaries != NULL)
        code = add_canaries(d, err);
    if (code == CSL_OK)
        code = csl_noise_add(d->run->rng, &d->plan->noise, d->sum, (size_t)n->count, err);
    if (code == CSL_OK && d->canaries != NULL)
        code = score_canaries(d, err);
    if (code != CSL_OK)
        return code;
    d->run->releases[d->plan - d->run->plan->domains]++;
    return CSL_OK;
}

static enum csl_code private_step(struct dp_loop *d, struct csl_err *err)
{
    struct csl_trainer *t = d->t;
    const struct csl_net *n = &t->nets[d->loop->domain];
    enum csl_code code = noisy_sum(d, err);
    if (code != CSL_OK)
        return code;
    csl_noise_scale(&d->plan->noise, d->sum, (size_t)n->count, d->plan->expected_batch,
                    t->host + n->first);
    t->ops->put(t->dev, t->vectors[CSL_V_GRADIENT], n->first * sizeof(float), t->host + n->first,
                n->count * sizeof(float));
    return CSL_OK;
}

enum csl_code csl_trainer__private_loop(struct csl_trainer *t, struct csl_loop *loop,
                                        const struct csl_private_domain *plan,
                                        struct csl_private_run *run, struct csl_err *err)
{
    struct dp_loop d = {.t = t, .loop = loop, .plan = plan, .run = run};
    CSL_ASSERT(plan->patients == loop->batches->examples->patients);
    enum csl_code code = dp_open(&d, err);
    for (uint64_t k = 0; code == CSL_OK && k < loop->steps; k++) {
        if (loop->cancelled != NULL && loop->cancelled(loop->cancelled_ctx))
            code = CSL_FAIL(err, CSL_E_CANCELLED, "%s %llu: cancelled at step %llu", loop->what,
                            (unsigned long long)loop->number, (unsigned long long)k + 1);
        if (code == CSL_OK)
            code = private_step(&d, err);
        if (code == CSL_OK)
            csl_trainer__update(t, loop, k);
    }
    dp_close(&d);
    return code;
}

enum csl_code csl_trainer__joint_sum(struct csl_trainer *t, struct csl_loop *loop,
                                     const struct csl_private_domain *plan,
                                     struct csl_private_run *run, int64_t *sum, struct csl_err *err)
{
    struct dp_loop d = {.t = t, .loop = loop, .plan = plan, .run = run};
    const struct csl_net *n = &t->nets[loop->domain];
    CSL_ASSERT(plan->patients == loop->batches->examples->patients);
    enum csl_code code = dp_open(&d, err);
    if (code == CSL_OK)
        code = noisy_sum(&d, err);
    if (code == CSL_OK)
        memcpy(sum + n->first, d.sum, (size_t)n->count * sizeof(*sum));
    dp_close(&d);
    return code;
}
