/* A plug-in as an older or newer Consilium would have built it. */
#include "site-agent/training/compute/cuda/plugin.h"

__attribute__((visibility("default"))) const struct csl_compute_ops *
csl_cuda_plugin(const struct csl_cuda_host *host)
{
    static struct csl_compute_ops ops;
    ops.abi = host->abi + 1;
    ops.size = host->size;
    ops.name = "cuda";
    return &ops;
}
