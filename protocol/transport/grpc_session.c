/* protocol/transport/grpc_session.c - one control stream. Reading: one message at a time, the next
 * when the upcall has returned. Writing: one message at a time, out of a bounded outbox.
 *
 *     begun -> open -> ending -> over -> gone
 *
 * open    server: its initial metadata went out. client: the server's arrived with
 * CSL_GRPC_SESSION_KEY. ending  we end it: nothing new is sent or read, the outbox goes out, then
 * status or half-close. over    the call's end arrived; its code is known. gone    no batch is in
 * flight; `closed` is told here at the latest. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/transport/grpc_internal.h"

#include <string.h>

static void on_begin(void *self, bool ok);
static void on_recv(void *self, bool ok);
static void on_send(void *self, bool ok);
static void on_end(void *self, bool ok);

void csl_grpc__session_begin(struct csl_grpc__session *s, struct csl_transport *t,
                             struct csl_mutex *mu, bool is_server, grpc_call *call,
                             void (*gone)(void *self))
{
    csl_grpc__call_init(&s->base, call, gone, s);
    s->t = t;
    s->mu = mu;
    s->is_server = is_server;
    s->id = csl_grpc__next_conn();
    csl_grpc__tag_init(&s->on_begin, on_begin, s);
    csl_grpc__tag_init(&s->on_recv, on_recv, s);
    csl_grpc__tag_init(&s->on_send, on_send, s);
    csl_grpc__tag_init(&s->on_end, on_end, s);
    grpc_metadata_array_init(&s->initial);
    csl_grpc__result_init(&s->result);
}

void csl_grpc__session_release(struct csl_grpc__session *s)
{
    for (; s->count > 0; s->count--) {
        csl_msg_release(&s->outbox[s->first]);
        s->first = (s->first + 1) % CSL_OUTBOX_MESSAGES;
    }
    grpc_byte_buffer_destroy(s->received);
    grpc_metadata_array_destroy(&s->initial);
    csl_grpc__result_release(&s->result);
    grpc_call_unref(s->base.call);
}

/* ---- writing (mu held) ---- */

static void send_first(struct csl_grpc__session *s)
{
    grpc_byte_buffer *buffer = csl_grpc__buffer_take(&s->outbox[s->first]);
    s->first = (s->first + 1) % CSL_OUTBOX_MESSAGES;
    s->count--;
    grpc_op op = csl_grpc__op(GRPC_OP_SEND_MESSAGE);
    op.data.send_message.send_message = buffer;
    s->is_sending = csl_grpc__start(&s->base, &op, 1, &s->on_send);
    grpc_byte_buffer_destroy(buffer); /* the call holds the slices */
}

static void send_end(struct csl_grpc__session *s)
{
    grpc_op op;
    if (s->is_server)
        csl_grpc__status_op(&op, &s->status, s->end_code, "session", &s->peer, NULL);
    else
        op = csl_grpc__op(GRPC_OP_SEND_CLOSE_FROM_CLIENT);
    s->was_end_sent = true;
    s->is_sending = csl_grpc__start(&s->base, &op, 1, &s->on_send);
}

static void pump(struct csl_grpc__session *s)
{
    if (s->is_sending || s->is_over || s->was_end_sent)
        return;
    if (s->count > 0)
        send_first(s);
    else if (s->is_ending)
        send_end(s);
}

enum csl_code csl_grpc__session_send(struct csl_grpc__session *s, struct csl_msg *take_m,
                                     struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    if (s->is_over || s->is_ending)
        code = CSL_FAIL(err, CSL_E_NOTFOUND, "connection %llu is gone", (unsigned long long)s->id);
    else if (take_m->n > CSL_MSG_BYTES_MAX)
        code = CSL_FAIL(err, CSL_E_LIMIT, "message of %zu bytes; at most %u", take_m->n,
                        CSL_MSG_BYTES_MAX);
    else if (s->count == CSL_OUTBOX_MESSAGES)
        code = CSL_FAIL(err, CSL_E_AGAIN, "outbox of connection %llu is full",
                        (unsigned long long)s->id);
    if (code != CSL_OK) {
        csl_msg_release(take_m);
        return code;
    }
    s->outbox[(s->first + s->count) % CSL_OUTBOX_MESSAGES] = *take_m;
    *take_m = (struct csl_msg){0};
    s->count++;
    pump(s);
    return CSL_OK;
}

void csl_grpc__session_end(struct csl_grpc__session *s, enum csl_code why)
{
    if (s->is_ending || s->is_over)
        return;
    s->is_ending = true;
    s->end_code = why;
    s->cut_at_ns = csl_clock_monotonic_ns() + CSL_GRPC_ENDING_MS * CSL_NS_PER_MS;
    pump(s);
}

void csl_grpc__session_tick(struct csl_grpc__session *s, uint64_t now_ns)
{
    if (s->is_ending && !s->is_over && now_ns >= s->cut_at_ns)
        (void)grpc_call_cancel(s->base.call, NULL);
}

static void on_send(void *self, bool ok)
{
    struct csl_grpc__session *s = self;
    csl_mutex_lock(s->mu);
    s->is_sending = false;
    if (ok)
        pump(s);
    csl_mutex_unlock(s->mu); /* when it failed, the call's end is on its way */
    csl_grpc__call_drop(&s->base);
}

/* ---- reading (poller) ---- */

