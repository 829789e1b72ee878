/* What a study may ask of the sites' votes on a model, and what forbids it. */
#include "base/buf.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EVERY  "evaluation: {every: 1}\n"
#define MASKS  "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define FEDAVG "strategy: fedavg, "

static enum csl_code parse(struct csl_study **s, const char *aggregation, const char *sections,
                           const char *attack, struct csl_err *err)
{
    char yaml[2048];
    snprintf(
        yaml, sizeof(yaml),
        "study: voted\nquestion: Does it work?\n"
        "domains: [{id: heart, modality: tabular, features: [age], task: {kind: binary, "
        "label: ill}, model: {kind: linear}}]\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
        "rounds: 9\naggregation: {%s}\n%ssites: {minimum: 3}\nsimulation:\n  sites:\n"
        "    - {id: a, synth: 0%s}\n    - {id: b, synth: 1}\n    - {id: c, synth: 2}\n",
        aggregation, sections, attack);
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

static void test_study_vote__values__as_stated_or_usual(void **state)
{
    struct csl_study *s = must_parse(FEDAVG "vote: {}", EVERY);
    const struct csl_study_vote *v = &s->aggregation.vote;
    (void)state;
    assert_true(v->is_on && v->worse_max == 0.5 && v->tolerance == 0.02);
    assert_int_equal(v->minimum_sites, 3);
    assert_int_equal(v->rejected_max, 3);
    csl_study_free(s);
    s = must_parse("strategy: median, vote: {worse_max: 0.25, tolerance: 0, minimum_sites: 5, "
                   "rejected_max: 2}",
                   EVERY);
    v = &s->aggregation.vote;
    assert_true(v->worse_max == 0.25 && v->tolerance == 0);
    assert_int_equal(v->minimum_sites, 5);
    assert_int_equal(v->rejected_max, 2);
    csl_study_free(s);
    s = must_parse("strategy: fedavg", EVERY);
    assert_false(s->aggregation.vote.is_on);
    csl_study_free(s);
}

static void test_study_vote__scalars_under_masks__two_more(void **state)
{
    struct csl_study *with = must_parse(FEDAVG "vote: {rejected_max: 1}", EVERY MASKS);
    struct csl_study *without = must_parse("strategy: fedavg", EVERY MASKS);
    (void)state;
    assert_int_equal(csl_study_scalars(without), 2);
    assert_int_equal(csl_study_scalars(with), 4);
    csl_study_free(with);
    csl_study_free(without);
}

static void test_study_vote__digest__every_setting_is_in_it(void **state)
{
    static const char *const votes[] = {
        "strategy: fedavg",
        FEDAVG "vote: {}",
        FEDAVG "vote: {worse_max: 0.25}",
        FEDAVG "vote: {tolerance: 0.1}",
        FEDAVG "vote: {minimum_sites: 2}",
        FEDAVG "vote: {rejected_max: 4}",
        FEDAVG "gate: {}",
        FEDAVG "gate: {}, vote: {}",
    };
    enum { COUNT = sizeof(votes) / sizeof(votes[0]) };
    uint8_t digests[COUNT][CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        struct csl_study *s = must_parse(votes[i], EVERY);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
}

static void assert_refused(const char *aggregation, const char *sections, const char *attack,
                           const char *error)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    assert_int_equal(parse(&s, aggregation, sections, attack, &err), CSL_E_INVAL);
    if (strstr(err.msg, error) == NULL || strncmp(err.msg, "s.yaml:", 7) != 0)
        fail_msg("%s: %s", aggregation, err.msg);
}

static void test_study_vote__mistakes__refused_with_their_reason(void **state)
{
    static const struct {
        const char *aggregation, *sections, *error;
    } rows[] = {
        {FEDAVG "vote: 3", EVERY, "vote: found a single value"},
        {FEDAVG "vote: {worse_max: 1}", EVERY, "worse_max: found 1; a share below 1"},
        {FEDAVG "vote: {worse_max: -1}", EVERY, "worse_max: found '-1'"},
        {FEDAVG "vote: {tolerance: -0.1}", EVERY, "tolerance: found '-0.1'"},
        {FEDAVG "vote: {minimum_sites: 1}", EVERY, "minimum_sites: found '1'"},
        {FEDAVG "vote: {rejected_max: 0}", EVERY, "rejected_max: found '0'"},
        {FEDAVG "vote: {most: 2}", EVERY, "most: no such key"},
        {FEDAVG "vote: {}", "", "vote: needs evaluation: {every: 1}; found 0"},
        {FEDAVG "vote: {}", "evaluation: {every: 2}\n", "every: 1}; found 2"},
        {"strategy: scaffold, vote: {}", EVERY, "vote: strategy scaffold keeps more of a round"},
        {"strategy: afl, mixture_rate: 0.1, vote: {}", EVERY, "vote: strategy afl keeps more"},
        {FEDAVG "averaging: {kind: mean}, vote: {}", EVERY, "vote: the sites vote on what a round"},
        {FEDAVG "vote: {}", EVERY "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1}\n",
         "vote: with privacy nothing about validation patients leaves"},
        {FEDAVG "vote: {}", EVERY MASKS,
         "vote: found 3; 1 would be right: the study would go back"},
        {FEDAVG "vote: {rejected_max: 2}", EVERY MASKS, "rejected_max: found 2; 1 would be right"},
        {FEDAVG "vote: {rejected_max: 1, minimum_sites: 2}", EVERY MASKS,
         "minimum_sites: found 2; at least the 3 of secure_aggregation"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(rows[i].aggregation, rows[i].sections, "", rows[i].error);
    assert_refused("strategy: fedavg", EVERY, ", attack: {kind: scaled, factor: 1, vote: worse}",
                   "vote: nobody is asked");
}

static void assert_explained(const char *aggregation, const char *sections, const char *text)
{
    struct csl_study *s = must_parse(aggregation, sections);
    struct csl_buf out;
    csl_buf_init(&out, 1 << 20);
    csl_study_explain(s, &out);
    csl_buf_u8(&out, 0);
    if (strstr((const char *)out.p, text) == NULL)
        fail_msg("%s", (const char *)out.p);
    csl_buf_release(&out);
    csl_study_free(s);
}

static void test_study_vote__explained__in_plain_words(void **state)
{
    (void)state;
    assert_explained(FEDAVG "vote: {}", EVERY,
                     "the coordinator sees each site's. Where more than "
                     "50 % of at least 3 votes say so, the study goes "
                     "back to the last accepted model, and 3 such models "
                     "in a row end it");
    assert_explained(FEDAVG "vote: {rejected_max: 1, tolerance: 0.1}", EVERY MASKS,
                     "(by more than 10 % of the loss); only the sum of these bits, and how many "
                     "there are, is seen");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_vote__values__as_stated_or_usual),
        cmocka_unit_test(test_study_vote__scalars_under_masks__two_more),
        cmocka_unit_test(test_study_vote__digest__every_setting_is_in_it),
        cmocka_unit_test(test_study_vote__mistakes__refused_with_their_reason),
        cmocka_unit_test(test_study_vote__explained__in_plain_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
