/* simulations/prepare.h - one record file per simulated site, made once and used by every repeat.
 */
#ifndef CSL_SIM_PREPARE_H
#define CSL_SIM_PREPARE_H
#include "simulations/world.h"

struct csl_prepare_config {
    const struct csl_study *study;
    const char *study_path; /* the mapping files lie beside it */
    const char *data_dir;   /* csv, npz and records lie below it */
    const char *out_dir;    /* record files go to OUT/records */
    FILE *progress;         /* NULL: silent */
};
struct csl_prepared {
    struct csl_world_site *sites; /* [count]; owned */
    uint32_t count;
    struct csl_world_site *external; /* [external_count] those that never train; owned */
    uint32_t external_count;
};
/* The mapping files are copied to OUT, so that OUT/study.yaml can be run again. CSL_E_NOTFOUND says
 * which file of which site is missing and where it was looked for. */
enum csl_code csl_prepare_sites(struct csl_prepared *out, const struct csl_prepare_config *c,
                                struct csl_err *err) CSL_MUST_CHECK;
void csl_prepared_release(struct csl_prepared *p);

#endif
