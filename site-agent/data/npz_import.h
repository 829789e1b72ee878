/* site-agent/data/npz_import.h - the second half of csl_import_npz, for callers that have the
 * bytes. */
#ifndef CSL_NPZ_IMPORT_H
#define CSL_NPZ_IMPORT_H
#include "site-agent/data/mapping.h"

enum csl_code csl_import_npz_bytes__(struct csl_records *out, const char *site, const char *name,
                                     struct csl_span bytes, const struct csl_mapping *mapping,
                                     struct csl_err *err) CSL_MUST_CHECK;

#endif
