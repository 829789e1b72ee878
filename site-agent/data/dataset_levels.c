/* Attributes of patients as numbers: for weights of patient groups in training, and for counts by
 * group in evaluations and statistics. */
#include "site-agent/data/dataset_internal.h"

#include "base/mem.h"
#include "protocol/study/evaluation.h"

#include <string.h>

#include "base/banned.h"

#define LEVELS_MAX 16

struct levels {
    uint32_t count;
    const char *value[LEVELS_MAX]; /* of the records: ascending; borrowed */
};
_Static_assert(CSL_FAIRNESS_VALUES_MAX <= LEVELS_MAX, "a study's values are levels");

static const struct csl_record_attribute *find_attribute(const struct csl_records *r,
                                                         const char *name)
{
    for (uint32_t i = 0; i < r->attribute_count; i++)
        if (strcmp(r->attributes[i].name, name) == 0)
            return &r->attributes[i];
    return NULL;
}

/* The values of all patients of the file, so that every split counts them alike. */
static enum csl_code find_levels(const struct csl_records *r, const struct csl_record_attribute *a,
                                 struct levels *out, struct csl_err *err)
{
    *out = (struct levels){0};
    for (uint32_t p = 0; p < r->patient_count; p++) {
        const char *v = a->value[p];
        uint32_t at = 0;
        while (at < out->count && strcmp(out->value[at], v) < 0)
            at++;
        if (v[0] == '\0' || (at < out->count && strcmp(out->value[at], v) == 0))
            continue;
        if (out->count == LEVELS_MAX)
            return CSL_FAIL(err, CSL_E_LIMIT,
                            "site %s: attribute %s has more than %d values; patients of so many "
                            "groups cannot be weighed, bands would be right",
                            r->site, a->name, LEVELS_MAX);
        memmove(&out->value[at + 1], &out->value[at], (out->count - at) * sizeof(out->value[0]));
        out->value[at] = v;
        out->count++;
    }
    return CSL_OK;
}

static uint8_t level_of(const struct levels *l, const char *value)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (strcmp(l->value[i], value) == 0)
            return (uint8_t)(i + 1);
    return 0;
}

enum csl_code csl_examples_levels__(const struct csl_records *r,
                                    const struct csl_study_fairness *asked, const uint32_t *record,
                                    struct csl_examples *e, struct csl_err *err)
{
    uint8_t *level = csl_alloc_array((size_t)e->patients * asked->attribute_count, 1);
    enum csl_code code = CSL_OK;
    if (level == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the groups of %u patients", e->patients);
    for (uint32_t k = 0; k < asked->attribute_count && code == CSL_OK; k++) {
        const struct csl_record_attribute *a = find_attribute(r, asked->attributes[k]);
        struct levels values;
        if (a == NULL)
            continue; /* not known of anybody here */
        code = find_levels(r, a, &values, err);
        for (uint32_t i = 0; i < e->records && code == CSL_OK; i++)
            level[(size_t)e->patient[i] * asked->attribute_count + k] =
                level_of(&values, a->value[r->patient[record[i]]]);
    }
    if (code == CSL_OK)
        e->level = level;
    else
        csl_free(level);
    return code;
}

enum csl_code csl_examples_groups__(const struct csl_records *r, const struct csl_study *study,
                                    const uint32_t *record, struct csl_examples *e,
                                    struct csl_err *err)
{
    uint32_t count = study->fairness.attribute_count;
    uint8_t *group = csl_alloc_array((size_t)e->patients * count, 1);
    if (group == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the groups of %u patients", e->patients);
    for (uint32_t k = 0; k < count; k++) {
        const struct csl_record_attribute *a = find_attribute(r, study->fairness.attributes[k]);
        struct levels listed = {0};
        const char *value;
        while ((value = csl_study_group_value(study, k, listed.count)) != NULL)
            listed.value[listed.count++] = value;
        for (uint32_t i = 0; i < e->records && a != NULL; i++)
            group[(size_t)e->patient[i] * count + k] =
                level_of(&listed, a->value[r->patient[record[i]]]);
    }
    e->group = group;
    return CSL_OK;
}
