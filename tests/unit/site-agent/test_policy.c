/* What a site refuses by its own configuration. */
#include "base/str.h"
#include "site-agent/core/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct csl_study study = {.minimum_sites = 3, .aggregation = {.strategy = "fedavg"}};

static int name_study(void **state)
{
    (void)state;
    memset(study.digest, 0x42, sizeof(study.digest));
    return 0;
}

static void assert_denied(const struct csl_site_policy *p, const char *text)
{
    struct csl_err err;
    assert_int_equal(csl_policy_check(p, &study, &err), CSL_E_DENIED);
    if (strstr(err.msg, text) == NULL) /* it is shown to the coordinator */
        fail_msg("%s", err.msg);
}

static void test_policy__approval_required__only_the_listed_study(void **state)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_REQUIRED};
    (void)state;
    assert_denied(&p, "has not approved");
    p.approved_count = 2;
    memset(p.approved[0], 0x41, CSL_DIGEST_BYTES);
    memset(p.approved[1], 0x42, CSL_DIGEST_BYTES);
    assert_int_equal(csl_policy_check(&p, &study, NULL), CSL_OK);
    p.approved[1][CSL_DIGEST_BYTES - 1] ^= 1; /* one bit of it is another study */
    assert_denied(&p, "has not approved");
}

static void test_policy__approval_automatic__other_rules_still_hold(void **state)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC, .minimum_sites = 3};
    (void)state;
    assert_int_equal(csl_policy_check(&p, &study, NULL), CSL_OK);
    p.minimum_sites = 4;
    assert_denied(&p, "allows 3 sites in a round; this site asks for 4");
}

static void test_policy__strategies_listed__others_refused(void **state)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC};
    (void)state;
    csl_str_copy(p.strategies[p.strategy_count++], CSL_ID_MAX, "fedprox");
    assert_denied(&p, "does not allow the strategy fedavg");
    csl_str_copy(p.strategies[p.strategy_count++], CSL_ID_MAX, "fedavg");
    assert_int_equal(csl_policy_check(&p, &study, NULL), CSL_OK);
}

static void test_policy__approved_study__does_not_override_the_rules(void **state)
{
    struct csl_site_policy p = {
        .approval = CSL_APPROVAL_REQUIRED, .approved_count = 1, .minimum_sites = 4};
    (void)state;
    memset(p.approved[0], 0x42, CSL_DIGEST_BYTES);
    assert_denied(&p, "asks for 4");
}

static void test_policy__privacy_mode_refused__named_in_the_reason(void **state)
{
    static const char *const names[] = {"none", "local", "site"};
    (void)state;
    for (int refused = CSL_PRIVACY_NONE; refused <= CSL_PRIVACY_SITE; refused++) {
        struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC};
        char text[64];
        p.refuses_privacy[refused] = true;
        for (int mode = CSL_PRIVACY_NONE; mode <= CSL_PRIVACY_SITE; mode++) {
            study.privacy.mode = (enum csl_privacy_mode)mode;
            if (mode != refused)
                assert_int_equal(csl_policy_check(&p, &study, NULL), CSL_OK);
        }
        study.privacy.mode = (enum csl_privacy_mode)refused;
        snprintf(text, sizeof(text), "does not allow privacy mode %s", names[refused]);
        assert_denied(&p, text);
    }
    study.privacy.mode = CSL_PRIVACY_NONE;
}

static void check_delta(double delta, uint64_t patients, bool allows, enum csl_code expected)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC, .allows_large_delta = allows};
    struct csl_err err = {.msg = ""};
    study.privacy.delta = delta;
    assert_int_equal(csl_policy_check_delta(&p, &study, patients, &err), expected);
    if (expected != CSL_OK)
        assert_non_null(strstr(err.msg, "delta")); /* it is shown to the coordinator */
}

static void test_pitfall_24__delta_not_below_one_over_patients__denied(void **state)
{
    (void)state;
    study.privacy.mode = CSL_PRIVACY_LOCAL;
    check_delta(0.03125, 31, false, CSL_OK); /* 1 / 32: exact in binary */
    check_delta(0.03125, 32, false, CSL_E_DENIED);
    check_delta(0.03125, 33, false, CSL_E_DENIED);
    check_delta(0.03125, 32, true, CSL_OK);
    check_delta(1e-6, 999999, false, CSL_OK);
    check_delta(1e-6, 1000001, false, CSL_E_DENIED);
    study.privacy.mode = CSL_PRIVACY_JOINT;
    check_delta(0.03125, 31, false, CSL_OK);
    study.statistics.is_on = true; /* each is below, and a ledger adds them */
    study.statistics.delta = 0.03125;
    check_delta(0.03125, 31, false, CSL_E_DENIED);
    check_delta(0.03125, 15, false, CSL_OK);
    check_delta(0.03125, 16, false, CSL_E_DENIED);
    study.statistics.is_on = false;
    study.privacy.mode = CSL_PRIVACY_SITE; /* the unit is the site: its patients do not count */
    check_delta(0.03125, 32, false, CSL_OK);
    study.privacy = (struct csl_study_privacy){.mode = CSL_PRIVACY_NONE};
}

/* --- sums under masks: 12 active sites, so a third is 4 --- */

static struct csl_study masked = {.minimum_sites = 8,
                                  .aggregation = {.strategy = "fedavg"},
                                  .secagg = {.is_on = true, .colluding = 4, .minimum_sites = 8}};

static void assert_masked_denied(const struct csl_site_policy *p, const char *text)
{
    struct csl_secagg_policy out = {.colluding = 99};
    struct csl_err err;
    assert_int_equal(csl_policy_check_masked(p, &masked, 12, &out, &err), CSL_E_DENIED);
    if (strstr(err.msg, text) == NULL) /* it is shown to the coordinator */
        fail_msg("%s", err.msg);
    assert_int_equal(out.colluding, 99);
}

