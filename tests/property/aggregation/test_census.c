/* Property: one patient moves the vector of a domain by at most the stated sensitivity, whatever
 * the values are; sites' vectors add up to that of all patients; intervals hold what they say,
 * noise included; and what is too small is never shown. */
#include "aggregation/statistics/statistics.h"
#include "aggregation/weights/publication.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { FEATURES = 3, QUESTIONS = 2, ANSWERS = 3, WORDS_MAX = 1000, RUNS = 4000 };

static const struct csl_statistics_range ranges[FEATURES] = {{0, 120}, {-1e-3, 1e3}, {-5, 5}};

static struct csl_statistics_shape draw_shape(struct csl_rng *rng)
{
    return (struct csl_statistics_shape){.questions = (uint32_t)csl_rng_below(rng, QUESTIONS + 1),
                                         .answers = ANSWERS,
                                         .features = (uint32_t)csl_rng_below(rng, FEATURES + 1),
                                         .bins = 4 + (uint32_t)csl_rng_below(rng, 200)};
}

static double draw_value(struct csl_rng *rng, const struct csl_statistics_range *r)
{
    const double odd[] = {NAN,    INFINITY, -INFINITY, 0,
                          -0.0,   r->low,   r->high,   1e308,
                          -1e308, 5e-324,   1e-300,    nextafter(r->high, INFINITY)};
    if (csl_rng_below(rng, 2) == 0)
        return odd[csl_rng_below(rng, sizeof(odd) / sizeof(odd[0]))];
    return r->low + (r->high - r->low) * (1.4 * csl_rng_uniform(rng) - 0.2);
}

static void add_patient(struct csl_rng *rng, const struct csl_statistics_shape *shape, int64_t *to)
{
    uint32_t answer[QUESTIONS];
    double value[FEATURES];
    for (int q = 0; q < QUESTIONS; q++)
        answer[q] = csl_rng_below(rng, 4) == 0 ? CSL_STATISTICS_NO_ANSWER
                                               : (uint32_t)csl_rng_below(rng, ANSWERS);
    for (int f = 0; f < FEATURES; f++)
        value[f] = draw_value(rng, &ranges[f]);
    csl_statistics_add(shape, ranges, answer, value, to);
}

static uint64_t distance2(const int64_t *a, const int64_t *b, size_t words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++)
        sum += (uint64_t)((a[i] - b[i]) * (a[i] - b[i]));
    return sum;
}

static void test_census__neighbouring_data__differ_by_the_sensitivity(void **state)
{
    (void)state;
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "test/statistics/neighbours", 0, 0, 0);
    for (int round = 0; round < 20000; round++) {
        struct csl_statistics_shape shape = draw_shape(&rng);
        size_t words = csl_statistics_words(&shape);
        int64_t with[WORDS_MAX] = {0}, without[WORDS_MAX];
        assert_true(words <= WORDS_MAX);
        for (uint64_t n = csl_rng_below(&rng, 5); n > 0; n--)
            add_patient(&rng, &shape, with);
        memcpy(without, with, sizeof(with));
        add_patient(&rng, &shape, with);
        uint64_t bound =
            csl_statistics_sensitivity2(&shape) * CSL_STATISTICS_ONE * (uint64_t)CSL_STATISTICS_ONE;
        assert_true(distance2(with, without, words) <= bound);
    }
}

/* The bound is reached: by a patient with an answer to each question and values at the ends. */
static void test_census__the_largest_patient__is_the_sensitivity(void **state)
{
    (void)state;
    const struct csl_statistics_shape shape = {QUESTIONS, ANSWERS, FEATURES, 16};
    const uint32_t answer[QUESTIONS] = {0, ANSWERS - 1};
    const double value[FEATURES] = {120, -1e-3, 1e9};
    int64_t sum[WORDS_MAX] = {0}, none[WORDS_MAX] = {0};
    csl_statistics_add(&shape, ranges, answer, value, sum);
    assert_int_equal(distance2(sum, none, csl_statistics_words(&shape)),
                     csl_statistics_sensitivity2(&shape) * CSL_STATISTICS_ONE * CSL_STATISTICS_ONE);
    assert_int_equal(csl_statistics_sensitivity2(&shape), 1 + QUESTIONS + 3 * FEATURES);
}

