#include "harness.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/bulk_hash.h"
#include "protocol/identity/pki.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(x) assert_int_equal((x), CSL_OK)

/* ---- certificates ---- */

void h_place_make(struct h_place *p)
{
    struct csl_err err;
    (void)snprintf(p->dir, sizeof(p->dir), "/tmp/csl-grpc-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->ca_key, sizeof(p->ca_key), "%s/ca.key", p->dir);
    (void)snprintf(p->ca_cert, sizeof(p->ca_cert), "%s/ca.pem", p->dir);
    OK(csl_pki_make_authority(H_DOMAIN, 10, p->ca_key, p->ca_cert, &err));
    h_issue_coordinator(p, "coordinator", 10);
    h_issue_site(p, "a", "a", 10);
}

void h_place_remove(struct h_place *p)
{
    DIR *d = opendir(p->dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[400];
        (void)snprintf(path, sizeof(path), "%s/%s", p->dir, e->d_name);
        (void)unlink(path);
    }
    (void)closedir(d);
    assert_int_equal(rmdir(p->dir), 0);
}

static void files_of(const struct h_place *p, const char *name, char key[160], char chain[160])
{
    (void)snprintf(key, 160, "%s/%s.key", p->dir, name);
    (void)snprintf(chain, 160, "%s/%s.pem", p->dir, name);
}

void h_issue_site(const struct h_place *p, const char *name, const char *site_id, int days)
{
    struct csl_err err;
    struct csl_pki_authority ca = {p->ca_key, p->ca_cert};
    char key[160], chain[160];
    files_of(p, name, key, chain);
    OK(csl_pki_issue_site(&ca, H_DOMAIN, site_id, days, key, chain, &err));
}

void h_issue_coordinator(const struct h_place *p, const char *name, int days)
{
    struct csl_err err;
    struct csl_pki_authority ca = {p->ca_key, p->ca_cert};
    char key[160], chain[160];
    files_of(p, name, key, chain);
    OK(csl_pki_issue_coordinator(&ca, H_DOMAIN, CSL_COORDINATOR_NAMES, days, key, chain, &err));
}

void h_tls(const struct h_place *p, const char *name, struct csl_grpc_tls *out)
{
    char key[160], chain[160];
    files_of(p, name, key, chain);
    *out = (struct csl_grpc_tls){.trust_domain = H_DOMAIN};
    (void)snprintf(out->key_path, sizeof(out->key_path), "%s", key);
    (void)snprintf(out->chain_path, sizeof(out->chain_path), "%s", chain);
    (void)snprintf(out->roots_path, sizeof(out->roots_path), "%s", p->ca_cert);
}

uint8_t h_byte(uint64_t i)
{
    return (uint8_t)((i * UINT64_C(2654435761)) >> 13);
}

/* ---- what was told ---- */

static void log_init(struct h_log *l)
{
    csl_mutex_init(&l->mu);
    csl_cond_init(&l->changed);
}

static void log_release(struct h_log *l)
{
    csl_cond_release(&l->changed);
    csl_mutex_release(&l->mu);
}

bool h_wait(struct h_log *log, const atomic_uint *counter, uint32_t n)
{
    uint64_t deadline = csl_clock_monotonic_ns() + H_WAIT_MS * CSL_NS_PER_MS;
    csl_mutex_lock(&log->mu);
    while (*counter < n && csl_cond_wait_until(&log->changed, &log->mu, deadline))
        ;
    bool is_there = *counter >= n;
    csl_mutex_unlock(&log->mu);
    return is_there;
}

bool h_wait_bytes(struct h_log *log, const atomic_uint_fast64_t *counter, uint64_t n)
{
    uint64_t deadline = csl_clock_monotonic_ns() + H_WAIT_MS * CSL_NS_PER_MS;
    csl_mutex_lock(&log->mu);
    while (*counter < n && csl_cond_wait_until(&log->changed, &log->mu, deadline))
        ;
    bool is_there = *counter >= n;
    csl_mutex_unlock(&log->mu);
    return is_there;
}

void h_set(struct h_log *log, bool *flag, bool value)
{
    csl_mutex_lock(&log->mu);
    *flag = value;
    csl_cond_broadcast(&log->changed);
    csl_mutex_unlock(&log->mu);
}

static void note_opened(struct h_log *l, csl_conn c)
{
    csl_mutex_lock(&l->mu);
    l->opened++;
    l->conn = c;
    csl_cond_broadcast(&l->changed);
    csl_mutex_unlock(&l->mu);
}

static void note_closed(struct h_log *l, enum csl_code why)
{
    csl_mutex_lock(&l->mu);
    l->closed++;
    l->why = why;
    csl_cond_broadcast(&l->changed);
    csl_mutex_unlock(&l->mu);
}

static void note_message(struct h_log *l, const struct csl_msg *m)
{
    csl_mutex_lock(&l->mu);
    while (l->is_blocked)
        csl_cond_wait(&l->changed, &l->mu);
    if (l->messages < H_MESSAGES_MAX && m->n >= 4)
        memcpy(&l->got[l->messages], m->p, 4);
    l->messages++;
    csl_cond_broadcast(&l->changed);
    csl_mutex_unlock(&l->mu);
}

enum csl_code h_send(struct csl_transport *t, csl_conn c, uint32_t number, size_t bytes)
{
    struct csl_err err;
    struct csl_msg m = {csl_alloc(bytes), bytes};
    assert_non_null(m.p);
    memcpy(m.p, &number, 4);
    return t->ops->send(t, c, &m, &err);
}

/* ---- coordinator ---- */

static bool admit(void *ctx, const struct csl_peer *peer)
{
    struct h_server *s = ctx;
    csl_mutex_lock(&s->log.mu);
    bool is_admitted = strcmp(peer->site_id, s->revoked) != 0;
    csl_mutex_unlock(&s->log.mu);
    return is_admitted;
}

static void server_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    struct h_server *s = ctx;
    uint64_t number = 0;
    csl_mutex_lock(&s->log.mu);
    (void)csl_str_copy(s->last_site, sizeof(s->last_site), peer->site_id);
    if (strncmp(peer->site_id, "site-", 5) == 0 && csl_parse_u64(peer->site_id + 5, &number) &&
        number < H_SITES_MAX)
        s->conns[number] = c;
    csl_mutex_unlock(&s->log.mu);
    note_opened(&s->log, c);
}

