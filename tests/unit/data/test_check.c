/* The two reports, and the command in front of them. */
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "protocol/study/study.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t check_text(const struct csl_records *r, const struct csl_study *study,
                           struct csl_buf *out)
{
    struct csl_err err;
    uint32_t problems = UINT32_MAX;
    csl_buf_init(out, 1u << 20);
    ASSERT_OK(csl_records_check(r, study, out, NULL, &problems, &err), &err);
    return problems;
}

static void assert_says(const struct csl_buf *out, const char *text)
{
    if (strstr(csl_buf_text(out), text) == NULL)
        fail_msg("'%s' is not in:\n%s", text, csl_buf_text(out));
}

static void test_check__counts__are_those_of_the_records(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_buf out;
    small_records(&r);
    assert_int_equal(check_text(&r, NULL, &out), 0);
    assert_says(&out, "site lyon: 5 patients, 6 records");
    assert_says(&out, "train           3 patients      4 records");
    assert_says(&out, "  train      by class 2 2, 0 unknown");
    assert_says(&out, "  train      by class 1 1 1, 1 unknown");
    assert_says(&out, "  train      2 events, 2 censored, 0 unknown");
    csl_buf_release(&out);
    csl_records_release(&r);
}

static void test_check__suspicious_values__are_warned_about(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_buf out;
    small_records(&r);
    struct csl_record_modality *m = &r.modalities[0];
    for (uint32_t i = 0; i < 6; i++)
        m->values[2 * i + 1] = i < 4 ? NAN : 2.0f;
    m->values[0] = 101.5f; /* range to 100 */
    memcpy(r.modalities[2].values + 5 * 6, r.modalities[2].values, 6 * sizeof(float));
    for (uint32_t i = 0; i < 6; i++)
        r.labels[0].value[i] = i < 4 ? 1 : -1;
    r.labels[2].event[1] = r.labels[2].event[3] = 0.0f;
    assert_int_equal(check_text(&r, NULL, &out), 0);
    assert_says(&out, "warning: feature b of tabular is missing in 4 of 6 records");
    assert_says(&out, "warning: feature a of tabular is outside 0 to 100 in 1 record (");
    assert_says(&out, "lead: 1 record equals another one, 1 of them one in another split");
    assert_says(&out, "label ill: every known record of the train split is of one class");
    assert_says(&out, "label life: the train split has no event");
    assert_null(strstr(csl_buf_text(&out), "101"));
    csl_buf_release(&out);
    csl_records_release(&r);
}

static void test_check__no_training_patient__is_a_problem(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_buf out;
    small_records(&r);
    memset(r.split, 2, r.patient_count);
    assert_int_equal(check_text(&r, NULL, &out), 1);
    assert_says(&out, "problem: no patient is in the training split");
    csl_buf_release(&out);
    csl_records_release(&r);
}

static void test_check__study_that_does_not_fit__is_a_problem(void **state)
{
    (void)state;
    static const char *const names[2] = {"a", "pulse"}, *const ab[2] = {"a", "b"};
    struct csl_records r;
    struct csl_buf out;
    struct test_study t;
    small_records(&r);
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, names, 2);
    assert_int_equal(check_text(&r, &t.study, &out), 2);
    assert_says(&out, "'pulse'");
    assert_says(&out, "can train none of the domains");
    csl_buf_release(&out);
    study_of_table(&t, "ill", CSL_TASK_BINARY, 2, ab, 2);
    memcpy(t.features[1].unit, "mmol/l", 7);
    t.features[1].range_max = 3.0;
    assert_int_equal(check_text(&r, &t.study, &out), 1);
    assert_says(&out, "feature b is in mg here and in mmol/l in the study");
    assert_says(&out, "feature b of tabular is outside 0 to 3 in 4 records");
    csl_buf_release(&out);
    csl_records_release(&r);
}

