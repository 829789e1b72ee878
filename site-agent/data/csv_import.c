#include "site-agent/data/csv_import.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

const char *csl_import_cell__(const struct csl_csv_import *s, uint32_t column)
{
    if (column < s->main_count)
        return csl_csv_field(&s->csv, column);
    return csl_join_cell(&s->join, s->matched, column - s->main_count);
}

/* A column by name among the main file's and the joined ones; UINT32_MAX: none, -1 twice: error. */
static enum csl_code find_column(const struct csl_csv_import *s, const char *name,
                                 const struct csl_yaml_node *at, uint32_t *column)
{
    uint32_t found = UINT32_MAX, times = 0;
    for (uint32_t i = 0; i < s->main_count + s->join.column_count; i++) {
        const char *other = i < s->main_count ? s->names[i] : s->join.names[i - s->main_count];
        if (strcmp(other, name) != 0)
            continue;
        /* The key column of a join is in both files; the main one is as good. */
        if (times == 0)
            found = i;
        times += i < s->main_count || strcmp(name, s->m->join.on) != 0;
    }
    char shown[96];
    csl_str_escape(shown, sizeof(shown), name, strlen(name));
    if (found != UINT32_MAX && times <= 1) {
        *column = found;
        return CSL_OK;
    }
    if (at == NULL)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s:1: %s column is named '%s', which the row filter (--where, or the "
                        "study's simulated site) asks for; %s would be right",
                        s->csv.name, times > 1 ? "more than one" : "no", shown,
                        times > 1 ? "different names" : "a column of the header line");
    return csl_yaml_fail(s->err, s->m->yaml, at, "%s column of %s is named '%s'; %s would be right",
                         times > 1 ? "more than one" : "no", s->csv.name, shown,
                         times > 1 ? "different names" : "a column of its header line");
}

static enum csl_code find_optional(const struct csl_csv_import *s, const char *name,
                                   const char *key, uint32_t *column)
{
    *column = UINT32_MAX;
    if (name == NULL || name[0] == '\0')
        return CSL_OK;
    const struct csl_yaml_node *root = csl_yaml_root(s->m->yaml);
    return find_column(s, name, key == NULL ? NULL : csl_yaml_get(root, key), column);
}

/* --- header --- */

