/* cli/cmd_report.c - `consilium report`: draws the page of a run again, from its files alone. */
#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"
#include "simulations/run.h"

#include <stdio.h>

struct flags {
    char out[CSL_PATH_MAX];
};
static const struct csl_option options[] = {
    {.name = "out",
     .type = CSL_OPT_PATH,
     .offset = offsetof(struct flags, out),
     .size = sizeof(((struct flags *)0)->out),
     .fallback = "",
     .help = "Where the page is written; RUN/report.html without it."},
    CSL_OPTION_END,
};
static const char *const usage[] = {"RUN [--out FILE]", NULL};
static const char *const examples[] = {"consilium report out/demo",
                                       "consilium report out/demo --out heart.html", NULL};

const struct csl_cli_doc csl_doc_report = {
    .name = "report",
    .summary = "draw the report of a finished run again from its summary.json and metrics.csv",
    .usage = usage,
    .options = options,
    .examples = examples,
};

int csl_cmd_report(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct flags flags = {0};
    struct csl_result result = {0};
    struct csl_err err = {0};
    int status = 0;

    if (!csl_cli_start(&csl_doc_report, &flags, argc, argv, &line, &status))
        return status;
    if (line.positional_count != 1)
        return csl_cli_misuse(&csl_doc_report,
                              "found %zu word%s; the folder of one run would be right",
                              line.positional_count, csl_str_plural(line.positional_count));
    enum csl_code code = csl_run_read_files(&result, line.positional[0], &err);
    if (code == CSL_OK && flags.out[0] == 0)
        code = csl_path_join(flags.out, sizeof(flags.out), line.positional[0], "report.html", &err);
    if (code == CSL_OK)
        code = csl_run_write_report(&result, flags.out, &err);
    csl_result_release(&result);
    if (code != CSL_OK)
        return csl_cli_fail(&csl_doc_report, &err);
    (void)printf("%s\n", flags.out);
    return CSL_EXIT_DONE;
}
