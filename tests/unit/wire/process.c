#include "tests/unit/wire/process.h"

#include "base/mem.h"
#include "privacy/crypto/bulk_hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

enum csl_code say(struct process *p, const char *text)
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
    csl_bulk_digest(p->received, p->received_bytes, mine);
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
    csl_bulk_digest(p->object, p->object_bytes, out);
    return CSL_OK;
}

static void source_close(void *self)
{
    ((struct process *)self)->source_closed++;
}

struct csl_bulk_sink sink_of(struct process *p)
{
    return (struct csl_bulk_sink){p, sink_write, sink_finish, sink_abandon};
}

struct csl_bulk_source source_of(struct process *p)
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
    if (p->wants_cut_in_open)
        csl_inproc_cut(p->net, "a");
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

void boot_server(struct process *p, struct csl_inproc *net)
{
    p->net = net;
    assert_int_equal(csl_inproc_server(net, &p->t, NULL), CSL_OK);
    plug(p);
}

void boot_site(struct process *p, struct csl_inproc *net, const char *id)
{
    p->net = net;
    assert_int_equal(csl_inproc_client(net, id, &p->t, NULL), CSL_OK);
    plug(p);
}

void halt(struct process *p)
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

struct csl_inproc *new_net(struct csl_inproc_config c)
{
    struct csl_inproc *net;
    assert_int_equal(csl_inproc_new(&net, &c, NULL), CSL_OK);
    return net;
}

uint64_t drain(struct csl_inproc *net, uint64_t until_ns)
{
    uint64_t events = 0;
    while (csl_inproc_step(net, until_ns)) {
        assert_true(csl_inproc_next_ns(net) >= csl_inproc_now_ns(net));
        events++;
    }
    return events;
}

void give_object(struct process *from, struct process *to, size_t bytes)
{
    from->object = csl_alloc(bytes);
    to->received = csl_alloc(OBJECT_MAX);
    assert_non_null(from->object);
    assert_non_null(to->received);
    from->object_bytes = bytes;
    for (size_t i = 0; i < bytes; i++)
        from->object[i] = (uint8_t)(i * 2654435761u >> 13);
}

void upload(struct process *site, uint64_t id, uint64_t offset)
{
    struct csl_bulk_head head = {
        .ticket = {7}, .bytes_total = site->object_bytes, .bytes_offset = offset};
    struct csl_bulk_source source = source_of(site);
    site->position = (size_t)offset;
    assert_int_equal(site->t->ops->upload(site->t, id, &head, &source, NULL), CSL_OK);
}

void download(struct process *site, uint64_t id, uint64_t total, uint64_t offset)
{
    struct csl_bulk_head head = {.ticket = {8}, .bytes_total = total, .bytes_offset = offset};
    struct csl_bulk_sink sink = sink_of(site);
    assert_int_equal(site->t->ops->download(site->t, id, &head, &sink, NULL), CSL_OK);
}
