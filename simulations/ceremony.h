/* simulations/ceremony.h - the ceremony that draws the seed of sparse graphs, for a federation that
 * exists for one run: one process says what every site would. One thread. */
#ifndef CSL_SIM_CEREMONY_H
#define CSL_SIM_CEREMONY_H
#include "privacy/secagg/epoch.h"

/* The key of the site at a place of the roster, into *out. */
typedef enum csl_code (*csl_sim_key_of)(void *ctx, uint32_t place, struct csl_sign_key *out,
                                        struct csl_err *err);

/* Appends what all sites say, in the form of a ceremony's file (privacy/secagg/party.h), and draws
 * the seed. CSL_E_NOMEM; whatever key_of fails with. */
enum csl_code csl_sim_ceremony(const struct csl_secagg_roster *roster, csl_sim_key_of key_of,
                               void *ctx, struct csl_buf *out, uint8_t seed[32],
                               struct csl_err *err) CSL_MUST_CHECK;

#endif
