/* The same study under cut links and killed processes, in virtual time, with real state on disk:
 * the model must be the one of an undisturbed run, to the last bit, and the cores' invariants must
 * hold after every instant. Every schedule is one seed; a failure prints it. */
#include "tests/unit/world/fixture.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "privacy/crypto/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS    5
#define SCHEDULES 60
#define SEED      UINT64_C(7)

struct faults {
    double cut_probability;
    double kill_probability; /* per instant, of the coordinator and of each site */
};
struct party {
    struct csl_transport *transport;
    struct csl_agent *agent;
};
struct world {
    struct fixture *f;
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_service *service;
    struct party sites[FIXTURE_SITES];
    struct csl_rng rng;
    uint32_t kills;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static void open_service(struct world *w)
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
                                   .transport = w->server};
    must(csl_service_new(&w->service, &c, &err), &err);
    must(csl_service_start(w->service, csl_inproc_now_ns(w->net), &err), &err);
}

static void open_agent(struct world *w, uint32_t i)
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

static void restart_service(struct world *w)
{
    kill_transport(w->server);
    csl_service_free(w->service);
    open_service(w);
    w->kills++;
}

static void restart_agent(struct world *w, uint32_t i)
{
    kill_transport(w->sites[i].transport);
    csl_agent_free(w->sites[i].agent);
    open_agent(w, i);
    w->kills++;
}

static bool run_instant(struct world *w)
{
    uint64_t now = csl_inproc_now_ns(w->net);
    bool did = false;
    while (csl_inproc_step(w->net, now))
        did = true;
    did = csl_service_pump(w->service, now) || did;
    csl_coord_check(csl_service_core(w->service));
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        did = csl_agent_pump(w->sites[i].agent, now) || did;
        csl_site_check(csl_agent_core(w->sites[i].agent));
    }
    return did;
}

static uint64_t next_instant(const struct world *w)
{
    uint64_t next = csl_inproc_next_ns(w->net), other = csl_service_wakeup_ns(w->service);
    next = other < next ? other : next;
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        other = csl_agent_wakeup_ns(w->sites[i].agent);
        next = other < next ? other : next;
    }
    return next;
}

static void maybe_kill(struct world *w, const struct faults *faults)
{
    if (faults->kill_probability <= 0)
        return;
    if (csl_rng_uniform(&w->rng) < faults->kill_probability)
        restart_service(w);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        if (csl_rng_uniform(&w->rng) < faults->kill_probability)
            restart_agent(w, i);
}

static const char *expected_end; /* why studies are aborted; NULL: they are released */

static void check_end(const struct world *w, uint64_t schedule)
{
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = csl_service_outcome(w->service, &err);
    bool is_expected = expected_end == NULL
                           ? code == CSL_OK
                           : code == CSL_E_CANCELLED && strstr(err.msg, expected_end) != NULL;
    if (!is_expected)
        fail_msg("schedule %llu: %s", (unsigned long long)schedule, err.msg);
}

