/* Starts a coordinator and plays all of its sites in one process: raw transports that enrol, never
 * train, and upload a made-up update of the whole model each round, all at once. Prints one line of
 * JSON: seconds of each round from the first grant to the last acceptance, CPU seconds of both
 * processes in that time, and the coordinator's peak resident set at the end.
 *
 *     upload_sites COORDINATOR FOLDER SITES WIDTH HIDDEN ROUNDS
 *
 * The model is an mlp with one hidden layer: (WIDTH + 2) * HIDDEN + 1 parameters. FOLDER exists and
 * is empty. */
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "privacy/crypto/bulk_hash.h"
#include "privacy/crypto/init.h"
#include "process.h"
#include "protocol/identity/roster.h"
#include "protocol/study/study.h"
#include "protocol/transport/grpc.h"
#include "protocol/wire/messages.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DOMAIN        "bench.consilium"
#define DAYS          2
#define PATTERN_BYTES ((size_t)1024 * 1024) /* the update repeats this */
#define ROUNDS_MAX    16u
#define SITES_TOP     128u
#define WAIT_NS       (600 * CSL_NS_PER_S) /* only turns a hang into a failure */

struct mark { /* of one round */
    uint64_t start_ns, end_ns;
    double coordinator_cpu_s[2], client_cpu_s[2];
    struct process_threads threads[2];
    uint32_t accepted;
};
struct play;
struct site {
    struct play *play;
    struct csl_transport *t;
    char id[CSL_ID_MAX];
    csl_conn conn;
    uint64_t sequence_out, round;
    bool has_ended;
};
struct play {
    char dir[CSL_PATH_MAX];
    const char *program;
    pid_t pid;
    struct csl_study *study;
    uint32_t site_count, width, hidden, rounds;
    struct site sites[SITES_TOP];
    uint8_t *pattern;
    uint64_t update_bytes;
    uint8_t digest[CSL_DIGEST_BYTES]; /* of the update */
    struct csl_mutex mu;
    struct csl_cond changed;
    struct mark marks[ROUNDS_MAX]; /* guarded by mu, as is all below */
    uint32_t ended;
    bool has_failed;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "upload_sites: %s\n", err->msg);
    exit(1);
}

static void path_in(const struct play *p, const char *name, char out[CSL_PATH_MAX])
{
    struct csl_err err;
    must(csl_path_join(out, CSL_PATH_MAX, p->dir, name, &err), &err);
}

/* --- what the coordinator reads --- */

static void write_file(const struct play *p, const char *name, const struct csl_buf *text)
{
    struct csl_err err;
    char path[CSL_PATH_MAX];
    path_in(p, name, path);
    must(csl_buf_status(text, &err), &err);
    must(csl_file_write_atomic(path, CSL_SPAN(text->p, text->n), 0600, &err), &err);
}

static void pair(const struct play *p, const char *who, char key[CSL_PATH_MAX],
                 char cert[CSL_PATH_MAX])
{
    char name[CSL_ID_MAX + 8];
    snprintf(name, sizeof(name), "%s.key", who);
    path_in(p, name, key);
    snprintf(name, sizeof(name), "%s.pem", who);
    path_in(p, name, cert);
}

static void write_identities(struct play *p)
{
    struct csl_err err;
    char ca_key[CSL_PATH_MAX], ca_cert[CSL_PATH_MAX], key[CSL_PATH_MAX], cert[CSL_PATH_MAX];
    pair(p, "authority", ca_key, ca_cert);
    must(csl_pki_make_authority(DOMAIN, DAYS, ca_key, ca_cert, &err), &err);
    struct csl_pki_authority ca = {ca_key, ca_cert};
    pair(p, "coordinator", key, cert);
    must(csl_pki_issue_coordinator(&ca, DOMAIN, CSL_COORDINATOR_NAMES, DAYS, key, cert, &err),
         &err);
    struct csl_roster *roster;
    must(csl_roster_new(&roster, &err), &err);
    for (uint32_t i = 0; i < p->site_count; i++) {
        struct csl_roster_site row = {.is_active = true};
        snprintf(p->sites[i].id, sizeof(p->sites[i].id), "site-%03u", i);
        csl_str_copy(row.id, sizeof(row.id), p->sites[i].id);
        pair(p, row.id, key, cert);
        must(csl_pki_issue_site(&ca, DOMAIN, row.id, DAYS, key, cert, &err), &err);
        must(csl_pki_pin_read(row.pin, cert, &err), &err);
        must(csl_roster_put(roster, &row, &err), &err);
    }
    path_in(p, "roster.yaml", cert);
    must(csl_roster_write(roster, cert, &err), &err);
    csl_roster_free(roster);
}

