/* Statistics before training, from the simulation to a study that is scaled by them and a site that
 * compares itself. */
#include "site-agent/training/count.h"
#include "tests/unit/cli/cli_run.h"

#include "aggregation/statistics/statistics.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNTED(more)                                                                              \
    "study: counted\n"                                                                             \
    "census: {bins: 16}\n"                                                                         \
    "domains:\n"                                                                                   \
    "  - id: heart\n"                                                                              \
    "    modality: tabular\n"                                                                      \
    "    task: {kind: binary, label: heart}\n"                                                     \
    "    features: [{name: systolic_pressure, unit: mmHg, range: [60, 204]},\n"                    \
    "               {name: troponin, unit: ng/l, range: [2, 26]}]\n" more "sites: {minimum: 3}\n"  \
    "simulation: {sites: [{id: lyon, synth: 0}, {id: turin, synth: 1}, {id: aachen, synth: 2}]}\n"

#define TRAINED                                                                                    \
    "study: trained\n"                                                                             \
    "domains:\n"                                                                                   \
    "  - id: heart\n"                                                                              \
    "    modality: tabular\n"                                                                      \
    "    task: {kind: binary, label: heart}\n"                                                     \
    "    scaling: site\n"                                                                          \
    "    features: [systolic_pressure,\n"                                                          \
    "               troponin]  # both of them\n"                                                   \
    "    # what learns\n"                                                                          \
    "    model: {kind: linear}\n"                                                                  \
    "training: {local: {learning_rate: 0.1, batch_patients: 16, steps: 20}}\n"                     \
    "rounds: 3\n"                                                                                  \
    "aggregation: {strategy: fedavg}\n"

static void simulate(const char *folder, const char *study, const char *more)
{
    char command[256];
    cli_put_file("counted.yaml", study);
    (void)snprintf(command, sizeof(command), "simulate %%/counted.yaml --out %%/%s %s", folder,
                   more);
    if (cli_run(command) != 0)
        fail_msg("%s", cli_output);
}

