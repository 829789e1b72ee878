/* protocol/transport/grpc_call.c - the event loop and what all calls have in common. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "protocol/transport/grpc_internal.h"

#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

/* ---- loop ---- */

static void poll_events(void *arg)
{
    struct csl_grpc__loop *l = arg;
    uint64_t tick_ns = csl_clock_monotonic_ns() + CSL_GRPC_TICK_MS * CSL_NS_PER_MS;
    for (;;) {
        uint64_t now = csl_clock_monotonic_ns();
        if (now >= tick_ns) {
            if (l->tick != NULL)
                l->tick(l->tick_ctx);
            tick_ns = now + CSL_GRPC_TICK_MS * CSL_NS_PER_MS;
        }
        uint64_t left_ms = (tick_ns - now) / CSL_NS_PER_MS + 1;
        grpc_event e = grpc_completion_queue_next(l->cq, csl_grpc__deadline(left_ms), NULL);
        if (e.type == GRPC_QUEUE_SHUTDOWN)
            return;
        if (e.type == GRPC_OP_COMPLETE) {
            struct csl_grpc__tag *tag = e.tag;
            bool was_armed = atomic_exchange(&tag->is_armed, false);
            CSL_ASSERT(was_armed);
            tag->done(tag->self, e.success != 0);
        }
    }
}

static void run_jobs(void *arg)
{
    struct csl_grpc__loop *l = arg;
    for (struct csl_grpc__job *job; (job = csl_mailbox_pop(l->work, UINT64_MAX)) != NULL;)
        job->run(job->self);
}

enum csl_code csl_grpc__loop_start(struct csl_grpc__loop *l, const char *name, uint32_t workers,
                                   struct csl_err *err)
{
    CSL_ASSERT(workers > 0 && workers <= CSL_GRPC_WORKERS_MAX);
    char text[16];
    enum csl_code code = csl_mailbox_new(&l->work, CSL_GRPC_BULK_MAX, err);
    if (code != CSL_OK)
        return code;
    (void)snprintf(text, sizeof(text), "%s-bulk", name);
    for (uint32_t i = 0; i < workers && code == CSL_OK; i++) {
        code = csl_thread_start(&l->workers[i], text, run_jobs, l, err);
        l->worker_count += code == CSL_OK;
    }
    (void)snprintf(text, sizeof(text), "%s-poll", name);
    if (code == CSL_OK)
        code = csl_thread_start(&l->poller, text, poll_events, l, err);
    return code;
}

void csl_grpc__loop_stop(struct csl_grpc__loop *l)
{
    if (l->cq != NULL) {
        grpc_completion_queue_shutdown(l->cq);
        if (l->poller.is_running)
            csl_thread_join(&l->poller); /* it drained the queue */
        else
            while (
                grpc_completion_queue_next(l->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
                GRPC_QUEUE_SHUTDOWN)
                ;
        grpc_completion_queue_destroy(l->cq);
        l->cq = NULL;
    }
    if (l->work != NULL) {
        csl_mailbox_close(l->work);
        for (uint32_t i = 0; i < l->worker_count; i++)
            csl_thread_join(&l->workers[i]);
        csl_mailbox_free(l->work);
        l->work = NULL;
        l->worker_count = 0;
    }
}

bool csl_grpc__loop_work(struct csl_grpc__loop *l, struct csl_grpc__job *job)
{
    return csl_mailbox_push(l->work, job) == CSL_OK;
}

gpr_timespec csl_grpc__deadline(uint64_t after_ms)
{
    int64_t ms = after_ms > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)after_ms;
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

/* ---- calls ---- */

csl_conn csl_grpc__next_conn(void)
{
    static atomic_uint_fast64_t last;
    return atomic_fetch_add(&last, 1) + 1;
}

void csl_grpc__call_init(struct csl_grpc__call *c, grpc_call *call, void (*gone)(void *self),
                         void *self)
{
    c->call = call;
    c->gone = gone;
    c->self = self;
    atomic_init(&c->needs, 1);
}

void csl_grpc__call_need(struct csl_grpc__call *c)
{
    unsigned before = atomic_fetch_add(&c->needs, 1);
    CSL_ASSERT(before > 0);
}

void csl_grpc__call_drop(struct csl_grpc__call *c)
{
    unsigned before = atomic_fetch_sub(&c->needs, 1);
    CSL_ASSERT(before > 0);
    if (before == 1)
        c->gone(c->self);
}

void csl_grpc__tag_init(struct csl_grpc__tag *tag, void (*done)(void *self, bool ok), void *self)
{
    tag->done = done;
    tag->self = self;
    atomic_store_explicit(&tag->is_armed, false, memory_order_relaxed);
}

void csl_grpc__arm(struct csl_grpc__tag *tag)
{
    bool was_armed = atomic_exchange(&tag->is_armed, true);
    CSL_ASSERT(!was_armed);
}

bool csl_grpc__start(struct csl_grpc__call *c, const grpc_op *ops, size_t count,
                     struct csl_grpc__tag *tag)
{
    csl_grpc__call_need(c);
    csl_grpc__arm(tag);
    grpc_call_error e = grpc_call_start_batch(c->call, ops, count, tag, NULL);
    if (e == GRPC_CALL_OK)
        return true;
    csl_log(CSL_LOG_ERROR, "grpc.misuse", CSL_STR("error", grpc_call_error_to_string(e)),
            CSL_U64("op", (uint64_t)ops[0].op));
    atomic_store(&tag->is_armed, false);
    (void)grpc_call_cancel(c->call, NULL);
    csl_grpc__call_drop(c);
    return false;
}

grpc_op csl_grpc__op(grpc_op_type type)
{
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = type;
    return op;
}

union key { /* gRPC's struct lacks a const that its contract grants */
    const char *in;
    char *out;
};

grpc_arg csl_grpc__arg_int(const char *key, int value)
{
    union key k = {.in = key};
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = k.out, .value.integer = value};
}

