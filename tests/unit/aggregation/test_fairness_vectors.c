/* Gaps between patient groups against tests/vectors/aggregation/fairness.txt (counted patient by
 * patient). */
#include "aggregation/evaluate/sums.h"
#include "privacy/crypto/init.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { GROUPS = 8 };
static struct csl_sums all, groups[GROUPS];

/* Scores that lead to the decision. */
static void add(struct csl_sums *s, unsigned label, unsigned decision)
{
    float scores[8] = {0};
    scores[s->classes == 2 ? 0 : decision] = decision > 0 || s->classes > 2 ? 0.9F : 0.2F;
    assert_int_equal(csl_sums_add(s, scores, (uint8_t)label, true, NULL), CSL_OK);
}

static void read_groups(FILE *file, unsigned classes, unsigned count)
{
    unsigned g, label, decision, n;
    assert_true(count <= GROUPS && classes <= 8);
    assert_int_equal(csl_sums_init(&all, classes, 256, NULL), CSL_OK);
    for (g = 0; g < count; g++)
        assert_int_equal(csl_sums_init(&groups[g], classes, 256, NULL), CSL_OK);
    while (fscanf(file, "%u %u %u %u", &g, &label, &decision, &n) == 4) {
        assert_true(g <= count);
        for (; n > 0; n--) {
            add(&all, label, decision);
            if (g < count)
                add(&groups[g], label, decision);
        }
    }
}

static unsigned check_case(FILE *file, const char *name, const struct csl_metrics *m)
{
    char word[16], metric[32];
    unsigned count = 0;
    for (;; count++) {
        double value;
        assert_int_equal(fscanf(file, " %15s", word), 1);
        if (strcmp(word, "end") == 0)
            return count;
        if (strcmp(word, "-") == 0) {
            count--;
            continue;
        }
        assert_int_equal(fscanf(file, "%31s %lf", metric, &value), 2);
        const struct csl_metric *item = csl_metrics_find(m, metric);
        if (item == NULL)
            fail_msg("%s: no %s", name, metric);
        else if (!(fabs(item->value - value) <= 1e-13)) /* 15 digits in the file */
            fail_msg("%s %s: got %.15g, wanted %.15g", name, metric, item->value, value);
    }
}

static void test_fairness_vectors__cases__gaps_from_counts_are_those_of_the_patients(void **state)
{
    (void)state;
    FILE *file = fopen("tests/vectors/aggregation/fairness.txt", "r");
    char word[16], name[32];
    unsigned cases = 0, figures = 0, classes, count;
    double value, sd, scaled;
    if (file == NULL)
        fail_msg("run from the root of the tree");
    assert_int_equal(fscanf(file, "#%*[^\n] scaled %lf %lf %lf", &value, &sd, &scaled), 3);
    assert_true(fabs(100 * csl_equity_scaled(value / 100, sd / 100) - scaled) < 0.005);
    while (fscanf(file, " %15s %31s %u %u", word, name, &classes, &count) == 4) {
        struct csl_metrics m;
        assert_string_equal(word, "case");
        read_groups(file, classes, count);
        assert_int_equal(csl_sums_gaps(&all, groups, count, 1, &m, NULL), CSL_OK);
        unsigned found = check_case(file, name, &m);
        assert_int_equal(found, m.count); /* and no other */
        figures += found;
        cases++;
        csl_sums_release(&all);
        for (unsigned g = 0; g < count; g++)
            csl_sums_release(&groups[g]);
    }
    assert_int_equal(fclose(file), 0);
    assert_true(cases >= 14 && figures >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fairness_vectors__cases__gaps_from_counts_are_those_of_the_patients),
    };
    return csl_crypto_init(NULL) != CSL_OK || cmocka_run_group_tests(tests, NULL, NULL);
}
