/* The section statistics: fields, digest, when it is due, words, and what forbids it. */
#include "base/buf.h"
#include "protocol/study/evaluation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-6, clip: 1, sampling_rate: 0.5}\n"
#define SITE     "privacy: {mode: site, epsilon: 2, delta: 1e-6, clip: 1}\n"
#define MASKS    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define FAIRNESS "fairness: {attributes: [sex, age]}\n"

static enum csl_code parse(const char *rest, struct csl_study **out, struct csl_err *err)
{
    char yaml[2048];
    snprintf(yaml, sizeof(yaml),
             "study: s\ndomains:\n  - id: a\n    modality: tabular\n"
             "    task: {kind: binary, label: ill}\n    features: [x]\n    scaling: constants\n"
             "    model: {kind: linear}\n"
             "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, "
             "steps: 1}}\nrounds: 20\nsites: {minimum: 3}\n"
             "aggregation: {strategy: fedavg, weights: {kind: %s}}\n%s",
             strstr(rest, "mode: site") != NULL ? "equal" : "samples", rest);
    return csl_study_parse(out, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), err);
}

static struct csl_study *valid(const char *rest)
{
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    if (parse(rest, &s, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void test_study_statistics__section__has_its_numbers(void **state)
{
    struct csl_study *s =
        valid(MASKS JOINT FAIRNESS "statistics: {every: 6, epsilon: 1, delta: 1e-6, "
                                   "groups: {age: [\"<50\", \">=50\"]}}\n");
    const struct csl_study_statistics *t = &s->statistics;
    (void)state;
    assert_true(t->is_on && t->epsilon == 1 && t->delta == 1e-6);
    assert_int_equal(t->every, 6);
    assert_int_equal(t->value_count[0], 0);
    assert_int_equal(t->value_count[1], 2);
    assert_string_equal(t->values[1][0], "<50");
    assert_int_equal(csl_study_published_attributes(s), 1);
    assert_int_equal(csl_study_published_groups(s), 2);
    assert_int_equal(csl_study_publications(s), 4); /* rounds 1, 7, 13, 19 */
    assert_int_equal(csl_study_published_in(s, 1), 1);
    assert_int_equal(csl_study_published_in(s, 2), 0);
    assert_int_equal(csl_study_published_in(s, 19), 4);
    assert_int_equal(csl_study_published_in(s, 25), 0);
    assert_int_equal(csl_study_published_in(s, 0), 0);
    assert_int_equal(csl_study_publication_round(s, 4), 19);
    assert_int_equal(csl_study_statistics_words(s, 0), 2 * 3 + 2);
    /* one block of the model, no evaluation beside privacy, one of statistics */
    assert_int_equal(csl_study_block_ids(s), 2);
    assert_int_equal(csl_study_statistics_block(s, 0), 1);
    assert_true(csl_study_is_statistic(s, 1) && csl_study_is_counted_in(s, 1, 7));
    assert_false(csl_study_is_counted_in(s, 1, 8));
    csl_study_free(s);
}

static void test_study_statistics__beside_evaluations__behind_them(void **state)
{
    struct csl_study *s = valid(MASKS "statistics: {every: 20}\n");
    (void)state;
    assert_true(s->statistics.epsilon == 0);
    assert_int_equal(csl_study_publications(s), 1);
    assert_int_equal(csl_study_block_ids(s), 3);
    assert_false(csl_study_is_statistic(s, csl_study_evaluation_block(s, 0)));
    assert_int_equal(csl_study_statistics_block(s, 0), 2);
    assert_int_equal(csl_study_counted_domain(s, 1), 0);
    assert_int_equal(csl_study_counted_domain(s, 2), 0);
    assert_int_equal(csl_study_counted_words(s, 1), csl_study_evaluation_words(s, 0));
    assert_int_equal(csl_study_counted_words(s, 2), 4);
    csl_study_free(s);
}

static void test_study_statistics__digest__of_every_choice(void **state)
{
    static const char *const texts[] = {
        MASKS JOINT FAIRNESS,
        MASKS JOINT FAIRNESS "statistics: {every: 5, epsilon: 1, delta: 1e-6}\n",
        MASKS JOINT FAIRNESS "statistics: {every: 6, epsilon: 1, delta: 1e-6}\n",
        MASKS JOINT FAIRNESS "statistics: {every: 5, epsilon: 2, delta: 1e-6}\n",
        MASKS JOINT FAIRNESS "statistics: {every: 5, epsilon: 1, delta: 1e-7}\n",
        MASKS JOINT FAIRNESS
        "statistics: {every: 5, epsilon: 1, delta: 1e-6, groups: {sex: [f, m]}}\n",
        MASKS JOINT FAIRNESS
        "statistics: {every: 5, epsilon: 1, delta: 1e-6, groups: {age: [f, m]}}\n",
        MASKS JOINT FAIRNESS
        "statistics: {every: 5, epsilon: 1, delta: 1e-6, groups: {sex: [m, f]}}\n"};
    enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };
    uint8_t digests[TEXTS][CSL_DIGEST_BYTES], ledger[CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < TEXTS; i++) {
        struct csl_study *s = valid(texts[i]);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        csl_study_statistics_digest(s, ledger);
        assert_memory_not_equal(ledger, s->digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
}

static void test_study_statistics__what_cannot_be__refused(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"statistics: {every: 5}\n", "sums under masks"},
        {JOINT MASKS "statistics: {every: 5}\n", "both above 0"},
        {JOINT MASKS "statistics: {every: 5, epsilon: 1}\n", "both above 0"},
        {MASKS "statistics: {every: 5, epsilon: 1, delta: 1e-6}\n", "sums are exact"},
        {SITE MASKS "statistics: {every: 5, epsilon: 1, delta: 1e-6}\n", "hides whole sites"},
        {MASKS "statistics: {every: 21}\n", "20 rounds"},
        {MASKS "statistics: {epsilon: 1}\n", "every"},
        {MASKS "statistics: {every: 5, groups: {sex: [f, m]}}\n", "section fairness"},
        {MASKS FAIRNESS "statistics: {every: 5, groups: {size: [f, m]}}\n", "section fairness"},
        {MASKS FAIRNESS "statistics: {every: 5, groups: {sex: []}}\n", "values"},
        {MASKS FAIRNESS "statistics: {every: 5, groups: {sex: [f, f]}}\n", "once"},
        {MASKS FAIRNESS "statistics: {every: 5, groups: [sex]}\n", "mapping"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {.code = CSL_OK};
        assert_int_equal(parse(rows[i].text, &s, &err), CSL_E_INVAL);
        if (strstr(err.msg, rows[i].why) == NULL)
            fail_msg("row %zu: %s", i, err.msg);
    }
}

static void test_study_statistics__in_words__price_and_groups(void **state)
{
    struct csl_study *s =
        valid(MASKS JOINT FAIRNESS "statistics: {every: 1, epsilon: 1, delta: 1e-6, "
                                   "groups: {sex: [female, male]}}\n");
    struct csl_buf out;
    (void)state;
    csl_buf_init(&out, 65536);
    csl_study_explain(s, &out);
    csl_buf_u8(&out, 0);
    const char *text = (const char *)out.p;
    assert_non_null(strstr(text, "the same by sex (female, male)"));
    assert_non_null(strstr(text,
                           "The 20 publications of statistics together cost at most epsilon 1 "
                           "at delta 1e-06"));
    assert_non_null(strstr(text, "Updates and statistics together: at most epsilon 3 at delta"));
    csl_buf_release(&out);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_statistics__section__has_its_numbers),
        cmocka_unit_test(test_study_statistics__beside_evaluations__behind_them),
        cmocka_unit_test(test_study_statistics__digest__of_every_choice),
        cmocka_unit_test(test_study_statistics__what_cannot_be__refused),
        cmocka_unit_test(test_study_statistics__in_words__price_and_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
