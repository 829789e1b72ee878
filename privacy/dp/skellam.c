#include "privacy/dp/skellam.h"

#include "base/check.h"
#include "base/mem.h"

#include <inttypes.h>

/* Of p(k) in ulps. Upwards every step shrinks the error (l < k + 1) and adds 2; downwards it adds
 * k <= 2^20 for the inverse of l and 1; there are fewer than 2^15 steps. */
static const uint64_t MASS_ERROR = (uint64_t)1 << 40;

static struct csl_wide mean_of(uint64_t mantissa, int exponent)
{
    struct csl_wide l = csl_wide__from_u128(mantissa);
    csl_wide__shift_left(&l, (unsigned)(320 + exponent)); /* exact: exponent > -320 */
    return l;
}

/* p(to) / p(from) by the recurrence; from p = 1 at the mode. `steps` receives every value passed,
 * in order, unless it is NULL. */
static struct csl_wide climb(const struct csl_wide *l, uint64_t mode, uint64_t to,
                             struct csl_wide *steps)
{
    struct csl_wide p = csl_wide__one();
    for (uint64_t k = mode; k < to; k++) {
        p = csl_wide__product(&p, l);
        csl_wide__divide_u64(&p, k + 1);
        if (steps != NULL)
            steps[k - mode] = p;
    }
    return p;
}

static struct csl_wide descend(uint64_t mantissa, int exponent, uint64_t mode, uint64_t to,
                               struct csl_wide *steps)
{
    struct csl_wide p = csl_wide__one(), inverse;
    if (to >= mode)
        return p;
    CSL_ASSERT(csl_wide__ratio(1, -exponent, mantissa, &inverse)); /* mode >= 1, so 1 / l <= 1 */
    for (uint64_t k = mode; k > to; k--) {
        CSL_ASSERT(csl_wide__multiply_u64(&p, k) == 0);
        p = csl_wide__product(&p, &inverse);
        if (steps != NULL)
            steps[k - 1 - to] = p;
    }
    return p;
}

static bool accepts(struct csl_rng *rng, const struct csl_skellam *s, uint32_t row)
{
    uint64_t u[5], lead = csl_rng_u64(rng);
    if (lead < s->table.accept[row])
        return true;
    for (int i = 0; i < 4; i++)
        u[i] = csl_rng_u64(rng);
    u[4] = lead;
    struct csl_wide l = mean_of(s->mantissa, s->exponent), mass;
    uint64_t mode = l.limb[CSL_WIDE_LIMBS - 1], k = s->first + row;
    mass = k >= mode ? climb(&l, mode, k, NULL) : descend(s->mantissa, s->exponent, mode, k, NULL);
    return csl_wide__below(u, s->table.weight[row], s->table.scale, &mass, MASS_ERROR);
}

static int64_t draw_poisson(struct csl_rng *rng, const struct csl_skellam *s)
{
    uint32_t row;
    do {
        row = csl_table__pick(&s->table, csl_rng_u64(rng));
    } while (!accepts(rng, s, row));
    return (int64_t)(s->first + row);
}

static uint64_t half_width(uint64_t mode)
{
    uint64_t root = 1;
    while (root * root <= mode)
        root++; /* > sqrt(l) */
    return 13 * root + 64;
}

enum csl_code csl_skellam_init(struct csl_skellam *s, uint64_t mantissa, int exponent,
                               struct csl_err *err)
{
    int shift = mantissa != 0 ? __builtin_clzll(mantissa) : 0;
    struct csl_skellam made = {.mantissa = mantissa << shift};
    if (mantissa == 0 || exponent < -1000 || exponent - shift < -70)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "Skellam: variance %" PRIu64 " * 2^%d; from 2^-7 to 2^20 would be right",
                        mantissa, exponent);
    made.exponent = exponent > 1000 ? 1000 : exponent - shift - 1; /* of half the variance */
    bool most = made.mantissa == (uint64_t)1 << 63 && made.exponent == 19 - 63;
    if (made.exponent > 18 - 63 && !most)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "Skellam: variance %" PRIu64 " * 2^%d; at most 2^20 would be right",
                        mantissa, exponent);
    struct csl_wide l = mean_of(made.mantissa, made.exponent);
    uint64_t mode = l.limb[CSL_WIDE_LIMBS - 1], x = half_width(mode), last = mode + x + 1;
    made.first = mode > x ? mode - x : 0;
    size_t count = (size_t)(last - made.first) + 1;
    struct csl_wide *masses = csl_alloc_array(count, sizeof(*masses));
    if (masses == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "Skellam: %zu masses", count);
    masses[mode - made.first] = csl_wide__one();
    climb(&l, mode, last, masses + (mode - made.first) + 1);
    descend(made.mantissa, made.exponent, mode, made.first, masses);
    unsigned bits = 1;
    while ((size_t)1 << bits < count)
        bits++;
    enum csl_code code = csl_table__build(&made.table, masses, count, 0, MASS_ERROR, bits, err);
    csl_free(masses);
    if (code == CSL_OK)
        *s = made;
    return code;
}

void csl_skellam_release(struct csl_skellam *s)
{
    csl_table__release(&s->table);
    *s = (struct csl_skellam){0};
}

void csl_skellam_fill(struct csl_rng *rng, const struct csl_skellam *s, int64_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t a = draw_poisson(rng, s);
        out[i] = a - draw_poisson(rng, s);
    }
}
