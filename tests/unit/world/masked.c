#include "tests/unit/world/masked.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/sha256.h"
#include "privacy/ledger/ledger.h"
#include "privacy/secagg/messages.h"
#include "simulations/federation.h"
#include "site-agent/data/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const uint64_t masked_patients[MASKED_SITES] = {18, 15, 12, 9, 6};
static const char ids[MASKED_SITES][CSL_ID_MAX] = {"aarhus", "brno", "cork", "delft", "evora"};

struct party {
    struct csl_transport *transport; /* NULL: lost */
    struct csl_agent *agent;
    struct csl_transport_ops ops; /* the transport's own, but for send and upload */
    const struct csl_transport_ops *inner;
    uint64_t plain_round; /* the last whose plain update was seen */
    uint64_t lied_round;
};
struct world {
    const struct masked_plan *plan;
    struct masked_result *result;
    struct fixture *f;
    struct csl_study *study;
    struct csl_sim_federation federation;
    struct csl_site_policy policy;
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_transport_ops server_ops; /* the transport's own, but for send */
    const struct csl_transport_ops *server_inner;
    struct csl_service *service;
    struct party sites[MASKED_SITES];
    bool has_restarted;
};
static struct world w;

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("schedule %llu: %s", (unsigned long long)(w.plan ? w.plan->schedule : 0),
                 err->msg);
}

/* --- on disk --- */

static void records_path(const struct fixture *f, uint32_t site, char out[CSL_PATH_MAX])
{
    char name[80];
    snprintf(name, sizeof(name), "masked-%s.h5", ids[site]);
    fixture_path(f, name, out);
}

static void add_label(struct csl_records *r, const char *name, bool is_known)
{
    struct csl_record_label *l = &r->labels[r->label_count++];
    csl_str_copy(l->name, sizeof(l->name), name);
    l->classes = 2;
    l->value = csl_alloc_array(r->record_count, sizeof(*l->value));
    assert_non_null(l->value);
    for (uint32_t i = 0; i < r->record_count; i++)
        l->value[i] = is_known ? (int16_t)(i / 2 % 2) : -1;
}

/* The fixture's records, fewer at every site; every fourth patient tests. */
void masked_open(struct fixture *f)
{
    struct csl_err err = {.code = CSL_OK};
    fixture_open(f, "fedavg", 2);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        struct csl_records r;
        char path[CSL_PATH_MAX];
        must(csl_records_read(&r, f->records[i % FIXTURE_SITES], &err), &err);
        csl_str_copy(r.site, sizeof(r.site), ids[i]);
        r.patient_count = r.record_count = (uint32_t)masked_patients[i] * 4 / 3;
        for (uint32_t k = 0; k < 2 * r.record_count; k++)
            r.modalities[0].values[k] += 0.25f * (float)i;
        add_label(&r, "severe", i > 1);
        add_label(&r, "rare", i < 2);
        records_path(f, i, path);
        must(csl_records_write(&r, path, &err), &err);
        csl_records_release(&r);
    }
}

