/* The contract of transport.h over real connections: order, bounds, resumption, drain. */
#include "harness.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(x)  assert_int_equal((x), CSL_OK)
#define MIB    ((uint64_t)1024 * 1024)
#define OBJECT (8 * MIB + 12345)

struct world {
    struct h_place place;
    struct h_server server;
    struct h_site site;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    h_place_make(&w->place);
    h_server_init(&w->server, OBJECT);
    h_server_start(&w->server, &w->place, 0);
    h_site_init(&w->site);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    if (w->site.t != NULL)
        h_site_stop(&w->site, 1000);
    if (w->server.t != NULL)
        h_server_stop(&w->server, 1000);
    h_server_release(&w->server);
    h_place_remove(&w->place);
    free(w);
    return 0;
}

static void join(struct world *w)
{
    h_site_start(&w->site, &w->place, "a", w->server.port);
    assert_true(h_wait(&w->site.log, &w->site.log.opened, 1));
    assert_true(h_wait(&w->server.log, &w->server.log.opened, 1));
}

/* ---- sessions ---- */

static void test_session__messages_both_ways__arrive_once_and_in_order(void **state)
{
    struct world *w = *state;
    w->server.must_echo = true;
    join(w);
    assert_string_equal(w->server.last_site, "a");
    for (uint32_t i = 0; i < 256; i++) {
        enum csl_code code;
        while ((code = h_send(w->site.t, w->site.log.conn, i, 4 + i * 37)) == CSL_E_AGAIN)
            assert_true(h_wait(&w->site.log, &w->site.log.messages, i / 2 > 32 ? i / 2 - 32 : 0));
        OK(code);
        /* Keep the echo's outbox from filling: at most 32 in flight. */
        assert_true(h_wait(&w->site.log, &w->site.log.messages, i < 32 ? 0 : i - 32));
    }
    assert_true(h_wait(&w->site.log, &w->site.log.messages, 256));
    assert_true(h_wait(&w->server.log, &w->server.log.messages, 256));
    for (uint32_t i = 0; i < 256; i++) {
        assert_int_equal(w->server.log.got[i], i);
        assert_int_equal(w->site.log.got[i], i);
    }
}

static void test_session__peer_that_does_not_read__fills_the_outbox(void **state)
{
    struct world *w = *state;
    join(w);
    h_set(&w->site.log, &w->site.log.is_blocked, true);
    enum csl_code code = CSL_OK;
    uint32_t sent = 0;
    while (sent < 500 && (code = h_send(w->server.t, w->server.log.conn, sent, 200000)) == CSL_OK)
        sent++;
    assert_int_equal(code, CSL_E_AGAIN);
    assert_in_range(sent, CSL_OUTBOX_MESSAGES, CSL_OUTBOX_MESSAGES + 20); /* + HTTP/2's window */
    assert_in_range(w->server.t->ops->waiting(w->server.t, w->server.log.conn), 1,
                    CSL_OUTBOX_MESSAGES);
    h_set(&w->site.log, &w->site.log.is_blocked, false);
    assert_true(h_wait(&w->site.log, &w->site.log.messages, sent));
    for (uint32_t i = 0; i < sent; i++)
        assert_int_equal(w->site.log.got[i], i);
}

static void test_session__message_over_the_limit__is_refused_at_the_sender(void **state)
{
    struct world *w = *state;
    join(w);
    assert_int_equal(h_send(w->site.t, w->site.log.conn, 0, CSL_MSG_BYTES_MAX + 1), CSL_E_LIMIT);
    OK(h_send(w->site.t, w->site.log.conn, 7, CSL_MSG_BYTES_MAX));
    assert_true(h_wait(&w->server.log, &w->server.log.messages, 1));
    assert_int_equal(w->server.log.got[0], 7);
}

static void test_session__unknown_connection__is_not_found(void **state)
{
    struct world *w = *state;
    join(w);
    assert_int_equal(h_send(w->server.t, UINT64_MAX, 0, 4), CSL_E_NOTFOUND);
    assert_int_equal(h_send(w->site.t, UINT64_MAX, 0, 4), CSL_E_NOTFOUND);
    assert_int_equal(w->server.t->ops->waiting(w->server.t, UINT64_MAX), CSL_OUTBOX_MESSAGES);
    w->server.t->ops->drop(w->server.t, UINT64_MAX, CSL_E_DENIED); /* no-op */
}

