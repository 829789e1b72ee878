/* Arrays of an .npz file as records: each split has its arrays, told apart by a prefix of their
 * names; row i of every array of a split is one record of one patient. */
#include "site-agent/data/npz_import.h"
#include "site-agent/data/import_shape.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/npz.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct import {
    const struct csl_mapping *m;
    struct csl_zip zip;
    struct csl_err *err;
    uint32_t split_rows[3];
    struct csl_records r;
};

/* The array `name` of one split. *rows is checked against the first axis, or set when it is 0. */
static enum csl_code open_array(struct import *s, int split, const char *name,
                                const struct csl_yaml_node *at, uint32_t *rows, struct csl_npy *out)
{
    char full[200];
    (void)snprintf(full, sizeof(full), "%.100s%s", s->m->split.part[split]->text, name);
    const struct csl_zip_member *member = csl_zip_find(&s->zip, full);
    char shown[96];
    csl_str_escape(shown, sizeof(shown), full, strlen(full));
    if (member == NULL)
        return csl_yaml_fail(s->err, s->m->yaml, at, "%s holds no array '%s'", s->zip.path, shown);
    enum csl_code code = csl_npy_read(out, &s->zip, member, s->err);
    if (code != CSL_OK)
        return code;
    if (out->rank == 0 || out->shape[0] == 0 || out->shape[0] > CSL_SITE_RECORDS_MAX ||
        (*rows != 0 && out->shape[0] != *rows)) {
        code =
            CSL_FAIL(s->err, CSL_E_INVAL, "%s: array %s has %llu rows; %s%u would be right",
                     s->zip.path, shown, (unsigned long long)(out->rank == 0 ? 0 : out->shape[0]),
                     *rows == 0 ? "at least " : "", *rows == 0 ? 1 : *rows);
        csl_npy_release(out);
        return code;
    }
    *rows = (uint32_t)out->shape[0];
    return CSL_OK;
}

/* Rows of each split, from the first modality's arrays. */
static enum csl_code count_rows(struct import *s)
{
    uint64_t total = 0;
    const struct csl_map_modality *first = &s->m->modalities[0];
    for (int i = 0; i < 3; i++) {
        struct csl_npy a;
        if (s->m->split.part[i] == NULL)
            continue;
        enum csl_code code = open_array(s, i, first->array, first->node, &s->split_rows[i], &a);
        if (code != CSL_OK)
            return code;
        csl_npy_release(&a);
        total += s->split_rows[i];
    }
    if (total > CSL_SITE_RECORDS_MAX)
        return CSL_FAIL(s->err, CSL_E_LIMIT, "%s: %llu rows; at most %u are allowed", s->zip.path,
                        (unsigned long long)total, CSL_SITE_RECORDS_MAX);
    s->r.record_count = s->r.patient_count = (uint32_t)total;
    return CSL_OK;
}

static enum csl_code no_memory(struct import *s)
{
    return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %u records of %s", s->r.record_count,
                    s->zip.path);
}

static enum csl_code put_patients(struct import *s)
{
    struct csl_records *r = &s->r;
    uint32_t n = r->record_count, k = 0;
    r->patient_id = csl_alloc_array(n, sizeof(*r->patient_id));
    r->split = csl_alloc(n);
    r->patient = csl_alloc_array(n, sizeof(*r->patient));
    r->time = csl_alloc_array(n, sizeof(*r->time));
    if (!r->patient_id || !r->split || !r->patient || !r->time)
        return no_memory(s);
    for (int i = 0; i < 3; i++) {
        for (uint32_t row = 0; row < s->split_rows[i]; row++, k++) {
            (void)snprintf(r->patient_id[k], sizeof(r->patient_id[k]), "row-%u", k + 1);
            r->split[k] = (uint8_t)i;
            r->patient[k] = k;
        }
    }
    return CSL_OK;
}

/* --- modalities --- */

/* Sets up *m from the first array and checks that further ones have the same shape. */
static enum csl_code accept_shape(struct import *s, const struct csl_map_modality *o,
                                  const struct csl_npy *a, struct csl_record_modality *m)
{
    struct csl_record_modality found;
    memset(&found, 0, sizeof(found));
    if (!csl_import_shape__(o, a, &found) ||
        (m->values != NULL && memcmp(found.shape, m->shape, sizeof(m->shape)) != 0))
        return csl_yaml_fail(s->err, s->m->yaml, o->node,
                             "an array of %s does not have the axes of this kind, the number of "
                             "features, or the shape of the other splits",
                             s->zip.path);
    if (m->values != NULL)
        return CSL_OK;
    m->rank = found.rank;
    memcpy(m->shape, found.shape, sizeof(m->shape));
    size_t width = csl_modality_width__(m);
    m->values = csl_alloc_array(s->r.record_count, width * sizeof(*m->values));
    m->available = csl_alloc(s->r.record_count);
    if (m->values == NULL || m->available == NULL)
        return no_memory(s);
    memset(m->available, 1, s->r.record_count);
    return csl_import_features__(o, m, s->err);
}

