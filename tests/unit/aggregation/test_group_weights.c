/* Weights of patient groups inside a site. */
#include "aggregation/weights/clusters.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct csl_stratum of(uint8_t a, uint8_t b, double patients, double skill)
{
    return (struct csl_stratum){
        .level = {a, b}, .patients = patients, .skill_sum = patients * skill};
}

static void weigh(const struct csl_stratum *s, uint32_t count, double *v,
                  enum csl_group_source *source)
{
    struct csl_group_rule rule;
    csl_group_rule_default(&rule);
    assert_int_equal(csl_group_weights(&rule, 2, s, count, v, source, NULL), CSL_OK);
}

static void test_group_weights__equal_groups__plain_mean(void **state)
{
    (void)state;
    const struct csl_stratum s[4] = {of(1, 1, 90, 0.6), of(1, 2, 90, 0.6), of(2, 1, 90, 0.6),
                                     of(2, 2, 90, 0.6)};
    double v[4];
    weigh(s, 4, v, NULL);
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(v[i] - 1) < 1e-12);
}

static void test_group_weights__small_or_half_known__attributes_of_their_own(void **state)
{
    (void)state;
    const struct csl_stratum s[6] = {of(1, 1, 400, 0.8), of(1, 2, 300, 0.7), of(2, 1, 200, 0.6),
                                     of(2, 2, 29, 0.1),  of(2, 0, 50, 0.6),  of(0, 0, 40, 0.5)};
    double v[6], sum = 0, patients = 0;
    enum csl_group_source source[6];
    weigh(s, 6, v, source);
    for (size_t i = 0; i < 6; i++) {
        sum += v[i] * s[i].patients;
        patients += s[i].patients;
    }
    assert_true(fabs(sum / patients - 1) < 1e-12);
    assert_int_equal(source[0], CSL_GROUP_OWN);
    assert_int_equal(source[2], CSL_GROUP_OWN);
    assert_int_equal(source[3], CSL_GROUP_MARGINALS);
    assert_int_equal(source[4], CSL_GROUP_MARGINALS);
    assert_int_equal(source[5], CSL_GROUP_NONE);
    /* one attribute known: its level's weight, v = ((279/979) * 2)^-.5 * (mu_2 / mu)^-1 before
     * normalisation; nothing known: 1 */
    double n2 = 200 + 29 + 50, s2 = 200 * 0.6 + 29 * 0.1 + 50 * 0.6;
    double n = n2 + 700, all = s2 + 400 * 0.8 + 300 * 0.7;
    double want = pow(n2 / n * 2, -0.5) / ((s2 / n2) / (all / n));
    assert_true(want < 2);
    assert_true(fabs(v[4] / v[5] - want) < 1e-12);
    assert_true(v[2] > v[1] && v[1] > v[0]);
}

static void test_group_weights__whatever_the_groups__bounded(void **state)
{
    (void)state;
    const struct csl_stratum s[5] = {of(1, 1, 100000, 1), of(1, 2, 30, 0), of(2, 1, 31, 0.01),
                                     of(2, 2, 1, 0), of(0, 2, 3, 1)};
    double v[5], low = HUGE_VAL, high = 0;
    weigh(s, 5, v, NULL);
    for (size_t i = 0; i < 5; i++) {
        low = v[i] < low ? v[i] : low;
        high = v[i] > high ? v[i] : high;
    }
    assert_true(high / low <= 4 + 1e-12 && high <= 4 && low >= 0.25);
}

static void test_group_weights__more_or_better__counts_less(void **state)
{
    (void)state;
    struct csl_stratum s[3] = {of(1, 1, 400, 0.7), of(1, 2, 100, 0.6), of(2, 1, 60, 0.5)};
    struct csl_group_rule rule;
    csl_group_rule_default(&rule);
    rule.cap = HUGE_VAL;
    double before[3], after[3];
    assert_int_equal(csl_group_weights(&rule, 2, s, 3, before, NULL, NULL), CSL_OK);
    s[2] = of(2, 1, 90, 0.5);
    assert_int_equal(csl_group_weights(&rule, 2, s, 3, after, NULL, NULL), CSL_OK);
    assert_true(after[2] / after[0] < before[2] / before[0]);
    s[2] = of(2, 1, 60, 0.55);
    assert_int_equal(csl_group_weights(&rule, 2, s, 3, after, NULL, NULL), CSL_OK);
    assert_true(after[2] / after[0] < before[2] / before[0]);
}

