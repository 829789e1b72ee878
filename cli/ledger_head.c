/* cli/ledger_head.c - a head of a ledger that somebody kept, from a file as it lies around. */
#include "base/file.h"
#include "base/str.h"
#include "cli/ledger_verbs.h"

#include <string.h>

#include "base/banned.h"

#define KEY_DIGITS ((size_t)2 * CSL_SIGN_PUBLIC_BYTES)

/* What is at the end of an export; its entries are not looked into. CSL_E_PROTO: not an export. */
static enum csl_code copy_from_export(FILE *in, char out[CSL_CHECKPOINT_TEXT_MAX],
                                      struct csl_err *err)
{
    struct csl_export_reader *reader = NULL;
    struct csl_export_record record;
    enum csl_code code = csl_export_open(&reader, in, err);

    while (code == CSL_OK)
        code = csl_export_next(reader, &record, err);
    if (code == CSL_E_END) {
        struct csl_span text = csl_export_checkpoint(reader);
        code = text.n < CSL_CHECKPOINT_TEXT_MAX
                   ? CSL_OK
                   : CSL_FAIL(err, CSL_E_PROTO, "the export's head is too long");
        if (code == CSL_OK) {
            memcpy(out, text.p, text.n);
            out[text.n] = '\0';
        }
    }
    csl_export_close(reader);
    return code;
}

/* A checkpoint, with or without a line before it that says whose. */
static enum csl_code copy_checkpoint(const char *path,
                                     const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                     char out[CSL_CHECKPOINT_TEXT_MAX], struct csl_err *err)
{
    struct csl_msg file = {NULL, 0};
    char hex[KEY_DIGITS + 1];
    enum csl_code code = csl_file_read(&file, path, KEY_DIGITS + 1 + CSL_CHECKPOINT_TEXT_MAX, err);

    if (code != CSL_OK)
        return code;
    csl_hex(public_key, CSL_SIGN_PUBLIC_BYTES, hex);
    struct csl_span text = csl_msg_span(&file);
    const uint8_t *end = memchr(text.p, '\n', text.n);
    bool has_key = end != NULL && (size_t)(end - text.p) == KEY_DIGITS;
    if (has_key && memcmp(text.p, hex, KEY_DIGITS) != 0)
        code = CSL_FAIL(err, CSL_E_INVAL, "a head of another key; one of %s would be right", hex);
    if (has_key)
        text = CSL_SPAN(text.p + KEY_DIGITS + 1, text.n - KEY_DIGITS - 1);
    if (code == CSL_OK && text.n >= CSL_CHECKPOINT_TEXT_MAX)
        code = CSL_FAIL(err, CSL_E_INVAL, "too long for a head");
    if (code == CSL_OK) {
        memcpy(out, text.p, text.n);
        out[text.n] = '\0';
    }
    csl_msg_release(&file);
    return code;
}

enum csl_code csl_cli_ledger_read_head(struct csl_checkpoint *out, const char *path,
                                       const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                       struct csl_err *err)
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    struct csl_err why = {.code = CSL_OK};
    FILE *in = NULL;
    enum csl_code code = csl_cli_ledger_open_file(&in, path, err);

    if (code != CSL_OK)
        return code;
    code = copy_from_export(in, text, &why);
    (void)fclose(in);
    if (code == CSL_E_PROTO)
        code = copy_checkpoint(path, public_key, text, &why);
    if (code == CSL_OK)
        code = csl_checkpoint_read(out, CSL_SPAN(text, strlen(text)), public_key, &why);
    if (code == CSL_OK || code == CSL_E_IO || code == CSL_E_NOMEM)
        return code == CSL_OK ? code : CSL_FAIL(err, code, "%s", why.msg);
    return CSL_FAIL(err, CSL_E_INVAL,
                    "--head %.300s: %s; a head that this ledger's key signed would be right", path,
                    why.msg);
}
