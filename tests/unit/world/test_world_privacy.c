/* Whole federations of a study with patient-level privacy under cut links and killed processes, in
 * virtual time, with real state on disk. Every schedule is one seed; a failure prints it. The
 * budget is what the study promises and not more: one reservation that leaked, or one round that
 * was charged twice, and the study could not be released. */
#include "tests/unit/world/fixture.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "privacy/crypto/sha256.h"
#include "privacy/dp/account.h"
#include "privacy/ledger/verify.h"
#include "site-agent/training/privacy_plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS    4
#define SCHEDULES 14 /* of each kind of fault */
#define SEED      UINT64_C(7)
#define EPSILON   2.0
#define DELTA     0.01
#define SEEN_MAX  32

struct faults {
    double cut_probability;
    double kill_probability; /* per instant, of the coordinator and of each site */
};
struct seen { /* an update as the coordinator came to know it */
    uint64_t round;
    uint8_t digest[CSL_DIGEST_BYTES];
};
struct party {
    struct csl_transport *transport;
    struct csl_agent *agent;
    struct seen seen[SEEN_MAX];
    uint32_t seen_count;
};
struct world {
    struct fixture *f;
    struct csl_study *study;
    struct csl_site_policy policy;
    const uint64_t *noise_seed;
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_service *service;
    struct party sites[FIXTURE_SITES];
    struct csl_rng rng;
    uint64_t schedule;
    uint32_t kills, openings;
};
static struct world w;
static bool is_buffered; /* the study: asynchronous rounds, of two updates each */

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("schedule %llu: %s", (unsigned long long)w.schedule, err->msg);
}

