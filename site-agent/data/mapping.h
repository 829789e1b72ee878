/* site-agent/data/mapping.h - a mapping file (docs/operations/import.md): how columns of a CSV file
 * or arrays of an .npz file become records. Lists stay YAML nodes; they live as long as the
 * mapping. */
#ifndef CSL_MAPPING_H
#define CSL_MAPPING_H
#include "base/yaml.h"
#include "protocol/study/study.h"
#include "site-agent/data/record_internal.h"

#define CSL_MAP_FILES_MAX 16 /* archives of one modality; further files of one CSV */

#define CSL_COLUMN_NAME_BYTES 256

enum csl_map_label_kind { CSL_MAP_BINARY, CSL_MAP_CLASSES, CSL_MAP_SURVIVAL };

struct csl_map_feature {
    const struct csl_yaml_node *node;
    char name[64], unit[24], column[CSL_COLUMN_NAME_BYTES];
    double range_min, range_max;
    const struct csl_yaml_node *missing; /* NULL: the mapping's */
};
struct csl_map_label {
    const struct csl_yaml_node *node;
    char name[64];
    int kind; /* enum csl_map_label_kind */
    /* CSV: columns. npz: the array's name behind the split's prefix, and one of its columns. */
    char column[CSL_COLUMN_NAME_BYTES], array[64];
    uint32_t array_column;
    char time[CSL_COLUMN_NAME_BYTES], event[CSL_COLUMN_NAME_BYTES];
    const struct csl_yaml_node *positive, *negative, *values, *event_values, *missing;
    uint32_t classes; /* as in struct csl_record_label */
};
struct csl_map_attribute {
    const struct csl_yaml_node *node;
    char name[64], column[CSL_COLUMN_NAME_BYTES];
    const struct csl_yaml_node *values, *edges, *missing;
    double edge[16];
    uint32_t edge_count;
};
enum csl_map_file_format { CSL_MAP_FILES_NONE, CSL_MAP_FILES_WFDB, CSL_MAP_FILES_IMAGE };
struct csl_map_modality {
    const struct csl_yaml_node *node;
    char name[64], array[64];
    int kind;                             /* enum csl_modality */
    const struct csl_yaml_node *features; /* tabular, ehr_series */
    struct csl_map_feature *feature_list; /* [feature_count]; column and missing unused; owned */
    uint32_t feature_count;
    double subtract, divide_by, sampling_rate_hz;
    /* CSV: what a row's cell names: a row of `array` where `key` has the same number, a file, or
     * the note itself */
    char column[CSL_COLUMN_NAME_BYTES];
    const struct csl_yaml_node *archives; /* files beside the CSV; NULL: none */
    char key[64];
    int file_format;                          /* enum csl_map_file_format */
    bool may_lack;                            /* a key or file that is not there is no error */
    char start_column[CSL_COLUMN_NAME_BYTES]; /* wfdb: of the first sample; "": 0 */
    char unit[24];                            /* wfdb: what every header must say; "": anything */
    uint32_t samples;                         /* wfdb: of every record; 0: all of them */
    uint32_t
        kernels; /* signal: it becomes an embedding of so many random kernels; 0: it does not */
    struct csl_text_rule text;
    bool keep_text;
};
struct csl_map_split {
    char column[CSL_COLUMN_NAME_BYTES];
    bool by_file;                        /* CSV: the values are names of files */
    const struct csl_yaml_node *part[3]; /* CSV: values; npz: the prefix of the arrays' names */
};
struct csl_map_join {
    bool is_used;
    char file[256], key[CSL_COLUMN_NAME_BYTES], on[CSL_COLUMN_NAME_BYTES], prefix[32];
    int unmatched; /* 0 error, 1 skip */
};

struct csl_mapping {
    struct csl_yaml *yaml;
    char licence[128], split_rule[192];
    /* CSV */
    char modality[64], patient_column[CSL_COLUMN_NAME_BYTES];
    char where_column[CSL_COLUMN_NAME_BYTES]; /* "": no filter */
    const struct csl_yaml_node *where_any_of, *header, *missing, *all_except;
    const struct csl_yaml_node *append; /* further files with the same columns; NULL: none */
    struct csl_map_join join;
    struct csl_map_feature *features;
    uint32_t feature_count;
    /* both */
    struct csl_map_modality modalities[CSL_MODALITIES_MAX];
    uint32_t modality_count;
    struct csl_map_label labels[CSL_LABELS_MAX];
    uint32_t label_count;
    struct csl_map_attribute attributes[CSL_ATTRIBUTES_MAX];
    uint32_t attribute_count;
    struct csl_map_split split;
};

/* `yaml` is consumed, also on failure. */
enum csl_code csl_mapping_read_csv(struct csl_mapping **out, struct csl_yaml *take_yaml,
                                   struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_mapping_read_npz(struct csl_mapping **out, struct csl_yaml *take_yaml,
                                   struct csl_err *err) CSL_MUST_CHECK;
void csl_mapping_free(struct csl_mapping *m);

/* Lists are a scalar (one item) or a sequence of scalars. Index of the item equal to `text`
 * (csl_value_equal__), or -1; NULL is an empty list. */
int csl_list_find(const struct csl_yaml_node *list, const char *text);
uint32_t csl_list_count(const struct csl_yaml_node *list);

#endif
