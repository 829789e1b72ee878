/* Censuses: what their section sets, what it forbids, what they say in words. */
#include "aggregation/statistics/statistics.h"
#include "base/buf.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD       "study: counted\n"
#define STATISTICS "census: {bins: 8, minimum_cell: 6}\n"
#define DOMAIN                                                                                     \
    "domains:\n"                                                                                   \
    "  - id: d\n"                                                                                  \
    "    modality: tabular\n"                                                                      \
    "    task: {kind: classes, label: kind, classes: 3}\n"                                         \
    "    features: [{name: x, unit: mm, range: [0, 4]}, {name: y, range: [-1, 1]}]\n"
#define SITES "sites: {minimum: 3}\n"
#define MASKS "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"

static struct csl_study *parse(const char *yaml)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    if (csl_study_parse(&s, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void assert_refused(const char *yaml, const char *why)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    assert_int_equal(csl_study_parse(&s, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), &err),
                     CSL_E_INVAL);
    if (strstr(err.msg, why) == NULL)
        fail_msg("expected: %s\nfound: %s", why, err.msg);
}

static void test_census__section__is_one_round_that_trains_nothing(void **state)
{
    (void)state;
    struct csl_study *s = parse(HEAD STATISTICS DOMAIN SITES);
    struct csl_statistics_shape shape;
    assert_true(s->census.is_on);
    assert_int_equal(s->rounds, 1);
    assert_int_equal(s->aggregation.weights, CSL_WEIGHTS_EQUAL);
    assert_false(csl_study_sums_evaluations(s));
    csl_study_census_shape(s, &s->domains[0], &shape);
    assert_int_equal(shape.questions, 1);
    assert_int_equal(shape.answers, 3);
    assert_int_equal(shape.features, 2);
    assert_int_equal(shape.bins, 8);
    assert_int_equal(s->schema.block_count, 1);
    assert_int_equal(s->schema.parameters, csl_statistics_words(&shape));
    csl_study_free(s);
}

static void test_census__masked__has_no_round_of_evaluations(void **state)
{
    (void)state;
    struct csl_study *s = parse(HEAD STATISTICS DOMAIN SITES MASKS);
    assert_false(csl_study_only_evaluates_in(s, 2));
    assert_int_equal(csl_study_block_ids(s), 1);
    csl_study_free(s);
}

/* The bound is that of one patient; it is not the file's to say. */
static void test_census__clip__is_what_one_patient_can_add(void **state)
{
    (void)state;
    struct csl_study *s =
        parse(HEAD STATISTICS DOMAIN SITES "privacy: {mode: local, epsilon: 1, delta: 1e-5}\n");
    assert_true(s->privacy.clip >= sqrt(1 + 1 + 2 * 3));
    assert_true(s->privacy.clip <= sqrt(1 + 1 + 2 * 3) * 1.001);
    csl_study_free(s);
    assert_refused(HEAD STATISTICS DOMAIN SITES
                   "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1}\n",
                   "follows from the features");
    assert_refused(HEAD STATISTICS DOMAIN SITES
                   "privacy: {mode: site, unit: site, epsilon: 1, delta: 1e-5}\n",
                   "hides a whole site");
}

static void test_census__joint__needs_masks_and_one_domain(void **state)
{
    (void)state;
    static const char joint[] = "privacy: {mode: joint, epsilon: 1, delta: 1e-5}\n";
    char yaml[2048];
    (void)snprintf(yaml, sizeof(yaml), HEAD STATISTICS DOMAIN SITES "%s", joint);
    assert_refused(yaml, "joint noise protects nobody unless the sum is masked");
    (void)snprintf(yaml, sizeof(yaml),
                   HEAD STATISTICS DOMAIN
                   "  - {id: e, modality: tabular, task: {kind: binary, label: l}, "
                   "features: [{name: x, range: [0, 1]}]}\n" SITES MASKS "%s",
                   joint);
    assert_refused(yaml, "one domain");
    (void)snprintf(yaml, sizeof(yaml), HEAD STATISTICS DOMAIN SITES MASKS "%s", joint);
    struct csl_study *s = parse(yaml);
    assert_true(s->privacy.sampling_rate == 1);
    csl_study_free(s);
}

