#include "site-agent/data/h5_read.h"
#include "site-agent/data/record_internal.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct reader {
    struct csl_h5 h5;
    const struct csl_record_wanted *wanted;
    struct csl_records r;
};

/* "/labels/disease" */
static const char *path_of(char out[192], const char *group, const char *name)
{
    snprintf(out, 192, "/%s/%s", group, name);
    return out;
}

/* One 1-d data set whose extent is *count, or sets it when *count is 0. */
static enum csl_code read_column(struct reader *rd, hid_t group, const char *group_name,
                                 const char *name, enum csl_h5_type type, uint32_t *count,
                                 void **out)
{
    char shown[192];
    hid_t set;
    int rank;
    uint64_t dims[CSL_H5_RANK_MAX];
    path_of(shown, group_name, name);
    enum csl_code code = csl_h5_open_set(&rd->h5, group, name, shown, &set);
    if (code != CSL_OK)
        return code;
    code = csl_h5_extents(&rd->h5, set, shown, 1, 1, &rank, dims);
    if (code == CSL_OK &&
        (dims[0] == 0 || dims[0] > CSL_SITE_RECORDS_MAX || (*count != 0 && dims[0] != *count)))
        code = csl_h5_fail(&rd->h5, shown, "has %llu entries; %u would be right",
                           (unsigned long long)dims[0], *count == 0 ? 1 : *count);
    if (code == CSL_OK)
        code = csl_h5_read_set(&rd->h5, set, shown, type, dims[0], out);
    if (code == CSL_OK)
        *count = (uint32_t)dims[0];
    H5Dclose(set);
    return code;
}

static enum csl_code read_string_column(struct reader *rd, hid_t group, const char *name,
                                        size_t bytes, void **out)
{
    char shown[192];
    hid_t set;
    path_of(shown, "patients", name);
    enum csl_code code = csl_h5_open_set(&rd->h5, group, name, shown, &set);
    if (code != CSL_OK)
        return code;
    code = csl_h5_read_strings(&rd->h5, set, shown, rd->r.patient_count, bytes, out);
    H5Dclose(set);
    return code;
}

static enum csl_code read_patients(struct reader *rd)
{
    struct csl_records *r = &rd->r;
    char names[CSL_ATTRIBUTES_MAX + 2][64];
    uint32_t count = 0;
    void *p = NULL;
    hid_t g;
    enum csl_code code = csl_h5_open_group(&rd->h5, rd->h5.file, "patients", "/patients", &g);
    if (code != CSL_OK)
        return code;
    code = csl_h5_list(&rd->h5, g, "/patients", names, CSL_ATTRIBUTES_MAX + 2, &count);
    if (code == CSL_OK)
        code = read_column(rd, g, "patients", "split", CSL_H5_U8, &r->patient_count, &p);
    if (code == CSL_OK) {
        r->split = p;
        code = read_string_column(rd, g, "id", sizeof(r->patient_id[0]), &p);
    }
    if (code == CSL_OK)
        r->patient_id = p;
    for (uint32_t i = 0; i < count && code == CSL_OK; i++) {
        if (strcmp(names[i], "id") == 0 || strcmp(names[i], "split") == 0)
            continue;
        if (r->attribute_count == CSL_ATTRIBUTES_MAX) {
            code = csl_h5_fail(&rd->h5, "/patients", "has more than %d attributes",
                               CSL_ATTRIBUTES_MAX);
            break;
        }
        struct csl_record_attribute *a = &r->attributes[r->attribute_count];
        code = read_string_column(rd, g, names[i], sizeof(a->value[0]), &p);
        if (code == CSL_OK) {
            a->value = p;
            memcpy(a->name, names[i], sizeof(a->name));
            r->attribute_count++;
        }
    }
    H5Gclose(g);
    return code;
}

/* Spreads /records/availability over the modalities its attribute names, which fixes their order.
 */
