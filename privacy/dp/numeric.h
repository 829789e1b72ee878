/* privacy/dp/numeric.h - numbers in the log domain, and rounding that never flatters. Any thread.
 */
#ifndef CSL_DP_NUMERIC_H
#define CSL_DP_NUMERIC_H
#include "base/err.h"

#include <stddef.h>

#define CSL_DP_ULP 0x1p-53 /* largest relative error of one rounded operation */

/* log(e^a + e^b); -INFINITY is log 0. */
double csl_dp_log_add(double a, double b);
/* log(e^a - e^b); -INFINITY where a <= b. */
double csl_dp_log_sub(double a, double b);
/* Pr[N(0,1) > x] */
double csl_dp_normal_tail(double x);
/* log Pr[N(0,1) <= x], also where the probability itself underflows (Mills ratio by its continued
 * fraction, Abramowitz and Stegun 26.2.14, below x = -30). Absolute error under 4 ulp * (4 + x^2).
 */
double csl_dp_log_normal_cdf(double x);

/* A sum that keeps what each addition rounds away (Neumaier 1974). Start with {0, 0}. */
struct csl_dp_sum {
    double total, carry;
};
void csl_dp_sum_add(struct csl_dp_sum *s, double x);
double csl_dp_sum_get(const struct csl_dp_sum *s);

/* Golden section: the least of f over [low, high], where f falls and then rises, found to within
 * `tolerance` (> 0) of its place, *at. Returns f there. */
double csl_dp_minimise(double (*f)(const void *ctx, double x), const void *ctx, double low,
                       double high, double tolerance, double *at);

/* A little more, a little less: by `ulps` units in the last place and the smallest double.
 * Infinities stay. */
double csl_dp_more(double x, double ulps);
double csl_dp_less(double x, double ulps);

/* Writes a number >= 0 with `digits` (1 to 17) significant digits, decimal or, outside
 * [1e-4, 1e15), with an exponent; "inf" for infinity. _up: the text as a decimal number is >=
 * value: for everything spent. _down: <= value: for everything that remains. Exact: the double's
 * whole decimal expansion is looked at. CSL_E_INVAL: negative, NaN, digits; CSL_E_LIMIT: size. */
#define CSL_DP_TEXT_MAX 32
enum csl_code csl_dp_print_up(char *out, size_t size, double value, int digits,
                              struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_dp_print_down(char *out, size_t size, double value, int digits,
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
