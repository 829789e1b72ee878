/* simulations/processes.h - the same study as real processes: a consilium-coordinator and one
 * consilium-site per site, mutual TLS on loopback, with certificates made for this run. */
#ifndef CSL_PROCESSES_H
#define CSL_PROCESSES_H
#include "simulations/world.h"

/* c->state_dir is required: keys, configuration, state and logs of every process lie below it.
 * program_dir: where consilium-coordinator and consilium-site are. */
enum csl_code csl_processes_run(const struct csl_world_config *c, const char *program_dir,
                                struct csl_world_result *out, struct csl_err *err) CSL_MUST_CHECK;

#endif
