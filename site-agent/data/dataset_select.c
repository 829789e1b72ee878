#include "site-agent/data/dataset_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char *kind_name(enum csl_modality m)
{
    return csl_modality_name(m);
}

static bool find_column(const struct csl_record_modality *m, const char *name, uint32_t *column)
{
    uint32_t names = csl_modality_names__(m);
    for (uint32_t i = 0; i < names; i++) {
        if (strcmp(m->feature_names[i], name) == 0) {
            *column = i;
            return true;
        }
    }
    return false;
}

/* The first feature of the domain that the table or series lacks, or NULL. */
static const struct csl_feature *lacking_feature(const struct csl_domain *d,
                                                 const struct csl_record_modality *m)
{
    uint32_t column;
    for (uint32_t i = 0; i < d->feature_count; i++)
        if (!find_column(m, d->features[i].name, &column))
            return &d->features[i];
    return NULL;
}

static uint32_t steps_of(const struct csl_domain *d)
{
    return d->windows > 0 ? d->steps : d->shape[0];
}

/* Of values: what a record holds of them. */
static void record_shape(const struct csl_domain *d, uint32_t shape[4])
{
    memcpy(shape, d->shape, sizeof(d->shape));
    if (d->modality == CSL_IMAGE2D)
        csl_domain_image_shape(d, shape);
}

static bool shape_fits(const struct csl_domain *d, const struct csl_record_modality *m)
{
    if (d->modality == CSL_TABULAR)
        return lacking_feature(d, m) == NULL;
    if (d->modality == CSL_EHR_SERIES)
        return m->shape[0] == steps_of(d) && lacking_feature(d, m) == NULL;
    if (d->modality == CSL_TEXT) /* a longer note is cut off where the study says */
        return m->shape[0] >= d->shape[0] && m->text->rule.buckets == d->shape[1] &&
               m->text->rule.ngrams == d->shape[2];
    uint32_t shape[4];
    record_shape(d, shape);
    for (uint32_t i = 0; i < m->rank; i++)
        if (m->shape[i] != shape[i])
            return false;
    return true;
}

struct rivals {
    const struct csl_domain *inputs;
    uint32_t count;
};

/* Certainly not what d reads. */
static bool is_of_another(const struct csl_domain *d, const struct rivals *others,
                          const struct csl_record_modality *m)
{
    uint32_t column, shared = 0;
    for (uint32_t i = 0; i < others->count; i++)
        if (strcmp(others->inputs[i].id, d->id) != 0 &&
            strcmp(others->inputs[i].id, m->name) == 0 && others->inputs[i].modality == d->modality)
            return true;
    for (uint32_t i = 0; i < d->feature_count; i++)
        shared += find_column(m, d->features[i].name, &column);
    return others->count > 0 && d->feature_count > 0 && shared == 0;
}

/* NULL with *candidates counting those of the right kind: 0 means that the site lacks the domain.
 */
static const struct csl_record_modality *
find_modality(const struct csl_domain *d, const struct rivals *others, const struct csl_records *r,
              const struct csl_record_modality **near, uint32_t *candidates, uint32_t *fitting)
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
        if (strcmp(m->kind, kind_name(d->modality)) != 0 || is_of_another(d, others, m))
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

/* "16 x 16 x 1" */
static const char *shape_text(char out[64], const uint32_t *shape, uint32_t rank)
{
    size_t n = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < rank; i++)
        n += (size_t)snprintf(out + n, 64 - n, "%s%u", i > 0 ? " x " : "", shape[i]);
    return out;
}

static enum csl_code refuse_modality(const struct csl_domain *d, const char *file,
                                     const struct csl_record_modality *near, uint32_t fitting,
                                     struct csl_err *err)
{
    if (fitting > 1)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: %u %s modalities fit domain %s; one named %s%s%s would be right", file,
                        fitting, kind_name(d->modality), d->id, d->id,
                        d->label[0] != '\0' ? " or " : "", d->label);
    if (d->modality == CSL_TABULAR ||
        (d->modality == CSL_EHR_SERIES && near->shape[0] == steps_of(d)))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: /modalities/%s has no feature named '%s', which domain %s needs", file,
                        near->name, lacking_feature(d, near)->name, d->id);
    if (d->modality == CSL_TEXT)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: /modalities/%s has up to %u tokens, %u buckets and n-grams of %u; "
                        "domain %s needs %u or more, %u and %u",
                        file, near->name, near->shape[0], near->text->rule.buckets,
                        near->text->rule.ngrams, d->id, d->shape[0], d->shape[1], d->shape[2]);
    char here[64], wanted[64];
    uint32_t shape[4];
    record_shape(d, shape);
    if (d->modality == CSL_EHR_SERIES) {
        shape[0] = steps_of(d);
        shape[1] = d->feature_count;
    }
    return CSL_FAIL(err, CSL_E_INVAL, "%s: /modalities/%s is %s per record; domain %s needs %s",
                    file, near->name, shape_text(here, near->shape, near->rank), d->id,
                    shape_text(wanted, shape, near->rank));
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

enum csl_code csl_input_find__(const struct csl_domain *d, const struct csl_domain *rivals,
                               uint32_t rival_count, const struct csl_records *r, const char *file,
                               struct csl_domain_source *out, struct csl_err *err)
{
    const struct rivals others = {rivals, rival_count};
    const struct csl_record_modality *near;
    uint32_t candidates, fitting;
    struct csl_domain_source s = {.modality =
                                      find_modality(d, &others, r, &near, &candidates, &fitting)};
    if (s.modality == NULL && candidates > 0)
        return refuse_modality(d, file, near, fitting, err);
    if (s.modality != NULL && d->feature_count > 0) {
        enum csl_code code = find_columns(d, file, &s, err);
        if (code != CSL_OK)
            return code;
    }
    if (s.modality != NULL && d->scatters) {
        uint32_t shape[3];
        csl_domain_image_shape(d, shape);
        enum csl_code code = csl_scattering_new(&s.scattering, shape, err);
        if (code != CSL_OK)
            return code;
    }
    *out = s;
    return CSL_OK;
}

void csl_source_release__(struct csl_domain_source *source)
{
    csl_free(source->columns);
    csl_scattering_free(source->scattering);
    source->columns = NULL;
    source->scattering = NULL;
}

enum csl_code csl_domain_find__(const struct csl_domain *d, const struct csl_records *r,
                                const char *file, struct csl_domain_source *out,
                                struct csl_err *err)
{
    struct csl_domain_source s = {.label = NULL};
    bool has_label = false;
    for (uint32_t i = 0; i < r->label_count; i++)
        has_label = has_label || csl_domain_asks_for(d, r->labels[i].name);
    enum csl_code code = has_label ? csl_input_find__(d, NULL, 0, r, file, &s, err) : CSL_OK;
    if (code == CSL_OK)
        code = csl_labels_find__(d, r, file, s.modality != NULL, &s, err);
    if (code == CSL_OK)
        *out = s;
    else
        csl_source_release__(&s);
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