static void write_study(struct play *p)
{
    struct csl_err err;
    struct csl_buf b;
    csl_buf_init(&b, (size_t)64 * 1024);
    csl_buf_printf(&b,
                   "study: uploads\nquestion: How fast are bytes aggregated?\n"
                   "domains:\n  - id: trace\n    modality: signal\n"
                   "    task: {kind: binary, label: ill, positive: 1}\n    shape: [%u, 1]\n"
                   "    model: {kind: mlp, hidden: [%u]}\n"
                   "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, "
                   "steps: 1}}\n"
                   "rounds: %u\naggregation: {strategy: fedavg}\n"
                   "sites: {minimum: %u, round_deadline: 1h}\nevaluation: {every: 0}\n",
                   p->width, p->hidden, p->rounds, p->site_count);
    write_file(p, "study.yaml", &b);
    must(csl_study_parse(&p->study, "study.yaml", CSL_SPAN(b.p, b.n), &err), &err);
    csl_buf_release(&b);
    csl_buf_init(&b, (size_t)64 * 1024);
    csl_buf_str(&b, "study: study.yaml\nroster: roster.yaml\nstate: state\nseed: 42\n"
                    "listen: \"127.0.0.1:0\"\nlinger: 1m\nlog: {level: warn}\n"
                    "tls: {key: coordinator.key, chain: coordinator.pem, roots: authority.pem, "
                    "trust_domain: " DOMAIN "}\n");
    write_file(p, "coordinator.yaml", &b);
    csl_buf_release(&b);
}

/* The whole update is the pattern over and over; every value is between -1 and 1. */
static void make_update(struct play *p)
{
    p->update_bytes = p->study->schema.parameters * sizeof(float);
    p->pattern = csl_alloc_aligned(64, PATTERN_BYTES);
    CSL_ASSERT(p->pattern != NULL);
    float *values = (float *)(void *)p->pattern;
    for (uint32_t i = 0; i < PATTERN_BYTES / sizeof(float); i++)
        values[i] = (float)((i * UINT32_C(2654435761)) >> 8) * 0x1p-23F - 1;
    struct csl_bulk_hash h;
    csl_bulk_hash_init(&h);
    for (uint64_t at = 0; at < p->update_bytes; at += PATTERN_BYTES) {
        uint64_t left = p->update_bytes - at;
        csl_bulk_hash_update(&h, p->pattern, left < PATTERN_BYTES ? (size_t)left : PATTERN_BYTES);
    }
    csl_bulk_hash_final(&h, p->digest);
}

/* --- the coordinator's process --- */

static void start_coordinator(struct play *p)
{
    char config[CSL_PATH_MAX];
    path_in(p, "coordinator.yaml", config);
    p->pid = fork(); /* gRPC is not up yet in this process */
    if (p->pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execl(p->program, p->program, "--config", config, (char *)NULL);
        perror(p->program);
        _exit(127);
    }
    CSL_ASSERT(p->pid > 0);
}

static void coordinator_gone(struct play *p)
{
    if (waitpid(p->pid, NULL, WNOHANG) != 0) {
        fprintf(stderr, "upload_sites: the coordinator ended early\n");
        exit(1);
    }
}

static void read_address(struct play *p, char out[256])
{
    char path[CSL_PATH_MAX];
    struct csl_msg text = {NULL, 0};
    path_in(p, "state/address", path);
    while (csl_file_read(&text, path, 255, NULL) != CSL_OK) {
        coordinator_gone(p);
        csl_clock_sleep_ms(20); /* another process: there is nothing to wait on */
    }
    snprintf(out, 256, "%.*s", (int)text.n, (const char *)text.p);
    out[strcspn(out, "\n")] = '\0';
    csl_msg_release(&text);
}

