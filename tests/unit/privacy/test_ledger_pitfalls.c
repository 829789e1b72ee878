/* The pitfalls of privacy accounting that a ledger can fall into, by their numbers in the design;
 * the rollback, number 33, is in test_ledger_heads.c. */
#include "privacy/ledger/rules.h"
#include "tests/unit/privacy/ledger_forge.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct world w;

static int make(void **state)
{
    (void)state;
    world_make(&w);
    world_open(&w);
    struct csl_ledger_policy p = policy_of(10, 1e-3, 0);
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    world_remove(&w);
    return 0;
}

static void test_ledger_pitfalls__pitfall_2__steps_in_ledger_are_steps_that_ran(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 10);
    uint64_t executed = 0, in_ledger = 0, id = 0;
    world_register(&w, &s);
    for (uint32_t round = 1; round <= 5; round++) /* early stop; round 3 is repeated */
        for (uint32_t attempt = 0; attempt < (round == 3 ? 3u : 1u); attempt++) {
            struct csl_ledger_request r = request_of(&s, round, attempt);
            struct csl_ledger_charge c = charge_of(&r, &s);
            must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
            c.events[0].steps = 10 - round;
            executed += c.events[0].steps;
            must(csl_ledger_charge(w.l, id, &c, &w.err), &w.err);
            must(csl_ledger_settle(w.l, id, true, &w.err), &w.err);
        }
    world_open(&w); /* a resumed run */
    for (uint64_t i = 0; i < csl_ledger_size(w.l); i++) {
        struct csl_ledger_entry e;
        must(csl_ledger_read(w.l, i, &e, &w.err), &w.err);
        if (e.kind == CSL_LEDGER_CHARGE)
            in_ledger += e.u.charge.events[0].steps;
    }
    assert_int_equal(in_ledger, executed);
    assert_int_equal(world_spent(&w, &s).steps_charged, executed);
    struct csl_ledger_request r = request_of(&s, 6, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
    c.events[0].steps = 11; /* an over-run */
    assert_int_equal(csl_ledger_charge(w.l, id, &c, &w.err), CSL_E_DENIED);
}

static void test_ledger_pitfalls__pitfall_2__more_attempts_than_rounds__refused(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 10);
    uint64_t id = 0;
    s.rounds = 3; /* what the study promises; the budget would allow many more */
    world_register(&w, &s);
    run_round(&w, &s, 1, 0);
    run_round(&w, &s, 1, 1);
    must(world_reserve(&w, &s, 2, 0, &id), &w.err);
    uint64_t size = csl_ledger_size(w.l);
    assert_int_equal(world_reserve(&w, &s, 3, 0, &id), CSL_E_DENIED); /* all are counted */
    assert_int_equal(csl_ledger_size(w.l), size);
    must(csl_ledger_settle(w.l, id, false, &w.err), &w.err); /* one comes back */
    run_round(&w, &s, 2, 1);
    for (uint64_t round = 1; round <= 3; round++)
        assert_int_equal(world_reserve(&w, &s, round, 2, &id), CSL_E_DENIED);
    assert_true(world_spent(&w, &s).epsilon <= zcdp_epsilon(30, DELTA));
    assert_false(world_spent(&w, &s).is_stopped);
}

/* The same of a site that writes such a reservation itself, and signs it. */
static void
test_ledger_pitfalls__pitfall_2__more_attempts_than_rounds__found_by_anyone(void **state)
{
    (void)state;
    static struct forge f;
    struct csl_ledger_study s = study_number(1, 10);
    struct csl_sign_key key;
    struct csl_ledger_verdict v;
    s.rounds = 1;
    world_register(&w, &s);
    run_round(&w, &s, 1, 0);
    world_export(&w);
    must(csl_sign_load(&key, w.key, &w.err), &w.err);
    forge_read(&f, w.out);
    struct csl_ledger_entry e = forge_entry(&f, 3);
    assert_int_equal(e.kind, CSL_LEDGER_RESERVE);
    e.u.request.attempt = 1;
    e.epsilon_before = world_spent(&w, &s).epsilon;
    e.epsilon_after = zcdp_epsilon(20, DELTA);
    forge_insert(&f, f.count, &e);
    forge_chain(&f, f.count - 1, "consilium-ledger/north", &key);
    struct csl_ledger_verify_options o = {.public_key = key.public_key, .price = zcdp_price};
    struct csl_msg text = forge_text(&f);
    assert_int_equal(verify_bytes(csl_msg_span(&text), &o, &v), CSL_E_CORRUPT);
    assert_int_equal(v.bad_entry, f.count - 1);
    assert_non_null(strstr(v.why, "all rounds of the plan"));
    csl_msg_release(&text);
    csl_sign_wipe(&key);
}

