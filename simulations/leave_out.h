/* simulations/leave_out.h - the study again, once without each site, judged at the site left out.
 */
#ifndef CSL_SIM_LEAVE_OUT_H
#define CSL_SIM_LEAVE_OUT_H
#include "simulations/evaluate.h"

struct csl_leave_out_config {
    const struct csl_sim_data *data; /* of all sites */
    struct csl_trainer *trainer;
    uint64_t seed;
    /* Trains the study without one site. CSL_E_CANCELLED when interrupted. */
    enum csl_code (*federate)(void *ctx, uint32_t left_out, struct csl_world_result *out,
                              struct csl_err *err);
    void *federate_ctx;
    /* What a site with few labels starts from when it trains alone; NULL: drawn from the seed. */
    const float *initial;
    bool asks_few;
};
/* Fills r->transfer: the model of the study without site s on the test patients of s; with asks_few
 * also with its head fitted to a few of the site's training patients as study->personal says, and
 * what the site makes of those alone, as study->baseline says; both with as many epochs more as it
 * takes to make the steps of all the site's training patients. Where nothing can be learned from
 * the few, the head stays and there is no model of the site alone. CSL_E_CANCELLED: r->transfer has
 * no models then. */
enum csl_code csl_leave_out_run(struct csl_result *r, const struct csl_leave_out_config *c,
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