/* No number of one patient, no key of one, in either report of a file of five patients. */
static void test_describe__few_patients__withholds_what_could_be_one(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_buf out;
    struct csl_err err;
    struct csl_json json;
    small_records(&r);
    for (uint32_t i = 0; i < 3; i++) /* feature b known for one patient alone */
        r.modalities[0].values[2 * i + 1] = NAN;
    r.modalities[0].values[2 * 4 + 1] = r.modalities[0].values[2 * 5 + 1] = NAN;
    r.modalities[0].values[2 * 3 + 1] = 123.456f;
    csl_buf_init(&out, 1u << 20);
    ASSERT_OK(csl_records_describe(&r, &out, NULL, &err), &err);
    assert_says(&out, "withheld (fewer than 5 patients)");
    assert_says(&out, "in groups of fewer than 5: 4 patients; unknown: 1");
    assert_null(strstr(csl_buf_text(&out), "123.4"));
    assert_null(strstr(csl_buf_text(&out), "p3"));
    assert_null(strstr(csl_buf_text(&out), "female"));
    csl_buf_release(&out);
    csl_buf_init(&out, 1u << 20);
    csl_json_init(&json, &out, false);
    ASSERT_OK(csl_records_describe(&r, NULL, &json, &err), &err);
    assert_null(strstr(csl_buf_text(&out), "123.4"));
    assert_null(strstr(csl_buf_text(&out), "p3"));
    struct csl_json_doc *doc;
    ASSERT_OK(csl_json_parse(&doc, "describe", CSL_SPAN(out.p, out.n), &err), &err);
    const struct csl_json_value *m = csl_json_at(csl_json_get(csl_json_root(doc), "modalities"), 0);
    const struct csl_json_value *b = csl_json_at(csl_json_get(m, "features"), 1);
    assert_non_null(b);
    assert_null(csl_json_get(b, "mean"));
    csl_json_free(doc);
    csl_buf_release(&out);
    csl_records_release(&r);
}

static void test_check__json__counts_the_findings_it_lists(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_buf out;
    struct csl_err err;
    struct csl_json json;
    struct csl_json_doc *doc;
    uint32_t problems;
    uint64_t warnings, counted;
    small_records(&r);
    memset(r.split, 0, r.patient_count);
    csl_buf_init(&out, 1u << 20);
    csl_json_init(&json, &out, true);
    ASSERT_OK(csl_records_check(&r, NULL, NULL, &json, &problems, &err), &err);
    ASSERT_OK(csl_json_parse(&doc, "check", CSL_SPAN(out.p, out.n), &err), &err);
    const struct csl_json_value *root = csl_json_root(doc);
    assert_true(csl_json_as_u64(csl_json_get(root, "warnings"), &warnings));
    assert_true(csl_json_as_u64(csl_json_get(root, "problems"), &counted));
    assert_int_equal(counted, problems);
    assert_true(warnings > 0);
    assert_int_equal(csl_json_count(csl_json_get(root, "findings")), warnings + problems);
    csl_json_free(doc);
    csl_buf_release(&out);
    csl_records_release(&r);
}

/* --- the command --- */

/* Runs `data WORDS...` with stdout in a file of the scratch folder. */
static int run(const char *const *words, struct csl_msg *printed)
{
    char *argv[16] = {NULL};
    struct csl_err err;
    int argc = 0, old = dup(STDOUT_FILENO);
    for (argv[argc++] = csl_strdup("data"); words[argc - 1] != NULL; argc++)
        argv[argc] = csl_strdup(words[argc - 1]);
    fflush(stdout);
    assert_non_null(freopen(scratch("stdout"), "wb", stdout));
    int status = csl_cmd_data(argc, argv);
    fflush(stdout);
    assert_true(dup2(old, STDOUT_FILENO) >= 0);
    close(old);
    for (int i = 0; i < argc; i++)
        csl_free(argv[i]);
    ASSERT_OK(csl_file_read(printed, scratch("stdout"), 1u << 24, &err), &err);
    return status;
}

#define RUN(printed, ...) run((const char *const[]){__VA_ARGS__, NULL}, printed)

