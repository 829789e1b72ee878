/* site-agent/core/policy.h - what this site refuses, decided by its own configuration alone. */
#ifndef CSL_SITE_POLICY_H
#define CSL_SITE_POLICY_H
#include "privacy/ledger/entry.h"
#include "privacy/secagg/policy.h"
#include "protocol/study/study.h"

#define CSL_POLICY_LIST_MAX 32

enum csl_approval {
    CSL_APPROVAL_REQUIRED, /* only studies whose digest is listed */
    CSL_APPROVAL_AUTOMATIC /* any study the other rules allow: simulations and rehearsals */
};
/* The least that this site asks of sums under masks (privacy/secagg/policy.h). */
struct csl_masked_floors {
    bool has_colluding; /* false: a third of the sites that the signed roster lists as active */
    uint32_t colluding;
    uint32_t minimum_sites;  /* in a sum */
    uint32_t minimum_honest; /* in a sum beyond the study's colluding ones; 2 at least */
    uint32_t audit_chunks;   /* of each sum, that sites check; a study with fewer is refused */
    uint32_t largest_share_permille; /* of one site's weight in a sum; 0: no limit */
};
struct csl_site_policy {
    enum csl_approval approval;
    uint8_t approved[CSL_POLICY_LIST_MAX][CSL_DIGEST_BYTES];
    uint32_t approved_count;
    uint32_t minimum_sites;                           /* a study with fewer is refused */
    char strategies[CSL_POLICY_LIST_MAX][CSL_ID_MAX]; /* allowed; none listed: all */
    uint32_t strategy_count;
    bool refuses_privacy[CSL_PRIVACY_JOINT + 1]; /* by mode; none too, unless the file names it */
    char cohort[CSL_ID_MAX]; /* whose patients the record file holds; budgets name it, or "*" */
    bool allows_large_delta; /* delta of a study not below 1 / patients: each may lose everything */
    bool masked_only;        /* a study without secure aggregation is refused */
    bool refuses_exact_statistics; /* and one that publishes statistics without noise */
    struct csl_masked_floors masked;
    struct csl_ledger_policy ledger; /* budgets, and the digest of this policy */
};
/* CSL_OK, or CSL_E_DENIED with a text that may be shown to the coordinator. */
enum csl_code csl_policy_check(const struct csl_site_policy *p, const struct csl_study *study,
                               struct csl_err *err) CSL_MUST_CHECK;
/* A study with secure aggregation among so many active sites of the signed roster: *out is what the
 * protocol insists on in every round, the study's own numbers where they are stricter than this
 * site's. CSL_E_DENIED as above: what the study says is below a floor. */
enum csl_code csl_policy_check_masked(const struct csl_site_policy *p,
                                      const struct csl_study *study, uint32_t active_sites,
                                      struct csl_secagg_policy *out,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* csl_policy_check once the records were read: delta, of updates and statistics together, against
 * their number of patients (modes local and joint). */
enum csl_code csl_policy_check_delta(const struct csl_site_policy *p, const struct csl_study *study,
                                     uint64_t patients, struct csl_err *err) CSL_MUST_CHECK;

#endif
