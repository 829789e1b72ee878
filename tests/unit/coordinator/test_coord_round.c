/* The coordinator's core: rounds, weights, evaluation, the end. */
#include "tests/unit/coordinator/harness.h"

#include "base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct harness h;

/* A study whose first `members` sites train. */
static void open_training(const struct h_study *s, uint32_t members)
{
    h_open(&h, s);
    h_start(&h);
    for (uint32_t i = 0; i < members; i++)
        h_join(&h, i, 10 * (i + 1));
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_forget(&h);
}

/* --- updates --- */

static void test_coord_round__everybody_delivers__next_round(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 2);
    h_deliver(&h, 0, 1);
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_UPDATE), 1);
    assert_int_equal(h_told(&h, 0, CSL_MSG_UPDATE_ACCEPTED)->u.update_accepted.round, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 0);
    h_deliver(&h, 1, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(h_actions(&h, CSL_CA_AGGREGATE), 1);
    assert_int_equal(h_actions(&h, CSL_CA_FORGET_UPDATES), 1);
    assert_int_equal(csl_coord_site(h.c, 1)->rounds_contributed, 1);
    const struct csl_msg_task *t = &h_told(&h, 0, CSL_MSG_TASK)->u.task;
    assert_int_equal(t->type, CSL_TASK_TRAIN);
    assert_int_equal(t->round, 2);
    assert_int_equal(t->seed, 7);
    assert_int_equal(t->model_digest[0], 2); /* the model of round 1 */
    assert_int_equal(t->model_bytes, 24);
    h_close(&h);
}

/* Saved before it is acknowledged: what a site was told survives a crash. */
static void test_coord_round__update_counted__saved_before_it_is_acknowledged(void **state)
{
    uint32_t saved = 0, told = 0;
    (void)state;
    open_training(&(struct h_study){.minimum = 2}, 2);
    h_deliver(&h, 0, 1);
    for (uint32_t i = 0; i < h.count; i++) {
        if (h.log[i].a.kind == CSL_CA_SAVE_UPDATE)
            saved = i;
        if (h.log[i].a.kind == CSL_CA_SEND && h.log[i].a.message.kind == CSL_MSG_UPDATE_ACCEPTED)
            told = i;
    }
    assert_true(saved < told);
    h_close(&h);
}

static void test_coord_round__update_with_wrong_shape__refused(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < 4; variant++) {
        open_training(&(struct h_study){.minimum = 2}, 3);
        struct csl_message m = h_update(&h, 0, 1);
        struct csl_msg_update_ready *u = &m.u.update_ready;
        if (variant == 0)
            u->bytes_total += 4;
        else if (variant == 1)
            u->blocks[0].block = 1;
        else if (variant == 2)
            u->blocks[0].patients++;
        else
            u->blocks[u->block_count++] = (struct csl_block_count){.block = 1, .patients = 1};
        h_say(&h, 0, &m);
        assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_INVAL);
        assert_int_equal(h_progress(&h, 0), CSL_SITE_FAILED);
        assert_int_equal(h_actions(&h, CSL_CA_GRANT_UPDATE), 0);
        m = h_update(&h, 0, 1); /* out of the round, however well it behaves now */
        h_say(&h, 0, &m);
        assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_STATE);
        h_deliver(&h, 1, 1);
        h_deliver(&h, 2, 1);
        assert_int_equal(csl_coord_rounds_done(h.c), 1); /* the round closed without it */
        assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 2); /* and it is back */
        assert_int_equal(csl_coord_site(h.c, 0)->rounds_contributed, 0);
        h_close(&h);
    }
}

/* Said by the service, which has the heads of the sites' ledgers. */
static void test_coord_round__update_that_its_ledger_does_not_vouch_for__never_granted(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2}, 3);
    struct csl_message m = h_update(&h, 0, 1);
    struct csl_coord_event ev = {.kind = CSL_CE_MESSAGE,
                                 .now_ns = h.now_ns,
                                 .conn = h.conn[0],
                                 .message = &m,
                                 .code = CSL_E_STATE};
    h_step(&h, ev);
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_STATE);
    assert_non_null(strstr(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.reason, "privacy ledger"));
    assert_int_equal(h_progress(&h, 0), CSL_SITE_FAILED);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_UPDATE), 0);
    h_deliver(&h, 1, 1);
    h_deliver(&h, 2, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(csl_coord_site(h.c, 0)->rounds_contributed, 0);
    h_close(&h);
    /* An upload that was granted before is not waited for, and not counted when it comes. */
    open_training(&(struct h_study){.minimum = 2}, 3);
    m = h_update(&h, 0, 1);
    h_say(&h, 0, &m);
    ev.now_ns = h.now_ns;
    ev.conn = h.conn[0];
    h_step(&h, ev);
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_RECEIVED, .site_index = 0, .round = 1});
    assert_int_equal(h_progress(&h, 0), CSL_SITE_FAILED);
    assert_int_equal(h.folds[0], 0);
    h_close(&h);
    /* One that is counted was vouched for when it came. */
    open_training(&(struct h_study){.minimum = 2}, 3);
    h_deliver(&h, 0, 1);
    ev.now_ns = h.now_ns;
    ev.conn = h.conn[0];
    h_step(&h, ev);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_HELD);
    h_close(&h);
}

