/* Evaluation from counts: what is counted, what is refused, what is hidden. */
#include "aggregation/evaluate/sums.h"
#include "privacy/crypto/init.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct csl_sums made(uint32_t classes)
{
    struct csl_sums s;
    assert_int_equal(csl_sums_init(&s, classes, 256, NULL), CSL_OK);
    return s;
}

static void add(struct csl_sums *s, double score, uint8_t label, uint32_t times)
{
    float f = (float)score;
    for (; times > 0; times--)
        assert_int_equal(csl_sums_add(s, &f, label, true, NULL), CSL_OK);
}

static double value_of(const struct csl_metrics *m, const char *name)
{
    const struct csl_metric *item = csl_metrics_find(m, name);
    assert_non_null(item);
    return item != NULL ? item->value : -1;
}

static void test_sums__sizes_that_are_none__refused(void **state)
{
    (void)state;
    struct csl_sums s = {0, 0, NULL};
    struct csl_err err;
    assert_int_equal(csl_sums_init(&s, 1, 256, &err), CSL_E_INVAL);
    assert_int_equal(csl_sums_init(&s, CSL_CLASSES_MAX + 1, 256, &err), CSL_E_INVAL);
    assert_int_equal(csl_sums_init(&s, 2, 255, &err), CSL_E_INVAL);
    assert_string_equal(err.msg, "255 bins; 0, 256 or 1024 would be right");
    assert_null(s.counts);
    assert_int_equal(csl_sums_count(2, 256), 2 + 4 + 512);
    assert_int_equal(csl_sums_count(5, 1024), 2 + 25 + 6 * 2048);
}

static void test_sums__score_or_label_out_of_range__nothing_counted(void **state)
{
    (void)state;
    struct csl_sums s = made(3);
    const float good[3] = {0.2F, 0.5F, 0.3F}, high[3] = {0.2F, 1.5F, 0.3F};
    const float none[3] = {0.2F, NAN, 0.3F};
    assert_int_equal(csl_sums_add(&s, good, 1, false, NULL), CSL_E_INVAL); /* whose? */
    assert_int_equal(csl_sums_add(&s, high, 1, true, NULL), CSL_E_INVAL);
    assert_int_equal(csl_sums_add(&s, none, 1, true, NULL), CSL_E_INVAL);
    assert_int_equal(csl_sums_add(&s, good, 3, true, NULL), CSL_E_INVAL);
    for (size_t i = 0; i < csl_sums_count(3, 256); i++)
        assert_int_equal(s.counts[i], 0);
    assert_int_equal(csl_sums_add(&s, good, 1, true, NULL), CSL_OK);
    assert_int_equal(csl_sums_patients(&s), 1);
    assert_int_equal(csl_sums_sites(&s), 1);
    assert_int_equal(csl_sums_add(&s, good, 2, false, NULL), CSL_OK); /* of the same patient */
    assert_int_equal(csl_sums_patients(&s), 1);
    assert_int_equal(csl_sums_records(&s), 2);
    csl_sums_release(&s);
}

static void test_sums__parts_of_different_patients__each_refused(void **state)
{
    (void)state;
    struct csl_sums good = made(3), into = made(3), binary = made(2);
    const float scores[3] = {0.7F, 0.2F, 0.1F};
    for (uint8_t label = 0; label < 3; label++)
        assert_int_equal(csl_sums_add(&good, scores, label, true, NULL), CSL_OK);
    assert_int_equal(csl_sums_check(&good, NULL), CSL_OK);
    assert_int_equal(csl_sums_join(&binary, &good, NULL), CSL_E_INVAL);
    for (size_t i = 0; i < csl_sums_count(3, 256); i++) { /* one more anywhere is one too many */
        good.counts[i] += i == 0 ? 3 : 1;
        assert_int_equal(csl_sums_join(&into, &good, NULL), CSL_E_INVAL);
        good.counts[i] = UINT64_MAX;
        assert_int_equal(csl_sums_join(&into, &good, NULL), CSL_E_INVAL);
        good.counts[i] = 0;
        csl_sums_release(&good);
        good = made(3);
        for (uint8_t label = 0; label < 3; label++)
            assert_int_equal(csl_sums_add(&good, scores, label, true, NULL), CSL_OK);
    }
    assert_int_equal(csl_sums_patients(&into), 0);
    assert_int_equal(csl_sums_join(&into, &good, NULL), CSL_OK);
    assert_int_equal(csl_sums_join(&into, &good, NULL), CSL_OK);
    assert_int_equal(csl_sums_patients(&into), 6);
    assert_int_equal(csl_sums_sites(&into), 2);
    csl_sums_release(&good);
    csl_sums_release(&into);
    csl_sums_release(&binary);
}

