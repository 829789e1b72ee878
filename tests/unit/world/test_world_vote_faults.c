/* Votes in the open, with a coordinator and sites that are killed at any time and come back: the
 * same models are taken back, and the same one is released. One site that finds a model worse by
 * anything is enough, so that honest steps make such models. */
#include "tests/unit/world/faults.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS    6
#define SCHEDULES 24
#define STEPS     "fedavgm, momentum: 0.9, server_learning_rate: 4"
#define VOTE      ", vote: {worse_max: 0, tolerance: 0, rejected_max: 6}"
#define SHUTS     ", vote: {worse_max: 0, tolerance: 0, rejected_max: 1}"

static void run(const char *strategy, uint64_t schedule, const struct faults *faults,
                uint8_t digest[CSL_DIGEST_BYTES], uint32_t *kills)
{
    struct fixture f;
    fixture_open(&f, strategy, ROUNDS);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        fixture_validate(f.records[i]);
    *kills += faults_run(&f, schedule, faults, digest);
    fixture_close(&f);
}

static void test_world_vote_faults__any_kills__same_model(void **state)
{
    const struct faults calm = {0}, kills = {.cut_probability = 0.01, .kill_probability = 0.02};
    uint8_t without[CSL_DIGEST_BYTES], expected[CSL_DIGEST_BYTES], digest[CSL_DIGEST_BYTES];
    uint32_t count = 0;
    (void)state;
    run(STEPS, 0, &calm, without, &count);
    run(STEPS VOTE, 0, &calm, expected, &count);
    assert_memory_not_equal(without, expected, CSL_DIGEST_BYTES); /* else nothing was taken back */
    for (uint64_t schedule = 1; schedule <= SCHEDULES; schedule++) {
        run(STEPS VOTE, schedule, &kills, digest, &count);
        assert_memory_equal(digest, expected, CSL_DIGEST_BYTES);
    }
    assert_true(count > SCHEDULES);
}

static void test_world_vote_faults__shut_and_any_kills__same_end(void **state)
{
    const struct faults calm = {.end = "rounds rejected in a row: 1; round"},
                        kills = {.cut_probability = 0.01,
                                 .kill_probability = 0.02,
                                 .end = "rounds rejected in a row: 1; round"};
    uint8_t expected[CSL_DIGEST_BYTES], digest[CSL_DIGEST_BYTES];
    uint32_t count = 0;
    (void)state;
    run(STEPS SHUTS, 0, &calm, expected, &count);
    for (uint64_t schedule = 1; schedule <= SCHEDULES; schedule++) {
        run(STEPS SHUTS, schedule, &kills, digest, &count);
        assert_memory_equal(digest, expected, CSL_DIGEST_BYTES);
    }
    assert_true(count > 0);
}

static int quiet(void **state)
{
    (void)state;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_vote_faults__any_kills__same_model),
        cmocka_unit_test(test_world_vote_faults__shut_and_any_kills__same_end),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
