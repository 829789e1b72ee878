/* protocol/study/study_domain.c - the domains of a study: data, task and model of each block. */
#include "base/check.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <stdio.h>
#include <string.h>

/* A block's id is the front of its tensors' names ("heart.layer8.weight"), which are ids too. */
#define DOMAIN_ID_BYTES_MAX 48
#define INPUT_ID_BYTES_MAX  42         /* with "input." before it */
#define TEXT_BUCKETS_MAX    (1u << 24) /* ids that float32 holds exactly */
#define TEXT_NGRAMS_MAX     4

static const char *const modality_names[] = {"tabular", "image2d",   "signal",  "ehr_series",
                                             "text",    "embedding", "image3d", NULL};
/* What `shape` lists, by modality; NULL: the modality has none. */
static const char *const shape_texts[] = {NULL,
                                          "[height, width, channels]",
                                          "[samples, channels]",
                                          "[steps]",
                                          "[tokens, buckets] or [tokens, buckets, ngrams]",
                                          "[length]",
                                          "[depth, height, width, channels]"};
static const uint32_t shape_axes[] = {0, 3, 2, 1, 3, 1, 4};
static const char *const task_names[] = {"binary", "classes", "survival", "labels", NULL};
static const char *const missing_names[] = {"centre", "mask", "mask_and_delta", NULL};
static const char *const scaling_names[] = {"constants", "site", NULL};

const char *csl_modality_name(enum csl_modality m)
{
    CSL_ASSERT(m < CSL_MODALITY_COUNT);
    return modality_names[m];
}

const char *csl_task_name(enum csl_task_kind task)
{
    CSL_ASSERT(task < CSL_TASK_KIND_COUNT);
    return task_names[task];
}

bool csl_domain_is_value(const struct csl_domain *d, uint32_t k)
{
    if (d->modality != CSL_EHR_SERIES)
        return true;
    uint32_t at = k % d->shape[1] / d->feature_count;
    return d->windows > 0 ? at + 1 < CSL_SUMMARY_INPUTS : at == 0;
}

const char *csl_domain_reads(const struct csl_domain *d)
{
    return d->fusion.input_count > 0 ? "multimodal" : csl_modality_name(d->modality);
}

struct raw_domain {
    char id[CSL_ID_MAX];
    int modality, scaling;
    int missing;
    uint32_t windows;
    bool scatters;
    const struct csl_yaml_node *task, *features, *shape, *model, *inputs, *augment;
    double centre, scale, clip, measured_scale;
};
struct raw_task {
    int kind;
    char label[CSL_ID_MAX], positive[CSL_ID_MAX];
    uint32_t classes;
    const struct csl_yaml_node *merged;
};
struct raw_feature {
    char name[CSL_ID_MAX], unit[24];
    double centre, scale, clip;
    const struct csl_yaml_node *range;
};

#define AT(type, field)   .offset = offsetof(struct type, field)
#define TEXT(type, field) AT(type, field), .size = sizeof(((struct type *)0)->field)

