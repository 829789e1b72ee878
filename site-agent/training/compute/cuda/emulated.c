#include "site-agent/training/compute/cuda/emulated.h"

#include "base/check.h"
#include "base/mem.h"
#include "site-agent/training/compute/cuda/run_emulated.h"
#include "site-agent/training/compute/cuda/table.h"

bool csl_emulation_backwards;

const struct csl_compute_ops *csl_compute_cuda_emulated(void)
{
    static const struct csl_cuda_host host = {.abi = CSL_COMPUTE_ABI,
                                              .size = sizeof(struct csl_compute_ops),
                                              .host_size = sizeof(struct csl_cuda_host),
                                              .alloc = csl_alloc,
                                              .free = csl_free,
                                              .fail = csl_err_set_,
                                              .assert_failed = csl_assert_failed_};
    csl_cuda_host = &host;
    return &csl_cuda_ops;
}
