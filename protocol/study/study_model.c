/* protocol/study/study_model.c - the section `model`: which network, how large, and whether it fits
 * the domain's input and task. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <string.h>

#define CHANNELS_MAX     1024 /* so that no product of sizes of a convolution exceeds 2^31 */
#define TOKENS_MAX       4096 /* attention looks at every pair of them */
#define ADAPTER_RANK_MAX 256

static const char *const model_names[] = {"linear", "cox",         "mlp",        "cnn1d", "cnn2d",
                                          "bag",    "transformer", "multimodal", NULL};
static const char *const fusion_names[] = {"gated", "mean", NULL};
static const char *const norm_names[] = {"group", "none", NULL};
static const char *const train_names[] = {"all", "frozen", "local", NULL}; /* csl_block_kind */

struct raw_model {
    int kind, norm, fusion, train;
    bool bias;
    double modality_dropout;
    const struct csl_yaml_node *hidden, *channels, *adapter;
    uint32_t kernel, stride, pool, groups, width, patch, heads, layers;
};

#define AT(field)            .offset = offsetof(struct raw_model, field)
#define SIZE(key, low, high) .name = #key, .type = CSL_OPT_U32, AT(key), .min = (low), .max = (high)

static const struct csl_option model_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(kind),
     .choices = model_names,
     .help = "linear: logistic or softmax regression; cox: proportional hazards; mlp: layers; "
             "cnn1d, cnn2d: convolutions; bag: mean of the words of a text, then layers; "
             "transformer: attention between patches; multimodal: inputs of the study, fused."},
    {.name = "hidden",
     .type = CSL_OPT_NODE,
     AT(hidden),
     .help = "mlp, bag, multimodal: units of each hidden layer."},
    {.name = "bias",
     .type = CSL_OPT_BOOL,
     AT(bias),
     .fallback = "true",
     .help = "linear, cox: a constant term."},
    {.name = "channels",
     .type = CSL_OPT_NODE,
     AT(channels),
     .help = "cnn1d, cnn2d: channels of each convolution."},
    {SIZE(kernel, 1, 31), .fallback = "3", .help = "cnn1d, cnn2d: width of a convolution; odd."},
    {SIZE(stride, 1, 16), .fallback = "1", .help = "cnn1d, cnn2d: step of a convolution."},
    {SIZE(pool, 1, 16), .fallback = "2",
     .help = "cnn1d, cnn2d: width and step of the max pool behind each convolution; 1: none."},
    {.name = "norm",
     .type = CSL_OPT_ENUM,
     AT(norm),
     .choices = norm_names,
     .fallback = "group",
     .help = "cnn1d, cnn2d: group norm behind each convolution, or none."},
    {SIZE(groups, 1, CHANNELS_MAX), .fallback = "4",
     .help = "cnn1d, cnn2d: groups of channels that are normalised together."},
    {SIZE(width, 1, CHANNELS_MAX), .fallback = "32",
     .help = "bag, transformer: values of a word or token; multimodal: of an encoded input."},
    {.name = "fusion",
     .type = CSL_OPT_ENUM,
     AT(fusion),
     .choices = fusion_names,
     .fallback = "gated",
     .help = "multimodal: shares of the inputs present that are learned (gated), or the mean."},
    {.name = "modality_dropout",
     .type = CSL_OPT_F64,
     AT(modality_dropout),
     .fallback = "0",
     .min = 0,
     .max = 0.95,
     .help = "multimodal: how often an input that is there is left out in training."},
    {SIZE(patch, 1, 4096), .fallback = "1",
     .help = "transformer: samples, steps or pixels of a token along each axis."},
    {SIZE(heads, 1, 64), .fallback = "4", .help = "transformer: attention heads."},
    {SIZE(layers, 1, CSL_HIDDEN_LAYERS_MAX), .fallback = "2",
     .help = "transformer: attention and feed-forward pairs."},
    {.name = "train",
     .type = CSL_OPT_ENUM,
     AT(train),
     .choices = train_names,
     .fallback = "all",
     .help = "In a study with inputs: all: trained and sent; frozen: from the initial model that "
             "every site has, never trained nor sent; local: trained, but stays at the site."},
    {.name = "adapter",
     .type = CSL_OPT_NODE,
     AT(adapter),
     .help =
         "Of a frozen encoder: {rank, alpha}, low-rank matrices beside its linear layers, which "
         "are trained and sent in its place."},
    CSL_OPTION_END,
};

