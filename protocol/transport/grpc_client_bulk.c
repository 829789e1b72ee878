/* protocol/transport/grpc_client_bulk.c - uploads and downloads on the client; the mirror of
 * grpc_bulk.c. */
#include "base/mem.h"
#include "protocol/transport/grpc_internal_client.h"

#include <grpc/impl/codegen/propagation_bits.h>
#include <string.h>

#define RECEIPT_BYTES_MAX 16u

/* ---- ending ---- */

static enum csl_code outcome(const struct csl_grpc__bulk *x)
{
    if (x->code != CSL_OK)
        return x->code;
    if (x->direction == CSL_GRPC_DOWN && x->in.is_finished)
        return CSL_OK; /* all of it is here and verified, whatever happened to the status */
    enum csl_code told = csl_grpc__result_code(&x->result);
    if (told != CSL_OK)
        return told;
    return x->has_receipt ? CSL_OK : CSL_E_PROTO;
}

static void gone(void *self)
{
    struct csl_grpc__bulk *x = self;
    struct csl_grpc__client *c = x->client;
    enum csl_code code = outcome(x);
    csl_grpc__result_log(&x->result, x->direction == CSL_GRPC_UP ? "upload" : "download");
    csl_mutex_lock(&c->mu);
    *x->at = x->next;
    if (x->next != NULL)
        x->next->at = x->at;
    c->bulk_count--;
    csl_mutex_unlock(&c->mu);
    csl_grpc__inflow_abandon(&x->in, code);
    csl_grpc__outflow_close(&x->out);
    if (c->t.up.bulk_done != NULL)
        c->t.up.bulk_done(c->t.up.ctx, x->id, code);
    grpc_byte_buffer_destroy(x->received);
    grpc_byte_buffer_destroy(x->sending);
    grpc_metadata_array_destroy(&x->initial);
    csl_grpc__result_release(&x->result);
    grpc_call_unref(x->base.call);
    csl_free(x);
    csl_mutex_lock(&c->mu);
    c->live_count--;
    csl_cond_broadcast(&c->changed);
    csl_mutex_unlock(&c->mu);
}

static void fail(struct csl_grpc__bulk *x, enum csl_code code)
{
    if (x->code == CSL_OK)
        x->code = code;
    (void)grpc_call_cancel(x->base.call, NULL);
}

/* ---- steps (worker) ---- */

static void start_send(struct csl_grpc__bulk *x, grpc_byte_buffer *message, bool is_last)
{
    grpc_op ops[2] = {csl_grpc__op(GRPC_OP_SEND_MESSAGE),
                      csl_grpc__op(GRPC_OP_SEND_CLOSE_FROM_CLIENT)};
    grpc_byte_buffer_destroy(x->sending);
    x->sending = message;
    x->is_last = is_last;
    ops[0].data.send_message.send_message = message;
    (void)csl_grpc__start(&x->base, ops, is_last ? 2 : 1, &x->on_send);
}

static void start_recv(struct csl_grpc__bulk *x)
{
    grpc_op op = csl_grpc__op(GRPC_OP_RECV_MESSAGE);
    op.data.recv_message.recv_message = &x->received;
    (void)csl_grpc__start(&x->base, &op, 1, &x->on_recv);
}

static void step_upload(struct csl_grpc__bulk *x)
{
    struct csl_err err;
    grpc_byte_buffer *message = NULL;
    bool is_last = false;
    enum csl_code code = csl_grpc__outflow_next(&x->out, &message, &is_last, &err);
    if (code == CSL_OK)
        start_send(x, message, is_last);
    else
        fail(x, code);
}

static enum csl_code head_came(void *ctx, struct csl_err *err)
{
    const struct csl_grpc__bulk *x = ctx;
    const struct csl_bulk_head *came = &x->in.head;
    if (came->bytes_total == x->head.bytes_total && came->bytes_offset == x->head.bytes_offset &&
        memcmp(came->ticket, x->head.ticket, sizeof(came->ticket)) == 0)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_PROTO, "download of something else than was asked for");
}

static void step_download(struct csl_grpc__bulk *x)
{
    struct csl_err err;
    if (x->received == NULL)
        return; /* the status says why */
    enum csl_code code = csl_grpc__inflow_take(&x->in, x->received, head_came, x, &err);
    grpc_byte_buffer_destroy(x->received);
    x->received = NULL;
    if (code == CSL_OK)
        start_recv(x);
    else
        fail(x, code);
}

static void run_job(void *self)
{
    struct csl_grpc__bulk *x = self;
    if (x->direction == CSL_GRPC_UP)
        step_upload(x);
    else
        step_download(x);
    csl_grpc__call_drop(&x->base);
}

/* Passes the event's need of the call on to the job. */
static void queue_job(struct csl_grpc__bulk *x)
{
    if (csl_grpc__loop_work(&x->client->loop, &x->job))
        return;
    fail(x, CSL_E_AGAIN); /* cannot happen: more places than transfers */
    csl_grpc__call_drop(&x->base);
}

/* ---- events ---- */

/* message UploadReceipt { uint64 bytes_total = 1; } */
static bool is_receipt(grpc_byte_buffer *buffer, uint64_t bytes_total)
{
    struct csl_err err;
    struct csl_msg m = {0};
    if (csl_grpc__buffer_copy(&m, buffer, RECEIPT_BYTES_MAX, &err) != CSL_OK)
        return false;
    uint64_t v = 0;
    bool is_whole = m.n == 0;
    if (m.n > 1 && m.p[0] == 1 << 3) {
        for (size_t i = 1; i < m.n && i <= 10; i++) {
            v |= (uint64_t)(m.p[i] & 0x7f) << (7 * (i - 1));
            is_whole = (m.p[i] & 0x80) == 0 && i + 1 == m.n;
        }
    }
    csl_msg_release(&m);
    return is_whole && v == bytes_total;
}

