/* Power fails at every step that makes something durable around an update: reserve, store, row,
 * charge, settle; before the step was done, and after it but before anybody was told. From then on
 * nothing can be written until the agent is started again, which must neither release anything
 * uncharged, nor charge twice, nor leave anything reserved. */
#include "tests/unit/site-agent/script.h"

#include "base/blob.h"
#include "base/log.h"
#include "site-agent/store/site_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS  3
#define EPSILON 2.0

#define PARAMETERS_MAX 64

static const struct script_study whole = {
    .name = "private", .epsilon = EPSILON, .delta = SCRIPT_DELTA, .rounds = ROUNDS};
static struct script w;

static struct {
    bool is_armed, has_failed, is_done_first;
    uint32_t step, fails_at; /* from 1 */
} power;

/* Is this step the one, or after it? Then *is_done says whether it is still done. */
static bool power_fails(bool *is_done)
{
    *is_done = true;
    if (!power.is_armed)
        return false;
    *is_done = !power.has_failed;
    if (power.has_failed)
        return true;
    if (++power.step != power.fails_at)
        return false;
    power.has_failed = true;
    *is_done = power.is_done_first;
    return true;
}

/* The linker sends the agent's calls here (--wrap). */
#define WRAP(name, parameters, arguments, e)                                                       \
    enum csl_code __real_##name parameters;                                                        \
    enum csl_code __wrap_##name parameters;                                                        \
    enum csl_code __wrap_##name parameters                                                         \
    {                                                                                              \
        bool is_done;                                                                              \
        bool fails = power_fails(&is_done);                                                        \
        enum csl_code code = is_done ? __real_##name arguments : CSL_OK;                           \
        return fails ? CSL_FAIL(e, CSL_E_IO, "the power failed") : code;                           \
    }

WRAP(csl_ledger_reserve,
     (struct csl_ledger * l, const struct csl_ledger_request *r, uint64_t *reservation,
      struct csl_err *err),
     (l, r, reservation, err), err)
WRAP(csl_ledger_charge,
     (struct csl_ledger * l, uint64_t reservation, const struct csl_ledger_charge *c,
      struct csl_err *err),
     (l, reservation, c, err), err)
WRAP(csl_ledger_settle,
     (struct csl_ledger * l, uint64_t reservation, bool was_released, struct csl_err *err),
     (l, reservation, was_released, err), err)
WRAP(csl_site_store_save,
     (struct csl_site_store * s, const struct csl_site_memory *m, struct csl_err *err), (s, m, err),
     err)
WRAP(csl_blob_sync, (struct csl_blobs * b, const char *name, struct csl_err *err), (b, name, err),
     err)

static bool is_unreadable; /* the disk */
enum csl_code __real_csl_blob_read(struct csl_blobs *b, const char *name, uint64_t offset,
                                   void *out, size_t n, struct csl_err *err);
enum csl_code __wrap_csl_blob_read(struct csl_blobs *b, const char *name, uint64_t offset,
                                   void *out, size_t n, struct csl_err *err);
enum csl_code __wrap_csl_blob_read(struct csl_blobs *b, const char *name, uint64_t offset,
                                   void *out, size_t n, struct csl_err *err)
{
    return is_unreadable ? CSL_FAIL(err, CSL_E_IO, "a read error")
                         : __real_csl_blob_read(b, name, offset, out, n, err);
}

/* The round as far as the site goes: true when the update was uploaded. */
static bool try_round(uint64_t round)
{
    struct csl_message m = script_task(&w, CSL_TASK_TRAIN, round, (float)round);
    script_say(&w, &m);
    if (w.heard_count == 1 && w.heard[0].kind == CSL_MSG_MODEL_REQUEST)
        script_grant_model(&w, round - 1);
    if (w.heard_count != 1 || w.heard[0].kind != CSL_MSG_UPDATE_READY)
        return false;
    uint32_t before = w.uploads;
    script_grant_update(&w, round, 0);
    return w.uploads == before + 1;
}

static void check_end(uint32_t step)
{
    struct csl_ledger_open_reservation open[1];
    struct csl_ledger *l = csl_agent_ledger(w.agent);
    if (script_count(&w, CSL_LEDGER_CHARGE) != ROUNDS || w.released_count != ROUNDS ||
        csl_ledger_open_reservations(l, open, 1) != 0)
        fail_msg("power failed at step %u: %u charges, %u releases, %u reservations", step,
                 script_count(&w, CSL_LEDGER_CHARGE), w.released_count,
                 (unsigned)csl_ledger_open_reservations(l, open, 1));
    assert_true(script_released_epsilon(&w) <= EPSILON);
    assert_true(script_spent(&w) <= EPSILON);
}

