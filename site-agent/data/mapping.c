#include "site-agent/data/mapping_internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* --- lists --- */

uint32_t csl_list_count(const struct csl_yaml_node *list)
{
    if (list == NULL)
        return 0;
    return list->kind == CSL_YAML_SCALAR ? 1 : list->child_count;
}

int csl_list_find(const struct csl_yaml_node *list, const char *text)
{
    if (list == NULL)
        return -1;
    if (list->kind == CSL_YAML_SCALAR)
        return csl_value_equal__(list->text, text) ? 0 : -1;
    int i = 0;
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next, i++)
        if (csl_value_equal__(n->text, text))
            return i;
    return -1;
}

enum csl_code csl_map_list__(const struct csl_mapping *m, const struct csl_yaml_node *list,
                             struct csl_err *err)
{
    if (list == NULL || list->kind == CSL_YAML_SCALAR)
        return CSL_OK;
    if (list->kind != CSL_YAML_SEQUENCE)
        return csl_yaml_fail(err, m->yaml, list, "a list of values would be right");
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next)
        if (n->kind != CSL_YAML_SCALAR)
            return csl_yaml_fail(err, m->yaml, n, "a plain value would be right in this list");
    return CSL_OK;
}

static enum csl_code check_lists(const struct csl_mapping *m,
                                 const struct csl_yaml_node *const *lists, size_t count,
                                 struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < count && code == CSL_OK; i++)
        code = csl_map_list__(m, lists[i], err);
    return code;
}

enum csl_code csl_map_items__(const struct csl_mapping *m, const struct csl_yaml_node *list,
                              uint32_t max, const char *what, struct csl_err *err)
{
    if (list->kind != CSL_YAML_SEQUENCE || list->child_count == 0 || list->child_count > max)
        return csl_yaml_fail(err, m->yaml, list, "a list of 1 to %u %s would be right", max, what);
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next)
        if (n->kind != CSL_YAML_MAPPING)
            return csl_yaml_fail(err, m->yaml, n, "an item of %s is a mapping", what);
    return CSL_OK;
}

enum csl_code csl_map_numbers__(const struct csl_mapping *m, const struct csl_yaml_node *list,
                                uint32_t least, uint32_t most, double *out, uint32_t *count,
                                struct csl_err *err)
{
    uint32_t n = 0;
    if (list->kind != CSL_YAML_SEQUENCE || list->child_count < least || list->child_count > most)
        return csl_yaml_fail(err, m->yaml, list, "%u to %u ascending numbers would be right", least,
                             most);
    for (const struct csl_yaml_node *i = list->first_child; i != NULL; i = i->next, n++)
        if (i->kind != CSL_YAML_SCALAR || !csl_parse_f64(i->text, &out[n]) ||
            (n > 0 && !(out[n] > out[n - 1])))
            return csl_yaml_fail(err, m->yaml, list, "%u to %u ascending numbers would be right",
                                 least, most);
    *count = n;
    return CSL_OK;
}

/* --- parts --- */

static enum csl_code read_features(struct csl_mapping *m, const struct csl_yaml_node *list,
                                   struct csl_err *err)
{
    if (list->kind == CSL_YAML_MAPPING) {
        const struct csl_yaml_node *only = csl_yaml_get(list, "all_except");
        if (only == NULL || list->child_count != 1)
            return csl_yaml_fail(err, m->yaml, list,
                                 "a list of features, or all_except: [columns], would be right");
        m->all_except = only;
        return csl_map_list__(m, only, err);
    }
    enum csl_code code = csl_map_items__(m, list, CSL_NAMED_FEATURES_MAX, "features", err);
    if (code != CSL_OK)
        return code;
    m->features = csl_alloc_array(list->child_count, sizeof(*m->features));
    if (m->features == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u features", list->child_count);
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next) {
        struct csl_map_raw_feature raw;
        double range[2] = {0.0, 0.0};
        uint32_t count;
        memset(&raw, 0, sizeof(raw));
        code = csl_option_read_yaml(csl_map_feature_rows, &raw, m->yaml, n, err);
        if (code == CSL_OK && raw.range != NULL)
            code = csl_map_numbers__(m, raw.range, 2, 2, range, &count, err);
        if (code == CSL_OK)
            code = csl_map_list__(m, raw.f.missing, err);
        if (code != CSL_OK)
            return code;
        struct csl_map_feature *f = &m->features[m->feature_count++];
        *f = raw.f;
        f->node = n;
        f->range_min = range[0];
        f->range_max = range[1];
        if (f->column[0] == '\0')
            memcpy(f->column, f->name, sizeof(f->name));
    }
    return CSL_OK;
}

