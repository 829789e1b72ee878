/* coordinator/model/model_read.c - reading a model file. Everything the file says is checked before
 * it is used: a model may have been carried on a stick. */
#include "base/check.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/model/model_file.h"
#include "coordinator/model/model_layout.h"
#include "privacy/crypto/sha256.h"

#include <hdf5.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct reader {
    hid_t file;
    const char *path;
    uint8_t schema_digest[CSL_DIGEST_BYTES], model_digest[CSL_DIGEST_BYTES],
        state_digest[CSL_DIGEST_BYTES];
    uint64_t parameters;
};

static enum csl_code corrupt(const struct reader *r, const char *what, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_CORRUPT,
                    "%s: %s is missing or damaged; the file is not a whole "
                    "model of format %s",
                    r->path, what, CSL_MODEL_FORMAT);
}

/* count 0: a scalar. The stored type must be exactly file_type. */
static enum csl_code get_attribute(const struct reader *r, hid_t at, const char *name,
                                   hid_t file_type, hid_t memory_type, hsize_t count, void *value,
                                   struct csl_err *err)
{
    hid_t attribute = H5Aopen(at, name, H5P_DEFAULT);
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hsize_t extent = 0;
    bool is_read = false;

    if (attribute < 0)
        return corrupt(r, name, err);
    type = H5Aget_type(attribute);
    space = H5Aget_space(attribute);
    if (type >= 0 && space >= 0 && H5Tequal(type, file_type) > 0) {
        bool has_shape = count == 0 ? H5Sget_simple_extent_type(space) == H5S_SCALAR
                                    : H5Sget_simple_extent_ndims(space) == 1 &&
                                          H5Sget_simple_extent_dims(space, &extent, NULL) == 1 &&
                                          extent == count;
        is_read = has_shape && H5Aread(attribute, memory_type, value) >= 0;
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(attribute);
    return is_read ? CSL_OK : corrupt(r, name, err);
}

static enum csl_code get_u64(const struct reader *r, hid_t at, const char *name, uint64_t *value,
                             struct csl_err *err)
{
    return get_attribute(r, at, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, 0, value, err);
}

static enum csl_code get_digest(const struct reader *r, const char *name, uint8_t *digest,
                                struct csl_err *err)
{
    return get_attribute(r, r->file, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, CSL_DIGEST_BYTES, digest,
                         err);
}

static enum csl_code get_text(const struct reader *r, hid_t at, const char *name,
                              char text[CSL_ID_MAX], struct csl_err *err)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    enum csl_code code;

    H5Tset_size(type, CSL_ID_MAX);
    code = get_attribute(r, at, name, type, type, 0, text, err);
    H5Tclose(type);
    if (code == CSL_OK && memchr(text, 0, CSL_ID_MAX) == NULL)
        return corrupt(r, name, err);
    return code;
}

/* Position of `text` in names[count], or count. */
static uint32_t name_index(const char *const *names, uint32_t count, const char *text)
{
    uint32_t i = 0;

    while (i < count && strcmp(names[i], text) != 0)
        i++;
    return i;
}

/* Link number `index` of a group in the order it was written; hard links only, so that a file
 * cannot point into other files. */
static bool link_name(hid_t group, uint64_t index, char name[CSL_ID_MAX])
{
    H5L_info_t info;
    ssize_t length;

    if (H5Lget_info_by_idx(group, ".", H5_INDEX_CRT_ORDER, H5_ITER_INC, index, &info, H5P_DEFAULT) <
            0 ||
        info.type != H5L_TYPE_HARD)
        return false;
    length = H5Lget_name_by_idx(group, ".", H5_INDEX_CRT_ORDER, H5_ITER_INC, index, name,
                                CSL_ID_MAX, H5P_DEFAULT);
    return length > 0 && length < CSL_ID_MAX;
}

static hid_t open_group(hid_t at, const char *name, uint64_t *links_out)
{
    H5L_info_t link;
    H5G_info_t info;
    hid_t group = H5I_INVALID_HID;

    if (H5Lexists(at, name, H5P_DEFAULT) > 0 && H5Lget_info(at, name, &link, H5P_DEFAULT) >= 0 &&
        link.type == H5L_TYPE_HARD)
        group = H5Gopen2(at, name, H5P_DEFAULT);
    if (group >= 0 && H5Gget_info(group, &info) < 0) {
        H5Gclose(group);
        group = H5I_INVALID_HID;
    }
    if (group >= 0)
        *links_out = info.nlinks;
    return group;
}

