/* protocol/transport/inproc_net.h - internal to inproc*.c: the net, its timers, and one link per
 * site.
 *
 * Every pending thing is a timer inside the object it concerns, so cancelling is exact, nothing
 * stale is ever delivered, and the queue's size is bounded when a link is made. A lane's messages
 * wait in a list; only its first is in the queue. */
#ifndef CSL_TRANSPORT_INPROC_NET_H
#define CSL_TRANSPORT_INPROC_NET_H
#include "protocol/transport/inproc.h"

enum csl_inproc_side { CSL_INPROC_SERVER, CSL_INPROC_CLIENT };
#define CSL_INPROC_TRANSFERS_MAX 4 /* at the same time per site */
#define CSL_INPROC_LINK_TIMERS   (1 + 2 + 2 + 3 * CSL_INPROC_TRANSFERS_MAX)

struct csl_inproc_timer {
    uint64_t at_ns, order; /* order: of scheduling, breaks ties */
    size_t place;          /* index in the queue plus one; 0: not scheduled */
    void (*fire)(void *owner, uint32_t argument);
    void *owner;
    uint32_t argument;
};

struct csl_inproc_letter { /* a control message in flight */
    struct csl_inproc_letter *next;
    struct csl_msg bytes;
    uint64_t at_ns, order;
};
struct csl_inproc_lane { /* towards one side, in order */
    struct csl_inproc_letter *first, *last;
    uint32_t count;
    uint64_t last_at_ns;
    uint64_t wire_free_ns; /* when the sender's wire is idle again; shared with bulk data */
    struct csl_inproc_timer arrival;
};
struct csl_inproc_end { /* one side's view of the session */
    bool is_open;       /* `opened` was or will be called in this event, `closed` was not */
    bool is_deaf;       /* nothing more is delivered but `closed` */
    enum csl_code why;  /* for `closed` */
    struct csl_inproc_timer closed;
};
struct csl_inproc_client;
struct csl_inproc_transfer;
struct csl_inproc_link { /* one site id; lives as long as the net */
    struct csl_inproc *net;
    struct csl_peer peer;
    uint32_t index;
    uint64_t rng;
    struct csl_inproc_client *client; /* NULL: nobody holds this end */
    csl_conn conn;                    /* 0: no session */
    bool can_send;
    struct csl_inproc_end end[2];
    struct csl_inproc_lane lane[2]; /* by destination */
    struct csl_inproc_timer connect;
    struct csl_inproc_transfer *transfers;
    uint32_t transfer_count;
};

struct csl_inproc_server {
    struct csl_transport base;
    struct csl_inproc *net;
    bool is_started;
};
struct csl_inproc_client {
    struct csl_transport base;
    struct csl_inproc_link *link;
    bool is_started;
};

#define CSL_INPROC_BUCKETS (2 * CSL_SITES_MAX)
struct csl_inproc {
    struct csl_inproc_config config;
    uint64_t now_ns, orders, conns;
    struct csl_inproc_timer **queue; /* binary heap by (at_ns, order) */
    size_t queue_count, queue_capacity;
    struct csl_inproc_link *links[CSL_SITES_MAX];
    uint32_t link_count;
    uint16_t bucket[CSL_INPROC_BUCKETS]; /* site id -> index + 1, open addressing */
    struct csl_inproc_server *server;
    struct csl_inproc_stats stats;
    bool is_stepping;
    uint8_t *chunk; /* [config.chunk_bytes] the chunk being delivered */
};

/* inproc.c */
void csl_inproc__set(struct csl_inproc *net, struct csl_inproc_timer *t, uint64_t at_ns);
void csl_inproc__set_in_order(struct csl_inproc *net, struct csl_inproc_timer *t, uint64_t at_ns,
                              uint64_t order);
void csl_inproc__cancel(struct csl_inproc *net, struct csl_inproc_timer *t);
uint64_t csl_inproc__later(uint64_t at_ns, uint64_t by_ns); /* saturates */
/* When the last of `bytes`, ready to leave at ready_ns, has left. */
uint64_t csl_inproc__depart(struct csl_inproc_link *l, enum csl_inproc_side to, size_t bytes,
                            uint64_t ready_ns);
uint64_t csl_inproc__travel_ns(struct csl_inproc_link *l); /* delay and jitter */
bool csl_inproc__is_cut(struct csl_inproc_link *l);        /* draws */
void csl_inproc__count_bytes(struct csl_inproc *net, enum csl_inproc_side to, size_t bytes);
struct csl_inproc_link *csl_inproc__find(struct csl_inproc *net, const char *site_id);

/* inproc_session.c */
extern const struct csl_transport_ops csl_inproc__server_ops, csl_inproc__client_ops;
void csl_inproc__link_init(struct csl_inproc_link *l);
void csl_inproc__link_release(struct csl_inproc_link *l);
void csl_inproc__break(struct csl_inproc_link *l); /* session and transfers */
bool csl_inproc__is_up(const struct csl_inproc_link *l);

/* inproc_bulk.c */
enum csl_code csl_inproc__upload(struct csl_transport *t, uint64_t bulk_id,
                                 const struct csl_bulk_head *head,
                                 const struct csl_bulk_source *source, struct csl_err *err);
enum csl_code csl_inproc__download(struct csl_transport *t, uint64_t bulk_id,
                                   const struct csl_bulk_head *head,
                                   const struct csl_bulk_sink *sink, struct csl_err *err);
void csl_inproc__break_transfers(struct csl_inproc_link *l);
/* Ends this side of every transfer now and the other side by event. */
void csl_inproc__stop_transfers(struct csl_inproc_link *l, enum csl_inproc_side side);

#endif
