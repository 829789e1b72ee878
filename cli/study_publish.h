/* cli/study_publish.h - the statistics of a study that a coordinator has finished. One thread. */
#ifndef CSL_STUDY_PUBLISH_H
#define CSL_STUDY_PUBLISH_H
#include "aggregation/statistics/report.h"
#include "protocol/study/study.h"

/* state_dir: of a coordinator that is not running. CSL_E_INVAL: another study, or not a study of
 * statistics; CSL_E_STATE: its round is not done; else what reading the folder gives. */
enum csl_code csl_cli_study_publish(const struct csl_study *study, const char *state_dir,
                                    struct csl_statistics_report *out,
                                    struct csl_err *err) CSL_MUST_CHECK;

#endif
