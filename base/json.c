#include "base/json.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/banned.h"

#define DEPTH_MAX ((uint32_t)(sizeof(((struct csl_json *)0)->is_array) / sizeof(bool)))

void csl_json_init(struct csl_json *j, struct csl_buf *out, bool is_pretty)
{
    *j = (struct csl_json){.out = out, .is_pretty = is_pretty};
}

static void new_line(struct csl_json *j)
{
    if (!j->is_pretty)
        return;
    csl_buf_u8(j->out, '\n');
    for (uint32_t i = 0; i < j->depth; i++)
        csl_buf_str(j->out, "  ");
}

/* Between the members of the innermost object or array. */
static void separate(struct csl_json *j)
{
    if (j->depth == 0)
        return;
    if (j->needs_comma[j->depth - 1])
        csl_buf_u8(j->out, ',');
    j->needs_comma[j->depth - 1] = true;
    new_line(j);
}

static void before_value(struct csl_json *j)
{
    bool is_member = j->depth > 0 && !j->is_array[j->depth - 1];
    CSL_ASSERT(is_member == j->has_key);
    if (!is_member)
        separate(j);
    j->has_key = false;
}

static void put_text(struct csl_json *j, const char *text)
{
    size_t left = strlen(text);
    csl_buf_u8(j->out, '"');
    while (left > 0) {
        size_t n = csl_utf8_next(text, left);
        unsigned char c = (unsigned char)*text;
        if (n == 0)
            csl_buf_str(j->out, "\\ufffd"); /* a byte that is no UTF-8 */
        else if (c == '"' || c == '\\')
            csl_buf_printf(j->out, "\\%c", c);
        else if (c == '\n')
            csl_buf_str(j->out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            csl_buf_printf(j->out, "\\u%04x", c);
        else
            csl_buf_append(j->out, text, n);
        text += n == 0 ? 1 : n;
        left -= n == 0 ? 1 : n;
    }
    csl_buf_u8(j->out, '"');
}

static void open_nested(struct csl_json *j, bool is_array)
{
    before_value(j);
    CSL_ASSERT(j->depth < DEPTH_MAX);
    csl_buf_u8(j->out, is_array ? '[' : '{');
    j->is_array[j->depth] = is_array;
    j->needs_comma[j->depth] = false;
    j->depth++;
}

void csl_json_object(struct csl_json *j)
{
    open_nested(j, false);
}

void csl_json_array(struct csl_json *j)
{
    open_nested(j, true);
}

void csl_json_end(struct csl_json *j)
{
    CSL_ASSERT(j->depth > 0 && !j->has_key);
    j->depth--;
    if (j->needs_comma[j->depth])
        new_line(j);
    csl_buf_u8(j->out, j->is_array[j->depth] ? ']' : '}');
    if (j->depth == 0 && j->is_pretty)
        csl_buf_u8(j->out, '\n');
}

void csl_json_key(struct csl_json *j, const char *key)
{
    CSL_ASSERT(j->depth > 0 && !j->is_array[j->depth - 1] && !j->has_key);
    separate(j);
    put_text(j, key);
    csl_buf_str(j->out, j->is_pretty ? ": " : ":");
    j->has_key = true;
}

void csl_json_str(struct csl_json *j, const char *text)
{
    before_value(j);
    put_text(j, text);
}

void csl_json_u64(struct csl_json *j, uint64_t v)
{
    before_value(j);
    csl_buf_printf(j->out, "%llu", (unsigned long long)v);
}

void csl_json_i64(struct csl_json *j, int64_t v)
{
    before_value(j);
    csl_buf_printf(j->out, "%lld", (long long)v);
}

void csl_json_f64(struct csl_json *j, double v)
{
    char text[32];
    before_value(j);
    if (isfinite(v))
        csl_str_f64(text, sizeof(text), v);
    csl_buf_str(j->out, isfinite(v) ? text : "null");
}

void csl_json_bool(struct csl_json *j, bool v)
{
    before_value(j);
    csl_buf_str(j->out, v ? "true" : "false");
}

void csl_json_null(struct csl_json *j)
{
    before_value(j);
    csl_buf_str(j->out, "null");
}

void csl_json_put_str(struct csl_json *j, const char *key, const char *text)
{
    csl_json_key(j, key);
    csl_json_str(j, text);
}

void csl_json_put_u64(struct csl_json *j, const char *key, uint64_t v)
{
    csl_json_key(j, key);
    csl_json_u64(j, v);
}

void csl_json_put_f64(struct csl_json *j, const char *key, double v)
{
    csl_json_key(j, key);
    csl_json_f64(j, v);
}

void csl_json_put_bool(struct csl_json *j, const char *key, bool v)
{
    csl_json_key(j, key);
    csl_json_bool(j, v);
}

struct csl_json_doc {
    json_t *root;
};

/* A value is jansson's own, under a name that keeps jansson out of the header. */
static const json_t *inner(const struct csl_json_value *v)
{
    return (const json_t *)(const void *)v;
}

static const struct csl_json_value *outer(const json_t *v)
{
    return (const struct csl_json_value *)(const void *)v;
}

static pthread_once_t allocator_once = PTHREAD_ONCE_INIT;

static void use_our_allocator(void)
{
    json_set_alloc_funcs(csl_alloc, csl_free);
}

enum csl_code csl_json_parse(struct csl_json_doc **out, const char *name, struct csl_span bytes,
                             struct csl_err *err)
{
    CSL_ASSERT(pthread_once(&allocator_once, use_our_allocator) == 0);
    struct csl_json_doc *d = csl_alloc(sizeof(*d));
    if (d == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", name);
    json_error_t why;
    d->root = json_loadb(bytes.n == 0 ? "" : (const char *)bytes.p, bytes.n, JSON_REJECT_DUPLICATES,
                         &why);
    if (d->root == NULL) {
        csl_free(d);
        if (json_error_code(&why) == json_error_out_of_memory)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", name);
        char text[sizeof(why.text)]; /* quotes a piece of the file */
        csl_str_escape(text, sizeof(text), why.text, strlen(why.text));
        return CSL_FAIL(err, CSL_E_INVAL, "%s:%d:%d: %s; one JSON object or array would be right",
                        name, why.line, why.column, text);
    }
    *out = d;
    return CSL_OK;
}

enum csl_code csl_json_read(struct csl_json_doc **out, const char *path, size_t most,
                            struct csl_err *err)
{
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = csl_file_read(&bytes, path, most, err);
    if (code == CSL_OK)
        code = csl_json_parse(out, path, csl_msg_span(&bytes), err);
    csl_msg_release(&bytes);
    return code;
}

void csl_json_free(struct csl_json_doc *d)
{
    if (d == NULL)
        return;
    json_decref(d->root);
    csl_free(d);
}

const struct csl_json_value *csl_json_root(const struct csl_json_doc *d)
{
    return outer(d->root);
}

const struct csl_json_value *csl_json_get(const struct csl_json_value *object, const char *key)
{
    return outer(json_object_get(inner(object), key)); /* NULL for a NULL or another kind */
}

size_t csl_json_count(const struct csl_json_value *v)
{
    return json_is_array(inner(v)) ? json_array_size(inner(v)) : json_object_size(inner(v));
}

const struct csl_json_value *csl_json_at(const struct csl_json_value *array, size_t i)
{
    return outer(json_array_get(inner(array), i));
}

const struct csl_json_value *csl_json_member_at(const struct csl_json_value *object, size_t i,
                                                const char **key_out)
{
    /* jansson iterates over const objects through a pointer that is not const. */
    json_t *o = (json_t *)(uintptr_t)object;
    void *at = json_object_iter(o);
    for (; at != NULL && i > 0; i--)
        at = json_object_iter_next(o, at);
    if (at == NULL)
        return NULL;
    if (key_out != NULL)
        *key_out = json_object_iter_key(at);
    return outer(json_object_iter_value(at));
}

bool csl_json_as_str(const struct csl_json_value *v, const char **out)
{
    if (!json_is_string(inner(v)))
        return false;
    *out = json_string_value(inner(v));
    return true;
}

bool csl_json_as_f64(const struct csl_json_value *v, double *out)
{
    if (!json_is_number(inner(v)))
        return false;
    *out = json_number_value(inner(v));
    return true;
}

bool csl_json_as_u64(const struct csl_json_value *v, uint64_t *out)
{
    if (!json_is_integer(inner(v)) || json_integer_value(inner(v)) < 0)
        return false;
    *out = (uint64_t)json_integer_value(inner(v));
    return true;
}

bool csl_json_as_bool(const struct csl_json_value *v, bool *out)
{
    if (!json_is_boolean(inner(v)))
        return false;
    *out = json_is_true(inner(v));
    return true;
}