static enum csl_code add_name(struct csl_csv_import *s, const char *name)
{
    s->names[s->main_count] = csl_strdup(name);
    if (s->names[s->main_count] == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for the columns of %s", s->csv.name);
    s->main_count++;
    return CSL_OK;
}

static enum csl_code read_header(struct csl_csv_import *s)
{
    const struct csl_yaml_node *given = s->m->header;
    enum csl_code code = CSL_OK;
    if (given == NULL) {
        code = csl_csv_next(&s->csv, s->err);
        if (code == CSL_E_END)
            return CSL_FAIL(s->err, CSL_E_INVAL,
                            "%s is empty; a line of column names would be right", s->csv.name);
        if (code != CSL_OK)
            return code;
    }
    uint32_t count = given == NULL ? s->csv.field_count : csl_list_count(given);
    s->names = csl_alloc_array(count, sizeof(*s->names));
    if (s->names == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for the columns of %s", s->csv.name);
    for (uint32_t i = 0; i < count && given == NULL && code == CSL_OK; i++)
        code = add_name(s, csl_csv_field(&s->csv, i));
    if (given != NULL && given->kind == CSL_YAML_SCALAR)
        return add_name(s, given->text);
    for (const struct csl_yaml_node *n = given == NULL ? NULL : given->first_child;
         n != NULL && code == CSL_OK; n = n->next)
        code = add_name(s, n->text);
    return code;
}

/* --- features --- */

static enum csl_code features_alloc(struct csl_csv_import *s, uint32_t count)
{
    if (count == 0 || count > CSL_NAMED_FEATURES_MAX)
        return CSL_FAIL(s->err, CSL_E_LIMIT, "%s: %u features; 1 to %d are allowed", s->csv.name,
                        count, CSL_NAMED_FEATURES_MAX);
    s->features = csl_alloc_array(count, sizeof(*s->features));
    s->feature_names = csl_alloc_array(count, sizeof(*s->feature_names));
    if (s->features == NULL || s->feature_names == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %u features", count);
    return CSL_OK;
}

static bool is_listed(const struct csl_yaml_node *list, const char *name)
{
    if (list->kind == CSL_YAML_SCALAR)
        return strcmp(list->text, name) == 0;
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next)
        if (strcmp(n->text, name) == 0)
            return true;
    return false;
}

/* The name of a feature that was not given one: its column's, cut to 63 bytes between characters.
 */
static enum csl_code name_feature(struct csl_csv_import *s, uint32_t column, char out[64])
{
    const char *name = s->names[column];
    size_t n = strnlen(name, 64);
    if (n == 64)
        for (n = 63; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80;)
            n--;
    memcpy(out, name, n);
    out[n] = '\0';
    if (!csl_text_valid__(out, 64))
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s:1: name of column %u is not printable UTF-8; list the features, or "
                        "leave this one out with all_except",
                        s->csv.name, column + 1);
    return CSL_OK;
}

static enum csl_code find_all_except(struct csl_csv_import *s)
{
    const struct csl_yaml_node *except = s->m->all_except;
    enum csl_code code = CSL_OK;
    for (const struct csl_yaml_node *n = except->first_child; n != NULL && code == CSL_OK;
         n = n->next) { /* a mistyped exception would become an input */
        uint32_t unused;
        code = find_column(s, n->text, n, &unused);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->main_count; i++)
        count += !is_listed(except, s->names[i]);
    if (code == CSL_OK)
        code = features_alloc(s, count);
    for (uint32_t i = 0; i < s->main_count && code == CSL_OK; i++) {
        if (is_listed(except, s->names[i]))
            continue;
        s->features[s->feature_count] = (struct csl_import_column){i, s->m->missing};
        code = name_feature(s, i, s->feature_names[s->feature_count]);
        s->feature_count++;
    }
    return code;
}

static enum csl_code find_listed(struct csl_csv_import *s)
{
    enum csl_code code = features_alloc(s, s->m->feature_count);
    for (uint32_t i = 0; i < s->m->feature_count && code == CSL_OK; i++) {
        const struct csl_map_feature *f = &s->m->features[i];
        code = find_column(s, f->column, f->node, &s->features[i].index);
        s->features[i].missing = f->missing != NULL ? f->missing : s->m->missing;
        memcpy(s->feature_names[i], f->name, sizeof(f->name));
        s->feature_count = i + 1;
    }
    return code;
}

static enum csl_code find_columns(struct csl_csv_import *s, const char *extra_where)
{
    const struct csl_mapping *m = s->m;
    enum csl_code code = find_optional(s, m->patient_column, "patient_column", &s->patient);
    if (code == CSL_OK)
        code = find_optional(s, m->split.column, "split", &s->split);
    if (code == CSL_OK)
        code = find_optional(s, m->where_column, "where", &s->where);
    if (code == CSL_OK)
        code = find_optional(s, extra_where, NULL, &s->extra_where);
    if (code == CSL_OK && m->all_except != NULL)
        code = find_all_except(s);
    else if (code == CSL_OK && m->feature_count > 0)
        code = find_listed(s);
    for (uint32_t i = 0; i < m->modality_count && code == CSL_OK; i++) {
        const struct csl_map_modality *o = &m->modalities[i];
        struct csl_csv_modality *v = &s->modalities[i];
        v->o = o;
        v->start = UINT32_MAX;
        code = find_column(s, o->column, o->node, &v->column);
        if (code == CSL_OK && o->start_column[0] != '\0')
            code = find_column(s, o->start_column, o->node, &v->start);
    }
    for (uint32_t i = 0; i < m->label_count && code == CSL_OK; i++) {
        const struct csl_map_label *l = &m->labels[i];
        bool is_survival = l->kind == CSL_MAP_SURVIVAL;
        code = find_column(s, is_survival ? l->time : l->column, l->node, &s->label[i]);
        if (code == CSL_OK && is_survival)
            code = find_column(s, l->event, l->node, &s->event[i]);
    }
    for (uint32_t i = 0; i < m->attribute_count && code == CSL_OK; i++)
        code = find_column(s, m->attributes[i].column, m->attributes[i].node, &s->attribute[i]);
    return code;
}

/* --- whole files --- */

static void import_release(struct csl_csv_import *s)
{
    for (uint32_t i = 0; i < s->main_count; i++)
        csl_free(s->names[i]);
    csl_free(s->names);
    csl_free(s->features);
    csl_free(s->feature_names);
    csl_free(s->line);
    csl_free(s->patient_id);
    csl_free(s->row_split);
    csl_free(s->row_file);
    csl_free(s->values);
    for (int i = 0; i < CSL_LABELS_MAX; i++) {
        csl_free(s->label_value[i]);
        csl_free(s->label_time[i]);
        csl_free(s->label_event[i]);
    }
    for (int i = 0; i < CSL_ATTRIBUTES_MAX; i++)
        csl_free(s->attribute_value[i]);
    for (uint32_t i = 0; i < s->m->modality_count; i++)
        csl_csv_modality_release__(s, i);
    csl_join_release(&s->join);
    csl_csv_release(&s->csv);
}

/* Goes on to the next file, whose header must be that of the first. CSL_E_END: there is none. */
static enum csl_code next_file(struct csl_csv_import *s)
{
    if (s->file_index + 1 == s->file_count)
        return CSL_E_END;
    s->file_index++;
    csl_csv_release(&s->csv);
    csl_csv_init(&s->csv, s->files[s->file_index].stream, s->files[s->file_index].name);
    if (s->m->header != NULL)
        return CSL_OK;
    enum csl_code code = csl_csv_next(&s->csv, s->err);
    if (code != CSL_OK && code != CSL_E_END)
        return code;
    bool is_same = code == CSL_OK && s->csv.field_count == s->main_count;
    for (uint32_t i = 0; is_same && i < s->main_count; i++)
        is_same = strcmp(csl_csv_field(&s->csv, i), s->names[i]) == 0;
    if (!is_same)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s:1: the columns differ from those of %s; the same ones in the same "
                        "order would be right",
                        s->csv.name, s->files[0].name);
    return CSL_OK;
}

