/* protocol/transport/grpc_bulk.c - uploads and downloads on the server. Every step that touches a
 * sink or a source runs on a worker; the next message is asked for, or sent, when the step before
 * it is done, so HTTP/2's window is all the memory a slow disk or a slow peer can cost. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "protocol/transport/grpc_internal_server.h"

#include <string.h>

#define HEAD_WITHIN_NS (60 * CSL_NS_PER_S)

/* ---- ending ---- */

static void gone(void *self)
{
    struct csl_grpc__transfer *x = self;
    struct csl_grpc__server *s = x->server;
    csl_mutex_lock(&s->mu);
    *x->at = x->next;
    if (x->next != NULL)
        x->next->at = x->at;
    s->transfer_count--;
    csl_mutex_unlock(&s->mu);
    csl_grpc__inflow_abandon(&x->in, x->cancelled != 0 ? CSL_E_UNAVAIL : CSL_E_CANCELLED);
    csl_grpc__outflow_close(&x->out);
    grpc_byte_buffer_destroy(x->received);
    grpc_byte_buffer_destroy(x->sending);
    grpc_call_unref(x->base.call);
    csl_free(x);
    csl_grpc__server_call_gone(s);
}

static size_t add_metadata(struct csl_grpc__transfer *x, grpc_op *ops)
{
    if (x->was_metadata_sent)
        return 0;
    x->was_metadata_sent = true;
    ops[0] = csl_grpc__op(GRPC_OP_SEND_INITIAL_METADATA);
    return 1;
}

static size_t add_message(struct csl_grpc__transfer *x, grpc_op *ops, grpc_byte_buffer *message)
{
    grpc_byte_buffer_destroy(x->sending);
    x->sending = message;
    ops[0] = csl_grpc__op(GRPC_OP_SEND_MESSAGE);
    ops[0].data.send_message.send_message = message;
    return 1;
}

/* Sends what is left to send and the status; `last` may be NULL. */
static void finish(struct csl_grpc__transfer *x, grpc_byte_buffer *last, enum csl_code code,
                   const struct csl_err *err)
{
    grpc_op ops[3];
    size_t n = add_metadata(x, ops);
    if (last != NULL)
        n += add_message(x, ops + n, last);
    csl_grpc__status_op(&ops[n++], &x->status, code,
                        x->direction == CSL_GRPC_UP ? "upload" : "download", &x->peer, err);
    x->was_ended = true;
    (void)csl_grpc__start(&x->base, ops, n, &x->on_send);
}

static void set_deadline(struct csl_grpc__transfer *x, const struct csl_bulk_head *head)
{
    atomic_store(&x->deadline_ns,
                 csl_clock_monotonic_ns() + csl_grpc__bulk_deadline_ms(head) * CSL_NS_PER_MS);
}

/* ---- upload (worker) ---- */

static enum csl_code open_sink(void *ctx, struct csl_err *err)
{
    struct csl_grpc__transfer *x = ctx;
    const struct csl_transport_events *up = &x->server->t.up;
    if (up->upload_open == NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "no uploads here");
    set_deadline(x, &x->in.head);
    err->code = CSL_OK;
    enum csl_code code = up->upload_open(up->ctx, &x->peer, &x->in.head, &x->in.sink, err);
    x->in.has_sink = code == CSL_OK;
    return code;
}

