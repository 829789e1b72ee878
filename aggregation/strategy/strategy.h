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
    CSL_NEEDS_SUM = 1,     /* works on the secure sum alone */
    CSL_NEEDS_UPDATES = 2, /* must see single updates: refused when secure aggregation is on */
    CSL_NEEDS_FACTORS = 3  /* sums would do, if every site applied a factor of its own (from its
                              loss, or its distance to what is broadcast) before it is summed. Sites
                              do not do that yet: the coordinator does, from single updates, so
                              refused under secure aggregation as well */
};

/* From the study's `aggregation:` section. */
struct csl_strategy_config {
    double server_learning_rate; /* 1 for FedAvg, FedProx, SCAFFOLD */
    double momentum;             /* fedavgm: beta */
    /* fedadam, fedyogi, fedadagrad (no bias correction, v starts at 0) */
    double beta1, beta2, tau;
    double participation; /* scaffold: |cohort| / |sites| in (0, 1] */
    double fairness_q;    /* qffl: q >= 0 */
    double lipschitz;     /* qffl: L > 0, 1 / the sites' learning rate */
    double tilt;          /* term: t */
    double trim;          /* trimmed-mean: share cut off at either end, [0, .5) */
    uint32_t byzantine;   /* krum, multi-krum, bulyan: f, updates that may be arbitrary */
    uint32_t keep;        /* multi-krum: m */
    double mixture_rate;  /* afl: > 0 */
    /* fedbuff, of one block and step: what the buffer's weights are after staleness, by what they
     * were before it; (0, 1] */
    double freshness;
};

/* Sites of a study whose strategy sees single updates: their comparison takes count squared. */
#define CSL_STRATEGY_UPDATES_MAX 256
/* A round's updates of one block, in the order of the sites' ids. */
struct csl_updates {
    uint32_t count;           /* 1..CSL_STRATEGY_UPDATES_MAX */
    const double *weights;    /* [count] of the study, each above 0, of sum 1 */
    const double *losses;     /* [count] mean training loss that each site reports */
    const double *norms2;     /* [count] squared L2 norms; zeros unless the strategy measures */
    const double *distances2; /* [count, count] squared L2 distances, symmetric; likewise */
    double *mixture; /* [count] what the strategy keeps of each site; 0 before its first round */
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
    bool measures;           /* choose reads norms2 and distances2 */
    bool keeps_mixture;      /* choose reads and writes mixture */
    const char *summary;     /* one sentence for `study check` */
    /* One step for `count` consecutive parameters (a block, or a slice of one: a strategy treats
     * each parameter alone). mean: [update_vectors] pointers to [count]; global: [count], in place;
     * state: [state_vectors] pointers to [count], in place, zero before the first round. round
     * counts from 1. */
    void (*apply)(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                  const float *const *mean, float *global, float *const *state);
    /* Not NULL: in place of the weighted mean of the updates, "mean" is what csl_strategy_combine
     * makes of these coefficients, [count], each >= 0; an update with 0 is left out. Of a strategy
     * with one update vector. CSL_E_STATE: too few updates for what the strategy promises; the
     * block then stays as it is. */
    enum csl_code (*choose)(const struct csl_strategy_config *c, const struct csl_updates *u,
                            double *coefficients, struct csl_err *err);
    /* Not NULL: in place of the sum of coefficients times updates. rows: [rows_count] pointers to
     * [count], those with a coefficient above 0; scratch: [rows_count]. */
    void (*combine)(const struct csl_strategy_config *c, uint32_t rows_count,
                    const float *const *rows, uint64_t count, float *scratch, float *mean);
};
/* Adds `count` consecutive parameters to norms2 [rows_count] and distances2 [rows_count squared] of
 * struct csl_updates; zeros before the first slice. The order of slices shows in the last bits. */
void csl_updates_measure(uint32_t rows_count, const float *const *rows, uint64_t count,
                         double *norms2, double *distances2);
/* mean: [count], of the rows whose coefficient is above 0. scratch: [rows_count]; kept_rows:
 * [rows_count], written. */
void csl_strategy_combine(const struct csl_strategy_ops *ops, const struct csl_strategy_config *c,
                          uint32_t rows_count, const double *coefficients, const float *const *rows,
                          const float **kept_rows, uint64_t count, float *scratch, float *mean);

/* Static table in the order shown to people; a row with a NULL name ends it. */
extern const struct csl_strategy_ops *const csl_strategies[];
const struct csl_strategy_ops *csl_strategy_find(const char *name); /* NULL if unknown */

#endif