static enum csl_code read_rows(struct csl_csv_import *s)
{
    enum csl_code code = CSL_OK;
    while (code == CSL_OK) {
        code = csl_csv_next(&s->csv, s->err);
        if (code == CSL_OK)
            code = csl_import_row__(s);
        else if (code == CSL_E_END)
            code = next_file(s);
    }
    return code;
}

static enum csl_code find_key(struct csl_csv_import *s)
{
    s->on = UINT32_MAX;
    for (uint32_t i = 0; i < s->main_count; i++)
        if (strcmp(s->names[i], s->m->join.on) == 0)
            s->on = i;
    if (s->on == UINT32_MAX)
        return csl_yaml_fail(s->err, s->m->yaml, csl_yaml_get(csl_yaml_root(s->m->yaml), "join"),
                             "no column of %s is named '%s'", s->csv.name, s->m->join.on);
    return CSL_OK;
}

enum csl_code csl_import_csv_streams__(struct csl_records *out, const char *site,
                                       const struct csl_csv_file *files, uint32_t file_count,
                                       FILE *joined, const char *joined_name,
                                       struct csl_mapping *mapping, const char *where_column,
                                       const char (*where_any_of)[64], uint32_t where_count,
                                       struct csl_err *err)
{
    struct csl_csv_import *s = csl_alloc(sizeof(*s));
    enum csl_code code = CSL_OK;
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to import %s", files[0].name);
    s->m = mapping;
    s->err = err;
    s->extra_any_of = where_any_of;
    s->extra_count = where_count;
    s->files = files;
    s->file_count = file_count;
    csl_csv_init(&s->csv, files[0].stream, files[0].name);
    code = read_header(s);
    if (code == CSL_OK && mapping->join.is_used) {
        code = csl_join_read(&s->join, joined, joined_name, mapping->join.key, mapping->join.prefix,
                             err);
        if (code == CSL_OK)
            code = find_key(s);
    }
    if (code == CSL_OK)
        code = find_columns(s, where_column);
    for (uint32_t i = 0; i < mapping->modality_count && code == CSL_OK; i++)
        code = csl_csv_modality_open__(s, i);
    if (code == CSL_OK)
        code = read_rows(s);
    if (code == CSL_E_END)
        code = csl_import_finish__(s, site, out);
    import_release(s);
    csl_free(s);
    return code;
}