#define INPUT_ROWS                                                                                 \
    {.name = "modality",                                                                           \
     .type = CSL_OPT_ENUM,                                                                         \
     AT(raw_domain, modality),                                                                     \
     .choices = modality_names,                                                                    \
     .help = "Form of the input."},                                                                \
        {.name = "features",                                                                       \
         .type = CSL_OPT_NODE,                                                                     \
         AT(raw_domain, features),                                                                 \
         .help = "Inputs of a tabular domain, or variables of an ehr_series, in the order of the " \
                 "model's weights."},                                                              \
        {.name = "scaling",                                                                        \
         .type = CSL_OPT_ENUM,                                                                     \
         AT(raw_domain, scaling),                                                                  \
         .choices = scaling_names,                                                                 \
         .fallback = "constants",                                                                  \
         .help = "Whose constants scale the inputs: the study's, or each site's own statistics."}, \
        {.name = "shape",                                                                          \
         .type = CSL_OPT_NODE,                                                                     \
         AT(raw_domain, shape),                                                                    \
         .help = "Of all but tabular: image2d: [height, width, channels]; signal: [samples, "      \
                 "channels]; ehr_series: [steps]; text: [tokens, buckets, ngrams]; embedding: "    \
                 "[length]; "                                                                      \
                 "image3d: [depth, height, width, channels]."},                                    \
        {.name = "missing",                                                                        \
         .type = CSL_OPT_ENUM,                                                                     \
         AT(raw_domain, missing),                                                                  \
         .choices = missing_names,                                                                 \
         .fallback = "centre",                                                                     \
         .help = "What the model is told of values that were not measured (ehr_series): nothing, " \
                 "which ones, or also for how long."},                                             \
        {.name = "windows",                                                                        \
         .type = CSL_OPT_U32,                                                                      \
         AT(raw_domain, windows),                                                                  \
         .max = CSL_FEATURES_MAX,                                                                  \
         .fallback = "0",                                                                          \
         .help = "The steps in so many parts, each as mean, smallest, largest, first and last "    \
                 "value and the part of the steps with one (ehr_series); 0: the steps."},          \
        {.name = "measured_scale",                                                                 \
         .type = CSL_OPT_F64,                                                                      \
         AT(raw_domain, measured_scale),                                                           \
         .fallback = "1",                                                                          \
         .help = "The part of a window's steps with a value is divided by it."},                   \
        {.name = "scattering",                                                                     \
         .type = CSL_OPT_BOOL,                                                                     \
         AT(raw_domain, scatters),                                                                 \
         .fallback = "false",                                                                      \
         .help = "Wavelet scattering coefficients in place of the pixels (image2d)."},             \
        {.name = "augment",                                                                        \
         .type = CSL_OPT_NODE,                                                                     \
         AT(raw_domain, augment),                                                                  \
         .help = "Small random changes of training inputs."},                                      \
        {.name = "centre",                                                                         \
         .type = CSL_OPT_F64,                                                                      \
         AT(raw_domain, centre),                                                                   \
         .fallback = "0",                                                                          \
         .help = "Subtracted from every input that has no centre of its own."},                    \
        {.name = "scale",                                                                          \
         .type = CSL_OPT_F64,                                                                      \
         AT(raw_domain, scale),                                                                    \
         .fallback = "1",                                                                          \
         .help = "Every input that has no scale of its own is divided by it."},                    \
    {                                                                                              \
        .name = "clip", .type = CSL_OPT_F64, AT(raw_domain, clip), .fallback = "0", .min = 0,      \
        .max = 1e9, .help = "Scaled inputs are cut to [-clip, clip]; 0: not at all."               \
    }

