/* SPIFFE ids: a trust domain, a line feed, an id. Whatever is taken for a site must be written back
 * as the same text. */
#include "base/check.h"
#include "base/limits.h"
#include "base/str.h"
#include "protocol/identity/pki.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_err err = {.code = CSL_OK};
    char *text = malloc(size + 2), site[CSL_ID_MAX] = "untouched", again[512];
    CSL_ASSERT(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    memset(text + size, 0, 2);
    char *id = strchr(text, '\n');
    if (id == NULL)
        id = text + strlen(text);
    else
        *id++ = '\0';
    bool is_coordinator = csl_spiffe_is_coordinator(id, text);
    enum csl_code code = csl_spiffe_site(site, id, text, &err);
    if (code == CSL_OK) {
        CSL_ASSERT(csl_id_valid(site) && csl_trust_domain_valid(text) && !is_coordinator);
        snprintf(again, sizeof(again), "spiffe://%s/site/%s", text, site);
        CSL_ASSERT(strcmp(again, id) == 0);
    } else {
        CSL_ASSERT(code == CSL_E_UNAUTH && err.code == code);
        CSL_ASSERT(strcmp(site, "untouched") == 0);
    }
    free(text);
    return 0;
}
