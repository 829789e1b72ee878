/* The coordinator's core in a study that is buffered: rounds that close with the first updates that
 * come, and sites that carry on from the model they have. */
#include "tests/unit/coordinator/harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct harness h;

/* The first `members` sites train; site i has 10 (i + 1) patients. */
static void open_training(const char *strategy, uint32_t rounds, uint32_t members)
{
    h_open(&h, &(struct h_study){.strategy = strategy, .rounds = rounds, .minimum = 1});
    h_start(&h);
    for (uint32_t i = 0; i < members; i++)
        h_join(&h, i, 10 * (i + 1));
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_forget(&h);
}

static void announce(uint32_t site, uint64_t round)
{
    struct csl_message m = h_update(&h, site, round);
    h_say(&h, site, &m);
}

static void receive(uint32_t site, uint64_t round)
{
    h_step(&h,
           (struct csl_coord_event){.kind = CSL_CE_RECEIVED, .site_index = site, .round = round});
}

static void test_coord_buffer__full__closes_without_the_slow_site(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 2, staleness_max: 4}", 6, 3);
    h_deliver(&h, 0, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 0);
    assert_null(h_told(&h, 0, CSL_MSG_TASK)); /* no second update of a model */
    h_deliver(&h, 1, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(h_told(&h, i, CSL_MSG_TASK)->u.task.round, 2);
        assert_int_equal(h_told(&h, i, CSL_MSG_TASK)->u.task.model_digest[0], 2);
    }
    assert_null(h_told(&h, 2, CSL_MSG_TASK)); /* carries on */
    assert_int_equal(h_progress(&h, 2), CSL_SITE_TASKED);
    h_deliver(&h, 0, 2);
    h_forget(&h);
    h_deliver(&h, 2, 1); /* into the second buffer */
    assert_int_equal(h_told(&h, 2, CSL_MSG_UPDATE_ACCEPTED)->u.update_accepted.round, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 2);
    assert_int_equal(h_told(&h, 2, CSL_MSG_TASK)->u.task.round, 3);
    assert_null(h_told(&h, 1, CSL_MSG_TASK));
    assert_int_equal(csl_coord_site(h.c, 0)->rounds_contributed, 2);
    assert_int_equal(csl_coord_site(h.c, 1)->rounds_contributed, 1);
    assert_int_equal(csl_coord_site(h.c, 2)->rounds_contributed, 1);
    h_close(&h);
}

/* n / sqrt(1 + t), by the patients of all members. */
static void test_coord_buffer__old_update__counts_less(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 4}", 6, 3);
    assert_true(csl_coord_weight(h.c, 2, 0) == 30.0 / 60);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 0, 2);
    h_deliver(&h, 0, 3);
    h.is_manual = true;
    h_deliver(&h, 2, 1);
    assert_int_equal(h_progress(&h, 2), CSL_SITE_FOLDING);
    assert_int_equal(csl_coord_staleness(h.c, 2), 3);
    assert_true(fabs(csl_coord_weight(h.c, 2, 0) - 30.0 / 60 / 2) < 1e-15);
    assert_true(h_answer_one(&h));
    assert_int_equal(h_progress(&h, 2), CSL_SITE_HELD);
    assert_true(fabs(csl_coord_freshness(h.c, 0) - 0.5) < 1e-15); /* its step is half as long */
    assert_true(csl_coord_freshness(h.c, 1) == 1);                /* a block that nobody has */
    h_close(&h);
    open_training("fedbuff, buffer: {updates: 2, staleness_max: 4}", 6, 3);
    h.is_manual = true;
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    assert_true(h_answer_one(&h) && h_answer_one(&h));
    assert_true(csl_coord_freshness(h.c, 0) == 1); /* to the bit */
    h_close(&h);
}