static const struct csl_option domain_rows[] = {
    {.name = "id", .type = CSL_OPT_ID, AT(raw_domain, id), .help = "Name of the domain."},
    {.name = "task", .type = CSL_OPT_NODE, AT(raw_domain, task), .help = "What is predicted."},
    {.name = "model", .type = CSL_OPT_NODE, AT(raw_domain, model), .help = "Model of the domain."},
    INPUT_ROWS,
    CSL_OPTION_END,
};
/* Of a domain that reads several inputs of the study. */
static const struct csl_option fused_rows[] = {
    {.name = "id", .type = CSL_OPT_ID, AT(raw_domain, id), .help = "Name of the domain."},
    {.name = "inputs",
     .type = CSL_OPT_NODE,
     AT(raw_domain, inputs),
     .help = "Inputs of the study that it reads, by id."},
    {.name = "task", .type = CSL_OPT_NODE, AT(raw_domain, task), .help = "What is predicted."},
    {.name = "model", .type = CSL_OPT_NODE, AT(raw_domain, model), .help = "Model of the domain."},
    CSL_OPTION_END,
};
static const struct csl_option input_rows[] = {
    {.name = "id", .type = CSL_OPT_ID, AT(raw_domain, id), .help = "Name of the input."},
    INPUT_ROWS,
    {.name = "encoder",
     .type = CSL_OPT_NODE,
     AT(raw_domain, model),
     .help = "Its encoder: a model kind, whose last layer gives the values that are fused."},
    CSL_OPTION_END,
};
static const struct csl_option task_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(raw_task, kind),
     .choices = task_names,
     .help = "Kind of label."},
    {.name = "label",
     .type = CSL_OPT_ID,
     AT(raw_task, label),
     .help = "Name of the label in the record file."},
    {.name = "classes",
     .type = CSL_OPT_U32,
     AT(raw_task, classes),
     .min = 2,
     .max = CSL_CLASSES_MAX,
     .fallback = "2",
     .help = "Number of classes (kind classes)."},
    {.name = "merged",
     .type = CSL_OPT_NODE,
     AT(raw_task, merged),
     .help = "Sets of classes that some site does not tell apart: the labels from `classes` on."},
    {.name = "positive",
     .type = CSL_OPT_STR,
     TEXT(raw_task, positive),
     .fallback = "",
     .help = "What label value 1 means (kind binary)."},
    CSL_OPTION_END,
};
/* Centre, scale and clip fall back to the domain's, which the code below fills in. */
static const struct csl_option feature_rows[] = {
    {.name = "name",
     .type = CSL_OPT_STR,
     TEXT(raw_feature, name),
     .help = "Name of the feature in the record file."},
    {.name = "unit",
     .type = CSL_OPT_STR,
     TEXT(raw_feature, unit),
     .fallback = "",
     .help = "Unit of its raw values."},
    {.name = "centre",
     .type = CSL_OPT_F64,
     AT(raw_feature, centre),
     .fallback = "0",
     .help = "Subtracted from it."},
    {.name = "scale",
     .type = CSL_OPT_F64,
     AT(raw_feature, scale),
     .fallback = "1",
     .help = "It is then divided by this."},
    {.name = "clip",
     .type = CSL_OPT_F64,
     AT(raw_feature, clip),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "Then cut to [-clip, clip]; 0: not at all."},
    {.name = "range",
     .type = CSL_OPT_NODE,
     AT(raw_feature, range),
     .help = "Smallest and largest plausible raw value."},
    CSL_OPTION_END,
};

static const char *const constant_keys[] = {"centre", "scale", NULL};

static enum csl_code check_scale(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *mapping, const char *key, double scale)
{
    if (!(scale > 0))
        return csl_yaml_fail(r->err, r->y, csl_study__at(mapping, key),
                             "found %g; a number above 0 would be right", scale);
    return CSL_OK;
}

static enum csl_code read_task(const struct csl_study_reader *r, const struct csl_yaml_node *at,
                               const struct csl_yaml_node *section, struct csl_domain *d)
{
    static const char *const classes_keys[] = {"classes", "merged", NULL};
    static const char *const positive_keys[] = {"positive", NULL};
    struct raw_task raw = {0};
    if (csl_study__has_labels(section))
        return csl_study__read_labels(r, at, section, d);
    enum csl_code code = csl_study__section(r, task_rows, &raw, at, section, "task");

    if (code == CSL_OK && raw.kind != CSL_TASK_CLASSES)
        code = csl_study__refuse_keys(r, section, classes_keys, "only kind: classes has classes");
    if (code == CSL_OK && raw.kind != CSL_TASK_BINARY)
        code = csl_study__refuse_keys(r, section, positive_keys,
                                      "only kind: binary has a positive value");
    if (code != CSL_OK)
        return code;
    d->task = (enum csl_task_kind)raw.kind;
    CSL_ASSERT(csl_str_copy(d->label, sizeof(d->label), raw.label));
    CSL_ASSERT(csl_str_copy(d->positive, sizeof(d->positive), raw.positive));
    if (d->task == CSL_TASK_CLASSES && !csl_yaml_get(section, "classes"))
        return csl_yaml_fail(r->err, r->y, section,
                             "kind: classes needs 'classes', their number, from 2 to %d",
                             CSL_CLASSES_MAX);
    d->classes = d->task == CSL_TASK_SURVIVAL ? 0 : raw.classes;
    d->outputs = d->task == CSL_TASK_CLASSES ? raw.classes : 1;
    return raw.merged ? csl_study__read_merged(r, raw.merged, d) : CSL_OK;
}

