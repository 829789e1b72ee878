#include "protocol/initial/safetensors.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/le.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#define LENGTH_BYTES 8u

static const struct {
    const char *name;
    uint64_t bytes;
} types[] = {[CSL_SAFETENSORS_F16] = {"F16", 2},
             [CSL_SAFETENSORS_BF16] = {"BF16", 2},
             [CSL_SAFETENSORS_F32] = {"F32", 4},
             [CSL_SAFETENSORS_F64] = {"F64", 8}};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

bool csl_safetensors_looks_like(struct csl_span file)
{
    return file.n > LENGTH_BYTES && file.p[LENGTH_BYTES] == '{';
}

static enum csl_code wrong(const char *file, const char *tensor, const char *what,
                           struct csl_err *err)
{
    char shown[2 * CSL_ID_MAX];
    csl_str_escape(shown, sizeof(shown), tensor, strlen(tensor));
    return CSL_FAIL(err, CSL_E_CORRUPT, "%s: tensor %s %s", file, shown, what);
}

static enum csl_code read_type(struct csl_safetensor *t, const char *file,
                               const struct csl_json_value *v, struct csl_err *err)
{
    const char *text = "";
    size_t i = 0;
    bool is_text = csl_json_as_str(v, &text);
    while (i < TYPE_COUNT && strcmp(types[i].name, text) != 0)
        i++;
    if (i < TYPE_COUNT) {
        t->type = (enum csl_safetensors_type)i;
        return CSL_OK;
    }
    char shown[16], tensor[2 * CSL_ID_MAX];
    csl_str_escape(shown, sizeof(shown), text, strlen(text));
    csl_str_escape(tensor, sizeof(tensor), t->name, strlen(t->name));
    return CSL_FAIL(err, is_text ? CSL_E_UNSUPPORTED : CSL_E_CORRUPT,
                    "%s: tensor %s is of dtype '%s'; F16, BF16, F32 or F64 would be right", file,
                    tensor, shown);
}

static enum csl_code read_shape(struct csl_safetensor *t, const char *file,
                                const struct csl_json_value *v, struct csl_err *err)
{
    size_t rank = csl_json_count(v);
    if (rank < 1 || rank > CSL_RANK_MAX)
        return wrong(file, t->name, "has no shape, or not 1 to 4 axes", err);
    t->count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (!csl_json_as_u64(csl_json_at(v, i), &t->shape[i]) || t->shape[i] == 0)
            return wrong(file, t->name, "has an axis that is no number, or empty", err);
        if (!csl_mul_u64(t->count, t->shape[i], &t->count) || t->count > CSL_PARAMETERS_MAX)
            return wrong(file, t->name, "is too large", err);
    }
    t->rank = (uint32_t)rank;
    return CSL_OK;
}

static enum csl_code read_offsets(struct csl_safetensor *t, const char *file,
                                  const struct csl_json_value *v, struct csl_span data,
                                  struct csl_err *err)
{
    if (csl_json_count(v) != 2 || !csl_json_as_u64(csl_json_at(v, 0), &t->begin) ||
        !csl_json_as_u64(csl_json_at(v, 1), &t->end))
        return wrong(file, t->name, "has no data_offsets", err);
    if (t->begin > t->end || t->end > data.n)
        return wrong(file, t->name, "lies outside the file, or the file is cut off", err);
    /* count <= 2^32: no overflow */
    if (t->end - t->begin != t->count * types[t->type].bytes)
        return wrong(file, t->name, "does not have as many bytes as its shape says", err);
    t->data = data.p + t->begin;
    return CSL_OK;
}

static enum csl_code read_tensor(struct csl_safetensors *s, const char *file, const char *name,
                                 const struct csl_json_value *v, struct csl_span data,
                                 struct csl_err *err)
{
    struct csl_safetensor t = {.name = name};
    if (csl_json_count(v) != 3 || csl_json_get(v, "dtype") == NULL)
        return wrong(file, name, "is not described by dtype, shape and data_offsets alone", err);
    enum csl_code code = read_type(&t, file, csl_json_get(v, "dtype"), err);
    if (code == CSL_OK)
        code = read_shape(&t, file, csl_json_get(v, "shape"), err);
    if (code == CSL_OK)
        code = read_offsets(&t, file, csl_json_get(v, "data_offsets"), data, err);
    if (code == CSL_OK)
        s->tensors[s->count++] = t;
    return code;
}

static enum csl_code check_metadata(const char *file, const struct csl_json_value *v,
                                    struct csl_err *err)
{
    for (size_t i = 0; i < csl_json_count(v); i++) {
        const char *key = NULL, *text;
        if (!csl_json_as_str(csl_json_member_at(v, i, &key), &text))
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "%s: __metadata__ holds something other than texts with names", file);
    }
    return CSL_OK;
}

