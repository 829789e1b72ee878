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
    if (p->refuses_privacy[study->privacy.mode])
        return CSL_FAIL(err, CSL_E_DENIED, "this site does not allow privacy mode %s",
                        csl_privacy_mode_name(study->privacy.mode));
    if (p->masked_only && !study->secagg.is_on)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "this site takes part in studies with secure aggregation only");
    if (p->refuses_exact_statistics && study->statistics.is_on && !(study->statistics.epsilon > 0))
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the study publishes exact statistics; this site gives statistics with "
                        "noise only");
    if (!allows_strategy(p, study->aggregation.strategy))
        return CSL_FAIL(err, CSL_E_DENIED, "this site does not allow the strategy %s",
                        study->aggregation.strategy);
    return CSL_OK;
}

enum csl_code csl_policy_check_masked(const struct csl_site_policy *p,
                                      const struct csl_study *study, uint32_t active_sites,
                                      struct csl_secagg_policy *out, struct csl_err *err)
{
    const struct csl_masked_floors *f = &p->masked;
    const struct csl_study_secagg *a = &study->secagg;
    uint32_t colluding = f->has_colluding ? f->colluding : active_sites / 3;
    uint32_t honest = f->minimum_honest < 2 ? 2 : f->minimum_honest;
    uint32_t share = f->largest_share_permille == 0 ? 1000 : f->largest_share_permille;
    if (a->colluding < colluding)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the study assumes at most %u colluding sites; this site asks for %u%s",
                        a->colluding, colluding,
                        f->has_colluding ? "" : ", a third of the sites of the federation");
    if (a->minimum_sites < f->minimum_sites)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the study opens sums of %u sites; this site asks for %u", a->minimum_sites,
                        f->minimum_sites);
    if (a->minimum_sites < (uint64_t)a->colluding + honest)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the study opens sums of %u sites, %u of which may collude; this site asks "
                        "for %u honest ones in every sum",
                        a->minimum_sites, a->colluding, honest);
    if (a->audit_chunks < f->audit_chunks)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "in the study sites check %u chunks of a sum; this site asks for %u",
                        a->audit_chunks, f->audit_chunks);
    if ((uint64_t)a->minimum_sites * share < 1000)
        return CSL_FAIL(
            err, CSL_E_DENIED,
            "in a sum of %u sites one has more than %u permille of the weight, the most "
            "that this site allows",
            a->minimum_sites, share);
    *out = (struct csl_secagg_policy){.colluding = a->colluding,
                                      .survivors_min = a->minimum_sites,
                                      .honest_min = honest,
                                      .effective_min = a->colluding + honest,
                                      .weight_share_max_permille = share};
    return CSL_OK;
}

enum csl_code csl_policy_check_delta(const struct csl_site_policy *p, const struct csl_study *study,
                                     uint64_t patients, struct csl_err *err)
{
    bool is_of_patients =
        study->privacy.mode == CSL_PRIVACY_LOCAL || study->privacy.mode == CSL_PRIVACY_JOINT;
    double delta = study->privacy.delta;
    if (study->statistics.is_on) /* two plans, which a ledger adds */
        delta += study->statistics.delta;
    if (!is_of_patients || p->allows_large_delta || delta * (double)patients < 1.0)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_DENIED,
                    "delta %g is not below one over this site's number of patients, so the promise "
                    "could be kept while giving a patient away; this site does not allow that",
                    delta);
}
