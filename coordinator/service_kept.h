/* coordinator/service_kept.h - models before the newest, of a study that is buffered
 * (service_kept.c); nothing to do in others. Core thread. */
#ifndef CSL_COORD_SERVICE_KEPT_H
#define CSL_COORD_SERVICE_KEPT_H
#include "coordinator/service_internal.h"

#define CSL_SERVICE_KEPT_NAME 32
void csl_service_name_kept__(uint64_t version, char name[CSL_SERVICE_KEPT_NAME]);
/* The newest, if a site is busy with it: before a round changes it. */
enum csl_code csl_service_keep_model__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_trim_spool__(struct csl_service *s);

#endif
