#include "site-agent/data/multimodal.h"
#include "site-agent/data/dataset_internal.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

/* --- release --- */

static void split_release(struct csl_multimodal_split *s, uint32_t inputs, uint32_t targets)
{
    for (uint32_t i = 0; s->inputs != NULL && i < inputs; i++) {
        csl_free(s->inputs[i].x);
        csl_free(s->inputs[i].tokens);
        csl_free(s->inputs[i].known);
        csl_free(s->inputs[i].length);
        csl_free(s->inputs[i].available);
    }
    for (uint32_t i = 0; s->targets != NULL && i < targets; i++) {
        csl_free(s->targets[i].value);
        csl_free(s->targets[i].time);
        csl_free(s->targets[i].event);
    }
    csl_free(s->inputs);
    csl_free(s->targets);
    csl_free(s->patient);
    csl_free(s->group);
}

void csl_multimodal_free(struct csl_multimodal *m)
{
    if (m == NULL)
        return;
    for (int s = 0; s < CSL_SPLIT_COUNT; s++)
        split_release(&m->splits[s], m->input_count, m->target_count);
    csl_free(m);
}

/* --- one load --- */

struct load {
    const struct csl_multimodal_spec *spec;
    const char *path;
    struct csl_records r;
    struct csl_domain_source *sources; /* [input_count] modality NULL: the site lacks it; owned */
    const struct csl_record_label **labels; /* of all targets, one after the other; NULL: lacks */
    struct csl_multimodal *m;
    struct csl_err *err;
};

static bool wants_modality(const void *ctx, const struct csl_record_modality *m)
{
    const struct csl_multimodal_spec *spec = ctx;
    for (uint32_t i = 0; i < spec->input_count; i++)
        if (strcmp(csl_modality_name(spec->inputs[i].modality), m->kind) == 0)
            return true;
    return false;
}

static bool wants_label(const void *ctx, const struct csl_record_label *l)
{
    const struct csl_multimodal_spec *spec = ctx;
    for (uint32_t i = 0; i < spec->target_count; i++)
        for (uint32_t k = 0; k < spec->targets[i].label_count; k++)
            if (strcmp(spec->targets[i].labels[k], l->name) == 0)
                return true;
    return false;
}

static enum csl_code no_memory(const struct load *l)
{
    return CSL_FAIL(l->err, CSL_E_NOMEM, "no memory for the records of %s", l->path);
}