static struct csl_study *parse_with(const char *how_much)
{
    char yaml[1024];
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    snprintf(
        yaml, sizeof(yaml),
        "study: fixture\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: %d\naggregation: {strategy: %s}\n"
        "sites: {minimum: %d, round_deadline: 1h}\nevaluation: {every: %d}\n"
        "privacy: {mode: local, %s, delta: %g, clip: 1}\n",
        ROUNDS, is_buffered ? "fedbuff, buffer: {updates: 2, staleness_max: 3}" : "fedavg",
        is_buffered ? 2 : 3, is_buffered ? 0 : 2, how_much, DELTA);
    must(csl_study_parse(&s, "private.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    return s;
}

/* The study states epsilon. Or, which is the same study with less to compute at every start of a
 * site, the noise that sites would find for it. */
static struct csl_study *parse_study(bool states_noise)
{
    struct csl_study *s = parse_with("epsilon: 2"); /* EPSILON */
    struct csl_privacy_plan plan;
    struct csl_err err = {.code = CSL_OK};
    const uint64_t patients = 18; /* of every site of the fixture */
    char noise[64];
    if (!states_noise)
        return s;
    must(csl_privacy_plan_make(&plan, s, &patients, &err), &err);
    assert_true(plan.epsilon <= EPSILON);
    snprintf(noise, sizeof(noise), "noise_multiplier: %.17g", plan.noise_multiplier);
    csl_privacy_plan_release(&plan);
    csl_study_free(s);
    return parse_with(noise);
}

/* The order of the roster is nobody's business: each opening has another. */
static void open_service(void)
{
    struct csl_err err = {.code = CSL_OK};
    char dir[CSL_PATH_MAX], roster[FIXTURE_SITES][CSL_ID_MAX];
    fixture_path(w.f, "run/coordinator", dir);
    must(csl_inproc_server(w.net, &w.server, &err), &err);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        csl_str_copy(roster[(i + w.openings) % FIXTURE_SITES], CSL_ID_MAX,
                     w.f->ids[FIXTURE_SITES - 1 - i]);
    w.openings++;
    struct csl_service_config c = {.study = w.study,
                                   .roster = (const char(*)[CSL_ID_MAX])roster,
                                   .roster_count = FIXTURE_SITES,
                                   .seed = SEED,
                                   .open_wait_ms = 60000,
                                   .state_dir = dir,
                                   .transport = w.server};
    must(csl_service_new(&w.service, &c, &err), &err);
    must(csl_service_start(w.service, csl_inproc_now_ns(w.net), &err), &err);
}

static void open_agent(uint32_t i)
{
    struct csl_err err = {.code = CSL_OK};
    char name[80], dir[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s", w.f->ids[i]);
    fixture_path(w.f, name, dir);
    must(csl_inproc_client(w.net, w.f->ids[i], &w.sites[i].transport, &err), &err);
    struct csl_agent_config c = {.site_id = w.f->ids[i],
                                 .record_path = w.f->records[i],
                                 .state_dir = dir,
                                 .backend = "cpu-ref",
                                 .policy = &w.policy,
                                 .transport = w.sites[i].transport,
                                 .noise_seed = w.noise_seed};
    must(csl_agent_new(&w.sites[i].agent, &c, &err), &err);
    must(csl_agent_start(w.sites[i].agent, csl_inproc_now_ns(w.net), &err), &err);
}

/* A killed process makes no upcalls, not even while its transport is taken down. */
static void kill_transport(struct csl_transport *t)
{
    t->up = (struct csl_transport_events){.ctx = NULL};
    t->ops->stop(t, 0);
    t->ops->free(t);
}

static void maybe_kill(const struct faults *faults)
{
    if (faults->kill_probability <= 0)
        return;
    if (csl_rng_uniform(&w.rng) < faults->kill_probability) {
        kill_transport(w.server);
        csl_service_free(w.service);
        open_service();
        w.kills++;
    }
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        if (csl_rng_uniform(&w.rng) >= faults->kill_probability)
            continue;
        kill_transport(w.sites[i].transport);
        csl_agent_free(w.sites[i].agent);
        open_agent(i);
        w.kills++;
    }
}

/* Every update that the coordinator was told of; what it folds is among them. The fixture's ids are
 * sorted, as the core's sites are. */
static void note_updates(void)
{
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        const struct csl_coord_site *s = csl_coord_site(csl_service_core(w.service), i);
        struct party *p = &w.sites[i];
        bool is_known = s->update.round == 0;
        for (uint32_t k = 0; k < p->seen_count && !is_known; k++)
            is_known = p->seen[k].round == s->update.round &&
                       memcmp(p->seen[k].digest, s->update.digest, CSL_DIGEST_BYTES) == 0;
        if (is_known)
            continue;
        assert_true(p->seen_count < SEEN_MAX);
        p->seen[p->seen_count].round = s->update.round;
        memcpy(p->seen[p->seen_count++].digest, s->update.digest, CSL_DIGEST_BYTES);
    }
}

static bool run_instant(void)
{
    uint64_t now = csl_inproc_now_ns(w.net);
    bool did = false;
    while (csl_inproc_step(w.net, now))
        did = true;
    did = csl_service_pump(w.service, now) || did;
    csl_coord_check(csl_service_core(w.service));
    note_updates();
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        did = csl_agent_pump(w.sites[i].agent, now) || did;
        csl_site_check(csl_agent_core(w.sites[i].agent));
    }
    return did;
}

static uint64_t next_instant(void)
{
    uint64_t next = csl_inproc_next_ns(w.net), other = csl_service_wakeup_ns(w.service);
    next = other < next ? other : next;
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        other = csl_agent_wakeup_ns(w.sites[i].agent);
        next = other < next ? other : next;
    }
    return next;
}

static bool is_over(void)
{
    bool is_over = csl_service_is_finished(w.service);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        is_over = is_over && csl_agent_is_finished(w.sites[i].agent);
    return is_over;
}

/* --- what is asked of every ledger in the end --- */

struct reading { /* of one export */
    struct csl_dp_event events[SEEN_MAX];
    uint8_t digests[SEEN_MAX][CSL_DIGEST_BYTES];
    uint64_t rounds[SEEN_MAX], indices[SEEN_MAX], last_index, remembered;
    uint32_t count;
};

