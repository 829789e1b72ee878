#include "simulations/world.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"
#include "coordinator/service.h"
#include "privacy/audit/canary.h"
#include "privacy/crypto/sha256.h"
#include "protocol/transport/inproc.h"
#include "simulations/attack.h"
#include "simulations/federation.h"
#include "simulations/ledgers.h"
#include "site-agent/agent.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define OPEN_WAIT_MS UINT64_C(60000)
/* Virtual time the sites get to hear of the end after the coordinator reached it. */
#define GRACE_NS (60 * CSL_NS_PER_S)

struct world {
    const struct csl_world_config *config;
    struct csl_world_result *result;
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_service *service;
    struct csl_transport **clients;     /* [site_count] */
    struct csl_agent **agents;          /* [site_count] */
    struct csl_sim_attacker *attackers; /* [site_count] */
    char (*roster)[CSL_ID_MAX];         /* [site_count] */
    struct csl_sim_federation federation;
    uint32_t evaluation_capacity;
    struct csl_progress progress;
    struct csl_err failure; /* of an observer */
};

static uint32_t find_site(const struct world *w, const char *id)
{
    for (uint32_t i = 0; i < w->config->site_count; i++)
        if (strcmp(w->config->sites[i].id, id) == 0)
            return i;
    return UINT32_MAX;
}

static void on_round(void *ctx, uint64_t round, uint32_t contributions, double train_loss)
{
    struct world *w = ctx;
    CSL_ASSERT(round >= 1 && round <= w->config->study->rounds);
    struct csl_world_round *row = &w->result->round_rows[round - 1];
    row->round = round;
    row->contributions = contributions;
    row->train_loss = train_loss;
    w->result->rounds = round;
    csl_progress_update(&w->progress, round);
    if (w->config->interrupted != NULL && w->config->interrupted(w->config->interrupted_ctx)) {
        w->result->was_interrupted = true;
        csl_service_abort(w->service, "the run was interrupted");
    }
}

static void on_sum(void *ctx, uint64_t round, uint32_t fewest)
{
    struct world *w = ctx;
    CSL_ASSERT(round >= 1 && round <= w->config->study->rounds);
    w->result->round_rows[round - 1].fewest = fewest;
}

static void on_rejected(void *ctx, const struct csl_round_rejection *v)
{
    struct world *w = ctx;
    struct csl_world_result *r = w->result;
    struct csl_world_rejection *grown =
        csl_realloc_array(r->rejections, r->rejection_count + 1, sizeof(*grown));
    if (grown == NULL) {
        if (w->failure.code == CSL_OK)
            (void)CSL_FAIL(&w->failure, CSL_E_NOMEM, "no memory for the rejected rounds");
        return;
    }
    r->rejections = grown;
    grown[r->rejection_count] = (struct csl_world_rejection){.round = v->round,
                                                             .is_by_vote = v->is_by_vote,
                                                             .worse = v->worse,
                                                             .voters = v->voters,
                                                             .norm = v->norm.norm,
                                                             .limit = v->norm.limit};
    if (!v->is_by_vote)
        csl_str_copy(grown[r->rejection_count].block, sizeof(grown->block),
                     w->config->study->schema.blocks[v->norm.block].name);
    r->rejection_count++;
}

static void on_evaluation(void *ctx, const char *site_id, const struct csl_msg_evaluation *e)
{
    struct world *w = ctx;
    struct csl_world_result *r = w->result;
    uint32_t need = r->evaluation_count + e->block_count;
    if (need > w->evaluation_capacity) {
        uint32_t capacity = need * 2 + 16;
        void *grown = csl_realloc_array(r->evaluations, capacity, sizeof(*r->evaluations));
        if (grown == NULL) {
            (void)CSL_FAIL(&w->failure, CSL_E_NOMEM, "no memory for %u evaluations", capacity);
            return;
        }
        r->evaluations = grown;
        w->evaluation_capacity = capacity;
    }
    for (uint32_t i = 0; i < e->block_count; i++)
        r->evaluations[r->evaluation_count++] = (struct csl_world_evaluation){
            .round = e->round,
            .site = site_id[0] == '\0' ? CSL_WORLD_ALL_SITES : find_site(w, site_id),
            .block = e->blocks[i]};
}