static void test_session__dropped__delivers_what_was_sent_before_and_the_reason(void **state)
{
    struct world *w = *state;
    join(w);
    for (uint32_t i = 0; i < 10; i++)
        OK(h_send(w->server.t, w->server.log.conn, i, 50000));
    w->server.t->ops->drop(w->server.t, w->server.log.conn, CSL_E_STATE);
    assert_int_equal(h_send(w->server.t, w->server.log.conn, 0, 4), CSL_E_NOTFOUND);
    assert_true(h_wait(&w->server.log, &w->server.log.closed, 1));
    assert_true(h_wait(&w->site.log, &w->site.log.closed, 1));
    assert_int_equal(w->site.log.messages, 10);
    assert_int_equal(w->server.log.why, CSL_E_STATE);
    assert_int_equal(w->site.log.why, CSL_E_STATE);
    assert_true(h_wait(&w->site.log, &w->site.log.opened, 2)); /* and it comes back */
}

static void test_session__dropped_peer_that_does_not_read__is_cut(void **state)
{
    struct world *w = *state;
    join(w);
    h_set(&w->site.log, &w->site.log.is_blocked, true);
    for (uint32_t i = 0; i < 40; i++)
        OK(h_send(w->server.t, w->server.log.conn, i, 200000));
    w->server.t->ops->drop(w->server.t, w->server.log.conn, CSL_E_DENIED);
    assert_true(h_wait(&w->server.log, &w->server.log.closed, 1));
    assert_int_equal(w->server.log.why, CSL_E_DENIED);
    h_set(&w->site.log, &w->site.log.is_blocked, false);
}

static void test_session__site_stops__closes_in_order(void **state)
{
    struct world *w = *state;
    join(w);
    for (uint32_t i = 0; i < 20; i++)
        OK(h_send(w->site.t, w->site.log.conn, i, 1000));
    w->site.t->ops->stop(w->site.t, 5000);
    assert_int_equal(w->site.log.closed, 1);
    assert_int_equal(w->site.log.why, CSL_E_END);
    assert_true(h_wait(&w->server.log, &w->server.log.closed, 1));
    assert_int_equal(w->server.log.why, CSL_E_END);
    assert_int_equal(w->server.log.messages, 20);
}

static void test_session__same_site_again__replaces_the_first(void **state)
{
    struct world *w = *state;
    struct h_site second;
    join(w);
    csl_conn first = w->server.log.conn;
    h_set(&w->site.log, &w->site.log.is_blocked, false);
    h_site_init(&second);
    h_site_start(&second, &w->place, "a", w->server.port);
    assert_true(h_wait(&second.log, &second.log.opened, 1));
    assert_true(h_wait(&w->server.log, &w->server.log.opened, 2));
    assert_true(h_wait(&w->server.log, &w->server.log.closed, 1));
    assert_int_equal(h_send(w->server.t, first, 0, 4), CSL_E_NOTFOUND);
    assert_true(h_wait(&w->site.log, &w->site.log.closed, 1));
    assert_int_equal(w->site.log.why, CSL_E_CANCELLED);
    h_site_stop(&second, 1000);
}

static void test_session__server_restarts_on_its_port__sites_come_back(void **state)
{
    struct world *w = *state;
    join(w);
    for (uint32_t i = 1; i <= 3; i++) {
        uint16_t port = w->server.port;
        h_server_stop(&w->server, 1000);
        assert_true(h_wait(&w->site.log, &w->site.log.closed, i));
        assert_int_equal(w->site.log.why, CSL_E_UNAVAIL);
        h_server_start(&w->server, &w->place, port);
        assert_true(h_wait(&w->site.log, &w->site.log.opened, i + 1));
    }
    OK(h_send(w->site.t, w->site.log.conn, 5, 4));
    assert_true(h_wait(&w->server.log, &w->server.log.messages, 1));
}

static void test_session__line_is_cut__both_sides_hear_of_it(void **state)
{
    struct world *w = *state;
    struct h_relay relay;
    h_relay_start(&relay, w->server.port, false);
    h_site_start(&w->site, &w->place, "a", relay.port);
    assert_true(h_wait(&w->site.log, &w->site.log.opened, 1));
    h_relay_cut_after(&relay, 1);
    OK(h_send(w->site.t, w->site.log.conn, 1, 1000));
    assert_true(h_wait(&w->site.log, &w->site.log.closed, 1));
    assert_true(h_wait(&w->server.log, &w->server.log.closed, 1));
    assert_int_equal(w->site.log.why, CSL_E_UNAVAIL);
    assert_int_equal(w->server.log.why, CSL_E_UNAVAIL);
    assert_true(h_wait(&w->site.log, &w->site.log.opened, 2));
    h_site_stop(&w->site, 1000);
    h_relay_stop(&relay);
}

