#include "privacy/audit/guesses.h"

#include "base/mem.h"
#include "privacy/audit/one_run_internal.h"

#include <math.h>
#include <stdlib.h>

struct ranked {
    double score;
    size_t index;
    bool is_in;
};

static int by_score_down(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The caller frees *out. */
static enum csl_code rank(const struct csl_audit_scores *s, struct ranked **out,
                          struct csl_err *err)
{
    if (s->count == 0 || s->count > CSL_ONE_RUN_CANARIES_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "audit: %zu scores; 1 to %u would be right", s->count,
                        CSL_ONE_RUN_CANARIES_MAX);
    for (size_t i = 0; i < s->count; i++)
        if (!isfinite(s->scores[i]))
            return CSL_FAIL(err, CSL_E_INVAL, "audit: the score of canary %zu is not finite", i);
    struct ranked *r = csl_alloc_array(s->count, sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "audit: no memory to rank %zu scores", s->count);
    for (size_t i = 0; i < s->count; i++)
        r[i] = (struct ranked){s->scores[i], i, s->included[i]};
    qsort(r, s->count, sizeof(*r), by_score_down);
    *out = r;
    return CSL_OK;
}

static struct csl_one_run guess(const struct ranked *r, size_t count, size_t high, size_t low)
{
    struct csl_one_run g = {count, high + low, 0};
    for (size_t i = 0; i < high; i++)
        g.correct += r[i].is_in;
    for (size_t i = count - low; i < count; i++)
        g.correct += !r[i].is_in;
    return g;
}

enum csl_code csl_audit_guess(const struct csl_audit_scores *s, size_t high, size_t low,
                              struct csl_one_run *out, struct csl_err *err)
{
    if (high > s->count || low > s->count - high)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "audit: %zu and %zu guesses about %zu canaries; at most one about each "
                        "would be right",
                        high, low, s->count);
    struct ranked *r = NULL;
    enum csl_code rc = rank(s, &r, err);
    if (rc != CSL_OK)
        return rc;
    *out = guess(r, s->count, high, low);
    csl_free(r);
    return CSL_OK;
}

/* Raises the bounds of *b by what `g` disproves at `significance`. */
static void improve(struct csl_audit_bound *b, const struct csl_one_run *g, double delta,
                    double significance)
{
    double epsilon = csl_one_run__epsilon_above(g, delta, significance, b->epsilon_lower);
    double mu = csl_one_run__mu_above(g, significance, b->mu_lower);
    if (epsilon > b->epsilon_lower) {
        b->epsilon_lower = epsilon;
        b->guesses = *g;
    }
    if (mu > b->mu_lower) {
        b->mu_lower = mu;
        b->mu_guesses = *g;
    }
}

static enum csl_code check(double delta, double confidence, struct csl_err *err)
{
    if (!(delta >= 0.0) || !(delta < 1.0) || !(confidence > 0.0) || !(confidence < 1.0))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "audit: delta %g, confidence %g; 0 <= delta < 1 and 0 < confidence < 1 "
                        "would be right",
                        delta, confidence);
    return CSL_OK;
}

static enum csl_code finish(struct csl_audit_bound *b, double delta, struct csl_audit_bound *out,
                            struct csl_err *err)
{
    if (delta > 0.0) {
        enum csl_code rc =
            csl_one_run_gaussian_epsilon(b->mu_lower, delta, &b->mu_epsilon_lower, err);
        if (rc != CSL_OK)
            return rc;
    }
    *out = *b;
    return CSL_OK;
}

enum csl_code csl_audit_bound(const struct csl_audit_scores *s, double delta, double confidence,
                              struct csl_audit_bound *out, struct csl_err *err)
{
    static const unsigned percent[] = {2, 5, 10, 20, 50, 100};
    const size_t choices = sizeof(percent) / sizeof(percent[0]);
    struct ranked *r = NULL;
    enum csl_code rc = check(delta, confidence, err);
    if (rc == CSL_OK)
        rc = rank(s, &r, err);
    if (rc != CSL_OK)
        return rc;
    struct csl_audit_bound b = {.hypotheses = (uint32_t)choices};
    for (size_t i = 0; i < choices; i++) {
        size_t total = s->count * percent[i] / 100, high = total - total / 2;
        struct csl_one_run g = guess(r, s->count, high, total / 2);
        improve(&b, &g, delta, (1.0 - confidence) / (double)choices);
    }
    csl_free(r);
    return finish(&b, delta, out, err);
}

/* Moves the vertices of the upper hull of the points (wrong, right) to the front and returns how
 * many: the thresholds that no mixture of two others beats. Points come with both coordinates
 * rising (Andrew's monotone chain). */
static size_t hull(struct csl_one_run *points, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        while (kept >= 2) {
            const struct csl_one_run *a = &points[kept - 2], *b = &points[kept - 1];
            double ab_right = (double)(b->correct - a->correct);
            double ab_all = (double)(b->guesses - a->guesses);
            double ac_right = (double)(points[i].correct - a->correct);
            double ac_all = (double)(points[i].guesses - a->guesses);
            if (ab_right * ac_all > ac_right * ab_all) /* b has the larger share of right ones */
                break;
            kept--;
        }
        points[kept++] = points[i];
    }
    return kept;
}

/* One point for each threshold between different scores; points: [count + 1]. */
static size_t thresholds(const struct ranked *r, size_t count, struct csl_one_run *points)
{
    size_t made = 0, right = 0;
    points[made++] = (struct csl_one_run){count, 0, 0};
    for (size_t i = 0; i < count; i++) {
        right += r[i].is_in;
        if (i + 1 == count || r[i + 1].score < r[i].score)
            points[made++] = (struct csl_one_run){count, i + 1, right};
    }
    return made;
}

enum csl_code csl_audit_bound_frontier(const struct csl_audit_scores *s, double delta,
                                       double confidence, struct csl_audit_bound *out,
                                       struct csl_err *err)
{
    struct ranked *r = NULL;
    enum csl_code rc = check(delta, confidence, err);
    if (rc == CSL_OK)
        rc = rank(s, &r, err);
    if (rc != CSL_OK)
        return rc;
    struct csl_one_run *points = csl_alloc_array(s->count + 1, sizeof(*points));
    if (points == NULL) {
        csl_free(r);
        return CSL_FAIL(err, CSL_E_NOMEM, "audit: no memory for %zu thresholds", s->count);
    }
    size_t count = hull(points, thresholds(r, s->count, points));
    struct csl_audit_bound b = {.hypotheses = (uint32_t)count};
    for (size_t i = 0; i < count; i++)
        improve(&b, &points[i], delta, (1.0 - confidence) / (double)count);
    csl_free(points);
    csl_free(r);
    return finish(&b, delta, out, err);
}
