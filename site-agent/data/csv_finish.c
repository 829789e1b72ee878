#include "site-agent/data/csv_import.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct keyed_row {
    const char *key;
    uint32_t row;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed_row *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : x->row < y->row ? -1 : x->row > y->row;
}

/* patient_of[row]: patients are numbered in the order in which the file first mentions them. */
static enum csl_code number_patients(const struct csl_csv_import *s, uint32_t *patient_of,
                                     uint32_t *patient_count)
{
    uint32_t n = s->row_count;
    struct keyed_row *rows = csl_alloc_array(n, sizeof(*rows));
    uint32_t *first = csl_alloc_array(n, sizeof(*first)); /* [row] first row of the same patient */
    if (rows == NULL || first == NULL) {
        csl_free(rows);
        csl_free(first);
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %u rows of %s", n, s->csv.name);
    }
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (struct keyed_row){s->patient_id[i], i};
    qsort(rows, n, sizeof(*rows), compare_keyed);
    for (uint32_t i = 0; i < n; i++) {
        bool is_same = i > 0 && strcmp(rows[i - 1].key, rows[i].key) == 0;
        first[rows[i].row] = is_same ? first[rows[i - 1].row] : rows[i].row;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) /* a first row comes before the others of its patient */
        patient_of[i] = first[i] == i ? count++ : patient_of[first[i]];
    *patient_count = count;
    csl_free(rows);
    csl_free(first);
    return CSL_OK;
}

/* order[k]: the row that becomes record k; a counting sort by patient, which keeps file order. */
static enum csl_code order_rows(const struct csl_csv_import *s, const uint32_t *patient_of,
                                uint32_t patient_count, uint32_t *order)
{
    uint32_t *start = csl_alloc_array((size_t)patient_count + 1, sizeof(*start));
    if (start == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %u rows of %s", s->row_count,
                        s->csv.name);
    for (uint32_t i = 0; i < s->row_count; i++)
        start[patient_of[i] + 1]++;
    for (uint32_t p = 0; p < patient_count; p++)
        start[p + 1] += start[p];
    for (uint32_t i = 0; i < s->row_count; i++)
        order[start[patient_of[i]]++] = i;
    csl_free(start);
    return CSL_OK;
}

/* A copy of an array of rows in the order of the records; NULL when out of memory. */
static void *reordered(const void *rows, size_t item_bytes, const uint32_t *order, uint32_t count)
{
    char *to = csl_alloc_array(count, item_bytes);
    for (uint32_t i = 0; to != NULL && i < count; i++)
        memcpy(to + i * item_bytes, (const char *)rows + order[i] * item_bytes, item_bytes);
    return to;
}

static enum csl_code put_patients(struct csl_csv_import *s, const uint32_t *order,
                                  const uint32_t *patient_of, struct csl_records *r)
{
    r->patient_id = csl_alloc_array(r->patient_count, sizeof(*r->patient_id));
    r->split = csl_alloc(r->patient_count);
    r->patient = csl_alloc_array(r->record_count, sizeof(*r->patient));
    r->time = csl_alloc_array(r->record_count, sizeof(*r->time));
    bool ok = r->patient_id != NULL && r->split != NULL && r->patient != NULL && r->time != NULL;
    for (uint32_t k = 0; k < s->m->attribute_count && ok; k++) {
        struct csl_record_attribute *a = &r->attributes[k];
        memcpy(a->name, s->m->attributes[k].name, sizeof(a->name));
        a->value = csl_alloc_array(r->patient_count, sizeof(*a->value));
        r->attribute_count = k + 1;
        ok = a->value != NULL;
    }
    if (!ok)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for the patients of %s", s->csv.name);
    for (uint32_t i = 0; i < r->record_count; i++) {
        uint32_t row = order[i], p = patient_of[row];
        bool is_first = i == 0 || r->patient[i - 1] != p;
        r->patient[i] = p;
        if (!is_first && r->split[p] != s->row_split[row])
            return CSL_FAIL(s->err, CSL_E_INVAL,
                            "%s:%llu: the patient of this row is in another split in an earlier "
                            "row; one split per patient would be right",
                            s->files[s->row_file[row]].name, (unsigned long long)s->line[row]);
        if (!is_first)
            continue;
        r->split[p] = s->row_split[row];
        memcpy(r->patient_id[p], s->patient_id[row], sizeof(r->patient_id[p]));
        for (uint32_t k = 0; k < r->attribute_count; k++)
            memcpy(r->attributes[k].value[p], s->attribute_value[k][row],
                   sizeof(r->attributes[k].value[p]));
    }
    return CSL_OK;
}