static void test_session__through_a_proxy__reaches_the_coordinator(void **state)
{
    struct world *w = *state;
    struct h_relay proxy;
    struct csl_grpc_client_config config;
    struct csl_err err;
    h_relay_start(&proxy, w->server.port, true);
    h_site_config(&w->place, "a", w->server.port, &config);
    /* A name that only the proxy can resolve, checked against the certificate's own. */
    (void)snprintf(config.target, sizeof(config.target), "coordinator.invalid:443");
    (void)snprintf(config.server_name, sizeof(config.server_name), "localhost");
    (void)snprintf(config.http_proxy, sizeof(config.http_proxy), "http://127.0.0.1:%u", proxy.port);
    OK(csl_grpc_client_new(&w->site.t, &config, &err));
    OK(w->site.t->ops->start(w->site.t, &err));
    assert_true(h_wait(&w->server.log, &w->server.log.opened, 1));
    h_site_stop(&w->site, 1000);
    h_relay_stop(&proxy);
    assert_string_equal(proxy.asked, "CONNECT coordinator.invalid:443 HTTP/1.1");
}

/* ---- transfers ---- */

static void upload(struct world *w, uint64_t bytes, uint64_t offset, enum csl_code expected)
{
    struct csl_err err;
    uint32_t before = w->site.log.bulks;
    OK(h_upload(&w->site, &w->server, bytes, offset, &err));
    assert_true(h_wait(&w->site.log, &w->site.log.bulks, before + 1));
    assert_int_equal(w->site.log.bulk_code, expected);
    assert_true(w->site.was_closed);
}

static void test_upload__whole_object__is_finished_before_the_receipt(void **state)
{
    struct world *w = *state;
    join(w);
    upload(w, OBJECT, 0, CSL_OK);
    assert_int_equal(w->server.finished, 1);
    assert_int_equal(w->server.written, OBJECT);
    assert_int_equal(w->server.abandoned, 0);
}

static void test_upload__sizes_at_the_edges__arrive(void **state)
{
    struct world *w = *state;
    static const uint64_t sizes[] = {0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, MIB};
    join(w);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        w->server.written = 0;
        upload(w, sizes[i], 0, CSL_OK);
        assert_int_equal(w->server.finished, i + 1);
        assert_int_equal(w->server.written, sizes[i]);
    }
}

static void test_upload__line_is_cut__resumes_where_the_coordinator_is(void **state)
{
    struct world *w = *state;
    struct h_relay relay;
    struct csl_err err;
    h_relay_start(&relay, w->server.port, false);
    h_site_start(&w->site, &w->place, "a", relay.port);
    uint32_t bulks = 0;
    for (uint32_t i = 1; w->server.finished == 0 && i < 10; i++) {
        assert_true(h_wait(&w->site.log, &w->site.log.opened, i));
        assert_true(h_wait(&w->server.log, &w->server.abandoned, bulks));
        if (i <= 3)
            h_relay_cut_after(&relay, 2 * MIB);
        OK(h_upload(&w->site, &w->server, OBJECT, w->server.written, &err));
        assert_true(h_wait(&w->site.log, &w->site.log.bulks, ++bulks));
        if (w->site.log.bulk_code != CSL_OK)
            assert_int_equal(w->site.log.bulk_code, CSL_E_UNAVAIL);
    }
    assert_int_equal(h_relay_cuts(&relay), 3);
    assert_int_equal(w->server.finished, 1);
    assert_int_equal(w->server.abandoned, 3);
    assert_int_equal(w->server.written, OBJECT);
    h_site_stop(&w->site, 1000);
    h_relay_stop(&relay);
}

static void test_upload__source_fails__is_abandoned_and_said_so(void **state)
{
    struct world *w = *state;
    join(w);
    w->site.fail_at = 3 * MIB;
    upload(w, OBJECT, 0, CSL_E_IO);
    assert_true(h_wait(&w->server.log, &w->server.abandoned, 1));
    assert_int_equal(w->server.finished, 0);
    w->site.fail_at = UINT64_MAX;
    upload(w, OBJECT, w->server.written, CSL_OK);
    assert_int_equal(w->server.finished, 1);
}