static void test_coord_round__upload_rejected__out_of_the_round(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2}, 3);
    struct csl_message m = h_update(&h, 0, 1);
    h_say(&h, 0, &m);
    h_step(&h, (struct csl_coord_event){
                   .kind = CSL_CE_REJECTED, .site_index = 0, .round = 1, .code = CSL_E_CORRUPT});
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_CORRUPT);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_FAILED);
    h_close(&h);
}

static void test_coord_round__resumed_upload_rejected__tasked_again(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2}, 3);
    struct csl_message m = h_update(&h, 0, 1);
    h_say(&h, 0, &m);
    h_step(&h, (struct csl_coord_event){
                   .kind = CSL_CE_REJECTED, .site_index = 0, .round = 1, .code = CSL_E_AGAIN});
    assert_int_equal(h_progress(&h, 0), CSL_SITE_TASKED);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 1);
    h_close(&h);
}

static void test_coord_round__repeated_announcement__acknowledged_again(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2}, 2);
    h_deliver(&h, 0, 1);
    h_forget(&h);
    h_deliver(&h, 0, 1);
    assert_int_equal(h_told_count(&h, CSL_MSG_UPDATE_ACCEPTED), 1);
    assert_int_equal(h_actions(&h, CSL_CA_FOLD), 0);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_UPDATE), 0);
    h_close(&h);
}

static void test_coord_round__late_update__told_what_is_current(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 3);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    h_tick(&h, h_round_ns(&h));
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    struct csl_message late = h_update(&h, 2, 1);
    h_forget(&h);
    h_say(&h, 2, &late);
    assert_int_equal(h_told(&h, 2, CSL_MSG_TASK)->u.task.round, 2);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_UPDATE), 0);
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_RECEIVED, .site_index = 2, .round = 1});
    assert_int_equal(h_actions(&h, CSL_CA_FOLD), 0);
    assert_int_equal(csl_coord_site(h.c, 2)->rounds_contributed, 0);
    h_close(&h);
}

static void test_coord_round__model_request__granted_for_the_current_version_only(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2}, 2);
    struct csl_message m = {.kind = CSL_MSG_MODEL_REQUEST};
    h_say(&h, 0, &m);
    assert_int_equal(h_last(&h, CSL_CA_GRANT_MODEL)->round, 0);
    h_forget(&h);
    m.u.model_request.round = 1;
    h_say(&h, 0, &m);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_MODEL), 0);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 1);
    h_close(&h);
}

/* --- deadlines and failures --- */

static void test_coord_round__deadline_with_enough__closes(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 3);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    assert_true(csl_coord_wakeup_ns(h.c) == h.now_ns + h_round_ns(&h));
    h_tick(&h, h_round_ns(&h) - 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 0);
    h_tick(&h, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    h_close(&h);
}

static void test_coord_round__deadline_with_too_few__waits_on(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 3);
    h_deliver(&h, 0, 1);
    h_tick(&h, h_round_ns(&h));
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    assert_int_equal(csl_coord_rounds_done(h.c), 0);
    assert_true(csl_coord_wakeup_ns(h.c) == h.now_ns + h_round_ns(&h));
    h_deliver(&h, 1, 1); /* enough, but the deadline is a new one: the third may still come */
    assert_int_equal(csl_coord_rounds_done(h.c), 0);
    h_deliver(&h, 2, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    h_close(&h);
}

static void test_coord_round__deadline_during_a_fold__waits_for_it(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 3);
    h_deliver(&h, 0, 1);
    h.is_manual = true;
    h_deliver(&h, 1, 1);
    h_tick(&h, h_round_ns(&h));
    assert_int_equal(h_actions(&h, CSL_CA_AGGREGATE), 0);
    assert_true(h_answer_one(&h));
    assert_int_equal(h_actions(&h, CSL_CA_AGGREGATE), 1);
    assert_int_equal(csl_coord_phase(h.c), CSL_PHASE_AGGREGATE);
    h_close(&h);
}

