/* simulations/federation.h - the keys of a federation that exists for one run: what enrolment makes
 * for hospitals that exist. They are made anew for every run and never leave it; sums under masks
 * do not depend on them. One thread. */
#ifndef CSL_SIM_FEDERATION_H
#define CSL_SIM_FEDERATION_H
#include "privacy/secagg/roster.h"
#include "protocol/study/study.h"
#include "site-agent/agent.h"

struct csl_sim_federation {
    struct csl_sign_key coordinator;
    struct csl_secagg_roster roster;
    bool has_epoch; /* sparse graphs were asked for, and the seed was drawn */
    uint8_t epoch_seed[32];
    struct csl_sign_key *keys;   /* [count] by the order given */
    struct csl_agent_keys *site; /* [count] */
    uint32_t count;
};

/* Of the r->count sites with names and keys, in any order: sorted by name, numbered from 1, active.
 */
void csl_sim_roster_number(struct csl_secagg_roster *r);

/* Without secure aggregation in the study nothing is made. Sites are numbered by their sorted ids.
 * CSL_E_NOMEM; CSL_E_LIMIT: more sites than a complete graph has room for. *out then belongs to
 * csl_sim_federation_release. */
enum csl_code csl_sim_federation_make(struct csl_sim_federation *out, const struct csl_study *study,
                                      const char (*ids)[CSL_ID_MAX], uint32_t count,
                                      struct csl_err *err) CSL_MUST_CHECK;
void csl_sim_federation_release(struct csl_sim_federation *f); /* wiped */
/* NULL where nothing was made. */
const struct csl_agent_keys *csl_sim_federation_site(const struct csl_sim_federation *f,
                                                     uint32_t index);

#endif
