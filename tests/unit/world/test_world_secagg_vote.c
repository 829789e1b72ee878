/* Votes under masks: what is on the wire of them, and parties that die or are lost between a vote
 * and its verdict. One site turns its update round in one round, so that the model it makes is
 * voted down when the next round closes, which ends the study with the model before. */
#include "tests/unit/world/masked.h"

#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/model/model_file.h"
#include "privacy/secagg/scalar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS  4
#define ONE     (UINT64_C(1) << 32) /* privacy/secagg/scalar.h */
#define SCALARS 4u                  /* weight, loss, voted, worse */
#define FEDAVG  "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define VOTED                                                                                      \
    "aggregation: {strategy: fedavg, weights: {kind: samples}, vote: {tolerance: 0.1, "            \
    "rejected_max: 1}}\n"
#define OPEN                                                                                       \
    "aggregation: {strategy: fedavg, weights: {kind: samples}, vote: {tolerance: 0.1, "            \
    "rejected_max: 2}}\n"
#define COUNTED "statistics: {every: 1}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"

static struct fixture fixture;
static uint64_t bad_round;

static void leave_data(void *ctx, struct csl_dataset *d)
{
    (void)ctx;
    (void)d;
}

static void turn_round(void *ctx, uint64_t round, float *update, uint64_t parameters)
{
    (void)ctx;
    for (uint64_t i = 0; round == bad_round && i < parameters; i++)
        update[i] *= -600;
}

static const struct csl_agent_tamper tamper = {NULL, leave_data, turn_round, NULL};

static struct masked_plan plan_of(uint64_t bad)
{
    bad_round = bad;
    return (struct masked_plan){.rounds = ROUNDS,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .tamper = &tamper,
                                .sections = VOTED MASKS};
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    masked_run(&fixture, plan, out);
    if (out->code != CSL_OK)
        fail_msg("write %llu of %u: %s", (unsigned long long)plan->dying.at, plan->dying.party,
                 out->reason);
    assert_int_equal(out->rounds, ROUNDS);
}

/* The model of `bad` was voted down by all, and the study ended with that of the round before. */
static void run_down(const struct masked_plan *plan, uint64_t bad, struct masked_result *out)
{
    char why[120];
    uint64_t found = bad < ROUNDS ? bad + 1 : ROUNDS;
    masked_run(&fixture, plan, out);
    snprintf(why, sizeof(why), "rounds rejected in a row: 1; round %llu: 5 of 5 sites that voted",
             (unsigned long long)bad);
    if (out->code != CSL_E_CANCELLED || strstr(out->reason, why) == NULL || out->rounds != found)
        fail_msg("write %llu of %u: %d after %llu rounds, %s", (unsigned long long)plan->dying.at,
                 plan->dying.party, (int)out->code, (unsigned long long)out->rounds, out->reason);
}

static void assert_same_model(const struct masked_result *a, const struct masked_result *b)
{
    assert_memory_equal(a->model, b->model, a->parameters * sizeof(float));
}

/* --- what the words say --- */

/* The last words of a site's update of a round. */
static const uint8_t *scalars_of(const struct masked_result *r, uint32_t site, uint64_t round)
{
    for (uint32_t i = 0; i < r->plain_count; i++) {
        size_t end = i + 1 < r->plain_count ? r->plains[i + 1].at : r->plain.n;
        if (r->plains[i].site == site && r->plains[i].round == round)
            return r->plain.p + end - SCALARS * sizeof(uint64_t);
    }
    fail_msg("site %u has no words of round %llu", site, (unsigned long long)round);
    return NULL;
}

static uint64_t word_of(const struct masked_result *r, uint32_t site, uint64_t round, uint32_t at)
{
    return csl_load_le64(scalars_of(r, site, round) + at * sizeof(uint64_t));
}

static void assert_votes(const struct masked_result *r, uint64_t round, uint64_t voted,
                         uint64_t worse)
{
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(word_of(r, i, round, 2), voted);
        assert_int_equal(word_of(r, i, round, 3), worse);
    }
}

static void test_world_secagg_vote__words__one_and_one_where_it_is_worse(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    run_down(&plan, 2, &r);
    assert_votes(&r, 1, 0, 0); /* nothing to compare with */
    assert_votes(&r, 2, ONE, 0);
    assert_votes(&r, 3, ONE, ONE);
    masked_release(&r);
    plan = plan_of(ROUNDS);
    run_down(&plan, ROUNDS, &r);
    assert_votes(&r, ROUNDS, ONE, 0);
    assert_votes(&r, ROUNDS + 1, ONE, ONE); /* trains nothing */
    masked_release(&r);
}

static uint32_t reports;

/* Every message that a site sends. */
static bool count_reports(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    (void)site;
    reports += to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_EVALUATION;
    return false;
}

