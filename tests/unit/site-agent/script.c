#include "tests/unit/site-agent/script.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/sha256.h"
#include "privacy/dp/account.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void script_must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

/* --- the guard: between the agent and its transport --- */

struct guard {
    struct csl_transport base;
    struct script *w;
};
struct guarded_source {
    struct script *w;
    uint64_t round;
    struct csl_bulk_source inner;
};

static void capture(struct script *w, const void *p, size_t n)
{
    assert_true(n <= CAPTURE_MAX - w->captured);
    memcpy(w->capture + w->captured, p, n);
    w->captured += n;
}

static void note_release(struct script *w, const uint8_t digest[CSL_DIGEST_BYTES])
{
    for (uint32_t i = 0; i < w->released_count; i++)
        if (memcmp(w->released[i], digest, CSL_DIGEST_BYTES) == 0)
            return;
    assert_true(w->released_count < RELEASES_MAX);
    memcpy(w->released[w->released_count++], digest, CSL_DIGEST_BYTES);
}

/* Entries are durable when csl_ledger_read finds them. */
static bool find_charge(struct script *w, const uint8_t digest[CSL_DIGEST_BYTES],
                        struct csl_ledger_charge *out)
{
    struct csl_ledger *l = csl_agent_ledger(w->agent);
    struct csl_ledger_entry e;
    struct csl_err err = {.code = CSL_OK};
    for (uint64_t i = 0; i < csl_ledger_size(l); i++) {
        script_must(csl_ledger_read(l, i, &e, &err), &err);
        if (e.kind == CSL_LEDGER_CHARGE &&
            memcmp(e.u.charge.update_digest, digest, CSL_DIGEST_BYTES) == 0) {
            *out = e.u.charge;
            return true;
        }
    }
    return false;
}

static bool is_private(const struct script *w)
{
    return w->study->privacy.mode != CSL_PRIVACY_NONE;
}

static void check_charged(struct script *w, const uint8_t digest[CSL_DIGEST_BYTES],
                          const char *what)
{
    struct csl_ledger_charge c;
    if (is_private(w) && !find_charge(w, digest, &c))
        fail_msg("%s without a charge", what);
    note_release(w, digest);
}

/* Of an update's first byte nobody can tell which update it is of: the whole of what is stored
 * under its name must be charged when any of it is read. */
static void check_stored(struct script *w, uint64_t round)
{
    char path[CSL_PATH_MAX + 32];
    uint8_t digest[CSL_DIGEST_BYTES];
    struct csl_msg bytes = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    snprintf(path, sizeof(path), "%s/blobs/update-%llu", w->state_dir, (unsigned long long)round);
    script_must(csl_file_read(&bytes, path, sizeof(w->uploaded), &err), &err);
    csl_sha256_digest(bytes.p, bytes.n, digest);
    csl_msg_release(&bytes);
    check_charged(w, digest, "a byte of an update");
}

static enum csl_code guard_start(struct csl_transport *t, struct csl_err *err)
{
    struct guard *g = (struct guard *)t;
    g->w->client->up = g->base.up;
    return g->w->client->ops->start(g->w->client, err);
}

static enum csl_code guard_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                                struct csl_err *err)
{
    struct guard *g = (struct guard *)t;
    struct csl_message m;
    script_must(csl_message_decode(&m, CSL_TO_COORDINATOR, csl_msg_span(take_m), err), err);
    if (m.kind == CSL_MSG_UPDATE_READY)
        check_charged(g->w, m.u.update_ready.digest, "an announcement");
    csl_message_release(&m);
    capture(g->w, take_m->p, take_m->n);
    return g->w->client->ops->send(g->w->client, c, take_m, err);
}

/* The bytes themselves, whatever the agent calls them: all that left of this upload so far is the
 * beginning of what the ledger has the digest of; that is checked once it is whole. */
