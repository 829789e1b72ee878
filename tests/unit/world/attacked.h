/* tests/unit/world/attacked.h - the fixture's federation as a simulation whose first site may
 * attack. */
#ifndef CSL_TEST_WORLD_ATTACKED_H
#define CSL_TEST_WORLD_ATTACKED_H
#include "simulations/world.h"
#include "tests/unit/world/fixture.h"

#define ATTACKED_PARAMETERS 3 /* two weights and a bias */

/* sections: of the study, each with its line feed; attack: of the first site, ", attack: {..}", or
 * "" for an honest one. Fails the test where it is no study. */
struct csl_study *attacked_study(uint32_t rounds, const char *sections, const char *attack);
/* Runs it from seed 7. */
enum csl_code attacked_run(const struct fixture *f, const struct csl_study *study, bool is_unmasked,
                           struct csl_world_result *out, struct csl_err *err);

#endif
