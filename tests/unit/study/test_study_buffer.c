/* What a study may ask of asynchronous rounds, and what forbids them. */
#include "base/buf.h"
#include "protocol/study/study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BUFFER "strategy: fedbuff, buffer: {updates: 3, staleness_max: 7}"

static enum csl_code parse(struct csl_study **s, const char *aggregation, const char *sections,
                           const char *train, struct csl_err *err)
{
    char yaml[2048];
    snprintf(
        yaml, sizeof(yaml),
        "study: buffered\nquestion: Does it work?\n"
        "domains: [{id: heart, modality: tabular, features: [age], task: {kind: binary, "
        "label: ill}, model: {kind: linear}%s}]\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
        "rounds: 9\naggregation: {%s}\n%s%s",
        train, aggregation, sections,
        strstr(sections, "sites:") == NULL ? "sites: {minimum: 3}\n" : "");
    return csl_study_parse(s, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), err);
}

static struct csl_study *must_parse(const char *aggregation, const char *sections)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    if (parse(&s, aggregation, sections, "", &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void test_study_buffer__values__as_stated_and_in_the_digest(void **state)
{
    static const char *const rows[] = {
        "strategy: fedavg",
        BUFFER,
        "strategy: fedbuff, buffer: {updates: 4, staleness_max: 7}",
        "strategy: fedbuff, buffer: {updates: 3, staleness_max: 8}",
        BUFFER ", server_learning_rate: 0.5",
    };
    enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
    uint8_t digests[COUNT][CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        struct csl_study *s = must_parse(rows[i], "");
        assert_true(csl_study_is_buffered(s) == (i > 0));
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
    struct csl_study *s =
        must_parse(BUFFER, "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1}\n");
    assert_int_equal(s->aggregation.buffer.updates, 3);
    assert_int_equal(s->aggregation.buffer.staleness_max, 7);
    csl_study_free(s);
}

static void test_study_buffer__mistakes__refused_with_their_reason(void **state)
{
    static const struct {
        const char *aggregation, *sections, *train, *error;
    } rows[] = {
        {"strategy: fedbuff", "", "", "strategy fedbuff needs 'buffer'"},
        {"strategy: fedavg, buffer: {updates: 3, staleness_max: 1}", "", "",
         "buffer: has no effect with strategy fedavg"},
        {"strategy: fedbuff, buffer: {updates: 3}", "", "", "staleness_max"},
        {"strategy: fedbuff, buffer: {staleness_max: 3}", "", "", "updates"},
        {"strategy: fedbuff, buffer: {updates: 0, staleness_max: 3}", "", "", "updates: found '0'"},
        {"strategy: fedbuff, buffer: {updates: 2, staleness_max: 3}", "", "",
         "of fewer sites than sites.minimum 3"},
        {BUFFER ", momentum: 0.5", "", "", "momentum"},
        {BUFFER, "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n", "",
         "masks need one attempt per buffer"},
        {BUFFER, "privacy: {mode: site, epsilon: 1, delta: 1e-5, clip: 1}\n", "", "fedbuff"},
        {BUFFER ", gate: {}", "", "", "leaving the gate out"},
        {BUFFER ", averaging: {kind: mean}", "", "", "leaving averaging out"},
        {BUFFER, "evaluation: {every: 3}\n", "", "evaluation every 0 would be right"},
        {BUFFER, "fairness: {attributes: [sex], weights: {}}\n", "", "no fairness.weights"},
        {BUFFER, "fairness: {domain_weights: {kind: balanced}}\n", "", "fedbuff"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        if (parse(&s, rows[i].aggregation, rows[i].sections, rows[i].train, &err) != CSL_E_INVAL)
            fail_msg("row %zu: not refused", i);
        if (strstr(err.msg, rows[i].error) == NULL)
            fail_msg("row %zu: %s", i, err.msg);
    }
}

static void test_study_buffer__study_with_inputs__refused(void **state)
{
    static const char yaml[] =
        "study: mixed\ninputs:\n"
        "  - {id: scan, modality: tabular, features: [a, b], encoder: {kind: linear}}\n"
        "  - {id: age, modality: tabular, features: [age], encoder: {kind: linear}}\n"
        "domains:\n  - {id: ill, inputs: [age, scan], task: {kind: binary, label: ill}}\n"
        "model: {kind: multimodal, width: 6}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: 2\nsites: {minimum: 3}\naggregation: {" BUFFER "}\n";
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    (void)state;
    assert_int_equal(csl_study_parse(&s, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), &err),
                     CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "parts of older models are not kept"));
}

static void test_study_buffer__explained__in_plain_words(void **state)
{
    struct csl_study *s = must_parse(BUFFER, "");
    struct csl_buf out;
    (void)state;
    csl_buf_init(&out, 1 << 20);
    csl_study_explain(s, &out);
    csl_buf_u8(&out, 0);
    assert_non_null(strstr((const char *)out.p, "as soon as 3 updates are held"));
    assert_non_null(strstr((const char *)out.p, "not at all if t is above 7"));
    csl_buf_release(&out);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_buffer__values__as_stated_and_in_the_digest),
        cmocka_unit_test(test_study_buffer__mistakes__refused_with_their_reason),
        cmocka_unit_test(test_study_buffer__study_with_inputs__refused),
        cmocka_unit_test(test_study_buffer__explained__in_plain_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
