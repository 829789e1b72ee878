/* coordinator/model/model_write.c - writing a model file; the layout is in model_file.h. */
#include "base/check.h"
#include "base/file.h"
#include "base/str.h"
#include "coordinator/model/model_file.h"
#include "coordinator/model/model_layout.h"
#include "privacy/crypto/bulk_hash.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is open while a file is written; every field is a valid id or negative. */
struct writer {
    hid_t file, dataset_props, group_props;
    const char *path; /* for errors */
};

static enum csl_code fail(const struct writer *w, const char *what, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_IO, "%s: HDF5 could not write %s; is the disk full?", w->path, what);
}

static enum csl_code put_attribute(const struct writer *w, hid_t at, const char *name,
                                   hid_t file_type, hid_t memory_type, hsize_t count,
                                   const void *value, struct csl_err *err)
{
    hid_t space = count == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, NULL);
    hid_t attribute = H5Acreate2(at, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool is_written = attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0;

    if (attribute >= 0 && H5Aclose(attribute) < 0)
        is_written = false;
    if (space >= 0)
        H5Sclose(space);
    return is_written ? CSL_OK : fail(w, name, err);
}

static enum csl_code put_u64(const struct writer *w, hid_t at, const char *name, uint64_t value,
                             struct csl_err *err)
{
    return put_attribute(w, at, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, 0, &value, err);
}

static enum csl_code put_digest(const struct writer *w, hid_t at, const char *name,
                                const uint8_t digest[CSL_DIGEST_BYTES], struct csl_err *err)
{
    return put_attribute(w, at, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, CSL_DIGEST_BYTES, digest,
                         err);
}

static enum csl_code put_text(const struct writer *w, hid_t at, const char *name, const char *text,
                              struct csl_err *err)
{
    char field[CSL_ID_MAX] = {0};
    hid_t type = H5Tcopy(H5T_C_S1);
    enum csl_code code;

    if (!csl_str_copy(field, sizeof(field), text)) {
        H5Tclose(type);
        return CSL_FAIL(err, CSL_E_INVAL, "%s: %s is longer than %d bytes", w->path, name,
                        CSL_ID_MAX - 1);
    }
    H5Tset_size(type, sizeof(field));
    code = put_attribute(w, at, name, type, type, 0, field, err);
    H5Tclose(type);
    return code;
}

static enum csl_code put_header(const struct writer *w, const struct csl_schema *schema,
                                const struct csl_model_info *info, const uint8_t *model_digest,
                                const uint8_t *state_digest, uint32_t state_count,
                                struct csl_err *err)
{
    enum csl_code code = put_text(w, w->file, "format", CSL_MODEL_FORMAT, err);

    if (code == CSL_OK)
        code = put_text(w, w->file, "study", info->study, err);
    if (code == CSL_OK)
        code = put_digest(w, w->file, "study_digest", info->study_digest, err);
    if (code == CSL_OK)
        code = put_u64(w, w->file, "round", info->round, err);
    if (code == CSL_OK)
        code = put_u64(w, w->file, "parameters", schema->parameters, err);
    if (code == CSL_OK)
        code = put_u64(w, w->file, "state_count", state_count, err);
    if (code == CSL_OK)
        code = put_digest(w, w->file, "schema_digest", schema->digest, err);
    if (code == CSL_OK)
        code = put_digest(w, w->file, "model_digest", model_digest, err);
    if (code == CSL_OK)
        code = put_digest(w, w->file, "state_digest", state_digest, err);
    return code;
}

/* One contiguous data set, written straight from the caller's memory. */
static enum csl_code put_floats(const struct writer *w, hid_t group, const char *name, int rank,
                                const hsize_t *shape, const float *values, hid_t *dataset_out,
                                struct csl_err *err)
{
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t dataset =
        H5Dcreate2(group, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, w->dataset_props, H5P_DEFAULT);
    bool is_written = dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL,
                                               H5P_DEFAULT, values) >= 0;

    if (space >= 0)
        H5Sclose(space);
    if (!is_written) {
        if (dataset >= 0)
            H5Dclose(dataset);
        return fail(w, name, err);
    }
    *dataset_out = dataset;
    return CSL_OK;
}

static enum csl_code put_tensor(const struct writer *w, hid_t group,
                                const struct csl_tensor_spec *t, const float *parameters,
                                struct csl_err *err)
{
    hsize_t shape[CSL_RANK_MAX];
    hid_t dataset = H5I_INVALID_HID;
    enum csl_code code;

    for (uint32_t i = 0; i < t->rank; i++)
        shape[i] = t->shape[i];
    code = put_floats(w, group, t->name, (int)t->rank, shape, parameters + t->first, &dataset, err);
    if (code != CSL_OK)
        return code;
    code = put_text(w, dataset, "init", csl_model__init_names[t->init], err);
    if (code == CSL_OK)
        code = put_attribute(w, dataset, "init_bound", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 0,
                             &t->init_bound, err);
    if (H5Dclose(dataset) < 0 && code == CSL_OK)
        code = fail(w, t->name, err);
    return code;
}

static enum csl_code put_block(const struct writer *w, hid_t model, const struct csl_schema *schema,
                               uint32_t index, const float *parameters, struct csl_err *err)
{
    const struct csl_block_spec *b = &schema->blocks[index];
    hid_t group = H5Gcreate2(model, b->name, H5P_DEFAULT, w->group_props, H5P_DEFAULT);
    enum csl_code code;

    if (group < 0)
        return fail(w, b->name, err);
    code = put_text(w, group, "kind", csl_model__kind_names[b->kind], err);
    for (uint32_t i = 0; i < schema->tensor_count && code == CSL_OK; i++) {
        if (schema->tensors[i].block == index)
            code = put_tensor(w, group, &schema->tensors[i], parameters, err);
    }
    if (H5Gclose(group) < 0 && code == CSL_OK)
        code = fail(w, b->name, err);
    return code;
}

