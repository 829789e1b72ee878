/* The coordinator's core: who may come, who takes part, sessions, restart. */
#include "tests/unit/coordinator/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct harness h;

static void open_and_start(const struct h_study *s)
{
    h_open(&h, s);
    h_start(&h);
}

/* --- the roster --- */

static enum csl_code new_with(const char (*ids)[CSL_ID_MAX], uint32_t count, struct csl_err *err)
{
    struct csl_coord *c = NULL;
    struct csl_coord_config config = {.study = h.study, .roster = ids, .roster_count = count};
    enum csl_code code = csl_coord_new(&c, &config, err);
    csl_coord_free(c);
    return code;
}

static void test_coord__roster_that_cannot_work__refused(void **state)
{
    static const char twice[3][CSL_ID_MAX] = {"aa", "bb", "aa"};
    struct csl_err err;
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2});
    assert_int_equal(new_with(h_ids, 0, &err), CSL_E_LIMIT);
    assert_int_equal(new_with(h_ids, 1, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "needs 2 sites but the roster has 1"));
    assert_int_equal(new_with(twice, 3, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "'aa' is twice"));
    assert_int_equal(csl_coord_find_site(h.c, "dd"), 3);
    assert_int_equal(csl_coord_find_site(h.c, "zz"), UINT32_MAX);
    h_close(&h);
}

/* --- enrolment --- */

static void test_coord__all_answered__training_begins(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN);
    h_join(&h, 0, 10);
    assert_non_null(h_told(&h, 0, CSL_MSG_STUDY_OFFER));
    h_join(&h, 1, 10);
    h_join(&h, 2, 10);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN); /* one has not answered */
    h_connect(&h, 3);
    h_hello(&h, 3, false);
    h_answer(&h, 3, false, 0);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    assert_int_equal(h_told_count(&h, CSL_MSG_TASK), 3);
    assert_null(h_told(&h, 3, CSL_MSG_TASK));
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_MEMBER), 4);
    h_close(&h);
}

static void test_coord__wait_passed_with_enough__training_begins(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_join(&h, 0, 10);
    h_join(&h, 1, 10);
    assert_int_equal(csl_coord_wakeup_ns(h.c), H_WAIT_NS);
    h_tick(&h, H_WAIT_NS - 1);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN);
    h_tick(&h, 1);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_close(&h);
}

static void test_coord__wait_passed_with_too_few__starts_when_there_are_enough(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_join(&h, 0, 10);
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN);
    assert_true(csl_coord_wakeup_ns(h.c) == UINT64_MAX); /* nothing but an answer matters now */
    h_join(&h, 1, 10);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_close(&h);
}

static void test_coord__too_few_accept__aborted(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 3, .is_rehearsal = true});
    h_join(&h, 0, 10);
    h_join(&h, 1, 10);
    for (uint32_t i = 2; i < H_SITES; i++) {
        h_connect(&h, i);
        h_hello(&h, i, false);
        h_answer(&h, i, false, 0);
    }
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_ABORTED);
    assert_int_equal(h_actions(&h, CSL_CA_FINISHED), 1);
    assert_int_equal(h_told_count(&h, CSL_MSG_STUDY_ENDED), H_SITES);
    assert_false(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.released);
    assert_string_equal(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.reason,
                        "too few sites accepted the study");
    h_close(&h);
}

static void test_coord__participants_named__waits_for_each(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2, .participants = "[aa, dd]"});
    h_join(&h, 0, 10);
    h_join(&h, 1, 10);
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN);
    h_join(&h, 3, 10);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_close(&h);
}

static void test_coord__participant_declines_and_all_answered__aborted(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 1, .participants = "[dd]", .is_rehearsal = true});
    for (uint32_t i = 0; i < 3; i++)
        h_join(&h, i, 10);
    h_connect(&h, 3);
    h_hello(&h, 3, false);
    h_answer(&h, 3, false, 0);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_ABORTED);
    h_close(&h);
}

static void test_coord__all_declined_outside_a_rehearsal__stays_open(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = H_SITES});
    for (uint32_t i = 0; i < H_SITES; i++) {
        h_connect(&h, i);
        h_hello(&h, i, false);
        h_answer(&h, i, false, 0);
    }
    h_tick(&h, 10 * H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN);
    for (uint32_t i = 0; i < H_SITES; i++)
        h_answer(&h, i, true, 10); /* its administrator approved it */
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_close(&h);
}

