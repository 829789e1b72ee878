/* privacy/dp/rdp_internal.h - (order - 1) * RDP(order) of one step, mechanism by mechanism, rounded
 * up. */
#ifndef CSL_DP_RDP_INTERNAL_H
#define CSL_DP_RDP_INTERNAL_H
#include "privacy/dp/event.h"

#include <stdbool.h>

/* One use of the mechanism on every unit. Skellam: integer orders. */
double csl_dp_rdp__base(const struct csl_dp_event *e, double order);
/* The noise multiplier to account with: for integer noise no more than the units say. */
double csl_dp_rdp__sigma(const struct csl_dp_event *e);
/* The pure epsilon of a discrete Laplace event. */
double csl_dp_rdp__laplace_epsilon(const struct csl_dp_event *e);

/* Under Poisson sampling, integer orders from 2: Mironov, Talwar and Zhang 2019, section 3.3. It
 * holds for every noise that is symmetric, on the reals or on the integers: bounds on E_Q[(P/Q)^k]
 * bound "remove" term by term, and the reflection that swaps P and Q makes "remove" the larger
 * direction (their Theorem 5, whose proof uses nothing else). docs/privacy-accounting.md. */
double csl_dp_rdp__poisson(const struct csl_dp_event *e, uint64_t order);

/* Fixed-size sampling without replacement, replace one, integer orders from 2. */
#define CSL_DP_FIXED_SIZE_SIGMA_MIN 0.1
double csl_dp_rdp__fixed_size(const struct csl_dp_event *e, uint64_t order);

#endif
