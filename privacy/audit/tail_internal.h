/* privacy/audit/tail_internal.h - probabilities that the audit's proofs rest on, with relative
 * accuracy far into the tails. Any thread.
 *
 * SOURCE: binomial terms by saddle point, C. Loader, "Fast and accurate computation of binomial
 * probabilities" (2000); normal quantile M. J. Wichura, algorithm AS 241 (1988). */
#ifndef CSL_AUDIT_TAIL_INTERNAL_H
#define CSL_AUDIT_TAIL_INTERNAL_H
#include <stdint.h>

/* log P[Binomial(n, p) = k], k <= n. Both p and q = 1 - p are passed, in (0, 1), so that neither
 * is a difference. Relative error of the probability below 1e-12 for n to 10^7. */
double csl_audit__binomial_log(uint64_t k, uint64_t n, double p, double q);
/* log P[Binomial(n, p) >= k]; 0 where k is 0, -inf where k > n. */
double csl_audit__binomial_log_upper(uint64_t k, uint64_t n, double p, double q);
/* 2 min(P[X <= k], P[X >= k]), at most 1; q of 0 or 1 allowed. */
double csl_audit__binomial_two_sided(uint64_t k, uint64_t n, double p);

double csl_audit__normal_upper(double x);    /* P[N(0, 1) > x] */
double csl_audit__normal_quantile(double p); /* p in [0, 1]; -inf and inf at the ends */
/* 2 min(P[X <= x], P[X >= x]) of chi-square with n >= 1 degrees of freedom, at most 1. */
double csl_audit__chi_square_two_sided(double x, uint64_t n);

#endif
