/* Property: on random data with many ties the sorted algorithms give what counting every pair
 * gives; rankings do not depend on the order of patients or the scale of scores; a histogram's AUC
 * is as near to the exact one as it says. */
#include "aggregation/evaluate/metrics.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 120, CASES = 60 };
static float scores[N], times[N], other[N];
static uint8_t labels[N], other_labels[N];

static double value_of(const struct csl_metrics *m, const char *name)
{
    const struct csl_metric *item = csl_metrics_find(m, name);
    return item == NULL ? -1 : item->value;
}

static size_t draw(struct csl_rng *rng)
{
    size_t n = 1 + (size_t)csl_rng_below(rng, N);
    double levels = (double)(1 + csl_rng_below(rng, 40)), rate = csl_rng_uniform(rng);
    for (size_t i = 0; i < n; i++) {
        labels[i] = csl_rng_uniform(rng) < rate;
        scores[i] = (float)(floor(csl_rng_uniform(rng) * levels) / levels);
        times[i] = (float)floor(csl_rng_uniform(rng) * levels) + 1;
    }
    return n;
}

static double auc_by_pairs(size_t n)
{
    double won = 0, pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            if (labels[i] == 1 && labels[j] == 0) {
                pairs += 1;
                won += scores[i] > scores[j] ? 1 : scores[i] < scores[j] ? 0 : 0.5;
            }
    return pairs > 0 ? won / pairs : -1;
}

static double c_index_by_pairs(size_t n)
{
    double won = 0, pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            bool is_later = times[j] > times[i] || (times[j] >= times[i] && !labels[j]);
            if (i == j || !labels[i] || !is_later)
                continue;
            pairs += 1;
            won += scores[i] > scores[j] ? 1 : scores[i] < scores[j] ? 0 : 0.5;
        }
    return pairs > 0 ? won / pairs : -1;
}

static void check_sane(const struct csl_metrics *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct csl_metric *item = &m->items[i];
        assert_true(0 <= item->low && item->low <= item->high);
        if (item->method == NULL || strncmp(item->method, "bootstrap", 9) != 0)
            assert_true(item->low <= item->value && item->value <= item->high);
        assert_true(item->high < 17); /* 1, but for the log loss, whose terms end at -ln 1e-7 */
    }
}

static void test_metrics_brute__random_ties__same_as_every_pair(void **state)
{
    (void)state;
    struct csl_rng rng;
    csl_rng_init_label(&rng, 21, "property.metrics", 0, 0, 0);
    for (uint64_t k = 0; k < CASES; k++) {
        struct csl_metrics m;
        size_t n = draw(&rng);
        assert_int_equal(csl_evaluate_binary(scores, labels, n, 0.5, k, &m, NULL), CSL_OK);
        assert_true(fabs(value_of(&m, "auc") - auc_by_pairs(n)) < 1e-13);
        check_sane(&m);
        assert_int_equal(csl_evaluate_survival(scores, times, labels, n, k, &m, NULL), CSL_OK);
        assert_true(fabs(value_of(&m, "c_index") - c_index_by_pairs(n)) < 1e-13);
        check_sane(&m);
    }
}

static void test_metrics_brute__patients_permuted_and_scores_rescaled__same_ranking(void **state)
{
    (void)state;
    struct csl_rng rng;
    csl_rng_init_label(&rng, 22, "property.metrics", 0, 0, 0);
    for (uint64_t k = 0; k < CASES; k++) {
        struct csl_metrics a, b;
        uint32_t order[N];
        size_t n = draw(&rng);
        for (uint32_t i = 0; i < n; i++)
            order[i] = i;
        csl_rng_shuffle_u32(&rng, order, n);
        for (size_t i = 0; i < n; i++) {
            other[i] = 0.25F + 0.5F * scores[order[i]];
            other_labels[i] = labels[order[i]];
        }
        assert_int_equal(csl_evaluate_binary(scores, labels, n, 0.5, k, &a, NULL), CSL_OK);
        assert_int_equal(csl_evaluate_binary(other, other_labels, n, 0.5, k, &b, NULL), CSL_OK);
        const struct csl_metric *x = csl_metrics_find(&a, "auc"), *y = csl_metrics_find(&b, "auc");
        assert_true((x == NULL) == (y == NULL));
        if (x == NULL || y == NULL)
            continue;
        assert_true(x->value == y->value);
        assert_true(fabs(x->low - y->low) < 1e-12 && fabs(x->high - y->high) < 1e-12);
    }
}

static void test_metrics_brute__histogram__within_its_bound(void **state)
{
    (void)state;
    struct csl_rng rng;
    csl_rng_init_label(&rng, 23, "property.metrics", 0, 0, 0);
    for (uint64_t k = 0; k < 20 * CASES; k++) {
        struct csl_score_histogram h = {.loss_sum = 0};
        double value, bound, exact;
        size_t n = draw(&rng);
        if (k % 2)
            for (size_t i = 0; i < n; i++) /* narrow: many scores share a bin */
                scores[i] = (float)(0.4 + 0.02 * csl_rng_uniform(&rng));
        csl_histogram_add(&h, scores, labels, n / 2);
        csl_histogram_add(&h, scores + n / 2, labels + n / 2, n - n / 2);
        exact = auc_by_pairs(n);
        assert_int_equal(csl_histogram_auc(&h, &value, &bound), exact >= 0);
        if (exact >= 0) {
            assert_true(fabs(value - exact) <= bound + 1e-13);
            assert_true(bound >= 0 && bound <= 0.5);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_brute__random_ties__same_as_every_pair),
        cmocka_unit_test(test_metrics_brute__patients_permuted_and_scores_rescaled__same_ranking),
        cmocka_unit_test(test_metrics_brute__histogram__within_its_bound),
    };
    return csl_crypto_init(NULL) != CSL_OK || cmocka_run_group_tests(tests, NULL, NULL);
}