static enum csl_code put_model(const struct writer *w, const struct csl_schema *schema,
                               const float *parameters, struct csl_err *err)
{
    hid_t model = H5Gcreate2(w->file, "model", H5P_DEFAULT, w->group_props, H5P_DEFAULT);
    enum csl_code code = CSL_OK;

    if (model < 0)
        return fail(w, "/model", err);
    for (uint32_t i = 0; i < schema->block_count && code == CSL_OK; i++)
        code = put_block(w, model, schema, i, parameters, err);
    if (H5Gclose(model) < 0 && code == CSL_OK)
        code = fail(w, "/model", err);
    return code;
}

static enum csl_code put_state(const struct writer *w, uint64_t parameters,
                               const float *const *state_vectors, uint32_t state_count,
                               struct csl_err *err)
{
    hid_t group = H5Gcreate2(w->file, "state", H5P_DEFAULT, w->group_props, H5P_DEFAULT);
    enum csl_code code = CSL_OK;

    if (group < 0)
        return fail(w, "/state", err);
    for (uint32_t i = 0; i < state_count && code == CSL_OK; i++) {
        hsize_t shape = parameters;
        hid_t dataset = H5I_INVALID_HID;
        char name[16];
        snprintf(name, sizeof(name), "%u", (unsigned)i);
        code = put_floats(w, group, name, 1, &shape, state_vectors[i], &dataset, err);
        if (code == CSL_OK && H5Dclose(dataset) < 0)
            code = fail(w, name, err);
    }
    if (H5Gclose(group) < 0 && code == CSL_OK)
        code = fail(w, "/state", err);
    return code;
}

/* The newest format has a checksum on every piece of metadata; times are left out so that equal
 * models are equal files. */
static enum csl_code open_writer(struct writer *w, const char *tmp, struct csl_err *err)
{
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;

    w->dataset_props = H5Pcreate(H5P_DATASET_CREATE);
    w->group_props = H5Pcreate(H5P_GROUP_CREATE);
    if (create >= 0 && access >= 0 && w->dataset_props >= 0 && w->group_props >= 0 &&
        H5Pset_obj_track_times(create, false) >= 0 &&
        H5Pset_obj_track_times(w->dataset_props, false) >= 0 &&
        H5Pset_obj_track_times(w->group_props, false) >= 0 &&
        H5Pset_link_creation_order(w->group_props, order) >= 0 &&
        H5Pset_fill_time(w->dataset_props, H5D_FILL_TIME_NEVER) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0)
        w->file = H5Fcreate(tmp, H5F_ACC_TRUNC, create, access);
    if (access >= 0)
        H5Pclose(access);
    if (create >= 0)
        H5Pclose(create);
    if (w->file < 0)
        return CSL_FAIL(err, CSL_E_IO,
                        "%s: cannot be created; does the folder exist and may we "
                        "write there?",
                        tmp);
    return CSL_OK;
}

static enum csl_code close_writer(struct writer *w, enum csl_code code, struct csl_err *err)
{
    if (w->dataset_props >= 0)
        H5Pclose(w->dataset_props);
    if (w->group_props >= 0)
        H5Pclose(w->group_props);
    if (w->file >= 0 && H5Fclose(w->file) < 0 && code == CSL_OK)
        code = fail(w, "the end of the file", err);
    return code;
}

static enum csl_code check_finite(const char *path, const char *what, const float *values,
                                  uint64_t count, struct csl_err *err)
{
    uint64_t bad = csl_first_not_finite(values, count);

    if (bad < count)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: %s has a value that is not finite at element %llu; "
                        "such a model is not stored",
                        path, what, (unsigned long long)bad);
    return CSL_OK;
}

enum csl_code csl_model_write(const char *path, const struct csl_schema *schema,
                              const struct csl_model_info *info, const float *parameters,
                              const float *const *state_vectors, uint32_t state_count,
                              uint8_t digest_out[CSL_DIGEST_BYTES], struct csl_err *err)
{
    struct writer w = {H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID, path};
    uint8_t model_digest[CSL_DIGEST_BYTES], state_digest[CSL_DIGEST_BYTES];
    char tmp[CSL_PATH_MAX];
    enum csl_code code = check_finite(path, "the model", parameters, schema->parameters, err);

    CSL_ASSERT(state_count <= CSL_MODEL_STATE_MAX);
    for (uint32_t i = 0; i < state_count && code == CSL_OK; i++)
        code = check_finite(path, "a strategy vector", state_vectors[i], schema->parameters, err);
    if (code != CSL_OK)
        return code;
    if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= sizeof(tmp))
        return CSL_FAIL(err, CSL_E_LIMIT, "path of the model file is longer than %d bytes",
                        CSL_PATH_MAX - 5);
    csl_bulk_digest(parameters, schema->parameters * sizeof(float), model_digest);
    csl_model__state_digest(schema->parameters, state_vectors, state_count, state_digest);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);

    code = open_writer(&w, tmp, err);
    if (code == CSL_OK)
        code = put_header(&w, schema, info, model_digest, state_digest, state_count, err);
    if (code == CSL_OK)
        code = put_model(&w, schema, parameters, err);
    if (code == CSL_OK)
        code = put_state(&w, schema->parameters, state_vectors, state_count, err);
    code = close_writer(&w, code, err);
    if (code == CSL_OK)
        code = csl_file_commit(tmp, path, err);
    if (code != CSL_OK) {
        unlink(tmp);
        return code;
    }
    if (digest_out)
        memcpy(digest_out, model_digest, CSL_DIGEST_BYTES);
    return CSL_OK;
}
