#include "site-agent/data/record_internal.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

const struct csl_kind csl_kinds__[CSL_KIND_COUNT] = {
    {"tabular", 1, true}, {"image2d", 3, false},   {"signal", 2, false}, {"ehr_series", 2, true},
    {"text", 1, false},   {"embedding", 1, false}, {"image3d", 4, false}};

const struct csl_kind *csl_kind_find__(const char *name)
{
    for (int i = 0; i < CSL_KIND_COUNT; i++)
        if (strcmp(csl_kinds__[i].name, name) == 0)
            return &csl_kinds__[i];
    return NULL;
}

bool csl_modality_is_named__(const struct csl_record_modality *m)
{
    const struct csl_kind *kind = csl_kind_find__(m->kind);
    return kind != NULL && kind->is_named;
}

uint32_t csl_modality_names__(const struct csl_record_modality *m)
{
    return m->shape[m->rank - 1];
}

static void text_free(struct csl_record_text *t)
{
    if (t == NULL)
        return;
    csl_free(t->offsets);
    csl_free(t->tokens);
    csl_free(t->kept_offsets);
    csl_free(t->kept);
    csl_free(t);
}

void csl_records_release(struct csl_records *r)
{
    if (r == NULL)
        return;
    csl_free(r->patient_id);
    csl_free(r->split);
    csl_free(r->patient);
    csl_free(r->time);
    for (uint32_t i = 0; i < r->modality_count; i++) {
        struct csl_record_modality *m = &r->modalities[i];
        csl_free(m->values);
        csl_free(m->available);
        csl_free(m->feature_names);
        csl_free(m->feature_units);
        csl_free(m->range_min);
        csl_free(m->range_max);
        text_free(m->text);
    }
    for (uint32_t i = 0; i < r->label_count; i++) {
        csl_free(r->labels[i].value);
        csl_free(r->labels[i].time);
        csl_free(r->labels[i].event);
    }
    for (uint32_t i = 0; i < r->attribute_count; i++)
        csl_free(r->attributes[i].value);
    memset(r, 0, sizeof(*r));
}

uint32_t csl_modality_width__(const struct csl_record_modality *m)
{
    uint64_t width = 1;
    for (uint32_t i = 0; i < m->rank && i < 4; i++)
        if (!csl_mul_u64(width, m->shape[i], &width))
            return UINT32_MAX;
    return width > UINT32_MAX ? UINT32_MAX : (uint32_t)width;
}

