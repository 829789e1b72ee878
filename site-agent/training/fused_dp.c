/* DP-SGD of a study with inputs (dp_sgd.c is that of one domain, and says why it is private): a
 * patient's contribution is the gradient over all blocks of the site, of all domains and records,
 * clipped once. One noisy sum a step is released, of all blocks together. */
#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "privacy/dp/poisson_sample.h"
#include "site-agent/training/fused_train.h"

#include <string.h>

#define ROWS_AT_ONCE 64u /* a patient with more records goes alone */

struct dp {
    struct csl_fused_run *run;
    const struct csl_private_domain *plan;
    struct csl_private_run *privacy;
    uint64_t piece;    /* rows of a pass, always: products of matrices may change a row's last
                          bits with the number of rows, and a patient's part must not depend on
                          who else was drawn */
    uint64_t rows_max; /* of a patient with more */
    uint32_t *chosen;  /* [patients] drawn in this step, ascending */
    uint32_t *rows;    /* [rows_max] of the patients now on the device */
    float *packed;     /* [parameters] */
    int64_t *sum;      /* [parameters] grid units */
    /* with canaries: */
    uint32_t *drawn; /* [canaries] */
    int64_t *real;   /* [parameters] the sum before them */
    double *scored;  /* [parameters] */
};

static uint32_t records_of(const struct csl_batches *b, uint32_t patient)
{
    return b->first[patient + 1] - b->first[patient];
}

static enum csl_code dp_open(struct dp *d, struct csl_err *err)
{
    struct csl_fused *f = d->run->fused;
    const struct csl_batches *b = &d->run->batches;
    size_t count = (size_t)f->parameters;
    d->piece = d->rows_max = csl_fused_rows_at_once(f, ROWS_AT_ONCE);
    for (uint32_t p = 0; p < f->all.patients; p++)
        if (records_of(b, p) > d->rows_max)
            d->rows_max = records_of(b, p);
    d->chosen = csl_alloc_array(f->all.patients, sizeof(*d->chosen));
    d->rows = csl_alloc_array((size_t)d->rows_max, sizeof(*d->rows));
    d->packed = csl_alloc_array(count, sizeof(*d->packed));
    d->sum = csl_alloc_array(count, sizeof(*d->sum));
    bool has_all = d->chosen != NULL && d->rows != NULL && d->packed != NULL && d->sum != NULL;
    if (d->privacy->canaries != NULL) {
        d->drawn = csl_alloc_array(csl_canaries_count(d->privacy->canaries), sizeof(*d->drawn));
        d->real = csl_alloc_array(count, sizeof(*d->real));
        d->scored = csl_alloc_array(count, sizeof(*d->scored));
        has_all = has_all && d->drawn != NULL && d->real != NULL && d->scored != NULL;
    }
    if (!has_all)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for private steps of %zu parameters", count);
    return csl_fused_fit(f, d->rows_max, err);
}

static void dp_close(struct dp *d)
{
    csl_free(d->chosen);
    csl_free(d->rows);
    if (d->packed != NULL) /* one patient's gradient */
        csl_wipe(d->packed, (size_t)d->run->fused->parameters * sizeof(*d->packed));
    csl_free(d->packed);
    csl_free(d->sum);
    csl_free(d->drawn);
    csl_free(d->real);
    csl_free(d->scored);
}

/* What was formed on the device, of the blocks that run. */
static enum csl_code get_gradient(struct dp *d, struct csl_err *err)
{
    struct csl_fused *f = d->run->fused;
    struct csl_trainer *t = f->t;
    for (uint32_t i = 0; i < t->net_count; i++)
        if (f->runs[i])
            t->ops->get(t->dev, t->host + t->nets[i].first, t->vectors[CSL_V_GRADIENT],
                        t->nets[i].first * sizeof(float), t->nets[i].count * sizeof(float));
    enum csl_code code = t->ops->sync(t->dev, err);
    if (code == CSL_OK)
        csl_fused_pack(f, t->host, d->packed);
    return code;
}

/* Adds the clipped gradients of patients chosen[from, to), whose rows are in d->rows. */
static enum csl_code add_patients(struct dp *d, uint32_t from, uint32_t to, uint64_t rows,
                                  struct csl_err *err)
{
    struct csl_fused *f = d->run->fused;
    uint64_t at = 0, loaded = rows;
    while (loaded < d->piece) /* filled up with copies, which nothing is taken of */
        d->rows[loaded++] = d->rows[0];
    csl_fused_load(f, d->rows, loaded);
    csl_fused_forward(f);
    /* scale 1: a sum over patients; the losses stay on the device: nobody may see them */
    csl_fused_backward(f, 1, 0);
    for (uint32_t i = from; i < to; i++) {
        uint64_t count = records_of(&d->run->batches, d->chosen[i]);
        csl_fused_grad_part(f, at, count);
        enum csl_code code = get_gradient(d, err);
        if (code != CSL_OK)
            return code;
        if (!csl_noise_round(&d->plan->noise, d->packed, (size_t)f->parameters, d->sum))
            d->privacy->rejected++;
        at += count;
    }
    CSL_ASSERT(at == rows);
    return CSL_OK;
}