static enum csl_code open_file(FILE **out, const char *path, struct csl_err *err)
{
    struct stat st;
    *out = fopen(path, "rbe");
    if (*out == NULL)
        return CSL_FAIL_SYS(err, errno == ENOENT ? CSL_E_NOTFOUND : CSL_E_IO, "cannot open %s",
                            path);
    if (fstat(fileno(*out), &st) == 0 && S_ISDIR(st.st_mode))
        return CSL_FAIL(err, CSL_E_INVAL, "%s is a folder; a CSV file would be right", path);
    return CSL_OK;
}

/* A file of the mapping lies beside the main one unless its path is absolute. */
static enum csl_code open_beside(FILE **out, const char *csv_path, const char *file,
                                 char path[CSL_PATH_MAX], struct csl_err *err)
{
    if (!csl_str_copy(path, CSL_PATH_MAX, file))
        return CSL_FAIL(err, CSL_E_LIMIT, "a path of the mapping is longer than %d bytes",
                        CSL_PATH_MAX - 1);
    enum csl_code code = csl_path_beside(path, csv_path, err);
    return code == CSL_OK ? open_file(out, path, err) : code;
}

/* The files of one import, and their paths. */
struct opened {
    struct csl_csv_file files[CSL_MAP_FILES_MAX + 1];
    char paths[CSL_MAP_FILES_MAX + 1][CSL_PATH_MAX], joined_path[CSL_PATH_MAX];
    FILE *joined;
    uint32_t count;
};

static enum csl_code open_all(struct opened *o, const char *csv_path, const struct csl_mapping *m,
                              struct csl_err *err)
{
    enum csl_code code = open_file(&o->files[0].stream, csv_path, err);
    o->files[0].name = csv_path;
    o->count = 1;
    const struct csl_yaml_node *n = m->append;
    if (n != NULL && n->kind == CSL_YAML_SEQUENCE)
        n = n->first_child;
    for (; n != NULL && code == CSL_OK; n = n->next) {
        struct csl_csv_file *f = &o->files[o->count];
        code = open_beside(&f->stream, csv_path, n->text, o->paths[o->count], err);
        f->name = o->paths[o->count++];
        if (m->append->kind == CSL_YAML_SCALAR)
            break;
    }
    if (code == CSL_OK && m->join.is_used)
        code = open_beside(&o->joined, csv_path, m->join.file, o->joined_path, err);
    return code;
}

static void close_all(struct opened *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->files[i].stream != NULL)
            (void)fclose(o->files[i].stream);
    if (o->joined != NULL)
        (void)fclose(o->joined);
}

enum csl_code csl_import_csv(struct csl_records *out, const char *site, const char *csv_path,
                             const char *mapping_path, const char *where_column,
                             const char (*where_any_of)[64], uint32_t where_count,
                             struct csl_err *err)
{
    struct csl_yaml *yaml = NULL;
    struct csl_mapping *mapping = NULL;
    if (!csl_id_valid(site))
        return CSL_FAIL(err, CSL_E_INVAL, "'%s' is not a site id ([a-z0-9][a-z0-9._-]*)", site);
    struct opened *o = csl_alloc(sizeof(*o));
    if (o == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to import %s", csv_path);
    enum csl_code code = csl_yaml_read(&yaml, mapping_path, CSL_MANIFEST_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_mapping_read_csv(&mapping, yaml, err);
    if (code == CSL_OK)
        code = open_all(o, csv_path, mapping, err);
    if (code == CSL_OK)
        code = csl_import_csv_streams__(out, site, o->files, o->count, o->joined, o->joined_path,
                                        mapping, where_column, where_any_of, where_count, err);
    close_all(o);
    csl_free(o);
    csl_mapping_free(mapping);
    return code;
}
