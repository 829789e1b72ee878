#include "site-agent/data/dataset_internal.h"
#include "site-agent/data/multimodal.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/evaluation.h"

#include <string.h>

#include "base/banned.h"

void csl_dataset_free(struct csl_dataset *d)
{
    if (d == NULL)
        return;
    for (uint32_t i = 0; d->domains != NULL && i < d->domain_count; i++)
        for (int s = 0; s < CSL_SPLIT_COUNT; s++)
            csl_examples_release__(&d->domains[i][s]);
    csl_multimodal_free(d->multimodal);
    csl_free(d->input_patients);
    csl_free(d->domains);
    csl_free(d);
}

uint64_t csl_dataset_patients(const struct csl_dataset *d, uint32_t domain, enum csl_split split)
{
    CSL_ASSERT(domain < d->domain_count && split < CSL_SPLIT_COUNT);
    return d->domains[domain][split].patients;
}

uint64_t csl_dataset_block_patients(const struct csl_dataset *d, uint32_t block)
{
    return block < d->domain_count ? csl_dataset_patients(d, block, CSL_SPLIT_TRAIN)
                                   : d->input_patients[csl_study_input_of(d->study, block)];
}

uint64_t csl_dataset_patients_at_most(const struct csl_dataset *d)
{
    uint64_t sum = 0;
    if (d->multimodal != NULL)
        return d->multimodal->splits[CSL_SPLIT_TRAIN].patients;
    for (uint32_t i = 0; i < d->domain_count; i++)
        sum += csl_dataset_patients(d, i, CSL_SPLIT_TRAIN);
    return sum;
}

static bool wants_modality(const void *ctx, const struct csl_record_modality *m)
{
    const struct csl_study *study = ctx;
    for (uint32_t i = 0; i < study->domain_count; i++)
        if (strcmp(csl_modality_name(study->domains[i].modality), m->kind) == 0)
            return true;
    return false;
}

static bool wants_label(const void *ctx, const struct csl_record_label *l)
{
    const struct csl_study *study = ctx;
    for (uint32_t i = 0; i < study->domain_count; i++)
        if (csl_domain_asks_for(&study->domains[i], l->name))
            return true;
    return false;
}

static struct csl_dataset *dataset_new(const struct csl_study *study)
{
    struct csl_dataset *d = csl_alloc(sizeof(*d));
    if (d == NULL)
        return NULL;
    d->study = study;
    d->domain_count = study->domain_count;
    d->domains = csl_alloc_array(study->domain_count, sizeof(*d->domains));
    for (uint32_t i = 0; d->domains != NULL && i < d->domain_count; i++)
        for (int s = 0; s < CSL_SPLIT_COUNT; s++)
            d->domains[i][s].width = study->domains[i].width;
    if (d->domains != NULL)
        return d;
    csl_free(d);
    return NULL;
}

/* The raw examples of one split, with the groups of their patients where the study weighs them, or
 * has them counted. */
