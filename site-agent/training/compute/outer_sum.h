/* site-agent/training/compute/outer_sum.h - exact integer sums of rounded outer products: the
 * weight gradient of a linear layer as private training needs it, without forming any row's own.
 *
 *   sum[i, j] += 2^shift * sum_r rint(odd(scale_a[r] * a[r, i]) * odd(scale_b[r] * b[r, j]))
 *
 * with the exact product inside rint. Integers have no order: whatever rows come together, in
 * whichever pieces and on however many threads, the sum is the same, and row r adds to it what it
 * adds to an empty one.
 *
 * Why one float32 multiply-add for each product is enough. An accumulator that starts at 1.5 * 2^23
 * and stays inside [2^23, 2^24) is a whole number and its neighbours are 1 apart, so that
 * fma(a, b, acc) is acc + a b rounded once to the nearest whole number: acc + rint(a b), unless a b
 * lies exactly halfway, where the even one of two sums is taken and would depend on the other rows.
 * That never happens when a and b are zero or have odd significands, which is what odd does:
 * with a = A 2^x, b = B 2^y, A and B odd, a b is an odd multiple of 2^(x + y), hence halfway only
 * for x + y = -1, and then |a b| = A B / 2 >= 2^45, out of range (A, B >= 2^23; a subnormal one,
 * x = -149, would need y = 148, beyond float32). How many rows an accumulator may take is bounded
 * by the largest values of each; then it is emptied.
 *
 * Rounding by a large constant: Dekker 1971, "A floating-point technique for extending the
 * available precision"; exact sums by splitting operands: Ozaki et al. 2012. */
#ifndef CSL_COMPUTE_OUTER_SUM_H
#define CSL_COMPUTE_OUTER_SUM_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The float with an odd significand next to x, at most one unit in the last place away; 0 stays 0.
 */
static inline float csl_outer_odd(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    bits |= (bits << 1) != 0 ? 1u : 0u;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

struct csl_outer {
    uint64_t rows, m, n;
    const float *a; /* [rows, m] */
    const float *b; /* [rows, n] */
    /* [rows] each; scale_a 0: the row adds nothing, whatever it holds. Else all of it is finite,
     * also scaled, and products are below 2^46. A scaled value is right to 2^-22 of it and 2^-149,
     * of the rounding to an odd significand 2^-23 of it. */
    const double *scale_a, *scale_b;
    unsigned shift; /* at most 16 */
};

/* Floats of room that csl_outer_sum needs. */
uint64_t csl_outer_room(uint64_t rows, uint64_t n);
/* sum: [m, n]; the caller bounds the number of rows so that it cannot overflow. */
void csl_outer_sum(const struct csl_outer *o, float *room, int64_t *sum);
/* The definition, product by product; slow. */
void csl_outer_sum_plain(const struct csl_outer *o, int64_t *sum);

#endif