static enum csl_code read_availability(struct reader *rd, hid_t group, uint32_t modality_count)
{
    static const char shown[] = "/records/availability";
    struct csl_records *r = &rd->r;
    char names[CSL_MODALITIES_MAX][64];
    int rank;
    uint64_t dims[CSL_H5_RANK_MAX];
    void *bits = NULL;
    hid_t set;
    enum csl_code code = csl_h5_open_set(&rd->h5, group, "availability", shown, &set);
    if (code != CSL_OK)
        return code;
    code = csl_h5_extents(&rd->h5, set, shown, 2, 2, &rank, dims);
    if (code == CSL_OK && (dims[0] != r->record_count || dims[1] != modality_count))
        code =
            csl_h5_fail(&rd->h5, shown, "is %llu x %llu; %u records x %u modalities would be right",
                        (unsigned long long)dims[0], (unsigned long long)dims[1], r->record_count,
                        modality_count);
    if (code == CSL_OK)
        code = csl_h5_texts(&rd->h5, set, shown, "modalities", modality_count, sizeof(names[0]),
                            names);
    if (code == CSL_OK)
        code = csl_h5_read_set(&rd->h5, set, shown, CSL_H5_U8, dims[0] * dims[1], &bits);
    for (uint32_t k = 0; k < modality_count && code == CSL_OK; k++) {
        struct csl_record_modality *m = &r->modalities[k];
        memcpy(m->name, names[k], sizeof(m->name));
        m->available = csl_alloc(r->record_count);
        r->modality_count = k + 1;
        if (m->available == NULL)
            code = CSL_FAIL(rd->h5.err, CSL_E_NOMEM, "no memory for %s of %s", shown, rd->h5.path);
        for (uint32_t i = 0; i < r->record_count && code == CSL_OK; i++)
            m->available[i] = ((const uint8_t *)bits)[(size_t)i * modality_count + k];
    }
    csl_free(bits);
    H5Dclose(set);
    return code;
}

static enum csl_code read_index(struct reader *rd, uint32_t modality_count)
{
    struct csl_records *r = &rd->r;
    void *p = NULL;
    hid_t g;
    enum csl_code code = csl_h5_open_group(&rd->h5, rd->h5.file, "records", "/records", &g);
    if (code != CSL_OK)
        return code;
    code = read_column(rd, g, "records", "patient", CSL_H5_U32, &r->record_count, &p);
    if (code == CSL_OK) {
        r->patient = p;
        code = read_column(rd, g, "records", "time", CSL_H5_I64, &r->record_count, &p);
    }
    if (code == CSL_OK) {
        r->time = p;
        if (modality_count > 0)
            code = read_availability(rd, g, modality_count);
    }
    H5Gclose(g);
    return code;
}

static enum csl_code read_features(struct reader *rd, hid_t set, const char *shown,
                                   struct csl_record_modality *m)
{
    size_t count = csl_modality_names__(m);
    m->feature_names = csl_alloc_array(count, sizeof(m->feature_names[0]));
    m->feature_units = csl_alloc_array(count, sizeof(m->feature_units[0]));
    m->range_min = csl_alloc_array(count, sizeof(double));
    m->range_max = csl_alloc_array(count, sizeof(double));
    if (m->feature_names == NULL || m->feature_units == NULL || m->range_min == NULL ||
        m->range_max == NULL)
        return CSL_FAIL(rd->h5.err, CSL_E_NOMEM, "no memory for %s of %s", shown, rd->h5.path);
    enum csl_code code = csl_h5_texts(&rd->h5, set, shown, "names", count,
                                      sizeof(m->feature_names[0]), m->feature_names);
    if (code == CSL_OK)
        code = csl_h5_texts(&rd->h5, set, shown, "units", count, sizeof(m->feature_units[0]),
                            m->feature_units);
    if (code == CSL_OK)
        code = csl_h5_numbers(&rd->h5, set, shown, "range_min", false, CSL_H5_F64, count,
                              m->range_min);
    if (code == CSL_OK)
        code = csl_h5_numbers(&rd->h5, set, shown, "range_max", false, CSL_H5_F64, count,
                              m->range_max);
    return code;
}

