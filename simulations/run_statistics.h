/* simulations/run_statistics.h - from the sum of a census to figures with names, for a
 * simulation and for a coordinator's operator. */
#ifndef CSL_RUN_STATISTICS_H
#define CSL_RUN_STATISTICS_H
#include "aggregation/statistics/report.h"
#include "simulations/world.h"

/* mean: [P] what the study's one round left, the mean of the sites in the sum, all alike.
 * sites: [count] what each of them sent. The noise in a domain's sum is that of the plans that the
 * study prescribes to these sites. Errors as csl_privacy_plan_make, CSL_E_NOMEM; *out is untouched.
 */
enum csl_code csl_statistics_publish(struct csl_statistics_report *out,
                                     const struct csl_study *study, const float *mean,
                                     const struct csl_world_blocks *sites, uint32_t count,
                                     struct csl_err *err) CSL_MUST_CHECK;

#endif
