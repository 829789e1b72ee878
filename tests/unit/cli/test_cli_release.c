/* A study with conditions for its release, from simulation to export. */
#include "tests/unit/cli/cli_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STUDY(release)                                                                             \
    "study: small-heart\n"                                                                         \
    "question: Is it there?\n"                                                                     \
    "domains:\n"                                                                                   \
    "  - id: heart\n"                                                                              \
    "    modality: tabular\n"                                                                      \
    "    task: {kind: binary, label: heart}\n"                                                     \
    "    features: [{name: systolic_pressure, unit: mmHg, centre: 132, scale: 18},\n"              \
    "               {name: troponin, unit: ng/l, centre: 14, scale: 3}]\n"                         \
    "model: {kind: linear}\n"                                                                      \
    "training: {local: {learning_rate: 0.1, batch_patients: 16, steps: 20}}\n"                     \
    "rounds: 3\n"                                                                                  \
    "aggregation: {strategy: fedavg}\n"                                                            \
    "fairness: {attributes: [sex, age_band]}\n"                                                    \
    "release: {" release "}\n"                                                                     \
    "simulation: {sites: [{id: a, synth: 0}, {id: b, synth: 1}, {id: c, synth: 2}]}\n"

static void simulate(const char *folder, const char *study)
{
    char command[256];
    cli_put_file("study.yaml", study);
    (void)snprintf(command, sizeof(command), "simulate %%/study.yaml --out %%/%s", folder);
    if (cli_run(command) != 0)
        fail_msg("%s", cli_output);
}

static void test_cli_release__conditions_met__card_and_export(void **state)
{
    (void)state;
    simulate("good", STUDY("minimum_auc: 0.5, worst_group_floor: 0.4, intended_use: A test., "
                           "not_for: Patients."));
    cli_assert_printed("release: allowed by the study's conditions");
    assert_int_equal(cli_run("model card %/good"), 0);
    cli_assert_printed("**Release: allowed.**");
    cli_assert_printed("Differences by sex in heart");
    assert_int_equal(cli_run("model card %/good --json"), 0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "format"), "consilium.model-card/1");
    assert_true(cli_number(doc, "from_counts/0/patients") > 100);
    csl_json_free(doc);
    assert_int_equal(cli_run("model export %/good/model.h5 --format csv --out %/good.csv"), 0);
}

static void test_cli_release__floor_missed__card_says_it_and_export_refuses(void **state)
{
    (void)state;
    simulate("bad", STUDY("minimum_auc: 0.999, intended_use: A test."));
    cli_assert_printed("release: BLOCKED by the study's conditions");
    cli_assert_printed("0.999 is asked for");
    assert_int_equal(cli_run("model card %/bad"), 1);
    cli_assert_printed("**Release: BLOCKED.**");
    cli_assert_printed("not\\_for is empty");
    assert_int_equal(cli_run("model export %/bad/model.h5 --format csv --out %/bad.csv"), 1);
    cli_assert_printed("the study does not let this model be handed out");
    cli_assert_printed("minimum_auc: the AUC of domain heart is");
    assert_int_equal(cli_run("model export %/bad/model.h5 --format csv --out %/bad.csv --json"), 1);
    struct csl_json_doc *doc = cli_parse_output();
    assert_true(cli_has(doc, "blocked_by/0"));
    csl_json_free(doc);
    assert_int_equal(cli_run("model inspect %/bad/model.h5"), 0); /* looking is not handing out */
}

static void test_cli_release__figures_of_another_model__refused(void **state)
{
    (void)state;
    assert_int_equal(cli_run("simulate %/good/study.yaml --seed 43 --out %/other"), 0);
    char from[160], to[160];
    (void)snprintf(from, sizeof(from), "%s/other/summary.json", cli_folder);
    (void)snprintf(to, sizeof(to), "%s/good/summary.json", cli_folder);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(cli_run("model export %/good/model.h5 --format csv --out %/x.csv"), 2);
    cli_assert_printed("is of another model");
    assert_int_equal(remove(to), 0);
    assert_int_equal(cli_run("model export %/good/model.h5 --format csv --out %/x.csv"), 2);
    cli_assert_printed("has no summary.json of the run");
}

static void test_cli_release__verb_card__takes_a_run(void **state)
{
    (void)state;
    assert_int_equal(cli_run("model card"), 2);
    assert_int_equal(cli_run("model card %/nowhere"), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_release__conditions_met__card_and_export),
        cmocka_unit_test(test_cli_release__floor_missed__card_says_it_and_export_refuses),
        cmocka_unit_test(test_cli_release__figures_of_another_model__refused),
        cmocka_unit_test(test_cli_release__verb_card__takes_a_run),
    };
    assert_int_equal(argc, 2);
    cli_program = argv[1];
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
