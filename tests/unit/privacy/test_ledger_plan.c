/* A plan offered again: what differs is named, and what an operator can do. */
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
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    world_remove(&w);
    return 0;
}

/* With every field of an event in use. */
static struct csl_ledger_study discrete_study(void)
{
    struct csl_ledger_study s = study_number(1, 2);
    s.events[0].mechanism = CSL_DP_DISCRETE_GAUSSIAN;
    s.events[0].dimensions = 5;
    s.events[0].l2_units = 3;
    s.events[0].l1_units = 4;
    s.events[0].std_units = 3 * SIGMA;
    return s;
}

/* Every field of a plan, as the refusal calls it. */
static const char *const differences[] = {
    "cohort (registered ward, offered clinic)",
    "events of a round (registered 1, offered 2)",
    "mechanism (registered discrete-gaussian, offered skellam)",
    "sampler",
    "sampling rate",
    "noise.",
    "noise in its last digits",
    "steps of a round (registered 2, offered 3)",
    "noise.",
    "dimensions (registered 5, offered 7)",
    "rounds (registered 100, offered 99)",
    "delta (registered 9.9999999999999995e-07, offered 0.5)",
    "clip (registered 1.5, offered 3)",
    "normaliser.",
    "rehearsal (registered no, offered yes)",
    "cohort digest (registered "};

/* NULL: nothing is left to differ. */
static const char *differ_plan(struct csl_ledger_study *s, int how)
{
    struct csl_dp_event *e = &s->events[0];
    switch (how) {
    case 0:
        snprintf(s->cohort, sizeof(s->cohort), "clinic");
        break;
    case 1:
        s->event_count = 2;
        s->events[1] = s->events[0];
        break;
    case 2:
        e->mechanism = CSL_DP_SKELLAM;
        break;
    case 3:
        e->sampler = CSL_DP_SHUFFLED;
        break;
    case 4:
        e->sampler = CSL_DP_POISSON;
        e->sampling_rate = 0.25;
        break;
    case 5:
        e->noise_multiplier = SIGMA / 2;
        break;
    case 6:
        e->noise_multiplier = nextafter(SIGMA, 0);
        break;
    case 7:
        e->steps++;
        break;
    case 8:
        e->l1_units++;
        break;
    case 9:
        e->dimensions = 7;
        break;
    case 10:
        s->rounds = 99;
        break;
    case 11:
        s->delta = 0.5;
        break;
    case 12:
        s->clip = 3;
        break;
    case 13:
        s->normaliser = 65;
        break;
    case 14:
        s->is_rehearsal = true;
        break;
    case 15:
        s->cohort_digest[0] ^= 1;
        break;
    default:
        return NULL;
    }
    return differences[how];
}

static void test_ledger_plan__another_plan__every_difference_named(void **state)
{
    (void)state;
    struct csl_ledger_study s = discrete_study(), t = s;
    world_register(&w, &s);
    uint64_t size = csl_ledger_size(w.l);
    int how = 0;
    for (const char *name; (name = differ_plan(&t, how)) != NULL; how++, t = s) {
        assert_int_equal(csl_ledger_register(w.l, &t, &w.err), CSL_E_EXISTS);
        if (strstr(w.err.msg, name) == NULL)
            fail_msg("no '%s' in: %s", name, w.err.msg);
        assert_non_null(strstr(w.err.msg, how == 15 ? "ledger withdraw" : "ledger stop"));
        assert_int_equal(w.err.msg[strlen(w.err.msg) - 1], '`'); /* said in full */
        assert_null(strstr(w.err.msg, "64 ")); /* the normaliser may be a number of patients */
    }
    assert_int_equal(how, 16);
    assert_int_equal(csl_ledger_size(w.l), size);
}

static void test_ledger_plan__everything_differs__said_in_full_or_cut_with_dots(void **state)
{
    (void)state;
    struct csl_ledger_study s = discrete_study(), t = s;
    memset(s.cohort, 'a', CSL_ID_MAX - 1);
    world_register(&w, &s);
    for (int how = 2; how < 16; how++)
        (void)differ_plan(&t, how);
    assert_int_equal(csl_ledger_register(w.l, &t, &w.err), CSL_E_EXISTS);
    assert_non_null(strstr(w.err.msg, "cohort digest"));
    assert_non_null(strstr(w.err.msg, ", ..."));
    assert_int_equal(w.err.msg[strlen(w.err.msg) - 1], '`');
    t = s;
    t.cohort_digest[0] ^= 1; /* with the longest name of a cohort */
    assert_int_equal(csl_ledger_register(w.l, &t, &w.err), CSL_E_EXISTS);
    assert_int_equal(w.err.msg[strlen(w.err.msg) - 1], '`');
}

static void test_ledger_plan__another_plan_of_a_stopped_study__nothing_to_protect(void **state)
{
    (void)state;
    struct csl_ledger_study s = discrete_study(), t = s;
    uint64_t id = 0;
    world_register(&w, &s);
    must(csl_ledger_stop(w.l, s.digest, CSL_LEDGER_STOP_OPERATOR, &w.err), &w.err);
    t.normaliser = 63;
    uint64_t size = csl_ledger_size(w.l);
    world_register(&w, &t);
    assert_int_equal(csl_ledger_size(w.l), size);
    assert_int_equal(world_reserve(&w, &t, 1, 0, &id), CSL_E_DENIED);
    assert_int_equal(world_reserve(&w, &s, 1, 0, &id), CSL_E_DENIED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        T(test_ledger_plan__another_plan__every_difference_named),
        T(test_ledger_plan__everything_differs__said_in_full_or_cut_with_dots),
        T(test_ledger_plan__another_plan_of_a_stopped_study__nothing_to_protect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
