/* The order of reserve, charge and settle, and the budgets. */
#include "tests/unit/privacy/ledger_fixture.h"

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

static void test_ledger_rules__study_not_registered__refused(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 1);
    uint64_t id = 7;
    assert_int_equal(world_reserve(&w, &s, 1, 0, &id), CSL_E_NOTFOUND);
    assert_int_equal(id, 7);
}

static void test_ledger_rules__no_policy__refused(void **state)
{
    (void)state;
    struct world other;
    world_make(&other);
    world_open(&other);
    struct csl_ledger_study s = study_number(1, 1);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    uint64_t id = 0;
    must(csl_ledger_register(other.l, &s, &other.err), &other.err);
    assert_int_equal(csl_ledger_reserve(other.l, &r, &id, &other.err), CSL_E_BUDGET);
    world_remove(&other);
}

static void test_ledger_rules__another_plan_under_the_digest__refused(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 1), t = s;
    world_register(&w, &s);
    uint64_t size = csl_ledger_size(w.l);
    world_register(&w, &s);
    t.events[0].noise_multiplier = SIGMA / 2;
    assert_int_equal(csl_ledger_register(w.l, &t, &w.err), CSL_E_EXISTS);
    assert_int_equal(csl_ledger_size(w.l), size);
}

static void test_ledger_rules__whole_round__priced_once(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 3);
    run_round(&w, &s, 1, 0);
    run_round(&w, &s, 2, 0);
    struct csl_ledger_spent x = world_spent(&w, &s);
    assert_true(x.epsilon == zcdp_epsilon(6, DELTA));
    assert_true(x.delta == DELTA);
    assert_int_equal(x.charges, 2);
    assert_int_equal(x.steps_charged, 6);
}

static void test_ledger_rules__charge_without_reservation__refused(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 1);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    world_register(&w, &s);
    assert_int_equal(csl_ledger_charge(w.l, 0, &c, &w.err), CSL_E_NOTFOUND);
    assert_int_equal(csl_ledger_charge(w.l, 99, &c, &w.err), CSL_E_NOTFOUND);
    assert_int_equal(csl_ledger_charge(w.l, CSL_LEDGER_NONE, &c, &w.err), CSL_E_NOTFOUND);
}

static void test_ledger_rules__charge_again__same_is_free_other_is_refused(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 2);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    uint64_t id = run_round(&w, &s, 1, 0), size = csl_ledger_size(w.l);
    assert_int_equal(csl_ledger_charge(w.l, id, &c, &w.err), CSL_OK);
    c.update_digest[0] ^= 1;
    assert_int_equal(csl_ledger_charge(w.l, id, &c, &w.err), CSL_E_STATE);
    assert_int_equal(csl_ledger_size(w.l), size);
}

static void test_ledger_rules__settled_unreleased__reservation_comes_back(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    uint64_t id = 0;
    world_register(&w, &s);
    must(world_reserve(&w, &s, 1, 0, &id), &w.err);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(4, DELTA));
    must(csl_ledger_settle(w.l, id, false, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == 0);
    must(csl_ledger_settle(w.l, id, false, &w.err), &w.err); /* again: nothing more comes back */
    assert_true(world_spent(&w, &s).epsilon == 0);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    assert_int_equal(csl_ledger_charge(w.l, id, &c, &w.err), CSL_E_STATE);
}