static const struct csl_option adapter_rows[] = {
    {.name = "rank",
     .type = CSL_OPT_U32,
     .offset = offsetof(struct csl_adapter, rank),
     .min = 1,
     .max = ADAPTER_RANK_MAX,
     .help = "Rows of the one and columns of the other matrix of a layer."},
    {.name = "alpha",
     .type = CSL_OPT_F64,
     .offset = offsetof(struct csl_adapter, alpha),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .help = "Their product is taken times alpha / rank; 0: once."},
    CSL_OPTION_END,
};

#define KIND(name) (1u << CSL_MODEL_##name)
#define CNNS       (KIND(CNN1D) | KIND(CNN2D))

/* Keys that mean something to some kinds only. `bias` of an mlp has an error of its own. */
static const struct {
    const char *key;
    unsigned kinds;
    const char *why;
} kind_keys[] = {
    {"hidden", KIND(MLP) | KIND(BAG) | KIND(MULTIMODAL),
     "only kinds mlp, bag and multimodal have hidden layers"},
    {"bias", KIND(LINEAR) | KIND(COX) | KIND(MLP), "only kinds linear and cox leave it out"},
    {"channels", CNNS, "only kinds cnn1d and cnn2d have channels"},
    {"kernel", CNNS, "only kinds cnn1d and cnn2d have a kernel"},
    {"stride", CNNS, "only kinds cnn1d and cnn2d have a stride"},
    {"pool", CNNS, "only kinds cnn1d and cnn2d have a pool"},
    {"norm", CNNS, "only kinds cnn1d and cnn2d choose their norm"},
    {"groups", CNNS, "only kinds cnn1d and cnn2d have groups"},
    {"width", KIND(BAG) | KIND(TRANSFORMER) | KIND(MULTIMODAL),
     "only kinds bag, transformer and multimodal have a width"},
    {"fusion", KIND(MULTIMODAL), "only kind: multimodal has a fusion"},
    {"modality_dropout", KIND(MULTIMODAL), "only kind: multimodal has inputs to leave out"},
    {"patch", KIND(TRANSFORMER), "only kind: transformer has patches"},
    {"heads", KIND(TRANSFORMER), "only kind: transformer has heads"},
    {"layers", KIND(TRANSFORMER), "only kind: transformer has layers of attention"},
};

const char *csl_model_kind_name(enum csl_model_kind kind)
{
    CSL_ASSERT(kind < CSL_MODEL_COUNT);
    return model_names[kind];
}

const char *csl_block_kind_name(enum csl_block_kind kind)
{
    return train_names[kind];
}

/* What an input needs: kinds that take it, and what to say otherwise. */
static enum csl_code check_input(const struct csl_study_reader *r, const struct csl_yaml_node *at,
                                 const struct csl_domain *d)
{
    static const struct {
        unsigned kinds;
        const char *names;
    } takes[CSL_MODEL_COUNT] = {
        [CSL_MODEL_CNN1D] = {1u << CSL_SIGNAL | 1u << CSL_EHR_SERIES, "signal or ehr_series"},
        [CSL_MODEL_CNN2D] = {1u << CSL_IMAGE2D, "image2d"},
        [CSL_MODEL_BAG] = {1u << CSL_TEXT, "text"},
        [CSL_MODEL_TRANSFORMER] = {1u << CSL_SIGNAL | 1u << CSL_EHR_SERIES | 1u << CSL_IMAGE2D,
                                   "image2d, signal or ehr_series"},
    };

    if ((d->model == CSL_MODEL_MULTIMODAL) != (d->fusion.input_count > 0))
        return csl_yaml_fail(r->err, r->y, at, "%s '%s': model kind %s does not fit %s",
                             csl_study__noun(r, d), d->id, model_names[d->model],
                             d->fusion.input_count > 0
                                 ? "several inputs; multimodal would be right"
                                 : "a single modality; only a domain with 'inputs' has it");
    if (d->modality == CSL_TEXT && d->model != CSL_MODEL_BAG)
        return csl_yaml_fail(r->err, r->y, at,
                             "%s '%s': the inputs of modality text are token ids, which model "
                             "kind %s would take for numbers; bag would be right",
                             csl_study__noun(r, d), d->id, model_names[d->model]);
    if (takes[d->model].kinds != 0 && (takes[d->model].kinds >> d->modality & 1) == 0)
        return csl_yaml_fail(r->err, r->y, at,
                             "%s '%s': model kind %s does not fit modality %s; %s would be "
                             "right",
                             csl_study__noun(r, d), d->id, model_names[d->model],
                             csl_modality_name(d->modality), takes[d->model].names);
    return CSL_OK;
}