static void read_entry(void *ctx, const struct csl_ledger_entry *e)
{
    struct reading *r = ctx;
    if (e->kind != CSL_LEDGER_CHARGE)
        return;
    assert_true(r->count < SEEN_MAX && e->u.charge.event_count == 1);
    r->events[r->count] = e->u.charge.events[0];
    r->rounds[r->count] = e->u.charge.round;
    r->indices[r->count] = r->last_index = e->index;
    memcpy(r->digests[r->count++], e->u.charge.update_digest, CSL_DIGEST_BYTES);
}

/* The head that the coordinator remembers, from its file. */
static void remembered_head(uint32_t site, struct csl_ledger *l, struct csl_checkpoint *out)
{
    char name[128], path[CSL_PATH_MAX];
    struct csl_msg bytes = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    snprintf(name, sizeof(name), "run/coordinator/heads/%s", w.f->ids[site]);
    fixture_path(w.f, name, path);
    must(csl_file_read(&bytes, path, 2048, &err), &err);
    const size_t skip = (size_t)2 * CSL_SIGN_PUBLIC_BYTES + 1;
    assert_true(bytes.n > skip);
    must(csl_checkpoint_read(out, CSL_SPAN(bytes.p + skip, bytes.n - skip),
                             csl_ledger_public_key(l), &err),
         &err);
    csl_msg_release(&bytes);
}

static void verify(uint32_t site, struct csl_ledger *l, struct reading *r,
                   struct csl_ledger_verdict *v)
{
    char path[CSL_PATH_MAX];
    struct csl_err err = {.code = CSL_OK};
    struct csl_checkpoint head;
    struct csl_sign_key key;
    struct csl_ledger_peer peer = {.id = "coordinator"};
    fixture_path(w.f, "run/coordinator/ledger.key", path);
    must(csl_sign_load(&key, path, &err), &err);
    memcpy(peer.public_key, key.public_key, sizeof(peer.public_key));
    csl_sign_wipe(&key);
    remembered_head(site, l, &head);
    *r = (struct reading){.count = 0};
    struct csl_ledger_visitor visitor = {.ctx = r, .entry = read_entry};
    struct csl_ledger_verify_options o = {.public_key = csl_ledger_public_key(l),
                                          /* computing every price again takes its time */
                                          .price = site == 0 ? csl_account_epsilon : NULL,
                                          .peers = &peer,
                                          .peer_count = 1,
                                          .known_heads = &head,
                                          .known_head_count = 1,
                                          .visitor = &visitor};
    fixture_path(w.f, "run/export", path);
    must(csl_ledger_export(l, path, &err), &err);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    must(csl_ledger_verify(in, &o, v, &err), &err);
    (void)fclose(in);
    r->remembered = head.size;
    /* What is remembered covers every charge, but of an update that was too late to be announced.
     */
    assert_true(is_buffered || head.size > r->last_index);
}

static uint32_t charges;

