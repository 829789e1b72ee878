/* privacy/audit/one_run_internal.h - the bounds of one_run.h for arguments already checked, with a
 * floor: what does not disprove `floor` is told apart by one test and gives `floor` back. */
#ifndef CSL_AUDIT_ONE_RUN_INTERNAL_H
#define CSL_AUDIT_ONE_RUN_INTERNAL_H
#include "privacy/audit/one_run.h"

double csl_one_run__epsilon_above(const struct csl_one_run *g, double delta, double significance,
                                  double floor);
double csl_one_run__mu_above(const struct csl_one_run *g, double significance, double floor);

#endif
