/* The losses of unknown labels, many labels, merged classes, focal weights, squared error and
 * discrete time, against their definitions in double and central differences of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "privacy/crypto/rng.h"
#include "site-agent/training/compute/compute.h"
#include "tests/unit/training/backends.h"

#include <math.h>
#include <string.h>

#define ROWS 7u
#define K    5u
#define N    (ROWS * K)

struct problem {
    enum csl_loss_kind kind;
    uint32_t outputs, classes; /* classes > 0: with a map */
    double gamma, logits[N], targets[N], weights[ROWS];
    bool has_known, has_weights;
    uint8_t labels[N], known[N], events[ROWS], map[K * K];
};

/* ---- definitions ---- */

static double focal(double p, double gamma)
{
    return -pow(1 - p, gamma) * log(p);
}

static double softmax_loss(const struct problem *p, uint32_t row)
{
    double all = 0, chosen = 0;
    for (uint32_t c = 0; c < p->outputs; c++) {
        double e = exp(p->logits[row * p->outputs + c]);
        bool is_chosen =
            p->classes > 0 ? p->map[p->labels[row] * p->outputs + c] != 0 : c == p->labels[row];
        all += e;
        chosen += is_chosen ? e : 0;
    }
    return focal(chosen / all, p->gamma);
}

static double row_loss(const struct problem *p, uint32_t row)
{
    double sum = 0, known = 0;
    bool is_per_output = p->kind == CSL_LOSS_MULTILABEL || p->kind == CSL_LOSS_SQUARED;
    if (!is_per_output && p->has_known && p->known[row] == 0)
        return 0;
    if (p->kind == CSL_LOSS_SOFTMAX)
        return softmax_loss(p, row);
    for (uint32_t c = 0; c < p->outputs; c++) {
        uint32_t i = row * p->outputs + c;
        double z = p->logits[i], s = 1 / (1 + exp(-z));
        if (is_per_output && p->has_known && p->known[i] == 0)
            continue;
        known++;
        if (p->kind == CSL_LOSS_SQUARED)
            sum += (z - p->targets[i]) * (z - p->targets[i]);
        else if (p->kind == CSL_LOSS_MULTILABEL)
            sum += focal(p->labels[i] != 0 ? s : 1 - s, p->gamma);
        else if (p->kind == CSL_LOSS_LOGISTIC)
            sum += focal(p->labels[row] != 0 ? s : 1 - s, 0);
        else if (c < p->labels[row])
            sum -= log(1 - s);
        else if (c == p->labels[row] && p->events[row] != 0)
            sum -= log(s);
    }
    return is_per_output ? (known > 0 ? sum / known : 0) : sum;
}

static double total_loss(const struct problem *p)
{
    double sum = 0;
    for (uint32_t r = 0; r < ROWS; r++)
        sum += (p->has_weights ? p->weights[r] : 1) * row_loss(p, r);
    return 0.25 * sum;
}

/* ---- the operation ---- */

static double run(const struct problem *p, const struct csl_compute_ops *ops, float *grad)
{
    struct csl_dev *dev = NULL;
    struct csl_cbuf *floats = NULL, *bytes = NULL, *wide = NULL;
    float packed[3 * N] = {0};
    double loss;
    uint64_t n = ROWS * p->outputs;
    for (uint32_t i = 0; i < n; i++) {
        packed[i] = (float)p->logits[i];
        packed[N + i] = (float)p->targets[i];
    }
    for (uint32_t r = 0; r < ROWS; r++)
        packed[2 * N + r] = (float)p->weights[r];
    assert_int_equal(ops->open(0, &dev, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, 4 * N * sizeof(float), &floats, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, 4 * N, &bytes, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, sizeof(double), &wide, NULL), CSL_OK);
    ops->put(dev, floats, 0, packed, sizeof(packed));
    ops->put(dev, bytes, 0, p->labels, N);
    ops->put(dev, bytes, N, p->known, N);
    ops->put(dev, bytes, 2 * N, p->events, ROWS);
    ops->put(dev, bytes, 3 * N, p->map, K * K);
    struct csl_loss l = {.kind = p->kind,
                         .rows = ROWS,
                         .outputs = p->outputs,
                         .scale = 0.25,
                         .logits = {floats, 0, n},
                         .labels = {bytes, 0, N},
                         .grad = {floats, 3 * N, n},
                         .loss = {wide, 0, 1},
                         .targets = {floats, N, n},
                         .events = {bytes, 2 * N, ROWS},
                         .gamma = p->gamma};
    if (p->has_known)
        l.known = (struct csl_view){bytes, N, N};
    if (p->has_weights)
        l.weights = (struct csl_view){floats, 2 * N, ROWS};
    if (p->classes > 0) {
        l.map = (struct csl_view){bytes, 3 * N, K * K};
        l.label_classes = p->classes;
    }
    ops->loss(dev, &l);
    ops->get(dev, &loss, wide, 0, sizeof(loss));
    ops->get(dev, grad, floats, 3 * N * sizeof(float), n * sizeof(float));
    assert_int_equal(ops->sync(dev, NULL), CSL_OK);
    ops->free(floats);
    ops->free(bytes);
    ops->free(wide);
    ops->close(dev);
    return loss;
}

