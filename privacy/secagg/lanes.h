/* privacy/secagg/lanes.h - integers packed side by side in 64-bit words, so that the sum of the
 * words modulo 2^64 is the sum of every lane: no field, no reduction, uniform words as masks.
 *
 * A site's value x is an integer, -level <= x <= level, plus that site's share of the noise, z. A
 * word holds per_word = floor(64 / bits) lanes, the lowest first:
 *     word = sum over lanes l of (x_l + level + z_l) 2^(bits l)   modulo 2^64.
 * x + level is never negative, so there is no sign and no borrow in it. z may be negative: a borrow
 * out of one site's lane is repaid in the sum, where alone lanes are read. Per lane the sum over n
 * sites is  n level + sum of x + sum of z;  csl_lanes_unpack first adds `headroom` to every lane, a
 * public constant, and reads what it should where
 *     |sum of z| <= headroom   and   2 level n + 2 headroom < 2^bits   for n <= sites_max,
 * which csl_lanes_plan sees to. What exceeds the headroom wraps into a wrong value and its
 * neighbour: csl_lanes_headroom bounds the probability. A wrap costs accuracy, never privacy.
 *
 * level is capped at 2^34, so that 16 bits of fraction fit beside it (rounding.h). Zero is exactly
 * `level`: the number of levels is the even one below floor((2^bits - 1) / sites_max).
 * In memory words are uint64_t; as bytes each is little-endian (base/le.h asserts the host). Any
 * thread. SOURCE: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving
 * Machine Learning", CCS 2017, for sums modulo R; the lanes are our own. */
#ifndef CSL_SECAGG_LANES_H
#define CSL_SECAGG_LANES_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define CSL_LANES_LEVEL_MAX (INT64_C(1) << 34)
#define CSL_LANES_SITES_MAX 65536

struct csl_lanes {
    uint32_t bits;     /* 10, 12, 16, 21, 32 or 64 */
    uint32_t per_word; /* 6, 5, 4, 3, 2 or 1 */
    uint32_t sites_max;
    int64_t level;
    uint64_t headroom;
};

/* How far the sum of the noise stays from 0 in all `entries` lanes, but for a probability of
 * `wrap_probability` (in (0, 1)): std_sum sqrt(2 ln(2 entries / wrap_probability)) rounded up, for
 * a sum of independent noise that is subgaussian with variance proxy std_sum^2, as a sum of
 * discrete Gaussians is (Canonne, Kamath, Steinke 2020, proposition 25). std_sum, in [0, 2^56]: of
 * ALL the sites' shares, not of those that count for privacy. */
uint64_t csl_lanes_headroom(double std_sum, uint64_t entries, double wrap_probability);

/* CSL_E_INVAL: bits are none of the six, sites_max is 0 or above CSL_LANES_SITES_MAX, or no level
 * is left: the text says how many bits would do. */
enum csl_code csl_lanes_plan(struct csl_lanes *l, uint32_t bits, uint32_t sites_max,
                             uint64_t headroom, struct csl_err *err) CSL_MUST_CHECK;

size_t csl_lanes_words(const struct csl_lanes *l, size_t count); /* ceil(count / per_word) */

/* values[count], each in [-level, level], or it aborts: the caller clips. noise[count], or NULL for
 * none, |noise| < 2^62. words[csl_lanes_words(count)]; lanes beyond `count` are 0. */
void csl_lanes_pack(const struct csl_lanes *l, const int64_t *values, const int64_t *noise,
                    size_t count, uint64_t *words);

void csl_lanes_add(uint64_t *sum, const uint64_t *words, size_t count); /* modulo 2^64 */

/* sums[count] = sum over the sites of x + z, from the sum of the words of exactly `contributors`
 * sites (1 to sites_max, or it aborts): the block's own, since another count shifts every value.
 * Returns how many lanes lie outside what honest sites can sum to: a wrap, or a site that sent what
 * it should not. (Inside, one site may still have moved the sum as far as all others together.) */
size_t csl_lanes_unpack(const struct csl_lanes *l, const uint64_t *words, size_t count,
                        uint32_t contributors, int64_t *sums);

#endif
