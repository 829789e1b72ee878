#include "base/check.h"
#include "base/option_internal.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void csl_option__flag(const struct csl_option *row, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "--%s", row->name);
    for (char *p = out + 2; *p != '\0'; p++)
        if (*p == '_')
            *p = '-';
}

struct unit {
    const char *name;
    double factor;
};

/* A bound as people write it, in the largest unit that is exact. */
static void bound_text(const struct csl_option *row, double v, char *out, size_t out_bytes)
{
    static const struct unit times[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct unit bytes[] = {
        {"GiB", 1073741824}, {"MiB", 1048576}, {"KiB", 1024}, {" bytes", 1}};
    char number[32];
    const struct unit *units = row->type == CSL_OPT_MS      ? times
                               : row->type == CSL_OPT_BYTES ? bytes
                                                            : NULL;
    size_t i = 0;
    while (units != NULL && v != 0 && i < 3) {
        double count = v / units[i].factor;
        if (count >= 1 && count < 9007199254740992.0 && count == (double)(uint64_t)count)
            break;
        i++;
    }
    if (units != NULL && v == 0)
        i = row->type == CSL_OPT_MS ? 2 : 3; /* 0s, 0 bytes */
    csl_str_f64(number, sizeof(number), units == NULL ? v : v / units[i].factor);
    snprintf(out, out_bytes, "%s%s", number, units == NULL ? "" : units[i].name);
}

static void choices_text(const struct csl_option *row, char *out, size_t out_bytes)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; row->choices[i] != NULL && n + 1 < out_bytes; i++) {
        const char *glue = i == 0 ? "" : row->choices[i + 1] == NULL ? " or " : ", ";
        int more = snprintf(out + n, out_bytes - n, "%s%s", glue, row->choices[i]);
        n += more > 0 ? (size_t)more : 0;
    }
}

static const char *noun_of(const struct csl_option *row)
{
    switch (row->type) {
    case CSL_OPT_BOOL:
        return "true or false";
    case CSL_OPT_U32:
    case CSL_OPT_U64:
        return "a whole number";
    case CSL_OPT_F64:
        return "a number";
    case CSL_OPT_STR:
        return "a text";
    case CSL_OPT_ID:
        return "a name of at most 63 of a-z, 0-9, '.', '_' and '-'";
    case CSL_OPT_PATH:
        return "a path";
    case CSL_OPT_LIST:
        return "a text";
    case CSL_OPT_ENUM:
        return "a choice";
    case CSL_OPT_MS:
        return "a time such as 500ms, 30s, 5m or 2h";
    case CSL_OPT_BYTES:
        return "a size such as 64KiB, 2MiB or 1GiB";
    case CSL_OPT_NODE:
        return "a list or a mapping";
    case CSL_OPT_SECTION:
        return "a mapping (lines of 'key: value')";
    }
    return "a value";
}

static void put_bounds(const struct csl_option *row, char *out, size_t out_bytes)
{
    char low[48], high[48];
    bool is_u32 = row->type == CSL_OPT_U32;
    bool is_bounded = row->min != 0 || row->max != 0;
    bool has_max = is_bounded ? row->max >= row->min : is_u32;
    bound_text(row, row->min, low, sizeof(low));
    bound_text(row, is_bounded && has_max ? row->max : (double)UINT32_MAX, high, sizeof(high));
    if (has_max)
        snprintf(out, out_bytes, " from %s to %s", low, high);
    else if (is_bounded)
        snprintf(out, out_bytes, " of at least %s", low);
    else
        out[0] = '\0';
}

void csl_option__expected(const struct csl_option *row, char *out, size_t out_bytes)
{
    char bounds[128] = "";
    bool is_number = row->type == CSL_OPT_U32 || row->type == CSL_OPT_U64 ||
                     row->type == CSL_OPT_F64 || row->type == CSL_OPT_MS ||
                     row->type == CSL_OPT_BYTES;
    if (row->type == CSL_OPT_ENUM) {
        choices_text(row, out, out_bytes);
        return;
    }
    if (is_number)
        put_bounds(row, bounds, sizeof(bounds));
    else if (row->type == CSL_OPT_STR || row->type == CSL_OPT_PATH || row->type == CSL_OPT_LIST)
        snprintf(bounds, sizeof(bounds), " of at most %zu bytes",
                 row->size == 0 ? 0 : row->size - 1);
    snprintf(out, out_bytes, "%s%s%s%s", noun_of(row), row->unit == NULL ? "" : " of ",
             row->unit == NULL ? "" : row->unit, bounds);
}

