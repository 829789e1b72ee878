#include "base/mem.h"
#include "privacy/audit/membership.h"
#include "tests/unit/base/fixture.h"

#include <math.h>

/* Clopper and Pearson (1934), and the rule of three: no hit in n is below 1 - 0.05^(1/n). */
static void test_clopper_pearson__known_values__equal(void **state)
{
    (void)state;
    assert_true(fabs(csl_clopper_pearson_lower(5, 10, 0.975) - 0.18708602844739) < 1e-11);
    assert_true(fabs(csl_clopper_pearson_upper(5, 10, 0.975) - 0.81291397155261) < 1e-11);
    double right = -expm1(log(0.05) / 1000.0);
    assert_true(fabs(csl_clopper_pearson_upper(0, 1000, 0.95) - right) < 1e-12);
    assert_true(csl_clopper_pearson_upper(0, 1000, 0.95) >= right);
    assert_true(csl_clopper_pearson_lower(0, 10, 0.95) == 0.0);
    assert_true(csl_clopper_pearson_upper(10, 10, 0.95) == 1.0);
}

static void test_attack__losses_apart__members_found(void **state)
{
    (void)state;
    double members[50], outsiders[100];
    for (size_t i = 0; i < 50; i++)
        members[i] = i < 40 ? 0.01 * (double)i : 5.0;
    for (size_t i = 0; i < 100; i++)
        outsiders[i] = 0.2 + (double)i;
    struct csl_membership m;
    assert_int_equal(csl_membership_attack(members, 50, outsiders, 100, 0.02, 0.95, &m, NULL),
                     CSL_OK);
    assert_true(m.threshold == 2.2);
    assert_int_equal(m.true_positives, 40);
    assert_int_equal(m.false_positives, 2);
    assert_true(m.tpr == 0.8 && m.tpr_lower > 0.66 && m.tpr_lower < 0.67);
    assert_true(m.tpr_upper > 0.89 && m.tpr_upper < 0.91);
    assert_true(m.fpr_upper > 0.06 && m.fpr_upper < 0.065);
}

/* Outsiders whose losses are all alike: calling one a member would call all. */
static void test_attack__equal_losses__nobody_called(void **state)
{
    (void)state;
    static const double same[10] = {0.0};
    struct csl_membership m;
    assert_int_equal(csl_membership_attack(same, 10, same, 10, 0.5, 0.95, &m, NULL), CSL_OK);
    assert_int_equal(m.true_positives, 0);
    assert_int_equal(m.false_positives, 0);
}

static void test_attack__bad_arguments__refused(void **state)
{
    (void)state;
    double loss[2] = {0.0, 1.0};
    struct csl_membership m = {.members = 9};
    assert_int_equal(csl_membership_attack(loss, 0, loss, 2, 0.1, 0.95, &m, NULL), CSL_E_INVAL);
    assert_int_equal(csl_membership_attack(loss, 2, loss, 0, 0.1, 0.95, &m, NULL), CSL_E_INVAL);
    assert_int_equal(csl_membership_attack(loss, 2, loss, 2, 0.0, 0.95, &m, NULL), CSL_E_INVAL);
    assert_int_equal(csl_membership_attack(loss, 2, loss, 2, 0.1, 1.0, &m, NULL), CSL_E_INVAL);
    (void)csl_mem_fail_after(1);
    assert_int_equal(csl_membership_attack(loss, 2, loss, 2, 0.1, 0.9, &m, NULL), CSL_E_NOMEM);
    (void)csl_mem_fail_after(0);
    loss[1] = (double)NAN;
    assert_int_equal(csl_membership_attack(loss, 2, loss, 2, 0.1, 0.95, &m, NULL), CSL_E_INVAL);
    assert_int_equal(m.members, 9);
}

static void test_bound__curve__smallest_of_all_points(void **state)
{
    (void)state;
    static const double epsilon[] = {0.0, 1.0, 3.0}, delta[] = {0.3, 1e-2, 1e-6};
    assert_true(csl_membership_bound(epsilon, delta, 0, 0.1) == 1.0);
    assert_true(fabs(csl_membership_bound(epsilon, delta, 3, 0.001) - (exp(1.0) * 0.001 + 0.01)) <
                1e-15);
    /* At large rates the other side of the promise is the sharper one. */
    assert_true(fabs(csl_membership_bound(epsilon + 1, delta + 1, 1, 0.8) -
                     (1.0 - exp(-1.0) * 0.19)) < 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clopper_pearson__known_values__equal),
        cmocka_unit_test(test_attack__losses_apart__members_found),
        cmocka_unit_test(test_attack__equal_losses__nobody_called),
        cmocka_unit_test(test_attack__bad_arguments__refused),
        cmocka_unit_test(test_bound__curve__smallest_of_all_points),
    };
    return cmocka_run_group_tests_name("audit_membership", tests, NULL, NULL);
}
