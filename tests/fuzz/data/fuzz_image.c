/* Image files: any bytes end in an error that names the file, or in pixels of a size that is
 * allowed. */
#include "base/check.h"
#include "site-agent/data/image.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_image i;
    enum csl_code code = csl_image_read(&i, "i", CSL_SPAN(data, size), &err);
    if (code != CSL_OK) {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG);
        CSL_ASSERT(strncmp(err.msg, "i:", 2) == 0 || code == CSL_E_NOMEM);
        return 0;
    }
    CSL_ASSERT(i.channels == 1 || i.channels == 3);
    CSL_ASSERT((uint64_t)i.height * i.width * i.channels <= CSL_IMAGE_VALUES_MAX);
    uint32_t sum = 0;
    for (size_t k = 0; k < (size_t)i.height * i.width * i.channels; k++)
        sum += i.pixels[k]; /* every one is there */
    CSL_ASSERT(sum <= 65535u * CSL_IMAGE_VALUES_MAX);
    csl_image_release(&i);
    return 0;
}
