/* cli/ledger_compare.c - `consilium ledger diff`: does one export continue the other? */
#include "base/str.h"
#include "cli/ledger_verbs.h"

#include <inttypes.h>
#include <string.h>

static const char *relation(const struct csl_ledger_difference *d)
{
    if (d->common == d->size_a && d->common == d->size_b)
        return "same";
    if (d->common == d->size_a)
        return "second-continues-first";
    return d->common == d->size_b ? "first-continues-second" : "diverged";
}

static enum csl_code put_entry(FILE *in, const char *path, uint64_t index, struct csl_buf *out,
                               struct csl_err *err)
{
    struct csl_ledger_entry e;
    char text[512];
    enum csl_code code = csl_cli_ledger_export_entry(in, index, &e, err);

    if (code != CSL_OK)
        return code;
    csl_ledger_entry_text(&e, text, sizeof(text));
    csl_buf_printf(out, "  %s: %s\n", path, text);
    return CSL_OK;
}

static enum csl_code put_text(const struct csl_ledger_difference *d, const char *const path[2],
                              FILE *const file[2], struct csl_buf *out, struct csl_err *err)
{
    const char *what = relation(d);
    uint64_t more = d->size_a > d->size_b ? d->size_a - d->size_b : d->size_b - d->size_a;
    int longer = d->size_a > d->size_b ? 0 : 1;

    if (strcmp(what, "same") == 0) {
        csl_buf_printf(out, "the same %" PRIu64 " entries\n", d->common);
        return CSL_OK;
    }
    if (strcmp(what, "diverged") != 0) {
        csl_buf_printf(out, "%s continues %s: %" PRIu64 " entries in common, %" PRIu64 " more\n",
                       path[longer], path[1 - longer], d->common, more);
        return CSL_OK;
    }
    csl_buf_printf(out, "DIVERGED: entry %" PRIu64 " is the first that differs\n", d->common);
    enum csl_code code = put_entry(file[0], path[0], d->common, out, err);
    return code == CSL_OK ? put_entry(file[1], path[1], d->common, out, err) : code;
}

static void put_json(const struct csl_ledger_difference *d, struct csl_buf *out)
{
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "relation", relation(d));
    csl_json_put_u64(&j, "common", d->common);
    csl_json_put_u64(&j, "first_entries", d->size_a);
    csl_json_put_u64(&j, "second_entries", d->size_b);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

int csl_cli_ledger_compare(const char *path_a, const char *path_b, bool is_json)
{
    const char *const path[2] = {path_a, path_b};
    struct csl_ledger_difference d = {0};
    FILE *file[2] = {NULL, NULL};
    struct csl_err err = {0};
    struct csl_buf out;
    enum csl_code code = csl_cli_ledger_open_file(&file[0], path_a, &err);

    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (code == CSL_OK)
        code = csl_cli_ledger_open_file(&file[1], path_b, &err);
    if (code == CSL_OK)
        code = csl_ledger_diff(file[0], file[1], &d, &err);
    if (code == CSL_OK && is_json)
        put_json(&d, &out);
    else if (code == CSL_OK)
        code = put_text(&d, path, file, &out, &err);
    for (int i = 0; i < 2; i++)
        if (file[i])
            (void)fclose(file[i]);
    if (code != CSL_OK) {
        csl_buf_release(&out);
        return csl_cli_fail_as(&csl_doc_ledger, &err, is_json);
    }
    bool is_one = strcmp(relation(&d), "diverged") != 0;
    return csl_cli_print(&out, is_one ? CSL_EXIT_DONE : CSL_EXIT_NEGATIVE);
}