/* Opens a data set that is plain float32 in this very file; its shape goes to shape/rank. */
static hid_t open_floats(hid_t group, const char *name, uint32_t *rank, uint64_t *shape)
{
    hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID, props = H5I_INVALID_HID;
    hsize_t extent[CSL_RANK_MAX] = {0};
    int axes = -1;

    if (dataset < 0)
        return dataset;
    type = H5Dget_type(dataset);
    space = H5Dget_space(dataset);
    props = H5Dget_create_plist(dataset);
    if (type >= 0 && space >= 0 && props >= 0 && H5Tequal(type, H5T_IEEE_F32LE) > 0 &&
        H5Pget_layout(props) == H5D_CONTIGUOUS && H5Pget_external_count(props) == 0)
        axes = H5Sget_simple_extent_ndims(space);
    if (axes >= 1 && axes <= CSL_RANK_MAX)
        axes = H5Sget_simple_extent_dims(space, extent, NULL);
    else
        axes = -1;
    if (props >= 0)
        H5Pclose(props);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (axes < 1) {
        H5Dclose(dataset);
        return H5I_INVALID_HID;
    }
    *rank = (uint32_t)axes;
    for (uint32_t i = 0; i < *rank; i++)
        shape[i] = extent[i];
    return dataset;
}

static enum csl_code read_header(struct reader *r, struct csl_model_file *m, struct csl_err *err)
{
    char format[CSL_ID_MAX];
    uint64_t state_count = 0;
    enum csl_code code = get_text(r, r->file, "format", format, err);

    if (code == CSL_OK && strcmp(format, CSL_MODEL_FORMAT) != 0)
        code = CSL_FAIL(err, CSL_E_CORRUPT, "%s: not a model file; attribute format should be %s",
                        r->path, CSL_MODEL_FORMAT);
    if (code == CSL_OK)
        code = get_text(r, r->file, "study", m->info.study, err);
    if (code == CSL_OK)
        code = get_digest(r, "study_digest", m->info.study_digest, err);
    if (code == CSL_OK)
        code = get_u64(r, r->file, "round", &m->info.round, err);
    if (code == CSL_OK)
        code = get_u64(r, r->file, "parameters", &r->parameters, err);
    if (code == CSL_OK)
        code = get_u64(r, r->file, "state_count", &state_count, err);
    if (code == CSL_OK)
        code = get_digest(r, "schema_digest", r->schema_digest, err);
    if (code == CSL_OK)
        code = get_digest(r, "model_digest", r->model_digest, err);
    if (code == CSL_OK)
        code = get_digest(r, "state_digest", r->state_digest, err);
    if (code == CSL_OK && state_count > CSL_MODEL_STATE_MAX)
        code = CSL_FAIL(err, CSL_E_CORRUPT, "%s: %" PRIu64 " strategy vectors, at most %d", r->path,
                        state_count, CSL_MODEL_STATE_MAX);
    if (code == CSL_OK)
        m->state_count = (uint32_t)state_count;
    return code;
}

static enum csl_code read_tensor_spec(const struct reader *r, hid_t group, const char *name,
                                      struct csl_schema *schema, struct csl_err *err)
{
    char init_text[CSL_ID_MAX];
    uint64_t shape[CSL_RANK_MAX] = {0};
    uint32_t rank = 0, init = 0;
    float bound = 0;
    hid_t dataset = open_floats(group, name, &rank, shape);
    enum csl_code code;

    if (dataset < 0)
        return corrupt(r, name, err);
    code = get_text(r, dataset, "init", init_text, err);
    if (code == CSL_OK)
        code = get_attribute(r, dataset, "init_bound", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 0, &bound,
                             err);
    H5Dclose(dataset);
    if (code != CSL_OK)
        return code;
    init = name_index(csl_model__init_names, CSL_MODEL_INITS, init_text);
    if (init == CSL_MODEL_INITS)
        return corrupt(r, "attribute init", err);
    return csl_schema_add_tensor(schema, name, rank, shape, (enum csl_init)init, bound, err);
}

static enum csl_code read_block_spec(const struct reader *r, hid_t model, const char *name,
                                     struct csl_schema *schema, struct csl_err *err)
{
    char kind_text[CSL_ID_MAX], tensor[CSL_ID_MAX];
    uint64_t links = 0;
    uint32_t kind = 0;
    hid_t group = open_group(model, name, &links);
    enum csl_code code;

