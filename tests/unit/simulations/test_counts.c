/* Evaluation from the counts of the sites: the groups that are shown, and what they are. */
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "simulations/evaluate.h"
#include "tests/unit/simulations/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STUDY(fairness)                                                                            \
    "study: small\n"                                                                               \
    "domains:\n"                                                                                   \
    "  - {id: d, modality: tabular, task: {kind: binary, label: ill}, features: [x]}\n"            \
    "model: {kind: linear}\n"                                                                      \
    "training: {local: {learning_rate: 0.1, batch_patients: 2, steps: 2}}\n"                       \
    "rounds: 2\n"                                                                                  \
    "aggregation: {strategy: fedavg}\n" fairness

static struct csl_err err;
static struct csl_study *study;
static struct csl_world_site sites[3];
static struct csl_sim_data data;
static struct csl_predictions scores;
static struct csl_result result;

/* At each site, after two training patients, so many test patients of each kind; the score of a
 * patient is .8 when ill and .3 when not, but of every fourth patient 1 less. */
static void start(const char *yaml, const char *const patients[3])
{
    study = fixture_study(yaml);
    for (size_t s = 0; s < 3; s++) {
        char text[1024] = "T0f T1m", name[2] = {(char)('a' + s), 0};
        for (const char *p = patients[s]; *p != 0; p++)
            (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " E%c%c",
                           *p == 'F' || *p == 'M' || *p == 'U' ? '1' : '0',
                           *p == 'F' || *p == 'f'   ? 'f'
                           : *p == 'M' || *p == 'm' ? 'm'
                                                    : '?');
        fixture_records(&sites[s], name, text);
    }
    if (csl_sim_data_load(&data, study, sites, 3, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    scores = (struct csl_predictions){3, 1, csl_alloc_array(3, sizeof(float *))};
    for (size_t s = 0; s < 3; s++) {
        const struct csl_examples *e = &data.sites[s]->domains[0][CSL_SPLIT_TEST];
        scores.cells[s] = csl_alloc_array(e->records, sizeof(float));
        for (uint32_t i = 0; i < e->records; i++) {
            float score = e->label[i] ? 0.8F : 0.3F;
            scores.cells[s][i] = i % 4 == 3 ? 1 - score : score;
        }
    }
    memset(&result, 0, sizeof(result));
    assert_int_equal(csl_result_init(&result, 3, 1, &err), CSL_OK);
    assert_int_equal(csl_evaluate_by_counts(&result, &data, &scores, 7, &err), CSL_OK);
}

static void stop(void)
{
    csl_result_release(&result);
    csl_predictions_release(&scores);
    csl_sim_data_release(&data);
    csl_study_free(study);
}

static double value(const struct csl_metrics *m, const char *name)
{
    const struct csl_metric *found = csl_metrics_find(m, name);
    if (found == NULL)
        fail_msg("no %s", name);
    return found->value;
}

static const char *const even[3] = {"FfFfFfFfFfFfMmMmMmMmMm", "FfFfFfFfMmMmMmMm", "FfFfMmMmMmMm"};

static void test_counts__no_section__sums_without_groups(void **state)
{
    struct csl_evaluation pooled = {0};
    (void)state;
    start(STUDY(""), even);
    assert_int_equal(result.group_count, 0);
    assert_int_equal(result.fairness.gap_count, 0);
    const struct csl_sum_figures *f = &result.fairness.sums[0];
    assert_int_equal(f->metrics.examples, 50);
    assert_int_equal(f->patients, 50);
    assert_int_equal(f->sites, 3);
    /* the same as from the scores themselves */
    assert_int_equal(csl_evaluate_predictions(&pooled, &data, &scores, false, 7, &err), CSL_OK);
    static const char *const exact[] = {"accuracy", "sensitivity", "specificity", "macro_f1"};
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(value(&f->metrics, exact[i]) - value(&pooled.pooled[0], exact[i])) <
                    1e-12);
    assert_true(fabs(value(&f->metrics, "auc") - value(&pooled.pooled[0], "auc")) <=
                f->auc_error + 1e-12);
    csl_evaluation_release(&pooled);
    stop();
}

static void test_counts__groups_large_enough__are_shown_with_their_gap(void **state)
{
    (void)state;
    start(STUDY("fairness: {attributes: [sex, height], minimum_group: 20}\n"), even);
    assert_int_equal(result.group_count, 2);
    assert_string_equal(result.groups[0].value, "female");
    assert_int_equal(result.groups[0].patients, 24);
    assert_int_equal(result.groups[1].patients, 26);
    assert_int_equal(result.fairness.gap_count, 2);
    const struct csl_result_gap *sex = &result.fairness.gaps[0];
    assert_int_equal(sex->shown, 2);
    assert_int_equal(sex->hidden, 0);
    double gap = fabs(value(&result.groups[0].metrics, "sensitivity") -
                      value(&result.groups[1].metrics, "sensitivity"));
    assert_true(fabs(value(&sex->metrics, "eod_positive") - gap) < 1e-12);
    assert_string_equal(result.fairness.gaps[1].attribute, "height"); /* in no file */
    assert_int_equal(result.fairness.gaps[1].shown, 0);
    assert_int_equal(result.fairness.gaps[1].metrics.count, 0);
    stop();
}

static void test_counts__small_group__hidden_with_the_one_it_follows_from(void **state)
{
    static const char *const few[3] = {"FfFfFfFfFfFfMm", "FfFfFfFfMm", "FfFfMm"};
    (void)state;
    start(STUDY("fairness: {attributes: [sex], minimum_group: 20}\n"), few);
    assert_int_equal(result.group_count, 0); /* 6 men are all less the women */
    assert_int_equal(result.fairness.gaps[0].hidden, 2);
    assert_int_equal(result.fairness.gaps[0].metrics.count, 0);
    stop();
}

static void test_counts__group_at_two_sites__hidden_with_the_one_it_follows_from(void **state)
{
    static const char *const apart[3] = {"FfFfFfFfFfFfMmMmMmMmMmMm", "FfFfFfFfMmMmMmMmMm", "MmMm"};
    static const char *const beside[3] = {"FfFfFfFfFfFfMmMmMmMmMmMmU", "FfFfFfFfMmMmMmMmMmU",
                                          "MmMmU"};
    (void)state;
    start(STUDY("fairness: {attributes: [sex], minimum_group: 20}\n"), apart);
    assert_int_equal(result.group_count, 0);
    assert_int_equal(result.fairness.gaps[0].hidden, 2);
    stop();
    /* with patients of unknown sex at three sites the women cannot be told from them */
    start(STUDY("fairness: {attributes: [sex], minimum_group: 20}\n"), beside);
    assert_int_equal(result.group_count, 1);
    assert_string_equal(result.groups[0].value, "male");
    assert_int_equal(result.fairness.gaps[0].hidden, 1);
    stop();
}

static void test_counts__rows_of_the_table__name_group_and_attribute(void **state)
{
    uint32_t groups = 0, gaps = 0;
    (void)state;
    start(STUDY("fairness: {attributes: [sex], minimum_group: 20}\n"), even);
    assert_int_equal(csl_result_add_group_rows(&result, &err), CSL_OK);
    for (uint32_t i = 0; i < result.row_count; i++) {
        const struct csl_result_row *row = &result.rows[i];
        groups += strcmp(row->scope, "test_group") == 0 && strcmp(row->site, "sex=female") == 0;
        gaps += strcmp(row->scope, "test_gap") == 0 && strcmp(row->site, "sex") == 0;
    }
    assert_int_equal(groups, result.groups[0].metrics.count);
    assert_int_equal(gaps, result.fairness.gaps[0].metrics.count);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts__no_section__sums_without_groups),
        cmocka_unit_test(test_counts__groups_large_enough__are_shown_with_their_gap),
        cmocka_unit_test(test_counts__small_group__hidden_with_the_one_it_follows_from),
        cmocka_unit_test(test_counts__group_at_two_sites__hidden_with_the_one_it_follows_from),
        cmocka_unit_test(test_counts__rows_of_the_table__name_group_and_attribute),
    };
    return csl_crypto_init(NULL) != CSL_OK ||
           cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
