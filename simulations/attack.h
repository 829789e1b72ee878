/* simulations/attack.h - a simulated site that means harm, as simulation.sites[].attack says. Only
 * csl_world_run makes one; no daemon links this file. */
#ifndef CSL_SIM_ATTACK_H
#define CSL_SIM_ATTACK_H
#include "site-agent/agent.h"
#include "site-agent/data/dataset.h"

struct csl_sim_attacker {
    const struct csl_sim_attack *attack; /* borrowed from the study */
    char site[CSL_ID_MAX];
    uint64_t seed;
    struct csl_agent_tamper tamper;
};
/* NULL for an honest site, else &a->tamper; a then stays where it is while the agent lives. The
 * patients whose records are changed are drawn by seed, site and domain. */
const struct csl_agent_tamper *csl_sim_attacker_init(struct csl_sim_attacker *a,
                                                     const struct csl_study *study,
                                                     const char *site, uint64_t seed);
/* CSL_OK: no site of the study attacks; else CSL_E_UNSUPPORTED that names the first one which does,
 * for whatever runs the programs of a real federation. */
enum csl_code csl_sim_attack_refuse(const struct csl_study *study,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Index of the trigger in the inputs of a domain that a backdoor can attack; UINT32_MAX: none. */
uint32_t csl_sim_attack_column(const struct csl_sim_attack *a, const struct csl_domain *d);

#endif
