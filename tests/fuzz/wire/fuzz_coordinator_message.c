/* Bytes from a coordinator: a site trusts it no more than it trusts a site. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wire/stable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_stable(data, size, CSL_TO_SITE);
    return 0;
}
