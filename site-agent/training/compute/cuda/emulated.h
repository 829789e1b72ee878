/* site-agent/training/compute/cuda/emulated.h - the CUDA backend with its kernels run as loops on
 * the host. For tests: slow, and no name a study can give. */
#ifndef CSL_CUDA_EMULATED_H
#define CSL_CUDA_EMULATED_H
#include "site-agent/training/compute/compute.h"

const struct csl_compute_ops *csl_compute_cuda_emulated(void);

/* Runs blocks, and threads inside a phase, from last to first: no bit of a result may change. Set
 * while no device is open. */
extern bool csl_emulation_backwards;

#endif
