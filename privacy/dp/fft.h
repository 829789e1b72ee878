/* privacy/dp/fft.h - the real discrete Fourier transform of a power of two, in double, with a bound
 * on its rounding error. Our own because Debian's kissfft is built for float alone, and FFTW and
 * GSL may not be linked under the licence of this project. Stockham's self-sorting radix 4 (Van
 * Loan 1992, section 1.7) on packed pairs. One plan, one thread. */
#ifndef CSL_DP_FFT_H
#define CSL_DP_FFT_H
#include "base/err.h"

#include <stddef.h>

#define CSL_DP_FFT_MIN 8
#define CSL_DP_FFT_MAX (1 << 21)

struct csl_dp_fft {
    size_t n;        /* a power of two from CSL_DP_FFT_MIN to CSL_DP_FFT_MAX */
    double *twiddle; /* [n/2, 2]: cos, -sin of 2 pi k / n */
    double *work;    /* [n] */
};
enum csl_code csl_dp_fft_init(struct csl_dp_fft *f, size_t n, struct csl_err *err) CSL_MUST_CHECK;
void csl_dp_fft_release(struct csl_dp_fft *f); /* an empty one is accepted */

/* X_k = sum_j x_j e^(-2 pi i jk / n). x: [n] real on entry; on return the half spectrum as [n/2, 2]
 * (re, im) for k = 0 to n/2 - 1, with the real X_(n/2) in the place of the imaginary part of X_0,
 * which is 0. */
void csl_dp_fft_forward(struct csl_dp_fft *f, double *x);
/* The inverse of csl_dp_fft_forward, divided by n. */
void csl_dp_fft_inverse(struct csl_dp_fft *f, double *x);

/* No output of either direction (before the division by n) is wrong by more than this times the sum
 * of the absolute values of all inputs: every stage adds at most 10 rounding errors for each factor
 * two, the packing 20. */
double csl_dp_fft_error(size_t n);

#endif
