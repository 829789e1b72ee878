#include "coordinator/service_secagg_internal.h"
#include "tests/unit/world/masked_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/sha256.h"
#include "privacy/ledger/ledger.h"
#include "privacy/secagg/messages.h"
#include "protocol/study/evaluation.h"
#include "simulations/federation.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct masked_world masked_w;

void masked_must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("schedule %llu: %s",
                 (unsigned long long)(masked_w.plan ? masked_w.plan->schedule : 0), err->msg);
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

static void on_sum(void *ctx, uint64_t round, uint32_t fewest)
{
    struct masked_result *r = ctx;
    assert_true(round >= 1 && round <= MASKED_ROUNDS_MAX);
    r->fewest[round - 1] = fewest;
}

static void open_service(void)
{
    struct csl_err err = {.code = CSL_OK};
    char dir[CSL_PATH_MAX];
    bool has_keys = masked_w.federation.keys != NULL;
    fixture_path(masked_w.f, "run/coordinator", dir);
    masked_must(csl_inproc_server(masked_w.net, &masked_w.server, &err), &err);
    masked_w.server_ops = *masked_w.server->ops;
    masked_w.server_inner = masked_w.server->ops;
    masked_w.server_ops.send = masked_heard_send;
    masked_w.server->ops = &masked_w.server_ops;
    struct csl_service_config c = {
        .study = masked_w.study,
        .roster = (const char(*)[CSL_ID_MAX])masked_ids,
        .roster_count = MASKED_SITES,
        .seed = 7,
        .open_wait_ms = 60000,
        .is_rehearsal = masked_w.plan->is_rehearsal,
        .state_dir = dir,
        .is_unmasked = masked_w.plan->is_unmasked,
        .secagg_key = has_keys ? &masked_w.federation.coordinator : NULL,
        .secagg_roster = has_keys ? &masked_w.federation.roster : NULL,
        .secagg_epoch_seed = masked_w.federation.has_epoch ? masked_w.federation.epoch_seed : NULL,
        .transport = masked_w.server,
        .observer = {.ctx = masked_w.result,
                     .round = on_round,
                     .sum = on_sum,
                     .evaluation = masked_heard_evaluation,
                     .published = masked_heard_published}};
    dying_enter(MASKED_SERVICE);
    enum csl_code code = csl_service_new(&masked_w.service, &c, &err);
    if (code == CSL_E_IO && dying_is_dead(MASKED_SERVICE)) {
        dying_revive(MASKED_SERVICE);
        code = csl_service_new(&masked_w.service, &c, &err);
    }
    masked_must(code, &err);
    masked_must(csl_service_start(masked_w.service, csl_inproc_now_ns(masked_w.net), &err), &err);
    dying_enter(DYING_NOBODY);
}

