/* fairness.groups: fields, what sites count by it, and what forbids it. */
#include "aggregation/evaluate/group_sums.h"
#include "base/mem.h"
#include "protocol/study/evaluation.h"
#include "tests/unit/study/study_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GROUPS "groups: {sex: [female, male], age_band: [\"<45\", 45-64, \"65+\"]}"

/* The small study with lines 6 (task) and 25 (evaluation, and what follows it) replaced. */
static struct csl_study *parse(const char *task, const char *rest, struct csl_err *err)
{
    char text[16384] = "";
    struct csl_study *s = NULL;
    for (size_t i = 0; i < STUDY_LINES; i++) {
        const char *line = i == 5 && task != NULL ? task : i == 24 ? rest : study_lines[i];
        line = i == 21 ? "  minimum: 3" : i == 22 ? "  participants: [a, b, c]" : line;
        if (i == 8 && task != NULL && strstr(task, "survival") != NULL)
            line = "model: {kind: cox}";
        if (i >= 26 || (i == 19 && strstr(rest, "privacy:") != NULL))
            continue;
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", line);
    }
    *err = (struct csl_err){.code = CSL_OK};
    return csl_study_parse(&s, "s.yaml", CSL_SPAN(text, strlen(text)), err) == CSL_OK ? s : NULL;
}

static struct csl_study *parsed(const char *task, const char *rest)
{
    struct csl_err err;
    struct csl_study *s = parse(task, rest, &err);
    if (s == NULL)
        fail_msg("%s", err.msg);
    return s;
}

static void test_study_groups__values__are_counted_in_order(void **state)
{
    struct csl_study *s = parsed(NULL, "fairness: {attributes: [age_band, sex], " GROUPS "}");
    struct csl_group_plan plan;
    (void)state;
    assert_int_equal(s->fairness.value_count[0], 3);
    assert_string_equal(s->fairness.values[0][0], "<45");
    assert_string_equal(s->fairness.values[1][1], "male");
    csl_study_group_plan(s, 0, &plan);
    assert_int_equal(plan.values[0], 3);
    assert_int_equal(plan.values[1], 2);
    assert_int_equal(csl_study_group_counts(s, 0), (4 + 3) * (2 + 4));
    csl_study_free(s);
    s = parsed(NULL, "fairness: {attributes: [sex]}");
    assert_int_equal(csl_study_group_counts(s, 0), 0);
    csl_study_free(s);
}

static void test_study_groups__masks__block_is_longer_by_the_counts(void **state)
{
    static const char masks[] =
        "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"
        "fairness: {attributes: [sex, age_band]%s}";
    char rest[512];
    uint64_t words[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(rest, sizeof(rest), masks, i == 0 ? "" : ", " GROUPS);
        struct csl_study *s = parsed(NULL, rest);
        words[i] = csl_study_evaluation_words(s, 0);
        csl_study_free(s);
    }
    assert_int_equal(words[0], 519);
    assert_int_equal(words[1], 519 + (3 + 4) * 6);
}

