/* Bytes from a site: what the coordinator decodes before it trusts anything. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wire/stable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_stable(data, size, CSL_TO_COORDINATOR);
    return 0;
}
