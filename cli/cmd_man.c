/* cli/cmd_man.c - `consilium man` and `consilium completion bash`: both are printed from the same
 * tables as --help, so they cannot fall behind. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const char *const man_usage[] = {"", NULL};
static const char *const man_examples[] = {"consilium man | scdoc > consilium.1", NULL};
const struct csl_cli_doc csl_doc_man = {
    .name = "man",
    .summary = "print the manual page as scdoc source",
    .usage = man_usage,
    .examples = man_examples,
};
static const char *const completion_usage[] = {"bash", NULL};
static const char *const completion_verbs[] = {"bash", NULL};
static const char *const completion_examples[] = {
    "consilium completion bash > /etc/bash_completion.d/consilium", NULL};
const struct csl_cli_doc csl_doc_completion = {
    .name = "completion",
    .summary = "print a completion script for the shell",
    .usage = completion_usage,
    .verbs = completion_verbs,
    .examples = completion_examples,
};

/* scdoc reads *, _ and \ as marks. */
static void put_scdoc(struct csl_buf *out, const char *text)
{
    for (; *text; text++)
        csl_buf_printf(out, strchr("*_\\", *text) ? "\\%c" : "%c", *text);
}

static void man_command(const struct csl_cli_entry *e, struct csl_buf *out)
{
    csl_buf_printf(out, "## %s\n\n", e->name);
    put_scdoc(out, e->doc ? e->doc->summary : e->summary);
    csl_buf_str(out, ".\n\n");
    if (!e->doc) {
        csl_buf_printf(out, "*consilium help %s* lists its options.\n\n", e->name);
        return;
    }
    for (size_t i = 0; e->doc->usage[i]; i++) {
        csl_buf_printf(out, "*consilium %s* ", e->name);
        put_scdoc(out, e->doc->usage[i]);
        csl_buf_str(out, "\n\n");
    }
    if (e->doc->options)
        csl_option_man(e->doc->options, out);
    if (e->doc->notes) {
        put_scdoc(out, e->doc->notes);
        csl_buf_str(out, "\n\n");
    }
    for (size_t i = 0; e->doc->examples[i]; i++) {
        csl_buf_str(out, i ? "\t" : "Example:\n\n\t");
        put_scdoc(out, e->doc->examples[i]);
        csl_buf_str(out, "\n\n");
    }
}

int csl_cmd_man(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct csl_buf out;
    int status = 0;

    if (!csl_cli_start(&csl_doc_man, NULL, argc, argv, &line, &status))
        return status;
    if (line.positional_count != 0)
        return csl_cli_misuse(&csl_doc_man, "found '%s'; no word would be right",
                              line.positional[0]);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    csl_buf_str(&out, "consilium(1)\n\n# NAME\n\nconsilium - train one model with many hospitals, "
                      "without moving patient records\n\n# SYNOPSIS\n\n*consilium* _COMMAND_ "
                      "[options]\n\n# COMMANDS\n\n");
    for (const struct csl_cli_entry *e = csl_cli_entries; e->name; e++) {
        if (e->run)
            man_command(e, &out);
    }
    csl_buf_str(&out, "# EXIT STATUS\n\n*0*\n\tDone.\n\n*1*\n\tA negative answer: verification "
                      "failed, budget refused, data not ready.\n\n*2*\n\tUsage or bad input: the "
                      "message names file, "
                      "line and field, what was found and what would be right.\n\n*3*\n\tA peer or "
                      "the system failed.\n");
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

static void complete_command(const struct csl_cli_entry *e, struct csl_buf *out)
{
    const struct csl_cli_doc *doc = e->doc;

    csl_buf_printf(out, "    %s)\n        verbs='", e->name);
    for (size_t i = 0; doc && doc->verbs && doc->verbs[i]; i++)
        csl_buf_printf(out, "%s%s", i ? " " : "", doc->verbs[i]);
    csl_buf_str(out, "'\n        flags='--help");
    for (const struct csl_option *row = doc ? doc->options : NULL; row && row->name; row++) {
        csl_buf_str(out, " --");
        for (const char *c = row->name; *c; c++)
            csl_buf_u8(out, (uint8_t)(*c == '_' ? '-' : *c));
    }
    csl_buf_str(out, "' ;;\n");
}

static void print_bash(struct csl_buf *out)
{
    csl_buf_str(out, "# bash completion for consilium, printed by `consilium completion bash`\n"
                     "_consilium()\n{\n"
                     "    local word=${COMP_WORDS[COMP_CWORD]} verbs='' flags='--help'\n"
                     "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                     "        COMPREPLY=($(compgen -W '");
    for (const struct csl_cli_entry *e = csl_cli_entries; e->name; e++) {
        if (e->run)
            csl_buf_printf(out, "%s ", e->name);
    }
    csl_buf_str(out, "help --help --version' -- \"$word\"))\n        return\n    fi\n"
                     "    case ${COMP_WORDS[1]} in\n");
    for (const struct csl_cli_entry *e = csl_cli_entries; e->name; e++) {
        if (e->run)
            complete_command(e, out);
    }
    csl_buf_str(out, "    esac\n"
                     "    if [ \"${word#-}\" != \"$word\" ]; then\n"
                     "        COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
                     "    elif [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"$verbs\" ]; then\n"
                     "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$word\"))\n"
                     "    else\n"
                     "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
                     "    fi\n}\n"
                     "complete -o filenames -F _consilium consilium\n");
}

int csl_cmd_completion(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct csl_buf out;
    int status = 0;

    if (!csl_cli_start(&csl_doc_completion, NULL, argc, argv, &line, &status))
        return status;
    if (line.positional_count != 1 || strcmp(line.positional[0], "bash") != 0)
        return csl_cli_misuse(&csl_doc_completion, "which shell? bash would be right");
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    print_bash(&out);
    return csl_cli_print(&out, CSL_EXIT_DONE);
}