static void test_sums__class_never_found__is_collapsed(void **state)
{
    (void)state;
    struct csl_sums s = made(3);
    static struct csl_sum_figures f;
    const float first[3] = {0.8F, 0.1F, 0.1F}, second[3] = {0.1F, 0.8F, 0.1F};
    for (int i = 0; i < 40; i++) {
        assert_int_equal(csl_sums_add(&s, first, 0, true, NULL), CSL_OK);
        assert_int_equal(csl_sums_add(&s, second, 1, true, NULL), CSL_OK);
        assert_int_equal(csl_sums_add(&s, i == 0 ? second : first, 2, true, NULL), CSL_OK);
    }
    assert_int_equal(csl_sums_evaluate(&s, 1, &f, NULL), CSL_OK);
    assert_int_equal(f.collapsed, 1);
    assert_true(f.by_class[2].is_collapsed && !f.by_class[0].is_collapsed);
    assert_true(f.by_class[2].sensitivity.value <= 0 && f.by_class[2].sensitivity.high > 0.05);
    assert_int_equal(f.by_class[0].decided, 79);
    csl_sums_release(&s);
}

static void test_sums__sensitivity_at_the_limit__is_not_collapsed(void **state)
{
    (void)state;
    struct csl_sums s = made(2);
    static struct csl_sum_figures f;
    add(&s, 0.9, 1, 1);
    add(&s, 0.1, 1, 19);
    add(&s, 0.1, 0, 30);
    assert_int_equal(csl_sums_evaluate(&s, 1, &f, NULL), CSL_OK);
    assert_true(value_of(&f.metrics, "sensitivity") >= CSL_COLLAPSED_BELOW);
    assert_int_equal(f.collapsed, 0);
    add(&s, 0.1, 1, 1);
    assert_int_equal(csl_sums_evaluate(&s, 1, &f, NULL), CSL_OK);
    assert_int_equal(f.collapsed, 2); /* of a binary task: the class, and the specificity of the
                                         other */
    csl_sums_release(&s);
}

static void test_sums__nobody_or_one_kind__absent_never_zero(void **state)
{
    (void)state;
    struct csl_sums s = made(2);
    static struct csl_sum_figures f;
    assert_int_equal(csl_sums_evaluate(&s, 1, &f, NULL), CSL_OK);
    assert_int_equal(f.metrics.count, 0);
    add(&s, 0.7, 1, 5);
    assert_int_equal(csl_sums_evaluate(&s, 1, &f, NULL), CSL_OK);
    assert_null(csl_metrics_find(&f.metrics, "auc"));
    assert_null(csl_metrics_find(&f.metrics, "specificity"));
    assert_null(csl_metrics_find(&f.metrics, "macro_f1"));
    assert_true(value_of(&f.metrics, "accuracy") >= 1);
    assert_null(f.by_class[1].specificity.name);
    csl_sums_release(&s);
}

static void test_sums__calibration__bins_hold_what_was_predicted_and_seen(void **state)
{
    (void)state;
    struct csl_sums s = made(2);
    static struct csl_sum_figures f;
    add(&s, 0.0, 0, 8);
    add(&s, 1.0, 1, 4);
    add(&s, 0.51, 1, 30);
    add(&s, 0.51, 0, 10);
    assert_int_equal(csl_sums_evaluate(&s, 1, &f, NULL), CSL_OK);
    assert_int_equal(f.calibration[0].records, 8);
    assert_int_equal(f.calibration[8].records, 40);
    assert_int_equal(f.calibration[15].records, 4);
    assert_true(fabs(f.calibration[8].observed - 0.75) < 1e-12);
    assert_true(fabs(f.calibration[8].predicted - 0.51) <= f.ece_error);
    double ece = 40.0 / 52 * (0.75 - 0.51);
    assert_true(fabs(value_of(&f.metrics, "ece") - ece) <= f.ece_error);
    csl_sums_release(&s);
}

static void test_sums__groups_that_are_no_part__refused(void **state)
{
    (void)state;
    struct csl_sums all = made(2), groups[2] = {made(2), made(2)};
    struct csl_metrics m;
    add(&all, 0.9, 1, 5);
    add(&groups[0], 0.9, 1, 3);
    add(&groups[1], 0.9, 1, 3);
    assert_int_equal(csl_sums_gaps(&all, groups, 2, 1, &m, NULL), CSL_E_INVAL);
    assert_int_equal(csl_sums_gaps(&all, groups, 1, 1, &m, NULL), CSL_OK);
    assert_int_equal(m.count, 0); /* one group: no gap */
    csl_sums_release(&all);
    csl_sums_release(&groups[0]);
    csl_sums_release(&groups[1]);
}

