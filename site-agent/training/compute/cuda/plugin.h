/* site-agent/training/compute/cuda/plugin.h - the border between the program and
 * libconsilium_cuda.so. Plain C: the plug-in links CUDA and nothing of the program, the program
 * links nothing of CUDA. */
#ifndef CSL_CUDA_PLUGIN_H
#define CSL_CUDA_PLUGIN_H
#include "site-agent/training/compute/compute.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What the program lends the plug-in. Lives as long as the process. */
struct csl_cuda_host {
    uint32_t abi, size;           /* CSL_COMPUTE_ABI, sizeof(struct csl_compute_ops) */
    uint32_t host_size;           /* sizeof(struct csl_cuda_host) */
    void *(*alloc)(size_t bytes); /* csl_alloc: zeroed, NULL when out of memory */
    void (*free)(void *p);
    enum csl_code (*fail)(struct csl_err *e, enum csl_code code, int sys_errno, const char *file,
                          int line, const char *fmt, ...);                     /* csl_err_set_ */
    void (*assert_failed)(const char *expression, const char *file, int line); /* no way back */
};

/* The one function the plug-in exports. NULL when the numbers in *host are not its own. The caller
 * checks abi and size of what it gets as well. */
#define CSL_CUDA_PLUGIN_SYMBOL "csl_cuda_plugin"
const struct csl_compute_ops *csl_cuda_plugin(const struct csl_cuda_host *host);

#ifdef __cplusplus
}
#endif
#endif
