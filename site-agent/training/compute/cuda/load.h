/* site-agent/training/compute/cuda/load.h - the CUDA backend as a library that may be missing. */
#ifndef CSL_CUDA_LOAD_H
#define CSL_CUDA_LOAD_H
#include "site-agent/training/compute/compute.h"

/* Loads the driver (a library's name), then the plug-in at `path`, and leaves both loaded.
 * CSL_E_NOTFOUND: there is no file at `path`; CSL_E_UNSUPPORTED: no driver, no plug-in of ours, or
 * one built for other numbers. Nothing stays loaded that is refused. */
enum csl_code csl_cuda_load(const char *driver, const char *path,
                            const struct csl_compute_ops **out, struct csl_err *err) CSL_MUST_CHECK;

/* Where it is looked for: ../lib/consilium/libconsilium_cuda.so from the folder of the running
 * program, installed and in the build folder. CSL_E_IO or CSL_E_LIMIT: that cannot be told. */
#define CSL_CUDA_PLUGIN_FILE "../lib/consilium/libconsilium_cuda.so"
enum csl_code csl_cuda_plugin_path(char *path, size_t size, struct csl_err *err) CSL_MUST_CHECK;

/* Why csl_compute_cuda() is NULL, as a part of a sentence; "" when it is not. Any thread. */
const char *csl_cuda_refusal(void);

#endif
