/* What the gRPC core library does, as far as the transport depends on it. Each test names the fact;
 * a new version of the library must pass them before the transport can move to it. */
#include "harness.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(x)   assert_int_equal((x), CSL_OK)
#define MIB     ((uint64_t)1024 * 1024)
#define OBJECT  (64 * MIB)
#define CALL_MS 10000u
#define AT_ONCE (4 * CSL_NS_PER_S) /* far from CALL_MS, generous to a loaded machine */
#define SESSION "/consilium.v1.Coordinator/Session"

struct world {
    struct h_place place;
    struct h_server server;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    h_place_make(&w->place);
    h_server_init(&w->server, OBJECT);
    h_server_start(&w->server, &w->place, 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    if (w->server.t != NULL)
        h_server_stop(&w->server, 1000);
    h_server_release(&w->server);
    h_place_remove(&w->place);
    free(w);
    return 0;
}

/* ---- a plain gRPC client ---- */

static char *text_of(const char *path)
{
    static const size_t max = 65536;
    char *text = calloc(1, max);
    FILE *f = fopen(path, "r");
    assert_non_null(text);
    assert_non_null(f);
    assert_true(fread(text, 1, max - 1, f) > 0);
    (void)fclose(f);
    return text;
}

/* name NULL: without a certificate. ca: whom the client trusts. */
static grpc_channel *dial_with(const struct h_place *ca, const struct h_place *own,
                               const char *name, uint16_t port,
                               grpc_compression_algorithm compression)
{
    char path[200], target[64];
    grpc_ssl_pem_key_cert_pair pair = {NULL, NULL};
    char *roots = text_of(ca->ca_cert), *key = NULL, *chain = NULL;
    if (name != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s.key", own->dir, name);
        key = text_of(path);
        (void)snprintf(path, sizeof(path), "%s/%s.pem", own->dir, name);
        chain = text_of(path);
        pair = (grpc_ssl_pem_key_cert_pair){key, chain};
    }
    grpc_channel_credentials *c =
        grpc_ssl_credentials_create_ex(roots, name == NULL ? NULL : &pair, NULL, NULL);
    char key_local[] = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
         key_size[] = GRPC_ARG_MAX_SEND_MESSAGE_LENGTH,
         key_compression[] = GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM;
    grpc_arg args[3] = {
        {.type = GRPC_ARG_INTEGER, .key = key_local, .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = key_size, .value.integer = -1},
        {.type = GRPC_ARG_INTEGER, .key = key_compression, .value.integer = (int)compression}};
    const grpc_channel_args list = {3, args};
    (void)snprintf(target, sizeof(target), "127.0.0.1:%u", port);
    grpc_channel *channel = grpc_channel_create(target, c, &list);
    grpc_channel_credentials_release(c);
    free(roots);
    free(key);
    free(chain);
    assert_non_null(channel);
    return channel;
}

static grpc_channel *dial(const struct h_place *ca, const struct h_place *own, const char *name,
                          uint16_t port)
{
    return dial_with(ca, own, name, port, GRPC_COMPRESS_NONE);
}

struct outcome {
    grpc_status_code status;
    char details[256];
    uint64_t took_ns;
    bool has_trace;
};

static void finish(grpc_completion_queue *cq, void *tag)
{
    grpc_event e = grpc_completion_queue_pluck(cq, tag, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    assert_int_equal(e.type, GRPC_OP_COMPLETE);
}

/* One call with one message of `bytes` zero bytes (0: none), to its end. */
static struct outcome call(grpc_channel *channel, const char *method, size_t bytes)
{
    struct outcome out = {.status = GRPC_STATUS_UNKNOWN};
    uint64_t began_ns = csl_clock_monotonic_ns();
    grpc_completion_queue *cq = grpc_completion_queue_create_for_pluck(NULL);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(CALL_MS, GPR_TIMESPAN));
    grpc_call *c =
        grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq,
                                 grpc_slice_from_static_string(method), NULL, deadline, NULL);
    grpc_metadata_array initial, trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_slice details = grpc_empty_slice();
    grpc_slice body = grpc_slice_malloc(bytes);
    memset(GRPC_SLICE_START_PTR(body), 0, bytes);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&body, 1);
    grpc_slice_unref(body);
    grpc_op ops[5];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[2].data.recv_status_on_client.status = &out.status;
    ops[2].data.recv_status_on_client.status_details = &details;
    ops[3].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[4].op = GRPC_OP_SEND_MESSAGE;
    ops[4].data.send_message.send_message = message;
    assert_int_equal(grpc_call_start_batch(c, ops, bytes > 0 ? 5 : 4, &out, NULL), GRPC_CALL_OK);
    finish(cq, &out);
    for (size_t i = 0; i < trailing.count; i++)
        out.has_trace |= grpc_slice_str_cmp(trailing.metadata[i].key, "csl-trace") == 0;
    size_t n = GRPC_SLICE_LENGTH(details);
    (void)snprintf(out.details, sizeof(out.details), "%.*s", (int)n,
                   (const char *)GRPC_SLICE_START_PTR(details));
    grpc_byte_buffer_destroy(message);
    grpc_slice_unref(details);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(c);
    grpc_completion_queue_shutdown(cq);
    while (grpc_completion_queue_pluck(cq, NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(cq);
    out.took_ns = csl_clock_monotonic_ns() - began_ns;
    return out;
}

/* ---- who gets in ---- */

/* A TLS handshake with exactly this version; true when it completed. *group: what was negotiated,
 * an OpenSSL NID. */
static bool handshake(const struct h_place *p, uint16_t port, int version, int *group)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    char path[200];
    assert_non_null(ctx);
    /* The process-wide settings bind this test too: lift them, to ask what the server does. */
    (void)SSL_CTX_clear_options(ctx, SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    (void)snprintf(path, sizeof(path), "%s/a.pem", p->dir);
    assert_int_equal(SSL_CTX_use_certificate_file(ctx, path, SSL_FILETYPE_PEM), 1);
    (void)snprintf(path, sizeof(path), "%s/a.key", p->dir);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM), 1);
    static const unsigned char alpn[] = {2, 'h', '2'};
    assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn)), 0);
    struct sockaddr_in a;
    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    SSL *ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    bool is_done = SSL_connect(ssl) == 1;
    bool is_version = SSL_version(ssl) == version;
    *group = is_done ? (int)SSL_get_negotiated_group(ssl) : 0;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
    ERR_clear_error();
    return is_done && is_version;
}

