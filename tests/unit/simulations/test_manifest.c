/* Other rounds, sites and privacy than the study file says. */
#include "simulations/manifest.h"
#include "tests/unit/simulations/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define TOP                                                                                        \
    "# A comment that stays.\n"                                                                    \
    "study: small\n"                                                                               \
    "question: Is it \"ill\"?\n"                                                                   \
    "domains:\n"                                                                                   \
    "  - {id: d, modality: tabular, task: {kind: binary, label: ill}, features: [x]}\n"            \
    "model: {kind: linear}\n"                                                                      \
    "training:\n"                                                                                  \
    "  local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 2, steps: 2}\n"                 \
    "rounds: 10\n"
#define HEAD                                                                                       \
    TOP "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"                              \
        "privacy: {mode: none}\n"
#define LOCAL                                                                                      \
    TOP "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"                              \
        "privacy:\n"                                                                               \
        "  mode: local  # a comment that goes\n"                                                   \
        "  noise_multiplier: 1.5\n"                                                                \
        "  delta: 1.0e-5\n"                                                                        \
        "  clip: 0.1\n"                                                                            \
        "# A comment that goes with it.\n"                                                         \
        "evaluation: {every: 5}\n"
#define SITE                                                                                       \
    TOP "aggregation: {strategy: fedavg, weights: {kind: equal}}\n"                                \
        "privacy: {mode: site, unit: site, epsilon: 4, delta: 1e-3, clip: 2}\n"
#define SIMULATED                                                                                  \
    "sites: {minimum: 2}\n"                                                                        \
    "simulation:\n"                                                                                \
    "  sites:\n"                                                                                   \
    "    - {id: lyon, synth: 0}\n"                                                                 \
    "    - {id: turin, synth: 1}\n"
#define SYNTH                                                                                      \
    HEAD "sites:\n"                                                                                \
         "  minimum: 2\n"                                                                          \
         "  participants:\n"                                                                       \
         "    - lyon\n"                                                                            \
         "    - turin\n"                                                                           \
         "    - aachen\n"                                                                          \
         "simulation:\n"                                                                           \
         "  sites:\n"                                                                              \
         "    - {id: lyon, synth: 0}\n"                                                            \
         "    - {id: turin, synth: 1}\n"                                                           \
         "    - {id: aachen, synth: 2}\n"                                                          \
         "evaluation: {every: 5}\n"
#define FILES                                                                                      \
    HEAD "sites: {minimum: 2}\n"                                                                   \
         "simulation:\n"                                                                           \
         "  sites:\n"                                                                              \
         "    - {id: a, csv: \"t \\\" x.csv\", mapping: m.yaml, where: {column: c, any_of: "       \
         "[\"1\", two]}}\n"                                                                        \
         "    - {id: b, records: b.h5}"

static struct csl_err err;

