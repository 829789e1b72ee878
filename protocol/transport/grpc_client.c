/* protocol/transport/grpc_client.c - a site's end: one session at a time, made again whenever it is
 * lost.
 *
 * Every attempt has its own channel, so keys and certificates are read afresh and gRPC's own
 * back-off never stacks on ours. Transfers in flight keep the channel they began on. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/transport/grpc_internal_client.h"

#include <grpc/impl/codegen/propagation_bits.h>
#include <grpc/support/time.h>

#define BACKOFF_MIN_MS   1000u
#define BACKOFF_MAX_MS   300000u
#define OPEN_WITHIN_NS   (30 * CSL_NS_PER_S)
#define HINT_AFTER       3u
#define CLIENT_WORKERS   2u
#define SETTLED_BACKOFFS 10u /* a session this many shortest back-offs long was a good one */

static struct csl_grpc__client *client_of(struct csl_transport *t)
{
    return (struct csl_grpc__client *)t;
}

/* ---- one attempt ---- */

static enum csl_code make_channel(struct csl_grpc__client *c, grpc_channel **out,
                                  struct csl_err *err)
{
    grpc_channel_credentials *credentials = NULL;
    enum csl_code code = csl_grpc__client_credentials(&credentials, &c->config.tls, err);
    if (code != CSL_OK)
        return code;
    grpc_arg args[20] = {
        csl_grpc__arg_int(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, CSL_GRPC_MESSAGE_MAX),
        csl_grpc__arg_int(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, CSL_GRPC_MESSAGE_MAX),
        csl_grpc__arg_int(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        csl_grpc__arg_int(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1024 * 1024),
        csl_grpc__arg_int(GRPC_ARG_MAX_METADATA_SIZE, 8 * 1024),
        csl_grpc__arg_int(GRPC_ARG_KEEPALIVE_TIME_MS, 30000), /* the way out of a hospital is NAT */
        csl_grpc__arg_int(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000),
        csl_grpc__arg_int(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        csl_grpc__arg_int(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        csl_grpc__arg_int(GRPC_ARG_ENABLE_RETRIES,
                          0), /* transfers resume by offset, nothing else */
        csl_grpc__arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        csl_grpc__arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        csl_grpc__arg_int(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, CSL_GRPC_IDENTITY),
        csl_grpc__arg_int(GRPC_ARG_ENABLE_CHANNELZ, 0),
        csl_grpc__arg_int(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        csl_grpc__arg_int(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        csl_grpc__arg_int(GRPC_ARG_ENABLE_HTTP_PROXY, c->config.http_proxy[0] != '\0'),
    };
    size_t n = 17;
    if (c->config.http_proxy[0] != '\0')
        args[n++] = csl_grpc__arg_str(GRPC_ARG_HTTP_PROXY, c->config.http_proxy);
    if (c->config.server_name[0] != '\0')
        args[n++] = csl_grpc__arg_str(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, c->config.server_name);
    const grpc_channel_args list = {n, args};
    grpc_channel *channel = grpc_channel_create(c->config.target, credentials, &list);
    grpc_channel_credentials_release(credentials);
    if (channel == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "channel to %s", c->config.target);
    *out = channel;
    return CSL_OK;
}

static void session_gone(void *self)
{
    struct csl_grpc__session *x = self;
    struct csl_grpc__client *c = client_of(x->t);
    enum csl_code why = csl_grpc__session_why(x);
    csl_grpc__result_log(&x->result, "session");
    csl_grpc__session_tell_closed(x, why);
    csl_mutex_lock(&c->mu);
    c->session = NULL;
    c->was_open = x->was_opened;
    c->last_code = why;
    csl_mutex_unlock(&c->mu);
    csl_grpc__session_release(x);
    csl_free(x);
    csl_mutex_lock(&c->mu);
    c->live_count--;
    csl_cond_broadcast(&c->changed);
    csl_mutex_unlock(&c->mu);
}

/* Replaces the channel and opens a session on it. */
static enum csl_code connect_once(struct csl_grpc__client *c, struct csl_err *err)
{
    grpc_channel *channel = NULL;
    enum csl_code code = make_channel(c, &channel, err);
    if (code != CSL_OK)
        return code;
    struct csl_grpc__session *x = csl_alloc(sizeof(*x));
    if (x == NULL) {
        grpc_channel_destroy(channel);
        return CSL_FAIL(err, CSL_E_NOMEM, "session");
    }
    grpc_call *call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->loop.cq,
                                               grpc_slice_from_static_string(CSL_GRPC_SESSION),
                                               NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    csl_grpc__session_begin(x, &c->t, &c->mu, false, call, session_gone);
    csl_mutex_lock(&c->mu);
    grpc_channel *old = c->channel;
    c->channel = channel;
    c->session = x;
    c->session_started_ns = csl_clock_monotonic_ns();
    c->live_count++;
    bool is_stopping = c->is_stopping;
    csl_mutex_unlock(&c->mu);
    csl_grpc__session_run(x);
    if (is_stopping) /* stop looked before there was a session to end */
        (void)grpc_call_cancel(x->base.call, NULL);
    csl_grpc__call_drop(&x->base);
    if (old != NULL)
        grpc_channel_destroy(old);
    return CSL_OK;
}

/* ---- again and again ---- */

static bool needs_a_human(enum csl_code code)
{
    return code == CSL_E_UNAUTH || code == CSL_E_DENIED || code == CSL_E_STATE ||
           code == CSL_E_INVAL || code == CSL_E_UNSUPPORTED || code == CSL_E_CRYPTO;
}

/* Full jitter: uniform on [0, min(max, min * 2^attempt)]. */
static uint64_t backoff_ms(const struct csl_grpc__client *c, uint32_t attempt)
{
    uint64_t ceiling = c->config.backoff_min_ms;
    for (uint32_t i = 0; i < attempt && ceiling < c->config.backoff_max_ms; i++)
        ceiling *= 2;
    if (ceiling > c->config.backoff_max_ms)
        ceiling = c->config.backoff_max_ms;
    return csl_grpc__random() % (ceiling + 1);
}

struct history { /* supervisor only */
    uint32_t attempt, unavailable;
};

/* What the last attempt teaches. */
static void learn(const struct csl_grpc__client *c, struct history *h, enum csl_code code,
                  bool was_open, uint64_t lasted_ms)
{
    bool was_settled = was_open && lasted_ms >= SETTLED_BACKOFFS * c->config.backoff_min_ms;
    h->attempt = was_settled ? 0 : h->attempt + 1;
    h->unavailable = !was_open && code == CSL_E_UNAVAIL ? h->unavailable + 1 : 0;
    if (!was_open && needs_a_human(code)) {
        h->attempt = 32;
        csl_log(
            CSL_LOG_ERROR, "grpc.refused", CSL_STR("coordinator", c->config.target),
            CSL_STR("code", csl_code_name(code)),
            CSL_STR("hint", "the coordinator's log has the reason; is this site on its roster?"));
    }
    if (h->unavailable == HINT_AFTER)
        csl_log(CSL_LOG_WARN, "grpc.cannot_connect", CSL_STR("coordinator", c->config.target),
                CSL_STR("hint", "often a certificate problem; ask for the coordinator's log"));
}

static void supervise(void *arg)
{
    struct csl_grpc__client *c = arg;
    struct history h = {0, 0};
    struct csl_err err;
    csl_mutex_lock(&c->mu);
    while (!c->is_stopping) {
        c->was_open = false;
        uint64_t began_ns = csl_clock_monotonic_ns();
        csl_mutex_unlock(&c->mu);
        enum csl_code code = connect_once(c, &err);
        if (code != CSL_OK)
            csl_log_err(CSL_LOG_ERROR, "grpc.connect", &err);
        csl_mutex_lock(&c->mu);
        while (c->session != NULL)
            csl_cond_wait(&c->changed, &c->mu);
        if (c->is_stopping)
            break;
        uint64_t now = csl_clock_monotonic_ns();
        learn(c, &h, code != CSL_OK ? code : c->last_code, c->was_open,
              (now - began_ns) / CSL_NS_PER_MS);
        uint64_t until_ns = now + backoff_ms(c, h.attempt) * CSL_NS_PER_MS;
        while (!c->is_stopping && csl_cond_wait_until(&c->changed, &c->mu, until_ns))
            ;
    }
    csl_mutex_unlock(&c->mu);
}

/* A server that takes the connection and then says nothing must not hold us for ever. */
static void tick(void *ctx)
{
    struct csl_grpc__client *c = ctx;
    uint64_t now = csl_clock_monotonic_ns();
    csl_mutex_lock(&c->mu);
    if (c->session != NULL) {
        csl_grpc__session_tick(c->session, now);
        if (!c->session->is_open && now - c->session_started_ns > OPEN_WITHIN_NS)
            (void)grpc_call_cancel(c->session->base.call, NULL);
    }
    csl_mutex_unlock(&c->mu);
}

/* ---- the transport ---- */

static enum csl_code start(struct csl_transport *t, struct csl_err *err)
{
    struct csl_grpc__client *c = client_of(t);
    if (c->is_started)
        return CSL_FAIL(err, CSL_E_STATE, "started before");
    c->loop.cq = grpc_completion_queue_create_for_next(NULL);
    enum csl_code code = csl_grpc__loop_start(&c->loop, "grpc-c", CLIENT_WORKERS, err);
    if (code == CSL_OK)
        code = csl_thread_start(&c->supervisor, "grpc-c-super", supervise, c, err);
    c->is_started = code == CSL_OK;
    return code;
}

static enum csl_code send(struct csl_transport *t, csl_conn conn, struct csl_msg *take_m,
                          struct csl_err *err)
{
    struct csl_grpc__client *c = client_of(t);
    csl_mutex_lock(&c->mu);
    bool is_there = c->session != NULL && c->session->id == conn;
    enum csl_code code;
    if (is_there)
        code = csl_grpc__session_send(c->session, take_m, err);
    else
        code = CSL_FAIL(err, CSL_E_NOTFOUND, "connection %llu is gone", (unsigned long long)conn);
    csl_mutex_unlock(&c->mu);
    if (!is_there)
        csl_msg_release(take_m);
    return code;
}

static void drop(struct csl_transport *t, csl_conn conn, enum csl_code why)
{
    struct csl_grpc__client *c = client_of(t);
    csl_mutex_lock(&c->mu);
    if (c->session != NULL && c->session->id == conn)
        csl_grpc__session_end(c->session, why);
    csl_mutex_unlock(&c->mu);
}

/* mu held */
static void cancel_all(struct csl_grpc__client *c)
{
    if (c->session != NULL)
        (void)grpc_call_cancel(c->session->base.call, NULL);
    for (struct csl_grpc__bulk *x = c->bulks; x != NULL; x = x->next)
        (void)grpc_call_cancel(x->base.call, NULL);
}

static void stop(struct csl_transport *t, uint32_t grace_ms)
{
    struct csl_grpc__client *c = client_of(t);
    if (!c->is_started || c->is_stopping)
        return;
    uint64_t deadline_ns = csl_clock_monotonic_ns() + grace_ms * CSL_NS_PER_MS;
    csl_mutex_lock(&c->mu);
    c->is_stopping = true;
    csl_cond_broadcast(&c->changed);
    if (c->session != NULL && c->session->is_open)
        csl_grpc__session_end(c->session, CSL_OK);
    else if (c->session != NULL)
        (void)grpc_call_cancel(c->session->base.call, NULL);
    while (c->live_count > 0 && csl_cond_wait_until(&c->changed, &c->mu, deadline_ns))
        ;
    cancel_all(c);
    csl_mutex_unlock(&c->mu);
    csl_thread_join(&c->supervisor);
    csl_mutex_lock(&c->mu);
    while (c->live_count > 0)
        csl_cond_wait(&c->changed, &c->mu);
    grpc_channel *channel = c->channel;
    c->channel = NULL;
    csl_mutex_unlock(&c->mu);
    if (channel != NULL)
        grpc_channel_destroy(channel);
    csl_grpc__loop_stop(&c->loop);
}

static void free_client(struct csl_transport *t)
{
    struct csl_grpc__client *c = client_of(t);
    if (c == NULL)
        return;
    CSL_ASSERT(!c->is_started || c->is_stopping);
    csl_grpc__loop_stop(&c->loop); /* when start failed half-way */
    csl_cond_release(&c->changed);
    csl_mutex_release(&c->mu);
    csl_free(c);
}

static const struct csl_transport_ops client_ops = {.name = "grpc",
                                                    .start = start,
                                                    .send = send,
                                                    .upload = csl_grpc__client_upload,
                                                    .download = csl_grpc__client_download,
                                                    .drop = drop,
                                                    .stop = stop,
                                                    .free = free_client};

enum csl_code csl_grpc_client_new(struct csl_transport **out,
                                  const struct csl_grpc_client_config *config, struct csl_err *err)
{
    if (config->target[0] == '\0')
        return CSL_FAIL(err, CSL_E_INVAL, "no target; 'host:port' would be right");
    if (!csl_trust_domain_valid(config->tls.trust_domain))
        return CSL_FAIL(err, CSL_E_INVAL, "trust domain is not valid");
    if (config->backoff_max_ms != 0 && config->backoff_min_ms > config->backoff_max_ms)
        return CSL_FAIL(err, CSL_E_INVAL, "shortest back-off is longer than the longest");
    struct csl_grpc__client *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "client");
    c->t.ops = &client_ops;
    c->config = *config;
    if (c->config.backoff_min_ms == 0)
        c->config.backoff_min_ms = BACKOFF_MIN_MS;
    if (c->config.backoff_max_ms == 0)
        c->config.backoff_max_ms = BACKOFF_MAX_MS;
    c->loop.tick = tick;
    c->loop.tick_ctx = c;
    csl_mutex_init(&c->mu);
    csl_cond_init(&c->changed);
    *out = &c->t;
    return CSL_OK;
}
