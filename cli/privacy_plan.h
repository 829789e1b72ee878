/* cli/privacy_plan.h - what `consilium privacy plan` computes before it prints. One thread. */
#ifndef CSL_CLI_PRIVACY_PLAN_H
#define CSL_CLI_PRIVACY_PLAN_H
#include "cli/privacy.h"
#include "site-agent/training/privacy_plan.h"

/* A site's noise within the weighted mean of one round, in one domain. */
struct csl_plan_noise {
    bool is_there;
    double weight; /* of its update, weights of all sites summing to 1 */
    double std; /* per parameter of the mean, of this site alone, in a round at the full rate of any
                  schedule; NAN: not known (Adam) */
    double share; /* of the variance of all sites together */
};
struct csl_plan_site {
    char id[CSL_ID_MAX];
    uint64_t patients[CSL_BLOCKS_MAX + 1]; /* as csl_privacy_plan_make takes them */
    uint64_t total;                        /* over its domains: at most so many patients */
    struct csl_privacy_plan plan;
    uint64_t lasts; /* rounds its budget pays for, at most those of the study */
    struct csl_plan_noise noise[CSL_DOMAINS_MAX];
    bool has_large_delta; /* delta is not below one over its patients */
};
struct csl_plan {
    const struct csl_study *study; /* overrides applied; borrowed */
    bool is_noise_fixed;           /* else every site solved for its own */
    double budget;                 /* epsilon every site may spend; 0: none is stated */
    struct csl_plan_site *sites;   /* [count]; owned */
    uint32_t count;
    uint32_t first_out;  /* the site whose budget ends first, or that spends most */
    uint32_t *survivors; /* [survivor_count] sites in the sums that were opened; owned */
    uint32_t survivor_count;
    uint32_t smallest[CSL_DOMAINS_MAX]; /* the site with the fewest patients; UINT32_MAX: none */
};

/* Sites, with their training patients: from text "SITE=N,..." when it is not empty (every domain of
 * the study), else from the records of the study's simulated sites, which are made in a folder of
 * their own and removed again. CSL_E_INVAL, CSL_E_NOTFOUND name what is missing. */
enum csl_code csl_plan_find_sites(struct csl_plan *p, const char *study_path,
                                  const struct csl_privacy_flags *flags,
                                  struct csl_err *err) CSL_MUST_CHECK;
void csl_plan_release(struct csl_plan *p);
/* Epsilon of one site after `rounds` rounds. */
enum csl_code csl_plan_epsilon(const struct csl_plan *p, uint32_t site, uint64_t rounds,
                               double *epsilon, struct csl_err *err) CSL_MUST_CHECK;

enum csl_code csl_plan_text(const struct csl_plan *p, struct csl_buf *out,
                            struct csl_err *err) CSL_MUST_CHECK;
/* Prices every round of every site: shows progress on stderr. */
enum csl_code csl_plan_json(const struct csl_plan *p, struct csl_buf *out,
                            struct csl_err *err) CSL_MUST_CHECK;
/* Reads "N,N,..." into p->survivors; "" leaves it empty. CSL_E_INVAL: another mode than joint, more
 * numbers than rounds, a number that no sum of the study can have. */
enum csl_code csl_plan_take_survivors(struct csl_plan *p, const char *text,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* After each round: what the sums cost the coordinator alone, it with the colluding sites, and as
 * planned. Nothing without survivors. */
enum csl_code csl_plan_survivors_text(const struct csl_plan *p, struct csl_buf *out,
                                      struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_plan_survivors_json(const struct csl_plan *p, struct csl_json *j,
                                      struct csl_err *err) CSL_MUST_CHECK; /* member "realised" */

#endif
