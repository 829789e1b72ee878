/* Rosters: any bytes end in an error that names the file, or in sites that are sorted, unique and
 * admitted by their own key alone. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/identity/roster.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_roster(const struct csl_roster *r)
{
    CSL_ASSERT(csl_roster_count(r) <= CSL_SITES_MAX);
    for (size_t i = 0; i < csl_roster_count(r); i++) {
        const struct csl_roster_site *s = csl_roster_at(r, i);
        uint8_t other[CSL_PIN_BYTES];
        CSL_ASSERT(csl_id_valid(s->id));
        CSL_ASSERT(i == 0 || strcmp(csl_roster_at(r, i - 1)->id, s->id) < 0);
        CSL_ASSERT(csl_roster_find(r, s->id) == s);
        CSL_ASSERT(csl_roster_admits(r, s->id, s->pin) == s->is_active);
        memcpy(other, s->pin, sizeof(other));
        other[CSL_PIN_BYTES - 1] ^= 1;
        CSL_ASSERT(!csl_roster_admits(r, s->id, other));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_roster *r = NULL;
    enum csl_code code = csl_roster_parse(&r, "roster.yaml", CSL_SPAN(data, size), &err);
    if (code == CSL_OK) {
        check_roster(r);
        csl_roster_free(r);
    } else {
        CSL_ASSERT(r == NULL && err.code == code && code != CSL_E_BUG && code != CSL_E_END);
        CSL_ASSERT(strstr(err.msg, "roster.yaml") != NULL || code == CSL_E_NOMEM);
    }
    return 0;
}
