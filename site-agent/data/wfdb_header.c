/* RECORD[/SEGMENTS] SIGNALS [RATE[/COUNTER[(BASE)]] [SAMPLES [TIME [DATE]]]]
 * FILE FORMAT[xN][:SKEW][+OFFSET] [GAIN[(BASELINE)][/UNIT] [BITS [ZERO [INITIAL [CHECKSUM [BLOCK
 * [TEXT]]]]]]]
 * Lines that are empty or begin with '#' say nothing. */
#include "site-agent/data/wfdb.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define DEFAULT_GAIN    200.0 /* header(5): of a signal that states none */
#define DEFAULT_RATE_HZ 250.0

struct cursor {
    const char *name;
    struct csl_span text;
    size_t at, line_start, end; /* of the current line, without its line end */
    uint32_t line;
    struct csl_err *err;
};

static enum csl_code refuse(const struct cursor *c, enum csl_code code, const char *right)
{
    return CSL_FAIL(c->err, code, "%s:%u:%zu: %s would be right", c->name, c->line,
                    c->at - c->line_start + 1, right);
}

/* The next line that says something; false at the end. */
static bool next_line(struct cursor *c)
{
    size_t at = c->line == 0 ? 0 : c->end;
    while (at < c->text.n) {
        if (c->line > 0)
            at++; /* behind the line feed */
        c->line++;
        c->line_start = c->at = at;
        while (at < c->text.n && c->text.p[at] != '\n')
            at++;
        c->end = at;
        size_t stop = at > c->line_start && c->text.p[at - 1] == '\r' ? at - 1 : at;
        if (stop > c->line_start && c->text.p[c->line_start] != '#')
            return true;
    }
    return false;
}

static bool is_blank(uint8_t b)
{
    return b == ' ' || b == '\t' || b == '\r';
}

/* The next word of the line into out; false when there is none. A word that does not fit is cut to
 * its first bytes and *is_long set. */
static bool next_word(struct cursor *c, char out[160], bool *is_long)
{
    size_t n = 0;
    while (c->at < c->end && is_blank(c->text.p[c->at]))
        c->at++;
    for (size_t i = c->at; i < c->end && !is_blank(c->text.p[i]); i++, n++)
        if (n < 159)
            out[n] = (char)c->text.p[i];
    *is_long = n > 159;
    out[n < 159 ? n : 159] = '\0';
    return n > 0;
}

static void skip_word(struct cursor *c)
{
    while (c->at < c->end && !is_blank(c->text.p[c->at]))
        c->at++;
}

/* Splits the word at the first of `marks`; returns the mark, or 0. *rest: what follows it. */
static char cut_at(char *word, const char *marks, char **rest)
{
    size_t n = strcspn(word, marks);
    char mark = word[n];
    word[n] = '\0';
    *rest = mark == '\0' ? word + n : word + n + 1;
    return mark;
}

/* --- the record line --- */

static enum csl_code record_name(struct cursor *c, char word[160], bool is_long)
{
    if (is_long || strchr(word, '/') != NULL)
        return refuse(c, CSL_E_UNSUPPORTED, "a record of one segment");
    for (const char *p = word; *p != '\0'; p++)
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
              *p == '_' || *p == '-' || *p == '.'))
            return refuse(c, CSL_E_CORRUPT, "a record's name of letters, digits, _, - and .");
    return CSL_OK;
}

static enum csl_code read_record_line(struct cursor *c, struct csl_wfdb_header *h)
{
    char word[160], *rest;
    bool is_long;
    uint64_t signals;
    h->sampling_rate_hz = DEFAULT_RATE_HZ;
    if (!next_line(c) || !next_word(c, word, &is_long))
        return CSL_FAIL(c->err, CSL_E_CORRUPT, "%s:1:1: a header with a record line would be right",
                        c->name);
    enum csl_code code = record_name(c, word, is_long);
    if (code != CSL_OK)
        return code;
    skip_word(c);
    if (!next_word(c, word, &is_long) || !csl_parse_u64(word, &signals))
        return refuse(c, CSL_E_CORRUPT, "the number of signals");
    if (signals == 0 || signals > CSL_WFDB_SIGNALS_MAX)
        return refuse(c, CSL_E_LIMIT, "1 to 64 signals");
    h->signal_count = (uint32_t)signals;
    skip_word(c);
    if (next_word(c, word, &is_long)) {
        (void)cut_at(word, "/(", &rest);
        if (!csl_parse_f64(word, &h->sampling_rate_hz) || !(h->sampling_rate_hz > 0.0))
            return refuse(c, CSL_E_CORRUPT, "a sampling rate above 0");
        skip_word(c);
    }
    if (!next_word(c, word, &is_long) || !csl_parse_u64(word, &h->samples) || h->samples == 0)
        return refuse(c, CSL_E_CORRUPT, "the number of samples per signal, 1 or more,");
    return h->samples > CSL_WFDB_SAMPLES_MAX ? refuse(c, CSL_E_LIMIT, "at most 2^28 samples")
                                             : CSL_OK;
}