static void test_facts__tls_1_2__is_refused_and_1_3_accepted(void **state)
{
    struct world *w = *state;
    int group;
    assert_false(handshake(&w->place, w->server.port, TLS1_2_VERSION, &group));
    assert_true(handshake(&w->place, w->server.port, TLS1_3_VERSION, &group));
}

/* No list of groups is set here, so none can fail to be; this is what the libraries agree on. */
static void test_facts__tls_group__is_an_elliptic_one_of_128_bits(void **state)
{
    struct world *w = *state;
    int group;
    assert_true(handshake(&w->place, w->server.port, TLS1_3_VERSION, &group));
    if (group != NID_X25519 && group != NID_X9_62_prime256v1)
        fail_msg("group %s was negotiated", OBJ_nid2sn(group));
}

static void test_facts__no_client_certificate__is_unavailable(void **state)
{
    struct world *w = *state;
    grpc_channel *c = dial(&w->place, NULL, NULL, w->server.port);
    struct outcome o = call(c, SESSION, 0);
    grpc_channel_destroy(c);
    assert_int_equal(o.status, GRPC_STATUS_UNAVAILABLE);
    assert_true(o.took_ns < AT_ONCE);
}

static void test_facts__client_of_a_foreign_authority__is_unavailable(void **state)
{
    struct world *w = *state;
    struct h_place other;
    h_place_make(&other);
    grpc_channel *c = dial(&w->place, &other, "a", w->server.port);
    struct outcome o = call(c, SESSION, 0);
    grpc_channel_destroy(c);
    h_place_remove(&other);
    assert_int_equal(o.status, GRPC_STATUS_UNAVAILABLE);
}

static void test_facts__server_of_a_foreign_authority__is_unavailable(void **state)
{
    struct world *w = *state;
    struct h_place other;
    h_place_make(&other);
    grpc_channel *c = dial(&other, &w->place, "a", w->server.port);
    struct outcome o = call(c, SESSION, 0);
    grpc_channel_destroy(c);
    h_place_remove(&other);
    assert_int_equal(o.status, GRPC_STATUS_UNAVAILABLE);
}

/* ---- what a peer is told ---- */

