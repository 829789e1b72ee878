/* The program as people call it: what it prints and how it exits. argv[1] is the program. */
#include "base/file.h"
#include "base/json.h"
#include "coordinator/model/model_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ATTACKED "simulations/scenarios/synthetic-attack.yaml"
#define STUDY    "simulations/scenarios/flamby-heart-fedavg.yaml"

static const char *program;
static char folder[] = "/tmp/csl-cli-XXXXXX";
static char output[256 * 1024]; /* of the last run: stdout and stderr together */

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

/* Runs `consilium ARGS`; "%" in args stands for the test's folder. Returns the exit status. */
static int run(const char *args)
{
    char command[1024];
    size_t n = (size_t)snprintf(command, sizeof(command), "%s 2>&1 ", program);

    for (; *args; args++)
        n += (size_t)snprintf(command + n, sizeof(command) - n, *args == '%' ? "%s" : "%.1s",
                              *args == '%' ? folder : args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t got = fread(output, 1, sizeof(output) - 1, pipe);
    output[got] = 0;
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_printed(const char *text)
{
    if (!strstr(output, text))
        fail_msg("'%s' is missing in:\n%s", text, output);
}

static void put_file(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct csl_json_doc *parse_output(void)
{
    struct csl_json_doc *doc = NULL;
    struct csl_err err = {0};

    if (csl_json_parse(&doc, "output", CSL_SPAN(output, strlen(output)), &err) != CSL_OK)
        fail_msg("%s in:\n%s", err.msg, output);
    return doc;
}

static void assert_error_object(const char *code, const char *message)
{
    struct csl_json_doc *doc = parse_output();
    const struct csl_json_value *error = csl_json_get(csl_json_root(doc), "error");
    const char *text = "";

    assert_true(csl_json_as_str(csl_json_get(error, "code"), &text));
    assert_string_equal(text, code);
    assert_true(csl_json_as_str(csl_json_get(error, "message"), &text));
    assert_non_null(strstr(text, message));
    csl_json_free(doc);
}

static void test_cli__no_or_unknown_command__is_usage(void **state)
{
    (void)state;
    assert_int_equal(run(""), 2);
    assert_int_equal(run("studdy"), 2);
    assert_printed("did you mean 'study'?");
    assert_int_equal(run("frobnicate"), 2);
    assert_printed("'consilium --help' lists them");
    assert_int_equal(run("help frobnicate"), 2);
    assert_int_equal(run("study check " STUDY " --jsn"), 2);
    assert_printed("--json");
}

static void test_cli__version_and_overview__exit_0(void **state)
{
    (void)state;
    assert_int_equal(run("--version"), 0);
    assert_printed("consilium 0.");
    assert_int_equal(run("--help"), 0);
    assert_printed("exit status: 0 done");
    assert_int_equal(run("help"), 0);
}

static void test_cli__every_command__has_help_with_usage(void **state)
{
    static const char *const names[] = {"study",  "privacy",    "ledger", "model",
                                        "status", "completion", "man"};
    char args[64];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(args, sizeof(args), "%s --help", names[i]);
        assert_int_equal(run(args), 0);
        assert_printed("usage: consilium ");
        assert_printed("example");
        snprintf(args, sizeof(args), "help %s", names[i]);
        assert_int_equal(run(args), 0);
        assert_printed("usage: consilium ");
    }
}

static void test_cli__study_check__says_what_is_revealed(void **state)
{
    (void)state;
    assert_int_equal(run("study check " STUDY), 0);
    assert_printed("NO differential privacy");
    assert_printed("the study is valid");
    assert_int_equal(run("study check " STUDY " --json"), 0);
    struct csl_json_doc *doc = parse_output();
    bool is_valid = false;
    assert_true(csl_json_as_bool(csl_json_get(csl_json_root(doc), "valid"), &is_valid));
    assert_true(is_valid);
    csl_json_free(doc);
}

static void test_cli__study_check__of_a_wrong_file_names_the_place(void **state)
{
    (void)state;
    put_file("wrong.yaml", "study: x\nronds: 4\n");
    assert_int_equal(run("study check %/wrong.yaml"), 2);
    assert_printed("wrong.yaml:2:1: ronds: no such key; rounds");
    assert_int_equal(run("study check %/wrong.yaml --json"), 2);
    struct csl_json_doc *doc = parse_output();
    const char *text = NULL;
    assert_true(csl_json_as_str(csl_json_get(csl_json_root(doc), "error"), &text));
    assert_non_null(strstr(text, "wrong.yaml:2:1"));
    csl_json_free(doc);
    assert_int_equal(run("study check %/absent.yaml"), 2);
    assert_int_equal(run("study check %"), 2);
    assert_printed("is a folder; a file would be right");
    assert_int_equal(run("study check"), 2);
    assert_printed("found 1 word; a verb");
    assert_int_equal(run("study frob " STUDY), 2);
    assert_printed("check, show, publish or scale would be right");
}

static void test_cli__study_show__lists_every_default(void **state)
{
    (void)state;
    assert_int_equal(run("study show " STUDY), 0);
    assert_printed("heart.weight                     1 x 13");
    assert_int_equal(run("study show " STUDY " --json"), 0);
    struct csl_json_doc *doc = parse_output();
    const struct csl_json_value *model = csl_json_get(csl_json_root(doc), "model");
    uint64_t parameters = 0;
    assert_true(csl_json_as_u64(csl_json_get(model, "parameters"), &parameters));
    assert_int_equal(parameters, 14);
    csl_json_free(doc);
}

static void write_model(void)
{
    const uint64_t shape[2] = {1, 2}, one = 1;
    const float parameters[3] = {0.1F, -2.5F, 1e-20F};
    struct csl_schema *s = malloc(sizeof(*s));
    struct csl_model_info info = {.study = "heart-4", .round = 9};
    char path[128];

    csl_schema_init(s);
    assert_int_equal(csl_schema_add_block(s, "heart", CSL_BLOCK_SHARED, NULL), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "heart.weight", 2, shape, CSL_INIT_ZEROS, 0, NULL),
                     CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "heart.bias", 1, &one, CSL_INIT_ZEROS, 0, NULL),
                     CSL_OK);
    assert_int_equal(csl_schema_seal(s, NULL), CSL_OK);
    snprintf(path, sizeof(path), "%s/model.h5", folder);
    assert_int_equal(csl_model_write(path, s, &info, parameters, NULL, 0, NULL, NULL), CSL_OK);
    free(s);
}

