/* privacy/dp/pld_epsilon.h - epsilon of a list of dominating pairs, from above and from below:
 * grids chosen, both directions composed (each by itself, the maximum after composition). Any
 * thread. */
#ifndef CSL_DP_PLD_EPSILON_H
#define CSL_DP_PLD_EPSILON_H
#include "privacy/dp/pld.h"

struct csl_dp_part {
    struct csl_dp_pair pair; /* when pure_epsilon is 0 */
    double pure_epsilon;     /* above 0: anything (pure_epsilon, 0)-private, as randomised response,
                                which dominates it (Kairouz, Oh and Viswanath 2015); no lower bound */
    uint64_t steps;          /* >= 1 */
};

struct csl_dp_bounds {
    double upper;              /* certified: the larger of the two directions */
    double lower;              /* certified: of the direction that was larger, without pure parts */
    double upper_direction[2]; /* by enum csl_dp_direction; 0 for one that cannot be the larger */
    double interval;           /* grid step of the answer */
};

/* interval: the grid step; 0 chooses it so that the gap between upper and lower stays below
 * CSL_DP_GAP_MAX of epsilon, or below CSL_DP_GAP_SMALL, as far as the maximum sizes allow.
 * CSL_E_LIMIT: too large for a grid; CSL_E_NOMEM. */
#define CSL_DP_GAP_MAX   0.005
#define CSL_DP_GAP_SMALL 1e-5
enum csl_code csl_dp_pld_epsilon(const struct csl_dp_part *parts, size_t count, double delta,
                                 double interval, struct csl_dp_bounds *out,
                                 struct csl_err *err) CSL_MUST_CHECK;

#endif