static void open_site(uint32_t i)
{
    struct csl_err err = {.code = CSL_OK};
    struct masked_party *p = &masked_w.sites[i];
    char name[80], dir[CSL_PATH_MAX], records[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s", masked_ids[i]);
    fixture_path(masked_w.f, name, dir);
    masked_records_path(masked_w.f, i, records);
    masked_must(csl_inproc_client(masked_w.net, masked_ids[i], &p->transport, &err), &err);
    p->inner = p->transport->ops;
    p->ops = *p->inner;
    p->ops.send = masked_seen_send;
    p->ops.upload = masked_seen_upload;
    p->transport->ops = &p->ops;
    struct csl_site_policy policy = masked_w.policy;
    if (i == MASKED_SITES - 1 && masked_w.plan->poor_budget > 0)
        policy.ledger.budgets[0].epsilon = masked_w.plan->poor_budget;
    struct csl_agent_config c = {.site_id = masked_ids[i],
                                 .record_path = records,
                                 .state_dir = dir,
                                 .backend = "cpu-ref",
                                 .policy = &policy,
                                 .transport = p->transport,
                                 .noise_seed = masked_w.plan->noise_seed,
                                 .tamper =
                                     i == masked_w.plan->tamper_site ? masked_w.plan->tamper : NULL,
                                 .unmasked_sites = masked_w.plan->is_unmasked ? MASKED_SITES : 0,
                                 .secagg = i == masked_w.plan->keyless_site
                                               ? NULL
                                               : csl_sim_federation_site(&masked_w.federation, i)};
    dying_enter(i);
    enum csl_code code = csl_agent_new(&p->agent, &c, &err);
    if (code == CSL_E_IO && dying_is_dead(i)) {
        dying_revive(i);
        code = csl_agent_new(&p->agent, &c, &err);
    }
    masked_must(code, &err);
    masked_must(csl_agent_start(p->agent, csl_inproc_now_ns(masked_w.net), &err), &err);
    dying_enter(DYING_NOBODY);
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
    struct masked_party *p = &masked_w.sites[i];
    if (p->transport == NULL)
        return;
    kill_transport(p->transport);
    csl_agent_free(p->agent);
    p->transport = NULL;
    p->agent = NULL;
}

static void note_site(uint32_t i)
{
    struct csl_ledger *l = csl_agent_ledger(masked_w.sites[i].agent);
    struct csl_ledger_spent spent;
    if (l == NULL || csl_ledger_spent_by_study(l, masked_w.study->digest, &spent, NULL) != CSL_OK)
        return;
    masked_w.result->epsilon[i] = spent.epsilon;
    masked_w.result->charges[i] = spent.charges;
    uint8_t statistics[CSL_DIGEST_BYTES];
    csl_study_statistics_digest(masked_w.study, statistics);
    if (csl_ledger_spent_by_study(l, statistics, &spent, NULL) != CSL_OK)
        return;
    masked_w.result->statistics_epsilon[i] = spent.epsilon;
    masked_w.result->statistics_charges[i] = spent.charges;
}

/* Of the attempt that is open. */
static enum csl_secagg_stage stage(void)
{
    const struct csl_service_secagg *s = masked_w.service->secagg;
    return s == NULL || s->fsm == NULL ? CSL_SECAGG_STAGE_NEW
                                       : csl_secagg_coordinator_stage(s->fsm);
}

static bool is_due_to_be_lost(uint32_t i)
{
    const struct masked_plan *plan = masked_w.plan;
    const struct csl_site *core = csl_agent_core(masked_w.sites[i].agent);
    const struct csl_coord_site *seen = csl_coord_site(csl_service_core(masked_w.service), i);
    bool is_tasked =
        core->has_task && core->task.type == CSL_TASK_TRAIN && core->task.round == plan->lost_round;
    bool is_of_round = seen->update.round == plan->lost_round;
    bool is_held = is_of_round && seen->progress == CSL_SITE_HELD;
    switch (plan->lost_when) {
    case LOST_TASKED:
        assert_true(!is_tasked || seen->progress < CSL_SITE_FOLDING); /* else nothing is tested */
        return is_tasked;
    case LOST_ANNOUNCED:
        assert_true(!is_tasked || !is_of_round || seen->progress < CSL_SITE_FOLDING);
        return is_tasked && is_of_round;
    case LOST_SEEDING:
        assert_true(!is_tasked || seen->progress < CSL_SITE_FOLDING);
        return is_tasked && stage() == CSL_SECAGG_STAGE_SEEDING;
    case LOST_HELD:
        return is_held;
    case LOST_VOTED:
        return masked_w.sites[i].voted_round == plan->lost_round;
    }
    return false;
}

static void maybe_lose(void)
{
    const struct masked_plan *plan = masked_w.plan;
    uint64_t now = csl_inproc_now_ns(masked_w.net);
    for (uint32_t i = plan->lost_site;
         plan->lost_round != 0 && i <= plan->lost_site + plan->lost_more; i++) {
        struct masked_party *p = &masked_w.sites[i];
        if (p->is_lost && p->transport == NULL && plan->back_ns != 0 &&
            now >= p->lost_ns + plan->back_ns) {
            open_site(i);
            continue;
        }
        if (p->is_lost || p->transport == NULL || !is_due_to_be_lost(i))
            continue;
        note_site(i);
        close_site(i);
        p->is_lost = true;
        p->lost_ns = now;
    }
}

static void copy_file(const char *from, const char *to)
{
    struct csl_msg bytes = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    masked_must(csl_file_read(&bytes, from, 16 << 20, &err), &err);
    masked_must(csl_file_write_atomic(to, csl_msg_span(&bytes), 0600, &err), &err);
    csl_msg_release(&bytes);
}

/* The journal alone: what an administrator restores who keeps no copy of the rest. */
static void copy_journal(uint32_t site, bool is_back)
{
    char hex[2 * CSL_DIGEST_BYTES + 1], name[160], path[CSL_PATH_MAX], copy[CSL_PATH_MAX];
    static const char *const end[] = {"", ".key"};
    csl_hex(masked_w.study->digest, CSL_DIGEST_BYTES, hex);
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "run/%s/secagg-%s.journal%s", masked_ids[site], hex, end[i]);
        fixture_path(masked_w.f, name, path);
        snprintf(name, sizeof(name), "run/copy%s", end[i]);
        fixture_path(masked_w.f, name, copy);
        copy_file(is_back ? copy : path, is_back ? path : copy);
    }
}

