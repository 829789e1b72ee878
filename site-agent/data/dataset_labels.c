/* site-agent/data/dataset_labels.c - the label of a domain, or the several of it, in a record file.
 */
#include "site-agent/data/dataset_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <math.h>

static enum csl_code check_label(const struct csl_domain *d, const struct csl_record_label *l,
                                 const char *file, struct csl_err *err)
{
    if (l->classes >= d->classes && l->classes <= d->classes + d->merged_count)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%s: /labels/%s has %u classes (0: survival); domain %s needs %u", file,
                    l->name, l->classes, d->id, d->classes);
}

enum csl_code csl_labels_find__(const struct csl_domain *d, const struct csl_records *r,
                                const char *file, bool has_input, struct csl_domain_source *out,
                                struct csl_err *err)
{
    struct csl_domain_source s = *out;
    uint32_t count = d->label_count > 0 ? d->label_count : 1;
    CSL_ASSERT(d->label_count <= CSL_TASK_LABELS_MAX);
    s.label = NULL;
    s.label_count = d->label_count;
    for (uint32_t k = 0; k < count; k++) {
        const char *name = d->label_count > 0 ? d->labels[k] : d->label;
        const struct csl_record_label *l = csl_records_label__(r, name);
        enum csl_code code = l != NULL && has_input ? check_label(d, l, file, err) : CSL_OK;
        if (code != CSL_OK)
            return code;
        s.label = s.label != NULL ? s.label : l;
        if (d->label_count > 0)
            s.labels[k] = l;
    }
    *out = s;
    return CSL_OK;
}

static bool is_known(const struct csl_record_label *l, uint32_t record)
{
    return l->classes > 0 ? l->value[record] != CSL_LABEL_UNKNOWN : !isnan(l->time[record]);
}

bool csl_labels_known__(const struct csl_domain_source *source, uint32_t record)
{
    bool has_one = source->label_count == 0 && is_known(source->label, record);
    for (uint32_t k = 0; k < source->label_count && !has_one; k++)
        has_one = source->labels[k] != NULL && is_known(source->labels[k], record);
    return has_one;
}

enum csl_code csl_answers_alloc__(struct csl_examples *e, uint32_t count, struct csl_err *err)
{
    if (count == 0)
        return CSL_OK;
    e->answer_count = count;
    e->answer = csl_alloc_array(e->records, count);
    e->answer_known = csl_alloc_array(e->records, count);
    if (e->answer != NULL && e->answer_known != NULL)
        return CSL_OK;
    csl_examples_release__(e);
    return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the labels of a data set");
}

void csl_answer_set__(struct csl_examples *e, uint32_t n, uint32_t k, int16_t value)
{
    size_t at = (size_t)n * e->answer_count + k;
    e->answer_known[at] = value != CSL_LABEL_UNKNOWN;
    e->answer[at] = value == 1;
}
