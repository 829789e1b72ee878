/* base/json.h - a streaming JSON writer into a csl_buf (numbers with 17 significant digits trimmed,
 * NaN and infinities refused, keys in the order written), and a strict reader on jansson for our
 * own files. One thread. */
#ifndef CSL_BASE_JSON_H
#define CSL_BASE_JSON_H
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct csl_json { /* writer; asserts on misuse such as a value without a key inside an object */
    struct csl_buf *out;
    uint32_t depth;
    bool needs_comma[32], is_array[32];
    bool is_pretty, has_key;
};
void csl_json_init(struct csl_json *j, struct csl_buf *out, bool is_pretty);
void csl_json_object(struct csl_json *j); /* as a value: call csl_json_key first inside an object */
void csl_json_array(struct csl_json *j);
void csl_json_end(struct csl_json *j); /* closes the innermost object or array */
void csl_json_key(struct csl_json *j, const char *key);
void csl_json_str(struct csl_json *j, const char *text);
void csl_json_u64(struct csl_json *j, uint64_t v);
void csl_json_i64(struct csl_json *j, int64_t v);
void csl_json_f64(struct csl_json *j, double v); /* not finite: written as null */
void csl_json_bool(struct csl_json *j, bool v);
void csl_json_null(struct csl_json *j);
/* key + value in one call */
void csl_json_put_str(struct csl_json *j, const char *key, const char *text);
void csl_json_put_u64(struct csl_json *j, const char *key, uint64_t v);
void csl_json_put_f64(struct csl_json *j, const char *key, double v);
void csl_json_put_bool(struct csl_json *j, const char *key, bool v);

/* Reader: a parsed document, borrowed values valid until csl_json_free. Duplicate keys refused. */
struct csl_json_doc;
struct csl_json_value;
enum csl_code csl_json_parse(struct csl_json_doc **out, const char *name, struct csl_span bytes,
                             struct csl_err *err) CSL_MUST_CHECK;
/* The file `path`, of at most `most` bytes; NOTFOUND, LIMIT, IO as csl_file_read. */
enum csl_code csl_json_read(struct csl_json_doc **out, const char *path, size_t most,
                            struct csl_err *err) CSL_MUST_CHECK;
void csl_json_free(struct csl_json_doc *d);
const struct csl_json_value *csl_json_root(const struct csl_json_doc *d);
const struct csl_json_value *csl_json_get(const struct csl_json_value *object,
                                          const char *key); /* NULL */
size_t csl_json_count(const struct csl_json_value *v);      /* array or object; 0 otherwise */
const struct csl_json_value *csl_json_at(const struct csl_json_value *array, size_t i);
const struct csl_json_value *csl_json_member_at(const struct csl_json_value *object, size_t i,
                                                const char **key_out);  /* file order */
bool csl_json_as_str(const struct csl_json_value *v, const char **out); /* v may be NULL: false */
bool csl_json_as_f64(const struct csl_json_value *v, double *out);      /* any number */
bool csl_json_as_u64(const struct csl_json_value *v, uint64_t *out);    /* to 2^63 - 1 */
bool csl_json_as_bool(const struct csl_json_value *v, bool *out);

#endif
