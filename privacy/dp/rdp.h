/* privacy/dp/rdp.h - Renyi differential privacy (Mironov 2017) of an event, and what it means in
 * (epsilon, delta). Orders are real numbers above 1. Any thread.
 *
 *     Gaussian                 order / (2 sigma^2)
 *     Poisson-sampled          Mironov, Talwar and Zhang 2019: integer orders as a sum of positive
 *                              terms, other orders by quadrature ("remove", their Theorem 5)
 *     fixed size, replace one  Wang, Balle and Kasiviswanathan 2019, Theorem 27
 *     discrete Gaussian        Canonne, Kamath and Steinke 2020: as the Gaussian
 *     Skellam                  Agarwal, Kairouz and Liu 2021: integer orders
 *     discrete Laplace         randomised response at its pure epsilon, which dominates it
 *
 * Where a formula holds for integer orders alone, (order - 1) * RDP(order) is interpolated between
 * them: it is convex for every mechanism, so this is an upper bound (Wang et al., Corollary 10).
 * With FIXED_SIZE the unit that is replaced moves the sum by twice the clip: noise_multiplier is
 * the standard deviation over THAT sensitivity. */
#ifndef CSL_DP_RDP_H
#define CSL_DP_RDP_H
#include "privacy/dp/event.h"

#define CSL_DP_ORDER_MIN 1.01
#define CSL_DP_ORDER_MAX 4096.0

/* RDP of the whole event, all steps, rounded up. The event has passed csl_dp_event_check.
 * +INFINITY where it is not bounded at this order. */
double csl_dp_rdp(const struct csl_dp_event *e, double order);
double csl_dp_rdp_all(const struct csl_dp_event *events, size_t count, double order);

/* Canonne, Kamath and Steinke 2020, Proposition 12:
 *     eps = rdp + log((order-1)/order) - (log delta + log order)/(order-1), at least 0.
 * Also 0 where the total variation, at most sqrt(1 - e^-rdp), is within delta. Rounded up. */
double csl_dp_rdp_epsilon(double rdp, double order, double delta);

/* The smallest over the orders CSL_DP_ORDER_MIN to CSL_DP_ORDER_MAX: a grid, then golden section
 * about its best (the objective is quasi-convex in order - 1 for an exact curve). `order_out` may
 * be NULL. +INFINITY where no order is bounded. */
double csl_dp_rdp_best(const struct csl_dp_event *events, size_t count, double delta,
                       double *order_out);

#endif