static enum csl_code guarded_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                  struct csl_err *err)
{
    struct guarded_source *s = self;
    struct script *w = s->w;
    uint8_t digest[CSL_DIGEST_BYTES];
    enum csl_code code = s->inner.read(s->inner.self, buffer, capacity, n, err);
    if (code != CSL_OK)
        return code;
    check_stored(w, s->round);
    assert_true(*n <= sizeof(w->uploaded) - w->uploaded_bytes);
    memcpy(w->uploaded + w->uploaded_bytes, buffer, *n);
    w->uploaded_bytes += *n;
    capture(w, buffer, *n);
    if (w->uploaded_bytes == w->study->schema.parameters * sizeof(float)) {
        csl_sha256_digest(w->uploaded, w->uploaded_bytes, digest);
        check_charged(w, digest, "an uploaded update");
    }
    return CSL_OK;
}

static enum csl_code guarded_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    struct guarded_source *s = self;
    return s->inner.digest(s->inner.self, out, err);
}

static void guarded_close(void *self)
{
    struct guarded_source *s = self;
    s->inner.close(s->inner.self);
    csl_free(s);
}

static enum csl_code guard_upload(struct csl_transport *t, uint64_t bulk_id,
                                  const struct csl_bulk_head *head,
                                  const struct csl_bulk_source *source, struct csl_err *err)
{
    struct guard *g = (struct guard *)t;
    struct guarded_source *s = csl_alloc(sizeof(*s));
    assert_non_null(s);
    *s = (struct guarded_source){g->w, csl_agent_core(g->w->agent)->outbox.round, *source};
    struct csl_bulk_source wrapped = {s, guarded_read, guarded_digest, guarded_close};
    g->w->uploaded_bytes = 0;
    g->w->uploads++;
    enum csl_code code = g->w->client->ops->upload(g->w->client, bulk_id, head, &wrapped, err);
    if (code != CSL_OK)
        csl_free(s);
    return code;
}

static enum csl_code guard_download(struct csl_transport *t, uint64_t bulk_id,
                                    const struct csl_bulk_head *head,
                                    const struct csl_bulk_sink *sink, struct csl_err *err)
{
    struct guard *g = (struct guard *)t;
    return g->w->client->ops->download(g->w->client, bulk_id, head, sink, err);
}

static void guard_drop(struct csl_transport *t, csl_conn c, enum csl_code why)
{
    struct guard *g = (struct guard *)t;
    g->w->client->ops->drop(g->w->client, c, why);
}

static const struct csl_transport_ops guard_ops = {.name = "guard",
                                                   .start = guard_start,
                                                   .send = guard_send,
                                                   .upload = guard_upload,
                                                   .download = guard_download,
                                                   .drop = guard_drop};

/* --- the coordinator --- */

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    struct script *w = ctx;
    (void)peer;
    w->conn = c;
    w->sequence = 0;
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct script *w = ctx;
    struct csl_err err = {.code = CSL_OK};
    struct csl_message m;
    (void)c;
    script_must(csl_message_decode(&m, CSL_TO_COORDINATOR, csl_msg_span(take_m), &err), &err);
    assert_true(w->heard_count < HEARD_MAX);
    w->heard[w->heard_count++] = m;
    csl_message_release(&m);
    csl_msg_release(take_m);
}

struct served {
    struct script *w;
    uint64_t at;
};

static size_t model_bytes(const struct script *w)
{
    return w->study->schema.parameters * sizeof(float);
}

static enum csl_code served_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                 struct csl_err *err)
{
    struct served *s = self;
    uint64_t left = s->w->served_bytes - s->at;
    (void)err;
    *n = left < capacity ? (size_t)left : capacity;
    memcpy(buffer, s->w->served + s->at, *n);
    s->at += *n;
    return CSL_OK;
}

static enum csl_code served_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    const struct served *s = self;
    (void)err;
    csl_sha256_digest(s->w->served, s->w->served_bytes, out);
    return CSL_OK;
}

static size_t head_bytes(const struct script *w)
{
    return (size_t)w->study->schema.block_count * CSL_DIGEST_BYTES;
}

