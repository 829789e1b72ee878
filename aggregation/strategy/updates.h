/* aggregation/strategy/updates.h - what strategies that see single updates share. Inside this
 * folder only; its tests include it too. */
#ifndef CSL_STRATEGY_UPDATES_H
#define CSL_STRATEGY_UPDATES_H
#include "aggregation/strategy/rows.h"

/* x = x + eta D. */
void csl_strategy__apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                         const float *const *mean, float *global, float *const *state);
/* Every update the same: 1 / count. Weights play no part in strategies that a lying site must not
 * sway, or it would claim more patients. */
enum csl_code csl_strategy__choose_all(const struct csl_strategy_config *c,
                                       const struct csl_updates *u, double *coefficients,
                                       struct csl_err *err);
/* One step of AFL's mixture (afl.c). lambda, in place: [count]. CSL_E_STATE: not finite; unchanged.
 */
enum csl_code csl_strategy__afl_step(uint32_t count, double *lambda, const double *losses,
                                     double rate, struct csl_err *err) CSL_MUST_CHECK;
/* Ascending. */
void csl_strategy__sort(float *values, uint32_t count);
double csl_strategy__median_sorted(const float *sorted, uint32_t count);
/* Mean of the `closest` of the sorted values that are nearest to the reference, the lower one of
 * two that are equally near. CSL_E_INVAL: closest is 0 or more than count. */
enum csl_code csl_strategy__closest_mean(double reference, const float *sorted, uint32_t count,
                                         uint32_t closest, double *mean,
                                         struct csl_err *err) CSL_MUST_CHECK;
/* Krum's scores (Blanchard et al. 2017, section 4) among the updates with is_left: the sum of
 * squared distances to the left - f - 2 (at least 1) nearest ones; HUGE_VAL of those not left. */
void csl_strategy__krum_scores(const struct csl_updates *u, const bool *is_left, uint32_t byzantine,
                               double *scores);
/* The smallest score; the first of several. */
uint32_t csl_strategy__least(const double *scores, uint32_t count);

#endif
