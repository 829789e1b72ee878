#include "base/yaml.h"

#include "base/check.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/banned.h"

#undef csl_yaml_fail

struct csl_yaml {
    struct csl_arena arena; /* every node and text, and the name */
    const char *name;
    struct csl_yaml_node *root;
};

/* One open mapping or sequence. */
struct level {
    struct csl_yaml_node *node, *last_child;
    struct csl_yaml_node
        *pending; /* mapping: its key was read, its value was not; key fields set */
};

struct reader {
    struct csl_yaml *y;
    struct csl_span bytes;
    struct csl_err *err;
    struct level stack[CSL_YAML_DEPTH_MAX];
    uint32_t depth, node_count;
    bool is_done, has_document;
};

static uint32_t one_based(size_t zero_based)
{
    return zero_based < UINT32_MAX ? (uint32_t)zero_based + 1 : UINT32_MAX;
}

static enum csl_code fail_at(struct reader *r, yaml_mark_t at, enum csl_code code, const char *what)
{
    return CSL_FAIL(r->err, code, "%s:%u:%u: %s", r->y->name, one_based(at.line),
                    one_based(at.column), what);
}

static enum csl_code no_memory(struct reader *r)
{
    return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory to read %s", r->y->name);
}

/* Line and column (in characters) of a byte. */
static yaml_mark_t mark_of(struct csl_span s, size_t offset)
{
    yaml_mark_t at = {.index = offset, .line = 0, .column = 0};
    for (size_t i = 0; i < offset && i < s.n; i++) {
        if (s.p[i] == '\n') {
            at.line++;
            at.column = 0;
        } else if ((s.p[i] & 0xc0) != 0x80) {
            at.column++;
        }
    }
    return at;
}

/* libyaml would guess UTF-16 from the first bytes and stop at a NUL without a place. */
static enum csl_code check_bytes(struct reader *r)
{
    size_t i = 0;
    while (i < r->bytes.n) {
        if (r->bytes.p[i] == 0)
            return fail_at(r, mark_of(r->bytes, i), CSL_E_INVAL,
                           "found a NUL byte; text would be right");
        size_t n = csl_utf8_next((const char *)r->bytes.p + i, r->bytes.n - i);
        if (n == 0)
            return fail_at(r, mark_of(r->bytes, i), CSL_E_INVAL,
                           "found a byte that is not UTF-8; text saved as UTF-8 would be right");
        i += n;
    }
    return CSL_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct csl_yaml_node *x = *(struct csl_yaml_node *const *)a;
    const struct csl_yaml_node *y = *(struct csl_yaml_node *const *)b;
    int order = strcmp(x->key, y->key);
    if (order != 0)
        return order;
    if (x->key_line != y->key_line)
        return x->key_line < y->key_line ? -1 : 1;
    return x->key_column < y->key_column ? -1 : x->key_column > y->key_column;
}

static bool is_before(const struct csl_yaml_node *a, const struct csl_yaml_node *b)
{
    return a->key_line != b->key_line ? a->key_line < b->key_line : a->key_column < b->key_column;
}

/* By sorting, because comparing each key with each lets a small file take minutes. */
static enum csl_code check_duplicates(struct reader *r, const struct csl_yaml_node *mapping)
{
    if (mapping->child_count < 2)
        return CSL_OK;
    struct csl_yaml_node **nodes =
        csl_alloc_array(mapping->child_count, sizeof(struct csl_yaml_node *));
    if (nodes == NULL)
        return no_memory(r);
    size_t n = 0;
    for (struct csl_yaml_node *c = mapping->first_child; c != NULL; c = c->next)
        nodes[n++] = c;
    qsort(nodes, n, sizeof(struct csl_yaml_node *), by_key);
    const struct csl_yaml_node *first = NULL, *again = NULL;
    for (size_t i = 1; i < n; i++) {
        if (strcmp(nodes[i - 1]->key, nodes[i]->key) != 0)
            continue;
        if (again == NULL || is_before(nodes[i], again)) {
            first = nodes[i - 1];
            again = nodes[i];
        }
    }
    csl_free(nodes);
    if (again == NULL)
        return CSL_OK;
    char key[CSL_ID_MAX];
    csl_str_escape(key, sizeof(key), again->key, strlen(again->key));
    return CSL_FAIL(
        r->err, CSL_E_INVAL,
        "%s:%u:%u: key '%s' a second time (first in line %u); one of them would be right",
        r->y->name, again->key_line, again->key_column, key, first->key_line);
}

static const char *copy_text(struct reader *r, const yaml_event_t *e)
{
    return csl_arena_strndup(&r->y->arena, (const char *)e->data.scalar.value,
                             e->data.scalar.length);
}

