#include "site-agent/core/policy.h"

#include <string.h>

static bool is_approved(const struct csl_site_policy *p, const uint8_t digest[CSL_DIGEST_BYTES])
{
    for (uint32_t i = 0; i < p->approved_count; i++)
        if (memcmp(p->approved[i], digest, CSL_DIGEST_BYTES) == 0)
            return true;
    return false;
}

static bool allows_strategy(const struct csl_site_policy *p, const char *name)
{
    for (uint32_t i = 0; i < p->strategy_count; i++)
        if (strcmp(p->strategies[i], name) == 0)
            return true;
    return p->strategy_count == 0;
}

enum csl_code csl_policy_check(const struct csl_site_policy *p, const struct csl_study *study,
                               struct csl_err *err)
{
    if (p->approval == CSL_APPROVAL_REQUIRED && !is_approved(p, study->digest))
        return CSL_FAIL(err, CSL_E_DENIED, "this site has not approved the study");
    if (study->minimum_sites < p->minimum_sites)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the study allows %u sites in a round; this site asks for %u",
                        study->minimum_sites, p->minimum_sites);
    if (!allows_strategy(p, study->aggregation.strategy))
        return CSL_FAIL(err, CSL_E_DENIED, "this site does not allow the strategy %s",
                        study->aggregation.strategy);
    return CSL_OK;
}
