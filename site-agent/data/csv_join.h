/* site-agent/data/csv_join.h - a CSV file held in memory by the key of one of its columns. */
#ifndef CSL_CSV_JOIN_H
#define CSL_CSV_JOIN_H
#include "base/buf.h"
#include "site-agent/data/csv.h"

struct csl_join_row {
    const char *key;   /* set when the table is complete */
    size_t key_offset; /* into text */
    size_t first_cell; /* into cells */
};
struct csl_join_table {
    struct csl_buf text;       /* every cell with its NUL */
    size_t *cells;             /* offsets into text; owned */
    struct csl_join_row *rows; /* [row_count] ascending by key; owned */
    char (*names)[256];        /* [column_count] with the prefix; owned */
    uint32_t column_count, row_count;
    size_t cell_count, cell_capacity, row_capacity;
};

/* The first record names the columns. CSL_E_INVAL: no such key column, two rows of one key (the
 * lines are named, the key is not), a row with another number of columns. */
enum csl_code csl_join_read(struct csl_join_table *t, FILE *stream, const char *name,
                            const char *key_column, const char *prefix,
                            struct csl_err *err) CSL_MUST_CHECK;
void csl_join_release(struct csl_join_table *t);
const struct csl_join_row *csl_join_find(const struct csl_join_table *t,
                                         const char *key); /* NULL */
const char *csl_join_cell(const struct csl_join_table *t, const struct csl_join_row *row,
                          uint32_t column);

#endif
