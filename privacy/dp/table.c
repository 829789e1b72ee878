#include "privacy/dp/table.h"

#include "base/check.h"
#include "base/mem.h"

/* mass + error ulps, at most 1: what weights are computed from. */
static struct csl_wide upper(const struct csl_wide *mass, uint64_t error)
{
    const struct csl_wide one = csl_wide__one();
    struct csl_wide w = *mass;
    CSL_ASSERT(csl_wide__compare(&w, &one) <= 0);
    CSL_ASSERT(csl_wide__add_u64(&w, error));
    return csl_wide__compare(&w, &one) > 0 ? one : w;
}

static struct csl_wide lower(const struct csl_wide *mass, uint64_t error)
{
    struct csl_wide w = *mass, e = csl_wide__from_u128(error);
    if (csl_wide__compare(&w, &e) <= 0)
        return csl_wide__from_u128(0);
    csl_wide__subtract(&w, &e);
    return w;
}

/* The largest scale with scale * sum + count < 2^64, so that rounding every weight up still fits.
 */
static uint64_t largest_scale(const struct csl_wide *sum, size_t count)
{
    uint64_t scale = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t trial = scale | (uint64_t)1 << bit;
        struct csl_wide w = *sum;
        if (csl_wide__multiply_u64(&w, trial) == 0 &&
            w.limb[CSL_WIDE_LIMBS - 1] < UINT64_MAX - count)
            scale = trial;
    }
    return scale;
}

static uint64_t weight_of(const struct csl_wide *mass, uint64_t scale, uint64_t error)
{
    struct csl_wide w = upper(mass, error);
    CSL_ASSERT(csl_wide__multiply_u64(&w, scale) == 0);
    uint64_t whole = w.limb[CSL_WIDE_LIMBS - 1], fraction = 0;
    for (int i = 0; i < CSL_WIDE_LIMBS - 1; i++)
        fraction |= w.limb[i];
    return whole + (fraction != 0);
}

/* 2^64 * scale * mass / weight, rounded down and never 2^64. */
static uint64_t ratio_of(const struct csl_wide *mass, uint64_t scale, uint64_t weight,
                         uint64_t error)
{
    struct csl_wide w = lower(mass, error);
    CSL_ASSERT(csl_wide__multiply_u64(&w, scale) == 0);
    csl_wide__divide_u64(&w, weight);
    return w.limb[CSL_WIDE_LIMBS - 1] != 0 ? UINT64_MAX : w.limb[CSL_WIDE_LIMBS - 2];
}

/* Vose's pairing on integers: every row holds 2^(64 - bits), and the sums come out even. `left`
 * holds what is still to be placed of every weight; the two stacks share `stack`. */
static void pair_rows(struct csl_table *t, uint64_t *left, uint32_t *stack)
{
    size_t rows = (size_t)1 << t->bits, small = 0, large = rows;
    uint64_t capacity = (uint64_t)1 << (64 - t->bits);
    for (size_t i = 0; i < rows; i++) {
        if (left[i] < capacity)
            stack[small++] = (uint32_t)i;
        else
            stack[--large] = (uint32_t)i;
    }
    while (small > 0) {
        CSL_ASSERT(large < rows);
        uint32_t poor = stack[--small], rich = stack[large];
        t->cut[poor] = left[poor];
        t->other[poor] = rich;
        left[rich] -= capacity - left[poor];
        if (left[rich] < capacity) {
            large++;
            stack[small++] = rich;
        }
    }
    for (; large < rows; large++) {
        uint32_t full = stack[large];
        CSL_ASSERT(left[full] == capacity);
        t->cut[full] = capacity;
        t->other[full] = full;
    }
}

static void find_weights(struct csl_table *t, const struct csl_wide *masses, size_t count,
                         size_t reach, uint64_t error)
{
    struct csl_wide sum = csl_wide__from_u128(0);
    size_t most = 0;
    for (size_t k = 0; k < count; k++) {
        struct csl_wide w = upper(&masses[k], error);
        CSL_ASSERT(csl_wide__add(&sum, &w));
        if (csl_wide__compare(&masses[k], &masses[most]) > 0)
            most = k;
    }
    t->scale = largest_scale(&sum, count);
    uint64_t missing = 0; /* 2^64 - sum of weights, modulo 2^64 */
    for (size_t k = 0; k < count; k++) {
        t->weight[k] = weight_of(&masses[k], t->scale, error);
        missing -= t->weight[k];
    }
    /* What is missing to 2^64, at most twice `count` of it and rounding, goes to the largest
     * weight: a little more is proposed and as little more is rejected. */
    CSL_ASSERT(missing <= UINT64_MAX - t->weight[most]);
    t->weight[most] += missing;
    for (size_t k = 0; k < count; k++) {
        t->ratio[k] = ratio_of(&masses[k], t->scale, t->weight[k], error);
        t->accept[k] = ratio_of(&masses[k + reach], t->scale, t->weight[k], error);
    }
}

enum csl_code csl_table__build(struct csl_table *t, const struct csl_wide *masses, size_t count,
                               size_t reach, uint64_t error, unsigned bits, struct csl_err *err)
{
    CSL_ASSERT(bits >= 1 && bits <= 24 && count >= 2 && count <= (size_t)1 << bits && reach <= 1);
    size_t rows = (size_t)1 << bits;
    struct csl_table made = {.bits = bits};
    made.cut = csl_alloc_array(rows, sizeof(*made.cut));
    made.other = csl_alloc_array(rows, sizeof(*made.other));
    made.accept = csl_alloc_array(count, sizeof(*made.accept));
    made.ratio = csl_alloc_array(count, sizeof(*made.ratio));
    made.weight = csl_alloc_array(count, sizeof(*made.weight));
    uint64_t *left = csl_alloc_array(rows, sizeof(*left));
    uint32_t *stack = csl_alloc_array(rows, sizeof(*stack));
    enum csl_code code = CSL_OK;
    if (made.cut == NULL || made.other == NULL || made.accept == NULL || made.ratio == NULL ||
        made.weight == NULL || left == NULL || stack == NULL) {
        csl_table__release(&made);
        code = CSL_FAIL(err, CSL_E_NOMEM, "table of %zu rows", rows);
    } else {
        find_weights(&made, masses, count, reach, error);
        for (size_t k = 0; k < count; k++)
            left[k] = made.weight[k];
        pair_rows(&made, left, stack);
        *t = made;
    }
    csl_free(left);
    csl_free(stack);
    return code;
}

void csl_table__release(struct csl_table *t)
{
    csl_free(t->cut);
    csl_free(t->other);
    csl_free(t->accept);
    csl_free(t->ratio);
    csl_free(t->weight);
    *t = (struct csl_table){0};
}
