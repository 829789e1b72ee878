#include "site-agent/data/mapping_internal.h"

#include "base/banned.h"

#define AT(type, field)   .offset = offsetof(struct type, field)
#define TEXT(type, field) AT(type, field), .size = sizeof(((struct type *)0)->field)

static const char *const label_kinds[] = {"binary", "classes", "survival", NULL};
static const char *const modality_kinds[] = {"tabular", "image2d",   "signal",  "ehr_series",
                                             "text",    "embedding", "image3d", NULL};
static const char *const file_formats[] = {"none", "wfdb", "image", NULL};
static const char *const unmatched_choices[] = {"error", "skip", NULL};

#define COMMON_ROWS                                                                                \
    {.name = "format",                                                                             \
     .type = CSL_OPT_STR,                                                                          \
     TEXT(csl_map_raw, format),                                                                    \
     .help = "consilium.mapping/1"},                                                               \
        {.name = "licence",                                                                        \
         .type = CSL_OPT_STR,                                                                      \
         TEXT(csl_map_raw, licence),                                                               \
         .fallback = "",                                                                           \
         .help = "Terms under which the data may be used."},                                       \
        {.name = "split_rule",                                                                     \
         .type = CSL_OPT_STR,                                                                      \
         TEXT(csl_map_raw, split_rule),                                                            \
         .fallback = "",                                                                           \
         .help = "How patients were split, in words."},                                            \
        {.name = "labels",                                                                         \
         .type = CSL_OPT_NODE,                                                                     \
         AT(csl_map_raw, labels),                                                                  \
         .help = "What is known."},                                                                \
    {                                                                                              \
        .name = "split", .type = CSL_OPT_NODE, AT(csl_map_raw, split),                             \
        .help = "Which part is which."                                                             \
    }

const struct csl_option csl_map_csv_rows[] = {
    COMMON_ROWS,
    {.name = "modality",
     .type = CSL_OPT_STR,
     TEXT(csl_map_raw, modality),
     .fallback = CSL_TABULAR_NAME,
     .help = "Name of the table."},
    {.name = "patient_column",
     .type = CSL_OPT_STR,
     TEXT(csl_map_raw, patient_column),
     .fallback = "",
     .help = "Column with the patient's key; absent: every row is a patient of its own."},
    {.name = "header",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw, header),
     .help = "Names of the columns of a file without a header line."},
    {.name = "missing",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw, missing),
     .help = "Cells that mean 'not known' beside the empty one."},
    {.name = "join", .type = CSL_OPT_NODE, AT(csl_map_raw, join), .help = "A second file."},
    {.name = "where", .type = CSL_OPT_NODE, AT(csl_map_raw, where), .help = "Rows to take."},
    {.name = "features", .type = CSL_OPT_NODE, AT(csl_map_raw, features), .help = "Inputs."},
    {.name = "modalities",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw, modalities),
     .help = "Inputs that lie in other files, or in columns of text."},
    {.name = "append",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw, append),
     .help = "Further CSV files with the same columns, beside the first."},
    {.name = "attributes",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw, attributes),
     .help = "Demographic attributes of patients."},
    CSL_OPTION_END,
};
const struct csl_option csl_map_npz_rows[] = {
    COMMON_ROWS,
    {.name = "modalities", .type = CSL_OPT_NODE, AT(csl_map_raw, modalities), .help = "Inputs."},
    CSL_OPTION_END,
};

const struct csl_option csl_map_join_rows[] = {
    {.name = "file", .type = CSL_OPT_PATH, TEXT(csl_map_join, file), .help = "Beside the CSV."},
    {.name = "key", .type = CSL_OPT_STR, TEXT(csl_map_join, key), .help = "Column of that file."},
    {.name = "on",
     .type = CSL_OPT_STR,
     TEXT(csl_map_join, on),
     .fallback = "",
     .help = "Column of the main file with the same key; absent: of the same name."},
    {.name = "prefix",
     .type = CSL_OPT_STR,
     TEXT(csl_map_join, prefix),
     .fallback = "",
     .help = "Put before the names of the joined columns."},
    {.name = "unmatched",
     .type = CSL_OPT_ENUM,
     AT(csl_map_join, unmatched),
     .choices = unmatched_choices,
     .fallback = "error",
     .help = "Rows whose key is not in that file."},
    CSL_OPTION_END,
};

const struct csl_option csl_map_where_rows[] = {
    {.name = "column", .type = CSL_OPT_STR, TEXT(csl_map_raw_where, column), .help = "Column."},
    {.name = "any_of",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw_where, any_of),
     .help = "Values to take."},
    CSL_OPTION_END,
};

const struct csl_option csl_map_feature_rows[] = {
    {.name = "name", .type = CSL_OPT_STR, TEXT(csl_map_raw_feature, f.name), .help = "Name."},
    {.name = "column",
     .type = CSL_OPT_STR,
     TEXT(csl_map_raw_feature, f.column),
     .fallback = "",
     .help = "Column; absent: of the same name."},
    {.name = "unit",
     .type = CSL_OPT_STR,
     TEXT(csl_map_raw_feature, f.unit),
     .fallback = "",
     .help = "Unit."},
    {.name = "range",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw_feature, range),
     .help = "Plausible values."},
    {.name = "missing",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw_feature, f.missing),
     .help = "In place of the mapping's list."},
    CSL_OPTION_END,
};