static enum csl_code check_label(struct csl_mapping *m, struct csl_map_label *l,
                                 struct csl_err *err)
{
    const struct csl_yaml_node *const lists[] = {l->positive, l->negative, l->values,
                                                 l->event_values, l->missing};
    enum csl_code code = check_lists(m, lists, sizeof(lists) / sizeof(lists[0]), err);
    if (code != CSL_OK)
        return code;
    bool is_binary = l->kind == CSL_MAP_BINARY, is_classes = l->kind == CSL_MAP_CLASSES;
    if (is_binary != (l->positive != NULL) || (!is_binary && l->negative != NULL))
        return csl_yaml_fail(err, m->yaml, l->node,
                             "kind binary, and only it, needs 'positive' and may have 'negative'");
    if (is_classes != (l->values != NULL))
        return csl_yaml_fail(err, m->yaml, l->node, "kind classes, and only it, needs 'values'");
    if (is_classes && (l->values->child_count < 2 || l->values->child_count > CSL_CLASSES_MAX))
        return csl_yaml_fail(err, m->yaml, l->values, "2 to %d values would be right",
                             CSL_CLASSES_MAX);
    if ((l->kind == CSL_MAP_SURVIVAL) != (l->time[0] != '\0') ||
        (l->time[0] != '\0') != (l->event[0] != '\0'))
        return csl_yaml_fail(err, m->yaml, l->node,
                             "kind survival, and only it, needs 'time' and 'event'");
    l->classes = is_binary ? 2 : is_classes ? l->values->child_count : 0;
    return CSL_OK;
}

static enum csl_code read_labels(struct csl_mapping *m, const struct csl_yaml_node *list,
                                 const struct csl_option *rows, struct csl_err *err)
{
    if (list == NULL)
        return csl_yaml_fail(err, m->yaml, csl_yaml_root(m->yaml),
                             "labels are missing; a list 'labels:' of what can be predicted would "
                             "be right");
    enum csl_code code = csl_map_items__(m, list, CSL_LABELS_MAX, "labels", err);
    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *n = list->first_child; n != NULL && code == CSL_OK;
         n = n->next) {
        struct csl_map_label *l = &m->labels[m->label_count++];
        code = csl_option_read_yaml(rows, l, m->yaml, n, err);
        l->node = n;
        if (code == CSL_OK)
            code = check_label(m, l, err);
        if (l->column[0] == '\0')
            memcpy(l->column, l->name, sizeof(l->name));
    }
    return code;
}

static enum csl_code read_attributes(struct csl_mapping *m, const struct csl_yaml_node *list,
                                     struct csl_err *err)
{
    enum csl_code code = csl_map_items__(m, list, CSL_ATTRIBUTES_MAX, "attributes", err);
    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next) {
        struct csl_map_attribute *a = &m->attributes[m->attribute_count++];
        code = csl_option_read_yaml(csl_map_attribute_rows, a, m->yaml, n, err);
        a->node = n;
        if (code == CSL_OK)
            code = csl_map_list__(m, a->missing, err);
        if (code == CSL_OK && a->edges != NULL)
            code = csl_map_numbers__(m, a->edges, 1, 16, a->edge, &a->edge_count, err);
        if (code != CSL_OK)
            return code;
        if (a->column[0] == '\0')
            memcpy(a->column, a->name, sizeof(a->name));
        if (a->edges != NULL && a->values != NULL)
            return csl_yaml_fail(err, m->yaml, n, "either 'values' or 'edges' would be right");
        if (a->values != NULL && a->values->kind != CSL_YAML_MAPPING)
            return csl_yaml_fail(err, m->yaml, a->values, "a mapping of values would be right");
        for (const struct csl_yaml_node *v = a->values ? a->values->first_child : NULL; v != NULL;
             v = v->next)
            if (v->kind != CSL_YAML_SCALAR || strlen(v->text) > 31)
                return csl_yaml_fail(err, m->yaml, v, "a text of up to 31 bytes would be right");
    }
    return CSL_OK;
}