/* Neither lost nor counted in a round that is full. */
static void test_coord_buffer__one_too_many__waits_for_the_next_round(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 2, staleness_max: 4}", 6, 4);
    h.is_manual = true;
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    h_deliver(&h, 2, 1);
    announce(3, 1);
    assert_int_equal(h_progress(&h, 2), CSL_SITE_RECEIVED);
    assert_int_equal(h_actions(&h, CSL_CA_FOLD), 2);
    announce(2, 1); /* asks again: its answer is on its way */
    assert_int_equal(h_progress(&h, 2), CSL_SITE_RECEIVED);
    assert_true(h_answer_one(&h) && h_answer_one(&h));
    assert_int_equal(csl_coord_phase(h.c), CSL_PHASE_AGGREGATE);
    receive(3, 1); /* also while the buffer is aggregated */
    assert_int_equal(h_progress(&h, 3), CSL_SITE_RECEIVED);
    h_forget(&h);
    assert_true(h_answer_one(&h));
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(h_actions(&h, CSL_CA_FORGET_UPDATES), 1);
    assert_int_equal(h_actions(&h, CSL_CA_FOLD), 2);
    assert_true(h_answer_one(&h) && h_answer_one(&h) && h_answer_one(&h));
    assert_int_equal(csl_coord_rounds_done(h.c), 2);
    assert_int_equal(csl_coord_site(h.c, 2)->rounds_contributed, 1);
    assert_int_equal(csl_coord_site(h.c, 3)->rounds_contributed, 1);
    h_close(&h);
}

static void test_coord_buffer__two_wait__older_one_first(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 4}", 6, 3);
    h_deliver(&h, 0, 1);
    h.is_manual = true;
    h_deliver(&h, 1, 1);
    h_deliver(&h, 0, 2);
    h_deliver(&h, 2, 1);
    assert_int_equal(h_progress(&h, 1), CSL_SITE_FOLDING);
    assert_true(h_answer_one(&h) && h_answer_one(&h));
    assert_int_equal(h_progress(&h, 2), CSL_SITE_FOLDING);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_RECEIVED);
    h_close(&h);
}

static void test_coord_buffer__spool_lost__the_next_one_takes_its_place(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 4}", 6, 2);
    h.is_manual = true;
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    h.pending_count = 0;
    h_step(&h, (struct csl_coord_event){
                   .kind = CSL_CE_FOLDED, .site_index = 0, .round = 1, .code = CSL_E_CORRUPT});
    assert_int_equal(h_progress(&h, 0), CSL_SITE_TASKED);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 1);
    assert_int_equal(h_progress(&h, 1), CSL_SITE_FOLDING);
    h_close(&h);
}

/* Sites that are busy with a model that is too old are stopped: it would be for nothing. */
static void test_coord_buffer__too_old__refused_and_given_the_newest(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 1}", 6, 4);
    announce(2, 1);
    h.is_manual = true;
    h_deliver(&h, 0, 1);
    h_deliver(&h, 3, 1); /* complete, and waits */
    h.is_manual = false;
    h_forget(&h);
    while (h_answer_one(&h))
        continue;
    assert_int_equal(csl_coord_rounds_done(h.c), 2); /* of 0 and of 3 */
    assert_int_equal(h_told(&h, 1, CSL_MSG_TASK)->u.task.round, 3);
    assert_null(h_told(&h, 1, CSL_MSG_REFUSED));
    assert_int_equal(h_told(&h, 2, CSL_MSG_REFUSED)->u.refused.code, CSL_E_STATE);
    assert_int_equal(h_told(&h, 2, CSL_MSG_TASK)->u.task.round, 3);
    receive(2, 1); /* the transfer that was under way */
    assert_int_equal(h_progress(&h, 2), CSL_SITE_TASKED);
    announce(2, 1);
    assert_int_equal(h_progress(&h, 2), CSL_SITE_TASKED);
    assert_int_equal(csl_coord_rounds_done(h.c), 2);
    h_close(&h);
}

static void ask_for_model(uint32_t site, uint64_t version)
{
    struct csl_message m = {.kind = CSL_MSG_MODEL_REQUEST};
    m.u.model_request.round = version;
    h_say(&h, site, &m);
}