static const char *placeholder_of(const struct csl_option *row)
{
    switch (row->type) {
    case CSL_OPT_U32:
    case CSL_OPT_U64:
        return " N";
    case CSL_OPT_F64:
        return " X";
    case CSL_OPT_STR:
        return " TEXT";
    case CSL_OPT_ID:
        return " NAME";
    case CSL_OPT_PATH:
        return " PATH";
    case CSL_OPT_LIST:
        return " TEXT...";
    case CSL_OPT_ENUM:
        return " CHOICE";
    case CSL_OPT_MS:
        return " TIME";
    case CSL_OPT_BYTES:
        return " SIZE";
    case CSL_OPT_BOOL:
    case CSL_OPT_NODE:
    case CSL_OPT_SECTION:
        return "";
    }
    return "";
}

/* "A whole number from 1 to 9; default 3." - nothing to say for a plain text. */
static void facts_text(const struct csl_option *row, char *out, size_t out_bytes)
{
    char expected[CSL_OPTION__TEXT_MAX];
    csl_option__expected(row, expected, sizeof(expected));
    if (expected[0] >= 'a' && expected[0] <= 'z' && row->type != CSL_OPT_ENUM)
        expected[0] = (char)(expected[0] - 'a' + 'A');
    const char *prefix = row->type == CSL_OPT_ENUM ? "One of " : "";
    if (csl_option__is_nested(row))
        snprintf(out, out_bytes, "%s; may be absent.", expected);
    else if (row->fallback == NULL)
        snprintf(out, out_bytes, "%s%s; required.", prefix, expected);
    else if (row->fallback[0] == '\0')
        snprintf(out, out_bytes, "%s%s; default: none.", prefix, expected);
    else
        snprintf(out, out_bytes, "%s%s; default %s.", prefix, expected, row->fallback);
}

void csl_option_help(const struct csl_option *rows, struct csl_buf *out)
{
    for (const struct csl_option *row = rows; row->name != NULL; row++) {
        if (csl_option__is_nested(row))
            continue;
        char flag[CSL_OPTION__FLAG_MAX], left[CSL_OPTION__FLAG_MAX + 16];
        char facts[CSL_OPTION__TEXT_MAX + 64];
        csl_option__flag(row, flag, sizeof(flag));
        snprintf(left, sizeof(left), "%s%s", flag, placeholder_of(row));
        if (row->type == CSL_OPT_BOOL && row->fallback != NULL &&
            strcmp(row->fallback, "true") == 0)
            snprintf(left, sizeof(left), "--no-%s", flag + 2);
        csl_buf_printf(out, "  %-22s %s\n", left, row->help == NULL ? "" : row->help);
        if (row->type == CSL_OPT_BOOL)
            continue;
        facts_text(row, facts, sizeof(facts));
        csl_buf_printf(out, "  %-22s %s\n", "", facts);
    }
    csl_buf_printf(out, "  %-22s %s\n", "-h, --help", "This text.");
}

/* The rows of a table and of its sections, depth first. */
struct walk {
    const struct csl_option *stack[CSL_OPTION__DEPTH_MAX];
    size_t depth; /* of the row returned last: 1 at the top */
    size_t next_depth;
};

static void walk_init(struct walk *w, const struct csl_option *rows)
{
    *w = (struct walk){.next_depth = 1};
    w->stack[0] = rows;
}

static const struct csl_option *walk_next(struct walk *w)
{
    while (w->next_depth > 0 && w->stack[w->next_depth - 1]->name == NULL)
        w->next_depth--;
    if (w->next_depth == 0)
        return NULL;
    const struct csl_option *row = w->stack[w->next_depth - 1]++;
    w->depth = w->next_depth;
    if (row->type == CSL_OPT_SECTION) {
        CSL_ASSERT(w->next_depth < CSL_OPTION__DEPTH_MAX);
        w->stack[w->next_depth++] = row->section;
    }
    return row;
}

/* "tls.key" for the row the walk has just returned. */
static void put_path(const char *const *path, size_t depth, struct csl_buf *out)
{
    for (size_t i = 0; i < depth; i++)
        csl_buf_printf(out, "%s%s", i == 0 ? "" : ".", path[i]);
}

