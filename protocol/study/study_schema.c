/* protocol/study/study_schema.c - the tensors of a study's model: one block per domain, tensors
 * named "<domain>.<tensor>"; then one per input of the study, "input.<id>", with the tensors of its
 * encoder, whose outputs are the width of the fusion.
 *
 *   linear, cox   weight [outputs, width], then bias [outputs] if the model has one
 *   mlp           layer<i>.weight [out, in], layer<i>.bias [out], i = 0..hidden_count
 *   cnn1d, cnn2d  conv<i>.weight [channels, kernel (twice in 2-D), channels before], conv<i>.bias,
 *                 norm<i>.weight, norm<i>.bias [channels]; head.weight [outputs, channels], .bias
 *   bag           embed.weight [buckets, width], then the layers of an mlp on width values
 *   transformer   patch.weight [width, patch (twice in 2-D), channels], patch.bias, place.weight
 *                 [tokens, width]; of each layer norm<i>a, qkv<i> [3 width, width], out<i>,
 * norm<i>b, up<i> [4 width, width], down<i>; norm, head; all with weight and bias
 *   (none, census)  counts [entries], which begin at zero
 *   multimodal    gated: fusion.gate [inputs, width], fusion.bias [inputs], fusion.empty [width];
 *                 then the layers of an mlp on width values
 *
 * Behind all of them "adapter.<id>" for each input with an adapter: of each linear layer of its
 * encoder <layer>.down [rank, inputs], which starts as the layer would, and <layer>.up [outputs,
 * rank], which starts at zero, so that the encoder begins as it was (Hu et al. 2022).
 *
 * Linear layers and convolutions start uniform within 1/sqrt(inputs of an output), weights and
 * biases alike, as torch.nn.Linear and Conv2d do (torch/nn/modules/linear.py and conv.py,
 * reset_parameters); norms as the identity; embeddings within 1/width, as fastText's (Joulin et al.
 * 2017; src/fasttext.cc); places of tokens within 0.02 sqrt(3), the deviation 0.02 of BERT's. */
#include "base/check.h"
#include "protocol/study/study_internal.h"

#include <math.h>
#include <stdio.h>

#define PLACE_BOUND 0.0346F

/* One domain's tensors; after the first failure nothing is added. */
struct adder {
    struct csl_schema *schema;
    const struct csl_domain *d;
    const char *block; /* its name */
    uint32_t rank;     /* of the adapter that is added in place of the layers; 0: the layers are */
    enum csl_code code;
    struct csl_err *err;
};

static void add_tensor(struct adder *a, const char *part, uint32_t rank, const uint64_t *shape,
                       enum csl_init init, float bound)
{
    char name[2 * CSL_ID_MAX];

    if (a->code != CSL_OK)
        return;
    snprintf(name, sizeof(name), "%s.%s", a->block, part);
    a->code = csl_schema_add_tensor(a->schema, name, rank, shape, init, bound, a->err);
}

static void add(struct adder *a, const char *part, uint32_t rank, const uint64_t *shape,
                enum csl_init init, float bound)
{
    if (a->rank == 0)
        add_tensor(a, part, rank, shape, init, bound);
}

/* Beside the weight [outputs, inputs] of a linear layer. */
static void add_adapter(struct adder *a, const char *prefix, const uint64_t *shape)
{
    const uint64_t down[2] = {a->rank, shape[1]}, up[2] = {shape[0], a->rank};
    char part[CSL_ID_MAX];

    snprintf(part, sizeof(part), "%sdown", prefix);
    add_tensor(a, part, 2, down, CSL_INIT_UNIFORM, (float)(1.0 / sqrt((double)shape[1])));
    snprintf(part, sizeof(part), "%sup", prefix);
    add_tensor(a, part, 2, up, CSL_INIT_ZEROS, 0);
}

/* <prefix>weight of the shape, whose first axis are the outputs, and <prefix>bias. */
static void add_weight(struct adder *a, const char *prefix, uint32_t rank, const uint64_t *shape,
                       bool has_bias)
{
    double inputs = 1;
    char part[CSL_ID_MAX];

    for (uint32_t i = 1; i < rank; i++)
        inputs *= (double)shape[i];
    float bound = (float)(1.0 / sqrt(inputs));
    if (a->rank > 0 && rank == 2)
        add_adapter(a, prefix, shape);
    snprintf(part, sizeof(part), "%sweight", prefix);
    add(a, part, rank, shape, CSL_INIT_UNIFORM, bound);
    snprintf(part, sizeof(part), "%sbias", prefix);
    if (has_bias)
        add(a, part, 1, shape, CSL_INIT_UNIFORM, bound);
}