struct csl_study *masked_study(const struct masked_plan *plan)
{
    char yaml[2048];
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    const char *local = plan->local != NULL
                            ? plan->local
                            : "{optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}";
    const char *model = plan->model != NULL ? plan->model : "{kind: linear}";
    char more[256] = "";
    if (plan->domain != NULL)
        snprintf(more, sizeof(more),
                 "  - id: %s\n    modality: tabular\n"
                 "    task: {kind: binary, label: %s, positive: 1}\n"
                 "    features: [second]\n    scaling: constants\n    model: {kind: linear}\n",
                 plan->domain, plan->domain);
    snprintf(yaml, sizeof(yaml),
             "study: masked\nquestion: Is this patient ill?\n"
             "domains:\n  - id: illness\n    modality: tabular\n"
             "    task: {kind: binary, label: ill, positive: 1}\n"
             "    features: [first, second]\n    scaling: constants\n    model: %s\n%s"
             "training: {local: %s}\nrounds: %u\n%s\n"
             "sites: {minimum: %u, round_deadline: 1h}\nevaluation: {every: 1}\n",
             model, more, local, plan->rounds, plan->sections, plan->minimum_sites);
    must(csl_study_parse(&s, "masked.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    return s;
}

static bool read_blob(uint32_t site, const char *kind, uint64_t round, struct csl_msg *out)
{
    char name[128], path[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s/blobs/%s-%llu", ids[site], kind,
             (unsigned long long)round);
    fixture_path(w.f, name, path);
    return csl_file_read(out, path, 16 << 20, NULL) == CSL_OK;
}

/* What must not be found in what was sent. */
static void note_plain(uint32_t site)
{
    const struct csl_site *core = csl_agent_core(w.sites[site].agent);
    struct csl_msg bytes = {NULL, 0};
    uint64_t round = core->task.round;
    if (!core->has_task || core->task.type != CSL_TASK_TRAIN ||
        w.sites[site].plain_round == round ||
        !read_blob(site, w.study->secagg.is_on && !w.plan->is_unmasked ? "plain" : "update", round,
                   &bytes))
        return;
    w.sites[site].plain_round = round;
    csl_buf_append(&w.result->plain, bytes.p, bytes.n);
    csl_msg_release(&bytes);
}

/* --- what sites send --- */

static uint32_t site_of(const struct csl_transport *t)
{
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        if (w.sites[i].transport == t)
            return i;
    fail_msg("a transport of no site");
    return 0;
}

/* Nothing about a round leaves before the ledger holds it. */
static void check_charged(uint32_t site, uint64_t round)
{
    struct csl_ledger_spent spent;
    struct csl_ledger *l = csl_agent_ledger(w.sites[site].agent);
    if (w.study->privacy.mode == CSL_PRIVACY_NONE)
        return;
    if (l == NULL || csl_ledger_spent_by_study(l, w.study->digest, &spent, NULL) != CSL_OK ||
        spent.charges < round)
        w.result->uncharged++;
}

static bool lies(uint32_t site, uint64_t round)
{
    return w.plan->lying_round != 0 && round == w.plan->lying_round && site == w.plan->lying_site;
}

/* The digest of the bytes that it will send instead. */
static void lie(uint32_t site, struct csl_msg_update_ready *u)
{
    struct csl_msg bytes = {NULL, 0};
    assert_true(read_blob(site, "update", u->round, &bytes));
    bytes.p[0] ^= 1;
    csl_sha256_digest(bytes.p, bytes.n, u->digest);
    csl_msg_release(&bytes);
    w.sites[site].lied_round = u->round;
}

static void look_at_secagg(uint32_t site, struct csl_span body)
{
    struct csl_secagg_message s;
    struct csl_err err = {.code = CSL_OK};
    must(csl_secagg_decode(&s, body, &err), &err);
    if (s.type == CSL_SECAGG_MANIFEST)
        check_charged(site, csl_agent_core(w.sites[site].agent)->task.round);
}

static void look_at(uint32_t site, struct csl_message *m)
{
    const struct csl_block_count *blocks = NULL;
    uint32_t count = 0;
    switch ((int)m->kind) {
    case CSL_MSG_STUDY_ANSWER:
        blocks = m->u.study_answer.blocks;
        count = m->u.study_answer.block_count;
        break;
    case CSL_MSG_UPDATE_READY:
        check_charged(site, m->u.update_ready.round);
        blocks = m->u.update_ready.blocks;
        count = m->u.update_ready.block_count;
        w.result->losses_told += m->u.update_ready.train_loss != 0;
        if (lies(site, m->u.update_ready.round))
            lie(site, &m->u.update_ready);
        break;
    case CSL_MSG_EVALUATION:
        w.result->counts_told += m->u.evaluation.block_count > 0;
        break;
    case CSL_MSG_SECAGG:
        look_at_secagg(site, csl_msg_span(&m->u.secagg.body));
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < count; i++)
        w.result->counts_told += blocks[i].patients > 1;
}

static void meddle(enum csl_direction to, uint32_t site, struct csl_msg *bytes)
{
    struct csl_message m;
    struct csl_err mistake = {.code = CSL_OK};
    if (w.plan->meddle == NULL)
        return;
    must(csl_message_decode(&m, to, csl_msg_span(bytes), &mistake), &mistake);
    bool is_secagg = m.kind == CSL_MSG_SECAGG || m.kind == CSL_MSG_SECAGG_TO_SITE;
    if (is_secagg && w.plan->meddle(to, site, &m)) {
        csl_msg_release(bytes);
        must(csl_message_encode(&m, bytes, &mistake), &mistake);
    }
    csl_message_release(&m);
}

static enum csl_code server_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                                 struct csl_err *err)
{
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        if (csl_coord_site(csl_service_core(w.service), i)->conn == c)
            meddle(CSL_TO_SITE, i, take_m);
    return w.server_inner->send(t, c, take_m, err);
}

static enum csl_code seen_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                               struct csl_err *err)
{
    uint32_t site = site_of(t);
    struct csl_message m;
    struct csl_err mistake = {.code = CSL_OK};
    must(csl_message_decode(&m, CSL_TO_COORDINATOR, csl_msg_span(take_m), &mistake), &mistake);
    look_at(site, &m);
    uint64_t ready = m.kind == CSL_MSG_UPDATE_READY ? m.u.update_ready.round : 0;
    bool is_away = ready != 0 && ready == w.plan->away_round && site == w.plan->away_site;
    if (is_away) {
        m.kind = CSL_MSG_TASK_FAILED;
        m.u.task_failed = (struct csl_msg_task_failed){.round = ready, .code = CSL_E_UNSUPPORTED};
    }
    if (is_away || (ready != 0 && lies(site, ready))) {
        csl_msg_release(take_m);
        must(csl_message_encode(&m, take_m, &mistake), &mistake);
    }
    csl_message_release(&m);
    meddle(CSL_TO_COORDINATOR, site, take_m);
    csl_buf_append(&w.result->sent, take_m->p, take_m->n);
    return w.sites[site].inner->send(t, c, take_m, err);
}

