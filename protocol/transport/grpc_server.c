/* protocol/transport/grpc_server.c - the coordinator's end: life, acceptance, sessions. Transfers
 * are in grpc_bulk.c, health and reflection in their own files.
 *
 * Lock order: server.mu only. No upcall is made with it held; gRPC is (batches of one call must be
 * serialised, and gRPC never calls back into us from a NEXT queue's batch). */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/transport/grpc_internal_server.h"

#include <limits.h>
#include <string.h>

#define READMIT_EVERY_NS (2 * CSL_NS_PER_S)
#define WORKERS_DEFAULT  4u

static struct csl_grpc__server *server_of(struct csl_transport *t)
{
    return (struct csl_grpc__server *)t;
}

/* ---- refusing ---- */

struct refusal {
    struct csl_grpc__call base;
    struct csl_grpc__server *server;
    struct csl_grpc__tag on_done;
    struct csl_grpc__status status;
    int cancelled;
};

static void refusal_gone(void *self)
{
    struct refusal *r = self;
    struct csl_grpc__server *s = r->server;
    grpc_call_unref(r->base.call);
    csl_free(r);
    csl_grpc__server_call_gone(s);
}

static void refusal_done(void *self, bool ok)
{
    struct refusal *r = self;
    (void)ok;
    csl_grpc__call_drop(&r->base);
}

void csl_grpc__refuse(struct csl_grpc__server *s, grpc_call *call, const char *method,
                      const struct csl_peer *peer, const struct csl_err *why)
{
    struct refusal *r = csl_alloc(sizeof(*r));
    if (r == NULL) {
        (void)grpc_call_cancel(call, NULL);
        grpc_call_unref(call);
        csl_grpc__server_call_gone(s);
        return;
    }
    r->server = s;
    csl_grpc__tag_init(&r->on_done, refusal_done, r);
    csl_grpc__call_init(&r->base, call, refusal_gone, r);
    grpc_op ops[3] = {csl_grpc__op(GRPC_OP_RECV_CLOSE_ON_SERVER),
                      csl_grpc__op(GRPC_OP_SEND_INITIAL_METADATA)};
    ops[0].data.recv_close_on_server.cancelled = &r->cancelled;
    csl_grpc__status_op(&ops[2], &r->status, why->code, method, peer, why);
    (void)csl_grpc__start(&r->base, ops, 3, &r->on_done);
    csl_grpc__call_drop(&r->base);
}

void csl_grpc__server_call_gone(struct csl_grpc__server *s)
{
    csl_mutex_lock(&s->mu);
    CSL_ASSERT(s->live_count > 0);
    s->live_count--;
    csl_cond_broadcast(&s->changed);
    csl_mutex_unlock(&s->mu);
}

/* Room for one more health or reflection call; its end counts small_count down. */
enum csl_code csl_grpc__small_enter(struct csl_grpc__server *s, struct csl_err *err)
{
    csl_mutex_lock(&s->mu);
    bool has_room = s->small_count < CSL_GRPC_SMALL_MAX;
    s->small_count += has_room;
    csl_mutex_unlock(&s->mu);
    return has_room ? CSL_OK
                    : CSL_FAIL(err, CSL_E_AGAIN, "%u such calls at once", CSL_GRPC_SMALL_MAX);
}

/* ---- sessions ---- */

static struct csl_grpc__session **bucket_of(struct csl_grpc__server *s, csl_conn c)
{
    return &s->buckets[c % CSL_GRPC_BUCKETS];
}

/* mu held */
static struct csl_grpc__session *find_session(struct csl_grpc__server *s, csl_conn c)
{
    struct csl_grpc__session *x = *bucket_of(s, c);
    while (x != NULL && x->id != c)
        x = x->bucket_next;
    return x;
}

static void session_gone(void *self)
{
    struct csl_grpc__session *x = self;
    struct csl_grpc__server *s = server_of(x->t);
    csl_mutex_lock(&s->mu);
    struct csl_grpc__session **at = &s->sessions;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    at = bucket_of(s, x->id);
    while (*at != x)
        at = &(*at)->bucket_next;
    *at = x->bucket_next;
    csl_mutex_unlock(&s->mu);
    csl_grpc__session_tell_closed(x, csl_grpc__session_why(x));
    csl_grpc__session_release(x);
    csl_free(x);
    csl_grpc__server_call_gone(s);
}

