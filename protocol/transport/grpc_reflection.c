/* protocol/transport/grpc_reflection.c - grpc.reflection.v1alpha: lets tools such as grpcurl list
 * our services and fetch their schemas. Read-only, from the descriptor set built with the program.
 * One request, one answer, then the next; all of it on the poller, because the answers are small.
 */
#include "base/mem.h"
#include "csl_descriptor_set.h"
#include "protocol/transport/grpc_internal_server.h"
#include "reflection.pb-c.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_BYTES_MAX 1024u

typedef Grpc__Reflection__V1alpha__ServerReflectionRequest request;
typedef Grpc__Reflection__V1alpha__ServerReflectionResponse response;

/* The files of the descriptor set, in its order (see protocol/schema/CMakeLists.txt), and the
 * package whose symbols each defines. */
static const struct schema_file {
    const char *name, *package;
} files[] = {
    {"consilium_v1.proto", "consilium.v1"},
    {"health.proto", "grpc.health.v1"},
    {"reflection.proto", "grpc.reflection.v1alpha"},
};
static const char *const services[] = {CSL_GRPC_SERVICE, "grpc.health.v1.Health",
                                       "grpc.reflection.v1alpha.ServerReflection"};
#define FILE_COUNT    (sizeof(files) / sizeof(files[0]))
#define SERVICE_COUNT (sizeof(services) / sizeof(services[0]))

/* ---- the descriptor set ---- */

static size_t read_varint(const uint8_t *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n && i < 10; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if ((p[i] & 0x80) == 0) {
            *out = v;
            return i + 1;
        }
    }
    return 0;
}

/* FileDescriptorSet { repeated FileDescriptorProto file = 1; }: the i-th file, as bytes. */
static bool find_file(size_t i, struct csl_span *out)
{
    const uint8_t *p = csl_descriptor_set;
    size_t left = csl_descriptor_set_bytes;
    while (left > 0 && p[0] == (1 << 3 | 2)) {
        uint64_t bytes = 0;
        size_t n = read_varint(p + 1, left - 1, &bytes);
        if (n == 0 || bytes > left - 1 - n)
            return false;
        p += 1 + n;
        left -= 1 + n;
        if (i-- == 0) {
            *out = CSL_SPAN(p, (size_t)bytes);
            return true;
        }
        p += bytes;
        left -= (size_t)bytes;
    }
    return false;
}

static size_t file_named(const char *name)
{
    size_t i = 0;
    while (i < FILE_COUNT && strcmp(files[i].name, name) != 0)
        i++;
    return i;
}

/* The file whose package the symbol is in: "consilium.v1.Chunk" is in "consilium.v1". */
static size_t file_with(const char *symbol)
{
    size_t i = 0;
    for (; i < FILE_COUNT; i++) {
        size_t n = strlen(files[i].package);
        if (strncmp(symbol, files[i].package, n) == 0 && symbol[n] == '.')
            break;
    }
    return i;
}

/* ---- answers ---- */

struct answer { /* everything a response points to */
    response r;
    Grpc__Reflection__V1alpha__FileDescriptorResponse file;
    ProtobufCBinaryData bytes;
    Grpc__Reflection__V1alpha__ListServiceResponse list;
    Grpc__Reflection__V1alpha__ServiceResponse services[SERVICE_COUNT];
    Grpc__Reflection__V1alpha__ServiceResponse *service_list[SERVICE_COUNT];
    Grpc__Reflection__V1alpha__ErrorResponse error;
};

static char *not_found = (char[]){"not found"};
static char *not_supported = (char[]){"extensions are not supported"};

static void say_error(struct answer *a, grpc_status_code status, char *text)
{
    grpc__reflection__v1alpha__error_response__init(&a->error);
    a->error.error_code = (int32_t)status;
    a->error.error_message = text;
    a->r.message_response_case =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    a->r.error_response = &a->error;
}

static void say_file(struct answer *a, size_t i)
{
    struct csl_span span;
    if (i >= FILE_COUNT || !find_file(i, &span)) {
        say_error(a, GRPC_STATUS_NOT_FOUND, not_found);
        return;
    }
    union { /* protobuf-c has no const; it only reads */
        const uint8_t *in;
        uint8_t *out;
    } p = {.in = span.p};
    a->bytes = (ProtobufCBinaryData){span.n, p.out};
    grpc__reflection__v1alpha__file_descriptor_response__init(&a->file);
    a->file.n_file_descriptor_proto = 1;
    a->file.file_descriptor_proto = &a->bytes;
    a->r.message_response_case =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    a->r.file_descriptor_response = &a->file;
}

static void say_services(struct answer *a)
{
    grpc__reflection__v1alpha__list_service_response__init(&a->list);
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        union {
            const char *in;
            char *out;
        } name = {.in = services[i]};
        grpc__reflection__v1alpha__service_response__init(&a->services[i]);
        a->services[i].name = name.out;
        a->service_list[i] = &a->services[i];
    }
    a->list.n_service = SERVICE_COUNT;
    a->list.service = a->service_list;
    a->r.message_response_case =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    a->r.list_services_response = &a->list;
}