static bool is_finite(const struct problem *p, float *grad)
{
    return isfinite(run(p, csl_compute_cpu_ref(), grad)) != 0;
}

/* The operation is in double with one rounding of each gradient; differences with h = 1e-5 know it
 * to 1e-9. */
static void check(struct problem *p)
{
    const struct csl_compute_ops *const *all = backends();
    for (size_t b = 0; all[b] != NULL; b++) {
        float grad[N];
        double loss = run(p, all[b], grad), want = total_loss(p);
        assert_true(fabs(loss - want) <= 1e-12 * (1 + fabs(want)));
        for (uint32_t i = 0; i < ROWS * p->outputs; i++) {
            double kept = p->logits[i], h = 1e-5;
            p->logits[i] = kept + h;
            double up = total_loss(p);
            p->logits[i] = kept - h;
            double slope = (up - total_loss(p)) / (2 * h);
            p->logits[i] = kept;
            if (!(fabs((double)grad[i] - slope) <= 1e-7 * fabs(slope) + 1e-9))
                fail_msg("gradient %u is %.9g, should be %.9g", i, (double)grad[i], slope);
        }
    }
}

static void fill(struct problem *p, enum csl_loss_kind kind, uint32_t outputs)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "test/loss", 0, 0, 0);
    *p = (struct problem){.kind = kind, .outputs = outputs};
    for (uint32_t i = 0; i < N; i++) {
        p->logits[i] = (double)(float)(2 * csl_rng_normal(&rng));
        p->targets[i] = (double)(float)csl_rng_normal(&rng);
        p->known[i] = (uint8_t)csl_rng_below(&rng, 2);
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        p->weights[r] = (double)(float)(0.5 + csl_rng_uniform(&rng));
        p->events[r] = (uint8_t)csl_rng_below(&rng, 2);
    }
}

/* With and without unknown labels and weights. */
static void check_all(struct problem *p)
{
    for (unsigned turn = 0; turn < 4; turn++) {
        p->has_known = (turn & 1) != 0;
        p->has_weights = (turn & 2) != 0;
        check(p);
    }
}

static void test_multilabel__plain_and_focal__equals_differences(void **state)
{
    (void)state;
    struct problem p;
    fill(&p, CSL_LOSS_MULTILABEL, K);
    for (uint32_t i = 0; i < N; i++)
        p.labels[i] = i * i % 3 == 1;
    memset(p.known + 2 * K, 0, K); /* nothing is known of row 2 */
    const double gammas[] = {0, 0.5, 1, 2, 5};
    for (size_t i = 0; i < sizeof(gammas) / sizeof(gammas[0]); i++) {
        p.gamma = gammas[i];
        check_all(&p);
    }
}

static void test_softmax__merged_and_focal__equals_differences(void **state)
{
    (void)state;
    struct problem p;
    fill(&p, CSL_LOSS_SOFTMAX, K);
    const uint8_t map[] = {1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1};
    memcpy(p.map, map, sizeof(map));
    for (uint32_t r = 0; r < ROWS; r++)
        p.labels[r] = (uint8_t)(r % 3);
    for (uint32_t classes = 0; classes <= 3; classes += 3)
        for (unsigned i = 0; i < 3; i++) {
            p.classes = classes;
            p.gamma = 0.75 * i;
            check_all(&p);
        }
}