static void check_ledger(uint32_t site, bool is_calm)
{
    struct party *p = &w.sites[site];
    struct csl_ledger *l = csl_agent_ledger(p->agent);
    struct csl_err err = {.code = CSL_OK};
    struct csl_ledger_open_reservation open[1];
    struct csl_ledger_spent spent;
    struct csl_ledger_verdict v;
    static struct reading r;
    verify(site, l, &r, &v);
    /* No crash and no cut made it charge a round twice. A buffer may have closed without it. */
    assert_true(r.count <= ROUNDS && (is_buffered || r.count == ROUNDS));
    for (uint32_t i = 0; i < r.count; i++)
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(r.rounds[i], r.rounds[k]);
    charges += r.count;
    uint32_t folded = 0;
    for (uint32_t k = 0; k < p->seen_count; k++) {
        bool is_charged = false;
        for (uint32_t i = 0; i < r.count; i++)
            is_charged =
                is_charged || (r.rounds[i] == p->seen[k].round && r.indices[i] < r.remembered &&
                               memcmp(r.digests[i], p->seen[k].digest, CSL_DIGEST_BYTES) == 0);
        if (!is_charged)
            fail_msg("schedule %llu: an update of round %llu is not charged",
                     (unsigned long long)w.schedule, (unsigned long long)p->seen[k].round);
        folded++;
    }
    assert_true(folded == ROUNDS || (is_buffered && folded <= r.count));
    struct csl_price price; /* by the accountant alone, from what the export says ran */
    must(csl_account(r.events, r.count, DELTA, &price, &err), &err);
    assert_true(price.epsilon <= EPSILON && (is_buffered || price.epsilon > 0.9 * EPSILON));
    must(csl_ledger_spent_by_study(l, w.study->digest, &spent, &err), &err);
    if (is_buffered) { /* the last training may have been stopped by the end */
        assert_true(spent.epsilon >= price.epsilon - 1e-9 && spent.epsilon <= EPSILON);
    } else {
        assert_true(fabs(spent.epsilon - price.epsilon) <= 1e-9); /* no reservation on top */
        assert_int_equal(csl_ledger_open_reservations(l, open, 1), 0);
    }
    assert_int_equal(v.refusals, 0);
    assert_true(v.countersignatures > 0 && v.countersignatures_unknown == 0);
    /* An acknowledgement of the last round can be lost with its session. */
    if (is_calm)
        assert_true(v.countersigned_size > r.last_index);
}

/* --- running --- */

static void run(const struct faults *faults)
{
    struct csl_inproc_config net = {.seed = w.schedule,
                                    .delay_ns = 5 * CSL_NS_PER_MS,
                                    .jitter_ns = 5 * CSL_NS_PER_MS,
                                    .cut_probability = faults->cut_probability,
                                    .reconnect_ns = 100 * CSL_NS_PER_MS,
                                    .chunk_bytes = 4}; /* even a tiny update is several chunks */
    struct csl_err err = {.code = CSL_OK};
    csl_rng_init_label(&w.rng, w.schedule, "faults", 0, 0, 0);
    must(csl_inproc_new(&w.net, &net, &err), &err);
    open_service();
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        open_agent(i);
    for (uint32_t instants = 0; !is_over(); instants++) {
        if (instants > 200000)
            fail_msg("schedule %llu does not end", (unsigned long long)w.schedule);
        if (run_instant()) {
            if (!csl_service_is_finished(w.service))
                maybe_kill(faults);
            continue;
        }
        uint64_t next = next_instant();
        if (next == UINT64_MAX)
            fail_msg("schedule %llu stands still", (unsigned long long)w.schedule);
        if (csl_inproc_next_ns(w.net) > next)
            (void)csl_inproc_step(w.net, next);
        else
            (void)csl_inproc_step(w.net, UINT64_MAX);
    }
    must(csl_service_outcome(w.service, &err), &err);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        must(csl_agent_outcome(w.sites[i].agent, &err), &err);
}

/* One federation, all its checks, and the digest of its model. Returns how often it was killed. */
static uint32_t check_schedule(struct fixture *f, struct csl_study *study, uint64_t schedule,
                               const struct faults *faults, const uint64_t *noise_seed,
                               uint8_t digest[CSL_DIGEST_BYTES])
{
    char dir[CSL_PATH_MAX];
    w = (struct world){.f = f, .study = study, .schedule = schedule, .noise_seed = noise_seed};
    w.policy.approval = CSL_APPROVAL_AUTOMATIC;
    csl_str_copy(w.policy.cohort, sizeof(w.policy.cohort), "records");
    w.policy.ledger.composition = CSL_LEDGER_BASIC;
    w.policy.ledger.budget_count = 1;
    w.policy.ledger.budgets[0] =
        (struct csl_ledger_budget){.cohort = "*", .epsilon = EPSILON, .delta = DELTA};
    run(faults);
    csl_sha256_digest(csl_service_parameters(w.service), study->schema.parameters * sizeof(float),
                      digest);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        check_ledger(i, faults->cut_probability <= 0 && faults->kill_probability <= 0);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        kill_transport(w.sites[i].transport);
        csl_agent_free(w.sites[i].agent);
    }
    kill_transport(w.server);
    csl_service_free(w.service);
    csl_inproc_free(w.net);
    fixture_path(f, "run", dir);
    fixture_remove(dir);
    return w.kills;
}