static void server_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct h_server *s = ctx;
    note_message(&s->log, take_m);
    struct csl_err err;
    if (s->must_echo)
        (void)s->t->ops->send(s->t, c, take_m, &err);
    else
        csl_msg_release(take_m);
}

static void server_closed(void *ctx, csl_conn c, enum csl_code why)
{
    struct h_server *s = ctx;
    (void)c;
    note_closed(&s->log, why);
}

struct upload { /* one sink */
    struct h_server *s;
    uint64_t position;
    bool is_wrong;
};

static enum csl_code sink_write(void *self, struct csl_span span, struct csl_err *err)
{
    struct upload *u = self;
    struct h_server *s = u->s;
    for (size_t i = 0; i < span.n; i++)
        u->is_wrong |= span.p[i] != h_byte(u->position + i);
    csl_mutex_lock(&s->log.mu);
    while (s->is_sink_blocked && u->position + span.n > s->sink_block_at)
        csl_cond_wait(&s->log.changed, &s->log.mu);
    if (!s->is_parallel)
        s->written = u->position + span.n;
    csl_cond_broadcast(&s->log.changed);
    csl_mutex_unlock(&s->log.mu);
    u->position += span.n;
    return u->is_wrong ? CSL_FAIL(err, CSL_E_CORRUPT, "wrong bytes") : CSL_OK;
}

static enum csl_code sink_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct upload *u = self;
    struct h_server *s = u->s;
    uint8_t own[32];
    csl_bulk_digest(s->object, u->position, own); /* the object holds the same bytes */
    bool is_equal = memcmp(own, digest, 32) == 0;
    csl_mutex_lock(&s->log.mu);
    s->finished += is_equal;
    csl_cond_broadcast(&s->log.changed);
    csl_mutex_unlock(&s->log.mu);
    free(u);
    return is_equal ? CSL_OK : CSL_FAIL(err, CSL_E_CRYPTO, "digest differs");
}

static void sink_abandon(void *self, enum csl_code why)
{
    struct upload *u = self;
    (void)why;
    csl_mutex_lock(&u->s->log.mu);
    u->s->abandoned++;
    csl_cond_broadcast(&u->s->log.changed);
    csl_mutex_unlock(&u->s->log.mu);
    free(u);
}

