#include "site-agent/data/csv_join.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define TEXT_BYTES_MAX ((size_t)1 << 30)
#define ROWS_MAX       ((size_t)1 << 26)

void csl_join_release(struct csl_join_table *t)
{
    csl_buf_release(&t->text);
    csl_free(t->cells);
    csl_free(t->rows);
    csl_free(t->names);
    memset(t, 0, sizeof(*t));
}

static enum csl_code read_header(struct csl_join_table *t, struct csl_csv *c,
                                 const char *key_column, const char *prefix, uint32_t *key,
                                 struct csl_err *err)
{
    enum csl_code code = csl_csv_next(c, err);
    if (code == CSL_E_END)
        return CSL_FAIL(err, CSL_E_INVAL, "%s is empty; a line of column names would be right",
                        c->name);
    if (code != CSL_OK)
        return code;
    t->names = csl_alloc_array(c->field_count, sizeof(*t->names));
    if (t->names == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %s", c->name);
    t->column_count = c->field_count;
    *key = UINT32_MAX;
    for (uint32_t i = 0; i < c->field_count; i++) {
        const char *name = csl_csv_field(c, i);
        int n = snprintf(t->names[i], sizeof(t->names[i]), "%s%s", prefix, name);
        if (n < 0 || (size_t)n >= sizeof(t->names[i]))
            return CSL_FAIL(err, CSL_E_LIMIT, "%s:1: name of column %u is longer than %zu bytes",
                            c->name, i + 1, sizeof(t->names[i]) - 1);
        if (strcmp(name, key_column) == 0)
            *key = i;
    }
    if (*key == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "%s:1: no column is named '%s'", c->name, key_column);
    return CSL_OK;
}

static enum csl_code grow(struct csl_join_table *t, const struct csl_csv *c, struct csl_err *err)
{
    if (t->row_count == ROWS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s has more than %zu rows", c->name, ROWS_MAX);
    if (t->row_count == t->row_capacity) {
        size_t capacity = t->row_capacity == 0 ? 256 : 2 * t->row_capacity;
        struct csl_join_row *p = csl_realloc_array(t->rows, capacity, sizeof(*p));
        if (p == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %s", c->name);
        t->rows = p;
        t->row_capacity = capacity;
    }
    if (t->cell_capacity - t->cell_count < t->column_count) {
        size_t capacity = 2 * t->cell_capacity + 256 + t->column_count;
        size_t *p = csl_realloc_array(t->cells, capacity, sizeof(*p));
        if (p == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %s", c->name);
        t->cells = p;
        t->cell_capacity = capacity;
    }
    return CSL_OK;
}

static enum csl_code add_row(struct csl_join_table *t, const struct csl_csv *c, uint32_t key,
                             struct csl_err *err)
{
    if (c->field_count != t->column_count)
        return CSL_FAIL(
            err, CSL_E_INVAL, "%s:%llu: found %u columns; %u as in its header line would be right",
            c->name, (unsigned long long)c->record_line, c->field_count, t->column_count);
    enum csl_code code = grow(t, c, err);
    if (code != CSL_OK)
        return code;
    struct csl_join_row *row = &t->rows[t->row_count++];
    *row = (struct csl_join_row){NULL, 0, t->cell_count};
    for (uint32_t i = 0; i < c->field_count; i++) {
        const char *text = csl_csv_field(c, i);
        if (i == key)
            row->key_offset = t->text.n;
        t->cells[t->cell_count++] = t->text.n;
        csl_buf_append(&t->text, text, strlen(text) + 1);
    }
    return csl_buf_status(&t->text, err);
}

static int compare_rows(const void *a, const void *b)
{
    const struct csl_join_row *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static enum csl_code sort_rows(struct csl_join_table *t, const char *name, struct csl_err *err)
{
    for (uint32_t i = 0; i < t->row_count; i++)
        t->rows[i].key = (const char *)t->text.p + t->rows[i].key_offset;
    if (t->row_count > 0)
        qsort(t->rows, t->row_count, sizeof(*t->rows), compare_rows);
    for (uint32_t i = 1; i < t->row_count; i++) {
        if (strcmp(t->rows[i - 1].key, t->rows[i].key) == 0) {
            size_t a = t->rows[i - 1].first_cell / t->column_count;
            size_t b = t->rows[i].first_cell / t->column_count;
            return CSL_FAIL(err, CSL_E_INVAL,
                            "%s: records %zu and %zu have the same key; one row per key would be "
                            "right",
                            name, (a < b ? a : b) + 1, (a < b ? b : a) + 1);
        }
    }
    return CSL_OK;
}

enum csl_code csl_join_read(struct csl_join_table *t, FILE *stream, const char *name,
                            const char *key_column, const char *prefix, struct csl_err *err)
{
    struct csl_csv c;
    uint32_t key = 0;
    memset(t, 0, sizeof(*t));
    csl_buf_init(&t->text, TEXT_BYTES_MAX);
    csl_csv_init(&c, stream, name);
    enum csl_code code = read_header(t, &c, key_column, prefix, &key, err);
    while (code == CSL_OK) {
        code = csl_csv_next(&c, err);
        if (code == CSL_OK)
            code = add_row(t, &c, key, err);
    }
    if (code == CSL_E_END)
        code = sort_rows(t, name, err);
    csl_csv_release(&c);
    if (code != CSL_OK)
        csl_join_release(t);
    return code;
}

const struct csl_join_row *csl_join_find(const struct csl_join_table *t, const char *key)
{
    const struct csl_join_row wanted = {key, 0, 0};
    if (t->row_count == 0)
        return NULL;
    return bsearch(&wanted, t->rows, t->row_count, sizeof(*t->rows), compare_rows);
}

const char *csl_join_cell(const struct csl_join_table *t, const struct csl_join_row *row,
                          uint32_t column)
{
    return (const char *)t->text.p + t->cells[row->first_cell + column];
}