static void refuse(const struct csl_stratum *s, uint32_t count, enum csl_code want)
{
    struct csl_group_rule rule;
    csl_group_rule_default(&rule);
    double v[2] = {7, 7};
    assert_int_equal(csl_group_weights(&rule, 2, s, count, v, NULL, NULL), want);
    assert_true(v[0] == 7 && v[1] == 7);
}

static void test_group_weights__absurd_input__refused(void **state)
{
    (void)state;
    struct csl_stratum s[2] = {of(1, 1, 50, 0.5), of(1, 1, 50, 0.5)};
    refuse(s, 2, CSL_E_INVAL); /* twice */
    s[1] = of(1, 2, NAN, 0.5);
    refuse(s, 2, CSL_E_INVAL);
    s[1] = of(1, 2, 50, 1.1);
    refuse(s, 2, CSL_E_INVAL);
    s[1] = of(1, 2, 50, -0.1);
    refuse(s, 2, CSL_E_INVAL);
    s[1] = of(1, CSL_GROUP_LEVELS_MAX + 1, 50, 0.1);
    refuse(s, 2, CSL_E_INVAL);
    s[0] = of(1, 1, 0, 0);
    refuse(s, 1, CSL_E_STATE);
    refuse(s, 0, CSL_E_STATE);
}

enum { HISTORY = 4, PATIENTS = 600 };

/* k humps of equal size, 10 deviations apart; one hump is what a k of 1 is for. */
static uint32_t cluster_humps(uint32_t humps, uint64_t seed, uint32_t patients, uint8_t *cluster)
{
    static float losses[PATIENTS * HISTORY];
    struct csl_rng rng;
    uint32_t count = 0;
    csl_rng_init_label(&rng, seed, "unit.clusters", humps, 0, 0);
    for (uint32_t i = 0; i < patients; i++) {
        double middle = 1 + 1.0 * (i % humps) + 0.1 * csl_rng_normal(&rng);
        for (uint32_t t = 0; t < HISTORY; t++)
            losses[i * HISTORY + t] = (float)(middle + 0.01 * csl_rng_normal(&rng));
    }
    assert_int_equal(csl_cluster_patients(patients, HISTORY, losses, 30, cluster, &count, NULL),
                     CSL_OK);
    return count;
}

static void test_group_weights__clusters__as_many_as_there_are(void **state)
{
    (void)state;
    uint8_t cluster[PATIENTS];
    for (uint64_t seed = 1; seed <= 50; seed++)
        for (uint32_t humps = 1; humps <= 3; humps++) {
            assert_int_equal(cluster_humps(humps, seed, PATIENTS, cluster), humps);
            uint32_t in_place = 0; /* 5 deviations from the middle: of 600, one in 3000 strays */
            for (uint32_t i = 0; i < PATIENTS; i++)
                in_place += cluster[i] == 1 + i % humps;
            assert_true(in_place >= PATIENTS - 2);
        }
    assert_int_equal(cluster_humps(2, 1, 59, cluster), 1); /* none of 30 */
    assert_int_equal(cluster_humps(2, 1, 60, cluster), 2);
}

/* Losses that are all alike, or differ without any gap, are one cluster. */
static void test_group_weights__no_gap__one_cluster(void **state)
{
    (void)state;
    static float losses[PATIENTS];
    uint8_t cluster[PATIENTS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < PATIENTS; i++)
        losses[i] = 0.7F;
    assert_int_equal(csl_cluster_patients(PATIENTS, 1, losses, 30, cluster, &count, NULL), CSL_OK);
    assert_int_equal(count, 1);
    for (uint32_t i = 0; i < PATIENTS; i++)
        losses[i] = (float)(i * 7 % PATIENTS) / PATIENTS;
    assert_int_equal(csl_cluster_patients(PATIENTS, 1, losses, 30, cluster, &count, NULL), CSL_OK);
    assert_int_equal(count, 1);
    losses[3] = NAN;
    assert_int_equal(csl_cluster_patients(PATIENTS, 1, losses, 30, cluster, &count, NULL),
                     CSL_E_INVAL);
    assert_int_equal(csl_cluster_patients(0, 1, losses, 30, cluster, &count, NULL), CSL_E_LIMIT);
}

static int setup(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_weights__equal_groups__plain_mean),
        cmocka_unit_test(test_group_weights__small_or_half_known__attributes_of_their_own),
        cmocka_unit_test(test_group_weights__whatever_the_groups__bounded),
        cmocka_unit_test(test_group_weights__more_or_better__counts_less),
        cmocka_unit_test(test_group_weights__absurd_input__refused),
        cmocka_unit_test(test_group_weights__clusters__as_many_as_there_are),
        cmocka_unit_test(test_group_weights__no_gap__one_cluster),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