static void test_coord_round__task_failed__closes_without_it(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 3);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    h_fail(&h, 2, 2); /* not this round's */
    assert_int_equal(h_progress(&h, 2), CSL_SITE_TASKED);
    struct csl_message m = h_update(&h, 2, 1);
    h_say(&h, 2, &m);
    h_fail(&h, 2, 1); /* it announced an update it cannot deliver */
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(csl_coord_site(h.c, 2)->rounds_contributed, 0);
    h_close(&h);
}

static void test_coord_round__too_few_left__aborted(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 2);
    h_deliver(&h, 0, 1);
    h_fail(&h, 1, 1);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_ABORTED);
    assert_string_equal(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.reason,
                        "too few sites delivered an update of this round");
    h_close(&h);
}

static void test_coord_round__aborted_while_a_round_is_committed__round_counts(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 2);
    h.is_manual = true;
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    while (csl_coord_phase(h.c) != CSL_PHASE_AGGREGATE)
        assert_true(h_answer_one(&h));
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = "the operator"});
    assert_int_equal(h_actions(&h, CSL_CA_FINISHED), 0);
    assert_true(h_answer_one(&h)); /* AGGREGATED: the row is written already */
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_ABORTED);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(h_last(&h, CSL_CA_SAVE_STUDY)->round, 1);
    assert_string_equal(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.reason, "the operator");
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 0);
    h_close(&h);
}

static void test_coord_round__aborted_during_a_fold__answer_is_ignored(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 2);
    h.is_manual = true;
    h_deliver(&h, 0, 1);
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = "the operator"});
    h_forget(&h);
    assert_true(h_answer_one(&h));
    assert_int_equal(h.count, 0);
    h_close(&h);
}

static void test_coord_round__message_after_the_end__nobody_is_tasked(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3}, 2);
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = "the operator"});
    h_forget(&h);
    struct csl_message m = h_update(&h, 0, 1); /* crossed with STUDY_ENDED */
    h_say(&h, 0, &m);
    m = (struct csl_message){.kind = CSL_MSG_MODEL_REQUEST};
    m.u.model_request.round = 2;
    h_say(&h, 0, &m);
    assert_int_equal(h_told_count(&h, CSL_MSG_TASK), 0);
    h_close(&h);
}

/* --- weights --- */

static void assert_weights(uint32_t block, const double expected[H_SITES])
{
    double total = 0;
    for (uint32_t i = 0; i < H_SITES; i++) {
        double w = csl_coord_weight(h.c, i, block);
        assert_true(fabs(w - expected[i]) < 1e-15);
        total += w;
    }
    assert_true(total == 0 || fabs(total - 1) < 1e-15);
}

static void join_with(uint32_t site, uint64_t first, uint64_t second)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    struct csl_msg_study_answer *a = &m.u.study_answer;
    h_connect(&h, site);
    h_hello(&h, site, false);
    memcpy(a->study_digest, h.study->digest, CSL_DIGEST_BYTES);
    a->accepted = true;
    if (first > 0)
        a->blocks[a->block_count++] = (struct csl_block_count){.block = 0, .patients = first};
    if (second > 0)
        a->blocks[a->block_count++] = (struct csl_block_count){.block = 1, .patients = second};
    h_say(&h, site, &m);
}

static void open_weighted(const char *weights)
{
    h_open(&h, &(struct h_study){.minimum = 2, .weights = weights});
    h_start(&h);
    join_with(0, 10, 0);
    join_with(1, 30, 5);
    join_with(2, 0, 15);
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
}

static void test_coord_round__weights_by_samples__each_block_sums_to_one(void **state)
{
    (void)state;
    open_weighted("kind: samples");
    assert_weights(0, (const double[H_SITES]){0.25, 0.75, 0, 0});
    assert_weights(1, (const double[H_SITES]){0, 0.25, 0.75, 0});
    h_close(&h);
}

static void test_coord_round__equal_weights__each_block_sums_to_one(void **state)
{
    (void)state;
    open_weighted("kind: equal");
    assert_weights(0, (const double[H_SITES]){0.5, 0.5, 0, 0});
    assert_weights(1, (const double[H_SITES]){0, 0.5, 0.5, 0});
    h_close(&h);
}

