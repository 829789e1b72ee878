/* privacy/secagg/rotation.h - the randomised Hadamard transform, block by block: y = H D x /
 * sqrt(N), D a diagonal of random signs, H the Walsh-Hadamard matrix, H[i][j] =
 * (-1)^popcount(i and j). It keeps the L2 norm and makes every entry of a block about as large as
 * every other, so that one clip and few bits suit all. It is public and hides nothing.
 *
 * Signs: block k takes the leading N bits, lowest bit of a byte first, of the stream
 * csl_rng_init_key(key, "secagg/rotation", k, 0); 1 is a minus. A site applies `forward` before
 * rounding, the coordinator `inverse` once to the sum: the transform is linear.
 * float32 in place, N log2(N) additions and one scaling; the same bits on every machine with IEEE
 * arithmetic. Relative error in L2 below 2^-20. Any thread. SOURCE: Suresh et al., "Distributed
 * Mean Estimation with Limited Communication", ICML 2017, section 3; Ailon and Chazelle 2006. */
#ifndef CSL_SECAGG_ROTATION_H
#define CSL_SECAGG_ROTATION_H
#include <stdint.h>

enum { CSL_ROTATION_LOG2 = 12, CSL_ROTATION_LOG2_MIN = 3, CSL_ROTATION_LOG2_MAX = 14 };

struct csl_rotation {
    uint8_t key[32];    /* public; of one attempt of one round */
    uint32_t size_log2; /* N = 2^size_log2, from ..._MIN to ..._MAX; CSL_ROTATION_LOG2 by default */
};

/* x[N] in place; the caller pads a short tail with zeros. Finite in, finite out, as long as
 * N max |x| is finite in float32. */
void csl_rotation_forward(const struct csl_rotation *r, uint64_t block, float *x);
void csl_rotation_inverse(const struct csl_rotation *r, uint64_t block, float *x);

#endif
