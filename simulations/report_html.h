/* simulations/report_html.h - one self-contained HTML page of a run: no script, nothing loaded from
 * elsewhere, readable on a phone, in the dark and on paper. Drawn from the result alone, so
 * `consilium report` can draw it again from summary.json and metrics.csv. */
#ifndef CSL_REPORT_HTML_H
#define CSL_REPORT_HTML_H
#include "simulations/result.h"

#define CSL_REPORT_BYTES_MAX (64u * 1024u * 1024u)

enum csl_code csl_report_html(const struct csl_result *r, struct csl_buf *out,
                              struct csl_err *err) CSL_MUST_CHECK;

#endif
