/* The sites' votes on a model in the open: the core asks once for a verdict, and goes on or ends
 * with it. */
#include "tests/unit/coordinator/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct harness h;
static const uint8_t made[CSL_DIGEST_BYTES] = {1}, accepted[CSL_DIGEST_BYTES] = {2};

static void vote(uint32_t site, uint64_t round, enum csl_msg_vote said)
{
    struct csl_message m = {.kind = CSL_MSG_EVALUATION};
    m.u.evaluation = (struct csl_msg_evaluation){.round = round, .vote = said};
    h_say(&h, site, &m);
}

/* Two of two sites delivered round 1, and their votes are asked for. */
static void open_evaluation(uint32_t rounds)
{
    h_open(&h, &(struct h_study){.strategy = "fedavg, vote: {minimum_sites: 2}",
                                 .rounds = rounds,
                                 .evaluate_every = 1});
    h_start(&h);
    h_join(&h, 0, 10);
    h_join(&h, 1, 20);
    h_tick(&h, H_WAIT_NS);
    h_deliver(&h, 0, 1);
    h_deliver(&h, 1, 1);
    assert_int_equal(csl_coord_phase(h.c), CSL_PHASE_EVALUATE);
    h_forget(&h);
}

static void judged(const uint8_t *digest, const char *reason)
{
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_JUDGED,
                                        .round = 1,
                                        .digest = digest,
                                        .evaluated_digest = digest,
                                        .bytes = 40,
                                        .reason = reason});
}

static void test_coord_vote__all_voted__asks_once_and_waits(void **state)
{
    (void)state;
    open_evaluation(2);
    vote(0, 1, CSL_VOTE_WORSE);
    assert_int_equal(h_actions(&h, CSL_CA_JUDGE), 0);
    vote(1, 1, CSL_VOTE_FINE);
    assert_int_equal(h_actions(&h, CSL_CA_JUDGE), 1);
    assert_int_equal(h_last(&h, CSL_CA_JUDGE)->round, 1);
    assert_int_equal(csl_coord_site(h.c, 0)->vote, CSL_VOTE_WORSE);
    assert_int_equal(csl_coord_site(h.c, 1)->vote, CSL_VOTE_FINE);
    vote(0, 1, CSL_VOTE_FINE); /* the first one counts */
    h_tick(&h, 10 * h_round_ns(&h));
    assert_int_equal(csl_coord_site(h.c, 0)->vote, CSL_VOTE_WORSE);
    assert_int_equal(h_actions(&h, CSL_CA_JUDGE), 1);
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 0);
    judged(made, NULL);
    assert_int_equal(h_actions(&h, CSL_CA_OPEN_ROUND), 1);
    h_close(&h);
}

static void test_coord_vote__taken_back__next_round_begins_with_the_accepted_model(void **state)
{
    (void)state;
    open_evaluation(2);
    vote(0, 1, CSL_VOTE_WORSE);
    vote(1, 1, CSL_VOTE_WORSE);
    judged(accepted, NULL);
    const struct csl_message *task = h_told(&h, 0, CSL_MSG_TASK);
    assert_int_equal(task->u.task.round, 2);
    assert_memory_equal(task->u.task.model_digest, accepted, CSL_DIGEST_BYTES);
    assert_int_equal(csl_coord_rounds_done(h.c), 1);
    h_close(&h);
}

static void test_coord_vote__last_model_taken_back__the_accepted_one_is_released(void **state)
{
    (void)state;
    open_evaluation(1);
    vote(0, 1, CSL_VOTE_WORSE);
    vote(1, 1, CSL_VOTE_WORSE);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_EVALUATING);
    judged(accepted, NULL);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_RELEASED);
    assert_memory_equal(h_told(&h, 1, CSL_MSG_STUDY_ENDED)->u.study_ended.model_digest, accepted,
                        CSL_DIGEST_BYTES);
    h_close(&h);
}

static void test_coord_vote__verdict_with_a_reason__aborted(void **state)
{
    (void)state;
    open_evaluation(2);
    vote(0, 1, CSL_VOTE_WORSE);
    vote(1, 1, CSL_VOTE_WORSE);
    judged(accepted, "too many");
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_ABORTED);
    assert_string_equal(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.reason, "too many");
    h_close(&h);
}

/* What is being written is written first. */
static void test_coord_vote__aborted_while_it_is_judged__after_the_verdict(void **state)
{
    (void)state;
    open_evaluation(2);
    vote(0, 1, CSL_VOTE_WORSE);
    vote(1, 1, CSL_VOTE_WORSE);
    h_step(&h, (struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = "the operator"});
    assert_int_equal(h_actions(&h, CSL_CA_FINISHED), 0);
    judged(accepted, NULL);
    assert_int_equal(csl_coord_state(h.c), CSL_STUDY_ABORTED);
    assert_memory_equal(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.model_digest, accepted,
                        CSL_DIGEST_BYTES);
    assert_string_equal(h_told(&h, 0, CSL_MSG_STUDY_ENDED)->u.study_ended.reason, "the operator");
    h_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coord_vote__all_voted__asks_once_and_waits),
        cmocka_unit_test(test_coord_vote__taken_back__next_round_begins_with_the_accepted_model),
        cmocka_unit_test(test_coord_vote__last_model_taken_back__the_accepted_one_is_released),
        cmocka_unit_test(test_coord_vote__verdict_with_a_reason__aborted),
        cmocka_unit_test(test_coord_vote__aborted_while_it_is_judged__after_the_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
