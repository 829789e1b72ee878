/* privacy/dp/estimate.h - a figure for people who plan, never for a decision. */
#ifndef CSL_DP_ESTIMATE_H
#define CSL_DP_ESTIMATE_H

/* epsilon of the Gaussian that the central limit theorem puts in the place of a Poisson-sampled
 * run: mu = q sqrt(steps (e^(1/sigma^2) - 1)) (Bu, Dong, Long and Su 2020). NOT a bound: it lies
 * below the truth by 1 to 30 % in ordinary regimes. Nothing that spends, reserves or refuses may
 * call it. */
double csl_dp_clt_estimate(double sigma, double q, double steps, double delta);

#endif
