#include "site-agent/training/compute/cuda/load.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "site-agent/training/compute/cuda/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DRIVER "libcuda.so.1"

typedef const struct csl_compute_ops *plugin_function(const struct csl_cuda_host *host);

static const struct csl_cuda_host host = {.abi = CSL_COMPUTE_ABI,
                                          .size = sizeof(struct csl_compute_ops),
                                          .host_size = sizeof(struct csl_cuda_host),
                                          .alloc = csl_alloc,
                                          .free = csl_free,
                                          .fail = csl_err_set_,
                                          .assert_failed = csl_assert_failed_};

static const char *why_not(void)
{
    const char *text = dlerror();
    return text != NULL ? text : "no reason given";
}

static enum csl_code ask_plugin(void *library, const char *path, const struct csl_compute_ops **out,
                                struct csl_err *err)
{
    void *symbol = dlsym(library, CSL_CUDA_PLUGIN_SYMBOL);
    plugin_function *function;
    if (symbol == NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s is no plug-in of Consilium: no %s in it", path,
                        CSL_CUDA_PLUGIN_SYMBOL);
    memcpy(&function, &symbol, sizeof(function)); /* ISO C has no cast between the two */
    const struct csl_compute_ops *ops = function(&host);
    if (ops == NULL || ops->abi != host.abi || ops->size != host.size)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s was built for another version of Consilium than this program "
                        "(interface %u, table of %u bytes)",
                        path, host.abi, host.size);
    *out = ops;
    return CSL_OK;
}

enum csl_code csl_cuda_load(const char *driver, const char *path,
                            const struct csl_compute_ops **out, struct csl_err *err)
{
    if (access(path, F_OK) != 0)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "the CUDA plug-in is not installed: no %s", path);
    void *driver_library = dlopen(driver, RTLD_NOW | RTLD_LOCAL);
    if (driver_library == NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "no NVIDIA driver on this machine: %s", why_not());
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    enum csl_code code = CSL_OK;
    if (library == NULL)
        code = CSL_FAIL(err, CSL_E_UNSUPPORTED, "the CUDA plug-in cannot be loaded: %s", why_not());
    else
        code = ask_plugin(library, path, out, err);
    if (code != CSL_OK && library != NULL)
        dlclose(library);
    if (code != CSL_OK)
        dlclose(driver_library);
    return code;
}

enum csl_code csl_cuda_plugin_path(char *path, size_t size, struct csl_err *err)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 1);
    if (n < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "the folder of this program is unknown");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    size_t used = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (used == 0 || used + sizeof(CSL_CUDA_PLUGIN_FILE) > size)
        return CSL_FAIL(err, CSL_E_LIMIT, "the path of this program is too long");
    memcpy(path + used, CSL_CUDA_PLUGIN_FILE, sizeof(CSL_CUDA_PLUGIN_FILE));
    return CSL_OK;
}

static const struct csl_compute_ops *loaded;
static struct csl_err refusal;

/* Once per process. A machine without the plug-in is the ordinary case; one that has it wants it.
 */
static void load(void)
{
    char path[4096];
    enum csl_code code = csl_cuda_plugin_path(path, sizeof(path), &refusal);
    if (code == CSL_OK)
        code = csl_cuda_load(DRIVER, path, &loaded, &refusal);
    if (code != CSL_OK)
        csl_log_err(code == CSL_E_NOTFOUND ? CSL_LOG_DEBUG : CSL_LOG_WARN, "compute.no_cuda",
                    &refusal);
}

const struct csl_compute_ops *csl_compute_cuda(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    return pthread_once(&once, load) == 0 ? loaded : NULL;
}

const char *csl_cuda_refusal(void)
{
    return csl_compute_cuda() == NULL ? refusal.msg : "";
}
