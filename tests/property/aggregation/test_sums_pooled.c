/* Property: what the sites' counts say together is what their pooled scores say. Confusion figures
 * are the same to the last bit's rounding; the AUC and the ECE lie within their stated error of the
 * exact ones; who counts first does not matter. */
#include "aggregation/evaluate/sums.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 100, CASES = 400, SITES = 5, CLASSES = 4 };
static float scores[N * CLASSES];
static uint8_t labels[N];

struct federation {
    struct csl_sums sites[SITES], joined;
};

/* Narrow scores share bins; the others seldom do. */
static size_t draw(struct csl_rng *rng, uint32_t classes, bool is_narrow)
{
    size_t n = 2 + (size_t)csl_rng_below(rng, N - 1);
    uint32_t width = classes == 2 ? 1 : classes;
    double rate = csl_rng_uniform(rng);
    for (size_t i = 0; i < n; i++) {
        labels[i] =
            (uint8_t)(classes == 2 ? csl_rng_uniform(rng) < rate : csl_rng_below(rng, classes));
        for (uint32_t c = 0; c < width; c++)
            scores[i * width + c] =
                (float)(is_narrow ? 0.49 + 0.02 * csl_rng_uniform(rng) : csl_rng_uniform(rng));
    }
    return n;
}

static void count(struct federation *f, size_t n, uint32_t classes, uint32_t bins, bool is_turned)
{
    uint32_t width = classes == 2 ? 1 : classes;
    assert_int_equal(csl_sums_init(&f->joined, classes, bins, NULL), CSL_OK);
    for (size_t s = 0; s < SITES; s++)
        assert_int_equal(csl_sums_init(&f->sites[s], classes, bins, NULL), CSL_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(
            csl_sums_add(&f->sites[i % SITES], &scores[i * width], labels[i], true, NULL), CSL_OK);
    for (size_t s = 0; s < SITES; s++)
        assert_int_equal(csl_sums_join(&f->joined, &f->sites[is_turned ? SITES - 1 - s : s], NULL),
                         CSL_OK);
}

static void release(struct federation *f)
{
    for (size_t s = 0; s < SITES; s++)
        csl_sums_release(&f->sites[s]);
    csl_sums_release(&f->joined);
}

static void same(const struct csl_metrics *sums, const struct csl_metrics *pooled, const char *name,
                 double error)
{
    const struct csl_metric *a = csl_metrics_find(sums, name), *b = csl_metrics_find(pooled, name);
    assert_true((a == NULL) == (b == NULL));
    if (a != NULL && b != NULL && !(fabs(a->value - b->value) <= error + 1e-12))
        fail_msg("%s: %.15g from sums, %.15g from scores, error %g", name, a->value, b->value,
                 error);
}

static void compare(uint32_t classes, uint64_t seed)
{
    static const char *const exact[] = {"accuracy", "balanced_accuracy", "sensitivity",
                                        "specificity", "macro_f1"};
    static struct csl_sum_figures f;
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "property.sums", classes, 0, 0);
    for (uint64_t k = 0; k < CASES; k++) {
        struct federation one, other;
        struct csl_metrics pooled;
        uint32_t bins = k % 3 == 0 ? 1024 : 256;
        size_t n = draw(&rng, classes, k % 2);
        count(&one, n, classes, bins, false);
        count(&other, n, classes, bins, true);
        assert_memory_equal(one.joined.counts, other.joined.counts,
                            csl_sums_count(classes, bins) * sizeof(uint64_t));
        assert_int_equal(csl_sums_evaluate(&one.joined, k, &f, NULL), CSL_OK);
        assert_int_equal(classes == 2
                             ? csl_evaluate_binary(scores, labels, n, 0.5, k, &pooled, NULL)
                             : csl_evaluate_classes(scores, labels, n, classes, k, &pooled, NULL),
                         CSL_OK);
        for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
            same(&f.metrics, &pooled, exact[i], 0);
        same(&f.metrics, &pooled, "auc", f.auc_error);
        for (uint32_t i = 0; i < f.metrics.count; i++)
            assert_true(0 <= f.metrics.items[i].low &&
                        f.metrics.items[i].low <= f.metrics.items[i].high &&
                        f.metrics.items[i].high <= 1);
        release(&one);
        release(&other);
    }
}