/* What a download of w->model brings; digest: what a task names. */
static void serve(struct script *w, uint8_t digest[CSL_DIGEST_BYTES])
{
    const struct csl_schema *s = &w->study->schema;
    size_t at = head_bytes(w);
    if (w->study->input_count == 0) {
        w->served_bytes = model_bytes(w);
        memcpy(w->served, w->model, w->served_bytes);
        csl_sha256_digest(w->model, model_bytes(w), digest);
        return;
    }
    for (uint32_t b = 0; b < s->block_count; b++) {
        const float *block = w->model + s->blocks[b].first;
        size_t bytes = (size_t)s->blocks[b].count * sizeof(float);
        csl_sha256_digest(block, bytes, w->served + (size_t)b * CSL_DIGEST_BYTES);
        if (s->blocks[b].kind != CSL_BLOCK_SHARED)
            continue;
        memcpy(w->served + at, block, bytes);
        at += bytes;
    }
    csl_sha256_digest(w->served, head_bytes(w), digest);
    w->served_bytes = at;
}

static enum csl_code on_download(void *ctx, const struct csl_peer *peer,
                                 const struct csl_bulk_head *head, struct csl_bulk_source *out,
                                 struct csl_err *err)
{
    struct script *w = ctx;
    struct served *s = csl_alloc(sizeof(*s));
    (void)peer;
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory");
    *s = (struct served){w, head->bytes_offset};
    *out = (struct csl_bulk_source){s, served_read, served_digest, csl_free};
    w->downloads++;
    return CSL_OK;
}

static enum csl_code sink_write(void *self, struct csl_span s, struct csl_err *err)
{
    (void)self, (void)s, (void)err; /* the guard saw them leave */
    return CSL_OK;
}

static enum csl_code sink_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    (void)self, (void)digest, (void)err;
    return CSL_OK;
}

static void sink_abandon(void *self, enum csl_code why)
{
    (void)self, (void)why;
}

static enum csl_code on_upload(void *ctx, const struct csl_peer *peer,
                               const struct csl_bulk_head *head, struct csl_bulk_sink *out,
                               struct csl_err *err)
{
    (void)peer, (void)head, (void)err;
    *out = (struct csl_bulk_sink){ctx, sink_write, sink_finish, sink_abandon};
    return CSL_OK;
}

void script_run(struct script *w)
{
    bool did = true;
    while (did) {
        did = csl_agent_pump(w->agent, csl_inproc_now_ns(w->net));
        csl_site_check(csl_agent_core(w->agent));
        did = csl_inproc_step(w->net, csl_inproc_now_ns(w->net) + CSL_NS_PER_S / 2) || did;
    }
}

void script_send(struct script *w, struct csl_message *m)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg bytes;
    m->sequence = ++w->sequence;
    script_must(csl_message_encode(m, &bytes, &err), &err);
    script_must(w->server->ops->send(w->server, w->conn, &bytes, &err), &err);
}

void script_deliver(struct script *w)
{
    while (csl_inproc_step(w->net, csl_inproc_now_ns(w->net) + 2 * CSL_NS_PER_MS))
        ;
}

void script_say(struct script *w, struct csl_message *m)
{
    w->heard_count = 0;
    script_send(w, m);
    script_run(w);
}

void script_offer(struct script *w)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_OFFER};
    memcpy(m.u.study_offer.study_digest, w->study->digest, CSL_DIGEST_BYTES);
    m.u.study_offer.manifest = w->study->manifest; /* borrowed */
    script_say(w, &m);
}

void script_enrol(struct script *w)
{
    script_offer(w);
    const struct csl_msg_study_answer *a = &script_heard(w, CSL_MSG_STUDY_ANSWER)->u.study_answer;
    if (!a->accepted)
        fail_msg("%s", a->reason);
}

struct csl_message script_task(struct script *w, enum csl_task_type type, uint64_t round,
                               float model)
{
    struct csl_message m = {.kind = CSL_MSG_TASK};
    for (uint64_t i = 0; i < w->study->schema.parameters; i++)
        w->model[i] = model;
    m.u.task.type = type;
    m.u.task.round = round;
    m.u.task.seed = 7;
    m.u.task.model_bytes = model_bytes(w);
    serve(w, m.u.task.model_digest);
    if (w->head_text != NULL)
        csl_str_copy(m.u.task.ledger_head, sizeof(m.u.task.ledger_head), w->head_text);
    return m;
}