/* Runs the study to its end; digest of the model. */
static uint32_t run(struct fixture *f, uint64_t schedule, const struct faults *faults,
                    uint8_t digest[CSL_DIGEST_BYTES])
{
    struct world w = {.f = f};
    struct csl_err err = {.code = CSL_OK};
    struct csl_inproc_config net = {.seed = schedule,
                                    .delay_ns = 5 * CSL_NS_PER_MS,
                                    .jitter_ns = 5 * CSL_NS_PER_MS,
                                    .cut_probability = faults->cut_probability,
                                    .reconnect_ns = 100 * CSL_NS_PER_MS,
                                    .chunk_bytes = 8}; /* even a tiny update is several chunks */
    csl_rng_init_label(&w.rng, schedule, "faults", 0, 0, 0);
    must(csl_inproc_new(&w.net, &net, &err), &err);
    open_service(&w);
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
    check_end(&w, schedule);
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

static void check_rounds(const char *strategy, uint32_t rounds, double cuts, double kills)
{
    struct fixture f;
    fixture_open(&f, strategy, rounds);
    uint8_t calm[CSL_DIGEST_BYTES], rough[CSL_DIGEST_BYTES];
    (void)run(&f, 0, &(struct faults){0, 0}, calm);
    uint32_t killed = 0;
    for (uint64_t schedule = 1; schedule <= SCHEDULES; schedule++) {
        killed += run(&f, schedule, &(struct faults){cuts, kills}, rough);
        if (memcmp(calm, rough, CSL_DIGEST_BYTES) != 0)
            fail_msg("%s: schedule %llu released another model", strategy,
                     (unsigned long long)schedule);
    }
    if (kills > 0)
        assert_true(killed >= SCHEDULES); /* else the test does not test */
    fixture_close(&f);
}

static void check_strategy(const char *strategy, double cuts, double kills)
{
    check_rounds(strategy, ROUNDS, cuts, kills);
}

static void test_world__links_cut_at_random__same_model(void **state)
{
    (void)state;
    check_strategy("fedavg", 0.03, 0);
}

static void test_world__processes_killed_at_random__same_model(void **state)
{
    (void)state;
    check_strategy("fedadam, server_learning_rate: 0.1", 0, 0.02);
}

static void test_world__killed_and_cut_with_scaffold__same_model(void **state)
{
    (void)state;
    check_strategy("scaffold", 0.02, 0.02);
}

static void test_world__killed_and_cut_with_cyclic__same_model(void **state)
{
    (void)state;
    check_strategy("cyclic", 0.02, 0.02);
}

/* Compared and combined from spools that a restart has to find again. */
static void test_world__killed_and_cut_with_krum__same_model(void **state)
{
    (void)state;
    check_strategy("krum, byzantine: 0", 0.02, 0.02);
}

/* Its mixture lies in a file of its own beside the checkpoint. */
static void test_world__killed_and_cut_with_afl__same_model(void **state)
{
    (void)state;
    check_strategy("afl, mixture_rate: 0.5", 0.02, 0.02);
}

/* Its norms lie there too. Small steps of the model and batches of four leave the norms what they
 * are by chance, so that rounds 5 and 7 are beyond the limit. */
#define GATED(max)                                                                                 \
    "fedavg, server_learning_rate: 0.1, gate: {factor: 1.03, window: 3, rejected_max: " max "}"

static void test_world__killed_and_cut_with_a_gate__same_model(void **state)
{
    uint8_t with[CSL_DIGEST_BYTES], without[CSL_DIGEST_BYTES];
    struct fixture f;
    (void)state;
    check_rounds(GATED("3"), 8, 0.02, 0.02);
    fixture_open(&f, GATED("3"), 8);
    (void)run(&f, 0, &(struct faults){0, 0}, with);
    fixture_close(&f);
    fixture_open(&f, "fedavg, server_learning_rate: 0.1", 8);
    (void)run(&f, 0, &(struct faults){0, 0}, without);
    fixture_close(&f);
    assert_memory_not_equal(with, without, CSL_DIGEST_BYTES); /* else nothing was rejected */
}

/* Whoever dies between the last rejected round and the end that follows from it. */
static void test_world__killed_and_cut_with_a_gate_that_shuts__same_end(void **state)
{
    (void)state;
    expected_end = "rounds rejected in a row: 1; round 5, block";
    check_rounds(GATED("1"), 8, 0.02, 0.05);
    expected_end = NULL;
}

static void check_tells(struct world *w, const char *reason)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg status = {NULL, 0};
    char path[CSL_PATH_MAX], text[4096];
    assert_true(csl_service_is_finished(w->service));
    assert_int_equal(csl_service_outcome(w->service, &err), CSL_E_CANCELLED);
    assert_non_null(strstr(err.msg, reason));
    fixture_path(w->f, "run/coordinator/status.json", path);
    must(csl_file_read(&status, path, 1 << 20, &err), &err);
    snprintf(text, sizeof(text), "%.*s", (int)status.n, (const char *)status.p);
    assert_non_null(strstr(text, reason));
    csl_msg_release(&status);
}

/* The coordinator says why it ended, and so does the next one on its state. */
static void test_world__study_aborted__reason_told_after_a_restart(void **state)
{
    struct fixture f;
    struct csl_inproc_config net = {.seed = 1};
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    fixture_open(&f, "fedavg", ROUNDS);
    struct world w = {.f = &f};
    must(csl_inproc_new(&w.net, &net, &err), &err);
    for (int starts = 0; starts < 2; starts++) {
        open_service(&w);
        if (starts == 0)
            csl_service_abort(w.service, "ended by the test");
        csl_service_pump(w.service, csl_inproc_now_ns(w.net));
        check_tells(&w, "by the test");
        w.server->ops->stop(w.server, 0);
        w.server->ops->free(w.server);
        csl_service_free(w.service);
    }
    csl_inproc_free(w.net);
    fixture_close(&f);
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world__links_cut_at_random__same_model),
        cmocka_unit_test(test_world__processes_killed_at_random__same_model),
        cmocka_unit_test(test_world__killed_and_cut_with_scaffold__same_model),
        cmocka_unit_test(test_world__killed_and_cut_with_cyclic__same_model),
        cmocka_unit_test(test_world__killed_and_cut_with_krum__same_model),
        cmocka_unit_test(test_world__killed_and_cut_with_afl__same_model),
        cmocka_unit_test(test_world__killed_and_cut_with_a_gate__same_model),
        cmocka_unit_test(test_world__killed_and_cut_with_a_gate_that_shuts__same_end),
        cmocka_unit_test(test_world__study_aborted__reason_told_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