static enum csl_code read_modality_set(struct reader *rd, hid_t set, const char *shown,
                                       struct csl_record_modality *m)
{
    int rank;
    uint64_t dims[CSL_H5_RANK_MAX], width = 1;
    void *p = NULL;
    enum csl_code code = csl_h5_extents(&rd->h5, set, shown, 2, CSL_H5_RANK_MAX, &rank, dims);
    if (code != CSL_OK)
        return code;
    if (dims[0] != rd->r.record_count)
        return csl_h5_fail(&rd->h5, shown, "has %llu records; %u would be right",
                           (unsigned long long)dims[0], rd->r.record_count);
    for (int i = 1; i < rank; i++) {
        if (dims[i] == 0 || dims[i] > CSL_FEATURES_MAX)
            return csl_h5_fail(&rd->h5, shown, "axis %d has extent %llu; 1 to %d would be right", i,
                               (unsigned long long)dims[i], CSL_FEATURES_MAX);
        m->shape[i - 1] = (uint32_t)dims[i];
        if (!csl_mul_u64(width, dims[i], &width))
            return csl_h5_fail(&rd->h5, shown, "its extents are too large");
    }
    m->rank = (uint32_t)rank - 1;
    code = csl_h5_text(&rd->h5, set, shown, "kind", false, m->kind, sizeof(m->kind));
    if (code == CSL_OK)
        code = csl_h5_numbers(&rd->h5, set, shown, "sampling_rate_hz", true, CSL_H5_F64, 0,
                              &m->sampling_rate_hz);
    const struct csl_kind *kind = csl_kind_find__(m->kind);
    if (code == CSL_OK &&
        (width > CSL_FEATURES_MAX || kind == NULL || kind->rank != m->rank || m->text != NULL))
        code = csl_h5_fail(&rd->h5, shown, "%llu values on %d axes do not fit kind '%s'",
                           (unsigned long long)width, rank, m->kind);
    if (code == CSL_OK && kind->is_named)
        code = read_features(rd, set, shown, m);
    if (code != CSL_OK ||
        (rd->wanted->modality != NULL && !rd->wanted->modality(rd->wanted->ctx, m)))
        return code;
    code = csl_h5_read_set(&rd->h5, set, shown, CSL_H5_F32, dims[0] * width, &p);
    m->values = p;
    return code;
}

/* A data set of a text group with `count` values. */
static enum csl_code read_part(struct reader *rd, hid_t group, const char *shown, const char *name,
                               enum csl_h5_type type, uint64_t count, void **out)
{
    hid_t set;
    enum csl_code code = csl_h5_open_set(&rd->h5, group, name, shown, &set);
    if (code != CSL_OK)
        return code;
    code = csl_h5_read_set(&rd->h5, set, shown, type, count, out);
    H5Dclose(set);
    return code;
}

static enum csl_code read_text_rule(struct reader *rd, hid_t group, const char *shown,
                                    struct csl_record_modality *m)
{
    char hash[32] = "";
    struct csl_text_rule *rule = &m->text->rule;
    const struct {
        const char *name;
        uint32_t *out;
    } numbers[] = {
        {"buckets", &rule->buckets}, {"ngrams", &rule->ngrams}, {"tokens_max", &rule->tokens_max}};
    enum csl_code code =
        csl_h5_text(&rd->h5, group, shown, "kind", false, m->kind, sizeof(m->kind));
    if (code == CSL_OK)
        code = csl_h5_text(&rd->h5, group, shown, "hash", false, hash, sizeof(hash));
    if (code == CSL_OK && (strcmp(m->kind, "text") != 0 || strcmp(hash, CSL_TEXT_HASH) != 0))
        code = csl_h5_fail(&rd->h5, shown, "is a group, but not text hashed by %s", CSL_TEXT_HASH);
    for (size_t i = 0; i < 3 && code == CSL_OK; i++)
        code = csl_h5_numbers(&rd->h5, group, shown, numbers[i].name, false, CSL_H5_U32, 0,
                              numbers[i].out);
    m->rank = 1;
    m->shape[0] = rule->tokens_max;
    return code;
}

static enum csl_code read_notes(struct reader *rd, hid_t group, const char *shown,
                                struct csl_record_text *t)
{
    uint64_t records = rd->r.record_count;
    void *p = NULL;
    enum csl_code code = read_part(rd, group, shown, "offsets", CSL_H5_U64, records + 1, &p);
    t->offsets = p;
    if (code == CSL_OK && t->offsets[records] == 0)
        code = csl_h5_fail(&rd->h5, shown, "holds no token");
    p = NULL;
    if (code == CSL_OK)
        code = read_part(rd, group, shown, "tokens", CSL_H5_U32, t->offsets[records], &p);
    t->tokens = p;
    if (code != CSL_OK || H5Lexists(group, "text_offsets", H5P_DEFAULT) <= 0)
        return code;
    p = NULL;
    code = read_part(rd, group, shown, "text_offsets", CSL_H5_U64, records + 1, &p);
    t->kept_offsets = p;
    if (code == CSL_OK && t->kept_offsets[records] == 0)
        code = csl_h5_fail(&rd->h5, shown, "holds no text");
    p = NULL;
    if (code == CSL_OK)
        code = read_part(rd, group, shown, "text", CSL_H5_U8, t->kept_offsets[records], &p);
    t->kept = p;
    return code;
}

