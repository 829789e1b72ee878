/* DP-SGD of a study with inputs (dp_sgd.c is that of one domain, and says why it is private): a
 * patient's contribution is the gradient over all blocks of the site, of all domains and records,
 * clipped once. One noisy sum a step is released, of all blocks together. */
#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "site-agent/training/fused_train.h"
#include "site-agent/training/group_shares.h"
#include "site-agent/training/private_release.h"

#include <math.h>
#include <string.h>

#define ROWS_AT_ONCE 64u /* a patient with more records goes alone */

/* For inputs that are dropped or changed in training. They are drawn by the place of a row, and the
 * rows of all later patients move up where a patient is not there: so nobody may know the draws, as
 * nobody may know the noise, or the others' parts would be seen to move. */
static uint64_t secret_seed(struct csl_private_run *privacy)
{
    return csl_rng_u64(privacy->rng);
}

struct dp {
    struct csl_fused_run *run;
    const struct csl_private_domain *plan;
    struct csl_private_run *privacy;
    uint64_t piece;    /* rows of a pass, always: products of matrices may change a row's last
                          bits with the number of rows, and a patient's part must not depend on
                          who else was drawn */
    uint64_t rows_max; /* of a patient with more */
    uint32_t *rows;    /* [rows_max] of the patients now on the device */
    float *packed;     /* [parameters] */
    struct csl_release release;
};

static enum csl_code dp_open(struct dp *d, struct csl_err *err)
{
    struct csl_fused *f = d->run->fused;
    const struct csl_batches *b = &d->run->batches;
    size_t count = (size_t)f->parameters;
    d->piece = d->rows_max = csl_fused_rows_at_once(f, ROWS_AT_ONCE);
    for (uint32_t p = 0; p < f->all.patients; p++)
        if (csl_batches_records(b, p) > d->rows_max)
            d->rows_max = csl_batches_records(b, p);
    d->rows = csl_alloc_array((size_t)d->rows_max, sizeof(*d->rows));
    d->packed = csl_alloc_array(count, sizeof(*d->packed));
    if (f->all.patients > CSL_NOISE_VECTORS_MAX) /* then no sum can overflow */
        return CSL_FAIL(err, CSL_E_LIMIT, "private steps of %u patients; at most 2^24",
                        f->all.patients);
    if (d->rows == NULL || d->packed == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for private steps of %zu parameters", count);
    enum csl_code code = csl_release__open(&d->release, d->plan, d->privacy, count, d->packed, err);
    return code == CSL_OK ? csl_fused_fit(f, d->rows_max, err) : code;
}

static void dp_close(struct dp *d)
{
    csl_release__close(&d->release);
    csl_free(d->rows);
    if (d->packed != NULL) /* one patient's gradient */
        csl_wipe(d->packed, (size_t)d->run->fused->parameters * sizeof(*d->packed));
    csl_free(d->packed);
}

/* What was formed on the device: the blocks that learn, side by side. */
static enum csl_code get_gradient(struct dp *d, struct csl_err *err)
{
    const struct csl_fused *f = d->run->fused;
    const struct csl_trainer *t = f->t;
    float *packed = d->packed;
    for (uint32_t i = 0; i < t->net_count; i++) {
        uint64_t first = t->nets[i].trained.first, count = t->nets[i].trained.count;
        if (!f->trains[i])
            continue;
        t->ops->get(t->dev, packed, t->vectors[CSL_V_GRADIENT], first * sizeof(*packed),
                    count * sizeof(*packed));
        packed += count;
    }
    return t->ops->sync(t->dev, err);
}

static void put_gradient(struct dp *d)
{
    const struct csl_fused *f = d->run->fused;
    const struct csl_trainer *t = f->t;
    const float *packed = d->packed;
    for (uint32_t i = 0; i < t->net_count; i++) {
        uint64_t first = t->nets[i].trained.first, count = t->nets[i].trained.count;
        if (!f->trains[i])
            continue;
        t->ops->put(t->dev, t->vectors[CSL_V_GRADIENT], first * sizeof(*packed), packed,
                    count * sizeof(*packed));
        packed += count;
    }
}

/* --- weights of domains and of patient groups in mode joint --- */

static bool counts_in(const struct dp *d, uint32_t patient, uint32_t domain)
{
    const struct csl_batches *b = &d->run->batches;
    const struct csl_fused_domain *of = &d->run->fused->domains[domain];
    for (uint32_t r = b->first[patient]; r < b->first[patient + 1]; r++)
        for (uint32_t k = 0; k < of->answers; k++)
            if (of->known[(size_t)r * of->answers + k] != 0)
                return true;
    return false;
}

/* The mean share of the patient's domains that read the net's input; 1 of a domain's own net. */
static double share_of(const struct dp *d, uint32_t patient, uint32_t net)
{
    const struct csl_fused *f = d->run->fused;
    const struct csl_study *s = f->t->study;
    double sum = 0;
    uint32_t count = 0;
    if (net < s->domain_count)
        return 1;
    for (uint32_t k = 0; k < s->domain_count; k++) {
        uint32_t input = net - s->domain_count;
        if (!f->runs[k] || !csl_domain_has_input(&s->domains[k], input) ||
            !counts_in(d, patient, k))
            continue;
        sum += (double)f->factors[k][input];
        count++;
    }
    return count > 0 ? sum / count : 1;
}

static double share_of_groups(const struct dp *d, uint32_t patient)
{
    const struct csl_fused *f = d->run->fused;
    const struct csl_study *s = f->t->study;
    const uint8_t *group = f->split->group;
    if (f->group_weights == NULL)
        return 1;
    if (group != NULL)
        group += (size_t)patient * s->fairness.attribute_count;
    return csl_group_share(s, f->group_weights, group);
}

/* The gradient g of an input is the sum over the patient's domains, each times its share; v is the
 * mean of the shares. Clipped is the vector that has g / v in place of g, so that weights act
 * behind the clip: what is then added is that vector with its inputs times v <= 1, and all of it
 * times the share of the patient's groups, never longer.
 * Shares come from the study's public table and from this patient alone. */
static bool add_weighed(struct dp *d, uint32_t patient)
{
    const struct csl_fused *f = d->run->fused;
    const float *at = d->packed;
    double square = 0;
    for (uint32_t i = 0; i < f->t->net_count; i++) {
        double part = 0, share;
        if (!f->trains[i])
            continue;
        for (uint64_t k = 0; k < f->t->nets[i].trained.count; k++)
            part += (double)at[k] * (double)at[k];
        share = share_of(d, patient, i);
        square += part / (share * share);
        at += f->t->nets[i].trained.count;
    }
    double factor =
        csl_noise_factor(&d->plan->noise, sqrt(square), sqrt((double)f->parameters) / 2);
    if (!(factor > 0))
        return false;
    factor *= share_of_groups(d, patient);
    csl_noise_add_rounded(factor, d->packed, (size_t)f->parameters, d->release.sum);
    return true;
}

static bool add_patient(struct dp *d, uint32_t patient)
{
    const struct csl_fused *f = d->run->fused;
    return f->weighs_patients || f->group_weights != NULL
               ? add_weighed(d, patient)
               : csl_noise_round(&d->plan->noise, d->packed, (size_t)f->parameters, d->release.sum);
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
        uint64_t count = csl_batches_records(&d->run->batches, d->release.chosen[i]);
        csl_fused_grad_part(f, at, count);
        enum csl_code code = get_gradient(d, err);
        if (code != CSL_OK)
            return code;
        if (!add_patient(d, d->release.chosen[i]))
            d->privacy->rejected++;
        at += count;
    }
    CSL_ASSERT(at == rows);
    return CSL_OK;
}

