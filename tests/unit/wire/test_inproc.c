#include "protocol/transport/inproc.h"

#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OBJECT_MAX 2000000
#define LOG_MAX    4096

/* One process: a coordinator or a site that writes down what it is told. */
struct process {
    struct csl_inproc *net;
    struct csl_transport *t;
    csl_conn conn; /* the last one opened; 0 after closed */
    uint32_t opened, closed, messages, done;
    enum csl_code why, done_code;
    uint64_t done_id;
    char log[LOG_MAX];
    size_t log_bytes;
    /* bulk */
    uint8_t *object; /* what it sends */
    size_t object_bytes, position, read_max;
    uint8_t *received;
    size_t received_bytes, fail_after; /* 0: never */
    uint32_t finished, abandoned, source_closed;
    enum csl_code refuse, finish_code, abandon_code, read_code;
    struct csl_bulk_head head;
    char peer[CSL_ID_MAX];
    /* reactions */
    bool wants_echo, wants_drop, wants_cut_in_write;
};

static void note(struct process *p, const char *text)
{
    int n = snprintf(p->log + p->log_bytes, LOG_MAX - p->log_bytes, "%s ", text);
    if (n > 0 && p->log_bytes + (size_t)n < LOG_MAX)
        p->log_bytes += (size_t)n;
}

static struct csl_msg text_message(const char *text)
{
    struct csl_msg m = {0};
    assert_int_equal(csl_msg_copy(&m, CSL_SPAN(text, strlen(text)), NULL), CSL_OK);
    return m;
}

static enum csl_code say(struct process *p, const char *text)
{
    struct csl_msg m = text_message(text);
    enum csl_code code = p->t->ops->send(p->t, p->conn, &m, NULL);
    assert_null(m.p);
    return code;
}

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    struct process *p = ctx;
    p->conn = c;
    p->opened++;
    if (peer != NULL)
        memcpy(p->peer, peer->site_id, sizeof(p->peer));
    note(p, "opened");
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct process *p = ctx;
    char text[64];
    snprintf(text, sizeof(text), "%.*s", (int)take_m->n, (const char *)take_m->p);
    note(p, text);
    p->messages++;
    csl_msg_release(take_m);
    p->conn = c;
    if (p->wants_echo)
        assert_int_equal(say(p, text), CSL_OK);
    if (p->wants_drop) {
        assert_int_equal(say(p, "bye"), CSL_OK);
        p->t->ops->drop(p->t, c, CSL_E_DENIED);
    }
}

static void on_closed(void *ctx, csl_conn c, enum csl_code why)
{
    struct process *p = ctx;
    (void)c;
    p->closed++;
    p->why = why;
    p->conn = 0;
    note(p, "closed");
}

static enum csl_code sink_write(void *self, struct csl_span s, struct csl_err *err)
{
    struct process *p = self;
    if (p->fail_after != 0 && p->received_bytes + s.n > p->fail_after)
        return CSL_FAIL(err, CSL_E_CORRUPT, "refused at %zu", p->received_bytes);
    assert_true(p->received_bytes + s.n <= OBJECT_MAX);
    memcpy(p->received + p->received_bytes, s.p, s.n);
    p->received_bytes += s.n;
    if (p->wants_cut_in_write)
        csl_inproc_cut(p->net, "a");
    return CSL_OK;
}

static enum csl_code sink_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct process *p = self;
    uint8_t mine[32];
    p->finished++;
    csl_digest(p->received, p->received_bytes, mine);
    if (memcmp(mine, digest, 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "digest differs");
    return p->finish_code;
}

static void sink_abandon(void *self, enum csl_code why)
{
    struct process *p = self;
    p->abandoned++;
    p->abandon_code = why;
}

static enum csl_code source_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                 struct csl_err *err)
{
    struct process *p = self;
    size_t left = p->object_bytes - p->position;
    if (p->read_code != CSL_OK && left < p->object_bytes / 2)
        return CSL_FAIL(err, p->read_code, "cannot read");
    size_t take = left < capacity ? left : capacity;
    take = p->read_max != 0 && take > p->read_max ? p->read_max : take;
    memcpy(buffer, p->object + p->position, take);
    p->position += take;
    *n = take;
    return CSL_OK;
}

