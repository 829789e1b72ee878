/* How long one evaluation with all its intervals takes. Prints figures; none fails the program. */
#include "aggregation/evaluate/metrics.h"
#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { MAX = 100000, CLASSES = 8 };

static double milliseconds_since(uint64_t start_ns)
{
    return (double)(csl_clock_monotonic_ns() - start_ns) * 1e-6;
}

static void bench_evaluate__sizes__printed(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {16, 500, 5000, MAX};
    float *scores = csl_alloc_array((size_t)MAX * CLASSES, sizeof(*scores));
    float *times = csl_alloc_array(MAX, sizeof(*times));
    uint8_t *labels = csl_alloc_array(MAX, sizeof(*labels));
    uint8_t *events = csl_alloc_array(MAX, sizeof(*events));
    assert_true(scores != NULL && times != NULL && labels != NULL && events != NULL);
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "bench.evaluate", 0, 0, 0);
    for (size_t i = 0; i < MAX; i++) {
        labels[i] = (uint8_t)csl_rng_below(&rng, CLASSES);
        events[i] = (uint8_t)csl_rng_below(&rng, 2);
        times[i] = (float)csl_rng_uniform(&rng);
    }
    for (size_t i = 0; i < (size_t)MAX * CLASSES; i++)
        scores[i] = (float)csl_rng_uniform(&rng);
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct csl_metrics m;
        uint64_t n = sizes[k], start = csl_clock_monotonic_ns();
        assert_int_equal(csl_evaluate_binary(scores, events, n, 0.5, 0, &m, NULL), CSL_OK);
        double binary = milliseconds_since(start);
        start = csl_clock_monotonic_ns();
        assert_int_equal(csl_evaluate_classes(scores, labels, n, CLASSES, 0, &m, NULL), CSL_OK);
        double classes = milliseconds_since(start);
        start = csl_clock_monotonic_ns();
        assert_int_equal(csl_evaluate_survival(scores, times, events, n, 0, &m, NULL), CSL_OK);
        printf("%6u patients: binary %8.1f ms, %d classes %8.1f ms, survival %8.1f ms\n",
               (unsigned)n, binary, CLASSES, classes, milliseconds_since(start));
    }
    csl_free(scores);
    csl_free(times);
    csl_free(labels);
    csl_free(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_evaluate__sizes__printed)};
    return csl_crypto_init(NULL) != CSL_OK || cmocka_run_group_tests(tests, NULL, NULL);
}