static void test_cli__model_inspect__shows_a_verified_model(void **state)
{
    (void)state;
    write_model();
    assert_int_equal(run("model inspect %/model.h5"), 0);
    assert_printed("study         heart-4");
    assert_printed("(verified)");
    assert_int_equal(run("model inspect %/model.h5 --json"), 0);
    struct csl_json_doc *doc = parse_output();
    uint64_t round = 0;
    assert_true(csl_json_as_u64(csl_json_get(csl_json_root(doc), "round"), &round));
    assert_int_equal(round, 9);
    csl_json_free(doc);
    put_file("junk.h5", "not a model");
    assert_int_equal(run("model inspect %/junk.h5"), 2);
    assert_printed("junk.h5: cannot be read as HDF5");
    assert_int_equal(run("model inspect %/absent.h5"), 2);
    assert_int_equal(run("model inspect %"), 2);
    assert_printed("is a folder");
    assert_int_equal(run("model inspect %/junk.h5 --json"), 2);
    assert_error_object("CORRUPT", "junk.h5: cannot be read as HDF5");
}

static void read_back(const char *name, struct csl_msg *bytes)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(csl_file_read(bytes, path, 1 << 20, NULL), CSL_OK);
}

static void test_cli__model_export_csv__reads_back_the_same_floats(void **state)
{
    struct csl_msg bytes = {0};

    (void)state;
    write_model();
    assert_int_equal(run("model export %/model.h5 --format csv --out %/model.csv"), 0);
    assert_printed("model.csv: csv, 3 parameters in 2 tensors");
    read_back("model.csv", &bytes);
    assert_string_equal((const char *)bytes.p, "block,tensor,index,value\n"
                                               "heart,heart.weight,0,0.100000001\n"
                                               "heart,heart.weight,1,-2.5\n"
                                               "heart,heart.bias,0,9.99999968e-21\n");
    csl_msg_release(&bytes);
    assert_int_equal(run("model export %/model.h5 --format csv --out %/model.csv --json"), 0);
    struct csl_json_doc *doc = parse_output();
    const char *text = NULL;
    assert_true(csl_json_as_str(csl_json_get(csl_json_root(doc), "path"), &text));
    assert_non_null(strstr(text, "/model.csv"));
    csl_json_free(doc);
    assert_int_equal(run("model export %/model.h5 --format csv"), 2);
    assert_printed("--out");
    assert_int_equal(run("model export %/model.h5 --out %/no/such/folder.npz"), 3);
    assert_printed("a folder that exists and can be written would be right");
    assert_int_equal(run("model export %/model.h5 --format xml --out %/x"), 2);
    assert_printed("npz, csv, safetensors or onnx would be right");
}

