/* Counts by patient group: where a record is counted, what cannot be counts, and figures that are
 * those of the groups' own counts. */
#include "aggregation/evaluate/group_sums.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct csl_group_plan plan = {.classes = 2, .attribute_count = 2, .values = {2, 3}};
enum { PART = 6, PARTS = 3 + 4, COUNTS = PARTS * PART };

static struct csl_sums fresh(uint32_t bins)
{
    struct csl_sums s;
    assert_int_equal(csl_sums_init(&s, 2, bins, NULL), CSL_OK);
    return s;
}

static void add(uint64_t *counts, struct csl_sums *all, double score, uint8_t label, uint8_t sex,
                uint8_t band)
{
    const float f = (float)score;
    const uint8_t group[2] = {sex, band};
    assert_int_equal(csl_group_sums_add(&plan, counts, &f, label, group, true, NULL), CSL_OK);
    assert_int_equal(csl_sums_add(all, &f, label, true, NULL), CSL_OK);
}

/* Of one site; right for a third of the men and of band 2 less. */
static void fill(uint64_t counts[COUNTS], struct csl_sums *all)
{
    memset(counts, 0, COUNTS * sizeof(*counts));
    for (uint32_t i = 0; i < 60; i++) {
        uint8_t label = i / 2 % 2;
        bool is_wrong = i % 2 == 1 ? i % 3 == 0 : i % 10 == 0;
        add(counts, all, label != is_wrong ? 0.8 : 0.3, label, (uint8_t)(1 + i % 2),
            (uint8_t)(1 + i % 3));
    }
}

static void test_group_sums__records__once_for_each_attribute(void **state)
{
    uint64_t counts[COUNTS] = {0};
    struct csl_sums all = fresh(256);
    (void)state;
    assert_int_equal(csl_group_sums_count(&plan), COUNTS);
    add(counts, &all, 0.8, 1, 2, 0);             /* right, a man of unknown age */
    add(counts, &all, 0.8, 0, 9, 3);             /* wrong, of a sex that is not listed */
    const uint64_t expected[PARTS][PART] = {{0}, /* women */
                                            {1, 1, 0, 0, 0, 1}, /* men */
                                            {1, 1, 0, 1, 0, 0}, /* neither */
                                            {0},
                                            {0},
                                            {1, 1, 0, 1, 0, 0},
                                            {1, 1, 0, 0, 0, 1}};
    assert_memory_equal(counts, expected, sizeof(expected));
    assert_int_equal(csl_group_sums_check(&plan, counts, &all, NULL), CSL_OK);
    csl_sums_release(&all);
}

static void test_group_sums__refused_record__counts_nothing(void **state)
{
    const uint64_t none[COUNTS] = {0};
    uint64_t counts[COUNTS] = {0};
    const float high = 1.5f, good = 0.5f;
    const uint8_t group[2] = {1, 1};
    (void)state;
    assert_int_equal(csl_group_sums_add(&plan, counts, &high, 1, group, true, NULL), CSL_E_INVAL);
    assert_int_equal(csl_group_sums_add(&plan, counts, &good, 2, group, true, NULL), CSL_E_INVAL);
    assert_int_equal(csl_group_sums_add(&plan, counts, &good, 1, group, false, NULL), CSL_E_INVAL);
    assert_memory_equal(counts, none, sizeof(none));
}

/* One more or one less of anything, or a wrap, cannot be counts of these records at one site. */
static void test_group_sums__any_entry_changed__is_no_count(void **state)
{
    uint64_t counts[COUNTS];
    struct csl_sums all = fresh(256);
    (void)state;
    fill(counts, &all);
    assert_int_equal(csl_group_sums_check(&plan, counts, &all, NULL), CSL_OK);
    for (size_t i = 0; i < COUNTS; i++) {
        const uint64_t seen = counts[i], wrong[] = {seen + 1, seen - 1, UINT64_MAX, 1U << 31};
        for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
            counts[i] = wrong[k];
            assert_int_equal(csl_group_sums_check(&plan, counts, &all, NULL), CSL_E_INVAL);
        }
        counts[i] = seen;
    }
    assert_int_equal(csl_group_sums_check(&plan, counts, &all, NULL), CSL_OK);
    csl_sums_release(&all);
}

