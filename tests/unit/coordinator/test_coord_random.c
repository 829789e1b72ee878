/* The coordinator's core under random but well-typed events: whatever sites say and in whatever
 * order, no assertion and no broken invariant (the harness checks after every step), nothing
 * emitted that may not be, and a study that sites wish to finish ends. One failure prints its seed.
 */
#include "tests/unit/coordinator/harness.h"

#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RUNS          300
#define EVENTS        400
#define ROUNDS        6
#define RESTART_ODDS  40 /* one event in so many */
#define HONEST_PASSES 64

static struct harness h;
static struct csl_rng rng;
static struct csl_coord_snapshot durable;   /* what SAVE_STUDY and AGGREGATED made durable */
static struct csl_coord_site rows[H_SITES]; /* membership, blocks, update: as saved */
static struct {                             /* buffered */
    uint64_t round;
    uint8_t digest[CSL_DIGEST_BYTES];
} tasks[H_SITES];
static uint64_t used[H_SITES]; /* rounds of updates that are in a model; also on disk */
static uint64_t aborts, releases, updates, stale;

static uint32_t below(uint32_t n)
{
    return (uint32_t)csl_rng_below(&rng, n);
}

static uint64_t near(uint64_t round)
{
    uint64_t r = round + below(3);
    return r == 0 ? 0 : r - 1;
}

static bool is_buffered(void)
{
    return h.study->aggregation.buffer.updates > 0;
}

/* The round of what a site is to send. */
static uint64_t due(uint32_t site)
{
    return is_buffered() ? csl_coord_site(h.c, site)->task_round : csl_coord_rounds_done(h.c) + 1;
}

/* The round is committed: (I7), and no row of its updates and tasks is left. */
static void commit(uint64_t round)
{
    durable = csl_coord_after(h.study, round);
    for (uint32_t i = 0; is_buffered() && i < H_SITES; i++) {
        if (h_progress(&h, i) != CSL_SITE_HELD)
            continue;
        uint64_t of = csl_coord_site(h.c, i)->update.round;
        assert_true(of > used[i] && of <= round);
        stale += of < round;
        used[i] = of;
        rows[i].update.round = tasks[i].round = 0;
    }
}

/* The store of the service, from the log since the last event. */
static void save(void)
{
    for (uint32_t i = 0; i < h.count; i++) {
        const struct csl_coord_action *a = &h.log[i].a;
        if (a->kind == CSL_CA_SAVE_STUDY) {
            assert_true(a->round >= durable.rounds_done); /* (I4), also on disk */
            durable = (struct csl_coord_snapshot){csl_coord_state(h.c), a->round,
                                                  csl_coord_phase(h.c) == CSL_PHASE_EVALUATE};
        }
        if (a->kind == CSL_CA_AGGREGATE) /* committed by the service in the same action */
            commit(a->round);
        if (a->kind == CSL_CA_SAVE_MEMBER || a->kind == CSL_CA_SAVE_UPDATE)
            rows[a->site_index] = *csl_coord_site(h.c, a->site_index);
        if (a->kind == CSL_CA_SAVE_TASK) {
            tasks[a->site_index].round = a->round;
            memcpy(tasks[a->site_index].digest, csl_coord_site(h.c, a->site_index)->task_digest,
                   CSL_DIGEST_BYTES);
        }
        updates += a->kind == CSL_CA_SAVE_UPDATE;
    }
}

/* What must hold of what was emitted. */
static void check_log(void)
{
    for (uint32_t i = 0; i < h.count; i++) {
        const struct csl_coord_action *a = &h.log[i].a;
        if (a->kind == CSL_CA_SEND || a->kind == CSL_CA_GRANT_UPDATE ||
            a->kind == CSL_CA_GRANT_MODEL)
            assert_true(a->conn != 0);
        if (a->kind == CSL_CA_SEND && a->message.kind == CSL_MSG_TASK) {
            bool trains = a->message.u.task.type == CSL_TASK_TRAIN;
            assert_in_range(a->message.u.task.round, 1, trains ? ROUNDS : ROUNDS + 1);
        }
        if (a->kind == CSL_CA_FOLD)
            assert_true(h.folds[a->site_index] <= 2); /* again only after a failed one */
    }
    double total = 0;
    bool has_any = false;
    for (uint32_t i = 0; i < H_SITES; i++) {
        total += csl_coord_weight(h.c, i, 0);
        has_any = has_any || csl_coord_weight(h.c, i, 0) > 0;
    }
    assert_true(!has_any || total < 1 + 1e-12);
    assert_true(!has_any || is_buffered() || total > 1 - 1e-12); /* old updates count less */
}

