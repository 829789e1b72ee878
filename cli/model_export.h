/* cli/model_export.h - a model's parameters for other programs. */
#ifndef CSL_CLI_MODEL_EXPORT_H
#define CSL_CLI_MODEL_EXPORT_H
#include "coordinator/model/model_file.h"

/* NumPy .npz: a zip archive, stored, of one .npy (format 1.0, little-endian float32, row-major) per
 * tensor, named like it. The same model gives the same bytes. CSL_E_LIMIT at 4 GiB. */
enum csl_code csl_cli_export_npz(const struct csl_model_file *m, const char *path,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* block,tensor,index,value: one row per parameter, index row-major within the tensor; nine
 * significant digits, which read back as the same float32. */
enum csl_code csl_cli_export_csv(const struct csl_model_file *m, const char *path,
                                 struct csl_err *err) CSL_MUST_CHECK;

#endif
