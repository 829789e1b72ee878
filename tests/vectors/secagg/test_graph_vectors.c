/* The bounds of the sparse graphs against Python's integers (graph_tables.py), which hold the table
 * of the design, section 1.7. */
#include "privacy/secagg/graph_bound.h"
#include "tests/vectors/secagg/graph_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_graph_bound__masks__losses_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(mask_rows) / sizeof(mask_rows[0]); i++) {
        uint32_t losses = 0;
        bool is_enough = csl_secagg_losses_max(
            (uint32_t)mask_rows[i].n, (uint32_t)mask_rows[i].colluding,
            (uint32_t)mask_rows[i].degree, (uint32_t)mask_rows[i].rings, &losses);
        assert_int_equal(is_enough ? (int)losses : -1, mask_rows[i].losses);
    }
}

static void test_graph_bound__shares__parameters_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(share_rows) / sizeof(share_rows[0]); i++) {
        uint32_t degree = 0, threshold = 0;
        assert_true(csl_secagg_share_parameters(share_rows[i].n, share_rows[i].colluding,
                                                share_rows[i].lost, &degree, &threshold));
        assert_int_equal(degree, share_rows[i].degree);
        assert_int_equal(threshold, share_rows[i].threshold);
    }
}

static void test_graph_bound__tails__those_of_independent_integers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(tail_rows) / sizeof(tail_rows[0]); i++)
        assert_int_equal(csl_secagg_tail_threshold(tail_rows[i].total, tail_rows[i].marked,
                                                   tail_rows[i].drawn, tail_rows[i].unions,
                                                   tail_rows[i].bits),
                         tail_rows[i].threshold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_bound__masks__losses_of_the_table),
        cmocka_unit_test(test_graph_bound__shares__parameters_of_the_table),
        cmocka_unit_test(test_graph_bound__tails__those_of_independent_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