/* Bytes of the UTF-8 sequence at p (NUL-terminated), or 0 when there is none. */
static size_t utf8_bytes(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = (p[0] & 0xe0) == 0xc0   ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    uint32_t point = n == 0 ? 0 : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0 || point < least[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    return n;
}

bool csl_text_valid__(const char *text, size_t max_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = 0;
    while (n < max_bytes && p[n] != 0) {
        size_t step = utf8_bytes(p + n);
        if (step == 0 || p[n] < 0x20 || p[n] == 0x7f)
            return false;
        n += step;
    }
    return n > 0 && n < max_bytes;
}

bool csl_value_equal__(const char *a, const char *b)
{
    double x, y;
    if (strcmp(a, b) == 0)
        return true;
    return csl_parse_f64(a, &x) && csl_parse_f64(b, &y) && x == y;
}

const struct csl_record_modality *csl_records_modality__(const struct csl_records *r,
                                                         const char *name)
{
    for (uint32_t i = 0; i < r->modality_count; i++)
        if (strcmp(r->modalities[i].name, name) == 0)
            return &r->modalities[i];
    return NULL;
}

const struct csl_record_label *csl_records_label__(const struct csl_records *r, const char *name)
{
    for (uint32_t i = 0; i < r->label_count; i++)
        if (strcmp(r->labels[i].name, name) == 0)
            return &r->labels[i];
    return NULL;
}

/* --- rules --- */

struct subject { /* whom a failure is about */
    const char *file;
    enum csl_code code;
    struct csl_err *err;
};

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The first text that occurs twice among `count` texts `stride` bytes apart; *twice NULL: none. */
static enum csl_code find_twice(const char *texts, size_t stride, uint32_t count,
                                const char **twice, struct csl_err *err)
{
    *twice = NULL;
    const char **sorted = csl_alloc_array(count, sizeof(*sorted));
    if (sorted == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to compare %u names", count);
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = texts + (size_t)i * stride;
    qsort(sorted, count, sizeof(*sorted), compare_text);
    for (uint32_t i = 1; i < count && *twice == NULL; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            *twice = sorted[i];
    csl_free(sorted);
    return CSL_OK;
}

static enum csl_code check_patients(const struct csl_records *r, const struct subject *s)
{
    const char *twice;
    if (r->patient_count == 0 || r->patient_count > CSL_SITE_RECORDS_MAX)
        return CSL_FAIL(s->err, s->code, "%s: /patients/id: %u patients; 1 to %u would be right",
                        s->file, r->patient_count, CSL_SITE_RECORDS_MAX);
    for (uint32_t i = 0; i < r->patient_count; i++) {
        if (!csl_text_valid__(r->patient_id[i], sizeof(r->patient_id[i])))
            return CSL_FAIL(s->err, s->code,
                            "%s: /patients/id: entry %u is not 1 to 63 bytes of printable UTF-8",
                            s->file, i);
        if (r->split[i] > 2)
            return CSL_FAIL(s->err, s->code,
                            "%s: /patients/split: entry %u is %u; 0, 1 or 2 would be right",
                            s->file, i, r->split[i]);
    }
    enum csl_code code =
        find_twice(r->patient_id[0], sizeof(r->patient_id[0]), r->patient_count, &twice, s->err);
    if (code == CSL_OK && twice != NULL)
        return CSL_FAIL(s->err, s->code, "%s: /patients/id: one key occurs more than once",
                        s->file);
    return code;
}

static enum csl_code check_index(const struct csl_records *r, const struct subject *s)
{
    if (r->record_count == 0 || r->record_count > CSL_SITE_RECORDS_MAX)
        return CSL_FAIL(s->err, s->code, "%s: /records/patient: %u records; 1 to %u would be right",
                        s->file, r->record_count, CSL_SITE_RECORDS_MAX);
    for (uint32_t i = 0; i < r->record_count; i++) {
        if (r->patient[i] >= r->patient_count)
            return CSL_FAIL(s->err, s->code,
                            "%s: /records/patient: record %u belongs to patient %u of %u", s->file,
                            i, r->patient[i], r->patient_count);
        if (i > 0 && r->patient[i] < r->patient[i - 1])
            return CSL_FAIL(s->err, s->code,
                            "%s: /records/patient: record %u goes back to patient %u; ascending "
                            "order would be right",
                            s->file, i, r->patient[i]);
    }
    return CSL_OK;
}

static enum csl_code check_features(const struct csl_record_modality *m, const struct subject *s)
{
    const char *twice;
    uint32_t count = csl_modality_names__(m);
    for (uint32_t i = 0; i < count; i++) {
        if (!csl_text_valid__(m->feature_names[i], sizeof(m->feature_names[i])))
            return CSL_FAIL(s->err, s->code,
                            "%s: /modalities/%s: name of feature %u is not 1 to 63 bytes of "
                            "printable UTF-8",
                            s->file, m->name, i);
        if (m->feature_units[i][0] != '\0' &&
            !csl_text_valid__(m->feature_units[i], sizeof(m->feature_units[i])))
            return CSL_FAIL(s->err, s->code,
                            "%s: /modalities/%s: unit of feature %s is not up to 23 bytes of "
                            "printable UTF-8",
                            s->file, m->name, m->feature_names[i]);
        if (!isfinite(m->range_min[i]) || !isfinite(m->range_max[i]) ||
            m->range_min[i] > m->range_max[i])
            return CSL_FAIL(s->err, s->code,
                            "%s: /modalities/%s: range of feature %s is %g to %g; two finite "
                            "ascending numbers would be right",
                            s->file, m->name, m->feature_names[i], m->range_min[i],
                            m->range_max[i]);
    }
    enum csl_code code =
        find_twice(m->feature_names[0], sizeof(m->feature_names[0]), count, &twice, s->err);
    if (code == CSL_OK && twice != NULL)
        return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: feature %s occurs twice", s->file,
                        m->name, twice);
    return code;
}

static enum csl_code check_kind(const struct csl_record_modality *m, const struct subject *s)
{
    const struct csl_kind *kind = csl_kind_find__(m->kind);
    if (kind == NULL)
        return CSL_FAIL(s->err, s->code,
                        "%s: /modalities/%s: kind is '%s'; tabular, image2d, signal, ehr_series, "
                        "text, embedding or image3d would be right",
                        s->file, m->name, m->kind);
    if (m->rank != kind->rank)
        return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: %u axes per record; %s has %u",
                        s->file, m->name, m->rank, m->kind, kind->rank);
    uint32_t width = csl_modality_width__(m);
    uint32_t most = strcmp(kind->name, "tabular") == 0 ? CSL_NAMED_FEATURES_MAX : CSL_FEATURES_MAX;
    if (width == 0 || width > most)
        return CSL_FAIL(s->err, s->code,
                        "%s: /modalities/%s: %u values per record; 1 to %u would be right", s->file,
                        m->name, width, most);
    if (!isfinite(m->sampling_rate_hz) || m->sampling_rate_hz < 0.0)
        return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: sampling rate %g Hz", s->file,
                        m->name, m->sampling_rate_hz);
    if (kind->is_named && csl_modality_names__(m) > CSL_NAMED_FEATURES_MAX)
        return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: %u variables; at most %d are allowed",
                        s->file, m->name, csl_modality_names__(m), CSL_NAMED_FEATURES_MAX);
    if ((strcmp(kind->name, "text") == 0) != (m->text != NULL))
        return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: kind text, and only it, has tokens",
                        s->file, m->name);
    return kind->is_named ? check_features(m, s) : CSL_OK;
}

