/* Metrics: published figures, degenerate data, intervals, refusals. */
#include "aggregation/evaluate/metrics.h"
#include "base/buf.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define Z 1.959963984540054
enum { N = 600 };
static float scores[N];
static uint8_t labels[N];

static const struct csl_metric *need(const struct csl_metrics *m, const char *name)
{
    const struct csl_metric *item = csl_metrics_find(m, name);
    if (item == NULL)
        fail_msg("no %s", name);
    return item;
}

static void assert_close(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, wanted %.9g +- %g", got, want, tolerance);
}

static void test_metrics__tomography_ratings__published_auc_and_error(void **state)
{
    /* Hanley and McNeil 1982, Radiology 143:29, table 1: 58 normal and 51 abnormal scans rated 1 to
     * 5. The Stata manual, "roctab", prints for these data (its error is DeLong's): area .8932,
     * standard error .0307, 95 % interval .83295 to .95339 on the plain scale. */
    (void)state;
    static const unsigned ratings[2][5] = {{33, 6, 6, 11, 2}, {3, 2, 2, 11, 33}};
    struct csl_metrics m;
    uint64_t n = 0;
    for (unsigned label = 0; label < 2; label++)
        for (unsigned rating = 0; rating < 5; rating++)
            for (unsigned k = 0; k < ratings[label][rating]; k++, n++) {
                scores[n] = 0.2F * (float)rating;
                labels[n] = (uint8_t)label;
            }
    assert_int_equal(n, 109);
    assert_int_equal(csl_evaluate_binary(scores, labels, n, 0.5, 0, &m, NULL), CSL_OK);
    const struct csl_metric *auc = need(&m, "auc");
    assert_string_equal(auc->method, "delong");
    assert_close(auc->value, 0.8932, 0.00005);
    /* Our interval is on the logit scale: its width there gives the standard error back. */
    double width = log(auc->high / (1 - auc->high)) - log(auc->low / (1 - auc->low));
    double error = width / (2 * Z) * auc->value * (1 - auc->value);
    assert_close(error, (0.95339 - 0.83295) / (2 * Z), 0.00001);
    assert_close(auc->value - Z * error, 0.83295, 0.00001);
    assert_close(auc->value + Z * error, 0.95339, 0.00001);
}

static void test_metrics__no_examples__ok_and_empty(void **state)
{
    (void)state;
    struct csl_metrics m = {.count = 9, .examples = 9};
    assert_int_equal(csl_evaluate_binary(NULL, NULL, 0, 0.5, 0, &m, NULL), CSL_OK);
    assert_true(m.count == 0 && m.examples == 0 && m.positives == 0);
    m.count = 9;
    assert_int_equal(csl_evaluate_classes(NULL, NULL, 0, 3, 0, &m, NULL), CSL_OK);
    assert_int_equal(m.count, 0);
    m.count = 9;
    assert_int_equal(csl_evaluate_survival(NULL, NULL, NULL, 0, 0, &m, NULL), CSL_OK);
    assert_int_equal(m.count, 0);
}

static void test_metrics__one_class_only__ranking_metrics_absent(void **state)
{
    (void)state;
    static const char *const absent[] = {"auc", "balanced_accuracy", "macro_f1", "specificity",
                                         "c_index"};
    struct csl_metrics m;
    for (size_t i = 0; i < 30; i++) {
        scores[i] = (float)i / 30.0F;
        labels[i] = 1;
    }
    assert_int_equal(csl_evaluate_binary(scores, labels, 30, 0.5, 0, &m, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_null(csl_metrics_find(&m, absent[i]));
    need(&m, "accuracy");
    need(&m, "sensitivity");
    need(&m, "brier");
    assert_int_equal(m.positives, 30);
}

static void test_metrics__one_negative__wide_interval_inside_zero_and_one(void **state)
{
    /* As the Swiss test set: 16 patients, one negative. */
    (void)state;
    struct csl_metrics m;
    for (size_t i = 0; i < 16; i++) {
        scores[i] = 0.3F + 0.04F * (float)i;
        labels[i] = i != 2;
    }
    assert_int_equal(csl_evaluate_binary(scores, labels, 16, 0.5, 0, &m, NULL), CSL_OK);
    const struct csl_metric *auc = need(&m, "auc");
    assert_close(auc->value, 13.0 / 15.0, 1e-15);
    assert_string_equal(auc->method, "wilson");
    /* Wilson with one observation: 13/15 is compatible with almost anything. */
    assert_true(auc->low > 0 && auc->low < 0.2 && auc->high > 0.95 && auc->high <= 1);
    assert_string_equal(need(&m, "balanced_accuracy")->method, "bootstrap");
}

static void test_metrics__perfect_on_few__interval_has_width(void **state)
{
    (void)state;
    struct csl_metrics m;
    for (size_t i = 0; i < 10; i++) {
        scores[i] = i < 4 ? 0.125F : 0.875F;
        labels[i] = i >= 4;
    }
    assert_int_equal(csl_evaluate_binary(scores, labels, 10, 0.5, 0, &m, NULL), CSL_OK);
    static const char *const names[] = {"auc", "balanced_accuracy", "macro_f1", "accuracy"};
    for (size_t i = 0; i < 4; i++) {
        const struct csl_metric *item = need(&m, names[i]);
        assert_string_equal(item->method, "wilson");
        assert_true(item->value == 1 && item->high == 1 && item->low < 0.8 && item->low > 0.2);
    }
    assert_null(need(&m, "brier")->method); /* ten equal terms: no spread to report */
}

static void test_metrics__threshold__strictly_above_is_positive(void **state)
{
    (void)state;
    struct csl_metrics m;
    const float s[3] = {0.5F, 0.25F, 0.75F};
    const uint8_t y[3] = {0, 0, 1};
    assert_int_equal(csl_evaluate_binary(s, y, 3, 0.5, 0, &m, NULL), CSL_OK);
    assert_true(need(&m, "accuracy")->value == 1);
    assert_int_equal(csl_evaluate_binary(s, y, 3, 0.4, 0, &m, NULL), CSL_OK);
    assert_close(need(&m, "specificity")->value, 0.5, 0);
}

static void draw_binary(uint64_t seed, size_t n)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "test.metrics", 0, 0, 0);
    for (size_t i = 0; i < n; i++) {
        labels[i] = csl_rng_uniform(&rng) < 0.4;
        scores[i] = (float)(1 / (1 + exp(-csl_rng_normal(&rng) - labels[i] + 0.5)));
    }
}