struct seen_source {
    struct csl_bulk_source inner;
    struct csl_sha256 hash;
    bool is_lie, is_first;
};

static enum csl_code seen_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                               struct csl_err *err)
{
    struct seen_source *s = self;
    enum csl_code code = s->inner.read(s->inner.self, buffer, capacity, n, err);
    if (code != CSL_OK)
        return code;
    if (s->is_lie && s->is_first && *n > 0)
        buffer[0] ^= 1;
    s->is_first = s->is_first && *n == 0;
    csl_sha256_update(&s->hash, buffer, *n);
    csl_buf_append(&w.result->sent, buffer, *n);
    return CSL_OK;
}

static enum csl_code seen_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    struct seen_source *s = self;
    enum csl_code code = s->inner.digest(s->inner.self, out, err);
    if (code == CSL_OK && s->is_lie)
        csl_sha256_final(&s->hash, out);
    return code;
}

static void seen_close(void *self)
{
    struct seen_source *s = self;
    s->inner.close(s->inner.self);
    csl_free(s);
}

static enum csl_code seen_upload(struct csl_transport *t, uint64_t bulk_id,
                                 const struct csl_bulk_head *head,
                                 const struct csl_bulk_source *source, struct csl_err *err)
{
    uint32_t site = site_of(t);
    struct party *p = &w.sites[site];
    uint64_t round = csl_coord_site(csl_service_core(w.service), site)->update.round;
    struct seen_source *s = csl_alloc(sizeof(*s));
    assert_non_null(s);
    *s = (struct seen_source){
        .inner = *source, .is_first = true, .is_lie = p->lied_round != 0 && lies(site, round)};
    csl_sha256_init(&s->hash);
    check_charged(site, round);
    w.result->uploads++;
    struct csl_bulk_source seen = {s, seen_read, seen_digest, seen_close};
    enum csl_code code = p->inner->upload(t, bulk_id, head, &seen, err);
    if (code != CSL_OK)
        csl_free(s);
    return code;
}

/* --- the world --- */

static void on_round(void *ctx, uint64_t round, uint32_t contributions, double train_loss)
{
    struct masked_result *r = ctx;
    assert_true(round >= 1 && round <= MASKED_ROUNDS_MAX);
    r->contributions[round - 1] = contributions;
    r->train_loss[round - 1] = train_loss;
    r->rounds = round;
}

static void open_service(void)
{
    struct csl_err err = {.code = CSL_OK};
    char dir[CSL_PATH_MAX];
    bool has_keys = w.federation.keys != NULL;
    fixture_path(w.f, "run/coordinator", dir);
    must(csl_inproc_server(w.net, &w.server, &err), &err);
    w.server_inner = w.server->ops;
    w.server_ops = *w.server_inner;
    w.server_ops.send = server_send;
    w.server->ops = &w.server_ops;
    struct csl_service_config c = {.study = w.study,
                                   .roster = ids,
                                   .roster_count = MASKED_SITES,
                                   .seed = 7,
                                   .open_wait_ms = 60000,
                                   .state_dir = dir,
                                   .secagg_key = has_keys ? &w.federation.coordinator : NULL,
                                   .secagg_roster = has_keys ? &w.federation.roster : NULL,
                                   .is_unmasked = w.plan->is_unmasked,
                                   .transport = w.server,
                                   .observer = {.ctx = w.result, .round = on_round}};
    must(csl_service_new(&w.service, &c, &err), &err);
    must(csl_service_start(w.service, 0, &err), &err);
}

