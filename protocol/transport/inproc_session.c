/* Sessions of the in-process transport: connecting, control messages, ends. */
#include "protocol/transport/inproc_net.h"

#include "base/check.h"
#include "base/mem.h"

#define CONN_SHIFT 13 /* conn = number << 13 | (index + 1): a link is found without a search */
_Static_assert(CSL_SITES_MAX < (1 << CONN_SHIFT), "a link's index must fit below its number");

/* A side with a session or an attempt under way has a transport: stop ends both. */
static const struct csl_transport_events *up_of(const struct csl_inproc_link *l,
                                                enum csl_inproc_side side)
{
    if (side == CSL_INPROC_CLIENT) {
        CSL_ASSERT(l->client != NULL);
        return &l->client->base.up;
    }
    CSL_ASSERT(l->net->server != NULL);
    return &l->net->server->base.up;
}

static enum csl_inproc_side other(enum csl_inproc_side side)
{
    return side == CSL_INPROC_SERVER ? CSL_INPROC_CLIENT : CSL_INPROC_SERVER;
}

bool csl_inproc__is_up(const struct csl_inproc_link *l)
{
    return l->conn != 0 && l->can_send;
}

/* Schedules the next attempt, if both sides want one and none is under way. */
static void seek(struct csl_inproc_link *l, uint64_t wait_ns)
{
    struct csl_inproc *net = l->net;
    if (l->conn != 0 || l->connect.place != 0 || l->client == NULL || !l->client->is_started ||
        net->server == NULL || !net->server->is_started)
        return;
    uint64_t at = csl_inproc__later(net->now_ns, wait_ns);
    csl_inproc__set(net, &l->connect, csl_inproc__later(at, csl_inproc__travel_ns(l)));
}

static void on_connect(void *owner, uint32_t argument)
{
    struct csl_inproc_link *l = owner;
    struct csl_inproc *net = l->net;
    (void)argument;
    if (net->server == NULL || !net->server->is_started)
        return; /* its start seeks again */
    l->conn = ++net->conns << CONN_SHIFT | (l->index + 1);
    l->can_send = true;
    for (int side = 0; side < 2; side++) {
        l->end[side].is_open = true;
        l->end[side].is_deaf = false;
        l->lane[side].last_at_ns = net->now_ns;
    }
    net->stats.sessions++;
    csl_conn conn = l->conn;
    const struct csl_transport_events *up = up_of(l, CSL_INPROC_SERVER);
    if (up->opened != NULL)
        up->opened(up->ctx, conn, &l->peer);
    up = up_of(l, CSL_INPROC_CLIENT);
    if (up->opened != NULL)
        up->opened(up->ctx, conn, NULL);
}

static void flush(struct csl_inproc_link *l, enum csl_inproc_side to)
{
    struct csl_inproc_lane *lane = &l->lane[to];
    csl_inproc__cancel(l->net, &lane->arrival);
    while (lane->first != NULL) {
        struct csl_inproc_letter *letter = lane->first;
        lane->first = letter->next;
        csl_msg_release(&letter->bytes);
        csl_free(letter);
    }
    lane->last = NULL;
    lane->count = 0;
}

static void on_arrival(void *owner, uint32_t side)
{
    struct csl_inproc_link *l = owner;
    struct csl_inproc_lane *lane = &l->lane[side];
    struct csl_inproc_letter *letter = lane->first;
    CSL_ASSERT(letter != NULL && l->end[side].is_open && !l->end[side].is_deaf);
    lane->first = letter->next;
    lane->count--;
    if (lane->first == NULL)
        lane->last = NULL;
    else
        csl_inproc__set_in_order(l->net, &lane->arrival, lane->first->at_ns, lane->first->order);
    struct csl_msg bytes = letter->bytes;
    csl_free(letter);
    if (csl_inproc__is_cut(l)) {
        csl_msg_release(&bytes);
        csl_inproc__break(l);
        return;
    }
    const struct csl_transport_events *up = up_of(l, side);
    if (up->message != NULL)
        up->message(up->ctx, l->conn, &bytes);
    else
        csl_msg_release(&bytes);
}

/* The session is over for good once both sides know. */
static void settle(struct csl_inproc_link *l)
{
    if (l->conn == 0 || l->end[0].is_open || l->end[1].is_open)
        return;
    l->conn = 0;
    seek(l, l->net->config.reconnect_ns);
}

static void on_closed(void *owner, uint32_t side)
{
    struct csl_inproc_link *l = owner;
    l->end[side].is_open = false;
    flush(l, side);
    const struct csl_transport_events *up = up_of(l, side);
    if (up->closed != NULL)
        up->closed(up->ctx, l->conn, l->end[side].why);
    settle(l);
}

void csl_inproc__link_init(struct csl_inproc_link *l)
{
    l->connect = (struct csl_inproc_timer){.fire = on_connect, .owner = l};
    for (uint32_t side = 0; side < 2; side++) {
        l->end[side].closed =
            (struct csl_inproc_timer){.fire = on_closed, .owner = l, .argument = side};
        l->lane[side].arrival =
            (struct csl_inproc_timer){.fire = on_arrival, .owner = l, .argument = side};
    }
}