static void test_census__sites__add_up_to_all_patients(void **state)
{
    (void)state;
    struct csl_rng rng, again;
    const struct csl_statistics_shape shape = {QUESTIONS, ANSWERS, FEATURES, 16};
    size_t words = csl_statistics_words(&shape);
    int64_t sites[4][WORDS_MAX] = {{0}}, pooled[WORDS_MAX] = {0};
    csl_rng_init_label(&rng, 2, "test/statistics/sites", 0, 0, 0);
    again = rng;
    for (int i = 0; i < 1000; i++)
        add_patient(&rng, &shape, sites[i % 4]);
    for (int i = 0; i < 1000; i++)
        add_patient(&again, &shape, pooled);
    for (size_t w = 0; w < words; w++)
        assert_int_equal(sites[0][w] + sites[1][w] + sites[2][w] + sites[3][w], pooled[w]);
    for (size_t w = 0; w < words; w++)
        assert_true(!csl_statistics_is_count(&shape, w) || pooled[w] % CSL_STATISTICS_ONE == 0);
    assert_false(csl_statistics_is_count(&shape, words - 1)); /* squares, and the sum before them */
    assert_false(csl_statistics_is_count(&shape, words - 2));
    assert_true(csl_statistics_is_count(&shape, words - 3));
    for (uint32_t f = 0; f < FEATURES; f++) { /* everybody is in one entry of each feature */
        int64_t all = 0;
        size_t first = 1 + QUESTIONS * ANSWERS + f * (16 + 5);
        for (size_t w = first; w < first + 16 + 3; w++)
            all += pooled[w];
        assert_int_equal(all, pooled[0]);
    }
}

/* --- intervals --- */

static const struct csl_statistics_shape one = {0, 0, 1, 32};
static const struct csl_statistics_range unit = {0, 1};

/* Of a value u^2 with u uniform: mean 1/3, variance 1/5 - 1/9, quantile p: p^2. */
static void draw_sample(struct csl_rng *rng, uint32_t patients, double sigma, int64_t *sum)
{
    memset(sum, 0, WORDS_MAX * sizeof(*sum));
    for (uint32_t i = 0; i < patients; i++) {
        double u = csl_rng_uniform(rng), v = u * u;
        csl_statistics_add(&one, &unit, NULL, &v, sum);
    }
    for (size_t w = 0; w < csl_statistics_words(&one); w++)
        sum[w] += llrint(sigma * CSL_STATISTICS_ONE * csl_rng_normal(rng));
}

static bool holds(const struct csl_statistic *s, double truth)
{
    assert_true(s->low <= s->value && s->value <= s->high);
    return s->low <= truth && truth <= s->high;
}

/* Where the true coverage is 0.95 or more, fewer than 0.9293 of 4000 runs (6 standard deviations)
 * have a probability below 1e-9. The noise is the largest at which a figure is still shown often.
 */
static void check_coverage(uint32_t patients, double sigma)
{
    struct csl_rng rng;
    struct csl_statistics_sum s = {.sigma = sigma, .sites = 3, .sites_min = 3, .minimum_cell = 5};
    uint32_t shown = 0, mean = 0, deviations = 0, deviation = 0;
    uint32_t quantile[CSL_STATISTICS_QUANTILES] = {0};
    csl_rng_init_label(&rng, 3, "test/statistics/coverage", patients, 0, 0);
    for (int run = 0; run < RUNS; run++) {
        static int64_t sum[WORDS_MAX];
        struct csl_feature_figures f;
        draw_sample(&rng, patients, sigma, sum);
        csl_statistics_feature(&one, &s, &unit, 0, sum, &f);
        if (!f.mean.is_shown)
            continue;
        shown++;
        mean += holds(&f.mean, 1.0 / 3);
        deviations += f.deviation.is_shown;
        if (f.deviation.is_shown)
            deviation += holds(&f.deviation, sqrt(1.0 / 5 - 1.0 / 9));
        else
            deviation += f.deviation.high >= sqrt(1.0 / 5 - 1.0 / 9);
        for (int q = 0; q < CSL_STATISTICS_QUANTILES; q++)
            quantile[q] +=
                holds(&f.quantiles[q], csl_statistics_quantiles[q] * csl_statistics_quantiles[q]);
    }
    assert_true(shown == RUNS);
    assert_true(deviations > RUNS / 2);
    assert_true(mean >= 0.9293 * shown);
    assert_true(deviation >= 0.9293 * shown);
    for (int q = 0; q < CSL_STATISTICS_QUANTILES; q++)
        assert_true(quantile[q] >= 0.9293 * shown);
}

