/* simulations/ledgers.h - what the sites' privacy ledgers say after a run: exported, verified from
 * the export with the public key alone, and summed up. */
#ifndef CSL_SIM_LEDGERS_H
#define CSL_SIM_LEDGERS_H
#include "privacy/ledger/ledger.h"
#include "simulations/world.h"

/* From an open ledger; c->ledger_dir NULL: neither exported nor verified. A ledger that does not
 * verify is no error: *out says so. */
enum csl_code csl_sim_ledger_take(struct csl_ledger *l, const struct csl_world_config *c,
                                  const char *site, struct csl_world_privacy *out,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* The same from the database a site's process left behind; *out stays absent when there is none. */
enum csl_code csl_sim_ledger_take_file(const char *database, const struct csl_world_config *c,
                                       const char *site, struct csl_world_privacy *out,
                                       struct csl_err *err) CSL_MUST_CHECK;

#endif
