/* privacy/dp/table.h - internal to privacy/dp: exact proposals from a table of integer weights.
 *
 * For masses p_0..p_{n-1} in (0, 1] known to a few ulps it finds integers weight_k and scale with
 *     weight_k >= scale * p_k   and   sum of weights = 2^64 exactly,
 * so that one uniform 64-bit word picks k with the probability weight_k / 2^64 exactly (alias
 * method, Walker 1977 and Vose 1991, in integers), and a pick that is accepted with the probability
 * scale * p_k / weight_k, very nearly 1, leaves k distributed exactly in proportion to p_k. */
#ifndef CSL_DP_TABLE_H
#define CSL_DP_TABLE_H
#include "base/err.h"
#include "privacy/dp/wide.h"

#include <stddef.h>
#include <stdint.h>

struct csl_table {
    uint64_t *cut;   /* per row: below it the row itself, else other[row] */
    uint32_t *other; /* per row */
    uint64_t
        *accept;     /* per k: 2^64 * the least acceptance of p_k and p_{k + reach}, rounded down */
    uint64_t *ratio; /* per k: 2^64 * scale * p_k / weight_k, at most 2 below the truth */
    uint64_t *weight; /* per k */
    uint64_t scale;
    unsigned bits; /* 2^bits rows */
};

/* masses: `count` + reach of them, falling over the reach, with `error` ulps of uncertainty each,
 * p <= 1 and
 * error > 0; the reach is 0 or 1. count: 2 to 2^bits; bits: 1 to 24. CSL_E_NOMEM. */
enum csl_code csl_table__build(struct csl_table *t, const struct csl_wide *masses, size_t count,
                               size_t reach, uint64_t error, unsigned bits,
                               struct csl_err *err) CSL_MUST_CHECK;
void csl_table__release(struct csl_table *t);

static inline uint32_t csl_table__pick(const struct csl_table *t, uint64_t word)
{
    uint64_t row = word >> (64 - t->bits), rest = word << t->bits >> t->bits;
    uint32_t kept = (uint32_t)row, other = t->other[row];
    /* Without a branch: half of them would be guessed wrong. */
    return other ^ ((kept ^ other) & (uint32_t) - (int32_t)(rest < t->cut[row]));
}

#endif
