/* The coordinator's core under masks: who counts, too few updates, a round that is opened again. */
#include "tests/unit/coordinator/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct harness h;

/* Four sites of which one may collude: a vote needs three. */
static void open_training(void)
{
    h_open(&h, &(struct h_study){.minimum = 3, .rounds = 3, .has_masks = true});
    h_start(&h);
    for (uint32_t i = 0; i < 4; i++)
        h_join(&h, i, 10);
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_forget(&h);
}

static void say_of(enum csl_coord_event_kind kind, uint32_t site)
{
    h_step(&h, (struct csl_coord_event){.kind = kind, .site_index = site, .round = 1});
}

static void test_coord_masked__absent_sites__are_not_waited_for(void **state)
{
    (void)state;
    open_training();
    say_of(CSL_CE_ABSENT, 3);
    assert_false(csl_coord_site(h.c, 3)->in_cohort);
    for (uint32_t i = 0; i < 3; i++)
        h_deliver(&h, i, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_true(csl_coord_site(h.c, 3)->in_cohort); /* of the next round again */
    h_close(&h);
}

static void test_coord_masked__silent_sites__count_in_the_quorum(void **state)
{
    (void)state;
    open_training();
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    say_of(CSL_CE_SILENT, 2);
    assert_int_equal(h_actions(&h, CSL_CA_SHORT), 0); /* one may still come */
    say_of(CSL_CE_SILENT, 3);
    assert_int_equal(h_actions(&h, CSL_CA_SHORT), 1); /* two of three */
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
    h_close(&h);
}

static void test_coord_masked__held_update__is_never_left_out(void **state)
{
    (void)state;
    open_training();
    h_deliver(&h, 0, 1);
    say_of(CSL_CE_ABSENT, 0);
    say_of(CSL_CE_SILENT, 0);
    assert_int_equal(csl_coord_site(h.c, 0)->progress, CSL_SITE_HELD);
    assert_true(csl_coord_site(h.c, 0)->in_cohort);
    h_close(&h);
}

static void test_coord_masked__deadline_with_too_few__said_and_waited_on(void **state)
{
    (void)state;
    open_training();
    h_deliver(&h, 0, 1);
    h_tick(&h, h_round_ns(&h));
    assert_int_equal(h_actions(&h, CSL_CA_SHORT), 1);
    h_tick(&h, h_round_ns(&h) / 2);
    assert_int_equal(h_actions(&h, CSL_CA_SHORT), 1); /* not with every event */
    h_deliver(&h, 1, 1);                              /* updates that come after all */
    h_deliver(&h, 2, 1);
    h_deliver(&h, 3, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    h_close(&h);
}

static void test_coord_masked__reopened__all_are_tasked_again(void **state)
{
    (void)state;
    open_training();
    h_deliver(&h, 0, 1);
    h_fail(&h, 1, 1);
    h_forget(&h);
    say_of(CSL_CE_REOPEN, 0);
    assert_int_equal(h_actions(&h, CSL_CA_FORGET_UPDATES), 1);
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(h_told(&h, i, CSL_MSG_TASK)->u.task.round, 1);
        assert_int_equal(csl_coord_site(h.c, i)->update.round, 0);
        h_deliver(&h, i, 1);
    }
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(csl_coord_site(h.c, 0)->rounds_contributed, 1);
    h_close(&h);
}

static void test_coord_masked__reopened_during_a_fold__waits_for_it(void **state)
{
    (void)state;
    open_training();
    h.is_manual = true;
    h_deliver(&h, 0, 1);
    h_forget(&h);
    say_of(CSL_CE_REOPEN, 0);
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 0);
    assert_true(h_answer_one(&h));
    assert_int_equal(h_actions(&h, CSL_CA_SAVE_UPDATE), 0); /* it counts in nothing any more */
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 1);
    h_close(&h);
}

/* While the votes are collected, the round waits as one that is committed. */
static void test_coord_masked__reopened_while_it_votes__aborted_if_that_was_asked(void **state)
{
    (void)state;
    for (int aborts = 0; aborts < 2; aborts++) {
        open_training();
        h.is_manual = true;
        for (uint32_t i = 0; i < 4; i++)
            h_deliver(&h, i, 1);
        while (csl_coord_phase(h.c) != CSL_PHASE_AGGREGATE)
            assert_true(h_answer_one(&h));
        if (aborts == 1)
            h_step(&h, (struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = "the operator"});
        h_forget(&h);
        say_of(CSL_CE_REOPEN, 0);
        assert_int_equal(csl_coord_state(h.c),
                         aborts == 1 ? CSL_STUDY_ABORTED : CSL_STUDY_TRAINING);
        assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), aborts == 1 ? 0 : 1);
        assert_int_equal(csl_coord_rounds_done(h.c), 0);
        h_close(&h);
    }
}

static void test_coord_masked__said_of_another_round__ignored(void **state)
{
    (void)state;
    open_training();
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_REOPEN, .round = 2});
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_ABSENT, .site_index = 0, .round = 2});
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 0);
    assert_true(csl_coord_site(h.c, 0)->in_cohort);
    h_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coord_masked__absent_sites__are_not_waited_for),
        cmocka_unit_test(test_coord_masked__silent_sites__count_in_the_quorum),
        cmocka_unit_test(test_coord_masked__held_update__is_never_left_out),
        cmocka_unit_test(test_coord_masked__deadline_with_too_few__said_and_waited_on),
        cmocka_unit_test(test_coord_masked__reopened__all_are_tasked_again),
        cmocka_unit_test(test_coord_masked__reopened_during_a_fold__waits_for_it),
        cmocka_unit_test(test_coord_masked__reopened_while_it_votes__aborted_if_that_was_asked),
        cmocka_unit_test(test_coord_masked__said_of_another_round__ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
