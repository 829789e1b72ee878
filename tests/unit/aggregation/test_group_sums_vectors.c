/* The layout of counts by patient group against tests/vectors/aggregation/groups.txt (counted
 * record by record). */
#include "aggregation/evaluate/group_sums.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINE = 8192 };

/* The numbers of a line. */
static uint32_t numbers(const char *text, uint64_t *out, uint32_t most)
{
    uint32_t n = 0;
    for (char *end; n < most; text = end) {
        uint64_t v = strtoull(text, &end, 10);
        if (end == text)
            break;
        out[n++] = v;
    }
    return n;
}

/* Scores that lead to the decision. */
static void count(const struct csl_group_plan *p, uint64_t *counts, const uint64_t *record,
                  bool is_new)
{
    float scores[8] = {0};
    uint8_t group[CSL_SUM_ATTRIBUTES_MAX];
    uint64_t decision = record[1];
    assert_true(p->classes <= 8 && decision < p->classes);
    scores[p->classes == 2 ? 0 : decision] = decision > 0 || p->classes > 2 ? 0.9f : 0.2f;
    for (uint32_t a = 0; a < p->attribute_count; a++)
        group[a] = (uint8_t)record[3 + a];
    assert_int_equal(csl_group_sums_add(p, counts, scores, (uint8_t)record[0], group, is_new, NULL),
                     CSL_OK);
}

static void test_group_sums_vectors__records__give_the_vector(void **state)
{
    static char line[LINE];
    static uint64_t counts[CSL_GROUP_COUNTS_MAX], values[CSL_GROUP_COUNTS_MAX];
    struct csl_group_plan plan = {.classes = 0};
    uint64_t patient = UINT64_MAX;
    uint32_t cases = 0;
    FILE *file = fopen("tests/vectors/aggregation/groups.txt", "r");
    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "case ", 5) == 0) {
            uint32_t n = numbers(line + 5, values, 1 + CSL_SUM_ATTRIBUTES_MAX);
            plan = (struct csl_group_plan){(uint32_t)values[0], n - 1, {0}};
            for (uint32_t a = 0; a + 1 < n; a++)
                plan.values[a] = (uint32_t)values[1 + a];
            assert_true(csl_group_sums_count(&plan) <= CSL_GROUP_COUNTS_MAX);
            memset(counts, 0, sizeof(counts));
            patient = UINT64_MAX;
        } else if (strncmp(line, "counts ", 7) == 0) {
            uint32_t n = numbers(line + 7, values, CSL_GROUP_COUNTS_MAX);
            assert_int_equal(n, csl_group_sums_count(&plan));
            assert_memory_equal(counts, values, n * sizeof(*counts));
            cases++;
        } else if (line[0] != '#') {
            assert_int_equal(numbers(line, values, 8), 3 + plan.attribute_count);
            count(&plan, counts, values, values[2] != patient);
            patient = values[2];
        }
    }
    assert_int_equal(cases, 5);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_sums_vectors__records__give_the_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