/* A site that connects again has lost its old stream, whatever that still looks like from here. */
static void replace_session(struct csl_grpc__server *s, const struct csl_peer *peer)
{
    for (struct csl_grpc__session *x = s->sessions; x != NULL; x = x->next) {
        if (strcmp(x->peer.site_id, peer->site_id) != 0 || x->was_closed)
            continue;
        csl_mutex_lock(&s->mu);
        csl_grpc__session_end(x, CSL_E_CANCELLED);
        csl_mutex_unlock(&s->mu);
        csl_grpc__session_tell_closed(x, CSL_E_CANCELLED);
    }
}

static enum csl_code accept_session(struct csl_grpc__server *s, grpc_call *call,
                                    const struct csl_peer *peer, struct csl_err *err)
{
    struct csl_grpc__session *x = csl_alloc(sizeof(*x));
    if (x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "session of %s", peer->site_id);
    replace_session(s, peer);
    csl_grpc__session_begin(x, &s->t, &s->mu, true, call, session_gone);
    x->peer = *peer;
    csl_mutex_lock(&s->mu);
    x->next = s->sessions;
    s->sessions = x;
    x->bucket_next = *bucket_of(s, x->id);
    *bucket_of(s, x->id) = x;
    csl_mutex_unlock(&s->mu);
    csl_grpc__session_run(x);
    csl_grpc__call_drop(&x->base);
    return CSL_OK;
}

/* ---- accepting ---- */

static void post(struct csl_grpc__accept *a)
{
    grpc_call_details_init(&a->details);
    grpc_metadata_array_init(&a->metadata);
    a->call = NULL;
    grpc_completion_queue *cq = a->server->loop.cq;
    csl_grpc__arm(&a->tag);
    grpc_call_error e = grpc_server_request_call(a->server->server, &a->call, &a->details,
                                                 &a->metadata, cq, cq, &a->tag);
    if (e != GRPC_CALL_OK) { /* the queue is closed: stop has seen the last call */
        grpc_call_details_destroy(&a->details);
        grpc_metadata_array_destroy(&a->metadata);
    }
}

static enum csl_code check_peer(struct csl_grpc__server *s, grpc_call *call, bool is_small,
                                struct csl_peer *peer, struct csl_err *err)
{
    bool is_operator = false;
    enum csl_code code =
        csl_grpc__identify(call, s->config.tls.trust_domain, peer, &is_operator, err);
    if (code != CSL_OK)
        return code;
    if (is_operator)
        return is_small
                   ? CSL_OK
                   : CSL_FAIL(err, CSL_E_DENIED, "a coordinator's certificate is not a site's");
    if (s->config.admit != NULL && !s->config.admit(s->config.admit_ctx, peer))
        return CSL_FAIL(err, CSL_E_DENIED, "not on the roster, not active, or another key");
    return CSL_OK;
}

static enum csl_code dispatch(struct csl_grpc__server *s, grpc_call *call, const char *method,
                              struct csl_peer *peer, struct csl_err *err)
{
    bool is_small = strncmp(method, "/grpc.", 6) == 0;
    enum csl_code code = check_peer(s, call, is_small, peer, err);
    if (code != CSL_OK)
        return code;
    csl_mutex_lock(&s->mu);
    bool is_stopping = s->is_stopping;
    csl_mutex_unlock(&s->mu);
    if (is_stopping)
        return CSL_FAIL(err, CSL_E_UNAVAIL, "stopping");
    if (strcmp(method, CSL_GRPC_SESSION) == 0)
        return accept_session(s, call, peer, err);
    if (strcmp(method, CSL_GRPC_UPLOAD) == 0)
        return csl_grpc__transfer_accept(s, call, peer, CSL_GRPC_UP, err);
    if (strcmp(method, CSL_GRPC_DOWNLOAD) == 0)
        return csl_grpc__transfer_accept(s, call, peer, CSL_GRPC_DOWN, err);
    if (strcmp(method, CSL_GRPC_HEALTH_CHECK) == 0)
        return csl_grpc__health_accept(s, call, false, err);
    if (strcmp(method, CSL_GRPC_HEALTH_WATCH) == 0)
        return csl_grpc__health_accept(s, call, true, err);
    if (s->config.has_reflection && strcmp(method, CSL_GRPC_REFLECTION) == 0)
        return csl_grpc__reflection_accept(s, call, err);
    return CSL_FAIL(err, CSL_E_UNSUPPORTED, "no such method");
}