static enum csl_code extract(const struct csl_records *r, const struct csl_study *study,
                             uint32_t domain, const struct csl_domain_source *source,
                             enum csl_split split, struct csl_examples *out, struct csl_err *err)
{
    const struct csl_domain *what = &study->domains[domain];
    uint32_t count = csl_examples_count__(r, source, split);
    bool is_weighed = study->fairness.weights.is_on;
    bool is_counted = split == CSL_SPLIT_TRAIN ? csl_study_published_attributes(study) > 0
                                               : csl_study_group_counts(study, domain) > 0;
    if ((!is_weighed && !is_counted) || count == 0)
        return csl_examples_extract__(r, what, source, split, out, NULL, err);
    uint32_t *record = csl_alloc_array(count, sizeof(*record));
    if (record == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the patient groups of %u records", count);
    enum csl_code code = csl_examples_extract__(r, what, source, split, out, record, err);
    if (code == CSL_OK) {
        if (is_weighed)
            code = csl_examples_levels__(r, &study->fairness, record, out, err);
        if (code == CSL_OK && is_counted)
            code = csl_examples_groups__(r, study, record, out, err);
        if (code != CSL_OK)
            csl_examples_release__(out);
    }
    csl_free(record);
    return code;
}

/* Appends the raw examples of one record file to the domains of *d. */
static enum csl_code add_domain(struct csl_dataset *d, uint32_t domain, const struct csl_records *r,
                                const char *path, struct csl_err *err)
{
    struct csl_domain_source source;
    const struct csl_domain *what = &d->study->domains[domain];
    enum csl_code code = csl_domain_find__(what, r, path, &source, err);
    if (code != CSL_OK)
        return code;
    code = csl_domain_units__(what, &source, path, err);
    for (int s = 0; s < CSL_SPLIT_COUNT && code == CSL_OK; s++) {
        struct csl_examples e, *to = &d->domains[domain][s];
        code = extract(r, d->study, domain, &source, (enum csl_split)s, &e, err);
        if (code != CSL_OK)
            break;
        if (to->records == 0) {
            *to = e;
            continue;
        }
        code = csl_examples_append__(to, &e, err);
        csl_examples_release__(&e);
    }
    csl_source_release__(&source);
    return code;
}

static enum csl_code add_file(struct csl_dataset *d, const char *path, struct csl_err *err)
{
    const struct csl_record_wanted wanted = {wants_modality, wants_label, d->study};
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", path);
    enum csl_code code = csl_records_read__wanted(r, path, &wanted, err);
    for (uint32_t i = 0; i < d->domain_count && code == CSL_OK; i++)
        code = add_domain(d, i, r, path, err);
    if (code == CSL_OK)
        CSL_ASSERT(csl_str_copy(d->site, sizeof(d->site), r->site));
    csl_records_release(r);
    csl_free(r);
    return code;
}

static enum csl_code scale_all(struct csl_dataset *d, struct csl_err *err)
{
    /* with privacy no single record decides whether a site takes part: what becomes of it is
     * clipped like everything else, or counts as zero */
    bool is_private = d->study->privacy.mode != CSL_PRIVACY_NONE;
    for (uint32_t i = 0; i < d->domain_count; i++) {
        struct csl_feature_constants c;
        const struct csl_domain *what = &d->study->domains[i];
        enum csl_code code = csl_constants_make__(what, &d->domains[i][CSL_SPLIT_TRAIN], &c, err);
        if (code != CSL_OK)
            return code;
        for (int s = 0; s < CSL_SPLIT_COUNT && code == CSL_OK; s++) {
            struct csl_examples *e = &d->domains[i][s];
            if (!d->study->census.is_on)
                code = csl_examples_scale__(e, what, &c, is_private, err);
            d->bytes +=
                (uint64_t)e->records *
                ((uint64_t)e->width * sizeof(*e->x) + sizeof(*e->patient) + sizeof(*e->label) +
                 (e->time != NULL ? sizeof(*e->time) : 0) + 2 * (uint64_t)e->answer_count);
        }
        csl_constants_release__(&c);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

static enum csl_code load(struct csl_dataset **out, const char *const *paths, uint32_t count,
                          const struct csl_study *study, struct csl_err *err)
{
    struct csl_dataset *d = dataset_new(study);
    enum csl_code code = CSL_OK;
    if (d == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the data of study %s", study->id);
    if (study->input_count > 0)
        code = csl_dataset_fill__(d, paths, count, err);
    for (uint32_t i = 0; study->input_count == 0 && i < count && code == CSL_OK; i++)
        code = add_file(d, paths[i], err);
    if (code == CSL_OK && study->input_count == 0)
        code = scale_all(d, err);
    if (code == CSL_OK)
        *out = d;
    else
        csl_dataset_free(d);
    return code;
}

enum csl_code csl_dataset_load(struct csl_dataset **out, const char *record_path,
                               const struct csl_study *study, struct csl_err *err)
{
    return load(out, &record_path, 1, study, err);
}

enum csl_code csl_dataset_load_pooled(struct csl_dataset **out, const char *const *record_paths,
                                      uint32_t count, const struct csl_study *study,
                                      struct csl_err *err)
{
    struct csl_dataset *d = NULL;
    enum csl_code code = load(&d, record_paths, count, study, err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(d->site, sizeof(d->site), "pooled"));
    *out = d;
    return CSL_OK;
}