static void add_linear(struct adder *a, const char *prefix, uint64_t inputs, uint64_t outputs)
{
    const uint64_t shape[2] = {outputs, inputs};

    add_weight(a, prefix, 2, shape, true);
}

static void add_norm(struct adder *a, const char *prefix, uint64_t channels)
{
    char part[CSL_ID_MAX];

    snprintf(part, sizeof(part), "%sweight", prefix);
    add(a, part, 1, &channels, CSL_INIT_ONES, 0);
    snprintf(part, sizeof(part), "%sbias", prefix);
    add(a, part, 1, &channels, CSL_INIT_ZEROS, 0);
}

/* Over the axes of the domain's input in space. */
static void add_conv(struct adder *a, const char *prefix, uint64_t kernel, uint64_t channels,
                     uint64_t outputs)
{
    const uint64_t plane[4] = {outputs, kernel, kernel, channels};
    const uint64_t line[3] = {outputs, kernel, channels};
    bool is_plane = a->d->modality == CSL_IMAGE2D;

    add_weight(a, prefix, is_plane ? 4 : 3, is_plane ? plane : line, true);
}

static void add_layers(struct adder *a, uint64_t inputs)
{
    const struct csl_domain *d = a->d;

    for (uint32_t i = 0; i <= d->hidden_count; i++) {
        uint64_t outputs = i < d->hidden_count ? d->hidden[i] : d->outputs;
        char prefix[24];
        snprintf(prefix, sizeof(prefix), "layer%u.", i);
        add_linear(a, prefix, inputs, outputs);
        inputs = outputs;
    }
}

static void add_cnn(struct adder *a)
{
    const struct csl_model_sizes *m = &a->d->sizes;
    uint64_t channels = a->d->shape[a->d->modality == CSL_IMAGE2D ? 2 : 1];

    for (uint32_t i = 0; i < m->stages; i++) {
        char prefix[24];
        snprintf(prefix, sizeof(prefix), "conv%u.", i);
        add_conv(a, prefix, m->kernel, channels, m->channels[i]);
        channels = m->channels[i];
        snprintf(prefix, sizeof(prefix), "norm%u.", i);
        if (m->groups > 0)
            add_norm(a, prefix, channels);
    }
    add_linear(a, "head.", channels, a->d->outputs);
}

static void add_bag(struct adder *a)
{
    const uint64_t table[2] = {a->d->shape[1], a->d->sizes.width};

    add(a, "embed.weight", 2, table, CSL_INIT_UNIFORM, 1.0F / (float)a->d->sizes.width);
    add_layers(a, a->d->sizes.width);
}

static void add_transformer(struct adder *a)
{
    const struct csl_model_sizes *m = &a->d->sizes;
    const uint32_t *shape = a->d->shape;
    bool is_plane = a->d->modality == CSL_IMAGE2D;
    uint64_t w = m->width;
    const uint64_t places[2] = {
        shape[0] / m->patch * (is_plane ? (uint64_t)(shape[1] / m->patch) : 1), w};
    char prefix[24];

    add_conv(a, "patch.", m->patch, is_plane ? shape[2] : shape[1], w);
    add(a, "place.weight", 2, places, CSL_INIT_UNIFORM, PLACE_BOUND);
    for (uint32_t i = 0; i < m->layers; i++) {
        snprintf(prefix, sizeof(prefix), "norm%ua.", i);
        add_norm(a, prefix, w);
        snprintf(prefix, sizeof(prefix), "qkv%u.", i);
        add_linear(a, prefix, w, 3 * w);
        snprintf(prefix, sizeof(prefix), "out%u.", i);
        add_linear(a, prefix, w, w);
        snprintf(prefix, sizeof(prefix), "norm%ub.", i);
        add_norm(a, prefix, w);
        snprintf(prefix, sizeof(prefix), "up%u.", i);
        add_linear(a, prefix, w, 4 * w);
        snprintf(prefix, sizeof(prefix), "down%u.", i);
        add_linear(a, prefix, 4 * w, w);
    }
    add_norm(a, "norm.", w);
    add_linear(a, "head.", w, a->d->outputs);
}

