/* DP-SGD (Abadi et al. 2016) with the patient as unit: each step draws every patient with the
 * plan's rate, clips one contribution per patient whatever the number of records, adds noise to the
 * exact integer sum and divides by the expected batch, which is public.
 *
 * Why it is private: the sum moves by at most the noise's l2_units when one patient is taken away
 * (csl_noise_round), the noise is drawn for every step, also when nobody was drawn, and everything
 * after it sees the noisy sum only. What a patient adds depends on nobody else (private_sum.h). */
#include "base/check.h"
#include "base/mem.h"
#include "base/thread.h"
#include "privacy/crypto/secret.h"
#include "privacy/dp/poisson_sample.h"
#include "site-agent/training/private_sum.h"

#include <string.h>

/* What one domain's steps need. */
struct dp_loop {
    struct csl_trainer *t;
    const struct csl_loop *loop;
    const struct csl_private_domain *plan;
    struct csl_private_run *run;
    uint32_t *chosen; /* [patients] drawn in this step, ascending */
    int64_t *sum;     /* [count] grid units */
    struct csl_private_sum *clipped;
    int64_t *noise; /* [count] with two threads: the noise of a step; else NULL */
    /* with canaries: */
    struct csl_canaries *canaries; /* NULL: not in this domain */
    uint32_t *drawn;               /* [canaries] drawn in this step */
    int64_t *real;                 /* [count] the sum before them */
    double *scored;                /* [count] */
};

static enum csl_code dp_open(struct dp_loop *d, struct csl_err *err)
{
    const struct csl_net *n = &d->t->nets[d->loop->domain];
    const struct csl_batches *b = d->loop->batches;
    d->chosen = csl_alloc_array(b->examples->patients, sizeof(*d->chosen));
    d->sum = csl_alloc_array((size_t)n->count, sizeof(*d->sum));
    bool has_all = d->chosen != NULL && d->sum != NULL;
    if (d->plan == &d->run->plan->domains[0])
        d->canaries = d->run->canaries;
    if (d->canaries != NULL) {
        d->drawn = csl_alloc_array(csl_canaries_count(d->canaries), sizeof(*d->drawn));
        d->real = csl_alloc_array((size_t)n->count, sizeof(*d->real));
        d->scored = csl_alloc_array((size_t)n->count, sizeof(*d->scored));
        has_all = has_all && d->drawn != NULL && d->real != NULL && d->scored != NULL;
    }
    if (d->canaries == NULL && d->t->threads > 1) {
        d->noise = csl_alloc_array((size_t)n->count, sizeof(*d->noise));
        has_all = has_all && d->noise != NULL;
    }
    if (!has_all)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for private steps of %llu parameters",
                        (unsigned long long)n->count);
    return csl_private_sum__open(&d->clipped, d->t, d->loop->domain, b, &d->plan->noise, err);
}

static void dp_close(struct dp_loop *d)
{
    csl_private_sum__close(d->clipped);
    csl_free(d->chosen);
    if (d->sum != NULL) /* in mode joint it has a share of the noise only */
        csl_wipe(d->sum, (size_t)d->t->nets[d->loop->domain].count * sizeof(*d->sum));
    csl_free(d->sum);
    if (d->noise != NULL)
        csl_wipe(d->noise, (size_t)d->t->nets[d->loop->domain].count * sizeof(*d->noise));
    csl_free(d->noise);
    csl_free(d->drawn);
    csl_free(d->real);
    csl_free(d->scored);
}

/* The exact sum of the drawn patients' clipped contributions. */
static enum csl_code sum_batch(struct dp_loop *d, size_t drawn, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t from = 0, count; code == CSL_OK && from < drawn; from += count) {
        count = csl_private_sum__piece(d->clipped, d->chosen + from, (uint32_t)drawn - from);
        code = csl_private_sum__add(d->clipped, d->chosen + from, count, d->sum, &d->run->rejected,
                                    err);
    }
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

static enum csl_code add_noise(struct dp_loop *d, int64_t *sum, struct csl_err *err)
{
    size_t count = (size_t)d->t->nets[d->loop->domain].count;
    return csl_noise_add(d->run->rng, &d->plan->noise, sum, count, err);
}

struct noise_work {
    struct dp_loop *d;
    enum csl_code code;
    struct csl_err err;
};

static void draw_noise(void *arg)
{
    struct noise_work *w = arg;
    w->code = add_noise(w->d, w->d->noise, &w->err);
}

/* The sum of the patients and the noise, by two threads when there is room for it. Noise depends on
 * nothing that the other thread does, and integers have no order: the same bits either way. Only
 * one of the two draws from the generator at a time. */
static enum csl_code sum_with_noise(struct dp_loop *d, size_t drawn, struct csl_err *err)
{
    uint64_t count = d->t->nets[d->loop->domain].count;
    struct noise_work work = {.d = d};
    struct csl_thread thread = {0};
    bool is_apart = d->noise != NULL;
    if (is_apart) {
        memset(d->noise, 0, (size_t)count * sizeof(*d->noise));
        is_apart = csl_thread_start(&thread, "noise", draw_noise, &work, NULL) == CSL_OK;
    }
    enum csl_code code = sum_batch(d, drawn, err);
    csl_thread_join(&thread);
    if (code == CSL_OK && d->canaries != NULL)
        code = add_canaries(d, err);
    if (code == CSL_OK && !is_apart)
        return add_noise(d, d->sum, err);
    if (code == CSL_OK && work.code != CSL_OK)
        code = CSL_FAIL(err, work.code, "%s", work.err.msg);
    for (uint64_t i = 0; code == CSL_OK && i < count; i++)
        d->sum[i] += d->noise[i];
    return code;
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
        code = sum_with_noise(d, drawn, err);
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
            csl_optimiser_step(&loop->optimiser, t->ops, t->dev);
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
