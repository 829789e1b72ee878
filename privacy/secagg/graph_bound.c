#include "privacy/secagg/graph_bound.h"

#include "base/check.h"

/* Below 2^1280, least limb first. The largest: C(1024, 512) < 2^1020, times 2^57, times 2^17, and
 * one factor of 2^20 before its division. */
enum { LIMBS = 40 };
struct number {
    uint32_t limb[LIMBS];
};

static struct number from_small(uint32_t v)
{
    return (struct number){{v}};
}

static void multiply(struct number *a, uint32_t by)
{
    uint64_t carry = 0;
    for (uint32_t i = 0; i < LIMBS; i++) {
        carry += (uint64_t)a->limb[i] * by;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    CSL_ASSERT(carry == 0);
}

/* Exact: what is divided is a multiple. */
static void divide(struct number *a, uint32_t by)
{
    uint64_t rest = 0;
    for (uint32_t i = LIMBS; i > 0; i--) {
        rest = rest << 32 | a->limb[i - 1];
        a->limb[i - 1] = (uint32_t)(rest / by);
        rest %= by;
    }
    CSL_ASSERT(rest == 0);
}

static void add(struct number *a, const struct number *b)
{
    uint64_t carry = 0;
    for (uint32_t i = 0; i < LIMBS; i++) {
        carry += (uint64_t)a->limb[i] + b->limb[i];
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    CSL_ASSERT(carry == 0);
}

static bool is_at_most(const struct number *a, const struct number *b)
{
    for (uint32_t i = LIMBS; i > 0; i--)
        if (a->limb[i - 1] != b->limb[i - 1])
            return a->limb[i - 1] < b->limb[i - 1];
    return true;
}

/* *a times C(n, k); every step is a binomial coefficient times *a. */
static void multiply_choose(struct number *a, uint32_t n, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++) {
        multiply(a, n - i);
        divide(a, i + 1);
    }
}

uint32_t csl_secagg_tail_threshold(uint32_t total, uint32_t marked, uint32_t drawn, uint32_t unions,
                                   uint32_t bits)
{
    CSL_ASSERT(total <= CSL_SECAGG_SITES_MAX && marked <= total && drawn <= total);
    CSL_ASSERT(unions > 0 && unions <= 1U << 17 && bits <= CSL_SECAGG_SECRET_BITS);
    uint32_t clear = total - marked, x = marked < drawn ? marked : drawn;
    struct number all = from_small(1), term = from_small(1), sum = from_small(0);
    multiply_choose(&all, total, drawn);
    multiply_choose(&term, marked, x);
    multiply_choose(&term, clear, drawn - x);
    for (;; x--) { /* term = C(marked, x) C(clear, drawn - x), sum of those from x on */
        add(&sum, &term);
        struct number weighed = sum;
        multiply(&weighed, unions);
        for (uint32_t b = bits; b > 0; b -= b < 19 ? b : 19)
            multiply(&weighed, 1U << (b < 19 ? b : 19));
        if (!is_at_most(&weighed, &all))
            return x + 1;
        if (x == 0 || drawn - x == clear) /* certain, and allowed to be: no bits, one union */
            return 0;
        multiply(&term, x * (clear - (drawn - x)));
        divide(&term, (marked - x + 1) * (drawn - x + 1));
    }
}

bool csl_secagg_losses_max(uint32_t n, uint32_t colluding, uint32_t degree, uint32_t rings,
                           uint32_t *losses)
{
    if (degree + 1 >= n) {
        *losses = n;
        return true;
    }
    uint32_t window = degree / 2, c = colluding < n ? colluding : n;
    uint32_t marked = csl_secagg_tail_threshold(n, c, window, n * rings, CSL_SECAGG_SECRET_BITS);
    if (marked > window)
        return false; /* a window without any honest site is too likely */
    *losses = 2 * (window - marked) + 1;
    return true;
}

uint32_t csl_secagg_mask_degree(uint32_t least, uint32_t most, uint32_t colluding, uint32_t losses,
                                uint32_t rings)
{
    uint32_t degree = 2, safe;
    for (uint32_t n = least; n <= most; n++) /* what is enough stays enough with more neighbours */
        while (degree + 1 < n &&
               !(csl_secagg_losses_max(n, colluding, degree, rings, &safe) && safe >= losses))
            degree += 2;
    return degree;
}

uint32_t csl_secagg_share_threshold(uint32_t n, uint32_t colluding, uint32_t degree)
{
    uint32_t c = colluding < n ? colluding : n - 1; /* of the others */
    return csl_secagg_tail_threshold(n - 1, c, degree, n, CSL_SECAGG_SECRET_BITS);
}

bool csl_secagg_share_is_live(uint32_t n, uint32_t lost, uint32_t degree, uint32_t threshold)
{
    if (threshold > degree || lost >= n)
        return false;
    return csl_secagg_tail_threshold(n - 1, lost, degree, n, CSL_SECAGG_LIVE_BITS) <=
           degree - threshold + 1;
}

bool csl_secagg_share_parameters(uint32_t n, uint32_t colluding, uint32_t lost, uint32_t *degree,
                                 uint32_t *threshold)
{
    for (uint32_t k = 2; k < n; k += 2) {
        uint32_t t = csl_secagg_share_threshold(n, colluding, k);
        if (csl_secagg_share_is_live(n, lost, k, t)) {
            *degree = k;
            *threshold = t;
            return true;
        }
    }
    return false;
}

bool csl_secagg_share_plan(uint32_t n, uint32_t colluding, uint32_t least, uint32_t *degree,
                           uint32_t *threshold)
{
    return csl_secagg_share_parameters(n, colluding, n > least ? n - least : 0, degree, threshold);
}