/* A scalar where a mapping expects a key: allocates the node that its value will fill. */
static enum csl_code read_key(struct reader *r, const yaml_event_t *e)
{
    struct level *l = &r->stack[r->depth - 1];
    const char *text = (const char *)e->data.scalar.value;
    if (e->data.scalar.length == 0)
        return fail_at(r, e->start_mark, CSL_E_INVAL, "found an empty key; a name would be right");
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found a merge key '<<'; the keys themselves would be right");
    struct csl_yaml_node *node = csl_arena_alloc(&r->y->arena, sizeof(*node));
    const char *key = copy_text(r, e);
    if (node == NULL || key == NULL)
        return no_memory(r);
    node->key = key;
    node->key_line = one_based(e->start_mark.line);
    node->key_column = one_based(e->start_mark.column);
    l->pending = node;
    return CSL_OK;
}

/* The node for a value that starts here, linked to its parent. */
static enum csl_code new_node(struct reader *r, const yaml_event_t *e, enum csl_yaml_kind kind,
                              struct csl_yaml_node **out)
{
    struct level *l = r->depth == 0 ? NULL : &r->stack[r->depth - 1];
    if (l == NULL && kind != CSL_YAML_MAPPING)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found a value alone; a mapping (lines of 'key: value') would be right");
    if (r->node_count == CSL_YAML_NODES_MAX)
        return fail_at(r, e->start_mark, CSL_E_LIMIT, "more values than one file may hold (65536)");
    struct csl_yaml_node *node = l == NULL ? NULL : l->pending;
    if (node == NULL)
        node = csl_arena_alloc(&r->y->arena, sizeof(*node));
    if (node == NULL)
        return no_memory(r);
    r->node_count++;
    node->kind = kind;
    node->line = one_based(e->start_mark.line);
    node->column = one_based(e->start_mark.column);
    if (l == NULL) {
        r->y->root = node;
    } else {
        if (l->last_child == NULL)
            l->node->first_child = node;
        else
            l->last_child->next = node;
        l->last_child = node;
        l->node->child_count++;
        l->pending = NULL;
    }
    *out = node;
    return CSL_OK;
}

static bool wants_key(const struct reader *r)
{
    if (r->depth == 0)
        return false;
    const struct level *l = &r->stack[r->depth - 1];
    return l->node->kind == CSL_YAML_MAPPING && l->pending == NULL;
}

static enum csl_code on_scalar(struct reader *r, const yaml_event_t *e)
{
    if (e->data.scalar.anchor != NULL)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found an anchor '&'; the value without it would be right");
    if (e->data.scalar.tag != NULL)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found a tag '!'; the value without it would be right");
    if (memchr(e->data.scalar.value, 0, e->data.scalar.length) != NULL)
        return fail_at(r, e->start_mark, CSL_E_INVAL, "found a NUL in a text; text would be right");
    if (wants_key(r))
        return read_key(r, e);
    struct csl_yaml_node *node;
    enum csl_code code = new_node(r, e, CSL_YAML_SCALAR, &node);
    if (code != CSL_OK)
        return code;
    node->text = copy_text(r, e);
    if (node->text == NULL)
        return no_memory(r);
    node->is_quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return CSL_OK;
}

static enum csl_code on_open(struct reader *r, const yaml_event_t *e, enum csl_yaml_kind kind,
                             const unsigned char *anchor, const unsigned char *tag)
{
    if (anchor != NULL)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found an anchor '&'; the value without it would be right");
    if (tag != NULL)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found a tag '!'; the value without it would be right");
    if (wants_key(r))
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found a mapping or a list as a key; a name would be right");
    if (r->depth == CSL_YAML_DEPTH_MAX)
        return fail_at(r, e->start_mark, CSL_E_LIMIT, "nested deeper than the 16 levels allowed");
    struct csl_yaml_node *node;
    enum csl_code code = new_node(r, e, kind, &node);
    if (code != CSL_OK)
        return code;
    node->text = "";
    r->stack[r->depth++] = (struct level){.node = node};
    return CSL_OK;
}

static enum csl_code on_close(struct reader *r)
{
    CSL_ASSERT(r->depth > 0);
    r->depth--;
    const struct csl_yaml_node *node = r->stack[r->depth].node;
    return node->kind == CSL_YAML_MAPPING ? check_duplicates(r, node) : CSL_OK;
}

