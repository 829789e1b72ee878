/* fairness.domain_weights: fields, digest, and what forbids it elsewhere in a study. */
#include "base/buf.h"
#include "protocol/study/study.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TWO_READERS                                                                                \
    "  - {id: ill, inputs: [age], task: {kind: binary, label: ill}}\n"                             \
    "  - {id: well, inputs: [age, scan], task: {kind: binary, label: well}}\n"
#define LABELS_READER                                                                              \
    "  - {id: ill, inputs: [age], task: {kind: binary, label: ill}}\n"                             \
    "  - {id: several, inputs: [age, scan], task: {kind: labels, labels: [a, b]}}\n"
#define LOCAL_HEAD                                                                                 \
    "  - {id: ill, inputs: [age], task: {kind: binary, label: ill}}\n"                             \
    "  - {id: well, inputs: [age, scan], task: {kind: binary, label: well}, "                      \
    "model: {kind: multimodal, width: 2, train: local}}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"
#define COUNTED "statistics: {every: 4}\n"
#define JOINT                                                                                      \
    "privacy: {mode: joint, epsilon: 1, delta: 1e-6, clip: 1, sampling_rate: 0.5}\n"               \
    "statistics: {every: 4, epsilon: 1, delta: 1e-6}\n"
#define ONE_READER                                                                                 \
    "  - {id: ill, inputs: [age], task: {kind: binary, label: ill}}\n"                             \
    "  - {id: well, inputs: [scan], task: {kind: binary, label: well}}\n"

static enum csl_code parse(const char *domains, const char *strategy, const char *rest,
                           struct csl_study **out, struct csl_err *err)
{
    struct csl_buf b;
    csl_buf_init(&b, 65536);
    csl_buf_printf(
        &b,
        "study: s\ninputs:\n"
        "  - {id: age, modality: tabular, features: [age], encoder: {kind: linear}}\n"
        "  - {id: scan, modality: image2d, shape: [4, 4, 1], encoder: {kind: linear}}\n"
        "domains:\n%smodel: {kind: multimodal, width: 2}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: %s, steps: 1}}\n"
        "rounds: 20\nsites: {minimum: 3}\nevaluation: {every: 5}\naggregation: {%s}\n%s\n",
        domains, strstr(rest, "mode: joint") != NULL ? "full" : "4", strategy, rest);
    enum csl_code code = csl_study_parse(out, "s.yaml", CSL_SPAN(b.p, b.n), err);
    csl_buf_release(&b);
    return code;
}