static void test_census__without_noise__intervals_hold_the_population(void **state)
{
    (void)state;
    check_coverage(200, 0);
}

static void test_census__with_noise__intervals_hold_the_population(void **state)
{
    (void)state;
    check_coverage(800, 800 / (CSL_PUBLICATION_USABLE * sqrt(2) * 1.4));
}

/* Whatever noise does: what is shown is at least the rule's count, and nothing shown is zero. */
static void test_census__too_small__is_never_shown(void **state)
{
    (void)state;
    const struct csl_statistics_shape shape = {1, ANSWERS, 1, 8};
    struct csl_rng rng;
    csl_rng_init_label(&rng, 4, "test/statistics/small", 0, 0, 0);
    for (int run = 0; run < 20000; run++) {
        int64_t sum[WORDS_MAX];
        struct csl_statistic patients, cells[ANSWERS];
        struct csl_feature_figures f;
        struct csl_statistics_sum s = {.sigma = csl_rng_below(&rng, 2) ? 0 : 5,
                                       .sites = (uint32_t)csl_rng_below(&rng, 5),
                                       .sites_min = 2,
                                       .minimum_cell = 5};
        for (size_t w = 0; w < csl_statistics_words(&shape); w++)
            sum[w] =
                (int64_t)csl_rng_below(&rng, 400 * CSL_STATISTICS_ONE) - 100 * CSL_STATISTICS_ONE;
        csl_statistics_counts(&shape, &s, sum, &patients, cells);
        csl_statistics_feature(&shape, &s, &unit, 0, sum, &f);
        double least = csl_statistics_least(&s, 1);
        assert_true(least == fmax(17 * s.sigma, 5));
        for (int a = 0; a < ANSWERS; a++) {
            assert_true(!cells[a].is_shown || (cells[a].value >= least && s.sites >= 2));
            assert_true(cells[a].high > 0);
        }
        assert_true(!patients.is_shown || patients.value >= least);
        assert_true(!f.mean.is_shown || s.sites >= 2);
        assert_true(!f.missing.is_shown || f.missing.value > 0);
        assert_true(!f.mean.is_shown || (f.mean.low >= 0 && f.mean.high <= 1));
    }
}

/* Without noise the only hidden answer would be what all patients less the others leave. */
static void test_census__one_small_class__hides_another_one(void **state)
{
    (void)state;
    const struct csl_statistics_shape shape = {1, ANSWERS, 0, 8};
    const int64_t sum[] = {103 * CSL_STATISTICS_ONE, 3 * CSL_STATISTICS_ONE,
                           60 * CSL_STATISTICS_ONE, 40 * CSL_STATISTICS_ONE};
    const struct csl_statistics_sum s = {.sites = 2, .sites_min = 2, .minimum_cell = 5};
    struct csl_statistic patients, cells[ANSWERS];
    csl_statistics_counts(&shape, &s, sum, &patients, cells);
    assert_true(patients.is_shown && patients.value == 103);
    assert_true(!cells[0].is_shown && cells[0].high == 5);
    assert_true(cells[1].is_shown && cells[1].value == 60);
    assert_true(!cells[2].is_shown && cells[2].high == HUGE_VAL);
}