static enum csl_code read_text(struct reader *rd, hid_t parent, const char *shown,
                               struct csl_record_modality *m)
{
    hid_t group;
    enum csl_code code = csl_h5_open_group(&rd->h5, parent, m->name, shown, &group);
    if (code != CSL_OK)
        return code;
    m->text = csl_alloc(sizeof(*m->text));
    if (m->text == NULL)
        code = CSL_FAIL(rd->h5.err, CSL_E_NOMEM, "no memory for %s of %s", shown, rd->h5.path);
    if (code == CSL_OK)
        code = read_text_rule(rd, group, shown, m);
    if (code == CSL_OK &&
        (rd->wanted->modality == NULL || rd->wanted->modality(rd->wanted->ctx, m)))
        code = read_notes(rd, group, shown, m->text);
    H5Gclose(group);
    return code;
}

static enum csl_code read_modalities(struct reader *rd, hid_t group)
{
    enum csl_code code = CSL_OK;
    for (uint32_t k = 0; k < rd->r.modality_count && code == CSL_OK; k++) {
        char shown[192];
        hid_t set;
        struct csl_record_modality *m = &rd->r.modalities[k];
        if (!csl_text_valid__(m->name, sizeof(m->name)) || strchr(m->name, '/') != NULL)
            return csl_h5_fail(&rd->h5, "/records/availability", "name of column %u is not a link",
                               k);
        path_of(shown, "modalities", m->name);
        if (csl_h5_is_group(group, m->name)) {
            code = read_text(rd, group, shown, m);
            continue;
        }
        code = csl_h5_open_set(&rd->h5, group, m->name, shown, &set);
        if (code != CSL_OK)
            return code;
        code = read_modality_set(rd, set, shown, m);
        H5Dclose(set);
    }
    return code;
}

static enum csl_code read_survival(struct reader *rd, hid_t set, const char *shown,
                                   struct csl_record_label *l)
{
    int rank;
    uint64_t dims[CSL_H5_RANK_MAX];
    void *p = NULL;
    size_t count = rd->r.record_count;
    enum csl_code code = csl_h5_extents(&rd->h5, set, shown, 2, 2, &rank, dims);
    if (code == CSL_OK && (dims[0] != count || dims[1] != 2))
        code = csl_h5_fail(&rd->h5, shown, "is %llu x %llu; %zu x 2 would be right",
                           (unsigned long long)dims[0], (unsigned long long)dims[1], count);
    if (code == CSL_OK)
        code = csl_h5_read_set(&rd->h5, set, shown, CSL_H5_F32, 2 * count, &p);
    if (code != CSL_OK)
        return code;
    const float *pairs = p;
    l->time = csl_alloc_array(count, sizeof(float));
    l->event = csl_alloc_array(count, sizeof(float));
    if (l->time == NULL || l->event == NULL) {
        csl_free(p);
        return CSL_FAIL(rd->h5.err, CSL_E_NOMEM, "no memory for %s of %s", shown, rd->h5.path);
    }
    for (size_t i = 0; i < count; i++) {
        l->time[i] = pairs[2 * i];
        l->event[i] = isnan(pairs[2 * i]) ? 0.0f : pairs[2 * i + 1];
    }
    csl_free(p);
    return CSL_OK;
}

static enum csl_code read_label(struct reader *rd, hid_t group, struct csl_record_label *l)
{
    char shown[192];
    hid_t set;
    int rank;
    uint64_t dims[CSL_H5_RANK_MAX];
    void *p = NULL;
    path_of(shown, "labels", l->name);
    enum csl_code code = csl_h5_open_set(&rd->h5, group, l->name, shown, &set);
    if (code != CSL_OK)
        return code;
    code = csl_h5_numbers(&rd->h5, set, shown, "classes", false, CSL_H5_U32, 0, &l->classes);
    bool wants = rd->wanted->label == NULL || rd->wanted->label(rd->wanted->ctx, l);
    if (code == CSL_OK && wants && l->classes == 0) {
        code = read_survival(rd, set, shown, l);
    } else if (code == CSL_OK && wants) {
        code = csl_h5_extents(&rd->h5, set, shown, 1, 1, &rank, dims);
        if (code == CSL_OK)
            code = csl_h5_read_set(&rd->h5, set, shown, CSL_H5_I16, rd->r.record_count, &p);
        l->value = p;
    }
    H5Dclose(set);
    return code;
}