static void on_published(void *ctx, const struct csl_published *p)
{
    struct world *w = ctx;
    struct csl_err err = {.code = CSL_OK};
    if (csl_world_take_published(w->result, p, &err) != CSL_OK)
        w->failure = err;
}

static enum csl_code state_path(const struct world *w, const char *name, char out[CSL_PATH_MAX],
                                const char **path, struct csl_err *err)
{
    *path = NULL;
    if (w->config->state_dir == NULL)
        return CSL_OK;
    enum csl_code code = csl_path_join(out, CSL_PATH_MAX, w->config->state_dir, name, err);
    *path = out;
    return code;
}

static enum csl_code open_coordinator(struct world *w, struct csl_err *err)
{
    const struct csl_world_config *c = w->config;
    char buffer[CSL_PATH_MAX];
    const char *dir = NULL;
    enum csl_code code = csl_inproc_server(w->net, &w->server, err);
    if (code == CSL_OK)
        code = state_path(w, "coordinator", buffer, &dir, err);
    if (code != CSL_OK)
        return code;
    struct csl_service_config config = {
        .study = c->study,
        .roster = (const char(*)[CSL_ID_MAX])w->roster,
        .roster_count = c->site_count,
        .seed = c->seed,
        .open_wait_ms = OPEN_WAIT_MS,
        .is_rehearsal = true,
        .state_dir = dir,
        .initial_model = c->initial_model,
        .secagg_key = w->federation.keys != NULL ? &w->federation.coordinator : NULL,
        .secagg_roster = w->federation.keys != NULL ? &w->federation.roster : NULL,
        .secagg_epoch_seed = w->federation.has_epoch ? w->federation.epoch_seed : NULL,
        .is_unmasked = c->is_unmasked,
        .transport = w->server,
        .observer = {.ctx = w,
                     .rejected = on_rejected,
                     .round = on_round,
                     .sum = on_sum,
                     .evaluation = on_evaluation,
                     .published = on_published}};
    code = csl_service_new(&w->service, &config, err);
    if (code == CSL_OK)
        code = csl_service_start(w->service, csl_inproc_now_ns(w->net), err);
    return code;
}

/* As a ledger adds: rounded up. */
static double sum_up(double a, double b)
{
    return b > 0 ? nextafter(a + b, HUGE_VAL) : a;
}

double csl_world_budget(const struct csl_study *study)
{
    return study->privacy.epsilon > 0 ? sum_up(study->privacy.epsilon, study->statistics.epsilon)
                                      : 1000.0;
}

double csl_world_budget_delta(const struct csl_study *study)
{
    return sum_up(study->privacy.delta, study->statistics.delta);
}

static struct csl_site_policy make_policy(const struct csl_study *study)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC, .allows_large_delta = true};
    CSL_ASSERT(csl_str_copy(p.cohort, sizeof(p.cohort), "records"));
    p.ledger.composition = CSL_LEDGER_BASIC;
    p.masked = (struct csl_masked_floors){.has_colluding = true,
                                          .colluding = study->secagg.colluding,
                                          .minimum_sites = study->secagg.minimum_sites};
    if (study->privacy.mode == CSL_PRIVACY_NONE)
        return p;
    struct csl_ledger_budget *b = &p.ledger.budgets[p.ledger.budget_count++];
    CSL_ASSERT(csl_str_copy(b->cohort, sizeof(b->cohort), "*"));
    b->epsilon = csl_world_budget(study);
    b->delta = csl_world_budget_delta(study);
    return p;
}