static void test_cli__model_export_onnx__needs_the_study_and_one_domain(void **state)
{
    (void)state;
    write_model();
    assert_int_equal(run("model export %/model.h5 --format onnx --out %/m.onnx"), 2);
    assert_printed(
        "study.yaml is not there; --study with the file of study heart-4 would be right");
    assert_int_equal(run("model export %/model.h5 --format onnx --study " STUDY " --out %/m.onnx"),
                     2);
    assert_printed("the file of that study would be right");
    assert_int_equal(
        run("model export %/model.h5 --format onnx --domain lung --study " STUDY " --out %/m.onnx"),
        2);
    assert_printed("--domain: found 'lung'");
    assert_int_equal(run("model export %/model.h5 --format csv --domain heart --out %/m.csv"), 2);
    assert_printed("--study and --domain are for --format onnx");
}

static void test_cli__model_export_safetensors__starts_with_the_length_of_its_header(void **state)
{
    struct csl_msg bytes = {0};

    (void)state;
    write_model();
    assert_int_equal(run("model export %/model.h5 --format safetensors --out %/m.safetensors"), 0);
    assert_printed("m.safetensors: safetensors, 3 parameters in 2 tensors");
    read_back("m.safetensors", &bytes);
    uint64_t header = 0;
    memcpy(&header, bytes.p, sizeof(header));
    assert_int_equal(bytes.n, 8 + header + 3 * sizeof(float));
    assert_memory_equal(bytes.p + 8, "{\"__metadata__\":", 16);
    csl_msg_release(&bytes);
}

/* The layout that NumPy reads, byte by byte at its fixed places; numpy.load itself has read such a
 * file when the writer was made. */
static void test_cli__model_export_npz__is_a_stored_zip_of_npy(void **state)
{
    struct csl_msg bytes = {0};
    const float expected[2] = {0.1F, -2.5F};

    (void)state;
    write_model();
    assert_int_equal(run("model export %/model.h5 --out %/model.npz"), 0);
    read_back("model.npz", &bytes);
    assert_memory_equal(bytes.p, "PK\003\004", 4);
    assert_memory_equal(bytes.p + 30,
                        "heart.weight.npy\x93NUMPY\x01\x00\xb6\x00{'descr': '<f4', "
                        "'fortran_order': False, 'shape': (1, 2), }",
                        16 + 10 + 59);
    assert_memory_equal(bytes.p + 30 + 16 + 192, expected, sizeof(expected));
    assert_memory_equal(bytes.p + bytes.n - 22, "PK\005\006\0\0\0\0\002\0\002\0", 12);
    csl_msg_release(&bytes);
}

