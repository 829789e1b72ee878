/* The coordinator's core in a census: one round, and nobody is sent what came of it.
 */
#include "tests/unit/coordinator/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct harness h;

static void open_counted(void)
{
    h_open(&h, &(struct h_study){.minimum = 2, .is_counted = true});
    h_start(&h);
    h_join(&h, 0, 10);
    h_join(&h, 1, 20);
    h_tick(&h, H_WAIT_NS);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_TRAINING);
}

static void ask_for_model(uint64_t round)
{
    struct csl_message m = {.kind = CSL_MSG_MODEL_REQUEST};
    h_forget(&h);
    m.u.model_request.round = round;
    h_say(&h, 0, &m);
}

static void test_coord_census__one_round__released_without_an_evaluation(void **state)
{
    (void)state;
    open_counted();
    h_deliver(&h, 0, 1);
    h_forget(&h);
    h_deliver(&h, 1, 1);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_RELEASED);
    assert_int_equal(h_told_count(&h, CSL_MSG_TASK), 0);
    assert_true(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.released);
    h_close(&h);
}

/* The zeros that the round begins with are anybody's; the sum is the coordinator's. */
static void test_coord_census__model_request__never_granted_for_the_sum(void **state)
{
    (void)state;
    open_counted();
    ask_for_model(0);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_MODEL), 1);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    ask_for_model(1);
    assert_int_equal(h_actions(&h, CSL_CA_GRANT_MODEL), 0);
    h_close(&h);
}

static void test_coord_census__after__does_not_evaluate(void **state)
{
    (void)state;
    h_open(&h, &(struct h_study){.minimum = 2, .is_counted = true});
    struct csl_coord_snapshot s = csl_coord_after(h.study, 1);
    assert_true(s.state == CSL_STUDY_EVALUATING && s.rounds_done == 1 && !s.is_evaluating);
    h_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coord_census__one_round__released_without_an_evaluation),
        cmocka_unit_test(test_coord_census__model_request__never_granted_for_the_sum),
        cmocka_unit_test(test_coord_census__after__does_not_evaluate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