static bool holds(const struct csl_buf *sent, const uint8_t *run_of, size_t n)
{
    for (size_t at = 0; at + n <= sent->n; at++)
        if (sent->p[at] == run_of[0] && memcmp(sent->p + at, run_of, n) == 0)
            return true;
    return false;
}

/* Sites whose loss and vote stand one after the other in what was sent: a vote alone is a number
 * that stands everywhere. */
static uint32_t told(const struct masked_result *r, uint64_t last)
{
    uint32_t found = 0;
    for (uint64_t round = 2; round <= last; round++)
        for (uint32_t i = 0; i < MASKED_SITES; i++)
            found += holds(&r->sent, scalars_of(r, i, round) + sizeof(uint64_t),
                           (SCALARS - 1) * sizeof(uint64_t));
    return found;
}

static void test_world_secagg_vote__everything_sent__no_vote_of_one_site(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.chunk_bytes = 16384; /* uploads in one piece, or others' bytes stand between */
    plan.meddle = count_reports;
    plan.meddles_with_all = true;
    reports = 0;
    run_down(&plan, 2, &r);
    assert_int_equal(told(&r, 3), 0);
    assert_int_equal(reports, 0); /* nor a report of a site that has one */
    assert_int_equal(r.counts_told, 0);
    masked_release(&r);
    plan.is_unmasked = true; /* the same search finds every vote where nobody masks */
    run_down(&plan, 2, &r);
    assert_int_equal(told(&r, 3), 2 * MASKED_SITES);
    masked_release(&r);
}

static uint32_t asked, votes_told;

/* A coordinator that asks one site for a report on the model, in place of training on it. */
static bool ask_for_report(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    if (to == CSL_TO_SITE && site == 1 && m->kind == CSL_MSG_TASK && m->u.task.round == 3) {
        asked++;
        m->u.task.type = CSL_TASK_EVALUATE;
        m->u.task.round = 2;
        return true;
    }
    if (to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_EVALUATION) {
        reports++;
        votes_told += m->u.evaluation.vote != CSL_VOTE_NONE;
    }
    return false;
}

static void test_world_secagg_vote__asked_for_a_report__it_has_no_vote(void **state)
{
    struct masked_plan plan = plan_of(ROUNDS + 9);
    struct masked_result r;
    (void)state;
    plan.meddle = ask_for_report;
    plan.meddles_with_all = true;
    reports = 0;
    run(&plan, &r);
    assert_true(asked > 0 && reports > 0);
    assert_int_equal(votes_told, 0);
    masked_release(&r);
}

/* --- a sum that is no count --- */

static double one_is = 1;
enum csl_code __real_csl_scalar_encode(double value, uint32_t sites, uint64_t *word,
                                       struct csl_err *err);
enum csl_code __wrap_csl_scalar_encode(double value, uint32_t sites, uint64_t *word,
                                       struct csl_err *err);

/* The sites' own program is what says 1: a changed one says what it likes. */
enum csl_code __wrap_csl_scalar_encode(double value, uint32_t sites, uint64_t *word,
                                       struct csl_err *err)
{
    return __real_csl_scalar_encode(value == 1 ? one_is : value, sites, word, err);
}

static void test_world_secagg_vote__sum_that_is_no_count__no_verdict(void **state)
{
    static const double forged[] = {0.25, -1, 7}; /* not whole, negative, more than there are */
    (void)state;
    for (size_t k = 0; k < sizeof(forged) / sizeof(forged[0]); k++) {
        struct masked_plan plan = plan_of(2);
        struct masked_result r;
        one_is = forged[k];
        run(&plan, &r); /* released, although the model of round 2 is bad */
        one_is = 1;
        masked_release(&r);
    }
}

/* --- the same as without --- */

static void test_world_secagg_vote__no_bad_model__same_bits_as_without(void **state)
{
    struct masked_plan plan = plan_of(ROUNDS + 9);
    struct masked_result voted, plain, without;
    (void)state;
    run(&plan, &voted);
    plan.is_unmasked = true;
    run(&plan, &plain);
    plan.is_unmasked = false;
    plan.sections = FEDAVG MASKS;
    run(&plan, &without);
    assert_same_model(&voted, &plain);
    assert_same_model(&voted, &without);
    assert_int_equal(voted.evaluation_count, without.evaluation_count);
    masked_release(&voted);
    masked_release(&plain);
    masked_release(&without);
}

