/* privacy/secagg/rounding.h - from floats to integers, without bias.
 *
 * PLAIN: x becomes floor(w + U), w = x * per_unit to 16 bits of fraction, U uniform on the
 * multiples of 2^-16 in [0, 1), then a value beyond +-level becomes +-level. Given w the mean is w
 * exactly; w is the nearest multiple of 2^-16, so the bias is at most 2^-17 of a unit.
 *
 * CONDITIONAL (Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated
 * Learning with Secure Aggregation", ICML 2021, algorithm 1 and proposition 22): a vector of L2
 * norm <= clip is rounded again, with other coins, until the integer vector's squared norm is at
 * most square_max, checked in 128-bit integers. One try succeeds with probability 1 - e^(-1/2) at
 * least. After CSL_ROUNDING_TRIES (by chance below 1e-12) the vector is rounded towards zero
 * instead, which satisfies the bound because the vector does. What is conditioned is no
 * longer quite unbiased. Whatever happens, one contribution moves the sum by at most l2_units: the
 * sensitivity to charge. The number of tries depends on the data and may show in the time taken,
 * inside the site.
 *
 * Coins are not secret in either proof, but they must be independent of the data and used once:
 * never for two rounds, blocks or vectors. Any thread. */
#ifndef CSL_SECAGG_ROUNDING_H
#define CSL_SECAGG_ROUNDING_H
#include "base/err.h"
#include "privacy/crypto/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CSL_ROUNDING_TRIES = 64 };

__extension__ typedef unsigned __int128 csl_square;

struct csl_rounding {
    double unit; /* one step of the grid */
    double clip; /* L2 norm before rounding */
    uint64_t dimensions;
    double l2_units;      /* csl_dp_rounding_bound with beta = e^(-1/2), over unit */
    csl_square l2_square; /* floor(l2_units^2): what is checked */
};

/* CSL_E_INVAL: unit or clip is not finite and positive, dimensions 0 or above 2^33, or l2_units
 * would be 2^51 or more. */
enum csl_code csl_rounding_plan(struct csl_rounding *r, double unit, double clip,
                                uint64_t dimensions, struct csl_err *err) CSL_MUST_CHECK;

/* out[count] from x[count], PLAIN. 0 < level <= 2^34. NaN becomes -level: the caller refuses it.
 * Returns how many values were cut at +-level, a number as private as the data. 2 bytes of coins
 * per value. */
size_t csl_rounding_draw(struct csl_rng *coins, const float *x, size_t count, double per_unit,
                         int64_t level, int64_t *out);
/* The same towards zero, without coins. */
size_t csl_rounding_truncate(const float *x, size_t count, double per_unit, int64_t level,
                             int64_t *out);
/* Adds the squares of levels[count] to *square; false: the sum is above `square_max`. */
bool csl_rounding_within(const int64_t *levels, size_t count, csl_square square_max,
                         csl_square *square);

#endif
