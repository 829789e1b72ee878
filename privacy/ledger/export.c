#include "privacy/ledger/export.h"

#include "base/mem.h"
#include "privacy/ledger/base64.h"
#include "privacy/ledger/ledger_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LINE       "consilium-ledger-export v1\n"
#define SIGNATURE_LENGTH CSL_BASE64_LENGTH(CSL_SIGN_SIGNATURE_BYTES)
#define LINE_MAX_BYTES   (CSL_BASE64_LENGTH(CSL_LEDGER_ENTRY_MAX) + 1 + SIGNATURE_LENGTH + 2)

struct csl_export_reader {
    FILE *in;
    char line[LINE_MAX_BYTES + 1];
    char checkpoint[CSL_CHECKPOINT_TEXT_MAX];
    size_t checkpoint_bytes;
};

enum csl_code csl_export_open(struct csl_export_reader **out, FILE *in, struct csl_err *err)
{
    if (fseek(in, 0, SEEK_SET) != 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "export");
    struct csl_export_reader *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read the export");
    r->in = in;
    if (fgets(r->line, sizeof(r->line), in) == NULL || strcmp(r->line, FIRST_LINE) != 0) {
        csl_export_close(r);
        return CSL_FAIL(err, CSL_E_PROTO, "not an export of a ledger");
    }
    *out = r;
    return CSL_OK;
}

void csl_export_close(struct csl_export_reader *r)
{
    csl_free(r);
}

static enum csl_code read_checkpoint(struct csl_export_reader *r, struct csl_err *err)
{
    r->checkpoint_bytes = fread(r->checkpoint, 1, sizeof(r->checkpoint), r->in);
    if (ferror(r->in))
        return CSL_FAIL(err, CSL_E_IO, "the export cannot be read");
    if (r->checkpoint_bytes == sizeof(r->checkpoint))
        return CSL_FAIL(err, CSL_E_PROTO, "the signed head at the end is too long");
    return CSL_E_END;
}

enum csl_code csl_export_next(struct csl_export_reader *r, struct csl_export_record *out,
                              struct csl_err *err)
{
    if (fgets(r->line, sizeof(r->line), r->in) == NULL)
        return ferror(r->in) ? CSL_FAIL(err, CSL_E_IO, "the export cannot be read")
                             : CSL_FAIL(err, CSL_E_PROTO, "the export has no signed head");
    if (strcmp(r->line, "\n") == 0)
        return read_checkpoint(r, err);
    size_t n = strlen(r->line), signature_bytes = 0;
    char *space = strchr(r->line, ' ');
    if (n == 0 || r->line[n - 1] != '\n' || space == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "the line is no entry");
    size_t encoded = (size_t)(space - r->line);
    if (!csl_base64_decode(r->line, encoded, out->bytes, sizeof(out->bytes), &out->byte_count) ||
        !csl_base64_decode(space + 1, n - encoded - 2, out->signature, sizeof(out->signature),
                           &signature_bytes) ||
        signature_bytes != sizeof(out->signature))
        return CSL_FAIL(err, CSL_E_PROTO, "the line is no entry");
    return CSL_OK;
}

struct csl_span csl_export_checkpoint(const struct csl_export_reader *r)
{
    return CSL_SPAN(r->checkpoint, r->checkpoint_bytes);
}

/* The next record of one side; at the end *has_more is false. */
static enum csl_code step(struct csl_export_reader *r, struct csl_export_record *record,
                          uint64_t *size, bool *has_more, struct csl_err *err)
{
    if (!*has_more)
        return CSL_OK;
    enum csl_code code = csl_export_next(r, record, err);
    if (code == CSL_E_END) {
        *has_more = false;
        return CSL_OK;
    }
    *size += 1;
    return code;
}

static enum csl_code compare(struct csl_export_reader *a, struct csl_export_reader *b,
                             struct csl_export_record records[2], struct csl_ledger_difference *out,
                             struct csl_err *err)
{
    bool has_a = true, has_b = true, is_common = true;
    enum csl_code code = CSL_OK;
    while (code == CSL_OK && (has_a || has_b)) {
        code = step(a, &records[0], &out->size_a, &has_a, err);
        if (code == CSL_OK)
            code = step(b, &records[1], &out->size_b, &has_b, err);
        is_common = is_common && has_a && has_b && records[0].byte_count == records[1].byte_count &&
                    memcmp(records[0].bytes, records[1].bytes, records[0].byte_count) == 0;
        if (code == CSL_OK && is_common)
            out->common++;
    }
    return code;
}

enum csl_code csl_ledger_diff(FILE *a, FILE *b, struct csl_ledger_difference *out,
                              struct csl_err *err)
{
    struct csl_export_reader *left = NULL, *right = NULL;
    struct csl_export_record *records = csl_alloc_array(2, sizeof(*records));
    struct csl_ledger_difference d = {.common = 0};
    enum csl_code code = records != NULL ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "no memory");
    if (code == CSL_OK)
        code = csl_export_open(&left, a, err);
    if (code == CSL_OK)
        code = csl_export_open(&right, b, err);
    if (code == CSL_OK)
        code = compare(left, right, records, &d, err);
    csl_export_close(right);
    csl_export_close(left);
    csl_free(records);
    if (code == CSL_OK)
        *out = d;
    return code;
}

static enum csl_code write_entries(struct csl_ledger *l, FILE *f, struct csl_err *err)
{
    char line[LINE_MAX_BYTES + 1];
    enum csl_code code = CSL_OK;
    csl_ledger_store__seek(l->store, 0);
    for (uint64_t i = 0; code == CSL_OK && i < l->rules->count; i++) {
        struct csl_span bytes;
        uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
        code = csl_ledger_store__next(l->store, &bytes, signature, err);
        if (code == CSL_E_END || (code == CSL_OK && bytes.n > CSL_LEDGER_ENTRY_MAX))
            return CSL_FAIL(err, CSL_E_CORRUPT, "entry %llu is gone or too long",
                            (unsigned long long)i);
        if (code != CSL_OK)
            return code;
        csl_base64_encode(bytes.p, bytes.n, line);
        size_t n = strlen(line);
        line[n] = ' ';
        csl_base64_encode(signature, sizeof(signature), line + n + 1);
        if (fprintf(f, "%s\n", line) < 0)
            return CSL_FAIL_SYS(err, CSL_E_IO, "the export cannot be written");
    }
    return code;
}

enum csl_code csl_ledger_export(struct csl_ledger *l, const char *path, struct csl_err *err)
{
    char tmp[CSL_PATH_MAX], text[CSL_CHECKPOINT_TEXT_MAX];
    struct csl_checkpoint head;
    int n = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof(tmp))
        return CSL_FAIL(err, CSL_E_LIMIT, "the path of the export is too long");
    if (l->rules->count == 0 || l->is_broken)
        return CSL_FAIL(err, CSL_E_STATE, "the ledger is empty or must be opened again");
    FILE *f = fopen(tmp, "w");
    if (f == NULL)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot create %s", tmp);
    csl_ledger_head(l, &head);
    csl_checkpoint_write(&head, l->rules->public_key, text);
    enum csl_code code = fputs(FIRST_LINE, f) < 0 ? CSL_FAIL_SYS(err, CSL_E_IO, "%s", tmp) : CSL_OK;
    if (code == CSL_OK)
        code = write_entries(l, f, err);
    if (code == CSL_OK && fprintf(f, "\n%s", text) < 0)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s", tmp);
    if (fclose(f) != 0 && code == CSL_OK)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s", tmp);
    if (code == CSL_OK)
        return csl_file_commit(tmp, path, err);
    unlink(tmp);
    return code;
}
