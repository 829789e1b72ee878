#include "tests/unit/wire/process.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_inproc__session__opens_and_carries_messages_in_order(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){.delay_ns = 1000});
    struct process server = {.wants_echo = true}, site = {0};
    boot_site(&site, net, "a"); /* before the server: it waits */
    assert_true(csl_inproc_next_ns(net) == UINT64_MAX);
    boot_server(&server, net);
    assert_true(csl_inproc_next_ns(net) == 1000);
    assert_true(csl_inproc_step(net, UINT64_MAX));
    assert_string_equal(server.peer, "a");
    for (int i = 0; i < 5; i++) {
        char text[8];
        snprintf(text, sizeof(text), "m%d", i);
        assert_int_equal(say(&site, text), CSL_OK);
    }
    assert_int_equal(drain(net, UINT64_MAX), 10);
    assert_string_equal(server.log, "opened m0 m1 m2 m3 m4 ");
    assert_string_equal(site.log, "opened m0 m1 m2 m3 m4 ");
    assert_true(csl_inproc_now_ns(net) == 3000);
    struct csl_inproc_stats stats = csl_inproc_stats(net);
    assert_int_equal(stats.messages, 10);
    assert_int_equal(stats.bytes_up, 10);
    assert_int_equal(stats.bytes_down, 10);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc__jitter__never_reorders_a_session(void **state)
{
    (void)state;
    struct csl_inproc *net =
        new_net((struct csl_inproc_config){.seed = 5, .delay_ns = 10, .jitter_ns = 1000000});
    struct process server = {0}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    assert_true(csl_inproc_step(net, UINT64_MAX));
    char expected[LOG_MAX] = "opened ";
    for (int i = 0; i < 50; i++) {
        char text[8];
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(say(&site, text), CSL_OK);
        snprintf(expected + strlen(expected), 8, "%d ", i);
    }
    drain(net, UINT64_MAX);
    assert_string_equal(server.log, expected);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc__step__stops_the_clock_where_told(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){.delay_ns = 1000});
    struct process server = {0}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    assert_false(csl_inproc_step(net, 999));
    assert_true(csl_inproc_now_ns(net) == 999);
    assert_int_equal(site.opened, 0);
    assert_true(csl_inproc_step(net, 1000));
    assert_int_equal(site.opened, 1);
    assert_false(csl_inproc_step(net, UINT64_MAX));
    assert_true(csl_inproc_now_ns(net) == 1000);
    assert_false(csl_inproc_step(net, 5000));
    assert_true(csl_inproc_now_ns(net) == 5000);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc__outbox_full__says_again(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){.delay_ns = 1});
    struct process server = {0}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    for (int i = 0; i < CSL_OUTBOX_MESSAGES; i++)
        assert_int_equal(say(&server, "x"), CSL_OK);
    assert_int_equal(say(&server, "x"), CSL_E_AGAIN);
    assert_int_equal(server.t->ops->waiting(server.t, server.conn), CSL_OUTBOX_MESSAGES);
    drain(net, UINT64_MAX);
    assert_int_equal(server.t->ops->waiting(server.t, server.conn), 0);
    assert_int_equal(say(&server, "x"), CSL_OK);
    assert_int_equal(site.messages, CSL_OUTBOX_MESSAGES);
    struct csl_msg large = {csl_alloc(CSL_MSG_BYTES_MAX + 1), CSL_MSG_BYTES_MAX + 1};
    assert_int_equal(server.t->ops->send(server.t, server.conn, &large, NULL), CSL_E_LIMIT);
    server.conn += 1 << 13;
    assert_int_equal(server.t->ops->waiting(server.t, server.conn), CSL_OUTBOX_MESSAGES);
    assert_int_equal(say(&server, "x"), CSL_E_NOTFOUND);
    server.conn = 4095;
    assert_int_equal(say(&server, "x"), CSL_E_NOTFOUND);
    server.conn = 0;
    assert_int_equal(say(&server, "x"), CSL_E_NOTFOUND);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc__cut__loses_what_is_in_flight_and_reconnects(void **state)
{
    (void)state;
    struct csl_inproc *net =
        new_net((struct csl_inproc_config){.delay_ns = 100, .reconnect_ns = 5000});
    struct process server = {0}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    csl_conn first = site.conn;
    assert_int_equal(say(&site, "lost"), CSL_OK);
    csl_inproc_cut(net, "a");
    csl_inproc_cut(net, "unknown");
    assert_int_equal(say(&site, "gone"), CSL_E_NOTFOUND);
    drain(net, 4000);
    assert_string_equal(server.log, "opened closed ");
    assert_string_equal(site.log, "opened closed ");
    assert_int_equal(site.why, CSL_E_UNAVAIL);
    assert_true(csl_inproc_next_ns(net) == 100 + 5000 + 100);
    drain(net, UINT64_MAX);
    assert_string_equal(site.log, "opened closed opened ");
    assert_true(site.conn > first);
    assert_int_equal(say(&site, "again"), CSL_OK);
    drain(net, UINT64_MAX);
    assert_string_equal(server.log, "opened closed opened again ");
    assert_int_equal(csl_inproc_stats(net).cuts, 1);
    assert_int_equal(csl_inproc_stats(net).sessions, 2);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc__drop__delivers_what_was_said_before(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net(
        (struct csl_inproc_config){.delay_ns = 100, .jitter_ns = 500, .reconnect_ns = 1000000});
    struct process server = {.wants_drop = true}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    assert_int_equal(say(&site, "hello"), CSL_OK);
    assert_int_equal(say(&site, "unheard"), CSL_OK);
    drain(net, 5000);
    assert_string_equal(server.log, "opened hello closed ");
    assert_string_equal(site.log, "opened bye closed ");
    assert_int_equal(server.why, CSL_E_DENIED);
    assert_int_equal(site.why, CSL_E_DENIED);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc__server_restart__sites_come_back(void **state)
{
    (void)state;
    struct csl_inproc *net =
        new_net((struct csl_inproc_config){.delay_ns = 100, .reconnect_ns = 1000});
    struct process server = {0}, site = {0}, again = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    struct csl_transport *second = NULL;
    assert_int_equal(csl_inproc_server(net, &second, NULL), CSL_E_EXISTS);
    halt(&server);
    assert_int_equal(server.closed, 1);
    assert_int_equal(server.why, CSL_E_CANCELLED);
    drain(net, UINT64_MAX);
    assert_string_equal(site.log, "opened closed ");
    assert_true(csl_inproc_next_ns(net) == UINT64_MAX);
    boot_server(&again, net);
    drain(net, UINT64_MAX);
    assert_string_equal(site.log, "opened closed opened ");
    assert_string_equal(again.log, "opened ");
    halt(&site);
    assert_int_equal(site.closed, 2);
    drain(net, UINT64_MAX);
    assert_string_equal(again.log, "opened closed ");
    halt(&again);
    csl_inproc_free(net);
}

static void test_inproc__site_restart__has_its_id_back(void **state)
{
    (void)state;
    struct csl_inproc *net =
        new_net((struct csl_inproc_config){.delay_ns = 100, .reconnect_ns = 1000});
    struct process server = {0}, site = {0}, again = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    struct csl_transport *t = NULL;
    assert_int_equal(csl_inproc_client(net, "a", &t, NULL), CSL_E_EXISTS);
    assert_int_equal(csl_inproc_client(net, "Not an id", &t, NULL), CSL_E_INVAL);
    memset(&site.t->up, 0, sizeof(site.t->up)); /* killed: hears nothing */
    halt(&site);
    assert_int_equal(site.closed, 0);
    boot_site(&again, net, "a");
    drain(net, UINT64_MAX);
    assert_string_equal(server.log, "opened closed opened ");
    assert_string_equal(again.log, "opened ");
    halt(&again);
    halt(&server);
    csl_inproc_free(net);
}

/* Cancelled timers leave the queue in order: drain checks that time never runs back. */
static void test_inproc__random_cuts__keep_events_in_order(void **state)
{
    (void)state;
    enum { SITES = 200 };
    struct csl_inproc *net = new_net((struct csl_inproc_config){
        .seed = 9, .delay_ns = 1000, .jitter_ns = 1000000, .reconnect_ns = 300000});
    struct process server = {0};
    struct process *sites = csl_alloc_array(SITES, sizeof(*sites));
    uint64_t x = 1;
    assert_non_null(sites);
    boot_server(&server, net);
    for (int i = 0; i < SITES; i++) {
        char id[16];
        snprintf(id, sizeof(id), "s%d", i);
        boot_site(&sites[i], net, id);
    }
    for (int round = 0; round < 400; round++) {
        for (int k = 0; k < 20; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            struct process *p = &sites[(x >> 33) % SITES];
            char id[16];
            snprintf(id, sizeof(id), "s%u", (unsigned)((x >> 43) % SITES));
            if (k % 4 == 0)
                csl_inproc_cut(net, id);
            else if (p->conn != 0)
                (void)say(p, "x");
        }
        drain(net, csl_inproc_now_ns(net) + 50000);
    }
    drain(net, UINT64_MAX);
    assert_true(csl_inproc_stats(net).cuts > 500);
    for (int i = 0; i < SITES; i++) {
        assert_int_equal(sites[i].opened, sites[i].closed + 1);
        halt(&sites[i]);
    }
    halt(&server);
    csl_inproc_free(net);
    csl_free(sites);
}

static void test_inproc__four_thousand_sites__each_gets_its_answer(void **state)
{
    (void)state;
    enum { SITES = 4000 };
    struct csl_inproc *net =
        new_net((struct csl_inproc_config){.seed = 3, .delay_ns = 1000000, .jitter_ns = 900000});
    struct process server = {.wants_echo = true};
    struct process *sites = csl_alloc_array(SITES, sizeof(*sites));
    assert_non_null(sites);
    boot_server(&server, net);
    for (int i = 0; i < SITES; i++) {
        char id[16];
        snprintf(id, sizeof(id), "site-%d", i);
        boot_site(&sites[i], net, id);
    }
    assert_int_equal(drain(net, UINT64_MAX), SITES);
    for (int i = 0; i < SITES; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(say(&sites[i], text), CSL_OK);
    }
    assert_int_equal(drain(net, UINT64_MAX), 2 * SITES);
    for (int i = 0; i < SITES; i++) {
        char text[32];
        snprintf(text, sizeof(text), "opened %d ", i);
        assert_string_equal(sites[i].log, text);
    }
    server.wants_echo = false;
    halt(&server);
    drain(net, UINT64_MAX);
    for (int i = 0; i < SITES; i++) {
        assert_int_equal(sites[i].closed, 1);
        halt(&sites[i]);
    }
    csl_inproc_free(net);
    csl_free(sites);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inproc__session__opens_and_carries_messages_in_order),
        cmocka_unit_test(test_inproc__jitter__never_reorders_a_session),
        cmocka_unit_test(test_inproc__step__stops_the_clock_where_told),
        cmocka_unit_test(test_inproc__outbox_full__says_again),
        cmocka_unit_test(test_inproc__cut__loses_what_is_in_flight_and_reconnects),
        cmocka_unit_test(test_inproc__drop__delivers_what_was_said_before),
        cmocka_unit_test(test_inproc__server_restart__sites_come_back),
        cmocka_unit_test(test_inproc__site_restart__has_its_id_back),
        cmocka_unit_test(test_inproc__random_cuts__keep_events_in_order),
        cmocka_unit_test(test_inproc__four_thousand_sites__each_gets_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