static enum csl_code read_range(const struct csl_study_reader *r, const struct csl_yaml_node *list,
                                struct csl_feature *f)
{
    enum csl_code code = csl_study__check_list(r, list, 2, 2, "numbers");
    const struct csl_yaml_node *low = list->first_child;

    if (code != CSL_OK)
        return code;
    if (low->kind != CSL_YAML_SCALAR || !csl_parse_f64(low->text, &f->range_min) ||
        low->next->kind != CSL_YAML_SCALAR || !csl_parse_f64(low->next->text, &f->range_max) ||
        f->range_min >= f->range_max)
        return csl_yaml_fail(r->err, r->y, list,
                             "two numbers, the smaller one first, would be right");
    return CSL_OK;
}

static enum csl_code check_name(const struct csl_study_reader *r, const struct csl_yaml_node *at,
                                const char *name)
{
    bool is_printable = name[0] != 0;

    for (const char *c = name; *c; c++)
        is_printable = is_printable && (unsigned char)*c >= 0x20 && *c != 0x7f;
    if (!is_printable || strlen(name) >= CSL_ID_MAX)
        return csl_yaml_fail(r->err, r->y, at,
                             "a feature's name of 1 to %d printable bytes would be right",
                             CSL_ID_MAX - 1);
    return CSL_OK;
}

static enum csl_code read_feature(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *item, const struct raw_domain *domain,
                                  struct csl_feature *f)
{
    struct raw_feature raw = {0};
    enum csl_code code;

    f->centre = domain->centre;
    f->scale = domain->scale;
    f->clip = domain->clip;
    if (item->kind == CSL_YAML_SCALAR) {
        code = check_name(r, item, item->text);
        if (code == CSL_OK)
            CSL_ASSERT(csl_str_copy(f->name, sizeof(f->name), item->text));
        return code;
    }
    code = csl_study__section(r, feature_rows, &raw, item, item, "features");
    if (code == CSL_OK)
        code = check_name(r, csl_study__at(item, "name"), raw.name);
    if (code == CSL_OK)
        code = check_scale(r, item, "scale", raw.scale);
    if (code == CSL_OK && raw.range)
        code = read_range(r, raw.range, f);
    if (code == CSL_OK && domain->scaling == CSL_SCALING_SITE)
        code = csl_study__refuse_keys(r, item, constant_keys,
                                      "scaling: site takes each site's own statistics");
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(f->name, sizeof(f->name), raw.name));
    CSL_ASSERT(csl_str_copy(f->unit, sizeof(f->unit), raw.unit));
    f->centre = csl_yaml_get(item, "centre") ? raw.centre : f->centre;
    f->scale = csl_yaml_get(item, "scale") ? raw.scale : f->scale;
    f->clip = csl_yaml_get(item, "clip") ? raw.clip : f->clip;
    return CSL_OK;
}