#define LABEL_ROWS                                                                                 \
    {.name = "name", .type = CSL_OPT_STR, TEXT(csl_map_label, name), .help = "Name."},             \
        {.name = "kind",                                                                           \
         .type = CSL_OPT_ENUM,                                                                     \
         AT(csl_map_label, kind),                                                                  \
         .choices = label_kinds,                                                                   \
         .help = "Kind."},                                                                         \
        {.name = "positive",                                                                       \
         .type = CSL_OPT_NODE,                                                                     \
         AT(csl_map_label, positive),                                                              \
         .help = "binary: values that mean yes."},                                                 \
        {.name = "negative",                                                                       \
         .type = CSL_OPT_NODE,                                                                     \
         AT(csl_map_label, negative),                                                              \
         .help = "binary: values that mean no; absent: all others."},                              \
        {.name = "values",                                                                         \
         .type = CSL_OPT_NODE,                                                                     \
         AT(csl_map_label, values),                                                                \
         .help = "classes: the value of class 0, 1, ..."},                                         \
    {                                                                                              \
        .name = "missing", .type = CSL_OPT_NODE, AT(csl_map_label, missing),                       \
        .help = "Values that mean 'not known'."                                                    \
    }

const struct csl_option csl_map_csv_label_rows[] = {
    LABEL_ROWS,
    {.name = "column",
     .type = CSL_OPT_STR,
     TEXT(csl_map_label, column),
     .fallback = "",
     .help = "Column; absent: of the label's name."},
    {.name = "time",
     .type = CSL_OPT_STR,
     TEXT(csl_map_label, time),
     .fallback = "",
     .help = "survival: column of the follow-up time."},
    {.name = "event",
     .type = CSL_OPT_STR,
     TEXT(csl_map_label, event),
     .fallback = "",
     .help = "survival: column that says whether the event was seen."},
    {.name = "event_values",
     .type = CSL_OPT_NODE,
     AT(csl_map_label, event_values),
     .help = "survival: values that mean it was; absent: 1, and 0 that it was not."},
    CSL_OPTION_END,
};
const struct csl_option csl_map_npz_label_rows[] = {
    LABEL_ROWS,
    {.name = "array", .type = CSL_OPT_STR, TEXT(csl_map_label, array), .help = "Array."},
    {.name = "column",
     .type = CSL_OPT_U32,
     AT(csl_map_label, array_column),
     .fallback = "0",
     .help = "Column of an array with two axes."},
    CSL_OPTION_END,
};

const struct csl_option csl_map_attribute_rows[] = {
    {.name = "name", .type = CSL_OPT_STR, TEXT(csl_map_attribute, name), .help = "Name."},
    {.name = "column",
     .type = CSL_OPT_STR,
     TEXT(csl_map_attribute, column),
     .fallback = "",
     .help = "Column; absent: of the attribute's name."},
    {.name = "values",
     .type = CSL_OPT_NODE,
     AT(csl_map_attribute, values),
     .help = "What is written for each value of the column."},
    {.name = "edges",
     .type = CSL_OPT_NODE,
     AT(csl_map_attribute, edges),
     .help = "Ascending edges of bands of a number."},
    {.name = "missing",
     .type = CSL_OPT_NODE,
     AT(csl_map_attribute, missing),
     .help = "Cells that mean 'not known'."},
    CSL_OPTION_END,
};

const struct csl_option csl_map_variable_rows[] = {
    {.name = "name", .type = CSL_OPT_STR, TEXT(csl_map_raw_feature, f.name), .help = "Name."},
    {.name = "unit",
     .type = CSL_OPT_STR,
     TEXT(csl_map_raw_feature, f.unit),
     .fallback = "",
     .help = "Unit."},
    {.name = "range",
     .type = CSL_OPT_NODE,
     AT(csl_map_raw_feature, range),
     .help = "Plausible values."},
    CSL_OPTION_END,
};

#define MODALITY_ROWS                                                                              \
    {.name = "name", .type = CSL_OPT_STR, TEXT(csl_map_modality, name), .help = "Name."},          \
        {.name = "kind",                                                                           \
         .type = CSL_OPT_ENUM,                                                                     \
         AT(csl_map_modality, kind),                                                               \
         .choices = modality_kinds,                                                                \
         .help = "Kind."},                                                                         \
        {.name = "features",                                                                       \
         .type = CSL_OPT_NODE,                                                                     \
         AT(csl_map_modality, features),                                                           \
         .help = "tabular, ehr_series: names of the last axis."},                                  \
        {.name = "subtract",                                                                       \
         .type = CSL_OPT_F64,                                                                      \
         AT(csl_map_modality, subtract),                                                           \
         .fallback = "0",                                                                          \
         .help = "Subtracted from every value."},                                                  \
        {.name = "divide_by",                                                                      \
         .type = CSL_OPT_F64,                                                                      \
         AT(csl_map_modality, divide_by),                                                          \
         .fallback = "1",                                                                          \
         .help = "Then every value is divided by it."},                                            \
    {                                                                                              \
        .name = "sampling_rate_hz", .type = CSL_OPT_F64, AT(csl_map_modality, sampling_rate_hz),   \
        .fallback = "0", .help = "signal: samples per second."                                     \
    }

