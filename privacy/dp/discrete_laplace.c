#include "privacy/dp/discrete_laplace.h"

#include "base/check.h"

enum { WHOLE_MAX = 1 << 14 };

/* Algorithm 1: with g = num / den, the first K that fails in a row of Bernoulli(g / K), K = 1, 2,
 * ..., is odd with the probability exp(-g). Bernoulli(g / K) is Bernoulli(g) and Bernoulli(1 / K).
 */
bool csl_bernoulli__exp_minus(struct csl_rng *rng, uint64_t num, uint64_t den)
{
    uint64_t k = 1;
    while (csl_rng_below(rng, den) < num && csl_rng_below(rng, k) == 0)
        k++;
    return k % 2 == 1;
}

/* Algorithm 2. */
int64_t csl_discrete_laplace_draw(struct csl_rng *rng, uint64_t num, uint64_t den)
{
    CSL_ASSERT(num >= 1 && num <= (uint64_t)1 << 48 && den >= 1 && den <= (uint64_t)1 << 48);
    for (;;) {
        uint64_t part = csl_rng_below(rng, num);
        if (!csl_bernoulli__exp_minus(rng, part, num))
            continue;
        uint64_t whole = 0;
        while (csl_bernoulli__exp_minus(rng, 1, 1))
            whole++;
        CSL_ASSERT(whole < WHOLE_MAX);
        uint64_t y = (part + num * whole) / den;
        bool minus = csl_rng_u64(rng) & 1;
        if (minus && y == 0)
            continue; /* or 0 would count twice */
        return minus ? -(int64_t)y : (int64_t)y;
    }
}

void csl_discrete_laplace_fill(struct csl_rng *rng, uint64_t num, uint64_t den, int64_t *out,
                               size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = csl_discrete_laplace_draw(rng, num, den);
}