static enum csl_code upload_open(void *ctx, const struct csl_peer *peer,
                                 const struct csl_bulk_head *head, struct csl_bulk_sink *out,
                                 struct csl_err *err)
{
    struct h_server *s = ctx;
    if (memcmp(head->ticket, s->ticket, sizeof(s->ticket)) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "%s: no such ticket", peer->site_id);
    if (head->bytes_total > s->object_bytes)
        return CSL_FAIL(err, CSL_E_LIMIT, "too long");
    csl_mutex_lock(&s->log.mu);
    bool is_next = s->is_parallel || head->bytes_offset == s->written;
    csl_mutex_unlock(&s->log.mu);
    if (!is_next)
        return CSL_FAIL(err, CSL_E_STATE, "offset is not where the object ends");
    struct upload *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "upload");
    *u = (struct upload){s, head->bytes_offset, false};
    *out = (struct csl_bulk_sink){u, sink_write, sink_finish, sink_abandon};
    return CSL_OK;
}

struct download {
    struct h_server *s;
    uint64_t position, end;
};

static enum csl_code source_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                 struct csl_err *err)
{
    struct download *d = self;
    (void)err;
    uint64_t left = d->end - d->position;
    *n = left < capacity ? (size_t)left : capacity;
    if (*n > 100000)
        *n = 100000; /* short reads are allowed */
    memcpy(buffer, d->s->object + d->position, *n);
    d->position += *n;
    return CSL_OK;
}

static enum csl_code source_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    struct download *d = self;
    (void)err;
    csl_bulk_digest(d->s->object, d->end, out);
    return CSL_OK;
}

static void source_close(void *self)
{
    free(self);
}

static enum csl_code download_open(void *ctx, const struct csl_peer *peer,
                                   const struct csl_bulk_head *head, struct csl_bulk_source *out,
                                   struct csl_err *err)
{
    struct h_server *s = ctx;
    if (memcmp(head->ticket, s->ticket, sizeof(s->ticket)) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "%s: no such ticket", peer->site_id);
    if (head->bytes_total > s->object_bytes)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "no such object");
    struct download *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "download");
    *d = (struct download){s, head->bytes_offset, head->bytes_total};
    *out = (struct csl_bulk_source){d, source_read, source_digest, source_close};
    return CSL_OK;
}

void h_server_init(struct h_server *s, uint64_t object_bytes)
{
    memset(s, 0, sizeof(*s));
    log_init(&s->log);
    s->object_bytes = object_bytes;
    s->object = malloc(object_bytes + 1);
    assert_non_null(s->object);
    for (uint64_t i = 0; i < object_bytes; i++)
        s->object[i] = h_byte(i);
    memset(s->ticket, 0x5a, sizeof(s->ticket));
}

void h_server_config(const struct h_place *p, const char *name, uint16_t port, struct h_server *s,
                     struct csl_grpc_server_config *out)
{
    *out = (struct csl_grpc_server_config){.admit = admit, .admit_ctx = s};
    (void)snprintf(out->listen, sizeof(out->listen), "127.0.0.1:%u", port);
    h_tls(p, name, &out->tls);
}

void h_server_start(struct h_server *s, const struct h_place *p, uint16_t port)
{
    struct csl_err err;
    struct csl_grpc_server_config config;
    h_server_config(p, "coordinator", port, s, &config);
    OK(csl_grpc_server_new(&s->t, &config, &err));
    s->t->up = (struct csl_transport_events){.ctx = s,
                                             .opened = server_opened,
                                             .message = server_message,
                                             .closed = server_closed,
                                             .upload_open = upload_open,
                                             .download_open = download_open};
    OK(s->t->ops->start(s->t, &err));
    s->port = csl_grpc_server_port(s->t);
    assert_int_not_equal(s->port, 0);
}

void h_server_stop(struct h_server *s, uint32_t grace_ms)
{
    s->t->ops->stop(s->t, grace_ms);
    s->t->ops->free(s->t);
    s->t = NULL;
}

void h_server_release(struct h_server *s)
{
    free(s->object);
    log_release(&s->log);
}

/* ---- site ---- */

static void site_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    struct h_site *s = ctx;
    (void)peer;
    note_opened(&s->log, c);
}

static void site_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct h_site *s = ctx;
    note_message(&s->log, take_m);
    struct csl_err err;
    if (s->must_echo)
        (void)s->t->ops->send(s->t, c, take_m, &err);
    else
        csl_msg_release(take_m);
}

static void site_closed(void *ctx, csl_conn c, enum csl_code why)
{
    struct h_site *s = ctx;
    (void)c;
    note_closed(&s->log, why);
}

static void site_bulk_done(void *ctx, uint64_t bulk_id, enum csl_code code)
{
    struct h_site *s = ctx;
    (void)bulk_id;
    csl_mutex_lock(&s->log.mu);
    s->log.bulks++;
    s->log.bulk_code = code;
    csl_cond_broadcast(&s->log.changed);
    csl_mutex_unlock(&s->log.mu);
}

