/* privacy/dp/wide.h - internal to privacy/dp: 384-bit unsigned numbers for proofs about samplers.
 *
 * Read either as integers or as fixed point with 64 bits before and 320 bits behind the point; an
 * "ulp" is 2^-320. Nothing here is fast and nothing here is in a hot loop: samplers come here to
 * build their tables and when 64 bits do not decide. No floating point (compiled so that it cannot
 * be used). Any thread. */
#ifndef CSL_DP_WIDE_H
#define CSL_DP_WIDE_H
#include "privacy/crypto/rng.h"

#include <stdbool.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 csl_u128;

enum { CSL_WIDE_LIMBS = 6 };

struct csl_wide {
    uint64_t limb[CSL_WIDE_LIMBS]; /* least significant first; limb 5 is the integer part */
};

struct csl_wide csl_wide__from_u128(csl_u128 v);                           /* as an integer */
struct csl_wide csl_wide__one(void);                                       /* as fixed point */
int csl_wide__compare(const struct csl_wide *a, const struct csl_wide *b); /* -1, 0, 1 */
bool csl_wide__add(struct csl_wide *a, const struct csl_wide *b);          /* false: overflow */
bool csl_wide__add_u64(struct csl_wide *a, uint64_t b);                    /* false: overflow */
void csl_wide__subtract(struct csl_wide *a, const struct csl_wide *b);     /* a >= b */
/* What is multiplied out at the top comes back: 0 when the product fits. */
uint64_t csl_wide__multiply_u64(struct csl_wide *a, uint64_t b);
uint64_t csl_wide__divide_u64(struct csl_wide *a, uint64_t b); /* rounds down; the remainder */
void csl_wide__shift_left(struct csl_wide *a, unsigned bits);  /* < 384; what falls out is lost */
void csl_wide__shift_right(struct csl_wide *a, unsigned bits);
/* The fixed-point product, rounded down; it must fit. */
struct csl_wide csl_wide__product(const struct csl_wide *a, const struct csl_wide *b);

/* Fixed point n * 2^shift / m, rounded down, for m >= 2^63 and -64 <= shift <= 128; false, out
 * untouched, when it is above 256 (always so from 512 on). */
bool csl_wide__ratio(csl_u128 n, int shift, uint64_t m, struct csl_wide *out);

/* exp(-gamma) in fixed point for gamma < 512 (of which up to an ulp may be missing): the result is
 * within CSL_WIDE_EXP_ERROR ulps of the truth. */
enum { CSL_WIDE_EXP_ERROR = 1 << 16 };
struct csl_wide csl_wide__exp_minus(const struct csl_wide *gamma);

/* Whether u * weight < scale * mass, for a uniform u in [0, 1) of which the first 320 bits are
 * given (u[4] leads) and a mass in [0, 1] known up to `error` ulps. What even 320 bits leave open
 * is answered with false; for weight >= 1 that has a probability below
 * 2^-320 * (1 + 2 * scale * error). */
bool csl_wide__below(const uint64_t u[5], uint64_t weight, uint64_t scale,
                     const struct csl_wide *mass, uint64_t error);

/* One variable that is true with the probability num / den <= 1, exactly: random bits are compared
 * with the binary expansion of the fraction until they differ. den < 2^383. */
bool csl_wide__bernoulli(struct csl_rng *rng, const struct csl_wide *num,
                         const struct csl_wide *den);

#endif