/* Where each note begins and ends, in tokens or in bytes. */
static enum csl_code check_offsets(const struct csl_records *r, const struct csl_record_modality *m,
                                   const uint64_t *offsets, uint64_t most, const struct subject *s)
{
    for (uint32_t i = 0; i <= r->record_count; i++)
        if (i == 0 ? offsets[0] != 0
                   : offsets[i] < offsets[i - 1] || offsets[i] - offsets[i - 1] > most)
            return CSL_FAIL(s->err, s->code,
                            "%s: /modalities/%s: offset %u does not follow the one before it by "
                            "at most %llu",
                            s->file, m->name, i, (unsigned long long)most);
    return CSL_OK;
}

static enum csl_code check_text(const struct csl_records *r, const struct csl_record_modality *m,
                                const struct subject *s)
{
    const struct csl_record_text *t = m->text;
    const struct csl_text_rule *rule = &t->rule;
    if (rule->buckets < 2 || rule->buckets > CSL_TEXT_BUCKETS_MAX || rule->ngrams < 1 ||
        rule->ngrams > CSL_TEXT_NGRAMS_MAX || rule->tokens_max != m->shape[0])
        return CSL_FAIL(s->err, s->code,
                        "%s: /modalities/%s: %u buckets, n-grams of %u words, %u tokens; 2 to %u, "
                        "1 to %d and %u would be right",
                        s->file, m->name, rule->buckets, rule->ngrams, rule->tokens_max,
                        CSL_TEXT_BUCKETS_MAX, CSL_TEXT_NGRAMS_MAX, m->shape[0]);
    if ((t->kept == NULL) != (t->kept_offsets == NULL))
        return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: kept notes without their offsets",
                        s->file, m->name);
    if (t->offsets == NULL) /* not wanted */
        return CSL_OK;
    enum csl_code code = check_offsets(r, m, t->offsets, rule->tokens_max, s);
    if (code == CSL_OK && t->kept_offsets != NULL)
        code = check_offsets(r, m, t->kept_offsets, UINT32_MAX, s);
    if (code != CSL_OK)
        return code;
    if (t->offsets[r->record_count] == 0)
        return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: no record has a word", s->file,
                        m->name);
    for (uint64_t k = 0; k < t->offsets[r->record_count]; k++)
        if (t->tokens[k] == 0 || t->tokens[k] >= rule->buckets)
            return CSL_FAIL(s->err, s->code,
                            "%s: /modalities/%s: a token is not in the range 1 to %u", s->file,
                            m->name, rule->buckets - 1);
    for (uint32_t i = 0; i < r->record_count; i++)
        if (m->available[i] != (t->offsets[i + 1] > t->offsets[i]))
            return CSL_FAIL(s->err, s->code,
                            "%s: /modalities/%s: record %u has tokens and is marked unavailable, "
                            "or the other way round",
                            s->file, m->name, i);
    return CSL_OK;
}

