/* simulations/run_table.h - the result of a run as a plain text table for a terminal. */
#ifndef CSL_RUN_TABLE_H
#define CSL_RUN_TABLE_H
#include "simulations/result.h"

void csl_run_table(const struct csl_result *r, struct csl_buf *out);

#endif