static void on_accept(void *self, bool ok)
{
    struct csl_grpc__accept *a = self;
    struct csl_grpc__server *s = a->server;
    grpc_call *call = a->call;
    char method[96] = "";
    size_t n = GRPC_SLICE_LENGTH(a->details.method);
    if (ok && n < sizeof(method))
        memcpy(method, GRPC_SLICE_START_PTR(a->details.method), n);
    grpc_call_details_destroy(&a->details);
    grpc_metadata_array_destroy(&a->metadata);
    if (!ok)
        return; /* returned by the shutdown */
    csl_mutex_lock(&s->mu);
    s->live_count++;
    csl_mutex_unlock(&s->mu);
    post(a); /* before the handler: a request must be waiting at any time */
    struct csl_peer peer = {.site_id = ""};
    struct csl_err err = {.msg = ""};
    err.code = dispatch(s, call, method, &peer, &err);
    if (err.code != CSL_OK)
        csl_grpc__refuse(s, call, method, &peer, &err);
}

/* ---- time ---- */

/* Sessions are listed and unlisted on the poller only, so it may walk the list without the lock. */
static void readmit(struct csl_grpc__server *s)
{
    for (struct csl_grpc__session *x = s->sessions; s->config.admit != NULL && x != NULL;
         x = x->next) {
        if (x->was_closed || s->config.admit(s->config.admit_ctx, &x->peer))
            continue;
        csl_mutex_lock(&s->mu);
        csl_grpc__session_end(x, CSL_E_DENIED);
        csl_mutex_unlock(&s->mu);
    }
}

static void tick(void *ctx)
{
    struct csl_grpc__server *s = ctx;
    uint64_t now = csl_clock_monotonic_ns();
    csl_mutex_lock(&s->mu);
    for (struct csl_grpc__session *x = s->sessions; x != NULL; x = x->next)
        csl_grpc__session_tick(x, now);
    for (struct csl_grpc__transfer *x = s->transfers; x != NULL; x = x->next)
        if (now >= atomic_load(&x->deadline_ns))
            (void)grpc_call_cancel(x->base.call, NULL);
    csl_mutex_unlock(&s->mu);
    if (now >= s->readmit_at_ns) {
        s->readmit_at_ns = now + READMIT_EVERY_NS;
        readmit(s);
    }
}

/* ---- life ---- */

