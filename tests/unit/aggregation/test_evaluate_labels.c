/* Several yes/no labels: every figure is the mean of those of the labels, each over what is known
 * of it. */
#include "aggregation/evaluate/metrics.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define N      60u
#define LABELS 3u

static float scores[N * LABELS];
static uint8_t answers[N * LABELS], known[N * LABELS];

/* Label 0 is known of all, 1 of every second record, 2 of three records that are all positive. */
static void fill(void)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, 4, "test/evaluate_labels", 0, 0, 0);
    for (uint32_t i = 0; i < N * LABELS; i++) {
        uint32_t k = i % LABELS, r = i / LABELS;
        answers[i] = k == 2 || csl_rng_below(&rng, 2) == 1;
        known[i] = k == 0 || (k == 1 && r % 2 == 0) || (k == 2 && r < 3);
        scores[i] = (float)(csl_rng_uniform(&rng) * 0.8 + (answers[i] != 0 ? 0.2 : 0));
    }
}

static void judge_one(uint32_t label, struct csl_metrics *out)
{
    float s[N];
    uint8_t a[N];
    uint64_t n = 0;
    for (uint32_t r = 0; r < N; r++) {
        if (known[r * LABELS + label] == 0)
            continue;
        s[n] = scores[r * LABELS + label];
        a[n++] = answers[r * LABELS + label];
    }
    assert_int_equal(csl_evaluate_binary(s, a, n, 0.5, 7, out, NULL), CSL_OK);
}

static void test_evaluate_labels__mean__is_over_the_labels_that_have_the_figure(void **state)
{
    static const char *const names[] = {"auc", "sensitivity", "accuracy", "brier"};
    struct csl_metrics mean, by[LABELS], one[LABELS];
    (void)state;
    fill();
    assert_int_equal(csl_evaluate_labels(scores, answers, known, N, LABELS, 7, &mean, by, NULL),
                     CSL_OK);
    assert_int_equal(mean.examples, N);
    assert_int_equal(mean.positives, 0);
    for (uint32_t k = 0; k < LABELS; k++) {
        judge_one(k, &one[k]);
        assert_memory_equal(&by[k].items, &one[k].items, one[k].count * sizeof(one[k].items[0]));
        assert_int_equal(by[k].examples, one[k].examples);
    }
    assert_null(csl_metrics_find(&one[2], "auc"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        double value = 0, low = 0, high = 0, count = 0;
        for (uint32_t k = 0; k < LABELS; k++) {
            const struct csl_metric *m = csl_metrics_find(&one[k], names[i]);
            if (m == NULL)
                continue;
            value += m->value;
            low += m->low;
            high += m->high;
            count++;
        }
        const struct csl_metric *m = csl_metrics_find(&mean, names[i]);
        assert_non_null(m);
        assert_true(fabs(m->value - value / count) < 1e-12);
        assert_string_equal(m->method, "label-mean");
        assert_true(fabs(m->low - low / count) < 1e-12 && fabs(m->high - high / count) < 1e-12);
        assert_true(count == (i == 0 ? 2 : 3));
    }
}

/* A mean of which a part has no interval has none. */
static void test_evaluate_labels__part_without_interval__has_none(void **state)
{
    static const float same[] = {0.75f, 0.75f, 0.75f, 0.75f}; /* of two labels */
    static const uint8_t yes[] = {1, 1, 1, 1};
    struct csl_metrics mean;
    (void)state;
    assert_int_equal(csl_evaluate_labels(same, yes, yes, 2, 2, 7, &mean, NULL, NULL), CSL_OK);
    const struct csl_metric *loss = csl_metrics_find(&mean, "log_loss");
    assert_non_null(loss);
    assert_null(loss->method);
    assert_null(csl_metrics_find(&mean, "auc"));
}

static void test_evaluate_labels__nothing_known_or_no_record__has_no_figure(void **state)
{
    struct csl_metrics mean;
    (void)state;
    fill();
    memset(known, 0, sizeof(known));
    assert_int_equal(csl_evaluate_labels(scores, answers, known, N, LABELS, 7, &mean, NULL, NULL),
                     CSL_OK);
    assert_int_equal(mean.count, 0);
    assert_int_equal(csl_evaluate_labels(scores, answers, known, 0, LABELS, 7, &mean, NULL, NULL),
                     CSL_OK);
    assert_int_equal(mean.examples, 0);
}

static void test_evaluate_labels__score_out_of_range__refused_where_it_is_known(void **state)
{
    struct csl_metrics mean;
    (void)state;
    fill();
    scores[5] = 1.5f; /* of record 1, label 2 */
    assert_int_equal(csl_evaluate_labels(scores, answers, known, N, LABELS, 7, &mean, NULL, NULL),
                     CSL_E_INVAL);
    known[5] = 0;
    assert_int_equal(csl_evaluate_labels(scores, answers, known, N, LABELS, 7, &mean, NULL, NULL),
                     CSL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluate_labels__mean__is_over_the_labels_that_have_the_figure),
        cmocka_unit_test(test_evaluate_labels__part_without_interval__has_none),
        cmocka_unit_test(test_evaluate_labels__nothing_known_or_no_record__has_no_figure),
        cmocka_unit_test(test_evaluate_labels__score_out_of_range__refused_where_it_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