static enum csl_code find_inputs(struct load *l)
{
    l->sources = csl_alloc_array(l->spec->input_count, sizeof(*l->sources));
    if (l->sources == NULL)
        return no_memory(l);
    for (uint32_t i = 0; i < l->spec->input_count; i++) {
        const struct csl_domain *d = &l->spec->inputs[i];
        enum csl_code code = csl_input_find__(d, l->spec->inputs, l->spec->input_count, &l->r,
                                              l->path, &l->sources[i], l->err);
        if (code == CSL_OK)
            code = csl_domain_units__(d, &l->sources[i], l->path, l->err);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

static enum csl_code find_labels(struct load *l)
{
    uint32_t count = 0, n = 0;
    for (uint32_t i = 0; i < l->spec->target_count; i++)
        count += l->spec->targets[i].label_count;
    l->labels = csl_alloc_array(count, sizeof(*l->labels));
    if (l->labels == NULL)
        return no_memory(l);
    for (uint32_t i = 0; i < l->spec->target_count; i++) {
        const struct csl_target_spec *t = &l->spec->targets[i];
        uint32_t classes = t->kind == CSL_TASK_BINARY    ? 2
                           : t->kind == CSL_TASK_CLASSES ? t->classes
                                                         : 0;
        for (uint32_t k = 0; k < t->label_count; k++, n++) {
            l->labels[n] = csl_records_label__(&l->r, t->labels[k]);
            if (l->labels[n] != NULL &&
                (l->labels[n]->classes < classes || l->labels[n]->classes > classes + t->merged))
                return CSL_FAIL(l->err, CSL_E_INVAL,
                                "%s: /labels/%s has %u classes (0: survival); the study needs %u",
                                l->path, t->labels[k], l->labels[n]->classes, classes);
        }
    }
    return CSL_OK;
}

static bool is_known(const struct csl_record_label *label, uint32_t record)
{
    return label != NULL && (label->classes > 0 ? label->value[record] != CSL_LABEL_UNKNOWN
                                                : !isnan(label->time[record]));
}

/* A record of the split with an input and a known target. */
static bool is_kept(const struct load *l, uint32_t record, int split)
{
    bool has_input = false, has_target = false;
    uint32_t labels = 0;
    if (l->r.split[l->r.patient[record]] != split)
        return false;
    for (uint32_t i = 0; i < l->spec->input_count && !has_input; i++)
        has_input =
            l->sources[i].modality != NULL && l->sources[i].modality->available[record] != 0;
    for (uint32_t i = 0; i < l->spec->target_count; i++)
        labels += l->spec->targets[i].label_count;
    for (uint32_t k = 0; k < labels && !has_target; k++)
        has_target = is_known(l->labels[k], record);
    return has_input && has_target;
}

/* --- room --- */

static void *room(struct load *l, size_t count, size_t item_bytes)
{
    l->m->bytes += (uint64_t)count * item_bytes;
    return csl_alloc_array(count, item_bytes);
}

static enum csl_code input_room(struct load *l, uint32_t records, const struct csl_domain *d,
                                struct csl_inputs *in)
{
    size_t values;
    bool is_text = d->modality == CSL_TEXT, is_series = d->modality == CSL_EHR_SERIES;
    bool has_gaps = is_series || d->modality == CSL_TABULAR;
    if (!csl_mul_size(records, d->width, &values))
        return no_memory(l);
    in->width = d->width;
    in->available = room(l, records, 1);
    in->x = is_text ? NULL : room(l, values, sizeof(*in->x));
    in->tokens = is_text ? room(l, values, sizeof(*in->tokens)) : NULL;
    in->known = has_gaps ? room(l, values, 1) : NULL;
    in->length = is_text || is_series ? room(l, records, sizeof(*in->length)) : NULL;
    bool ok = in->available != NULL && (is_text ? in->tokens != NULL : in->x != NULL) &&
              (!has_gaps || in->known != NULL) && (!(is_text || is_series) || in->length != NULL);
    return ok ? CSL_OK : no_memory(l);
}

static enum csl_code target_room(struct load *l, uint32_t records, const struct csl_target_spec *t,
                                 struct csl_targets *to)
{
    bool is_survival = t->kind == CSL_TASK_SURVIVAL;
    to->labels = t->label_count;
    to->value = is_survival ? NULL : room(l, (size_t)records * t->label_count, sizeof(*to->value));
    to->time = is_survival ? room(l, records, sizeof(*to->time)) : NULL;
    to->event = is_survival ? room(l, records, 1) : NULL;
    bool ok = is_survival ? to->time != NULL && to->event != NULL : to->value != NULL;
    return ok ? CSL_OK : no_memory(l);
}

static enum csl_code split_room(struct load *l, int split)
{
    struct csl_multimodal_split *s = &l->m->splits[split];
    enum csl_code code = CSL_OK;
    s->inputs = csl_alloc_array(l->spec->input_count, sizeof(*s->inputs));
    s->targets = csl_alloc_array(l->spec->target_count, sizeof(*s->targets));
    s->patient = room(l, s->records, sizeof(*s->patient));
    if (s->inputs == NULL || s->targets == NULL || s->patient == NULL)
        return no_memory(l);
    for (uint32_t i = 0; i < l->spec->input_count && code == CSL_OK; i++)
        code = input_room(l, s->records, &l->spec->inputs[i], &s->inputs[i]);
    for (uint32_t i = 0; i < l->spec->target_count && code == CSL_OK; i++)
        code = target_room(l, s->records, &l->spec->targets[i], &s->targets[i]);
    return code;
}

/* --- values --- */

static void copy_tokens(const struct csl_record_text *t, uint32_t record, struct csl_inputs *in,
                        uint32_t row)
{
    uint64_t first = t->offsets[record], n = t->offsets[record + 1] - first;
    if (n > in->width)
        n = in->width;
    memcpy(in->tokens + (size_t)row * in->width, t->tokens + first, n * sizeof(*in->tokens));
    in->length[row] = (uint32_t)n;
}

static void copy_input(const struct csl_domain *d, const struct csl_domain_source *source,
                       uint32_t record, struct csl_inputs *in, uint32_t row)
{
    size_t at = (size_t)row * in->width;
    in->available[row] = source->modality != NULL && source->modality->available[record] != 0;
    if (in->available[row] == 0) {
        for (uint32_t k = 0; in->x != NULL && k < in->width; k++)
            in->x[at + k] = NAN; /* not looked at by the constants; 0 once scaled */
        return;
    }
    if (in->tokens != NULL) {
        copy_tokens(source->modality->text, record, in, row);
        return;
    }
    csl_inputs_copy__(d, source, record, in->x + at);
    for (uint32_t k = 0; in->known != NULL && k < in->width; k++) {
        in->known[at + k] = (uint8_t)(isnan(in->x[at + k]) ? 0 : 1);
        if (in->length != NULL && in->known[at + k] != 0 && csl_domain_is_value(d, k))
            in->length[row] = k / d->shape[1] + 1;
    }
}

static void copy_target(const struct csl_record_label *const *labels, uint32_t record,
                        struct csl_targets *to, uint32_t row)
{
    for (uint32_t k = 0; to->value != NULL && k < to->labels; k++)
        to->value[(size_t)row * to->labels + k] =
            labels[k] != NULL ? labels[k]->value[record] : CSL_LABEL_UNKNOWN;
    if (to->time == NULL)
        return;
    to->time[row] = is_known(labels[0], record) ? labels[0]->time[record] : NAN;
    to->event[row] = (uint8_t)(is_known(labels[0], record) && labels[0]->event[record] > 0.0f);
}

static enum csl_code fill_groups(struct load *l, int split)
{
    struct csl_multimodal_split *s = &l->m->splits[split];
    struct csl_examples e = {.records = s->records, .patients = s->patients, .patient = s->patient};
    uint32_t *record, row = 0;
    if (l->spec->published == NULL || split != CSL_SPLIT_TRAIN || s->records == 0)
        return CSL_OK;
    record = csl_alloc_array(s->records, sizeof(*record));
    if (record == NULL)
        return no_memory(l);
    for (uint32_t i = 0; i < l->r.record_count; i++)
        if (is_kept(l, i, split))
            record[row++] = i;
    enum csl_code code = csl_examples_groups__(&l->r, l->spec->published, record, &e, l->err);
    csl_free(record);
    s->group = code == CSL_OK ? e.group : NULL;
    return code;
}

static enum csl_code fill_split(struct load *l, int split)
{
    struct csl_multimodal_split *s = &l->m->splits[split];
    for (uint32_t i = 0; i < l->r.record_count; i++)
        s->records += is_kept(l, i, split);
    enum csl_code code = split_room(l, split);
    uint32_t row = 0, last = UINT32_MAX;
    for (uint32_t i = 0; i < l->r.record_count && code == CSL_OK; i++) {
        if (!is_kept(l, i, split))
            continue;
        s->patients += l->r.patient[i] != last;
        last = l->r.patient[i];
        s->patient[row] = s->patients - 1;
        for (uint32_t k = 0; k < l->spec->input_count; k++)
            copy_input(&l->spec->inputs[k], &l->sources[k], i, &s->inputs[k], row);
        const struct csl_record_label *const *labels =
            (const struct csl_record_label *const *)l->labels;
        for (uint32_t k = 0; k < l->spec->target_count; k++) {
            copy_target(labels, i, &s->targets[k], row);
            labels += l->spec->targets[k].label_count;
        }
        row++;
    }
    return code == CSL_OK ? fill_groups(l, split) : code;
}

static enum csl_code scale_input(struct load *l, uint32_t index)
{
    const struct csl_domain *d = &l->spec->inputs[index];
    struct csl_examples e = {.width = d->width};
    struct csl_feature_constants c;
    if (d->modality == CSL_TEXT)
        return CSL_OK;
    e.records = l->m->splits[CSL_SPLIT_TRAIN].records;
    e.x = l->m->splits[CSL_SPLIT_TRAIN].inputs[index].x;
    enum csl_code code = csl_constants_make__(d, &e, &c, l->err);
    if (code != CSL_OK)
        return code;
    for (int s = 0; s < CSL_SPLIT_COUNT && code == CSL_OK; s++) {
        e.records = l->m->splits[s].records;
        e.x = l->m->splits[s].inputs[index].x;
        code = csl_examples_scale__(&e, d, &c, l->spec->saturates, l->err);
    }
    csl_constants_release__(&c);
    return code;
}

static enum csl_code check_spec(const struct csl_multimodal_spec *spec, struct csl_err *err)
{
    bool ok = spec->input_count > 0 && spec->target_count > 0;
    for (uint32_t i = 0; i < spec->target_count; i++)
        ok = ok && spec->targets[i].label_count > 0 &&
             (spec->targets[i].label_count == 1 || spec->targets[i].kind == CSL_TASK_BINARY);
    return ok ? CSL_OK
              : CSL_FAIL(err, CSL_E_INVAL,
                         "inputs and targets, several labels of one target all binary, would be "
                         "right");
}

static enum csl_code load_all(struct load *l)
{
    const struct csl_record_wanted wanted = {wants_modality, wants_label, l->spec};
    enum csl_code code = csl_records_read__wanted(&l->r, l->path, &wanted, l->err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(l->m->site, sizeof(l->m->site), l->r.site));
    l->m->input_count = l->spec->input_count;
    l->m->target_count = l->spec->target_count;
    code = find_inputs(l);
    if (code == CSL_OK)
        code = find_labels(l);
    for (int s = 0; s < CSL_SPLIT_COUNT && code == CSL_OK; s++)
        code = fill_split(l, s);
    for (uint32_t i = 0; i < l->spec->input_count && code == CSL_OK; i++)
        code = scale_input(l, i);
    return code;
}

enum csl_code csl_multimodal_load(struct csl_multimodal **out, const char *record_path,
                                  const struct csl_multimodal_spec *spec, struct csl_err *err)
{
    enum csl_code code = check_spec(spec, err);
    if (code != CSL_OK)
        return code;
    struct load *l = csl_alloc(sizeof(*l));
    struct csl_multimodal *m = csl_alloc(sizeof(*m));
    if (l == NULL || m == NULL) {
        csl_free(l);
        csl_free(m);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", record_path);
    }
    *l = (struct load){.spec = spec, .path = record_path, .m = m, .err = err};
    code = load_all(l);
    for (uint32_t i = 0; l->sources != NULL && i < spec->input_count; i++)
        csl_source_release__(&l->sources[i]);
    csl_free(l->sources);
    csl_free(l->labels);
    csl_records_release(&l->r);
    csl_free(l);
    if (code == CSL_OK)
        *out = m;
    else
        csl_multimodal_free(m);
    return code;
}
