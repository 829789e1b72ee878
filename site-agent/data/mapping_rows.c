#include "site-agent/data/mapping_internal.h"

#include "base/banned.h"

#define AT(type, field)   .offset = offsetof(struct type, field)
#define TEXT(type, field) AT(type, field), .size = sizeof(((struct type *)0)->field)

static const char *const label_kinds[] = {"binary", "classes", "survival", NULL};
static const char *const modality_kinds[] = {"tabular", "image2d", "signal", NULL};
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

const struct csl_option csl_map_modality_rows[] = {
    {.name = "name", .type = CSL_OPT_STR, TEXT(csl_map_modality, name), .help = "Name."},
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(csl_map_modality, kind),
     .choices = modality_kinds,
     .help = "Kind."},
    {.name = "array", .type = CSL_OPT_STR, TEXT(csl_map_modality, array), .help = "Array."},
    {.name = "features",
     .type = CSL_OPT_NODE,
     AT(csl_map_modality, features),
     .help = "tabular: names of the columns."},
    {.name = "subtract",
     .type = CSL_OPT_F64,
     AT(csl_map_modality, subtract),
     .fallback = "0",
     .help = "Subtracted from every value."},
    {.name = "divide_by",
     .type = CSL_OPT_F64,
     AT(csl_map_modality, divide_by),
     .fallback = "1",
     .help = "Then every value is divided by it."},
    {.name = "sampling_rate_hz",
     .type = CSL_OPT_F64,
     AT(csl_map_modality, sampling_rate_hz),
     .fallback = "0",
     .help = "signal: samples per second."},
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
    {.name = "column", .type = CSL_OPT_STR, TEXT(csl_map_raw_split, column), .help = "Column."},
    SPLIT_PARTS,
    CSL_OPTION_END,
};
const struct csl_option csl_map_npz_split_rows[] = {SPLIT_PARTS, CSL_OPTION_END};