static enum csl_code check_values(const struct csl_records *r, const struct csl_record_modality *m,
                                  const struct subject *s)
{
    size_t width = csl_modality_width__(m);
    for (uint32_t i = 0; i < r->record_count; i++) {
        if (m->available[i] > 1)
            return CSL_FAIL(s->err, s->code,
                            "%s: /records/availability: entry %u of %s is %u; 0 or 1 would be "
                            "right",
                            s->file, i, m->name, m->available[i]);
        if (m->values == NULL)
            continue;
        const float *row = m->values + i * width;
        for (size_t k = 0; k < width; k++) {
            if (isinf(row[k]))
                return CSL_FAIL(s->err, s->code, "%s: /modalities/%s: record %u holds an infinity",
                                s->file, m->name, i);
            if (m->available[i] == 0 && !isnan(row[k]))
                return CSL_FAIL(s->err, s->code,
                                "%s: /modalities/%s: record %u has values though it is marked "
                                "unavailable",
                                s->file, m->name, i);
        }
    }
    return CSL_OK;
}

static enum csl_code check_label(const struct csl_records *r, const struct csl_record_label *l,
                                 const struct subject *s)
{
    if (l->classes == 1 || l->classes > CSL_CLASSES_MAX)
        return CSL_FAIL(s->err, s->code,
                        "%s: /labels/%s: %u classes; 2 to %d, or 0 for survival, would be right",
                        s->file, l->name, l->classes, CSL_CLASSES_MAX);
    for (uint32_t i = 0; i < r->record_count && l->value != NULL; i++)
        if (l->value[i] < CSL_LABEL_UNKNOWN || l->value[i] >= (int32_t)l->classes)
            return CSL_FAIL(s->err, s->code,
                            "%s: /labels/%s: record %u has class %d; -1 to %u would be right",
                            s->file, l->name, i, l->value[i], l->classes - 1);
    for (uint32_t i = 0; i < r->record_count && l->time != NULL; i++) {
        if (isnan(l->time[i]))
            continue;
        if (isinf(l->time[i]) || l->time[i] < 0.0f)
            return CSL_FAIL(s->err, s->code,
                            "%s: /labels/%s: time of record %u is not a finite number from 0 on",
                            s->file, l->name, i);
        if (!(l->event[i] == 0.0f || l->event[i] == 1.0f))
            return CSL_FAIL(s->err, s->code,
                            "%s: /labels/%s: event of record %u is neither 0 nor 1", s->file,
                            l->name, i);
    }
    return CSL_OK;
}

static enum csl_code check_name(const char *group, const char *name, const struct subject *s)
{
    if (csl_text_valid__(name, CSL_ID_MAX) && strchr(name, '/') == NULL && strcmp(name, ".") != 0)
        return CSL_OK;
    return CSL_FAIL(s->err, s->code,
                    "%s: /%s: a name in it is not 1 to 63 bytes of printable UTF-8 without '/'",
                    s->file, group);
}

