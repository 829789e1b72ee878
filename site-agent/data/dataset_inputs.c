/* A study with inputs: all of them once, and each domain as the rows that have its label and
 * something of what it reads. */
#include "site-agent/data/dataset_internal.h"
#include "site-agent/data/multimodal.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/evaluation.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

/* Nothing is judged by a label that stands for several classes. */
static bool is_example(const struct csl_domain *d, const struct csl_multimodal_split *s,
                       uint32_t target, uint32_t row, bool trains)
{
    const struct csl_targets *t = &s->targets[target];
    bool has_input = false, has_label = t->time != NULL && !isnan(t->time[row]);
    for (uint32_t k = 0; t->value != NULL && k < t->labels; k++) {
        int16_t label = t->value[(size_t)row * t->labels + k];
        has_label =
            has_label || (label != CSL_LABEL_UNKNOWN && (trains || label < (int16_t)d->classes));
    }
    for (uint32_t i = 0; i < d->fusion.input_count; i++)
        has_input = has_input || s->inputs[d->fusion.inputs[i]].available[row] != 0;
    return has_input && has_label;
}

static enum csl_code view_domain(struct csl_dataset *d, uint32_t domain, int split,
                                 struct csl_err *err)
{
    const struct csl_domain *what = &d->study->domains[domain];
    const struct csl_multimodal_split *s = &d->multimodal->splits[split];
    const struct csl_targets *t = &s->targets[domain];
    struct csl_examples *e = &d->domains[domain][split];
    uint32_t last = UINT32_MAX;
    bool trains = split == CSL_SPLIT_TRAIN;
    e->of = s;
    for (uint32_t r = 0; r < s->records; r++)
        e->records += is_example(what, s, domain, r, trains);
    e->row = csl_alloc_array(e->records, sizeof(*e->row));
    e->patient = csl_alloc_array(e->records, sizeof(*e->patient));
    e->label = csl_alloc_array(e->records, 1);
    if (t->time != NULL)
        e->time = csl_alloc_array(e->records, sizeof(*e->time));
    if (e->row == NULL || e->patient == NULL || e->label == NULL ||
        (t->time != NULL && e->time == NULL))
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the records of domain %s", what->id);
    enum csl_code code = csl_answers_alloc__(e, what->label_count, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t r = 0, n = 0; r < s->records; r++) {
        if (!is_example(what, s, domain, r, trains))
            continue;
        e->patients += s->patient[r] != last;
        last = s->patient[r];
        e->row[n] = r;
        e->patient[n] = e->patients - 1;
        for (uint32_t k = 0; k < e->answer_count; k++)
            csl_answer_set__(e, n, k, t->value[(size_t)r * e->answer_count + k]);
        if (t->time != NULL)
            e->time[n] = t->time[r];
        e->label[n++] = t->time != NULL       ? t->event[r]
                        : e->answer_count > 0 ? 0
                                              : (uint8_t)t->value[r];
    }
    return CSL_OK;
}

/* Of the domain's patients, from those of the split. */
static enum csl_code view_groups(struct csl_dataset *d, uint32_t domain, int split,
                                 struct csl_err *err)
{
    const struct csl_multimodal_split *s = &d->multimodal->splits[split];
    struct csl_examples *e = &d->domains[domain][split];
    size_t width = d->study->fairness.attribute_count;
    if (s->group == NULL || e->records == 0)
        return CSL_OK;
    e->group = csl_alloc_array((size_t)e->patients * width, 1);
    if (e->group == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the groups of %u patients", e->patients);
    for (uint32_t r = 0; r < e->records; r++)
        memcpy(e->group + e->patient[r] * width, s->group + s->patient[e->row[r]] * width, width);
    return CSL_OK;
}

static uint64_t count_patients(const struct csl_dataset *d, uint32_t input)
{
    const struct csl_multimodal_split *s = &d->multimodal->splits[CSL_SPLIT_TRAIN];
    uint64_t patients = 0;
    uint32_t last = UINT32_MAX;
    for (uint32_t r = 0; r < s->records; r++) {
        bool counts = false;
        for (uint32_t k = 0; k < d->domain_count && !counts; k++)
            counts = csl_domain_has_input(&d->study->domains[k], input) &&
                     is_example(&d->study->domains[k], s, k, r, true);
        if (!counts || s->inputs[input].available[r] == 0 || s->patient[r] == last)
            continue;
        last = s->patient[r];
        patients++;
    }
    return patients;
}

/* The targets of *spec are those of the study's domains, in their order. */
static enum csl_code load_files(struct csl_dataset *d, const struct csl_multimodal_spec *spec,
                                const char *const *paths, uint32_t count, struct csl_err *err)
{
    enum csl_code code = csl_multimodal_load(&d->multimodal, paths[0], spec, err);
    for (uint32_t i = 1; code == CSL_OK && i < count; i++) {
        struct csl_multimodal *more = NULL;
        code = csl_multimodal_load(&more, paths[i], spec, err);
        if (code == CSL_OK)
            code = csl_multimodal_append(d->multimodal, more, err);
        csl_multimodal_free(more);
    }
    return code;
}

enum csl_code csl_dataset_fill__(struct csl_dataset *d, const char *const *paths, uint32_t count,
                                 struct csl_err *err)
{
    const struct csl_study *study = d->study;
    struct csl_target_spec targets[CSL_DOMAINS_MAX];
    struct csl_multimodal_spec spec = {.inputs = study->inputs,
                                       .input_count = study->input_count,
                                       .targets = targets,
                                       .target_count = study->domain_count,
                                       .published =
                                           csl_study_published_attributes(study) > 0 ? study : NULL,
                                       .saturates = study->privacy.mode != CSL_PRIVACY_NONE};
    CSL_ASSERT(study->domain_count <= CSL_DOMAINS_MAX);
    for (uint32_t i = 0; i < study->domain_count; i++) {
        const struct csl_domain *what = &study->domains[i];
        targets[i] = (struct csl_target_spec){what->task, what->classes, &what->label, 1,
                                              what->merged_count};
        if (what->task != CSL_TASK_LABELS)
            continue;
        targets[i].kind = CSL_TASK_BINARY;
        targets[i].labels = (const char(*)[CSL_ID_MAX])what->labels;
        targets[i].label_count = what->label_count;
    }
    enum csl_code code = load_files(d, &spec, paths, count, err);
    for (uint32_t i = 0; i < study->domain_count; i++)
        for (int s = 0; s < CSL_SPLIT_COUNT && code == CSL_OK; s++)
            code = view_domain(d, i, s, err);
    for (uint32_t i = 0; i < study->domain_count; i++)
        for (int s = 0; s < CSL_SPLIT_COUNT && code == CSL_OK; s++)
            code = view_groups(d, i, s, err);
    if (code != CSL_OK)
        return code;
    d->input_patients = csl_alloc_array(study->input_count, sizeof(*d->input_patients));
    if (d->input_patients == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the inputs of study %s", study->id);
    for (uint32_t i = 0; i < study->input_count; i++)
        d->input_patients[i] = count_patients(d, i);
    CSL_ASSERT(csl_str_copy(d->site, sizeof(d->site), d->multimodal->site));
    d->bytes = d->multimodal->bytes;
    return CSL_OK;
}
