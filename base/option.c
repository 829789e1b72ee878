#include "base/option.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/limits.h"
#include "base/option_internal.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* Everything is read twice: once without a target to find mistakes, then to write. That keeps the
 * target untouched when the last line of a file is wrong. */

#define SHOWN_BYTES 96 /* of a wrong value in an error */

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit byte_units[] = {
    {"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {NULL, 0}};

/* "30s" -> 30000 with time_units; a bare 0 needs no unit. */
static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
    char digits[24];
    size_t n = strspn(text, "0123456789");
    uint64_t count;
    if (n == 0 || n >= sizeof(digits))
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!csl_parse_u64(digits, &count))
        return false;
    for (const struct unit *u = units; u->name != NULL; u++)
        if (strcmp(text + n, u->name) == 0)
            return csl_mul_u64(count, u->factor, out);
    if (count != 0 || text[n] != '\0')
        return false;
    *out = 0;
    return true;
}

static bool in_bounds(const struct csl_option *row, double v)
{
    if (row->min == 0 && row->max == 0)
        return true;
    return v >= row->min && (row->max < row->min || v <= row->max);
}

static int choice_index(const struct csl_option *row, const char *text)
{
    for (int i = 0; row->choices[i] != NULL; i++)
        if (strcmp(row->choices[i], text) == 0)
            return i;
    return -1;
}

/* A value in the form it has in the target. */
struct value {
    union {
        bool b;
        uint32_t u32;
        uint64_t u64;
        double f64;
        int choice;
        char id[CSL_ID_MAX];
    } as;
    size_t bytes;
};

static bool parse_number(const struct csl_option *row, const char *text, struct value *v)
{
    bool is_number = false;
    uint64_t u = 0;
    double f = 0;
    if (row->type == CSL_OPT_F64) {
        is_number = csl_parse_f64(text, &f);
        v->as.f64 = f;
        v->bytes = sizeof(f);
        return is_number && in_bounds(row, f);
    }
    if (row->type == CSL_OPT_MS)
        is_number = parse_with_unit(text, time_units, &u);
    else if (row->type == CSL_OPT_BYTES)
        is_number = parse_with_unit(text, byte_units, &u);
    else
        is_number = csl_parse_u64(text, &u);
    if (!is_number || !in_bounds(row, (double)u))
        return false;
    v->as.u64 = u;
    v->bytes = sizeof(u);
    if (row->type != CSL_OPT_U32)
        return true;
    v->bytes = sizeof(v->as.u32);
    return csl_u32_from_u64(u, &v->as.u32);
}

static bool parse_value(const struct csl_option *row, const char *text, struct value *v)
{
    switch (row->type) {
    case CSL_OPT_BOOL:
        v->as.b = strcmp(text, "true") == 0;
        v->bytes = sizeof(v->as.b);
        return v->as.b || strcmp(text, "false") == 0;
    case CSL_OPT_U32:
    case CSL_OPT_U64:
    case CSL_OPT_F64:
    case CSL_OPT_MS:
    case CSL_OPT_BYTES:
        return parse_number(row, text, v);
    case CSL_OPT_ENUM:
        v->as.choice = choice_index(row, text);
        v->bytes = sizeof(v->as.choice);
        return v->as.choice >= 0;
    case CSL_OPT_ID:
        v->bytes = sizeof(v->as.id);
        return csl_id_valid(text) && csl_str_copy(v->as.id, sizeof(v->as.id), text);
    case CSL_OPT_STR:
    case CSL_OPT_PATH:
    case CSL_OPT_LIST:
        return strlen(text) < row->size;
    case CSL_OPT_NODE:
    case CSL_OPT_SECTION:
        return false;
    }
    return false;
}

