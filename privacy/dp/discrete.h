/* privacy/dp/discrete.h - integer noise: exact delta of one release in one dimension, what a sum of
 * discrete Gaussians adds, what rounding to the grid adds, and what the discrete Gaussian on a fine
 * grid adds to the continuous one. Any thread. */
#ifndef CSL_DP_DISCRETE_H
#define CSL_DP_DISCRETE_H
#include "base/err.h"

#include <stdint.h>

#define CSL_DP_DISCRETE_STD_MAX 1e5 /* of the exact functions */

/* Pr[Z = z] for Z ~ N_Z(0, sigma2), proportional to e^(-z^2 / (2 sigma2)) on the integers (Canonne,
 * Kamath and Steinke 2020, Definition 1). 0 < sigma2 <= CSL_DP_DISCRETE_STD_MAX squared. */
double csl_dp_discrete_gaussian_pmf(double sigma2, int64_t z);
/* delta(eps) of Z against Z + sensitivity, exactly, rounded up (their Theorem 7). eps >= 0. */
double csl_dp_discrete_gaussian_delta(double sigma2, uint64_t sensitivity, double eps);
/* The same for Skellam noise of this variance (Agarwal, Kairouz and Liu 2021); its law by Miller's
 * downward recurrence of the Bessel functions, normalised to 1. CSL_E_NOMEM. */
enum csl_code csl_dp_skellam_delta(double variance, uint64_t sensitivity, double eps,
                                   double *delta_out, struct csl_err *err) CSL_MUST_CHECK;

/* Kairouz, Liu and Steinke 2021: how far, per coordinate, the sum of `sites` discrete
 * Gaussians of local standard deviation `std_units` is from one discrete Gaussian:
 *     10 sum_{k=1}^{sites-1} e^(-2 pi^2 std^2 k/(k+1)). sites >= 1. */
double csl_dp_ddg_tau(double std_units, uint64_t sites);

/* The L2 norm of a vector of norm `clip` in `dimensions` coordinates after randomised rounding to a
 * grid of step `grid`, repeated until it is at most this (the same paper):
 *     min{ clip^2 + grid^2 d/4 + sqrt(2 ln(1/beta)) grid (clip + grid sqrt(d)/2),
 *          (clip + grid sqrt(d))^2 }^(1/2)
 * beta: at most this probability of a repetition, in [0, 1). */
double csl_dp_rounding_bound(double clip, double grid, uint64_t dimensions, double beta);

/* Coordinates of discrete Gaussian noise priced as continuous Gaussian noise that was rounded,
 * which is post-processing. The transcripts' log-likelihood ratio stays within the loss returned
 * here but for a probability of e^log_failure, under either law; so delta_discrete(eps + 2 loss) <=
 * e^loss delta_continuous(eps) + (1 + e^(eps + loss)) e^log_failure (docs/privacy-accounting.md).
 * Start with zeros. */
#define CSL_DP_BRIDGE_STD_MIN 1024.0
struct csl_dp_bridge {
    double variance, mean, largest;
};
/* `coordinates` draws of standard deviation std_units >= CSL_DP_BRIDGE_STD_MIN. */
void csl_dp_bridge_add(struct csl_dp_bridge *b, double coordinates, double std_units);
double csl_dp_bridge_loss(const struct csl_dp_bridge *b, double log_failure);

#endif
