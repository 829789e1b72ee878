/* Uploads and downloads of the in-process transport: the chunk encoding of protocol/wire, one
 * message per event. A chunk is read from its source when it arrives, not when it left: the bytes
 * are the same, and nothing is held in flight. */
#include "protocol/transport/inproc_net.h"

#include "base/check.h"
#include "base/mem.h"
#include "protocol/wire/chunk.h"

#include <string.h>

#define SLICE_BYTES ((size_t)8192) /* what a TLS connection hands up at once */

enum phase {
    PHASE_OPEN, /* the head is on its way to the server */
    PHASE_HEAD, /* download: the head is on its way back */
    PHASE_DATA  /* chunks, then the digest */
};

struct csl_inproc_transfer {
    struct csl_inproc_link *link;
    struct csl_inproc_transfer *previous, *next;
    uint64_t bulk_id;
    bool is_upload;
    bool is_live[2];   /* by side: it holds its source or sink, and the client awaits bulk_done */
    bool is_ending;    /* no further step */
    bool was_finished; /* the sink's finish was called: no abandon */
    enum phase phase;
    struct csl_bulk_head head;
    struct csl_bulk_source source; /* upload: the client's; download: the server's */
    struct csl_bulk_sink sink;     /* the other way round */
    uint64_t sent, received;       /* positions in the object */
    uint64_t left_ns, last_at_ns;  /* of the previous message: departure, arrival */
    enum csl_code why[2];
    struct csl_inproc_timer step, end[2];
};

static enum csl_inproc_side receiver(const struct csl_inproc_transfer *x)
{
    return x->is_upload ? CSL_INPROC_SERVER : CSL_INPROC_CLIENT;
}

static void free_if_over(struct csl_inproc_transfer *x)
{
    struct csl_inproc_link *l = x->link;
    if (x->is_live[0] || x->is_live[1])
        return;
    csl_inproc__cancel(l->net, &x->step);
    csl_inproc__cancel(l->net, &x->end[0]);
    csl_inproc__cancel(l->net, &x->end[1]);
    if (x->previous != NULL)
        x->previous->next = x->next;
    else
        l->transfers = x->next;
    if (x->next != NULL)
        x->next->previous = x->previous;
    l->transfer_count--;
    csl_free(x);
}

/* Gives one side back what it lent; the transfer itself goes with the second side. */
static void end_side(struct csl_inproc_transfer *x, enum csl_inproc_side side, enum csl_code code)
{
    x->is_ending = true;
    csl_inproc__cancel(x->link->net, &x->step);
    if (!x->is_live[side])
        return;
    x->is_live[side] = false;
    if (side != receiver(x))
        x->source.close(x->source.self);
    else if (!x->was_finished)
        x->sink.abandon(x->sink.self, code == CSL_OK ? CSL_E_BUG : code);
    if (side == CSL_INPROC_CLIENT && x->link->client != NULL) {
        const struct csl_transport_events *up = &x->link->client->base.up;
        if (up->bulk_done != NULL)
            up->bulk_done(up->ctx, x->bulk_id, code);
    }
    free_if_over(x);
}

static void on_end(void *owner, uint32_t side)
{
    struct csl_inproc_transfer *x = owner;
    end_side(x, side, x->why[side]);
}

static void end_at(struct csl_inproc_transfer *x, enum csl_inproc_side side, enum csl_code code,
                   uint64_t at_ns)
{
    x->is_ending = true;
    csl_inproc__cancel(x->link->net, &x->step);
    if (!x->is_live[side] || x->end[side].place != 0)
        return;
    x->why[side] = code;
    csl_inproc__set(x->link->net, &x->end[side], at_ns);
}

void csl_inproc__break_transfers(struct csl_inproc_link *l)
{
    for (struct csl_inproc_transfer *x = l->transfers; x != NULL; x = x->next) {
        end_at(x, CSL_INPROC_SERVER, CSL_E_UNAVAIL, l->net->now_ns);
        end_at(x, CSL_INPROC_CLIENT, CSL_E_UNAVAIL, l->net->now_ns);
    }
}

void csl_inproc__stop_transfers(struct csl_inproc_link *l, enum csl_inproc_side side)
{
    enum csl_inproc_side far = side == CSL_INPROC_SERVER ? CSL_INPROC_CLIENT : CSL_INPROC_SERVER;
    struct csl_inproc_transfer *x = l->transfers;
    while (x != NULL) {
        end_at(x, far, CSL_E_UNAVAIL, l->net->now_ns);
        bool was_live = x->is_live[side];
        if (was_live)
            end_side(x, side, CSL_E_CANCELLED);
        /* Ending a side calls up, and the list may have changed: start over. */
        x = was_live ? l->transfers : x->next;
    }
}

/* Schedules the arrival of the next message of `bytes`, which leaves as soon as the previous has.
 */