static void open_site(uint32_t i)
{
    struct csl_err err = {.code = CSL_OK};
    struct party *p = &w.sites[i];
    char name[80], dir[CSL_PATH_MAX], records[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s", ids[i]);
    fixture_path(w.f, name, dir);
    records_path(w.f, i, records);
    must(csl_inproc_client(w.net, ids[i], &p->transport, &err), &err);
    p->inner = p->transport->ops;
    p->ops = *p->inner;
    p->ops.send = seen_send;
    p->ops.upload = seen_upload;
    p->transport->ops = &p->ops;
    struct csl_agent_config c = {
        .site_id = ids[i],
        .record_path = records,
        .state_dir = dir,
        .backend = "cpu-ref",
        .policy = &w.policy,
        .transport = p->transport,
        .noise_seed = w.plan->noise_seed,
        .unmasked_sites = w.plan->is_unmasked ? MASKED_SITES : 0,
        .secagg = i == w.plan->keyless_site ? NULL : csl_sim_federation_site(&w.federation, i)};
    must(csl_agent_new(&p->agent, &c, &err), &err);
    must(csl_agent_start(p->agent, csl_inproc_now_ns(w.net), &err), &err);
}

/* A killed process makes no upcalls, not even while its transport is taken down. */
static void kill_transport(struct csl_transport *t)
{
    t->up = (struct csl_transport_events){.ctx = NULL};
    t->ops->stop(t, 0);
    t->ops->free(t);
}

static void close_site(uint32_t i)
{
    struct party *p = &w.sites[i];
    if (p->transport == NULL)
        return;
    kill_transport(p->transport);
    csl_agent_free(p->agent);
    *p = (struct party){.transport = NULL};
}

static void note_site(uint32_t i)
{
    struct csl_ledger *l = csl_agent_ledger(w.sites[i].agent);
    struct csl_ledger_spent spent;
    if (l == NULL || csl_ledger_spent_by_study(l, w.study->digest, &spent, NULL) != CSL_OK)
        return;
    w.result->epsilon[i] = spent.epsilon;
    w.result->charges[i] = spent.charges;
}

static void maybe_lose(void)
{
    uint32_t i = w.plan->lost_site;
    if (w.plan->lost_round == 0 || w.sites[i].transport == NULL)
        return;
    const struct csl_site *core = csl_agent_core(w.sites[i].agent);
    const struct csl_coord_site *seen = csl_coord_site(csl_service_core(w.service), i);
    bool is_due = core->has_task && core->task.type == CSL_TASK_TRAIN &&
                  core->task.round == w.plan->lost_round;
    if (w.plan->lost_when == LOST_ANNOUNCED)
        is_due = is_due && seen->update.round == w.plan->lost_round;
    bool is_held = seen->progress == CSL_SITE_HELD && seen->update.round == w.plan->lost_round;
    if (!(w.plan->lost_when == LOST_HELD ? is_held : is_due))
        return;
    assert_true(is_held || seen->progress < CSL_SITE_FOLDING); /* else the test does not test */
    note_site(i);
    close_site(i);
}

/* What was in memory is gone, and the state on disk is not. */
static void maybe_restart(void)
{
    uint32_t i = w.plan->restart_site;
    if (w.plan->restart_round == 0 || w.has_restarted)
        return;
    const struct csl_site *core = csl_agent_core(w.sites[i].agent);
    if (!core->has_task || core->task.type != CSL_TASK_TRAIN ||
        core->task.round != w.plan->restart_round)
        return;
    w.has_restarted = true;
    close_site(i);
    open_site(i);
}

static bool run_instant(void)
{
    uint64_t now = csl_inproc_now_ns(w.net);
    bool did = false;
    while (csl_inproc_step(w.net, now))
        did = true;
    did = csl_service_pump(w.service, now) || did;
    csl_coord_check(csl_service_core(w.service));
    maybe_lose();
    maybe_restart();
    uint64_t round = csl_coord_rounds_done(csl_service_core(w.service)) + 1;
    if (round >= w.plan->dark_from && round <= w.plan->dark_until)
        csl_inproc_cut(w.net, ids[w.plan->dark_site]);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        if (w.sites[i].transport == NULL)
            continue;
        did = csl_agent_pump(w.sites[i].agent, now) || did;
        csl_site_check(csl_agent_core(w.sites[i].agent));
        note_plain(i);
    }
    return did;
}