static const char status_text[] =
    "{\"format\": \"consilium.status/1\", \"study\": \"heart-4\", \"state\": \"training\",\n"
    " \"round\": 3, \"rounds\": 15, \"updated_unix_ms\": 1700000000000, \"sites\": [\n"
    "  {\"id\": \"a\", \"connected\": true, \"state\": \"training\", \"patients\": 199,\n"
    "   \"last_error\": \"\"},\n"
    "  {\"id\": \"b\", \"connected\": false, \"state\": \"away\", \"patients\": 0,\n"
    "   \"last_error\": \"link \\u001b[31m lost\"}]}\n";

static void test_cli__status__shows_rounds_and_sites(void **state)
{
    (void)state;
    put_file("status.json", status_text);
    assert_int_equal(run("status %"), 0);
    assert_printed("study heart-4, training, round 3 of 15");
    assert_printed("199");
    assert_printed("the sites as they were at that time");
    assert_printed("link \\x1b[31m lost");
    assert_int_equal(run("status % --json"), 0);
    struct csl_json_doc *doc = parse_output();
    assert_int_equal(csl_json_count(csl_json_get(csl_json_root(doc), "sites")), 2);
    csl_json_free(doc);
}

static void test_cli__status__evaluations__are_sums_of_all_sites(void **state)
{
    (void)state;
    put_file("status.json",
             "{\"format\": \"consilium.status/1\", \"study\": \"heart-4\", \"state\": \"training\","
             " \"round\": 3, \"rounds\": 15, \"updated_unix_ms\": 1, \"sites\": [],"
             " \"evaluations\": [{\"domain\": \"heart\", \"round\": 2, \"sites\": 4,"
             " \"patients\": 185, \"records\": 186, \"loss\": 0.5, \"auc\": 0.875},"
             " {\"domain\": \"x\\u001b\", \"round\": \"?\", \"auc\": null}]}");
    assert_int_equal(run("status %"), 0);
    assert_printed("evaluations, all sites together (sum under masks):\nheart, model of round 2, "
                   "185 test patients of 4 sites:  loss 0.500  auc 0.875\nx\\x1b, model of");
    assert_int_equal(run("status % --json"), 0);
    struct csl_json_doc *doc = parse_output();
    const struct csl_json_value *all = csl_json_get(csl_json_root(doc), "evaluations");
    const struct csl_json_value *metrics = csl_json_get(csl_json_at(all, 0), "metrics");
    double auc = 0;
    assert_int_equal(csl_json_count(all), 2);
    assert_int_equal(csl_json_count(metrics), 2);
    assert_true(csl_json_as_f64(csl_json_get(metrics, "auc"), &auc) && auc == 0.875);
    assert_int_equal(csl_json_count(csl_json_get(csl_json_at(all, 1), "metrics")), 0);
    csl_json_free(doc);
}

static void test_cli__status__rejected_rounds__with_norm_and_limit(void **state)
{
    (void)state;
    put_file("status.json",
             "{\"format\": \"consilium.status/1\", \"study\": \"heart-4\", \"state\": \"training\","
             " \"round\": 9, \"rounds\": 15, \"updated_unix_ms\": 1, \"sites\": [],"
             " \"gate\": {\"rejected\": 3, \"rounds\": [{\"round\": 7, \"block\": \"heart\","
             " \"norm\": 3.5, \"limit\": 0.25}, {\"round\": 8, \"block\": \"x\\u001b\"},"
             " {\"round\": 9, \"by\": \"vote\", \"worse\": 5, \"voters\": 8}]}}");
    assert_int_equal(run("status %"), 0);
    assert_printed("round 7, heart: norm 3.5, at most 0.25\nround 8, x\\x1b:\n"
                   "round 9: 5 of 8 votes say worse\n");
    assert_int_equal(run("status % --json"), 0);
    struct csl_json_doc *doc = parse_output();
    const struct csl_json_value *all = csl_json_get(csl_json_root(doc), "rejected_rounds");
    double norm = 0;
    uint64_t worse = 0;
    assert_int_equal(csl_json_count(all), 3);
    assert_true(csl_json_as_u64(csl_json_get(csl_json_at(all, 2), "worse"), &worse) && worse == 5);
    assert_true(csl_json_as_f64(csl_json_get(csl_json_at(all, 0), "norm"), &norm) && norm == 3.5);
    csl_json_free(doc);
}

