/* Record files: any bytes end in an error that names the file, or in records that keep every rule
 * of record.h. HDF5 is seen through our reader alone. */
#include "base/check.h"
#include "site-agent/data/record_internal.h"
#include "tests/fuzz/fuzz.h"

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
    char path[] = "/tmp/consilium-fuzz-XXXXXX";
    struct csl_err err = {.code = CSL_OK};
    struct csl_records r;
    int fd = mkstemp(path);
    CSL_ASSERT(fd >= 0);
    CSL_ASSERT(size == 0 || write(fd, data, size) == (ssize_t)size);
    close(fd);
    enum csl_code code = csl_records_read(&r, path, &err);
    (void)unlink(path);
    if (code == CSL_OK) {
        CSL_ASSERT(csl_records_validate__(&r, path, CSL_E_BUG, &err) == CSL_OK);
        csl_records_release(&r);
    } else {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG);
        CSL_ASSERT(strstr(err.msg, path) != NULL || code == CSL_E_NOMEM);
    }
    return 0;
}