static enum csl_code check_kind(const struct csl_study_reader *r, const struct csl_yaml_node *at,
                                const struct csl_yaml_node *section, const struct csl_domain *d)
{
    bool is_survival = d->task == CSL_TASK_SURVIVAL;

    if ((d->model == CSL_MODEL_COX) != is_survival && d->model != CSL_MODEL_MULTIMODAL)
        return csl_yaml_fail(r->err, r->y, at,
                             "%s '%s': model kind %s does not fit a %s task; %s would be right",
                             csl_study__noun(r, d), d->id, model_names[d->model],
                             csl_task_name(d->task), is_survival ? "cox" : "any but cox");
    enum csl_code code = check_input(r, at, d);
    for (size_t i = 0; i < sizeof(kind_keys) / sizeof(kind_keys[0]) && code == CSL_OK; i++) {
        const char *const keys[] = {kind_keys[i].key, NULL};
        if ((kind_keys[i].kinds >> d->model & 1) == 0)
            code = csl_study__refuse_keys(r, section, keys, kind_keys[i].why);
    }
    if (code != CSL_OK || d->model != CSL_MODEL_MLP)
        return code;
    if (!d->has_bias)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "bias"),
                             "layers of an mlp always have a bias; leaving the key out would be "
                             "right");
    if (d->hidden_count == 0)
        return csl_yaml_fail(r->err, r->y, section,
                             "an mlp needs 'hidden', the units of each hidden layer; for example "
                             "hidden: [32]");
    return CSL_OK;
}

/* Axes that a convolution or patch moves over. */
static uint32_t space_axes(const struct csl_domain *d)
{
    return d->modality == CSL_IMAGE2D ? 2 : 1;
}

/* Every stage must leave a position for the next one. */
static enum csl_code check_stages(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *section, const struct csl_domain *d)
{
    const struct csl_model_sizes *m = &d->sizes;

    for (uint32_t axis = 0; axis < space_axes(d); axis++) {
        uint32_t left = d->shape[axis];
        for (uint32_t i = 0; i < m->stages; i++) {
            left = (left - 1) / m->stride + 1;
            if (left < m->pool)
                return csl_yaml_fail(r->err, r->y, csl_study__at(section, "channels"),
                                     "%s '%s': convolution %u leaves %u of %u positions of an "
                                     "axis, too few for a pool of %u; fewer convolutions, a "
                                     "smaller stride or a smaller pool would be right",
                                     csl_study__noun(r, d), d->id, i + 1, left, d->shape[axis],
                                     m->pool);
            left /= m->pool;
        }
    }
    return CSL_OK;
}

static enum csl_code read_cnn(const struct csl_study_reader *r, const struct csl_yaml_node *section,
                              const struct raw_model *raw, struct csl_domain *d)
{
    static const char *const groups_keys[] = {"groups", NULL};
    struct csl_model_sizes *m = &d->sizes;
    enum csl_code code = CSL_OK;

    if (!raw->channels)
        return csl_yaml_fail(r->err, r->y, section,
                             "a %s needs 'channels', those of each convolution; for example "
                             "channels: [16, 32]",
                             model_names[d->model]);
    code = csl_study__u32_list(r, raw->channels, 1, CSL_HIDDEN_LAYERS_MAX, CHANNELS_MAX,
                               m->channels, &m->stages);
    if (code != CSL_OK)
        return code;
    if (raw->kernel % 2 == 0)
        return csl_study__found(r, csl_study__at(section, "kernel"),
                                "an odd number, whose middle lies on a position,");
    m->kernel = raw->kernel;
    m->stride = raw->stride;
    m->pool = raw->pool;
    if (raw->norm != 0)
        code = csl_study__refuse_keys(r, section, groups_keys, "only norm: group has groups");
    else
        m->groups = raw->groups;
    for (uint32_t i = 0; code == CSL_OK && m->groups > 0 && i < m->stages; i++)
        if (m->channels[i] % m->groups != 0)
            code = csl_yaml_fail(r->err, r->y, csl_study__at(section, "groups"),
                                 "%u channels are no multiple of %u groups; a number of groups "
                                 "that divides every stage's channels would be right",
                                 m->channels[i], m->groups);
    return code == CSL_OK ? check_stages(r, section, d) : code;
}

