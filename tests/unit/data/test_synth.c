/* The synthetic hospitals: the stated best scores are reached by the true scorer, and by no luck of
 * a small sample; the same seed gives the same hospital. */
#include "base/mem.h"
#include "site-agent/data/record.h"
#include "site-agent/data/record_internal.h"
#include "site-agent/data/synth_truth.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Scores and labels of the records of one task that have both. */
struct sample {
    double *score;
    uint8_t *label;
    float *time;
    uint32_t n;
};

static void sample_release(struct sample *s)
{
    csl_free(s->score);
    csl_free(s->label);
    csl_free(s->time);
}

/* score = w . (x - centre) / spread over a table's features, w . x otherwise; missing: 0. */
static struct sample take_sample(const struct csl_records *r, const struct csl_synth_task *task,
                                 const double *w, int split)
{
    const struct csl_record_modality *m = csl_records_modality__(r, task->label);
    const struct csl_record_label *l = csl_records_label__(r, task->label);
    struct sample s = {csl_alloc_array(r->record_count, sizeof(double)), csl_alloc(r->record_count),
                       csl_alloc_array(r->record_count, sizeof(float)), 0};
    assert_non_null(m);
    assert_non_null(l);
    for (uint32_t i = 0; i < r->record_count; i++) {
        if (!m->available[i] || (split >= 0 && r->split[r->patient[i]] != split))
            continue;
        s.score[s.n] = 0.0;
        for (uint32_t k = 0; k < task->width; k++) {
            double x = (double)m->values[(size_t)i * task->width + k];
            if (task->features != NULL)
                x = (x - task->features[k].centre) / task->features[k].spread;
            s.score[s.n] += isnan(x) ? 0.0 : w[k] * x;
        }
        s.label[s.n] = task->is_survival ? l->event[i] > 0.5f : (uint8_t)l->value[i];
        s.time[s.n++] = task->is_survival ? l->time[i] : 0.0f;
    }
    return s;
}

static void test_synth__true_scorer_on_many_patients__reaches_the_best_score(void **state)
{
    (void)state;
    /* 14,000 to 16,000 records a task: the standard error of an AUC near 0.9 is below 0.0026, so
     * 0.01 is 3.9 of them for the worst task; the seed is fixed and the sample does not move. */
    struct csl_records r;
    struct csl_err err;
    const struct csl_synth_config config = {.seed = 20, .patients = 14000};
    ASSERT_OK(csl_synth_hospital(&r, 0, &config, &err), &err);
    for (int t = 0; t < CSL_SYNTH_TASKS; t++) {
        const struct csl_synth_task *task = &csl_synth_tasks[t];
        double w[CSL_SYNTH_WIDTH_MAX], best = csl_synth_bayes_score(task->label);
        csl_synth_direction(task, w);
        struct sample s = take_sample(&r, task, w, -1);
        assert_true(s.n > 12000);
        if (task->is_survival && s.n > 6000)
            s.n = 6000; /* pairs are quadratic */
        double got = task->is_survival ? concordance_of(s.score, s.time, s.label, s.n)
                                       : auc_of(s.score, s.label, s.n);
        printf("%-10s best %.4f true scorer %.4f\n", task->label, best, got);
        assert_true(fabs(got - best) < 0.01);
        sample_release(&s);
    }
    csl_records_release(&r);
}

static void test_synth__any_device__leaves_the_best_score_alone(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    const struct csl_synth_config config = {.seed = 21, .patients = 14000};
    const struct csl_synth_task *task = &csl_synth_tasks[5];
    double w[CSL_SYNTH_WIDTH_MAX];
    ASSERT_OK(csl_synth_hospital(&r, 5, &config, &err), &err); /* the noisiest device */
    csl_synth_direction(task, w);
    struct sample s = take_sample(&r, task, w, -1);
    assert_true(fabs(auc_of(s.score, s.label, s.n) - csl_synth_bayes_score("ecg-signal")) < 0.01);
    sample_release(&s);
    csl_records_release(&r);
}

/* The difference of the class means of the training records, in the units of take_sample. */
static void mean_difference(const struct csl_records *r, const struct csl_synth_task *task,
                            double *w)
{
    const struct csl_record_modality *m = csl_records_modality__(r, task->label);
    const struct csl_record_label *l = csl_records_label__(r, task->label);
    double sum[2][CSL_SYNTH_WIDTH_MAX] = {{0.0}}, n[2] = {0.0, 0.0};
    for (uint32_t i = 0; i < r->record_count; i++) {
        if (!m->available[i] || r->split[r->patient[i]] != 0)
            continue;
        n[l->value[i]] += 1.0;
        for (uint32_t k = 0; k < task->width; k++) {
            double x = (double)m->values[(size_t)i * task->width + k];
            if (task->features != NULL)
                x = (x - task->features[k].centre) / task->features[k].spread;
            sum[l->value[i]][k] += isnan(x) ? 0.0 : x;
        }
    }
    for (uint32_t k = 0; k < task->width; k++)
        w[k] = sum[1][k] / n[1] - sum[0][k] / n[0];
}

static void test_synth__linear_rule_from_training_patients__generalises(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    const struct csl_synth_config config = {.seed = 7, .patients = 0};
    ASSERT_OK(csl_synth_hospital(&r, 0, &config, &err), &err);
    for (int t = 0; t < CSL_SYNTH_TASKS; t++) {
        const struct csl_synth_task *task = &csl_synth_tasks[t];
        double w[CSL_SYNTH_WIDTH_MAX];
        if (task->is_survival)
            continue;
        mean_difference(&r, task, w);
        struct sample s = take_sample(&r, task, w, 2);
        double got = auc_of(s.score, s.label, s.n), best = csl_synth_bayes_score(task->label);
        printf("%-10s best %.4f one hospital's own rule %.4f\n", task->label, best, got);
        assert_true(got > 0.78);
        assert_true(got < best + 0.06); /* 180 test patients: standard error 0.02 */
        sample_release(&s);
    }
    csl_records_release(&r);
}

