#include "privacy/audit/membership.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/audit/tail_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double csl_clopper_pearson_lower(uint64_t hits, uint64_t trials, double confidence)
{
    CSL_ASSERT(trials >= 1 && hits <= trials && confidence > 0.0 && confidence < 1.0);
    if (hits == 0)
        return 0.0;
    double low = 0.0, high = 1.0, target = log1p(-confidence);
    for (int i = 0; i < 60; i++) {
        double p = 0.5 * (low + high);
        if (csl_audit__binomial_log_upper(hits, trials, p, 1.0 - p) < target)
            low = p;
        else
            high = p;
    }
    return low;
}

double csl_clopper_pearson_upper(uint64_t hits, uint64_t trials, double confidence)
{
    /* Misses are the hits of 1 - share; 2^-52 covers the subtraction. */
    return fmin(1.0, 1.0 - csl_clopper_pearson_lower(trials - hits, trials, confidence) + 0x1p-52);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum csl_code check_losses(const double *loss, size_t n, const char *whose,
                                  struct csl_err *err)
{
    if (n == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "membership: no losses of %s", whose);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(loss[i]))
            return CSL_FAIL(err, CSL_E_INVAL, "membership: a loss of the %s is not finite", whose);
    return CSL_OK;
}

static uint64_t count_below(const double *loss, size_t n, double threshold)
{
    uint64_t below = 0;
    for (size_t i = 0; i < n; i++)
        below += loss[i] < threshold;
    return below;
}

enum csl_code csl_membership_attack(const double *member_loss, size_t members,
                                    const double *outsider_loss, size_t outsiders, double fpr,
                                    double confidence, struct csl_membership *out,
                                    struct csl_err *err)
{
    enum csl_code rc = check_losses(member_loss, members, "members", err);
    if (rc == CSL_OK)
        rc = check_losses(outsider_loss, outsiders, "outsiders", err);
    if (rc != CSL_OK)
        return rc;
    if (!(fpr > 0.0) || !(fpr < 1.0) || !(confidence > 0.0) || !(confidence < 1.0))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "membership: fpr %g, confidence %g; between 0 and 1 would be right", fpr,
                        confidence);
    double *sorted = csl_alloc_array(outsiders, sizeof(*sorted));
    if (sorted == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "membership: no memory for %zu losses", outsiders);
    memcpy(sorted, outsider_loss, outsiders * sizeof(*sorted));
    qsort(sorted, outsiders, sizeof(*sorted), by_size);
    /* fpr < 1, so that many of them exist; at most so many lie below the one after them. */
    double threshold = sorted[(size_t)(fpr * (double)outsiders)];
    csl_free(sorted);
    struct csl_membership m = {.threshold = threshold, .members = members, .outsiders = outsiders};
    m.true_positives = count_below(member_loss, members, threshold);
    m.false_positives = count_below(outsider_loss, outsiders, threshold);
    double half = 0.5 + 0.5 * confidence;
    m.tpr = (double)m.true_positives / (double)members;
    m.tpr_lower = csl_clopper_pearson_lower(m.true_positives, members, half);
    m.tpr_upper = csl_clopper_pearson_upper(m.true_positives, members, half);
    m.fpr_upper = csl_clopper_pearson_upper(m.false_positives, outsiders, confidence);
    *out = m;
    return CSL_OK;
}

double csl_membership_bound(const double *epsilon, const double *delta, size_t count, double fpr)
{
    double least = 1.0;
    for (size_t i = 0; i < count; i++) {
        least = fmin(least, exp(epsilon[i]) * fpr + delta[i]);
        least = fmin(least, 1.0 - exp(-epsilon[i]) * (1.0 - fpr - delta[i]));
    }
    return least;
}
