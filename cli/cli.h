/* cli/cli.h - what the subcommands of `consilium` share. One file per subcommand; each defines
 * csl_cmd_NAME and, for help, man page and completion, csl_doc_NAME. One thread. */
#ifndef CSL_CLI_H
#define CSL_CLI_H
#include "base/buf.h"
#include "base/json.h"
#include "base/option.h"

enum csl_exit {
    CSL_EXIT_DONE,     /* 0 */
    CSL_EXIT_NEGATIVE, /* 1: a clear no: verification failed, data not ready, budget */
    CSL_EXIT_USAGE,    /* 2: usage or bad input */
    CSL_EXIT_FAILED    /* 3: the peer or the system failed */
};

#define CSL_CLI_OUTPUT_MAX (64u * 1024u * 1024u) /* bytes one command prints through a buffer */

struct csl_cli_doc {
    const char *name, *summary;       /* one line, without a full stop */
    const char *const *usage;         /* NULL-terminated: "check FILE", "show FILE" */
    const char *const *verbs;         /* NULL-terminated, for completion; NULL: none */
    const struct csl_option *options; /* NULL: none */
    const char *const *examples;      /* NULL-terminated: whole command lines */
    const char *notes;                /* paragraphs a user must read; NULL: none */
};

/* argv[0] is the subcommand's name. Weak: a build without a subcommand simply lacks it. */
#define CSL_CLI_COMMAND(name)                                                                      \
    int csl_cmd_##name(int argc, char *const *argv) __attribute__((weak));                         \
    extern const struct csl_cli_doc csl_doc_##name __attribute__((weak))
CSL_CLI_COMMAND(simulate);
CSL_CLI_COMMAND(study);
CSL_CLI_COMMAND(data);
CSL_CLI_COMMAND(privacy);
CSL_CLI_COMMAND(ledger);
CSL_CLI_COMMAND(enrol);
CSL_CLI_COMMAND(model);
CSL_CLI_COMMAND(status);
CSL_CLI_COMMAND(report);
CSL_CLI_COMMAND(completion);
CSL_CLI_COMMAND(man);

struct csl_cli_entry {
    const char *name, *summary;
    int (*run)(int argc, char *const *argv); /* NULL: not in this build */
    const struct csl_cli_doc *doc;           /* NULL: the subcommand describes itself */
};
extern const struct csl_cli_entry csl_cli_entries[]; /* name NULL ends it */

/* Reads the flags of `doc` into target. Returns true when the command should go on; otherwise
 * *status is what main returns (help was printed, or an error was). */
bool csl_cli_start(const struct csl_cli_doc *doc, void *target, int argc, char *const *argv,
                   struct csl_command_line *line, int *status);
void csl_cli_help(const struct csl_cli_doc *doc, struct csl_buf *out);
/* "consilium study: what was found; what would be right" on stderr; the exit status for err->code.
 */
int csl_cli_fail(const struct csl_cli_doc *doc, const struct csl_err *err);
/* The same, but with is_json {"error": {"code", "message"}} on stdout instead. */
int csl_cli_fail_as(const struct csl_cli_doc *doc, const struct csl_err *err, bool is_json);
/* A mistake on the command line, with the usage; CSL_EXIT_USAGE. */
int csl_cli_misuse(const struct csl_cli_doc *doc, const char *fmt, ...) CSL_PRINTF(2, 3);
/* Writes the buffer to stdout and releases it; `status`, or CSL_EXIT_FAILED when it cannot. */
int csl_cli_print(struct csl_buf *take_out, int status);

#endif
