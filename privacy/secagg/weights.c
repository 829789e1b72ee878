#include "privacy/secagg/weights.h"

#include <math.h>

enum { COUNT_MAX = 65536 };

enum csl_code csl_weights_check(const uint32_t *weights, size_t count, double share_max,
                                double effective_min, struct csl_err *err)
{
    if (count == 0 || count > COUNT_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "weights: %zu sites; 1 to %d would be right", count,
                        COUNT_MAX);
    if (!(share_max > 0.0) || share_max > 1.0 || !(effective_min >= 1.0) ||
        !isfinite(effective_min))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "weights: a largest share of %g, at least %g effective sites; (0, 1] and a "
                        "finite number from 1 would be right",
                        share_max, effective_min);
    /* 2^16 weights below 2^32: the sum is below 2^48. Squares of it need more than 64 bits, so they
     * are taken of numbers scaled to the largest weight; a double is exact enough for a policy. */
    uint64_t sum = 0;
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        sum += weights[i];
        largest = weights[i] > largest ? weights[i] : largest;
    }
    if (sum == 0)
        return CSL_FAIL(err, CSL_E_DENIED, "weights: the sum of %zu weights is 0", count);
    double squares = 0.0, share = (double)largest / (double)sum;
    for (size_t i = 0; i < count; i++)
        squares += (double)weights[i] / (double)sum * ((double)weights[i] / (double)sum);
    if (share > share_max)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "weights: one site holds %g of the weight; at most %g would be right",
                        share, share_max);
    if (1.0 / squares < effective_min)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "weights: as good as %g sites contribute; at least %g would be right",
                        1.0 / squares, effective_min);
    return CSL_OK;
}