void csl_inproc__link_release(struct csl_inproc_link *l)
{
    flush(l, CSL_INPROC_SERVER);
    flush(l, CSL_INPROC_CLIENT);
    CSL_ASSERT(l->transfers == NULL);
}

/* `closed` for one side at at_ns, or earlier if that was scheduled before. */
static void close_at(struct csl_inproc_link *l, enum csl_inproc_side side, enum csl_code why,
                     uint64_t at_ns)
{
    struct csl_inproc_end *end = &l->end[side];
    if (!end->is_open)
        return;
    if (end->closed.place == 0)
        end->why = why;
    else if (end->closed.at_ns <= at_ns)
        return;
    csl_inproc__set(l->net, &end->closed, at_ns);
}

/* When a side that still receives learns that the other one left: after what is in flight. */
static uint64_t goodbye_ns(struct csl_inproc_link *l, enum csl_inproc_side to)
{
    uint64_t at = csl_inproc__later(l->net->now_ns, l->net->config.delay_ns);
    return l->lane[to].last_at_ns > at ? l->lane[to].last_at_ns : at;
}

static void deafen(struct csl_inproc_link *l, enum csl_inproc_side side)
{
    l->can_send = false;
    l->end[side].is_deaf = true;
    flush(l, side);
}

void csl_inproc__break(struct csl_inproc_link *l)
{
    if (l->conn == 0 && l->transfers == NULL)
        return;
    l->net->stats.cuts++;
    for (uint32_t side = 0; side < 2; side++) {
        deafen(l, side);
        close_at(l, side, CSL_E_UNAVAIL, l->net->now_ns);
    }
    csl_inproc__break_transfers(l);
}

static enum csl_code post(struct csl_inproc_link *l, enum csl_inproc_side to,
                          struct csl_msg *take_m, struct csl_err *err)
{
    struct csl_inproc *net = l->net;
    struct csl_inproc_lane *lane = &l->lane[to];
    if (take_m->n > CSL_MSG_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "control message of %zu bytes, at most %u", take_m->n,
                        CSL_MSG_BYTES_MAX);
    if (lane->count >= CSL_OUTBOX_MESSAGES)
        return CSL_FAIL(err, CSL_E_AGAIN, "%u messages for %s are under way, at most %d",
                        lane->count, l->peer.site_id, CSL_OUTBOX_MESSAGES);
    struct csl_inproc_letter *letter = csl_alloc(sizeof(*letter));
    if (letter == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to send %zu bytes", take_m->n);
    uint64_t left = csl_inproc__depart(l, to, take_m->n, net->now_ns);
    uint64_t at = csl_inproc__later(left, csl_inproc__travel_ns(l));
    at = at > lane->last_at_ns ? at : lane->last_at_ns; /* jitter never reorders a session */
    *letter = (struct csl_inproc_letter){.bytes = *take_m, .at_ns = at, .order = net->orders++};
    *take_m = (struct csl_msg){NULL, 0};
    lane->last_at_ns = at;
    if (lane->first == NULL) {
        lane->first = letter;
        csl_inproc__set_in_order(net, &lane->arrival, at, letter->order);
    } else {
        lane->last->next = letter;
    }
    lane->last = letter;
    lane->count++;
    net->stats.messages++;
    csl_inproc__count_bytes(net, to, letter->bytes.n);
    return CSL_OK;
}

static enum csl_code send_on(struct csl_inproc_link *l, enum csl_inproc_side from, csl_conn c,
                             struct csl_msg *take_m, struct csl_err *err)
{
    enum csl_code code;
    if (l == NULL || c == 0 || l->conn != c || !l->can_send || !l->end[from].is_open)
        code = CSL_FAIL(err, CSL_E_NOTFOUND, "connection %llu is gone", (unsigned long long)c);
    else
        code = post(l, other(from), take_m, err);
    csl_msg_release(take_m);
    return code;
}

static void drop_on(struct csl_inproc_link *l, enum csl_inproc_side from, csl_conn c,
                    enum csl_code why)
{
    if (l == NULL || c == 0 || l->conn != c || !l->end[from].is_open || l->end[from].is_deaf)
        return;
    enum csl_inproc_side to = other(from);
    deafen(l, from);
    close_at(l, from, why, l->net->now_ns);
    close_at(l, to, from == CSL_INPROC_SERVER ? why : CSL_E_CANCELLED, goodbye_ns(l, to));
}

/* Takes one side out of its session at once; the other learns of it by event. */
static void leave(struct csl_inproc_link *l, enum csl_inproc_side side)
{
    csl_inproc__stop_transfers(l, side);
    if (!l->end[side].is_open)
        return;
    csl_conn conn = l->conn;
    deafen(l, side);
    l->end[side].is_open = false;
    csl_inproc__cancel(l->net, &l->end[side].closed);
    close_at(l, other(side), CSL_E_UNAVAIL, goodbye_ns(l, other(side)));
    const struct csl_transport_events *up = up_of(l, side);
    if (up->closed != NULL)
        up->closed(up->ctx, conn, CSL_E_CANCELLED);
    settle(l);
}

static struct csl_inproc_server *server_of(struct csl_transport *t)
{
    return (struct csl_inproc_server *)(void *)t;
}

static struct csl_inproc_client *client_of(struct csl_transport *t)
{
    return (struct csl_inproc_client *)(void *)t;
}

static struct csl_inproc_link *link_of(struct csl_inproc *net, csl_conn c)
{
    uint64_t place = c & ((UINT64_C(1) << CONN_SHIFT) - 1);
    return place == 0 || place > net->link_count ? NULL : net->links[place - 1];
}

static enum csl_code server_start(struct csl_transport *t, struct csl_err *err)
{
    struct csl_inproc_server *s = server_of(t);
    if (s->is_started)
        return CSL_FAIL(err, CSL_E_STATE, "started already");
    s->is_started = true;
    for (uint32_t i = 0; i < s->net->link_count; i++)
        seek(s->net->links[i], 0);
    return CSL_OK;
}

static enum csl_code server_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                                 struct csl_err *err)
{
    return send_on(link_of(server_of(t)->net, c), CSL_INPROC_SERVER, c, take_m, err);
}