static enum csl_code put_modality(struct import *s, uint32_t index)
{
    const struct csl_map_modality *o = &s->m->modalities[index];
    struct csl_record_modality *m = &s->r.modalities[index];
    uint32_t record = 0;
    s->r.modality_count = index + 1;
    memcpy(m->name, o->name, sizeof(m->name));
    CSL_ASSERT(csl_str_copy(m->kind, sizeof(m->kind), csl_kinds__[o->kind].name));
    m->sampling_rate_hz = o->sampling_rate_hz;
    for (int i = 0; i < 3; i++) {
        struct csl_npy a;
        if (s->m->split.part[i] == NULL)
            continue;
        enum csl_code code = open_array(s, i, o->array, o->node, &s->split_rows[i], &a);
        if (code != CSL_OK)
            return code;
        code = accept_shape(s, o, &a, m);
        float *to = code == CSL_OK ? m->values + (size_t)record * csl_modality_width__(m) : NULL;
        for (uint64_t k = 0; k < a.count && code == CSL_OK; k++)
            if (!csl_import_value__(o, csl_npy_value(&a, k), &to[k]))
                code = CSL_FAIL(s->err, CSL_E_INVAL,
                                "%s: row %llu of array %s does not fit float32", s->zip.path,
                                (unsigned long long)(k / csl_modality_width__(m)), o->array);
        record += s->split_rows[i];
        csl_npy_release(&a);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

/* --- labels --- */

static bool class_of(const struct csl_map_label *l, double v, int16_t *out)
{
    char text[40];
    (void)snprintf(text, sizeof(text), "%.17g", v); /* "nan" is listed nowhere but under missing */
    if (l->kind == CSL_MAP_CLASSES && csl_list_find(l->values, text) >= 0)
        *out = (int16_t)csl_list_find(l->values, text);
    else if (l->kind == CSL_MAP_BINARY && csl_list_find(l->positive, text) >= 0)
        *out = 1;
    else if (l->kind == CSL_MAP_BINARY && csl_list_find(l->negative, text) >= 0)
        *out = 0;
    else if (csl_list_find(l->missing, text) >= 0)
        *out = CSL_LABEL_UNKNOWN;
    else if (l->kind == CSL_MAP_BINARY && l->negative == NULL && !isnan(v))
        *out = 0;
    else
        return false;
    return true;
}

static enum csl_code put_label_part(struct import *s, const struct csl_map_label *l,
                                    const struct csl_npy *a, int16_t *to)
{
    uint64_t columns = a->rank == 1 ? 1 : a->shape[1];
    if (a->rank > 2 || l->array_column >= columns)
        return csl_yaml_fail(s->err, s->m->yaml, l->node,
                             "array %s has %u axes and %llu columns; one column of a table would "
                             "be right",
                             l->array, a->rank, (unsigned long long)columns);
    for (uint64_t row = 0; row < a->shape[0]; row++)
        if (!class_of(l, csl_npy_value(a, row * columns + l->array_column), &to[row]))
            return CSL_FAIL(s->err, CSL_E_INVAL,
                            "%s: row %llu of array %s is no value that the mapping lists for label "
                            "%s; its value under 'positive', 'negative' or 'values' would be right",
                            s->zip.path, (unsigned long long)row, l->array, l->name);
    return CSL_OK;
}

static enum csl_code put_label(struct import *s, uint32_t index)
{
    const struct csl_map_label *l = &s->m->labels[index];
    struct csl_record_label *to = &s->r.labels[index];
    uint32_t record = 0;
    s->r.label_count = index + 1;
    memcpy(to->name, l->name, sizeof(to->name));
    to->classes = l->classes;
    to->value = csl_alloc_array(s->r.record_count, sizeof(*to->value));
    if (to->value == NULL)
        return no_memory(s);
    for (int i = 0; i < 3; i++) {
        struct csl_npy a;
        if (s->m->split.part[i] == NULL)
            continue;
        enum csl_code code = open_array(s, i, l->array, l->node, &s->split_rows[i], &a);
        if (code != CSL_OK)
            return code;
        code = put_label_part(s, l, &a, to->value + record);
        record += s->split_rows[i];
        csl_npy_release(&a);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

/* --- whole files --- */

enum csl_code csl_import_npz_bytes__(struct csl_records *out, const char *site, const char *name,
                                     struct csl_span bytes, const struct csl_mapping *mapping,
                                     struct csl_err *err)
{
    struct import *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to import %s", name);
    s->m = mapping;
    s->err = err;
    enum csl_code code = csl_zip_open(&s->zip, name, bytes, err);
    if (code == CSL_OK && !csl_str_copy(s->r.site, sizeof(s->r.site), site))
        code = CSL_FAIL(err, CSL_E_INVAL, "the site id is longer than 63 bytes");
    if (code == CSL_OK)
        code = count_rows(s);
    memcpy(s->r.licence, mapping->licence, sizeof(s->r.licence));
    memcpy(s->r.split_rule, mapping->split_rule, sizeof(s->r.split_rule));
    if (code == CSL_OK)
        code = put_patients(s);
    for (uint32_t i = 0; i < mapping->modality_count && code == CSL_OK; i++)
        code = put_modality(s, i);
    for (uint32_t i = 0; i < mapping->label_count && code == CSL_OK; i++)
        code = put_label(s, i);
    if (code == CSL_OK)
        code = csl_records_validate__(&s->r, name, CSL_E_INVAL, err);
    if (code == CSL_OK)
        *out = s->r;
    else
        csl_records_release(&s->r);
    csl_free(s);
    return code;
}

enum csl_code csl_import_npz(struct csl_records *out, const char *site, const char *npz_path,
                             const char *mapping_path, struct csl_err *err)
{
    struct csl_yaml *yaml = NULL;
    struct csl_mapping *mapping = NULL;
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = csl_yaml_read(&yaml, mapping_path, CSL_MANIFEST_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_mapping_read_npz(&mapping, yaml, err);
    if (code == CSL_OK)
        code = csl_file_read(&bytes, npz_path, CSL_NPZ_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_import_npz_bytes__(out, site, npz_path, csl_msg_span(&bytes), mapping, err);
    csl_msg_release(&bytes);
    csl_mapping_free(mapping);
    return code;
}