static struct csl_json_doc *read_statistics(const char *folder)
{
    char path[256];
    struct csl_json_doc *doc = NULL;
    struct csl_err err = {0};
    (void)snprintf(path, sizeof(path), "%s/%s/statistics.json", cli_folder, folder);
    if (csl_json_read(&doc, path, 1u << 20, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return doc;
}

/* Sums under masks are the open ones to the last digit. */
static void test_cli_census__masked__figures_are_those_in_the_open(void **state)
{
    (void)state;
    static const char *const numbers[] = {"domains/0/patients/value",
                                          "domains/0/cells/0/patients/value",
                                          "domains/0/cells/1/patients/value",
                                          "domains/0/features/0/mean/value",
                                          "domains/0/features/1/mean/low",
                                          "domains/0/features/0/standard_deviation/value",
                                          "domains/0/features/1/quantiles/2/value"};
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    simulate("masked",
             COUNTED("secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"),
             "");
    struct csl_json_doc *open = read_statistics("open"), *masked = read_statistics("masked");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_true(cli_number(open, numbers[i]) == cli_number(masked, numbers[i]));
    assert_true(cli_number(open, "domains/0/patients/value") > 300);
    assert_true(cli_number(open, "domains/0/noise_std_patients") == 0);
    csl_json_free(open);
    csl_json_free(masked);
}

/* What is published is what all records in one place would give. */
static void test_cli_census__open__figures_are_those_of_the_pooled_records(void **state)
{
    (void)state;
    static const char *const ids[] = {"lyon", "turin", "aachen"};
    char paths[3][256], study_path[128], key[64];
    const char *at[3] = {paths[0], paths[1], paths[2]};
    struct csl_study *study = NULL;
    struct csl_dataset *pooled = NULL;
    struct csl_statistics_shape shape;
    int64_t sum[128] = {0};
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    for (int i = 0; i < 3; i++)
        (void)snprintf(paths[i], sizeof(paths[i]), "%s/open/records/%s.h5", cli_folder, ids[i]);
    (void)snprintf(study_path, sizeof(study_path), "%s/counted.yaml", cli_folder);
    assert_int_equal(csl_study_read(&study, study_path, NULL), CSL_OK);
    assert_int_equal(csl_dataset_load_pooled(&pooled, at, 3, study, NULL), CSL_OK);
    csl_study_census_shape(study, &study->domains[0], &shape);
    assert_true(csl_statistics_words(&shape) <= 128);
    assert_int_equal(csl_count_domain(study, 0, &pooled->domains[0][CSL_SPLIT_TRAIN], sum, NULL),
                     CSL_OK);
    struct csl_json_doc *open = read_statistics("open");
    const struct csl_statistics_sum exact = {.sites = 3, .sites_min = 3, .minimum_cell = 10};
    assert_true(cli_number(open, "domains/0/patients/value") * CSL_STATISTICS_ONE ==
                (double)sum[0]);
    for (uint32_t f = 0; f < 2; f++) {
        const struct csl_statistics_range range = csl_study_census_range(&study->domains[0], f);
        struct csl_feature_figures figures;
        csl_statistics_feature(&shape, &exact, &range, f, sum, &figures);
        (void)snprintf(key, sizeof(key), "domains/0/features/%u/mean/value", f);
        assert_true(cli_number(open, key) == figures.mean.value);
        (void)snprintf(key, sizeof(key), "domains/0/features/%u/standard_deviation/value", f);
        assert_true(cli_number(open, key) == figures.deviation.value);
        (void)snprintf(key, sizeof(key), "domains/0/features/%u/quantiles/4/high", f);
        assert_true(cli_number(open, key) == figures.quantiles[4].high);
    }
    csl_json_free(open);
    csl_dataset_free(pooled);
    csl_study_free(study);
}

/* The one folder below OUT/state, or "". */
static void find_state(const char *folder, char *out, size_t bytes)
{
    char path[128];
    out[0] = '\0';
    (void)snprintf(path, sizeof(path), "%s/%s/state", cli_folder, folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        if (e->d_name[0] != '.')
            (void)snprintf(out, bytes, "%%/%s/state/%.64s/coordinator/state", folder, e->d_name);
    (void)closedir(dir);
}

/* Real processes, and what the coordinator's operator makes of its folder: no run is needed for it.
 */
static void test_cli_census__processes__publish_what_the_simulation_does(void **state)
{
    (void)state;
    char command[512], folder[160];
    const char *study = COUNTED("privacy: {mode: local, epsilon: 4, delta: 1e-4}\n");
    simulate("local", study, "");
    simulate("processes", study, "--transport grpc");
    find_state("processes", folder, sizeof(folder));
    (void)snprintf(command, sizeof(command),
                   "study publish %%/counted.yaml --state %s --out %%/published/statistics.json",
                   folder);
    assert_int_not_equal(cli_run(command), 0); /* no such folder */
    (void)snprintf(command, sizeof(command),
                   "study publish %%/counted.yaml --state %s --out %%/open/statistics.json",
                   folder);
    if (cli_run(command) != 0)
        fail_msg("%s", cli_output);
    struct csl_json_doc *local = read_statistics("local"), *published = read_statistics("open");
    static const char *const numbers[] = {"domains/0/patients/value",
                                          "domains/0/features/0/mean/low",
                                          "domains/0/noise_std_patients"};
    for (int i = 0; i < 3; i++)
        assert_true(cli_number(local, numbers[i]) == cli_number(published, numbers[i]));
    csl_json_free(local);
    csl_json_free(published);
    assert_int_not_equal(cli_run("study publish %/counted.yaml --state %/open --out %/no.json"), 0);
    cli_assert_printed("the state folder of a coordinator");
}

/* Noise in every count, an interval that has it, and one charge in a ledger that verifies. */
static void check_private(const char *folder, const char *study)
{
    char command[256];
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    simulate(folder, study, "");
    struct csl_json_doc *open = read_statistics("open"), *noisy = read_statistics(folder);
    double sigma = cli_number(noisy, "domains/0/noise_std_patients");
    double exact = cli_number(open, "domains/0/patients/value");
    double value = cli_number(noisy, "domains/0/patients/value");
    assert_true(sigma > 1 && value != exact && fabs(value - exact) < 7 * sigma);
    assert_true(fabs(cli_number(noisy, "domains/0/patients/high") - value - 1.959964 * sigma) <
                1e-6 * sigma);
    assert_true(cli_number(noisy, "domains/0/shown_from_patients") >= 17 * sigma);
    assert_true(cli_number(noisy, "epsilon") <= 4 && cli_number(noisy, "epsilon") > 3.9);
    csl_json_free(open);
    csl_json_free(noisy);
    for (int i = 0; i < 3; i++) {
        static const char *const sites[] = {"lyon", "turin", "aachen"};
        (void)snprintf(command, sizeof(command), "ledger verify %%/%s/ledger/%s.ledger", folder,
                       sites[i]);
        assert_int_equal(cli_run(command), 0);
        cli_assert_printed("1 charge, 0 refusals");
    }
}

static void test_cli_census__local__is_noised_and_charged(void **state)
{
    (void)state;
    check_private("local", COUNTED("privacy: {mode: local, epsilon: 4, delta: 1e-4}\n"));
}

static void test_cli_census__joint__is_noised_and_charged(void **state)
{
    (void)state;
    check_private(
        "joint",
        COUNTED("privacy: {mode: joint, epsilon: 4, delta: 1e-4}\n"
                "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"));
}

static void test_cli_census__report__is_drawn_again_from_the_files(void **state)
{
    (void)state;
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    assert_int_equal(cli_run("report %/open"), 0);
    assert_int_not_equal(cli_run("model card %/open"), 0);
    assert_int_equal(cli_run("simulate %/counted.yaml --out %/no --leave-one-out"), 2);
    cli_assert_printed("trains nothing");
}

static void test_cli_census__scale__fixes_centre_and_scale(void **state)
{
    (void)state;
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    cli_put_file("trained.yaml", TRAINED);
    if (cli_run("study scale %/trained.yaml --statistics %/open/statistics.json --out "
                "%/scaled.yaml") != 0)
        fail_msg("%s", cli_output);
    cli_assert_printed("systolic_pressure: centre 13");
    assert_int_equal(cli_run("study show %/scaled.yaml --json"), 0);
    struct csl_json_doc *scaled = cli_parse_output(), *open = read_statistics("open");
    assert_string_equal(cli_text(scaled, "domains/0/scaling"), "constants");
    for (int f = 0; f < 2; f++) {
        char got[64], want[64];
        (void)snprintf(got, sizeof(got), "domains/0/features/%d/centre", f);
        (void)snprintf(want, sizeof(want), "domains/0/features/%d/mean/value", f);
        assert_true(fabs(cli_number(scaled, got) / cli_number(open, want) - 1) < 1e-5);
        (void)snprintf(got, sizeof(got), "domains/0/features/%d/scale", f);
        (void)snprintf(want, sizeof(want), "domains/0/features/%d/standard_deviation/value", f);
        assert_true(fabs(cli_number(scaled, got) / cli_number(open, want) - 1) < 1e-5);
    }
    csl_json_free(scaled);
    csl_json_free(open);
    cli_put_file("other.yaml", "study: other\ndomains: [{id: lung, modality: tabular, task: {kind: "
                               "binary, label: heart}, features: [troponin], model: {kind: "
                               "linear}}]\ntraining: {local: {learning_rate: 0.1, batch_patients: "
                               "16, steps: 2}}\nrounds: 1\naggregation: {strategy: fedavg}\n");
    assert_int_equal(cli_run("study scale %/other.yaml --statistics %/open/statistics.json --out "
                             "%/no.yaml"),
                     2);
    cli_assert_printed("no domain with features is in the statistics");
}

static void test_cli_census__site__compares_itself_at_home(void **state)
{
    (void)state;
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    assert_int_equal(cli_run("data check %/open/records/lyon.h5 --study %/counted.yaml "
                             "--statistics %/open/statistics.json"),
                     0);
    cli_assert_printed("mean of the federation");
    cli_assert_printed("nothing of this left the machine");
    cli_put_file("counted.yaml", COUNTED("privacy: {mode: none}\n") "# another study\n");
    assert_int_equal(cli_run("data check %/open/records/lyon.h5 --study %/counted.yaml "
                             "--statistics %/open/statistics.json"),
                     0); /* a comment is no part of the digest */
    cli_put_file("counted.yaml", COUNTED("privacy: {mode: local, epsilon: 4, delta: 1e-4}\n"));
    assert_int_equal(cli_run("data check %/open/records/lyon.h5 --study %/counted.yaml "
                             "--statistics %/open/statistics.json"),
                     2);
    cli_assert_printed("--statistics: of study counted, digest");
}

/* Writes FOLDER/forged.json: open/statistics.json with its first `from` as `to`. */
static void forge(const char *from, const char *to)
{
    static char text[1 << 16], forged[1 << 16];
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/open/statistics.json", cli_folder);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    text[bytes] = '\0';
    assert_int_equal(fclose(file), 0);
    const char *at = strstr(text, from);
    assert_true(at != NULL && bytes < sizeof(text) - 1);
    (void)snprintf(forged, sizeof(forged), "%.*s%s%s", (int)(at - text), text, to,
                   at + strlen(from));
    cli_put_file("forged.json", forged);
}

static void test_cli_census__forged_statistics__write_nothing_into_a_study(void **state)
{
    (void)state;
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    cli_put_file("trained.yaml", TRAINED);
    forge("\"study\": \"counted\"", "\"study\": \"counted\\nrounds: 900\"");
    assert_int_equal(cli_run("study scale %/trained.yaml --statistics %/forged.json --out "
                             "%/forged.yaml"),
                     2);
    cli_assert_printed("'study' is not what a file of statistics");
    forge("\"unit\": \"mmHg\"", "\"unit\": \"mmHg\\u001b[2J\"");
    assert_int_equal(cli_run("study scale %/trained.yaml --statistics %/forged.json --out "
                             "%/forged.yaml"),
                     2);
    cli_assert_printed("'features' is not what a file of statistics");
}

static void test_cli_census__features_of_another_name__are_not_compared(void **state)
{
    (void)state;
    simulate("open", COUNTED("privacy: {mode: none}\n"), "");
    forge("\"name\": \"systolic_pressure\"", "\"name\": \"diastolic_pressure\"");
    assert_int_equal(cli_run("data check %/open/records/lyon.h5 --study %/counted.yaml "
                             "--statistics %/forged.json"),
                     2);
    cli_assert_printed("domain heart is not as the study has it");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_census__open__figures_are_those_of_the_pooled_records),
        cmocka_unit_test(test_cli_census__processes__publish_what_the_simulation_does),
        cmocka_unit_test(test_cli_census__masked__figures_are_those_in_the_open),
        cmocka_unit_test(test_cli_census__local__is_noised_and_charged),
        cmocka_unit_test(test_cli_census__joint__is_noised_and_charged),
        cmocka_unit_test(test_cli_census__forged_statistics__write_nothing_into_a_study),
        cmocka_unit_test(test_cli_census__features_of_another_name__are_not_compared),
        cmocka_unit_test(test_cli_census__report__is_drawn_again_from_the_files),
        cmocka_unit_test(test_cli_census__scale__fixes_centre_and_scale),
        cmocka_unit_test(test_cli_census__site__compares_itself_at_home),
    };
    if (argc != 2)
        return 1;
    cli_program = argv[1];
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
