/* base/yaml.h - a strict reader for the YAML people edit: mappings, sequences and scalars only.
 * Refused with file:line:column: anchors, aliases, tags, merge keys, a second document, duplicate
 * keys, depth or node counts over limits.h, bytes that are not UTF-8, NUL. Scalars stay text: their
 * type is the business of whoever reads them (base/option.h), never of YAML. */
#ifndef CSL_BASE_YAML_H
#define CSL_BASE_YAML_H
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum csl_yaml_kind { CSL_YAML_SCALAR, CSL_YAML_SEQUENCE, CSL_YAML_MAPPING };

struct csl_yaml_node {
    enum csl_yaml_kind kind;
    uint32_t line, column; /* 1-based */
    const char *text;      /* scalar: NUL-terminated; "" for an empty one */
    bool is_quoted;        /* scalar was written in quotes or as a block */
    const char *key;       /* when this node is a value of a mapping, else NULL */
    uint32_t key_line, key_column;
    struct csl_yaml_node *first_child, *next; /* children in file order */
    uint32_t child_count;
};

struct csl_yaml; /* owns every node */
/* `name` is used in errors ("study.yaml"). The bytes are not kept. */
enum csl_code csl_yaml_parse(struct csl_yaml **out, const char *name, struct csl_span bytes,
                             struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_yaml_read(struct csl_yaml **out, const char *path, size_t max_bytes,
                            struct csl_err *err) CSL_MUST_CHECK;
void csl_yaml_free(struct csl_yaml *y);
/* A mapping; an empty one when the file holds nothing but comments. */
const struct csl_yaml_node *csl_yaml_root(const struct csl_yaml *y);
const char *csl_yaml_name(const struct csl_yaml *y);
const struct csl_yaml_node *csl_yaml_get(const struct csl_yaml_node *mapping, const char *key);

/* Returns CSL_E_INVAL. Name, line, column and the key of `at` (which may be NULL) are written by
 * this function; fmt says what was found and what would be right: "study.yaml:12:5: rounds: found
 * 'ten'; a whole number from 1 to 1000000 would be right" */
enum csl_code csl_yaml_fail(struct csl_err *err, const struct csl_yaml *y,
                            const struct csl_yaml_node *at, const char *fmt, ...) CSL_PRINTF(4, 5);

#ifdef __clang_analyzer__
#define csl_yaml_fail(...) csl_err_same_(csl_yaml_fail(__VA_ARGS__), CSL_E_INVAL)
#endif

#endif