const struct csl_option csl_map_modality_rows[] = {
    MODALITY_ROWS,
    {.name = "array", .type = CSL_OPT_STR, TEXT(csl_map_modality, array), .help = "Array."},
    CSL_OPTION_END,
};
const struct csl_option csl_map_csv_modality_rows[] = {
    MODALITY_ROWS,
    {.name = "column",
     .type = CSL_OPT_STR,
     TEXT(csl_map_modality, column),
     .help = "Column of the note, of the file's name, or of the archive's key."},
    {.name = "archives",
     .type = CSL_OPT_NODE,
     AT(csl_map_modality, archives),
     .help = ".npz files beside the CSV."},
    {.name = "array",
     .type = CSL_OPT_STR,
     TEXT(csl_map_modality, array),
     .fallback = "",
     .help = "Array of the archives with the values."},
    {.name = "key",
     .type = CSL_OPT_STR,
     TEXT(csl_map_modality, key),
     .fallback = "",
     .help = "Array of the archives with the number that the column holds."},
    {.name = "file_format",
     .type = CSL_OPT_ENUM,
     AT(csl_map_modality, file_format),
     .choices = file_formats,
     .fallback = "none",
     .help = "What the files beside the CSV are: WFDB records, or PNG and PGM images."},
    {.name = "may_lack",
     .type = CSL_OPT_BOOL,
     AT(csl_map_modality, may_lack),
     .fallback = "false",
     .help = "A key or file that is not there means that the record lacks the modality."},
    {.name = "start_column",
     .type = CSL_OPT_STR,
     TEXT(csl_map_modality, start_column),
     .fallback = "",
     .help = "wfdb: column of the first sample, counted from 0."},
    {.name = "unit",
     .type = CSL_OPT_STR,
     TEXT(csl_map_modality, unit),
     .fallback = "",
     .help = "wfdb: the unit that every header must state."},
    {.name = "samples",
     .type = CSL_OPT_U32,
     AT(csl_map_modality, samples),
     .min = 0,
     .max = CSL_FEATURES_MAX,
     .fallback = "0",
     .help = "wfdb: samples of every record; what a shorter one lacks is missing."},
    {.name = "kernels",
     .type = CSL_OPT_U32,
     AT(csl_map_modality, kernels),
     .max = CSL_FEATURES_MAX,
     .fallback = "0",
     .help = "signal: it becomes an embedding, the values of so many random convolutional "
             "kernels; 0: it stays a signal."},
    {.name = "buckets",
     .type = CSL_OPT_U32,
     AT(csl_map_modality, text.buckets),
     .min = 2,
     .max = CSL_TEXT_BUCKETS_MAX,
     .fallback = "16384",
     .help = "text: token ids are below it."},
    {.name = "ngrams",
     .type = CSL_OPT_U32,
     AT(csl_map_modality, text.ngrams),
     .min = 1,
     .max = CSL_TEXT_NGRAMS_MAX,
     .fallback = "1",
     .help = "text: longest n-gram, in words."},
    {.name = "tokens_max",
     .type = CSL_OPT_U32,
     AT(csl_map_modality, text.tokens_max),
     .min = 1,
     .max = CSL_FEATURES_MAX,
     .fallback = "512",
     .help = "text: tokens kept of a note, its first ones."},
    {.name = "keep_text",
     .type = CSL_OPT_BOOL,
     AT(csl_map_modality, keep_text),
     .fallback = "false",
     .help = "text: the notes go into the record file too."},
    CSL_OPTION_END,
};

#define SPLIT_PARTS                                                                                \
    {.name = "train", .type = CSL_OPT_NODE, AT(csl_map_raw_split, train), .help = "Training."},    \
        {.name = "validation",                                                                     \
         .type = CSL_OPT_NODE,                                                                     \
         AT(csl_map_raw_split, validation),                                                        \
         .help = "Validation."},                                                                   \
    {                                                                                              \
        .name = "test", .type = CSL_OPT_NODE, AT(csl_map_raw_split, test), .help = "Test."         \
    }
const struct csl_option csl_map_csv_split_rows[] = {
    {.name = "column",
     .type = CSL_OPT_STR,
     TEXT(csl_map_raw_split, column),
     .fallback = "",
     .help = "Column."},
    {.name = "by_file",
     .type = CSL_OPT_BOOL,
     AT(csl_map_raw_split, by_file),
     .fallback = "false",
     .help = "The parts are whole files: their names stand for the values."},
    SPLIT_PARTS,
    CSL_OPTION_END,
};
const struct csl_option csl_map_npz_split_rows[] = {SPLIT_PARTS, CSL_OPTION_END};