    if (group < 0)
        return corrupt(r, name, err);
    code = get_text(r, group, "kind", kind_text, err);
    if (code == CSL_OK) {
        kind = name_index(csl_model__kind_names, 3, kind_text);
        code = kind == 3 || links > CSL_TENSORS_MAX
                   ? corrupt(r, name, err)
                   : csl_schema_add_block(schema, name, (enum csl_block_kind)kind, err);
    }
    for (uint64_t i = 0; i < links && code == CSL_OK; i++)
        code = link_name(group, i, tensor) ? read_tensor_spec(r, group, tensor, schema, err)
                                           : corrupt(r, name, err);
    H5Gclose(group);
    return code;
}

static enum csl_code read_schema(const struct reader *r, struct csl_schema *schema,
                                 struct csl_err *err)
{
    char block[CSL_ID_MAX];
    uint64_t links = 0;
    hid_t model = open_group(r->file, "model", &links);
    enum csl_code code = CSL_OK;

    if (model < 0 || links > CSL_BLOCKS_MAX)
        code = corrupt(r, "/model", err);
    csl_schema_init(schema);
    for (uint64_t i = 0; i < links && code == CSL_OK; i++)
        code = link_name(model, i, block) ? read_block_spec(r, model, block, schema, err)
                                          : corrupt(r, "/model", err);
    if (model >= 0)
        H5Gclose(model);
    if (code == CSL_OK)
        code = csl_schema_seal(schema, err);
    if (code == CSL_OK && (schema->parameters != r->parameters ||
                           memcmp(schema->digest, r->schema_digest, CSL_DIGEST_BYTES) != 0))
        code = corrupt(r, "the schema", err);
    return code == CSL_OK || code == CSL_E_NOMEM ? code : CSL_E_CORRUPT;
}

/* Not even the allocation is made for a file that is too short to hold what it promises. */
static enum csl_code allocate(const struct reader *r, struct csl_model_file *m, struct csl_err *err)
{
    uint64_t bytes = 0, total = 0;
    hsize_t file_bytes = 0;

    if (!csl_mul_u64(r->parameters, sizeof(float), &bytes) ||
        !csl_mul_u64(bytes, 1 + (uint64_t)m->state_count, &total) ||
        H5Fget_filesize(r->file, &file_bytes) < 0 || file_bytes < total)
        return corrupt(r, "the end of the file", err);
    m->parameters = csl_alloc(bytes);
    if (!m->parameters)
        return CSL_FAIL(err, CSL_E_NOMEM, "%s: no memory for %" PRIu64 " parameters", r->path,
                        r->parameters);
    for (uint32_t i = 0; i < m->state_count; i++) {
        m->state[i] = csl_alloc(bytes);
        if (!m->state[i])
            return CSL_FAIL(err, CSL_E_NOMEM, "%s: no memory for the strategy's vectors", r->path);
    }
    return CSL_OK;
}

/* Reads exactly `count` values; the shape itself was checked with the schema, or is [count]. */
static enum csl_code read_floats(const struct reader *r, hid_t group, const char *name,
                                 uint64_t count, float *values, struct csl_err *err)
{
    uint64_t shape[CSL_RANK_MAX] = {0}, found = 1;
    uint32_t rank = 0;
    hid_t dataset = open_floats(group, name, &rank, shape);
    bool is_read = dataset >= 0;

    for (uint32_t i = 0; i < rank && is_read; i++)
        is_read = csl_mul_u64(found, shape[i], &found);
    is_read = is_read && found == count && H5Dget_storage_size(dataset) == count * sizeof(float) &&
              H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    if (dataset >= 0)
        H5Dclose(dataset);
    return is_read ? CSL_OK : corrupt(r, name, err);
}

static enum csl_code read_parameters(const struct reader *r, struct csl_model_file *m,
                                     struct csl_err *err)
{
    const struct csl_schema *s = m->schema;
    uint8_t digest[CSL_DIGEST_BYTES];
    uint64_t links = 0;
    enum csl_code code = CSL_OK;

