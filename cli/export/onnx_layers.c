#include "cli/export/onnx_layers.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

void csl_onnx__put(struct csl_onnx_net *o, const struct csl_onnx_node *node)
{
    csl_onnx__node(o->graph, node);
    snprintf(o->value, sizeof(o->value), "%s", node->output);
}

void csl_onnx__add(struct csl_onnx_net *o, const char *op, const char *second, const char *third,
                   const char *output)
{
    char taken[CSL_ONNX_NAME_MAX];
    snprintf(taken, sizeof(taken), "%s", o->value);
    const struct csl_onnx_node node = {
        .op = op, .inputs = {taken, second, third}, .output = output};
    csl_onnx__put(o, &node);
}

void csl_onnx__add_with(struct csl_onnx_net *o, const char *op, const char *attribute,
                        int64_t value, const char *output)
{
    char taken[CSL_ONNX_NAME_MAX];
    snprintf(taken, sizeof(taken), "%s", o->value);
    const struct csl_onnx_node node = {
        .op = op,
        .inputs = {taken},
        .output = output,
        .attributes = {{.name = attribute, .kind = CSL_ONNX_ATTR_INT, .i = {value}}}};
    csl_onnx__put(o, &node);
}

void csl_onnx__ints(struct csl_onnx_net *o, const char *name, uint64_t count, const int64_t *values)
{
    csl_onnx__constant(o->graph, name, CSL_ONNX_INT64, 1, &count, values);
}

void csl_onnx__float(struct csl_onnx_net *o, const char *name, float value)
{
    csl_onnx__constant(o->graph, name, CSL_ONNX_FLOAT, 0, NULL, &value);
}

void csl_onnx__binary(struct csl_onnx_net *o, const char *op, const char *a, const char *b,
                      const char *output)
{
    const struct csl_onnx_node node = {.op = op, .inputs = {a, b}, .output = output};
    csl_onnx__put(o, &node);
}

void csl_onnx__sum(struct csl_onnx_net *o, const char *from, int64_t axis, const char *output)
{
    char axes[CSL_ONNX_NAME_MAX];
    snprintf(axes, sizeof(axes), "%s.axis", output);
    csl_onnx__ints(o, axes, 1, &axis);
    const struct csl_onnx_node sum = {
        .op = "ReduceSum",
        .inputs = {from, axes},
        .output = output,
        .attributes = {{.name = "keepdims", .kind = CSL_ONNX_ATTR_INT, .i = {0}}}};
    csl_onnx__put(o, &sum);
}

static const struct csl_tensor_spec *tensor_at(const struct csl_onnx_net *o, uint64_t first)
{
    const struct csl_schema *s = o->model->schema;
    uint32_t i = 0;
    while (i < s->tensor_count && s->tensors[i].first != first)
        i++;
    CSL_ASSERT(i < s->tensor_count); /* csl_net_init found it in the same schema */
    return &s->tensors[i];
}

static const char *reshaped(struct csl_onnx_net *o, uint64_t first, uint32_t rank,
                            const uint64_t *shape)
{
    const struct csl_tensor_spec *t = tensor_at(o, first);
    csl_onnx__constant(o->graph, t->name, CSL_ONNX_FLOAT, rank, shape,
                       o->model->parameters + first);
    return t->name;
}

const char *csl_onnx__weights(struct csl_onnx_net *o, uint64_t first)
{
    const struct csl_tensor_spec *t = tensor_at(o, first);
    return reshaped(o, first, t->rank, t->shape);
}

/* Element [i, j] of W, with an adapter of W + scale * up down: what the layer amounts to. */
static float effective(const struct csl_onnx_net *o, const struct csl_layer *l,
                       const struct csl_lora *a, uint64_t in, uint64_t i, uint64_t j)
{
    const float *p = o->model->parameters;
    double product = 0;
    if (a == NULL)
        return p[l->weight + i * in + j];
    for (uint64_t r = 0; r < a->rank; r++)
        product += (double)p[a->up + i * a->rank + r] * (double)p[a->down + r * in + j];
    return (float)((double)p[l->weight + i * in + j] + a->scale * product);
}

/* The weights as one constant, [outputs, inputs], or [inputs, outputs] for tokens, which Gemm does
 * not take. */