static void test_coord__member_changes_its_mind_while_open__declined(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_join(&h, 0, 10);
    /* A decline that repeats the blocks is a decline all the same. */
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    memcpy(m.u.study_answer.study_digest, h.study->digest, CSL_DIGEST_BYTES);
    m.u.study_answer.block_count = 1;
    m.u.study_answer.blocks[0].patients = 10;
    h_say(&h, 0, &m);
    assert_int_equal(csl_coord_site(h.c, 0)->membership, CSL_MEMBER_DECLINED);
    h_answer(&h, 0, true, 12);
    assert_int_equal(csl_coord_site(h.c, 0)->membership, CSL_MEMBER_ACCEPTED);
    assert_int_equal(csl_coord_site(h.c, 0)->blocks[0].patients, 12);
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_MEMBER), 3);
    h_close(&h);
}

static void test_coord__answer_about_another_study__refused(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_connect(&h, 0);
    h_hello(&h, 0, false);
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    m.u.study_answer.accepted = true;
    m.u.study_answer.block_count = 1;
    m.u.study_answer.blocks[0].patients = 10;
    h_say(&h, 0, &m);
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_INVAL);
    assert_int_equal(csl_coord_site(h.c, 0)->membership, CSL_MEMBER_UNKNOWN);
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_MEMBER), 0);
    h_close(&h);
}

static void test_coord__answer_without_fitting_blocks__refused(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_connect(&h, 0);
    h_hello(&h, 0, false);
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    memcpy(m.u.study_answer.study_digest, h.study->digest, CSL_DIGEST_BYTES);
    m.u.study_answer.accepted = true;
    h_say(&h, 0, &m); /* no block at all */
    m.u.study_answer.block_count = 1;
    m.u.study_answer.blocks[0] = (struct csl_block_count){.block = 2, .patients = 1};
    h_say(&h, 0, &m); /* the study has blocks 0 and 1 */
    assert_int_equal(h_told_count(&h, CSL_MSG_REFUSED), 2);
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_INVAL);
    assert_int_equal(csl_coord_site(h.c, 0)->membership, CSL_MEMBER_UNKNOWN);
    h_answer(&h, 0, true, 5); /* it may still answer properly */
    assert_int_equal(csl_coord_site(h.c, 0)->membership, CSL_MEMBER_ACCEPTED);
    h_close(&h);
}

static void test_coord__training_began__cohort_is_fixed(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_join(&h, 0, 10);
    h_join(&h, 1, 10);
    h_tick(&h, H_WAIT_NS);
    h_forget(&h);
    h_join(&h, 2, 10); /* too late */
    assert_int_equal(h_told(&h, 2, CSL_MSG_REFUSED)->u.refused.code, CSL_E_STATE);
    h_answer(&h, 0, true, 11); /* other records */
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_STATE);
    h_answer(&h, 0, false, 0); /* leaving */
    assert_int_equal(h_told_count(&h, CSL_MSG_REFUSED), 3);
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_MEMBER), 0);
    assert_int_equal(csl_coord_site(h.c, 0)->blocks[0].patients, 10);
    h_forget(&h);
    h_answer(&h, 0, true, 10); /* the same answer is no change: the task again */
    assert_non_null(h_told(&h, 0, CSL_MSG_TASK));
    h_close(&h);
}

/* --- sessions --- */

static void test_coord__unknown_site_connects__dropped(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_OPENED, .conn = 99, .site_id = "stranger"});
    assert_int_equal(h_last(&h, CSL_CA_DROP)->code, CSL_E_DENIED);
    assert_int_equal(h_last(&h, CSL_CA_DROP)->conn, 99);
    h_close(&h);
}

static void test_coord__hello_of_another_version__refused_and_dropped(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_connect(&h, 0);
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION + 1;
    h_say(&h, 0, &m);
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_UNSUPPORTED);
    assert_int_equal(h_last(&h, CSL_CA_DROP)->code, CSL_E_UNSUPPORTED);
    assert_false(csl_coord_site(h.c, 0)->has_greeted);
    h_close(&h);
}

static void test_coord__message_out_of_order__dropped(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_connect(&h, 0);
    struct csl_message m = {.kind = CSL_MSG_MODEL_REQUEST};
    h_say(&h, 0, &m); /* before HELLO */
    assert_int_equal(h_actions(&h, CSL_CA_DROP), 1);
    h_hello(&h, 0, false);
    h_say(&h, 0, &m); /* not a member */
    assert_int_equal(h_actions(&h, CSL_CA_DROP), 2);
    h_hello(&h, 0, false); /* twice */
    assert_int_equal(h_actions(&h, CSL_CA_DROP), 3);
    assert_int_equal(h_last(&h, CSL_CA_DROP)->code, CSL_E_PROTO);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_MODEL), 0);
    h_close(&h);
}

