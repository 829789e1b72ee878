#include "site-agent/data/csv.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

#include "base/banned.h"

void csl_csv_init(struct csl_csv *c, FILE *stream, const char *name)
{
    memset(c, 0, sizeof(*c));
    c->stream = stream;
    c->name = name;
    c->line = 1;
}

void csl_csv_release(struct csl_csv *c)
{
    csl_free(c->bytes);
    csl_free(c->fields);
    c->bytes = NULL;
    c->fields = NULL;
    c->field_count = 0;
}

const char *csl_csv_field(const struct csl_csv *c, uint32_t i)
{
    CSL_ASSERT(i < c->field_count);
    return c->bytes + c->fields[i];
}

static enum csl_code grow_failed(const struct csl_csv *c, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_NOMEM, "no memory for line %llu of %s",
                    (unsigned long long)c->record_line, c->name);
}

static enum csl_code put(struct csl_csv *c, int byte, struct csl_err *err)
{
    if (c->used == CSL_CSV_RECORD_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "%s:%llu: the record is longer than %zu bytes (an unclosed quote?)",
                        c->name, (unsigned long long)c->record_line, CSL_CSV_RECORD_BYTES_MAX);
    if (c->used == c->capacity) {
        size_t capacity = c->capacity == 0 ? 4096 : 2 * c->capacity;
        char *p = csl_realloc_array(c->bytes, capacity, 1);
        if (p == NULL)
            return grow_failed(c, err);
        c->bytes = p;
        c->capacity = capacity;
    }
    c->bytes[c->used++] = (char)byte;
    return CSL_OK;
}

static enum csl_code open_field(struct csl_csv *c, struct csl_err *err)
{
    if (c->field_count == CSL_CSV_COLUMNS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s:%llu: more than %d columns", c->name,
                        (unsigned long long)c->record_line, CSL_CSV_COLUMNS_MAX);
    if (c->field_count == c->field_capacity) {
        uint32_t capacity = c->field_capacity == 0 ? 64 : 2 * c->field_capacity;
        size_t *p = csl_realloc_array(c->fields, capacity, sizeof(*p));
        if (p == NULL)
            return grow_failed(c, err);
        c->fields = p;
        c->field_capacity = capacity;
    }
    c->fields[c->field_count++] = c->used;
    return CSL_OK;
}

/* The next byte with CRLF seen as LF; EOF at the end. */
static int next_byte(struct csl_csv *c)
{
    int byte = getc(c->stream);
    if (byte == '\r') {
        int after = getc(c->stream);
        if (after == '\n')
            byte = '\n';
        else if (after != EOF)
            (void)ungetc(after, c->stream);
    }
    if (byte == '\n')
        c->line++;
    return byte;
}

static enum csl_code refuse(const struct csl_csv *c, const char *what, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_INVAL, "%s:%llu: column %u: %s", c->name,
                    (unsigned long long)c->line, c->field_count, what);
}

enum state { AT_START, IN_PLAIN, IN_QUOTES, AFTER_QUOTE };

/* One byte of a field; *state tells what is allowed next. Ends of fields are the caller's. */
static enum csl_code take(struct csl_csv *c, enum state *state, int byte, struct csl_err *err)
{
    if (byte == 0)
        return refuse(c, "found a NUL byte; text would be right", err);
    switch (*state) {
    case AT_START:
        *state = byte == '"' ? IN_QUOTES : IN_PLAIN;
        return byte == '"' ? CSL_OK : put(c, byte, err);
    case IN_PLAIN:
        if (byte == '"')
            return refuse(c,
                          "found a quote inside an unquoted field; quoting the whole field "
                          "would be right",
                          err);
        return put(c, byte, err);
    case IN_QUOTES:
        if (byte == '"') {
            *state = AFTER_QUOTE;
            return CSL_OK;
        }
        return put(c, byte, err);
    case AFTER_QUOTE:
        break;
    }
    if (byte != '"')
        return refuse(c,
                      "found text after a closing quote; a comma or the line's end would be "
                      "right",
                      err);
    *state = IN_QUOTES;
    return put(c, '"', err);
}

static enum csl_code finish(struct csl_csv *c, enum state state, struct csl_err *err)
{
    if (ferror(c->stream))
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot read %s", c->name);
    if (state == IN_QUOTES) {
        return CSL_FAIL(err, CSL_E_INVAL, "%s:%llu: column %u: the quote is never closed", c->name,
                        (unsigned long long)c->record_line, c->field_count);
    }
    return put(c, 0, err);
}

static enum csl_code read_record(struct csl_csv *c, int byte, struct csl_err *err)
{
    enum state state = AT_START;
    enum csl_code code = open_field(c, err);
    while (code == CSL_OK && byte != EOF && (byte != '\n' || state == IN_QUOTES)) {
        if (byte == ',' && state != IN_QUOTES) {
            state = AT_START;
            code = put(c, 0, err);
            if (code == CSL_OK)
                code = open_field(c, err);
        } else {
            code = take(c, &state, byte, err);
        }
        if (code == CSL_OK)
            byte = next_byte(c);
    }
    return code == CSL_OK ? finish(c, state, err) : code;
}

static int skip_mark(struct csl_csv *c, int byte)
{
    c->has_started = true;
    if (byte != 0xef)
        return byte;
    int second = getc(c->stream);
    if (second != 0xbb) {
        if (second != EOF)
            (void)ungetc(second, c->stream);
        return byte;
    }
    int third = getc(c->stream);
    return third == 0xbf ? next_byte(c) : third;
}

enum csl_code csl_csv_next(struct csl_csv *c, struct csl_err *err)
{
    c->used = 0;
    c->field_count = 0;
    int byte = next_byte(c);
    if (!c->has_started)
        byte = skip_mark(c, byte);
    while (byte == '\n')
        byte = next_byte(c);
    if (byte == EOF)
        return ferror(c->stream) ? CSL_FAIL_SYS(err, CSL_E_IO, "cannot read %s", c->name)
                                 : CSL_E_END;
    c->record_line = c->line;
    return read_record(c, byte, err);
}
