/* privacy/audit/one_run.h - a lower bound on epsilon from one training run.
 *
 * `canaries` fictitious patients are each put into the data or left out by a fair coin of their
 * own. From what the mechanism released somebody guesses `guesses` of the coins and abstains on the
 * others; `correct` guesses are right. A mechanism that keeps its promise allows only so many right
 * guesses: more of them disprove the promise, and the largest epsilon disproved is the bound.
 *
 * CLAIM: if the mechanism is (epsilon, delta)-DP for adding or removing one canary, the bound
 * exceeds epsilon with probability at most 1 - confidence. ASSUMPTION: the coins are independent,
 * fair and unknown to whoever chose the directions, scored and fixed the number of guesses. Nothing
 * is assumed about the scores, which may depend on each other. A bound far below the promise is
 * normal and proves nothing about safety: README.md.
 *
 * SOURCE: Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run" (2023), theorem
 * 5.2; Mahloujifar, Melis, Chaudhuri, "Auditing f-differential privacy in one run" (2024). Any
 * thread; no allocation. */
#ifndef CSL_AUDIT_ONE_RUN_H
#define CSL_AUDIT_ONE_RUN_H
#include "base/err.h"

#include <stdint.h>

struct csl_one_run {
    uint64_t canaries; /* at most CSL_ONE_RUN_CANARIES_MAX */
    uint64_t guesses;  /* fixed before the coins are looked at; at most canaries */
    uint64_t correct;  /* at most guesses */
};
#define CSL_ONE_RUN_CANARIES_MAX 10000000u

/* An upper bound on the probability of at least `correct` right guesses under (epsilon, delta)-DP.
 * CSL_E_INVAL: counts that contradict each other, epsilon not in [0, 500], delta not in [0, 1]. */
enum csl_code csl_one_run_p_value(const struct csl_one_run *g, double epsilon, double delta,
                                  double *out, struct csl_err *err) CSL_MUST_CHECK;
/* The largest epsilon disproved at `confidence`, rounded down by at most 2e-10; 0: none.
 * CSL_E_INVAL: as above, or confidence not in (0, 1). */
enum csl_code csl_one_run_epsilon(const struct csl_one_run *g, double delta, double confidence,
                                  double *out, struct csl_err *err) CSL_MUST_CHECK;
/* The largest mu for which mu-GDP (the trade-off curve of N(0, 1) against N(mu, 1); Dong, Roth, Su
 * 2022) is disproved at `confidence`, rounded down likewise; 0: none. Tighter than the above. It
 * speaks of mechanisms whose promise is a Gaussian trade-off curve, such as full batches: for a
 * subsampled one compare mu with the mu of a curve that lies below the promised one. */
enum csl_code csl_one_run_mu(const struct csl_one_run *g, double confidence, double *out,
                             struct csl_err *err) CSL_MUST_CHECK;
/* The epsilon of mu-GDP at delta (Balle and Wang 2018), rounded down by at most 2e-10: for stating
 * a mu that was disproved. 0 where mu is 0. CSL_E_INVAL: mu not in [0, 30], delta not in (0, 1). */
enum csl_code csl_one_run_gaussian_epsilon(double mu, double delta, double *out,
                                           struct csl_err *err) CSL_MUST_CHECK;

#endif