static void check_faults(double cuts, double kills)
{
    struct fixture f;
    fixture_open(&f, "fedavg", ROUNDS);
    struct csl_study *study = parse_study(true);
    uint32_t killed = 0;
    for (uint64_t schedule = 1; schedule <= SCHEDULES; schedule++) {
        uint8_t digest[CSL_DIGEST_BYTES];
        killed += check_schedule(&f, study, schedule, &(struct faults){cuts, kills},
                                 schedule % 2 == 0 ? &schedule : NULL, digest);
    }
    if (kills > 0)
        assert_true(killed >= 2 * SCHEDULES); /* else the test does not test */
    csl_study_free(study);
    fixture_close(&f);
}

static void test_world_privacy__links_cut_at_random__charged_once_and_released(void **state)
{
    (void)state;
    check_faults(0.03, 0);
}

static void test_pitfall_34__processes_killed_at_random__charged_once_and_released(void **state)
{
    (void)state;
    check_faults(0, 0.01);
}

static void test_pitfall_34__killed_and_cut__charged_once_and_released(void **state)
{
    (void)state;
    check_faults(0.02, 0.01);
}

/* A site makes one update for each round it is tasked with, and at most as many as there are
 * rounds: its price is that of the rounds, however fast it is. */
static void test_world_privacy__killed_and_cut_in_asynchronous_rounds__charged_once(void **state)
{
    (void)state;
    is_buffered = true;
    charges = 0;
    check_faults(0.02, 0.01);
    is_buffered = false;
    print_message("%u updates charged, %d in models\n", charges, SCHEDULES * ROUNDS * 2);
    assert_true(charges >= SCHEDULES * ROUNDS * 2);
}

static void test_world_privacy__undisturbed_rehearsal__same_model_twice(void **state)
{
    static const uint64_t seeds[] = {1, 1, 2};
    uint8_t digests[3][CSL_DIGEST_BYTES];
    struct fixture f;
    (void)state;
    fixture_open(&f, "fedavg", ROUNDS);
    struct csl_study *study = parse_study(false);
    for (size_t i = 0; i < 3; i++)
        (void)check_schedule(&f, study, 0, &(struct faults){0, 0}, &seeds[i], digests[i]);
    assert_memory_equal(digests[0], digests[1], CSL_DIGEST_BYTES);
    assert_memory_not_equal(digests[0], digests[2], CSL_DIGEST_BYTES);
    csl_study_free(study);
    fixture_close(&f);
}

/* Noise of the operating system: nobody can repeat it. */
static void test_pitfall_13__undisturbed_without_a_seed__another_model_each_time(void **state)
{
    uint8_t digests[2][CSL_DIGEST_BYTES];
    struct fixture f;
    (void)state;
    fixture_open(&f, "fedavg", ROUNDS);
    struct csl_study *study = parse_study(false);
    for (size_t i = 0; i < 2; i++)
        (void)check_schedule(&f, study, 0, &(struct faults){0, 0}, NULL, digests[i]);
    assert_memory_not_equal(digests[0], digests[1], CSL_DIGEST_BYTES);
    csl_study_free(study);
    fixture_close(&f);
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_privacy__links_cut_at_random__charged_once_and_released),
        cmocka_unit_test(test_pitfall_34__processes_killed_at_random__charged_once_and_released),
        cmocka_unit_test(test_pitfall_34__killed_and_cut__charged_once_and_released),
        cmocka_unit_test(test_world_privacy__killed_and_cut_in_asynchronous_rounds__charged_once),
        cmocka_unit_test(test_world_privacy__undisturbed_rehearsal__same_model_twice),
        cmocka_unit_test(test_pitfall_13__undisturbed_without_a_seed__another_model_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
