/* The key `modalities` of a mapping: arrays of an archive, or what lies beside the rows of a CSV.
 */
#include "site-agent/data/mapping_internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

/* A name alone, or a mapping as under 'features' of a CSV file but without a column. */
static enum csl_code read_feature(const struct csl_mapping *m, const struct csl_yaml_node *n,
                                  struct csl_map_feature *f, struct csl_err *err)
{
    struct csl_map_raw_feature raw;
    enum csl_code code = CSL_OK;
    memset(&raw, 0, sizeof(raw));
    if (n->kind == CSL_YAML_SCALAR) {
        if (!csl_str_copy(raw.f.name, sizeof(raw.f.name), n->text))
            return csl_yaml_fail(err, m->yaml, n, "a name of up to 63 bytes would be right");
    } else if (n->kind == CSL_YAML_MAPPING) {
        double range[2];
        uint32_t count;
        code = csl_option_read_yaml(csl_map_variable_rows, &raw, m->yaml, n, err);
        if (code == CSL_OK && raw.range != NULL) {
            code = csl_map_numbers__(m, raw.range, 2, 2, range, &count, err);
            raw.f.range_min = code == CSL_OK ? range[0] : 0.0;
            raw.f.range_max = code == CSL_OK ? range[1] : 0.0;
        }
    } else {
        return csl_yaml_fail(err, m->yaml, n, "a name, or {name, unit, range}, would be right");
    }
    *f = raw.f;
    f->node = n;
    return code;
}

static enum csl_code read_features(const struct csl_mapping *m, struct csl_map_modality *o,
                                   struct csl_err *err)
{
    const struct csl_yaml_node *list = o->features;
    uint32_t count = csl_list_count(list);
    if (list == NULL)
        return CSL_OK;
    if (list->kind == CSL_YAML_MAPPING || count == 0 || count > CSL_NAMED_FEATURES_MAX)
        return csl_yaml_fail(err, m->yaml, list, "a list of 1 to %d names would be right",
                             CSL_NAMED_FEATURES_MAX);
    o->feature_list = csl_alloc_array(count, sizeof(*o->feature_list));
    if (o->feature_list == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u features", count);
    const struct csl_yaml_node *n = list->kind == CSL_YAML_SCALAR ? list : list->first_child;
    enum csl_code code = CSL_OK;
    for (; o->feature_count < count && code == CSL_OK; n = n->next)
        code = read_feature(m, n, &o->feature_list[o->feature_count++], err);
    return code;
}

/* What an item of a CSV's mapping must say depends on where its values lie. */
static enum csl_code check_source(const struct csl_mapping *m, const struct csl_map_modality *o,
                                  struct csl_err *err)
{
    bool is_text = o->kind == CSL_TEXT, has_archives = o->archives != NULL;
    bool has_files = o->file_format != CSL_MAP_FILES_NONE;
    if (is_text + has_archives + has_files != 1)
        return csl_yaml_fail(err, m->yaml, o->node,
                             "kind text, 'archives' with 'array' and 'key', or 'file_format', and "
                             "one of them alone, would be right");
    if (has_archives != (o->array[0] != '\0') || has_archives != (o->key[0] != '\0'))
        return csl_yaml_fail(err, m->yaml, o->node,
                             "'archives', and only it, needs 'array' and 'key', names of arrays");
    if (has_archives &&
        (o->archives->kind == CSL_YAML_MAPPING || csl_list_count(o->archives) == 0 ||
         csl_list_count(o->archives) > CSL_MAP_FILES_MAX))
        return csl_yaml_fail(err, m->yaml, o->archives, "1 to %d files would be right",
                             CSL_MAP_FILES_MAX);
    if (o->file_format == CSL_MAP_FILES_WFDB && o->kind != CSL_SIGNAL)
        return csl_yaml_fail(err, m->yaml, o->node, "a WFDB record is of kind signal");
    if (o->file_format == CSL_MAP_FILES_IMAGE && o->kind != CSL_IMAGE2D)
        return csl_yaml_fail(err, m->yaml, o->node, "an image file is of kind image2d");
    if (o->file_format != CSL_MAP_FILES_WFDB &&
        (o->samples > 0 || o->start_column[0] != '\0' || o->unit[0] != '\0'))
        return csl_yaml_fail(err, m->yaml, o->node,
                             "'samples', 'start_column' and 'unit' belong to file_format wfdb");
    if (o->kernels > 0 && o->kind != CSL_SIGNAL)
        return csl_yaml_fail(err, m->yaml, o->node, "'kernels' belongs to kind signal");
    return CSL_OK;
}

static enum csl_code check_modality(const struct csl_mapping *m, const struct csl_map_modality *o,
                                    struct csl_err *err)
{
    bool is_named = o->kind == CSL_TABULAR || o->kind == CSL_EHR_SERIES;
    if (!(fabs(o->divide_by) > 0.0))
        return csl_yaml_fail(err, m->yaml, o->node, "divide_by is 0");
    if ((o->features != NULL) != is_named)
        return csl_yaml_fail(err, m->yaml, o->node,
                             "kinds tabular and ehr_series, and only they, need 'features'");
    return CSL_OK;
}

enum csl_code csl_map_modalities__(struct csl_mapping *m, const struct csl_yaml_node *list,
                                   bool is_npz, struct csl_err *err)
{
    uint32_t most = is_npz ? CSL_MODALITIES_MAX : CSL_MODALITIES_MAX - 1; /* and a table */
    const struct csl_option *rows = is_npz ? csl_map_modality_rows : csl_map_csv_modality_rows;
    enum csl_code code = csl_map_items__(m, list, most, "modalities", err);
    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *n = list->first_child; n != NULL && code == CSL_OK;
         n = n->next) {
        struct csl_map_modality *o = &m->modalities[m->modality_count++];
        code = csl_option_read_yaml(rows, o, m->yaml, n, err);
        o->node = n;
        if (code == CSL_OK)
            code = check_modality(m, o, err);
        if (code == CSL_OK)
            code = read_features(m, o, err);
        if (code == CSL_OK && o->archives != NULL)
            code = csl_map_list__(m, o->archives, err);
        if (code == CSL_OK && is_npz && o->kind == CSL_TEXT)
            code = csl_yaml_fail(err, m->yaml, n, "notes come from columns of a CSV file");
        if (code == CSL_OK && !is_npz)
            code = check_source(m, o, err);
    }
    return code;
}