static double cpu_of_self(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- a site --- */

static void fail(struct site *s, const char *what, const char *why)
{
    fprintf(stderr, "upload_sites: %s: %s: %s\n", s->id, what, why);
    csl_mutex_lock(&s->play->mu);
    s->play->has_failed = true;
    csl_cond_broadcast(&s->play->changed);
    csl_mutex_unlock(&s->play->mu);
}

static void send(struct site *s, struct csl_message *m)
{
    struct csl_msg bytes;
    struct csl_err err = {.code = CSL_OK};
    m->sequence = ++s->sequence_out;
    enum csl_code code = csl_message_encode(m, &bytes, &err);
    if (code == CSL_OK)
        code = s->t->ops->send(s->t, s->conn, &bytes, &err);
    if (code != CSL_OK)
        fail(s, "send", err.msg);
}

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    (void)peer;
    struct site *s = ctx;
    s->conn = c;
    s->sequence_out = 0;
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    csl_str_copy(m.u.hello.software, sizeof(m.u.hello.software), "upload-sites");
    send(s, &m);
}

static void answer_offer(struct site *s, const struct csl_msg_study_offer *o)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    memcpy(m.u.study_answer.study_digest, o->study_digest, CSL_DIGEST_BYTES);
    m.u.study_answer.accepted = true;
    m.u.study_answer.block_count = 1;
    m.u.study_answer.blocks[0] = (struct csl_block_count){.block = 0, .patients = 10};
    send(s, &m);
}

static void answer_task(struct site *s, const struct csl_msg_task *t)
{
    struct csl_message m;
    memset(&m, 0, sizeof(m));
    if (t->type == CSL_TASK_TRAIN) {
        s->round = t->round;
        m.kind = CSL_MSG_UPDATE_READY;
        m.u.update_ready.round = t->round;
        m.u.update_ready.bytes_total = s->play->update_bytes;
        memcpy(m.u.update_ready.digest, s->play->digest, CSL_DIGEST_BYTES);
        m.u.update_ready.block_count = 1;
        m.u.update_ready.blocks[0] = (struct csl_block_count){.block = 0, .patients = 10};
        m.u.update_ready.train_loss = 0.5;
    } else {
        m.kind = CSL_MSG_TASK_FAILED;
        m.u.task_failed.round = t->round;
        m.u.task_failed.code = CSL_E_UNSUPPORTED;
        csl_str_copy(m.u.task_failed.reason, sizeof(m.u.task_failed.reason), "no records here");
    }
    send(s, &m);
}

struct delivery {
    const struct play *play;
    uint64_t position;
};

static enum csl_code delivery_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                   struct csl_err *err)
{
    struct delivery *d = self;
    (void)err;
    *n = 0;
    while (*n < capacity && d->position < d->play->update_bytes) {
        size_t at = (size_t)(d->position % PATTERN_BYTES), take = PATTERN_BYTES - at;
        uint64_t left = d->play->update_bytes - d->position;
        take = take < left ? take : (size_t)left;
        take = take < capacity - *n ? take : capacity - *n;
        memcpy(buffer + *n, d->play->pattern + at, take);
        *n += take;
        d->position += take;
    }
    return CSL_OK;
}

static enum csl_code delivery_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    const struct delivery *d = self;
    (void)err;
    memcpy(out, d->play->digest, CSL_DIGEST_BYTES);
    return CSL_OK;
}

static void delivery_close(void *self)
{
    csl_free(self);
}

static void start_upload(struct site *s, const struct csl_msg_update_grant *g)
{
    struct play *p = s->play;
    struct mark *mark = &p->marks[g->round - 1];
    csl_mutex_lock(&p->mu);
    if (mark->start_ns == 0) {
        process_snapshot(p->pid, &mark->coordinator_cpu_s[0], &mark->threads[0]);
        mark->client_cpu_s[0] = cpu_of_self();
        mark->start_ns = csl_clock_monotonic_ns();
    }
    csl_mutex_unlock(&p->mu);
    struct delivery *d = csl_alloc(sizeof(*d));
    CSL_ASSERT(d != NULL);
    *d = (struct delivery){p, g->offset};
    struct csl_bulk_head head = {.bytes_total = p->update_bytes, .bytes_offset = g->offset};
    memcpy(head.ticket, g->ticket, CSL_TICKET_BYTES);
    struct csl_bulk_source source = {d, delivery_read, delivery_digest, delivery_close};
    struct csl_err err;
    if (s->t->ops->upload(s->t, g->round, &head, &source, &err) != CSL_OK) {
        csl_free(d);
        fail(s, "upload", err.msg);
    }
}