/* In the order of their begins each tensor starts where the one before it ends. */
static enum csl_code check_cover(const struct csl_safetensors *s, const char *file, uint64_t bytes,
                                 struct csl_err *err)
{
    uint16_t order[CSL_TENSORS_MAX];
    uint64_t at = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t k = i;
        for (; k > 0 && s->tensors[order[k - 1]].begin > s->tensors[i].begin; k--)
            order[k] = order[k - 1];
        order[k] = (uint16_t)i;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const struct csl_safetensor *t = &s->tensors[order[i]];
        if (t->begin != at)
            return wrong(file, t->name,
                         t->begin < at ? "overlaps another one" : "has unused bytes before it",
                         err);
        at = t->end;
    }
    if (at != bytes)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: %llu bytes at its end belong to no tensor", file,
                        (unsigned long long)(bytes - at));
    return CSL_OK;
}

static enum csl_code read_header(struct csl_safetensors *s, const char *file, struct csl_span data,
                                 struct csl_err *err)
{
    const struct csl_json_value *root = csl_json_root(s->header);
    size_t members = csl_json_count(root);
    enum csl_code code = CSL_OK;
    if (members > CSL_TENSORS_MAX + 1)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s: %zu tensors; at most %d would be right", file,
                        members, CSL_TENSORS_MAX);
    for (size_t i = 0; i < members && code == CSL_OK; i++) {
        const char *name = NULL;
        const struct csl_json_value *v = csl_json_member_at(root, i, &name);
        if (strcmp(name, "__metadata__") == 0)
            code = check_metadata(file, v, err);
        else if (s->count == CSL_TENSORS_MAX)
            code = CSL_FAIL(err, CSL_E_LIMIT, "%s: more than %d tensors", file, CSL_TENSORS_MAX);
        else
            code = read_tensor(s, file, name, v, data, err);
    }
    return code == CSL_OK ? check_cover(s, file, data.n, err) : code;
}

enum csl_code csl_safetensors_open(struct csl_safetensors *out, const char *name,
                                   struct csl_span file, struct csl_err *err)
{
    memset(out, 0, sizeof(*out));
    if (!csl_safetensors_looks_like(file))
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: is not a safetensors file", name);
    uint64_t length = csl_load_le64(file.p);
    if (length > CSL_SAFETENSORS_HEADER_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "%s: a header of %llu bytes; at most %u would be right, or the file is "
                        "not safetensors",
                        name, (unsigned long long)length, CSL_SAFETENSORS_HEADER_MAX);
    if (length > file.n - LENGTH_BYTES)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: its header is cut off", name);
    size_t start = LENGTH_BYTES + (size_t)length;
    enum csl_code code =
        csl_json_parse(&out->header, name, CSL_SPAN(file.p + LENGTH_BYTES, length), err);
    if (code == CSL_OK)
        code = read_header(out, name, CSL_SPAN(file.p + start, file.n - start), err);
    if (code != CSL_OK)
        csl_safetensors_release(out);
    return code;
}

void csl_safetensors_release(struct csl_safetensors *s)
{
    csl_json_free(s->header);
    memset(s, 0, sizeof(*s));
}

const struct csl_safetensor *csl_safetensors_find(const struct csl_safetensors *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return &s->tensors[i];
    return NULL;
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent == 31  ? (fraction == 0 ? HUGE_VAL : (double)NAN)
                  : exponent == 0 ? ldexp(fraction, -24)
                                  : ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -size : size;
}

double csl_safetensor_value(const struct csl_safetensor *t, uint64_t i)
{
    uint64_t long_bits;
    uint32_t bits;
    double wide;
    float narrow;
    switch (t->type) {
    case CSL_SAFETENSORS_F16:
        return half_value(csl_load_le16(t->data + 2 * i));
    case CSL_SAFETENSORS_BF16: /* the upper half of a float32 */
        bits = (uint32_t)csl_load_le16(t->data + 2 * i) << 16;
        memcpy(&narrow, &bits, sizeof(narrow));
        return (double)narrow;
    case CSL_SAFETENSORS_F32:
        bits = csl_load_le32(t->data + 4 * i);
        memcpy(&narrow, &bits, sizeof(narrow));
        return (double)narrow;
    case CSL_SAFETENSORS_F64:
        break;
    }
    long_bits = csl_load_le64(t->data + 8 * i);
    memcpy(&wide, &long_bits, sizeof(wide));
    return wide;
}
