#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

void csl_cli_help(const struct csl_cli_doc *doc, struct csl_buf *out)
{
    csl_buf_printf(out, "%s: %s.\n\n", doc->name, doc->summary);
    for (size_t i = 0; doc->usage[i]; i++)
        csl_buf_printf(out, "%s consilium %s%s%s\n", i ? "      " : "usage:", doc->name,
                       doc->usage[i][0] ? " " : "", doc->usage[i]);
    csl_buf_str(out, "\noptions:\n");
    if (doc->options)
        csl_option_help(doc->options, out);
    else
        csl_buf_str(out, "  -h, --help             This text.\n");
    if (doc->notes)
        csl_buf_printf(out, "\n%s\n", doc->notes);
    for (size_t i = 0; doc->examples[i]; i++)
        csl_buf_printf(out, "%s  %s\n", i ? "" : "\nexamples:\n", doc->examples[i]);
}

bool csl_cli_start(const struct csl_cli_doc *doc, void *target, int argc, char *const *argv,
                   struct csl_command_line *line, int *status)
{
    static const struct csl_option no_options[] = {CSL_OPTION_END};
    struct csl_err err = {0};
    enum csl_code code = csl_option_read_args(doc->options ? doc->options : no_options, target,
                                              argc, argv, line, &err);

    if (code != CSL_OK) {
        *status = csl_cli_fail(doc, &err);
        return false;
    }
    if (line->wants_help) {
        struct csl_buf out;
        csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
        csl_cli_help(doc, &out);
        *status = csl_cli_print(&out, CSL_EXIT_DONE);
        return false;
    }
    return true;
}

static enum csl_exit exit_for(enum csl_code code)
{
    bool is_input = code == CSL_E_INVAL || code == CSL_E_NOTFOUND || code == CSL_E_LIMIT ||
                    code == CSL_E_CORRUPT || code == CSL_E_UNSUPPORTED || code == CSL_E_PROTO ||
                    code == CSL_E_EXISTS;

    if (code == CSL_E_BUDGET)
        return CSL_EXIT_NEGATIVE;
    return is_input ? CSL_EXIT_USAGE : CSL_EXIT_FAILED;
}

int csl_cli_fail(const struct csl_cli_doc *doc, const struct csl_err *err)
{
    fprintf(stderr, "consilium %s: %s\n", doc->name, err->msg);
    return (int)exit_for(err->code);
}

int csl_cli_fail_as(const struct csl_cli_doc *doc, const struct csl_err *err, bool is_json)
{
    struct csl_buf out;
    struct csl_json j;

    if (!is_json)
        return csl_cli_fail(doc, err);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_key(&j, "error");
    csl_json_object(&j);
    csl_json_put_str(&j, "code", csl_code_name(err->code));
    csl_json_put_str(&j, "message", err->msg);
    csl_json_end(&j);
    csl_json_end(&j);
    csl_buf_str(&out, "\n");
    return csl_cli_print(&out, (int)exit_for(err->code));
}

int csl_cli_misuse(const struct csl_cli_doc *doc, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "consilium %s: ", doc->name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    for (size_t i = 0; doc->usage[i]; i++)
        fprintf(stderr, "\n%s consilium %s %s", i ? "      " : "usage:", doc->name, doc->usage[i]);
    fprintf(stderr, "\n");
    return CSL_EXIT_USAGE;
}

int csl_cli_print(struct csl_buf *take_out, int status)
{
    struct csl_err err = {0};
    bool is_written = csl_buf_status(take_out, &err) == CSL_OK &&
                      fwrite(csl_buf_text(take_out), 1, take_out->n, stdout) == take_out->n &&
                      fflush(stdout) == 0;

    csl_buf_release(take_out);
    if (is_written)
        return status;
    fprintf(stderr, "consilium: cannot write the output%s%s\n", err.msg[0] ? ": " : "", err.msg);
    return CSL_EXIT_FAILED;
}
