/* privacy/audit/guesses.h - from scores to guesses to the best bound they support.
 *
 * How many canaries to guess may be chosen from the scores alone, or fixed; chosen by looking at
 * which guesses are right it needs a correction for every choice that was open, or the bound is
 * wrong far more often than promised. Two corrections are offered:
 *   csl_audit_bound           six numbers of guesses fixed in advance, confidence shared equally
 *                             (Bonferroni): the claim of one_run.h holds as a theorem.
 *   csl_audit_bound_frontier  one-sided guesses at every vertex of the hull of (false, true)
 *                             negatives, confidence shared over the vertices, as in other tools.
 *                             Their number depends on the coins, so this is customary and not
 *                             proven: for comparison with published figures only.
 * Any thread. */
#ifndef CSL_AUDIT_GUESSES_H
#define CSL_AUDIT_GUESSES_H
#include "privacy/audit/one_run.h"

#include <stdbool.h>
#include <stddef.h>

/* scores: [count], finite, higher = more likely in; included: [count], the coins. Borrowed. */
struct csl_audit_scores {
    const double *scores;
    const bool *included;
    size_t count;
};

struct csl_audit_bound {
    double epsilon_lower;       /* (epsilon, delta)-DP is disproved below it */
    struct csl_one_run guesses; /* what it follows from */
    double mu_lower;            /* mu-GDP is disproved below it; see csl_one_run_mu */
    double mu_epsilon_lower;    /* the epsilon of mu_lower at delta; 0 where delta is 0 */
    struct csl_one_run mu_guesses;
    uint32_t hypotheses; /* among which the confidence was shared */
};

/* Guesses "in" for the `high` highest scores and "out" for the `low` lowest; equal scores in the
 * order of their index, which the coins do not know. CSL_E_INVAL: no scores, more than
 * CSL_ONE_RUN_CANARIES_MAX, a score not finite, high + low > count; CSL_E_NOMEM. */
enum csl_code csl_audit_guess(const struct csl_audit_scores *s, size_t high, size_t low,
                              struct csl_one_run *out, struct csl_err *err) CSL_MUST_CHECK;
/* 2, 5, 10, 20, 50 and 100 % of the canaries, half of them "in" and half "out". The two bounds are
 * alternatives, each at `confidence`. CSL_E_INVAL: as above, delta not in [0, 1), confidence not in
 * (0, 1); CSL_E_NOMEM. */
enum csl_code csl_audit_bound(const struct csl_audit_scores *s, double delta, double confidence,
                              struct csl_audit_bound *out, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_audit_bound_frontier(const struct csl_audit_scores *s, double delta,
                                       double confidence, struct csl_audit_bound *out,
                                       struct csl_err *err) CSL_MUST_CHECK;

#endif