static void answer_to(struct answer *a, request *q)
{
    grpc__reflection__v1alpha__server_reflection_response__init(&a->r);
    a->r.valid_host = q->host;
    a->r.original_request = q;
    switch (q->message_request_case) {
    case GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        say_file(a, file_named(q->file_by_filename));
        break;
    case GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        say_file(a, file_with(q->file_containing_symbol));
        break;
    case GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        say_services(a);
        break;
    case GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET:
    case GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
    case GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
    case _GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__CASE_IS_INT_SIZE:
    default:
        say_error(a, GRPC_STATUS_UNIMPLEMENTED, not_supported);
        break;
    }
}

enum csl_code csl_grpc__reflection_answer(struct csl_span span, struct csl_msg *out,
                                          struct csl_err *err)
{
    if (span.n > REQUEST_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "reflection: request of %zu bytes; at most %u", span.n,
                        REQUEST_BYTES_MAX);
    request *q = grpc__reflection__v1alpha__server_reflection_request__unpack(NULL, span.n, span.p);
    if (q == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "reflection: request is malformed");
    struct answer a;
    answer_to(&a, q);
    size_t n = grpc__reflection__v1alpha__server_reflection_response__get_packed_size(&a.r);
    uint8_t *p = csl_alloc(n);
    if (p != NULL)
        *out = (struct csl_msg){
            p, grpc__reflection__v1alpha__server_reflection_response__pack(&a.r, p)};
    grpc__reflection__v1alpha__server_reflection_request__free_unpacked(q, NULL);
    return p != NULL ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "reflection: answer of %zu bytes", n);
}

/* ---- the stream ---- */

struct stream {
    struct csl_grpc__call base;
    struct csl_grpc__server *server;
    struct csl_grpc__tag on_close, on_recv, on_send;
    grpc_byte_buffer *received;
    struct csl_grpc__status status;
    int cancelled;
    bool was_metadata_sent, was_ended; /* poller only */
};

static void gone(void *self)
{
    struct stream *x = self;
    struct csl_grpc__server *s = x->server;
    csl_mutex_lock(&s->mu);
    s->small_count--;
    csl_mutex_unlock(&s->mu);
    grpc_byte_buffer_destroy(x->received);
    grpc_call_unref(x->base.call);
    csl_free(x);
    csl_grpc__server_call_gone(s);
}

static void start_recv(struct stream *x)
{
    grpc_op op = csl_grpc__op(GRPC_OP_RECV_MESSAGE);
    op.data.recv_message.recv_message = &x->received;
    (void)csl_grpc__start(&x->base, &op, 1, &x->on_recv);
}

static enum csl_code next_answer(struct stream *x, grpc_byte_buffer **out, struct csl_err *err)
{
    struct csl_msg question = {0}, text = {0};
    enum csl_code code = csl_grpc__buffer_copy(&question, x->received, REQUEST_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_grpc__reflection_answer(csl_msg_span(&question), &text, err);
    csl_msg_release(&question);
    if (code == CSL_OK)
        *out = csl_grpc__buffer_take(&text);
    return code;
}

static void on_recv(void *self, bool ok)
{
    struct stream *x = self;
    struct csl_err err = {.msg = ""};
    enum csl_code code = CSL_OK;
    grpc_byte_buffer *message = NULL;
    bool is_end = !ok || x->received == NULL;
    if (!is_end)
        code = next_answer(x, &message, &err);
    grpc_byte_buffer_destroy(x->received);
    x->received = NULL;
    grpc_op ops[3];
    size_t n = 0;
    if (!x->was_metadata_sent)
        ops[n++] = csl_grpc__op(GRPC_OP_SEND_INITIAL_METADATA);
    x->was_metadata_sent = true;
    if (message != NULL) {
        ops[n] = csl_grpc__op(GRPC_OP_SEND_MESSAGE);
        ops[n++].data.send_message.send_message = message;
    }
    x->was_ended = is_end || code != CSL_OK;
    if (x->was_ended)
        csl_grpc__status_op(&ops[n++], &x->status, code, "reflection", NULL, &err);
    (void)csl_grpc__start(&x->base, ops, n, &x->on_send);
    grpc_byte_buffer_destroy(message);
    csl_grpc__call_drop(&x->base);
}

static void on_send(void *self, bool ok)
{
    struct stream *x = self;
    if (ok && !x->was_ended)
        start_recv(x);
    csl_grpc__call_drop(&x->base);
}

static void on_close(void *self, bool ok)
{
    struct stream *x = self;
    (void)ok;
    csl_grpc__call_drop(&x->base);
}

enum csl_code csl_grpc__reflection_accept(struct csl_grpc__server *s, grpc_call *call,
                                          struct csl_err *err)
{
    struct stream *x = csl_alloc(sizeof(*x));
    if (x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "reflection");
    enum csl_code code = csl_grpc__small_enter(s, err);
    if (code != CSL_OK) {
        csl_free(x);
        return code;
    }
    x->server = s;
    csl_grpc__tag_init(&x->on_close, on_close, x);
    csl_grpc__tag_init(&x->on_recv, on_recv, x);
    csl_grpc__tag_init(&x->on_send, on_send, x);
    csl_grpc__call_init(&x->base, call, gone, x);
    grpc_op close = csl_grpc__op(GRPC_OP_RECV_CLOSE_ON_SERVER);
    close.data.recv_close_on_server.cancelled = &x->cancelled;
    if (csl_grpc__start(&x->base, &close, 1, &x->on_close))
        start_recv(x);
    csl_grpc__call_drop(&x->base);
    return CSL_OK;
}
