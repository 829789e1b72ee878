/* privacy/audit/canary.h - fictitious patients whose gradients a training loop cannot help.
 *
 * Canary i has a fixed direction v_i of length 1. Its per-patient gradient is v_i scaled to
 * CSL_CANARY_GAIN times the clipping norm, so that the loop's own clip must act before one canary
 * weighs what it may; a missing clip shows in the scores. Where there are at least as many
 * parameters as canaries the directions are coordinates, spread evenly and orthogonal. Otherwise
 * they are uniformly random: they overlap and each canary is noise to the others. The bound stays
 * valid, because the claim needs independent coins and not independent scores, but it weakens as
 * the root of parameters / canaries: take no more canaries than parameters, and for small models
 * pool the scores of several runs instead (csl_canaries_scores; every run of its own canaries is
 * one block of a mechanism with the same promise).
 *
 * Use, in a loop with differential privacy:
 *   1. csl_canaries_new with a generator keyed from the operating system.
 *   2. For every i with csl_canaries_is_included: one patient more, i as its key, that passes the
 *      loop's own sampler, clip, rounding and noise like everybody. The others do not exist, but
 *      public numbers (slots, the expected batch) count all `count` of them: how many are in is as
 *      secret as the coins.
 *   3. After each step csl_canaries_score with the noisy sum that is released (before it is divided
 *      by the expected batch, or after: a fixed factor changes nothing). Sharper, and still a bound
 *      since the adversary of the definition knows everybody else: with the clipped sum of the real
 *      patients subtracted.
 *   4. csl_canaries_result.
 * The coins are a secret until the run is over. Memory: 1 byte a canary and 8 for each coordinate
 * that is scored, min(canaries, parameters); directions are computed again from a labelled stream.
 * One thread. */
#ifndef CSL_AUDIT_CANARY_H
#define CSL_AUDIT_CANARY_H
#include "privacy/audit/guesses.h"
#include "privacy/crypto/rng.h"

#define CSL_CANARY_GAIN 8.0

struct csl_canaries;

struct csl_audit_result {
    double epsilon_lower, mu_lower, mu_epsilon_lower; /* as in struct csl_audit_bound */
    double delta, confidence;
    uint32_t canaries;
    uint64_t guesses, correct; /* behind epsilon_lower; 0 where nothing was disproved */
    uint64_t steps;            /* scored */
};

/* CSL_E_INVAL: count not in 1 to CSL_ONE_RUN_CANARIES_MAX, no parameters, clip not finite and
 * positive; CSL_E_NOMEM. */
enum csl_code csl_canaries_new(struct csl_canaries **out, struct csl_rng *rng, uint32_t count,
                               size_t parameters, double clip, struct csl_err *err) CSL_MUST_CHECK;
void csl_canaries_free(struct csl_canaries *c); /* NULL allowed */
uint32_t csl_canaries_count(const struct csl_canaries *c);
bool csl_canaries_is_included(const struct csl_canaries *c, uint32_t i);
/* out: [parameters]. */
void csl_canaries_gradient(const struct csl_canaries *c, uint32_t i, float *out);

/* noisy_sum: [parameters]. CSL_E_INVAL: a number that is not finite; the scores are as before. */
enum csl_code csl_canaries_score(struct csl_canaries *c, const double *noisy_sum,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_canaries_score_f32(struct csl_canaries *c, const float *noisy_sum,
                                     struct csl_err *err) CSL_MUST_CHECK;

/* The inner products of all sums handed in with the directions, and the coins. scores, included:
 * [count]. CSL_E_NOMEM. */
enum csl_code csl_canaries_scores(const struct csl_canaries *c, double *scores, bool *included,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* csl_audit_bound of these scores. CSL_E_STATE: no step was scored; CSL_E_INVAL: delta not in
 * [0, 1), confidence not in (0, 1); CSL_E_NOMEM. */
enum csl_code csl_canaries_result(const struct csl_canaries *c, double delta, double confidence,
                                  struct csl_audit_result *out, struct csl_err *err) CSL_MUST_CHECK;

#endif