/* A whole study with the power failing once. False: there are fewer steps. */
static bool survive(uint32_t step, bool is_done_first)
{
    power = (__typeof__(power)){.fails_at = step, .is_done_first = is_done_first};
    script_open(&w, &whole);
    script_start(&w);
    script_enrol(&w);
    power.is_armed = true;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        bool is_done = try_round(round);
        if (power.has_failed) { /* whether it noticed or not, it is started again */
            script_stop(&w);
            power.is_armed = power.has_failed = false;
            script_start(&w);
            is_done = try_round(round);
        }
        if (!is_done)
            fail_msg("power failed at step %u: round %llu is not done", step,
                     (unsigned long long)round);
    }
    bool was_reached = !power.is_armed;
    check_end(step);
    script_close(&w);
    return was_reached;
}

static void sweep(bool is_done_first)
{
    uint32_t step = 1;
    while (survive(step, is_done_first))
        step++;
    assert_true(step > ROUNDS * 4); /* reserve, store, row and charge of every round, at least */
    print_message("power failed at each of %u steps\n", step - 1);
}

static void test_pitfall_34__power_fails_before_a_step__charged_once_nothing_leaks(void **state)
{
    (void)state;
    sweep(false);
}

static void test_pitfall_34__power_fails_after_a_step__charged_once_nothing_leaks(void **state)
{
    (void)state;
    sweep(true);
}

/* The local blocks as the site has them. */
static void take_own(float own[PARAMETERS_MAX])
{
    struct csl_err err = {.code = CSL_OK};
    assert_true(w.study->schema.parameters <= PARAMETERS_MAX);
    memset(own, 0, PARAMETERS_MAX * sizeof(*own));
    script_must(csl_agent_take_own(w.agent, own, &err), &err);
}

/* Two rounds, then the second again on another model, killed at a step of that. Whether the site's
 * own block is another one then. */
static bool own_changes(const struct script_study *study, uint32_t step, bool is_done_first)
{
    float before[PARAMETERS_MAX], after[PARAMETERS_MAX];
    power = (__typeof__(power)){.fails_at = step, .is_done_first = is_done_first};
    script_open(&w, study);
    script_start(&w);
    script_enrol(&w);
    assert_true(script_round(&w, 1, 1, NULL));
    assert_true(script_round(&w, 2, 2, NULL));
    take_own(before);
    power.is_armed = true;
    struct csl_message again = script_task(&w, CSL_TASK_TRAIN, 2, 5);
    script_say(&w, &again);
    script_grant_model(&w, 1);
    assert_true(power.has_failed);
    script_stop(&w);
    power.is_armed = power.has_failed = false;
    script_start(&w);
    take_own(after);
    script_close(&w);
    return memcmp(before, after, sizeof(before)) != 0;
}

/* Half of the model is at the coordinator, half here: the half that is here is of the training
 * whose update the row names, and under privacy of nothing that was not charged. */
static void test_agent_crash__round_trained_again__own_blocks_are_those_of_the_row(void **state)
{
    const struct script_study plain = {
        .name = "own", .rounds = ROUNDS, .has_no_privacy = true, .has_local = true};
    struct script_study private = whole;
    (void)state;
    private.has_local = true;
    for (uint32_t step = 1; step <= 3; step++) /* stored: own blocks, update; row */
        assert_false(own_changes(&plain, step, false));
    assert_true(own_changes(&plain, 3, true));
    for (uint32_t step = 1; step <= 4; step++) /* reserved, then as above */
        assert_false(own_changes(&private, step, false));
    assert_true(own_changes(&private, 4, true));
}

/* A disk that cannot be read says nothing about the bytes that came. */
static void test_agent_crash__part_of_a_model_that_cannot_be_read__is_not_thrown_away(void **state)
{
    const struct script_study plain = {
        .name = "own", .rounds = ROUNDS, .has_no_privacy = true, .has_local = true};
    char hex[33], name[CSL_ID_MAX];
    (void)state;
    script_open(&w, &plain);
    script_start(&w);
    script_enrol(&w);
    struct csl_message first = script_task(&w, CSL_TASK_TRAIN, 1, 1);
    script_say(&w, &first);
    is_unreadable = true;
    script_grant_model(&w, 0);
    is_unreadable = false;
    csl_hex(first.u.task.model_digest, 16, hex);
    snprintf(name, sizeof(name), "model-%s", hex);
    assert_true(script_has_blob(&w, name));
    assert_int_equal(w.downloads, 1);
    script_close(&w);
}

/* Killed in round 1 with so many steps done: reserved; stored; its row written. */
static void kill_in_round_one(uint32_t step)
{
    power = (__typeof__(power)){.fails_at = step, .is_done_first = true};
    script_open(&w, &whole);
    script_start(&w);
    script_enrol(&w);
    power.is_armed = true;
    assert_false(try_round(1));
    script_stop(&w);
    power.is_armed = power.has_failed = false;
    script_start(&w);
}

