#include "site-agent/training/private_release.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "privacy/dp/poisson_sample.h"

#include <string.h>

enum csl_code csl_release__open(struct csl_release *r, const struct csl_private_domain *plan,
                                struct csl_private_run *run, size_t count, float *gradient,
                                struct csl_err *err)
{
    *r = (struct csl_release){.plan = plan, .run = run, .count = count, .gradient = gradient};
    if (plan == &run->plan->domains[0])
        r->canaries = run->canaries;
    r->chosen = csl_alloc_array((size_t)plan->patients, sizeof(*r->chosen));
    r->sum = csl_alloc_array(count, sizeof(*r->sum));
    bool has_all = r->chosen != NULL && r->sum != NULL;
    if (r->canaries != NULL) {
        r->drawn_canaries =
            csl_alloc_array(csl_canaries_count(r->canaries), sizeof(*r->drawn_canaries));
        r->real = csl_alloc_array(count, sizeof(*r->real));
        r->scored = csl_alloc_array(count, sizeof(*r->scored));
        has_all = has_all && r->drawn_canaries != NULL && r->real != NULL && r->scored != NULL;
    }
    if (!has_all)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for private steps of %zu parameters", count);
    return CSL_OK;
}

void csl_release__close(struct csl_release *r)
{
    csl_free(r->chosen);
    if (r->sum != NULL) /* in mode joint it has a share of the noise only */
        csl_wipe(r->sum, r->count * sizeof(*r->sum));
    csl_free(r->sum);
    csl_free(r->drawn_canaries);
    csl_free(r->real);
    csl_free(r->scored);
}

enum csl_code csl_release__draw(struct csl_release *r, struct csl_err *err)
{
    r->drawn = 0;
    memset(r->sum, 0, r->count * sizeof(*r->sum));
    return csl_poisson_sample(r->run->rng, r->plan->sampling_rate, (uint32_t)r->plan->patients,
                              r->chosen, &r->drawn, err);
}

enum csl_code csl_release__add_noise(const struct csl_release *r, int64_t *sum, struct csl_err *err)
{
    return csl_noise_add(r->run->rng, &r->plan->noise, sum, r->count, err);
}

/* The canaries that exist take part like patients: same rate, same clip, same rounding. */
static enum csl_code add_canaries(struct csl_release *r, struct csl_err *err)
{
    size_t drawn = 0;
    memcpy(r->real, r->sum, r->count * sizeof(*r->real));
    enum csl_code code =
        csl_poisson_sample(r->run->rng, r->plan->sampling_rate, csl_canaries_count(r->canaries),
                           r->drawn_canaries, &drawn, err);
    for (size_t i = 0; code == CSL_OK && i < drawn; i++) {
        if (!csl_canaries_is_included(r->canaries, r->drawn_canaries[i]))
            continue;
        csl_canaries_gradient(r->canaries, r->drawn_canaries[i], r->gradient);
        if (!csl_noise_round(&r->plan->noise, r->gradient, r->count, r->sum))
            r->run->rejected++;
    }
    return code;
}

/* What an adversary who knows all real patients sees of the canaries: the noisy sum without them.
 */
static enum csl_code score_canaries(struct csl_release *r, struct csl_err *err)
{
    for (size_t i = 0; i < r->count; i++)
        r->scored[i] = (double)(r->sum[i] - r->real[i]);
    return csl_canaries_score(r->canaries, r->scored, err);
}

enum csl_code csl_release__finish(struct csl_release *r, bool has_noise, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    CSL_ASSERT(r->canaries == NULL || !has_noise); /* they come before the noise */
    if (r->canaries != NULL)
        code = add_canaries(r, err);
    if (code == CSL_OK && !has_noise)
        code = csl_release__add_noise(r, r->sum, err);
    if (code == CSL_OK && r->canaries != NULL)
        code = score_canaries(r, err);
    if (code == CSL_OK)
        r->run->releases[r->plan - r->run->plan->domains]++;
    return code;
}
