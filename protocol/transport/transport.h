/* protocol/transport/transport.h - moves bytes between one coordinator and its sites. Knows nothing
 * of rounds. Two implementations: grpc_*.c (mTLS, threads) and inproc.c (one thread, virtual time,
 * scripted loss and delay), which move exactly the same bytes.
 *
 * Control messages are owned buffers, handed up once each and in order per connection. Bulk data is
 * pushed into a sink or pulled from a source on the transport's own thread. */
#ifndef CSL_TRANSPORT_H
#define CSL_TRANSPORT_H
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>

typedef uint64_t csl_conn; /* never 0, never reused within a process */

struct csl_peer {
    char site_id[CSL_ID_MAX]; /* from the certificate's SPIFFE URI, never from metadata */
    uint8_t spki_sha256[32];  /* pin, already compared with the roster */
};

/* What a bulk transfer carries; checked before the first data byte. */
struct csl_bulk_head {
    uint8_t ticket[16]; /* issued by the coordinator's core, single use */
    uint64_t bytes_total;
    uint64_t bytes_offset; /* > 0 when resuming: the first byte sent */
};

/* Receiving end. Called in order, one call at a time, with borrowed spans of any length and
 * alignment. An error ends the transfer; exactly one of finish and abandon is called, last. */
struct csl_bulk_sink {
    void *self;
    enum csl_code (*write)(void *self, struct csl_span s, struct csl_err *err);
    /* All bytes came; digest as sent by the peer: the sink verifies it over the whole object. */
    enum csl_code (*finish)(void *self, const uint8_t digest[32], struct csl_err *err);
    void (*abandon)(void *self, enum csl_code why);
};
/* Sending end: up to `capacity` bytes from the current position into buffer. *n = 0 with CSL_OK at
 * the end. digest: of the whole object, asked for after the end. close is called exactly once. */
struct csl_bulk_source {
    void *self;
    enum csl_code (*read)(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                          struct csl_err *err);
    enum csl_code (*digest)(void *self, uint8_t out[32], struct csl_err *err);
    void (*close)(void *self);
};

/* Upcalls, on the transport's threads (grpc) or inside csl_inproc_run (inproc). None may block for
 * long. After `closed`, nothing more comes for that connection. */
struct csl_transport_events {
    void *ctx;
    /* server: peer is the site. client: peer is NULL. */
    void (*opened)(void *ctx, csl_conn c, const struct csl_peer *peer);
    void (*message)(void *ctx, csl_conn c, struct csl_msg *take_m);
    void (*closed)(void *ctx, csl_conn c, enum csl_code why);
    /* server only: a site opened an upload or a download with this head. `peer` is authenticated
     * for this call. Fill *out, or refuse with the code the peer shall see. */
    enum csl_code (*upload_open)(void *ctx, const struct csl_peer *peer,
                                 const struct csl_bulk_head *head, struct csl_bulk_sink *out,
                                 struct csl_err *err);
    enum csl_code (*download_open)(void *ctx, const struct csl_peer *peer,
                                   const struct csl_bulk_head *head, struct csl_bulk_source *out,
                                   struct csl_err *err);
    /* client only: a transfer started with upload() or download() is over. */
    void (*bulk_done)(void *ctx, uint64_t bulk_id, enum csl_code code);
};

struct csl_transport;
struct csl_transport_ops {
    const char *name; /* "grpc", "inproc" */
    /* server: binds and listens. client: connects, and reconnects with full-jitter back-off for
     * ever; each session that comes up is `opened` under a new csl_conn. */
    enum csl_code (*start)(struct csl_transport *t, struct csl_err *err);
    /* Consumes *take_m whatever it returns. CSL_E_AGAIN: this peer's outbox is full.
     * CSL_E_NOTFOUND: the connection is gone. Any thread. */
    enum csl_code (*send)(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                          struct csl_err *err);
    /* server only: messages for this peer that have not left yet, of CSL_OUTBOX_MESSAGES; as many
     * where the connection is gone. Any thread. */
    uint32_t (*waiting)(struct csl_transport *t, csl_conn c);
    /* client only; returns at once, bulk_done follows exactly once if CSL_OK was returned. The
     * source or sink is consumed only on CSL_OK. */
    enum csl_code (*upload)(struct csl_transport *t, uint64_t bulk_id,
                            const struct csl_bulk_head *head, const struct csl_bulk_source *source,
                            struct csl_err *err);
    enum csl_code (*download)(struct csl_transport *t, uint64_t bulk_id,
                              const struct csl_bulk_head *head, const struct csl_bulk_sink *sink,
                              struct csl_err *err);
    void (*drop)(struct csl_transport *t, csl_conn c, enum csl_code why); /* closed() follows */
    void (*stop)(struct csl_transport *t,
                 uint32_t grace_ms);       /* returns when no upcall can follow */
    void (*free)(struct csl_transport *t); /* after stop */
};
struct csl_transport { /* implementations embed this first */
    const struct csl_transport_ops *ops;
    struct csl_transport_events up; /* set before start */
};
#endif
