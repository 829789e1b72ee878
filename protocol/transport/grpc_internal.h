/* protocol/transport/grpc_internal.h - shared by grpc_*.c only. */
#ifndef CSL_GRPC_INTERNAL_H
#define CSL_GRPC_INTERNAL_H
#include "base/thread.h"
#include "protocol/transport/grpc.h"
#include "protocol/wire/chunk.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdatomic.h>

#define CSL_GRPC_SESSION       "/consilium.v1.Coordinator/Session"
#define CSL_GRPC_UPLOAD        "/consilium.v1.Coordinator/Upload"
#define CSL_GRPC_DOWNLOAD      "/consilium.v1.Coordinator/Download"
#define CSL_GRPC_HEALTH_CHECK  "/grpc.health.v1.Health/Check"
#define CSL_GRPC_HEALTH_WATCH  "/grpc.health.v1.Health/Watch"
#define CSL_GRPC_REFLECTION    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
#define CSL_GRPC_SERVICE       "consilium.v1.Coordinator"
#define CSL_GRPC_SESSION_KEY   "csl-session" /* initial metadata: the session was accepted */
#define CSL_GRPC_TRACE_KEY     "csl-trace"
#define CSL_GRPC_TRACE_MAX     20
#define CSL_GRPC_MESSAGE_MAX   (2 * 1024 * 1024)         /* of gRPC, above any message of ours */
#define CSL_GRPC_IDENTITY      (1 << GRPC_COMPRESS_NONE) /* what may be spoken: nothing compressed */
#define CSL_GRPC_CHUNK_BYTES   ((size_t)256 * 1024)
#define CSL_GRPC_BULK_MAX      1024u /* transfers at once, all sites together */
#define CSL_GRPC_BULK_SITE_MAX 8u    /* transfers at once of one site */
#define CSL_GRPC_SMALL_MAX     256u  /* health and reflection calls at once */
#define CSL_GRPC_WORKERS_MAX   32u
#define CSL_GRPC_TICK_MS       200u
#define CSL_GRPC_ENDING_MS     5000u /* a session told to end and not read by its peer is cut */

/* ---- grpc_call.c: events, calls, the loop ---- */

/* What a completion queue hands back: done runs once on the poller. A tag is armed when it is
 * handed to gRPC; that also makes visible to thread checkers what the queue orders inside the
 * library. */
struct csl_grpc__tag {
    void (*done)(void *self, bool ok);
    void *self;
    atomic_bool is_armed;
};
void csl_grpc__tag_init(struct csl_grpc__tag *tag, void (*done)(void *self, bool ok), void *self);
void csl_grpc__arm(struct csl_grpc__tag *tag);
/* Work of a bulk call: run once on a worker. At most one is queued per call. */
struct csl_grpc__job {
    void (*run)(void *self);
    void *self;
};