static void schedule(struct csl_inproc_transfer *x, enum csl_inproc_side to, size_t bytes)
{
    struct csl_inproc_link *l = x->link;
    x->left_ns = csl_inproc__depart(l, to, bytes, x->left_ns);
    uint64_t at = csl_inproc__later(x->left_ns, csl_inproc__travel_ns(l));
    at = at > x->last_at_ns ? at : x->last_at_ns;
    at = at > l->net->now_ns ? at : l->net->now_ns;
    x->last_at_ns = at;
    csl_inproc__set(l->net, &x->step, at);
}

static void schedule_data(struct csl_inproc_transfer *x)
{
    uint64_t left = x->head.bytes_total > x->sent ? x->head.bytes_total - x->sent : 0;
    size_t chunk = x->link->net->config.chunk_bytes;
    size_t bytes = left == 0 ? 0 : left < chunk ? (size_t)left : chunk;
    x->phase = PHASE_DATA;
    schedule(x, receiver(x), bytes + 32);
}

/* The transfer is decided where its last message arrived; the other side hears a delay later. */
static void conclude(struct csl_inproc_transfer *x, enum csl_code code)
{
    struct csl_inproc *net = x->link->net;
    uint64_t later = csl_inproc__later(net->now_ns, net->config.delay_ns);
    if (x->is_upload || x->phase == PHASE_OPEN) {
        end_at(x, CSL_INPROC_CLIENT, code, later);
        end_side(x, CSL_INPROC_SERVER, code);
    } else {
        end_at(x, CSL_INPROC_SERVER, code, later);
        end_side(x, CSL_INPROC_CLIENT, code);
    }
}

static enum csl_code take_data(void *ctx, uint64_t offset, struct csl_span s, struct csl_err *err)
{
    struct csl_inproc_transfer *x = ctx;
    if (offset != x->received)
        return CSL_FAIL(err, CSL_E_PROTO, "chunk at %llu, expected %llu",
                        (unsigned long long)offset, (unsigned long long)x->received);
    if (s.n > x->head.bytes_total - x->received)
        return CSL_FAIL(err, CSL_E_PROTO, "more than the %llu bytes announced",
                        (unsigned long long)x->head.bytes_total);
    x->received += s.n;
    return x->sink.write(x->sink.self, s, err);
}

/* One message, in the slices a connection would deliver, into a reader. */
static enum csl_code deliver(struct csl_inproc_transfer *x, enum csl_inproc_side to,
                             struct csl_span prefix, struct csl_span data,
                             struct csl_chunk_reader *r, struct csl_err *err)
{
    struct csl_inproc *net = x->link->net;
    csl_inproc__count_bytes(net, to, prefix.n + data.n);
    net->stats.chunks++;
    csl_chunk_reader_begin(r);
    enum csl_code code = csl_chunk_reader_feed(r, prefix, take_data, x, err);
    for (size_t at = 0; code == CSL_OK && at < data.n; at += SLICE_BYTES) {
        size_t n = data.n - at < SLICE_BYTES ? data.n - at : SLICE_BYTES;
        code = csl_chunk_reader_feed(r, CSL_SPAN(data.p + at, n), take_data, x, err);
    }
    return code != CSL_OK ? code : csl_chunk_reader_end(r, err);
}

static enum csl_code deliver_head(struct csl_inproc_transfer *x, enum csl_inproc_side to,
                                  struct csl_bulk_head *out, struct csl_err *err)
{
    uint8_t prefix[CSL_CHUNK_PREFIX_MAX];
    struct csl_chunk_reader r;
    size_t n = csl_chunk_write_head(prefix, &x->head);
    enum csl_code code = deliver(x, to, CSL_SPAN(prefix, n), CSL_SPAN(NULL, 0), &r, err);
    if (code == CSL_OK && r.head.bytes_offset > r.head.bytes_total)
        code = CSL_FAIL(err, CSL_E_PROTO, "transfer starts after its end");
    if (code == CSL_OK)
        *out = r.head;
    return code;
}

/* The head reached the server: ask it. */
static enum csl_code open_at_server(struct csl_inproc_transfer *x, struct csl_err *err)
{
    struct csl_inproc_link *l = x->link;
    if (l->net->server == NULL || !l->net->server->is_started || !csl_inproc__is_up(l))
        return CSL_FAIL(err, CSL_E_UNAVAIL, "no session with the coordinator");
    const struct csl_transport_events *up = &l->net->server->base.up;
    struct csl_bulk_head head;
    enum csl_code code = deliver_head(x, CSL_INPROC_SERVER, &head, err);
    if (code != CSL_OK)
        return code;
    if (x->is_upload)
        code = up->upload_open == NULL ? CSL_E_UNSUPPORTED
                                       : up->upload_open(up->ctx, &l->peer, &head, &x->sink, err);
    else
        code = up->download_open == NULL
                   ? CSL_E_UNSUPPORTED
                   : up->download_open(up->ctx, &l->peer, &head, &x->source, err);
    x->is_live[CSL_INPROC_SERVER] = code == CSL_OK;
    return code;
}

