/* base/option.h - one row per setting. From the same rows come: parsing a YAML mapping into a
 * struct, parsing command-line flags, --help, the commented default file and the man page. */
#ifndef CSL_BASE_OPTION_H
#define CSL_BASE_OPTION_H
#include "base/buf.h"
#include "base/err.h"
#include "base/yaml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum csl_option_type {
    CSL_OPT_BOOL,   /* bool; YAML true/false; flag --name / --no-name */
    CSL_OPT_U32,    /* uint32_t within [min, max] */
    CSL_OPT_U64,    /* uint64_t within [min, max] */
    CSL_OPT_F64,    /* double within [min, max], finite */
    CSL_OPT_STR,    /* char[size] */
    CSL_OPT_ID,     /* char[CSL_ID_MAX], csl_id_valid */
    CSL_OPT_PATH,   /* char[size] */
    CSL_OPT_LIST,   /* char[size]: a flag that may be given again; a line end between its values */
    CSL_OPT_ENUM,   /* int: index into choices */
    CSL_OPT_MS,     /* uint64_t milliseconds; written with a unit: 500ms, 30s, 5m, 2h */
    CSL_OPT_BYTES,  /* uint64_t; written with a unit: 64KiB, 2MiB, 1GiB, or plain bytes */
    CSL_OPT_NODE,   /* const struct csl_yaml_node *: read by the caller (sequences, nested) */
    CSL_OPT_SECTION /* nested mapping: rows in `section`, struct at offset */
};

struct csl_option {
    const char *name; /* key in YAML; flag name with - for _ */
    enum csl_option_type type;
    size_t offset, size; /* into the target struct; size for STR, PATH, LIST */
    double min, max;     /* numbers, MS, BYTES; min == max == 0: unbounded; max < min: no maximum */
    const char *fallback;       /* default as text; NULL: required (NODE/SECTION: may be absent) */
    const char *unit;           /* "seconds", "patients"; NULL: none */
    const char *const *choices; /* ENUM: NULL-terminated */
    const struct csl_option *section; /* SECTION: rows ending in name NULL */
    const char *help;                 /* one sentence */
};
#define CSL_OPTION_END                                                                             \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* Fills *target from `mapping` (NULL: only defaults): every key must have a row; every row without
 * a key gets its fallback; a required row without a key is an error naming the mapping's line.
 * An absent SECTION gets its defaults only, and its required rows stay as they were; so does
 * everything when mapping is NULL. Nothing is written on failure: CSL_E_INVAL for what the file
 * says, CSL_E_BUG for a fallback that its own row refuses. Strings are copied; NODE pointers borrow
 * from y. */
enum csl_code csl_option_read_yaml(const struct csl_option *rows, void *target,
                                   const struct csl_yaml *y, const struct csl_yaml_node *mapping,
                                   struct csl_err *err) CSL_MUST_CHECK;

/* Command line: argc and argv as main got them (argv[0], the name of the program or subcommand, is
 * skipped); `--` ends the flags. A row without fallback that got no flag is an error, unless help
 * is wanted. `--name value`, `--name=value`, `--flag`, `-h`. Of a flag that is given again the
 * last value counts, but for lists. Positional words are collected, in order, into positional[]
 * (borrowed from argv). Defaults are applied first. Sections and nodes cannot be flags. */
struct csl_command_line {
    const char *positional[16];
    size_t positional_count;
    bool wants_help;
};
enum csl_code csl_option_read_args(const struct csl_option *rows, void *target, int argc,
                                   char *const *argv, struct csl_command_line *out,
                                   struct csl_err *err) CSL_MUST_CHECK;

void csl_option_help(const struct csl_option *rows, struct csl_buf *out); /* for --help */
/* For --help of a program that reads a file: the keys as the file spells them, those of a section
 * with its name before them (tls.key). */
void csl_option_help_keys(const struct csl_option *rows, struct csl_buf *out);
void csl_option_default_yaml(const struct csl_option *rows,
                             struct csl_buf *out);                       /* commented file */
void csl_option_man(const struct csl_option *rows, struct csl_buf *out); /* scdoc source */

#endif