/* What all patients less the shown answers leave is hidden, and is never fewer than are shown. */
static void check_answers(const int64_t *patients, uint32_t shown, uint64_t first)
{
    const struct csl_statistics_shape shape = {1, 4, 0, 8};
    const struct csl_statistics_sum s = {.sites = 2, .sites_min = 2, .minimum_cell = 10};
    struct csl_statistic all, cells[4];
    int64_t sum[5];
    uint32_t count = 0;
    for (int i = 0; i < 5; i++)
        sum[i] = patients[i] * CSL_STATISTICS_ONE;
    csl_statistics_counts(&shape, &s, sum, &all, cells);
    for (int a = 0; a < 4; a++)
        count += cells[a].is_shown;
    assert_int_equal(count, shown);
    assert_true(!cells[0].is_shown || cells[0].value == (double)first);
}

static void test_census__small_classes__are_not_what_the_others_leave(void **state)
{
    (void)state;
    static const int64_t two_small[] = {198, 100, 95, 3, 0}, many[] = {246, 100, 96, 40, 10},
                         unanswered[] = {249, 100, 96, 40, 10}, absent[] = {246, 110, 96, 40, 0},
                         together[] = {212, 100, 94, 9, 9}, no_more[] = {206, 100, 96, 10, 0},
                         many_without[] = {271, 100, 96, 40, 10}, none_left[] = {15, 12, 3, 0, 0};
    check_answers(two_small, 1, 100);
    check_answers(many, 4, 100);
    check_answers(unanswered, 2, 100); /* three patients have no answer at all */
    check_answers(absent, 2, 110);
    check_answers(together, 1, 100); /* 18 of two below 10 are 9 and 9 */
    check_answers(no_more, 1, 100);  /* 10 of which one has 10 */
    check_answers(many_without, 4, 100);
    check_answers(none_left, 0, 0);
}

/* --- without noise, from what is shown to what is not --- */

enum { BINS = 32, PATIENTS = 486 };

/* A skewed value in `range` of all but `missing` patients, of whom `outside` are above it. */
static void draw_known(struct csl_rng *rng, const struct csl_statistics_range *range,
                       uint32_t missing, uint32_t outside, struct csl_feature_figures *out)
{
    const struct csl_statistics_shape shape = {0, 0, 1, BINS};
    const struct csl_statistics_sum s = {.sites = 4, .sites_min = 3, .minimum_cell = 10};
    int64_t sum[1 + BINS + 5] = {0};
    for (uint32_t i = 0; i < PATIENTS; i++) {
        double u = csl_rng_uniform(rng), v = range->low + (range->high - range->low) * u * u;
        v = i < missing ? (double)NAN : i < missing + outside ? range->high + 1 : v;
        csl_statistics_add(&shape, range, NULL, &v, sum);
    }
    csl_statistics_feature(&shape, &s, range, 0, sum, out);
}

/* Some whole number, over `parts` a patient and `known` patients, is `value` as it is written. */
static bool is_possible(double value, double known, double parts, double grain)
{
    double whole = value * known * parts;
    return fabs(whole - round(whole)) <= fmax(grain * known * parts / 2, 1e-7);
}

/* The power of ten to which a number is written. */
static double grain_of(double v)
{
    double grain = 1;
    while (grain > 1e-9 && fabs(v / grain - round(v / grain)) > 1e-6)
        grain /= 10;
    return grain;
}

/* How many patients have a value is not in the figures: they would be the same, or as likely, with
 * any number of them that `missing` leaves. */
