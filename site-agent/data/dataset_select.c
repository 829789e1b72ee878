#include "site-agent/data/dataset_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char *kind_name(enum csl_modality m)
{
    switch (m) {
    case CSL_TABULAR:
        return "tabular";
    case CSL_IMAGE2D:
        return "image2d";
    case CSL_SIGNAL:
        break;
    }
    return "signal";
}

static bool find_column(const struct csl_record_modality *m, const char *name, uint32_t *column)
{
    for (uint32_t i = 0; i < m->shape[0]; i++) {
        if (strcmp(m->feature_names[i], name) == 0) {
            *column = i;
            return true;
        }
    }
    return false;
}

/* The first feature of the domain that the table lacks, or NULL. */
static const struct csl_feature *lacking_feature(const struct csl_domain *d,
                                                 const struct csl_record_modality *m)
{
    uint32_t column;
    for (uint32_t i = 0; i < d->feature_count; i++)
        if (!find_column(m, d->features[i].name, &column))
            return &d->features[i];
    return NULL;
}

static bool shape_fits(const struct csl_domain *d, const struct csl_record_modality *m)
{
    if (d->modality == CSL_TABULAR)
        return lacking_feature(d, m) == NULL;
    for (uint32_t i = 0; i < m->rank; i++)
        if (m->shape[i] != d->shape[i])
            return false;
    return true;
}

/* NULL with *candidates counting those of the right kind: 0 means that the site lacks the domain.
 */
static const struct csl_record_modality *find_modality(const struct csl_domain *d,
                                                       const struct csl_records *r,
                                                       const struct csl_record_modality **near,
                                                       uint32_t *candidates, uint32_t *fitting)
{
    const struct csl_record_modality *named[2] = {csl_records_modality__(r, d->id),
                                                  csl_records_modality__(r, d->label)};
    const struct csl_record_modality *fit = NULL;
    *near = NULL;
    *candidates = *fitting = 0;
    for (int i = 0; i < 2; i++) {
        if (named[i] != NULL && strcmp(named[i]->kind, kind_name(d->modality)) == 0) {
            *candidates = 1;
            *near = named[i];
            return shape_fits(d, named[i]) ? named[i] : NULL;
        }
    }
    for (uint32_t i = 0; i < r->modality_count; i++) {
        const struct csl_record_modality *m = &r->modalities[i];
        if (strcmp(m->kind, kind_name(d->modality)) != 0)
            continue;
        (*candidates)++;
        *near = m;
        if (shape_fits(d, m)) {
            (*fitting)++;
            fit = m;
        }
    }
    return *fitting == 1 ? fit : NULL;
}

static enum csl_code refuse_modality(const struct csl_domain *d, const char *file,
                                     const struct csl_record_modality *near, uint32_t fitting,
                                     struct csl_err *err)
{
    if (fitting > 1)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: %u %s modalities fit domain %s; one named %s or %s would be right",
                        file, fitting, kind_name(d->modality), d->id, d->id, d->label);
    if (d->modality == CSL_TABULAR)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: /modalities/%s has no feature named '%s', which domain %s needs", file,
                        near->name, lacking_feature(d, near)->name, d->id);
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%s: /modalities/%s is %u x %u x %u per record; domain %s needs %u x %u x %u",
                    file, near->name, near->shape[0], near->shape[1],
                    near->rank == 3 ? near->shape[2] : 1, d->id, d->shape[0], d->shape[1],
                    d->modality == CSL_IMAGE2D ? d->shape[2] : 1);
}

static enum csl_code check_label(const struct csl_domain *d, const struct csl_record_label *l,
                                 const char *file, struct csl_err *err)
{
    uint32_t classes = d->task == CSL_TASK_BINARY    ? 2
                       : d->task == CSL_TASK_CLASSES ? d->classes
                                                     : 0;
    if (l->classes == classes)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%s: /labels/%s has %u classes (0: survival); domain %s needs %u", file,
                    l->name, l->classes, d->id, classes);
}

static enum csl_code find_columns(const struct csl_domain *d, const char *file,
                                  struct csl_domain_source *s, struct csl_err *err)
{
    s->columns = csl_alloc_array(d->feature_count, sizeof(*s->columns));
    if (s->columns == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", file);
    for (uint32_t i = 0; i < d->feature_count; i++)
        (void)find_column(s->modality, d->features[i].name, &s->columns[i]);
    return CSL_OK;
}

enum csl_code csl_domain_find__(const struct csl_domain *d, const struct csl_records *r,
                                const char *file, struct csl_domain_source *out,
                                struct csl_err *err)
{
    struct csl_domain_source s = {csl_records_label__(r, d->label), NULL, NULL};
    const struct csl_record_modality *near;
    uint32_t candidates, fitting;
    enum csl_code code = CSL_OK;
    if (s.label != NULL)
        s.modality = find_modality(d, r, &near, &candidates, &fitting);
    if (s.label != NULL && s.modality == NULL && candidates > 0)
        return refuse_modality(d, file, near, fitting, err);
    if (s.modality != NULL) {
        code = check_label(d, s.label, file, err);
        if (code == CSL_OK && d->modality == CSL_TABULAR)
            code = find_columns(d, file, &s, err);
    }
    if (code == CSL_OK)
        *out = s;
    return code;
}

bool csl_domain_unit_differs__(const struct csl_domain *d, const struct csl_domain_source *source,
                               uint32_t i)
{
    const char *here = source->modality->feature_units[source->columns[i]];
    return d->features[i].unit[0] != '\0' && here[0] != '\0' &&
           strcmp(d->features[i].unit, here) != 0;
}

enum csl_code csl_domain_units__(const struct csl_domain *d, const struct csl_domain_source *source,
                                 const char *file, struct csl_err *err)
{
    if (source->modality == NULL || source->columns == NULL)
        return CSL_OK;
    for (uint32_t i = 0; i < d->feature_count; i++) {
        const struct csl_feature *f = &d->features[i];
        if (csl_domain_unit_differs__(d, source, i))
            return CSL_FAIL(err, CSL_E_INVAL,
                            "%s: /modalities/%s: feature '%s' is in %s here and in %s in the "
                            "study (domain %s); values imported in %s would be right",
                            file, source->modality->name, f->name,
                            source->modality->feature_units[source->columns[i]], f->unit, d->id,
                            f->unit);
    }
    return CSL_OK;
}