static void tell_opened(struct csl_grpc__session *s)
{
    if (s->was_opened || s->was_closed)
        return;
    s->was_opened = true;
    csl_mutex_lock(s->mu);
    s->is_open = true;
    csl_mutex_unlock(s->mu);
    if (s->t->up.opened != NULL)
        s->t->up.opened(s->t->up.ctx, s->id, s->is_server ? &s->peer : NULL);
}

void csl_grpc__session_tell_closed(struct csl_grpc__session *s, enum csl_code why)
{
    bool must_tell = s->was_opened && !s->was_closed;
    s->was_closed = true;
    if (must_tell && s->t->up.closed != NULL)
        s->t->up.closed(s->t->up.ctx, s->id, why);
}

static void start_recv(struct csl_grpc__session *s)
{
    grpc_op op = csl_grpc__op(GRPC_OP_RECV_MESSAGE);
    op.data.recv_message.recv_message = &s->received;
    csl_mutex_lock(s->mu);
    if (!s->is_over)
        (void)csl_grpc__start(&s->base, &op, 1, &s->on_recv);
    csl_mutex_unlock(s->mu);
}

/* false: the session must not be read further. */
static bool deliver(struct csl_grpc__session *s)
{
    struct csl_err err;
    struct csl_msg m = {0};
    enum csl_code code = csl_grpc__buffer_copy(&m, s->received, CSL_MSG_BYTES_MAX, &err);
    grpc_byte_buffer_destroy(s->received);
    s->received = NULL;
    csl_mutex_lock(s->mu);
    bool is_wanted = !s->is_ending && !s->was_closed;
    if (code != CSL_OK) {
        csl_log_err(CSL_LOG_WARN, "grpc.message_refused", &err);
        csl_grpc__session_end(s, code);
        is_wanted = false;
    }
    csl_mutex_unlock(s->mu);
    if (is_wanted && s->t->up.message != NULL)
        s->t->up.message(s->t->up.ctx, s->id, &m); /* takes m */
    else
        csl_msg_release(&m);
    return is_wanted;
}

static void on_recv(void *self, bool ok)
{
    struct csl_grpc__session *s = self;
    if (ok && s->received != NULL) {
        if (deliver(s))
            start_recv(s);
    } else if (s->is_server && !grpc_call_failed_before_recv_message(s->base.call)) {
        csl_mutex_lock(s->mu);
        csl_grpc__session_end(s, CSL_OK); /* the site hung up in order */
        csl_mutex_unlock(s->mu);
    }
    csl_grpc__call_drop(&s->base);
}

/* client only: the server answered, with or without accepting */
static void on_begin(void *self, bool ok)
{
    struct csl_grpc__session *s = self;
    if (ok && csl_grpc__metadata_has(&s->initial, CSL_GRPC_SESSION_KEY, NULL, 0)) {
        tell_opened(s);
        start_recv(s);
    }
    csl_grpc__call_drop(&s->base);
}

static void on_end(void *self, bool ok)
{
    struct csl_grpc__session *s = self;
    (void)ok; /* always true by contract of gRPC */
    csl_mutex_lock(s->mu);
    s->is_over = true;
    csl_mutex_unlock(s->mu);
    csl_grpc__call_drop(&s->base);
}

enum csl_code csl_grpc__session_why(const struct csl_grpc__session *s)
{
    enum csl_code told = s->is_server ? s->cancelled != 0 ? CSL_E_UNAVAIL : CSL_OK
                                      : csl_grpc__result_code(&s->result);
    enum csl_code why = s->is_ending && s->end_code != CSL_OK ? s->end_code : told;
    return why == CSL_OK ? CSL_E_END : why;
}

/* ---- starting ---- */

static void run_server(struct csl_grpc__session *s)
{
    grpc_metadata accepted;
    memset(&accepted, 0, sizeof(accepted));
    accepted.key = grpc_slice_from_static_string(CSL_GRPC_SESSION_KEY);
    accepted.value = grpc_slice_from_static_string("open");
    grpc_op close = csl_grpc__op(GRPC_OP_RECV_CLOSE_ON_SERVER);
    close.data.recv_close_on_server.cancelled = &s->cancelled;
    grpc_op begin = csl_grpc__op(GRPC_OP_SEND_INITIAL_METADATA);
    begin.data.send_initial_metadata.metadata = &accepted;
    begin.data.send_initial_metadata.count = 1;
    csl_mutex_lock(s->mu);
    bool is_running = csl_grpc__start(&s->base, &close, 1, &s->on_end);
    s->is_over = !is_running;
    if (is_running)
        s->is_sending = csl_grpc__start(&s->base, &begin, 1, &s->on_send);
    csl_mutex_unlock(s->mu);
    if (is_running) {
        tell_opened(s);
        start_recv(s);
    }
}

static void run_client(struct csl_grpc__session *s)
{
    grpc_op begin[2] = {csl_grpc__op(GRPC_OP_SEND_INITIAL_METADATA),
                        csl_grpc__op(GRPC_OP_RECV_INITIAL_METADATA)};
    begin[1].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
    grpc_op status = csl_grpc__result_op(&s->result);
    csl_mutex_lock(s->mu);
    bool is_running = csl_grpc__start(&s->base, &status, 1, &s->on_end);
    s->is_over = !is_running;
    if (is_running)
        (void)csl_grpc__start(&s->base, begin, 2, &s->on_begin);
    csl_mutex_unlock(s->mu);
}

void csl_grpc__session_run(struct csl_grpc__session *s)
{
    if (s->is_server)
        run_server(s);
    else
        run_client(s);
}
