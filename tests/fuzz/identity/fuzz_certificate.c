/* Certificates as PEM text: any bytes end in CSL_E_CRYPTO or in a name that fits. */
#include "base/check.h"
#include "base/limits.h"
#include "protocol/identity/pki.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_certificate c, before;
    memset(&c, 0x5a, sizeof(c));
    memcpy(&before, &c, sizeof(c));
    enum csl_code code = csl_certificate_parse(&c, CSL_SPAN(data, size), &err);
    if (code != CSL_OK) {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG && code != CSL_E_END);
        CSL_ASSERT(memcmp(&c, &before, sizeof(c)) == 0); /* untouched */
        return 0;
    }
    char site[CSL_ID_MAX];
    CSL_ASSERT(memchr(c.spiffe_id, '\0', sizeof(c.spiffe_id)) != NULL);
    (void)csl_certificate_days_left(&c);
    if (csl_spiffe_site(site, c.spiffe_id, "hospitals.example", &err) == CSL_OK)
        CSL_ASSERT(!csl_spiffe_is_coordinator(c.spiffe_id, "hospitals.example"));
    return 0;
}