static void restart(void)
{
    h_reopen(&h);
    csl_coord_restore(h.c, &durable);
    for (uint32_t i = 0; i < H_SITES; i++) {
        const struct csl_coord_site *row = &rows[i];
        if (row->membership == CSL_MEMBER_UNKNOWN)
            continue;
        assert_int_equal(csl_coord_restore_member(h.c, h_ids[i], row->membership, row->block_count,
                                                  row->blocks, 0, NULL),
                         CSL_OK);
        if (row->update.round > 0 && row->membership == CSL_MEMBER_ACCEPTED)
            assert_int_equal(csl_coord_restore_update(h.c, h_ids[i], &row->update, NULL), CSL_OK);
        if (tasks[i].round > 0)
            assert_int_equal(
                csl_coord_restore_task(h.c, h_ids[i], tasks[i].round, tasks[i].digest, NULL),
                CSL_OK);
    }
    h_start(&h);
}

static void random_blocks(uint32_t *count, struct csl_block_count *blocks)
{
    *count = 0;
    for (uint32_t b = 0; b < 3; b++) /* the third is not the study's */
        if (below(b == 2 ? 20 : 2) == 0)
            blocks[(*count)++] = (struct csl_block_count){.block = b, .patients = 1 + below(3)};
}

static struct csl_message random_message(uint32_t site)
{
    static struct csl_eval_block block;
    struct csl_message m = {.kind = CSL_MSG_PING};
    uint64_t round = near(due(site));
    switch (below(8)) {
    case 0:
        m.kind = CSL_MSG_HELLO;
        m.u.hello.protocol_version = below(8) == 0 ? 2 : 1;
        if (below(2) == 0)
            memcpy(m.u.hello.study_digest, h.study->digest, CSL_DIGEST_BYTES);
        break;
    case 1:
        m.kind = CSL_MSG_STUDY_ANSWER;
        if (below(8) != 0)
            memcpy(m.u.study_answer.study_digest, h.study->digest, CSL_DIGEST_BYTES);
        m.u.study_answer.accepted = below(6) != 0;
        random_blocks(&m.u.study_answer.block_count, m.u.study_answer.blocks);
        break;
    case 2:
        m.kind = CSL_MSG_MODEL_REQUEST;
        m.u.model_request.round = near(csl_coord_rounds_done(h.c));
        break;
    case 3:
    case 4:
        m = h_update(&h, site, round == 0 ? 1 : round);
        if (below(6) == 0)
            random_blocks(&m.u.update_ready.block_count, m.u.update_ready.blocks);
        break;
    case 5:
        m.kind = CSL_MSG_EVALUATION;
        block = (struct csl_eval_block){.block = below(12) == 0 ? 2 : below(2), .examples = 1};
        m.u.evaluation =
            (struct csl_msg_evaluation){.round = round, .block_count = below(2), .blocks = &block};
        break;
    case 6:
        if (below(3) != 0)
            break;
        m.kind = CSL_MSG_TASK_FAILED;
        m.u.task_failed.round = round;
        m.u.task_failed.code = CSL_E_IO;
        break;
    default:
        break;
    }
    return m;
}

/* What a site that works well would do next, else nothing ever gets far. */
static void sensible_event(void)
{
    uint32_t site = below(H_SITES);
    const struct csl_coord_site *s = csl_coord_site(h.c, site);
    uint64_t done = csl_coord_rounds_done(h.c);
    struct csl_message m;
    if (s->conn == 0)
        h_connect(&h, site);
    else if (!s->has_greeted)
        h_hello(&h, site, s->membership == CSL_MEMBER_ACCEPTED);
    else if (s->membership == CSL_MEMBER_UNKNOWN)
        h_answer(&h, site, true, 1 + below(3));
    else if (s->progress == CSL_SITE_SENDING)
        h_step(&h, (struct csl_coord_event){
                       .kind = CSL_CE_RECEIVED, .site_index = site, .round = due(site)});
    else if (s->progress == CSL_SITE_TASKED && csl_coord_phase(h.c) == CSL_PHASE_EVALUATE)
        h_evaluate(&h, site, done);
    else if (s->progress == CSL_SITE_TASKED) {
        m = h_update(&h, site, due(site));
        h_say(&h, site, &m);
    } else
        (void)h_answer_one(&h);
}

static void random_event(void)
{
    uint32_t site = below(H_SITES);
    uint64_t round = near(due(site));
    struct csl_message m;
    switch (below(11)) {
    case 0:
        h_tick(&h, below(4) == 0 ? h_round_ns(&h) : below(100));
        break;
    case 1:
        h_connect(&h, site);
        break;
    case 2:
        if (h.conn[site] != 0)
            h_disconnect(&h, site);
        break;
    case 3:
    case 4:
        h_step(&h, (struct csl_coord_event){
                       .kind = CSL_CE_RECEIVED, .site_index = site, .round = round});
        break;
    case 5:
        h_step(&h, (struct csl_coord_event){.kind = CSL_CE_REJECTED,
                                            .site_index = site,
                                            .round = round,
                                            .code = below(2) == 0 ? CSL_E_AGAIN : CSL_E_INVAL});
        break;
    case 6:
        (void)h_answer_one(&h);
        break;
    default:
        if (h.conn[site] == 0)
            h_connect(&h, site);
        m = random_message(site);
        h_say(&h, site, &m);
    }
    if (below(2000) == 0)
        h_step(&h, (struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = "the operator"});
}