/* Blocks of statistics stand before the scalars that hold the votes: neither moves the other. */
static void test_world_secagg_vote__beside_statistics__both_as_without_the_other(void **state)
{
    struct masked_plan plan = plan_of(ROUNDS + 9);
    struct masked_result voted, plain, counted;
    (void)state;
    run(&plan, &plain);
    plan.sections = VOTED MASKS COUNTED;
    run(&plan, &voted);
    plan.sections = FEDAVG MASKS COUNTED;
    run(&plan, &counted);
    assert_same_model(&voted, &plain);
    assert_int_equal(plain.published_count, 0);
    assert_int_equal(voted.published_count, ROUNDS);
    assert_int_equal(counted.published_count, ROUNDS);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        assert_int_equal(voted.published[i].round, i + 1);
        assert_int_equal(counted.published[i].round, i + 1);
        assert_false(voted.published[i].cells[0].is_absent);
        assert_true(voted.published[i].cells[0].patients == counted.published[i].cells[0].patients);
        assert_true(voted.published[i].cells[0].skill_sum ==
                    counted.published[i].cells[0].skill_sum);
    }
    masked_release(&voted);
    masked_release(&plain);
    masked_release(&counted);
    plan = plan_of(2);
    plan.sections = VOTED MASKS COUNTED;
    run_down(&plan, 2, &voted);
    assert_votes(&voted, 3, ONE, ONE);
    assert_int_equal(voted.published_count, 3); /* that of the sum with the votes too */
    masked_release(&voted);
}

/* The checkpoint that an operator finds as the newest is the accepted model. */
static struct csl_model_file newest;
static uint64_t newest_round;

