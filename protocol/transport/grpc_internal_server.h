/* protocol/transport/grpc_internal_server.h - the coordinator's end; shared by its grpc_*.c only.
 */
#ifndef CSL_GRPC_INTERNAL_SERVER_H
#define CSL_GRPC_INTERNAL_SERVER_H
#include "protocol/transport/grpc_internal.h"

#define CSL_GRPC_BUCKETS 256u
#define CSL_GRPC_ACCEPTS 16u

struct csl_grpc__server;
struct csl_grpc__accept { /* one posted request for a call of any method */
    struct csl_grpc__tag tag;
    struct csl_grpc__server *server;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};
struct csl_grpc__server {
    struct csl_transport t; /* first */
    struct csl_grpc_server_config config;
    struct csl_grpc__loop loop;
    struct csl_grpc__certificates *certificates;
    grpc_server *server;
    uint16_t port;
    struct csl_grpc__accept accepts[CSL_GRPC_ACCEPTS];
    struct csl_grpc__tag on_shutdown;
    uint64_t readmit_at_ns; /* poller only */

    struct csl_mutex mu;
    struct csl_cond changed;
    /* guarded by mu */
    struct csl_grpc__session *sessions; /* changed on the poller only */
    struct csl_grpc__session *buckets[CSL_GRPC_BUCKETS];
    struct csl_grpc__transfer *transfers;
    struct csl_grpc__health *watches;
    uint32_t transfer_count, small_count, live_count; /* live: every call not gone yet */
    bool is_started, is_stopping, was_shut_down, is_serving;
};
enum csl_code csl_grpc__small_enter(struct csl_grpc__server *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_grpc__server_call_gone(struct csl_grpc__server *s); /* counts a live call off */
/* Answers a call that gets no service; takes `call`, counted as live by the caller. */
void csl_grpc__refuse(struct csl_grpc__server *s, grpc_call *call, const char *method,
                      const struct csl_peer *peer, const struct csl_err *why);

struct csl_grpc__transfer { /* an Upload or Download on the server (grpc_bulk.c) */
    struct csl_grpc__call base;
    struct csl_grpc__server *server;
    struct csl_grpc__transfer *next, **at;
    struct csl_peer peer;
    enum csl_grpc__direction direction;
    struct csl_grpc__tag on_close, on_recv, on_send;
    struct csl_grpc__job job;
    grpc_byte_buffer *received, *sending;
    struct csl_grpc__inflow in;
    struct csl_grpc__outflow out;
    struct csl_grpc__status status;
    int cancelled;
    bool has_head, was_metadata_sent, is_last, was_ended;
    atomic_uint_fast64_t deadline_ns;
};
enum csl_code csl_grpc__transfer_accept(struct csl_grpc__server *s, grpc_call *call,
                                        const struct csl_peer *peer, enum csl_grpc__direction d,
                                        struct csl_err *err); /* takes call on CSL_OK */

/* grpc_health.c, grpc_reflection.c. Take call on CSL_OK. */
enum csl_code csl_grpc__health_accept(struct csl_grpc__server *s, grpc_call *call, bool is_watch,
                                      struct csl_err *err);
void csl_grpc__health_changed(struct csl_grpc__server *s); /* mu held */
void csl_grpc__health_end_all(struct csl_grpc__server *s); /* mu held: ends every watch */
enum csl_code csl_grpc__reflection_accept(struct csl_grpc__server *s, grpc_call *call,
                                          struct csl_err *err);
/* The answer to one encoded ServerReflectionRequest. */
enum csl_code csl_grpc__reflection_answer(struct csl_span request, struct csl_msg *out,
                                          struct csl_err *err) CSL_MUST_CHECK;

#endif
