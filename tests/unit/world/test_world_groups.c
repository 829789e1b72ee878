/* Test patients counted by group: the coordinator adds up what sites report, or opens the sum under
 * masks, and shows the groups that are large enough; both ways the same. */
#include "tests/unit/world/masked_internal.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "site-agent/data/dataset.h"
#include "site-agent/data/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define GROUPS(minimum)                                                                            \
    "fairness: {attributes: [sex], groups: {sex: [female, male]}, minimum_group: " minimum "}"
#define PART ((size_t)6) /* sites, patients, confusion */

static struct fixture fixture;
static struct csl_msg status_file;

static void read_status(void)
{
    char path[CSL_PATH_MAX];
    struct csl_err err = {.code = CSL_OK};
    fixture_path(&fixture, "run/coordinator/status.json", path);
    masked_must(csl_file_read(&status_file, path, 1 << 20, &err), &err);
}

static void run_dying(const char *sections, uint32_t rounds, const struct dying_plan *dying,
                      struct masked_result *out)
{
    struct masked_plan plan = {.rounds = rounds,
                               .minimum_sites = 3,
                               .keyless_site = MASKED_NONE,
                               .sections = sections,
                               .dying = *dying,
                               .at_end = read_status};
    masked_run(&fixture, &plan, out);
    if (out->code != CSL_OK)
        fail_msg("%s", out->reason);
}

static void run(const char *sections, uint32_t rounds, struct masked_result *out)
{
    run_dying(sections, rounds, &(struct dying_plan){.party = DYING_NOBODY}, out);
}

/* The entry of the status file about sex. */
static const struct csl_json_value *entry(struct csl_json_doc **doc)
{
    struct csl_err err = {.code = CSL_OK};
    masked_must(csl_json_parse(doc, "status.json", csl_msg_span(&status_file), &err), &err);
    const struct csl_json_value *all = csl_json_get(csl_json_root(*doc), "patient_groups");
    assert_int_equal(csl_json_count(all), 1);
    csl_msg_release(&status_file);
    return csl_json_at(all, 0);
}

static uint64_t number_of(const struct csl_json_value *v, const char *key)
{
    uint64_t n = UINT64_MAX;
    assert_true(csl_json_as_u64(csl_json_get(v, key), &n));
    return n;
}

static double value_of(const struct csl_json_value *v, const char *key, const char *of)
{
    double value = -1;
    assert_true(csl_json_as_f64(csl_json_get(csl_json_get(v, key), of), &value));
    return value;
}

static double share(double part, double rest)
{
    return part / (part + rest);
}

static double gap(double a, double b)
{
    return a > b ? a - b : b - a;
}

/* Ten women and ten men at five sites, and their counts are those of all. */
static void assert_parts(const struct csl_eval_block *b)
{
    const uint32_t *women = b->groups, *men = women + PART, *rest = men + PART;
    assert_int_equal(b->group_count, 3 * PART);
    for (size_t i = 0; i < PART; i++)
        assert_int_equal(rest[i], 0);
    assert_int_equal(women[0], 5);
    assert_int_equal(men[0], 5);
    assert_int_equal(women[1], 10);
    assert_int_equal(men[1], 10);
    assert_int_equal(women[2] + men[2], b->true_negative);
    assert_int_equal(women[3] + men[3], b->false_positive);
    assert_int_equal(women[4] + men[4], b->false_negative);
    assert_int_equal(women[5] + men[5], b->true_positive);
}

static void test_world_groups__under_masks__gaps_of_the_sum(void **state)
{
    struct masked_result r;
    struct csl_json_doc *doc = NULL;
    (void)state;
    run(SAMPLES MASKS GROUPS("10"), 2, &r);
    assert_int_equal(r.evaluation_count, 2);
    const struct csl_eval_block *b = &r.evaluations[1].block;
    const uint32_t *women = b->groups, *men = women + PART;
    assert_parts(b);
    const struct csl_json_value *v = entry(&doc), *gaps = csl_json_get(v, "gaps");
    assert_int_equal(number_of(v, "round"), 2);
    assert_int_equal(number_of(v, "groups_shown"), 2);
    assert_int_equal(number_of(v, "groups_hidden"), 0);
    double sensitivity = gap(share(women[5], women[4]), share(men[5], men[4]));
    double false_alarms = gap(share(women[3], women[2]), share(men[3], men[2]));
    assert_true(gap(value_of(gaps, "eod_positive", "value"), sensitivity) < 1e-12);
    assert_true(gap(value_of(gaps, "fpr_gap_positive", "value"), false_alarms) < 1e-12);
    assert_true(value_of(gaps, "eod", "low") <= value_of(gaps, "eod", "value"));
    assert_true(value_of(gaps, "eod", "high") >= value_of(gaps, "eod", "value"));
    assert_int_equal(number_of(csl_json_get(v, "worst"), "patients"), 10);
    csl_json_free(doc);
    masked_release(&r);
}