struct csl_grpc__loop {
    grpc_completion_queue *cq; /* NEXT */
    struct csl_thread poller;
    void (*tick)(void *ctx); /* on the poller, every CSL_GRPC_TICK_MS */
    void *tick_ctx;
    struct csl_mailbox *work;
    struct csl_thread workers[CSL_GRPC_WORKERS_MAX];
    uint32_t worker_count;
};
enum csl_code csl_grpc__loop_start(struct csl_grpc__loop *l, const char *name, uint32_t workers,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* All calls must be gone, or going without new batches. Joins every thread. No-op if not started.
 */
void csl_grpc__loop_stop(struct csl_grpc__loop *l);
bool csl_grpc__loop_work(struct csl_grpc__loop *l, struct csl_grpc__job *job);

/* A call counts what still needs it: its maker, each batch in flight, each job. `gone` runs when
 * nothing does, on whichever thread was last; it owns the containing object. */
struct csl_grpc__call {
    grpc_call *call;
    atomic_uint needs;
    void (*gone)(void *self);
    void *self;
};
void csl_grpc__call_init(struct csl_grpc__call *c, grpc_call *call, void (*gone)(void *self),
                         void *self); /* needed by its maker */
void csl_grpc__call_need(struct csl_grpc__call *c);
void csl_grpc__call_drop(struct csl_grpc__call *c);
/* Starts a batch that needs the call until tag->done has dropped it. On false (our misuse of gRPC,
 * logged) the call was cancelled and no event follows. */
bool csl_grpc__start(struct csl_grpc__call *c, const grpc_op *ops, size_t count,
                     struct csl_grpc__tag *tag);
csl_conn csl_grpc__next_conn(void);

/* How a server call ends: op for the last batch. trace is "" for CSL_OK. */
struct csl_grpc__status {
    char trace[CSL_GRPC_TRACE_MAX];
    grpc_metadata metadata;
    grpc_slice details;
};
/* Logs err->msg (or the code) under a fresh trace id; fills *op, which borrows from *s. */
void csl_grpc__status_op(grpc_op *op, struct csl_grpc__status *s, enum csl_code code,
                         const char *what, const struct csl_peer *peer, const struct csl_err *err);

/* What a client call was told at its end. */
struct csl_grpc__result {
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice details;
};
void csl_grpc__result_init(struct csl_grpc__result *r);
void csl_grpc__result_release(struct csl_grpc__result *r);
grpc_op csl_grpc__result_op(struct csl_grpc__result *r);
enum csl_code csl_grpc__result_code(const struct csl_grpc__result *r);
void csl_grpc__result_log(const struct csl_grpc__result *r,
                          const char *what); /* with the trace id */
bool csl_grpc__metadata_has(const grpc_metadata_array *a, const char *key, char *value,
                            size_t value_bytes);
grpc_arg csl_grpc__arg_int(const char *key, int value);
grpc_arg csl_grpc__arg_str(const char *key, const char *value); /* borrows */
grpc_op csl_grpc__op(grpc_op_type type);                        /* an op without data */
gpr_timespec csl_grpc__deadline(uint64_t after_ms);

/* ---- grpc_bytes.c: slices and byte buffers ---- */

grpc_byte_buffer *csl_grpc__buffer_take(struct csl_msg *take_m); /* NULL: out of memory */
/* prefix + data; takes `data` (one reference), which may be empty. */
grpc_byte_buffer *csl_grpc__buffer_chunk(const uint8_t *prefix, size_t prefix_bytes,
                                         grpc_slice data);
enum csl_code csl_grpc__buffer_copy(struct csl_msg *out, grpc_byte_buffer *buffer, size_t bytes_max,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* One Chunk through the reader; data spans go to `data` in order. */
enum csl_code csl_grpc__chunk_read(struct csl_chunk_reader *r, grpc_byte_buffer *buffer,
                                   enum csl_code (*data)(void *ctx, uint64_t offset,
                                                         struct csl_span s, struct csl_err *err),
                                   void *ctx, struct csl_err *err) CSL_MUST_CHECK;

/* ---- grpc_flow.c: the two halves of a bulk transfer, the same on server and client ---- */

enum csl_grpc__direction { CSL_GRPC_UP, CSL_GRPC_DOWN }; /* to, from the coordinator */

/* Chunks -> sink. Head first, data from head.bytes_offset without gaps, digest last. */
struct csl_grpc__inflow {
    struct csl_bulk_head head;
    struct csl_bulk_sink sink;
    uint64_t position; /* next byte expected */
    bool has_sink;     /* sink is ours to end */
    bool has_head, is_open, is_finished;
};
/* Takes one Chunk. `opened` is asked when f->head has come; f->sink must be there afterwards. */
enum csl_code csl_grpc__inflow_take(struct csl_grpc__inflow *f, grpc_byte_buffer *buffer,
                                    enum csl_code (*opened)(void *ctx, struct csl_err *err),
                                    void *ctx, struct csl_err *err) CSL_MUST_CHECK;
void csl_grpc__inflow_abandon(struct csl_grpc__inflow *f, enum csl_code why); /* unless it ended */

/* Source -> Chunks. */
struct csl_grpc__outflow {
    struct csl_bulk_head head;
    struct csl_bulk_source source;
    uint64_t position;
    bool has_source, was_head_sent, was_digest_sent;
};
/* The next Chunk; *is_last with the digest. */
enum csl_code csl_grpc__outflow_next(struct csl_grpc__outflow *f, grpc_byte_buffer **out,
                                     bool *is_last, struct csl_err *err) CSL_MUST_CHECK;
void csl_grpc__outflow_close(struct csl_grpc__outflow *f);
uint64_t csl_grpc__bulk_deadline_ms(const struct csl_bulk_head *head);

/* ---- grpc_session.c: the control stream, the same on server and client ---- */

struct csl_grpc__session {
    struct csl_grpc__call base;
    struct csl_transport *t;
    struct csl_mutex *mu; /* the transport's; also serialises batches of this call */
    csl_conn id;
    bool is_server;
    struct csl_peer peer; /* server only */
    struct csl_grpc__session *next, *bucket_next;

    struct csl_grpc__tag on_begin, on_recv, on_send, on_end;
    grpc_byte_buffer *received;
    int cancelled; /* server */
    grpc_metadata_array initial;
    struct csl_grpc__result result; /* client */
    struct csl_grpc__status status; /* server */

    /* guarded by mu */
    struct csl_msg outbox[CSL_OUTBOX_MESSAGES];
    uint32_t first, count;
    bool is_sending;
    bool is_open;   /* `opened` was, or is being, told */
    bool is_ending; /* we end it, with end_code, after the outbox went out */
    bool was_end_sent;
    bool is_over; /* its end came: nothing can be sent */
    enum csl_code end_code;
    uint64_t cut_at_ns; /* while is_ending */

    /* poller only */
    bool was_opened, was_closed; /* upcalls made */
};
void csl_grpc__session_begin(struct csl_grpc__session *s, struct csl_transport *t,
                             struct csl_mutex *mu, bool is_server, grpc_call *call,
                             void (*gone)(void *self));
/* Poller (server) or supervisor (client): starts the batches of a session that was begun. */
void csl_grpc__session_run(struct csl_grpc__session *s);
enum csl_code csl_grpc__session_send(struct csl_grpc__session *s, struct csl_msg *take_m,
                                     struct csl_err *err);                  /* mu held */
void csl_grpc__session_end(struct csl_grpc__session *s, enum csl_code why); /* mu held */
void csl_grpc__session_tick(struct csl_grpc__session *s, uint64_t now_ns);  /* mu held */
enum csl_code csl_grpc__session_why(const struct csl_grpc__session *s);
void csl_grpc__session_tell_closed(struct csl_grpc__session *s,
                                   enum csl_code why);       /* poller; once */
void csl_grpc__session_release(struct csl_grpc__session *s); /* in gone */

/* ---- grpc_tls.c ---- */

struct csl_grpc__certificates; /* the server's set, reloaded when the files change */
enum csl_code csl_grpc__certificates_new(struct csl_grpc__certificates **out,
                                         const struct csl_grpc_tls *tls,
                                         struct csl_err *err) CSL_MUST_CHECK;
void csl_grpc__certificates_free(struct csl_grpc__certificates *c);
grpc_server_credentials *csl_grpc__server_credentials(struct csl_grpc__certificates *c); /* NULL */
enum csl_code csl_grpc__client_credentials(grpc_channel_credentials **out,
                                           const struct csl_grpc_tls *tls,
                                           struct csl_err *err) CSL_MUST_CHECK;
/* Who is calling. CSL_E_UNAUTH: nobody we can name. is_operator: the coordinator's own certificate,
 * for which *out stays empty. */
enum csl_code csl_grpc__identify(grpc_call *call, const char *trust_domain, struct csl_peer *out,
                                 bool *is_operator, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_grpc__require_tls13(struct csl_err *err) CSL_MUST_CHECK; /* before grpc_init */
uint64_t csl_grpc__random(void);

#endif
