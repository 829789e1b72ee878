/* Model files: any bytes end in an error that names the file, or in a model whose schema, digest
 * and numbers agree. HDF5 is seen through our reader alone. */
#include "base/check.h"
#include "coordinator/model/model_file.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* HDF5 1.10 forgets some of its own memory when it gives up on a damaged file. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct csl_err err = {.code = CSL_OK};
    struct csl_model_file m = {.schema = NULL};
    snprintf(path, sizeof(path), "%s/consilium-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    int fd = mkstemp(path);
    CSL_ASSERT(fd >= 0);
    CSL_ASSERT(size == 0 || write(fd, data, size) == (ssize_t)size);
    close(fd);
    enum csl_code code = csl_model_read(path, NULL, &m, &err);
    (void)unlink(path);
    if (code == CSL_OK) {
        CSL_ASSERT(m.schema != NULL && m.parameters != NULL);
        CSL_ASSERT(m.state_count <= CSL_MODEL_STATE_MAX);
        CSL_ASSERT(memchr(m.info.study, '\0', sizeof(m.info.study)) != NULL);
        for (uint64_t i = 0; i < m.schema->parameters; i++)
            CSL_ASSERT(isfinite(m.parameters[i]));
        for (uint32_t s = 0; s < m.state_count; s++)
            for (uint64_t i = 0; i < m.schema->parameters; i++)
                CSL_ASSERT(isfinite(m.state[s][i]));
        csl_model_file_release(&m);
    } else {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG && code != CSL_E_END);
        CSL_ASSERT(m.schema == NULL && m.parameters == NULL); /* untouched */
        CSL_ASSERT(strstr(err.msg, path) != NULL || code == CSL_E_NOMEM);
    }
    return 0;
}
