/* tests/unit/world/fixture.h - a small federation on disk: three sites, two features, one label. */
#ifndef CSL_TEST_WORLD_FIXTURE_H
#define CSL_TEST_WORLD_FIXTURE_H
#include "base/file.h"
#include "coordinator/service.h"
#include "protocol/transport/inproc.h"
#include "site-agent/agent.h"

#define FIXTURE_SITES 3

struct fixture {
    char dir[64];                              /* removed by fixture_close */
    char records[FIXTURE_SITES][CSL_PATH_MAX]; /* HDF5 files */
    char ids[FIXTURE_SITES][CSL_ID_MAX];
    struct csl_study *study;
};
/* strategy: of the study's aggregation section, with further keys after a comma if it needs them.
 */
void fixture_open(struct fixture *f, const char *strategy, uint32_t rounds);
/* One hospital's record file, its values drawn under the label `index`. */
void fixture_records(const char *path, const char *id, uint32_t index);
/* From now on one patient of four in the file, well or ill, validates, who trained before. */
void fixture_validate(const char *path);
void fixture_close(struct fixture *f);
void fixture_path(const struct fixture *f, const char *name, char out[CSL_PATH_MAX]);
void fixture_remove(const char *path); /* a folder and all in it */

#endif