static enum csl_code read_split(struct csl_mapping *m, const struct csl_yaml_node *node,
                                const struct csl_option *rows, struct csl_err *err)
{
    struct csl_map_raw_split raw;
    memset(&raw, 0, sizeof(raw));
    if (node == NULL)
        return csl_yaml_fail(err, m->yaml, csl_yaml_root(m->yaml),
                             "split is missing; %s would be right",
                             rows == csl_map_npz_split_rows
                                 ? "a line such as 'split: {train: train_, test: test_}', the "
                                   "prefixes of the arrays of each part,"
                                 : "a line such as 'split: {column: set, train: train, test: "
                                   "test}', the column and its values for each part,");
    if (node->kind != CSL_YAML_MAPPING)
        return csl_yaml_fail(err, m->yaml, node, "a mapping would be right");
    enum csl_code code = csl_option_read_yaml(rows, &raw, m->yaml, node, err);
    const struct csl_yaml_node *const parts[3] = {raw.train, raw.validation, raw.test};
    if (code == CSL_OK)
        code = check_lists(m, parts, 3, err);
    if (code == CSL_OK && raw.train == NULL)
        code = csl_yaml_fail(err, m->yaml, node,
                             "train is missing; the values or prefix of the training part would "
                             "be right");
    if (code == CSL_OK && rows == csl_map_csv_split_rows && raw.by_file != (raw.column[0] == '\0'))
        code = csl_yaml_fail(err, m->yaml, node,
                             "'column', the name of a column, or 'by_file: true' would be right");
    if (code != CSL_OK)
        return code;
    m->split.by_file = raw.by_file;
    memcpy(m->split.column, raw.column, sizeof(raw.column));
    memcpy(m->split.part, parts, sizeof(parts));
    return CSL_OK;
}

static enum csl_code read_filters(struct csl_mapping *m, const struct csl_map_raw *raw,
                                  struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    if (raw->join != NULL) {
        if (raw->join->kind != CSL_YAML_MAPPING)
            return csl_yaml_fail(err, m->yaml, raw->join, "a mapping would be right");
        code = csl_option_read_yaml(csl_map_join_rows, &m->join, m->yaml, raw->join, err);
        m->join.is_used = true;
        if (m->join.on[0] == '\0')
            memcpy(m->join.on, m->join.key, sizeof(m->join.key));
    }
    if (code == CSL_OK && raw->where != NULL) {
        struct csl_map_raw_where where;
        memset(&where, 0, sizeof(where));
        if (raw->where->kind != CSL_YAML_MAPPING)
            return csl_yaml_fail(err, m->yaml, raw->where, "a mapping would be right");
        code = csl_option_read_yaml(csl_map_where_rows, &where, m->yaml, raw->where, err);
        if (code == CSL_OK && csl_list_count(where.any_of) == 0)
            code = csl_yaml_fail(err, m->yaml, raw->where, "any_of is missing");
        if (code == CSL_OK)
            code = csl_map_list__(m, where.any_of, err);
        memcpy(m->where_column, where.column, sizeof(where.column));
        m->where_any_of = where.any_of;
    }
    return code;
}

/* --- whole files --- */

static enum csl_code read_top(struct csl_mapping *m, const struct csl_option *rows,
                              struct csl_map_raw *raw, struct csl_err *err)
{
    memset(raw, 0, sizeof(*raw));
    enum csl_code code = csl_option_read_yaml(rows, raw, m->yaml, csl_yaml_root(m->yaml), err);
    if (code != CSL_OK)
        return code;
    if (strcmp(raw->format, "consilium.mapping/1") != 0)
        return csl_yaml_fail(err, m->yaml, csl_yaml_get(csl_yaml_root(m->yaml), "format"),
                             "consilium.mapping/1 would be right");
    memcpy(m->licence, raw->licence, sizeof(m->licence));
    memcpy(m->split_rule, raw->split_rule, sizeof(m->split_rule));
    memcpy(m->modality, raw->modality, sizeof(m->modality));
    memcpy(m->patient_column, raw->patient_column, sizeof(m->patient_column));
    m->header = raw->header;
    m->missing = raw->missing;
    m->append = raw->append;
    const struct csl_yaml_node *const lists[] = {m->header, m->missing, m->append};
    code = check_lists(m, lists, 3, err);
    if (code == CSL_OK && csl_list_count(m->append) > CSL_MAP_FILES_MAX)
        code = csl_yaml_fail(err, m->yaml, m->append, "at most %d files would be right",
                             CSL_MAP_FILES_MAX);
    return code;
}

