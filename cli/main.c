/* cli/main.c - `consilium`, the tool for people: finds the subcommand and runs it. */
#include "base/str.h"
#include "cli/cli.h"
#include "privacy/crypto/init.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

const struct csl_cli_entry csl_cli_entries[] = {
    {"simulate", "run a study with all its sites on this machine", csl_cmd_simulate,
     &csl_doc_simulate},
    {"study", "check a study file and say what it would reveal", csl_cmd_study, &csl_doc_study},
    {"data", "import, make, check and describe record files", csl_cmd_data, &csl_doc_data},
    {"privacy", "say what a study costs its patients; a calculator; an audit of a run",
     csl_cmd_privacy, &csl_doc_privacy},
    {"ledger", "show, verify, export and compare ledgers of what was spent", csl_cmd_ledger,
     &csl_doc_ledger},
    {"enrol", "make keys and certificates, and the list of sites", csl_cmd_enrol, &csl_doc_enrol},
    {"model", "look into a model file and export it", csl_cmd_model, &csl_doc_model},
    {"status", "show where a running coordinator stands", csl_cmd_status, &csl_doc_status},
    {"report", "make a report of a finished run", csl_cmd_report, &csl_doc_report},
    {"completion", "print a completion script for the shell", csl_cmd_completion,
     &csl_doc_completion},
    {"man", "print the manual page as scdoc source", csl_cmd_man, &csl_doc_man},
    {NULL, NULL, NULL, NULL},
};

static const struct csl_cli_entry *find(const char *name)
{
    for (const struct csl_cli_entry *e = csl_cli_entries; e->name; e++) {
        if (e->run && strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

static int print_overview(void)
{
    struct csl_buf out;

    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    csl_buf_str(&out, "consilium: one model, trained together by hospitals whose records stay at "
                      "home.\n\nusage: consilium COMMAND [options]\n\ncommands:\n");
    for (const struct csl_cli_entry *e = csl_cli_entries; e->name; e++) {
        if (e->run)
            csl_buf_printf(&out, "  %-12s %s\n", e->name, e->summary);
    }
    csl_buf_str(&out, "  help         help COMMAND says more\n\n"
                      "  --version    the version\n\n"
                      "exit status: 0 done, 1 negative answer, 2 usage or bad input, 3 failure.\n"
                      "example: consilium study check study.yaml\n");
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

/* Letters that differ, in order, of two short words (Levenshtein). */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t n = strnlen(b, 31);

    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; i < 31 && a[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 1; j <= n; j++) {
            unsigned best = diagonal + (a[i] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

static int unknown_command(const char *word)
{
    const struct csl_cli_entry *nearest = NULL;
    unsigned least = 3;
    char shown[64];

    csl_str_escape(shown, sizeof(shown), word, strlen(word));
    for (const struct csl_cli_entry *e = csl_cli_entries; e->name; e++) {
        unsigned d = distance(word, e->name);
        if (e->run && d < least) {
            least = d;
            nearest = e;
        }
    }
    fprintf(stderr, "consilium: found '%s', which is no command; ", shown);
    if (nearest)
        fprintf(stderr, "did you mean '%s'?\n", nearest->name);
    else
        fprintf(stderr, "'consilium --help' lists them\n");
    return CSL_EXIT_USAGE;
}

static int help(int argc, char *const *argv)
{
    const struct csl_cli_entry *e = argc > 2 ? find(argv[2]) : NULL;
    char flag[] = "--help";

    if (argc <= 2)
        return print_overview();
    if (!e)
        return unknown_command(argv[2]);
    char *const words[] = {argv[2], flag, NULL};
    return e->run(2, words);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    struct csl_err err = {0};

    /* A reader that goes away (`| head`) is an error of write, not a signal. */
    signal(SIGPIPE, SIG_IGN);
    if (!word) {
        fprintf(stderr, "consilium: which command? 'consilium --help' lists them\n");
        return CSL_EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return print_overview();
    if (strcmp(word, "--version") == 0) {
        printf("consilium %s\n", CSL_VERSION);
        return fflush(stdout) == 0 ? CSL_EXIT_DONE : CSL_EXIT_FAILED;
    }
    if (strcmp(word, "help") == 0)
        return help(argc, argv);
    const struct csl_cli_entry *e = find(word);
    if (!e)
        return unknown_command(word);
    if (csl_crypto_init(&err) != CSL_OK) {
        fprintf(stderr, "consilium: %s\n", err.msg);
        return CSL_EXIT_FAILED;
    }
    return e->run(argc - 1, argv + 1);
}
