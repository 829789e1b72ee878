/* privacy/dp/pair.h - a dominating pair (P, Q): two mixtures of normal distributions with one
 * standard deviation, whose privacy loss log P(x)/Q(x) grows with x. Distances are in units of the
 * charged L2 sensitivity.
 *
 *     subsampled Gaussian, add or remove  P = (1-q) N(0) + q N(1)      Q = N(0)
 *     the same, replace one               P = (1-q) N(0) + q N(1)      Q = (1-q) N(0) + q N(-1)
 *     one unit at m sites                 P = sum_j Bin(m, q)(j) N(j)  Q = N(0)
 *
 * (Zhu, Dong and Wang 2022; Lebeda et al. 2024 for replacement; Charles et al. 2024 for mixtures.)
 * "Remove" is the hockey stick of P against Q, "add" that of Q against P. Any thread. */
#ifndef CSL_DP_PAIR_H
#define CSL_DP_PAIR_H
#include <stddef.h>

#define CSL_DP_COMPONENTS_MAX 16

struct csl_dp_pair {
    double std;              /* > 0 */
    size_t p_count, q_count; /* components, 1 to CSL_DP_COMPONENTS_MAX */
    double p_mean[CSL_DP_COMPONENTS_MAX], p_weight[CSL_DP_COMPONENTS_MAX]; /* weights sum to 1 */
    double q_mean[CSL_DP_COMPONENTS_MAX], q_weight[CSL_DP_COMPONENTS_MAX];
};

struct csl_dp_pair csl_dp_pair_poisson(double sigma, double q);
struct csl_dp_pair csl_dp_pair_replace(double sigma, double q);
/* One unit at `sites` sites (1 to CSL_DP_COMPONENTS_MAX - 1) that sample independently. */
struct csl_dp_pair csl_dp_pair_duplicates(double sigma, double q, size_t sites);

/* log P(x)/Q(x) */
double csl_dp_pair_loss(const struct csl_dp_pair *p, double x);
/* The infimum of the loss; -INFINITY where there is none. */
double csl_dp_pair_loss_floor(const struct csl_dp_pair *p);
/* x with loss(x) = g; `guess` is where to start. -INFINITY or +INFINITY for a loss that the pair
 * does not reach. */
double csl_dp_pair_inverse(const struct csl_dp_pair *p, double g, double guess);

/* log E_Q[(P/Q)^a], rounded up: a = order for "remove", a = 1 - order for "add". a = 0 and a = 1
 * give 0. Trapezoid rule on the analytic integrand, in the log domain; +INFINITY where it would
 * take more than CSL_DP_NODES_MAX nodes. */
#define CSL_DP_NODES_MAX 20000
double csl_dp_pair_log_moment(const struct csl_dp_pair *p, double a);

#endif
