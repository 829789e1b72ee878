/* site-agent/data/mapping_internal.h - the option tables of mapping files and what they fill. */
#ifndef CSL_MAPPING_INTERNAL_H
#define CSL_MAPPING_INTERNAL_H
#include "base/option.h"
#include "site-agent/data/mapping.h"

struct csl_map_raw { /* the top level of both kinds */
    char format[32];
    const struct csl_yaml_node *join, *where, *features, *labels, *split, *attributes, *modalities,
        *append;
    char licence[128], split_rule[192], modality[64], patient_column[CSL_COLUMN_NAME_BYTES];
    const struct csl_yaml_node *header, *missing;
};

struct csl_map_raw_where {
    char column[CSL_COLUMN_NAME_BYTES];
    const struct csl_yaml_node *any_of;
};

struct csl_map_raw_feature {
    struct csl_map_feature f;
    const struct csl_yaml_node *range;
};

struct csl_map_raw_split {
    char column[CSL_COLUMN_NAME_BYTES];
    bool by_file;
    const struct csl_yaml_node *train, *validation, *test;
};

extern const struct csl_option csl_map_csv_rows[];
extern const struct csl_option csl_map_npz_rows[];
extern const struct csl_option csl_map_join_rows[];
extern const struct csl_option csl_map_where_rows[];
extern const struct csl_option csl_map_feature_rows[];
extern const struct csl_option csl_map_csv_label_rows[];
extern const struct csl_option csl_map_npz_label_rows[];
extern const struct csl_option csl_map_attribute_rows[];
extern const struct csl_option csl_map_modality_rows[];
extern const struct csl_option csl_map_csv_modality_rows[];
extern const struct csl_option csl_map_variable_rows[];
extern const struct csl_option csl_map_csv_split_rows[];
extern const struct csl_option csl_map_npz_split_rows[];

/* mapping.c, for the others. A scalar, or a sequence of scalars. */
enum csl_code csl_map_list__(const struct csl_mapping *m, const struct csl_yaml_node *list,
                             struct csl_err *err) CSL_MUST_CHECK;
/* A sequence of mappings with 1 to max items. */
enum csl_code csl_map_items__(const struct csl_mapping *m, const struct csl_yaml_node *list,
                              uint32_t max, const char *what, struct csl_err *err) CSL_MUST_CHECK;
/* A sequence of least to most ascending numbers. */
enum csl_code csl_map_numbers__(const struct csl_mapping *m, const struct csl_yaml_node *list,
                                uint32_t least, uint32_t most, double *out, uint32_t *count,
                                struct csl_err *err) CSL_MUST_CHECK;
/* mapping_modality.c: fills modalities. */
enum csl_code csl_map_modalities__(struct csl_mapping *m, const struct csl_yaml_node *list,
                                   bool is_npz, struct csl_err *err) CSL_MUST_CHECK;

#endif