static enum csl_code read_features(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *list,
                                   const struct raw_domain *domain, struct csl_domain *d)
{
    enum csl_code code =
        csl_study__check_list(r, list, 1, CSL_NAMED_FEATURES_MAX, "features, by name");
    uint32_t n = 0;

    if (code != CSL_OK)
        return code;
    d->features = csl_alloc_array(list->child_count, sizeof(*d->features));
    if (!d->features)
        return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory for %u features", list->child_count);
    for (const struct csl_yaml_node *item = list->first_child; item; item = item->next, n++) {
        code = read_feature(r, item, domain, &d->features[n]);
        for (uint32_t i = 0; i < n && code == CSL_OK; i++) {
            if (strcmp(d->features[i].name, d->features[n].name) == 0)
                code = csl_yaml_fail(r->err, r->y, item, "feature '%s' is listed twice",
                                     d->features[n].name);
        }
        if (code != CSL_OK)
            return code;
    }
    d->feature_count = n;
    d->width = n;
    return CSL_OK;
}

/* What a series becomes: [steps, inputs of a step] or [windows, inputs of a window]. */
static enum csl_code read_series(const struct csl_study_reader *r, const struct csl_yaml_node *item,
                                 const struct raw_domain *raw, struct csl_domain *d)
{
    static const char *const missing_keys[] = {"missing", NULL};
    static const char *const window_keys[] = {"measured_scale", NULL};
    uint64_t inputs = (uint64_t)raw->missing + 1;
    enum csl_code code = check_scale(r, item, "measured_scale", raw->measured_scale);

    if (code == CSL_OK && raw->windows == 0)
        code = csl_study__refuse_keys(r, item, window_keys, "for windows only");
    if (code == CSL_OK && raw->windows > 0)
        code = csl_study__refuse_keys(r, item, missing_keys,
                                      "a window says which part of its steps has a measurement");
    if (code != CSL_OK)
        return code;
    d->missing = (enum csl_missing)raw->missing;
    d->measured_scale = raw->measured_scale;
    if (raw->windows > 0) {
        if (raw->windows > d->shape[0])
            return csl_yaml_fail(r->err, r->y, csl_study__at(item, "windows"),
                                 "%u windows of %u step%s; at most one for each step would be "
                                 "right",
                                 raw->windows, d->shape[0], csl_str_plural(d->shape[0]));
        d->windows = raw->windows;
        d->steps = d->shape[0];
        d->shape[0] = raw->windows;
        inputs = CSL_SUMMARY_INPUTS;
    }
    inputs *= d->feature_count;
    uint64_t width = inputs * d->shape[0];
    if (width > CSL_FEATURES_MAX)
        return csl_yaml_fail(r->err, r->y, item, "%llu values; at most %d would be right",
                             (unsigned long long)width, CSL_FEATURES_MAX);
    d->shape[1] = (uint32_t)inputs;
    d->width = (uint32_t)width;
    return CSL_OK;
}

static enum csl_code read_shape(const struct csl_study_reader *r, const struct csl_yaml_node *list,
                                struct csl_domain *d)
{
    uint32_t axes = shape_axes[d->modality], count = 0;
    uint32_t least = d->modality == CSL_TEXT ? 2 : axes;
    uint32_t most = d->modality == CSL_TEXT ? TEXT_BUCKETS_MAX : CSL_FEATURES_MAX;
    uint64_t width = d->modality == CSL_EHR_SERIES ? d->feature_count : 1;
    enum csl_code code = csl_study__u32_list(r, list, least, axes, most, d->shape, &count);

    if (code != CSL_OK)
        return code;
    for (uint32_t i = count; i < 4; i++)
        d->shape[i] = 1;
    if (d->modality == CSL_EHR_SERIES)
        d->shape[1] = d->feature_count;
    if (d->modality == CSL_TEXT && (d->shape[1] < 2 || d->shape[2] > TEXT_NGRAMS_MAX))
        return csl_yaml_fail(r->err, r->y, list,
                             "2 buckets or more, and n-grams of up to %d words, would be right",
                             TEXT_NGRAMS_MAX);
    for (uint32_t i = 0; i < (d->modality == CSL_TEXT ? 1 : axes); i++)
        if (!csl_mul_u64(width, d->shape[i], &width))
            width = UINT64_MAX;
    if (width > CSL_FEATURES_MAX)
        return csl_yaml_fail(r->err, r->y, list, "%llu values; at most %d would be right",
                             (unsigned long long)width, CSL_FEATURES_MAX);
    d->width = (uint32_t)width;
    return CSL_OK;
}