/* Checks `text`; writes it to target + base unless target is NULL. */
static bool store(const struct csl_option *row, const char *text, void *target, size_t base)
{
    struct value v;
    memset(&v, 0, sizeof(v));
    if (!parse_value(row, text, &v))
        return false;
    if (target == NULL)
        return true;
    char *at = (char *)target + base + row->offset;
    if (row->type == CSL_OPT_STR || row->type == CSL_OPT_PATH || row->type == CSL_OPT_LIST)
        return csl_str_copy(at, row->size, text);
    memcpy(at, &v.as, v.bytes);
    return true;
}

static enum csl_code store_fallback(const struct csl_option *row, void *target, size_t base,
                                    struct csl_err *err)
{
    if (row->fallback == NULL || csl_option__is_nested(row))
        return CSL_OK;
    bool is_unset_id = row->type == CSL_OPT_ID && row->fallback[0] == '\0';
    if (is_unset_id && target != NULL)
        *((char *)target + base + row->offset) = '\0';
    if (is_unset_id || store(row, row->fallback, target, base))
        return CSL_OK;
    char expected[CSL_OPTION__TEXT_MAX];
    csl_option__expected(row, expected, sizeof(expected));
    return CSL_FAIL(err, CSL_E_BUG, "the default '%s' of the option '%s' is not %s", row->fallback,
                    row->name, expected);
}

/* "'ten'", escaped and cut; "nothing" for an empty plain scalar. */
static void show(char *out, size_t out_bytes, const char *text, bool is_empty_right)
{
    char escaped[SHOWN_BYTES];
    csl_str_escape(escaped, sizeof(escaped), text, strlen(text));
    if (text[0] == '\0' && !is_empty_right)
        csl_str_copy(out, out_bytes, "nothing");
    else
        snprintf(out, out_bytes, "'%s'", escaped);
}

static bool same_letter(char a, char b)
{
    return (a == '-' ? '_' : a) == (b == '-' ? '_' : b);
}