static void test_ledger_rules__settled_unreleased__charge_stays(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    uint64_t id = 0;
    world_register(&w, &s);
    must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
    c.events[0].steps = 3;
    must(csl_ledger_charge(w.l, id, &c, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(4, DELTA));
    must(csl_ledger_settle(w.l, id, false, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(3, DELTA));
}

static void test_ledger_rules__settled_released__worst_case_stays(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    uint64_t id = 0;
    world_register(&w, &s);
    must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
    c.events[0].steps = 3;
    must(csl_ledger_charge(w.l, id, &c, &w.err), &w.err);
    must(csl_ledger_settle(w.l, id, true, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(4, DELTA));
    must(csl_ledger_settle(w.l, id, false, &w.err), &w.err); /* too late to take it back */
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(4, DELTA));
}

static void test_ledger_rules__released_without_charge__stays_spent(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    uint64_t id = 0;
    world_register(&w, &s);
    must(world_reserve(&w, &s, 1, 0, &id), &w.err);
    must(csl_ledger_settle(w.l, id, true, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(4, DELTA));
    assert_int_equal(csl_ledger_open_reservations(w.l, NULL, 0), 0);
}

/* Every way in which a request can differ from the plan. */
static void differ_request(struct csl_ledger_request *r, int how)
{
    switch (how) {
    case 0:
        r->round = 0;
        break;
    case 1:
        r->round = 101;
        break;
    case 2:
        r->events[0].steps++;
        break;
    case 3:
        r->events[0].noise_multiplier = SIGMA / 2;
        break;
    case 4:
        r->events[0].noise_multiplier = SIGMA * 2;
        break;
    case 5:
        r->events[0].sampler = CSL_DP_SHUFFLED;
        break;
    case 6:
        r->events[0].sampling_rate = 0.5;
        break;
    case 7:
        r->events[0].mechanism = CSL_DP_SKELLAM;
        break;
    case 8:
        r->event_count = 0;
        break;
    case 9:
        r->event_count = 2;
        break;
    case 10:
        r->clip = 3;
        break;
    case 11:
        r->normaliser = 65;
        break;
    case 12:
        snprintf(r->cohort, sizeof(r->cohort), "wards");
        break;
    case 13:
        r->events[0].noise_multiplier = (double)NAN;
        break;
    default:
        r->events[0].steps = 0;
        break;
    }
}

static void test_ledger_rules__request_differs_from_plan__study_stopped(void **state)
{
    (void)state;
    for (int how = 0; how < 15; how++) {
        struct csl_ledger_study s = study_number((uint32_t)how, 2);
        struct csl_ledger_request r = request_of(&s, 1, 0);
        uint64_t id = 0;
        world_register(&w, &s);
        differ_request(&r, how);
        assert_int_equal(csl_ledger_reserve(w.l, &r, &id, &w.err), CSL_E_DENIED);
        assert_int_equal(world_last(&w).kind, CSL_LEDGER_STOP);
        assert_int_equal(world_reserve(&w, &s, 1, 0, &id), CSL_E_DENIED);
        assert_true(world_spent(&w, &s).is_stopped);
    }
}

static void differ_charge(struct csl_ledger_charge *c, int how)
{
    switch (how) {
    case 0:
        c->events[0].steps++;
        break;
    case 1:
        c->events[0].noise_multiplier = SIGMA * 0.999;
        break;
    case 2:
        c->events[0].sampler = CSL_DP_POISSON;
        break;
    case 3:
        c->events[0].sampling_rate = 0.25;
        break;
    case 4:
        c->events[0].mechanism = CSL_DP_DISCRETE_GAUSSIAN;
        break;
    case 5:
        c->event_count = 2;
        break;
    case 6:
        c->event_count = 0;
        break;
    case 7:
        c->clip = 1.6;
        break;
    case 8:
        c->normaliser = 32;
        break;
    case 9:
        c->cohort_digest[5] ^= 1;
        break;
    case 10:
        c->is_rehearsal = true;
        break;
    case 11:
        c->events[0].dimensions = 1;
        break;
    case 12:
        c->events[0].l2_units = 1;
        break;
    default:
        c->clip = (double)NAN;
        break;
    }
}

static void test_ledger_rules__what_ran_differs__charge_refused_study_stopped(void **state)
{
    (void)state;
    for (int how = 0; how < 14; how++) {
        struct csl_ledger_study s = study_number((uint32_t)how, 2);
        struct csl_ledger_request r = request_of(&s, 1, 0);
        struct csl_ledger_charge c = charge_of(&r, &s), good = c;
        uint64_t id = 0;
        world_register(&w, &s);
        must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
        differ_charge(&c, how);
        assert_int_equal(csl_ledger_charge(w.l, id, &c, &w.err), CSL_E_DENIED);
        assert_int_equal(world_last(&w).kind, CSL_LEDGER_STOP);
        assert_int_equal(csl_ledger_charge(w.l, id, &good, &w.err), CSL_E_DENIED);
        must(csl_ledger_settle(w.l, id, false, &w.err), &w.err);
        assert_true(world_spent(&w, &s).epsilon == 0);
    }
}

/* Pitfall 2: accounted epochs are not executed steps. */
/* Pitfall 14: the same noise used twice. A retry sends the recorded bytes or spends again. */
/* Pitfall 25: epsilons of two studies on one cohort reported apart. */
static void test_ledger_rules__sum_of_deltas_over_budget__refused(void **state)
{
    (void)state;
    struct csl_ledger_study a = study_number(1, 1), b = study_number(2, 1);
    struct csl_ledger_policy p = policy_of(1000, 1.5 * DELTA, 0);
    uint64_t id = 0;
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    run_round(&w, &a, 1, 0);
    world_register(&w, &b);
    assert_int_equal(world_reserve(&w, &b, 1, 0, &id), CSL_E_BUDGET);
    run_round(&w, &a, 2, 0);
}

/* Who of a cohort is in a group is not known here: every study counts against its budget. */
static void test_ledger_rules__groups_and_stars__each_budget_counts(void **state)
{
    (void)state;
    struct csl_ledger_study a = study_number(1, 4), b = study_number(2, 4), c = study_number(3, 4);
    double one = zcdp_epsilon(4, DELTA);
    struct csl_ledger_policy p = policy_of(10 * one, 1e-3, 0);
    uint64_t id = 0;
    p.budget_count = 3;
    p.budgets[1] = (struct csl_ledger_budget){
        .cohort = "ward", .group = "age=80+", .epsilon = 1.5 * one, .delta = 1e-3};
    p.budgets[2] = (struct csl_ledger_budget){.cohort = "*", .epsilon = 2.5 * one, .delta = 1e-3};
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    snprintf(c.cohort, sizeof(c.cohort), "clinic");
    run_round(&w, &a, 1, 0);
    world_register(&w, &b);
    assert_int_equal(world_reserve(&w, &b, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(world_last(&w).budget, 1);
    run_round(&w, &c, 1, 0); /* the group is of another cohort */
    assert_int_equal(world_reserve(&w, &c, 2, 0, &id), CSL_OK);
    struct csl_ledger_study d = study_number(4, 4);
    snprintf(d.cohort, sizeof(d.cohort), "clinic");
    world_register(&w, &d);
    assert_int_equal(world_reserve(&w, &d, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(world_last(&w).budget, 2);
}

static void test_ledger_rules__group_budget_set_later__earlier_studies_count(void **state)
{
    (void)state;
    struct csl_ledger_study a = study_number(1, 4), b = study_number(2, 4);
    double one = zcdp_epsilon(4, DELTA);
    struct csl_ledger_policy p = policy_of(10 * one, 1e-3, 0);
    uint64_t id = 0;
    run_round(&w, &a, 1, 0);
    p.budget_count = 2;
    p.budgets[1] = (struct csl_ledger_budget){
        .cohort = "ward", .group = "age=0-17", .epsilon = 1.2 * one, .delta = 1e-3};
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    world_register(&w, &b);
    assert_int_equal(world_reserve(&w, &b, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(world_last(&w).budget, 1);
    assert_int_equal(world_reserve(&w, &a, 2, 0, &id), CSL_E_BUDGET); /* nor more of the first */
}

static void test_ledger_rules__as_many_groups_as_budgets__the_last_one_counts(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    double one = zcdp_epsilon(4, DELTA);
    struct csl_ledger_policy p = policy_of(10 * one, 1e-3, 0);
    uint64_t id = 0;
    p.budget_count = CSL_LEDGER_BUDGETS_MAX;
    for (uint32_t i = 1; i < p.budget_count; i++) {
        p.budgets[i] = p.budgets[0];
        snprintf(p.budgets[i].group, sizeof(p.budgets[i].group), "clinic=%u", i);
    }
    p.budgets[p.budget_count - 1].epsilon = 0.5 * one;
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    world_register(&w, &s);
    assert_int_equal(world_reserve(&w, &s, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(world_last(&w).budget, p.budget_count - 1);
}

/* Pitfall 30: hyper-parameter search for free. */
/* Pitfall 32: a clock set back re-opens a budget window. */
/* Pitfall 34: reservations leak until nothing is left, or come back though released. */
/* Pitfall 35: the refusal itself reveals data. Two sites whose patients differ answer alike. */
static void test_ledger_rules__refused_again__one_entry(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    struct csl_ledger_policy p = policy_of(0.01, 1e-3, 0);
    uint64_t id = 0;
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    world_register(&w, &s);
    for (int i = 0; i < 10; i++)
        assert_int_equal(world_reserve(&w, &s, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(csl_ledger_size(w.l), 5); /* open, two policies, approve, refuse */
    p.budgets[0].epsilon = 10;
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    must(world_reserve(&w, &s, 1, 0, &id), &w.err);
}

static void test_ledger_rules__rounds_refused_in_turn__one_entry_each(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    struct csl_ledger_policy p = policy_of(0.01, 1e-3, 0);
    uint64_t id = 0;
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    world_register(&w, &s);
    uint64_t before = csl_ledger_size(w.l);
    for (int i = 0; i < 10; i++)
        for (uint64_t round = 1; round <= 100; round++)
            assert_int_equal(world_reserve(&w, &s, round, 0, &id), CSL_E_BUDGET);
    assert_int_equal(csl_ledger_size(w.l), before + 100);
    world_open(&w); /* nor after a restart */
    for (uint64_t round = 1; round <= 100; round++)
        assert_int_equal(world_reserve(&w, &s, round, 0, &id), CSL_E_BUDGET);
    assert_int_equal(csl_ledger_size(w.l), before + 100);
    p.budgets[0].epsilon = 0.02; /* another policy: refused anew */
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    assert_int_equal(world_reserve(&w, &s, 1, 0, &id), CSL_E_BUDGET);
    assert_int_equal(csl_ledger_size(w.l), before + 102);
}

static void test_ledger_rules__publish__reserves_and_charges_at_once(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 4);
    struct csl_ledger_policy p = policy_of(zcdp_epsilon(8, DELTA), 1e-3, 0);
    struct csl_ledger_request r = request_of(&s, 1, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    assert_int_equal(csl_ledger_publish(w.l, &c, &w.err), CSL_E_NOTFOUND);
    must(csl_ledger_set_policy(w.l, &p, &w.err), &w.err);
    world_register(&w, &s);
    must(csl_ledger_publish(w.l, &c, &w.err), &w.err);
    assert_int_equal(csl_ledger_publish(w.l, &c, &w.err), CSL_E_EXISTS);
    c.round = 2;
    must(csl_ledger_publish(w.l, &c, &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == zcdp_epsilon(8, DELTA));
    c.round = 3;
    assert_int_equal(csl_ledger_publish(w.l, &c, &w.err), CSL_E_BUDGET);
    assert_int_equal(world_last(&w).kind, CSL_LEDGER_REFUSE);
    c.events[0].steps = 5;
    assert_int_equal(csl_ledger_publish(w.l, &c, &w.err), CSL_E_DENIED);
}

static void test_ledger_rules__withdrawal__later_charges_carry_the_new_digest(void **state)
{
    (void)state;
    struct csl_ledger_study s = study_number(1, 2), t = s;
    run_round(&w, &s, 1, 0);
    double before = world_spent(&w, &s).epsilon;
    csl_digest("fewer", 5, t.cohort_digest);
    must(csl_ledger_withdraw(w.l, "ward", t.cohort_digest, csl_ledger_band(119), &w.err), &w.err);
    assert_true(world_spent(&w, &s).epsilon == before);
    run_round(&w, &t, 2, 0);
    struct csl_ledger_request r = request_of(&s, 3, 0);
    struct csl_ledger_charge c = charge_of(&r, &s);
    uint64_t id = 0;
    must(csl_ledger_reserve(w.l, &r, &id, &w.err), &w.err);
    assert_int_equal(csl_ledger_charge(w.l, id, &c, &w.err), CSL_E_DENIED);
}

static void test_ledger_rules__odd_policies_and_plans__refused_before_anything(void **state)
{
    (void)state;
    struct csl_ledger_policy p = policy_of((double)NAN, 1e-3, 0);
    struct csl_ledger_study s = study_number(1, 1);
    uint64_t size = csl_ledger_size(w.l);
    assert_int_equal(csl_ledger_set_policy(w.l, &p, &w.err), CSL_E_INVAL);
    p = policy_of(1, 1, 0);
    assert_int_equal(csl_ledger_set_policy(w.l, &p, &w.err), CSL_E_INVAL);
    p = policy_of(1, 0, 0);
    snprintf(p.budgets[0].group, sizeof(p.budgets[0].group), "age = 80");
    assert_int_equal(csl_ledger_set_policy(w.l, &p, &w.err), CSL_E_INVAL);
    s.delta = 0;
    assert_int_equal(csl_ledger_register(w.l, &s, &w.err), CSL_E_INVAL);
    s = study_number(1, 0);
    assert_int_equal(csl_ledger_register(w.l, &s, &w.err), CSL_E_INVAL);
    s = study_number(1, 1);
    s.events[0].noise_multiplier = 0;
    assert_int_equal(csl_ledger_register(w.l, &s, &w.err), CSL_E_INVAL);
    assert_int_equal(csl_ledger_size(w.l), size);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        T(test_ledger_rules__study_not_registered__refused),
        T(test_ledger_rules__no_policy__refused),
        T(test_ledger_rules__another_plan_under_the_digest__refused),
        T(test_ledger_rules__whole_round__priced_once),
        T(test_ledger_rules__charge_without_reservation__refused),
        T(test_ledger_rules__charge_again__same_is_free_other_is_refused),
        T(test_ledger_rules__settled_unreleased__reservation_comes_back),
        T(test_ledger_rules__settled_unreleased__charge_stays),
        T(test_ledger_rules__settled_released__worst_case_stays),
        T(test_ledger_rules__released_without_charge__stays_spent),
        T(test_ledger_rules__request_differs_from_plan__study_stopped),
        T(test_ledger_rules__what_ran_differs__charge_refused_study_stopped),
        T(test_ledger_rules__sum_of_deltas_over_budget__refused),
        T(test_ledger_rules__groups_and_stars__each_budget_counts),
        T(test_ledger_rules__group_budget_set_later__earlier_studies_count),
        T(test_ledger_rules__as_many_groups_as_budgets__the_last_one_counts),
        T(test_ledger_rules__refused_again__one_entry),
        T(test_ledger_rules__rounds_refused_in_turn__one_entry_each),
        T(test_ledger_rules__publish__reserves_and_charges_at_once),
        T(test_ledger_rules__withdrawal__later_charges_carry_the_new_digest),
        T(test_ledger_rules__odd_policies_and_plans__refused_before_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