static void read_newest(void)
{
    char name[80], path[CSL_PATH_MAX];
    struct csl_err err = {.code = CSL_OK};
    struct masked_plan plan = plan_of(bad_round);
    struct csl_study *study = masked_study(&plan);
    snprintf(name, sizeof(name), "run/coordinator/model-%llu.h5", (unsigned long long)newest_round);
    fixture_path(&fixture, name, path);
    if (csl_model_read(path, &study->schema, &newest, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_study_free(study);
}

/* That of the round before, also as a study without a vote makes it. */
static void test_world_secagg_vote__bad_model__newest_checkpoint_is_the_accepted_one(void **state)
{
    static const uint64_t bads[] = {2, ROUNDS};
    (void)state;
    for (size_t k = 0; k < sizeof(bads) / sizeof(bads[0]); k++) {
        struct masked_plan plan = plan_of(bads[k]), shorter = plan_of(ROUNDS + 9);
        struct masked_result r, accepted;
        shorter.rounds = (uint32_t)bads[k] - 1;
        masked_run(&fixture, &shorter, &accepted);
        assert_int_equal(accepted.code, CSL_OK);
        plan = plan_of(bads[k]);
        newest_round = bads[k] < ROUNDS ? bads[k] + 1 : ROUNDS;
        plan.at_end = read_newest;
        run_down(&plan, bads[k], &r);
        assert_memory_equal(newest.parameters, r.model, r.parameters * sizeof(float));
        /* Patients are drawn by the study's digest or not: the losses tell whether it is so. */
        for (uint64_t i = 0; i + 1 < bads[k]; i++)
            assert_true(accepted.train_loss[i] == r.train_loss[i]);
        assert_same_model(&accepted, &r);
        csl_model_file_release(&newest);
        masked_release(&r);
        masked_release(&accepted);
    }
}

/* --- parties that die --- */

static uint64_t start_of(uint64_t writes, uint64_t last)
{
    return writes > last ? writes - last : 1;
}

/* The coordinator at each of its last durable writes: the round before the verdict, the sum with
 * the votes, the verdict, the end. */
static void test_world_secagg_vote__coordinator_dies_at_its_writes__same_end(void **state)
{
    static const uint64_t bads[] = {2, ROUNDS};
    (void)state;
    for (size_t k = 0; k < sizeof(bads) / sizeof(bads[0]); k++) {
        struct masked_plan plan = plan_of(bads[k]);
        struct masked_result calm, r;
        uint32_t deaths = 0;
        run_down(&plan, bads[k], &calm);
        plan.dying.party = MASKED_SERVICE;
        uint64_t writes = calm.writes[MASKED_SERVICE];
        for (plan.dying.at = start_of(writes, 20); plan.dying.at <= writes;
             plan.dying.at += bads[k] == 2 ? 2 : 1) {
            plan.dying.is_after = !plan.dying.is_after;
            run_down(&plan, bads[k], &r);
            assert_same_model(&calm, &r);
            deaths += r.deaths;
            masked_release(&r);
        }
        assert_true(deaths >= 8); /* else the test does not test */
        masked_release(&calm);
    }
}

static void test_world_secagg_vote__good_models_and_coordinator_dies__same_bits(void **state)
{
    struct masked_plan plan = plan_of(ROUNDS + 9);
    struct masked_result calm, r;
    (void)state;
    run(&plan, &calm);
    plan.dying.party = MASKED_SERVICE;
    uint64_t writes = calm.writes[MASKED_SERVICE];
    for (plan.dying.at = writes / 2; plan.dying.at <= writes; plan.dying.at += 8) {
        plan.dying.is_after = !plan.dying.is_after;
        masked_run(&fixture, &plan, &r); /* it counts no round whose commit it dies after */
        if (r.code != CSL_OK)
            fail_msg("write %llu: %s", (unsigned long long)plan.dying.at, r.reason);
        assert_same_model(&calm, &r);
        assert_memory_equal(calm.site_rounds, r.site_rounds, sizeof(calm.site_rounds));
        masked_release(&r);
    }
    masked_release(&calm);
}

/* Between the state of the rule, the checkpoint and the row too: a model is taken back once. */
static void test_world_secagg_vote__in_the_open_and_coordinator_dies__same_bits(void **state)
{
    static const uint64_t bads[] = {2, ROUNDS};
    (void)state;
    for (size_t k = 0; k < sizeof(bads) / sizeof(bads[0]); k++) {
        struct masked_plan plan = plan_of(bads[k]);
        struct masked_result calm, without, r;
        plan.sections = FEDAVG;
        run(&plan, &without);
        plan.sections = OPEN;
        run(&plan, &calm);
        assert_memory_not_equal(calm.model, without.model, calm.parameters * sizeof(float));
        plan.dying.party = MASKED_SERVICE;
        uint64_t writes = calm.writes[MASKED_SERVICE];
        for (plan.dying.at = bads[k] == 2 ? writes / 3 : writes - 12; plan.dying.at <= writes;
             plan.dying.at += bads[k] == 2 ? 3 : 1) {
            plan.dying.is_after = !plan.dying.is_after;
            masked_run(&fixture, &plan, &r);
            if (r.code != CSL_OK)
                fail_msg("write %llu: %s", (unsigned long long)plan.dying.at, r.reason);
            assert_same_model(&calm, &r);
            masked_release(&r);
        }
        masked_release(&calm);
        masked_release(&without);
    }
}

/* A site remembers over a restart what the model before was to it, and votes once. */
static void test_world_secagg_vote__site_dies_at_its_writes__same_votes(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    (void)state;
    run_down(&plan, 2, &calm);
    plan.dying.party = 1;
    uint64_t writes = calm.writes[1];
    for (plan.dying.at = start_of(writes, 24); plan.dying.at <= writes; plan.dying.at += 2) {
        plan.dying.is_after = !plan.dying.is_after;
        run_down(&plan, 2, &r);
        assert_int_equal(r.deaths, 1);
        assert_same_model(&calm, &r);
        masked_release(&r);
    }
    masked_release(&calm);
}

/* The uploads of the round with the votes are not what was promised: the next attempt sends the
 * same words, the votes among them. */
static void test_world_secagg_vote__attempt_abandoned__same_votes_and_one_sum(void **state)
{
    (void)state;
    for (uint64_t bad = 2; bad <= ROUNDS; bad += ROUNDS - 2) {
        struct masked_plan plan = plan_of(bad);
        struct masked_result r;
        plan.lying_round = bad + 1;
        plan.lying_site = 1;
        plan.lying_more = 1;
        plan.lies_once = true;
        run_down(&plan, bad, &r);
        assert_int_equal(r.abandoned, 1);
        assert_votes(&r, bad + 1, ONE, ONE);
        masked_release(&r);
    }
}

static int open_all(void **state)
{
    (void)state;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    masked_open(&fixture);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        masked_validate(&fixture, i);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_vote__words__one_and_one_where_it_is_worse),
        cmocka_unit_test(test_world_secagg_vote__everything_sent__no_vote_of_one_site),
        cmocka_unit_test(test_world_secagg_vote__asked_for_a_report__it_has_no_vote),
        cmocka_unit_test(test_world_secagg_vote__sum_that_is_no_count__no_verdict),
        cmocka_unit_test(test_world_secagg_vote__no_bad_model__same_bits_as_without),
        cmocka_unit_test(test_world_secagg_vote__beside_statistics__both_as_without_the_other),
        cmocka_unit_test(test_world_secagg_vote__bad_model__newest_checkpoint_is_the_accepted_one),
        cmocka_unit_test(test_world_secagg_vote__coordinator_dies_at_its_writes__same_end),
        cmocka_unit_test(test_world_secagg_vote__good_models_and_coordinator_dies__same_bits),
        cmocka_unit_test(test_world_secagg_vote__in_the_open_and_coordinator_dies__same_bits),
        cmocka_unit_test(test_world_secagg_vote__site_dies_at_its_writes__same_votes),
        cmocka_unit_test(test_world_secagg_vote__attempt_abandoned__same_votes_and_one_sum),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