/* Levenshtein's distance of the first 63 bytes. */
static uint32_t edit_distance(const char *a, const char *b)
{
    uint32_t row[CSL_ID_MAX];
    size_t b_bytes = strnlen(b, CSL_ID_MAX - 1);
    for (size_t j = 0; j <= b_bytes; j++)
        row[j] = (uint32_t)j;
    for (size_t i = 0; i < CSL_ID_MAX - 1 && a[i] != '\0'; i++) {
        uint32_t diagonal = row[0];
        row[0] = (uint32_t)i + 1;
        for (size_t j = 0; j < b_bytes; j++) {
            uint32_t best = diagonal + (same_letter(a[i], b[j]) ? 0 : 1);
            if (row[j + 1] + 1 < best)
                best = row[j + 1] + 1;
            if (row[j] + 1 < best)
                best = row[j] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[b_bytes];
}

/* The names that would be right, the one most like `wrong` first when it is a likely slip. */
static void list_names(const struct csl_option *rows, const char *wrong, bool is_flags, char *out,
                       size_t out_bytes)
{
    const struct csl_option *nearest = NULL;
    uint32_t least = strlen(wrong) <= 4 ? 2 : 3; /* first distance that is no slip any more */
    for (const struct csl_option *row = rows; row->name != NULL; row++) {
        uint32_t d = edit_distance(wrong, row->name);
        if (d < least && !(is_flags && csl_option__is_nested(row))) {
            least = d;
            nearest = row;
        }
    }
    size_t n = 0;
    out[0] = '\0';
    bool is_turn_of_nearest = nearest != NULL;
    const struct csl_option *row = rows;
    while (is_turn_of_nearest || row->name != NULL) {
        const struct csl_option *next = is_turn_of_nearest ? nearest : row++;
        bool is_skipped =
            (next == nearest && !is_turn_of_nearest) || (is_flags && csl_option__is_nested(next));
        is_turn_of_nearest = false;
        if (is_skipped)
            continue;
        char name[CSL_OPTION__FLAG_MAX];
        if (is_flags)
            csl_option__flag(next, name, sizeof(name));
        else
            csl_str_copy(name, sizeof(name), next->name);
        if (n + strlen(name) + sizeof(", ...") >= out_bytes) {
            snprintf(out + n, out_bytes - n, "%s...", n == 0 ? "" : ", ");
            return;
        }
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%s", n == 0 ? "" : ", ", name);
    }
}

static const struct csl_option *find_row(const struct csl_option *rows, const char *key)
{
    for (const struct csl_option *row = rows; row->name != NULL; row++)
        if (strcmp(row->name, key) == 0)
            return row;
    return NULL;
}

static enum csl_code check_keys(const struct csl_option *rows, const struct csl_yaml *y,
                                const struct csl_yaml_node *mapping, struct csl_err *err)
{
    for (const struct csl_yaml_node *c = mapping->first_child; c != NULL; c = c->next) {
        if (find_row(rows, c->key) != NULL)
            continue;
        char names[CSL_OPTION__TEXT_MAX];
        list_names(rows, c->key, false, names, sizeof(names));
        struct csl_yaml_node at_key = *c;
        at_key.line = c->key_line;
        at_key.column = c->key_column;
        return csl_yaml_fail(err, y, &at_key, "no such key; %s would be right", names);
    }
    return CSL_OK;
}

static enum csl_code fail_value(const struct csl_option *row, const struct csl_yaml *y,
                                const struct csl_yaml_node *at, struct csl_err *err)
{
    char found[SHOWN_BYTES + 2], expected[CSL_OPTION__TEXT_MAX];
    csl_option__expected(row, expected, sizeof(expected));
    if (at->kind == CSL_YAML_SCALAR)
        show(found, sizeof(found), at->text, at->is_quoted);
    else
        csl_str_copy(found, sizeof(found), at->kind == CSL_YAML_SEQUENCE ? "a list" : "a mapping");
    return csl_yaml_fail(err, y, at, "found %s; %s would be right", found, expected);
}

/* One open section: where its struct starts, and what the file says about it (may be NULL). */
struct frame {
    const struct csl_option *rows;
    size_t base;
    const struct csl_yaml_node *mapping;
};

struct yaml_pass {
    const struct csl_yaml *y;
    void *target; /* NULL: only checking */
    struct frame stack[CSL_OPTION__DEPTH_MAX];
    size_t depth;
    struct csl_err *err;
};

static enum csl_code read_row(struct yaml_pass *p, const struct frame *f,
                              const struct csl_option *row)
{
    const struct csl_yaml_node *value = csl_yaml_get(f->mapping, row->name);
    if (row->type == CSL_OPT_NODE) {
        if (p->target != NULL)
            memcpy((char *)p->target + f->base + row->offset, &value, sizeof(value));
        return CSL_OK;
    }
    if (row->type == CSL_OPT_SECTION) {
        if (value != NULL && value->kind != CSL_YAML_MAPPING)
            return fail_value(row, p->y, value, p->err);
        CSL_ASSERT(p->depth < CSL_OPTION__DEPTH_MAX);
        p->stack[p->depth++] = (struct frame){row->section, f->base + row->offset, value};
        return CSL_OK;
    }
    if (value == NULL && row->fallback == NULL && f->mapping != NULL) {
        char expected[CSL_OPTION__TEXT_MAX];
        csl_option__expected(row, expected, sizeof(expected));
        return csl_yaml_fail(p->err, p->y, f->mapping, "key '%s' is missing; %s would be right",
                             row->name, expected);
    }
    if (value == NULL)
        return store_fallback(row, p->target, f->base, p->err);
    bool is_empty = value->kind == CSL_YAML_SCALAR && value->text[0] == '\0' && !value->is_quoted;
    if (value->kind != CSL_YAML_SCALAR || is_empty || !store(row, value->text, p->target, f->base))
        return fail_value(row, p->y, value, p->err);
    return CSL_OK;
}

static enum csl_code run_pass(struct yaml_pass *p, const struct csl_option *rows,
                              const struct csl_yaml_node *mapping)
{
    p->stack[0] = (struct frame){rows, 0, mapping};
    p->depth = 1;
    while (p->depth > 0) {
        struct frame f = p->stack[--p->depth];
        enum csl_code code =
            f.mapping == NULL ? CSL_OK : check_keys(f.rows, p->y, f.mapping, p->err);
        for (const struct csl_option *row = f.rows; code == CSL_OK && row->name != NULL; row++)
            code = read_row(p, &f, row);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

enum csl_code csl_option_read_yaml(const struct csl_option *rows, void *target,
                                   const struct csl_yaml *y, const struct csl_yaml_node *mapping,
                                   struct csl_err *err)
{
    if (mapping != NULL && mapping->kind != CSL_YAML_MAPPING) {
        const struct csl_option any = {.name = "", .type = CSL_OPT_SECTION};
        return fail_value(&any, y, mapping, err);
    }
    struct yaml_pass p = {.y = y, .target = NULL, .err = err};
    enum csl_code code = run_pass(&p, rows, mapping);
    if (code != CSL_OK)
        return code;
    p.target = target;
    return run_pass(&p, rows, mapping);
}

struct args_pass {
    const struct csl_option *rows;
    void *target; /* NULL: only checking */
    int argc;
    char *const *argv;
    struct csl_command_line out;
    bool is_given[CSL_OPTION__ROWS_MAX];
    size_t list_bytes[CSL_OPTION__ROWS_MAX]; /* so far */
    struct csl_err *err;
};

static bool store_flag(struct args_pass *p, const struct csl_option *row, const char *text)
{
    if (row->type != CSL_OPT_LIST)
        return store(row, text, p->target, 0);
    size_t *bytes = &p->list_bytes[row - p->rows], gap = *bytes > 0 ? 1 : 0, n = strlen(text);
    if (n == 0 || strchr(text, '\n') != NULL || *bytes + gap + n >= row->size)
        return false;
    if (p->target != NULL) {
        char *at = (char *)p->target + row->offset + *bytes;
        memcpy(at, "\n", gap);
        memcpy(at + gap, text, n + 1);
    }
    *bytes += gap + n;
    return true;
}

static enum csl_code fail_flag(struct args_pass *p, const struct csl_option *row, const char *text)
{
    char flag[CSL_OPTION__FLAG_MAX], found[SHOWN_BYTES + 2], expected[CSL_OPTION__TEXT_MAX];
    csl_option__flag(row, flag, sizeof(flag));
    csl_option__expected(row, expected, sizeof(expected));
    show(found, sizeof(found), text == NULL ? "" : text, text != NULL);
    return CSL_FAIL(p->err, CSL_E_INVAL, "%s: found %s; %s would be right", flag, found, expected);
}

static enum csl_code fail_unknown(struct args_pass *p, const char *word, size_t word_bytes)
{
    char shown[SHOWN_BYTES], names[CSL_OPTION__TEXT_MAX], name[CSL_ID_MAX] = "";
    csl_str_escape(shown, sizeof(shown), word, word_bytes);
    size_t dashes = strspn(word, "-");
    size_t n = word_bytes > dashes ? word_bytes - dashes : 0;
    memcpy(name, word + dashes, n < sizeof(name) ? n : sizeof(name) - 1);
    list_names(p->rows, name, true, names, sizeof(names));
    return CSL_FAIL(p->err, CSL_E_INVAL, "%s: no such option; %s%s--help would be right", shown,
                    names, names[0] == '\0' ? "" : " or ");
}

/* The row whose flag is `name` (n bytes, without dashes); NULL when none. */
static const struct csl_option *find_flag(const struct csl_option *rows, const char *name, size_t n)
{
    for (const struct csl_option *row = rows; row->name != NULL; row++) {
        char flag[CSL_OPTION__FLAG_MAX];
        csl_option__flag(row, flag, sizeof(flag));
        if (!csl_option__is_nested(row) && strlen(flag) == n + 2 && memcmp(flag + 2, name, n) == 0)
            return row;
    }
    return NULL;
}

/* argv[*i] starts with "--"; moves *i over a value that is a word of its own. */
static enum csl_code read_flag(struct args_pass *p, int *i)
{
    const char *name = p->argv[*i] + 2, *equals = strchr(name, '=');
    size_t n = equals == NULL ? strlen(name) : (size_t)(equals - name);
    const char *text = equals == NULL ? NULL : equals + 1;
    const struct csl_option *row = find_flag(p->rows, name, n);
    if (row == NULL && text == NULL && n > 3 && memcmp(name, "no-", 3) == 0) {
        row = find_flag(p->rows, name + 3, n - 3);
        if (row != NULL && row->type != CSL_OPT_BOOL)
            row = NULL;
        text = row == NULL ? NULL : "false";
    }
    if (row == NULL && n == 4 && memcmp(name, "help", 4) == 0 && equals == NULL) {
        p->out.wants_help = true;
        return CSL_OK;
    }
    if (row == NULL)
        return fail_unknown(p, p->argv[*i], n + 2);
    if (text == NULL && row->type == CSL_OPT_BOOL)
        text = "true";
    bool has_word = *i + 1 < p->argc && strncmp(p->argv[*i + 1], "--", 2) != 0;
    if (text == NULL && has_word)
        text = p->argv[++*i];
    if (text == NULL || !store_flag(p, row, text))
        return fail_flag(p, row, text);
    p->is_given[row - p->rows] = true;
    return CSL_OK;
}

static enum csl_code read_word(struct args_pass *p, const char *word)
{
    size_t max = sizeof(p->out.positional) / sizeof(p->out.positional[0]);
    if (p->out.positional_count == max)
        return CSL_FAIL(p->err, CSL_E_LIMIT, "more than %zu words on the command line", max);
    p->out.positional[p->out.positional_count++] = word;
    return CSL_OK;
}

static enum csl_code check_required(struct args_pass *p)
{
    for (const struct csl_option *row = p->rows; row->name != NULL; row++) {
        if (row->fallback != NULL || csl_option__is_nested(row) || p->is_given[row - p->rows])
            continue;
        char flag[CSL_OPTION__FLAG_MAX], expected[CSL_OPTION__TEXT_MAX];
        csl_option__flag(row, flag, sizeof(flag));
        csl_option__expected(row, expected, sizeof(expected));
        return CSL_FAIL(p->err, CSL_E_INVAL, "%s is missing; %s would be right", flag, expected);
    }
    return CSL_OK;
}

static enum csl_code run_args(struct args_pass *p)
{
    enum csl_code code = CSL_OK;
    for (const struct csl_option *row = p->rows; code == CSL_OK && row->name != NULL; row++) {
        CSL_ASSERT(row - p->rows < CSL_OPTION__ROWS_MAX);
        code = store_fallback(row, p->target, 0, p->err);
    }
    bool is_flags_over = false;
    for (int i = 1; code == CSL_OK && i < p->argc; i++) {
        const char *word = p->argv[i];
        if (is_flags_over || word[0] != '-' || word[1] == '\0')
            code = read_word(p, word);
        else if (strcmp(word, "--") == 0)
            is_flags_over = true;
        else if (strcmp(word, "-h") == 0)
            p->out.wants_help = true;
        else if (word[1] == '-')
            code = read_flag(p, &i);
        else
            code = fail_unknown(p, word, strlen(word));
    }
    if (code != CSL_OK || p->out.wants_help)
        return code;
    return check_required(p);
}

enum csl_code csl_option_read_args(const struct csl_option *rows, void *target, int argc,
                                   char *const *argv, struct csl_command_line *out,
                                   struct csl_err *err)
{
    struct args_pass check = {.rows = rows, .argc = argc, .argv = argv, .err = err};
    enum csl_code code = run_args(&check);
    if (code != CSL_OK)
        return code;
    struct args_pass fill = {
        .rows = rows, .target = target, .argc = argc, .argv = argv, .err = err};
    code = run_args(&fill);
    if (code == CSL_OK)
        *out = fill.out;
    return code;
}
