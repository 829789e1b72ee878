#include "privacy/secagg/published.h"

#include "base/check.h"
#include "privacy/crypto/secret.h"
#include "privacy/dp/account.h"
#include "privacy/dp/calibrate.h"

#include <math.h>
#include <string.h>

/* What is found by bisection is tried as it will be drawn, and widened by so much until it holds.
 */
#define WIDER     (1 + 1e-6)
#define TRIES_MAX 100

static enum csl_code check_terms(const struct csl_published_terms *t, struct csl_err *err)
{
    bool is_right = t->publications > 0 && t->minimum_sites > t->colluding && t->l2_units > 0 &&
                    t->l1_units >= t->l2_units && isfinite(t->l1_units);
    if (is_right)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%u publications of sums over %u sites, %u of them colluding, sensitivity %g; "
                    "at least 1, and more sites than colluding ones, would be right",
                    t->publications, t->minimum_sites, t->colluding, t->l2_units);
}

/* As it would be drawn with this noise multiplier, and priced. */
static enum csl_code try_noise(struct csl_published_noise *out, const struct csl_published_terms *t,
                               double noise_multiplier, struct csl_err *err)
{
    csl_published_release(out);
    enum csl_code code = csl_shares_plan(&out->shares, noise_multiplier * t->l2_units,
                                         t->minimum_sites, t->colluding, 0, t->dimensions, err);
    if (code != CSL_OK)
        return code;
    out->event = (struct csl_dp_event){
        .sampler = CSL_DP_FULL_BATCH, .sampling_rate = 1, .steps = t->publications};
    code = csl_shares_event(&out->shares, t->minimum_sites, t->l2_units, t->l1_units, &out->event,
                            err);
    if (code == CSL_OK)
        code = csl_account_epsilon(&out->event, 1, t->delta, &out->epsilon, err);
    out->event.steps = 1;
    return code;
}

enum csl_code csl_published_plan(struct csl_published_noise *out,
                                 const struct csl_published_terms *t, struct csl_err *err)
{
    double multiplier = 0;
    struct csl_dp_event run = {.mechanism = CSL_DP_DISCRETE_GAUSSIAN,
                               .sampler = CSL_DP_FULL_BATCH,
                               .sampling_rate = 1,
                               .steps = t->publications,
                               .dimensions = t->dimensions,
                               .l2_units = t->l2_units,
                               .l1_units = t->l1_units};
    memset(out, 0, sizeof(*out));
    enum csl_code code = check_terms(t, err);
    if (code == CSL_OK)
        code = csl_dp_calibrate_noise(&run, t->epsilon, t->delta, &multiplier, err);
    bool holds = false;
    for (int i = 0; code == CSL_OK && !holds && i < TRIES_MAX; i++, multiplier *= WIDER) {
        code = try_noise(out, t, multiplier, err);
        holds = code == CSL_OK && out->epsilon <= t->epsilon;
    }
    if (code == CSL_OK && !holds)
        code =
            CSL_FAIL(err, CSL_E_LIMIT, "no noise keeps epsilon %g at delta %g over %u publications",
                     t->epsilon, t->delta, t->publications);
    if (code != CSL_OK)
        csl_published_release(out);
    return code;
}

void csl_published_release(struct csl_published_noise *n)
{
    csl_shares_release(&n->shares);
    memset(n, 0, sizeof(*n));
}

void csl_published_add(const struct csl_published_noise *n, struct csl_rng *rng, uint64_t *words,
                       size_t count)
{
    int64_t noise[CSL_PUBLISHED_WORDS_MAX];
    CSL_ASSERT(count <= CSL_PUBLISHED_WORDS_MAX);
    csl_discrete_gaussian_fill(rng, &n->shares.gaussian, noise, count);
    for (size_t i = 0; i < count; i++)
        words[i] += (uint64_t)noise[i];
    csl_wipe(noise, sizeof(noise));
}

double csl_published_std(const struct csl_published_noise *n, uint32_t sites)
{
    return n->shares.share_std_units * sqrt((double)sites) * (1.0 + 0x1p-50);
}