/* --- a signal line --- */

static enum csl_code read_file(struct cursor *c, struct csl_wfdb_signal *s)
{
    char word[160];
    bool is_long;
    if (!next_word(c, word, &is_long) || is_long || !csl_str_copy(s->file, sizeof(s->file), word) ||
        strchr(word, '/') != NULL || strcmp(word, "..") == 0 || strcmp(word, ".") == 0 ||
        strcmp(word, "-") == 0 || word[0] == '~')
        return refuse(c, CSL_E_CORRUPT,
                      "the name of a file beside the header, of up to 127 bytes,");
    for (const char *p = word; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return refuse(c, CSL_E_CORRUPT, "a printable name");
    skip_word(c);
    return CSL_OK;
}

static enum csl_code read_format(struct cursor *c, struct csl_wfdb_signal *s)
{
    char word[160], *rest, *number = word;
    bool is_long;
    uint64_t v;
    if (!next_word(c, word, &is_long) || is_long)
        return refuse(c, CSL_E_CORRUPT, "the format of the signal");
    for (char mark = '\0';;) {
        char next = cut_at(number, "x:+", &rest);
        if (!csl_parse_u64(number, &v))
            return refuse(c, CSL_E_CORRUPT, "a format such as 16, 212 or 16+24");
        if (mark == '\0')
            s->format = v > 1000 ? 0 : (uint32_t)v;
        else if (mark == 'x' && v != 1)
            return refuse(c, CSL_E_UNSUPPORTED, "one sample per frame");
        else if (mark == ':' && v != 0)
            return refuse(c, CSL_E_UNSUPPORTED, "a signal without skew");
        else if (mark == '+')
            s->offset = v;
        if (next == '\0')
            break;
        mark = next;
        number = rest;
    }
    if (s->format != 8 && s->format != 16 && s->format != 80 && s->format != 212)
        return refuse(c, CSL_E_UNSUPPORTED, "format 8, 16, 80 or 212");
    if (s->offset > CSL_WFDB_FILE_BYTES_MAX)
        return refuse(c, CSL_E_LIMIT, "a smaller offset");
    skip_word(c);
    return CSL_OK;
}

/* GAIN[(BASELINE)][/UNIT]; *has_baseline: else it is the zero of the converter. */
static enum csl_code read_gain(struct cursor *c, struct csl_wfdb_signal *s, bool *has_baseline)
{
    char word[160], *rest = word, *behind;
    bool is_long;
    int64_t baseline;
    if (!next_word(c, word, &is_long))
        return CSL_OK;
    char mark = is_long ? '\0' : cut_at(word, "(/", &rest);
    if (is_long || !csl_parse_f64(word, &s->gain))
        return refuse(c, CSL_E_CORRUPT, "a gain such as 200, 1000(0)/mV or 1000/mV");
    if (s->gain == 0.0) /* header(5): none is known */
        s->gain = DEFAULT_GAIN;
    if (fabs(s->gain) < 1e-20)
        return refuse(c, CSL_E_CORRUPT, "0, or a gain of 1e-20 or more,");
    if (mark == '(') {
        char close = cut_at(rest, ")", &behind);
        if (close != ')' || !csl_parse_i64(rest, &baseline) || baseline < INT32_MIN ||
            baseline > INT32_MAX || (behind[0] != '\0' && behind[0] != '/'))
            return refuse(c, CSL_E_CORRUPT, "a baseline such as (0) behind the gain");
        s->baseline = (int32_t)baseline;
        *has_baseline = true;
        mark = behind[0];
        rest = behind[0] == '/' ? behind + 1 : behind;
    }
    if (mark == '/' && (rest[0] == '\0' || !csl_str_copy(s->unit, sizeof(s->unit), rest)))
        return refuse(c, CSL_E_CORRUPT, "a unit of 1 to 23 bytes");
    skip_word(c);
    return CSL_OK;
}

/* BITS ZERO INITIAL CHECKSUM, as many as there are. */
static enum csl_code read_numbers(struct cursor *c, struct csl_wfdb_signal *s, bool has_baseline)
{
    char word[160];
    bool is_long;
    for (int i = 0; i < 4 && next_word(c, word, &is_long); i++) {
        int64_t v;
        if (is_long || !csl_parse_i64(word, &v) || v < INT32_MIN || v > INT32_MAX)
            return refuse(c, CSL_E_CORRUPT, "a whole number");
        if (i == 1 && !has_baseline)
            s->baseline = (int32_t)v;
        if (i == 2) {
            s->initial = (int32_t)v;
            s->has_initial = true;
        }
        if (i == 3) { /* written signed or unsigned */
            if (v < -32768 || v > 65535)
                return refuse(c, CSL_E_CORRUPT, "a checksum of 16 bits");
            s->checksum = (uint16_t)((uint64_t)v & 0xffff);
            s->has_checksum = true;
        }
        skip_word(c);
    }
    return CSL_OK;
}

static enum csl_code read_signal_line(struct cursor *c, struct csl_wfdb_signal *s)
{
    bool has_baseline = false;
    s->gain = DEFAULT_GAIN;
    memcpy(s->unit, "mV", 3);
    if (!next_line(c))
        return CSL_FAIL(c->err, CSL_E_CORRUPT,
                        "%s:%u:1: a line for every signal of the record would be right", c->name,
                        c->line);
    enum csl_code code = read_file(c, s);
    if (code == CSL_OK)
        code = read_format(c, s);
    if (code == CSL_OK)
        code = read_gain(c, s, &has_baseline);
    if (code == CSL_OK)
        code = read_numbers(c, s, has_baseline);
    return code;
}

uint32_t csl_wfdb_group(const struct csl_wfdb_header *h, uint32_t first)
{
    uint32_t n = 1;
    while (first + n < h->signal_count &&
           strcmp(h->signals[first + n].file, h->signals[first].file) == 0)
        n++;
    return n;
}

/* Signals of one file stand together and agree on how it is written. */
static enum csl_code check_groups(const struct cursor *c, const struct csl_wfdb_header *h)
{
    for (uint32_t i = 1; i < h->signal_count; i++) {
        const struct csl_wfdb_signal *s = &h->signals[i];
        for (uint32_t k = 0; k < i; k++) {
            const struct csl_wfdb_signal *o = &h->signals[k];
            if (strcmp(s->file, o->file) != 0)
                continue;
            if (s->format != o->format || s->offset != o->offset ||
                strcmp(h->signals[i - 1].file, s->file) != 0)
                return CSL_FAIL(c->err, CSL_E_UNSUPPORTED,
                                "%s:%u:1: signals of one file in one format, one after the other, "
                                "would be right",
                                c->name, c->line);
        }
    }
    return CSL_OK;
}

enum csl_code csl_wfdb_header_read(struct csl_wfdb_header *out, const char *name,
                                   struct csl_span text, struct csl_err *err)
{
    struct cursor c = {.name = name, .text = text, .err = err};
    struct csl_wfdb_header h;
    memset(&h, 0, sizeof(h));
    if (text.n > CSL_WFDB_HEADER_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s:1:1: %zu bytes; at most %zu would be right", name,
                        text.n, CSL_WFDB_HEADER_BYTES_MAX);
    if (text.n > 0 && memchr(text.p, 0, text.n) != NULL)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s:1:1: has a NUL byte; text would be right", name);
    enum csl_code code = read_record_line(&c, &h);
    for (uint32_t i = 0; i < h.signal_count && code == CSL_OK; i++)
        code = read_signal_line(&c, &h.signals[i]);
    if (code == CSL_OK)
        code = check_groups(&c, &h);
    if (code == CSL_OK)
        *out = h;
    return code;
}
