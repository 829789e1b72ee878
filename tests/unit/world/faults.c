#include "tests/unit/world/faults.h"

#include "base/clock.h"
#include "privacy/crypto/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(7)

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static void on_round(void *ctx, uint64_t round, uint32_t contributions, double train_loss)
{
    struct faults_world *w = ctx;
    struct faults_seen *seen = w->faults == NULL ? NULL : w->faults->seen;
    double sum = 0;
    (void)contributions;
    w->losses[round % 5] = train_loss;
    for (size_t i = 0; i < 5; i++)
        sum += w->losses[i];
    if (seen != NULL && seen->goal_ns == 0 && round >= 5 && sum < 5 * seen->loss_goal)
        seen->goal_ns = csl_inproc_now_ns(w->net);
}

void faults_open_service(struct faults_world *w)
{
    struct csl_err err = {.code = CSL_OK};
    char dir[CSL_PATH_MAX];
    fixture_path(w->f, "run/coordinator", dir);
    must(csl_inproc_server(w->net, &w->server, &err), &err);
    struct csl_service_config c = {.study = w->f->study,
                                   .roster = (const char(*)[CSL_ID_MAX])w->f->ids,
                                   .roster_count = FIXTURE_SITES,
                                   .seed = SEED,
                                   .open_wait_ms = 60000,
                                   .state_dir = dir,
                                   .transport = w->server,
                                   .observer = {.ctx = w, .round = on_round}};
    must(csl_service_new(&w->service, &c, &err), &err);
    must(csl_service_start(w->service, csl_inproc_now_ns(w->net), &err), &err);
}

static void open_agent(struct faults_world *w, uint32_t i)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    struct csl_err err = {.code = CSL_OK};
    char name[80], dir[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s", w->f->ids[i]);
    fixture_path(w->f, name, dir);
    must(csl_inproc_client(w->net, w->f->ids[i], &w->sites[i].transport, &err), &err);
    struct csl_agent_config c = {.site_id = w->f->ids[i],
                                 .record_path = w->f->records[i],
                                 .state_dir = dir,
                                 .backend = "cpu-ref",
                                 .policy = &policy,
                                 .transport = w->sites[i].transport};
    must(csl_agent_new(&w->sites[i].agent, &c, &err), &err);
    must(csl_agent_start(w->sites[i].agent, csl_inproc_now_ns(w->net), &err), &err);
}

/* A killed process makes no upcalls, not even while its transport is taken down. */
static void kill_transport(struct csl_transport *t)
{
    t->up = (struct csl_transport_events){.ctx = NULL};
    t->ops->stop(t, 0);
    t->ops->free(t);
}

static void restart_service(struct faults_world *w)
{
    kill_transport(w->server);
    csl_service_free(w->service);
    faults_open_service(w);
    w->kills++;
}

static void restart_agent(struct faults_world *w, uint32_t i)
{
    kill_transport(w->sites[i].transport);
    csl_agent_free(w->sites[i].agent);
    open_agent(w, i);
    w->kills++;
}

/* What a site is to evaluate is what would be released now. Of one broadcast vector. */
static void check_task(const struct faults_world *w, const struct csl_msg_task *t, bool is_busy)
{
    uint8_t digest[CSL_DIGEST_BYTES];
    bool is_current = t->round == csl_coord_rounds_done(csl_service_core(w->service));
    if (!is_busy || t->type != CSL_TASK_EVALUATE || !is_current)
        return;
    csl_sha256_digest(csl_service_parameters(w->service),
                      w->f->study->schema.parameters * sizeof(float), digest);
    assert_memory_equal(digest, t->model_digest, CSL_DIGEST_BYTES);
}

/* What was held when a round was closed is in its model: an update must never be so twice. */
static void watch_updates(struct faults_world *w)
{
    const struct csl_coord *core = csl_service_core(w->service);
    uint64_t done = csl_coord_rounds_done(core);
    struct faults_seen *seen = w->faults->seen;
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        if (done > w->rounds_done && w->held[i] > 0) {
            assert_true(w->held[i] > w->used[i]);
            w->used[i] = w->held[i];
            if (seen != NULL) {
                seen->used++;
                seen->stale += w->held[i] < done;
            }
        }
        const struct csl_coord_site *s = csl_coord_site(core, i);
        bool is_held = s->progress == CSL_SITE_HELD && csl_coord_phase(core) != CSL_PHASE_EVALUATE;
        w->held[i] = is_held ? s->update.round : 0;
    }
    w->rounds_done = done;
}