static void test_census__without_noise__hidden_missing_stay_hidden(void **state)
{
    (void)state;
    static const struct csl_statistics_range range = {0, 2}; /* s is v - 1 */
    struct csl_rng rng;
    int found = 0;
    csl_rng_init_label(&rng, 5, "test/statistics/missing", 0, 0, 0);
    for (uint32_t missing = 0; missing < 10; missing++) {
        struct csl_feature_figures f;
        draw_known(&rng, &range, missing, 60, &f);
        assert_true(f.mean.is_shown && f.deviation.is_shown && f.outside.is_shown);
        assert_true(!f.missing.is_shown && f.missing.high == 10.0 / PATIENTS);
        double half = (f.mean.high - f.mean.low) / 2 - 0.5 / CSL_STATISTICS_ONE;
        double ratio = f.deviation.value * 1.959963984540054 / half; /* n / sqrt(n - 1) */
        for (uint32_t other = 0; other < 10; other++) {
            double n = PATIENTS - other;
            assert_true(
                is_possible(f.mean.value - 1, n, CSL_STATISTICS_ONE, grain_of(f.mean.value)));
            assert_true(is_possible(f.outside.value, n, 1, grain_of(f.outside.value)));
        }
        /* The number that the deviation and the mean's interval would give. */
        double n = ratio * ratio / 2 + sqrt(ratio * ratio * ratio * ratio / 4 - ratio * ratio);
        found += fabs(n - (PATIENTS - missing)) < 0.5;
        for (int q = 0; q < CSL_STATISTICS_QUANTILES; q++) { /* a bin, not a place in it */
            double at = f.quantiles[q].value * BINS / 2;
            assert_true(at == BINS || fabs(at - floor(at) - 0.5) < 1e-9);
        }
    }
    assert_true(found < 5); /* by accident: the figures are rounded */
}

static void test_census__without_noise__the_few_who_are_left_are_hidden(void **state)
{
    (void)state;
    static const struct csl_statistics_range range = {0, 2};
    struct csl_rng rng;
    struct csl_feature_figures f;
    csl_rng_init_label(&rng, 6, "test/statistics/left", 0, 0, 0);
    draw_known(&rng, &range, PATIENTS - 6, 0, &f); /* six have a value */
    assert_true(!f.missing.is_shown && !f.mean.is_shown && !f.outside.is_shown);
    draw_known(&rng, &range, 0, PATIENTS - 6, &f); /* six are inside */
    assert_true(!f.outside.is_shown && f.mean.is_shown);
    draw_known(&rng, &range, PATIENTS - 40, 0, &f); /* 5 % of 40 */
    assert_true(f.missing.is_shown && f.mean.is_shown && f.quantiles[1].is_shown);
    assert_true(!f.quantiles[0].is_shown && !f.quantiles[4].is_shown);
}

/* The mean of 0 and 1 is the share of ones. */
static void test_census__without_noise__two_values_hide_the_few(void **state)
{
    (void)state;
    const struct csl_statistics_shape shape = {0, 0, 1, BINS};
    const struct csl_statistics_sum s = {.sites = 4, .sites_min = 3, .minimum_cell = 10};
    for (uint32_t ones = 0; ones <= PATIENTS; ones++) {
        int64_t sum[1 + BINS + 5] = {0};
        struct csl_feature_figures f;
        for (uint32_t i = 0; i < PATIENTS; i++) {
            double v = i < ones;
            csl_statistics_add(&shape, &unit, NULL, &v, sum);
        }
        csl_statistics_feature(&shape, &s, &unit, 0, sum, &f);
        bool is_few = (ones > 0 && ones < 10) || (ones < PATIENTS && ones > PATIENTS - 10);
        assert_true(f.mean.is_shown == !is_few);
        assert_true(!f.deviation.is_shown || !is_few);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_census__neighbouring_data__differ_by_the_sensitivity),
        cmocka_unit_test(test_census__the_largest_patient__is_the_sensitivity),
        cmocka_unit_test(test_census__sites__add_up_to_all_patients),
        cmocka_unit_test(test_census__without_noise__intervals_hold_the_population),
        cmocka_unit_test(test_census__with_noise__intervals_hold_the_population),
        cmocka_unit_test(test_census__too_small__is_never_shown),
        cmocka_unit_test(test_census__one_small_class__hides_another_one),
        cmocka_unit_test(test_census__small_classes__are_not_what_the_others_leave),
        cmocka_unit_test(test_census__without_noise__hidden_missing_stay_hidden),
        cmocka_unit_test(test_census__without_noise__the_few_who_are_left_are_hidden),
        cmocka_unit_test(test_census__without_noise__two_values_hide_the_few),
    };
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
