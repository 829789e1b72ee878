/* cli/cmd_study.c - `consilium study check|show|publish|scale`. */
#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/study_json.h"
#include "cli/study_publish.h"
#include "cli/study_scale.h"
#include "protocol/study/study.h"

#include <string.h>

struct flags {
    char state[CSL_PATH_MAX], statistics[CSL_PATH_MAX], out[CSL_PATH_MAX];
    bool json;
};
static const struct csl_option options[] = {
    {.name = "statistics",
     .type = CSL_OPT_PATH,
     .offset = offsetof(struct flags, statistics),
     .size = sizeof(((struct flags *)0)->statistics),
     .fallback = "",
     .help = "The statistics.json of a census (scale)."},
    {.name = "state",
     .type = CSL_OPT_PATH,
     .offset = offsetof(struct flags, state),
     .size = sizeof(((struct flags *)0)->state),
     .fallback = "",
     .help = "The state folder of a coordinator that has finished a census (publish)."},
    {.name = "out",
     .type = CSL_OPT_PATH,
     .offset = offsetof(struct flags, out),
     .size = sizeof(((struct flags *)0)->out),
     .fallback = "",
     .help = "Where the statistics or the scaled study are written (publish, scale)."},
    {.name = "json",
     .type = CSL_OPT_BOOL,
     .offset = offsetof(struct flags, json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    CSL_OPTION_END,
};
static const char *const usage[] = {"check FILE [--json]", "show FILE [--json]",
                                    "publish FILE --state DIR --out FILE",
                                    "scale FILE --statistics FILE --out FILE", NULL};
static const char *const verbs[] = {"check", "show", "publish", "scale", NULL};
static const char *const examples[] = {
    "consilium study check simulations/scenarios/flamby-heart-fedavg.yaml",
    "consilium study show study.yaml --json",
    "consilium study scale study.yaml --statistics out/heart-census/statistics.json --out "
    "scaled.yaml",
    NULL};

const struct csl_cli_doc csl_doc_study = {
    .name = "study",
    .summary =
        "check a study file and say what it would reveal, to whom, at what privacy price; scale "
        "its features by published statistics",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
};

static int check(const char *path, bool is_json)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    struct csl_buf out, text;
    struct csl_json j;
    enum csl_code code = csl_study_read(&s, path, &err);

    if (code != CSL_OK && !is_json)
        return csl_cli_fail(&csl_doc_study, &err);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (!is_json) {
        csl_study_explain(s, &out);
        csl_buf_printf(&out, "%s: the study is valid.\n", path);
        csl_study_free(s);
        return csl_cli_print(&out, CSL_EXIT_DONE);
    }
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.study-check/1");
    csl_json_put_bool(&j, "valid", code == CSL_OK);
    if (code == CSL_OK) {
        csl_buf_init(&text, CSL_CLI_OUTPUT_MAX);
        csl_study_explain(s, &text);
        csl_json_put_str(&j, "study", s->id);
        csl_cli_put_digest(&j, "study_digest", s->digest);
        csl_json_put_str(&j, "explanation", csl_buf_text(&text));
        csl_buf_release(&text);
    } else {
        csl_json_put_str(&j, "error", err.msg);
    }
    csl_json_end(&j);
    csl_buf_str(&out, "\n");
    csl_study_free(s);
    return csl_cli_print(&out, code == CSL_OK ? CSL_EXIT_DONE : CSL_EXIT_USAGE);
}

static int show(const char *path, bool is_json)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    struct csl_buf out;

    if (csl_study_read(&s, path, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_study, &err, is_json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (is_json)
        csl_cli_study_json(s, &out);
    else
        csl_cli_study_text(s, &out);
    csl_study_free(s);
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

static enum csl_code write_statistics(const struct csl_statistics_report *r, const char *path,
                                      struct csl_err *err)
{
    struct csl_buf text;

    csl_buf_init(&text, CSL_STATISTICS_BYTES_MAX);
    csl_statistics_write(r, &text);
    enum csl_code code = csl_buf_status(&text, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(text.p, text.n), 0644, err);
    csl_buf_release(&text);
    return code;
}

static int publish(const char *path, const struct flags *flags)
{
    struct csl_study *s = NULL;
    struct csl_statistics_report report = {.domains = NULL};
    struct csl_err err = {0};
    struct csl_buf out;

    if (flags->state[0] == '\0' || flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_study, "publish needs --state and --out");
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    enum csl_code code = csl_study_read(&s, path, &err);
    if (code == CSL_OK)
        code = csl_cli_study_publish(s, flags->state, &report, &err);
    if (code == CSL_OK)
        code = write_statistics(&report, flags->out, &err);
    if (code == CSL_OK)
        csl_statistics_print(&report, &out);
    csl_statistics_report_release(&report);
    csl_study_free(s);
    if (code == CSL_OK)
        return csl_cli_print(&out, CSL_EXIT_DONE);
    csl_buf_release(&out);
    return csl_cli_fail(&csl_doc_study, &err);
}

static int scale(const char *path, const struct flags *flags)
{
    struct csl_study *s = NULL;
    struct csl_statistics_report report = {.domains = NULL};
    struct csl_err err = {0};
    struct csl_buf out, told;

    if (flags->statistics[0] == '\0' || flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_study, "scale needs --statistics and --out");
    csl_buf_init(&out, CSL_MANIFEST_BYTES_MAX);
    csl_buf_init(&told, CSL_CLI_OUTPUT_MAX);
    enum csl_code code = csl_study_read(&s, path, &err);
    if (code == CSL_OK && s->census.is_on)
        code = CSL_FAIL(&err, CSL_E_INVAL, "%s: a census scales nothing", path);
    if (code == CSL_OK)
        code = csl_statistics_read(&report, flags->statistics, &err);
    if (code == CSL_OK)
        code = csl_cli_study_scale(s, path, &report, &out, &told, &err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(flags->out, CSL_SPAN(out.p, out.n), 0644, &err);
    csl_statistics_report_release(&report);
    csl_study_free(s);
    csl_buf_release(&out);
    if (code == CSL_OK) {
        csl_buf_printf(&told, "written: %s\n", flags->out);
        return csl_cli_print(&told, CSL_EXIT_DONE);
    }
    csl_buf_release(&told);
    return csl_cli_fail(&csl_doc_study, &err);
}

int csl_cmd_study(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct flags flags = {0};
    int status = 0;

    if (!csl_cli_start(&csl_doc_study, &flags, argc, argv, &line, &status))
        return status;
    if (line.positional_count != 2)
        return csl_cli_misuse(&csl_doc_study,
                              "found %zu word%s; a verb and one study file would be right",
                              line.positional_count, csl_str_plural(line.positional_count));
    if (strcmp(line.positional[0], "check") == 0)
        return check(line.positional[1], flags.json);
    if (strcmp(line.positional[0], "show") == 0)
        return show(line.positional[1], flags.json);
    if (strcmp(line.positional[0], "publish") == 0)
        return publish(line.positional[1], &flags);
    if (strcmp(line.positional[0], "scale") == 0)
        return scale(line.positional[1], &flags);
    return csl_cli_misuse(&csl_doc_study,
                          "found '%s'; check, show, publish or scale would be right",
                          line.positional[0]);
}
