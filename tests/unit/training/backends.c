#include "tests/unit/training/backends.h"

#include "site-agent/training/compute/cuda/emulated.h"

#include <stddef.h>

static bool has_device(const struct csl_compute_ops *ops)
{
    uint32_t devices = 0;
    return ops != NULL && ops->probe(&devices, NULL) == CSL_OK && devices > 0;
}

const struct csl_compute_ops *const *backends(void)
{
    static const struct csl_compute_ops *all[5];
    size_t n = 0;
    all[n++] = csl_compute_cpu_ref();
    if (csl_compute_cpu_dnnl() != NULL)
        all[n++] = csl_compute_cpu_dnnl();
    all[n++] = csl_compute_cuda_emulated();
    if (has_device(csl_compute_cuda()))
        all[n++] = csl_compute_cuda();
    return all;
}

bool is_cpu(const struct csl_compute_ops *ops)
{
    return ops == csl_compute_cpu_ref() || ops == csl_compute_cpu_dnnl();
}
