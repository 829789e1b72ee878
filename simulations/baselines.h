/* simulations/baselines.h - what the federated model must be compared with: every site alone, the
 * best of those models, their ensemble, and training on all records in one place. */
#ifndef CSL_SIM_BASELINES_H
#define CSL_SIM_BASELINES_H
#include "simulations/evaluate.h"

/* Trains and evaluates them with study->baseline from the initial parameters and fills
 * r->baselines; r has its sites and domains. A site whose training data has no record, one class or
 * no event is absent with a reason. The pooled model is evaluated on test records scaled as its
 * training records were, as FLamby does. CSL_E_CANCELLED when interrupted. */
struct csl_baselines_config {
    struct csl_sim_data *data; /* the pooled data set is loaded on the first call */
    const struct csl_world_site *sites;
    struct csl_trainer *trainer;
    uint64_t seed;
    const float *initial; /* [P] to start from; NULL: drawn from the seed; borrowed */
    FILE *progress;
    bool (*interrupted)(void *ctx);
    void *interrupted_ctx;
};
enum csl_code csl_baselines_run(struct csl_result *r, const struct csl_baselines_config *c,
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
