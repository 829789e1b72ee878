#include "protocol/initial/weights.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/npz.h"
#include "base/str.h"
#include "protocol/initial/safetensors.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WIDEST_BYTES   8u         /* a float64 */
#define NPY_HEADER_MAX 65548u     /* 12 bytes before it and the longest of format 1 */
#define OVERHEAD_MAX   (1u << 21) /* of a file beside its values: header, directory, padding */
#define SHAPE_BYTES    96

struct weights {
    const char *name;
    const struct csl_schema *schema;
    float *values; /* [P] */
};

static void show_shape(char out[SHAPE_BYTES], uint32_t rank, const uint64_t *shape)
{
    size_t n = (size_t)snprintf(out, SHAPE_BYTES, "[");
    for (uint32_t i = 0; i < rank; i++)
        n += (size_t)snprintf(out + n, SHAPE_BYTES - n, "%s%" PRIu64, i ? ", " : "", shape[i]);
    snprintf(out + n, SHAPE_BYTES - n, "]");
}

static enum csl_code missing(const struct weights *w, const struct csl_tensor_spec *t,
                             struct csl_err *err)
{
    char shape[SHAPE_BYTES];
    show_shape(shape, t->rank, t->shape);
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%s: has no tensor %s; the study's model has one of shape %s, and exactly its "
                    "tensors would be right",
                    w->name, t->name, shape);
}

static enum csl_code check_known(const struct weights *w, const char *name, struct csl_err *err)
{
    for (uint32_t i = 0; i < w->schema->tensor_count; i++)
        if (strcmp(w->schema->tensors[i].name, name) == 0)
            return CSL_OK;
    char shown[2 * CSL_ID_MAX];
    csl_str_escape(shown, sizeof(shown), name, strlen(name));
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%s: tensor %s is none of the study's model; exactly its tensors would be "
                    "right",
                    w->name, shown);
}

static enum csl_code check_shape(const struct weights *w, const struct csl_tensor_spec *t,
                                 uint32_t rank, const uint64_t *shape, struct csl_err *err)
{
    char found[SHAPE_BYTES], expected[SHAPE_BYTES];
    if (rank == t->rank && memcmp(shape, t->shape, rank * sizeof(*shape)) == 0)
        return CSL_OK;
    show_shape(found, rank, shape);
    show_shape(expected, t->rank, t->shape);
    return CSL_FAIL(err, CSL_E_INVAL, "%s: tensor %s has shape %s; %s would be right", w->name,
                    t->name, found, expected);
}

static enum csl_code store(const struct weights *w, const struct csl_tensor_spec *t, uint64_t i,
                           double v, struct csl_err *err)
{
    if (!(fabs(v) <= (double)FLT_MAX)) /* also what is no number */
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: tensor %s: value %" PRIu64 " is %g; a finite float32 would be right",
                        w->name, t->name, i, v);
    w->values[t->first + i] = (float)v;
    return CSL_OK;
}

/* --- safetensors --- */

static enum csl_code take_safetensor(const struct weights *w, const struct csl_tensor_spec *t,
                                     const struct csl_safetensors *s, struct csl_err *err)
{
    const struct csl_safetensor *from = csl_safetensors_find(s, t->name);
    if (from == NULL)
        return missing(w, t, err);
    enum csl_code code = check_shape(w, t, from->rank, from->shape, err);
    for (uint64_t i = 0; i < t->count && code == CSL_OK; i++)
        code = store(w, t, i, csl_safetensor_value(from, i), err);
    return code;
}

static enum csl_code read_safetensors(const struct weights *w, struct csl_span bytes,
                                      struct csl_err *err)
{
    struct csl_safetensors *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", w->name);
    enum csl_code code = csl_safetensors_open(s, w->name, bytes, err);
    for (uint32_t i = 0; i < w->schema->tensor_count && code == CSL_OK; i++)
        code = take_safetensor(w, &w->schema->tensors[i], s, err);
    for (uint32_t i = 0; i < s->count && code == CSL_OK; i++)
        code = check_known(w, s->tensors[i].name, err);
    csl_safetensors_release(s);
    csl_free(s);
    return code;
}