static void test_world_groups__small_groups__are_in_no_figure(void **state)
{
    struct masked_result r;
    struct csl_json_doc *doc = NULL;
    (void)state;
    run(SAMPLES MASKS GROUPS("11"), 1, &r);
    const struct csl_json_value *v = entry(&doc);
    assert_int_equal(number_of(v, "groups_shown"), 0);
    assert_int_equal(number_of(v, "groups_hidden"), 2);
    assert_int_equal(csl_json_count(csl_json_get(v, "gaps")), 0);
    assert_null(csl_json_get(v, "worst"));
    csl_json_free(doc);
    masked_release(&r);
}

/* In the open each site reports, and the sum is made of the reports. */
static void test_world_groups__reported_in_the_open__same_figures(void **state)
{
    struct masked_result masked, plain;
    struct csl_json_doc *doc[2] = {NULL, NULL};
    const char *names[] = {"eod", "pp", "fpr_gap", "f1_gap"}, *of[] = {"value", "low", "high"};
    (void)state;
    run(SAMPLES MASKS GROUPS("10"), 1, &masked);
    const struct csl_json_value *a = csl_json_get(entry(&doc[0]), "gaps");
    run(SAMPLES GROUPS("10"), 1, &plain);
    const struct csl_json_value *b = csl_json_get(entry(&doc[1]), "gaps");
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 3; k++)
            assert_true(gap(value_of(a, names[i], of[k]), value_of(b, names[i], of[k])) < 1e-12);
    csl_json_free(doc[0]);
    csl_json_free(doc[1]);
    masked_release(&masked);
    masked_release(&plain);
}

/* Its newest sums come from the stored reports, and a site that reports again counts once. */
static void test_world_groups__coordinator_dies_anywhere__same_figures(void **state)
{
    const char *sections[] = {SAMPLES GROUPS("10"), SAMPLES MASKS GROUPS("10")};
    (void)state;
    for (size_t masks = 0; masks < 2; masks++) {
        struct masked_result r;
        struct csl_json_doc *doc[2] = {NULL, NULL};
        run(sections[masks], 1, &r);
        uint64_t writes = r.writes[MASKED_SERVICE];
        struct dying_plan dying = {.party = MASKED_SERVICE, .at = 1};
        const struct csl_json_value *whole = entry(&doc[0]);
        double eod = value_of(csl_json_get(whole, "gaps"), "eod", "low");
        masked_release(&r);
        assert_in_range(writes, 8, 200);
        for (; dying.at <= writes; dying.at += 3) { /* before and after in turns */
            dying.is_after = dying.at % 2 == 0;
            run_dying(sections[masks], 1, &dying, &r);
            const struct csl_json_value *v = entry(&doc[1]);
            assert_int_equal(r.deaths, 1);
            assert_int_equal(number_of(v, "groups_shown"), 2);
            assert_true(gap(value_of(csl_json_get(v, "gaps"), "eod", "low"), eod) < 1e-12);
            assert_int_equal(number_of(csl_json_get(v, "worst"), "patients"), 10);
            csl_json_free(doc[1]);
            masked_release(&r);
        }
        csl_json_free(doc[0]);
    }
}

/* Half of who tests is not ill, of either sex: the fixture's test patients all are. */
static int set_up(void **state)
{
    (void)state;
    masked_open(&fixture);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        struct csl_records r;
        struct csl_err err = {.code = CSL_OK};
        char path[CSL_PATH_MAX];
        masked_records_path(&fixture, i, path);
        masked_must(csl_records_read(&r, path, &err), &err);
        for (uint32_t p = 0; p < r.record_count; p++)
            if (r.split[p] == CSL_SPLIT_TEST)
                r.labels[0].value[p] = p / 8 % 2;
        masked_must(csl_records_write(&r, path, &err), &err);
        csl_records_release(&r);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_groups__under_masks__gaps_of_the_sum),
        cmocka_unit_test(test_world_groups__small_groups__are_in_no_figure),
        cmocka_unit_test(test_world_groups__reported_in_the_open__same_figures),
        cmocka_unit_test(test_world_groups__coordinator_dies_anywhere__same_figures),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
