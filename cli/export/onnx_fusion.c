#include "cli/export/onnx_fusion.h"

#include <float.h>
#include <stdio.h>

void csl_onnx__presence(char out[CSL_ONNX_NAME_MAX], const struct csl_domain *input)
{
    snprintf(out, CSL_ONNX_NAME_MAX, "/%s/present", input->id);
}

void csl_onnx__embed(struct csl_onnx_net *o)
{
    char present[CSL_ONNX_NAME_MAX], given[CSL_ONNX_NAME_MAX];
    snprintf(given, sizeof(given), "%s", o->value);
    csl_onnx__presence(present, o->domain);
    csl_onnx__float(o, "nothing", 0);
    const struct csl_onnx_node node = {
        .op = "Where", .inputs = {present, given, "nothing"}, .output = "embedding"};
    csl_onnx__put(o, &node);
}

/* One value per input, side by side along axis 1. */
static void add_side_by_side(struct csl_onnx_net *o, char (*names)[CSL_ONNX_NAME_MAX],
                             const char *output)
{
    struct csl_onnx_node node = {
        .op = "Concat",
        .output = output,
        .attributes = {{.name = "axis", .kind = CSL_ONNX_ATTR_INT, .i = {1}}}};
    for (uint32_t i = 0; i < o->domain->fusion.input_count; i++)
        node.inputs[i] = names[i];
    csl_onnx__put(o, &node);
}

/* fusion.inputs [records, inputs, width], fusion.present [records, inputs], and as 1 and 0
 * fusion.counts. */
static void add_inputs(struct csl_onnx_net *o, const struct csl_study *study)
{
    const struct csl_domain_fusion *f = &o->domain->fusion;
    const int64_t shape[3] = {0, f->input_count, o->domain->sizes.width}; /* 0: as it was */
    char embeddings[CSL_STUDY_INPUTS_MAX][CSL_ONNX_NAME_MAX];
    char presences[CSL_STUDY_INPUTS_MAX][CSL_ONNX_NAME_MAX];
    for (uint32_t i = 0; i < f->input_count; i++) {
        const struct csl_domain *input = &study->inputs[f->inputs[i]];
        char block[CSL_ID_MAX];
        csl_study_input_block(block, input);
        snprintf(embeddings[i], CSL_ONNX_NAME_MAX, "/%s/embedding", block);
        csl_onnx__presence(presences[i], input);
    }
    add_side_by_side(o, embeddings, "fusion.side_by_side");
    csl_onnx__ints(o, "fusion.shape", 3, shape);
    csl_onnx__add(o, "Reshape", "fusion.shape", NULL, "fusion.inputs");
    add_side_by_side(o, presences, "fusion.present");
    csl_onnx__add_with(o, "Cast", "to", CSL_ONNX_FLOAT, "fusion.counts");
}

/* A score of each input present, and of them the softmax. Of an absent one, less than any. */
static void add_gated(struct csl_onnx_net *o, uint64_t gate)
{
    const struct csl_domain *d = o->domain;
    uint64_t bias = gate + (uint64_t)d->fusion.input_count * d->sizes.width;
    csl_onnx__float(o, "fusion.least", -FLT_MAX);
    csl_onnx__binary(o, "Mul", "fusion.inputs", csl_onnx__weights(o, gate), "fusion.products");
    csl_onnx__sum(o, "fusion.products", 2, "fusion.along");
    csl_onnx__add(o, "Add", csl_onnx__weights(o, bias), NULL, "fusion.scores");
    const struct csl_onnx_node masked = {
        .op = "Where",
        .inputs = {"fusion.present", "fusion.scores", "fusion.least"},
        .output = "fusion.of_present"};
    csl_onnx__put(o, &masked);
    csl_onnx__add_with(o, "Softmax", "axis", 1, "fusion.shares");
}

static void add_alike(struct csl_onnx_net *o)
{
    static const int64_t behind = 1;
    csl_onnx__float(o, "fusion.one", 1);
    csl_onnx__ints(o, "fusion.behind", 1, &behind);
    csl_onnx__sum(o, "fusion.counts", 1, "fusion.number");
    csl_onnx__add(o, "Max", "fusion.one", NULL, "fusion.divisor");
    csl_onnx__add(o, "Unsqueeze", "fusion.behind", NULL, "fusion.column");
    csl_onnx__binary(o, "Div", "fusion.counts", "fusion.column", "fusion.shares");
}

/* The values of inputs times their shares; without any input 0. */
static void add_sum_of_shares(struct csl_onnx_net *o)
{
    static const int64_t between = 1;
    const int64_t shape[2] = {0, o->domain->sizes.width};
    csl_onnx__ints(o, "fusion.between", 1, &between);
    csl_onnx__ints(o, "fusion.row", 2, shape);
    csl_onnx__add(o, "Unsqueeze", "fusion.between", NULL, "fusion.shares_row");
    csl_onnx__add(o, "MatMul", "fusion.inputs", NULL, "fusion.sum_row");
    csl_onnx__add(o, "Reshape", "fusion.row", NULL, "fusion.sum");
}

static void add_empty(struct csl_onnx_net *o, uint64_t empty)
{
    const struct csl_onnx_node most = {
        .op = "ReduceMax",
        .inputs = {"fusion.counts"},
        .output = "fusion.most",
        .attributes = {{.name = "axes", .kind = CSL_ONNX_ATTR_INTS, .i = {1}, .count = 1}}};
    csl_onnx__put(o, &most);
    csl_onnx__add_with(o, "Cast", "to", CSL_ONNX_BOOL, "fusion.has_any");
    csl_onnx__add(o, "Where", "fusion.sum", csl_onnx__weights(o, empty), "fused");
}

void csl_onnx__fuse(struct csl_onnx_net *o, const struct csl_study *study)
{
    const struct csl_domain *d = o->domain;
    uint64_t gate = o->net.layers[0].weight, inputs = d->fusion.input_count;
    bool is_gated = d->fusion.kind == CSL_FUSION_GATED;
    add_inputs(o, study);
    if (is_gated)
        add_gated(o, gate);
    else
        add_alike(o);
    add_sum_of_shares(o);
    if (is_gated)
        add_empty(o, gate + inputs * d->sizes.width + inputs);
}