static enum csl_code read_input(const struct csl_study_reader *r, const struct csl_yaml_node *item,
                                const struct raw_domain *raw, struct csl_domain *d)
{
    static const char *const shape_keys[] = {"shape", NULL};
    static const char *const named_keys[] = {"features", "clip", NULL};
    static const char *const series_keys[] = {"missing", "windows", "measured_scale", NULL};
    static const char *const text_keys[] = {"scaling", "centre", "scale", NULL};
    bool is_named = d->modality == CSL_TABULAR || d->modality == CSL_EHR_SERIES;
    enum csl_code code = check_scale(r, item, "scale", raw->scale);

    d->scaling = (enum csl_scaling)raw->scaling;
    d->centre = raw->centre;
    d->scale = raw->scale;
    if (code == CSL_OK && d->scaling == CSL_SCALING_SITE)
        code = csl_study__refuse_keys(r, item, constant_keys,
                                      "scaling: site takes each site's own statistics");
    if (code == CSL_OK && d->modality == CSL_TABULAR)
        code = csl_study__refuse_keys(r, item, shape_keys,
                                      "the shape of tabular data is its list of features");
    if (code == CSL_OK && !is_named)
        code = csl_study__refuse_keys(r, item, named_keys,
                                      "for modality: tabular and ehr_series only");
    if (code == CSL_OK && d->modality != CSL_EHR_SERIES)
        code = csl_study__refuse_keys(r, item, series_keys, "for modality: ehr_series only");
    if (code == CSL_OK && d->modality == CSL_TEXT)
        code = csl_study__refuse_keys(r, item, text_keys, "token ids are not scaled");
    if (code != CSL_OK)
        return code;
    if (is_named && !raw->features)
        return csl_yaml_fail(r->err, r->y, item,
                             "a domain of modality %s needs 'features', the list of its inputs",
                             modality_names[d->modality]);
    if (d->modality != CSL_TABULAR && !raw->shape)
        return csl_yaml_fail(r->err, r->y, item, "a domain of modality %s needs 'shape: %s'",
                             modality_names[d->modality], shape_texts[d->modality]);
    if (is_named)
        code = read_features(r, raw->features, raw, d);
    if (code == CSL_OK && raw->shape)
        code = read_shape(r, raw->shape, d);
    if (code == CSL_OK && d->modality == CSL_EHR_SERIES)
        code = read_series(r, item, raw, d);
    if (code == CSL_OK && raw->scatters)
        code = csl_study__read_scattering(r, item, d);
    return code == CSL_OK ? csl_study__read_augment(r, item, raw->augment, d) : code;
}

static enum csl_code read_id(const struct csl_study_reader *r, const struct csl_yaml_node *item,
                             const char *id, int bytes_max, struct csl_domain *d)
{
    if (strlen(id) > (size_t)bytes_max)
        return csl_yaml_fail(r->err, r->y, csl_study__at(item, "id"),
                             "%zu bytes; at most %d would be right", strlen(id), bytes_max);
    CSL_ASSERT(csl_str_copy(d->id, sizeof(d->id), id));
    return CSL_OK;
}