static struct csl_mapping *mapping_new(struct csl_yaml *take_yaml, struct csl_err *err)
{
    struct csl_mapping *m = csl_alloc(sizeof(*m));
    if (m == NULL) {
        csl_yaml_free(take_yaml);
        (void)CSL_FAIL(err, CSL_E_NOMEM, "no memory for a mapping");
        return NULL;
    }
    m->yaml = take_yaml;
    return m;
}

void csl_mapping_free(struct csl_mapping *m)
{
    if (m == NULL)
        return;
    csl_yaml_free(m->yaml);
    csl_free(m->features);
    for (uint32_t i = 0; i < m->modality_count; i++)
        csl_free(m->modalities[i].feature_list);
    csl_free(m);
}

enum csl_code csl_mapping_read_csv(struct csl_mapping **out, struct csl_yaml *take_yaml,
                                   struct csl_err *err)
{
    struct csl_map_raw raw;
    struct csl_mapping *m = mapping_new(take_yaml, err);
    if (m == NULL)
        return CSL_E_NOMEM;
    enum csl_code code = read_top(m, csl_map_csv_rows, &raw, err);
    if (code == CSL_OK)
        code = read_filters(m, &raw, err);
    if (code == CSL_OK && raw.features == NULL && raw.modalities == NULL)
        code = csl_yaml_fail(err, m->yaml, csl_yaml_root(m->yaml),
                             "features are missing; a list 'features:' of columns, "
                             "{all_except: [columns]}, or 'modalities:' in their place, would be "
                             "right");
    if (code == CSL_OK && raw.features != NULL)
        code = read_features(m, raw.features, err);
    if (code == CSL_OK && raw.modalities != NULL)
        code = csl_map_modalities__(m, raw.modalities, false, err);
    if (code == CSL_OK)
        code = read_labels(m, raw.labels, csl_map_csv_label_rows, err);
    if (code == CSL_OK && raw.attributes != NULL)
        code = read_attributes(m, raw.attributes, err);
    if (code == CSL_OK)
        code = read_split(m, raw.split, csl_map_csv_split_rows, err);
    if (code == CSL_OK)
        *out = m;
    else
        csl_mapping_free(m);
    return code;
}

enum csl_code csl_mapping_read_npz(struct csl_mapping **out, struct csl_yaml *take_yaml,
                                   struct csl_err *err)
{
    struct csl_map_raw raw;
    struct csl_mapping *m = mapping_new(take_yaml, err);
    if (m == NULL)
        return CSL_E_NOMEM;
    enum csl_code code = read_top(m, csl_map_npz_rows, &raw, err);
    if (code == CSL_OK && raw.modalities == NULL)
        code = csl_yaml_fail(err, m->yaml, csl_yaml_root(m->yaml),
                             "modalities are missing; a list 'modalities:' of arrays would be "
                             "right");
    if (code == CSL_OK)
        code = csl_map_modalities__(m, raw.modalities, true, err);
    if (code == CSL_OK)
        code = read_labels(m, raw.labels, csl_map_npz_label_rows, err);
    if (code == CSL_OK)
        code = read_split(m, raw.split, csl_map_npz_split_rows, err);
    for (uint32_t i = 0; i < m->label_count && code == CSL_OK; i++)
        if (m->labels[i].kind == CSL_MAP_SURVIVAL)
            code = csl_yaml_fail(err, m->yaml, m->labels[i].node,
                                 "labels of arrays are binary or classes");
    for (int i = 0; i < 3 && code == CSL_OK; i++)
        if (m->split.part[i] != NULL && m->split.part[i]->kind != CSL_YAML_SCALAR)
            code = csl_yaml_fail(err, m->yaml, m->split.part[i], "one prefix would be right");
    if (code == CSL_OK)
        *out = m;
    else
        csl_mapping_free(m);
    return code;
}
