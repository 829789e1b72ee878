/* What `study show --json`, `study check` and `status` say of sections that a study may lack. */
#include "tests/unit/cli/cli_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STUDY(more)                                                                                \
    "study: small-heart\n"                                                                         \
    "domains:\n"                                                                                   \
    "  - {id: heart, modality: tabular, task: {kind: binary, label: heart}, features: [x]}\n"      \
    "model: {kind: linear}\n"                                                                      \
    "training: {local: {learning_rate: 0.1, batch_patients: full, steps: 1}}\n"                    \
    "rounds: 9\n"                                                                                  \
    "sites: {minimum: 3}\n" more
#define FITTED "training: {learning_rate: 0.5, batch_patients: full, epochs: 2}"

static struct csl_json_doc *show(const char *study)
{
    cli_put_file("study.yaml", study);
    if (cli_run("study show %/study.yaml --json") != 0)
        fail_msg("%s", cli_output);
    return cli_parse_output();
}

static void test_cli_study__show__every_section_with_its_defaults(void **state)
{
    (void)state;
    struct csl_json_doc *doc = show(STUDY(
        "aggregation: {strategy: fedavg, gate: {kind: norm, factor: 3}}\n"
        "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, audit_chunks: 2}\n"
        "privacy: {mode: joint, epsilon: 2, delta: 1e-5, clip: 1, sampling_rate: 0.25}\n"
        "fairness: {attributes: [sex], minimum_group: 40}\n"
        "release: {minimum_auc: 0.7, intended_use: A test.}\n"
        "personalisation: {methods: [head, ditto], lambda: 2, " FITTED "}\n"));
    assert_true(cli_number(doc, "aggregation/gate/factor") == 3);
    assert_true(cli_number(doc, "privacy/sampling_rate") == 0.25);
    assert_string_equal(cli_text(doc, "fairness/attributes/0"), "sex");
    assert_true(cli_number(doc, "fairness/minimum_group") == 40);
    assert_true(cli_number(doc, "fairness/minimum_sites") == 3);
    assert_false(cli_has(doc, "fairness/groups") || cli_has(doc, "fairness/weights"));
    assert_true(cli_number(doc, "release/minimum_auc") == 0.7);
    assert_true(cli_number(doc, "release/worst_group_floor") == 0);
    assert_string_equal(cli_text(doc, "release/collapsed_class"), "refuse");
    assert_string_equal(cli_text(doc, "release/model_card"), "required");
    assert_string_equal(cli_text(doc, "release/intended_use"), "A test.");
    assert_string_equal(cli_text(doc, "secure_aggregation/protocol"), "fsa-1");
    assert_true(cli_number(doc, "secure_aggregation/colluding") == 1);
    assert_true(cli_number(doc, "secure_aggregation/audit_chunks") == 2);
    assert_string_equal(cli_text(doc, "secure_aggregation/graph"), "complete");
    assert_true(cli_number(doc, "secure_aggregation/encoding/lane_bits") == 64);
    assert_false(cli_has(doc, "secure_aggregation/encoding/clip_norm"));
    assert_string_equal(cli_text(doc, "personalisation/methods/0"), "head");
    assert_string_equal(cli_text(doc, "personalisation/methods/1"), "ditto");
    assert_true(cli_number(doc, "personalisation/lambda") == 2);
    assert_string_equal(cli_text(doc, "personalisation/training/batch_patients"), "full");
    assert_true(cli_number(doc, "personalisation/training/epochs") == 2);
    csl_json_free(doc);
}

static void test_cli_study__show__groups_and_their_weights(void **state)
{
    (void)state;
    struct csl_json_doc *doc =
        show(STUDY("aggregation: {strategy: fedavg}\nprivacy: {mode: none}\n"
                   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3,\n"
                   "                     encoding: {lane_bits: 32, clip_norm: 2, weight_cap: 50}}\n"
                   "fairness: {attributes: [sex], groups: {sex: [f, m]}, weights: {cap: 3}}\n"));
    assert_string_equal(cli_text(doc, "fairness/groups/sex/1"), "m");
    assert_true(cli_number(doc, "fairness/weights/cap") == 3);
    assert_true(cli_number(doc, "fairness/weights/beta") == 1);
    assert_true(cli_number(doc, "secure_aggregation/encoding/lane_bits") == 32);
    assert_true(cli_number(doc, "secure_aggregation/encoding/clip_norm") == 2);
    assert_false(cli_has(doc, "release"));
    assert_false(cli_has(doc, "personalisation"));
    csl_json_free(doc);
}

static void test_cli_study__check__personalisation_what_stays_and_what_is_revealed(void **state)
{
    (void)state;
    cli_put_file("study.yaml", STUDY("aggregation: {strategy: fedavg}\nprivacy: {mode: none}\n"
                                     "personalisation: {methods: [whole, ditto], " FITTED "}\n"));
    assert_int_equal(cli_run("study check %/study.yaml"), 0);
    cli_assert_printed("What a site makes of the released model for itself");
    cli_assert_printed("  whole: every parameter. The model stays at the site");
    cli_assert_printed("  ditto: every parameter, pulled towards the released one (lambda 0.1).");
    cli_assert_printed("  Revealed, in the report of the simulation, is how good each of these");
    assert_null(strstr(cli_output, "  head: "));
    cli_put_file("study.yaml", STUDY("aggregation: {strategy: fedavg}\nprivacy: {mode: none}\n"));
    assert_int_equal(cli_run("study check %/study.yaml"), 0);
    assert_null(strstr(cli_output, "for itself"));
}

static void test_cli_study__status__patient_groups_with_intervals(void **state)
{
    (void)state;
    cli_put_file(
        "status.json",
        "{\"format\": \"consilium.status/1\", \"study\": \"heart\", \"state\": \"training\","
        " \"round\": 3, \"rounds\": 15, \"updated_unix_ms\": 1, \"sites\": [],"
        " \"patient_groups\": [{\"domain\": \"heart\", \"attribute\": \"sex\", \"round\": 2,"
        " \"groups_shown\": 2, \"groups_hidden\": 1, \"gaps\": {\"eod\": {\"value\": 0.25,"
        " \"low\": 0.125, \"high\": 0.5}, \"pp\": {\"value\": 0.0625}}, \"worst\": {\"value\":"
        " \"f\\u001b\", \"patients\": 31, \"macro_f1\": {\"value\": 0.75}}},"
        " {\"domain\": 7, \"gaps\": []}]}");
    assert_int_equal(cli_run("status %"), 0);
    cli_assert_printed("heart by sex, model of round 2, 2 shown, 1 too small to be shown:  TPR gap "
                       "(EOD) 0.250 (0.125 to 0.500)  FDR gap (PP) 0.062  worst f\\x1b,  macro-F1 "
                       "0.750\n");
    assert_int_equal(cli_run("status % --json"), 0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_true(cli_number(doc, "patient_groups/0/gaps/eod/high") == 0.5);
    assert_true(cli_number(doc, "patient_groups/0/worst/patients") == 31);
    assert_true(cli_number(doc, "patient_groups/0/worst/macro_f1/value") == 0.75);
    assert_false(cli_has(doc, "patient_groups/1/worst"));
    csl_json_free(doc);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_study__show__every_section_with_its_defaults),
        cmocka_unit_test(test_cli_study__show__groups_and_their_weights),
        cmocka_unit_test(test_cli_study__check__personalisation_what_stays_and_what_is_revealed),
        cmocka_unit_test(test_cli_study__status__patient_groups_with_intervals),
    };

    assert_int_equal(argc, 2);
    cli_program = argv[1];
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
