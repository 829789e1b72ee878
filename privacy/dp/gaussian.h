/* privacy/dp/gaussian.h - the Gaussian mechanism without sampling, exactly (Balle and Wang 2018,
 * Theorem 8):
 *     delta(eps) = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu),  mu = sensitivity / std.
 * k releases compose to mu = sqrt(sum of mu_i^2). All in the log domain, so that delta may be as
 * small as 1e-300. Solvers end on the safe side of their bracket. Any thread. */
#ifndef CSL_DP_GAUSSIAN_H
#define CSL_DP_GAUSSIAN_H

/* log delta(eps), its rounding error added (_upper) or taken off (_lower). mu > 0, eps >= 0. */
double csl_dp_gaussian_log_delta_upper(double mu, double eps);
double csl_dp_gaussian_log_delta_lower(double mu, double eps);
double csl_dp_gaussian_delta(double mu, double eps); /* rounded up */
/* The smallest eps found with delta(eps) <= delta for certain (_upper), and the largest with
 * delta(eps) > delta for certain (_lower); 0 where delta(0) <= delta. */
double csl_dp_gaussian_eps_upper(double mu, double delta);
double csl_dp_gaussian_eps_lower(double mu, double delta);
/* The smallest noise multiplier found for which one release keeps (eps, delta); eps >= 0,
 * delta in (0, 1). */
double csl_dp_gaussian_sigma(double eps, double delta);

#endif