static grpc_server *make_server(void)
{
    grpc_arg args[] = {
        csl_grpc__arg_int(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, CSL_GRPC_MESSAGE_MAX),
        csl_grpc__arg_int(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, CSL_GRPC_MESSAGE_MAX),
        csl_grpc__arg_int(GRPC_ARG_HTTP2_BDP_PROBE,
                          0), /* else windows grow without bound (grpc #37715) */
        /* what each upload may have in our memory: 10 MB/s for a site 100 ms away */
        csl_grpc__arg_int(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1024 * 1024),
        csl_grpc__arg_int(GRPC_ARG_MAX_CONCURRENT_STREAMS, 4), /* session, up, down, health */
        csl_grpc__arg_int(GRPC_ARG_MAX_METADATA_SIZE, 8 * 1024),
        csl_grpc__arg_int(GRPC_ARG_KEEPALIVE_TIME_MS, 60000),
        csl_grpc__arg_int(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000),
        csl_grpc__arg_int(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        /* below the client's 30 s, else its pings close the connection */
        csl_grpc__arg_int(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 20000),
        csl_grpc__arg_int(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        csl_grpc__arg_int(GRPC_ARG_MAX_CONNECTION_IDLE_MS, INT_MAX),
        csl_grpc__arg_int(GRPC_ARG_MAX_CONNECTION_AGE_MS, INT_MAX),
        csl_grpc__arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        /* gRPC inflates first and looks at the size afterwards: 2 MiB could become 2 GiB */
        csl_grpc__arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        csl_grpc__arg_int(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, CSL_GRPC_IDENTITY),
        csl_grpc__arg_int(GRPC_ARG_ALLOW_REUSEPORT, 0), /* two coordinators never share a port */
        csl_grpc__arg_int(GRPC_ARG_ENABLE_CHANNELZ, 0),
        csl_grpc__arg_int(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 20000),
    };
    const grpc_channel_args list = {sizeof(args) / sizeof(args[0]), args};
    return grpc_server_create(&list, NULL);
}

static enum csl_code listen_on(struct csl_grpc__server *s, struct csl_err *err)
{
    grpc_server_credentials *credentials = csl_grpc__server_credentials(s->certificates);
    if (credentials == NULL)
        return CSL_FAIL(err, CSL_E_CRYPTO, "gRPC refused the server's certificates");
    int port = grpc_server_add_http2_port(s->server, s->config.listen, credentials);
    grpc_server_credentials_release(credentials);
    if (port <= 0 || port > UINT16_MAX)
        return CSL_FAIL(err, CSL_E_IO,
                        "cannot listen on '%s'; 'address:port' of a free port of this "
                        "machine would be right",
                        s->config.listen);
    s->port = (uint16_t)port;
    return CSL_OK;
}

static void on_shutdown(void *self, bool ok)
{
    struct csl_grpc__server *s = self;
    (void)ok;
    csl_mutex_lock(&s->mu);
    s->was_shut_down = true;
    csl_cond_broadcast(&s->changed);
    csl_mutex_unlock(&s->mu);
}

static enum csl_code start(struct csl_transport *t, struct csl_err *err)
{
    struct csl_grpc__server *s = server_of(t);
    if (s->is_started)
        return CSL_FAIL(err, CSL_E_STATE, "started before");
    s->loop.cq = grpc_completion_queue_create_for_next(NULL);
    s->server = make_server();
    grpc_server_register_completion_queue(s->server, s->loop.cq, NULL);
    enum csl_code code = listen_on(s, err);
    if (code == CSL_OK)
        code = csl_grpc__loop_start(&s->loop, "grpc-s", s->config.workers_max, err);
    if (code != CSL_OK)
        return code; /* free undoes what was done */
    s->is_started = true;
    grpc_server_start(s->server);
    for (uint32_t i = 0; i < CSL_GRPC_ACCEPTS; i++) {
        s->accepts[i].server = s;
        csl_grpc__tag_init(&s->accepts[i].tag, on_accept, &s->accepts[i]);
        post(&s->accepts[i]);
    }
    csl_log(CSL_LOG_INFO, "grpc.listening", CSL_STR("on", s->config.listen),
            CSL_U64("port", s->port));
    return CSL_OK;
}

/* mu held */
static bool wait_idle(struct csl_grpc__server *s, uint64_t deadline_ns)
{
    while (!s->was_shut_down || s->live_count > 0) {
        if (deadline_ns == UINT64_MAX)
            csl_cond_wait(&s->changed, &s->mu);
        else if (!csl_cond_wait_until(&s->changed, &s->mu, deadline_ns))
            return s->was_shut_down && s->live_count == 0;
    }
    return true;
}

static void stop(struct csl_transport *t, uint32_t grace_ms)
{
    struct csl_grpc__server *s = server_of(t);
    if (!s->is_started || s->is_stopping)
        return;
    uint64_t deadline_ns = csl_clock_monotonic_ns() + grace_ms * CSL_NS_PER_MS;
    csl_mutex_lock(&s->mu);
    s->is_stopping = true; /* new calls are refused; transfers may end */
    s->is_serving = false;
    csl_grpc__health_changed(s);
    for (struct csl_grpc__session *x = s->sessions; x != NULL; x = x->next)
        csl_grpc__session_end(x, CSL_E_UNAVAIL);
    csl_grpc__health_end_all(s);
    csl_mutex_unlock(&s->mu);
    csl_grpc__arm(&s->on_shutdown);
    grpc_server_shutdown_and_notify(s->server, s->loop.cq, &s->on_shutdown);
    csl_mutex_lock(&s->mu);
    bool is_idle = wait_idle(s, deadline_ns);
    csl_mutex_unlock(&s->mu);
    if (!is_idle)
        grpc_server_cancel_all_calls(s->server);
    csl_mutex_lock(&s->mu);
    (void)wait_idle(s, UINT64_MAX);
    csl_mutex_unlock(&s->mu);
    csl_grpc__loop_stop(&s->loop);
    grpc_server_destroy(s->server);
    s->server = NULL;
}

static void free_server(struct csl_transport *t)
{
    struct csl_grpc__server *s = server_of(t);
    if (s == NULL)
        return;
    CSL_ASSERT(!s->is_started || s->server == NULL);
    if (s->server != NULL) { /* start failed half-way: nothing was posted */
        csl_grpc__arm(&s->on_shutdown);
        grpc_server_shutdown_and_notify(s->server, s->loop.cq, &s->on_shutdown);
        csl_grpc__loop_stop(&s->loop);
        grpc_server_destroy(s->server);
    }
    csl_grpc__certificates_free(s->certificates);
    csl_cond_release(&s->changed);
    csl_mutex_release(&s->mu);
    csl_free(s);
}

static enum csl_code send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                          struct csl_err *err)
{
    struct csl_grpc__server *s = server_of(t);
    csl_mutex_lock(&s->mu);
    struct csl_grpc__session *x = find_session(s, c);
    enum csl_code code;
    if (x != NULL)
        code = csl_grpc__session_send(x, take_m, err);
    else
        code = CSL_FAIL(err, CSL_E_NOTFOUND, "connection %llu is gone", (unsigned long long)c);
    csl_mutex_unlock(&s->mu);
    if (x == NULL)
        csl_msg_release(take_m);
    return code;
}

static uint32_t waiting(struct csl_transport *t, csl_conn c)
{
    struct csl_grpc__server *s = server_of(t);
    csl_mutex_lock(&s->mu);
    const struct csl_grpc__session *x = find_session(s, c);
    uint32_t n = x != NULL ? x->count : CSL_OUTBOX_MESSAGES;
    csl_mutex_unlock(&s->mu);
    return n;
}

static void drop(struct csl_transport *t, csl_conn c, enum csl_code why)
{
    struct csl_grpc__server *s = server_of(t);
    csl_mutex_lock(&s->mu);
    struct csl_grpc__session *x = find_session(s, c);
    if (x != NULL)
        csl_grpc__session_end(x, why);
    csl_mutex_unlock(&s->mu);
}

static enum csl_code no_upload(struct csl_transport *t, uint64_t id,
                               const struct csl_bulk_head *head,
                               const struct csl_bulk_source *source, struct csl_err *err)
{
    (void)t, (void)id, (void)head, (void)source;
    return CSL_FAIL(err, CSL_E_UNSUPPORTED, "sites open transfers, the coordinator answers");
}

static enum csl_code no_download(struct csl_transport *t, uint64_t id,
                                 const struct csl_bulk_head *head, const struct csl_bulk_sink *sink,
                                 struct csl_err *err)
{
    (void)t, (void)id, (void)head, (void)sink;
    return CSL_FAIL(err, CSL_E_UNSUPPORTED, "sites open transfers, the coordinator answers");
}

static const struct csl_transport_ops server_ops = {.name = "grpc",
                                                    .start = start,
                                                    .send = send,
                                                    .waiting = waiting,
                                                    .upload = no_upload,
                                                    .download = no_download,
                                                    .drop = drop,
                                                    .stop = stop,
                                                    .free = free_server};

enum csl_code csl_grpc_server_new(struct csl_transport **out,
                                  const struct csl_grpc_server_config *config, struct csl_err *err)
{
    if (config->workers_max > CSL_GRPC_WORKERS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "%u workers; at most %u", config->workers_max,
                        CSL_GRPC_WORKERS_MAX);
    if (!csl_trust_domain_valid(config->tls.trust_domain))
        return CSL_FAIL(err, CSL_E_INVAL, "trust domain is not valid");
    struct csl_grpc__server *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "server");
    s->t.ops = &server_ops;
    s->config = *config;
    if (s->config.workers_max == 0)
        s->config.workers_max = WORKERS_DEFAULT;
    s->loop.tick = tick;
    s->loop.tick_ctx = s;
    csl_grpc__tag_init(&s->on_shutdown, on_shutdown, s);
    s->is_serving = true;
    csl_mutex_init(&s->mu);
    csl_cond_init(&s->changed);
    enum csl_code code = csl_grpc__certificates_new(&s->certificates, &s->config.tls, err);
    if (code == CSL_OK)
        *out = &s->t;
    else
        free_server(&s->t);
    return code;
}

uint16_t csl_grpc_server_port(const struct csl_transport *t)
{
    return ((const struct csl_grpc__server *)t)->port;
}

void csl_grpc_server_set_serving(struct csl_transport *t, bool is_serving)
{
    struct csl_grpc__server *s = server_of(t);
    csl_mutex_lock(&s->mu);
    s->is_serving = is_serving && !s->is_stopping;
    csl_grpc__health_changed(s);
    csl_mutex_unlock(&s->mu);
}
