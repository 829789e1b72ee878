#include "privacy/dp/wide.h"

#include "base/check.h"

enum { LIMBS = CSL_WIDE_LIMBS };

struct csl_wide csl_wide__from_u128(csl_u128 v)
{
    struct csl_wide w = {{(uint64_t)v, (uint64_t)(v >> 64), 0, 0, 0, 0}};
    return w;
}

struct csl_wide csl_wide__one(void)
{
    struct csl_wide w = {{0, 0, 0, 0, 0, 1}};
    return w;
}

int csl_wide__compare(const struct csl_wide *a, const struct csl_wide *b)
{
    for (int i = LIMBS - 1; i >= 0; i--) {
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    }
    return 0;
}

bool csl_wide__add(struct csl_wide *a, const struct csl_wide *b)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        csl_u128 t = (csl_u128)a->limb[i] + b->limb[i] + carry;
        a->limb[i] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
    return carry == 0;
}

bool csl_wide__add_u64(struct csl_wide *a, uint64_t b)
{
    struct csl_wide w = csl_wide__from_u128(b);
    return csl_wide__add(a, &w);
}

void csl_wide__subtract(struct csl_wide *a, const struct csl_wide *b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        csl_u128 t = (csl_u128)a->limb[i] - b->limb[i] - borrow;
        a->limb[i] = (uint64_t)t;
        borrow = (uint64_t)(t >> 64) & 1;
    }
    CSL_ASSERT(borrow == 0);
}

uint64_t csl_wide__multiply_u64(struct csl_wide *a, uint64_t b)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        csl_u128 t = (csl_u128)a->limb[i] * b + carry;
        a->limb[i] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
    return carry;
}

uint64_t csl_wide__divide_u64(struct csl_wide *a, uint64_t b)
{
    CSL_ASSERT(b > 0);
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        csl_u128 t = (csl_u128)rest << 64 | a->limb[i];
        a->limb[i] = (uint64_t)(t / b);
        rest = (uint64_t)(t % b);
    }
    return rest;
}

void csl_wide__shift_left(struct csl_wide *a, unsigned bits)
{
    CSL_ASSERT(bits < 64 * LIMBS);
    int words = (int)(bits / 64);
    unsigned rest = bits % 64;
    for (int i = LIMBS - 1; i >= 0; i--) {
        uint64_t high = i >= words ? a->limb[i - words] : 0;
        uint64_t low = i > words ? a->limb[i - words - 1] : 0;
        a->limb[i] = rest == 0 ? high : high << rest | low >> (64 - rest);
    }
}

void csl_wide__shift_right(struct csl_wide *a, unsigned bits)
{
    CSL_ASSERT(bits < 64 * LIMBS);
    int words = (int)(bits / 64);
    unsigned rest = bits % 64;
    for (int i = 0; i < LIMBS; i++) {
        uint64_t low = i + words < LIMBS ? a->limb[i + words] : 0;
        uint64_t high = i + words + 1 < LIMBS ? a->limb[i + words + 1] : 0;
        a->limb[i] = rest == 0 ? low : low >> rest | high << (64 - rest);
    }
}

struct csl_wide csl_wide__product(const struct csl_wide *a, const struct csl_wide *b)
{
    uint64_t full[2 * LIMBS] = {0};
    for (int i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < LIMBS; j++) {
            csl_u128 t = (csl_u128)a->limb[i] * b->limb[j] + full[i + j] + carry;
            full[i + j] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        full[i + LIMBS] = carry;
    }
    CSL_ASSERT(full[2 * LIMBS - 1] == 0);
    struct csl_wide out;
    for (int i = 0; i < LIMBS; i++)
        out.limb[i] = full[i + LIMBS - 1];
    return out;
}

static int bit_length(csl_u128 v)
{
    uint64_t high = (uint64_t)(v >> 64), low = (uint64_t)v;
    if (high != 0)
        return 128 - __builtin_clzll(high);
    return low != 0 ? 64 - __builtin_clzll(low) : 0;
}

bool csl_wide__ratio(csl_u128 n, int shift, uint64_t m, struct csl_wide *out)
{
    CSL_ASSERT(m >> 63 == 1 && shift >= -64 && shift <= 128);
    if (bit_length(n) + shift > 72) /* n 2^shift >= 2^72 and m < 2^64 */
        return false;
    /* In units of 2^-256 first, so that the dividend fits; then one more limb of the quotient. */
    struct csl_wide w = csl_wide__from_u128(n);
    csl_wide__shift_left(&w, (unsigned)(256 + shift));
    uint64_t rest = csl_wide__divide_u64(&w, m);
    CSL_ASSERT(w.limb[LIMBS - 1] == 0);
    csl_wide__shift_left(&w, 64);
    w.limb[0] = (uint64_t)(((csl_u128)rest << 64) / m);
    *out = w;
    return true;
}

/* t = gamma / 2^10 < 1/2, the alternating series to t^60 / 60! by Horner, then ten squarings.
 * Errors in ulps: t carries at most 2 and every Horner step at most halves the error, adds those of
 * t and 2 for its roundings: below 8 at the end; what the series leaves out is below
 * 2^-61 / 61! < 2^-338. A squaring of a number <= 1 doubles the error and adds 1:
 * 2^10 * 9 + 2^10 < 2^16. */
struct csl_wide csl_wide__exp_minus(const struct csl_wide *gamma)
{
    CSL_ASSERT(gamma->limb[LIMBS - 1] < 512);
    const struct csl_wide one = csl_wide__one();
    struct csl_wide t = *gamma, e = one;
    csl_wide__shift_right(&t, 10);
    for (uint64_t i = 60; i >= 1; i--) {
        struct csl_wide step = csl_wide__product(&t, &e);
        csl_wide__divide_u64(&step, i);
        e = one;
        csl_wide__subtract(&e, &step);
    }
    for (int i = 0; i < 10; i++)
        e = csl_wide__product(&e, &e);
    return e;
}

bool csl_wide__below(const uint64_t u[5], uint64_t weight, uint64_t scale,
                     const struct csl_wide *mass, uint64_t error)
{
    struct csl_wide left = {{u[0], u[1], u[2], u[3], u[4], 0}}, right = *mass;
    struct csl_wide slack = csl_wide__from_u128((csl_u128)scale * error);
    CSL_ASSERT(csl_wide__multiply_u64(&left, weight) == 0);
    CSL_ASSERT(csl_wide__multiply_u64(&right, scale) == 0);
    /* u is below its 320 bits plus one ulp. */
    CSL_ASSERT(csl_wide__add_u64(&left, weight) && csl_wide__add(&left, &slack));
    return csl_wide__compare(&left, &right) <= 0;
}

bool csl_wide__bernoulli(struct csl_rng *rng, const struct csl_wide *num,
                         const struct csl_wide *den)
{
    CSL_ASSERT(den->limb[LIMBS - 1] >> 63 == 0);
    struct csl_wide rest = *num;
    if (csl_wide__compare(num, den) >= 0)
        return true;
    for (;;) {
        uint64_t bits = csl_rng_u64(rng);
        for (int i = 0; i < 64; i++, bits >>= 1) {
            csl_wide__shift_left(&rest, 1);
            bool digit = csl_wide__compare(&rest, den) >= 0;
            if (digit)
                csl_wide__subtract(&rest, den);
            if (digit != (bits & 1))
                return digit; /* the first difference: the uniform is below iff it has the 0 */
        }
    }
}
