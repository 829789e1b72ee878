/* site-agent/data/mapping_internal.h - the option tables of mapping files and what they fill. */
#ifndef CSL_MAPPING_INTERNAL_H
#define CSL_MAPPING_INTERNAL_H
#include "base/option.h"
#include "site-agent/data/mapping.h"

struct csl_map_raw { /* the top level of both kinds */
    char format[32];
    const struct csl_yaml_node *join, *where, *features, *labels, *split, *attributes, *modalities;
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
extern const struct csl_option csl_map_csv_split_rows[];
extern const struct csl_option csl_map_npz_split_rows[];

#endif