static enum csl_code open_site(struct world *w, uint32_t i, struct csl_err *err)
{
    const struct csl_world_site *site = &w->config->sites[i];
    const struct csl_site_policy policy = make_policy(w->config->study);
    char name[CSL_ID_MAX + 8], buffer[CSL_PATH_MAX];
    const char *dir = NULL;
    snprintf(name, sizeof(name), "sites/%s", site->id);
    enum csl_code code = csl_inproc_client(w->net, site->id, &w->clients[i], err);
    if (code == CSL_OK)
        code = state_path(w, name, buffer, &dir, err);
    if (code != CSL_OK)
        return code;
    struct csl_agent_config config = {
        .site_id = site->id,
        .record_path = site->record_path,
        .state_dir = dir,
        .initial_model = w->config->initial_model,
        .backend = w->config->backend,
        .policy = &policy,
        .transport = w->clients[i],
        .noise_seed = &w->config->seed,
        .secagg = csl_sim_federation_site(&w->federation, i),
        .unmasked_sites = w->config->is_unmasked ? w->config->site_count : 0,
        .audit_canaries = w->config->audit_canaries,
        .tamper =
            csl_sim_attacker_init(&w->attackers[i], w->config->study, site->id, w->config->seed)};
    code = csl_agent_new(&w->agents[i], &config, err);
    if (code == CSL_OK)
        code = csl_agent_start(w->agents[i], csl_inproc_now_ns(w->net), err);
    return code;
}

/* Everything that can happen at this instant of virtual time; false: nothing did. */
static bool run_instant(struct world *w)
{
    uint64_t now = csl_inproc_now_ns(w->net);
    bool did = false;
    while (csl_inproc_step(w->net, now))
        did = true;
    did = csl_service_pump(w->service, now) || did;
    for (uint32_t i = 0; i < w->config->site_count; i++)
        did = csl_agent_pump(w->agents[i], now) || did;
    return did;
}

static uint64_t next_instant(const struct world *w)
{
    uint64_t next = csl_inproc_next_ns(w->net);
    uint64_t service = csl_service_wakeup_ns(w->service);
    next = service < next ? service : next;
    for (uint32_t i = 0; i < w->config->site_count; i++) {
        uint64_t agent = csl_agent_wakeup_ns(w->agents[i]);
        next = agent < next ? agent : next;
    }
    return next;
}

static bool sites_finished(const struct world *w)
{
    for (uint32_t i = 0; i < w->config->site_count; i++)
        if (!csl_agent_is_finished(w->agents[i]))
            return false;
    return true;
}

/* A site that broke down would be waited for until the coordinator's patience ends. */
static enum csl_code check_sites(const struct world *w, struct csl_err *err)
{
    for (uint32_t i = 0; i < w->config->site_count; i++) {
        const struct csl_agent *a = w->agents[i];
        if (csl_agent_is_finished(a) && csl_agent_core(a)->state != CSL_SITE_ENDED)
            return csl_agent_outcome(a, err);
    }
    return CSL_OK;
}

static enum csl_code run(struct world *w, struct csl_err *err)
{
    uint64_t end_ns = UINT64_MAX;
    for (;;) {
        enum csl_code code = check_sites(w, err);
        if (code != CSL_OK)
            return code;
        if (run_instant(w))
            continue;
        uint64_t now = csl_inproc_now_ns(w->net);
        if (csl_service_is_finished(w->service) && end_ns == UINT64_MAX)
            end_ns = now + GRACE_NS;
        if (csl_service_is_finished(w->service) && (sites_finished(w) || now >= end_ns))
            break;
        uint64_t next = next_instant(w);
        if (next == UINT64_MAX && end_ns == UINT64_MAX)
            return CSL_FAIL(err, CSL_E_BUG,
                            "the simulation stands still in state %s after %llu rounds",
                            csl_study_state_name(csl_coord_state(csl_service_core(w->service))),
                            (unsigned long long)w->result->rounds);
        if (next >= end_ns)
            break;
        if (csl_inproc_next_ns(w->net) > next)
            (void)csl_inproc_step(w->net, next); /* moves the clock only */
        else
            (void)csl_inproc_step(w->net, UINT64_MAX);
    }
    if (w->failure.code != CSL_OK) {
        *err = w->failure;
        return err->code;
    }
    return w->result->was_interrupted ? CSL_OK : csl_service_outcome(w->service, err);
}