static enum csl_code on_document(struct reader *r, const yaml_event_t *e)
{
    if (r->has_document)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found a second document; one per file would be right");
    if (e->data.document_start.version_directive != NULL ||
        e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
        return fail_at(r, e->start_mark, CSL_E_INVAL,
                       "found a '%' directive; the file without it would be right");
    r->has_document = true;
    return CSL_OK;
}

static enum csl_code on_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return on_document(r, e);
    case YAML_ALIAS_EVENT:
        return fail_at(
            r, e->start_mark, CSL_E_INVAL,
            "found an alias '*'; the value itself (in quotes if it is text) would be right");
    case YAML_SCALAR_EVENT:
        return on_scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(r, e, CSL_YAML_SEQUENCE, e->data.sequence_start.anchor,
                       e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_open(r, e, CSL_YAML_MAPPING, e->data.mapping_start.anchor,
                       e->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(r);
    case YAML_STREAM_END_EVENT:
        r->is_done = true;
        return CSL_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return CSL_OK;
    }
    return CSL_OK;
}

static enum csl_code fail_parser(struct reader *r, const yaml_parser_t *p)
{
    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(r);
    yaml_mark_t at =
        p->error == YAML_READER_ERROR ? mark_of(r->bytes, p->problem_offset) : p->problem_mark;
    return CSL_FAIL(r->err, CSL_E_INVAL, "%s:%u:%u: not YAML: %s%s%s", r->y->name,
                    one_based(at.line), one_based(at.column),
                    p->problem == NULL ? "unreadable" : p->problem, p->context == NULL ? "" : " ",
                    p->context == NULL ? "" : p->context);
}

static enum csl_code read_events(struct reader *r)
{
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0)
        return no_memory(r);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, r->bytes.p, r->bytes.n);
    enum csl_code code = CSL_OK;
    while (code == CSL_OK && !r->is_done) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            code = fail_parser(r, &parser);
            break;
        }
        code = on_event(r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return code;
}

/* A file of nothing but comments says nothing, which is a mapping without keys. */
static enum csl_code add_empty_root(struct reader *r)
{
    struct csl_yaml_node *node = csl_arena_alloc(&r->y->arena, sizeof(*node));
    if (node == NULL)
        return no_memory(r);
    *node = (struct csl_yaml_node){.kind = CSL_YAML_MAPPING, .line = 1, .column = 1, .text = ""};
    r->y->root = node;
    return CSL_OK;
}

enum csl_code csl_yaml_parse(struct csl_yaml **out, const char *name, struct csl_span bytes,
                             struct csl_err *err)
{
    /* A byte of the file becomes at most two of text; the rest is node records and rounding. */
    const size_t node_bytes = sizeof(struct csl_yaml_node) + 4 * _Alignof(max_align_t);
    struct csl_yaml *y = csl_alloc(sizeof(*y));
    if (y == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", name);
    csl_arena_init(&y->arena, (CSL_YAML_NODES_MAX + 1) * node_bytes + 2 * bytes.n + CSL_PATH_MAX);
    struct reader r = {.y = y, .bytes = bytes, .err = err};
    if (bytes.n >= 3 && memcmp(bytes.p, "\xef\xbb\xbf", 3) == 0)
        r.bytes = CSL_SPAN(bytes.p + 3, bytes.n - 3); /* a byte-order mark says nothing in UTF-8 */
    if (r.bytes.n == 0)
        r.bytes.p = (const uint8_t *)"";
    enum csl_code code = CSL_OK;
    y->name = csl_arena_strndup(&y->arena, name, strnlen(name, CSL_PATH_MAX - 1));
    if (y->name == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", name);
    if (code == CSL_OK)
        code = check_bytes(&r);
    if (code == CSL_OK)
        code = read_events(&r);
    if (code == CSL_OK && y->root == NULL)
        code = add_empty_root(&r);
    if (code != CSL_OK) {
        csl_yaml_free(y);
        return code;
    }
    *out = y;
    return CSL_OK;
}

enum csl_code csl_yaml_read(struct csl_yaml **out, const char *path, size_t max_bytes,
                            struct csl_err *err)
{
    struct csl_msg bytes;
    enum csl_code code = csl_file_read(&bytes, path, max_bytes, err);
    if (code != CSL_OK)
        return code;
    code = csl_yaml_parse(out, path, csl_msg_span(&bytes), err);
    csl_msg_release(&bytes);
    return code;
}

void csl_yaml_free(struct csl_yaml *y)
{
    if (y == NULL)
        return;
    csl_arena_release(&y->arena);
    csl_free(y);
}

const struct csl_yaml_node *csl_yaml_root(const struct csl_yaml *y)
{
    return y->root;
}

const char *csl_yaml_name(const struct csl_yaml *y)
{
    return y->name;
}

const struct csl_yaml_node *csl_yaml_get(const struct csl_yaml_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != CSL_YAML_MAPPING)
        return NULL;
    for (const struct csl_yaml_node *c = mapping->first_child; c != NULL; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

enum csl_code csl_yaml_fail(struct csl_err *err, const struct csl_yaml *y,
                            const struct csl_yaml_node *at, const char *fmt, ...)
{
    char text[CSL_ERR_MSG_MAX], key[CSL_ID_MAX + 2] = "";
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (at == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "%s: %s", y->name, text);
    if (at->key != NULL)
        csl_str_escape(key, CSL_ID_MAX, at->key, strlen(at->key));
    return CSL_FAIL(err, CSL_E_INVAL, "%s:%u:%u: %s%s%s", y->name, at->line, at->column, key,
                    at->key == NULL ? "" : ": ", text);
}