static void test_metrics__bootstrap_of_a_mean__near_its_normal_interval(void **state)
{
    /* Brier and log loss are means, so their bootstrap must be close to value +- z s / sqrt(n).
     * With 1,000 resamples a percentile has a standard error of about 7 % of the half width; 25 %
     * is more than 3 of them, and the seeds are fixed. */
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct csl_metrics m;
        double sum = 0, squares = 0;
        draw_binary(seed, N);
        assert_int_equal(csl_evaluate_binary(scores, labels, N, 0.5, seed, &m, NULL), CSL_OK);
        for (size_t i = 0; i < N; i++) {
            double off = (double)labels[i] - (double)scores[i];
            sum += off * off;
            squares += off * off * off * off;
        }
        double mean = sum / N, half = Z * sqrt((squares / N - mean * mean) / N);
        const struct csl_metric *brier = need(&m, "brier");
        assert_string_equal(brier->method, "bootstrap");
        assert_close(brier->value, mean, 1e-12);
        assert_close(brier->low, mean - half, 0.25 * half);
        assert_close(brier->high, mean + half, 0.25 * half);
    }
}

static void test_metrics__calibrated_scores__ece_interval_reaches_down_to_zero(void **state)
{
    /* Labels drawn with the very probabilities given: on ever more patients the ECE goes to 0.
     * Of 300 test sets of 60 the interval holds 0 in 283 (94 %); percentiles, whether stretched to
     * the value or not, never do. Were the true rate as low as 93 %, fewer than 240 of 300 would
     * have a probability below exp(-300 KL(.8, .93)) < 1e-10 (Chernoff). The seeds are fixed. */
    (void)state;
    unsigned holding = 0, starting_at_value = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct csl_metrics m;
        struct csl_rng rng;
        csl_rng_init_label(&rng, seed, "test.metrics.calibrated", 0, 0, 0);
        for (size_t i = 0; i < 60; i++) {
            scores[i] = (float)csl_rng_uniform(&rng);
            labels[i] = csl_rng_uniform(&rng) < (double)scores[i];
        }
        assert_int_equal(csl_evaluate_binary(scores, labels, 60, 0.5, seed, &m, NULL), CSL_OK);
        const struct csl_metric *ece = need(&m, "ece");
        assert_string_equal(ece->method, "bootstrap-basic");
        assert_true(0 <= ece->low && ece->low < ece->high && ece->high <= 1);
        holding += !(ece->low > 0);
        starting_at_value += !(ece->low < ece->value);
    }
    assert_int_equal(starting_at_value, 0);
    if (holding < 240)
        fail_msg("0 inside the interval in %u of 300", holding);
}

static void test_metrics__bad_calibration__ece_interval_away_from_zero(void **state)
{
    /* 95 % promised, 60 % seen: the ECE is .35, seven standard errors from 0. */
    (void)state;
    struct csl_metrics m;
    for (size_t i = 0; i < 100; i++) {
        scores[i] = 0.95F;
        labels[i] = i % 5 < 3;
    }
    assert_int_equal(csl_evaluate_binary(scores, labels, 100, 0.5, 0, &m, NULL), CSL_OK);
    const struct csl_metric *ece = need(&m, "ece");
    double half = Z * sqrt(0.6 * 0.4 / 100);
    assert_close(ece->value, 0.35, 1e-7);
    assert_close(ece->low, 0.35 - half, 0.25 * half);
    assert_close(ece->high, 0.35 + half, 0.25 * half);
}

