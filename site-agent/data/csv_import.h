/* site-agent/data/csv_import.h - one import of a CSV file, in the steps of its files: csv_import.c
 * (files, columns, the loop over rows), csv_row.c (one row), csv_modality.c and csv_source.c (what
 * lies beside a row: notes, recordings, images, rows of archives), csv_finish.c (rows to records in
 * the order of their patients). */
#ifndef CSL_CSV_IMPORT_H
#define CSL_CSV_IMPORT_H
#include "base/npz.h"
#include "site-agent/data/csv_join.h"
#include "site-agent/data/mapping.h"

struct csl_import_column { /* of the main file, or behind it one of the joined file */
    uint32_t index;
    const struct csl_yaml_node *missing;
};

/* A row of one of the archives, by its key. */
struct csl_archive_row {
    double key;
    uint32_t file, row;
};
/* One item of the mapping's modalities. `made` has kind, shape and names from the first row on that
 * has the modality; its values and availability are in the order of rows. */
struct csl_csv_modality {
    const struct csl_map_modality *o;
    uint32_t column, start; /* UINT32_MAX: none */
    struct csl_record_modality made;
    uint32_t width;                /* of made; 0: no row had it yet */
    uint32_t capacity;             /* rows that made.values and made.available hold */
    uint64_t *row_start, *row_end; /* text: tokens of each row; owned */
    uint32_t *tokens;              /* text: of all rows; owned */
    uint64_t token_count, token_capacity;
    char **kept;                  /* text: [capacity] notes, when they are kept; owned */
    struct csl_npy *arrays;       /* archives: [array_count]; owned */
    struct csl_archive_row *keys; /* [key_count] ascending; owned */
    uint32_t array_count, key_count;
};

/* One CSV file of an import. */
struct csl_csv_file {
    FILE *stream;
    const char *name; /* path as given: files beside it are looked for in its folder */
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
    struct csl_csv_modality modalities[CSL_MODALITIES_MAX]; /* [m->modality_count] */
    const struct csl_csv_file *files;                       /* [file_count] */
    uint32_t file_count, file_index;
    uint32_t split, patient, on, where, extra_where; /* UINT32_MAX: none */
    uint32_t label[CSL_LABELS_MAX], event[CSL_LABELS_MAX];
    uint32_t attribute[CSL_ATTRIBUTES_MAX];
    const char (*extra_any_of)[64];
    uint32_t extra_count;
    /* Rows kept so far; arrays of `capacity` rows, owned. */
    uint32_t row_count, capacity;
    uint64_t data_rows; /* rows of the file, kept or not */
    uint64_t *line;
    uint8_t *row_file; /* index into files */
    char (*patient_id)[64];
    uint8_t *row_split;
    float *values;
    int16_t *label_value[CSL_LABELS_MAX];
    float *label_time[CSL_LABELS_MAX], *label_event[CSL_LABELS_MAX];
    char (*attribute_value[CSL_ATTRIBUTES_MAX])[32];
};

/* Text of a column in the current row. */
const char *csl_import_cell__(const struct csl_csv_import *s, uint32_t column);
/* "FILE:LINE: column 3 (NAME): WHAT", CSL_E_INVAL. */
enum csl_code csl_import_refuse__(const struct csl_csv_import *s, uint32_t column,
                                  const char *what);
/* The cell without blanks around it, cut to 255 bytes: what is longer is no number and no value. */
const char *csl_import_trimmed__(const struct csl_csv_import *s, uint32_t column, char out[256]);
/* csv_modality.c: opens what a modality needs, takes row number `row` (which is row_count), moves
 * the rows into *to, gives everything back. */
enum csl_code csl_csv_modality_open__(struct csl_csv_import *s, uint32_t index) CSL_MUST_CHECK;
enum csl_code csl_csv_modality_row__(struct csl_csv_import *s, uint32_t index,
                                     uint32_t row) CSL_MUST_CHECK;
enum csl_code csl_csv_modality_finish__(struct csl_csv_import *s, uint32_t index,
                                        const uint32_t *order,
                                        struct csl_record_modality *to) CSL_MUST_CHECK;
void csl_csv_modality_release__(struct csl_csv_import *s, uint32_t index);
/* csv_source.c: where the values of a row come from. `values` is room for one record; the first
 * record of a modality sets its shape through csl_csv_modality_shape__ before it is filled. *has
 * false: the record lacks the modality. */
enum csl_code csl_csv_archives_open__(struct csl_csv_import *s,
                                      struct csl_csv_modality *v) CSL_MUST_CHECK;
enum csl_code csl_csv_source_row__(struct csl_csv_import *s, struct csl_csv_modality *v,
                                   uint32_t row, bool *has) CSL_MUST_CHECK;
/* csv_modality.c: accepts the shape, which must be that of the rows before, and makes room for row
 * number `row`; *to is where its values go. */
enum csl_code csl_csv_modality_shape__(struct csl_csv_import *s, struct csl_csv_modality *v,
                                       const struct csl_record_modality *found, uint32_t row,
                                       float **to) CSL_MUST_CHECK;
/* csv_row.c: takes or skips the record that was just read. */
enum csl_code csl_import_row__(struct csl_csv_import *s) CSL_MUST_CHECK;
/* csv_finish.c: moves the rows into *out. */
enum csl_code csl_import_finish__(struct csl_csv_import *s, const char *site,
                                  struct csl_records *out) CSL_MUST_CHECK;

/* csl_import_csv on open streams, the first of `files` and the appended ones; `joined` may be NULL
 * when the mapping joins nothing. */
enum csl_code csl_import_csv_streams__(struct csl_records *out, const char *site,
                                       const struct csl_csv_file *files, uint32_t file_count,
                                       FILE *joined, const char *joined_name,
                                       struct csl_mapping *mapping, const char *where_column,
                                       const char (*where_any_of)[64], uint32_t where_count,
                                       struct csl_err *err) CSL_MUST_CHECK;

#endif