static void test_coord_round__given_weights__unlisted_site_does_not_count(void **state)
{
    (void)state;
    open_weighted("kind: given, sites: [{site: aa, weight: 3}, {site: bb, weight: 1}]");
    assert_weights(0, (const double[H_SITES]){0.75, 0.25, 0, 0});
    assert_weights(1, (const double[H_SITES]){0, 1, 0, 0});
    h_close(&h);
}

/* --- one site per round --- */

static uint32_t chosen(void)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < H_SITES; i++) {
        if (!csl_coord_site(h.c, i)->in_cohort)
            continue;
        assert_int_equal(found, UINT32_MAX); /* one alone */
        found = i;
    }
    assert_int_not_equal(found, UINT32_MAX);
    return found;
}

static void test_coord_round__cyclic__every_site_once_per_cycle(void **state)
{
    uint32_t visits[H_SITES] = {0};
    (void)state;
    open_training(&(struct h_study){.minimum = 1, .rounds = 9, .strategy = "cyclic"}, 3);
    for (uint64_t round = 1; round <= 9; round++) {
        uint32_t site = chosen();
        assert_true(csl_coord_weight(h.c, site, 0) == 1.0);
        assert_int_equal(h_told_count(&h, CSL_MSG_TASK), round == 1 ? 0 : 1);
        h_forget(&h);
        h_deliver(&h, site, round);
        if (++visits[site] * 3 > round + 2)
            fail_msg("site %u came %u times in %u rounds", site, visits[site], (unsigned)round);
    }
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_EVALUATING);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(visits[i], 3);
    h_close(&h);
}

static void test_coord_round__cyclic_site_fails__successor_takes_its_turn(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 1, .rounds = 3, .strategy = "cyclic"}, 3);
    uint32_t first = chosen();
    h_fail(&h, first, 1);
    uint32_t second = chosen();
    assert_int_not_equal(first, second);
    h_deliver(&h, second, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    for (uint32_t failed = 0; failed < 3; failed++) {
        assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
        h_fail(&h, chosen(), 2);
    }
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_ABORTED); /* nobody could */
    h_close(&h);
}

static void test_coord_round__cyclic_restarted__same_order(void **state)
{
    uint32_t order[9];
    struct csl_block_count block = {.block = 0, .patients = 10};
    struct h_study s = {.minimum = 1, .rounds = 9, .strategy = "cyclic"};
    (void)state;
    open_training(&s, 3);
    for (uint64_t round = 1; round <= 9; round++) {
        order[round - 1] = chosen();
        h_deliver(&h, order[round - 1], round);
        h_forget(&h);
    }
    for (uint64_t done = 0; done < 9; done++) {
        h_reopen(&h);
        struct csl_coord_snapshot snapshot = {CSL_STUDY_TRAINING, done, false};
        csl_coord_restore(h.c, &snapshot);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(
                csl_coord_restore_member(h.c, h_ids[i], CSL_MEMBER_ACCEPTED, 1, &block, 0, NULL),
                CSL_OK);
        h_start(&h);
        assert_int_equal(chosen(), order[done]);
    }
    h_close(&h);
}

/* --- evaluation and release --- */

static void test_coord_round__evaluation_every_second_round__between_rounds(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 3, .evaluate_every = 2}, 2);
    for (uint64_t round = 1; round <= 3; round++) {
        h_deliver(&h, 0, round);
        h_deliver(&h, 1, round);
        if (round == 1) {
            assert_int_equal(csl_coord_phase(h.c), CSL_PHASE_COLLECT);
            continue;
        }
        assert_int_equal(csl_coord_phase(h.c), CSL_PHASE_EVALUATE);
        assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.type, CSL_TASK_EVALUATE);
        assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, round);
        h_evaluate(&h, 0, round);
        h_evaluate(&h, 0, round); /* repeated: acknowledged, not saved twice */
        h_evaluate(&h, 1, round);
    }
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_EVALUATION), 4);
    assert_int_equal(h_told_count(&h, CSL_MSG_EVALUATION_ACCEPTED), 6);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_RELEASED);
    assert_true(h_told(&h, 1, CSL_MSG_STUDY_ENDED)->u.study_ended.released);
    assert_int_equal(h_told(&h, 1, CSL_MSG_STUDY_ENDED)->u.study_ended.model_digest[0], 4);
    h_close(&h);
}

