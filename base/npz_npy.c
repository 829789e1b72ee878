/* The header of a .npy file is a Python literal: {'descr': '<f4', 'fortran_order': False,
 * 'shape': (10, 28, 28), } in any order, padded with blanks and ended by a line feed. */
#include "base/npz.h"

#include "base/checked.h"
#include "base/le.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct literal {
    const char *p, *end;
    char descr[8];
    bool has_descr, has_order, has_shape, is_fortran;
    uint32_t rank;
    uint64_t shape[CSL_NPY_RANK_MAX];
};

static void skip_blanks(struct literal *l)
{
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\n' || *l->p == '\t'))
        l->p++;
}

static bool take(struct literal *l, const char *token)
{
    size_t n = strlen(token);
    skip_blanks(l);
    if ((size_t)(l->end - l->p) < n || memcmp(l->p, token, n) != 0)
        return false;
    l->p += n;
    return true;
}

/* 'text' without escapes into out. */
static bool take_text(struct literal *l, char *out, size_t out_bytes)
{
    size_t n = 0;
    if (!take(l, "'"))
        return false;
    while (l->p < l->end && *l->p != '\'') {
        if (n + 1 >= out_bytes || *l->p == '\\')
            return false;
        out[n++] = *l->p++;
    }
    out[n] = '\0';
    return take(l, "'");
}

static bool take_number(struct literal *l, uint64_t *out)
{
    uint64_t v = 0;
    skip_blanks(l);
    const char *start = l->p;
    for (; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++)
        if (!csl_mul_u64(v, 10, &v) || !csl_add_u64(v, (uint64_t)(*l->p - '0'), &v))
            return false;
    *out = v;
    return l->p > start;
}

/* () or (a,) or (a, b) or (a, b, c,) ... */
static bool take_shape(struct literal *l)
{
    if (!take(l, "("))
        return false;
    while (!take(l, ")")) {
        if (l->rank == CSL_NPY_RANK_MAX || !take_number(l, &l->shape[l->rank]))
            return false;
        l->rank++;
        if (!take(l, ",")) /* only a comma or the end can follow, and one number needs the comma */
            return l->rank > 1 && take(l, ")");
    }
    return true;
}

static bool take_pair(struct literal *l)
{
    char key[24];
    if (!take_text(l, key, sizeof(key)) || !take(l, ":"))
        return false;
    if (strcmp(key, "descr") == 0 && !l->has_descr)
        return l->has_descr = take_text(l, l->descr, sizeof(l->descr));
    if (strcmp(key, "shape") == 0 && !l->has_shape)
        return l->has_shape = take_shape(l);
    if (strcmp(key, "fortran_order") == 0 && !l->has_order) {
        l->is_fortran = take(l, "True");
        return l->has_order = l->is_fortran || take(l, "False");
    }
    return false;
}

static bool take_all(struct literal *l)
{
    if (!take(l, "{"))
        return false;
    while (!take(l, "}")) {
        if (!take_pair(l))
            return false;
        if (!take(l, ",")) {
            if (!take(l, "}"))
                return false;
            break;
        }
    }
    skip_blanks(l);
    return l->p == l->end && l->has_descr && l->has_order && l->has_shape;
}

static const struct {
    const char *descr;
    enum csl_npy_type type;
    size_t bytes;
} types[] = {{"|u1", CSL_NPY_U1, 1}, {"<i2", CSL_NPY_I2, 2}, {"<i4", CSL_NPY_I4, 4},
             {"<i8", CSL_NPY_I8, 8}, {"<f4", CSL_NPY_F4, 4}, {"<f8", CSL_NPY_F8, 8}};

/* Offset of the header's text and of the data; false when there is none. */
static bool find_header(struct csl_span b, size_t *text, size_t *data)
{
    if (b.n < 12 || memcmp(b.p, "\x93NUMPY", 6) != 0 || b.p[7] != 0)
        return false;
    if (b.p[6] != 1 && b.p[6] != 2)
        return false;
    *text = b.p[6] == 1 ? 10 : 12;
    size_t n = b.p[6] == 1 ? csl_load_le16(b.p + 8) : csl_load_le32(b.p + 8);
    if (n > b.n - *text)
        return false;
    *data = *text + n;
    return true;
}

static enum csl_code read_header(struct csl_npy *a, const char *path, const char *name,
                                 struct csl_err *err)
{
    struct literal l;
    size_t text, data, type = 0;
    memset(&l, 0, sizeof(l));
    if (!find_header(csl_msg_span(&a->bytes), &text, &data))
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: %s.npy is no array of format 1 or 2", path, name);
    l.p = (const char *)a->bytes.p + text;
    l.end = (const char *)a->bytes.p + data;
    if (!take_all(&l))
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: %s.npy has a damaged header, or over %d axes",
                        path, name, CSL_NPY_RANK_MAX);
    while (type < sizeof(types) / sizeof(types[0]) && strcmp(types[type].descr, l.descr) != 0)
        type++;
    if (type == sizeof(types) / sizeof(types[0]) || l.is_fortran) {
        char shown[32];
        csl_str_escape(shown, sizeof(shown), l.descr, strlen(l.descr));
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s: %s.npy is %s in %s order; |u1, <i2, <i4, <i8, <f4 or <f8 in C order "
                        "would be right",
                        path, name, shown, l.is_fortran ? "Fortran" : "C");
    }
    a->count = 1;
    a->type = types[type].type;
    a->rank = l.rank;
    memcpy(a->shape, l.shape, sizeof(a->shape));
    a->data = a->bytes.p + data;
    uint64_t bytes;
    bool fits = true;
    for (uint32_t i = 0; i < l.rank; i++)
        fits = fits && csl_mul_u64(a->count, l.shape[i], &a->count);
    fits = fits && csl_mul_u64(a->count, types[type].bytes, &bytes);
    if (!fits || bytes != a->bytes.n - data)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: %s.npy does not hold the values its shape claims",
                        path, name);
    return CSL_OK;
}

enum csl_code csl_npy_read(struct csl_npy *out, const struct csl_zip *z,
                           const struct csl_zip_member *m, struct csl_err *err)
{
    struct csl_npy a;
    char shown[160];
    memset(&a, 0, sizeof(a));
    csl_str_escape(shown, sizeof(shown), m->name, strlen(m->name));
    enum csl_code code = csl_zip_read(z, m, &a.bytes, err);
    if (code == CSL_OK)
        code = read_header(&a, z->path, shown, err);
    if (code == CSL_OK)
        *out = a;
    else
        csl_npy_release(&a);
    return code;
}

void csl_npy_release(struct csl_npy *a)
{
    csl_msg_release(&a->bytes);
    memset(a, 0, sizeof(*a));
}

double csl_npy_value(const struct csl_npy *a, uint64_t i)
{
    union {
        uint32_t u4;
        uint64_t u8;
        int32_t i4;
        int64_t i8;
        float f4;
        double f8;
    } v;
    switch (a->type) {
    case CSL_NPY_U1:
        return (double)a->data[i];
    case CSL_NPY_I2:
        return (double)(int16_t)csl_load_le16(a->data + 2 * i);
    case CSL_NPY_I4:
        v.u4 = csl_load_le32(a->data + 4 * i);
        return (double)v.i4;
    case CSL_NPY_I8:
        v.u8 = csl_load_le64(a->data + 8 * i);
        return (double)v.i8;
    case CSL_NPY_F4:
        v.u4 = csl_load_le32(a->data + 4 * i);
        return (double)v.f4;
    case CSL_NPY_F8:
        break;
    }
    v.u8 = csl_load_le64(a->data + 8 * i);
    return v.f8;
}
