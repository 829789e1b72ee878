/* Strategies against tests/vectors/aggregation/strategies.csv, and what all of them share. */
#include "aggregation/strategy/strategy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_near(double got, double want)
{
    /* float32 state and model, two steps: a few units in the last place (2^-23 relative) */
    double tolerance = 4 * 0x1p-23 * fabs(want) + 1e-30;
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, wanted %.9g", got, want);
}

struct vector {
    char name[32];
    struct csl_strategy_config config;
    double x0, d[2], c[2], x[2], s[2], t[2];
};

static int read_vector(FILE *file, struct vector *v)
{
    return fscanf(file,
                  "%31[^,],%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf\n",
                  v->name, &v->config.server_learning_rate, &v->config.momentum, &v->config.beta1,
                  &v->config.beta2, &v->config.tau, &v->config.participation, &v->x0, &v->d[0],
                  &v->c[0], &v->x[0], &v->s[0], &v->t[0], &v->d[1], &v->c[1], &v->x[1], &v->s[1],
                  &v->t[1]) == 18;
}

static void check_vector(const struct vector *v)
{
    const struct csl_strategy_ops *ops = csl_strategy_find(v->name);
    assert_non_null(ops);
    float x = (float)v->x0, s = 0, t = 0;
    float *const state[2] = {&s, &t};
    for (uint64_t round = 1; round <= 2; round++) {
        float d = (float)v->d[round - 1], c = (float)v->c[round - 1];
        const float *const mean[2] = {&d, &c};
        ops->apply(&v->config, round, 1, mean, &x, state);
        assert_near((double)x, v->x[round - 1]);
        assert_near((double)s, v->s[round - 1]);
        assert_near((double)t, v->t[round - 1]);
    }
}

static void test_strategy__two_rounds__published_recurrence(void **state)
{
    (void)state;
    FILE *file = fopen("tests/vectors/aggregation/strategies.csv", "r");
    assert_non_null(file);
    char line[256];
    assert_non_null(fgets(line, sizeof(line), file));
    assert_non_null(fgets(line, sizeof(line), file));
    struct vector v;
    int rows = 0;
    while (read_vector(file, &v)) {
        check_vector(&v);
        rows++;
    }
    fclose(file);
    assert_int_equal(rows, 18);
}

static void test_strategy__fedavgm_rate_just_above_one__weighted_mean(void **state)
{
    (void)state;
    const struct csl_strategy_config c = {.server_learning_rate = 1.0 + 1e-9};
    const double mean_of_models[3] = {0.505, 0.6, 0.595};
    float x[3] = {1, -1, 0.25F}, d[3], m[3] = {0};
    for (size_t i = 0; i < 3; i++)
        d[i] = (float)(mean_of_models[i] - (double)x[i]);
    const float *const mean[1] = {d};
    float *const moments[1] = {m};
    csl_strategy_find("fedavgm")->apply(&c, 1, 3, mean, x, moments);
    for (size_t i = 0; i < 3; i++)
        assert_true(fabs((double)x[i] - mean_of_models[i]) < 0.5e-5);
}

/* Updates 1 and 3 of weights 1/3 and 2/3, the second of a model three rounds old, which halves it:
 * (1/3 * 1 + 2/3 * 1/2 * 3) at rate 1/2, by Algorithm 1 with weights in place of 1 / K. */
static void test_strategy__fedbuff_with_an_old_update__algorithm_1(void **state)
{
    (void)state;
    const struct csl_strategy_config c = {.server_learning_rate = 0.5, .freshness = 2.0 / 3};
    const float d = 2; /* weighted mean: (1/3 + 1) / (1/3 + 1/3) */
    const float *const mean[1] = {&d};
    float x = 1;
    csl_strategy_find("fedbuff")->apply(&c, 1, 1, mean, &x, NULL);
    assert_near((double)x, 1 + 0.5 * 4.0 / 3);
}