static void note_accepted(struct site *s, uint64_t round)
{
    struct play *p = s->play;
    struct mark *mark = &p->marks[round - 1];
    csl_mutex_lock(&p->mu);
    if (++mark->accepted == p->site_count) {
        mark->end_ns = csl_clock_monotonic_ns();
        process_snapshot(p->pid, &mark->coordinator_cpu_s[1], &mark->threads[1]);
        mark->client_cpu_s[1] = cpu_of_self();
    }
    csl_mutex_unlock(&p->mu);
}

static void note_ended(struct site *s, const struct csl_msg_study_ended *e)
{
    if (!e->released)
        fail(s, "study aborted", e->reason);
    csl_mutex_lock(&s->play->mu);
    s->play->ended += !s->has_ended;
    s->has_ended = true;
    csl_cond_broadcast(&s->play->changed);
    csl_mutex_unlock(&s->play->mu);
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    (void)c;
    struct site *s = ctx;
    struct csl_message m;
    struct csl_err err;
    enum csl_code code = csl_message_decode(&m, CSL_TO_SITE, csl_msg_span(take_m), &err);
    csl_msg_release(take_m);
    if (code != CSL_OK) {
        fail(s, "message", err.msg);
        return;
    }
    switch ((int)m.kind) {
    case CSL_MSG_STUDY_OFFER:
        answer_offer(s, &m.u.study_offer);
        break;
    case CSL_MSG_TASK:
        answer_task(s, &m.u.task);
        break;
    case CSL_MSG_UPDATE_GRANT:
        start_upload(s, &m.u.update_grant);
        break;
    case CSL_MSG_UPDATE_ACCEPTED:
        note_accepted(s, m.u.update_accepted.round);
        break;
    case CSL_MSG_STUDY_ENDED:
        note_ended(s, &m.u.study_ended);
        break;
    case CSL_MSG_REFUSED:
        fail(s, "refused", m.u.refused.reason);
        break;
    default:
        break;
    }
    csl_message_release(&m);
}

static void on_closed(void *ctx, csl_conn c, enum csl_code why)
{
    struct site *s = ctx;
    (void)c;
    if (!s->has_ended && s->play->pid != 0)
        fail(s, "session closed", csl_code_text(why));
}

static void on_bulk_done(void *ctx, uint64_t bulk_id, enum csl_code code)
{
    (void)bulk_id;
    if (code != CSL_OK)
        fail(ctx, "upload broke", csl_code_text(code));
}

static void open_sites(struct play *p, const char *address)
{
    struct csl_err err;
    char roots[CSL_PATH_MAX];
    path_in(p, "authority.pem", roots);
    for (uint32_t i = 0; i < p->site_count; i++) {
        struct site *s = &p->sites[i];
        struct csl_grpc_client_config c = {.backoff_min_ms = 100, .backoff_max_ms = 1000};
        csl_str_copy(c.target, sizeof(c.target), address);
        csl_str_copy(c.tls.trust_domain, sizeof(c.tls.trust_domain), DOMAIN);
        csl_str_copy(c.tls.roots_path, sizeof(c.tls.roots_path), roots);
        pair(p, s->id, c.tls.key_path, c.tls.chain_path);
        must(csl_grpc_client_new(&s->t, &c, &err), &err);
        s->play = p;
        s->t->up = (struct csl_transport_events){.ctx = s,
                                                 .opened = on_opened,
                                                 .message = on_message,
                                                 .closed = on_closed,
                                                 .bulk_done = on_bulk_done};
        must(s->t->ops->start(s->t, &err), &err);
    }
}

