#include "tests/unit/wire/process.h"

#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_inproc_bulk__upload__arrives_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 9999, 10000, 10001, 1000003};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct csl_inproc *net =
            new_net((struct csl_inproc_config){.delay_ns = 100, .chunk_bytes = 10000});
        struct process server = {0}, site = {.read_max = i % 2 == 0 ? 0 : 777};
        boot_server(&server, net);
        boot_site(&site, net, "a");
        drain(net, UINT64_MAX);
        give_object(&site, &server, sizes[i]);
        upload(&site, 42, 0);
        uint64_t events = drain(net, UINT64_MAX);
        assert_int_equal(site.done_code, CSL_OK);
        assert_int_equal(site.done, 1);
        assert_int_equal(site.done_id, 42);
        assert_int_equal(site.source_closed, 1);
        assert_int_equal(server.finished, 1);
        assert_int_equal(server.abandoned, 0);
        assert_int_equal(server.received_bytes, sizes[i]);
        assert_memory_equal(server.received, site.object, sizes[i]);
        /* head, chunks, digest, bulk_done: one event each */
        assert_int_equal(events, 3 + (sizes[i] + 9999) / 10000);
        assert_true(csl_inproc_stats(net).bytes_up > sizes[i]);
        halt(&site);
        halt(&server);
        csl_inproc_free(net);
    }
}

static void test_inproc_bulk__download__resumes_at_its_offset(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){.chunk_bytes = 4096});
    struct process server = {0}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    give_object(&server, &site, 100000);
    memcpy(site.received, server.object, 33333);
    site.received_bytes = 33333;
    download(&site, 1, 100000, 33333);
    drain(net, UINT64_MAX);
    assert_int_equal(site.done_code, CSL_OK);
    assert_int_equal(server.head.bytes_offset, 33333);
    assert_memory_equal(site.received, server.object, 100000);
    assert_int_equal(server.source_closed, 1);
    uint64_t down = csl_inproc_stats(net).bytes_down;
    assert_true(down >= 66667 && down < 66667 + 1000);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc_bulk__transfer_errors__reach_the_client_as_they_are(void **state)
{
    (void)state;
    static const struct {
        bool is_upload;
        enum csl_code refuse, finish, read;
        size_t fail_after;
        int64_t announced; /* more or less than there is */
        enum csl_code expected;
        uint32_t abandoned;
    } rows[] = {
        {true, CSL_E_DENIED, 0, 0, 0, 0, CSL_E_DENIED, 0},
        {false, CSL_E_NOTFOUND, 0, 0, 0, 0, CSL_E_NOTFOUND, 1},
        {true, 0, CSL_E_CRYPTO, 0, 0, 0, CSL_E_CRYPTO, 0},
        {false, 0, CSL_E_CORRUPT, 0, 0, 0, CSL_E_CORRUPT, 0},
        {true, 0, 0, CSL_E_IO, 0, 0, CSL_E_IO, 1},
        {false, 0, 0, CSL_E_IO, 0, 0, CSL_E_IO, 1},
        {true, 0, 0, 0, 20000, 0, CSL_E_CORRUPT, 1},
        {false, 0, 0, 0, 20000, 0, CSL_E_CORRUPT, 1},
        {true, 0, 0, 0, 0, 1, CSL_E_PROTO, 1},
        {true, 0, 0, 0, 0, -1, CSL_E_PROTO, 1},
        {false, 0, 0, 0, 0, 1, CSL_E_PROTO, 1},
        {false, 0, 0, 0, 0, -1, CSL_E_PROTO, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_inproc *net =
            new_net((struct csl_inproc_config){.chunk_bytes = 4096, .delay_ns = 10});
        struct process server = {.refuse = rows[i].refuse}, site = {0};
        boot_server(&server, net);
        boot_site(&site, net, "a");
        drain(net, UINT64_MAX);
        struct process *from = rows[i].is_upload ? &site : &server;
        struct process *to = rows[i].is_upload ? &server : &site;
        give_object(from, to, 50000);
        from->read_code = rows[i].read;
        to->finish_code = rows[i].finish;
        to->fail_after = rows[i].fail_after;
        uint64_t total = (uint64_t)(50000 + rows[i].announced);
        if (rows[i].is_upload) {
            struct csl_bulk_head head = {.bytes_total = total};
            struct csl_bulk_source source = source_of(&site);
            assert_int_equal(site.t->ops->upload(site.t, 9, &head, &source, NULL), CSL_OK);
        } else {
            download(&site, 9, total, 0);
        }
        drain(net, UINT64_MAX);
        if (site.done != 1 || site.done_code != rows[i].expected)
            fail_msg("row %zu: %s", i, csl_code_name(site.done_code));
        assert_true(to->received_bytes <= total);
        assert_int_equal(to->abandoned, rows[i].abandoned);
        assert_int_equal(from->source_closed, rows[i].is_upload || rows[i].refuse == 0 ? 1 : 0);
        assert_int_equal(site.closed, 0); /* the session is not touched */
        halt(&site);
        halt(&server);
        csl_inproc_free(net);
    }
}

static void test_inproc_bulk__cut_in_a_transfer__resumes_where_it_broke(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){
        .chunk_bytes = 10000, .delay_ns = 100, .reconnect_ns = 1000, .bytes_per_s = 1e9});
    struct process server = {0}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    give_object(&site, &server, 95000);
    upload(&site, 1, 0);
    for (int i = 0; i < 5; i++)
        assert_true(csl_inproc_step(net, UINT64_MAX));
    csl_inproc_cut(net, "a");
    drain(net, UINT64_MAX);
    assert_int_equal(site.done_code, CSL_E_UNAVAIL);
    assert_int_equal(server.abandoned, 1);
    assert_int_equal(server.abandon_code, CSL_E_UNAVAIL);
    assert_int_equal(server.received_bytes, 40000);
    assert_int_equal(site.opened, 2);
    upload(&site, 2, server.received_bytes);
    drain(net, UINT64_MAX);
    assert_int_equal(site.done_code, CSL_OK);
    assert_int_equal(site.done, 2);
    assert_memory_equal(server.received, site.object, 95000);
    assert_int_equal(site.source_closed, 2);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc_bulk__cut_inside_an_upcall__ends_both_sides_once(void **state)
{
    (void)state;
    for (int when = 0; when < 2; when++) {
        struct csl_inproc *net = new_net((struct csl_inproc_config){.chunk_bytes = 10000});
        struct process server = {.wants_cut_in_open = when == 0, .wants_cut_in_write = when == 1};
        struct process site = {0};
        boot_server(&server, net);
        boot_site(&site, net, "a");
        drain(net, UINT64_MAX);
        give_object(&site, &server, 30000);
        upload(&site, 1, 0);
        drain(net, UINT64_MAX);
        assert_int_equal(site.done, 1);
        assert_int_equal(site.done_code, CSL_E_UNAVAIL);
        assert_int_equal(site.source_closed, 1);
        assert_int_equal(server.abandoned, 1);
        assert_int_equal(server.received_bytes, when == 0 ? 0 : 10000);
        halt(&site);
        halt(&server);
        csl_inproc_free(net);
    }
}

