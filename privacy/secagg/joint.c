#include "privacy/secagg/joint.h"

#include "base/check.h"

#include <math.h>

double csl_joint_unit(double clip)
{
    int exponent;
    CSL_ASSERT(clip > 0 && isnormal(clip));
    (void)frexp(clip, &exponent); /* clip = m 2^exponent, m in [1/2, 1) */
    return ldexp(1.0, exponent - 1 - 36);
}

enum csl_code csl_joint_encode(double clip, double unit, uint32_t sites_max, const int64_t *sum,
                               size_t count, uint64_t *words, struct csl_err *err)
{
    double ratio = unit / csl_joint_unit(clip);
    CSL_ASSERT(ratio >= 1 && ratio <= 0x1p40 && sites_max > 0);
    int64_t steps = (int64_t)ratio, most = INT64_MAX / steps / sites_max;
    CSL_ASSERT((double)steps == ratio);
    for (size_t i = 0; i < count; i++) {
        if (sum[i] > most || sum[i] < -most)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "a sum is too large for %u sites in 64-bit words; fewer patients or a "
                            "smaller noise would be right",
                            sites_max);
        words[i] = (uint64_t)(sum[i] * steps);
    }
    return CSL_OK;
}

void csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count, float *out)
{
    double unit = csl_joint_unit(clip);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)((double)(int64_t)words[i] * unit * factor);
}