static void test_census__what_trains__is_refused(void **state)
{
    (void)state;
    assert_refused(HEAD STATISTICS DOMAIN "model: {kind: linear}\n" SITES, "model: no such key");
    assert_refused(HEAD STATISTICS DOMAIN "rounds: 2\n" SITES, "rounds: no such key");
    assert_refused(HEAD STATISTICS DOMAIN "    scaling: site\n" SITES, "trains nothing");
    assert_refused(HEAD STATISTICS "domains:\n"
                                   "  - id: d\n"
                                   "    modality: tabular\n"
                                   "    task: {kind: binary, label: kind}\n"
                                   "    features: [{name: x, centre: 3, range: [0, 1]}]\n" SITES,
                   "statistics are of the values as they are");
    assert_refused(HEAD STATISTICS "domains:\n"
                                   "  - {id: d, modality: tabular, task: {kind: binary, label: k}, "
                                   "features: [x]}\n" SITES,
                   "needs 'range: [smallest, largest]'");
    assert_refused(HEAD STATISTICS DOMAIN SITES "aggregation: {strategy: fedavg, vote: {}}\n",
                   "aggregation: no such key");
    assert_refused(HEAD "census: {bins: 2}\n" DOMAIN SITES, "bins");
    assert_refused(HEAD STATISTICS DOMAIN SITES
                   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, "
                   "encoding: {bits: 16, clip_norm: 1}}\n",
                   "whole numbers of 64 bits");
}

static void test_census__digest__changes_with_bins_and_cell(void **state)
{
    (void)state;
    struct csl_study *s[3] = {parse(HEAD STATISTICS DOMAIN SITES),
                              parse(HEAD "census: {bins: 9, minimum_cell: 6}\n" DOMAIN SITES),
                              parse(HEAD "census: {bins: 8, minimum_cell: 7}\n" DOMAIN SITES)};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(s[i]->digest, s[j]->digest, CSL_DIGEST_BYTES);
    for (int i = 0; i < 3; i++)
        csl_study_free(s[i]);
}

static void assert_said(const char *yaml, const char *const *words)
{
    struct csl_study *s = parse(yaml);
    struct csl_buf out;
    csl_buf_init(&out, 65536);
    csl_study_explain(s, &out);
    for (; *words != NULL; words++)
        if (strstr(csl_buf_text(&out), *words) == NULL)
            fail_msg("expected: %s\nfound: %s", *words, csl_buf_text(&out));
    csl_buf_release(&out);
    csl_study_free(s);
}

static void test_census__explained__says_who_sees_what_at_which_price(void **state)
{
    (void)state;
    static const char *const open[] = {"Nothing is trained",
                                       "x (0 to 4 mm)",
                                       "The coordinator sees each site's counts as they are",
                                       "no count below 6 patients",
                                       "There is NO differential privacy",
                                       NULL};
    static const char *const local[] = {"with noise that was added inside the site",
                                        "none below 17 standard deviations",
                                        "at most 2.829 patients (L2)", "at most epsilon 1", NULL};
    static const char *const joint[] = {"sums over at least 3 sites", "one noise is in the sum",
                                        "together with 1 of the sites", NULL};
    assert_said(HEAD STATISTICS DOMAIN SITES, open);
    assert_said(HEAD STATISTICS DOMAIN SITES "privacy: {mode: local, epsilon: 1, delta: 1e-5}\n",
                local);
    assert_said(HEAD STATISTICS DOMAIN SITES MASKS
                "privacy: {mode: joint, epsilon: 1, delta: 1e-5}\n",
                joint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_census__section__is_one_round_that_trains_nothing),
        cmocka_unit_test(test_census__masked__has_no_round_of_evaluations),
        cmocka_unit_test(test_census__clip__is_what_one_patient_can_add),
        cmocka_unit_test(test_census__joint__needs_masks_and_one_domain),
        cmocka_unit_test(test_census__what_trains__is_refused),
        cmocka_unit_test(test_census__digest__changes_with_bins_and_cell),
        cmocka_unit_test(test_census__explained__says_who_sees_what_at_which_price),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