static void copy_folder(const char *from, const char *to)
{
    struct csl_err err = {.code = CSL_OK};
    char a[CSL_PATH_MAX], b[CSL_PATH_MAX];
    DIR *d = opendir(from);
    assert_non_null(d);
    masked_must(csl_dir_make(to, &err), &err);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        masked_must(csl_path_join(a, sizeof(a), from, e->d_name, &err), &err);
        masked_must(csl_path_join(b, sizeof(b), to, e->d_name, &err), &err);
        if (e->d_name[0] != '.' && strcmp(e->d_name, "blobs") != 0)
            copy_file(a, b);
    }
    closedir(d);
}

/* All of the state folder, as a backup of the machine has it. */
static void copy_state(uint32_t site, bool is_back)
{
    static const char *const folders[] = {"", "/blobs"};
    char name[160], path[CSL_PATH_MAX], copy[CSL_PATH_MAX];
    if (!masked_w.plan->rolls_back_all) {
        copy_journal(site, is_back);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "run/%s%s", masked_ids[site], folders[i]);
        fixture_path(masked_w.f, name, path);
        snprintf(name, sizeof(name), "run/copy%s", folders[i]);
        fixture_path(masked_w.f, name, copy);
        if (is_back && i == 0)
            fixture_remove(path);
        copy_folder(is_back ? copy : path, is_back ? path : copy);
    }
}

static void confirm(uint32_t site)
{
    struct csl_err err = {.code = CSL_OK};
    char name[128], path[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s/secagg-confirmed", masked_ids[site]);
    fixture_path(masked_w.f, name, path);
    masked_must(csl_file_write_atomic(path, CSL_SPAN("", 0), 0600, &err), &err);
}

/* The folder of an earlier time, and later the word of an administrator. */
static void maybe_roll_back(void)
{
    const struct masked_plan *plan = masked_w.plan;
    uint64_t round = csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1;
    uint32_t i = plan->restart_site;
    bool is_back = plan->rolled_back_round != 0 && round == plan->rolled_back_round &&
                   !masked_w.was_rolled_back;
    bool is_confirmed =
        plan->confirmed_round != 0 && round == plan->confirmed_round && !masked_w.was_confirmed;
    bool is_bounced = masked_w.must_bounce ||
                      (round == plan->bounced_round && !masked_w.was_bounced); /* from 1 */
    if (!is_back && !is_confirmed && !is_bounced)
        return;
    close_site(i);
    if (is_back)
        copy_state(i, true);
    else if (is_confirmed)
        confirm(i);
    masked_w.was_rolled_back |= is_back;
    masked_w.was_confirmed |= is_confirmed;
    masked_w.was_bounced |= is_bounced;
    masked_w.must_bounce = false;
    open_site(i);
}

/* What was in memory is gone, and the state on disk is not. */
static void maybe_restart(void)
{
    uint32_t i = masked_w.plan->restart_site;
    if (masked_w.plan->restart_round == 0 || masked_w.has_restarted)
        return;
    const struct csl_site *core = csl_agent_core(masked_w.sites[i].agent);
    if (!core->has_task || core->task.type != CSL_TASK_TRAIN ||
        core->task.round != masked_w.plan->restart_round)
        return;
    if (masked_w.plan->rolls_back_all && /* once its journal has the words, or just before */
        (masked_w.sites[i].plain_round != core->task.round ||
         (!masked_w.plan->copies_early && masked_w.waited++ == 0)))
        return;
    masked_w.has_restarted = true;
    close_site(i);
    if (masked_w.plan->rolled_back_round != 0)
        copy_state(i, false);
    if (masked_w.plan->while_down != NULL)
        masked_w.plan->while_down();
    open_site(i);
}

static void revive_service(void)
{
    while (dying_is_dead(MASKED_SERVICE)) {
        kill_transport(masked_w.server);
        csl_service_free(masked_w.service);
        dying_revive(MASKED_SERVICE);
        open_service();
    }
}

static void restart_service(void)
{
    kill_transport(masked_w.server);
    csl_service_free(masked_w.service);
    open_service();
}

/* Once in each stage of the plan's round, as soon as it is in it: what was on its way is lost. */
static void maybe_restart_in_stage(void)
{
    const struct masked_plan *plan = masked_w.plan;
    enum csl_secagg_stage now = stage();
    uint64_t round = csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1;
    if (plan->staged_round == 0 || round != plan->staged_round ||
        (masked_w.stages & 1U << now) != 0)
        return;
    masked_w.stages |= 1U << now;
    if (plan->staged == STAGED_SERVICE)
        restart_service();
    for (uint32_t i = 0; plan->staged == STAGED_SITES && i < MASKED_SITES; i += 3) {
        close_site(i);
        open_site(i);
    }
}

static void maybe_kill_service(void)
{
    const struct masked_plan *plan = masked_w.plan;
    if (plan->audit_restart_round == 0 || masked_w.was_killed || !masked_w.has_asked ||
        csl_coord_rounds_done(csl_service_core(masked_w.service)) != plan->audit_restart_round)
        return;
    masked_w.was_killed = true;
    restart_service();
}

static void revive_site(uint32_t i)
{
    while (dying_is_dead(i)) {
        close_site(i);
        dying_revive(i);
        open_site(i);
    }
}

static bool run_instant(void)
{
    uint64_t now = csl_inproc_now_ns(masked_w.net);
    bool did = false;
    maybe_kill_service();
    maybe_restart_in_stage();
    while (csl_inproc_step(masked_w.net, now))
        did = true;
    dying_enter(MASKED_SERVICE);
    did = csl_service_pump(masked_w.service, now) || did;
    dying_enter(DYING_NOBODY);
    if (!dying_is_dead(MASKED_SERVICE))
        csl_coord_check(csl_service_core(masked_w.service));
    revive_service();
    maybe_lose();
    maybe_restart();
    maybe_roll_back();
    uint64_t round = csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1;
    if (round >= masked_w.plan->dark_from && round <= masked_w.plan->dark_until)
        csl_inproc_cut(masked_w.net, masked_ids[masked_w.plan->dark_site]);
    if (masked_w.must_cut)
        csl_inproc_cut(masked_w.net, masked_ids[masked_w.plan->restart_site]);
    masked_w.must_cut = false;
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        if (masked_w.sites[i].transport == NULL)
            continue;
        dying_enter(i);
        did = csl_agent_pump(masked_w.sites[i].agent, now) || did;
        dying_enter(DYING_NOBODY);
        if (!dying_is_dead(i)) {
            csl_site_check(csl_agent_core(masked_w.sites[i].agent));
            masked_note_plain(i);
        }
        revive_site(i);
    }
    return did;
}

