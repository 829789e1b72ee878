#include "aggregation/strategy/steps.h"
#include "base/limits.h"
#include "base/mem.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The largest threshold that leaves a sum of 1: of the j largest, (their sum - 1) / j. */
static double threshold(const double *sorted, uint32_t count)
{
    double sum = 0, found = 0;
    for (uint32_t j = 0; j < count; j++) {
        sum += sorted[j];
        double t = (sum - 1) / (j + 1);
        if (sorted[j] > t)
            found = t;
    }
    return found;
}

enum csl_code csl_afl_step(uint32_t count, double *lambda, const double *losses, double rate,
                           struct csl_err *err)
{
    if (count == 0 || count > CSL_SITES_MAX || !(rate > 0) || !isfinite(rate))
        return CSL_FAIL(err, CSL_E_INVAL, "a mixture of %u with rate %g", count, rate);
    for (uint32_t k = 0; k < count; k++)
        if (!isfinite(lambda[k]) || !isfinite(losses[k]) || !isfinite(lambda[k] + rate * losses[k]))
            return CSL_FAIL(err, CSL_E_INVAL, "component %u: %g with loss %g", k, lambda[k],
                            losses[k]);
    double *sorted = csl_alloc_array(count, sizeof(*sorted));
    if (sorted == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a mixture of %u", count);
    for (uint32_t k = 0; k < count; k++) {
        lambda[k] += rate * losses[k];
        sorted[k] = lambda[k];
    }
    qsort(sorted, count, sizeof(*sorted), descending);
    double t = threshold(sorted, count);
    for (uint32_t k = 0; k < count; k++)
        lambda[k] = lambda[k] > t ? lambda[k] - t : 0;
    csl_free(sorted);
    return CSL_OK;
}