static void test_coord__ping__answered_even_before_hello(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_connect(&h, 0);
    struct csl_message m = {.kind = CSL_MSG_PING};
    m.u.ping.nonce = 77;
    h_say(&h, 0, &m);
    assert_int_equal(h_told(&h, 0, CSL_MSG_PONG)->u.pong.nonce, 77);
    h_close(&h);
}

static void test_coord__second_session_of_a_site__replaces_the_first(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_join(&h, 0, 10);
    h_join(&h, 1, 10);
    h_tick(&h, H_WAIT_NS);
    csl_conn old = h.conn[0];
    h_forget(&h);
    h_connect(&h, 0);
    assert_int_equal(h_last(&h, CSL_CA_DROP)->conn, old);
    assert_int_equal(h_last(&h, CSL_CA_DROP)->code, CSL_E_CANCELLED);
    h_hello(&h, 0, true);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 1);
    h_forget(&h);
    /* What the old session still had in flight, and its end, mean nothing now. */
    struct csl_message m = h_update(&h, 0, 1);
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_MESSAGE, .conn = old, .message = &m});
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_CLOSED, .conn = old});
    assert_int_equal(h.count, 0);
    assert_int_equal(csl_coord_site(h.c, 0)->conn, h.conn[0]);
    h_close(&h);
}

static void test_coord__session_replaced_during_an_upload__announced_again(void **state)
{
    (void)state;
    open_and_start(&(struct h_study){.minimum = 2});
    h_join(&h, 0, 10);
    h_join(&h, 1, 10);
    h_tick(&h, H_WAIT_NS);
    struct csl_message m = h_update(&h, 0, 1);
    h_say(&h, 0, &m);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_SENDING);
    h_disconnect(&h, 0);
    h_connect(&h, 0);
    h_hello(&h, 0, true);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_TASKED);
    h_step(&h, (struct csl_coord_event){
                   .kind = CSL_CE_REJECTED, .site_index = 0, .round = 1, .code = CSL_E_INVAL});
    assert_int_equal(h_progress(&h, 0), CSL_SITE_TASKED); /* that was the old transfer */
    h_deliver(&h, 0, 1);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_HELD);
    h_close(&h);
}

/* --- restart --- */

static void restore(enum csl_study_state s, uint64_t rounds_done, bool is_evaluating,
                    uint32_t members)
{
    struct csl_block_count block = {.block = 0, .patients = 10};
    struct csl_coord_snapshot snapshot = {s, rounds_done, is_evaluating};
    csl_coord_restore(h.c, &snapshot);
    for (uint32_t i = 0; i < members; i++)
        assert_int_equal(csl_coord_restore_member(h.c, h_ids[i], CSL_MEMBER_ACCEPTED, 1, &block,
                                                  rounds_done, NULL),
                         CSL_OK);
}

static void test_coord__restarted_while_open__members_are_remembered(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2});
    restore(CSL_STUDY_OPEN, 0, false, 3);
    h_start(&h);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_OPEN);
    h_connect(&h, 0);
    h_hello(&h, 0, true);
    assert_null(h_told(&h, 0, CSL_MSG_STUDY_OFFER));
    h_join(&h, 3, 10);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    assert_non_null(h_told(&h, 0, CSL_MSG_TASK));
    assert_null(h_told(&h, 1, CSL_MSG_TASK)); /* not here yet */
    h_connect(&h, 1);
    h_hello(&h, 1, true);
    assert_non_null(h_told(&h, 1, CSL_MSG_TASK));
    h_close(&h);
}

static void test_coord__restarted_in_a_round__folds_what_it_holds(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2});
    restore(CSL_STUDY_TRAINING, 1, false, 2);
    struct csl_coord_update u = {.round = 2, .bytes_total = 12, .block_count = 1};
    u.blocks[0].patients = 10;
    assert_int_equal(csl_coord_restore_update(h.c, h_ids[0], &u, NULL), CSL_OK);
    u.round = 1; /* of a round that is over */
    assert_int_equal(csl_coord_restore_update(h.c, h_ids[1], &u, NULL), CSL_OK);
    h_start(&h);
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 1);
    assert_int_equal(h_actions(&h, CSL_CA_FOLD), 1);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_HELD);
    assert_int_equal(h_progress(&h, 1), CSL_SITE_TASKED);
    h_connect(&h, 1);
    h_hello(&h, 1, true);
    assert_int_equal(h_told(&h, 1, CSL_MSG_TASK)->u.task.round, 2);
    h_deliver(&h, 1, 2);
    assert_int_equal(csl_coord_rounds_done(h.c), 2);
    h_close(&h);
}