static enum csl_code read_transformer(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *section,
                                      const struct raw_model *raw, struct csl_domain *d)
{
    uint64_t tokens = 1;

    if (!csl_yaml_get(section, "patch"))
        return csl_yaml_fail(r->err, r->y, section,
                             "a transformer needs 'patch', the samples, steps or pixels of a "
                             "token along each axis");
    for (uint32_t axis = 0; axis < space_axes(d); axis++) {
        if (d->shape[axis] % raw->patch != 0)
            return csl_yaml_fail(r->err, r->y, csl_study__at(section, "patch"),
                                 "%s '%s': an axis of %u is no multiple of %u; a patch that "
                                 "divides it would be right",
                                 csl_study__noun(r, d), d->id, d->shape[axis], raw->patch);
        tokens *= d->shape[axis] / raw->patch;
    }
    if (tokens > TOKENS_MAX)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "patch"),
                             "%s '%s': %llu tokens; at most %d, of a larger patch, would be "
                             "right",
                             csl_study__noun(r, d), d->id, (unsigned long long)tokens, TOKENS_MAX);
    if (raw->width % raw->heads != 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "heads"),
                             "a width of %u is no multiple of %u heads; a number that divides it "
                             "would be right",
                             raw->width, raw->heads);
    d->sizes.width = raw->width;
    d->sizes.patch = raw->patch;
    d->sizes.heads = raw->heads;
    d->sizes.layers = raw->layers;
    return CSL_OK;
}

static enum csl_code read_adapter(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *section,
                                  const struct csl_yaml_node *adapter, struct csl_domain *d)
{
    enum csl_code code =
        csl_study__section(r, adapter_rows, &d->adapter, section, adapter, "adapter");

    if (code == CSL_OK && d->block_kind != CSL_BLOCK_FROZEN)
        code = csl_yaml_fail(r->err, r->y, adapter,
                             "has no effect here: an encoder that is trained needs none; train: "
                             "frozen would be right");
    if (code == CSL_OK && !(d->adapter.alpha > 0))
        d->adapter.alpha = d->adapter.rank;
    return code;
}

/* What of the model is trained, which is a choice where it has more than one block. */
static enum csl_code read_kind(const struct csl_study_reader *r,
                               const struct csl_yaml_node *section, const struct raw_model *raw,
                               bool is_input, struct csl_domain *d)
{
    static const char *const train_keys[] = {"train", NULL};
    static const char *const adapter_keys[] = {"adapter", NULL};
    enum csl_code code = CSL_OK;

    d->block_kind = (enum csl_block_kind)raw->train;
    if (!is_input && r->s->input_count == 0)
        code = csl_study__refuse_keys(r, section, train_keys,
                                      "a domain without 'inputs' is one block, and it is trained");
    if (code == CSL_OK && !is_input)
        code = csl_study__refuse_keys(r, section, adapter_keys,
                                      "only the encoder of an input takes an adapter");
    return code == CSL_OK && raw->adapter ? read_adapter(r, section, raw->adapter, d) : code;
}

enum csl_code csl_study__read_model(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *domain,
                                    const struct csl_yaml_node *own,
                                    const struct csl_yaml_node *shared, struct csl_domain *d)
{
    const struct csl_yaml_node *section = own ? own : shared;
    struct raw_model raw = {0};
    bool is_input = r->s->domain_count == 0; /* inputs are read before domains */
    enum csl_code code =
        csl_study__section(r, model_rows, &raw, domain, section, is_input ? "encoder" : "model");

    if (code == CSL_OK && raw.hidden)
        code = csl_study__u32_list(r, raw.hidden, 1, CSL_HIDDEN_LAYERS_MAX, CSL_FEATURES_MAX,
                                   d->hidden, &d->hidden_count);
    if (code != CSL_OK)
        return code;
    d->model = (enum csl_model_kind)raw.kind;
    d->has_bias = raw.bias;
    code = read_kind(r, section, &raw, is_input, d);
    if (code == CSL_OK)
        code = check_kind(r, own ? own : domain, section, d);
    if (code != CSL_OK)
        return code;
    switch (d->model) {
    case CSL_MODEL_CNN1D:
    case CSL_MODEL_CNN2D:
        return read_cnn(r, section, &raw, d);
    case CSL_MODEL_BAG:
        d->sizes.width = raw.width;
        return CSL_OK;
    case CSL_MODEL_TRANSFORMER:
        return read_transformer(r, section, &raw, d);
    case CSL_MODEL_MULTIMODAL:
        d->sizes.width = raw.width;
        d->fusion.kind = (enum csl_fusion_kind)raw.fusion;
        d->fusion.modality_dropout = raw.modality_dropout;
        return CSL_OK;
    case CSL_MODEL_LINEAR:
    case CSL_MODEL_COX:
    case CSL_MODEL_MLP:
    case CSL_MODEL_COUNT:
        break;
    }
    return CSL_OK;
}