static bool is_due(const struct faults_world *w, uint32_t i, uint64_t now_ns)
{
    return w->faults->period_ns == NULL || now_ns % w->faults->period_ns[i] == 0;
}

static bool run_instant(struct faults_world *w)
{
    uint64_t now = csl_inproc_now_ns(w->net);
    bool did = false;
    while (csl_inproc_step(w->net, now))
        did = true;
    did = csl_service_pump(w->service, now) || did;
    csl_coord_check(csl_service_core(w->service));
    watch_updates(w);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        if (is_due(w, i, now))
            did = csl_agent_pump(w->sites[i].agent, now) || did;
        const struct csl_site *site = csl_agent_core(w->sites[i].agent);
        csl_site_check(site);
        if (strncmp(w->f->study->aggregation.strategy, "scaffold", 8) != 0 &&
            w->f->study->input_count == 0 &&
            !w->f->study->aggregation.vote.is_on) /* which takes back what a site still holds */
            check_task(w, &site->task, site->has_task);
    }
    return did;
}

static uint64_t next_instant(const struct faults_world *w)
{
    uint64_t next = csl_inproc_next_ns(w->net), other = csl_service_wakeup_ns(w->service);
    uint64_t now = csl_inproc_now_ns(w->net);
    next = other < next ? other : next;
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        const uint64_t *period = w->faults->period_ns;
        other = period == NULL ? csl_agent_wakeup_ns(w->sites[i].agent)
                               : now - now % period[i] + period[i];
        next = other < next ? other : next;
    }
    return next;
}

static void maybe_kill(struct faults_world *w, const struct faults *faults)
{
    if (faults->kill_probability <= 0)
        return;
    if (csl_rng_uniform(&w->rng) < faults->kill_probability)
        restart_service(w);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        if (csl_rng_uniform(&w->rng) < faults->kill_probability)
            restart_agent(w, i);
}

static void check_end(const struct faults_world *w, uint64_t schedule, const char *end)
{
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = csl_service_outcome(w->service, &err);
    bool is_expected =
        end == NULL ? code == CSL_OK : code == CSL_E_CANCELLED && strstr(err.msg, end) != NULL;
    if (!is_expected)
        fail_msg("schedule %llu: %s", (unsigned long long)schedule, err.msg);
}

uint32_t faults_run(struct fixture *f, uint64_t schedule, const struct faults *faults,
                    uint8_t digest[CSL_DIGEST_BYTES])
{
    struct faults_world w = {.f = f, .faults = faults};
    struct csl_err err = {.code = CSL_OK};
    struct csl_inproc_config net = {.seed = schedule,
                                    .delay_ns = 5 * CSL_NS_PER_MS,
                                    .jitter_ns = 5 * CSL_NS_PER_MS,
                                    .cut_probability = faults->cut_probability,
                                    .reconnect_ns = 100 * CSL_NS_PER_MS,
                                    .chunk_bytes =
                                        faults->chunk_bytes > 0 ? faults->chunk_bytes : 8};
    csl_rng_init_label(&w.rng, schedule, "faults", 0, 0, 0);
    must(csl_inproc_new(&w.net, &net, &err), &err);
    faults_open_service(&w);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        open_agent(&w, i);
    for (uint32_t instants = 0; !csl_service_is_finished(w.service); instants++) {
        if (instants > 200000)
            fail_msg("schedule %llu does not end", (unsigned long long)schedule);
        if (run_instant(&w)) {
            maybe_kill(&w, faults);
            continue;
        }
        uint64_t next = next_instant(&w);
        if (next == UINT64_MAX)
            fail_msg("schedule %llu stands still", (unsigned long long)schedule);
        if (csl_inproc_next_ns(w.net) > next)
            (void)csl_inproc_step(w.net, next);
        else
            (void)csl_inproc_step(w.net, UINT64_MAX);
    }
    check_end(&w, schedule, faults->end);
    if (faults->seen != NULL)
        faults->seen->took_ns += csl_inproc_now_ns(w.net);
    csl_sha256_digest(csl_service_parameters(w.service),
                      f->study->schema.parameters * sizeof(float), digest);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        kill_transport(w.sites[i].transport);
        csl_agent_free(w.sites[i].agent);
    }
    kill_transport(w.server);
    csl_service_free(w.service);
    csl_inproc_free(w.net);
    char dir[CSL_PATH_MAX];
    fixture_path(f, "run", dir);
    fixture_remove(dir);
    return w.kills;
}
