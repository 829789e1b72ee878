/* site-agent/data/csv_import.h - one import of a CSV file, in the steps of its three files:
 * csv_import.c (files, columns, the loop over rows), csv_row.c (one row), csv_finish.c (rows to
 * records in the order of their patients). */
#ifndef CSL_CSV_IMPORT_H
#define CSL_CSV_IMPORT_H
#include "site-agent/data/csv_join.h"
#include "site-agent/data/mapping.h"

struct csl_import_column { /* of the main file, or behind it one of the joined file */
    uint32_t index;
    const struct csl_yaml_node *missing;
};

struct csl_csv_import {
    const struct csl_mapping *m;
    struct csl_err *err;
    struct csl_csv csv;
    struct csl_join_table join;
    const struct csl_join_row *matched; /* of the current row */
    char **names;                       /* [main_count] header of the main file; owned */
    uint32_t main_count;
    /* Where the mapping's columns are. */
    struct csl_import_column *features; /* [feature_count]; owned */
    char (*feature_names)[64];          /* [feature_count]; owned until handed over */
    uint32_t feature_count;
    uint32_t split, patient, on, where, extra_where; /* UINT32_MAX: none */
    uint32_t label[CSL_LABELS_MAX], event[CSL_LABELS_MAX];
    uint32_t attribute[CSL_ATTRIBUTES_MAX];
    const char (*extra_any_of)[64];
    uint32_t extra_count;
    /* Rows kept so far; arrays of `capacity` rows, owned. */
    uint32_t row_count, capacity;
    uint64_t data_rows; /* rows of the file, kept or not */
    uint64_t *line;
    char (*patient_id)[64];
    uint8_t *row_split;
    float *values;
    int16_t *label_value[CSL_LABELS_MAX];
    float *label_time[CSL_LABELS_MAX], *label_event[CSL_LABELS_MAX];
    char (*attribute_value[CSL_ATTRIBUTES_MAX])[32];
};

/* Text of a column in the current row. */
const char *csl_import_cell__(const struct csl_csv_import *s, uint32_t column);
/* csv_row.c: takes or skips the record that was just read. */
enum csl_code csl_import_row__(struct csl_csv_import *s) CSL_MUST_CHECK;
/* csv_finish.c: moves the rows into *out. */
enum csl_code csl_import_finish__(struct csl_csv_import *s, const char *site,
                                  struct csl_records *out) CSL_MUST_CHECK;

/* csl_import_csv on open streams; `joined` may be NULL when the mapping joins nothing. `take_yaml`
 * is consumed. */
enum csl_code csl_import_csv_streams__(struct csl_records *out, const char *site, FILE *stream,
                                       const char *name, FILE *joined, const char *joined_name,
                                       struct csl_mapping *mapping, const char *where_column,
                                       const char (*where_any_of)[64], uint32_t where_count,
                                       struct csl_err *err) CSL_MUST_CHECK;

#endif