static void test_upload__source_shorter_or_longer_than_said__fails(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    join(w);
    OK(h_upload(&w->site, &w->server, MIB, 0, &err));
    assert_true(h_wait(&w->site.log, &w->site.log.bulks, 1));
    OK(w->site.log.bulk_code);
    w->server.written = 0;
    w->site.fail_at = MIB; /* the source of the harness ends at `bytes`; make it end earlier */
    upload(w, 2 * MIB, 0, CSL_E_IO);
    assert_true(h_wait(&w->server.log, &w->server.abandoned, 1));
}

static void test_upload__wrong_ticket__is_refused(void **state)
{
    struct world *w = *state;
    join(w);
    w->site.is_ticket_wrong = true;
    upload(w, OBJECT, 0, CSL_E_DENIED);
    assert_int_equal(w->server.written, 0);
    assert_int_equal(w->server.abandoned, 0);
}

static void test_upload__wrong_digest__is_not_acknowledged(void **state)
{
    struct world *w = *state;
    join(w);
    w->site.is_digest_wrong = true;
    upload(w, OBJECT, 0, CSL_E_INVAL); /* what CRYPTO looks like from the other side */
    assert_int_equal(w->server.finished, 0);
    assert_int_equal(w->server.abandoned, 0); /* finish was its last call */
}

static void test_download__whole_and_resumed__is_the_object(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    static const uint64_t offsets[] = {0, 1, 5 * MIB + 3, OBJECT};
    join(w);
    for (uint32_t i = 0; i < 4; i++) {
        OK(h_download(&w->site, &w->server, OBJECT, offsets[i], &err));
        assert_true(h_wait(&w->site.log, &w->site.log.bulks, i + 1));
        OK(w->site.log.bulk_code);
        assert_true(w->site.was_finished);
        assert_false(w->site.was_abandoned);
        assert_false(w->site.is_received_wrong);
        assert_int_equal(w->site.received, OBJECT);
    }
}

static void test_download__refused__abandons_the_sink_once(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    join(w);
    OK(h_download(&w->site, &w->server, OBJECT + 1, 0, &err));
    assert_true(h_wait(&w->site.log, &w->site.log.bulks, 1));
    assert_int_equal(w->site.log.bulk_code, CSL_E_NOTFOUND);
    assert_true(w->site.was_abandoned);
    assert_false(w->site.was_finished);
}

static void test_transfer__without_a_connection__is_unavailable_at_once(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    h_site_start(&w->site, &w->place, "a", 1); /* nobody listens there */
    assert_int_equal(h_upload(&w->site, &w->server, OBJECT, 0, &err), CSL_E_UNAVAIL);
    assert_int_equal(h_download(&w->site, &w->server, OBJECT, 0, &err), CSL_E_UNAVAIL);
    assert_false(w->site.was_closed);
    assert_int_equal(w->server.t->ops->upload(w->server.t, 1, NULL, NULL, &err), CSL_E_UNSUPPORTED);
}

static void test_stop__upload_in_flight__is_let_finish(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    join(w);
    w->server.sink_block_at = OBJECT / 2;
    h_set(&w->server.log, &w->server.is_sink_blocked, true);
    OK(h_upload(&w->site, &w->server, OBJECT, 0, &err));
    /* The server has it: what the site has sent may still lie in the sockets, and a call that the
     * server does not know yet when it stops is refused. */
    assert_true(h_wait_bytes(&w->server.log, &w->server.written, MIB));
    h_set(&w->server.log, &w->server.is_sink_blocked, false);
    h_server_stop(&w->server, 15000);
    assert_int_equal(w->server.finished, 1);
    assert_true(h_wait(&w->site.log, &w->site.log.bulks, 1));
    OK(w->site.log.bulk_code);
}

static void test_stop__upload_that_does_not_end__is_cut_after_the_grace(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    join(w);
    w->site.block_at = 2 * MIB;
    w->site.is_source_blocked = true;
    OK(h_upload(&w->site, &w->server, OBJECT, 0, &err));
    assert_true(h_wait_bytes(&w->server.log, &w->server.written, MIB));
    uint64_t before_ns = csl_clock_monotonic_ns();
    h_server_stop(&w->server, 300);
    assert_in_range(csl_clock_monotonic_ns() - before_ns, 300 * CSL_NS_PER_MS, 3 * CSL_NS_PER_S);
    assert_int_equal(w->server.abandoned, 1);
    h_set(&w->site.log, &w->site.is_source_blocked, false);
    assert_true(h_wait(&w->site.log, &w->site.log.bulks, 1));
    assert_int_equal(w->site.log.bulk_code, CSL_E_UNAVAIL);
}