static enum csl_code source_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    struct process *p = self;
    (void)err;
    csl_digest(p->object, p->object_bytes, out);
    return CSL_OK;
}

static void source_close(void *self)
{
    ((struct process *)self)->source_closed++;
}

static struct csl_bulk_sink sink_of(struct process *p)
{
    return (struct csl_bulk_sink){p, sink_write, sink_finish, sink_abandon};
}

static struct csl_bulk_source source_of(struct process *p)
{
    return (struct csl_bulk_source){p, source_read, source_digest, source_close};
}

static enum csl_code on_upload(void *ctx, const struct csl_peer *peer,
                               const struct csl_bulk_head *head, struct csl_bulk_sink *out,
                               struct csl_err *err)
{
    struct process *p = ctx;
    if (p->refuse != CSL_OK)
        return CSL_FAIL(err, p->refuse, "refused");
    memcpy(p->peer, peer->site_id, sizeof(p->peer));
    p->head = *head;
    assert_true(head->bytes_offset <= p->received_bytes);
    p->received_bytes = (size_t)head->bytes_offset;
    *out = sink_of(p);
    return CSL_OK;
}

static enum csl_code on_download(void *ctx, const struct csl_peer *peer,
                                 const struct csl_bulk_head *head, struct csl_bulk_source *out,
                                 struct csl_err *err)
{
    struct process *p = ctx;
    (void)peer;
    if (p->refuse != CSL_OK)
        return CSL_FAIL(err, p->refuse, "refused");
    p->head = *head;
    p->position = (size_t)head->bytes_offset;
    *out = source_of(p);
    return CSL_OK;
}

static void on_bulk_done(void *ctx, uint64_t bulk_id, enum csl_code code)
{
    struct process *p = ctx;
    p->done++;
    p->done_id = bulk_id;
    p->done_code = code;
    note(p, "done");
}

static void plug(struct process *p)
{
    p->t->up = (struct csl_transport_events){.ctx = p,
                                             .opened = on_opened,
                                             .message = on_message,
                                             .closed = on_closed,
                                             .upload_open = on_upload,
                                             .download_open = on_download,
                                             .bulk_done = on_bulk_done};
    assert_int_equal(p->t->ops->start(p->t, NULL), CSL_OK);
}

static void boot_server(struct process *p, struct csl_inproc *net)
{
    p->net = net;
    assert_int_equal(csl_inproc_server(net, &p->t, NULL), CSL_OK);
    plug(p);
}

static void boot_site(struct process *p, struct csl_inproc *net, const char *id)
{
    p->net = net;
    assert_int_equal(csl_inproc_client(net, id, &p->t, NULL), CSL_OK);
    plug(p);
}

static void halt(struct process *p)
{
    if (p->t != NULL) {
        p->t->ops->stop(p->t, 0);
        p->t->ops->free(p->t);
    }
    p->t = NULL;
    csl_free(p->object);
    csl_free(p->received);
    p->object = p->received = NULL;
}

static struct csl_inproc *new_net(struct csl_inproc_config c)
{
    struct csl_inproc *net;
    assert_int_equal(csl_inproc_new(&net, &c, NULL), CSL_OK);
    return net;
}

static uint64_t drain(struct csl_inproc *net, uint64_t until_ns)
{
    uint64_t events = 0;
    while (csl_inproc_step(net, until_ns))
        events++;
    return events;
}

