#include "base/mem.h"
#include "privacy/audit/canary.h"
#include "tests/unit/base/fixture.h"

#include <math.h>

#define CLIP 0.5

static struct csl_canaries *make(uint32_t count, size_t parameters)
{
    struct csl_rng r;
    struct csl_canaries *c = NULL;
    csl_rng_init_label(&r, 5, "test-only.canaries", count, parameters, 0);
    assert_int_equal(csl_canaries_new(&c, &r, count, parameters, CLIP, NULL), CSL_OK);
    return c;
}

static double product(const float *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t p = 0; p < n; p++)
        sum += (double)a[p] * (double)b[p];
    return sum;
}

static void test_canaries__gradient__is_gain_times_the_clip_long(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        size_t parameters;
    } cases[] = {{1, 1}, {3, 10}, {10, 10}, {7, 3}, {100, 14}};
    for (size_t k = 0; k < COUNT_OF(cases); k++) {
        struct csl_canaries *c = make(cases[k].count, cases[k].parameters);
        float g[14];
        for (uint32_t i = 0; i < cases[k].count; i++) {
            csl_canaries_gradient(c, i, g);
            double length = sqrt(product(g, g, cases[k].parameters));
            assert_true(fabs(length / (CSL_CANARY_GAIN * CLIP) - 1.0) < 1e-6);
        }
        csl_canaries_free(c);
    }
}

static void test_canaries__no_more_than_parameters__orthogonal(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 11; count++) {
        struct csl_canaries *c = make(count, 11);
        float a[11], b[11];
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t j = 0; j < i; j++) {
                csl_canaries_gradient(c, i, a);
                csl_canaries_gradient(c, j, b);
                assert_true(product(a, b, 11) == 0.0);
            }
        csl_canaries_free(c);
    }
}

/* The mean of 2000 random unit vectors has a squared length of 1/2000 on average; ten times that
 * has probability below P[chi-square of 14 degrees > 140] < 1e-20. */
static void test_canaries__more_than_parameters__directions_random_and_repeatable(void **state)
{
    (void)state;
    struct csl_canaries *c = make(2000, 14);
    float a[14], b[14];
    double mean[14] = {0.0}, square = 0.0;
    for (uint32_t i = 0; i < 2000; i++) {
        csl_canaries_gradient(c, i, a);
        csl_canaries_gradient(c, i, b);
        assert_memory_equal(a, b, sizeof(a));
        for (size_t p = 0; p < 14; p++)
            mean[p] += (double)a[p] / (CSL_CANARY_GAIN * CLIP) / 2000.0;
    }
    for (size_t p = 0; p < 14; p++)
        square += mean[p] * mean[p];
    assert_true(square < 10.0 / 2000.0);
    csl_canaries_free(c);
}

/* Of 10 000 fair coins 4680 to 5320 are heads but for a probability of 2e-10. */
static void test_canaries__coins__fair(void **state)
{
    (void)state;
    struct csl_canaries *c = make(10000, 1);
    uint32_t in = 0;
    for (uint32_t i = 0; i < csl_canaries_count(c); i++)
        in += csl_canaries_is_included(c, i);
    assert_in_range(in, 4680, 5320);
    csl_canaries_free(c);
}

static void test_canaries__coordinates_scored__sum_of_the_steps(void **state)
{
    (void)state;
    struct csl_canaries *c = make(3, 7);
    double sum[7], scores[3];
    float sum32[7], g[7];
    bool included[3];
    for (size_t p = 0; p < 7; p++) {
        sum[p] = (double)p;
        sum32[p] = 100.0f * (float)p;
    }
    assert_int_equal(csl_canaries_score(c, sum, NULL), CSL_OK);
    assert_int_equal(csl_canaries_score_f32(c, sum32, NULL), CSL_OK);
    assert_int_equal(csl_canaries_scores(c, scores, included, NULL), CSL_OK);
    for (uint32_t i = 0; i < 3; i++) {
        csl_canaries_gradient(c, i, g);
        double right = product(g, sum32, 7) * 1.01 / (CSL_CANARY_GAIN * CLIP);
        assert_true(fabs(scores[i] - right) < 1e-9);
        assert_int_equal(included[i], csl_canaries_is_included(c, i));
    }
    csl_canaries_free(c);
}

static void test_canaries__random_directions_scored__inner_products(void **state)
{
    (void)state;
    struct csl_canaries *c = make(9, 4);
    static const double sum[4] = {1.0, -2.0, 0.5, 3.0};
    static const float sum32[4] = {1.0f, -2.0f, 0.5f, 3.0f};
    double scores[9];
    float g[4];
    bool included[9];
    assert_int_equal(csl_canaries_score(c, sum, NULL), CSL_OK);
    assert_int_equal(csl_canaries_scores(c, scores, included, NULL), CSL_OK);
    for (uint32_t i = 0; i < 9; i++) {
        csl_canaries_gradient(c, i, g);
        double right = product(g, sum32, 4) / (CSL_CANARY_GAIN * CLIP);
        assert_true(fabs(scores[i] - right) < 1e-5);
    }
    csl_canaries_free(c);
}

