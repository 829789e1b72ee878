/* tests/unit/training/backends.h - the backends a test of operations or layers runs on. */
#ifndef CSL_TEST_BACKENDS_H
#define CSL_TEST_BACKENDS_H
#include "site-agent/training/compute/compute.h"

/* All that can run here: the CPU's, the CUDA backend with emulated kernels, and the GPU when there
 * is one. NULL behind the last. */
const struct csl_compute_ops *const *backends(void);
bool is_cpu(const struct csl_compute_ops *ops);

#endif