grpc_arg csl_grpc__arg_str(const char *key, const char *value)
{
    union key k = {.in = key}, v = {.in = value};
    return (grpc_arg){.type = GRPC_ARG_STRING, .key = k.out, .value.string = v.out};
}

/* ---- how a server call ends ---- */

void csl_grpc__status_op(grpc_op *op, struct csl_grpc__status *s, enum csl_code code,
                         const char *what, const struct csl_peer *peer, const struct csl_err *err)
{
    *op = csl_grpc__op(GRPC_OP_SEND_STATUS_FROM_SERVER);
    op->data.send_status_from_server.status = (grpc_status_code)csl_code_grpc(code);
    s->trace[0] = '\0';
    if (code == CSL_OK)
        return;
    (void)snprintf(s->trace, sizeof(s->trace), "%016llx", (unsigned long long)csl_grpc__random());
    memset(&s->metadata, 0, sizeof(s->metadata));
    s->metadata.key = grpc_slice_from_static_string(CSL_GRPC_TRACE_KEY);
    /* Short enough to be stored in the slice itself: nothing to free, nothing to outlive. */
    s->metadata.value = grpc_slice_from_copied_string(s->trace);
    CSL_ASSERT(s->metadata.value.refcount == NULL);
    s->details = grpc_slice_from_static_string(csl_code_text(code));
    op->data.send_status_from_server.status_details = &s->details;
    op->data.send_status_from_server.trailing_metadata = &s->metadata;
    op->data.send_status_from_server.trailing_metadata_count = 1;
    bool is_routine = code == CSL_E_CANCELLED || code == CSL_E_UNAVAIL || code == CSL_E_AGAIN;
    csl_log(is_routine ? CSL_LOG_INFO : CSL_LOG_WARN, "grpc.ended", CSL_STR("call", what),
            CSL_STR("site", peer == NULL ? "" : peer->site_id),
            CSL_STR("code", csl_code_name(code)), CSL_STR("trace", s->trace),
            CSL_STR("detail", err == NULL ? "" : err->msg));
}

/* ---- what a client call was told ---- */

void csl_grpc__result_init(struct csl_grpc__result *r)
{
    grpc_metadata_array_init(&r->trailing);
    r->status = GRPC_STATUS_UNKNOWN;
    r->details = grpc_empty_slice();
}

void csl_grpc__result_release(struct csl_grpc__result *r)
{
    grpc_metadata_array_destroy(&r->trailing);
    grpc_slice_unref(r->details);
}

grpc_op csl_grpc__result_op(struct csl_grpc__result *r)
{
    grpc_op op = csl_grpc__op(GRPC_OP_RECV_STATUS_ON_CLIENT);
    op.data.recv_status_on_client.trailing_metadata = &r->trailing;
    op.data.recv_status_on_client.status = &r->status;
    op.data.recv_status_on_client.status_details = &r->details;
    return op;
}

enum csl_code csl_grpc__result_code(const struct csl_grpc__result *r)
{
    return csl_code_from_grpc((int)r->status);
}

bool csl_grpc__metadata_has(const grpc_metadata_array *a, const char *key, char *value,
                            size_t value_bytes)
{
    for (size_t i = 0; i < a->count; i++) {
        if (grpc_slice_str_cmp(a->metadata[i].key, key) != 0)
            continue;
        if (value != NULL)
            csl_str_escape(value, value_bytes,
                           (const char *)GRPC_SLICE_START_PTR(a->metadata[i].value),
                           GRPC_SLICE_LENGTH(a->metadata[i].value));
        return true;
    }
    return false;
}

void csl_grpc__result_log(const struct csl_grpc__result *r, const char *what)
{
    char trace[CSL_GRPC_TRACE_MAX + 4] = "", details[200];
    (void)csl_grpc__metadata_has(&r->trailing, CSL_GRPC_TRACE_KEY, trace, sizeof(trace));
    csl_str_escape(details, sizeof(details), (const char *)GRPC_SLICE_START_PTR(r->details),
                   GRPC_SLICE_LENGTH(r->details));
    csl_log(r->status == GRPC_STATUS_OK ? CSL_LOG_DEBUG : CSL_LOG_INFO, "grpc.told",
            CSL_STR("call", what), CSL_I64("status", (int64_t)r->status),
            CSL_STR("details", details), CSL_STR("trace", trace));
}
