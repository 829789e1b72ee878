#include "privacy/dp/noise.h"

#include "base/check.h"
#include "base/clones.h"

#include <math.h>
#include <string.h>

enum { SUM_LOG2_MAX = 61, SLICE = 1024 };

/* The smallest double of 53 bits that is not below a * b (a, b > 0). */
static double product_up(double a, double b)
{
    double p = a * b;
    return fma(a, b, -p) > 0.0 ? nextafter(p, HUGE_VAL) : p;
}

static int grid_log2(double noise_multiplier)
{
    int log2_units = 30;
    while (ldexp(noise_multiplier, log2_units) < 0x1p18)
        log2_units++;
    while (log2_units > 20 && ldexp(noise_multiplier, log2_units) >= 0x1p39)
        log2_units--;
    return log2_units;
}

enum csl_code csl_noise_plan(struct csl_noise *n, double clip, double noise_multiplier,
                             uint64_t dimensions, struct csl_err *err)
{
    if (!(clip >= 0x1p-60) || clip > 0x1p60)
        return CSL_FAIL(err, CSL_E_INVAL, "noise: clip %g; 2^-60 to 2^60 would be right", clip);
    if (!(noise_multiplier >= CSL_NOISE_MULTIPLIER_MIN) ||
        noise_multiplier > CSL_NOISE_MULTIPLIER_MAX)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "noise: noise_multiplier %g; 2^-16 to 2^18 would be right",
                        noise_multiplier);
    if (dimensions == 0 || dimensions > UINT64_C(1) << 32)
        return CSL_FAIL(err, CSL_E_INVAL, "noise: %llu dimensions; 1 to 2^32 would be right",
                        (unsigned long long)dimensions);
    int clip_log2 = ilogb(clip); /* 2^clip_log2 <= clip */
    struct csl_noise made = {.clip = clip, .dimensions = dimensions};
    made.unit = ldexp(1.0, clip_log2 - grid_log2(noise_multiplier));
    made.l2_units = (uint64_t)(clip / made.unit); /* an exact quotient, rounded down */
    made.std_units = product_up(noise_multiplier, (double)made.l2_units);
    double v = product_up(made.std_units, made.std_units);
    int exponent;
    uint64_t mantissa = (uint64_t)ldexp(frexp(v, &exponent), 64); /* exact: 53 bits */
    enum csl_code code = csl_discrete_gaussian_init(&made.gaussian, mantissa, exponent - 64, err);
    if (code == CSL_OK)
        *n = made;
    return code;
}

void csl_noise_release(struct csl_noise *n)
{
    csl_discrete_gaussian_release(&n->gaussian);
    *n = (struct csl_noise){0};
}

void csl_noise_event(const struct csl_noise *n, struct csl_dp_event *event)
{
    double l2 = (double)n->l2_units;
    event->mechanism = CSL_DP_DISCRETE_GAUSSIAN;
    event->dimensions = n->dimensions;
    event->std_units = n->std_units;
    event->l2_units = l2;
    /* Both factors are exact or rounded up, so the product is not below. */
    event->l1_units = product_up(l2, nextafter(sqrt((double)n->dimensions), HUGE_VAL));
    if (n->dimensions == 1)
        event->l1_units = l2;
    double multiplier = n->std_units / l2;
    event->noise_multiplier =
        fma(multiplier, l2, -n->std_units) > 0.0 ? nextafter(multiplier, 0.0) : multiplier;
}

/* A grid point: the nearest, |x| <= 2^38. */
static int64_t grid_point(float x, double factor)
{
    return (int64_t)rint((double)x * factor);
}

/* Whether the rounded vector is within l2_units. One coordinate is at most 2^38, so that squares
 * are below 2^76 and 2^32 of them below 2^108. */
static bool is_within(const struct csl_noise *n, const float *vector, size_t count, double factor)
{
    csl_u128 square = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t z = grid_point(vector[i], factor);
        uint64_t size = (uint64_t)(z < 0 ? -z : z);
        square += (csl_u128)size * size;
    }
    return square <= (csl_u128)n->l2_units * n->l2_units;
}

bool csl_noise_round(const struct csl_noise *n, const float *vector, size_t count, int64_t *sum)
{
    CSL_ASSERT(count > 0 && count <= n->dimensions);
    double square = 0.0; /* floats squared and 2^32 of them are finite in double */
    for (size_t i = 0; i < count; i++)
        square += (double)vector[i] * (double)vector[i];
    if (!isfinite(square))
        return false;
    /* Rounding moves the vector by at most sqrt(count) / 2 units (Euclid): set them aside, and
     * 2^-16 of the rest for the sum above, so that the check below passes at once. */
    double norm = sqrt(square), room = (double)n->l2_units - sqrt((double)count) * 0.5;
    double target = room * (1.0 - 0x1p-16) * n->unit;
    double factor = (norm > target ? target / norm : 1.0) / n->unit;
    while (!is_within(n, vector, count, factor))
        factor *= 0.5; /* ends: at the latest where everything rounds to 0 */
    const int64_t bound = INT64_C(1) << SUM_LOG2_MAX;
    for (size_t i = 0; i < count; i++) {
        int64_t z = grid_point(vector[i], factor);
        CSL_ASSERT(sum[i] <= bound && sum[i] >= -bound);
        sum[i] += z;
    }
    return true;
}

double csl_noise_factor(const struct csl_noise *n, double norm, double moved)
{
    double room = (double)n->l2_units - moved;
    if (!isfinite(norm) || !(room >= 0.5 * (double)n->l2_units))
        return 0;
    double target = room * (1.0 - 0x1p-16) * n->unit;
    return (norm > target ? target / norm : 1.0) / n->unit;
}

/* A double in [2^52, 2^53) is a whole number and its neighbours are 1 apart, and so are their bits:
 * the sum rounds to the nearest. */
CSL_WIDE_CLONES void csl_noise_add_rounded(double factor, const float *restrict vector,
                                           size_t count, int64_t *restrict sum)
{
    const double rounder = 0x1.8p52;
    int64_t zero;
    memcpy(&zero, &rounder, sizeof(zero));
    for (size_t i = 0; i < count; i++) {
        double moved = (double)vector[i] * factor + rounder;
        int64_t bits;
        memcpy(&bits, &moved, sizeof(bits));
        sum[i] += bits - zero;
    }
}

enum csl_code csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                            size_t count, struct csl_err *err)
{
    const int64_t bound = INT64_C(1) << SUM_LOG2_MAX;
    for (size_t i = 0; i < count; i++) {
        if (sum[i] > bound || sum[i] < -bound)
            return CSL_FAIL(err, CSL_E_INVAL, "noise: a sum is beyond 2^%d grid units",
                            SUM_LOG2_MAX);
    }
    int64_t z[SLICE];
    for (size_t at = 0; at < count; at += SLICE) {
        size_t part = count - at < SLICE ? count - at : SLICE;
        csl_discrete_gaussian_fill(rng, &n->gaussian, z, part);
        for (size_t i = 0; i < part; i++)
            sum[at + i] += z[i]; /* |z| < 2^46 */
    }
    volatile int64_t *wipe = z;
    for (size_t i = 0; i < SLICE; i++)
        wipe[i] = 0;
    return CSL_OK;
}

CSL_WIDE_CLONES void csl_noise_scale(const struct csl_noise *n, const int64_t *sum, size_t count,
                                     double divisor, float *out)
{
    CSL_ASSERT(divisor > 0.0);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)((double)sum[i] * n->unit / divisor);
}
