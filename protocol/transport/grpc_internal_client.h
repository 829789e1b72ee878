/* protocol/transport/grpc_internal_client.h - a site's end; shared by its grpc_*.c only. */
#ifndef CSL_GRPC_INTERNAL_CLIENT_H
#define CSL_GRPC_INTERNAL_CLIENT_H
#include "protocol/transport/grpc_internal.h"

#define CSL_GRPC_CLIENT_BULK_MAX 8u

struct csl_grpc__client {
    struct csl_transport t; /* first */
    struct csl_grpc_client_config config;
    struct csl_grpc__loop loop;
    struct csl_thread supervisor; /* connects, waits, connects again */

    struct csl_mutex mu;
    struct csl_cond changed;
    /* guarded by mu */
    grpc_channel *channel; /* of the session in being, or of the last one */
    struct csl_grpc__session *session;
    uint64_t session_started_ns;
    struct csl_grpc__bulk *bulks;
    uint32_t bulk_count, live_count;
    bool is_started, is_stopping;
    bool was_open;           /* the last session was opened before it ended */
    enum csl_code last_code; /* why it ended */
};

struct csl_grpc__bulk { /* an Upload or Download on the client (grpc_client_bulk.c) */
    struct csl_grpc__call base;
    struct csl_grpc__client *client;
    struct csl_grpc__bulk *next, **at;
    uint64_t id;
    enum csl_grpc__direction direction;
    struct csl_grpc__tag on_begin, on_recv, on_send, on_end;
    struct csl_grpc__job job;
    grpc_byte_buffer *received, *sending;
    struct csl_bulk_head head;
    struct csl_grpc__inflow in;
    struct csl_grpc__outflow out;
    grpc_metadata_array initial;
    struct csl_grpc__result result;
    enum csl_code code; /* what went wrong here; one job at a time */
    bool is_last, has_receipt;
};
enum csl_code csl_grpc__client_upload(struct csl_transport *t, uint64_t bulk_id,
                                      const struct csl_bulk_head *head,
                                      const struct csl_bulk_source *source, struct csl_err *err);
enum csl_code csl_grpc__client_download(struct csl_transport *t, uint64_t bulk_id,
                                        const struct csl_bulk_head *head,
                                        const struct csl_bulk_sink *sink, struct csl_err *err);

#endif