static uint64_t next_instant(void)
{
    uint64_t next = csl_service_wakeup_ns(masked_w.service), other;
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        const struct masked_party *p = &masked_w.sites[i];
        if (p->transport == NULL && !(p->is_lost && masked_w.plan->back_ns != 0))
            continue;
        other = p->transport == NULL ? p->lost_ns + masked_w.plan->back_ns
                                     : csl_agent_wakeup_ns(p->agent);
        next = other < next ? other : next;
    }
    return next;
}

static void run_to_the_end(void)
{
    for (uint32_t instants = 0; !csl_service_is_finished(masked_w.service); instants++) {
        if (instants > 100000)
            fail_msg("schedule %llu does not end", (unsigned long long)masked_w.plan->schedule);
        if (run_instant())
            continue;
        uint64_t next = next_instant();
        bool is_net = csl_inproc_next_ns(masked_w.net) <= next;
        if (!is_net && next == UINT64_MAX)
            fail_msg("schedule %llu stands still", (unsigned long long)masked_w.plan->schedule);
        (void)csl_inproc_step(masked_w.net, is_net ? UINT64_MAX : next);
    }
}

static void hear_the_end(void)
{
    for (uint32_t instants = 0; instants < 1000; instants++)
        if (!run_instant() && !csl_inproc_step(masked_w.net, UINT64_MAX))
            return;
}