/* After the noise everybody behaves: the study must come to an end. */
static void behave(void)
{
    h.is_manual = false;
    for (uint32_t pass = 0; pass < HONEST_PASSES; pass++) {
        enum csl_study_state s = csl_coord_state(h.c);
        if (s == CSL_STUDY_RELEASED || s == CSL_STUDY_ABORTED)
            return;
        while (h_answer_one(&h))
            continue;
        for (uint32_t i = 0; i < H_SITES; i++) {
            h_connect(&h, i);
            h_hello(&h, i, csl_coord_site(h.c, i)->membership == CSL_MEMBER_ACCEPTED);
            if (csl_coord_state(h.c) == CSL_STUDY_OPEN)
                h_answer(&h, i, true, 2);
            uint64_t done = csl_coord_rounds_done(h.c);
            if (csl_coord_site(h.c, i)->membership != CSL_MEMBER_ACCEPTED)
                continue;
            if (csl_coord_phase(h.c) == CSL_PHASE_EVALUATE)
                h_evaluate(&h, i, done);
            else
                h_deliver(&h, i, due(i));
        }
        h_forget(&h);
        h_tick(&h, h_round_ns(&h));
    }
    fail_msg("the study does not end: state %s after %u rounds",
             csl_study_state_name(csl_coord_state(h.c)), (unsigned)csl_coord_rounds_done(h.c));
}

static void run(const struct h_study *s, uint64_t seed)
{
    csl_rng_init_label(&rng, seed, "coordinator", 0, 0, 0);
    durable = (struct csl_coord_snapshot){CSL_STUDY_CREATED, 0, false};
    memset(rows, 0, sizeof(rows));
    memset(tasks, 0, sizeof(tasks));
    memset(used, 0, sizeof(used));
    h_open(&h, s);
    h.is_manual = true;
    h_start(&h);
    uint64_t done = 0;
    for (uint32_t i = 0; i < EVENTS; i++) {
        if (below(3) == 0)
            random_event();
        else
            sensible_event();
        save();
        check_log();
        assert_true(csl_coord_rounds_done(h.c) >= done); /* (I4) */
        done = csl_coord_rounds_done(h.c);
        h_forget(&h);
        if (below(RESTART_ODDS) == 0) {
            restart();
            done = csl_coord_rounds_done(h.c);
            save();
            h_forget(&h);
        }
    }
    behave();
    aborts += csl_coord_state(h.c) == CSL_STUDY_ABORTED;
    releases += csl_coord_state(h.c) == CSL_STUDY_RELEASED;
    h_close(&h);
}

static void run_many(const struct h_study *s)
{
    aborts = releases = updates = stale = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        if (seed == 1)
            print_message("%s: seeds 1 to %d\n", s->strategy, RUNS);
        run(s, seed);
    }
    print_message("%s: %u released, %u aborted, %u updates held\n", s->strategy, (unsigned)releases,
                  (unsigned)aborts, (unsigned)updates);
    assert_true(releases > RUNS / 20 && aborts > 0 && updates > RUNS); /* both ends were reached */
}

static void test_coord_random__fedavg__invariants_hold(void **state)
{
    (void)state;
    run_many(&(struct h_study){
        .strategy = "fedavg", .rounds = ROUNDS, .minimum = 1, .evaluate_every = 2});
}

static void test_coord_random__scaffold_with_a_quorum__invariants_hold(void **state)
{
    (void)state;
    run_many(&(struct h_study){.strategy = "scaffold",
                               .rounds = ROUNDS,
                               .minimum = 2,
                               .weights = "kind: given, sites: [{site: aa, weight: 2}]"});
}

static void test_coord_random__cyclic__invariants_hold(void **state)
{
    (void)state;
    run_many(&(struct h_study){
        .strategy = "cyclic", .rounds = ROUNDS, .minimum = 1, .evaluate_every = 1});
}

static void test_coord_random__fedbuff__invariants_hold(void **state)
{
    (void)state;
    run_many(&(struct h_study){.strategy = "fedbuff, buffer: {updates: 2, staleness_max: 2}",
                               .rounds = ROUNDS,
                               .minimum = 1});
    print_message("%u of the updates used were of an older model\n", (unsigned)stale);
    assert_true(stale > RUNS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coord_random__fedavg__invariants_hold),
        cmocka_unit_test(test_coord_random__scaffold_with_a_quorum__invariants_hold),
        cmocka_unit_test(test_coord_random__cyclic__invariants_hold),
        cmocka_unit_test(test_coord_random__fedbuff__invariants_hold),
    };
    struct csl_err err;
    return csl_crypto_init(&err) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
