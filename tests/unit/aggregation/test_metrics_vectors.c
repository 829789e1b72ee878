/* Metrics against tests/vectors/aggregation/metrics.txt (scikit-learn, scipy, lifelines, numpy). */
#include "aggregation/evaluate/metrics.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 400, COLUMNS = 8 };
struct sample {
    char kind[16], name[32];
    unsigned n, classes;
    float scores[ROWS * COLUMNS], time[ROWS];
    uint8_t labels[ROWS];
};

static bool read_sample(FILE *file, struct sample *s)
{
    if (fscanf(file, " case %15s %31s %u %u", s->kind, s->name, &s->n, &s->classes) != 4)
        return false;
    assert_true(s->n <= ROWS && s->classes <= COLUMNS);
    unsigned columns = strcmp(s->kind, "classes") == 0 ? s->classes : 1;
    for (unsigned i = 0; i < s->n; i++) {
        unsigned label;
        for (unsigned c = 0; c < columns; c++)
            assert_int_equal(fscanf(file, "%f", &s->scores[i * columns + c]), 1);
        if (strcmp(s->kind, "survival") == 0)
            assert_int_equal(fscanf(file, "%f", &s->time[i]), 1);
        assert_int_equal(fscanf(file, "%u", &label), 1);
        s->labels[i] = (uint8_t)label;
    }
    return true;
}

static void evaluate(const struct sample *s, struct csl_metrics *m)
{
    struct csl_err err = {.msg = ""};
    enum csl_code code;
    if (strcmp(s->kind, "binary") == 0)
        code = csl_evaluate_binary(s->scores, s->labels, s->n, 0.5, 1, m, &err);
    else if (strcmp(s->kind, "classes") == 0)
        code = csl_evaluate_classes(s->scores, s->labels, s->n, s->classes, 1, m, &err);
    else
        code = csl_evaluate_survival(s->scores, s->time, s->labels, s->n, 1, m, &err);
    if (code != CSL_OK)
        fail_msg("%s: %s", s->name, err.msg);
    assert_int_equal(m->examples, s->n);
}

static void compare(const struct sample *s, const char *what, double got, double want)
{
    /* 15 digits in the file; sums of at most 400 terms in another order */
    if (!isnan(want) && !(fabs(got - want) <= 1e-13 + 1e-12 * fabs(want)))
        fail_msg("%s %s %s: got %.15g, wanted %.15g", s->kind, s->name, what, got, want);
}

static unsigned check_expectations(FILE *file, const struct sample *s, const struct csl_metrics *m)
{
    char word[16], metric[32];
    unsigned count = 0;
    for (;;) {
        double value, low, high;
        assert_int_equal(fscanf(file, " %15s", word), 1);
        if (strcmp(word, "end") == 0)
            return count;
        assert_string_equal(word, "expect");
        assert_int_equal(fscanf(file, "%31s %lf %lf %lf", metric, &value, &low, &high), 4);
        const struct csl_metric *item = csl_metrics_find(m, metric);
        if (item == NULL)
            fail_msg("%s %s: no %s", s->kind, s->name, metric);
        else {
            compare(s, metric, item->value, value);
            compare(s, metric, item->low, low);
            compare(s, metric, item->high, high);
        }
        count++;
    }
}

static void test_metrics_vectors__every_case__other_implementations(void **state)
{
    (void)state;
    struct sample *s = csl_alloc(sizeof(*s));
    FILE *file = fopen("tests/vectors/aggregation/metrics.txt", "r");
    assert_true(s != NULL && file != NULL);
    char line[128];
    assert_non_null(fgets(line, sizeof(line), file));
    unsigned cases = 0;
    while (read_sample(file, s)) {
        struct csl_metrics m;
        evaluate(s, &m);
        /* every metric of the other implementations, and none beside them */
        assert_int_equal(check_expectations(file, s, &m), m.count);
        for (uint32_t i = 0; i < m.count; i++) {
            const struct csl_metric *item = &m.items[i];
            assert_true(0 <= item->low && item->low <= item->high);
            if (item->method == NULL || strncmp(item->method, "bootstrap", 9) != 0)
                assert_true(item->low <= item->value && item->value <= item->high);
            assert_true(item->high <= 1 || strcmp(item->name, "log_loss") == 0 ||
                        strcmp(s->kind, "classes") == 0);
            assert_true(item->method != NULL ? item->low < item->high : item->low == item->high);
        }
        cases++;
    }
    assert_true(feof(file));
    fclose(file);
    csl_free(s);
    assert_int_equal(cases, 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_vectors__every_case__other_implementations),
    };
    return csl_crypto_init(NULL) != CSL_OK || cmocka_run_group_tests(tests, NULL, NULL);
}