static void test_policy__noised_statistics_only__exact_ones_refused(void **state)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC,
                                .refuses_exact_statistics = true};
    (void)state;
    assert_int_equal(csl_policy_check(&p, &study, NULL), CSL_OK);
    study.statistics.is_on = true;
    assert_denied(&p, "publishes exact statistics");
    study.statistics.epsilon = 1;
    assert_int_equal(csl_policy_check(&p, &study, NULL), CSL_OK);
    memset(&study.statistics, 0, sizeof(study.statistics));
}

static void test_policy__masked_only__others_refused(void **state)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC, .masked_only = true};
    (void)state;
    assert_denied(&p, "with secure aggregation only");
    assert_int_equal(csl_policy_check(&p, &masked, NULL), CSL_OK);
}

static void test_policy__no_number_of_colluding__a_third_of_the_roster(void **state)
{
    const struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC};
    struct csl_secagg_policy out;
    (void)state;
    assert_int_equal(csl_policy_check_masked(&p, &masked, 12, &out, NULL), CSL_OK);
    assert_int_equal(csl_policy_check_masked(&p, &masked, 14, &out, NULL), CSL_OK);
    assert_int_equal(csl_policy_check_masked(&p, &masked, 15, &out, NULL), CSL_E_DENIED);
    masked.secagg.colluding = 3;
    assert_masked_denied(&p, "at most 3 colluding sites; this site asks for 4, a third");
    masked.secagg.colluding = 4;
}

static void test_policy__colluding_lowered_by_the_administrator__that_counts(void **state)
{
    struct csl_site_policy p = {.masked = {.has_colluding = true, .colluding = 0}};
    struct csl_secagg_policy out;
    (void)state;
    masked.secagg.colluding = 0;
    assert_int_equal(csl_policy_check_masked(&p, &masked, 12, &out, NULL), CSL_OK);
    p.masked.colluding = 1;
    assert_masked_denied(&p, "at most 0 colluding sites; this site asks for 1");
    masked.secagg.colluding = 4;
}

static void test_policy__floors_of_sums__below_them_refused(void **state)
{
    struct csl_site_policy p = {.masked = {.minimum_sites = 8}};
    struct csl_secagg_policy out;
    (void)state;
    assert_int_equal(csl_policy_check_masked(&p, &masked, 12, &out, NULL), CSL_OK);
    p.masked.minimum_sites = 9;
    assert_masked_denied(&p, "sums of 8 sites; this site asks for 9");
    p.masked.minimum_sites = 0;
    p.masked.minimum_honest = 4;
    assert_int_equal(csl_policy_check_masked(&p, &masked, 12, &out, NULL), CSL_OK);
    p.masked.minimum_honest = 5;
    assert_masked_denied(&p, "asks for 5 honest ones");
    p.masked.minimum_honest = 0;
    p.masked.largest_share_permille = 125;
    assert_int_equal(csl_policy_check_masked(&p, &masked, 12, &out, NULL), CSL_OK);
    p.masked.largest_share_permille = 124;
    assert_masked_denied(&p, "more than 124 permille");
}

static void test_policy__audits__fewer_chunks_than_asked_for_refused(void **state)
{
    struct csl_site_policy p = {.masked = {.audit_chunks = 2}};
    struct csl_secagg_policy out;
    (void)state;
    masked.secagg.audit_chunks = 2;
    assert_int_equal(csl_policy_check_masked(&p, &masked, 12, &out, NULL), CSL_OK);
    masked.secagg.audit_chunks = 1;
    assert_masked_denied(&p, "sites check 1 chunks of a sum; this site asks for 2");
    masked.secagg.audit_chunks = 0;
}

/* A coordinator may not go below the study in a round either: its price was worked out for that. */
static void test_policy__study_stricter_than_the_floors__the_study_holds(void **state)
{
    const struct csl_site_policy p = {.masked = {.has_colluding = true,
                                                 .colluding = 1,
                                                 .minimum_sites = 3,
                                                 .minimum_honest = 3,
                                                 .largest_share_permille = 500}};
    struct csl_secagg_policy out;
    (void)state;
    assert_int_equal(csl_policy_check_masked(&p, &masked, 12, &out, NULL), CSL_OK);
    assert_int_equal(out.colluding, 4);
    assert_int_equal(out.survivors_min, 8);
    assert_int_equal(out.honest_min, 3);
    assert_int_equal(out.effective_min, 7);
    assert_int_equal(out.weight_share_max_permille, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy__approval_required__only_the_listed_study),
        cmocka_unit_test(test_policy__approval_automatic__other_rules_still_hold),
        cmocka_unit_test(test_policy__strategies_listed__others_refused),
        cmocka_unit_test(test_policy__approved_study__does_not_override_the_rules),
        cmocka_unit_test(test_policy__privacy_mode_refused__named_in_the_reason),
        cmocka_unit_test(test_pitfall_24__delta_not_below_one_over_patients__denied),
        cmocka_unit_test(test_policy__noised_statistics_only__exact_ones_refused),
        cmocka_unit_test(test_policy__masked_only__others_refused),
        cmocka_unit_test(test_policy__no_number_of_colluding__a_third_of_the_roster),
        cmocka_unit_test(test_policy__colluding_lowered_by_the_administrator__that_counts),
        cmocka_unit_test(test_policy__floors_of_sums__below_them_refused),
        cmocka_unit_test(test_policy__audits__fewer_chunks_than_asked_for_refused),
        cmocka_unit_test(test_policy__study_stricter_than_the_floors__the_study_holds),
    };
    return cmocka_run_group_tests(tests, name_study, NULL);
}