void script_grant_model(struct script *w, uint64_t round)
{
    struct csl_message m = {.kind = CSL_MSG_MODEL_GRANT};
    m.u.model_grant.round = round;
    script_say(w, &m);
}

void script_grant_update(struct script *w, uint64_t round, uint64_t offset)
{
    struct csl_message m = {.kind = CSL_MSG_UPDATE_GRANT};
    m.u.update_grant.round = round;
    m.u.update_grant.offset = offset;
    script_say(w, &m);
}

bool script_round(struct script *w, uint64_t round, float model, struct csl_msg_task_failed *failed)
{
    struct csl_message m = script_task(w, CSL_TASK_TRAIN, round, model);
    script_say(w, &m);
    assert_int_equal(w->heard_count, 1);
    if (w->heard[0].kind == CSL_MSG_MODEL_REQUEST)
        script_grant_model(w, round - 1);
    assert_int_equal(w->heard_count, 1);
    if (w->heard[0].kind == CSL_MSG_TASK_FAILED) {
        if (failed != NULL)
            *failed = w->heard[0].u.task_failed;
        return false;
    }
    const struct csl_msg_update_ready u = script_heard(w, CSL_MSG_UPDATE_READY)->u.update_ready;
    assert_int_equal(u.round, round);
    script_grant_update(w, round, 0);
    assert_int_equal(w->uploaded_bytes, u.bytes_total);
    struct csl_message done = {.kind = CSL_MSG_UPDATE_ACCEPTED};
    done.u.update_accepted.round = round;
    memcpy(done.u.update_accepted.digest, u.digest, CSL_DIGEST_BYTES);
    script_say(w, &done);
    return true;
}

const struct csl_message *script_heard(struct script *w, enum csl_message_kind kind)
{
    if (w->heard_count != 1 || w->heard[0].kind != kind)
        fail_msg("heard %u messages, the first %s", w->heard_count,
                 w->heard_count == 0 ? "none" : csl_message_kind_name(w->heard[0].kind));
    return &w->heard[0];
}

/* --- the world --- */

void script_start(struct script *w)
{
    struct csl_err err = {.code = CSL_OK};
    struct guard *g = csl_alloc(sizeof(*g));
    assert_non_null(g);
    *g = (struct guard){.base = {.ops = &guard_ops}, .w = w};
    w->guard = &g->base;
    script_must(csl_inproc_client(w->net, w->f.ids[0], &w->client, &err), &err);
    struct csl_agent_config c = {.site_id = w->f.ids[0],
                                 .record_path = w->f.records[w->site],
                                 .state_dir = w->state_dir,
                                 .backend = "cpu-ref",
                                 .policy = &w->policy,
                                 .transport = w->guard};
    script_must(csl_agent_new(&w->agent, &c, &err), &err);
    script_must(csl_agent_start(w->agent, csl_inproc_now_ns(w->net), &err), &err);
    w->heard_count = 0;
    script_run(w);
    (void)script_heard(w, CSL_MSG_HELLO);
}

void script_stop(struct script *w)
{
    if (w->client != NULL) {
        w->client->up = (struct csl_transport_events){.ctx = NULL};
        w->client->ops->stop(w->client, 0);
        w->client->ops->free(w->client);
        csl_free(w->guard);
    }
    csl_agent_free(w->agent);
    w->client = w->guard = NULL;
    w->agent = NULL;
    while (csl_inproc_step(w->net, csl_inproc_now_ns(w->net) + CSL_NS_PER_S))
        ;
}

