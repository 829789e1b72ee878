/* cli/study_scale.h - a study whose features are scaled by published statistics. One thread. */
#ifndef CSL_STUDY_SCALE_H
#define CSL_STUDY_SCALE_H
#include "aggregation/statistics/report.h"
#include "protocol/study/study.h"

/* Appends to `out` the study's file, read from `path`, with the centre and scale of every feature
 * that the statistics have, of domains and inputs of the same id, and `scaling: constants` there.
 * Where mean or deviation were not published, the middle and a quarter of the declared range, which
 * costs nothing either. Appends to `told` which constants were used and how well they are known.
 * CSL_E_INVAL: another unit, no domain in common, a feature that only a site could scale, keys that
 * share a line; *out is then of no use. */
enum csl_code csl_cli_study_scale(const struct csl_study *study, const char *path,
                                  const struct csl_statistics_report *report, struct csl_buf *out,
                                  struct csl_buf *told, struct csl_err *err) CSL_MUST_CHECK;

#endif