static enum csl_code read_labels(struct reader *rd)
{
    char names[CSL_LABELS_MAX][64];
    uint32_t count = 0;
    hid_t g;
    enum csl_code code = csl_h5_open_group(&rd->h5, rd->h5.file, "labels", "/labels", &g);
    if (code != CSL_OK)
        return code;
    code = csl_h5_list(&rd->h5, g, "/labels", names, CSL_LABELS_MAX, &count);
    for (uint32_t i = 0; i < count && code == CSL_OK; i++) {
        struct csl_record_label *l = &rd->r.labels[i];
        memcpy(l->name, names[i], sizeof(l->name));
        rd->r.label_count = i + 1;
        code = read_label(rd, g, l);
    }
    H5Gclose(g);
    return code;
}

static enum csl_code read_root(struct reader *rd)
{
    char format[64] = "";
    struct csl_records *r = &rd->r;
    hid_t f = rd->h5.file;
    enum csl_code code = csl_h5_text(&rd->h5, f, "/", "format", false, format, sizeof(format));
    if (code == CSL_OK && strcmp(format, CSL_RECORD_FORMAT) != 0) {
        char shown[64];
        csl_str_escape(shown, sizeof(shown), format, strlen(format));
        return csl_h5_fail(&rd->h5, "/", "format is '%s'; '%s' would be right", shown,
                           CSL_RECORD_FORMAT);
    }
    if (code == CSL_OK)
        code = csl_h5_text(&rd->h5, f, "/", "site", false, r->site, sizeof(r->site));
    if (code == CSL_OK)
        code = csl_h5_text(&rd->h5, f, "/", "licence", true, r->licence, sizeof(r->licence));
    if (code == CSL_OK)
        code =
            csl_h5_text(&rd->h5, f, "/", "split_rule", true, r->split_rule, sizeof(r->split_rule));
    return code;
}

static enum csl_code read_all(struct reader *rd)
{
    H5G_info_t info;
    hid_t g;
    enum csl_code code = read_root(rd);
    if (code == CSL_OK)
        code = read_patients(rd);
    if (code != CSL_OK)
        return code;
    code = csl_h5_open_group(&rd->h5, rd->h5.file, "modalities", "/modalities", &g);
    if (code != CSL_OK)
        return code;
    if (H5Gget_info(g, &info) < 0 || info.nlinks > CSL_MODALITIES_MAX)
        code = csl_h5_fail(&rd->h5, "/modalities", "has more than %d entries", CSL_MODALITIES_MAX);
    if (code == CSL_OK)
        code = read_index(rd, (uint32_t)info.nlinks);
    if (code == CSL_OK)
        code = read_modalities(rd, g);
    H5Gclose(g);
    if (code == CSL_OK)
        code = read_labels(rd);
    return code;
}

enum csl_code csl_records_read__wanted(struct csl_records *out, const char *path,
                                       const struct csl_record_wanted *wanted, struct csl_err *err)
{
    struct reader *rd = csl_alloc(sizeof(*rd));
    if (rd == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", path);
    rd->wanted = wanted;
    enum csl_code code = csl_h5_open(&rd->h5, path, err);
    if (code == CSL_OK) {
        code = read_all(rd);
        csl_h5_close(&rd->h5);
    }
    if (code == CSL_OK)
        code = csl_records_validate__(&rd->r, path, CSL_E_CORRUPT, err);
    if (code == CSL_OK)
        *out = rd->r;
    else
        csl_records_release(&rd->r);
    csl_free(rd);
    return code;
}

enum csl_code csl_records_read(struct csl_records *out, const char *path, struct csl_err *err)
{
    static const struct csl_record_wanted everything = {NULL, NULL, NULL};
    return csl_records_read__wanted(out, path, &everything, err);
}