static void test_sums__gap_that_chance_explains__interval_begins_at_zero(void **state)
{
    (void)state;
    struct csl_sums all = made(2), groups[2] = {made(2), made(2)};
    struct csl_metrics m;
    const struct {
        double score;
        uint8_t label;
        uint32_t count[2];
    } rows[] = {{0.9, 1, {30, 28}}, {0.1, 1, {10, 12}}, {0.1, 0, {35, 33}}, {0.9, 0, {5, 7}}};
    for (size_t i = 0; i < 4; i++)
        for (size_t g = 0; g < 2; g++) {
            add(&groups[g], rows[i].score, rows[i].label, rows[i].count[g]);
            add(&all, rows[i].score, rows[i].label, rows[i].count[g]);
        }
    assert_int_equal(csl_sums_gaps(&all, groups, 2, 1, &m, NULL), CSL_OK);
    assert_true(csl_metrics_find(&m, "eod")->low <= 0);
    add(&groups[1], 0.1, 1, 200); /* a difference no chance explains */
    add(&all, 0.1, 1, 200);
    assert_int_equal(csl_sums_gaps(&all, groups, 2, 1, &m, NULL), CSL_OK);
    assert_true(csl_metrics_find(&m, "eod_positive")->low > 0.4);
    assert_string_equal(csl_metrics_find(&m, "eod_positive")->method, "bootstrap-gap");
    csl_sums_release(&all);
    csl_sums_release(&groups[0]);
    csl_sums_release(&groups[1]);
}

static void suppress(const uint32_t sizes[3], uint32_t unknown, uint32_t sites_min,
                     uint32_t unknown_sites, bool shown[3])
{
    struct csl_sums all = made(2), groups[3] = {made(2), made(2), made(2)};
    for (size_t g = 0; g < 3; g++) {
        add(&groups[g], 0.9, 1, sizes[g]);
        add(&all, 0.9, 1, sizes[g]);
        if (sizes[g] > 0)
            groups[g].counts[0] = 3;
    }
    groups[2].counts[0] = 2;
    add(&all, 0.9, 1, unknown);
    csl_sums_suppress(&all, groups, 3, 30, sites_min, unknown_sites, shown);
    csl_sums_release(&all);
    for (size_t g = 0; g < 3; g++)
        csl_sums_release(&groups[g]);
}

static void test_sums__small_groups__hidden_and_not_to_be_computed(void **state)
{
    (void)state;
    bool shown[3];
    suppress((const uint32_t[3]){50, 40, 30}, 0, 2, 0, shown);
    assert_true(shown[0] && shown[1] && shown[2]);
    suppress((const uint32_t[3]){50, 40, 29}, 0, 2, 0, shown); /* 29 would be all less the others */
    assert_true(shown[0] && !shown[1] && !shown[2]);
    suppress((const uint32_t[3]){50, 40, 29}, 1, 2, 1, shown); /* 30 together are enough */
    assert_true(shown[0] && shown[1] && !shown[2]);
    suppress((const uint32_t[3]){50, 40, 0}, 29, 2, 4, shown);
    assert_true(shown[0] && !shown[1] && !shown[2]);
    suppress((const uint32_t[3]){29, 5, 7}, 0, 2, 0, shown);
    assert_true(!shown[0] && !shown[1] && !shown[2]);
}

/* The third group comes from two sites, the others from three. */
static void test_sums__group_of_few_sites__hidden_and_not_to_be_computed(void **state)
{
    (void)state;
    bool shown[3];
    suppress((const uint32_t[3]){50, 40, 35}, 0, 3, 0,
             shown); /* all less the others is the third */
    assert_true(shown[0] && !shown[1] && !shown[2]);
    suppress((const uint32_t[3]){50, 40, 35}, 9, 3, 2, shown); /* and 9 more at two sites */
    assert_true(shown[0] && !shown[1] && !shown[2]);
    suppress((const uint32_t[3]){50, 40, 35}, 9, 3, 3, shown); /* and 9 more at three */
    assert_true(shown[0] && shown[1] && !shown[2]);
    suppress((const uint32_t[3]){50, 0, 35}, 0, 3, 0, shown);
    assert_true(!shown[0] && !shown[1] && !shown[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums__sizes_that_are_none__refused),
        cmocka_unit_test(test_sums__score_or_label_out_of_range__nothing_counted),
        cmocka_unit_test(test_sums__parts_of_different_patients__each_refused),
        cmocka_unit_test(test_sums__class_never_found__is_collapsed),
        cmocka_unit_test(test_sums__sensitivity_at_the_limit__is_not_collapsed),
        cmocka_unit_test(test_sums__nobody_or_one_kind__absent_never_zero),
        cmocka_unit_test(test_sums__calibration__bins_hold_what_was_predicted_and_seen),
        cmocka_unit_test(test_sums__groups_that_are_no_part__refused),
        cmocka_unit_test(test_sums__gap_that_chance_explains__interval_begins_at_zero),
        cmocka_unit_test(test_sums__small_groups__hidden_and_not_to_be_computed),
        cmocka_unit_test(test_sums__group_of_few_sites__hidden_and_not_to_be_computed),
    };
    return csl_crypto_init(NULL) != CSL_OK || cmocka_run_group_tests(tests, NULL, NULL);
}
