/* Key `scattering` of a domain or an input (site-agent/data/scattering.h says what is computed). */
#include "protocol/study/study_internal.h"

enum { AXIS_MIN = 12 };

enum csl_code csl_study__read_scattering(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *item, struct csl_domain *d)
{
    static const char *const keys[] = {"scaling", "centre", "scale", "augment", NULL};
    const struct csl_yaml_node *at = csl_study__at(item, "scattering");

    if (d->modality != CSL_IMAGE2D)
        return csl_yaml_fail(r->err, r->y, at, "has no effect here: for modality: image2d only");
    enum csl_code code = csl_study__refuse_keys(
        r, item, keys, "with scattering every image is scaled by its own values and not changed");
    if (code != CSL_OK)
        return code;
    for (int i = 0; i < 2; i++)
        if (d->shape[i] < AXIS_MIN || d->shape[i] % CSL_SCATTERING_STEP != 0)
            return csl_yaml_fail(r->err, r->y, csl_study__at(item, "shape"),
                                 "%u pixels; for scattering %d or more, and a multiple of %d, "
                                 "would be right",
                                 d->shape[i], AXIS_MIN, CSL_SCATTERING_STEP);
    uint64_t shape[3] = {d->shape[0] / CSL_SCATTERING_STEP, d->shape[1] / CSL_SCATTERING_STEP,
                         (uint64_t)d->shape[2] * CSL_SCATTERING_PATHS};
    uint64_t width = shape[0] * shape[1] * shape[2];
    if (width > CSL_FEATURES_MAX)
        return csl_yaml_fail(r->err, r->y, at,
                             "%llu scattering coefficients; at most %d would be right",
                             (unsigned long long)width, CSL_FEATURES_MAX);
    for (int i = 0; i < 3; i++)
        d->shape[i] = (uint32_t)shape[i];
    d->width = (uint32_t)width;
    d->scatters = true;
    return CSL_OK;
}

void csl_domain_image_shape(const struct csl_domain *d, uint32_t shape[3])
{
    for (int i = 0; i < 3; i++)
        shape[i] = d->shape[i];
    if (!d->scatters)
        return;
    shape[0] *= CSL_SCATTERING_STEP;
    shape[1] *= CSL_SCATTERING_STEP;
    shape[2] /= CSL_SCATTERING_PATHS;
}