static void test_ledger_pitfalls__pitfall_14__replayed_round_is_never_free(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 5);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s), found;
    uint64_t id = 0;
    run_round(&w, &s, 1, 0);
    run_round(&w, &s, 2, 0);
    assert_int_equal(world_reserve(&w, &s, 1, 0, &id), CSL_E_EXISTS);
    assert_true(csl_ledger_find_charge(w.l, s.digest, 1, &found));
    assert_memory_equal(found.update_digest, c.update_digest, sizeof(c.update_digest));
    assert_false(csl_ledger_find_charge(w.l, s.digest, 3, &found));
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(10, DELTA));
    run_round(&w, &s, 1, 1);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(15, DELTA));
    assert_true(csl_ledger_find_charge(w.l, s.digest, 1, &found));
    assert_int_equal(found.attempt, 1);
    world_open(&w);
    assert_int_equal(world_reserve(&w, &s, 1, 1, &id), CSL_E_EXISTS);
}

static void test_ledger_pitfalls__pitfall_25__studies_of_a_cohort_add_up(void **state)
{
    (void)state;
    struct csl_ledger_study a = study_number(1, 4), b = study_number(2, 4), c = study_number(3, 4);
    struct csl_ledger_spent x;
    uint64_t id = 0;
    double one = zcdp_epsilon(4, DELTA);
    struct csl_ledger_policy p = policy_of(2.5 * one, 1e-3, 0);
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    run_round(&w, &a, 1, 0);
    run_round(&w, &b, 1, 0);
    csl_ledger_spent_by_cohort(w.l, "ward", 0, &x);
    assert_int_equal(x.studies, 2);
    assert_true(x.epsilon >= 2 * one && x.epsilon < 2 * one * (1 + 1e-15));
    assert_true(x.delta >= 2 * DELTA && x.delta < 2 * DELTA * (1 + 1e-15));
    world_register(&w, &c);
    assert_int_equal(world_reserve(&w, &c, 1, 0, &id), CSL_E_BUDGET);
}

static void test_ledger_pitfalls__pitfall_30__rehearsals_are_charged(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4), t = study_number(2, 4);
    s.is_rehearsal = true;
    run_round(&w, &s, 1, 0);
    assert_true(world_last(&w).kind == CSL_LEDGER_CHARGE && world_last(&w).u.charge.is_rehearsal);
    run_round(&w, &t, 1, 0);
    assert_true(world_spent(&w, &s).epsilon == world_spent(&w, &t).epsilon &&
                world_spent(&w, &s).epsilon > 0);
    struct csl_ledger_spent x;
    csl_ledger_spent_by_cohort(w.l, "ward", 0, &x);
    assert_int_equal(x.studies, 2);
}