static uint64_t next_instant(void)
{
    uint64_t next = csl_service_wakeup_ns(w.service), other;
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        if (w.sites[i].transport == NULL)
            continue;
        other = csl_agent_wakeup_ns(w.sites[i].agent);
        next = other < next ? other : next;
    }
    return next;
}

static void run_to_the_end(void)
{
    for (uint32_t instants = 0; !csl_service_is_finished(w.service); instants++) {
        if (instants > 100000)
            fail_msg("schedule %llu does not end", (unsigned long long)w.plan->schedule);
        if (run_instant())
            continue;
        uint64_t next = next_instant();
        bool is_net = csl_inproc_next_ns(w.net) <= next;
        if (!is_net && next == UINT64_MAX)
            fail_msg("schedule %llu stands still", (unsigned long long)w.plan->schedule);
        (void)csl_inproc_step(w.net, is_net ? UINT64_MAX : next);
    }
}

static void collect(void)
{
    struct masked_result *r = w.result;
    struct csl_err err = {.code = CSL_OK};
    r->code = csl_service_outcome(w.service, &err);
    csl_str_copy(r->reason, sizeof(r->reason), r->code == CSL_OK ? "" : err.msg);
    r->parameters = (uint32_t)w.study->schema.parameters;
    r->model = csl_alloc_array(r->parameters, sizeof(float));
    assert_non_null(r->model);
    memcpy(r->model, csl_service_parameters(w.service), r->parameters * sizeof(float));
    r->cuts = csl_inproc_stats(w.net).cuts;
    r->sessions = csl_inproc_stats(w.net).sessions;
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        const struct csl_coord_site *s = csl_coord_site(csl_service_core(w.service), i);
        r->site_rounds[i] = s->rounds_contributed;
        r->membership[i] = s->membership;
        if (w.sites[i].transport != NULL)
            note_site(i);
    }
}

static void make_policy(void)
{
    w.policy.approval = CSL_APPROVAL_AUTOMATIC;
    w.policy.allows_large_delta = true;
    csl_str_copy(w.policy.cohort, sizeof(w.policy.cohort), "records");
    w.policy.ledger.composition = CSL_LEDGER_BASIC;
    w.policy.ledger.budget_count = 1;
    w.policy.ledger.budgets[0] = (struct csl_ledger_budget){
        .cohort = "*",
        .epsilon = w.study->privacy.epsilon > 0 ? w.study->privacy.epsilon : 1e9,
        .delta = 0.5};
}

void masked_run(struct fixture *f, const struct masked_plan *plan, struct masked_result *out)
{
    struct csl_err err = {.code = CSL_OK};
    char dir[CSL_PATH_MAX];
    struct csl_inproc_config net = {
        .seed = plan->schedule,
        .delay_ns = plan->delay_ns > 0 ? plan->delay_ns : 5 * CSL_NS_PER_MS,
        .jitter_ns = plan->jitter_ns,
        .cut_probability = plan->cut_probability,
        .reconnect_ns = (plan->dark_from > 0 ? 60000 : 100) * CSL_NS_PER_MS,
        .chunk_bytes = plan->chunk_bytes > 0 ? plan->chunk_bytes : 16};
    memset(out, 0, sizeof(*out));
    csl_buf_init(&out->sent, 64 << 20);
    csl_buf_init(&out->plain, 64 << 20);
    w = (struct world){.plan = plan, .result = out, .f = f, .study = masked_study(plan)};
    make_policy();
    if (!plan->is_unmasked)
        must(csl_sim_federation_make(&w.federation, w.study, ids, MASKED_SITES, &err), &err);
    must(csl_inproc_new(&w.net, &net, &err), &err);
    open_service();
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        open_site(i);
    run_to_the_end();
    collect();
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        close_site(i);
    kill_transport(w.server);
    csl_service_free(w.service);
    csl_inproc_free(w.net);
    csl_sim_federation_release(&w.federation);
    csl_study_free(w.study);
    fixture_path(f, "run", dir);
    fixture_remove(dir);
    must(csl_buf_status(&out->sent, &err), &err);
    must(csl_buf_status(&out->plain, &err), &err);
}

void masked_release(struct masked_result *r)
{
    csl_buf_release(&r->sent);
    csl_buf_release(&r->plain);
    csl_free(r->model);
}
