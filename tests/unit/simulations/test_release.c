/* Whether a model may be handed out, and its card. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/release.h"
#include "tests/unit/simulations/made_up.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct csl_err err;

static struct csl_metric *find(struct csl_metrics *m, const char *name)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (strcmp(m->items[i].name, name) == 0)
            return &m->items[i];
    fail_msg("no %s", name);
    return m->items;
}

static void drop(struct csl_metrics *m, const char *name)
{
    find(m, name)->name = "accuracy";
}

static void test_release__study_without_the_section__nothing_stands_against_it(void **state)
{
    struct csl_result r;
    struct csl_release_verdict v;
    (void)state;
    made_up_result(&r, 4, 1, false);
    r.was_interrupted = true;
    csl_release_judge(&r, &v);
    assert_int_equal(v.count, 0);
    csl_result_release(&r);
}

static void test_release__everything_met__allowed(void **state)
{
    struct csl_result r;
    struct csl_release_verdict v;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_fairness(&r);
    csl_release_judge(&r, &v);
    if (v.count > 0)
        fail_msg("%s", v.reasons[0]);
    csl_result_release(&r);
}

static void stop_early(struct csl_result *r)
{
    r->was_interrupted = true;
    r->rounds = 9;
}
static void attack(struct csl_result *r)
{
    r->sites[1].attack.kind = CSL_ATTACK_LABEL_FLIP;
}
static void lower_auc(struct csl_result *r)
{
    r->release.minimum_auc = 0.97;
}
static void lose_auc(struct csl_result *r)
{
    drop(&r->federated.pooled[0], "auc");
    r->release.needs_card = false; /* which would miss it too */
}
static void lower_group(struct csl_result *r)
{
    find(&r->groups[2].metrics, "auc")->value = 0.49;
}
static void lose_groups(struct csl_result *r)
{
    r->group_count = 0;
}
static void collapse_class(struct csl_result *r)
{
    r->fairness.sums[0].by_class[1].is_collapsed = true;
    r->fairness.sums[0].collapsed = 1;
}
static void collapse_in_group(struct csl_result *r)
{
    r->groups[1].collapsed = 2;
}
static void lose_counts(struct csl_result *r)
{
    r->fairness.sums[0].metrics.count = 0;
    r->fairness.sums[0].classes = 0;
}
/* The same domain as one of two labels. */
static void ask_two_labels(struct csl_result *r)
{
    struct csl_result_label l = {.name = "edema", .sites = 4, .metrics = r->federated.pooled[0]};
    r->domains[0].task = CSL_TASK_LABELS;
    lose_counts(r);
    assert_int_equal(csl_result_add_label(r, &l, NULL), CSL_OK);
    assert_true(csl_str_copy(l.name, sizeof(l.name), "effusion"));
    find(&l.metrics, "specificity")->value = 0.01;
    assert_int_equal(csl_result_add_label(r, &l, NULL), CSL_OK);
}
static void lose_labels(struct csl_result *r)
{
    ask_two_labels(r);
    r->labels.count = 0;
}
static void lose_question(struct csl_result *r)
{
    r->question[0] = 0;
}
static void lose_use(struct csl_result *r)
{
    r->release.intended_use[0] = 0;
}
static void lose_limits(struct csl_result *r)
{
    r->release.not_for[0] = 0;
}
static void lose_patients(struct csl_result *r)
{
    r->sites[2].patients = 0;
}
static void lose_interval(struct csl_result *r)
{
    find(&r->federated.pooled[0], "auc")->method = NULL;
}
static void ask_for_no_groups(struct csl_result *r)
{
    r->fairness.asked.attribute_count = 0;
}
static void hide_groups(struct csl_result *r)
{
    r->fairness.gaps[1].shown = 1;
}
static void lose_ledger(struct csl_result *r)
{
    made_up_privacy(r, "local", 0, false);
}