static uint32_t server_waiting(struct csl_transport *t, csl_conn c)
{
    const struct csl_inproc_link *l = link_of(server_of(t)->net, c);
    bool is_there = l != NULL && c != 0 && l->conn == c;
    return is_there ? l->lane[CSL_INPROC_CLIENT].count : CSL_OUTBOX_MESSAGES;
}

static void server_drop(struct csl_transport *t, csl_conn c, enum csl_code why)
{
    drop_on(link_of(server_of(t)->net, c), CSL_INPROC_SERVER, c, why);
}

static void server_stop(struct csl_transport *t, uint32_t grace_ms)
{
    struct csl_inproc_server *s = server_of(t);
    (void)grace_ms;
    CSL_ASSERT(!s->net->is_stepping);
    s->is_started = false;
    for (uint32_t i = 0; i < s->net->link_count; i++)
        leave(s->net->links[i], CSL_INPROC_SERVER);
}

static void server_free(struct csl_transport *t)
{
    if (t == NULL)
        return;
    server_stop(t, 0);
    server_of(t)->net->server = NULL;
    csl_free(server_of(t));
}

static enum csl_code client_start(struct csl_transport *t, struct csl_err *err)
{
    struct csl_inproc_client *c = client_of(t);
    if (c->is_started)
        return CSL_FAIL(err, CSL_E_STATE, "started already");
    c->is_started = true;
    seek(c->link, 0);
    return CSL_OK;
}

static enum csl_code client_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                                 struct csl_err *err)
{
    return send_on(client_of(t)->link, CSL_INPROC_CLIENT, c, take_m, err);
}

static void client_drop(struct csl_transport *t, csl_conn c, enum csl_code why)
{
    drop_on(client_of(t)->link, CSL_INPROC_CLIENT, c, why);
}

static void client_stop(struct csl_transport *t, uint32_t grace_ms)
{
    struct csl_inproc_client *c = client_of(t);
    (void)grace_ms;
    CSL_ASSERT(!c->link->net->is_stepping);
    c->is_started = false;
    csl_inproc__cancel(c->link->net, &c->link->connect);
    leave(c->link, CSL_INPROC_CLIENT);
}

static void client_free(struct csl_transport *t)
{
    if (t == NULL)
        return;
    client_stop(t, 0);
    client_of(t)->link->client = NULL;
    csl_free(client_of(t));
}

static enum csl_code no_upload(struct csl_transport *t, uint64_t bulk_id,
                               const struct csl_bulk_head *head,
                               const struct csl_bulk_source *source, struct csl_err *err)
{
    (void)t, (void)bulk_id, (void)head, (void)source;
    return CSL_FAIL(err, CSL_E_UNSUPPORTED, "only a site starts an upload");
}

static enum csl_code no_download(struct csl_transport *t, uint64_t bulk_id,
                                 const struct csl_bulk_head *head, const struct csl_bulk_sink *sink,
                                 struct csl_err *err)
{
    (void)t, (void)bulk_id, (void)head, (void)sink;
    return CSL_FAIL(err, CSL_E_UNSUPPORTED, "only a site starts a download");
}

const struct csl_transport_ops csl_inproc__server_ops = {
    .name = "inproc",
    .start = server_start,
    .send = server_send,
    .waiting = server_waiting,
    .upload = no_upload,
    .download = no_download,
    .drop = server_drop,
    .stop = server_stop,
    .free = server_free,
};

const struct csl_transport_ops csl_inproc__client_ops = {
    .name = "inproc",
    .start = client_start,
    .send = client_send,
    .upload = csl_inproc__upload,
    .download = csl_inproc__download,
    .drop = client_drop,
    .stop = client_stop,
    .free = client_free,
};
