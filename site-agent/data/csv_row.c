/* One row of a CSV file. Errors name line and column but never show a cell: it may hold what a
 * patient would not want in a log. */
#include "site-agent/data/csv_import.h"

#include "base/mem.h"
#include "base/str.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char *column_name(const struct csl_csv_import *s, uint32_t column)
{
    return column < s->main_count ? s->names[column] : s->join.names[column - s->main_count];
}

enum csl_code csl_import_refuse__(const struct csl_csv_import *s, uint32_t column, const char *what)
{
    char shown[96];
    const char *name = column_name(s, column);
    csl_str_escape(shown, sizeof(shown), name, strlen(name));
    return CSL_FAIL(s->err, CSL_E_INVAL, "%s:%llu: column %u (%s): %s", s->csv.name,
                    (unsigned long long)s->csv.record_line, column + 1, shown, what);
}

const char *csl_import_trimmed__(const struct csl_csv_import *s, uint32_t column, char out[256])
{
    const char *text = csl_import_cell__(s, column);
    while (*text == ' ' || *text == '\t')
        text++;
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    if (n > 255)
        n = 255;
    memcpy(out, text, n);
    out[n] = '\0';
    return out;
}

static bool is_missing(const char *text, const struct csl_yaml_node *markers)
{
    return text[0] == '\0' || csl_list_find(markers, text) >= 0;
}

/* --- filters --- */

static bool is_wanted(const struct csl_csv_import *s)
{
    char text[256];
    if (s->where != UINT32_MAX &&
        csl_list_find(s->m->where_any_of, csl_import_trimmed__(s, s->where, text)) < 0)
        return false;
    if (s->extra_where == UINT32_MAX)
        return true;
    (void)csl_import_trimmed__(s, s->extra_where, text);
    for (uint32_t i = 0; i < s->extra_count; i++)
        if (csl_value_equal__(text, s->extra_any_of[i]))
            return true;
    return false;
}

/* --- room --- */

static bool grow_one(void *array, size_t capacity, size_t item_bytes)
{
    void *old, *p;
    memcpy(&old, array, sizeof(old));
    p = csl_realloc_array(old, capacity, item_bytes);
    if (p == NULL)
        return false;
    memcpy(array, &p, sizeof(p));
    return true;
}

static enum csl_code make_room(struct csl_csv_import *s)
{
    if (s->row_count < s->capacity)
        return CSL_OK;
    if (s->capacity >= CSL_SITE_RECORDS_MAX / 2)
        return CSL_FAIL(s->err, CSL_E_LIMIT, "%s has more than %u rows", s->csv.name,
                        CSL_SITE_RECORDS_MAX / 2);
    uint32_t n = s->capacity == 0 ? 256 : 2 * s->capacity;
    bool ok =
        grow_one(&s->line, n, sizeof(*s->line)) &&
        grow_one(&s->patient_id, n, sizeof(*s->patient_id)) &&
        grow_one(&s->row_split, n, sizeof(*s->row_split)) &&
        grow_one(&s->row_file, n, sizeof(*s->row_file)) &&
        (s->feature_count == 0 || grow_one(&s->values, n, s->feature_count * sizeof(*s->values)));
    for (uint32_t i = 0; i < s->m->label_count && ok; i++) {
        if (s->m->labels[i].kind == CSL_MAP_SURVIVAL)
            ok = grow_one(&s->label_time[i], n, sizeof(float)) &&
                 grow_one(&s->label_event[i], n, sizeof(float));
        else
            ok = grow_one(&s->label_value[i], n, sizeof(int16_t));
    }
    for (uint32_t i = 0; i < s->m->attribute_count && ok; i++)
        ok = grow_one(&s->attribute_value[i], n, sizeof(*s->attribute_value[i]));
    if (!ok)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %u rows of %s", n, s->csv.name);
    s->capacity = n;
    return CSL_OK;
}

/* --- cells --- */

static enum csl_code read_number(struct csl_csv_import *s, uint32_t column,
                                 const struct csl_yaml_node *missing, double *out)
{
    char text[256];
    (void)csl_import_trimmed__(s, column, text);
    if (is_missing(text, missing)) {
        *out = (double)NAN;
        return CSL_OK;
    }
    if (!csl_parse_f64(text, out) || fabs(*out) > (double)FLT_MAX)
        return csl_import_refuse__(
            s, column,
            "the cell is not a number; a number, an empty cell or a value listed under "
            "'missing' would be right");
    return CSL_OK;
}

