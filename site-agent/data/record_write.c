/* Writing a record file. Everything that could make the same records give other bytes is switched
 * off: object times, and the older format whose padding depends on history. Data sets are chunked
 * with fletcher32, and the newest format has checksums on its own structures, so that a flipped bit
 * is found on reading. */
#include "site-agent/data/record_internal.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define CHUNK_BYTES ((hsize_t)64 * 1024)

struct writer {
    const struct csl_records *r;
    const char *path;
    hid_t file;
    struct csl_err *err;
};

static enum csl_code fail(const struct writer *w, const char *what)
{
    return CSL_FAIL(w->err, CSL_E_IO, "%s: cannot write %s", w->path, what);
}

static hid_t string_type(size_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, bytes) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

/* An attribute of `count` items; count 0: a scalar. */
static enum csl_code put_attribute(const struct writer *w, hid_t object, const char *name,
                                   hid_t type, uint32_t count, const void *items)
{
    hsize_t dims = count;
    hid_t space = count == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &dims, NULL);
    hid_t a = space < 0 ? -1 : H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = a >= 0 && H5Awrite(a, type, items) >= 0;
    if (a >= 0)
        ok = H5Aclose(a) >= 0 && ok;
    if (space >= 0)
        H5Sclose(space);
    return ok ? CSL_OK : fail(w, name);
}

/* The texts with every byte behind their NUL cleared, so that equal records give equal files. */
static void *clean_copy(const void *texts, size_t bytes, uint32_t count)
{
    char *clean = csl_alloc_array(count, bytes);
    for (uint32_t i = 0; clean != NULL && i < count; i++) {
        const char *text = (const char *)texts + i * bytes;
        memcpy(clean + i * bytes, text, strnlen(text, bytes - 1));
    }
    return clean;
}

/* `count` texts in fields of `bytes`; count 0: one text as a scalar. */
static enum csl_code put_texts(const struct writer *w, hid_t object, const char *name,
                               const void *texts, size_t bytes, uint32_t count)
{
    void *clean = clean_copy(texts, bytes, count == 0 ? 1 : count);
    hid_t type = string_type(bytes);
    enum csl_code code;
    if (clean == NULL)
        code = CSL_FAIL(w->err, CSL_E_NOMEM, "no memory to write %s", w->path);
    else
        code = type < 0 ? fail(w, name) : put_attribute(w, object, name, type, count, clean);
    if (type >= 0)
        H5Tclose(type);
    csl_free(clean);
    return code;
}

static enum csl_code put_text(const struct writer *w, hid_t object, const char *name,
                              const char *text, size_t bytes)
{
    return put_texts(w, object, name, text, bytes, 0);
}

