/* simulations/manifest.h - a study with other rounds, sites or privacy than its file says. A study
 * is immutable and its bytes are what every site is sent, so the change is made in the text. */
#ifndef CSL_SIM_MANIFEST_H
#define CSL_SIM_MANIFEST_H
#include "protocol/study/study.h"

/* 0: as in the file. */
struct csl_manifest_change {
    uint32_t rounds;
    /* Fewer: the first ones of the file, and never a larger minimum than there are sites. More:
     * further synthetic hospitals, for a study whose sites are all synthetic. */
    uint32_t sites;
    /* In place of the study's epsilon or noise multiplier; INFINITY: without privacy. Mode, delta
     * and clip stay. */
    double epsilon;
    /* Without this simulated site; the others are the participants then. NULL: with all. */
    const char *left_out;
};
/* *out is a new study, also when nothing changes. CSL_E_INVAL names what cannot be, among it an
 * epsilon for a study without privacy. */
enum csl_code csl_manifest_adapt(struct csl_study **out, const struct csl_study *study,
                                 const char *name, const struct csl_manifest_change *change,
                                 struct csl_err *err) CSL_MUST_CHECK;

#endif
