/* A task of several yes/no labels: what the study file says of it, and what it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study.h"

#include <stdio.h>
#include <string.h>

#define LABELS "{kind: labels, labels: [edema, effusion, fracture]}"
#define MODEL  "{kind: linear}"

static enum csl_code parse(const char *task, const char *model, const char *more,
                           struct csl_study **s, struct csl_err *err)
{
    char yaml[4096];
    int n = snprintf(yaml, sizeof(yaml),
                     "study: chest\ndomains:\n"
                     "  - {id: d, modality: tabular, features: [a, b], task: %s}\n"
                     "model: %s\n"
                     "training: {local: {learning_rate: 0.1, batch_patients: full, steps: 1}}\n"
                     "rounds: 2\nsites: {minimum: 3}\naggregation: {strategy: fedavg}\n%s",
                     task, model, more);
    assert_true(n > 0 && (size_t)n < sizeof(yaml));
    return csl_study_parse(s, "s.yaml", CSL_SPAN(yaml, (size_t)n), err);
}

static struct csl_study *must_parse(const char *task, const char *model, const char *more)
{
    struct csl_study *s = NULL;
    struct csl_err err;
    if (parse(task, model, more, &s, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void test_study_labels__three__are_three_outputs_and_are_explained(void **state)
{
    (void)state;
    struct csl_study *s = must_parse(LABELS, MODEL, "");
    const struct csl_domain *d = &s->domains[0];
    char text[CSL_ID_MAX];
    struct csl_buf out;
    assert_int_equal(d->task, CSL_TASK_LABELS);
    assert_int_equal(d->outputs, 3);
    assert_int_equal(d->classes, 2);
    assert_int_equal(d->label_count, 3);
    assert_string_equal(d->labels[2], "fracture");
    assert_string_equal(d->label, "");
    assert_int_equal(s->schema.parameters, 3 * 3);
    assert_true(csl_domain_asks_for(d, "effusion"));
    assert_false(csl_domain_asks_for(d, ""));
    csl_domain_label_text(d, text, sizeof(text));
    assert_string_equal(text, "edema, effusion, fracture");
    csl_domain_label_text(d, text, 9);
    assert_string_equal(text, "edema, e");
    csl_buf_init(&out, 1u << 20);
    csl_study_explain(s, &out);
    assert_non_null(
        strstr(csl_buf_text(&out), "several yes/no answers ('edema', 'effusion', 'fracture')"));
    csl_buf_release(&out);
    csl_study_free(s);
}

static void test_study_labels__other_names_order_or_number__is_another_study(void **state)
{
    static const char *const tasks[] = {
        LABELS, "{kind: labels, labels: [effusion, edema, fracture]}",
        "{kind: labels, labels: [edema, effusion]}",
        "{kind: labels, labels: [edema, effusion, fractures]}", "{kind: binary, label: edema}"};
    enum { COUNT = sizeof(tasks) / sizeof(tasks[0]) };
    uint8_t digests[COUNT][CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        struct csl_study *s = must_parse(tasks[i], MODEL, "");
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        csl_study_free(s);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
    }
}

static void test_study_labels__under_masks__is_judged_by_three_counts_and_a_loss(void **state)
{
    (void)state;
    struct csl_study *s = must_parse(
        LABELS, MODEL, "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n");
    assert_true(csl_study_sums_evaluations(s));
    assert_int_equal(csl_study_evaluation_words(s, 0), 4);
    csl_study_free(s);
}

static void test_study_labels__mistakes__are_named(void **state)
{
    static const struct {
        const char *task, *model, *more, *says;
    } rows[] = {
        {"{kind: labels}", MODEL, "", "kind: labels needs 'labels'"},
        {"{kind: labels, labels: edema}", MODEL, "", "labels, by name"},
        {"{kind: labels, labels: [edema]}", MODEL, "", "found 1 labels"},
        {"{kind: labels, labels: [edema, edema]}", MODEL, "", "label 'edema' is listed twice"},
        {"{kind: labels, labels: [edema, Big Heart]}", MODEL, "", "the name of a label"},
        {"{kind: labels, labels: [edema, [x]]}", MODEL, "", "the name of a label"},
        {"{kind: labels, labels: [a, b], label: a}", MODEL, "", "label: no such key"},
        {"{kind: labels, labels: [a, b], classes: 2}", MODEL, "", "classes: no such key"},
        {"{kind: labels, labels: [a, b], positive: ill}", MODEL, "", "positive: no such key"},
        {"{kind: labels, labels: [a, b], merged: [[0, 1]]}", MODEL, "", "merged: no such key"},
        {"{kind: binary, label: a, labels: [a, b]}", MODEL, "", "labels: no such key"},
        {LABELS, "{kind: cox}", "", "does not fit a labels task"},
        {LABELS, MODEL,
         "fairness: {attributes: [sex], minimum_group: 10, weights: {alpha: 1, beta: 1}}\n",
         "patients of a labels domain (d) are not weighed"},
        {LABELS, MODEL,
         "fairness: {attributes: [sex], minimum_group: 10}\nrelease: {worst_group_floor: 0.7}\n",
         "patient groups of a labels domain (d) are not measured"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        assert_int_equal(parse(rows[i].task, rows[i].model, rows[i].more, &s, &err), CSL_E_INVAL);
        if (strstr(err.msg, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].task, err.msg);
    }
}

static void test_study_labels__more_than_a_record_file_has__are_refused(void **state)
{
    char task[1024] = "{kind: labels, labels: [l0";
    struct csl_study *s = NULL;
    struct csl_err err;
    size_t n = strlen(task);
    (void)state;
    for (uint32_t i = 1; i <= CSL_TASK_LABELS_MAX; i++)
        n += (size_t)snprintf(task + n, sizeof(task) - n, ", l%u", i);
    snprintf(task + n, sizeof(task) - n, "]}");
    assert_int_equal(parse(task, MODEL, "", &s, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "found 33 labels"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_labels__three__are_three_outputs_and_are_explained),
        cmocka_unit_test(test_study_labels__other_names_order_or_number__is_another_study),
        cmocka_unit_test(test_study_labels__under_masks__is_judged_by_three_counts_and_a_loss),
        cmocka_unit_test(test_study_labels__mistakes__are_named),
        cmocka_unit_test(test_study_labels__more_than_a_record_file_has__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
