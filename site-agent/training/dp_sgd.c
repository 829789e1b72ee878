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
#include "site-agent/training/private_release.h"
#include "site-agent/training/private_sum.h"

#include <stdatomic.h>
#include <string.h>

/* What one domain's steps need. */
struct dp_loop {
    struct csl_trainer *t;
    const struct csl_loop *loop;
    const struct csl_private_domain *plan;
    struct csl_private_run *run;
    struct csl_release release;
    struct csl_private_sum *clipped;
    /* with two threads: */
    struct csl_trainer *second_trainer;     /* else NULL; the weights are the first one's */
    struct csl_private_sum *second_clipped; /* of it */
    int64_t *second;                        /* [count] noise and the patients the second took */
    uint32_t *ends;                         /* [patients] where pieces of the chosen end */
    _Atomic uint32_t next;                  /* piece that nobody has taken yet */
};

/* What a second thread works with: memory of its own, the first one's weights. */
static enum csl_code open_second(struct dp_loop *d, struct csl_err *err)
{
    const struct csl_batches *b = d->loop->batches;
    const struct csl_trainer *first = d->t;
    size_t count = (size_t)first->nets[d->loop->domain].count;
    struct csl_trainer *t = csl_alloc(sizeof(*t));
    if (t == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a second thread");
    d->second_trainer = t;
    t->study = first->study;
    t->ops = first->ops;
    t->nets = first->nets;
    t->vectors[CSL_V_WEIGHTS] = first->vectors[CSL_V_WEIGHTS];
    t->host = csl_alloc_array((size_t)first->study->schema.parameters, sizeof(*t->host));
    d->second = csl_alloc_array(count, sizeof(*d->second));
    d->ends = csl_alloc_array(b->examples->patients, sizeof(*d->ends));
    if (t->host == NULL || d->second == NULL || d->ends == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a second thread");
    enum csl_code code = t->ops->open(0, &t->dev, err);
    if (code != CSL_OK)
        return code;
    csl_work_init(&t->work, t->ops, t->dev);
    code = csl_trainer__need(t, CSL_V_GRADIENT, err);
    if (code == CSL_OK)
        code = t->ops->alloc(t->dev, sizeof(double), &t->losses, err);
    if (code == CSL_OK)
        code =
            csl_private_sum__open(&d->second_clipped, t, d->loop->domain, b, &d->plan->noise, err);
    return code;
}

static void close_second(struct dp_loop *d)
{
    struct csl_trainer *t = d->second_trainer;
    if (t == NULL)
        return;
    csl_private_sum__close(d->second_clipped);
    if (d->second != NULL)
        csl_wipe(d->second, (size_t)t->nets[d->loop->domain].count * sizeof(*d->second));
    csl_free(d->second);
    csl_free(d->ends);
    t->nets = NULL; /* the first one's, as its weights */
    t->vectors[CSL_V_WEIGHTS] = NULL;
    csl_trainer_free(t);
}

static enum csl_code dp_open(struct dp_loop *d, struct csl_err *err)
{
    const struct csl_net *n = &d->t->nets[d->loop->domain];
    enum csl_code code = csl_release__open(&d->release, d->plan, d->run, (size_t)n->count,
                                           d->t->host + n->first, err);
    /* Changes of inputs are drawn by a record's place, which moves where a patient before it is not
     * there: so nobody may know the draws (fused_dp.c likewise). */
    if (d->t->study->domains[d->loop->domain].augment.is_on)
        d->loop->batches->seed = csl_rng_u64(d->run->rng);
    if (code == CSL_OK)
        code = csl_private_sum__open(&d->clipped, d->t, d->loop->domain, d->loop->batches,
                                     &d->plan->noise, err);
    if (code == CSL_OK && d->t->threads > 1 && d->release.canaries == NULL &&
        d->t->ops->host != NULL)
        code = open_second(d, err);
    return code;
}

static void dp_close(struct dp_loop *d)
{
    close_second(d);
    csl_private_sum__close(d->clipped);
    csl_release__close(&d->release);
}

/* The exact sum of the drawn patients' clipped contributions. */
static enum csl_code sum_batch(struct dp_loop *d, struct csl_err *err)
{
    const struct csl_release *r = &d->release;
    enum csl_code code = CSL_OK;
    for (uint32_t from = 0, count; code == CSL_OK && from < r->drawn; from += count) {
        count = csl_private_sum__piece(d->clipped, r->chosen + from, (uint32_t)r->drawn - from);
        code = csl_private_sum__add(d->clipped, r->chosen + from, count, r->sum, &d->run->rejected,
                                    err);
    }
    return code;
}

struct share {
    struct dp_loop *d;
    uint32_t pieces;
    uint64_t rejected;
    enum csl_code code;
    struct csl_err err;
};

/* Pieces that nobody has taken, into sum. */
static enum csl_code take_pieces(struct share *s, struct csl_private_sum *clipped, int64_t *sum,
                                 struct csl_err *err)
{
    struct dp_loop *d = s->d;
    enum csl_code code = CSL_OK;
    for (uint32_t i; code == CSL_OK && (i = atomic_fetch_add(&d->next, 1)) < s->pieces;) {
        uint32_t from = i > 0 ? d->ends[i - 1] : 0;
        code = csl_private_sum__add(clipped, d->release.chosen + from, d->ends[i] - from, sum,
                                    &s->rejected, err);
    }
    return code;
}

/* The second thread draws the noise, which depends on no patient, and then helps. */
static void second_share(void *arg)
{
    struct share *s = arg;
    s->code = csl_release__add_noise(&s->d->release, s->d->second, &s->err);
    if (s->code == CSL_OK)
        s->code = take_pieces(s, s->d->second_clipped, s->d->second, &s->err);
}

/* By two threads: integers have no order, and only the second draws from the generator: the same
 * bits as by one. */
static enum csl_code sum_by_two(struct dp_loop *d, struct csl_err *err)
{
    const struct csl_release *r = &d->release;
    struct share first = {.d = d}, second = {.d = d};
    struct csl_thread thread = {0};
    for (uint32_t from = 0; from < r->drawn; from = d->ends[first.pieces++])
        d->ends[first.pieces] =
            from + csl_private_sum__piece(d->clipped, r->chosen + from, (uint32_t)r->drawn - from);
    second.pieces = first.pieces;
    atomic_store(&d->next, 0);
    memset(d->second, 0, r->count * sizeof(*d->second));
    bool is_apart =
        csl_thread_start(&thread, "private step", second_share, &second, NULL) == CSL_OK;
    enum csl_code code = take_pieces(&first, d->clipped, r->sum, err);
    csl_thread_join(&thread);
    if (!is_apart)
        second_share(&second); /* the noise is left */
    if (code == CSL_OK && second.code != CSL_OK)
        code = CSL_FAIL(err, second.code, "%s", second.err.msg);
    for (size_t i = 0; code == CSL_OK && i < r->count; i++)
        r->sum[i] += d->second[i];
    d->run->rejected += first.rejected + second.rejected;
    return code;
}

/* One release: the noisy sum of the patients this step draws. */
static enum csl_code noisy_sum(struct dp_loop *d, struct csl_err *err)
{
    bool is_by_two = d->second_trainer != NULL;
    enum csl_code code = csl_release__draw(&d->release, err);
    if (code == CSL_OK)
        code = is_by_two ? sum_by_two(d, err) : sum_batch(d, err);
    return code == CSL_OK ? csl_release__finish(&d->release, is_by_two, err) : code;
}

static enum csl_code private_step(struct dp_loop *d, struct csl_err *err)
{
    struct csl_trainer *t = d->t;
    const struct csl_net *n = &t->nets[d->loop->domain];
    enum csl_code code = noisy_sum(d, err);
    if (code != CSL_OK)
        return code;
    csl_noise_scale(&d->plan->noise, d->release.sum, (size_t)n->count, d->plan->expected_batch,
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
        code = csl_trainer__check_cancelled(loop->cancelled, loop->cancelled_ctx, loop->what,
                                            loop->number, k, err);
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
        memcpy(sum + n->first, d.release.sum, (size_t)n->count * sizeof(*sum));
    dp_close(&d);
    return code;
}