/* The gate starts at zero: equal shares of what is present. One after another, as csl_fusion takes
 * them. */
static void add_multimodal(struct adder *a)
{
    const struct csl_domain *d = a->d;
    const uint64_t gate[2] = {d->fusion.input_count, d->sizes.width};

    if (d->fusion.kind == CSL_FUSION_GATED) {
        add(a, "fusion.gate", 2, gate, CSL_INIT_ZEROS, 0);
        add(a, "fusion.bias", 1, &gate[0], CSL_INIT_ZEROS, 0);
        add(a, "fusion.empty", 1, &gate[1], CSL_INIT_ZEROS, 0);
    }
    add_layers(a, d->sizes.width);
}

static enum csl_code add_domain(struct csl_schema *schema, const struct csl_domain *d,
                                const char *block, uint32_t rank, struct csl_err *err)
{
    struct adder a = {.schema = schema, .d = d, .block = block, .rank = rank, .err = err};
    const uint64_t shape[2] = {d->outputs, d->width};

    a.code = csl_schema_add_block(schema, block, rank > 0 ? CSL_BLOCK_SHARED : d->block_kind, err);
    switch (d->model) {
    case CSL_MODEL_LINEAR:
    case CSL_MODEL_COX:
        add_weight(&a, "", 2, shape, d->has_bias);
        break;
    case CSL_MODEL_MLP:
        add_layers(&a, d->width);
        break;
    case CSL_MODEL_CNN1D:
    case CSL_MODEL_CNN2D:
        add_cnn(&a);
        break;
    case CSL_MODEL_BAG:
        add_bag(&a);
        break;
    case CSL_MODEL_TRANSFORMER:
        add_transformer(&a);
        break;
    case CSL_MODEL_MULTIMODAL:
        add_multimodal(&a);
        break;
    case CSL_MODEL_COUNT:
        break;
    }
    return a.code;
}

void csl_study_input_block(char out[CSL_ID_MAX], const struct csl_domain *input)
{
    snprintf(out, CSL_ID_MAX, "input.%.*s", CSL_ID_MAX - 7, input->id);
}

void csl_study_adapter_block(char out[CSL_ID_MAX], const struct csl_domain *input)
{
    snprintf(out, CSL_ID_MAX, "adapter.%.*s", CSL_ID_MAX - 9, input->id);
}

uint32_t csl_study_input_of(const struct csl_study *s, uint32_t block)
{
    uint32_t left = block - s->domain_count;

    CSL_ASSERT(block >= s->domain_count && block < s->schema.block_count);
    if (left < s->input_count)
        return left;
    left -= s->input_count;
    for (uint32_t i = 0; i < s->input_count; i++)
        if (s->inputs[i].adapter.rank > 0 && left-- == 0)
            return i;
    CSL_ASSERT(false); /* the schema has no block behind them */
    return 0;
}

enum csl_code csl_study__build_schema(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root)
{
    struct csl_study *s = r->s;
    struct csl_err cause = {0};
    enum csl_code code = CSL_OK;

    csl_schema_init(&s->schema);
    for (uint32_t i = 0; i < s->domain_count && code == CSL_OK; i++)
        code = s->census.is_on
                   ? csl_study__add_census(&s->schema, s, &s->domains[i], &cause)
                   : add_domain(&s->schema, &s->domains[i], s->domains[i].id, 0, &cause);
    for (uint32_t i = 0; i < s->input_count && code == CSL_OK; i++) {
        char block[CSL_ID_MAX];
        csl_study_input_block(block, &s->inputs[i]);
        code = add_domain(&s->schema, &s->inputs[i], block, 0, &cause);
    }
    for (uint32_t i = 0; i < s->input_count && code == CSL_OK; i++) {
        char block[CSL_ID_MAX];
        csl_study_adapter_block(block, &s->inputs[i]);
        if (s->inputs[i].adapter.rank > 0)
            code = add_domain(&s->schema, &s->inputs[i], block, s->inputs[i].adapter.rank, &cause);
    }
    if (code == CSL_OK)
        code = csl_schema_seal(&s->schema, &cause);
    if (code != CSL_OK)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "domains"), "%s", cause.msg);
    return CSL_OK;
}