static void test_cli__status__aborted__says_why(void **state)
{
    (void)state;
    put_file("status.json", "{\"format\": \"consilium.status/1\", \"study\": \"heart-4\", "
                            "\"state\": \"aborted\", \"reason\": \"5 attempts\", \"round\": 1, "
                            "\"rounds\": 3, \"updated_unix_ms\": 1, \"sites\": []}");
    assert_int_equal(run("status %"), 0);
    assert_printed("reason: 5 attempts\n");
    assert_int_equal(run("status % --json"), 0);
    assert_printed("\"reason\": \"5 attempts\"");
}

static void test_cli__status__of_something_else_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run("status /nonexistent"), 2);
    assert_printed("no status.json in /nonexistent; a coordinator's state folder");
    assert_int_equal(run("status /nonexistent --json"), 2);
    assert_error_object("NOTFOUND", "OUT/state/RUN/coordinator/state");
    put_file("status.json", "{\"format\": \"other/1\"}");
    assert_int_equal(run("status %"), 2);
    assert_printed("format consilium.status/1 would be right");
    put_file("status.json", "{\"format\": \"consilium.status/1\"}");
    assert_int_equal(run("status %"), 2);
    put_file("status.json", "[1");
    assert_int_equal(run("status %"), 2);
    assert_int_equal(run("status"), 2);
}

static void test_cli__simulate__flags_that_exclude_each_other_are_usage(void **state)
{
    (void)state;
    assert_int_equal(run("simulate " STUDY " --seeds 1..2 --seed 3 --out %/sim"), 2);
    assert_printed("found both --seed and --seeds");
    assert_int_equal(run("simulate " STUDY " --seed=3 --seeds 1..2 --out %/sim"), 2);
    assert_int_equal(run("simulate % --out %/sim"), 2);
    assert_printed("is a folder; a file would be right");
    assert_int_equal(run("simulate " STUDY " --out /proc/consilium"), 3);
    assert_printed("a folder that can be written would be right");
}

static void test_cli__simulate__prices_that_do_not_ascend_are_usage(void **state)
{
    static const char *const wrong[] = {"1,0.5", "1,1",  "inf,2", "1,,2", "0,1", "-1",
                                        "nan",   "1,2,", "1;2",   "1 ,2", "x",   "1,inf,inf"};
    char line[256];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void)snprintf(line, sizeof(line), "simulate " STUDY " --epsilon '%s' --out %%/sim",
                       wrong[i]);
        assert_int_equal(run(line), 2);
        assert_printed("such as 0.5,1,2,8,inf, would be right");
    }
    assert_int_equal(
        run("simulate " STUDY " --epsilon 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17 --out %/sim"),
        2);
    assert_printed("at most 16 ascending numbers");
}

static void test_cli__simulate__privacy_flags_without_privacy_are_refused(void **state)
{
    (void)state;
    assert_int_equal(run("simulate " STUDY " --epsilon 1,inf --out %/sim"), 2);
    assert_printed("has none, and an epsilon needs its mode, delta and clip");
    assert_int_equal(run("simulate " STUDY " --audit 10 --out %/sim"), 2);
    assert_printed("which has no privacy to audit");
    assert_int_equal(run("simulate " STUDY " --audit 10 --transport grpc --out %/sim"), 2);
    assert_printed("--transport inproc would be right");
}

static void test_cli__simulate__few_shot_without_what_it_needs__is_refused(void **state)
{
    (void)state;
    assert_int_equal(run("simulate " STUDY " --few-shot --out %/sim"), 2);
    assert_printed("found it without --leave-one-out");
    assert_int_equal(run("simulate " STUDY " --leave-one-out --few-shot --out %/sim"), 2);
    assert_printed("has no section 'personalisation'");
    assert_int_equal(run("simulate simulations/scenarios/ptbxl-multimodal.yaml --leave-one-out "
                         "--few-shot --out %/sim"),
                     2);
    assert_printed("belong to several");
    assert_int_equal(run("simulate " STUDY " --sites 1 --leave-one-out --out %/sim"), 2);
    assert_printed("--leave-one-out: without site cleveland: study flamby-heart-fedavg has 1");
}

