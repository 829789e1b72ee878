/* simulations/result_csv.c - metrics.csv: one row per round, scope and metric. */
#include "base/check.h"
#include "base/str.h"
#include "simulations/result.h"

#include <string.h>

#include "base/banned.h"

#define COLUMNS 9
static const char header[] = "round,scope,site,domain,metric,value,low,high,method";

static void put_number(struct csl_buf *out, double v)
{
    char text[40];
    csl_str_f64(text, sizeof(text), v);
    csl_buf_str(out, text);
}

/* Scopes, ids and names are made of characters that need no quotes. */
void csl_result_write_csv(const struct csl_result *r, struct csl_buf *out)
{
    csl_buf_printf(out, "%s\n", header);
    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct csl_result_row *row = &r->rows[i];
        csl_buf_printf(out, "%llu,%s,%s,%s,%s,", (unsigned long long)row->round, row->scope,
                       row->site, row->domain, row->metric);
        put_number(out, row->value);
        csl_buf_str(out, ",");
        if (row->has_interval)
            put_number(out, row->low);
        csl_buf_str(out, ",");
        if (row->has_interval)
            put_number(out, row->high);
        csl_buf_printf(out, ",%s\n", row->method);
    }
}

/* Cuts the next line out of *rest into `line`, without its line feed. */
static bool next_line(struct csl_span *rest, char *line, size_t line_bytes)
{
    const uint8_t *end = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
    if (n >= line_bytes)
        return false;
    if (n > 0)
        memcpy(line, rest->p, n);
    line[n] = 0;
    rest->n -= end != NULL ? n + 1 : n;
    rest->p += end != NULL ? n + 1 : n;
    return true;
}

static bool split_fields(char *line, char *fields[COLUMNS])
{
    for (int i = 0; i < COLUMNS; i++) {
        fields[i] = line;
        line = line == NULL ? NULL : strchr(line, ',');
        if ((line == NULL) != (i == COLUMNS - 1))
            return false;
        if (line != NULL)
            *line++ = 0;
    }
    return true;
}

static bool read_row(char *line, struct csl_result_row *row)
{
    char *f[COLUMNS];
    if (!split_fields(line, f) || !csl_parse_u64(f[0], &row->round) ||
        !csl_str_copy(row->scope, sizeof(row->scope), f[1]) ||
        !csl_str_copy(row->site, sizeof(row->site), f[2]) ||
        !csl_str_copy(row->domain, sizeof(row->domain), f[3]) ||
        !csl_str_copy(row->metric, sizeof(row->metric), f[4]) || !csl_parse_f64(f[5], &row->value))
        return false;
    row->has_interval = f[6][0] != 0;
    if (row->has_interval && (!csl_parse_f64(f[6], &row->low) || !csl_parse_f64(f[7], &row->high)))
        return false;
    return csl_str_copy(row->method, sizeof(row->method), f[8]);
}

enum csl_code csl_result_read_csv(struct csl_result *r, const char *name, struct csl_span csv,
                                  struct csl_err *err)
{
    char line[640];
    uint32_t number = 1;
    if (!next_line(&csv, line, sizeof(line)) || strcmp(line, header) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s:1: the header '%s' would be right", name, header);
    while (csv.n > 0) {
        struct csl_result_row row = {0};
        number++;
        if (!next_line(&csv, line, sizeof(line)) || !read_row(line, &row))
            return CSL_FAIL(err, CSL_E_CORRUPT, "%s:%u: nine columns '%s' would be right", name,
                            number, header);
        enum csl_code code = csl_result_add_row(r, &row, err);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}