static enum csl_code add_matrix(struct csl_onnx_net *o, const struct csl_layer *l,
                                const struct csl_lora *a, const char **name, struct csl_err *err)
{
    const struct csl_tensor_spec *t = tensor_at(o, l->weight);
    uint64_t out = t->shape[0], in = t->shape[1];
    const uint64_t shape[2] = {o->is_tokens ? in : out, o->is_tokens ? out : in};
    float *w = csl_alloc_array((size_t)t->count, sizeof(*w));
    if (w == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %llu weights",
                        (unsigned long long)t->count);
    for (uint64_t i = 0; i < out; i++)
        for (uint64_t j = 0; j < in; j++)
            w[o->is_tokens ? j * out + i : i * in + j] = effective(o, l, a, in, i, j);
    csl_onnx__constant(o->graph, t->name, CSL_ONNX_FLOAT, 2, shape, w);
    csl_free(w);
    *name = t->name;
    return CSL_OK;
}

static enum csl_code add_dense(struct csl_onnx_net *o, const struct csl_layer *l,
                               const struct csl_lora *a, const char *output, struct csl_err *err)
{
    const char *weight = NULL;
    enum csl_code code = add_matrix(o, l, a, &weight, err);
    if (code != CSL_OK)
        return code;
    const char *bias = l->has_bias ? csl_onnx__weights(o, l->bias) : NULL;
    if (o->is_tokens) {
        char product[32];
        snprintf(product, sizeof(product), "%s.product", output);
        CSL_ASSERT(bias != NULL); /* every layer of a transformer has one */
        csl_onnx__add(o, "MatMul", weight, NULL, product);
        csl_onnx__add(o, "Add", bias, NULL, output);
        return CSL_OK;
    }
    const struct csl_onnx_node gemm = {
        .op = "Gemm",
        .inputs = {o->value, weight, bias},
        .output = output,
        .attributes = {{.name = "transB", .kind = CSL_ONNX_ATTR_INT, .i = {1}}}}; /* x W^T + b */
    csl_onnx__put(o, &gemm);
    return CSL_OK;
}

static enum csl_code add_linear(struct csl_onnx_net *o, const struct csl_layer *l,
                                const char *output, struct csl_err *err)
{
    return add_dense(o, l, NULL, output, err);
}

static enum csl_code add_lora(struct csl_onnx_net *o, const struct csl_layer *l, const char *output,
                              struct csl_err *err)
{
    return add_dense(o, l, &l->as.lora, output, err);
}

static enum csl_code add_relu(struct csl_onnx_net *o, const struct csl_layer *l, const char *output,
                              struct csl_err *err)
{
    (void)l;
    (void)err;
    csl_onnx__add(o, "Relu", NULL, NULL, output);
    return CSL_OK;
}

/* How many of a window's three axes the input has, the last ones. */
static uint32_t space_axes(const struct csl_onnx_net *o)
{
    return o->domain->modality == CSL_IMAGE2D ? 2 : 1;
}

/* An attribute of one number per axis of the window, `times` over. */
static struct csl_onnx_attribute per_axis(const struct csl_onnx_net *o, const char *name,
                                          const uint64_t values[3], uint32_t times)
{
    uint32_t axes = space_axes(o);
    struct csl_onnx_attribute a = {.name = name, .kind = CSL_ONNX_ATTR_INTS, .count = axes * times};
    for (uint32_t i = 0; i < a.count; i++)
        a.i[i] = (int64_t)values[3 - axes + i % axes];
    return a;
}

/* [outputs, taps, channels] as ONNX has it: [outputs, channels, taps]. */
static enum csl_code add_kernels(struct csl_onnx_net *o, const struct csl_layer *l,
                                 const char **name, struct csl_err *err)
{
    const struct csl_tensor_spec *t = tensor_at(o, l->weight);
    const float *from = o->model->parameters + l->weight;
    uint64_t taps = csl_window_taps(&l->as.window), channels = l->as.window.channels;
    uint64_t shape[CSL_ONNX_RANK_MAX] = {t->shape[0], channels, t->shape[1], t->shape[2]};
    float *to = csl_alloc_array((size_t)t->count, sizeof(*to));
    if (to == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %llu weights",
                        (unsigned long long)t->count);
    for (uint64_t i = 0; i < t->count; i++) {
        uint64_t output = i / (taps * channels), tap = i / channels % taps, c = i % channels;
        to[(output * channels + c) * taps + tap] = from[i];
    }
    csl_onnx__constant(o->graph, t->name, CSL_ONNX_FLOAT, t->rank, shape, to);
    csl_free(to);
    *name = t->name;
    return CSL_OK;
}

/* [records, channels, axes..] becomes [records, tokens, channels]. */
static void add_patches(struct csl_onnx_net *o, uint64_t channels)
{
    const int64_t rows[3] = {0, (int64_t)channels, -1}; /* 0: as it was */
    csl_onnx__ints(o, "patches.shape", 3, rows);
    csl_onnx__add(o, "Reshape", "patches.shape", NULL, "patches.rows");
    const struct csl_onnx_node node = {
        .op = "Transpose",
        .inputs = {o->value},
        .output = "patches",
        .attributes = {{.name = "perm", .kind = CSL_ONNX_ATTR_INTS, .i = {0, 2, 1}, .count = 3}}};
    csl_onnx__put(o, &node);
    o->is_tokens = true;
}