static enum csl_code check_attributes(const struct csl_records *r, const struct subject *s)
{
    for (uint32_t k = 0; k < r->attribute_count; k++) {
        const struct csl_record_attribute *a = &r->attributes[k];
        enum csl_code code = check_name("patients", a->name, s);
        if (code != CSL_OK)
            return code;
        if (strcmp(a->name, "id") == 0 || strcmp(a->name, "split") == 0)
            return CSL_FAIL(s->err, s->code, "%s: /patients: an attribute cannot be named %s",
                            s->file, a->name);
        for (uint32_t j = 0; j < k; j++)
            if (strcmp(a->name, r->attributes[j].name) == 0)
                return CSL_FAIL(s->err, s->code, "%s: /patients/%s occurs twice", s->file, a->name);
        for (uint32_t i = 0; i < r->patient_count; i++)
            if (a->value[i][0] != '\0' && !csl_text_valid__(a->value[i], sizeof(a->value[i])))
                return CSL_FAIL(s->err, s->code,
                                "%s: /patients/%s: entry %u is not up to 31 bytes of printable "
                                "UTF-8",
                                s->file, a->name, i);
    }
    return CSL_OK;
}

static enum csl_code check_parts(const struct csl_records *r, const struct subject *s)
{
    enum csl_code code = CSL_OK;
    for (uint32_t k = 0; k < r->modality_count && code == CSL_OK; k++) {
        const struct csl_record_modality *m = &r->modalities[k];
        if (csl_records_modality__(r, m->name) != m)
            return CSL_FAIL(s->err, s->code, "%s: /modalities/%s occurs twice", s->file, m->name);
        code = check_name("modalities", m->name, s);
        if (code == CSL_OK)
            code = check_kind(m, s);
        if (code == CSL_OK)
            code = check_values(r, m, s);
        if (code == CSL_OK && m->text != NULL)
            code = check_text(r, m, s);
    }
    for (uint32_t k = 0; k < r->label_count && code == CSL_OK; k++) {
        const struct csl_record_label *l = &r->labels[k];
        if (csl_records_label__(r, l->name) != l)
            return CSL_FAIL(s->err, s->code, "%s: /labels/%s occurs twice", s->file, l->name);
        code = check_name("labels", l->name, s);
        if (code == CSL_OK)
            code = check_label(r, l, s);
    }
    return code;
}

enum csl_code csl_records_validate__(const struct csl_records *r, const char *file,
                                     enum csl_code code, struct csl_err *err)
{
    const struct subject s = {file, code, err};
    if (!csl_id_valid(r->site))
        return CSL_FAIL(err, code, "%s: attribute site is not a site id ([a-z0-9][a-z0-9._-]*)",
                        file);
    if (r->modality_count > CSL_MODALITIES_MAX || r->label_count > CSL_LABELS_MAX ||
        r->attribute_count > CSL_ATTRIBUTES_MAX)
        return CSL_FAIL(err, code,
                        "%s: %u modalities, %u labels, %u attributes; at most %d, %d and %d", file,
                        r->modality_count, r->label_count, r->attribute_count, CSL_MODALITIES_MAX,
                        CSL_LABELS_MAX, CSL_ATTRIBUTES_MAX);
    if ((r->licence[0] != '\0' && !csl_text_valid__(r->licence, sizeof(r->licence))) ||
        (r->split_rule[0] != '\0' && !csl_text_valid__(r->split_rule, sizeof(r->split_rule))))
        return CSL_FAIL(err, code, "%s: licence or split_rule is not printable UTF-8", file);
    enum csl_code result = check_patients(r, &s);
    if (result == CSL_OK)
        result = check_index(r, &s);
    if (result == CSL_OK)
        result = check_attributes(r, &s);
    if (result == CSL_OK)
        result = check_parts(r, &s);
    return result;
}