static void test_canaries__sum_not_finite__refused_and_scores_unchanged(void **state)
{
    (void)state;
    struct csl_canaries *c = make(2, 3);
    double scores[2];
    bool included[2];
    struct csl_audit_result result;
    assert_int_equal(csl_canaries_score(c, (double[3]){1.0, 2.0, (double)NAN}, NULL), CSL_E_INVAL);
    assert_int_equal(csl_canaries_score_f32(c, (float[3]){1.0f, (float)HUGE_VAL, 0.0f}, NULL),
                     CSL_E_INVAL);
    assert_int_equal(csl_canaries_scores(c, scores, included, NULL), CSL_OK);
    assert_true(scores[0] == 0.0 && scores[1] == 0.0);
    assert_int_equal(csl_canaries_result(c, 1e-5, 0.95, &result, NULL), CSL_E_STATE);
    csl_canaries_free(c);
}

/* Without noise every guess is right, up to canaries that the coins left without a partner. */
static void test_canaries__sum_without_noise__large_epsilon(void **state)
{
    (void)state;
    struct csl_canaries *c = make(1000, 1000);
    double *sum = csl_alloc_array(1000, sizeof(*sum));
    float *g = csl_alloc_array(1000, sizeof(*g));
    assert_true(sum != NULL && g != NULL);
    for (uint32_t i = 0; i < 1000; i++) {
        csl_canaries_gradient(c, i, g);
        for (size_t p = 0; p < 1000 && csl_canaries_is_included(c, i); p++)
            sum[p] += (double)g[p] / CSL_CANARY_GAIN;
    }
    struct csl_audit_result r;
    assert_int_equal(csl_canaries_score(c, sum, NULL), CSL_OK);
    assert_int_equal(csl_canaries_result(c, 0.0, 0.95, &r, NULL), CSL_OK);
    assert_int_equal(r.canaries, 1000);
    assert_int_equal(r.steps, 1);
    assert_true(r.epsilon_lower > 3.5 && r.mu_lower > 1.0 && r.correct <= r.guesses);
    csl_free(g);
    csl_free(sum);
    csl_canaries_free(c);
}

static void test_canaries__bad_arguments__refused(void **state)
{
    (void)state;
    struct csl_rng r;
    struct csl_canaries *c = NULL;
    csl_rng_init_label(&r, 5, "test-only.canaries", 0, 0, 0);
    assert_int_equal(csl_canaries_new(&c, &r, 0, 5, CLIP, NULL), CSL_E_INVAL);
    assert_int_equal(csl_canaries_new(&c, &r, CSL_ONE_RUN_CANARIES_MAX + 1u, 5, CLIP, NULL),
                     CSL_E_INVAL);
    assert_int_equal(csl_canaries_new(&c, &r, 5, 0, CLIP, NULL), CSL_E_INVAL);
    assert_int_equal(csl_canaries_new(&c, &r, 5, 5, 0.0, NULL), CSL_E_INVAL);
    assert_int_equal(csl_canaries_new(&c, &r, 5, 5, HUGE_VAL, NULL), CSL_E_INVAL);
    assert_null(c);
    csl_canaries_free(NULL);
}

static void test_canaries__out_of_memory__code_at_every_allocation(void **state)
{
    (void)state;
    struct csl_rng r;
    struct csl_canaries *c = NULL;
    struct csl_audit_result result;
    csl_rng_init_label(&r, 5, "test-only.canaries", 1, 1, 1);
    for (uint64_t n = 1; n <= 3; n++) {
        (void)csl_mem_fail_after(n);
        assert_int_equal(csl_canaries_new(&c, &r, 5, 3, CLIP, NULL), CSL_E_NOMEM);
    }
    (void)csl_mem_fail_after(0);
    assert_null(c);
    c = make(5, 3);
    assert_int_equal(csl_canaries_score(c, (double[3]){1.0, 2.0, 3.0}, NULL), CSL_OK);
    for (uint64_t n = 1; n <= 4; n++) {
        (void)csl_mem_fail_after(n);
        assert_int_equal(csl_canaries_result(c, 0.0, 0.95, &result, NULL), CSL_E_NOMEM);
    }
    (void)csl_mem_fail_after(0);
    assert_int_equal(csl_canaries_result(c, 0.0, 0.95, &result, NULL), CSL_OK);
    csl_canaries_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canaries__gradient__is_gain_times_the_clip_long),
        cmocka_unit_test(test_canaries__no_more_than_parameters__orthogonal),
        cmocka_unit_test(test_canaries__more_than_parameters__directions_random_and_repeatable),
        cmocka_unit_test(test_canaries__coins__fair),
        cmocka_unit_test(test_canaries__coordinates_scored__sum_of_the_steps),
        cmocka_unit_test(test_canaries__random_directions_scored__inner_products),
        cmocka_unit_test(test_canaries__sum_not_finite__refused_and_scores_unchanged),
        cmocka_unit_test(test_canaries__sum_without_noise__large_epsilon),
        cmocka_unit_test(test_canaries__bad_arguments__refused),
        cmocka_unit_test(test_canaries__out_of_memory__code_at_every_allocation),
    };
    return cmocka_run_group_tests_name("audit_canary", tests, NULL, NULL);
}