/* Two site classes that are one study class each way round: the loss of the sum. */
static void test_softmax__map_of_all_classes__is_certain(void **state)
{
    (void)state;
    struct problem p;
    float grad[N];
    fill(&p, CSL_LOSS_SOFTMAX, K);
    p.classes = 1;
    memset(p.map, 1, K);
    assert_true(run(&p, csl_compute_cpu_ref(), grad) == 0);
    for (uint32_t i = 0; i < N; i++)
        assert_true(fabs((double)grad[i]) < 1e-16);
}

static void test_squared__targets__equals_differences(void **state)
{
    (void)state;
    struct problem p;
    fill(&p, CSL_LOSS_SQUARED, K);
    check_all(&p);
    fill(&p, CSL_LOSS_SQUARED, 1);
    check_all(&p);
}

static void test_hazard__events_and_censored__equals_differences(void **state)
{
    (void)state;
    struct problem p;
    fill(&p, CSL_LOSS_HAZARD, K);
    for (uint32_t r = 0; r < ROWS; r++)
        p.labels[r] = (uint8_t)(p.events[r] != 0 ? r % K : r % (K + 1)); /* to the end: K */
    p.events[5] = 0;
    p.labels[5] = K;
    p.events[6] = 0;
    p.labels[6] = 0; /* never seen alive: says nothing */
    check_all(&p);
}

static void test_logistic__unknown_labels__equals_differences(void **state)
{
    (void)state;
    struct problem p;
    fill(&p, CSL_LOSS_LOGISTIC, 1);
    for (uint32_t r = 0; r < ROWS; r++)
        p.labels[r] = r % 2;
    check_all(&p);
}

/* Exactly 0, and the logit is not even looked at; of a known one it makes the loss not finite. */
static void test_unknown__logit_not_a_number__counts_for_nothing(void **state)
{
    (void)state;
    const enum csl_loss_kind kinds[] = {CSL_LOSS_LOGISTIC, CSL_LOSS_SOFTMAX, CSL_LOSS_MULTILABEL,
                                        CSL_LOSS_SQUARED, CSL_LOSS_HAZARD};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (unsigned focal_one = 0; focal_one < 2; focal_one++) {
            struct problem p;
            float grad[N];
            fill(&p, kinds[i], kinds[i] == CSL_LOSS_LOGISTIC ? 1 : K);
            p.gamma = focal_one;
            p.has_known = true;
            memset(p.known, 1, sizeof(p.known));
            memset(p.events, 1, sizeof(p.events));
            p.logits[0] = (double)NAN;
            assert_false(is_finite(&p, grad));
            p.known[0] = 0;
            assert_true(is_finite(&p, grad));
            assert_true(grad[0] == 0);
        }
    }
}

/* Logits 400 apart: 1 - p and log p are exact to double, nothing overflows. */
static void test_extreme_logits__all_kinds__are_finite(void **state)
{
    (void)state;
    const enum csl_loss_kind kinds[] = {CSL_LOSS_SOFTMAX, CSL_LOSS_MULTILABEL, CSL_LOSS_HAZARD};
    for (size_t i = 0; i < 3; i++)
        for (unsigned g = 0; g < 3; g++) {
            struct problem p;
            float grad[N];
            fill(&p, kinds[i], K);
            p.gamma = 0.5 * g;
            memset(p.events, 1, sizeof(p.events));
            for (uint32_t n = 0; n < N; n++) {
                p.logits[n] *= 200;
                p.labels[n] = (uint8_t)(n % (kinds[i] == CSL_LOSS_MULTILABEL ? 2 : K));
            }
            assert_true(is_finite(&p, grad));
            for (uint32_t n = 0; n < N; n++)
                assert_true(isfinite((double)grad[n]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multilabel__plain_and_focal__equals_differences),
        cmocka_unit_test(test_softmax__merged_and_focal__equals_differences),
        cmocka_unit_test(test_softmax__map_of_all_classes__is_certain),
        cmocka_unit_test(test_squared__targets__equals_differences),
        cmocka_unit_test(test_hazard__events_and_censored__equals_differences),
        cmocka_unit_test(test_logistic__unknown_labels__equals_differences),
        cmocka_unit_test(test_unknown__logit_not_a_number__counts_for_nothing),
        cmocka_unit_test(test_extreme_logits__all_kinds__are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
