/* A plug-in that does not know the program which loads it. */
#include "site-agent/training/compute/cuda/plugin.h"

__attribute__((visibility("default"))) const struct csl_compute_ops *
csl_cuda_plugin(const struct csl_cuda_host *host)
{
    (void)host;
    return NULL;
}