static void test_inproc_bulk__stop_in_a_transfer__gives_back_what_was_lent(void **state)
{
    (void)state;
    for (int who = 0; who < 4; who++) {
        bool is_upload = who < 2, is_server = who % 2 == 0;
        struct csl_inproc *net = new_net((struct csl_inproc_config){.chunk_bytes = 1000});
        struct process server = {0}, site = {0};
        boot_server(&server, net);
        boot_site(&site, net, "a");
        drain(net, UINT64_MAX);
        struct process *from = is_upload ? &site : &server, *to = is_upload ? &server : &site;
        give_object(from, to, 30000);
        if (is_upload)
            upload(&site, 1, 0);
        else
            download(&site, 1, 30000, 0);
        for (int i = 0; i < 6; i++)
            assert_true(csl_inproc_step(net, UINT64_MAX));
        struct process *stopped = is_server ? &server : &site;
        stopped->t->ops->stop(stopped->t, 0);
        assert_int_equal(stopped == from ? from->source_closed : to->abandoned, 1);
        drain(net, UINT64_MAX);
        assert_int_equal(from->source_closed, 1);
        assert_int_equal(to->abandoned, 1);
        assert_int_equal(site.done, 1);
        assert_int_equal(site.done_code, is_server ? CSL_E_UNAVAIL : CSL_E_CANCELLED);
        halt(&site);
        halt(&server);
        csl_inproc_free(net);
    }
}

static void test_inproc_bulk__transfers__have_a_maximum_and_need_a_session(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){.delay_ns = 10});
    struct process server = {0}, site = {0};
    boot_site(&site, net, "a");
    give_object(&site, &server, 1000);
    for (uint64_t i = 0; i < 4; i++)
        upload(&site, i, 0);
    struct csl_bulk_head head = {.bytes_total = 1000};
    struct csl_bulk_source source = source_of(&site);
    assert_int_equal(site.t->ops->upload(site.t, 9, &head, &source, NULL), CSL_E_AGAIN);
    drain(net, UINT64_MAX);
    assert_int_equal(site.done, 4);
    assert_int_equal(site.done_code, CSL_E_UNAVAIL);
    head.bytes_offset = 1001;
    assert_int_equal(site.t->ops->upload(site.t, 9, &head, &source, NULL), CSL_E_INVAL);
    assert_int_equal(site.source_closed, 4);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