/* One data message, or the digest when the source is at its end (*is_last). */
static enum csl_code move(struct csl_inproc_transfer *x, bool *is_last, struct csl_err *err)
{
    struct csl_inproc *net = x->link->net;
    uint8_t prefix[CSL_CHUNK_PREFIX_MAX], digest[32];
    struct csl_chunk_reader r;
    size_t filled = 0, n = 1;
    enum csl_code code = CSL_OK;
    while (code == CSL_OK && n > 0 && filled < net->config.chunk_bytes) {
        n = 0;
        code = x->source.read(x->source.self, net->chunk + filled, net->config.chunk_bytes - filled,
                              &n, err);
        CSL_ASSERT(n <= net->config.chunk_bytes - filled);
        filled += n;
    }
    if (code != CSL_OK)
        return code;
    if (filled > 0) {
        size_t bytes = csl_chunk_write_data(prefix, x->sent, filled);
        x->sent += filled;
        return deliver(x, receiver(x), CSL_SPAN(prefix, bytes), CSL_SPAN(net->chunk, filled), &r,
                       err);
    }
    *is_last = true;
    code = x->source.digest(x->source.self, digest, err);
    if (code != CSL_OK)
        return code;
    size_t bytes = csl_chunk_write_digest(prefix, digest);
    code = deliver(x, receiver(x), CSL_SPAN(prefix, bytes), CSL_SPAN(NULL, 0), &r, err);
    if (code == CSL_OK && x->received != x->head.bytes_total)
        code = CSL_FAIL(err, CSL_E_PROTO, "ended at %llu of the %llu bytes announced",
                        (unsigned long long)x->received, (unsigned long long)x->head.bytes_total);
    if (code != CSL_OK)
        return code;
    x->was_finished = true;
    return x->sink.finish(x->sink.self, r.digest, err);
}

static void on_step(void *owner, uint32_t argument)
{
    struct csl_inproc_transfer *x = owner;
    struct csl_err err = {0};
    struct csl_bulk_head head;
    enum csl_code code;
    bool is_last = false;
    (void)argument;
    if (csl_inproc__is_cut(x->link)) {
        csl_inproc__break(x->link);
        return;
    }
    enum phase phase = x->phase;
    if (phase == PHASE_OPEN)
        code = open_at_server(x, &err);
    else if (phase == PHASE_HEAD)
        code = deliver_head(x, CSL_INPROC_CLIENT, &head, &err);
    else
        code = move(x, &is_last, &err);
    if (code != CSL_OK || is_last) {
        conclude(x, code);
        return;
    }
    if (x->is_ending) {
        /* The upcall broke the link; a side that came alive in it must be ended, too. */
        end_at(x, CSL_INPROC_SERVER, CSL_E_UNAVAIL, x->link->net->now_ns);
        return;
    }
    if (phase == PHASE_OPEN)
        x->left_ns = x->link->net->now_ns;
    if (phase == PHASE_OPEN && !x->is_upload) {
        x->phase = PHASE_HEAD;
        schedule(x, CSL_INPROC_CLIENT, 64);
    } else {
        schedule_data(x);
    }
}

static enum csl_code start(struct csl_transport *t, const struct csl_inproc_transfer *wanted,
                           struct csl_err *err)
{
    struct csl_inproc_client *c = (struct csl_inproc_client *)(void *)t;
    struct csl_inproc_link *l = c->link;
    if (!c->is_started)
        return CSL_FAIL(err, CSL_E_STATE, "the transport is not started");
    if (wanted->head.bytes_offset > wanted->head.bytes_total)
        return CSL_FAIL(err, CSL_E_INVAL, "transfer starts after its end");
    if (l->transfer_count == CSL_INPROC_TRANSFERS_MAX)
        return CSL_FAIL(err, CSL_E_AGAIN, "%d transfers are under way, at most that many",
                        CSL_INPROC_TRANSFERS_MAX);
    struct csl_inproc_transfer *x = csl_alloc(sizeof(*x));
    if (x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a transfer");
    *x = *wanted;
    x->link = l;
    x->is_live[CSL_INPROC_CLIENT] = true;
    x->sent = x->received = x->head.bytes_offset;
    x->left_ns = l->net->now_ns;
    x->step = (struct csl_inproc_timer){.fire = on_step, .owner = x};
    for (uint32_t side = 0; side < 2; side++)
        x->end[side] = (struct csl_inproc_timer){.fire = on_end, .owner = x, .argument = side};
    x->next = l->transfers;
    if (x->next != NULL)
        x->next->previous = x;
    l->transfers = x;
    l->transfer_count++;
    schedule(x, CSL_INPROC_SERVER, 64);
    return CSL_OK;
}

enum csl_code csl_inproc__upload(struct csl_transport *t, uint64_t bulk_id,
                                 const struct csl_bulk_head *head,
                                 const struct csl_bulk_source *source, struct csl_err *err)
{
    struct csl_inproc_transfer x = {
        .bulk_id = bulk_id, .is_upload = true, .head = *head, .source = *source};
    return start(t, &x, err);
}

enum csl_code csl_inproc__download(struct csl_transport *t, uint64_t bulk_id,
                                   const struct csl_bulk_head *head,
                                   const struct csl_bulk_sink *sink, struct csl_err *err)
{
    struct csl_inproc_transfer x = {.bulk_id = bulk_id, .head = *head, .sink = *sink};
    return start(t, &x, err);
}