static void test_facts__unknown_method__is_unimplemented_at_once(void **state)
{
    struct world *w = *state;
    grpc_channel *c = dial(&w->place, &w->place, "a", w->server.port);
    struct outcome o = call(c, "/consilium.v1.Coordinator/Nothing", 0);
    struct outcome hidden =
        call(c, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", 0);
    grpc_channel_destroy(c);
    assert_int_equal(o.status, GRPC_STATUS_UNIMPLEMENTED);
    assert_true(o.took_ns < AT_ONCE);
    assert_true(o.has_trace);
    assert_int_equal(hidden.status, GRPC_STATUS_UNIMPLEMENTED);
}

static void test_facts__message_over_the_limit__is_resource_exhausted(void **state)
{
    struct world *w = *state;
    grpc_channel *c = dial(&w->place, &w->place, "a", w->server.port);
    struct outcome core = call(c, SESSION, 3 * MIB);               /* over gRPC's limit */
    struct outcome ours = call(c, SESSION, CSL_MSG_BYTES_MAX + 1); /* over ours */
    grpc_channel_destroy(c);
    assert_int_equal(core.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(ours.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(w->server.log.messages, 0);
}

/* The limit on a message is one on its compressed bytes: inflated, 2 MiB could be 2 GiB. */
static void test_facts__compressed_message__is_refused_before_it_is_inflated(void **state)
{
    static const char *const methods[] = {SESSION, "/consilium.v1.Coordinator/Upload",
                                          "/grpc.health.v1.Health/Check"};
    struct world *w = *state;
    grpc_channel *c = dial_with(&w->place, &w->place, "a", w->server.port, GRPC_COMPRESS_GZIP);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        assert_int_equal(call(c, methods[i], 64 * MIB).status, GRPC_STATUS_UNIMPLEMENTED);
    grpc_channel_destroy(c);
    assert_int_equal(w->server.log.messages, 0);
}

static void test_facts__refusals__carry_public_text_and_a_trace_id_only(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->server.revoked, sizeof(w->server.revoked), "a");
    grpc_channel *c = dial(&w->place, &w->place, "a", w->server.port);
    struct outcome o = call(c, SESSION, 0);
    grpc_channel_destroy(c);
    assert_int_equal(o.status, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(o.details, csl_code_text(CSL_E_DENIED));
    assert_true(o.has_trace);
}

static void test_facts__malformed_chunks__are_invalid(void **state)
{
    struct world *w = *state;
    grpc_channel *c = dial(&w->place, &w->place, "a", w->server.port);
    struct outcome zeros = call(c, "/consilium.v1.Coordinator/Upload", 100);
    struct outcome nothing = call(c, "/consilium.v1.Coordinator/Upload", 0);
    struct outcome request = call(c, "/consilium.v1.Coordinator/Download", 0);
    grpc_channel_destroy(c);
    assert_int_equal(zeros.status, GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(nothing.status, GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(request.status, GRPC_STATUS_INVALID_ARGUMENT);
}

/* ---- ends ---- */

struct caller {
    grpc_channel *channel;
    struct outcome outcome;
};

static void call_watch(void *arg)
{
    struct caller *c = arg;
    c->outcome = call(c->channel, "/grpc.health.v1.Health/Watch", 1);
}

static void test_facts__handler_waiting_in_receive__does_not_hold_shutdown(void **state)
{
    struct world *w = *state;
    struct h_site site;
    h_site_init(&site);
    h_site_start(&site, &w->place, "a", w->server.port);
    assert_true(h_wait(&site.log, &site.log.opened, 1));
    assert_true(h_wait(&w->server.log, &w->server.log.opened, 1));
    h_set(&site.log, &site.log.is_blocked, true); /* the site no longer reads */
    for (uint32_t i = 0; i < 40; i++)
        OK(h_send(w->server.t, w->server.log.conn, i, 200000));
    uint64_t began_ns = csl_clock_monotonic_ns();
    h_server_stop(&w->server, 500);
    assert_true(csl_clock_monotonic_ns() - began_ns < 500 * CSL_NS_PER_MS + AT_ONCE);
    assert_int_equal(w->server.log.closed, 1); /* no upcall can follow: it was made before */
    h_set(&site.log, &site.log.is_blocked, false);
    h_site_stop(&site, 1000);
}

static void test_facts__server_gone_during_a_call__ends_it_at_once(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    struct csl_thread thread;
    struct caller c = {.channel = dial(&w->place, &w->place, "a", w->server.port)};
    memset(&thread, 0, sizeof(thread));
    OK(csl_thread_start(&thread, "caller", call_watch, &c, &err));
    csl_clock_sleep_ms(200); /* either way the call ends at once; usually it is under way */
    h_server_stop(&w->server, 200);
    csl_thread_join(&thread);
    grpc_channel_destroy(c.channel);
    assert_int_not_equal(c.outcome.status, GRPC_STATUS_OK);
    assert_int_not_equal(c.outcome.status, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_true(c.outcome.took_ns < AT_ONCE);
}

static void test_facts__port_in_use__is_refused_to_a_second_server(void **state)
{
    struct world *w = *state;
    struct csl_grpc_server_config config;
    struct csl_transport *second = NULL;
    struct csl_err err;
    h_server_config(&w->place, "coordinator", w->server.port, &w->server, &config);
    OK(csl_grpc_server_new(&second, &config, &err));
    assert_int_equal(second->ops->start(second, &err), CSL_E_IO);
    second->ops->stop(second, 0);
    second->ops->free(second);
}

/* ---- memory ---- */

/* Half the object goes through at full speed, then the sink stands still: what the sender has
 * handed over beyond that is memory of the coordinator. */
static void test_facts__receiver_that_becomes_slow__bounds_the_lead_of_the_sender(void **state)
{
    struct world *w = *state;
    struct h_site site;
    struct csl_err err;
    uint64_t last = 0;
    h_site_init(&site);
    h_site_start(&site, &w->place, "a", w->server.port);
    assert_true(h_wait(&site.log, &site.log.opened, 1));
    w->server.sink_block_at = OBJECT / 2;
    w->server.is_sink_blocked = true;
    OK(h_upload(&site, &w->server, OBJECT, 0, &err));
    assert_true(h_wait_bytes(&site.log, &site.position, OBJECT / 2));
    for (int quiet = 0; quiet < 5;) { /* until the sender has not moved for a second */
        csl_clock_sleep_ms(200);
        quiet = site.position == last ? quiet + 1 : 0;
        last = site.position;
    }
    uint64_t lead = last - OBJECT / 2;
    print_message("sender is %.1f MiB ahead\n", (double)lead / (double)MIB);
    assert_in_range(lead, 1, 8 * MIB); /* one window of 1 MiB, a chunk in each hand, sockets */
    h_set(&w->server.log, &w->server.is_sink_blocked, false);
    assert_true(h_wait(&site.log, &site.log.bulks, 1));
    OK(site.log.bulk_code);
    h_site_stop(&site, 1000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    struct csl_err err;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, getenv("CSL_TEST_LOG") ? CSL_LOG_DEBUG : CSL_LOG_SILENT);
    /* OpenSSL is in use before: its settings must still be replaced by ours. */
    struct h_place early;
    h_place_make(&early);
    h_place_remove(&early);
    if (setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "/nowhere", 1) != 0 ||
        setenv("http_proxy", "http://127.0.0.1:1", 1) != 0 || csl_grpc_init(&err) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        T(test_facts__tls_1_2__is_refused_and_1_3_accepted),
        T(test_facts__tls_group__is_an_elliptic_one_of_128_bits),
        T(test_facts__no_client_certificate__is_unavailable),
        T(test_facts__client_of_a_foreign_authority__is_unavailable),
        T(test_facts__server_of_a_foreign_authority__is_unavailable),
        T(test_facts__unknown_method__is_unimplemented_at_once),
        T(test_facts__message_over_the_limit__is_resource_exhausted),
        T(test_facts__compressed_message__is_refused_before_it_is_inflated),
        T(test_facts__refusals__carry_public_text_and_a_trace_id_only),
        T(test_facts__malformed_chunks__are_invalid),
        T(test_facts__handler_waiting_in_receive__does_not_hold_shutdown),
        T(test_facts__server_gone_during_a_call__ends_it_at_once),
        T(test_facts__port_in_use__is_refused_to_a_second_server),
        T(test_facts__receiver_that_becomes_slow__bounds_the_lead_of_the_sender),
    };
    int failed = getenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH") != NULL || getenv("http_proxy") != NULL;
    if (failed)
        (void)fprintf(stderr, "the environment was not cleaned\n");
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    csl_grpc_shutdown();
    return failed;
}