static void assert_same(const struct csl_metrics *a, const struct csl_metrics *b)
{
    assert_int_equal(a->count, b->count);
    assert_true(a->count > 0);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_string_equal(a->items[i].name, b->items[i].name);
        assert_true(a->items[i].value >= b->items[i].value &&
                    a->items[i].value <= b->items[i].value);
        assert_true(a->items[i].low >= b->items[i].low && a->items[i].low <= b->items[i].low);
        assert_true(a->items[i].high >= b->items[i].high && a->items[i].high <= b->items[i].high);
    }
}

/* The total that a reader makes of the groups serves as well as the counts of all. */
static void test_group_sums__figures__those_of_the_groups_own_counts(void **state)
{
    uint64_t counts[COUNTS];
    struct csl_sums all = fresh(256), total = fresh(0);
    struct csl_group_figures f, of_total;
    struct csl_metrics gaps;
    struct csl_sum_figures *men = csl_alloc(sizeof(*men));
    (void)state;
    assert_non_null(men);
    fill(counts, &all);
    const struct csl_sums sexes[2] = {csl_group_sums_part(&plan, counts, 0, 0),
                                      csl_group_sums_part(&plan, counts, 0, 1)};
    assert_int_equal(csl_group_sums_evaluate(&plan, counts, &all, 0, 10, 1, 7, &f, NULL), CSL_OK);
    assert_int_equal(csl_sums_gaps(&all, sexes, 2, 7, &gaps, NULL), CSL_OK);
    assert_same(&f.gaps, &gaps);
    assert_int_equal(f.shown, 2);
    assert_int_equal(f.worst, 1);
    assert_int_equal(csl_sums_evaluate(&sexes[1], 7, men, NULL), CSL_OK);
    assert_null(csl_metrics_find(&men->metrics, "auc")); /* there is no histogram */
    assert_null(csl_metrics_find(&men->metrics, "ece"));
    assert_memory_equal(&f.worst_f1, csl_metrics_find(&men->metrics, "macro_f1"),
                        sizeof(f.worst_f1));
    assert_int_equal(f.worst_patients, 30);
    assert_int_equal(csl_group_sums_total(&plan, counts, &total, NULL), CSL_OK);
    assert_int_equal(csl_group_sums_evaluate(&plan, counts, &total, 0, 10, 1, 7, &of_total, NULL),
                     CSL_OK);
    assert_same(&of_total.gaps, &gaps);
    csl_free(men);
    csl_sums_release(&all);
    csl_sums_release(&total);
}

/* 30 men and women, 20 of each band: whoever is below the minimum, or at too few sites, is in no
 * figure. */
static void test_group_sums__small_groups__are_hidden(void **state)
{
    static const struct {
        uint32_t attribute, minimum, sites, shown, hidden;
    } rows[] = {
        {0, 30, 1, 2, 0}, {0, 31, 1, 0, 2}, {1, 20, 1, 3, 0}, {1, 21, 1, 0, 3}, {0, 10, 2, 0, 2}};
    uint64_t counts[COUNTS];
    struct csl_sums all = fresh(256);
    struct csl_group_figures f;
    (void)state;
    fill(counts, &all);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(csl_group_sums_evaluate(&plan, counts, &all, rows[i].attribute,
                                                 rows[i].minimum, rows[i].sites, 7, &f, NULL),
                         CSL_OK);
        assert_int_equal(f.shown, rows[i].shown);
        assert_int_equal(f.hidden, rows[i].hidden);
        assert_int_equal(f.gaps.count > 0, rows[i].shown > 0);
        assert_int_equal(f.worst == UINT32_MAX, rows[i].shown == 0);
    }
    csl_sums_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_sums__records__once_for_each_attribute),
        cmocka_unit_test(test_group_sums__refused_record__counts_nothing),
        cmocka_unit_test(test_group_sums__any_entry_changed__is_no_count),
        cmocka_unit_test(test_group_sums__figures__those_of_the_groups_own_counts),
        cmocka_unit_test(test_group_sums__small_groups__are_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