void csl_option_help_keys(const struct csl_option *rows, struct csl_buf *out)
{
    const char *path[CSL_OPTION__DEPTH_MAX] = {NULL};
    struct walk w;
    walk_init(&w, rows);
    for (const struct csl_option *row = walk_next(&w); row != NULL; row = walk_next(&w)) {
        char facts[CSL_OPTION__TEXT_MAX + 64];
        path[w.depth - 1] = row->name;
        if (row->type == CSL_OPT_SECTION)
            continue; /* its keys say more */
        facts_text(row, facts, sizeof(facts));
        csl_buf_str(out, "  ");
        put_path(path, w.depth, out);
        csl_buf_printf(out, "\n      %s\n      %s\n", row->help == NULL ? "" : row->help, facts);
    }
}

/* A default of nothing is a comment: an empty id would be refused, and an empty path would begin a
 * section whose other keys are required. */
static bool has_written_default(const struct csl_option *row)
{
    bool is_name = row->type == CSL_OPT_ID || row->type == CSL_OPT_PATH;
    return row->type != CSL_OPT_NODE && row->fallback != NULL &&
           !(is_name && row->fallback[0] == '\0');
}

/* Whether a section writes a line of its own; if not, its name must stay a comment as well, since a
 * name followed by nothing is an error. */
static bool has_default_inside(const struct csl_option *section)
{
    struct walk w;
    walk_init(&w, section);
    for (const struct csl_option *row = walk_next(&w); row != NULL; row = walk_next(&w))
        if (!csl_option__is_nested(row) && has_written_default(row))
            return true;
    return false;
}

static void put_default(const struct csl_option *row, struct csl_buf *out)
{
    if (row->type != CSL_OPT_STR && row->type != CSL_OPT_PATH && row->type != CSL_OPT_LIST &&
        row->type != CSL_OPT_ID) {
        csl_buf_str(out, row->fallback);
        return;
    }
    csl_buf_u8(out, '"');
    for (const char *p = row->fallback; *p != '\0'; p++)
        csl_buf_printf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    csl_buf_u8(out, '"');
}

void csl_option_default_yaml(const struct csl_option *rows, struct csl_buf *out)
{
    struct walk w;
    walk_init(&w, rows);
    for (const struct csl_option *row = walk_next(&w); row != NULL; row = walk_next(&w)) {
        int indent = 2 * ((int)w.depth - 1);
        char facts[CSL_OPTION__TEXT_MAX + 64];
        facts_text(row, facts, sizeof(facts));
        if (row->help != NULL)
            csl_buf_printf(out, "%*s# %s\n", indent, "", row->help);
        if (row->type != CSL_OPT_SECTION)
            csl_buf_printf(out, "%*s# %s\n", indent, "", facts);
        bool is_written = row->type == CSL_OPT_SECTION ? has_default_inside(row->section)
                                                       : has_written_default(row);
        csl_buf_printf(out, "%*s%s%s:", indent, "", is_written ? "" : "# ", row->name);
        if (is_written && row->type != CSL_OPT_SECTION) {
            csl_buf_u8(out, ' ');
            put_default(row, out);
        }
        csl_buf_u8(out, '\n');
    }
}

/* scdoc reads *, _ and \ as marks. */
static void put_scdoc(struct csl_buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        csl_buf_printf(out, strchr("*_\\", *text) != NULL ? "\\%c" : "%c", *text);
}

static bool is_file(const struct csl_option *rows)
{
    for (const struct csl_option *row = rows; row->name != NULL; row++)
        if (csl_option__is_nested(row))
            return true;
    return false;
}

void csl_option_man(const struct csl_option *rows, struct csl_buf *out)
{
    bool is_of_file = is_file(rows);
    const char *path[CSL_OPTION__DEPTH_MAX] = {NULL};
    struct walk w;
    walk_init(&w, rows);
    for (const struct csl_option *row = walk_next(&w); row != NULL; row = walk_next(&w)) {
        char flag[CSL_OPTION__FLAG_MAX], facts[CSL_OPTION__TEXT_MAX + 64];
        path[w.depth - 1] = row->name;
        csl_option__flag(row, flag, sizeof(flag));
        csl_buf_u8(out, '*');
        for (size_t i = 0; is_of_file && i < w.depth; i++) {
            put_scdoc(out, path[i]);
            csl_buf_str(out, i + 1 < w.depth ? "." : "");
        }
        if (!is_of_file)
            put_scdoc(out, flag);
        csl_buf_u8(out, '*');
        if (placeholder_of(row)[0] != '\0')
            csl_buf_printf(out, " _%s_", placeholder_of(row) + 1);
        csl_buf_str(out, "\n\t");
        put_scdoc(out, row->help == NULL ? "" : row->help);
        csl_buf_u8(out, ' ');
        facts_text(row, facts, sizeof(facts));
        put_scdoc(out, facts);
        csl_buf_str(out, "\n\n");
    }
}
