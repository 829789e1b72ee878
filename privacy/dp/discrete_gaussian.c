#include "privacy/dp/discrete_gaussian.h"

#include "base/check.h"
#include "base/mem.h"

enum { BLOCKS = 1024, BLOCKS_LOG2 = 10, TRIALS_MAX = 512 };

/* exp(-(x^2) / (2v)), within CSL_WIDE_EXP_ERROR ulps: exp(-256) is below one. */
static struct csl_wide mass_at(uint64_t mantissa, int exponent, uint64_t x)
{
    struct csl_wide gamma;
    if (!csl_wide__ratio((csl_u128)x * x, -(exponent + 1), mantissa, &gamma))
        return csl_wide__from_u128(0);
    return csl_wide__exp_minus(&gamma);
}

/* To a mantissa of 64 bits. */
static bool normalise(uint64_t *mantissa, int *exponent)
{
    if (*mantissa == 0 || *exponent < -1000 || *exponent > 1000)
        return false;
    int shift = __builtin_clzll(*mantissa);
    *mantissa <<= shift;
    *exponent -= shift;
    return *exponent >= -70 && *exponent <= 17;
}

enum csl_code csl_discrete_gaussian_init(struct csl_discrete_gaussian *g, uint64_t mantissa,
                                         int exponent, struct csl_err *err)
{
    uint64_t m = mantissa;
    int e = exponent;
    if (!normalise(&m, &e))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "discrete Gaussian: sigma^2 = %llu * 2^%d; from 2^-7 to below 2^81 would "
                        "be right",
                        (unsigned long long)mantissa, exponent);
    /* 2^(2c + 12) >= 2^(64 + e) > v */
    struct csl_discrete_gaussian made = {
        .mantissa = m, .exponent = e, .width_log2 = e > -52 ? (unsigned)(e + 53) / 2 : 0};
    made.inverse = (uint64_t)((((csl_u128)1 << 127) - 1) / m);
    struct csl_wide *masses = csl_alloc_array(BLOCKS + 1, sizeof(*masses));
    if (masses == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "discrete Gaussian: %d masses", BLOCKS + 1);
    for (uint64_t k = 0; k <= BLOCKS; k++)
        masses[k] = mass_at(m, e, k << made.width_log2);
    enum csl_code code = csl_table__build(&made.table, masses, BLOCKS, made.width_log2 > 0 ? 1 : 0,
                                          CSL_WIDE_EXP_ERROR, BLOCKS_LOG2, err);
    csl_free(masses);
    if (code == CSL_OK)
        *g = made;
    return code;
}

void csl_discrete_gaussian_release(struct csl_discrete_gaussian *g)
{
    csl_table__release(&g->table);
    *g = (struct csl_discrete_gaussian){0};
}

/* 2^64 * y, within 6, for y = ((k w + j)^2 - (k w)^2) / 2v < 1: the bound on y is
 * (2 * 1023 + 1) w^2 / 2v <= 2047 / 2048, as 32 w <= sigma when w > 1. Errors: `inverse` is at most
 * 2 too small and at least 2^63 - 1, the dividend keeps 64 bits, the last shift loses 1. */
static uint64_t exponent_of(const struct csl_discrete_gaussian *g, uint32_t k, uint64_t j)
{
    csl_u128 n = (csl_u128)j * (((uint64_t)k << (g->width_log2 + 1)) + j);
    uint64_t high = (uint64_t)(n >> 64);
    int cut = high != 0 ? 64 - __builtin_clzll(high) : 0;
    csl_u128 product = (csl_u128)(uint64_t)(n >> cut) * g->inverse;
    int shift = 64 + g->exponent - cut; /* 2^64 n / (2^(e+1) m), inverse = 2^127 / m */
    return (uint64_t)(product >> shift);
}

/* 2^63 * exp(-y), within 32, for y = 2^-64 times the argument: Horner on the alternating series to
 * y^20 / 20!. A step i divides the error so far, that of y (6 ulps of 2^-64, 3 of 2^-63) and one
 * rounding by i and adds one rounding: 12 at the end; 1 / 21! < 2^-65 is left out. */
static uint64_t exp_minus(uint64_t y)
{
    const uint64_t one = (uint64_t)1 << 63;
    uint64_t e = one;
#pragma GCC unroll 20 /* divisions by constants are multiplications */
    for (uint64_t i = 20; i >= 1; i--)
        e = one - (uint64_t)((csl_u128)y * e >> 64) / i;
    return e;
}

int csl_discrete_gaussian__quick(const struct csl_discrete_gaussian *g, uint32_t k, uint64_t j,
                                 uint64_t lead)
{
    /* 2^64 p = ratio * exp(-y): 64 from exp, 2 from ratio, 1 from the shift; 256 is ample. */
    const uint64_t slack = 256;
    uint64_t p =
        j == 0 ? g->table.ratio[k]
               : (uint64_t)((csl_u128)exp_minus(exponent_of(g, k, j)) * g->table.ratio[k] >> 63);
    if (p > slack && lead < p - slack)
        return 1;
    return p < UINT64_MAX - slack && lead > p + slack ? 0 : -1;
}

bool csl_discrete_gaussian__exact(const struct csl_discrete_gaussian *g, uint32_t k, uint64_t j,
                                  const uint64_t u[5])
{
    struct csl_wide mass = mass_at(g->mantissa, g->exponent, ((uint64_t)k << g->width_log2) + j);
    return csl_wide__below(u, g->table.weight[k], g->table.scale, &mass, CSL_WIDE_EXP_ERROR);
}

/* The bound of the block did not decide. `word` holds j and the sign in its low `low` bits and the
 * leading bits of u above them. */
static bool decide(struct csl_rng *rng, const struct csl_discrete_gaussian *g, uint32_t k,
                   uint64_t j, uint64_t word, unsigned low)
{
    uint64_t lead = (word >> low << low) | csl_rng_u64(rng) >> (64 - low);
    int quick = csl_discrete_gaussian__quick(g, k, j, lead);
    if (quick >= 0)
        return quick == 1;
    uint64_t u[5] = {csl_rng_u64(rng), csl_rng_u64(rng), csl_rng_u64(rng), csl_rng_u64(rng), lead};
    return csl_discrete_gaussian__exact(g, k, j, u);
}

void csl_discrete_gaussian_fill(struct csl_rng *rng, const struct csl_discrete_gaussian *g,
                                int64_t *out, size_t count)
{
    const struct csl_table *t = &g->table;
    const unsigned c = g->width_log2, low = c + 1;
    const uint64_t mask = ((uint64_t)1 << low) - 1;
    uint64_t words[2 * TRIALS_MAX];
    for (size_t done = 0; done < count;) {
        size_t trials = count - done < TRIALS_MAX ? count - done : TRIALS_MAX;
        csl_rng_bytes(rng, words, trials * 2 * sizeof(words[0]));
        for (size_t i = 0; i < trials; i++) {
            uint32_t k = csl_table__pick(t, words[2 * i]);
            uint64_t word = words[2 * i + 1], minus = word & 1, j = (word & mask) >> 1;
            uint64_t x = ((uint64_t)k << c) + j;
            /* u < ((word | mask) + 1) / 2^64 <= accept / 2^64 <= p */
            bool taken = (word | mask) < t->accept[k] || decide(rng, g, k, j, word, low);
            out[done] = (int64_t)((x ^ (0 - minus)) + minus);
            done += taken && !(minus && x == 0);
        }
    }
    volatile uint64_t *wipe = words;
    for (size_t i = 0; i < 2 * TRIALS_MAX; i++)
        wipe[i] = 0;
}
