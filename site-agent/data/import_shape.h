/* site-agent/data/import_shape.h - what importers share about the modalities of a mapping: shapes,
 * names and numbers of one record. */
#ifndef CSL_IMPORT_SHAPE_H
#define CSL_IMPORT_SHAPE_H
#include "base/npz.h"
#include "site-agent/data/mapping.h"

/* Axes of one record of `a` (without its first axis) under the kind; the channel of an image, the
 * lead of a signal may be left out. False when they are not those of the kind, too large, or not as
 * many as the features. */
bool csl_import_shape__(const struct csl_map_modality *o, const struct csl_npy *a,
                        struct csl_record_modality *m);
/* Names, units and ranges of the last axis, which m->rank and m->shape already say; nothing for a
 * kind without. */
enum csl_code csl_import_features__(const struct csl_map_modality *o, struct csl_record_modality *m,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* (v - subtract) / divide_by; false when it does not fit float32. NaN stays NaN. */
bool csl_import_value__(const struct csl_map_modality *o, double v, float *out);

#endif
