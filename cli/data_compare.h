/* cli/data_compare.h - what a site finds when it compares itself with the published statistics of
 * the federation: at home, from its own record file. Nothing leaves. One thread. */
#ifndef CSL_DATA_COMPARE_H
#define CSL_DATA_COMPARE_H
#include "aggregation/statistics/report.h"
#include "base/buf.h"
#include "protocol/study/study.h"

/* The site's training patients counted as the census counts them, beside what the
 * study published. *differences: findings that a person should look at. Own figures of fewer
 * patients than the study's minimum_cell are not printed either. CSL_E_INVAL: not a study of
 * statistics, or the statistics are of another one; else what csl_dataset_load says, e.g. that a
 * unit is another. */
enum csl_code csl_cli_data_compare(const char *record_path, const struct csl_study *study,
                                   const struct csl_statistics_report *report, struct csl_buf *out,
                                   uint32_t *differences, struct csl_err *err) CSL_MUST_CHECK;

#endif
