/* simulations/attributes.c - which patient group a test record belongs to. A data set knows no
 * demographic attribute, because training needs none; the record file does. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/evaluate.h"
#include "site-agent/data/record.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

void csl_sim_attributes_release(struct csl_sim_attributes *a)
{
    csl_free(a->names);
    csl_free(a->values);
    memset(a, 0, sizeof(*a));
}

static const struct csl_record_label *find_label(const struct csl_records *r, const char *name)
{
    for (uint32_t i = 0; i < r->label_count; i++)
        if (strcmp(r->labels[i].name, name) == 0)
            return &r->labels[i];
    return NULL;
}

/* The labels of a domain in a file: one, or several of which some may be NULL. */
struct truth {
    const struct csl_record_label *labels[CSL_TASK_LABELS_MAX];
    uint32_t count;
};

static struct truth find_truth(const struct csl_records *r, const struct csl_domain *d)
{
    struct truth t = {.labels = {find_label(r, d->label)}, .count = 1};
    for (uint32_t k = 0; k < d->label_count; k++)
        t.labels[k] = find_label(r, d->labels[k]);
    if (d->label_count > 0)
        t.count = d->label_count;
    return t;
}

static bool is_known(const struct csl_record_label *l, uint32_t record)
{
    return l != NULL && (l->classes > 0 ? l->value[record] >= 0 : !isnan(l->time[record]));
}

static bool is_test_example(const struct csl_records *r, const struct truth *t,
                            const struct csl_record_modality *m, uint32_t record)
{
    bool has_label = false;
    for (uint32_t k = 0; k < t->count; k++)
        has_label = has_label || is_known(t->labels[k], record);
    return r->split[r->patient[record]] == CSL_SPLIT_TEST && m->available[record] != 0 && has_label;
}

static uint8_t value_of(const struct csl_record_label *l, uint32_t record)
{
    return l->classes > 0 ? (uint8_t)l->value[record] : (uint8_t)(l->event[record] > 0.0f);
}

/* Record i of the file may be example n. */
static bool agrees(const struct truth *t, uint32_t i, const struct csl_examples *e, uint32_t n)
{
    if (e->answer_count == 0)
        return value_of(t->labels[0], i) == e->label[n];
    for (uint32_t k = 0; k < e->answer_count; k++) {
        size_t at = (size_t)n * e->answer_count + k;
        if (is_known(t->labels[k], i) != (e->answer_known[at] != 0) ||
            (e->answer_known[at] != 0 && value_of(t->labels[k], i) != e->answer[at]))
            return false;
    }
    return true;
}

/* Fills records[n] with the places of the test examples in the file; false unless they are the
 * examples of `e`, label by label. */
static bool match(const struct csl_records *r, const struct truth *t,
                  const struct csl_record_modality *m, const struct csl_examples *e,
                  uint32_t *records)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->record_count; i++) {
        if (!is_test_example(r, t, m, i))
            continue;
        if (n == e->records || !agrees(t, i, e, n))
            return false;
        records[n++] = i;
    }
    return n == e->records;
}

static bool match_any(const struct csl_records *r, const struct csl_domain *d,
                      const struct csl_examples *e, uint32_t *records)
{
    const struct truth t = find_truth(r, d);
    /* The modality named as the domain or its label is the domain's; else any of its kind. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < r->modality_count; i++) {
            const struct csl_record_modality *m = &r->modalities[i];
            bool is_named = strcmp(m->name, d->id) == 0 || strcmp(m->name, d->label) == 0;
            if (strcmp(m->kind, csl_modality_name(d->modality)) == 0 && is_named == (pass == 0) &&
                match(r, &t, m, e, records))
                return true;
        }
    }
    return false;
}

static enum csl_code copy_values(struct csl_sim_attributes *a, const struct csl_records *r,
                                 const uint32_t *records, uint32_t count, struct csl_err *err)
{
    a->names = csl_alloc_array(r->attribute_count, sizeof(*a->names));
    a->values = csl_alloc_array((size_t)r->attribute_count * count, sizeof(*a->values));
    if (a->names == NULL || a->values == NULL) {
        csl_sim_attributes_release(a);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the patient groups of site %s", r->site);
    }
    a->count = r->attribute_count;
    a->records = count;
    for (uint32_t k = 0; k < a->count; k++) {
        CSL_ASSERT(csl_str_copy(a->names[k], sizeof(a->names[k]), r->attributes[k].name));
        for (uint32_t i = 0; i < count; i++)
            memcpy(a->values[(size_t)k * count + i], r->attributes[k].value[r->patient[records[i]]],
                   sizeof(a->values[0]));
    }
    return CSL_OK;
}

enum csl_code csl_sim_attributes_match(struct csl_sim_attributes *out, uint32_t stride,
                                       const struct csl_records *r, const struct csl_dataset *data,
                                       struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    if (r->attribute_count == 0 || r->record_count == 0)
        return CSL_OK;
    uint32_t *records = csl_alloc_array(r->record_count, sizeof(*records));
    if (records == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the patient groups of site %s", r->site);
    for (uint32_t d = 0; d < data->domain_count && code == CSL_OK; d++) {
        const struct csl_examples *e = &data->domains[d][CSL_SPLIT_TEST];
        if (e->records > 0 && match_any(r, &data->study->domains[d], e, records))
            code = copy_values(&out[(size_t)d * stride], r, records, e->records, err);
    }
    csl_free(records);
    return code;
}
