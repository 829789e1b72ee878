/* The rule that takes a model back when the sites vote against it. */
#include "aggregation/vote.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct csl_vote_config config = {.worse_max = 0.5, .voters_min = 3, .rejected_max = 2};

static struct csl_vote on_trial(void)
{
    return (struct csl_vote){.config = config, .is_on_trial = true};
}

static void test_vote__one_site__worse_beyond_the_tolerance(void **state)
{
    (void)state;
    assert_false(csl_vote_is_worse(1, 1, 0));
    assert_true(csl_vote_is_worse(1, nextafter(1, 2), 0));
    assert_false(csl_vote_is_worse(0.5, 0.625, 0.25));
    assert_true(csl_vote_is_worse(0.5, nextafter(0.625, 1), 0.25));
    assert_false(csl_vote_is_worse(-2, -1.5, 0.25)); /* a share of its size, whatever its sign */
    assert_true(csl_vote_is_worse(-2, -1, 0.25));
}

static void test_vote__no_number__worse_than_any(void **state)
{
    (void)state;
    assert_true(csl_vote_is_worse(1, nan(""), 10));
    assert_true(csl_vote_is_worse(1, HUGE_VAL, 10));
    assert_true(csl_vote_is_worse(1, -HUGE_VAL, 10));
    assert_false(csl_vote_is_worse(nan(""), 1, 0));
    assert_false(csl_vote_is_worse(HUGE_VAL, HUGE_VAL, 0));
}

static void test_vote__more_than_the_share__rejected(void **state)
{
    (void)state;
    for (uint64_t n = 3; n <= 40; n++) {
        for (uint64_t worse = 0; worse <= n; worse++) {
            struct csl_vote v = on_trial();
            struct csl_vote_verdict out = csl_vote_judge(&v, worse, n);
            assert_true(out.is_counted && out.worse == worse && out.voters == n);
            assert_int_equal(out.is_rejected, 2 * worse > n);
            assert_int_equal(v.rejected_in_a_row, 2 * worse > n);
            assert_false(v.is_on_trial);
        }
    }
}

static void test_vote__too_few_votes__nothing_is_known(void **state)
{
    struct csl_vote v = on_trial();
    (void)state;
    v.rejected_in_a_row = 1;
    struct csl_vote_verdict out = csl_vote_judge(&v, 2, 2);
    assert_true(!out.is_counted && !out.is_rejected);
    assert_int_equal(v.rejected_in_a_row, 1);
    v.is_on_trial = true;
    assert_false(csl_vote_judge(&v, 0, 0).is_counted);
}

static void test_vote__nothing_on_trial__no_verdict(void **state)
{
    struct csl_vote v = {.config = config, .rejected_in_a_row = 1};
    (void)state;
    struct csl_vote_verdict out = csl_vote_judge(&v, 9, 9);
    assert_true(!out.is_counted && !out.is_rejected);
    assert_int_equal(v.rejected_in_a_row, 1);
}

/* Only a model that was voted for ends the row, not one that nobody judged. */
static void test_vote__rejected_in_a_row__shut_at_the_last(void **state)
{
    struct csl_vote v = on_trial();
    (void)state;
    assert_true(csl_vote_judge(&v, 3, 3).is_rejected);
    assert_false(csl_vote_is_shut(&v));
    (void)csl_vote_judge(&v, 3, 3);
    assert_false(csl_vote_is_shut(&v));
    v.is_on_trial = true;
    assert_false(csl_vote_judge(&v, 0, 3).is_rejected);
    for (int i = 0; i < 2; i++) {
        v.is_on_trial = true;
        assert_true(csl_vote_judge(&v, 2, 3).is_rejected);
        assert_int_equal(csl_vote_is_shut(&v), i == 1);
    }
}

/* n sites, k of them liars, the others of one mind. Not more than the share of them can reject a
 * good model; to let a bad one pass it takes those that leave no more than the share. */
static void test_vote__liars__as_many_as_the_share_says(void **state)
{
    static const struct {
        double worse_max;
        uint64_t sites, to_reject, to_pass;
    } rows[] = {
        {0.5, 3, 2, 2}, {0.5, 4, 3, 2},  {0.5, 8, 5, 4},  {0.5, 9, 5, 5},
        {0, 8, 1, 8},   {0.25, 8, 3, 6}, {0.75, 8, 7, 2}, {0.7, 3, 3, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint64_t liars = 0; liars <= rows[i].sites; liars++) {
            struct csl_vote v = on_trial();
            v.config.worse_max = rows[i].worse_max;
            bool rejects_good = csl_vote_judge(&v, liars, rows[i].sites).is_rejected;
            v.is_on_trial = true;
            bool rejects_bad = csl_vote_judge(&v, rows[i].sites - liars, rows[i].sites).is_rejected;
            assert_int_equal(rejects_good, liars >= rows[i].to_reject);
            assert_int_equal(rejects_bad, liars < rows[i].to_pass);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vote__one_site__worse_beyond_the_tolerance),
        cmocka_unit_test(test_vote__no_number__worse_than_any),
        cmocka_unit_test(test_vote__more_than_the_share__rejected),
        cmocka_unit_test(test_vote__too_few_votes__nothing_is_known),
        cmocka_unit_test(test_vote__nothing_on_trial__no_verdict),
        cmocka_unit_test(test_vote__rejected_in_a_row__shut_at_the_last),
        cmocka_unit_test(test_vote__liars__as_many_as_the_share_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