static enum csl_code sum_batch(struct dp *d, size_t drawn, struct csl_err *err)
{
    const struct csl_batches *b = &d->run->batches;
    uint32_t from = 0;
    uint64_t rows = 0;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < drawn; i++) {
        uint32_t p = d->chosen[i];
        if (rows > 0 && rows + records_of(b, p) > d->piece) {
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
static enum csl_code add_canaries(struct dp *d, struct csl_err *err)
{
    struct csl_canaries *c = d->privacy->canaries;
    size_t count = (size_t)d->run->fused->parameters, drawn = 0;
    memcpy(d->real, d->sum, count * sizeof(*d->real));
    enum csl_code code = csl_poisson_sample(d->privacy->rng, d->plan->sampling_rate,
                                            csl_canaries_count(c), d->drawn, &drawn, err);
    for (size_t i = 0; code == CSL_OK && i < drawn; i++) {
        if (!csl_canaries_is_included(c, d->drawn[i]))
            continue;
        csl_canaries_gradient(c, d->drawn[i], d->packed);
        if (!csl_noise_round(&d->plan->noise, d->packed, count, d->sum))
            d->privacy->rejected++;
    }
    return code;
}

static enum csl_code score_canaries(struct dp *d, struct csl_err *err)
{
    for (uint64_t i = 0; i < d->run->fused->parameters; i++)
        d->scored[i] = (double)(d->sum[i] - d->real[i]);
    return csl_canaries_score(d->privacy->canaries, d->scored, err);
}

/* One release: d->sum becomes the noisy sum of the patients this step draws. */
static enum csl_code noisy_sum(struct dp *d, struct csl_err *err)
{
    struct csl_fused *f = d->run->fused;
    size_t drawn = 0, count = (size_t)f->parameters;
    bool has_canaries = d->privacy->canaries != NULL;
    memset(d->sum, 0, count * sizeof(*d->sum));
    enum csl_code code = csl_poisson_sample(d->privacy->rng, d->plan->sampling_rate,
                                            f->all.patients, d->chosen, &drawn, err);
    if (code == CSL_OK)
        code = sum_batch(d, drawn, err);
    if (code == CSL_OK && has_canaries)
        code = add_canaries(d, err);
    if (code == CSL_OK)
        code = csl_noise_add(d->privacy->rng, &d->plan->noise, d->sum, count, err);
    if (code == CSL_OK && has_canaries)
        code = score_canaries(d, err);
    if (code == CSL_OK)
        d->privacy->releases[0]++;
    return code;
}

static enum csl_code private_step(struct dp *d, uint64_t k, struct csl_err *err)
{
    struct csl_fused *f = d->run->fused;
    struct csl_trainer *t = f->t;
    enum csl_code code = noisy_sum(d, err);
    if (code != CSL_OK)
        return code;
    csl_noise_scale(&d->plan->noise, d->sum, (size_t)f->parameters, d->plan->expected_batch,
                    d->packed);
    csl_fused_unpack(f, d->packed, t->host);
    for (uint32_t i = 0; i < t->net_count; i++)
        if (f->runs[i])
            t->ops->put(t->dev, t->vectors[CSL_V_GRADIENT], t->nets[i].first * sizeof(float),
                        t->host + t->nets[i].first, t->nets[i].count * sizeof(float));
    csl_fused_update__(d->run, k);
    return CSL_OK;
}

enum csl_code csl_fused_private_loop__(struct csl_fused_run *run,
                                       const struct csl_private_domain *plan,
                                       struct csl_private_run *privacy, struct csl_err *err)
{
    struct dp d = {.run = run, .plan = plan, .privacy = privacy};
    CSL_ASSERT(plan->patients == run->fused->all.patients);
    enum csl_code code = dp_open(&d, err);
    run->fused->pass.is_training = true;
    for (uint64_t k = 0; code == CSL_OK && k < run->steps; k++) {
        if (run->cancelled != NULL && run->cancelled(run->cancelled_ctx))
            code = CSL_FAIL(err, CSL_E_CANCELLED, "%s %llu: cancelled at step %llu", run->what,
                            (unsigned long long)run->number, (unsigned long long)k + 1);
        run->fused->pass.seed = csl_fused_seed__(run->seed, run->site, run->position + k);
        if (code == CSL_OK)
            code = private_step(&d, k, err);
    }
    dp_close(&d);
    return code;
}