static enum csl_code read_patient(struct csl_csv_import *s, char out[64])
{
    if (s->patient == UINT32_MAX) {
        (void)snprintf(out, 64, "row-%llu", (unsigned long long)s->data_rows);
        return CSL_OK;
    }
    char text[256];
    (void)csl_import_trimmed__(s, s->patient, text);
    if (!csl_text_valid__(text, 64))
        return csl_import_refuse__(s, s->patient,
                                   "a patient's key is 1 to 63 bytes of printable UTF-8");
    memcpy(out, text, strlen(text) + 1);
    return CSL_OK;
}

static enum csl_code read_split(struct csl_csv_import *s, uint8_t *out)
{
    char text[256];
    if (s->split == UINT32_MAX) { /* by file */
        const char *slash = strrchr(s->csv.name, '/');
        (void)snprintf(text, sizeof(text), "%.255s", slash == NULL ? s->csv.name : slash + 1);
    } else {
        (void)csl_import_trimmed__(s, s->split, text);
    }
    for (uint8_t i = 0; i < 3; i++) {
        if (csl_list_find(s->m->split.part[i], text) >= 0) {
            *out = i;
            return CSL_OK;
        }
    }
    if (s->split == UINT32_MAX)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s:1: the name of this file is under none of train, validation and test "
                        "in the mapping's 'split'",
                        s->csv.name);
    return csl_import_refuse__(
        s, s->split,
        "the cell is no value listed under 'split'; its value under train, validation "
        "or test would be right");
}

static enum csl_code read_class(struct csl_csv_import *s, uint32_t index, int16_t *out)
{
    const struct csl_map_label *l = &s->m->labels[index];
    uint32_t column = s->label[index];
    char text[256];
    (void)csl_import_trimmed__(s, column, text);
    int16_t value = CSL_LABEL_UNKNOWN;
    if (l->kind == CSL_MAP_CLASSES && csl_list_find(l->values, text) >= 0)
        value = (int16_t)csl_list_find(l->values, text);
    else if (l->kind == CSL_MAP_BINARY && csl_list_find(l->positive, text) >= 0)
        value = 1;
    else if (l->kind == CSL_MAP_BINARY && csl_list_find(l->negative, text) >= 0)
        value = 0;
    else if (!is_missing(text, l->missing != NULL ? l->missing : s->m->missing)) {
        if (l->kind != CSL_MAP_BINARY || l->negative != NULL)
            return csl_import_refuse__(
                s, column,
                l->kind == CSL_MAP_BINARY
                    ? "the cell is no value that the mapping lists for this label; its "
                      "value under 'positive', 'negative' or 'missing' would be right"
                    : "the cell is no value that the mapping lists for this label; its "
                      "value under 'values' or 'missing' would be right");
        value = 0;
    }
    *out = value;
    return CSL_OK;
}

static enum csl_code read_survival(struct csl_csv_import *s, uint32_t index, float *time,
                                   float *event)
{
    const struct csl_map_label *l = &s->m->labels[index];
    const struct csl_yaml_node *missing = l->missing != NULL ? l->missing : s->m->missing;
    uint32_t column = s->event[index];
    char text[256];
    double t;
    enum csl_code code = read_number(s, s->label[index], missing, &t);
    if (code != CSL_OK)
        return code;
    if (t < 0.0)
        return csl_import_refuse__(s, s->label[index], "a time is 0 or more");
    (void)csl_import_trimmed__(s, column, text);
    *event = 0.0f;
    if (is_missing(text, missing))
        t = (double)NAN; /* a time without knowing what ended it says nothing */
    else if (l->event_values != NULL)
        *event = csl_list_find(l->event_values, text) >= 0 ? 1.0f : 0.0f;
    else if (csl_value_equal__(text, "1"))
        *event = 1.0f;
    else if (!csl_value_equal__(text, "0"))
        return csl_import_refuse__(s, column,
                                   "the cell is neither 0 nor 1; 'event_values' can list others");
    *time = (float)t;
    return CSL_OK;
}