static void give_object(struct process *from, struct process *to, size_t bytes)
{
    from->object = csl_alloc(bytes);
    to->received = csl_alloc(OBJECT_MAX);
    assert_non_null(from->object);
    assert_non_null(to->received);
    from->object_bytes = bytes;
    for (size_t i = 0; i < bytes; i++)
        from->object[i] = (uint8_t)(i * 2654435761u >> 13);
}

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
    drain(net, UINT64_MAX);
    assert_int_equal(say(&server, "x"), CSL_OK);
    assert_int_equal(site.messages, CSL_OUTBOX_MESSAGES);
    struct csl_msg large = {csl_alloc(CSL_MSG_BYTES_MAX + 1), CSL_MSG_BYTES_MAX + 1};
    assert_int_equal(server.t->ops->send(server.t, server.conn, &large, NULL), CSL_E_LIMIT);
    server.conn += 1 << 13;
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
    struct csl_inproc *net =
        new_net((struct csl_inproc_config){.delay_ns = 100, .reconnect_ns = 1000000});
    struct process server = {.wants_drop = true}, site = {0};
    boot_server(&server, net);
    boot_site(&site, net, "a");
    drain(net, UINT64_MAX);
    assert_int_equal(say(&site, "hello"), CSL_OK);
    assert_int_equal(say(&site, "unheard"), CSL_OK);
    drain(net, 1000);
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

static void upload(struct process *site, uint64_t id, uint64_t offset)
{
    struct csl_bulk_head head = {
        .ticket = {7}, .bytes_total = site->object_bytes, .bytes_offset = offset};
    struct csl_bulk_source source = source_of(site);
    site->position = (size_t)offset;
    assert_int_equal(site->t->ops->upload(site->t, id, &head, &source, NULL), CSL_OK);
}

static void download(struct process *site, uint64_t id, uint64_t total, uint64_t offset)
{
    struct csl_bulk_head head = {.ticket = {8}, .bytes_total = total, .bytes_offset = offset};
    struct csl_bulk_sink sink = sink_of(site);
    assert_int_equal(site->t->ops->download(site->t, id, &head, &sink, NULL), CSL_OK);
}

static void test_inproc__upload__arrives_whole(void **state)
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

static void test_inproc__download__resumes_at_its_offset(void **state)
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

static void test_inproc__transfer_errors__reach_the_client_as_they_are(void **state)
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
        assert_int_equal(to->abandoned, rows[i].abandoned);
        assert_int_equal(from->source_closed, rows[i].is_upload || rows[i].refuse == 0 ? 1 : 0);
        assert_int_equal(site.closed, 0); /* the session is not touched */
        halt(&site);
        halt(&server);
        csl_inproc_free(net);
    }
}

static void test_inproc__cut_in_a_transfer__resumes_where_it_broke(void **state)
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

static void test_inproc__cut_inside_an_upcall__ends_both_sides_once(void **state)
{
    (void)state;
    struct csl_inproc *net = new_net((struct csl_inproc_config){.chunk_bytes = 10000});
    struct process server = {.wants_cut_in_write = true}, site = {0};
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
    halt(&site);
    halt(&server);
    csl_inproc_free(net);
}

static void test_inproc__stop_in_a_transfer__gives_back_what_was_lent(void **state)
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

static void test_inproc__transfers__have_a_maximum_and_need_a_session(void **state)
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

static void test_inproc__bandwidth__decides_how_long_it_takes(void **state)
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

static void test_inproc__same_seed__same_run(void **state)
{
    (void)state;
    uint64_t cuts = 0, again = 0, other = 0;
    assert_true(stormy_run(1, &cuts) == stormy_run(1, &again));
    assert_true(stormy_run(1, &cuts) != stormy_run(2, &other));
    assert_true(cuts > 0 && cuts == again);
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
        cmocka_unit_test(test_inproc__upload__arrives_whole),
        cmocka_unit_test(test_inproc__download__resumes_at_its_offset),
        cmocka_unit_test(test_inproc__transfer_errors__reach_the_client_as_they_are),
        cmocka_unit_test(test_inproc__cut_in_a_transfer__resumes_where_it_broke),
        cmocka_unit_test(test_inproc__cut_inside_an_upcall__ends_both_sides_once),
        cmocka_unit_test(test_inproc__stop_in_a_transfer__gives_back_what_was_lent),
        cmocka_unit_test(test_inproc__transfers__have_a_maximum_and_need_a_session),
        cmocka_unit_test(test_inproc__bandwidth__decides_how_long_it_takes),
        cmocka_unit_test(test_inproc__same_seed__same_run),
        cmocka_unit_test(test_inproc__four_thousand_sites__each_gets_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
