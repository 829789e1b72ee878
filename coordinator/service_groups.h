/* coordinator/service_groups.h - counts of test patients by group, added up over sites
 * (service_groups.c). Core thread. Without groups in the study each does nothing. Reports, or
 * opened sums, of the newest model that was judged are added up; close makes figures of what is
 * new. */
#ifndef CSL_SERVICE_GROUPS_H
#define CSL_SERVICE_GROUPS_H
#include "coordinator/service_internal.h"

enum csl_code csl_service_groups_new__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_groups_free__(struct csl_service *s);
void csl_service_groups_add__(struct csl_service *s, uint32_t site, uint64_t round,
                              const struct csl_eval_block *b);
void csl_service_groups_close__(struct csl_service *s);
void csl_service_groups_status__(const struct csl_service *s, struct csl_json *j);

#endif
