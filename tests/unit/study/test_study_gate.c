/* What a study may ask of the sum of a round: its gate, what forbids it, and attacks by round. */
#include "base/buf.h"
#include "protocol/study/study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MASKS "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define NOISE "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1}\n"

static enum csl_code parse(struct csl_study **s, const char *aggregation, const char *sections,
                           const char *attack, struct csl_err *err)
{
    char yaml[2048];
    snprintf(
        yaml, sizeof(yaml),
        "study: gated\nquestion: Does it work?\n"
        "domains: [{id: heart, modality: tabular, features: [age], task: {kind: binary, "
        "label: ill}, model: {kind: linear}}]\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
        "rounds: 9\naggregation: {%s}\n%ssites: {minimum: 3}\nsimulation:\n  sites:\n"
        "    - {id: a, synth: 0%s}\n    - {id: b, synth: 1}\n    - {id: c, synth: 2}\n",
        aggregation, sections, attack);
    return csl_study_parse(s, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), err);
}

static struct csl_study *must_parse(const char *aggregation, const char *sections,
                                    const char *attack)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    if (parse(&s, aggregation, sections, attack, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void test_study_gate__values__as_stated_or_usual(void **state)
{
    struct csl_study *s = must_parse("strategy: fedavg, gate: {}", "", "");
    (void)state;
    assert_true(s->aggregation.gate.is_on && s->aggregation.gate.factor == 3);
    assert_int_equal(s->aggregation.gate.window, 5);
    assert_int_equal(s->aggregation.gate.rejected_max, 3);
    csl_study_free(s);
    s = must_parse("strategy: fedadam, server_learning_rate: 0.1, gate: {kind: norm, factor: 1.5, "
                   "window: 8, rejected_max: 1}",
                   MASKS, "");
    assert_true(s->aggregation.gate.factor == 1.5 && !csl_study_repeats_models(s));
    assert_int_equal(s->aggregation.gate.window, 8);
    assert_int_equal(s->aggregation.gate.rejected_max, 1);
    csl_study_free(s);
    s = must_parse("strategy: fedavg", "", "");
    assert_false(s->aggregation.gate.is_on);
    csl_study_free(s);
}

/* Without noise that is paid for each time, no model may be the base of two rounds. */
static void test_study_gate__models_that_repeat__only_with_gate_and_noise(void **state)
{
    static const struct {
        const char *aggregation, *sections;
        bool repeats;
    } rows[] = {
        {"strategy: fedavg, gate: {}", "", false},
        {"strategy: fedavg", NOISE MASKS, false},
        {"strategy: fedavg, gate: {rejected_max: 1}", MASKS, false},
        {"strategy: fedavg, gate: {}", NOISE MASKS, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = must_parse(rows[i].aggregation, rows[i].sections, "");
        assert_true(csl_study_repeats_models(s) == rows[i].repeats);
        csl_study_free(s);
    }
}

static void test_study_gate__digest__every_setting_is_in_it(void **state)
{
    static const char *const gates[] = {
        "strategy: fedavg",
        "strategy: fedavg, gate: {}",
        "strategy: fedavg, gate: {factor: 2}",
        "strategy: fedavg, gate: {window: 4}",
        "strategy: fedavg, gate: {rejected_max: 4}",
    };
    enum { COUNT = sizeof(gates) / sizeof(gates[0]) };
    uint8_t digests[COUNT][CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        struct csl_study *s = must_parse(gates[i], "", "");
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
}

static void test_study_gate__mistakes__refused_with_their_reason(void **state)
{
    static const struct {
        const char *aggregation, *sections, *error;
    } rows[] = {
        {"strategy: fedavg, gate: 3", "", "gate: found a single value"},
        {"strategy: fedavg, gate: {kind: vote}", "", "kind: found 'vote'"},
        {"strategy: fedavg, gate: {factor: 1}", "", "factor: found 1; a number above 1"},
        {"strategy: fedavg, gate: {window: 2}", "", "window: found '2'"},
        {"strategy: fedavg, gate: {window: 65}", "", "window: found '65'"},
        {"strategy: fedavg, gate: {window: 9}", "", "window: found 9; fewer than the study's 9"},
        {"strategy: fedavg, gate: {rejected_max: 0}", "", "rejected_max: found '0'"},
        {"strategy: fedavg, gate: {most: 2}", "", "most: no such key"},
        {"strategy: median, gate: {}", "", "gate: strategy median looks at single updates"},
        {"strategy: scaffold, gate: {}", "", "gate: with strategy scaffold a site keeps"},
        {"strategy: fedavg, gate: {rejected_max: 2}", MASKS, "rejected_max: found 2; 1 would be"},
        {"strategy: fedavg, gate: {}", MASKS, "3; 1 would be right: after a rejected round"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        assert_int_equal(parse(&s, rows[i].aggregation, rows[i].sections, "", &err), CSL_E_INVAL);
        if (strstr(err.msg, rows[i].error) == NULL)
            fail_msg("row %zu: %s", i, err.msg);
    }
}

static void test_study_gate__explained__in_plain_words(void **state)
{
    struct csl_study *s =
        must_parse("strategy: fedavg, gate: {factor: 2, rejected_max: 1}", "", "");
    struct csl_buf out;
    (void)state;
    csl_buf_init(&out, 1 << 20);
    csl_study_explain(s, &out);
    csl_buf_u8(&out, 0);
    assert_non_null(strstr((const char *)out.p,
                           "longer than 2 times the median of the last 5 accepted rounds is not "
                           "applied; what it cost stays spent, and 1 such round ends the study"));
    csl_buf_release(&out);
    csl_study_free(s);
}

static void test_study_gate__attack_by_round__read_and_refused_for_records(void **state)
{
    struct csl_study *s = must_parse(
        "strategy: fedavg", "", ", attack: {kind: scaled, factor: 9, from_round: 4, every: 2}");
    struct csl_err err = {0};
    (void)state;
    assert_int_equal(s->sim_sites[0].attack.from_round, 4);
    assert_int_equal(s->sim_sites[0].attack.every, 2);
    csl_study_free(s);
    s = must_parse("strategy: fedavg", "", ", attack: {kind: sign_flip}");
    assert_int_equal(s->sim_sites[0].attack.from_round, 1);
    assert_int_equal(s->sim_sites[0].attack.every, 1);
    csl_study_free(s);
    s = NULL;
    assert_int_equal(
        parse(&s, "strategy: fedavg", "", ", attack: {kind: label_flip, from_round: 4}", &err),
        CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "records are changed once and for all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_gate__values__as_stated_or_usual),
        cmocka_unit_test(test_study_gate__models_that_repeat__only_with_gate_and_noise),
        cmocka_unit_test(test_study_gate__digest__every_setting_is_in_it),
        cmocka_unit_test(test_study_gate__mistakes__refused_with_their_reason),
        cmocka_unit_test(test_study_gate__explained__in_plain_words),
        cmocka_unit_test(test_study_gate__attack_by_round__read_and_refused_for_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
