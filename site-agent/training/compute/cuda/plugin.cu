/* libconsilium_cuda.so: the CUDA backend and the one function it exports. */
#include "site-agent/training/compute/cuda/run_gpu.cuh"
#include "site-agent/training/compute/cuda/table.h"

extern "C" __attribute__((visibility("default"))) const struct csl_compute_ops *
csl_cuda_plugin(const struct csl_cuda_host *host)
{
    if (host == NULL || host->abi != CSL_COMPUTE_ABI ||
        host->size != sizeof(struct csl_compute_ops) ||
        host->host_size != sizeof(struct csl_cuda_host))
        return NULL;
    csl_cuda_host = host;
    return &csl_cuda_ops;
}
