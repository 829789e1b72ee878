/* simulations/manifest.h - a study with other rounds or other sites than its file says. A study is
 * immutable and its bytes are what every site is sent, so the change is made in the text. */
#ifndef CSL_SIM_MANIFEST_H
#define CSL_SIM_MANIFEST_H
#include "protocol/study/study.h"

/* rounds 0: as in the file; sites 0: all of the file. Fewer sites: the first ones of the file, and
 * never a larger minimum than there are sites. More: further synthetic hospitals, for a study whose
 * sites are all synthetic. *out is a new study, also when nothing changes. CSL_E_INVAL names what
 * cannot be. */
enum csl_code csl_manifest_adapt(struct csl_study **out, const struct csl_study *study,
                                 const char *name, uint32_t rounds, uint32_t sites,
                                 struct csl_err *err) CSL_MUST_CHECK;

#endif