static void test_synth__same_seed__gives_the_same_file_and_another_seed_does_not(void **state)
{
    (void)state;
    struct csl_records a, b, c;
    struct csl_err err;
    const struct csl_synth_config first = {.seed = 3, .patients = 60};
    const struct csl_synth_config second = {.seed = 4, .patients = 60};
    ASSERT_OK(csl_synth_hospital(&a, 1, &first, &err), &err);
    ASSERT_OK(csl_synth_hospital(&b, 1, &first, &err), &err);
    ASSERT_OK(csl_synth_hospital(&c, 1, &second, &err), &err);
    assert_true(records_equal(&a, &b));
    assert_false(records_equal(&a, &c));
    csl_records_release(&a);
    csl_records_release(&b);
    csl_records_release(&c);
}

static void test_synth__every_hospital__is_valid_with_its_own_size_and_domains(void **state)
{
    (void)state;
    struct csl_err err;
    uint32_t sites_with[CSL_SYNTH_TASKS] = {0}, total = 0, countries = 0;
    char seen[8][4];
    for (uint32_t i = 0; i < CSL_SYNTH_SITES; i++) {
        struct csl_records r;
        const struct csl_synth_config config = {.seed = 42, .patients = 0};
        ASSERT_OK(csl_synth_hospital(&r, i, &config, &err), &err);
        ASSERT_OK(csl_records_validate__(&r, "synth", CSL_E_BUG, &err), &err);
        assert_string_equal(r.site, csl_synth_site_id(i));
        assert_in_range(r.patient_count, 120, 900);
        assert_true(r.record_count > r.patient_count);
        total += r.patient_count;
        for (int t = 0; t < CSL_SYNTH_TASKS; t++)
            sites_with[t] += csl_records_modality__(&r, csl_synth_tasks[t].label) != NULL;
        bool is_new = true;
        for (uint32_t k = 0; k < countries; k++)
            is_new = is_new && strcmp(seen[k], csl_synth_country(i)) != 0;
        if (is_new)
            snprintf(seen[countries++], 4, "%s", csl_synth_country(i));
        csl_records_release(&r);
    }
    assert_int_equal(countries, 4);
    assert_int_equal(total, 3380);
    for (int t = 0; t < CSL_SYNTH_TASKS; t++)
        assert_true(sites_with[t] >= 4);
}

static void test_synth__index_beyond_eight__is_another_hospital_of_the_same_kind(void **state)
{
    (void)state;
    struct csl_records a, b;
    struct csl_err err;
    const struct csl_synth_config config = {.seed = 42, .patients = 50};
    ASSERT_OK(csl_synth_hospital(&a, 1, &config, &err), &err);
    ASSERT_OK(csl_synth_hospital(&b, 9, &config, &err), &err);
    assert_string_equal(a.site, "turin");
    assert_string_equal(b.site, "turin-2");
    assert_string_equal(csl_synth_country(9), "IT");
    assert_int_equal(a.modality_count, b.modality_count);
    assert_false(records_equal(&a, &b));
    csl_records_release(&a);
    csl_records_release(&b);
}

static void test_synth__sex_and_age__shift_prevalence(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    double n[2] = {0.0, 0.0}, ill[2] = {0.0, 0.0};
    const struct csl_synth_config config = {.seed = 5, .patients = 20000};
    ASSERT_OK(csl_synth_hospital(&r, 7, &config, &err), &err);
    for (uint32_t i = 0; i < r.record_count; i++) {
        const char *band = r.attributes[1].value[r.patient[i]];
        if (strcmp(band, "<45") != 0 && strcmp(band, "80+") != 0)
            continue;
        n[band[0] == '8'] += 1.0;
        ill[band[0] == '8'] += r.labels[0].value[i] == 1 ? 1.0 : 0.0;
    }
    /* Log odds differ by 1; more than 1500 records a group: standard error of the gap below 0.02.
     */
    assert_true(fmin(n[0], n[1]) > 1500.0);
    assert_true(fabs((ill[1] / n[1] - ill[0] / n[0]) - 0.24) < 0.08);
    csl_records_release(&r);
}

static void test_synth__unknown_domain__has_no_best_score(void **state)
{
    (void)state;
    assert_int_not_equal(isnan(csl_synth_bayes_score("brain")), 0);
    assert_int_not_equal(isnan(csl_synth_bayes_score("heart-image")), 0);
    assert_true(csl_synth_bayes_score("heart-table") > 0.8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synth__true_scorer_on_many_patients__reaches_the_best_score),
        cmocka_unit_test(test_synth__any_device__leaves_the_best_score_alone),
        cmocka_unit_test(test_synth__linear_rule_from_training_patients__generalises),
        cmocka_unit_test(test_synth__same_seed__gives_the_same_file_and_another_seed_does_not),
        cmocka_unit_test(test_synth__every_hospital__is_valid_with_its_own_size_and_domains),
        cmocka_unit_test(test_synth__index_beyond_eight__is_another_hospital_of_the_same_kind),
        cmocka_unit_test(test_synth__sex_and_age__shift_prevalence),
        cmocka_unit_test(test_synth__unknown_domain__has_no_best_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