void script_open(struct script *w, const struct script_study *study)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_inproc_config net = {.seed = 1, .delay_ns = CSL_NS_PER_MS, .chunk_bytes = 4};
    memset(w, 0, sizeof(*w));
    fixture_open(&w->f, "fedavg", 3);
    fixture_path(&w->f, "state", w->state_dir);
    w->study = script_parse(study);
    w->policy = script_policy(1000, 0.09);
    w->model = csl_alloc_array(w->study->schema.parameters, sizeof(float));
    w->served = csl_alloc(model_bytes(w) + head_bytes(w));
    assert_true(w->model != NULL && w->served != NULL);
    script_must(csl_inproc_new(&w->net, &net, &err), &err);
    script_must(csl_inproc_server(w->net, &w->server, &err), &err);
    w->server->up = (struct csl_transport_events){.ctx = w,
                                                  .opened = on_opened,
                                                  .message = on_message,
                                                  .upload_open = on_upload,
                                                  .download_open = on_download};
    script_must(w->server->ops->start(w->server, &err), &err);
}

void script_close(struct script *w)
{
    script_stop(w);
    w->server->up = (struct csl_transport_events){.ctx = NULL};
    w->server->ops->stop(w->server, 0);
    w->server->ops->free(w->server);
    csl_inproc_free(w->net);
    csl_free(w->model);
    csl_free(w->served);
    csl_study_free(w->study);
    fixture_close(&w->f);
}

/* --- looking --- */

uint32_t script_count(struct script *w, enum csl_ledger_kind kind)
{
    struct csl_ledger *l = csl_agent_ledger(w->agent);
    struct csl_ledger_entry e;
    struct csl_err err = {.code = CSL_OK};
    uint32_t n = 0;
    for (uint64_t i = 0; l != NULL && i < csl_ledger_size(l); i++) {
        script_must(csl_ledger_read(l, i, &e, &err), &err);
        n += e.kind == kind ? 1 : 0;
    }
    return n;
}

double script_spent(struct script *w)
{
    struct csl_ledger_spent spent;
    struct csl_err err = {.code = CSL_OK};
    script_must(
        csl_ledger_spent_by_study(csl_agent_ledger(w->agent), w->study->digest, &spent, &err),
        &err);
    return spent.epsilon;
}

double script_released_epsilon(struct script *w)
{
    struct csl_dp_event events[RELEASES_MAX];
    struct csl_ledger_charge c;
    struct csl_price price;
    struct csl_err err = {.code = CSL_OK};
    for (uint32_t i = 0; i < w->released_count; i++) {
        if (!find_charge(w, w->released[i], &c))
            fail_msg("release %u has no charge", i);
        assert_int_equal(c.event_count, 1);
        events[i] = c.events[0];
    }
    script_must(csl_account(events, w->released_count, w->study->privacy.delta, &price, &err),
                &err);
    return price.epsilon;
}

bool script_has_blob(const struct script *w, const char *name)
{
    char path[CSL_PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/blobs/%s", w->state_dir, name);
    return csl_file_exists(path);
}

/* One folder and its folder blobs, as an operator's backup would. */
void script_copy_state(const struct script *w, const char *from, const char *to)
{
    static const char *const folders[] = {"", "blobs/"};
    (void)w;
    for (size_t i = 0; i < 2; i++) {
        char source[CSL_PATH_MAX], target[CSL_PATH_MAX];
        struct csl_err err = {.code = CSL_OK};
        snprintf(source, sizeof(source), "%.400s/%s", from, folders[i]);
        snprintf(target, sizeof(target), "%.400s/%s", to, folders[i]);
        script_must(csl_dir_make(target, &err), &err);
        DIR *d = opendir(source);
        assert_non_null(d);
        for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
            char a[CSL_PATH_MAX], b[CSL_PATH_MAX];
            struct csl_msg bytes = {NULL, 0};
            bool is_file = e->d_name[0] != '.' && strcmp(e->d_name, "blobs") != 0 &&
                           strcmp(e->d_name, "lock") != 0;
            if (!is_file)
                continue;
            snprintf(a, sizeof(a), "%.500s%.200s", source, e->d_name);
            snprintf(b, sizeof(b), "%.500s%.200s", target, e->d_name);
            script_must(csl_file_read(&bytes, a, (size_t)16 << 20, &err), &err);
            script_must(csl_file_write_atomic(b, csl_msg_span(&bytes), 0600, &err), &err);
            csl_msg_release(&bytes);
        }
        closedir(d);
    }
}
