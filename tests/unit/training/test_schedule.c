#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "site-agent/training/schedule.h"

#include <math.h>

static void assert_rate(const struct csl_schedule *s, uint64_t step, double want)
{
    double have = csl_schedule_rate(s, 0.5, step);
    if (fabs(have - want) > 1e-15)
        fail_msg("step %llu: %.17g, should be %.17g", (unsigned long long)step, have, want);
}

static void test_constant__with_warm_up__rises_and_stays(void **state)
{
    (void)state;
    const struct csl_schedule none = {.kind = CSL_SCHEDULE_CONSTANT};
    assert_rate(&none, 0, 0.5);
    assert_rate(&none, UINT64_MAX, 0.5);
    const struct csl_schedule warm = {.kind = CSL_SCHEDULE_CONSTANT, .warmup = 4};
    assert_rate(&warm, 0, 0.1);
    assert_rate(&warm, 3, 0.4);
    assert_rate(&warm, 4, 0.5);
}

static void test_cosine__whole_run__falls_to_its_floor(void **state)
{
    (void)state;
    const struct csl_schedule s = {
        .kind = CSL_SCHEDULE_COSINE, .warmup = 4, .steps = 12, .floor = 0.1};
    assert_rate(&s, 1, 0.2);
    assert_rate(&s, 4, 0.5);
    assert_rate(&s, 8, 0.5 * (0.1 + 0.9 * 0.5));
    assert_rate(&s, 12, 0.05);
    assert_rate(&s, 1000, 0.05);
    const struct csl_schedule short_one = {.kind = CSL_SCHEDULE_COSINE, .warmup = 4, .steps = 3};
    assert_rate(&short_one, 4, 0);
}

static void test_step__every_few__multiplies(void **state)
{
    (void)state;
    const struct csl_schedule s = {
        .kind = CSL_SCHEDULE_STEP, .warmup = 1, .every = 3, .factor = 0.5};
    assert_rate(&s, 0, 0.25);
    assert_rate(&s, 3, 0.5);
    assert_rate(&s, 4, 0.25);
    assert_rate(&s, 7, 0.125);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant__with_warm_up__rises_and_stays),
        cmocka_unit_test(test_cosine__whole_run__falls_to_its_floor),
        cmocka_unit_test(test_step__every_few__multiplies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