static void collect(void)
{
    struct masked_result *r = masked_w.result;
    struct csl_err err = {.code = CSL_OK};
    r->code = csl_service_outcome(masked_w.service, &err);
    csl_str_copy(r->reason, sizeof(r->reason), r->code == CSL_OK ? "" : err.msg);
    r->parameters = (uint32_t)masked_w.study->schema.parameters;
    r->model = csl_alloc_array(r->parameters, sizeof(float));
    assert_non_null(r->model);
    memcpy(r->model, csl_service_parameters(masked_w.service), r->parameters * sizeof(float));
    r->cuts = csl_inproc_stats(masked_w.net).cuts;
    r->sessions = csl_inproc_stats(masked_w.net).sessions;
    r->deaths = dying_deaths();
    r->stages = masked_w.stages;
    for (uint32_t i = 0; i <= MASKED_SITES; i++)
        r->writes[i] = dying_count(i);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        const struct csl_coord_site *s = csl_coord_site(csl_service_core(masked_w.service), i);
        r->site_rounds[i] = s->rounds_contributed;
        r->membership[i] = s->membership;
        if (masked_w.sites[i].transport == NULL)
            continue;
        note_site(i);
        csl_str_copy(r->last_error[i], sizeof(r->last_error[i]),
                     csl_agent_core(masked_w.sites[i].agent)->last_error);
    }
}

static void make_policy(void)
{
    masked_w.policy.approval = CSL_APPROVAL_AUTOMATIC;
    masked_w.policy.allows_large_delta = true;
    csl_str_copy(masked_w.policy.cohort, sizeof(masked_w.policy.cohort), "records");
    masked_w.policy.ledger.composition = CSL_LEDGER_BASIC;
    masked_w.policy.masked.has_colluding = true;
    masked_w.policy.masked.colluding = masked_w.plan->colluding_floor;
    masked_w.policy.ledger.budget_count = 1;
    double asked = masked_w.study->privacy.epsilon;
    asked += asked > 0 ? masked_w.study->statistics.epsilon : 0;
    masked_w.policy.ledger.budgets[0] =
        (struct csl_ledger_budget){.cohort = "*",
                                   .epsilon = masked_w.plan->budget > 0 ? masked_w.plan->budget
                                              : asked > 0               ? asked
                                                                        : 1e9,
                                   .delta = 0.5};
}

/* Numbers 3 (a stranger), then 10, 21, 32, 43, 54 for the sites from the last to the first, then 60
 * (a stranger that was revoked). */
static void add_strangers(struct csl_secagg_roster *r)
{
    struct csl_secagg_roster old = *r;
    struct csl_sign_key key;
    assert_int_equal(old.count, MASKED_SITES);
    r->count = MASKED_SITES + 2;
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        r->sites[1 + i] = old.sites[MASKED_SITES - 1 - i];
        r->sites[1 + i].id = 10 + 11 * i;
    }
    r->sites[0] = (struct csl_secagg_roster_site){.id = 3, .name = "zagreb", .is_active = true};
    r->sites[MASKED_SITES + 1] = (struct csl_secagg_roster_site){.id = 60, .name = "basel"};
    csl_sign_keygen(&key);
    memcpy(r->sites[0].key, key.public_key, sizeof(key.public_key));
    csl_sign_keygen(&key);
    memcpy(r->sites[MASKED_SITES + 1].key, key.public_key, sizeof(key.public_key));
    csl_sign_wipe(&key);
    r->hash[0] ^= 1; /* another roster: all parties hold this one */
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
    masked_w =
        (struct masked_world){.plan = plan, .result = out, .f = f, .study = masked_study(plan)};
    dying_begin(&plan->dying);
    make_policy();
    if (!plan->is_unmasked)
        masked_must(csl_sim_federation_make(&masked_w.federation, masked_w.study,
                                            (const char(*)[CSL_ID_MAX])masked_ids, MASKED_SITES,
                                            &err),
                    &err);
    if (plan->has_strangers)
        add_strangers(&masked_w.federation.roster);
    masked_must(csl_inproc_new(&masked_w.net, &net, &err), &err);
    open_service();
    revive_service();
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        open_site(i);
        revive_site(i);
    }
    run_to_the_end();
    if (plan->at_end != NULL)
        hear_the_end();
    collect();
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        close_site(i);
    if (plan->at_end != NULL)
        plan->at_end();
    kill_transport(masked_w.server);
    csl_service_free(masked_w.service);
    csl_inproc_free(masked_w.net);
    csl_sim_federation_release(&masked_w.federation);
    csl_free(masked_w.signatures);
    csl_study_free(masked_w.study);
    fixture_path(f, "run", dir);
    fixture_remove(dir);
    masked_must(csl_buf_status(&out->sent, &err), &err);
    masked_must(csl_buf_status(&out->plain, &err), &err);
}

void masked_release(struct masked_result *r)
{
    csl_buf_release(&r->sent);
    csl_buf_release(&r->plain);
    csl_free(r->model);
    csl_free(r->evaluations);
    csl_free(r->published);
}