static enum csl_code put_table(struct csl_csv_import *s, const uint32_t *order,
                               struct csl_records *r)
{
    struct csl_record_modality *m = &r->modalities[0];
    uint32_t f = s->feature_count;
    if (f == 0) /* the mapping has modalities in its place */
        return CSL_OK;
    r->modality_count = 1;
    memcpy(m->name, s->m->modality, sizeof(m->name));
    memcpy(m->kind, "tabular", sizeof("tabular"));
    m->rank = 1;
    m->shape[0] = f;
    m->values = reordered(s->values, f * sizeof(*m->values), order, r->record_count);
    m->available = csl_alloc(r->record_count);
    m->feature_units = csl_alloc_array(f, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(f, sizeof(double));
    m->range_max = csl_alloc_array(f, sizeof(double));
    if (m->values == NULL || m->available == NULL || m->feature_units == NULL ||
        m->range_min == NULL || m->range_max == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for the values of %s", s->csv.name);
    m->feature_names = s->feature_names;
    s->feature_names = NULL;
    memset(m->available, 1, r->record_count);
    for (uint32_t i = 0; i < s->m->feature_count; i++) {
        memcpy(m->feature_units[i], s->m->features[i].unit, sizeof(m->feature_units[i]));
        m->range_min[i] = s->m->features[i].range_min;
        m->range_max[i] = s->m->features[i].range_max;
    }
    return CSL_OK;
}

static enum csl_code put_labels(struct csl_csv_import *s, const uint32_t *order,
                                struct csl_records *r)
{
    for (uint32_t k = 0; k < s->m->label_count; k++) {
        struct csl_record_label *l = &r->labels[k];
        memcpy(l->name, s->m->labels[k].name, sizeof(l->name));
        l->classes = s->m->labels[k].classes;
        r->label_count = k + 1;
        if (l->classes > 0)
            l->value = reordered(s->label_value[k], sizeof(int16_t), order, r->record_count);
        else {
            l->time = reordered(s->label_time[k], sizeof(float), order, r->record_count);
            l->event = reordered(s->label_event[k], sizeof(float), order, r->record_count);
        }
        if (l->classes > 0 ? l->value == NULL : l->time == NULL || l->event == NULL)
            return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for the labels of %s", s->csv.name);
    }
    return CSL_OK;
}

static enum csl_code build(struct csl_csv_import *s, const char *site, uint32_t *patient_of,
                           uint32_t *order, struct csl_records *r)
{
    if (!csl_str_copy(r->site, sizeof(r->site), site))
        return CSL_FAIL(s->err, CSL_E_INVAL, "the site id is longer than %zu bytes",
                        sizeof(r->site) - 1);
    memcpy(r->licence, s->m->licence, sizeof(r->licence));
    memcpy(r->split_rule, s->m->split_rule, sizeof(r->split_rule));
    r->record_count = s->row_count;
    enum csl_code code = number_patients(s, patient_of, &r->patient_count);
    if (code == CSL_OK)
        code = order_rows(s, patient_of, r->patient_count, order);
    if (code == CSL_OK)
        code = put_patients(s, order, patient_of, r);
    if (code == CSL_OK)
        code = put_table(s, order, r);
    for (uint32_t i = 0; i < s->m->modality_count && code == CSL_OK; i++) {
        struct csl_record_modality *m = &r->modalities[r->modality_count++];
        code = csl_csv_modality_finish__(s, i, order, m);
    }
    if (code == CSL_OK)
        code = put_labels(s, order, r);
    if (code == CSL_OK)
        code = csl_records_validate__(r, s->csv.name, CSL_E_INVAL, s->err);
    return code;
}

enum csl_code csl_import_finish__(struct csl_csv_import *s, const char *site,
                                  struct csl_records *out)
{
    enum csl_code code;
    if (s->row_count == 0)
        return s->data_rows == 0
                   ? CSL_FAIL(s->err, CSL_E_INVAL,
                              "%s: no row below the header; one row per record would be right",
                              s->csv.name)
                   : CSL_FAIL(s->err, CSL_E_INVAL,
                              "%s: none of its %llu row%s is wanted for site %s; a value that "
                              "occurs in the column under 'where' (mapping, --where or the study's "
                              "simulated site), or a partner in the joined file, would be right",
                              s->csv.name, (unsigned long long)s->data_rows,
                              csl_str_plural(s->data_rows), site);
    uint32_t *patient_of = csl_alloc_array(s->row_count, sizeof(*patient_of));
    uint32_t *order = csl_alloc_array(s->row_count, sizeof(*order));
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (patient_of == NULL || order == NULL || r == NULL)
        code =
            CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %u rows of %s", s->row_count, s->csv.name);
    else
        code = build(s, site, patient_of, order, r);
    if (code == CSL_OK)
        *out = *r;
    else
        csl_records_release(r);
    csl_free(r);
    csl_free(order);
    csl_free(patient_of);
    return code;
}
