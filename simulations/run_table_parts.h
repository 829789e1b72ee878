/* simulations/run_table_parts.h - what the tables on a terminal are made of; used by run_table*.c
 * only. */
#ifndef CSL_RUN_TABLE_PARTS_H
#define CSL_RUN_TABLE_PARTS_H
#include "simulations/result.h"

#define CSL_TABLE_NAME_WIDTH  36
#define CSL_TABLE_VALUE_WIDTH 22
#define CSL_TABLE_SITES_SHOWN 40

void csl_table__name(struct csl_buf *out, const char *name); /* begins a line */
/* One column: "0.812 (0.71-0.89)", or "-". */
void csl_table__value(struct csl_buf *out, bool is_measured, double value, bool has_interval,
                      double low, double high);
void csl_table__metric(struct csl_buf *out, const struct csl_metric *m); /* NULL: not measured */
void csl_table__mean(struct csl_buf *out, bool is_measured, const struct csl_mean *m);
/* "0.8121 +- 0.0034" of a metric over seeds. */
void csl_table__spread(struct csl_buf *out, const struct csl_spread_set *set, const char *metric);
void csl_table__end_line(struct csl_buf *out); /* without the blanks of its last column */
void csl_table__text(struct csl_buf *out, const char *text); /* whole words, line by line */

/* run_table_transfer.c: nothing where nothing was asked for. */
void csl_table__transfer(struct csl_buf *out, const struct csl_result *r);

#endif