static enum csl_code collect_privacy(struct world *w, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < w->config->site_count; i++) {
        struct csl_world_privacy *p = &w->result->privacy[i];
        struct csl_ledger *l = csl_agent_ledger(w->agents[i]);
        struct csl_audit_result audit;
        if (l == NULL)
            continue;
        code = csl_sim_ledger_take(l, w->config, w->config->sites[i].id, p, err);
        if (code != CSL_OK || w->config->audit_canaries == 0)
            continue;
        code = csl_agent_audit(w->agents[i], &audit, err);
        if (code == CSL_E_NOTFOUND) { /* mode site has no patients to imitate */
            code = CSL_OK;
            continue;
        }
        p->audit.canaries = audit.canaries;
        p->audit.guesses = (uint32_t)audit.guesses;
        p->audit.correct = (uint32_t)audit.correct;
        p->audit.epsilon_lower = audit.epsilon_lower;
        p->audit.confidence = audit.confidence;
    }
    return code;
}

/* The released model with each site's own blocks in the place of those that were never sent. */
static enum csl_code collect_own(struct world *w, struct csl_err *err)
{
    struct csl_world_result *r = w->result;
    size_t parameters = (size_t)w->config->study->schema.parameters;
    enum csl_code code = CSL_OK;
    if (!csl_study_has_kind(w->config->study, CSL_BLOCK_LOCAL))
        return CSL_OK;
    r->own = csl_alloc_array(w->config->site_count, sizeof(*r->own));
    if (r->own == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the sites' models");
    r->own_count = w->config->site_count;
    for (uint32_t i = 0; code == CSL_OK && i < w->config->site_count; i++) {
        r->own[i] = csl_alloc_array(parameters, sizeof(**r->own));
        if (r->own[i] == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the sites' models");
        memcpy(r->own[i], r->parameters, parameters * sizeof(float));
        code = csl_agent_take_own(w->agents[i], r->own[i], err);
    }
    return code;
}

static enum csl_code collect(struct world *w, struct csl_err *err)
{
    struct csl_world_result *r = w->result;
    uint64_t parameters = w->config->study->schema.parameters;
    r->parameters = csl_alloc_array(parameters, sizeof(float));
    if (r->parameters == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the released model");
    memcpy(r->parameters, csl_service_parameters(w->service), parameters * sizeof(float));
    csl_sha256_digest(r->parameters, parameters * sizeof(float), r->model_digest);
    const struct csl_coord *core = csl_service_core(w->service);
    for (uint32_t i = 0; i < csl_coord_site_count(core); i++) {
        const struct csl_coord_site *s = csl_coord_site(core, i);
        uint32_t site = find_site(w, s->id);
        r->site_rounds[site] = (uint32_t)s->rounds_contributed;
        for (uint32_t b = 0; b < s->block_count; b++)
            if (s->blocks[b].block < w->config->study->schema.block_count) /* else of evaluations */
                r->site_patients[site] += s->blocks[b].patients;
        r->site_blocks[site].count = s->membership == CSL_MEMBER_ACCEPTED ? s->block_count : 0;
        memcpy(r->site_blocks[site].blocks, s->blocks, sizeof(s->blocks));
    }
    enum csl_code code = collect_own(w, err);
    if (code == CSL_OK && w->config->study->privacy.mode != CSL_PRIVACY_NONE)
        code = collect_privacy(w, err);
    if (code != CSL_OK)
        return code;
    struct csl_inproc_stats stats = csl_inproc_stats(w->net);
    r->bytes_up = stats.bytes_up;
    r->bytes_down = stats.bytes_down;
    r->messages = stats.messages;
    return CSL_OK;
}

static enum csl_code open_world(struct world *w, struct csl_err *err)
{
    const struct csl_world_config *c = w->config;
    w->clients = csl_alloc_array(c->site_count, sizeof(*w->clients));
    w->agents = csl_alloc_array(c->site_count, sizeof(*w->agents));
    w->attackers = csl_alloc_array(c->site_count, sizeof(*w->attackers));
    w->roster = csl_alloc_array(c->site_count, sizeof(*w->roster));
    w->result->round_rows = csl_alloc_array(c->study->rounds, sizeof(*w->result->round_rows));
    w->result->site_rounds = csl_alloc_array(c->site_count, sizeof(*w->result->site_rounds));
    w->result->site_patients = csl_alloc_array(c->site_count, sizeof(*w->result->site_patients));
    w->result->site_blocks = csl_alloc_array(c->site_count, sizeof(*w->result->site_blocks));
    w->result->privacy = csl_alloc_array(c->site_count, sizeof(*w->result->privacy));
    if (w->result->privacy == NULL || w->clients == NULL || w->agents == NULL ||
        w->attackers == NULL || w->roster == NULL || w->result->round_rows == NULL ||
        w->result->site_rounds == NULL || w->result->site_patients == NULL ||
        w->result->site_blocks == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", c->site_count);
    for (uint32_t i = 0; i < c->site_count; i++)
        csl_str_copy(w->roster[i], sizeof(w->roster[i]), c->sites[i].id);
    struct csl_inproc_config net = {.seed = c->seed, .reconnect_ns = CSL_NS_PER_S};
    enum csl_code code = csl_inproc_new(&w->net, &net, err);
    if (code == CSL_OK && !c->is_unmasked)
        code = csl_sim_federation_make(&w->federation, c->study,
                                       (const char(*)[CSL_ID_MAX])w->roster, c->site_count, err);
    if (code == CSL_OK)
        code = open_coordinator(w, err);
    for (uint32_t i = 0; code == CSL_OK && i < c->site_count; i++)
        code = open_site(w, i, err);
    return code;
}

static void close_transport(struct csl_transport *t)
{
    if (t == NULL)
        return;
    t->ops->stop(t, 0);
    t->ops->free(t);
}

static void close_world(struct world *w)
{
    for (uint32_t i = 0; w->clients != NULL && i < w->config->site_count; i++)
        close_transport(w->clients[i]);
    close_transport(w->server);
    for (uint32_t i = 0; w->agents != NULL && i < w->config->site_count; i++)
        csl_agent_free(w->agents[i]);
    csl_service_free(w->service);
    csl_inproc_free(w->net);
    csl_sim_federation_release(&w->federation);
    csl_free(w->clients);
    csl_free(w->agents);
    csl_free(w->attackers);
    csl_free(w->roster);
}

enum csl_code csl_world_run(const struct csl_world_config *c, struct csl_world_result *out,
                            struct csl_err *err)
{
    if (c->site_count == 0 || c->site_count > CSL_SITES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "a simulation has 1 to %d sites, not %u", CSL_SITES_MAX,
                        c->site_count);
    struct csl_world_result result = {.rounds = 0};
    struct world w = {.config = c, .result = &result};
    csl_progress_start(&w.progress, c->progress, "rounds", "rounds", c->study->rounds);
    enum csl_code code = open_world(&w, err);
    if (code == CSL_OK)
        code = run(&w, err);
    if (code == CSL_OK)
        code = collect(&w, err);
    csl_progress_finish(&w.progress);
    close_world(&w);
    if (code != CSL_OK) {
        csl_world_result_release(&result);
        return code;
    }
    *out = result;
    return CSL_OK;
}

enum csl_code csl_world_take_published(struct csl_world_result *r, const struct csl_published *p,
                                       struct csl_err *err)
{
    struct csl_published *grown =
        csl_realloc_array(r->published, r->published_count + 1, sizeof(*grown));
    if (grown == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u statistics", r->published_count + 1);
    r->published = grown;
    grown[r->published_count++] = *p;
    return CSL_OK;
}

void csl_world_result_release(struct csl_world_result *r)
{
    csl_free(r->parameters);
    for (uint32_t i = 0; i < r->own_count; i++)
        csl_free(r->own[i]);
    csl_free(r->own);
    csl_free(r->round_rows);
    csl_free(r->site_rounds);
    csl_free(r->site_patients);
    csl_free(r->site_blocks);
    csl_free(r->privacy);
    csl_free(r->evaluations);
    csl_free(r->published);
    csl_free(r->rejections);
    *r = (struct csl_world_result){.rounds = 0};
}