static hid_t make_group(const struct writer *w, const char *path)
{
    hid_t plist = H5Pcreate(H5P_GROUP_CREATE);
    hid_t g = -1;
    if (plist >= 0 && H5Pset_obj_track_times(plist, false) >= 0 &&
        H5Pset_link_creation_order(plist, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0)
        g = H5Gcreate2(w->file, path, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (plist >= 0)
        H5Pclose(plist);
    return g;
}

static hid_t make_set(hid_t group, const char *name, hid_t file_type, hid_t space, int rank,
                      const hsize_t *dims)
{
    hsize_t chunk[5], row_bytes = H5Tget_size(file_type);
    for (int i = 1; i < rank; i++) {
        chunk[i] = dims[i];
        row_bytes *= dims[i];
    }
    chunk[0] = row_bytes >= CHUNK_BYTES ? 1 : CHUNK_BYTES / row_bytes;
    if (chunk[0] > dims[0])
        chunk[0] = dims[0];
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    if (plist >= 0 && H5Pset_obj_track_times(plist, false) >= 0 &&
        H5Pset_chunk(plist, rank, chunk) >= 0 && H5Pset_fletcher32(plist) >= 0)
        set = H5Dcreate2(group, name, file_type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (plist >= 0)
        H5Pclose(plist);
    return set;
}

/* Writes one data set; with `keep` not NULL it stays open there for attributes. */
static enum csl_code put_set(const struct writer *w, hid_t group, const char *name, hid_t file_type,
                             hid_t memory_type, int rank, const hsize_t *dims, const void *items,
                             hid_t *keep)
{
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t set = space < 0 ? -1 : make_set(group, name, file_type, space, rank, dims);
    bool ok = set >= 0 && H5Dwrite(set, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, items) >= 0;
    if (ok && keep != NULL)
        *keep = set;
    else if (set >= 0)
        ok = H5Dclose(set) >= 0 && ok;
    if (space >= 0)
        H5Sclose(space);
    return ok ? CSL_OK : fail(w, name);
}

static enum csl_code put_strings(const struct writer *w, hid_t group, const char *name,
                                 const void *texts, size_t bytes, uint32_t count)
{
    hsize_t dims = count;
    void *clean = clean_copy(texts, bytes, count);
    hid_t type = string_type(bytes);
    enum csl_code code;
    if (clean == NULL)
        code = CSL_FAIL(w->err, CSL_E_NOMEM, "no memory to write %s", w->path);
    else
        code =
            type < 0 ? fail(w, name) : put_set(w, group, name, type, type, 1, &dims, clean, NULL);
    if (type >= 0)
        H5Tclose(type);
    csl_free(clean);
    return code;
}

static enum csl_code put_patients(const struct writer *w)
{
    const struct csl_records *r = w->r;
    hsize_t dims = r->patient_count;
    hid_t g = make_group(w, "patients");
    if (g < 0)
        return fail(w, "/patients");
    enum csl_code code =
        put_strings(w, g, "id", r->patient_id, sizeof(r->patient_id[0]), r->patient_count);
    if (code == CSL_OK)
        code = put_set(w, g, "split", H5T_STD_U8LE, H5T_NATIVE_UINT8, 1, &dims, r->split, NULL);
    for (uint32_t i = 0; i < r->attribute_count && code == CSL_OK; i++)
        code = put_strings(w, g, r->attributes[i].name, r->attributes[i].value,
                           sizeof(r->attributes[i].value[0]), r->patient_count);
    H5Gclose(g);
    return code;
}

/* /records/availability [R, M] with the names of its columns, in the order of the modalities. */
static enum csl_code put_availability(const struct writer *w, hid_t group)
{
    const struct csl_records *r = w->r;
    char names[CSL_MODALITIES_MAX][64];
    hsize_t dims[2] = {r->record_count, r->modality_count};
    hid_t set = -1;
    if (r->modality_count == 0)
        return CSL_OK;
    uint8_t *bits = csl_alloc_array(r->record_count, r->modality_count);
    if (bits == NULL)
        return CSL_FAIL(w->err, CSL_E_NOMEM, "no memory to write %s", w->path);
    memset(names, 0, sizeof(names));
    for (uint32_t k = 0; k < r->modality_count; k++) {
        for (uint32_t i = 0; i < r->record_count; i++)
            bits[(size_t)i * r->modality_count + k] = r->modalities[k].available[i];
        CSL_ASSERT(csl_str_copy(names[k], sizeof(names[k]), r->modalities[k].name));
    }
    enum csl_code code =
        put_set(w, group, "availability", H5T_STD_U8LE, H5T_NATIVE_UINT8, 2, dims, bits, &set);
    if (code == CSL_OK)
        code = put_texts(w, set, "modalities", names, sizeof(names[0]), r->modality_count);
    if (set >= 0)
        H5Dclose(set);
    csl_free(bits);
    return code;
}

static enum csl_code put_index(const struct writer *w)
{
    const struct csl_records *r = w->r;
    hsize_t dims = r->record_count;
    hid_t g = make_group(w, "records");
    if (g < 0)
        return fail(w, "/records");
    enum csl_code code =
        put_set(w, g, "patient", H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, &dims, r->patient, NULL);
    if (code == CSL_OK)
        code = put_set(w, g, "time", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, &dims, r->time, NULL);
    if (code == CSL_OK)
        code = put_availability(w, g);
    H5Gclose(g);
    return code;
}

static enum csl_code put_modality(const struct writer *w, hid_t group,
                                  const struct csl_record_modality *m)
{
    hsize_t dims[5] = {w->r->record_count, 0, 0, 0, 0};
    hid_t set = -1;
    bool is_named = csl_modality_is_named__(m);
    uint32_t names = csl_modality_names__(m);
    for (uint32_t i = 0; i < m->rank; i++)
        dims[i + 1] = m->shape[i];
    enum csl_code code = put_set(w, group, m->name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT,
                                 (int)m->rank + 1, dims, m->values, &set);
    if (code == CSL_OK)
        code = put_text(w, set, "kind", m->kind, sizeof(m->kind));
    if (code == CSL_OK && is_named)
        code = put_texts(w, set, "names", m->feature_names, 64, names);
    if (code == CSL_OK && is_named)
        code = put_texts(w, set, "units", m->feature_units, 24, names);
    if (code == CSL_OK && is_named)
        code = put_attribute(w, set, "range_min", H5T_IEEE_F64LE, names, m->range_min);
    if (code == CSL_OK && is_named)
        code = put_attribute(w, set, "range_max", H5T_IEEE_F64LE, names, m->range_max);
    if (code == CSL_OK && strcmp(m->kind, "signal") == 0)
        code = put_attribute(w, set, "sampling_rate_hz", H5T_IEEE_F64LE, 0, &m->sampling_rate_hz);
    if (set >= 0)
        H5Dclose(set);
    return code;
}

static enum csl_code put_text_rule(const struct writer *w, hid_t group,
                                   const struct csl_record_modality *m)
{
    const struct csl_text_rule *rule = &m->text->rule;
    enum csl_code code = put_text(w, group, "kind", m->kind, sizeof(m->kind));
    if (code == CSL_OK)
        code = put_text(w, group, "hash", CSL_TEXT_HASH, sizeof(CSL_TEXT_HASH));
    if (code == CSL_OK)
        code = put_attribute(w, group, "buckets", H5T_STD_U32LE, 0, &rule->buckets);
    if (code == CSL_OK)
        code = put_attribute(w, group, "ngrams", H5T_STD_U32LE, 0, &rule->ngrams);
    if (code == CSL_OK)
        code = put_attribute(w, group, "tokens_max", H5T_STD_U32LE, 0, &rule->tokens_max);
    return code;
}

static enum csl_code put_notes(const struct writer *w, const struct csl_record_modality *m)
{
    char path[96];
    const struct csl_record_text *t = m->text;
    hsize_t marks = (hsize_t)w->r->record_count + 1, n = t->offsets[w->r->record_count];
    (void)snprintf(path, sizeof(path), "modalities/%s", m->name);
    hid_t g = make_group(w, path);
    if (g < 0)
        return fail(w, m->name);
    enum csl_code code = put_text_rule(w, g, m);
    if (code == CSL_OK)
        code =
            put_set(w, g, "offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64, 1, &marks, t->offsets, NULL);
    if (code == CSL_OK)
        code = put_set(w, g, "tokens", H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, &n, t->tokens, NULL);
    if (code == CSL_OK && t->kept != NULL)
        code = put_set(w, g, "text_offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64, 1, &marks,
                       t->kept_offsets, NULL);
    if (code == CSL_OK && t->kept != NULL) {
        n = t->kept_offsets[w->r->record_count];
        code = put_set(w, g, "text", H5T_STD_U8LE, H5T_NATIVE_UINT8, 1, &n, t->kept, NULL);
    }
    H5Gclose(g);
    return code;
}

static enum csl_code put_label(const struct writer *w, hid_t group,
                               const struct csl_record_label *l)
{
    hsize_t dims[2] = {w->r->record_count, 2};
    hid_t set = -1;
    enum csl_code code;
    if (l->classes > 0) {
        code = put_set(w, group, l->name, H5T_STD_I16LE, H5T_NATIVE_INT16, 1, dims, l->value, &set);
    } else {
        float *pairs = csl_alloc_array(w->r->record_count, 2 * sizeof(float));
        if (pairs == NULL)
            return CSL_FAIL(w->err, CSL_E_NOMEM, "no memory to write %s", w->path);
        for (uint32_t i = 0; i < w->r->record_count; i++) {
            pairs[2 * (size_t)i] = l->time[i];
            pairs[2 * (size_t)i + 1] = isnan(l->time[i]) ? NAN : l->event[i];
        }
        code = put_set(w, group, l->name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, dims, pairs, &set);
        csl_free(pairs);
    }
    if (code == CSL_OK)
        code = put_attribute(w, set, "classes", H5T_STD_U32LE, 0, &l->classes);
    if (set >= 0)
        H5Dclose(set);
    return code;
}

static enum csl_code put_parts(const struct writer *w)
{
    enum csl_code code = CSL_OK;
    hid_t g = make_group(w, "modalities");
    if (g < 0)
        return fail(w, "/modalities");
    for (uint32_t i = 0; i < w->r->modality_count && code == CSL_OK; i++)
        code = w->r->modalities[i].text != NULL ? put_notes(w, &w->r->modalities[i])
                                                : put_modality(w, g, &w->r->modalities[i]);
    H5Gclose(g);
    if (code != CSL_OK)
        return code;
    g = make_group(w, "labels");
    if (g < 0)
        return fail(w, "/labels");
    for (uint32_t i = 0; i < w->r->label_count && code == CSL_OK; i++)
        code = put_label(w, g, &w->r->labels[i]);
    H5Gclose(g);
    return code;
}

static enum csl_code put_root(const struct writer *w)
{
    static const struct {
        const char *name, *text;
    } fixed[] = {{"format", CSL_RECORD_FORMAT}, {"created_by", "consilium"}};
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < 2 && code == CSL_OK; i++)
        code = put_text(w, w->file, fixed[i].name, fixed[i].text, strlen(fixed[i].text) + 1);
    if (code == CSL_OK)
        code = put_text(w, w->file, "site", w->r->site, sizeof(w->r->site));
    if (code == CSL_OK)
        code = put_text(w, w->file, "licence", w->r->licence, sizeof(w->r->licence));
    if (code == CSL_OK)
        code = put_text(w, w->file, "split_rule", w->r->split_rule, sizeof(w->r->split_rule));
    return code;
}

static hid_t create_file(const char *tmp_path)
{
    hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (creation >= 0 && access >= 0 && H5Pset_obj_track_times(creation, false) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0)
        file = H5Fcreate(tmp_path, H5F_ACC_TRUNC, creation, access);
    if (creation >= 0)
        H5Pclose(creation);
    if (access >= 0)
        H5Pclose(access);
    return file;
}

static enum csl_code write_file(struct writer *w, const char *tmp_path)
{
    w->file = create_file(tmp_path);
    if (w->file < 0)
        return fail(w, "it (HDF5 refuses to create it)");
    enum csl_code code = put_root(w);
    if (code == CSL_OK)
        code = put_patients(w);
    if (code == CSL_OK)
        code = put_index(w);
    if (code == CSL_OK)
        code = put_parts(w);
    if (H5Fclose(w->file) < 0 && code == CSL_OK)
        code = fail(w, "it to the end (disk full?)");
    return code;
}

enum csl_code csl_records_write(const struct csl_records *r, const char *path, struct csl_err *err)
{
    char tmp_path[CSL_PATH_MAX];
    struct writer w = {r, path, -1, err};
    enum csl_code code = csl_records_validate__(r, path, CSL_E_INVAL, err);
    if (code != CSL_OK)
        return code;
    int n = snprintf(tmp_path, sizeof(tmp_path), "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof(tmp_path))
        return CSL_FAIL(err, CSL_E_LIMIT, "path of %d bytes; at most %d are allowed", n,
                        CSL_PATH_MAX - 1);
    /* Made here rather than by HDF5 so that nobody but its owner may read patients. */
    (void)unlink(tmp_path);
    int fd = open(tmp_path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot create %s", tmp_path);
    close(fd);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    code = write_file(&w, tmp_path);
    if (code == CSL_OK)
        code = csl_file_commit(tmp_path, path, err);
    if (code != CSL_OK)
        (void)unlink(tmp_path);
    return code;
}
