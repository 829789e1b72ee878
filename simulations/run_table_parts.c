/* simulations/run_table_parts.c - names and values in columns, text in lines. */
#include "simulations/run_table_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NAME_WIDTH  CSL_TABLE_NAME_WIDTH
#define VALUE_WIDTH CSL_TABLE_VALUE_WIDTH
#define TEXT_WIDTH  108

void csl_table__name(struct csl_buf *out, const char *name)
{
    csl_buf_printf(out, "  %-*s", NAME_WIDTH, name);
}

void csl_table__value(struct csl_buf *out, bool is_measured, double value, bool has_interval,
                      double low, double high)
{
    char text[64] = "-";
    if (is_measured && has_interval)
        (void)snprintf(text, sizeof(text), "%.3f (%.2f-%.2f)", value, low, high);
    else if (is_measured)
        (void)snprintf(text, sizeof(text), "%.3f", value);
    csl_buf_printf(out, "%-*s", VALUE_WIDTH, text);
}

/* Ends a line without the blanks of its last column. */
void csl_table__end_line(struct csl_buf *out)
{
    while (out->n > 0 && out->p[out->n - 1] == ' ')
        out->n--;
    csl_buf_str(out, "\n");
}

void csl_table__metric(struct csl_buf *out, const struct csl_metric *m)
{
    if (m != NULL)
        csl_table__value(out, true, m->value, m->method != NULL, m->low, m->high);
    else
        csl_table__value(out, false, 0, false, 0, 0);
}

void csl_table__mean(struct csl_buf *out, bool is_measured, const struct csl_mean *m)
{
    csl_table__value(out, is_measured, m->value, m->has_interval, m->low, m->high);
}

void csl_table__spread(struct csl_buf *out, const struct csl_spread_set *set, const char *metric)
{
    const struct csl_spread *s = csl_spread_find(set, metric);
    char text[64] = "-";
    double sd;
    if (s != NULL && csl_spread_sd(s, &sd))
        (void)snprintf(text, sizeof(text), "%.4f +- %.4f", s->mean, sd);
    else if (s != NULL)
        (void)snprintf(text, sizeof(text), "%.4f", s->mean);
    csl_buf_printf(out, "%-*s", VALUE_WIDTH, text);
}

/* Whole words, in lines of about TEXT_WIDTH characters. */
void csl_table__text(struct csl_buf *out, const char *text)
{
    size_t column = 0;
    while (*text != 0) {
        size_t n = strcspn(text, " ");
        bool is_new = column == 0 || column + 1 + n > TEXT_WIDTH;
        csl_buf_str(out, is_new ? (column == 0 ? "  " : "\n  ") : " ");
        csl_buf_append(out, text, n);
        column = is_new ? n : column + 1 + n;
        text += n + strspn(text + n, " ");
    }
    csl_buf_str(out, "\n");
}