static void on_recv(void *self, bool ok)
{
    struct csl_grpc__bulk *x = self;
    if (x->direction == CSL_GRPC_DOWN) {
        queue_job(x);
        return;
    }
    if (ok && x->received != NULL)
        x->has_receipt = is_receipt(x->received, x->head.bytes_total);
    csl_grpc__call_drop(&x->base);
}

static void on_send(void *self, bool ok)
{
    struct csl_grpc__bulk *x = self;
    if (ok && !x->is_last)
        queue_job(x);
    else
        csl_grpc__call_drop(&x->base);
}

static void on_other(void *self, bool ok)
{
    struct csl_grpc__bulk *x = self;
    (void)ok;
    csl_grpc__call_drop(&x->base);
}

/* ---- starting ---- */

/* mu held; the channel must stay until the call is made */
static enum csl_code make_call(struct csl_grpc__bulk *x, struct csl_err *err)
{
    struct csl_grpc__client *c = x->client;
    if (c->is_stopping || c->session == NULL || !c->session->is_open || c->session->is_over)
        return CSL_FAIL(err, CSL_E_UNAVAIL, "not connected");
    if (c->bulk_count >= CSL_GRPC_CLIENT_BULK_MAX)
        return CSL_FAIL(err, CSL_E_AGAIN, "%u transfers at once", CSL_GRPC_CLIENT_BULK_MAX);
    const char *method = x->direction == CSL_GRPC_UP ? CSL_GRPC_UPLOAD : CSL_GRPC_DOWNLOAD;
    grpc_call *call =
        grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->loop.cq,
                                 grpc_slice_from_static_string(method), NULL,
                                 csl_grpc__deadline(csl_grpc__bulk_deadline_ms(&x->head)), NULL);
    csl_grpc__call_init(&x->base, call, gone, x);
    x->next = c->bulks;
    x->at = &c->bulks;
    if (x->next != NULL)
        x->next->at = &x->next;
    c->bulks = x;
    c->bulk_count++;
    c->live_count++;
    return CSL_OK;
}

/* Status and initial metadata are always asked for: without the latter a call whose server died
 * would end only at its deadline. */
static void run(struct csl_grpc__bulk *x)
{
    grpc_op status = csl_grpc__result_op(&x->result);
    grpc_op begin[2] = {csl_grpc__op(GRPC_OP_SEND_INITIAL_METADATA),
                        csl_grpc__op(GRPC_OP_RECV_INITIAL_METADATA)};
    begin[1].data.recv_initial_metadata.recv_initial_metadata = &x->initial;
    if (csl_grpc__start(&x->base, &status, 1, &x->on_end) &&
        csl_grpc__start(&x->base, begin, 2, &x->on_begin)) {
        if (x->direction == CSL_GRPC_UP) {
            start_recv(x);
            csl_grpc__call_need(&x->base);
            queue_job(x);
        } else {
            uint8_t prefix[CSL_CHUNK_PREFIX_MAX];
            size_t n = csl_chunk_write_head(prefix, &x->head);
            start_send(x, csl_grpc__buffer_chunk(prefix, n, grpc_empty_slice()), true);
            start_recv(x);
        }
    }
    csl_grpc__call_drop(&x->base);
}

static enum csl_code begin(struct csl_transport *t, uint64_t bulk_id,
                           const struct csl_bulk_head *head, const struct csl_bulk_source *source,
                           const struct csl_bulk_sink *sink, struct csl_err *err)
{
    struct csl_grpc__client *c = (struct csl_grpc__client *)t;
    if (head->bytes_offset > head->bytes_total)
        return CSL_FAIL(err, CSL_E_INVAL, "offset beyond the end of a transfer");
    struct csl_grpc__bulk *x = csl_alloc(sizeof(*x));
    if (x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "transfer");
    x->client = c;
    x->id = bulk_id;
    x->head = *head;
    x->direction = source != NULL ? CSL_GRPC_UP : CSL_GRPC_DOWN;
    csl_grpc__tag_init(&x->on_begin, on_other, x);
    csl_grpc__tag_init(&x->on_end, on_other, x);
    csl_grpc__tag_init(&x->on_recv, on_recv, x);
    csl_grpc__tag_init(&x->on_send, on_send, x);
    x->job = (struct csl_grpc__job){run_job, x};
    csl_mutex_lock(&c->mu);
    enum csl_code code = make_call(x, err);
    csl_mutex_unlock(&c->mu);
    if (code != CSL_OK) {
        csl_free(x);
        return code;
    }
    grpc_metadata_array_init(&x->initial);
    csl_grpc__result_init(&x->result);
    x->out.head = *head;
    x->out.has_source = source != NULL;
    if (source != NULL)
        x->out.source = *source;
    x->in.has_sink = sink != NULL;
    if (sink != NULL)
        x->in.sink = *sink;
    run(x);
    return CSL_OK;
}

enum csl_code csl_grpc__client_upload(struct csl_transport *t, uint64_t bulk_id,
                                      const struct csl_bulk_head *head,
                                      const struct csl_bulk_source *source, struct csl_err *err)
{
    return begin(t, bulk_id, head, source, NULL, err);
}

enum csl_code csl_grpc__client_download(struct csl_transport *t, uint64_t bulk_id,
                                        const struct csl_bulk_head *head,
                                        const struct csl_bulk_sink *sink, struct csl_err *err)
{
    return begin(t, bulk_id, head, NULL, sink, err);
}