static enum csl_code add_conv(struct csl_onnx_net *o, const struct csl_layer *l, const char *output,
                              struct csl_err *err)
{
    const struct csl_window *w = &l->as.window;
    const char *weight = NULL;
    enum csl_code code = add_kernels(o, l, &weight, err);
    if (code != CSL_OK)
        return code;
    const char *bias = l->has_bias ? csl_onnx__weights(o, l->bias) : NULL;
    const struct csl_onnx_node conv = {.op = "Conv",
                                       .inputs = {o->value, weight, bias},
                                       .output = output,
                                       .attributes = {per_axis(o, "kernel_shape", w->kernel, 1),
                                                      per_axis(o, "pads", w->pad, 2),
                                                      per_axis(o, "strides", w->stride, 1)}};
    csl_onnx__put(o, &conv);
    if (o->domain->model == CSL_MODEL_TRANSFORMER)
        add_patches(o, l->outputs);
    return CSL_OK;
}

static enum csl_code add_pool(struct csl_onnx_net *o, const struct csl_layer *l, const char *output,
                              struct csl_err *err)
{
    (void)err;
    const struct csl_window *w = &l->as.window;
    const struct csl_onnx_node pool = {.op = "MaxPool",
                                       .inputs = {o->value},
                                       .output = output,
                                       .attributes = {per_axis(o, "kernel_shape", w->kernel, 1),
                                                      per_axis(o, "strides", w->stride, 1)}};
    csl_onnx__put(o, &pool);
    return CSL_OK;
}

/* Gain 1 and shift 0 of every group, which an instance norm wants to be told. */
static enum csl_code add_identity(struct csl_onnx_net *o, uint64_t groups, const char *ones,
                                  const char *zeros, struct csl_err *err)
{
    float *values = csl_alloc_array((size_t)groups, 2 * sizeof(*values));
    if (values == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %llu groups", (unsigned long long)groups);
    csl_onnx__constant(o->graph, zeros, CSL_ONNX_FLOAT, 1, &groups, values);
    for (uint64_t i = 0; i < groups; i++)
        values[i] = 1.0F;
    csl_onnx__constant(o->graph, ones, CSL_ONNX_FLOAT, 1, &groups, values);
    csl_free(values);
    return CSL_OK;
}

/* Group norm, which opset 13 lacks: the groups of a record are the channels of an instance norm. */
static enum csl_code add_norm(struct csl_onnx_net *o, const struct csl_layer *l, const char *output,
                              struct csl_err *err)
{
    enum { SHAPE, GROUPED, ONES, ZEROS, STANDARD, BEFORE, WHOLE, SCALED, PARTS };
    static const char *const parts[PARTS] = {"shape",    "grouped", "ones",  "zeros",
                                             "standard", "before",  "whole", "scaled"};
    const struct csl_norm *n = &l->as.norm;
    const uint64_t channels[3] = {n->channels, 1, 1};
    const int64_t grouped[3] = {0, (int64_t)n->groups, -1}; /* 0: as it was */
    uint32_t axes = 1 + space_axes(o);
    char names[PARTS][32];
    if (o->is_tokens)
        return csl_onnx__add_layer_norm(o, l, output, err);
    for (int i = 0; i < PARTS; i++)
        snprintf(names[i], sizeof(names[i]), "%s.%s", output, parts[i]);
    enum csl_code code = add_identity(o, n->groups, names[ONES], names[ZEROS], err);
    if (code != CSL_OK)
        return code;
    const struct csl_onnx_node before = {
        .op = "Shape", .inputs = {o->value}, .output = names[BEFORE]};
    csl_onnx__node(o->graph, &before);
    csl_onnx__ints(o, names[SHAPE], 3, grouped);
    csl_onnx__add(o, "Reshape", names[SHAPE], NULL, names[GROUPED]);
    const struct csl_onnx_node standard = {
        .op = "InstanceNormalization",
        .inputs = {names[GROUPED], names[ONES], names[ZEROS]},
        .output = names[STANDARD],
        .attributes = {{.name = "epsilon", .kind = CSL_ONNX_ATTR_FLOAT, .f = (float)n->epsilon}}};
    csl_onnx__put(o, &standard);
    csl_onnx__add(o, "Reshape", names[BEFORE], NULL, names[WHOLE]);
    csl_onnx__add(o, "Mul", reshaped(o, l->weight, axes, channels), NULL, names[SCALED]);
    csl_onnx__add(o, "Add", reshaped(o, l->bias, axes, channels), NULL, output);
    return CSL_OK;
}

static enum csl_code add_mean(struct csl_onnx_net *o, const struct csl_layer *l, const char *output,
                              struct csl_err *err)
{
    (void)l;
    (void)err;
    char means[32];
    snprintf(means, sizeof(means), "%s.means", output);
    if (o->is_tokens) {
        const struct csl_onnx_node mean = {
            .op = "ReduceMean",
            .inputs = {o->value},
            .output = output,
            .attributes = {{.name = "axes", .kind = CSL_ONNX_ATTR_INTS, .i = {1}, .count = 1},
                           {.name = "keepdims", .kind = CSL_ONNX_ATTR_INT, .i = {0}}}};
        csl_onnx__put(o, &mean);
        o->is_tokens = false;
        return CSL_OK;
    }
    csl_onnx__add(o, "GlobalAveragePool", NULL, NULL, means);
    csl_onnx__add_with(o, "Flatten", "axis", 1, output);
    return CSL_OK;
}

/* Every kind of layer that can be exported, by its name: appends its nodes, the last of which makes
 * `output` from the value made last. */
struct kind {
    const char *layer, *output;
    enum csl_code (*add)(struct csl_onnx_net *o, const struct csl_layer *l, const char *output,
                         struct csl_err *err);
};
static const struct kind kinds[] = {{"linear", "linear", add_linear},
                                    {"lora", "linear", add_lora},
                                    {"relu", "relu", add_relu},
                                    {"conv", "conv", add_conv},
                                    {"norm", "norm", add_norm},
                                    {"max pool", "pool", add_pool},
                                    {"mean", "mean", add_mean},
                                    {"embedding", "embed", csl_onnx__add_embedding},
                                    {"bias", "place", csl_onnx__add_places},
                                    {"attention", "attention", csl_onnx__add_attention},
                                    {"gelu", "gelu", csl_onnx__add_gelu}};

/* A frozen layer computes what it would anyway. NULL: none. */
static const struct kind *find_kind(const char *layer)
{
    static const char frozen[] = " (frozen)";
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        size_t n = strlen(kinds[k].layer);
        if (strncmp(kinds[k].layer, layer, n) == 0 &&
            (layer[n] == '\0' || strcmp(layer + n, frozen) == 0))
            return &kinds[k];
    }
    return NULL;
}

