#include "privacy/secagg/rounding.h"

#include "base/check.h"
#include "base/clones.h"
#include "privacy/dp/discrete.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 512 };
#define FRACTION 65536.0 /* of a unit */

/* 1.5 * 2^52: added to a double of magnitude below 2^51 it leaves the integer nearest to it (ties
 * to even) in the low bits of the sum. Its own bits are a multiple of 2^16. */
#define MAGIC      0x1.8p52
#define MAGIC_BITS UINT64_C(0x4338000000000000)

enum csl_code csl_rounding_plan(struct csl_rounding *r, double unit, double clip,
                                uint64_t dimensions, struct csl_err *err)
{
    if (!(unit > 0.0) || !isfinite(unit) || !(clip > 0.0) || !isfinite(clip))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "rounding: unit %g, clip %g; finite numbers above 0 would be right", unit,
                        clip);
    if (dimensions == 0 || dimensions > UINT64_C(1) << 33)
        return CSL_FAIL(err, CSL_E_INVAL, "rounding: %llu dimensions; 1 to 2^33 would be right",
                        (unsigned long long)dimensions);
    double bound = csl_dp_rounding_bound(clip / unit, 1.0, dimensions, exp(-0.5));
    if (!(bound < 0x1p51))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "rounding: an L2 norm of %g units; below 2^51 would be right", bound);
    csl_square square = (csl_square)(bound * bound);
    *r = (struct csl_rounding){.unit = unit,
                               .clip = clip,
                               .dimensions = dimensions,
                               .l2_units = sqrt((double)square) * (1.0 + 0x1p-50),
                               .l2_square = square};
    return CSL_OK;
}

/* NaN fails both comparisons of the first and becomes -limit. */
static inline double cut(double d, double limit, uint64_t *beyond)
{
    double low = d > -limit ? d : -limit, high = low < limit ? low : limit;
    *beyond += high != d;
    return high;
}

/* (w + coin) >> 16, rounding down, without a signed shift: what MAGIC leaves in front is taken off
 * afterwards. |w| <= 2^50. */
CSL_CLONES
static size_t draw(const float *restrict x, const uint16_t *restrict coins, size_t count,
                   double per_unit, double level, int64_t *restrict out)
{
    uint64_t beyond = 0;
    for (size_t i = 0; i < count; i++) {
        double sum = cut((double)x[i] * per_unit, level, &beyond) * FRACTION + MAGIC;
        uint64_t bits;
        memcpy(&bits, &sum, sizeof(bits));
        out[i] = (int64_t)(((bits + coins[i]) >> 16) - (MAGIC_BITS >> 16));
    }
    return (size_t)beyond;
}

size_t csl_rounding_draw(struct csl_rng *coins, const float *x, size_t count, double per_unit,
                         int64_t level, int64_t *out)
{
    CSL_ASSERT(level > 0 && level <= INT64_C(1) << 34);
    uint16_t drawn[CHUNK]; /* little-endian: base/le.h asserts the host */
    size_t beyond = 0;
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t part = count - at < CHUNK ? count - at : CHUNK;
        csl_rng_bytes(coins, drawn, part * sizeof(drawn[0]));
        beyond += draw(x + at, drawn, part, per_unit, (double)level, out + at);
    }
    return beyond;
}

size_t csl_rounding_truncate(const float *x, size_t count, double per_unit, int64_t level,
                             int64_t *out)
{
    CSL_ASSERT(level > 0 && level <= INT64_C(1) << 34);
    uint64_t beyond = 0;
    for (size_t i = 0; i < count; i++)
        out[i] = (int64_t)trunc(cut((double)x[i] * per_unit, (double)level, &beyond));
    return (size_t)beyond;
}

bool csl_rounding_within(const int64_t *levels, size_t count, csl_square square_max,
                         csl_square *square)
{
    csl_square sum = *square; /* below 2^102, so that 2^126 more do not overflow */
    for (size_t i = 0; i < count; i++) {
        uint64_t size = levels[i] < 0 ? 0 - (uint64_t)levels[i] : (uint64_t)levels[i];
        sum += (csl_square)size * size;
        if (sum > square_max)
            return false;
    }
    *square = sum;
    return true;
}