static enum csl_code sum_batch(struct dp *d, struct csl_err *err)
{
    uint32_t drawn = (uint32_t)d->release.drawn;
    const struct csl_batches *b = &d->run->batches;
    uint32_t from = 0;
    uint64_t rows = 0;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < drawn; i++) {
        uint32_t p = d->release.chosen[i];
        if (rows > 0 && rows + csl_batches_records(b, p) > d->piece) {
            code = add_patients(d, from, i, rows, err);
            from = i;
            rows = 0;
        }
        for (uint32_t r = b->first[p]; code == CSL_OK && r < b->first[p + 1]; r++)
            d->rows[rows++] = r;
    }
    if (code == CSL_OK && rows > 0)
        code = add_patients(d, from, drawn, rows, err);
    return code;
}

/* One release: the noisy sum of the patients this step draws, over all blocks. */
static enum csl_code noisy_sum(struct dp *d, struct csl_err *err)
{
    enum csl_code code = csl_release__draw(&d->release, err);
    if (code == CSL_OK)
        code = sum_batch(d, err);
    return code == CSL_OK ? csl_release__finish(&d->release, false, err) : code;
}

static enum csl_code private_step(struct dp *d, uint64_t k, struct csl_err *err)
{
    struct csl_fused *f = d->run->fused;
    enum csl_code code = noisy_sum(d, err);
    if (code != CSL_OK)
        return code;
    csl_noise_scale(&d->plan->noise, d->release.sum, (size_t)f->parameters, d->plan->expected_batch,
                    d->packed);
    put_gradient(d);
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
        code = csl_trainer__check_cancelled(run->cancelled, run->cancelled_ctx, run->what,
                                            run->number, k, err);
        run->fused->pass.seed = secret_seed(privacy);
        if (code == CSL_OK)
            code = private_step(&d, k, err);
    }
    dp_close(&d);
    return code;
}

enum csl_code csl_fused_joint_sum__(struct csl_fused_run *run,
                                    const struct csl_private_domain *plan,
                                    struct csl_private_run *privacy, int64_t *sum,
                                    struct csl_err *err)
{
    struct csl_fused *f = run->fused;
    struct dp d = {.run = run, .plan = plan, .privacy = privacy};
    const int64_t *packed;
    CSL_ASSERT(plan->patients == f->all.patients && f->parameters <= plan->parameters);
    enum csl_code code = dp_open(&d, err);
    f->pass.is_training = true;
    f->pass.seed = secret_seed(privacy);
    if (code == CSL_OK)
        code = noisy_sum(&d, err);
    packed = d.release.sum;
    for (uint32_t i = 0; code == CSL_OK && i < f->t->net_count; i++) {
        const struct csl_net *n = &f->t->nets[i];
        if (!f->trains[i])
            continue;
        memcpy(sum + n->trained.first, packed, (size_t)n->trained.count * sizeof(*sum));
        packed += n->trained.count;
    }
    dp_close(&d);
    return code;
}