    for (uint32_t b = 0; b < s->block_count && code == CSL_OK; b++) {
        char path[CSL_ID_MAX + 8];
        snprintf(path, sizeof(path), "model/%s", s->blocks[b].name);
        hid_t group = open_group(r->file, path, &links);
        if (group < 0)
            return corrupt(r, path, err);
        for (uint32_t i = 0; i < s->tensor_count && code == CSL_OK; i++) {
            const struct csl_tensor_spec *t = &s->tensors[i];
            if (t->block == b)
                code = read_floats(r, group, t->name, t->count, m->parameters + t->first, err);
        }
        H5Gclose(group);
    }
    if (code != CSL_OK)
        return code;
    csl_sha256_digest(m->parameters, s->parameters * sizeof(float), digest);
    if (memcmp(digest, r->model_digest, CSL_DIGEST_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: the parameters do not match their stored digest; "
                        "the file was damaged or changed",
                        r->path);
    memcpy(m->digest, digest, CSL_DIGEST_BYTES);
    return CSL_OK;
}

static enum csl_code read_state(const struct reader *r, struct csl_model_file *m,
                                struct csl_err *err)
{
    const float *vectors[CSL_MODEL_STATE_MAX] = {NULL};
    uint8_t digest[CSL_DIGEST_BYTES];
    uint64_t links = 0;
    hid_t group = open_group(r->file, "state", &links);
    enum csl_code code = CSL_OK;

    if (group < 0 || links != m->state_count)
        code = corrupt(r, "/state", err);
    for (uint32_t i = 0; i < m->state_count && code == CSL_OK; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", (unsigned)i);
        code = read_floats(r, group, name, r->parameters, m->state[i], err);
        vectors[i] = m->state[i];
    }
    if (group >= 0)
        H5Gclose(group);
    if (code != CSL_OK)
        return code;
    csl_model__state_digest(r->parameters, vectors, m->state_count, digest);
    if (memcmp(digest, r->state_digest, CSL_DIGEST_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: the strategy's vectors do not match their stored "
                        "digest; the file was damaged or changed",
                        r->path);
    return CSL_OK;
}

static enum csl_code check_values(const struct reader *r, const struct csl_model_file *m,
                                  struct csl_err *err)
{
    bool is_finite = csl_first_not_finite(m->parameters, r->parameters) == r->parameters;

    for (uint32_t i = 0; i < m->state_count && is_finite; i++)
        is_finite = csl_first_not_finite(m->state[i], r->parameters) == r->parameters;
    if (!is_finite)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: holds values that are not finite", r->path);
    return CSL_OK;
}

static enum csl_code read_all(struct reader *r, const struct csl_schema *expected,
                              struct csl_model_file *m, struct csl_err *err)
{
    enum csl_code code = read_header(r, m, err);

    if (code != CSL_OK)
        return code;
    m->schema = csl_alloc(sizeof(*m->schema));
    if (!m->schema)
        return CSL_FAIL(err, CSL_E_NOMEM, "%s: no memory for the schema", r->path);
    code = read_schema(r, m->schema, err);
    if (code == CSL_OK && expected &&
        memcmp(expected->digest, m->schema->digest, CSL_DIGEST_BYTES) != 0)
        code = CSL_FAIL(err, CSL_E_INVAL,
                        "%s: a model of study %s with %" PRIu64 " parameters in %u "
                        "blocks; the study asks for %" PRIu64 " in %u of other names or shapes",
                        r->path, m->info.study, m->schema->parameters, m->schema->block_count,
                        expected->parameters, expected->block_count);
    if (code == CSL_OK)
        code = allocate(r, m, err);
    if (code == CSL_OK)
        code = read_parameters(r, m, err);
    if (code == CSL_OK)
        code = read_state(r, m, err);
    if (code == CSL_OK)
        code = check_values(r, m, err);
    return code;
}

enum csl_code csl_model_read(const char *path, const struct csl_schema *expected,
                             struct csl_model_file *out, struct csl_err *err)
{
    struct reader r = {.file = H5I_INVALID_HID, .path = path};
    struct csl_model_file m = {0};
    enum csl_code code;

    if (!csl_file_exists(path))
        return CSL_FAIL(err, CSL_E_NOTFOUND, "%s: no such file; a model file was expected", path);
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return CSL_FAIL(err, CSL_E_INVAL, "%s is a folder; a model file would be right", path);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    r.file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (r.file < 0)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: cannot be read as HDF5: not a model file, or cut "
                        "short",
                        path);
    code = read_all(&r, expected, &m, err);
    H5Fclose(r.file);
    if (code != CSL_OK) {
        csl_model_file_release(&m);
        return code;
    }
    *out = m;
    return CSL_OK;
}

void csl_model_file_release(struct csl_model_file *m)
{
    if (!m)
        return;
    csl_free(m->schema);
    csl_free(m->parameters);
    for (uint32_t i = 0; i < CSL_MODEL_STATE_MAX; i++)
        csl_free(m->state[i]);
    memset(m, 0, sizeof(*m));
}
