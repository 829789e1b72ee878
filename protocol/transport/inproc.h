/* protocol/transport/inproc.h - the transport of tests and simulations: one coordinator and its
 * sites in one thread under virtual time, moving the bytes the gRPC transport would move.
 *
 * A net is a clock, a queue of timers and one link per site. Events at the same instant happen in
 * the order in which they were scheduled, and everything random (jitter, cuts) comes from one
 * stream per site keyed by (seed, site id): the same calls give the same run, and a site's weather
 * does not depend on how many other sites there are. O(log n) per event.
 *
 * Differences from gRPC, all deliberate: time passes only in csl_inproc_step; a refusal reaches the
 * client as the exact csl_code; a send is in flight until it is delivered, so CSL_E_AGAIN means
 * CSL_OUTBOX_MESSAGES undelivered messages.
 *
 * Upcalls come from csl_inproc_step, and from stop (below). They may call send, upload, download,
 * drop and csl_inproc_cut, but neither stop nor free. A NULL upcall is not called: a process that
 * was killed is modelled by clearing `up` before stop and free. */
#ifndef CSL_TRANSPORT_INPROC_H
#define CSL_TRANSPORT_INPROC_H
#include "protocol/transport/transport.h"

struct csl_inproc_config {
    uint64_t seed;
    uint64_t delay_ns, jitter_ns; /* one way: delay plus uniform [0, jitter] */
    double bytes_per_s;           /* of each site's link, each way; 0: infinite */
    double cut_probability; /* [0, 1], per control message and per chunk: the link breaks there */
    uint64_t reconnect_ns;  /* from a break to the next attempt */
    size_t chunk_bytes;     /* data bytes of one chunk; 0: 256 KiB */
};

struct csl_inproc_stats {
    uint64_t bytes_up, bytes_down; /* encoded bytes, control and bulk; up: from sites */
    uint64_t messages;             /* control messages sent, both ways */
    uint64_t chunks;               /* bulk messages delivered, both ways */
    uint64_t sessions;             /* opened */
    uint64_t cuts;                 /* by probability or csl_inproc_cut */
};

struct csl_inproc; /* the net */
enum csl_code csl_inproc_new(struct csl_inproc **out, const struct csl_inproc_config *c,
                             struct csl_err *err) CSL_MUST_CHECK;
void csl_inproc_free(struct csl_inproc *net); /* after its transports were freed */

/* The coordinator's end; one at a time (CSL_E_EXISTS). Set `up`, then start. Owned by the caller. A
 * restart is stop + free of this one and a new one: sites see `closed`, and connect again. */
enum csl_code csl_inproc_server(struct csl_inproc *net, struct csl_transport **out,
                                struct csl_err *err) CSL_MUST_CHECK;
/* A site's end; one at a time per site id (CSL_E_EXISTS), at most CSL_SITES_MAX ids in the life of
 * a net (CSL_E_LIMIT). Without a started server it waits for one. */
enum csl_code csl_inproc_client(struct csl_inproc *net, const char *site_id,
                                struct csl_transport **out, struct csl_err *err) CSL_MUST_CHECK;
/* stop: `closed` and the end of every transfer (abandon, close, bulk_done) are called with
 * CSL_E_CANCELLED before it returns, on this side; the other side learns of it by events. grace_ms
 * is not used. */

uint64_t csl_inproc_now_ns(const struct csl_inproc *net);
uint64_t csl_inproc_next_ns(const struct csl_inproc *net); /* UINT64_MAX: nothing is scheduled */
/* Delivers exactly one event due at or before until_ns and moves the clock to it. false: none was
 * due, and the clock stands at until_ns (stays where it is for UINT64_MAX). */
bool csl_inproc_step(struct csl_inproc *net, uint64_t until_ns);

/* Breaks the site's session and transfers now; what was in flight is lost. Both sides hear
 * `closed` with CSL_E_UNAVAIL at the next steps. No-op for an unknown or unconnected site. */
void csl_inproc_cut(struct csl_inproc *net, const char *site_id);

struct csl_inproc_stats csl_inproc_stats(const struct csl_inproc *net);

#endif