static enum csl_code read_domain(const struct csl_study_reader *r, const struct csl_yaml_node *item,
                                 const struct csl_yaml_node *shared_model, struct csl_domain *d)
{
    struct raw_domain raw = {0};
    bool is_fused = item->kind == CSL_YAML_MAPPING && csl_yaml_get(item, "inputs") != NULL;
    enum csl_code code =
        csl_study__section(r, is_fused ? fused_rows : domain_rows, &raw, item, item, "domains");

    if (code == CSL_OK)
        code = read_id(r, item, raw.id, DOMAIN_ID_BYTES_MAX, d);
    if (code == CSL_OK)
        code = csl_study__check_reads(r, item, is_fused);
    if (code != CSL_OK)
        return code;
    d->modality = (enum csl_modality)raw.modality;
    code = read_task(r, item, raw.task, d);
    if (code == CSL_OK && d->merged_count > 0 && !is_fused)
        code = csl_yaml_fail(r->err, r->y, csl_study__at(raw.task, "merged"),
                             "classes are merged in studies with 'inputs' only");
    if (code == CSL_OK)
        code = is_fused ? csl_study__read_fused(r, raw.inputs, d) : read_input(r, item, &raw, d);
    if (code == CSL_OK && r->s->census.is_on)
        code = csl_study__check_census_domain(r, item, d);
    else if (code == CSL_OK)
        code = csl_study__read_model(r, item, raw.model, shared_model, d);
    return code;
}

static enum csl_code read_study_input(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *item, struct csl_domain *d)
{
    struct raw_domain raw = {0};
    enum csl_code code = csl_study__section(r, input_rows, &raw, item, item, "inputs");

    if (code == CSL_OK)
        code = read_id(r, item, raw.id, INPUT_ID_BYTES_MAX, d);
    if (code != CSL_OK)
        return code;
    d->modality = (enum csl_modality)raw.modality;
    code = read_input(r, item, &raw, d);
    return code == CSL_OK ? csl_study__read_encoder(r, item, raw.model, d) : code;
}

enum csl_code csl_study__read_inputs(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *list)
{
    struct csl_study *s = r->s;
    uint32_t n = 0;

    if (!list)
        return CSL_OK;
    enum csl_code code = csl_study__check_list(r, list, 1, CSL_STUDY_INPUTS_MAX, "inputs");
    if (code != CSL_OK)
        return code;
    s->inputs = csl_alloc_array(list->child_count, sizeof(*s->inputs));
    if (!s->inputs)
        return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory for %u inputs", list->child_count);
    s->input_count = list->child_count;
    for (const struct csl_yaml_node *item = list->first_child; item; item = item->next, n++) {
        code = read_study_input(r, item, &s->inputs[n]);
        for (uint32_t i = 0; i < n && code == CSL_OK; i++)
            if (strcmp(s->inputs[i].id, s->inputs[n].id) == 0)
                code = csl_yaml_fail(r->err, r->y, csl_study__at(item, "id"),
                                     "input '%s' is listed twice", s->inputs[n].id);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

enum csl_code csl_study__read_domains(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root,
                                      const struct csl_yaml_node *list,
                                      const struct csl_yaml_node *model_default)
{
    struct csl_study *s = r->s;
    enum csl_code code;

    if (!list)
        return csl_yaml_fail(r->err, r->y, root,
                             "section 'domains' is missing; a list with at least one domain would "
                             "be right");
    code = csl_study__check_list(r, list, 1, CSL_DOMAINS_MAX, "domains");
    if (code != CSL_OK)
        return code;
    s->domains = csl_alloc_array(list->child_count, sizeof(*s->domains));
    if (!s->domains)
        return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory for %u domains", list->child_count);
    s->domain_count = list->child_count;
    uint32_t n = 0, own_models = 0;
    for (const struct csl_yaml_node *item = list->first_child; item; item = item->next, n++) {
        code = read_domain(r, item, model_default, &s->domains[n]);
        if (code != CSL_OK)
            return code;
        own_models += csl_yaml_get(item, "model") != NULL;
        if (csl_study_find_domain(s, s->domains[n].id) != &s->domains[n])
            return csl_yaml_fail(r->err, r->y, csl_study__at(item, "id"),
                                 "domain '%s' is listed twice", s->domains[n].id);
    }
    if (model_default && own_models == s->domain_count)
        return csl_yaml_fail(r->err, r->y, model_default,
                             "every domain names its own model; leaving this one out would be "
                             "right");
    return CSL_OK;
}