static void test_study_groups__what_a_site_reports__has_to_be_counts_of_its_records(void **state)
{
    struct csl_study *s = parsed(NULL, "fairness: {attributes: [sex], groups: {sex: [f, m]}}");
    const uint32_t good[18] = {1, 2, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const uint64_t confusion[4] = {2, 0, 1, 1}, other[4] = {1, 1, 1, 1};
    uint32_t bad[18];
    struct csl_err err;
    (void)state;
    assert_int_equal(csl_study_check_groups(s, 0, good, 18, 4, confusion, &err), CSL_OK);
    assert_int_equal(csl_study_check_groups(s, 0, NULL, 0, 0, confusion, &err), CSL_OK);
    assert_int_equal(csl_study_check_groups(s, 0, good, 18, 0, confusion, &err), CSL_E_INVAL);
    assert_int_equal(csl_study_check_groups(s, 0, good, 17, 4, confusion, &err), CSL_E_INVAL);
    assert_int_equal(csl_study_check_groups(s, 0, good, 0, 4, confusion, &err), CSL_E_INVAL);
    assert_int_equal(csl_study_check_groups(s, 0, good, 18, 5, confusion, &err), CSL_E_INVAL);
    assert_int_equal(csl_study_check_groups(s, 0, good, 18, 4, other, &err), CSL_E_INVAL);
    memcpy(bad, good, sizeof(bad));
    bad[0] = 2; /* two sites in one report */
    assert_int_equal(csl_study_check_groups(s, 0, bad, 18, 4, confusion, &err), CSL_E_INVAL);
    csl_study_free(s);
    s = parsed(NULL, "fairness: {attributes: [sex]}");
    assert_int_equal(csl_study_check_groups(s, 0, good, 18, 4, confusion, &err), CSL_E_INVAL);
    assert_int_equal(csl_study_check_groups(s, 0, NULL, 0, 4, confusion, &err), CSL_OK);
    csl_study_free(s);
}

static void test_study_groups__refused__with_the_reason(void **state)
{
#define SEX(rest) "fairness: {attributes: [sex], groups: " rest "}"
    static const struct {
        const char *task, *rest, *why;
    } rows[] = {
        {NULL, SEX("[female, male]"), "groups: found a list; lists of values such as"},
        {NULL, SEX("{sex: female}"), "sex: found a single value"},
        {NULL, SEX("{sex: [female]}"), "sex: found 1 values of the attribute; 2 to 16"},
        {NULL, SEX("{sex: [f, f]}"), "found 'f'; each value once would be right"},
        {NULL, SEX("{sex: [f, \"\"]}"), "a value of the attribute, of at most 31 bytes"},
        {NULL, SEX("{sex: [f, \"a\\tb\"]}"), "a value of the attribute, of at most 31 bytes"},
        {NULL, SEX("{sex: [f, 12345678901234567890123456789012]}"), "of at most 31 bytes"},
        {NULL, SEX("{age: [a, b]}"), "age: no attribute of the list 'attributes'"},
        {NULL, SEX("{}"), "groups: the values of 'sex' are missing"},
        {NULL, "fairness: {groups: {sex: [f, m]}, domain_weights: {kind: balanced}}",
         "groups: has no effect here: without attributes there are no groups"},
        {NULL, "privacy: {mode: local, epsilon: 1, delta: 1e-6, clip: 1}\n" SEX("{sex: [f, m]}"),
         "groups: with privacy no count of test patients leaves a site"},
        {"    task: {kind: survival, label: death}", SEX("{sex: [f, m]}"),
         "groups: patient groups are counted in domains of one label or of classes"},
        {"    task: {kind: classes, label: kind, classes: 20}", SEX("{sex: [f, m]}"),
         "domain heart would have 1206 counts by patient group (20 classes: 402 for each"},
    };
    struct csl_err err;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (parse(rows[i].task, rows[i].rest, &err) != NULL)
            fail_msg("accepted: %s", rows[i].rest);
        if (strstr(err.msg, rows[i].why) == NULL)
            fail_msg("'%s' without '%s'", err.msg, rows[i].why);
    }
}

static void test_study_groups__explained__what_the_coordinator_sees(void **state)
{
    static const struct {
        const char *rest, *says;
    } rows[] = {{"fairness: {attributes: [sex]}", "A site over the network reports no group."},
                {"fairness: {attributes: [sex], groups: {sex: [f, m]}}",
                 "right and wrong answers of each class, by\n    sex (f, m).\n    The coordinator "
                 "sees each site's counts, of small groups too"},
                {"secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"
                 "fairness: {attributes: [sex], groups: {sex: [f, m]}}",
                 "sees the sums over the sites, of small groups too"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = parsed(NULL, rows[i].rest);
        struct csl_buf out;
        csl_buf_init(&out, 65536);
        csl_study_explain(s, &out);
        if (strstr(csl_buf_text(&out), rows[i].says) == NULL)
            fail_msg("%s", csl_buf_text(&out));
        csl_buf_release(&out);
        csl_study_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_groups__values__are_counted_in_order),
        cmocka_unit_test(test_study_groups__masks__block_is_longer_by_the_counts),
        cmocka_unit_test(test_study_groups__what_a_site_reports__has_to_be_counts_of_its_records),
        cmocka_unit_test(test_study_groups__refused__with_the_reason),
        cmocka_unit_test(test_study_groups__explained__what_the_coordinator_sees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
