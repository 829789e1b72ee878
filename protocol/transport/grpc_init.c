/* protocol/transport/grpc_init.c - what must be true of the process before gRPC starts. */
#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "protocol/transport/grpc_internal.h"

#include <grpc/support/log.h>
#include <stdlib.h>
#include <string.h>

extern char **environ; /* POSIX: declared by the program */

/* Everything that would let the environment change policy: gRPC's own switches (plug-ins, xDS,
 * ALTS, cipher lists, roots) and the proxy variables its HTTP client reads. */
static bool is_unwanted(const char *entry)
{
    static const char *const names[] = {
        "http_proxy=", "https_proxy=", "grpc_proxy=", "no_proxy=", "no_grpc_proxy="};
    if (strncmp(entry, "GRPC_", 5) == 0 || strncmp(entry, "grpc_", 5) == 0)
        return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void scrub_environment(void)
{
    for (size_t i = 0; environ != NULL && environ[i] != NULL;) {
        char name[128];
        size_t n = strcspn(environ[i], "=");
        if (!is_unwanted(environ[i]) || n >= sizeof(name)) {
            i++;
            continue;
        }
        memcpy(name, environ[i], n);
        name[n] = '\0';
        if (unsetenv(name) != 0)
            i++; /* otherwise the array moved down */
    }
}

/* gRPC calls a refused handshake an error; to us it is something someone might have to act on. */
static void forward_log(gpr_log_func_args *args)
{
    enum csl_log_level level =
        args->severity == GPR_LOG_SEVERITY_ERROR ? CSL_LOG_WARN : CSL_LOG_DEBUG;
    const char *file = strrchr(args->file, '/');
    csl_log(level, "grpc.core", CSL_STR("text", args->message),
            CSL_STR("file", file == NULL ? args->file : file + 1), CSL_I64("line", args->line));
}

enum csl_code csl_grpc_init(struct csl_err *err)
{
    /* Core version 29 is gRPC 1.51; its C interface is not stable across versions. */
    const char *version = grpc_version_string();
    if (strncmp(version, "29.", 3) != 0)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "gRPC core is version %s; 29 (gRPC 1.51) would be right", version);
    if (!grpc_is_initialized()) {
        scrub_environment();
        enum csl_code code = csl_grpc__require_tls13(err);
        if (code != CSL_OK)
            return code;
        gpr_set_log_function(forward_log);
        gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    }
    grpc_init();
    return CSL_OK;
}

void csl_grpc_shutdown(void)
{
    grpc_shutdown();
}
