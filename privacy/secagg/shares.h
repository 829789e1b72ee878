/* privacy/secagg/shares.h - joint noise: every site adds a share inside the masked sum.
 *
 * What must hold is that the noise the adversary does NOT know is at least std_units. The adversary
 * is the coordinator with up to `colluding` sites, who subtract their own shares, and up to
 * `dropouts` sites are lost, so every site draws a discrete Gaussian with parameter
 *     share^2 = std_units^2 / (sites - colluding - dropouts),
 * rounded up (Kairouz, Liu and Steinke, ICML 2021). With s survivors the sum holds share^2 s, of
 * which share^2 (s - colluding) is charged. Fewer survivors than sites - dropouts: the attempt is
 * abandoned, nothing is released, and the next attempt draws new noise. One draw enters one sum: a
 * retry never adds it to other data.
 *
 * A sum of discrete Gaussians is not one. Per coordinate the two differ by a factor within
 * e^(+-tau), tau = csl_dp_ddg_tau(share, honest survivors) (their theorem 11), so over a release by
 * e^(+-dimensions tau). The plan refuses shares for which dimensions tau could exceed 2^-50, and
 * the event charges sqrt(dimensions) tau standard deviations as additional sensitivity: their bound
 * Delta / (sqrt(n) sigma) + tau sqrt(d) for the multivariate sum. Where the event is sampled, where
 * they prove nothing, the factor of e^(+-2^-50) a release is all that is left uncharged. Any
 * thread; the noise is the caller's generator's. */
#ifndef CSL_SECAGG_SHARES_H
#define CSL_SECAGG_SHARES_H
#include "privacy/dp/discrete_gaussian.h"
#include "privacy/dp/event.h"

#define CSL_SHARES_TAU_MAX 0x1p-50 /* of dimensions * tau */

struct csl_shares {
    uint32_t sites, colluding, dropouts;
    uint32_t floor;         /* sites - dropouts: the fewest survivors of a release */
    uint64_t dimensions;    /* coordinates of one release */
    double std_units;       /* asked for, in steps of the grid */
    double share_std_units; /* of one site; its square in `gaussian` is not below */
    struct csl_discrete_gaussian gaussian;
};

/* CSL_E_INVAL, naming the field: no honest survivor would be left (colluding + dropouts >= sites),
 * dimensions 0 or above 2^33, std_units so small that tau counts, or so large that a share is above
 * 2^40; CSL_E_NOMEM. Milliseconds. `s` then belongs to csl_shares_release, may be used by many
 * threads at once, and must not be copied. */
enum csl_code csl_shares_plan(struct csl_shares *s, double std_units, uint32_t sites,
                              uint32_t colluding, uint32_t dropouts, uint64_t dimensions,
                              struct csl_err *err) CSL_MUST_CHECK;
void csl_shares_release(struct csl_shares *s);

/* Of all the noise in a sum over `survivors` sites, rounded up: for csl_lanes_headroom (with
 * survivors = sites) and for error bars. */
double csl_shares_sum_std(const struct csl_shares *s, uint32_t survivors);

/* What a release over `survivors` sites is, for the accountants: CSL_DP_DISCRETE_GAUSSIAN with the
 * honest survivors' noise, rounded down, and l2_units and l1_units raised for tau; l2_units and
 * l1_units are the sensitivities of the integers that are summed. The caller fills in sampler,
 * sampling_rate, steps. CSL_E_STATE, `event` untouched: survivors below the floor (never release);
 * CSL_E_INVAL: survivors above `sites`, sensitivities not finite, positive, l1 >= l2. */
enum csl_code csl_shares_event(const struct csl_shares *s, uint32_t survivors, double l2_units,
                               double l1_units, struct csl_dp_event *event,
                               struct csl_err *err) CSL_MUST_CHECK;

#endif
