/* simulations/processes.h - the same study as real processes: a consilium-coordinator and one
 * consilium-site per site, mutual TLS on loopback, with an authority and certificates made for this
 * run. Everything lies below the state folder:
 *
 *     study.yaml  roster.yaml  pki/          what was agreed on, who may come, the run's own keys
 *     federation.roster                      in a study with secure aggregation; its keys in pki/
 *     coordinator/coordinator.yaml state/ log
 *     sites/ID/site.yaml state/ log
 *
 * In a study with privacy the noise comes from c->seed only in builds with tests (CSL_TEST_SEEDS);
 * released daemons draw it from the operating system, and the model then differs from run to run.
 */
#ifndef CSL_PROCESSES_H
#define CSL_PROCESSES_H
#include "simulations/world.h"

/* Writes all of the above, ready to be started by hand or by csl_processes_run. A folder that was
 * prepared before is left as it is, so that a run can be resumed; CSL_E_STATE if that was for
 * another study. c->state_dir is required, and a seed that is not 0. */
enum csl_code csl_processes_prepare(const struct csl_world_config *c,
                                    struct csl_err *err) CSL_MUST_CHECK;

/* Prepares, starts every process, waits for the end and collects the result. program_dir: where
 * consilium-coordinator and consilium-site are. A process that dies is not started again: its log's
 * last line is in *err. */
enum csl_code csl_processes_run(const struct csl_world_config *c, const char *program_dir,
                                struct csl_world_result *out, struct csl_err *err) CSL_MUST_CHECK;

/* What the coordinator's state folder holds after a run (csl_processes_run does this itself). */
enum csl_code csl_processes_collect(const struct csl_world_config *c, struct csl_world_result *out,
                                    struct csl_err *err) CSL_MUST_CHECK;

/* Of a study with a gate: rejections of *out, from the coordinator's status.json (the newest that
 * it keeps). CSL_E_CORRUPT. */
enum csl_code csl_sim_take_rejections(const char *status_path, const struct csl_study *study,
                                      struct csl_world_result *out,
                                      struct csl_err *err) CSL_MUST_CHECK;

#endif