static void test_cmd_data__synth_check_describe__work_together(void **state)
{
    (void)state;
    struct csl_msg text;
    char file[640], out[640];
    snprintf(out, sizeof(out), "--out=%s", scratch(""));
    assert_int_equal(RUN(&text, "synth", out, "--sites", "2", "--patients", "60", "--json"), 0);
    assert_non_null(strstr((const char *)text.p, "\"best_scores\""));
    assert_non_null(strstr((const char *)text.p, "\"turin\""));
    csl_msg_release(&text);
    memcpy(file, scratch("turin.h5"), sizeof(file));
    assert_int_equal(RUN(&text, "check", file), 0);
    assert_non_null(strstr((const char *)text.p, "0 problems"));
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "describe", file), 0);
    assert_non_null(strstr((const char *)text.p, "modality ecg (signal, 64 x 3)"));
    csl_msg_release(&text);
}

static void test_cmd_data__import_and_a_file_that_is_not_ready__answer_one(void **state)
{
    (void)state;
    struct csl_msg text;
    char csv[640], map[640], out[640];
    memcpy(csv, scratch_text("t.csv", "x,y,set\n1,1,train\n2,0,train\n3,1,test\n"), sizeof(csv));
    memcpy(map,
           scratch_text("t.yaml", "format: consilium.mapping/1\nfeatures: [{name: x}]\n"
                                  "labels: [{name: y, kind: binary, positive: 1}]\n"
                                  "split: {column: set, train: train, test: test}\n"),
           sizeof(map));
    memcpy(out, scratch("t.h5"), sizeof(out));
    assert_int_equal(RUN(&text, "import", "--csv", csv, "--mapping", map, "--site", "lyon", "--out",
                         out, "--where", "set=train,test"),
                     0);
    assert_non_null(strstr((const char *)text.p, "site lyon, 3 patients, 3 records"));
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "check", out), 0);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "import", "--csv", csv, "--mapping", map, "--site", "lyon", "--out",
                         out, "--where", "set=test"),
                     0);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "check", out), 1);
    assert_non_null(strstr((const char *)text.p, "problem: no patient is in the training split"));
    csl_msg_release(&text);
}

static void test_cmd_data__bad_input__answers_two(void **state)
{
    (void)state;
    struct csl_msg text;
    char bad[640];
    memcpy(bad, scratch_text("bad.h5", "nothing"), sizeof(bad));
    assert_int_equal(RUN(&text, "check", bad), 2);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "check", "/nonexistent.h5"), 2);
    csl_msg_release(&text);
    memcpy(bad, scratch(""), sizeof(bad));
    assert_int_equal(RUN(&text, "check", bad, "--json"), 2);
    assert_non_null(strstr((const char *)text.p, "\"error\": {"));
    assert_non_null(strstr((const char *)text.p, "is a folder; a record file would be right"));
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "check"), 2);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "invent"), 2);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "synth"), 2);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "synth", "--colour", "red"), 2);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "import", "--csv", "a", "--npz", "b"), 2);
    csl_msg_release(&text);
    assert_int_equal(
        RUN(&text, "import", "--csv", "a", "--mapping", "b", "--site", "Not An Id", "--out", "c"),
        2);
    csl_msg_release(&text);
    assert_int_equal(RUN(&text, "import", "--csv", "a", "--mapping", "b", "--site", "s", "--out",
                         "c", "--where", "column"),
                     2);
    csl_msg_release(&text);
}

static void test_cmd_data__help__shows_an_example(void **state)
{
    (void)state;
    struct csl_msg text;
    assert_int_equal(RUN(&text, "--help"), 0);
    assert_non_null(strstr((const char *)text.p, "consilium data synth --out hospitals"));
    assert_non_null(strstr((const char *)text.p, "--mapping"));
    csl_msg_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check__counts__are_those_of_the_records),
        cmocka_unit_test(test_check__suspicious_values__are_warned_about),
        cmocka_unit_test(test_check__no_training_patient__is_a_problem),
        cmocka_unit_test(test_check__study_that_does_not_fit__is_a_problem),
        cmocka_unit_test(test_describe__few_patients__withholds_what_could_be_one),
        cmocka_unit_test(test_check__json__counts_the_findings_it_lists),
        cmocka_unit_test(test_cmd_data__synth_check_describe__work_together),
        cmocka_unit_test(test_cmd_data__import_and_a_file_that_is_not_ready__answer_one),
        cmocka_unit_test(test_cmd_data__bad_input__answers_two),
        cmocka_unit_test(test_cmd_data__help__shows_an_example),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
