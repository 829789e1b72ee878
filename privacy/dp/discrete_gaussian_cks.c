#include "privacy/dp/discrete_gaussian.h"
#include "privacy/dp/discrete_laplace.h"

#include "base/check.h"

static uint64_t integer_root(csl_u128 v)
{
    uint64_t root = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t trial = root | (uint64_t)1 << bit;
        if ((csl_u128)trial * trial <= v)
            root = trial;
    }
    return root;
}

/* Algorithm 1 for any fraction: exp(-1) for every whole one, then the rest. */
static bool bernoulli_exp_minus(struct csl_rng *rng, struct csl_wide num,
                                const struct csl_wide *den)
{
    while (csl_wide__compare(&num, den) >= 0) {
        if (!csl_bernoulli__exp_minus(rng, 1, 1))
            return false;
        csl_wide__subtract(&num, den);
    }
    uint64_t k = 1;
    while (csl_wide__bernoulli(rng, &num, den) && csl_rng_below(rng, k) == 0)
        k++;
    return k % 2 == 1;
}

/* (a 2^64 + b)^2 from 64-bit products. */
static struct csl_wide square_of(csl_u128 v)
{
    uint64_t a = (uint64_t)(v >> 64), b = (uint64_t)v;
    struct csl_wide sum = csl_wide__from_u128((csl_u128)a * a);
    csl_wide__shift_left(&sum, 64);
    struct csl_wide part = csl_wide__from_u128((csl_u128)a * b);
    csl_wide__shift_left(&part, 1);
    CSL_ASSERT(csl_wide__add(&sum, &part));
    csl_wide__shift_left(&sum, 64);
    part = csl_wide__from_u128((csl_u128)b * b);
    CSL_ASSERT(csl_wide__add(&sum, &part));
    return sum;
}

/* Algorithm 3 with v = n / d: t = floor(sigma) + 1, y from the discrete Laplace distribution of
 * scale t, accepted with the probability
 *     exp(-(|y| - v / t)^2 / (2 v)) = exp(-(|y| d t - n)^2 / (2 n d t^2)). */
int64_t csl_discrete_gaussian_draw_cks(struct csl_rng *rng, uint64_t mantissa, int exponent)
{
    CSL_ASSERT(mantissa > 0);
    int odd = __builtin_ctzll(mantissa);
    uint64_t m = mantissa >> odd;
    int e = exponent + odd, top = 64 - __builtin_clzll(m) + e; /* v < 2^top */
    CSL_ASSERT(top >= -6 && top <= 81);
    csl_u128 n = e > 0 ? (csl_u128)m << e : m, d = e < 0 ? (csl_u128)1 << -e : 1;
    uint64_t t = integer_root(n / d) + 1;
    struct csl_wide den = csl_wide__from_u128(m);
    csl_wide__shift_left(&den, 1 + (unsigned)(e < 0 ? -e : e)); /* 2 n d */
    CSL_ASSERT(csl_wide__multiply_u64(&den, t) == 0 && csl_wide__multiply_u64(&den, t) == 0);
    for (;;) {
        int64_t y = csl_discrete_laplace_draw(rng, t, 1);
        csl_u128 dt = d * t, size = (csl_u128)(y < 0 ? -y : y), left;
        CSL_ASSERT(!__builtin_mul_overflow(size, dt, &left));
        csl_u128 off = left > n ? left - n : n - left;
        if (bernoulli_exp_minus(rng, square_of(off), &den))
            return y;
    }
}
