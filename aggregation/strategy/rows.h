/* aggregation/strategy/rows.h - the rows of table.c, one per file. Inside this folder only. */
#ifndef CSL_STRATEGY_ROWS_H
#define CSL_STRATEGY_ROWS_H
#include "aggregation/strategy/strategy.h"

extern const struct csl_strategy_ops csl_strategy__fedavg;
extern const struct csl_strategy_ops csl_strategy__fedavgm;
extern const struct csl_strategy_ops csl_strategy__fedbuff;
extern const struct csl_strategy_ops csl_strategy__fedadagrad;
extern const struct csl_strategy_ops csl_strategy__fedadam;
extern const struct csl_strategy_ops csl_strategy__fedyogi;
extern const struct csl_strategy_ops csl_strategy__fedprox;
extern const struct csl_strategy_ops csl_strategy__fednova;
extern const struct csl_strategy_ops csl_strategy__scaffold;
extern const struct csl_strategy_ops csl_strategy__cyclic;
extern const struct csl_strategy_ops csl_strategy__qffl;
extern const struct csl_strategy_ops csl_strategy__term;
extern const struct csl_strategy_ops csl_strategy__afl;
extern const struct csl_strategy_ops csl_strategy__median;
extern const struct csl_strategy_ops csl_strategy__trimmed_mean;
extern const struct csl_strategy_ops csl_strategy__krum;
extern const struct csl_strategy_ops csl_strategy__multi_krum;
extern const struct csl_strategy_ops csl_strategy__bulyan;
extern const struct csl_strategy_ops csl_strategy__geometric_median;

/* x = x + rate * D, in double and rounded once: the server step of every strategy without moments.
 */
static inline void csl_strategy__step(double rate, uint64_t count, const float *mean, float *global)
{
    for (uint64_t i = 0; i < count; i++)
        global[i] = (float)((double)global[i] + rate * (double)mean[i]);
}

#endif