static uint32_t count_settled(bool was_released)
{
    struct csl_ledger *l = csl_agent_ledger(w.agent);
    struct csl_ledger_entry e;
    struct csl_err err = {.code = CSL_OK};
    uint32_t count = 0;
    for (uint64_t i = 0; i < csl_ledger_size(l); i++) {
        script_must(csl_ledger_read(l, i, &e, &err), &err);
        count += e.kind == CSL_LEDGER_SETTLE && e.u.settle.was_released == was_released;
    }
    return count;
}

static size_t open_reservations(void)
{
    struct csl_ledger_open_reservation open[1];
    return csl_ledger_open_reservations(csl_agent_ledger(w.agent), open, 1);
}

/* The folder may be a copy from before the update left: nothing that is found comes back. */
static void test_pitfall_34__killed_with_a_reservation__found_and_counted(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= 3; step++) {
        kill_in_round_one(step);
        bool is_made = step == 3; /* its row was durable: charged as reserved */
        assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), is_made ? 1 : 0);
        assert_int_equal(open_reservations(), is_made ? 0 : 1);
        assert_true(script_spent(&w) > 0);
        assert_int_equal(count_settled(false), 0);
        assert_int_equal(w.released_count, 0);
        script_close(&w);
    }
}

/* The round once more: the reservation serves it, and nothing is counted twice. */
static void test_pitfall_34__killed_with_a_reservation__serves_its_round(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= 2; step++) {
        kill_in_round_one(step);
        double once = script_spent(&w);
        assert_true(try_round(1));
        assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), 1);
        assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
        assert_true(script_spent(&w) == once);
        for (uint64_t round = 2; round <= ROUNDS; round++)
            assert_true(try_round(round));
        check_end(step);
        script_close(&w);
    }
}

/* Another round instead: it stays spent, and the site takes part in every round that is left. */
static void test_pitfall_34__killed_with_a_reservation__spent_when_the_round_is_over(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= 2; step++) {
        kill_in_round_one(step);
        for (uint64_t round = 2; round <= ROUNDS; round++)
            assert_true(try_round(round));
        assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), ROUNDS - 1);
        assert_int_equal(w.released_count, ROUNDS - 1);
        assert_int_equal(open_reservations(), 0);
        assert_int_equal(count_settled(false), 0);
        assert_int_equal(count_settled(true), 1);
        assert_true(script_spent(&w) <= EPSILON);
        assert_true(script_spent(&w) > script_released_epsilon(&w));
        script_close(&w);
    }
}

/* Found, and the study ends: it does not stay open, where windows would count it for ever. */
static void test_pitfall_34__killed_with_a_reservation__spent_when_the_study_ends(void **state)
{
    struct csl_message end = {.kind = CSL_MSG_STUDY_ENDED};
    (void)state;
    kill_in_round_one(1);
    double once = script_spent(&w);
    script_say(&w, &end);
    assert_int_equal(open_reservations(), 0);
    assert_int_equal(count_settled(true), 1);
    assert_true(script_spent(&w) == once);
    script_close(&w);
}

/* Found, and its training is cancelled: still counted, and still there for its round. */
static void test_pitfall_34__found_and_cancelled__counted_and_serves_its_round(void **state)
{
    (void)state;
    kill_in_round_one(1);
    double once = script_spent(&w);
    struct csl_message first = script_task(&w, CSL_TASK_TRAIN, 1, 1);
    w.heard_count = 0;
    script_send(&w, &first);
    script_offer(&w); /* of the same study, while it trains */
    assert_true(script_spent(&w) == once);
    assert_int_equal(count_settled(false), 0);
    script_stop(&w);
    script_start(&w);
    assert_true(try_round(1));
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
    assert_true(script_spent(&w) == once);
    script_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agent_crash__round_trained_again__own_blocks_are_those_of_the_row),
        cmocka_unit_test(test_agent_crash__part_of_a_model_that_cannot_be_read__is_not_thrown_away),
        cmocka_unit_test(test_pitfall_34__power_fails_before_a_step__charged_once_nothing_leaks),
        cmocka_unit_test(test_pitfall_34__power_fails_after_a_step__charged_once_nothing_leaks),
        cmocka_unit_test(test_pitfall_34__killed_with_a_reservation__found_and_counted),
        cmocka_unit_test(test_pitfall_34__killed_with_a_reservation__serves_its_round),
        cmocka_unit_test(test_pitfall_34__killed_with_a_reservation__spent_when_the_round_is_over),
        cmocka_unit_test(test_pitfall_34__killed_with_a_reservation__spent_when_the_study_ends),
        cmocka_unit_test(test_pitfall_34__found_and_cancelled__counted_and_serves_its_round),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