/* false: something failed, and was told. */
static bool wait_for_end(struct play *p)
{
    uint64_t deadline = csl_clock_monotonic_ns() + WAIT_NS;
    csl_mutex_lock(&p->mu);
    while (p->ended < p->site_count && !p->has_failed &&
           csl_cond_wait_until(&p->changed, &p->mu, deadline))
        ;
    bool is_well = p->ended == p->site_count && !p->has_failed;
    csl_mutex_unlock(&p->mu);
    /* The end is told before the released model is written; that may be the peak. */
    char path[CSL_PATH_MAX];
    path_in(p, "state/model.h5", path);
    while (is_well && !csl_file_exists(path)) {
        coordinator_gone(p);
        csl_clock_sleep_ms(20);
    }
    return is_well;
}

static void print_result(const struct play *p, uint64_t peak)
{
    struct csl_buf b;
    struct csl_json j;
    csl_buf_init(&b, (size_t)64 * 1024);
    csl_json_init(&j, &b, false);
    csl_json_object(&j);
    csl_json_put_u64(&j, "sites", p->site_count);
    csl_json_put_u64(&j, "parameters", p->study->schema.parameters);
    csl_json_put_u64(&j, "peak_bytes", peak);
    csl_json_key(&j, "rounds");
    csl_json_array(&j);
    for (uint32_t r = 0; r < p->rounds; r++) {
        const struct mark *m = &p->marks[r];
        csl_json_object(&j);
        csl_json_put_f64(&j, "seconds", (double)(m->end_ns - m->start_ns) * 1e-9);
        csl_json_put_f64(&j, "coordinator_cpu_s",
                         m->coordinator_cpu_s[1] - m->coordinator_cpu_s[0]);
        csl_json_put_f64(&j, "busiest_thread_cpu_s",
                         process_busiest_s(&m->threads[0], &m->threads[1]));
        csl_json_put_f64(&j, "client_cpu_s", m->client_cpu_s[1] - m->client_cpu_s[0]);
        csl_json_end(&j);
    }
    csl_json_end(&j);
    csl_json_end(&j);
    printf("%s\n", csl_buf_text(&b));
    csl_buf_release(&b);
}

static uint32_t number(const char *text, uint32_t most)
{
    uint64_t v = 0;
    if (!csl_parse_u64(text, &v) || v < 1 || v > most) {
        fprintf(stderr, "upload_sites: '%s'; a number from 1 to %u would be right\n", text, most);
        exit(2);
    }
    return (uint32_t)v;
}

int main(int argc, char **argv)
{
    static struct play p;
    struct csl_err err;
    if (argc != 7) {
        fprintf(stderr, "usage: upload_sites COORDINATOR FOLDER SITES WIDTH HIDDEN ROUNDS\n");
        return 2;
    }
    p.program = argv[1];
    csl_str_copy(p.dir, sizeof(p.dir), argv[2]);
    p.site_count = number(argv[3], SITES_TOP);
    p.width = number(argv[4], CSL_FEATURES_MAX);
    p.hidden = number(argv[5], 1000000);
    p.rounds = number(argv[6], ROUNDS_MAX);
    csl_mutex_init(&p.mu);
    csl_cond_init(&p.changed);
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_ERROR);
    must(csl_crypto_init(&err), &err);
    write_identities(&p);
    write_study(&p);
    start_coordinator(&p);
    make_update(&p);
    char address[256];
    read_address(&p, address);
    must(csl_grpc_init(&err), &err);
    open_sites(&p, address);
    bool is_well = wait_for_end(&p);
    uint64_t peak = process_peak_bytes(p.pid);
    kill(p.pid, is_well ? SIGTERM : SIGKILL);
    for (uint32_t i = 0; i < p.site_count; i++) {
        p.sites[i].has_ended = true;
        p.sites[i].t->ops->stop(p.sites[i].t, 0);
        p.sites[i].t->ops->free(p.sites[i].t);
    }
    csl_grpc_shutdown();
    int status = 0;
    waitpid(p.pid, &status, 0);
    if (is_well)
        print_result(&p, peak);
    csl_study_free(p.study);
    csl_free(p.pattern);
    return is_well ? 0 : 1;
}