static void test_sums_pooled__binary__as_the_pooled_scores(void **state)
{
    (void)state;
    compare(2, 31);
}

static void test_sums_pooled__several_classes__as_the_pooled_scores(void **state)
{
    (void)state;
    compare(CLASSES, 32);
}

/* The ECE over the same sixteen bins, from the scores themselves. */
static double exact_ece(size_t n)
{
    double gaps[CSL_CALIBRATION_BINS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++) {
        size_t bin = (size_t)((double)scores[i] * CSL_CALIBRATION_BINS);
        gaps[bin < CSL_CALIBRATION_BINS ? bin : CSL_CALIBRATION_BINS - 1] +=
            labels[i] - (double)scores[i];
    }
    for (size_t b = 0; b < CSL_CALIBRATION_BINS; b++)
        sum += fabs(gaps[b]);
    return sum / (double)n;
}

static void test_sums_pooled__calibration__within_its_error(void **state)
{
    (void)state;
    static struct csl_sum_figures f;
    struct csl_rng rng;
    csl_rng_init_label(&rng, 33, "property.sums", 0, 0, 0);
    for (uint64_t k = 0; k < CASES; k++) {
        struct federation one;
        size_t n = draw(&rng, 2, k % 2);
        count(&one, n, 2, k % 3 == 0 ? 1024 : 256, false);
        assert_int_equal(csl_sums_evaluate(&one.joined, k, &f, NULL), CSL_OK);
        const struct csl_metric *ece = csl_metrics_find(&f.metrics, "ece");
        assert_non_null(ece);
        assert_true(fabs(ece->value - exact_ece(n)) <= f.ece_error + 1e-12);
        release(&one);
    }
}

/* Coverage of the interval of the AUC: scores from normals d' = 1 apart through the logistic
 * function, true AUC Phi(1 / sqrt 2) = .760249...; 400 sets of 40 + 60 patients. Fewer than
 * 336 hits have a probability below 1e-14 at the nominal coverage of 95 % and below 3e-9 at one of
 * only 93 % (Chernoff). The seed is fixed. */
static void test_sums_pooled__auc_interval__covers_the_truth(void **state)
{
    (void)state;
    static struct csl_sum_figures f;
    struct csl_rng rng;
    uint32_t covered = 0;
    const double truth = 0.5 * erfc(-0.5);
    csl_rng_init_label(&rng, 34, "property.sums", 0, 0, 0);
    for (uint64_t k = 0; k < CASES; k++) {
        struct federation one;
        for (size_t i = 0; i < N; i++) {
            labels[i] = i < 40;
            scores[i] = (float)(1 / (1 + exp(-csl_rng_normal(&rng) - labels[i])));
        }
        count(&one, N, 2, 256, false);
        assert_int_equal(csl_sums_evaluate(&one.joined, k, &f, NULL), CSL_OK);
        const struct csl_metric *auc = csl_metrics_find(&f.metrics, "auc");
        assert_non_null(auc);
        covered += auc->low <= truth && truth <= auc->high;
        release(&one);
    }
    assert_true(covered >= 336);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_pooled__binary__as_the_pooled_scores),
        cmocka_unit_test(test_sums_pooled__several_classes__as_the_pooled_scores),
        cmocka_unit_test(test_sums_pooled__calibration__within_its_error),
        cmocka_unit_test(test_sums_pooled__auc_interval__covers_the_truth),
    };
    return csl_crypto_init(NULL) != CSL_OK || cmocka_run_group_tests(tests, NULL, NULL);
}