static void test_coord__spool_lost_with_the_power__asks_again(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2});
    restore(CSL_STUDY_TRAINING, 0, false, 2);
    struct csl_coord_update u = {.round = 1, .bytes_total = 12, .block_count = 1};
    u.blocks[0].patients = 10;
    assert_int_equal(csl_coord_restore_update(h.c, h_ids[0], &u, NULL), CSL_OK);
    h.is_manual = true;
    h_start(&h);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_FOLDING);
    h.pending_count = 0;
    h_connect(&h, 0);
    h_hello(&h, 0, true);
    h_step(&h, (struct csl_coord_event){
                   .kind = CSL_CE_FOLDED, .site_index = 0, .round = 1, .code = CSL_E_CORRUPT});
    assert_int_equal(h_progress(&h, 0), CSL_SITE_TASKED);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 1);
    h.is_manual = false;
    h.folds[0] = 0; /* the fold that failed added nothing */
    h_deliver(&h, 0, 1);
    assert_int_equal(h_progress(&h, 0), CSL_SITE_HELD);
    h_close(&h);
}

/* Masked words that their manifest did not promise are found out only here. */
static void test_coord__update_wrong_when_folded__is_out_of_the_round(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2});
    restore(CSL_STUDY_TRAINING, 0, false, 3);
    struct csl_coord_update u = {.round = 1, .bytes_total = 12, .block_count = 1};
    u.blocks[0].patients = 10;
    assert_int_equal(csl_coord_restore_update(h.c, h_ids[0], &u, NULL), CSL_OK);
    h.is_manual = true;
    h_start(&h);
    h.pending_count = 0;
    for (uint32_t i = 0; i < 3; i++) {
        h_connect(&h, i);
        h_hello(&h, i, true);
    }
    h_step(&h, (struct csl_coord_event){
                   .kind = CSL_CE_FOLDED, .site_index = 0, .round = 1, .code = CSL_E_INVAL});
    assert_int_equal(h_progress(&h, 0), CSL_SITE_FAILED);
    assert_int_equal(h_told(&h, 0, CSL_MSG_REFUSED)->u.refused.code, CSL_E_INVAL);
    assert_null(h_told(&h, 0, CSL_MSG_TASK)); /* sending it again cannot help */
    h.is_manual = false;
    h.folds[0] = 0;
    h_deliver(&h, 1, 1);
    h_deliver(&h, 2, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1); /* without it */
    assert_int_equal(csl_coord_site(h.c, 0)->rounds_contributed, 0);
    h_close(&h);
}

static void test_coord__restarted_while_evaluating__asks_for_it_again(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2, .evaluate_every = 1});
    restore(CSL_STUDY_TRAINING, 1, true, 2);
    h_start(&h);
    assert_int_equal(csl_coord_phase(h.c), CSL_PHASE_EVALUATE);
    for (uint32_t i = 0; i < 2; i++) {
        h_connect(&h, i);
        h_hello(&h, i, true);
        assert_int_equal(h_told(&h, i, CSL_MSG_TASK)->u.task.type, CSL_TASK_EVALUATE);
        assert_int_equal(h_told(&h, i, CSL_MSG_TASK)->u.task.round, 1);
        h_evaluate(&h, i, 1);
    }
    assert_int_equal(csl_coord_phase(h.c), CSL_PHASE_COLLECT);
    assert_int_equal(h_told(&h, 0, CSL_MSG_TASK)->u.task.round, 2);
    h_close(&h);
    h_open(&h, &(struct h_study){.minimum = 2});
    restore(CSL_STUDY_EVALUATING, 2, true, 2);
    h_start(&h);
    for (uint32_t i = 0; i < 2; i++) {
        h_connect(&h, i);
        h_hello(&h, i, true);
        h_evaluate(&h, i, 2);
    }
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_RELEASED);
    h_close(&h);
}