static void test_ledger_pitfalls__pitfall_32__clock_set_back_opens_nothing(void **state)
{
    (void)state;
    struct csl_ledger_study a = study_number(1, 4), b = study_number(2, 4);
    double one = zcdp_epsilon(4, DELTA);
    struct csl_ledger_policy p = policy_of(1.5 * one, 1e-3, YEAR);
    uint64_t id = 0, start = w.now_s;
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    run_round(&w, &a, 1, 0);
    world_register(&w, &b);
    uint64_t then = world_last(&w).time_s;
    w.now_s = start - 30 * YEAR / 2;
    assert_int_equal(world_reserve(&w, &b, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(world_last(&w).kind, CSL_LEDGER_REFUSE);
    assert_int_equal(world_last(&w).time_s, then);
    struct csl_ledger_entry e;
    must(csl_ledger_read(w.l, csl_ledger_size(w.l) - 2, &e, &w.err), &w.err);
    assert_int_equal(e.kind, CSL_LEDGER_CLOCK);
    assert_int_equal(e.u.clock.wall_s, w.now_s);
    w.now_s = start + YEAR - 1;
    assert_int_equal(world_reserve(&w, &b, 1, 1, &id), CSL_E_BUDGET);
    w.now_s = start + 2 * YEAR; /* now it is really over, and the jump is in the log */
    assert_int_equal(world_reserve(&w, &b, 1, 2, &id), CSL_OK);
    must(csl_ledger_read(w.l, csl_ledger_size(w.l) - 2, &e, &w.err), &w.err);
    assert_int_equal(e.kind, CSL_LEDGER_CLOCK);
    w.now_s = start; /* back again: the ledger's time stays */
    struct csl_ledger_study c = study_number(3, 4);
    world_register(&w, &c);
    assert_int_equal(world_reserve(&w, &c, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(world_last(&w).time_s, start + 2 * YEAR);
}

static void test_ledger_pitfalls__open_reservation__counts_in_every_window(void **state)
{
    (void)state;
    struct csl_ledger_study a = study_number(1, 4), b = study_number(2, 4);
    struct csl_ledger_policy p = policy_of(1.5 * zcdp_epsilon(4, DELTA), 1e-3, YEAR);
    uint64_t id = 0, other = 0;
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    world_register(&w, &a);
    world_register(&w, &b);
    must(world_reserve(&w, &a, 1, 0, &id), &w.err);
    w.now_s += 5 * YEAR;
    assert_int_equal(world_reserve(&w, &b, 1, 0, &other), CSL_E_BUDGET);
    must(csl_ledger_settle(w.l, id, false, &w.err), &w.err);
    assert_int_equal(world_reserve(&w, &b, 1, 0, &other), CSL_OK);
}

static void test_ledger_pitfalls__pitfall_34__restart_hands_the_reservation_back(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    struct csl_ledger_open_reservation open[2];
    uint64_t first = 0, again = 0;
    world_register(&w, &s);
    must(world_reserve(&w, &s, 1, 0, &first), &w.err);
    for (int crash = 0; crash < 50; crash++) {
        world_open(&w);
        must(world_reserve(&w, &s, 1, 0, &again), &w.err);
        assert_int_equal(again, first);
        assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(4, DELTA));
    }
    assert_int_equal(csl_ledger_open_reservations(w.l, open, 2), 1);
    assert_int_equal(open[0].reservation, first);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    must(csl_ledger_charge(w.l, first, &c, &w.err), &w.err);
    world_open(&w); /* the crash came between charge and release, or right after it */
    must(csl_ledger_settle(w.l, first, false, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(4, DELTA));
}

static void test_ledger_pitfalls__too_many_open_reservations__limit_and_way_out(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 1);
    struct csl_ledger_open_reservation open[CSL_RULES_OPEN_MAX];
    uint64_t id = 0;
    world_register(&w, &s);
    for (uint64_t round = 1; round <= CSL_RULES_OPEN_MAX; round++)
        must(world_reserve(&w, &s, round, 0, &id), &w.err);
    assert_int_equal(world_reserve(&w, &s, CSL_RULES_OPEN_MAX + 1, 0, &id), CSL_E_LIMIT);
    assert_int_equal(csl_ledger_open_reservations(w.l, open, CSL_RULES_OPEN_MAX),
                     CSL_RULES_OPEN_MAX);
    for (int i = 0; i < CSL_RULES_OPEN_MAX; i++)
        must(csl_ledger_settle(w.l, open[i].reservation, false, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == 0);
    must(world_reserve(&w, &s, CSL_RULES_OPEN_MAX + 1, 0, &id), &w.err);
}

static void test_ledger_pitfalls__pitfall_35__refusals_depend_on_public_numbers_only(void **state)
{
    (void)state;
    char texts[2][CSL_ERR_MSG_MAX];
    struct csl_ledger_entry refusals[2];
    for (size_t side = 0; side < 2; side++) {
        struct csl_ledger_study s = study_number(1, 4), t = study_number(2, 4);
        struct csl_ledger_policy p = policy_of(1.5 * zcdp_epsilon(4, DELTA), 1e-3, 0);
        struct csl_ledger_request r = request_of(&s, 1, 0);
        uint64_t id = 0;
        unmake(NULL);
        make(NULL);
        must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
        csl_digest(side == 0 ? "few" : "many", 3, s.cohort_digest);
        struct csl_ledger_charge c = charge_of(&r, &s);
        c.cohort_band = csl_ledger_band(side == 0 ? 12 : 99999);
        c.update_digest[0] = (uint8_t)side;
        world_register(&w, &s);
        must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
        must(csl_ledger_charge(w.l, id, &c, &w.err), &w.err);
        world_register(&w, &t);
        assert_int_equal(world_reserve(&w, &t, 1, 0, &id), CSL_E_BUDGET);
        snprintf(texts[side], sizeof(texts[side]), "%s", w.err.msg);
        refusals[side] = world_last(&w);
        memset(refusals[side].link, 0, sizeof(refusals[side].link));
    }
    uint8_t bytes[2][CSL_LEDGER_ENTRY_MAX];
    size_t n = csl_ledger_entry_encode(&refusals[0], bytes[0]);
    assert_int_equal(csl_ledger_entry_encode(&refusals[1], bytes[1]), n);
    assert_memory_equal(bytes[0], bytes[1], n);
    assert_string_equal(texts[0], texts[1]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        T(test_ledger_pitfalls__pitfall_2__steps_in_ledger_are_steps_that_ran),
        T(test_ledger_pitfalls__pitfall_2__more_attempts_than_rounds__refused),
        T(test_ledger_pitfalls__pitfall_2__more_attempts_than_rounds__found_by_anyone),
        T(test_ledger_pitfalls__pitfall_14__replayed_round_is_never_free),
        T(test_ledger_pitfalls__pitfall_25__studies_of_a_cohort_add_up),
        T(test_ledger_pitfalls__pitfall_30__rehearsals_are_charged),
        T(test_ledger_pitfalls__pitfall_32__clock_set_back_opens_nothing),
        T(test_ledger_pitfalls__open_reservation__counts_in_every_window),
        T(test_ledger_pitfalls__pitfall_34__restart_hands_the_reservation_back),
        T(test_ledger_pitfalls__too_many_open_reservations__limit_and_way_out),
        T(test_ledger_pitfalls__pitfall_35__refusals_depend_on_public_numbers_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
