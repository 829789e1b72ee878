/* Where the values of a row come from: a row of an archive, a WFDB record, an image file. The name
 * of a file is a cell, so errors about it say where the cell is and not what it says. */
#include "site-agent/data/csv_import.h"
#include "site-agent/data/image.h"
#include "site-agent/data/import_shape.h"
#include "site-agent/data/wfdb.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static bool is_empty(const struct csl_csv_import *s, const char *text)
{
    return text[0] == '\0' || csl_list_find(s->m->missing, text) >= 0;
}

/* What a reader of a file said of it, behind the place of the cell. */
static enum csl_code refuse_file(const struct csl_csv_import *s, const struct csl_csv_modality *v,
                                 const struct csl_err *why)
{
    if (why->code == CSL_E_NOMEM)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for a file that %s names", s->csv.name);
    return csl_import_refuse__(s, v->column, why->msg);
}

/* --- archives --- */

static int compare_keys(const void *a, const void *b)
{
    const struct csl_archive_row *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static enum csl_code add_keys(struct csl_csv_import *s, struct csl_csv_modality *v,
                              const struct csl_npy *keys, const char *path)
{
    const struct csl_npy *array = &v->arrays[v->array_count - 1];
    if (keys->rank != 1 || array->rank < 2 || keys->count != array->shape[0] ||
        keys->count > CSL_SITE_RECORDS_MAX - v->key_count)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s: one number in '%s' for every row of '%s' would be right", path,
                        v->o->key, v->o->array);
    struct csl_archive_row *rows =
        csl_realloc_array(v->keys, v->key_count + keys->count, sizeof(*rows));
    if (rows == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for the keys of %s", path);
    v->keys = rows;
    for (uint32_t i = 0; i < keys->count; i++) {
        double key = csl_npy_value(keys, i);
        if (!isfinite(key))
            return CSL_FAIL(s->err, CSL_E_INVAL, "%s: entry %u of '%s' is not a number", path, i,
                            v->o->key);
        rows[v->key_count++] = (struct csl_archive_row){key, v->array_count - 1, i};
    }
    return CSL_OK;
}

static enum csl_code read_member(struct csl_csv_import *s, const struct csl_csv_modality *v,
                                 const struct csl_zip *zip, const char *name, struct csl_npy *out)
{
    const struct csl_zip_member *member = csl_zip_find(zip, name);
    if (member == NULL)
        return csl_yaml_fail(s->err, s->m->yaml, v->o->node, "%s holds no array '%.64s'", zip->path,
                             name);
    return csl_npy_read(out, zip, member, s->err);
}

static enum csl_code open_archive(struct csl_csv_import *s, struct csl_csv_modality *v,
                                  const char *file)
{
    char path[CSL_PATH_MAX];
    struct csl_msg bytes = {NULL, 0};
    struct csl_npy keys;
    struct csl_zip *zip = csl_alloc(sizeof(*zip));
    enum csl_code code;
    if (zip == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for an archive of %s", v->o->name);
    if (!csl_str_copy(path, sizeof(path), file)) {
        csl_free(zip);
        return csl_yaml_fail(s->err, s->m->yaml, v->o->archives, "a shorter path would be right");
    }
    code = csl_path_beside(path, s->csv.name, s->err);
    if (code == CSL_OK)
        code = csl_file_read(&bytes, path, CSL_NPZ_BYTES_MAX, s->err);
    if (code == CSL_OK)
        code = csl_zip_open(zip, path, csl_msg_span(&bytes), s->err);
    if (code == CSL_OK)
        code = read_member(s, v, zip, v->o->array, &v->arrays[v->array_count]);
    if (code == CSL_OK) {
        v->array_count++;
        code = read_member(s, v, zip, v->o->key, &keys);
    }
    if (code == CSL_OK) {
        code = add_keys(s, v, &keys, path);
        csl_npy_release(&keys);
    }
    csl_msg_release(&bytes);
    csl_free(zip);
    return code;
}

enum csl_code csl_csv_archives_open__(struct csl_csv_import *s, struct csl_csv_modality *v)
{
    const struct csl_yaml_node *list = v->o->archives;
    v->arrays = csl_alloc_array(csl_list_count(list), sizeof(*v->arrays));
    if (v->arrays == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %s", v->o->name);
    enum csl_code code = CSL_OK;
    if (list->kind == CSL_YAML_SCALAR)
        code = open_archive(s, v, list->text);
    for (const struct csl_yaml_node *n = list->first_child; n != NULL && code == CSL_OK;
         n = n->next)
        code = open_archive(s, v, n->text);
    if (code != CSL_OK)
        return code;
    if (v->key_count > 0)
        qsort(v->keys, v->key_count, sizeof(*v->keys), compare_keys);
    for (uint32_t i = 1; i < v->key_count; i++)
        if (!(v->keys[i - 1].key < v->keys[i].key))
            return csl_yaml_fail(s->err, s->m->yaml, v->o->node,
                                 "two rows of the archives have the same '%s'; different ones "
                                 "would be right",
                                 v->o->key);
    return CSL_OK;
}

static enum csl_code archive_row(struct csl_csv_import *s, struct csl_csv_modality *v, uint32_t row,
                                 const char *cell, bool *has)
{
    struct csl_archive_row wanted = {0.0, 0, 0};
    struct csl_record_modality found;
    float *to = NULL;
    if (!csl_parse_f64(cell, &wanted.key))
        return csl_import_refuse__(s, v->column,
                                   "the cell is not a number; the key of a row of the archives, or "
                                   "an empty cell, would be right");
    const struct csl_archive_row *at =
        v->key_count == 0 ? NULL
                          : bsearch(&wanted, v->keys, v->key_count, sizeof(wanted), compare_keys);
    if (at == NULL)
        return v->o->may_lack ? CSL_OK
                              : csl_import_refuse__(s, v->column,
                                                    "no row of the archives has this key; "
                                                    "'may_lack: true' would take the record "
                                                    "without it");
    const struct csl_npy *a = &v->arrays[at->file];
    memset(&found, 0, sizeof(found));
    if (!csl_import_shape__(v->o, a, &found))
        return csl_yaml_fail(s->err, s->m->yaml, v->o->node,
                             "array '%s' does not have the axes of kind %s, or not as many columns "
                             "as there are features",
                             v->o->array, csl_kinds__[v->o->kind].name);
    enum csl_code code = csl_csv_modality_shape__(s, v, &found, row, &to);
    for (uint32_t k = 0; k < v->width && code == CSL_OK; k++)
        if (!csl_import_value__(v->o, csl_npy_value(a, (uint64_t)at->row * v->width + k), &to[k]))
            code = csl_import_refuse__(s, v->column, "a value of this key does not fit float32");
    *has = code == CSL_OK;
    return code;
}

/* --- files --- */

/* A relative path that stays below the folder of the CSV. */
static bool is_inside(const char *cell)
{
    if (!csl_text_valid__(cell, 255) || cell[0] == '/')
        return false;
    for (const char *p = cell; p != NULL; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    }
    return true;
}

/* Reads a file that a cell names, or that lies beside one; *is_there false when it may lack. */
static enum csl_code read_file(struct csl_csv_import *s, const struct csl_csv_modality *v,
                               const char *path, size_t most, struct csl_msg *out, bool *is_there)
{
    struct csl_err why = {.code = CSL_OK};
    enum csl_code code = csl_file_read(out, path, most, &why);
    *is_there = code == CSL_OK;
    if (code == CSL_OK || (code == CSL_E_NOTFOUND && v->o->may_lack))
        return CSL_OK;
    if (code == CSL_E_NOMEM)
        return CSL_FAIL(s->err, code, "no memory for a file that %s names", s->csv.name);
    return csl_import_refuse__(s, v->column,
                               code == CSL_E_NOTFOUND
                                   ? "the file it names, or one that goes with it, is not there; "
                                     "'may_lack: true' would take the record without it"
                               : code == CSL_E_LIMIT ? "the file it names is too large"
                                                     : "the file it names cannot be read");
}

static enum csl_code path_of(struct csl_csv_import *s, const struct csl_csv_modality *v,
                             const char *cell, const char *ending, char path[CSL_PATH_MAX])
{
    struct csl_err unused;
    if (!is_inside(cell))
        return csl_import_refuse__(s, v->column,
                                   "a path below the folder of the CSV, of up to 254 bytes, would "
                                   "be right");
    (void)snprintf(path, CSL_PATH_MAX, "%s%s", cell, ending);
    if (csl_path_beside(path, s->csv.name, &unused) != CSL_OK)
        return csl_import_refuse__(s, v->column, "the path is too long");
    return CSL_OK;
}

static enum csl_code image_row(struct csl_csv_import *s, struct csl_csv_modality *v, uint32_t row,
                               const char *cell, bool *has)
{
    char path[CSL_PATH_MAX];
    struct csl_err why = {.code = CSL_OK};
    struct csl_msg bytes = {NULL, 0};
    struct csl_image image = {.pixels = NULL};
    struct csl_record_modality found;
    float *to = NULL;
    bool is_there = false;
    enum csl_code code = path_of(s, v, cell, "", path);
    if (code == CSL_OK)
        code = read_file(s, v, path, CSL_IMAGE_FILE_BYTES_MAX, &bytes, &is_there);
    if (code != CSL_OK || !is_there)
        return code;
    if (csl_image_read(&image, "its file", csl_msg_span(&bytes), &why) != CSL_OK)
        code = refuse_file(s, v, &why);
    csl_msg_release(&bytes);
    if (code != CSL_OK)
        return code;
    memset(&found, 0, sizeof(found));
    found.rank = 3;
    found.shape[0] = image.height;
    found.shape[1] = image.width;
    found.shape[2] = image.channels;
    code = csl_csv_modality_shape__(s, v, &found, row, &to);
    for (uint32_t k = 0; k < v->width && code == CSL_OK; k++)
        if (!csl_import_value__(v->o, image.pixels[k], &to[k]))
            code = csl_import_refuse__(s, v->column, "a pixel does not fit float32");
    csl_image_release(&image);
    *has = code == CSL_OK;
    return code;
}

/* --- WFDB --- */

struct wfdb_row {
    struct csl_csv_import *s;
    struct csl_csv_modality *v;
    char header_path[CSL_PATH_MAX];
    struct csl_wfdb_header h;
    uint64_t start;
    uint32_t samples;
};

/* What the header says against the mapping and the rows before. */
static enum csl_code check_header(struct wfdb_row *w)
{
    const struct csl_map_modality *o = w->v->o;
    double *rate = &w->v->made.sampling_rate_hz;
    if (w->v->width == 0 && !(*rate > 0.0))
        *rate = w->h.sampling_rate_hz;
    if (fabs(*rate - w->h.sampling_rate_hz) > 1e-9 * *rate)
        return csl_import_refuse__(w->s, w->v->column,
                                   "its sampling rate is not that of the mapping or of the rows "
                                   "before");
    for (uint32_t i = 0; i < w->h.signal_count; i++)
        if (o->unit[0] != '\0' && strcmp(o->unit, w->h.signals[i].unit) != 0)
            return csl_import_refuse__(w->s, w->v->column,
                                       "its header states another unit than the mapping");
    if (w->start >= w->h.samples)
        return csl_import_refuse__(w->s, w->v->column, "it ends before the first sample wanted");
    uint64_t samples = o->samples > 0 ? o->samples : w->h.samples - w->start;
    if (samples * w->h.signal_count > CSL_FEATURES_MAX)
        return csl_import_refuse__(w->s, w->v->column,
                                   "it has more values than a record may have (65536); 'samples' "
                                   "in the mapping takes a part");
    w->samples = (uint32_t)samples;
    return CSL_OK;
}

static enum csl_code read_group(struct wfdb_row *w, uint32_t first, float *to)
{
    char path[CSL_PATH_MAX];
    struct csl_err why = {.code = CSL_OK};
    struct csl_msg bytes = {NULL, 0};
    bool is_there;
    memcpy(path, w->h.signals[first].file, sizeof(w->h.signals[first].file));
    if (csl_path_beside(path, w->header_path, &why) != CSL_OK)
        return csl_import_refuse__(w->s, w->v->column, "the path is too long");
    enum csl_code code = read_file(w->s, w->v, path, CSL_WFDB_FILE_BYTES_MAX, &bytes, &is_there);
    if (code == CSL_OK && !is_there) /* a header without its signals is damage, not absence */
        code =
            csl_import_refuse__(w->s, w->v->column, "the signal file of its header is not there");
    if (code == CSL_OK &&
        csl_wfdb_samples(&w->h, first, "its signal file", csl_msg_span(&bytes), w->start,
                         w->samples, to + first, w->h.signal_count, &why) != CSL_OK)
        code = refuse_file(w->s, w->v, &why);
    csl_msg_release(&bytes);
    return code;
}

static enum csl_code read_start(struct wfdb_row *w)
{
    char text[256];
    w->start = 0;
    if (w->v->start == UINT32_MAX)
        return CSL_OK;
    if (!csl_parse_u64(csl_import_trimmed__(w->s, w->v->start, text), &w->start) ||
        w->start > CSL_WFDB_SAMPLES_MAX)
        return csl_import_refuse__(w->s, w->v->start,
                                   "the number of the first sample would be "
                                   "right");
    return CSL_OK;
}

static enum csl_code read_header(struct wfdb_row *w, const char *cell, bool *is_there)
{
    struct csl_err why = {.code = CSL_OK};
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = path_of(w->s, w->v, cell, ".hea", w->header_path);
    if (code == CSL_OK)
        code = read_start(w);
    if (code == CSL_OK)
        code = read_file(w->s, w->v, w->header_path, CSL_WFDB_HEADER_BYTES_MAX, &bytes, is_there);
    if (code == CSL_OK && *is_there &&
        csl_wfdb_header_read(&w->h, "its header", csl_msg_span(&bytes), &why) != CSL_OK)
        code = refuse_file(w->s, w->v, &why);
    csl_msg_release(&bytes);
    return code;
}

static enum csl_code wfdb_values(struct wfdb_row *w, uint32_t row)
{
    struct csl_record_modality found;
    float *to = NULL;
    memset(&found, 0, sizeof(found));
    found.rank = 2;
    found.shape[0] = w->samples;
    found.shape[1] = w->h.signal_count;
    enum csl_code code = csl_csv_modality_shape__(w->s, w->v, &found, row, &to);
    for (uint32_t i = 0; i < w->h.signal_count && code == CSL_OK; i += csl_wfdb_group(&w->h, i))
        code = read_group(w, i, to);
    for (uint32_t k = 0; k < w->v->width && code == CSL_OK; k++)
        if (!csl_import_value__(w->v->o, (double)to[k], &to[k]))
            code = csl_import_refuse__(w->s, w->v->column, "a value does not fit float32");
    return code;
}

static enum csl_code wfdb_row(struct csl_csv_import *s, struct csl_csv_modality *v, uint32_t row,
                              const char *cell, bool *has)
{
    bool is_there = false;
    struct wfdb_row *w = csl_alloc(sizeof(*w));
    if (w == NULL)
        return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for a record of %s", s->csv.name);
    w->s = s;
    w->v = v;
    enum csl_code code = read_header(w, cell, &is_there);
    if (code == CSL_OK && is_there)
        code = check_header(w);
    if (code == CSL_OK && is_there)
        code = wfdb_values(w, row);
    csl_free(w);
    *has = code == CSL_OK && is_there;
    return code;
}

enum csl_code csl_csv_source_row__(struct csl_csv_import *s, struct csl_csv_modality *v,
                                   uint32_t row, bool *has)
{
    char cell[256];
    *has = false;
    (void)csl_import_trimmed__(s, v->column, cell);
    if (is_empty(s, cell))
        return CSL_OK;
    if (v->o->archives != NULL)
        return archive_row(s, v, row, cell, has);
    return v->o->file_format == CSL_MAP_FILES_WFDB ? wfdb_row(s, v, row, cell, has)
                                                   : image_row(s, v, row, cell, has);
}