static struct csl_study *valid(const char *weights)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    char rest[256];
    snprintf(rest, sizeof(rest), "fairness: {domain_weights: {%s}}", weights);
    if (parse(TWO_READERS, "strategy: fedavg", rest, &s, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void test_study_domain_weights__kinds__have_their_numbers(void **state)
{
    (void)state;
    struct csl_study *s = valid("kind: domain");
    const struct csl_study_domain_weights *w = &s->fairness.domains;
    assert_int_equal(w->kind, CSL_DOMAIN_WEIGHTS_DOMAIN);
    assert_true(w->alpha == 0.5 && w->beta == 1 && w->cap == 2 && w->smoothing == 0.1);
    assert_true(w->step_max == 1.5 && w->shrinkage == 200 && w->effective_sites == 1);
    assert_int_equal(w->every, 10);
    assert_int_equal(w->gate_rounds, 10);
    assert_int_equal(s->fairness.attribute_count, 0);
    csl_study_free(s);
    s = valid("kind: balanced");
    w = &s->fairness.domains;
    assert_true(w->alpha == 1 && w->beta == 0 && isinf(w->cap) && w->smoothing == 1);
    assert_int_equal(w->every, 0);
    csl_study_free(s);
    s = valid("kind: drpo, every: 5");
    w = &s->fairness.domains;
    assert_true(w->alpha == 1 && w->beta == 2 && isinf(w->cap) && w->shrinkage == 0);
    assert_int_equal(w->every, 5);
    csl_study_free(s);
}

static void test_study_domain_weights__digest__changes_with_every_key(void **state)
{
    static const char *const rows[] = {"kind: balanced",
                                       "kind: balanced, cap: 2",
                                       "kind: drpo",
                                       "kind: domain",
                                       "kind: domain, alpha: 0.4",
                                       "kind: domain, beta: 2",
                                       "kind: domain, cap: 3",
                                       "kind: domain, every: 5",
                                       "kind: domain, smoothing: 1",
                                       "kind: domain, step_max: 2",
                                       "kind: domain, shrinkage: 0",
                                       "kind: domain, gate_rounds: 0",
                                       "kind: domain, minimum_patients: 2",
                                       "kind: domain, minimum_sites: 2",
                                       "kind: domain, largest_site: 7",
                                       "kind: domain, largest_site: 7, effective_sites: 2"};
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    uint8_t digests[ROWS][CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct csl_study *s = valid(rows[i]);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        csl_study_free(s);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
    }
}

#define W(text) "fairness: {domain_weights: {" text "}}"

static void test_study_domain_weights__what_cannot_be__refused_with_the_reason(void **state)
{
    static const struct {
        const char *domains, *strategy, *rest, *why;
    } rows[] = {
        {TWO_READERS, "strategy: fedavg", W(""), "key 'kind' is missing"},
        {TWO_READERS, "strategy: fedavg", W("kind: fair"), "kind: found 'fair'"},
        {TWO_READERS, "strategy: fedavg", W("kind: domain, alpha: 1.1"), "alpha: found '1.1'"},
        {TWO_READERS, "strategy: fedavg", W("kind: domain, cap: 17"), "cap: found '17'"},
        {TWO_READERS, "strategy: fedavg", W("kind: balanced, beta: 1"), "only kind: domain"},
        {TWO_READERS, "strategy: fedavg", W("kind: balanced, every: 5"), "counts do not change"},
        {TWO_READERS, "strategy: fedavg", W("kind: drpo, cap: 2"), "drpo has no bound"},
        {TWO_READERS, "strategy: fedavg", W("kind: domain, effective_sites: 2"), "largest_site"},
        {TWO_READERS, "strategy: fedavg", W("kind: domain, every: 20"), "no round would have"},
        {TWO_READERS, "strategy: fedavg", W("kind: domain, every: 7"),
         "a multiple of evaluation.every (5"},
        {TWO_READERS, "strategy: fedavg",
         "fairness: {minimum_group: 30, domain_weights: {kind: balanced}}", "no groups"},
        {LABELS_READER, "strategy: fedavg", W("kind: domain"), "skill of domain several"},
        {LOCAL_HEAD, "strategy: fedavg", W("kind: balanced"), "how many patients domain well has"},
        {ONE_READER, "strategy: fedavg", W("kind: balanced"), "this study has no such input"},
        {TWO_READERS, "strategy: qffl, fairness_q: 1", W("kind: balanced"), "strategy qffl has"},
        {TWO_READERS, "strategy: scaffold", W("kind: balanced"), "strategy scaffold has"},
        {TWO_READERS, "strategy: cyclic", W("kind: balanced"), "strategy cyclic has"},
        {TWO_READERS, "strategy: fedavg, weights: {kind: equal}", W("kind: balanced"),
         "{kind: samples} would be right"},
        {TWO_READERS, "strategy: fedavg", MASKS W("kind: balanced, cap: 2"),
         "under masks weights come from sums that the sites publish"},
        {TWO_READERS, "strategy: fedavg", MASKS COUNTED W("kind: balanced"),
         "a 'cap' would be right"},
        {TWO_READERS, "strategy: fedavg", MASKS COUNTED W("kind: drpo"), "by their own skill"},
        {TWO_READERS, "strategy: fedavg", MASKS COUNTED W("kind: domain, every: 5"),
         "weights come from statistics, every 4 rounds"},
        {TWO_READERS, "strategy: fedavg",
         MASKS COUNTED W("kind: domain, largest_site: 100, effective_sites: 2"),
         "bound no number of contributors"},
        {LABELS_READER, "strategy: fedavg", MASKS COUNTED W("kind: domain"), "no single class"},
        {TWO_READERS, "strategy: fedavg", MASKS JOINT W("kind: domain, largest_site: 100"),
         "in mode joint each patient is weighed, clipped, whatever else the site has"},
        {TWO_READERS, "strategy: fedavg",
         "privacy: {mode: local, epsilon: 1, delta: 1e-6, clip: 1}\n" W("kind: domain"),
         "which nothing noises and no ledger is charged for"},
        {TWO_READERS, "strategy: fedavg",
         "privacy: {mode: site, epsilon: 1, delta: 1e-6, clip: 1}\n" W("kind: balanced"),
         "weights by patients tell about the site"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        enum csl_code code = parse(rows[i].domains, rows[i].strategy, rows[i].rest, &s, &err);
        if (code != CSL_E_INVAL || strstr(err.msg, rows[i].why) == NULL)
            fail_msg("row %zu: expected '%s', found: %s", i, rows[i].why,
                     code == CSL_OK ? "accepted" : err.msg);
        assert_null(s);
    }
}

/* The rounds of the tables are those of the publications, in the digest too. */
static void test_study_domain_weights__under_masks__from_statistics(void **state)
{
    struct csl_study *s = NULL, *other = NULL;
    struct csl_err err = {0};
    (void)state;
    if (parse(TWO_READERS, "strategy: fedavg",
              MASKS COUNTED "fairness: {domain_weights: {kind: domain, cap: 3}}", &s,
              &err) != CSL_OK ||
        parse(TWO_READERS, "strategy: fedavg",
              MASKS "statistics: {every: 5}\nfairness: {domain_weights: {kind: balanced, cap: 3}}",
              &other, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s->fairness.domains.every, 4);
    assert_int_equal(other->fairness.domains.every, 5);
    assert_true(csl_study_mass_cap(s) == 0); /* whole words have no cap */
    s->secagg.weight_cap = 100;
    assert_true(csl_study_mass_cap(s) == 300);
    csl_study_free(s);
    csl_study_free(other);
}

static void test_study_domain_weights__joint__allowed_and_explained(void **state)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    struct csl_buf b;
    (void)state;
    if (parse(TWO_READERS, "strategy: fedavg", MASKS JOINT W("kind: domain"), &s, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_buf_init(&b, 65536);
    csl_study_explain(s, &b);
    assert_non_null(strstr(csl_buf_text(&b), "counts by the weight over the largest one"));
    csl_buf_release(&b);
    csl_study_free(s);
}

static void test_study_domain_weights__explained__says_what_sites_report(void **state)
{
    struct csl_buf b;
    (void)state;
    struct csl_study *s = valid("kind: domain");
    csl_buf_init(&b, 65536);
    csl_study_explain(s, &b);
    assert_non_null(strstr(csl_buf_text(&b), "Every 10 rounds each site reports"));
    csl_buf_release(&b);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_domain_weights__kinds__have_their_numbers),
        cmocka_unit_test(test_study_domain_weights__digest__changes_with_every_key),
        cmocka_unit_test(test_study_domain_weights__what_cannot_be__refused_with_the_reason),
        cmocka_unit_test(test_study_domain_weights__under_masks__from_statistics),
        cmocka_unit_test(test_study_domain_weights__joint__allowed_and_explained),
        cmocka_unit_test(test_study_domain_weights__explained__says_what_sites_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