/* --- npz --- */

static enum csl_code take_array(const struct weights *w, const struct csl_tensor_spec *t,
                                const struct csl_zip *z, struct csl_err *err)
{
    const struct csl_zip_member *m = csl_zip_find(z, t->name);
    struct csl_npy a;
    if (m == NULL)
        return missing(w, t, err);
    if (m->bytes > NPY_HEADER_MAX + t->count * WIDEST_BYTES) /* before it is unpacked */
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: tensor %s takes %u bytes, more than its %" PRIu64 " values need",
                        w->name, t->name, m->bytes, t->count);
    enum csl_code code = csl_npy_read(&a, z, m, err);
    if (code != CSL_OK)
        return code;
    if (a.type != CSL_NPY_F4 && a.type != CSL_NPY_F8)
        code = CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s: tensor %s holds whole numbers; <f4 or <f8 would be right", w->name,
                        t->name);
    if (code == CSL_OK)
        code = check_shape(w, t, a.rank, a.shape, err);
    for (uint64_t i = 0; i < t->count && code == CSL_OK; i++)
        code = store(w, t, i, csl_npy_value(&a, i), err);
    csl_npy_release(&a);
    return code;
}

static enum csl_code read_npz(const struct weights *w, struct csl_span bytes, struct csl_err *err)
{
    struct csl_zip *z = csl_alloc(sizeof(*z));
    if (z == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", w->name);
    enum csl_code code = csl_zip_open(z, w->name, bytes, err);
    for (uint32_t i = 0; i < w->schema->tensor_count && code == CSL_OK; i++)
        code = take_array(w, &w->schema->tensors[i], z, err);
    for (uint32_t i = 0; i < z->member_count && code == CSL_OK; i++)
        code = check_known(w, z->members[i].name, err);
    csl_free(z);
    return code;
}

/* --- either --- */

static enum csl_code read_either(const struct weights *w, struct csl_span bytes,
                                 struct csl_err *err)
{
    const struct csl_tensor_spec *twice = csl_schema_find_shared_name(w->schema);
    if (twice != NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s: the study's model has two tensors named %s, which no file of weights "
                        "tells apart",
                        w->name, twice->name);
    if (bytes.n >= 2 && memcmp(bytes.p, "PK", 2) == 0)
        return read_npz(w, bytes, err);
    if (csl_safetensors_looks_like(bytes))
        return read_safetensors(w, bytes, err);
    if (bytes.n >= 8 && memcmp(bytes.p, "\x89HDF\r\n\x1a\n", 8) == 0)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s: is an HDF5 file; a model of Consilium is first written as weights: "
                        "consilium model export %s --format safetensors --out weights.safetensors",
                        w->name, w->name);
    return CSL_FAIL(err, CSL_E_CORRUPT,
                    "%s: is neither safetensors nor a NumPy .npz archive; one of them would be "
                    "right",
                    w->name);
}

enum csl_code csl_weights_parse(float **out, const char *name, struct csl_span bytes,
                                const struct csl_schema *schema, struct csl_err *err)
{
    struct weights w = {name, schema, csl_alloc_array(schema->parameters, sizeof(float))};
    if (w.values == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %" PRIu64 " parameters",
                        schema->parameters);
    enum csl_code code = read_either(&w, bytes, err);
    if (code == CSL_OK)
        *out = w.values;
    else
        csl_free(w.values);
    return code;
}

enum csl_code csl_weights_read(float **out, const char *path, const struct csl_schema *schema,
                               struct csl_err *err)
{
    struct csl_msg bytes = {NULL, 0};
    uint64_t most = OVERHEAD_MAX + schema->parameters * WIDEST_BYTES; /* P <= 2^32 */
    enum csl_code code = csl_file_read(&bytes, path, (size_t)most, err);
    if (code == CSL_OK)
        code = csl_weights_parse(out, path, csl_msg_span(&bytes), schema, err);
    csl_msg_release(&bytes);
    return code;
}
