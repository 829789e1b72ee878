/* The gate on the norm of a round's mean update. */
#include "aggregation/gate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct csl_gate_config config = {.factor = 2, .window = 3, .rejected_max = 2};
static const double unbounded[] = {HUGE_VAL, HUGE_VAL};

static struct csl_gate *make(uint32_t blocks)
{
    struct csl_gate *g = NULL;
    assert_int_equal(csl_gate_new(&g, &config, blocks, NULL), CSL_OK);
    return g;
}

static struct csl_gate_verdict judge(struct csl_gate *g, double norm)
{
    return csl_gate_judge(g, &norm, unbounded);
}

static void test_gate__first_rounds__everything_passes(void **state)
{
    struct csl_gate *g = make(1);
    (void)state;
    assert_false(judge(g, 1).is_rejected);
    assert_false(judge(g, 1000).is_rejected);
    assert_false(judge(g, 2).is_rejected);
    assert_false(judge(g, 4).is_rejected); /* the median of 1, 1000 and 2 is 2 */
    csl_gate_free(g);
}

/* Window 3, norms 1, 4, 2: the limit is 4, reached and not passed. */
static void test_gate__norm_beyond_the_median__rejected_and_not_remembered(void **state)
{
    struct csl_gate *g = make(1);
    (void)state;
    (void)judge(g, 1);
    (void)judge(g, 4);
    (void)judge(g, 2);
    struct csl_gate_verdict v = judge(g, nextafter(4, 5));
    assert_true(v.is_rejected && !v.is_by_bound);
    assert_true(fabs(v.limit - 4) < 1e-12 && v.norm > 4);
    assert_int_equal(g->rejected_in_a_row, 1);
    assert_int_equal(g->blocks[0].count, 3);
    assert_false(judge(g, 4).is_rejected); /* the next, of 4, 2, 4 */
    assert_int_equal(g->rejected_in_a_row, 0);
    assert_false(judge(g, 8).is_rejected);
    csl_gate_free(g);
}

static void test_gate__no_number__rejected_from_the_first_round(void **state)
{
    struct csl_gate *g = make(1);
    (void)state;
    assert_true(judge(g, NAN).is_rejected);
    assert_true(judge(g, HUGE_VAL).is_rejected);
    assert_true(csl_gate_is_shut(g));
    assert_false(judge(g, 1).is_rejected);
    assert_false(csl_gate_is_shut(g));
    csl_gate_free(g);
}

static void test_gate__bound_of_clipped_updates__holds_from_the_first_round(void **state)
{
    const double bounds[] = {0.5, HUGE_VAL};
    struct csl_gate *g = make(2);
    (void)state;
    assert_false(csl_gate_judge(g, (const double[]){0.5, 100}, bounds).is_rejected);
    struct csl_gate_verdict v = csl_gate_judge(g, (const double[]){0.51, 100}, bounds);
    assert_true(v.is_rejected && v.is_by_bound);
    assert_int_equal(v.block, 0);
    csl_gate_free(g);
}

/* The whole round is rejected, for the block furthest beyond, and no norm of it is kept. */
static void test_gate__one_block_of_two__rejected_whole(void **state)
{
    struct csl_gate *g = make(2);
    (void)state;
    for (int i = 0; i < 3; i++)
        (void)csl_gate_judge(g, (const double[]){1, 10}, unbounded);
    struct csl_gate_verdict v = csl_gate_judge(g, (const double[]){2.5, 70}, unbounded);
    assert_true(v.is_rejected);
    assert_int_equal(v.block, 1);
    v = csl_gate_judge(g, (const double[]){9, 10}, unbounded);
    assert_int_equal(v.block, 0);
    assert_true(csl_gate_is_shut(g));
    assert_true(g->blocks[1].norms[2] < 11);
    csl_gate_free(g);
}

/* A block that nobody sent in a round has no norm in it, and cannot be beyond. */
static void test_gate__block_without_a_sum__not_judged_and_not_remembered(void **state)
{
    struct csl_gate *g = make(2);
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_false(csl_gate_judge(g, (const double[]){1, -1}, unbounded).is_rejected);
    assert_int_equal(g->blocks[1].count, 0);
    assert_false(csl_gate_judge(g, (const double[]){1, 1000}, unbounded).is_rejected);
    csl_gate_free(g);
}

/* Rounds that change nothing say nothing of what a change may be. */
static void test_gate__median_of_zero__no_limit(void **state)
{
    struct csl_gate *g = make(1);
    (void)state;
    for (int i = 0; i < 3; i++)
        (void)judge(g, 0);
    assert_false(judge(g, 5).is_rejected);
    csl_gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate__first_rounds__everything_passes),
        cmocka_unit_test(test_gate__norm_beyond_the_median__rejected_and_not_remembered),
        cmocka_unit_test(test_gate__no_number__rejected_from_the_first_round),
        cmocka_unit_test(test_gate__bound_of_clipped_updates__holds_from_the_first_round),
        cmocka_unit_test(test_gate__one_block_of_two__rejected_whole),
        cmocka_unit_test(test_gate__block_without_a_sum__not_judged_and_not_remembered),
        cmocka_unit_test(test_gate__median_of_zero__no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