static void test_metrics__same_seed__same_bits_and_another_seed_not(void **state)
{
    (void)state;
    struct csl_metrics a, b;
    draw_binary(3, 100);
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    assert_int_equal(csl_evaluate_binary(scores, labels, 100, 0.5, 8, &a, NULL), CSL_OK);
    assert_int_equal(csl_evaluate_binary(scores, labels, 100, 0.5, 8, &b, NULL), CSL_OK);
    assert_true(need(&a, "brier")->low == need(&b, "brier")->low);
    assert_true(need(&a, "ece")->high == need(&b, "ece")->high);
    assert_int_equal(csl_evaluate_binary(scores, labels, 100, 0.5, 9, &b, NULL), CSL_OK);
    assert_true(need(&a, "ece")->value == need(&b, "ece")->value);
    assert_false(need(&a, "brier")->low == need(&b, "brier")->low);
}

static void test_metrics__two_classes_as_many__binary_auc_and_interval(void **state)
{
    (void)state;
    static float rows[2 * N];
    struct csl_metrics binary, classes;
    draw_binary(4, N);
    for (size_t i = 0; i < N; i++) {
        scores[i] = (float)(round((double)scores[i] * 64) / 64); /* 1 - score is exact */
        rows[2 * i] = 1 - scores[i];
        rows[2 * i + 1] = scores[i];
    }
    assert_int_equal(csl_evaluate_binary(scores, labels, N, 0.5, 0, &binary, NULL), CSL_OK);
    assert_int_equal(csl_evaluate_classes(rows, labels, N, 2, 0, &classes, NULL), CSL_OK);
    assert_close(need(&classes, "auc")->value, need(&binary, "auc")->value, 1e-14);
    assert_close(need(&classes, "auc")->low, need(&binary, "auc")->low, 1e-13);
    assert_close(need(&classes, "auc")->high, need(&binary, "auc")->high, 1e-13);
    assert_close(need(&classes, "macro_f1")->value, need(&binary, "macro_f1")->value, 1e-14);
    assert_close(need(&classes, "brier")->value, 2 * need(&binary, "brier")->value, 1e-13);
}

static void test_metrics__bad_input__refused_and_untouched(void **state)
{
    (void)state;
    struct csl_metrics m = {.count = 7};
    struct csl_err err;
    const float bad[] = {NAN, INFINITY, -0.1F, 1.1F};
    float s[3] = {0.1F, 0.2F, 0.3F}, t[3] = {1, 2, 3}, rows[6] = {0.5F, 0.5F, 1, 0, 0, 1};
    uint8_t y[3] = {0, 1, 1};
    for (size_t i = 0; i < 4; i++) {
        s[1] = rows[3] = bad[i];
        assert_int_equal(csl_evaluate_binary(s, y, 3, 0.5, 0, &m, &err), CSL_E_INVAL);
        assert_non_null(strstr(err.msg, "example 1"));
        assert_int_equal(csl_evaluate_classes(rows, y, 3, 2, 0, &m, &err), CSL_E_INVAL);
    }
    s[1] = 0.2F;
    rows[3] = 0;
    y[2] = 2;
    assert_int_equal(csl_evaluate_binary(s, y, 3, 0.5, 0, &m, &err), CSL_E_INVAL);
    assert_int_equal(csl_evaluate_classes(rows, y, 3, 2, 0, &m, &err), CSL_E_INVAL);
    assert_int_equal(csl_evaluate_survival(s, t, y, 3, 0, &m, &err), CSL_E_INVAL);
    y[2] = 1;
    t[2] = NAN;
    assert_int_equal(csl_evaluate_survival(s, t, y, 3, 0, &m, &err), CSL_E_INVAL);
    assert_int_equal(csl_evaluate_classes(rows, y, 3, 1, 0, &m, &err), CSL_E_INVAL);
    assert_int_equal(csl_evaluate_classes(rows, y, 3, CSL_CLASSES_MAX + 1, 0, &m, &err),
                     CSL_E_INVAL);
    assert_int_equal(csl_evaluate_binary(s, y, UINT64_C(1) << 32, 0.5, 0, &m, &err), CSL_E_LIMIT);
    assert_int_equal(m.count, 7);
}