static enum csl_code site_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                               struct csl_err *err)
{
    struct h_site *c = self;
    uint64_t left = c->bytes - c->position;
    *n = left < capacity ? (size_t)left : capacity;
    if (c->position + *n > c->fail_at)
        return CSL_FAIL(err, CSL_E_IO, "the disk of the test fails here");
    for (size_t i = 0; i < *n; i++)
        buffer[i] = h_byte(c->position + i);
    csl_mutex_lock(&c->log.mu);
    c->position += *n;
    csl_cond_broadcast(&c->log.changed);
    while (c->is_source_blocked && c->position >= c->block_at)
        csl_cond_wait(&c->log.changed, &c->log.mu);
    csl_mutex_unlock(&c->log.mu);
    return CSL_OK;
}

static enum csl_code site_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    struct h_site *c = self;
    uint8_t *all = malloc(c->bytes + 1);
    if (all == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "object");
    for (uint64_t i = 0; i < c->bytes; i++)
        all[i] = h_byte(i);
    csl_bulk_digest(all, c->bytes, out);
    free(all);
    if (c->is_digest_wrong)
        out[0] ^= 1;
    return CSL_OK;
}

static void site_close(void *self)
{
    struct h_site *c = self;
    c->was_closed = true;
}

static enum csl_code site_write(void *self, struct csl_span s, struct csl_err *err)
{
    struct h_site *c = self;
    (void)err;
    for (size_t i = 0; i < s.n; i++)
        c->is_received_wrong |= s.p[i] != h_byte(c->received + i);
    c->received += s.n;
    return CSL_OK;
}

static enum csl_code site_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct h_site *c = self;
    uint8_t own[32];
    c->bytes = c->received;
    if (site_digest(c, own, err) != CSL_OK || memcmp(own, digest, 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "digest differs");
    c->was_finished = true;
    return CSL_OK;
}

static void site_abandon(void *self, enum csl_code why)
{
    struct h_site *c = self;
    (void)why;
    c->was_abandoned = true;
}

void h_site_init(struct h_site *c)
{
    memset(c, 0, sizeof(*c));
    c->fail_at = UINT64_MAX;
    log_init(&c->log);
}

void h_site_config(const struct h_place *p, const char *name, uint16_t port,
                   struct csl_grpc_client_config *out)
{
    *out = (struct csl_grpc_client_config){.backoff_min_ms = 10, .backoff_max_ms = 100};
    (void)snprintf(out->target, sizeof(out->target), "127.0.0.1:%u", port);
    h_tls(p, name, &out->tls);
}

void h_site_start(struct h_site *c, const struct h_place *p, const char *name, uint16_t port)
{
    struct csl_err err;
    struct csl_grpc_client_config config;
    h_site_config(p, name, port, &config);
    OK(csl_grpc_client_new(&c->t, &config, &err));
    c->t->up = (struct csl_transport_events){.ctx = c,
                                             .opened = site_opened,
                                             .message = site_message,
                                             .closed = site_closed,
                                             .bulk_done = site_bulk_done};
    OK(c->t->ops->start(c->t, &err));
}

void h_site_stop(struct h_site *c, uint32_t grace_ms)
{
    c->t->ops->stop(c->t, grace_ms);
    c->t->ops->free(c->t);
    c->t = NULL;
    log_release(&c->log);
}

enum csl_code h_upload(struct h_site *c, const struct h_server *s, uint64_t bytes, uint64_t offset,
                       struct csl_err *err)
{
    struct csl_bulk_head head = {.bytes_total = bytes, .bytes_offset = offset};
    memcpy(head.ticket, s->ticket, sizeof(head.ticket));
    head.ticket[3] ^= c->is_ticket_wrong;
    c->bytes = bytes;
    c->position = offset;
    c->was_closed = false;
    const struct csl_bulk_source source = {c, site_read, site_digest, site_close};
    return c->t->ops->upload(c->t, 1, &head, &source, err);
}

enum csl_code h_download(struct h_site *c, const struct h_server *s, uint64_t bytes,
                         uint64_t offset, struct csl_err *err)
{
    struct csl_bulk_head head = {.bytes_total = bytes, .bytes_offset = offset};
    memcpy(head.ticket, s->ticket, sizeof(head.ticket));
    c->received = offset;
    c->was_finished = c->was_abandoned = c->is_received_wrong = false;
    const struct csl_bulk_sink sink = {c, site_write, site_finish, site_abandon};
    return c->t->ops->download(c->t, 2, &head, &sink, err);
}