static void test_stop__site_with_a_stuck_coordinator__is_cut_after_the_grace(void **state)
{
    struct world *w = *state;
    struct csl_err err;
    join(w);
    h_set(&w->server.log, &w->server.is_sink_blocked, true);
    OK(h_upload(&w->site, &w->server, OBJECT, 0, &err));
    assert_true(h_wait_bytes(&w->site.log, &w->site.position, MIB));
    w->site.t->ops->stop(w->site.t, 200);
    assert_int_equal(w->site.log.bulks, 1);
    assert_int_equal(w->site.log.bulk_code, CSL_E_CANCELLED);
    assert_true(w->site.was_closed);
    h_set(&w->server.log, &w->server.is_sink_blocked, false);
    assert_true(h_wait(&w->server.log, &w->server.abandoned, 1));
}

/* ---- many ---- */

#define MANY 64u

static void test_many__sites_with_sessions_and_uploads__are_all_served(void **state)
{
    struct world *w = *state;
    struct h_site *sites = calloc(MANY, sizeof(*sites));
    struct csl_err err;
    assert_non_null(sites);
    w->server.is_parallel = true;
    for (uint32_t i = 0; i < MANY; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "site-%u", i);
        h_issue_site(&w->place, id, id, 5);
        h_site_init(&sites[i]);
        h_site_start(&sites[i], &w->place, id, w->server.port);
    }
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(h_wait(&sites[i].log, &sites[i].log.opened, 1));
    for (uint32_t i = 0; i < MANY; i++)
        OK(h_upload(&sites[i], &w->server, MIB, 0, &err));
    for (uint32_t i = 0; i < MANY; i++) { /* control goes on beside the uploads */
        OK(h_send(w->server.t, w->server.conns[i], i, 1000));
        assert_true(h_wait(&sites[i].log, &sites[i].log.messages, 1));
        assert_int_equal(sites[i].log.got[0], i);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(h_wait(&sites[i].log, &sites[i].log.bulks, 1));
        OK(sites[i].log.bulk_code);
    }
    assert_int_equal(w->server.finished, MANY);
    for (uint32_t i = 0; i < MANY; i++)
        h_site_stop(&sites[i], 1000);
    free(sites);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    struct csl_err err;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, getenv("CSL_TEST_LOG") ? CSL_LOG_DEBUG : CSL_LOG_SILENT);
    if (csl_grpc_init(&err) != CSL_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        T(test_session__messages_both_ways__arrive_once_and_in_order),
        T(test_session__peer_that_does_not_read__fills_the_outbox),
        T(test_session__message_over_the_limit__is_refused_at_the_sender),
        T(test_session__unknown_connection__is_not_found),
        T(test_session__dropped__delivers_what_was_sent_before_and_the_reason),
        T(test_session__dropped_peer_that_does_not_read__is_cut),
        T(test_session__site_stops__closes_in_order),
        T(test_session__same_site_again__replaces_the_first),
        T(test_session__server_restarts_on_its_port__sites_come_back),
        T(test_session__line_is_cut__both_sides_hear_of_it),
        T(test_session__through_a_proxy__reaches_the_coordinator),
        T(test_upload__whole_object__is_finished_before_the_receipt),
        T(test_upload__sizes_at_the_edges__arrive),
        T(test_upload__line_is_cut__resumes_where_the_coordinator_is),
        T(test_upload__source_fails__is_abandoned_and_said_so),
        T(test_upload__source_shorter_or_longer_than_said__fails),
        T(test_upload__wrong_ticket__is_refused),
        T(test_upload__wrong_digest__is_not_acknowledged),
        T(test_download__whole_and_resumed__is_the_object),
        T(test_download__refused__abandons_the_sink_once),
        T(test_transfer__without_a_connection__is_unavailable_at_once),
        T(test_stop__upload_in_flight__is_let_finish),
        T(test_stop__upload_that_does_not_end__is_cut_after_the_grace),
        T(test_stop__site_with_a_stuck_coordinator__is_cut_after_the_grace),
        T(test_many__sites_with_sessions_and_uploads__are_all_served),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    csl_grpc_shutdown();
    return failed;
}
