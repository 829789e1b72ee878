#include "protocol/wire/codec.h"

#include "base/check.h"

#include <string.h>

/* protobuf-c asks for memory through this. It never gives anything back: the arena goes as a whole.
 */
struct budget {
    struct csl_arena *arena;
    enum csl_code failure; /* CSL_OK: every request was granted */
};

static void *budget_alloc(void *self, size_t bytes)
{
    struct budget *b = self;
    void *p = csl_arena_alloc(b->arena, bytes);
    if (p == NULL)
        b->failure =
            bytes > b->arena->budget_bytes - b->arena->used_bytes ? CSL_E_LIMIT : CSL_E_NOMEM;
    return p;
}

static void budget_free(void *self, void *p)
{
    (void)self;
    (void)p;
}

/* One open message of the walk below: its fields before `field` are done, and so are the elements
 * before `element` of that field. */
struct place {
    const ProtobufCMessage *message;
    unsigned field;
    size_t element;
};
#define DEPTH_MAX 8 /* the schema nests four deep and has no recursion */

static enum csl_code check_message(const ProtobufCMessage *m, struct csl_err *err)
{
    if (m->n_unknown_fields != 0)
        return CSL_FAIL(err, CSL_E_PROTO, "%s: unknown field %u; version %u has no such field",
                        m->descriptor->short_name, (unsigned)m->unknown_fields[0].tag,
                        CSL_PROTOCOL_VERSION);
    return CSL_OK;
}

static enum csl_code check_enum(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                                struct csl_err *err)
{
    int value;
    memcpy(&value, (const uint8_t *)m + f->offset, sizeof(value));
    if (protobuf_c_enum_descriptor_get_value(f->descriptor, value) == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "%s.%s: unknown value %d", m->descriptor->short_name,
                        f->name, value);
    return CSL_OK;
}

/* The next submessage of the field at *p, or NULL when there is none left. */
static const ProtobufCMessage *next_child(struct place *p, const ProtobufCFieldDescriptor *f)
{
    const uint8_t *base = (const uint8_t *)p->message;
    size_t index = p->element++;
    const ProtobufCMessage *child = NULL;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count;
        const ProtobufCMessage *const *items;
        memcpy(&count, base + f->quantifier_offset, sizeof(count));
        memcpy(&items, base + f->offset, sizeof(items));
        return index < count ? items[index] : NULL;
    }
    if (index > 0)
        return NULL;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t set;
        memcpy(&set, base + f->quantifier_offset, sizeof(set));
        if (set != f->id)
            return NULL;
    }
    memcpy(&child, base + f->offset, sizeof(child));
    return child;
}

/* Unknown fields and enum values of the whole tree, so that no message kind can forget to look. */
static enum csl_code check_tree(const ProtobufCMessage *root, struct csl_err *err)
{
    struct place stack[DEPTH_MAX] = {{.message = root}};
    size_t depth = 1;
    enum csl_code code = check_message(root, err);
    while (code == CSL_OK && depth > 0) {
        struct place *top = &stack[depth - 1];
        const ProtobufCMessageDescriptor *d = top->message->descriptor;
        if (top->field == d->n_fields) {
            depth--;
            continue;
        }
        const ProtobufCFieldDescriptor *f = &d->fields[top->field];
        const ProtobufCMessage *child = NULL;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            child = next_child(top, f);
        else if (f->type == PROTOBUF_C_TYPE_ENUM)
            code = check_enum(top->message, f, err);
        if (child != NULL) {
            CSL_ASSERT(depth < DEPTH_MAX);
            stack[depth++] = (struct place){.message = child};
            code = check_message(child, err);
        } else {
            top->field++;
            top->element = 0;
        }
    }
    return code;
}

enum csl_code csl_codec__unpack(struct csl_arena *a, const ProtobufCMessageDescriptor *d,
                                struct csl_span bytes, ProtobufCMessage **out, struct csl_err *err)
{
    if (bytes.n > CSL_MSG_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s of %zu bytes, at most %u", d->short_name, bytes.n,
                        CSL_MSG_BYTES_MAX);
    struct budget budget = {.arena = a};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    static const uint8_t nothing[1];
    ProtobufCMessage *m =
        protobuf_c_message_unpack(d, &allocator, bytes.n, bytes.n > 0 ? bytes.p : nothing);
    if (budget.failure != CSL_OK)
        return CSL_FAIL(err, budget.failure, "%s of %zu bytes, for which %zu bytes of heap %s",
                        d->short_name, bytes.n, a->budget_bytes,
                        budget.failure == CSL_E_LIMIT ? "do not suffice" : "are not there");
    if (m == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "%zu bytes that are not a %s", bytes.n, d->short_name);
    enum csl_code code = check_tree(m, err);
    if (code == CSL_OK)
        *out = m;
    return code;
}