/* "<45", "45-64", "65+": bands of whole numbers show their last member, others their open end. */
static void name_band(const struct csl_map_attribute *a, double v, char out[32])
{
    uint32_t i = 0;
    bool is_whole = true;
    while (i < a->edge_count && v >= a->edge[i])
        i++;
    for (uint32_t k = 0; k < a->edge_count; k++)
        is_whole = is_whole && a->edge[k] == floor(a->edge[k]);
    if (i == 0)
        (void)snprintf(out, 32, "<%g", a->edge[0]);
    else if (i == a->edge_count)
        (void)snprintf(out, 32, "%g+", a->edge[i - 1]);
    else
        (void)snprintf(out, 32, "%g-%g", a->edge[i - 1], a->edge[i] - (is_whole ? 1.0 : 0.0));
}

static enum csl_code read_attribute(struct csl_csv_import *s, uint32_t index, char out[32])
{
    const struct csl_map_attribute *a = &s->m->attributes[index];
    const struct csl_yaml_node *missing = a->missing != NULL ? a->missing : s->m->missing;
    uint32_t column = s->attribute[index];
    char text[256];
    double v;
    (void)csl_import_trimmed__(s, column, text);
    memset(out, 0, 32);
    if (is_missing(text, missing))
        return CSL_OK;
    if (a->edges != NULL) {
        enum csl_code code = read_number(s, column, missing, &v);
        if (code == CSL_OK)
            name_band(a, v, out);
        return code;
    }
    const char *value = a->values == NULL ? text : NULL;
    for (const struct csl_yaml_node *n = a->values == NULL ? NULL : a->values->first_child;
         n != NULL && value == NULL; n = n->next)
        if (csl_value_equal__(n->key, text))
            value = n->text;
    if (value == NULL)
        return csl_import_refuse__(
            s, column,
            "the cell is no value that the mapping lists for this attribute; its value "
            "under 'values' or 'missing' would be right");
    if (!csl_str_copy(out, 32, value) || (value[0] != '\0' && !csl_text_valid__(value, 32)))
        return csl_import_refuse__(s, column, "a value is up to 31 bytes of printable UTF-8");
    return CSL_OK;
}

static enum csl_code take_row(struct csl_csv_import *s)
{
    uint32_t row = s->row_count;
    enum csl_code code = make_room(s);
    if (code != CSL_OK)
        return code;
    s->line[row] = s->csv.record_line;
    s->row_file[row] = (uint8_t)s->file_index;
    memset(s->patient_id[row], 0, sizeof(s->patient_id[row]));
    code = read_patient(s, s->patient_id[row]);
    if (code == CSL_OK)
        code = read_split(s, &s->row_split[row]);
    for (uint32_t i = 0; i < s->feature_count && code == CSL_OK; i++) {
        double v;
        code = read_number(s, s->features[i].index, s->features[i].missing, &v);
        if (code == CSL_OK)
            s->values[(size_t)row * s->feature_count + i] = (float)v;
    }
    for (uint32_t i = 0; i < s->m->label_count && code == CSL_OK; i++)
        code = s->m->labels[i].kind == CSL_MAP_SURVIVAL
                   ? read_survival(s, i, &s->label_time[i][row], &s->label_event[i][row])
                   : read_class(s, i, &s->label_value[i][row]);
    for (uint32_t i = 0; i < s->m->attribute_count && code == CSL_OK; i++)
        code = read_attribute(s, i, s->attribute_value[i][row]);
    for (uint32_t i = 0; i < s->m->modality_count && code == CSL_OK; i++)
        code = csl_csv_modality_row__(s, i, row);
    if (code == CSL_OK)
        s->row_count++;
    return code;
}

enum csl_code csl_import_row__(struct csl_csv_import *s)
{
    s->data_rows++;
    if (s->csv.field_count != s->main_count)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s:%llu: found %u column%s; %u as in the %s would be right (a cell with a "
                        "comma needs quotes; the separator is a comma)",
                        s->csv.name, (unsigned long long)s->csv.record_line, s->csv.field_count,
                        csl_str_plural(s->csv.field_count), s->main_count,
                        s->m->header != NULL ? "mapping's header" : "header line");
    if (s->m->join.is_used) {
        char text[256];
        s->matched = csl_join_find(&s->join, csl_import_trimmed__(s, s->on, text));
        if (s->matched == NULL && s->m->join.unmatched == 1)
            return CSL_OK;
        if (s->matched == NULL)
            return csl_import_refuse__(
                s, s->on,
                "the key is not in the joined file; 'unmatched: skip' would leave such "
                "rows out");
    }
    return is_wanted(s) ? take_row(s) : CSL_OK;
}
