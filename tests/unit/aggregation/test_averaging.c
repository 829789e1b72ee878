#include "aggregation/tensor/averaging.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define P 3u

static void near(double found, double expected)
{
    assert_true(fabs(found - expected) <= 1e-6);
}

/* Models of rounds 1.. are (r, -r, r^2); the average after `rounds` of them. */
static void average_of(const struct csl_averaging *a, uint32_t rounds, float average[P])
{
    for (uint32_t i = 0; i < P; i++)
        average[i] = 100;
    for (uint32_t r = 1; r <= rounds; r++) {
        const float model[P] = {(float)r, -(float)r, (float)(r * r)};
        csl_averaging_add(a, r, P, model, average);
    }
}

static void test_averaging__mean__every_model_from_the_first_counts_the_same(void **state)
{
    const struct csl_averaging a = {.kind = CSL_AVERAGING_MEAN, .from_round = 3};
    float average[P];
    (void)state;
    average_of(&a, 6, average);
    near((double)average[0], (3 + 4 + 5 + 6) / 4.0);
    near((double)average[1], -(3 + 4 + 5 + 6) / 4.0);
    near((double)average[2], (9 + 16 + 25 + 36) / 4.0);
}

static void test_averaging__ema__old_models_fade_and_the_first_has_no_extra_weight(void **state)
{
    const struct csl_averaging a = {.kind = CSL_AVERAGING_EMA, .decay = 0.75, .from_round = 1};
    float average[P];
    (void)state;
    average_of(&a, 4, average); /* shares 1, 1/2, 1/3, 1/4: still the mean */
    near((double)average[0], 2.5);
    average_of(&a, 6, average); /* then 1/4 of each */
    near((double)average[0], 0.75 * (0.75 * 2.5 + 0.25 * 5) + 0.25 * 6);
    near((double)average[2], 0.75 * (0.75 * 7.5 + 0.25 * 25) + 0.25 * 36);
}

static void test_averaging__before_the_first_round_of_it__the_model_itself(void **state)
{
    const struct csl_averaging all[] = {
        {.kind = CSL_AVERAGING_MEAN, .from_round = 5},
        {.kind = CSL_AVERAGING_EMA, .decay = 0.9, .from_round = 5},
        {.kind = CSL_AVERAGING_NONE},
    };
    (void)state;
    for (uint32_t k = 0; k < 3; k++)
        for (uint32_t rounds = 1; rounds <= 5; rounds++) {
            const float model[P] = {(float)rounds, -(float)rounds, (float)(rounds * rounds)};
            float average[P];
            average_of(&all[k], rounds, average);
            assert_memory_equal(average, model, sizeof(model));
        }
}

static void test_averaging__shares__never_below_what_decay_leaves(void **state)
{
    const struct csl_averaging ema = {.kind = CSL_AVERAGING_EMA, .decay = 0.9, .from_round = 2};
    const struct csl_averaging mean = {.kind = CSL_AVERAGING_MEAN, .from_round = 2};
    (void)state;
    near(csl_averaging_share(&ema, 1), 1);
    near(csl_averaging_share(&ema, 2), 1);
    near(csl_averaging_share(&ema, 3), 0.5);
    near(csl_averaging_share(&ema, 11), 0.1);
    near(csl_averaging_share(&ema, 12), 0.1);
    near(csl_averaging_share(&ema, UINT64_C(1000000)), 0.1);
    near(csl_averaging_share(&mean, 12), 1.0 / 11);
}

/* In any order of slices, and of a model that does not change, exactly it. */
static void test_averaging__slices_and_a_constant_model__same_bits(void **state)
{
    const struct csl_averaging a = {.kind = CSL_AVERAGING_EMA, .decay = 0.99, .from_round = 1};
    const float model[P] = {0.1F, -3e-7F, 12345.678F}, next[P] = {0.7F, 2e-7F, -5};
    float whole[P] = {0}, sliced[P] = {0};
    (void)state;
    for (uint32_t r = 1; r <= 50; r++)
        csl_averaging_add(&a, r, P, model, whole);
    assert_memory_equal(whole, model, sizeof(model));
    memcpy(sliced, whole, sizeof(whole));
    csl_averaging_add(&a, 51, P, next, whole);
    for (uint32_t i = P; i-- > 0;)
        csl_averaging_add(&a, 51, 1, next + i, sliced + i);
    assert_memory_equal(whole, sliced, sizeof(whole));
    assert_memory_not_equal(whole, model, sizeof(model));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_averaging__mean__every_model_from_the_first_counts_the_same),
        cmocka_unit_test(test_averaging__ema__old_models_fade_and_the_first_has_no_extra_weight),
        cmocka_unit_test(test_averaging__before_the_first_round_of_it__the_model_itself),
        cmocka_unit_test(test_averaging__shares__never_below_what_decay_leaves),
        cmocka_unit_test(test_averaging__slices_and_a_constant_model__same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