static void test_coord_buffer__asks_for_the_model_of_its_task__gets_it(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 4}", 6, 2);
    h_deliver(&h, 0, 1);
    assert_true(csl_coord_is_busy(h.c, 0) && csl_coord_is_busy(h.c, 1));
    ask_for_model(1, 0); /* of before the round that has closed */
    assert_int_equal(h_last(&h, CSL_CA_GRANT_MODEL)->round, 0);
    assert_int_equal(h_last(&h, CSL_CA_GRANT_MODEL)->site_index, 1);
    h_forget(&h);
    ask_for_model(0, 0); /* not its any more */
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_MODEL), 0);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 2);
    ask_for_model(0, 1);
    assert_int_equal(h_last(&h, CSL_CA_GRANT_MODEL)->round, 1);
    h_forget(&h);
    h.is_manual = true;
    h_deliver(&h, 1, 1);
    assert_false(csl_coord_is_busy(h.c, 1));
    ask_for_model(1, 0); /* it has sent its update */
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_MODEL), 0);
    assert_int_equal(h_told_count(&h, CSL_MSG_TASK), 0);
    h_close(&h);
}

/* Models before the newest are not kept over a restart. */
static void test_coord_buffer__asks_for_an_old_model_after_a_restart__gets_the_newest(void **state)
{
    const struct csl_block_count blocks[1] = {{0, 10}};
    const uint8_t digest[CSL_DIGEST_BYTES] = {1};
    struct csl_err err;
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 4}", 6, 1);
    h_reopen(&h);
    csl_coord_restore(h.c, &(struct csl_coord_snapshot){CSL_STUDY_TRAINING, 2, false});
    assert_int_equal(
        csl_coord_restore_member(h.c, h_ids[0], CSL_MEMBER_ACCEPTED, 1, blocks, 0, &err), CSL_OK);
    assert_int_equal(csl_coord_restore_task(h.c, h_ids[0], 2, digest, &err), CSL_OK);
    h_start(&h);
    h_connect(&h, 0);
    h_hello(&h, 0, true);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round,
                     2); /* it may have an update of it */
    ask_for_model(0, 1);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_MODEL), 0);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 3);
    assert_int_equal(h_last(&h, CSL_CA_SAVE_TASK)->round, 3);
    ask_for_model(0, 2);
    assert_int_equal(h_last(&h, CSL_CA_GRANT_MODEL)->round, 2);
    h_close(&h);
}

static void test_coord_buffer__comes_back__finds_the_task_it_had(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 4}", 6, 2);
    h_deliver(&h, 0, 1);
    h_forget(&h);
    h_connect(&h, 1);
    h_hello(&h, 1, true);
    assert_int_equal(h_told(&h, 1, CSL_MSG_TASK)->u.task.round, 1);
    assert_int_equal(h_told(&h, 1, CSL_MSG_TASK)->u.task.model_digest[0], 1);
    h_deliver(&h, 1, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 2);
    h_close(&h);
}

/* A process that starts again in the middle of a buffer: what is held is folded again, what sites
 * are busy with is waited for. */
static void test_coord_buffer__restarted__held_and_tasks_as_before(void **state)
{
    struct csl_err err;
    (void)state;
    open_training("fedbuff, buffer: {updates: 2, staleness_max: 4}", 6, 3);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    h_deliver(&h, 0, 2);
    struct csl_coord_site rows[3];
    for (uint32_t i = 0; i < 3; i++)
        rows[i] = *csl_coord_site(h.c, i);
    assert_int_equal(rows[0].progress, CSL_SITE_HELD);
    h_reopen(&h);
    csl_coord_restore(h.c, &(struct csl_coord_snapshot){CSL_STUDY_TRAINING, 1, false});
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(csl_coord_restore_member(h.c, rows[i].id, CSL_MEMBER_ACCEPTED,
                                                  rows[i].block_count, rows[i].blocks, 0, &err),
                         CSL_OK);
    assert_int_equal(csl_coord_restore_update(h.c, rows[0].id, &rows[0].update, &err), CSL_OK);
    assert_int_equal(csl_coord_restore_task(h.c, rows[0].id, 1, rows[0].task_digest, &err),
                     CSL_E_CORRUPT); /* of another round than what is held */
    for (uint32_t i = 0; i < 3; i += 2)
        assert_int_equal(
            csl_coord_restore_task(h.c, rows[i].id, rows[i].task_round, rows[i].task_digest, &err),
            CSL_OK);
    assert_int_equal(csl_coord_restore_task(h.c, rows[2].id, 3, rows[2].task_digest, &err),
                     CSL_E_CORRUPT);
    assert_int_equal(csl_coord_restore_task(h.c, h_ids[3], 1, rows[2].task_digest, &err),
                     CSL_E_CORRUPT);
    h_start(&h);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_HELD);
    h_connect(&h, 2);
    h_hello(&h, 2, true);
    assert_int_equal(h_told(&h, 2, CSL_MSG_TASK)->u.task.round, 1);
    h_connect(&h, 1); /* its task was not stored any more: the newest */
    h_hello(&h, 1, true);
    assert_int_equal(h_told(&h, 1, CSL_MSG_TASK)->u.task.round, 2);
    h_deliver(&h, 2, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 2);
    h_close(&h);
}

