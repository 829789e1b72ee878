/* cli/export/out_file.h - what the writers of exported files share. */
#ifndef CSL_EXPORT_OUT_FILE_H
#define CSL_EXPORT_OUT_FILE_H
#include "base/file.h"
#include "coordinator/model/model_file.h"

#include <stdio.h>

/* Opens PATH.tmp, whose name is left in tmp. */
enum csl_code csl_export__open(const char *path, char tmp[CSL_PATH_MAX], FILE **f,
                               struct csl_err *err) CSL_MUST_CHECK;
/* Closes it and, when code is CSL_OK, makes it PATH; otherwise removes it and returns code. */
enum csl_code csl_export__close(const char *path, const char *tmp, FILE *f, enum csl_code code,
                                struct csl_err *err) CSL_MUST_CHECK;
/* Formats that know no blocks need names that are unique in the whole model. */
enum csl_code csl_export__check_names(const struct csl_schema *s, const char *path,
                                      struct csl_err *err) CSL_MUST_CHECK;

#endif