static void test_release__each_thing_missing__is_the_reason(void **state)
{
    static const struct {
        void (*spoil)(struct csl_result *r);
        const char *reason;
    } rows[] = {
        {ask_two_labels, "label effusion of domain"},
        {lose_labels, "were not judged"},
        {stop_early, "interrupted after round 9 of 15"},
        {attack, "attacked the model of this simulation"},
        {lower_auc, "minimum_auc: the AUC of domain heart-table is 0."},
        {lose_auc, "minimum_auc: the AUC of domain heart-table was not measured; 0.500"},
        {lower_group, "worst_group_floor: the AUC of domain heart-table is 0.490 for age_band 50-"},
        {lose_groups, "worst_group_floor: no patient group of domain heart-table is large enough"},
        {collapse_class, "collapsed_class: class 1 of domain heart-table"},
        {collapse_in_group,
         "collapsed_class: 2 classes of domain heart-table are collapsed for sex"},
        {lose_counts, "collapsed_class: the classes of domain heart-table were not counted"},
        {lose_question, "model card: question is empty"},
        {lose_use, "model card: release: intended_use is empty"},
        {lose_limits, "model card: release: not_for is empty"},
        {lose_patients, "training patients of site switzerland"},
        {lose_interval, "model card: domain heart-table has no AUC with an interval"},
        {ask_for_no_groups, "model card: the study asks for no patient groups"},
        {hide_groups, "model card: fewer than two groups by age_band"},
        {lose_ledger, "model card: not every site has a verified ledger"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_result r;
        struct csl_release_verdict v;
        made_up_result(&r, 4, 1, false);
        made_up_fairness(&r);
        rows[i].spoil(&r);
        csl_release_judge(&r, &v);
        if (v.count != 1 || strstr(v.reasons[0], rows[i].reason) == NULL)
            fail_msg("row %zu: %u reasons, first '%s'", i, v.count, v.reasons[0]);
        csl_result_release(&r);
    }
}

static void test_release__card_optional__only_floors_count(void **state)
{
    struct csl_result r;
    struct csl_release_verdict v;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_fairness(&r);
    r.release.needs_card = false;
    lose_use(&r);
    hide_groups(&r);
    lose_patients(&r);
    csl_release_judge(&r, &v);
    assert_int_equal(v.count, 0);
    lower_auc(&r);
    csl_release_judge(&r, &v);
    assert_int_equal(v.count, 1);
    csl_result_release(&r);
}

static void test_release__noise_of_a_rehearsal__is_no_protection(void **state)
{
    struct csl_result r;
    struct csl_release_verdict v;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_fairness(&r);
    made_up_privacy(&r, "local", 0, false);
    for (uint32_t s = 0; s < r.site_count; s++)
        r.sites[s].privacy = r.sites[0].privacy;
    csl_release_judge(&r, &v);
    assert_int_equal(v.count, 1);
    assert_non_null(strstr(v.reasons[0], "came from its seed and protects nobody"));
    for (uint32_t s = 0; s < r.site_count; s++)
        r.sites[s].privacy.is_rehearsal = false;
    csl_release_judge(&r, &v);
    assert_int_equal(v.count, 0);
    csl_result_release(&r);
}

static void test_card__of_a_run__has_every_item(void **state)
{
    static const char *const items[] = {"# Model card: heart-4-hospitals",
                                        "**Release: allowed.**",
                                        "## Intended use\n\nA second",
                                        "## Not for\n\nAny decision",
                                        "| cleveland | 30-99 |",
                                        "| va | 100-299 |",
                                        "| AUC | 0.",
                                        "TPR gap (EOD): 0.060 (0.01 to 0.14, bootstrap-gap)",
                                        "Worst group by AUC or C-index:",
                                        "sex female | 30-99",
                                        "(2 groups; 2 hidden)",
                                        "counted more (alpha 0.5, beta 1, cap 2)",
                                        "no differential privacy",
                                        "## What was not measured",
                                        "2 groups by age\\_band",
                                        "Patients of another time"};
    struct csl_result r;
    struct csl_buf out;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_fairness(&r);
    csl_buf_init(&out, CSL_SUMMARY_BYTES_MAX);
    csl_card_markdown(&r, &out);
    assert_int_equal(csl_buf_status(&out, &err), CSL_OK);
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        if (strstr(csl_buf_text(&out), items[i]) == NULL)
            fail_msg("no '%s'", items[i]);
    assert_null(strstr(csl_buf_text(&out), "201")); /* patients of va: a band, never the number */
    csl_buf_release(&out);
    csl_result_release(&r);
}

static void test_card__texts_that_are_markdown__stay_texts(void **state)
{
    struct csl_result r;
    struct csl_buf out;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_fairness(&r);
    assert_true(csl_str_copy(r.question, sizeof(r.question), "<script>a\n# b | c"));
    csl_buf_init(&out, CSL_SUMMARY_BYTES_MAX);
    csl_card_markdown(&r, &out);
    assert_null(strstr(csl_buf_text(&out), "<script>"));
    assert_non_null(strstr(csl_buf_text(&out), "\\<script\\>a \\# b \\| c"));
    csl_buf_release(&out);
    csl_result_release(&r);
}

static void test_card__as_json__names_what_blocks(void **state)
{
    struct csl_result r;
    struct csl_buf out;
    struct csl_json_doc *doc = NULL;
    const char *text;
    bool is_allowed = true;
    (void)state;
    made_up_result(&r, 4, 3, false);
    made_up_fairness(&r);
    lose_use(&r);
    csl_buf_init(&out, CSL_SUMMARY_BYTES_MAX);
    csl_card_json(&r, &out);
    assert_int_equal(csl_json_parse(&doc, "card", CSL_SPAN(out.p, out.n), &err), CSL_OK);
    const struct csl_json_value *root = csl_json_root(doc);
    const struct csl_json_value *release = csl_json_get(root, "release");
    assert_true(csl_json_as_bool(csl_json_get(release, "allowed"), &is_allowed));
    assert_false(is_allowed);
    assert_true(csl_json_count(csl_json_get(release, "blocked_by")) > 0);
    assert_int_equal(csl_json_count(csl_json_get(root, "data")), 4);
    assert_true(csl_json_as_str(
        csl_json_get(csl_json_at(csl_json_get(root, "data"), 0), "training_patients"), &text));
    assert_string_equal(text, "30-99");
    assert_int_equal(csl_json_count(csl_json_get(root, "domains")), 3);
    assert_int_equal(csl_json_count(csl_json_get(root, "gaps")), 4);
    assert_true(csl_json_count(csl_json_get(root, "not_measured")) > 3);
    csl_json_free(doc);
    csl_buf_release(&out);
    csl_result_release(&r);
}

static void test_card__bands__meet_without_overlap(void **state)
{
    (void)state;
    assert_string_equal(csl_card_band(0), "fewer than 30");
    assert_string_equal(csl_card_band(29), "fewer than 30");
    assert_string_equal(csl_card_band(30), "30-99");
    assert_string_equal(csl_card_band(99), "30-99");
    assert_string_equal(csl_card_band(100), "100-299");
    assert_string_equal(csl_card_band(9999), "3000-9999");
    assert_string_equal(csl_card_band(UINT64_MAX), "10000 or more");
}

static void test_worst__of_domains_and_groups__lowest_that_was_measured(void **state)
{
    struct csl_result r;
    (void)state;
    made_up_result(&r, 4, 3, false);
    assert_int_equal(csl_result_worst_group(&r, 1, NULL), UINT32_MAX);
    find(&r.groups[3].metrics, "auc")->value = 0.1;
    assert_int_equal(csl_result_worst_group(&r, 0, NULL), 3);
    find(&r.federated.pooled[1], "c_index")->value = 0.2; /* counts as how well survival ranks */
    assert_int_equal(csl_result_worst_domain(&r, NULL), 1);
    assert_int_equal(csl_result_worst_domain(&r, "macro_f1"), 2);
    assert_int_equal(csl_result_worst_domain(&r, "no_such"), UINT32_MAX);
    csl_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release__study_without_the_section__nothing_stands_against_it),
        cmocka_unit_test(test_release__everything_met__allowed),
        cmocka_unit_test(test_release__each_thing_missing__is_the_reason),
        cmocka_unit_test(test_release__card_optional__only_floors_count),
        cmocka_unit_test(test_release__noise_of_a_rehearsal__is_no_protection),
        cmocka_unit_test(test_card__of_a_run__has_every_item),
        cmocka_unit_test(test_card__texts_that_are_markdown__stay_texts),
        cmocka_unit_test(test_card__as_json__names_what_blocks),
        cmocka_unit_test(test_card__bands__meet_without_overlap),
        cmocka_unit_test(test_worst__of_domains_and_groups__lowest_that_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
