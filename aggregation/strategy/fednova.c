#include "aggregation/strategy/steps.h"

#include <math.h>

enum csl_code csl_fednova_coefficients(uint32_t count, const double *weights, const double *steps,
                                       double *coefficients, struct csl_err *err)
{
    double effective = 0;
    for (uint32_t k = 0; k < count; k++) {
        if (!(weights[k] > 0 && steps[k] > 0) || !isfinite(weights[k]) || !isfinite(steps[k]))
            return CSL_FAIL(err, CSL_E_INVAL, "site %u: weight %g, %g steps", k, weights[k],
                            steps[k]);
        effective += weights[k] * steps[k];
    }
    for (uint32_t k = 0; k < count; k++)
        coefficients[k] = effective * weights[k] / steps[k];
    return CSL_OK;
}
