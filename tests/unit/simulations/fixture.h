/* tests/unit/simulations/fixture.h - a folder that is removed again, and record files small enough
 * to know by heart. */
#ifndef CSL_TEST_SIM_FIXTURE_H
#define CSL_TEST_SIM_FIXTURE_H
#include "protocol/study/study.h"
#include "simulations/world.h"

extern const char *fixture_dir; /* made by fixture_start */
int fixture_start(void **state);
int fixture_stop(void **state); /* removes the folder with everything in it */

struct csl_study *fixture_study(const char *yaml); /* fails the test when it is refused */
/* A record file of one tabular modality with one feature x, a binary label "ill" and the attribute
 * sex, one record per patient: patients are given as text, one letter group each, for example
 * "T0f T1m E1f": split (T train, V validation, E test), label (0, 1, or ? unknown), sex. The
 * feature is label + 0.1 times the position, so that a model can rank. */
void fixture_records(struct csl_world_site *out, const char *site, const char *patients);

#endif
