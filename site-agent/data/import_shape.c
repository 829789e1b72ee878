#include "site-agent/data/import_shape.h"

#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/banned.h"

bool csl_import_shape__(const struct csl_map_modality *o, const struct csl_npy *a,
                        struct csl_record_modality *m)
{
    const struct csl_kind *kind = &csl_kinds__[o->kind];
    bool may_gain = o->kind == CSL_IMAGE2D || o->kind == CSL_SIGNAL || o->kind == CSL_IMAGE3D;
    uint32_t have = a->rank - 1;
    if (have != kind->rank && !(may_gain && have + 1 == kind->rank))
        return false;
    m->rank = kind->rank;
    for (uint32_t i = 0; i < kind->rank; i++) {
        uint64_t extent = i < have ? a->shape[i + 1] : 1;
        if (extent == 0 || extent > CSL_FEATURES_MAX)
            return false;
        m->shape[i] = (uint32_t)extent;
    }
    return csl_modality_width__(m) <= CSL_FEATURES_MAX &&
           (!kind->is_named || m->shape[kind->rank - 1] == o->feature_count);
}

enum csl_code csl_import_features__(const struct csl_map_modality *o, struct csl_record_modality *m,
                                    struct csl_err *err)
{
    uint32_t count = o->feature_count;
    if (count == 0)
        return CSL_OK;
    m->feature_names = csl_alloc_array(count, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(count, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(count, sizeof(double));
    m->range_max = csl_alloc_array(count, sizeof(double));
    if (!m->feature_names || !m->feature_units || !m->range_min || !m->range_max)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u features of %s", count, o->name);
    for (uint32_t k = 0; k < count; k++) {
        const struct csl_map_feature *f = &o->feature_list[k];
        memcpy(m->feature_names[k], f->name, sizeof(m->feature_names[k]));
        memcpy(m->feature_units[k], f->unit, sizeof(m->feature_units[k]));
        m->range_min[k] = f->range_min;
        m->range_max[k] = f->range_max;
    }
    return CSL_OK;
}

bool csl_import_value__(const struct csl_map_modality *o, double v, float *out)
{
    v = (v - o->subtract) / o->divide_by;
    if (!isnan(v) && !(fabs(v) <= (double)FLT_MAX))
        return false;
    *out = (float)v;
    return true;
}
