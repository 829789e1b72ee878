/* privacy/secagg/joint.h - the grid on which sites of a study in mode joint meet: a power of two
 * that depends on nothing but the clipping norm, and divides the grid of every site's noise
 * (privacy/dp/noise.h chooses clip / unit below 2^36). Any thread. */
#ifndef CSL_SECAGG_JOINT_H
#define CSL_SECAGG_JOINT_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The largest power of two that is at most clip / 2^36; clip > 0 and normal. */
double csl_joint_unit(double clip);

/* words[i] = sum[i] in steps of csl_joint_unit(clip), two's complement. `unit` is the site's grid.
 * CSL_E_INVAL, words undefined: a sum so large that sites_max of them could wrap. */
enum csl_code csl_joint_encode(double clip, double unit, uint32_t sites_max, const int64_t *sum,
                               size_t count, uint64_t *words, struct csl_err *err) CSL_MUST_CHECK;
/* out[i] = (sum of words)[i] as a real, times `factor`. */
void csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count, float *out);

#endif
