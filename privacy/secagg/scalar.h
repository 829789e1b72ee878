/* privacy/secagg/scalar.h - counts, losses, weights and sums of metrics in the masked sum: one
 * 64-bit word each, two's complement with 32 bits of fraction, added modulo 2^64. Any thread. */
#ifndef CSL_SECAGG_SCALAR_H
#define CSL_SECAGG_SCALAR_H
#include "base/err.h"

#include <stdint.h>

/* word = value rounded to the nearest multiple of 2^-32 (exact for whole numbers). CSL_E_INVAL:
 * NaN, infinity, or |value| above 2^31 / sites_max - 1, where a sum could wrap. sites_max >= 1. */
enum csl_code csl_scalar_encode(double value, uint32_t sites_max, uint64_t *word,
                                struct csl_err *err) CSL_MUST_CHECK;
double csl_scalar_max(uint32_t sites_max); /* that bound */
double csl_scalar_decode(uint64_t sum);    /* exact to 53 bits */

#endif
