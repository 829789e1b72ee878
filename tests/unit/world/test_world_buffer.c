/* A study that is buffered, in virtual time, with real state on disk: sites of different speeds,
 * cut links and killed processes. The harness checks after every instant that the cores' invariants
 * hold and that no update is in two models. */
#include "tests/unit/world/faults.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS    8
#define SCHEDULES 40
#define LOSS_GOAL 0.3 /* of log 2 before the first round */

static const uint64_t speeds[FIXTURE_SITES] = {CSL_NS_PER_S, CSL_NS_PER_S, 10 * CSL_NS_PER_S};

/* Also to the bit under faults: in a buffer of all sites every update is of the newest model. */
static void test_world_buffer__of_all_sites__fedavg_to_the_bit(void **state)
{
    uint8_t plain[CSL_DIGEST_BYTES], buffered[CSL_DIGEST_BYTES];
    struct faults_seen seen = {.used = 0};
    struct fixture f;
    (void)state;
    fixture_open(&f, "fedavg, server_learning_rate: 0.7", ROUNDS);
    (void)faults_run(&f, 0, &(struct faults){.end = NULL}, plain);
    fixture_close(&f);
    fixture_open(&f, "fedbuff, server_learning_rate: 0.7, buffer: {updates: 3, staleness_max: 5}",
                 ROUNDS);
    (void)faults_run(&f, 0, &(struct faults){.period_ns = speeds}, buffered);
    assert_memory_equal(plain, buffered, CSL_DIGEST_BYTES);
    for (uint64_t schedule = 1; schedule <= SCHEDULES; schedule++) {
        (void)faults_run(
            &f, schedule,
            &(struct faults){.cut_probability = 0.02, .kill_probability = 0.02, .seen = &seen},
            buffered);
        assert_memory_equal(plain, buffered, CSL_DIGEST_BYTES);
    }
    assert_int_equal(seen.used, SCHEDULES * ROUNDS * FIXTURE_SITES);
    assert_int_equal(seen.stale, 0);
    fixture_close(&f);
}

static struct faults_seen timed(const char *strategy, uint32_t rounds)
{
    uint8_t digest[CSL_DIGEST_BYTES];
    struct faults_seen seen = {.loss_goal = LOSS_GOAL};
    struct fixture f;
    fixture_open(&f, strategy, rounds);
    (void)faults_run(&f, 1, &(struct faults){.period_ns = speeds, .seen = &seen}, digest);
    fixture_close(&f);
    return seen;
}

/* One site is ten times slower than the others. For the same number of updates in the model. */
static void test_world_buffer__one_slow_site__does_not_hold_up_the_others(void **state)
{
    (void)state;
    struct faults_seen plain = timed("fedavg", 20);
    struct faults_seen buffered = timed("fedbuff, buffer: {updates: 2, staleness_max: 20}", 30);
    print_message("60 updates: in rounds %.0f s, buffered %.0f s, %u of them of an older model\n",
                  (double)plain.took_ns / CSL_NS_PER_S, (double)buffered.took_ns / CSL_NS_PER_S,
                  (unsigned)buffered.stale);
    assert_int_equal(plain.used, 60);
    assert_int_equal(buffered.used, 60);
    assert_true(buffered.stale > 0); /* the slow site is in the model as well */
    assert_true(4 * buffered.took_ns < plain.took_ns);
    print_message("training loss below %.2f: in rounds after %.0f s, buffered after %.0f s\n",
                  LOSS_GOAL, (double)plain.goal_ns / CSL_NS_PER_S,
                  (double)buffered.goal_ns / CSL_NS_PER_S);
    assert_true(buffered.goal_ns > 0 && 2 * buffered.goal_ns < plain.goal_ns);
}

static void check_ends(const char *strategy, uint32_t rounds, const struct faults *faults,
                       struct faults_seen *seen)
{
    uint8_t digest[CSL_DIGEST_BYTES];
    struct faults f = *faults;
    struct fixture fixture;
    uint32_t kills = 0;
    *seen = (struct faults_seen){.used = 0};
    f.seen = seen;
    fixture_open(&fixture, strategy, rounds);
    for (uint64_t schedule = 1; schedule <= SCHEDULES; schedule++)
        kills += faults_run(&fixture, schedule, &f, digest);
    print_message("%u updates used, %u of an older model, %u processes killed\n",
                  (unsigned)seen->used, (unsigned)seen->stale, (unsigned)kills);
    assert_true(faults->kill_probability <= 0 || kills >= SCHEDULES);
    fixture_close(&fixture);
}

static void test_world_buffer__killed_and_cut__ends_and_no_update_counts_twice(void **state)
{
    const struct faults rough = {.cut_probability = 0.02, .kill_probability = 0.02};
    struct faults uneven = rough;
    struct faults_seen seen;
    (void)state;
    uneven.period_ns = speeds;
    uneven.kill_probability = 0.005; /* or the slow site never gets to an end */
    check_ends("fedbuff, buffer: {updates: 2, staleness_max: 20}", 3 * ROUNDS, &uneven, &seen);
    assert_int_equal(seen.used, SCHEDULES * 3 * ROUNDS * 2);
    assert_true(seen.stale > 0);
    check_ends("fedbuff, buffer: {updates: 1, staleness_max: 2}", ROUNDS, &rough, &seen);
    assert_int_equal(seen.used, SCHEDULES * ROUNDS);
    assert_true(seen.stale > 0);
}

/* A site so slow that the study allows none of its updates: nobody waits for it. */
static void test_world_buffer__update_too_old__study_goes_on_without_it(void **state)
{
    const struct faults uneven = {.period_ns = speeds};
    struct faults_seen seen;
    (void)state;
    check_ends("fedbuff, buffer: {updates: 2, staleness_max: 0}", ROUNDS, &uneven, &seen);
    assert_int_equal(seen.used, SCHEDULES * ROUNDS * 2);
    assert_int_equal(seen.stale, 0);
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_buffer__of_all_sites__fedavg_to_the_bit),
        cmocka_unit_test(test_world_buffer__one_slow_site__does_not_hold_up_the_others),
        cmocka_unit_test(test_world_buffer__killed_and_cut__ends_and_no_update_counts_twice),
        cmocka_unit_test(test_world_buffer__update_too_old__study_goes_on_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
