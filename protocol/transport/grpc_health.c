/* protocol/transport/grpc_health.c - grpc.health.v1.Health: one status for the process ("") and for
 * consilium.v1.Coordinator. Check answers once; Watch answers at once and at every change. */
#include "base/mem.h"
#include "health.pb-c.h"
#include "protocol/transport/grpc_internal_server.h"

#include <string.h>

#define REQUEST_BYTES_MAX  512u
#define RESPONSE_BYTES_MAX 16u

struct csl_grpc__health {
    struct csl_grpc__call base;
    struct csl_grpc__server *server;
    struct csl_grpc__health *next, **at; /* among the server's watches, once the request came */
    struct csl_grpc__tag on_close, on_recv, on_send;
    grpc_byte_buffer *received;
    struct csl_grpc__status status;
    int cancelled;
    bool is_watch, is_known;
    /* guarded by server.mu */
    bool is_listed, is_sending, was_metadata_sent, must_end, was_ended;
    int sent; /* last status sent; -1: none */
};

static void gone(void *self)
{
    struct csl_grpc__health *h = self;
    struct csl_grpc__server *s = h->server;
    csl_mutex_lock(&s->mu);
    if (h->is_listed) {
        *h->at = h->next;
        if (h->next != NULL)
            h->next->at = h->at;
    }
    s->small_count--;
    csl_mutex_unlock(&s->mu);
    grpc_byte_buffer_destroy(h->received);
    grpc_call_unref(h->base.call);
    csl_free(h);
    csl_grpc__server_call_gone(s);
}

static int status_of(const struct csl_grpc__health *h)
{
    if (!h->is_known)
        return GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    return h->server->is_serving
               ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
               : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

static grpc_byte_buffer *answer(int status)
{
    Grpc__Health__V1__HealthCheckResponse m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t bytes[RESPONSE_BYTES_MAX];
    m.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    size_t n = grpc__health__v1__health_check_response__pack(&m, bytes); /* a tag and one byte */
    return csl_grpc__buffer_chunk(bytes, n, grpc_empty_slice());
}

/* mu held. Sends what is due: a status, the end, or both. */
static void pump(struct csl_grpc__health *h, enum csl_code code, const struct csl_err *err)
{
    if (h->is_sending || h->was_ended)
        return;
    bool has_answer = code == CSL_OK && h->sent != status_of(h);
    bool is_end = h->must_end || code != CSL_OK || (!h->is_watch && has_answer);
    if (!has_answer && !is_end)
        return;
    grpc_op ops[3];
    size_t n = 0;
    grpc_byte_buffer *message = NULL;
    if (!h->was_metadata_sent)
        ops[n++] = csl_grpc__op(GRPC_OP_SEND_INITIAL_METADATA);
    h->was_metadata_sent = true;
    if (has_answer) {
        h->sent = status_of(h);
        message = answer(h->sent);
        ops[n] = csl_grpc__op(GRPC_OP_SEND_MESSAGE);
        ops[n++].data.send_message.send_message = message;
    }
    if (is_end)
        csl_grpc__status_op(&ops[n++], &h->status, h->must_end ? CSL_E_UNAVAIL : code, "health",
                            NULL, err);
    h->was_ended = is_end;
    h->is_sending = csl_grpc__start(&h->base, ops, n, &h->on_send);
    grpc_byte_buffer_destroy(message);
}

static void on_send(void *self, bool ok)
{
    struct csl_grpc__health *h = self;
    csl_mutex_lock(&h->server->mu);
    h->is_sending = false;
    if (ok)
        pump(h, CSL_OK, NULL);
    csl_mutex_unlock(&h->server->mu);
    csl_grpc__call_drop(&h->base);
}

static enum csl_code read_request(struct csl_grpc__health *h, struct csl_err *err)
{
    struct csl_msg m = {0};
    if (h->received == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "health: no request");
    enum csl_code code = csl_grpc__buffer_copy(&m, h->received, REQUEST_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    Grpc__Health__V1__HealthCheckRequest *r =
        grpc__health__v1__health_check_request__unpack(NULL, m.n, m.p);
    csl_msg_release(&m);
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "health: request is malformed");
    h->is_known = r->service[0] == '\0' || strcmp(r->service, CSL_GRPC_SERVICE) == 0;
    grpc__health__v1__health_check_request__free_unpacked(r, NULL);
    if (!h->is_known && !h->is_watch)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "health: unknown service");
    return CSL_OK;
}

static void on_recv(void *self, bool ok)
{
    struct csl_grpc__health *h = self;
    struct csl_grpc__server *s = h->server;
    struct csl_err err = {.msg = ""};
    (void)ok;
    enum csl_code code = read_request(h, &err);
    csl_mutex_lock(&s->mu);
    if (code == CSL_OK && h->is_watch) {
        h->next = s->watches;
        h->at = &s->watches;
        if (h->next != NULL)
            h->next->at = &h->next;
        s->watches = h;
        h->is_listed = true;
        h->must_end = s->is_stopping;
    }
    pump(h, code, &err);
    csl_mutex_unlock(&s->mu);
    csl_grpc__call_drop(&h->base);
}

static void on_close(void *self, bool ok)
{
    struct csl_grpc__health *h = self;
    (void)ok;
    csl_mutex_lock(&h->server->mu);
    h->was_ended = true; /* nothing more can be sent */
    csl_mutex_unlock(&h->server->mu);
    csl_grpc__call_drop(&h->base);
}

void csl_grpc__health_changed(struct csl_grpc__server *s)
{
    for (struct csl_grpc__health *h = s->watches; h != NULL; h = h->next)
        pump(h, CSL_OK, NULL);
}

void csl_grpc__health_end_all(struct csl_grpc__server *s)
{
    for (struct csl_grpc__health *h = s->watches; h != NULL; h = h->next) {
        h->must_end = true;
        pump(h, CSL_OK, NULL);
    }
}

enum csl_code csl_grpc__health_accept(struct csl_grpc__server *s, grpc_call *call, bool is_watch,
                                      struct csl_err *err)
{
    struct csl_grpc__health *h = csl_alloc(sizeof(*h));
    if (h == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "health");
    enum csl_code code = csl_grpc__small_enter(s, err);
    if (code != CSL_OK) {
        csl_free(h);
        return code;
    }
    h->server = s;
    h->is_watch = is_watch;
    h->sent = -1;
    csl_grpc__tag_init(&h->on_close, on_close, h);
    csl_grpc__tag_init(&h->on_recv, on_recv, h);
    csl_grpc__tag_init(&h->on_send, on_send, h);
    csl_grpc__call_init(&h->base, call, gone, h);
    grpc_op close = csl_grpc__op(GRPC_OP_RECV_CLOSE_ON_SERVER);
    close.data.recv_close_on_server.cancelled = &h->cancelled;
    grpc_op recv = csl_grpc__op(GRPC_OP_RECV_MESSAGE);
    recv.data.recv_message.recv_message = &h->received;
    if (csl_grpc__start(&h->base, &close, 1, &h->on_close))
        (void)csl_grpc__start(&h->base, &recv, 1, &h->on_recv);
    csl_grpc__call_drop(&h->base);
    return CSL_OK;
}