enum csl_code csl_codec__pack(const ProtobufCMessage *m, struct csl_msg *out, struct csl_err *err)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    if (n > CSL_MSG_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s of %zu bytes, at most %u", m->descriptor->short_name,
                        n, CSL_MSG_BYTES_MAX);
    uint8_t *p = csl_alloc(n);
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a message of %zu bytes", n);
    size_t written = protobuf_c_message_pack(m, p);
    CSL_ASSERT(written == n);
    *out = (struct csl_msg){p, n};
    return CSL_OK;
}

enum csl_code csl_codec__get_bytes(uint8_t *dst, size_t n, bool is_optional,
                                   ProtobufCBinaryData src, const char *field, struct csl_err *err)
{
    if (src.len == 0 && is_optional) {
        memset(dst, 0, n);
        return CSL_OK;
    }
    if (src.len != n)
        return CSL_FAIL(err, CSL_E_PROTO, "%s: %zu bytes, must be %zu", field, src.len, n);
    memcpy(dst, src.data, n);
    return CSL_OK;
}

enum csl_code csl_codec__get_text(char *dst, size_t capacity, ProtobufCBinaryData src,
                                  const char *field, struct csl_err *err)
{
    if (src.len >= capacity)
        return CSL_FAIL(err, CSL_E_PROTO, "%s: %zu bytes, at most %zu", field, src.len,
                        capacity - 1);
    if (src.len > 0 && memchr(src.data, 0, src.len) != NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "%s: holds a NUL byte", field);
    memset(dst, 0, capacity);
    if (src.len > 0)
        memcpy(dst, src.data, src.len);
    return CSL_OK;
}

enum csl_code csl_codec__get_blocks(struct csl_block_count dst[CSL_BLOCKS_MAX], uint32_t *count,
                                    Consilium__V1__BlockCount *const *src, size_t n,
                                    const char *field, struct csl_err *err)
{
    if (n > CSL_BLOCKS_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "%s: %zu entries, at most %d", field, n, CSL_BLOCKS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (src[i]->block >= CSL_BLOCKS_MAX)
            return CSL_FAIL(err, CSL_E_PROTO, "%s[%zu].block: %llu, must be below %d", field, i,
                            (unsigned long long)src[i]->block, CSL_BLOCKS_MAX);
        dst[i] = (struct csl_block_count){(uint32_t)src[i]->block, src[i]->patients};
    }
    *count = (uint32_t)n;
    return CSL_OK;
}

ProtobufCBinaryData csl_codec__put_bytes(const uint8_t *p, size_t n)
{
    /* The field is not const in protobuf-c though packing only reads it. */
    union {
        const uint8_t *in;
        uint8_t *out;
    } cast = {.in = p};
    return (ProtobufCBinaryData){n, cast.out};
}

ProtobufCBinaryData csl_codec__put_optional(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0)
            return csl_codec__put_bytes(p, n);
    }
    return (ProtobufCBinaryData){0, NULL};
}

ProtobufCBinaryData csl_codec__put_text(const char *text)
{
    return csl_codec__put_bytes((const uint8_t *)text, strlen(text));
}

void *csl_codec__array(struct csl_arena *a, size_t count, size_t item_bytes)
{
    void **pointers = csl_arena_alloc(a, (count == 0 ? 1 : count) * sizeof(*pointers));
    for (size_t i = 0; pointers != NULL && i < count; i++) {
        pointers[i] = csl_arena_alloc(a, item_bytes);
        if (pointers[i] == NULL)
            return NULL;
    }
    return pointers;
}

Consilium__V1__BlockCount **csl_codec__put_blocks(struct csl_arena *a,
                                                  const struct csl_block_count *blocks, uint32_t n)
{
    Consilium__V1__BlockCount **out = csl_codec__array(a, n, sizeof(**out));
    for (uint32_t i = 0; out != NULL && i < n; i++) {
        consilium__v1__block_count__init(out[i]);
        out[i]->block = blocks[i].block;
        out[i]->patients = blocks[i].patients;
    }
    return out;
}

/* Two tables in place of a cast: the numbers on the wire are for ever, the enum's are not. */
Consilium__V1__Code csl_codec__put_code(enum csl_code code)
{
    switch (code) {
#define CSL_X(name, text, retry, grpc)                                                             \
    case CSL_E_##name:                                                                             \
        return CONSILIUM__V1__CODE__CODE_##name;
        CSL_CODES(CSL_X)
#undef CSL_X
    default:
        return CONSILIUM__V1__CODE__CODE_BUG;
    }
}

enum csl_code csl_codec__get_code(Consilium__V1__Code code)
{
    switch ((int)code) { /* protobuf-c adds a value of its own to its enums */
#define CSL_X(name, text, retry, grpc)                                                             \
    case CONSILIUM__V1__CODE__CODE_##name:                                                         \
        return CSL_E_##name;
        CSL_CODES(CSL_X)
#undef CSL_X
    default:
        return CSL_E_BUG;
    }
}