static struct csl_study *adapt(const char *yaml, uint32_t rounds, uint32_t sites)
{
    struct csl_study *written = fixture_study(yaml), *out = NULL;
    const struct csl_manifest_change change = {.rounds = rounds, .sites = sites};
    if (csl_manifest_adapt(&out, written, "test.yaml", &change, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_study_free(written);
    return out;
}

static void test_adapt__nothing_wanted__keeps_bytes_and_digest(void **state)
{
    struct csl_study *written = fixture_study(SYNTH), *s = adapt(SYNTH, 0, 0);
    (void)state;
    assert_int_equal(s->manifest.n, written->manifest.n);
    assert_memory_equal(s->manifest.p, written->manifest.p, s->manifest.n);
    assert_memory_equal(s->digest, written->digest, sizeof(s->digest));
    csl_study_free(written);
    csl_study_free(s);
}

/* A manifest is bytes, not a string: no NUL ends it. */
static bool holds(const struct csl_msg *m, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= m->n; i++)
        if (memcmp(m->p + i, text, n) == 0)
            return true;
    return false;
}

static void test_adapt__fewer_rounds__also_mends_the_evaluation(void **state)
{
    struct csl_study *s = adapt(SYNTH, 3, 0);
    (void)state;
    assert_int_equal(s->rounds, 3);
    assert_int_equal(s->evaluate_every, 0);
    assert_int_equal(s->sim_site_count, 3);
    assert_true(holds(&s->manifest, "# A comment that stays."));
    csl_study_free(s);
    s = adapt(SYNTH, 20, 0);
    assert_int_equal(s->rounds, 20);
    assert_int_equal(s->evaluate_every, 5);
    csl_study_free(s);
}

static void test_adapt__fewer_sites__lowers_the_minimum_with_them(void **state)
{
    struct csl_study *s = adapt(SYNTH, 0, 1);
    (void)state;
    assert_int_equal(s->sim_site_count, 1);
    assert_int_equal(s->participant_count, 1);
    assert_int_equal(s->minimum_sites, 1);
    assert_string_equal(s->participants[0], "lyon");
    assert_int_equal(s->evaluate_every, 5);
    csl_study_free(s);
}

static void test_adapt__more_sites__adds_synthetic_hospitals(void **state)
{
    struct csl_study *s = adapt(SYNTH, 0, 9);
    (void)state;
    assert_int_equal(s->sim_site_count, 9);
    assert_int_equal(s->participant_count, 9);
    assert_int_equal(s->minimum_sites, 2);
    assert_true(s->sim_sites[8].is_synth);
    assert_int_equal(s->sim_sites[8].synth_index, 8);
    assert_string_equal(s->sim_sites[8].id, "lyon-2");
    csl_study_free(s);
}

static void test_adapt__sites_with_files__keep_their_sources(void **state)
{
    struct csl_study *s = adapt(FILES, 0, 1);
    (void)state;
    assert_int_equal(s->sim_site_count, 1);
    assert_int_equal(s->participant_count, 0);
    assert_string_equal(s->sim_sites[0].csv, "t \" x.csv");
    assert_string_equal(s->sim_sites[0].mapping, "m.yaml");
    assert_string_equal(s->sim_sites[0].where_column, "c");
    assert_int_equal(s->sim_sites[0].where_count, 2);
    assert_string_equal(s->sim_sites[0].where_any_of[1], "two");
    csl_study_free(s);
}

static void test_adapt__more_sites_than_files__is_refused(void **state)
{
    struct csl_study *written = fixture_study(FILES), *s = NULL;
    (void)state;
    const struct csl_manifest_change change = {.sites = 3};
    assert_int_equal(csl_manifest_adapt(&s, written, "test.yaml", &change, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "2 sites"));
    assert_null(s);
    csl_study_free(written);
}

static void test_adapt__flow_style_study__says_what_would_be_right(void **state)
{
    static const char flow[] =
        "{study: small, question: q, domains: [{id: d, modality: tabular, task: {kind: binary, "
        "label: ill}, features: [x]}], model: {kind: linear}, training: {local: {optimizer: sgd, "
        "learning_rate: 0.1, batch_patients: 2, steps: 2}}, rounds: 10, aggregation: {strategy: "
        "fedavg, weights: {kind: samples}}, privacy: {mode: none}}\n";
    struct csl_study *written = fixture_study(flow), *s = NULL;
    (void)state;
    const struct csl_manifest_change change = {.rounds = 3};
    assert_int_equal(csl_manifest_adapt(&s, written, "test.yaml", &change, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "line"));
    csl_study_free(written);
}

static struct csl_study *at_epsilon(const char *yaml, double epsilon)
{
    struct csl_study *written = fixture_study(yaml), *out = NULL;
    const struct csl_manifest_change change = {.epsilon = epsilon};
    if (csl_manifest_adapt(&out, written, "test.yaml", &change, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_study_free(written);
    return out;
}

static void test_adapt__epsilon__replaces_the_noise_and_keeps_the_rest(void **state)
{
    struct csl_study *written = fixture_study(LOCAL), *s = at_epsilon(LOCAL, 0.1);
    (void)state;
    assert_int_equal(s->privacy.mode, CSL_PRIVACY_LOCAL);
    assert_true(s->privacy.epsilon == 0.1);
    assert_true(s->privacy.noise_multiplier == 0);
    assert_true(s->privacy.delta == 1e-5 && s->privacy.clip == 0.1);
    assert_int_equal(s->evaluate_every, 5);
    assert_int_equal(s->rounds, 10);
    assert_true(holds(&s->manifest, "# A comment that stays."));
    assert_memory_not_equal(s->digest, written->digest, sizeof(s->digest));
    csl_study_free(s);
    csl_study_free(written);
}

static void test_adapt__epsilon_of_mode_site__replaces_epsilon(void **state)
{
    struct csl_study *s = at_epsilon(SITE, 0.5);
    (void)state;
    assert_int_equal(s->privacy.mode, CSL_PRIVACY_SITE);
    assert_true(s->privacy.epsilon == 0.5 && s->privacy.delta == 1e-3 && s->privacy.clip == 2);
    csl_study_free(s);
}

static void test_adapt__infinite_epsilon__is_a_study_without_privacy(void **state)
{
    struct csl_study *s = at_epsilon(LOCAL, HUGE_VAL);
    (void)state;
    assert_int_equal(s->privacy.mode, CSL_PRIVACY_NONE);
    assert_true(s->privacy.epsilon == 0 && s->privacy.clip == 0);
    assert_true(holds(&s->manifest, "privacy: {mode: none}"));
    csl_study_free(s);
}

static void test_adapt__epsilon_with_rounds_and_sites__changes_all(void **state)
{
    struct csl_study *written = fixture_study(LOCAL SIMULATED), *s = NULL;
    const struct csl_manifest_change change = {.rounds = 3, .sites = 4, .epsilon = 2};
    (void)state;
    if (csl_manifest_adapt(&s, written, "test.yaml", &change, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s->rounds, 3);
    assert_int_equal(s->sim_site_count, 4);
    assert_true(s->privacy.epsilon == 2);
    csl_study_free(s);
    csl_study_free(written);
}

static void test_adapt__epsilon_without_privacy__is_refused(void **state)
{
    const struct csl_manifest_change change = {.epsilon = 1};
    struct csl_study *written = fixture_study(SYNTH), *s = NULL;
    (void)state;
    assert_int_equal(csl_manifest_adapt(&s, written, "test.yaml", &change, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "test.yaml: privacy"));
    assert_null(s);
    csl_study_free(written);
}

static void test_adapt__epsilon_no_study_may_have__is_refused_by_the_study(void **state)
{
    const struct csl_manifest_change change = {.epsilon = 5000};
    struct csl_study *written = fixture_study(LOCAL), *s = NULL;
    (void)state;
    assert_int_not_equal(csl_manifest_adapt(&s, written, "test.yaml", &change, &err), CSL_OK);
    assert_non_null(strstr(err.msg, "epsilon"));
    assert_null(s);
    csl_study_free(written);
}

static void test_adapt__site_left_out__names_the_others_as_participants(void **state)
{
    const struct csl_manifest_change first = {.left_out = "a"}, second = {.left_out = "turin"};
    struct csl_study *files = fixture_study(FILES), *synth = fixture_study(SYNTH), *s = NULL;
    (void)state;
    assert_int_equal(csl_manifest_adapt(&s, files, "test.yaml", &first, &err), CSL_OK);
    assert_int_equal(s->sim_site_count, 1);
    assert_string_equal(s->sim_sites[0].records, "b.h5");
    assert_int_equal(s->minimum_sites, 1);
    assert_int_equal(s->participant_count, 1);
    assert_string_equal(s->participants[0], "b");
    csl_study_free(s);
    assert_int_equal(csl_manifest_adapt(&s, synth, "test.yaml", &second, &err), CSL_OK);
    assert_int_equal(s->participant_count, 2);
    assert_string_equal(s->participants[1], "aachen");
    assert_int_equal(s->sim_sites[1].synth_index, 2);
    assert_true(memcmp(s->digest, synth->digest, sizeof(s->digest)) != 0);
    csl_study_free(s);
    csl_study_free(files);
    csl_study_free(synth);
}

static void test_adapt__other_sites__keep_the_external_ones(void **state)
{
    const struct csl_manifest_change change = {.left_out = "a"};
    struct csl_study *written = fixture_study(FILES "\n  external: [{id: x, synth: 4}]\n"),
                     *s = NULL;
    (void)state;
    assert_int_equal(written->sim_site_count, 2);
    assert_int_equal(csl_manifest_adapt(&s, written, "test.yaml", &change, &err), CSL_OK);
    assert_int_equal(s->sim_site_count, 1);
    assert_int_equal(s->external_site_count, 1);
    assert_string_equal(s->external_sites[0].id, "x");
    assert_int_equal(s->external_sites[0].synth_index, 4);
    csl_study_free(s);
    csl_study_free(written);
}

static void test_adapt__site_left_out_that_cannot_be__is_refused(void **state)
{
    const struct csl_manifest_change unknown = {.left_out = "z"}, last = {.left_out = "a"};
    struct csl_study *files = fixture_study(FILES), *one = adapt(FILES, 0, 1), *s = NULL;
    (void)state;
    assert_int_equal(csl_manifest_adapt(&s, files, "test.yaml", &unknown, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "no simulated site z"));
    assert_int_equal(csl_manifest_adapt(&s, one, "test.yaml", &last, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "there would be none left"));
    assert_null(s);
    csl_study_free(files);
    csl_study_free(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adapt__nothing_wanted__keeps_bytes_and_digest),
        cmocka_unit_test(test_adapt__fewer_rounds__also_mends_the_evaluation),
        cmocka_unit_test(test_adapt__fewer_sites__lowers_the_minimum_with_them),
        cmocka_unit_test(test_adapt__more_sites__adds_synthetic_hospitals),
        cmocka_unit_test(test_adapt__sites_with_files__keep_their_sources),
        cmocka_unit_test(test_adapt__more_sites_than_files__is_refused),
        cmocka_unit_test(test_adapt__epsilon__replaces_the_noise_and_keeps_the_rest),
        cmocka_unit_test(test_adapt__epsilon_of_mode_site__replaces_epsilon),
        cmocka_unit_test(test_adapt__infinite_epsilon__is_a_study_without_privacy),
        cmocka_unit_test(test_adapt__epsilon_with_rounds_and_sites__changes_all),
        cmocka_unit_test(test_adapt__epsilon_without_privacy__is_refused),
        cmocka_unit_test(test_adapt__epsilon_no_study_may_have__is_refused_by_the_study),
        cmocka_unit_test(test_adapt__site_left_out__names_the_others_as_participants),
        cmocka_unit_test(test_adapt__other_sites__keep_the_external_ones),
        cmocka_unit_test(test_adapt__site_left_out_that_cannot_be__is_refused),
        cmocka_unit_test(test_adapt__flow_style_study__says_what_would_be_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