static void test_coord_buffer__nobody_else_can__closes_with_what_it_has(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 3, staleness_max: 4}", 6, 3);
    h_deliver(&h, 0, 1);
    h_fail(&h, 1, 1);
    h_forget(&h);
    h_fail(&h, 2, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(h_told(&h, 1, CSL_MSG_TASK)->u.task.round, 2);
    h_deliver(&h, 0, 2);
    h_tick(&h, h_round_ns(&h)); /* nor does a round last for ever */
    assert_int_equal(csl_coord_rounds_done(h.c), 2);
    h_close(&h);
}

static void test_coord_buffer__last_round__sites_stop_and_judge(void **state)
{
    (void)state;
    open_training("fedbuff, buffer: {updates: 1, staleness_max: 4}", 1, 2);
    announce(1, 1);
    h_deliver(&h, 0, 1);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_EVALUATING);
    assert_int_equal(h_told(&h, 1, CSL_MSG_TASK)->u.task.type, CSL_TASK_EVALUATE);
    receive(1, 1); /* too late for any buffer */
    announce(1, 1);
    h_evaluate(&h, 0, 1);
    h_evaluate(&h, 1, 1);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_RELEASED);
    assert_int_equal(csl_coord_site(h.c, 1)->rounds_contributed, 0);
    h_close(&h);
}

static void test_coord_buffer__fewer_sites_than_updates__does_not_begin(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.strategy = "fedbuff, buffer: {updates: 3, staleness_max: 4}",
                                 .minimum = 1});
    h_start(&h);
    h_join(&h, 0, 10);
    h_join(&h, 1, 10);
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN);
    h_join(&h, 2, 10);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    struct csl_coord *none = NULL;
    struct csl_err err;
    struct csl_coord_config c = {.study = h.study, .roster = h_ids, .roster_count = 2};
    assert_int_equal(csl_coord_new(&none, &c, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "takes 3 updates but the roster has 2"));
    h_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coord_buffer__full__closes_without_the_slow_site),
        cmocka_unit_test(test_coord_buffer__old_update__counts_less),
        cmocka_unit_test(test_coord_buffer__one_too_many__waits_for_the_next_round),
        cmocka_unit_test(test_coord_buffer__two_wait__older_one_first),
        cmocka_unit_test(test_coord_buffer__spool_lost__the_next_one_takes_its_place),
        cmocka_unit_test(test_coord_buffer__too_old__refused_and_given_the_newest),
        cmocka_unit_test(test_coord_buffer__asks_for_the_model_of_its_task__gets_it),
        cmocka_unit_test(test_coord_buffer__asks_for_an_old_model_after_a_restart__gets_the_newest),
        cmocka_unit_test(test_coord_buffer__comes_back__finds_the_task_it_had),
        cmocka_unit_test(test_coord_buffer__restarted__held_and_tasks_as_before),
        cmocka_unit_test(test_coord_buffer__nobody_else_can__closes_with_what_it_has),
        cmocka_unit_test(test_coord_buffer__last_round__sites_stop_and_judge),
        cmocka_unit_test(test_coord_buffer__fewer_sites_than_updates__does_not_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