static void test_coord_round__evaluation_of_a_foreign_block__refused(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 1}, 2);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    struct csl_eval_block block = {.block = 2, .examples = 3};
    struct csl_message m = {.kind = CSL_MSG_EVALUATION};
    m.u.evaluation = (struct csl_msg_evaluation){.round = 1, .block_count = 1, .blocks = &block};
    h_say(&h, 0, &m);
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_INVAL);
    block = (struct csl_eval_block){.block = 0, .examples = 3, .group_count = 6};
    h_say(&h, 0, &m); /* counts by patient group, which this study has none of */
    assert_int_equal(h_told_count(&h, CSL_MSG_REFUSED), 2);
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_EVALUATION), 0);
    h_evaluate(&h, 0, 1); /* a proper one is still taken */
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_EVALUATION), 1);
    h_close(&h);
}

static void test_coord_round__evaluation_deadline__released_with_what_came(void **state)
{
    (void)state;
    open_training(&(struct h_study){.minimum = 2, .rounds = 1}, 3);
    for (uint32_t i = 0; i < 3; i++)
        h_deliver(&h, i, 1);
    h_evaluate(&h, 0, 1);
    h_fail(&h, 1, 1);
    h_tick(&h, h_round_ns(&h));
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_RELEASED);
    h_forget(&h);
    h_evaluate(&h, 2, 1); /* too late: acknowledged, so that the site is content, but not kept */
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_EVALUATION), 0);
    assert_int_equal(h_told_count(&h, CSL_MSG_EVALUATION_ACCEPTED), 1);
    h_close(&h);
}

static void test_coord_round__after__says_what_the_core_does_next(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2, .rounds = 4, .evaluate_every = 2});
    struct csl_coord_snapshot s = csl_coord_after(h.study, 1);
    assert_true(s.state == CSL_STUDY_TRAINING && s.rounds_done == 1 && !s.is_evaluating);
    s = csl_coord_after(h.study, 2);
    assert_true(s.state == CSL_STUDY_TRAINING && s.rounds_done == 2 && s.is_evaluating);
    s = csl_coord_after(h.study, 4);
    assert_true(s.state == CSL_STUDY_EVALUATING && s.rounds_done == 4 && s.is_evaluating);
    h_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coord_round__everybody_delivers__next_round),
        cmocka_unit_test(test_coord_round__update_counted__saved_before_it_is_acknowledged),
        cmocka_unit_test(
            test_coord_round__update_that_its_ledger_does_not_vouch_for__never_granted),
        cmocka_unit_test(test_coord_round__update_with_wrong_shape__refused),
        cmocka_unit_test(test_coord_round__upload_rejected__out_of_the_round),
        cmocka_unit_test(test_coord_round__resumed_upload_rejected__tasked_again),
        cmocka_unit_test(test_coord_round__repeated_announcement__acknowledged_again),
        cmocka_unit_test(test_coord_round__late_update__told_what_is_current),
        cmocka_unit_test(test_coord_round__model_request__granted_for_the_current_version_only),
        cmocka_unit_test(test_coord_round__deadline_with_enough__closes),
        cmocka_unit_test(test_coord_round__deadline_with_too_few__waits_on),
        cmocka_unit_test(test_coord_round__deadline_during_a_fold__waits_for_it),
        cmocka_unit_test(test_coord_round__task_failed__closes_without_it),
        cmocka_unit_test(test_coord_round__too_few_left__aborted),
        cmocka_unit_test(test_coord_round__aborted_while_a_round_is_committed__round_counts),
        cmocka_unit_test(test_coord_round__aborted_during_a_fold__answer_is_ignored),
        cmocka_unit_test(test_coord_round__message_after_the_end__nobody_is_tasked),
        cmocka_unit_test(test_coord_round__weights_by_samples__each_block_sums_to_one),
        cmocka_unit_test(test_coord_round__equal_weights__each_block_sums_to_one),
        cmocka_unit_test(test_coord_round__given_weights__unlisted_site_does_not_count),
        cmocka_unit_test(test_coord_round__cyclic__every_site_once_per_cycle),
        cmocka_unit_test(test_coord_round__cyclic_site_fails__successor_takes_its_turn),
        cmocka_unit_test(test_coord_round__cyclic_restarted__same_order),
        cmocka_unit_test(test_coord_round__evaluation_every_second_round__between_rounds),
        cmocka_unit_test(test_coord_round__evaluation_of_a_foreign_block__refused),
        cmocka_unit_test(test_coord_round__evaluation_deadline__released_with_what_came),
        cmocka_unit_test(test_coord_round__after__says_what_the_core_does_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