static void test_cli__simulate__masks_off_only_where_there_are_some_and_in_one_process(void **state)
{
    (void)state;
    assert_int_equal(run("simulate " STUDY " --masks off --out %/sim"), 2);
    assert_printed("a section 'secure_aggregation' would be right");
    assert_int_equal(run("simulate " STUDY " --masks off --transport grpc --out %/sim"), 2);
    assert_printed("whose programs cannot leave masks out");
}

static void test_cli__simulate__attacks_only_in_one_process(void **state)
{
    (void)state;
    assert_int_equal(run("simulate " ATTACKED " --transport grpc --out %/sim"), 2);
    assert_printed("site lyon has an 'attack'");
    assert_printed("--transport inproc would be right");
    assert_int_equal(run("simulate " ATTACKED " --rounds 2 --out %/sim"), 0);
    assert_printed("ATTACK: site lyon, backdoor, factor 5, share 0.5; the model gives ");
}

static void test_cli__man_and_completion__come_from_the_tables(void **state)
{
    (void)state;
    assert_int_equal(run("man"), 0);
    assert_int_equal(strncmp(output, "consilium(1)\n", 13), 0);
    assert_printed("## study");
    assert_printed("*--format* _CHOICE_");
    assert_int_equal(run("completion bash"), 0);
    assert_printed("verbs='inspect export card'");
    assert_printed("--json --format --out");
    assert_int_equal(run("completion bash | bash -n"), 0);
    assert_int_equal(run("completion tcsh"), 2);
}

static void test_cli__reader_gone__is_a_failure_not_a_signal(void **state)
{
    (void)state;
    assert_int_equal(run("man > /dev/full"), 3);
    assert_printed("cannot write the output");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli__no_or_unknown_command__is_usage),
        cmocka_unit_test(test_cli__version_and_overview__exit_0),
        cmocka_unit_test(test_cli__every_command__has_help_with_usage),
        cmocka_unit_test(test_cli__study_check__says_what_is_revealed),
        cmocka_unit_test(test_cli__study_check__of_a_wrong_file_names_the_place),
        cmocka_unit_test(test_cli__study_show__lists_every_default),
        cmocka_unit_test(test_cli__model_inspect__shows_a_verified_model),
        cmocka_unit_test(test_cli__model_export_csv__reads_back_the_same_floats),
        cmocka_unit_test(test_cli__model_export_onnx__needs_the_study_and_one_domain),
        cmocka_unit_test(test_cli__model_export_safetensors__starts_with_the_length_of_its_header),
        cmocka_unit_test(test_cli__model_export_npz__is_a_stored_zip_of_npy),
        cmocka_unit_test(test_cli__status__shows_rounds_and_sites),
        cmocka_unit_test(test_cli__status__evaluations__are_sums_of_all_sites),
        cmocka_unit_test(test_cli__status__rejected_rounds__with_norm_and_limit),
        cmocka_unit_test(test_cli__status__aborted__says_why),
        cmocka_unit_test(test_cli__status__of_something_else_is_refused),
        cmocka_unit_test(test_cli__simulate__flags_that_exclude_each_other_are_usage),
        cmocka_unit_test(test_cli__simulate__prices_that_do_not_ascend_are_usage),
        cmocka_unit_test(test_cli__simulate__privacy_flags_without_privacy_are_refused),
        cmocka_unit_test(test_cli__simulate__attacks_only_in_one_process),
        cmocka_unit_test(test_cli__simulate__few_shot_without_what_it_needs__is_refused),
        cmocka_unit_test(
            test_cli__simulate__masks_off_only_where_there_are_some_and_in_one_process),
        cmocka_unit_test(test_cli__man_and_completion__come_from_the_tables),
        cmocka_unit_test(test_cli__reader_gone__is_a_failure_not_a_signal),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_cli PROGRAM\n");
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, setup, teardown);
}
