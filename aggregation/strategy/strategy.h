/* aggregation/strategy/strategy.h - from one round's weighted mean to the next global model.
 *
 * Notation (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2): x global model, D = weighted mean of
 * the sites' x_i - x, m and v moments. One row per strategy in table.c; one file each. A strategy
 * states whether it can live with the sum alone; one that needs single updates is refused at study
 * creation when secure aggregation is on. Core thread only. */
#ifndef CSL_STRATEGY_H
#define CSL_STRATEGY_H
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum csl_strategy_needs {
    CSL_NEEDS_SUM = 1,    /* works on the secure sum alone */
    CSL_NEEDS_UPDATES = 2 /* must see single updates: refused when secure aggregation is on */
};

/* From the study's `aggregation:` section. */
struct csl_strategy_config {
    double server_learning_rate; /* 1 for FedAvg, FedProx, SCAFFOLD */
    double momentum;             /* fedavgm: beta */
    /* fedadam, fedyogi, fedadagrad (no bias correction, v starts at 0) */
    double beta1, beta2, tau;
    double participation; /* scaffold: |cohort| / |sites| in (0, 1] */
};

struct csl_strategy_ops {
    const char *name; /* "fedavg" */
    uint32_t needs;
    /* Vectors of P in one upload: 1; scaffold 2 (update, control change). */
    uint32_t update_vectors;
    /* Vectors of P in the broadcast: 1; scaffold 2 (model, server control). */
    uint32_t broadcast_vectors;
    /* float32 vectors of P the strategy keeps between rounds (m, v, c). */
    uint32_t state_vectors;
    bool one_site_per_round; /* cyclic */
    const char *summary;     /* one sentence for `study check` */
    /* One step for `count` consecutive parameters (a block, or a slice of one: a strategy treats
     * each parameter alone). mean: [update_vectors] pointers to [count]; global: [count], in place;
     * state: [state_vectors] pointers to [count], in place, zero before the first round. round
     * counts from 1. */
    void (*apply)(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state);
};
/* Static table in the order shown to people; a row with a NULL name ends it. */
extern const struct csl_strategy_ops *const csl_strategies[];
const struct csl_strategy_ops *csl_strategy_find(const char *name); /* NULL if unknown */

#endif