/* A net, a server, a site, a message and an upload with each allocation failing once. */
static enum csl_code small_run(void)
{
    struct csl_inproc *net = NULL;
    struct csl_transport *server = NULL, *site = NULL;
    struct csl_msg m = {0};
    struct process p = {.object_bytes = 0};
    struct csl_bulk_source source = source_of(&p);
    struct csl_bulk_head head = {.bytes_total = 0};
    uint32_t closed = 0;
    enum csl_code code = csl_inproc_new(&net, &(struct csl_inproc_config){.seed = 1}, NULL);
    if (code == CSL_OK)
        code = csl_inproc_server(net, &server, NULL);
    if (code == CSL_OK)
        code = csl_inproc_client(net, "a", &site, NULL);
    if (code == CSL_OK)
        code = server->ops->start(server, NULL);
    if (code == CSL_OK)
        code = site->ops->start(site, NULL);
    if (code == CSL_OK) {
        assert_true(csl_inproc_step(net, UINT64_MAX));
        code = csl_msg_copy(&m, CSL_SPAN("x", 1), NULL);
    }
    if (code == CSL_OK)
        code = site->ops->send(site, UINT64_C(1) << 13 | 1, &m, NULL);
    if (code == CSL_OK)
        code = site->ops->upload(site, 1, &head, &source, NULL);
    closed = code == CSL_OK ? 1 : 0;
    if (site != NULL)
        site->ops->free(site);
    if (server != NULL)
        server->ops->free(server);
    csl_inproc_free(net);
    assert_int_equal(p.source_closed, closed);
    return code;
}

static void test_inproc_bulk__each_allocation_fails__is_reported(void **state)
{
    (void)state;
    enum csl_code code = CSL_E_NOMEM;
    uint64_t n = 0;
    while (code != CSL_OK) {
        csl_mem_fail_after(++n);
        code = small_run();
        csl_mem_fail_after(0);
        assert_true(code == CSL_OK || code == CSL_E_NOMEM);
    }
    assert_true(n > 8);
}

static void test_inproc_bulk__bandwidth__decides_how_long_it_takes(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){
        .chunk_bytes = 100000, .delay_ns = 50 * CSL_NS_PER_MS, .bytes_per_s = 1e6});
    struct process server = {0}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    uint64_t start = csl_inproc_now_ns(net);
    give_object(&site, &server, 1000000);
    upload(&site, 1, 0);
    drain(net, UINT64_MAX);
    /* 1 s of bytes, and the delay three times: head, data, answer. Chunks overlap their delays. */
    uint64_t took = csl_inproc_now_ns(net) - start;
    assert_in_range(took, 1150 * CSL_NS_PER_MS, 1152 * CSL_NS_PER_MS);
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

/* One site uploads over a link that breaks, resuming, until it is done. A fingerprint of the run.
 */
static uint64_t stormy_run(uint64_t seed, uint64_t *cuts)
{
    struct csl_inproc *net = new_net((struct csl_inproc_config){.seed = seed,
                                                                .chunk_bytes = 5000,
                                                                .delay_ns = 1000,
                                                                .jitter_ns = 500,
                                                                .bytes_per_s = 1e8,
                                                                .cut_probability = 0.05,
                                                                .reconnect_ns = 20000});
    struct process server = {0}, site = {0};
    uint64_t hash = 0, attempts = 0;
    boot_server(&server, net);
    boot_site(&site, net, "a");
    give_object(&site, &server, 600000);
    site.done_code = CSL_E_UNAVAIL;
    do {
        assert_true(csl_inproc_step(net, UINT64_MAX));
        hash = hash * 31 + csl_inproc_now_ns(net);
        if (site.conn != 0 && site.done == attempts && site.done_code != CSL_OK) {
            attempts++;
            upload(&site, attempts, server.received_bytes);
        }
    } while (site.done < attempts || site.done_code != CSL_OK);
    assert_memory_equal(server.received, site.object, 600000);
    assert_int_equal(server.finished, 1);
    assert_int_equal(site.source_closed, attempts);
    struct csl_inproc_stats s = csl_inproc_stats(net);
    hash = hash * 31 + s.bytes_up + s.cuts * 1000003 + s.chunks;
    *cuts = s.cuts;
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
    return hash;
}

static void test_inproc_bulk__same_seed__same_run(void **state)
{
    (void)state;
    uint64_t cuts = 0, again = 0, other = 0;
    assert_true(stormy_run(1, &cuts) == stormy_run(1, &again));
    assert_true(stormy_run(1, &cuts) != stormy_run(2, &other));
    assert_true(cuts > 0 && cuts == again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inproc_bulk__upload__arrives_whole),
        cmocka_unit_test(test_inproc_bulk__download__resumes_at_its_offset),
        cmocka_unit_test(test_inproc_bulk__transfer_errors__reach_the_client_as_they_are),
        cmocka_unit_test(test_inproc_bulk__cut_in_a_transfer__resumes_where_it_broke),
        cmocka_unit_test(test_inproc_bulk__cut_inside_an_upcall__ends_both_sides_once),
        cmocka_unit_test(test_inproc_bulk__stop_in_a_transfer__gives_back_what_was_lent),
        cmocka_unit_test(test_inproc_bulk__transfers__have_a_maximum_and_need_a_session),
        cmocka_unit_test(test_inproc_bulk__each_allocation_fails__is_reported),
        cmocka_unit_test(test_inproc_bulk__bandwidth__decides_how_long_it_takes),
        cmocka_unit_test(test_inproc_bulk__same_seed__same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
