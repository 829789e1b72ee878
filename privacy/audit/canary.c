#include "privacy/audit/canary.h"

#include "base/check.h"
#include "base/mem.h"

#include <math.h>

struct csl_canaries {
    uint32_t count;
    size_t parameters;
    double clip;
    uint64_t seed; /* of the random directions */
    uint64_t steps;
    bool *included; /* [count] */
    /* The sum over steps of what was released: the scores are linear in it. [count] the canaries'
     * own coordinates where they have one each, [parameters] otherwise. */
    double *total;
};

static bool has_coordinates(const struct csl_canaries *c)
{
    return c->count <= c->parameters;
}

static size_t total_count(const struct csl_canaries *c)
{
    return has_coordinates(c) ? c->count : c->parameters;
}

/* Rising in i, without two alike. */
static size_t coordinate(const struct csl_canaries *c, size_t i)
{
    size_t stride = c->parameters / c->count, rest = c->parameters % c->count;
    return i * stride + i * rest / c->count;
}

/* The random direction of canary i; out: [parameters], of length `length`. */
static void random_direction(const struct csl_canaries *c, uint32_t i, double length, float *out)
{
    struct csl_rng r;
    csl_rng_init_label(&r, c->seed, "audit.canary.direction", i, 0, 0);
    double square = 0.0;
    while (square == 0.0) {
        for (size_t p = 0; p < c->parameters; p++) {
            out[p] = (float)csl_rng_normal(&r);
            square += (double)out[p] * (double)out[p];
        }
    }
    for (size_t p = 0; p < c->parameters; p++)
        out[p] = (float)((double)out[p] * (length / sqrt(square)));
}

enum csl_code csl_canaries_new(struct csl_canaries **out, struct csl_rng *rng, uint32_t count,
                               size_t parameters, double clip, struct csl_err *err)
{
    if (count == 0 || count > CSL_ONE_RUN_CANARIES_MAX || parameters == 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "canaries: %u for %zu parameters; 1 to %u, and at least one parameter, "
                        "would be right",
                        count, parameters, CSL_ONE_RUN_CANARIES_MAX);
    if (!(clip > 0.0) || !isfinite(clip))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "canaries: clipping norm %g; finite and above 0 would be right", clip);
    struct csl_canaries *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "canaries: out of memory");
    c->count = count;
    c->parameters = parameters;
    c->clip = clip;
    c->included = csl_alloc_array(count, sizeof(*c->included));
    c->total = csl_alloc_array(total_count(c), sizeof(*c->total));
    if (c->included == NULL || c->total == NULL) {
        csl_canaries_free(c);
        return CSL_FAIL(err, CSL_E_NOMEM, "canaries: no memory for %u", count);
    }
    c->seed = csl_rng_u64(rng);
    for (uint32_t i = 0; i < count; i++)
        c->included[i] = (csl_rng_u64(rng) & 1) != 0;
    *out = c;
    return CSL_OK;
}

void csl_canaries_free(struct csl_canaries *c)
{
    if (c == NULL)
        return;
    csl_free(c->total);
    csl_free(c->included);
    csl_free(c);
}

uint32_t csl_canaries_count(const struct csl_canaries *c)
{
    return c->count;
}

bool csl_canaries_is_included(const struct csl_canaries *c, uint32_t i)
{
    CSL_ASSERT(i < c->count);
    return c->included[i];
}

void csl_canaries_gradient(const struct csl_canaries *c, uint32_t i, float *out)
{
    CSL_ASSERT(i < c->count);
    double length = CSL_CANARY_GAIN * c->clip;
    if (!has_coordinates(c)) {
        random_direction(c, i, length, out);
        return;
    }
    for (size_t p = 0; p < c->parameters; p++)
        out[p] = 0.0f;
    out[coordinate(c, i)] = (float)length;
}

static enum csl_code not_finite(size_t at, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_INVAL, "canaries: parameter %zu of the sum is not finite", at);
}

enum csl_code csl_canaries_score(struct csl_canaries *c, const double *noisy_sum,
                                 struct csl_err *err)
{
    size_t n = total_count(c);
    for (size_t p = 0; p < c->parameters; p++)
        if (!isfinite(noisy_sum[p]))
            return not_finite(p, err);
    for (size_t k = 0; k < n; k++)
        c->total[k] += noisy_sum[has_coordinates(c) ? coordinate(c, k) : k];
    c->steps++;
    return CSL_OK;
}

enum csl_code csl_canaries_score_f32(struct csl_canaries *c, const float *noisy_sum,
                                     struct csl_err *err)
{
    size_t n = total_count(c);
    for (size_t p = 0; p < c->parameters; p++)
        if (!isfinite(noisy_sum[p]))
            return not_finite(p, err);
    for (size_t k = 0; k < n; k++)
        c->total[k] += (double)noisy_sum[has_coordinates(c) ? coordinate(c, k) : k];
    c->steps++;
    return CSL_OK;
}

enum csl_code csl_canaries_scores(const struct csl_canaries *c, double *scores, bool *included,
                                  struct csl_err *err)
{
    float *direction = NULL;
    if (!has_coordinates(c)) {
        direction = csl_alloc_array(c->parameters, sizeof(*direction));
        if (direction == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "canaries: no memory for a direction");
    }
    for (uint32_t i = 0; i < c->count; i++) {
        included[i] = c->included[i];
        if (direction == NULL) {
            scores[i] = c->total[i];
            continue;
        }
        random_direction(c, i, 1.0, direction);
        scores[i] = 0.0;
        for (size_t p = 0; p < c->parameters; p++)
            scores[i] += (double)direction[p] * c->total[p];
    }
    csl_free(direction);
    return CSL_OK;
}

enum csl_code csl_canaries_result(const struct csl_canaries *c, double delta, double confidence,
                                  struct csl_audit_result *out, struct csl_err *err)
{
    if (c->steps == 0)
        return CSL_FAIL(err, CSL_E_STATE, "canaries: no step was scored");
    struct csl_audit_bound b;
    bool *included = csl_alloc_array(c->count, sizeof(*included));
    double *scores = csl_alloc_array(c->count, sizeof(*scores));
    enum csl_code rc = CSL_OK;
    if (included == NULL || scores == NULL)
        rc = CSL_FAIL(err, CSL_E_NOMEM, "canaries: no memory for %u scores", c->count);
    if (rc == CSL_OK)
        rc = csl_canaries_scores(c, scores, included, err);
    if (rc == CSL_OK) {
        struct csl_audit_scores s = {scores, included, c->count};
        rc = csl_audit_bound(&s, delta, confidence, &b, err);
    }
    csl_free(scores);
    csl_free(included);
    if (rc != CSL_OK)
        return rc;
    *out = (struct csl_audit_result){
        .epsilon_lower = b.epsilon_lower,
        .mu_lower = b.mu_lower,
        .mu_epsilon_lower = b.mu_epsilon_lower,
        .delta = delta,
        .confidence = confidence,
        .canaries = c->count,
        .guesses = b.guesses.guesses,
        .correct = b.guesses.correct,
        .steps = c->steps,
    };
    return CSL_OK;
}