static grpc_byte_buffer *receipt(uint64_t bytes_total)
{
    /* message UploadReceipt { uint64 bytes_total = 1; } */
    uint8_t text[11];
    size_t n = 0;
    text[n++] = 1 << 3;
    for (uint64_t v = bytes_total; n < sizeof(text); v >>= 7) {
        text[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        if (v <= 0x7f)
            break;
    }
    return csl_grpc__buffer_chunk(text, bytes_total == 0 ? 0 : n, grpc_empty_slice());
}

static void start_recv(struct csl_grpc__transfer *x)
{
    grpc_op op = csl_grpc__op(GRPC_OP_RECV_MESSAGE);
    op.data.recv_message.recv_message = &x->received;
    (void)csl_grpc__start(&x->base, &op, 1, &x->on_recv);
}

static void step_upload(struct csl_grpc__transfer *x)
{
    struct csl_err err = {.msg = ""};
    enum csl_code code;
    if (x->received != NULL)
        code = csl_grpc__inflow_take(&x->in, x->received, open_sink, x, &err);
    else if (grpc_call_failed_before_recv_message(x->base.call))
        code = CSL_FAIL(&err, CSL_E_UNAVAIL, "upload broke off at %llu of %llu bytes",
                        (unsigned long long)x->in.position,
                        (unsigned long long)x->in.head.bytes_total);
    else
        code = CSL_FAIL(&err, CSL_E_PROTO, "upload ended without a digest");
    grpc_byte_buffer_destroy(x->received);
    x->received = NULL;
    if (code == CSL_OK && !x->in.is_finished) {
        start_recv(x);
        return;
    }
    csl_grpc__inflow_abandon(&x->in, code);
    finish(x, code == CSL_OK ? receipt(x->in.head.bytes_total) : NULL, code, &err);
}

/* ---- download (worker) ---- */

static enum csl_code no_data(void *ctx, uint64_t offset, struct csl_span s, struct csl_err *err)
{
    (void)ctx, (void)offset, (void)s;
    return CSL_FAIL(err, CSL_E_PROTO, "data in the request of a download");
}

static enum csl_code open_source(struct csl_grpc__transfer *x, struct csl_err *err)
{
    const struct csl_transport_events *up = &x->server->t.up;
    struct csl_chunk_reader r;
    if (x->received == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "download without a request");
    enum csl_code code = csl_grpc__chunk_read(&r, x->received, no_data, NULL, err);
    if (code != CSL_OK)
        return code;
    if (r.kind != CSL_CHUNK_HEAD || r.head.bytes_offset > r.head.bytes_total)
        return CSL_FAIL(err, CSL_E_PROTO, "request of a download is not a valid head");
    if (up->download_open == NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "no downloads here");
    x->out.head = r.head;
    set_deadline(x, &r.head);
    code = up->download_open(up->ctx, &x->peer, &x->out.head, &x->out.source, err);
    x->out.has_source = code == CSL_OK;
    return code;
}

static void step_download(struct csl_grpc__transfer *x)
{
    struct csl_err err = {.msg = ""};
    enum csl_code code = CSL_OK;
    if (!x->has_head) {
        x->has_head = true;
        code = open_source(x, &err);
        grpc_byte_buffer_destroy(x->received);
        x->received = NULL;
    }
    grpc_byte_buffer *message = NULL;
    bool is_last = false;
    if (code == CSL_OK)
        code = csl_grpc__outflow_next(&x->out, &message, &is_last, &err);
    if (code != CSL_OK || is_last) {
        csl_grpc__outflow_close(&x->out);
        finish(x, message, code, &err);
        return;
    }
    grpc_op ops[2];
    size_t n = add_metadata(x, ops);
    n += add_message(x, ops + n, message);
    (void)csl_grpc__start(&x->base, ops, n, &x->on_send);
}

/* ---- events ---- */

static void run_job(void *self)
{
    struct csl_grpc__transfer *x = self;
    if (x->direction == CSL_GRPC_UP)
        step_upload(x);
    else
        step_download(x);
    csl_grpc__call_drop(&x->base);
}

/* The event's need of the call passes to the job. */
static void queue_job(struct csl_grpc__transfer *x)
{
    if (csl_grpc__loop_work(&x->server->loop, &x->job))
        return;
    (void)grpc_call_cancel(x->base.call, NULL); /* cannot happen: as many places as transfers */
    csl_grpc__call_drop(&x->base);
}

static void on_recv(void *self, bool ok)
{
    (void)ok; /* a failure shows as no message */
    queue_job(self);
}

static void on_send(void *self, bool ok)
{
    struct csl_grpc__transfer *x = self;
    if (ok && !x->was_ended)
        queue_job(x);
    else
        csl_grpc__call_drop(&x->base);
}

static void on_close(void *self, bool ok)
{
    struct csl_grpc__transfer *x = self;
    (void)ok;
    csl_grpc__call_drop(&x->base);
}

/* mu held */
static enum csl_code check_room(struct csl_grpc__server *s, const struct csl_peer *peer,
                                struct csl_err *err)
{
    uint32_t of_site = 0;
    for (struct csl_grpc__transfer *x = s->transfers; x != NULL; x = x->next)
        of_site += strcmp(x->peer.site_id, peer->site_id) == 0;
    if (s->transfer_count >= CSL_GRPC_BULK_MAX)
        return CSL_FAIL(err, CSL_E_AGAIN, "%u transfers at once", CSL_GRPC_BULK_MAX);
    if (of_site >= CSL_GRPC_BULK_SITE_MAX)
        return CSL_FAIL(err, CSL_E_AGAIN, "%u transfers of one site at once",
                        CSL_GRPC_BULK_SITE_MAX);
    return CSL_OK;
}

enum csl_code csl_grpc__transfer_accept(struct csl_grpc__server *s, grpc_call *call,
                                        const struct csl_peer *peer, enum csl_grpc__direction d,
                                        struct csl_err *err)
{
    struct csl_grpc__transfer *x = csl_alloc(sizeof(*x));
    if (x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "transfer");
    csl_mutex_lock(&s->mu);
    enum csl_code code = check_room(s, peer, err);
    if (code == CSL_OK) {
        s->transfer_count++;
        x->next = s->transfers;
        x->at = &s->transfers;
        if (x->next != NULL)
            x->next->at = &x->next;
        s->transfers = x;
        csl_grpc__call_init(&x->base, call, gone, x);
        x->server = s;
        x->peer = *peer;
        x->direction = d;
        atomic_init(&x->deadline_ns, csl_clock_monotonic_ns() + HEAD_WITHIN_NS);
    }
    csl_mutex_unlock(&s->mu);
    if (code != CSL_OK) {
        csl_free(x);
        return code;
    }
    csl_grpc__tag_init(&x->on_close, on_close, x);
    csl_grpc__tag_init(&x->on_recv, on_recv, x);
    csl_grpc__tag_init(&x->on_send, on_send, x);
    x->job = (struct csl_grpc__job){run_job, x};
    grpc_op close = csl_grpc__op(GRPC_OP_RECV_CLOSE_ON_SERVER);
    close.data.recv_close_on_server.cancelled = &x->cancelled;
    if (csl_grpc__start(&x->base, &close, 1, &x->on_close))
        start_recv(x);
    csl_grpc__call_drop(&x->base);
    return CSL_OK;
}