static void test_coord__restarted_after_the_end__tells_who_comes(void **state)
{
    (void)state;
    static const enum csl_study_state ends[] = {CSL_STUDY_RELEASED, CSL_STUDY_ABORTED};
    for (size_t i = 0; i < 2; i++) {
        h_open(&h, &(struct h_study){.minimum = 2});
        restore(ends[i], i == 0 ? 2 : 1, i == 0, 2);
        h_start(&h);
        assert_int_equal(h_actions(&h, CSL_CA_FINISHED), 1);
        h_connect(&h, 0);
        h_hello(&h, 0, true);
        assert_int_equal(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.released, i == 0);
        h_connect(&h, 3);
        h_hello(&h, 3, false); /* never took part */
        assert_non_null(h_told(&h, 3, CSL_MSG_STUDY_ENDED));
        h_close(&h);
    }
}

static void test_coord__stored_state_does_not_fit__refused(void **state)
{
    struct csl_block_count block = {.block = 0, .patients = 10}, far = {.block = 2, .patients = 1};
    struct csl_coord_update u = {.round = 1, .bytes_total = 12, .block_count = 1};
    struct csl_coord *c;
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2});
    c = h.c;
    assert_int_equal(csl_coord_restore_member(c, "zz", CSL_MEMBER_ACCEPTED, 1, &block, 0, NULL),
                     CSL_E_NOTFOUND);
    assert_int_equal(
        csl_coord_restore_member(c, "aa", CSL_MEMBER_ACCEPTED, CSL_BLOCKS_MAX + 1, &block, 0, NULL),
        CSL_E_CORRUPT);
    assert_int_equal(csl_coord_restore_member(c, "aa", CSL_MEMBER_ACCEPTED, 1, &far, 0, NULL),
                     CSL_E_CORRUPT);
    assert_int_equal(csl_coord_restore_update(c, "aa", &u, NULL), CSL_E_CORRUPT); /* no member */
    assert_int_equal(csl_coord_restore_member(c, "aa", CSL_MEMBER_ACCEPTED, 1, &block, 0, NULL),
                     CSL_OK);
    u.blocks[0] = far;
    assert_int_equal(csl_coord_restore_update(c, "aa", &u, NULL), CSL_E_CORRUPT);
    u.blocks[0] = block;
    u.bytes_total = 8;
    assert_int_equal(csl_coord_restore_update(c, "aa", &u, NULL), CSL_E_CORRUPT);
    u.bytes_total = 12;
    assert_int_equal(csl_coord_restore_update(c, "aa", &u, NULL), CSL_OK);
    h_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coord__roster_that_cannot_work__refused),
        cmocka_unit_test(test_coord__all_answered__training_begins),
        cmocka_unit_test(test_coord__wait_passed_with_enough__training_begins),
        cmocka_unit_test(test_coord__wait_passed_with_too_few__starts_when_there_are_enough),
        cmocka_unit_test(test_coord__too_few_accept__aborted),
        cmocka_unit_test(test_coord__participants_named__waits_for_each),
        cmocka_unit_test(test_coord__participant_declines_and_all_answered__aborted),
        cmocka_unit_test(test_coord__all_declined_outside_a_rehearsal__stays_open),
        cmocka_unit_test(test_coord__member_changes_its_mind_while_open__declined),
        cmocka_unit_test(test_coord__answer_about_another_study__refused),
        cmocka_unit_test(test_coord__answer_without_fitting_blocks__refused),
        cmocka_unit_test(test_coord__training_began__cohort_is_fixed),
        cmocka_unit_test(test_coord__unknown_site_connects__dropped),
        cmocka_unit_test(test_coord__hello_of_another_version__refused_and_dropped),
        cmocka_unit_test(test_coord__message_out_of_order__dropped),
        cmocka_unit_test(test_coord__ping__answered_even_before_hello),
        cmocka_unit_test(test_coord__second_session_of_a_site__replaces_the_first),
        cmocka_unit_test(test_coord__session_replaced_during_an_upload__announced_again),
        cmocka_unit_test(test_coord__restarted_while_open__members_are_remembered),
        cmocka_unit_test(test_coord__restarted_in_a_round__folds_what_it_holds),
        cmocka_unit_test(test_coord__spool_lost_with_the_power__asks_again),
        cmocka_unit_test(test_coord__update_wrong_when_folded__is_out_of_the_round),
        cmocka_unit_test(test_coord__restarted_while_evaluating__asks_for_it_again),
        cmocka_unit_test(test_coord__restarted_after_the_end__tells_who_comes),
        cmocka_unit_test(test_coord__stored_state_does_not_fit__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
