#include "privacy/secagg/scalar.h"

#include "base/check.h"

#include <math.h>

#define ONE 0x1p32

double csl_scalar_max(uint32_t sites_max)
{
    CSL_ASSERT(sites_max >= 1);
    return 0x1p31 / (double)sites_max - 1.0;
}

enum csl_code csl_scalar_encode(double value, uint32_t sites_max, uint64_t *word,
                                struct csl_err *err)
{
    double bound = csl_scalar_max(sites_max);
    if (!(fabs(value) <= bound))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "scalar: not a number between -%.17g and %.17g, where a sum over %u sites "
                        "cannot wrap",
                        bound, bound, sites_max);
    *word = (uint64_t)(int64_t)rint(value * ONE);
    return CSL_OK;
}

double csl_scalar_decode(uint64_t sum)
{
    return (double)(int64_t)sum / ONE;
}