static void test_strategy__rows__complete_and_found_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "fedavg",     "fedprox",    "fednova",          "fedavgm",      "fedadam",
        "fedyogi",    "fedadagrad", "scaffold",         "cyclic",       "qffl",
        "term",       "afl",        "median",           "trimmed-mean", "krum",
        "multi-krum", "bulyan",     "geometric-median", "fedbuff"};
    size_t count = 0;
    for (; csl_strategies[count]->name != NULL; count++) {
        const struct csl_strategy_ops *ops = csl_strategies[count];
        assert_ptr_equal(csl_strategy_find(ops->name), ops);
        assert_true(ops->update_vectors >= 1 && ops->update_vectors <= 2);
        assert_true(ops->broadcast_vectors >= 1 && ops->broadcast_vectors <= 2);
        assert_true(ops->state_vectors <= 2);
        /* What is broadcast beyond the model is kept between rounds. */
        assert_true(ops->broadcast_vectors <= 1 + ops->state_vectors);
        assert_true(ops->needs >= CSL_NEEDS_SUM && ops->needs <= CSL_NEEDS_FACTORS);
        /* What is chosen or combined by the coordinator is seen by it. */
        assert_true(ops->choose == NULL ||
                    (ops->needs != CSL_NEEDS_SUM && ops->update_vectors == 1));
        assert_true(ops->choose != NULL || (ops->combine == NULL && !ops->measures));
        assert_true(!ops->one_site_per_round || ops->needs == CSL_NEEDS_UPDATES);
        assert_non_null(ops->summary);
        assert_non_null(ops->apply);
    }
    assert_int_equal(count, 19);
    for (size_t i = 0; i < 19; i++)
        assert_string_equal(csl_strategies[i]->name, names[i]);
    assert_null(csl_strategy_find("fedsgd"));
    assert_null(csl_strategy_find(""));
    assert_true(csl_strategy_find("cyclic")->one_site_per_round);
    assert_int_equal(csl_strategy_find("scaffold")->update_vectors, 2);
}

enum { N = 1013 };
static void fill(float *p, double phase)
{
    for (size_t i = 0; i < N; i++)
        p[i] = (float)(sin(phase + 0.37 * (double)i) * ldexp(1.0, (int)(i % 30) - 20));
}

static void run(const struct csl_strategy_ops *ops, float *x, float s[2][N], size_t slice)
{
    static float d[2][N];
    const struct csl_strategy_config c = {.server_learning_rate = 0.3,
                                          .momentum = 0.9,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .tau = 1e-8,
                                          .participation = 0.5};
    fill(x, 0.1);
    memset(s, 0, 2 * sizeof(s[0]));
    for (uint64_t round = 1; round <= 3; round++) {
        fill(d[0], (double)round);
        fill(d[1], 10.0 + (double)round);
        for (size_t at = 0; at < N; at += slice) {
            const float *const mean[2] = {d[0] + at, d[1] + at};
            float *const state[2] = {s[0] + at, s[1] + at};
            ops->apply(&c, round, N - at < slice ? N - at : slice, mean, x + at, state);
        }
    }
}

static void test_strategy__applied_in_slices__same_bits(void **state)
{
    (void)state;
    static float x[N], y[N], s[2][N], t[2][N];
    static const size_t slices[] = {1, 2, 3, 7, 8, 64, 1000};
    for (size_t k = 0; csl_strategies[k]->name != NULL; k++) {
        run(csl_strategies[k], x, s, N);
        for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
            run(csl_strategies[k], y, t, slices[i]);
            assert_memory_equal(x, y, sizeof(x));
            assert_memory_equal(s, t, sizeof(s));
        }
    }
}

static void test_strategy__zero_update__model_unchanged_at_first(void **state)
{
    (void)state;
    static float x[N], before[N], zero[N], s[2][N];
    const struct csl_strategy_config c = {.server_learning_rate = 1,
                                          .momentum = 0.9,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .tau = 1e-8,
                                          .participation = 1};
    const float *const mean[2] = {zero, zero};
    float *const moments[2] = {s[0], s[1]};
    for (size_t k = 0; csl_strategies[k]->name != NULL; k++) {
        fill(x, 0.1);
        memcpy(before, x, sizeof(x));
        csl_strategies[k]->apply(&c, 1, N, mean, x, moments);
        assert_memory_equal(x, before, sizeof(x));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strategy__two_rounds__published_recurrence),
        cmocka_unit_test(test_strategy__fedavgm_rate_just_above_one__weighted_mean),
        cmocka_unit_test(test_strategy__fedbuff_with_an_old_update__algorithm_1),
        cmocka_unit_test(test_strategy__rows__complete_and_found_by_name),
        cmocka_unit_test(test_strategy__applied_in_slices__same_bits),
        cmocka_unit_test(test_strategy__zero_update__model_unchanged_at_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