static void test_metrics__out_of_memory_anywhere__reported(void **state)
{
    (void)state;
    struct csl_metrics m = {.count = 7};
    const float s[4] = {0.1F, 0.9F, 0.3F, 0.8F}, t[4] = {1, 2, 3, 4};
    const float rows[8] = {0.5F, 0.5F, 1, 0, 0, 1, 0.25F, 0.75F};
    const uint8_t y[4] = {0, 1, 0, 1};
    for (uint64_t n = 1; n <= 5; n++) {
        csl_mem_fail_after(n);
        assert_int_equal(csl_evaluate_binary(s, y, 4, 0.5, 0, &m, NULL), CSL_E_NOMEM);
        csl_mem_fail_after(n);
        assert_int_equal(csl_evaluate_classes(rows, y, 4, 2, 0, &m, NULL), CSL_E_NOMEM);
    }
    for (uint64_t n = 1; n <= 6; n++) {
        csl_mem_fail_after(n);
        assert_int_equal(csl_evaluate_survival(s, t, y, 4, 0, &m, NULL), CSL_E_NOMEM);
    }
    csl_mem_fail_after(0);
    assert_int_equal(m.count, 7);
}

static void test_metrics__json__values_with_intervals_and_method(void **state)
{
    (void)state;
    const struct csl_metrics m = {
        .items = {{.name = "auc", .method = "delong", .value = 0.75, .low = 0.5, .high = 0.875},
                  {.name = "brier", .method = NULL, .value = 0.25, .low = 0.25, .high = 0.25}},
        .count = 2};
    struct csl_buf buf;
    struct csl_json j;
    csl_buf_init(&buf, 4096);
    csl_json_init(&j, &buf, false);
    csl_json_object(&j);
    csl_metrics_json(&j, &m);
    csl_json_end(&j);
    assert_int_equal(csl_buf_status(&buf, NULL), CSL_OK);
    assert_string_equal(csl_buf_text(&buf),
                        "{\"metrics\":{"
                        "\"auc\":{\"value\":0.75,\"low\":0.5,\"high\":0.875,\"method\":\"delong\"},"
                        "\"brier\":{\"value\":0.25,\"low\":null,\"high\":null,\"method\":null}}}");
    csl_buf_release(&buf);
}

static void test_metrics__histogram__counts_and_known_auc(void **state)
{
    (void)state;
    struct csl_score_histogram h = {.loss_sum = 0};
    const float s[6] = {0, 0.5F, 0.501F, 1, 0.25F, NAN};
    const uint8_t y[6] = {0, 0, 1, 1, 1, 0};
    double value, bound;
    assert_false(csl_histogram_auc(&h, &value, &bound));
    csl_histogram_add(&h, s, y, 4);
    csl_histogram_add(&h, s + 4, y + 4, 2);
    assert_int_equal(h.bins[0][0], 2); /* 0 and the NaN */
    assert_int_equal(h.bins[0][128], 1);
    assert_int_equal(h.bins[1][128], 1);
    assert_int_equal(h.bins[1][255], 1);
    assert_int_equal(h.bins[1][64], 1);
    assert_int_equal(h.true_positive, 2);
    assert_int_equal(h.false_negative, 1);
    assert_int_equal(h.true_negative, 3);
    assert_int_equal(h.false_positive, 0);
    assert_true(isfinite(h.loss_sum) && h.loss_sum > 0);
    assert_true(csl_histogram_auc(&h, &value, &bound));
    /* 9 pairs: .25 beats two, .501 beats two and ties one in its bin, 1 beats three */
    assert_close(value, 7.5 / 9, 1e-15);
    assert_close(bound, 0.5 / 9, 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics__tomography_ratings__published_auc_and_error),
        cmocka_unit_test(test_metrics__no_examples__ok_and_empty),
        cmocka_unit_test(test_metrics__one_class_only__ranking_metrics_absent),
        cmocka_unit_test(test_metrics__one_negative__wide_interval_inside_zero_and_one),
        cmocka_unit_test(test_metrics__perfect_on_few__interval_has_width),
        cmocka_unit_test(test_metrics__threshold__strictly_above_is_positive),
        cmocka_unit_test(test_metrics__bootstrap_of_a_mean__near_its_normal_interval),
        cmocka_unit_test(test_metrics__calibrated_scores__ece_interval_reaches_down_to_zero),
        cmocka_unit_test(test_metrics__bad_calibration__ece_interval_away_from_zero),
        cmocka_unit_test(test_metrics__same_seed__same_bits_and_another_seed_not),
        cmocka_unit_test(test_metrics__two_classes_as_many__binary_auc_and_interval),
        cmocka_unit_test(test_metrics__bad_input__refused_and_untouched),
        cmocka_unit_test(test_metrics__out_of_memory_anywhere__reported),
        cmocka_unit_test(test_metrics__json__values_with_intervals_and_method),
        cmocka_unit_test(test_metrics__histogram__counts_and_known_auc),
    };
    return csl_crypto_init(NULL) != CSL_OK || cmocka_run_group_tests(tests, NULL, NULL);
}