/* [records, axes.., channels] becomes [records, channels, axes..]. */
static void add_transpose(struct csl_onnx_net *o)
{
    struct csl_onnx_node node = {
        .op = "Transpose",
        .inputs = {o->value},
        .output = "channels_first",
        .attributes = {{.name = "perm", .kind = CSL_ONNX_ATTR_INTS, .count = 2 + space_axes(o)}}};
    node.attributes[0].i[1] = 1 + space_axes(o);
    for (uint32_t i = 0; i < space_axes(o); i++)
        node.attributes[0].i[2 + i] = 1 + i;
    csl_onnx__put(o, &node);
}

bool csl_onnx__is_spatial(const struct csl_domain *d)
{
    return d->model == CSL_MODEL_CNN1D || d->model == CSL_MODEL_CNN2D ||
           d->model == CSL_MODEL_TRANSFORMER;
}

enum csl_code csl_onnx__layers(struct csl_onnx_net *o, struct csl_err *err)
{
    char made[CSL_NET_LAYERS_MAX + 1][CSL_ONNX_NAME_MAX]; /* activation i */
    const struct csl_net *n = &o->net;
    enum csl_code code = CSL_OK;
    if (csl_onnx__is_spatial(o->domain))
        add_transpose(o);
    for (uint32_t i = n->is_joined ? 1 : 0; i < n->layer_count && code == CSL_OK; i++) {
        const struct csl_layer *l = &n->layers[i];
        const struct kind *kind = find_kind(l->ops->name);
        char output[24], residual[40];
        if (kind == NULL)
            return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                            "%s: layer %u is of kind %s, which has no ONNX node here; "
                            "--format safetensors would be right",
                            o->domain->id, i, l->ops->name);
        snprintf(output, sizeof(output), "%s%u", kind->output, i);
        snprintf(residual, sizeof(residual), "%s.residual", output);
        code = kind->add(o, l, output, err);
        if (code == CSL_OK && n->skip[i] > 0)
            csl_onnx__add(o, "Add", made[n->skip[i]], NULL, residual);
        snprintf(made[i + 1], sizeof(made[i + 1]), "%s", o->value);
    }
    return code;
}
