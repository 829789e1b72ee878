/* cli/cmd_study.c - `consilium study check|show`. */
#include "base/str.h"
#include "cli/cli.h"
#include "cli/study_json.h"
#include "protocol/study/study.h"

#include <string.h>

struct flags {
    bool json;
};
static const struct csl_option options[] = {
    {.name = "json",
     .type = CSL_OPT_BOOL,
     .offset = offsetof(struct flags, json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    CSL_OPTION_END,
};
static const char *const usage[] = {"check FILE [--json]", "show FILE [--json]", NULL};
static const char *const verbs[] = {"check", "show", NULL};
static const char *const examples[] = {
    "consilium study check simulations/scenarios/flamby-heart-fedavg.yaml",
    "consilium study show study.yaml --json", NULL};

const struct csl_cli_doc csl_doc_study = {
    .name = "study",
    .summary = "check a study file and say what it would reveal, to whom, at what privacy price",
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
    return csl_cli_misuse(&csl_doc_study, "found '%s'; check or show would be right",
                          line.positional[0]);
}
